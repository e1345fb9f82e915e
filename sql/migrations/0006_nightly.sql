-- Purpose: nightly evaluations: when they start, what they are compared with, what got worse,
--          who is told.
-- Breaking: table regression gets another meaning; nothing has written to it before.
-- Locks and scans: tables schedule and regression, which are empty or small.
-- Run before: nothing.
--
-- Any number of schedulers call sea.fire_schedules() at every tick. A slot starts once: the
-- schedule's row is locked, the night's primary key is (schedule, slot), and each experiment
-- carries a submit key made of both. Time is the database's, in UTC.

-- ---- tables ----

ALTER TABLE sea.schedule
    ADD COLUMN catch_up text NOT NULL DEFAULT 'last',
    ADD COLUMN baseline text NOT NULL DEFAULT 'first',
    ADD COLUMN q double precision NOT NULL DEFAULT 0.01,
    ADD COLUMN delta double precision NOT NULL DEFAULT 0.01,
    ADD COLUMN power double precision NOT NULL DEFAULT 0.95,
    ADD COLUMN next_at timestamptz,
    ADD CONSTRAINT schedule_catch_up_known CHECK (catch_up IN ('last', 'all', 'skip')),
    ADD CONSTRAINT schedule_baseline_known CHECK
        (baseline IN ('first', 'previous') OR baseline ~ '^[1-9][0-9]{0,17}$'),
    ADD CONSTRAINT schedule_q_is_share CHECK (q > 0 AND q < 1),
    ADD CONSTRAINT schedule_delta_is_share CHECK (delta > 0 AND delta < 1),
    ADD CONSTRAINT schedule_power_is_share CHECK (power >= 0.5 AND power < 1);
COMMENT ON TABLE sea.schedule IS 'Evaluations that are repeated: nightly runs. Written by sea.add_schedule.';
COMMENT ON COLUMN sea.schedule.config IS 'The schedule as it was given, with the resolved experiment of each model';
COMMENT ON COLUMN sea.schedule.catch_up IS 'Slots that nobody was there for: last (the newest one is made up for), all, skip';
COMMENT ON COLUMN sea.schedule.baseline IS 'What a night is compared with: first (the model''s first good night), previous (its last good one), or the id of an experiment';
COMMENT ON COLUMN sea.schedule.q IS 'Share of false regressions among those reported, at most (Benjamini-Hochberg over all tests of a night)';
COMMENT ON COLUMN sea.schedule.delta IS 'Loss that matters, as a fraction: smaller ones are no regression';
COMMENT ON COLUMN sea.schedule.power IS 'Power that minimum detectable effects are told for';
COMMENT ON COLUMN sea.schedule.next_at IS 'The next slot';

CREATE TABLE sea.night (
    schedule_id bigint NOT NULL,
    slot timestamptz NOT NULL,
    fired_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    judged_at timestamptz,
    CONSTRAINT night_pk PRIMARY KEY (schedule_id, slot),
    CONSTRAINT night_schedule_fk FOREIGN KEY (schedule_id) REFERENCES sea.schedule (id)
);
CREATE INDEX night_open ON sea.night (schedule_id, slot) WHERE judged_at IS NULL;
COMMENT ON TABLE sea.night IS 'A slot of a schedule that has started. The primary key makes it start once.';
COMMENT ON COLUMN sea.night.schedule_id IS 'Schedule';
COMMENT ON COLUMN sea.night.slot IS 'The minute that its cron expression names';
COMMENT ON COLUMN sea.night.fired_at IS 'When it really started';
COMMENT ON COLUMN sea.night.judged_at IS 'When all its experiments had ended and the verdicts were given';

