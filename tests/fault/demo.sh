#!/bin/bash
# The demo twice: once left alone, once with a worker, a stage, the scheduler or PostgreSQL
# killed every few seconds. Both must end with the same bytes in every stage and the same
# scores. Arguments go to `sea submit`: fewer steps for a quick look. SEA_BUILD: absolute build
# folder. SEED: of the moments. EVERY: seconds between two kills. REPORT: a file for what was
# done, as JSON. Takes about three times as long as the demo.
. "$(dirname "$0")/../e2e/lib.sh"

arguments=("$@") seed=${SEED:-1} every=${EVERY:-12} cores=$(nproc)
workers=$((cores < 2 ? 1 : 2))
up=(--workers $workers --device "cpu:$((cores / workers))" --ttl 5)
RANDOM=$seed
declare -A struck=([worker]=0 [stage]=0 [scheduler]=0 [postgresql]=0)

run "$sea" data scenes --out "$work/data" --train 3000 --eval 200 --kinds 40 --seed 1
check_rc "the demo world is made" 0
tiny_sets "$work/data"

is_over() {                     # experiments not ended: none
    [ "$(sql "SELECT count(*) FROM sea.experiment WHERE ended_at IS NULL")" = 0 ]
}

# Every stage of every arm with the hash of each file it left; manifest.json tells devices
# and times and is no result.
bytes_of_all() {
    sql "SELECT coalesce(e.config #>> '{stages,align,lambda}', '-'), s.stage, m.path, m.sha256
           FROM sea.experiment e JOIN sea.stage_run s ON s.experiment_id = e.id
           JOIN sea.manifest m ON m.stage_id = s.output_stage_id AND m.epoch = s.output_epoch
          WHERE m.path <> 'manifest.json' ORDER BY 1, 2, 3"
}
scores_of_all() {
    sql "SELECT coalesce(e.config #>> '{stages,align,lambda}', '-'), m.stage, m.name, m.step, m.value
           FROM sea.metric_series m JOIN sea.experiment e ON e.id = m.experiment_id
          WHERE m.name !~ '(per_s|seconds|_ms|memory|rss|wait)' ORDER BY 1, 2, 3, 4"
}

# A stage run whose budgets stand one more blow, and its worker's process: "ID EPOCH PID".
# Without budgets the service would rightly give it up.
victim() {
    sql "SELECT s.id || ' ' || s.last_epoch || ' ' || w.pid
           FROM sea.stage_run s JOIN sea.lease l ON l.stage_id = s.id
           JOIN sea.worker w ON w.id = l.worker_id
          WHERE s.failures < s.failures_max - 1 AND s.losses < s.losses_max - 1
          ORDER BY s.failures + s.losses, s.id LIMIT 1" 2>/dev/null
}

strike() {                      # kind; true when something was there to be killed
    local pid id epoch worker
    read -r id epoch worker < <(victim)
    case $1 in
    worker) pid=$worker ;;
    scheduler) pid=$(role_pid scheduler) ;;
    stage) pid=${id:+$(pgrep -f "$sea stage .*$SEA_DATA/tmp/$id\.$epoch/" | head -n 1)} ;;
    # What `pg_ctl stop -m immediate` does, without having to become the server's user.
    postgresql) pid=$(head -n 1 "$SEA_DATA/pg/postmaster.pid" 2>/dev/null) ;;
    esac
    [ -n "$pid" ] || return 1
    if [ "$1" = postgresql ]; then
        kill -QUIT "$pid" 2>/dev/null || return 1
        wait_until 20 test ! -e "$SEA_DATA/pg/postmaster.pid"
    else
        kill -9 "$pid" 2>/dev/null || return 1
    fi
    struck[$1]=$((struck[$1] + 1))
}

demo() {                        # name, kills: yes or no
    local kinds=(worker stage scheduler postgresql) start=$SECONDS next i=0
    service_up "$work/$1" "${up[@]}"
    run "$sea" submit configs/experiments/scenes-demo.yaml "${sets[@]}" "${arguments[@]}"
    check_rc "$1: the demo is submitted" 0
    next=$((SECONDS + every))
    until is_over || [ $((SECONDS - start)) -gt 1800 ]; do
        sleep 1
        [ "$2" = yes ] && [ $SECONDS -ge $next ] || continue
        if strike "${kinds[i % 4]}"; then
            run "$sea" up "${up[@]}"
            [ "$rc" -eq 0 ] || bad "sea up after a kill" '%s\n' "$err"
            i=$((i + 1))
            next=$((SECONDS + every / 2 + RANDOM % every))
        fi
    done
    seconds=$((SECONDS - start))
    check_equal "$1: both arms succeed" "succeeded succeeded" \
        "$(sql "SELECT string_agg(state, ' ') FROM sea.experiment")"
    check_equal "$1: no promise was broken" 0 "$(sql 'SELECT count(*) FROM sea.broken_invariant')"
    attempts=$(sql 'SELECT count(*) FROM sea.attempt')
    resumed=$(sql 'SELECT count(*) FROM sea.attempt WHERE resumed_step > 0')
    bytes_of_all > "$work/$1.bytes"
    scores_of_all > "$work/$1.scores"
    run "$sea" down
    check_rc "$1: sea down" 0
}

demo quiet no
quiet_s=$seconds
demo killed yes
check_match "there were stages to compare" '^[1-9][0-9]' "$(wc -l < "$work/quiet.bytes")"
check_match "and scores" '^[1-9][0-9]' "$(wc -l < "$work/quiet.scores")"
if out=$(diff "$work/quiet.bytes" "$work/killed.bytes"); then
    ok "killed or not: the same bytes"
else
    bad "killed or not: the same bytes" '%s\n' "$out"
fi
if out=$(diff "$work/quiet.scores" "$work/killed.scores"); then
    ok "killed or not: the same scores and losses"
else
    bad "killed or not: the same scores and losses" '%s\n' "$out"
fi
for kind in "${!struck[@]}"; do
    check_match "$kind was killed" '^[1-9]' "${struck[$kind]}"
done
line=$(printf '{"seed": %s, "kills": {"worker": %s, "stage": %s, "scheduler": %s, "postgresql": %s},
 "attempts": %s, "resumed": %s, "files": %s, "values": %s, "differences": %s,
 "seconds_quiet": %s, "seconds_killed": %s}' "$seed" "${struck[worker]}" "${struck[stage]}" \
    "${struck[scheduler]}" "${struck[postgresql]}" "$attempts" "$resumed" \
    "$(wc -l < "$work/quiet.bytes")" "$(wc -l < "$work/quiet.scores")" \
    "$(cat <(diff "$work/quiet.bytes" "$work/killed.bytes") \
           <(diff "$work/quiet.scores" "$work/killed.scores") | grep -c '^[<>]')" \
    "$quiet_s" "$seconds")
echo "$line"
[ -z "${REPORT:-}" ] || echo "$line" > "$REPORT"
finish "demo under kills"
