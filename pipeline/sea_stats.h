/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_stats.h - intervals for scores of benchmark questions
 *
 * For one run. Two runs on the same questions are compared by sea.compare in the database
 * (sql/migrations/0004_compare.sql), and only there.
 *
 * Scores are doubles, one per question; cluster[i] says which group (picture) question i
 * belongs to. Everything is two-sided. What cannot be computed (one question, no spread)
 * is NaN, never a guess.
 *
 *     SE = s / sqrt(n),  s^2 = sum (x_i - mean)^2 / (n - 1)
 *     clustered SE = sqrt(SE^2 + (1/n^2) sum_c [(sum_{i in c} d_i)^2 - sum_{i in c} d_i^2])
 */
#ifndef SEA_STATS_H
#define SEA_STATS_H

#include <stddef.h>
#include <stdint.h>

/* ---- distributions ---- */
double sea_stats_normal_quantile(double p);             /* 0 < p < 1 */
double sea_stats_beta(double a, double b, double x);    /* regularised incomplete beta */
double sea_stats_t_p(double t, double df);              /* P(|T| >= |t|) */
double sea_stats_t_quantile(double p, double df);       /* lower quantile, 0 < p < 1 */

/* ---- one set of scores ---- */
struct sea_mean {
    int64_t n, clusters;
    double mean, se, clustered_se;
};
/* cluster may be NULL: every question is a cluster of its own. */
struct sea_mean sea_stats_mean(const double *x, const int64_t *cluster, size_t n);
/* Wilson's interval of a proportion p of n; n need not be whole (an effective number). */
void sea_stats_wilson(double p, double n, double level, double *low, double *high);
/*
 * The interval we print for a mean of scores within [0, 1]. 0/1 scores: Wilson with the
 * effective number n * (SE / clustered SE)^2, at most n; when the scores do not vary, with
 * the number of clusters. Other scores: mean +- t * larger SE, clusters - 1 degrees of
 * freedom, cut to [0, 1].
 */
void sea_stats_interval(const struct sea_mean *mean, const double *x, size_t n, double level,
                        double *low, double *high);

/* ---- metrics that are not means: F1, circular accuracy ---- */
/* The metric of the rows given (numbers 0..n-1, some more than once). */
typedef double sea_stats_metric_fn(void *arg, const int64_t *rows, size_t count);
struct sea_bootstrap {
    uint64_t seed;
    int resamples;              /* asked for */
    int defined;                /* resamples in which the metric was a number */
    int64_t clusters;
    double se, low, high;       /* percentile interval */
};
/* Draws clusters with replacement. seed and resamples decide the result alone. For a paired
 * comparison the metric is the difference of both runs on the same rows. */
struct sea_bootstrap sea_stats_bootstrap(sea_stats_metric_fn *metric, void *arg,
                                         const int64_t *cluster, size_t n, double level,
                                         uint64_t seed, int resamples);

/* Numbers clusters 0, 1, ... in order of appearance; returns how many. */
size_t sea_stats_number(const char *const *names, size_t n, int64_t *out);

#endif
