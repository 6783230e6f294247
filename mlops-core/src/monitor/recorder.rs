//! Operational metrics of everything a server or a deployer answers, as it happens.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{OperationCounts, OperationReport, OperationSeries, Window};
use crate::deploy::rollout::judge::{Count, Observations};
use crate::deploy::{EndedRequest, RequestObserver};
use crate::error::{Error, Result};
use crate::id::{DeploymentName, EndpointName};
use crate::num::StatsError;
use crate::time::{Timestamp, lock};

/// Keeps how every request ended as an [`OperationSeries`] for each deployment.
///
/// Give it to a server ([`Server::with_observer`](crate::serve::http::Server::with_observer)) or to a deployer that asks its models
/// in its own process. What it keeps is what alert rules and guards of a rollout look at:
///
/// * [`reports`](Self::reports) tells how each endpoint and each deployment did in a window; `AlertInput::of_operation` makes
///   observations for [`AlertRules`](super::alerting::AlertRules) of them.
/// * [`failures`](Self::failures) and [`slow_answers`](Self::slow_answers) are observations for a
///   [`MetricGuard`](crate::deploy::rollout::MetricGuard), with requests that ran out of time among the failures: a deployer, who
///   sees that the model did answer in the end, knows nothing of these.
/// * [`recorded`](Self::recorded) is everything, to be written down or sent to whoever [merges](Self::merge) the instances of a
///   server. Counts add up; no quantile is a mean of quantiles.
///
/// An endpoint's numbers are those of its deployments and of the requests that ended before a deployment was chosen. Copies for a
/// shadow count for the shadow's deployment, and not for the endpoint: nobody waited for them.
///
/// # Cost
/// One short lock a request. A deployment has as many slots as the series retains; one of which nothing was heard for so long is
/// forgotten when another one comes. At most [`MAX_SERIES`](Self::MAX_SERIES) are kept; requests of those beyond count for their
/// endpoint alone.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::deploy::{EndedRequest, RequestObserver};
/// use mlops_core::monitor::{OperationRecorder, OperationSeries, RequestOutcome, Window};
///
/// let minute = Duration::from_secs(60);
/// let (one, other) = (OperationRecorder::new(&OperationSeries::new(minute)?), OperationRecorder::new(&OperationSeries::new(minute)?));
/// let (endpoint, blue) = ("diabetes".parse()?, "blue".parse()?);
/// let start = "2026-01-01T00:00:00Z".parse()?;
/// for (instance, outcome) in [(&one, RequestOutcome::Answered), (&one, RequestOutcome::Answered), (&other, RequestOutcome::Failed)] {
///     instance.ended(&EndedRequest::new(&endpoint, Some(&blue), start, outcome, Duration::from_millis(4)));
/// }
/// // Two instances of one server, together.
/// one.merge(&other.recorded())?;
/// let reports = one.reports(&Window::new(start, start + minute)?)?;
/// assert_eq!((reports[0].deployment.as_ref(), reports[0].report.answered), (None, 2));
/// assert_eq!((reports[1].deployment.as_ref(), reports[1].report.failed), (Some(&blue), 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct OperationRecorder {
    empty: OperationSeries,
    all: Mutex<BTreeMap<Key, OperationSeries>>,
}

/// Whose requests they are. What reached no deployment comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    endpoint: EndpointName,
    deployment: Option<DeploymentName>,
    shadow: bool,
}

/// What was recorded for one deployment, by one instance or by several.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedSeries {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The deployment; `None` for requests that ended before one was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentName>,
    /// Whether these are copies for a shadow.
    #[serde(default)]
    pub shadow: bool,
    /// The requests.
    pub series: OperationSeries,
}

/// How an endpoint or one of its deployments did in a window.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedReport {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The deployment; `None` for the endpoint as a whole.
    pub deployment: Option<DeploymentName>,
    /// How it did.
    pub report: OperationReport,
}

impl RecordedReport {
    /// The labels `endpoint` and, for a deployment, `deployment`: what alert rules tell it apart by.
    ///
    /// ```
    /// use mlops_core::monitor::RecordedReport;
    /// use mlops_core::monitor::alerting::AlertInput;
    /// fn inputs(reports: &[RecordedReport]) -> Vec<AlertInput> {
    ///     reports.iter().flat_map(|all| AlertInput::of_operation(&all.report, &all.labels())).collect()
    /// }
    /// assert!(inputs(&[]).is_empty());
    /// ```
    pub fn labels(&self) -> Vec<(&'static str, &str)> {
        let deployment = self.deployment.as_ref().map(|name| ("deployment", name.as_str()));
        [("endpoint", self.endpoint.as_str())].into_iter().chain(deployment).collect()
    }
}

