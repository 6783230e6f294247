//! What stands in for Azure in tests (feature `fake`).
//!
//! | module | what it holds |
//! |---|---|
//! | [`azure`] | [`FakeAzure`]: Resource Manager in memory, with parts for what is behind other hosts |
//! | [`event_grid`] | [`FakeEventGrid`]: subscriptions, deliveries, topics |
//! | [`exchange`] | [`FakePart`], [`FakeRequest`] and [`FakeAnswer`]: what parts are made of |
//! | [`faults`] | [`Faults`]: what is to go wrong |
//! | [`faulty`] | [`FaultyTransport`]: any transport with faults by rules |
//! | [`governance`] | [`FakeGovernance`]: role assignments, tags, diagnoses |
//! | [`insights`] | [`FakeInsights`]: the ingestion of Application Insights |
//! | [`key_vault`] | [`FakeKeyVault`]: a vault of secrets |
//! | [`monitor`] | [`breach`]: a model monitor finds that a signal is over its threshold |
//! | [`schema`] | [`Schemas`]: Azure's type definitions, which judge the bodies that are sent |

pub mod azure;
pub mod event_grid;
pub mod exchange;
pub mod faults;
pub mod faulty;
pub mod governance;
pub mod insights;
pub mod key_vault;
pub mod monitor;
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
pub use event_grid::FakeEventGrid;
pub use exchange::{FakeAnswer, FakePart, FakeRequest};
pub use faults::Faults;
pub use faulty::{Fault, FaultRule, FaultyTransport};
pub use governance::FakeGovernance;
pub use insights::{FakeInsights, Ingestion};
pub use key_vault::FakeKeyVault;
pub use monitor::breach;
pub use schema::{Finding, Mutant, Report, Rule, Schemas};
