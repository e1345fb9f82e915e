#!/bin/bash
# A folder of Qwen2.5-0.5B's shape, 1 GB of random BF16, that lies in the page cache: seconds
# to the first word, decoding as a share of the read rate of the same run, and the memory of
# `sea model logits` beside what `sea plan` says of it. About 3 GB of memory and 1 GB of disk.
set -euo pipefail
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build/dev} ROWS=${ROWS:-256}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$BUILD"/tests/bench/bench_load make "$work/model"
get() { sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p"; }

printf '\n%s of safetensors, warm\n' "$(du -h "$work/model/model.safetensors" | cut -f1)"
printf '%-10s %8s %13s %8s %9s %12s %10s\n' precision load/s 'first word/s' CPU/s words/s \
    'reads GB/s' 'of limit'
for precision in bf16 bf16 f32 f32; do          # the first of two may meet cold memory
    line=$("$BUILD"/tests/bench/bench_load run "$work/model" $precision)
    printf '%-10s %8s %13s %8s %9s %12s %8.1f %%\n' $precision "$(get load_s <<< "$line")" \
        "$(get first_word_s <<< "$line")" "$(get cpu_s <<< "$line")" \
        "$(get words_per_s <<< "$line")" "$(get read_gb_per_s <<< "$line")" \
        "$(awk "BEGIN { print 100 * $(get share_of_reading <<< "$line") }")"
done
printf '\n%-10s %14s %14s %8s %20s\n' precision 'planned MiB' 'measured MiB' ratio 'of weights + work'
ids=$(seq -s, 1 "$ROWS")
for precision in bf16 f32; do
    "$BUILD"/sea plan "$work/model" --rows "$ROWS" --precision $precision > "$work/plan"
    planned=$(awk '/^together/ { print $2 }' "$work/plan")
    parts=$(awk '/^(weights|activations|logits)/ { sum += $(NF - 1) } END { print sum }' "$work/plan")
    measured=$("$BUILD"/tests/bench/bench_load peak "$BUILD"/sea model logits --model "$work/model" \
        --ids "$ids" --precision $precision --out "$work/logits.safetensors" | tail -1)
    awk -v p="$precision" -v a="$planned" -v b="$measured" -v c="$parts" \
        'BEGIN { printf "%-10s %14.1f %14.1f %8.3f %20.3f\n", p, a, b, a / b, b / c }'
done
