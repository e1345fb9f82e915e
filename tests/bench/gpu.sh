#!/bin/bash
# make bench-gpu: what the CUDA back end reaches on this card, beside the card's own limits and
# beside transformers' LLaVA in the same run. Without a card it says SKIP and why.
#
# The card's limits come first (best product, memory, copies); each job then runs in a process of
# its own, with a time limit, its PyTorch peer right behind it, the most telling ones first. What
# does not fit into BUDGET seconds (570) is left out and says so. Files: REPORTS (docs/reports)
# /gpu-bench-CARD.json and .md.
#
# BUDGET, REPORTS, PYTHON (an interpreter with torch and transformers; python3), TORCH=0 (no
# peers), JOBS (a list "job:model ..."), SECONDS_EACH (windows of a job, 5). EMU=1 with
# MODEL=tiny takes the emulated card: a test of this script, not a measurement.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build/dev}
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
bench=${BENCH_GPU:-$BUILD/tests/bench/bench_gpu}
reports=${REPORTS:-docs/reports}
python=${PYTHON:-python3}
device=${DEVICE:-cuda:0}
budget=${BUDGET:-570}
each=${SECONDS_EACH:-5}
more=()
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# Algorithms of training's products are timed once and serve all jobs of this run.
export SEA_CUDA_PLANS=${SEA_CUDA_PLANS:-$work/plans}

skip() {
    echo "SKIP: $1"
    echo "GPU bench: 0 measured, 0 failed, 1 skipped"
    exit 0
}
if [ "${EMU:-}" = 1 ]; then
    export SEA_CUDA_EMU=1 SEA_CUDA_PLUGIN=$BUILD/tests/gpu/libsea_cuda.so
    more=(--rows 700 --samples 1 --layers 1)
    each=0
elif [ "$device" != cpu ] && [ -z "${SEA_CUDA_PLUGIN:-}" ]; then
    [ -f "$BUILD/libsea_cuda.so" ] || skip "no plugin was built: nvcc was not found"
    export SEA_CUDA_PLUGIN=$BUILD/libsea_cuda.so
fi
# Versions first: whatever happens then, they are known.
smi=$(nvidia-smi --query-gpu=name,driver_version,power.limit,clocks.sm,clocks.mem,memory.total \
    --format=csv,noheader 2>/dev/null | head -n 1)
[ -z "$smi" ] || echo "nvidia-smi: $smi"
model=${MODEL:-7b}
timeout -k 5 120 "$bench" limits --model "$model" --device "$device" > "$work/limits" 2> "$work/err"
rc=$?
why=$(head -n 1 "$work/err")
# No card is no fault; a plugin of another build is one.
[ $rc -ne 69 ] || [ -n "$smi" ] || [ -e /dev/nvidia0 ] ||
    [[ $why =~ 'could not load'|'operator table' ]] || skip "$why"
measured=0 failed=0 skipped=0
if [ $rc -eq 69 ] && [[ $why =~ 'could not load'|'operator table'|'there is no CUDA'|'cannot be used' ]]; then
    echo "FAIL: the card cannot be used: $why"
    echo "GPU bench: 0 measured, 1 failed, 0 skipped"
    exit 1
elif [ $rc -ne 0 ]; then
    echo "the card's limits cannot be measured (exit $rc): $(grep -v '^ ' "$work/err" | tail -n 1)"
    echo "jobs are measured without shares of them"
    failed=1
    echo '{"device":"unknown card"}' > "$work/limits"
fi
number() {                      # key, file: a number of one line of JSON, 0 when it is missing
    local found
    found=$(sed -nE "s/.*\"$1\":([-0-9.e+]+).*/\1/p" "$2" | head -n 1)
    echo "${found:-0}"
}
card=$(sed -nE 's/.*"device":"([^"]*)".*/\1/p' "$work/limits")
gemm=$(number gemm_flops "$work/limits") bandwidth=$(number bandwidth "$work/limits")
spec=$(number spec_flops "$work/limits")
echo "$card"
awk -v g="$gemm" -v b="$bandwidth" -v s="$spec" -v i="$(number copy_in "$work/limits")" \
    -v o="$(number copy_out "$work/limits")" 'BEGIN { printf "best product %.1f TFLOP/s (data sheet %.1f), memory %.2f TB/s, host to card %.1f GB/s, back %.1f GB/s\n", g / 1e12, s / 1e12, b / 1e12, i / 1e9, o / 1e9 }'
# Decoding takes the better of two kernels for few rows; one for the whole run.
few=$(awk -v o="$(number few_own "$work/limits")" -v l="$(number few_library "$work/limits")" \
    'BEGIN { printf "few rows: own kernel %.2f TB/s of weights, library %.2f TB/s\n", o / 1e12, l / 1e12; exit l > 1.02 * o }') ||
    export SEA_CUDA_FEW=library
