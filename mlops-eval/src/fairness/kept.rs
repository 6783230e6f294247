//! Rows that are kept because what is asked of them is no sum.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use crate::catalog::{ClassRows, Input, Rows};
use crate::classification::Average;

/// The rows of one group, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeptRows {
    columns: Columns,
    weights: Option<Vec<f64>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Columns {
    Binary {
        y_true: Vec<bool>,
        labels: Option<Vec<bool>>,
        scores: Option<Vec<f64>>,
    },
    Multiclass {
        y_true: Vec<u32>,
        y_pred: Vec<u32>,
        classes: usize,
        average: Average,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        probabilities: Option<Vec<f64>>,
    },
    Regression {
        y_true: Vec<f64>,
        y_pred: Vec<f64>,
    },
}

fn pick<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().filter_map(|&row| values.get(row).copied()).collect()
}

impl KeptRows {
    /// The rows of an input whose lengths have been checked.
    pub(super) fn of(input: &Input<'_>, rows: &[usize]) -> Result<Self, StatsError> {
        let columns = match input.rows {
            Rows::Binary { y_true, labels, scores } => Columns::Binary {
                y_true: pick(y_true, rows),
                labels: labels.map(|labels| pick(labels, rows)),
                scores: scores.map(|scores| pick(scores, rows)),
            },
            Rows::Multiclass(ClassRows { y_true, y_pred, classes, average, probabilities }) => {
                let row = |&row: &usize| row * classes..(row + 1) * classes;
                let wide: Vec<usize> = match probabilities {
                    Some(_) => rows.iter().flat_map(row).collect(),
                    None => Vec::new(),
                };
                Columns::Multiclass {
                    y_true: pick(y_true, rows),
                    y_pred: pick(y_pred, rows),
                    classes,
                    average,
                    probabilities: probabilities.map(|values| pick(values, &wide)),
                }
            }
            Rows::Regression { y_true, y_pred } => {
                Columns::Regression { y_true: pick(y_true, rows), y_pred: pick(y_pred, rows) }
            }
            #[allow(unreachable_patterns, reason = "inputs of another shape have no place here")]
            _ => {
                let reason = "rows of this shape cannot be kept by group";
                return Err(StatsError::Unsupported { what: "a metric frame", reason });
            }
        };
        Ok(Self { columns, weights: input.weights.map(|weights| pick(weights, rows)) })
    }

    pub(super) fn input(&self) -> Input<'_> {
        let rows = match &self.columns {
            Columns::Binary { y_true, labels, scores } => {
                Rows::Binary { y_true, labels: labels.as_deref(), scores: scores.as_deref() }
            }
            Columns::Multiclass { y_true, y_pred, classes, average, probabilities } => {
                let (classes, average) = (*classes, *average);
                let probabilities = probabilities.as_deref();
                Rows::Multiclass(ClassRows { y_true, y_pred, classes, average, probabilities })
            }
            Columns::Regression { y_true, y_pred } => Rows::Regression { y_true, y_pred },
        };
        Input { rows, weights: self.weights.as_deref() }
    }

    /// The number of rows.
    pub(super) fn rows(&self) -> usize {
        self.input().rows()
    }

    /// That columns read from a file are of one length.
    pub(super) fn check(&self) -> Result<(), StatsError> {
        match self.input().check() {
            Ok(()) | Err(StatsError::Empty { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Adds the rows of another part of the data below these.
    pub(super) fn append(&mut self, other: &Self) -> Result<(), StatsError> {
        let differs = Err(StatsError::Incompatible { what: "the kind of the rows" });
        // Checked first, so that nothing is added by half.
        let weights_agree = self.weights.is_some() == other.weights.is_some();
        match (&mut self.columns, &other.columns) {
            _ if !weights_agree => return differs,
            (
                Columns::Binary { y_true, labels, scores },
                Columns::Binary { y_true: truth, labels: more_labels, scores: more_scores },
            ) if labels.is_some() == more_labels.is_some() && scores.is_some() == more_scores.is_some() => {
                y_true.extend_from_slice(truth);
                extend(labels.as_mut(), more_labels.as_ref());
                extend(scores.as_mut(), more_scores.as_ref());
            }
            (
                Columns::Multiclass { y_true, y_pred, classes, average, probabilities },
                Columns::Multiclass {
                    y_true: truth,
                    y_pred: predicted,
                    classes: known,
                    average: other,
                    probabilities: more,
                },
            ) if classes == known && average == other && probabilities.is_some() == more.is_some() => {
                y_true.extend_from_slice(truth);
                y_pred.extend_from_slice(predicted);
                extend(probabilities.as_mut(), more.as_ref());
            }
            (
                Columns::Regression { y_true, y_pred },
                Columns::Regression { y_true: truth, y_pred: predicted },
            ) => {
                y_true.extend_from_slice(truth);
                y_pred.extend_from_slice(predicted);
            }
            _ => return differs,
        }
        extend(self.weights.as_mut(), other.weights.as_ref());
        Ok(())
    }
}

fn extend<T: Copy>(values: Option<&mut Vec<T>>, more: Option<&Vec<T>>) {
    if let (Some(values), Some(more)) = (values, more) {
        values.extend_from_slice(more);
    }
}
