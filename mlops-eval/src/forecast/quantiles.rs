//! Forecasts of several quantiles at once.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::{add_rows, check_level, check_matrix, check_size, mean};
use crate::input::{finite, in_range, named, not_empty, weight, weight_total};
use crate::regression::Loss;

/// What happens to a row whose quantiles cross: a higher level with a lower forecast.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Crossing {
    /// An error that names it. The default.
    #[default]
    Refuse,
    /// It is counted, and measured as it is.
    Count,
    /// It is counted, and its quantiles are put in ascending order first, which never makes the loss larger (Chernozhukov,
    /// Fernández-Val, Galichon, *Quantile and Probability Curves Without Crossing*, Econometrica 78, 2010).
    Sort,
}

/// Sums over forecasts of the quantiles at fixed levels.
///
/// ```
/// use mlops_eval::forecast::{Crossing, QuantileState};
///
/// let levels = [0.1, 0.5, 0.9];
/// let quantiles = [0.0, 1.0, 2.0, 4.0, 5.0, 9.0];
/// let state = QuantileState::of(&levels, &[1.5, 4.5], &quantiles, None, Crossing::Refuse)?;
/// let summary = state.finish()?;
/// assert_eq!(summary.losses[1].value(), Some(0.25));
/// assert_eq!(summary.coverage[1].value(), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct QuantileState(Stored);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    crossing: Crossing,
    rows: u64,
    crossed: u64,
    weight: Sum,
    levels: Vec<f64>,
    losses: Vec<Sum>,
    /// The weight of targets that do not exceed the forecast of each level.
    covered: Vec<Sum>,
}

/// What forecasts of quantiles are worth.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantileSummary {
    /// The levels, ascending.
    pub levels: Vec<f64>,
    /// The number of rows, those of weight 0 included.
    pub rows: u64,
    /// How many of them had quantiles that cross.
    pub crossed: u64,
    /// The mean pinball loss of each level.
    pub losses: Vec<Measured>,
    /// The mean of the losses, every level counting alike.
    pub mean_loss: Measured,
    /// Twice the mean of the losses: [`crps_from_quantiles`].
    pub crps: Measured,
    /// Twice the integral of the loss over the level by the trapezoidal rule, from the lowest level to the highest; what lies
    /// beyond them counts nothing. Undefined with [`UndefinedReason::TooFew`] for one level.
    pub crps_trapezoid: Measured,
    /// The share of targets that do not exceed the forecast of each level; the level itself for forecasts that are calibrated.
    pub coverage: Vec<Measured>,
}

impl QuantileState {
    /// The state of no rows.
    ///
    /// # Errors
    /// [`StatsError::Empty`] without levels; [`StatsError::Parameter`] for a level outside (0, 1); [`StatsError::Unsorted`]
    /// unless each is higher than the one before.
    pub fn new(levels: &[f64], crossing: Crossing) -> Result<Self, StatsError> {
        check_levels(levels)?;
        let none = vec![Sum::new(); levels.len()];
        Ok(Self(Stored {
            crossing,
            rows: 0,
            crossed: 0,
            weight: Sum::new(),
            levels: levels.to_vec(),
            losses: none.clone(),
            covered: none,
        }))
    }

