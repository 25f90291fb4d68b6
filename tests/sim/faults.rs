//! Mistakes that somebody could make, planted one at a time: the simulation finds each, by the promise that it breaks,
//! within the seeds that every test run tries.

use super::shards::find;
use crate::env::faults::Fault;

pub(super) fn is_found(fault: Fault, oracles: &[&str]) {
    let Some((seed, violation)) = find(fault) else { panic!("nobody has noticed {fault:?}") };
    println!("{fault:?}: seed {seed}, {violation}");
    assert!(oracles.contains(&violation.oracle), "{fault:?}, seed {seed}: {violation}");
}

#[test]
fn recovery_without_crc() {
    is_found(Fault::SkipCrcInRecovery, &["whole"]);
}

#[test]
fn a_short_write_that_is_not_rolled_back() {
    is_found(Fault::SkipRollback, &["whole", "panic"]);
}

#[test]
fn a_flush_that_does_not_sync() {
    is_found(Fault::SkipDataSync, &["acknowledged", "vanished", "recovery", "view", "producers", "order"]);
}

#[test]
fn a_flush_that_leaves_names_unsynced() {
    is_found(Fault::SkipDirSync, &["acknowledged", "vanished", "recovery", "view"]);
}

#[test]
fn a_recovery_point_above_a_truncation() {
    is_found(Fault::KeepRecoveryPoint, &["whole", "order", "recovery"]);
}

#[test]
fn epochs_that_outlive_a_truncation() {
    is_found(Fault::KeepEpochs, &["agreement", "order", "acknowledged", "vanished", "view", "serves"]);
}

#[test]
fn producers_that_outlive_a_truncation() {
    is_found(Fault::KeepProducers, &["producers", "acknowledged", "duplicates", "serves"]);
}

#[test]
fn indexes_that_a_recovery_leaves_unsynced() {
    is_found(Fault::SkipIndexSync, &["indexes"]);
}

#[test]
fn an_index_entry_that_is_off_by_one_batch() {
    is_found(Fault::IndexNextBatch, &["indexes"]);
}

#[test]
fn a_snapshot_that_is_taken_too_late() {
    is_found(Fault::SnapshotAfterBatch, &["producers"]);
}

#[test]
fn segments_that_go_before_the_log_start_is_stored() {
    is_found(Fault::StoreLogStartTooLate, &["log_start", "order", "recovery"]);
}

#[test]
fn tombstones_that_go_a_pass_too_early() {
    is_found(Fault::ForgetDeleteHorizon, &["compaction"]);
}

#[test]
fn compacted_segments_that_are_not_durable() {
    is_found(Fault::SkipCleanedSync, &["compaction", "whole", "recovery", "indexes"]);
}

#[test]
fn a_swap_without_a_decision() {
    is_found(Fault::SkipSwapDecision, &["compaction", "whole", "recovery", "indexes"]);
}

#[test]
fn a_compaction_of_what_is_not_flushed() {
    is_found(Fault::CompactUnflushed, &["compaction", "acknowledged", "vanished", "producers"]);
}

#[test]
fn a_view_past_what_is_flushed() {
    is_found(Fault::ViewPastFlushed, &["view"]);
}

#[test]
fn an_answer_before_the_flush() {
    is_found(Fault::AckBeforeFlush, &["acknowledged"]);
}

#[test]
fn a_change_of_metadata_that_is_answered_before_it_is_committed() {
    is_found(Fault::ReplyBeforeCommit, &["metadata"]);
}

#[test]
fn speculation_that_outlives_a_leadership() {
    is_found(Fault::KeepSpeculation, &["metadata"]);
}
