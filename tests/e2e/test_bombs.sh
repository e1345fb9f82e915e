#!/bin/bash
# Input that is made to hurt: YAML bombs, submits of gigabytes, SQL where names belong. One clear
# message each, soon and in little memory; the service goes on as if nothing had been.
. "$(dirname "$0")/lib.sh"

service_up "$work/service" --workers 1 --device cpu:1
printf 'name: good\nmodel: {path: m}\nstages: {eval: {suite: scenes, root: r}}\n' > "$work/good.yaml"
# Soon: within ten seconds. Little memory: a gigabyte of address space.
bomb() {                        # what, expected status, expressions; submits $work/bomb.yaml
    local what=$1 start=$SECONDS
    shift
    LIMIT=30 run prlimit --as=1073741824 "$sea" submit "$work/bomb.yaml"
    check_error "$what" "$@"
    check_equal "$what: soon" yes "$([ $((SECONDS - start)) -le 10 ] && echo yes)"
}

# ---- YAML ----

{
    echo 'a: &a [x, x, x, x, x, x, x, x, x]'
    for letter in b c d e f g h i j; do
        echo "$letter: &$letter [*$(tr b-j a-i <<< $letter), *$(tr b-j a-i <<< $letter), *$(tr b-j a-i <<< $letter)]"
    done
} > "$work/bomb.yaml"
bomb "a billion laughs (aliases of aliases)" 64 'bomb\.yaml' 'line 1' 'anchor "&a"' 'hint: '
{ printf 'name: x\nstages: '; head -c 200000 /dev/zero | tr '\0' '['; } > "$work/bomb.yaml"
bomb "brackets 200,000 deep" 64 'bomb\.yaml' 'deep'
{ printf 'name: x\nstages:\n'; for ((i = 1; i < 1000; i++)); do printf '%*sa:\n' $i ''; done; } > "$work/bomb.yaml"
bomb "maps 1,000 deep" 64 'bomb\.yaml' 'deep'
{ printf 'name: '; head -c 100000000 /dev/zero | tr '\0' 'x'; } > "$work/bomb.yaml"
bomb "a name of 100 MB" 64 'bomb\.yaml' 'bytes'
truncate -s 1G "$work/bomb.yaml"
bomb "a file of 1 GB" 64 'bomb\.yaml' 'bytes'
{ echo 'name: x'; for ((i = 0; i < 100000; i++)); do echo "k$i: 1"; done; } > "$work/bomb.yaml"
bomb "100,000 unknown keys" 64 'bomb\.yaml:2' 'k0'
{ cat "$work/good.yaml"; echo 'sweep: {seed: ['; seq -s, 1 100000; echo '], eval.limit: ['; seq -s, 1 100000; echo ']}'; } > "$work/bomb.yaml"
bomb "a sweep of 10,000,000,000 experiments" 64 'bomb\.yaml|sweep' '[0-9]+'
printf '\xff\xfe\x00n\x00a' > "$work/bomb.yaml"
bomb "bytes that are no UTF-8" 64 'bomb\.yaml'
printf 'name: "a\\0b"\n' > "$work/bomb.yaml"
bomb "the character 0 in a text" 64 'bomb\.yaml'
rm "$work/bomb.yaml"

# ---- past the program: straight to the database ----

fails() {                       # what, SQLSTATE, statement
    local what=$1 state=$2
    shift 2
    LIMIT=60 run psql -X -A -t -q -v ON_ERROR_STOP=1 -v VERBOSITY=verbose "$url" -c "$*"
    check_match "$what: refused" "^ERROR:  $state: " "$err"
}
fails "a submit of 1 GB" '(54000|53200|22023|XX000|LF010)' \
    "SELECT sea.submit(('{\"name\": \"' || repeat('x', 1000000000) || '\", \"stages\": {\"eval\": {}}}')::jsonb)"
fails "a submit of 20 MB" LF010 \
    "SELECT sea.submit(jsonb_build_object('name', 'x', 'stages', '{\"eval\": {}}'::jsonb, 'more', repeat('x', 20000000)))"
