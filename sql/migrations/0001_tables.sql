-- Purpose: schema sea: experiments, their stage runs, leases, results.
-- Breaking: no, first migration. Locks and scans: none, everything is new.
-- Run before: nothing.
--
-- Lock order of every transaction, here and in later migrations: lease, own stage run, other
-- stage runs by ascending id, at most one cache key (stage_cache or flight), experiment.
-- Slots are taken without waiting, before the stage run, and freed by their holder alone.
-- Blobs, benchmarks and answers are written in transactions of their own, before a commit.
-- Ids of stage runs are given in topological order, so a child's id is above its parents'.

CREATE TABLE sea.experiment (
    id bigint GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    state text NOT NULL DEFAULT 'queued',
    config jsonb NOT NULL,
    config_digest text NOT NULL,
    submit_key text,
    submitted_by text NOT NULL DEFAULT session_user,
    retry_of bigint,
    cancel_requested_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    ended_at timestamptz,
    CONSTRAINT experiment_pk PRIMARY KEY (id),
    CONSTRAINT experiment_submit_key_unique UNIQUE (submit_key),
    CONSTRAINT experiment_retry_of_fk FOREIGN KEY (retry_of) REFERENCES sea.experiment (id),
    CONSTRAINT experiment_state_known CHECK
        (state IN ('queued', 'running', 'cancelling', 'succeeded', 'failed', 'cancelled')),
    CONSTRAINT experiment_ended_is_terminal CHECK
        ((state IN ('succeeded', 'failed', 'cancelled')) = (ended_at IS NOT NULL)),
    CONSTRAINT experiment_cancelling_was_asked CHECK
        (state <> 'cancelling' OR cancel_requested_at IS NOT NULL),
    CONSTRAINT experiment_config_is_map CHECK (jsonb_typeof(config) = 'object')
);
CREATE INDEX experiment_open ON sea.experiment (id) WHERE ended_at IS NULL;
COMMENT ON TABLE sea.experiment IS 'One resolved experiment: a configuration and its stage runs. A sweep is one experiment per combination.';
COMMENT ON COLUMN sea.experiment.id IS 'Number that people use';
COMMENT ON COLUMN sea.experiment.name IS 'The configuration''s name, with the values of its sweep';
COMMENT ON COLUMN sea.experiment.state IS 'queued, running, cancelling, succeeded, failed or cancelled; the last three are final';
COMMENT ON COLUMN sea.experiment.config IS 'The resolved configuration: every default filled in, one combination of a sweep';
COMMENT ON COLUMN sea.experiment.config_digest IS 'SHA-256 of the configuration''s text, to compare submissions with one key';
COMMENT ON COLUMN sea.experiment.submit_key IS 'Idempotency key of the submission: the same key again gives this experiment';
COMMENT ON COLUMN sea.experiment.submitted_by IS 'Database user who submitted';
COMMENT ON COLUMN sea.experiment.retry_of IS 'The experiment that this one repeats (sea.retry)';
COMMENT ON COLUMN sea.experiment.cancel_requested_at IS 'When sea.cancel was called first';
COMMENT ON COLUMN sea.experiment.created_at IS 'When it was submitted';
COMMENT ON COLUMN sea.experiment.started_at IS 'When its first stage run was claimed or found in the cache';
COMMENT ON COLUMN sea.experiment.ended_at IS 'When its last stage run ended';

