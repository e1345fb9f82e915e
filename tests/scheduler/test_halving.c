/* SPDX-License-Identifier: Apache-2.0 */
/* Early stopping of sweeps: which trials are stopped, when, and what stays as it was. */
#include <math.h>

#include "tests/scheduler/service.h"

#define TRIAL "{\"name\":\"s/lr=%d\",\"seed\":%d,\"stages\":{\"tune\":{},\"eval\":{}},"        \
              "\"halving\":{\"metric\":\"tune.loss\",\"mode\":\"%s\",\"first\":10,\"eta\":3,"  \
              "\"study\":\"%s\"}}"

static struct sea_arena *arena;
static int64_t worker;

struct trial {
    int64_t id;
    struct sea_claim claim;
    int64_t batch;
};

static void
fresh(void)
{
    service_begin();
    if (!arena)
        arena = sea_arena_create(NULL, "test");
    worker = add_worker();
}

static struct trial
start(int seed, const char *mode, const char *study)
{
    struct sea_err err = { 0 };
    struct trial trial = { .batch = 1 };
    bool claimed = false;
    char config[512], key[64];

    snprintf(config, sizeof(config), TRIAL, seed, seed, mode, study);
    snprintf(key, sizeof(key), "%s-%d", study, seed);
    trial.id = submit(config, key);
    tick();
    CHECK_OK(sea_queue_claim(db, worker, "default", 60000, arena, &trial.claim, &claimed, &err),
             err);
    CHECK(claimed && trial.claim.experiment_id == trial.id);
    CHECK_OK(sea_queue_start(db, &trial.claim.fence, 1, false, NULL, &err), err);
    return trial;
}

/* Steps from..to of a curve that is `loss` throughout; a value that is no number is "NaN". */
static void
train(struct trial *trial, int from, int to, double loss)
{
    struct sea_err err = { 0 };
    char value[32], batch[8192];
    size_t n = (size_t)snprintf(batch, sizeof(batch), "{\"metrics\":[");

    snprintf(value, sizeof(value), isnan(loss) ? "\"NaN\"" : "%.17g", loss);
    for (int step = from; step <= to; step++)
        n += (size_t)snprintf(batch + n, sizeof(batch) - n, "%s[\"tune.loss\",%d,%s]",
                              step > from ? "," : "", step, value);
    snprintf(batch + n, sizeof(batch) - n, "]}");
    CHECK_OK(sea_queue_relay(db, &trial->claim.fence, trial->batch++, batch, &err), err);
}

static bool
is_stopped(const struct trial *trial)
{
    char sql[256];

    snprintf(sql, sizeof(sql), "SELECT cancel_requested_at IS NOT NULL FROM sea.stage_run"
             " WHERE experiment_id = %lld AND stage = 'tune'", (long long)trial->id);
    return number(sql) == 1;
}

/* Nine trials at rung 0 (step 10), the losses in no order: three stay; at rung 1 (step 30), one. */
static void
the_best_third_goes_on(void)
{
    static const double loss[] = { 5, 2, 8, 1, 9, 3, 7, 6, 4 };
    struct trial trials[9];

    fresh();
    for (int i = 0; i < 9; i++)
        trials[i] = start(i, "min", "third");
    for (int i = 0; i < 9; i++)
        train(&trials[i], 1, 9, loss[i]);
    tick();
    CHECK_INT(number("SELECT count(*) FROM sea.rung"), 0);      /* nobody is at step 10 */
    for (int i = 0; i < 9; i++)
        train(&trials[i], 10, 12, loss[i]);
    run_sql("CREATE TEMP TABLE no_eval AS SELECT s.id FROM sea.stage_run s JOIN sea.trial t"
            " USING (experiment_id) WHERE s.stage = 'eval' ORDER BY t.experiment_id DESC LIMIT 1");
    run_sql("DELETE FROM sea.stage_dep WHERE child_id IN (TABLE no_eval)");
    run_sql("DELETE FROM sea.stage_run WHERE id IN (TABLE no_eval)");
    tick();
    CHECK_INT(number("SELECT count(*) FROM sea.rung WHERE rung = 0 AND step = 10"), 9);
    for (int i = 0; i < 9; i++)
        CHECK(is_stopped(&trials[i]) == (loss[i] > 3));
    CHECK_STR(text("SELECT string_agg(rank || ':' || value, ' ' ORDER BY rank) FROM sea.study"
                   " WHERE state <> 'stopped'"), "1:1 2:2 3:3");
    CHECK_STR(text("SELECT reason FROM sea.study WHERE value = 4"),
              "stopped at step 10: tune.loss 4 is number 4 of 9, 3 go on");
    CHECK_INT(number("SELECT count(*) FROM sea.event WHERE text LIKE 'stopped at step 10%'"), 6);
    /* Its last stage was quicker than the stop: what it came to counts. */
    run_sql("SELECT sea.commit_stage(l.stage_id, l.epoch, l.secret, '[]', 'd', '[]')"
            "  FROM sea.lease l JOIN sea.stage_run s ON s.id = l.stage_id"
            "  JOIN sea.study t ON t.experiment_id = s.experiment_id WHERE t.value = 4");
    CHECK_STR(text("SELECT state FROM sea.study WHERE value = 4"), "succeeded");
    train(&trials[3], 13, 30, 1);       /* alone at rung 1: nobody to compare with */
    train(&trials[1], 13, 30, 0.5);     /* two are less than eta */
    tick();
    CHECK(!is_stopped(&trials[3]) && !is_stopped(&trials[1]));
    train(&trials[5], 13, 30, 0.7);
    tick();
    CHECK(is_stopped(&trials[3]) && !is_stopped(&trials[1]) && is_stopped(&trials[5]));
}

