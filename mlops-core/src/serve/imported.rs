//! Models that other libraries trained.

use std::borrow::Cow;
use std::sync::Arc;

use super::Matrix;
use super::after::After;
use super::columns::{self, Derived, Input, Norm};
use super::ensemble::{Columns, Forest, Link, RowMajor, narrow};
use super::import::{lightgbm, onnx, sklearn, xgboost};
use crate::data::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ClassProbabilities, Predictions, Predictor, Signature};
use crate::num::parallel::Threads;
use crate::problem::Task;

/// How a file of another library is read.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Of boosted trees, the first so many iterations; if not set, those that the library itself takes (see
    /// [`from_lightgbm`](ImportedModel::from_lightgbm), [`from_xgboost_json`](ImportedModel::from_xgboost_json)). What early stopping calls the best
    /// iteration counts from 1 in LightGBM; in XGBoost from 0, so that up to it there is one more.
    pub iterations: Option<usize>,
}

impl ImportOptions {
    /// Takes the first so many iterations.
    #[must_use]
    pub fn with_iterations(mut self, iterations: usize) -> Self {
        self.iterations = Some(iterations);
        self
    }
}

/// A weighted sum for each output.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    /// One list of weights for each output.
    pub(super) weights: Vec<Vec<f64>>,
    pub(super) intercepts: Vec<f64>,
    /// Whether the library sums in single precision.
    pub(super) narrow: bool,
    /// Whether the intercept comes first, as XGBoost's.
    pub(super) intercept_first: bool,
    pub(super) link: Link,
}

/// What answers.
#[expect(clippy::large_enum_variant, reason = "a model has one, beside megabytes of nodes")]
#[derive(Clone, Debug)]
pub(super) enum Head {
    Forest(Forest),
    Linear(Linear),
}

/// What the answers mean.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// The output of this number is the probability of the positive class.
    Probability(usize),
    /// The output is a number.
    Value,
    /// Each output is the score of a class; this is what the class is called, if by a number.
    Classes(Vec<f64>),
    /// Several numbers, which are no answer of a [`Predictor`].
    Several,
}

/// A model that was read from a file of another library.
///
/// | read with | format | what it holds |
/// |---|---|---|
/// | [`from_lightgbm`](Self::from_lightgbm) | `lightgbm.text/v1` | LightGBM's text |
/// | [`from_xgboost_json`](Self::from_xgboost_json) | `xgboost.json/v1` | XGBoost's JSON |
/// | [`from_xgboost_ubj`](Self::from_xgboost_ubj) | `xgboost.ubj/v1` | XGBoost's UBJSON |
/// | [`from_sklearn_json`](Self::from_sklearn_json) | `sklearn.json/v1` | scikit-learn's models, exported |
/// | [`from_onnx`](Self::from_onnx) | `onnx.ml/v1` | ONNX graphs of `ai.onnx.ml` |
///
/// As a [`Predictor`] it takes the features by the names in the file, and answers the probability of the positive class of a
/// binary model, the number of a regression, and the probabilities of all classes of a model with more, which are called by their
/// numbers where they have some, else by their places. A linear model whose scores are no probabilities answers the number of the likeliest class.
/// Infinite numbers are compared as they are. A probability that single precision has rounded beyond 1 by up to 10⁻⁶ is 1.
///
/// Files are not trusted: every index, length and number is checked when the file is read, and memory stays within a small multiple
/// of the file.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_core::model::Predictor as _;
/// use mlops_core::serve::ImportedModel;
/// # let text = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\nobjective=regression\nfeature_names=age bmi\nfeature_infos=[0:1] [0:1]\n\nTree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nthreshold=0.5\ndecision_type=8\nleft_child=-1\nright_child=-2\nleaf_value=1.5 -2\n\nend of trees\n";
/// let model = ImportedModel::from_lightgbm(text.as_bytes())?;
/// let rows = Table::new(vec![Column::f64("age", vec![0.25, 0.75])?, Column::f64("bmi", vec![32.1, 21.6])?])?;
/// assert_eq!(model.predict(&rows)?.as_slice(), [1.5, -2.0]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImportedModel {
    signature: Signature,
    inputs: Vec<Input>,
    /// What the model sees; the inputs as they are, if none.
    derived: Option<Vec<Derived>>,
    norms: Vec<Norm>,
    head: Head,
    /// What is done with the head's answers, in turn.
    after: Vec<After>,
    answer: Answer,
    /// What classes are called, where their probabilities are the answer.
    labels: Option<Arc<[String]>>,
    threads: Threads,
}

