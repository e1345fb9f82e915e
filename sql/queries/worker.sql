-- What workers and schedulers call. Each block is one transaction by itself.

-- name: worker_register
SELECT sea.register_worker($1, $2, $3, $4, $5::integer) AS worker_id;

-- name: worker_register_gpus
-- $6: GPUs of its machine that it may use, as an array.
SELECT sea.register_worker($1, $2, $3, $4, $5::integer, $6::integer[]) AS worker_id;

-- name: worker_beat
SELECT sea.worker_beat($1) AS drain;

-- name: worker_state
SELECT sea.worker_state($1, $2);

-- name: worker_trouble
SELECT sea.worker_trouble($1, $2);

-- name: claim
-- Kept prepared (db.c). $4: a new secret of the caller's, by which it finds the lease again.
SELECT stage_id, epoch, secret::text AS secret, experiment_id, stage, key, config::text AS config,
       timeout_ms
  FROM sea.claim($1, $2, $3::integer, $4::uuid);

-- name: claimed
-- What a claim without an answer gave. $1 worker, $2 the secret that it named.
SELECT stage_id, epoch, secret::text AS secret, experiment_id, stage, key, config::text AS config,
       timeout_ms
  FROM sea.claimed($1, $2::uuid);

-- name: claim_gpus
-- The GPUs that an attempt holds, by their numbers on its machine. $1 stage run, $2 epoch.
SELECT number - 1 AS gpu
  FROM sea.slot
 WHERE kind = 'gpu' AND stage_id = $1 AND epoch = $2
 ORDER BY number;

-- name: claim_inputs
-- The outputs that a stage run reads: one row per file, by input and path. $1 stage run.
SELECT p.stage AS name, p.output_digest AS digest, m.path, m.sha256, m.bytes
  FROM sea.stage_dep d
  JOIN sea.stage_run p ON p.id = d.parent_id
  JOIN sea.manifest m ON m.stage_id = p.output_stage_id AND m.epoch = p.output_epoch
 WHERE d.child_id = $1
 ORDER BY p.id, m.path;

-- name: claim_checkpoint
-- The newest recorded checkpoint of this stage run, or of another with its key: one row per
-- file. $1 stage run.
SELECT c.name, c.stage_id, c.epoch, c.step, f->>0 AS path, f->>1 AS sha256,
       (f->>2)::bigint AS bytes
  FROM (SELECT c.*
          FROM sea.checkpoint c JOIN sea.stage_run s ON s.key = c.key
         WHERE s.id = $1
         ORDER BY c.step DESC, c.stage_id = s.id DESC
         LIMIT 1) AS c
 CROSS JOIN LATERAL jsonb_array_elements(c.files) AS f
 ORDER BY path;

-- name: attempt_start
SELECT sea.start_attempt($1, $2, $3::uuid, $4, $5, $6, $7);

-- name: heartbeat
-- Kept prepared.
SELECT cancel, drain FROM sea.heartbeat($1, $2, $3::uuid, $4::integer);

-- name: relay
-- Kept prepared.
SELECT sea.relay($1, $2, $3::uuid, $4, $5::jsonb);

-- name: checkpoint_add
SELECT sea.add_checkpoint($1, $2, $3::uuid, $4, $5, $6::jsonb)::text AS replaced;

-- name: commit_prepare
SELECT sea.prepare_commit($1, $2, $3::uuid, $4::jsonb, $5::jsonb) AS condemned;

-- name: answers_add
SELECT sea.add_answers($1, $2, $3::uuid, $4, $5, $6, $7, $8::jsonb);

-- name: commit
-- $8, $9: number and content of the last batch.
SELECT sea.commit_stage($1, $2, $3::uuid, $4::jsonb, $5, $6::jsonb, $7::jsonb, $8, $9::jsonb)::text
       AS checkpoints;

-- name: commit_next
-- Kept prepared. $7, $8: number and content of the last batch; $9 worker, $10 queue, $11 life of
-- the next lease, $12 its secret.
SELECT checkpoints::text AS checkpoints, stage_id, epoch, secret::text AS secret, experiment_id,
       stage, key, config::text AS config, timeout_ms
  FROM sea.commit_next($1, $2, $3::uuid, $4::jsonb, $5, $6::jsonb, $7, $8::jsonb, $9, $10,
                       $11::integer, $12::uuid);

