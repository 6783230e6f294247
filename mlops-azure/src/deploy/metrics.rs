//! What Azure Monitor knows of online endpoints: answers by status, latencies, how busy machines are.

use std::collections::BTreeMap;
use std::fmt;

use chrono::DateTime;
use mlops_core::deploy::rollout::judge::Count;
use mlops_core::time::Timestamp;
use mlops_core::{Error, ErrorKind, Result};

use super::scoring::is_refusal;
use crate::http::Service;
use crate::wire::Place;
use crate::wire::arm_scope::ArmScope;
use crate::wire::metrics::{
    self, Aggregation, DimensionFilter, Interval, MetricDefinition, Metrics, MetricsQuery, TimeSeries, Unit,
};

/// The most series that are read of one metric.
const MOST_SERIES: usize = 500;

/// Whole minutes of time, one after the other.
///
/// ```
/// use mlops_azure::deploy::metrics::Minutes;
/// let minutes = Minutes::within("2026-03-02T08:00:30Z".parse()?, "2026-03-02T08:05:59Z".parse()?).ok_or("none")?;
/// assert_eq!((minutes.from(), minutes.len()), ("2026-03-02T08:01:00Z".parse()?, 4));
/// let old = minutes.before("2026-03-02T08:03:10Z".parse()?).ok_or("none")?;
/// assert_eq!(old.to(), "2026-03-02T08:03:00Z".parse::<mlops_core::time::Timestamp>()?);
/// assert_eq!(Minutes::within("2026-03-02T08:00:01Z".parse()?, "2026-03-02T08:01:59Z".parse()?), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Minutes {
    /// In minutes since 1970; the first is below the end.
    first: i64,
    end: i64,
}

impl Minutes {
    /// The minutes that lie in \[`from`, `to`) with all of their seconds; `None` where there are none.
    pub fn within(from: Timestamp, to: Timestamp) -> Option<Self> {
        let floor = |t: Timestamp| t.timestamp().div_euclid(60);
        let is_whole = from.timestamp().rem_euclid(60) == 0 && from.timestamp_subsec_nanos() == 0;
        let first = if is_whole { floor(from) } else { floor(from) + 1 };
        let end = floor(to);
        (first < end).then_some(Self { first, end })
    }

    /// Those of them that are over at a moment.
    pub fn before(self, moment: Timestamp) -> Option<Self> {
        Self::within(self.from(), self.to().min(moment))
    }

    /// When the first begins.
    pub fn from(self) -> Timestamp {
        minute(self.first)
    }

    /// When the last ends.
    pub fn to(self) -> Timestamp {
        minute(self.end)
    }

    /// How many there are: one or more.
    #[allow(clippy::len_without_is_empty, reason = "there is at least one")]
    pub fn len(self) -> u64 {
        self.first.abs_diff(self.end)
    }

    fn has(self, moment: Timestamp) -> bool {
        (self.from()..self.to()).contains(&moment)
    }
}

fn minute(number: i64) -> Timestamp {
    // What came from a time leads back to one.
    DateTime::from_timestamp(number.saturating_mul(60), 0).unwrap_or_default()
}

/// How a request was answered.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnswerStatus {
    /// The endpoint's status; 0 where there is none, as for a caller who went away.
    pub status: u16,
    /// The model's own status, where the model answered and the service tells it.
    pub model: Option<u16>,
}

impl AnswerStatus {
    /// The endpoint's status, and the model's own where it is known.
    ///
    /// ```
    /// use mlops_azure::deploy::metrics::AnswerStatus;
    /// assert_eq!(AnswerStatus::new(424, 500).model, Some(500));
    /// assert_eq!(AnswerStatus::new(401, None).model, None);
    /// ```
    pub fn new(status: u16, model: impl Into<Option<u16>>) -> Self {
        Self { status, model: model.into() }
    }
}

