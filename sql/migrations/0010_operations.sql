-- Purpose: what operation needs: a second run before anybody is told of a regression, upkeep of
--          partitions and how long things are kept, who judged a benchmark, the best of a model.
-- Breaking: no.
-- Locks and scans: adds columns without values to schedule, night, night_run, verdict and
--          benchmark (short exclusive locks, no rewrite); an index on board, which stops
--          evaluations from ending while it is built, a second for a million scores.
-- Run before: nothing.

-- ---- a second run before anybody is told ----

ALTER TABLE sea.schedule ADD COLUMN confirm boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN sea.schedule.confirm IS 'True: a model that regressed is evaluated a second time before anybody is told';
ALTER TABLE sea.night ADD COLUMN compared_at timestamptz;
COMMENT ON COLUMN sea.night.compared_at IS 'When its verdicts were written; second runs may follow before it is judged';
UPDATE sea.night SET compared_at = judged_at WHERE judged_at IS NOT NULL;
ALTER TABLE sea.night_run
    ADD COLUMN confirm_id bigint,
    ADD CONSTRAINT night_run_confirm_fk FOREIGN KEY (confirm_id) REFERENCES sea.experiment (id);
COMMENT ON COLUMN sea.night_run.confirm_id IS 'Experiment that evaluates it a second time, because something regressed; NULL: there was no need';
ALTER TABLE sea.verdict
    ADD COLUMN confirmed boolean,
    ADD COLUMN confirm_difference double precision,
    ADD COLUMN confirm_p double precision;
COMMENT ON COLUMN sea.verdict.confirmed IS 'Whether the second run shows the loss, too; NULL: there was none, or it failed, and the verdict stands';
COMMENT ON COLUMN sea.verdict.confirm_difference IS 'Second run minus baseline, paired';
COMMENT ON COLUMN sea.verdict.confirm_p IS 'Two-sided p-value of that';

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
    INSERT INTO sea.schedule AS s (name, cron, config, catch_up, baseline, q, delta, power, confirm,
                              next_at)
    VALUES (p_config->>'name', p_config->>'cron', p_config,
            coalesce(p_config->>'catch_up', 'last'), coalesce(p_config->>'baseline', 'first'),
            coalesce((p_config->>'q')::float8, 0.01),
            coalesce((p_config->>'delta')::float8, 0.01),
            coalesce((p_config->>'power')::float8, 0.95),
            coalesce((p_config->>'confirm')::boolean, true), first)
        ON CONFLICT (name) DO UPDATE
       SET cron = EXCLUDED.cron, config = EXCLUDED.config, catch_up = EXCLUDED.catch_up,
           baseline = EXCLUDED.baseline, q = EXCLUDED.q, delta = EXCLUDED.delta,
           power = EXCLUDED.power, confirm = EXCLUDED.confirm,
           next_at = EXCLUDED.next_at, enabled = true
    RETURNING s.id INTO result;
    RETURN result;
EXCEPTION WHEN check_violation OR invalid_text_representation OR numeric_value_out_of_range THEN
    RAISE EXCEPTION 'schedule "%": %', p_config->>'name', SQLERRM USING ERRCODE = 'LF010',
        HINT = 'catch_up: last, all or skip; baseline: first, previous or the id of an '
            || 'experiment; q and delta: above 0 and below 1; power: 0.5 or more, below 1; '
            || 'confirm: true or false.';
END $$;
COMMENT ON FUNCTION sea.add_schedule(jsonb) IS 'Adds a schedule, or changes the one of that name, and returns its id. {"name", "cron", "models": {NAME: resolved experiment with stage eval alone}}, and optionally catch_up, baseline, q, delta, power and confirm, as the columns of sea.schedule say.';

