-- Undoes 0009_queue. Loses: nothing; pauses before a key is computed again start anew.

DROP TRIGGER stage_run_guard ON sea.stage_run;
DROP TRIGGER attempt_guard ON sea.attempt;
DROP TRIGGER experiment_guard ON sea.experiment;
DROP TRIGGER experiment_tenant ON sea.experiment;
DROP TRIGGER stage_run_board ON sea.stage_run;
DELETE FROM sea.access WHERE object IN ('claimed', 'commit_next', 'commit_next_batch', 'rescan',
                                        'resolve_later', 'reuse', 'todo', 'mark');
CREATE OR REPLACE FUNCTION sea.secure_table(p_table text, p_kind text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    key text;
BEGIN
    IF p_kind NOT IN ('tenant', 'stage') THEN
        RETURN;
    END IF;
    key := CASE p_table WHEN 'stage_dep' THEN 'child_id' ELSE 'stage_id' END;
    EXECUTE format('ALTER TABLE sea.%I ENABLE ROW LEVEL SECURITY', p_table);
    EXECUTE format('DROP POLICY IF EXISTS own ON sea.%I', p_table);
    EXECUTE format('DROP POLICY IF EXISTS everything ON sea.%I', p_table);
    EXECUTE format('CREATE POLICY everything ON sea.%I FOR SELECT'
                   ' TO sea_worker, sea_scheduler, sea_auditor USING (true)', p_table);
    -- Row security of the tables that these ask holds for them, too. What a stage run of the
    -- own tenant found in the cache is its own as well, whoever computed it.
    EXECUTE format('CREATE POLICY own ON sea.%I FOR SELECT TO sea_researcher, sea_viewer USING (%s)',
        p_table, CASE
        WHEN p_table = 'experiment' THEN 'tenant = (SELECT sea.own_tenant())'
        WHEN p_kind = 'tenant'
        THEN 'EXISTS (SELECT FROM sea.experiment e WHERE e.id = experiment_id)'
        ELSE format('EXISTS (SELECT FROM sea.stage_run s WHERE s.id = %1$I)'
                    ' OR EXISTS (SELECT FROM sea.stage_run s WHERE s.output_stage_id = %1$I)', key)
        END);
END $$;
COMMENT ON FUNCTION sea.secure_table(text, text) IS 'Part of sea.setup_roles: row security of one table.';

CREATE OR REPLACE FUNCTION sea.stage_run_guard() RETURNS trigger
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

CREATE OR REPLACE FUNCTION sea.experiment_guard() RETURNS trigger
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

CREATE OR REPLACE FUNCTION sea.assert_lease(p_stage_id bigint, p_epoch bigint, p_secret uuid, p_what text)
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

CREATE OR REPLACE FUNCTION sea.finish_experiment(p_experiment_id bigint) RETURNS void
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

CREATE OR REPLACE FUNCTION sea.begin_experiment(p_experiment_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    -- Looks before it locks: only the first stage run of an experiment waits for the row.
    IF EXISTS (SELECT FROM sea.experiment WHERE id = p_experiment_id AND state = 'queued') THEN
        UPDATE sea.experiment SET state = 'running', started_at = clock_timestamp()
         WHERE id = p_experiment_id AND state = 'queued';
    END IF;
END $$;
COMMENT ON FUNCTION sea.begin_experiment(bigint) IS 'Part of transitions: queued to running, with the first stage run.';

DROP FUNCTION sea.claim(bigint, text, integer, uuid);
DROP FUNCTION sea.claim_batch(bigint, text, integer, integer, uuid);
DROP FUNCTION sea.commit_stage(bigint, bigint, uuid, jsonb, text, jsonb, jsonb, bigint, jsonb);
ALTER FUNCTION sea.commit_batch(jsonb) RESET ALL;
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

CREATE OR REPLACE FUNCTION sea.commit_batch(p_commits jsonb) RETURNS bigint[]
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

CREATE OR REPLACE FUNCTION sea.wake() RETURNS bigint
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

CREATE OR REPLACE FUNCTION sea.sweep() RETURNS void
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

CREATE OR REPLACE FUNCTION sea.set_priority(experiment_id bigint, priority integer) RETURNS bigint
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

CREATE OR REPLACE VIEW sea.why_pending AS
SELECT s.experiment_id,
       s.id AS stage_id,
       s.stage,
       s.state,
       CASE s.state
       WHEN 'blocked' THEN 'needs the output of ' || (
            SELECT string_agg(p.stage || ' (' || p.state || ')', ', ' ORDER BY p.id)
              FROM sea.stage_dep d JOIN sea.stage_run p ON p.id = d.parent_id
             WHERE d.child_id = s.id AND p.state NOT IN ('done', 'cached'))
       WHEN 'waiting' THEN coalesce(
            (SELECT 'stage run ' || f.stage_id || ' of experiment ' || o.experiment_id
                    || ' computes the same thing (' || o.state
                    || coalesce(', ' || o.reason, '') || ')'
               FROM sea.flight f JOIN sea.stage_run o ON o.id = f.stage_id
              WHERE f.key = s.key AND f.stage_id <> s.id),
            CASE WHEN s.key IS NULL THEN 'a scheduler has to compute its key'
                 ELSE 'a scheduler has to look at it again' END)
       WHEN 'ready' THEN coalesce((
            -- As sea.take_slot sees it.
            SELECT string_agg(c.kind || ' "' || c.name || '" '
                   || CASE WHEN c.slots_max = 0 THEN 'is held: its limit is 0'
                           WHEN h.held >= c.slots_max
                           THEN 'is at its limit: ' || h.held || ' of ' || c.slots_max || ' run'
                           ELSE 'waits for a stage from before its limit was lowered to '
                                || c.slots_max END
                   || '; ', '' ORDER BY c.kind)
              FROM sea.concurrency c
             CROSS JOIN LATERAL (
                   SELECT count(*) AS held, coalesce(max(t.number), 0) AS highest FROM sea.slot t
                    WHERE t.kind = c.kind AND t.name = c.name AND t.stage_id IS NOT NULL) h
             WHERE (c.kind, c.name) IN (('queue', s.queue), ('user', s.owner))
               AND (h.held >= c.slots_max OR h.highest > c.slots_max)), '') || (
            SELECT CASE WHEN count(*) = 0
                        THEN 'no worker is there for queue "' || s.queue || '"'
                        WHEN count(*) FILTER (WHERE w.state = 'active') = 0
                        THEN 'no worker of queue "' || s.queue || '" takes stages now: '
                             || concat_ws(', ',
                                nullif(count(*) FILTER (WHERE w.state = 'suspect'), 0) || ' silent',
                                nullif(count(*) FILTER (WHERE w.state = 'draining'), 0)
                                    || ' draining')
                        WHEN bool_and(x.stage_id IS NOT NULL)
                             FILTER (WHERE w.state = 'active')
                        THEN 'all workers are busy; '
                        ELSE 'a worker is free; ' END
                   || CASE WHEN count(*) FILTER (WHERE w.state = 'active') > 0 THEN (
                      SELECT count(*) FROM sea.stage_run q
                       WHERE q.state = 'ready' AND q.queue = s.queue
                         AND (-q.priority, q.ready_at, q.id) < (-s.priority, s.ready_at, s.id))
                      || ' before it in the queue' ELSE '' END
              FROM sea.worker w
              LEFT JOIN sea.lease x ON x.worker_id = w.id
             WHERE w.queue = s.queue AND w.ended_at IS NULL)
       WHEN 'running' THEN 'runs on ' || coalesce(
            (SELECT w.host || ' (' || w.device || ')'
                    || coalesce(', ' || l.done || ' of ' || l.total || ' ' || l.unit, '')
               FROM sea.lease l JOIN sea.worker w ON w.id = l.worker_id
              WHERE l.stage_id = s.id), 'a worker')
       WHEN 'backoff' THEN 'pauses until ' || to_char(s.run_at AT TIME ZONE 'UTC',
            'YYYY-MM-DD HH24:MI:SS"Z"') || coalesce(' after: ' || s.reason, '')
       WHEN 'quarantined' THEN 'was lost ' || s.losses || ' times, an operator has to look: '
            || s.reason END AS reason,
       s.failures,
       s.losses,
       coalesce(s.ready_at, s.created_at) AS since
  FROM sea.stage_run s
 WHERE s.ended_at IS NULL;

CREATE TRIGGER stage_run_guard BEFORE UPDATE ON sea.stage_run
    FOR EACH ROW EXECUTE FUNCTION sea.stage_run_guard();
COMMENT ON TRIGGER stage_run_guard ON sea.stage_run IS 'See sea.stage_run_guard()';
CREATE TRIGGER experiment_guard BEFORE UPDATE ON sea.experiment
    FOR EACH ROW EXECUTE FUNCTION sea.experiment_guard();
COMMENT ON TRIGGER experiment_guard ON sea.experiment IS 'See sea.experiment_guard()';
CREATE TRIGGER experiment_tenant BEFORE INSERT OR UPDATE ON sea.experiment
    FOR EACH ROW EXECUTE FUNCTION sea.experiment_tenant();
COMMENT ON TRIGGER experiment_tenant ON sea.experiment IS 'See sea.experiment_tenant()';
CREATE TRIGGER stage_run_board AFTER UPDATE OF state ON sea.stage_run FOR EACH ROW
    WHEN (NEW.stage = 'eval' AND NEW.state IN ('done', 'cached') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION sea.stage_run_board();
COMMENT ON TRIGGER stage_run_board ON sea.stage_run IS 'See sea.stage_run_board()';

UPDATE sea.stage_run SET run_at = NULL WHERE state = 'waiting';
ALTER TABLE sea.event DROP CONSTRAINT event_is_known;
ALTER TABLE sea.manifest DROP CONSTRAINT manifest_path_stays_inside;
ALTER TABLE sea.stage_run
    ADD CONSTRAINT stage_run_stage_known CHECK (stage IN ('foundation', 'label', 'align', 'tune', 'eval')),
    ADD CONSTRAINT stage_run_state_known CHECK (state IN ('blocked', 'waiting', 'ready', 'running', 'backoff', 'quarantined', 'done', 'cached', 'failed', 'skipped', 'cancelled')),
    ADD CONSTRAINT stage_run_unmet_not_negative CHECK (unmet >= 0),
    ADD CONSTRAINT stage_run_aged_not_negative CHECK (aged >= 0),
    ADD CONSTRAINT stage_run_timeout_positive CHECK (timeout_ms > 0),
    ADD CONSTRAINT stage_run_blocked_has_unmet CHECK (state <> 'blocked' OR unmet > 0),
    ADD CONSTRAINT stage_run_started_has_no_unmet CHECK (state IN ('blocked', 'skipped', 'cancelled') OR unmet = 0),
    ADD CONSTRAINT stage_run_key_is_sha256 CHECK (key ~ '^[0-9a-f]{64}$'),
    ADD CONSTRAINT stage_run_ready_has_key CHECK (state NOT IN ('ready', 'running', 'backoff', 'done', 'cached', 'quarantined') OR key IS NOT NULL),
    ADD CONSTRAINT stage_run_ready_has_time CHECK (state <> 'ready' OR ready_at IS NOT NULL),
    ADD CONSTRAINT stage_run_backoff_has_time CHECK (state <> 'backoff' OR run_at IS NOT NULL),
    ADD CONSTRAINT stage_run_running_has_epoch CHECK (state <> 'running' OR last_epoch > 0),
    ADD CONSTRAINT stage_run_done_has_epoch CHECK ((state = 'done') = (done_epoch IS NOT NULL)),
    ADD CONSTRAINT stage_run_done_epoch_was_last CHECK (done_epoch IS NULL OR done_epoch = last_epoch),
    ADD CONSTRAINT stage_run_output_when_done CHECK ((state IN ('done', 'cached')) = (output_digest IS NOT NULL) AND (output_digest IS NULL) = (output_stage_id IS NULL) AND (output_digest IS NULL) = (output_epoch IS NULL)),
    ADD CONSTRAINT stage_run_ended_is_terminal CHECK ((state IN ('done', 'cached', 'failed', 'skipped', 'cancelled')) = (ended_at IS NOT NULL)),
    ADD CONSTRAINT stage_run_failure_has_reason CHECK (state NOT IN ('failed', 'skipped', 'quarantined') OR reason IS NOT NULL);
ALTER TABLE sea.attempt
    ADD CONSTRAINT attempt_state_known CHECK (state IN ('claimed', 'started', 'committed', 'failed', 'released', 'cancelled', 'lost')),
    ADD CONSTRAINT attempt_class_known CHECK (class IN ('invalid', 'error', 'oom', 'timeout', 'infra', 'preempted', 'lost')),
    ADD CONSTRAINT attempt_class_when_failed CHECK ((state IN ('failed', 'lost')) = (class IS NOT NULL)),
    ADD CONSTRAINT attempt_ended_is_terminal CHECK ((state IN ('claimed', 'started')) = (ended_at IS NULL)),
    ADD CONSTRAINT attempt_resumed_is_whole CHECK ((resumed_step IS NULL) = (resumed_epoch IS NULL) AND (resumed_step IS NULL) = (resumed_stage_id IS NULL)),
    RESET (fillfactor);
ALTER TABLE sea.experiment
    ADD CONSTRAINT experiment_state_known CHECK (state IN ('queued', 'running', 'cancelling', 'succeeded', 'failed', 'cancelled')),
    ADD CONSTRAINT experiment_ended_is_terminal CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (ended_at IS NOT NULL)),
    ADD CONSTRAINT experiment_cancelling_was_asked CHECK (state <> 'cancelling' OR cancel_requested_at IS NOT NULL),
    ADD CONSTRAINT experiment_config_is_map CHECK (jsonb_typeof(config) = 'object'),
    RESET (fillfactor);
ALTER TABLE sea.event
    ADD CONSTRAINT event_level_known CHECK (level IN ('debug', 'info', 'warn', 'error')),
    ADD CONSTRAINT event_kind_known CHECK (kind IN ('state', 'log', 'worker', 'cache'));
ALTER TABLE sea.manifest
    ADD CONSTRAINT manifest_path_stays_inside CHECK (path <> '' AND path !~ '^/' AND path !~ '(^|/)[.][.](/|$)');
CREATE INDEX stage_run_ready ON sea.stage_run (queue, priority DESC, ready_at, id)
    WHERE state = 'ready';
CREATE INDEX stage_run_waiting ON sea.stage_run (priority DESC, id) WHERE state = 'waiting';
CREATE INDEX stage_run_backoff ON sea.stage_run (run_at) WHERE state = 'backoff';
CREATE INDEX answer_item ON sea.answer (benchmark_id, item);
CREATE INDEX event_stage ON sea.event (stage_id, id);
CREATE INDEX stage_run_output ON sea.stage_run (output_stage_id);
COMMENT ON COLUMN sea.stage_run.priority IS 'Higher ones are claimed first; what waiting has added is in it';
COMMENT ON COLUMN sea.stage_run.aged IS 'How much of priority came from waiting; taken off again with the claim';

DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege OR undefined_function THEN
    NULL;
END $$;
DROP FUNCTION sea.add_batch, sea.add_scores, sea.attempt_guard, sea.claimed, sea.commit_next, sea.commit_next_batch, sea.event_is_known, sea.finish_experiments, sea.lease_lost, sea.lower_mark, sea.path_stays_inside, sea.raise_mark, sea.rescan, sea.rescan_mark, sea.resolve_later, sea.todo_put, sea.todo_rank;
DROP TABLE sea.todo, sea.mark, sea.reuse;