/// Which answers of a deployment are failures, and of which requests.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FailureRule {
    /// What the deployment has to answer for. Failures are 5xx, 408 (too slow), 429 (more requests than it takes) and 424 (the model
    /// failed), but for 424 with a model's status of 400, 413, 415 or 422: there the model refused the rows. Of the successes and the
    /// failures alone; what callers did wrong is neither. It is what [`AzureDeployer`](super::AzureDeployer) tells callers, and what
    /// core's counters of operation count.
    #[default]
    Deployment,
    /// 5xx, of all requests. A model that raises an error is none: Azure answers 424.
    ServerErrors,
    /// 4xx and 5xx, of all requests.
    AllErrors,
}

impl FailureRule {
    /// Whether an answer is a failure; `None` for one that does not count.
    ///
    /// ```
    /// use mlops_azure::deploy::metrics::{AnswerStatus, FailureRule};
    /// let raised = AnswerStatus::new(424, 500);
    /// let refused = AnswerStatus::new(424, 422);
    /// assert_eq!(FailureRule::Deployment.is_failure(raised), Some(true));
    /// assert_eq!(FailureRule::Deployment.is_failure(refused), None);
    /// assert_eq!(FailureRule::ServerErrors.is_failure(raised), Some(false));
    /// assert_eq!(FailureRule::AllErrors.is_failure(refused), Some(true));
    /// ```
    pub fn is_failure(self, answer: AnswerStatus) -> Option<bool> {
        let AnswerStatus { status, model } = answer;
        match self {
            Self::ServerErrors => Some((500..600).contains(&status)),
            Self::AllErrors => Some((400..600).contains(&status)),
            Self::Deployment => match status {
                200..400 => Some(false),
                424 => model.is_none_or(|model| !is_refusal(model)).then_some(true),
                408 | 429 | 500..600 => Some(true),
                _ => None,
            },
        }
    }
}

/// How many requests of a deployment were answered how. A deployment without requests has none, which is not to say that none failed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers(BTreeMap<AnswerStatus, f64>);

impl Answers {
    /// Adds requests that were answered so.
    ///
    /// ```
    /// use mlops_azure::deploy::metrics::{Answers, AnswerStatus, FailureRule};
    /// use mlops_core::deploy::rollout::judge::Count;
    /// let mut answers = Answers::default();
    /// answers.add(AnswerStatus::new(200, 200), 95.0);
    /// answers.add(AnswerStatus::new(424, 500), 3.0);
    /// answers.add(AnswerStatus::new(401, None), 2.0);
    /// assert_eq!((answers.requests(), answers.of_class(4)), (100, 5));
    /// assert_eq!(answers.count(FailureRule::Deployment)?, Count::new(3, 98)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add(&mut self, answer: AnswerStatus, requests: f64) {
        // Azure fills the minutes of a series with zeros.
        if requests > 0.0 {
            *self.0.entry(answer).or_default() += requests;
        }
    }

    /// Whether there were no requests.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many requests there were.
    pub fn requests(&self) -> u64 {
        self.sum(|_| true)
    }

    /// How many were answered with a status of a class: 5 is 5xx.
    pub fn of_class(&self, class: u16) -> u64 {
        self.sum(|answer| answer.status / 100 == class)
    }

    /// Each way of answering, with its requests.
    pub fn iter(&self) -> impl Iterator<Item = (AnswerStatus, u64)> {
        self.0.iter().map(|(answer, requests)| (*answer, whole(*requests)))
    }

    /// Failures, of the requests that count by a rule.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] for 2⁵³ requests and more, which no endpoint had.
    pub fn count(&self, rule: FailureRule) -> Result<Count> {
        let failures = self.sum(|answer| rule.is_failure(answer) == Some(true));
        let judged = self.sum(|answer| rule.is_failure(answer).is_some());
        Count::new(failures, judged).map_err(|e| {
            Error::new(
                ErrorKind::Protocol,
                "Answers::count",
                "the service tells more requests than there can be",
            )
            .with_source(e)
        })
    }

    fn sum(&self, counts: impl Fn(AnswerStatus) -> bool) -> u64 {
        whole(self.0.iter().filter(|(answer, _)| counts(**answer)).map(|(_, requests)| requests).sum())
    }
}

/// Counts come as averages with a point in them.
#[allow(clippy::cast_sign_loss, reason = "nothing below zero is added")]
fn whole(requests: f64) -> u64 {
    requests.round() as u64
}

