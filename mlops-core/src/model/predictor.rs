//! The trait of predictors, and what they take and give.

use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ClassProbabilities;
use crate::data::{DataType, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::problem::Task;

/// One input of a model.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Feature {
    /// The column's name.
    pub name: String,
    /// The type of its values.
    pub data_type: DataType,
    /// Whether missing values are understood.
    pub nullable: bool,
}

impl Feature {
    /// With missing values understood, or not.
    #[must_use]
    pub fn with_nullable(mut self, nullable: bool) -> Self {
        self.nullable = nullable;
        self
    }

    /// An input that must be present.
    pub fn required(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, nullable: false }
    }
}

/// What a model takes and what it answers.
///
/// ```
/// use mlops_core::data::{Column, DataType, Table};
/// use mlops_core::problem::Task;
/// use mlops_core::model::{Feature, Signature};
///
/// let signature = Signature::new(Task::BinaryClassification, vec![Feature::required("age", DataType::F64)]);
/// assert!(signature.check(&Table::new(vec![Column::f64("age", vec![59.0])?])?).is_ok());
/// let error = signature.check(&Table::new(vec![Column::f64("bmi", vec![32.1])?])?).unwrap_err();
/// assert!(error.to_string().contains("age"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signature {
    /// What is predicted.
    pub task: Task,
    /// The inputs; more columns may be sent, they are ignored.
    pub inputs: Vec<Feature>,
}

impl Signature {
    /// A signature.
    pub fn new(task: Task, inputs: Vec<Feature>) -> Self {
        Self { task, inputs }
    }

    /// Checks that a table has every input, in a usable type, with nothing missing that must be there. Any numeric type
    /// will do where a number is wanted; predictors read inputs with [`Column::to_f64`](crate::data::Column::to_f64).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] that names the column and, for a missing value, the row.
    pub fn check(&self, rows: &Table<'_>) -> Result<()> {
        self.inputs.iter().try_for_each(|feature| feature.check(rows))
    }

    /// The first way in which another signature differs from this, as words; nothing if they are equal.
    ///
    /// ```
    /// use mlops_core::data::DataType;
    /// use mlops_core::problem::Task;
    /// use mlops_core::model::{Feature, Signature};
    ///
    /// let of = |name| Signature::new(Task::Regression, vec![Feature::required(name, DataType::F64)]);
    /// assert_eq!(of("age").difference(&of("age")), None);
    /// assert_eq!(of("age").difference(&of("bmi")).as_deref(), Some("input 0 is called bmi, not age"));
    /// ```
    pub fn difference(&self, other: &Self) -> Option<String> {
        use crate::error::quote;
        if self.task != other.task {
            return Some(format!("the task is {:?}, not {:?}", other.task, self.task));
        }
        if self.inputs.len() != other.inputs.len() {
            return Some(format!("there are {} inputs, not {}", other.inputs.len(), self.inputs.len()));
        }
        let pairs = self.inputs.iter().zip(&other.inputs).enumerate();
        pairs.into_iter().find(|(_, (ours, theirs))| ours != theirs).map(|(i, (ours, theirs))| {
            let name = quote(&theirs.name);
            if ours.name != theirs.name {
                format!("input {i} is called {name}, not {}", quote(&ours.name))
            } else if ours.data_type != theirs.data_type {
                format!("input {name} is {:?}, not {:?}", theirs.data_type, ours.data_type)
            } else {
                format!("input {name} may {}be missing", if theirs.nullable { "" } else { "not " })
            }
        })
    }
}

impl Feature {
    fn check(&self, rows: &Table<'_>) -> Result<()> {
        const OP: &str = "Signature::check";
        let bad = |message: String| Err(Error::invalid(OP, "rows", message).with("column", &self.name));
        let Some(column) = rows.get(&self.name) else {
            return bad(format!("the model needs the column {}", crate::error::quote(&self.name)));
        };
        let (want, got) = (self.data_type, column.data_type());
        let number = |t: DataType| t.is_numeric() || t == DataType::Bool;
        if want != got && !(number(want) && number(got)) {
            return bad(format!("is {got:?} but the model needs {want:?}"));
        }
        if self.nullable || column.missing() == 0 {
            return Ok(());
        }
        let row = (0..column.len()).find(|&row| !column.is_valid(row)).unwrap_or_default();
        bad(format!("has no value in row {row}"))
    }
}