CREATE TABLE sea.stage_run (
    id bigint GENERATED ALWAYS AS IDENTITY,
    experiment_id bigint NOT NULL,
    stage text NOT NULL,
    state text NOT NULL,
    unmet integer NOT NULL,
    queue text NOT NULL DEFAULT 'default',
    owner text NOT NULL DEFAULT session_user,
    priority integer NOT NULL DEFAULT 0,
    aged integer NOT NULL DEFAULT 0,
    timeout_ms bigint,
    key text,
    last_epoch bigint NOT NULL DEFAULT 0,
    done_epoch bigint,
    output_stage_id bigint,
    output_epoch bigint,
    output_digest text,
    failures integer NOT NULL DEFAULT 0,
    failures_max integer NOT NULL DEFAULT 3,
    losses integer NOT NULL DEFAULT 0,
    losses_max integer NOT NULL DEFAULT 5,
    backoff_ms integer NOT NULL DEFAULT 2000,
    cancel_requested_at timestamptz,
    reason text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ready_at timestamptz,
    run_at timestamptz,
    ended_at timestamptz,
    CONSTRAINT stage_run_pk PRIMARY KEY (id),
    CONSTRAINT stage_run_once_per_experiment UNIQUE (experiment_id, stage),
    CONSTRAINT stage_run_experiment_fk FOREIGN KEY (experiment_id) REFERENCES sea.experiment (id),
    CONSTRAINT stage_run_stage_known CHECK
        (stage IN ('foundation', 'label', 'align', 'tune', 'eval')),
    CONSTRAINT stage_run_state_known CHECK
        (state IN ('blocked', 'waiting', 'ready', 'running', 'backoff', 'quarantined',
                   'done', 'cached', 'failed', 'skipped', 'cancelled')),
    CONSTRAINT stage_run_unmet_not_negative CHECK (unmet >= 0),
    CONSTRAINT stage_run_aged_not_negative CHECK (aged >= 0),
    CONSTRAINT stage_run_timeout_positive CHECK (timeout_ms > 0),
    CONSTRAINT stage_run_blocked_has_unmet CHECK (state <> 'blocked' OR unmet > 0),
    CONSTRAINT stage_run_started_has_no_unmet CHECK
        (state IN ('blocked', 'skipped', 'cancelled') OR unmet = 0),
    CONSTRAINT stage_run_key_is_sha256 CHECK (key ~ '^[0-9a-f]{64}$'),
    CONSTRAINT stage_run_ready_has_key CHECK
        (state NOT IN ('ready', 'running', 'backoff', 'done', 'cached', 'quarantined')
         OR key IS NOT NULL),
    CONSTRAINT stage_run_ready_has_time CHECK (state <> 'ready' OR ready_at IS NOT NULL),
    CONSTRAINT stage_run_backoff_has_time CHECK (state <> 'backoff' OR run_at IS NOT NULL),
    CONSTRAINT stage_run_running_has_epoch CHECK (state <> 'running' OR last_epoch > 0),
    CONSTRAINT stage_run_done_has_epoch CHECK ((state = 'done') = (done_epoch IS NOT NULL)),
    CONSTRAINT stage_run_done_epoch_was_last CHECK (done_epoch IS NULL OR done_epoch = last_epoch),
    CONSTRAINT stage_run_output_when_done CHECK
        ((state IN ('done', 'cached')) = (output_digest IS NOT NULL)
         AND (output_digest IS NULL) = (output_stage_id IS NULL)
         AND (output_digest IS NULL) = (output_epoch IS NULL)),
    CONSTRAINT stage_run_ended_is_terminal CHECK
        ((state IN ('done', 'cached', 'failed', 'skipped', 'cancelled')) = (ended_at IS NOT NULL)),
    CONSTRAINT stage_run_failure_has_reason CHECK
        (state NOT IN ('failed', 'skipped', 'quarantined') OR reason IS NOT NULL)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
CREATE INDEX stage_run_ready ON sea.stage_run (queue, priority DESC, ready_at, id)
    WHERE state = 'ready';
CREATE INDEX stage_run_waiting ON sea.stage_run (priority DESC, id) WHERE state = 'waiting';
CREATE INDEX stage_run_backoff ON sea.stage_run (run_at) WHERE state = 'backoff';
COMMENT ON TABLE sea.stage_run IS 'One stage of one experiment: a node of the graph. It commits at most once. Only functions of this schema change its state.';
COMMENT ON COLUMN sea.stage_run.id IS 'Ids are in topological order: parents have smaller ones';
COMMENT ON COLUMN sea.stage_run.experiment_id IS 'Experiment that it belongs to';
COMMENT ON COLUMN sea.stage_run.stage IS 'foundation, label, align, tune or eval';
COMMENT ON COLUMN sea.stage_run.state IS 'blocked, waiting, ready, running, backoff, quarantined; final: done, cached, failed, skipped, cancelled';
COMMENT ON COLUMN sea.stage_run.unmet IS 'Parents that have not produced their output yet';
COMMENT ON COLUMN sea.stage_run.queue IS 'Which workers may claim it';
COMMENT ON COLUMN sea.stage_run.owner IS 'Database user who submitted; limits per user count by it';
COMMENT ON COLUMN sea.stage_run.priority IS 'Higher ones are claimed first; what waiting has added is in it';
COMMENT ON COLUMN sea.stage_run.aged IS 'How much of priority came from waiting; taken off again with the claim';
COMMENT ON COLUMN sea.stage_run.timeout_ms IS 'Longest life of one attempt, from the start of its process; empty: no limit';
COMMENT ON COLUMN sea.stage_run.key IS 'SHA-256 of everything that determines the output: equal key, equal output';
COMMENT ON COLUMN sea.stage_run.last_epoch IS 'Number of the newest attempt; only grows. It is the fence';
COMMENT ON COLUMN sea.stage_run.done_epoch IS 'Attempt that committed';
COMMENT ON COLUMN sea.stage_run.output_stage_id IS 'Stage run that made the output: itself, or for cached ones another';
COMMENT ON COLUMN sea.stage_run.output_epoch IS 'Attempt that made the output';
COMMENT ON COLUMN sea.stage_run.output_digest IS 'Digest of the output''s manifest';
COMMENT ON COLUMN sea.stage_run.failures IS 'Attempts that ended with an error of their own';
COMMENT ON COLUMN sea.stage_run.failures_max IS 'At this many failures the stage run is failed';
COMMENT ON COLUMN sea.stage_run.losses IS 'Attempts lost through no fault of the stage: worker gone, preempted, service away';
COMMENT ON COLUMN sea.stage_run.losses_max IS 'Beyond this many losses the stage run is quarantined';
COMMENT ON COLUMN sea.stage_run.backoff_ms IS 'Pause after the first failure; doubles with each further one';
COMMENT ON COLUMN sea.stage_run.cancel_requested_at IS 'A running attempt reads this with its next heartbeat';
COMMENT ON COLUMN sea.stage_run.reason IS 'Why it is in this state, in words';
COMMENT ON COLUMN sea.stage_run.created_at IS 'When it was submitted';
COMMENT ON COLUMN sea.stage_run.ready_at IS 'When it became ready last';
COMMENT ON COLUMN sea.stage_run.run_at IS 'When a pause ends';
COMMENT ON COLUMN sea.stage_run.ended_at IS 'When it reached its final state';

CREATE TABLE sea.stage_dep (
    child_id bigint NOT NULL,
    parent_id bigint NOT NULL,
    CONSTRAINT stage_dep_pk PRIMARY KEY (child_id, parent_id),
    CONSTRAINT stage_dep_child_fk FOREIGN KEY (child_id) REFERENCES sea.stage_run (id),
    CONSTRAINT stage_dep_parent_fk FOREIGN KEY (parent_id) REFERENCES sea.stage_run (id),
    CONSTRAINT stage_dep_topological CHECK (parent_id < child_id)
);
CREATE INDEX stage_dep_parent ON sea.stage_dep (parent_id, child_id);
COMMENT ON TABLE sea.stage_dep IS 'Edges of the graph: the child reads the parent''s output. Never changed after the submission.';
COMMENT ON COLUMN sea.stage_dep.child_id IS 'Stage run that reads';
COMMENT ON COLUMN sea.stage_dep.parent_id IS 'Stage run that is read; the input''s name is its stage';

CREATE TABLE sea.worker (
    id bigint GENERATED ALWAYS AS IDENTITY,
    state text NOT NULL DEFAULT 'active',
    host text NOT NULL,
    pid bigint NOT NULL,
    device text NOT NULL,
    queue text NOT NULL DEFAULT 'default',
    ttl_ms integer NOT NULL,
    drain text,
    registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    CONSTRAINT worker_pk PRIMARY KEY (id),
    CONSTRAINT worker_state_known CHECK
        (state IN ('active', 'suspect', 'draining', 'gone', 'lost')),
    CONSTRAINT worker_ended_is_terminal CHECK
        ((state IN ('gone', 'lost')) = (ended_at IS NOT NULL)),
    CONSTRAINT worker_ttl_positive CHECK (ttl_ms > 0),
    CONSTRAINT worker_drain_known CHECK (drain IN ('finish', 'checkpoint'))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE sea.worker IS 'One process that runs stages. A new process is a new row; ids never return.';
COMMENT ON COLUMN sea.worker.id IS 'Registration';
COMMENT ON COLUMN sea.worker.state IS 'active, suspect (silent), draining; final: gone (said good-bye), lost';
COMMENT ON COLUMN sea.worker.host IS 'Name of its machine';
COMMENT ON COLUMN sea.worker.pid IS 'Process id there';
COMMENT ON COLUMN sea.worker.device IS 'What it computes on: cpu, cuda:0';
COMMENT ON COLUMN sea.worker.queue IS 'Queue that it claims from';
COMMENT ON COLUMN sea.worker.ttl_ms IS 'How long its leases live without a heartbeat';
COMMENT ON COLUMN sea.worker.drain IS 'When draining: finish (its stage may end) or checkpoint (its stage is given back)';
COMMENT ON COLUMN sea.worker.registered_at IS 'When it came';
COMMENT ON COLUMN sea.worker.seen_at IS 'When it was heard last';
COMMENT ON COLUMN sea.worker.ended_at IS 'When it left or was given up';

CREATE TABLE sea.lease (
    stage_id bigint NOT NULL,
    epoch bigint NOT NULL,
    worker_id bigint NOT NULL,
    secret uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    done bigint,
    total bigint,
    unit text,
    CONSTRAINT lease_pk PRIMARY KEY (stage_id),
    CONSTRAINT lease_epoch_positive CHECK (epoch > 0)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE sea.lease IS 'The right to write for an attempt. Exists exactly while the stage run is running. No other index and no foreign key: heartbeats stay cheap. Its epoch is never updated.';
COMMENT ON COLUMN sea.lease.stage_id IS 'Stage run';
COMMENT ON COLUMN sea.lease.epoch IS 'Its attempt; equals stage_run.last_epoch';
COMMENT ON COLUMN sea.lease.worker_id IS 'Who holds it';
COMMENT ON COLUMN sea.lease.secret IS 'Known to the holder alone: proof of identity';
COMMENT ON COLUMN sea.lease.expires_at IS 'From then on, by the database''s clock, the stage run may be taken back';
COMMENT ON COLUMN sea.lease.done IS 'Progress as the stage told it last';
COMMENT ON COLUMN sea.lease.total IS 'What done counts up to';
COMMENT ON COLUMN sea.lease.unit IS 'What done counts: steps, images, questions';

CREATE TABLE sea.attempt (
    stage_id bigint NOT NULL,
    epoch bigint NOT NULL,
    worker_id bigint NOT NULL,
    state text NOT NULL DEFAULT 'claimed',
    class text,
    exit_status integer,
    message text,
    hint text,
    context text,
    cause text,
    pid bigint,
    resumed_stage_id bigint,
    resumed_epoch bigint,
    resumed_step bigint,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    ended_at timestamptz,
    CONSTRAINT attempt_pk PRIMARY KEY (stage_id, epoch),
    CONSTRAINT attempt_state_known CHECK
        (state IN ('claimed', 'started', 'committed', 'failed', 'released', 'cancelled', 'lost')),
    CONSTRAINT attempt_class_known CHECK
        (class IN ('invalid', 'error', 'oom', 'timeout', 'infra', 'preempted', 'lost')),
    CONSTRAINT attempt_class_when_failed CHECK
        ((state IN ('failed', 'lost')) = (class IS NOT NULL)),
    CONSTRAINT attempt_ended_is_terminal CHECK
        ((state IN ('claimed', 'started')) = (ended_at IS NULL)),
    CONSTRAINT attempt_resumed_is_whole CHECK
        ((resumed_step IS NULL) = (resumed_epoch IS NULL)
         AND (resumed_step IS NULL) = (resumed_stage_id IS NULL))
);
COMMENT ON TABLE sea.attempt IS 'One try of a stage run; history, never deleted with its stage run''s hot rows.';
COMMENT ON COLUMN sea.attempt.stage_id IS 'Stage run';
COMMENT ON COLUMN sea.attempt.epoch IS 'Number of the try: 1, 2, 3, ...';
COMMENT ON COLUMN sea.attempt.worker_id IS 'Who tried';
COMMENT ON COLUMN sea.attempt.state IS 'claimed, started; final: committed, failed, released, cancelled, lost';
COMMENT ON COLUMN sea.attempt.class IS 'invalid: never again; error, oom, timeout: counted; infra, preempted, lost: free, within the budget of losses';
COMMENT ON COLUMN sea.attempt.exit_status IS 'Of the stage''s process; 128 + signal when killed';
COMMENT ON COLUMN sea.attempt.message IS 'What went wrong';
COMMENT ON COLUMN sea.attempt.hint IS 'What to do about it';
COMMENT ON COLUMN sea.attempt.context IS 'While doing what';
COMMENT ON COLUMN sea.attempt.cause IS 'Whose error code';
COMMENT ON COLUMN sea.attempt.pid IS 'Process id of the stage on the worker''s machine';
COMMENT ON COLUMN sea.attempt.resumed_stage_id IS 'Whose checkpoint it started from';
COMMENT ON COLUMN sea.attempt.resumed_epoch IS 'Attempt that had written the checkpoint';
COMMENT ON COLUMN sea.attempt.resumed_step IS 'Step of the checkpoint';
COMMENT ON COLUMN sea.attempt.claimed_at IS 'When a worker took it';
COMMENT ON COLUMN sea.attempt.started_at IS 'When the stage''s process started';
COMMENT ON COLUMN sea.attempt.ended_at IS 'When it ended, for whatever reason';

CREATE TABLE sea.artifact (
    sha256 text NOT NULL,
    bytes bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    condemned_at timestamptz,
    CONSTRAINT artifact_pk PRIMARY KEY (sha256),
    CONSTRAINT artifact_is_sha256 CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    CONSTRAINT artifact_bytes_not_negative CHECK (bytes >= 0)
);
CREATE INDEX artifact_condemned ON sea.artifact (condemned_at) WHERE condemned_at IS NOT NULL;
COMMENT ON TABLE sea.artifact IS 'A file of the store, by content. Written before the file is published, so that no file is without a row.';
COMMENT ON COLUMN sea.artifact.sha256 IS 'SHA-256 of the content, its name in the store';
COMMENT ON COLUMN sea.artifact.bytes IS 'Size';
COMMENT ON COLUMN sea.artifact.created_at IS 'When it was published first';
COMMENT ON COLUMN sea.artifact.condemned_at IS 'Since then the collector removes the file, then the row; nobody may use either any more';

CREATE TABLE sea.pin (
    sha256 text NOT NULL,
    stage_id bigint NOT NULL,
    epoch bigint NOT NULL,
    CONSTRAINT pin_pk PRIMARY KEY (sha256, stage_id, epoch)
);
CREATE INDEX pin_attempt ON sea.pin (stage_id, epoch);
COMMENT ON TABLE sea.pin IS 'Files that a running attempt is about to commit: the collector leaves them. They go with the attempt''s lease.';
COMMENT ON COLUMN sea.pin.sha256 IS 'File';
COMMENT ON COLUMN sea.pin.stage_id IS 'Stage run';
COMMENT ON COLUMN sea.pin.epoch IS 'Its attempt';

CREATE TABLE sea.concurrency (
    kind text NOT NULL,
    name text NOT NULL,
    slots_max integer NOT NULL,
    CONSTRAINT concurrency_pk PRIMARY KEY (kind, name),
    CONSTRAINT concurrency_kind_known CHECK (kind IN ('queue', 'user')),
    CONSTRAINT concurrency_slots_not_negative CHECK (slots_max >= 0)
);
COMMENT ON TABLE sea.concurrency IS 'How many stage runs of a queue, or of a user, may run at once. No row: no limit. Zero holds them all.';
COMMENT ON COLUMN sea.concurrency.kind IS 'queue or user';
COMMENT ON COLUMN sea.concurrency.name IS 'Which one';
COMMENT ON COLUMN sea.concurrency.slots_max IS 'Running stage runs at once';

CREATE TABLE sea.slot (
    kind text NOT NULL,
    name text NOT NULL,
    number integer NOT NULL,
    stage_id bigint,
    epoch bigint,
    CONSTRAINT slot_pk PRIMARY KEY (kind, name, number),
    CONSTRAINT slot_holder_is_whole CHECK ((stage_id IS NULL) = (epoch IS NULL))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE sea.slot IS 'The places behind a limit: each is free or belongs to one attempt, and is freed with that attempt''s lease.';
COMMENT ON COLUMN sea.slot.kind IS 'queue or user';
COMMENT ON COLUMN sea.slot.name IS 'Which one';
COMMENT ON COLUMN sea.slot.number IS '1 up to the limit; a lowered limit leaves higher ones while they are held';
COMMENT ON COLUMN sea.slot.stage_id IS 'Stage run that holds it; empty: free';
COMMENT ON COLUMN sea.slot.epoch IS 'Its attempt';

CREATE TABLE sea.manifest (
    stage_id bigint NOT NULL,
    epoch bigint NOT NULL,
    path text NOT NULL,
    sha256 text NOT NULL,
    bytes bigint NOT NULL,
    CONSTRAINT manifest_pk PRIMARY KEY (stage_id, epoch, path),
    CONSTRAINT manifest_artifact_fk FOREIGN KEY (sha256) REFERENCES sea.artifact (sha256),
    CONSTRAINT manifest_path_stays_inside CHECK
        (path <> '' AND path !~ '^/' AND path !~ '(^|/)[.][.](/|$)')
);
CREATE INDEX manifest_artifact ON sea.manifest (sha256);
COMMENT ON TABLE sea.manifest IS 'Files of a committed output. Written only inside a commit.';
COMMENT ON COLUMN sea.manifest.stage_id IS 'Stage run';
COMMENT ON COLUMN sea.manifest.epoch IS 'Attempt that committed';
COMMENT ON COLUMN sea.manifest.path IS 'Path below the output folder';
COMMENT ON COLUMN sea.manifest.sha256 IS 'Content';
COMMENT ON COLUMN sea.manifest.bytes IS 'Size';

CREATE TABLE sea.stage_cache (
    key text NOT NULL,
    stage_id bigint NOT NULL,
    epoch bigint NOT NULL,
    output_digest text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT stage_cache_pk PRIMARY KEY (key)
);
COMMENT ON TABLE sea.stage_cache IS 'Finished outputs by stage key: nobody computes the same thing twice.';
COMMENT ON COLUMN sea.stage_cache.key IS 'Stage key';
COMMENT ON COLUMN sea.stage_cache.stage_id IS 'Stage run that made the output';
COMMENT ON COLUMN sea.stage_cache.epoch IS 'Its attempt';
COMMENT ON COLUMN sea.stage_cache.output_digest IS 'Digest of the output''s manifest';
COMMENT ON COLUMN sea.stage_cache.created_at IS 'When it was committed';

CREATE TABLE sea.flight (
    key text NOT NULL,
    stage_id bigint NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT flight_pk PRIMARY KEY (key),
    CONSTRAINT flight_one_per_stage UNIQUE (stage_id)
);
COMMENT ON TABLE sea.flight IS 'Keys being computed: one stage run works, the others with that key wait.';
COMMENT ON COLUMN sea.flight.key IS 'Stage key';
COMMENT ON COLUMN sea.flight.stage_id IS 'Stage run that computes it, through all its attempts';
COMMENT ON COLUMN sea.flight.opened_at IS 'Since when';

CREATE TABLE sea.checkpoint (
    stage_id bigint NOT NULL,
    epoch bigint NOT NULL,
    step bigint NOT NULL,
    key text NOT NULL,
    name text NOT NULL,
    files jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT checkpoint_pk PRIMARY KEY (stage_id),
    CONSTRAINT checkpoint_files_is_list CHECK (jsonb_typeof(files) = 'array'),
    CONSTRAINT checkpoint_step_not_negative CHECK (step >= 0)
);
CREATE INDEX checkpoint_key ON sea.checkpoint (key, step DESC);
COMMENT ON TABLE sea.checkpoint IS 'Newest recorded checkpoint of an unfinished stage run. Serves every stage run with the same key.';
COMMENT ON COLUMN sea.checkpoint.stage_id IS 'Stage run';
COMMENT ON COLUMN sea.checkpoint.epoch IS 'Attempt that wrote it';
COMMENT ON COLUMN sea.checkpoint.step IS 'Steps behind it';
COMMENT ON COLUMN sea.checkpoint.key IS 'Stage key: what it is a checkpoint of';
COMMENT ON COLUMN sea.checkpoint.name IS 'Its name in the store';
COMMENT ON COLUMN sea.checkpoint.files IS 'List of [path, sha256, bytes]';
COMMENT ON COLUMN sea.checkpoint.created_at IS 'When it was recorded';

CREATE TABLE sea.batch (
    stage_id bigint NOT NULL,
    epoch bigint NOT NULL,
    number bigint NOT NULL,
    CONSTRAINT batch_pk PRIMARY KEY (stage_id, epoch, number)
);
COMMENT ON TABLE sea.batch IS 'Batches of metrics and log lines that arrived: one sent twice counts once. They go with the attempt''s lease.';
COMMENT ON COLUMN sea.batch.stage_id IS 'Stage run';
COMMENT ON COLUMN sea.batch.epoch IS 'Attempt';
COMMENT ON COLUMN sea.batch.number IS 'The sender''s number of the batch';

CREATE TABLE sea.metric (
    stage_id bigint NOT NULL,
    epoch bigint NOT NULL,
    name text NOT NULL,
    step bigint NOT NULL,
    value double precision NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY RANGE (stage_id);
CREATE INDEX metric_by_name ON sea.metric (stage_id, epoch, name, step);
COMMENT ON TABLE sea.metric IS 'Points as attempts sent them, in partitions of stage runs. sea.metric_series shows the curve that counts.';
COMMENT ON COLUMN sea.metric.stage_id IS 'Stage run';
COMMENT ON COLUMN sea.metric.epoch IS 'Attempt';
COMMENT ON COLUMN sea.metric.name IS 'Dotted name: align.loss_words';
COMMENT ON COLUMN sea.metric.step IS 'Step of the stage';
COMMENT ON COLUMN sea.metric.value IS 'May be NaN or infinite: divergence is a result';
COMMENT ON COLUMN sea.metric.at IS 'When it arrived';
CREATE TABLE sea.metric_0 PARTITION OF sea.metric FOR VALUES FROM (0) TO (100000);
COMMENT ON TABLE sea.metric_0 IS 'Points of stage runs 0 to 99999';

CREATE TABLE sea.event (
    id bigint GENERATED ALWAYS AS IDENTITY,
    experiment_id bigint,
    stage_id bigint,
    epoch bigint,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    level text NOT NULL DEFAULT 'info',
    kind text NOT NULL,
    text text NOT NULL,
    CONSTRAINT event_pk PRIMARY KEY (id),
    CONSTRAINT event_level_known CHECK (level IN ('debug', 'info', 'warn', 'error')),
    CONSTRAINT event_kind_known CHECK (kind IN ('state', 'log', 'worker', 'cache'))
);
CREATE INDEX event_experiment ON sea.event (experiment_id, id);
CREATE INDEX event_stage ON sea.event (stage_id, id);
COMMENT ON TABLE sea.event IS 'What happened, in order: changes of state, and what stages said.';
COMMENT ON COLUMN sea.event.id IS 'Order of writing';
COMMENT ON COLUMN sea.event.experiment_id IS 'Experiment, if it is about one';
COMMENT ON COLUMN sea.event.stage_id IS 'Stage run, if it is about one';
COMMENT ON COLUMN sea.event.epoch IS 'Attempt, if it is about one';
COMMENT ON COLUMN sea.event.at IS 'When';
COMMENT ON COLUMN sea.event.level IS 'debug, info, warn or error';
COMMENT ON COLUMN sea.event.kind IS 'state, log (said by a stage), worker, cache';
COMMENT ON COLUMN sea.event.text IS 'In words';

CREATE TABLE sea.benchmark (
    id bigint GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    split text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT benchmark_pk PRIMARY KEY (id),
    CONSTRAINT benchmark_name_split_unique UNIQUE (name, split)
);
COMMENT ON TABLE sea.benchmark IS 'Benchmarks that some evaluation has reported on.';
COMMENT ON COLUMN sea.benchmark.id IS 'Number';
COMMENT ON COLUMN sea.benchmark.name IS 'pope, gqa, scienceqa, ...';
COMMENT ON COLUMN sea.benchmark.split IS 'Which part of it';
COMMENT ON COLUMN sea.benchmark.created_at IS 'When it was reported on first';

CREATE TABLE sea.score (
    stage_id bigint NOT NULL,
    epoch bigint NOT NULL,
    benchmark_id bigint NOT NULL,
    control boolean NOT NULL DEFAULT false,
    metric text NOT NULL,
    value double precision NOT NULL,
    scale double precision NOT NULL DEFAULT 1,
    n bigint NOT NULL,
    se double precision,
    low double precision,
    high double precision,
    item_n bigint,
    item_mean double precision,
    item_m2 double precision,
    clusters bigint,
    CONSTRAINT score_pk PRIMARY KEY (stage_id, epoch, benchmark_id, control, metric),
    CONSTRAINT score_benchmark_fk FOREIGN KEY (benchmark_id) REFERENCES sea.benchmark (id),
    CONSTRAINT score_n_positive CHECK (n > 0),
    CONSTRAINT score_se_not_negative CHECK (se >= 0),
    CONSTRAINT score_interval_in_order CHECK (low <= high)
);
CREATE INDEX score_benchmark ON sea.score (benchmark_id, metric, value DESC);
COMMENT ON TABLE sea.score IS 'One number of one evaluation with its uncertainty. Written only inside a commit.';
COMMENT ON COLUMN sea.score.stage_id IS 'Stage run (eval)';
COMMENT ON COLUMN sea.score.epoch IS 'Attempt that committed';
COMMENT ON COLUMN sea.score.benchmark_id IS 'Benchmark';
COMMENT ON COLUMN sea.score.control IS 'True: a control: pictures permuted among the questions, or none (split ends with no-image)';
COMMENT ON COLUMN sea.score.metric IS 'accuracy, f1, ...';
COMMENT ON COLUMN sea.score.value IS 'The score; a fraction where scale is 100';
COMMENT ON COLUMN sea.score.scale IS 'What tables multiply value, low and high by: 100 for percent, else 1';
COMMENT ON COLUMN sea.score.n IS 'Questions';
COMMENT ON COLUMN sea.score.se IS 'Standard error, clustered where questions share a picture';
COMMENT ON COLUMN sea.score.low IS 'Lower end of the 95 % interval';
COMMENT ON COLUMN sea.score.high IS 'Upper end of the 95 % interval';
COMMENT ON COLUMN sea.score.item_n IS 'Stored answers that have a score of their own';
COMMENT ON COLUMN sea.score.item_mean IS 'Mean of the answers'' own scores';
COMMENT ON COLUMN sea.score.item_m2 IS 'Sum of squared differences of the answers'' own scores from their mean';
COMMENT ON COLUMN sea.score.clusters IS 'Groups of answers that share a picture or passage';

CREATE TABLE sea.answer (
    stage_id bigint NOT NULL,
    epoch bigint NOT NULL,
    benchmark_id bigint NOT NULL,
    control boolean NOT NULL DEFAULT false,
    seq bigint NOT NULL,
    item text NOT NULL,
    cluster text,
    prompt text,
    text text,
    parsed jsonb,
    gold jsonb,
    score double precision,
    CONSTRAINT answer_pk PRIMARY KEY (stage_id, epoch, benchmark_id, control, seq),
    CONSTRAINT answer_benchmark_fk FOREIGN KEY (benchmark_id) REFERENCES sea.benchmark (id)
);
CREATE INDEX answer_item ON sea.answer (benchmark_id, item);
COMMENT ON TABLE sea.answer IS 'One answer to one question. Arrives before the commit; counts when its attempt has committed, and goes with the lease of one that does not.';
COMMENT ON COLUMN sea.answer.stage_id IS 'Stage run (eval)';
COMMENT ON COLUMN sea.answer.epoch IS 'Attempt';
COMMENT ON COLUMN sea.answer.benchmark_id IS 'Benchmark';
COMMENT ON COLUMN sea.answer.control IS 'True: a control: pictures permuted among the questions, or none (split ends with no-image)';
COMMENT ON COLUMN sea.answer.seq IS 'Position in the benchmark''s order';
COMMENT ON COLUMN sea.answer.item IS 'The question''s id: what two evaluations are paired by';
COMMENT ON COLUMN sea.answer.cluster IS 'Picture or passage that questions share';
COMMENT ON COLUMN sea.answer.prompt IS 'What the model was asked';
COMMENT ON COLUMN sea.answer.text IS 'What it said';
COMMENT ON COLUMN sea.answer.parsed IS 'What the scorer made of it';
COMMENT ON COLUMN sea.answer.gold IS 'The right answer';
COMMENT ON COLUMN sea.answer.score IS '0 to 1, or empty where only the whole has a score';

CREATE TABLE sea.schedule (
    id bigint GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    cron text NOT NULL,
    config jsonb NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT schedule_pk PRIMARY KEY (id),
    CONSTRAINT schedule_name_unique UNIQUE (name),
    CONSTRAINT schedule_config_is_map CHECK (jsonb_typeof(config) = 'object')
);
COMMENT ON TABLE sea.schedule IS 'Experiments that are submitted again and again: nightly evaluations.';
COMMENT ON COLUMN sea.schedule.id IS 'Number';
COMMENT ON COLUMN sea.schedule.name IS 'What people call it';
COMMENT ON COLUMN sea.schedule.cron IS 'When: five cron fields, UTC';
COMMENT ON COLUMN sea.schedule.config IS 'The resolved configuration to submit';
COMMENT ON COLUMN sea.schedule.enabled IS 'False: kept, not submitted';
COMMENT ON COLUMN sea.schedule.created_at IS 'When it was added';

CREATE TABLE sea.regression (
    id bigint GENERATED ALWAYS AS IDENTITY,
    schedule_id bigint NOT NULL,
    night date NOT NULL,
    benchmark_id bigint NOT NULL,
    metric text NOT NULL,
    baseline_id bigint NOT NULL,
    candidate_id bigint NOT NULL,
    n bigint,
    difference double precision,
    se double precision,
    low double precision,
    high double precision,
    p double precision,
    mde double precision,
    verdict text NOT NULL,
    reason text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT regression_pk PRIMARY KEY (id),
    CONSTRAINT regression_once_per_night UNIQUE (schedule_id, night, benchmark_id, metric),
    CONSTRAINT regression_schedule_fk FOREIGN KEY (schedule_id) REFERENCES sea.schedule (id),
    CONSTRAINT regression_benchmark_fk FOREIGN KEY (benchmark_id) REFERENCES sea.benchmark (id),
    CONSTRAINT regression_baseline_fk FOREIGN KEY (baseline_id) REFERENCES sea.experiment (id),
    CONSTRAINT regression_candidate_fk FOREIGN KEY (candidate_id) REFERENCES sea.experiment (id),
    CONSTRAINT regression_verdict_known CHECK
        (verdict IN ('regressed', 'not worse', 'undecidable', 'not comparable')),
    CONSTRAINT regression_number_or_reason CHECK
        (CASE WHEN verdict = 'not comparable' THEN difference IS NULL AND reason IS NOT NULL
              ELSE difference IS NOT NULL AND n > 0 END)
);
COMMENT ON TABLE sea.regression IS 'Verdicts of nightly comparisons: one per schedule, night, benchmark and metric.';
COMMENT ON COLUMN sea.regression.id IS 'Number';
COMMENT ON COLUMN sea.regression.schedule_id IS 'Which nightly evaluation';
COMMENT ON COLUMN sea.regression.night IS 'Which night (UTC date of its start)';
COMMENT ON COLUMN sea.regression.benchmark_id IS 'Benchmark';
COMMENT ON COLUMN sea.regression.metric IS 'Metric';
COMMENT ON COLUMN sea.regression.baseline_id IS 'Experiment compared with';
COMMENT ON COLUMN sea.regression.candidate_id IS 'Experiment of that night';
COMMENT ON COLUMN sea.regression.n IS 'Questions that both answered';
COMMENT ON COLUMN sea.regression.difference IS 'Candidate minus baseline, paired';
COMMENT ON COLUMN sea.regression.se IS 'Clustered standard error of the difference';
COMMENT ON COLUMN sea.regression.low IS 'Lower end of its 95 % interval';
COMMENT ON COLUMN sea.regression.high IS 'Upper end of its 95 % interval';
COMMENT ON COLUMN sea.regression.p IS 'Two-sided p-value, before the correction for many tests';
COMMENT ON COLUMN sea.regression.mde IS 'Smallest difference that this comparison could have shown';
COMMENT ON COLUMN sea.regression.verdict IS 'regressed, not worse, undecidable, or not comparable';
COMMENT ON COLUMN sea.regression.reason IS 'Why it is not comparable';
COMMENT ON COLUMN sea.regression.created_at IS 'When the verdict was given';
