//! Prediction intervals: how often they hold, how wide they are, and the score that rewards both.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::{add_rows, check_level, check_matrix, check_size, mean};
use crate::input::{finite, in_range, named, paired, weight, weight_total};
use crate::interval::{CONFIDENCE, Interval, check_confidence, wilson_share};

/// Sums over intervals that are meant to hold a share `level` of the targets.
///
/// ```
/// use mlops_eval::forecast::IntervalState;
///
/// let mut state = IntervalState::of(0.8, &[1.0, 5.0], &[0.0, 0.0], &[2.0, 4.0], None)?;
/// state.merge(&IntervalState::of(0.8, &[3.0], &[3.0], &[3.0], None)?)?;
/// let summary = state.finish()?;
/// assert_eq!(summary.coverage.value(), Some(2.0 / 3.0));
/// assert_eq!(summary.mean_width.value(), Some(2.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct IntervalState(Stored);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    level: f64,
    rows: u64,
    weight: Sum,
    squared_weight: Sum,
    below: Sum,
    above: Sum,
    width: Sum,
    score: Sum,
}

/// What intervals of one level are worth.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntervalSummary {
    /// The share of targets they are meant to hold.
    pub level: f64,
    /// The number of rows, those of weight 0 included.
    pub rows: u64,
    /// The share of targets inside, ends included.
    pub coverage: Measured,
    /// Wilson's interval for the coverage of rows that are independent; with weights, of as many rows as (Σw)²/Σw².
    pub coverage_interval: Option<Interval>,
    /// Coverage minus level: negative for intervals that promise too much.
    pub difference: Measured,
    /// The coverage's interval minus the level: holds 0 unless the coverage is off.
    pub difference_interval: Option<Interval>,
    /// The share of targets below the lower end.
    pub below: Measured,
    /// The share of targets above the upper end.
    pub above: Measured,
    /// The mean of upper − lower, in the unit of the targets.
    pub mean_width: Measured,
    /// The mean of [`winkler_score`], in the unit of the targets.
    pub winkler: Measured,
}

impl IntervalState {
    /// The state of no rows.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a level outside (0, 1).
    pub fn new(level: f64) -> Result<Self, StatsError> {
        check_level(level)?;
        let zero = Sum::new();
        Ok(Self(Stored {
            level,
            rows: 0,
            weight: zero,
            squared_weight: zero,
            below: zero,
            above: zero,
            width: zero,
            score: zero,
        }))
    }

    /// The state of these rows. Weights that are `None` are all 1. O(n).
    ///
    /// # Errors
    /// Those of [`new`](Self::new); [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::Nan`],
    /// [`StatsError::NotFinite`]; [`StatsError::OutOfRange`] with the row where `upper` lies below `lower`; what
    /// [`weights::total`](mlops_core::num::weights::total) refuses; [`StatsError::Overflow`] when a sum does not fit an f64.
    pub fn of(
        level: f64,
        actual: &[f64],
        lower: &[f64],
        upper: &[f64],
        weights: Option<&[f64]>,
    ) -> Result<Self, StatsError> {
        let mut state = Self::new(level)?;
        paired(named("actual", actual), named("lower", lower))?;
        paired(named("actual", actual), named("upper", upper))?;
        for (argument, values) in [("actual", actual), ("lower", lower), ("upper", upper)] {
            finite(argument, values)?;
        }
        weight_total(weights, named("actual", actual))?;
        for row in 0..actual.len() {
            state.add(row, actual[row], (lower[row], upper[row]), weight(weights, row))?;
        }
        state.fits()
    }

    fn fits(self) -> Result<Self, StatsError> {
        let sums = &self.0;
        for (what, sum) in [
            ("the sum of the weights", sums.weight),
            ("the sum of the squared weights", sums.squared_weight),
            (WIDTH, sums.width),
            (SCORE, sums.score),
        ] {
            in_range(what, sum.value())?;
        }
        Ok(self)
    }

