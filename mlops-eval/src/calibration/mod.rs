//! Whether predicted probabilities mean what they say: curves and errors over bins ([`curve`], [`error`]), errors without
//! bins ([`smooth`]), an unbiased error with an interval ([`debiased`]), what the scores are made of ([`decomposition`],
//! [`corp`]), logistic recalibration ([`recalibration`](mod@recalibration)), tests ([`goodness`]), several classes ([`multiclass`]) and groups
//! ([`groups`]).
//!
//! Truth is `&[bool]`, a probability lies in [0, 1]. A weight counts rows: a weight of two is two rows, everywhere here,
//! in tests and intervals too. Weights that say something else (the inverse of a sampling rate) give right numbers, and
//! honest intervals once they are multiplied by [`effective_size`](mlops_core::num::weights::effective_size) over their
//! total.
//!
//! Rows are binned by the edge rule of scikit-learn: a probability that equals an edge between two bins belongs to the
//! lower one. What needs no rows is computed from a [`ScoreState`] or from
//! [`CalibrationBins`], which merge and serialise.
//!
//! ```
//! use mlops_eval::calibration::{ece, smooth_calibration_error};
//! use mlops_eval::classification::ScoreState;
//!
//! // Three quarters are announced, half of them come.
//! let (y, p) = ([true, false, true, false], [0.75; 4]);
//! assert_eq!(ece(&y, &p)?.value(), Some(0.25));
//! let smooth = smooth_calibration_error(&ScoreState::of(&y, &p)?)?;
//! assert!((smooth.error - 0.25).abs() < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bins;
pub mod corp;
pub mod curve;
pub mod debiased;
pub mod decomposition;
pub mod error;
pub mod goodness;
pub mod groups;
pub mod metric;
pub mod multiclass;
pub mod recalibration;
pub mod smooth;

pub use bins::{Binning, CalibrationBins};
pub use corp::{CorpDecomposition, CorpPoint, CorpScore, corp_curve, corp_decomposition};
pub use curve::{
    CalibrationBin, CalibrationCurve, CalibrationOptions, calibration_curve, calibration_curve_from_state,
    calibration_curve_weighted, calibration_curve_with,
};
pub use debiased::{DebiasedError, debiased_calibration_error, debiased_calibration_error_from_state};
pub use decomposition::{BinnedBrier, BrierDecomposition, brier_decomposition, brier_decomposition_binned};
pub use error::{ace, ace_weighted, ece, ece_weighted, mce, mce_weighted, rmsce, rmsce_weighted};
pub use goodness::{
    CalibrationRatio, HosmerLemeshow, HosmerLemeshowOptions, Spiegelhalter, calibration_ratio,
    hosmer_lemeshow, spiegelhalter,
};
pub use groups::{GroupCalibration, GroupValue, calibration_by_group, group_states};
pub use metric::CalibrationMetric;
pub use multiclass::{ClasswiseError, TopLabels, classwise_calibration_error, top_labels};
pub use recalibration::{Coefficient, Recalibration, RecalibrationOptions, recalibration};
pub use smooth::{SmoothError, smooth_calibration_error, smooth_calibration_error_at};

use mlops_core::num::{StatsError, sum::Sum};

use crate::classification::ScoreState;

/// The name of the probabilities in errors.
const PROBABILITIES: &str = "probabilities";

/// The state of rows whose scores are probabilities; faults are named with their row.
pub(crate) fn state_of(
    y_true: &[bool],
    probabilities: &[f64],
    weights: Option<&[f64]>,
) -> Result<ScoreState, StatsError> {
    crate::input::paired(
        crate::input::named("y_true", y_true),
        crate::input::named(PROBABILITIES, probabilities),
    )?;
    crate::input::probabilities(PROBABILITIES, probabilities)?;
    match weights {
        None => ScoreState::of(y_true, probabilities),
        Some(weights) => ScoreState::weighted(y_true, probabilities, weights),
    }
}

/// A state that has been checked: some weight, all of it on probabilities.
#[derive(Clone, Copy)]
struct Checked<'a> {
    state: &'a ScoreState,
    total: f64,
    positives: f64,
    negatives: f64,
}

impl<'a> Checked<'a> {
    fn new(state: &'a ScoreState) -> Result<Self, StatsError> {
        state.check_probabilities(PROBABILITIES)?;
        let (negatives, positives) = (state.negatives(), state.positives());
        let total = crate::input::in_range("the sum of the weights", negatives + positives)?;
        if state.rows() == 0 {
            return Err(StatsError::Empty { argument: "state" });
        }
        if total <= 0.0 {
            return Err(StatsError::ZeroTotal { argument: "state" });
        }
        Ok(Self { state, total, positives, negatives })
    }

    /// Distinct probabilities that have weight, ascending.
    fn points(self) -> impl DoubleEndedIterator<Item = Point> + use<'a> {
        let points = self.state.points().map(|(p, negative, positive)| Point { p, negative, positive });
        points.filter(|point| point.weight() > 0.0)
    }

    fn single_class(self) -> bool {
        self.positives <= 0.0 || self.negatives <= 0.0
    }

    /// Σ of a term per distinct probability, each a share of the whole.
    fn mean(self, term: impl Fn(Point) -> f64) -> f64 {
        self.points().map(term).collect::<Sum>().value() / self.total
    }
}

/// A distinct probability with the weight of its negatives and positives.
#[derive(Clone, Copy)]
struct Point {
    p: f64,
    negative: f64,
    positive: f64,
}

impl Point {
    fn weight(self) -> f64 {
        self.negative + self.positive
    }
}

/// The whole number at or below a number that is not negative; the largest there is for what does not fit.
#[allow(clippy::cast_sign_loss, reason = "callers pass what is not negative")]
fn floor(x: f64) -> usize {
    x as usize
}
