//! The signals of Azure ML's model monitoring, with exact definitions, on any platform.
//!
//! | signal | here | alarm by default |
//! |---|---|---|
//! | data drift | [`Detector`](crate::detector::Detector); Azure's metrics: [`azure::Metric`] | above 0.1 |
//! | prediction drift | the same on [`predictions`] | above 0.1 |
//! | data quality | [`DataQuality`]: rates of missing values, wrong types and values out of bounds | above 0 |
//! | feature attribution drift | [`Attribution`]: NDCG as Azure has it, and three measures beside it | NDCG below 0.9 |
//! | performance | [`azure::Metric`] with its [`Threshold`] on what an evaluator measured | by metric |
//!
//! Which rows a signal looks at is a [`Lookback`]: a size and an offset, as ISO 8601 durations. What happens then is the business
//! of [`decision`](crate::decision).

pub mod attribution;
pub mod azure;
mod quality;
mod threshold;
mod window;

use mlops_core::Result;
use mlops_core::data::{Column, Table};
use mlops_core::model::Predictions;

pub use attribution::{Attribution, PERSISTENCE, attribution, ndcg, rank_biased_overlap, weighted_tau};
pub use quality::{DataQuality, FeatureQuality, QualityLimits, QualityOutcome, QualityReport, Rate};
pub use threshold::Threshold;
pub use window::{Lookback, Span};

/// Predictions as a table of one column called `prediction`: what a detector of prediction drift is fitted on, and what a monitor
/// hands to it.
///
/// # Errors
/// Those of [`Table::new`]; none is expected.
///
/// ```
/// use mlops_core::model::Predictions;
/// let scores = Predictions::probability(vec![0.25, 0.5])?;
/// let table = mlops_drift::signal::predictions(&scores)?;
/// assert_eq!(*table.column("prediction")?.to_f64()?, [0.25, 0.5]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn predictions(predictions: &Predictions) -> Result<Table<'_>> {
    let Some(classes) = predictions.as_classes() else {
        return Table::new(vec![Column::f64("prediction", predictions.as_slice())?]);
    };
    let of = |label: &String| {
        Column::f64(format!("prediction_{label}"), classes.of_class(label).unwrap_or_default())
    };
    Table::new(classes.labels().iter().map(of).collect::<Result<Vec<_>>>()?)
}
