-- Purpose: rows of an output that a tenant found in the cache (answers, files, curves) are shown to
--          it. The policy compared sea.reuse with itself, so that only the tenant of the stage run
--          that had made the output saw them.
-- Breaking: no.
-- Locks and scans: policies of every table are made anew: ACCESS EXCLUSIVE on each, for a moment.
-- Run before: nothing.

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
    -- own tenant found in the cache is its own as well, whoever computed it. The table's column
    -- is named with its table: sea.reuse has one of the same name.
    EXECUTE format('CREATE POLICY own ON sea.%I FOR SELECT TO sea_researcher, sea_viewer USING (%s)',
        p_table, CASE
        WHEN p_table = 'experiment' THEN 'tenant = (SELECT sea.own_tenant())'
        WHEN p_kind = 'tenant'
        THEN 'EXISTS (SELECT FROM sea.experiment e WHERE e.id = experiment_id)'
        ELSE format('EXISTS (SELECT FROM sea.stage_run s WHERE s.id = %1$I.%2$I)'
                    ' OR EXISTS (SELECT FROM sea.reuse r WHERE r.output_stage_id = %1$I.%2$I)',
                    p_table, key)
        END);
END $$;

DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
