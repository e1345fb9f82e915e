-- What `sea serve --metrics` tells Prometheus: rows of family (the name without "sea_"), up to
-- three label values a, b, c in the order of scheduler/metrics.c, and a value.

-- name: metrics_now
-- Cheap ones, which follow the open experiments and not the history.
  WITH open AS MATERIALIZED (
       SELECT s.id, s.state, s.queue, s.last_epoch,
              CASE s.state WHEN 'ready' THEN s.ready_at ELSE s.created_at END AS since
         FROM sea.experiment AS e
         JOIN sea.stage_run AS s ON s.experiment_id = e.id
        WHERE e.ended_at IS NULL AND s.ended_at IS NULL),
       queues AS (
       SELECT 'default' AS queue
        UNION
       SELECT queue FROM open
        UNION
       SELECT queue FROM sea.worker WHERE ended_at IS NULL),
       -- What keeps vacuum from removing dead rows, oldest first.
       horizon AS (
       SELECT 'session' AS kind, coalesce(usename, backend_type) AS owner,
              application_name AS what, greatest(age(backend_xmin), age(backend_xid)) AS age,
              extract(epoch FROM clock_timestamp() - xact_start) AS seconds
         FROM pg_stat_activity
        WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
          AND pid <> pg_backend_pid()
        UNION ALL
       SELECT 'prepared', owner, gid, age(transaction),
              extract(epoch FROM clock_timestamp() - prepared)
         FROM pg_prepared_xacts
        UNION ALL
       SELECT 'slot', plugin, slot_name, greatest(age(xmin), age(catalog_xmin)), NULL
         FROM pg_replication_slots
        WHERE xmin IS NOT NULL OR catalog_xmin IS NOT NULL
        UNION ALL
       SELECT 'standby', usename, application_name, age(backend_xmin), NULL
         FROM pg_stat_replication
        WHERE backend_xmin IS NOT NULL),
       oldest AS (
       SELECT kind, owner, what, age, seconds FROM horizon ORDER BY age DESC NULLS LAST LIMIT 1),
       hot AS (
       SELECT relname, relid, n_live_tup, n_dead_tup, n_tup_upd, n_tup_hot_upd
         FROM pg_stat_user_tables
        WHERE schemaname = 'sea'
          AND relname IN ('stage_run', 'lease', 'worker', 'slot', 'flight', 'pin', 'batch'))
SELECT 'stage_runs' AS family, t.state AS a, q.queue AS b, NULL AS c,
       (SELECT count(*) FROM open AS o WHERE o.state = t.state AND o.queue = q.queue)::float8
           AS value
  FROM unnest(ARRAY['blocked', 'waiting', 'ready', 'running', 'backoff', 'quarantined']) AS t (state)
 CROSS JOIN queues AS q
 UNION ALL
SELECT 'oldest_pending_seconds', t.state, q.queue, NULL,
       coalesce((SELECT extract(epoch FROM clock_timestamp() - min(o.since))
                   FROM open AS o WHERE o.state = t.state AND o.queue = q.queue), 0)
  FROM unnest(ARRAY['waiting', 'ready', 'quarantined']) AS t (state)
 CROSS JOIN queues AS q
 UNION ALL
SELECT 'experiments_open', t.state, NULL, NULL, count(e.id)
  FROM unnest(ARRAY['queued', 'running', 'cancelling']) AS t (state)
  LEFT JOIN sea.experiment AS e ON e.state = t.state AND e.ended_at IS NULL
 GROUP BY t.state
 UNION ALL
SELECT 'leases', NULL, NULL, NULL, count(*) FROM sea.lease
 UNION ALL
SELECT 'leases_expired', NULL, NULL, NULL, count(*) FROM sea.lease
 WHERE expires_at < clock_timestamp()
 UNION ALL
SELECT 'slots', s.kind, s.name, CASE WHEN s.stage_id IS NULL THEN 'free' ELSE 'held' END, count(*)
  FROM sea.slot AS s GROUP BY 2, 3, 4
 UNION ALL
