//! Guards: whether the candidate does well enough to get more traffic, or so badly that it must lose what it has.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::GuardFinding;
use super::judge::Finding;
use crate::deploy::OperationStats;
use crate::error::{Error, Result};
use crate::evaluation::Estimate;
use crate::id::{MetricKey, Percent};
use crate::time::duration_text;

/// What a guard says. That there is no data is its own answer: a candidate nobody asks is another trouble than one that is
/// asked too rarely to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardVerdict {
    /// Good enough, and there is enough data to say so.
    Pass,
    /// Bad: roll back.
    Fail,
    /// Not enough data to say either.
    Inconclusive,
    /// No data at all.
    NoData,
}

impl GuardVerdict {
    /// The verdict over several: one failure fails, else one without data is no data, else one inconclusive is inconclusive;
    /// none at all is inconclusive.
    ///
    /// ```
    /// use mlops_core::deploy::rollout::GuardVerdict::{self, *};
    /// assert_eq!(GuardVerdict::all([Pass, NoData, Inconclusive]), NoData);
    /// assert_eq!(GuardVerdict::all([NoData, Fail]), Fail);
    /// assert_eq!(GuardVerdict::all([]), Inconclusive);
    /// ```
    pub fn all(verdicts: impl IntoIterator<Item = Self>) -> Self {
        let rank = |verdict: &Self| match verdict {
            Self::Pass => 0,
            Self::Inconclusive => 1,
            Self::NoData => 2,
            Self::Fail => 3,
        };
        verdicts.into_iter().max_by_key(rank).unwrap_or(Self::Inconclusive)
    }
}

impl fmt::Display for GuardVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::NoData => "no data",
        })
    }
}

/// A verdict and why.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict.
    pub verdict: GuardVerdict,
    /// Why, as a sentence with the numbers in it.
    pub reason: String,
}

impl Judgement {
    /// A verdict for a reason.
    ///
    /// ```
    /// use mlops_core::deploy::rollout::{GuardVerdict, Judgement};
    /// let judgement = Judgement::new(GuardVerdict::Pass, "0 of 100 requests failed");
    /// assert_eq!(judgement.to_string(), "pass: 0 of 100 requests failed");
    /// ```
    pub fn new(verdict: GuardVerdict, reason: impl Into<String>) -> Self {
        Self { verdict, reason: reason.into() }
    }

    /// One judgement out of several, each with the name of its guard: the verdict of [`GuardVerdict::all`], and the reasons
    /// of the guards that gave it.
    ///
    /// ```
    /// use mlops_core::deploy::rollout::{GuardVerdict, Judgement};
    /// let pass = ("operation", Judgement::new(GuardVerdict::Pass, "no failures"));
    /// let fail = ("performance", Judgement::new(GuardVerdict::Fail, "accuracy fell"));
    /// assert_eq!(Judgement::all([pass, fail]).to_string(), "fail: performance: accuracy fell");
    /// ```
    pub fn all<'a>(judgements: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        let judgements: Vec<_> = judgements.into_iter().collect();
        let verdict = GuardVerdict::all(judgements.iter().map(|(_, j)| j.verdict));
        let decisive = judgements.iter().filter(|(_, j)| j.verdict == verdict);
        let reasons: Vec<_> = decisive.map(|(name, j)| format!("{name}: {}", j.reason)).collect();
        Self::new(verdict, if reasons.is_empty() { "nothing was judged".into() } else { reasons.join("; ") })
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.verdict, self.reason)
    }
}

/// How candidate and stable version do on rows whose truth is known; numbers come from whoever joins the labels.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelledPerformance {
    /// The metric.
    pub metric: MetricKey,
    /// What the candidate scored.
    pub candidate: Estimate,
    /// What the stable version scored.
    pub stable: Estimate,
}

