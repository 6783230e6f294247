//! The trait of evaluators.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use super::EvaluationReport;
use crate::data::{Column, Table};
use crate::error::{Error, Result};
use crate::hash::Digest;
use crate::id::MetricKey;
use crate::model::Predictions;
use crate::problem::{Direction, Task};
use crate::time::Timestamp;

/// What an evaluator looks at. All parts have one row for each prediction, in the same order.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct EvaluationInput<'a> {
    /// The digest of the model.
    pub model: Digest,
    /// The digest of the data.
    pub data: Digest,
    /// What is predicted.
    pub task: Task,
    /// What the model said.
    pub predictions: &'a Predictions,
    /// What is true, for every row; a row without truth is refused.
    ///
    /// * For a binary task: booleans, or the integers 0 and 1, or text that is `0` and `1`, or `false` and `true` (also `False`,
    ///   `FALSE`, …). Any other value is refused by row, since it does not say which class is the positive one.
    /// * For a task of several classes: text, matched with the names of the model's classes whatever the order of its levels;
    ///   integers, where classes are called so (`0`, `1`, `2`); or booleans, where two of the classes are called `true` and `false`,
    ///   `True` and `False`, or `1` and `0`. A class that the model does not know is refused, with its row.
    /// * For a regression: numbers.
    ///
    /// Fractions are no classes: cast labels that came as floating point to integers.
    pub truth: &'a Column<'a>,
    /// Columns by which rows are sliced.
    pub slices: &'a Table<'a>,
    /// Columns between whose groups fairness is judged.
    pub sensitive: &'a Table<'a>,
    /// When the evaluation takes place.
    pub at: Timestamp,
}

impl<'a> EvaluationInput<'a> {
    /// What a model said of this data and what is true, without slices and groups.
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    /// use mlops_core::evaluation::EvaluationInput;
    /// use mlops_core::hash::Digest;
    /// use mlops_core::model::Predictions;
    /// use mlops_core::problem::Task;
    ///
    /// let truth = Column::f64("target", vec![1.0, 2.0])?;
    /// let predictions = Predictions::Value(vec![1.1, 1.9]);
    /// let regions = Table::new(vec![Column::text("region", ["north", "south"])?])?;
    /// let (model, data) = (Digest::of(b"model"), Digest::of(b"data"));
    /// let at = "2026-03-01T00:00:00Z".parse()?;
    /// let input = EvaluationInput::new(model, data, Task::Regression, &predictions, &truth, at)
    ///     .with_slices(&regions);
    /// assert_eq!((input.slices.rows(), input.sensitive.columns().len()), (2, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(
        model: Digest,
        data: Digest,
        task: Task,
        predictions: &'a Predictions,
        truth: &'a Column<'a>,
        at: Timestamp,
    ) -> Self {
        Self { model, data, task, predictions, truth, slices: Table::none(), sensitive: Table::none(), at }
    }

    /// With columns by which rows are sliced.
    #[must_use]
    pub fn with_slices(mut self, slices: &'a Table<'a>) -> Self {
        self.slices = slices;
        self
    }

    /// With columns between whose groups fairness is judged.
    #[must_use]
    pub fn with_sensitive(mut self, sensitive: &'a Table<'a>) -> Self {
        self.sensitive = sensitive;
        self
    }
}

impl EvaluationInput<'_> {
    /// Checks that all parts have one length and that there are rows; evaluators call this first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the part.
    pub fn check(&self) -> Result<()> {
        const OP: &str = "Evaluator::evaluate";
        let rows = self.predictions.len();
        if rows == 0 {
            return Err(Error::invalid(OP, "predictions", "there are no rows to evaluate"));
        }
        let classes = self.predictions.as_classes().is_some();
        if classes != (self.task == Task::MulticlassClassification) {
            let message = "are of several classes exactly where the task is";
            return Err(Error::invalid(OP, "predictions", message).with("task", format!("{:?}", self.task)));
        }
        let parts = [
            ("truth", Some(self.truth.len())),
            ("slices", (!self.slices.columns().is_empty()).then(|| self.slices.rows())),
            ("sensitive", (!self.sensitive.columns().is_empty()).then(|| self.sensitive.rows())),
        ];
        for (part, got) in parts {
            if let Some(got) = got.filter(|&got| got != rows) {
                let message = format!("`{part}` has {got} rows but there are {rows} predictions");
                return Err(Error::invalid(OP, part, message));
            }
        }
        Ok(())
    }
}

/// Judges predictions against the truth.
///
/// # Contract
/// * `evaluate` is a pure function: the same input gives the same report, bit for bit. (`evaluation_is_deterministic`)
/// * Parts of different length, no rows, a truth of the wrong type, missing or NaN truth are
///   [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput); nothing panics. (`bad_input_is_refused`, `bad_truth_is_refused`)
/// * Where it knows the task: a binary truth of 0 and 1 is that of booleans (`zero_and_one_are_no_and_yes`); of several classes
///   the truth is matched with the model's classes by name (`classes_are_matched_by_name`), and one that the model does not know
///   is [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput). (`unknown_classes_are_refused`)
/// * No number in a report is NaN or infinite: what has no value is a typed
///   [`Undefined`](crate::num::Undefined). (`reports_hold_no_nan`)
/// * The report carries the digests and the time of the input. (`report_names_its_subject`)
/// * Where `metrics` names metrics for a task, they are all that a report on it can have, with their directions.
///   (`metrics_are_named_beforehand`)
pub trait Evaluator: Debug + Send + Sync + 'static {
    /// Judges predictions.
    fn evaluate(&self, input: &EvaluationInput<'_>) -> Result<EvaluationReport>;

    /// The metrics that [a report's `metrics`](EvaluationReport::metrics) can have for this task, each with the way that is better;
    /// `None` when that is not known before the rows are seen, which is what an evaluator that does not implement this says.
    ///
    /// A report may lack some of them, where the rows do not allow them. Who sets limits before there are rows asks here, so that a
    /// misspelt name is an error at once and not a limit that is never held against anything.
    fn metrics(&self, task: Task) -> Option<BTreeMap<MetricKey, Direction>> {
        let _ = task;
        None
    }
}

macro_rules! forward {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        impl<T: Evaluator + ?Sized> Evaluator for $pointer<T> {
            fn evaluate(&self, input: &EvaluationInput<'_>) -> Result<EvaluationReport> {
                (**self).evaluate(input)
            }

            fn metrics(&self, task: Task) -> Option<BTreeMap<MetricKey, Direction>> {
                (**self).metrics(task)
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn Evaluator) {}
