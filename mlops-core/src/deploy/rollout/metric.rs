//! Guards on metrics: what is judged, by which judge, and what follows.

use serde::{Deserialize, Serialize};

use super::judge::{Count, Evidence, Finding, Judge, Observations};
use super::{GuardVerdict, ThinData};
use crate::deploy::OperationStats;
use crate::error::{Error, Result};

/// Where the observations of a metric come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricSource {
    /// Whoever measures reports them, with [`RolloutDriver::report_observations`](super::RolloutDriver::report_observations).
    #[default]
    Reported,
    /// Requests that failed, of those that were not bad, by the deployer's counters.
    Failures,
}

/// A guard on a metric, as part of a plan: an approval of the plan covers it.
///
/// What a failing guard leads to is `on_fail`. What one that cannot tell leads to, once the step has baked and the plan's patience is
/// over, is `on_inconclusive` or `on_no_data`. To continue is to let the step pass as far as this guard goes: with all three on
/// continue it only informs. A judge that compares is silent in the step to all traffic, where there is nothing to compare with.
///
/// ```
/// use mlops_core::deploy::rollout::{MetricGuard, RolloutOptions, ThinData};
/// use mlops_core::deploy::rollout::judge::Proportions;
///
/// let options: RolloutOptions = toml::from_str(
///     r#"
///     [[metrics]]
///     name = "failures"
///     source = "failures"
///     min_samples = 200
///     judge = { proportions = { margin = 0.005 } }
///     "#,
/// )?;
/// let guard = MetricGuard::failures("failures", Proportions::new(0.005)).with_min_samples(200);
/// assert_eq!(options.metrics, [guard]);
/// assert_eq!(options.metrics[0].on_fail, ThinData::Rollback);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricGuard {
    /// The name, unique in a plan.
    pub name: String,
    /// Where observations come from. Default they are reported.
    #[serde(default)]
    pub source: MetricSource,
    /// Who judges them.
    pub judge: Judge,
    /// How many observations a step needs, of each version that is looked at. Default 1.
    #[serde(default = "one")]
    pub min_samples: u64,
    /// When it fails. Default roll back.
    #[serde(default = "rollback")]
    pub on_fail: ThinData,
    /// When it cannot tell. Default pause.
    #[serde(default)]
    pub on_inconclusive: ThinData,
    /// When there is nothing to judge. Default pause.
    #[serde(default)]
    pub on_no_data: ThinData,
}

fn one() -> u64 {
    1
}

fn rollback() -> ThinData {
    ThinData::Rollback
}

impl MetricGuard {
    /// A guard on what is reported under `name`.
    pub fn new(name: impl Into<String>, judge: impl Into<Judge>) -> Self {
        Self {
            name: name.into(),
            source: MetricSource::Reported,
            judge: judge.into(),
            min_samples: one(),
            on_fail: rollback(),
            on_inconclusive: ThinData::Pause,
            on_no_data: ThinData::Pause,
        }
    }

    /// A guard on the requests that fail.
    pub fn failures(name: impl Into<String>, judge: impl Into<Judge>) -> Self {
        Self { source: MetricSource::Failures, ..Self::new(name, judge) }
    }

    /// Sets how many observations a step needs.
    #[must_use]
    pub fn with_min_samples(mut self, samples: u64) -> Self {
        self.min_samples = samples;
        self
    }

    /// Sets what follows when it fails.
    #[must_use]
    pub fn on_fail(mut self, policy: ThinData) -> Self {
        self.on_fail = policy;
        self
    }

    /// Sets what follows when it cannot tell.
    #[must_use]
    pub fn on_inconclusive(mut self, policy: ThinData) -> Self {
        self.on_inconclusive = policy;
        self
    }

    /// Sets what follows when there is nothing to judge.
    #[must_use]
    pub fn on_no_data(mut self, policy: ThinData) -> Self {
        self.on_no_data = policy;
        self
    }

    /// Checks name, number of samples and judge.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the field.
    pub fn check(&self) -> Result<()> {
        let bad = |field, message: String| Err(Error::invalid("MetricGuard::check", field, message));
        if self.name.trim().is_empty() {
            return bad("name", "must not be empty".into());
        }
        // The digest of a plan is over JSON, whose integers end here.
        if !(1..1 << 53).contains(&self.min_samples) {
            return bad("min_samples", format!("must lie in [1, 2^53), got {}", self.min_samples));
        }
        self.judge.check().or_else(|error| bad("judge", format!("of {}: {error}", self.name)))
    }

    /// Judges a step. `None` for observations is no data.
    pub(super) fn find(&self, seen: Option<&Observations>, earlier: Evidence, alone: bool) -> Finding {
        if alone && self.judge.compares() {
            let reason = "the stable version has no traffic to compare with";
            return Finding::new("guard.not_compared", GuardVerdict::Pass, reason);
        }
        let Some(seen) = seen else {
            return Finding::new("guard.no_data", GuardVerdict::NoData, "nobody reported it in this step");
        };
        let [candidate, stable] = seen.len();
        let fewest = if self.judge.compares() { candidate.min(stable) } else { candidate };
        if fewest > 0 && fewest < self.min_samples {
            let reason = format!("{fewest} observations, {} are needed to judge", self.min_samples);
            let finding = Finding::new("guard.too_few", GuardVerdict::Inconclusive, reason);
            return finding.with("candidate_n", candidate as f64).with("stable_n", stable as f64);
        }
        self.judge.judge(seen, earlier).unwrap_or_else(|error| {
            Finding::new("guard.refused", GuardVerdict::Inconclusive, format!("it cannot be judged: {error}"))
        })
    }
}

/// What a guard on a metric found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuardFinding {
    /// The guard's name.
    pub guard: String,
    /// What it found.
    pub finding: Finding,
}

/// The failures among the requests that were not bad.
pub(super) fn failures(candidate: &OperationStats, stable: Option<&OperationStats>) -> Option<Observations> {
    let count = |stats: &OperationStats| {
        Count::new(stats.failures, stats.requests.saturating_sub(stats.bad_requests)).ok()
    };
    let stable = stable.map_or(Some(Count::default()), count)?;
    Some(Observations::Counts { candidate: count(candidate)?, stable })
}
