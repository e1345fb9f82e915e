-- Undoes 0002_functions. Loses: nothing.

DROP TRIGGER stage_run_guard ON sea.stage_run;
DROP TRIGGER experiment_guard ON sea.experiment;
DROP FUNCTION sea.stage_run_guard, sea.experiment_guard, sea.assert_lease, sea.assert_lease_shared,
    sea.finish_experiment, sea.begin_experiment, sea.promote_children, sea.publish_cache,
    sea.abandon, sea.end_attempt, sea.give_back, sea.submit, sea.cancel, sea.retry,
    sea.release_quarantine, sea.give_up_quarantine, sea.set_priority, sea.set_limit,
    sea.drain, sea.register_worker, sea.worker_beat, sea.worker_state, sea.take_slot,
    sea.claim, sea.start_attempt, sea.heartbeat, sea.relay, sea.add_checkpoint,
    sea.prepare_commit, sea.add_answers, sea.commit_stage, sea.claim_batch, sea.commit_batch,
    sea.commit_outcome, sea.fail_attempt, sea.release_attempt, sea.ack_cancel, sea.rescue,
    sea.wake, sea.resolve, sea.resolve_failed, sea.sweep, sea.condemn, sea.condemn_unknown,
    sea.hold_condemned, sea.forget_condemned, sea.drop_checkpoints, sea.is_checkpoint_needed,
    sea.maintain;
