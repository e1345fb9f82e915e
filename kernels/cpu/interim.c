/* SPDX-License-Identifier: Apache-2.0 */
/* Interim plain operators until the fast ones are in place. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "kernels/sea_ops.h"

static int dev_count(int *count) { *count = 1; return 0; }
static int dev_open(int index, int threads, void **dev) { (void)threads; if (index) return SEA_RC_ARGUMENT; *dev = malloc(64); return *dev ? 0 : SEA_RC_MEMORY; }
static void dev_close(void *dev) { free(dev); }
static const char *dev_text(void *dev) { (void)dev; return "interim plain operators, 1 thread"; }
static int mem_alloc(void *dev, size_t bytes, void **mem) { (void)dev; if (bytes > ((size_t)1 << 46)) return SEA_RC_MEMORY; *mem = aligned_alloc(64, (bytes + 63) & ~(size_t)63); return *mem ? 0 : SEA_RC_MEMORY; }
static void mem_free(void *dev, void *mem) { (void)dev; free(mem); }
static int mem_zero(void *dev, void *mem, size_t n) { (void)dev; memset(mem, 0, n); return 0; }
static int copy_(void *dev, void *to, const void *from, size_t n) { (void)dev; if (n) memmove(to, from, n); return 0; }
static int wait_(void *dev) { (void)dev; return 0; }
static const char *rc_text(int rc) { return rc == 0 ? "done" : rc == 1 ? "bad argument" : rc == 2 ? "no memory" : "unsupported"; }

__attribute__((target("avx512f"))) static void gemm_rows(const struct sea_op_gemm *a, int64_t m, float *row)
{
    for (int64_t n = 0; n < a->N; n++) row[n] = 0;
    for (int64_t k = 0; k < a->K; k++) {
        float av = a->trans_a ? a->a[k * a->lda + m] : a->a[m * a->lda + k];
        if (!a->trans_b) { const float *b = a->b + k * a->ldb; for (int64_t n = 0; n < a->N; n++) row[n] += av * b[n]; }
        else for (int64_t n = 0; n < a->N; n++) row[n] += av * a->b[n * a->ldb + k];
    }
}
static int gemm(void *dev, const struct sea_op_gemm *a)
{
    float *row = malloc(sizeof(float) * (size_t)(a->N + 1));
    struct sea_op_gemm t = *a;
    float *bt = NULL;
    (void)dev;
    if (a->trans_b) { bt = malloc(sizeof(float) * (size_t)(a->N * a->K + 1)); for (int64_t n = 0; n < a->N; n++) for (int64_t k = 0; k < a->K; k++) bt[k * a->N + n] = a->b[n * a->ldb + k]; t.b = bt; t.ldb = a->N; t.trans_b = 0; }
    for (int64_t m = 0; m < a->M; m++) {
        float *c = a->c + m * a->ldc;
        gemm_rows(&t, m, row);
        for (int64_t n = 0; n < a->N; n++) { float v = a->alpha * row[n] + (a->bias ? a->bias[n] : 0); c[n] = a->accumulate ? c[n] + v : v; }
    }
    free(bt); free(row);
    return 0;
}
static int gather(void *dev, const struct sea_op_gather *a)
{
    (void)dev;
    for (int64_t r = 0; r < a->R; r++) for (int64_t c = 0; c < a->C; c++) { float v = a->idx[r] < 0 ? 0 : a->inp[a->idx[r] * a->ld_inp + c]; float *o = a->out + r * a->ld_out + c; *o = a->add ? *o + v : v; }
    return 0;
}
static int scatter(void *dev, const struct sea_op_scatter *a)
{
    (void)dev;
    for (int64_t i = 0; i < a->R; i++) { int64_t r = a->add ? a->order[i] : i; if (a->idx[r] < 0) continue; for (int64_t c = 0; c < a->C; c++) { float *o = a->out + a->idx[r] * a->ld_out + c; float v = a->inp[r * a->ld_inp + c]; *o = a->add ? *o + v : v; } }
    return 0;
}
static int layernorm(void *dev, const struct sea_op_layernorm *a)
{
    (void)dev;
    for (int64_t r = 0; r < a->R; r++) { const float *x = a->x + r * a->C; double s = 0, q = 0; for (int64_t c = 0; c < a->C; c++) s += x[c]; double m = s / (double)a->C; for (int64_t c = 0; c < a->C; c++) q += (x[c] - m) * (x[c] - m); double rs = 1 / sqrt(q / (double)a->C + a->eps);
        for (int64_t c = 0; c < a->C; c++) a->y[r * a->C + c] = (float)((x[c] - m) * rs) * a->gamma[c] + (a->beta ? a->beta[c] : 0);
        if (a->mean) a->mean[r] = (float)m;
        if (a->rstd) a->rstd[r] = (float)rs; }
    return 0;
}
static int layernorm_bwd(void *dev, const struct sea_op_layernorm_bwd *a)
{
    (void)dev;
    for (int64_t r = 0; r < a->R; r++) { const float *x = a->x + r * a->C, *dy = a->dy + r * a->C; double s1 = 0, s2 = 0;
        for (int64_t c = 0; c < a->C; c++) { double xh = (x[c] - a->mean[r]) * a->rstd[r], g = (double)dy[c] * a->gamma[c]; s1 += g; s2 += g * xh; }
        s1 /= (double)a->C; s2 /= (double)a->C;
        for (int64_t c = 0; c < a->C; c++) { double xh = (x[c] - a->mean[r]) * a->rstd[r], g = (double)dy[c] * a->gamma[c]; if (a->dgamma) a->dgamma[c] += (float)(dy[c] * xh); if (a->dbeta) a->dbeta[c] += dy[c];
            if (a->dx) { float v = (float)((g - s1 - xh * s2) * a->rstd[r]); float *o = a->dx + r * a->C + c; *o = a->add_dx ? *o + v : v; } } }
    return 0;
}
static int rmsnorm(void *dev, const struct sea_op_rmsnorm *a)
{
    (void)dev;
    for (int64_t r = 0; r < a->R; r++) { const float *x = a->x + r * a->C; double q = 0; for (int64_t c = 0; c < a->C; c++) q += (double)x[c] * x[c]; double rs = 1 / sqrt(q / (double)a->C + a->eps); for (int64_t c = 0; c < a->C; c++) a->y[r * a->C + c] = (float)(x[c] * rs * (a->gamma[c] + a->gamma_add)); if (a->rstd) a->rstd[r] = (float)rs; }
    return 0;
}
static int rmsnorm_bwd(void *dev, const struct sea_op_rmsnorm_bwd *a)
{
    (void)dev;
    for (int64_t r = 0; r < a->R; r++) { const float *x = a->x + r * a->C, *dy = a->dy + r * a->C; double s2 = 0, rs = a->rstd[r];
        for (int64_t c = 0; c < a->C; c++) s2 += (double)dy[c] * (a->gamma[c] + a->gamma_add) * x[c] * rs;
        s2 /= (double)a->C;
        for (int64_t c = 0; c < a->C; c++) { double xh = x[c] * rs, g = (double)dy[c] * (a->gamma[c] + a->gamma_add); if (a->dgamma) a->dgamma[c] += (float)(dy[c] * xh); if (a->dx) { float v = (float)((g - xh * s2) * rs); float *o = a->dx + r * a->C + c; *o = a->add_dx ? *o + v : v; } } }
    return 0;
}
static double sig(double x) { return 1 / (1 + exp(-x)); }
static double actf(enum sea_act k, double x, double *d)
{
    if (k == SEA_ACT_GELU) { double p = 0.5 * (1 + erf(x * M_SQRT1_2)); *d = p + x * exp(-0.5 * x * x) * 0.3989422804014327; return x * p; }
    if (k == SEA_ACT_GELU_TANH) { double c = 0.7978845608028654, u = c * (x + 0.044715 * x * x * x), t = tanh(u); *d = 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x); return 0.5 * x * (1 + t); }
    double b = k == SEA_ACT_QUICK_GELU ? 1.702 : 1, s = sig(b * x); *d = s + x * b * s * (1 - s); return x * s;
}
static int act(void *dev, const struct sea_op_act *a)
{
    double d; (void)dev;
    for (int64_t r = 0; r < a->R; r++) for (int64_t c = 0; c < a->C; c++) { const float *x = a->x + r * a->C * (a->gated ? 2 : 1); double v = actf(a->act, x[c], &d); a->y[r * a->C + c] = (float)(a->gated ? v * x[a->C + c] : v); }
    return 0;
}
static int act_bwd(void *dev, const struct sea_op_act_bwd *a)
{
    double d; (void)dev;
    for (int64_t r = 0; r < a->R; r++) for (int64_t c = 0; c < a->C; c++) { int64_t w = a->C * (a->gated ? 2 : 1); const float *x = a->x + r * w; float *dx = a->dx + r * w; float dy = a->dy[r * a->C + c]; double v = actf(a->act, x[c], &d); if (a->gated) { double u = x[a->C + c]; dx[c] = (float)(dy * d * u); dx[a->C + c] = (float)(dy * v); } else dx[c] = (float)(dy * d); }
    return 0;
}
static int rope(void *dev, const struct sea_op_rope *a)
{
    (void)dev;
    for (int64_t n = 0; n < a->N; n++) for (int64_t h = 0; h < a->heads; h++) { float *x = a->x + n * a->ld + h * a->E; const float *cs = a->cos_sin + a->pos[n] * a->rot; int64_t half = a->rot / 2; for (int64_t i = 0; i < half; i++) { float c = cs[i], s = a->inverse ? -cs[half + i] : cs[half + i], p = x[i], q = x[i + half]; x[i] = p * c - q * s; x[i + half] = q * c + p * s; } }
    return 0;
}
static int attention(void *dev, const struct sea_op_attention *a)
{
    (void)dev;
    for (int64_t s = 0; s < a->S; s++) { int64_t q0 = a->q_start[s], ql = a->q_start[s + 1] - q0, k0 = a->k_start[s], kl = a->k_len[s]; double *p = malloc(sizeof(double) * (size_t)(kl + 1));
        for (int64_t h = 0; h < a->H; h++) for (int64_t j = 0; j < ql; j++) { int64_t kh = h * a->K / a->H, see = a->causal ? kl - ql + j + 1 : kl; const float *q = a->q + (q0 + j) * a->ld_q + h * a->E; double mx = -DBL_MAX, sum = 0;
            for (int64_t i = 0; i < see; i++) { const float *k = a->k + (k0 + i) * a->ld_kv + kh * a->E; double d = 0; for (int64_t e = 0; e < a->E; e++) d += (double)q[e] * k[e]; p[i] = d * a->scale; if (p[i] > mx) mx = p[i]; }
            for (int64_t i = 0; i < see; i++) { p[i] = exp(p[i] - mx); sum += p[i]; }
            for (int64_t e = 0; e < a->E; e++) { double o = 0; for (int64_t i = 0; i < see; i++) o += p[i] * a->v[(k0 + i) * a->ld_kv + kh * a->E + e]; a->out[(q0 + j) * a->ld_out + h * a->E + e] = (float)(o / sum); }
            if (a->lse) a->lse[(q0 + j) * a->H + h] = (float)(mx + log(sum)); }
        free(p); }
    return 0;
}
static int attention_bwd(void *dev, const struct sea_op_attention_bwd *b)
{
    const struct sea_op_attention *a = &b->fwd; (void)dev;
    for (int64_t s = 0; s < a->S; s++) { int64_t q0 = a->q_start[s], n = a->q_start[s + 1] - q0;
        for (int64_t j = 0; j < n; j++) { for (int64_t x = 0; x < a->H * a->E; x++) b->dq[(q0 + j) * a->ld_q + x] = 0; for (int64_t x = 0; x < a->K * a->E; x++) b->dk[(q0 + j) * a->ld_kv + x] = b->dv[(q0 + j) * a->ld_kv + x] = 0; }
        for (int64_t h = 0; h < a->H; h++) for (int64_t j = 0; j < n; j++) { int64_t kh = h * a->K / a->H, see = a->causal ? j + 1 : n, r = q0 + j; const float *q = a->q + r * a->ld_q + h * a->E, *o = a->out + r * a->ld_out + h * a->E, *dO = b->dout + r * a->ld_out + h * a->E; float *dq = b->dq + r * a->ld_q + h * a->E; double dl = 0;
            for (int64_t e = 0; e < a->E; e++) dl += (double)o[e] * dO[e];
            for (int64_t i = 0; i < see; i++) { const float *k = a->k + (q0 + i) * a->ld_kv + kh * a->E, *v = a->v + (q0 + i) * a->ld_kv + kh * a->E; float *dk = b->dk + (q0 + i) * a->ld_kv + kh * a->E, *dv = b->dv + (q0 + i) * a->ld_kv + kh * a->E; double d = 0, dp = 0; for (int64_t e = 0; e < a->E; e++) { d += (double)q[e] * k[e]; dp += (double)dO[e] * v[e]; }
                double p = exp(d * a->scale - a->lse[r * a->H + h]), ds = p * (dp - dl) * a->scale; for (int64_t e = 0; e < a->E; e++) { dv[e] += (float)(p * dO[e]); dk[e] += (float)(ds * q[e]); dq[e] += (float)(ds * k[e]); } } } }
    return 0;
}
static int xent(void *dev, const struct sea_op_xent *a)
{
    (void)dev;
    for (int64_t r = 0; r < a->R; r++) { float *l = a->logits + r * a->ld; double mx = -DBL_MAX, s = 0; for (int64_t v = 0; v < a->V; v++) if (l[v] > mx) mx = l[v]; for (int64_t v = 0; v < a->V; v++) s += exp(l[v] - mx); double lse = mx + log(s); a->loss[r] = (float)(a->weight[r] * (lse - l[a->target[r]]));
        if (a->grad) for (int64_t v = 0; v < a->V; v++) l[v] = (float)(a->weight[r] * (exp(l[v] - lse) - (v == a->target[r]))); }
    return 0;
}
static int l2norm(void *dev, const struct sea_op_l2norm *a)
{
    (void)dev;
    for (int64_t r = 0; r < a->R; r++) { double q = 0; for (int64_t c = 0; c < a->C; c++) q += (double)a->inp[r * a->C + c] * a->inp[r * a->C + c]; double rn = 1 / sqrt(q + a->eps); for (int64_t c = 0; c < a->C; c++) a->out[r * a->C + c] = (float)(a->inp[r * a->C + c] * rn); if (a->rnorm) a->rnorm[r] = (float)rn; }
    return 0;
}
static int l2norm_bwd(void *dev, const struct sea_op_l2norm_bwd *a)
{
    (void)dev;
    for (int64_t r = 0; r < a->R; r++) { double d = 0; for (int64_t c = 0; c < a->C; c++) d += (double)a->out[r * a->C + c] * a->dout[r * a->C + c]; for (int64_t c = 0; c < a->C; c++) a->dinp[r * a->C + c] = (float)(a->rnorm[r] * (a->dout[r * a->C + c] - a->out[r * a->C + c] * d)); }
    return 0;
}
static int contrast(void *dev, const struct sea_op_contrast *a)
{
    int64_t R = a->R; (void)dev;
    a->loss[0] = 0;
    if (R < 2) { for (int64_t i = 0; i < R * R; i++) a->cos[i] = 0; return 0; }
    double sc = exp(a->theta[0]), loss = 0, dth = 0; int cl = a->max_scale > 0 && sc > a->max_scale; if (cl) sc = a->max_scale;
    double *rl = malloc(sizeof(double) * (size_t)(2 * R)), *clse = rl + R;
    for (int64_t i = 0; i < R; i++) { double m = -DBL_MAX, s = 0, m2 = -DBL_MAX, s2 = 0; for (int64_t j = 0; j < R; j++) { double x = sc * a->cos[i * R + j], y = sc * a->cos[j * R + i]; if (x > m) m = x; if (y > m2) m2 = y; } for (int64_t j = 0; j < R; j++) { s += exp(sc * a->cos[i * R + j] - m); s2 += exp(sc * a->cos[j * R + i] - m2); } rl[i] = m + log(s); clse[i] = m2 + log(s2); loss += rl[i] + clse[i] - 2 * sc * a->cos[i * R + i]; }
    for (int64_t i = 0; i < R; i++) for (int64_t j = 0; j < R; j++) { double x = sc * a->cos[i * R + j], g = (exp(x - rl[i]) + exp(x - clse[j]) - 2 * (i == j)) / (2 * (double)R); dth += g * x; a->cos[i * R + j] = (float)(g * sc * a->weight); }
    a->loss[0] = (float)(loss / (2 * (double)R)); if (a->dtheta && !cl) a->dtheta[0] += (float)(a->weight * dth); free(rl);
    return 0;
}
static int topk(void *dev, const struct sea_op_topk *a)
{
    (void)dev;
    for (int64_t r = 0; r < a->R; r++) { int32_t *ix = a->index + r * a->k; float *v = a->value + r * a->k; if (!a->merge) for (int64_t i = 0; i < a->k; i++) { ix[i] = -1; v[i] = -INFINITY; }
        for (int64_t c = 0; c < a->C; c++) { float x = a->x[r * a->ld + c]; int64_t i = a->k; if (!(ix[a->k - 1] < 0 || x > v[a->k - 1])) continue; i = a->k - 1; while (i > 0 && (ix[i - 1] < 0 || x > v[i - 1])) { ix[i] = ix[i - 1]; v[i] = v[i - 1]; i--; } ix[i] = (int32_t)(a->col_base + c); v[i] = x; } }
    return 0;
}
static int adamw(void *dev, const struct sea_op_adamw *a)
{
    double b1 = 1 - pow(a->beta1, (double)a->step), b2 = 1 - pow(a->beta2, (double)a->step); float s = a->gscale ? a->gscale[0] : 1; (void)dev;
    for (int64_t i = 0; i < a->n; i++) { float g = a->g[i] * s; a->m[i] = a->beta1 * a->m[i] + (1 - a->beta1) * g; a->v[i] = a->beta2 * a->v[i] + (1 - a->beta2) * g * g; a->p[i] -= (float)(a->lr * ((a->m[i] / b1) / (sqrt(a->v[i] / b2) + a->eps) + a->wd * a->p[i])); }
    return 0;
}
static int axpby(void *dev, const struct sea_op_axpby *a)
{
    (void)dev;
    for (int64_t i = 0; i < a->n; i++) a->out[i] = a->a * a->x[i] + (a->y ? a->b * a->y[i] : 0);
    return 0;
}
static int colsum(void *dev, const struct sea_op_colsum *a)
{
    (void)dev;
    for (int64_t c = 0; c < a->C; c++) { double s = 0; for (int64_t r = 0; r < a->R; r++) s += a->x[r * a->ld + c]; a->out[c] = (float)(a->accumulate ? a->out[c] + s : s); }
    return 0;
}
static int sum(void *dev, const struct sea_op_sum *a)
{
    double s = 0; (void)dev;
    for (int64_t i = 0; i < a->n; i++) s += a->square ? (double)a->x[i] * a->x[i] : a->x[i];
    *a->out = a->accumulate ? *a->out + s : s;
    return 0;
}
static int clip(void *dev, const struct sea_op_clip *a)
{
    double n = sqrt(a->sumsq[0]); (void)dev;
    a->gscale[0] = a->max_norm > 0 && n > a->max_norm ? (float)(a->max_norm / n) : 1;
    return 0;
}
static int patchify(void *dev, const struct sea_op_patchify *a)
{
    int64_t P = a->P, gh = a->height / P, gw = a->width / P; (void)dev;
    for (int64_t b = 0; b < a->B; b++) for (int64_t py = 0; py < gh; py++) for (int64_t px = 0; px < gw; px++) for (int64_t c = 0; c < a->channels; c++) for (int64_t y = 0; y < P; y++)
        memcpy(a->out + ((b * gh + py) * gw + px) * a->channels * P * P + (c * P + y) * P, a->pixels + ((b * a->channels + c) * a->height + py * P + y) * a->width + px * P, sizeof(float) * (size_t)P);
    return 0;
}
const struct sea_ops sea_cpu_ops = { .abi = SEA_OPS_ABI, .size = sizeof(struct sea_ops), .name = "cpu", .dev_count = dev_count, .dev_open = dev_open, .dev_close = dev_close, .dev_text = dev_text, .mem_alloc = mem_alloc, .mem_free = mem_free, .mem_zero = mem_zero, .copy_in = copy_, .copy_out = copy_, .copy = copy_, .wait = wait_, .rc_text = rc_text, .gemm = gemm, .gather = gather, .scatter = scatter, .layernorm = layernorm, .layernorm_bwd = layernorm_bwd, .rmsnorm = rmsnorm, .rmsnorm_bwd = rmsnorm_bwd, .act = act, .act_bwd = act_bwd, .rope = rope, .attention = attention, .attention_bwd = attention_bwd, .xent = xent, .l2norm = l2norm, .l2norm_bwd = l2norm_bwd, .contrast = contrast, .topk = topk, .adamw = adamw, .axpby = axpby, .colsum = colsum, .sum = sum, .clip = clip, .patchify = patchify };