CREATE TABLE sea.night_run (
    schedule_id bigint NOT NULL,
    slot timestamptz NOT NULL,
    model text NOT NULL,
    experiment_id bigint NOT NULL,
    baseline_id bigint,
    outcome text,
    reason text,
    CONSTRAINT night_run_pk PRIMARY KEY (schedule_id, slot, model),
    CONSTRAINT night_run_night_fk FOREIGN KEY (schedule_id, slot) REFERENCES sea.night,
    CONSTRAINT night_run_experiment_fk FOREIGN KEY (experiment_id) REFERENCES sea.experiment (id),
    CONSTRAINT night_run_baseline_fk FOREIGN KEY (baseline_id) REFERENCES sea.experiment (id),
    CONSTRAINT night_run_outcome_known CHECK
        (outcome IN ('compared', 'baseline', 'not comparable', 'failed')),
    CONSTRAINT night_run_trouble_has_reason CHECK
        (outcome NOT IN ('not comparable', 'failed') OR reason IS NOT NULL)
);
CREATE INDEX night_run_experiment ON sea.night_run (experiment_id);
COMMENT ON TABLE sea.night_run IS 'One model of one night: the experiment that evaluates it, and the one that it is compared with.';
COMMENT ON COLUMN sea.night_run.schedule_id IS 'Schedule';
COMMENT ON COLUMN sea.night_run.slot IS 'Night';
COMMENT ON COLUMN sea.night_run.model IS 'Name of the model in the schedule';
COMMENT ON COLUMN sea.night_run.experiment_id IS 'Experiment of that night';
COMMENT ON COLUMN sea.night_run.baseline_id IS 'Experiment that it is compared with, chosen when the night started; NULL: there was none';
COMMENT ON COLUMN sea.night_run.outcome IS 'compared, baseline (nothing to compare with yet), not comparable, or failed; NULL until judged';
COMMENT ON COLUMN sea.night_run.reason IS 'Why it failed or cannot be compared';

CREATE TABLE sea.verdict (
    schedule_id bigint NOT NULL,
    slot timestamptz NOT NULL,
    model text NOT NULL,
    benchmark_id bigint NOT NULL,
    n bigint NOT NULL,
    clusters bigint NOT NULL,
    mean_baseline double precision NOT NULL,
    mean double precision NOT NULL,
    difference double precision NOT NULL,
    se double precision,
    low double precision,
    high double precision,
    p double precision,
    q double precision,
    mde double precision,
    verdict text NOT NULL,
    CONSTRAINT verdict_pk PRIMARY KEY (schedule_id, slot, model, benchmark_id),
    CONSTRAINT verdict_run_fk FOREIGN KEY (schedule_id, slot, model) REFERENCES sea.night_run,
    CONSTRAINT verdict_benchmark_fk FOREIGN KEY (benchmark_id) REFERENCES sea.benchmark (id),
    CONSTRAINT verdict_known CHECK (verdict IN ('regressed', 'not worse', 'undecidable'))
);
CREATE INDEX verdict_series ON sea.verdict (schedule_id, model, benchmark_id, slot);
COMMENT ON TABLE sea.verdict IS 'What one night says about one model on one benchmark.';
COMMENT ON COLUMN sea.verdict.schedule_id IS 'Schedule';
COMMENT ON COLUMN sea.verdict.slot IS 'Night';
COMMENT ON COLUMN sea.verdict.model IS 'Model';
COMMENT ON COLUMN sea.verdict.benchmark_id IS 'Benchmark';
COMMENT ON COLUMN sea.verdict.n IS 'Questions that both answered';
COMMENT ON COLUMN sea.verdict.clusters IS 'Pictures or passages that they belong to';
COMMENT ON COLUMN sea.verdict.mean_baseline IS 'Mean of the answers'' own scores in the baseline';
COMMENT ON COLUMN sea.verdict.mean IS 'The same in that night';
COMMENT ON COLUMN sea.verdict.difference IS 'Night minus baseline, paired';
COMMENT ON COLUMN sea.verdict.se IS 'Clustered standard error of the difference';
COMMENT ON COLUMN sea.verdict.low IS 'Lower end of its 95 % interval';
COMMENT ON COLUMN sea.verdict.high IS 'Upper end';
COMMENT ON COLUMN sea.verdict.p IS 'Two-sided p-value of this test alone';
COMMENT ON COLUMN sea.verdict.q IS 'The same after Benjamini-Hochberg over all tests of the night';
COMMENT ON COLUMN sea.verdict.mde IS 'Loss that would have been reported with the schedule''s power, also as the only one of the night';
COMMENT ON COLUMN sea.verdict.verdict IS 'regressed (significant, and as large as delta), not worse (a loss of delta is outside the interval), undecidable';

