#!/bin/bash
# sea migrate, up and down: every version is reached from below and from above with the same
# schema, rows that a version has a place for stay, those that it has none for are not lost
# without a word; a held lock delays a migration and nobody else; old and new programs together.
. "$(dirname "$0")/../e2e/lib.sh"
export PATH=$PATH:$(dirname "$(ls /usr/lib/postgresql/*/bin/pg_dump | tail -n 1)")

service_up "$work/service" --workers 0
kill "$(role_pid scheduler)"    # looks into tables that come and go here
versions=$(ls sql/migrations/*.sql | sed -E 's/.*\/0*([0-9]+)_.*/\1/' | sort -n)
newest=$(echo "$versions" | tail -n 1)
before=$(echo "$versions" | tail -n 2 | head -n 1)
main_url=$url
schema() {                      # the schema as text
    pg_dump --schema-only --schema sea --no-owner "$url" |
        grep -vE '^(--|SET |SELECT pg_catalog|\\(un)?restrict |$)'
}
migrate() {                     # options of sea migrate
    SEA_DATABASE_URL=$url run "$sea" migrate "$@"
}

# ---- every version from below and from above ----

# Columns that come back stand behind those that were added meanwhile: of a table they are
# compared as a set.
sorted() {
    awk '/^CREATE TABLE/ { inside = NR; print NR "\t" $0; next }
         inside && /^\)/ { inside = 0 }
         { sub(/,$/, ""); print (inside ? inside + 0.5 : NR) "\t" $0 }' | sort -s -k1,1g -k2 | cut -f 2-
}
psql -X -q "$main_url" -c 'CREATE DATABASE below' -c 'CREATE DATABASE above'
url=${main_url/dbname=sea/dbname=above}
migrate
check_rc "a new database goes up to the newest" 0
for version in $(seq 0 "$newest"); do
    [ "$version" -eq 0 ] || [ -e "$(ls sql/migrations/"$(printf %04d "$version")"_*.sql 2> /dev/null)" ] || continue
    url=${main_url/dbname=sea/dbname=below}
    migrate --to "$version" --json
    check_match "up to $version" "\"version\":$version,\"newest\":$newest,\"applied\":1,|\"version\":0,.*\"applied\":0," "$out"
    schema > "$work/below.$version"
done
for version in $(seq "$newest" -1 0); do
    [ -e "$work/below.$version" ] || continue
    url=${main_url/dbname=sea/dbname=above}
    migrate --to "$version"
    check_rc "down to $version, without rows" 0
    schema > "$work/above.$version"
    check_equal "version $version is the same from above and from below" "" \
        "$(diff "$work/below.$version" "$work/above.$version" | head -n 20)"
done
migrate
check_rc "and up again" 0
schema > "$work/again"
check_equal "with the same schema" "" "$(diff <(sorted < "$work/below.$newest") <(sorted < "$work/again") | head -n 20)"

# ---- with rows ----

url=$main_url
hash=$(printf 'a%.0s' {1..64})
sql "SELECT sea.submit('{\"name\": \"a\", \"seed\": 1, \"stages\": {\"eval\": {\"suite\": \"s\"}}}', 'k')" > /dev/null
sql "UPDATE sea.stage_run SET state = 'ready', key = repeat('0', 64), ready_at = now();
     SELECT sea.register_worker('h', 1, 'cpu', 'default', 60000);
     CREATE TABLE public.c AS SELECT * FROM sea.claim(1, 'default', 60000);
     SELECT sea.relay(stage_id, epoch, secret, 1, '{\"metrics\": [[\"m\", 1, 2]]}') FROM public.c;
     SELECT sea.prepare_commit(stage_id, epoch, secret, '[[\"f\", \"$hash\", 1]]', '[[\"pope\", \"\"]]') FROM public.c;
     SELECT sea.commit_stage(stage_id, epoch, secret, '[[\"f\", \"$hash\", 1]]', repeat('b', 64),
            '[{\"benchmark\": \"pope\", \"split\": \"\", \"control\": false, \"metric\": \"accuracy\", \"value\": 0.5, \"n\": 10}]')
       FROM public.c" > /dev/null
rows() {
    for table in experiment stage_run attempt manifest artifact stage_cache metric score benchmark event board board_mean; do
        echo "$table"
        # Columns by name: those that came back are last.
        sql "SELECT jsonb_agg(to_jsonb(t) ORDER BY to_jsonb(t)::text) FROM sea.$table AS t"
    done
}
rows > "$work/rows"
schema | sorted > "$work/schema.before"
check_equal "there is a score on the board" 1 "$(sql 'SELECT count(*) FROM sea.board')"
migrate --to 6
check_rc "down to 6 with rows that it has a place for" 0
check_equal "experiments stay" "a done" "$(sql "SELECT e.name, s.state FROM sea.experiment e JOIN sea.stage_run s ON s.experiment_id = e.id" | tr '|' ' ')"
check_equal "and points of curves" 2 "$(sql 'SELECT value FROM sea.metric')"
migrate
check_rc "up again" 0
rows > "$work/rows.again"
check_equal "every row is as it was, boards are made anew" "" "$(diff "$work/rows" "$work/rows.again" | cut -c 1-300 | head -n 10)"
schema | sorted > "$work/schema.again"
check_equal "so is the schema" "" "$(diff "$work/schema.before" "$work/schema.again" | head -n 20)"

migrate --to 0
check_error "down where rows would be lost is refused" 64 'would lose data: 1 experiments' \
    'hint: .*--lose-data'
