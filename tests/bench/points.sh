#!/bin/bash
# Whether the time of one curve depends on how many points there are: fills sea.metric decade by
# decade up to POINTS (10000000), in a service of its own, and after each prints the median and
# the worst of nine curves of 1,000 points, each of another experiment, as sea.metric_series
# gives them, with the pages that the slowest one touched. Exit status 1 when the median of the
# last decade is above the goal of 20 ms, or touches more than twice the pages of the first.
# POINTS=100000000 takes about 21 GB of disk and ten to fifteen minutes.
# SEA: the program (build/sea). Not part of `make test`: times depend on the machine.
set -eu
cd "$(dirname "$0")/../.."
sea=${SEA:-build/sea}
points=${POINTS:-10000000}
jobs=${JOBS:-$(nproc)}
work=$(mktemp -d "${TMPDIR:-/tmp}/sea-points-XXXXXX")
chmod 711 "$work"
unset SEA_DATABASE_URL PGHOST PGSERVICE PGDATABASE PGPORT PGUSER
export SEA_DATA=$work/service
mkdir "$SEA_DATA"
chmod 711 "$SEA_DATA"
trap '"$sea" down > /dev/null 2>&1; rm -rf "$work"' EXIT
url=$("$sea" up --workers 0 | sed -n 's/^postgresql: //p')
kill "$(cat "$SEA_DATA/run/scheduler.pid")"     # nothing to schedule, and it would be in the way
sql() {
    psql -X -A -t -q -v ON_ERROR_STOP=1 "$url" "$@"
}

# A stage run has ten curves of 1,000 points. Ids lie so far apart that 10^8 points are in forty
# partitions.
per_run=10000 apart=400
runs=$((points / per_run))
sql << SQL
SET synchronous_commit = off;
INSERT INTO sea.experiment (name, config, config_digest, state, ended_at)
SELECT 'e' || i, '{"name": "e"}', 'x', 'succeeded', now() FROM generate_series(1, $runs) i;
INSERT INTO sea.stage_run (id, experiment_id, stage, state, unmet, key, last_epoch, done_epoch,
                           output_stage_id, output_epoch, output_digest, ended_at)
OVERRIDING SYSTEM VALUE
SELECT i * $apart, i, 'align', 'done', 0, encode(sha256(i::text::bytea), 'hex'), 1, 1, i * $apart, 1,
       repeat('0', 64), now() FROM generate_series(1, $runs) i;
ALTER TABLE sea.stage_run ALTER COLUMN id RESTART WITH $((runs * apart + 1));
SELECT sea.maintain();
ANALYZE;
SQL

fill() {                        # first and last stage run, in numbers from 1
    local one
    for one in $(seq "$jobs"); do
        # As attempts send them: step by step, all curves of a step together, several at once.
        sql -c "SET synchronous_commit = off" -c "
            INSERT INTO sea.metric (stage_id, epoch, name, step, value)
            SELECT ($1 + $one - 1 + i / $per_run * $jobs) * $apart, 1, 'align.metric_' || i % 10,
                   i % $per_run / 10, 1.0 / (1 + i)
              FROM generate_series(0, (($2 - $1 - $one + 1 + $jobs) / $jobs)::bigint * $per_run - 1) i" &
    done
    wait
}
measure() {                     # stage runs that are filled; prints median, worst, pages
    local i
    for i in 1 2 3 4 5 6 7 8 9; do
        sql -c "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF)
                SELECT step, value FROM sea.metric_series
                 WHERE experiment_id = $((1 + RANDOM * RANDOM % $1)) AND name = 'align.metric_7'
                 ORDER BY step" |
            awk '/Buffers: shared/ && !pages { for (f = 1; f <= NF; f++) if ($f ~ /^(hit|read)=/) { v = $f; sub(/.*=/, "", v); pages += v } }
                 /^Execution Time/ { print $3, pages }'
    done | sort -g | awk '{ t[NR] = $1; if ($2 > p) p = $2 } END { print t[5], t[NR], p }'
}
printf '%12s %10s %14s %14s %8s %10s\n' points bytes 'median ms' 'worst ms' pages 'points/s'
have=0 first=
for at in 100000 1000000 10000000 100000000 1000000000; do
    [ "$at" -le "$points" ] || break
    start=$(date +%s%N)
    fill $((have + 1)) $((at / per_run))
    took=$((($(date +%s%N) - start) / 1000000))
    rate=$(((at - have * per_run) * 1000 / (took + 1)))
    have=$((at / per_run))
    sql -c 'VACUUM (ANALYZE) sea.metric' -c CHECKPOINT
    read -r median worst pages <<< "$(measure $have)"
    bytes=$(sql -c "SELECT pg_size_pretty(sum(pg_total_relation_size(inhrelid)))
                      FROM pg_inherits WHERE inhparent = 'sea.metric'::regclass")
    printf '%12d %10s %14s %14s %8s %10d\n' "$at" "${bytes// /}" "$median" "$worst" "$pages" "$rate"
    first=${first:-$pages}
done
awk -v m="$median" -v p="$pages" -v f="$first" 'BEGIN { exit !(m < 20 && p <= 2 * f) }'
