-- Undoes 0006_nightly. Loses: what nights there were, what they found, and whom to tell. Their
-- experiments stay.

SELECT pg_temp.loses('schedules'' settings', (SELECT count(*) FROM sea.schedule));
SELECT pg_temp.loses('nights', (SELECT count(*) FROM sea.night));
SELECT pg_temp.loses('verdicts', (SELECT count(*) FROM sea.verdict));
SELECT pg_temp.loses('regressions', (SELECT count(*) FROM sea.regression));
SELECT pg_temp.loses('notices', (SELECT count(*) FROM sea.notice));
DROP VIEW sea.nightly_report;
DROP FUNCTION sea.change_point, sea.last_step, sea.add_schedule, sea.baseline_of, sea.fire_slot,
    sea.run_schedule, sea.enable_schedule, sea.compare_night, sea.tell, sea.open_regression,
    sea.judge_night, sea.why_not_comparable, sea.fire_schedules, sea.mark_regression,
    sea.claim_notice, sea.end_notice;
DROP TABLE sea.notice, sea.regression, sea.verdict, sea.night_run, sea.night;
ALTER TABLE sea.schedule
    DROP COLUMN catch_up,
    DROP COLUMN baseline,
    DROP COLUMN q,
    DROP COLUMN delta,
    DROP COLUMN power,
    DROP COLUMN next_at;
COMMENT ON TABLE sea.schedule IS 'Experiments that are submitted again and again: nightly evaluations.';
COMMENT ON COLUMN sea.schedule.config IS 'The resolved configuration to submit';

CREATE TABLE sea.regression (
    id bigint GENERATED ALWAYS AS IDENTITY,
    schedule_id bigint NOT NULL,
    night date NOT NULL,
    benchmark_id bigint NOT NULL,
    metric text NOT NULL,
    baseline_id bigint NOT NULL,
    candidate_id bigint NOT NULL,
    n bigint,
    difference double precision,
    se double precision,
    low double precision,
    high double precision,
    p double precision,
    mde double precision,
    verdict text NOT NULL,
    reason text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT regression_pk PRIMARY KEY (id),
    CONSTRAINT regression_once_per_night UNIQUE (schedule_id, night, benchmark_id, metric),
    CONSTRAINT regression_schedule_fk FOREIGN KEY (schedule_id) REFERENCES sea.schedule (id),
    CONSTRAINT regression_benchmark_fk FOREIGN KEY (benchmark_id) REFERENCES sea.benchmark (id),
    CONSTRAINT regression_baseline_fk FOREIGN KEY (baseline_id) REFERENCES sea.experiment (id),
    CONSTRAINT regression_candidate_fk FOREIGN KEY (candidate_id) REFERENCES sea.experiment (id),
    CONSTRAINT regression_verdict_known CHECK
        (verdict IN ('regressed', 'not worse', 'undecidable', 'not comparable')),
    CONSTRAINT regression_number_or_reason CHECK
        (CASE WHEN verdict = 'not comparable' THEN difference IS NULL AND reason IS NOT NULL
              ELSE difference IS NOT NULL AND n > 0 END)
);
COMMENT ON TABLE sea.regression IS 'Verdicts of nightly comparisons: one per schedule, night, benchmark and metric.';
COMMENT ON COLUMN sea.regression.id IS 'Number';
COMMENT ON COLUMN sea.regression.schedule_id IS 'Which nightly evaluation';
COMMENT ON COLUMN sea.regression.night IS 'Which night (UTC date of its start)';
COMMENT ON COLUMN sea.regression.benchmark_id IS 'Benchmark';
COMMENT ON COLUMN sea.regression.metric IS 'Metric';
COMMENT ON COLUMN sea.regression.baseline_id IS 'Experiment compared with';
COMMENT ON COLUMN sea.regression.candidate_id IS 'Experiment of that night';
COMMENT ON COLUMN sea.regression.n IS 'Questions that both answered';
COMMENT ON COLUMN sea.regression.difference IS 'Candidate minus baseline, paired';
COMMENT ON COLUMN sea.regression.se IS 'Clustered standard error of the difference';
COMMENT ON COLUMN sea.regression.low IS 'Lower end of its 95 % interval';
COMMENT ON COLUMN sea.regression.high IS 'Upper end of its 95 % interval';
COMMENT ON COLUMN sea.regression.p IS 'Two-sided p-value, before the correction for many tests';
COMMENT ON COLUMN sea.regression.mde IS 'Smallest difference that this comparison could have shown';
COMMENT ON COLUMN sea.regression.verdict IS 'regressed, not worse, undecidable, or not comparable';
COMMENT ON COLUMN sea.regression.reason IS 'Why it is not comparable';
COMMENT ON COLUMN sea.regression.created_at IS 'When the verdict was given';
