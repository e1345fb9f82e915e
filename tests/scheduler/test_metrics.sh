#!/bin/bash
# sea serve --metrics: a real scrape is a page that Prometheus takes, its numbers are the
# database's, a snapshot that somebody holds is told with its owner, and a database that goes
# away leaves a page that says so. The checker of the format is tried on broken pages first.
. "$(dirname "$0")/../e2e/lib.sh"
checker=$SEA_ROOT/tests/scheduler/prometheus.awk

# ---- the checker sees what is wrong ----

head_of='# HELP sea_x Words.\n# TYPE sea_x gauge\n'
refuse() {                      # what, page
    printf "$2" > "$work/page"
    awk -f "$checker" "$work/page" > "$work/found"
    check_equal "the checker sees $1" 1 $?
}
printf "${head_of}"'sea_x{a="b\\\\n\\"c",d=""} 1.5e-3\nsea_x 2\n' > "$work/page"
check_equal "the checker lets a good page pass" "" "$(awk -f "$checker" "$work/page")"
refuse "a sample twice" "${head_of}"'sea_x{a="b"} 1\nsea_x{a="b"} 2\n'
refuse "a sample without a head" 'sea_y 1\n'
refuse "a label without quotes" "${head_of}"'sea_x{a=b} 1\n'
refuse "a bare backslash" "${head_of}"'sea_x{a="\\x"} 1\n'
refuse "a text for a number" "${head_of}"'sea_x one\n'
refuse "a counter without _total" '# HELP sea_x Words.\n# TYPE sea_x counter\nsea_x 1\n'
refuse "a family in two blocks" \
    "${head_of}"'sea_x 1\n# HELP sea_y W.\n# TYPE sea_y gauge\nsea_y 1\nsea_x{a="b"} 1\n'
refuse "an empty page" ''

# ---- a scrape ----

service_up "$work/service" --workers 1 --device cpu:1
port=$(free_port)
"$sea" serve --port $port --metrics > "$work/serve.out" 2> "$work/serve.err" &
serve=$!
children+=("$serve")
scrape() {                      # to $work/head and $work/page
    exec 9<> "/dev/tcp/127.0.0.1/$port" || return 1
    printf 'GET /metrics HTTP/1.0\r\n\r\n' >&9
    timeout 20 cat <&9 > "$work/answer"
    exec 9>&-
    sed '/^\r$/,$d' "$work/answer" > "$work/head"
    sed '1,/^\r$/d' "$work/answer" > "$work/page"
}
value() {                       # sample with its labels, dots for what does not matter
    grep -E "^$1 " "$work/page" | sed 's/.* //' | head -n 1
}
scraped() {                     # sample, value: a new scrape has it
    scrape && [ "$(value "$1")" = "$2" ]
}
wait_until 10 scrape
check_match "the answer is 200" '^HTTP/1.[01] 200' "$(head -n 1 "$work/head")"
check_match "in the text format" 'Content-Type: text/plain; version=0\.0\.4' "$(cat "$work/head")"
check_equal "that Prometheus takes" "" "$(awk -f "$checker" "$work/page")"
if command -v promtool > /dev/null; then
    promtool check metrics < "$work/page" > "$work/promtool" 2>&1
    check_equal "as promtool says, too" "" "$(cat "$work/promtool")"
fi
check_equal "the database is up" 1 "$(value sea_database_up)"
check_equal "the schema has its version" "$(sql 'SELECT max(version) FROM sea.migration')" \
    "$(value sea_schema_version)"
check_equal "no promise is broken" "6 0" "$(grep -c '^sea_broken_invariants' "$work/page") $(
    awk '/^sea_broken_invariants/ { n += $NF } END { print n + 0 }' "$work/page")"
check_equal "one worker is there" 1 "$(value 'sea_workers\{state="active",queue="default"\}')"
check_equal "the scheduler has made a partition of curves ahead" 0 \
    "$(wait_until 10 scraped sea_metric_partitions 2; echo $?)"
check_equal "none is silent" 0 "$(value 'sea_workers\{state="suspect",queue="default"\}')"
check_match "the version is told" '^sea_build_info\{version="[0-9.]+",numerics="[0-9]+"\} 1$' \
    "$(cat "$work/page")"
check_match "and the room on the disk" '^[1-9][0-9]+$' "$(value sea_data_free_bytes)"

# ---- numbers ----

# Without a scheduler nothing moves meanwhile.
kill "$(role_pid scheduler)"
has_no_scheduler() { "$sea" doctor --json | grep -q '"scheduler","state":"note"'; }
wait_until 10 has_no_scheduler
config='{"name": "x", "seed": 1, "resources": {"queue": "a \"b\\ c"}, "stages": {"label": {}, "align": {}}}'
sql "SELECT sea.submit(\$\$$config\$\$, 'k')" > /dev/null
wait_until 10 scraped 'sea_experiments_open\{state="queued"\}' 1
sleep 1.1
scrape
check_equal "a page with quotes in a queue's name is whole" "" "$(awk -f "$checker" "$work/page")"
check_equal "what is blocked is counted" 1 \
    "$(value 'sea_stage_runs\{state="blocked",queue="a .*"\}')"
