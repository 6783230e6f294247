//! What stands in for Azure in tests (feature `fake`).
//!
//! | module | what it holds |
//! |---|---|
//! | [`azure`] | [`FakeAzure`]: Resource Manager in memory, with parts for what is behind other hosts |
//! | [`exchange`] | [`FakePart`], [`FakeRequest`] and [`FakeAnswer`]: what parts are made of |
//! | [`faults`] | [`Faults`]: what is to go wrong |
//! | [`job`] | [`FakeJobs`] and [`JobScript`]: jobs, run history, logs and trials |
//! | [`key_vault`] | [`FakeKeyVault`]: a vault of secrets |
//! | [`schema`] | [`Schemas`]: Azure's type definitions, which judge the bodies that are sent |

pub mod azure;
pub mod exchange;
pub mod faults;
pub mod job;
pub mod key_vault;
pub mod schema;

mod arm;
mod asset;
mod compute;
mod kind;
mod list;
mod operation;
mod path;
mod provider;
mod schedule;
mod state;
mod store;
mod token;
mod world;

pub use azure::FakeAzure;
pub use exchange::{FakeAnswer, FakePart, FakeRequest};
pub use faults::Faults;
pub use job::{FakeJobs, JobScript};
pub use key_vault::FakeKeyVault;
pub use schema::{Finding, Mutant, Report, Rule, Schemas};
