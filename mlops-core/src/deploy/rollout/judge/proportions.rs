//! A sequential test of two proportions, as error rates.

use serde::{Deserialize, Serialize};

use super::sequential::{bad_first, check_margin, shared_setters};
use super::{Count, Direction, Evidence, Finding, Level, Observations};
use crate::deploy::rollout::GuardVerdict;
use crate::num::StatsError;
use crate::num::special::stirling_remainder;

/// Whether the candidate's proportion of events is beyond the stable version's by more than a margin, valid however often it is
/// looked at, and in finite samples.
///
/// For s events of n trials the mixture of likelihood ratios over Jeffreys' prior,
///
/// > M(p) = B(s + ½, n − s + ½) / (B(½, ½)·pˢ(1 − p)ⁿ⁻ˢ),
///
/// is a martingale when p is the true proportion, so that {p: M(p) < 1/α} covers it at all times with probability 1 − α
/// (Robbins 1970; Howard, Ramdas, McAuliffe, Sekhon, *Time-uniform, nonparametric, nonasymptotic confidence sequences*, Ann.
/// Statist. 49, 2021). For two versions that answer independently the product M(p)·M(q) is one, and its smallest value over all p,
/// q with p − q ≤ margin an e-process against "the change is at most the margin". It needs counts alone, in no order.
///
/// **Fail** when that reaches 1/α, **pass** when the one against p − q ≥ margin does; see [`Level`] for what lies between. Without
/// a trial of both versions there is **no data**. O(1).
///
/// ```
/// use mlops_core::deploy::rollout::GuardVerdict;
/// use mlops_core::deploy::rollout::judge::{Count, Evidence, Observations, Proportions};
///
/// // Failures: at most one per cent more than the stable version.
/// let judge = Proportions::new(0.01);
/// let verdict = |failures, requests| {
///     let (candidate, stable) = (Count::new(failures, requests)?, Count::new(9, 9_000)?);
///     judge.judge(&Observations::Counts { candidate, stable }, Evidence::default()).map(|found| found.verdict)
/// };
/// assert_eq!(verdict(1, 1_000)?, GuardVerdict::Pass);
/// assert_eq!(verdict(60, 1_000)?, GuardVerdict::Fail);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proportions {
    /// Which change is bad: of failures an increase, of right answers a decrease. Default an increase.
    #[serde(default = "increase")]
    pub direction: Direction,
    /// How much of a bad change is still good, in (−1, 1).
    pub margin: f64,
    /// The level.
    #[serde(default)]
    pub level: Level,
}

pub(super) fn increase() -> Direction {
    Direction::Increase
}

shared_setters!(Proportions);

impl Proportions {
    /// An increase of more than `margin` is bad.
    pub fn new(margin: f64) -> Self {
        Self { direction: Direction::Increase, margin, level: Level::default() }
    }

    /// Checks the options.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] names the option; [`StatsError::Unsupported`] for [`Direction::Either`].
    pub fn check(&self) -> Result<(), StatsError> {
        self.level.check()?;
        check_margin(self.margin)?;
        bad_first(self.direction, (), ())?;
        if self.margin.abs() < 1.0 {
            return Ok(());
        }
        let reason = "must lie in (-1, 1)";
        Err(StatsError::Parameter { parameter: "margin", value: self.margin, reason })
    }

    /// Judges one step, with the evidence of the steps before.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`StatsError::OutOfRange`] for values that are neither 0 nor 1.
    pub fn judge(&self, seen: &Observations, earlier: Evidence) -> Result<Finding, StatsError> {
        self.check()?;
        let [candidate, stable] = seen.counts()?;
        let (x, y) = bad_first(self.direction, candidate, stable)?;
        let (Some(p), Some(q)) = (x.rate(), y.rate()) else {
            let reason = "one of the versions was not observed";
            return Ok(Finding::new("proportions.no_data", GuardVerdict::NoData, reason));
        };
        let [beyond, within] = ln_e_of_difference(&x, &y, self.margin);
        let finding = self.level.decide("proportions", Evidence { beyond, within }, earlier, p - q);
        let (low, high) = proportion_interval(&candidate, self.level.alpha)?;
        let rates = [candidate.rate(), stable.rate()].map(|rate| rate.unwrap_or(f64::NAN));
        Ok(finding
            .with("candidate_rate", rates[0])
            .with("candidate_low", low)
            .with("candidate_high", high)
            .with("stable_rate", rates[1])
            .with("candidate_n", candidate.trials() as f64)
            .with("stable_n", stable.trials() as f64)
            .with("margin", self.margin))
    }
}

