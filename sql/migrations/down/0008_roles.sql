-- Undoes 0008_roles. The roles themselves stay: they belong to the whole server.
-- Loses: which tenant an experiment belongs to.

SELECT pg_temp.loses('experiments of tenants', (
    SELECT count(*) FROM sea.experiment WHERE tenant <> 'default'));
DO $$
DECLARE
    one record;
    who text;
BEGIN
    FOR one IN SELECT p.polname, p.polrelid::regclass AS name
                 FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
                WHERE c.relnamespace = 'sea'::regnamespace LOOP
        EXECUTE format('DROP POLICY %I ON %s', one.polname, one.name);
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', one.name);
    END LOOP;
    FOR one IN SELECT c.oid::regclass AS name FROM pg_class c
                WHERE c.relnamespace = 'sea'::regnamespace AND c.relkind = 'v' LOOP
        EXECUTE format('ALTER VIEW %s RESET (security_invoker)', one.name);
    END LOOP;
    FOR one IN SELECT p.oid::regprocedure AS name FROM pg_proc p
                WHERE p.pronamespace = 'sea'::regnamespace AND p.prosecdef LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY INVOKER RESET search_path', one.name);
    END LOOP;
    FOREACH who IN ARRAY ARRAY['sea_researcher', 'sea_worker', 'sea_scheduler', 'sea_viewer',
                               'sea_auditor'] LOOP
        CONTINUE WHEN to_regrole(who) IS NULL;
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA sea FROM %I', who);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA sea FROM %I', who);
        EXECUTE format('REVOKE ALL ON SCHEMA sea FROM %I', who);
    END LOOP;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sea TO PUBLIC;
END $$;
DROP TRIGGER experiment_tenant ON sea.experiment;
ALTER TABLE sea.experiment DROP COLUMN tenant;
DROP INDEX sea.stage_run_output;
DROP FUNCTION sea.setup_roles, sea.secure_table, sea.experiment_tenant, sea.own_tenant;
DROP TABLE sea.access;
