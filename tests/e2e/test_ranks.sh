#!/bin/bash
# Several ranks leave the bytes and the metrics of one: tune (full, low-rank) and align, with
# an uneven number of turns; any number of ranks goes on from the checkpoint of any other; a
# rank that is killed, told to stop, or hangs ends all of them with one error, and nothing
# stays behind.
. "$(dirname "$0")/lib.sh"
data=$work/data
chain=$work/chain
steps=(--set foundation.clip.steps=10 --set foundation.language.steps=20
       --set align.steps=150 --set tune.steps=60 --set align.group_images=3
       --set tune.micro_rows=512 --set align.checkpoint_every=5 --set tune.checkpoint_every=4)

inputs() {                      # stage
    case $1 in
    label) echo "--in foundation=$chain/foundation" ;;
    align) echo "--in foundation=$chain/foundation --in label=$chain/label" ;;
    tune) echo "--in foundation=$chain/foundation --in align=$chain/align" ;;
    esac
}

stage_on() {                    # ranks, stage, configuration, out, events
    # shellcheck disable=SC2046
    run "$sea" stage "$2" --config "$3" $(inputs "$2") --out "$4" --device cpu:2 \
        --ranks "$1" --events "$5"
}

start_ranks() {                 # ranks, stage, configuration, out, events
    # shellcheck disable=SC2046
    start_stage "$5" "$2" --config "$3" $(inputs "$2") --out "$4" --device cpu:2 --ranks "$1"
}

ranks_of() {                    # launcher: the processes it started, rank 0 first
    cat "/proc/$1/task/$1/children" 2>/dev/null
}

metrics() {
    grep '"t": *"metric"' "$1"
}

all_gone() {                    # processes
    local pid
    for pid in "$@"; do
        [ ! -e "/proc/$pid" ] || return 1
    done
}

tiny_data "$data"
tiny_config "$data" "$work/full.json" "${steps[@]}"
tiny_config "$data" "$work/lora.json" "${steps[@]}" --set tune.mode=lora --set tune.lora.rank=4 \
    --set tune.lora.dropout=0.1
for stage in foundation label align; do
    stage_on 1 $stage "$work/full.json" "$chain/$stage" "$work/$stage.jsonl"
    check_rc "stage $stage ends" 0
    [ "$rc" -eq 0 ] || finish test_ranks
done

# ---- the bits of one ----

cp -r "$chain/align" "$work/align-1"
for kind in full lora; do
    stage_on 1 tune "$work/$kind.json" "$work/tune-$kind-1" "$work/tune-$kind-1.jsonl"
    check_rc "tune, $kind, on one rank ends" 0
done
same() {                        # what, stage, ranks, configuration, one
    stage_on "$3" "$2" "$4" "$5-r$3" "$5-r$3.jsonl"
    check_rc "$1 on $3 ranks ends" 0
    check_finished "$1 on $3 ranks leaves a whole folder" "$5-r$3"
    check_same "$1 on $3 ranks leaves the bytes of one" "$5-1" "$5-r$3"
    check_equal "$1 on $3 ranks has the key of one" \
        "$(grep -o '"key": *"[0-9a-f]*"' "$5-1/manifest.json")" \
        "$(grep -o '"key": *"[0-9a-f]*"' "$5-r$3/manifest.json")"
    check_equal "$1 on $3 ranks has the metrics of one" "$(metrics "$5-1.jsonl" | sha256sum)" \
        "$(metrics "$5-r$3.jsonl" | sha256sum)"
    check_match "$1 says how many ranks it has" "$3 ranks" "$(cat "$5-r$3.jsonl")"
}
cp "$work/align.jsonl" "$work/align-1.jsonl"
for ranks in 2 3; do
    same "align" align $ranks "$work/full.json" "$work/align"
    same "tune, full," tune $ranks "$work/full.json" "$work/tune-full"
done
same "tune, lora," tune 2 "$work/lora.json" "$work/tune-lora"

# A comparison that can fail: other groups are another method.
tiny_config "$data" "$work/other.json" "${steps[@]}" --set align.group_images=4
stage_on 2 align "$work/other.json" "$work/other" "$work/other.jsonl"
check_equal "other groups give another adapter" differ \
    "$(cmp -s "$work/other/adapter.safetensors" "$work/align-1/adapter.safetensors" || echo differ)"

# ---- the experiment says how many ----

tiny_config "$data" "$work/gpus.json" "${steps[@]}" --set resources.gpus=2
# shellcheck disable=SC2046
run "$sea" stage tune --config "$work/gpus.json" $(inputs tune) --out "$work/gpus" \
    --device cpu:2 --events "$work/gpus.jsonl"
check_rc "resources.gpus: 2 on a named device ends" 0
check_match "resources.gpus: 2 starts two ranks" '2 ranks' "$(cat "$work/gpus.jsonl")"
check_same "resources.gpus: 2 leaves the bytes of one" "$work/tune-full-1" "$work/gpus"

# ---- stopped, killed, on other numbers of ranks ----

