/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sea_stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_rng.h"

#define TINY 1e-300

/* Bisection on the distribution function: slow and exact enough (1e-15) for a report. */
static double
invert(double (*cdf)(double x, double arg), double arg, double p)
{
    double low = -1, high = 1;

    if (!(p > 0 && p < 1))
        return NAN;
    while (cdf(low, arg) > p)
        low *= 2;
    while (cdf(high, arg) < p)
        high *= 2;
    for (int i = 0; i < 200 && high - low > 0; i++) {
        double middle = low + (high - low) / 2;

        if (middle <= low || middle >= high)
            break;
        if (cdf(middle, arg) < p)
            low = middle;
        else
            high = middle;
    }
    return low + (high - low) / 2;
}

static double
normal_lower(double z, double unused)
{
    (void)unused;
    return 0.5 * erfc(-z / sqrt(2.0));
}

double
sea_stats_normal_quantile(double p)
{
    /* the upper half by symmetry, where the distribution function keeps its digits */
    return p > 0.5 ? -sea_stats_normal_quantile(1 - p) : invert(normal_lower, 0, p);
}

/* Continued fraction of the incomplete beta function, by Lentz's method. */
static double
beta_fraction(double a, double b, double x)
{
    double c = 1, d = 1 - (a + b) * x / (a + 1), h;

    d = 1 / (fabs(d) < TINY ? TINY : d);
    h = d;
    for (int m = 1; m < 10000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)), step;

        d = 1 + even * d;
        d = 1 / (fabs(d) < TINY ? TINY : d);
        c = 1 + even / c;
        c = fabs(c) < TINY ? TINY : c;
        h *= d * c;
        d = 1 + odd * d;
        d = 1 / (fabs(d) < TINY ? TINY : d);
        c = 1 + odd / c;
        c = fabs(c) < TINY ? TINY : c;
        step = d * c;
        h *= step;
        if (fabs(step - 1) < 1e-16)
            break;
    }
    return h;
}

double
sea_stats_beta(double a, double b, double x)
{
    double front;

    if (!(a > 0 && b > 0) || isnan(x))
        return NAN;
    if (x <= 0 || x >= 1)
        return x <= 0 ? 0 : 1;
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2))
        return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double
sea_stats_t_p(double t, double df)
{
    if (isnan(t) || !(df > 0))
        return NAN;
    if (isinf(t))
        return 0;
    return sea_stats_beta(df / 2, 0.5, df / (df + t * t));
}

static double
t_lower(double t, double df)
{
    double half = sea_stats_t_p(t, df) / 2;

    return t < 0 ? half : 1 - half;
}

double
sea_stats_t_quantile(double p, double df)
{
    if (!(df > 0))
        return NAN;
    return p > 0.5 ? -sea_stats_t_quantile(1 - p, df) : invert(t_lower, df, p);
}

/* Clusters as lists: rows of cluster c are rows[start[c]] .. rows[start[c + 1] - 1]. */
struct groups {
    size_t count;
    size_t *start;
    int64_t *rows;
};

struct tagged {
    int64_t cluster, row;
};

static int
by_cluster(const void *a, const void *b)
{
    const struct tagged *one = a, *two = b;

    if (one->cluster != two->cluster)
        return one->cluster < two->cluster ? -1 : 1;
    return (one->row > two->row) - (one->row < two->row);
}

static struct groups
group(const int64_t *cluster, size_t n)
{
    struct groups g = { .start = sea_xcalloc(n + 1, sizeof(size_t)),
                        .rows = sea_xcalloc(n + 1, sizeof(int64_t)) };
    struct tagged *tags = sea_xcalloc(n + 1, sizeof(*tags));

    for (size_t i = 0; i < n; i++)
        tags[i] = (struct tagged){ cluster ? cluster[i] : (int64_t)i, (int64_t)i };
    qsort(tags, n, sizeof(*tags), by_cluster);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || tags[i].cluster != tags[i - 1].cluster)
            g.start[g.count++] = i;
        g.rows[i] = tags[i].row;
    }
    g.start[g.count] = n;
    free(tags);
    return g;
}

static void
ungroup(struct groups *g)
{
    free(g->start);
    free(g->rows);
}

struct sea_mean
sea_stats_mean(const double *x, const int64_t *cluster, size_t n)
{
    struct sea_mean out = { .n = (int64_t)n, .mean = NAN, .se = NAN, .clustered_se = NAN };
    double sum = 0, squares = 0, between = 0, dn = (double)n;
    struct groups g;

    if (n == 0)
        return out;
    g = group(cluster, n);
    out.clusters = (int64_t)g.count;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    out.mean = sum / dn;
    for (size_t c = 0; c < g.count; c++) {
        double d_sum = 0, d_squares = 0;

        for (size_t i = g.start[c]; i < g.start[c + 1]; i++) {
            double d = x[g.rows[i]] - out.mean;

            d_sum += d;
            d_squares += d * d;
        }
        squares += d_squares;
        between += d_sum * d_sum - d_squares;
    }
    ungroup(&g);
    if (n < 2)
        return out;
    out.se = sqrt(squares / (dn - 1) / dn);
    if (out.clusters >= 2) {
        double variance = out.se * out.se + between / (dn * dn);

        out.clustered_se = sqrt(variance > 0 ? variance : 0);
    }
    return out;
}

