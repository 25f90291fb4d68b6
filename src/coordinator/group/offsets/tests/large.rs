//! What does not fit a batch is refused by itself or goes in pieces: the runtime could only throw it away, and with it what others
//! in the partition wait for.

use super::*;

/// What the runtime counts of a batch besides its records, and of each of these besides key and value, in bytes.
const BATCH_OVERHEAD: usize = 64;
const RECORD_OVERHEAD: usize = 32;

/// As the runtime counts the batch of these; none where one cannot be written at all.
fn batch_bytes(records: &[GroupRecord]) -> Option<usize> {
    records.iter().try_fold(BATCH_OVERHEAD, |sum, record| {
        let version = match record {
            GroupRecord::OffsetCommit(_, Some(value)) if value.expire_timestamp != -1 => 1,
            GroupRecord::OffsetCommit(..) => 4,
            _ => record.record_type().versions.max,
        };
        let value = record.encode_value(version).ok()?.map_or(0, |value| value.len());
        Some(sum + RECORD_OVERHEAD + record.encode_key().ok()?.len() + value)
    })
}

/// A commit of so many partitions, each with so many bytes of metadata.
fn wide(group: &str, partitions: i32, metadata: usize) -> OffsetCommitRequest {
    let mut request = simple(group, "t", id(1), 0, 5);
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 5,
        committed_metadata: Some("x".repeat(metadata)),
        ..OffsetCommitRequestPartition::default()
    };
    request.topics[0].partitions = (0..partitions).map(partition).collect();
    request
}

impl Bench {
    fn max(&self) -> usize {
        GroupSettings::default().record_max_bytes
    }

    /// Whether a commit of so many partitions is taken, and what its batch takes.
    fn commits(&mut self, partitions: i32) -> Option<usize> {
        let codes = self.commit(9, wide("g", partitions, 4_000));
        let first = codes[0];
        assert!(codes.iter().all(|code| *code == first));
        match first {
            ErrorCode::None => {
                assert_eq!(self.out.records.len(), codes.len());
                batch_bytes(&self.out.records)
            }
            ErrorCode::UnknownServerError => {
                assert!(self.out.records.is_empty());
                None
            }
            other => panic!("{other:?}"),
        }
    }

    /// As [`Bench::pass`], where no step may write more than fits a batch.
    fn pass_in_batches(&mut self, ms: i64) {
        let until = self.now + ms;
        while let Some(due) = self.machine.next_deadline().filter(|due| due.0 <= until) {
            self.now = self.now.max(due.0);
            self.out = Out::default();
            assert!(self.machine.on_deadline(Timestamp(self.now), &self.image, &mut self.out));
            assert!(batch_bytes(&self.out.records).is_some_and(|bytes| bytes <= self.max()), "too much at once");
        }
        self.now = until;
    }
}

#[test]
fn a_commit_that_does_not_fit_a_batch_is_refused_and_leaves_nothing() {
    let mut bench = Bench::new([]);
    let largest = (200..300).rev().find(|partitions| bench.commits(*partitions).is_some()).unwrap();
    let bytes = bench.commits(largest).unwrap();
    assert!(bytes <= bench.max() && bytes + 4_200 > bench.max(), "{bytes} bytes of {largest} partitions");
    let before = bench.machine.state().clone();
    assert_eq!(bench.commits(largest + 1), None);
    assert!(*bench.machine.state() == before);

    // What is refused by itself takes no room.
    let mut request = wide("g", largest + 1, 4_000);
    request.topics[0].partitions[0].committed_metadata = Some("x".repeat(4_097));
    let codes = bench.commit(9, request);
    assert_eq!((codes[0], codes[1]), (ErrorCode::OffsetMetadataTooLarge, ErrorCode::None));
}

#[test]
fn names_that_no_record_can_have_are_refused() {
    let longest = "g".repeat(i16::MAX as usize);
    let mut bench = Bench::new([]);
    assert_eq!(bench.commit(9, wide(&longest, 1, 0)), [ErrorCode::None]);
    assert!(batch_bytes(&bench.out.records).is_some());
    assert_eq!(bench.commit(9, wide(&(longest + "g"), 1, 0)), [ErrorCode::UnknownServerError]);
    assert!(bench.out.records.is_empty());
}

#[test]
fn deletions_that_do_not_fit_a_batch_are_refused_and_leave_nothing() {
    let group = "g".repeat(30_000);
    let mut bench = Bench::new((0..50).map(|partition| stored(&group, "t", id(1), partition, WEEK)));
    bench.topic("t", id(1));
    let all: Vec<i32> = (0..50).collect();
    let before = bench.machine.state().clone();
    assert_eq!(bench.delete(&group, "t", &all).0, ErrorCode::UnknownServerError);
    let Answer::DeleteGroup(answer) = bench.decide(2, Command::DeleteGroup(group.clone())) else { panic!() };
    assert_eq!(error(answer.error_code), ErrorCode::UnknownServerError);
    assert!(bench.out.records.is_empty() && *bench.machine.state() == before);

    assert_eq!(bench.delete(&group, "t", &all[..20]).0, ErrorCode::None);
    let Answer::DeleteGroup(answer) = bench.decide(2, Command::DeleteGroup(group)) else { panic!() };
    assert_eq!(error(answer.error_code), ErrorCode::None);
    assert!(*bench.machine.state() == State::default());
}

#[test]
fn offsets_of_groups_with_long_names_expire_in_batches_that_fit() {
    let name = |n: i32| format!("{n}{}", "g".repeat(30_000));
    let offsets = (0..100).map(|n| stored(&name(n % 3), "t", id(1), n, 0));
    let empty = (3..100).map(|n| classic(&name(n), Some(0)));
    let mut bench = Bench::new(offsets.chain(empty));
    bench.topic("t", id(1));
    bench.pass_in_batches(HOUR);
    assert!(*bench.machine.state() == State::default());
}

#[test]
fn offsets_of_a_topic_go_in_batches_that_fit() {
    let name = |n: i32| format!("{n}{}", "g".repeat(30_000));
    let mut bench = Bench::new((0..100).map(|n| stored(&name(n), "t", id(1), 0, WEEK)));
    bench.machine.on_image(Timestamp(bench.now), &bench.image, &["t".into()], &mut bench.out);
    assert!(batch_bytes(&bench.out.records).is_some_and(|bytes| bytes <= bench.max()));
    bench.pass_in_batches(100);
    assert!(*bench.machine.state() == State::default());
}
