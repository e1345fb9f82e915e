#!/bin/bash
# Parquet by the command line: what a data set holds, as JSON and pictures, and a benchmark that
# is scored from it as from the published files.
. "$(dirname "$0")/lib.sh"
sets=tests/oracle/fixtures/parquet

run "$sea" data parquet "$sets/gzip-v2-plain.parquet" --head 2
check_rc "data parquet shows a file" 0
check_match "it counts rows and row groups" 'gzip-v2-plain.parquet: 40 rows in 3 row groups' "$out"
check_match "it lists columns" 'answers.list.element.answer_id +int64 +gzip' "$out"
check_match "it knows pictures" 'image.bytes +picture' "$out"
check_equal "it shows as many rows as it should" 2 "$(grep -c '^{' <<< "$out")"
run "$sea" data parquet "$sets/test-*.parquet" --json --head 1
check_rc "data parquet --json" 0
check_match "shards are one data set" '"rows": 40' "$out"

run "$sea" data parquet "$sets/gzip-v2-plain.parquet" --out "$work/rows.json"
check_rc "data parquet --out" 0
check_equal "as a list" 40 "$(grep -c '^{"question_id":' "$work/rows.json")"
check_match "with everything in it" '"answers":.."answer":"a0","answer_id":0,"answer_confidence":null' \
    "$(sed -n 3p "$work/rows.json")"
run "$sea" data parquet "$sets/hub/pope.parquet" --out "$work/pope.jsonl" --images "$work/pictures"
check_rc "data parquet --images" 0
check_equal "six rows" 6 "$(wc -l < "$work/pope.jsonl")"
check_equal "that share two pictures" 2 "$(find "$work/pictures" -type f | wc -l)"
check_match "by their names" '"image":"00000001-image.png"' "$(tail -n 1 "$work/pope.jsonl")"

for split in adversarial popular random; do
    for id in 1 2; do
        echo "{\"question_id\": \"$split/$id\", \"prompt\": \"\", \"text\": \"yes\"}"
    done
done > "$work/answers.jsonl"
run "$sea" score pope --questions "$sets/hub/pope.parquet" --answers "$work/answers.jsonl"
check_rc "score --questions F.parquet" 0
check_match "questions, answers and splits are in it" '^ +adversarial/accuracy +50.00' "$out"
printf '{"question_id": "0%s", "text": "cat"}\n' 0 1 2 > "$work/gqa.jsonl"
run "$sea" score gqa --questions "$sets/hub/testdev_balanced_instructions" --answers "$work/gqa.jsonl"
check_rc "score --questions FOLDER" 0
check_match "gold answers of a folder" '^ +accuracy +33.33' "$out"

run "$sea" data parquet "$sets/brotli.parquet"
check_error "a codec that is not read" 65 'row group 0, column "question_id": is packed with Brotli'
run "$sea" data parquet "$sets/hub"
check_error "a folder of several splits" 64 'splits' 'Name one: '
head -c 9000 "$sets/none-v1-dictionary.parquet" > "$work/torn.parquet"
run "$sea" score pope --questions "$work/torn.parquet" --answers "$work/answers.jsonl"
check_error "a file that was not downloaded to its end" 65 'does not end with its mark' 'torn.parquet'
run "$sea" data parquet "$sets/rows.json"
check_error "a file of another kind" 65 'does not begin with its mark PAR1'
run "$sea" data parquet "$sets/brotli.parquet" --images "$work/pictures"
check_error "pictures without rows" 64 'needs --out'
run "$sea" data parquet
check_error "no file" 64 'usage|Usage'

finish test_parquet
