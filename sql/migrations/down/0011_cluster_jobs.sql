-- Undoes 0011_cluster_jobs. Stage runs that wait for a cluster wait for workers again.
-- Loses: which attempts ran as which jobs of a cluster.

SELECT pg_temp.loses('jobs of a cluster', (SELECT count(*) FROM sea.cluster_job));
DROP TRIGGER stage_run_backend ON sea.stage_run;
DROP FUNCTION sea.stage_run_backend;
UPDATE sea.stage_run SET queue = substr(queue, length('slurm/') + 1)
 WHERE queue LIKE 'slurm/_%' AND ended_at IS NULL;
-- Leases without an end, of jobs that have not started: a rescue takes them.
UPDATE sea.lease SET expires_at = clock_timestamp() WHERE expires_at = 'infinity';
DROP VIEW sea.cluster_status;
DROP VIEW sea.why_pending;
ALTER VIEW sea.why_pending_here RENAME TO why_pending;
COMMENT ON VIEW sea.why_pending IS 'For every stage run that has not ended: what it is waiting for.';
DROP FUNCTION sea.job_claim, sea.job_submitted, sea.job_unknown, sea.job_overdue, sea.job_found,
     sea.job_absent, sea.job_lost, sea.job_looked, sea.job_ghosts, sea.job_restart, sea.job_start;
DROP TABLE sea.cluster_job, sea.cluster_look;
DELETE FROM sea.access
 WHERE object IN ('job_claim', 'job_submitted', 'job_unknown', 'job_overdue', 'job_found',
                  'job_absent', 'job_lost', 'job_looked', 'job_ghosts', 'job_restart',
                  'job_start', 'cluster_job', 'cluster_look', 'cluster_status',
                  'why_pending_here');
UPDATE sea.access SET roles = array_remove(roles, 'scheduler')
 WHERE object IN ('register_worker', 'worker_beat', 'worker_state');
SET LOCAL client_min_messages = warning;
DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'rights were not set anew: call sea.setup_roles() as somebody who may';
END $$;