impl LabelledPerformance {
    /// What both versions scored by this metric.
    pub fn new(metric: MetricKey, candidate: Estimate, stable: Estimate) -> Self {
        Self { metric, candidate, stable }
    }
}

/// What a guard looks at: what happened since the step began, not since the deployments were made.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuardEvidence {
    /// The candidate's share of the traffic.
    pub share: Percent,
    /// How long the step has lasted.
    #[serde(with = "duration_text")]
    pub elapsed: Duration,
    /// The candidate's operation in this step; `None` where the deployer does not tell.
    pub candidate: Option<OperationStats>,
    /// The stable version's operation in this step; `None` where there is none, or the deployer does not tell.
    pub stable: Option<OperationStats>,
    /// Performance on labelled rows, where somebody reported it for this step.
    pub performance: Option<LabelledPerformance>,
    /// What the plan's guards on metrics and its scores found; other guards do not see it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<GuardFinding>,
}

impl GuardEvidence {
    /// Evidence of operation alone.
    pub fn new(share: Percent, candidate: Option<OperationStats>, stable: Option<OperationStats>) -> Self {
        let (elapsed, performance, findings) = (Duration::ZERO, None, Vec::new());
        Self { share, elapsed, candidate, stable, performance, findings }
    }

    /// Adds what a guard on a metric found.
    #[must_use]
    pub fn with_finding(mut self, guard: impl Into<String>, finding: Finding) -> Self {
        self.findings.push(GuardFinding { guard: guard.into(), finding });
        self
    }

    /// Adds performance on labelled rows.
    #[must_use]
    pub fn with_performance(mut self, performance: LabelledPerformance) -> Self {
        self.performance = Some(performance);
        self
    }
}

/// Judges a candidate. Pure: the same evidence gives the same judgement.
///
/// # Contract
/// * No data, or too little, is never [`GuardVerdict::Pass`].
/// * A number that is NaN, infinite or undefined is never [`GuardVerdict::Pass`].
pub trait Guard: Debug + Send + Sync + 'static {
    /// Its name in reports, and in [`RolloutOptions::guards`](super::RolloutOptions::guards).
    fn name(&self) -> &str;

    /// Looks at the evidence of one step.
    fn judge(&self, evidence: &GuardEvidence) -> Judgement;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        impl<T: Guard + ?Sized> Guard for $pointer<T> {
            fn name(&self) -> &str {
                (**self).name()
            }

            fn judge(&self, evidence: &GuardEvidence) -> Judgement {
                (**self).judge(evidence)
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn Guard) {}

/// A guard made of a function.
///
/// ```
/// use mlops_core::Percent;
/// use mlops_core::deploy::rollout::{FnGuard, Guard, GuardEvidence, GuardVerdict, Judgement};
///
/// let office_hours = FnGuard::new("office-hours", |_: &GuardEvidence| {
///     Judgement::new(GuardVerdict::Pass, "somebody is there")
/// });
/// let evidence = GuardEvidence::new(Percent::ALL, None, None);
/// assert_eq!(office_hours.judge(&evidence).verdict, GuardVerdict::Pass);
/// ```
pub struct FnGuard<F> {
    name: String,
    judge: F,
}

impl<F: Fn(&GuardEvidence) -> Judgement + Send + Sync + 'static> FnGuard<F> {
    /// A guard that asks `judge`.
    pub fn new(name: impl Into<String>, judge: F) -> Self {
        Self { name: name.into(), judge }
    }
}

impl<F> Debug for FnGuard<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnGuard").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<F: Fn(&GuardEvidence) -> Judgement + Send + Sync + 'static> Guard for FnGuard<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn judge(&self, evidence: &GuardEvidence) -> Judgement {
        (self.judge)(evidence)
    }
}