/// Which latency of the requests of a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LatencyStatistic {
    /// Their mean.
    #[default]
    Mean,
    /// The 50th percentile.
    P50,
    /// The 90th percentile.
    P90,
    /// The 95th percentile.
    P95,
    /// The 99th percentile.
    P99,
}

impl LatencyStatistic {
    /// The metric, by Azure's name.
    pub fn metric(self) -> &'static str {
        match self {
            Self::Mean => "RequestLatency",
            Self::P50 => "RequestLatency_P50",
            Self::P90 => "RequestLatency_P90",
            Self::P95 => "RequestLatency_P95",
            Self::P99 => "RequestLatency_P99",
        }
    }
}

/// What of a deployment's machines is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Utilization {
    /// Processors.
    Cpu,
    /// Memory.
    Memory,
    /// Disks.
    Disk,
    /// Graphics processors.
    Gpu,
    /// Their memory.
    GpuMemory,
}

impl Utilization {
    /// The metric, by Azure's name.
    pub fn metric(self) -> &'static str {
        match self {
            Self::Cpu => "CpuUtilizationPercentage",
            Self::Memory => "CpuMemoryUtilizationPercentage",
            Self::Disk => "DiskUtilization",
            Self::Gpu => "GpuUtilizationPercentage",
            Self::GpuMemory => "GpuMemoryUtilizationPercentage",
        }
    }
}

/// One value a minute: when the minute begins, and the value. Minutes without one are not there.
pub type ByMinute = Vec<(Timestamp, f64)>;

/// The metrics of a workspace's online endpoints in Azure Monitor. Cheap to clone.
///
/// # What the numbers are
/// * **Answers**: Azure has `RequestsPerMinute`, whose average over a minute of one series is the number of its requests, and whose average
///   over several series is less than their sum. So it is asked for split by status and by the model's status, and everything is added
///   up here. Requests that Azure refuses before they come to a deployment are no deployment's. Answers that Azure gave are split by
///   deployment and class of status, and whole numbers in every minute; that the statuses themselves can be split by at once, its
///   documentation says, and there was no Azure to try it on: see [`without_model_status`](Self::without_model_status).
/// * **Latencies**, in milliseconds: `RequestLatency` is a mean. Percentiles are averages over the percentiles that the parts of an endpoint
///   report each minute, and not those of all requests. No number of requests is told with them.
/// * **Utilization**, in per cent: averages over the instances.
///
/// # When they are known
/// Some minutes after: see [`AzureMetrics`](super::AzureMetrics). They are kept for 93 days.
///
/// # Permissions
/// `Microsoft.Insights/metrics/read` and `Microsoft.Insights/metricDefinitions/read` on the endpoint: the role
/// [`MONITORING_READER`](crate::wire::role::MONITORING_READER) has them, and every role that may read all; `AzureML Data Scientist` has
/// not. The subscription must be registered to use `Microsoft.Insights`. The API's version is
/// [`VERSION`](crate::wire::metrics::VERSION); its calls count against the limits of Resource Manager, and are answered with 429 or 529
/// where they are too many, which is tried again.
///
/// ```
/// use mlops_azure::deploy::metrics::{EndpointMetrics, Minutes};
/// use mlops_azure::fake::FakeAzure;
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let azure = FakeAzure::new();
/// azure.set_resource(azure.place().online_endpoint("churn")?.id(), serde_json::json!({ "properties": {} }));
/// let began = "2026-03-02T08:00:00Z".parse()?;
/// for answer in [(200, Some(200)), (200, Some(200)), (424, Some(500))] {
///     azure.metrics().request("churn", "blue", answer, 12.5, began);
/// }
///
/// let metrics = EndpointMetrics::new(azure.arm(), azure.place());
/// let hour = Minutes::within(began, "2026-03-02T09:00:00Z".parse()?).ok_or("an hour has minutes")?;
/// let answers = metrics.answers("churn", &["blue", "green"], hour).await?;
/// assert_eq!((answers["blue"].requests(), answers["blue"].of_class(4)), (3, 1));
/// assert!(answers["green"].is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct EndpointMetrics {
    arm: Service,
    place: Place,
    by_model_status: bool,
}