SELECT 'workers', t.state, q.queue, NULL, count(w.id)
  FROM unnest(ARRAY['active', 'suspect', 'draining']) AS t (state)
 CROSS JOIN queues AS q
  LEFT JOIN sea.worker AS w ON w.state = t.state AND w.queue = q.queue AND w.ended_at IS NULL
 GROUP BY t.state, q.queue
 UNION ALL
SELECT 'broken_invariants', 'running without lease', NULL, NULL, count(*)
  FROM open AS o
 WHERE o.state = 'running'
   AND NOT EXISTS (SELECT FROM sea.lease AS l WHERE l.stage_id = o.id AND l.epoch = o.last_epoch)
 UNION ALL
SELECT 'broken_invariants', 'lease without running', NULL, NULL, count(*)
  FROM sea.lease AS l
  LEFT JOIN sea.stage_run AS s ON s.id = l.stage_id
 WHERE s.state IS DISTINCT FROM 'running' OR s.last_epoch <> l.epoch
 UNION ALL
SELECT 'oldest_xmin_transactions', o.kind, o.owner, o.what, o.age FROM oldest AS o
 UNION ALL
SELECT 'oldest_xmin_seconds', o.kind, o.owner, o.what, o.seconds FROM oldest AS o
 UNION ALL
SELECT 'table_dead_rows', h.relname, NULL, NULL, h.n_dead_tup FROM hot AS h
 UNION ALL
SELECT 'table_rows', h.relname, NULL, NULL, h.n_live_tup FROM hot AS h
 UNION ALL
SELECT 'table_bytes', h.relname, NULL, NULL, pg_total_relation_size(h.relid) FROM hot AS h
 UNION ALL
SELECT 'table_updates_total', h.relname, k.kind, NULL,
       CASE k.kind WHEN 'hot' THEN h.n_tup_hot_upd ELSE h.n_tup_upd - h.n_tup_hot_upd END
  FROM hot AS h CROSS JOIN unnest(ARRAY['hot', 'cold']) AS k (kind)
 UNION ALL
SELECT 'metric_points_total', NULL, NULL, NULL, coalesce(sum(u.n_tup_ins), 0)
  FROM pg_inherits AS i JOIN pg_stat_user_tables AS u ON u.relid = i.inhrelid
 WHERE i.inhparent = 'sea.metric'::regclass
 UNION ALL
SELECT 'metric_partitions', NULL, NULL, NULL, count(*)
  FROM pg_inherits WHERE inhparent = 'sea.metric'::regclass
 UNION ALL
SELECT 'notification_queue_ratio', NULL, NULL, NULL, pg_notification_queue_usage()
 UNION ALL
SELECT 'regressions', t.state, NULL, NULL, count(g.id)
  FROM unnest(ARRAY['open', 'acknowledged', 'muted']) AS t (state)
  LEFT JOIN sea.regression AS g ON g.state = t.state
 GROUP BY t.state
 UNION ALL
SELECT 'notices', 'pending', NULL, NULL, count(*)
  FROM sea.notice WHERE delivered_at IS NULL AND given_up_at IS NULL
 UNION ALL
SELECT 'notices', 'given up', NULL, NULL, count(*) FROM sea.notice WHERE given_up_at IS NOT NULL
 UNION ALL
SELECT 'oldest_notice_seconds', NULL, NULL, NULL,
       coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)
  FROM sea.notice WHERE delivered_at IS NULL AND given_up_at IS NULL
 UNION ALL
SELECT 'gpus', g.host, t.state, NULL,
       count(*) FILTER (WHERE t.state = CASE WHEN g.stage_id IS NOT NULL THEN 'held'
                                             WHEN g.kept_for IS NOT NULL THEN 'kept'
                                             ELSE 'free' END)
  FROM sea.gpu_status AS g CROSS JOIN unnest(ARRAY['free', 'held', 'kept']) AS t (state)
 GROUP BY g.host, t.state
 UNION ALL
