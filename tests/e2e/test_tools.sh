#!/bin/bash
# The commands that look at one thing: a model, a text, a picture, an answer file, a plan.
. "$(dirname "$0")/lib.sh"
data=$work/data

# ---- the demo world: the same options give the same files ----

tiny_data "$data"
run "$sea" data scenes --out "$work/twin" --train 96 --eval 8 --kinds 12 --seed 1
check_same "data scenes twice gives the same files" "$data" "$work/twin"
check_equal "pictures, texts and questions are among them" yes \
    "$([ "$(find "$data" -name '*.png' | wc -l)" -gt 96 ] && [ -s "$data/train/pretrain.json" ] &&
       [ -s "$data/eval/pope/llava_pope_test.jsonl" ] && echo yes)"
run "$sea" data scenes --out "$data" --train 96 --eval 8 --kinds 12 --seed 1
check_match "data scenes on a finished folder does nothing" 'is there already' "$out"
run "$sea" data scenes --out "$work/other" --train 96 --eval 8 --kinds 12 --seed 2
check_equal "another seed gives other files" differ \
    "$(cmp -s "$data/train/pretrain.json" "$work/other/train/pretrain.json" || echo differ)"

quick_chain "$data" "$work/chain" tune
language=$work/chain/foundation/language
vision=$work/chain/foundation/vision
llava=$work/chain/tune/model

# ---- safetensors as od sees them ----

header_of() {                   # file
    local n
    n=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    tail -c +9 "$1" | head -c "$n"
}
data_size() {                   # file
    echo $(($(stat -c %s "$1") - 8 - $(od -An -tu8 -N8 "$1")))
}
floats() {                      # file
    tail -c +$((9 + $(od -An -tu8 -N8 "$1"))) "$1" | od -An -v -tf4 -w4
}

# ---- model ----

for model in "$language" "$vision" "$llava"; do
    run "$sea" model inspect "$model"
    check_rc "inspect $(basename "$model")" 0
    check_match "inspect $(basename "$model") counts parameters" 'parameters: [1-9]' "$out"
done
run "$sea" model inspect "$llava" --tensors
check_match "inspect --tensors lists tensors with type and shape" '^F32 +[a-z_.0-9]+ \[[0-9]+' "$out"
run "$sea" model inspect "$language" --json
check_match "inspect as JSON" '"model_type": *"llama"' "$(tr -d '\n' <<< "$out")"
words=$(grep -oE '"words": *[0-9]+' <<< "$out" | grep -oE '[0-9]+')

# ---- tokenize, detokenize ----

cat > "$work/texts" << 'TEXTS'
a cat and a dog
Is there a cat in the image?
A chat between a curious user and an assistant.
TEXTS
INPUT=$work/texts run "$sea" tokenize --model "$language"
check_rc "tokenize" 0
check_equal "tokenize gives a line per line" 3 "$(wc -l < "$work/stdout")"
check_match "of JSON lists of ids" '^\[[0-9]+(, ?[0-9]+)*\]$' "$(head -n 1 <<< "$out")"
cp "$work/stdout" "$work/ids"
INPUT=$work/ids run "$sea" detokenize --model "$language"
check_equal "detokenize gives the texts back" "$(cat "$work/texts")" "$out"
printf 'h\xc3\xa4user \xf0\x9f\x90\xb1  two blanks\n' > "$work/texts"
INPUT=$work/texts run "$sea" tokenize --model "$language"
cp "$work/stdout" "$work/ids"
INPUT=$work/ids run "$sea" detokenize --model "$language"
check_equal "also letters that were never trained on" "$(cat "$work/texts")" "$out"
echo '[1, 999999999]' > "$work/ids"
INPUT=$work/ids run "$sea" detokenize --model "$language"
check_error "an id that is no word" 65 '999999999'

# ---- logits, generate ----

