#!/bin/sh
# A stage program for tests of the worker: called like `sea stage NAME ...`. Counts "steps" up
# to a sum, with events, checkpoints, resumption and a manifest as the real ones have. The
# config's "mode" chooses what goes wrong.
shift
name=$1
shift
ins=
while [ $# -gt 0 ]; do
    case $1 in
    --config) config=$2 ;;
    --out) out=$2 ;;
    --in) ins="$ins $2" ;;
    --events) events=$2 ;;
    --device) device=$2 ;;
    esac
    shift 2
done
field() { sed -n "s/.*\"$1\": *\"\{0,1\}\([a-zA-Z0-9_.]*\).*/\1/p" "$config" | head -n 1; }
mode=$(field mode)
steps=$(field steps)
pause=$(field pause)
seed=$(field seed)
bytes=$(field bytes)
say() { printf '%s\n' "$1" >&3; }
[ "$events" = 3 ] || exit 64
for pair in $ins; do
    [ -f "${pair#*=}/manifest.json" ] || { echo "no manifest in $pair" >&2; exit 66; }
done
case $mode in
invalid)
    say '{"t":"error","status":"E_FORMAT","message":"row 5 has no caption","hint":"Mend it."}'
    exit 65 ;;
error) echo "the disk is full" >&2; exit 74 ;;
noservice) exit 69 ;;
garbage) say 'this is no event'; say '{"t":"metric"'; printf 'half a line' >&3 ;;
nomanifest) exit 0 ;;
deaf) trap '' TERM ;;
gpus) say "{\"t\":\"log\",\"level\":\"info\",\"text\":\"sees ${CUDA_VISIBLE_DEVICES-all} as $device\"}" ;;
esac
[ "$mode" = deaf ] || trap 'stopped=1' TERM

at=0
sum=0
newest=$(ls "$out/checkpoint" 2>/dev/null | grep '^step-[0-9]*$' | sort | tail -n 1)
if [ -n "$newest" ] && [ -f "$out/checkpoint/$newest/DONE" ]; then
    read -r at sum < "$out/checkpoint/$newest/state"
    say "{\"t\":\"log\",\"level\":\"info\",\"text\":\"resumed at $at\"}"
fi
save() {
    folder=$(printf 'checkpoint/step-%08d' "$at")
    mkdir -p "$out/$folder.tmp"
    echo "$at $sum" > "$out/$folder.tmp/state"
    printf '{"files":[{"path":"state","bytes":%d}]}' "$(wc -c < "$out/$folder.tmp/state")" \
        > "$out/$folder.tmp/DONE"
    rm -rf "${out:?}/$folder"
    mv "$out/$folder.tmp" "$out/$folder"
    say "{\"t\":\"checkpoint\",\"path\":\"$folder\",\"step\":$at}"
}
while [ "$at" -lt "${steps:-10}" ]; do
    at=$((at + 1))
    sum=$((sum + at))
    say "{\"t\":\"metric\",\"name\":\"$name.sum\",\"step\":$at,\"value\":$sum}"
    say "{\"t\":\"progress\",\"done\":$at,\"total\":${steps:-10},\"unit\":\"steps\"}"
    [ $((at % 5)) -ne 0 ] || save
    [ -z "$pause" ] || sleep "$pause"
    if [ -n "$stopped" ]; then
        save
        exit 75
    fi
done
while [ "$mode" = gate ] && [ ! -e "$FAKE_STAGE_GATE" ]; do
    sleep 0.05
done
rm -rf "$out/checkpoint"
echo "$name $seed $sum" > "$out/result.txt"
if [ "${bytes:-0}" -gt 0 ] && ! head -c "$bytes" /dev/zero >> "$out/result.txt" 2>&1; then
    say '{"t":"error","status":"E_IO","cause":"errno 28","message":"could not write \"result.txt\": No space left on device","hint":"Free space."}'
    exit 74
fi
if [ "$name" = eval ]; then
    mkdir -p "$out/rows"
    i=0
    while [ $i -lt 600 ]; do
        printf '{"id":%d,"cluster":"c%d","prompt":"p","text":"a\\u0000b","score":%d}\n' \
            $i $((i / 3)) $((i % 2))
        i=$((i + 1))
    done > "$out/rows/pope.jsonl"
    printf '%s' '{"benchmarks":[{"name":"pope","split":"random","control":false,"n":600,' \
        '"metrics":[{"name":"accuracy","value":0.5,"scale":100,"n":600,"se":0.02,"low":0.46,' \
        '"high":0.54},{"name":"nothing","value":null,"n":600}],"rows":"rows/pope.jsonl",' \
        '"judge":{"model":"grader","served":"grader-2","prompts_sha256":"0123456789abcdef"}}]}' \
        > "$out/scores.json"
fi
files=
lines=$out/../lines
: > "$lines"
for file in $(cd "$out" && find . -type f | sed 's,^\./,,' | LC_ALL=C sort); do
    hash=$(sha256sum "$out/$file" | cut -d' ' -f1)
    size=$(wc -c < "$out/$file")
    files="$files${files:+,}{\"path\":\"$file\",\"bytes\":$size,\"sha256\":\"$hash\"}"
    printf '%s\0%s\0%s\n' "$file" "$hash" "$size" >> "$lines"
done
digest=$(sha256sum "$lines" | cut -d' ' -f1)
key=$(printf '%064d' "$seed")
[ "$mode" != corrupt ] || echo changed >> "$out/result.txt"
printf '{"stage":"%s","key":"%s","digest":"%s","files":[%s]}\n' "$name" "$key" "$digest" "$files" \
    > "$out/manifest.json"
exit 0