/// The parts of a model, as readers find them.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) inputs: Vec<Input>,
    pub(super) derived: Option<Vec<Derived>>,
    pub(super) norms: Vec<Norm>,
    pub(super) head: Head,
    pub(super) after: Vec<After>,
    pub(super) answer: Answer,
}

impl Linear {
    fn outputs(&self) -> usize {
        self.link.width(self.weights.len())
    }

    /// The answers to rows that lie one after the other.
    fn answer(&self, rows: &[f64], width: usize, count: usize) -> Vec<f64> {
        let round = |x: f64| if self.narrow { narrow(x) } else { x };
        let mut answers = Vec::with_capacity(count * self.outputs());
        let mut sums = Vec::with_capacity(self.outputs().max(2));
        for row in 0..count {
            let row = rows.get(row * width..(row + 1) * width).unwrap_or_default();
            sums.clear();
            for (weights, intercept) in self.weights.iter().zip(&self.intercepts) {
                let begin = if self.intercept_first { *intercept } else { 0.0 };
                let sum =
                    row.iter().zip(weights).fold(begin, |sum, (x, w)| round(sum + round(round(*x) * w)));
                sums.push(if self.intercept_first { sum } else { round(sum + intercept) });
            }
            self.link.apply(&mut sums);
            answers.extend_from_slice(&sums);
        }
        answers
    }
}

impl Head {
    /// The answers to a row.
    pub(super) fn outputs(&self) -> usize {
        match self {
            Self::Forest(forest) => forest.outputs(),
            Self::Linear(linear) => linear.outputs(),
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::Forest(forest) => forest.features(),
            Self::Linear(linear) => linear.weights.first().map_or(0, Vec::len),
        }
    }
}

impl ImportedModel {
    /// Puts a model together from what a reader found.
    pub(super) fn new(operation: &'static str, parts: Parts) -> Result<Self> {
        let corrupt = |message: String| Error::new(ErrorKind::Corrupt, operation, message);
        let Parts { inputs, derived, norms, head, after, answer } = parts;
        columns::check(&inputs).map_err(corrupt)?;
        let width = derived.as_ref().map_or(inputs.len(), Vec::len);
        if head.width() != width {
            let message = format!("the model takes {} numbers, but there are {width}", head.width());
            return Err(corrupt(message).with("field", "features"));
        }
        if let Head::Linear(linear) = &head {
            let numbers = linear.weights.iter().flatten().chain(&linear.intercepts);
            if numbers.clone().any(|w| !w.is_finite()) {
                return Err(corrupt("a weight is not finite".to_owned()).with("field", "weights"));
            }
            let even = linear.weights.iter().all(|weights| weights.len() == width);
            if !even || linear.weights.len() != linear.intercepts.len() || linear.weights.is_empty() {
                return Err(corrupt("the weights do not fit".to_owned()).with("field", "weights"));
            }
        }
        if let Some(bad) = derived.iter().flatten().find(|derived| derived.input >= inputs.len()) {
            return Err(
                corrupt("a column is of an input that is not there".to_owned()).with("input", bad.input)
            );
        }
        let fits = match &answer {
            Answer::Probability(output) => *output < head.outputs(),
            Answer::Value => head.outputs() == 1,
            Answer::Classes(classes) => classes.len() == head.outputs(),
            Answer::Several => true,
        };
        if !fits {
            return Err(corrupt(format!(
                "the model has {} outputs, which do not fit its task",
                head.outputs()
            )));
        }
        let labels = labels(&head, &after, &answer);
        let task = match (&answer, &labels) {
            (Answer::Probability(_), _) => Task::BinaryClassification,
            (_, Some(_)) => Task::MulticlassClassification,
            _ => Task::Regression,
        };
        // A sum with something missing is no number; what fills gaps understands them.
        let nullable = |i: usize| {
            matches!(head, Head::Forest(_)) && norms.is_empty()
                || derived.as_ref().is_some_and(|all| {
                    all.iter().filter(|one| one.input == i).all(|one| one.of(f64::NAN).is_finite())
                })
        };
        let features = inputs.iter().enumerate().map(|(i, input)| input.feature(nullable(i))).collect();
        let signature = Signature::new(task, features);
        Ok(Self { signature, inputs, derived, norms, head, after, answer, labels, threads: Threads::ONE })
    }

