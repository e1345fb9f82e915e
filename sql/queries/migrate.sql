-- Bookkeeping of migrations (scheduler/migrate.c).

-- name: migration_begin
BEGIN;

-- name: migration_lock
SELECT pg_advisory_xact_lock(7305816217);

-- name: migration_table
CREATE SCHEMA IF NOT EXISTS sea;
COMMENT ON SCHEMA sea IS 'Experiments, their stage runs and their results';
CREATE TABLE IF NOT EXISTS sea.migration (
    version bigint NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT migration_pk PRIMARY KEY (version)
);
COMMENT ON TABLE sea.migration IS 'Migrations that this database has seen.';
COMMENT ON COLUMN sea.migration.version IS 'Number at the start of its file name';
COMMENT ON COLUMN sea.migration.name IS 'File name without .sql';
COMMENT ON COLUMN sea.migration.sha256 IS 'Of the text that was applied: it may not change afterwards';
COMMENT ON COLUMN sea.migration.applied_at IS 'When';

-- name: migration_exists
SELECT to_regclass('sea.migration') IS NOT NULL AS yes;

-- name: migration_list
SELECT version, name, sha256 FROM sea.migration ORDER BY version;

-- name: migration_record
INSERT INTO sea.migration (version, name, sha256) VALUES ($1, $2, $3);

-- name: migration_commit
COMMIT;

-- name: migration_rollback
ROLLBACK;

-- name: database_exists
SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'sea') AS yes;

-- name: database_create
CREATE DATABASE sea;