/// What a model answers: one prediction a row.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predictions {
    /// The probability of the positive class.
    Probability(Vec<f64>),
    /// A number.
    Value(Vec<f64>),
    /// The probability of each of several classes.
    Classes(ClassProbabilities),
}

impl Predictions {
    /// Probabilities, checked to lie in [0, 1].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] that names the row.
    ///
    /// ```
    /// use mlops_core::model::Predictions;
    /// assert!(Predictions::probability(vec![0.0, 1.0]).is_ok());
    /// assert!(Predictions::probability(vec![f64::NAN]).is_err());
    /// ```
    pub fn probability(values: Vec<f64>) -> Result<Self> {
        match values.iter().position(|p| !(0.0..=1.0).contains(p)) {
            None => Ok(Self::Probability(values)),
            Some(row) => {
                let message = format!("a probability lies in [0, 1], row {row} has {}", values[row]);
                Err(Error::invalid("Predictions::probability", "values", message))
            }
        }
    }

    /// Numbers, checked to be finite.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] that names the row.
    pub fn value(values: Vec<f64>) -> Result<Self> {
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(Self::Value(values)),
            Some(row) => {
                let message = format!("a prediction is finite, row {row} has {}", values[row]);
                Err(Error::invalid("Predictions::value", "values", message))
            }
        }
    }

    /// Probabilities of several classes, row by row, checked as [`ClassProbabilities::new`] does.
    ///
    /// # Errors
    /// As [`ClassProbabilities::new`].
    ///
    /// ```
    /// use mlops_core::model::Predictions;
    /// let said = Predictions::classes(["low", "mid", "high"], vec![0.2, 0.7, 0.1, 0.5, 0.25, 0.25])?;
    /// assert_eq!((said.len(), said.width(), said.as_slice().len()), (2, 3, 6));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn classes<S: Into<String>>(labels: impl IntoIterator<Item = S>, values: Vec<f64>) -> Result<Self> {
        ClassProbabilities::new(labels, values).map(Self::Classes)
    }

    /// The numbers, whatever they mean: one a prediction, or of several classes one a class, row by row; see
    /// [`width`](Self::width).
    pub fn as_slice(&self) -> &[f64] {
        match self {
            Self::Probability(values) | Self::Value(values) => values,
            Self::Classes(classes) => classes.as_slice(),
        }
    }

    /// How many numbers a prediction has: 1, or as many as there are classes.
    pub fn width(&self) -> usize {
        match self {
            Self::Probability(_) | Self::Value(_) => 1,
            Self::Classes(classes) => classes.classes(),
        }
    }

    /// The number of predictions.
    pub fn len(&self) -> usize {
        match self {
            Self::Probability(values) | Self::Value(values) => values.len(),
            Self::Classes(classes) => classes.rows(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The probabilities of several classes, if that is what they are.
    pub fn as_classes(&self) -> Option<&ClassProbabilities> {
        match self {
            Self::Classes(classes) => Some(classes),
            Self::Probability(_) | Self::Value(_) => None,
        }
    }

    /// Checks what somebody else has put together: probabilities lie in [0, 1], numbers are finite, classes make whole rows.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] that names the row.
    pub fn checked(self) -> Result<Self> {
        match self {
            Self::Probability(values) => Self::probability(values),
            Self::Value(values) => Self::value(values),
            Self::Classes(classes) => classes.checked().map(Self::Classes),
        }
    }

    /// Predictions one after the other. All are of one kind, and of the same classes; none make no values.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] that names the first part, from 0, which is of another kind, and as [`checked`](Self::checked).
    ///
    /// ```
    /// use mlops_core::model::Predictions;
    /// let parts = [Predictions::value(vec![1.0])?, Predictions::value(vec![2.0, 3.0])?];
    /// assert_eq!(Predictions::concat(&parts)?.as_slice(), [1.0, 2.0, 3.0]);
    /// assert!(Predictions::concat(&[Predictions::value(vec![1.0])?, Predictions::probability(vec![1.0])?]).is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn concat<'p>(parts: impl IntoIterator<Item = &'p Self>) -> Result<Self> {
        let mut parts = parts.into_iter().enumerate();
        let Some((_, first)) = parts.next() else { return Ok(Self::Value(Vec::new())) };
        let mut values = first.as_slice().to_vec();
        for (at, part) in parts {
            let alike = match (first, part) {
                (Self::Classes(first), Self::Classes(part)) => first.labels() == part.labels(),
                _ => std::mem::discriminant(first) == std::mem::discriminant(part),
            };
            if !alike {
                let error =
                    Error::invalid("Predictions::concat", "parts", "are of different kinds or classes");
                return Err(error.with("part", at));
            }
            values.extend_from_slice(part.as_slice());
        }
        match first {
            Self::Probability(_) => Self::probability(values),
            Self::Value(_) => Self::value(values),
            Self::Classes(first) => {
                ClassProbabilities::with_labels(first.shared_labels(), values).map(Self::Classes)
            }
        }
    }
}

/// A model that can answer.
///
/// # Contract
/// * `predict` answers one prediction a row, in the order of the rows; no rows, no predictions. (`one_prediction_a_row`)
/// * The same rows give the same bits, whatever other rows they are sent with. (`rows_do_not_influence_each_other`)
/// * Rows that do not meet the signature are [`ErrorKind::InvalidInput`]; nothing panics. (`bad_rows_are_refused`)
/// * Columns that the signature does not name change nothing. (`extra_columns_are_ignored`)
/// * No prediction is NaN or infinite, and probabilities lie in [0, 1]. (`predictions_are_finite`)
/// * A model of several classes answers the probabilities of the same classes every time. (`rows_do_not_influence_each_other`)
pub trait Predictor: Debug + Send + Sync + 'static {
    /// What the model takes and answers.
    fn signature(&self) -> &Signature;

    /// Answers one prediction a row.
    fn predict(&self, rows: &Table<'_>) -> Result<Predictions>;
}

/// The format of a model's bytes, as `name/version`: `mlops.linear/v1`.
///
/// ```
/// use mlops_core::model::ModelFormat;
/// assert!(ModelFormat::new("mlops.linear/v1").is_ok());
/// assert!(ModelFormat::new("pickle").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelFormat(Arc<str>);

impl ModelFormat {
    /// A format by its name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for anything but `name/version` of lower-case letters, digits, `.`, `-` and `_`.
    pub fn new(name: impl AsRef<str>) -> Result<Self> {
        let name = name.as_ref();
        let part = |p: &str| {
            let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
            !p.is_empty() && p.len() <= 100 && p.bytes().all(ok)
        };
        match name.split_once('/') {
            Some((n, v)) if part(n) && part(v) => Ok(Self(name.into())),
            _ => {
                Err(Error::invalid("ModelFormat::new", "format", "expected NAME/VERSION").with("value", name))
            }
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ModelFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ModelFormat {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ModelFormat {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Turns a model's bytes into a predictor. Loading never runs code from the bytes.
///
/// # Contract
/// * A format that is not known is [`ErrorKind::Unsupported`]; bytes that are not of the format are
///   [`ErrorKind::Corrupt`]. Nothing panics, and memory is bounded by a small multiple of the bytes.
pub trait ModelLoader: Debug + Send + Sync + 'static {
    /// Reads a model.
    fn load(&self, format: &ModelFormat, bytes: &[u8]) -> Result<Arc<dyn Predictor>>;
}

/// Asks each loader in turn; the first that knows the format answers.
impl ModelLoader for Vec<Arc<dyn ModelLoader>> {
    fn load(&self, format: &ModelFormat, bytes: &[u8]) -> Result<Arc<dyn Predictor>> {
        for loader in self {
            match loader.load(format, bytes) {
                Err(e) if e.kind() == ErrorKind::Unsupported => {}
                answer => return answer,
            }
        }
        Err(Error::unsupported("ModelLoader::load", "model format").with("format", format))
    }
}

macro_rules! forward {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        impl<T: Predictor + ?Sized> Predictor for $pointer<T> {
            fn signature(&self) -> &Signature {
                (**self).signature()
            }

            fn predict(&self, rows: &Table<'_>) -> Result<Predictions> {
                (**self).predict(rows)
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<T: ModelLoader + ?Sized> ModelLoader for $pointer<T> {
            fn load(&self, format: &ModelFormat, bytes: &[u8]) -> Result<Arc<dyn Predictor>> {
                (**self).load(format, bytes)
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the traits can be objects.
#[allow(dead_code)]
fn is_object_safe(_: &dyn Predictor, _: &dyn ModelLoader) {}
