//! What stands in for Azure in tests (feature `fake`).
//!
//! | module | what it holds |
//! |---|---|
//! | [`key_vault`] | [`FakeKeyVault`]: a vault of secrets |
//! | [`schema`] | [`Schemas`]: Azure's type definitions, which judge the bodies that are sent |

pub mod key_vault;
pub mod schema;

pub use key_vault::FakeKeyVault;
pub use schema::{Finding, Mutant, Report, Rule, Schemas};