/// ln M(p): how much better the data are foretold by the mixture than by `p` in [0, 1]; infinite where `p` rules them out.
///
/// Written so that nothing cancels: s·ln(a/((n+1)p)) + f·ln(b/((n+1)(1−p))) − ½ ln(n+1) + ½ ln 2π − ln π and what Stirling's
/// formula leaves, with a = s + ½ and b = f + ½; both quotients are 1 and a little, which is known by itself.
pub(super) fn ln_mixture(count: &Count, p: f64) -> f64 {
    let (s, n) = (count.events() as f64, count.trials() as f64);
    let f = n - s;
    let excess = s + 0.5 - (n + 1.0) * p;
    let term =
        |k: f64, excess: f64, expected: f64| if k == 0.0 { 0.0 } else { k * (excess / expected).ln_1p() };
    let rest = stirling_remainder(s + 0.5) + stirling_remainder(f + 0.5) - stirling_remainder(n + 1.0);
    let constant = 0.5 * std::f64::consts::TAU.ln() - std::f64::consts::PI.ln();
    let fit = term(s, excess, (n + 1.0) * p) + term(f, -excess, (n + 1.0) * (1.0 - p));
    fit - 0.5 * (n + 1.0).ln() + constant + rest
}

/// ln M(`p`), the evidence against a true proportion of `p` in [0, 1]: at least ln(1/α) at any look with probability at most α.
///
/// Agrees with mpmath to 1e-11 relative up to 1e9 trials.
///
/// # Errors
/// [`StatsError::OutOfRange`] for a `p` that is no proportion.
///
/// ```
/// use mlops_core::deploy::rollout::judge::{Count, proportion_evidence};
/// assert!((proportion_evidence(&Count::new(3, 10)?, 0.5)? + 0.5823328142196552).abs() < 1e-12);
/// assert_eq!(proportion_evidence(&Count::new(3, 10)?, 0.0)?, f64::INFINITY);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn proportion_evidence(count: &Count, p: f64) -> Result<f64, StatsError> {
    if (0.0..=1.0).contains(&p) {
        return Ok(ln_mixture(count, p));
    }
    Err(StatsError::OutOfRange { argument: "p", index: 0, value: p, low: 0.0, high: 1.0 })
}

/// The confidence sequence of a proportion: with probability 1 − `alpha` it holds the true one at every look there will ever be.
///
/// # Errors
/// [`StatsError::Parameter`] for an `alpha` outside (0, 0.5].
///
/// ```
/// use mlops_core::deploy::rollout::judge::{Count, proportion_interval};
/// let (low, high) = proportion_interval(&Count::new(5, 100)?, 0.05)?;
/// assert!(low < 0.05 && 0.05 < high && high < 0.2);
/// assert_eq!(proportion_interval(&Count::new(0, 0)?, 0.05)?, (0.0, 1.0));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn proportion_interval(count: &Count, alpha: f64) -> Result<(f64, f64), StatsError> {
    let level = Level { alpha, ..Level::default() };
    level.check()?;
    let Some(rate) = count.rate() else { return Ok((0.0, 1.0)) };
    let outside = |p: f64| ln_mixture(count, p) > level.needed();
    let end = |mut inside: f64, mut beyond: f64| {
        if !outside(beyond) {
            return beyond;
        }
        for _ in 0..1_100 {
            let middle = f64::midpoint(inside, beyond);
            if middle == inside || middle == beyond {
                break;
            }
            if outside(middle) { beyond = middle } else { inside = middle }
        }
        beyond
    };
    Ok((end(rate, 0.0), end(rate, 1.0)))
}

/// ln e against p − q ≤ margin, and against p − q ≥ margin, for the proportions of `x` and `y`; both with a trial.
pub(super) fn ln_e_of_difference(x: &Count, y: &Count, margin: f64) -> [f64; 2] {
    let (p, q) = (x.rate().unwrap_or_default(), y.rate().unwrap_or_default());
    let free = ln_mixture(x, p) + ln_mixture(y, q);
    let bound = smallest_on_line(x, y, margin);
    // The likelihood is log-concave: outside the hypothesis its best is on the edge, inside it is the free one.
    if p - q > margin { [bound, free] } else { [free, bound] }
}

/// The smallest ln M(q + margin) + ln M(q) over q, by bisection of its slope, which rises.
fn smallest_on_line(x: &Count, y: &Count, margin: f64) -> f64 {
    let (mut low, mut high) = ((-margin).max(0.0), (1.0 - margin).min(1.0));
    let slope = |q: f64| slope_of(x, q + margin) + slope_of(y, q);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        // NaN, which is ∞ − ∞ at an end of the line, is never met inside it.
        if slope(middle) < 0.0 { low = middle } else { high = middle }
    }
    let at = |q: f64| ln_mixture(x, (q + margin).clamp(0.0, 1.0)) + ln_mixture(y, q);
    at(low).min(at(high)).min(at(f64::midpoint(low, high)))
}

fn slope_of(count: &Count, p: f64) -> f64 {
    let (s, f) = (count.events() as f64, (count.trials() - count.events()) as f64);
    let falling = if s == 0.0 { 0.0 } else { s / p };
    let rising = if f == 0.0 { 0.0 } else { f / (1.0 - p) };
    rising - falling
}
