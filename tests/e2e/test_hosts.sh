#!/bin/bash
# Workers on several hosts against one PostgreSQL: network namespaces play the hosts. One of them is
# cut off while it works; the other one finishes, and what was cut off has changed nothing.
. "$(dirname "$0")/lib.sh"
tag=s$$
hosts=("${tag}a" "${tag}b")
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
why=
[ "$(id -u)" = 0 ] || why="it takes root"
[ -n "$why" ] || [ -x "$bin/initdb" ] || why="initdb was not found"
[ -n "$why" ] || { ip netns add "${hosts[0]}" && ip netns del "${hosts[0]}"; } 2>/dev/null ||
    why="network namespaces cannot be made here"
if [ -n "$why" ]; then
    skip "workers on several hosts" "$why"
    finish test_hosts
fi
net=$((10 + RANDOM % 200))
port=$(free_port)
forget() {
    local h
    for h in "${hosts[@]}"; do
        ip netns pids "$h" 2>/dev/null | xargs -r kill -9 2>/dev/null
        ip netns del "$h" 2>/dev/null
        ip link del "$h" 2>/dev/null
    done
    runuser -u postgres -- "$bin/pg_ctl" -D "$work/pg" -m immediate stop > /dev/null 2>&1
    leave
}
trap forget EXIT
for i in 0 1; do
    h=${hosts[i]} n=10.$net.$i
    ip netns add "$h" && ip link add "$h" type veth peer name e0 netns "$h" &&
        ip addr add "$n.1/24" dev "$h" && ip link set "$h" up &&
        ip netns exec "$h" ip addr add "$n.2/24" dev e0 && ip netns exec "$h" ip link set e0 up &&
        ip netns exec "$h" ip link set lo up || { skip "workers on several hosts" "no veth pair"; finish test_hosts; }
done
mkdir "$work/pg" && chown postgres "$work/pg"
runuser -u postgres -- "$bin/initdb" -D "$work/pg" -A trust -N > /dev/null
echo "host all all 10.$net.0.0/16 trust" >> "$work/pg/pg_hba.conf"
runuser -u postgres -- "$bin/pg_ctl" -D "$work/pg" -w -l "$work/pg/log" \
    -o "-p $port -k $work/pg -c listen_addresses='*' -c fsync=off" start > /dev/null ||
    { skip "workers on several hosts" "PostgreSQL does not listen here"; finish test_hosts; }
url="host=$work/pg port=$port user=postgres dbname=postgres"
data=$work/data service=$work/service
tiny_data "$data"
tiny_sets "$data"
mkdir -p "$service"
export SEA_DATA=$service
host() {                        # number, command...: there
    local h=${hosts[$1]} n=$1
    shift
    SEA_DATABASE_URL="host=10.$net.$n.1 port=$port user=postgres dbname=postgres" ip netns exec "$h" "$@"
}
SEA_DATABASE_URL=$url run "$sea" migrate
check_rc "a server of one's own is migrated" 0
SEA_DATABASE_URL=$url "$sea" scheduler > "$work/scheduler.log" 2>&1 & children+=($!); disown
has() { [ "$(sql "$1")" = "$2" ]; }
# A worker that cannot reach the server within 5 s ends; who watches over it starts another one.
for i in 0 1; do
    for _ in 1 2 3; do
        host $i "$sea" worker --device cpu:1 --ttl 3 >> "$work/worker$i.log" 2>&1 & children+=($!); disown
        wait_until 3 has "SELECT count(*) FROM sea.worker WHERE state = 'active'" $((i + 1)) && break
    done
done
has "SELECT count(*) FROM sea.worker WHERE state = 'active'" 2 && ok "two hosts register" ||
    bad "two hosts register" '%s\n' "$(tail -n 5 "$work"/worker?.log "$work/scheduler.log")"
check_equal "and reach the server by their own addresses" 2 \
    "$(sql "SELECT count(DISTINCT client_addr) FROM pg_stat_activity WHERE application_name = 'sea worker'")"

export SEA_DATABASE_URL=$url
run "$sea" submit "$tiny" "${sets[@]}" "${quick_steps[@]}" --set foundation.clip.steps=600 \
    --set foundation.checkpoint_every=5
check_rc "a sweep is submitted" 0
wait_until 60 has "SELECT count(*) FROM sea.checkpoint" 1 || bad "a stage runs" '%s\n' "$("$sea" status)"
# The host that works is cut off: its packets go nowhere, nothing is closed.
there=$(sql "SELECT split_part(host(client_addr), '.', 3) FROM pg_stat_activity WHERE application_name = 'sea lease' LIMIT 1")
first=$(sql "SELECT worker_id FROM sea.lease LIMIT 1")
ip link set "${hosts[$there]}" down
started=$SECONDS
wait_until 30 has "SELECT count(*) > 0 FROM sea.lease WHERE worker_id <> $first AND epoch > 1" t &&
    ok "the other host goes on ($((SECONDS - started)) s, TTL 3 s)" || bad "the other host" '%s\n' "$(sql 'SELECT * FROM sea.lease')"
check_match "what was cut off has ended its stage by itself" 'lease lost' "$(cat "$work/worker$there.log")"
check_equal "its attempt is lost" lost "$(sql "SELECT state FROM sea.attempt WHERE worker_id = $first ORDER BY epoch LIMIT 1")"
ip link set "${hosts[$there]}" up
wait_until 90 has "SELECT count(*) FROM sea.stage_run WHERE ended_at IS NULL" 0
check_equal "both experiments succeed" "succeeded succeeded" "$(sql "SELECT string_agg(state, ' ') FROM sea.experiment")"
check_equal "each stage was committed once" 0 "$(sql "SELECT count(*) FROM (SELECT stage_id FROM sea.attempt WHERE state = 'committed' GROUP BY 1 HAVING count(*) > 1) x")"
# Both go on: what is there to do is a race between them, so more of it comes until each won some.
committed() { sql "SELECT count(DISTINCT w.host || w.pid) FROM sea.attempt a JOIN sea.worker w ON w.id = a.worker_id WHERE a.state = 'committed'"; }
for seed in 1 2 3 4 5; do
    [ "$(committed)" = 2 ] && break
    wait_until 20 has "SELECT count(*) FROM sea.worker WHERE state = 'active'" 2 || break
    "$sea" submit "$tiny" "${sets[@]}" "${quick_steps[@]}" --set "seed=$seed" --wait > /dev/null
done
check_equal "both hosts committed" 2 "$(committed)"
check_equal "invariants hold" "" "$(sql 'SELECT * FROM sea.broken_invariant')"
finish test_hosts
