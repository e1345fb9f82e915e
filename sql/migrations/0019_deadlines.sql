-- Purpose: deadlines of stage runs that wait; what experiments and schedules wish for is checked
--          before it is cast; silent workers are found by one look at the leases; upkeep reads no
--          history.
-- Breaking: no.
-- Locks and scans: triggers on experiment and stage_run, whose locks wait for submissions under
--          way.
-- Run before: nothing.
--
-- Deadlines are few beside stage runs and are looked for by time: they have a table of their own.
-- A row says when to look next. It is looked at late rather than changed often: an attempt that
-- runs, or ends and waits again, does not touch it.
-- Lock order: own stage run (skipped when it is busy), its row here, then as in 0001.

-- ---- what experiments wish for ----

CREATE FUNCTION sea.check_number(p_config jsonb, p_path text[], p_whole boolean, p_low numeric,
                                 p_high numeric)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    value CONSTANT jsonb := p_config #> p_path;
    number numeric;
BEGIN
    IF value IS NULL OR value = 'null' THEN
        RETURN;
    END IF;
    IF jsonb_typeof(value) = 'number' THEN
        number := value::text::numeric;
        IF number BETWEEN p_low AND p_high AND (NOT p_whole OR number = trunc(number)) THEN
            RETURN;
        END IF;
    END IF;
    RAISE EXCEPTION '% of experiment "%" is %, need % from % to %',
        array_to_string(p_path, '.'), left(p_config->>'name', 80), left(value::text, 80),
        CASE WHEN p_whole THEN 'a whole number' ELSE 'a number' END, p_low, p_high
        USING ERRCODE = 'LF010',
        HINT = 'docs/config.md has every key; `sea submit FILE` checks all of them.';
END $$;
COMMENT ON FUNCTION sea.check_number(jsonb, text[], boolean, numeric, numeric) IS 'Part of sea.check_config: a key of a configuration that has to be a number within limits, or missing; else LF010.';