/// Limits on how a candidate operates: part of every plan.
///
/// With `n` requests that were not bad and `f` failures among them in this step:
/// * **fail early** when `f > max_failure_rate · max(n, min_requests)`: even if every request up to `min_requests` were to
///   succeed, the limit would be broken;
/// * **no data** when `n` is 0 or not known, **inconclusive** when `n < min_requests`;
/// * **fail** when `f / n > max_failure_rate`, when the mean latency of answers is over `max_mean_latency`, and, as long as the
///   stable version has traffic, when the failure rate is more than `max_failure_increase` above the stable version's or the
///   mean latency more than `max_latency_ratio` times the stable version's; where the stable version had fewer than
///   `min_requests` requests these comparisons are inconclusive.
///
/// Limits themselves pass: exactly at the limit is good. The limits are looked at again and again while a step bakes, without
/// correction for the repeated looks: a candidate exactly as good as a tight limit will be rolled back by chance.
/// Means are of this step; the longest answer is known only since the deployment was made and is not judged.
///
/// ```
/// use mlops_core::Percent;
/// use mlops_core::deploy::OperationStats;
/// use mlops_core::deploy::rollout::{Guard, GuardEvidence, GuardVerdict, OperationGuard};
///
/// let guard = OperationGuard::default().with_min_requests(100).with_max_failure_rate(0.05);
/// let mut stats = OperationStats::default();
/// let mut judge = |requests, failures| {
///     (stats.requests, stats.failures) = (requests, failures);
///     guard.judge(&GuardEvidence::new(Percent::ALL, Some(stats), None)).verdict
/// };
/// assert_eq!(judge(0, 0), GuardVerdict::NoData);
/// assert_eq!(judge(50, 0), GuardVerdict::Inconclusive);
/// assert_eq!(judge(100, 5), GuardVerdict::Pass);
/// // Six of at least a hundred are too many already.
/// assert_eq!(judge(10, 6), GuardVerdict::Fail);
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OperationGuard {
    /// Requests a step needs before it is judged, bad ones not counted. Default 100.
    pub min_requests: u64,
    /// The highest share of failures, in [0, 1]. Default 0.01.
    pub max_failure_rate: f64,
    /// By how much the failure rate may be above the stable version's, in [0, 1]. Default: not compared.
    pub max_failure_increase: Option<f64>,
    /// The longest mean latency. Default: no limit.
    #[serde(with = "duration_text::option")]
    pub max_mean_latency: Option<Duration>,
    /// How many times the stable version's mean latency the candidate's may be, above 0. Default: not compared.
    pub max_latency_ratio: Option<f64>,
}

impl Default for OperationGuard {
    fn default() -> Self {
        Self {
            min_requests: 100,
            max_failure_rate: 0.01,
            max_failure_increase: None,
            max_mean_latency: None,
            max_latency_ratio: None,
        }
    }
}

impl OperationGuard {
    /// Sets how many requests a step needs.
    #[must_use]
    pub fn with_min_requests(mut self, requests: u64) -> Self {
        self.min_requests = requests;
        self
    }

    /// Sets the highest share of failures.
    #[must_use]
    pub fn with_max_failure_rate(mut self, rate: f64) -> Self {
        self.max_failure_rate = rate;
        self
    }

    /// Sets by how much the failure rate may be above the stable version's.
    #[must_use]
    pub fn with_max_failure_increase(mut self, increase: f64) -> Self {
        self.max_failure_increase = Some(increase);
        self
    }

    /// Sets the longest mean latency.
    #[must_use]
    pub fn with_max_mean_latency(mut self, limit: Duration) -> Self {
        self.max_mean_latency = Some(limit);
        self
    }

    /// Sets how many times the stable version's mean latency the candidate's may be.
    #[must_use]
    pub fn with_max_latency_ratio(mut self, ratio: f64) -> Self {
        self.max_latency_ratio = Some(ratio);
        self
    }

