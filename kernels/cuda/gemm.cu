/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gemm.cu - matrix products: cuBLASLt where it can be loaded, else a kernel of our own
 *
 * cuBLASLt is opened at run time (0.5 GB that a machine without it does not need). A plan is
 * kept per shape of weights: for products with weights as B, the algorithm is chosen once per
 * (N, K, layout, storage) for a fixed number of rows and without splitting K, and then serves
 * every M, so that a row's bits do not depend on the batch. Products that sum over rows
 * (trans_a) are planned per shape.
 *
 * B in bfloat16: A is rounded to bfloat16 on its way, sums and results are float32. Products
 * of float32 run in float32 (no TF32).
 */
#include "kernels/cuda/cuda_int.h"

#include <stdlib.h>
#include <string.h>

/* ---- our own: 64 x 64 of C by 256 threads, 4 x 4 each ---- */

#define SIDE 64
#define DEPTH 16

__device__ static inline float
a_at(const struct sea_op_gemm &op, int64_t m, int64_t k)
{
    if (m >= op.M || k >= op.K)
        return 0.0f;
    return op.trans_a ? op.a[k * op.lda + m] : op.a[m * op.lda + k];
}

__device__ static inline float
b_at(const struct sea_op_gemm &op, int64_t k, int64_t n)
{
    int64_t at = op.trans_b ? n * op.ldb + k : k * op.ldb + n;

    if (n >= op.N || k >= op.K)
        return 0.0f;
    return op.b_type == SEA_STORE_BF16 ? sea_bf16_widen(((const uint16_t *)op.b)[at])
                                       : ((const float *)op.b)[at];
}

static __global__ void
gemm_tile(const struct sea_op_gemm op)
{
    __shared__ float a[DEPTH][SIDE + 1], b[DEPTH][SIDE + 1];
    int64_t m0 = (int64_t)blockIdx.y * SIDE, n0 = (int64_t)blockIdx.x * SIDE;
    int row = (int)threadIdx.x / 16 * 4, column = (int)threadIdx.x % 16 * 4;
    float sum[4][4] = { { 0 } };

    for (int64_t k0 = 0; k0 < op.K; k0 += DEPTH) {
        __syncthreads();
        for (int i = (int)threadIdx.x; i < SIDE * DEPTH; i += (int)blockDim.x) {
            /* Neighbouring threads read neighbouring numbers. */
            int am = op.trans_a ? i % SIDE : i / DEPTH, ak = op.trans_a ? i / SIDE : i % DEPTH;
            int bn = op.trans_b ? i / DEPTH : i % SIDE, bk = op.trans_b ? i % DEPTH : i / SIDE;

            a[ak][am] = a_at(op, m0 + am, k0 + ak);
            b[bk][bn] = b_at(op, k0 + bk, n0 + bn);
        }
        __syncthreads();
        for (int k = 0; k < DEPTH; k++)
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++)
                    sum[i][j] = fmaf(a[k][row + i], b[k][column + j], sum[i][j]);
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            int64_t m = m0 + row + i, n = n0 + column + j;
            float x = op.alpha * sum[i][j];

            if (m >= op.M || n >= op.N)
                continue;
            if (op.bias)
                x += op.bias[n];
            op.c[m * op.ldc + n] = op.accumulate ? op.c[m * op.ldc + n] + x : x;
        }
}

static int
own_gemm(struct sea_cuda *cuda, const struct sea_op_gemm *a)
{
    struct sea_op_gemm part = *a;
    int64_t most = (int64_t)SEA_CUDA_GRID * SIDE;
    int rc = SEA_RC_OK;

    for (int64_t m = 0; m < a->M && !rc; m += most) {
        part.a = a->a + (a->trans_a ? m : m * a->lda);
        part.c = a->c + m * a->ldc;
        part.M = a->M - m < most ? a->M - m : most;
        dim3 grid((unsigned)sea_ceil_div(a->N, SIDE), (unsigned)sea_ceil_div(part.M, SIDE));

        SEA_LAUNCH(cuda, gemm_tile, grid, 256, 0, part);
        rc = sea_cuda_launched();
    }
    return rc;
}

/* ---- cuBLASLt ---- */

#ifdef SEA_CUDA_EMU

struct sea_cuda_blas {
    int none;
};

static int
blas_gemm(struct sea_cuda *cuda, const struct sea_op_gemm *a, int *done)
{
    (void)cuda;
    (void)a;
    *done = 0;
    return SEA_RC_OK;
}