    /// The state of these rows. `quantiles` is row-major with one column per level; weights that are `None` are all 1. O(n·levels).
    ///
    /// # Errors
    /// Those of [`new`](Self::new); [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::Nan`],
    /// [`StatsError::NotFinite`]; [`StatsError::Unsorted`] with the element of `quantiles` that crosses the one before, under
    /// [`Crossing::Refuse`]; what [`weights::total`](mlops_core::num::weights::total) refuses; [`StatsError::Overflow`] when a sum
    /// does not fit an f64.
    pub fn of(
        levels: &[f64],
        actual: &[f64],
        quantiles: &[f64],
        weights: Option<&[f64]>,
        crossing: Crossing,
    ) -> Result<Self, StatsError> {
        let mut state = Self::new(levels, crossing)?;
        not_empty(named("actual", actual))?;
        finite("actual", actual)?;
        check_matrix("quantiles", quantiles, actual.len(), levels.len())?;
        weight_total(weights, named("actual", actual))?;
        let mut sorted = Vec::with_capacity(levels.len());
        for (row, (&y, forecasts)) in actual.iter().zip(quantiles.chunks(levels.len())).enumerate() {
            sorted.clear();
            sorted.extend_from_slice(forecasts);
            if let Some(before) = forecasts.windows(2).position(|pair| pair[1] < pair[0]) {
                if crossing == Crossing::Refuse {
                    let index = row * levels.len() + before + 1;
                    return Err(StatsError::Unsorted { argument: "quantiles", index });
                }
                state.0.crossed = state.0.crossed.saturating_add(1);
                if crossing == Crossing::Sort {
                    sorted.sort_unstable_by(f64::total_cmp);
                }
            }
            state.add(y, &sorted, weight(weights, row));
        }
        state.fits()
    }

    fn fits(self) -> Result<Self, StatsError> {
        in_range("the sum of the weights", self.0.weight.value())?;
        for sum in &self.0.losses {
            in_range("a sum of losses", sum.value())?;
        }
        Ok(self)
    }

    fn add(&mut self, y: f64, forecasts: &[f64], weight: f64) {
        let sums = &mut self.0;
        sums.rows = sums.rows.saturating_add(1);
        if weight == 0.0 {
            return;
        }
        sums.weight.push(weight);
        for (column, (&alpha, &forecast)) in sums.levels.iter().zip(forecasts).enumerate() {
            sums.losses[column].push(weight * Loss::Pinball { alpha }.of(y, forecast));
            if y <= forecast {
                sums.covered[column].push(weight);
            }
        }
    }

    /// Adds the rows of another part of the data. O(levels).
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for other levels or another policy for crossing, [`StatsError::Overflow`]; `self` is
    /// unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        let mut merged = self.clone();
        let (sums, theirs) = (&mut merged.0, &other.0);
        if sums.levels != theirs.levels {
            return Err(StatsError::Incompatible { what: "the levels" });
        }
        if sums.crossing != theirs.crossing {
            return Err(StatsError::Incompatible { what: "the policy for crossing" });
        }
        sums.rows = add_rows(sums.rows, theirs.rows)?;
        sums.crossed = sums.crossed.saturating_add(theirs.crossed);
        sums.weight.merge(theirs.weight);
        for (mine, other) in sums.losses.iter_mut().zip(&theirs.losses) {
            mine.merge(*other);
        }
        for (mine, other) in sums.covered.iter_mut().zip(&theirs.covered) {
            mine.merge(*other);
        }
        *self = merged.fits()?;
        Ok(())
    }

    /// The number of rows so far.
    pub fn rows(&self) -> u64 {
        self.0.rows
    }

    /// The metrics so far.
    ///
    /// # Errors
    /// [`StatsError::Overflow`] when a sum does not fit an f64.
    pub fn finish(&self) -> Result<QuantileSummary, StatsError> {
        let weight = self.0.weight.value();
        let loss = |sum: &Sum| mean("a mean pinball loss", in_range("a sum of losses", sum.value())?, weight);
        let losses = self.0.losses.iter().map(loss).collect::<Result<Vec<_>, _>>()?;
        // A share of the weight: rounding must not take it above 1.
        let share = |sum: &Sum| mean("a coverage", sum.value().min(weight), weight);
        let mean_loss = self.integral(&losses, |_, _, _| 1.0 / self.0.levels.len() as f64)?;
        Ok(QuantileSummary {
            levels: self.0.levels.clone(),
            rows: self.0.rows,
            crossed: self.0.crossed,
            mean_loss,
            crps: twice(mean_loss)?,
            crps_trapezoid: self.trapezoid(&losses)?,
            coverage: self.0.covered.iter().map(share).collect::<Result<Vec<_>, _>>()?,
            losses,
        })
    }

    fn trapezoid(&self, losses: &[Measured]) -> Result<Measured, StatsError> {
        if losses.len() < 2 {
            return Ok(Measured::none(UndefinedReason::TooFew, losses.len(), 2));
        }
        twice(self.integral(losses, |before, level, after| {
            0.5 * (after.unwrap_or(level) - before.unwrap_or(level))
        })?)
    }

    /// Σ share·loss, the share of a level given by its neighbours.
    fn integral(
        &self,
        losses: &[Measured],
        share: impl Fn(Option<f64>, f64, Option<f64>) -> f64,
    ) -> Result<Measured, StatsError> {
        let levels = &self.0.levels;
        let mut sum = Sum::new();
        for (column, loss) in losses.iter().enumerate() {
            let before = column.checked_sub(1).map(|before| levels[before]);
            match loss {
                Measured::Value(loss) => {
                    sum.push(loss * share(before, levels[column], levels.get(column + 1).copied()));
                }
                undefined => return Ok(*undefined),
            }
        }
        in_range("the mean of the losses", sum.value()).map(Measured::Value)
    }
}

