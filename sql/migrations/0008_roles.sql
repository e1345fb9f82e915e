-- Purpose: roles, what each may call and see, and rows of tenants.
-- Breaking: no. Who owns the schema, as in a private cluster, notices nothing.
-- Locks and scans: adds a column to experiment, with a value for each row.
-- Run before: nothing. Creating roles needs CREATEROLE; without it call sea.setup_roles() later,
--             as somebody who has it.
--
-- Five group roles without login; people and processes are members of one. They write through
-- functions alone (SECURITY DEFINER, with a search path of their own) and read through row
-- security. A tenant is a role sea_tenant_NAME: its members see and change the experiments of
-- their tenant; who is in none belongs to tenant "default".

CREATE FUNCTION sea.own_tenant() RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT coalesce(min(substr(r.rolname, 12)), 'default')
      FROM pg_auth_members m
      JOIN pg_roles r ON r.oid = m.roleid
      JOIN pg_roles u ON u.oid = m.member
     WHERE u.rolname = session_user AND r.rolname ~ '^sea_tenant_';
$$;
COMMENT ON FUNCTION sea.own_tenant() IS 'Tenant of who logged in: NAME of the role sea_tenant_NAME that they are a member of, the first one by name; else default.';

ALTER TABLE sea.experiment ADD COLUMN tenant text NOT NULL DEFAULT sea.own_tenant();
COMMENT ON COLUMN sea.experiment.tenant IS 'Whose it is: the tenant of who submitted';
CREATE INDEX stage_run_output ON sea.stage_run (output_stage_id);

CREATE FUNCTION sea.experiment_tenant() RETURNS trigger
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
COMMENT ON FUNCTION sea.experiment_tenant() IS 'Trigger: nobody submits for, cancels or repeats what belongs to another tenant.';
CREATE TRIGGER experiment_tenant BEFORE INSERT OR UPDATE ON sea.experiment
    FOR EACH ROW EXECUTE FUNCTION sea.experiment_tenant();
COMMENT ON TRIGGER experiment_tenant ON sea.experiment IS 'See sea.experiment_tenant()';

CREATE TABLE sea.access (
    object text NOT NULL,
    kind text NOT NULL,
    roles text[] NOT NULL,
    CONSTRAINT access_pk PRIMARY KEY (object),
    CONSTRAINT access_kind_known CHECK (kind IN ('function', 'tenant', 'stage', 'shared'))
);
COMMENT ON TABLE sea.access IS 'Who may use what: sea.setup_roles() grants by it, and the test of every forbidden cell is generated from it. What is not named is the owner''s alone.';
COMMENT ON COLUMN sea.access.object IS 'Table, view or function';
COMMENT ON COLUMN sea.access.kind IS 'function: may be called; tenant, stage: rows of the own tenant, by experiment_id or stage_id, may be read; shared: may be read whole';
COMMENT ON COLUMN sea.access.roles IS 'researcher, worker, scheduler, viewer, auditor';
INSERT INTO sea.access (object, kind, roles)
SELECT o, 'function', ARRAY['worker']
  FROM unnest(ARRAY['register_worker', 'worker_beat', 'worker_state', 'claim', 'claim_batch',
       'start_attempt', 'heartbeat', 'relay', 'add_checkpoint', 'prepare_commit', 'add_answers',
       'commit_stage', 'commit_batch', 'commit_outcome', 'fail_attempt', 'release_attempt',
       'ack_cancel', 'is_checkpoint_needed']) o
UNION ALL
SELECT o, 'function', ARRAY['scheduler']
  FROM unnest(ARRAY['rescue', 'wake', 'resolve', 'resolve_failed', 'sweep', 'maintain', 'condemn',
       'condemn_unknown', 'hold_condemned', 'forget_condemned', 'drop_checkpoints',
       'fire_schedules', 'claim_notice', 'end_notice', 'release_quarantine',
       'give_up_quarantine', 'set_priority', 'set_limit', 'drain', 'add_schedule',
       'run_schedule', 'enable_schedule', 'mark_regression']) o
UNION ALL
SELECT o, 'function', ARRAY['researcher', 'scheduler']
  FROM unnest(ARRAY['submit', 'submit_all', 'cancel', 'retry']) o
