-- Purpose: everything that changes the state of the service, as functions.
-- Breaking: no. Locks and scans: none, functions only.
-- Run before: nothing.
--
-- Errors: LF001 the attempt has lost its lease; LF010 to LF012 what was asked cannot be done
-- (a configuration, a key used twice, no such experiment). Decisions about time use
-- clock_timestamp(): now() is the start of the transaction and may be old once a lock is held.
-- A line that ends with "fence: NAME" keeps out what may not write. test_fence removes each,
-- and each must be missed; "behind OTHER" is a second layer, tried with OTHER removed as well (tests/scheduler/test_fence.c).
-- Lock order: see 0001. Callers run each function as a transaction of its own, at READ
-- COMMITTED: a row is looked at again after its lock was waited for.

-- ---- guards ----

CREATE FUNCTION sea.stage_run_guard() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.last_epoch < OLD.last_epoch THEN
        RAISE EXCEPTION 'stage run %: last_epoch cannot go from % to %',
            OLD.id, OLD.last_epoch, NEW.last_epoch USING ERRCODE = 'LF020';
    END IF;
    IF NEW.state = OLD.state THEN
        IF OLD.ended_at IS NOT NULL THEN
            RAISE EXCEPTION 'stage run % is %: it does not change any more', OLD.id, OLD.state
                USING ERRCODE = 'LF020';
        END IF;
        RETURN NEW;
    END IF;
    IF (OLD.state, NEW.state) NOT IN (
        ('blocked', 'waiting'), ('blocked', 'skipped'), ('blocked', 'cancelled'),
        ('waiting', 'cached'), ('waiting', 'ready'), ('waiting', 'failed'),
        ('waiting', 'cancelled'),
        ('ready', 'running'), ('ready', 'cancelled'),
        ('running', 'done'), ('running', 'backoff'), ('running', 'failed'),
        ('running', 'quarantined'), ('running', 'cancelled'),
        ('backoff', 'ready'), ('backoff', 'cancelled'),
        ('quarantined', 'ready'), ('quarantined', 'failed'), ('quarantined', 'cancelled')) THEN
        RAISE EXCEPTION 'stage run %: no way from % to %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'LF020';
    END IF;
    INSERT INTO sea.event (experiment_id, stage_id, epoch, level, kind, text)
    VALUES (NEW.experiment_id, NEW.id, NULLIF(NEW.last_epoch, 0),
            CASE WHEN NEW.state IN ('failed', 'quarantined') THEN 'error'
                 WHEN NEW.state IN ('backoff', 'skipped', 'cancelled') THEN 'warn'
                 ELSE 'info' END,
            'state', NEW.stage || ': ' || OLD.state || ' -> ' || NEW.state
                     || coalesce(': ' || NEW.reason, ''));
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sea.stage_run_guard() IS 'Trigger: refuses transitions that the state machine does not have and epochs that shrink; writes one event per transition.';
CREATE TRIGGER stage_run_guard BEFORE UPDATE ON sea.stage_run
    FOR EACH ROW EXECUTE FUNCTION sea.stage_run_guard();
COMMENT ON TRIGGER stage_run_guard ON sea.stage_run IS 'See sea.stage_run_guard()';

CREATE FUNCTION sea.experiment_guard() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state IS DISTINCT FROM OLD.state
       AND (OLD.state, NEW.state) NOT IN (
        ('queued', 'running'), ('queued', 'cancelling'), ('queued', 'succeeded'),
        ('queued', 'failed'), ('queued', 'cancelled'), ('running', 'cancelling'),
        ('running', 'succeeded'), ('running', 'failed'), ('running', 'cancelled'),
        ('cancelling', 'succeeded'), ('cancelling', 'failed'), ('cancelling', 'cancelled')) THEN
        RAISE EXCEPTION 'experiment %: no way from % to %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'LF020';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sea.experiment_guard() IS 'Trigger: refuses transitions of experiments that the state machine does not have.';
CREATE TRIGGER experiment_guard BEFORE UPDATE ON sea.experiment
    FOR EACH ROW EXECUTE FUNCTION sea.experiment_guard();
COMMENT ON TRIGGER experiment_guard ON sea.experiment IS 'See sea.experiment_guard()';

