-- Undoes 0020_figures. Loses: nothing.

-- As 0003_views made it.

CREATE OR REPLACE VIEW sea.metric_series WITH (security_invoker = true) AS
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