    /// Reads LightGBM's text, as `Booster.save_model` writes it (versions 3 and 4).
    ///
    /// Every objective of LightGBM is known, with its sigmoid parameter; so are categorical splits, the three kinds of missing values,
    /// random forests (`boosting=rf`), DART, and categories of pandas. Linear trees (`linear_tree`) are
    /// [`ErrorKind::Unsupported`]. Sums have the bits of LightGBM's.
    ///
    /// Early stopping: LightGBM writes the trees up to the best iteration, unless it is told otherwise (`num_iteration=-1`), and reads no
    /// best iteration back; so all trees of the file are taken, by it and here.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] with the line or the tree and the field for a text that is not such a model;
    /// [`ErrorKind::LimitExceeded`] for one beyond the limits; [`ErrorKind::Unsupported`] for what is not read.
    pub fn from_lightgbm(text: &[u8]) -> Result<Self> {
        lightgbm::read(text, &ImportOptions::default())
    }

    /// As [`from_lightgbm`](Self::from_lightgbm), with options.
    ///
    /// # Errors
    /// Those of [`from_lightgbm`](Self::from_lightgbm), and [`ErrorKind::InvalidInput`] for more iterations than there are.
    pub fn from_lightgbm_with(text: &[u8], options: &ImportOptions) -> Result<Self> {
        lightgbm::read(text, options)
    }

    /// Reads XGBoost's JSON, as `Booster.save_model("model.json")` writes it (versions 1.7 to 3).
    ///
    /// Boosters `gbtree` and `dart`, and `gblinear` with one output or more; every objective; `base_score` in the space of the outputs, as one number
    /// or as a list; categorical splits and the categories that version 3.1 and later keep. Trees whose leaves hold
    /// several values (`multi_output_tree`) are [`ErrorKind::Unsupported`]. Sums have the bits of XGBoost's, which adds in single precision,
    /// except for DART; what becomes of them is computed in double precision and differs from XGBoost's by single-precision rounding.
    ///
    /// Early stopping: a file that an estimator of XGBoost's scikit-learn interface wrote (`XGBClassifier.save_model`, which leaves a mark in it) is taken up
    /// to its `best_iteration`, as the estimator does; of one that a `Booster` wrote, all trees are taken, as the `Booster` does. [`ImportOptions`] say
    /// otherwise.
    ///
    /// # Errors
    /// As [`from_lightgbm`](Self::from_lightgbm).
    pub fn from_xgboost_json(json: &[u8]) -> Result<Self> {
        xgboost::read_json(json, &ImportOptions::default())
    }

    /// As [`from_xgboost_json`](Self::from_xgboost_json), with options.
    ///
    /// # Errors
    /// As [`from_lightgbm_with`](Self::from_lightgbm_with).
    pub fn from_xgboost_json_with(json: &[u8], options: &ImportOptions) -> Result<Self> {
        xgboost::read_json(json, options)
    }

    /// Reads XGBoost's UBJSON, which says the same in binary.
    ///
    /// # Errors
    /// As [`from_lightgbm`](Self::from_lightgbm).
    pub fn from_xgboost_ubj(bytes: &[u8]) -> Result<Self> {
        xgboost::read_ubj(bytes, &ImportOptions::default())
    }

    /// As [`from_xgboost_ubj`](Self::from_xgboost_ubj), with options.
    ///
    /// # Errors
    /// As [`from_lightgbm_with`](Self::from_lightgbm_with).
    pub fn from_xgboost_ubj_with(bytes: &[u8], options: &ImportOptions) -> Result<Self> {
        xgboost::read_ubj(bytes, options)
    }

