-- Purpose: what people ask: status, timeline, curves, leaderboard, comparison, why pending.
-- Breaking: no. Locks and scans: none, views and functions only.
-- Run before: nothing.

CREATE VIEW sea.experiment_status AS
SELECT e.id AS experiment_id,
       e.name,
       e.state,
       count(s.id) AS stages,
       count(s.id) FILTER (WHERE s.state IN ('done', 'cached')) AS stages_done,
       string_agg(s.stage || ':' || s.state, ' ' ORDER BY s.id) AS stage_states,
       max(s.stage) FILTER (WHERE s.state = 'running') AS running,
       max(l.done) FILTER (WHERE s.state = 'running') AS done,
       max(l.total) FILTER (WHERE s.state = 'running') AS total,
       max(l.unit) FILTER (WHERE s.state = 'running') AS unit,
       max(s.reason) FILTER (WHERE s.state IN ('failed', 'quarantined', 'backoff')) AS reason,
       e.created_at,
       e.started_at,
       e.ended_at,
       extract(epoch FROM coalesce(e.ended_at, clock_timestamp())
               - coalesce(e.started_at, e.created_at))::float8 AS seconds,
       e.submitted_by,
       e.retry_of
  FROM sea.experiment e
  JOIN sea.stage_run s ON s.experiment_id = e.id
  LEFT JOIN sea.lease l ON l.stage_id = s.id AND l.epoch = s.last_epoch
 GROUP BY e.id;
COMMENT ON VIEW sea.experiment_status IS 'One row per experiment: how far it is.';
COMMENT ON COLUMN sea.experiment_status.experiment_id IS 'Experiment';
COMMENT ON COLUMN sea.experiment_status.name IS 'Its name';
COMMENT ON COLUMN sea.experiment_status.state IS 'queued, running, cancelling, succeeded, failed or cancelled';
COMMENT ON COLUMN sea.experiment_status.stages IS 'Its stage runs';
COMMENT ON COLUMN sea.experiment_status.stages_done IS 'Those with an output, computed or from the cache';
COMMENT ON COLUMN sea.experiment_status.stage_states IS 'stage:state of each, in order';
COMMENT ON COLUMN sea.experiment_status.running IS 'Stage that runs now';
COMMENT ON COLUMN sea.experiment_status.done IS 'Its progress';
COMMENT ON COLUMN sea.experiment_status.total IS 'What done counts up to';
COMMENT ON COLUMN sea.experiment_status.unit IS 'What done counts';
COMMENT ON COLUMN sea.experiment_status.reason IS 'Why a stage run failed or pauses';
COMMENT ON COLUMN sea.experiment_status.created_at IS 'Submitted';
COMMENT ON COLUMN sea.experiment_status.started_at IS 'First stage run claimed';
COMMENT ON COLUMN sea.experiment_status.ended_at IS 'Ended';
COMMENT ON COLUMN sea.experiment_status.seconds IS 'Since its start (submission while queued), until now or its end';
COMMENT ON COLUMN sea.experiment_status.submitted_by IS 'Database user who submitted';
COMMENT ON COLUMN sea.experiment_status.retry_of IS 'Experiment that it repeats';

CREATE VIEW sea.stage_timeline AS
SELECT s.experiment_id,
       e.name AS experiment,
       s.id AS stage_id,
       s.stage,
       s.state,
       s.key,
       a.epoch,
       a.state AS attempt,
       a.class,
       a.message,
       a.hint,
       a.exit_status,
       w.host,
       w.device,
       a.claimed_at,
       a.started_at,
       a.ended_at,
       extract(epoch FROM coalesce(a.ended_at, clock_timestamp()) - a.claimed_at)::float8
           AS seconds,
       a.resumed_epoch,
       a.resumed_step,
       l.done,
       l.total,
       l.unit,
       s.output_stage_id,
       s.output_digest,
       s.reason,
       s.created_at
  FROM sea.stage_run s
  JOIN sea.experiment e ON e.id = s.experiment_id
  LEFT JOIN sea.attempt a ON a.stage_id = s.id
  LEFT JOIN sea.worker w ON w.id = a.worker_id
  LEFT JOIN sea.lease l ON l.stage_id = s.id AND l.epoch = a.epoch;
