/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blas.cu - products by cuBLASLt, opened at run time
 *
 * 0.5 GB that a machine without it does not need: from SEA_CUBLASLT (a file), by its name, or
 * where the toolkit puts it. A plan is an algorithm for a kind of product:
 *
 *  - weights as B, exact rows wanted (inference): one per (N, K, layout, storage), chosen for a
 *    fixed number of rows and without splitting K; it serves every M, so that a row's bits do
 *    not depend on the batch;
 *  - the same where the caller says that rows are few (a decoding step): chosen for FEW rows, and
 *    K may be split, into as many parts for every M;
 *  - rounded products and sums over rows (training): one per shape, rows in steps, so that the
 *    next batch, a few rows longer, needs no new one.
 *
 * A shape that the library has nothing for is remembered, too, and goes to our own kernels; so is
 * one that an algorithm of its neighbours turns out not to fit, which gets its own.
 *
 * The library's first proposal is taken, which is the same in every run. With SEA_CUDA_PLANS
 * (a file) the proposals for training are timed when a shape is first met, and the best is
 * written there, for this card, driver and library; later runs take it from there.
 */
#include "kernels/cuda/cuda_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef SEA_CUDA_EMU

struct sea_cuda_blas {
    int none;
};

int
sea_cuda_blas_gemm(struct sea_cuda *cuda, const struct sea_op_gemm *a, int *done)
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

void
sea_cuda_blas_name(const struct sea_cuda *cuda, char *out, size_t room)
{
    (void)cuda;
    snprintf(out, room, "our own kernels");
}

#else

#include <cublasLt.h>
#include <dlfcn.h>

#define WORKSPACE ((size_t)32 << 20)
#define PLANS 256
#define ROWS_PLANNED 4096       /* the M that an algorithm for weights is chosen for */
#define FEW 64                  /* .. where rows are few */
#define FEW_MOST 256            /* rows that a split's workspace is enough for */
#define CHOICES 8

/* The functions, as the library has them. */
struct api {
    decltype(&cublasLtCreate) create;
    decltype(&cublasLtDestroy) destroy;
    decltype(&cublasLtGetVersion) version;
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
    decltype(&cublasLtGetStatusName) status_name;       /* NULL: an old library */
};

struct plan_key {               /* M is 0 where the plan serves every M */
    int64_t M, N, K, lda, ldb, ldc;
    int trans_a, trans_b, half, bias, accumulate, align, own, few;
};
struct plan {
    struct plan_key key;
    int none;                   /* 1: the library cannot do it */
    cublasLtMatmulAlgo_t algo;
};

struct sea_cuda_blas {
    void *lib;
    struct api api;
    cublasLtHandle_t handle;
    void *workspace;            /* of the one stream */
    struct plan plans[PLANS];   /* a ring: the oldest goes first */
    int count, next;
    int refused;                /* kinds of product that it had nothing for */
    const char *file;           /* SEA_CUDA_PLANS, NULL: proposals are not timed */
    bool file_begun;            /* its first line is ours: plans are added */
    char card[384];             /* first line of that file */
};

static int
blas_code(const struct sea_cuda_blas *blas, cublasStatus_t status, const struct sea_op_gemm *a)
{
    const char *name = blas->api.status_name ? blas->api.status_name(status) : "no name";

    if (status == CUBLAS_STATUS_SUCCESS)
        return SEA_RC_OK;
    return sea_cuda_say(SEA_CUDA_RC_BLAS + (int)status, "cuBLASLt %zu refused the product of "
                        "%lld x %lld x %lld (%s%s, %s): %s, code %d", blas->api.version(),
                        (long long)a->M, (long long)a->N, (long long)a->K,
                        a->trans_a ? "T" : "N", a->trans_b ? "T" : "N",
                        a->b_type == SEA_STORE_BF16 || a->rounded ? "bf16" : "f32",
                        name ? name : "no name", (int)status);
}