    /// Reads a scikit-learn model that was exported to JSON.
    ///
    /// scikit-learn has no format of its own but pickle, which runs code when it is read. A short script, `sklearn_export.py`
    /// beside the tests of this crate, writes the trees or weights of a fitted model as JSON: decision trees, random forests, extra trees, gradient
    /// boosting, histogram gradient boosting, linear and logistic regression, ridge, lasso; alone or after scalers, imputers and one-hot encoders
    /// in a pipeline or a column transformer.
    ///
    /// # Format
    /// ```json
    /// {
    ///   "format": "mlops.sklearn/v1",
    ///   "features": [{"name": "age"}, {"name": "plan", "levels": ["basic", "pro"]}],
    ///   "columns": [{"feature": 0, "changes": [{"standard": {"center": 50.0, "scale": 9.5}}]},
    ///               {"feature": 1, "changes": [{"equals": 1.0}]}],
    ///   "model": {"linear": {"weights": [[2.0, -1.0]], "intercepts": [0.25], "link": "logistic"}},
    ///   "answer": "probability"
    /// }
    /// ```
    /// `columns` may be left out: the model then sees the features as they are. A level's code is its place. The changes are `standard`
    /// ((x − center) / scale), `linear` (x · factor + offset), `fill` (missing values), `clip`, `equals` (1 or 0) and `lookup` (`keys` and `values`; another
    /// key is missing). A forest is
    /// `{"forest": {"narrow": true, "start": [0.0], "divisor": 1.0, "link": "identity", "width": 1, "trees": [{"output": 0, "feature": [0, -1, -1],
    /// "threshold": [0.5, 0, 0], "left": [1, 0, 0], "right": [2, 0, 0], "missing_left": [false, false, false], "value": [[0.0], [1.0], [2.0]],
    /// "left_categories": {}, "right_categories": {}}]}}`: `feature` −1 is a leaf; a question is x ≤ threshold, in single
    /// precision if `narrow`; or whether x is among the categories of its node, which go left or right.
    /// Links are `identity`, `logistic`, `softmax`, `exp` and `share`; answers are `value`, `probability` (of the last of at most two outputs) and
    /// `{"classes": [0, 1, 2]}`.
    ///
    /// # Errors
    /// As [`from_lightgbm`](Self::from_lightgbm).
    pub fn from_sklearn_json(json: &[u8]) -> Result<Self> {
        sklearn::read(json)
    }

    /// Reads an ONNX graph of classical models.
    ///
    /// Operators of `ai.onnx.ml`: `TreeEnsembleClassifier`, `TreeEnsembleRegressor` and `TreeEnsemble` (version 5) with every mode of a branch and
    /// the aggregates SUM and AVERAGE, `LinearClassifier`, `LinearRegressor`, `Scaler`, `Normalizer`, `ZipMap`, `ArrayFeatureExtractor`,
    /// `FeatureVectorizer`, `OneHotEncoder`, `LabelEncoder` to numbers and `Imputer`; of `ai.onnx`: `Cast` to floating point, `Constant`, `Identity`, `Concat`,
    /// `Gather` of columns, `Flatten` and `Reshape` that keep the table as it is; after a model `Exp`, `Sigmoid`, `Softmax`, `Neg`, and `Add`,
    /// `Sub`, `Mul` and `Div` with constants, one for all scores or one for each; after such arithmetic, scores are no probabilities any more. What is made
    /// of the labels of classes is passed over; where they are the places of the greatest scores (`ArgMax`), the answer is the likeliest class's place. Of `TreeEnsemble`, the transformations
    /// SOFTMAX and LOGISTIC are refused: they are 1 and 2 to the specification, 2 and 1 to onnxruntime 1.32. Any other operator is [`ErrorKind::Unsupported`] and is named in the context under `operator`; the runtime of ONNX itself runs it (feature `onnx-runtime`).
    ///
    /// An input of one column gives its name to the feature; one of n columns makes the features `NAME_0` to `NAME_{n−1}`.
    /// Numbers are in single precision, as they are in the runtime. The answer is the graph's output of numbers, or, where there are scores of
    /// classes, these.
    ///
    /// # Errors
    /// As [`from_lightgbm`](Self::from_lightgbm); positions are bytes of the file.
    pub fn from_onnx(bytes: &[u8]) -> Result<Self> {
        onnx::read(bytes)
    }

    /// The same model on at most so many threads; one, if not said. The answers are the same bits.
    #[must_use]
    pub fn with_threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    /// The forest, if the model is one, sees its features as they are, and answers what the forest does.
    pub fn forest(&self) -> Option<&Forest> {
        let plain = self.derived.is_none() && self.norms.is_empty() && self.after.is_empty();
        match &self.head {
            Head::Forest(forest) if plain => Some(forest),
            _ => None,
        }
    }

    /// The answers to a row: 1, or one for each class.
    pub fn outputs(&self) -> usize {
        self.head.outputs()
    }

