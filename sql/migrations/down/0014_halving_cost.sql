-- Undoes 0014_halving_cost. Loses: nothing.

-- As 0012_halving made them.

CREATE OR REPLACE FUNCTION sea.read_rungs() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    one record;
    rung integer;
    last bigint;
    until bigint;
    mean float8;
    written bigint := 0;
BEGIN
    FOR one IN SELECT t.*, s.id AS stage_id, s.ended_at IS NOT NULL OR e.ended_at IS NOT NULL AS ended,
                      (SELECT count(*) FROM sea.rung r
                        WHERE r.experiment_id = t.experiment_id)::integer AS passed
                 FROM sea.trial t
                 JOIN sea.experiment e ON e.id = t.experiment_id
                 JOIN sea.stage_run s ON s.experiment_id = t.experiment_id
                      AND s.stage = split_part(t.metric, '.', 1)
                WHERE t.is_open
                  AND (s.state = 'running' OR s.ended_at IS NOT NULL OR e.ended_at IS NOT NULL)
    LOOP
        SELECT max(m.step) INTO last FROM sea.metric_series m
         WHERE m.stage_id = one.stage_id AND m.name = one.metric;
        rung := one.passed;
        LOOP
            until := one.first_step * power(one.eta, rung)::bigint;
            EXIT WHEN last IS NULL OR until > last;
            SELECT avg(m.value) INTO mean FROM sea.metric_series m
             WHERE m.stage_id = one.stage_id AND m.name = one.metric
               AND m.step > until * 0.9 AND m.step <= until;
            EXIT WHEN mean IS NULL;     -- measured more seldom than that
            INSERT INTO sea.rung (experiment_id, rung, step, value)
            VALUES (one.experiment_id, rung, until,
                    CASE WHEN mean <> 'NaN' THEN mean WHEN one.mode = 'min' THEN 'infinity'
                         ELSE '-infinity' END)
                ON CONFLICT ON CONSTRAINT rung_pk DO NOTHING;
            written := written + 1;
            rung := rung + 1;
        END LOOP;
        IF one.ended THEN
            UPDATE sea.trial SET is_open = false
             WHERE trial.experiment_id = one.experiment_id AND is_open;
        END IF;
    END LOOP;
    RETURN written;
END $$;
COMMENT ON COLUMN sea.rung.value IS 'Mean of the metric over the last tenth of the steps up to here; the worst value of all when one of them is no number';

CREATE OR REPLACE VIEW sea.study AS
SELECT t.study, t.tenant, t.experiment_id, e.name,
       CASE WHEN t.stopped_at IS NOT NULL THEN 'stopped' ELSE e.state END AS state,
       t.metric, t.mode, r.rung, r.step, r.value, p.rank, p.trials, p.kept, t.reason
  FROM sea.trial t
  JOIN sea.experiment e ON e.id = t.experiment_id
  LEFT JOIN LATERAL (SELECT * FROM sea.rung WHERE rung.experiment_id = t.experiment_id
                      ORDER BY rung DESC LIMIT 1) r ON true
  LEFT JOIN LATERAL (
       SELECT 1 + count(*) FILTER (WHERE x.experiment_id <> t.experiment_id
                   AND (CASE t.mode WHEN 'min' THEN x.value - r.value ELSE r.value - x.value END < 0
                        OR x.value = r.value AND x.experiment_id < t.experiment_id)) AS rank,
              count(*) AS trials, greatest(1, count(*) / t.eta) AS kept
         FROM sea.trial o JOIN sea.rung x ON x.experiment_id = o.experiment_id
        WHERE o.study = t.study AND o.tenant = t.tenant AND o.metric = t.metric
          AND o.mode = t.mode AND o.first_step = t.first_step AND o.eta = t.eta
          AND x.rung = r.rung) p ON r.rung IS NOT NULL;

CREATE OR REPLACE FUNCTION sea.halve() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    one record;
    why text;
BEGIN
    PERFORM sea.read_rungs();
    -- Also between two rungs: as soon as enough others were better at the last one.
    FOR one IN SELECT s.* FROM sea.study s JOIN sea.trial t ON t.experiment_id = s.experiment_id
                WHERE t.is_open AND s.rank > s.kept
                  AND s.trials >= t.eta
                ORDER BY s.experiment_id
    LOOP
        why := format('stopped at step %s: %s %s is number %s of %s, %s go on', one.step,
                      one.metric, one.value, one.rank, one.trials, one.kept);
        UPDATE sea.trial
           SET is_open = false, stopped_rung = one.rung, stopped_at = clock_timestamp(),
               reason = why
         WHERE experiment_id = one.experiment_id AND is_open;
        CONTINUE WHEN NOT FOUND;        -- another scheduler was quicker
        INSERT INTO sea.event (experiment_id, kind, text)
        VALUES (one.experiment_id, 'state', why);
        PERFORM sea.cancel(one.experiment_id);
        RETURN one.experiment_id;
    END LOOP;
    RETURN NULL;
END $$;

DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
