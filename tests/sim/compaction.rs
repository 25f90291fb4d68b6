//! Compaction on every replica by itself, at any moment, stopped at any moment.

use std::ops::ControlFlow;

use super::{
    cluster::Cluster,
    contents,
    mishap::{Death, Mishap},
    node::{Failed, Node, Running},
    oracle::{Violation, compaction::Pass},
    random::Random,
};
use crate::{
    log::{CompactError, CompactSettings, OffsetMap},
    model::Timestamp,
    replica::Scalars,
    store::Batch,
};

impl Node {
    /// One pass, which may be told to stop after some calls. True where there was anything to do.
    fn compact(&mut self, now: Timestamp, random: &mut Random) -> Result<bool, Failed> {
        let first_dirty = self.scalars().first_dirty;
        let Running { log, replica, .. } = self.running.as_ref().expect("it runs");
        let range = log.cleanable(first_dirty, replica.high_watermark(), now)?;
        if range.dirty_bytes == 0 {
            return Ok(false);
        }
        let flushed = log.flushed();
        if range.first_uncleanable > flushed {
            let what = format!("{} is touched, where {flushed} is flushed", range.first_uncleanable);
            return Err(Violation::new("compaction", what).into());
        }
        self.taken_for_safe = self.taken_for_safe.max(range.safe_until);
        self.pass = Some(Pass {
            before: contents::read_all(log)?,
            first_uncleanable: range.first_uncleanable,
            now,
            delete_retention_ms: log.config().delete_retention_ms,
        });
        let mut map = OffsetMap::with_memory(100 << 10, 0.9);
        let settings = CompactSettings {
            now,
            seed: [random.next(), random.next()],
            io_buffer_bytes: random.between(100, 5_000) as usize,
            decompressed_max: 1 << 20,
        };
        let mut calls = if random.one_in(4) { random.below(10) } else { u64::MAX };
        let compacted = log.compact(&range, &mut map, &settings, &mut |_| {
            calls = calls.saturating_sub(1);
            if calls == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if self.happened.died() {
            // The next start looks at what it has done.
            return Ok(true);
        }
        self.check_pass()?;
        match compacted {
            Ok(compacted) => {
                let mut batch = Batch::new();
                self.put(&Scalars { first_dirty: Some(compacted.first_dirty), ..self.scalars() }, &mut batch);
                self.write(&batch, false);
            }
            Err(CompactError::Log(error)) => return Err(error.into()),
            Err(CompactError::Stopped | CompactError::Overtaken) => {}
        }
        Ok(true)
    }

    /// What a pass has done, whether it ended or died.
    pub(super) fn check_pass(&mut self) -> Result<(), Violation> {
        let Some(pass) = self.pass.take() else { return Ok(()) };
        let Running { log, .. } = self.running.as_ref().expect("it runs");
        if log.is_out_of_use() {
            self.pass = Some(pass);
            return Ok(());
        }
        let dropped = pass.check(&contents::read_all(log)?, log.log_end())?;
        self.dropped = self.dropped.max(dropped);
        self.compacted = self.compacted.max(pass.first_uncleanable);
        Ok(())
    }
}

impl Cluster {
    pub(super) fn compact(&mut self, at: usize) -> Result<(), Violation> {
        if !self.can_read(at) {
            return Ok(());
        }
        if self.plan.power_losses && self.random.one_in(4) {
            // Its steps are many, and each is to be the last one now and then.
            let mishap = Mishap::Die(Death::PowerLost, self.random.below(40));
            self.nodes[at].arm(mishap, &mut self.random);
        }
        let mut random = Random::new(self.random.next());
        let result = self.nodes[at].compact(self.now, &mut random);
        let is_some = matches!(result, Ok(true));
        self.summary.compacted += usize::from(is_some);
        self.after(at, &format!("compacts its log ({is_some})"), result.map(drop))
    }
}
