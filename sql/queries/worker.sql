-- What workers and schedulers call. Each block is one transaction by itself.

-- name: worker_register
SELECT sea.register_worker($1, $2, $3, $4, $5::integer) AS worker_id;

-- name: worker_beat
SELECT sea.worker_beat($1);

-- name: worker_state
SELECT sea.worker_state($1, $2);

-- name: claim
SELECT stage_id, epoch, secret::text AS secret, experiment_id, stage, key, config::text AS config
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
SELECT sea.heartbeat($1, $2, $3::uuid, $4::integer) AS cancel;

-- name: relay
SELECT sea.relay($1, $2, $3::uuid, $4, $5::jsonb);

-- name: checkpoint_add
SELECT sea.add_checkpoint($1, $2, $3::uuid, $4, $5, $6::jsonb)::text AS replaced;

-- name: commit_prepare
SELECT sea.prepare_commit($1, $2, $3::uuid, $4::jsonb, $5::jsonb);

-- name: answers_add
SELECT sea.add_answers($1, $2, $3::uuid, $4, $5, $6, $7, $8::jsonb);

-- name: commit
SELECT sea.commit_stage($1, $2, $3::uuid, $4::jsonb, $5, $6::jsonb)::text AS checkpoints;

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