check_match "with a hint" 'HINT: ' "$err"
fails "a list of a million experiments" LF010 \
    "SELECT sea.submit_all((SELECT jsonb_agg('{}'::jsonb) FROM generate_series(1, 1000000)), 'k')"
fails "a cron expression of 10 MB" LF010 "SELECT sea.cron_parse(repeat('1,', 5000000))"
fails "a schedule of 20 MB" LF010 \
    "SELECT sea.add_schedule(jsonb_build_object('name', 'x', 'cron', '0 3 * * *', 'models', jsonb_build_object('m',
        jsonb_build_object('stages', '{\"eval\": {}}'::jsonb, 'more', repeat('x', 20000000)))))"

# What is deep without being large gets in, and ends: no reader goes that deep.
sql "SELECT sea.submit((repeat('{\"name\": \"x\", \"stages\": {\"eval\": ', 3000) || '1' || repeat('}}', 3000))::jsonb)" > /dev/null
has_failed() { [ "$(sql 'SELECT state FROM sea.experiment ORDER BY id LIMIT 1')" = failed ]; }
check_equal "stages 6,000 deep: the experiment fails" 0 "$(wait_until 20 has_failed; echo $?)"
check_match "and says why" 'deep' "$(sql 'SELECT reason FROM sea.stage_run ORDER BY id LIMIT 1')"

# ---- SQL where names belong ----

evil="x'); DROP TABLE sea.score; --"
printf 'name: "%s"\nmodel: {path: m}\nstages: {eval: {suite: scenes}}\n' "$evil" > "$work/evil.yaml"
run "$sea" submit "$work/evil.yaml"
check_error "SQL in an experiment's name" 64 'name' 'letters, digits'
run "$sea" leaderboard --suite "$evil" --json
check_rc "SQL for a suite finds nothing" 0
run "$sea" leaderboard --benchmark "$evil"
check_match "and for a benchmark" 'no scores of benchmark' "$out"
run "$sea" nightly report "$evil"
check_match "and for a schedule" 'no nights of ' "$out"
run "$sea" status "1; DROP TABLE sea.score"
check_error "SQL for an id" 64 'is not'
run "$sea" drain "$evil"
check_error "SQL for a worker" 64 'is not an id of a worker'
run "$sea" worker --queue "$evil" --once
check_rc "SQL for a queue's name is a name like others" 0
sql "SELECT sea.submit(jsonb_build_object('name', \$x\$$evil<script>alert(1)</script>\$x\$, 'stages', '{\"eval\": {}}'::jsonb))" > /dev/null
run "$sea" status
check_match "straight to the database, it is kept as a name" 'DROP TABLE sea.score' "$out"
port=$(free_port)
"$sea" serve --port $port > /dev/null 2>&1 &
children+=("$!")
page() {
    exec 9<> "/dev/tcp/127.0.0.1/$port" || return 1
    printf 'GET / HTTP/1.0\r\n\r\n' >&9
    timeout 10 cat <&9
    exec 9>&-
}
wait_until 10 page
check_no_match "and the dashboard shows it as text" '<script>alert' "$(page)"
check_match "escaped" '&lt;script>' "$(page)"
check_equal "the table is still there" 0 "$(sql 'SELECT count(*) FROM sea.score')"

# ---- nothing is stuck ----

check_equal "nothing else of all that was queued" 2 "$(sql 'SELECT count(*) FROM sea.experiment')"
check_equal "nor scheduled" 0 "$(sql 'SELECT count(*) FROM sea.schedule')"
has_ended() { [ "$(sql 'SELECT count(*) FROM sea.experiment WHERE ended_at IS NULL')" = 0 ]; }
check_equal "the scheduler still works" 0 "$(wait_until 20 has_ended; echo $?)"
run "$sea" doctor
check_match "the service is well" '^ok +schema' "$out"
check_equal "and nobody waits for a lock" 0 "$(sql 'SELECT count(*) FROM pg_locks WHERE NOT granted')"

finish test_bombs
