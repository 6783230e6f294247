//! One number for everybody.

use serde::{Deserialize, Serialize};

use super::builtin::Document;
use crate::data::Table;
use crate::error::{Error, Result};
use crate::model::{Predictions, Predictor, Signature};
use crate::problem::Task;

/// Predicts one number for every row: the baseline that a model must beat. Needs no input.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_core::model::Predictor as _;
/// use mlops_core::problem::Task;
/// use mlops_core::serve::ConstantPredictor;
///
/// let prior = ConstantPredictor::new(Task::BinaryClassification, 0.25)?;
/// let rows = Table::new(vec![Column::f64("age", vec![59.0, 48.0])?])?;
/// assert_eq!(prior.predict(&rows)?.as_slice(), [0.25, 0.25]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ConstantPredictor {
    signature: Signature,
    value: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    task: Task,
    value: f64,
}

impl ConstantPredictor {
    /// Predicts `value`: a probability for a binary task, else any finite number.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a value that is not one.
    pub fn new(task: Task, value: f64) -> Result<Self> {
        let good = match task {
            Task::BinaryClassification => (0.0..=1.0).contains(&value),
            Task::Regression => value.is_finite(),
        };
        if good {
            return Ok(Self { signature: Signature::new(task, Vec::new()), value });
        }
        Err(Error::invalid("ConstantPredictor::new", "value", "is not a prediction of this task")
            .with("value", value))
    }

    /// The model as bytes of the format `mlops.constant/v1`.
    ///
    /// # Errors
    /// None in practice: the numbers were checked.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        Document::write(&Stored { task: self.signature.task, value: self.value })
    }

    pub(super) fn from_stored(stored: Stored) -> Result<Self> {
        Self::new(stored.task, stored.value)
    }
}

impl Predictor for ConstantPredictor {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn predict(&self, rows: &Table<'_>) -> Result<Predictions> {
        let values = vec![self.value; rows.rows()];
        match self.signature.task {
            Task::BinaryClassification => Predictions::probability(values),
            Task::Regression => Predictions::value(values),
        }
    }
}
