//! A sequential test of two means of values in a known range, in finite samples.

use serde::{Deserialize, Serialize};

use super::observations::finite;
use super::proportions::increase;
use super::sequential::{bad_first, check_margin, shared_setters};
use super::{Direction, Evidence, Finding, Level, Observations};
use crate::deploy::rollout::GuardVerdict;
use crate::num::StatsError;

/// Whether the candidate's mean is beyond the stable version's by more than a margin, for values in [`low`, `high`]: an
/// empirical-Bernstein confidence sequence of the differences of pairs, valid however often it is looked at and whatever the
/// values' law.
///
/// The k-th value of the candidate is paired with the k-th of the stable version; what has no partner yet waits. With the
/// differences scaled to xₖ in [0, 1] and bets λₖ = min(√(2 ln(1/α)/(σ̂²ₖ₋₁·k·ln(1 + k))), ½), which know only the past,
///
/// > ln e(m) = Σ λₖ(xₖ − m) − Σ 4(xₖ − μ̂ₖ₋₁)²·(−ln(1 − λₖ) − λₖ)/4
///
/// is the logarithm of an e-process against a mean of at most m (Waudby-Smith and Ramdas, *Estimating means of bounded random
/// variables by betting*, J. R. Stat. Soc. B 86, 2024, theorem 2).
///
/// Values must come in the order in which they were seen, and the same ones first each time. **Fail** when e at the margin reaches
/// 1/α, **pass** when the one for the other side does; see [`Level`]. No pair is **no data**. A value outside the range is an error.
/// O(m + n).
///
/// ```
/// use mlops_core::deploy::rollout::GuardVerdict;
/// use mlops_core::deploy::rollout::judge::{BoundedMeans, Evidence, Observations};
///
/// // Scores in [0, 1].
/// let judge = BoundedMeans::new(0.0, 1.0, 0.05);
/// let scores = |base: f64| (0..400).map(|i| base + f64::from(i % 5) / 50.0).collect::<Vec<_>>();
/// let finding = judge.judge(&Observations::values(scores(0.5), scores(0.2)), Evidence::default())?;
/// assert_eq!(finding.verdict, GuardVerdict::Fail);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundedMeans {
    /// Which change is bad. Default an increase.
    #[serde(default = "increase")]
    pub direction: Direction,
    /// The smallest value there can be.
    pub low: f64,
    /// The largest value there can be.
    pub high: f64,
    /// How much of a bad change is still good, in the metric's unit, smaller than the range.
    pub margin: f64,
    /// The level.
    #[serde(default)]
    pub level: Level,
}

shared_setters!(BoundedMeans);

impl BoundedMeans {
    /// An increase of more than `margin` is bad, for values in [`low`, `high`].
    pub fn new(low: f64, high: f64, margin: f64) -> Self {
        Self { direction: increase(), low, high, margin, level: Level::default() }
    }

    /// Checks the options.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] names the option; [`StatsError::Unsupported`] for [`Direction::Either`].
    pub fn check(&self) -> Result<(), StatsError> {
        self.level.check()?;
        check_margin(self.margin)?;
        bad_first(self.direction, (), ())?;
        let width = self.high - self.low;
        let bad = |parameter, value, reason| Err(StatsError::Parameter { parameter, value, reason });
        if !(width.is_finite() && width > 0.0) {
            return bad("high", self.high, "must be above `low`, by a finite width");
        }
        if self.margin.abs() >= width {
            return bad("margin", self.margin, "must be smaller than the range");
        }
        Ok(())
    }

    /// Judges one step, with the evidence of the steps before.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`StatsError::Nan`], [`StatsError::NotFinite`] and [`StatsError::OutOfRange`] name the
    /// argument and the index; counts are [`StatsError::Unsupported`].
    pub fn judge(&self, seen: &Observations, earlier: Evidence) -> Result<Finding, StatsError> {
        self.check()?;
        let [candidate, stable] = seen.both("a test of means")?;
        self.within_range("candidate", candidate)?;
        self.within_range("stable", stable)?;
        let (x, y) = bad_first(self.direction, candidate, stable)?;
        let pairs = x.len().min(y.len());
        if pairs == 0 {
            let reason = "one of the versions was not observed";
            return Ok(Finding::new("bounded_means.no_data", GuardVerdict::NoData, reason));
        }
        let width = self.high - self.low;
        let scaled = |difference: f64| 0.5 + 0.5 * difference / width;
        let differences = || x.iter().zip(y).map(|(x, y)| scaled(x - y));
        let bets = Bets::on(differences(), self.level.needed());
        // The mirrored differences have the mirrored mean.
        let mirrored = Bets::on(differences().map(|d| 1.0 - d), self.level.needed());
        let (at, mirrored_at) = (scaled(self.margin), 1.0 - scaled(self.margin));
        let now = Evidence { beyond: bets.ln_e(at), within: mirrored.ln_e(mirrored_at) };
        let change = (2.0 * bets.mean - 1.0) * width;
        let unscaled = |mean: f64| (2.0 * mean.clamp(0.0, 1.0) - 1.0) * width;
        let finding = self.level.decide("bounded_means", now, earlier, change);
        Ok(finding
            .with("low", unscaled(bets.lower(self.level.needed())))
            .with("high", unscaled(1.0 - mirrored.lower(self.level.needed())))
            .with("pairs", pairs as f64)
            .with("margin", self.margin))
    }

    fn within_range(&self, argument: &'static str, values: &[f64]) -> Result<(), StatsError> {
        finite(argument, values)?;
        let (low, high) = (self.low, self.high);
        match values.iter().position(|value| !(low..=high).contains(value)) {
            None => Ok(()),
            Some(index) => Err(StatsError::OutOfRange { argument, index, value: values[index], low, high }),
        }
    }
}

/// What is left of a series of bets that its mean is larger.
pub(super) struct Bets {
    /// Σ λₖ.
    staked: f64,
    /// Σ λₖxₖ.
    won: f64,
    /// What the variance costs.
    cost: f64,
    mean: f64,
}

impl Bets {
    /// Bets on values in [0, 1]; `needed` is ln(1/α).
    pub(super) fn on(values: impl Iterator<Item = f64>, needed: f64) -> Self {
        let mut bets = Self { staked: 0.0, won: 0.0, cost: 0.0, mean: 0.0 };
        // μ̂₀ = ½ and σ̂²₀ = ¼, as if one value had been seen before.
        let (mut sum, mut squares, mut n) = (0.5, 0.25, 0.0);
        for value in values {
            let (before, variance) = (sum / (n + 1.0), squares / (n + 1.0));
            n += 1.0;
            let stake = (2.0 * needed / (variance * n * (1.0_f64 + n).ln())).sqrt().min(0.5);
            bets.staked += stake;
            bets.won += stake * value;
            bets.cost += (value - before) * (value - before) * (-(-stake).ln_1p() - stake);
            sum += value;
            let after = sum / (n + 1.0);
            squares += (value - after) * (value - after);
            bets.mean += (value - bets.mean) / n;
        }
        bets
    }

    pub(super) fn ln_e(&self, mean: f64) -> f64 {
        self.won - self.staked * mean - self.cost
    }

    /// The smallest mean that is not refuted.
    pub(super) fn lower(&self, needed: f64) -> f64 {
        (self.won - self.cost - needed) / self.staked
    }
}