    /// All answers to rows: the scores of all classes, or what [`predict`](Predictor::predict) answers. One row of the matrix each.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for rows that do not meet the signature.
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    /// use mlops_core::serve::ImportedModel;
    /// # let text = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\nobjective=regression\nfeature_names=age bmi\nfeature_infos=[0:1] [0:1]\n\nTree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nthreshold=0.5\ndecision_type=8\nleft_child=-1\nright_child=-2\nleaf_value=1.5 -2\n\nend of trees\n";
    /// let model = ImportedModel::from_lightgbm(text.as_bytes())?;
    /// let rows = Table::new(vec![Column::f64("age", vec![0.25])?, Column::f64("bmi", vec![32.1])?])?;
    /// assert_eq!(model.scores(&rows)?.row(0), [1.5]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn scores(&self, rows: &Table<'_>) -> Result<Matrix> {
        self.signature.check(rows)?;
        let inputs = self.inputs.iter().map(|input| input.read(rows)).collect::<Result<Vec<_>>>()?;
        let count = rows.rows();
        let mut values = match (&self.head, &self.derived) {
            (Head::Forest(forest), None) if self.norms.is_empty() => {
                forest.answer(&Columns { columns: &inputs, rows: count }, self.threads)
            }
            (head, _) => {
                let (seen, width) = self.seen(&inputs, count);
                match head {
                    Head::Forest(forest) => {
                        forest.answer(&RowMajor { values: &seen, width, rows: count }, self.threads)
                    }
                    Head::Linear(linear) => linear.answer(&seen, width, count),
                }
            }
        };
        self.after.iter().for_each(|after| after.apply(&mut values, self.outputs()));
        Ok(Matrix::new(values, count, self.outputs()))
    }

    /// What the model sees, row by row.
    fn seen(&self, inputs: &[Cow<'_, [f64]>], rows: usize) -> (Vec<f64>, usize) {
        let plain: Vec<Derived>;
        let derived = match &self.derived {
            Some(derived) => derived,
            None => {
                plain = (0..inputs.len()).map(Derived::plain).collect();
                &plain
            }
        };
        let width = derived.len();
        let mut seen = vec![0.0; rows * width];
        for (at, column) in derived.iter().enumerate() {
            let values = inputs.get(column.input).map(AsRef::as_ref).unwrap_or_default();
            for (place, x) in seen.iter_mut().skip(at).step_by(width.max(1)).zip(values) {
                *place = column.of(*x);
            }
        }
        if width > 0 {
            for norm in &self.norms {
                seen.chunks_exact_mut(width).for_each(|row| norm.apply(row));
            }
        }
        (seen, width)
    }
}

impl Predictor for ImportedModel {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn predict(&self, rows: &Table<'_>) -> Result<Predictions> {
        if self.answer == Answer::Several {
            let message = "the model answers several numbers a row; ask for its scores";
            return Err(Error::new(ErrorKind::Unsupported, "Predictor::predict", message));
        }
        let scores = self.scores(rows)?;
        if let Some(labels) = &self.labels {
            let values = scores.row_major().iter().map(|p| settle(*p)).collect();
            return ClassProbabilities::with_labels(Arc::clone(labels), values).map(Predictions::Classes);
        }
        let scores = (0..scores.rows()).map(|row| scores.row(row));
        match &self.answer {
            Answer::Probability(output) => Predictions::probability(
                scores.map(|row| row.get(*output).copied().unwrap_or(f64::NAN)).collect(),
            ),
            Answer::Classes(classes) => {
                Predictions::value(scores.map(|row| likeliest(row, classes)).collect())
            }
            _ => Predictions::value(scores.map(|row| row.first().copied().unwrap_or(f64::NAN)).collect()),
        }
    }
}

/// What classes are called, where their scores are probabilities.
fn labels(head: &Head, after: &[After], answer: &Answer) -> Option<Arc<[String]>> {
    let Answer::Classes(classes) = answer else { return None };
    let made = after.contains(&After::Link(Link::Softmax));
    let probable = made
        || match head {
            // Leaves hold shares of rows, or a link makes probabilities of sums.
            Head::Forest(_) => true,
            Head::Linear(linear) => matches!(
                linear.link,
                Link::Logistic { .. } | Link::Softmax | Link::SoftmaxZero | Link::LogisticShare | Link::Share
            ),
        };
    let labels: Arc<[String]> = classes.iter().map(f64::to_string).collect();
    let mut seen = std::collections::HashSet::new();
    (probable && labels.len() > 1 && labels.iter().all(|label| seen.insert(label))).then_some(labels)
}

/// A probability without what rounding did to it.
fn settle(p: f64) -> f64 {
    if p > 1.0 && p <= 1.0 + 1e-6 { 1.0 } else { p }
}

/// The class of the greatest score, the first of equals; NaN if a score is none.
fn likeliest(scores: &[f64], classes: &[f64]) -> f64 {
    let mut best = (f64::NEG_INFINITY, f64::NAN);
    for (score, class) in scores.iter().zip(classes) {
        if score.is_nan() {
            return f64::NAN;
        }
        if *score > best.0 {
            best = (*score, *class);
        }
    }
    best.1
}
