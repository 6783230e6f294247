//! Linear and logistic regression over encoded columns.

use serde::{Deserialize, Serialize};

use super::{FeatureEncoder, json};
use crate::data::Table;
use crate::error::{Error, Result};
use crate::model::{ModelFormat, Predictions, Predictor, Signature};
use crate::problem::Task;

/// What becomes of the weighted sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// The sum is the answer: a regression.
    Identity,
    /// The answer is `1 / (1 + exp(−sum))`, the probability of the positive class.
    Logistic,
}

impl Link {
    fn task(self) -> Task {
        match self {
            Self::Identity => Task::Regression,
            Self::Logistic => Task::BinaryClassification,
        }
    }
}

/// A linear or logistic regression: `link(intercept + Σ weight · encoded feature)`.
///
/// Nothing is trained here: train with any library on what the encoder encodes, and hand the weights over.
///
/// The sum is taken in the order of the features, so a row's answer has the same bits whatever rows come with it. A row whose
/// sum is not finite is refused. Agrees with scikit-learn's `LogisticRegression.predict_proba` and `LinearRegression.predict` to 1e-12.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_core::model::Predictor;
/// use mlops_core::serve::{FeatureEncoder, LinearPredictor};
///
/// let train = Table::new(vec![Column::f64("age", vec![40.0, 60.0])?, Column::text("sex", ["f", "m"])?])?;
/// let encoder = FeatureEncoder::fit(&train)?;
/// // Weights for age, sex=f and sex=m, from whatever trained them.
/// let model = LinearPredictor::logistic(encoder, vec![1.0, 0.5, -0.5], 0.0)?;
///
/// let rows = Table::new(vec![Column::f64("age", vec![55.0])?, Column::text("sex", ["m"])?])?;
/// assert_eq!(model.predict(&rows)?.as_slice(), [0.5]);
///
/// let again = LinearPredictor::from_bytes(&model.to_bytes()?)?;
/// assert_eq!(again, model);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct LinearPredictor {
    signature: Signature,
    link: Link,
    encoder: FeatureEncoder,
    weights: Vec<f64>,
    intercept: f64,
}

/// The predictor as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: String,
    link: Link,
    intercept: f64,
    weights: Vec<f64>,
    inputs: FeatureEncoder,
}

impl LinearPredictor {
    /// The name of the format: `mlops.linear/v1`.
    pub const FORMAT: &'static str = "mlops.linear/v1";

    /// A model that answers probabilities.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for another number of weights than the encoder makes numbers, and for weights that are not finite, with
    /// the name of the feature.
    pub fn logistic(encoder: FeatureEncoder, weights: Vec<f64>, intercept: f64) -> Result<Self> {
        Self::new(Link::Logistic, encoder, weights, intercept)
    }

    /// A model that answers numbers.
    ///
    /// # Errors
    /// As [`LinearPredictor::logistic`].
    ///
    /// ```
    /// # use mlops_core::data::{Column, Table};
    /// # use mlops_core::model::Predictor;
    /// # use mlops_core::serve::{FeatureEncoder, LinearPredictor};
    /// let rows = Table::new(vec![Column::f64("x", vec![-1.0, 1.0])?])?;
    /// let model = LinearPredictor::linear(FeatureEncoder::fit(&rows)?, vec![10.0], 100.0)?;
    /// assert_eq!(model.predict(&rows)?.as_slice(), [90.0, 110.0]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn linear(encoder: FeatureEncoder, weights: Vec<f64>, intercept: f64) -> Result<Self> {
        Self::new(Link::Identity, encoder, weights, intercept)
    }

    fn new(link: Link, encoder: FeatureEncoder, weights: Vec<f64>, intercept: f64) -> Result<Self> {
        const OP: &str = "LinearPredictor::new";
        let (got, width) = (weights.len(), encoder.width());
        if got != width {
            let message = format!("has {got} elements but the encoder makes {width} numbers a row");
            return Err(Error::invalid(OP, "weights", message));
        }
        if !intercept.is_finite() {
            return Err(Error::invalid(OP, "intercept", format!("is {intercept}, expected a finite number")));
        }
        if let Some(index) = weights.iter().position(|w| !w.is_finite()) {
            let message = format!("has {} at index {index}, expected a finite number", weights[index]);
            let name = encoder.names().into_iter().nth(index).unwrap_or_default();
            return Err(Error::invalid(OP, "weights", message).with("feature", name));
        }
        let signature = Signature::new(link.task(), encoder.features());
        Ok(Self { signature, link, encoder, weights, intercept })
    }

    /// How columns become numbers.
    pub fn encoder(&self) -> &FeatureEncoder {
        &self.encoder
    }

    /// The weights, one for each of the encoder's numbers.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// The intercept.
    pub fn intercept(&self) -> f64 {
        self.intercept
    }

    /// What becomes of the weighted sum.
    pub fn link(&self) -> Link {
        self.link
    }

    /// The format of [`LinearPredictor::to_bytes`].
    ///
    /// # Errors
    /// None in practice: the name is valid.
    pub fn format() -> Result<ModelFormat> {
        ModelFormat::new(Self::FORMAT)
    }

    /// The predictor's bytes; the same predictor gives the same bytes, and every number comes back bit by bit.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 8 MiB.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        json::to_bytes("LinearPredictor::to_bytes", self)
    }

    /// Reads a predictor.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for what [`to_bytes`](Self::to_bytes) does not write;
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 8 MiB.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        json::from_bytes("LinearPredictor::from_bytes", bytes)
    }
}

