#!/bin/bash
# What the service stands on goes away for longer than a lease, while real stages run: PostgreSQL,
# the disk of its write-ahead log, the disk of the stages' folders, that of the store. The operator
# mends it and calls `sea up`; nothing else is done by hand, and the outputs have the same bytes.
# Where nobody may mount a small disk, those parts are skipped.
. "$(dirname "$0")/../e2e/lib.sh"
data=$work/data
ttl=2
away=$((4 * ttl))

tiny_data "$data"
tiny_sets "$data"
sets+=(--set foundation.clip.steps=150 --set foundation.language.steps=150 --set align.steps=150
       --set tune.steps=60 --set foundation.checkpoint_every=20 --set align.checkpoint_every=20
       --set tune.checkpoint_every=20)

outputs() {                     # of the newest experiment
    sql "SELECT stage || ' ' || output_digest FROM sea.stage_run
          WHERE experiment_id = (SELECT max(id) FROM sea.experiment) ORDER BY id"
}
state() {
    sql "SELECT state FROM sea.experiment ORDER BY id DESC LIMIT 1" 2> /dev/null
}
is_state() { [ "$(state)" = "$1" ]; }
has_stage() {                   # stage, state
    [ "$(sql "SELECT state FROM sea.stage_run WHERE stage = '$1'
               ORDER BY id DESC LIMIT 1" 2> /dev/null)" = "$2" ]
}
has_checkpoint() {
    [ "$(sql "SELECT count(*) FROM sea.checkpoint" 2> /dev/null || echo 0)" -gt 0 ]
}
count() { sql "SELECT count(*) FROM $1"; }
start() {                       # folder
    service_up "$work/$1" --workers 1 --device cpu:2 --ttl $ttl
    roles="$(role_pid scheduler) $(role_pid worker-1)"
}
submit() {
    run "$sea" submit configs/experiments/scenes-tiny.yaml "${sets[@]}"
    check_rc "$1: submit" 0
    [ "$rc" -eq 0 ] || finish outage
}
# After submit, once everything is mended: the same processes, the same bytes, no failure counted.
expect_good() {                 # what
    wait_until 120 is_state succeeded
    check_equal "$1: the experiment succeeds" succeeded "$(state)"
    check_equal "$1: with the same bytes" "$want" "$(outputs)"
    check_equal "$1: nothing counts as a failure of a stage" 0 \
        "$(sql 'SELECT coalesce(sum(failures), 0) FROM sea.stage_run')"
    check_equal "$1: nothing is committed twice, no promise is broken" 0 "$(count sea.broken_invariant)"
    check_equal "$1: by the processes that were there before" "$roles" \
        "$(role_pid scheduler) $(role_pid worker-1)"
    run "$sea" doctor --store
    check_rc "$1: the store is whole" 0
    run "$sea" down
    check_rc "$1: sea down" 0
}
end_server() {                  # crashes it; waits for its end
    kill -QUIT "$(head -n 1 "$SEA_DATA/pg/postmaster.pid")" 2> /dev/null
    wait_until 20 test ! -e "$SEA_DATA/pg/postmaster.pid"
}
# A small disk in the place of a folder of a service that is down.
small_disk() {                  # folder, size
    local owner
    owner=$(stat -c %U:%G "$1")
    mv "$1" "$1.before"
    mkdir "$1"
    mount -t tmpfs -o "size=$2,mode=700" tmpfs "$1" || return 1
    mounts+=("$1")
    chown "$owner" "$1"
    cp -a "$1.before/." "$1/"
}
fill() {                        # folder, bytes to leave
    local room
    room=$(df -B1 --output=avail "$1" | tail -n 1)
    head -c $((room - $2)) /dev/zero >> "$1/filler" 2> /dev/null
}

# ---- how it ought to be ----

start calm
submit calm
SECONDS=0
wait_until 120 is_state succeeded
check_equal "undisturbed, it succeeds" succeeded "$(state)"
echo "undisturbed: $SECONDS s"
want=$(outputs)
check_equal "with five outputs" 5 "$(wc -l <<< "$want")"
run "$sea" down

# ---- PostgreSQL is away for longer than a lease ----

start server
submit server
for stage in foundation align; do
    wait_until 120 has_stage $stage running
    wait_until 60 has_checkpoint
    end_server
    sleep $away
    run "$sea" status
    check_error "server: meanwhile commands say what is wrong" 69 'sea up|PostgreSQL'
    run "$sea" up --workers 1 --device cpu:2 --ttl $ttl
    check_rc "server: sea up brings PostgreSQL back" 0
    check_match "server: and starts nothing twice" 'worker-1: runs already' "$out"
done
expect_good server

# ---- full disks ----

if [ "$(id -u)" -ne 0 ] || ! unshare -m true 2> /dev/null; then
    skip "full disks" "needs the right to mount a tmpfs"
    finish outage
fi

start wal
run "$sea" down
small_disk "$SEA_DATA/pg" 200m
run "$sea" up --workers 1 --device cpu:2 --ttl $ttl
check_rc "wal: sea up on a small disk" 0
roles="$(role_pid scheduler) $(role_pid worker-1)"
submit wal
wait_until 120 has_stage foundation running
wait_until 60 has_checkpoint
fill "$SEA_DATA/pg" 0
sql "SELECT pg_switch_wal()" > /dev/null 2>&1
sql "CREATE TABLE public.more AS SELECT repeat('x', 1000) FROM generate_series(1, 30000)" \
    > /dev/null 2>&1
sleep $away
check_match "wal: PostgreSQL has said that its disk is full" 'No space left on device' \
    "$(grep -m 1 'No space left' "$SEA_DATA/pg.log")"
check_equal "wal: the stage is not done" "" \
    "$(timeout 20 psql -X -A -t "$url" -c "SELECT state FROM sea.experiment WHERE state = 'succeeded'" 2> /dev/null)"
rm "$SEA_DATA/pg/filler"
run "$sea" up --workers 1 --device cpu:2 --ttl $ttl
check_rc "wal: with space again, sea up brings PostgreSQL back" 0
expect_good wal

start stage
run "$sea" down
small_disk "$SEA_DATA/tmp" 64m
run "$sea" up --workers 1 --device cpu:2 --ttl $ttl
roles="$(role_pid scheduler) $(role_pid worker-1)"
submit stage
wait_until 120 has_stage align running
fill "$SEA_DATA/tmp" 100
wait_until 60 has_stage align backoff
check_match "stage: training that cannot keep a checkpoint says so" 'infra .*No space left' \
    "$(sql "SELECT class || ' ' || message FROM sea.attempt WHERE class IS NOT NULL LIMIT 1")"
fill "$SEA_DATA/tmp" 0           # what the attempt has left
sleep $away
check_match "stage: and the worker takes nothing more" 'no stage is claimed: the disk of' \
    "$(cat "$SEA_DATA/log/worker-1.log")"
rm "$SEA_DATA/tmp/filler"
expect_good stage

start store
run "$sea" down
small_disk "$SEA_DATA/store" 64m
run "$sea" up --workers 1 --device cpu:2 --ttl $ttl
roles="$(role_pid scheduler) $(role_pid worker-1)"
submit store
wait_until 120 has_stage align running
fill "$SEA_DATA/store" 100
wait_until 60 has_stage align backoff
check_match "store: an output that cannot be kept is told" 'infra .*No space left' \
    "$(sql "SELECT class || ' ' || message FROM sea.attempt WHERE class IS NOT NULL LIMIT 1")"
sleep $away
rm "$SEA_DATA/store/filler"
expect_good store

finish outage