-- name: commit_outcome
SELECT sea.commit_outcome($1, $2, $3::uuid) AS outcome;

-- name: attempt_fail
SELECT sea.fail_attempt($1, $2, $3::uuid, $4, $5::integer, $6, $7, $8, $9) AS state;

-- name: attempt_release
SELECT sea.release_attempt($1, $2, $3::uuid, $4, $5) AS state;

-- name: attempt_cancelled
SELECT sea.ack_cancel($1, $2, $3::uuid);

-- name: expired
-- Leases that have ended, in the order of locks: one look for all of them.
SELECT l.stage_id FROM sea.lease AS l
 WHERE l.expires_at < (SELECT clock_timestamp())
 ORDER BY l.stage_id
 LIMIT 1000;

-- name: rescue
-- $1 one of these. No stage_id: it was renewed or taken back meanwhile.
SELECT sea.rescue($1) AS stage_id;

-- name: expire
-- result: timed out or later. No stage_id: no deadline is due.
SELECT stage_id, result FROM sea.expire();

-- name: wake
SELECT sea.wake() AS woken;

-- name: waiting
-- Stage runs that a scheduler can move: no key yet, an output in the cache, or nobody at work
-- on the key. One row per parent (or one with NULL).
SELECT s.id, s.stage, s.key, e.config::text AS config, p.stage AS parent,
       p.output_digest AS digest
  FROM (SELECT w.*, t.rank FROM sea.todo AS t JOIN sea.stage_run AS w ON w.id = t.stage_id
         WHERE t.list = 'waiting' AND t.queue = '' AND w.state = 'waiting'
           AND (w.run_at IS NULL OR w.run_at <= clock_timestamp())
           AND (w.key IS NULL
                OR EXISTS (SELECT FROM sea.stage_cache c WHERE c.key = w.key)
                OR NOT EXISTS (SELECT FROM sea.flight f WHERE f.key = w.key))
         ORDER BY t.rank, t.stage_id
         LIMIT 64) AS s
  JOIN sea.experiment e ON e.id = s.experiment_id
  LEFT JOIN sea.stage_dep d ON d.child_id = s.id
  LEFT JOIN sea.stage_run p ON p.id = d.parent_id
 ORDER BY s.rank, s.id, p.id;

-- name: resolve
SELECT sea.resolve($1, $2) AS state;

-- name: resolve_failed
SELECT sea.resolve_failed($1, $2);

-- name: resolve_later
SELECT sea.resolve_later($1, $2);

-- name: sweep
SELECT sea.sweep();

-- name: maintain
SELECT sea.maintain(), sea.rescan();

-- name: notify_ready
SELECT pg_notify('sea_ready', '');

-- name: drain
-- $1 worker, $2 finish or checkpoint.
SELECT sea.drain($1, $2);

-- name: drain_list
-- Workers that have not left.
SELECT id, state, host, pid, device, queue, drain FROM sea.worker WHERE ended_at IS NULL ORDER BY id;

-- name: collect_condemn
-- $1 grace, $2 after how long one that was left half done is taken up, $3 how many.
SELECT sha256, bytes FROM sea.condemn($1, $2, $3::integer);

-- name: collect_preview
-- What a collection would remove now. $1 grace.
SELECT count(*) AS files, coalesce(sum(a.bytes), 0)::bigint AS bytes
  FROM sea.artifact a
 WHERE a.condemned_at IS NOT NULL
    OR (a.created_at < clock_timestamp() - $1::bigint * interval '1 ms'
        AND NOT EXISTS (SELECT FROM sea.manifest m WHERE m.sha256 = a.sha256)
        AND NOT EXISTS (SELECT FROM sea.pin p WHERE p.sha256 = a.sha256));

-- name: collect_unknown
SELECT sha256 FROM sea.condemn_unknown($1::jsonb);

-- name: collect_unknown_preview
SELECT f->>0 AS sha256 FROM jsonb_array_elements($1::jsonb) AS f
 WHERE NOT EXISTS (SELECT FROM sea.artifact a WHERE a.sha256 = f->>0);

-- name: collect_begin
BEGIN;

-- name: collect_hold
SELECT sea.hold_condemned($1) AS mine;

-- name: collect_forget
SELECT sea.forget_condemned($1);

-- name: collect_commit
COMMIT;

-- name: collect_rollback
ROLLBACK;

