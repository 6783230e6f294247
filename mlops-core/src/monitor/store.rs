//! The trait of monitors: what a deployment saw and said, the truth that arrives later, and checks over windows of both.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{DriftReport, QualityReport, QualityRule, Severity};
use crate::data::Table;
use crate::error::{Error, Result};
use crate::evaluation::{EvaluationReport, Verdict};
use crate::id::{DeploymentName, EndpointName, MetricKey, MonitorName, check_text};
use crate::model::Predictions;
use crate::page::{Page, PageRequest};
use crate::time::Timestamp;

/// What a monitor can do.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorCapabilities {
    /// Labels are joined to observations by id.
    pub ground_truth: bool,
    /// `check` computes at once; without it the service computes on its own schedule and `reports` is how one learns.
    pub on_demand: bool,
}

impl MonitorCapabilities {
    /// Nothing of it: what a monitor can is said with the setters, and what is added here later it cannot.
    ///
    /// ```
    /// use mlops_core::monitor::MonitorCapabilities;
    /// let can = MonitorCapabilities::none().with_on_demand(true);
    /// assert!(can.on_demand && !can.ground_truth);
    /// ```
    pub const fn none() -> Self {
        Self { ground_truth: false, on_demand: false }
    }

    /// With labels joined to observations, or not.
    #[must_use]
    pub const fn with_ground_truth(mut self, ground_truth: bool) -> Self {
        self.ground_truth = ground_truth;
        self
    }

    /// With `check` that computes at once, or not.
    #[must_use]
    pub const fn with_on_demand(mut self, on_demand: bool) -> Self {
        self.on_demand = on_demand;
        self
    }

    /// Everything the trait can ask for.
    pub const FULL: Self = Self { ground_truth: true, on_demand: true };
}

/// What a signal compares.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalKind {
    /// Inputs with the reference.
    DataDrift,
    /// Predictions with the reference.
    PredictionDrift,
    /// Predictions with the truth that arrived.
    Performance(PerformanceRule),
    /// Inputs with what they should be like: present, of the right type, within bounds.
    DataQuality(Box<QualityRule>),
}

/// When performance is bad.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PerformanceRule {
    /// The metric.
    pub metric: MetricKey,
    /// The worst value that is still good: a minimum for metrics where higher is better, else a maximum.
    pub limit: f64,
    /// How many labelled rows are needed to judge.
    pub min_labelled: u64,
}

impl PerformanceRule {
    /// A limit for a metric, judged from so many labelled rows on.
    pub fn new(metric: MetricKey, limit: f64, min_labelled: u64) -> Self {
        Self { metric, limit, min_labelled }
    }
}

/// One thing a monitor watches.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalSpec {
    /// Its name within the monitor.
    pub name: String,
    /// What it compares.
    pub kind: SignalKind,
    /// How urgent it is when it is raised.
    pub severity: Severity,
}

impl SignalSpec {
    /// This urgent.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// A signal that warns.
    pub fn new(name: impl Into<String>, kind: SignalKind) -> Self {
        Self { name: name.into(), kind, severity: Severity::Warning }
    }
}

/// A monitor to define.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MonitorSpec {
    /// The name, which is its identity.
    pub name: MonitorName,
    /// The endpoint it watches.
    pub endpoint: EndpointName,
    /// What it watches.
    pub signals: Vec<SignalSpec>,
}

impl MonitorSpec {
    /// A monitor of an endpoint that watches this.
    pub fn new(
        name: MonitorName,
        endpoint: EndpointName,
        signals: impl IntoIterator<Item = SignalSpec>,
    ) -> Self {
        Self { name, endpoint, signals: signals.into_iter().collect() }
    }

    /// Checks names and limits; backends call this first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for no signals, a name twice or empty, a limit that is
    /// not finite; as [`QualityRule::check`].
    pub fn check(&self) -> Result<()> {
        const OP: &str = "Monitor::define";
        if self.signals.is_empty() {
            return Err(Error::invalid(OP, "signals", "a monitor needs at least one signal"));
        }
        let mut seen = std::collections::HashSet::new();
        for signal in &self.signals {
            check_text(OP, "a signal's name", &signal.name)?;
            if signal.name.trim().is_empty() || !seen.insert(&signal.name) {
                let message = "a signal's name is empty or comes twice";
                return Err(Error::invalid(OP, "signals", message).with("signal", &signal.name));
            }
            if let SignalKind::Performance(rule) = &signal.kind
                && !rule.limit.is_finite()
            {
                let message = format!("the limit {} is not finite", rule.limit);
                return Err(Error::invalid(OP, "signals", message).with("signal", &signal.name));
            }
            if let SignalKind::DataQuality(rule) = &signal.kind {
                rule.check().map_err(|error| error.with("signal", &signal.name))?;
            }
        }
        Ok(())
    }
}

