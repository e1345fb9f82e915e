#!/bin/bash
# make test-slurm: a service whose stages are jobs of a real Slurm, of one machine, started here
# from the system's packages and gone afterwards. Needs root; says SKIP and why when it cannot.
cd "$(dirname "$0")/../.." || exit 1
export SEA_ROOT=$PWD SEA_BUILD=${SEA_BUILD:-$PWD/build/dev}
. tests/slurm/cluster.sh
why=$(cluster_missing)
if [ -n "$why" ]; then
    echo "SKIP a real Slurm: $why"
    echo "slurm: 0 passed, 0 failed, 1 skipped"
    exit 0
fi
. tests/e2e/lib.sh
trap 'cluster_stop; leave' EXIT
LINES_SHOWN=20
if ! cluster_start "$work/c"; then
    tail -n 5 "$work/c"/*.log "$work/c/munge/log" 2>/dev/null
    skip "a real Slurm" "its daemons do not come up here"
    finish slurm
fi
echo "slurm $(sbatch --version | cut -d' ' -f2), ready"
unset SLURM_JOB_ID SLURM_RESTART_COUNT

# A lane without processes would let everything pass: a probe job has to leave its mark.
printf '#!/bin/sh\ntouch %s/mark\n' "$work" > "$work/probe.sh"
sbatch --parsable --output=/dev/null "$work/probe.sh" > /dev/null
wait_until 30 test -e "$work/mark" && ok "a probe job leaves its mark" ||
    bad "a probe job leaves its mark" '%s\n' "$(tail -n 5 "$cluster/slurmd.log")"

data=$work/data service=$work/service
tiny_data "$data"
tiny_sets "$data"
mkdir -p "$service"
cat > "$service/sea.yaml" <<END
slurm:
  gres: lane
  accounting: jobcomp
  poll: 0.5
  ttl: 10
  settle: 5
  grace: 5
  kill_wait: 3
END
service_up "$service" --workers 0
# Small steps, so that a checkpoint comes soon; stages that wait for nothing but their own work.
sets+=("${quick_steps[@]}" --set resources.backend=slurm --set resources.device=cpu:1)
live() { squeue -h -t PENDING,RUNNING,COMPLETING -o '%i %T %j' | grep ' sea-'; }
is_quiet() { [ -z "$(live)" ]; }
has() { [ "$(sql "$1")" = "$2" ]; }

# ---- a sweep ----

LIMIT=300 run "$sea" submit "$tiny" "${sets[@]}" --wait
check_rc "a sweep runs as jobs and ends well" 0
check_equal "each attempt was one job, and committed" "$(sql "SELECT count(*) FROM sea.stage_run WHERE state = 'done'")|committed" \
    "$(sql "SELECT count(*), min(a.state) FROM sea.attempt a JOIN sea.cluster_job j USING (stage_id, epoch)")"
wait_until 20 is_quiet
check_equal "no job is left" "" "$(live)"
wait_until 10 rmdir "$service/slurm"
check_none "their folders with the secrets are gone" "$service/slurm"
check_equal "jobs ran on the node" localhost "$(sql "SELECT DISTINCT cluster_reason IS NULL, 'localhost' FROM sea.cluster_job LIMIT 1" | cut -d'|' -f2)"
check_no_match "no secret stands in a script or a log" "$(sql "SELECT coalesce(string_agg(secret::text, '|'), 'none-alive') FROM sea.lease")" \
    "$(cat "$service"/log/slurm/*.log)"

# The same by a worker: the same bytes.
jobs=$(sql "SELECT string_agg(stage || ' ' || output_digest, ' ' ORDER BY id) FROM sea.stage_run WHERE experiment_id = 1")
run "$sea" down --data "$service"
other=$work/other
service_up "$other" --workers 1 --device cpu:1
LIMIT=300 run "$sea" submit "$tiny" "${sets[@]}" --set resources.backend=local --wait
check_rc "the same sweep by a worker" 0
check_equal "gives the same bytes" "$jobs" \
    "$(sql "SELECT string_agg(stage || ' ' || output_digest, ' ' ORDER BY id) FROM sea.stage_run WHERE experiment_id = 1")"
run "$sea" down --data "$other"
service_up "$service" --workers 0

# ---- a long stage, disturbed ----

long=(--set foundation.clip.steps=100000 --set foundation.checkpoint_every=5)
submit_long() {                 # options; sets id
    run "$sea" submit "$tiny" "${sets[@]}" "${long[@]}" --set align.lambda=0 "$@"
    id=$(sed -nE 's/^experiment ([0-9]+): .*/\1/p' <<< "$out" | head -n 1)
}
sed -i '/^sweep:/d' "$tiny"
epoch() { sql "SELECT last_epoch FROM sea.stage_run WHERE experiment_id = $id AND stage = 'foundation'"; }
state() { sql "SELECT a.state FROM sea.attempt a JOIN sea.stage_run s ON s.id = a.stage_id WHERE s.experiment_id = $id AND a.epoch = $1"; }
job() { sql "SELECT j.job_id FROM sea.cluster_job j JOIN sea.stage_run s ON s.id = j.stage_id WHERE s.experiment_id = $id ORDER BY j.epoch DESC LIMIT 1"; }
runs() { [ "$(sql "SELECT count(*) FROM sea.attempt a JOIN sea.stage_run s ON s.id = a.stage_id
                    JOIN sea.checkpoint c ON c.stage_id = s.id
                   WHERE s.experiment_id = $id AND a.state = 'started' AND a.epoch >= $1")" = 1 ]; }