impl TryFrom<Stored> for LinearPredictor {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        if stored.format != Self::FORMAT {
            let message = format!("expected {}", Self::FORMAT);
            return Err(
                Error::invalid("LinearPredictor::from_bytes", "format", message).with("value", stored.format)
            );
        }
        Self::new(stored.link, stored.inputs, stored.weights, stored.intercept)
    }
}

impl From<LinearPredictor> for Stored {
    fn from(predictor: LinearPredictor) -> Self {
        let LinearPredictor { link, encoder, weights, intercept, .. } = predictor;
        Self { format: LinearPredictor::FORMAT.to_owned(), link, intercept, weights, inputs: encoder }
    }
}

impl Predictor for LinearPredictor {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn predict(&self, rows: &Table<'_>) -> Result<Predictions> {
        const OP: &str = "LinearPredictor::predict";
        self.signature.check(rows)?;
        let mut sums = vec![self.intercept; rows.rows()];
        self.encoder.for_each(OP, rows, |row, feature, x| sums[row] += self.weights[feature] * x)?;
        if let Some(row) = sums.iter().position(|sum| !sum.is_finite()) {
            let message =
                format!("has values in row {row} that are too large: the weighted sum is {}", sums[row]);
            return Err(Error::invalid(OP, "rows", message));
        }
        match self.link {
            Link::Identity => Predictions::value(sums),
            Link::Logistic => Predictions::probability(sums.into_iter().map(sigmoid).collect()),
        }
    }
}