/// What a deployment saw and said.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Observations<'a> {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The deployment that answered.
    pub deployment: DeploymentName,
    /// When it answered.
    pub at: Timestamp,
    /// One id a row, by which the truth is joined later; unique within the endpoint.
    pub ids: &'a [String],
    /// What it saw.
    pub features: &'a Table<'a>,
    /// What it said.
    pub predictions: &'a Predictions,
}

impl<'a> Observations<'a> {
    /// What a deployment saw and said, one id a row.
    pub const fn new(
        endpoint: EndpointName,
        deployment: DeploymentName,
        at: Timestamp,
        ids: &'a [String],
        features: &'a Table<'a>,
        predictions: &'a Predictions,
    ) -> Self {
        Self { endpoint, deployment, at, ids, features, predictions }
    }
}

impl Observations<'_> {
    /// Checks that all parts have one length and ids are texts that can be kept; backends call this first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the part or the row;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for predictions of several classes: signals are of one number a row, as the probability
    /// of [one class](crate::model::ClassProbabilities::of_class) is.
    pub fn check(&self) -> Result<()> {
        const OP: &str = "Monitor::observe";
        let rows = self.ids.len();
        if self.predictions.as_classes().is_some() {
            return Err(Error::unsupported(OP, "predictions of several classes"));
        }
        for (part, got) in [("features", self.features.rows()), ("predictions", self.predictions.len())] {
            if got != rows {
                return Err(Error::invalid(OP, part, format!("has {got} rows but there are {rows} ids")));
            }
        }
        match self.ids.iter().position(|id| id.is_empty() || id.len() > 512) {
            Some(row) => Err(Error::invalid(OP, "ids", "an id has 1 to 512 bytes").with("row", row)),
            None => Ok(()),
        }
    }
}

/// What became of observations.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserveReceipt {
    /// Rows that are new.
    pub accepted: u64,
    /// Rows whose id was there already: they changed nothing.
    pub duplicates: u64,
}

impl ObserveReceipt {
    /// A receipt; for backends.
    pub fn new(accepted: u64, duplicates: u64) -> Self {
        Self { accepted, duplicates }
    }
}

/// What was true for one observation: 1 or 0 for a binary task.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroundTruth {
    /// The observation's id.
    pub id: String,
    /// The truth, finite.
    pub value: f64,
}

impl GroundTruth {
    /// The truth about an observation.
    pub fn new(id: impl Into<String>, value: f64) -> Self {
        Self { id: id.into(), value }
    }
}

/// What became of labels.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelReceipt {
    /// Labels that were joined.
    pub joined: u64,
    /// Labels that were joined before, with the same value.
    pub duplicates: u64,
    /// Labels whose observation has not been seen; kept, and joined when it comes.
    pub waiting: u64,
}

impl LabelReceipt {
    /// A receipt; for backends.
    pub fn new(joined: u64, duplicates: u64, waiting: u64) -> Self {
        Self { joined, duplicates, waiting }
    }
}

/// A stretch of time: from `start`, up to and without `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// The first moment.
    pub start: Timestamp,
    /// The first moment after.
    pub end: Timestamp,
}

impl Window {
    /// A window.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when it does not end after it starts.
    ///
    /// ```
    /// use mlops_core::monitor::Window;
    /// let at = |text: &str| text.parse().unwrap();
    /// let day = Window::new(at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z"))?;
    /// assert!(day.contains(day.start) && !day.contains(day.end));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn new(start: Timestamp, end: Timestamp) -> Result<Self> {
        if start < end {
            return Ok(Self { start, end });
        }
        let error = Error::invalid("Window::new", "end", "must lie after the start");
        Err(error.with("start", start.to_rfc3339()).with("end", end.to_rfc3339()))
    }

    /// Whether a moment lies in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        (self.start..self.end).contains(&at)
    }
}

/// What a signal found.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalOutcome {
    /// A comparison of distributions.
    Drift(DriftReport),
    /// A comparison with the truth; `None` where no row is labelled yet.
    Performance {
        /// The metrics of the labelled rows.
        report: Option<EvaluationReport>,
        /// How many rows are labelled.
        labelled: u64,
    },
    /// What the inputs are like.
    DataQuality(QualityReport),
    /// It could not be computed, for this reason.
    Failed(String),
}

/// One signal in a report.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalReport {
    /// The signal's name.
    pub signal: String,
    /// [`Verdict::Fail`] raises the alarm; [`Verdict::Insufficient`] when there was too little data or it failed.
    pub verdict: Verdict,
    /// How urgent it is.
    pub severity: Severity,
    /// Why, as a sentence.
    pub reason: String,
    /// The evidence.
    pub outcome: SignalOutcome,
}

