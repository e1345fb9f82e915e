-- What the command line asks. The views do the work; psql sees the same.

-- name: cli_experiment
-- One experiment: no row when there is none. $1 id.
SELECT e.id, e.name, e.state, e.ended_at IS NOT NULL AS ended
  FROM sea.experiment AS e
 WHERE e.id = $1::bigint

-- name: cli_experiments
-- The newest experiments, for people.
SELECT t.experiment_id AS id, t.name, t.state,
       t.stages_done || '/' || t.stages AS stages,
       t.running || coalesce(' ' || t.done || '/' || nullif(t.total, 0), '')
           || coalesce(' ' || nullif(t.unit, ''), '') AS running,
       round(t.seconds)::bigint AS seconds,
       t.reason
  FROM sea.experiment_status AS t
 ORDER BY t.experiment_id DESC
 LIMIT 100

-- name: cli_experiments_all
-- The newest experiments with all that is known.
SELECT *
  FROM sea.experiment_status
 ORDER BY experiment_id DESC
 LIMIT 100

-- name: cli_stages
-- The attempts of one experiment's stages in order of running, for people. $1 experiment.
SELECT t.stage, t.state, t.epoch AS attempt, t.attempt AS outcome, t.device,
       round(t.seconds)::bigint AS seconds, t.resumed_step AS from_step,
       t.done || '/' || nullif(t.total, 0) AS progress,
       left(t.key, 12) AS key,
       coalesce(t.message, t.reason) AS reason
  FROM sea.stage_timeline AS t
 WHERE t.experiment_id = $1::bigint
 ORDER BY t.stage_id, t.epoch

-- name: cli_stages_all
-- The attempts of one experiment's stages with all that is known. $1 experiment.
SELECT *
  FROM sea.stage_timeline
 WHERE experiment_id = $1::bigint
 ORDER BY stage_id, epoch

-- name: cli_why
-- What keeps the stages of one experiment from running. $1 experiment.
SELECT *
  FROM sea.why_pending
 WHERE experiment_id = $1::bigint
 ORDER BY stage_id

-- name: cli_follow
-- All stages of the given experiments with their progress. $1 ids.
SELECT e.id AS experiment_id, e.name, e.state AS experiment_state,
       s.id AS stage_id, s.stage, s.state, s.reason, l.done, l.total, l.unit
  FROM sea.experiment AS e
  JOIN sea.stage_run AS s ON s.experiment_id = e.id
  LEFT JOIN sea.lease AS l ON l.stage_id = s.id
 WHERE e.id = ANY ($1::bigint[])
 ORDER BY e.id, s.id

-- name: cli_events
-- What happened in one experiment after an event. $1 experiment, $2 last event seen.
SELECT v.id, to_char(v.at, 'YYYY-MM-DD HH24:MI:SS') AS at, s.stage, v.level, v.kind, v.text
  FROM sea.event AS v
  LEFT JOIN sea.stage_run AS s ON s.id = v.stage_id
 WHERE v.experiment_id = $1::bigint AND v.id > $2::bigint
 ORDER BY v.id
 LIMIT 10000

-- name: cli_cancel
-- $1 experiment. result: its state now.
SELECT sea.cancel($1::bigint) AS result

-- name: cli_retry
-- $1 experiment. result: the new one.
SELECT sea.retry($1::bigint) AS result

-- name: cli_scores
-- Every score. $1 suite or null, $2 benchmark or null.
SELECT *
  FROM sea.leaderboard AS b
 WHERE ($1::text IS NULL OR b.suite = $1::text)
   AND ($2::text IS NULL OR b.benchmark = $2::text)
 ORDER BY b.benchmark, b.split, b.metric, b.control, b.rank, b.experiment_id

