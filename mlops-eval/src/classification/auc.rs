//! The area under the ROC curve, whole and in part.

use mlops_core::num::labelled::map_labelled;
use mlops_core::num::parallel::Threads;
use mlops_core::num::ranks::map_sorted;
use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::scores::{ScoreState, check, signed};
use crate::input::in_range;
use crate::runs::signed_ties;

/// The area under the ROC curve: the probability that a random positive scores above a random negative, ties counting
/// one half.
///
/// In [0, 1]; 0.5 for a score that tells nothing. Counted in integers, so the result is the exact ratio, rounded
/// once. Undefined with [`UndefinedReason::SingleClass`] unless both classes occur. A few passes for scores that are spread
/// out or tied, O(n log n) at worst.
///
/// Mann and Whitney (1947); Hanley and McNeil (1982). Agrees with scikit-learn 1.9.1 to 1e-12.
///
/// ```
/// use mlops_eval::classification::roc_auc;
///
/// assert_eq!(roc_auc(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?.value(), Some(0.75));
/// assert_eq!(roc_auc(&[false, true], &[0.5, 0.5])?.value(), Some(0.5));
/// assert_eq!(roc_auc(&[true, true], &[0.1, 0.9])?.value(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::NotFinite`].
pub fn roc_auc(y_true: &[bool], scores: &[f64]) -> Result<Measured, StatsError> {
    roc_auc_with(y_true, scores, &RocAucOptions::default())
}

/// [`roc_auc`] with a weight for each row: the same probability when rows are drawn in proportion to their weights.
///
/// Undefined with [`UndefinedReason::SingleClass`] when a class has no weight.
///
/// ```
/// use mlops_eval::classification::roc_auc_weighted;
///
/// let auc = roc_auc_weighted(&[false, true, true], &[0.5, 0.4, 0.9], &[1.0, 1.0, 3.0])?;
/// assert_eq!(auc.value(), Some(0.75));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc`], and what [`weights::total`](mlops_core::num::weights::total) refuses.
pub fn roc_auc_weighted(y_true: &[bool], scores: &[f64], weights: &[f64]) -> Result<Measured, StatsError> {
    roc_auc_weighted_with(y_true, scores, weights, &RocAucOptions::default())
}

/// Which part of the area, and how it is computed.
///
/// ```
/// use mlops_eval::classification::{RocAucOptions, RocRegion, roc_auc_with};
///
/// let (y_true, scores) = ([false, false, true, true], [0.1, 0.4, 0.35, 0.8]);
/// let options = RocAucOptions::default().with_region(RocRegion::MaxFalsePositiveRate(0.1));
/// let standardized = roc_auc_with(&y_true, &scores, &options)?.value().unwrap_or(f64::NAN);
/// assert!((standardized - 0.736842105263158).abs() < 1e-12);
/// let raw = roc_auc_with(&y_true, &scores, &options.with_standardized(false))?.value().unwrap_or(f64::NAN);
/// assert!((raw - 0.05).abs() < 1e-15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RocAucOptions {
    /// The part of the area; all of it by default.
    pub region: RocRegion,
    /// Whether a part is rescaled so that a score that tells nothing has 0.5 and a perfect one 1 (McClish 1989):
    /// (1 + (A − low)/(high − low))/2, with the areas of those two scores. Default: yes, as in scikit-learn. No effect on the
    /// whole area.
    pub standardized: bool,
    /// How many threads may work; the area is the same on any number.
    pub threads: Threads,
}

/// A part of the area under the ROC curve.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RocRegion {
    /// All of it.
    #[default]
    Whole,
    /// Left of this false positive rate, above 0 and at most 1; the curve is a straight line between its points.
    MaxFalsePositiveRate(f64),
    /// Above this true positive rate, at least 0 and below 1: the area between the curve and the line at this height (Jiang, Metz
    /// and Nishikawa 1996).
    MinTruePositiveRate(f64),
}

impl Default for RocAucOptions {
    fn default() -> Self {
        Self { region: RocRegion::Whole, standardized: true, threads: Threads::ONE }
    }
}

impl RocAucOptions {
    /// Sets [`Self::region`].
    #[must_use]
    pub fn with_region(mut self, region: RocRegion) -> Self {
        self.region = region;
        self
    }