    fn add(&mut self, row: usize, y: f64, (lower, upper): (f64, f64), weight: f64) -> Result<(), StatsError> {
        if upper < lower {
            let (argument, value, low, high) = ("upper", upper, lower, f64::INFINITY);
            return Err(StatsError::OutOfRange { argument, index: row, value, low, high });
        }
        let sums = &mut self.0;
        sums.rows = sums.rows.saturating_add(1);
        if weight == 0.0 {
            return Ok(());
        }
        sums.weight.push(weight);
        sums.squared_weight.push(weight * weight);
        if y < lower {
            sums.below.push(weight);
        } else if y > upper {
            sums.above.push(weight);
        }
        sums.width.push(weight * (upper - lower));
        sums.score.push(weight * score_of(y, lower, upper, 1.0 - sums.level));
        Ok(())
    }

    /// Adds the rows of another part of the data. O(1).
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for another level, [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.0.level != other.0.level {
            return Err(StatsError::Incompatible { what: "the level" });
        }
        let mut merged = *self;
        merged.0.rows = add_rows(self.0.rows, other.0.rows)?;
        merged.0.weight.merge(other.0.weight);
        merged.0.squared_weight.merge(other.0.squared_weight);
        merged.0.below.merge(other.0.below);
        merged.0.above.merge(other.0.above);
        merged.0.width.merge(other.0.width);
        merged.0.score.merge(other.0.score);
        *self = merged.fits()?;
        Ok(())
    }

    /// The number of rows so far.
    pub fn rows(&self) -> u64 {
        self.0.rows
    }

    /// The metrics so far, with intervals of 95 % confidence.
    ///
    /// # Errors
    /// [`StatsError::Overflow`] when a sum does not fit an f64.
    pub fn finish(&self) -> Result<IntervalSummary, StatsError> {
        self.finish_with(CONFIDENCE)
    }

    /// [`finish`](Self::finish) with intervals of another confidence.
    ///
    /// # Errors
    /// Those of [`finish`](Self::finish); [`StatsError::Parameter`] for a confidence outside (0, 1).
    pub fn finish_with(&self, confidence: f64) -> Result<IntervalSummary, StatsError> {
        check_confidence(confidence)?;
        let sums = &self.0;
        let total = in_range("the sum of the weights", sums.weight.value())?;
        let outside = sums.below.value() + sums.above.value();
        let coverage = mean("the coverage", (total - outside).max(0.0), total)?;
        let difference = coverage.map(|coverage| coverage - sums.level);
        let coverage_interval = coverage.value().and_then(|coverage| {
            let rows = total / sums.squared_weight.value() * total;
            (rows.is_finite() && rows > 0.0).then(|| wilson_share(coverage * rows, rows, confidence))
        });
        let shifted = |interval: Interval| Interval {
            lower: interval.lower - sums.level,
            upper: interval.upper - sums.level,
            ..interval
        };
        Ok(IntervalSummary {
            level: sums.level,
            rows: sums.rows,
            coverage,
            coverage_interval,
            difference,
            difference_interval: coverage_interval.map(shifted),
            below: mean("the share below", sums.below.value(), total)?,
            above: mean("the share above", sums.above.value(), total)?,
            mean_width: mean("the mean width", in_range(WIDTH, sums.width.value())?, total)?,
            winkler: mean("the mean interval score", in_range(SCORE, sums.score.value())?, total)?,
        })
    }
}

const WIDTH: &str = "the sum of the widths";
const SCORE: &str = "the sum of interval scores";

fn score_of(y: f64, lower: f64, upper: f64, alpha: f64) -> f64 {
    (upper - lower) + (2.0 / alpha) * ((lower - y).max(0.0) + (y - upper).max(0.0))
}

impl TryFrom<Stored> for IntervalState {
    type Error = StatsError;

    fn try_from(stored: Stored) -> Result<Self, StatsError> {
        check_level(stored.level)?;
        for (parameter, sum) in [
            ("weight", &stored.weight),
            ("squared_weight", &stored.squared_weight),
            ("below", &stored.below),
            ("above", &stored.above),
            ("width", &stored.width),
            ("score", &stored.score),
        ] {
            check_size(parameter, sum)?;
        }
        let (outside, total) = (stored.below.value() + stored.above.value(), stored.weight.value());
        if outside > total * (1.0 + 1e-9) {
            let reason = "must not exceed the weight";
            return Err(StatsError::Parameter { parameter: "below and above", value: outside, reason });
        }
        Ok(Self(stored))
    }
}

