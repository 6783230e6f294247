//! A sequential test of two means, for large samples.

use serde::{Deserialize, Serialize};

use super::observations::finite;
use super::proportions::increase;
use super::sequential::{bad_first, check_margin, shared_setters};
use super::{Direction, Evidence, Finding, Level, Observations};
use crate::deploy::rollout::GuardVerdict;
use crate::num::StatsError;
use crate::num::special::ln_normal_sf;
use crate::num::sum::Sum;

/// Whether the candidate's mean is beyond the stable version's by more than a margin: a mixture sequential probability ratio test.
///
/// With the difference of the means δ, its variance V = s²/m + t²/n from the samples' own variances, and a half-normal prior of
/// scale τ = `effect` on how far beyond the margin d the change is,
///
/// > e = 2·√(V/(V + τ²))·exp(τ²(δ − d)²/(2V(V + τ²)))·Φ(τ(δ − d)/√(V(V + τ²)))
///
/// is the mixture of the likelihood ratios against a change of exactly d. With known variances it is an e-process against every
/// change of at most d, however often it is looked at (Robbins 1970; Johari, Koomen, Pekelis, Walsh, *Always valid inference*,
/// Oper. Res. 70, 2022); with variances from the data it is so for large samples, which is what `min_samples` is for: before, it
/// says nothing (**inconclusive**). For values in a known range [`BoundedMeans`](super::BoundedMeans) needs no large samples.
///
/// **Fail** when e reaches 1/α, **pass** when the one for the other side does; see [`Level`]. Values that do not vary at all are
/// **inconclusive**. NaN and infinities are errors. O(m + n).
///
/// ```
/// use mlops_core::deploy::rollout::GuardVerdict;
/// use mlops_core::deploy::rollout::judge::{Evidence, Means, Observations};
///
/// // Latency in ms: 5 ms more are no matter, 10 ms more would be.
/// let judge = Means::new(5.0, 10.0);
/// let ms = |base: f64| (0..200).map(|i| base + f64::from(i * 7 % 20)).collect::<Vec<_>>();
/// let finding = judge.judge(&Observations::values(ms(62.0), ms(50.0)), Evidence::default())?;
/// assert_eq!(finding.verdict, GuardVerdict::Fail);
/// assert_eq!(finding.rule, "means.beyond");
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Means {
    /// Which change is bad: of latencies an increase. Default an increase.
    #[serde(default = "increase")]
    pub direction: Direction,
    /// How much of a bad change is still good, in the metric's unit.
    pub margin: f64,
    /// How far beyond the margin a change is that should be found soonest, in the metric's unit, above 0. Any value is valid.
    pub effect: f64,
    /// How many values each version needs, at least 2. Default 100.
    #[serde(default = "hundred")]
    pub min_samples: u64,
    /// The level.
    #[serde(default)]
    pub level: Level,
}

fn hundred() -> u64 {
    100
}

shared_setters!(Means);

impl Means {
    /// An increase of more than `margin` is bad, one of `effect` more should be found soonest.
    pub fn new(margin: f64, effect: f64) -> Self {
        Self { direction: increase(), margin, effect, min_samples: hundred(), level: Level::default() }
    }

    /// Sets how many values each version needs.
    #[must_use]
    pub fn with_min_samples(mut self, samples: u64) -> Self {
        self.min_samples = samples;
        self
    }

    /// Checks the options.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] names the option; [`StatsError::Unsupported`] for [`Direction::Either`].
    pub fn check(&self) -> Result<(), StatsError> {
        self.level.check()?;
        check_margin(self.margin)?;
        bad_first(self.direction, (), ())?;
        let bad = |parameter, value, reason| Err(StatsError::Parameter { parameter, value, reason });
        if !(self.effect.is_finite() && self.effect > 0.0) {
            return bad("effect", self.effect, "must be finite and above 0");
        }
        if !(2..1 << 53).contains(&self.min_samples) {
            return bad("min_samples", self.min_samples as f64, "must lie in [2, 2^53)");
        }
        Ok(())
    }

    /// Judges one step, with the evidence of the steps before.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`StatsError::Nan`] and [`StatsError::NotFinite`] name the argument and the index; counts
    /// are [`StatsError::Unsupported`]; [`StatsError::Overflow`] where a variance is no finite number.
    pub fn judge(&self, seen: &Observations, earlier: Evidence) -> Result<Finding, StatsError> {
        self.check()?;
        let [candidate, stable] = seen.both("a test of means")?;
        let (candidate, stable) = (Moments::of("candidate", candidate)?, Moments::of("stable", stable)?);
        let fewest = candidate.n.min(stable.n);
        if fewest == 0.0 {
            let reason = "one of the versions was not observed";
            return Ok(Finding::new("means.no_data", GuardVerdict::NoData, reason));
        }
        if fewest < self.min_samples as f64 {
            let reason = format!("{fewest} values of one version, {} are needed", self.min_samples);
            return Ok(Finding::new("means.too_few", GuardVerdict::Inconclusive, reason));
        }
        let (x, y) = bad_first(self.direction, candidate, stable)?;
        let variance = x.variance / x.n + y.variance / y.n;
        if !variance.is_finite() {
            return Err(StatsError::Overflow { what: "the variance" });
        }
        if variance <= 0.0 {
            let reason = "the values do not vary";
            return Ok(Finding::new("means.constant", GuardVerdict::Inconclusive, reason));
        }
        let change = x.mean - y.mean;
        let beyond = ln_half_normal_mixture(change - self.margin, variance, self.effect);
        let within = ln_half_normal_mixture(self.margin - change, variance, self.effect);
        let finding = self.level.decide("means", Evidence { beyond, within }, earlier, change);
        Ok(finding
            .with("candidate_mean", candidate.mean)
            .with("stable_mean", stable.mean)
            .with("standard_error", variance.sqrt())
            .with("candidate_n", candidate.n)
            .with("stable_n", stable.n)
            .with("margin", self.margin))
    }
}

/// ln of the mixture of the likelihood ratios of N(`excess`; θ, `variance`) and N(`excess`; 0, `variance`) over a half-normal θ > 0
/// of scale `scale`.
pub(super) fn ln_half_normal_mixture(excess: f64, variance: f64, scale: f64) -> f64 {
    let (v, prior) = (variance, scale * scale);
    let total = v + prior;
    let z = scale * excess / (v * total).sqrt();
    // Φ(z) = P(Z ≥ −z); z² / 2 is the exponent.
    std::f64::consts::LN_2 + 0.5 * (v / total).ln() + 0.5 * z * z + ln_normal_sf(-z)
}

#[derive(Clone, Copy)]
struct Moments {
    n: f64,
    mean: f64,
    variance: f64,
}

impl Moments {
    /// Mean and unbiased variance, in two passes.
    fn of(argument: &'static str, values: &[f64]) -> Result<Self, StatsError> {
        finite(argument, values)?;
        let n = values.len() as f64;
        if values.is_empty() {
            return Ok(Self { n, mean: 0.0, variance: 0.0 });
        }
        let total = |each: &dyn Fn(f64) -> f64| {
            let mut sum = Sum::new();
            values.iter().for_each(|value| sum.push(each(*value)));
            sum.value()
        };
        let mean = total(&|value| value) / n;
        let variance = total(&|value| (value - mean) * (value - mean)) / (n - 1.0).max(1.0);
        Ok(Self { n, mean, variance })
    }
}
