#!/bin/bash
# make bench: GEMM as a share of the FMA peak of the same run, the products of decoding as one
# of the read rate, loading a folder and decoding with it (load.sh), scoring of VQA answers;
# then one training step of the
# demo's models against the same model in PyTorch, interleaved, medians of three rounds, and
# one of Qwen2.5-0.5B's shape (train_qwen.sh).
#
# PYTHON: an interpreter that has torch and transformers. Without one, a virtual environment
# is made in build/bench-venv (pip, CPU is enough); BENCH_TORCH=0 leaves PyTorch out.
set -euo pipefail
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build/dev}
cores=$(nproc)

"$BUILD"/tests/bench/bench_gemm
"$BUILD"/tests/bench/bench_decode
BUILD=$BUILD tests/bench/load.sh
"$BUILD"/tests/bench/bench_score

python=${PYTHON:-}
if [ -z "$python" ] && [ "${BENCH_TORCH:-1}" = 1 ]; then
    python=build/bench-venv/bin/python
    if ! "$python" -c 'import torch, transformers' 2>/dev/null; then
        echo "sea: installing torch and transformers into build/bench-venv"
        { python3 -m venv build/bench-venv &&
          build/bench-venv/bin/pip install -q torch transformers; } >/dev/null 2>&1 || python=
    fi
fi
if [ -z "$python" ] || ! "$python" -c 'import torch, transformers' 2>/dev/null; then
    echo "SKIP training step against PyTorch: torch cannot be installed here"
    "$BUILD"/tests/bench/bench_train "$cores" 20 tune
    exit 0
fi
median() { sort -n | sed -n 2p; }
rate() { sed -n 's/.*"tokens_per_s": *\([0-9.]*\).*/\1/p'; }
printf '\n%-8s %-8s %14s %14s %8s\n' stage threads 'sea tokens/s' 'torch tokens/s' ratio
for stage in tune align; do
    for threads in 1 "$cores"; do
        ours= theirs=
        for _ in 1 2 3; do
            ours="$ours $("$BUILD"/tests/bench/bench_train "$threads" 15 $stage | rate)"
            theirs="$theirs $("$python" tests/bench/train_torch.py "$threads" 15 $stage 2>/dev/null | rate)"
        done
        a=$(printf '%s\n' $ours | median) b=$(printf '%s\n' $theirs | median)
        printf '%-8s %-8s %14.0f %14.0f %8.2f\n' $stage "$threads" "$a" "$b" \
            "$(awk "BEGIN { print $a / $b }")"
    done
done
BUILD=$BUILD PYTHON=$python tests/bench/train_qwen.sh