COMMENT ON VIEW sea.stage_timeline IS 'One row per attempt, and one for each stage run that had none: what ran where, when, and how it ended.';
COMMENT ON COLUMN sea.stage_timeline.experiment_id IS 'Experiment';
COMMENT ON COLUMN sea.stage_timeline.experiment IS 'Its name';
COMMENT ON COLUMN sea.stage_timeline.stage_id IS 'Stage run';
COMMENT ON COLUMN sea.stage_timeline.stage IS 'foundation, label, align, tune or eval';
COMMENT ON COLUMN sea.stage_timeline.state IS 'State of the stage run now';
COMMENT ON COLUMN sea.stage_timeline.key IS 'Stage key';
COMMENT ON COLUMN sea.stage_timeline.epoch IS 'Attempt';
COMMENT ON COLUMN sea.stage_timeline.attempt IS 'State of the attempt';
COMMENT ON COLUMN sea.stage_timeline.class IS 'Class of its failure';
COMMENT ON COLUMN sea.stage_timeline.message IS 'What went wrong';
COMMENT ON COLUMN sea.stage_timeline.hint IS 'What to do about it';
COMMENT ON COLUMN sea.stage_timeline.exit_status IS 'Of the stage''s process';
COMMENT ON COLUMN sea.stage_timeline.host IS 'Machine';
COMMENT ON COLUMN sea.stage_timeline.device IS 'What it computed on';
COMMENT ON COLUMN sea.stage_timeline.claimed_at IS 'A worker took it';
COMMENT ON COLUMN sea.stage_timeline.started_at IS 'Its process started';
COMMENT ON COLUMN sea.stage_timeline.ended_at IS 'It ended';
COMMENT ON COLUMN sea.stage_timeline.seconds IS 'From claim to end, or to now';
COMMENT ON COLUMN sea.stage_timeline.resumed_epoch IS 'Attempt whose checkpoint it went on from';
COMMENT ON COLUMN sea.stage_timeline.resumed_step IS 'Step that it went on from';
COMMENT ON COLUMN sea.stage_timeline.done IS 'Progress while it runs';
COMMENT ON COLUMN sea.stage_timeline.total IS 'What done counts up to';
COMMENT ON COLUMN sea.stage_timeline.unit IS 'What done counts';
COMMENT ON COLUMN sea.stage_timeline.output_stage_id IS 'Stage run that made the output; another one for cached';
COMMENT ON COLUMN sea.stage_timeline.output_digest IS 'Digest of the output''s manifest';
COMMENT ON COLUMN sea.stage_timeline.reason IS 'Why the stage run is in this state';
COMMENT ON COLUMN sea.stage_timeline.created_at IS 'Submitted';

CREATE VIEW sea.metric_series AS
WITH RECURSIVE chain (stage_id, from_id, epoch, upto) AS (
    SELECT s.id,
           coalesce(s.output_stage_id, s.id),
           coalesce(s.output_epoch, s.last_epoch),
           9223372036854775807
      FROM sea.stage_run s
    UNION ALL
    SELECT c.stage_id, a.resumed_stage_id, a.resumed_epoch, least(c.upto, a.resumed_step)
      FROM chain c
      JOIN sea.attempt a ON a.stage_id = c.from_id AND a.epoch = c.epoch
     WHERE a.resumed_step IS NOT NULL),
piece AS (
    -- An older attempt counts up to the step that the next one went on from.
    SELECT stage_id, from_id, epoch, upto,
           coalesce(lead(upto) OVER (PARTITION BY stage_id ORDER BY upto DESC, epoch DESC), -1)
               AS after
      FROM chain)
SELECT s.experiment_id, s.stage, p.stage_id, m.name, m.step, m.value, m.epoch, m.at
  FROM piece p
  JOIN sea.stage_run s ON s.id = p.stage_id
  JOIN sea.metric m ON m.stage_id = p.from_id AND m.epoch = p.epoch
       AND m.step <= p.upto AND m.step > p.after;
