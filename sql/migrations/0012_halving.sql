-- Purpose: early stopping of sweeps: asynchronous successive halving on a metric, while the
--          experiments run.
-- Breaking: no.
-- Locks and scans: a trigger on experiment, whose lock waits for submissions under way.
-- Run before: nothing.

CREATE TABLE sea.trial (
    experiment_id bigint NOT NULL,
    tenant text NOT NULL,
    study text NOT NULL,
    metric text NOT NULL,
    mode text NOT NULL,
    first_step bigint NOT NULL,
    eta integer NOT NULL,
    is_open boolean NOT NULL DEFAULT true,
    stopped_rung integer,
    stopped_at timestamptz,
    reason text,
    CONSTRAINT trial_pk PRIMARY KEY (experiment_id),
    CONSTRAINT trial_experiment_fk FOREIGN KEY (experiment_id) REFERENCES sea.experiment (id),
    CONSTRAINT trial_mode_known CHECK (mode IN ('min', 'max')),
    CONSTRAINT trial_first_step_positive CHECK (first_step > 0),
    CONSTRAINT trial_eta_divides CHECK (eta >= 2),
    CONSTRAINT trial_stopped_whole CHECK
        ((stopped_at IS NULL) = (reason IS NULL) AND (stopped_at IS NULL) = (stopped_rung IS NULL)),
    CONSTRAINT trial_stopped_is_closed CHECK (stopped_at IS NULL OR NOT is_open)
);
CREATE INDEX trial_open ON sea.trial (experiment_id) WHERE is_open;
CREATE INDEX trial_study ON sea.trial (study, tenant);
COMMENT ON TABLE sea.trial IS 'Experiments of a sweep that is thinned out while it runs: one that at a rung is not among the best of its study is stopped. Those of one tenant with the same study and settings compete, whenever they were submitted.';
COMMENT ON COLUMN sea.trial.experiment_id IS 'Experiment';
COMMENT ON COLUMN sea.trial.tenant IS 'Whose it is';
COMMENT ON COLUMN sea.trial.study IS 'halving.study; without it the name of the experiment file';
COMMENT ON COLUMN sea.trial.metric IS 'halving.metric: what is compared. The word before its dot is the stage';
COMMENT ON COLUMN sea.trial.mode IS 'min or max: which is better';
COMMENT ON COLUMN sea.trial.first_step IS 'Step of rung 0; rung k is at this times eta to the k';
COMMENT ON COLUMN sea.trial.eta IS 'One of so many goes on behind a rung';
COMMENT ON COLUMN sea.trial.is_open IS 'False: no more rungs to come, because the stage or the experiment has ended';
COMMENT ON COLUMN sea.trial.stopped_rung IS 'Rung at which it was stopped; NULL: it was not';
COMMENT ON COLUMN sea.trial.stopped_at IS 'When';
COMMENT ON COLUMN sea.trial.reason IS 'Why, in words';

CREATE TABLE sea.rung (
    experiment_id bigint NOT NULL,
    rung integer NOT NULL,
    step bigint NOT NULL,
    value double precision NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT rung_pk PRIMARY KEY (experiment_id, rung),
    CONSTRAINT rung_trial_fk FOREIGN KEY (experiment_id) REFERENCES sea.trial (experiment_id)
);
COMMENT ON TABLE sea.rung IS 'What a trial had reached at a rung. Never changed: decisions can be followed later.';
COMMENT ON COLUMN sea.rung.experiment_id IS 'Experiment';
COMMENT ON COLUMN sea.rung.rung IS 'Number, from 0';
COMMENT ON COLUMN sea.rung.step IS 'Step of the stage';
COMMENT ON COLUMN sea.rung.value IS 'Mean of the metric over the last tenth of the steps up to here; the worst value of all when one of them is no number';
COMMENT ON COLUMN sea.rung.at IS 'When it was read';

CREATE FUNCTION sea.experiment_trial() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    wish jsonb := NEW.config->'halving';
    stage text := split_part(wish->>'metric', '.', 1);