/// `1 / (1 + exp(−z))`, without a large exponential on either side.
fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        let e = z.exp();
        e / (1.0 + e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Column;
    use crate::error::ErrorKind;
    use crate::model::ModelLoader;
    use crate::serve::{BuiltinLoader, Encoding, InputEncoding};

    const NAN: f64 = f64::NAN;

    fn rows(age: &[f64], bmi: &[f64], sex: &[&str]) -> Table<'static> {
        Table::new(vec![
            Column::f64("age", age.to_vec()).unwrap(),
            Column::f64("bmi", bmi.to_vec()).unwrap(),
            Column::text("sex", sex).unwrap(),
        ])
        .unwrap()
    }

    fn train() -> Table<'static> {
        let age = [59.0, 48.0, 72.0, 24.0, 50.0, NAN, 36.0, 66.0, 60.0, 29.0, 22.0, 56.0];
        let bmi = [32.1, 21.6, 30.5, 25.3, 23.0, 22.6, NAN, 26.2, 32.1, 30.0, 18.6, 28.0];
        rows(&age, &bmi, &["m", "f", "m", "f", "f", "f", "m", "m", "f", "x", "f", "m"])
    }

    fn later() -> Table<'static> {
        rows(&[41.0, NAN, 90.0, 55.0], &[NAN, 35.5, 18.0, 27.25], &["m", "q", "f", "x"])
    }

    fn close(got: f64, expected: f64) {
        assert!((got - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{got} {expected}");
    }

    /// scikit-learn 1.9.1: `StandardScaler`, missing values at its mean, `OneHotEncoder(handle_unknown="ignore")`, then
    /// `LogisticRegression(C=1.0)` and `LinearRegression()` trained on twelve rows; the weights are theirs.
    fn fitted() -> (LinearPredictor, LinearPredictor) {
        let encoder = FeatureEncoder::fit(&train()).unwrap();
        let logistic = vec![
            -0.605_688_602_205_771_4,
            1.441_385_926_007_188_2,
            -0.132_014_830_747_180_04,
            0.017_191_968_002_845_177,
            0.114_739_719_356_468_58,
        ];
        let linear = vec![
            -36.480_018_296_700_24,
            36.759_241_025_424_36,
            -31.875_080_422_857_224,
            -45.209_474_817_081_7,
            77.084_555_239_938_9,
        ];
        (
            LinearPredictor::logistic(encoder.clone(), logistic, 0.046_923_470_806_288_69).unwrap(),
            LinearPredictor::linear(encoder, linear, 161.351_108_448_551_1).unwrap(),
        )
    }

    #[test]
    fn predictions_agree_with_scikit_learn() {
        let (logistic, linear) = fitted();
        let Encoding::Numeric { mean, scale, .. } = logistic.encoder().inputs()[0].encoding else { panic!() };
        close(mean, 47.454_545_454_545_45);
        close(scale, 16.477_884_001_200_664);
        let Encoding::Numeric { mean, scale, .. } = logistic.encoder().inputs()[1].encoding else { panic!() };
        close(mean, 26.363_636_363_636_363);
        close(scale, 4.352_903_467_232_11);
        let probabilities = [
            0.574_777_264_064_133,
            0.955_734_156_964_782,
            0.011_909_577_696_045_223,
            0.544_336_567_383_025_4,
        ];
        let values =
            [130.431_207_235_795_3, 238.505_540_090_144_22, -35.343_333_250_846_23, 229.216_082_311_348_66];
        for (model, expected) in [(&logistic, probabilities), (&linear, values)] {
            let predictions = model.predict(&later()).unwrap();
            assert_eq!(predictions.len(), 4);
            for (got, expected) in predictions.as_slice().iter().zip(expected) {
                close(*got, expected);
            }
        }
    }

    /// SciPy 1.17.1: `scipy.special.expit`.
    #[test]
    fn the_sigmoid_neither_overflows_nor_loses_digits() {
        for (z, expected) in [
            (-800.0, 0.0),
            (-745.2, 0.0),
            (-709.0, 1.216_780_750_623_423e-308),
            (-40.0, 4.248_354_255_291_589e-18),
            (-36.7, 1.151_840_949_307_609_5e-16),
            (-5.0, 0.006_692_850_924_284_855_4),
            (-1.0, 0.268_941_421_369_995_1),
            (0.0, 0.5),
            (0.5, 0.622_459_331_201_854_6),
            (2.0, 0.880_797_077_977_882_3),
            (20.0, 0.999_999_997_938_846_3),
            (40.0, 1.0),
            (f64::MAX, 1.0),
            (f64::MIN, 0.0),
        ] {
            let got = sigmoid(z);
            assert!((got - expected).abs() <= 1e-14 * expected, "{z}: {got} {expected}");
        }
    }

    #[test]
    fn a_row_is_answered_alike_in_any_company_and_any_order_of_columns() {
        let (logistic, linear) = fitted();
        for model in [logistic, linear] {
            let all = model.predict(&later()).unwrap();
            for row in 0..4 {
                let alone = later().take(&[row]).unwrap();
                let turned = alone.select(&["sex", "bmi", "age"]).unwrap();
                let more = alone.clone().with_column(Column::text("extra", ["?"]).unwrap()).unwrap();
                for rows in [alone, turned, more] {
                    let one = model.predict(&rows).unwrap();
                    assert_eq!(one.as_slice()[0].to_bits(), all.as_slice()[row].to_bits());
                }
            }
            assert!(model.predict(&later().take(&[]).unwrap()).unwrap().is_empty());
        }
    }

    #[test]
    fn the_sum_is_that_over_the_encoded_rows() {
        let (_, linear) = fitted();
        let encoded = linear.encoder().encode(&later()).unwrap();
        let predictions = linear.predict(&later()).unwrap();
        for (row, got) in encoded.to_rows().iter().zip(predictions.as_slice()) {
            let sum = row.iter().zip(linear.weights()).fold(linear.intercept(), |sum, (x, w)| sum + w * x);
            assert_eq!(sum.to_bits(), got.to_bits());
        }
    }

    #[test]
    fn rows_that_do_not_fit_are_refused() {
        let (model, _) = fitted();
        let huge = rows(&[f64::MAX], &[0.0], &["m"]);
        let infinite = rows(&[0.0], &[f64::INFINITY], &["m"]);
        for bad in [Table::default(), later().without(&["bmi"]), infinite] {
            assert_eq!(model.predict(&bad).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        // A standardised number that is finite, with a weight that makes it overflow.
        let encoder = FeatureEncoder::fit(&train()).unwrap();
        let steep = LinearPredictor::linear(encoder, vec![1e300, 0.0, 0.0, 0.0, 0.0], 0.0).unwrap();
        let error = steep.predict(&huge).unwrap_err();
        assert!(error.message().contains("row 0"), "{error}");
        let text = Table::new(vec![
            Column::text("age", ["59"]).unwrap(),
            Column::f64("bmi", vec![0.0]).unwrap(),
            Column::text("sex", ["m"]).unwrap(),
        ]);
        assert_eq!(model.predict(&text.unwrap()).unwrap_err().context("column"), Some("age"));
    }

    #[test]
    fn weights_that_do_not_fit_are_refused() {
        let encoder = || FeatureEncoder::fit(&train()).unwrap();
        for (weights, intercept, field) in [
            (vec![0.0; 4], 0.0, "weights"),
            (vec![0.0; 6], 0.0, "weights"),
            (vec![0.0, 0.0, NAN, 0.0, 0.0], 0.0, "weights"),
            (vec![0.0; 5], f64::INFINITY, "intercept"),
        ] {
            let error = LinearPredictor::linear(encoder(), weights, intercept).unwrap_err();
            assert_eq!(error.context("field"), Some(field), "{error}");
        }
        let error = LinearPredictor::linear(encoder(), vec![0.0, 0.0, NAN, 0.0, 0.0], 0.0).unwrap_err();
        assert_eq!(error.context("feature"), Some("sex=f"));
    }

    #[test]
    fn a_model_comes_back_from_its_bytes_and_answers_the_same_bits() {
        let (logistic, linear) = fitted();
        let format = LinearPredictor::format().unwrap();
        for model in [logistic, linear] {
            let bytes = model.to_bytes().unwrap();
            assert_eq!(model.to_bytes().unwrap(), bytes);
            let loaded = BuiltinLoader.load(&format, &bytes).unwrap();
            assert_eq!(loaded.signature(), model.signature());
            let bits = |p: &dyn Predictor| -> Vec<u64> {
                p.predict(&later()).unwrap().as_slice().iter().map(|x| x.to_bits()).collect()
            };
            assert_eq!(bits(&*loaded), bits(&model));
        }
    }

    #[test]
    fn bytes_that_are_not_a_model_are_corrupt() {
        let input = InputEncoding::new("x", Encoding::Numeric { mean: 0.5, scale: 2.5, fill: 0.5 });
        let model =
            LinearPredictor::linear(FeatureEncoder::new(vec![input]).unwrap(), vec![-0.0], 3.5).unwrap();
        let good = String::from_utf8(model.to_bytes().unwrap()).unwrap();
        assert_eq!(
            good,
            r#"{"format":"mlops.linear/v1","link":"identity","intercept":3.5,"weights":[-0.0],"inputs":[{"column":"x","encoding":{"numeric":{"mean":0.5,"scale":2.5,"fill":0.5}}}]}"#
        );
        let format = LinearPredictor::format().unwrap();
        for (from, to) in [
            ("mlops.linear/v1", "mlops.linear/v2"),
            ("identity", "probit"),
            ("[-0.0]", "[]"),
            ("[-0.0]", "[0.0,0.0]"),
            ("[-0.0]", "[null]"),
            ("[-0.0]", "[1e400]"),
            ("3.5", "NaN"),
            ("2.5", "0.0"),
            ("2.5", "-1.0"),
            ("\"fill\":0.5", "\"fill\":0.5,\"fil\":0.5"),
            ("\"fill\":0.5", "\"fill\":0.5,\"fill\":0.5"),
            (",\"fill\":0.5", ""),
            ("\"x\"", "\"\""),
            ("numeric", "one_hot"),
            ("3.5", "3.5,\"intercept\":4.5"),
        ] {
            assert!(good.contains(from), "{from}");
            let error = BuiltinLoader.load(&format, good.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{from} {to}: {error}");
        }
        for cut in 0..good.len() {
            assert!(BuiltinLoader.load(&format, &good.as_bytes()[..cut]).is_err());
        }
        let huge = vec![b' '; crate::serve::MAX_MODEL_BYTES + 1];
        assert_eq!(BuiltinLoader.load(&format, &huge).unwrap_err().kind(), ErrorKind::LimitExceeded);
        assert!(BuiltinLoader.load(&format, b"\xff\xfe").is_err());
    }
}
