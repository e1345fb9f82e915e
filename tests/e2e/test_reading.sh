#!/bin/bash
# Commands that only read make no file and no folder, neither without a service nor with one that
# lies elsewhere; what is written comes with the first command that has something to keep.
. "$(dirname "$0")/lib.sh"

empty=$work/empty
mkdir "$empty"
chmod 700 "$empty"              # for root a private server's data would lie in /var/lib
elsewhere() {                   # what root's private servers have there, by their names
    find /var/lib -maxdepth 1 -name 'sea-*' 2> /dev/null | sort
}
before=$(elsewhere)
quiet() {                       # exit status, command...
    local want=$1
    shift
    cd "$empty" || exit 1
    run "$sea" "$@"
    cd "$SEA_ROOT" || exit 1
    check_rc "sea $1 ends with $want" "$want"
    check_equal "sea $1 makes nothing here" "" "$(ls -A "$empty")"
    check_equal "sea $1 makes nothing elsewhere" "$before" "$(elsewhere)"
    rm -rf "$empty/.sea"
}

tiny_data "$work/data"
tiny_sets "$work/data"
sets+=(--set "stages.eval.suite=$SEA_ROOT/configs/suites/scenes.yaml")

# Without a service.
quiet 0 doctor
quiet 0 doctor --store
check_match "the doctor looks where the folder would be" "free for \"$empty/.sea\"" "$out"
check_match "and knows that there is no store" 'there is no data folder yet' "$out"
quiet 0 plan "$tiny" "${sets[@]}"
quiet 69 status
check_error "status says what to do" 69 'hint: .*sea up'
quiet 69 status 1
quiet 69 logs 1
quiet 69 why 1
quiet 69 leaderboard
quiet 69 compare 1 2
quiet 69 workers
quiet 69 nightly list
quiet 69 submit "$tiny" "${sets[@]}"
quiet 0 down

# With one that lies elsewhere.
service_up "$work/service" --workers 0
unset SEA_DATA
export SEA_DATABASE_URL=$url
before=$(elsewhere)
quiet 0 doctor
quiet 0 plan "$tiny" "${sets[@]}"
quiet 0 status
quiet 0 leaderboard
quiet 0 submit "$tiny" "${sets[@]}" --key once
quiet 0 status 1
quiet 0 logs 1
quiet 0 why 1
quiet 0 doctor
check_match "the doctor says what is queued" '^ok +queue +experiment [12], the largest' "$out"
quiet 0 submit "$tiny" "${sets[@]}" --set name=huge --set align.lambda=0 \
    --set foundation.language.width=8192 --set foundation.language.layers=64 \
    --set foundation.language.ffn=30000
quiet 69 doctor
check_match "and that it finds no room" '^bad +queue +experiment 3, the largest' "$out"
quiet 0 cancel 3
quiet 0 doctor --store
check_match "without outputs nothing is missing" '0 files of outputs, 0 are not' "$out"

finish test_reading
