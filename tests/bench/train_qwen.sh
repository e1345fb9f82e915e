#!/bin/bash
# One training step of a Qwen2.5-0.5B-shaped model with CLIP-L features (random weights)
# against PyTorch, eager and compiled, float32 and bfloat16, in one run: tokens per second
# and the ratio of ours (the better of two storages) to each. About 15 GB of memory.
#
# PYTHON has torch, transformers and peft. SHAPE=qwen4 takes 4 of the 24 blocks, STEPS=3 steps
# per measurement, STAGES="tune lora align" others than tune and lora.
set -euo pipefail
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build/dev} PYTHON=${PYTHON:-build/bench-venv/bin/python}
SHAPE=${SHAPE:-qwen} STEPS=${STEPS:-3} cores=$(nproc)
rate() { sed -n 's/.*"tokens_per_s": *\([0-9.]*\).*/\1/p'; }
ours() { "$BUILD"/tests/bench/bench_train "$cores" "$STEPS" "$1" "$SHAPE" "$2" | rate; }
theirs() { "$PYTHON" tests/bench/train_torch.py "$cores" "$STEPS" "$1" "$SHAPE" "$2" "$3" 2>/dev/null | rate; }

if ! versions=$("$PYTHON" -c 'import torch, transformers
print("torch", torch.__version__ + ", transformers", transformers.__version__)' 2>/dev/null); then
    echo "SKIP a training step of Qwen2.5-0.5B's shape: PYTHON has no torch and transformers"
    exit 0
fi
printf '\n%s, %s threads, %s: tokens per second of a step\n' "$SHAPE" "$cores" "$versions"
printf '%-6s %-16s %10s %8s\n' stage program tokens/s 'ratio'
for stage in ${STAGES:-tune lora}; do
    a=$(ours "$stage" f32)
    printf '%-6s %-16s %10.1f\n' "$stage" 'sea f32' "$a"
    b=$(ours "$stage" bf16)
    printf '%-6s %-16s %10.1f\n' "$stage" 'sea bf16 storage' "$b"
    best=$(awk "BEGIN { print ($a > $b) ? $a : $b }")
    for dtype in f32 bf16; do
        for mode in eager compile; do
            c=$(theirs "$stage" $dtype $mode || true)
            if [ -z "$c" ]; then
                printf '%-6s %-16s %10s\n' "$stage" "torch $dtype $mode" 'failed'
                continue
            fi
            printf '%-6s %-16s %10.1f %8.2f\n' "$stage" "torch $dtype $mode" "$c" \
                "$(awk "BEGIN { print $best / $c }")"
        done
    done
done