    /// Checks the limits.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the limit that is NaN or out of its range.
    ///
    /// ```
    /// use mlops_core::deploy::rollout::OperationGuard;
    /// assert!(OperationGuard::default().check().is_ok());
    /// assert!(OperationGuard::default().with_max_failure_rate(f64::NAN).check().is_err());
    /// assert!(OperationGuard::default().with_min_requests(0).check().is_err());
    /// ```
    pub fn check(&self) -> Result<()> {
        let bad = |field, message: String| Err(Error::invalid("OperationGuard::check", field, message));
        // The digest of a plan is over JSON, whose integers end here.
        if !(1..1 << 53).contains(&self.min_requests) {
            return bad("min_requests", format!("must lie in [1, 2^53), got {}", self.min_requests));
        }
        let rates = [
            ("max_failure_rate", Some(self.max_failure_rate)),
            ("max_failure_increase", self.max_failure_increase),
        ];
        for (field, rate) in rates {
            if let Some(rate) = rate.filter(|rate| !(0.0..=1.0).contains(rate)) {
                return bad(field, format!("must lie in [0, 1], got {rate}"));
            }
        }
        match self.max_latency_ratio.filter(|ratio| !(ratio.is_finite() && *ratio > 0.0)) {
            Some(ratio) => bad("max_latency_ratio", format!("must be finite and above 0, got {ratio}")),
            None => Ok(()),
        }
    }

    /// What the candidate does by itself; `Err` holds the judgement that ends the matter.
    fn judge_alone(&self, candidate: &Operation) -> Result<(), Judgement> {
        let Operation { judged, failures, .. } = *candidate;
        let room = judged.max(self.min_requests) as f64 * self.max_failure_rate;
        let counts = format!("{failures} of {judged} requests failed");
        if failures as f64 > room {
            let reason = format!("{counts}, at most {} are allowed", self.max_failure_rate);
            return Err(Judgement::new(GuardVerdict::Fail, reason));
        }
        if judged == 0 {
            return Err(Judgement::new(GuardVerdict::NoData, "the candidate had no requests in this step"));
        }
        if judged < self.min_requests {
            let reason = format!("{counts}, {} requests are needed to judge", self.min_requests);
            return Err(Judgement::new(GuardVerdict::Inconclusive, reason));
        }
        match (self.max_mean_latency, candidate.mean_latency) {
            (Some(limit), Some(mean)) if mean > limit.as_secs_f64() => {
                let reason = format!("the mean latency is {mean} s, at most {limit:?} are allowed");
                Err(Judgement::new(GuardVerdict::Fail, reason))
            }
            (Some(_), None) => {
                Err(Judgement::new(GuardVerdict::Inconclusive, "no request was answered: no latency"))
            }
            _ => Ok(()),
        }
    }

    /// What the candidate does beside the stable version.
    fn compare(&self, candidate: &Operation, stable: Option<&Operation>) -> Result<(), Judgement> {
        let Some(stable) = stable.filter(|stable| stable.judged >= self.min_requests) else {
            let got = stable.map_or(0, |stable| stable.judged);
            let reason = format!("the stable version had {got} requests, {} are needed", self.min_requests);
            return Err(Judgement::new(GuardVerdict::Inconclusive, reason));
        };
        let (rate, base) = (candidate.failure_rate(), stable.failure_rate());
        if let Some(increase) = self.max_failure_increase.filter(|increase| rate - base > *increase) {
            let reason = format!(
                "{rate} of the requests failed, {base} at the stable version: more than {increase} above"
            );
            return Err(Judgement::new(GuardVerdict::Fail, reason));
        }
        let Some(ratio) = self.max_latency_ratio else {
            return Ok(());
        };
        match (candidate.mean_latency, stable.mean_latency) {
            (Some(mean), Some(base)) if mean <= ratio * base => Ok(()),
            (Some(mean), Some(base)) => {
                let reason = format!(
                    "the mean latency is {mean} s, {base} s at the stable version: over {ratio} times"
                );
                Err(Judgement::new(GuardVerdict::Fail, reason))
            }
            _ => Err(Judgement::new(GuardVerdict::Inconclusive, "no latency of both versions to compare")),
        }
    }
}

