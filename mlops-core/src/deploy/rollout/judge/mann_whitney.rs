//! A shift of the candidate beyond a margin, by ranks.

use serde::{Deserialize, Serialize};

use super::rank_shift::{Sorted, check_confidence};
use super::{Direction, Finding, Observations};
use crate::deploy::rollout::GuardVerdict;
use crate::num::StatsError;
use crate::num::quantile::quantile;
use crate::num::special::normal_quantile;

/// A Mann–Whitney test against a margin that belongs to the metric: a share of the stable version's median.
///
/// With z(μ) of [`rank_shift`](super::rank_shift()), margin d = `margin`·|median of the stable version| and the normal quantile
/// z* of the confidence (both sides together): **fail** when z(d) > z* and more is bad, or z(−d) < −z* and less is bad;
/// **pass** when the opposite is shown instead: z(d) < −z*, z(−d) > z* for each side that is bad; **inconclusive** between, or
/// **pass** there too with [`pass_unless_shown`](Self::pass_unless_shown).
///
/// Kayenta's tolerance is a share of the estimated shift itself, so that any shift is significant once there is enough data; a
/// margin of the metric is not. The test is for one look: for a guard that is asked again and again use a sequential judge.
/// NaN is an error. O((m + n)·log(m + n)).
///
/// ```
/// use mlops_core::deploy::rollout::GuardVerdict;
/// use mlops_core::deploy::rollout::judge::{Direction, MannWhitney, Observations};
///
/// let stable: Vec<f64> = (0..100).map(|i| 100.0 + f64::from(i % 10)).collect();
/// let slower: Vec<f64> = stable.iter().map(|ms| ms + 3.0).collect();
/// let seen = Observations::values(slower, stable);
/// // Significant, but within a tenth of the median.
/// assert_eq!(MannWhitney::new(Direction::Increase, 0.1).judge(&seen)?.verdict, GuardVerdict::Pass);
/// assert_eq!(MannWhitney::new(Direction::Increase, 0.01).judge(&seen)?.verdict, GuardVerdict::Fail);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MannWhitney {
    /// Which change is bad.
    pub direction: Direction,
    /// How much of a bad change is still good, as a share of the stable version's median; finite, at least 0.
    pub margin: f64,
    /// The confidence, in (0, 1). Default 0.98.
    #[serde(default = "default_confidence")]
    pub confidence: f64,
    /// Whether what is not shown to be bad passes. Default no: it must be shown to be good.
    #[serde(default)]
    pub pass_unless_shown: bool,
}

fn default_confidence() -> f64 {
    0.98
}

impl MannWhitney {
    /// A test against a margin at confidence 0.98.
    pub fn new(direction: Direction, margin: f64) -> Self {
        Self { direction, margin, confidence: default_confidence(), pass_unless_shown: false }
    }

    /// Sets the confidence.
    #[must_use]
    pub fn with_confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// Lets pass what is not shown to be bad.
    #[must_use]
    pub fn with_pass_unless_shown(mut self) -> Self {
        self.pass_unless_shown = true;
        self
    }

    /// Checks the options.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] names the option.
    pub fn check(&self) -> Result<(), StatsError> {
        check_confidence(self.confidence)?;
        if self.margin.is_finite() && self.margin >= 0.0 {
            return Ok(());
        }
        let reason = "must be finite and at least 0";
        Err(StatsError::Parameter { parameter: "margin", value: self.margin, reason })
    }

    /// Judges.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`StatsError::Nan`] and [`StatsError::NotFinite`] name the argument and the index; counts
    /// are [`StatsError::Unsupported`].
    pub fn judge(&self, seen: &Observations) -> Result<Finding, StatsError> {
        self.check()?;
        let [candidate, stable] = seen.both("a Mann–Whitney test")?;
        if candidate.is_empty() || stable.is_empty() {
            let reason = "one of the versions was not observed";
            return Ok(Finding::new("mann_whitney.no_data", GuardVerdict::NoData, reason));
        }
        let sorted = Sorted::new(("candidate", candidate), ("stable", stable))?;
        let median = quantile(stable, 0.5)?;
        let margin = self.margin * median.abs();
        let level = normal_quantile(self.confidence);
        let (above, below) = (sorted.z(margin), sorted.z(-margin));
        let bad_above = self.direction != Direction::Decrease;
        let bad_below = self.direction != Direction::Increase;
        let shift = sorted.shift(self.confidence);
        let shown = |rule: &str, verdict, words: &str| {
            let reason = format!("the shift is {:.6}, {words} the margin {margin:.6}", shift.estimate);
            Finding::new(rule, verdict, reason)
        };
        let finding = if bad_above && above > level {
            shown("mann_whitney.above", GuardVerdict::Fail, "above")
        } else if bad_below && below < -level {
            shown("mann_whitney.below", GuardVerdict::Fail, "below")
        } else if (!bad_above || above < -level) && (!bad_below || below > level) {
            shown("mann_whitney.within", GuardVerdict::Pass, "within")
        } else if self.pass_unless_shown {
            shown("mann_whitney.not_shown", GuardVerdict::Pass, "not shown to be beyond")
        } else {
            shown("mann_whitney.open", GuardVerdict::Inconclusive, "neither shown to be within nor beyond")
        };
        Ok(finding
            .with("margin", margin)
            .with("z_at_margin", above)
            .with("z_at_minus_margin", below)
            .with("z_critical", level)
            .with("shift", shift.estimate)
            .with("low", shift.low)
            .with("high", shift.high)
            .with("stable_median", median)
            .with("candidate_n", candidate.len() as f64)
            .with("stable_n", stable.len() as f64))
    }
}
