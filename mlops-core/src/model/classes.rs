//! Probabilities of several classes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, quote};

const OP: &str = "ClassProbabilities::new";

/// The most classes.
const MAX_CLASSES: usize = 1 << 20;

/// What a model with several classes answers: for each row the probability of each class.
///
/// Each lies in [0, 1]. Those of a row sum to 1, up to rounding, unless the model scores every class against the rest.
///
/// ```
/// use mlops_core::model::ClassProbabilities;
///
/// let answers = ClassProbabilities::new(["low", "mid", "high"], vec![0.2, 0.7, 0.1, 0.5, 0.25, 0.25])?;
/// assert_eq!((answers.rows(), answers.row(1)), (2, &[0.5, 0.25, 0.25][..]));
/// assert_eq!(answers.likeliest(0), Some("mid"));
/// assert_eq!(answers.of_class("high"), Some(vec![0.1, 0.25]));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct ClassProbabilities {
    labels: Arc<[String]>,
    /// Row by row, in each the classes in the order of the labels.
    values: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    labels: Vec<String>,
    values: Vec<f64>,
}

impl TryFrom<Wire> for ClassProbabilities {
    type Error = Error;

    fn try_from(wire: Wire) -> Result<Self> {
        Self::new(wire.labels, wire.values)
    }
}

impl From<ClassProbabilities> for Wire {
    fn from(classes: ClassProbabilities) -> Self {
        Self { labels: classes.labels.to_vec(), values: classes.values }
    }
}

impl ClassProbabilities {
    /// Probabilities row by row, in each the classes in the order of the labels. O(rows · classes).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for fewer than two classes, a label that is empty or comes twice, numbers that do not
    /// make whole rows, and one outside of [0, 1], with its row and class; [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more
    /// than 2²⁰ classes.
    pub fn new<S: Into<String>>(labels: impl IntoIterator<Item = S>, values: Vec<f64>) -> Result<Self> {
        Self::with_labels(labels.into_iter().map(Into::into).collect(), values)
    }

    /// The same with labels that many answers share.
    ///
    /// # Errors
    /// As [`ClassProbabilities::new`].
    pub fn with_labels(labels: Arc<[String]>, values: Vec<f64>) -> Result<Self> {
        let width = labels.len();
        if width < 2 {
            return Err(Error::invalid(OP, "labels", format!("there must be two or more, got {width}")));
        }
        if width > MAX_CLASSES {
            return Err(Error::limit(OP, "the number of classes", MAX_CLASSES, width));
        }
        let mut seen = std::collections::HashSet::new();
        if let Some(bad) = labels.iter().find(|label| label.is_empty() || !seen.insert(label.as_str())) {
            let message = format!("the class {} comes twice or has no label", quote(bad));
            return Err(Error::invalid(OP, "labels", message));
        }
        if !values.len().is_multiple_of(width) {
            let message = format!("has {} numbers, which are no whole rows of {width} classes", values.len());
            return Err(Error::invalid(OP, "values", message));
        }
        if let Some(at) = values.iter().position(|p| !(0.0..=1.0).contains(p)) {
            let (row, class) = (at / width, at % width);
            let message = format!("a probability lies in [0, 1], row {row} has {}", values[at]);
            return Err(Error::invalid(OP, "values", message).with("row", row).with("class", &labels[class]));
        }
        Ok(Self { labels, values })
    }

    /// Checks all of it again.
    pub(super) fn checked(self) -> Result<Self> {
        Self::with_labels(self.labels, self.values)
    }

    /// What the classes are called.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The labels, to share.
    pub fn shared_labels(&self) -> Arc<[String]> {
        Arc::clone(&self.labels)
    }

    /// The number of classes: two or more.
    pub fn classes(&self) -> usize {
        self.labels.len()
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.labels.len()
    }

    /// The probabilities of a row, in the order of the labels; none beyond the end.
    pub fn row(&self, row: usize) -> &[f64] {
        let width = self.labels.len();
        let start = row.checked_mul(width);
        start.and_then(|start| self.values.get(start..start.checked_add(width)?)).unwrap_or_default()
    }

    /// All probabilities, row by row.
    pub fn as_slice(&self) -> &[f64] {
        &self.values
    }

    /// The label of the likeliest class of a row, the first of equals; none beyond the end.
    pub fn likeliest(&self, row: usize) -> Option<&str> {
        let better = |best: (usize, f64), (at, p): (usize, &f64)| if *p > best.1 { (at, *p) } else { best };
        let row = self.row(row);
        let (at, _) = row.iter().enumerate().fold((0, *row.first()?), better);
        self.labels.get(at).map(String::as_str)
    }

    /// The probabilities of one class, row by row; none for a class that is not there.
    pub fn of_class(&self, label: &str) -> Option<Vec<f64>> {
        let at = self.labels.iter().position(|known| known == label)?;
        Some(self.values.iter().skip(at).step_by(self.labels.len()).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn what_is_no_table_of_probabilities_is_refused_by_place() {
        let of = |labels: &[&str], values: &[f64]| ClassProbabilities::new(labels.to_vec(), values.to_vec());
        for (labels, values, field) in [
            (&["a"][..], &[][..], "labels"),
            (&["a", "a"], &[], "labels"),
            (&["a", ""], &[], "labels"),
            (&["a", "b"], &[0.5, 0.5, 1.0], "values"),
            (&["a", "b"], &[0.5, 0.5, 1.5, 0.0], "values"),
            (&["a", "b"], &[0.5, f64::NAN], "values"),
        ] {
            let error = of(labels, values).unwrap_err();
            assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some(field)));
        }
        let error = of(&["a", "b"], &[0.5, 0.5, 0.0, -0.5]).unwrap_err();
        assert_eq!((error.context("row"), error.context("class")), (Some("1"), Some("b")));
        let good = of(&["a", "b"], &[0.5, 0.5, 0.25, 0.75]).unwrap();
        assert_eq!((good.likeliest(0), good.likeliest(1), good.likeliest(2)), (Some("a"), Some("b"), None));
        assert_eq!((good.row(2), good.row(usize::MAX)), (&[][..], &[][..]));
        let text = serde_json::to_string(&good).unwrap();
        assert_eq!(serde_json::from_str::<ClassProbabilities>(&text).unwrap(), good);
        assert!(serde_json::from_str::<ClassProbabilities>(&text.replace("0.75", "7.5")).is_err());
    }
}