impl Guard for OperationGuard {
    fn name(&self) -> &str {
        "operation"
    }

    fn judge(&self, evidence: &GuardEvidence) -> Judgement {
        let Some(candidate) = evidence.candidate.as_ref().map(Operation::of) else {
            return Judgement::new(GuardVerdict::NoData, "the deployer does not tell how the candidate does");
        };
        if let Err(judgement) = self.judge_alone(&candidate) {
            return judgement;
        }
        let comparing = self.max_failure_increase.is_some() || self.max_latency_ratio.is_some();
        if comparing && evidence.share != Percent::ALL {
            let stable = evidence.stable.as_ref().map(Operation::of);
            if let Err(judgement) = self.compare(&candidate, stable.as_ref()) {
                return judgement;
            }
        }
        let mut reason = format!("{} of {} requests failed", candidate.failures, candidate.judged);
        if comparing && evidence.share == Percent::ALL {
            reason.push_str("; the stable version has no traffic to compare with");
        }
        Judgement::new(GuardVerdict::Pass, reason)
    }
}

/// The numbers of a step that are judged.
struct Operation {
    judged: u64,
    failures: u64,
    /// In seconds, over the requests that were answered.
    mean_latency: Option<f64>,
}

impl Operation {
    fn of(stats: &OperationStats) -> Self {
        let judged = stats.requests.saturating_sub(stats.bad_requests);
        let answered = judged.saturating_sub(stats.failures);
        let mean_latency = (answered > 0).then(|| stats.total_latency.as_secs_f64() / answered as f64);
        Self { judged, failures: stats.failures, mean_latency }
    }

    /// Only asked when at least one request was judged.
    fn failure_rate(&self) -> f64 {
        self.failures as f64 / self.judged as f64
    }
}

/// Holds the candidate's score on labelled rows against the stable version's.
///
/// **Fail** when the candidate's gain over the stable version is below `-margin`; **no data** when nobody reported a score or no
/// row is labelled; **inconclusive** when either rests on fewer than `min_rows` rows, is undefined, or the two disagree on which
/// way is better. It compares point estimates: choose a margin wider than the noise at `min_rows` rows.
///
/// ```
/// use mlops_core::deploy::rollout::{Guard, GuardEvidence, GuardVerdict, LabelledPerformance, PerformanceGuard};
/// use mlops_core::evaluation::Estimate;
/// use mlops_core::num::Measured;
/// use mlops_core::problem::Direction;
/// use mlops_core::{MetricKey, Percent};
///
/// let guard = PerformanceGuard::default().with_margin(0.02);
/// let accuracy = |value| Estimate::new(Measured::Value(value), Direction::HigherIsBetter, 500);
/// let performance = LabelledPerformance::new(MetricKey::new("accuracy")?, accuracy(0.71), accuracy(0.75));
/// let evidence = GuardEvidence::new(Percent::ALL, None, None).with_performance(performance);
/// assert_eq!(guard.judge(&evidence).verdict, GuardVerdict::Fail);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PerformanceGuard {
    /// How much worse than the stable version is still good, in the metric's own unit; negative demands a gain. Default 0.
    pub margin: f64,
    /// How many labelled rows each version needs. Default 100.
    pub min_rows: u64,
}

impl Default for PerformanceGuard {
    fn default() -> Self {
        Self { margin: 0.0, min_rows: 100 }
    }
}

impl PerformanceGuard {
    /// Sets how much worse is still good.
    #[must_use]
    pub fn with_margin(mut self, margin: f64) -> Self {
        self.margin = margin;
        self
    }

    /// Sets how many labelled rows each version needs.
    #[must_use]
    pub fn with_min_rows(mut self, rows: u64) -> Self {
        self.min_rows = rows;
        self
    }
}

