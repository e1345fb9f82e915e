#!/bin/bash
# The drill of docs/operations.md, both ways: a backup in the middle of a run, everything
# destroyed, a restore elsewhere. The service goes on where the backup was: the experiment ends
# with the bytes of one that was never disturbed, no file is missing, none differs.
. "$(dirname "$0")/lib.sh"
export PATH=$PATH:$(dirname "$(ls /usr/lib/postgresql/*/bin/pg_basebackup | tail -n 1)")
data=$work/data

tiny_data "$data"
tiny_sets "$data"
steps=("${quick_steps[@]}" --set align.lambda=1.0 --set align.steps=400 --set align.checkpoint_every=10)
service_up "$work/service" --workers 1 --device cpu:2 --ttl 5
submit() {                      # options; prints the id
    "$sea" submit "$tiny" "${sets[@]}" "${steps[@]}" "$@" | grep -oE '[0-9]+' | head -n 1
}
run "$sea" submit "$tiny" "${sets[@]}" "${steps[@]}" --set align.steps=3 --wait --key finished
check_rc "an experiment ends before the backup" 0
id=$(submit --key disturbed)
# In the middle of align, and behind a checkpoint, the stage stands still, so that it cannot end
# before the backup does; its worker goes on.
align="sea.stage_run s JOIN sea.attempt a ON a.stage_id = s.id AND a.epoch = s.last_epoch
       WHERE s.experiment_id = $id AND s.stage = 'align'"
stage_pid=$(sql_when 90 "EXISTS (SELECT FROM $align AND EXISTS (SELECT FROM sea.checkpoint c
                                                                   WHERE c.stage_id = s.id))" \
                     "SELECT a.pid FROM $align AND s.state = 'running'")
check_match "another one is in the middle of align" '^[0-9]+$' "$stage_pid"
kill -STOP "$stage_pid"

# ---- the backups, while it runs: the database first, then the store ----

backup=$work/backup
mkdir "$backup"
chmod 711 "$backup"
pg_dump --format=custom --file "$backup/sea.dump" "$url" 2> "$work/dump.err"
check_equal "pg_dump" "0 " "$? $(cat "$work/dump.err")"
pg_basebackup --pgdata "$backup/pg" --checkpoint fast --wal-method stream -d "${url/dbname=sea/}" 2> "$work/base.err"
check_equal "pg_basebackup" 0 $?
cp -a "$SEA_DATA/store" "$backup/store"
at_backup=$(sql "SELECT count(*) FROM sea.event")
check_equal "it still runs" running "$(sql "SELECT state FROM sea.stage_run WHERE experiment_id = $id AND stage = 'align'")"
later=$(submit --set seed=9 --key later)

# ---- everything is destroyed ----

kill -9 "$(role_pid worker-1)" "$(role_pid scheduler)" "$stage_pid"
kill -QUIT "$(head -n 1 "$SEA_DATA/pg/postmaster.pid")"
wait_until 20 test ! -e "$SEA_DATA/pg/postmaster.pid"
rm -rf "$work/service"
check_none "nothing is left" "$work/service"

# ---- what a restored service has to be ----