impl EndpointMetrics {
    /// The metrics of a workspace's endpoints, by a client of Resource Manager.
    pub fn new(arm: Service, place: Place) -> Self {
        Self { arm, place, by_model_status: true }
    }

    /// The same without a look at the status that models answered, for a cloud whose metric is not split by it: then every 424 is a
    /// failure of the model.
    #[must_use]
    pub fn without_model_status(mut self) -> Self {
        self.by_model_status = false;
        self
    }

    /// How deployments of an endpoint answered in some minutes, by their names: all of those that are asked for, also without
    /// requests. Where none is asked for, all that had requests. One call.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an endpoint that is not there; [`ErrorKind::InvalidInput`] for a name that none can have, and for
    /// what Azure does not know of the metric; [`ErrorKind::LimitExceeded`] for more than 500 series; those of the service.
    pub async fn answers(
        &self,
        endpoint: &str,
        deployments: &[&str],
        minutes: Minutes,
    ) -> Result<BTreeMap<String, Answers>> {
        const OP: &str = "EndpointMetrics::answers";
        const METRIC: &str = "RequestsPerMinute";
        let mut query = of(METRIC, minutes).with_filter(by_deployment(deployments)?);
        query = query.with_filter(DimensionFilter::every("statusCode")?);
        if self.by_model_status {
            query = query.with_filter(DimensionFilter::every("modelStatusCode")?);
        }
        let told = self.ask(OP, endpoint, None, &query.with_top(MOST_SERIES as u32)).await?;
        let mut answers = empty(deployments);
        for series in series_of(OP, &told, METRIC)? {
            let of = answers_of(series);
            let name = deployment_of(OP, series, deployments)?;
            let answers: &mut Answers = answers.entry(name).or_default();
            values_in(series, minutes).for_each(|(_, requests)| answers.add(of, requests));
        }
        if deployments.is_empty() {
            answers.retain(|_, answers| !answers.is_empty());
        }
        Ok(answers)
    }

    /// The latencies of deployments in each of some minutes, in milliseconds, as of [`answers`](Self::answers). A minute without
    /// requests has none. One call.
    ///
    /// # Errors
    /// As of [`answers`](Self::answers); [`ErrorKind::Protocol`] for numbers that are no milliseconds.
    pub async fn latency(
        &self,
        endpoint: &str,
        deployments: &[&str],
        statistic: LatencyStatistic,
        minutes: Minutes,
    ) -> Result<BTreeMap<String, ByMinute>> {
        const OP: &str = "EndpointMetrics::latency";
        let metric = statistic.metric();
        let query = of(metric, minutes).with_filter(by_deployment(deployments)?);
        let told = self.ask(OP, endpoint, None, &query.with_top(MOST_SERIES as u32)).await?;
        let series = series_of(OP, &told, metric)?;
        check_unit(OP, &told, metric, &Unit::MilliSeconds)?;
        let mut latencies = empty(deployments);
        for series in series {
            let name = deployment_of(OP, series, deployments)?;
            let latencies: &mut ByMinute = latencies.entry(name).or_default();
            // No request is answered in no time: a zero is how Azure may say that there was none.
            latencies.extend(values_in(series, minutes).filter(|(_, latency)| *latency > 0.0));
            latencies.sort_by_key(|(minute, _)| *minute);
        }
        if deployments.is_empty() {
            latencies.retain(|_, latencies| !latencies.is_empty());
        }
        Ok(latencies)
    }

    /// How busy a deployment's machines were in each of some minutes, in per cent, on average over its instances. One call.
    ///
    /// # Errors
    /// As of [`latency`](Self::latency), for the deployment.
    pub async fn utilization(
        &self,
        endpoint: &str,
        deployment: &str,
        what: Utilization,
        minutes: Minutes,
    ) -> Result<ByMinute> {
        const OP: &str = "EndpointMetrics::utilization";
        let metric = what.metric();
        let told = self.ask(OP, endpoint, Some(deployment), &of(metric, minutes)).await?;
        let series = series_of(OP, &told, metric)?;
        check_unit(OP, &told, metric, &Unit::Percent)?;
        Ok(series.iter().flat_map(|series| values_in(series, minutes)).collect())
    }

