#!/bin/bash
# make test-gpu: everything about the CUDA back end that a card can be asked. Without a card it
# says SKIP and why. EMU=1 takes the kernels on emulated threads instead, about 10 minutes.
#
#   operators      each against its CPU twin, twice, bit by bit; when they fail, each again in a
#                  process of its own, where a launch waits for its kernel (CUDA_LAUNCH_BLOCKING)
#   models         every family's logits, loss, gradients, 20 steps of AdamW and 64 words, and
#                  every tower's features and gradients, against the committed reference values
#   stages         foundation to tune, losses beside the CPU's, and tune twice, byte by byte
#   memory         compute-sanitizer over the operators, where it is installed
#
# Every check has a time limit of its own; one that fails, hangs or crashes costs only itself.
# Writes REPORTS/gpu-test-CARD.json after each of them, and all they said to .log beside it
# (docs/reports; nothing with EMU=1 unless REPORTS is given). CHECKS: a pattern of the checks to
# run. LIMIT: seconds for all of them (570; EMU=1: 1800); what does not fit is counted as skipped.
# Ends with a line "GPU: N passed, N failed, N skipped".
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build/dev}
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
export SEA_ROOT=$PWD SEA_BUILD=$BUILD SEA_TEST_DEVICE=cuda:0
unset SEA_CUDA_EMU

none() {                        # why: nothing can be tested
    echo "SKIP: $1"
    echo "GPU: 0 passed, 0 failed, 1 skipped"
    exit 0
}
if [ "${EMU:-}" = 1 ]; then
    export SEA_CUDA_EMU=1 SEA_CUDA_PLUGIN=$BUILD/tests/gpu/libsea_cuda.so
elif [ ! -f "$BUILD/libsea_cuda.so" ]; then
    none "no plugin was built: nvcc was not found"
else
    export SEA_CUDA_PLUGIN=$BUILD/libsea_cuda.so
fi
# Versions first: whatever happens then, they are known.
nvidia-smi --query-gpu=name,driver_version,memory.total,power.limit,clocks.max.sm \
    --format=csv,noheader 2>/dev/null | sed 's/^/nvidia-smi: /'
doctor=$(timeout -k 5 90 "$BUILD/sea" doctor 2>&1)
rc=$?
card=$(sed -nE 's/^ok +gpu +//p' <<< "$doctor")
if [ -z "$card" ]; then
    why=$(sed -nE 's/^(note|bad|fail) +gpu +//p' <<< "$doctor")
    # A plugin of another build is a fault on every machine.
    if [ -e /dev/nvidia0 ] || nvidia-smi -L 2>/dev/null | grep -q GPU ||
        [[ $why =~ 'could not load'|'operator table' ]]; then
        echo "FAIL: a card cannot be used: ${why:-sea doctor ended with $rc}"
        tail -n 5 <<< "$doctor" | sed 's/^/    | /'
        echo "GPU: 0 passed, 1 failed, 0 skipped"
        exit 1
    fi
    none "${why:-sea doctor ended with $rc: $(tail -n 1 <<< "$doctor")}"
fi
echo "$card"
[ "${EMU:-}" = 1 ] || ! grep -q 'our own kernels: no cuBLASLt' <<< "$card" ||
    echo "NOTE: without cuBLASLt products are slow; SEA_CUBLASLT names its file"

reports=${REPORTS:-$([ "${EMU:-}" = 1 ] || echo docs/reports)}
report='' all=/dev/null
if [ -n "$reports" ]; then
    slug=$(sed 's/^cuda:[0-9]*: *//; s/,.*//; s/[^A-Za-z0-9]\{1,\}/-/g; s/-$//' <<< "$card")
    mkdir -p "$reports"
    report=$reports/gpu-test-$slug.json all=$reports/gpu-test-$slug.log
    printf '%s\n' "$card" > "$all"
fi
passed=0 failed=0 skipped=0 rows=

tell() {                        # name, seconds, passed, failed, skipped
    printf '%-40s %4d passed %3d failed %3d skipped %5ds\n' "$1" "$3" "$4" "$5" "$2"
    passed=$((passed + $3)) failed=$((failed + $4)) skipped=$((skipped + $5))
    rows="$rows${rows:+,}{\"check\":\"$1\",\"seconds\":$2,"
    rows="$rows\"passed\":$3,\"failed\":$4,\"skipped\":$5}"
    [ -n "$report" ] || return 0
    printf '{"card":"%s","date":"%s","commit":"%s","passed":%d,"failed":%d,"skipped":%d,"checks":[%s]}\n' \
        "${card//\"/}" "$(date -u +%F)" "$(git rev-parse --short HEAD 2>/dev/null)" \
        $passed $failed $skipped "$rows" > "$report.new" && mv "$report.new" "$report"
}

limit=${LIMIT:-$([ "${EMU:-}" = 1 ] && echo 1800 || echo 570)}
check() {                       # name, seconds at most, command...; returns 1 when it failed
    local name=$1 most=$2 log start last left=$((limit - SECONDS))
    shift 2
    [[ $name =~ ${CHECKS:-.} ]] || return 0
    if [ $left -lt 5 ]; then
        tell "$name: no time left" 0 0 0 1
        return 0
    fi
    [ "${EMU:-}" != 1 ] || most=$left
    [ "$most" -le "$left" ] || most=$left
    log=$(mktemp)
    start=$SECONDS
    timeout -k 5 "$most" "$@" > "$log" 2>&1
    local rc=$?
    last=$(grep -oE '[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1)
    [ $rc -ne 124 ] && [ $rc -ne 137 ] || echo "stopped after $most s" >> "$log"
    [ $rc -eq 0 ] || echo "exit status $rc" >> "$log"
    # shellcheck disable=SC2046
    set -- $(tr -dc '0-9 ' <<< "${last:-0 1 0}")
    [ $rc -eq 0 ] || [ "$2" -gt 0 ] || set -- "$1" 1 "$3"
    { echo "=== $name"; cat "$log"; } >> "$all"
    [ "$2" -eq 0 ] || grep -E 'FAIL|cuda[A-Z]|CUBLAS_|stopped after|exit status' "$log" |
        sed 's/^/    | /' | cut -c1-300 | tail -n 30
    rm -f "$log"
    tell "$name" $((SECONDS - start)) "$1" "$2" "$3"
    [ "$2" -eq 0 ]
}

operators=$BUILD/tests/gpu/test_cuda
if ! check operators 100 "$operators" && [ "${EMU:-}" != 1 ]; then
    for one in $("$operators" --list); do
        check "operators: $one" 30 env CUDA_LAUNCH_BLOCKING=1 "$operators" "$one"
    done
fi
for model in graphs lm_families towers clip clip_hf optim labels checkpoint; do
    check "models: $model" 90 "$BUILD/tests/engine/test_$model"
done
check stages 200 tests/gpu/test_stages.sh
if [ "${EMU:-}" != 1 ] && command -v compute-sanitizer > /dev/null; then
    # A request that is too large is refused on purpose: no fault of ours.
    check "memory: compute-sanitizer" 180 compute-sanitizer --error-exitcode 9 \
        --report-api-errors no "$operators"
else
    tell "memory: compute-sanitizer is not here" 0 0 0 1
fi
[ -z "$report" ] || echo "report: $report, all that was said: $all"
echo "GPU: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
