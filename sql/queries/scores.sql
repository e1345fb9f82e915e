-- Results of an evaluation, besides what goes with its commit.

-- name: judge_add
-- $1 stage run, $2 epoch, $3 secret, $4 benchmark, $5 split, $6 who grades.
SELECT sea.add_judge($1::bigint, $2::bigint, $3::uuid, $4, $5, $6)
