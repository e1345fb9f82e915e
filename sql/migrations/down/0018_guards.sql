-- Undoes 0018_guards. Loses: nothing.

ALTER TABLE sea.stage_run RESET (fillfactor, autovacuum_vacuum_scale_factor,
                                 autovacuum_vacuum_threshold);
ALTER TABLE sea.stage_run SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0,
                               autovacuum_vacuum_threshold = 500);
ALTER TABLE sea.experiment SET (fillfactor = 70);

-- As 0009_queue made them.

CREATE OR REPLACE FUNCTION sea.stage_run_guard() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    broken text;
BEGIN
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

CREATE OR REPLACE FUNCTION sea.attempt_guard() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    broken text := CASE
        WHEN NEW.state NOT IN ('committed', 'claimed', 'started', 'failed', 'released',
                               'cancelled', 'lost') THEN 'attempt_state_known'
        WHEN (NEW.state IN ('claimed', 'started')) <> (NEW.ended_at IS NULL)
             THEN 'attempt_ended_is_terminal'
        WHEN (NEW.state IN ('failed', 'lost')) <> (NEW.class IS NOT NULL)
             THEN 'attempt_class_when_failed'
        WHEN NEW.class NOT IN ('invalid', 'error', 'oom', 'timeout', 'infra', 'preempted', 'lost')
             THEN 'attempt_class_known'
        WHEN (NEW.resumed_step IS NULL) <> (NEW.resumed_epoch IS NULL)
             OR (NEW.resumed_step IS NULL) <> (NEW.resumed_stage_id IS NULL)
             THEN 'attempt_resumed_is_whole' END;
BEGIN
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'attempt % of stage run % (%) breaks "%"', NEW.epoch, NEW.stage_id,
            NEW.state, broken
            USING ERRCODE = '23514', SCHEMA = 'sea', TABLE = 'attempt', CONSTRAINT = broken;
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION sea.experiment_guard() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    broken text;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.state <> OLD.state
       AND (OLD.state, NEW.state) NOT IN (
        ('queued', 'running'), ('running', 'succeeded'), ('queued', 'cancelling'),
        ('queued', 'succeeded'), ('queued', 'failed'), ('queued', 'cancelled'),
        ('running', 'cancelling'), ('running', 'failed'), ('running', 'cancelled'),
        ('cancelling', 'succeeded'), ('cancelling', 'failed'), ('cancelling', 'cancelled')) THEN
        RAISE EXCEPTION 'experiment %: no way from % to %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'LF020';
    END IF;
    broken := CASE
        WHEN NEW.state NOT IN ('running', 'succeeded', 'queued', 'cancelling', 'failed',
                               'cancelled') THEN 'experiment_state_known'
        WHEN (NEW.state IN ('succeeded', 'failed', 'cancelled')) <> (NEW.ended_at IS NOT NULL)
             THEN 'experiment_ended_is_terminal'
        WHEN NEW.state = 'cancelling' AND NEW.cancel_requested_at IS NULL
             THEN 'experiment_cancelling_was_asked'
        WHEN TG_OP = 'INSERT' AND jsonb_typeof(NEW.config) <> 'object'
             THEN 'experiment_config_is_map' END;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'experiment % (%) breaks "%"', NEW.id, NEW.state, broken
            USING ERRCODE = '23514', SCHEMA = 'sea', TABLE = 'experiment', CONSTRAINT = broken;
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION sea.commit_batch(p_commits jsonb) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
    won bigint[];
    epochs bigint[];
    digests text[];
    files jsonb[];
    metrics jsonb[];
    experiments bigint[];
    keys text[];
    stages text[];
    one bigint;
