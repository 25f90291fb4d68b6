//! The ring of groups: the group coordinator as it is, under clients that follow their protocols to the letter, over a journal
//! that commits late, in bursts, or loses its tail, while topics come and go. Everything happens in one thread, from event to event.

mod client;
mod coordinator;
mod faults;
mod mishap;
mod oracle;
mod plan;
mod ring;
mod world;

pub use ring::{Summary, run};
