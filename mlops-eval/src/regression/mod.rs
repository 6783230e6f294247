//! Metrics of predicted numbers, as functions on slices ([`errors`]) and as one mergeable pass ([`state`]).
//!
//! Targets and predictions must be finite. Every function checks its input and returns a
//! [`Measured`](mlops_core::num::Measured): a number, or the typed reason why there is none.

pub mod errors;
pub mod state;

pub use errors::*;
pub use state::{RegressionState, RegressionSummary};
