//! Sockets: listeners, connections, the frame budget. What a request means is `api`'s business.

mod budget;
mod connection;
pub mod listener;
mod pipeline;
mod reader;
mod refusals;
mod writer;

pub use budget::FrameBudget;
pub use connection::Shared;
pub use reader::ReadLimits;
pub use refusals::Refusals;
