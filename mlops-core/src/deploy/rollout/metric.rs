//! Guards on metrics: what is judged, by which judge, and what follows.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::judge::{Count, Evidence, Finding, Judge, Observations};
use super::{GuardVerdict, ThinData};
use crate::deploy::OperationStats;
use crate::error::{Error, Result};
use crate::id::{DeploymentName, EndpointName};
use crate::time::{Timestamp, duration_text};

/// Where the observations of a metric come from.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricSource {
    /// Whoever measures reports them, with [`RolloutDriver::report_observations`](super::RolloutDriver::report_observations).
    #[default]
    Reported,
    /// Requests that failed, of those that were not bad, by the deployer's counters.
    Failures,
    /// The source that the driver has is asked for a window of time.
    Query(MetricQuery),
}

/// What a source of metrics is asked: a metric, and a window that begins and ends so long after the step began.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::deploy::rollout::MetricQuery;
///
/// // Latencies, but for the first minute of a step, in which caches fill.
/// let query = MetricQuery::new("latency_ms").with_from(Duration::from_secs(60));
/// let began = "2026-01-01T00:00:00Z".parse()?;
/// assert_eq!(query.window(began, "2026-01-01T00:00:30Z".parse()?), None);
/// let (from, to) = query.window(began, "2026-01-01T00:05:00Z".parse()?).ok_or("it has begun")?;
/// assert_eq!((from - began, to - began), (chrono::TimeDelta::seconds(60), chrono::TimeDelta::seconds(300)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricQuery {
    /// The metric, by the name the source knows.
    pub metric: String,
    /// How long after the beginning of the step the window begins. Default at once.
    #[serde(default, with = "duration_text")]
    pub from: Duration,
    /// How long after the beginning of the step it ends, above `from`. Default it goes up to now.
    #[serde(default, with = "duration_text::option")]
    pub to: Option<Duration>,
}

impl MetricQuery {
    /// Everything since the step began.
    pub fn new(metric: impl Into<String>) -> Self {
        Self { metric: metric.into(), from: Duration::ZERO, to: None }
    }

    /// Sets how long after the beginning of the step the window begins.
    #[must_use]
    pub fn with_from(mut self, after: Duration) -> Self {
        self.from = after;
        self
    }

    /// Sets how long after the beginning of the step it ends.
    #[must_use]
    pub fn with_to(mut self, after: Duration) -> Self {
        self.to = Some(after);
        self
    }

    /// The window of a step that began then, as far as it has passed; none before it has begun.
    pub fn window(&self, began: Timestamp, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let after = |offset: Duration| {
            TimeDelta::from_std(offset).ok().and_then(|offset| began.checked_add_signed(offset))
        };
        let from = after(self.from)?;
        let to = self.to.and_then(after).map_or(now, |to| to.min(now));
        (from < to).then_some((from, to))
    }

    fn check(&self) -> std::result::Result<(), String> {
        let longest = Duration::from_secs(10 * 365 * 86_400);
        if self.metric.trim().is_empty() {
            return Err("asks for no metric".into());
        }
        if self.from > longest || self.to.is_some_and(|to| to > longest) {
            return Err("asks for a window of more than ten years".into());
        }
        match self.to {
            Some(to) if to <= self.from => Err("asks for a window that ends before it begins".into()),
            _ => Ok(()),
        }
    }
}

/// A question to a source of metrics.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct MetricRequest<'a> {
    /// The metric.
    pub metric: &'a str,
    /// The endpoint.
    pub endpoint: &'a EndpointName,
    /// The candidate.
    pub candidate: &'a DeploymentName,
    /// The stable version; `None` where there is none.
    pub stable: Option<&'a DeploymentName>,
    /// The first moment that counts.
    pub from: Timestamp,
    /// The first moment that counts no more.
    pub to: Timestamp,
    /// How many observations of each version are needed to judge: a source that would have to estimate from fewer need not.
    pub min_samples: u64,
}

