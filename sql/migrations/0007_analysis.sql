-- Purpose: boards that stay quick with many experiments, ranks with intervals, costs, lineage,
--          and the way back from a number to what made it.
-- Breaking: no.
-- Locks and scans: reads all scores once.
-- Run before: nothing.

-- ---- boards ----

CREATE TABLE sea.board (
    stage_id bigint NOT NULL,
    benchmark_id bigint NOT NULL,
    control boolean NOT NULL,
    metric text COLLATE "C" NOT NULL,
    suite text COLLATE "C" NOT NULL,
    benchmark text COLLATE "C" NOT NULL,
    split text COLLATE "C" NOT NULL,
    value double precision NOT NULL,
    se double precision,
    low double precision,
    high double precision,
    scale double precision NOT NULL,
    n bigint NOT NULL,
    clusters bigint,
    experiment_id bigint NOT NULL,
    experiment text COLLATE "C" NOT NULL,
    seed text,
    lambda text,
    model text COLLATE "C",
    key text NOT NULL,
    ended_at timestamptz NOT NULL,
    CONSTRAINT board_pk PRIMARY KEY (stage_id, benchmark_id, control, metric)
);
-- One benchmark's rows lie side by side in this index, in order of rank, with all that the
-- board shows: the table is not read.
CREATE INDEX board_rank ON sea.board
    (benchmark, suite, benchmark_id, metric, control, value DESC)
    INCLUDE (split, se, low, high, scale, n, clusters, experiment_id, experiment, seed, lambda,
             model, stage_id, key, ended_at);
COMMENT ON TABLE sea.board IS 'Scores of finished evaluations side by side with what they belong to: sea.leaderboard reads this alone. Written when an evaluation ends, by a trigger.';
COMMENT ON COLUMN sea.board.stage_id IS 'Stage run (eval)';
COMMENT ON COLUMN sea.board.benchmark_id IS 'Benchmark';
COMMENT ON COLUMN sea.board.control IS 'True: a control: pictures permuted among the questions, or none (split ends with no-image)';
COMMENT ON COLUMN sea.board.metric IS 'Metric';
COMMENT ON COLUMN sea.board.suite IS 'Suite of the evaluation: its file''s name without folder and .yaml';
COMMENT ON COLUMN sea.board.benchmark IS 'Name of the benchmark';
COMMENT ON COLUMN sea.board.split IS 'Part of it';
COMMENT ON COLUMN sea.board.value IS 'Score';
COMMENT ON COLUMN sea.board.se IS 'Standard error';
COMMENT ON COLUMN sea.board.low IS 'Lower end of the 95 % interval';
COMMENT ON COLUMN sea.board.high IS 'Upper end';
COMMENT ON COLUMN sea.board.scale IS 'What tables multiply by';
COMMENT ON COLUMN sea.board.n IS 'Questions';
COMMENT ON COLUMN sea.board.clusters IS 'Groups of questions that share a picture or passage';
COMMENT ON COLUMN sea.board.experiment_id IS 'Experiment';
COMMENT ON COLUMN sea.board.experiment IS 'Its name';
COMMENT ON COLUMN sea.board.seed IS 'Seed of the experiment';
COMMENT ON COLUMN sea.board.lambda IS 'Weight of the alignment loss';
COMMENT ON COLUMN sea.board.model IS 'The language model that was trained, or the finished model that was evaluated';
COMMENT ON COLUMN sea.board.key IS 'Stage key: what the number depends on';
COMMENT ON COLUMN sea.board.ended_at IS 'When the evaluation was finished';