echo "$few${SEA_CUDA_FEW:+: jobs run with SEA_CUDA_FEW=$SEA_CUDA_FEW}"
case $card in *'no cuBLASLt was found'*)
    [ "${EMU:-}" = 1 ] || echo "NOTE: without cuBLASLt products are slow; SEA_CUBLASLT names its file" ;;
esac

torch=${TORCH:-1}
if [ "$torch" = 1 ] && ! why=$(timeout 90 "$python" -c 'import torch, transformers; assert torch.cuda.is_available(), "no CUDA in torch"' 2>&1); then
    torch=0
    echo "SKIP the peers: $python: $(tail -n 1 <<< "$why")"
fi

# The report is written anew behind every line: what stops this script costs only what is missing.
mkdir -p "$reports"
slug=$(sed 's/,.*//; s/[^A-Za-z0-9]\{1,\}/-/g; s/-$//' <<< "$card")
report=$reports/gpu-bench-$slug.json
write_report() {
    {
        printf '{"card":"%s","date":"%s","commit":"%s","gemm_flops":%s,"bandwidth":%s,"spec_flops":%s,\n"smi":"%s",\n"limits":' \
            "$card" "$(date -u +%FT%TZ)" "$(git rev-parse --short HEAD 2>/dev/null)" "$gemm" \
            "$bandwidth" "$spec" "$smi"
        cat "$work/limits"
        printf ',"rows":[\n'
        sed '$!s/$/,/' "$work/rows"
        printf ']}\n'
    } > "$report.new" && mv "$report.new" "$report"
}
: > "$work/rows"
write_report
left() { echo $((budget - SECONDS)); }
row() {                         # by, job, model, limit, command...: runs it and keeps its line
    local by=$1 job=$2 name=$3 limit=$4 rc start=$SECONDS
    shift 4
    if [ "$(left)" -lt 15 ]; then
        rc="no time left of $budget s"
        skipped=$((skipped + 1))
    else
        [ "$limit" -le "$(left)" ] || limit=$(left)
        timeout -k 5 "$limit" "$@" > "$work/line" 2> "$work/err"
        rc=$?
        if [ $rc -eq 0 ] && grep -q '^{.*}$' "$work/line"; then
            grep '^{.*}$' "$work/line" | tail -n 1 >> "$work/rows"
            measured=$((measured + 1))
            write_report
            printf '%-9s %-5s %-6s %4ds  %s\n' "$job" "$name" "$by" $((SECONDS - start)) \
                "$(tail -n 1 "$work/rows" | grep -oE '"(samples_per_s|images_per_s|tokens_per_s|mfu|mbu|roofline|layers|skipped)":("[^"]*"|[-0-9.e+]+)' | tr '\n' ' ')"
            return 0
        fi
        failed=$((failed + 1))
        if [ $rc -eq 124 ] || [ $rc -eq 137 ]; then
            rc="stopped after $limit s"
        else
            rc="exit $rc: $(grep -v '^ ' "$work/err" | tail -n 1 | tr -d '"\\\t' | cut -c1-300)"
        fi
    fi
    printf '%-9s %-5s %-6s left out: %s\n' "$job" "$name" "$by" "$rc"
    printf '{"job":"%s","model":"%s","by":"%s","skipped":"%s"}\n' "$job" "$name" "$by" "$rc" \
        >> "$work/rows"
    write_report
    return 1
}

jobs=${JOBS:-align:2b tune:7b decode1:7b prefill:7b label:7b lora:7b align:7b decode64:7b tune:2b \
align:0.5b tune:0.5b lora:2b decode1:2b prefill:2b decode64:2b lora:0.5b decode1:0.5b}
for one in $jobs; do
    job=${one%:*} name=${one#*:}
    row sea "$job" "$name" 75 "$bench" "$job" --model "$name" --device "$device" \
        --seconds "$each" --gemm "$gemm" --bandwidth "$bandwidth" --spec "$spec" \
        ${more[@]+"${more[@]}"}
    layers=$(tail -n 1 "$work/rows" | sed -nE 's/.*"layers":([0-9]+).*/\1/p')
    if [ "$torch" = 1 ] && [ "$job" != label ]; then
        row torch "$job" "$name" 90 "$python" tests/bench/gpu_torch.py "$job" "$name" \
            --device "$device" --seconds "$each" --layers "${layers:-0}"
    fi
done

"$bench" table "$report" > "${report%.json}.md"
sed -n '/^## Beside/,/^##[^#]/p' "${report%.json}.md" | grep '^|'
echo "report: $report"
echo "GPU bench: $measured measured, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
