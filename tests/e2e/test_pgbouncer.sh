#!/bin/bash
# The service through PgBouncer in transaction mode: migrate, submit, scheduler, worker,
# leaderboard, a pooler that is killed and comes back. Nobody listens there; everybody looks at
# intervals.
. "$(dirname "$0")/lib.sh"
data=$work/data

pgbouncer=$(command -v pgbouncer)
if [ -z "$pgbouncer" ]; then
    skip "the service through PgBouncer" "pgbouncer is not installed (apt-get install pgbouncer)"
    finish test_pgbouncer
fi
tiny_data "$data"
tiny_sets "$data"
service_up "$work/service" --workers 0
kill "$(role_pid scheduler)"            # it is connected directly; ours come through the pooler
direct=$url

# ---- the pooler ----

port=$(free_port)
pool=$work/pool
mkdir "$pool"
cat > "$pool/ini" <<INI
[databases]
sea = host=$SEA_DATA/run port=5432 dbname=sea
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = trust
auth_file = $pool/users
pool_mode = transaction
default_pool_size = 4
max_client_conn = 100
logfile = $pool/log
INI
echo '"sea" ""' > "$pool/users"
# The server's socket belongs to the server's user, whom PgBouncer has to be.
owner=$(stat -c %U "$SEA_DATA/pg")
chown -R "$owner" "$pool" 2> /dev/null
start_pool() {
    if [ "$(id -un)" = "$owner" ]; then
        "$pgbouncer" "$pool/ini" > "$pool/out" 2>&1 &
    else
        setpriv --reuid "$owner" --regid "$(id -g "$owner")" --clear-groups \
            "$pgbouncer" "$pool/ini" > "$pool/out" 2>&1 &
    fi
    pooler=$!
    children+=("$pooler")
}
start_pool
url="host=127.0.0.1 port=$port user=sea dbname=sea"
export SEA_DATABASE_URL=$url
pool_answers() { [ "$(sql 'SELECT 1')" = 1 ]; }
wait_until 10 pool_answers
check_equal "PgBouncer answers, in transaction mode" transaction \
    "$(psql -X -A -t "${url/dbname=sea/dbname=pgbouncer}" -c 'SHOW CONFIG' 2> "$work/show" | sed -n 's/^pool_mode|\([a-z]*\)|.*/\1/p'
       grep -q 'not allowed' "$work/show" && sed -n 's/^pool_mode = //p' "$pool/ini")"

# ---- migrate, run, look ----

run "$sea" migrate --to 8
check_rc "sea migrate goes down through it" 0
run "$sea" migrate
check_rc "and up" 0
start_roles() {
    "$sea" scheduler >> "$work/scheduler.log" 2>&1 &
    scheduler=$!
    "$sea" worker --device cpu:2 --ttl 3 >> "$work/worker-a.log" 2>&1 &
    children+=("$scheduler" "$!")
    "$sea" worker --device cpu:1 --ttl 3 >> "$work/worker-b.log" 2>&1 &
    children+=("$!")
}
start_roles
run "$sea" submit "$tiny" "${sets[@]}" "${quick_steps[@]}" --set align.lambda=1.0 --wait
check_rc "an experiment comes to its end" 0
run "$sea" leaderboard
check_match "with scores on the leaderboard" 'scenes-tiny' "$out"
run "$sea" why 1
check_rc "sea why answers" 0
run "$sea" drain
check_match "sea drain lists the workers" 'active.*|draining' "$out"
run "$sea" doctor
check_match "sea doctor is content" '^ok +schema' "$out"
check_match "scheduler and workers know that a pooler is between" 'looking at intervals channel=sea_submit' \
    "$(cat "$work/scheduler.log")"
check_match "so do the workers" 'looking at intervals channel=sea_ready' "$(cat "$work/worker-a.log")"
check_equal "nobody listens on a server connection" 0 \
    "$(sql "SELECT count(*) FROM pg_stat_activity WHERE query ~* '^listen'")"
check_match "many clients share few server connections" '^[1-4]$' \
    "$(psql -X -A -t "$direct" -c "SELECT count(*) FROM pg_stat_activity WHERE client_port = -1 AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND application_name <> ''")"

# ---- the pooler dies and comes back ----

run "$sea" submit "$tiny" "${sets[@]}" "${quick_steps[@]}" --set align.lambda=0.0 --set seed=7 \
    --set align.steps=150
id=$(grep -oE '[0-9]+' <<< "$out" | head -n 1)
aligning() { [ "$(psql -X -A -t "$direct" -c "SELECT count(*) FROM sea.stage_run WHERE experiment_id = $id AND stage = 'align' AND state = 'running'")" = 1 ]; }
check_equal "a second one gets as far as align" 0 "$(wait_until 60 aligning; echo $?)"
kill -9 "$pooler"
wait "$pooler" 2> /dev/null
run "$sea" status
check_error "without the pooler, status says so" 69 'could not connect' 'hint: Check SEA_DATABASE_URL'
start_pool
wait_until 10 pool_answers
has_ended() { [ "$(sql "SELECT state FROM sea.experiment WHERE id = $id")" = succeeded ]; }
check_equal "with it again, the experiment ends well" 0 "$(wait_until 90 has_ended; echo $?)"
check_equal "no promise was broken" 0 "$(sql 'SELECT count(*) FROM sea.broken_invariant')"
check_equal "nothing was committed twice" 0 "$(sql "SELECT count(*) FROM (SELECT stage_id FROM sea.attempt
    WHERE state = 'committed' GROUP BY stage_id HAVING count(*) > 1) AS x")"

unset SEA_DATABASE_URL
finish test_pgbouncer