CREATE TABLE sea.board_mean (
    suite text COLLATE "C" NOT NULL,
    metric text COLLATE "C" NOT NULL,
    experiment_id bigint NOT NULL,
    experiment text COLLATE "C" NOT NULL,
    benchmarks bigint NOT NULL,
    value double precision NOT NULL,
    se double precision,
    CONSTRAINT board_mean_pk PRIMARY KEY (experiment_id, metric)
);
CREATE INDEX board_mean_rank ON sea.board_mean (suite, metric, value DESC);
COMMENT ON TABLE sea.board_mean IS 'Mean of one metric over the benchmarks that an experiment answered, written with sea.board. Means over different numbers of benchmarks do not compare.';
COMMENT ON COLUMN sea.board_mean.suite IS 'Suite';
COMMENT ON COLUMN sea.board_mean.metric IS 'Metric';
COMMENT ON COLUMN sea.board_mean.experiment_id IS 'Experiment';
COMMENT ON COLUMN sea.board_mean.experiment IS 'Its name';
COMMENT ON COLUMN sea.board_mean.benchmarks IS 'Benchmarks and splits that the mean is over';
COMMENT ON COLUMN sea.board_mean.value IS 'Mean of the scores, in their own units';
COMMENT ON COLUMN sea.board_mean.se IS 'Its standard error, with benchmarks independent of each other; NULL when one of them has none';

CREATE FUNCTION sea.board_rows(p_stage_id bigint) RETURNS SETOF sea.board
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
COMMENT ON FUNCTION sea.board_rows(bigint) IS 'What sea.board has to hold about one evaluation.';

CREATE FUNCTION sea.board_add(p_stage_id bigint) RETURNS void
LANGUAGE sql AS $$
    WITH added AS (
        INSERT INTO sea.board SELECT * FROM sea.board_rows(p_stage_id) ON CONFLICT DO NOTHING
        RETURNING *)
    INSERT INTO sea.board_mean (suite, metric, experiment_id, experiment, benchmarks, value, se)
    SELECT a.suite, a.metric, a.experiment_id, a.experiment, count(*), avg(a.value),
           CASE WHEN count(a.se) = count(*) THEN sqrt(sum(a.se * a.se)) / count(*) END
      FROM added a
     WHERE NOT a.control
     GROUP BY a.suite, a.metric, a.experiment_id, a.experiment;
$$;
COMMENT ON FUNCTION sea.board_add(bigint) IS 'Part of the trigger on stage runs: puts one finished evaluation on the boards.';

