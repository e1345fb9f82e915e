/* SPDX-License-Identifier: Apache-2.0 */
/* Intervals and tests agree with closed forms and with their formulas evaluated by hand. */
#include <math.h>

#include "pipeline/sea_stats.h"
#include "tests/sea_test.h"

#define TIGHT 1e-9

static void
distributions_meet_closed_forms(void)
{
    CHECK_NEAR(sea_stats_normal_quantile(0.975), 1.959963984540054, 1e-13);
    CHECK_NEAR(sea_stats_normal_quantile(0.5), 0, 1e-13);
    CHECK_NEAR(sea_stats_normal_quantile(1e-10), -6.361340902404056, TIGHT);
    CHECK_NEAR(sea_stats_beta(2, 3, 0.5), 11.0 / 16, 1e-14);
    CHECK_NEAR(sea_stats_beta(1, 4, 0.3), 1 - 0.7 * 0.7 * 0.7 * 0.7, 1e-14);
    CHECK_NEAR(sea_stats_beta(0.5, 0.5, 0.25), 2 / M_PI * asin(0.5), 1e-13);
    CHECK_NEAR(sea_stats_beta(3, 2, 0) + sea_stats_beta(3, 2, 1), 1, 0);
    /* one degree of freedom is Cauchy's, two have a root */
    CHECK_NEAR(sea_stats_t_p(1, 1), 0.5, 1e-13);
    CHECK_NEAR(sea_stats_t_p(-1.5, 2), 1 - 1.5 / sqrt(2 + 1.5 * 1.5), 1e-13);
    CHECK_NEAR(sea_stats_t_quantile(0.975, 1), tan(M_PI * 0.475), 1e-10);
    CHECK_NEAR(sea_stats_t_quantile(0.975, 4), 2.7764451051977987, TIGHT);
    CHECK_NEAR(sea_stats_t_quantile(0.025, 4), -2.7764451051977987, TIGHT);
    CHECK_NEAR(sea_stats_t_p(2, 10), 0.07338803477074039, TIGHT);
    CHECK_NEAR(sea_stats_t_quantile(0.975, 1e7), 1.959963984540054, 1e-6);
    CHECK(isnan(sea_stats_t_p(1, 0)));
}

static void
clustered_errors_follow_the_formula(void)
{
    static const double mixed[] = { 1, 0, 1, 1, 0, 1 }, alike[] = { 1, 1, 0, 0, 1, 1 };
    static const int64_t cluster[] = { 9, 9, 4, 4, 7, 7 }, scattered[] = { 0, 1, 2, 0, 1, 2 };
    struct sea_mean mean = sea_stats_mean(mixed, cluster, 6);

    CHECK_NEAR(mean.mean, 2.0 / 3, 1e-15);
    CHECK_NEAR(mean.se, sqrt(4.0 / 3 / 5 / 6), TIGHT);
    CHECK_NEAR(mean.clustered_se, sqrt(4.0 / 3 / 5 / 6 - 2.0 / 3 / 36), TIGHT);
    CHECK_INT(mean.clusters, 3);
    mean = sea_stats_mean(alike, cluster, 6);
    CHECK_NEAR(mean.clustered_se, sqrt(4.0 / 3 / 5 / 6 + 4.0 / 3 / 36), TIGHT);
    mean = sea_stats_mean(mixed, scattered, 6); /* the same groups in another order */
    CHECK_NEAR(mean.clustered_se, sqrt(4.0 / 3 / 5 / 6 + 4.0 / 3 / 36), TIGHT);
    mean = sea_stats_mean(mixed, NULL, 6);
    CHECK_INT(mean.clusters, 6);
    CHECK_NEAR(mean.clustered_se, mean.se, TIGHT);
    mean = sea_stats_mean(mixed, NULL, 1);
    CHECK(mean.mean == 1 && isnan(mean.se) && isnan(mean.clustered_se));
    CHECK(isnan(sea_stats_mean(NULL, NULL, 0).mean));
}