SELECT 'schedule_overdue_seconds', s.name, NULL, NULL,
       greatest(0, extract(epoch FROM clock_timestamp() - s.next_at))
  FROM sea.schedule AS s WHERE s.enabled AND s.next_at < 'infinity'
 UNION ALL
SELECT 'schema_version', NULL, NULL, NULL, max(m.version) FROM sea.migration AS m

-- name: metrics_history
-- Those that read the whole history: asked for seldom.
  WITH ended AS MATERIALIZED (
       SELECT a.state, a.class, count(*) AS n FROM sea.attempt AS a
        WHERE a.ended_at IS NOT NULL GROUP BY a.state, a.class),
       recent AS MATERIALIZED (
       SELECT extract(epoch FROM a.claimed_at - s.ready_at) AS claim_wait,
              extract(epoch FROM a.started_at - a.claimed_at) AS start_wait
         FROM sea.attempt AS a
         JOIN sea.stage_run AS s ON s.id = a.stage_id AND s.last_epoch = a.epoch
        WHERE a.claimed_at > clock_timestamp() - interval '15 min'
          AND s.ready_at <= a.claimed_at)
SELECT 'attempts_total' AS family, e.state AS a, coalesce(e.class, '') AS b, NULL AS c,
       e.n::float8 AS value
  FROM ended AS e
 UNION ALL
SELECT 'attempts_total', t.state, '', NULL, 0
  FROM unnest(ARRAY['committed', 'released', 'cancelled']) AS t (state)
 WHERE NOT EXISTS (SELECT FROM ended AS e WHERE e.state = t.state)
 UNION ALL
SELECT 'stage_runs_ended_total', t.stage, t.state, NULL, t.n
  FROM (SELECT s.stage, s.state, count(*) AS n FROM sea.stage_run AS s
         WHERE s.ended_at IS NOT NULL GROUP BY s.stage, s.state) AS t
 UNION ALL
SELECT 'experiments_ended_total', t.state, NULL, NULL, count(e.id)
  FROM unnest(ARRAY['succeeded', 'failed', 'cancelled']) AS t (state)
  LEFT JOIN sea.experiment AS e ON e.state = t.state
 GROUP BY t.state
 UNION ALL
SELECT 'claim_wait_seconds', p.q::text, NULL, NULL,
       (SELECT percentile_disc(p.q) WITHIN GROUP (ORDER BY r.claim_wait) FROM recent AS r)
  FROM unnest(ARRAY[0.5, 0.99]) AS p (q)
 UNION ALL
SELECT 'start_wait_seconds', p.q::text, NULL, NULL,
       (SELECT percentile_disc(p.q) WITHIN GROUP (ORDER BY r.start_wait) FROM recent AS r)
  FROM unnest(ARRAY[0.5, 0.99]) AS p (q)
 UNION ALL
SELECT 'broken_invariants', t.what, NULL, NULL,
       (SELECT count(*) FROM sea.broken_invariant AS b
         WHERE b.what NOT IN ('running without lease', 'lease without running')
           AND regexp_replace(b.what, ': .*', '') = t.what)
  FROM unnest(ARRAY['commits', 'done without a committed attempt or files',
                    'started before a parent was done', 'flight of an ended stage run'])
       AS t (what)
 UNION ALL
SELECT 'store_bytes', t.state, NULL, NULL, coalesce(sum(f.bytes), 0)
  FROM unnest(ARRAY['kept', 'condemned']) AS t (state)
  LEFT JOIN sea.artifact AS f ON (f.condemned_at IS NULL) = (t.state = 'kept')
 GROUP BY t.state
 UNION ALL
SELECT 'store_files', t.state, NULL, NULL, count(f.sha256)
  FROM unnest(ARRAY['kept', 'condemned']) AS t (state)
  LEFT JOIN sea.artifact AS f ON (f.condemned_at IS NULL) = (t.state = 'kept')
 GROUP BY t.state