    /// Which metrics an endpoint has, and how they can be asked for.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an endpoint that is not there, and those of the service.
    pub async fn definitions(&self, endpoint: &str) -> Result<Vec<MetricDefinition>> {
        const OP: &str = "EndpointMetrics::definitions";
        let page = self.arm.call(metrics::definitions(OP, &self.scope(endpoint, None)?)?).await?;
        Ok(page.value)
    }

    /// Any question to the metrics of an endpoint, or of one of its deployments.
    ///
    /// # Errors
    /// Those of [`metrics::values`] and of the service.
    pub async fn query(
        &self,
        endpoint: &str,
        deployment: Option<&str>,
        query: &MetricsQuery,
    ) -> Result<Metrics> {
        self.ask("EndpointMetrics::query", endpoint, deployment, query).await
    }

    async fn ask(
        &self,
        operation: &'static str,
        endpoint: &str,
        deployment: Option<&str>,
        query: &MetricsQuery,
    ) -> Result<Metrics> {
        let scope = self.scope(endpoint, deployment)?;
        self.arm.call(metrics::values(operation, &scope, query)?).await
    }

    fn scope(&self, endpoint: &str, deployment: Option<&str>) -> Result<ArmScope> {
        match deployment {
            None => ArmScope::new(self.place.online_endpoint(endpoint)?.id()),
            Some(deployment) => ArmScope::new(self.place.online_deployment(endpoint, deployment)?.id()),
        }
    }
}

impl fmt::Debug for EndpointMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointMetrics").field("workspace", &self.place.id()).finish_non_exhaustive()
    }
}

fn of(metric: &str, minutes: Minutes) -> MetricsQuery {
    MetricsQuery::new([metric], minutes.from(), minutes.to()).with_interval(Interval::Minute)
}

fn by_deployment(names: &[&str]) -> Result<DimensionFilter> {
    const NAME: &str = "deployment";
    if names.is_empty() { DimensionFilter::every(NAME) } else { DimensionFilter::one_of(NAME, names) }
}

fn empty<T: Default>(deployments: &[&str]) -> BTreeMap<String, T> {
    deployments.iter().map(|name| ((*name).to_owned(), T::default())).collect()
}

/// The series of a metric, all of them.
fn series_of<'a>(operation: &'static str, told: &'a Metrics, metric: &str) -> Result<&'a [TimeSeries]> {
    let series = told.series(operation, metric)?;
    let minute = Interval::Minute.as_str();
    if let Some(other) = told.interval.as_deref().filter(|told| !told.eq_ignore_ascii_case(minute)) {
        let error = Error::new(ErrorKind::Protocol, operation, "the values are not those of minutes");
        return Err(error.with("metric", metric).with("interval", other));
    }
    // Azure does not say that there are more.
    match series.len() < MOST_SERIES {
        true => Ok(series),
        false => {
            Err(Error::limit(operation, "series", MOST_SERIES, "as many or more").with("metric", metric))
        }
    }
}

fn check_unit(operation: &'static str, told: &Metrics, metric: &str, expected: &Unit) -> Result<()> {
    match told.metric(operation, metric)?.unit.as_ref() {
        None => Ok(()),
        Some(unit) if unit == expected => Ok(()),
        Some(unit) => {
            let message = "the service tells the metric in another unit";
            let error = Error::new(ErrorKind::Protocol, operation, message).with("metric", metric);
            Err(error.with("unit", unit).with("expected", expected))
        }
    }
}

fn values_in(series: &TimeSeries, minutes: Minutes) -> impl Iterator<Item = (Timestamp, f64)> + '_ {
    series.points(&Aggregation::Average).filter(move |(minute, _)| minutes.has(*minute))
}

/// The deployment of a series, as it was asked for.
fn deployment_of(operation: &'static str, series: &TimeSeries, asked: &[&str]) -> Result<String> {
    let Some(told) = series.dimension("deployment") else {
        return Err(Error::new(
            ErrorKind::Protocol,
            operation,
            "a series does not say of which deployment it is",
        ));
    };
    let found = asked.iter().find(|name| name.eq_ignore_ascii_case(told));
    Ok(found.map_or(told, |name| *name).to_owned())
}

