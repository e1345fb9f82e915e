# Checks and helpers of the end-to-end tests; sourced, not run.
#
# SEA_ROOT: the source tree. SEA_BUILD: absolute build folder, the program is $SEA_BUILD/sea.
# Every test works in $work, a folder of its own that goes away at the end, whatever happens;
# a service that it started there is stopped first.
set -u
SEA_ROOT=${SEA_ROOT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
SEA_BUILD=${SEA_BUILD:-$SEA_ROOT/build/dev}
cd "$SEA_ROOT" || exit 1
sea=$SEA_BUILD/sea
# A server of the caller's must not be what is tested.
unset SEA_DATABASE_URL PGHOST PGSERVICE PGDATABASE PGPORT PGUSER SEA_DATA
export LC_ALL=C
# What a fresh machine finds: PostgreSQL's own programs are not among it.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
passed=0 failed=0 skipped=0
work=$(mktemp -d "${TMPDIR:-/tmp}/sea-e2e-XXXXXX") || exit 1
chmod 711 "$work"               # started by root, PostgreSQL runs as somebody else
services=() children=() mounts=()

leave() {
    local item
    for item in "${children[@]}"; do
        kill -9 "$item" 2>/dev/null
    done
    for item in "${services[@]}"; do
        [ -d "$item" ] && timeout 90 "$sea" down --data "$item" > /dev/null 2>&1
    done
    for item in "${mounts[@]}"; do
        umount -l "$item" 2>/dev/null
    done
    rm -rf "$work"
}
trap leave EXIT
trap 'exit 1' INT TERM

finish() {                      # name
    echo "$1: $passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit
}

ok() {
    passed=$((passed + 1))
    [ -z "${VERBOSE:-}" ] || echo "ok   $1"
}

bad() {                         # what, format and values of the details
    local what=$1
    shift
    failed=$((failed + 1))
    echo "FAIL $what"
    # shellcheck disable=SC2059
    printf "$@" | sed 's/^/    /' | head -n "${LINES_SHOWN:-40}"
}

skip() {                        # what, why
    skipped=$((skipped + 1))
    echo "SKIP $1: $2"
}

check_equal() {                 # what, expected, got
    if [ "$2" = "$3" ]; then
        ok "$1"
    else
        bad "$1" 'expected: %s\ngot:      %s\n' "$2" "$3"
    fi
}

check_match() {                 # what, extended regular expression, text
    if grep -qE -- "$2" <<< "$3"; then
        ok "$1"
    else
        bad "$1" 'expected to match: %s\ngot: %s\n' "$2" "$3"
    fi
}

check_no_match() {              # what, extended regular expression, text
    if grep -qE -- "$2" <<< "$3"; then
        bad "$1" 'expected not to match: %s\ngot: %s\n' "$2" "$3"
    else
        ok "$1"
    fi
}

check_file() {                  # what, path
    if [ -s "$2" ]; then
        ok "$1"
    else
        bad "$1" 'expected a file with contents: %s\ngot: %s\n' "$2" \
            "$(ls -ld "$2" 2>&1)"
    fi
}

check_none() {                  # what, path
    if [ ! -e "$2" ]; then
        ok "$1"
    else
        bad "$1" 'expected: %s does not exist\ngot: %s\n' "$2" "$(ls -ld "$2")"
    fi
}

# Equal contents of two files or two trees. Manifests name the device in their provenance,
# so trees are compared without them.
check_same() {                  # what, a, b
    local out
    if out=$(diff -rq --exclude=manifest.json "$2" "$3" 2>&1) && [ -e "$2" ]; then
        ok "$1"
    else
        bad "$1" 'expected: equal contents of\n  %s\n  %s\ngot:\n%s\n' "$2" "$3" "$out"
    fi
}

# Runs a command; rc, out and err are its exit status and what it said.
run() {
    timeout "${LIMIT:-120}" "$@" > "$work/stdout" 2> "$work/stderr" < "${INPUT:-/dev/null}"
    rc=$?
    out=$(tr -d '\0' < "$work/stdout")
    err=$(tr -d '\0' < "$work/stderr")
}

check_rc() {                    # what, expected exit status; after run
    if [ "$rc" -eq "$2" ]; then
        ok "$1"
    else
        bad "$1" 'expected exit status: %s\ngot: %s\nstderr: %s\nstdout: %s\n' "$2" "$rc" \
            "$(tail -n 12 <<< "$err")" "$(tail -n 5 <<< "$out")"
    fi
}

# After run: the exit status, exactly one message, and what it has to say (regular
# expressions, each of which must match in the message, its context or its hint).
check_error() {                 # what, expected exit status, expressions...
    local what=$1 want=$2 missing=
    shift 2
    local messages
    messages=$(grep -c '^sea: ' <<< "$err")
    local word
    for word in "$@"; do
        grep -qE -- "$word" <<< "$err" || missing="$missing
  stderr to match: $word"
    done
    if [ "$rc" -eq "$want" ] && [ "$messages" -eq 1 ] && [ -z "$missing" ]; then
        ok "$what"
        [ -z "${VERBOSE:-}" ] || sed 's/^/        /' <<< "$err" | tail -n 4
    else
        bad "$what" 'expected: exit status %s, 1 message%s\ngot: exit status %s, %s messages\n%s\n' \
            "$want" "$missing" "$rc" "$messages" "$(tail -n 12 <<< "$err")"
    fi
}

# Waits until a command succeeds; seconds at most.
# The seconds are what an idle machine may take at most: a busy one has more.
wait_until() {                  # seconds, command...
    local end=$((SECONDS + 6 * $1))
    shift
    until "$@" > /dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.02
    done
}

# A port that nobody listens on; below those that connections get by themselves.
free_port() {
    local port
    until port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000)) &&
        ! (exec 9<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do :; done
    echo "$port"
}

