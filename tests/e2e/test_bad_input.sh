#!/bin/bash
# Every bad input gives one message that says what, where, what was expected and what to do,
# with the exit status of its kind, and nothing half-written.
. "$(dirname "$0")/lib.sh"
data=$work/data

tiny_data "$data"
quick_chain "$data" "$work/chain" label
chain=$work/chain

# ---- experiment files ----

printf 'name: x\nmodel: {\n  vision: [\n' > "$work/broken.yaml"
run "$sea" config check "$work/broken.yaml"
check_error "malformed YAML" 64 'broken\.yaml(:|" line )[34]'
printf 'name: x\nseed: 1\nstages:\n  align: {lamda: 1.0}\n' > "$work/unknown.yaml"
run "$sea" config check "$work/unknown.yaml"
check_error "an unknown key" 64 'unknown\.yaml(:|" line )4' 'stages.align.lamda' \
    'hint: .*align\.lambda'
# An experiment that is complete but for what is added at its end, from line 6 on.
experiment() {                  # lines of stages.align
    printf '%s\n' 'name: x' \
        'model: {vision: {path: clip}, language: {path: llama}}' \
        'data: {pretrain: {json: a.json, images: a}, instruct: {json: b.json, images: b}}' \
        'stages:' '  align:' "    $1" '  tune: {}'
}
experiment 'lambda: 0.5' > "$work/good.yaml"
run "$sea" config check "$work/good.yaml"
check_rc "a file without fault" 0
experiment 'lambda: -3' > "$work/value.yaml"
run "$sea" config check "$work/value.yaml"
check_error "an impossible value" 64 'value\.yaml(:|" line )6' 'stages.align.lambda' '-3' \
    'expected.*0'
experiment 'steps: many' > "$work/type.yaml"
run "$sea" config check "$work/type.yaml"
check_error "a value of the wrong type" 64 'type\.yaml(:|" line )6' 'many' 'expected.*number'
experiment 'window_pick: middle' > "$work/choice.yaml"
run "$sea" config check "$work/choice.yaml"
check_error "a value that is no choice" 64 'middle' 'uniform' 'score'
printf 'name: x\nname: y\n' > "$work/twice.yaml"
run "$sea" config check "$work/twice.yaml"
check_error "a key given twice" 64 'twice\.yaml(:|" line )2' 'name'
printf 'name: x\nseed: [1\n' > "$work/json.json"
run "$sea" config check "$work/json.json"
check_error "malformed JSON" 64 'json\.json'
: > "$work/empty.yaml"
run "$sea" config check "$work/empty.yaml"
check_error "an empty file" 64 'empty\.yaml'
run "$sea" config check "$work/nothing.yaml"
check_error "a file that is not there" 66 'nothing\.yaml'
printf 'name: x\nstages: {eval: {}}\n' > "$work/missing.yaml"
run "$sea" config check "$work/missing.yaml"
check_error "a key that a stage needs" 64 'is missing' 'stage [a-z]+ needs it'
run "$sea" config check "$tiny" --set align.lamda=1
check_error "an unknown key in --set" 64 'align.lamda' 'hint: .*align\.lambda'
run "$sea" config check "$tiny" --set align.lambda
check_error "a --set without a value" 64 'align.lambda'
run "$sea" stage align --config "$tiny" --out "$work/out"
check_error "a sweep given to a stage" 64 'sweep|experiments' '--set|plan'
check_none "a refused configuration leaves no folder" "$work/out"

# ---- data ----