    /// Sets [`Self::standardized`].
    #[must_use]
    pub fn with_standardized(mut self, standardized: bool) -> Self {
        self.standardized = standardized;
        self
    }

    /// Sets [`Self::threads`].
    #[must_use]
    pub fn with_threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        let refuse = |parameter, value, reason| Err(StatsError::Parameter { parameter, value, reason });
        match self.region {
            RocRegion::MaxFalsePositiveRate(rate) if !(rate > 0.0 && rate <= 1.0) => {
                refuse("max_false_positive_rate", rate, "must lie above 0 and not above 1")
            }
            RocRegion::MinTruePositiveRate(rate) if !(0.0..1.0).contains(&rate) => {
                refuse("min_true_positive_rate", rate, "must lie in [0, 1)")
            }
            _ => Ok(()),
        }
    }

    fn is_whole(&self) -> bool {
        matches!(
            self.region,
            RocRegion::Whole | RocRegion::MaxFalsePositiveRate(1.0) | RocRegion::MinTruePositiveRate(0.0)
        )
    }
}

/// [`roc_auc`] with options: a part of the area, or several threads.
///
/// # Errors
/// Those of [`roc_auc`], and [`StatsError::Parameter`] for a rate outside its range.
pub fn roc_auc_with(
    y_true: &[bool],
    scores: &[f64],
    options: &RocAucOptions,
) -> Result<Measured, StatsError> {
    options.check()?;
    if !options.is_whole() {
        return roc_auc_from_state_with(&ScoreState::of(y_true, scores)?, options);
    }
    check(y_true, scores, None, options.threads)?;
    let parts = map_labelled(scores, y_true, options.threads, |part| counted(part.keys()));
    let (mut negatives, mut positives, mut halves) = (0_u128, 0_u128, 0_u128);
    for part in parts {
        halves += part.halves + 2 * negatives * u128::from(part.positives);
        negatives += u128::from(part.negatives);
        positives += u128::from(part.positives);
    }
    if positives == 0 || negatives == 0 {
        return Ok(single_class());
    }
    Ok(Measured::Value(halves as f64 / (2 * positives * negatives) as f64))
}

/// [`roc_auc_weighted`] with options.
///
/// ```
/// use mlops_core::num::parallel::Threads;
/// use mlops_eval::classification::{RocAucOptions, roc_auc_weighted_with};
///
/// let options = RocAucOptions::default().with_threads(Threads::new(2));
/// let auc = roc_auc_weighted_with(&[false, true, true], &[0.5, 0.4, 0.9], &[1.0, 1.0, 3.0], &options)?;
/// assert_eq!(auc.value(), Some(0.75));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc_weighted`], and [`StatsError::Parameter`] for a rate outside its range.
pub fn roc_auc_weighted_with(
    y_true: &[bool],
    scores: &[f64],
    weights: &[f64],
    options: &RocAucOptions,
) -> Result<Measured, StatsError> {
    options.check()?;
    if !options.is_whole() {
        return roc_auc_from_state_with(&ScoreState::weighted(y_true, scores, weights)?, options);
    }
    check(y_true, scores, Some(weights), options.threads)?;
    let mut totals = [Sum::new(); 2];
    y_true.iter().zip(weights).for_each(|(&positive, &weight)| totals[usize::from(positive)].push(weight));
    let totals = totals.map(|total| total.value());
    if totals.contains(&0.0) {
        return Ok(single_class());
    }
    let carried = |row: usize| signed(y_true[row], weights[row]);
    let parts = map_sorted(scores, carried, options.threads, |part| weighed(part, totals));
    let (mut below, mut area) = (Sum::new(), Sum::new());
    for part in parts {
        area.push(part.area);
        area.push(below.value() * part.positives);
        below.push(part.negatives);
    }
    Ok(Measured::Value(area.value().clamp(0.0, 1.0)))
}

/// [`roc_auc`] of the rows that a state was built from. O(distinct scores).
///
/// ```
/// use mlops_eval::classification::{ScoreState, roc_auc_from_state};
///
/// let state = ScoreState::of(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?;
/// assert_eq!(roc_auc_from_state(&state)?.value(), Some(0.75));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state of nothing.
pub fn roc_auc_from_state(state: &ScoreState) -> Result<Measured, StatsError> {
    roc_auc_from_state_with(state, &RocAucOptions::default())
}

