//! Azure's services behind core's traits and as clients, against the fake.
#![cfg(feature = "fake")]

mod data;
mod fake;
mod registry;
mod storage;