CREATE FUNCTION sea.check_kind(p_config jsonb, p_path text[], p_kind text, p_words text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    value CONSTANT jsonb := p_config #> p_path;
BEGIN
    IF value IS NULL OR value = 'null'
       OR (jsonb_typeof(value) = p_kind AND value <> '""'
           AND (p_words IS NULL OR value #>> '{}' = ANY (p_words))) THEN
        RETURN;
    END IF;
    RAISE EXCEPTION '% of experiment "%" is %, need %',
        array_to_string(p_path, '.'), left(p_config->>'name', 80), left(value::text, 80),
        CASE WHEN p_words IS NOT NULL THEN 'one of ' || array_to_string(p_words, ', ')
             WHEN p_kind = 'object' THEN 'a map' ELSE 'a text' END
        USING ERRCODE = 'LF010',
        HINT = 'docs/config.md has every key; `sea submit FILE` checks all of them.';
END $$;
COMMENT ON FUNCTION sea.check_kind(jsonb, text[], text, text[]) IS 'Part of sea.check_config: a key of a configuration that has to be a map or a text, one of a few when words are given, or missing; else LF010.';

CREATE FUNCTION sea.check_config(p_config jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    one text;
BEGIN
    -- What the functions of this schema read; the rest is the stages'.
    PERFORM sea.check_kind(p_config, '{name}', 'string', NULL);
    PERFORM sea.check_kind(p_config, ARRAY[k], 'object', NULL)
       FROM unnest(ARRAY['resources', 'halving', 'model']) AS k;
    IF jsonb_typeof(p_config->'stages') = 'object' THEN
        FOR one IN SELECT jsonb_object_keys(p_config->'stages') LOOP
            PERFORM sea.check_kind(p_config, ARRAY['stages', one], 'object', NULL);
        END LOOP;
    END IF;
    IF p_config ? 'resources' THEN
        PERFORM sea.check_number(p_config, '{resources,priority}', true, -1000000, 1000000);
        PERFORM sea.check_number(p_config, '{resources,gpus}', true, 0, 1024);
        PERFORM sea.check_number(p_config, ARRAY['resources', k], false, 0, 100000)
           FROM unnest(ARRAY['hours', 'wait_hours', 'total_hours']) AS k;
        PERFORM sea.check_kind(p_config, ARRAY['resources', k], 'string', NULL)
           FROM unnest(ARRAY['queue', 'device']) AS k;
        PERFORM sea.check_kind(p_config, '{resources,backend}', 'string', '{local,slurm}');
        IF (p_config #>> '{resources,hours}')::numeric BETWEEN 1e-30 AND 2.7e-7 THEN
            RAISE EXCEPTION 'resources.hours of experiment "%" is less than a millisecond',
                left(p_config->>'name', 80) USING ERRCODE = 'LF010', HINT = '0 means no limit.';
        END IF;
    END IF;
    IF p_config ? 'halving' THEN
        PERFORM sea.check_kind(p_config, ARRAY['halving', k], 'string', NULL)
           FROM unnest(ARRAY['metric', 'study']) AS k;
        PERFORM sea.check_kind(p_config, '{halving,mode}', 'string', '{min,max}');
        PERFORM sea.check_number(p_config, '{halving,first}', true, 1, 9223372036854775807);
        PERFORM sea.check_number(p_config, '{halving,eta}', true, 2, 1000000);
    END IF;
    PERFORM sea.check_number(p_config, '{stages,eval,repeat}', true, 0, 1000000000);
END $$;
COMMENT ON FUNCTION sea.check_config(jsonb) IS 'LF010 for a configuration with a value that this schema would read as something else: a number that is none, or too large.';

CREATE FUNCTION sea.experiment_wishes() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM sea.check_config(NEW.config);
    IF NEW.submit_key = '' THEN
        RAISE EXCEPTION 'the key of a submission is empty' USING ERRCODE = 'LF010',
            HINT = 'Leave it out, or name one that no other submission has.';
    END IF;
    IF NEW.retry_of IS NOT NULL
       AND NOT EXISTS (SELECT FROM sea.experiment e WHERE e.id = NEW.retry_of) THEN
        RAISE EXCEPTION 'there is no experiment % to repeat', NEW.retry_of
            USING ERRCODE = 'LF012', HINT = '`sea status` lists the experiments.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sea.experiment_wishes() IS 'Trigger: what an experiment wishes for is checked before anything is made of it.';
CREATE TRIGGER experiment_wishes BEFORE INSERT ON sea.experiment
    FOR EACH ROW EXECUTE FUNCTION sea.experiment_wishes();
COMMENT ON TRIGGER experiment_wishes ON sea.experiment IS 'See sea.experiment_wishes()';

-- A schedule whose nights could not be submitted is refused, and does not fail each night.
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
        IF jsonb_typeof(one.value->'stages') IS DISTINCT FROM 'object'
           OR (one.value->'stages') - 'eval' <> '{}'
           OR NOT one.value->'stages' ? 'eval' THEN
            RAISE EXCEPTION 'schedule "%": model "%" is not an experiment with stage eval alone',
                p_config->>'name', one.key USING ERRCODE = 'LF010';
        END IF;
        PERFORM sea.check_config(one.value);
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

CREATE OR REPLACE FUNCTION sea.set_limit(kind text, name text, slots integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF $1 IS NULL OR $2 IS NULL OR $1 NOT IN ('queue', 'user') OR $3 NOT BETWEEN 0 AND 100000 THEN
        RAISE EXCEPTION 'limit of % "%" to % cannot be set', $1, $2, $3 USING ERRCODE = 'LF010',
            HINT = 'The kind is queue or user; slots is a number from 0 to 100000, or NULL for no limit.';
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
          FROM sea.lease h JOIN sea.stage_run r ON r.id = h.stage_id
         WHERE r.state = 'running' AND $2 = CASE $1 WHEN 'queue' THEN r.queue ELSE r.owner END
           AND NOT EXISTS (SELECT FROM sea.slot t WHERE t.kind = $1 AND t.name = $2
                              AND t.stage_id = r.id)),
    place AS (
        SELECT n, row_number() OVER (ORDER BY n) AS turn
          FROM generate_series(1, $3 + (SELECT count(*) FROM sea.lease)) AS n
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

-- ---- deadlines ----

CREATE TABLE sea.deadline (
    stage_id bigint NOT NULL,
    wait interval,
    waits_since timestamptz NOT NULL DEFAULT clock_timestamp(),
    ends_at timestamptz,
    look_at timestamptz NOT NULL,
    CONSTRAINT deadline_pk PRIMARY KEY (stage_id)
);
CREATE INDEX deadline_next ON sea.deadline (look_at, stage_id);
COMMENT ON TABLE sea.deadline IS 'Stage runs of experiments with resources.wait_hours or resources.total_hours: until when they may wait. Rows go when they are looked at after the end of their stage run.';
COMMENT ON COLUMN sea.deadline.stage_id IS 'Stage run';
COMMENT ON COLUMN sea.deadline.wait IS 'How long it may wait until somebody starts it, once it can; NULL: for ever';
COMMENT ON COLUMN sea.deadline.waits_since IS 'When it could start first: submitted, or its last parent was done';
COMMENT ON COLUMN sea.deadline.ends_at IS 'When all of its experiment has to have ended; NULL: never';
COMMENT ON COLUMN sea.deadline.look_at IS 'When sea.expire looks at it next';

CREATE FUNCTION sea.stage_run_deadline() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sea.deadline (stage_id, wait, ends_at, look_at)
    SELECT w.id, w.wait, w.ends_at, least(clock_timestamp() + w.wait, w.ends_at)
      FROM (SELECT f.id,
                   nullif((e.config #>> '{resources,wait_hours}')::float8, 0) * interval '1 hour'
                       AS wait,
                   e.created_at + nullif((e.config #>> '{resources,total_hours}')::float8, 0)
                                  * interval '1 hour' AS ends_at
              FROM fresh f JOIN sea.experiment e ON e.id = f.experiment_id
             WHERE e.config->'resources' ?| '{wait_hours,total_hours}'
               AND f.ended_at IS NULL) AS w
     WHERE w.wait IS NOT NULL OR w.ends_at IS NOT NULL;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION sea.stage_run_deadline() IS 'Trigger: a new stage run whose experiment has deadlines.';
CREATE TRIGGER stage_run_deadline AFTER INSERT ON sea.stage_run
    REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION sea.stage_run_deadline();
COMMENT ON TRIGGER stage_run_deadline ON sea.stage_run IS 'See sea.stage_run_deadline()';

CREATE FUNCTION sea.stage_run_unblocked() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sea.deadline AS d SET waits_since = clock_timestamp() WHERE d.stage_id = NEW.id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION sea.stage_run_unblocked() IS 'Trigger: the last parent is done; from here on the wait counts.';
-- Of unmet alone: claims and commits do not name it.
CREATE TRIGGER stage_run_unblocked AFTER UPDATE OF unmet ON sea.stage_run FOR EACH ROW
    WHEN (NEW.unmet = 0 AND OLD.unmet > 0) EXECUTE FUNCTION sea.stage_run_unblocked();
COMMENT ON TRIGGER stage_run_unblocked ON sea.stage_run IS 'See sea.stage_run_unblocked()';

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
        ('waiting', 'cancelled'), ('ready', 'cancelled'), ('ready', 'failed'),
        ('running', 'backoff'), ('running', 'failed'),
        ('running', 'quarantined'), ('running', 'cancelled'),
        ('backoff', 'ready'), ('backoff', 'cancelled'), ('backoff', 'failed'),
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

CREATE FUNCTION sea.hours_text(p_time interval) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_time < interval '1 hour'
                THEN round(extract(epoch FROM p_time)) || ' s'
                ELSE round(extract(epoch FROM p_time) / 3600, 1) || ' h' END;
$$;
COMMENT ON FUNCTION sea.hours_text(interval) IS 'A time for people: 90 s, 2.5 h.';

CREATE FUNCTION sea.expire(OUT stage_id bigint, OUT result text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    due sea.deadline;
    run sea.stage_run;
    since timestamptz;
    why text;
    is_queued boolean;          -- in a cluster, that has not started it
BEGIN
    -- One per transaction, by the lock order. What is busy is passed over and looked at again.
    SELECT d.* INTO due FROM sea.deadline d
      JOIN sea.stage_run s ON s.id = d.stage_id
     WHERE d.look_at <= moment
     ORDER BY d.look_at, d.stage_id
     LIMIT 1 FOR NO KEY UPDATE OF s SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT d.* INTO due FROM sea.deadline d WHERE d.stage_id = due.stage_id FOR UPDATE;
    SELECT s.* INTO run FROM sea.stage_run s WHERE s.id = due.stage_id;
    stage_id := due.stage_id;
    result := 'later';
    IF run.ended_at IS NOT NULL OR due.stage_id IS NULL OR run.cancel_requested_at IS NOT NULL THEN
        DELETE FROM sea.deadline AS d WHERE d.stage_id = run.id;
        RETURN;
    END IF;
    is_queued := EXISTS (SELECT FROM sea.cluster_job j
                          WHERE j.stage_id = run.id AND j.epoch = run.last_epoch
                            AND j.state <> 'started') AND run.state = 'running';
    since := greatest(due.waits_since, run.ready_at);
    why := CASE
        WHEN due.ends_at <= moment
        THEN 'timed out: the experiment had to end within '
             || sea.hours_text(due.ends_at - run.created_at) || ' (resources.total_hours)'
        WHEN (run.state IN ('waiting', 'ready') OR is_queued) AND since + due.wait <= moment
        THEN 'timed out: waited ' || sea.hours_text(moment - since)
             || ' for its start, may wait ' || sea.hours_text(due.wait)
             || ' (resources.wait_hours)' END;
    IF why IS NOT NULL AND run.state <> 'running' THEN
        why := why || coalesce((SELECT '; ' || CASE run.state WHEN 'ready' THEN '' ELSE run.state || ': ' END
                                       || w.reason FROM sea.why_pending_here w
                                 WHERE w.stage_id = run.id), '');
    END IF;
    IF why IS NULL OR run.state = 'blocked' THEN
        -- One that is blocked ends with its parent. One that runs may wait again later: that wait
        -- cannot be over before this.
        UPDATE sea.deadline AS d
           SET look_at = CASE
                   WHEN due.ends_at <= moment THEN moment + interval '10 s'
                   WHEN run.state IN ('waiting', 'ready') OR is_queued
                   THEN least(due.ends_at, since + due.wait)
                   WHEN due.wait < interval '1 s' THEN least(due.ends_at, moment + interval '1 s')
                   ELSE least(due.ends_at, moment + due.wait) END
         WHERE d.stage_id = run.id;
        RETURN;
    END IF;
    DELETE FROM sea.deadline AS d WHERE d.stage_id = run.id;
    result := 'timed out';
    IF run.state = 'running' THEN
        -- Its worker, or the cluster, hears of it as of any request to end.
        UPDATE sea.stage_run AS s SET cancel_requested_at = moment WHERE s.id = run.id;
        INSERT INTO sea.event (experiment_id, stage_id, epoch, level, kind, text)
        VALUES (run.experiment_id, run.id, run.last_epoch, 'error', 'state',
                run.stage || ' is asked to end: ' || why);
    ELSE
        PERFORM sea.abandon(run.id, 'failed', why);
    END IF;
END $$;
COMMENT ON FUNCTION sea.expire() IS 'Looks at one stage run whose deadline is due, and returns it: one that waits too long fails, and what depends on it is skipped; one that runs beyond the end of its experiment is asked to end (timed out), or it is looked at again (later). No stage_id: nothing is due. Any number of schedulers may call it.';

-- ---- silent workers ----

CREATE FUNCTION sea.rescue(p_stage_id bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    old sea.lease;
    cancelled boolean;
BEGIN
    -- One per transaction, by the lock order. A lease that is just being renewed or committed
    -- is locked and skipped; one that was renewed meanwhile does not match any more.
    SELECT * INTO old FROM sea.lease
     WHERE stage_id = p_stage_id
       AND expires_at < clock_timestamp()                       -- fence: rescue_expired
     FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    cancelled := sea.give_back(old.stage_id, old.epoch, 'lost',
                               'worker ' || old.worker_id || ' went silent', 0) = 'cancelled';
    UPDATE sea.attempt SET message = 'worker ' || old.worker_id || ' went silent'
     WHERE stage_id = old.stage_id AND epoch = old.epoch;
    PERFORM sea.end_attempt(old.stage_id, old.epoch, 'lost', 'lost');
    RETURN old.stage_id;
END $$;
COMMENT ON FUNCTION sea.rescue(bigint) IS 'Takes this stage run back if its lease has expired, and returns its id; else NULL. Any number of schedulers may call it. sea.rescue() looks for one by itself.';

-- ---- upkeep ----

CREATE OR REPLACE FUNCTION sea.set_retention(what text, days integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    -- Longer ones have no date that they began at.
    IF $2 > 36500 THEN
        RAISE EXCEPTION 'to keep "%" for % days is more than a hundred years', $1, $2
            USING ERRCODE = 'LF010', HINT = 'NULL keeps it for ever.';
    END IF;
    UPDATE sea.retention AS r SET days = $2 WHERE r.what = $1;
    IF NOT FOUND THEN
        RAISE EXCEPTION '"%" is not kept for a time', $1 USING ERRCODE = 'LF010',
            HINT = 'Known: metric, event, notice.';
    END IF;
EXCEPTION WHEN check_violation THEN
    RAISE EXCEPTION '% days are no time to keep "%"', $2, $1 USING ERRCODE = 'LF010',
        HINT = 'A number above 0, or NULL for ever.';
END $$;
UPDATE sea.retention SET days = 36500 WHERE days > 36500;

-- Who found an output in the cache stands in sea.reuse: no index of stage runs tells it any more.
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
                SELECT FROM sea.reuse u JOIN sea.stage_run s ON s.id = u.stage_id
                 WHERE u.output_stage_id >= part.low AND u.output_stage_id < part.high
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
     WHERE v.id = ANY (ARRAY(
           SELECT f.id FROM (SELECT w.id, w.at FROM sea.event w ORDER BY w.id LIMIT 10000) AS f
            WHERE f.at < clock_timestamp() - (SELECT days * interval '1 day' FROM sea.retention
                                               WHERE what = 'event')));
    DELETE FROM sea.notice n
     WHERE (n.delivered_at IS NOT NULL OR n.given_up_at IS NOT NULL)
       AND n.created_at < clock_timestamp() - (SELECT days * interval '1 day' FROM sea.retention
                                                WHERE what = 'notice');
END $$;

INSERT INTO sea.access (object, kind, roles)
VALUES ('expire', 'function', ARRAY['scheduler']),
       ('check_config', 'function', ARRAY['researcher', 'worker', 'scheduler', 'viewer', 'auditor']),
       ('deadline', 'stage', ARRAY['researcher', 'worker', 'scheduler', 'viewer', 'auditor']);
SET LOCAL client_min_messages = warning;
DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