fn twice(measured: Measured) -> Result<Measured, StatsError> {
    match measured {
        Measured::Value(value) => in_range("the CRPS", 2.0 * value).map(Measured::Value),
        undefined => Ok(undefined),
    }
}

fn check_levels(levels: &[f64]) -> Result<(), StatsError> {
    not_empty(named("levels", levels))?;
    levels.iter().try_for_each(|&level| check_level(level))?;
    match levels.windows(2).position(|pair| pair[1] <= pair[0]) {
        Some(before) => Err(StatsError::Unsorted { argument: "levels", index: before + 1 }),
        None => Ok(()),
    }
}

impl TryFrom<Stored> for QuantileState {
    type Error = StatsError;

    fn try_from(stored: Stored) -> Result<Self, StatsError> {
        check_levels(&stored.levels)?;
        for (left, left_len) in [("losses", stored.losses.len()), ("covered", stored.covered.len())] {
            let (right, right_len) = ("levels", stored.levels.len());
            if left_len != right_len {
                return Err(StatsError::LengthMismatch { left, left_len, right, right_len });
            }
        }
        if stored.crossed > stored.rows {
            let (parameter, value) = ("crossed", stored.crossed as f64);
            return Err(StatsError::Parameter { parameter, value, reason: "must not exceed `rows`" });
        }
        check_size("weight", &stored.weight)?;
        stored.losses.iter().try_for_each(|sum| check_size("losses", sum))?;
        stored.covered.iter().try_for_each(|sum| check_size("covered", sum))?;
        Ok(Self(stored))
    }
}

impl From<QuantileState> for Stored {
    fn from(state: QuantileState) -> Self {
        state.0
    }
}

/// The mean pinball loss of each level. `quantiles` is row-major with one column per level; those that cross are refused. O(n·levels).
///
/// ```
/// use mlops_eval::forecast::quantile_losses;
/// let losses = quantile_losses(&[2.0], &[1.0, 4.0], &[0.25, 0.75])?;
/// assert_eq!(losses.iter().map(|loss| loss.value()).collect::<Vec<_>>(), [Some(0.25), Some(0.5)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`QuantileState::of`]; [`StatsError::Overflow`].
pub fn quantile_losses(
    actual: &[f64],
    quantiles: &[f64],
    levels: &[f64],
) -> Result<Vec<Measured>, StatsError> {
    Ok(QuantileState::of(levels, actual, quantiles, None, Crossing::Refuse)?.finish()?.losses)
}

/// [`quantile_losses`] with a weight for each row; rows of weight 0 do not count.
///
/// # Errors
/// Those of [`quantile_losses`].
pub fn quantile_losses_weighted(
    actual: &[f64],
    quantiles: &[f64],
    levels: &[f64],
    weights: &[f64],
) -> Result<Vec<Measured>, StatsError> {
    Ok(QuantileState::of(levels, actual, quantiles, Some(weights), Crossing::Refuse)?.finish()?.losses)
}

