//! Forecasts that are samples of what may come.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::{add_rows, check_matrix, check_size, mean};
use crate::input::{finite, in_range, named, not_empty, weight, weight_total};

/// How the continuous ranked probability score is estimated from an ensemble of M members.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrpsEstimator {
    /// The score of the ensemble's distribution function: mean |x − y| − Σᵢⱼ|xᵢ − xⱼ|/(2M²). The default.
    #[default]
    Plain,
    /// The unbiased estimate of the score of the law the members are drawn from: mean |x − y| − Σᵢⱼ|xᵢ − xⱼ|/(2M(M − 1)), which does
    /// not favour large ensembles (Ferro, *Fair Scores for Ensemble Forecasts*, Quarterly Journal of the Royal Meteorological
    /// Society 140, 2014). May be negative; needs two members.
    Fair,
}

/// Sums over forecasts by an ensemble of a fixed number of members.
///
/// ```
/// use mlops_eval::forecast::{CrpsEstimator, EnsembleState};
///
/// let mut state = EnsembleState::of(&[1.0], &[0.0, 2.0], 2, None)?;
/// state.merge(&EnsembleState::of(&[3.0], &[3.0, 3.0], 2, None)?)?;
/// assert_eq!(state.crps(CrpsEstimator::Plain)?.value(), Some(0.25));
/// assert_eq!(state.crps(CrpsEstimator::Fair)?.value(), Some(0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct EnsembleState(Stored);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    members: u64,
    rows: u64,
    weight: Sum,
    /// Σ w·mean |x − y|.
    distance: Sum,
    /// Σ w·Σᵢⱼ|xᵢ − xⱼ|/(2M²).
    spread: Sum,
    /// Σ w·PIT.
    transform: Sum,
    /// The weight of targets by the number of members below them, from 0 to M.
    ranks: Vec<Sum>,
}

/// What forecasts by an ensemble are worth.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnsembleSummary {
    /// The number of members.
    pub members: u64,
    /// The number of rows, those of weight 0 included.
    pub rows: u64,
    /// The mean [`CrpsEstimator::Plain`] score.
    pub crps: Measured,
    /// The mean [`CrpsEstimator::Fair`] score; undefined with [`UndefinedReason::TooFew`] for one member.
    pub fair_crps: Measured,
    /// The mean of |x − y| over members and rows.
    pub distance: Measured,
    /// The mean probability integral transform: the share of members below the target plus half of those equal to it. One half
    /// for forecasts that are calibrated.
    pub mean_transform: Measured,
    /// The rank histogram: the share of targets with 0, 1, … M members below them; a target equal to members is spread evenly over
    /// the ranks it may have. Flat, 1/(M + 1) each, for forecasts that are calibrated (Hamill 2001).
    pub ranks: Vec<Measured>,
}

