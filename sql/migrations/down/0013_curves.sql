-- Undoes 0013_curves. Loses: nothing.

DROP TRIGGER experiment_config_size ON sea.experiment;
DROP TRIGGER schedule_config_size ON sea.schedule;
DROP FUNCTION sea.config_size;
CREATE INDEX metric_by_name ON sea.metric (stage_id, epoch, name, step);
DROP INDEX sea.metric_curve;
DO $$
DECLARE
    part text;
BEGIN
    FOR part IN SELECT name FROM sea.metric_partitions() LOOP
        EXECUTE format('ALTER TABLE sea.%I RESET (autovacuum_vacuum_insert_scale_factor,
                                                  autovacuum_vacuum_insert_threshold)', part);
    END LOOP;
END $$;

-- As 0010_operations made it.

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
        EXECUTE format('CREATE TABLE sea.%I (LIKE sea.metric INCLUDING DEFAULTS)',
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

DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
