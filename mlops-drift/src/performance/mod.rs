//! How well a model does: with labels by measuring, without labels by estimating.
//!
//! | | labels known | labels not known yet | assumes |
//! |---|---|---|---|
//! | two classes | [`measure_binary`], [`BinaryPerformance`] | [`Cbpe`] | no concept drift |
//! | several classes | [`measure_multiclass`], [`MulticlassPerformance`] | [`MulticlassCbpe`] | no concept drift |
//! | numbers | [`measure_regression`], [`RegressionPerformance`] | [`Dle`] with any [`Regressor`] | no concept drift |
//!
//! Everything is fitted on a labelled reference cut into [chunks](crate::chunk): the band in which a metric may lie is the mean of
//! the reference chunks ± 3 of their standard deviations, or what the caller gives. Every number comes with a standard error
//! and an interval, a number that does not exist is [`Undefined`](mlops_core::num::Undefined) with its reason, and the verdict has
//! three values: a chunk that is too small, too incomplete or too noisy to tell is
//! [`Insufficient`](mlops_core::evaluation::Verdict::Insufficient). Fitted state serialises with a version and holds no rows.
//!
//! Late labels come through a [`LabelJoin`](crate::chunk::LabelJoin): as they arrive, the realised performance of a chunk covers
//! more of its rows, and [`Performance::completeness`] says how many.

mod binary;
mod boost;
mod calibrate;
pub mod cbpe;
mod check;
mod curve;
pub mod dle;
mod estimate;
mod isotonic;
mod metric;
mod multiclass;
mod realised;
mod regression;

pub use binary::{Binary, CellValues, Confusion, confusion, measure_binary};
pub use boost::{BoostedTrees, Features, Forest, Predict, Regressor};
pub use calibrate::Calibration;
pub use cbpe::{Cbpe, CbpeOptions, MulticlassCbpe};
pub use dle::Dle;
pub use estimate::{Band, BaselineRow, Estimate, Measurement, Performance, PerformanceOptions, Sides};
pub use isotonic::Isotonic;
pub use metric::Metric;
pub use multiclass::{Multiclass, measure_multiclass};
pub use realised::{BinaryPerformance, MulticlassPerformance, RegressionPerformance};
pub use regression::{Regression, measure_regression};