check_match "with its age" '^[0-9]+[.0-9]*$' \
    "$(value 'sea_oldest_pending_seconds\{state="waiting",queue="a .*"\}')"
sql "SELECT sea.cancel(1)" > /dev/null
sql "SELECT sea.register_worker('rack', 1, 'cuda', 'default', 600000, '{0,1,2}')" > /dev/null
sql "BEGIN;
     INSERT INTO sea.attempt (stage_id, epoch, worker_id, state, class, ended_at)
     VALUES (1, 1, 1, 'committed', NULL, now()), (1, 2, 1, 'failed', 'oom', now()),
            (2, 1, 1, 'failed', 'oom', now());
     INSERT INTO sea.artifact (sha256, bytes) VALUES (repeat('a', 64), 12345);
     INSERT INTO sea.metric (stage_id, epoch, name, step, value)
     SELECT 1, 1, 'x', i, i FROM generate_series(1, 777) i; COMMIT"
kill "$serve"
wait "$serve" 2> /dev/null
"$sea" serve --port $port --metrics > "$work/serve.out" 2>> "$work/serve.err" &
serve=$!
children+=("$serve")
check_equal "points are counted" 0 \
    "$(wait_until 20 scraped sea_metric_points_total 777; echo $?)"
check_equal "attempts are counted by outcome" 1 "$(value 'sea_attempts_total\{outcome="committed",class=""\}')"
check_equal "and by class of failure" 2 "$(value 'sea_attempts_total\{outcome="failed",class="oom"\}')"
check_equal "stages that ended, too" 1 \
    "$(value 'sea_stage_runs_ended_total\{stage="align",state="cancelled"\}')"
check_equal "bytes of the store" 12345 "$(value 'sea_store_bytes\{state="kept"\}')"
check_equal "the webhook has no backlog" 0 "$(value sea_oldest_notice_seconds)"
check_equal "nothing is open" 0 "$(value 'sea_experiments_open\{state="running"\}')"

# A GPU that a stage holds, and a receiver that has been down for a day.
sql "UPDATE sea.slot SET stage_id = 1, epoch = 1 WHERE kind = 'gpu' AND name = 'rack' AND number = 2;
     INSERT INTO sea.notice (kind, body, created_at, attempts, error)
     VALUES ('opened', '{}', now() - interval '1 day', 30, 'webhook example was not reached')"
check_equal "free GPUs are counted" 0 \
    "$(wait_until 10 scraped 'sea_gpus\{host="rack",state="free"\}' 2; echo $?)"
check_equal "and held ones" 1 "$(value 'sea_gpus\{host="rack",state="held"\}')"
check_equal "a notice waits" 1 "$(value 'sea_notices\{state="pending"\}')"
check_match "for a day" '^864[0-9][0-9]\.?[0-9]*$' "$(value sea_oldest_notice_seconds)"
run "$sea" doctor
check_rc "doctor finds that something is to be mended" 69
check_match "and tells what" \
    '^bad +webhook +1 notices wait, the oldest for 144[0-9] min; 0 .*: webhook example was not reached' "$out"
sql "DELETE FROM sea.notice; UPDATE sea.slot SET stage_id = NULL, epoch = NULL" > /dev/null
run "$sea" doctor
check_no_match "and nothing once all is delivered" 'webhook' "$out"

# ---- who holds back vacuum ----

mkfifo "$work/hold"
PGAPPNAME='an "old" report' psql -X -q "$url" < "$work/hold" > /dev/null 2>&1 &
holder=$!
children+=("$holder")
exec 8> "$work/hold"
echo 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM sea.experiment;' >&8
held() {
    sql "CREATE TABLE IF NOT EXISTS public.t (a int); INSERT INTO public.t VALUES (1)"
    scrape && grep -qE '^sea_oldest_xmin_transactions\{kind="session",owner="sea",name="an \\"old\\" report"\} [1-9]' "$work/page"
}
check_equal "a held snapshot is told with its owner" 0 "$(wait_until 10 held; echo $?)"
check_equal "in a page that is whole" "" "$(awk -f "$checker" "$work/page")"
check_match "and since when" '^[0-9.]+$' "$(value 'sea_oldest_xmin_seconds\{.*')"
echo 'ROLLBACK;' >&8
exec 8>&-

# ---- the database goes away ----

kill -QUIT "$(head -n 1 "$SEA_DATA/pg/postmaster.pid")"
wait_until 20 test ! -e "$SEA_DATA/pg/postmaster.pid"
sleep 1.1
scrape
check_equal "without the database there is a page" "" "$(awk -f "$checker" "$work/page")"
check_equal "that says so" 0 "$(value sea_database_up)"
check_equal "and tells no old numbers" "" "$(value sea_leases)"
run "$sea" up --workers 0
check_equal "it connects again" 0 "$(wait_until 20 scraped sea_database_up 1; echo $?)"
kill "$serve"
wait "$serve"

# ---- only when asked for ----

"$sea" serve --port $port > "$work/serve.out" 2>&1 &
children+=("$!")
wait_until 10 scrape
check_match "without --metrics there is no such page" '404' "$(head -n 1 "$work/head")"
check_match "and the answer says how to have it" 'sea serve --metrics' "$(cat "$work/page")"

finish test_metrics
