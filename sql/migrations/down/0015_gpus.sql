-- Undoes 0015_gpus. Loses: which stage run holds which GPU; workers of older programs start their
-- stages on the first GPUs of their machine, whoever uses these.

CREATE OR REPLACE VIEW sea.why_pending WITH (security_invoker = true) AS
SELECT w.experiment_id, w.stage_id, w.stage, w.state,
       coalesce(
           CASE j.state
           WHEN 'intent' THEN 'is being submitted to the cluster'
           WHEN 'submitted' THEN 'waits in the cluster as job ' || j.job_id
                || coalesce(': ' || lower(j.cluster_state)
                            || coalesce(' (' || j.cluster_reason || ')', ''), '')
           WHEN 'unknown' THEN 'the cluster''s answer was lost: a job "' || j.token
                || '" is looked for' || coalesce('; it said: ' || j.message, '')
           WHEN 'started' THEN w.reason || ', job ' || j.job_id
           END || coalesce('; the cluster has not answered ' || k.failures || ' times: '
                           || k.message, ''),
           w.reason) AS reason,
       w.failures, w.losses, w.since
  FROM sea.why_pending_here w
  LEFT JOIN sea.lease l ON l.stage_id = w.stage_id
  LEFT JOIN sea.cluster_job j ON j.stage_id = l.stage_id AND j.epoch = l.epoch
  LEFT JOIN sea.cluster_look k ON j.state <> 'started' AND k.failures > 0;
CREATE OR REPLACE VIEW sea.broken_invariant AS
SELECT s.id AS stage_id, 'running without lease' AS what
  FROM sea.stage_run s
 WHERE s.state = 'running'
   AND NOT EXISTS (SELECT FROM sea.lease l
                    WHERE l.stage_id = s.id AND l.epoch = s.last_epoch)
UNION ALL
SELECT l.stage_id, 'lease without running'
  FROM sea.lease l LEFT JOIN sea.stage_run s ON s.id = l.stage_id
 WHERE s.state IS DISTINCT FROM 'running' OR s.last_epoch <> l.epoch
UNION ALL
SELECT s.id, 'commits: ' || count(*)
  FROM sea.stage_run s JOIN sea.attempt a ON a.stage_id = s.id AND a.state = 'committed'
 GROUP BY s.id HAVING count(*) > 1
UNION ALL
SELECT s.id, 'done without a committed attempt or files'
  FROM sea.stage_run s
 WHERE s.state = 'done'
   AND NOT (EXISTS (SELECT FROM sea.attempt a
                     WHERE a.stage_id = s.id AND a.epoch = s.done_epoch
                       AND a.state = 'committed')
            AND EXISTS (SELECT FROM sea.manifest m
                         WHERE m.stage_id = s.id AND m.epoch = s.done_epoch))
UNION ALL
SELECT s.id, 'started before a parent was done'
  FROM sea.stage_run s
  JOIN sea.stage_dep d ON d.child_id = s.id
  JOIN sea.stage_run p ON p.id = d.parent_id
 WHERE s.state NOT IN ('blocked', 'skipped', 'cancelled')
   AND p.state NOT IN ('done', 'cached')
UNION ALL
SELECT f.stage_id, 'flight of an ended stage run'
  FROM sea.flight f LEFT JOIN sea.stage_run s ON s.id = f.stage_id
 WHERE s.id IS NULL OR s.ended_at IS NOT NULL;
DROP VIEW sea.gpu_status, sea.gpu_pending;
DROP TRIGGER stage_run_gpus ON sea.stage_run;

