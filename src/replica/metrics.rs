//! What the partitions, their flushes and their disk tell of themselves.

use std::{collections::BTreeMap, sync::Arc};

use super::{Partition, Replicas};
use crate::metrics::{
    Counter, Page, Source,
    catalogue::{self as all, OTHERS, SERIES_MAX},
};

/// Of all partitions of a topic.
#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    partitions: u64,
    bytes: u64,
    /// Between log start and log end.
    offsets: i64,
    appended: i64,
}

impl Sum {
    fn add(&mut self, other: Sum) {
        self.partitions += other.partitions;
        self.bytes += other.bytes;
        self.offsets += other.offsets;
        self.appended += other.appended;
    }
}

impl Source for Replicas {
    fn collect(&self, page: &mut Page) {
        page.put(&all::PARTITIONS, &[], self.len());
        page.put(&all::PARTITIONS_OFFLINE, &[], self.offline_count());
        let mut topics: BTreeMap<Arc<str>, Sum> = BTreeMap::new();
        for partition in self.all() {
            topics.entry(Arc::clone(&partition.name().topic)).or_default().add(sum(&partition));
        }
        let mut others = Sum::default();
        for (at, (topic, sum)) in topics.into_iter().enumerate() {
            if at < SERIES_MAX { put(page, &topic, sum) } else { others.add(sum) }
        }
        if others.partitions > 0 {
            put(page, OTHERS, others);
        }

        let health = self.health();
        if let Ok(space) = health.space() {
            page.put(&all::FOLDER_FREE, &[], space.available);
            page.put(&all::FOLDER_SIZE, &[], space.total);
        }
        page.put(&all::FOLDER_TROUBLED, &[("trouble", "full")], u64::from(health.is_full()));
        page.put(&all::FOLDER_TROUBLED, &[("trouble", "failed")], u64::from(health.is_suspect()));
        let flushes = self.flush_queue();
        page.put(&all::DIRTY, &[], flushes.dirty().bytes());
        page.put(&all::FLUSHES_ASKED, &[], flushes.asked());
        page.put_buckets(&all::FLUSH_SECONDS, &[], &flushes.took());
        let recovery = self.recovery();
        page.put(&all::RECOVERY_BYTES, &[], recovery.checked_bytes);
        page.put(&all::RECOVERY_SECONDS, &[], recovery.took_ms as f64 / 1000.0);
    }
}

fn put(page: &mut Page, topic: &str, sum: Sum) {
    let labels = [("topic", topic)];
    page.put(&all::TOPIC_PARTITIONS, &labels, sum.partitions);
    page.put(&all::TOPIC_BYTES, &labels, sum.bytes);
    page.put(&all::TOPIC_OFFSETS, &labels, sum.offsets);
    page.put(&all::TOPIC_APPENDED, &labels, sum.appended);
}

/// A log that is closed is not opened for this.
fn sum(partition: &Partition) -> Sum {
    let (bytes, log_start, log_end) = match partition.opened() {
        Some(log) => (log.size(), log.log_start(), log.log_end()),
        None => {
            let (log_start, ends) = partition.slot.closed_extent();
            (partition.known_at_rest().map_or(0, |at_rest| at_rest.size), log_start, ends.log_end)
        }
    };
    Sum { partitions: 1, bytes, offsets: log_end.0.saturating_sub(log_start.0), appended: log_end.0 }
}

/// What compaction has done.
#[derive(Debug, Default)]
pub(super) struct Cleaned {
    pub runs: Counter,
    pub bytes_read: Counter,
    pub bytes_written: Counter,
}

impl Source for Cleaned {
    fn collect(&self, page: &mut Page) {
        page.put(&all::CLEANER_RUNS, &[], self.runs.value());
        page.put(&all::CLEANER_READ, &[], self.bytes_read.value());
        page.put(&all::CLEANER_WRITTEN, &[], self.bytes_written.value());
    }
}
