//! Gates out of the threshold files of other tools.
//!
//! What can be carried over exactly is; what would weaken the gate if it were left out is an error; what is of no consequence for
//! the verdict, or makes the gate stricter than its origin, is a note.

mod mlflow;
mod rai;

use super::criterion::Criterion;
use super::spec::GateSpec;
use crate::error::{Error, Result, quote};
use crate::id::MetricKey;

/// A gate that was carried over, and what to know about it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedGate {
    /// The gate. Its digest is that of its criteria, not of the file it comes from.
    pub gate: GateSpec,
    /// What was not carried over, and what is now judged otherwise, as sentences.
    pub notes: Vec<String>,
}

/// Names under which other tools (scikit-learn's functions, MLflow's built-in metrics) know metrics of ours.
const NAMES: [(&str, &str); 14] = [
    ("accuracy_score", "accuracy"),
    ("balanced_accuracy_score", "balanced_accuracy"),
    ("brier_score_loss", "brier"),
    ("f1_score", "f1"),
    ("mean_absolute_error", "mae"),
    ("mean_squared_error", "mse"),
    ("precision_score", "precision"),
    ("r2_score", "r2"),
    ("recall_score", "recall"),
    ("roc_auc_score", "roc_auc"),
    ("root_mean_squared_error", "rmse"),
    ("average_precision_score", "average_precision"),
    ("matthews_corrcoef", "mcc"),
    ("median_absolute_error", "median_ae"),
];

/// The metric that another tool's name stands for; one without a known name keeps its own.
fn metric(operation: &'static str, name: &str, notes: &mut Vec<String>) -> Result<MetricKey> {
    let ours = NAMES.iter().find(|(theirs, _)| *theirs == name).map_or(name, |(_, ours)| ours);
    if ours != name {
        notes.push(format!("the metric `{}` is called `{ours}` here", quote(name)));
    }
    MetricKey::new(ours)
        .map_err(|error| Error::invalid(operation, "metric", error.to_string()).with("metric", name))
}

/// An id out of a name: letters, digits, `.`, `_`, `-`, and `-` in place of anything else.
fn id(name: &str, suffix: &str) -> String {
    let mut id: String = name
        .chars()
        .take(96)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' })
        .collect();
    if !id.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        id.insert(0, 'x');
    }
    id + suffix
}

/// The gate over criteria, each with an id of its own.
fn build(name: &str, mut criteria: Vec<Criterion>, notes: Vec<String>) -> Result<ImportedGate> {
    for index in 1..criteria.len() {
        let (before, rest) = criteria.split_at_mut(index);
        let Some(criterion) = rest.first_mut() else { continue };
        if before.iter().any(|c| c.id == criterion.id) {
            criterion.id = format!("{}-{index}", criterion.id);
        }
    }
    Ok(ImportedGate { gate: GateSpec::new(name, criteria)?, notes })
}
