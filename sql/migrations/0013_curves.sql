-- Purpose: a curve is read from its index alone, however many points there are and in whichever
--          order they came; configurations of megabytes are refused.
-- Breaking: no.
-- Locks and scans: one index on all points; curves that arrive wait while it is built, about a
--          second for a million points.
-- Run before: with more than ten million points, for each partition (metric_0, metric_1, ...):
--             CREATE INDEX CONCURRENTLY ON sea.metric_0 (stage_id, epoch, name, step)
--                 INCLUDE (value, at);
--             The migration takes those over and builds nothing.
--
-- Points of many curves arrive mixed: on the table's pages, the thousand points of one curve lie
-- in a thousand places. In the index they are neighbours.

CREATE INDEX metric_curve ON sea.metric (stage_id, epoch, name, step) INCLUDE (value, at);
DROP INDEX sea.metric_by_name;

-- Pages whose points are known to be visible are not looked at: for that they have to be vacuumed
-- after a million new points, not after a fifth of all.
DO $$
DECLARE
    part text;
BEGIN
    FOR part IN SELECT name FROM sea.metric_partitions() LOOP
        EXECUTE format('ALTER TABLE sea.%I SET (autovacuum_vacuum_insert_scale_factor = 0,
                                                autovacuum_vacuum_insert_threshold = 1000000)', part);
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION sea.maintain() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    size CONSTANT bigint := 100000;
    top bigint;
    upper bigint;
    part record;
    keep interval;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('sea.maintain')) THEN
        RETURN;
    END IF;
    SET LOCAL lock_timeout = '2s';
    SELECT coalesce(max(id), 0) INTO top FROM sea.stage_run;
    SELECT coalesce(max(high), 0) INTO upper FROM sea.metric_partitions();
    -- As many stage runs as a partition is for may be submitted between two calls.
    WHILE top + size >= upper LOOP
        EXECUTE format('CREATE TABLE sea.%I (LIKE sea.metric INCLUDING DEFAULTS) WITH (
                            autovacuum_vacuum_insert_scale_factor = 0,
                            autovacuum_vacuum_insert_threshold = 1000000)',
                       'metric_' || upper / size);
        EXECUTE format('COMMENT ON TABLE sea.%I IS %L', 'metric_' || upper / size,
                       format('Points of stage runs %s to %s', upper, upper + size - 1));
        EXECUTE format('ALTER TABLE sea.metric ATTACH PARTITION sea.%I FOR VALUES FROM (%s) TO (%s)',
                       'metric_' || upper / size, upper, upper + size);
        upper := upper + size;
    END LOOP;
    -- A curve is dropped with its whole partition. Who holds the lock keeps it for another minute.
    SELECT days * interval '1 day' INTO keep FROM sea.retention WHERE what = 'metric';
    IF keep IS NOT NULL THEN
        FOR part IN SELECT * FROM sea.metric_partitions() WHERE high <= top ORDER BY low LOOP
            CONTINUE WHEN EXISTS (
                SELECT FROM sea.stage_run s
                 WHERE s.id >= part.low AND s.id < part.high
                   AND (s.ended_at IS NULL OR s.ended_at > clock_timestamp() - keep))
                OR EXISTS (
                SELECT FROM sea.stage_run s
                 WHERE s.output_stage_id >= part.low AND s.output_stage_id < part.high
                   AND s.ended_at > clock_timestamp() - keep);
            BEGIN
                EXECUTE format('DROP TABLE sea.%I', part.name);
                INSERT INTO sea.event (kind, text)
                VALUES ('state', format('dropped the curves of stage runs %s to %s, which ended '
                        'more than %s ago', part.low, part.high - 1, keep));
            EXCEPTION WHEN lock_not_available THEN
                NULL;
            END;
        END LOOP;
    END IF;
    -- The oldest ones have the smallest ids. Ten thousand a minute.
    DELETE FROM sea.event v
     USING (SELECT w.id FROM sea.event w ORDER BY w.id LIMIT 10000) AS first
     WHERE v.id = first.id
       AND v.at < clock_timestamp() - (SELECT days * interval '1 day' FROM sea.retention
                                        WHERE what = 'event');
    DELETE FROM sea.notice n
     WHERE (n.delivered_at IS NOT NULL OR n.given_up_at IS NOT NULL)
       AND n.created_at < clock_timestamp() - (SELECT days * interval '1 day' FROM sea.retention
                                                WHERE what = 'notice');
END $$;

-- ---- what is too large ----

CREATE FUNCTION sea.config_size() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF pg_column_size(NEW.config) > 4194304 THEN
        RAISE EXCEPTION 'a configuration of % bytes is too large, at most 4194304',
            pg_column_size(NEW.config) USING ERRCODE = 'LF010',
            HINT = 'Word lists and data belong into files that the configuration names.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION sea.config_size() IS 'Trigger: configurations name data, they do not hold it.';
CREATE TRIGGER experiment_config_size BEFORE INSERT ON sea.experiment
    FOR EACH ROW EXECUTE FUNCTION sea.config_size();
COMMENT ON TRIGGER experiment_config_size ON sea.experiment IS 'See sea.config_size()';
CREATE TRIGGER schedule_config_size BEFORE INSERT OR UPDATE OF config ON sea.schedule
    FOR EACH ROW EXECUTE FUNCTION sea.config_size();
COMMENT ON TRIGGER schedule_config_size ON sea.schedule IS 'See sea.config_size()';

SET LOCAL client_min_messages = warning;
DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