impl Guard for PerformanceGuard {
    fn name(&self) -> &str {
        "performance"
    }

    fn judge(&self, evidence: &GuardEvidence) -> Judgement {
        let Some(LabelledPerformance { metric, candidate, stable }) = &evidence.performance else {
            return Judgement::new(GuardVerdict::NoData, "nobody reported a score in this step");
        };
        let rows = candidate.rows.min(stable.rows);
        if rows == 0 {
            return Judgement::new(GuardVerdict::NoData, "no row is labelled");
        }
        let thin = |reason: String| Judgement::new(GuardVerdict::Inconclusive, reason);
        if rows < self.min_rows {
            return thin(format!("{rows} labelled rows, {} are needed to judge", self.min_rows));
        }
        if candidate.direction != stable.direction {
            return thin(format!("the two scores of {metric} disagree on which way is better"));
        }
        let (Some(new), Some(old)) = (candidate.value.value(), stable.value.value()) else {
            return thin(format!("{metric} is undefined"));
        };
        let gain = candidate.direction.gain(new, old);
        // A margin or a score that is NaN must not pass, so what passes is asked for.
        let verdict = match gain >= -self.margin {
            true => GuardVerdict::Pass,
            false if gain.is_nan() || self.margin.is_nan() => GuardVerdict::Inconclusive,
            false => GuardVerdict::Fail,
        };
        let reason =
            format!("{metric} is {new:.4}, {old:.4} at the stable version; {} worse is allowed", self.margin);
        Judgement::new(verdict, reason)
    }
}

