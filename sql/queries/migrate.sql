-- Bookkeeping of migrations (scheduler/migrate.c).

-- name: migration_begin
BEGIN;

-- name: migration_lock
SELECT pg_advisory_xact_lock(7305816217);

-- name: migration_patience
-- From here on nobody waits behind a migration that itself waits for a lock: it gives up after
-- two seconds and is tried again.
SELECT set_config('lock_timeout', '2s', true);

-- name: migration_table
CREATE SCHEMA IF NOT EXISTS sea;
COMMENT ON SCHEMA sea IS 'Experiments, their stage runs and their results';
CREATE TABLE IF NOT EXISTS sea.migration (
    version bigint NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    breaking boolean NOT NULL DEFAULT true,
    CONSTRAINT migration_pk PRIMARY KEY (version)
);
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute
                    WHERE attrelid = 'sea.migration'::regclass AND attname = 'breaking') THEN
        ALTER TABLE sea.migration ADD COLUMN breaking boolean NOT NULL DEFAULT true;
    END IF;
END $$;
COMMENT ON TABLE sea.migration IS 'Migrations that this database has seen.';
COMMENT ON COLUMN sea.migration.version IS 'Number at the start of its file name';
COMMENT ON COLUMN sea.migration.name IS 'File name without .sql';
COMMENT ON COLUMN sea.migration.sha256 IS 'Of the text that was applied: it may not change afterwards';
COMMENT ON COLUMN sea.migration.applied_at IS 'When';
COMMENT ON COLUMN sea.migration.breaking IS 'False: programs that do not know it work with it';

-- name: migration_exists
SELECT to_regclass('sea.migration') IS NOT NULL AS yes;

-- name: migration_list
-- The column breaking is not there before the first program that knows it migrates.
SELECT version, name, sha256, coalesce((to_jsonb(m)->>'breaking')::boolean, true) AS breaking
  FROM sea.migration AS m ORDER BY version;

-- name: migration_record
INSERT INTO sea.migration (version, name, sha256, breaking) VALUES ($1, $2, $3, $4);

-- name: migration_down_begin_script
-- A way down says with this what rows it has no place for: any is a refusal, unless losing
-- them was asked for. Lives for the transaction.
CREATE FUNCTION pg_temp.loses(what text, n bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF n > 0 AND current_setting('sea.lose_data', true) IS DISTINCT FROM 'true' THEN
        RAISE EXCEPTION 'going down would lose data: % %', n, what USING ERRCODE = 'LF010',
            HINT = 'Make a backup; then `sea migrate --to N --lose-data` goes on.';
    END IF;
END $$;

-- name: migration_lose_data
SELECT set_config('sea.lose_data', $1, true);

-- name: migration_down_end_script
DROP FUNCTION pg_temp.loses(text, bigint);

-- name: migration_forget
DELETE FROM sea.migration WHERE version = $1;

-- name: migration_commit
COMMIT;

-- name: migration_rollback
ROLLBACK;

-- name: database_exists
SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'sea') AS yes;

-- name: database_create
CREATE DATABASE sea;
