-- What every client needs; the command line's own questions are in cli.sql.

-- name: submit
SELECT sea.submit($1::jsonb, $2) AS experiment_id;

-- name: experiment_state
SELECT state, ended_at IS NOT NULL AS ended FROM sea.experiment WHERE id = $1;