impl SignalReport {
    /// One signal's report.
    pub fn new(
        spec: &SignalSpec,
        verdict: Verdict,
        reason: impl Into<String>,
        outcome: SignalOutcome,
    ) -> Self {
        Self { signal: spec.name.clone(), verdict, severity: spec.severity, reason: reason.into(), outcome }
    }
}

/// What a monitor found in one window.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MonitorReport {
    /// The version of this shape: 1.
    pub schema: u32,
    /// The monitor.
    pub monitor: MonitorName,
    /// The window.
    pub window: Window,
    /// When it looked.
    pub at: Timestamp,
    /// Rows in the window.
    pub rows: u64,
    /// Every signal, in the order of the spec.
    pub signals: Vec<SignalReport>,
}

impl MonitorReport {
    /// A report.
    pub fn new(
        monitor: MonitorName,
        window: Window,
        at: Timestamp,
        rows: u64,
        signals: Vec<SignalReport>,
    ) -> Self {
        Self { schema: 1, monitor, window, at, rows, signals }
    }

    /// The signals that raise the alarm.
    pub fn raised(&self) -> impl Iterator<Item = &SignalReport> {
        self.signals.iter().filter(|s| s.verdict == Verdict::Fail)
    }
}

/// Watches deployments.
///
/// # Contract
/// * `define` makes or replaces a monitor; a signal the backend cannot compute is
///   [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported), and nothing is defined. (`define_replaces`,
///   `unknown_signals_are_unsupported`)
/// * A performance rule on a metric of which it is known that nobody computes it, or that neither end of it is good, is refused by
///   `define`; where the evaluator [does not say](crate::evaluation::Evaluator::metrics) what it measures, the signal is insufficient
///   at every check and its reason names the metric. (`a_metric_nobody_computes_passes_nothing`)
/// * `observe` keeps every row or none; a row whose id is there already changes nothing. (`observations_are_kept_once`,
///   `bad_observations_change_nothing`)
/// * `label` joins by id, whichever comes first; a label that contradicts an earlier one is
///   [`ErrorKind::Conflict`](crate::ErrorKind::Conflict), and none of the call is kept. (`labels_join_in_any_order`,
///   `contradicting_labels_are_a_conflict`)
/// * `check` looks at the rows whose time lies in the window, and at the labels known now; every signal has its place in
///   the report, one that fails is [`SignalOutcome::Failed`]. (`check_looks_at_its_window`, `a_failing_signal_is_reported`)
/// * Data quality is judged feature by feature over all rows of the window, whatever types they come in.
///   (`data_quality_is_judged_by_feature`)
/// * A window without rows raises no alarm and passes nothing: every signal is insufficient. (`an_empty_window_is_insufficient`)
/// * Every report is kept; `reports` lists newest first. (`reports_are_kept`)
#[async_trait]
pub trait Monitor: Debug + Send + Sync + 'static {
    /// What this backend can do.
    fn capabilities(&self) -> MonitorCapabilities;

    /// Makes or replaces a monitor.
    async fn define(&self, spec: &MonitorSpec) -> Result<()>;

    /// Takes what a deployment saw and said.
    async fn observe(&self, observations: &Observations<'_>) -> Result<ObserveReceipt>;

    /// Takes what was true.
    async fn label(&self, endpoint: &EndpointName, labels: &[GroundTruth]) -> Result<LabelReceipt>;

    /// Looks at one window.
    async fn check(&self, monitor: &MonitorName, window: &Window) -> Result<MonitorReport>;

    /// All reports of a monitor, newest first.
    async fn reports(&self, monitor: &MonitorName, page: &PageRequest) -> Result<Page<MonitorReport>>;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Monitor + ?Sized> Monitor for $pointer<T> {
            fn capabilities(&self) -> MonitorCapabilities {
                (**self).capabilities()
            }

            async fn define(&self, spec: &MonitorSpec) -> Result<()> {
                (**self).define(spec).await
            }

            async fn observe(&self, observations: &Observations<'_>) -> Result<ObserveReceipt> {
                (**self).observe(observations).await
            }

            async fn label(&self, endpoint: &EndpointName, labels: &[GroundTruth]) -> Result<LabelReceipt> {
                (**self).label(endpoint, labels).await
            }

            async fn check(&self, monitor: &MonitorName, window: &Window) -> Result<MonitorReport> {
                (**self).check(monitor, window).await
            }

            async fn reports(
                &self,
                monitor: &MonitorName,
                page: &PageRequest,
            ) -> Result<Page<MonitorReport>> {
                (**self).reports(monitor, page).await
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn Monitor) {}