for stage in align tune; do
    one=$work/align-1
    [ $stage = align ] || one=$work/tune-full-1
    moved=$work/moved-$stage
    for ranks in 2 1 3; do
        have=$(count_checkpoints "$moved.jsonl")
        start_ranks $ranks $stage "$work/full.json" "$moved" "$moved.jsonl"
        wait_until 30 has_checkpoints "$moved.jsonl" $((have + 1))
        # Any rank may be told; the last one here.
        told=$(ranks_of "$child" | awk '{print $NF}')
        pids=$(ranks_of "$child")
        kill -TERM "${told:-$child}" 2>/dev/null
        wait "$child" 2>/dev/null
        check_equal "$stage on $ranks ranks, one of them told to stop, exits with 75" 75 $?
        # shellcheck disable=SC2086
        check_equal "$stage on $ranks ranks leaves no process" gone \
            "$(all_gone $pids && echo gone)"
        check_match "$stage on $ranks ranks says that it stopped" '"error".*E_STOPPED' \
            "$(tail -n 1 "$moved.jsonl")"
    done
    stage_on 2 $stage "$work/full.json" "$moved" "$moved.jsonl"
    check_rc "$stage goes on to its end on 2 ranks" 0
    check_same "$stage on 2, 1, 3 and 2 ranks leaves the bytes of one" "$one" "$moved"
done

killed=$work/killed
for rank in 1 2; do             # 1-based: rank 0, rank 1
    have=$(count_checkpoints "$killed.jsonl")
    start_ranks 2 tune "$work/full.json" "$killed" "$killed.jsonl"
    wait_until 30 has_checkpoints "$killed.jsonl" $((have + 1))
    pids=$(ranks_of "$child")
    kill -KILL "$(cut -d' ' -f$rank <<< "$pids")"
    wait "$child" 2>/dev/null
    check_equal "tune with rank $((rank - 1)) killed exits with 70" 70 $?
    check_match "the error names the rank and the signal" \
        "rank $((rank - 1)) of 2 was ended by signal 9" "$(tail -n 1 "$killed.jsonl")"
    check_equal "one error is told" 1 "$(tail -n 5 "$killed.jsonl" | grep -c '"t":"error"')"
    # shellcheck disable=SC2086
    check_equal "no rank outlives the killed one" gone "$(all_gone $pids && echo gone)"
done
stage_on 2 tune "$work/full.json" "$killed" "$killed.jsonl"
check_rc "tune with killed ranks goes on to its end" 0
check_same "tune with killed ranks leaves the bytes of one" "$work/tune-full-1" "$killed"

# The launcher itself is killed: its ranks go with it.
orphan=$work/orphan
start_ranks 3 tune "$work/full.json" "$orphan" "$orphan.jsonl"
wait_until 30 has_checkpoints "$orphan.jsonl" 1
pids=$(ranks_of "$child")
kill -KILL "$child"
wait "$child" 2>/dev/null
# shellcheck disable=SC2086
wait_until 5 all_gone $pids
# shellcheck disable=SC2086
check_equal "ranks end with their launcher" gone "$(all_gone $pids && echo gone)"

# A rank that does nothing any more.
hung=$work/hung
export SEA_RANK_TIMEOUT=2
start_ranks 2 tune "$work/full.json" "$hung" "$hung.jsonl"
wait_until 30 has_checkpoints "$hung.jsonl" 1
pids=$(ranks_of "$child")
kill -STOP "$(cut -d' ' -f2 <<< "$pids")"
wait "$child" 2>/dev/null
check_equal "tune with a hung rank exits with 69" 69 $?
unset SEA_RANK_TIMEOUT
check_match "the error names the rank that hangs" 'rank 1 of 2 has not answered for 2 s' \
    "$(tail -n 1 "$hung.jsonl")"
# shellcheck disable=SC2086
check_equal "the hung rank is ended" gone "$(all_gone $pids && echo gone)"

# ---- started one by one, as srun does ----

port=$(free_port)
alone=$work/alone
for rank in 0 1; do
    # shellcheck disable=SC2046
    SEA_RENDEZVOUS=127.0.0.1:$port SLURM_PROCID=$rank SLURM_NTASKS=2 timeout 60 \
        "$sea" stage tune --config "$work/full.json" $(inputs tune) --out "$alone" \
        --device cpu:1 --events "$alone.jsonl" 2> "$work/alone-$rank.err" &
    children+=($!)
    eval "rank_$rank=$!"
done
wait "$rank_0"
check_equal "rank 0 of a meeting over TCP ends" 0 $?
wait "$rank_1"
check_equal "rank 1 of a meeting over TCP ends" 0 $?
check_same "ranks that met over TCP leave the bytes of one" "$work/tune-full-1" "$alone"
check_equal "only rank 0 writes events" "$(metrics "$work/tune-full-1.jsonl" | wc -l)" \
    "$(metrics "$alone.jsonl" | wc -l)"

# ---- refused ----

stage_on 65 tune "$work/full.json" "$work/many" "$work/many.jsonl"
check_error "too many ranks are refused" 64 '--ranks is 65'
stage_on 2 tune "$work/full.json" "$chain/align" "$work/refused.jsonl"
check_error "the folder of another stage is refused once" 64 'chain/align'

finish test_ranks
