-- Undoes 0026_boards. Loses: nothing.

-- As 0010_operations made it.

CREATE OR REPLACE VIEW sea.leaderboard WITH (security_invoker = true) AS
SELECT d.suite, d.benchmark, d.split, d.metric, d.control,
       rank() OVER (PARTITION BY d.benchmark, d.suite, d.benchmark_id, d.metric, d.control
                    ORDER BY d.value DESC) AS rank,
       d.experiment_id, d.experiment, d.value, d.se, d.low, d.high, d.scale, d.n, d.clusters,
       d.seed, d.lambda, d.stage_id, d.key, d.ended_at, d.model, d.benchmark_id, k.judge
  FROM sea.board d
  LEFT JOIN sea.benchmark k ON k.id = d.benchmark_id;

DROP TRIGGER benchmark_judge ON sea.benchmark;
DROP FUNCTION sea.benchmark_judge;

-- As 0007_analysis made them.

DROP INDEX sea.board_rank;
ALTER TABLE sea.board DROP COLUMN judge;
CREATE INDEX board_rank ON sea.board
    (benchmark, suite, benchmark_id, metric, control, value DESC)
    INCLUDE (split, se, low, high, scale, n, clusters, experiment_id, experiment, seed, lambda,
             model, stage_id, key, ended_at);

CREATE OR REPLACE FUNCTION sea.board_rows(p_stage_id bigint) RETURNS SETOF sea.board
LANGUAGE sql STABLE AS $$
    SELECT s.id, c.benchmark_id, c.control, c.metric,
           -- Submitted as a path: people say the file's name alone.
           coalesce(regexp_replace(e.config #>> '{stages,eval,suite}', '^.*/|[.]yaml$', '', 'g'),
                    ''),
           b.name, b.split, c.value, c.se, c.low, c.high, c.scale, c.n, c.clusters, e.id, e.name,
           e.config ->> 'seed', e.config #>> '{stages,align,lambda}',
           coalesce(e.config #>> '{model,path}', e.config #>> '{model,language,path}'), s.key,
           s.ended_at
      FROM sea.stage_run s
      JOIN sea.experiment e ON e.id = s.experiment_id
      JOIN sea.score c ON c.stage_id = s.output_stage_id AND c.epoch = s.output_epoch
      JOIN sea.benchmark b ON b.id = c.benchmark_id
     WHERE s.id = p_stage_id AND s.stage = 'eval' AND s.state IN ('done', 'cached');
$$;