/// What happened between two readings of a deployment's counters. Counters that went back were reset in between, as by a
/// restart: then everything they show now happened since. The longest answer is of all time, as the counters have it.
pub(super) fn since(earlier: &OperationStats, now: &OperationStats) -> OperationStats {
    let reset = now.requests < earlier.requests
        || now.failures < earlier.failures
        || now.bad_requests < earlier.bad_requests
        || now.total_latency < earlier.total_latency;
    if reset {
        return *now;
    }
    let mut delta = *now;
    delta.requests -= earlier.requests;
    delta.failures -= earlier.failures;
    delta.bad_requests -= earlier.bad_requests;
    delta.total_latency -= earlier.total_latency;
    delta
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::{Measured, UndefinedReason};
    use crate::problem::Direction;

    fn stats(requests: u64, failures: u64, bad: u64, latency_ms: u64) -> OperationStats {
        let mut stats = OperationStats::default();
        (stats.requests, stats.failures, stats.bad_requests) = (requests, failures, bad);
        stats.total_latency = Duration::from_millis(latency_ms);
        stats
    }

    fn at(share: u8, candidate: OperationStats, stable: Option<OperationStats>) -> GuardEvidence {
        GuardEvidence::new(Percent::new(share).unwrap(), Some(candidate), stable)
    }

    #[test]
    fn operation_is_judged_in_four_ways() {
        use GuardVerdict::{Fail, Inconclusive, NoData, Pass};
        let plain = OperationGuard::default().with_min_requests(10).with_max_failure_rate(0.1);
        let slow = plain.clone().with_max_mean_latency(Duration::from_millis(10));
        let failing_more = plain.clone().with_max_failure_increase(0.02);
        let slower = plain.clone().with_max_latency_ratio(2.0);
        let none = None;
        let good = Some(stats(100, 1, 0, 990));
        for (name, guard, evidence, expected) in [
            ("nobody asked", &plain, at(10, stats(0, 0, 0, 0), none), NoData),
            ("only bad requests", &plain, at(10, stats(50, 0, 50, 0), none), NoData),
            ("too few", &plain, at(10, stats(9, 0, 0, 0), none), Inconclusive),
            ("too few, but failing", &plain, at(10, stats(2, 2, 0, 0), none), Fail),
            ("one of ten", &plain, at(10, stats(10, 1, 0, 0), none), Pass),
            ("two of ten", &plain, at(10, stats(10, 2, 0, 0), none), Fail),
            ("bad requests are nobody's fault", &plain, at(10, stats(30, 1, 20, 0), none), Pass),
            ("mean latency at the limit", &slow, at(10, stats(10, 0, 0, 100), none), Pass),
            ("mean latency over it", &slow, at(10, stats(10, 0, 0, 101), none), Fail),
            ("failing more than stable", &failing_more, at(10, stats(100, 4, 0, 0), good), Fail),
            ("failing hardly more", &failing_more, at(10, stats(100, 3, 0, 0), good), Pass),
            ("stable is not asked", &failing_more, at(10, stats(100, 0, 0, 0), none), Inconclusive),
            ("stable has no traffic any more", &failing_more, at(100, stats(100, 4, 0, 0), none), Pass),
            ("twice as slow", &slower, at(10, stats(100, 0, 0, 2_000), good), Pass),
            ("more than twice as slow", &slower, at(10, stats(100, 0, 0, 2_001), good), Fail),
        ] {
            let judgement = guard.judge(&evidence);
            assert_eq!(judgement.verdict, expected, "{name}: {judgement}");
        }
        assert_eq!(plain.judge(&GuardEvidence::new(Percent::ALL, None, None)).verdict, NoData);
    }

    #[test]
    fn performance_that_cannot_be_compared_never_passes() {
        use GuardVerdict::{Fail, Inconclusive, NoData, Pass};
        let guard = PerformanceGuard { margin: 0.05, min_rows: 10 };
        let value = |v, rows| Estimate::new(Measured::Value(v), Direction::HigherIsBetter, rows);
        let error = |v, rows| Estimate::new(Measured::Value(v), Direction::LowerIsBetter, rows);
        let undefined = Measured::none(UndefinedReason::ZeroDenominator, 0, 1);
        let undefined = Estimate::new(undefined, Direction::HigherIsBetter, 10);
        for (candidate, stable, expected) in [
            (value(0.75, 10), value(0.75, 10), Pass),
            (value(0.75, 10), value(0.81, 10), Fail),
            (value(0.90, 10), value(0.10, 10), Pass),
            (error(0.90, 10), error(0.10, 10), Fail),
            (error(0.10, 10), error(0.90, 10), Pass),
            (value(0.75, 9), value(0.75, 10), Inconclusive),
            (value(0.75, 10), value(0.75, 0), NoData),
            (value(0.75, 10), error(0.75, 10), Inconclusive),
            (undefined, value(0.75, 10), Inconclusive),
            (value(f64::NAN, 10), value(0.75, 10), Inconclusive),
        ] {
            let metric = MetricKey::new("score").unwrap();
            let performance = LabelledPerformance { metric, candidate, stable };
            let evidence = GuardEvidence::new(Percent::ALL, None, None).with_performance(performance);
            let judgement = guard.judge(&evidence);
            assert_eq!(judgement.verdict, expected, "{judgement}");
        }
        let nothing = GuardEvidence::new(Percent::ALL, None, None);
        assert_eq!(guard.judge(&nothing).verdict, NoData);
    }

    #[test]
    fn limits_that_mean_nothing_are_refused() {
        let good = OperationGuard::default();
        for bad in [
            good.clone().with_max_failure_rate(1.5),
            good.clone().with_max_failure_rate(-0.1),
            good.clone().with_max_failure_increase(f64::NAN),
            good.clone().with_max_latency_ratio(0.0),
            good.clone().with_max_latency_ratio(f64::INFINITY),
            good.with_min_requests(0),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn counters_that_went_back_were_reset() {
        assert_eq!(since(&stats(10, 1, 1, 5), &stats(30, 2, 1, 9)), stats(20, 1, 0, 4));
        assert_eq!(since(&stats(10, 1, 1, 5), &stats(4, 0, 0, 1)), stats(4, 0, 0, 1));
    }
}