prompt='a cat and a'
ids=$("$sea" tokenize --model "$language" <<< "$prompt" | tr -d '[] ')
run "$sea" model logits --model "$language" --ids "$ids" --out "$work/logits.safetensors" --device cpu:2
check_rc "logits" 0
count=$(tr ',' '\n' <<< "$ids" | wc -l)
check_match "logits are one float32 tensor of ids by words" \
    "\"logits\":\{\"dtype\":\"F32\",\"shape\":\[$count,$words\]" \
    "$(header_of "$work/logits.safetensors" | tr -d ' ')"
check_equal "with as many bytes" $((4 * count * words)) "$(data_size "$work/logits.safetensors")"
run "$sea" model logits --model "$language" --ids "$ids" --out "$work/logits1.safetensors" --device cpu:1
check_same "logits are the same bytes on one thread" "$work/logits.safetensors" \
    "$work/logits1.safetensors"
run "$sea" model generate --model "$language" --prompt "$prompt" --max-new 4 --ids-out
check_rc "generate" 0
check_match "generate --ids-out gives a list of ids" '^\[[0-9, ]*\]$' "$out"
check_equal "its first word is the one with the largest logit" \
    "$(floats "$work/logits.safetensors" | tail -n "$words" |
       awk 'NR == 1 || $1 > best { best = $1; at = NR - 1 } END { print at }')" \
    "$(tr -d '[] ' <<< "$out" | cut -d, -f1)"
run "$sea" model generate --model "$language" --prompt "$prompt" --max-new 4
check_rc "generate as text" 0
image=$(ls "$data"/train/images/*.png | head -n 1)
run "$sea" model generate --model "$llava" --image "$image" --prompt "What is there?" \
    --template v1 --max-new 4
check_rc "generate about a picture" 0
run "$sea" model generate --model "$language" --image "$image" --prompt x
check_error "a picture for a model that reads none" 64 'picture'
run "$sea" model logits --model "$language" --ids "1,$words" --out "$work/none.safetensors"
check_error "an id that the model does not have" 64 "$words"
check_none "which writes nothing" "$work/none.safetensors"

# One image token in the ids becomes the picture's patches: 6 x 6 of 12 pixels.
token=$(grep -oE '"image_token_(index|id)": *[0-9]+' "$llava/config.json" | head -n 1 | grep -oE '[0-9]+$')
run "$sea" model logits --model "$llava" --image "$image" --ids "1,${token:-0},5" \
    --out "$work/picture.safetensors"
check_rc "logits about a picture" 0
patches=$(header_of "$work/picture.safetensors" | tr -d ' ' | sed -nE 's/.*"shape":\[([0-9]+),.*/\1/p')
check_equal "have a row for each patch and each word" 38 "$patches"

# ---- image ----

run "$sea" image --model "$vision" --image "$image" --out "$work/square.safetensors"
check_rc "image" 0
check_match "the tower sees three channels of its size" '"dtype":"F32","shape":\[3,72,72\]' \
    "$(header_of "$work/square.safetensors" | tr -d ' ')"
check_equal "with as many bytes" $((4 * 3 * 72 * 72)) "$(data_size "$work/square.safetensors")"
check_equal "normalised: numbers around 0" yes \
    "$(floats "$work/square.safetensors" |
       awk '$1 < lo { lo = $1 } $1 > hi { hi = $1 } END { if (lo > -3 && hi < 3 && lo < hi) print "yes" }')"
run "$sea" image --model "$vision" --image "$image" --aspect pad --out "$work/pad.safetensors"
check_same "a square picture is the same when padded" "$work/square.safetensors" "$work/pad.safetensors"
run "$sea" image --model "$vision" --image "$work/none.png" --out "$work/none.safetensors"
check_error "a picture that is not there" 66 'none\.png'

# ---- score: answers made by hand, scores worked out by hand ----

bench=$work/bench
mkdir -p "$bench/coco"
metric() {                      # name: its value in the text of the last run
    awk -v name="$1" '$1 == name { print $2; exit }' "$work/stdout"
}

