#!/bin/bash
# make oracle: the program and its fixtures against the libraries that they follow.
#
# In a copy of the tree (links, and a copy of tests/oracle), each script that makes fixtures
# makes them again, and the C tests that read them must pass with the new ones; a line says
# how many files are not the committed ones, byte for byte. Scripts that compare run as they
# are. Nothing in the tree is changed.
#
# PYTHON: an interpreter with torch, transformers, tokenizers, sentencepiece, peft, safetensors
# and Pillow (python3). BUILD: where the programs are (build/dev). T: only scripts whose name
# contains this. TEXTS: of io_tokenizers.py (20000). CORENLP_JAR: Stanford CoreNLP 3.4.1, for
# caption_tokens.py. PUBLISHED: checkouts for published_scorers.py. Exit status 1 when something failed.
set -u
cd "$(dirname "$0")/../.." || exit 1
root=$PWD
PYTHON=${PYTHON:-python3}
python=$(command -v "$PYTHON")
case ${BUILD:=build/dev} in /*) ;; *) BUILD=$root/$BUILD ;; esac
[ -x "$BUILD/sea" ] || { echo "no program $BUILD/sea; make oracle builds it" >&2; exit 69; }
work=$(mktemp -d "${TMPDIR:-/tmp}/sea-oracle-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
tree=$work/tree
export PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1 SEA_ROOT=$tree SEA_BUILD=$BUILD
passed=0 failed=0 skipped=0

mkdir -p "$tree/tests" &&
    find "$root" -mindepth 1 -maxdepth 1 ! -name tests ! -name '.*' \
        -exec ln -s {} "$tree/" \; &&
    find "$root/tests" -mindepth 1 -maxdepth 1 ! -name oracle -exec ln -s {} "$tree/tests/" \; &&
    cp -R tests/oracle "$tree/tests/oracle" || exit 1

wanted() { case $1 in *"${T:-}"*) return 0 ;; *) return 1 ;; esac; }

skip() {                        # script, why
    echo "SKIP $1: $2"
    skipped=$((skipped + 1))
}

# The modules that a script needs, or a line that says which one is missing.
has() {                         # script, module...
    local script=$1 module
    shift
    [ -n "$python" ] || { skip "$script" "there is no program $PYTHON"; return 1; }
    for module in "$@"; do
        "$python" -c "import $module" 2>/dev/null && continue
        skip "$script" "$python has no module $module (make oracle PYTHON=... takes another)"
        return 1
    done
}

told() {                        # script, exit status, seconds, words behind them
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        sed 's/^/    | /' "$work/log" | tail -n 40
    fi
    printf '%-5s %-28s %5ds%s\n' "$([ "$2" -eq 0 ] && echo ok || echo FAIL)" "$1" "$3" "$4"
}

# A script that compares: its exit status says it.
compares() {                    # script, modules, arguments...
    local script=$1 modules=$2 start=$SECONDS rc
    shift 2
    # shellcheck disable=SC2086
    wanted "$script" && has "$script" $modules || return 0
    (cd "$tree" && "$python" "tests/oracle/$script" "$@") > "$work/log" 2>&1
    rc=$?
    told "$script" $rc $((SECONDS - start)) "  $(tail -n 1 "$work/log" | cut -c 1-60)"
}

# A script that makes: the tests that read what it made must pass.
makes() {                       # script, modules, what it writes, tests, arguments...
    local script=$1 modules=$2 out=$3 tests=$4 start=$SECONDS rc test other
    shift 4
    # shellcheck disable=SC2086
    wanted "$script" && has "$script" $modules || return 0
    (cd "$tree" && "$python" "tests/oracle/$script" "$@") > "$work/log" 2>&1
    rc=$?
    for test in $tests; do
        [ $rc -eq 0 ] || break
        (cd "$tree" && "$BUILD/tests/$test") > "$work/log" 2>&1
        rc=$?
    done
    # shellcheck disable=SC2086
    other=$(cd "$tree/tests/oracle" && for path in $out; do
        diff -rq -x SHA256SUMS "$path" "$root/tests/oracle/$path"
    done | wc -l)
    told "$script" $rc $((SECONDS - start)) "  $other files with other bytes; $tests"
}

# The committed fixtures are those that their lists of digests name.
if wanted SHA256SUMS; then
    for list in tests/oracle/fixtures/*/SHA256SUMS tests/oracle/fixtures/*.sha256; do
        (cd "$(dirname "$list")" && sha256sum -c --quiet "$(basename "$list")") > "$work/log" 2>&1
        told "$(basename "$(dirname "$list")")/$(basename "$list")" $? 0 ""
    done
fi

tokens="engine/test_tokenizer engine/test_conversation"
makes bench_scores.py "" fixtures/bench pipeline/test_benchmarks_oracle
makes bench_xlsx.py "openpyxl pandas" fixtures/sheets pipeline/test_benchmarks_files "$BUILD"
makes io_images.py "PIL numpy" fixtures/images engine/test_image
makes image_processors.py "transformers PIL numpy safetensors" fixtures/processors \
    engine/test_image_views
makes io_parquet.py "pyarrow numpy" fixtures/parquet pipeline/test_parquet
makes io_tensors.py "torch safetensors" fixtures/tensors engine/test_safetensors
makes io_tokenizer_files.py "sentencepiece tokenizers" fixtures/tokenizers "$tokens"
makes io_sentencepiece.py "sentencepiece tokenizers" \
    "fixtures/tokenizers/sentencepiece fixtures/tokenizers/spm_unigram" "$tokens"
makes io_conversations.py tokenizers fixtures/conversations.json engine/test_conversation
makes io_templates.py tokenizers fixtures/templates.json engine/test_conversation
if wanted io_trained.py; then
    SEA_KEEP=$work/trained "$BUILD/tests/engine/test_tokenizer" training_is > /dev/null
    makes io_trained.py "tokenizers transformers" fixtures/tokenizers/trained.json \
        engine/test_tokenizer "$work/trained"
fi
makes lm_fixtures.py "torch transformers safetensors" fixtures/models engine/test_lm_families
makes towers.py "torch transformers safetensors" fixtures/towers engine/test_towers
makes clip_hf.py "torch transformers safetensors" clip_values.json engine/test_clip_hf \
    "$BUILD/tests/engine/test_clip_hf"
makes bf16_torch.py "torch transformers safetensors" fixtures/models_bf16.json engine/test_bf16 \
    "$BUILD"
if wanted io_unicode.py && has io_unicode.py tokenizers; then
    start=$SECONDS
    if ! "$python" -c 'import unicodedata as u; exit(u.unidata_version != "14.0.0")'; then
        skip io_unicode.py "its unicodedata is not Unicode 14.0.0 (Python 3.11 has that)"
    else
        "$python" tests/oracle/io_unicode.py 2> "$work/log" |
            diff - engine/tokenizer_tables.c >> "$work/log"
        told io_unicode.py $? $((SECONDS - start)) "  engine/tokenizer_tables.c is what it prints"
    fi
fi

compares io_parquet.py "pyarrow numpy" "$BUILD/sea" 500
compares families.py "torch transformers" "$BUILD/sea"
compares found_models.py "torch transformers peft safetensors" "$BUILD/sea"
compares found_folders.py "torch transformers tokenizers PIL safetensors" "$BUILD/sea"
compares lm_oracle.py "torch transformers safetensors" "$BUILD"
compares llava_folders.py "torch transformers tokenizers PIL" "$BUILD"
compares tuned_towers.py "torch transformers tokenizers PIL" "$BUILD"
compares align_torch.py "torch transformers tokenizers PIL" "$BUILD"
compares tune_torch.py "torch transformers peft PIL" "$BUILD"
compares image_processors.py "transformers PIL numpy safetensors" "$BUILD"
compares io_tokenizers.py "tokenizers sentencepiece" --sea "$BUILD/sea" \
    --texts "${TEXTS:-20000}"
if [ -n "${PUBLISHED:-}" ]; then
    compares published_scorers.py numpy "$BUILD/sea" 2000
elif wanted published_scorers.py; then
    skip published_scorers.py "PUBLISHED names no folder of checkouts (its head says which)"
fi
if [ -n "${CORENLP_JAR:-}" ]; then
    compares caption_tokens.py "" "$CORENLP_JAR" "$BUILD/sea"
elif wanted caption_tokens.py; then
    skip caption_tokens.py "CORENLP_JAR does not name stanford-corenlp-3.4.1.jar"
fi
echo "oracle: $passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
