-- Purpose: GPUs are reserved: a stage run takes as many GPUs of one machine as it needs with its
--          claim, and they are free again in the transaction that ends its lease.
-- Breaking: no. A worker that registers no GPUs, as programs of 0014 do, claims as before.
-- Locks and scans: ACCESS EXCLUSIVE on stage_run, todo, worker and slot, each for a moment; reads
--          the stage runs that have not ended, and the configurations of their experiments.
-- Run before: nothing.
--
-- A GPU is a row of sea.slot, the mechanism of limits: kind gpu, name = machine, number = GPU + 1.
-- Whoever claims locks free ones without waiting (SKIP LOCKED), so nobody is given one twice.
--
-- Many GPUs at once need patience: beside a stream of stage runs that take one, four are never
-- free. So a stage run that fits a machine and is passed by there files a hold on it (sea.gpu_hold).
-- A minute later the hold counts: nothing behind that stage run in the order takes GPUs of this
-- machine until it has started. One hold per machine, one per stage run; void once the stage run
-- is not ready any more, could not start for another reason (a limit), or nobody of the machine
-- could run it.
--
-- Lock order: as in 0009. Slots and holds are never waited for: slots by SKIP LOCKED, holds are
-- written by who has an advisory lock that is only tried, and removed by SKIP LOCKED.

-- ---- who has GPUs, and who needs them ----

