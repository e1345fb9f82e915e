-- Jobs of a cluster: what the scheduler's driver and the jobs themselves call. Each block is
-- one transaction by itself. The protocol: sql/migrations/0011_cluster_jobs.sql.

-- name: job_queues
-- Queues of a cluster that somebody waits in. $1 prefix.
SELECT DISTINCT queue FROM sea.todo
 WHERE list = 'ready' AND starts_with(queue, $1) ORDER BY queue;

-- name: job_claim
SELECT stage_id, epoch, secret::text AS secret, experiment_id, stage, config::text AS config,
       timeout_ms, token
  FROM sea.job_claim($1, $2);

-- name: job_submitted
SELECT sea.job_submitted($1, $2, $3) AS moved;

-- name: job_unknown
SELECT sea.job_unknown($1, $2, $3) AS moved;

-- name: job_overdue
SELECT sea.job_overdue($1) AS late;

-- name: job_look
-- When a look begins, by the database's clock, and the jobs that are alive: one row each, or
-- one without a stage run.
SELECT c.at::text AS looked_at, j.stage_id, j.epoch, j.token, j.state, j.job_id,
       j.cluster_state, j.cluster_reason, j.node, j.message,
       coalesce(j.absent_at IS NOT NULL, false) AS is_absent,
       coalesce(extract(epoch FROM c.at - j.over_at) * 1000, -1)::bigint AS over_ms,
       coalesce(s.cancel_requested_at IS NOT NULL, false) AS is_cancelled
  FROM (SELECT clock_timestamp() AS at) AS c
  LEFT JOIN (sea.lease l
             JOIN sea.cluster_job j ON j.stage_id = l.stage_id AND j.epoch = l.epoch
             JOIN sea.stage_run s ON s.id = j.stage_id) ON true
 ORDER BY j.stage_id;

-- name: job_found
SELECT sea.job_found($1, $2, $3::timestamptz, $4, $5, $6, $7, $8) AS state;

-- name: job_absent
SELECT sea.job_absent($1, $2, $3::timestamptz, $4, $5) AS is_gone;

-- name: job_lost
SELECT sea.job_lost($1, $2, $3, $4, $5) AS state;

-- name: job_looked
SELECT sea.job_looked($1, $2) AS failures;

-- name: job_ghosts
SELECT token FROM sea.job_ghosts($1::jsonb);

-- name: job_start
SELECT stage_id, epoch, secret::text AS secret, worker_id, experiment_id, stage, key,
       config::text AS config, timeout_ms
  FROM sea.job_start($1, $2, $3::uuid, $4, $5, $6, $7, $8, $9::integer);

-- name: job_restart
SELECT stage_id, epoch, secret::text AS secret, worker_id, experiment_id, stage, key,
       config::text AS config, timeout_ms
  FROM sea.job_restart($1, $2, $3::uuid, $4, $5, $6, $7, $8, $9::integer);

-- name: job_count
-- Jobs that are alive: with a lease of their epoch.
SELECT count(*) AS alive FROM sea.lease l
  JOIN sea.cluster_job j ON j.stage_id = l.stage_id AND j.epoch = l.epoch;
