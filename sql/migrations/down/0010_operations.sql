-- Undoes 0010_operations. Partitions of curves that were dropped come back empty: the functions of
-- before count them.
-- Loses: second runs that are under way, how long things are kept, who judged.

SELECT pg_temp.loses('nights that wait for a second run', (
    SELECT count(*) FROM sea.night WHERE compared_at IS NOT NULL AND judged_at IS NULL));
SELECT pg_temp.loses('second runs', (
    SELECT count(*) FROM sea.night_run WHERE confirm_id IS NOT NULL));
SELECT pg_temp.loses('times to keep things', (
    SELECT count(*) FROM sea.retention r
      JOIN (VALUES ('metric', NULL), ('event', 365), ('notice', 90)) AS d (what, days) USING (what)
     WHERE r.days IS DISTINCT FROM d.days));
SELECT pg_temp.loses('judges', (SELECT count(*) FROM sea.benchmark WHERE judge IS NOT NULL));
DELETE FROM sea.access WHERE object IN ('retention', 'set_retention', 'add_judge');
DROP INDEX sea.board_best;
DROP VIEW sea.leaderboard, sea.nightly_report;
DO $$
DECLARE
    size CONSTANT bigint := 100000;
BEGIN
    FOR part IN 0..(SELECT max(high) / size - 1 FROM sea.metric_partitions()) LOOP
        CONTINUE WHEN EXISTS (SELECT FROM sea.metric_partitions() WHERE low = part * size);
        EXECUTE format('CREATE TABLE sea.%I PARTITION OF sea.metric FOR VALUES FROM (%s) TO (%s)',
                       'metric_' || part, part * size, (part + 1) * size);
        EXECUTE format('COMMENT ON TABLE sea.%I IS %L', 'metric_' || part,
                       format('Points of stage runs %s to %s', part * size, (part + 1) * size - 1));
    END LOOP;
END $$;
DROP FUNCTION sea.add_judge, sea.metric_partitions, sea.set_retention, sea.confirm_night,
    sea.ask_again;
ALTER TABLE sea.benchmark DROP COLUMN judge;
DROP TABLE sea.retention;
ALTER TABLE sea.verdict
    DROP COLUMN confirmed,
    DROP COLUMN confirm_difference,
    DROP COLUMN confirm_p;
ALTER TABLE sea.night_run DROP COLUMN confirm_id;
ALTER TABLE sea.night DROP COLUMN compared_at;
ALTER TABLE sea.schedule DROP COLUMN confirm;

-- What follows is as 0002_functions, 0006_nightly and 0007_analysis made it.

CREATE OR REPLACE FUNCTION sea.maintain() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    size CONSTANT bigint := 100000;
    top bigint;
    parts bigint;
    name text;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('sea.maintain')) THEN
        RETURN;
    END IF;
    SELECT coalesce(max(id), 0) INTO top FROM sea.stage_run;
    SELECT count(*) INTO parts FROM pg_inherits WHERE inhparent = 'sea.metric'::regclass;
    WHILE top + size / 2 >= parts * size LOOP
        name := 'metric_' || parts;
        SET LOCAL lock_timeout = '2s';
        EXECUTE format('CREATE TABLE sea.%I (LIKE sea.metric INCLUDING DEFAULTS)', name);
        EXECUTE format('COMMENT ON TABLE sea.%I IS %L', name,
                       format('Points of stage runs %s to %s', parts * size,
                              (parts + 1) * size - 1));
        EXECUTE format('ALTER TABLE sea.metric ATTACH PARTITION sea.%I FOR VALUES FROM (%s) TO (%s)',
                       name, parts * size, (parts + 1) * size);
        parts := parts + 1;
    END LOOP;
END $$;
COMMENT ON FUNCTION sea.maintain() IS 'Makes partitions of sea.metric ahead of the stage runs that will need them.';