BEGIN
    IF stage NOT IN ('foundation', 'align', 'tune') OR NOT NEW.config->'stages' ? stage THEN
        RAISE EXCEPTION 'halving.metric of experiment "%" is "%": no metric of a stage that it runs',
            NEW.name, wish->>'metric' USING ERRCODE = 'LF010',
            HINT = 'Name the stage before the dot, as in tune.loss.';
    END IF;
    IF coalesce((wish->>'first')::bigint, 0) < 1 OR coalesce((wish->>'eta')::integer, 3) < 2
       OR coalesce(wish->>'mode', 'min') NOT IN ('min', 'max') THEN
        RAISE EXCEPTION 'halving of experiment "%" needs "first" >= 1, "eta" >= 2, "mode" min or max',
            NEW.name USING ERRCODE = 'LF010';
    END IF;
    -- Whoever repeats an experiment by hand wants it whole.
    IF NEW.retry_of IS NULL THEN
        INSERT INTO sea.trial (experiment_id, tenant, study, metric, mode, first_step, eta)
        VALUES (NEW.id, NEW.tenant, coalesce(wish->>'study', NEW.name), wish->>'metric',
                coalesce(wish->>'mode', 'min'), (wish->>'first')::bigint,
                coalesce((wish->>'eta')::integer, 3));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION sea.experiment_trial() IS 'Trigger: an experiment with halving.metric becomes a trial of its study.';
CREATE TRIGGER experiment_trial AFTER INSERT ON sea.experiment
    FOR EACH ROW WHEN (NEW.config #> '{halving,metric}' IS NOT NULL)
    EXECUTE FUNCTION sea.experiment_trial();
COMMENT ON TRIGGER experiment_trial ON sea.experiment IS 'See sea.experiment_trial()';

CREATE FUNCTION sea.read_rungs() RETURNS bigint
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
COMMENT ON FUNCTION sea.read_rungs() IS 'Part of sea.halve: notes what trials had reached at the rungs that they passed since.';

CREATE VIEW sea.study AS
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
COMMENT ON VIEW sea.study IS 'Trials of every study with the last rung that they passed, and how they stand there.';
COMMENT ON COLUMN sea.study.study IS 'Study';
COMMENT ON COLUMN sea.study.tenant IS 'Whose it is';
COMMENT ON COLUMN sea.study.experiment_id IS 'Experiment';
COMMENT ON COLUMN sea.study.name IS 'Name of the experiment';
COMMENT ON COLUMN sea.study.state IS 'State of the experiment, or stopped';
COMMENT ON COLUMN sea.study.metric IS 'What is compared';
COMMENT ON COLUMN sea.study.mode IS 'min or max: which is better';
COMMENT ON COLUMN sea.study.rung IS 'Last rung that it passed; NULL: none yet';
COMMENT ON COLUMN sea.study.step IS 'Step of that rung';
COMMENT ON COLUMN sea.study.value IS 'What it had there';
COMMENT ON COLUMN sea.study.rank IS 'Place there, 1 is best; of equal ones the older';
COMMENT ON COLUMN sea.study.trials IS 'Trials that have passed that rung';
COMMENT ON COLUMN sea.study.kept IS 'How many of them go on';
COMMENT ON COLUMN sea.study.reason IS 'Why it was stopped';

CREATE FUNCTION sea.halve() RETURNS bigint
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
COMMENT ON FUNCTION sea.halve() IS 'Stops one trial that at its last rung is not among the best 1/eta of at least eta, and returns its experiment; NULL when there is none. Schedulers call it until then, every tick: one experiment per transaction keeps the order of locks.';

-- ---- roles ----

INSERT INTO sea.access (object, kind, roles)
VALUES ('halve', 'function', ARRAY['scheduler']),
       ('trial', 'tenant', ARRAY['researcher', 'worker', 'scheduler', 'viewer', 'auditor']),
       ('rung', 'tenant', ARRAY['researcher', 'worker', 'scheduler', 'viewer', 'auditor']),
       ('study', 'shared', ARRAY['researcher', 'worker', 'scheduler', 'viewer', 'auditor']);

SET LOCAL client_min_messages = warning;
DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
