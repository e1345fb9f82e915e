-- What the command line asks. The views do the work; psql sees the same.

-- name: cli_experiment
-- One experiment: no row when there is none. $1 id.
SELECT e.id, e.name, e.state, e.ended_at IS NOT NULL AS ended
  FROM sea.experiment AS e
 WHERE e.id = $1::bigint

-- name: cli_ping
-- Does the database answer?
SELECT 1 AS yes

-- name: cli_experiments
-- The newest experiments, for people: a long reason is cut, `sea status ID` has all of it. $1 how
-- many at most, null: all.
SELECT t.experiment_id AS id, t.name, t.state,
       t.stages_done || '/' || t.stages AS stages,
       t.running || coalesce(' ' || t.done || '/' || nullif(t.total, 0), '')
           || coalesce(' ' || nullif(t.unit, ''), '') AS running,
       round(t.seconds)::bigint AS seconds,
       CASE WHEN length(t.reason) > 100 THEN left(t.reason, 97) || '...' ELSE t.reason END AS reason
  FROM sea.experiment_status AS t
 ORDER BY t.experiment_id DESC
 LIMIT $1::bigint

-- name: cli_experiments_all
-- The newest experiments with all that is known. $1 how many at most, null: all.
SELECT *
  FROM sea.experiment_status
 ORDER BY experiment_id DESC
 LIMIT $1::bigint

-- name: cli_experiments_count
SELECT count(*) AS n
  FROM sea.experiment

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

-- name: cli_workers
-- Workers that have not left: what each runs, on which GPUs of those that it may use, and why it
-- claims nothing.
SELECT w.id, w.state, w.host, w.pid, w.device, w.queue,
       nullif(array_to_string(w.gpus, ','), '') AS gpus,
       (SELECT string_agg(g.gpu::text, ',' ORDER BY g.gpu)
          FROM sea.gpu_status AS g WHERE g.worker_id = w.id) AS holds,
       (SELECT string_agg(s.stage || ' of ' || s.experiment_id, ', ' ORDER BY s.id)
          FROM sea.lease AS l JOIN sea.stage_run AS s ON s.id = l.stage_id
         WHERE l.worker_id = w.id) AS runs,
       (SELECT s.stage || ' of ' || s.experiment_id
          FROM sea.gpu_hold AS h JOIN sea.stage_run AS s ON s.id = h.stage_id
         WHERE h.host = w.host AND w.gpus <> '{}' AND h.holds_at <= clock_timestamp()
           AND NOT sea.hold_is_void(h.host, h.stage_id)) AS kept_for,
       w.trouble
  FROM sea.worker AS w
 WHERE w.ended_at IS NULL
 ORDER BY w.host, w.id

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
-- The next page of what happened in one experiment. $1 experiment, $2 last event seen.
SELECT v.id, to_char(v.at, 'YYYY-MM-DD HH24:MI:SS') AS at, s.stage, v.level, v.kind, v.text
  FROM sea.event AS v
  LEFT JOIN sea.stage_run AS s ON s.id = v.stage_id
 WHERE v.experiment_id = $1::bigint AND v.id > $2::bigint
 ORDER BY v.id
 LIMIT 5000

-- name: cli_failure
-- The first stage that failed in the given experiments, and how. $1 ids.
SELECT s.experiment_id, s.stage, s.reason, a.exit_status, a.hint
  FROM sea.stage_run AS s
  LEFT JOIN sea.attempt AS a ON a.stage_id = s.id AND a.epoch = s.last_epoch
                            AND a.state = 'failed'
 WHERE s.experiment_id = ANY ($1::bigint[]) AND s.state = 'failed'
 ORDER BY s.id
 LIMIT 1

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
-- $2 benchmark or null, $3 "benchmark:metric" names to show, $4 null or published scores as
-- in sea_suite_reference_node(): below ours, with their source and without a rank. $5 null or
-- how many ranks of each.
  WITH line AS (
       SELECT b.benchmark, b.metric, b.split, b.rank,
              b.experiment_id AS id, b.experiment,
              b.value * b.scale AS score,
              '[' || to_char(b.low * b.scale, 'FM9990.0') || ', '
                  || to_char(b.high * b.scale, 'FM9990.0') || ']' AS interval,
              to_char(c.value * c.scale, 'FM9990.00') AS control,
              to_char((b.value - c.value) * b.scale, 'FMSG9990.0') AS gain,
              b.n, b.judge
         FROM sea.leaderboard AS b
         LEFT JOIN sea.leaderboard AS c ON c.stage_id = b.stage_id AND c.benchmark = b.benchmark
                                       AND c.split = b.split AND c.metric = b.metric AND c.control
        WHERE NOT b.control
          AND ($1::text IS NULL OR b.suite = $1::text)
          AND ($2::text IS NULL OR b.benchmark = $2::text)
          AND b.benchmark || ':' || b.metric = ANY ($3::text[])
          AND ($5::bigint IS NULL OR b.rank <= $5::bigint)
        UNION ALL
       SELECT p.benchmark, p.metric, NULL, NULL, NULL,
              p.model || ' (published' || coalesce(': ' || nullif(p.source, ''), '') || ')',
              p.points, NULL, NULL, NULL, NULL, NULL
         FROM jsonb_to_recordset($4::jsonb)
              AS p (model text, source text, benchmark text, metric text, points float8)
        WHERE $2::text IS NULL OR p.benchmark = $2::text)
