-- Nightly evaluations: the scheduler's tick, the webhook, `sea nightly`.

-- name: fire_schedules
-- done: nights started or judged.
SELECT sea.fire_schedules() AS done

-- name: claim_notice
-- The next notice that the webhook has to be told; no row when none is due.
SELECT n.id, n.body
  FROM sea.claim_notice() AS n

-- name: end_notice
-- $1 notice, $2 why it was not accepted, or null.
SELECT sea.end_notice($1::bigint, $2::text)

-- name: nightly_add
-- $1 schedule as JSON.
SELECT sea.add_schedule($1::jsonb) AS id

-- name: nightly_next
-- $1 name of a schedule. next: its next slot.
SELECT to_char(s.next_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI"Z"') AS next
  FROM sea.schedule AS s
 WHERE s.name = $1

-- name: nightly_enable
-- $1 name of a schedule, $2 whether it goes on. next: its next slot, null while it rests.
SELECT to_char(sea.enable_schedule($1, $2::boolean) AT TIME ZONE 'UTC',
               'YYYY-MM-DD HH24:MI"Z"') AS next

-- name: nightly_run
-- $1 name of a schedule. night: the slot; ids: its experiments.
SELECT sea.run_schedule($1) AS night

-- name: nightly_experiments
-- $1 name of a schedule, $2 night.
SELECT r.experiment_id, r.model
  FROM sea.night_run AS r
  JOIN sea.schedule AS s ON s.id = r.schedule_id
 WHERE s.name = $1 AND r.slot = $2::timestamptz
 ORDER BY r.model

-- name: nightly_second_runs
-- Second runs of a night that have not ended. $1 name of a schedule, $2 night.
SELECT r.confirm_id AS experiment_id
  FROM sea.night_run AS r
  JOIN sea.schedule AS s ON s.id = r.schedule_id
  JOIN sea.experiment AS e ON e.id = r.confirm_id
 WHERE s.name = $1 AND r.slot = $2::timestamptz AND e.ended_at IS NULL
 ORDER BY r.model

-- name: nightly_list
SELECT s.name, s.cron, s.enabled, s.baseline, s.catch_up,
       (SELECT string_agg(m.key, ', ' ORDER BY m.key)
          FROM jsonb_object_keys(s.config -> 'models') AS m (key)) AS models,
       to_char(s.next_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI"Z"') AS next,
       (SELECT to_char(max(n.slot) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI"Z"')
          FROM sea.night AS n
         WHERE n.schedule_id = s.id) AS last,
       (SELECT count(*)
          FROM sea.regression AS g
         WHERE g.schedule_id = s.id AND g.state <> 'resolved') AS regressions
  FROM sea.schedule AS s
 ORDER BY s.name

-- name: nightly_nights
-- The nights of a report. $1 schedule or null, $2 date or null: the newest one of each.
SELECT DISTINCT ON (s.name, CASE WHEN $2::date IS NOT NULL THEN n.slot END)
       s.name, n.slot, to_char(n.slot AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI"Z"') AS night,
       n.judged_at IS NOT NULL AS judged
  FROM sea.night AS n
  JOIN sea.schedule AS s ON s.id = n.schedule_id
 WHERE ($1::text IS NULL OR s.name = $1::text)
   AND ($2::date IS NULL OR (n.slot AT TIME ZONE 'UTC')::date = $2::date)
 ORDER BY s.name, CASE WHEN $2::date IS NOT NULL THEN n.slot END, n.slot DESC

-- name: nightly_verdicts
-- One night for people, in percent. $1 schedule, $2 slot.
SELECT r.model, r.benchmark || coalesce('/' || nullif(r.split, ''), '') AS benchmark,
       r.verdict || CASE WHEN r.verdict <> 'regressed' OR r.confirm_id IS NULL THEN ''
                         WHEN r.confirmed THEN ', twice'
                         WHEN NOT r.confirmed THEN ', but not in a second run ('
                              || to_char(100 * r.confirm_difference, 'FMSG9990.00') || ')'
                         ELSE ', second run ' || (
                              SELECT CASE WHEN e.ended_at IS NULL THEN 'under way'
                                          ELSE e.state END
                                FROM sea.experiment AS e WHERE e.id = r.confirm_id) END AS verdict,
       to_char(100 * r.mean_baseline, 'FM9990.00') AS baseline,
       to_char(100 * r.mean, 'FM9990.00') AS night,
       to_char(100 * r.difference, 'FMSG9990.00') AS difference,
       '[' || to_char(100 * r.low, 'FMSG9990.00') || ', '
           || to_char(100 * r.high, 'FMSG9990.00') || ']' AS interval,
       CASE WHEN r.q < 0.001 THEN '< 0.001' ELSE round(r.q::numeric, 3)::text END AS q,
       to_char(100 * r.mde, 'FM9990.0') AS detectable, r.n, r.reason
  FROM sea.nightly_report AS r
 WHERE r.schedule = $1 AND r.night = $2::timestamptz
 ORDER BY r.verdict <> 'regressed', r.model, r.benchmark, r.split

-- name: nightly_open
-- Regressions that are not resolved. $1 schedule or null.
SELECT g.id, s.name AS schedule, g.model,
       b.name || coalesce('/' || nullif(b.split, ''), '') AS benchmark, g.state, g.kind,
       to_char(100 * g.difference, 'FMSG9990.00') AS difference,
       to_char(g.first_bad AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI"Z"') AS first_bad,
       to_char(g.last_good AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI"Z"') AS last_good,
       g.baseline_id AS baseline, g.candidate_id AS experiment, g.note
  FROM sea.regression AS g
  JOIN sea.schedule AS s ON s.id = g.schedule_id
  JOIN sea.benchmark AS b ON b.id = g.benchmark_id
 WHERE g.state <> 'resolved' AND ($1::text IS NULL OR s.name = $1::text)
 ORDER BY g.id

-- name: nightly_report_all
-- The same at full precision, in fractions. $1 schedule or null, $2 date or null: the newest
-- night of each.
SELECT r.*
  FROM sea.nightly_report AS r
 WHERE ($1::text IS NULL OR r.schedule = $1::text)
   AND CASE WHEN $2::date IS NOT NULL THEN (r.night AT TIME ZONE 'UTC')::date = $2::date
            ELSE r.night = (SELECT max(n.slot)
                              FROM sea.night AS n
                              JOIN sea.schedule AS s ON s.id = n.schedule_id
                             WHERE s.name = r.schedule) END
 ORDER BY r.schedule, r.night, r.model, r.benchmark, r.split

-- name: nightly_judged
-- $1 schedule, $2 slot.
SELECT n.judged_at IS NOT NULL AS judged
  FROM sea.night AS n
  JOIN sea.schedule AS s ON s.id = n.schedule_id
 WHERE s.name = $1 AND n.slot = $2::timestamptz

-- name: nightly_mark
-- $1 regression, $2 its state, $3 note or null.
SELECT sea.mark_regression($1::bigint, $2, $3)