CREATE FUNCTION sea.stage_run_board() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM sea.board_add(NEW.id);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION sea.stage_run_board() IS 'Trigger: an evaluation that is finished, computed or cached, takes its place on the boards.';
CREATE TRIGGER stage_run_board AFTER UPDATE OF state ON sea.stage_run FOR EACH ROW
    WHEN (NEW.stage = 'eval' AND NEW.state IN ('done', 'cached') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION sea.stage_run_board();
COMMENT ON TRIGGER stage_run_board ON sea.stage_run IS 'See sea.stage_run_board()';
SELECT sea.board_add(s.id) FROM sea.stage_run s
 WHERE s.stage = 'eval' AND s.state IN ('done', 'cached');

CREATE VIEW sea.leaderboard AS
SELECT d.suite, d.benchmark, d.split, d.metric, d.control,
       rank() OVER (PARTITION BY d.benchmark, d.suite, d.benchmark_id, d.metric, d.control
                    ORDER BY d.value DESC) AS rank,
       d.experiment_id, d.experiment, d.value, d.se, d.low, d.high, d.scale, d.n, d.clusters,
       d.seed, d.lambda, d.stage_id, d.key, d.ended_at, d.model, d.benchmark_id
  FROM sea.board d;
COMMENT ON VIEW sea.leaderboard IS 'Every score of every finished evaluation with its interval. Differences are judged by sea.compare, never by overlapping intervals.';
COMMENT ON COLUMN sea.leaderboard.suite IS 'Suite of the evaluation: its file''s name without folder and .yaml';
COMMENT ON COLUMN sea.leaderboard.benchmark IS 'Benchmark';
COMMENT ON COLUMN sea.leaderboard.split IS 'Part of the benchmark';
COMMENT ON COLUMN sea.leaderboard.metric IS 'Metric';
COMMENT ON COLUMN sea.leaderboard.control IS 'True: a control: pictures permuted among the questions, or none (split ends with no-image)';
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
COMMENT ON COLUMN sea.leaderboard.model IS 'The language model that was trained, or the finished model that was evaluated';
COMMENT ON COLUMN sea.leaderboard.benchmark_id IS 'Benchmark';

CREATE VIEW sea.best_per_model AS
SELECT DISTINCT ON (d.benchmark, d.suite, d.benchmark_id, d.metric, d.model)
       d.model, d.suite, d.benchmark, d.split, d.metric, d.value, d.low, d.high, d.scale, d.n,
       d.experiment_id, d.experiment, d.ended_at
  FROM sea.board d
 WHERE NOT d.control
 ORDER BY d.benchmark, d.suite, d.benchmark_id, d.metric, d.model, d.value DESC,
          d.experiment_id;
COMMENT ON VIEW sea.best_per_model IS 'The best score of every model on every benchmark and metric. The best of many is lucky: compare it on fresh questions before believing it.';
COMMENT ON COLUMN sea.best_per_model.model IS 'The language model that was trained, or the finished model that was evaluated';
COMMENT ON COLUMN sea.best_per_model.suite IS 'Suite';
COMMENT ON COLUMN sea.best_per_model.benchmark IS 'Benchmark';
COMMENT ON COLUMN sea.best_per_model.split IS 'Part of it';
COMMENT ON COLUMN sea.best_per_model.metric IS 'Metric';
COMMENT ON COLUMN sea.best_per_model.value IS 'Score';
COMMENT ON COLUMN sea.best_per_model.low IS 'Lower end of the 95 % interval';
COMMENT ON COLUMN sea.best_per_model.high IS 'Upper end';
COMMENT ON COLUMN sea.best_per_model.scale IS 'What tables multiply by';
COMMENT ON COLUMN sea.best_per_model.n IS 'Questions';
COMMENT ON COLUMN sea.best_per_model.experiment_id IS 'Experiment';
COMMENT ON COLUMN sea.best_per_model.experiment IS 'Its name';
COMMENT ON COLUMN sea.best_per_model.ended_at IS 'When it was finished';

-- ---- ranks ----

CREATE FUNCTION sea.rank_intervals(benchmark text, experiments bigint[], alpha float8 DEFAULT 0.05,
                                   split text DEFAULT NULL)
RETURNS TABLE (experiment_id bigint, n bigint, mean float8, best_rank bigint, worst_rank bigint)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    p_benchmark ALIAS FOR $1;
    p_split ALIAS FOR $4;
BEGIN
    IF cardinality(experiments) > 50 THEN
        RAISE EXCEPTION 'ranks of % experiments are % paired tests, at most 50 experiments',
            cardinality(experiments), cardinality(experiments) * (cardinality(experiments) - 1) / 2
            USING ERRCODE = 'LF010', HINT = 'Take the first ones of the leaderboard.';
    END IF;
    RETURN QUERY
    WITH pairs AS (
        SELECT x.id AS a, y.id AS b, c.difference, c.p,
               row_number() OVER (ORDER BY c.p NULLS LAST, x.id, y.id) AS place,
               count(c.p) OVER () AS m
          FROM unnest(experiments) AS x (id)
          JOIN unnest(experiments) AS y (id) ON x.id < y.id
         CROSS JOIN LATERAL sea.compare(x.id, y.id) c
         WHERE c.benchmark = p_benchmark AND (p_split IS NULL OR c.split = p_split)
           AND NOT c.control),
    tests AS (
        SELECT a, b, difference,
               max(p * (m - place + 1)) OVER (ORDER BY place) <= alpha AS differs
          FROM pairs),
    sides AS (
        SELECT a AS id, (differs AND difference > 0)::int AS better,
               (differs AND difference < 0)::int AS worse FROM tests
        UNION ALL
        SELECT b, (differs AND difference < 0)::int, (differs AND difference > 0)::int FROM tests)
    SELECT e.id, k.n, k.mean, 1 + coalesce(sum(s.better), 0)::bigint,
           count(*) OVER () - coalesce(sum(s.worse), 0)::bigint
      FROM unnest(experiments) AS e (id)
     CROSS JOIN LATERAL (
           SELECT count(w.score) AS n, avg(w.score) AS mean
             FROM sea.stage_run r
             JOIN sea.answer w ON w.stage_id = r.output_stage_id AND w.epoch = r.output_epoch
             JOIN sea.benchmark q ON q.id = w.benchmark_id
            WHERE r.experiment_id = e.id AND r.stage = 'eval' AND q.name = p_benchmark
              AND (p_split IS NULL OR q.split = p_split) AND NOT w.control) k
      LEFT JOIN sides s ON s.id = e.id
     GROUP BY e.id, k.n, k.mean
     ORDER BY k.mean DESC NULLS LAST, e.id;
END $$;
COMMENT ON FUNCTION sea.rank_intervals(text, bigint[], float8, text) IS 'Ranks with intervals: best is 1 + the number of experiments that are significantly better, worst is all less those that are significantly worse. All pairs by sea.compare, p-values after Holm.';

-- ---- costs ----

CREATE VIEW sea.experiment_cost AS
SELECT s.experiment_id,
       sum(c.seconds) / 3600 AS device_hours,
       sum(c.seconds) FILTER (WHERE s.output_stage_id IS DISTINCT FROM s.id
                              AND s.output_stage_id IS NOT NULL) / 3600 AS saved_hours,
       sum(c.lost) / 3600 AS lost_hours
  FROM sea.stage_run s
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(extract(epoch FROM coalesce(a.ended_at, now())
                                    - a.claimed_at)), 0)::float8 AS seconds,
              coalesce(sum(extract(epoch FROM a.ended_at - a.claimed_at))
                       FILTER (WHERE a.state IN ('failed', 'lost', 'cancelled')), 0)::float8 AS lost
         FROM sea.attempt a
        WHERE a.stage_id = coalesce(s.output_stage_id, s.id)) c
 GROUP BY s.experiment_id;
