//! Azure Monitor behind core's source of metrics.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use mlops_core::Result;
use mlops_core::deploy::rollout::judge::{Count, Observations};
use mlops_core::deploy::rollout::{MetricProvider, MetricRequest};
use mlops_core::time::{Clock, SystemClock, Timestamp};

use super::metrics::{ByMinute, EndpointMetrics, FailureRule, LatencyStatistic, Minutes, Utilization};

/// The metrics of online endpoints as core's [`MetricProvider`]: what guards of a rollout query. Cheap to clone.
///
/// | metric | observations | unit |
/// |---|---|---|
/// | `failures` | counts: failures, of the requests that count by the [`FailureRule`] | requests |
/// | `latency_ms` | one mean a minute | ms |
/// | `latency_p50_ms`, `latency_p90_ms`, `latency_p95_ms`, `latency_p99_ms` | one percentile a minute | ms |
/// | `cpu_percent`, `memory_percent`, `disk_percent`, `gpu_percent`, `gpu_memory_percent` | one mean over the instances a minute | % |
///
/// Any other metric is one that it does not have. See [`EndpointMetrics`] for what the numbers are, permissions and limits.
///
/// # What a guard must know
/// * **Minutes, not requests.** Azure tells no latency of a request. A guard on latencies judges minutes, each with the same weight however
///   many requests it had; its `min_samples` counts minutes, and a step that bakes for less than a few has none. `failures` are requests.
/// * **Whole minutes.** A step begins within a minute; what of it lies in a minute that is not whole is not looked at, because the rest
///   of that minute had another split.
/// * **Late.** Azure has all of a minute's data some minutes after it, and until then tells less, or zero. Minutes are asked about when they
///   have been over for [a while](Self::with_delay): three minutes, where nothing is set. So a step must bake for longer than that, and
///   what happens at its end is not judged in it. Should data come later still, an answer may grow between two looks.
/// * **No requests are no data.** A deployment that nobody asked has no observations, and the guard says that there are no data; what
///   follows is the plan's `on_no_data`. It never passes as one without failures. Nor does a question that Azure refuses, or cannot answer.
/// * **Copies count.** Azure's documentation says that metrics are gathered of the requests that it mirrors to a deployment too, so a
///   shadow is judged as a canary is.
///
/// # In a plan
/// The limits of a plan ([`OperationGuard`](mlops_core::deploy::rollout::OperationGuard)) look at the deployer's counters. Azure has none, so
/// they never have data: the plan's own `on_no_data` must be to continue, or no step ends well. With patience, every step waits for
/// those counters until it is over; without, what guards on metrics say at the end of the bake is what counts, so let the bake be long
/// enough for them, and each of them say what follows where it has no data.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use mlops_azure::deploy::AzureMetrics;
/// use mlops_azure::deploy::metrics::EndpointMetrics;
/// use mlops_azure::fake::FakeAzure;
/// use mlops_core::deploy::rollout::judge::{Count, Observations, Proportions, Threshold};
/// use mlops_core::deploy::rollout::{MetricGuard, MetricProvider as _, MetricQuery, MetricRequest, RolloutOptions, ThinData};
/// # use mlops_core::time::ManualClock;
/// # use mlops_core::{DeploymentName, EndpointName};
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// // Failures may be two in a hundred more than at the stable version; of a minute's requests, 95 in a hundred take a quarter of a
/// // second at most.
/// let failures = MetricGuard::query("failures", MetricQuery::new("failures"), Proportions::new(0.02));
/// let slow = MetricGuard::query("slow", MetricQuery::new("latency_p95_ms"), Threshold::at_most(250.0));
/// let options = RolloutOptions::default()
///     .with_bake(Duration::from_secs(900))
///     .with_patience(Duration::ZERO)
///     .on_no_data(ThinData::Continue)
///     .with_metric(failures.with_min_samples(100).on_no_data(ThinData::Rollback))
///     .with_metric(slow.with_min_samples(5));
/// options.check()?;
///
/// // The source that they query, for `RolloutDriver::with_metrics`; here of Azure in memory, at ten past eight.
/// let clock = Arc::new(ManualClock::at("2026-03-02T08:10:00Z".parse()?));
/// let azure = FakeAzure::new().with_clock(clock.clone());
/// # let (endpoint, green) = (EndpointName::new("churn")?, DeploymentName::new("green")?);
/// # azure.set_resource(azure.place().online_endpoint("churn")?.id(), serde_json::json!({ "properties": {} }));
/// let source = AzureMetrics::new(EndpointMetrics::new(azure.arm(), azure.place())).with_clock(clock);
///
/// // What the driver asks. Of these requests, the second is not old enough yet.
/// azure.metrics().request("churn", "green", (424, Some(500)), 12.5, "2026-03-02T08:06:10Z".parse()?);
/// azure.metrics().request("churn", "green", (200, Some(200)), 12.5, "2026-03-02T08:07:10Z".parse()?);
/// let (began, now) = ("2026-03-02T08:00:00Z".parse()?, "2026-03-02T08:10:00Z".parse()?);
/// let seen = source.observe(&MetricRequest::new("failures", &endpoint, &green, began, now)).await?;
/// assert_eq!(seen, Some(Observations::Counts { candidate: Count::new(1, 1)?, stable: Count::default() }));
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct AzureMetrics {
    metrics: EndpointMetrics,
    failures: FailureRule,
    delay: Duration,
    clock: Arc<dyn Clock>,
}