int
sea_cuda_blas_open(struct sea_cuda *cuda)
{
    (void)cuda;
    return SEA_RC_OK;
}

void
sea_cuda_blas_close(struct sea_cuda *cuda)
{
    (void)cuda;
}

#else

#include <cublasLt.h>
#include <dlfcn.h>

#define WORKSPACE ((size_t)32 << 20)
#define PLANS 256
#define ROWS_PLANNED 4096       /* the M that an algorithm for weights is chosen for */
#define CHOICES 8

/* The functions, as the library has them. */
struct api {
    decltype(&cublasLtCreate) create;
    decltype(&cublasLtDestroy) destroy;
    decltype(&cublasLtMatmul) matmul;
    decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
    decltype(&cublasLtMatmulAlgoConfigGetAttribute) algo_get;
    decltype(&cublasLtMatmulDescCreate) desc_create;
    decltype(&cublasLtMatmulDescDestroy) desc_destroy;
    decltype(&cublasLtMatmulDescSetAttribute) desc_set;
    decltype(&cublasLtMatrixLayoutCreate) layout_create;
    decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
    decltype(&cublasLtMatmulPreferenceCreate) preference_create;
    decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
    decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
};

struct plan_key {               /* M is 0 where the plan serves every M */
    int64_t M, N, K, lda, ldb, ldc;
    int trans_a, trans_b, bf16, bias, accumulate;
};
struct plan {
    struct plan_key key;
    cublasLtMatmulAlgo_t algo;
};

struct sea_cuda_blas {
    void *lib;
    struct api api;
    cublasLtHandle_t handle;
    void *workspace;
    uint16_t *rounded;          /* A in bfloat16 */
    size_t rounded_room;
    struct plan plans[PLANS];   /* a ring: the oldest goes first */
    int count, next;
};

static int
blas_code(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS ? SEA_RC_OK : SEA_CUDA_RC_BLAS + (int)status;
}

