-- What workers and schedulers call. Each block is one transaction by itself.

-- name: worker_register
SELECT sea.register_worker($1, $2, $3, $4, $5::integer) AS worker_id;

-- name: worker_beat
SELECT sea.worker_beat($1) AS drain;

-- name: worker_state
SELECT sea.worker_state($1, $2);

-- name: claim
SELECT stage_id, epoch, secret::text AS secret, experiment_id, stage, key, config::text AS config,
       timeout_ms
  FROM sea.claim($1, $2, $3::integer);

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
SELECT cancel, drain FROM sea.heartbeat($1, $2, $3::uuid, $4::integer);

-- name: relay
SELECT sea.relay($1, $2, $3::uuid, $4, $5::jsonb);

-- name: checkpoint_add
SELECT sea.add_checkpoint($1, $2, $3::uuid, $4, $5, $6::jsonb)::text AS replaced;

-- name: commit_prepare
SELECT sea.prepare_commit($1, $2, $3::uuid, $4::jsonb, $5::jsonb) AS condemned;

-- name: answers_add
SELECT sea.add_answers($1, $2, $3::uuid, $4, $5, $6, $7, $8::jsonb);

-- name: commit
SELECT sea.commit_stage($1, $2, $3::uuid, $4::jsonb, $5, $6::jsonb, $7::jsonb)::text AS checkpoints;

-- name: commit_outcome
SELECT sea.commit_outcome($1, $2, $3::uuid) AS outcome;

-- name: attempt_fail
SELECT sea.fail_attempt($1, $2, $3::uuid, $4, $5::integer, $6, $7, $8, $9) AS state;

-- name: attempt_release
SELECT sea.release_attempt($1, $2, $3::uuid, $4, $5) AS state;

-- name: attempt_cancelled
SELECT sea.ack_cancel($1, $2, $3::uuid);

-- name: rescue
SELECT sea.rescue() AS stage_id;

-- name: wake
SELECT sea.wake() AS woken;

-- name: waiting
-- Stage runs that a scheduler can move: no key yet, an output in the cache, or nobody at work
-- on the key. One row per parent (or one with NULL).
SELECT s.id, s.stage, s.key, e.config::text AS config, p.stage AS parent,
       p.output_digest AS digest
  FROM (SELECT * FROM sea.stage_run AS w
         WHERE w.state = 'waiting'
           AND (w.key IS NULL
                OR EXISTS (SELECT FROM sea.stage_cache c WHERE c.key = w.key)
                OR NOT EXISTS (SELECT FROM sea.flight f WHERE f.key = w.key))
         ORDER BY w.priority DESC, w.id
         LIMIT 64) AS s
  JOIN sea.experiment e ON e.id = s.experiment_id
  LEFT JOIN sea.stage_dep d ON d.child_id = s.id
  LEFT JOIN sea.stage_run p ON p.id = d.parent_id
 ORDER BY s.priority DESC, s.id, p.id;

-- name: resolve
SELECT sea.resolve($1, $2) AS state;

-- name: resolve_failed
SELECT sea.resolve_failed($1, $2);

-- name: sweep
SELECT sea.sweep();

-- name: maintain
SELECT sea.maintain();

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

-- name: collect_checkpoint_needed
SELECT sea.is_checkpoint_needed($1, $2, $3) AS needed;

-- name: claim_batch
-- As a JSON list that commit_batch takes back, with what was made added. $1 worker, $2 queue,
-- $3 life of the leases, $4 how many.
SELECT coalesce(jsonb_agg(jsonb_build_object('stage_id', stage_id, 'epoch', epoch, 'secret', secret)),
                '[]')::text AS claims, count(*) AS claimed
  FROM sea.claim_batch($1, $2, $3::integer, $4::integer);

-- name: commit_batch
-- $1 claims as above, $2 files, $3 digest and $4 metrics of each.
SELECT cardinality(sea.commit_batch((
    SELECT jsonb_agg(c || jsonb_build_object('files', $2::jsonb, 'digest', $3::text,
                                             'metrics', $4::jsonb))
      FROM jsonb_array_elements($1::jsonb) AS c))) AS committed;

-- name: bench_fill
-- Ready stage runs of one experiment each, with keys that nobody has. $1 how many, $2 name.
WITH made AS (
    INSERT INTO sea.experiment (name, config, config_digest)
    SELECT $2, '{"name": "bench", "stages": {"label": {}}}', 'bench' FROM generate_series(1, $1::bigint)
    RETURNING id)
INSERT INTO sea.stage_run (experiment_id, stage, state, unmet, key, ready_at)
SELECT id, 'label', 'ready', 0, encode(sha256(convert_to($2 || id, 'UTF8')), 'hex'),
       clock_timestamp()
  FROM made;

-- name: bench_artifact
INSERT INTO sea.artifact (sha256, bytes) VALUES ($1, 4) ON CONFLICT DO NOTHING;

-- name: bench_table_script
CREATE TABLE bench_job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state text NOT NULL DEFAULT 'ready',
    worker integer, digest text);
CREATE INDEX bench_job_ready ON bench_job (id) WHERE state = 'ready';
INSERT INTO bench_job (worker) SELECT NULL FROM generate_series(1, 400000);
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