pictures=$work/pictures
mkdir "$pictures"
cp "$data"/train/images/* "$pictures"
picture=$(ls "$pictures" | head -n 1)
row() {                         # id, picture
    printf '{"id":"%s","image":"%s","conversations":[{"from":"human","value":"<image>\\nwhat?"},' \
        "$1" "$2"
    printf '{"from":"gpt","value":"a cat and a dog and a house"}]}'
}
# Stage label on rows given as JSON, with pictures from $pictures.
label_rows() {                  # rows
    rm -rf "$work/out"
    printf '%s\n' "$1" > "$work/rows.json"
    run "$sea" config check "$tiny" --json "${sets[@]}" --set align.lambda=1.0 --set seed=1 \
        --set "data.pretrain.json=$work/rows.json" --set "data.pretrain.images=$pictures" \
        --set data.pretrain.objects=null --set label.min_count=1
    cp "$work/stdout" "$work/rows-config.json"
    run "$sea" stage label --config "$work/rows-config.json" \
        --in "foundation=$chain/foundation" --out "$work/out"
}
nothing_written() {             # what
    check_none "$1: nothing looks finished" "$work/out/manifest.json"
}

label_rows "[$(row a "$picture"), $(row b "$picture")]"
check_rc "two good rows are fine" 0
label_rows "[$(row a "$picture"), $(row b gone.png)]"
check_error "a picture that is not there" 66 'gone\.png' 'row 1' 'rows\.json'
nothing_written "a picture that is not there"
label_rows "[$(row a "$picture"), {\"id\": \"b\", \"image\": \"$picture\"}]"
check_error "a row without conversations" 65 'rows\.json' 'row 1' '"b"' 'conversations' 'missing'
nothing_written "a row without conversations"
label_rows "[$(row a "$picture"), {\"id\": \"b\", \"conversations\": []}]"
check_error "a row without turns" 65 'rows\.json' 'row 1'
label_rows "[$(row a "$picture"), $(row b ../secret.png)]"
check_error "a picture outside of its folder" 65 'row 1' 'secret' '\.\.'
label_rows "[$(row a "$picture"), "
check_error "a JSON file that ends too early" 65 'rows\.json'
label_rows '[]'
check_error "a file without rows" 65 'rows\.json' '0 rows'
label_rows '{"a": 1}
not json'
check_error "a file that is no list of rows" 65 'rows\.json'

# A small picture of our own as JPEG; whole it is read, cut off it is not.
base64 -d > "$pictures/whole.jpg" << 'JPEG'
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDACgcHiMeGSgjISMtKygwPGRBPDc3PHtYXUlkkYCZlo+AjIqgtObDoKrarYqMyP/L
2u71////m8H////6/+b9//j/2wBDASstLTw1PHZBQXb4pYyl+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4
+Pj4+Pj4+Pj4+Pj4+Pj/wAARCABIAEgDASIAAhEBAxEB/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAA
AgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6
Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXG
x8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/8QAHwEAAwEBAQEBAQEBAQAAAAAAAAECAwQFBgcICQoL/8QAtREA
AgECBAQDBAcFBAQAAQJ3AAECAxEEBSExBhJBUQdhcRMiMoEIFEKRobHBCSMzUvAVYnLRChYkNOEl8RcYGRomJygpKjU2Nzg5
OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6goOEhYaHiImKkpOUlZaXmJmaoqOkpaanqKmqsrO0tba3uLm6wsPE
xcbHyMnK0tPU1dbX2Nna4uPk5ebn6Onq8vP09fb3+Pn6/9oADAMBAAIRAxEAPwDKApwFKBSgV1XJTEApQKcBSgVNzVMQClAp
wFKBSuaJiAUoFOApQKm5qmIBRTgKKVzRMrgUoFOApQKu55SYgFKBSgU4CpuaJiAUoFKBTgKVzVMaBTgKUCnAVNzRMaBRTwKK
VzRMrAU4ClApwFXc8pMaBTgKUCnAVNzRMaBTgKUClApXNUxAKUCnAUoFTc0TEAop4FFK5omVgKcBSgUoFXc8pMQClApwFKBU
3NUxAKUCnAUoFK5omIBSgU4ClAqbmqYgFFOAopXLTK4FKBRRVnlocBSgUUUjVCgU4CiipNEKBTgKKKRohQKKKKRoj//Z
JPEG
label_rows "[$(row a whole.jpg)]"
check_rc "a whole JPEG is read" 0
head -c 780 "$pictures/whole.jpg" > "$pictures/cut.jpg"
label_rows "[$(row a "$picture"), $(row b cut.jpg)]"
check_error "a JPEG that ends too early" 65 'cut\.jpg' 'ends|early|[Pp]remature|cut off|truncated'
nothing_written "a JPEG that ends too early"
head -c 500 "$pictures/whole.jpg" > "$pictures/head.jpg"
label_rows "[$(row a "$picture"), $(row b head.jpg)]"
check_error "a JPEG that ends before its pixels begin" 65 'head\.jpg'
# A PNG whose header declares 100000 x 100000 pixels: 30 GB, in 69 bytes.
base64 -d > "$pictures/bomb.png" << 'PNG'
iVBORw0KGgoAAAANSUhEUgABhqAAAYagCAIAAAAnMJyfAAAADElEQVR4nGNgoAwAAABAAAG3NHzvAAAAAElFTkSuQmCC
PNG
label_rows "[$(row a "$picture"), $(row b bomb.png)]"
check_error "a picture that declares 100000 x 100000 pixels" 65 'bomb\.png' '100000 x 100000'
nothing_written "a picture that declares 100000 x 100000 pixels"
echo '<html>404</html>' > "$pictures/page.png"
label_rows "[$(row a page.png)]"
check_error "a page of a web server instead of a picture" 65 'page\.png' 'JPEG, PNG or WebP'
: > "$pictures/empty.png"
label_rows "[$(row a empty.png)]"
check_error "an empty picture" 65 'empty\.png'

# ---- models ----

run "$sea" model inspect "$work/no-such-model"
check_error "a model folder that is not there" 66 'no-such-model'
mkdir "$work/hollow"
cp "$chain/foundation/language/config.json" "$work/hollow"
run "$sea" model inspect "$work/hollow"
check_error "a model folder without weights" 66 'hollow' 'safetensors'
model=$work/model
cp -r "$chain/foundation/language" "$model"
chmod -R u+w "$model"
whole=$(stat -c %s "$model/model.safetensors")
truncate -s $((whole - 1000)) "$model/model.safetensors"
run "$sea" model inspect "$model"
check_error "safetensors that end too early" 65 'model/model\.safetensors' 'tensor "'
cp -f "$chain/foundation/language/model.safetensors" "$model"
chmod u+w "$model/model.safetensors"
printf '\377\377\377\377\377\377\377\177' |
    dd of="$model/model.safetensors" conv=notrunc status=none
run "$sea" model inspect "$model"
check_error "safetensors with a header of an impossible size" 65 'model/model\.safetensors' 'header'
printf 'not a model' > "$model/model.safetensors"
run "$sea" model generate --model "$model" --prompt x
check_error "a text instead of safetensors" 65 'model/model\.safetensors'
cp -f "$chain/foundation/language/model.safetensors" "$model"
echo '{"model_type": "llama", "hidden_size": "many"}' > "$model/config.json"
run "$sea" model inspect "$model"
check_error "a model's config.json with a text for a number" 65 'model' 'hidden_size'
run "$sea" config check "$tiny" --json "${sets[@]}" --set align.lambda=1.0 --set seed=1 \
    --set "model.vision.path=$work/no-such-model"
cp "$work/stdout" "$work/model-config.json"
rm -rf "$work/out"
run "$sea" stage label --config "$work/model-config.json" --in "foundation=$chain/foundation" \
    --out "$work/out"
check_error "a stage with a model folder that is not there" 66 'no-such-model'
check_none "and without any output" "$work/out/manifest.json"

# ---- an input that was changed after it was made ----

cp -r "$chain/foundation" "$work/changed"
chmod -R u+w "$work/changed"
truncate -s -4 "$work/changed/vision/model.safetensors"
run "$sea" stage label --config "$chain.json" --in "foundation=$work/changed" --out "$work/out2"
check_error "an input whose file has another size than its manifest says" 65 \
    'vision/model\.safetensors'
rm "$work/changed/vision/model.safetensors"
run "$sea" stage label --config "$chain.json" --in "foundation=$work/changed" --out "$work/out2"
check_error "an input that lacks a file" 66 'vision/model\.safetensors'
rm "$work/changed/manifest.json"
run "$sea" stage label --config "$chain.json" --in "foundation=$work/changed" --out "$work/out2"
check_error "an input that is not finished" 66 'manifest\.json'

# ---- answers ----

pope=$data/eval/pope
head -n 3 "$pope/llava_pope_test.jsonl" |
    sed -E 's/.*"question_id": *"?([0-9]+)"?.*/{"question_id": \1, "text": "yes"}/' > "$work/few.jsonl"
