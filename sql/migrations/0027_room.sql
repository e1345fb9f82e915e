-- Purpose: who asks why nothing runs is told that the workers have no room on their disks.
-- Breaking: no.
-- Locks and scans: ACCESS EXCLUSIVE on worker, for a moment.
-- Run before: nothing.

ALTER TABLE sea.worker ADD COLUMN trouble text;
COMMENT ON COLUMN sea.worker.trouble IS 'Why it claims nothing although it lives, in its words; NULL: it claims';

CREATE FUNCTION sea.worker_trouble(p_worker_id bigint, p_trouble text) RETURNS void
LANGUAGE sql AS $$
    UPDATE sea.worker SET trouble = left(p_trouble, 500)
     WHERE id = p_worker_id AND ended_at IS NULL;
$$;
COMMENT ON FUNCTION sea.worker_trouble(bigint, text) IS 'A worker says why it claims nothing; NULL: that is over.';

-- As 0015_gpus made it, and what the workers say.
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
           t.words,
           coalesce(g.words, '') || w.reason) AS reason,
       w.failures, w.losses, w.since
  FROM sea.why_pending_here w
  LEFT JOIN sea.lease l ON l.stage_id = w.stage_id
  LEFT JOIN sea.cluster_job j ON j.stage_id = l.stage_id AND j.epoch = l.epoch
  LEFT JOIN sea.gpu_pending g ON g.stage_id = w.stage_id
  LEFT JOIN sea.stage_run s ON s.id = w.stage_id AND s.state = 'ready'
  LEFT JOIN (
       SELECT o.queue, 'no worker of queue "' || o.queue || '" takes stages now: '
              || string_agg('worker ' || o.id || ' on ' || o.host || ' says: ' || o.trouble, '; '
                            ORDER BY o.id) AS words
         FROM sea.worker o
        WHERE o.ended_at IS NULL AND o.state = 'active'
        GROUP BY o.queue
       HAVING bool_and(o.trouble IS NOT NULL)) t ON t.queue = s.queue
  LEFT JOIN sea.cluster_look k ON j.state <> 'started' AND k.failures > 0;

INSERT INTO sea.access (object, kind, roles)
VALUES ('worker_trouble', 'function', ARRAY['worker']);

DO $$
BEGIN
    PERFORM sea.setup_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no roles were made: call sea.setup_roles() as somebody who may create them';
END $$;