ALTER TABLE sea.worker ADD COLUMN gpus integer[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN sea.worker.gpus IS 'GPUs of its machine that it may use, from 0; empty: it computes on the CPU, or keeps no account of GPUs';
CREATE INDEX worker_live ON sea.worker (host) WHERE ended_at IS NULL;

ALTER TABLE sea.stage_run ADD COLUMN gpus integer NOT NULL DEFAULT 1;
COMMENT ON COLUMN sea.stage_run.gpus IS 'GPUs of one machine that it needs, where its worker has any: see sea.gpus_needed()';
ALTER TABLE sea.todo ADD COLUMN gpus integer NOT NULL DEFAULT 1;
COMMENT ON COLUMN sea.todo.gpus IS 'ready: GPUs that it needs';

COMMENT ON COLUMN sea.slot.kind IS 'queue, user, or gpu';
COMMENT ON COLUMN sea.slot.name IS 'Which one; of gpu: the machine';
COMMENT ON COLUMN sea.slot.number IS '1 up to the limit; a lowered limit leaves higher ones while they are held. Of gpu: the GPU''s number on its machine, plus 1';
-- Commits look for what their attempt holds: rows of machines that left are not in the way.
CREATE INDEX slot_held ON sea.slot (stage_id) WHERE stage_id IS NOT NULL;

CREATE FUNCTION sea.gpus_needed(p_stage text, p_config jsonb) RETURNS integer
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    device text := coalesce(p_config #>> '{resources,device}', 'auto');
    asked integer := 1;
BEGIN
    IF device LIKE 'cpu%' THEN
        RETURN 0;
    END IF;
    IF jsonb_typeof(p_config #> '{resources,gpus}') = 'number' THEN
        asked := greatest(0, least(1024, (p_config #>> '{resources,gpus}')::numeric));
    END IF;
    RETURN CASE WHEN asked = 0 THEN (device LIKE 'cuda%')::integer
                WHEN p_stage IN ('align', 'tune') THEN asked ELSE 1 END;
END $$;
COMMENT ON FUNCTION sea.gpus_needed(text, jsonb) IS 'GPUs of one machine that a stage of an experiment needs: resources.gpus for align and tune, 1 for the others, none when resources.device is a CPU or resources.gpus is 0.';

CREATE FUNCTION sea.stage_run_gpus() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sea.stage_run AS s SET gpus = sea.gpus_needed(s.stage, e.config)
      FROM fresh f JOIN sea.experiment e ON e.id = f.experiment_id
     WHERE s.id = f.id AND s.ended_at IS NULL AND s.gpus <> sea.gpus_needed(s.stage, e.config);
    IF FOUND THEN
        UPDATE sea.todo AS t SET gpus = s.gpus
          FROM fresh f JOIN sea.stage_run s ON s.id = f.id
         WHERE t.stage_id = s.id AND t.list = 'ready' AND t.gpus <> s.gpus;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION sea.stage_run_gpus() IS 'Trigger: a new stage run knows how many GPUs it needs.';
CREATE TRIGGER stage_run_gpus AFTER INSERT ON sea.stage_run
    REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION sea.stage_run_gpus();
COMMENT ON TRIGGER stage_run_gpus ON sea.stage_run IS 'See sea.stage_run_gpus()';

CREATE OR REPLACE FUNCTION sea.todo_put(p_stage_id bigint, p_list text, p_queue text, p_owner text,
                             p_rank timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    needs integer := 1;
BEGIN
    IF p_list = 'ready' THEN        -- no row yet: the trigger on new stage runs fills it in
        needs := coalesce((SELECT s.gpus FROM sea.stage_run s WHERE s.id = p_stage_id), 1);
    END IF;
    INSERT INTO sea.todo AS t (stage_id, list, queue, owner, rank, gpus)
    VALUES (p_stage_id, p_list, p_queue, p_owner, p_rank, needs)
        ON CONFLICT (stage_id) DO UPDATE
       SET list = excluded.list, queue = excluded.queue, owner = excluded.owner,
           rank = excluded.rank, gpus = excluded.gpus;
    IF p_list = 'ready' THEN
        PERFORM sea.lower_mark(p_queue, p_rank);
    END IF;
END $$;

UPDATE sea.stage_run AS s SET gpus = sea.gpus_needed(s.stage, e.config)
  FROM sea.experiment e
 WHERE e.id = s.experiment_id AND e.ended_at IS NULL AND s.ended_at IS NULL
   AND sea.gpus_needed(s.stage, e.config) <> 1;
UPDATE sea.todo AS t SET gpus = s.gpus
  FROM sea.stage_run s WHERE s.id = t.stage_id AND t.list = 'ready' AND s.gpus <> 1;

DROP FUNCTION sea.register_worker(text, bigint, text, text, integer);
CREATE FUNCTION sea.register_worker(p_host text, p_pid bigint, p_device text, p_queue text,
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
COMMENT ON FUNCTION sea.register_worker(text, bigint, text, text, integer, integer[]) IS 'A new worker process and the GPUs of its machine that it may use, from 0; returns its id.';

-- ---- holds ----

CREATE TABLE sea.gpu_hold (
    host text NOT NULL,
    stage_id bigint NOT NULL,
    holds_at timestamptz NOT NULL DEFAULT clock_timestamp() + interval '60 s',
    CONSTRAINT gpu_hold_pk PRIMARY KEY (host),
    CONSTRAINT gpu_hold_once_per_stage UNIQUE (stage_id)
);
COMMENT ON TABLE sea.gpu_hold IS 'Machines whose GPUs are kept for a stage run that was passed by because too few were free. A row may be void (sea.hold_is_void) and is then replaced by the next one that is filed.';
COMMENT ON COLUMN sea.gpu_hold.host IS 'Machine';
COMMENT ON COLUMN sea.gpu_hold.stage_id IS 'Stage run that waits';
COMMENT ON COLUMN sea.gpu_hold.holds_at IS 'From then on nothing behind it in the order takes GPUs of this machine';

CREATE FUNCTION sea.hold_is_void(p_host text, p_stage_id bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (
           SELECT FROM sea.todo t
            WHERE t.stage_id = p_stage_id AND t.list = 'ready'
              AND EXISTS (SELECT FROM sea.worker w
                           WHERE w.host = p_host AND w.ended_at IS NULL AND w.queue = t.queue
                             AND w.state IN ('active', 'suspect')
                             AND cardinality(w.gpus) >= t.gpus)
              AND NOT EXISTS (SELECT FROM sea.concurrency c
                               WHERE (c.kind, c.name) IN (('queue', t.queue), ('user', t.owner))
                                 AND c.slots_max <= (
                                     SELECT count(*) FROM sea.slot x
                                      WHERE x.kind = c.kind AND x.name = c.name
                                        AND x.stage_id IS NOT NULL)));
$$;
COMMENT ON FUNCTION sea.hold_is_void(text, bigint) IS 'Whether a machine need not be kept for a stage run: it is not ready any more, a limit holds it back, or no worker of the machine could run it.';

CREATE FUNCTION sea.gpu_room(p_machine text, p_mine integer[], OUT free integer,
                             OUT until timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT count(*) INTO free FROM sea.slot s
     WHERE s.kind = 'gpu' AND s.name = p_machine AND s.number - 1 = ANY (p_mine)
       AND s.stage_id IS NULL;
    SELECT t.rank INTO until FROM sea.gpu_hold h JOIN sea.todo t ON t.stage_id = h.stage_id
     WHERE h.host = p_machine AND h.holds_at <= clock_timestamp()
       AND NOT sea.hold_is_void(h.host, h.stage_id);
    until := coalesce(until, 'infinity');
END $$;
COMMENT ON FUNCTION sea.gpu_room(text, integer[]) IS 'Part of a claim: how many of these GPUs of a machine are free, and up to which rank somebody may take any.';

CREATE FUNCTION sea.take_gpus(p_machine text, p_mine integer[], p_count integer)
RETURNS integer[] LANGUAGE plpgsql AS $$
DECLARE
    taken integer[];
BEGIN
    WITH mine AS MATERIALIZED (
        SELECT s.number FROM sea.slot s
         WHERE s.kind = 'gpu' AND s.name = p_machine AND s.number - 1 = ANY (p_mine)
           AND s.stage_id IS NULL                               -- fence: gpu_free
         ORDER BY s.number
         LIMIT p_count FOR UPDATE SKIP LOCKED)
    SELECT array_agg(m.number) INTO taken FROM mine m;
    RETURN CASE WHEN cardinality(taken) = p_count THEN taken END;
END $$;
COMMENT ON FUNCTION sea.take_gpus(text, integer[], integer) IS 'Part of a claim: locks so many of these GPUs of a machine that are free, without waiting, and returns the numbers of their slots; NULL when there are too few.';

CREATE FUNCTION sea.hold_gpus(p_machine text, p_mine integer[], p_queue text, p_low timestamptz,
                              p_free integer, p_before timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first bigint;
BEGIN
    IF p_free >= cardinality(p_mine)
       OR EXISTS (SELECT FROM sea.gpu_hold h
                   WHERE h.host = p_machine AND NOT sea.hold_is_void(h.host, h.stage_id)) THEN
        RETURN;
    END IF;
    SELECT t.stage_id INTO first FROM sea.todo t
     WHERE t.list = 'ready' AND t.queue = p_queue
       AND t.rank >= coalesce(p_low, '-infinity') AND t.rank < p_before
       AND t.gpus > p_free AND t.gpus <= cardinality(p_mine)
       AND NOT sea.hold_is_void(p_machine, t.stage_id)
       AND NOT EXISTS (SELECT FROM sea.gpu_hold h
                        WHERE h.stage_id = t.stage_id
                          AND NOT sea.hold_is_void(h.host, h.stage_id))
     ORDER BY t.rank, t.stage_id LIMIT 1;
    -- Only who has this lock adds a row: no insert waits for another one. Who does not get it
    -- files with a later claim.
    IF first IS NULL OR NOT pg_try_advisory_xact_lock(1935819116, 0) THEN
        RETURN;
    END IF;
    DELETE FROM sea.gpu_hold d
     WHERE d.host = ANY (ARRAY(SELECT h.host FROM sea.gpu_hold h
                                WHERE sea.hold_is_void(h.host, h.stage_id)
                                  FOR UPDATE SKIP LOCKED));
    IF NOT EXISTS (SELECT FROM sea.gpu_hold h
                    WHERE h.host = p_machine OR h.stage_id = first) THEN
        INSERT INTO sea.gpu_hold (host, stage_id) VALUES (p_machine, first);
    END IF;
END $$;
COMMENT ON FUNCTION sea.hold_gpus(text, integer[], text, timestamptz, integer, timestamptz) IS 'Part of a claim: of the stage runs before p_before that need more GPUs than p_free and not more than the machine has, the first one that no machine is kept for files a hold, unless the machine is kept for another one.';

-- ---- claims ----

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
    has_gpus boolean;
    machine text;
    mine integer[];             -- GPUs that the worker may use
    gpus integer[];             -- slots of those that it takes
    free integer := 2147483647;
    until timestamptz := 'infinity';
    low timestamptz;
    by_queue record;
    by_user record;
BEGIN
    SELECT w.state IN ('active', 'suspect'), EXISTS (SELECT FROM sea.concurrency),
           (SELECT m.rank FROM sea.mark m WHERE m.queue = p_queue
             ORDER BY m.number DESC LIMIT 1), w.gpus <> '{}', w.host, w.gpus
      INTO is_active, limited, low, has_gpus, machine, mine
      FROM sea.worker w WHERE w.id = p_worker_id;
    IF is_active IS NOT true THEN RETURN; END IF;               -- fence: claim_worker
    IF limited THEN
        by_queue := sea.take_slot('queue', p_queue);
        IF by_queue.is_limited AND by_queue.number IS NULL THEN
            RETURN;
        END IF;
    END IF;
    IF has_gpus THEN
        SELECT r.free, r.until INTO free, until FROM sea.gpu_room(machine, mine) r;
    END IF;
    LOOP
        -- Neither lock is waited for: who holds a stage run's lock may wait for its row in the list.
        SELECT t.stage_id, t.owner, t.rank, t.gpus INTO picked FROM sea.todo AS t
         WHERE t.list = 'ready' AND t.queue = p_queue
           AND t.rank >= coalesce(low, '-infinity')
           AND t.owner <> ALL (full_owners) AND t.stage_id <> ALL (passed)
           AND t.gpus <= free AND (t.rank <= until OR t.gpus = 0)
         ORDER BY t.rank, t.stage_id
         LIMIT 1 FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            IF has_gpus THEN
                PERFORM sea.hold_gpus(machine, mine, p_queue, low, free, 'infinity');
            END IF;
            RETURN;
        END IF;
        IF limited THEN
            by_user := sea.take_slot('user', picked.owner);
            IF by_user.is_limited AND by_user.number IS NULL THEN
                full_owners := full_owners || picked.owner;
                CONTINUE;
            END IF;
        END IF;
        IF has_gpus AND picked.gpus > 0 THEN
            gpus := sea.take_gpus(machine, mine, picked.gpus);
            IF gpus IS NULL THEN        -- another claim of this machine was quicker
                free := picked.gpus - 1;
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
    IF has_gpus THEN
        IF picked.gpus > 0 THEN
            UPDATE sea.slot AS t SET stage_id = run.id, epoch = run.last_epoch
             WHERE t.kind = 'gpu' AND t.name = machine AND t.number = ANY (gpus);
        END IF;
        DELETE FROM sea.gpu_hold AS d
         WHERE d.host = (SELECT h.host FROM sea.gpu_hold AS h WHERE h.stage_id = run.id
                            FOR UPDATE SKIP LOCKED);
        PERFORM sea.hold_gpus(machine, mine, p_queue, low, free, picked.rank);
    END IF;
    UPDATE sea.experiment AS e SET state = 'running', started_at = clock_timestamp()
     WHERE e.id = run.experiment_id AND e.state = 'queued';
    RETURN QUERY
    SELECT run.id, run.last_epoch, p_secret, run.experiment_id, run.stage, run.key, e.config,
           run.timeout_ms
      FROM sea.experiment e WHERE e.id = run.experiment_id;
END $$;
COMMENT ON FUNCTION sea.claim(bigint, text, integer, uuid) IS 'Takes the first ready stage run of a queue, within the limits of the queue and of the users: one row with its lease, or none. For a worker with GPUs the first one that enough of them are free for, and it takes these, too. Two callers never get one stage run or one GPU and never wait for each other. Who gives the secret finds the lease again when the answer is lost (sea.claimed).';

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
    SELECT w.state IN ('active', 'suspect'), EXISTS (SELECT FROM sea.concurrency) OR w.gpus <> '{}',
           (SELECT m.rank FROM sea.mark m WHERE m.queue = p_queue
             ORDER BY m.number DESC LIMIT 1)
      INTO is_active, limited, low
      FROM sea.worker w WHERE w.id = p_worker_id;
    IF is_active IS NOT true THEN RETURN; END IF;               -- fence: claim_batch_worker
    -- Limits and GPUs are counted one by one.
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

-- ---- what people see ----

CREATE VIEW sea.gpu_status WITH (security_invoker = true) AS
SELECT g.host, g.gpu, t.stage_id, t.epoch, s.experiment_id, s.stage, l.worker_id,
       a.claimed_at AS held_since, h.stage_id AS kept_for
  FROM (SELECT w.host, unnest(w.gpus) AS gpu FROM sea.worker w WHERE w.ended_at IS NULL
         UNION
        SELECT x.name, x.number - 1 FROM sea.slot x
         WHERE x.kind = 'gpu' AND x.stage_id IS NOT NULL) AS g
  LEFT JOIN sea.slot t ON t.kind = 'gpu' AND t.name = g.host AND t.number = g.gpu + 1
       AND t.stage_id IS NOT NULL
  LEFT JOIN sea.stage_run s ON s.id = t.stage_id
  LEFT JOIN sea.lease l ON l.stage_id = t.stage_id AND l.epoch = t.epoch
  LEFT JOIN sea.attempt a ON a.stage_id = t.stage_id AND a.epoch = t.epoch
  LEFT JOIN sea.gpu_hold h ON h.host = g.host AND h.holds_at <= clock_timestamp()
       AND NOT sea.hold_is_void(h.host, h.stage_id);
COMMENT ON VIEW sea.gpu_status IS 'One row per GPU that a worker may use, or that is held: who holds which GPU.';
COMMENT ON COLUMN sea.gpu_status.host IS 'Machine';
COMMENT ON COLUMN sea.gpu_status.gpu IS 'Its number there, from 0';
COMMENT ON COLUMN sea.gpu_status.stage_id IS 'Stage run that holds it; empty: free';
COMMENT ON COLUMN sea.gpu_status.epoch IS 'Its attempt';
COMMENT ON COLUMN sea.gpu_status.experiment_id IS 'Its experiment';
COMMENT ON COLUMN sea.gpu_status.stage IS 'Its stage';
COMMENT ON COLUMN sea.gpu_status.worker_id IS 'Worker that runs it';
COMMENT ON COLUMN sea.gpu_status.held_since IS 'When the attempt was claimed';
COMMENT ON COLUMN sea.gpu_status.kept_for IS 'Stage run that the whole machine is kept for: nothing behind it in the order takes a GPU here';

CREATE VIEW sea.gpu_pending WITH (security_invoker = true) AS
SELECT s.id AS stage_id,
       CASE WHEN q.largest < s.gpus
            THEN 'needs ' || s.gpus || ' GPUs: the largest machine of its queue has ' || q.largest
                 || '; '
            WHEN q.room >= s.gpus THEN ''
            WHEN s.gpus = 1 THEN 'waits for a free GPU; '
            ELSE 'waits for ' || s.gpus || ' free GPUs of one machine; ' END
       || coalesce((
          SELECT string_agg('machine "' || h.host || '" is kept for '
                            || CASE WHEN h.stage_id = s.id THEN 'it'
                                    ELSE 'stage run ' || h.stage_id END, '; ' ORDER BY h.host)
                 || '; '
            FROM sea.gpu_hold h JOIN sea.todo k ON k.stage_id = h.stage_id
           WHERE h.host = ANY (q.hosts) AND h.holds_at <= clock_timestamp()
             AND NOT sea.hold_is_void(h.host, h.stage_id)
             AND (k.rank, k.stage_id) <= (t.rank, t.stage_id)), '') AS words
  FROM sea.stage_run s
  JOIN sea.todo t ON t.stage_id = s.id AND t.list = 'ready'
 CROSS JOIN LATERAL (
       SELECT max(cardinality(w.gpus)) AS largest, min(cardinality(w.gpus)) AS least,
              array_agg(w.host) AS hosts, max(f.free) AS room
         FROM sea.worker w
        CROSS JOIN LATERAL (
              SELECT count(*) AS free FROM sea.slot x
               WHERE x.kind = 'gpu' AND x.name = w.host AND x.number - 1 = ANY (w.gpus)
                 AND x.stage_id IS NULL) f
        WHERE w.queue = s.queue AND w.ended_at IS NULL AND w.state IN ('active', 'suspect')) q
 WHERE s.state = 'ready' AND s.gpus > 0 AND q.least > 0;
COMMENT ON VIEW sea.gpu_pending IS 'Part of sea.why_pending: what GPUs have to do with it. A queue with workers that have none has no row: those take everything.';
COMMENT ON COLUMN sea.gpu_pending.stage_id IS 'Stage run that is ready';
COMMENT ON COLUMN sea.gpu_pending.words IS 'Beginning of a reason, or empty';

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
           coalesce(g.words, '') || w.reason) AS reason,
       w.failures, w.losses, w.since
  FROM sea.why_pending_here w
  LEFT JOIN sea.lease l ON l.stage_id = w.stage_id
  LEFT JOIN sea.cluster_job j ON j.stage_id = l.stage_id AND j.epoch = l.epoch
  LEFT JOIN sea.gpu_pending g ON g.stage_id = w.stage_id
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
 WHERE s.id IS NULL OR s.ended_at IS NOT NULL
UNION ALL
SELECT t.stage_id, 'a place of ' || t.kind || ' "' || t.name || '" without lease'
  FROM sea.slot t
 WHERE t.stage_id IS NOT NULL
   AND NOT EXISTS (SELECT FROM sea.lease l WHERE l.stage_id = t.stage_id AND l.epoch = t.epoch)
UNION ALL
SELECT s.id, 'does not hold the GPUs that it needs'
  FROM sea.lease l
  JOIN sea.worker w ON w.id = l.worker_id AND w.gpus <> '{}'
  JOIN sea.stage_run s ON s.id = l.stage_id
 WHERE s.gpus <> (SELECT count(*) FROM sea.slot t
                   WHERE t.kind = 'gpu' AND t.stage_id = l.stage_id AND t.epoch = l.epoch
                     AND t.name = w.host AND t.number - 1 = ANY (w.gpus));

-- ---- rights, plans ----

INSERT INTO sea.access (object, kind, roles)
SELECT o, 'shared', ARRAY['researcher', 'worker', 'scheduler', 'viewer', 'auditor']
  FROM unnest(ARRAY['gpu_hold', 'gpu_status', 'gpu_pending']) o
UNION ALL
SELECT o, 'function', ARRAY['researcher', 'worker', 'scheduler', 'viewer', 'auditor']
  FROM unnest(ARRAY['gpus_needed', 'hold_is_void']) o;

-- As 0009 has it for all functions of claims: a new text loses these.
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
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
