//! The exact distribution of the errors y − ŷ.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::state::{check, too_few};
use crate::input::{in_range, weight};
use crate::runs::Runs;

/// Distinct residuals e = y − ŷ in ascending order with the weight of the rows that have them.
///
/// Quantiles, medians, the maximum and the pinball loss at any share follow from it, exactly; it merges and serialises. Its
/// size is the number of distinct residuals: a *resolution* rounds each to the nearest multiple of it first, which bounds the
/// size by the range over the resolution and moves every quantile by half of it at most.
///
/// Quantiles are averaged inverted distribution functions (type 2 of Hyndman and Fan 1996): the smallest residual with at least
/// the share p of the weight at or below it, averaged with the next one where it is exactly p. A row of weight 2 is two rows.
/// Agrees with NumPy 2.4.6 (`averaged_inverted_cdf`) and, at the median, with scikit-learn 1.9.1.
///
/// ```
/// use mlops_eval::regression::ResidualState;
///
/// let mut state = ResidualState::of(&[1.0, 2.0], &[0.0, 4.0], None)?;
/// state.merge(&ResidualState::of(&[5.0], &[5.0], None)?)?;
/// assert_eq!(state.quantile(0.5)?.value(), Some(0.0));
/// assert_eq!(state.median_absolute_error()?.value(), Some(1.0));
/// assert_eq!(state.max_error().value(), Some(2.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct ResidualState {
    rows: u64,
    resolution: Option<f64>,
    runs: Runs<1>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    rows: u64,
    resolution: Option<f64>,
    runs: Runs<1>,
}

/// The shape of the residuals y − ŷ.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResidualSummary {
    /// The number of rows, those of weight 0 included.
    pub rows: u64,
    /// The sum of the weights.
    pub weight: f64,
    /// The mean residual: the mean error with the other sign.
    pub mean: Measured,
    /// √(Σ w(e − ē)² / W).
    pub standard_deviation: Measured,
    /// The smallest residual: the worst prediction that is too high, if negative.
    pub lowest: Measured,
    /// The quantile at 5 %.
    pub q05: Measured,
    /// The quantile at 25 %.
    pub q25: Measured,
    /// The median.
    pub median: Measured,
    /// The quantile at 75 %.
    pub q75: Measured,
    /// The quantile at 95 %.
    pub q95: Measured,
    /// The largest residual: the worst prediction that is too low, if positive.
    pub highest: Measured,
    /// The median of |e|.
    pub median_absolute_error: Measured,
}

impl ResidualState {
    /// The state of these rows. Weights that are `None` are all 1. O(n) from 2 048 rows on, O(n log n) below.
    ///
    /// # Errors
    /// Those of [`mae_weighted`](super::mae_weighted); [`StatsError::Overflow`] when a residual does not fit an f64.
    pub fn of(y_true: &[f64], y_pred: &[f64], weights: Option<&[f64]>) -> Result<Self, StatsError> {
        Self::build(y_true, y_pred, weights, None)
    }

    /// [`of`](Self::of) with residuals rounded to multiples of `resolution`, ties to even.
    ///
    /// ```
    /// use mlops_eval::regression::ResidualState;
    /// let state = ResidualState::rounded(&[0.31, 0.29], &[0.0, 0.0], None, 0.125)?;
    /// assert_eq!(state.distinct(), 1);
    /// assert_eq!(state.quantile(0.5)?.value(), Some(0.25));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`of`](Self::of); [`StatsError::Parameter`] for a resolution that is not positive.
    pub fn rounded(
        y_true: &[f64],
        y_pred: &[f64],
        weights: Option<&[f64]>,
        resolution: f64,
    ) -> Result<Self, StatsError> {
        check_resolution(resolution)?;
        Self::build(y_true, y_pred, weights, Some(resolution))
    }

