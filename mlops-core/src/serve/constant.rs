//! One number for everybody.

use serde::{Deserialize, Serialize};

use super::builtin::Document;
use crate::data::Table;
use crate::error::{Error, Result};
use crate::experiment::Baseline;
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
            // One number is no answer of several classes.
            Task::MulticlassClassification => false,
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

/// ```
/// use mlops_core::experiment::baseline::majority_class;
/// use mlops_core::serve::ConstantPredictor;
/// let baseline = majority_class(&[true, false, false, false])?;
/// assert!(ConstantPredictor::try_from(baseline).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl TryFrom<Baseline> for ConstantPredictor {
    type Error = Error;

    /// The baseline as a predictor; only one that was changed by hand is refused.
    fn try_from(baseline: Baseline) -> Result<Self> {
        Self::new(baseline.task, baseline.value)
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
            _ => Predictions::value(values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Column;
    use crate::error::ErrorKind;
    use crate::experiment::baseline;
    use crate::model::{ModelFormat, ModelLoader as _};
    use crate::serve::BuiltinLoader;

    #[test]
    fn every_row_gets_the_answer_and_no_rows_get_none() {
        let predictor = ConstantPredictor::try_from(baseline::mean(&[-3.0, -4.0]).unwrap()).unwrap();
        let rows = |n: usize| Table::new(vec![Column::f64("x", vec![f64::NAN; n]).unwrap()]).unwrap();
        assert_eq!(predictor.predict(&rows(3)).unwrap(), Predictions::Value(vec![-3.5; 3]));
        assert!(predictor.predict(&rows(0)).unwrap().is_empty());
        assert!(predictor.predict(&Table::default()).unwrap().is_empty());
        let mut forged = baseline::majority_class(&[true]).unwrap();
        forged.value = 1.5;
        assert_eq!(ConstantPredictor::try_from(forged).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn bytes_that_are_not_a_constant_are_corrupt() {
        let format = ModelFormat::new("mlops.constant/v1").unwrap();
        let good = r#"{"model":{"task":"regression","value":1.5}}"#;
        let load = |bytes: &str| BuiltinLoader.load(&format, bytes.as_bytes());
        assert_eq!(
            ConstantPredictor::new(Task::Regression, 1.5).unwrap().to_bytes().unwrap(),
            good.as_bytes()
        );
        assert!(load(good).is_ok());
        for bad in [
            "",
            "{}",
            "null",
            &good.replace("1.5", "null"),
            &good.replace("1.5", "1e400"),
            &good.replace("1.5", "NaN"),
            &good.replace("1.5", "\"1.5\""),
            &good.replace("regression", "binary_classification"),
            &good.replace("1.5", "1.5,\"value\":2"),
            &good.replace("1.5", "1.5,\"extra\":2"),
            &format!("{good}x"),
            &"[".repeat(100_000),
        ] {
            assert_eq!(load(bad).unwrap_err().kind(), ErrorKind::Corrupt, "{bad}");
        }
    }
}
