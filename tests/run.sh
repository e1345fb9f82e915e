#!/bin/bash
# Runs the built test programs and the shell tests, quick ones first, and ends with one line
# "N passed, N failed, N skipped". BUILD: where the programs are. T: only paths that contain
# this. QUICK=1: C programs only.
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
for test in $list; do
    case $test in *"${T:-}"*) ;; *) continue ;; esac
    log=$(mktemp)
    start=$(date +%s)
    timeout "${TEST_TIMEOUT:-900}" "$test" > "$log" 2>&1
    rc=$?
    took=$(( $(date +%s) - start ))
    last=$(grep -E '[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1)
    if [ -n "$last" ]; then
        set -- $(echo "$last" | sed -E 's/.*[^0-9]([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/; s/^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/')
        p=$1 f=$2 s=$3
    else
        p=0 f=1 s=0
    fi
    [ $rc -ne 0 ] && [ "$f" -eq 0 ] && f=1
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-52s %4d passed %3d failed %3d skipped %4ds\n' "${test#"$BUILD"/}" "$p" "$f" "$s" "$took"
    if [ "$f" -ne 0 ]; then
        bad="$bad ${test#"$BUILD"/}"
        sed 's/^/    | /' "$log" | tail -n 60
        echo "    | exit status $rc"
    fi
    grep '^SKIP' "$log" | sed 's/^/    /'
    rm -f "$log"
done
[ -z "$bad" ] || echo "failed:$bad"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ $((passed + skipped)) -gt 0 ]
