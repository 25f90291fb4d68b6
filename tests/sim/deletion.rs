//! Records that go because somebody wants them to: DeleteRecords and retention on every replica by itself, and followers that
//! hear of their leader's log start.

use super::{
    cluster::Cluster,
    node::{Failed, Node, Running},
    oracle::Violation,
};
use crate::{
    log::{self, LogError, ReadError},
    model::{Offset, Timestamp},
    replica::Scalars,
    store::{Batch, Store},
};

impl Node {
    /// DeleteRecords: once this returns, records below `to` must never come back.
    fn delete_records(&mut self, to: Offset) -> Result<Offset, Failed> {
        let log_start = self.process().log.advance_log_start(to);
        self.store_log_start(log_start)?;
        Ok(log_start)
    }

    /// Stores the log start durably, and nothing else that is new.
    fn store_log_start(&mut self, log_start: Offset) -> Result<(), Failed> {
        let stored = self.scalars();
        let mut batch = Batch::new();
        self.put(&Scalars { log_start: log_start.max(stored.log_start), ..stored }, &mut batch);
        self.store.write_synced(&batch)?;
        self.promised_start = self.promised_start.max(log_start);
        Ok(())
    }

    /// Removes segments that are too old or too many. True where there were any.
    fn enforce_retention(&mut self, now: Timestamp) -> Result<bool, Failed> {
        let stored = self.scalars();
        let Running { log, replica, .. } = self.running.as_ref().expect("it runs");
        let mut promised = None;
        let expired = log.enforce_retention(replica.high_watermark(), now, || {
            let log_start = log.log_start();
            let mut batch = Batch::new();
            self.put(&Scalars { log_start: log_start.max(stored.log_start), ..stored }, &mut batch);
            self.store.write_synced(&batch)?;
            promised = Some(log_start);
            Ok::<(), Failed>(())
        });
        self.promised_start = self.promised_start.max(promised.unwrap_or_default());
        let expired = expired?;
        let is_some = expired.is_some();
        self.promised_start = expired.iter().map(|expired| expired.log_start).fold(self.promised_start, Offset::max);
        self.doomed.extend(expired.into_iter().flat_map(|expired| expired.files));
        Ok(is_some)
    }

    /// Removes some of the files that retention has renamed.
    fn remove_doomed(&mut self, count: usize) -> Result<(), LogError> {
        let count = count.min(self.doomed.len());
        for path in self.doomed.drain(..count) {
            log::remove_deleted_file(&*self.disk, &path)?;
        }
        Ok(())
    }

    /// A follower hears that its leader's log begins at `log_start`.
    pub(super) fn follow_log_start(&mut self, log_start: Offset) {
        let Running { log, replica, .. } = self.process();
        if log_start > log.log_start() && log_start <= replica.high_watermark() {
            log.advance_log_start(log_start);
        }
    }
}

impl Cluster {
    pub(super) fn delete(&mut self, at: usize) -> Result<(), Violation> {
        if self.random.one_in(3) { self.delete_records(at) } else { self.enforce_retention(at) }
    }

    fn delete_records(&mut self, at: usize) -> Result<(), Violation> {
        let running = self.nodes[at].running.as_ref().expect("it runs");
        let (start, until) = (running.log.log_start(), running.replica.high_watermark());
        if !running.replica.is_leader() || start >= until || !self.can_read(at) {
            return Ok(());
        }
        // A little, as a rule: what is gone cannot be lost any more.
        let most = if self.random.one_in(6) { until.0 - start.0 } else { (until.0 - start.0).min(12) };
        let to = start.plus(self.random.between(1, most as u64) as i64);
        self.deleted_below = self.deleted_below.max(to);
        let result = self.nodes[at].delete_records(to).map(drop);
        self.after(at, &format!("deletes the records below {to}"), result)?;
        self.read_deleted(at)
    }

    fn enforce_retention(&mut self, at: usize) -> Result<(), Violation> {
        let result = self.nodes[at].enforce_retention(self.now);
        if let Some(running) = &self.nodes[at].running {
            self.deleted_below = self.deleted_below.max(running.log.log_start());
        }
        if matches!(result, Ok(true)) {
            self.summary.expired += 1;
        }
        let what = format!("gives up old segments ({})", matches!(result, Ok(true)));
        self.after(at, &what, result.map(drop))?;
        if self.nodes[at].running.is_some() && self.random.one_in(2) {
            let count = self.random.index(8);
            let result = self.nodes[at].remove_doomed(count);
            self.after(at, "removes files", result.map_err(Failed::Disk))?;
        }
        self.read_deleted(at)
    }

    /// Whoever asks for a deleted record is told so.
    fn read_deleted(&mut self, at: usize) -> Result<(), Violation> {
        let Some(running) = self.nodes[at].running.as_ref().filter(|_| self.can_read(at)) else { return Ok(()) };
        let start = running.log.log_start();
        let Some(below) = start.0.checked_sub(1).filter(|below| *below >= 0) else { return Ok(()) };
        match running.log.read(Offset(below), 1000, running.log.log_end(), true) {
            Err(ReadError::OutOfRange { .. }) => Ok(()),
            found => Err(Violation::new("log_start", format!("{below} is deleted, and reading it gives {found:?}"))),
        }
    }
}