    fn build(
        y_true: &[f64],
        y_pred: &[f64],
        weights: Option<&[f64]>,
        resolution: Option<f64>,
    ) -> Result<Self, StatsError> {
        check(y_true, y_pred, weights)?;
        let mut pairs = Vec::with_capacity(y_true.len());
        for (row, (y, p)) in y_true.iter().zip(y_pred).enumerate() {
            let weight = weight(weights, row);
            if weight > 0.0 {
                let residual = round(y - p, resolution);
                pairs.push((in_range("a residual", residual)?, [weight]));
            }
        }
        Ok(Self { rows: y_true.len() as u64, resolution, runs: Runs::of(pairs) })
    }

    /// Adds the rows of another part of the data. O(distinct residuals of both).
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for another resolution, [`StatsError::Overflow`]; `self` is unchanged then. A state without
    /// rows takes on the other's resolution.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.rows == 0 && self.runs.len() == 0 {
            *self = other.clone();
            return Ok(());
        }
        if self.resolution != other.resolution && other.rows > 0 {
            return Err(StatsError::Incompatible { what: "the resolution" });
        }
        let rows = self.rows.checked_add(other.rows);
        let rows = rows.ok_or(StatsError::Overflow { what: "the number of rows" })?;
        self.runs.merge(&other.runs)?;
        self.rows = rows;
        Ok(())
    }

    /// The number of rows, whatever their weights.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The number of distinct residuals.
    pub fn distinct(&self) -> usize {
        self.runs.len()
    }

    /// What residuals were rounded to.
    pub fn resolution(&self) -> Option<f64> {
        self.resolution
    }

    /// Each distinct residual, ascending, with its weight.
    ///
    /// ```
    /// use mlops_eval::regression::ResidualState;
    /// let state = ResidualState::of(&[1.0, 1.0], &[0.0, 2.0], None)?;
    /// assert_eq!(state.points().collect::<Vec<_>>(), [(-1.0, 1.0), (1.0, 1.0)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn points(&self) -> impl DoubleEndedIterator<Item = (f64, f64)> + ExactSizeIterator {
        self.runs.iter().map(|(residual, [weight])| (residual, weight))
    }

    /// The quantile of the residuals at the share `p`: the smallest residual up to which lies at least the share p of the weight,
    /// and the mean of it and the next where that is the share exactly (NumPy's `averaged_inverted_cdf`; type 2 of Hyndman and Fan,
    /// *Sample quantiles in statistical packages*, The American Statistician 50, 1996). Undefined with
    /// [`UndefinedReason::TooFew`](mlops_core::num::UndefinedReason::TooFew) without rows, as all that follow. O(distinct).
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for `p` outside [0, 1].
    pub fn quantile(&self, p: f64) -> Result<Measured, StatsError> {
        if !(0.0..=1.0).contains(&p) {
            return Err(StatsError::Parameter { parameter: "p", value: p, reason: "must lie in [0, 1]" });
        }
        Ok(measured(quantile_of(self.points(), self.weight(), p)))
    }

    /// Several [`quantile`](Self::quantile)s.
    ///
    /// # Errors
    /// Those of [`quantile`](Self::quantile).
    pub fn quantiles(&self, shares: &[f64]) -> Result<Vec<Measured>, StatsError> {
        shares.iter().map(|&p| self.quantile(p)).collect()
    }

    /// The median of |e|. O(distinct).
    ///
    /// # Errors
    /// None so far: the sizes of residuals that fit an f64 fit too.
    pub fn median_absolute_error(&self) -> Result<Measured, StatsError> {
        Ok(measured(quantile_of(self.sizes().into_iter(), self.weight(), 0.5)))
    }

    /// |e| ascending: the negative side from its end and the positive side from its start, merged.
    fn sizes(&self) -> Vec<(f64, f64)> {
        let negative = self.runs.values().partition_point(|e| *e < 0.0);
        let mut left = self.points().take(negative).rev().map(|(e, w)| (-e, w)).peekable();
        let mut right = self.points().skip(negative).peekable();
        let mut sizes = Vec::with_capacity(self.runs.len());
        while let Some(next) = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) if a.0 <= b.0 => left.next(),
            (Some(_), None) => left.next(),
            _ => right.next(),
        } {
            sizes.push(next);
        }
        sizes
    }

    /// The largest |e|.
    pub fn max_error(&self) -> Measured {
        let ends = self.runs.values().first().zip(self.runs.values().last());
        measured(ends.map(|(low, high)| low.abs().max(high.abs())))
    }

    /// The mean pinball loss at the share `alpha`.
    ///
    /// ```
    /// use mlops_eval::regression::ResidualState;
    /// let state = ResidualState::of(&[2.0, 0.0], &[1.0, 1.0], None)?;
    /// assert_eq!(state.pinball(0.75)?.value(), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for `alpha` outside [0, 1]; [`StatsError::Overflow`].
    pub fn pinball(&self, alpha: f64) -> Result<Measured, StatsError> {
        let loss = super::Loss::Pinball { alpha };
        loss.check()?;
        self.mean("the mean pinball loss", |e| loss.of(e, 0.0))
    }

    /// The shape of the residuals in a few numbers.
    ///
    /// ```
    /// use mlops_eval::regression::ResidualState;
    /// let summary = ResidualState::of(&[1.0, 2.0, 4.0], &[1.0, 1.0, 1.0], None)?.summary()?;
    /// assert_eq!((summary.lowest.value(), summary.median.value()), (Some(0.0), Some(1.0)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Overflow`] when a sum does not fit an f64.
    pub fn summary(&self) -> Result<ResidualSummary, StatsError> {
        let mean = self.mean("the mean residual", |e| e)?;
        let center = mean.value().unwrap_or(0.0);
        let variance = self.mean("the variance of the residuals", |e| (e - center) * (e - center))?;
        Ok(ResidualSummary {
            rows: self.rows,
            weight: self.weight(),
            mean,
            standard_deviation: variance.map(f64::sqrt),
            lowest: measured(self.runs.values().first().copied()),
            q05: self.quantile(0.05)?,
            q25: self.quantile(0.25)?,
            median: self.quantile(0.5)?,
            q75: self.quantile(0.75)?,
            q95: self.quantile(0.95)?,
            highest: measured(self.runs.values().last().copied()),
            median_absolute_error: self.median_absolute_error()?,
        })
    }

    fn weight(&self) -> f64 {
        self.runs.totals()[0]
    }

    fn mean(&self, what: &'static str, f: impl Fn(f64) -> f64) -> Result<Measured, StatsError> {
        let total = self.weight();
        if total <= 0.0 {
            return Ok(too_few(0, 1));
        }
        let mean = self.points().map(|(e, w)| f(e) * (w / total)).collect::<Sum>().value();
        in_range(what, mean).map(Measured::Value)
    }
}

