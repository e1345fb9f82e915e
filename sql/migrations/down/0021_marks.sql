-- Undoes 0021_marks. Loses: nothing.

-- As 0009, 0015 and 0018 made them.

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

CREATE OR REPLACE FUNCTION sea.commit_batch(p_commits jsonb) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
    won bigint[];
    epochs bigint[];
    secrets uuid[];
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
    SELECT array_agg(c.stage_id), array_agg(c.epoch), array_agg(c.secret), array_agg(c.digest),
           array_agg(c.files), array_agg(c.metrics)
      INTO won, epochs, secrets, digests, files, metrics
      FROM jsonb_to_recordset(p_commits) AS c (stage_id bigint, epoch bigint, secret uuid,
                                               files jsonb, digest text, metrics jsonb);
    SELECT array_agg(l.stage_id), array_agg(c.epoch), array_agg(digests[c.n]),
           array_agg(files[c.n]), array_agg(metrics[c.n])
      INTO won, epochs, digests, files, metrics
      FROM (SELECT l.stage_id, l.epoch, l.secret FROM sea.lease l
             WHERE l.stage_id = ANY (won) ORDER BY l.stage_id FOR UPDATE) AS l
      JOIN unnest(won, epochs, secrets) WITH ORDINALITY AS c (stage_id, epoch, secret, n)
        ON l.stage_id = c.stage_id
       AND l.epoch = c.epoch                                    -- fence: batch_commit_epoch behind batch_commit_running by forged
       AND l.secret = c.secret;                                 -- fence: batch_commit_secret
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

CREATE OR REPLACE FUNCTION sea.commit_stage(p_stage_id bigint, p_epoch bigint, p_secret uuid, p_files jsonb,
                                 p_digest text, p_scores jsonb, p_metrics jsonb DEFAULT NULL,
                                 p_number bigint DEFAULT NULL, p_last jsonb DEFAULT NULL)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    run record;
    known text;
    checkpoints jsonb;
BEGIN
    DELETE FROM sea.lease
     WHERE stage_id = p_stage_id
       AND epoch = p_epoch                                      -- fence: commit_epoch behind commit_running by forged
       AND secret = p_secret;                                   -- fence: commit_secret
    IF NOT FOUND THEN PERFORM sea.lease_lost(p_stage_id, p_epoch, 'commit'); END IF; -- fence: commit
    IF p_scores <> '[]' THEN         -- first: the trigger of the boards reads them
        PERFORM sea.add_scores(p_stage_id, p_epoch, p_scores);
    END IF;
    UPDATE sea.stage_run
       SET state = 'done', done_epoch = p_epoch, output_stage_id = p_stage_id,
           output_epoch = p_epoch, output_digest = p_digest, reason = NULL,
           ended_at = clock_timestamp()
     WHERE id = p_stage_id
       AND state = 'running' AND last_epoch = p_epoch           -- fence: commit_running behind commit
    RETURNING stage, key, experiment_id INTO run;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % of stage run % is not the running one: commit refused',
            p_epoch, p_stage_id USING ERRCODE = 'LF001';
    END IF;
    INSERT INTO sea.manifest (stage_id, epoch, path, sha256, bytes)
    SELECT p_stage_id, p_epoch, f->>0, f->>1, (f->>2)::bigint
      FROM jsonb_array_elements(p_files) AS f;
    IF p_metrics IS NOT NULL THEN
        INSERT INTO sea.metric (stage_id, epoch, name, step, value)
        SELECT p_stage_id, p_epoch, m->>0, (m->>1)::bigint, coalesce(m->>2, 'NaN')::float8
          FROM jsonb_array_elements(p_metrics) AS m;
    END IF;
    -- One that had arrived by itself counts once.
    IF p_last IS NOT NULL
       AND NOT EXISTS (SELECT FROM sea.batch b
                        WHERE b.stage_id = p_stage_id AND b.epoch = p_epoch
                          AND b.number = p_number) THEN
        PERFORM sea.add_batch(run.experiment_id, p_stage_id, p_epoch, p_last);
    END IF;
    IF EXISTS (SELECT FROM sea.stage_dep d WHERE d.parent_id = p_stage_id) THEN
        PERFORM sea.promote_children(p_stage_id);
    END IF;
    INSERT INTO sea.stage_cache (key, stage_id, epoch, output_digest)
    VALUES (run.key, p_stage_id, p_epoch, p_digest)
        ON CONFLICT (key) DO NOTHING;
    IF NOT FOUND THEN
        SELECT output_digest INTO known FROM sea.stage_cache WHERE key = run.key;
        IF known <> p_digest THEN
            INSERT INTO sea.event (experiment_id, stage_id, epoch, level, kind, text)
            VALUES (run.experiment_id, p_stage_id, p_epoch, 'error', 'cache',
                    run.stage || ': output ' || p_digest || ' differs from ' || known
                    || ' for the same stage key ' || run.key);
        END IF;
    END IF;
    DELETE FROM sea.flight WHERE key = run.key AND stage_id = p_stage_id;
    WITH gone AS (DELETE FROM sea.checkpoint c WHERE c.key = run.key RETURNING c.name)
    SELECT coalesce(jsonb_agg(name), '[]') INTO checkpoints FROM gone;
    UPDATE sea.attempt SET state = 'committed', ended_at = clock_timestamp()
     WHERE stage_id = p_stage_id AND epoch = p_epoch;
    DELETE FROM sea.batch WHERE stage_id = p_stage_id AND epoch = p_epoch;
    DELETE FROM sea.pin WHERE stage_id = p_stage_id AND epoch = p_epoch;
    UPDATE sea.slot SET stage_id = NULL, epoch = NULL
     WHERE stage_id = p_stage_id AND epoch = p_epoch;
    INSERT INTO sea.event (experiment_id, stage_id, epoch, level, kind, text)
    VALUES (run.experiment_id, p_stage_id, p_epoch, 'info', 'state',
            run.stage || ': running -> done');
    PERFORM sea.finish_experiment(run.experiment_id);
    RETURN checkpoints;
END $$;

-- As 0015 and 0018 have it: a new text loses these.
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT p.oid::regprocedure AS name,
                      CASE p.proname WHEN 'commit_batch' THEN 'on' ELSE 'off' END AS hash
                 FROM pg_proc p
                WHERE p.pronamespace = 'sea'::regnamespace
                  AND p.proname IN ('claim', 'claim_batch', 'commit_stage', 'commit_batch') LOOP
        EXECUTE format('ALTER FUNCTION %s SET plan_cache_mode = force_generic_plan'
                       ' SET enable_seqscan = off SET enable_bitmapscan = off'
                       ' SET enable_hashjoin = %s SET enable_mergejoin = off',
                       one.name, one.hash);
    END LOOP;
END $$;

SET LOCAL client_min_messages = warning;
DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