run "$sea" score pope --questions "$pope/llava_pope_test.jsonl" --answers "$work/few.jsonl" \
    --annotations "$pope/coco"
check_error "answers that are missing" 65 'few\.jsonl|pope' '[0-9]+ .*(answer|question)'
echo 'yes' > "$work/few.jsonl"
run "$sea" score pope --questions "$pope/llava_pope_test.jsonl" --answers "$work/few.jsonl" \
    --annotations "$pope/coco"
check_error "answers that are no JSON" 65 'few\.jsonl'
run "$sea" score pope --questions "$pope/llava_pope_test.jsonl" --answers "$work/none.jsonl" \
    --annotations "$pope/coco"
check_error "answers that are not there" 66 'none\.jsonl'
run "$sea" score popr --questions "$pope/llava_pope_test.jsonl" --answers "$work/few.jsonl"
check_error "an unknown benchmark" 64 'popr' 'pope'

# ---- commands, options, devices ----

run "$sea" leaderbord
check_error "an unknown command" 64 'leaderbord' 'sea --help'
run "$sea" submit --wiat x.yaml
check_error "an unknown option" 64 'wiat' '--help'
run "$sea" status x
check_error "an id that is none, before anybody is connected to" 64 '"x" is not an id'
run "$sea" leaderboard --format xml
check_error "a format that is none, too" 64 'unknown format "xml"'
"$sea" --version >&- 2> /dev/null
check_equal "a closed output is an error" 74 $?
"$sea" --help > /dev/full 2> /dev/null
check_equal "a full one, too" 74 $?
# Else the next file, or the connection to PostgreSQL, would get its number and what is meant for people.
mkfifo "$work/pipe"
"$sea" tokenize --model "$chain/foundation/language" < "$work/pipe" >&- 2>&- &
exec 9> "$work/pipe"
held=
for _ in $(seq 50); do
    held=$(readlink "/proc/$!/fd/1" "/proc/$!/fd/2" | tr '\n' ' ')
    [ "$held" = '/dev/null /dev/null ' ] && break # before main, the loader has libraries open there
    sleep 0.1
