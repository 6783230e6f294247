//! How far apart a score holds the two classes.

use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::auc::single_class;
use super::scores::ScoreState;
use super::thresholds::descending;

/// The largest distance between the distributions of the scores of positives and negatives, with its place.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreSeparation {
    /// The Kolmogorov–Smirnov statistic, in [0, 1].
    pub statistic: f64,
    /// The threshold at which true and false positive rates differ most: rows that score at least so much are on one side. Of
    /// several the highest.
    pub threshold: f64,
    /// Whether the positives are the ones above; otherwise the score points the wrong way there.
    pub positives_above: bool,
}

/// The two-sample Kolmogorov–Smirnov statistic of a score: the largest |TPR − FPR| over all thresholds.
///
/// In [0, 1], higher is better. Undefined with [`SingleClass`](mlops_core::num::UndefinedReason::SingleClass) unless both classes
/// have weight. Equals `scipy.stats.ks_2samp` (1.17.1) of the scores of positives and negatives to 1e-12. Costs what
/// [`ScoreState::of`] costs.
///
/// ```
/// use mlops_eval::classification::ks;
/// assert_eq!(ks(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?.value(), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc`](super::roc_auc).
pub fn ks(y_true: &[bool], scores: &[f64]) -> Result<Measured, StatsError> {
    ks_from_state(&ScoreState::of(y_true, scores)?)
}

/// [`ks`] with a weight for each row.
///
/// ```
/// use mlops_eval::classification::ks_weighted;
/// assert_eq!(ks_weighted(&[false, true, true], &[0.2, 0.1, 0.9], &[1.0, 1.0, 3.0])?.value(), Some(0.75));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc_weighted`](super::roc_auc_weighted).
pub fn ks_weighted(y_true: &[bool], scores: &[f64], weights: &[f64]) -> Result<Measured, StatsError> {
    ks_from_state(&ScoreState::weighted(y_true, scores, weights)?)
}

/// [`ks`] of the rows that a state was built from. O(distinct scores).
///
/// ```
/// use mlops_eval::classification::{ScoreState, ks_from_state};
/// assert_eq!(ks_from_state(&ScoreState::of(&[false, true], &[0.1, 0.8])?)?.value(), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state of nothing.
pub fn ks_from_state(state: &ScoreState) -> Result<Measured, StatsError> {
    Ok(separation(state)?.map_or_else(single_class, |separation| Measured::Value(separation.statistic)))
}

/// [`ks`] with the threshold where it is reached; `None` unless both classes have weight. O(distinct scores).
///
/// ```
/// use mlops_eval::classification::{ScoreState, separation};
///
/// let state = ScoreState::of(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?;
/// let best = separation(&state)?.ok_or("one class only")?;
/// assert_eq!((best.statistic, best.threshold, best.positives_above), (0.5, 0.8, true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`ks_from_state`].
pub fn separation(state: &ScoreState) -> Result<Option<ScoreSeparation>, StatsError> {
    state.check_weight()?;
    if state.positives() == 0.0 || state.negatives() == 0.0 {
        return Ok(None);
    }
    let mut best: Option<ScoreSeparation> = None;
    for above in descending(state) {
        let gap = above.true_positives / state.positives() - above.false_positives / state.negatives();
        if best.is_none_or(|best| gap.abs() > best.statistic) {
            let (statistic, threshold) = (gap.abs(), above.threshold);
            best = Some(ScoreSeparation { statistic, threshold, positives_above: gap >= 0.0 });
        }
    }
    Ok(best)
}
