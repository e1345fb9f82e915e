-- Undoes 0022_refusals. Loses: nothing.

-- As 0008_roles made it.

CREATE OR REPLACE FUNCTION sea.experiment_tenant() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    -- Workers and schedulers serve everybody. Without roles there is one tenant.
    IF to_regrole('sea_worker') IS NULL OR to_regrole('sea_scheduler') IS NULL
       OR pg_has_role(session_user, 'sea_worker', 'MEMBER')
       OR pg_has_role(session_user, 'sea_scheduler', 'MEMBER') THEN
        RETURN NEW;
    END IF;
    IF NEW.tenant <> sea.own_tenant()
       OR EXISTS (SELECT FROM sea.experiment e
                   WHERE e.id = NEW.retry_of AND e.tenant <> sea.own_tenant()) THEN
        RAISE EXCEPTION 'experiment % belongs to another tenant',
            CASE WHEN NEW.tenant <> sea.own_tenant() THEN NEW.id ELSE NEW.retry_of END
            USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END $$;

-- As 0002_functions made it.

CREATE OR REPLACE FUNCTION sea.cancel(experiment_id bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    p_id ALIAS FOR $1;
    run record;
    keys text[] := '{}';
    result text;
BEGIN
    IF NOT EXISTS (SELECT FROM sea.experiment WHERE id = p_id) THEN
        RAISE EXCEPTION 'there is no experiment %', p_id USING ERRCODE = 'LF012',
            HINT = '`sea status` lists the experiments.';
    END IF;
    PERFORM 1 FROM sea.stage_run s WHERE s.experiment_id = p_id ORDER BY s.id
        FOR NO KEY UPDATE;
    FOR run IN SELECT s.id, s.state, s.key FROM sea.stage_run s
                WHERE s.experiment_id = p_id AND s.ended_at IS NULL ORDER BY s.id
    LOOP
        IF run.state = 'running' THEN
            UPDATE sea.stage_run SET cancel_requested_at = clock_timestamp()
             WHERE id = run.id AND cancel_requested_at IS NULL;
        ELSE
            UPDATE sea.stage_run
               SET state = 'cancelled', reason = 'cancelled on request',
                   cancel_requested_at = clock_timestamp(), ended_at = clock_timestamp()
             WHERE id = run.id;
            keys := keys || run.key;
        END IF;
    END LOOP;
    FOR run IN SELECT f.key FROM sea.flight f JOIN sea.stage_run s ON s.id = f.stage_id
                WHERE s.experiment_id = p_id AND s.ended_at IS NOT NULL AND f.key = ANY (keys)
                ORDER BY f.key
    LOOP
        DELETE FROM sea.flight WHERE key = run.key;
    END LOOP;
    UPDATE sea.experiment
       SET state = 'cancelling', cancel_requested_at = clock_timestamp()
     WHERE id = p_id AND ended_at IS NULL AND cancel_requested_at IS NULL;
    PERFORM sea.finish_experiment(p_id);
    SELECT state INTO result FROM sea.experiment WHERE id = p_id;
    RETURN result;
END $$;

CREATE OR REPLACE FUNCTION sea.retry(experiment_id bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    p_id ALIAS FOR $1;
    old sea.experiment;
BEGIN
    SELECT * INTO old FROM sea.experiment WHERE id = p_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no experiment %', p_id USING ERRCODE = 'LF012',
            HINT = '`sea status` lists the experiments.';
    END IF;
    IF old.state NOT IN ('failed', 'cancelled') THEN
        RAISE EXCEPTION 'experiment % is %: only failed and cancelled ones are tried again',
            p_id, old.state USING ERRCODE = 'LF012';
    END IF;
    RETURN sea.submit(old.config, NULL, p_id);
END $$;

-- As 0006_nightly made it.

CREATE OR REPLACE FUNCTION sea.enable_schedule(name text, enabled boolean) RETURNS timestamptz
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

-- As 0009_queue made it.

CREATE OR REPLACE FUNCTION sea.set_priority(experiment_id bigint, priority integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    changed bigint;
BEGIN
    PERFORM 1 FROM sea.stage_run s
      WHERE s.experiment_id = $1 AND s.ended_at IS NULL ORDER BY s.id FOR NO KEY UPDATE;
    UPDATE sea.stage_run AS s SET priority = $2
     WHERE s.experiment_id = $1 AND s.ended_at IS NULL;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed = 0 THEN
        RAISE EXCEPTION 'experiment % has no stage that could still run', $1
            USING ERRCODE = 'LF012';
    END IF;
    RETURN changed;
END $$;

-- As 0002_functions made it.

CREATE OR REPLACE FUNCTION sea.give_up_quarantine(stage_id bigint, note text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM sea.stage_run WHERE id = $1 AND state = 'quarantined' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'stage run % is not in quarantine', $1 USING ERRCODE = 'LF012';
    END IF;
    PERFORM sea.abandon($1, 'failed', $2);
END $$;

-- As 0015_gpus made it.

CREATE OR REPLACE FUNCTION sea.register_worker(p_host text, p_pid bigint, p_device text, p_queue text,
                                    p_ttl_ms integer, p_gpus integer[] DEFAULT '{}')
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    worker bigint;
BEGIN
    INSERT INTO sea.worker (host, pid, device, queue, ttl_ms, gpus)
    VALUES (p_host, p_pid, p_device, p_queue, p_ttl_ms,
            ARRAY(SELECT DISTINCT g FROM unnest(p_gpus) AS g WHERE g >= 0 ORDER BY 1))
    RETURNING id INTO worker;
    INSERT INTO sea.slot (kind, name, number)
    SELECT DISTINCT 'gpu', p_host, g + 1 FROM unnest(p_gpus) AS g WHERE g >= 0 ORDER BY 3
        ON CONFLICT DO NOTHING;
    RETURN worker;
END $$;

-- As 0002_functions made it.

CREATE OR REPLACE FUNCTION sea.worker_state(p_worker_id bigint, p_state text) RETURNS void
LANGUAGE sql AS $$
    UPDATE sea.worker
       SET state = p_state, seen_at = clock_timestamp(),
           drain = CASE WHEN p_state = 'draining' THEN coalesce(drain, 'checkpoint') ELSE drain END,
           ended_at = CASE WHEN p_state = 'gone' THEN clock_timestamp() END
     WHERE id = p_worker_id AND ended_at IS NULL;
$$;

-- As 0011_cluster_jobs made it.

CREATE OR REPLACE FUNCTION sea.job_looked(p_cluster text, p_message text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
BEGIN
    INSERT INTO sea.cluster_look (cluster) VALUES (p_cluster) ON CONFLICT DO NOTHING;
    SELECT failures INTO before FROM sea.cluster_look WHERE cluster = p_cluster
       FOR NO KEY UPDATE;
    UPDATE sea.cluster_look
       SET looked_at = CASE WHEN p_message IS NULL THEN clock_timestamp() ELSE looked_at END,
           failed_at = CASE WHEN p_message IS NULL THEN failed_at ELSE clock_timestamp() END,
           failures = CASE WHEN p_message IS NULL THEN 0 ELSE failures + 1 END,
           failures_ever = failures_ever + (p_message IS NOT NULL)::integer,
           message = coalesce(p_message, message)
     WHERE cluster = p_cluster;
    RETURN before;
END $$;

-- As 0005_cron made it.

CREATE OR REPLACE FUNCTION sea.cron_mask(field text, low integer, high integer, names text[], what text,
                              first integer, cron text)
RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    item text;
    part text[];
    at integer := first;
    start integer;
    stop integer;
    step integer;
    mask bigint := 0;
    one text;
    word text;
    ends integer[];
BEGIN
    FOREACH item IN ARRAY string_to_array(lower(field), ',') LOOP
        part := regexp_match(item,
            '^([*]|([0-9]{1,4}|[a-z]{3})(?:-([0-9]{1,4}|[a-z]{3}))?)(?:/([0-9]{1,4}))?$');
        IF part IS NULL THEN
            RAISE EXCEPTION 'cron "%", character %: "%" is no % (number, name, range a-b, * or step /n)',
                cron, at, item, what USING ERRCODE = 'LF010',
                HINT = 'Five fields: minute hour day month weekday, such as "30 2 * * 1-5".';
        END IF;
        ends := '{}';
        FOREACH word IN ARRAY ARRAY[part[2], part[3]] LOOP
            one := word;
            IF one ~ '^[a-z]' THEN
                one := array_position(names, one) - 1 + low;
                IF one IS NULL THEN
                    RAISE EXCEPTION 'cron "%", character %: "%" is no name of a %', cron, at, word,
                        what USING ERRCODE = 'LF010',
                        HINT = 'Known: ' || coalesce(array_to_string(names, ', '), 'none') || '.';
                END IF;
            END IF;
            ends := ends || one::integer;
        END LOOP;
        start := coalesce(ends[1], low);
        step := coalesce(part[4]::integer, 1);
        -- "5/10" goes on to the end, as "*/10" does.
        stop := coalesce(ends[2], CASE WHEN part[1] = '*' OR part[4] IS NOT NULL THEN high
                                       ELSE start END);
        IF start < low OR stop > high OR start > stop OR step = 0 THEN
            RAISE EXCEPTION 'cron "%", character %: "%" is no % from % to %', cron, at, item,
                what, low, high USING ERRCODE = 'LF010',
                HINT = 'A range goes upwards and a step is at least 1.';
        END IF;
        FOR i IN 0..(stop - start) / step LOOP
            mask := mask | (1::bigint << (start + i * step));
        END LOOP;
        at := at + length(item) + 1;
    END LOOP;
    RETURN mask;
END $$;

-- As 0004_compare made it.

CREATE OR REPLACE FUNCTION sea.t_quantile(p float8, df float8) RETURNS float8
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    low float8 := 0;
    high float8 := 2;
    middle float8;
BEGIN
    IF p IS NULL OR df IS NULL OR df <= 0 OR p <= 0 OR p >= 1 THEN
        RETURN NULL;
    ELSIF p < 0.5 THEN
        RETURN -sea.t_quantile(1 - p, df);
    END IF;
    WHILE sea.t_p_value(high, df) > 2 * (1 - p) LOOP
        high := 2 * high;
    END LOOP;
    WHILE high - low > 1e-11 * high LOOP
        middle := (low + high) / 2;
        IF sea.t_p_value(middle, df) > 2 * (1 - p) THEN
            low := middle;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN (low + high) / 2;
END $$;

CREATE OR REPLACE FUNCTION sea.sign_test(more bigint, less bigint) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN more + less = 0 OR more = less THEN 1
                ELSE least(1, 2 * sea.beta_share(greatest(more, less),
                                                 least(more, less) + 1, 0.5)) END;
$$;

DROP FUNCTION sea.may_change(text);

DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