has_ended() { [ "$(sql "SELECT count(*) FROM sea.experiment WHERE ended_at IS NULL")" = 0 ]; }
outputs() {                     # hash and path of every file of an experiment's outputs
    sql "SELECT s.stage, m.path, m.sha256 FROM sea.stage_run s
           JOIN sea.manifest m ON m.stage_id = s.output_stage_id AND m.epoch = s.output_epoch
          WHERE s.experiment_id = $1 AND m.path <> 'manifest.json' ORDER BY 1, 2"
}
goes_on() {                     # what
    run "$sea" doctor --store
    check_match "$1: no file of the store differs" '^ok +store +[1-9][0-9]* files hashed, 0 do not match' "$out"
    check_match "$1: no reference dangles" '^ok +references +[1-9][0-9]* files of outputs, 0 are not' "$out"
    check_equal "$1: the experiment ends" 0 "$(wait_until 120 has_ended; echo $?)"
    check_equal "$1: well, as the one that had ended before" "succeeded succeeded" \
        "$(sql "SELECT string_agg(state, ' ') FROM sea.experiment")"
    check_equal "$1: the stage that ran was taken back once" "1 lost committed" \
        "$(sql "SELECT count(*) FILTER (WHERE a.state = 'lost') || ' ' || string_agg(a.state, ' ' ORDER BY a.epoch)
                  FROM sea.attempt a JOIN sea.stage_run s ON s.id = a.stage_id
                 WHERE s.experiment_id = $id AND s.stage = 'align'")"
    check_match "$1: and went on from its checkpoint" '^[1-9]' \
        "$(sql "SELECT max(resumed_step) FROM sea.attempt a JOIN sea.stage_run s ON s.id = a.stage_id WHERE s.experiment_id = $id")"
    check_equal "$1: no promise was broken" 0 "$(sql 'SELECT count(*) FROM sea.broken_invariant')"
    check_equal "$1: what was submitted after the backup is not known" 0 \
        "$(sql "SELECT count(*) FROM sea.experiment WHERE submit_key = 'later'")"
    check_equal "$1: a client that sends it again gets it, a key of before is known" "new 0, old $id" \
        "new $("$sea" submit "$tiny" "${sets[@]}" "${steps[@]}" --set seed=9 --key later > /dev/null; echo $?), old $(submit --key disturbed)"
    run "$sea" cancel "$(sql 'SELECT max(id) FROM sea.experiment')"
    run "$sea" doctor --store
    check_match "$1: at the end the store is whole, too" '^ok +store +.* 0 do not match' "$out"
    check_match "$1: with every file that is referred to" '^ok +references .* 0 are not' "$out"
    outputs "$id" > "$work/outputs.$1"
}

# ---- from pg_dump and the copied store ----

service_up "$work/logical" --workers 0
cp -a "$backup/store/." "$SEA_DATA/store/"
psql -X -q "$url" -c 'SET client_min_messages = warning' -c 'DROP SCHEMA sea CASCADE'
pg_restore --single-transaction --dbname "$url" "$backup/sea.dump" 2> "$work/restore.err"
check_equal "pg_restore" "0 " "$? $(cat "$work/restore.err")"
run "$sea" down
run "$sea" up --workers 1 --device cpu:2 --ttl 2
check_rc "sea up on what was restored" 0
check_match "has the schema's version" '^schema: version [0-9]+$' "$out"
goes_on logical
"$sea" down > /dev/null

# ---- from pg_basebackup and the copied store ----

mkdir "$work/physical"
chmod 711 "$work/physical"
cp -a "$backup/store" "$work/physical/store"
cp -a "$backup/pg" "$work/physical/pg"
[ "$(id -u)" -ne 0 ] || chown -R "$(stat -c %U "$work/logical/pg")" "$work/physical/pg"
service_up "$work/physical" --workers 1 --device cpu:2 --ttl 2
check_equal "the base backup holds what had happened" yes \
    "$([ "$(sql 'SELECT count(*) FROM sea.event')" -ge "$at_backup" ] && echo yes)"
goes_on physical
check_same "both restores end with the same bytes" "$work/outputs.logical" "$work/outputs.physical"

# ---- and those are the bytes of a run that nobody disturbed ----

"$sea" down > /dev/null
service_up "$work/reference" --workers 1 --device cpu:2
id=$(submit)
check_equal "an undisturbed run ends" 0 "$(wait_until 120 has_ended; echo $?)"
outputs "$id" > "$work/outputs.reference"
check_same "with the same bytes" "$work/outputs.reference" "$work/outputs.logical"

# ---- a backup that is not whole is found out ----

blob=$(sql "SELECT sha256 FROM sea.manifest WHERE stage_id = (SELECT output_stage_id FROM sea.stage_run
             WHERE experiment_id = $id AND stage = 'tune') LIMIT 1")
rm -f "$SEA_DATA/store/${blob:0:2}/$blob"
run "$sea" doctor --store
check_match "a file that is missing from the store is told" \
    "^bad +references +.* 1 are not in the store, such as ${blob:0:12}" "$out"
check_equal "with the status of what needs mending" 69 "$rc"

finish test_restore
