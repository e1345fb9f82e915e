-- What every client needs; the command line's own questions are in cli.sql.

-- name: submit
SELECT sea.submit($1::jsonb, $2) AS experiment_id;

-- name: submit_all
-- All or none. $1 list of configurations, $2 key or null.
SELECT experiment_id FROM sea.submit_all($1::jsonb, $2);

-- name: backend_pid
-- Which server process answers: another one than libpq was told means that a pooler is between.
SELECT pg_backend_pid() AS pid;
