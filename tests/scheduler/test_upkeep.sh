#!/bin/bash
# sea doctor, gc and drain from the outside: a service that was not started is no fault, one that
# does not answer is, a changed file of the store is found, workers leave when told.
set -u
cd "$(dirname "$0")/../.."
sea=$PWD/${SEA_BUILD:-build/dev}/sea
case ${SEA_BUILD:-} in /*) sea=$SEA_BUILD/sea ;; esac
unset SEA_DATABASE_URL PGHOST PGSERVICE PGDATABASE PGPORT PGUSER SEA_DATA
work=$(mktemp -d)
chmod 711 "$work"
data=$work/service
trap '"$sea" down --data "$data" >/dev/null 2>&1; rm -rf "$work"' EXIT
passed=0 failed=0

# check NAME RC PATTERN COMMAND...: the exit status, and the pattern in what it says.
check() {
    name=$1 want=$2 pattern=$3
    shift 3
    out=$("$@" 2>&1)
    rc=$?
    if [ $rc -eq "$want" ] && grep -qE -- "$pattern" <<< "$out"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $name: exit $rc, want $want, with /$pattern/ in:"
        echo "$out" | tail -n 20
    fi
}

check "a service that was never started is a note" 0 '^note +postgresql +the private server does not run' \
    "$sea" doctor --data "$data"
check "and tells what starts it" 0 'sea up' "$sea" doctor --data "$data"
check "somebody else's server that does not answer is a fault" 69 'Check SEA_DATABASE_URL' \
    env SEA_DATABASE_URL='host=/nowhere dbname=x' "$sea" doctor --data "$data"
check "gc without a service names the way" 69 'hint: .*sea up' "$sea" gc --data "$data"
"$sea" up --data "$data" --workers 1 --device cpu:1 > "$work/up" 2>&1 || cat "$work/up"
check "a service that runs is fine" 0 '^ok +postgresql' "$sea" doctor --data "$data"
check "a data folder that is a file is a fault" 69 'is no folder' "$sea" doctor --data "$work/up"
echo "not what its name says" > "$work/blob"
mkdir -p "$data/store/ab"
cp "$work/blob" "$data/store/ab/$(printf 'ab%062d' 1)"
check "doctor alone does not hash the store" 0 'everything needed is there' "$sea" doctor --data "$data"
check "doctor --store finds a changed file" 69 '1 files hashed, 1 do not match' \
    "$sea" doctor --data "$data" --store
check "gc leaves what is young" 0 '^would remove 0 files' "$sea" gc --data "$data" --dry-run
check "gc tells what it would remove" 0 '^would remove 1 files' \
    "$sea" gc --data "$data" --dry-run --grace 0
check "gc removes it" 0 '"files":1,.*"removed":true' "$sea" gc --data "$data" --grace 0 --json
check "the store is whole again" 0 '0 files hashed, 0 do not match' "$sea" doctor --data "$data" --store
check "drain lists the workers" 0 'active' "$sea" drain --data "$data"
check "a worker that is not there is one clear error" 64 'worker 99 is not there' \
    "$sea" drain --data "$data" 99
check "an idle worker is told to leave" 0 'draining' "$sea" drain --data "$data" all
for _ in $(seq 150); do
    [ -n "$("$sea" drain --data "$data" --json | tr -d ' \n[]')" ] || break
    sleep 0.1
done
check "and leaves" 0 'no workers' "$sea" drain --data "$data"
echo "test_upkeep: $passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
