//! The group coordinator of one partition of `__consumer_offsets`, PURE: classic groups, consumer groups (KIP-848) and the
//! offsets that are committed for them.
//!
//! ```text
//!  command, time ──> GroupMachine::decide ──> records   appended by the runtime, many commands at once
//!                        │      ▲             answers   each leaves when the records are committed
//!                        ▼      │
//!                   State (what the log says)   Soft (deadlines, calls that wait, who is joining)
//! ```
//!
//! - [`State`] changes by [`State::apply`] of a record and in no other way, so that the state that is decided upon is the state that
//!   a replay of the log gives. It is persistent: a clone costs nothing, and the runtime keeps one for what is committed.
//! - [`Soft`] is what is not in the log. It can be made from a state at any time ([`GroupMachine::load`]), which is what a
//!   coordinator does that has just started, has taken over, or has lost an append: sessions begin anew, whoever waited is
//!   told to look for its coordinator again, and clients do the rest.
//! - A decision may answer the call that it was made for, or not yet, or others that have waited: a JoinGroup waits for the
//!   group, and the last one to join answers all.

mod admin;
pub mod assignor;
mod classic;
mod command;
mod consumer;
mod machine;
mod offsets;
mod settings;
mod state;
#[cfg(test)]
mod testing;
mod timers;

pub use command::{Answer, CallId, Caller, Command, Out, Query};
pub use machine::{GroupMachine, Soft};
pub use settings::{ConsumerGroupConfig, GroupSettings, MigrationPolicy};
pub use state::{CommittedOffset, ConsumerGroup, GroupOffsets, State};
pub use timers::{Timer, Timers};