submit_long --set seed=7
wait_until 60 runs 1 && ok "a long stage runs and has a checkpoint" || bad "a long stage runs" '%s\n' "$("$sea" why "$id")"
check_match "why tells its job and its node" "job $(job)" "$("$sea" why "$id" 2>&1)"

# The time limit comes near: USR1 to the batch script. It goes on in another job.
scancel --batch --signal=USR1 "$(job)"
wait_until 60 runs 2 && ok "near its time limit it writes a checkpoint and goes on in another job" ||
    bad "after USR1" '%s\n' "$("$sea" why "$id")"
check_equal "at no cost" "released 0 0" "$(state 1) $(sql "SELECT losses, failures FROM sea.stage_run WHERE experiment_id = $id AND stage = 'foundation'" | tr '|' ' ')"

# The controller goes away: looks fail, the job is let be.
kill -9 "$(cat "$cluster/slurmctld.pid")"
wait_until 30 has "SELECT failures > 1 FROM sea.cluster_look" t && ok "without its controller the cluster is suspect" ||
    bad "suspicion" '%s\n' "$(sql 'SELECT * FROM sea.cluster_look')"
check_equal "and nothing is moved" "2 started" "$(epoch) $(state 2)"
slurmctld > /dev/null 2>&1
wait_until 60 has "SELECT failures FROM sea.cluster_look" 0 && ok "it is asked again when it is back" ||
    bad "the controller is back" '%s\n' "$(sql 'SELECT * FROM sea.cluster_look')"
check_equal "the job ran through it" "2 started" "$(epoch) $(state 2)"

# Preemption by a partition of higher priority.
sbatch --parsable -p high --exclusive --time=1 --output=/dev/null --wrap 'sleep 4' > "$work/high"
wait_until 60 has "SELECT last_epoch > 2 FROM sea.stage_run WHERE experiment_id = $id AND stage = 'foundation'" t &&
    ok "a preempted stage is submitted again" || bad "preemption" '%s\n' "$(squeue -a -t all; "$sea" why "$id")"
wait_until 90 runs 3 && ok "and runs again" || bad "after preemption" '%s\n' "$(squeue -a; "$sea" why "$id")"

# kill -9 of the job's processes: the batch script ends, the attempt did not say so.
pid=$(sql "SELECT w.pid FROM sea.worker w JOIN sea.lease l ON l.worker_id = w.id")
kill -9 "$pid"
started=$SECONDS
wait_until 60 has "SELECT last_epoch > 3 FROM sea.stage_run WHERE experiment_id = $id AND stage = 'foundation'" t &&
    ok "a killed job is submitted again ($((SECONDS - started)) s, TTL 10 s)" || bad "kill -9" '%s\n' "$("$sea" why "$id")"
check_match "the attempt is lost" '^(lost|failed)$' "$(state 3)"
wait_until 60 runs 4

# The scheduler is killed, and another one carries on.
kill -9 "$(role_pid scheduler)"
run "$sea" up --workers 0
check_equal "another scheduler lets the job be" "4 started" "$(epoch) $(state 4)"

# Cancel.
run "$sea" cancel "$id"
wait_until 60 has "SELECT state FROM sea.experiment WHERE id = $id" cancelled && ok "a running stage is cancelled" ||
    bad "cancel" '%s\n' "$("$sea" why "$id")"
wait_until 30 is_quiet && ok "and its job is gone" || bad "left over" '%s\n' "$(live)"

# ---- what the cluster cannot give ----

sets+=(--set resources.device=auto)
submit_long --set seed=8 --set resources.gpus=3
wait_until 60 has "SELECT count(*) > 0 FROM sea.attempt a JOIN sea.stage_run s ON s.id = a.stage_id WHERE s.experiment_id = $id AND a.state = 'lost'" t &&
    ok "a job that is refused is looked for, and lost" || bad "refused" '%s\n' "$("$sea" why "$id")"
check_match "with the cluster's words" 'Requested node configuration' \
    "$(sql "SELECT a.message FROM sea.attempt a JOIN sea.stage_run s ON s.id = a.stage_id WHERE s.experiment_id = $id AND a.epoch = 1")"
run "$sea" cancel "$id"
check_equal "invariants hold" "" "$(sql 'SELECT * FROM sea.broken_invariant')"
check_equal "no stage run committed twice" 0 "$(sql "SELECT count(*) FROM (SELECT stage_id FROM sea.attempt WHERE state = 'committed' GROUP BY 1 HAVING count(*) > 1) x")"
finish slurm
