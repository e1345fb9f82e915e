#!/bin/bash
# Several `sea up` and `sea down` at once, in a folder where nothing is yet, by somebody who ignores
# the ends of children: one service comes up, all say so, and all of it ends.
. "$(dirname "$0")/../e2e/lib.sh"
# env of older systems knows no signals
ignoring=$(env --ignore-signal=CHLD true 2>/dev/null && echo "env --ignore-signal=CHLD")
data=$work/at-once
services+=("$data")

at_once() {                     # how many, then a command of sea: their statuses
    local many=$1 i pids=()
    shift
    for i in $(seq "$many"); do
        $ignoring "$sea" "$@" --data "$data" > "$work/said.$i" 2>&1 &
        pids+=($!)
    done
    for i in "${pids[@]}"; do
        wait "$i"
        echo -n "$? "
    done
}
players() {                     # processes of our folder, by role
    pgrep -fa "^$sea (worker|scheduler) .*$data" | grep -o -- '--role [a-z0-9-]*' | sort | tr '\n' ' '
}

exec 7> "$work/lock"
flock 7
check_equal "three up at once" "0 0 0 " "$(at_once 3 up --workers 2 --device cpu:1)"
check_equal "each role is started once" 3 "$(grep -h ': started' "$work"/said.* | wc -l)"
# Who came too late ends by itself.
all_there() { [ "$(players)" = "--role scheduler --role worker-1 --role worker-2 " ]; }
check_equal "and played once" 0 "$(wait_until 10 all_there; echo $?)"
exec 7>&-
check_equal "the lock that the caller held around it is free" 0 "$(flock -n "$work/lock" true; echo $?)"
check_equal "two down at once" "0 0 " "$(at_once 2 down)"
check_equal "all have ended" "" "$(players)"
check_match "then nothing runs" "nothing runs" "$("$sea" down --data "$data" 2>&1)"

# Root ends what another user runs, its PostgreSQL, too.
other=$work/other
if [ "$(id -u)" = 0 ] && chmod 711 "$work" && mkdir "$other" && chown nobody "$other" &&
        setpriv --reuid nobody --clear-groups test -x "$sea"; then
    services+=("$other")
    setpriv --reuid nobody --regid nogroup --clear-groups env HOME=/ "$sea" up --workers 0 --data "$other" \
        > "$work/said" 2>&1
    check_equal "another user's service comes up" 0 "$?"
    check_match "root stops all of it" "and PostgreSQL" "$("$sea" down --data "$other" 2>&1)"
    check_equal "its server is gone" "" "$(pgrep -f "postgres.* -D $other/pg")"
else
    skip "root ends what another user runs" "not root, or nobody cannot come to the program"
fi
finish test_up_at_once
