#!/bin/bash
# Three schedulers and ten workers whose wall clocks are an hour ahead or behind: every slot of a
# schedule starts once and none early, every stage is tried once and none is taken back early.
set -u
cd "$(dirname "$0")/../.."
build=$PWD/${SEA_BUILD:-build/dev}
case ${SEA_BUILD:-} in /*) build=$SEA_BUILD ;; esac
sea=$build/sea
shim=$build/tests/fault/shim.so
unset SEA_DATABASE_URL PGHOST PGSERVICE PGDATABASE PGPORT PGUSER SEA_DATA
if [ ! -e "$shim" ] || ! command -v psql > /dev/null; then
    echo "SKIP: needs psql and $shim"
    echo "test_cluster_clocks: 0 passed, 0 failed, 1 skipped"
    exit 0
fi
work=$(mktemp -d)
chmod 711 "$work"
data=$work/service
pids=()
end() {
    [ ${#pids[@]} -eq 0 ] || { kill "${pids[@]}"; wait "${pids[@]}"; } 2>/dev/null
    "$sea" down --data "$data" > /dev/null 2>&1
    rm -rf "$work"
}
trap end EXIT
passed=0 failed=0
sql() { psql -h "$data/run" -U sea -d sea -qAt -v ON_ERROR_STOP=1 -c "$1" 2>&1; }
check_equal() {
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $1: $2, want $3"
    fi
}

# struct fault_control of tests/fault/control.h: what is added to the wall clock stands at 24.
zeros() { head -c "$1" /dev/zero; }
{ zeros 24; printf '\200\356\066\0\0\0\0\0'; zeros 8; } > "$work/ahead"
{ zeros 24; printf '\200\021\311\377\377\377\377\377'; zeros 8; } > "$work/behind"

"$sea" up --data "$data" --workers 0 > "$work/up" 2>&1 || { cat "$work/up"; exit 1; }
start() {       # start CLOCK COMMAND...
    # Each has a file of its own: the shim counts in it how often the clock was read.
    cp "$work/$1" "$work/control-${#pids[@]}"
    SEA_FAULT_CONTROL=$work/control-${#pids[@]} LD_PRELOAD=$shim \
        "$sea" "${@:2}" --data "$data" > "$work/log-${#pids[@]}" 2>&1 &
    pids+=($!)
}
start ahead scheduler --tick 20
start behind scheduler --tick 20
start ahead scheduler --tick 30
for i in 1 2 3 4 5; do
    start ahead worker --ttl 2 --device cpu:1
    start behind worker --ttl 2 --device cpu:1
done

# Ten schedules of every minute that slept for an hour: 60 slots each, and one more while it runs.
sql "SELECT sea.add_schedule(jsonb_build_object('name', 'clock-' || n, 'cron', '* * * * *',
     'catch_up', 'all', 'models', jsonb_build_object('m', jsonb_build_object('name', 'm',
     'model', jsonb_build_object('path', '/nowhere'), 'stages', jsonb_build_object('eval',
     jsonb_build_object('suite', 'scenes')))))) FROM generate_series(1, 10) n" > /dev/null
back="UPDATE sea.schedule SET next_at = date_trunc('minute', clock_timestamp()) - interval '1 hour'"
first=$(sql "SELECT date_trunc('minute', clock_timestamp()) - interval '1 hour'")
# Stages whose files are not there: each ends at its first try.
sql "INSERT INTO sea.experiment (name, config, config_digest) SELECT 'x', '{\"name\": \"x\",
     \"stages\": {\"label\": {}}}', 'x' FROM generate_series(1, 40);
     INSERT INTO sea.stage_run (experiment_id, stage, state, unmet, key, ready_at)
     SELECT id, 'label', 'ready', 0, encode(sha256(('k' || id)::bytea), 'hex'), clock_timestamp()
       FROM sea.experiment WHERE name = 'x'" > /dev/null
for _ in 1 2 3; do
    sql "$back" > /dev/null                     # told to start again: a slot is a slot
    sleep 0.7
done
for _ in $(seq 80); do
    [ "$(sql "SELECT (SELECT count(*) FROM sea.stage_run s JOIN sea.experiment e ON e.id =
         s.experiment_id WHERE e.name = 'x' AND s.ended_at IS NULL) + (SELECT count(*)
         FROM sea.schedule WHERE next_at <= clock_timestamp() - interval '1 s')")" != 0 ] || break
    sleep 0.1
done
check_equal "every slot since then started, each once, for each schedule" "$(sql "
    SELECT string_agg(DISTINCT (n = slots)::text, ',') || ' ' || count(*) FROM (
        SELECT schedule_id, count(*) AS n, count(DISTINCT slot) = count(*) AS once,
               extract(epoch FROM max(slot) - '$first'::timestamptz) / 60 + 1 AS slots
          FROM sea.night GROUP BY schedule_id) x WHERE once")" "true 10"
check_equal "one experiment for each" "$(sql "SELECT count(*) - count(DISTINCT experiment_id)
    + (SELECT count(*) FROM sea.night) - count(*) FROM sea.night_run")" 0
check_equal "no slot before its time" \
    "$(sql "SELECT count(*) FROM sea.night WHERE slot > clock_timestamp()")" 0
check_equal "at least an hour of slots" \
    "$(sql "SELECT min(n) >= 60 FROM (SELECT count(*) AS n FROM sea.night GROUP BY schedule_id) x")" t
check_equal "each stage was tried once" "$(sql "SELECT count(*) || ' ' || max(a.epoch) FROM sea.attempt a
    JOIN sea.stage_run s ON s.id = a.stage_id JOIN sea.experiment e ON e.id = s.experiment_id
    WHERE e.name = 'x'")" "40 1"
check_equal "nothing was taken back" "$(sql "SELECT count(*) FROM sea.attempt WHERE state = 'lost'")" 0
check_equal "no worker was given up" "$(sql "SELECT count(*) FROM sea.worker WHERE state IN
    ('suspect', 'lost')")" 0
check_equal "and no invariant is broken" "$(sql "SELECT count(*) FROM sea.broken_invariant")" 0
skewed=0
for i in $(seq 0 12); do
    [ "$(tail -c 8 "$work/control-$i" | od -An -td8 | tr -d ' ')" = 0 ] || skewed=$((skewed + 1))
done
# Schedulers do not look at all, but for log lines.
[ $skewed -gt 10 ] && skewed=10
check_equal "all workers saw the wrong time" "$skewed" 10
echo "test_cluster_clocks: $passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