# ---- the demo world, small ----

tiny_data() {                   # folder, seed
    run "$sea" data scenes --out "$1" --train 96 --eval 8 --kinds 12 --seed "${2:-1}"
    check_rc "sea data scenes makes $(basename "$1")" 0
    [ "$rc" -eq 0 ] || finish "${0##*/} (no data)"
}

# The tiny experiment, once as the baseline and once with SEA.
tiny=$work/scenes-tiny.yaml
cp configs/experiments/scenes-tiny.yaml "$tiny"
echo 'sweep: {align.lambda: [0, 1.0]}' >> "$tiny"

# Options for `sea ... FILE` that point it at a folder that tiny_data made.
tiny_sets() {                   # folder
    local d=$1
    sets=(--set "data.pretrain.json=$d/train/pretrain.json"
          --set "data.pretrain.images=$d/train/images"
          --set "data.pretrain.objects=$d/train/objects.json"
          --set "data.heldout.json=$d/heldout/pretrain.json"
          --set "data.heldout.images=$d/heldout/images"
          --set "data.heldout.objects=$d/heldout/objects.json"
          --set "data.instruct.json=$d/train/instruct.json"
          --set "data.instruct.images=$d/train/images"
          --set "data.text.file=$d/train/text.jsonl"
          --set "stages.eval.root=$d/eval")
}

# The resolved experiment of lambda 1 and seed 1, as `sea stage` takes it.
tiny_config() {                 # folder of data, file to write, more options...
    local data=$1 file=$2
    shift 2
    tiny_sets "$data"
    run "$sea" config check "$tiny" --json "${sets[@]}" --set align.lambda=1.0 --set seed=1 "$@"
    check_rc "sea config check resolves $(basename "$file")" 0
    cp "$work/stdout" "$file"
    [ "$rc" -eq 0 ] || finish "${0##*/} (no configuration)"
}

# ---- stages and their folders ----

# "SHA256  PATH" of every file that a manifest lists.
manifest_sums() {               # folder
    tr -d '\n' < "$1/manifest.json" | sed 's/"provenance".*//' |
        grep -oE '\{[^{}]*"path"[^{}]*\}' |
        sed -E 's/.*"path": *"([^"]*)".*"sha256": *"([0-9a-f]{64})".*/\2  \1/'
}

