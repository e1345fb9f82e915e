#!/bin/bash
# What PostgreSQL refuses becomes one message with its own hint and the exit status of its kind,
# at the connection and later.
. "$(dirname "$0")/../e2e/lib.sh"

service_up "$work/service" --workers 0
kill "$(role_pid scheduler)"
with() {                        # address; what is asked follows
    local address=$1
    shift
    SEA_DATABASE_URL=$address LIMIT=20 run "$sea" "$@"
}

# ---- at the connection ----

with "${url/user=sea/user=stranger}" status
check_error "28000: a user that the server does not know" 64 'role "stranger" does not exist' \
    'hint: Check the user and its password'
check_no_match "without the server's own source lines" 'LOCATION|28000' "$err"
with "${url/dbname=sea/dbname=nothere}" status
check_error "3D000: a database that is not there" 64 'database "nothere" does not exist' 'hint: Create it'
sql "CREATE ROLE full LOGIN CONNECTION LIMIT 0"
with "${url/user=sea/user=full}" status
check_error "53300: too many connections" 69 'too many connections' 'hint: Raise max_connections'
with "hots=x dbname=sea" status
check_error "an address with a typing error" 64 'hots' 'hint: SEA_DATABASE_URL is'
with "postgresql://u:geheim@[::1" status
check_error "and one that is no URL" 64 'cannot be read' 'hint: SEA_DATABASE_URL is'
check_no_match "whose password is not shown" geheim "$err"
with "host=$work/nowhere dbname=sea" status
check_error "08001: nobody there" 69 'could not connect' 'hint: Check SEA_DATABASE_URL'
# A password that is asked for and missing, then wrong.
hba=$SEA_DATA/pg/pg_hba.conf
sed -i '1i local all ann scram-sha-256' "$hba"
sql "CREATE ROLE ann LOGIN PASSWORD 'right'; SELECT pg_reload_conf()" > /dev/null
sleep 0.3
with "${url/user=sea/user=ann}" status
check_error "28P01: a password that is missing" 64 'no password' 'hint: Check the user and its password'
PGPASSWORD=wrong with "${url/user=sea/user=ann}" status
check_error "28P01: a password that is wrong" 64 'password authentication failed' 'hint: Check the user'

# ---- later ----

sql "CREATE ROLE bare LOGIN"
with "${url/user=sea/user=bare}" status
check_error "42501: a user without a role" 64 'permission denied for schema sea' 'hint: .*needs a role'
printf 'name: x\nmodel: {path: m}\nstages: {eval: {suite: scenes, root: r}}\n' > "$work/x.yaml"
with "$url options='-c default_transaction_read_only=on'" submit --unchecked "$work/x.yaml"
check_error "25006: a server that is read only" 69 'read-only transaction' 'hint: It is a standby'
with "$url options='-c statement_timeout=1ms'" gc
check_error "57014: a statement that takes too long" 69 'statement timeout'
sql "ALTER VIEW sea.experiment_status RENAME TO elsewhere"
with "$url" status
check_error "42P01: a schema that does not fit" 64 'experiment_status.* does not exist' 'hint: .*sea migrate'
sql "ALTER VIEW sea.elsewhere RENAME TO experiment_status; ALTER FUNCTION sea.drain RENAME TO drain_not"
with "$url" drain 1
check_error "42883: a function that is missing" 64 'function sea.drain.* does not exist' 'hint: .*sea migrate'
sql "ALTER FUNCTION sea.drain_not RENAME TO drain"
sql "CREATE DATABASE empty"
with "${url/dbname=sea/dbname=empty}" status
check_error "a database that was never migrated" 64 'has version 0, need [0-9]+' 'hint: Run `sea migrate`'
psql -X -q "$url" > /dev/null 2>&1 << 'SQL' &
BEGIN; LOCK TABLE sea.experiment IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(20);
SQL
children+=("$!")
is_locked() { [ "$(psql -X -A -t "$url" -c "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'sea.experiment'::regclass AND granted")" = 1 ]; }
wait_until 10 is_locked
with "$url options='-c lock_timeout=100ms'" status
check_error "55P03: a lock that somebody holds" 69 'lock timeout'
kill "$!"

# ---- the page of errors is the program's ----

"$sea" config errors > "$work/errors.md"
check_equal "docs/errors.md is what sea config errors prints" "" "$(diff "$work/errors.md" docs/errors.md | head -n 5)"
check_match "with a row for each SQLSTATE" '^\| `53300` \| `E_SERVICE` \| 69 \|' "$(cat "$work/errors.md")"

finish test_sqlstate
