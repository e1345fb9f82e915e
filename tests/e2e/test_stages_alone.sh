#!/bin/bash
# The five stages by hand, without PostgreSQL: they end with whole folders, do nothing twice,
# and leave the same bytes however often and however hard they are stopped on the way, and
# on however many threads they run.
. "$(dirname "$0")/lib.sh"
data=$work/data
config=$work/config.json

# Long enough to be stopped in the middle, with a checkpoint every few steps. The foundation's
# third death falls into its second training, of the language model.
steps=(--set foundation.clip.steps=30 --set foundation.language.steps=100
       --set align.steps=400 --set tune.steps=120
       --set foundation.checkpoint_every=10 --set align.checkpoint_every=10
       --set tune.checkpoint_every=5)

# Inputs of each stage, from the folders of a chain.
inputs() {                      # stage, folder of the chain
    case $1 in
    label) echo "--in foundation=$2/foundation" ;;
    align) echo "--in foundation=$2/foundation --in label=$2/label" ;;
    tune) echo "--in foundation=$2/foundation --in align=$2/align" ;;
    eval) echo "--in tune=$2/tune" ;;
    esac
}

tiny_data "$data"
tiny_config "$data" "$config" "${steps[@]}"

# ---- one chain, undisturbed ----

chain=$work/chain
for stage in foundation label align tune eval; do
    # shellcheck disable=SC2046
    run "$sea" stage $stage --config "$config" $(inputs $stage "$chain") --out "$chain/$stage" \
        --device cpu:2
    check_rc "stage $stage ends" 0
    check_finished "stage $stage leaves a whole folder" "$chain/$stage"
    [ "$rc" -eq 0 ] || finish test_stages_alone
done
for file in foundation/vision/model.safetensors foundation/language/model.safetensors \
    foundation/vision/tokenizer.json foundation/vision/preprocessor_config.json \
    label/words.txt label/label.json align/adapter.safetensors tune/model/model.safetensors \
    tune/model/config.json eval/scores.json; do
    check_file "the chain holds $file" "$chain/$file"
done
check_match "eval leaves answers" '[1-9]' "$(ls "$chain/eval/answers" 2>&1 | grep -c jsonl)"
check_match "eval leaves rows per question" '[1-9]' "$(ls "$chain/eval/rows" 2>&1 | grep -c jsonl)"

# ---- a second call with the same --out does nothing ----

for stage in foundation label align tune eval; do
    before=$(find "$chain/$stage" -printf '%p %s %T@\n' | sort)
    # shellcheck disable=SC2046
    run "$sea" stage $stage --config "$config" $(inputs $stage "$chain") --out "$chain/$stage"
    check_rc "stage $stage, called again, ends" 0
    check_equal "stage $stage, called again, touches nothing" "$before" \
        "$(find "$chain/$stage" -printf '%p %s %T@\n' | sort)"
done

