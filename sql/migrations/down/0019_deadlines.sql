-- Undoes 0019_deadlines. Loses: deadlines of stage runs that have not ended.

SELECT pg_temp.loses('deadlines', (SELECT count(*) FROM sea.deadline d JOIN sea.stage_run s
                                     ON s.id = d.stage_id WHERE s.ended_at IS NULL));
DELETE FROM sea.access WHERE object IN ('expire', 'check_config', 'deadline');
DROP TRIGGER experiment_wishes ON sea.experiment;
DROP TRIGGER stage_run_deadline ON sea.stage_run;
DROP TRIGGER stage_run_unblocked ON sea.stage_run;
DROP FUNCTION sea.experiment_wishes, sea.stage_run_deadline, sea.stage_run_unblocked, sea.expire,
              sea.hours_text;
DROP TABLE sea.deadline;
DROP FUNCTION sea.rescue(bigint);

-- As 0002_functions made it.

CREATE OR REPLACE FUNCTION sea.set_limit(kind text, name text, slots integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF $1 NOT IN ('queue', 'user') OR $3 < 0 THEN
        RAISE EXCEPTION 'limit of % "%" to % cannot be set', $1, $2, $3 USING ERRCODE = 'LF010',
            HINT = 'The kind is queue or user; slots is a number from 0 on, or NULL for no limit.';
    END IF;
    IF $3 IS NULL THEN
        DELETE FROM sea.concurrency AS c WHERE c.kind = $1 AND c.name = $2;
        DELETE FROM sea.slot AS s WHERE s.kind = $1 AND s.name = $2;
        RETURN;
    END IF;
    INSERT INTO sea.concurrency AS c (kind, name, slots_max) VALUES ($1, $2, $3)
        ON CONFLICT ON CONSTRAINT concurrency_pk DO UPDATE SET slots_max = $3;
    -- What runs already counts, too: a limit may come later than the work.
    WITH late AS (
        SELECT r.id, r.last_epoch, row_number() OVER (ORDER BY r.id) AS turn
          FROM sea.stage_run r
         WHERE r.state = 'running' AND $2 = CASE $1 WHEN 'queue' THEN r.queue ELSE r.owner END
           AND NOT EXISTS (SELECT FROM sea.slot t WHERE t.kind = $1 AND t.name = $2
                              AND t.stage_id = r.id)),
    place AS (
        SELECT n, row_number() OVER (ORDER BY n) AS turn
          FROM generate_series(1, $3 + (SELECT count(*) FROM sea.stage_run r
                                         WHERE r.state = 'running')) AS n
         WHERE NOT EXISTS (SELECT FROM sea.slot t WHERE t.kind = $1 AND t.name = $2
                              AND t.number = n AND t.stage_id IS NOT NULL))
    INSERT INTO sea.slot AS s (kind, name, number, stage_id, epoch)
    SELECT $1, $2, p.n, l.id, l.last_epoch FROM late l JOIN place p USING (turn)
        ON CONFLICT ON CONSTRAINT slot_pk DO UPDATE
       SET stage_id = excluded.stage_id, epoch = excluded.epoch;
    INSERT INTO sea.slot (kind, name, number) SELECT $1, $2, n FROM generate_series(1, $3) AS n
        ON CONFLICT DO NOTHING;
    DELETE FROM sea.slot AS f
     WHERE f.kind = $1 AND f.name = $2 AND f.stage_id IS NULL AND f.number > $3;
END $$;

-- As 0010_operations made it.

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

CREATE OR REPLACE FUNCTION sea.set_retention(what text, days integer) RETURNS void
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

-- As 0013_curves made it.

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
        EXECUTE format('CREATE TABLE sea.%I (LIKE sea.metric INCLUDING DEFAULTS) WITH (
                            autovacuum_vacuum_insert_scale_factor = 0,
                            autovacuum_vacuum_insert_threshold = 1000000)',
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

DROP FUNCTION sea.check_config, sea.check_kind, sea.check_number;

-- As 0018_guards made it.

CREATE OR REPLACE FUNCTION sea.stage_run_guard() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    broken text;
BEGIN
    -- What claims and commits do with every stage run breaks nothing below, and the first test of
    -- a transaction costs what its expression is long: these two come first.
    IF NEW.state = 'running' AND TG_OP = 'UPDATE' THEN
        IF OLD.state = 'ready' AND NEW.last_epoch > OLD.last_epoch AND NEW.key = OLD.key
           AND NEW.unmet = 0 AND NEW.ended_at IS NULL AND NEW.done_epoch IS NULL
           AND NEW.output_digest IS NULL AND NEW.output_stage_id IS NULL
           AND NEW.output_epoch IS NULL AND NEW.stage = OLD.stage
           AND NEW.timeout_ms IS NOT DISTINCT FROM OLD.timeout_ms THEN
            RETURN NEW;
        END IF;
    ELSIF NEW.state = 'done' AND TG_OP = 'UPDATE' THEN
        IF OLD.state = 'running' AND NEW.last_epoch = OLD.last_epoch
           AND NEW.done_epoch = NEW.last_epoch AND NEW.key = OLD.key AND NEW.unmet = 0
           AND NEW.ended_at IS NOT NULL AND NEW.output_digest IS NOT NULL
           AND NEW.output_stage_id IS NOT NULL AND NEW.output_epoch IS NOT NULL
           AND NEW.stage = OLD.stage
           AND NEW.timeout_ms IS NOT DISTINCT FROM OLD.timeout_ms THEN
            RETURN NEW;
        END IF;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.last_epoch < OLD.last_epoch THEN
        RAISE EXCEPTION 'stage run %: last_epoch cannot go from % to %',
            OLD.id, OLD.last_epoch, NEW.last_epoch USING ERRCODE = 'LF020';
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.state = OLD.state AND OLD.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'stage run % is %: it does not change any more', OLD.id, OLD.state
            USING ERRCODE = 'LF020';
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
        ('ready', 'running'), ('running', 'done'),
        ('blocked', 'waiting'), ('blocked', 'skipped'), ('blocked', 'cancelled'),
        ('waiting', 'cached'), ('waiting', 'ready'), ('waiting', 'failed'),
        ('waiting', 'cancelled'), ('ready', 'cancelled'),
        ('running', 'backoff'), ('running', 'failed'),
        ('running', 'quarantined'), ('running', 'cancelled'),
        ('backoff', 'ready'), ('backoff', 'cancelled'),
        ('quarantined', 'ready'), ('quarantined', 'failed'), ('quarantined', 'cancelled')) THEN
        RAISE EXCEPTION 'stage run %: no way from % to %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'LF020';
    END IF;
    -- The name of the first rule that the row breaks. In three parts: what every change may
    -- break, what a key may, what a new row may.
    broken := CASE
        WHEN (NEW.state IN ('done', 'cached', 'failed', 'skipped', 'cancelled'))
             <> (NEW.ended_at IS NOT NULL) THEN 'stage_run_ended_is_terminal'
        WHEN NEW.unmet < 0 THEN 'stage_run_unmet_not_negative'
        WHEN NEW.unmet > 0 AND NEW.state NOT IN ('blocked', 'skipped', 'cancelled')
             THEN 'stage_run_started_has_no_unmet'
        WHEN NEW.unmet = 0 AND NEW.state = 'blocked' THEN 'stage_run_blocked_has_unmet'
        WHEN NEW.key IS NULL AND NEW.state IN ('ready', 'running', 'backoff', 'done', 'cached',
                                               'quarantined') THEN 'stage_run_ready_has_key'
        WHEN NEW.ready_at IS NULL AND NEW.state = 'ready' THEN 'stage_run_ready_has_time'
        WHEN NEW.run_at IS NULL AND NEW.state = 'backoff' THEN 'stage_run_backoff_has_time'
        WHEN NEW.last_epoch <= 0 AND NEW.state = 'running' THEN 'stage_run_running_has_epoch'
        WHEN (NEW.state = 'done') <> (NEW.done_epoch IS NOT NULL) THEN 'stage_run_done_has_epoch'
        WHEN NEW.done_epoch <> NEW.last_epoch THEN 'stage_run_done_epoch_was_last'
        WHEN (NEW.state IN ('done', 'cached')) <> (NEW.output_digest IS NOT NULL)
             OR (NEW.output_digest IS NULL) <> (NEW.output_stage_id IS NULL)
             OR (NEW.output_digest IS NULL) <> (NEW.output_epoch IS NULL)
             THEN 'stage_run_output_when_done'
        WHEN NEW.reason IS NULL AND NEW.state IN ('failed', 'skipped', 'quarantined')
             THEN 'stage_run_failure_has_reason' END;
    IF broken IS NULL AND (TG_OP = 'INSERT' OR NEW.key IS DISTINCT FROM OLD.key)
       AND NEW.key !~ '^[0-9a-f]{64}$' THEN
        broken := 'stage_run_key_is_sha256';
    END IF;
    IF broken IS NULL AND (TG_OP = 'INSERT' OR NEW.stage <> OLD.stage
                           OR NEW.timeout_ms IS DISTINCT FROM OLD.timeout_ms) THEN
        broken := CASE
            WHEN NEW.stage NOT IN ('foundation', 'label', 'align', 'tune', 'eval')
                 THEN 'stage_run_stage_known'
            WHEN NEW.state NOT IN ('blocked', 'waiting', 'ready', 'running', 'backoff',
                                   'quarantined', 'done', 'cached', 'failed', 'skipped',
                                   'cancelled') THEN 'stage_run_state_known'
            WHEN NEW.timeout_ms <= 0 THEN 'stage_run_timeout_positive' END;
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'stage run % (%, %) breaks "%"', NEW.id, NEW.stage, NEW.state, broken
            USING ERRCODE = '23514', SCHEMA = 'sea', TABLE = 'stage_run', CONSTRAINT = broken;
    END IF;
    -- A claim and a commit write these two lines of history themselves, for all their rows at
    -- once, and the claim takes the row off its list.
    IF TG_OP = 'UPDATE' AND (NEW.state = 'running' OR NEW.state = 'done') THEN
        RETURN NEW;
    END IF;
    IF NEW.state IN ('waiting', 'ready', 'backoff') THEN
        IF TG_OP = 'INSERT' OR NEW.state <> OLD.state OR NEW.priority <> OLD.priority
           OR NEW.queue <> OLD.queue OR NEW.owner <> OLD.owner
           OR NEW.ready_at IS DISTINCT FROM OLD.ready_at
           OR NEW.run_at IS DISTINCT FROM OLD.run_at THEN
            PERFORM sea.todo_put(NEW.id, NEW.state,
                                 CASE NEW.state WHEN 'ready' THEN NEW.queue ELSE '' END,
                                 NEW.owner,
                                 sea.todo_rank(NEW.state, NEW.priority, NEW.created_at,
                                               NEW.ready_at, NEW.run_at));
        END IF;
    ELSIF TG_OP = 'UPDATE' AND OLD.state IN ('waiting', 'ready', 'backoff') THEN
        DELETE FROM sea.todo WHERE stage_id = NEW.id;
    END IF;
    IF NEW.state = 'cached' AND TG_OP = 'UPDATE' AND OLD.state <> 'cached' THEN
        INSERT INTO sea.reuse (output_stage_id, stage_id, experiment_id)
        VALUES (NEW.output_stage_id, NEW.id, NEW.experiment_id) ON CONFLICT DO NOTHING;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.state <> OLD.state THEN
        INSERT INTO sea.event (experiment_id, stage_id, epoch, level, kind, text)
        VALUES (NEW.experiment_id, NEW.id, NULLIF(NEW.last_epoch, 0),
                CASE WHEN NEW.state IN ('failed', 'quarantined') THEN 'error'
                     WHEN NEW.state IN ('backoff', 'skipped', 'cancelled') THEN 'warn'
                     ELSE 'info' END,
                'state', NEW.stage || ': ' || OLD.state || ' -> ' || NEW.state
                         || coalesce(': ' || NEW.reason, ''));
    END IF;
    RETURN NEW;
END $$;

DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
