//! Two candidates, trained with well-kept libraries and served by `mlops-core`: nothing of the libraries is needed to predict.

use forust_ml::objective::ObjectiveType;
use forust_ml::{GradientBooster, Matrix as Columns};
use mlops_core::data::Table;
use mlops_core::experiment::baseline::majority_class;
use mlops_core::model::{ModelFormat, Predictor};
use mlops_core::problem::Task;
use mlops_core::serve::{
    ConstantPredictor, EncoderOptions, FeatureEncoder, ForestPredictor, LinearPredictor, Node, Tree,
};
use mlops_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters};

use crate::prepare::LABEL;

/// A trained model: what it is called, what it was made with, what it predicts and the bytes that are stored.
#[derive(Debug)]
pub struct Candidate {
    /// The name for people.
    pub name: &'static str,
    /// The hyperparameters.
    pub params: Vec<(&'static str, String)>,
    /// The format of the bytes.
    pub format: ModelFormat,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The model.
    pub predictor: Box<dyn Predictor>,
}

/// How a model is trained.
pub type Trainer = fn(&Table<'_>, &[String], u64) -> Result<Candidate>;

/// Every way of training there is.
pub const TRAINERS: [(&str, Trainer); 2] =
    [("logistic regression", logistic), ("boosted trees", boosted_trees)];

/// Which kind of model, and its hyperparameters: what a sweep varies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Settings {
    /// Logistic regression with an L2 penalty, by smartcore.
    Logistic {
        /// The weight of the penalty.
        alpha: f64,
    },
    /// Gradient-boosted trees for the log loss, by forust.
    Trees {
        /// How many.
        trees: usize,
        /// How deep.
        depth: usize,
        /// How far each goes.
        rate: f32,
    },
}

impl Settings {
    /// Trains a model of this kind.
    ///
    /// # Errors
    /// What the encoder refuses, and [`ErrorKind::Internal`] when the library fails.
    pub fn train(&self, rows: &Table<'_>, features: &[String], seed: u64) -> Result<Candidate> {
        match *self {
            Self::Logistic { alpha } => fit_logistic(rows, features, alpha),
            Self::Trees { trees, depth, rate } => fit_trees(rows, features, seed, (trees, depth, rate)),
        }
    }
}

/// The share of positives for everybody: what a model must beat.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for a label column that is not there, or no rows.
pub fn prior(rows: &Table<'_>, _: &[String], _: u64) -> Result<Candidate> {
    let labels: Vec<bool> = rows.column(LABEL)?.to_f64()?.iter().map(|y| *y == 1.0).collect();
    let baseline = majority_class(&labels)?;
    let model = ConstantPredictor::try_from(baseline)?;
    candidate(
        "prior",
        vec![("probability", baseline.value.to_string())],
        "mlops.constant/v1",
        model.to_bytes()?,
        model,
    )
}

/// Logistic regression with settings that suit many data sets.
///
/// # Errors
/// As [`Settings::train`].
pub fn logistic(rows: &Table<'_>, features: &[String], seed: u64) -> Result<Candidate> {
    Settings::Logistic { alpha: 1.0 }.train(rows, features, seed)
}

fn fit_logistic(rows: &Table<'_>, features: &[String], alpha: f64) -> Result<Candidate> {
    let encoder = FeatureEncoder::fit(rows, features, &EncoderOptions::default())?;
    let encoded = encoder.encode(rows)?;
    let labels: Vec<u32> = rows.column(LABEL)?.to_f64()?.iter().map(|y| u32::from(*y == 1.0)).collect();
    let failed = |e: &dyn std::fmt::Display| Error::new(ErrorKind::Internal, "logistic", e.to_string());
    // Column by column: the solver walks columns, and is several times faster where they lie together.
    let x = DenseMatrix::new(encoded.rows(), encoded.columns(), encoded.column_major(), true);
    let x = x.map_err(|e| failed(&e))?;
    let options = LogisticRegressionParameters::default().with_alpha(alpha);
    let model = LogisticRegression::fit(&x, &labels, options).map_err(|e| failed(&e))?;
    let weights = (0..encoder.width()).map(|column| *model.coefficients().get((0, column))).collect();
    let intercept = *model.intercept().get((0, 0));
    let model = LinearPredictor::new(Task::BinaryClassification, encoder, weights, intercept)?;
    candidate(
        "logistic regression",
        vec![("alpha", alpha.to_string())],
        "mlops.linear/v1",
        model.to_bytes()?,
        model,
    )
}

/// Boosted trees with settings that suit many data sets.
///
/// # Errors
/// As [`Settings::train`].
pub fn boosted_trees(rows: &Table<'_>, features: &[String], seed: u64) -> Result<Candidate> {
    Settings::Trees { trees: 100, depth: 3, rate: 0.1 }.train(rows, features, seed)
}

fn fit_trees(
    rows: &Table<'_>,
    features: &[String],
    seed: u64,
    (trees, depth, rate): (usize, usize, f32),
) -> Result<Candidate> {
    let encoder = FeatureEncoder::fit(rows, features, &EncoderOptions::raw())?;
    let encoded = encoder.encode(rows)?;
    let labels = rows.column(LABEL)?.to_f64()?;
    let columns = encoded.column_major();
    let mut booster = GradientBooster::default()
        .set_objective_type(ObjectiveType::LogLoss)
        .set_iterations(trees)
        .set_max_depth(depth)
        .set_learning_rate(rate)
        .set_min_leaf_weight(5.0)
        .set_parallel(false)
        .set_seed(seed);
    let failed =
        |e: forust_ml::errors::ForustError| Error::new(ErrorKind::Internal, "boosted_trees", e.to_string());
    let matrix = Columns::new(&columns, encoded.rows(), encoded.columns());
    booster.fit_unweighted(&matrix, &labels, None).map_err(failed)?;
    // Training numbers nodes far below 2^32; a number beyond would be refused by the forest as a path that leads nowhere.
    let place = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
    let convert = booster.trees.iter().map(|tree| {
        let nodes = tree.nodes.iter().map(|n| match n.is_leaf {
            true => Node::Leaf(f64::from(n.weight_value)),
            false => Node::Split {
                column: place(n.split_feature),
                below: n.split_value,
                left: place(n.left_child),
                right: place(n.right_child),
                missing: place(n.missing_node),
            },
        });
        Tree(nodes.collect())
    });
    let forest = convert.collect();
    let model = ForestPredictor::new(Task::BinaryClassification, encoder, booster.base_score, forest)?;
    let params = vec![
        ("trees", trees.to_string()),
        ("max_depth", depth.to_string()),
        ("learning_rate", rate.to_string()),
        ("seed", seed.to_string()),
    ];
    candidate("boosted trees", params, "mlops.forest/v1", model.to_bytes()?, model)
}

fn candidate(
    name: &'static str,
    params: Vec<(&'static str, String)>,
    format: &str,
    bytes: Vec<u8>,
    predictor: impl Predictor,
) -> Result<Candidate> {
    Ok(Candidate { name, params, format: ModelFormat::new(format)?, bytes, predictor: Box::new(predictor) })
}