-- name: cli_leaderboard
-- For people: the metrics that stand for their benchmarks, in the units of tables, with the
-- control (pictures shuffled among the questions) beside them. $1 suite or null,
-- $2 benchmark or null, $3 "benchmark:metric" names to show.
SELECT b.benchmark, b.metric, b.rank,
       b.experiment_id AS id, b.experiment,
       to_char(b.value * b.scale, 'FM9990.00') AS score,
       '[' || to_char(b.low * b.scale, 'FM9990.0') || ', '
           || to_char(b.high * b.scale, 'FM9990.0') || ']' AS interval,
       to_char(c.value * c.scale, 'FM9990.00') AS control,
       to_char((b.value - c.value) * b.scale, 'FMSG9990.0') AS gain,
       b.n
  FROM sea.leaderboard AS b
  LEFT JOIN sea.leaderboard AS c ON c.stage_id = b.stage_id AND c.benchmark = b.benchmark
                                AND c.split = b.split AND c.metric = b.metric AND c.control
 WHERE NOT b.control
   AND ($1::text IS NULL OR b.suite = $1::text)
   AND ($2::text IS NULL OR b.benchmark = $2::text)
   AND b.benchmark || ':' || b.metric = ANY ($3::text[])
 ORDER BY b.benchmark, b.split, array_position($3::text[], b.benchmark || ':' || b.metric),
          b.rank, b.experiment_id

-- name: cli_schedules
SELECT s.id, s.name, s.cron, s.enabled, s.created_at
  FROM sea.schedule AS s
 ORDER BY s.name

-- name: cli_nightly
SELECT *
  FROM sea.nightly_report

-- name: cli_newest_scored
-- The two newest experiments that have scores, newest first.
SELECT s.experiment_id
  FROM sea.stage_run AS s
 WHERE s.stage = 'eval' AND s.state IN ('done', 'cached')
   AND EXISTS (SELECT 1 FROM sea.score AS c
                WHERE c.stage_id = s.output_stage_id AND c.epoch = s.output_epoch)
 ORDER BY s.experiment_id DESC
 LIMIT 2

-- name: cli_pairs
-- The questions that two experiments both answered. $1, $2 experiments, $3 control.
  WITH run AS (
        SELECT s.experiment_id, s.output_stage_id AS stage_id, s.output_epoch AS epoch
          FROM sea.stage_run AS s
         WHERE s.stage = 'eval' AND s.experiment_id IN ($1::bigint, $2::bigint))
SELECT b.name AS benchmark, b.split, a1.item, coalesce(a1.cluster, a1.item) AS cluster,
       a1.score AS a, a2.score AS b
  FROM run AS r1
  JOIN run AS r2 ON r1.experiment_id = $1::bigint AND r2.experiment_id = $2::bigint
  JOIN sea.answer AS a1 ON a1.stage_id = r1.stage_id AND a1.epoch = r1.epoch
                       AND a1.control = $3::boolean
  JOIN sea.answer AS a2 ON a2.stage_id = r2.stage_id AND a2.epoch = r2.epoch
                       AND a2.control = $3::boolean
                       AND a2.benchmark_id = a1.benchmark_id AND a2.seq = a1.seq
                       AND a2.item = a1.item
  JOIN sea.benchmark AS b ON b.id = a1.benchmark_id
 WHERE a1.score IS NOT NULL AND a2.score IS NOT NULL
 ORDER BY b.name, b.split, a1.seq

-- name: cli_compare_check
-- Benchmarks that two experiments both have, but not with the same questions and gold
-- answers: no row when all are comparable. Compared by digest: one pass over each side.
-- $1, $2 experiments.
  WITH run AS (
        SELECT s.experiment_id, s.output_stage_id AS stage_id, s.output_epoch AS epoch
          FROM sea.stage_run AS s
         WHERE s.stage = 'eval' AND s.experiment_id IN ($1::bigint, $2::bigint)),
       asked AS (
        SELECT r.experiment_id, a.benchmark_id, count(*) AS n,
               md5(string_agg(md5(a.item || ' ' || coalesce(a.gold::text, '')), ''
                              ORDER BY a.seq)) AS digest
          FROM run AS r
          JOIN sea.answer AS a ON a.stage_id = r.stage_id AND a.epoch = r.epoch
                              AND NOT a.control
         GROUP BY r.experiment_id, a.benchmark_id)
SELECT b.name AS benchmark, x.n AS n_a, y.n AS n_b
  FROM asked AS x
  JOIN asked AS y ON x.experiment_id = $1::bigint AND y.experiment_id = $2::bigint
                 AND y.benchmark_id = x.benchmark_id
  JOIN sea.benchmark AS b ON b.id = x.benchmark_id
 WHERE x.n <> y.n OR x.digest <> y.digest
 ORDER BY b.name

-- name: cli_cached
-- The output of a stage key, when it has been computed. $1 key.
SELECT c.output_digest
  FROM sea.stage_cache AS c
 WHERE c.key = $1::text