void
sea_stats_wilson(double p, double n, double level, double *low, double *high)
{
    double z = sea_stats_normal_quantile(0.5 + level / 2), zz = z * z, middle, half;

    *low = *high = NAN;
    if (!(n > 0) || isnan(p))
        return;
    middle = (p + zz / (2 * n)) / (1 + zz / n);
    half = z / (1 + zz / n) * sqrt(p * (1 - p) / n + zz / (4 * n * n));
    /* At the ends both sides are equal on paper, and apart by a rounding here. */
    *low = p > 0 && middle - half > 0 ? middle - half : 0;
    *high = p < 1 && middle + half < 1 ? middle + half : 1;
}

void
sea_stats_interval(const struct sea_mean *mean, const double *x, size_t n, double level,
                   double *low, double *high)
{
    int binary = 1;
    double se, effective = (double)mean->n, half;

    *low = *high = NAN;
    for (size_t i = 0; i < n && binary; i++)
        binary = x[i] == 0 || x[i] == 1;
    if (binary) {
        if (mean->se == 0)
            effective = (double)mean->clusters;
        else if (mean->clustered_se > mean->se)
            effective *= mean->se * mean->se / (mean->clustered_se * mean->clustered_se);
        sea_stats_wilson(mean->mean, effective, level, low, high);
        return;
    }
    if (mean->clusters < 2)
        return;
    se = mean->clustered_se > mean->se ? mean->clustered_se : mean->se;
    half = sea_stats_t_quantile(0.5 + level / 2, (double)mean->clusters - 1) * se;
    *low = mean->mean - half > 0 ? mean->mean - half : 0;
    *high = mean->mean + half < 1 ? mean->mean + half : 1;
}

static int
by_value(const void *a, const void *b)
{
    double one = *(const double *)a, two = *(const double *)b;

    return (one > two) - (one < two);
}

/* Linear between the two nearest of sorted values. */
static double
percentile(const double *sorted, size_t n, double p)
{
    double at = p * (double)(n - 1);
    size_t low = (size_t)at;

    if (low + 1 >= n)
        return sorted[n - 1];
    return sorted[low] + (at - (double)low) * (sorted[low + 1] - sorted[low]);
}

struct sea_bootstrap
sea_stats_bootstrap(sea_stats_metric_fn *metric, void *arg, const int64_t *cluster, size_t n,
                    double level, uint64_t seed, int resamples)
{
    struct sea_bootstrap out = { .seed = seed, .resamples = resamples, .se = NAN, .low = NAN,
                                 .high = NAN };
    struct groups g = group(cluster, n);
    double *values = sea_xcalloc((size_t)resamples + 1, sizeof(*values));
    int64_t *rows = NULL;
    size_t room = 0;

    out.clusters = (int64_t)g.count;
    for (int r = 0; r < resamples && g.count >= 2; r++) {
        struct sea_rng rng;
        size_t count = 0;
        double value;

        sea_rng_init(&rng, seed, sea_rng_stream("bootstrap", (uint64_t)r, 0));
        for (size_t c = 0; c < g.count; c++) {
            uint32_t pick = sea_rng_below(&rng, (uint32_t)g.count);
            size_t size = g.start[pick + 1] - g.start[pick];

            if (count + size > room) {
                room = 2 * (count + size);
                rows = sea_xrealloc(rows, room, sizeof(*rows));
            }
            if (size)
                memcpy(rows + count, g.rows + g.start[pick], size * sizeof(*rows));
            count += size;
        }
        value = metric(arg, rows, count);
        if (!isnan(value))
            values[out.defined++] = value;
    }
    if (out.defined >= 2) {
        size_t m = (size_t)out.defined;
        double sum = 0, squares = 0;

        for (size_t i = 0; i < m; i++)
            sum += values[i];
        for (size_t i = 0; i < m; i++)
            squares += (values[i] - sum / (double)m) * (values[i] - sum / (double)m);
        out.se = sqrt(squares / (double)(m - 1));
        qsort(values, m, sizeof(*values), by_value);
        out.low = percentile(values, m, (1 - level) / 2);
        out.high = percentile(values, m, (1 + level) / 2);
    }
    free(rows);
    free(values);
    ungroup(&g);
    return out;
}

struct named {
    const char *name;
    int64_t row, number;
};

static int
by_name(const void *a, const void *b)
{
    const struct named *one = a, *two = b;
    int order = strcmp(one->name, two->name);

    return order ? order : (one->row > two->row) - (one->row < two->row);
}

static int
by_first_row(const void *a, const void *b)
{
    const struct named *const *one = a, *const *two = b;

    return ((*one)->row > (*two)->row) - ((*one)->row < (*two)->row);
}

size_t
sea_stats_number(const char *const *names, size_t n, int64_t *out)
{
    struct named *list = sea_xcalloc(n + 1, sizeof(*list)), **firsts;
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        list[i] = (struct named){ names[i], (int64_t)i, 0 };
    qsort(list, n, sizeof(*list), by_name);
    firsts = sea_xcalloc(n + 1, sizeof(struct named *));
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(list[i].name, list[i - 1].name) != 0)
            firsts[count++] = &list[i];
    qsort(firsts, count, sizeof(struct named *), by_first_row);
    for (size_t k = 0; k < count; k++)
        firsts[k]->number = (int64_t)k;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && strcmp(list[i].name, list[i - 1].name) == 0)
            list[i].number = list[i - 1].number;
        out[list[i].row] = list[i].number;
    }
    free(firsts);
    free(list);
    return count;
}
