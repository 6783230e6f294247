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

/// Names under which other tools know metrics of ours: functions and scorers of scikit-learn 1.9.1, the metrics of MLflow's
/// evaluators (2.22.5 and 3.17.2). Scorers that turn a sign (`neg_log_loss`) are not among them, for their thresholds are turned
/// too, nor is what has another meaning here (`fowlkes_mallows_score` compares clusterings).
const NAMES: &[(&str, &str)] = &[
    ("accuracy_score", "accuracy"),
    ("average_precision_score", "average_precision"),
    ("balanced_accuracy_score", "balanced_accuracy"),
    ("brier_score_loss", "brier"),
    ("cohen_kappa_score", "cohen_kappa"),
    ("d2_absolute_error_score", "d2_absolute_error"),
    ("d2_brier_score", "d2_brier"),
    ("d2_log_loss_score", "d2_log_loss"),
    ("explained_variance_score", "explained_variance"),
    ("f1_score", "f1"),
    ("jaccard_score", "jaccard"),
    ("matthews_corrcoef", "mcc"),
    ("mean_absolute_error", "mae"),
    ("mean_absolute_percentage_error", "mape"),
    ("mean_gamma_deviance", "gamma_deviance"),
    ("mean_poisson_deviance", "poisson_deviance"),
    ("mean_squared_error", "mse"),
    ("mean_squared_log_error", "msle"),
    // MLflow's name for what it computes with `average_precision_score`.
    ("precision_recall_auc", "average_precision"),
    ("precision_score", "precision"),
    ("r2_score", "r2"),
    ("recall_score", "recall"),
    ("roc_auc_score", "roc_auc"),
    ("root_mean_squared_error", "rmse"),
    ("root_mean_squared_log_error", "rmsle"),
    // The same in both.
    ("accuracy", "accuracy"),
    ("average_precision", "average_precision"),
    ("balanced_accuracy", "balanced_accuracy"),
    ("explained_variance", "explained_variance"),
    ("f1", "f1"),
    ("f1_macro", "f1_macro"),
    ("f1_micro", "f1_micro"),
    ("f1_weighted", "f1_weighted"),
    ("jaccard", "jaccard"),
    ("log_loss", "log_loss"),
    ("max_error", "max_error"),
    ("median_absolute_error", "median_absolute_error"),
    ("positive_likelihood_ratio", "positive_likelihood_ratio"),
    ("precision", "precision"),
    ("precision_macro", "precision_macro"),
    ("precision_micro", "precision_micro"),
    ("precision_weighted", "precision_weighted"),
    ("r2", "r2"),
    ("recall", "recall"),
    ("recall_macro", "recall_macro"),
    ("recall_micro", "recall_micro"),
    ("recall_weighted", "recall_weighted"),
    ("roc_auc", "roc_auc"),
    ("roc_auc_ovo", "roc_auc_ovo"),
    ("roc_auc_ovo_weighted", "roc_auc_ovo_weighted"),
    ("roc_auc_ovr", "roc_auc_ovr"),
    ("roc_auc_ovr_weighted", "roc_auc_ovr_weighted"),
    ("zero_one_loss", "zero_one_loss"),
];

impl ImportedGate {
    /// The names of other tools that are understood, each with the name of the metric here. A name that is not among them is
    /// kept as it is.
    ///
    /// ```
    /// use mlops_core::evaluation::ImportedGate;
    /// assert!(ImportedGate::known_metrics().contains(&("root_mean_squared_error", "rmse")));
    /// ```
    pub fn known_metrics() -> &'static [(&'static str, &'static str)] {
        NAMES
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_once_and_one_that_turns_the_sign_is_not() {
        let theirs: std::collections::BTreeSet<&str> = NAMES.iter().map(|(theirs, _)| *theirs).collect();
        assert_eq!(theirs.len(), NAMES.len());
        let mut notes = Vec::new();
        // A bound of -0.5 on a loss would always be kept. Under this name no report has a value, and the gate fails.
        let key = metric("op", "neg_log_loss", &mut notes).unwrap();
        assert_eq!((key.as_str(), notes.len()), ("neg_log_loss", 0));
        for (theirs, ours) in NAMES {
            let mut notes = Vec::new();
            assert_eq!(metric("op", theirs, &mut notes).unwrap().as_str(), *ours);
            assert_eq!(notes.len(), usize::from(theirs != ours), "{theirs}");
        }
    }
}
