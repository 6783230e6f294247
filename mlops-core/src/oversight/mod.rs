//! Oversight: what [`governance`](crate::governance) judges, read from the stores.
//!
//! Governance is pure: it judges inventories, counts and plans, and knows no store. Here they are read: the
//! [inventory](Stores::inventory) that a sweep looks at, the [evidence](Stores::evidence) of an assessment of maturity, and the
//! [provenance](provenance::statement) of a model version.

mod evidence;
mod inventory;
pub mod provenance;
#[cfg(feature = "signing")]
pub mod signing;
mod stores;

pub use evidence::ProbeOptions;
pub use stores::Stores;