impl EnsembleState {
    /// The state of these rows. `ensemble` is row-major with `members` columns; weights that are `None` are all 1.
    /// O(n·M log M).
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`] unless `ensemble` has `members` numbers, at least one, for each target;
    /// [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::NotFinite`]; what
    /// [`weights::total`](mlops_core::num::weights::total) refuses; [`StatsError::Overflow`] when a sum does not fit an f64.
    pub fn of(
        actual: &[f64],
        ensemble: &[f64],
        members: usize,
        weights: Option<&[f64]>,
    ) -> Result<Self, StatsError> {
        not_empty(named("actual", actual))?;
        finite("actual", actual)?;
        check_matrix("ensemble", ensemble, actual.len(), members)?;
        weight_total(weights, named("actual", actual))?;
        let zero = Sum::new();
        let mut state = Self(Stored {
            members: members as u64,
            rows: 0,
            weight: zero,
            distance: zero,
            spread: zero,
            transform: zero,
            ranks: vec![zero; members + 1],
        });
        let mut sorted = Vec::with_capacity(members);
        for (row, (&y, own)) in actual.iter().zip(ensemble.chunks(members)).enumerate() {
            sorted.clear();
            // Around the target: sums of differences lose fewer digits.
            sorted.extend(own.iter().map(|x| x - y));
            sorted.sort_unstable_by(f64::total_cmp);
            state.add(&sorted, weight(weights, row));
        }
        state.fits()?;
        Ok(state)
    }

    fn fits(&self) -> Result<(), StatsError> {
        for (what, sum) in [
            ("the sum of the weights", self.0.weight),
            ("the sum of distances", self.0.distance),
            ("the sum of spreads", self.0.spread),
            ("the sum of transforms", self.0.transform),
        ] {
            in_range(what, sum.value())?;
        }
        Ok(())
    }

    /// `errors` are the members minus the target, ascending.
    fn add(&mut self, errors: &[f64], weight: f64) {
        let sums = &mut self.0;
        sums.rows = sums.rows.saturating_add(1);
        if weight == 0.0 {
            return;
        }
        let m = errors.len() as f64;
        let distance = errors.iter().map(|error| error.abs()).collect::<Sum>().value() / m;
        // In ascending order xᵢ is added i times and subtracted M − 1 − i times.
        let factor = |i: usize| 2.0 * i as f64 - (m - 1.0);
        let pairs = errors.iter().enumerate().map(|(i, error)| factor(i) * error).collect::<Sum>().value();
        sums.weight.push(weight);
        sums.distance.push(weight * distance);
        sums.spread.push(weight * (pairs.max(0.0) / (m * m)));
        let below = errors.partition_point(|error| *error < 0.0);
        let up_to = errors.partition_point(|error| *error <= 0.0);
        sums.transform.push(weight * ((below as f64 + 0.5 * (up_to - below) as f64) / m));
        let places = (up_to - below + 1) as f64;
        for rank in &mut sums.ranks[below..=up_to] {
            rank.push(weight / places);
        }
    }

    /// Adds the rows of another part of the data. O(M).
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for another number of members, [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.0.members != other.0.members {
            return Err(StatsError::Incompatible { what: "the number of members" });
        }
        let mut merged = self.clone();
        let (sums, theirs) = (&mut merged.0, &other.0);
        sums.rows = add_rows(sums.rows, theirs.rows)?;
        sums.weight.merge(theirs.weight);
        sums.distance.merge(theirs.distance);
        sums.spread.merge(theirs.spread);
        sums.transform.merge(theirs.transform);
        for (mine, other) in sums.ranks.iter_mut().zip(&theirs.ranks) {
            mine.merge(*other);
        }
        merged.fits()?;
        *self = merged;
        Ok(())
    }

    /// The number of rows so far.
    pub fn rows(&self) -> u64 {
        self.0.rows
    }

    /// The mean score by an estimator. Undefined with [`UndefinedReason::TooFew`] for the fair one of one member.
    ///
    /// # Errors
    /// [`StatsError::Overflow`] when a sum does not fit an f64.
    pub fn crps(&self, estimator: CrpsEstimator) -> Result<Measured, StatsError> {
        let members = self.0.members as f64;
        let factor = match estimator {
            CrpsEstimator::Plain => 1.0,
            CrpsEstimator::Fair if self.0.members < 2 => {
                return Ok(Measured::none(UndefinedReason::TooFew, 1, 2));
            }
            CrpsEstimator::Fair => members / (members - 1.0),
        };
        let score = self.0.distance.value() - factor * self.0.spread.value();
        // The score of a distribution function is an integral of squares.
        let score = if estimator == CrpsEstimator::Plain { score.max(0.0) } else { score };
        let score = if self.0.distance.value().is_finite() { score } else { f64::INFINITY };
        mean("the mean CRPS", in_range("the sum of scores", score)?, self.0.weight.value())
    }

    /// The metrics so far.
    ///
    /// # Errors
    /// [`StatsError::Overflow`] when a sum does not fit an f64.
    pub fn finish(&self) -> Result<EnsembleSummary, StatsError> {
        let weight = self.0.weight.value();
        let share = |sum: &Sum| mean("a share", sum.value().min(weight), weight);
        Ok(EnsembleSummary {
            members: self.0.members,
            rows: self.0.rows,
            crps: self.crps(CrpsEstimator::Plain)?,
            fair_crps: self.crps(CrpsEstimator::Fair)?,
            distance: mean("the mean distance", self.0.distance.value(), weight)?,
            mean_transform: share(&self.0.transform)?,
            ranks: self.0.ranks.iter().map(share).collect::<Result<Vec<_>, _>>()?,
        })
    }
}

impl TryFrom<Stored> for EnsembleState {
    type Error = StatsError;

