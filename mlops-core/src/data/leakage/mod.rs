//! Leaks: what the model must not have seen is looked for, and found it stops the show.
//!
//! | leak | what it is | looked for |
//! |---|---|---|
//! | [`LeakKind::DuplicateRow`] | rows of two parts are equal in every feature | always |
//! | [`LeakKind::ConflictingLabel`] | rows of two parts are equal in every feature and have different labels | when a label is named |
//! | [`LeakKind::NearDuplicateRow`] | rows of two parts are nearly equal: MinHash, then the true Jaccard similarity | when asked for |
//! | [`LeakKind::SharedId`] | one id in two parts | when an id column is named |
//! | [`LeakKind::SharedGroup`] | one group (patient, household) in two parts | when a group column is named |
//! | [`LeakKind::TimeOverlap`] | a row of a later part is not later than the last of an earlier one | when a time column is named |
//! | [`LeakKind::LabelWindow`] | the label of an earlier part's row is made while that of a later part's row is | when label windows are named |
//! | [`LeakKind::Target`] | one feature alone tells the label | when a label is named |
//! | [`LeakKind::FittedOnTest`] | a preprocessing step was fitted on rows that it is judged on | when its record is given |
//!
//! Every pair of parts is compared: a validation row seen in training spoils the choice of the model as a test row spoils
//! its judgement. Duplicates within one part are no leak; that is [`Expectation::unique`](crate::data::Expectation::unique).
//! What was not looked for, and why, is in the report: it is not known to be clean.

mod fitted;
mod input;
mod near;
mod report;
mod shared;
mod target;
#[cfg(test)]
mod tests;
mod time;
mod window;

pub use fitted::{FitRecord, Fitted};
pub use input::LeakageInput;
pub use near::{NearDuplicateSearch, NearDuplicates};
pub use report::{Leak, LeakKind, LeakSeverity, LeakageReport, NotChecked};
pub use target::TargetLeak;

/// The operation that errors name.
const OP: &str = "LeakageInput::check";

/// How many pairs of rows a leak lists.
const SAMPLE: usize = 20;