static void
intervals_of_shares(void)
{
    double low, high, wide_low, wide_high;
    double all_right[8] = { 1, 1, 1, 1, 1, 1, 1, 1 }, scores[4] = { 0.3, 0.6, 0.9, 1 };
    static const int64_t pairs[] = { 0, 0, 1, 1, 2, 2, 3, 3 };
    struct sea_mean mean;

    sea_stats_wilson(0.8, 10, 0.95, &low, &high);
    CHECK_NEAR(low, 0.49016247153664183, TIGHT);
    CHECK_NEAR(high, 0.9433178485456247, TIGHT);
    sea_stats_wilson(0, 10, 0.95, &low, &high);
    CHECK_NEAR(low, 0, 0);
    CHECK(high > 0.2 && high < 0.3);
    /* The ends are exact for every count, so that no value lies outside of its interval. */
    for (int n = 1; n < 200; n++) {
        sea_stats_wilson(0, n, 0.95, &low, &high);
        CHECK_NEAR(low, 0, 0);
        sea_stats_wilson(1, n, 0.95, &low, &high);
        CHECK_NEAR(high, 1, 0);
    }
    /* no spread: the clusters count, not the questions */
    mean = sea_stats_mean(all_right, pairs, 8);
    sea_stats_interval(&mean, all_right, 8, 0.95, &low, &high);
    sea_stats_wilson(1, 4, 0.95, &wide_low, &wide_high);
    CHECK_NEAR(low, wide_low, TIGHT);
    CHECK_NEAR(high, 1, 0);
    /* graded scores: t, cut at 1 */
    mean = sea_stats_mean(scores, NULL, 4);
    sea_stats_interval(&mean, scores, 4, 0.95, &low, &high);
    CHECK_NEAR(low, 0.7 - 3.182446305284263 * sqrt(0.30 / 3 / 4), TIGHT);
    CHECK_NEAR(high, 1, 0);
}

static double
mean_of(void *arg, const int64_t *rows, size_t count)
{
    const double *x = arg;
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += x[rows[i]];
    return sum / (double)count;
}

static double
never(void *arg, const int64_t *rows, size_t count)
{
    (void)arg;
    (void)rows;
    (void)count;
    return NAN;
}

static void
bootstrap_resamples_clusters(void)
{
    enum { N = 400 };
    double x[N];
    int64_t cluster[N];
    struct sea_bootstrap one, two, other;
    struct sea_mean mean;

    for (int i = 0; i < N; i++) {
        cluster[i] = i / 4;
        x[i] = (i / 4 * 7) % 10 < 6;            /* alike inside a cluster */
    }
    mean = sea_stats_mean(x, cluster, N);
    one = sea_stats_bootstrap(mean_of, x, cluster, N, 0.95, 3, 2000);
    two = sea_stats_bootstrap(mean_of, x, cluster, N, 0.95, 3, 2000);
    other = sea_stats_bootstrap(mean_of, x, cluster, N, 0.95, 4, 2000);
    CHECK(one.se == two.se && one.low == two.low && one.high == two.high);
    CHECK(one.low != other.low || one.se != other.se);
    CHECK_INT(one.clusters, 100);
    CHECK_INT(one.defined, 2000);
    printf("  bootstrap error %.4f, clustered %.4f, plain %.4f (bound: 8%% of the clustered)\n",
           one.se, mean.clustered_se, mean.se);
    CHECK_NEAR(one.se, mean.clustered_se, 0.08 * mean.clustered_se);
    CHECK(one.se > 1.5 * mean.se);
    CHECK(one.low < mean.mean && mean.mean < one.high);
    one = sea_stats_bootstrap(never, x, cluster, N, 0.95, 3, 20);
    CHECK(one.defined == 0 && isnan(one.low) && isnan(one.se));
}

static void
clusters_are_numbered_in_order(void)
{
    static const char *const names[] = { "b", "a", "b", "c", "a" };
    int64_t number[5];

    CHECK_INT(sea_stats_number(names, 5, number), 3);
    CHECK(number[0] == 0 && number[1] == 1 && number[2] == 0 && number[3] == 2 && number[4] == 1);
}

SEA_TEST_MAIN("statistics", TEST(distributions_meet_closed_forms),
              TEST(clustered_errors_follow_the_formula), TEST(intervals_of_shares),
              TEST(bootstrap_resamples_clusters),
              TEST(clusters_are_numbered_in_order))