DROP TABLE sea.regression;
CREATE TABLE sea.regression (
    id bigint GENERATED ALWAYS AS IDENTITY,
    schedule_id bigint NOT NULL,
    model text NOT NULL,
    benchmark_id bigint NOT NULL,
    state text NOT NULL DEFAULT 'open',
    kind text NOT NULL,
    slot timestamptz NOT NULL,
    first_bad timestamptz NOT NULL,
    last_good timestamptz,
    baseline_id bigint,
    candidate_id bigint NOT NULL,
    difference double precision NOT NULL,
    low double precision,
    high double precision,
    note text,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at timestamptz,
    CONSTRAINT regression_pk PRIMARY KEY (id),
    CONSTRAINT regression_schedule_fk FOREIGN KEY (schedule_id) REFERENCES sea.schedule (id),
    CONSTRAINT regression_benchmark_fk FOREIGN KEY (benchmark_id) REFERENCES sea.benchmark (id),
    CONSTRAINT regression_baseline_fk FOREIGN KEY (baseline_id) REFERENCES sea.experiment (id),
    CONSTRAINT regression_candidate_fk FOREIGN KEY (candidate_id) REFERENCES sea.experiment (id),
    CONSTRAINT regression_state_known CHECK
        (state IN ('open', 'acknowledged', 'muted', 'resolved')),
    CONSTRAINT regression_kind_known CHECK (kind IN ('drop', 'drift')),
    CONSTRAINT regression_resolved_is_closed CHECK
        ((state = 'resolved') = (closed_at IS NOT NULL))
);
CREATE UNIQUE INDEX regression_one_open ON sea.regression (schedule_id, model, benchmark_id)
    WHERE state <> 'resolved';
COMMENT ON TABLE sea.regression IS 'What got worse and since when: opened by a verdict or a change point, a drop is resolved by the first night that is not worse, a drift by sea.mark_regression. One per model and benchmark at a time.';
COMMENT ON COLUMN sea.regression.id IS 'Number';
COMMENT ON COLUMN sea.regression.schedule_id IS 'Schedule that saw it';
COMMENT ON COLUMN sea.regression.model IS 'Model';
COMMENT ON COLUMN sea.regression.benchmark_id IS 'Benchmark';
COMMENT ON COLUMN sea.regression.state IS 'open, acknowledged (somebody knows), muted (nobody is told), resolved';
COMMENT ON COLUMN sea.regression.kind IS 'drop: one night against its baseline; drift: a change point in the series';
COMMENT ON COLUMN sea.regression.slot IS 'Night that opened it';
COMMENT ON COLUMN sea.regression.first_bad IS 'First night behind the change point, or the night that opened it';
COMMENT ON COLUMN sea.regression.last_good IS 'Last night before that; NULL: none is known';
COMMENT ON COLUMN sea.regression.baseline_id IS 'Experiment compared with';
COMMENT ON COLUMN sea.regression.candidate_id IS 'Experiment of the night that opened it';
COMMENT ON COLUMN sea.regression.difference IS 'Loss in that night; for a drift, between the two sides of the change point';
COMMENT ON COLUMN sea.regression.low IS 'Lower end of its 95 % interval';
COMMENT ON COLUMN sea.regression.high IS 'Upper end';
COMMENT ON COLUMN sea.regression.note IS 'What somebody said about it';
COMMENT ON COLUMN sea.regression.opened_at IS 'When it was opened';
COMMENT ON COLUMN sea.regression.closed_at IS 'When a night was not worse again, or somebody resolved it';

CREATE TABLE sea.notice (
    id bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL,
    body jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts integer NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    delivered_at timestamptz,
    given_up_at timestamptz,
    error text,
    CONSTRAINT notice_pk PRIMARY KEY (id),
    CONSTRAINT notice_kind_known CHECK (kind IN ('opened', 'resolved', 'failed')),
    CONSTRAINT notice_ends_once CHECK (delivered_at IS NULL OR given_up_at IS NULL)
);
CREATE INDEX notice_due ON sea.notice (next_try_at)
    WHERE delivered_at IS NULL AND given_up_at IS NULL;