COMMENT ON VIEW sea.experiment_cost IS 'What an experiment costs from scratch: hours of all attempts of all its stages, those that came from the cache included. Energy is not measured.';
COMMENT ON COLUMN sea.experiment_cost.experiment_id IS 'Experiment';
COMMENT ON COLUMN sea.experiment_cost.device_hours IS 'Hours on a device, as if nothing had been cached';
COMMENT ON COLUMN sea.experiment_cost.saved_hours IS 'Hours of these that the cache saved';
COMMENT ON COLUMN sea.experiment_cost.lost_hours IS 'Hours of attempts that failed, were lost or cancelled';

CREATE VIEW sea.cost_per_point AS
SELECT d.suite, d.benchmark, d.split, d.metric, d.experiment_id, d.experiment, d.value, d.scale,
       c.device_hours, c.device_hours / nullif(d.value * d.scale, 0) AS hours_per_point
  FROM sea.board d
  JOIN sea.experiment_cost c USING (experiment_id)
 WHERE NOT d.control;
COMMENT ON VIEW sea.cost_per_point IS 'Device hours for each point of a score.';
COMMENT ON COLUMN sea.cost_per_point.suite IS 'Suite';
COMMENT ON COLUMN sea.cost_per_point.benchmark IS 'Benchmark';
COMMENT ON COLUMN sea.cost_per_point.split IS 'Part of it';
COMMENT ON COLUMN sea.cost_per_point.metric IS 'Metric';
COMMENT ON COLUMN sea.cost_per_point.experiment_id IS 'Experiment';
COMMENT ON COLUMN sea.cost_per_point.experiment IS 'Its name';
COMMENT ON COLUMN sea.cost_per_point.value IS 'Score';
COMMENT ON COLUMN sea.cost_per_point.scale IS 'What tables multiply by';
COMMENT ON COLUMN sea.cost_per_point.device_hours IS 'What the experiment cost from scratch';
COMMENT ON COLUMN sea.cost_per_point.hours_per_point IS 'Hours per point, in the units of tables';

