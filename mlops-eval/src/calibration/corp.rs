//! Calibration without bins: isotonic regression of the outcome on the probability, and what a score loses against it.

use mlops_core::num::StatsError;
use mlops_core::num::sum::Sum;
use serde::{Deserialize, Serialize};

use super::Checked;
use crate::classification::ScoreState;

/// A stretch of probabilities that isotonic regression gives one value.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CorpPoint {
    /// The smallest probability of the stretch.
    pub lower: f64,
    /// The largest.
    pub upper: f64,
    /// The mean probability of its rows.
    pub predicted: f64,
    /// The share of positives: the recalibrated probability.
    pub observed: f64,
    /// The weight of the rows.
    pub weight: f64,
}

/// Which score is decomposed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CorpScore {
    /// The Brier score. The default.
    #[default]
    Brier,
    /// The log loss, in nats, with probabilities moved into [ε, 1 − ε], ε = 2.2e-16, as in
    /// [`log_loss`](crate::classification::log_loss).
    LogLoss,
}

/// score = miscalibration − discrimination + uncertainty.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CorpDecomposition {
    /// The mean score of the probabilities.
    pub score: f64,
    /// What isotonic recalibration gains. Not negative; 0 is best.
    pub miscalibration: f64,
    /// What the recalibrated probabilities gain over the overall share. Not negative; the uncertainty is best.
    pub discrimination: f64,
    /// The mean score of the overall share.
    pub uncertainty: f64,
}

/// The CORP reliability curve (Dimitriadis, Gneiting, Jordan, *Stable reliability diagrams for probabilistic classifiers*,
/// PNAS 2021): the shares of positives that pooling adjacent violators gives, the best that do not fall as the probability
/// grows. No bins to choose. O(distinct probabilities).
///
/// The shares are those of scikit-learn 1.9.1 (`IsotonicRegression`) to 1e-12. Points ascend strictly in `observed`.
///
/// ```
/// use mlops_eval::calibration::corp_curve;
/// use mlops_eval::classification::ScoreState;
///
/// let state = ScoreState::of(&[false, true, false, true], &[0.1, 0.2, 0.4, 0.9])?;
/// let curve = corp_curve(&state)?;
/// assert_eq!(curve.iter().map(|point| point.observed).collect::<Vec<_>>(), [0.0, 0.5, 1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`brier_decomposition`](super::brier_decomposition).
pub fn corp_curve(state: &ScoreState) -> Result<Vec<CorpPoint>, StatsError> {
    let points = pool(Checked::new(state)?).into_iter().map(|block| CorpPoint {
        lower: block.lower,
        upper: block.upper,
        predicted: (block.predicted.value() / block.weight()).clamp(block.lower, block.upper),
        observed: block.share(),
        weight: block.weight(),
    });
    Ok(points.collect())
}

/// The CORP decomposition of a score: what miscalibration costs and what discrimination gains.
///
/// score = miscalibration − discrimination + uncertainty, to 1e-12. Always defined, for a single class too, where uncertainty
/// and discrimination are 0. O(distinct probabilities).
///
/// ```
/// use mlops_eval::calibration::{CorpScore, corp_decomposition};
/// use mlops_eval::classification::ScoreState;
///
/// let state = ScoreState::of(&[false, true], &[0.25, 0.75])?;
/// let parts = corp_decomposition(&state, CorpScore::Brier)?;
/// assert_eq!((parts.miscalibration, parts.discrimination, parts.uncertainty), (0.0625, 0.25, 0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`brier_decomposition`](super::brier_decomposition).
pub fn corp_decomposition(state: &ScoreState, score: CorpScore) -> Result<CorpDecomposition, StatsError> {
    let data = Checked::new(state)?;
    let loss = match score {
        CorpScore::Brier => brier_loss,
        CorpScore::LogLoss => log_loss,
    };
    let original = data.mean(|point| loss(point.p, point.negative, point.positive));
    let blocks = pool(data);
    let recalibrated =
        blocks.iter().map(|block| loss(block.share(), block.negative.value(), block.positive.value()));
    let recalibrated = recalibrated.collect::<Sum>().value() / data.total;
    let uncertainty = loss(data.positives / data.total, data.negatives, data.positives) / data.total;
    Ok(CorpDecomposition {
        score: original,
        miscalibration: (original - recalibrated).max(0.0),
        discrimination: (uncertainty - recalibrated).max(0.0),
        uncertainty,
    })
}

fn brier_loss(p: f64, negative: f64, positive: f64) -> f64 {
    positive * (1.0 - p).powi(2) + negative * p.powi(2)
}

fn log_loss(p: f64, negative: f64, positive: f64) -> f64 {
    let eps = f64::EPSILON;
    let mut loss = 0.0;
    // A class without weight adds nothing, whatever its logarithm.
    if positive > 0.0 {
        loss -= positive * p.clamp(eps, 1.0 - eps).ln();
    }
    if negative > 0.0 {
        loss -= negative * if 1.0 - p <= eps { eps.ln() } else { (-p.max(eps)).ln_1p() };
    }
    loss
}

/// Neighbouring probabilities with one share.
#[derive(Clone, Copy)]
struct Block {
    lower: f64,
    upper: f64,
    negative: Sum,
    positive: Sum,
    predicted: Sum,
}

impl Block {
    fn weight(&self) -> f64 {
        self.negative.value() + self.positive.value()
    }

    fn share(&self) -> f64 {
        self.positive.value() / self.weight()
    }

    fn absorb(&mut self, above: &Self) {
        self.upper = above.upper;
        self.negative.merge(above.negative);
        self.positive.merge(above.positive);
        self.predicted.merge(above.predicted);
    }
}

/// Pools adjacent violators (Ayer et al. 1955): each block in turn is merged with the ones below that have no smaller share.
fn pool(data: Checked<'_>) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for point in data.points() {
        let one = |value: f64| std::iter::once(value).collect::<Sum>();
        let mut block = Block {
            lower: point.p,
            upper: point.p,
            negative: one(point.negative),
            positive: one(point.positive),
            predicted: one(point.weight() * point.p),
        };
        while let Some(mut below) = blocks.pop_if(|below| below.share() >= block.share()) {
            below.absorb(&block);
            block = below;
        }
        blocks.push(block);
    }
    blocks
}