done
check_equal "and its place is held" '/dev/null /dev/null ' "$held"
exec 9>&-
wait $!
run "$sea" submit
check_error "a missing argument" 64 'Usage: sea submit'
run "$sea" up --workers many
check_error "a text for a number" 64 '--workers' 'many'
run "$sea" stage sing --config "$chain.json" --out "$work/out3"
check_error "an unknown stage" 64 'sing' 'foundation'
run "$sea" stage foundation --config "$chain.json" --out "$work/out3" --device banana
check_error "an unknown device" 64 'banana' 'cpu'
run "$sea" stage foundation --config "$chain.json" --out "$work/out3" --device cuda:99
check_error "a GPU that is not there" 69 'CUDA (device 99|back end)'
run "$sea" data scenes --out "$work/data3" --train 10 --eval 8 --kinds 100000
check_error "impossible options of the demo world" 64 'kinds'
check_none "which makes no folder" "$work/data3"
run "$sea" data scenes --out "$data" --train 97 --eval 8 --kinds 12
check_error "a folder with other scenes" 64 "$(basename "$data")"

# ---- PostgreSQL is not there ----

run "$sea" submit "$tiny" "${sets[@]}" --data "$work/service"
check_error "submit without PostgreSQL" 69 'hint: .*sea up'
run "$sea" leaderboard --data "$work/service"
check_error "leaderboard without PostgreSQL" 69 'hint: .*sea up'
SEA_DATABASE_URL='host=127.0.0.1 port=1 user=sea dbname=sea connect_timeout=2' \
    run "$sea" status
check_error "a server of the user's that does not answer" 69 'SEA_DATABASE_URL'

# ---- a reader that goes away, a writer that cannot write ----

yes 'a cat and a dog' | head -n 20000 |
    timeout 60 "$sea" tokenize --model "$chain/foundation/language" 2> "$work/stderr" | head -n 1 > /dev/null
check_equal "a reader that goes away is an ordinary end" 0 "${PIPESTATUS[2]}"
check_equal "without a message" "" "$(cat "$work/stderr")"
"$sea" config doc > /dev/full 2> "$work/stderr"
rc=$? err=$(cat "$work/stderr")
check_error "a disk that is full for standard output" 74 'standard output'

# ---- the disk gets full while a checkpoint is written ----

disk_full() {
    local disk=$work/disk child
    mkdir "$disk"
    if [ "$(id -u)" -ne 0 ] || ! mount -t tmpfs -o size=64m tmpfs "$disk" 2> /dev/null; then
        skip "disk full during a checkpoint" "needs the right to mount a tmpfs"
        return
    fi
    mounts+=("$disk")
    tiny_config "$data" "$work/full.json" "${quick_steps[@]}" --set align.steps=400 \
        --set align.checkpoint_every=10
    local options=(align --config "$work/full.json" --in "foundation=$chain/foundation"
                   --in "label=$chain/label" --device cpu:2)
    run "$sea" stage "${options[@]}" --out "$work/reference"
    check_rc "a run with enough space" 0
    start_stage "$work/full.jsonl" "${options[@]}" --out "$disk/out"
    wait_until 60 has_checkpoints "$work/full.jsonl" 1
    head -c 100M /dev/zero > "$disk/filler" 2> /dev/null
    wait "$child"
    rc=$? err=$(cat "$work/child.err")
    check_error "disk full during a checkpoint" 74 'checkpoint|disk|space'
    check_none "nothing looks finished" "$disk/out/manifest.json"
    check_match "a complete checkpoint is still there" '^[1-9]' "$(complete_checkpoints "$disk/out")"
    rm "$disk/filler"
    run "$sea" stage "${options[@]}" --out "$disk/out"
    check_rc "with space again, the run goes on to its end" 0
    check_match "from its checkpoint" 'going on' "$err"
    check_same "and leaves the same bytes as one that had space" "$work/reference" "$disk/out"
}
disk_full

finish test_bad_input