impl From<IntervalState> for Stored {
    fn from(state: IntervalState) -> Self {
        state.0
    }
}

macro_rules! interval_metrics {
    ($(
        $(#[doc = $doc:literal])+
        $plain:ident, $weighted:ident, $field:ident, example $example:literal;
    )+) => {$(
        $(#[doc = $doc])+
        ///
        /// ```
        #[doc = concat!("use mlops_eval::forecast::", stringify!($plain), ";")]
        #[doc = concat!("let value = ", stringify!($plain), "(&[1.0, 5.0], &[0.0, 0.0], &[2.0, 4.0], 0.8)?.value().unwrap_or(f64::NAN);")]
        #[doc = concat!("assert!((value - ", $example, ").abs() < 1e-12);")]
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        ///
        /// # Errors
        /// Those of [`IntervalState::of`]; [`StatsError::Overflow`].
        pub fn $plain(
            actual: &[f64],
            lower: &[f64],
            upper: &[f64],
            level: f64,
        ) -> Result<Measured, StatsError> {
            Ok(IntervalState::of(level, actual, lower, upper, None)?.finish()?.$field)
        }

        #[doc = concat!("[`", stringify!($plain), "`] with a weight for each row; rows of weight 0 do not count.")]
        ///
        /// # Errors
        #[doc = concat!("Those of [`", stringify!($plain), "`].")]
        pub fn $weighted(
            actual: &[f64],
            lower: &[f64],
            upper: &[f64],
            weights: &[f64],
            level: f64,
        ) -> Result<Measured, StatsError> {
            Ok(IntervalState::of(level, actual, lower, upper, Some(weights))?.finish()?.$field)
        }
    )+};
}

interval_metrics! {
    /// The share of targets inside their interval, ends included; 0 to 1, best at `level`. O(n).
    interval_coverage, interval_coverage_weighted, coverage, example "0.5";

    /// The mean of upper − lower, in the unit of the targets, at least 0. O(n).
    interval_width, interval_width_weighted, mean_width, example "3.0";

    /// The interval score of Winkler (1972) as in Gneiting and Raftery (*Strictly Proper Scoring Rules*, JASA 102, 2007), averaged:
    /// upper − lower, plus 2/α times the distance of a target outside, α = 1 − level. In the unit of the targets; smallest for the
    /// true quantiles at α/2 and 1 − α/2. O(n). Agrees with scoringrules 0.10.0.
    winkler_score, winkler_score_weighted, winkler, example "8.0";
}

/// The weighted interval score (Bracher et al., *Evaluating Epidemic Forecasts in an Interval Format*, PLOS Computational Biology
/// 17, 2021), averaged: (|y − median|/2 + Σₖ αₖ/2 · interval scoreₖ) / (K + 1/2) for K intervals with αₖ = 1 − levelₖ. In the
/// unit of the targets. O(n·K).
///
/// `lower` and `upper` are row-major with one column per level. Twice the mean pinball loss of the 2K + 1 quantiles. Agrees with
/// `interval_score` and `crps_quantile` of scoringrules 0.10.0.
///
/// ```
/// use mlops_eval::forecast::weighted_interval_score;
/// let score = weighted_interval_score(&[3.0], &[1.0], &[0.0, 0.5], &[2.0, 1.5], &[0.8, 0.5])?;
/// assert!(score.value().is_some_and(|score| (score - 1.58).abs() < 1e-12));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`] for a level outside (0, 1); those of [`IntervalState::of`].
pub fn weighted_interval_score(
    actual: &[f64],
    median: &[f64],
    lower: &[f64],
    upper: &[f64],
    levels: &[f64],
) -> Result<Measured, StatsError> {
    mean_weighted_score(actual, median, (lower, upper), levels, None)
}

/// [`weighted_interval_score`] with a weight for each row; rows of weight 0 do not count.
///
/// # Errors
/// Those of [`weighted_interval_score`].
pub fn weighted_interval_score_weighted(
    actual: &[f64],
    median: &[f64],
    lower: &[f64],
    upper: &[f64],
    levels: &[f64],
    weights: &[f64],
) -> Result<Measured, StatsError> {
    mean_weighted_score(actual, median, (lower, upper), levels, Some(weights))
}

fn mean_weighted_score(
    actual: &[f64],
    median: &[f64],
    (lower, upper): (&[f64], &[f64]),
    levels: &[f64],
    weights: Option<&[f64]>,
) -> Result<Measured, StatsError> {
    levels.iter().try_for_each(|&level| check_level(level))?;
    paired(named("actual", actual), named("median", median))?;
    finite("actual", actual)?;
    finite("median", median)?;
    check_matrix("lower", lower, actual.len(), levels.len())?;
    check_matrix("upper", upper, actual.len(), levels.len())?;
    if let Some(index) = (0..lower.len()).find(|&index| upper[index] < lower[index]) {
        let (argument, value, low, high) = ("upper", upper[index], lower[index], f64::INFINITY);
        return Err(StatsError::OutOfRange { argument, index, value, low, high });
    }
    let total = weight_total(weights, named("actual", actual))?;
    let mut sum = Sum::new();
    for (row, &y) in actual.iter().enumerate().filter(|(row, _)| weight(weights, *row) > 0.0) {
        let mut score = 0.5 * (y - median[row]).abs();
        for (column, level) in levels.iter().enumerate() {
            let at = row * levels.len() + column;
            score += 0.5 * (1.0 - level) * score_of(y, lower[at], upper[at], 1.0 - level);
        }
        sum.push(score / (levels.len() as f64 + 0.5) * (weight(weights, row) / total));
    }
    in_range("the mean weighted interval score", sum.value()).map(Measured::Value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_upside_down_is_named() {
        let error = IntervalState::of(0.9, &[1.0, 1.0], &[0.0, 2.0], &[2.0, 1.0], None).unwrap_err();
        assert!(matches!(error, StatsError::OutOfRange { argument: "upper", index: 1, .. }));
        for level in [0.0, 1.0, f64::NAN] {
            assert!(IntervalState::new(level).is_err());
        }
        assert!(weighted_interval_score(&[1.0], &[1.0], &[2.0], &[1.0], &[0.5]).is_err());
        assert!(weighted_interval_score(&[1.0], &[1.0], &[], &[], &[]).is_err());
    }

    #[test]
    fn equal_weights_leave_the_interval_of_the_coverage() {
        let (y, l, u) = ([1.0, 5.0, 2.0], [0.0; 3], [3.0; 3]);
        let plain = IntervalState::of(0.8, &y, &l, &u, None).unwrap().finish().unwrap();
        let weighted = IntervalState::of(0.8, &y, &l, &u, Some(&[0.25; 3])).unwrap().finish().unwrap();
        let (a, b) = (plain.coverage_interval.unwrap(), weighted.coverage_interval.unwrap());
        assert!((a.lower - b.lower).abs() < 1e-15 && (a.upper - b.upper).abs() < 1e-15);
        assert_eq!(a, crate::interval::wilson(2, 3, 0.95).unwrap());
        assert!(plain.difference_interval.unwrap().contains(0.0));
        assert!((plain.difference.value().unwrap() - (2.0 / 3.0 - 0.8)).abs() < 1e-15);
    }

    #[test]
    fn what_is_read_back_is_checked() {
        let state = IntervalState::of(0.75, &[1.0, 9.0], &[0.0; 2], &[3.0; 2], None).unwrap();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<IntervalState>(&text).unwrap(), state);
        assert!(serde_json::from_str::<IntervalState>(&text.replace("0.75", "1.75")).is_err());
        let above = text.replace("\"above\":{\"total\":1.0", "\"above\":{\"total\":3.0");
        assert!(above != text && serde_json::from_str::<IntervalState>(&above).is_err());
        let mut other = IntervalState::new(0.5).unwrap();
        assert!(other.merge(&state).is_err());
        assert_eq!(other.finish().unwrap().coverage.value(), None);
    }
}
