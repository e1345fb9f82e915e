-- Purpose: a quicker queue: stage runs that somebody has to take stand in a narrow list of their
--          own, a commit claims the next stage run, and what is dead slows no claim.
-- Breaking: no. Programs of 0008 go on; their calls meet the functions below.
-- Locks and scans: ACCESS EXCLUSIVE on stage_run, attempt, experiment and event while their
--          constraints move into triggers; reads stage_run once, for the list.
-- Run before: SELECT count(*) FROM sea.stage_run WHERE ended_at IS NULL; the list gets that many
--          rows, 20,000 a second.
--
-- Why triggers guard what CHECKs guarded: PostgreSQL reads the text of every CHECK of a table
-- anew for each statement that writes to it. The twenty of stage_run cost more than the update
-- (a quarter of a claim and commit). Names of broken rules are the same, and so is 23514.
-- Why no index of stage_run, attempt or experiment looks at a state: an update that changes no
-- indexed column stays on its page and touches no index. What is looked for by state has rows in
-- sea.todo (waiting, ready, backoff) or sea.lease (running).
--
-- Lock order: as in 0001; sea.todo belongs to its stage run's lock, and the lock of a mark
-- (sea.lower_mark) comes after everything else.

-- ---- what somebody has to take ----

CREATE TABLE sea.todo (
    stage_id bigint NOT NULL,
    list text NOT NULL,
    queue text NOT NULL,
    owner text NOT NULL,
    rank timestamptz NOT NULL,
    CONSTRAINT todo_pk PRIMARY KEY (stage_id),
    CONSTRAINT todo_list_known CHECK (list IN ('waiting', 'ready', 'backoff'))
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX todo_next ON sea.todo (list, queue, rank, stage_id);
COMMENT ON TABLE sea.todo IS 'Stage runs that wait for a scheduler or a worker, in the order in which they are taken. A row is written and removed by whoever holds the lock of its stage run.';
COMMENT ON COLUMN sea.todo.stage_id IS 'Stage run';
COMMENT ON COLUMN sea.todo.list IS 'waiting (for its key), ready (for a worker), backoff (for the end of its pause): its state';
COMMENT ON COLUMN sea.todo.queue IS 'ready: its queue; else empty';
COMMENT ON COLUMN sea.todo.owner IS 'Database user who submitted: limits per user count by it';
COMMENT ON COLUMN sea.todo.rank IS 'Smallest first: when it came, ten minutes earlier for each step of priority; backoff: when the pause ends';

CREATE TABLE sea.mark (
    queue text NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    rank timestamptz NOT NULL,
    CONSTRAINT mark_pk PRIMARY KEY (queue, number)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE sea.mark IS 'Low-water mark of each queue: nothing ready has a smaller rank, so that claims do not walk over what was claimed before, however long a snapshot keeps it. The highest number counts: rows are added and not changed, so that the newest is found at once.';
COMMENT ON COLUMN sea.mark.queue IS 'Queue';
COMMENT ON COLUMN sea.mark.number IS 'The highest one counts';
COMMENT ON COLUMN sea.mark.rank IS 'Claims look from here on; infinity: nothing is ready';

CREATE TABLE sea.reuse (
    output_stage_id bigint NOT NULL,
    stage_id bigint NOT NULL,
    experiment_id bigint NOT NULL,
    CONSTRAINT reuse_pk PRIMARY KEY (output_stage_id, stage_id)
);
COMMENT ON TABLE sea.reuse IS 'Which stage runs found whose output in the cache: who may see the output of another tenant.';
COMMENT ON COLUMN sea.reuse.output_stage_id IS 'Stage run that made the output';
COMMENT ON COLUMN sea.reuse.stage_id IS 'Stage run that found it';
COMMENT ON COLUMN sea.reuse.experiment_id IS 'Its experiment';

CREATE FUNCTION sea.todo_rank(p_list text, p_priority integer, p_created timestamptz,
                              p_ready timestamptz, p_run timestamptz)
RETURNS timestamptz LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    -- Waiting for ten minutes counts as much as one step of priority. The order of two never
    -- changes with time: so it is a column and not an hourly update of all that wait.
    RETURN CASE p_list WHEN 'backoff' THEN p_run WHEN 'ready' THEN p_ready ELSE p_created END
           - CASE p_list WHEN 'backoff' THEN interval '0'
             ELSE interval '10 min' * greatest(-1000000, least(1000000, p_priority)) END;
END $$;
COMMENT ON FUNCTION sea.todo_rank(text, integer, timestamptz, timestamptz, timestamptz) IS 'Part of the trigger on stage runs: the place of one in sea.todo. Priorities beyond a million count as a million.';

CREATE FUNCTION sea.lower_mark(p_queue text, p_rank timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    low timestamptz;
BEGIN
    -- sea.raise_mark takes the same lock: it sees what is being added here, or this sees what it
    -- raised. Held until the end of the transaction, and taken last.
    PERFORM pg_advisory_xact_lock(1935819115, hashtext(p_queue));
    SELECT m.rank INTO low FROM sea.mark m WHERE m.queue = p_queue ORDER BY m.number DESC LIMIT 1;
    IF low > p_rank THEN
        INSERT INTO sea.mark (queue, rank) VALUES (p_queue, p_rank);
    END IF;
END $$;
COMMENT ON FUNCTION sea.lower_mark(text, timestamptz) IS 'Part of the trigger on stage runs: one has become ready, claims look from there on.';

CREATE FUNCTION sea.raise_mark(p_queue text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    low timestamptz;
    first timestamptz;
    mine bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(1935819115, hashtext(p_queue)) THEN
        RETURN false;
    END IF;
    SELECT m.rank INTO low FROM sea.mark m WHERE m.queue = p_queue ORDER BY m.number DESC LIMIT 1;
    SELECT t.rank INTO first FROM sea.todo t
     WHERE t.list = 'ready' AND t.queue = p_queue AND t.rank >= coalesce(low, '-infinity')
     ORDER BY t.rank LIMIT 1;
    first := coalesce(first, 'infinity');
    IF first > coalesce(low, '-infinity') THEN
        INSERT INTO sea.mark (queue, rank) VALUES (p_queue, first) RETURNING number INTO mine;
        DELETE FROM sea.mark m WHERE m.queue = p_queue AND m.number < mine;
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION sea.raise_mark(text) IS 'Part of the upkeep: the mark of a queue moves to the first stage run that is ready. False: another is at it.';

CREATE FUNCTION sea.rescan_mark(p_queue text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    low timestamptz;
    first timestamptz;
BEGIN
    SELECT m.rank INTO low FROM sea.mark m WHERE m.queue = p_queue ORDER BY m.number DESC LIMIT 1;
    SELECT t.rank INTO first FROM sea.todo t
     WHERE t.list = 'ready' AND t.queue = p_queue AND t.rank < low
     ORDER BY t.rank LIMIT 1;
    IF first IS NULL THEN
        RETURN false;
    END IF;
    PERFORM sea.lower_mark(p_queue, first);
    RETURN true;
END $$;
COMMENT ON FUNCTION sea.rescan_mark(text) IS 'Part of the upkeep: looks before the mark of a queue for what should not be there, and lowers the mark to it. True: there was something.';

-- ---- guards ----

ALTER TABLE sea.stage_run
    DROP CONSTRAINT stage_run_stage_known, DROP CONSTRAINT stage_run_state_known,
    DROP CONSTRAINT stage_run_unmet_not_negative, DROP CONSTRAINT stage_run_aged_not_negative,
    DROP CONSTRAINT stage_run_timeout_positive, DROP CONSTRAINT stage_run_blocked_has_unmet,
    DROP CONSTRAINT stage_run_started_has_no_unmet, DROP CONSTRAINT stage_run_key_is_sha256,
    DROP CONSTRAINT stage_run_ready_has_key, DROP CONSTRAINT stage_run_ready_has_time,
    DROP CONSTRAINT stage_run_backoff_has_time, DROP CONSTRAINT stage_run_running_has_epoch,
    DROP CONSTRAINT stage_run_done_has_epoch, DROP CONSTRAINT stage_run_done_epoch_was_last,
    DROP CONSTRAINT stage_run_output_when_done, DROP CONSTRAINT stage_run_ended_is_terminal,
    DROP CONSTRAINT stage_run_failure_has_reason;
DROP INDEX sea.stage_run_ready, sea.stage_run_waiting, sea.stage_run_backoff,
           sea.stage_run_output;
COMMENT ON COLUMN sea.stage_run.priority IS 'Higher ones are claimed first; ten minutes of waiting count as one step';
COMMENT ON COLUMN sea.stage_run.aged IS 'Always 0: what waiting adds is in sea.todo';

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
COMMENT ON FUNCTION sea.stage_run_guard() IS 'Trigger: refuses transitions that the state machine does not have, epochs that shrink, and rows that break a rule; keeps sea.todo; writes one event per transition (claims and commits write their own).';
DROP TRIGGER stage_run_guard ON sea.stage_run;
CREATE TRIGGER stage_run_guard BEFORE INSERT OR UPDATE ON sea.stage_run
    FOR EACH ROW EXECUTE FUNCTION sea.stage_run_guard();
COMMENT ON TRIGGER stage_run_guard ON sea.stage_run IS 'See sea.stage_run_guard()';

CREATE FUNCTION sea.todo_put(p_stage_id bigint, p_list text, p_queue text, p_owner text,
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
COMMENT ON FUNCTION sea.todo_put(bigint, text, text, text, timestamptz) IS 'Part of the trigger on stage runs: enters one in sea.todo, or moves it.';

INSERT INTO sea.todo (stage_id, list, queue, owner, rank)
SELECT s.id, s.state, CASE s.state WHEN 'ready' THEN s.queue ELSE '' END, s.owner,
       sea.todo_rank(s.state, s.priority - s.aged, s.created_at, s.ready_at, s.run_at)
  FROM sea.stage_run s WHERE s.state IN ('waiting', 'ready', 'backoff');
UPDATE sea.stage_run SET priority = priority - aged, aged = 0 WHERE aged <> 0 AND ended_at IS NULL;
INSERT INTO sea.reuse (output_stage_id, stage_id, experiment_id)
SELECT s.output_stage_id, s.id, s.experiment_id FROM sea.stage_run s WHERE s.state = 'cached';

-- The board's trigger looks at updates that give an output, and at nothing else.
DROP TRIGGER stage_run_board ON sea.stage_run;
CREATE TRIGGER stage_run_board AFTER UPDATE OF output_digest ON sea.stage_run FOR EACH ROW
    WHEN (NEW.stage = 'eval') EXECUTE FUNCTION sea.stage_run_board();
COMMENT ON TRIGGER stage_run_board ON sea.stage_run IS 'See sea.stage_run_board()';

ALTER TABLE sea.attempt
    DROP CONSTRAINT attempt_state_known, DROP CONSTRAINT attempt_class_known,
    DROP CONSTRAINT attempt_class_when_failed, DROP CONSTRAINT attempt_ended_is_terminal,
    DROP CONSTRAINT attempt_resumed_is_whole,
    SET (fillfactor = 80);
CREATE FUNCTION sea.attempt_guard() RETURNS trigger
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
COMMENT ON FUNCTION sea.attempt_guard() IS 'Trigger: refuses attempts that break a rule.';
CREATE TRIGGER attempt_guard BEFORE INSERT OR UPDATE ON sea.attempt
    FOR EACH ROW EXECUTE FUNCTION sea.attempt_guard();
COMMENT ON TRIGGER attempt_guard ON sea.attempt IS 'See sea.attempt_guard()';

ALTER TABLE sea.experiment
    DROP CONSTRAINT experiment_state_known, DROP CONSTRAINT experiment_ended_is_terminal,
    DROP CONSTRAINT experiment_cancelling_was_asked, DROP CONSTRAINT experiment_config_is_map,
    SET (fillfactor = 70);
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
COMMENT ON FUNCTION sea.experiment_guard() IS 'Trigger: refuses transitions of experiments that the state machine does not have, and rows that break a rule.';
DROP TRIGGER experiment_guard ON sea.experiment;
CREATE TRIGGER experiment_guard BEFORE INSERT OR UPDATE ON sea.experiment
    FOR EACH ROW EXECUTE FUNCTION sea.experiment_guard();
COMMENT ON TRIGGER experiment_guard ON sea.experiment IS 'See sea.experiment_guard()';
DROP TRIGGER experiment_tenant ON sea.experiment;
CREATE TRIGGER experiment_tenant
    BEFORE INSERT OR UPDATE OF tenant, retry_of, submit_key, cancel_requested_at ON sea.experiment
    FOR EACH ROW EXECUTE FUNCTION sea.experiment_tenant();
COMMENT ON TRIGGER experiment_tenant ON sea.experiment IS 'See sea.experiment_tenant()';

ALTER TABLE sea.event DROP CONSTRAINT event_level_known, DROP CONSTRAINT event_kind_known;
CREATE FUNCTION sea.event_is_known(p_level text, p_kind text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN p_level IN ('info', 'debug', 'warn', 'error')
       AND p_kind IN ('state', 'log', 'worker', 'cache');
END $$;
COMMENT ON FUNCTION sea.event_is_known(text, text) IS 'Part of a CHECK on events: level and kind are known.';
ALTER TABLE sea.event ADD CONSTRAINT event_is_known CHECK (sea.event_is_known(level, kind));

CREATE FUNCTION sea.path_stays_inside(p_path text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN p_path <> '' AND left(p_path, 1) <> '/'
       AND (strpos(p_path, '..') = 0 OR p_path !~ '(^|/)[.][.](/|$)');
END $$;
COMMENT ON FUNCTION sea.path_stays_inside(text) IS 'Part of a CHECK on manifests: a path below the output folder.';
ALTER TABLE sea.manifest DROP CONSTRAINT manifest_path_stays_inside,
    ADD CONSTRAINT manifest_path_stays_inside CHECK (sea.path_stays_inside(path));

-- Nothing asks for these: comparisons go by stage run, logs by experiment.
DROP INDEX sea.answer_item, sea.event_stage;

-- ---- parts of transitions ----

CREATE OR REPLACE FUNCTION sea.finish_experiment(p_experiment_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    runs bigint;
    ended bigint;
    good bigint;
BEGIN
    SELECT count(*), count(ended_at), count(output_digest) INTO runs, ended, good
      FROM sea.stage_run WHERE experiment_id = p_experiment_id;
    IF runs > 1 THEN
        -- Two last ones that end at the same moment see each other: the second one waits here
        -- and counts again.
        PERFORM 1 FROM sea.experiment WHERE id = p_experiment_id FOR NO KEY UPDATE;
        SELECT count(*), count(ended_at), count(output_digest) INTO runs, ended, good
          FROM sea.stage_run WHERE experiment_id = p_experiment_id;
    END IF;
    IF ended < runs THEN
        RETURN;
    END IF;
    UPDATE sea.experiment
       SET state = CASE WHEN good = runs THEN 'succeeded'
                        WHEN cancel_requested_at IS NOT NULL THEN 'cancelled'
                        ELSE 'failed' END,
           ended_at = clock_timestamp()
     WHERE id = p_experiment_id AND ended_at IS NULL;
END $$;
COMMENT ON FUNCTION sea.finish_experiment(bigint) IS 'Part of transitions: ends the experiment when all its stage runs have ended.';

CREATE OR REPLACE FUNCTION sea.begin_experiment(p_experiment_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    -- Only the first stage run of an experiment finds a row to lock.
    UPDATE sea.experiment SET state = 'running', started_at = clock_timestamp()
     WHERE id = p_experiment_id AND state = 'queued';
END $$;
COMMENT ON FUNCTION sea.begin_experiment(bigint) IS 'Part of transitions: queued to running, with the first stage run.';

CREATE OR REPLACE FUNCTION sea.assert_lease(p_stage_id bigint, p_epoch bigint, p_secret uuid, p_what text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM sea.lease
      WHERE stage_id = p_stage_id
        AND epoch = p_epoch                                     -- fence: end_epoch behind end_running by forged
        AND secret = p_secret                                   -- fence: end_secret
        FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % of stage run % has lost its lease: % refused',
            p_epoch, p_stage_id, p_what USING ERRCODE = 'LF001';
    END IF;
END $$;
COMMENT ON FUNCTION sea.assert_lease(bigint, bigint, uuid, text) IS 'Locks the lease of an attempt against everybody, or raises LF001. First in each transaction that ends an attempt.';

CREATE FUNCTION sea.lease_lost(p_stage_id bigint, p_epoch bigint, p_what text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'attempt % of stage run % has lost its lease: % refused',
        p_epoch, p_stage_id, p_what USING ERRCODE = 'LF001';
END $$;
COMMENT ON FUNCTION sea.lease_lost(bigint, bigint, text) IS 'Raises LF001.';

-- ---- claims ----

DROP FUNCTION sea.claim(bigint, text, integer);
CREATE FUNCTION sea.claim(p_worker_id bigint, p_queue text, p_ttl_ms integer,
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

CREATE FUNCTION sea.claimed(p_worker_id bigint, p_secret uuid)
RETURNS TABLE (stage_id bigint, epoch bigint, secret uuid, experiment_id bigint, stage text,
               key text, config jsonb, timeout_ms bigint)
LANGUAGE sql AS $$
    SELECT l.stage_id, l.epoch, l.secret, s.experiment_id, s.stage, s.key, e.config, s.timeout_ms
      FROM sea.lease l
      JOIN sea.stage_run s ON s.id = l.stage_id
      JOIN sea.experiment e ON e.id = s.experiment_id
     WHERE l.worker_id = p_worker_id
       AND l.secret = p_secret;                                 -- fence: claimed_secret
$$;
COMMENT ON FUNCTION sea.claimed(bigint, uuid) IS 'After a claim without an answer: the row that it gave, or none.';

-- ---- commits ----

DROP FUNCTION sea.commit_stage(bigint, bigint, uuid, jsonb, text, jsonb, jsonb);
CREATE FUNCTION sea.commit_stage(p_stage_id bigint, p_epoch bigint, p_secret uuid, p_files jsonb,
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
COMMENT ON FUNCTION sea.commit_stage(bigint, bigint, uuid, jsonb, text, jsonb, jsonb, bigint, jsonb) IS 'The end of a stage run, at most once: manifest, last metrics [[name, step, value]], scores, done, children, cache, lease, in one transaction. p_last: the last batch, as sea.relay takes it, with its number p_number: it counts once, whichever way it came. Returns the names of checkpoints that nobody needs any more.';

CREATE FUNCTION sea.add_batch(p_experiment_id bigint, p_stage_id bigint, p_epoch bigint,
                              p_payload jsonb)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sea.metric (stage_id, epoch, name, step, value)
    SELECT p_stage_id, p_epoch, m->>0, (m->>1)::bigint, coalesce(m->>2, 'NaN')::float8
      FROM jsonb_array_elements(p_payload->'metrics') AS m;
    IF p_payload->'logs' <> '[]' THEN
        INSERT INTO sea.event (experiment_id, stage_id, epoch, level, kind, text)
        SELECT p_experiment_id, p_stage_id, p_epoch,
               CASE WHEN l->>0 IN ('debug', 'info', 'warn', 'error') THEN l->>0 ELSE 'info' END,
               'log', l->>1
          FROM jsonb_array_elements(p_payload->'logs') AS l;
    END IF;
END $$;
COMMENT ON FUNCTION sea.add_batch(bigint, bigint, bigint, jsonb) IS 'Part of a commit: metrics and log lines of the last batch.';

CREATE FUNCTION sea.add_scores(p_stage_id bigint, p_epoch bigint, p_scores jsonb) RETURNS void
LANGUAGE sql AS $$
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
$$;
COMMENT ON FUNCTION sea.add_scores(bigint, bigint, jsonb) IS 'Part of a commit: the scores of an evaluation, with the sums of its answers.';

CREATE FUNCTION sea.commit_next(p_stage_id bigint, p_epoch bigint, p_secret uuid, p_files jsonb,
                                p_digest text, p_scores jsonb, p_number bigint, p_last jsonb,
                                p_worker_id bigint, p_queue text, p_ttl_ms integer,
                                p_next_secret uuid)
RETURNS TABLE (checkpoints jsonb, stage_id bigint, epoch bigint, secret uuid, experiment_id bigint,
               stage text, key text, config jsonb, timeout_ms bigint)
LANGUAGE plpgsql AS $$
DECLARE
    -- before anything else: what follows must not look at columns of the result
    gone jsonb := sea.commit_stage(p_stage_id, p_epoch, p_secret, p_files, p_digest, p_scores,
                                   NULL, p_number, p_last);
BEGIN
    -- Whatever goes wrong with the claim, the commit stands.
    BEGIN
        SELECT gone, c.* INTO checkpoints, stage_id, epoch, secret, experiment_id, stage, key,
                              config, timeout_ms
          FROM (SELECT) AS one
          LEFT JOIN sea.claim(p_worker_id, p_queue, p_ttl_ms, p_next_secret) AS c ON true;
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'nothing was claimed after the commit: %', SQLERRM;
        checkpoints := gone;
    END;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION sea.commit_next(bigint, bigint, uuid, jsonb, text, jsonb, bigint, jsonb, bigint, text, integer, uuid) IS 'sea.commit_stage and sea.claim in one transaction: one row, whose stage_id is empty when there was nothing to claim. When the answer is lost, sea.commit_outcome tells of the commit and sea.claimed, by p_next_secret, of the claim.';

-- ---- batches ----

DROP FUNCTION sea.claim_batch(bigint, text, integer, integer);
CREATE FUNCTION sea.claim_batch(p_worker_id bigint, p_queue text, p_ttl_ms integer, p_most integer,
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
COMMENT ON FUNCTION sea.claim_batch(bigint, text, integer, integer, uuid) IS 'As sea.claim, many at once: for stages that are shorter than a round trip. Each has a lease and an epoch of its own.';

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
COMMENT ON FUNCTION sea.commit_batch(jsonb) IS 'Ends of many stage runs in one transaction: [{"stage_id", "epoch", "secret", "files": [[path, sha256, bytes]], "digest", "metrics": [[name, step, value]]}]. Each has its own fence: returns the ids of those that were committed; the others had lost their leases. For stages without checkpoints and scores.';

CREATE FUNCTION sea.finish_experiments(p_experiments bigint[]) RETURNS void
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
COMMENT ON FUNCTION sea.finish_experiments(bigint[]) IS 'Part of transitions: sea.finish_experiment for many.';

CREATE FUNCTION sea.commit_next_batch(p_commits jsonb, p_worker_id bigint, p_queue text,
                                      p_ttl_ms integer, p_most integer, p_next_secret uuid)
RETURNS TABLE (committed bigint[], claims jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    won bigint[] := sea.commit_batch(p_commits);
BEGIN
    committed := won;
    claims := '[]';
    BEGIN
        SELECT coalesce(jsonb_agg(jsonb_build_object('stage_id', c.stage_id, 'epoch', c.epoch,
                        'secret', c.secret)), '[]') INTO claims
          FROM sea.claim_batch(p_worker_id, p_queue, p_ttl_ms, p_most, p_next_secret) AS c;
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'nothing was claimed after the commit: %', SQLERRM;
    END;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION sea.commit_next_batch(jsonb, bigint, text, integer, integer, uuid) IS 'sea.commit_batch and sea.claim_batch in one transaction: the ids of those that were committed, and [{"stage_id", "epoch", "secret"}] of those that were claimed.';

-- ---- schedulers ----

CREATE OR REPLACE FUNCTION sea.sweep() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    one text;
BEGIN
    FOR one IN SELECT DISTINCT w.queue FROM sea.worker w WHERE w.ended_at IS NULL ORDER BY 1 LOOP
        PERFORM sea.raise_mark(one);
    END LOOP;
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
COMMENT ON FUNCTION sea.sweep() IS 'Raises the marks of the queues that have workers; marks silent workers as suspect, later as lost.';

CREATE OR REPLACE FUNCTION sea.wake() RETURNS bigint
LANGUAGE sql AS $$
    WITH due AS MATERIALIZED (
        SELECT s.id FROM sea.stage_run s
         WHERE s.state = 'backoff'
           AND s.id = ANY (ARRAY(
               SELECT t.stage_id FROM sea.todo t
                WHERE t.list = 'backoff' AND t.queue = ''
                  AND t.rank <= clock_timestamp()               -- fence: wake_due
                ORDER BY t.rank LIMIT 100))
         ORDER BY s.id
           FOR NO KEY UPDATE SKIP LOCKED),
    woken AS (
        UPDATE sea.stage_run AS s
           SET state = 'ready', ready_at = clock_timestamp(), run_at = NULL
          FROM due
         WHERE s.id = due.id
        RETURNING s.id)
    SELECT count(*) FROM woken;
$$;
COMMENT ON FUNCTION sea.wake() IS 'Stage runs whose pause is over become ready; returns how many.';

CREATE FUNCTION sea.resolve_later(p_stage_id bigint, p_reason text) RETURNS void
LANGUAGE sql AS $$
    -- The pause grows with what has been waited for: the quarter of it, up to a minute.
    UPDATE sea.stage_run AS s
       SET run_at = clock_timestamp() + least(interval '1 min',
               greatest(interval '1 s', (clock_timestamp() - s.created_at) / 4)),
           reason = p_reason
     WHERE s.id = (SELECT o.id FROM sea.stage_run o
                    WHERE o.id = p_stage_id AND o.state = 'waiting'
                      FOR NO KEY UPDATE SKIP LOCKED);
$$;
COMMENT ON FUNCTION sea.resolve_later(bigint, text) IS 'The key of a waiting stage run cannot be computed now: it is tried again after a pause, by whichever scheduler.';

CREATE FUNCTION sea.rescan() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    one record;
    found_some bigint := 0;
BEGIN
    FOR one IN SELECT e.id FROM sea.experiment e
                WHERE e.ended_at IS NULL AND e.started_at IS NOT NULL
                  AND NOT EXISTS (SELECT FROM sea.stage_run s
                                   WHERE s.experiment_id = e.id AND s.ended_at IS NULL)
                ORDER BY e.id
    LOOP
        PERFORM sea.finish_experiment(one.id);
        found_some := found_some + 1;
    END LOOP;
    FOR one IN SELECT DISTINCT w.queue FROM sea.worker w WHERE w.ended_at IS NULL ORDER BY 1 LOOP
        found_some := found_some + sea.rescan_mark(one.queue)::integer;
    END LOOP;
    RETURN found_some;
END $$;
COMMENT ON FUNCTION sea.rescan() IS 'Schedulers call this each minute: ends experiments that should have ended, and lowers marks behind which something ready stands. Neither should be there; returns how many were.';

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
COMMENT ON FUNCTION sea.set_priority(bigint, integer) IS 'Higher ones are claimed first; returns how many stage runs it changed. Ten minutes of waiting count as one step.';

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
            CASE WHEN s.key IS NULL
                 THEN coalesce('its key cannot be computed now: ' || s.reason,
                               'a scheduler has to compute its key')
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
                      SELECT count(*) FROM sea.todo q
                        JOIN sea.todo mine ON mine.stage_id = s.id
                       WHERE q.list = 'ready' AND q.queue = s.queue
                         AND (q.rank, q.stage_id) < (mine.rank, mine.stage_id))
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

-- ---- rights ----

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
                    ' OR EXISTS (SELECT FROM sea.reuse r WHERE r.output_stage_id = %1$I)', key)
        END);
END $$;
COMMENT ON FUNCTION sea.secure_table(text, text) IS 'Part of sea.setup_roles: row security of one table.';
INSERT INTO sea.access (object, kind, roles)
SELECT o, 'function', ARRAY['worker'] FROM unnest(ARRAY['claimed', 'commit_next',
       'commit_next_batch']) o
UNION ALL
SELECT o, 'function', ARRAY['scheduler'] FROM unnest(ARRAY['rescan', 'resolve_later']) o
UNION ALL
SELECT 'reuse', 'tenant', ARRAY['researcher', 'worker', 'scheduler', 'viewer', 'auditor']
UNION ALL
SELECT o, 'shared', ARRAY['researcher', 'worker', 'scheduler', 'viewer', 'auditor']
  FROM unnest(ARRAY['todo', 'mark']) o;

-- Plans that do not depend on what the tables looked like when a session planned first: every
-- statement of these functions goes by an index.
DO $$
DECLARE
    one regprocedure;
BEGIN
    FOR one IN SELECT p.oid FROM pg_proc p
                WHERE p.pronamespace = 'sea'::regnamespace
                  AND p.proname IN ('claim', 'claim_batch', 'commit_stage', 'commit_batch',
                                    'commit_next', 'commit_next_batch') LOOP
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