impl OperationRecorder {
    /// The most series that are kept.
    pub const MAX_SERIES: usize = 1_000;

    /// A recorder that has heard nothing, with the width, the retention and the error rate from which on a slot is down of
    /// `series`; what `series` holds is not taken over.
    pub fn new(series: &OperationSeries) -> Self {
        Self { empty: series.emptied(), all: Mutex::default() }
    }

    /// The width of a slot.
    pub fn width(&self) -> Duration {
        self.empty.width()
    }

    /// Everything that was heard of one deployment, copies for it as a shadow included; an empty series where there is nothing.
    ///
    /// # Errors
    /// [`StatsError::Overflow`] for counts beyond 2⁶⁴.
    pub fn deployment(
        &self,
        endpoint: &EndpointName,
        deployment: &DeploymentName,
    ) -> Result<OperationSeries, StatsError> {
        self.sum(
            |key| key.endpoint == *endpoint && key.deployment.as_ref() == Some(deployment),
            |all| all.clone(),
        )
    }

    /// Everything that was heard of an endpoint, copies for shadows excepted; an empty series where there is nothing.
    ///
    /// # Errors
    /// [`StatsError::Overflow`] for counts beyond 2⁶⁴.
    pub fn endpoint(&self, endpoint: &EndpointName) -> Result<OperationSeries, StatsError> {
        self.sum(|key| key.endpoint == *endpoint && !key.shadow, |all| all.clone())
    }

    fn sum(
        &self,
        takes: impl Fn(&Key) -> bool,
        part: impl Fn(&OperationSeries) -> OperationSeries,
    ) -> Result<OperationSeries, StatsError> {
        let all = lock(&self.all);
        let mut sum = self.empty.clone();
        all.iter().filter(|(key, _)| takes(key)).try_for_each(|(_, series)| sum.merge(&part(series)))?;
        Ok(sum)
    }

    /// How every endpoint and every deployment did in a window: endpoints by name, each before its deployments.
    ///
    /// # Errors
    /// Those of [`OperationSeries::report`].
    pub fn reports(&self, window: &Window) -> Result<Vec<RecordedReport>> {
        // Also where nothing was recorded, a window that is none is an error.
        self.empty.report(window)?;
        let mut subjects: Vec<(EndpointName, Option<DeploymentName>)> = Vec::new();
        for key in lock(&self.all).keys() {
            let whole = (key.endpoint.clone(), None);
            let own = (key.endpoint.clone(), key.deployment.clone());
            for subject in [whole, own] {
                if !subjects.contains(&subject) {
                    subjects.push(subject);
                }
            }
        }
        let report = |(endpoint, deployment): (EndpointName, Option<DeploymentName>)| {
            let takes = |key: &Key| {
                key.endpoint == endpoint
                    && match &deployment {
                        Some(deployment) => key.deployment.as_ref() == Some(deployment),
                        None => !key.shadow,
                    }
            };
            let report = self.sum(takes, |series| series.within(window))?.report(window)?;
            Ok(RecordedReport { endpoint, deployment, report })
        };
        subjects.into_iter().map(report).collect()
    }

    /// Everything that was recorded, to be written down or merged elsewhere.
    pub fn recorded(&self) -> Vec<RecordedSeries> {
        let record = |(key, series): (&Key, &OperationSeries)| {
            let Key { endpoint, deployment, shadow } = key.clone();
            RecordedSeries { endpoint, deployment, shadow, series: series.clone() }
        };
        lock(&self.all).iter().map(record).collect()
    }

