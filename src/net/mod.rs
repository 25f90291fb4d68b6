//! Sockets: listeners, connections, what they may take in memory and on the processors. What a request means is `api`'s
//! business.

mod budget;
mod connection;
mod lane;
pub mod listener;
mod metrics;
mod owed;
mod pipeline;
mod reader;
mod refusals;
mod writer;

pub use budget::FrameBudget;
pub use connection::Shared;
pub use lane::Lane;
pub use metrics::Connections;
pub use owed::Owed;
pub use reader::ReadLimits;
pub use refusals::Refusals;
