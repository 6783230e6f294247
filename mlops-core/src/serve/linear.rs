//! Linear and logistic regression.

use serde::{Deserialize, Serialize};

use super::FeatureEncoder;
use super::builtin::Document;
use super::ensemble::logistic;
use crate::data::Table;
use crate::error::{Error, Result};
use crate::model::{Predictions, Predictor, Signature};
use crate::problem::Task;

/// A weighted sum of encoded features, and for a binary task its logistic function 1 / (1 + e⁻ᶻ).
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_core::model::Predictor as _;
/// use mlops_core::problem::Task;
/// use mlops_core::serve::{EncoderOptions, FeatureEncoder, LinearPredictor};
///
/// let rows = Table::new(vec![Column::f64("age", vec![40.0, 60.0])?])?;
/// let encoder = FeatureEncoder::fit(&rows, &["age"], &EncoderOptions::default())?;
/// let model = LinearPredictor::new(Task::BinaryClassification, encoder, vec![2.0], 0.0)?;
/// let predicted = model.predict(&rows)?;
/// assert!(predicted.as_slice()[0] < 0.2 && predicted.as_slice()[1] > 0.8);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LinearPredictor {
    signature: Signature,
    encoder: FeatureEncoder,
    weights: Vec<f64>,
    intercept: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    task: Task,
    encoder: FeatureEncoder,
    weights: Vec<f64>,
    intercept: f64,
}

impl LinearPredictor {
    /// A model with one weight for each column of the encoder.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for another number of weights, one that is not finite, and a task of
    /// several classes.
    pub fn new(task: Task, encoder: FeatureEncoder, weights: Vec<f64>, intercept: f64) -> Result<Self> {
        const OP: &str = "LinearPredictor::new";
        check_task(OP, task)?;
        if weights.len() != encoder.width() {
            let message =
                format!("there are {} weights for {} encoded columns", weights.len(), encoder.width());
            return Err(Error::invalid(OP, "weights", message));
        }
        if let Some(bad) = weights.iter().chain([&intercept]).find(|w| !w.is_finite()) {
            return Err(Error::invalid(OP, "weights", "must be finite").with("value", bad));
        }
        Ok(Self { signature: Signature::new(task, encoder.features()), encoder, weights, intercept })
    }

    /// The weights with the names of the columns they belong to.
    pub fn weights(&self) -> impl Iterator<Item = (String, f64)> {
        self.encoder.names().into_iter().zip(self.weights.iter().copied())
    }

    /// The model as bytes of the format `mlops.linear/v1`.
    ///
    /// # Errors
    /// None in practice: the numbers were checked.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        Document::write(&Stored {
            task: self.signature.task,
            encoder: self.encoder.clone(),
            weights: self.weights.clone(),
            intercept: self.intercept,
        })
    }

    pub(super) fn from_stored(stored: Stored) -> Result<Self> {
        Self::new(stored.task, stored.encoder, stored.weights, stored.intercept)
    }
}

impl Predictor for LinearPredictor {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn predict(&self, rows: &Table<'_>) -> Result<Predictions> {
        self.signature.check(rows)?;
        let matrix = self.encoder.encode(rows)?;
        let sum = |row: usize| {
            matrix.row(row).iter().zip(&self.weights).fold(self.intercept, |z, (x, w)| z + x * w)
        };
        respond(self.signature.task, (0..matrix.rows()).map(sum))
    }
}

/// Sums of a model turned into answers of its task.
pub(super) fn respond(task: Task, sums: impl Iterator<Item = f64>) -> Result<Predictions> {
    match task {
        Task::BinaryClassification => Predictions::probability(sums.map(logistic).collect()),
        Task::Regression => Predictions::value(sums.collect()),
        Task::MulticlassClassification => {
            Err(Error::unsupported("Predictor::predict", "one sum for several classes"))
        }
    }
}