fn measured(value: Option<f64>) -> Measured {
    value.map_or_else(|| too_few(0, 1), Measured::Value)
}

fn check_resolution(resolution: f64) -> Result<(), StatsError> {
    if resolution > 0.0 && resolution.is_finite() {
        return Ok(());
    }
    let reason = "must be positive and finite";
    Err(StatsError::Parameter { parameter: "resolution", value: resolution, reason })
}

fn round(residual: f64, resolution: Option<f64>) -> f64 {
    let Some(resolution) = resolution else { return residual };
    let multiple = (residual / resolution).round_ties_even();
    // Far from 0 every f64 is a multiple to the last digit.
    if multiple.is_finite() { multiple * resolution } else { residual }
}

/// The averaged inverted distribution function of ascending values at the share `p`; `None` without weight.
pub(crate) fn quantile_of(values: impl Iterator<Item = (f64, f64)>, total: f64, p: f64) -> Option<f64> {
    let target = p * total;
    let mut below = Sum::new();
    let mut values = values.filter(|(_, weight)| *weight > 0.0).peekable();
    let mut last = None;
    while let Some((value, weight)) = values.next() {
        below.push(weight);
        last = Some(value);
        // A sum that has lost its last digit still meets the share it should meet.
        let met = (below.value() - target).abs() <= 4.0 * f64::EPSILON * total;
        if met && p > 0.0 {
            return Some(values.peek().map_or(value, |(next, _)| value.midpoint(*next)));
        }
        if below.value() >= target {
            return Some(value);
        }
    }
    last
}

