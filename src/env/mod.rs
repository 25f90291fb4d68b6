//! The only door to the outside: wall clock and randomness, the disk, the data folder, the process and its log lines.
//! (The network joins when the simulation needs it.)

pub mod disk;
pub mod faults;
pub mod folder;
pub mod logging;
mod memory;
pub mod process;
mod refusals;
pub mod sync;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

pub use self::{
    disk::{Disk, DiskFile, FilePool, OpenMode, PooledFile, RealDisk, SharedDisk, Space},
    folder::{DataFolder, FolderError, Glimpse, Inspected},
    memory::memory_limit,
    refusals::{RefusalLog, Summary},
};
use crate::model::{Timestamp, Uuid};

/// Time and randomness of this process, or of a simulated one.
pub trait Env: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// A random version 4 UUID that Kafka would also hand out as a topic id: never zero or one, and its
    /// text does not start with a dash.
    fn uuid(&self) -> Uuid;

    fn random_u64(&self) -> u64;
}

pub type SharedEnv = Arc<dyn Env>;

/// The real machine.
#[derive(Debug, Default)]
pub struct SystemEnv;

impl Env for SystemEnv {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn uuid(&self) -> Uuid {
        loop {
            let mut bytes: [u8; 16] = rand::random();
            bytes[6] = bytes[6] & 0x0f | 0x40;
            bytes[8] = bytes[8] & 0x3f | 0x80;
            let id = Uuid(bytes);
            if !id.to_string().starts_with('-') {
                return id;
            }
        }
    }

    fn random_u64(&self) -> u64 {
        rand::random()
    }
}