/// [`roc_auc_from_state`] with options.
///
/// # Errors
/// Those of [`roc_auc_from_state`], and [`StatsError::Parameter`] for a rate outside its range.
pub fn roc_auc_from_state_with(state: &ScoreState, options: &RocAucOptions) -> Result<Measured, StatsError> {
    options.check()?;
    state.check_weight()?;
    let totals = [state.negatives(), state.positives()];
    if totals.contains(&0.0) {
        return Ok(single_class());
    }
    if options.is_whole() {
        return Ok(Measured::Value(area_below(state.points(), totals)));
    }
    let area = part_of_area(state, options.region);
    let area = if options.standardized { standardized(area, options.region) } else { area };
    Ok(Measured::Value(in_range("the partial area", area)?))
}

/// What a random pair of a negative and a positive, drawn from ascending scores, wins on average.
pub(crate) fn area_below(points: impl Iterator<Item = (f64, f64, f64)>, totals: [f64; 2]) -> f64 {
    // Shares instead of weights: the product of two large totals would leave the range of f64.
    let (mut below, mut area) = (Sum::new(), Sum::new());
    for (_, negative, positive) in points {
        let (passed, gained) = (negative / totals[0], positive / totals[1]);
        if gained > 0.0 {
            area.push(gained * (below.value() + 0.5 * passed));
        }
        below.push(passed);
    }
    area.value().clamp(0.0, 1.0)
}

/// Gini's coefficient of a score: 2·AUC − 1, the accuracy ratio of credit scoring and Somers' D of the score given the truth.
///
/// In [−1, 1]; 0 for a score that tells nothing. Undefined where [`roc_auc`] is.
///
/// ```
/// use mlops_eval::classification::gini;
/// assert_eq!(gini(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?.value(), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc`].
pub fn gini(y_true: &[bool], scores: &[f64]) -> Result<Measured, StatsError> {
    Ok(roc_auc(y_true, scores)?.map(gini_of_area))
}

/// [`gini`] with a weight for each row.
///
/// ```
/// use mlops_eval::classification::gini_weighted;
/// let gini = gini_weighted(&[false, true, true], &[0.5, 0.4, 0.9], &[1.0, 1.0, 3.0])?;
/// assert_eq!(gini.value(), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc_weighted`].
pub fn gini_weighted(y_true: &[bool], scores: &[f64], weights: &[f64]) -> Result<Measured, StatsError> {
    Ok(roc_auc_weighted(y_true, scores, weights)?.map(gini_of_area))
}

/// [`gini`] of the rows that a state was built from.
///
/// ```
/// use mlops_eval::classification::{ScoreState, gini_from_state};
/// let state = ScoreState::of(&[false, true], &[0.1, 0.8])?;
/// assert_eq!(gini_from_state(&state)?.value(), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc_from_state`].
pub fn gini_from_state(state: &ScoreState) -> Result<Measured, StatsError> {
    Ok(roc_auc_from_state(state)?.map(gini_of_area))
}

fn gini_of_area(area: f64) -> f64 {
    2.0 * area - 1.0
}

/// What a sorted part contributes, in counts.
struct Counted {
    negatives: u64,
    positives: u64,
    /// Twice the pairs a positive wins, plus the tied ones.
    halves: u128,
}

/// A score's negatives come before its positives. Without a branch: labels are hard to foretell.
fn counted(keys: &[u64]) -> Counted {
    let mut halves = 0_u128;
    let (mut score, mut below, mut negatives) = (u64::MAX, 0, 0);
    // So many terms of at most 2⁴⁴ each fit 64 bits.
    for keys in keys.chunks(1 << 20) {
        let mut won = 0_u64;
        for &key in keys {
            below = if key >> 1 == score { below } else { negatives };
            score = key >> 1;
            let positive = key & 1;
            // Twice those below, once those tied.
            won += (below + negatives) & positive.wrapping_neg();
            negatives += 1 - positive;
        }
        halves += u128::from(won);
    }
    Counted { negatives, positives: keys.len() as u64 - negatives, halves }
}

/// What a sorted part contributes, in shares of the classes' weights.
struct Weighed {
    negatives: f64,
    positives: f64,
    area: f64,
}

