//! How a model is asked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::problem::Task;

/// How a model of ONNX is asked, where its graph does not say.
///
/// ```
/// use mlops_core::problem::Task;
/// use mlops_core::serve::onnx_runtime::OnnxOptions;
/// let options = OnnxOptions::default().with_features("X", ["age", "bmi"]).with_task(Task::BinaryClassification);
/// assert_eq!(options.features["X"], ["age", "bmi"]);
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnnxOptions {
    /// What the model answers. By default a classifier, which has an output of classes beside that of their probabilities, answers for two classes, or for
    /// as many as the graph says; any other model is a regression.
    pub task: Option<Task>,
    /// The output that answers. By default the only one of floating-point numbers; else the only one of maps, as ZipMap makes them.
    pub output: Option<String>,
    /// Which number of the output is the answer, from 0. By default the last of a binary classification, which has one or two, and the only one of a
    /// regression.
    pub column: Option<usize>,
    /// The names of the features of an input of several columns, in order. By default an input of one column gives its name to the feature, and
    /// one of n columns makes the features `NAME_0` to `NAME_{n−1}`.
    pub features: BTreeMap<String, Vec<String>>,
    /// What the classes of a model with more than two are called, in the order of its output, which of maps is that of their keys. By default
    /// their places, from 0, where the graph says how many there are.
    pub classes: Vec<String>,
    /// Whether a missing number is handed to the model as NaN, rather than refused.
    pub missing: bool,
    /// Whether all rows of a question are handed to the model together, which is many times as fast. The runtime then may sum in another order with
    /// other rows beside a row: its answer may differ in the last bits, and what a [`Predictor`](crate::model::Predictor) promises about that
    /// does not hold.
    pub together: bool,
    /// On how many threads an operator runs; one, if 0.
    pub threads: usize,
}

impl OnnxOptions {
    /// Says what the model answers.
    #[must_use]
    pub fn with_task(mut self, task: Task) -> Self {
        self.task = Some(task);
        self
    }

    /// Names the output that answers.
    #[must_use]
    pub fn with_output(mut self, output: impl Into<String>) -> Self {
        self.output = Some(output.into());
        self
    }

    /// Says which number of the output is the answer.
    #[must_use]
    pub fn with_column(mut self, column: usize) -> Self {
        self.column = Some(column);
        self
    }

    /// Names the features of an input.
    #[must_use]
    pub fn with_features<S: Into<String>>(
        mut self,
        input: impl Into<String>,
        names: impl IntoIterator<Item = S>,
    ) -> Self {
        self.features.insert(input.into(), names.into_iter().map(Into::into).collect());
        self
    }

    /// Names the classes.
    #[must_use]
    pub fn with_classes<S: Into<String>>(mut self, classes: impl IntoIterator<Item = S>) -> Self {
        self.classes = classes.into_iter().map(Into::into).collect();
        self
    }

    /// Sets whether a missing number is handed to the model.
    #[must_use]
    pub fn with_missing(mut self, missing: bool) -> Self {
        self.missing = missing;
        self
    }

    /// Sets whether all rows of a question are handed to the model together.
    #[must_use]
    pub fn with_together(mut self, together: bool) -> Self {
        self.together = together;
        self
    }

    /// Sets on how many threads an operator runs.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }
}
