-- Undoes 0012_halving. Trials that run on are stopped no more.
-- Loses: which sweeps are thinned out, and what was reached at their rungs.

SELECT pg_temp.loses('trials of studies', (SELECT count(*) FROM sea.trial));
DELETE FROM sea.access WHERE object IN ('halve', 'trial', 'rung', 'study');
DROP TRIGGER experiment_trial ON sea.experiment;
DROP VIEW sea.study;
DROP FUNCTION sea.halve, sea.read_rungs, sea.experiment_trial;
DROP TABLE sea.rung, sea.trial;
