//! The broker over real sockets: in this process, and as a child that is killed and measured.

mod bad_input;
mod client;
mod command_line;
mod compaction;
mod connections;
mod crash;
mod damage;
mod fetch;
mod folders;
mod group_settings;
mod harness;
mod hostile;
mod http;
mod idempotence;
mod long_poll;
mod members;
mod offsets;
mod opening;
mod produce;
mod retention;
mod sessions;
mod storage;
mod tools;
mod topics;
mod trouble;