impl AzureMetrics {
    /// How long a minute has been over before it is asked about, where nothing is set.
    ///
    /// Azure's documentation speaks of "a couple minutes" until the last values are whole, depending on the service ("Troubleshooting
    /// metrics charts", Azure Monitor).
    pub const DELAY: Duration = Duration::from_secs(180);

    /// A source that asks the metrics of a workspace's endpoints.
    pub fn new(metrics: EndpointMetrics) -> Self {
        Self {
            metrics,
            failures: FailureRule::default(),
            delay: Self::DELAY,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// The same with another rule by which answers are failures.
    #[must_use]
    pub fn with_failures(mut self, rule: FailureRule) -> Self {
        self.failures = rule;
        self
    }

    /// The same with another time that a minute must have been over: a shorter one sees less than there was, a longer one makes
    /// rollouts slower.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The same with another clock, which must be right to the minute.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The minutes of a window that are whole and have been over for long enough.
    fn settled(&self, from: Timestamp, to: Timestamp) -> Option<Minutes> {
        let delay = TimeDelta::from_std(self.delay).ok()?;
        let limit = self.clock.now().checked_sub_signed(delay)?;
        Minutes::within(from, to)?.before(limit)
    }

    async fn look(
        &self,
        source: Source,
        request: &MetricRequest<'_>,
        minutes: Minutes,
    ) -> Result<Observations> {
        let endpoint = request.endpoint.as_str();
        let candidate = request.candidate.as_str();
        let stable = request.stable.map(|name| name.as_str());
        let names: Vec<&str> = [Some(candidate), stable].into_iter().flatten().collect();
        match source {
            Source::Failures => {
                let answers = self.metrics.answers(endpoint, &names, minutes).await?;
                let count = |name: &str| match answers.get(name) {
                    Some(answers) => answers.count(self.failures),
                    None => Ok(Count::default()),
                };
                let stable = stable.map_or(Ok(Count::default()), count)?;
                Ok(Observations::Counts { candidate: count(candidate)?, stable })
            }
            Source::Latency(statistic) => {
                let mut all = self.metrics.latency(endpoint, &names, statistic, minutes).await?;
                let mut of = |name: &str| all.remove(name).map(values).unwrap_or_default();
                let stable = stable.map(&mut of).unwrap_or_default();
                Ok(Observations::values(of(candidate), stable))
            }
            Source::Utilization(what) => {
                let of =
                    async |name| self.metrics.utilization(endpoint, name, what, minutes).await.map(values);
                let stable = match stable {
                    Some(stable) => of(stable).await?,
                    None => Vec::new(),
                };
                Ok(Observations::values(of(candidate).await?, stable))
            }
        }
    }
}

fn values(minutes: ByMinute) -> Vec<f64> {
    minutes.into_iter().map(|(_, value)| value).collect()
}

/// What the source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Failures,
    Latency(LatencyStatistic),
    Utilization(Utilization),
}

impl Source {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "failures" => Self::Failures,
            "latency_ms" => Self::Latency(LatencyStatistic::Mean),
            "latency_p50_ms" => Self::Latency(LatencyStatistic::P50),
            "latency_p90_ms" => Self::Latency(LatencyStatistic::P90),
            "latency_p95_ms" => Self::Latency(LatencyStatistic::P95),
            "latency_p99_ms" => Self::Latency(LatencyStatistic::P99),
            "cpu_percent" => Self::Utilization(Utilization::Cpu),
            "memory_percent" => Self::Utilization(Utilization::Memory),
            "disk_percent" => Self::Utilization(Utilization::Disk),
            "gpu_percent" => Self::Utilization(Utilization::Gpu),
            "gpu_memory_percent" => Self::Utilization(Utilization::GpuMemory),
            _ => return None,
        })
    }

    /// Nothing that was observed.
    fn nothing(self) -> Observations {
        match self {
            Self::Failures => Observations::Counts { candidate: Count::default(), stable: Count::default() },
            Self::Latency(_) | Self::Utilization(_) => Observations::values(Vec::new(), Vec::new()),
        }
    }
}

#[async_trait]
impl MetricProvider for AzureMetrics {
    async fn observe(&self, request: &MetricRequest<'_>) -> Result<Option<Observations>> {
        let Some(source) = Source::named(request.metric) else { return Ok(None) };
        match self.settled(request.from, request.to) {
            Some(minutes) => self.look(source, request, minutes).await.map(Some),
            None => Ok(Some(source.nothing())),
        }
    }
}

impl fmt::Debug for AzureMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureMetrics")
            .field("metrics", &self.metrics)
            .field("failures", &self.failures)
            .field("delay", &self.delay)
            .finish_non_exhaustive()
    }
}