BEGIN
    -- All leases, then all own stage runs, then all children, each by ascending id; then keys in
    -- their order, then experiments: two batches cannot wait for each other in a circle.
    WITH held AS MATERIALIZED (
        SELECT c.stage_id, c.epoch, c.files, c.digest, c.metrics
          FROM jsonb_to_recordset(p_commits) AS c (stage_id bigint, epoch bigint, secret uuid,
                                                   files jsonb, digest text, metrics jsonb)
          JOIN sea.lease l ON l.stage_id = c.stage_id
           AND l.epoch = c.epoch                                -- fence: batch_commit_epoch behind batch_commit_running by forged
           AND l.secret = c.secret                              -- fence: batch_commit_secret
         ORDER BY l.stage_id FOR UPDATE OF l)
    SELECT array_agg(h.stage_id), array_agg(h.epoch), array_agg(h.digest), array_agg(h.files),
           array_agg(h.metrics)
      INTO won, epochs, digests, files, metrics FROM held h;
    IF won IS NULL THEN
        RETURN '{}';
    END IF;
    PERFORM 1 FROM sea.stage_run s WHERE s.id = ANY (won) ORDER BY s.id FOR NO KEY UPDATE;
    WITH done AS (
        UPDATE sea.stage_run AS s
           SET state = 'done', done_epoch = c.epoch, output_stage_id = s.id,
               output_epoch = c.epoch, output_digest = c.digest, reason = NULL,
               ended_at = clock_timestamp()
          FROM unnest(won, epochs, digests) AS c (id, epoch, digest)
         WHERE s.id = c.id AND s.id = ANY (won)
           AND s.state = 'running' AND s.last_epoch = c.epoch   -- fence: batch_commit_running behind batch_commit_epoch by forged
        RETURNING s.id, s.experiment_id, s.key, s.stage)
    SELECT array_agg(d.experiment_id ORDER BY d.id), array_agg(d.key ORDER BY d.id),
           array_agg(d.stage ORDER BY d.id)
      INTO experiments, keys, stages FROM done d;
    IF cardinality(keys) IS DISTINCT FROM cardinality(won) THEN
        RAISE EXCEPTION 'of % leases % belong to attempts that are not the running ones: commit'
            ' refused', cardinality(won), cardinality(won) - coalesce(cardinality(keys), 0)
            USING ERRCODE = 'LF001';
    END IF;
    INSERT INTO sea.manifest (stage_id, epoch, path, sha256, bytes)
    SELECT c.id, c.epoch, f->>0, f->>1, (f->>2)::bigint
      FROM unnest(won, epochs, files) AS c (id, epoch, files), jsonb_array_elements(c.files) AS f;
    INSERT INTO sea.metric (stage_id, epoch, name, step, value)
    SELECT c.id, c.epoch, m->>0, (m->>1)::bigint, coalesce(m->>2, 'NaN')::float8
      FROM unnest(won, epochs, metrics) AS c (id, epoch, metrics),
           jsonb_array_elements(c.metrics) AS m;
    FOR one IN SELECT DISTINCT d.parent_id FROM sea.stage_dep d WHERE d.parent_id = ANY (won)
                ORDER BY 1
    LOOP
        PERFORM sea.promote_children(one);
    END LOOP;
    INSERT INTO sea.stage_cache (key, stage_id, epoch, output_digest)
    SELECT c.key, c.id, c.epoch, c.digest
      FROM unnest(keys, won, epochs, digests) AS c (key, id, epoch, digest)
     ORDER BY c.key
        ON CONFLICT (key) DO NOTHING;
    WITH mine AS MATERIALIZED (
        SELECT f.key FROM sea.flight f WHERE f.key = ANY (keys) AND f.stage_id = ANY (won)
         ORDER BY f.key FOR UPDATE)
    DELETE FROM sea.flight f WHERE f.key = ANY (ARRAY(SELECT m.key FROM mine m));
    UPDATE sea.attempt AS a SET state = 'committed', ended_at = clock_timestamp()
     WHERE a.stage_id = ANY (won) AND a.ended_at IS NULL;
    DELETE FROM sea.lease WHERE stage_id = ANY (won);
    DELETE FROM sea.batch WHERE stage_id = ANY (won);
    DELETE FROM sea.pin WHERE stage_id = ANY (won);
    UPDATE sea.slot SET stage_id = NULL, epoch = NULL WHERE stage_id = ANY (won);
    INSERT INTO sea.event (experiment_id, stage_id, epoch, level, kind, text)
    SELECT r.experiment, r.id, r.epoch, 'info', 'state', r.stage || ': running -> done'
      FROM unnest(experiments, won, epochs, stages) AS r (experiment, id, epoch, stage);
    PERFORM sea.finish_experiments(experiments);
    RETURN won;
END $$;

CREATE OR REPLACE FUNCTION sea.finish_experiments(p_experiments bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    good bigint[];
    bad bigint[];
    one bigint;
BEGIN
    -- Those of one stage run, which is what batches are of, by one statement.
    SELECT array_agg(x.id) FILTER (WHERE x.good), array_agg(x.id) FILTER (WHERE NOT x.good)
      INTO good, bad
      FROM (SELECT s.experiment_id AS id, bool_and(s.state IN ('done', 'cached')) AS good
              FROM sea.stage_run s WHERE s.experiment_id = ANY (p_experiments)
             GROUP BY s.experiment_id HAVING count(*) = 1 AND count(s.ended_at) = 1) AS x;
    WITH held AS MATERIALIZED (
        SELECT e.id FROM sea.experiment e
         WHERE e.id = ANY (good || bad) AND e.ended_at IS NULL
         ORDER BY e.id FOR NO KEY UPDATE)
    UPDATE sea.experiment AS e
       SET state = CASE WHEN e.id = ANY (good) THEN 'succeeded'
                        WHEN e.cancel_requested_at IS NOT NULL THEN 'cancelled'
                        ELSE 'failed' END,
           ended_at = clock_timestamp()
     WHERE e.id = ANY (ARRAY(SELECT h.id FROM held h)) AND e.ended_at IS NULL;
    FOR one IN SELECT s.experiment_id FROM sea.stage_run s
                WHERE s.experiment_id = ANY (p_experiments)
                GROUP BY s.experiment_id HAVING count(*) > 1 ORDER BY 1
    LOOP
        PERFORM sea.finish_experiment(one);
    END LOOP;
END $$;

ALTER FUNCTION sea.commit_batch(jsonb)
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
    SET enable_hashjoin = off SET enable_mergejoin = off;

SET LOCAL client_min_messages = warning;
DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
