//! What stands in for Azure in tests (feature `fake`).
//!
//! | module | what it holds |
//! |---|---|
//! | [`azure`] | [`FakeAzure`]: Resource Manager in memory, with parts for what is behind other hosts |
//! | [`exchange`] | [`FakePart`], [`FakeRequest`] and [`FakeAnswer`]: what parts are made of |
//! | [`faults`] | [`Faults`]: what is to go wrong |
//! | [`batch`] | [`FakeBatch`]: batch endpoints and their jobs |
//! | [`key_vault`] | [`FakeKeyVault`]: a vault of secrets |
//! | [`online`] | [`FakeOnline`]: online endpoints, their keys and their scoring addresses |
//! | [`schema`] | [`Schemas`]: Azure's type definitions, which judge the bodies that are sent |

pub mod azure;
pub mod batch;
pub mod exchange;
pub mod faults;
pub mod key_vault;
pub mod online;
pub mod schema;

mod arm;
mod asset;
mod kind;
mod list;
mod operation;
mod path;
mod provider;
mod rows;
mod state;
mod store;
mod token;
mod world;

pub use azure::FakeAzure;
pub use batch::FakeBatch;
pub use exchange::{FakeAnswer, FakePart, FakeRequest};
pub use faults::Faults;
pub use key_vault::FakeKeyVault;
pub use online::{FakeCounts, FakeOnline};
pub use schema::{Finding, Mutant, Report, Rule, Schemas};
