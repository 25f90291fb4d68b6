//! What is stored of a partition besides its log, and who may write it: one at a time, each with what holds at that moment, so
//! that no older log start or recovery point ever replaces a newer one.

use super::{Partition, Scalars};
use crate::{
    model::Uuid,
    store::{Batch, SharedStore, StoreError},
};

/// Where partitions keep their scalars.
#[derive(Clone)]
pub struct Keeper {
    store: SharedStore,
    directory_id: Uuid,
}

impl Keeper {
    /// `directory_id` is that of the data folder in which the logs are.
    pub fn new(store: SharedStore, directory_id: Uuid) -> Keeper {
        Keeper { store, directory_id }
    }

    /// Waits until everything that was stored by now survives a power loss.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.store.sync()
    }
}

impl Partition {
    /// Stores what holds now, and what `change` makes of the rest. Survives the death of this process; a power loss only after
    /// [`Keeper::sync`].
    ///
    /// # Errors
    /// [`StoreError::Closed`] where the partition is: nothing may come after what its end has stored, or removed.
    pub(super) fn keep(&self, keeper: &Keeper, change: impl FnOnce(&mut Scalars)) -> Result<(), StoreError> {
        let mut stored = self.stored.lock();
        if self.is_closed() {
            return Err(StoreError::Closed);
        }
        let mut scalars = *stored;
        change(&mut scalars);
        scalars.log_start = self.log_start();
        scalars.high_watermark = self.high_watermark();
        let mut batch = Batch::new();
        scalars.put(&mut batch, keeper.directory_id, self.id());
        keeper.store.write(&batch)?;
        *stored = scalars;
        Ok(())
    }
}