/// |y − ŷ| and weight of the rows that count.
pub(crate) fn sizes(
    y_true: &[f64],
    y_pred: &[f64],
    weights: Option<&[f64]>,
) -> impl Iterator<Item = (f64, f64)> {
    let rows = y_true.iter().zip(y_pred).enumerate();
    rows.map(move |(row, (y, p))| ((y - p).abs(), weight(weights, row))).filter(|(_, w)| *w > 0.0)
}

/// The weighted median of values in any order.
pub(crate) fn median(values: impl Iterator<Item = (f64, f64)>) -> Result<Measured, StatsError> {
    let mut pairs: Vec<(f64, f64)> = values.collect();
    mlops_core::num::ranks::sort_pairs(&mut pairs);
    let total = pairs.iter().map(|(_, w)| *w).collect::<Sum>().value();
    match quantile_of(pairs.into_iter(), total, 0.5) {
        Some(median) => in_range("the median absolute error", median).map(Measured::Value),
        None => Ok(too_few(0, 1)),
    }
}

impl TryFrom<Stored> for ResidualState {
    type Error = StatsError;

    fn try_from(Stored { rows, resolution, runs }: Stored) -> Result<Self, StatsError> {
        resolution.map_or(Ok(()), check_resolution)?;
        if rows < runs.len() as u64 {
            let reason = "is less than the number of distinct residuals";
            return Err(StatsError::Parameter { parameter: "rows", value: rows as f64, reason });
        }
        Ok(Self { rows, resolution, runs })
    }
}

impl From<ResidualState> for Stored {
    fn from(state: ResidualState) -> Self {
        Self { rows: state.rows, resolution: state.resolution, runs: state.runs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_average_where_the_share_is_met() {
        let state = ResidualState::of(&[1.0, 2.0, 3.0, 4.0], &[0.0; 4], None).unwrap();
        let at = |p| state.quantile(p).unwrap().value().unwrap();
        assert_eq!([0.0, 0.25, 0.3, 0.5, 0.75, 1.0].map(at), [1.0, 1.5, 2.0, 2.5, 3.5, 4.0]);
        assert!(state.quantile(1.1).is_err() && state.quantile(f64::NAN).is_err());
    }

    #[test]
    fn no_rows_have_no_quantiles() {
        let state = ResidualState::default();
        assert_eq!(state.quantile(0.5).unwrap().value(), None);
        assert_eq!(state.max_error().value(), None);
        assert_eq!(state.summary().unwrap().mean.value(), None);
    }

    #[test]
    fn sizes_are_merged_from_both_sides() {
        let state = ResidualState::of(&[-3.0, 2.0, 0.0, 3.0], &[0.0; 4], Some(&[1.0, 1.0, 2.0, 1.0]));
        assert_eq!(state.unwrap().sizes(), [(0.0, 2.0), (2.0, 1.0), (3.0, 1.0), (3.0, 1.0)]);
    }

    #[test]
    fn other_resolutions_do_not_merge() {
        let mut state = ResidualState::rounded(&[1.0], &[0.3], None, 0.5).unwrap();
        let other = ResidualState::of(&[1.0], &[0.3], None).unwrap();
        assert_eq!(state.merge(&other), Err(StatsError::Incompatible { what: "the resolution" }));
        assert_eq!(state.quantile(0.5).unwrap().value(), Some(0.5));
        assert!(ResidualState::rounded(&[1.0], &[0.3], None, 0.0).is_err());
        let huge = ResidualState::rounded(&[1e300], &[0.0], None, 1e-300).unwrap();
        assert_eq!(huge.max_error().value(), Some(1e300));
    }

    #[test]
    fn what_is_read_back_is_checked() {
        let state = ResidualState::of(&[0.1, 0.7], &[0.3, 0.9], Some(&[0.5, 0.25])).unwrap();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<ResidualState>(&text).unwrap(), state);
        assert!(serde_json::from_str::<ResidualState>(&text.replace("\"rows\":2", "\"rows\":1")).is_err());
        assert!(serde_json::from_str::<ResidualState>(&text.replace("null", "-1.0")).is_err());
    }
}
