-- Upkeep and restores.

-- name: doctor_notices
-- What the webhook was not told: how many wait, since when, how many of them it has refused, why the
-- last one was; how many were given up in the last 30 days.
SELECT count(*) FILTER (WHERE n.given_up_at IS NULL) AS waiting,
       coalesce(extract(epoch FROM clock_timestamp()
                        - min(n.created_at) FILTER (WHERE n.given_up_at IS NULL)), 0)::bigint AS seconds,
       count(*) FILTER (WHERE n.given_up_at IS NULL AND n.error IS NOT NULL) AS refused,
       count(*) FILTER (WHERE n.given_up_at > clock_timestamp() - interval '30 days') AS given_up,
       coalesce((SELECT l.error FROM sea.notice AS l WHERE l.delivered_at IS NULL AND l.error IS NOT NULL
                  ORDER BY l.id DESC LIMIT 1), '') AS error
  FROM sea.notice AS n WHERE n.delivered_at IS NULL

-- name: doctor_queue
-- Experiments that have not ended, one of those that read the same models and data and write the same
-- files: the newest. $1 how many at most. open: their stages that have not ended.
SELECT q.id, q.name, q.config::text AS config, q.open
  FROM (SELECT DISTINCT ON (e.config -> 'model', e.config -> 'data', e.config #> '{stages,foundation}',
                            e.config #> '{stages,label}', e.config #> '{stages,tune}', o.open)
               e.id, e.name, e.config, o.open
          FROM sea.experiment AS e
         CROSS JOIN LATERAL (SELECT string_agg(s.stage, ' ' ORDER BY s.id) AS open
                               FROM sea.stage_run AS s
                              WHERE s.experiment_id = e.id AND s.ended_at IS NULL) AS o
         WHERE e.ended_at IS NULL AND o.open IS NOT NULL
         ORDER BY e.config -> 'model', e.config -> 'data', e.config #> '{stages,foundation}',
                  e.config #> '{stages,label}', e.config #> '{stages,tune}', o.open, e.id DESC) AS q
 ORDER BY q.id DESC
 LIMIT $1::bigint

-- name: store_expected
-- Files that a committed output refers to: all of them have to be in the store.
SELECT a.sha256, a.bytes
  FROM sea.artifact AS a
 WHERE EXISTS (SELECT FROM sea.manifest AS m WHERE m.sha256 = a.sha256)
 ORDER BY a.sha256
