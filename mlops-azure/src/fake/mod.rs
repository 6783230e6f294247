//! What stands in for Azure in tests (feature `fake`).
//!
//! | module | what it holds |
//! |---|---|
//! | [`schema`] | [`Schemas`]: Azure's type definitions, which judge the bodies that are sent |

pub mod schema;

pub use schema::{Finding, Mutant, Report, Rule, Schemas};