fn weighed(part: &[(f64, f64)], totals: [f64; 2]) -> Weighed {
    let (mut below, mut gained, mut area) = (Sum::new(), Sum::new(), Sum::new());
    for (_, [negative, positive]) in signed_ties(part) {
        let (passed, won) = (negative / totals[0], positive / totals[1]);
        if won > 0.0 {
            area.push(won * (below.value() + 0.5 * passed));
            gained.push(won);
        }
        below.push(passed);
    }
    Weighed { negatives: below.value(), positives: gained.value(), area: area.value() }
}

/// The area of a region, not rescaled. Both classes have weight.
fn part_of_area(state: &ScoreState, region: RocRegion) -> f64 {
    let mut area = Sum::new();
    let (mut false_positives, mut true_positives) = (Sum::new(), Sum::new());
    let mut from = (0.0, 0.0);
    for (_, negative, positive) in state.points().rev() {
        false_positives.push(negative);
        true_positives.push(positive);
        let to = (
            (false_positives.value() / state.negatives()).min(1.0),
            (true_positives.value() / state.positives()).min(1.0),
        );
        area.push(match region {
            RocRegion::Whole => trapezoid(from, to),
            RocRegion::MaxFalsePositiveRate(limit) => left_of(from, to, limit),
            RocRegion::MinTruePositiveRate(limit) => above(from, to, limit),
        });
        from = to;
    }
    area.value()
}

type Point = (f64, f64);

fn trapezoid(from: Point, to: Point) -> f64 {
    (to.0 - from.0) * 0.5 * (from.1 + to.1)
}

/// The area under a segment, left of `limit`.
fn left_of(from: Point, to: Point, limit: f64) -> f64 {
    if to.0 <= limit {
        return trapezoid(from, to);
    }
    if from.0 >= limit {
        return 0.0;
    }
    let height = from.1 + (to.1 - from.1) * ((limit - from.0) / (to.0 - from.0));
    trapezoid(from, (limit, height))
}

/// The area under a segment and above `limit`.
fn above(from: Point, to: Point, limit: f64) -> f64 {
    if to.1 <= limit {
        return 0.0;
    }
    if from.1 >= limit {
        return trapezoid((from.0, from.1 - limit), (to.0, to.1 - limit));
    }
    let crossing = from.0 + (to.0 - from.0) * ((limit - from.1) / (to.1 - from.1));
    trapezoid((crossing, 0.0), (to.0, to.1 - limit))
}

fn standardized(area: f64, region: RocRegion) -> f64 {
    let (low, high) = match region {
        RocRegion::Whole => (0.5, 1.0),
        RocRegion::MaxFalsePositiveRate(rate) => (0.5 * rate * rate, rate),
        RocRegion::MinTruePositiveRate(rate) => (0.5 * (1.0 - rate) * (1.0 - rate), 1.0 - rate),
    };
    0.5 * (1.0 + (area - low) / (high - low))
}

pub(crate) fn single_class() -> Measured {
    Measured::none(UndefinedReason::SingleClass, 1, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_parts_count_the_same() {
        let unit = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 8) / f64::from(1_u32 << 24);
        let scores: [&dyn Fn(f64) -> f64; 5] =
            [&|u| u, &|u| u - 0.5, &|u| (8.0 * u).round() - 4.0, &|u| (0.5 - u) * 1e308, &|u| {
                -0.0 * (u - 0.5)
            }];
        let y_true: Vec<bool> = (0..5000).map(|i| unit(i + 9_000) < 0.3).collect();
        for (family, score) in scores.into_iter().enumerate() {
            let scores: Vec<f64> = (0..5000).map(|i| score(unit(i))).collect();
            let one = roc_auc(&y_true, &scores).unwrap();
            let two = RocAucOptions::default().with_threads(Threads::new(2));
            assert_eq!(roc_auc_with(&y_true, &scores, &two), Ok(one), "family {family}");
        }
    }

    #[test]
    fn rates_out_of_range_are_refused() {
        for region in [
            RocRegion::MaxFalsePositiveRate(0.0),
            RocRegion::MaxFalsePositiveRate(1.5),
            RocRegion::MaxFalsePositiveRate(f64::NAN),
            RocRegion::MinTruePositiveRate(1.0),
            RocRegion::MinTruePositiveRate(-0.1),
        ] {
            let options = RocAucOptions::default().with_region(region);
            assert!(roc_auc_with(&[true, false], &[0.2, 0.1], &options).is_err(), "{region:?}");
        }
    }
}