impl<'a> MetricRequest<'a> {
    /// A metric of a candidate without a stable version in \[`from`, `to`), of which one observation is enough.
    ///
    /// ```
    /// use mlops_core::deploy::rollout::MetricRequest;
    /// use mlops_core::{DeploymentName, EndpointName};
    /// let (endpoint, green) = (EndpointName::new("churn")?, DeploymentName::new("green")?);
    /// let (from, to) = ("2026-03-02T08:00:00Z".parse()?, "2026-03-02T08:05:00Z".parse()?);
    /// let blue = DeploymentName::new("blue")?;
    /// let request = MetricRequest::new("latency_ms", &endpoint, &green, from, to).with_stable(&blue);
    /// assert_eq!((request.stable, request.min_samples), (Some(&blue), 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(
        metric: &'a str,
        endpoint: &'a EndpointName,
        candidate: &'a DeploymentName,
        from: Timestamp,
        to: Timestamp,
    ) -> Self {
        Self { metric, endpoint, candidate, stable: None, from, to, min_samples: one() }
    }

    /// The same beside a stable version.
    #[must_use]
    pub fn with_stable(mut self, stable: &'a DeploymentName) -> Self {
        self.stable = Some(stable);
        self
    }

    /// The same with another number of observations that are needed to judge.
    #[must_use]
    pub fn with_min_samples(mut self, samples: u64) -> Self {
        self.min_samples = samples;
        self
    }
}

/// Where metrics are kept: asked by the driver at every look.
///
/// # Contract
/// * `observe` gives what was observed in [`from`, `to`), in the order in which it was observed; `None` for a metric it does not have.
/// * Asked again, it gives the same observations first: a sequential judge looks at them again with what came since.
#[async_trait]
pub trait MetricProvider: Debug + Send + Sync + 'static {
    /// What was observed.
    async fn observe(&self, request: &MetricRequest<'_>) -> Result<Option<Observations>>;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: MetricProvider + ?Sized> MetricProvider for $pointer<T> {
            async fn observe(&self, request: &MetricRequest<'_>) -> Result<Option<Observations>> {
                (**self).observe(request).await
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn MetricProvider) {}

/// A guard on a metric, as part of a plan: an approval of the plan covers it.
///
/// What a failing guard leads to is `on_fail`. What one that cannot tell leads to, once the step has baked and the plan's patience is
/// over, is `on_inconclusive` or `on_no_data`. To continue is to let the step pass as far as this guard goes: with all three on
/// continue it only informs. A judge that compares says in the step to all traffic, where the stable version has none to compare with, that
/// there is no data; what that leads to is `on_not_compared`.
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
    /// When it compares, and the stable version has no traffic to compare with. Default continue.
    #[serde(default = "go_on", skip_serializing_if = "is_to_go_on")]
    pub on_not_compared: ThinData,
}

fn go_on() -> ThinData {
    ThinData::Continue
}

fn is_to_go_on(policy: &ThinData) -> bool {
    *policy == ThinData::Continue
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
            on_not_compared: go_on(),
        }
    }

    /// A guard on what the driver's source of metrics says.
    pub fn query(name: impl Into<String>, query: MetricQuery, judge: impl Into<Judge>) -> Self {
        Self { source: MetricSource::Query(query), ..Self::new(name, judge) }
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

    /// Sets what follows when the stable version has no traffic to compare with.
    #[must_use]
    pub fn on_not_compared(mut self, policy: ThinData) -> Self {
        self.on_not_compared = policy;
        self
    }

    /// Checks name, source, number of samples and judge.
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
        if let MetricSource::Query(query) = &self.source {
            query.check().or_else(|message| bad("source", format!("of {} {message}", self.name)))?;
        }
        self.judge.check().or_else(|error| bad("judge", format!("of {}: {error}", self.name)))
    }

    /// Judges a step. `Err` for observations says why there are none; `alone`, that the stable version has no traffic.
    pub(super) fn find(
        &self,
        seen: std::result::Result<&Observations, &str>,
        earlier: Evidence,
        alone: bool,
    ) -> Finding {
        if alone && self.judge.compares() {
            let reason = "the stable version has no traffic to compare with";
            return Finding::new(NOT_COMPARED, GuardVerdict::NoData, reason);
        }
        let seen = match seen {
            Ok(seen) => seen,
            Err(reason) => return Finding::new("guard.no_data", GuardVerdict::NoData, reason),
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

/// The rule by which a guard that compares has nothing to compare with.
pub(super) const NOT_COMPARED: &str = "guard.not_compared";

/// What a guard on a metric, or a score, found.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuardFinding {
    /// The guard's name.
    pub guard: String,
    /// What it found.
    pub finding: Finding,
}

impl GuardFinding {
    /// What this guard found.
    pub fn new(guard: impl Into<String>, finding: Finding) -> Self {
        Self { guard: guard.into(), finding }
    }
}

/// The failures among the requests that were not bad.
pub(super) fn failures(candidate: &OperationStats, stable: Option<&OperationStats>) -> Option<Observations> {
    let count = |stats: &OperationStats| {
        Count::new(stats.failures, stats.requests.saturating_sub(stats.bad_requests)).ok()
    };
    let stable = stable.map_or(Some(Count::default()), count)?;
    Some(Observations::Counts { candidate: count(candidate)?, stable })
}
