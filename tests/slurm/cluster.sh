# A Slurm of one machine, below one folder: its own configuration, key, ports and state; nothing
# in /etc/slurm. Sourced by tests/slurm/run.sh.
#
#   cluster_missing         prints why it cannot be, or nothing
#   cluster_start FOLDER    as root; sets SLURM_CONF
#   cluster_stop            cancels every job and ends the three daemons

cluster_missing() {
    local tool
    [ "$(id -u)" = 0 ] || { echo "it takes root: slurmd runs jobs as their owners"; return; }
    for tool in munged slurmctld slurmd sbatch squeue scancel; do
        command -v $tool > /dev/null || {
            echo "$tool is not installed (apt-get install munge slurmctld slurmd slurm-client)"
            return
        }
    done
    id munge > /dev/null 2>&1 || echo "there is no user munge"
}

cluster_port() {                # a port that nobody listens on
    local port
    while port=$((20000 + RANDOM % 20000)); do
        (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null || { echo $port; return; }
    done
}

cluster_config() {
    local d=$cluster
    cat > "$d/slurm.conf" <<END
ClusterName=one
SlurmctldHost=localhost
SlurmUser=root
SlurmctldPort=$cluster_ctld_port
SlurmdPort=$(cluster_port)
AuthType=auth/munge
AuthInfo=socket=$d/munge/sock
StateSaveLocation=$d/state
SlurmdSpoolDir=$d/spool
SlurmctldPidFile=$d/slurmctld.pid
SlurmdPidFile=$d/slurmd.pid
SlurmctldLogFile=$d/slurmctld.log
SlurmdLogFile=$d/slurmd.log
MailProg=/bin/true
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2
TaskPlugin=task/none
ProctrackType=proctrack/linuxproc
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$d/jobcomp.txt
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=300
KillWait=5
SlurmdTimeout=10
JobRequeue=0
GresTypes=lane
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=localhost CPUs=4 Gres=lane:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=10
PartitionName=high Nodes=ALL MaxTime=INFINITE PriorityTier=20
END
    echo 'NodeName=localhost Name=lane Count=2 Flags=CountOnly' > "$d/gres.conf"
}

cluster_wait() {                # seconds, command...
    local end=$((SECONDS + $1))
    shift
    until "$@" > /dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

cluster_is_idle() {
    [ "$(sinfo -h -p main -o %T 2>/dev/null)" = idle ]
}

cluster_start() {
    cluster=$1
    mkdir -p "$cluster/state" "$cluster/spool" "$cluster/munge"
    chmod 755 "$cluster"
    head -c 128 /dev/urandom > "$cluster/munge/key"
    chown -R munge:munge "$cluster/munge"
    chmod 755 "$cluster/munge"
    chmod 400 "$cluster/munge/key"
    cluster_ctld_port=$(cluster_port)
    cluster_config
    export SLURM_CONF=$cluster/slurm.conf
    runuser -u munge -- munged --key-file="$cluster/munge/key" --socket="$cluster/munge/sock" \
        --pid-file="$cluster/munge/pid" --seed-file="$cluster/munge/seed" \
        --log-file="$cluster/munge/log" &&
        slurmctld > /dev/null 2>&1 && slurmd > /dev/null 2>&1 && cluster_wait 30 cluster_is_idle
}

cluster_stop() {
    local file pid
    [ -n "${cluster:-}" ] || return 0
    timeout 10 scancel -u root > /dev/null 2>&1
    cluster_wait 10 sh -c '[ -z "$(squeue -h -t PENDING,RUNNING,COMPLETING)" ]'
    for file in slurmd.pid slurmctld.pid munge/pid; do
        pid=$(cat "$cluster/$file" 2>/dev/null)
        [ -z "$pid" ] || { kill "$pid"; cluster_wait 10 sh -c "! kill -0 $pid" || kill -9 "$pid"; } 2>/dev/null
    done
    cluster=
}
