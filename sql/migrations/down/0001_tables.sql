-- Undoes 0001_tables: the schema is empty afterwards, but for sea.migration.
-- Loses: everything.

SELECT pg_temp.loses('experiments', (SELECT count(*) FROM sea.experiment));
SELECT pg_temp.loses('schedules', (SELECT count(*) FROM sea.schedule));
DROP TABLE sea.regression, sea.schedule, sea.answer, sea.score, sea.benchmark, sea.event,
    sea.metric, sea.batch, sea.checkpoint, sea.flight, sea.stage_cache, sea.manifest, sea.slot,
    sea.concurrency, sea.pin, sea.artifact, sea.attempt, sea.lease, sea.worker, sea.stage_dep,
    sea.stage_run, sea.experiment;