CREATE FUNCTION sea.assert_lease(p_stage_id bigint, p_epoch bigint, p_secret uuid, p_what text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM sea.lease
      WHERE stage_id = p_stage_id
        AND epoch = p_epoch                                     -- fence: end_epoch behind commit_running by forged
        AND secret = p_secret                                   -- fence: end_secret
        FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % of stage run % has lost its lease: % refused',
            p_epoch, p_stage_id, p_what USING ERRCODE = 'LF001';
    END IF;
END $$;
COMMENT ON FUNCTION sea.assert_lease(bigint, bigint, uuid, text) IS 'Locks the lease of an attempt against everybody, or raises LF001. First in each transaction that ends an attempt.';

CREATE FUNCTION sea.assert_lease_shared(p_stage_id bigint, p_epoch bigint, p_secret uuid,
                                        p_what text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- Stops a rescue (it deletes the row) and not a heartbeat (it updates no key column).
    PERFORM 1 FROM sea.lease
      WHERE stage_id = p_stage_id
        AND epoch = p_epoch                                     -- fence: add_epoch
        AND secret = p_secret                                   -- fence: add_secret
        FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % of stage run % has lost its lease: % refused',
            p_epoch, p_stage_id, p_what USING ERRCODE = 'LF001';
    END IF;
END $$;
COMMENT ON FUNCTION sea.assert_lease_shared(bigint, bigint, uuid, text) IS 'Holds the lease of an attempt beside its heartbeats, or raises LF001. First in each transaction that adds to an attempt. Never followed by assert_lease in one transaction.';

-- ---- parts of transitions (for the functions below, not for clients) ----

CREATE FUNCTION sea.finish_experiment(p_experiment_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM sea.stage_run
                WHERE experiment_id = p_experiment_id AND ended_at IS NULL) THEN
        RETURN;
    END IF;
    UPDATE sea.experiment AS e
       SET state = CASE
               WHEN NOT EXISTS (SELECT FROM sea.stage_run s
                                 WHERE s.experiment_id = e.id
                                   AND s.state NOT IN ('done', 'cached')) THEN 'succeeded'
               WHEN e.cancel_requested_at IS NOT NULL THEN 'cancelled'
               ELSE 'failed' END,
           ended_at = clock_timestamp()
     WHERE e.id = p_experiment_id AND e.ended_at IS NULL;
END $$;
COMMENT ON FUNCTION sea.finish_experiment(bigint) IS 'Part of transitions: ends the experiment when all its stage runs have ended. Two that end at once may both see the other unfinished: sea.sweep looks again.';

CREATE FUNCTION sea.begin_experiment(p_experiment_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    -- Looks before it locks: only the first stage run of an experiment waits for the row.
    IF EXISTS (SELECT FROM sea.experiment WHERE id = p_experiment_id AND state = 'queued') THEN
        UPDATE sea.experiment SET state = 'running', started_at = clock_timestamp()
         WHERE id = p_experiment_id AND state = 'queued';
    END IF;
END $$;
COMMENT ON FUNCTION sea.begin_experiment(bigint) IS 'Part of transitions: queued to running, with the first stage run.';

CREATE FUNCTION sea.promote_children(p_stage_id bigint) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    child bigint;
    promoted integer := 0;
BEGIN
    FOR child IN
        SELECT s.id FROM sea.stage_run s JOIN sea.stage_dep d ON d.child_id = s.id
         WHERE d.parent_id = p_stage_id
         ORDER BY s.id
           FOR NO KEY UPDATE OF s
    LOOP
        UPDATE sea.stage_run
           SET unmet = unmet - 1,
               state = CASE WHEN unmet = 1 THEN 'waiting' ELSE state END
         WHERE id = child AND state = 'blocked';
        promoted := promoted + 1;
    END LOOP;
    RETURN promoted;
END $$;
COMMENT ON FUNCTION sea.promote_children(bigint) IS 'Part of a commit: one parent less for each child; at none the child waits for its key.';

CREATE FUNCTION sea.publish_cache(p_stage_id bigint, p_epoch bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    run sea.stage_run;
    known text;
BEGIN
    SELECT * INTO STRICT run FROM sea.stage_run WHERE id = p_stage_id;
    INSERT INTO sea.stage_cache (key, stage_id, epoch, output_digest)
    VALUES (run.key, p_stage_id, p_epoch, run.output_digest)
        ON CONFLICT (key) DO NOTHING;
    IF NOT FOUND THEN
        SELECT output_digest INTO known FROM sea.stage_cache WHERE key = run.key;
        IF known <> run.output_digest THEN
            INSERT INTO sea.event (experiment_id, stage_id, epoch, level, kind, text)
            VALUES (run.experiment_id, p_stage_id, p_epoch, 'error', 'cache',
                    run.stage || ': output ' || run.output_digest || ' differs from ' || known
                    || ' for the same stage key ' || run.key);
        END IF;
    END IF;
    DELETE FROM sea.flight WHERE key = run.key AND stage_id = p_stage_id;
END $$;
COMMENT ON FUNCTION sea.publish_cache(bigint, bigint) IS 'Part of a commit: the output serves every stage run with this key from now on; the flight ends. Another output for a known key is recorded as an error.';

CREATE FUNCTION sea.abandon(p_stage_id bigint, p_state text, p_reason text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    run sea.stage_run;
    child bigint;
BEGIN
    UPDATE sea.stage_run
       SET state = p_state, reason = p_reason, ended_at = clock_timestamp()
     WHERE id = p_stage_id RETURNING * INTO STRICT run;
    FOR child IN
        WITH RECURSIVE below (id) AS (
            SELECT child_id FROM sea.stage_dep WHERE parent_id = p_stage_id
            UNION
            SELECT d.child_id FROM sea.stage_dep d JOIN below b ON d.parent_id = b.id)
        SELECT s.id FROM sea.stage_run s
         WHERE s.id IN (SELECT id FROM below) AND s.state = 'blocked'
         ORDER BY s.id
           FOR NO KEY UPDATE
    LOOP
        UPDATE sea.stage_run
           SET state = 'skipped', reason = run.stage || ' was ' || p_state,
               ended_at = clock_timestamp()
         WHERE id = child AND state = 'blocked';
    END LOOP;
    DELETE FROM sea.flight WHERE key = run.key AND stage_id = p_stage_id;
    PERFORM sea.finish_experiment(run.experiment_id);
END $$;
COMMENT ON FUNCTION sea.abandon(bigint, text, text) IS 'Part of transitions: ends a stage run without output, skips what depends on it, lets a waiter take over its key.';

CREATE FUNCTION sea.end_attempt(p_stage_id bigint, p_epoch bigint, p_state text, p_class text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sea.attempt SET state = p_state, class = p_class, ended_at = clock_timestamp()
     WHERE stage_id = p_stage_id AND epoch = p_epoch AND ended_at IS NULL;
    DELETE FROM sea.lease WHERE stage_id = p_stage_id AND epoch = p_epoch;
    -- Without a lease no call of the attempt is accepted: nothing needs its numbers any more.
    DELETE FROM sea.batch WHERE stage_id = p_stage_id AND epoch = p_epoch;
    DELETE FROM sea.pin WHERE stage_id = p_stage_id AND epoch = p_epoch;
    UPDATE sea.slot SET stage_id = NULL, epoch = NULL
     WHERE stage_id = p_stage_id AND epoch = p_epoch;
    IF p_state <> 'committed' THEN
        DELETE FROM sea.answer WHERE stage_id = p_stage_id AND epoch = p_epoch;
    END IF;
END $$;
COMMENT ON FUNCTION sea.end_attempt(bigint, bigint, text, text) IS 'Part of transitions: closes the history of an attempt, removes its lease, already locked, and with it batch numbers, pins, slots, and answers that do not count.';

CREATE FUNCTION sea.give_back(p_stage_id bigint, p_epoch bigint, p_class text, p_reason text,
                              p_delay_ms bigint)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    run sea.stage_run;
    counted boolean := coalesce(p_class IN ('error', 'oom', 'timeout'), false);
    lost boolean := coalesce(p_class IN ('infra', 'preempted', 'lost'), false);
    target text;
BEGIN
    SELECT * INTO run FROM sea.stage_run
     WHERE id = p_stage_id
       AND state = 'running' AND last_epoch = p_epoch           -- fence: end_running behind fail
       FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % of stage run % is not the running one', p_epoch, p_stage_id
            USING ERRCODE = 'LF001';
    END IF;
    target := CASE
        WHEN run.cancel_requested_at IS NOT NULL THEN 'cancelled'
        WHEN p_class = 'invalid' THEN 'failed'
        WHEN counted AND run.failures + 1 >= run.failures_max THEN 'failed'
        WHEN lost AND run.losses + 1 > run.losses_max THEN 'quarantined'
        ELSE 'backoff' END;
    UPDATE sea.stage_run
       SET failures = failures + counted::integer,
           losses = losses + lost::integer,
           state = CASE WHEN target IN ('backoff', 'quarantined') THEN target ELSE state END,
           reason = p_reason,
           run_at = CASE WHEN target = 'backoff' THEN clock_timestamp() + interval '1 ms' *
               CASE WHEN counted THEN backoff_ms * (2 ^ least(failures, 10))
                    WHEN p_class = 'infra' THEN backoff_ms * (2 ^ least(losses, 5))
                    ELSE p_delay_ms END END
     WHERE id = p_stage_id;
    IF target IN ('failed', 'cancelled') THEN
        PERFORM sea.abandon(p_stage_id, target,
                            CASE WHEN target = 'cancelled' THEN 'cancelled on request'
                                 ELSE p_reason END);
    END IF;
    RETURN target;
END $$;
COMMENT ON FUNCTION sea.give_back(bigint, bigint, text, text, bigint) IS 'Part of transitions: running to backoff, failed, quarantined or cancelled, as the class of the end, the budgets and a cancel request say.';

-- ---- clients ----

CREATE FUNCTION sea.submit(config jsonb, idempotency_key text DEFAULT NULL,
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
    IF NOT EXISTS (SELECT FROM sea.experiment e WHERE e.submit_key = p_key) THEN
        INSERT INTO sea.experiment (name, config, config_digest, submit_key, retry_of)
        VALUES (p_config->>'name', p_config, digest, p_key, p_retry_of)
            ON CONFLICT (submit_key) DO NOTHING
        RETURNING sea.experiment.id INTO experiment;
    END IF;
    IF experiment IS NULL THEN
        SELECT e.id, e.config_digest INTO STRICT experiment, found_digest
          FROM sea.experiment e WHERE e.submit_key = p_key;
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
COMMENT ON FUNCTION sea.submit(jsonb, text, bigint) IS 'Queues a resolved experiment with all its stage runs and returns its id. resources.queue, .priority and .hours of the configuration say where, how urgent, and how long one attempt may take. The same idempotency_key and configuration again return the first id; another configuration is refused.';

CREATE FUNCTION sea.cancel(experiment_id bigint) RETURNS text
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
COMMENT ON FUNCTION sea.cancel(bigint) IS 'Asks for the end of an experiment and returns its state: what does not run is cancelled at once, what runs is told with its next heartbeat. An ended experiment stays as it is.';

CREATE FUNCTION sea.retry(experiment_id bigint) RETURNS bigint
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
COMMENT ON FUNCTION sea.retry(bigint) IS 'Submits a failed or cancelled experiment again and returns the new id. Stages that had finished are found in the cache; interrupted ones go on from their last checkpoint.';

CREATE FUNCTION sea.release_quarantine(stage_id bigint, note text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sea.stage_run
       SET state = 'ready', ready_at = clock_timestamp(), losses = 0, reason = $2
     WHERE id = $1 AND state = 'quarantined';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'stage run % is not in quarantine', $1 USING ERRCODE = 'LF012';
    END IF;
END $$;
COMMENT ON FUNCTION sea.release_quarantine(bigint, text) IS 'For operators: tries a quarantined stage run again with a fresh budget of losses. The note tells why.';

CREATE FUNCTION sea.give_up_quarantine(stage_id bigint, note text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM sea.stage_run WHERE id = $1 AND state = 'quarantined' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'stage run % is not in quarantine', $1 USING ERRCODE = 'LF012';
    END IF;
    PERFORM sea.abandon($1, 'failed', $2);
END $$;
COMMENT ON FUNCTION sea.give_up_quarantine(bigint, text) IS 'For operators: a quarantined stage run fails, and a waiter with its key takes over. The note tells why.';

CREATE FUNCTION sea.set_priority(experiment_id bigint, priority integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    changed bigint;
BEGIN
    PERFORM 1 FROM sea.stage_run s
      WHERE s.experiment_id = $1 AND s.ended_at IS NULL ORDER BY s.id FOR NO KEY UPDATE;
    UPDATE sea.stage_run AS s SET priority = $2 + s.aged
     WHERE s.experiment_id = $1 AND s.ended_at IS NULL;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed = 0 THEN
        RAISE EXCEPTION 'experiment % has no stage that could still run', $1
            USING ERRCODE = 'LF012';
    END IF;
    RETURN changed;
END $$;
COMMENT ON FUNCTION sea.set_priority(bigint, integer) IS 'Higher ones are claimed first; returns how many stage runs it changed. Waiting adds one per ten minutes, 100 at most.';

CREATE FUNCTION sea.set_limit(kind text, name text, slots integer) RETURNS void
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
COMMENT ON FUNCTION sea.set_limit(text, text, integer) IS 'At most so many stage runs of a queue (kind queue) or of a database user (kind user) run at once; 0 holds them, NULL lifts the limit. Under a lowered limit nothing starts until those above it have ended.';

CREATE FUNCTION sea.drain(worker_id bigint, how text DEFAULT 'finish') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF $2 NOT IN ('finish', 'checkpoint') THEN
        RAISE EXCEPTION 'a worker drains by finish or checkpoint, not by %', $2
            USING ERRCODE = 'LF010';
    END IF;
    UPDATE sea.worker SET state = 'draining', drain = $2
     WHERE id = $1 AND ended_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'worker % is not there', $1 USING ERRCODE = 'LF012',
            HINT = 'SELECT id, host, pid, state FROM sea.worker WHERE ended_at IS NULL;';
    END IF;
END $$;
COMMENT ON FUNCTION sea.drain(bigint, text) IS 'For operators: a worker claims no more and leaves, after its stage (finish) or after a checkpoint of it (checkpoint).';

-- ---- workers ----

CREATE FUNCTION sea.register_worker(p_host text, p_pid bigint, p_device text, p_queue text,
                                    p_ttl_ms integer)
RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO sea.worker (host, pid, device, queue, ttl_ms)
    VALUES (p_host, p_pid, p_device, p_queue, p_ttl_ms)
    RETURNING id;
$$;
COMMENT ON FUNCTION sea.register_worker(text, bigint, text, text, integer) IS 'A new worker process; returns its id.';

CREATE FUNCTION sea.worker_beat(p_worker_id bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    how text;
BEGIN
    UPDATE sea.worker
       SET seen_at = clock_timestamp(),
           state = CASE WHEN state = 'suspect' THEN 'active' ELSE state END
     WHERE id = p_worker_id AND ended_at IS NULL
    RETURNING drain INTO how;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'worker % was given up: it has to register again', p_worker_id
            USING ERRCODE = 'LF001';
    END IF;
    RETURN how;
END $$;
COMMENT ON FUNCTION sea.worker_beat(bigint) IS 'An idle worker lives. Returns how it is to leave, if it is. LF001: it was given up and registers again.';

CREATE FUNCTION sea.worker_state(p_worker_id bigint, p_state text) RETURNS void
LANGUAGE sql AS $$
    UPDATE sea.worker
       SET state = p_state, seen_at = clock_timestamp(),
           drain = CASE WHEN p_state = 'draining' THEN coalesce(drain, 'checkpoint') ELSE drain END,
           ended_at = CASE WHEN p_state = 'gone' THEN clock_timestamp() END
     WHERE id = p_worker_id AND ended_at IS NULL;
$$;
COMMENT ON FUNCTION sea.worker_state(bigint, text) IS 'A worker drains (claims no more) or leaves (gone).';

CREATE FUNCTION sea.take_slot(p_kind text, p_name text, OUT is_limited boolean, OUT number integer)
LANGUAGE plpgsql AS $$
DECLARE
    slots integer;
BEGIN
    SELECT c.slots_max INTO slots FROM sea.concurrency c WHERE c.kind = p_kind AND c.name = p_name;
    is_limited := FOUND;
    IF is_limited THEN
        SELECT s.number INTO number FROM sea.slot s
         WHERE s.kind = p_kind AND s.name = p_name AND s.number <= slots
           AND s.stage_id IS NULL                               -- fence: slot_free
           AND NOT EXISTS (SELECT FROM sea.slot t               -- of a limit that was lowered
                            WHERE t.kind = p_kind AND t.name = p_name AND t.number > slots
                              AND t.stage_id IS NOT NULL)
         ORDER BY s.number
         LIMIT 1 FOR UPDATE SKIP LOCKED;
    END IF;
END $$;
COMMENT ON FUNCTION sea.take_slot(text, text) IS 'Part of a claim: locks a free slot of a limit, without waiting. number is empty when none is free.';

CREATE FUNCTION sea.claim(p_worker_id bigint, p_queue text, p_ttl_ms integer)
RETURNS TABLE (stage_id bigint, epoch bigint, secret uuid, experiment_id bigint, stage text,
               key text, config jsonb, timeout_ms bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    run sea.stage_run;
    picked bigint;
    picked_owner text;
    full_owners text[] := '{}';
    limited boolean;
    by_queue record;
    by_user record;
    lease_secret uuid := gen_random_uuid();
BEGIN
    IF NOT EXISTS (SELECT FROM sea.worker
                    WHERE id = p_worker_id
                      AND state IN ('active', 'suspect')        -- fence: claim_worker
                  ) THEN
        RETURN;
    END IF;
    limited := EXISTS (SELECT FROM sea.concurrency);
    IF limited THEN
        by_queue := sea.take_slot('queue', p_queue);
        IF by_queue.is_limited AND by_queue.number IS NULL THEN
            RETURN;
        END IF;
    END IF;
    LOOP
        SELECT s.id, s.owner INTO picked, picked_owner FROM sea.stage_run AS s
         WHERE s.queue = p_queue AND s.owner <> ALL (full_owners)
           AND s.state = 'ready'                                -- fence: claim_ready
         ORDER BY s.priority DESC, s.ready_at, s.id
         LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN;
        END IF;
        EXIT WHEN NOT limited;
        by_user := sea.take_slot('user', picked_owner);
        EXIT WHEN NOT by_user.is_limited OR by_user.number IS NOT NULL;
        full_owners := full_owners || picked_owner;
    END LOOP;
    UPDATE sea.stage_run AS s
       SET state = 'running', last_epoch = s.last_epoch + 1, reason = NULL,
           priority = s.priority - s.aged, aged = 0
     WHERE s.id = picked
    RETURNING s.* INTO run;
    INSERT INTO sea.lease (stage_id, epoch, worker_id, secret, expires_at)
    VALUES (run.id, run.last_epoch, p_worker_id, lease_secret,
            clock_timestamp() + p_ttl_ms * interval '1 ms');
    INSERT INTO sea.attempt (stage_id, epoch, worker_id)
    VALUES (run.id, run.last_epoch, p_worker_id);
    IF limited THEN
        UPDATE sea.slot AS t SET stage_id = run.id, epoch = run.last_epoch
         WHERE (t.kind = 'queue' AND t.name = p_queue AND t.number = by_queue.number)
            OR (t.kind = 'user' AND t.name = run.owner AND t.number = by_user.number);
    END IF;
    PERFORM sea.begin_experiment(run.experiment_id);
    RETURN QUERY
    SELECT run.id, run.last_epoch, lease_secret, run.experiment_id, run.stage, run.key, e.config,
           run.timeout_ms
      FROM sea.experiment e WHERE e.id = run.experiment_id;
END $$;
COMMENT ON FUNCTION sea.claim(bigint, text, integer) IS 'Takes the first ready stage run of a queue, within the limits of the queue and of the users: one row with its lease, or none. Two callers never get one stage run and never wait for each other.';

CREATE FUNCTION sea.start_attempt(p_stage_id bigint, p_epoch bigint, p_secret uuid, p_pid bigint,
                                  p_resumed_stage_id bigint, p_resumed_epoch bigint,
                                  p_resumed_step bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM sea.assert_lease_shared(p_stage_id, p_epoch, p_secret, 'start'); -- fence: start
    UPDATE sea.attempt
       SET state = 'started', started_at = clock_timestamp(), pid = p_pid,
           resumed_stage_id = p_resumed_stage_id, resumed_epoch = p_resumed_epoch,
           resumed_step = p_resumed_step
     WHERE stage_id = p_stage_id AND epoch = p_epoch
       AND (state = 'claimed' OR pid = p_pid)                   -- fence: start_once
       AND ended_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % of stage run % was started before', p_epoch, p_stage_id
            USING ERRCODE = 'LF001';
    END IF;
END $$;
COMMENT ON FUNCTION sea.start_attempt(bigint, bigint, uuid, bigint, bigint, bigint, bigint) IS 'The stage''s process runs, from the given checkpoint if any. Once per attempt.';

CREATE FUNCTION sea.heartbeat(p_stage_id bigint, p_epoch bigint, p_secret uuid, p_ttl_ms integer,
                              OUT cancel boolean, OUT drain text)
LANGUAGE plpgsql AS $$
DECLARE
    holder bigint;
BEGIN
    UPDATE sea.lease SET expires_at = clock_timestamp() + p_ttl_ms * interval '1 ms'
     WHERE stage_id = p_stage_id
       AND epoch = p_epoch                                      -- fence: beat_epoch
       AND secret = p_secret                                    -- fence: beat_secret
    RETURNING worker_id INTO holder;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % of stage run % has lost its lease: heartbeat refused',
            p_epoch, p_stage_id USING ERRCODE = 'LF001';
    END IF;
    UPDATE sea.worker
       SET seen_at = clock_timestamp(),
           state = CASE WHEN state = 'suspect' THEN 'active' ELSE state END
     WHERE id = holder AND ended_at IS NULL
    RETURNING worker.drain INTO drain;
    SELECT cancel_requested_at IS NOT NULL INTO cancel FROM sea.stage_run WHERE id = p_stage_id;
END $$;
COMMENT ON FUNCTION sea.heartbeat(bigint, bigint, uuid, integer) IS 'Renews a lease by the database''s clock. cancel: somebody asked for the end of this stage run. drain: how its worker is to leave, if it is. An expired lease that nobody took back is renewed, too.';

CREATE FUNCTION sea.relay(p_stage_id bigint, p_epoch bigint, p_secret uuid, p_number bigint,
                          p_payload jsonb)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    progress jsonb := p_payload->'progress';
BEGIN
    IF progress IS NULL THEN
        PERFORM sea.assert_lease_shared(p_stage_id, p_epoch, p_secret, 'batch'); -- fence: batch
    ELSE
        UPDATE sea.lease
           SET done = (progress->>0)::bigint, total = (progress->>1)::bigint,
               unit = progress->>2
         WHERE stage_id = p_stage_id
           AND epoch = p_epoch                                  -- fence: progress_epoch
           AND secret = p_secret;                               -- fence: progress_secret
        IF NOT FOUND THEN
            RAISE EXCEPTION 'attempt % of stage run % has lost its lease: batch refused',
                p_epoch, p_stage_id USING ERRCODE = 'LF001';
        END IF;
    END IF;
    INSERT INTO sea.batch (stage_id, epoch, number) VALUES (p_stage_id, p_epoch, p_number)
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO sea.metric (stage_id, epoch, name, step, value)
    SELECT p_stage_id, p_epoch, m->>0, (m->>1)::bigint, coalesce(m->>2, 'NaN')::float8
      FROM jsonb_array_elements(p_payload->'metrics') AS m;
    INSERT INTO sea.event (experiment_id, stage_id, epoch, level, kind, text)
    SELECT s.experiment_id, s.id, p_epoch,
           CASE WHEN l->>0 IN ('debug', 'info', 'warn', 'error') THEN l->>0 ELSE 'info' END,
           'log', l->>1
      FROM sea.stage_run s, jsonb_array_elements(p_payload->'logs') AS l
     WHERE s.id = p_stage_id;
    RETURN true;
END $$;
COMMENT ON FUNCTION sea.relay(bigint, bigint, uuid, bigint, jsonb) IS 'A numbered batch of what a stage said: {"metrics": [[name, step, value]], "logs": [[level, text]], "progress": [done, total, unit]}. False: it had arrived before.';

CREATE FUNCTION sea.add_checkpoint(p_stage_id bigint, p_epoch bigint, p_secret uuid,
                                   p_step bigint, p_name text, p_files jsonb)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    replaced jsonb;
BEGIN
    PERFORM sea.assert_lease_shared(p_stage_id, p_epoch, p_secret, 'checkpoint'); -- fence: checkpoint
    SELECT coalesce(jsonb_agg(name), '[]') INTO replaced FROM sea.checkpoint
     WHERE stage_id = p_stage_id AND name <> p_name;
    INSERT INTO sea.checkpoint AS c (stage_id, epoch, step, key, name, files)
    SELECT p_stage_id, p_epoch, p_step, s.key, p_name, p_files
      FROM sea.stage_run s WHERE s.id = p_stage_id
        ON CONFLICT (stage_id) DO UPDATE
       SET epoch = excluded.epoch, step = excluded.step, name = excluded.name,
           files = excluded.files, created_at = clock_timestamp();
    RETURN replaced;
END $$;
COMMENT ON FUNCTION sea.add_checkpoint(bigint, bigint, uuid, bigint, text, jsonb) IS 'Records a kept checkpoint, the only one of its stage run. Returns the names that it replaced.';

CREATE FUNCTION sea.prepare_commit(p_stage_id bigint, p_epoch bigint, p_secret uuid,
                                   p_files jsonb, p_benchmarks jsonb)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    condemned bigint;
BEGIN
    -- Sorted: two that publish the same things insert them in one order.
    PERFORM sea.assert_lease_shared(p_stage_id, p_epoch, p_secret, 'publication'); -- fence: prepare
    INSERT INTO sea.pin (sha256, stage_id, epoch)
    SELECT DISTINCT f->>1, p_stage_id, p_epoch FROM jsonb_array_elements(p_files) AS f ORDER BY 1
        ON CONFLICT DO NOTHING;
    INSERT INTO sea.artifact (sha256, bytes)
    SELECT DISTINCT f->>1, (f->>2)::bigint FROM jsonb_array_elements(p_files) AS f ORDER BY 1
        ON CONFLICT DO NOTHING;
    INSERT INTO sea.benchmark (name, split)
    SELECT DISTINCT b->>0, b->>1 FROM jsonb_array_elements(p_benchmarks) AS b ORDER BY 1, 2
        ON CONFLICT DO NOTHING;
    -- The pins are there; now the look. The lock waits for a collector that is just deciding,
    -- and one that decides later finds the pins.
    PERFORM 1 FROM sea.artifact a
      WHERE a.sha256 IN (SELECT f->>1 FROM jsonb_array_elements(p_files) AS f)
      ORDER BY a.sha256 FOR KEY SHARE;
    -- A row that went while the lock was waited for counts like a condemned one.
    SELECT count(DISTINCT f->>1) INTO condemned FROM jsonb_array_elements(p_files) AS f
     WHERE NOT EXISTS (SELECT FROM sea.artifact a
                        WHERE a.sha256 = f->>1 AND a.condemned_at IS NULL);
    RETURN condemned;
END $$;
COMMENT ON FUNCTION sea.prepare_commit(bigint, bigint, uuid, jsonb, jsonb) IS 'Before files are published: names and pins the blobs [[path, sha256, bytes]] and names the benchmarks [[name, split]] that the commit will refer to. Returns how many of the blobs are just being removed: call again until it is none, then publish.';

CREATE FUNCTION sea.add_answers(p_stage_id bigint, p_epoch bigint, p_secret uuid,
                                p_benchmark text, p_split text, p_control boolean,
                                p_first bigint, p_rows jsonb)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM sea.assert_lease_shared(p_stage_id, p_epoch, p_secret, 'answers'); -- fence: answers
    INSERT INTO sea.answer (stage_id, epoch, benchmark_id, control, seq, item, cluster, prompt,
                            text, parsed, gold, score)
    SELECT p_stage_id, p_epoch, b.id, p_control, p_first + r.at - 1, r.row->>'id',
           r.row->>'cluster', r.row->>'prompt', r.row->>'text', r.row->'parsed',
           r.row->'gold', (r.row->>'score')::float8
      FROM jsonb_array_elements(p_rows) WITH ORDINALITY AS r (row, at)
      JOIN sea.benchmark b ON b.name = p_benchmark AND b.split = p_split
        ON CONFLICT DO NOTHING;
END $$;
COMMENT ON FUNCTION sea.add_answers(bigint, bigint, uuid, text, text, boolean, bigint, jsonb) IS 'Answers of an evaluation, numbered from p_first. They count once the attempt commits; the same ones again change nothing.';

CREATE FUNCTION sea.commit_stage(p_stage_id bigint, p_epoch bigint, p_secret uuid, p_files jsonb,
                                 p_digest text, p_scores jsonb, p_metrics jsonb DEFAULT NULL)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    run sea.stage_run;
    checkpoints jsonb;
BEGIN
    PERFORM sea.assert_lease(p_stage_id, p_epoch, p_secret, 'commit');   -- fence: commit
    INSERT INTO sea.manifest (stage_id, epoch, path, sha256, bytes)
    SELECT p_stage_id, p_epoch, f->>0, f->>1, (f->>2)::bigint
      FROM jsonb_array_elements(p_files) AS f;
    IF p_metrics IS NOT NULL THEN
        INSERT INTO sea.metric (stage_id, epoch, name, step, value)
        SELECT p_stage_id, p_epoch, m->>0, (m->>1)::bigint, coalesce(m->>2, 'NaN')::float8
          FROM jsonb_array_elements(p_metrics) AS m;
    END IF;
    IF p_scores <> '[]' THEN
        INSERT INTO sea.score (stage_id, epoch, benchmark_id, control, metric, value, scale, n, se,
                               low, high, item_n, item_mean, item_m2, clusters)
        SELECT p_stage_id, p_epoch, b.id, x.control, x.metric, x.value, coalesce(x.scale, 1), x.n,
               x.se, x.low, x.high, a.n, a.mean, a.m2, a.clusters
          FROM jsonb_to_recordset(p_scores) AS x (benchmark text, split text, control boolean,
                   metric text, value float8, scale float8, n bigint, se float8, low float8,
                   high float8)
          JOIN sea.benchmark b ON b.name = x.benchmark AND b.split = x.split
         CROSS JOIN LATERAL (
               SELECT count(w.score) AS n, avg(w.score) AS mean,
                      coalesce(var_pop(w.score), 0) * count(w.score) AS m2,
                      count(DISTINCT coalesce(w.cluster, w.item)) AS clusters
                 FROM sea.answer w
                WHERE w.stage_id = p_stage_id AND w.epoch = p_epoch
                  AND w.benchmark_id = b.id AND w.control = x.control) AS a;
    END IF;
    UPDATE sea.stage_run
       SET state = 'done', done_epoch = p_epoch, output_stage_id = p_stage_id,
           output_epoch = p_epoch, output_digest = p_digest, reason = NULL,
           ended_at = clock_timestamp()
     WHERE id = p_stage_id
       AND state = 'running' AND last_epoch = p_epoch           -- fence: commit_running behind commit
    RETURNING * INTO run;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % of stage run % is not the running one: commit refused',
            p_epoch, p_stage_id USING ERRCODE = 'LF001';
    END IF;
    PERFORM sea.promote_children(p_stage_id);
    PERFORM sea.publish_cache(p_stage_id, p_epoch);
    WITH gone AS (DELETE FROM sea.checkpoint c WHERE c.key = run.key RETURNING c.name)
    SELECT coalesce(jsonb_agg(name), '[]') INTO checkpoints FROM gone;
    PERFORM sea.end_attempt(p_stage_id, p_epoch, 'committed', NULL);
    PERFORM sea.finish_experiment(run.experiment_id);
    RETURN checkpoints;
END $$;
COMMENT ON FUNCTION sea.commit_stage(bigint, bigint, uuid, jsonb, text, jsonb, jsonb) IS 'The end of a stage run, at most once: manifest, last metrics [[name, step, value]], scores, done, children, cache, lease, in one transaction. Returns the names of checkpoints that nobody needs any more.';

CREATE FUNCTION sea.claim_batch(p_worker_id bigint, p_queue text, p_ttl_ms integer, p_most integer)
RETURNS TABLE (stage_id bigint, epoch bigint, secret uuid, experiment_id bigint, stage text,
               key text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    one record;
    turn integer;
BEGIN
    IF NOT EXISTS (SELECT FROM sea.worker
                    WHERE id = p_worker_id
                      AND state IN ('active', 'suspect')        -- fence: claim_batch_worker
                  ) THEN
        RETURN;
    END IF;
    -- Limits are counted one by one.
    IF EXISTS (SELECT FROM sea.concurrency) THEN
        FOR turn IN 1 .. p_most LOOP
            SELECT c.stage_id, c.epoch, c.secret, c.experiment_id, c.stage, c.key INTO one
              FROM sea.claim(p_worker_id, p_queue, p_ttl_ms) c;
            EXIT WHEN NOT FOUND;
            RETURN QUERY SELECT one.stage_id, one.epoch, one.secret, one.experiment_id, one.stage,
                                one.key;
        END LOOP;
        RETURN;
    END IF;
    RETURN QUERY
    WITH pick AS MATERIALIZED (
        SELECT s.id FROM sea.stage_run AS s
         WHERE s.queue = p_queue
           AND s.state = 'ready'                                -- fence: claim_batch_ready
         ORDER BY s.priority DESC, s.ready_at, s.id
         LIMIT p_most FOR NO KEY UPDATE SKIP LOCKED),
    run AS (
        UPDATE sea.stage_run AS s
           SET state = 'running', last_epoch = s.last_epoch + 1, reason = NULL,
               priority = s.priority - s.aged, aged = 0
          FROM pick WHERE s.id = pick.id
        RETURNING s.id, s.last_epoch, s.experiment_id, s.stage, s.key),
    lease AS (
        INSERT INTO sea.lease AS l (stage_id, epoch, worker_id, secret, expires_at)
        SELECT r.id, r.last_epoch, p_worker_id, gen_random_uuid(),
               clock_timestamp() + p_ttl_ms * interval '1 ms' FROM run r
        RETURNING l.stage_id, l.secret),
    attempt AS (
        INSERT INTO sea.attempt (stage_id, epoch, worker_id)
        SELECT r.id, r.last_epoch, p_worker_id FROM run r)
    SELECT r.id, r.last_epoch, l.secret, r.experiment_id, r.stage, r.key
      FROM run r JOIN lease l ON l.stage_id = r.id;
    UPDATE sea.experiment AS e SET state = 'running', started_at = clock_timestamp()
     WHERE e.state = 'queued'
       AND e.id IN (SELECT s.experiment_id FROM sea.lease l JOIN sea.stage_run s ON s.id = l.stage_id
                     WHERE l.worker_id = p_worker_id);
END $$;
COMMENT ON FUNCTION sea.claim_batch(bigint, text, integer, integer) IS 'As sea.claim, many at once: for stages that are shorter than a round trip. Each has a lease, an epoch and a secret of its own.';

CREATE FUNCTION sea.commit_batch(p_commits jsonb) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
    won bigint[];
    one bigint;
BEGIN
    -- All leases, then all own stage runs, then all children, each by ascending id; then keys in
    -- their order, then experiments: two batches cannot wait for each other in a circle.
    SELECT coalesce(array_agg(stage_id), '{}') INTO won FROM (
        SELECT l.stage_id
          FROM jsonb_to_recordset(p_commits) AS c (stage_id bigint, epoch bigint, secret uuid)
          JOIN sea.lease l ON l.stage_id = c.stage_id
           AND l.epoch = c.epoch                                -- fence: batch_commit_epoch behind batch_commit_secret
           AND l.secret = c.secret                              -- fence: batch_commit_secret
         ORDER BY l.stage_id FOR UPDATE OF l) AS held;
    PERFORM 1 FROM sea.stage_run s WHERE s.id = ANY (won) ORDER BY s.id FOR NO KEY UPDATE;
    INSERT INTO sea.manifest (stage_id, epoch, path, sha256, bytes)
    SELECT c.stage_id, c.epoch, f->>0, f->>1, (f->>2)::bigint
      FROM jsonb_to_recordset(p_commits) AS c (stage_id bigint, epoch bigint, files jsonb),
           jsonb_array_elements(c.files) AS f
     WHERE c.stage_id = ANY (won);
    INSERT INTO sea.metric (stage_id, epoch, name, step, value)
    SELECT c.stage_id, c.epoch, m->>0, (m->>1)::bigint, coalesce(m->>2, 'NaN')::float8
      FROM jsonb_to_recordset(p_commits) AS c (stage_id bigint, epoch bigint, metrics jsonb),
           jsonb_array_elements(c.metrics) AS m
     WHERE c.stage_id = ANY (won);
    UPDATE sea.stage_run AS s
       SET state = 'done', done_epoch = c.epoch, output_stage_id = s.id, output_epoch = c.epoch,
           output_digest = c.digest, reason = NULL, ended_at = clock_timestamp()
      FROM jsonb_to_recordset(p_commits) AS c (stage_id bigint, epoch bigint, digest text)
     WHERE s.id = c.stage_id AND s.id = ANY (won) AND s.state = 'running'
       AND s.last_epoch = c.epoch;
    FOR one IN SELECT DISTINCT d.parent_id FROM sea.stage_dep d WHERE d.parent_id = ANY (won)
                ORDER BY 1
    LOOP
        PERFORM sea.promote_children(one);
    END LOOP;
    INSERT INTO sea.stage_cache (key, stage_id, epoch, output_digest)
    SELECT s.key, s.id, s.done_epoch, s.output_digest FROM sea.stage_run s
     WHERE s.id = ANY (won) ORDER BY s.key
        ON CONFLICT (key) DO NOTHING;
    DELETE FROM sea.flight f USING (SELECT s.key, s.id FROM sea.stage_run s
                                     WHERE s.id = ANY (won) ORDER BY s.key) AS mine
     WHERE f.key = mine.key AND f.stage_id = mine.id;
    UPDATE sea.attempt AS a SET state = 'committed', ended_at = clock_timestamp()
      FROM sea.stage_run s
     WHERE s.id = ANY (won) AND a.stage_id = s.id AND a.epoch = s.done_epoch;
    DELETE FROM sea.lease WHERE stage_id = ANY (won);
    DELETE FROM sea.batch WHERE stage_id = ANY (won);
    DELETE FROM sea.pin WHERE stage_id = ANY (won);
    UPDATE sea.slot SET stage_id = NULL, epoch = NULL WHERE stage_id = ANY (won);
    FOR one IN SELECT DISTINCT s.experiment_id FROM sea.stage_run s WHERE s.id = ANY (won) ORDER BY 1
    LOOP
        PERFORM sea.finish_experiment(one);
    END LOOP;
    RETURN won;
END $$;
COMMENT ON FUNCTION sea.commit_batch(jsonb) IS 'Ends of many stage runs in one transaction: [{"stage_id", "epoch", "secret", "files": [[path, sha256, bytes]], "digest", "metrics": [[name, step, value]]}]. Each has its own fence: returns the ids of those that were committed; the others had lost their leases. For stages without checkpoints and scores.';

CREATE FUNCTION sea.commit_outcome(p_stage_id bigint, p_epoch bigint, p_secret uuid)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    run sea.stage_run;
BEGIN
    -- The lock waits for a commit whose answer was lost and that is still under way.
    PERFORM 1 FROM sea.lease
      WHERE stage_id = p_stage_id AND epoch = p_epoch AND secret = p_secret
        FOR UPDATE;
    IF FOUND THEN
        RETURN 'open';
    END IF;
    SELECT * INTO run FROM sea.stage_run WHERE id = p_stage_id;
    RETURN CASE WHEN run.done_epoch = p_epoch THEN 'committed' ELSE 'lost' END;
END $$;
COMMENT ON FUNCTION sea.commit_outcome(bigint, bigint, uuid) IS 'After a commit without an answer: committed, open (nothing happened, send it again) or lost.';

CREATE FUNCTION sea.fail_attempt(p_stage_id bigint, p_epoch bigint, p_secret uuid, p_class text,
                                 p_exit_status integer, p_message text, p_hint text,
                                 p_context text, p_cause text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    PERFORM sea.assert_lease(p_stage_id, p_epoch, p_secret, 'failure');  -- fence: fail
    result := sea.give_back(p_stage_id, p_epoch, p_class, p_message,
                            CASE p_class WHEN 'preempted' THEN 0 ELSE 2000 END);
    UPDATE sea.attempt
       SET exit_status = p_exit_status, message = p_message, hint = p_hint,
           context = p_context, cause = p_cause
     WHERE stage_id = p_stage_id AND epoch = p_epoch;
    IF result = 'cancelled' THEN
        PERFORM sea.end_attempt(p_stage_id, p_epoch, 'cancelled', NULL);
    ELSE
        PERFORM sea.end_attempt(p_stage_id, p_epoch, 'failed', p_class);
    END IF;
    RETURN result;
END $$;
COMMENT ON FUNCTION sea.fail_attempt(bigint, bigint, uuid, text, integer, text, text, text, text) IS 'An attempt ended badly. Returns the new state of the stage run: backoff, failed, quarantined or cancelled.';

CREATE FUNCTION sea.release_attempt(p_stage_id bigint, p_epoch bigint, p_secret uuid,
                                    p_reason text, p_delay_ms bigint)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    PERFORM sea.assert_lease(p_stage_id, p_epoch, p_secret, 'release');  -- fence: release
    result := sea.give_back(p_stage_id, p_epoch, NULL, p_reason, p_delay_ms);
    PERFORM sea.end_attempt(p_stage_id, p_epoch,
                            CASE result WHEN 'cancelled' THEN 'cancelled' ELSE 'released' END,
                            NULL);
    RETURN result;
END $$;
COMMENT ON FUNCTION sea.release_attempt(bigint, bigint, uuid, text, bigint) IS 'Gives a stage run back after a checkpoint, at no cost to any budget.';

CREATE FUNCTION sea.ack_cancel(p_stage_id bigint, p_epoch bigint, p_secret uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM sea.assert_lease(p_stage_id, p_epoch, p_secret, 'cancel');   -- fence: cancel
    IF sea.give_back(p_stage_id, p_epoch, NULL, 'cancelled on request', 0) <> 'cancelled' THEN
        RAISE EXCEPTION 'nobody asked to cancel stage run %', p_stage_id USING ERRCODE = 'LF012';
    END IF;
    PERFORM sea.end_attempt(p_stage_id, p_epoch, 'cancelled', NULL);
END $$;
COMMENT ON FUNCTION sea.ack_cancel(bigint, bigint, uuid) IS 'The process of a stage run that was to be cancelled has ended.';

-- ---- schedulers ----

CREATE FUNCTION sea.rescue() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    old sea.lease;
    cancelled boolean;
BEGIN
    -- One per transaction, by the lock order. A lease that is just being renewed or committed
    -- is locked and skipped; one that was renewed meanwhile does not match any more.
    SELECT * INTO old FROM sea.lease
     WHERE true
       AND expires_at < clock_timestamp()                       -- fence: rescue_expired
     ORDER BY stage_id
     LIMIT 1 FOR UPDATE SKIP LOCKED;
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
COMMENT ON FUNCTION sea.rescue() IS 'Takes one stage run back whose lease has expired, and returns its id; NULL when there is none. Any number of schedulers may call it.';

CREATE FUNCTION sea.wake() RETURNS bigint
LANGUAGE sql AS $$
    WITH due AS MATERIALIZED (
        SELECT id FROM sea.stage_run
         WHERE state = 'backoff'
           AND run_at <= clock_timestamp()                      -- fence: wake_due
         ORDER BY id
         LIMIT 100 FOR NO KEY UPDATE SKIP LOCKED),
    woken AS (
        UPDATE sea.stage_run AS s
           SET state = 'ready', ready_at = clock_timestamp(), run_at = NULL
          FROM due
         WHERE s.id = due.id
        RETURNING s.id)
    SELECT count(*) FROM woken;
$$;
COMMENT ON FUNCTION sea.wake() IS 'Stage runs whose pause is over become ready; returns how many.';

CREATE FUNCTION sea.resolve(p_stage_id bigint, p_key text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    run sea.stage_run;
    entry sea.stage_cache;
BEGIN
    SELECT * INTO run FROM sea.stage_run
     WHERE id = p_stage_id AND state = 'waiting'
       FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 'busy';
    END IF;
    IF run.key IS DISTINCT FROM p_key THEN
        UPDATE sea.stage_run SET key = p_key WHERE id = p_stage_id;
    END IF;
    SELECT c.* INTO entry FROM sea.stage_cache c
     WHERE c.key = p_key
       AND EXISTS (SELECT FROM sea.manifest m WHERE m.stage_id = c.stage_id AND m.epoch = c.epoch);
    IF FOUND THEN
        UPDATE sea.stage_run
           SET state = 'cached', output_stage_id = entry.stage_id, output_epoch = entry.epoch,
               output_digest = entry.output_digest, ended_at = clock_timestamp(), reason = NULL
         WHERE id = p_stage_id;
        PERFORM sea.promote_children(p_stage_id);
        PERFORM sea.begin_experiment(run.experiment_id);
        PERFORM sea.finish_experiment(run.experiment_id);
        RETURN 'cached';
    END IF;
    INSERT INTO sea.flight (key, stage_id) VALUES (p_key, p_stage_id) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'waiting';
    END IF;
    -- The insert may have waited for a commit that published this key: a new statement sees
    -- it. Then the flight ends again and the next call finds the entry, so that children are
    -- never locked after a key.
    IF EXISTS (SELECT FROM sea.stage_cache WHERE key = p_key) THEN
        DELETE FROM sea.flight WHERE key = p_key;
        RETURN 'waiting';
    END IF;
    UPDATE sea.stage_run SET state = 'ready', ready_at = clock_timestamp()
     WHERE id = p_stage_id;
    RETURN 'ready';
END $$;
COMMENT ON FUNCTION sea.resolve(bigint, text) IS 'A waiting stage run learns its key: cached when an output exists, ready when nobody computes it, else waiting for the one that does. busy: somebody else is at it.';

CREATE FUNCTION sea.resolve_failed(p_stage_id bigint, p_reason text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM sea.stage_run WHERE id = p_stage_id AND state = 'waiting'
        FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        PERFORM sea.abandon(p_stage_id, 'failed', p_reason);
    END IF;
END $$;
COMMENT ON FUNCTION sea.resolve_failed(bigint, text) IS 'The key of a waiting stage run cannot be computed, now or ever: its data or models are not there.';

CREATE FUNCTION sea.sweep() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    one bigint;
BEGIN
    FOR one IN SELECT e.id FROM sea.experiment e
                WHERE e.ended_at IS NULL
                  AND NOT EXISTS (SELECT FROM sea.stage_run s
                                   WHERE s.experiment_id = e.id AND s.ended_at IS NULL)
                ORDER BY e.id
    LOOP
        PERFORM sea.finish_experiment(one);
    END LOOP;
    WITH older AS MATERIALIZED (
        SELECT id, least(100, floor(extract(epoch FROM clock_timestamp() - ready_at) / 600))::integer
                   AS aged
          FROM sea.stage_run
         WHERE state = 'ready' AND ready_at < clock_timestamp() - interval '10 min'
           AND aged < least(100, floor(extract(epoch FROM clock_timestamp() - ready_at) / 600))
         ORDER BY id
         LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE sea.stage_run AS s SET priority = s.priority - s.aged + o.aged, aged = o.aged
      FROM older o WHERE s.id = o.id;
    WITH silent AS MATERIALIZED (
        SELECT id, state FROM sea.worker
         WHERE ended_at IS NULL
           AND seen_at < clock_timestamp() - ttl_ms * interval '1 ms'
         ORDER BY id FOR NO KEY UPDATE SKIP LOCKED),
    lost AS (
        UPDATE sea.worker AS w
           SET state = CASE WHEN l.stays THEN 'suspect' ELSE 'lost' END,
               ended_at = CASE WHEN NOT l.stays THEN clock_timestamp() END
          FROM (SELECT s.id, s.state, w2.seen_at > clock_timestamp() - 3 * w2.ttl_ms * interval '1 ms'
                       OR EXISTS (SELECT FROM sea.lease x WHERE x.worker_id = s.id) AS stays
                  FROM silent s JOIN sea.worker w2 USING (id)) AS l
         WHERE w.id = l.id AND (NOT l.stays OR w.state = 'active')
        RETURNING w.id, w.state, w.host, w.pid)
    INSERT INTO sea.event (level, kind, text)
    SELECT 'warn', 'worker', 'worker ' || id || ' (' || host || ', pid ' || pid || ') is ' || state
      FROM lost;
END $$;
COMMENT ON FUNCTION sea.sweep() IS 'Ends experiments whose last stage runs ended at the same moment; lets what waits long grow more urgent; marks silent workers as suspect, later as lost.';

-- ---- the collector of files that nothing refers to ----

CREATE FUNCTION sea.condemn(p_grace_ms bigint, p_again_ms bigint, p_most integer)
RETURNS TABLE (sha256 text, bytes bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT a.sha256, a.bytes, a.condemned_at IS NULL AS is_new FROM sea.artifact a
         WHERE (a.condemned_at IS NULL
                AND a.created_at < clock_timestamp() - p_grace_ms * interval '1 ms'
                AND NOT EXISTS (SELECT FROM sea.manifest m WHERE m.sha256 = a.sha256) -- fence: condemn_manifest
                AND NOT EXISTS (SELECT FROM sea.pin p WHERE p.sha256 = a.sha256)      -- fence: condemn_pin
               )
            OR a.condemned_at < clock_timestamp() - p_again_ms * interval '1 ms'
         ORDER BY a.sha256
         LIMIT p_most FOR UPDATE SKIP LOCKED
    LOOP
        -- A new statement, now that the row is locked: a publisher pins before it looks.
        CONTINUE WHEN EXISTS (SELECT FROM sea.manifest m WHERE m.sha256 = one.sha256); -- fence: condemn_manifest
        CONTINUE WHEN one.is_new AND EXISTS (SELECT FROM sea.pin p WHERE p.sha256 = one.sha256); -- fence: condemn_pin
        UPDATE sea.artifact AS a SET condemned_at = clock_timestamp()
         WHERE a.sha256 = one.sha256;
        sha256 := one.sha256;
        bytes := one.bytes;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION sea.condemn(bigint, bigint, integer) IS 'First phase: files without manifest and pin, older than the grace, may not be used any more; also those that somebody condemned and did not remove. Returns what to remove.';

CREATE FUNCTION sea.condemn_unknown(p_files jsonb) RETURNS TABLE (sha256 text)
LANGUAGE sql AS $$
    INSERT INTO sea.artifact (sha256, bytes, condemned_at)
    SELECT DISTINCT f->>0, (f->>1)::bigint, clock_timestamp()
      FROM jsonb_array_elements(p_files) AS f ORDER BY 1
        ON CONFLICT DO NOTHING
    RETURNING artifact.sha256;
$$;
COMMENT ON FUNCTION sea.condemn_unknown(jsonb) IS 'First phase for files of the store that have no row, [[sha256, bytes]]: returns those that may be removed.';

CREATE FUNCTION sea.hold_condemned(p_sha256 text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM sea.artifact a
      WHERE a.sha256 = p_sha256 AND a.condemned_at IS NOT NULL FOR UPDATE;
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION sea.hold_condemned(text) IS 'Second phase: locks the row until the caller has removed the file and the row, in one transaction. False: it is another''s by now, keep off.';

CREATE FUNCTION sea.forget_condemned(p_sha256 text) RETURNS void
LANGUAGE sql AS $$
    DELETE FROM sea.artifact WHERE sha256 = p_sha256 AND condemned_at IS NOT NULL;
$$;
COMMENT ON FUNCTION sea.forget_condemned(text) IS 'Second phase: the file is gone.';

CREATE FUNCTION sea.drop_checkpoints(p_keep_ms bigint) RETURNS TABLE (name text)
LANGUAGE sql AS $$
    DELETE FROM sea.checkpoint AS c
     USING sea.stage_run AS s
     WHERE s.id = c.stage_id AND s.ended_at < clock_timestamp() - p_keep_ms * interval '1 ms'
       AND NOT EXISTS (SELECT FROM sea.flight f WHERE f.key = c.key)
    RETURNING c.name;
$$;
COMMENT ON FUNCTION sea.drop_checkpoints(bigint) IS 'Checkpoints of stage runs that ended without output so long ago that nobody is going to retry them; returns their names in the store.';

CREATE FUNCTION sea.is_checkpoint_needed(p_name text, p_stage_id bigint, p_epoch bigint)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM sea.checkpoint c WHERE c.name = p_name)
        OR EXISTS (SELECT FROM sea.lease l WHERE l.stage_id = p_stage_id AND l.epoch = p_epoch);
$$;
COMMENT ON FUNCTION sea.is_checkpoint_needed(text, bigint, bigint) IS 'Whether a folder of the store is a recorded checkpoint, or may become one.';

-- ---- upkeep ----

CREATE FUNCTION sea.maintain() RETURNS void
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