-- name: collect_checkpoints
SELECT name FROM sea.drop_checkpoints($1);

-- name: collect_attempt_over
-- Whether an attempt ended so long ago. $1 stage run, $2 epoch, $3 milliseconds.
SELECT EXISTS (SELECT FROM sea.attempt AS a
                WHERE a.stage_id = $1::bigint AND a.epoch = $2::bigint
                  AND a.ended_at < clock_timestamp() - $3::bigint * interval '1 millisecond') AS over;

-- name: collect_checkpoint_needed
SELECT sea.is_checkpoint_needed($1, $2, $3) AS needed;

-- name: claim_batch
-- As a JSON list that commit_batch takes back, with what was made added. $1 worker, $2 queue,
-- $3 life of the leases, $4 how many, $5 their secret.
SELECT coalesce(jsonb_agg(jsonb_build_object('stage_id', stage_id, 'epoch', epoch, 'secret', secret)),
                '[]')::text AS claims, count(*) AS claimed
  FROM sea.claim_batch($1, $2, $3::integer, $4::integer, $5::uuid);

-- name: bench_commit_next_batch
-- Kept prepared. $1 claims as above, $2 metrics of each. Each has one file, named like its stage key.
-- $3 to $7: worker, queue, life of the next leases, how many, their secret.
SELECT cardinality(committed) AS committed, claims::text AS claims,
       jsonb_array_length(claims) AS claimed
  FROM sea.commit_next_batch((
    SELECT jsonb_agg(c || jsonb_build_object(
               'files', jsonb_build_array(jsonb_build_array('result.json', s.key, 4)),
               'digest', s.key, 'metrics', $2::jsonb))
      FROM jsonb_array_elements($1::jsonb) AS c
      JOIN sea.stage_run AS s ON s.id = (c->>'stage_id')::bigint), $3, $4, $5::integer,
    $6::integer, $7::uuid);

-- name: bench_release
-- $1 claims as above: each is given back.
SELECT sea.release_attempt((c->>'stage_id')::bigint, (c->>'epoch')::bigint, (c->>'secret')::uuid,
                           'bench', 0)
  FROM jsonb_array_elements($1::jsonb) AS c
 ORDER BY (c->>'stage_id')::bigint;

-- name: bench_fill
-- Ready stage runs of one experiment each, with flights and files. $1 how many.
WITH made AS (
    INSERT INTO sea.experiment (name, config, config_digest)
    SELECT 'bench', '{"name": "bench", "stages": {"label": {}}}', 'bench'
      FROM generate_series(1, $1::bigint)
    RETURNING id),
run AS (
    INSERT INTO sea.stage_run (experiment_id, stage, state, unmet, key, ready_at)
    SELECT id, 'label', 'ready', 0, encode(sha256(convert_to('bench' || id, 'UTF8')), 'hex'),
           clock_timestamp()
      FROM made
    RETURNING id, key),
flight AS (
    INSERT INTO sea.flight (key, stage_id) SELECT key, id FROM run)
INSERT INTO sea.artifact (sha256, bytes) SELECT key, 4 FROM run;

-- name: bench_ready
SELECT count(*) AS ready FROM sea.todo WHERE list = 'ready';

-- name: bench_wal
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 AS bytes,
       (SELECT wal_sync::float8 FROM pg_stat_wal) AS syncs;

-- name: bench_hold_script
-- The server ends idle transactions; this one is meant to stay.
SET idle_in_transaction_session_timeout = 0;
BEGIN ISOLATION LEVEL REPEATABLE READ;

-- name: bench_table_script
CREATE TABLE bench_job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state text NOT NULL DEFAULT 'ready',
    worker integer, digest text);
CREATE INDEX bench_job_ready ON bench_job (id) WHERE state = 'ready';
INSERT INTO bench_job (worker) SELECT NULL FROM generate_series(1, 300000);
ANALYZE bench_job;

-- name: bench_pgbench_script
-- One job for pgbench: claim and complete, a commit each.
WITH pick AS MATERIALIZED (
    SELECT id FROM bench_job WHERE state = 'ready' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE bench_job AS j SET state = 'running', worker = :client_id
  FROM pick WHERE j.id = pick.id
RETURNING j.id AS job \gset
UPDATE bench_job SET state = 'done', digest = 'x' WHERE id = :job AND worker = :client_id;

-- name: bench_analyze_script
ANALYZE;