static bool
find_api(void *lib, struct api *api)
{
    api->status_name = (decltype(api->status_name))dlsym(lib, "cublasLtGetStatusName");
#define FIND(member, symbol) \
    ((api->member = (decltype(api->member))dlsym(lib, #symbol)) != NULL)
    return FIND(create, cublasLtCreate) && FIND(destroy, cublasLtDestroy) &&
           FIND(version, cublasLtGetVersion) &&
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

static void read_plans(struct sea_cuda *cuda);

/* A machine without the library uses our own kernel: no error. */
int
sea_cuda_blas_open(struct sea_cuda *cuda)
{
    const char *const names[] = {
        getenv("SEA_CUBLASLT"), "libcublasLt.so.13", "libcublasLt.so.12",
        "/usr/local/cuda/lib64/libcublasLt.so.13", "/usr/local/cuda/lib64/libcublasLt.so.12" };
    struct sea_cuda_blas *blas = (struct sea_cuda_blas *)calloc(1, sizeof(*blas));

    if (!blas)
        return SEA_RC_MEMORY;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !blas->lib; i++) {
        if (names[i] && *names[i])
            blas->lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (blas->lib && find_api(blas->lib, &blas->api) &&
            blas->api.create(&blas->handle) == CUBLAS_STATUS_SUCCESS)
            break;
        if (blas->lib)
            dlclose(blas->lib);
        blas->lib = NULL;
    }
    if (!blas->lib) {
        free(blas);
        return SEA_RC_OK;
    }
    cuda->blas = blas;
    read_plans(cuda);
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
    dlclose(blas->lib);
    free(blas);
    cuda->blas = NULL;
}

void
sea_cuda_blas_name(const struct sea_cuda *cuda, char *out, size_t room)
{
    const struct sea_cuda_blas *blas = cuda->blas;

    if (blas)
        snprintf(out, room, "cuBLASLt %zu, of few rows by %s", blas->api.version(),
                 cuda->few_by_library ? "it, too" : "our own kernel");
    else
        snprintf(out, room, "our own kernels: no cuBLASLt was found");
}

static bool
is_half(const struct sea_op_gemm *a)
{
    return a->b_type == SEA_STORE_BF16 || a->rounded;
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
             int64_t lda, int64_t ldb)
{
    cudaDataType type = is_half(a) ? CUDA_R_16BF : CUDA_R_32F;
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
        status = layout(api, &call->b, type, a->trans_b, a->K, a->N, ldb);
    if (!status)
        status = layout(api, &call->a, type, a->trans_a, M, a->K, lda);
    if (!status)
        status = api->layout_create(&call->c, CUDA_R_32F, (uint64_t)a->N, (uint64_t)M, a->ldc);
    return status;
}

static bool
is_free_shape(const struct sea_op_gemm *a)
{
    return a->trans_a || a->rounded;
}

static bool
is_few(const struct sea_op_gemm *a)
{
    return a->few && !is_free_shape(a);
}

/* Parts that K may be split into: any number where a plan is for one shape; where it serves every
 * M one, or as many as the workspace holds for FEW_MOST rows. */
static int64_t
most_parts(const struct sea_op_gemm *a)
{
    int64_t parts = (int64_t)(WORKSPACE / sizeof(float)) / FEW_MOST / a->N;

    if (is_free_shape(a))
        return INT32_MAX;
    return is_few(a) && parts > 1 ? parts : 1;
}

/* Proposals in the library's order, without those that split K into more than `most` parts. A
 * split is summed in order, in a place of its own, never in C. */
static cublasStatus_t
propose(const struct sea_cuda_blas *blas, const struct call *call, int64_t most, uint32_t align,
        cublasLtMatmulAlgo_t *algos, int *algos_count)
{
    static const cublasLtMatmulPreferenceAttributes_t aligned[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES };
    const struct api *api = &blas->api;
    cublasLtMatmulHeuristicResult_t found[CHOICES];
    cublasLtMatmulPreference_t preference = NULL;
    uint32_t sums = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    size_t room = WORKSPACE;
    int count = 0;
    cublasStatus_t status = api->preference_create(&preference);

    *algos_count = 0;
    if (!status)
        status = api->preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                     &room, sizeof(room));
    if (!status)
        status = api->preference_set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                     &sums, sizeof(sums));
    for (int i = 0; i < 4 && !status; i++)
        status = api->preference_set(preference, aligned[i], &align, sizeof(align));
    if (!status)
        status = api->heuristic(blas->handle, call->desc, call->b, call->a, call->c, call->c,
                                preference, CHOICES, found, &count);
    if (preference)
        api->preference_destroy(preference);
    for (int i = 0; i < count && !status; i++) {
        int32_t split = 1;
        size_t written;

        if (found[i].state != CUBLAS_STATUS_SUCCESS)
            continue;
        if (most < INT32_MAX)
            status = api->algo_get(&found[i].algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &split,
                                   sizeof(split), &written);
        if (!status && split <= most)
            algos[(*algos_count)++] = found[i].algo;
    }
    return status || *algos_count ? status : CUBLAS_STATUS_NOT_SUPPORTED;
}

/* What a call needs beside its descriptors. */
struct operands {
    const void *a, *b;
    int64_t lda, ldb;
};

/* Bytes that all addresses are multiples of, 16 at most: the library takes 256 for granted. */
static uint32_t
align_of(const struct sea_op_gemm *a, const struct operands *in)
{
    uintptr_t all = (uintptr_t)in->a | (uintptr_t)in->b | (uintptr_t)a->c | (uintptr_t)a->bias;

    return all % 16 == 0 ? 16 : all % 8 == 0 ? 8 : all % 4 == 0 ? 4 : 2;
}

static cublasStatus_t
multiply(struct sea_cuda *cuda, const struct sea_op_gemm *a, const struct operands *in,
         const struct call *call, float *c, const cublasLtMatmulAlgo_t *algo)
{
    struct sea_cuda_blas *blas = cuda->blas;
    float beta = a->accumulate ? 1.0f : 0.0f;

    return blas->api.matmul(blas->handle, call->desc, &a->alpha, in->b, call->b, in->a, call->a,
                            &beta, c, call->c, c, call->c, algo, blas->workspace, WORKSPACE,
                            cuda->stream);
}

/* The fastest of some proposals on the caller's own numbers: the median of three, after one.
 * A sum that goes on in C would change it, so that it runs in a place of its own. */
static int
fastest(struct sea_cuda *cuda, const struct sea_op_gemm *a, const struct operands *in,
        const struct call *call, const cublasLtMatmulAlgo_t *algos, int count)
{
    float best = INFINITY, *c = a->c, ms[4];
    cudaEvent_t events[5] = { NULL };
    int chosen = 0;

    if (a->accumulate && cudaMallocAsync((void **)&c, (size_t)(a->M * a->ldc) * sizeof(float),
                                         cuda->stream) != cudaSuccess) {
        (void)cudaGetLastError();
        return 0;
    }
    for (int e = 0; e < 5; e++)
        cudaEventCreate(&events[e]);
    for (int i = 0; i < count; i++) {
        bool good = true;

        cudaEventRecord(events[0], cuda->stream);
        for (int n = 0; n < 4 && good; n++) {
            good = multiply(cuda, a, in, call, c, &algos[i]) == CUBLAS_STATUS_SUCCESS;
            cudaEventRecord(events[n + 1], cuda->stream);
        }
        if (!good || cudaEventSynchronize(events[4]) != cudaSuccess)
            continue;
        for (int n = 0; n < 4; n++)
            cudaEventElapsedTime(&ms[n], events[n], events[n + 1]);
        ms[0] = fmaxf(fminf(ms[1], ms[2]), fminf(fmaxf(ms[1], ms[2]), ms[3]));
        if (ms[0] < best) {
            best = ms[0];
            chosen = i;
        }
    }
    for (int e = 0; e < 5; e++)
        cudaEventDestroy(events[e]);
    if (c != a->c)
        cudaFreeAsync(c, cuda->stream);
    return chosen;
}

/* ---- the file of plans: a line that names the card, then a line of hexadecimals for each ---- */

static void
read_plans(struct sea_cuda *cuda)
{
    struct sea_cuda_blas *blas = cuda->blas;
    int driver = 0;
    char line[512];
    FILE *file;

    blas->file = getenv("SEA_CUDA_PLANS");
    if (!blas->file || !*blas->file) {
        blas->file = NULL;
        return;
    }
    cudaDriverGetVersion(&driver);
    snprintf(blas->card, sizeof(blas->card), "sea plans 2, %s, driver %d, cublasLt %zu\n",
             cuda->card, driver, blas->api.version());
    file = fopen(blas->file, "r");
    if (!file)
        return;
    blas->file_begun = fgets(line, sizeof(line), file) && !strcmp(line, blas->card);
    if (blas->file_begun)
        while (blas->count < PLANS && fgets(line, sizeof(line), file)) {
            unsigned char *to = (unsigned char *)&blas->plans[blas->count];
            size_t n = 0;
            unsigned byte;

            while (n < sizeof(struct plan) && sscanf(line + 2 * n, "%2x", &byte) == 1)
                to[n++] = (unsigned char)byte;
            blas->count += n == sizeof(struct plan);
        }
    blas->next = blas->count % PLANS;
    fclose(file);
}

/* A file that cannot be written is no error: the next run times again. */
static void
write_plan(struct sea_cuda_blas *blas, const struct plan *plan)
{
    const unsigned char *bytes = (const unsigned char *)plan;
    FILE *file = fopen(blas->file, blas->file_begun ? "a" : "w");

    if (!file)
        return;
    if (!blas->file_begun)
        fputs(blas->card, file);
    blas->file_begun = true;
    for (size_t n = 0; n < sizeof(*plan); n++)
        fprintf(file, "%02x", bytes[n]);
    fputc('\n', file);
    fclose(file);
}

/* Rows in steps of an eighth of their size: plans for training serve neighbours. */
static int64_t
in_steps(int64_t n)
{
    int64_t step = 64;

    while (n > 16 * step)
        step *= 2;
    return sea_ceil_div(n, step) * step;
}

static void
make_key(struct plan_key *key, const struct sea_op_gemm *a, const struct operands *in, int64_t M)
{
    memset(key, 0, sizeof(*key));       /* padding is compared, too */
    key->M = M;
    key->N = a->N;
    key->K = a->trans_a ? in_steps(a->K) : a->K;
    key->lda = in->lda;
    key->ldb = in->ldb;
    key->ldc = a->ldc;
    key->trans_a = a->trans_a != 0;
    key->trans_b = a->trans_b != 0;
    key->half = is_half(a);
    key->bias = a->bias != NULL;
    key->accumulate = a->accumulate != 0;
    key->align = (int)align_of(a, in);
    key->few = is_few(a);
}

static struct plan *
known_plan(struct sea_cuda_blas *blas, const struct plan_key *key)
{
    for (int i = 0; i < blas->count; i++)
        if (!memcmp(&blas->plans[i].key, key, sizeof(*key)))
            return &blas->plans[i];
    return NULL;
}

/* algo NULL: there is none. */
static struct plan *
keep_plan(struct sea_cuda_blas *blas, const struct plan_key *key, const cublasLtMatmulAlgo_t *algo)
{
    struct plan *plan = known_plan(blas, key);

    if (!plan) {
        plan = &blas->plans[blas->next];
        blas->next = (blas->next + 1) % PLANS;
        blas->count += blas->count < PLANS;
    }
    memset(plan, 0, sizeof(*plan));
    plan->key = *key;
    plan->none = !algo;
    if (algo)
        plan->algo = *algo;
    return plan;
}

/* A kind of product that goes to our own kernels: the device's text says so, once and how many. */
static void
note_refusal(struct sea_cuda *cuda, const struct sea_op_gemm *a, cublasStatus_t status)
{
    struct sea_cuda_blas *blas = cuda->blas;
    const char *sign = "; refused by it: ", *name = NULL;
    char *at = strstr(cuda->text, sign);

    if (blas->api.status_name)
        name = blas->api.status_name(status);
    at = at ? at : cuda->text + strlen(cuda->text);
    snprintf(at, sizeof(cuda->text) - (size_t)(at - cuda->text), "%s%d kinds of product, the last "
             "%lld x %lld x %lld (%s%s, %s): %s", sign, ++blas->refused, (long long)a->M,
             (long long)a->N, (long long)a->K, a->trans_a ? "T" : "N", a->trans_b ? "T" : "N",
             is_half(a) ? "bf16" : "f32", name ? name : "no name");
}

/* The plan of a call, made when it is met first; NULL: not while a graph is captured, where the
 * library must not be asked (13.3 fails, and would be remembered as having nothing). */
static const struct plan *
find_plan(struct sea_cuda *cuda, const struct sea_op_gemm *a, const struct operands *in,
          const struct call *call)
{
    struct sea_cuda_blas *blas = cuda->blas;
    bool free_shape = is_free_shape(a);
    cublasLtMatmulAlgo_t algos[CHOICES];
    const struct plan *plan;
    struct plan_key key;
    struct call usual;
    cublasStatus_t status;
    int count, chosen = 0;

    make_key(&key, a, in, !free_shape ? 0 : a->trans_a ? a->M : in_steps(a->M));
    plan = known_plan(blas, &key);
    if (plan || cuda->capturing)
        return plan;
    if (free_shape) {
        status = propose(blas, call, most_parts(a), (uint32_t)key.align, algos, &count);
        if (!status && blas->file && count > 1)
            chosen = fastest(cuda, a, in, call, algos, count);
    } else {
        status = call_prepare(&blas->api, &usual, a, is_few(a) ? FEW : ROWS_PLANNED, in->lda,
                              in->ldb);
        if (!status)
            status = propose(blas, &usual, most_parts(a), (uint32_t)key.align, algos, &count);
        call_release(&blas->api, &usual);
    }
    plan = keep_plan(blas, &key, status ? NULL : &algos[chosen]);
    if (status)
        note_refusal(cuda, a, status);
    if (!status && free_shape && blas->file)
        write_plan(blas, plan);
    return plan;
}

/* A plan of a neighbour that does not fit this shape: one for this number of rows alone. */
static const struct plan *
own_plan(struct sea_cuda *cuda, const struct sea_op_gemm *a, const struct operands *in,
         const struct call *call)
{
    struct sea_cuda_blas *blas = cuda->blas;
    cublasLtMatmulAlgo_t algos[CHOICES];
    const struct plan *plan;
    struct plan_key key;
    cublasStatus_t status;
    int count;

    make_key(&key, a, in, a->M);
    key.K = a->K;
    key.own = 1;
    plan = known_plan(blas, &key);
    if (plan || cuda->capturing)
        return plan;
    status = propose(blas, call, most_parts(a), (uint32_t)key.align, algos, &count);
    if (status)
        note_refusal(cuda, a, status);
    return keep_plan(blas, &key, status ? NULL : &algos[0]);
}

static int
gemm_rows(struct sea_cuda *cuda, const struct sea_op_gemm *a, int *done)
{
    struct operands in = { a->a, a->b, a->lda, a->ldb };
    struct sea_cuda_blas *blas = cuda->blas;
    const struct plan *plan = NULL;
    const uint16_t *left, *right;
    struct call call;
    cublasStatus_t status;
    int rc;

    *done = 0;
    /* A bias with accumulation or a scale: the epilogue adds it as we mean it, after alpha. No
     * preference speaks of its alignment, and some kernels read 16 bytes of it at a time. */
    if (!blas || !a->K || (uintptr_t)a->bias % 16)
        return SEA_RC_OK;
    if (is_half(a)) {
        rc = sea_cuda_round_operands(cuda, a, &left, &in.lda, &right, &in.ldb);
        if (rc)
            return rc;
        in.a = left;
        in.b = right;
    }
    status = call_prepare(&blas->api, &call, a, a->M, in.lda, in.ldb);
    if (!status)
        plan = find_plan(cuda, a, &in, &call);
    if (plan && !plan->none)
        status = multiply(cuda, a, &in, &call, a->c, &plan->algo);
    if (plan && !plan->none &&
        (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE)) {
        plan = own_plan(cuda, a, &in, &call);
        if (plan && !plan->none)
            status = multiply(cuda, a, &in, &call, a->c, &plan->algo);
    }
    call_release(&blas->api, &call);
    *done = plan && !plan->none;
    if (!plan && cuda->capturing)       /* nor by our own kernels: a graph has a step's bits */
        return sea_cuda_say(SEA_CUDA_RC_BLAS, "a product of %lld x %lld x %lld has no algorithm "
                            "yet, and a graph is captured", (long long)a->M, (long long)a->N,
                            (long long)a->K);
    return *done ? blas_code(blas, status, a) : SEA_RC_OK;
}

/* Shapes that the library has no algorithm for (odd strides of bfloat16) are not done. */
int
sea_cuda_blas_gemm(struct sea_cuda *cuda, const struct sea_op_gemm *a, int *done)
{
    int64_t step = is_few(a) ? FEW_MOST : a->M;
    struct sea_op_gemm part = *a;
    int rc = SEA_RC_OK;

    *done = 1;
    for (int64_t m = 0; m < a->M && !rc && *done; m += step) {
        part.a = a->a + m * (is_few(a) ? a->lda : 0);
        part.c = a->c + m * a->ldc;
        part.M = a->M - m < step ? a->M - m : step;
        rc = gemm_rows(cuda, &part, done);
        if (m && !rc && !*done)         /* what was added must not be added again */
            rc = blas_code(cuda->blas, CUBLAS_STATUS_NOT_SUPPORTED, &part);
    }
    return rc;
}

#endif