# What the plan has said: bytes of the outputs, of which small files and drawings are not counted.
run "$sea" plan "$config" --json --data "$work/none"
check_rc "sea plan" 0
planned=$(grep -oE '^  "disk_bytes": *[0-9]+' <<< "$out" | grep -oE '[0-9]+')
written=$(du -cb "$chain"/*/ | tail -n 1 | cut -f 1)
check_equal "sea plan tells the outputs' $written bytes ($planned), within a half" near \
    "$(awk -v p="$planned" -v w="$written" 'BEGIN { print (p > w / 2 && p < w * 1.5) ? "near" : "far" }')"

# ---- the same inputs twice, on other numbers of threads ----

for threads in 1 3; do
    again=$work/again-$threads
    for stage in foundation label align tune eval; do
        # All read the first chain: a difference shows in the stage that makes it.
        # shellcheck disable=SC2046
        run "$sea" stage $stage --config "$config" $(inputs $stage "$chain") \
            --out "$again/$stage" --device cpu:$threads
        check_rc "stage $stage on $threads threads ends" 0
        check_same "stage $stage on $threads threads leaves the same bytes as on 2" \
            "$chain/$stage" "$again/$stage"
        check_equal "stage $stage on $threads threads has the same digest" \
            "$(manifest_digest "$chain/$stage")" "$(manifest_digest "$again/$stage")"
    done
    rm -rf "$again"
done

# Such comparisons can fail: another seed gives another adapter.
tiny_config "$data" "$work/seed.json" "${steps[@]}" --set seed=2
# shellcheck disable=SC2046
run "$sea" stage align --config "$work/seed.json" $(inputs align "$chain") --out "$work/seed"
check_equal "another seed gives another adapter" differ \
    "$(cmp -s "$chain/align/adapter.safetensors" "$work/seed/adapter.safetensors" || echo differ)"

# ---- stopped, killed, torn ----

# Starts a stage, waits for the next checkpoint, sends a signal. Returns the exit status.
strike() {                      # signal, stage, out, events
    local have
    have=$(count_checkpoints "$4")
    # shellcheck disable=SC2046
    start_stage "$4" "$2" --config "$config" $(inputs "$2" "$chain") --out "$3" --device cpu:2
    wait_until 60 has_checkpoints "$4" $((have + 1))
    kill "-$1" "$child" 2>/dev/null
    wait "$child" 2>/dev/null
}

complete() {                    # stage, out
    # shellcheck disable=SC2046
    run "$sea" stage "$1" --config "$config" $(inputs "$1" "$chain") --out "$2" --device cpu:2
}

for stage in foundation align tune; do
    stopped=$work/stopped
    strike TERM $stage "$stopped" "$work/stopped.jsonl"
    check_equal "stage $stage, told to stop in the middle, exits with 75" 75 $?
    check_unfinished "stage $stage, stopped, has no manifest" "$stopped"
    check_match "stage $stage, stopped, has a complete checkpoint" '^[1-9]' \
        "$(complete_checkpoints "$stopped")"
    check_match "stage $stage, stopped, says so in its events" '"t": *"error".*E_STOPPED' \
        "$(tail -n 1 "$work/stopped.jsonl")"
    complete $stage "$stopped"
    check_rc "stage $stage, stopped, goes on to its end" 0
    check_match "stage $stage, stopped, says that it goes on" 'going on' "$err"
    check_same "stage $stage, stopped and continued, leaves the same bytes" \
        "$chain/$stage" "$stopped"

    killed=$work/killed
    for blow in 1 2 3; do
        strike KILL $stage "$killed" "$work/killed.jsonl"
        check_equal "stage $stage is killed for the $blow. time" 137 $?
    done
    check_unfinished "stage $stage, killed, has no manifest" "$killed"
    complete $stage "$killed"
    check_rc "stage $stage, killed three times, goes on to its end" 0
    check_finished "stage $stage, killed three times, leaves a whole folder" "$killed"
    check_same "stage $stage, killed three times, leaves the same bytes" "$chain/$stage" "$killed"
    rm -rf "$stopped" "$killed" "$work/stopped.jsonl" "$work/killed.jsonl"
done

# The labels of an open shard are kept, too; picture by picture there is time to stop.
tiny_config "$data" "$work/label.json" "${steps[@]}" --set label.batch=1
whole=$work/label-whole stopped=$work/label-stopped
run "$sea" stage label --config "$work/label.json" --in "foundation=$chain/foundation" \
    --out "$whole" --device cpu:2
check_rc "stage label, picture by picture, ends" 0
mkfifo "$work/label.events"
for _ in 1 2 3; do              # on a busy machine it may be faster than we are
    rm -rf "$stopped"
    start_stage "$work/label.events" label --config "$work/label.json" \
        --in "foundation=$chain/foundation" --out "$stopped" --device cpu:2
    while read -r line; do
        echo "$line"
        [[ $line != *'"progress"'* ]] || kill "$child" 2> /dev/null
    done < "$work/label.events" > "$work/label.jsonl"
    wait "$child" 2>/dev/null
    rc=$?
    [ $rc -eq 0 ] || break
done
check_equal "stage label, told to stop in the middle of a shard, exits with 75" 75 $rc
check_unfinished "stage label, stopped, has no manifest" "$stopped"
check_equal "stage label, stopped, has a complete checkpoint and has told of it" "1 1" \
    "$(complete_checkpoints "$stopped") $(count_checkpoints "$work/label.jsonl")"
run "$sea" stage label --config "$work/label.json" --in "foundation=$chain/foundation" \
    --out "$stopped" --device cpu:2
check_rc "stage label, stopped, goes on to its end" 0
check_match "stage label, stopped, goes on behind the last picture" \
    'going on with the labels at picture [1-9][0-9]* of 96' "$err"
check_same "stage label, stopped and continued, leaves the same bytes" "$whole" "$stopped"

# A checkpoint that is damaged is not loaded; the work is done again, with the same result.
torn=$work/torn
strike KILL align "$torn" "$work/torn.jsonl"
for state in "$torn"/checkpoint/*/state.safetensors; do
    truncate -s -16 "$state"
done
complete align "$torn"
check_rc "stage align with a torn checkpoint ends" 0
check_match "stage align says which checkpoint it passes over" 'step-[0-9]+' "$err"
check_same "stage align with a torn checkpoint leaves the same bytes" "$chain/align" "$torn"

# Told to stop while answering: what is answered is told as a checkpoint, and not asked again.
eval=$work/eval-stopped
mkfifo "$work/eval.events"
for _ in 1 2 3; do
    rm -rf "$eval"
    start_stage "$work/eval.events" eval --config "$config" --in "tune=$chain/tune" --out "$eval"
    while read -r line; do
        echo "$line"
        [[ $line != *'"progress"'* ]] || kill "$child" 2> /dev/null
    done < "$work/eval.events" > "$work/eval-stopped.jsonl"
    wait "$child" 2>/dev/null
    rc=$?
    [ $rc -eq 0 ] || break
done
check_equal "stage eval, told to stop, exits with 75" 75 $rc
check_equal "stage eval, stopped, has a complete checkpoint and has told of it" "1 1" \
    "$(complete_checkpoints "$eval") $(count_checkpoints "$work/eval-stopped.jsonl")"
complete eval "$eval"
check_rc "stage eval, stopped, goes on to its end" 0
check_match "stage eval, stopped, asks nothing twice" 'asked, [1-9][0-9]* of an earlier try' "$err"
check_same "stage eval, stopped, leaves the same bytes" "$chain/eval" "$eval"

# Killed while answering.
eval=$work/eval
start_stage "$work/eval.jsonl" eval --config "$config" --in "tune=$chain/tune" --out "$eval"
wait_until 30 grep -q '"t": *"progress"' "$work/eval.jsonl"
kill -9 "$child" 2>/dev/null
wait "$child" 2>/dev/null
check_equal "stage eval is killed while it answers" 137 $?
complete eval "$eval"
check_rc "stage eval, killed, goes on to its end" 0
check_same "stage eval, killed, leaves the same bytes" "$chain/eval" "$eval"

# ---- folders of others ----

mkdir "$work/mine"
echo "my notes" > "$work/mine/notes.txt"
run "$sea" stage align --config "$config" --in "foundation=$chain/foundation" \
    --in "label=$chain/label" --out "$work/mine"
check_error "a folder with other files is refused" 64 'mine' 'new or empty'
check_equal "a folder with other files is left alone" "notes.txt" "$(ls -A "$work/mine")"
run "$sea" stage align --config "$config" --in "foundation=$chain/foundation" \
    --in "label=$chain/label" --out "$chain/tune"
check_error "the folder of another stage is refused" 64 'chain/tune'
run "$sea" stage align --config "$config" --in "foundation=$chain/foundation" --out "$work/none"
check_error "a missing input is named" 66 'label' '--in label='
run "$sea" stage align --config "$config" --in "foundation=$chain/foundation" \
    --in "label=$chain/tune" --out "$work/none"
check_error "the folder of a wrong stage is refused as an input" 64 'tune'
check_none "a refused stage makes no manifest" "$work/none/manifest.json"
tiny_config "$data" "$work/other.json" "${steps[@]}" --set align.lambda=0
run "$sea" stage align --config "$work/other.json" --in "foundation=$chain/foundation" \
    --in "label=$chain/label" --out "$chain/align"
check_error "a finished folder of another configuration is refused" 64 'another configuration'

finish test_stages_alone
