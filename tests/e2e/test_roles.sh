#!/bin/bash
# Least privilege with real processes: a researcher submits, a scheduler and a worker that may do
# no more than their roles bring the experiment to its end; others see and change nothing.
. "$(dirname "$0")/lib.sh"
data=$work/data

tiny_data "$data"
tiny_sets "$data"
service_up "$work/service" --workers 0
kill "$(role_pid scheduler)"            # it runs as the owner; ours come below
sql "CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE gpu7 LOGIN; CREATE ROLE night LOGIN;
     CREATE ROLE nobody LOGIN; CREATE ROLE sea_tenant_vision; CREATE ROLE sea_tenant_speech;
     GRANT sea_researcher TO alice, bob; GRANT sea_worker TO gpu7; GRANT sea_scheduler TO night;
     GRANT sea_tenant_vision TO alice; GRANT sea_tenant_speech TO bob"
of() {                          # user; the database's address for them
    echo "SEA_DATABASE_URL=${url/user=sea/user=$1}"
}
env "$(of night)" "$sea" scheduler > "$work/scheduler.log" 2>&1 &
children+=($!)
env "$(of gpu7)" "$sea" worker --device cpu:2 > "$work/worker.log" 2>&1 &
children+=($!)

run env "$(of alice)" "$sea" submit "$tiny" "${sets[@]}" --set align.lambda=1.0 --wait
check_rc "a researcher's experiment comes to its end" 0
check_equal "it belongs to her tenant" "vision alice succeeded" \
    "$(sql "SELECT tenant || ' ' || submitted_by || ' ' || state FROM sea.experiment")"
run env "$(of alice)" "$sea" leaderboard
check_match "she sees its scores" 'scenes-tiny' "$out"
run env "$(of alice)" "$sea" logs 1
check_match "and its log" 'stage eval' "$out"
run env "$(of alice)" "$sea" nightly list
check_rc "and the schedules" 0
run env "$(of bob)" "$sea" status
check_match "another tenant sees nothing" 'no experiments yet' "$out"
run env "$(of bob)" "$sea" cancel 1
check_error "and cancels nothing" 64 'there is no experiment 1'
run env "$(of bob)" "$sea" submit "$tiny" "${sets[@]}" --set align.lambda=1.0 --wait
check_match "another tenant with the same data finds it computed" '5 of 5 stages came from the cache' "$err"
check_equal "and may read what was found: files of the model, answers" "t|t" \
    "$(psql -XAtq "${url/user=sea/user=bob}" -c "
        SELECT count(m.path) > 5, (SELECT count(*) > 0 FROM sea.answer)
          FROM sea.stage_run AS s JOIN sea.manifest AS m
               ON m.stage_id = s.output_stage_id AND m.epoch = s.output_epoch
         WHERE s.stage = 'tune'")"
run env "$(of alice)" "$sea" nightly add configs/schedules/llava-nightly.yaml
check_error "schedules are the operators'" 64 'permission denied' 'hint: .*role'
run env "$(of nobody)" "$sea" status
check_error "without a role there is nothing" 64 'permission denied for schema sea' 'hint: .*role'
check_equal "nobody was refused what belongs to their work" "" \
    "$(grep -h 'permission denied' "$work"/*.log)"
host=$(echo "$url" | sed -E "s/.*host='([^']*)'.*/\1/")
run env "SEA_DATABASE_URL=postgresql://sea:hunter2@/sea?host=$host" "$sea" up --workers 0 --data "$work/other"
check_rc "an address with a password will do" 0
check_match "the address is shown" 'postgresql: postgresql://sea:[*]*@/sea' "$out"
check_equal "the password is not" "" "$(echo "$out$err" | grep hunter2)"
check_equal "nor is it in a log" "" "$(grep -rl hunter2 "$work/other")"
run env "SEA_DATABASE_URL=postgresql://sea:hunter2@/sea?host=$host" "$sea" down --data "$work/other"
check_equal "no promise was broken" 0 "$(sql 'SELECT count(*) FROM sea.broken_invariant')"

finish test_roles
