#!/bin/bash
# Stages on the CUDA back end, in `make test` with its kernels on emulated threads: they end,
# what they train is what the CPU trains, and twice the same bits. The emulation locks device
# memory outside kernels: a stage that read a device pointer from the host would die at once.
. "$(dirname "$0")/../e2e/lib.sh"
export SEA_CUDA_PLUGIN=${SEA_CUDA_PLUGIN:-$SEA_BUILD/tests/gpu/libsea_cuda.so}
data=$work/data
config=$work/config.json

if [ -n "${SEA_TEST_SCENES:-}" ]; then    # a machine without the font of the pictures
    data=$SEA_TEST_SCENES
    words=(--set "label.words=$data/words.txt")         # nor has it WordNet
else
    words=()
    run "$sea" data scenes --out "$data" --train 24 --eval 8 --kinds 12
    check_rc "sea data scenes makes a little data" 0
fi
tiny_config "$data" "$config" --set foundation.clip.steps=2 --set foundation.clip.batch=4 \
    --set foundation.language.steps=2 --set foundation.language.batch=2 --set label.sample=4 \
    --set align.steps=2 --set align.batch=2 --set align.group_images=2 --set tune.steps=1 \
    --set tune.batch=2 --set label.variant=surgery --set label.overlays=0 "${words[@]}"

inputs() {                      # stage, folder of the chain
    case $1 in
    label) echo "--in foundation=$2/foundation" ;;
    align) echo "--in foundation=$2/foundation --in label=$2/label" ;;
    tune) echo "--in foundation=$2/foundation --in align=$2/align" ;;
    esac
}
# The same inputs for both, so that the differences are those of one stage.
for stage in foundation label align tune; do
    for device in cpu:1 cuda:0; do
        # shellcheck disable=SC2046
        run "$sea" stage $stage --config "$config" $(inputs $stage "$work/cpu:1") \
            --out "$work/$device/$stage" --device $device --events "$work/$stage-$device"
        check_rc "stage $stage ends on $device" 0
        check_finished "stage $stage leaves a whole folder on $device" "$work/$device/$stage"
    done
done

# Name, step and value of the losses of both, side by side.
losses() {                      # stage
    paste -d ' ' <(values "$work/$1-cpu:1") <(values "$work/$1-cuda:0")
}
values() {                      # file of events
    grep '"metric"' "$1" | grep loss |
        sed -E 's/.*"name":"([^"]*)".*"step":([0-9]*).*"value":([-0-9.e]*).*/\1 \2 \3/'
}
for stage in foundation align tune; do
    check_match "stage $stage logs losses on both" \
        '^[^ ]+ [0-9]+ [0-9.e+-]+ [^ ]+ [0-9]+ [0-9.e+-]+$' "$(losses $stage | head -n 1)"
    check_equal "stage $stage has the same losses on both, to 1 in 100,000" "" \
        "$(losses $stage | awk '$1 != $4 || $2 != $5 || ($3 - $6) ^ 2 > 1e-10 * $3 ^ 2')"
done

# shellcheck disable=SC2046
run "$sea" stage align --config "$config" $(inputs align "$work/cpu:1") --out "$work/again" \
    --device cuda:0
check_rc "stage align ends a second time" 0
check_equal "and leaves the same bytes" \
    "$(sha256sum < "$work/cuda:0/align/adapter.safetensors")" \
    "$(sha256sum < "$work/again/adapter.safetensors")"

# Rounded to bfloat16: products and attention on tensor cores, with rounded copies beside the
# activations. The CPU rounds elsewhere, so that losses differ by more.
short=$work/short.json
tiny_config "$data" "$short" --set foundation.clip.steps=2 --set foundation.clip.batch=4 \
    --set foundation.language.steps=2 --set foundation.language.batch=2 --set label.sample=4 \
    --set align.steps=2 --set align.batch=2 --set align.group_images=2 --set tune.steps=1 \
    --set tune.batch=2 --set label.variant=surgery --set label.overlays=0 "${words[@]}" \
    --set model.precision=bf16 --set label.precision=bf16
run "$sea" stage label --config "$short" --in "foundation=$work/cpu:1/foundation" \
    --out "$work/short-label" --device cuda:0
check_rc "stage label ends in bfloat16" 0
check_finished "stage label leaves a whole folder in bfloat16" "$work/short-label"
for stage in align tune; do
    for device in cpu:1 cuda:0; do
        # shellcheck disable=SC2046
        run "$sea" stage $stage --config "$short" $(inputs $stage "$work/cpu:1") \
            --out "$work/$device/short-$stage" --device $device \
            --events "$work/short-$stage-$device"
        check_rc "stage $stage in bfloat16 ends on $device" 0
    done
    check_match "stage $stage in bfloat16 logs losses on both" \
        '^[^ ]+ [0-9]+ [0-9.e+-]+ [^ ]+ [0-9]+ [0-9.e+-]+$' \
        "$(losses short-$stage | head -n 1)"
    check_equal "stage $stage in bfloat16 has the same losses on both, to 1 in 200" "" \
        "$(losses short-$stage | awk '$1 != $4 || $2 != $5 || ($3 - $6) ^ 2 > 2.5e-5 * $3 ^ 2')"
done
# shellcheck disable=SC2046
run "$sea" stage tune --config "$short" $(inputs tune "$work/cpu:1") \
    --out "$work/short-again" --device cuda:0
check_equal "and twice the same bytes" \
    "$(sha256sum < "$work/cuda:0/short-tune/model/model.safetensors")" \
    "$(sha256sum < "$work/short-again/model/model.safetensors")"
finish test_stages