COMMENT ON VIEW sea.metric_series IS 'The curve that counts: points of the attempt that committed (or runs), and of those before it up to the checkpoint that it went on from. Ask for one experiment or stage run.';
COMMENT ON COLUMN sea.metric_series.experiment_id IS 'Experiment';
COMMENT ON COLUMN sea.metric_series.stage IS 'Stage';
COMMENT ON COLUMN sea.metric_series.stage_id IS 'Stage run';
COMMENT ON COLUMN sea.metric_series.name IS 'Metric';
COMMENT ON COLUMN sea.metric_series.step IS 'Step';
COMMENT ON COLUMN sea.metric_series.value IS 'Value';
COMMENT ON COLUMN sea.metric_series.epoch IS 'Attempt that measured it';
COMMENT ON COLUMN sea.metric_series.at IS 'When it arrived';

CREATE VIEW sea.leaderboard AS
SELECT u.suite,
       b.name AS benchmark,
       b.split,
       c.metric,
       c.control,
       rank() OVER (PARTITION BY u.suite, c.benchmark_id, c.metric, c.control
                    ORDER BY c.value DESC) AS rank,
       e.id AS experiment_id,
       e.name AS experiment,
       c.value,
       c.se,
       c.low,
       c.high,
       c.scale,
       c.n,
       c.clusters,
       e.config ->> 'seed' AS seed,
       e.config #>> '{stages,align,lambda}' AS lambda,
       s.id AS stage_id,
       s.key,
       s.ended_at
  FROM sea.stage_run s
  JOIN sea.experiment e ON e.id = s.experiment_id
  JOIN sea.score c ON c.stage_id = s.output_stage_id AND c.epoch = s.output_epoch
  JOIN sea.benchmark b ON b.id = c.benchmark_id
 CROSS JOIN LATERAL (
       -- Submitted as a path: people say the file's name alone.
       SELECT regexp_replace(e.config #>> '{stages,eval,suite}', '^.*/|[.]yaml$', '', 'g')
                  AS suite) u
 WHERE s.stage = 'eval' AND s.state IN ('done', 'cached');
COMMENT ON VIEW sea.leaderboard IS 'Every score of every finished evaluation with its interval. Differences are judged by sea.compare, never by overlapping intervals.';
COMMENT ON COLUMN sea.leaderboard.suite IS 'Suite of the evaluation: its file''s name without folder and .yaml';
COMMENT ON COLUMN sea.leaderboard.benchmark IS 'Benchmark';
COMMENT ON COLUMN sea.leaderboard.split IS 'Part of the benchmark';
COMMENT ON COLUMN sea.leaderboard.metric IS 'Metric';
COMMENT ON COLUMN sea.leaderboard.control IS 'True: a control run without the picture';
COMMENT ON COLUMN sea.leaderboard.rank IS '1 is best, by the value alone';
COMMENT ON COLUMN sea.leaderboard.experiment_id IS 'Experiment';
COMMENT ON COLUMN sea.leaderboard.experiment IS 'Its name';
COMMENT ON COLUMN sea.leaderboard.value IS 'Score; a fraction where scale is 100';
COMMENT ON COLUMN sea.leaderboard.se IS 'Standard error, clustered';
COMMENT ON COLUMN sea.leaderboard.low IS 'Lower end of the 95 % interval';
COMMENT ON COLUMN sea.leaderboard.high IS 'Upper end of the 95 % interval';
COMMENT ON COLUMN sea.leaderboard.scale IS 'What tables multiply value, low and high by: 100 for percent';
COMMENT ON COLUMN sea.leaderboard.n IS 'Questions';
COMMENT ON COLUMN sea.leaderboard.clusters IS 'Groups of questions that share a picture or passage';
COMMENT ON COLUMN sea.leaderboard.seed IS 'Seed of the experiment';
COMMENT ON COLUMN sea.leaderboard.lambda IS 'Weight of the alignment loss; 0 is the LLaVA baseline';
COMMENT ON COLUMN sea.leaderboard.stage_id IS 'Stage run (eval)';
COMMENT ON COLUMN sea.leaderboard.key IS 'Its stage key: what the number depends on';
COMMENT ON COLUMN sea.leaderboard.ended_at IS 'When it was finished';

CREATE VIEW sea.nightly_report AS
SELECT g.night, h.name AS schedule, b.name AS benchmark, b.split, g.metric, g.verdict,
       g.difference, g.se, g.low, g.high, g.p, g.mde, g.n, g.baseline_id, g.candidate_id,
       g.reason
  FROM sea.regression g
  JOIN sea.schedule h ON h.id = g.schedule_id
  JOIN sea.benchmark b ON b.id = g.benchmark_id;
COMMENT ON VIEW sea.nightly_report IS 'Verdicts of nightly comparisons with names.';
COMMENT ON COLUMN sea.nightly_report.night IS 'Night';
COMMENT ON COLUMN sea.nightly_report.schedule IS 'Nightly evaluation';
COMMENT ON COLUMN sea.nightly_report.benchmark IS 'Benchmark';
COMMENT ON COLUMN sea.nightly_report.split IS 'Part of it';
COMMENT ON COLUMN sea.nightly_report.metric IS 'Metric';
COMMENT ON COLUMN sea.nightly_report.verdict IS 'regressed, not worse, undecidable or not comparable';
COMMENT ON COLUMN sea.nightly_report.difference IS 'Candidate minus baseline, paired';
COMMENT ON COLUMN sea.nightly_report.se IS 'Its clustered standard error';
COMMENT ON COLUMN sea.nightly_report.low IS 'Lower end of its 95 % interval';
COMMENT ON COLUMN sea.nightly_report.high IS 'Upper end';
COMMENT ON COLUMN sea.nightly_report.p IS 'Two-sided p-value of this test alone';
COMMENT ON COLUMN sea.nightly_report.mde IS 'Smallest difference that could have been shown';
COMMENT ON COLUMN sea.nightly_report.n IS 'Questions that both answered';
COMMENT ON COLUMN sea.nightly_report.baseline_id IS 'Experiment compared with';
COMMENT ON COLUMN sea.nightly_report.candidate_id IS 'Experiment of the night';
COMMENT ON COLUMN sea.nightly_report.reason IS 'Why it is not comparable';

CREATE VIEW sea.why_pending AS
SELECT s.experiment_id,
       s.id AS stage_id,
       s.stage,
       s.state,
       CASE s.state
       WHEN 'blocked' THEN 'needs the output of ' || (
            SELECT string_agg(p.stage || ' (' || p.state || ')', ', ' ORDER BY p.id)
              FROM sea.stage_dep d JOIN sea.stage_run p ON p.id = d.parent_id
             WHERE d.child_id = s.id AND p.state NOT IN ('done', 'cached'))
       WHEN 'waiting' THEN coalesce(
            (SELECT 'stage run ' || f.stage_id || ' of experiment ' || o.experiment_id
                    || ' computes the same thing (' || o.state
                    || coalesce(', ' || o.reason, '') || ')'
               FROM sea.flight f JOIN sea.stage_run o ON o.id = f.stage_id
              WHERE f.key = s.key AND f.stage_id <> s.id),
            CASE WHEN s.key IS NULL THEN 'a scheduler has to compute its key'
                 ELSE 'a scheduler has to look at it again' END)
       WHEN 'ready' THEN
            CASE WHEN NOT EXISTS (SELECT FROM sea.worker w
                                   WHERE w.queue = s.queue AND w.state = 'active')
                 THEN 'no worker is there for queue "' || s.queue || '"'
                 ELSE 'all workers are busy; ' || (
                      SELECT count(*) FROM sea.stage_run q
                       WHERE q.state = 'ready' AND q.queue = s.queue
                         AND (-q.priority, q.ready_at, q.id) < (-s.priority, s.ready_at, s.id))
                      || ' before it in the queue' END
       WHEN 'running' THEN 'runs on ' || coalesce(
            (SELECT w.host || ' (' || w.device || ')'
                    || coalesce(', ' || l.done || ' of ' || l.total || ' ' || l.unit, '')
               FROM sea.lease l JOIN sea.worker w ON w.id = l.worker_id
              WHERE l.stage_id = s.id), 'a worker')
       WHEN 'backoff' THEN 'pauses until ' || to_char(s.run_at AT TIME ZONE 'UTC',
            'YYYY-MM-DD HH24:MI:SS"Z"') || coalesce(' after: ' || s.reason, '')
       WHEN 'quarantined' THEN 'was lost ' || s.losses || ' times, an operator has to look: '
            || s.reason END AS reason,
       s.failures,
       s.losses,
       coalesce(s.ready_at, s.created_at) AS since
  FROM sea.stage_run s
 WHERE s.ended_at IS NULL;
COMMENT ON VIEW sea.why_pending IS 'For every stage run that has not ended: what it is waiting for.';
COMMENT ON COLUMN sea.why_pending.experiment_id IS 'Experiment';
COMMENT ON COLUMN sea.why_pending.stage_id IS 'Stage run';
COMMENT ON COLUMN sea.why_pending.stage IS 'Stage';
COMMENT ON COLUMN sea.why_pending.state IS 'Its state';
COMMENT ON COLUMN sea.why_pending.reason IS 'What it waits for, in words';
COMMENT ON COLUMN sea.why_pending.failures IS 'Failures so far';
COMMENT ON COLUMN sea.why_pending.losses IS 'Losses so far';
COMMENT ON COLUMN sea.why_pending.since IS 'When it became ready last, or was submitted';

CREATE VIEW sea.broken_invariant AS
SELECT s.id AS stage_id, 'running without lease' AS what
  FROM sea.stage_run s
 WHERE s.state = 'running'
   AND NOT EXISTS (SELECT FROM sea.lease l
                    WHERE l.stage_id = s.id AND l.epoch = s.last_epoch)
UNION ALL
SELECT l.stage_id, 'lease without running'
  FROM sea.lease l LEFT JOIN sea.stage_run s ON s.id = l.stage_id
 WHERE s.state IS DISTINCT FROM 'running' OR s.last_epoch <> l.epoch
UNION ALL
SELECT s.id, 'commits: ' || count(*)
  FROM sea.stage_run s JOIN sea.attempt a ON a.stage_id = s.id AND a.state = 'committed'
 GROUP BY s.id HAVING count(*) > 1
UNION ALL
SELECT s.id, 'done without a committed attempt or files'
  FROM sea.stage_run s
 WHERE s.state = 'done'
   AND NOT (EXISTS (SELECT FROM sea.attempt a
                     WHERE a.stage_id = s.id AND a.epoch = s.done_epoch
                       AND a.state = 'committed')
            AND EXISTS (SELECT FROM sea.manifest m
                         WHERE m.stage_id = s.id AND m.epoch = s.done_epoch))
UNION ALL
SELECT s.id, 'started before a parent was done'
  FROM sea.stage_run s
  JOIN sea.stage_dep d ON d.child_id = s.id
  JOIN sea.stage_run p ON p.id = d.parent_id
 WHERE s.state NOT IN ('blocked', 'skipped', 'cancelled')
   AND p.state NOT IN ('done', 'cached')
UNION ALL
SELECT f.stage_id, 'flight of an ended stage run'
  FROM sea.flight f LEFT JOIN sea.stage_run s ON s.id = f.stage_id
 WHERE s.id IS NULL OR s.ended_at IS NOT NULL;
COMMENT ON VIEW sea.broken_invariant IS 'Always empty. A row is a defect of the service.';
COMMENT ON COLUMN sea.broken_invariant.stage_id IS 'Stage run';
COMMENT ON COLUMN sea.broken_invariant.what IS 'Which promise it breaks';

-- ---- paired comparison ----

CREATE FUNCTION sea.t_quantile(df float8) RETURNS float8
LANGUAGE sql IMMUTABLE AS $$
    -- Cornish-Fisher expansion around the normal quantile z = 1.959964, exact for 1 and 2.
    SELECT CASE WHEN df < 1 THEN NULL
                WHEN df < 2 THEN 12.706205
                WHEN df < 3 THEN 4.302653
                ELSE 1.959964
                     + 2.3722712 / df
                     + 2.8225010 / (df * df)
                     + 2.5558490 / (df * df * df)
                     + 1.5895300 / (df * df * df * df) END;
$$;
COMMENT ON FUNCTION sea.t_quantile(float8) IS 'Quantile 0.975 of the t distribution: half width of a 95 % interval in standard errors. Off by less than 0.6 % from 3 degrees of freedom on.';

CREATE FUNCTION sea.t_p_value(t float8, df float8) RETURNS float8
LANGUAGE sql IMMUTABLE AS $$
    -- Wallace's normal approximation, then the normal tail after Abramowitz and Stegun 26.2.17.
    SELECT CASE WHEN t IS NULL OR df < 1 THEN NULL
                ELSE least(1, 2 * 0.3989422804 * exp(-z * z / 2) * k
                     * (0.319381530 + k * (-0.356563782 + k * (1.781477937
                        + k * (-1.821255978 + k * 1.330274429))))) END
      FROM (SELECT least(38, sqrt(df * ln(1 + t * t / df)) * (8 * df + 1) / (8 * df + 3)) AS z) a,
           LATERAL (SELECT 1 / (1 + 0.2316419 * z) AS k) b;
$$;
COMMENT ON FUNCTION sea.t_p_value(float8, float8) IS 'Two-sided p-value of a t statistic; off by less than 0.002 from 5 degrees of freedom on.';

CREATE FUNCTION sea.compare(a bigint, b bigint)
RETURNS TABLE (benchmark text, split text, control boolean, n bigint, clusters bigint,
               mean_a float8, mean_b float8, difference float8, se float8, low float8,
               high float8, p float8, mde float8)
LANGUAGE sql STABLE AS $$
    WITH answers AS (
        SELECT s.experiment_id, w.benchmark_id, w.control, w.item,
               row_number() OVER (PARTITION BY s.experiment_id, w.benchmark_id, w.control, w.item
                                  ORDER BY w.seq) AS turn,
               coalesce(w.cluster, w.item) AS cluster, w.score
          FROM sea.stage_run s
          JOIN sea.answer w ON w.stage_id = s.output_stage_id AND w.epoch = s.output_epoch
         WHERE s.experiment_id IN (a, b) AND s.stage = 'eval' AND w.score IS NOT NULL),
    pairs AS (
        SELECT x.benchmark_id, x.control, x.cluster, x.score AS score_a, y.score AS score_b,
               y.score - x.score AS d
          FROM answers x
          JOIN answers y USING (benchmark_id, control, item, turn)
         WHERE x.experiment_id = a AND y.experiment_id = b),
    means AS (
        SELECT benchmark_id, control, count(*) AS n, avg(score_a) AS mean_a,
               avg(score_b) AS mean_b, avg(d) AS mean
          FROM pairs GROUP BY benchmark_id, control),
    groups AS (
        SELECT benchmark_id, control, cluster, sum(q.d - m.mean) AS residual
          FROM pairs q JOIN means m USING (benchmark_id, control)
         GROUP BY benchmark_id, control, cluster),
    errors AS (
        SELECT benchmark_id, control, count(*) AS g, sum(residual * residual) AS squares
          FROM groups GROUP BY benchmark_id, control),
    result AS (
        SELECT m.*, e.g,
               CASE WHEN e.g > 1
                    THEN sqrt(e.g / (e.g - 1.0)::float8 * e.squares) / m.n END AS se
          FROM means m JOIN errors e USING (benchmark_id, control))
    SELECT k.name, k.split, r.control, r.n, r.g, r.mean_a, r.mean_b, r.mean, r.se,
           r.mean - sea.t_quantile(r.g - 1) * r.se, r.mean + sea.t_quantile(r.g - 1) * r.se,
           CASE WHEN r.se > 0 THEN sea.t_p_value(r.mean / r.se, r.g - 1)
                WHEN r.se = 0 THEN CASE WHEN r.mean = 0 THEN 1.0 ELSE 0.0 END END,
           2.801585 * r.se
      FROM result r JOIN sea.benchmark k ON k.id = r.benchmark_id
     ORDER BY k.name, k.split, r.control;
$$;
COMMENT ON FUNCTION sea.compare(bigint, bigint) IS 'Paired comparison of two experiments on the questions that both answered: mean difference (b minus a) of the answers'' own scores with clustered standard error, 95 % interval, two-sided p-value and the smallest difference that would be seen with 80 % power.';