SELECT benchmark || coalesce('/' || nullif(split, ''), '') AS benchmark, metric, rank, id,
       experiment, to_char(score, 'FM9990.00') AS score, interval, control, gain, n, judge
  FROM line
 ORDER BY line.benchmark, array_position($3::text[], line.benchmark || ':' || metric), metric,
          split, rank, id, line.score DESC, experiment

-- name: cli_newest_scored
-- The two newest experiments that have scores, newest first.
SELECT s.experiment_id
  FROM sea.stage_run AS s
 WHERE s.stage = 'eval' AND s.state IN ('done', 'cached')
   AND EXISTS (SELECT 1 FROM sea.score AS c
                WHERE c.stage_id = s.output_stage_id AND c.epoch = s.output_epoch)
 ORDER BY s.experiment_id DESC
 LIMIT 2

-- name: cli_compare
-- A paired comparison for people, in percent. $1, $2 experiments, $3 control.
SELECT c.benchmark || coalesce('/' || nullif(c.split, ''), '') AS benchmark, c.n,
       c.clusters AS pictures,
       to_char(100 * c.mean_a, 'FM9990.00') AS "A", to_char(100 * c.mean_b, 'FM9990.00') AS "B",
       to_char(100 * c.difference, 'FMSG9990.00') AS "B - A",
       coalesce('[' || to_char(100 * c.low, 'FMSG9990.00') || ', '
                    || to_char(100 * c.high, 'FMSG9990.00') || ']', '') AS "95% interval",
       CASE WHEN c.p < 0.001 THEN '< 0.001' ELSE round(c.p::numeric, 3)::text END AS p,
       CASE WHEN c.p IS NULL THEN 'undecidable'
            WHEN c.only_a = 0 AND c.only_b = 0 THEN 'equal on every question'
            WHEN c.p >= 0.05
            THEN 'not distinguishable (detectable ' || to_char(100 * c.mde, 'FM9990.0') || ')'
            WHEN c.difference > 0 THEN 'B better' ELSE 'A better' END AS verdict
  FROM sea.compare($1::bigint, $2::bigint) AS c
 WHERE c.control = $3::boolean
 ORDER BY c.benchmark, c.split

-- name: cli_compare_all
-- The same at full precision, in fractions. $1, $2 experiments, $3 control.
SELECT c.benchmark, c.split, c.n, c.clusters, c.mean_a AS a, c.mean_b AS b, c.difference,
       c.se AS clustered_se, c.low, c.high, c.p, c.mcnemar_p, c.mde AS detectable, c.only_a,
       c.only_b,
       CASE WHEN c.p IS NULL THEN 'undecidable'
            WHEN c.p >= 0.05 THEN 'not distinguishable'
            WHEN c.difference > 0 THEN 'B better' ELSE 'A better' END AS verdict
  FROM sea.compare($1::bigint, $2::bigint) AS c
 WHERE c.control = $3::boolean
 ORDER BY c.benchmark, c.split

-- name: cli_compare_check
-- Benchmarks that two experiments both have, but not with the same questions and right
-- answers: no row when all are comparable. $1, $2 experiments.
SELECT b.name AS benchmark, x.n AS n_a, y.n AS n_b
  FROM sea.questions($1::bigint) AS x
  JOIN sea.questions($2::bigint) AS y USING (benchmark_id)
  JOIN sea.benchmark AS b ON b.id = x.benchmark_id
 WHERE x.n <> y.n OR x.digest <> y.digest
 ORDER BY b.name

-- name: cli_files
-- Files of the outputs of an experiment, found in the cache or computed. $1 experiment, $2 stage or
-- null.
SELECT s.stage, m.path, m.bytes, m.sha256
  FROM sea.stage_run AS s
  JOIN sea.manifest AS m ON m.stage_id = s.output_stage_id AND m.epoch = s.output_epoch
 WHERE s.experiment_id = $1::bigint
   AND ($2::text IS NULL OR s.stage = $2::text)
 ORDER BY s.id, m.path

-- name: cli_cached
-- The output of a stage key, when it has been computed. $1 key.
SELECT c.output_digest
  FROM sea.stage_cache AS c
 WHERE c.key = $1::text