check_match "what could be done without a loss was done" '^1$' "$(sql 'SELECT max(version) FROM sea.migration')"
migrate
sql "INSERT INTO sea.schedule (name, cron, config) VALUES ('n', '0 3 * * *', '{}')"
migrate --to 5
check_error "so is a version without schedules" 64 "1 schedules' settings" '0006_nightly'
check_equal "the schedule is still there" 1 "$(sql 'SELECT count(*) FROM sea.schedule')"
migrate --to 0 --lose-data
check_rc "with --lose-data it goes down" 0
check_equal "to an empty schema" "migration" "$(sql "SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'sea'::regnamespace AND relkind IN ('r', 'v', 'p')")"
migrate
check_rc "and up" 0
migrate --to 99999
check_error "a version that does not exist" 64 '99999' "0 to $newest"

# ---- somebody holds a lock ----

mkfifo "$work/hold"
psql -X -q "$url" < "$work/hold" > /dev/null 2>&1 &
children+=("$!")
exec 8> "$work/hold"
echo 'BEGIN; SELECT count(*) FROM sea.stage_run, sea.experiment, sea.score;' >&8
is_held() { [ "$(sql "SELECT count(*) FROM pg_locks WHERE relation = 'sea.stage_run'::regclass AND granted AND pid <> pg_backend_pid()")" -gt 0 ]; }
wait_until 10 is_held
migrate --to 6 --patience 0
check_error "a table that somebody reads, without patience" 69 'lock timeout' 'hint: .*--patience'
SEA_DATABASE_URL=$url "$sea" migrate --to 6 --json > "$work/migrate.out" 2>&1 &
migrating=$!
children+=("$migrating")
is_waiting() { [ "$(sql "SELECT count(*) FROM pg_locks WHERE NOT granted")" -gt 0 ]; }
wait_until 10 is_waiting
start=$(date +%s%N)
sql "UPDATE sea.stage_run SET priority = 1 WHERE id = 0"
took=$((($(date +%s%N) - start) / 1000000))
check_equal "who comes after a waiting migration waits two seconds at most" "yes" \
    "$([ $took -lt 3500 ] && echo yes || echo "no, $took ms")"
sleep 2.5                       # past the first try, whose two seconds began before start
echo 'COMMIT;' >&8
wait "$migrating"
check_equal "the migration goes on when the lock is free" 0 $?
check_match "after some waits" '"version":6,.*"waits":[1-9]' "$(cat "$work/migrate.out")"
exec 8>&-
migrate
check_rc "up for what follows" 0

# ---- programs and schemas of other versions ----

run "$sea" status
check_rc "a program and its schema" 0
sql "INSERT INTO sea.migration (version, name, sha256, breaking) VALUES (9998, '9998_more', 'x', false)"
run "$sea" status
check_rc "an older program works with a schema that says it breaks nothing" 0
migrate
check_rc "and has nothing to migrate" 0
migrate --to 6
check_error "but does not know the way down" 64 '9998_more' 'hint: .*program that applied it'
sql "UPDATE sea.migration SET breaking = true WHERE version = 9998"
run "$sea" status
check_error "one that breaks older programs is refused" 64 '9998_more.*newer' 'hint: Update'
sql "DELETE FROM sea.migration WHERE version = 9998"
migrate --to "$before"
run "$sea" status
check_error "a newer program on an older schema says what to do" 64 "version $before, need $newest" \
    'hint: .*sea migrate'
migrate

# What a program of the version before calls and reads is still there, unless the migration
# says that it breaks older programs: functions that take the same arguments (more of them, with
# defaults) and give the same result (more columns), and columns of the same types.
surface() {
    sql "SELECT 'function', p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)
           FROM pg_proc p WHERE p.pronamespace = 'sea'::regnamespace
         UNION ALL
         SELECT 'column', c.relname || '.' || a.attname, '', format_type(a.atttypid, a.atttypmod)
           FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          WHERE c.relnamespace = 'sea'::regnamespace AND c.relkind IN ('r', 'v', 'p')"
}
missing() {                     # before, after; what is gone
    awk -F '|' 'function begins(long, short) {
                    sub(/[)]$/, "", short)
                    return index(long, short) == 1 && substr(long, length(short) + 1) ~ /^($|,|[)])/
                }
                NR == FNR { n = ++count[$1, $2]; args[$1, $2, n] = $3; result[$1, $2, n] = $4; next }
                { ok = 0
                  for (i = 1; i <= count[$1, $2]; i++)
                      ok = ok || (begins(args[$1, $2, i], $3) && begins(result[$1, $2, i], $4))
                  if (!ok) print }' "$2" "$1"
}
printf 'function|f|a bigint, b text|TABLE(x bigint)\ncolumn|t.c||text\n' > "$work/surface.before"
printf 'function|f|a bigint, b text, c text DEFAULT 1|TABLE(x bigint, y text)\ncolumn|t.c||text\n' > "$work/surface.after"
check_equal "more arguments and columns take nothing away" "" "$(missing "$work/surface.before" "$work/surface.after")"
printf 'function|f|a bigint, b textual|TABLE(x bigint)\ncolumn|t.c||bigint\n' > "$work/surface.after"
check_equal "other ones do" 2 "$(missing "$work/surface.before" "$work/surface.after" | wc -l)"
url=${main_url/dbname=sea/dbname=below}
migrate --to 1
surface > "$work/surface.before"
for file in sql/migrations/*.sql; do
    version=$(basename "$file" | sed -E 's/^0*([0-9]+)_.*/\1/')
    [ "$version" -gt 1 ] || continue
    migrate --to "$version"
    surface > "$work/surface.after"
    if grep -q '^-- Breaking: no' "$file"; then
        check_equal "$(basename "$file" .sql) takes nothing away" "" \
            "$(missing "$work/surface.before" "$work/surface.after" | head -n 5)"
    fi
    mv "$work/surface.after" "$work/surface.before"
done

finish test_migrate
