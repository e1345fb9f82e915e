-- What people ask and order. The views carry the meaning; these pick and sort.

-- name: submit
SELECT sea.submit($1::jsonb, $2) AS experiment_id;

-- name: cancel
SELECT sea.cancel($1) AS state;

-- name: retry
SELECT sea.retry($1) AS experiment_id;

-- name: experiment_state
SELECT state, ended_at IS NOT NULL AS ended FROM sea.experiment WHERE id = $1;

-- name: experiments
-- $1 how many, newest first.
SELECT experiment_id, name, state, stages_done, stages, stage_states, running, done, total, unit,
       seconds, reason, created_at
  FROM sea.experiment_status
 ORDER BY experiment_id DESC
 LIMIT $1;

-- name: experiment
SELECT * FROM sea.experiment_status WHERE experiment_id = $1;

-- name: experiment_config
SELECT config::text AS config FROM sea.experiment WHERE id = $1;

-- name: stages
-- One row per stage run: its newest attempt. $1 experiment.
SELECT DISTINCT ON (stage_id) stage_id, stage, state, epoch, attempt, class, host, device, seconds,
       done, total, unit, coalesce(reason, message) AS reason, hint, output_digest,
       resumed_step, claimed_at, ended_at
  FROM sea.stage_timeline
 WHERE experiment_id = $1
 ORDER BY stage_id, epoch DESC NULLS LAST;

-- name: attempts
SELECT stage, epoch, attempt, class, message, hint, exit_status, host, device, claimed_at,
       started_at, ended_at, seconds, resumed_epoch, resumed_step
  FROM sea.stage_timeline
 WHERE experiment_id = $1 AND epoch IS NOT NULL
 ORDER BY stage_id, epoch;

-- name: events
-- Log lines and changes of state after event $2, oldest first. $1 experiment, $3 how many.
SELECT v.id, v.at, v.level, v.kind, s.stage, v.epoch, v.text
  FROM sea.event v LEFT JOIN sea.stage_run s ON s.id = v.stage_id
 WHERE v.experiment_id = $1 AND v.id > $2
 ORDER BY v.id
 LIMIT $3;

-- name: why
SELECT stage_id, stage, state, reason, failures, losses, since
  FROM sea.why_pending
 WHERE experiment_id = $1
 ORDER BY stage_id;

-- name: leaderboard
-- $1 suite, or NULL for all.
SELECT suite, benchmark, split, metric, control, rank, experiment_id, experiment, value, low, high,
       se, scale, n, clusters
  FROM sea.leaderboard
 WHERE $1::text IS NULL OR suite = $1
 ORDER BY suite, benchmark, split, metric, control, rank, experiment_id;

-- name: compare
SELECT * FROM sea.compare($1, $2);

-- name: metric_names
SELECT DISTINCT stage, name FROM sea.metric_series WHERE experiment_id = $1 ORDER BY stage, name;

-- name: metric_series
-- $1 experiment, $2 name.
SELECT stage, step, value FROM sea.metric_series
 WHERE experiment_id = $1 AND name = $2
 ORDER BY stage, step;

-- name: nightly_list
SELECT id, name, cron, enabled, created_at FROM sea.schedule ORDER BY name;

-- name: nightly_report
SELECT * FROM sea.nightly_report ORDER BY night DESC, schedule, benchmark, split, metric;

-- name: cache_lookup
-- Whether a stage key has an output. $1 key.
SELECT stage_id, epoch, output_digest, created_at FROM sea.stage_cache WHERE key = $1;

-- name: workers
SELECT id, state, host, pid, device, queue, registered_at, seen_at,
       (SELECT count(*) FROM sea.lease l WHERE l.worker_id = w.id) AS leases
  FROM sea.worker w
 WHERE ended_at IS NULL OR ended_at > clock_timestamp() - interval '1 hour'
 ORDER BY id;

-- name: broken_invariants
SELECT stage_id, what FROM sea.broken_invariant;

-- name: server_version
SELECT current_setting('server_version_num')::integer AS number,
       current_setting('server_version') AS version;
