-- Undoes 0025_stopped. Loses: nothing.

-- As 0014_halving_cost made it.

CREATE OR REPLACE VIEW sea.study WITH (security_invoker = true) AS
SELECT t.study, t.tenant, t.experiment_id, e.name,
       CASE WHEN t.stopped_at IS NOT NULL THEN 'stopped' ELSE e.state END AS state,
       t.metric, t.mode, r.rung, r.step, r.value, r.rank, r.trials,
       CASE WHEN r.rung IS NOT NULL THEN greatest(1, r.trials / t.eta) END AS kept, t.reason
  FROM sea.trial t
  JOIN sea.experiment e ON e.id = t.experiment_id
  LEFT JOIN (
       -- Study and tenant are part of each window, so that a question about one looks at no other.
       SELECT o.study, o.tenant, o.experiment_id, x.rung, x.step, x.value,
              row_number() OVER (PARTITION BY o.study, o.tenant, o.metric, o.mode, o.first_step,
                                              o.eta, x.rung
                                 ORDER BY CASE o.mode WHEN 'min' THEN x.value ELSE -x.value END,
                                          o.experiment_id) AS rank,
              count(*) OVER (PARTITION BY o.study, o.tenant, o.metric, o.mode, o.first_step,
                                          o.eta, x.rung) AS trials,
              row_number() OVER (PARTITION BY o.study, o.tenant, o.experiment_id
                                 ORDER BY x.rung DESC) AS from_last
         FROM sea.trial o
         JOIN sea.rung x ON x.experiment_id = o.experiment_id) r
       ON r.study = t.study AND r.tenant = t.tenant AND r.experiment_id = t.experiment_id
      AND r.from_last = 1;
