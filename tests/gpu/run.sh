#!/bin/bash
# make test-gpu: everything about the CUDA back end that a card can be asked. Without a card it
# says SKIP and why. EMU=1 takes the kernels on emulated threads instead, about 10 minutes.
#
#   operators      each against its CPU twin, twice, bit by bit
#   models         every family's logits, loss, gradients, 20 steps of AdamW and 64 words, and
#                  every tower's features and gradients, against the committed reference values
#   stages         foundation to tune, losses beside the CPU's, and tune twice, byte by byte
#   memory         compute-sanitizer over the operators, where it is installed
#
# Writes REPORTS/gpu-test-CARD.json (docs/reports; nothing with EMU=1 unless REPORTS is given).
# CHECKS: a pattern of the checks to run. LIMIT: seconds for all of them (570; EMU=1: 1800); what
# does not fit is counted as skipped. Ends with a line "GPU: N passed, N failed, N skipped".
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build/dev}
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
export SEA_ROOT=$PWD SEA_BUILD=$BUILD SEA_TEST_DEVICE=cuda:0
unset SEA_CUDA_EMU
if [ "${EMU:-}" = 1 ]; then
    export SEA_CUDA_EMU=1 SEA_CUDA_PLUGIN=$BUILD/tests/gpu/libsea_cuda.so
elif [ ! -f "$BUILD/libsea_cuda.so" ]; then
    echo "SKIP: no plugin was built: nvcc was not found"
    echo "GPU: 0 passed, 0 failed, 1 skipped"
    exit 0
else
    export SEA_CUDA_PLUGIN=$BUILD/libsea_cuda.so
fi
card=$("$BUILD/sea" doctor 2>&1 | sed -nE 's/^ok +gpu +//p')
if [ -z "$card" ]; then
    echo "SKIP: $("$BUILD/sea" doctor 2>&1 | sed -nE 's/^note +gpu +//p')"
    echo "GPU: 0 passed, 0 failed, 1 skipped"
    exit 0
fi
echo "$card"
passed=0 failed=0 skipped=0 rows=

tell() {                        # name, seconds, passed, failed, skipped
    printf '%-40s %4d passed %3d failed %3d skipped %5ds\n' "$1" "$3" "$4" "$5" "$2"
    passed=$((passed + $3)) failed=$((failed + $4)) skipped=$((skipped + $5))
    rows="$rows${rows:+,}{\"check\":\"$1\",\"seconds\":$2,"
    rows="$rows\"passed\":$3,\"failed\":$4,\"skipped\":$5}"
}

limit=${LIMIT:-$([ "${EMU:-}" = 1 ] && echo 1800 || echo 570)}
check() {                       # name, command...
    local name=$1 log start last left=$((limit - SECONDS))
    shift
    [[ $name =~ ${CHECKS:-.} ]] || return 0
    if [ $left -lt 5 ]; then
        tell "$name: no time left" 0 0 0 1
        return
    fi
    log=$(mktemp)
    start=$SECONDS
    timeout -k 5 "$left" "$@" > "$log" 2>&1
    local rc=$?
    last=$(grep -oE '[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1)
    # shellcheck disable=SC2086
    set -- $(tr -dc '0-9 ' <<< "${last:-0 1 0}")
    [ $rc -eq 0 ] || [ "$2" -gt 0 ] || set -- "$1" 1 "$3"
    tell "$name" $((SECONDS - start)) "$1" "$2" "$3"
    [ "$2" -eq 0 ] || sed 's/^/    | /' "$log" | tail -n 30
    rm -f "$log"
}

check operators "$BUILD/tests/gpu/test_cuda"
for model in graphs lm_families towers clip clip_hf optim labels checkpoint; do
    check "models: $model" "$BUILD/tests/engine/test_$model"
done
check stages tests/gpu/test_stages.sh
if [ "${EMU:-}" != 1 ] && command -v compute-sanitizer > /dev/null; then
    check "memory: compute-sanitizer" compute-sanitizer --error-exitcode 9 \
        "$BUILD/tests/gpu/test_cuda"
else
    tell "memory: compute-sanitizer is not here" 0 0 0 1
fi
reports=${REPORTS:-$([ "${EMU:-}" = 1 ] || echo docs/reports)}
if [ -n "$reports" ]; then
    slug=$(sed 's/^cuda:[0-9]*: *//; s/,.*//; s/[^A-Za-z0-9]\{1,\}/-/g; s/-$//' <<< "$card")
    mkdir -p "$reports"
    printf '{"card":"%s","date":"%s","commit":"%s","passed":%d,"failed":%d,"skipped":%d,"checks":[%s]}\n' \
        "${card//\"/}" "$(date -u +%F)" "$(git rev-parse --short HEAD 2>/dev/null)" \
        $passed $failed $skipped "$rows" > "$reports/gpu-test-$slug.json"
    echo "report: $reports/gpu-test-$slug.json"
fi
echo "GPU: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
