//! A limit on one number.

use serde::{Deserialize, Serialize};

use super::observations::finite;
use super::{Finding, Observations};
use crate::deploy::rollout::GuardVerdict;
use crate::num::quantile::quantile;
use crate::num::sum::mean;
use crate::num::{Measured, StatsError, UndefinedReason};

/// The number that values are made into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// The arithmetic mean; of counts the share of events.
    #[default]
    Mean,
    /// The quantile at this share in [0, 1], linear between the two order statistics beside it.
    Quantile(f64),
}

/// Which side of the limit is good. The limit itself is good on both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparator {
    /// At most the limit.
    #[default]
    AtMost,
    /// At least the limit.
    AtLeast,
}

/// What the limit is held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// The candidate's number.
    #[default]
    Candidate,
    /// The candidate's number less the stable version's.
    Difference,
    /// The candidate's number divided by the stable version's.
    Ratio,
}

/// Holds one number against a limit: **pass** on the good side, **fail** on the other; **inconclusive** where the number is
/// undefined, as a ratio to 0.
///
/// A point estimate, looked at as often as the guard is asked, without correction for repeated looks. O(n), for quantiles
/// O(n log n).
///
/// ```
/// use mlops_core::deploy::rollout::GuardVerdict;
/// use mlops_core::deploy::rollout::judge::{Against, Observations, Threshold};
///
/// let slower = Threshold::at_most(1.2).with_against(Against::Ratio);
/// let seen = Observations::values(vec![11.0, 14.0], vec![10.0, 10.0]);
/// let finding = slower.judge(&seen)?;
/// assert_eq!((finding.verdict, finding.numbers["measured"]), (GuardVerdict::Fail, 1.25));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// The limit, in the metric's unit; finite.
    pub limit: f64,
    /// Which side is good. Default at most.
    #[serde(default)]
    pub comparator: Comparator,
    /// The number that values are made into. Default the mean.
    #[serde(default)]
    pub statistic: Statistic,
    /// What is held against the limit. Default the candidate's number alone.
    #[serde(default)]
    pub against: Against,
}

impl Threshold {
    /// The candidate's mean may be at most `limit`.
    pub fn at_most(limit: f64) -> Self {
        let (statistic, against) = (Statistic::default(), Against::default());
        Self { limit, comparator: Comparator::AtMost, statistic, against }
    }

    /// The candidate's mean must be at least `limit`.
    pub fn at_least(limit: f64) -> Self {
        Self { comparator: Comparator::AtLeast, ..Self::at_most(limit) }
    }

    /// Sets the number that values are made into.
    #[must_use]
    pub fn with_statistic(mut self, statistic: Statistic) -> Self {
        self.statistic = statistic;
        self
    }

    /// Sets what is held against the limit.
    #[must_use]
    pub fn with_against(mut self, against: Against) -> Self {
        self.against = against;
        self
    }

    /// Whether the stable version is looked at too.
    pub fn compares(&self) -> bool {
        self.against != Against::Candidate
    }

    /// Checks the options.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a limit that is not finite, or a quantile outside [0, 1].
    pub fn check(&self) -> Result<(), StatsError> {
        let bad = |parameter, value, reason| Err(StatsError::Parameter { parameter, value, reason });
        if !self.limit.is_finite() {
            return bad("limit", self.limit, "must be finite");
        }
        match self.statistic {
            Statistic::Quantile(p) if !(0.0..=1.0).contains(&p) => bad("quantile", p, "must lie in [0, 1]"),
            _ => Ok(()),
        }
    }

    /// Judges.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`StatsError::Nan`] and [`StatsError::NotFinite`] name the argument and the index; a
    /// quantile of counts is [`StatsError::Unsupported`].
    pub fn judge(&self, seen: &Observations) -> Result<Finding, StatsError> {
        self.check()?;
        let [candidate, stable] = self.numbers(seen)?;
        let Some(candidate) = candidate else { return Ok(no_data("the candidate")) };
        let measured = match (self.against, stable) {
            (Against::Candidate, _) => Measured::Value(candidate),
            (_, None) => return Ok(no_data("the stable version")),
            (Against::Difference, Some(stable)) => Measured::Value(candidate - stable),
            (Against::Ratio, Some(stable)) => Measured::finite_ratio(candidate, stable),
        };
        let finding = self.decide(measured);
        Ok(finding.with("candidate", candidate).with("stable", stable.unwrap_or(f64::NAN)))
    }

    fn decide(&self, measured: Measured) -> Finding {
        let Some(value) = measured.value().filter(|value| value.is_finite()) else {
            let reason = measured.undefined().map_or(UndefinedReason::Overflow, |none| none.reason);
            let reason = format!("the number is undefined: {reason}");
            return Finding::new("threshold.undefined", GuardVerdict::Inconclusive, reason);
        };
        let (good, words) = match self.comparator {
            Comparator::AtMost => (value <= self.limit, "at most"),
            Comparator::AtLeast => (value >= self.limit, "at least"),
        };
        let verdict = if good { GuardVerdict::Pass } else { GuardVerdict::Fail };
        let reason = format!("{value:.6} where {words} {} is good", self.limit);
        Finding::new("threshold.limit", verdict, reason).with("measured", value).with("limit", self.limit)
    }

    fn numbers(&self, seen: &Observations) -> Result<[Option<f64>; 2], StatsError> {
        match (seen, self.statistic) {
            (Observations::Counts { candidate, stable }, Statistic::Mean) => {
                Ok([candidate.rate(), stable.rate()])
            }
            _ => {
                let [candidate, stable] = seen.both("a quantile of counts")?;
                let stable: &[f64] = if self.compares() { stable } else { &[] };
                Ok([self.number("candidate", candidate)?, self.number("stable", stable)?])
            }
        }
    }

    fn number(&self, argument: &'static str, values: &[f64]) -> Result<Option<f64>, StatsError> {
        finite(argument, values)?;
        match self.statistic {
            _ if values.is_empty() => Ok(None),
            Statistic::Mean => mean(values).map(Some),
            Statistic::Quantile(p) => quantile(values, p).map(Some),
        }
    }
}

fn no_data(who: &str) -> Finding {
    Finding::new("threshold.no_data", GuardVerdict::NoData, format!("{who} was not observed"))
}
