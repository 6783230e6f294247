//! Search spaces: which values a sweep may try, and how likely each is.
//!
//! A [`SearchSpace`] has parameters and their [`Distribution`]s, an [`Assignment`] has a [`Value`] for every one that is
//! active. A choice whose options are spaces makes parameters that exist only under a condition.

mod assignment;
mod azure;
mod check;
mod distribution;
mod error;
mod file;
pub(in crate::experiment) mod law;
pub(in crate::experiment) mod normal;
mod search_space;
mod value;

pub use crate::config::Format as SpaceFormat;
pub use assignment::{Assignment, MAX_NAME};
pub(in crate::experiment) use check::option_of;
pub use check::{MAX_DEPTH, MAX_OPTIONS, MAX_PARAMETERS};
pub use distribution::{ChoiceOption, Distribution};
pub use error::SpaceError;
pub use search_space::SearchSpace;
pub use value::Value;
