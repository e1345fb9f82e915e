-- Purpose: stages that run as jobs of a cluster's batch system (Slurm).
-- Breaking: no. Stage runs whose configuration says resources.backend: slurm wait in queues
--           named slurm/..., which only a scheduler with a slurm section claims from.
-- Locks and scans: a trigger on stage_run (short lock), view why_pending made anew.
-- Run before: nothing.
--
-- A job of a cluster is an attempt like any other: it has a lease, an epoch and a secret. What
-- is different is the time between its claim and its start, in which nobody can renew a lease:
-- it is without end there, and only proof ends it. The proof is an answer of the cluster that
-- names the job's token, or enough answers that do not.
--
--     intent      claimed and committed, before the cluster is asked at all
--     submitted   the cluster named an id for the token
--     unknown     the cluster said something else, or nothing: it is looked for
--     started     the job has shown stage run, epoch and secret, the first one that did;
--                 from here on its lease lives by renewals, as everywhere
--
-- A job is alive while there is a lease of its epoch; rows stay as history.
-- Lock order: lease, then cluster_job, then as in 0001.
-- A line that ends with "guard: NAME" keeps out what may not write; each is
-- removed once by tests/scheduler/test_slurm.c, and must be missed.

CREATE TABLE sea.cluster_job (
    stage_id bigint NOT NULL,
    epoch bigint NOT NULL,
    token text NOT NULL,
    state text NOT NULL DEFAULT 'intent',
    job_id text,
    driver_id bigint NOT NULL,
    worker_id bigint,
    started_by text,
    cluster_state text,
    cluster_reason text,
    node text,
    message text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    absent_at timestamptz,
    over_at timestamptz,
    CONSTRAINT cluster_job_pk PRIMARY KEY (stage_id, epoch),
    CONSTRAINT cluster_job_state_known CHECK
        (state IN ('intent', 'submitted', 'unknown', 'started')),
    CONSTRAINT cluster_job_submitted_has_id CHECK (state <> 'submitted' OR job_id IS NOT NULL),
    CONSTRAINT cluster_job_started_is_whole CHECK
        ((state = 'started') = (started_by IS NOT NULL)
         AND (state = 'started') = (worker_id IS NOT NULL))
);
CREATE INDEX cluster_job_token ON sea.cluster_job (token);
CREATE INDEX cluster_job_node ON sea.cluster_job (node, created_at) WHERE node IS NOT NULL;
COMMENT ON TABLE sea.cluster_job IS 'Attempts that run as jobs of a cluster. Alive while there is a lease of the same stage run and epoch; kept as history.';
COMMENT ON COLUMN sea.cluster_job.stage_id IS 'Stage run';
COMMENT ON COLUMN sea.cluster_job.epoch IS 'Its attempt';
COMMENT ON COLUMN sea.cluster_job.token IS 'Name of the job in the cluster: what it is found by when its id was not heard. A job that the cluster starts again keeps it';
COMMENT ON COLUMN sea.cluster_job.state IS 'intent (not asked yet), submitted, unknown (asked, no clear answer), started';
COMMENT ON COLUMN sea.cluster_job.job_id IS 'Id in the cluster; counts only together with the token, ids come again';
COMMENT ON COLUMN sea.cluster_job.driver_id IS 'Worker row of the scheduler that submitted it';
COMMENT ON COLUMN sea.cluster_job.worker_id IS 'Worker row of the job itself';
COMMENT ON COLUMN sea.cluster_job.started_by IS 'Which process started the attempt: the first one';
COMMENT ON COLUMN sea.cluster_job.cluster_state IS 'What the cluster said of it last: PENDING, RUNNING, ...';
COMMENT ON COLUMN sea.cluster_job.cluster_reason IS 'Why it waits, in the cluster''s words';
COMMENT ON COLUMN sea.cluster_job.node IS 'Where it runs, or ran';
COMMENT ON COLUMN sea.cluster_job.message IS 'What the cluster answered to the submission, when it was not an id';
COMMENT ON COLUMN sea.cluster_job.created_at IS 'When it was claimed';
COMMENT ON COLUMN sea.cluster_job.changed_at IS 'When state changed last';
COMMENT ON COLUMN sea.cluster_job.absent_at IS 'Start of the first look, of those since it was seen last, that did not find it';
COMMENT ON COLUMN sea.cluster_job.over_at IS 'Start of the first look that found it ended';

