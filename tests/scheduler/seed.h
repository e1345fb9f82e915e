/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seed.h - finished experiments by SQL, thousands in a second
 *
 * Functions of schema seed write what a commit would have written: for tests and benches of
 * views that need many results and no worker. After service_begin.
 */
#ifndef SEA_TEST_SEED_H
#define SEA_TEST_SEED_H

#include "tests/scheduler/service.h"

/* clang-format off */
static const char *const seed_sql[] = {
"DROP SCHEMA IF EXISTS seed CASCADE",
"CREATE SCHEMA seed",
/* A succeeded experiment whose only stage is eval; its id. */
"CREATE FUNCTION seed.experiment(p_name text, p_seed int, p_suite text DEFAULT 'demo',"
"                                p_lambda float8 DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql AS $$"
" DECLARE e bigint; s bigint; BEGIN"
" INSERT INTO sea.experiment (name, config, config_digest, state, started_at, ended_at)"
" VALUES (p_name, jsonb_build_object('name', p_name, 'seed', p_seed, 'stages', jsonb_strip_nulls("
"   jsonb_build_object('eval', jsonb_build_object('suite', p_suite),"
"     'align', CASE WHEN p_lambda IS NOT NULL THEN jsonb_build_object('lambda', p_lambda) END))),"
"   'x', 'succeeded', clock_timestamp(), clock_timestamp()) RETURNING id INTO e;"
" INSERT INTO sea.stage_run (experiment_id, stage, state, unmet, key, last_epoch)"
" VALUES (e, 'eval', 'running', 0, encode(sha256(('k' || e)::bytea), 'hex'), 1) RETURNING id INTO s;"
" INSERT INTO sea.attempt (stage_id, epoch, worker_id, state, claimed_at, started_at, ended_at)"
" VALUES (s, 1, 1, 'committed', clock_timestamp() - interval '1 hour',"
"         clock_timestamp() - interval '1 hour', clock_timestamp());"
" RETURN e; END $$",
"CREATE FUNCTION seed.stage(p_experiment bigint) RETURNS bigint LANGUAGE sql AS"
" 'SELECT id FROM sea.stage_run WHERE experiment_id = p_experiment AND stage = ''eval'''",
"CREATE FUNCTION seed.benchmark(p_name text, p_split text DEFAULT '') RETURNS bigint"
" LANGUAGE plpgsql AS $$ BEGIN"
" INSERT INTO sea.benchmark (name, split) VALUES (p_name, p_split) ON CONFLICT DO NOTHING;"
" RETURN (SELECT id FROM sea.benchmark WHERE name = p_name AND split = p_split); END $$",
/* What follows the scores: done, with an output. */
"CREATE FUNCTION seed.done(p_experiment bigint) RETURNS void LANGUAGE sql AS $$"
" UPDATE sea.stage_run SET state = 'done', done_epoch = 1, output_stage_id = id,"
"   output_epoch = 1, output_digest = repeat('0', 64), ended_at = clock_timestamp()"
"  WHERE experiment_id = p_experiment AND state = 'running'; $$",
};
/* clang-format on */

static UNUSED void
seed_begin(void)
{
    size_t i;

    service_begin();
    for (i = 0; i < sizeof(seed_sql) / sizeof(seed_sql[0]); i++)
        run_sql(seed_sql[i]);
    run_sql("INSERT INTO sea.worker (host, pid, device, ttl_ms) VALUES ('host', 1, 'cpu', 30000)");
}

#endif
