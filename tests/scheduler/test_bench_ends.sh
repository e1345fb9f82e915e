#!/bin/bash
# sea bench queue under Ctrl-C, SIGTERM and SIGKILL, while its PostgreSQL is being made and while
# it is measured: no folder and no process of it is left.
. "$(dirname "$0")/../e2e/lib.sh"
set -m                          # else children of a script start with SIGINT ignored

folder() {
    find /tmp -maxdepth 1 -name "sea-bench-$bench-*" 2> /dev/null
}
has_folder() { [ -n "$(folder)" ]; }
has_server() { [ -n "$(find /tmp/sea-bench-"$bench"-*/pg/postmaster.pid 2> /dev/null)" ]; }
measures() { [ -n "$(find /tmp/sea-bench-"$bench"-*/sync 2> /dev/null)" ]; }
is_gone() {
    ! has_folder && ! pgrep -f "sea-bench-$bench-" > /dev/null
}

ends() {                        # moment, signal
    "$sea" bench queue --quick > "$work/out" 2> "$work/err" &
    bench=$!
    children+=("$bench")
    wait_until 60 "$1"
    check_equal "$2: it came to where it $1" 0 $?
    kill -s "$2" "$bench"
    wait "$bench" 2> /dev/null
    rc=$?
    check_equal "$2 where it $1: the end is that signal's" "$2" "$(kill -l "$rc")"
    wait_until 30 is_gone
    check_equal "$2 where it $1: nothing is left" "" "$(folder; pgrep -af "sea-bench-$bench-")"
    check_equal "$2 where it $1: nothing is said" "" "$(cat "$work/err")"
}
ends has_folder INT
ends has_server TERM
ends measures INT
ends measures KILL
finish test_bench_ends