    fn try_from(stored: Stored) -> Result<Self, StatsError> {
        if stored.members == 0 || stored.members.checked_add(1) != Some(stored.ranks.len() as u64) {
            let (parameter, value) = ("members", stored.members as f64);
            let reason = "must be positive and one less than the number of ranks";
            return Err(StatsError::Parameter { parameter, value, reason });
        }
        for (parameter, sum) in [
            ("weight", &stored.weight),
            ("distance", &stored.distance),
            ("spread", &stored.spread),
            ("transform", &stored.transform),
        ] {
            check_size(parameter, sum)?;
        }
        stored.ranks.iter().try_for_each(|sum| check_size("ranks", sum))?;
        Ok(Self(stored))
    }
}

impl From<EnsembleState> for Stored {
    fn from(state: EnsembleState) -> Self {
        state.0
    }
}

/// The continuous ranked probability score of ensembles, averaged over rows; in the unit of the targets (Gneiting, Raftery,
/// *Strictly Proper Scoring Rules*, JASA 102, 2007). `ensemble` is row-major with `members` columns. O(n·M log M).
///
/// Agrees with properscoring 0.1 and scoringrules 0.10.0 to 1e-12.
///
/// ```
/// use mlops_eval::forecast::{CrpsEstimator, crps_ensemble};
/// let crps = |estimator| crps_ensemble(&[1.0], &[0.0, 3.0], 2, estimator);
/// assert_eq!(crps(CrpsEstimator::Plain)?.value(), Some(0.75));
/// assert_eq!(crps(CrpsEstimator::Fair)?.value(), Some(0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`EnsembleState::of`]; [`StatsError::Overflow`].
pub fn crps_ensemble(
    actual: &[f64],
    ensemble: &[f64],
    members: usize,
    estimator: CrpsEstimator,
) -> Result<Measured, StatsError> {
    EnsembleState::of(actual, ensemble, members, None)?.crps(estimator)
}

/// [`crps_ensemble`] with a weight for each row; rows of weight 0 do not count.
///
/// # Errors
/// Those of [`crps_ensemble`].
pub fn crps_ensemble_weighted(
    actual: &[f64],
    ensemble: &[f64],
    members: usize,
    weights: &[f64],
    estimator: CrpsEstimator,
) -> Result<Measured, StatsError> {
    EnsembleState::of(actual, ensemble, members, Some(weights))?.crps(estimator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        for members in [0, 1, 3, usize::MAX] {
            assert!(EnsembleState::of(&[1.0, 2.0], &[1.0; 4], members, None).is_err(), "{members}");
        }
        let error = EnsembleState::of(&[1.0], &[1.0, f64::NAN], 2, None).unwrap_err();
        assert_eq!(error, StatsError::Nan { argument: "ensemble", index: 1 });
        let huge = EnsembleState::of(&[f64::MAX], &[-f64::MAX], 1, None);
        assert!(matches!(huge, Err(StatsError::Overflow { .. })));
    }

    #[test]
    fn ties_share_the_ranks_they_may_have() {
        let summary = EnsembleState::of(&[1.0], &[1.0, 0.0, 1.0], 3, None).unwrap().finish().unwrap();
        let ranks: Vec<_> = summary.ranks.iter().map(|rank| rank.value().unwrap()).collect();
        assert_eq!(ranks, [0.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]);
        assert_eq!(summary.mean_transform.value(), Some(2.0 / 3.0));
    }

    #[test]
    fn one_member_is_scored_by_its_distance() {
        let state = EnsembleState::of(&[1.0, 5.0], &[3.0, 5.0], 1, None).unwrap();
        assert_eq!(state.crps(CrpsEstimator::Plain).unwrap().value(), Some(1.0));
        assert_eq!(state.crps(CrpsEstimator::Fair).unwrap().value(), None);
    }

    #[test]
    fn what_is_read_back_is_checked() {
        let state = EnsembleState::of(&[1.0], &[0.0, 2.0], 2, None).unwrap();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<EnsembleState>(&text).unwrap(), state);
        assert!(
            serde_json::from_str::<EnsembleState>(&text.replace("\"members\":2", "\"members\":3")).is_err()
        );
        let mut other = EnsembleState::of(&[1.0], &[0.0], 1, None).unwrap();
        assert!(other.merge(&state).is_err());
    }
}
