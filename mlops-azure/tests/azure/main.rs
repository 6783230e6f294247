//! Azure's services behind core's traits and as clients, against the fake.
#![cfg(feature = "fake")]

mod deploy;
mod fake;
mod log;