COMMENT ON TABLE sea.notice IS 'What a webhook has to be told. Written with the verdicts, sent afterwards until it is accepted.';
COMMENT ON COLUMN sea.notice.id IS 'Number; receivers know a repeated notice by it';
COMMENT ON COLUMN sea.notice.kind IS 'opened or resolved (a regression), failed (a night''s experiment)';
COMMENT ON COLUMN sea.notice.body IS 'What is said';
COMMENT ON COLUMN sea.notice.created_at IS 'When it happened';
COMMENT ON COLUMN sea.notice.attempts IS 'How often it was sent';
COMMENT ON COLUMN sea.notice.next_try_at IS 'When it is sent again';
COMMENT ON COLUMN sea.notice.delivered_at IS 'When it was accepted';
COMMENT ON COLUMN sea.notice.given_up_at IS 'When it was given up, three days after it was written';
COMMENT ON COLUMN sea.notice.error IS 'Why the last attempt failed';

-- ---- change points ----

CREATE FUNCTION sea.change_point(series double precision[], alpha double precision)
RETURNS TABLE (at integer, difference double precision, p double precision)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    size CONSTANT integer := coalesce(array_length(series, 1), 0);
    segment CONSTANT integer := 3;      -- nights that a level needs
    whole double precision := 0;
    whole_squares double precision := 0;
    total double precision := 0;
    squares double precision := 0;
    rest double precision;
    shift double precision;
    pooled double precision;
    t double precision;
    best double precision := 0;
BEGIN
    -- One step at the place where the two-sample t statistic is largest; a permutation-free
    -- test, as Bonferroni over the places allows, gives the same answer every time.
    FOR i IN 1..size LOOP
        whole := whole + (series[i] - series[1]);
        whole_squares := whole_squares + (series[i] - series[1]) ^ 2;
    END LOOP;
    FOR k IN 1..size - segment LOOP
        total := total + (series[k] - series[1]);
        squares := squares + (series[k] - series[1]) ^ 2;
        CONTINUE WHEN k < segment;
        rest := whole - total;
        shift := rest / (size - k) - total / k;
        pooled := greatest(0, squares - total * total / k
                              + (whole_squares - squares) - rest * rest / (size - k));
        -- Nights of one unchanged model agree to the last bit; any step is one then.
        t := abs(shift) / sqrt(greatest(pooled / (size - 2), 1e-18) * (1.0 / k + 1.0 / (size - k)));
        IF t > best THEN
            best := t;
            at := k + 1;
            difference := shift;
        END IF;
    END LOOP;
    p := least(1, sea.t_p_value(best, size - 2) * (size - 2 * segment + 1));
    IF at IS NOT NULL AND p <= alpha THEN
        RETURN NEXT;
    END IF;
END $$;
COMMENT ON FUNCTION sea.change_point(double precision[], double precision) IS 'Where the level of a series changes: first member of the new level, size of the step, p-value; no row when none is significant at alpha. At least three members on either side.';

CREATE FUNCTION sea.last_step(series double precision[], alpha double precision)
RETURNS TABLE (at integer, difference double precision, p double precision)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    start integer := 1;
    step record;
BEGIN
    -- Behind each change point the search begins again, so the last one is found.
    LOOP
        SELECT * INTO step
          FROM sea.change_point(series[start:array_length(series, 1)], alpha);
        EXIT WHEN NOT FOUND;
        at := start + step.at - 1;
        difference := step.difference;
        p := step.p;
        start := at;
    END LOOP;
    IF at IS NOT NULL THEN
        RETURN NEXT;
    END IF;
END $$;
COMMENT ON FUNCTION sea.last_step(double precision[], double precision) IS 'The last change point of a series that has several.';

-- ---- schedules ----

CREATE FUNCTION sea.add_schedule(config jsonb) RETURNS bigint
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

CREATE FUNCTION sea.baseline_of(p_schedule_id bigint, p_model text) RETURNS bigint
LANGUAGE sql STABLE AS $$
    -- A good night: its evaluation succeeded and nothing of it was worse.
    SELECT CASE WHEN s.baseline ~ '^[0-9]' THEN s.baseline::bigint
                WHEN s.baseline = 'first' THEN (
                     SELECT r.experiment_id FROM sea.night_run r
                      WHERE r.schedule_id = s.id AND r.model = p_model
                        AND r.outcome IN ('baseline', 'compared')
                      ORDER BY r.slot LIMIT 1)
                ELSE (
                     SELECT r.experiment_id FROM sea.night_run r
                      WHERE r.schedule_id = s.id AND r.model = p_model
                        AND r.outcome IN ('baseline', 'compared')
                        AND NOT EXISTS (SELECT FROM sea.verdict v
                                         WHERE v.schedule_id = r.schedule_id AND v.slot = r.slot
                                           AND v.model = r.model AND v.verdict = 'regressed')
                      ORDER BY r.slot DESC LIMIT 1) END
      FROM sea.schedule s WHERE s.id = p_schedule_id;