manifest_digest() {             # folder
    grep -oE '"digest": *"[0-9a-f]{64}"' "$1/manifest.json" | grep -oE '[0-9a-f]{64}'
}

check_finished() {              # what, folder
    local out
    if [ -s "$2/manifest.json" ] && [ ! -e "$2/checkpoint" ] && [ ! -e "$2/.stage.json" ] &&
        [ "$(manifest_sums "$2" | wc -l)" -gt 0 ] &&
        out=$(cd "$2" && manifest_sums . | sha256sum -c --quiet 2>&1); then
        ok "$1"
    else
        bad "$1" 'expected: manifest.json with the hashes of its files, nothing unfinished\ngot: %s\n%s\n' \
            "$(ls -A "$2" 2>&1 | tr '\n' ' ')" "${out:-}"
    fi
}

check_unfinished() {            # what, folder: no manifest, and nothing that looks like one
    check_none "$1" "$2/manifest.json"
}

# Starts a stage in the background; $child is its process. Its events go to a file.
start_stage() {                 # events, options of `sea stage`...
    local events=$1
    shift
    "$sea" stage "$@" --events "$events" > "$work/child.out" 2> "$work/child.err" &
    child=$!
    children+=("$child")
}

count_checkpoints() {           # events
    local n
    n=$(grep -c '"t": *"checkpoint"' "$1" 2>/dev/null)
    echo "${n:-0}"
}

has_checkpoints() {             # events, number
    [ "$(count_checkpoints "$1")" -ge "$2" ]
}

complete_checkpoints() {        # folder
    find "$1/checkpoint" -name DONE 2>/dev/null | wc -l
}

# ---- the service ----

service_up() {                  # folder, options of `sea up`...
    local data=$1
    shift
    mkdir -p "$data"
    chmod 711 "$data"
    services+=("$data")
    export SEA_DATA=$data
    run "$sea" up "$@"
    check_rc "sea up" 0
    url=$(sed -n 's/^postgresql: //p' <<< "$out")
    [ "$rc" -eq 0 ] || finish "${0##*/} (no service)"
}

sql() {                         # one statement; rows of columns with | between
    psql -X -A -t -q -v ON_ERROR_STOP=1 "$url" -c "$1"
}

# The answer to a query once a condition holds, or after so many seconds. It is looked at from
# within the server: a program that is started for each look is late on a busy machine.
sql_when() {                    # seconds, condition, query
    sql "DO \$\$ BEGIN
             FOR look IN 1 .. 300 * $1 LOOP
                 EXIT WHEN $2;
                 PERFORM pg_sleep(0.02);
             END LOOP;
         END \$\$; $3"
}

role_pid() {                    # role
    cat "$SEA_DATA/run/$1.pid"
}

# A chain of all five stages that trains next to nothing: for tests that need its folders.
quick_steps=(--set foundation.clip.steps=3 --set foundation.language.steps=3
             --set align.steps=3 --set tune.steps=3 --set eval.limit=4)
quick_chain() {                 # folder of data, folder of the chain, last stage
    local stage inputs
    tiny_config "$1" "$2.json" "${quick_steps[@]}"
    for stage in foundation label align tune eval; do
        case $stage in
        foundation) inputs=() ;;
        label) inputs=(--in "foundation=$2/foundation") ;;
        align) inputs=(--in "foundation=$2/foundation" --in "label=$2/label") ;;
        tune) inputs=(--in "foundation=$2/foundation" --in "align=$2/align") ;;
        eval) inputs=(--in "tune=$2/tune") ;;
        esac
        run "$sea" stage $stage --config "$2.json" "${inputs[@]}" --out "$2/$stage" --device cpu:2
        check_rc "stage $stage of a quick chain" 0
        [ "$rc" -eq 0 ] || finish "${0##*/} (no $stage)"
        [ "$stage" = "$3" ] && return
    done
}
