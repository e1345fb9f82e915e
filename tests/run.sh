#!/bin/bash
# Runs the built test programs and the shell tests, quick ones first, and ends with one line
# "N passed, N failed, N skipped". BUILD: where the programs are. T: only paths that contain
# this. QUICK=1: C programs only. TEST_JOBS: tests of the service at a time (3).
#
# A test (program or script) ends with a line "...: N passed, N failed, N skipped"; one that
# does not, or that exits non-zero without a failed check, counts as one failure.
set -u
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build/dev}
export SEA_ROOT=$PWD SEA_BUILD=$PWD/$BUILD
# The CUDA kernels on emulated threads; make test-gpu takes the real plugin.
export SEA_CUDA_EMU=1
passed=0 failed=0 skipped=0 bad=
list=$(for area in check unit kernels gpu engine pipeline scheduler fault e2e; do
    for f in "$BUILD"/tests/$area/test_*; do
        [ -x "$f" ] && [ -f "tests/$area/$(basename "$f").c" ] && case $f in *.o|*.d) ;; *) echo "$f" ;; esac
    done
    [ "${QUICK:-}" = 1 ] || for f in tests/$area/test_*.sh; do [ -x "$f" ] && echo "$f"; done
done)

# One test: its log, exit status and seconds in a folder of its own.
run_test() {                    # number, test
    local start=$SECONDS
    timeout "${TEST_TIMEOUT:-900}" "$2" > "$work/$1.log" 2>&1 < /dev/null
    echo "$? $((SECONDS - start))" > "$work/$1.end"
    mv "$work/$1.end" "$work/$1.rc"     # whole, or not there
}

# Counts and prints what test number $1 said.
tell_test() {                   # number, test
    local log=$work/$1.log rc took last p f s
    read -r rc took < "$work/$1.rc"
    last=$(grep -E '[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1)
    if [ -n "$last" ]; then
        read -r p f s < <(echo "$last" | sed -E 's/.*[^0-9]([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/; s/^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/')
    else
        p=0 f=1 s=0
    fi
    [ "$rc" -ne 0 ] && [ "$f" -eq 0 ] && f=1
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-52s %4d passed %3d failed %3d skipped %4ds\n' "${2#"$BUILD"/}" "$p" "$f" "$s" "$took"
    if [ "$f" -ne 0 ]; then
        bad="$bad ${2#"$BUILD"/}"
        { echo "${2#"$BUILD"/}, exit status $rc:"
          { grep -a FAIL "$log" || tail -n 8 "$log"; } | head -n 12 | sed 's/^/    | /'; } >> "$work/bad"
        sed 's/^/    | /' "$log" | tail -n 60
        echo "    | exit status $rc"
    fi
    grep '^SKIP' "$log" | sed 's/^/    /'
}

# Tests of the service wait more than they work: three at a time. The others use all cores.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
i=0 told=0 names=()
running() {
    local ended=("$work"/*.rc)
    [ -e "${ended[0]}" ] || ended=()
    echo $((i - ${#ended[@]}))
}
wait_until_running() {          # at most so many; results are told in the order of the list
    while [ "$(running)" -gt "$1" ]; do
        wait -n || :
    done
    while [ $told -lt $i ] && [ -e "$work/$told.rc" ]; do
        tell_test $told "${names[told]}"
        told=$((told + 1))
    done
}
for test in $list; do
    case $test in *"${T:-}"*) ;; *) continue ;; esac
    case $test in
    */scheduler/* | tests/e2e/*) wait_until_running $((${TEST_JOBS:-3} - 1)) ;;
    *) wait_until_running 0 ;;
    esac
    names[i]=$test
    run_test $i "$test" &
    i=$((i + 1))
    case $test in */scheduler/* | tests/e2e/*) ;; *) wait_until_running 0 ;; esac
done
wait_until_running 0
# Once more, where a cut log still shows them.
[ -z "$bad" ] || { echo "failed:$bad"; cat "$work/bad"; }
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ $((passed + skipped)) -gt 0 ]
