//! Services against a transport in memory and against a server that misbehaves: tokens, calls, pages, long operations, faults,
//! and what never leaks.

#[path = "../azure/log.rs"]
mod log;
#[path = "../scripted/mod.rs"]
mod scripted;

mod auth;
mod calls;
mod faults;
mod memory;
mod operations;
mod secrets;