fn answers_of(series: &TimeSeries) -> AnswerStatus {
    let status = |name| series.dimension(name).and_then(|text| text.trim().parse().ok());
    AnswerStatus { status: status("statusCode").unwrap_or_default(), model: status("modelStatusCode") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn only_whole_minutes_count() {
        for (from, to, expected) in [
            ("08:00:00", "08:01:00", Some(("08:00:00", 1))),
            ("08:00:00.000001", "08:02:00", Some(("08:01:00", 1))),
            ("08:00:00", "08:01:59.999", Some(("08:00:00", 1))),
            ("08:00:00", "08:00:59", None),
            ("08:00:01", "08:01:59", None),
            ("08:05:00", "08:00:00", None),
        ] {
            let at = |text: &str| time(&format!("2026-03-02T{text}Z"));
            let minutes = Minutes::within(at(from), at(to));
            assert_eq!(minutes.map(|m| (m.from(), m.len())), expected.map(|(first, n)| (at(first), n)));
        }
        let before_1970 =
            Minutes::within(time("1969-12-31T23:58:30Z"), time("1970-01-01T00:00:30Z")).unwrap();
        assert_eq!((before_1970.len(), before_1970.to()), (1, Timestamp::UNIX_EPOCH));
        assert_eq!(before_1970.before(Timestamp::MIN_UTC), None);
        assert!(Minutes::within(Timestamp::MIN_UTC, Timestamp::MAX_UTC).is_some());
    }

    #[test]
    fn rules_tell_failures_from_what_callers_did_wrong() {
        let of = |status, model| AnswerStatus { status, model };
        let all = [
            // status, model, by the deployment, by 5xx, by all errors
            (of(200, Some(200)), Some(false), false, false),
            (of(302, None), Some(false), false, false),
            (of(400, None), None, false, true),
            (of(401, None), None, false, true),
            (of(404, None), None, false, true),
            (of(408, None), Some(true), false, true),
            (of(424, None), Some(true), false, true),
            (of(424, Some(500)), Some(true), false, true),
            (of(424, Some(404)), Some(true), false, true),
            (of(424, Some(400)), None, false, true),
            (of(424, Some(422)), None, false, true),
            (of(429, None), Some(true), false, true),
            (of(500, None), Some(true), true, true),
            (of(503, Some(200)), Some(true), true, true),
            (of(0, None), None, false, false),
            (of(600, None), None, false, false),
        ];
        let mut answers = Answers::default();
        for (answer, deployment, server, error) in all {
            assert_eq!(FailureRule::Deployment.is_failure(answer), deployment, "{answer:?}");
            assert_eq!(FailureRule::ServerErrors.is_failure(answer), Some(server), "{answer:?}");
            assert_eq!(FailureRule::AllErrors.is_failure(answer), Some(error), "{answer:?}");
            answers.add(answer, 1.0);
        }
        let count = |rule| answers.count(rule).unwrap();
        assert_eq!(count(FailureRule::Deployment), Count::new(7, 9).unwrap());
        assert_eq!(count(FailureRule::ServerErrors), Count::new(2, 16).unwrap());
        assert_eq!(count(FailureRule::AllErrors), Count::new(12, 16).unwrap());
    }

    #[test]
    fn counts_are_of_sums_and_not_of_rounded_parts() {
        let mut answers = Answers::default();
        assert_eq!(answers.count(FailureRule::default()).unwrap(), Count::default());
        for status in [200, 500] {
            for requests in [0.4, 0.0, -3.0, f64::NAN, 0.4] {
                answers.add(AnswerStatus { status, model: None }, requests);
            }
        }
        assert_eq!(answers.requests(), 2);
        assert_eq!(answers.iter().map(|(_, n)| n).collect::<Vec<_>>(), [1, 1]);
        answers.add(AnswerStatus { status: 200, model: None }, 1e300);
        assert_eq!(answers.count(FailureRule::AllErrors).unwrap_err().kind(), ErrorKind::Protocol);
    }
}
