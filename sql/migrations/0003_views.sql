-- Purpose: what people ask: status, timeline, curves, why pending.
-- Breaking: no. Locks and scans: one index, on a table that is new.
-- Run before: nothing.
--
-- Views use now(), not clock_timestamp(): a volatile function would keep the planner from
-- looking into them.

CREATE VIEW sea.experiment_status AS
SELECT e.id AS experiment_id,
       e.name,
       e.state,
       s.stages,
       s.stages_done,
       s.stage_states,
       r.stage AS running,
       r.done,
       r.total,
       r.unit,
       s.reason,
       e.created_at,
       e.started_at,
       e.ended_at,
       extract(epoch FROM coalesce(e.ended_at, now())
               - coalesce(e.started_at, e.created_at))::float8 AS seconds,
       e.submitted_by,
       e.retry_of
  FROM sea.experiment e
 CROSS JOIN LATERAL (
       -- For each experiment by itself: the newest hundred of many are found quickly.
       SELECT count(*) AS stages,
              count(*) FILTER (WHERE q.state IN ('done', 'cached')) AS stages_done,
              string_agg(q.stage || ':' || q.state, ' ' ORDER BY q.id) AS stage_states,
              (array_agg(q.reason ORDER BY q.id)
                   FILTER (WHERE q.state IN ('failed', 'quarantined', 'backoff')))[1] AS reason
         FROM sea.stage_run q
        WHERE q.experiment_id = e.id) s
  LEFT JOIN LATERAL (
       -- One stage with its own progress, also when several run at once.
       SELECT q.stage, l.done, l.total, l.unit
         FROM sea.stage_run q
         LEFT JOIN sea.lease l ON l.stage_id = q.id AND l.epoch = q.last_epoch
        WHERE q.experiment_id = e.id AND q.state = 'running'
        ORDER BY q.id
        LIMIT 1) r ON true;
COMMENT ON VIEW sea.experiment_status IS 'One row per experiment: how far it is.';
COMMENT ON COLUMN sea.experiment_status.experiment_id IS 'Experiment';
COMMENT ON COLUMN sea.experiment_status.name IS 'Its name';
COMMENT ON COLUMN sea.experiment_status.state IS 'queued, running, cancelling, succeeded, failed or cancelled';
COMMENT ON COLUMN sea.experiment_status.stages IS 'Its stage runs';
COMMENT ON COLUMN sea.experiment_status.stages_done IS 'Those with an output, computed or from the cache';
COMMENT ON COLUMN sea.experiment_status.stage_states IS 'stage:state of each, in order';
COMMENT ON COLUMN sea.experiment_status.running IS 'Stage that runs now; the first one when several do';
COMMENT ON COLUMN sea.experiment_status.done IS 'Its progress';
COMMENT ON COLUMN sea.experiment_status.total IS 'What done counts up to';
COMMENT ON COLUMN sea.experiment_status.unit IS 'What done counts';
COMMENT ON COLUMN sea.experiment_status.reason IS 'Why its first stage run failed, pauses or is in quarantine';
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
       extract(epoch FROM coalesce(a.ended_at, now()) - a.claimed_at)::float8
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

-- Few attempts resume: following a chain looks at these alone.
CREATE INDEX attempt_resumed ON sea.attempt (stage_id, epoch) WHERE resumed_step IS NOT NULL;

CREATE VIEW sea.metric_series AS
SELECT s.experiment_id, s.stage, s.id AS stage_id, m.name, m.step, m.value, m.epoch, m.at
  FROM sea.stage_run s
 CROSS JOIN LATERAL (
       -- The chain of one stage run: nobody else's is followed, whatever the question.
       WITH RECURSIVE chain (from_id, epoch, upto) AS (
            SELECT coalesce(s.output_stage_id, s.id), coalesce(s.output_epoch, s.last_epoch),
                   9223372036854775807
            UNION ALL
            SELECT a.resumed_stage_id, a.resumed_epoch, least(c.upto, a.resumed_step)
              FROM chain c
              JOIN sea.attempt a ON a.stage_id = c.from_id AND a.epoch = c.epoch
             WHERE a.resumed_step IS NOT NULL)
       -- An older attempt counts up to the step that the next one went on from.
       SELECT from_id, epoch, upto,
              coalesce(lead(upto) OVER (ORDER BY upto DESC, epoch DESC), -1) AS after
         FROM chain) p
  JOIN sea.metric m ON m.stage_id = p.from_id AND m.epoch = p.epoch
       AND m.step <= p.upto AND m.step > p.after;
COMMENT ON VIEW sea.metric_series IS 'The curve that counts: points of the attempt that committed (or runs), and of those before it up to the checkpoint that it went on from. Quick for one experiment or stage run.';
COMMENT ON COLUMN sea.metric_series.experiment_id IS 'Experiment';
COMMENT ON COLUMN sea.metric_series.stage IS 'Stage';
COMMENT ON COLUMN sea.metric_series.stage_id IS 'Stage run';
COMMENT ON COLUMN sea.metric_series.name IS 'Metric';
COMMENT ON COLUMN sea.metric_series.step IS 'Step';
COMMENT ON COLUMN sea.metric_series.value IS 'Value';
COMMENT ON COLUMN sea.metric_series.epoch IS 'Attempt that measured it';
COMMENT ON COLUMN sea.metric_series.at IS 'When it arrived';

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
       WHEN 'ready' THEN coalesce((
            -- As sea.take_slot sees it.
            SELECT string_agg(c.kind || ' "' || c.name || '" '
                   || CASE WHEN c.slots_max = 0 THEN 'is held: its limit is 0'
                           WHEN h.held >= c.slots_max
                           THEN 'is at its limit: ' || h.held || ' of ' || c.slots_max || ' run'
                           ELSE 'waits for a stage from before its limit was lowered to '
                                || c.slots_max END
                   || '; ', '' ORDER BY c.kind)
              FROM sea.concurrency c
             CROSS JOIN LATERAL (
                   SELECT count(*) AS held, coalesce(max(t.number), 0) AS highest FROM sea.slot t
                    WHERE t.kind = c.kind AND t.name = c.name AND t.stage_id IS NOT NULL) h
             WHERE (c.kind, c.name) IN (('queue', s.queue), ('user', s.owner))
               AND (h.held >= c.slots_max OR h.highest > c.slots_max)), '') || (
            SELECT CASE WHEN count(*) = 0
                        THEN 'no worker is there for queue "' || s.queue || '"'
                        WHEN count(*) FILTER (WHERE w.state = 'active') = 0
                        THEN 'no worker of queue "' || s.queue || '" takes stages now: '
                             || concat_ws(', ',
                                nullif(count(*) FILTER (WHERE w.state = 'suspect'), 0) || ' silent',
                                nullif(count(*) FILTER (WHERE w.state = 'draining'), 0)
                                    || ' draining')
                        WHEN bool_and(x.stage_id IS NOT NULL)
                             FILTER (WHERE w.state = 'active')
                        THEN 'all workers are busy; '
                        ELSE 'a worker is free; ' END
                   || CASE WHEN count(*) FILTER (WHERE w.state = 'active') > 0 THEN (
                      SELECT count(*) FROM sea.stage_run q
                       WHERE q.state = 'ready' AND q.queue = s.queue
                         AND (-q.priority, q.ready_at, q.id) < (-s.priority, s.ready_at, s.id))
                      || ' before it in the queue' ELSE '' END
              FROM sea.worker w
              LEFT JOIN sea.lease x ON x.worker_id = w.id
             WHERE w.queue = s.queue AND w.ended_at IS NULL)
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
