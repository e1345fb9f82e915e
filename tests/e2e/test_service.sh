#!/bin/bash
# The service from the outside: submit and wait, look at results, find everything cached, be
# killed and crashed in the middle and still end with the same bytes.
. "$(dirname "$0")/lib.sh"
data=$work/data

tiny_data "$data"
tiny_sets "$data"
run "$sea" doctor --data "$work/service"
check_match "before sea up, doctor tells how to start it" 'sea up' "$out"
service_up "$work/service" --workers 1 --device cpu:2 --ttl 2
check_match "sea up tells the address of the database" '^postgresql: host=' "$out"
check_match "sea up starts a worker" '^worker-1: started' "$out"
run "$sea" up --workers 1 --device cpu:2 --ttl 2
check_match "sea up twice starts nothing twice" '^worker-1: runs already' "$out"
run "$sea" doctor
check_rc "doctor is content with a service that runs" 0
run "$sea" leaderboard
check_rc "an empty leaderboard is no error" 0

# ---- a sweep, submitted and waited for ----

run "$sea" submit "$tiny" "${sets[@]}" --wait
check_rc "submit --wait ends well" 0
check_match "both experiments succeed; what they share is computed once" \
    '^2 experiments succeeded; 2 of 10 stages came from the cache$' "$err"