/// The continuous ranked probability score as far as quantiles tell: twice the mean pinball loss over levels and rows, every
/// level counting alike (Berrisch, Ziel, *CRPS Learning*, Journal of Econometrics 237, 2023). In the unit of the targets, at
/// least 0; approaches the CRPS as equally spaced levels get dense. O(n·levels). Agrees with scoringrules 0.10.0.
///
/// ```
/// use mlops_eval::forecast::crps_from_quantiles;
/// assert_eq!(crps_from_quantiles(&[2.0], &[1.0, 4.0], &[0.25, 0.75])?.value(), Some(0.75));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`quantile_losses`].
pub fn crps_from_quantiles(
    actual: &[f64],
    quantiles: &[f64],
    levels: &[f64],
) -> Result<Measured, StatsError> {
    Ok(QuantileState::of(levels, actual, quantiles, None, Crossing::Refuse)?.finish()?.crps)
}

/// [`crps_from_quantiles`] with a weight for each row; rows of weight 0 do not count.
///
/// # Errors
/// Those of [`quantile_losses`].
pub fn crps_from_quantiles_weighted(
    actual: &[f64],
    quantiles: &[f64],
    levels: &[f64],
    weights: &[f64],
) -> Result<Measured, StatsError> {
    Ok(QuantileState::of(levels, actual, quantiles, Some(weights), Crossing::Refuse)?.finish()?.crps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_that_cross_are_refused_counted_or_sorted() {
        let (levels, y, quantiles) = ([0.25, 0.75], [1.0, 1.0], [0.0, 2.0, 3.0, 1.0]);
        let of = |crossing| QuantileState::of(&levels, &y, &quantiles, None, crossing);
        let refused = of(Crossing::Refuse);
        assert_eq!(refused, Err(StatsError::Unsorted { argument: "quantiles", index: 3 }));
        let counted = of(Crossing::Count).unwrap().finish().unwrap();
        let sorted = of(Crossing::Sort).unwrap().finish().unwrap();
        assert_eq!((counted.crossed, sorted.crossed), (1, 1));
        assert!(sorted.crps.value() < counted.crps.value());
    }

    #[test]
    fn levels_rise_inside_the_unit_range() {
        for levels in [&[][..], &[0.0], &[1.0], &[0.5, 0.5], &[0.5, 0.25], &[f64::NAN]] {
            assert!(QuantileState::new(levels, Crossing::Refuse).is_err(), "{levels:?}");
        }
        let one = QuantileState::of(&[0.5], &[1.0], &[2.0], None, Crossing::Refuse).unwrap();
        assert_eq!(one.finish().unwrap().crps_trapezoid.value(), None);
        let shape = QuantileState::of(&[0.5], &[1.0], &[2.0, 3.0], None, Crossing::Refuse);
        assert!(matches!(shape, Err(StatsError::LengthMismatch { .. })));
    }

    #[test]
    fn the_trapezoid_is_the_integral_between_the_outer_levels() {
        let levels = [0.1, 0.4, 0.9];
        let state = QuantileState::of(&levels, &[2.0], &[1.0, 1.5, 4.0], None, Crossing::Refuse).unwrap();
        let summary = state.finish().unwrap();
        let losses: Vec<f64> = summary.losses.iter().filter_map(|loss| loss.value()).collect();
        let by_hand = 0.3 * (losses[0] + losses[1]) + 0.5 * (losses[1] + losses[2]);
        assert!((summary.crps_trapezoid.value().unwrap() - by_hand).abs() < 1e-15);
    }

    #[test]
    fn what_is_read_back_is_checked() {
        let state = QuantileState::of(&[0.25, 0.75], &[1.0], &[0.0, 2.0], None, Crossing::Count).unwrap();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<QuantileState>(&text).unwrap(), state);
        for (from, to) in
            [("0.25,0.75", "0.75,0.25"), ("0.25,0.75", "0.25"), ("\"crossed\":0", "\"crossed\":2")]
        {
            let bad = text.replace(from, to);
            assert!(bad != text && serde_json::from_str::<QuantileState>(&bad).is_err(), "{to}");
        }
    }
}
