-- Early stopping of sweeps: sea.trial, sea.rung, sea.study.

-- name: halve
SELECT sea.halve() AS experiment_id;

-- name: cli_study
-- $1: study, or NULL for all.
SELECT study, experiment_id AS id, name, state, metric, rung, step, value, rank, trials, kept, reason
  FROM sea.study
 WHERE $1::text IS NULL OR study = $1::text
 ORDER BY study, rung DESC NULLS LAST, rank, experiment_id;
