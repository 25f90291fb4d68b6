//! A log whose disk failed gives way to another one on the same files, which finds out what is there.

use super::{
    files::{self, LogError},
    partition::Log,
    recovery::Start,
};

impl Log {
    /// Waits until nobody is at the files any more, and leaves a note that nothing in them may be believed that was not known to
    /// be flushed. The log must be out of use: from then on it is only read. Returns how the next one has to be opened.
    ///
    /// # Errors
    /// The note cannot be left; the files must not be opened then.
    pub fn give_way(&self) -> Result<Start, LogError> {
        debug_assert!(self.is_out_of_use());
        // Whoever comes after is refused.
        drop(self.appender.lock());
        drop(self.flushing.lock());
        files::note_flush_failure(&*self.disk, &self.dir)?;
        Ok(Start { clean: false, recovery_point: self.flushed(), log_start: self.log_start() })
    }
}
