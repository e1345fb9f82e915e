#!/bin/bash
# How long the analyst's questions take: 10,000 experiments on 12 benchmarks, a million metric
# points (POINTS=100000000 for the large one), in a service of its own. Prints the median and
# the best of nine EXPLAIN ANALYZE times of each question beside its goal; exit status 1 when
# even the best misses one (on a machine that is busy the median says little).
# SEA: the program (build/sea). Not part of `make test`: times depend on the machine.
set -eu
cd "$(dirname "$0")/../.."
sea=${SEA:-build/sea}
points=${POINTS:-1000000}
work=$(mktemp -d "${TMPDIR:-/tmp}/sea-analyst-XXXXXX")
chmod 711 "$work"
unset SEA_DATABASE_URL PGHOST PGSERVICE PGDATABASE PGPORT PGUSER
export SEA_DATA=$work/service
mkdir "$SEA_DATA"
chmod 711 "$SEA_DATA"
trap '"$sea" down > /dev/null 2>&1; rm -rf "$work"' EXIT
url=$("$sea" up --workers 0 | sed -n 's/^postgresql: //p')
sql() {
    psql -X -A -t -q -v ON_ERROR_STOP=1 "$url" "$@"
}

sql -v points="$points" << 'SQL'
SET synchronous_commit = off;
INSERT INTO sea.benchmark (name, split) SELECT 'bench' || i, '' FROM generate_series(1, 12) i;
INSERT INTO sea.experiment (name, config, config_digest, state, ended_at)
SELECT 'e' || i, jsonb_build_object('name', 'e' || i, 'seed', i % 5,
       'model', jsonb_build_object('language', jsonb_build_object('path', 'm' || i % 20)),
       'stages', '{"align": {"lambda": 1.0}, "eval": {"suite": "bench"}}'::jsonb), 'x',
       'succeeded', now()
  FROM generate_series(1, 10000) i;
INSERT INTO sea.stage_run (experiment_id, stage, state, unmet, key, last_epoch)
SELECT e.id, 'eval', 'running', 0, encode(sha256(e.id::text::bytea), 'hex'), 1
  FROM sea.experiment e;
INSERT INTO sea.attempt (stage_id, epoch, worker_id, state, ended_at)
SELECT id, 1, 1, 'committed', now() FROM sea.stage_run;
INSERT INTO sea.score (stage_id, epoch, benchmark_id, metric, value, scale, n, se, low, high)
SELECT s.id, 1, b.id, 'accuracy', v, 100, 1000, 0.01, v - 0.02, v + 0.02
  FROM sea.stage_run s, sea.benchmark b, LATERAL (SELECT random() AS v WHERE s.id > 0) x;
UPDATE sea.stage_run SET state = 'done', done_epoch = 1, output_stage_id = id, output_epoch = 1,
       output_digest = repeat('0', 64), ended_at = now();
INSERT INTO sea.metric (stage_id, epoch, name, step, value)
SELECT 1 + i % 1000, 1, 'align.loss', i / 1000, random() FROM generate_series(1, :points) i;
VACUUM (ANALYZE);
SQL

bad=0
question() {                    # words, goal in ms, SQL
    local times median best
    times=$(for _ in 1 2 3 4 5 6 7 8 9; do
        sql -c "EXPLAIN (ANALYZE, TIMING OFF) $3" | sed -n 's/^Execution Time: \(.*\) ms/\1/p'
    done)
    median=$(sort -g <<< "$times" | sed -n 5p)
    best=$(sort -g <<< "$times" | head -n 1)
    printf '%-48s median %8.2f ms  best %8.2f ms  goal %3d ms\n' "$1" "$median" "$best" "$2"
    awk -v m="$best" -v g="$2" 'BEGIN { exit !(m < g) }' || bad=1
}
echo "10000 experiments, 12 benchmarks, $points points, load $(cut -d ' ' -f 1 /proc/loadavg)"
question "the first hundred of a benchmark's board" 10 \
    "SELECT * FROM sea.leaderboard WHERE benchmark = 'bench7' AND suite = 'bench'
     AND metric = 'accuracy' AND NOT control AND rank <= 100"
question "a benchmark's whole board" 10 \
    "SELECT * FROM sea.leaderboard WHERE benchmark = 'bench7' AND suite = 'bench'
     AND metric = 'accuracy' AND NOT control"
question "mean over 12 benchmarks, the first hundred" 50 \
    "SELECT * FROM sea.board_mean WHERE suite = 'bench' AND metric = 'accuracy'
     ORDER BY value DESC LIMIT 100"
question "best of each model" 50 \
    "SELECT * FROM sea.best_per_model WHERE suite = 'bench' AND benchmark = 'bench7'"
question "one curve of $((points / 1000)) points" 20 \
    "SELECT step, value FROM sea.metric_series WHERE experiment_id = 77 AND name = 'align.loss'
     ORDER BY step"
question "status of the newest hundred experiments" 20 \
    "SELECT * FROM sea.experiment_status ORDER BY experiment_id DESC LIMIT 100"
exit $bad