CREATE OR REPLACE FUNCTION sea.todo_put(p_stage_id bigint, p_list text, p_queue text, p_owner text,
                             p_rank timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sea.todo AS t (stage_id, list, queue, owner, rank)
    VALUES (p_stage_id, p_list, p_queue, p_owner, p_rank)
        ON CONFLICT (stage_id) DO UPDATE
       SET list = excluded.list, queue = excluded.queue, owner = excluded.owner,
           rank = excluded.rank;
    IF p_list = 'ready' THEN
        PERFORM sea.lower_mark(p_queue, p_rank);
    END IF;
END $$;
CREATE OR REPLACE FUNCTION sea.claim(p_worker_id bigint, p_queue text, p_ttl_ms integer,
                          p_secret uuid DEFAULT gen_random_uuid())
RETURNS TABLE (stage_id bigint, epoch bigint, secret uuid, experiment_id bigint, stage text,
               key text, config jsonb, timeout_ms bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    run record;
    picked record;
    full_owners text[] := '{}';
    passed bigint[] := '{}';
    is_active boolean;
    limited boolean;
    low timestamptz;
    by_queue record;
    by_user record;
BEGIN
    SELECT w.state IN ('active', 'suspect'), EXISTS (SELECT FROM sea.concurrency),
           (SELECT m.rank FROM sea.mark m WHERE m.queue = p_queue
             ORDER BY m.number DESC LIMIT 1)
      INTO is_active, limited, low
      FROM sea.worker w WHERE w.id = p_worker_id;
    IF is_active IS NOT true THEN RETURN; END IF;               -- fence: claim_worker
    IF limited THEN
        by_queue := sea.take_slot('queue', p_queue);
        IF by_queue.is_limited AND by_queue.number IS NULL THEN
            RETURN;
        END IF;
    END IF;
    LOOP
        -- Neither lock is waited for: who holds a stage run's lock may wait for its row in the list.
        SELECT t.stage_id, t.owner INTO picked FROM sea.todo AS t
         WHERE t.list = 'ready' AND t.queue = p_queue
           AND t.rank >= coalesce(low, '-infinity')
           AND t.owner <> ALL (full_owners) AND t.stage_id <> ALL (passed)
         ORDER BY t.rank, t.stage_id
         LIMIT 1 FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN;
        END IF;
        IF limited THEN
            by_user := sea.take_slot('user', picked.owner);
            IF by_user.is_limited AND by_user.number IS NULL THEN
                full_owners := full_owners || picked.owner;
                CONTINUE;
            END IF;
        END IF;
        UPDATE sea.stage_run AS s
           SET state = 'running', last_epoch = s.last_epoch + 1, reason = NULL
         WHERE s.id = (SELECT o.id FROM sea.stage_run AS o
                        WHERE o.id = picked.stage_id
                          AND o.state = 'ready'                 -- fence: claim_ready
                          FOR NO KEY UPDATE SKIP LOCKED)
        RETURNING s.id, s.last_epoch, s.experiment_id, s.stage, s.key, s.timeout_ms, s.owner
             INTO run;
        EXIT WHEN FOUND;
        passed := passed || picked.stage_id;
    END LOOP;
    DELETE FROM sea.todo AS t WHERE t.stage_id = run.id;
    INSERT INTO sea.lease (stage_id, epoch, worker_id, secret, expires_at)
    VALUES (run.id, run.last_epoch, p_worker_id, p_secret,
            clock_timestamp() + p_ttl_ms * interval '1 ms');
    INSERT INTO sea.attempt (stage_id, epoch, worker_id)
    VALUES (run.id, run.last_epoch, p_worker_id);
    INSERT INTO sea.event (experiment_id, stage_id, epoch, level, kind, text)
    VALUES (run.experiment_id, run.id, run.last_epoch, 'info', 'state',
            run.stage || ': ready -> running');
    IF limited THEN
        UPDATE sea.slot AS t SET stage_id = run.id, epoch = run.last_epoch
         WHERE (t.kind = 'queue' AND t.name = p_queue AND t.number = by_queue.number)
            OR (t.kind = 'user' AND t.name = run.owner AND t.number = by_user.number);
    END IF;
    UPDATE sea.experiment AS e SET state = 'running', started_at = clock_timestamp()
     WHERE e.id = run.experiment_id AND e.state = 'queued';
    RETURN QUERY
    SELECT run.id, run.last_epoch, p_secret, run.experiment_id, run.stage, run.key, e.config,
           run.timeout_ms
      FROM sea.experiment e WHERE e.id = run.experiment_id;
END $$;
COMMENT ON FUNCTION sea.claim(bigint, text, integer, uuid) IS 'Takes the first ready stage run of a queue, within the limits of the queue and of the users: one row with its lease, or none. Two callers never get one stage run and never wait for each other. Who gives the secret finds the lease again when the answer is lost (sea.claimed).';

CREATE OR REPLACE FUNCTION sea.claim_batch(p_worker_id bigint, p_queue text, p_ttl_ms integer, p_most integer,
                                p_secret uuid DEFAULT gen_random_uuid())
RETURNS TABLE (stage_id bigint, epoch bigint, secret uuid, experiment_id bigint, stage text,
               key text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    one record;
    is_active boolean;
    limited boolean;
    low timestamptz;
    ids bigint[];
    epochs bigint[];
    experiments bigint[];
    stages text[];
    keys text[];
BEGIN
    SELECT w.state IN ('active', 'suspect'), EXISTS (SELECT FROM sea.concurrency),
           (SELECT m.rank FROM sea.mark m WHERE m.queue = p_queue
             ORDER BY m.number DESC LIMIT 1)
      INTO is_active, limited, low
      FROM sea.worker w WHERE w.id = p_worker_id;
    IF is_active IS NOT true THEN RETURN; END IF;               -- fence: claim_batch_worker
    -- Limits are counted one by one.
    IF limited THEN
        FOR turn IN 1 .. p_most LOOP
            SELECT c.stage_id, c.epoch, c.secret, c.experiment_id, c.stage, c.key INTO one
              FROM sea.claim(p_worker_id, p_queue, p_ttl_ms, p_secret) c;
            EXIT WHEN NOT FOUND;
            RETURN QUERY SELECT one.stage_id, one.epoch, one.secret, one.experiment_id, one.stage,
                                one.key;
        END LOOP;
        RETURN;
    END IF;
    WITH pick AS MATERIALIZED (
        SELECT t.stage_id FROM sea.todo AS t
         WHERE t.list = 'ready' AND t.queue = p_queue
           AND t.rank >= coalesce(low, '-infinity')
         ORDER BY t.rank, t.stage_id
         LIMIT p_most FOR UPDATE SKIP LOCKED),
    held AS MATERIALIZED (
        SELECT s.id FROM sea.stage_run AS s
         WHERE s.id = ANY (ARRAY(SELECT p.stage_id FROM pick AS p))
           AND s.state = 'ready'                                -- fence: claim_batch_ready
           FOR NO KEY UPDATE SKIP LOCKED),
    run AS (
        UPDATE sea.stage_run AS s
           SET state = 'running', last_epoch = s.last_epoch + 1, reason = NULL
          FROM held WHERE s.id = held.id
        RETURNING s.id, s.last_epoch, s.experiment_id, s.stage, s.key)
    SELECT array_agg(r.id), array_agg(r.last_epoch), array_agg(r.experiment_id),
           array_agg(r.stage), array_agg(r.key)
      INTO ids, epochs, experiments, stages, keys FROM run r;
    IF ids IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM sea.todo AS t WHERE t.stage_id = ANY (ids);
    INSERT INTO sea.lease (stage_id, epoch, worker_id, secret, expires_at)
    SELECT r.id, r.epoch, p_worker_id, p_secret, clock_timestamp() + p_ttl_ms * interval '1 ms'
      FROM unnest(ids, epochs) AS r (id, epoch);
    INSERT INTO sea.attempt (stage_id, epoch, worker_id)
    SELECT r.id, r.epoch, p_worker_id FROM unnest(ids, epochs) AS r (id, epoch);
    INSERT INTO sea.event (experiment_id, stage_id, epoch, level, kind, text)
    SELECT r.experiment, r.id, r.epoch, 'info', 'state', r.stage || ': ready -> running'
      FROM unnest(experiments, ids, epochs, stages) AS r (experiment, id, epoch, stage);
    WITH begun AS MATERIALIZED (
        SELECT e.id FROM sea.experiment e WHERE e.id = ANY (experiments) AND e.state = 'queued'
         ORDER BY e.id FOR NO KEY UPDATE)
    UPDATE sea.experiment AS e SET state = 'running', started_at = clock_timestamp()
     WHERE e.id = ANY (ARRAY(SELECT b.id FROM begun b)) AND e.state = 'queued';
    RETURN QUERY SELECT r.id, r.epoch, p_secret, r.experiment, r.stage, r.key
      FROM unnest(ids, epochs, experiments, stages, keys) AS r (id, epoch, experiment, stage, key);
END $$;
DROP FUNCTION sea.register_worker(text, bigint, text, text, integer, integer[]);
CREATE FUNCTION sea.register_worker(p_host text, p_pid bigint, p_device text, p_queue text,
                                    p_ttl_ms integer)
RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO sea.worker (host, pid, device, queue, ttl_ms)
    VALUES (p_host, p_pid, p_device, p_queue, p_ttl_ms)
    RETURNING id;
$$;
COMMENT ON FUNCTION sea.register_worker(text, bigint, text, text, integer) IS 'A new worker process; returns its id.';

DROP FUNCTION sea.stage_run_gpus, sea.hold_gpus, sea.take_gpus, sea.gpu_room, sea.hold_is_void,
     sea.gpus_needed;
DROP TABLE sea.gpu_hold;
DROP INDEX sea.slot_held, sea.worker_live;
ALTER TABLE sea.worker DROP COLUMN gpus;
ALTER TABLE sea.stage_run DROP COLUMN gpus;
ALTER TABLE sea.todo DROP COLUMN gpus;
DELETE FROM sea.slot WHERE kind = 'gpu';
COMMENT ON COLUMN sea.slot.kind IS 'queue or user';
COMMENT ON COLUMN sea.slot.name IS 'Which one';
COMMENT ON COLUMN sea.slot.number IS '1 up to the limit; a lowered limit leaves higher ones while they are held';
DELETE FROM sea.access
 WHERE object IN ('gpu_hold', 'gpu_status', 'gpu_pending', 'gpus_needed', 'hold_is_void');

DO $$
DECLARE
    one regprocedure;
BEGIN
    FOR one IN SELECT p.oid FROM pg_proc p
                WHERE p.pronamespace = 'sea'::regnamespace
                  AND p.proname IN ('claim', 'claim_batch') LOOP
        EXECUTE format('ALTER FUNCTION %s SET plan_cache_mode = force_generic_plan'
                       ' SET enable_seqscan = off SET enable_bitmapscan = off'
                       ' SET enable_hashjoin = off SET enable_mergejoin = off', one);
    END LOOP;
END $$;

SET LOCAL client_min_messages = warning;
DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'rights were not set anew: call sea.setup_roles() as somebody who may';
END $$;
