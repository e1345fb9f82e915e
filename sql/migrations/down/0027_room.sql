-- Undoes 0027_room. Loses: what workers say about their disks.

-- As 0015_gpus made it.

CREATE OR REPLACE VIEW sea.why_pending WITH (security_invoker = true) AS
SELECT w.experiment_id, w.stage_id, w.stage, w.state,
       coalesce(
           CASE j.state
           WHEN 'intent' THEN 'is being submitted to the cluster'
           WHEN 'submitted' THEN 'waits in the cluster as job ' || j.job_id
                || coalesce(': ' || lower(j.cluster_state)
                            || coalesce(' (' || j.cluster_reason || ')', ''), '')
           WHEN 'unknown' THEN 'the cluster''s answer was lost: a job "' || j.token
                || '" is looked for' || coalesce('; it said: ' || j.message, '')
           WHEN 'started' THEN w.reason || ', job ' || j.job_id
           END || coalesce('; the cluster has not answered ' || k.failures || ' times: '
                           || k.message, ''),
           coalesce(g.words, '') || w.reason) AS reason,
       w.failures, w.losses, w.since
  FROM sea.why_pending_here w
  LEFT JOIN sea.lease l ON l.stage_id = w.stage_id
  LEFT JOIN sea.cluster_job j ON j.stage_id = l.stage_id AND j.epoch = l.epoch
  LEFT JOIN sea.gpu_pending g ON g.stage_id = w.stage_id
  LEFT JOIN sea.cluster_look k ON j.state <> 'started' AND k.failures > 0;

DROP FUNCTION sea.worker_trouble(bigint, text);
DELETE FROM sea.access WHERE object = 'worker_trouble';
ALTER TABLE sea.worker DROP COLUMN trouble;