# POPE: 3 true and 2 false yes, 1 false and 2 true no.
ask() {                         # id, gold, answer
    local text='"text": "Is there a cat?'
    echo "{\"question_id\": $1, \"image\": \"p$1.png\", $text\\nAnswer briefly.\", \"category\": \"random\"}" \
        >> "$bench/q.jsonl"
    echo "{\"question_id\": $1, \"image\": \"p$1.png\", $text\", \"label\": \"$2\"}" \
        >> "$bench/coco/coco_pope_random.json"
    echo "{\"question_id\": $1, \"text\": \"$3\"}" >> "$bench/a.jsonl"
}
ask 1 yes 'Yes'
ask 2 yes 'yes, there is a cat.'
ask 3 yes 'Certainly. No doubt'
ask 4 yes 'No, there is none.'
ask 5 no 'Yes'
ask 6 no 'I see a cat'
ask 7 no 'There is not a cat'
ask 8 no 'no'
run "$sea" score pope --questions "$bench/q.jsonl" --answers "$bench/a.jsonl" \
    --annotations "$bench/coco"
check_rc "score pope" 0
check_equal "POPE accuracy: 5 of 8" 62.50 "$(metric accuracy)"
check_equal "POPE precision: 3 of 5" 60.00 "$(metric random/precision)"
check_equal "POPE recall: 3 of 4" 75.00 "$(metric random/recall)"
check_equal "POPE F1: 2 * 0.6 * 0.75 / 1.35" 66.67 "$(metric f1)"
check_equal "POPE share of yes: 5 of 8" 62.50 "$(metric yes_share)"
run "$sea" score pope --questions "$bench/q.jsonl" --answers "$bench/a.jsonl" \
    --annotations "$bench/coco" --json
check_match "as JSON at full precision" '"value": *0\.625[,} ]' "$out"
tac "$bench/a.jsonl" > "$bench/turned.jsonl"
run "$sea" score pope --questions "$bench/q.jsonl" --answers "$bench/turned.jsonl" \
    --annotations "$bench/coco" --rows "$bench/rows.jsonl"
check_equal "the order of answers does not matter" 62.50 "$(metric accuracy)"
check_equal "a row per question" 8 "$(wc -l < "$bench/rows.jsonl")"
sed 2d "$bench/a.jsonl" > "$bench/less.jsonl"
run "$sea" score pope --questions "$bench/q.jsonl" --answers "$bench/less.jsonl" \
    --annotations "$bench/coco"
check_error "a missing answer is refused" 65 '1 ' '"?2"?'
run "$sea" score pope --questions "$bench/q.jsonl" --answers "$bench/less.jsonl" \
    --annotations "$bench/coco" --allow-missing
check_match "or counted, when asked to" '1 answers missing' "$out"
sed 1p "$bench/a.jsonl" > "$bench/more.jsonl"
run "$sea" score pope --questions "$bench/q.jsonl" --answers "$bench/more.jsonl" \
    --annotations "$bench/coco"
check_error "a doubled answer is refused" 65 '"?1"?'

