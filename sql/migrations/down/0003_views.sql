-- Undoes 0003_views. Loses: nothing.

DROP VIEW sea.broken_invariant, sea.why_pending, sea.metric_series, sea.stage_timeline,
    sea.experiment_status;
DROP INDEX sea.attempt_resumed;
