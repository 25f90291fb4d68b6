//! Mistakes that somebody could make with groups, planted one at a time: as `sim/faults.rs`.

use crate::{env::faults::Fault, sim::faults::is_found};

#[test]
fn a_coordinator_that_answers_before_the_commit() {
    is_found(Fault::AnswerGroupsBeforeCommit, &["vanished"]);
}

#[test]
fn decisions_that_outlive_the_loss_of_their_records() {
    is_found(Fault::KeepGroupSpeculation, &["replay", "answers"]);
}

#[test]
fn a_partition_that_is_given_before_it_is_released() {
    is_found(Fault::AssignUnreleased, &["ownership"]);
}

#[test]
fn topics_that_change_without_their_groups() {
    is_found(Fault::IgnoreChangedTopics, &["quiet"]);
}

#[test]
fn commits_of_those_who_are_members_no_more() {
    is_found(Fault::CommitWithoutMembership, &["offsets"]);
}

#[test]
fn a_conversion_that_forgets_the_generation() {
    is_found(Fault::UpgradeToFirstEpoch, &["epochs", "ownership"]);
}

#[test]
fn members_that_are_never_missed() {
    is_found(Fault::LoadWithoutSessions, &["quiet"]);
}
