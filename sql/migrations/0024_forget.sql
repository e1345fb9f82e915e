-- Purpose: outputs whose files were lost or damaged can be computed again: the cache forgets them.
-- Breaking: no.
-- Locks and scans: none.
-- Run before: nothing.

CREATE FUNCTION sea.forget_output(sha256 text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    forgotten bigint;
BEGIN
    IF $1 IS NULL OR $1 !~ '^[0-9a-f]{64}$' THEN
        RAISE EXCEPTION '"%" is no SHA-256 of a file', coalesce(left($1, 80), 'NULL')
            USING ERRCODE = 'LF010', HINT = '64 digits and letters a to f: `sea doctor --store` names files so.';
    END IF;
    WITH gone AS (
         DELETE FROM sea.stage_cache AS c
          USING sea.manifest AS m
          WHERE m.sha256 = $1 AND m.stage_id = c.stage_id AND m.epoch = c.epoch
         RETURNING c.key)
    SELECT count(*) INTO forgotten FROM gone;
    RETURN forgotten;
END $$;
COMMENT ON FUNCTION sea.forget_output(text) IS 'For operators, when a file of the store is lost: outputs that hold it are found in the cache no more, and computed anew when an experiment needs them next, with the same bytes under the same name. Returns how many.';

INSERT INTO sea.access (object, kind, roles)
VALUES ('forget_output', 'function', ARRAY['scheduler']);

DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