-- ---- lineage ----

CREATE FUNCTION sea.lineage(sha256 text)
RETURNS TABLE (depth integer, stage_id bigint, epoch bigint, experiment_id bigint, stage text,
               key text, output_digest text, path text, ended_at timestamptz)
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE above (depth, run_id) AS (
        SELECT 0, m.stage_id FROM sea.manifest m WHERE m.sha256 = $1
        UNION
        SELECT a.depth + 1, coalesce(p.output_stage_id, p.id)
          FROM above a
          JOIN sea.stage_dep d ON d.child_id = a.run_id
          JOIN sea.stage_run p ON p.id = d.parent_id)
    SELECT a.depth, s.id, s.output_epoch, s.experiment_id, s.stage, s.key, s.output_digest,
           (SELECT min(m.path) FROM sea.manifest m
             WHERE m.stage_id = s.id AND m.epoch = s.output_epoch AND m.sha256 = $1),
           s.ended_at
      FROM (SELECT run_id, min(depth) AS depth FROM above GROUP BY run_id) a
      JOIN sea.stage_run s ON s.id = a.run_id
     ORDER BY a.depth, s.id DESC;
$$;
COMMENT ON FUNCTION sea.lineage(text) IS 'Where a file comes from: the stage runs whose output holds it (depth 0, with its path), and those whose outputs they read, up to the first.';

CREATE FUNCTION sea.reproduce(experiment bigint, benchmark text, metric text)
RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    p_id ALIAS FOR $1;
    p_benchmark ALIAS FOR $2;
    p_metric ALIAS FOR $3;
    result jsonb;
BEGIN
    SELECT jsonb_build_object(
               'cell', jsonb_build_object('suite', d.suite, 'benchmark', d.benchmark,
                   'split', d.split, 'metric', d.metric, 'value', d.value, 'n', d.n,
                   'low', d.low, 'high', d.high),
               'config', e.config,
               'stages', (SELECT jsonb_agg(jsonb_build_object('stage', s.stage, 'key', s.key,
                                 'computed_by', s.output_stage_id, 'epoch', s.output_epoch,
                                 'output', s.output_digest, 'device', w.device, 'host', w.host)
                                 ORDER BY s.id)
                            FROM sea.stage_run s
                            LEFT JOIN sea.attempt a ON a.stage_id = s.output_stage_id
                                                   AND a.epoch = s.output_epoch
                            LEFT JOIN sea.worker w ON w.id = a.worker_id
                           WHERE s.experiment_id = e.id),
               'questions', (SELECT q.digest FROM sea.questions(e.id) q
                              WHERE q.benchmark_id = d.benchmark_id)) INTO result
      FROM sea.board d JOIN sea.experiment e ON e.id = d.experiment_id
     WHERE d.experiment_id = p_id AND d.benchmark = p_benchmark AND d.metric = p_metric
       AND NOT d.control
     ORDER BY d.split LIMIT 1;
    IF result IS NULL THEN
        RAISE EXCEPTION 'experiment % has no % on "%"', p_id, p_metric, p_benchmark
            USING ERRCODE = 'LF012', HINT = 'sea.leaderboard shows what there is.';
    END IF;
    RETURN result;
END $$;
COMMENT ON FUNCTION sea.reproduce(bigint, text, text) IS 'Everything that a number on the board depends on: the configuration to submit again, the keys and outputs of its stages, where they were computed, the digest of the questions. The same keys in another database give the same outputs.';
