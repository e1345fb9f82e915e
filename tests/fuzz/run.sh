#!/bin/bash
# Runs every fuzz program for FUZZ_SECONDS (default 600) under AddressSanitizer and
# UndefinedBehaviorSanitizer, one after another: with libFuzzer where clang has it, else with
# the driver of mutate.h. Findings stay in build/fuzz/found. FUZZ: only programs that contain
# this. Ends with a line "fuzz: N passed, N failed, N skipped".
set -u
cd "$(dirname "$0")/../.."
seconds=${FUZZ_SECONDS:-600}
build=${BUILD:-build/fuzz}
fixtures=tests/oracle/fixtures
sanitize='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer'
flags= link=
probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
cat > "$probe/p.c" <<'EOF'
int LLVMFuzzerTestOneInput(const char *d, unsigned long n);
int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d && n ? 0 : 0; }
EOF
if clang -fsanitize=fuzzer,address "$probe/p.c" -o "$probe/p" 2> /dev/null; then
    cc=clang
    sanitize="$sanitize -fsanitize=fuzzer-no-link"
    flags=-DSEA_FUZZ_NO_MAIN link=-fsanitize=fuzzer
else
    cc=${CC:-gcc}
fi

# The files that changes start from.
seeds()
{
    case $1 in
    image)         ls $fixtures/images/*.png $fixtures/images/*.jpg $fixtures/images/*.webp ;;
    safetensors)   find $fixtures/tensors -name '*.safetensors' ;;
    index)         find $fixtures/tensors -name '*.index.json' ;;
    tokenizer)     ls $fixtures/tokenizers/*/tokenizer.json ;;
    sentencepiece) ls $fixtures/tokenizers/*/tokenizer.model ;;
    parquet)       find $fixtures/parquet -name '*.parquet' ;;
    sheet)         ls $fixtures/sheets/*.xlsx $fixtures/sheets/*.xml ;;
    config)        find $fixtures -name config.json ;;
    documents)     ls $fixtures/tokenizers/*/tokenizer_config.json configs/*/*.yaml ;;
    esac
}

passed=0 failed=0
mkdir -p "$build/found"
for source in tests/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    name=${name#fuzz_}
    case $name in *"${FUZZ:-}"*) ;; *) continue ;; esac
    program=$build/tests/fuzz/fuzz_$name
    log=$build/found/$name.log
    if ! make --no-print-directory -j"${JOBS:-2}" BUILD="$build" CC="$cc" OPT=-O1 \
            SANITIZE="$sanitize" CFLAGS="$flags" LDFLAGS="$link" "$program" > "$log" 2>&1; then
        echo "fuzz_$name does not build:"; tail -n 5 "$log"
        failed=$((failed + 1))
        continue
    fi
    if [ -n "$link" ]; then
        corpus=$build/found/$name
        mkdir -p "$corpus"
        seeds "$name" | while read -r file; do
            cp "$file" "$corpus/$(echo "$file" | tr / _)"
        done
        "$program" -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=6000 -timeout=60 \
            -artifact_prefix="$build/found/$name-" "$corpus" > "$log" 2>&1
    else
        count=$(seeds "$name" | wc -l)
        # shellcheck disable=SC2046
        "$program" -t $((seconds / count + 1)) $(seeds "$name") > "$log" 2>&1
    fi
    rc=$?
    if [ $rc -eq 0 ]; then
        passed=$((passed + 1))
        echo "fuzz_$name: $(tail -n 1 "$log")"
    else
        failed=$((failed + 1))
        echo "fuzz_$name: exit status $rc, see $log"
        grep -E 'SUMMARY|ERROR|wrong' "$log" | head -n 3
    fi
done
echo "fuzz: $passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
