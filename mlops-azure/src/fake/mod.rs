//! What stands in for Azure in tests (feature `fake`).
//!
//! | module | what it holds |
//! |---|---|
//! | [`azure`] | [`FakeAzure`]: Resource Manager in memory, with parts for what is behind other hosts |
//! | [`exchange`] | [`FakePart`], [`FakeRequest`] and [`FakeAnswer`]: what parts are made of |
//! | [`faults`] | [`Faults`]: what is to go wrong |
//! | [`faulty`] | [`FaultyTransport`]: any transport with faults by rules |
//! | [`key_vault`] | [`FakeKeyVault`]: a vault of secrets |
//! | [`mlflow`] | [`FakeMlflow`]: MLflow of every workspace and registry |
//! | [`run_artifact`] | [`FakeRunArtifacts`]: the artifacts of runs, and their blobs |
//! | [`schema`] | [`Schemas`]: Azure's type definitions, which judge the bodies that are sent |

pub mod azure;
pub mod exchange;
pub mod faults;
pub mod faulty;
pub mod key_vault;
pub mod mlflow;
pub mod run_artifact;
pub mod schema;

mod arm;
mod asset;
mod kind;
mod list;
mod operation;
mod path;
mod provider;
mod state;
mod store;
mod token;
mod world;

pub use azure::FakeAzure;
pub use exchange::{FakeAnswer, FakePart, FakeRequest};
pub use faults::Faults;
pub use faulty::{Fault, FaultRule, FaultyTransport};
pub use key_vault::FakeKeyVault;
pub use mlflow::FakeMlflow;
pub use run_artifact::FakeRunArtifacts;
pub use schema::{Finding, Mutant, Report, Rule, Schemas};