# GQA: 3 of 4; a period at the end and capitals do not matter, another word does.
rm -f "$bench"/*.jsonl
i=0 records=
for pair in 'left|Left.' 'yes|yes' 'red|dark red' 'table|TABLE'; do
    i=$((i + 1))
    echo "{\"question_id\": \"$i\", \"image\": \"$i.jpg\", \"text\": \"what?\"}" >> "$bench/q.jsonl"
    echo "{\"question_id\": \"$i\", \"text\": \"${pair#*|}\"}" >> "$bench/a.jsonl"
    records="$records${records:+, }\"$i\": {\"answer\": \"${pair%|*}\", \"isBalanced\": true,
        \"types\": {\"structural\": \"query\", \"semantic\": \"attr\"}}"
done
echo "{$records}" > "$bench/testdev_balanced_questions.json"
run "$sea" score gqa --questions "$bench/q.jsonl" --answers "$bench/a.jsonl" \
    --annotations "$bench/testdev_balanced_questions.json"
check_rc "score gqa" 0
check_equal "GQA accuracy: 3 of 4" 75.00 "$(metric accuracy)"

# VQAv2: all ten agree: 1. Two of ten say so: (2 * 1/3 + 8 * 2/3) / 10 = 0.6.
rm -f "$bench"/*.jsonl
people() {                      # answers
    local n=0 word
    for word in "$@"; do
        n=$((n + 1))
        printf '%s{"answer": "%s", "answer_confidence": "yes", "answer_id": %d}' \
            "$([ $n -eq 1 ] || echo ', ')" "$word" $n
    done
}
for i in 1 2; do
    echo "{\"question_id\": $i, \"image\": \"$i.jpg\", \"text\": \"what?\"}" >> "$bench/q.jsonl"
done
echo '{"question_id": 1, "text": "red"}' > "$bench/a.jsonl"
echo '{"question_id": 2, "text": "Two."}' >> "$bench/a.jsonl"
echo "{\"annotations\": [
    {\"question_id\": 1, \"image_id\": 1, \"question_type\": \"what\", \"answer_type\": \"other\",
     \"multiple_choice_answer\": \"red\",
     \"answers\": [$(people red red red red red red red red red red)]},
    {\"question_id\": 2, \"image_id\": 2, \"question_type\": \"how\", \"answer_type\": \"number\",
     \"multiple_choice_answer\": \"3\", \"answers\": [$(people 2 2 3 3 3 3 3 3 3 3)]}]}" \
    > "$bench/v2_mscoco_val2014_annotations.json"
echo '{"questions": [{"question_id": 1, "image_id": 1, "question": "what?"},
    {"question_id": 2, "image_id": 2, "question": "what?"}]}' \
    > "$bench/v2_OpenEnded_mscoco_val2014_questions.json"
run "$sea" score vqav2 --questions "$bench/q.jsonl" --answers "$bench/a.jsonl" \
    --annotations "$bench/v2_mscoco_val2014_annotations.json"
check_rc "score vqav2" 0
check_equal "VQAv2 accuracy: (1 + 0.6) / 2" 80.00 "$(metric accuracy)"
run "$sea" score --list
check_equal "score --list names the benchmarks" 5 \
    "$(grep -cE '^(vqav2|gqa|scienceqa|pope|mmbench) ' <<< "$out")"

# ---- config, plan ----

run "$sea" config check "$tiny"
check_equal "config check names the experiments of the sweep" 2 "$(wc -l < "$work/stdout")"
check_match "and their values" 'lambda=0$' "$out"
cp "$work/chain.json" "$work/resolved.json"
run "$sea" config check "$work/resolved.json" --json
check_equal "a resolved experiment resolves to itself" "$(cat "$work/resolved.json")" "$out"
for file in configs/experiments/*.yaml; do
    run "$sea" config check "$file"
    check_rc "$file is a good experiment file" 0
done
run "$sea" config doc
check_match "config doc describes every key" '`stages.align.lambda`' "$out"
run "$sea" config errors
check_match "config errors lists the exit statuses" '`E_CONFIG` \| 64' "$out"
tiny_sets "$data"
run "$sea" plan "$tiny" "${sets[@]}"
check_rc "plan" 0
for stage in foundation label align tune eval; do
    check_match "plan tells about $stage" "$stage" "$out"
done
check_match "plan tells memory" '[0-9.]+ *(B|KiB|MiB|GiB|bytes)' "$out"
check_match "plan tells arithmetic" 'FLOP' "$out"
run "$sea" plan "$tiny" "${sets[@]}" --json
check_match "plan as JSON" '^[[{]' "$out"
run "$sea" plan "$tiny" "${sets[@]}" --set "data.pretrain.json=$work/none.json"
check_error "a plan with data that is not there" 66 'none\.json'

# What would be told behind hours of other stages is told at once.
unusable() {                    # name, status, words of the error; --set of sea plan
    local name=$1 rc=$2 words=$3
    shift 3
    run "$sea" plan "$tiny" "${sets[@]}" "$@"
    check_error "$name" "$rc" "$words"
}
for model in weights tokenizer; do
    mkdir -p "$work/without"
    cp -r "$language" "$work/without/$model"
done
rm "$work/without/tokenizer/tokenizer.json"
mv "$work/without/weights/model.safetensors" "$work/without/weights/pytorch_model.bin"
unusable "a plan with a model that has no tokenizer" 66 'tokenizer.json' \
    --set "model.language.path=$work/without/tokenizer"
unusable "a plan with weights of the other kind" 66 'pytorch_model.bin' \
    --set "model.language.path=$work/without/weights"
cp -r "$language" "$work/without/layer"
sed -i 's/"num_hidden_layers": *[0-9]*/"num_hidden_layers": 9/' "$work/without/layer/config.json"
unusable "a plan with weights that are not those of the config" 65 'no tensor "model.layers' \
    --set "model.language.path=$work/without/layer"
