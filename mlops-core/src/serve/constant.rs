//! One answer for every row.

use serde::{Deserialize, Serialize};

use super::json;
use crate::data::Table;
use crate::error::{Error, Result};
use crate::experiment::Baseline;
use crate::model::{ModelFormat, Predictions, Predictor, Signature};
use crate::problem::Task;

/// Answers every row alike: the predictor of a baseline. It takes no inputs.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_core::experiment::baseline::majority_class;
/// use mlops_core::model::{Predictions, Predictor};
/// use mlops_core::serve::ConstantPredictor;
///
/// let predictor = ConstantPredictor::try_from(majority_class(&[true, false, false, false])?)?;
/// let rows = Table::new(vec![Column::f64("age", vec![59.0, 48.0])?])?;
/// assert_eq!(predictor.predict(&rows)?, Predictions::Probability(vec![0.25, 0.25]));
///
/// let again = ConstantPredictor::from_bytes(&predictor.to_bytes()?)?;
/// assert_eq!(again, predictor);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct ConstantPredictor {
    signature: Signature,
    value: f64,
}

/// The predictor as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: String,
    task: Task,
    value: f64,
}

impl ConstantPredictor {
    /// The name of the format: `mlops.constant/v1`.
    pub const FORMAT: &'static str = "mlops.constant/v1";

    /// Answers `value` for every row: a probability for a classification, a number for a regression.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a probability outside [0, 1] and for NaN and infinities.
    ///
    /// ```
    /// use mlops_core::problem::Task;
    /// use mlops_core::serve::ConstantPredictor;
    /// assert!(ConstantPredictor::new(Task::Regression, 152.1).is_ok());
    /// assert!(ConstantPredictor::new(Task::BinaryClassification, 152.1).is_err());
    /// ```
    pub fn new(task: Task, value: f64) -> Result<Self> {
        const OP: &str = "ConstantPredictor::new";
        let (ok, range) = match task {
            Task::BinaryClassification => ((0.0..=1.0).contains(&value), "a probability in [0, 1]"),
            Task::Regression => (value.is_finite(), "a finite number"),
        };
        if !ok {
            return Err(Error::invalid(OP, "value", format!("is {value}, expected {range}")));
        }
        Ok(Self { signature: Signature::new(task, Vec::new()), value })
    }

    /// The answer.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// The format of [`ConstantPredictor::to_bytes`].
    ///
    /// # Errors
    /// None in practice: the name is valid.
    pub fn format() -> Result<ModelFormat> {
        ModelFormat::new(Self::FORMAT)
    }

    /// The predictor's bytes; the same predictor gives the same bytes.
    ///
    /// # Errors
    /// As `serde_json`, which does not fail on this shape.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        json::to_bytes("ConstantPredictor::to_bytes", self)
    }

    /// Reads a predictor.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for what [`to_bytes`](Self::to_bytes) does not write;
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 8 MiB.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        json::from_bytes("ConstantPredictor::from_bytes", bytes)
    }
}

impl TryFrom<Baseline> for ConstantPredictor {
    type Error = Error;

    fn try_from(baseline: Baseline) -> Result<Self> {
        Self::new(baseline.task, baseline.value)
    }
}

impl TryFrom<Stored> for ConstantPredictor {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        if stored.format != Self::FORMAT {
            let message = format!("expected {}", Self::FORMAT);
            return Err(Error::invalid("ConstantPredictor::from_bytes", "format", message)
                .with("value", stored.format));
        }
        Self::new(stored.task, stored.value)
    }
}

impl From<ConstantPredictor> for Stored {
    fn from(predictor: ConstantPredictor) -> Self {
        let format = ConstantPredictor::FORMAT.to_owned();
        Self { format, task: predictor.signature.task, value: predictor.value }
    }
}

impl Predictor for ConstantPredictor {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn predict(&self, rows: &Table<'_>) -> Result<Predictions> {
        let answers = vec![self.value; rows.rows()];
        match self.signature.task {
            Task::BinaryClassification => Predictions::probability(answers),
            Task::Regression => Predictions::value(answers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Column;
    use crate::error::ErrorKind;

    #[test]
    fn every_row_gets_the_answer_and_no_rows_get_none() {
        let predictor = ConstantPredictor::new(Task::Regression, -3.5).unwrap();
        let rows = |n: usize| Table::new(vec![Column::f64("x", vec![f64::NAN; n]).unwrap()]).unwrap();
        assert_eq!(predictor.predict(&rows(3)).unwrap(), Predictions::Value(vec![-3.5; 3]));
        assert!(predictor.predict(&rows(0)).unwrap().is_empty());
        assert!(predictor.predict(&Table::default()).unwrap().is_empty());
    }

    #[test]
    fn bytes_that_are_not_a_constant_are_corrupt() {
        let good = r#"{"format":"mlops.constant/v1","task":"regression","value":1.5}"#;
        let read = ConstantPredictor::from_bytes(good.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(read.to_bytes().unwrap()).unwrap(), good);
        for bad in [
            "",
            "{}",
            "null",
            &good.replace("1.5", "null"),
            &good.replace("1.5", "1e400"),
            &good.replace("1.5", "NaN"),
            &good.replace("1.5", "\"1.5\""),
            &good.replace("regression", "binary_classification"),
            &good.replace("constant", "linear"),
            &good.replace("1.5", "1.5,\"value\":2"),
            &good.replace("1.5", "1.5,\"extra\":2"),
            &format!("{good}x"),
            &"[".repeat(100_000),
        ] {
            let error = ConstantPredictor::from_bytes(bad.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{bad}");
        }
    }
}
