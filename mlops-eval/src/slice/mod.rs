//! Metrics on declared parts of the data: "customers over 60", "mobile traffic", "last month".
//!
//! A good number overall can hide a part where the model fails. A [`Slice`] names such a part; [`evaluate_slices`]
//! measures every metric on every slice, and says "too few rows" where that is the answer. A [`Cohort`] declares one in
//! words that a file can hold: those of the Responsible AI Toolbox.
//!
//! ```
//! use mlops_eval::catalog::{Input, Metric};
//! use mlops_eval::slice::{Slice, SliceOptions, evaluate_slices};
//!
//! let age = [25.0, 31.0, 47.0, 62.0, 70.0];
//! let y_true = [true, false, true, true, false];
//! let y_pred = [true, false, true, false, true];
//! let slices = Slice::bins("age", &age, &[40.0])?;
//!
//! let input = Input::binary(&y_true).with_labels(&y_pred);
//! let metrics: [Metric; 1] = ["accuracy".parse()?];
//! let results = evaluate_slices(&input, &slices, &metrics, &SliceOptions::default().with_minimum_size(2))?;
//! assert_eq!(results[0].name, "age < 40");
//! assert_eq!(results[0].values[0].value.value(), Some(1.0));
//! assert_eq!(results[1].values[0].value.value(), Some(1.0 / 3.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cohort;
mod declared;
mod evaluate;
mod rows;

pub use cohort::{
    Cohort, Filter, FilterMethod, FilterOperation, FilterValue, MAX_DEPTH, MAX_FILTERS, MAX_VALUES,
};
pub use declared::Slice;
pub use evaluate::{SliceOptions, SliceResult, SliceValue, evaluate_slices};
pub use rows::CohortRows;