ids=($(sed -nE 's/^experiment ([0-9]+): .*/\1/p' <<< "$out"))
check_equal "two experiments are submitted" 2 ${#ids[@]}
[ ${#ids[@]} -eq 2 ] || finish test_service
check_match "their names tell the values of the sweep" 'lambda=0$' "$out"

run "$sea" submit "$tiny" "${sets[@]}" --wait
check_rc "the same submission again ends well" 0
check_match "and finds everything in the cache" \
    '^2 experiments succeeded; 10 of 10 stages came from the cache$' "$err"

run "$sea" plan "$tiny" "${sets[@]}"
check_rc "plan beside a service" 0
check_equal "plan tells that all ten stages are cached" 10 "$(grep -cE '^cached: [a-z]+$' <<< "$out")"

run "$sea" submit "$tiny" "${sets[@]}" --key night-1 --json
first=$out
run "$sea" submit "$tiny" "${sets[@]}" --key night-1 --json
check_match "a key gives ids" '^\[[0-9]+,[0-9]+\]$' "$first"
check_equal "the same key again gives the same experiments" "$first" "$out"
run "$sea" submit "$tiny" "${sets[@]}" --key night-1 --set align.lr=0.002
check_error "the same key with another configuration is refused" 64 'night-1'

# ---- looking ----

run "$sea" leaderboard
check_rc "leaderboard" 0
check_match "the leaderboard has rank, experiment, score, interval, control, gain and n" \
    "^pope +accuracy +[1-9] +${ids[0]} +scenes-tiny/align.lambda=0 +[0-9.]+ +\[[0-9.]+, [0-9.]+\] +[0-9.]+ +[-+][0-9.]+ +[1-9][0-9]* *$" \
    "$out"
check_equal "for every experiment" "$(sql 'SELECT count(DISTINCT experiment_id) FROM sea.leaderboard')" \
    "$(grep -c '^mmbench  *circular_accuracy' <<< "$out")"
run "$sea" leaderboard --format csv
check_match "as CSV it starts with the names of columns" '^suite,benchmark,split,metric' "$out"
rows=$(($(wc -l <<< "$out") - 1))
check_equal "as CSV it has what the view has" "$(sql 'SELECT count(*) FROM sea.leaderboard')" "$rows"
run "$sea" leaderboard --format md
check_match "as Markdown it is a table" '^\| *-' "$out"
run "$sea" leaderboard --format json
check_match "as JSON it is a list" '^\[' "$out"
run "$sea" leaderboard --suite no-such-suite
check_rc "a suite without scores is no error" 0
run "$sea" leaderboard --suite scenes --benchmark pope
check_no_match "a suite without references shows none" 'published' "$out"
mkdir -p "$work/paper/configs/suites"
printf '%s\n' 'reference:' "  - {model: Model-7B, source: A paper, scores: {pope: 85.9, mme: 1500}}" |
    cat configs/suites/scenes.yaml - > "$work/paper/configs/suites/scenes.yaml"
cd "$work/paper" || exit 1
run "$sea" leaderboard --suite scenes
check_match "published scores have no rank, experiment or interval, and tell their source" \
    '^pope +f1 +Model-7B \(published: A paper\) +85\.90 *$' "$out"
check_match "they stand below ours" 'pope +f1 +1 .*pope +f1 +Model-7B' "$(tr '\n' ' ' <<< "$out")"
check_match "also for benchmarks that ours were not asked" '^mme .*Model-7B .* 1500\.00 *$' "$out"
run "$sea" leaderboard --suite scenes --benchmark mme
check_equal "of the benchmark that is asked for" 1 "$(grep -c published <<< "$out")"
run "$sea" leaderboard --suite scenes --format csv
check_no_match "programs read our scores alone" 'Model-7B' "$out"
echo 'reference: 5' > configs/suites/scenes.yaml
run "$sea" leaderboard --suite scenes
check_error "a suite file that cannot be read is told" 64 'scenes.yaml'
cd "$SEA_ROOT" || exit 1
run "$sea" compare --last
check_rc "compare --last" 0
check_match "compare tells which is which" '^A = experiment [0-9]+, scenes-tiny/' "$out"
check_match "and the other" '^B = experiment [0-9]+, scenes-tiny/' "$out"
check_match "compare tells an interval" '\[[-+][0-9.]+, [-+][0-9.]+\]' "$out"
run "$sea" compare "${ids[0]}" "${ids[1]}" --json
check_match "compare as JSON tells n, clusters and p" '"n":[0-9]+,"clusters":[0-9]+.*"p":' "$out"
run "$sea" compare "${ids[0]}" "${ids[0]}"
check_rc "an experiment can be compared with itself" 0
check_no_match "and nobody wins" 'better' "$out"
run "$sea" compare "${ids[0]}" 999999
check_error "compare with an experiment that is not there" 64 '999999' 'hint: .*sea status'
run "$sea" compare 999999 "${ids[0]}" --json
check_error "also when it is the first one, as JSON" 64 '999999'
check_equal "with nothing on standard output" "" "$out"
run "$sea" status
check_match "status lists the experiments with what they reached" \
    "^ *${ids[0]} +scenes-tiny/align.lambda=0 +succeeded +5/5 +[0-9]+ *$" "$out"
run "$sea" status "${ids[0]}"
for stage in foundation label align tune eval; do
    check_match "status of one lists $stage with its end" "^$stage +(done|cached) " "$out"
done
check_no_match "without whole hashes" '[0-9a-f]{13}' "$out"
check_equal "for people: at most ten columns" 1 "$(($(head -n 1 <<< "$out" | wc -w) <= 10))"
run "$sea" status "${ids[0]}" --json
check_match "status as JSON" '"stage": *"eval"' "$out"
check_match "with whole keys" '"key": *"[0-9a-f]{64}"' "$out"
run "$sea" status 999999
check_error "status of an experiment that is not there" 64 '999999' 'sea status'
run "$sea" logs "${ids[0]}"
check_match "logs tell what the stages said" \
    '^20[0-9-]+ [0-9:]+ align +info +stage align, key [0-9a-f]{12}' "$out"
run "$sea" why "${ids[0]}"
check_match "why about an experiment that has ended" 'nothing of it is pending' "$out"
for view in leaderboard experiment_status stage_timeline metric_series why_pending nightly_report \
    broken_invariant; do
    check_match "psql can read sea.$view" '^[0-9]+$' "$(sql "SELECT count(*) FROM sea.$view" 2>&1)"
done
check_match "curves are there" '^[1-9]' "$(sql "SELECT count(*) FROM sea.metric_series
    WHERE experiment_id = ${ids[1]} AND stage = 'align'")"
# The rows that stage eval wrote, counted in the files of the store: nothing got lost on the way.
lines=0
while IFS='|' read -r sha path; do
    lines=$((lines + $(wc -l < "$SEA_DATA/store/${sha:0:2}/$sha")))
done < <(sql "SELECT m.sha256, m.path FROM sea.stage_run s JOIN sea.manifest m
    ON m.stage_id = s.output_stage_id AND m.epoch = s.output_epoch
    WHERE s.experiment_id = ${ids[0]} AND s.stage = 'eval' AND m.path LIKE 'rows/%'")
check_match "stage eval wrote rows" '^[1-9][0-9]+$' "$lines"
check_equal "every row that it wrote is an answer in the database" "$lines" \
    "$(sql "SELECT count(*) FROM sea.answer a
        JOIN sea.stage_run s ON s.output_stage_id = a.stage_id AND s.output_epoch = a.epoch
        WHERE s.experiment_id = ${ids[0]}")"

# ---- long logs ----

sql "INSERT INTO sea.event (experiment_id, kind, text)
    SELECT ${ids[1]}, 'log', 'line ' || i FROM generate_series(1, 12000) i"
run "$sea" logs "${ids[1]}"
check_equal "logs print all lines, however many" "$(sql "SELECT count(*) FROM sea.event
    WHERE experiment_id = ${ids[1]}")" "$(wc -l <<< "$out")"
check_match "to the last one" 'line 12000$' "$(tail -n 1 <<< "$out")"
run "$sea" logs "${ids[1]}" --json
check_equal "as JSON they are one list" "[ ]" "$(head -n 1 <<< "$out") $(tail -n 1 <<< "$out")"
check_equal "of all lines" 1 "$(grep -c '"text":"line 12000"' <<< "$out")"
run "$sea" logs "${ids[1]}" -f --json
check_equal "followed, they are JSON Lines: one object in each" 0 \
    "$(grep -vcE '^\{"id":[0-9]+,.*\}$' <<< "$out")"
check_equal "all of them" "$(sql "SELECT count(*) FROM sea.event
    WHERE experiment_id = ${ids[1]}")" "$(wc -l <<< "$out")"

# ---- more experiments than people want to see ----

run "$sea" status --limit 2
check_match "status tells how many it does not show" \
    "^$(($(sql 'SELECT count(*) FROM sea.experiment') - 2)) older ones are not shown" "$out"
run "$sea" status --limit 1 --json
check_equal "a limit holds for JSON, too" 1 "$(grep -c '"experiment_id"' <<< "$out")"

# ---- a sweep with one bad combination ----

before=$(sql 'SELECT max(id) FROM sea.experiment')
sed 's/^sweep: .*/sweep: {align.lambda: [0, 1.0]}/' "$tiny" > "$work/sweep.yaml"
sql "INSERT INTO sea.experiment (name, config, config_digest, submit_key, state, ended_at)
    VALUES ('x', '{}', 'x', 'half#scenes-tiny/align.lambda=1', 'failed', now())"
run "$sea" submit "$work/sweep.yaml" "${sets[@]}" --key half
check_error "when one of a sweep is refused" 64 'was used for experiment'
check_equal "none of it is queued" $((before + 1)) "$(sql 'SELECT max(id) FROM sea.experiment')"
sql "DELETE FROM sea.experiment WHERE name = 'x'"

sql "INSERT INTO sea.migration (version, name, sha256) VALUES (9999, 'x', repeat('0', 64))"
run "$sea" plan "$tiny" "${sets[@]}"
check_match "plan tells of a database with another schema" '^cached: not known, the database has migration' "$out"
sql 'DELETE FROM sea.migration WHERE version = 9999'

# ---- submitted from a folder that the worker does not run in ----

mkdir -p "$work/elsewhere/configs/suites"
ln -s "$data" "$work/elsewhere/data"
sed 's,^root: .*,root: data/eval,' configs/suites/scenes.yaml \
    > "$work/elsewhere/configs/suites/own.yaml"
tr ' ' '\n' <<< 'cat dog fox apple banana car red blue left right picture' > "$work/elsewhere/words.txt"
sed 's/ root: [^,]*,//' configs/experiments/scenes-tiny.yaml > "$work/elsewhere/scenes-tiny.yaml"
nearby=("${sets[@]}" --set label.words=words.txt)
unset 'nearby[-3]' 'nearby[-4]'         # the root of the suite
cd "$work/elsewhere" || exit 1
run "$sea" submit scenes-tiny.yaml "${nearby[@]}" --set eval.suite=own --wait
cd "$SEA_ROOT" || exit 1
check_rc "a suite by name, its root and a list of words are found from anywhere" 0
check_match "one experiment is one experiment" '^1 experiment succeeded' "$err"
check_equal "the leaderboard calls the suite by its name" own \
    "$(sql "SELECT DISTINCT suite FROM sea.leaderboard WHERE suite <> 'scenes'")"

# ---- cancel and retry ----

submit_one() {                  # options...; the id
    run "$sea" submit "$tiny" "${sets[@]}" --set align.lambda=1.0 "$@"
    sed -nE 's/^experiment ([0-9]+): .*/\1/p' <<< "$out"
}
stage_is() {                    # experiment, stage, state
    [ "$(sql "SELECT state FROM sea.stage_run WHERE experiment_id = $1 AND stage = '$2'")" = "$3" ]
}
has_ended() {                   # experiment
    [ -n "$(sql "SELECT ended_at FROM sea.experiment WHERE id = $1")" ]
}
state_of() {
    sql "SELECT state FROM sea.experiment WHERE id = $1"
}

id=$(submit_one --set align.steps=1000000 --set seed=11)
wait_until 30 stage_is "$id" align running
run "$sea" why "$id"
check_match "why names the stage that runs" 'align.*running' "$out"
check_match "and what the next one needs" 'tune.*blocked.*align' "$out"
run "$sea" cancel "$id"
check_rc "cancel" 0
wait_until 40 has_ended "$id"
check_equal "a cancelled experiment ends as cancelled" cancelled "$(state_of "$id")"
run "$sea" retry "$id"
check_rc "retry" 0
again=$(sql "SELECT max(id) FROM sea.experiment WHERE retry_of = $id")
check_match "retry makes a new experiment" '^[0-9]+$' "$again"
wait_until 30 stage_is "${again:-0}" align running
check_equal "which finds in the cache what was done before" cached \
    "$(sql "SELECT state FROM sea.stage_run WHERE experiment_id = ${again:-0} AND stage = 'label'")"
run "$sea" cancel "${again:-0}"
wait_until 40 has_ended "${again:-0}"
run "$sea" cancel "$id"
check_rc "cancelling what has ended is no error" 0

# ---- a stage that fails says why ----

mkdir "$work/broken"
cp -r "$data/train" "$work/broken/"
run "$sea" submit "$tiny" "${sets[@]}" --set "data.instruct.images=$work/broken/none"
check_error "a folder that is missing is told before anything is queued" 66 \
    'data.instruct.images: there is no folder ".*broken/none"' 'hint: '
id=$(submit_one --set "data.instruct.json=$work/broken/train/instruct.json" \
    --set "data.instruct.images=$work/broken/none" --set seed=12 --unchecked)
wait_until 40 has_ended "$id"
check_equal "an experiment whose data is missing fails" failed "$(state_of "$id")"
run "$sea" logs "$id"
check_match "and its log names what is missing" 'broken/none' "$out"
check_equal "it failed before any attempt, as the key needs the pictures" 0 \
    "$(sql "SELECT count(*) FROM sea.attempt a JOIN sea.stage_run s ON s.id = a.stage_id
            WHERE s.experiment_id = $id AND s.stage = 'tune'")"
sed '0,/"conversations"/s//"conversation"/' "$data/train/instruct.json" > "$work/broken/train/instruct.json"
run "$sea" submit "$tiny" "${sets[@]}" --set align.lambda=1.0 --set seed=1 \
    --set "data.instruct.json=$work/broken/train/instruct.json" --wait
check_error "submit --wait ends with the status of the stage that failed" 65 \
    '1 experiment failed; tune of [0-9]+: .*instruct.json' 'hint: '
id=$(sed -nE 's/^experiment ([0-9]+): .*/\1/p' <<< "$out")
check_equal "bad data is not tried again" "1 invalid 65" \
    "$(sql "SELECT count(*) || ' ' || min(a.class) || ' ' || min(a.exit_status) FROM sea.attempt a
            JOIN sea.stage_run s ON s.id = a.stage_id
            WHERE s.experiment_id = ${id:-0} AND s.stage = 'tune'")"

# ---- the worker is killed three times in the middle of a stage ----

steps=(--set align.steps=1200 --set align.checkpoint_every=20 --set seed=13)
id=$(submit_one "${steps[@]}")
stage=$(sql "SELECT id FROM sea.stage_run WHERE experiment_id = $id AND stage = 'align'")
epoch=0
for blow in 1 2 3; do
    # It waits for the blow behind a checkpoint of its own: else it could end before.
    pid=$(sql_when 20 "EXISTS (SELECT FROM sea.checkpoint c
                                WHERE c.stage_id = $stage AND c.epoch > $epoch)" \
                   "SELECT pid FROM sea.attempt WHERE stage_id = $stage ORDER BY epoch DESC LIMIT 1")
    kill -STOP "$pid"
    epoch=$(sql "SELECT last_epoch FROM sea.stage_run WHERE id = $stage")
    check_equal "the stage runs when the worker is killed for the $blow. time" running \
        "$(sql "SELECT state FROM sea.stage_run WHERE id = $stage")"
    kill -9 "$(role_pid worker-1)"
    run "$sea" up --workers 1 --device cpu:2 --ttl 2
    check_match "sea up starts a new worker" '^worker-1: started' "$out"
done
wait_until 60 has_ended "$id"
check_equal "the experiment succeeds" succeeded "$(state_of "$id")"
check_match "each attempt went on from a checkpoint of the one before" '^[3-9]' \
    "$(sql "SELECT count(*) FROM sea.attempt WHERE stage_id = $stage AND resumed_step > 0")"
check_equal "and really did: the stage says from which step" \
    "$(sql "SELECT string_agg(resumed_step::text, ' ' ORDER BY epoch) FROM sea.attempt
            WHERE stage_id = $stage AND resumed_step > 0")" \
    "$(sql "SELECT string_agg(substring(text FROM 'at step ([0-9]+) of'), ' ' ORDER BY epoch)
            FROM sea.event WHERE stage_id = $stage AND text LIKE 'going on with%'")"
check_equal "the log counts the lost attempts" 3 \
    "$(sql "SELECT count(*) FROM sea.attempt WHERE stage_id = $stage AND state = 'lost'")"

# The same stage by hand and undisturbed, on inputs from the store.
stored_sums() {                 # stage
    sql "SELECT m.sha256 || '  ' || m.path FROM sea.manifest m JOIN sea.stage_run s
         ON m.stage_id = s.output_stage_id AND m.epoch = s.output_epoch
         WHERE s.experiment_id = $id AND s.stage = '$1' AND m.path <> 'manifest.json'
         ORDER BY m.path"
}
for stage_name in foundation label; do
    run "$sea" get "$id" $stage_name --out "$work/$stage_name"
    check_finished "the store gives back the folder of $stage_name" "$work/$stage_name"
done
check_equal "as files of the caller's own, not as second names of the store's" "" \
    "$(find "$work/foundation" -type f \( -links +1 -o ! -perm -u+w \))"
run "$sea" get "$id" label --out "$work/label"
check_error "what is there already stays" 64 'is there already' 'hint: '
run "$sea" get "$id" lable --out "$work/lable"
check_error "a stage that is none has no files" 64 'no stage "lable"'
run "$sea" get "$id"
check_match "the files of an experiment are listed" '^label +words.txt +[0-9]+ +[0-9a-f]{64}' "$out"
tiny_config "$data" "$work/config.json" "${steps[@]}"
run "$sea" stage align --config "$work/config.json" --in "foundation=$work/foundation" \
    --in "label=$work/label" --out "$work/align" --device cpu:2
check_rc "the same stage by hand ends" 0
check_equal "killed three times or never: the same bytes" \
    "$(manifest_sums "$work/align" | sort -k2)" "$(stored_sums align | sort -k2)"

# ---- a file of the store is lost ----

sha=$(sql "SELECT m.sha256 FROM sea.manifest m JOIN sea.stage_run s
           ON m.stage_id = s.output_stage_id AND m.epoch = s.output_epoch
           WHERE s.experiment_id = $id AND s.stage = 'align' AND m.path = 'adapter.safetensors'")
rm -f "${SEA_DATA:?}/store/${sha:0:2}/$sha"
run "$sea" doctor --store
check_match "doctor names a file that is lost" "^bad +references .*such as $sha" "$out"
check_equal "its output is forgotten" 1 "$(sql "SELECT sea.forget_output('$sha')")"
run "$sea" submit "$tiny" "${sets[@]}" --set align.lambda=1.0 "${steps[@]}" --wait
check_match "and computed again, once, while what follows is found" \
    '^1 experiment succeeded; 4 of 5 stages came from the cache$' "$err"
check_equal "with the bytes that it had" "$sha" \
    "$(sha256sum "$SEA_DATA/store/${sha:0:2}/$sha" | cut -c 1-64)"

# ---- the dashboard ----

port=$(free_port)
"$sea" serve --port $port > "$work/serve.out" 2>&1 &
serve=$!
children+=("$serve")
get() {                         # path; the answer's status line and body
    exec 9<> "/dev/tcp/127.0.0.1/$port" || return 1
    printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&9
    timeout 10 cat <&9
    exec 9>&-
}
wait_until 10 get /health
check_match "the dashboard is healthy" '^ok' "$(get /health | tail -n 1)"
check_match "it lists experiments" '"experiment_id":[0-9]+' "$(get /api/experiments)"
check_match "and the stages of one" '"stage":"align"' "$(get "/api/stages?id=$id")"
check_match "without an id it says what is missing" '400 .*"error":"/api/stages needs \?id=' \
    "$(get /api/stages | tr -d '\r\n')"
check_match "with nonsense, too" '400 .*is not an id of an experiment' \
    "$(get '/api/stages?id=1;DROP' | tr -d '\r\n')"
check_match "it changes nothing" '405 .*"error":"pages are read only"' \
    "$(exec 8<> "/dev/tcp/127.0.0.1/$port"; printf 'POST / HTTP/1.0\r\n\r\n' >&8
       timeout 10 cat <&8 | tr -d '\r\n')"
check_match "what is not there is not found" '404 .*"error":"there is no page /nowhere"' \
    "$(get /nowhere | tr -d '\r\n')"

# ---- PostgreSQL crashes in the middle ----

id=$(submit_one --set align.steps=600 --set align.checkpoint_every=20 --set seed=14)
wait_until 40 stage_is "$id" align running
# What `pg_ctl stop -m immediate` does, without having to become the server's user.
kill -QUIT "$(head -n 1 "$SEA_DATA/pg/postmaster.pid")"
wait_until 20 test ! -e "$SEA_DATA/pg/postmaster.pid"
run "$sea" status
check_error "without PostgreSQL, status says so" 69 'sea up'
check_match "and the dashboard, with a reason" '503 .*"error":"[^"]+PostgreSQL' \
    "$(get /health | tr -d '\r\n')"
run "$sea" up --workers 1 --device cpu:2 --ttl 2
check_rc "sea up starts it again" 0
check_match "the dashboard connects again" '^ok' "$(wait_until 10 get /health; get /health | tail -n 1)"
kill "$serve"
wait_until 90 has_ended "$id"
check_equal "the experiment still ends well" succeeded "$(state_of "$id")"
check_equal "no promise was broken" 0 "$(sql 'SELECT count(*) FROM sea.broken_invariant')"
check_equal "no stage run has two outputs" 0 "$(sql "SELECT count(*) FROM (SELECT stage_id
    FROM sea.attempt WHERE state = 'committed' GROUP BY stage_id HAVING count(*) > 1) AS x")"

# ---- down ----

worker=$(role_pid worker-1)
scheduler=$(role_pid scheduler)
run "$sea" down
check_rc "sea down" 0
check_match "it tells what it stopped" '^stopped 2 processes and PostgreSQL' "$out"
for pid in $worker $scheduler; do
    # A process 1 that collects nobody leaves a "Z" behind.
    check_match "process $pid is gone after sea down" '^(Z.*)?$' \
        "$(sed -nE 's/^State:\s*//p' "/proc/$pid/status" 2>/dev/null)"
done
run "$sea" down
check_rc "sea down twice is no error" 0
run "$sea" up --workers 0
check_rc "sea up after sea down" 0
check_equal "everything is still there" succeeded "$(state_of "${ids[0]}")"

# ---- and in another folder ----

run "$sea" down
check_rc "sea down before the folder moves" 0
mv "$SEA_DATA" "$work/moved"
service_up "$work/moved" --workers 0
check_equal "a folder that was moved still holds everything" succeeded "$(state_of "${ids[0]}")"
check_file "with its logs" "$SEA_DATA/log/worker-1.log"
check_equal "where checkpoints that were replaced are no news" "" \
    "$(cat "$SEA_DATA"/log/*.log | grep -E 'could not (link|open|look|create)')"

finish test_service