static bool
find_api(void *lib, struct api *api)
{
#define FIND(member, symbol) \
    ((api->member = (decltype(api->member))dlsym(lib, #symbol)) != NULL)
    return FIND(create, cublasLtCreate) && FIND(destroy, cublasLtDestroy) &&
           FIND(matmul, cublasLtMatmul) && FIND(heuristic, cublasLtMatmulAlgoGetHeuristic) &&
           FIND(algo_get, cublasLtMatmulAlgoConfigGetAttribute) &&
           FIND(desc_create, cublasLtMatmulDescCreate) &&
           FIND(desc_destroy, cublasLtMatmulDescDestroy) &&
           FIND(desc_set, cublasLtMatmulDescSetAttribute) &&
           FIND(layout_create, cublasLtMatrixLayoutCreate) &&
           FIND(layout_destroy, cublasLtMatrixLayoutDestroy) &&
           FIND(preference_create, cublasLtMatmulPreferenceCreate) &&
           FIND(preference_destroy, cublasLtMatmulPreferenceDestroy) &&
           FIND(preference_set, cublasLtMatmulPreferenceSetAttribute);
#undef FIND
}

/* A machine without the library uses our own kernel: no error. */
int
sea_cuda_blas_open(struct sea_cuda *cuda)
{
    static const char *const names[] = { "libcublasLt.so.13", "libcublasLt.so.12" };
    struct sea_cuda_blas *blas = (struct sea_cuda_blas *)calloc(1, sizeof(*blas));

    if (!blas)
        return SEA_RC_MEMORY;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !blas->lib; i++)
        blas->lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!blas->lib || !find_api(blas->lib, &blas->api) ||
        blas->api.create(&blas->handle) != CUBLAS_STATUS_SUCCESS) {
        if (blas->lib)
            dlclose(blas->lib);
        free(blas);
        return SEA_RC_OK;
    }
    cuda->blas = blas;
    return cudaMalloc(&blas->workspace, WORKSPACE) == cudaSuccess ? SEA_RC_OK : SEA_RC_MEMORY;
}

void
sea_cuda_blas_close(struct sea_cuda *cuda)
{
    struct sea_cuda_blas *blas = cuda->blas;

    if (!blas)
        return;
    blas->api.destroy(blas->handle);
    cudaFree(blas->workspace);
    cudaFree(blas->rounded);
    dlclose(blas->lib);
    free(blas);
    cuda->blas = NULL;
}

/* One product as cuBLASLt sees it. Row-major C = A B is column-major C' = B' A': its first
 * operand is our B, its second our A, without moving a number. */
struct call {
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t b, a, c;
};

static void
call_release(const struct api *api, struct call *call)
{
    if (call->c)
        api->layout_destroy(call->c);
    if (call->a)
        api->layout_destroy(call->a);
    if (call->b)
        api->layout_destroy(call->b);
    if (call->desc)
        api->desc_destroy(call->desc);
    memset(call, 0, sizeof(*call));
}

static cublasStatus_t
layout(const struct api *api, cublasLtMatrixLayout_t *out, cudaDataType type, int trans,
       int64_t rows, int64_t columns, int64_t ld)
{
    return api->layout_create(out, type, (uint64_t)(trans ? rows : columns),
                              (uint64_t)(trans ? columns : rows), ld);
}

static cublasStatus_t
call_prepare(const struct api *api, struct call *call, const struct sea_op_gemm *a, int64_t M,
             int64_t lda)
{
    cudaDataType type = a->b_type == SEA_STORE_BF16 ? CUDA_R_16BF : CUDA_R_32F;
    cublasOperation_t op_b = a->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasOperation_t op_a = a->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = a->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    cublasStatus_t status;

    memset(call, 0, sizeof(*call));
    status = api->desc_create(&call->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (!status)
        status = api->desc_set(call->desc, CUBLASLT_MATMUL_DESC_TRANSA, &op_b, sizeof(op_b));
    if (!status)
        status = api->desc_set(call->desc, CUBLASLT_MATMUL_DESC_TRANSB, &op_a, sizeof(op_a));
    if (!status)
        status = api->desc_set(call->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                               sizeof(epilogue));
    if (!status && a->bias)
        status = api->desc_set(call->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &a->bias,
                               sizeof(a->bias));
    /* As stored, column-major: (columns, rows) of the row-major matrix. */
    if (!status)
        status = layout(api, &call->b, type, a->trans_b, a->K, a->N, a->ldb);
    if (!status)
        status = layout(api, &call->a, type, a->trans_a, M, a->K, lda);
    if (!status)
        status = api->layout_create(&call->c, CUDA_R_32F, (uint64_t)a->N, (uint64_t)M, a->ldc);
    return status;
}

/* The first candidate that does not split K: a split depends on the number of tiles. */
static cublasStatus_t
choose(const struct sea_cuda_blas *blas, const struct call *call, bool any_split,
       cublasLtMatmulAlgo_t *algo)
{
    const struct api *api = &blas->api;
    cublasLtMatmulHeuristicResult_t found[CHOICES];
    cublasLtMatmulPreference_t preference = NULL;
    size_t room = WORKSPACE;
    int count = 0;
    cublasStatus_t status = api->preference_create(&preference);

    if (!status)
        status = api->preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                     &room, sizeof(room));
    if (!status)
        status = api->heuristic(blas->handle, call->desc, call->b, call->a, call->c, call->c,
                                preference, CHOICES, found, &count);
    if (preference)
        api->preference_destroy(preference);
    if (status)
        return status;
    for (int i = 0; i < count; i++) {
        int32_t split = 1;
        size_t written;

        if (!any_split)
            status = api->algo_get(&found[i].algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &split,
                                   sizeof(split), &written);
        if (status || split > 1)
            continue;
        *algo = found[i].algo;
        return CUBLAS_STATUS_SUCCESS;
    }
    return CUBLAS_STATUS_NOT_SUPPORTED;
}

static cublasStatus_t
find_plan(struct sea_cuda_blas *blas, const struct sea_op_gemm *a, int64_t lda,
          const cublasLtMatmulAlgo_t **algo)
{
    int64_t M = a->trans_a ? a->M : 0;
    struct plan_key key;
    struct call call;
    cublasStatus_t status;

    memset(&key, 0, sizeof(key));       /* padding is compared, too */
    key = (struct plan_key){ M, a->N, a->K, lda, a->ldb, a->ldc, a->trans_a != 0,
                             a->trans_b != 0, a->b_type == SEA_STORE_BF16, a->bias != NULL,
                             a->accumulate != 0 };
    for (int i = 0; i < blas->count; i++)
        if (!memcmp(&blas->plans[i].key, &key, sizeof(key))) {
            *algo = &blas->plans[i].algo;
            return CUBLAS_STATUS_SUCCESS;
        }
    status = call_prepare(&blas->api, &call, a, M ? M : ROWS_PLANNED, lda);
    if (!status)
        status = choose(blas, &call, M != 0, &blas->plans[blas->next].algo);
    call_release(&blas->api, &call);
    if (status)
        return status;
    blas->plans[blas->next].key = key;
    *algo = &blas->plans[blas->next].algo;
    blas->next = (blas->next + 1) % PLANS;
    blas->count += blas->count < PLANS;
    return CUBLAS_STATUS_SUCCESS;
}

static __global__ void
round_rows(const float *from, int64_t ld, uint16_t *to, int64_t rows, int64_t columns)
{
    for (SEA_FLAT(i, rows * columns))
        to[i] = sea_bf16_round(from[i / columns * ld + i % columns]);
}

/* A in bfloat16, packed. The room grows in the first steps of a run and then stays. */
static int
round_a(struct sea_cuda *cuda, const struct sea_op_gemm *a, int64_t *lda)
{
    struct sea_cuda_blas *blas = cuda->blas;
    int64_t rows = a->trans_a ? a->K : a->M, columns = a->trans_a ? a->M : a->K;
    size_t need = (size_t)(rows * columns);

    if (need > blas->rounded_room) {
        cudaStreamSynchronize(cuda->stream);
        cudaFree(blas->rounded);
        blas->rounded = NULL;
        blas->rounded_room = 0;
        if (cudaMalloc((void **)&blas->rounded, need * sizeof(uint16_t)) != cudaSuccess) {
            (void)cudaGetLastError();
            return SEA_RC_MEMORY;
        }
        blas->rounded_room = need;
    }
    *lda = columns;
    SEA_LAUNCH(cuda, round_rows, sea_flat_blocks((int64_t)need), 256, 0, a->a, a->lda,
               blas->rounded, rows, columns);
    return sea_cuda_launched();
}

/* Shapes that the library has no algorithm for (odd strides of bfloat16) are not done. */
static int
blas_gemm(struct sea_cuda *cuda, const struct sea_op_gemm *a, int *done)
{
    struct sea_cuda_blas *blas = cuda->blas;
    float beta = a->accumulate ? 1.0f : 0.0f;
    const cublasLtMatmulAlgo_t *algo;
    const void *a_data = a->a;
    int64_t lda = a->lda;
    struct call call;
    cublasStatus_t status;
    int rc;

    *done = 0;
    /* A bias with accumulation or a scale: the epilogue adds it as we mean it, after alpha. */
    if (!blas || !a->K)
        return SEA_RC_OK;
    if (a->b_type == SEA_STORE_BF16) {
        rc = round_a(cuda, a, &lda);
        if (rc)
            return rc;
        a_data = blas->rounded;
    }
    if (find_plan(blas, a, lda, &algo) != CUBLAS_STATUS_SUCCESS)
        return SEA_RC_OK;
    status = call_prepare(&blas->api, &call, a, a->M, lda);
    if (!status)
        status = blas->api.matmul(blas->handle, call.desc, &a->alpha, a->b, call.b, a_data,
                                  call.a, &beta, a->c, call.c, a->c, call.c, algo,
                                  blas->workspace, WORKSPACE, cuda->stream);
    call_release(&blas->api, &call);
    *done = 1;
    return blas_code(status);
}

#endif

const char *
sea_cuda_blas_name(const struct sea_cuda *cuda)
{
    return cuda->blas ? "cuBLASLt" : "our own kernel";
}

int
sea_cuda_gemm(void *dev, const struct sea_op_gemm *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    int done, rc;

    if (!cuda || !a || a->M < 0 || a->N < 0 || a->K < 0 || a->b_type > SEA_STORE_BF16)
        return SEA_RC_ARGUMENT;
    if (!a->M || !a->N)
        return SEA_RC_OK;
    if (!a->c || a->ldc < a->N || (a->K && (!a->a || !a->b)))
        return SEA_RC_ARGUMENT;
    if (a->lda < (a->trans_a ? a->M : a->K) || a->ldb < (a->trans_b ? a->K : a->N))
        return SEA_RC_ARGUMENT;
    rc = blas_gemm(cuda, a, &done);
    return rc || done ? rc : own_gemm(cuda, a);
}
