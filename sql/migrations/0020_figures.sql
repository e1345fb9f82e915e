-- Purpose: figures that belong to no step (step 0) are not lost when an attempt that had gone on
--          from a checkpoint told them, and another one went on from its own.
-- Breaking: no.
-- Locks and scans: none.
-- Run before: nothing.

CREATE OR REPLACE VIEW sea.metric_series WITH (security_invoker = true) AS
SELECT s.experiment_id, s.stage, s.id AS stage_id, m.name, m.step, m.value, m.epoch, m.at
  FROM sea.stage_run s
 CROSS JOIN LATERAL (
       -- The chain of one stage run: nobody else's is followed, whatever the question. What went
       -- on from an attempt is carried along, for figures that belong to no step.
       WITH RECURSIVE chain (from_id, epoch, upto, age, later_ids, later_epochs) AS (
            SELECT coalesce(s.output_stage_id, s.id), coalesce(s.output_epoch, s.last_epoch),
                   9223372036854775807, 0, '{}'::bigint[], '{}'::bigint[]
            UNION ALL
            SELECT a.resumed_stage_id, a.resumed_epoch, least(c.upto, a.resumed_step), c.age + 1,
                   c.later_ids || c.from_id, c.later_epochs || c.epoch
              FROM chain c
              JOIN sea.attempt a ON a.stage_id = c.from_id AND a.epoch = c.epoch
             WHERE a.resumed_step IS NOT NULL)
       -- An older attempt counts up to the step that the next one went on from.
       SELECT from_id, epoch, upto, later_ids, later_epochs,
              coalesce(lead(upto) OVER (ORDER BY age), 0) AS after
         FROM chain) p
 CROSS JOIN LATERAL (
       SELECT name, step, value, epoch, at
         FROM sea.metric
        WHERE stage_id = p.from_id AND epoch = p.epoch AND step <= p.upto AND step > p.after
       UNION ALL
       SELECT name, step, value, epoch, at
         FROM sea.metric m
        WHERE stage_id = p.from_id AND epoch = p.epoch AND step = 0
          AND NOT EXISTS (
              SELECT FROM unnest(p.later_ids, p.later_epochs) AS l (id, epoch)
                JOIN sea.metric n ON n.stage_id = l.id AND n.epoch = l.epoch
                     AND n.name = m.name AND n.step = 0)) m;
COMMENT ON VIEW sea.metric_series IS 'The curve that counts: points of the attempt that committed (or runs), and of those before it up to the checkpoint that it went on from. Of figures without a step (step 0) the last one that was told. Quick for one experiment or stage run.';
