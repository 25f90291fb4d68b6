//! The simulation: seeded runs of the real log, the real rules of a partition and the real controller, over disks and a
//! store that lose what was not synced; and of the real group coordinator, under clients of all kinds (`groups/`). Part of the crate's unit tests, to reach what is not public.
//!
//! One seed is one run and one trace. A run that breaks a promise of `oracle/` prints its seed, its last steps, and the
//! command that replays it. `scripts/soak sim` runs many thousands.

mod clients;
mod cluster;
mod commands;
mod compaction;
mod contents;
mod deletion;
mod faults;
mod groups;
mod journal;
mod membership;
mod mishap;
mod node;
mod oracle;
mod random;
mod replication;
mod shards;
mod trace;
mod view;
mod workload;