/* Asynchronous: the first at a rung goes on, and is stopped between rungs by later ones. */
static void
whoever_was_first_is_judged_again(void)
{
    struct trial a, b, c;

    fresh();
    a = start(1, "max", "async");
    train(&a, 1, 15, 0.2);
    tick();
    b = start(2, "max", "async");
    c = start(3, "max", "async");
    train(&b, 1, 10, NAN);              /* diverged: worse than all */
    tick();
    CHECK(!is_stopped(&a) && !is_stopped(&b));
    train(&c, 1, 10, 0.3);
    tick();
    CHECK(is_stopped(&a) && is_stopped(&b) && !is_stopped(&c));
    CHECK_STR(text("SELECT value FROM sea.study WHERE rank = 3"), "-Infinity");
}

/* Other studies, and experiments without one, are left alone; retried ones run to the end. */
static void
nobody_else_is_stopped(void)
{
    struct sea_err err = { 0 };
    struct trial one[3], other;
    int64_t again;

    fresh();
    other = start(9, "min", "other");
    train(&other, 1, 10, 100);
    for (int i = 0; i < 3; i++) {
        one[i] = start(i, "min", "one");
        train(&one[i], 1, 10, i);
    }
    tick();
    CHECK(!is_stopped(&other) && !is_stopped(&one[0]));
    CHECK(is_stopped(&one[1]) && is_stopped(&one[2]));
    CHECK_OK(sea_queue_cancelled(db, &one[2].claim.fence, &err), err);
    CHECK_STR(text("SELECT state FROM sea.experiment WHERE name = 's/lr=2'"), "cancelled");
    CHECK_STR(text("SELECT string_agg(DISTINCT s.state, ',') FROM sea.stage_run s"
                   " JOIN sea.experiment e ON e.id = s.experiment_id WHERE e.name = 's/lr=2'"),
              "cancelled");
    again = number("SELECT sea.retry(id) FROM sea.experiment WHERE name = 's/lr=2'");
    CHECK(again > 0);
    CHECK_INT(number("SELECT count(*) FROM sea.trial"), 4);
    CHECK_INT(number("SELECT count(*) FROM sea.trial WHERE is_open"), 2);
    CHECK_STR(text("SELECT string_agg(what, ', ') FROM sea.broken_invariant"), "");
}

/* Points are what stages say: none of them may keep others from being compared. */
static void
no_curve_stops_the_comparison(void)
{
    struct trial wild, far, one[3];
    int64_t step = 10;

    fresh();
    wild = start(7, "max", "wild");
    train(&wild, 1, 28, 1e200);         /* their squares are out of range */
    train(&wild, 29, 30, 3e200);
    far = start(8, "min", "far");
    for (int rung = 0; rung < 38; rung++, step *= rung < 38 ? 3 : 1) {  /* the next is, too */
        struct sea_err err = { 0 };
        char batch[80];

        snprintf(batch, sizeof(batch), "{\"metrics\":[[\"tune.loss\",%lld,1]]}", (long long)step);
        CHECK_OK(sea_queue_relay(db, &far.claim.fence, far.batch++, batch, &err), err);
    }
    for (int i = 0; i < 3; i++) {
        one[i] = start(i, "min", "tame");
        train(&one[i], 1, 10, i);
    }
    tick();
    CHECK_STR(text("SELECT value FROM sea.study WHERE study = 'wild'"), "-Infinity");
    CHECK_INT(number("SELECT rung FROM sea.study WHERE study = 'far'"), 37);
    CHECK(!is_stopped(&wild) && !is_stopped(&far) && !is_stopped(&one[0]));
    CHECK(is_stopped(&one[1]) && is_stopped(&one[2]));
}

static void
what_cannot_be_compared_is_refused(void)
{
#define BAD(halving) "SELECT sea.submit('{\"name\":\"x\",\"stages\":{\"eval\":{}},\"halving\":" \
                     halving "}')"
    fresh();
    CHECK_STR(sqlstate(BAD("{\"metric\":\"tune.loss\",\"first\":5}")), "LF010");
    CHECK_STR(sqlstate(BAD("{\"metric\":\"eval.pope\",\"first\":5}")), "LF010");
    CHECK_STR(sqlstate("SELECT sea.submit('{\"name\":\"x\",\"stages\":{\"tune\":{}},\"halving\":"
                       "{\"metric\":\"tune.loss\"}}')"), "LF010");
    CHECK_STR(sqlstate("SELECT sea.submit('{\"name\":\"x\",\"stages\":{\"tune\":{}},\"halving\":"
                       "{\"metric\":\"tune.loss\",\"first\":5,\"eta\":1}}')"), "LF010");
    CHECK_INT(number("SELECT count(*) FROM sea.experiment"), 0);
}

SEA_TEST_MAIN("early stopping of sweeps", TEST(the_best_third_goes_on),
              TEST(whoever_was_first_is_judged_again), TEST(nobody_else_is_stopped),
              TEST(no_curve_stops_the_comparison), TEST(what_cannot_be_compared_is_refused))