UNION ALL
SELECT o, 'function', ARRAY['researcher', 'worker', 'scheduler', 'viewer', 'auditor']
  FROM unnest(ARRAY['compare', 'questions', 'why_not_comparable', 'rank_intervals', 'lineage',
       'reproduce', 'change_point', 'last_step', 't_p_value', 't_quantile', 'normal_quantile',
       'beta_share', 'ln_gamma', 'sign_test', 'cron_mask', 'cron_parse', 'cron_next',
       'own_tenant']) o
UNION ALL
SELECT o, 'tenant', ARRAY['researcher', 'worker', 'scheduler', 'viewer', 'auditor']
  FROM unnest(ARRAY['experiment', 'stage_run', 'event', 'board', 'board_mean', 'night_run']) o
UNION ALL
SELECT o, 'stage', ARRAY['researcher', 'worker', 'scheduler', 'viewer', 'auditor']
  FROM unnest(ARRAY['stage_dep', 'attempt', 'lease', 'flight', 'manifest', 'metric', 'score',
       'answer', 'checkpoint']) o
UNION ALL
SELECT o, 'shared', ARRAY['researcher', 'worker', 'scheduler', 'viewer', 'auditor']
  FROM unnest(ARRAY['benchmark', 'worker', 'migration', 'access', 'slot', 'concurrency',
       'experiment_status', 'stage_timeline', 'metric_series', 'leaderboard', 'why_pending', 'best_per_model',
       'experiment_cost', 'cost_per_point', 'broken_invariant']) o
UNION ALL
SELECT o, 'shared', ARRAY['worker', 'scheduler', 'auditor']
  FROM unnest(ARRAY['artifact', 'stage_cache', 'pin', 'batch', 'notice']) o
UNION ALL
SELECT o, 'shared', ARRAY['researcher', 'scheduler', 'viewer', 'auditor']
  FROM unnest(ARRAY['schedule', 'night', 'verdict', 'regression', 'nightly_report']) o;

CREATE FUNCTION sea.secure_table(p_table text, p_kind text) RETURNS void
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

CREATE FUNCTION sea.setup_roles() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    one record;
    who text;
BEGIN
    FOREACH who IN ARRAY ARRAY['sea_researcher', 'sea_worker', 'sea_scheduler', 'sea_viewer',
                               'sea_auditor'] LOOP
        IF to_regrole(who) IS NULL THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', who);
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA sea TO %I', who);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA sea FROM %I', who);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA sea FROM %I', who);
    END LOOP;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA sea FROM PUBLIC;
    FOR one IN SELECT c.relname, c.relkind, a.kind, a.roles
                 FROM sea.access a
                 JOIN pg_class c ON c.relname = a.object AND c.relnamespace = 'sea'::regnamespace
                WHERE a.kind <> 'function' AND c.relkind IN ('r', 'p', 'v') LOOP
        IF one.relkind = 'v' THEN
            EXECUTE format('ALTER VIEW sea.%I SET (security_invoker = true)', one.relname);
        END IF;
        PERFORM sea.secure_table(one.relname, one.kind);
        FOREACH who IN ARRAY one.roles LOOP
            -- All columns but the proof of identity.
            EXECUTE format('GRANT SELECT (%s) ON sea.%I TO %I',
                (SELECT string_agg(quote_ident(t.attname), ', ') FROM pg_attribute t
                  WHERE t.attrelid = format('sea.%I', one.relname)::regclass AND t.attnum > 0
                    AND NOT t.attisdropped AND t.attname <> 'secret'),
                one.relname, 'sea_' || who);
        END LOOP;
    END LOOP;
    FOR one IN SELECT p.oid::regprocedure AS name, a.roles, p.provolatile = 'v' AS writes
                 FROM sea.access a
                 JOIN pg_proc p ON p.proname = a.object AND p.pronamespace = 'sea'::regnamespace
                WHERE a.kind = 'function' LOOP
        IF one.writes THEN
            EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = pg_catalog, pg_temp',
                           one.name);
        END IF;
        FOREACH who IN ARRAY one.roles LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', one.name, 'sea_' || who);
        END LOOP;
    END LOOP;
END $$;
COMMENT ON FUNCTION sea.setup_roles() IS 'Makes the roles and grants what sea.access says, again and again with the same result. For who owns the schema and may create roles; a migration that adds objects calls it at its end.';

SET LOCAL client_min_messages = warning;
DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