$$;
COMMENT ON FUNCTION sea.baseline_of(bigint, text) IS 'What the next night of a model is compared with, by the schedule''s policy; NULL: nothing yet.';

CREATE FUNCTION sea.fire_slot(p_schedule_id bigint, p_slot timestamptz) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    schedule sea.schedule;
    one record;
BEGIN
    INSERT INTO sea.night (schedule_id, slot) VALUES (p_schedule_id, p_slot)
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT * INTO STRICT schedule FROM sea.schedule WHERE id = p_schedule_id;
    FOR one IN SELECT * FROM jsonb_each(schedule.config->'models') ORDER BY key LOOP
        INSERT INTO sea.night_run (schedule_id, slot, model, experiment_id, baseline_id)
        VALUES (p_schedule_id, p_slot, one.key,
                sea.submit(one.value, 'nightly ' || schedule.name || ' ' || one.key || ' '
                    || to_char(p_slot AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
                sea.baseline_of(p_schedule_id, one.key));
    END LOOP;
    RETURN true;
END $$;
COMMENT ON FUNCTION sea.fire_slot(bigint, timestamptz) IS 'Part of sea.fire_schedules: starts one night, once. False: it has started before.';

CREATE FUNCTION sea.run_schedule(name text) RETURNS timestamptz
LANGUAGE plpgsql AS $$
DECLARE
    p_name ALIAS FOR $1;
    schedule bigint;
    slot CONSTANT timestamptz := clock_timestamp();
BEGIN
    SELECT s.id INTO schedule FROM sea.schedule s WHERE s.name = p_name FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no schedule "%"', p_name USING ERRCODE = 'LF012',
            HINT = '`sea nightly list` lists them.';
    END IF;
    PERFORM sea.fire_slot(schedule, slot);
    RETURN slot;
END $$;
COMMENT ON FUNCTION sea.run_schedule(text) IS 'Starts a night now, outside of the schedule''s slots, and returns its time.';

CREATE FUNCTION sea.enable_schedule(name text, enabled boolean) RETURNS timestamptz
LANGUAGE plpgsql AS $$
DECLARE
    p_name ALIAS FOR $1;
    p_enabled ALIAS FOR $2;
    upcoming timestamptz;
BEGIN
    -- Slots that passed while it rested are not made up for.
    UPDATE sea.schedule AS s
       SET enabled = p_enabled,
           next_at = sea.cron_next(sea.cron_parse(s.cron), clock_timestamp())
     WHERE s.name = p_name
    RETURNING CASE WHEN s.enabled THEN s.next_at END INTO upcoming;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no schedule "%"', p_name USING ERRCODE = 'LF012',
            HINT = '`sea nightly list` lists them.';
    END IF;
    RETURN upcoming;
END $$;
COMMENT ON FUNCTION sea.enable_schedule(text, boolean) IS 'Lets a schedule rest, or go on; returns its next slot, NULL while it rests. Nights that run go on.';

-- ---- verdicts ----

CREATE FUNCTION sea.compare_night(p_schedule_id bigint, p_slot timestamptz) RETURNS void
LANGUAGE sql AS $$
    WITH settings AS (
        SELECT q, delta, power FROM sea.schedule WHERE id = p_schedule_id),
    tests AS (
        SELECT r.model, b.id AS benchmark_id, c.*
          FROM sea.night_run r
         CROSS JOIN LATERAL sea.compare(r.baseline_id, r.experiment_id) c
          JOIN sea.benchmark b ON b.name = c.benchmark AND b.split = c.split
         WHERE r.schedule_id = p_schedule_id AND r.slot = p_slot AND r.outcome = 'compared'
           AND NOT c.control),
    ranked AS (
        SELECT *, count(p) OVER () AS m,
               row_number() OVER (ORDER BY p NULLS LAST, model, benchmark_id) AS place
          FROM tests),
    adjusted AS (
        SELECT *, CASE WHEN p IS NOT NULL THEN
               least(1, min(p * m / place) OVER (ORDER BY place DESC)) END AS q
          FROM ranked)
    INSERT INTO sea.verdict (schedule_id, slot, model, benchmark_id, n, clusters, mean_baseline,
                             mean, difference, se, low, high, p, q, mde, verdict)
    SELECT p_schedule_id, p_slot, a.model, a.benchmark_id, a.n, a.clusters, a.mean_a, a.mean_b,
           a.difference, a.se, a.low, a.high, a.p, a.q,
           (sea.t_quantile(1 - s.q / (2 * a.m), a.clusters - 1) + sea.normal_quantile(s.power))
               * a.se,
           CASE WHEN a.q <= s.q AND a.difference <= -s.delta THEN 'regressed'
                WHEN a.low > -s.delta THEN 'not worse'
                ELSE 'undecidable' END
      FROM adjusted a, settings s;
$$;
COMMENT ON FUNCTION sea.compare_night(bigint, timestamptz) IS 'Part of sea.judge_night: a verdict for every model and benchmark that can be compared, with Benjamini-Hochberg over all of them.';

CREATE FUNCTION sea.tell(p_kind text, p_regression_id bigint) RETURNS void
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

CREATE FUNCTION sea.open_regression(p_schedule_id bigint, p_slot timestamptz, p_model text,
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

CREATE FUNCTION sea.judge_night(p_schedule_id bigint, p_slot timestamptz) RETURNS void
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

CREATE FUNCTION sea.why_not_comparable(a bigint, b bigint) RETURNS text
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

CREATE FUNCTION sea.fire_schedules(p_now timestamptz DEFAULT NULL) RETURNS bigint
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

CREATE FUNCTION sea.mark_regression(regression bigint, new_state text, note text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    p_note ALIAS FOR $3;
BEGIN
    UPDATE sea.regression AS g
       SET state = new_state, note = coalesce(p_note, g.note),
           closed_at = CASE new_state WHEN 'resolved' THEN clock_timestamp() END
     WHERE g.id = regression AND g.state <> 'resolved';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no regression % that is not resolved', regression
            USING ERRCODE = 'LF012', HINT = '`sea nightly report` shows the open ones.';
    END IF;
EXCEPTION WHEN check_violation THEN
    RAISE EXCEPTION '"%" is no state of a regression', new_state USING ERRCODE = 'LF010',
        HINT = 'Known: open, acknowledged, muted, resolved.';
END $$;
COMMENT ON FUNCTION sea.mark_regression(bigint, text, text) IS 'For people: acknowledges, mutes, reopens or resolves a regression, with a note.';

-- ---- notices ----

CREATE FUNCTION sea.claim_notice() RETURNS TABLE (id bigint, body jsonb)
LANGUAGE sql AS $$
    -- The next attempt is due before this one is made: a sender that dies loses nothing.
    UPDATE sea.notice AS n
       SET attempts = n.attempts + 1,
           next_try_at = clock_timestamp() + least(3600, 15 * 2 ^ least(n.attempts, 10))
                         * interval '1 second',
           given_up_at = CASE WHEN n.created_at < clock_timestamp() - interval '3 days'
                              THEN clock_timestamp() END
     WHERE n.id = (SELECT d.id FROM sea.notice d
                    WHERE d.delivered_at IS NULL AND d.given_up_at IS NULL
                      AND d.next_try_at <= clock_timestamp()
                    ORDER BY d.next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING n.id, n.body || jsonb_build_object('id', n.id, 'created_at', n.created_at);
$$;
COMMENT ON FUNCTION sea.claim_notice() IS 'The next notice to send, and its body; no row when nothing is due. It comes again after a pause, which doubles up to an hour, unless sea.end_notice says that it was accepted.';

CREATE FUNCTION sea.end_notice(p_id bigint, p_error text) RETURNS void
LANGUAGE sql AS $$
    UPDATE sea.notice
       SET delivered_at = CASE WHEN p_error IS NULL THEN clock_timestamp() END,
           given_up_at = CASE WHEN p_error IS NOT NULL THEN given_up_at END,
           error = p_error
     WHERE id = p_id AND delivered_at IS NULL;
$$;
COMMENT ON FUNCTION sea.end_notice(bigint, text) IS 'What became of an attempt to send a notice: NULL for accepted, else why not.';

-- ---- report ----

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