/// Refuses a task that one sum cannot answer.
pub(super) fn check_task(operation: &'static str, task: Task) -> Result<()> {
    match task {
        Task::BinaryClassification | Task::Regression => Ok(()),
        Task::MulticlassClassification => {
            Err(Error::invalid(operation, "task", "one sum cannot answer for several classes"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Column;
    use crate::error::ErrorKind;
    use crate::serve::EncoderOptions;

    fn model(weight: f64) -> LinearPredictor {
        let table = Table::new(vec![Column::f64("x", vec![-1.0, 1.0]).unwrap()]).unwrap();
        let encoder = FeatureEncoder::fit(&table, &["x"], &EncoderOptions::default()).unwrap();
        LinearPredictor::new(Task::BinaryClassification, encoder, vec![weight], 0.5).unwrap()
    }

    /// SciPy 1.17.1, `scipy.special.expit`.
    #[test]
    fn the_logistic_function_meets_scipy() {
        for (z, expected) in [
            (0.0, 0.5),
            (1.0, 0.7310585786300049),
            (-1.0, 0.2689414213699951),
            (-40.0, 4.248354255291589e-18),
            (-745.0, 5e-324),
            (800.0, 1.0),
            (f64::NEG_INFINITY, 0.0),
        ] {
            let error = (logistic(z) - expected).abs();
            assert!(error <= 4.0 * f64::EPSILON * expected, "{z}: {} {expected}", logistic(z));
        }
    }

    #[test]
    fn extreme_sums_stay_probabilities() {
        let rows = Table::new(vec![Column::f64("x", vec![-1e300, 1e300, 0.0]).unwrap()]).unwrap();
        assert_eq!(model(1e5).predict(&rows).unwrap().as_slice()[..2], [0.0, 1.0]);
    }

    #[test]
    fn rows_that_do_not_fit_are_refused() {
        let text = Table::new(vec![Column::text("x", ["a"]).unwrap()]).unwrap();
        let infinite = Table::new(vec![Column::f64("x", vec![f64::INFINITY]).unwrap()]).unwrap();
        for rows in [Table::default(), text, infinite] {
            assert_eq!(model(1.0).predict(&rows).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }

    /// scikit-learn 1.9.1: `StandardScaler`, missing values at its mean, `OneHotEncoder(handle_unknown="ignore")`, then
    /// `LogisticRegression(C=1.0)` and `LinearRegression()` trained on twelve rows; weights and predictions are theirs.
    #[test]
    fn predictions_agree_with_scikit_learn() {
        let rows = |age: &[f64], bmi: &[f64], sex: &[&str]| {
            let age = Column::f64("age", age.to_vec()).unwrap();
            let bmi = Column::f64("bmi", bmi.to_vec()).unwrap();
            Table::new(vec![age, bmi, Column::text("sex", sex).unwrap()]).unwrap()
        };
        let train = rows(
            &[59.0, 48.0, 72.0, 24.0, 50.0, f64::NAN, 36.0, 66.0, 60.0, 29.0, 22.0, 56.0],
            &[32.1, 21.6, 30.5, 25.3, 23.0, 22.6, f64::NAN, 26.2, 32.1, 30.0, 18.6, 28.0],
            &["m", "f", "m", "f", "f", "f", "m", "m", "f", "x", "f", "m"],
        );
        let later =
            rows(&[41.0, f64::NAN, 90.0, 55.0], &[f64::NAN, 35.5, 18.0, 27.25], &["m", "q", "f", "x"]);
        let encoder =
            FeatureEncoder::fit(&train, &["age", "bmi", "sex"], &EncoderOptions::default()).unwrap();
        for (task, weights, intercept, expected) in [
            (
                Task::BinaryClassification,
                [
                    -0.6056886022057714,
                    1.4413859260071882,
                    -0.13201483074718004,
                    0.017191968002845177,
                    0.11473971935646858,
                ],
                0.04692347080628869,
                [0.574777264064133, 0.955734156964782, 0.011909577696045223, 0.5443365673830254],
            ),
            (
                Task::Regression,
                [
                    -36.48001829670024,
                    36.75924102542436,
                    -31.875080422857224,
                    -45.2094748170817,
                    77.0845552399389,
                ],
                161.3511084485511,
                [130.4312072357953, 238.50554009014422, -35.34333325084623, 229.21608231134866],
            ),
        ] {
            let model = LinearPredictor::new(task, encoder.clone(), weights.to_vec(), intercept).unwrap();
            let predicted = model.predict(&later).unwrap();
            for (row, (got, expected)) in predicted.as_slice().iter().zip(expected).enumerate() {
                assert!((got - expected).abs() <= 1e-12 * expected.abs(), "{got} {expected}");
                let alone = model.predict(&later.take(&[row]).unwrap()).unwrap();
                assert_eq!(alone.as_slice()[0].to_bits(), got.to_bits());
            }
        }
    }
}
