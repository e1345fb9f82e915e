-- Purpose: thinning out sweeps costs a tick little, however long the curves are and however many
--          trials have ended; no trial's points can stop it for the others.
-- Breaking: no.
-- Locks and scans: none.
-- Run before: nothing.

CREATE OR REPLACE FUNCTION sea.read_rungs() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    one record;
    rung integer;
    until bigint;
    mean float8;
    is_number boolean;
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
                ORDER BY t.experiment_id
    LOOP
        rung := one.passed;
        LOOP
            -- Steps come from stages: a curve may say that it has reached the last one there is.
            EXIT WHEN one.first_step * power(one.eta::numeric, rung) > 9223372036854775807;
            until := (one.first_step * power(one.eta::numeric, rung))::bigint;
            -- Whole numbers on both sides: only these points of the curve are looked at.
            EXIT WHEN NOT EXISTS (SELECT FROM sea.metric_series m
                                   WHERE m.stage_id = one.stage_id AND m.name = one.metric
                                     AND m.step >= until);
            -- Beyond 1e100 is no loss and no score, and the sum of a few would be out of range.
            SELECT avg(m.value) FILTER (WHERE abs(m.value) < 1e100), bool_and(abs(m.value) < 1e100)
              INTO mean, is_number
              FROM sea.metric_series m
             WHERE m.stage_id = one.stage_id AND m.name = one.metric
               AND m.step > until - until / 10 - (until % 10 > 0)::integer AND m.step <= until;
            EXIT WHEN is_number IS NULL;        -- measured more seldom than that
            INSERT INTO sea.rung (experiment_id, rung, step, value)
            VALUES (one.experiment_id, rung, until,
                    CASE WHEN is_number THEN mean WHEN one.mode = 'min' THEN 'infinity'
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
COMMENT ON COLUMN sea.rung.value IS 'Mean of the metric over the last tenth of the steps up to here; the worst value of all when one of them is no number, infinite or beyond 1e100';

-- As in 0012_halving, but all ranks of a study at once and not one after the other.
CREATE OR REPLACE VIEW sea.study AS
SELECT t.study, t.tenant, t.experiment_id, e.name,
       CASE WHEN t.stopped_at IS NOT NULL THEN 'stopped' ELSE e.state END AS state,
       t.metric, t.mode, r.rung, r.step, r.value, r.rank, r.trials,
       CASE WHEN r.rung IS NOT NULL THEN greatest(1, r.trials / t.eta) END AS kept, t.reason
  FROM sea.trial t
  JOIN sea.experiment e ON e.id = t.experiment_id
  LEFT JOIN (
       -- Study and tenant are part of each window, so that a question about one looks at no other.
       SELECT o.study, o.tenant, o.experiment_id, x.rung, x.step, x.value,
              row_number() OVER (PARTITION BY o.study, o.tenant, o.metric, o.mode, o.first_step,
                                              o.eta, x.rung
                                 ORDER BY CASE o.mode WHEN 'min' THEN x.value ELSE -x.value END,
                                          o.experiment_id) AS rank,
              count(*) OVER (PARTITION BY o.study, o.tenant, o.metric, o.mode, o.first_step,
                                          o.eta, x.rung) AS trials,
              row_number() OVER (PARTITION BY o.study, o.tenant, o.experiment_id
                                 ORDER BY x.rung DESC) AS from_last
         FROM sea.trial o
         JOIN sea.rung x ON x.experiment_id = o.experiment_id) r
       ON r.study = t.study AND r.tenant = t.tenant AND r.experiment_id = t.experiment_id
      AND r.from_last = 1;

CREATE OR REPLACE FUNCTION sea.halve() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    one record;
    why text;
BEGIN
    -- One scheduler at a time: two would write the same rows, in an order that may differ.
    IF NOT pg_try_advisory_xact_lock(hashtext('sea.halve')) THEN
        RETURN NULL;
    END IF;
    PERFORM sea.read_rungs();
    -- Also between two rungs: as soon as enough others were better at the last one. Ranks as in
    -- sea.study, but of the studies with open trials alone, and of all their trials at once.
    SELECT p.* INTO one
      FROM (SELECT o.experiment_id, o.is_open, o.metric, o.eta, x.rung, x.step, x.value,
                   row_number() OVER (PARTITION BY o.study, o.tenant, o.metric, o.mode,
                                                   o.first_step, o.eta, x.rung
                                      ORDER BY CASE o.mode WHEN 'min' THEN x.value ELSE -x.value END,
                                               o.experiment_id) AS rank,
                   count(*) OVER (PARTITION BY o.study, o.tenant, o.metric, o.mode,
                                               o.first_step, o.eta, x.rung) AS trials
              FROM sea.trial o
              JOIN sea.rung x ON x.experiment_id = o.experiment_id
             WHERE (o.study, o.tenant) IN (SELECT t.study, t.tenant FROM sea.trial t
                                            WHERE t.is_open)) p
     WHERE p.is_open AND p.trials >= p.eta AND p.rank > greatest(1, p.trials / p.eta)
       AND NOT EXISTS (SELECT FROM sea.rung n
                        WHERE n.experiment_id = p.experiment_id AND n.rung > p.rung)
     ORDER BY p.experiment_id
     LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    why := format('stopped at step %s: %s %s is number %s of %s, %s go on', one.step, one.metric,
                  one.value, one.rank, one.trials, greatest(1, one.trials / one.eta));
    UPDATE sea.trial
       SET is_open = false, stopped_rung = one.rung, stopped_at = clock_timestamp(), reason = why
     WHERE experiment_id = one.experiment_id;
    INSERT INTO sea.event (experiment_id, kind, text) VALUES (one.experiment_id, 'state', why);
    PERFORM sea.cancel(one.experiment_id);
    RETURN one.experiment_id;
END $$;

SET LOCAL client_min_messages = warning;
DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
