#!/bin/bash
# Nightly evaluation from the outside: a schedule file, two nights, reports, bad schedules.
. "$(dirname "$0")/lib.sh"
data=$work/data

tiny_data "$data"
quick_chain "$data" "$work/chain" tune
service_up "$work/service" --workers 1 --device cpu:2 --ttl 5

schedule=$work/tiny.yaml
write_schedule() {              # lines in place of others, by key
    cat > "$schedule" <<YAML
name: tiny
cron: "30 2 * * mon-fri"
suite: scenes
models: {one: $work/chain/tune/model}
eval: {root: $data/eval, limit: 6, max_new: 4}
device: cpu:2
YAML
    local line
    for line in "$@"; do
        sed -i "/^${line%%:*}:/d" "$schedule"
        echo "$line" >> "$schedule"
    done
}

# ---- schedules ----

run "$sea" nightly list
check_match "without schedules, list tells how to add one" 'sea nightly add FILE' "$out"
run "$sea" nightly report
check_match "without nights, report says so" 'no nights' "$out"
write_schedule
run "$sea" nightly add "$schedule"
check_rc "a schedule is added" 0
check_match "and tells its next slot" '^schedule tiny: next at 20[0-9-]+ 02:30Z$' "$out"
run "$sea" nightly add "$schedule"
check_rc "adding it again changes it" 0
check_equal "and makes no second one" 1 "$(sql 'SELECT count(*) FROM sea.schedule')"
run "$sea" nightly list
check_match "list shows it" '^tiny +30 2 \* \* mon-fri +yes +first +last +one ' "$out"
run "$sea" nightly disable tiny
check_match "disable lets it rest" '^schedule tiny: rests$' "$out"
check_equal "then it is not enabled" f "$(sql 'SELECT enabled FROM sea.schedule')"
run "$sea" nightly enable tiny
check_match "enable lets it go on" '^schedule tiny: next at 20' "$out"
for file in configs/schedules/*.yaml; do
    run "$sea" nightly add "$file"
    check_rc "$file is a schedule" 0
done
sql "DELETE FROM sea.schedule WHERE name <> 'tiny'"
check_equal "a second run before anybody is told is what a schedule does" t "$(sql 'SELECT confirm FROM sea.schedule')"
write_schedule 'confirm: false'
run "$sea" nightly add "$schedule"
check_equal "unless it says otherwise" "0 f" "$rc $(sql 'SELECT confirm FROM sea.schedule')"
write_schedule 'confirm: perhaps'
run "$sea" nightly add "$schedule"
check_error "in other words than true or false" 64 '"confirm" is [a-z]+, need true or false'
write_schedule
run "$sea" nightly add "$schedule"

# ---- bad ones: one message each, nothing added ----

write_schedule 'cron: "30 25 * * *"'
run "$sea" nightly add "$schedule"
check_error "an hour that is none" 64 'character 4: "25" is no hour from 0 to 23' 'hint: '
write_schedule 'cron: "every night"'
run "$sea" nightly add "$schedule"
check_error "a cron expression that is none" 64 'character 1: "every" is no minute'
write_schedule 'cron: "0 0 30 feb *"'
run "$sea" nightly add "$schedule"
check_error "a cron expression that never comes" 64 'names no minute at all'
write_schedule "name: \"x'; DROP TABLE sea.score; --\""
run "$sea" nightly add "$schedule"
check_error "SQL in a name" 64 'name'
write_schedule 'baselne: first'
run "$sea" nightly add "$schedule"
check_error "an unknown key" 64 'line 7: a schedule has no key "baselne"' 'hint: Keys: name, cron'
write_schedule 'models: [a, b]'
run "$sea" nightly add "$schedule"
check_error "models that are no map" 64 '"models" is list, need a map'
write_schedule 'delta: 3'
run "$sea" nightly add "$schedule"
check_error "a delta that is no fraction" 64 'schedule_delta_is_share' 'above 0 and below 1'
write_schedule 'suite: no-such-suite'
sed -i '/^suite/d' "$schedule"
run "$sea" nightly add "$schedule"
check_error "no suite" 64 'has no key "suite"'
run "$sea" nightly add "$work/none.yaml"
check_error "a file that is not there" 66 'none.yaml'
run "$sea" nightly run nobody
check_error "a schedule that is not there" 64 'no schedule "nobody"' 'sea nightly list'
run "$sea" nightly report --format html
check_error "a format that is not there" 64 'unknown format "html"'
run "$sea" nightly frobnicate
check_error "a command that is not there" 64 'frobnicate' 'hint: Usage: sea nightly'
check_equal "nothing of that was added" tiny "$(sql 'SELECT string_agg(name, $$ $$) FROM sea.schedule')"

# ---- nights ----

run "$sea" nightly run tiny --wait
check_rc "the first night" 0
check_equal "which scores answers of several benchmarks" yes \
    "$([ "$(sql "SELECT count(DISTINCT benchmark_id) FROM sea.answer WHERE score IS NOT NULL")" -ge 3 ] && echo yes)"
check_match "becomes the baseline" '^one .*baseline' "$out"
run "$sea" nightly run tiny --wait
check_rc "the second night" 0
check_match "finds its evaluation in the cache" '\] eval: cached$' "$err"
benchmarks=$(sql "SELECT count(DISTINCT benchmark_id) FROM sea.answer WHERE score IS NOT NULL")
check_equal "is compared on every benchmark that scores answers" "$benchmarks" \
    "$(grep -c '^one .*+0.00' <<< "$out")"
check_match "with nothing to tell" '^regressions that are not resolved:$' "$out"

# Another model in the same folder: what a nightly run is for.
quick_chain_seed() {
    quick_steps=(--set foundation.clip.steps=3 --set foundation.language.steps=3
                 --set align.steps=3 --set tune.steps=40 --set tune.lr=0.05 --set eval.limit=4)
    quick_chain "$data" "$work/other" tune
}
quick_chain_seed
rm -r "$work/chain/tune"
mv "$work/other/tune" "$work/chain/tune"
run "$sea" nightly run tiny --wait
check_rc "the third night, with another model in the folder" 0
check_match "is evaluated anew" '\] eval: done$' "$err"
check_equal "and compared with the first one" \
    "$(sql 'SELECT min(id) FROM sea.experiment')" \
    "$(sql 'SELECT DISTINCT baseline_id FROM sea.night_run WHERE slot = (SELECT max(slot) FROM sea.night)')"
check_equal "with a difference in each verdict" "$benchmarks" \
    "$(sql "SELECT count(difference) FROM sea.nightly_report WHERE night = (SELECT max(slot) FROM sea.night)")"
run "$sea" nightly report tiny --format md
check_match "as Markdown it has headings" '^## tiny, night of 20' "$out"
check_match "and a table" '^\| model' "$out"
run "$sea" nightly report --json
check_match "as JSON it has full precision" '"verdict":"(not worse|undecidable|regressed)".*"mde":' "$out"
run "$sea" nightly report --night 2001-01-01
check_match "a date without a night" 'no nights' "$out"
check_equal "three nights, each judged" 3 "$(sql 'SELECT count(judged_at) FROM sea.night')"

# A night that looks worse than its baseline, whose answers are made right ones: the second run,
# computed anew, says the same, because nothing in it is random.
sql "UPDATE sea.schedule SET q = 0.999, delta = 1e-9,
            baseline = (SELECT experiment_id FROM sea.night_run ORDER BY slot DESC LIMIT 1)"
sql "UPDATE sea.answer SET score = 1 WHERE stage_id = (SELECT s.output_stage_id FROM sea.stage_run s
      WHERE s.experiment_id = (SELECT baseline::bigint FROM sea.schedule) AND s.stage = 'eval')"
quick_steps+=(--set tune.steps=41)
quick_chain "$data" "$work/third" tune
rm -r "$work/chain/tune"
mv "$work/third/tune" "$work/chain/tune"
run "$sea" nightly run tiny --wait
check_rc "a night that looks bad" 0
check_equal "is evaluated a second time, computed and not found" "2 done" "$(sql "SELECT count(DISTINCT s.key) || ' ' || string_agg(DISTINCT s.state, ' ')
     FROM sea.night_run r JOIN sea.stage_run s ON s.experiment_id IN (r.experiment_id, r.confirm_id)
    WHERE r.slot = (SELECT max(slot) FROM sea.night)")"
check_equal "says the same" "0" "$(sql "SELECT count(*) FROM sea.verdict WHERE verdict = 'regressed'
     AND slot = (SELECT max(slot) FROM sea.night) AND confirm_difference IS DISTINCT FROM difference")"
check_match "and the report shows it" 'regressed, (twice|but not in a second run)' "$out"

# ---- a slot comes, while nobody calls anything ----

sql "UPDATE sea.schedule SET next_at = clock_timestamp() - interval '1 minute'"
slot_done() { [ "$(sql 'SELECT count(judged_at) FROM sea.night')" = 5 ]; }
check_equal "the scheduler starts and judges a slot by itself" yes \
    "$(wait_until 30 slot_done && echo yes)"

finish test_nightly
