-- Purpose: tenants apart from each other where names of their own could bring them together, and
--          pauses of several queues that end without a deadlock.
-- Breaking: no.
-- Locks and scans: ACCESS EXCLUSIVE on experiment while its index of submit keys is built anew.
-- Run before: nothing.

-- Policies call this as whoever asks, and a temporary table comes before one of pg_catalog: who
-- made a pg_roles of their own was a member of any tenant.
ALTER FUNCTION sea.own_tenant() SET search_path = pg_catalog, pg_temp;

-- A key is its tenant's: another one that uses the same word learns of no experiment, and keeps
-- nobody from it.
ALTER TABLE sea.experiment DROP CONSTRAINT experiment_submit_key_unique,
    ADD CONSTRAINT experiment_submit_key_unique UNIQUE (tenant, submit_key);
COMMENT ON COLUMN sea.experiment.submit_key IS 'Idempotency key of the submission: the same key of the same tenant again gives this experiment';

CREATE OR REPLACE FUNCTION sea.submit(config jsonb, idempotency_key text DEFAULT NULL,
                           retry_of bigint DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    p_config ALIAS FOR $1;
    p_key ALIAS FOR $2;
    p_retry_of ALIAS FOR $3;
    digest text;
    found_digest text;
    experiment bigint;
    stages CONSTANT text[] := ARRAY['foundation', 'label', 'align', 'tune', 'eval'];
    parents CONSTANT jsonb := '{"foundation": [], "label": ["foundation"],
        "align": ["foundation", "label"], "tune": ["foundation", "align"], "eval": ["tune"]}';
    one text;
    id bigint;
    ids jsonb := '{}';          -- of the stages that later ones may read
    unmet integer;
    mine CONSTANT text := sea.own_tenant();
    -- foundation is read where a model's path says so, else it only runs
    made boolean := coalesce(p_config #>> '{model,vision,path}' LIKE '@foundation%', false)
                 OR coalesce(p_config #>> '{model,language,path}' LIKE '@foundation%', false);
BEGIN
    IF jsonb_typeof(p_config) IS DISTINCT FROM 'object'
       OR coalesce(p_config->>'name', '') = '' THEN
        RAISE EXCEPTION 'the configuration is not a map with a name' USING ERRCODE = 'LF010',
            HINT = 'Submit a resolved experiment; `sea submit FILE` makes one from a file.';
    END IF;
    IF jsonb_typeof(p_config->'stages') IS DISTINCT FROM 'object'
       OR p_config->'stages' = '{}' THEN
        RAISE EXCEPTION 'experiment "%" has no stages', p_config->>'name'
            USING ERRCODE = 'LF010', HINT = 'Name at least one of: '
                || array_to_string(stages, ', ') || '.';
    END IF;
    SELECT k INTO one FROM jsonb_object_keys(p_config->'stages') AS k WHERE k <> ALL (stages);
    IF FOUND THEN
        RAISE EXCEPTION 'experiment "%" has the unknown stage "%"', p_config->>'name', one
            USING ERRCODE = 'LF010', HINT = 'Known: ' || array_to_string(stages, ', ') || '.';
    END IF;
    IF p_config ? 'sweep' AND p_config->'sweep' <> 'null' THEN
        RAISE EXCEPTION 'experiment "%" has a sweep', p_config->>'name' USING ERRCODE = 'LF010',
            HINT = 'Submit one experiment per combination; `sea submit FILE` does.';
    END IF;
    digest := encode(sha256(convert_to(p_config::text, 'UTF8')), 'hex');
    -- Looks first: a refused insert would use an id up. Then waits for a rival with the same
    -- key, and finds its row in a new statement.
    IF NOT EXISTS (SELECT FROM sea.experiment e WHERE e.tenant = mine AND e.submit_key = p_key) THEN
        INSERT INTO sea.experiment (name, config, config_digest, submit_key, retry_of)
        VALUES (p_config->>'name', p_config, digest, p_key, p_retry_of)
            ON CONFLICT (tenant, submit_key) DO NOTHING
        RETURNING sea.experiment.id INTO experiment;
    END IF;
    IF experiment IS NULL THEN
        SELECT e.id, e.config_digest INTO STRICT experiment, found_digest
          FROM sea.experiment e WHERE e.tenant = mine AND e.submit_key = p_key;
        IF found_digest <> digest THEN
            RAISE EXCEPTION 'key "%" was used for experiment % with another configuration',
                p_key, experiment USING ERRCODE = 'LF011',
                HINT = 'Use another key, or submit the same configuration again.';
        END IF;
        RETURN experiment;
    END IF;
    FOREACH one IN ARRAY stages LOOP
        CONTINUE WHEN NOT p_config->'stages' ? one;
        SELECT count(*) INTO unmet FROM jsonb_array_elements_text(parents->one) AS p
         WHERE ids ? p;
        INSERT INTO sea.stage_run (experiment_id, stage, state, unmet, queue, priority, timeout_ms)
        VALUES (experiment, one, CASE WHEN unmet = 0 THEN 'waiting' ELSE 'blocked' END, unmet,
                coalesce(p_config #>> '{resources,queue}', 'default'),
                coalesce((p_config #>> '{resources,priority}')::integer, 0),
                nullif((p_config #>> '{resources,hours}')::float8, 0) * 3600000)
        RETURNING sea.stage_run.id INTO id;
        INSERT INTO sea.stage_dep (child_id, parent_id)
        SELECT id, (ids->>p)::bigint FROM jsonb_array_elements_text(parents->one) AS p
         WHERE ids ? p;
        IF one <> 'foundation' OR made THEN
            ids := ids || jsonb_build_object(one, id);
        END IF;
    END LOOP;
    INSERT INTO sea.event (experiment_id, kind, text)
    VALUES (experiment, 'state', 'submitted');
    PERFORM pg_notify('sea_submit', '');
    RETURN experiment;
END $$;

CREATE OR REPLACE FUNCTION sea.wake() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    due bigint[];
    one integer;
BEGIN
    SELECT array_agg(d.id) INTO due FROM (
        SELECT s.id FROM sea.stage_run s
         WHERE s.state = 'backoff'
           AND s.id = ANY (ARRAY(
               SELECT t.stage_id FROM sea.todo t
                WHERE t.list = 'backoff' AND t.queue = ''
                  AND t.rank <= clock_timestamp()               -- fence: wake_due
                ORDER BY t.rank LIMIT 100))
         ORDER BY s.id
           FOR NO KEY UPDATE SKIP LOCKED) AS d;
    -- The marks of all their queues, in one order: the updates take them as they come, and two
    -- schedulers could wait for each other. See sea.lower_mark.
    FOR one IN SELECT DISTINCT hashtext(s.queue) FROM sea.stage_run s
                WHERE s.id = ANY (due) ORDER BY 1
    LOOP
        PERFORM pg_advisory_xact_lock(1935819115, one);
    END LOOP;
    UPDATE sea.stage_run AS s
       SET state = 'ready', ready_at = clock_timestamp(), run_at = NULL
     WHERE s.id = ANY (due);
    RETURN coalesce(cardinality(due), 0);
END $$;

SET LOCAL client_min_messages = warning;
DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