CREATE TABLE sea.cluster_look (
    cluster text NOT NULL,
    looked_at timestamptz,
    failed_at timestamptz,
    failures bigint NOT NULL DEFAULT 0,
    failures_ever bigint NOT NULL DEFAULT 0,
    message text,
    CONSTRAINT cluster_look_pk PRIMARY KEY (cluster)
);
COMMENT ON TABLE sea.cluster_look IS 'How looking at the cluster goes. A look that fails makes it suspect and moves no stage run.';
COMMENT ON COLUMN sea.cluster_look.cluster IS 'Name of the back end: slurm';
COMMENT ON COLUMN sea.cluster_look.looked_at IS 'Last look that was answered';
COMMENT ON COLUMN sea.cluster_look.failed_at IS 'Last look that was not';
COMMENT ON COLUMN sea.cluster_look.failures IS 'Looks in a row without an answer; above 0 the cluster is suspect';
COMMENT ON COLUMN sea.cluster_look.failures_ever IS 'Looks without an answer, all together';
COMMENT ON COLUMN sea.cluster_look.message IS 'What the last failed look ended with';

-- ---- which stage runs ----

CREATE FUNCTION sea.stage_run_backend() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    -- A queue of its own: workers claim from queues that they name, so none takes it by chance.
    UPDATE sea.stage_run AS s
       SET queue = (e.config #>> '{resources,backend}') || '/' || s.queue
      FROM fresh f JOIN sea.experiment e ON e.id = f.experiment_id
     WHERE s.id = f.id AND e.config #>> '{resources,backend}' = 'slurm'
       AND s.queue NOT LIKE 'slurm/%';
    RETURN NULL;
END $$;
COMMENT ON FUNCTION sea.stage_run_backend() IS 'Trigger: a stage run of an experiment with resources.backend: slurm waits in queue slurm/QUEUE.';
CREATE TRIGGER stage_run_backend AFTER INSERT ON sea.stage_run
    REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION sea.stage_run_backend();
COMMENT ON TRIGGER stage_run_backend ON sea.stage_run IS 'See sea.stage_run_backend()';

-- ---- the scheduler's side ----

CREATE FUNCTION sea.job_claim(p_driver_id bigint, p_queue text)
RETURNS TABLE (stage_id bigint, epoch bigint, secret uuid, experiment_id bigint, stage text,
               config jsonb, timeout_ms bigint, token text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    one record;
    name text;
BEGIN
    SELECT c.stage_id, c.epoch, c.secret, c.experiment_id, c.stage, c.config, c.timeout_ms
      INTO one FROM sea.claim(p_driver_id, p_queue, 1) AS c;
    IF NOT FOUND OR one.stage_id IS NULL THEN
        RETURN;
    END IF;
    name := 'sea-' || one.stage_id || '-' || one.epoch || '-'
            || substr(replace(gen_random_uuid()::text, '-', ''), 1, 12);
    UPDATE sea.lease AS l SET expires_at = 'infinity'
     WHERE l.stage_id = one.stage_id AND l.epoch = one.epoch;
    INSERT INTO sea.cluster_job (stage_id, epoch, token, driver_id)
    VALUES (one.stage_id, one.epoch, name, p_driver_id);
    RETURN QUERY SELECT one.stage_id, one.epoch, one.secret, one.experiment_id, one.stage,
                        one.config, one.timeout_ms, name;
END $$;
COMMENT ON FUNCTION sea.job_claim(bigint, text) IS 'As sea.claim, for a job of a cluster: the lease has no end until the job starts, and the intent is written before anybody asks the cluster.';

CREATE FUNCTION sea.job_submitted(p_stage_id bigint, p_epoch bigint, p_job_id text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sea.cluster_job AS j
       SET state = 'submitted', job_id = p_job_id, changed_at = clock_timestamp(),
           absent_at = NULL
     WHERE j.stage_id = p_stage_id AND j.epoch = p_epoch
       AND j.state IN ('intent', 'unknown');                    -- guard: submitted_state
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION sea.job_submitted(bigint, bigint, text) IS 'The cluster named an id. False: the job has started or ended meanwhile.';

CREATE FUNCTION sea.job_unknown(p_stage_id bigint, p_epoch bigint, p_message text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sea.cluster_job AS j
       SET state = 'unknown', message = p_message, changed_at = clock_timestamp(),
           absent_at = NULL
     WHERE j.stage_id = p_stage_id AND j.epoch = p_epoch
       AND j.state = 'intent';                                  -- guard: unknown_state
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION sea.job_unknown(bigint, bigint, text) IS 'The cluster''s answer to the submission was no id: the job may be there or not.';

CREATE FUNCTION sea.job_overdue(p_limit_ms bigint) RETURNS bigint
LANGUAGE sql AS $$
    WITH late AS (
        UPDATE sea.cluster_job AS j
           SET state = 'unknown', changed_at = clock_timestamp(), absent_at = NULL,
               message = 'the scheduler that submitted it was not heard of again'
          FROM sea.lease l
         WHERE l.stage_id = j.stage_id AND l.epoch = j.epoch AND j.state = 'intent'
           AND j.created_at < clock_timestamp() - p_limit_ms * interval '1 ms' -- guard: overdue_limit
        RETURNING 1)
    SELECT count(*) FROM late;
$$;
COMMENT ON FUNCTION sea.job_overdue(bigint) IS 'Intents that are older than any submission can take become unknown: their scheduler may have died before, during or after it. Returns how many.';

CREATE FUNCTION sea.job_found(p_stage_id bigint, p_epoch bigint, p_looked_at timestamptz,
                              p_job_id text, p_state text, p_reason text, p_node text,
                              p_is_over boolean)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    now_state text;
BEGIN
    UPDATE sea.cluster_job AS j
       SET job_id = CASE WHEN j.state = 'started' THEN j.job_id ELSE p_job_id END,
           changed_at = CASE WHEN j.state IN ('intent', 'unknown') THEN clock_timestamp()
                             ELSE j.changed_at END,
           state = CASE WHEN j.state IN ('intent', 'unknown') THEN 'submitted' ELSE j.state END,
           cluster_state = p_state, cluster_reason = p_reason,
           node = coalesce(p_node, j.node), absent_at = NULL,
           over_at = CASE WHEN p_is_over THEN coalesce(j.over_at, p_looked_at) END
     WHERE j.stage_id = p_stage_id AND j.epoch = p_epoch
    RETURNING j.state INTO now_state;
    RETURN now_state;
END $$;
COMMENT ON FUNCTION sea.job_found(bigint, bigint, timestamptz, text, text, text, text, boolean) IS 'A look found a job with the token: its id is adopted while it has not started. Returns the state.';

CREATE FUNCTION sea.job_absent(p_stage_id bigint, p_epoch bigint, p_looked_at timestamptz,
                               p_settle_ms bigint, p_grace_ms bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    job sea.cluster_job;
BEGIN
    SELECT * INTO job FROM sea.cluster_job j
     WHERE j.stage_id = p_stage_id AND j.epoch = p_epoch FOR NO KEY UPDATE;
    IF job.state IS NULL OR job.state NOT IN ('submitted', 'unknown')
       OR p_looked_at < job.changed_at + p_settle_ms * interval '1 ms' THEN -- guard: absent_settle
        RETURN false;
    END IF;
    IF job.absent_at IS NULL THEN
        UPDATE sea.cluster_job AS j SET absent_at = p_looked_at
         WHERE j.stage_id = p_stage_id AND j.epoch = p_epoch;
        RETURN false;                                           -- guard: absent_twice
    END IF;
    RETURN p_looked_at >= job.absent_at + p_grace_ms * interval '1 ms'; -- guard: absent_grace
END $$;
COMMENT ON FUNCTION sea.job_absent(bigint, bigint, timestamptz, bigint, bigint) IS 'A look that was answered did not show the token. True when it is gone: two such looks, the first one later than the cluster can need to show a job, the second one a grace later.';

CREATE FUNCTION sea.job_lost(p_stage_id bigint, p_epoch bigint, p_has_started boolean,
                             p_class text, p_message text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
    job sea.cluster_job;
BEGIN
    PERFORM 1 FROM sea.lease l
      WHERE l.stage_id = p_stage_id
        AND l.epoch = p_epoch                                   -- guard: lost_epoch
        FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT * INTO job FROM sea.cluster_job j
     WHERE j.stage_id = p_stage_id AND j.epoch = p_epoch
       AND (j.state = 'started') = p_has_started;               -- guard: lost_started
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    result := sea.give_back(p_stage_id, p_epoch, p_class, p_message, 0);
    UPDATE sea.attempt AS a SET message = p_message
     WHERE a.stage_id = p_stage_id AND a.epoch = p_epoch;
    PERFORM sea.end_attempt(p_stage_id, p_epoch,
        CASE result WHEN 'cancelled' THEN 'cancelled' WHEN 'failed' THEN 'failed' ELSE 'lost' END,
        CASE WHEN result <> 'cancelled' THEN p_class END);
    -- A node on which jobs end before they begin eats a queue.
    IF NOT p_has_started AND job.node IS NOT NULL
       AND (SELECT b.started_by IS NULL FROM sea.cluster_job b
             WHERE b.node = job.node AND (b.stage_id, b.epoch) <> (p_stage_id, p_epoch)
               AND b.created_at < job.created_at
             ORDER BY b.created_at DESC LIMIT 1) THEN
        INSERT INTO sea.event (level, kind, text)
        VALUES ('error', 'worker', 'node ' || job.node
                || ' ended two jobs in a row before they started their stages');
    END IF;
    RETURN result;
END $$;
COMMENT ON FUNCTION sea.job_lost(bigint, bigint, boolean, text, text) IS 'There is proof that an attempt on the cluster has ended: its stage run goes back as the class says. NULL: it was over already, or has started meanwhile.';

CREATE FUNCTION sea.job_looked(p_cluster text, p_message text) RETURNS bigint
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
COMMENT ON FUNCTION sea.job_looked(text, text) IS 'How a look at the cluster went: a message says that it failed. Moves nothing else. Returns how many had failed in a row before.';

CREATE FUNCTION sea.job_ghosts(p_tokens jsonb) RETURNS TABLE (token text)
LANGUAGE sql STABLE AS $$
    SELECT t FROM jsonb_array_elements_text(p_tokens) AS t
     WHERE EXISTS (SELECT FROM sea.cluster_job j WHERE j.token = t) -- guard: ghosts_known
       AND NOT EXISTS (SELECT FROM sea.cluster_job j
                         JOIN sea.lease l ON l.stage_id = j.stage_id AND l.epoch = j.epoch
                        WHERE j.token = t);                     -- guard: ghosts_alive
$$;
COMMENT ON FUNCTION sea.job_ghosts(jsonb) IS 'Of tokens that the cluster shows, those of this service whose attempts are over: their jobs are to be cancelled. Tokens that this service does not know belong to another one.';

-- ---- the job's side ----

CREATE FUNCTION sea.job_start(p_stage_id bigint, p_epoch bigint, p_secret uuid, p_nonce text,
                              p_job_id text, p_host text, p_pid bigint, p_device text,
                              p_ttl_ms integer)
RETURNS TABLE (stage_id bigint, epoch bigint, secret uuid, worker_id bigint,
               experiment_id bigint, stage text, key text, config jsonb, timeout_ms bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    worker bigint;
BEGIN
    PERFORM sea.assert_lease(p_stage_id, p_epoch, p_secret, 'start of a job'); -- guard: start_lease
    UPDATE sea.cluster_job AS j
       SET started_by = p_nonce, state = 'started', job_id = p_job_id,
           node = coalesce(p_host, j.node), changed_at = clock_timestamp(),
           worker_id = coalesce(j.worker_id, sea.register_worker(p_host, p_pid, p_device,
               (SELECT s.queue FROM sea.stage_run s WHERE s.id = p_stage_id), p_ttl_ms))
     WHERE j.stage_id = p_stage_id AND j.epoch = p_epoch
       AND (j.started_by IS NULL OR j.started_by = p_nonce)     -- guard: start_once
    RETURNING j.worker_id INTO worker;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % of stage run % was started by another job', p_epoch, p_stage_id
            USING ERRCODE = 'LF001';
    END IF;
    UPDATE sea.lease AS l
       SET worker_id = worker, expires_at = clock_timestamp() + p_ttl_ms * interval '1 ms'
     WHERE l.stage_id = p_stage_id AND l.epoch = p_epoch;
    UPDATE sea.attempt AS a SET worker_id = worker
     WHERE a.stage_id = p_stage_id AND a.epoch = p_epoch;
    RETURN QUERY
    SELECT s.id, p_epoch, p_secret, worker, s.experiment_id, s.stage, s.key, e.config,
           s.timeout_ms
      FROM sea.stage_run s JOIN sea.experiment e ON e.id = s.experiment_id
     WHERE s.id = p_stage_id;
END $$;
COMMENT ON FUNCTION sea.job_start(bigint, bigint, uuid, text, text, text, bigint, text, integer) IS 'The first act of a job: it claims exactly its stage run and epoch. The first process to show the secret wins (the same one may ask again); every other gets LF001 and has nothing to do. The lease lives by renewals from here on.';

CREATE FUNCTION sea.job_restart(p_stage_id bigint, p_epoch bigint, p_secret uuid, p_nonce text,
                                p_job_id text, p_host text, p_pid bigint, p_device text,
                                p_ttl_ms integer)
RETURNS TABLE (stage_id bigint, epoch bigint, secret uuid, worker_id bigint,
               experiment_id bigint, stage text, key text, config jsonb, timeout_ms bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    why CONSTANT text := 'the cluster started its job again';
    run sea.stage_run;
    job sea.cluster_job;
    fresh uuid := gen_random_uuid();
BEGIN
    PERFORM sea.assert_lease(p_stage_id, p_epoch, p_secret, 'restart of a job'); -- guard: restart_lease
    SELECT * INTO job FROM sea.cluster_job j
     WHERE j.stage_id = p_stage_id AND j.epoch = p_epoch AND j.state = 'started'
       AND j.job_id = p_job_id;                                 -- guard: restart_id
    IF NOT FOUND THEN
        RAISE EXCEPTION 'job % is not the one that started attempt % of stage run %', p_job_id,
            p_epoch, p_stage_id USING ERRCODE = 'LF001';
    END IF;
    SELECT * INTO run FROM sea.stage_run s
     WHERE s.id = p_stage_id AND s.state = 'running' AND s.last_epoch = p_epoch
       FOR NO KEY UPDATE;
    UPDATE sea.attempt AS a SET message = why WHERE a.stage_id = p_stage_id AND a.epoch = p_epoch;
    IF run.cancel_requested_at IS NOT NULL OR run.losses + 1 > run.losses_max THEN
        -- Nothing is left to start: as if it had been lost.
        PERFORM sea.end_attempt(p_stage_id, p_epoch,
            CASE sea.give_back(p_stage_id, p_epoch, 'preempted', why, 0)
            WHEN 'cancelled' THEN 'cancelled' ELSE 'lost' END,
            CASE WHEN run.cancel_requested_at IS NULL THEN 'preempted' END);
        RETURN;
    END IF;
    UPDATE sea.stage_run AS s SET last_epoch = s.last_epoch + 1, losses = s.losses + 1
     WHERE s.id = p_stage_id;
    UPDATE sea.slot AS t SET epoch = t.epoch + 1
     WHERE t.stage_id = p_stage_id AND t.epoch = p_epoch;
    PERFORM sea.end_attempt(p_stage_id, p_epoch, 'lost', 'preempted');
    INSERT INTO sea.lease (stage_id, epoch, worker_id, secret, expires_at)
    VALUES (p_stage_id, p_epoch + 1, job.worker_id, fresh, 'infinity');
    INSERT INTO sea.attempt (stage_id, epoch, worker_id)
    VALUES (p_stage_id, p_epoch + 1, job.worker_id);
    INSERT INTO sea.cluster_job (stage_id, epoch, token, state, job_id, driver_id)
    VALUES (p_stage_id, p_epoch + 1, job.token, 'submitted', p_job_id, job.driver_id);
    RETURN QUERY SELECT * FROM sea.job_start(p_stage_id, p_epoch + 1, fresh, p_nonce, p_job_id,
                                             p_host, p_pid, p_device, p_ttl_ms);
END $$;
COMMENT ON FUNCTION sea.job_restart(bigint, bigint, uuid, text, text, text, bigint, text, integer) IS 'The cluster started a job again that had started its attempt before: a new epoch and secret shut out the earlier process, which may still run. Costs a loss. No row: cancelled, or too many losses.';

-- ---- what people see ----

CREATE VIEW sea.cluster_status AS
SELECT s.experiment_id, s.stage, j.stage_id, j.epoch, j.state, j.job_id, j.token,
       j.cluster_state, j.cluster_reason, j.node, j.message, j.created_at,
       EXISTS (SELECT FROM sea.lease l
                WHERE l.stage_id = j.stage_id AND l.epoch = j.epoch) AS is_alive
  FROM sea.cluster_job j JOIN sea.stage_run s ON s.id = j.stage_id;
COMMENT ON VIEW sea.cluster_status IS 'Attempts that ran or run as jobs of a cluster.';
COMMENT ON COLUMN sea.cluster_status.experiment_id IS 'Experiment';
COMMENT ON COLUMN sea.cluster_status.stage IS 'Stage';
COMMENT ON COLUMN sea.cluster_status.stage_id IS 'Stage run';
COMMENT ON COLUMN sea.cluster_status.epoch IS 'Attempt';
COMMENT ON COLUMN sea.cluster_status.state IS 'intent, submitted, unknown or started';
COMMENT ON COLUMN sea.cluster_status.job_id IS 'Id in the cluster';
COMMENT ON COLUMN sea.cluster_status.token IS 'Name of the job in the cluster';
COMMENT ON COLUMN sea.cluster_status.cluster_state IS 'What the cluster said of it last';
COMMENT ON COLUMN sea.cluster_status.cluster_reason IS 'Why it waits, in the cluster''s words';
COMMENT ON COLUMN sea.cluster_status.node IS 'Where it runs, or ran';
COMMENT ON COLUMN sea.cluster_status.message IS 'What the cluster answered to the submission, when it was not an id';
COMMENT ON COLUMN sea.cluster_status.created_at IS 'When it was claimed';
COMMENT ON COLUMN sea.cluster_status.is_alive IS 'The attempt has not ended';

ALTER VIEW sea.why_pending RENAME TO why_pending_here;
COMMENT ON VIEW sea.why_pending_here IS 'Part of sea.why_pending: without what a cluster says.';
CREATE VIEW sea.why_pending WITH (security_invoker = true) AS
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
COMMENT ON VIEW sea.why_pending IS 'For every stage run that has not ended: what it is waiting for.';
COMMENT ON COLUMN sea.why_pending.experiment_id IS 'Experiment';
COMMENT ON COLUMN sea.why_pending.stage_id IS 'Stage run';
COMMENT ON COLUMN sea.why_pending.stage IS 'Stage';
COMMENT ON COLUMN sea.why_pending.state IS 'Its state';
COMMENT ON COLUMN sea.why_pending.reason IS 'What it waits for, in words';
COMMENT ON COLUMN sea.why_pending.failures IS 'Failures so far';
COMMENT ON COLUMN sea.why_pending.losses IS 'Losses so far';
COMMENT ON COLUMN sea.why_pending.since IS 'When it became ready last, or was submitted';

-- ---- roles ----

INSERT INTO sea.access (object, kind, roles)
SELECT o, 'function', ARRAY['scheduler']
  FROM unnest(ARRAY['job_claim', 'job_submitted', 'job_unknown', 'job_overdue', 'job_found',
       'job_absent', 'job_lost', 'job_looked', 'job_ghosts']) o
UNION ALL
SELECT o, 'function', ARRAY['worker'] FROM unnest(ARRAY['job_start', 'job_restart']) o
UNION ALL
SELECT 'cluster_job', 'stage', ARRAY['researcher', 'worker', 'scheduler', 'viewer', 'auditor']
UNION ALL
SELECT o, 'shared', ARRAY['researcher', 'worker', 'scheduler', 'viewer', 'auditor']
  FROM unnest(ARRAY['cluster_look', 'cluster_status', 'why_pending_here']) o;
-- A scheduler with a cluster is a worker to the queue: it registers, and says that it lives.
UPDATE sea.access SET roles = array_append(roles, 'scheduler')
 WHERE object IN ('register_worker', 'worker_beat', 'worker_state')
   AND 'scheduler' <> ALL (roles);

SET LOCAL client_min_messages = warning;
DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