CREATE OR REPLACE FUNCTION sea.why_not_comparable(a bigint, b bigint) RETURNS text
LANGUAGE sql STABLE AS $$
    WITH run AS (
        SELECT s.experiment_id, s.output_stage_id AS stage_id, s.output_epoch AS epoch,
               (e.config #> '{stages,eval}') - 'root' - 'batch' - 'repeat' AS settings
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
               'difference', g.difference, 'low', g.low, 'high', g.high,
               'confirm_experiment', r.confirm_id, 'confirm_difference', v.confirm_difference)
      INTO body
      FROM sea.regression g
      JOIN sea.schedule s ON s.id = g.schedule_id
      JOIN sea.benchmark b ON b.id = g.benchmark_id
      LEFT JOIN sea.night_run r ON r.schedule_id = g.schedule_id AND r.slot = g.slot
                               AND r.model = g.model
      LEFT JOIN sea.verdict v ON v.schedule_id = g.schedule_id AND v.slot = g.slot
                             AND v.model = g.model AND v.benchmark_id = g.benchmark_id
     WHERE g.id = p_regression_id;
    INSERT INTO sea.notice (kind, body) VALUES (p_kind, body);
    PERFORM pg_notify('sea_nightly', body::text);
END $$;

CREATE FUNCTION sea.ask_again(p_schedule_id bigint, p_slot timestamptz) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    schedule sea.schedule;
    one record;
    asked bigint := 0;
BEGIN
    SELECT * INTO STRICT schedule FROM sea.schedule WHERE id = p_schedule_id;
    IF NOT schedule.confirm THEN
        RETURN 0;
    END IF;
    -- All benchmarks of the model, never those alone that look bad; a model whose losses are
    -- all known already is not asked.
    FOR one IN SELECT r.model, e.config
                 FROM sea.night_run r JOIN sea.experiment e ON e.id = r.experiment_id
                WHERE r.schedule_id = p_schedule_id AND r.slot = p_slot
                  AND EXISTS (SELECT FROM sea.verdict v
                               WHERE v.schedule_id = r.schedule_id AND v.slot = r.slot
                                 AND v.model = r.model AND v.verdict = 'regressed'
                                 AND NOT EXISTS (SELECT FROM sea.regression g
                                      WHERE g.schedule_id = r.schedule_id AND g.model = r.model
                                        AND g.benchmark_id = v.benchmark_id
                                        AND g.state <> 'resolved'))
                ORDER BY r.model LOOP
        UPDATE sea.night_run
           SET confirm_id = sea.submit(
                   jsonb_set(one.config, '{stages,eval,repeat}', to_jsonb(1 + coalesce(
                       (one.config #>> '{stages,eval,repeat}')::bigint, 0))),
                   'nightly ' || schedule.name || ' ' || one.model || ' '
                   || to_char(p_slot AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                   || ' again')
         WHERE schedule_id = p_schedule_id AND slot = p_slot AND model = one.model;
        asked := asked + 1;
    END LOOP;
    RETURN asked;
END $$;
COMMENT ON FUNCTION sea.ask_again(bigint, timestamptz) IS 'Part of sea.judge_night: submits a second evaluation, computed anew, of each model with a regression that nobody knows yet. Returns how many.';

CREATE FUNCTION sea.confirm_night(p_schedule_id bigint, p_slot timestamptz) RETURNS void
LANGUAGE sql AS $$
    -- The second run stands alone: a loss in the same direction, significant by itself. Where
    -- it failed or cannot be compared, the first one stands (confirmed stays empty).
    UPDATE sea.verdict v
       SET confirmed = c.difference < 0 AND c.p <= 0.05,
           confirm_difference = c.difference, confirm_p = c.p
      FROM sea.night_run r
      JOIN sea.experiment e ON e.id = r.confirm_id AND e.state = 'succeeded'
     CROSS JOIN LATERAL sea.compare(r.baseline_id, r.confirm_id) c
      JOIN sea.benchmark b ON b.name = c.benchmark AND b.split = c.split
     WHERE r.schedule_id = p_schedule_id AND r.slot = p_slot AND NOT c.control
       AND c.p IS NOT NULL AND sea.why_not_comparable(r.baseline_id, r.confirm_id) IS NULL
       AND v.schedule_id = r.schedule_id AND v.slot = r.slot AND v.model = r.model
       AND v.benchmark_id = b.id AND v.verdict = 'regressed';
$$;
COMMENT ON FUNCTION sea.confirm_night(bigint, timestamptz) IS 'Part of sea.judge_night: what the second evaluations say about the regressions of a night.';

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
    bad boolean;
BEGIN
    SELECT * INTO STRICT now_is FROM sea.verdict v
     WHERE v.schedule_id = p_schedule_id AND v.slot = p_slot AND v.model = p_model
       AND v.benchmark_id = p_benchmark_id;
    -- One that the second run did not show is told in the report and to nobody else.
    bad := now_is.verdict = 'regressed' AND now_is.confirmed IS DISTINCT FROM false;
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
    IF NOT bad
       AND NOT coalesce(step.difference <= -(SELECT delta FROM sea.schedule
                                              WHERE id = p_schedule_id), false) THEN
        RETURN;
    END IF;
    INSERT INTO sea.regression (schedule_id, model, benchmark_id, kind, slot, first_bad, last_good,
                                baseline_id, candidate_id, difference, low, high)
    SELECT p_schedule_id, p_model, p_benchmark_id,
           CASE WHEN bad THEN 'drop' ELSE 'drift' END, p_slot,
           coalesce(slots[s.at], p_slot),
           CASE WHEN s.at IS NOT NULL THEN slots[s.at - 1]
                ELSE (SELECT max(r.slot) FROM sea.night_run r
                       WHERE r.schedule_id = p_schedule_id AND r.model = p_model
                         AND r.slot < p_slot AND r.outcome IN ('baseline', 'compared')) END,
           run.baseline_id, run.experiment_id,
           CASE WHEN bad THEN now_is.difference ELSE step.difference END,
           CASE WHEN bad THEN now_is.low END,
           CASE WHEN bad THEN now_is.high END
      FROM (SELECT CASE WHEN step.difference < 0 THEN step.at END AS at) s
        ON CONFLICT (schedule_id, model, benchmark_id) WHERE state <> 'resolved' DO NOTHING
    RETURNING id INTO opened;
    IF opened IS NOT NULL THEN
        PERFORM sea.tell('opened', opened);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION sea.judge_night(p_schedule_id bigint, p_slot timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    one record;
    known record;
BEGIN
    -- First pass: what the night itself says, and who has to be asked again.
    IF (SELECT n.compared_at FROM sea.night n
         WHERE n.schedule_id = p_schedule_id AND n.slot = p_slot) IS NULL THEN
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
        INSERT INTO sea.notice (kind, body)
        SELECT 'failed', jsonb_build_object('event', 'failed', 'schedule', s.name, 'night', r.slot,
                   'model', r.model, 'experiment', r.experiment_id, 'outcome', r.outcome,
                   'reason', r.reason)
          FROM sea.night_run r JOIN sea.schedule s ON s.id = r.schedule_id
         WHERE r.schedule_id = p_schedule_id AND r.slot = p_slot
           AND r.outcome IN ('failed', 'not comparable');
        UPDATE sea.night SET compared_at = clock_timestamp()
         WHERE schedule_id = p_schedule_id AND slot = p_slot;
        IF sea.ask_again(p_schedule_id, p_slot) > 0 THEN
            RETURN;
        END IF;
    END IF;
    -- Second pass, at once when nobody has to be asked.
    PERFORM sea.confirm_night(p_schedule_id, p_slot);
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
    UPDATE sea.night SET judged_at = clock_timestamp()
     WHERE schedule_id = p_schedule_id AND slot = p_slot;
END $$;
COMMENT ON FUNCTION sea.judge_night(bigint, timestamptz) IS 'Part of sea.fire_schedules: all experiments of a night have ended. Verdicts; then, when second runs have ended or none is needed, regressions opened and resolved, notices.';

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
                                    JOIN sea.experiment e ON e.id IN (r.experiment_id, r.confirm_id)
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

CREATE OR REPLACE VIEW sea.nightly_report AS
SELECT r.slot AS night, h.name AS schedule, r.model, b.name AS benchmark, b.split,
       coalesce(v.verdict, r.outcome, 'running') AS verdict, v.mean_baseline, v.mean,
       v.difference, v.se, v.low, v.high, v.p, v.q, v.mde, v.n, v.clusters, r.baseline_id,
       r.experiment_id AS candidate_id, r.reason, g.state AS regression, g.first_bad, g.last_good,
       v.confirmed, v.confirm_difference, r.confirm_id
  FROM sea.night_run r
  JOIN sea.schedule h ON h.id = r.schedule_id
  LEFT JOIN sea.verdict v USING (schedule_id, slot, model)
  LEFT JOIN sea.benchmark b ON b.id = v.benchmark_id
  LEFT JOIN sea.regression g ON g.schedule_id = r.schedule_id AND g.model = r.model
                            AND g.benchmark_id = v.benchmark_id AND g.state <> 'resolved';
COMMENT ON COLUMN sea.nightly_report.confirmed IS 'Of a regression: whether the second run shows it, too; NULL: not asked, or not known';
COMMENT ON COLUMN sea.nightly_report.confirm_difference IS 'Second run minus baseline, paired';
COMMENT ON COLUMN sea.nightly_report.confirm_id IS 'Experiment of the second run';

-- ---- how long things are kept ----

CREATE TABLE sea.retention (
    what text NOT NULL,
    days integer,
    CONSTRAINT retention_pk PRIMARY KEY (what),
    CONSTRAINT retention_what_known CHECK (what IN ('metric', 'event', 'notice')),
    CONSTRAINT retention_days_positive CHECK (days > 0)
);
COMMENT ON TABLE sea.retention IS 'For how many days things are kept that nothing else needs. Changed by sea.set_retention, applied by sea.maintain.';
COMMENT ON COLUMN sea.retention.what IS 'metric: partitions of curves whose stage runs, and all that found their outputs in the cache, have ended; event: what happened and what stages said; notice: what the webhook has accepted';
COMMENT ON COLUMN sea.retention.days IS 'NULL: for ever';
INSERT INTO sea.retention (what, days) VALUES ('metric', NULL), ('event', 365), ('notice', 90);

CREATE FUNCTION sea.set_retention(what text, days integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sea.retention AS r SET days = $2 WHERE r.what = $1;
    IF NOT FOUND THEN
        RAISE EXCEPTION '"%" is not kept for a time', $1 USING ERRCODE = 'LF010',
            HINT = 'Known: metric, event, notice.';
    END IF;
EXCEPTION WHEN check_violation THEN
    RAISE EXCEPTION '% days are no time to keep "%"', $2, $1 USING ERRCODE = 'LF010',
        HINT = 'A number above 0, or NULL for ever.';
END $$;
COMMENT ON FUNCTION sea.set_retention(text, integer) IS 'For how many days curves (metric), events and notices are kept at least; NULL: for ever.';

CREATE FUNCTION sea.metric_partitions()
RETURNS TABLE (name text, low bigint, high bigint) LANGUAGE sql STABLE AS $$
    SELECT c.relname::text,
           substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM [(]''?([0-9]+)')::bigint,
           substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO [(]''?([0-9]+)')::bigint
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'sea.metric'::regclass;
$$;
COMMENT ON FUNCTION sea.metric_partitions() IS 'Part of sea.maintain: partitions of sea.metric and the stage runs that they are for, from low to high - 1.';

CREATE OR REPLACE FUNCTION sea.maintain() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    size CONSTANT bigint := 100000;
    top bigint;
    upper bigint;
    part record;
    keep interval;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('sea.maintain')) THEN
        RETURN;
    END IF;
    SET LOCAL lock_timeout = '2s';
    SELECT coalesce(max(id), 0) INTO top FROM sea.stage_run;
    SELECT coalesce(max(high), 0) INTO upper FROM sea.metric_partitions();
    -- As many stage runs as a partition is for may be submitted between two calls.
    WHILE top + size >= upper LOOP
        EXECUTE format('CREATE TABLE sea.%I (LIKE sea.metric INCLUDING DEFAULTS)',
                       'metric_' || upper / size);
        EXECUTE format('COMMENT ON TABLE sea.%I IS %L', 'metric_' || upper / size,
                       format('Points of stage runs %s to %s', upper, upper + size - 1));
        EXECUTE format('ALTER TABLE sea.metric ATTACH PARTITION sea.%I FOR VALUES FROM (%s) TO (%s)',
                       'metric_' || upper / size, upper, upper + size);
        upper := upper + size;
    END LOOP;
    -- A curve is dropped with its whole partition. Who holds the lock keeps it for another minute.
    SELECT days * interval '1 day' INTO keep FROM sea.retention WHERE what = 'metric';
    IF keep IS NOT NULL THEN
        FOR part IN SELECT * FROM sea.metric_partitions() WHERE high <= top ORDER BY low LOOP
            CONTINUE WHEN EXISTS (
                SELECT FROM sea.stage_run s
                 WHERE s.id >= part.low AND s.id < part.high
                   AND (s.ended_at IS NULL OR s.ended_at > clock_timestamp() - keep))
                OR EXISTS (
                SELECT FROM sea.stage_run s
                 WHERE s.output_stage_id >= part.low AND s.output_stage_id < part.high
                   AND s.ended_at > clock_timestamp() - keep);
            BEGIN
                EXECUTE format('DROP TABLE sea.%I', part.name);
                INSERT INTO sea.event (kind, text)
                VALUES ('state', format('dropped the curves of stage runs %s to %s, which ended '
                        'more than %s ago', part.low, part.high - 1, keep));
            EXCEPTION WHEN lock_not_available THEN
                NULL;
            END;
        END LOOP;
    END IF;
    -- The oldest ones have the smallest ids. Ten thousand a minute.
    DELETE FROM sea.event v
     USING (SELECT w.id FROM sea.event w ORDER BY w.id LIMIT 10000) AS first
     WHERE v.id = first.id
       AND v.at < clock_timestamp() - (SELECT days * interval '1 day' FROM sea.retention
                                        WHERE what = 'event');
    DELETE FROM sea.notice n
     WHERE (n.delivered_at IS NOT NULL OR n.given_up_at IS NOT NULL)
       AND n.created_at < clock_timestamp() - (SELECT days * interval '1 day' FROM sea.retention
                                                WHERE what = 'notice');
END $$;
COMMENT ON FUNCTION sea.maintain() IS 'Upkeep, called by every scheduler each minute: makes partitions of sea.metric ahead of the stage runs that will need them, and removes what sea.retention says.';

-- ---- who judged ----

ALTER TABLE sea.benchmark ADD COLUMN judge text;
COMMENT ON COLUMN sea.benchmark.judge IS 'Which model grades the answers, as it names itself, and which text of prompts it is given; NULL: rules do';

CREATE FUNCTION sea.add_judge(p_stage_id bigint, p_epoch bigint, p_secret uuid, p_benchmark text,
                              p_split text, p_judge text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM sea.assert_lease_shared(p_stage_id, p_epoch, p_secret, 'judge'); -- fence: judge
    -- Grades of different judges differ in their split: the first word is the last.
    UPDATE sea.benchmark AS b SET judge = p_judge
     WHERE b.name = p_benchmark AND b.split = p_split AND b.judge IS NULL;
END $$;
COMMENT ON FUNCTION sea.add_judge(bigint, bigint, uuid, text, text, text) IS 'Says once who grades the answers of a benchmark. After sea.prepare_commit has named it.';

CREATE OR REPLACE VIEW sea.leaderboard AS
SELECT d.suite, d.benchmark, d.split, d.metric, d.control,
       rank() OVER (PARTITION BY d.benchmark, d.suite, d.benchmark_id, d.metric, d.control
                    ORDER BY d.value DESC) AS rank,
       d.experiment_id, d.experiment, d.value, d.se, d.low, d.high, d.scale, d.n, d.clusters,
       d.seed, d.lambda, d.stage_id, d.key, d.ended_at, d.model, d.benchmark_id, k.judge
  FROM sea.board d
  LEFT JOIN sea.benchmark k ON k.id = d.benchmark_id;
COMMENT ON COLUMN sea.leaderboard.judge IS 'Model that graded the answers, and its prompts; NULL: rules did';

-- ---- the best of a model, without a sort ----

CREATE INDEX board_best ON sea.board
    (benchmark, suite, benchmark_id, metric, model, value DESC, experiment_id)
    INCLUDE (split, low, high, scale, n, experiment, ended_at)
    WHERE NOT control;

INSERT INTO sea.access (object, kind, roles)
VALUES ('retention', 'shared', ARRAY['researcher', 'worker', 'scheduler', 'viewer', 'auditor']),
       ('set_retention', 'function', ARRAY['scheduler']),
       ('add_judge', 'function', ARRAY['worker']);
SET LOCAL client_min_messages = warning;
DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
