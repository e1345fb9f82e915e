-- Purpose: a benchmark's whole board is read from one index: who judged is on it, too.
-- Breaking: no.
-- Locks and scans: ACCESS EXCLUSIVE on board while its index is built anew, a second for 300,000
--                  scores; questions about boards and the ends of evaluations wait.
-- Run before: nothing.

ALTER TABLE sea.board ADD COLUMN judge text;
COMMENT ON COLUMN sea.board.judge IS 'Model that graded the answers, and its prompts; NULL: rules did';
UPDATE sea.board AS d SET judge = b.judge
  FROM sea.benchmark b
 WHERE b.id = d.benchmark_id AND b.judge IS NOT NULL;
DROP INDEX sea.board_rank;
CREATE INDEX board_rank ON sea.board
    (benchmark, suite, benchmark_id, metric, control, value DESC)
    INCLUDE (split, se, low, high, scale, n, clusters, experiment_id, experiment, seed, lambda,
             model, stage_id, key, ended_at, judge);

CREATE OR REPLACE FUNCTION sea.board_rows(p_stage_id bigint) RETURNS SETOF sea.board
LANGUAGE sql STABLE AS $$
    SELECT s.id, c.benchmark_id, c.control, c.metric,
           -- Submitted as a path: people say the file's name alone.
           coalesce(regexp_replace(e.config #>> '{stages,eval,suite}', '^.*/|[.]yaml$', '', 'g'),
                    ''),
           b.name, b.split, c.value, c.se, c.low, c.high, c.scale, c.n, c.clusters, e.id, e.name,
           e.config ->> 'seed', e.config #>> '{stages,align,lambda}',
           coalesce(e.config #>> '{model,path}', e.config #>> '{model,language,path}'), s.key,
           s.ended_at, b.judge
      FROM sea.stage_run s
      JOIN sea.experiment e ON e.id = s.experiment_id
      JOIN sea.score c ON c.stage_id = s.output_stage_id AND c.epoch = s.output_epoch
      JOIN sea.benchmark b ON b.id = c.benchmark_id
     WHERE s.id = p_stage_id AND s.stage = 'eval' AND s.state IN ('done', 'cached');
$$;

-- A benchmark's judge is said once, and may be said after evaluations that had none.
CREATE FUNCTION sea.benchmark_judge() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sea.board SET judge = NEW.judge
     WHERE benchmark = NEW.name AND benchmark_id = NEW.id AND judge IS DISTINCT FROM NEW.judge;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION sea.benchmark_judge() IS 'Trigger: the boards say who judged as the benchmark does.';
CREATE TRIGGER benchmark_judge AFTER UPDATE OF judge ON sea.benchmark FOR EACH ROW
    WHEN (NEW.judge IS DISTINCT FROM OLD.judge)
    EXECUTE FUNCTION sea.benchmark_judge();
COMMENT ON TRIGGER benchmark_judge ON sea.benchmark IS 'See sea.benchmark_judge()';

CREATE OR REPLACE VIEW sea.leaderboard WITH (security_invoker = true) AS
SELECT d.suite, d.benchmark, d.split, d.metric, d.control,
       rank() OVER (PARTITION BY d.benchmark, d.suite, d.benchmark_id, d.metric, d.control
                    ORDER BY d.value DESC) AS rank,
       d.experiment_id, d.experiment, d.value, d.se, d.low, d.high, d.scale, d.n, d.clusters,
       d.seed, d.lambda, d.stage_id, d.key, d.ended_at, d.model, d.benchmark_id, d.judge
  FROM sea.board d;

DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