run "$sea" plan "$work/without/layer"
check_error "the plan of such a folder" 65 'no tensor "model.layers'
unusable "a plan with a folder that is no model" 66 'model.language.path: no config.json' \
    --set "model.language.path=$data"
unusable "a plan with a layer that the tower has not" 64 'model.vision.layer is -9' \
    --set "model.vision.path=$vision" --set model.vision.layer=-9
unusable "a plan with a suite whose files are not there" 66 'benchmark pope: there is no "nowhere/pope' \
    --set eval.root=nowhere
unusable "a plan with a list of words that is not there" 66 'stages.label.words: there is no file' \
    --set label.words=none.txt

# LLaVA's own layout, with a tower in a folder of its own that alone says how pictures are prepared.
own=$work/own
tiny_config "$data" "$work/own.json" --set model.adapter=mlp1x_gelu
run "$sea" stage align --config "$work/own.json" --in "foundation=$work/chain/foundation" \
    --in "label=$work/chain/label" --out "$own/align"
run "$sea" stage tune --config "$work/own.json" --in "foundation=$work/chain/foundation" \
    --in "align=$own/align" --out "$own/tune"
check_rc "an adapter of one layer is tuned" 0
check_file "and written in LLaVA's own layout" "$own/tune/model/vision_tower/config.json"
mv "$own/tune/model/preprocessor_config.json" "$own/tune/model/vision_tower"
run "$sea" plan "$own/tune/model"
check_match "the plan of such a folder" 'together' "$out$err"
run "$sea" image --model "$own/tune/model" --image "$(ls -d "$data"/train/images/* | head -n 1)" \
    --out "$work/own.safetensors"
check_rc "pictures are prepared as its tower says" 0
printf '{"name": "further", "model": {"path": "%s"}, "data": {"instruct": {"json": "%s", "images": "%s"}},
"stages": {"tune": {"steps": 2, "batch": 4}}}' "$own/tune/model" "$data/train/instruct.json" \
    "$data/train/images" > "$work/further.json"
run "$sea" stage tune --config "$work/further.json" --out "$own/further"
check_rc "and it is tuned further" 0

# ---- doctor, bench, help ----

run "$sea" doctor --data "$work/service"
check_match "doctor describes the CPU" '^ok +cpu ' "$out"
check_match "and says what is wrong and how to mend it" 'sea up' "$out"
run "$sea" doctor --data "$work/service" --json
check_match "doctor as JSON" '"topic":"cpu","state":"ok"' "$out"
run "$sea" bench gemm --device cpu:1
check_match "bench gemm prints speeds" 'GFLOP' "$out$err"
run "$sea" --version
check_match "--version" '^sea [0-9]' "$out"
run "$sea" --help
check_rc "--help" 0
commands=$(sed -nE 's/^  sea ([a-z]+) .*/\1/p' <<< "$out" | sort -u)
check_equal "--help lists the commands" 32 "$(wc -w <<< "$commands")"
for command in $commands; do
    run "$sea" "$command" --help
    if [ "$rc" -eq 0 ] && [[ $out = "sea $command: "*"
usage: sea $command"* ]] && [ -z "$err" ]; then
        ok "$command --help"
    else
        bad "$command --help" 'expected: exit status 0, what it does, "usage: sea %s"\ngot: %s, %s%s\n' \
            "$command" "$rc" "$out" "$err"
    fi
done
run "$sea"
check_rc "no command at all" 64

finish test_tools