CREATE OR REPLACE FUNCTION sea.add_schedule(config jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    p_config ALIAS FOR $1;
    one record;
    first timestamptz;
    result bigint;
BEGIN
    IF coalesce(p_config->>'name', '') !~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$' THEN
        RAISE EXCEPTION 'a schedule''s name is 1 to 64 letters, digits and . _ -, not "%"',
            left(p_config->>'name', 80) USING ERRCODE = 'LF010';
    END IF;
    IF jsonb_typeof(p_config->'models') IS DISTINCT FROM 'object' OR p_config->'models' = '{}' THEN
        RAISE EXCEPTION 'schedule "%" has no models', p_config->>'name' USING ERRCODE = 'LF010';
    END IF;
    FOR one IN SELECT * FROM jsonb_each(p_config->'models') LOOP
        IF coalesce(one.value->'stages', '{}') - 'eval' <> '{}'
           OR NOT coalesce(one.value->'stages' ? 'eval', false) THEN
            RAISE EXCEPTION 'schedule "%": model "%" is not an experiment with stage eval alone',
                p_config->>'name', one.key USING ERRCODE = 'LF010';
        END IF;
    END LOOP;
    first := sea.cron_next(sea.cron_parse(p_config->>'cron'), clock_timestamp());
    IF first IS NULL THEN
        RAISE EXCEPTION 'cron "%" names no minute at all', p_config->>'cron'
            USING ERRCODE = 'LF010', HINT = 'Months differ in their days.';
    END IF;
    INSERT INTO sea.schedule AS s (name, cron, config, catch_up, baseline, q, delta, power, next_at)
    VALUES (p_config->>'name', p_config->>'cron', p_config,
            coalesce(p_config->>'catch_up', 'last'), coalesce(p_config->>'baseline', 'first'),
            coalesce((p_config->>'q')::float8, 0.01),
            coalesce((p_config->>'delta')::float8, 0.01),
            coalesce((p_config->>'power')::float8, 0.95), first)
        ON CONFLICT (name) DO UPDATE
       SET cron = EXCLUDED.cron, config = EXCLUDED.config, catch_up = EXCLUDED.catch_up,
           baseline = EXCLUDED.baseline, q = EXCLUDED.q, delta = EXCLUDED.delta,
           power = EXCLUDED.power, next_at = EXCLUDED.next_at, enabled = true
    RETURNING s.id INTO result;
    RETURN result;
EXCEPTION WHEN check_violation OR invalid_text_representation OR numeric_value_out_of_range THEN
    RAISE EXCEPTION 'schedule "%": %', p_config->>'name', SQLERRM USING ERRCODE = 'LF010',
        HINT = 'catch_up: last, all or skip; baseline: first, previous or the id of an '
            || 'experiment; q and delta: above 0 and below 1; power: 0.5 or more, below 1.';
END $$;
COMMENT ON FUNCTION sea.add_schedule(jsonb) IS 'Adds a schedule, or changes the one of that name, and returns its id. {"name", "cron", "models": {NAME: resolved experiment with stage eval alone}}, and optionally catch_up, baseline, q, delta and power, as the columns of sea.schedule say.';

CREATE OR REPLACE FUNCTION sea.tell(p_kind text, p_regression_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    body jsonb;
BEGIN
    SELECT jsonb_build_object(
               'event', p_kind, 'regression', g.id, 'schedule', s.name, 'model', g.model,
               'benchmark', b.name, 'split', b.split, 'kind', g.kind, 'night', g.slot,
               'first_bad', g.first_bad, 'last_good', g.last_good,
               'baseline_experiment', g.baseline_id, 'experiment', g.candidate_id,
               'difference', g.difference, 'low', g.low, 'high', g.high) INTO body
      FROM sea.regression g
      JOIN sea.schedule s ON s.id = g.schedule_id
      JOIN sea.benchmark b ON b.id = g.benchmark_id
     WHERE g.id = p_regression_id;
    INSERT INTO sea.notice (kind, body) VALUES (p_kind, body);
    PERFORM pg_notify('sea_nightly', body::text);
END $$;
COMMENT ON FUNCTION sea.tell(text, bigint) IS 'Part of sea.judge_night: a notice for the webhook, and a NOTIFY on channel sea_nightly.';

CREATE OR REPLACE FUNCTION sea.open_regression(p_schedule_id bigint, p_slot timestamptz, p_model text,
                                    p_benchmark_id bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    now_is sea.verdict;
    run sea.night_run;
    slots timestamptz[];
    means double precision[];
    step record;
    opened bigint;
BEGIN
    SELECT * INTO STRICT now_is FROM sea.verdict v
     WHERE v.schedule_id = p_schedule_id AND v.slot = p_slot AND v.model = p_model
       AND v.benchmark_id = p_benchmark_id;
    SELECT * INTO STRICT run FROM sea.night_run r
     WHERE r.schedule_id = p_schedule_id AND r.slot = p_slot AND r.model = p_model;
    -- The last hundred nights since a regression was resolved.
    SELECT array_agg(h.slot ORDER BY h.slot), array_agg(h.mean ORDER BY h.slot)
      INTO slots, means
      FROM (SELECT v.slot, v.mean FROM sea.verdict v
             WHERE v.schedule_id = p_schedule_id AND v.model = p_model
               AND v.benchmark_id = p_benchmark_id AND v.slot <= p_slot
               AND v.slot > coalesce((SELECT max(g.slot) FROM sea.regression g
                    WHERE g.schedule_id = p_schedule_id AND g.model = p_model
                      AND g.benchmark_id = p_benchmark_id AND g.state = 'resolved'), '-infinity')
             ORDER BY v.slot DESC LIMIT 100) h;
    SELECT * INTO step FROM sea.last_step(means, 0.001);
    IF now_is.verdict <> 'regressed'
       AND NOT coalesce(step.difference <= -(SELECT delta FROM sea.schedule
                                              WHERE id = p_schedule_id), false) THEN
        RETURN;
    END IF;
    INSERT INTO sea.regression (schedule_id, model, benchmark_id, kind, slot, first_bad, last_good,
                                baseline_id, candidate_id, difference, low, high)
    SELECT p_schedule_id, p_model, p_benchmark_id,
           CASE now_is.verdict WHEN 'regressed' THEN 'drop' ELSE 'drift' END, p_slot,
           coalesce(slots[s.at], p_slot),
           CASE WHEN s.at IS NOT NULL THEN slots[s.at - 1]
                ELSE (SELECT max(r.slot) FROM sea.night_run r
                       WHERE r.schedule_id = p_schedule_id AND r.model = p_model
                         AND r.slot < p_slot AND r.outcome IN ('baseline', 'compared')) END,
           run.baseline_id, run.experiment_id,
           CASE now_is.verdict WHEN 'regressed' THEN now_is.difference ELSE step.difference END,
           CASE now_is.verdict WHEN 'regressed' THEN now_is.low END,
           CASE now_is.verdict WHEN 'regressed' THEN now_is.high END
      FROM (SELECT CASE WHEN step.difference < 0 THEN step.at END AS at) s
        ON CONFLICT (schedule_id, model, benchmark_id) WHERE state <> 'resolved' DO NOTHING
    RETURNING id INTO opened;
    IF opened IS NOT NULL THEN
        PERFORM sea.tell('opened', opened);
    END IF;
END $$;
COMMENT ON FUNCTION sea.open_regression(bigint, timestamptz, text, bigint) IS 'Part of sea.judge_night: opens a regression when the night''s verdict says so or the series has a step down, unless one is open.';

CREATE OR REPLACE FUNCTION sea.judge_night(p_schedule_id bigint, p_slot timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    one record;
    known record;
BEGIN
    UPDATE sea.night_run r
       SET outcome = o.outcome, reason = o.reason
      FROM (SELECT x.model,
                   CASE WHEN e.state <> 'succeeded' THEN 'failed'
                        WHEN x.baseline_id IS NULL THEN 'baseline'
                        WHEN why.reason IS NOT NULL THEN 'not comparable'
                        ELSE 'compared' END AS outcome,
                   CASE WHEN e.state <> 'succeeded'
                        THEN 'experiment ' || e.id || ' ' || e.state || coalesce(': '
                             || (SELECT min(s.reason) FROM sea.stage_run s
                                  WHERE s.experiment_id = e.id AND s.state = 'failed'), '')
                        WHEN x.baseline_id IS NOT NULL THEN why.reason END AS reason
              FROM sea.night_run x
              JOIN sea.experiment e ON e.id = x.experiment_id
             CROSS JOIN LATERAL (SELECT sea.why_not_comparable(x.baseline_id, e.id)
                                        AS reason) why
             WHERE x.schedule_id = p_schedule_id AND x.slot = p_slot) o
     WHERE r.schedule_id = p_schedule_id AND r.slot = p_slot AND r.model = o.model;
    PERFORM sea.compare_night(p_schedule_id, p_slot);
    FOR one IN SELECT v.* FROM sea.verdict v
                WHERE v.schedule_id = p_schedule_id AND v.slot = p_slot
                ORDER BY v.model, v.benchmark_id
    LOOP
        PERFORM sea.open_regression(p_schedule_id, p_slot, one.model, one.benchmark_id);
        IF one.verdict = 'not worse' THEN
            SELECT g.id, g.state INTO known FROM sea.regression g
             WHERE g.schedule_id = p_schedule_id AND g.model = one.model
               AND g.benchmark_id = one.benchmark_id AND g.state <> 'resolved'
               AND g.slot < p_slot AND g.kind = 'drop'
               FOR NO KEY UPDATE;
            IF FOUND THEN
                UPDATE sea.regression SET state = 'resolved', closed_at = clock_timestamp()
                 WHERE id = known.id;
            END IF;
            IF FOUND AND known.state <> 'muted' THEN
                PERFORM sea.tell('resolved', known.id);
            END IF;
        END IF;
    END LOOP;
    INSERT INTO sea.notice (kind, body)
    SELECT 'failed', jsonb_build_object('event', 'failed', 'schedule', s.name, 'night', r.slot,
               'model', r.model, 'experiment', r.experiment_id, 'outcome', r.outcome,
               'reason', r.reason)
      FROM sea.night_run r JOIN sea.schedule s ON s.id = r.schedule_id
     WHERE r.schedule_id = p_schedule_id AND r.slot = p_slot
       AND r.outcome IN ('failed', 'not comparable');
    UPDATE sea.night SET judged_at = clock_timestamp()
     WHERE schedule_id = p_schedule_id AND slot = p_slot;
END $$;
COMMENT ON FUNCTION sea.judge_night(bigint, timestamptz) IS 'Part of sea.fire_schedules: all experiments of a night have ended. Verdicts, regressions opened and resolved, notices.';

CREATE OR REPLACE FUNCTION sea.why_not_comparable(a bigint, b bigint) RETURNS text
LANGUAGE sql STABLE AS $$
    WITH run AS (
        SELECT s.experiment_id, s.output_stage_id AS stage_id, s.output_epoch AS epoch,
               (e.config #> '{stages,eval}') - 'root' - 'batch' AS settings
          FROM sea.stage_run s JOIN sea.experiment e ON e.id = s.experiment_id
         WHERE s.experiment_id IN (a, b) AND s.stage = 'eval' AND s.output_digest IS NOT NULL)
    SELECT CASE
        WHEN a IS NULL THEN NULL
        WHEN (SELECT count(*) FROM run) < (CASE WHEN a = b THEN 1 ELSE 2 END)
        THEN 'experiment ' || CASE WHEN EXISTS (SELECT FROM run WHERE experiment_id = a)
                                   THEN b ELSE a END || ' has no finished evaluation'
        WHEN (SELECT count(DISTINCT settings) FROM run) > 1
        THEN 'experiments ' || a || ' and ' || b || ' were evaluated with other settings'
        ELSE coalesce(
             (SELECT 'other questions in ' || string_agg(k.name || coalesce('/'
                     || nullif(k.split, ''), ''), ', ' ORDER BY k.name, k.split)
                FROM sea.questions(a) x FULL JOIN sea.questions(b) y USING (benchmark_id)
                JOIN sea.benchmark k ON k.id = benchmark_id
               WHERE x.digest IS DISTINCT FROM y.digest)) END;
$$;
COMMENT ON FUNCTION sea.why_not_comparable(bigint, bigint) IS 'Why two experiments must not be compared: no evaluation, other settings, other questions or right answers; NULL when they may.';

CREATE OR REPLACE FUNCTION sea.fire_schedules(p_now timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    moment CONSTANT timestamptz := coalesce(p_now, clock_timestamp());
    due sea.schedule;
    one record;
    masks bigint[];
    slot timestamptz;
    slots timestamptz[];
    newest timestamptz;
    done bigint := 0;
BEGIN
    FOR due IN SELECT * FROM sea.schedule
                WHERE enabled AND next_at <= moment ORDER BY id
                  FOR UPDATE SKIP LOCKED
    LOOP
        masks := sea.cron_parse(due.cron);
        slot := due.next_at;
        slots := '{}';
        -- A schedule of every minute that slept for a year catches up in several ticks.
        WHILE slot <= moment AND cardinality(slots) < 1000 LOOP
            slots := slots || slot;
            slot := sea.cron_next(masks, slot);
        END LOOP;
        newest := slots[cardinality(slots)];
        IF due.catch_up <> 'all' THEN
            slots := CASE WHEN slot > moment AND (due.catch_up = 'last'
                                OR moment - newest <= interval '10 minutes')
                          THEN ARRAY[newest] ELSE '{}' END;
        END IF;
        UPDATE sea.schedule SET next_at = slot WHERE id = due.id;
        BEGIN
            FOREACH slot IN ARRAY slots LOOP
                done := done + sea.fire_slot(due.id, slot)::integer;
            END LOOP;
        EXCEPTION WHEN SQLSTATE 'LF010' OR SQLSTATE 'LF011' THEN
            -- One that cannot be submitted does not keep the others from starting.
            INSERT INTO sea.event (level, kind, text)
            VALUES ('error', 'state', 'schedule ' || due.name || ' could not start: ' || SQLERRM);
        END;
    END LOOP;
    FOR one IN SELECT n.schedule_id, n.slot FROM sea.night n
                WHERE n.judged_at IS NULL
                  AND NOT EXISTS (SELECT FROM sea.night_run r
                                    JOIN sea.experiment e ON e.id = r.experiment_id
                                   WHERE r.schedule_id = n.schedule_id AND r.slot = n.slot
                                     AND e.ended_at IS NULL)
                ORDER BY n.schedule_id, n.slot
                  FOR UPDATE SKIP LOCKED
    LOOP
        PERFORM sea.judge_night(one.schedule_id, one.slot);
        done := done + 1;
    END LOOP;
    RETURN done;
END $$;
COMMENT ON FUNCTION sea.fire_schedules(timestamptz) IS 'Schedulers call this at every tick: starts the nights whose slots have come, each once, and judges those whose experiments have ended. Returns how many of both. The argument stands for the clock in tests.';

CREATE VIEW sea.nightly_report AS
SELECT r.slot AS night, h.name AS schedule, r.model, b.name AS benchmark, b.split,
       coalesce(v.verdict, r.outcome, 'running') AS verdict, v.mean_baseline, v.mean,
       v.difference, v.se, v.low, v.high, v.p, v.q, v.mde, v.n, v.clusters, r.baseline_id,
       r.experiment_id AS candidate_id, r.reason, g.state AS regression, g.first_bad, g.last_good
  FROM sea.night_run r
  JOIN sea.schedule h ON h.id = r.schedule_id
  LEFT JOIN sea.verdict v USING (schedule_id, slot, model)
  LEFT JOIN sea.benchmark b ON b.id = v.benchmark_id
  LEFT JOIN sea.regression g ON g.schedule_id = r.schedule_id AND g.model = r.model
                            AND g.benchmark_id = v.benchmark_id AND g.state <> 'resolved';
COMMENT ON VIEW sea.nightly_report IS 'Verdicts of nightly comparisons with names; one row for each model of a night without a comparison.';
COMMENT ON COLUMN sea.nightly_report.night IS 'Slot of the schedule';
COMMENT ON COLUMN sea.nightly_report.schedule IS 'Schedule';
COMMENT ON COLUMN sea.nightly_report.model IS 'Model';
COMMENT ON COLUMN sea.nightly_report.benchmark IS 'Benchmark';
COMMENT ON COLUMN sea.nightly_report.split IS 'Part of it';
COMMENT ON COLUMN sea.nightly_report.verdict IS 'regressed, not worse, undecidable; without a comparison: baseline, not comparable, failed, running';
COMMENT ON COLUMN sea.nightly_report.mean_baseline IS 'Mean of the answers'' own scores in the baseline';
COMMENT ON COLUMN sea.nightly_report.mean IS 'The same in that night';
COMMENT ON COLUMN sea.nightly_report.difference IS 'Night minus baseline, paired';
COMMENT ON COLUMN sea.nightly_report.se IS 'Its clustered standard error';
COMMENT ON COLUMN sea.nightly_report.low IS 'Lower end of its 95 % interval';
COMMENT ON COLUMN sea.nightly_report.high IS 'Upper end';
COMMENT ON COLUMN sea.nightly_report.p IS 'Two-sided p-value of this test alone';
COMMENT ON COLUMN sea.nightly_report.q IS 'The same after the correction for all tests of the night';
COMMENT ON COLUMN sea.nightly_report.mde IS 'Loss that would have been reported with the schedule''s power';
COMMENT ON COLUMN sea.nightly_report.n IS 'Questions that both answered';
COMMENT ON COLUMN sea.nightly_report.clusters IS 'Pictures or passages that they belong to';
COMMENT ON COLUMN sea.nightly_report.baseline_id IS 'Experiment compared with';
COMMENT ON COLUMN sea.nightly_report.candidate_id IS 'Experiment of the night';
COMMENT ON COLUMN sea.nightly_report.reason IS 'Why there is no comparison';
COMMENT ON COLUMN sea.nightly_report.regression IS 'State of a regression of this model and benchmark that is not resolved';
COMMENT ON COLUMN sea.nightly_report.first_bad IS 'Its first bad night';
COMMENT ON COLUMN sea.nightly_report.last_good IS 'The last good night before';

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

-- The views are new.
DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