    /// Adds what another recorder recorded: another instance of the server, or the same before it was started anew.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for series of another width, [`StatsError::Overflow`], or
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more series than are kept; nothing is added then.
    pub fn merge(&self, recorded: &[RecordedSeries]) -> Result<()> {
        let mut all = lock(&self.all);
        let mut sum = all.clone();
        for one in recorded {
            let RecordedSeries { endpoint, deployment, shadow, series } = one;
            let (endpoint, deployment, shadow) = (endpoint.clone(), deployment.clone(), *shadow);
            sum.entry(Key { endpoint, deployment, shadow })
                .or_insert_with(|| self.empty.clone())
                .merge(series)?;
        }
        if sum.len() > Self::MAX_SERIES {
            let what = "the number of series";
            return Err(Error::limit("OperationRecorder::merge", what, Self::MAX_SERIES, sum.len()));
        }
        *all = sum;
        Ok(())
    }

    /// The failures of candidate and stable version in slots that begin at `from` or later, for a guard of a rollout. Not answered
    /// in time is failed; a caller that went away is not counted.
    ///
    /// # Errors
    /// Those of [`OperationSeries::since`]; [`StatsError`] for counts that are too large.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::deploy::rollout::judge::{Count, Observations};
    /// use mlops_core::deploy::{EndedRequest, RequestObserver};
    /// use mlops_core::monitor::{OperationRecorder, OperationSeries, RequestOutcome};
    ///
    /// let recorder = OperationRecorder::new(&OperationSeries::new(Duration::from_secs(10))?);
    /// let (endpoint, green) = ("diabetes".parse()?, "green".parse()?);
    /// let at = "2026-01-01T00:00:00Z".parse()?;
    /// recorder.ended(&EndedRequest::new(&endpoint, Some(&green), at, RequestOutcome::Failed, Duration::from_secs(60)));
    /// let seen = recorder.failures(&endpoint, &green, &"blue".parse()?, at)?;
    /// assert_eq!(seen, Observations::Counts { candidate: Count::new(1, 1)?, stable: Count::default() });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn failures(
        &self,
        endpoint: &EndpointName,
        candidate: &DeploymentName,
        stable: &DeploymentName,
        from: Timestamp,
    ) -> Result<Observations> {
        self.observations(endpoint, [candidate, stable], from, OperationCounts::failures)
    }

    /// The answers of candidate and stable version that took longer than `limit`, in slots that begin at `from` or later, for a
    /// guard of a rollout.
    ///
    /// # Errors
    /// Those of [`OperationSeries::since`]; [`StatsError`] for counts that are too large.
    pub fn slow_answers(
        &self,
        endpoint: &EndpointName,
        candidate: &DeploymentName,
        stable: &DeploymentName,
        from: Timestamp,
        limit: Duration,
    ) -> Result<Observations> {
        self.observations(endpoint, [candidate, stable], from, |counts| counts.slower_than(limit))
    }

    fn observations(
        &self,
        endpoint: &EndpointName,
        versions: [&DeploymentName; 2],
        from: Timestamp,
        count: impl Fn(&OperationCounts) -> Result<Count, StatsError>,
    ) -> Result<Observations> {
        let of = |version: &DeploymentName| -> Result<Count> {
            Ok(count(&self.deployment(endpoint, version)?.since(from)?)?)
        };
        let [candidate, stable] = versions;
        Ok(Observations::Counts { candidate: of(candidate)?, stable: of(stable)? })
    }

    /// The series that a request belongs to, made if there is room for it.
    fn key(&self, all: &mut BTreeMap<Key, OperationSeries>, request: &EndedRequest<'_>) -> Key {
        let deployment = request.deployment.cloned();
        let key = Key { endpoint: request.endpoint.clone(), deployment, shadow: request.shadow };
        if all.contains_key(&key) {
            return key;
        }
        // Nothing of these would be in any window that is kept.
        let oldest = request.at.timestamp_micros().saturating_sub(self.empty.kept_us());
        all.retain(|_, series| series.newest_end().is_some_and(|end| end > oldest));
        if all.len() < Self::MAX_SERIES {
            all.insert(key.clone(), self.empty.clone());
            return key;
        }
        let whole = Key { deployment: None, ..key };
        all.entry(whole.clone()).or_insert_with(|| self.empty.clone());
        whole
    }
}

impl RequestObserver for OperationRecorder {
    fn ended(&self, request: &EndedRequest<'_>) {
        let mut all = lock(&self.all);
        let key = self.key(&mut all, request);
        if let Some(series) = all.get_mut(&key) {
            // One that is older than everything kept is in no window that can be asked for.
            let _counted = series.record(request.at, request.outcome, request.latency);
        }
    }
}
