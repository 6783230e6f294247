//! What a server counts, and how Prometheus reads it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::failure::Code;
use crate::deploy::RequestOutcome;
use crate::id::{DeploymentName, EndpointName};
use crate::time::lock;

/// The upper bounds of the latency histogram, in seconds.
const BOUNDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The most deployments that are counted apart at a time; those beyond are counted together, as `other`.
const MAX_DEPLOYMENTS: usize = 256;

/// What kind of address was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Score,
    Invocations,
    Infer,
    Metadata,
    Health,
    Metrics,
    Other,
}

impl Route {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Score, "score"),
        (Self::Invocations, "invocations"),
        (Self::Infer, "infer"),
        (Self::Metadata, "metadata"),
        (Self::Health, "health"),
        (Self::Metrics, "metrics"),
        (Self::Other, "other"),
    ];
}

/// The statuses that are counted apart; any other is counted as 0.
const STATUSES: [u16; 16] = [200, 400, 401, 404, 405, 408, 413, 415, 421, 429, 500, 503, 504, 204, 206, 0];

#[derive(Debug, Default)]
struct Histogram {
    counts: [AtomicU64; BOUNDS.len()],
    over: AtomicU64,
    nanos: AtomicU64,
}

impl Histogram {
    fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound);
        bucket.and_then(|at| self.counts.get(at)).unwrap_or(&self.over).fetch_add(1, Relaxed);
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }
}

/// What is counted of one deployment.
#[derive(Debug, Default)]
pub(super) struct DeploymentMetrics {
    answered: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    abandoned: AtomicU64,
    rows: AtomicU64,
    mirrored: AtomicU64,
    latency: Histogram,
}

impl DeploymentMetrics {
    /// Counts a request that reached the deployment. Rows and time count where it was answered.
    pub(super) fn ended(&self, outcome: RequestOutcome, rows: usize, took: Duration) {
        let counter = match outcome {
            RequestOutcome::Answered => {
                self.rows.fetch_add(rows as u64, Relaxed);
                self.latency.observe(took);
                &self.answered
            }
            RequestOutcome::Failed => &self.failed,
            RequestOutcome::Refused => &self.refused,
            RequestOutcome::Abandoned => &self.abandoned,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn mirrored(&self) {
        self.mirrored.fetch_add(1, Relaxed);
    }

    fn is_used(&self) -> bool {
        [&self.answered, &self.refused, &self.failed, &self.abandoned, &self.mirrored]
            .iter()
            .any(|counter| counter.load(Relaxed) > 0)
    }
}

/// Everything a server counts. Labels come from the server's own names, never from what callers send.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    requests: [[AtomicU64; STATUSES.len()]; Route::ALL.len()],
    failures: [AtomicU64; Code::ALL.len()],
    deployments: Mutex<BTreeMap<(EndpointName, DeploymentName), Arc<DeploymentMetrics>>>,
    other: Arc<DeploymentMetrics>,
    pub(super) in_flight: AtomicU64,
    pub(super) waiting: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) connections_total: AtomicU64,
    pub(super) connections_refused: AtomicU64,
    pub(super) panics: AtomicU64,
    pub(super) captured: AtomicU64,
    pub(super) capture_dropped: AtomicU64,
    pub(super) capture_failed: AtomicU64,
    pub(super) mirror_dropped: AtomicU64,
    pub(super) mirror_failed: AtomicU64,
}

/// One deployment as `/metrics` tells of it.
pub(super) struct DeploymentState {
    pub(super) endpoint: EndpointName,
    pub(super) deployment: DeploymentName,
    pub(super) loaded: bool,
    pub(super) share: u8,
}

impl Metrics {
    pub(super) fn answer(&self, route: Route, status: u16) {
        let at = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1);
        if let Some(counter) = self.requests.get(route as usize).and_then(|statuses| statuses.get(at)) {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn failure(&self, code: Code) {
        if let Some(counter) = self.failures.get(code as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn deployment(
        &self,
        endpoint: &EndpointName,
        deployment: &DeploymentName,
    ) -> Arc<DeploymentMetrics> {
        let mut deployments = lock(&self.deployments);
        let key = (endpoint.clone(), deployment.clone());
        if let Some(known) = deployments.get(&key) {
            return known.clone();
        }
        if deployments.len() >= MAX_DEPLOYMENTS {
            return self.other.clone();
        }
        deployments.entry(key).or_default().clone()
    }

    /// Whether a deployment is counted together with others, and could be counted apart by now.
    pub(super) fn has_room_for(&self, metrics: &Arc<DeploymentMetrics>) -> bool {
        Arc::ptr_eq(metrics, &self.other) && lock(&self.deployments).len() < MAX_DEPLOYMENTS
    }

    /// Forgets the deployments of an endpoint that are gone: their counters end, as those of a process that has stopped.
    pub(super) fn retain(&self, endpoint: &EndpointName, is_there: impl Fn(&DeploymentName) -> bool) {
        lock(&self.deployments).retain(|(of, deployment), _| of != endpoint || is_there(deployment));
    }

    /// Everything in the text format of Prometheus, version 0.0.4.
    pub(super) fn render(&self, states: &[DeploymentState]) -> String {
        let mut text = Text::default();
        text.family("mlops_http_requests_total", "counter", "Requests by kind of address and status.");
        for ((_, route), statuses) in Route::ALL.iter().zip(&self.requests) {
            for (status, count) in STATUSES.iter().zip(statuses) {
                let count = count.load(Relaxed);
                if count > 0 {
                    let status = if *status == 0 { "other".to_owned() } else { status.to_string() };
                    text.sample("mlops_http_requests_total", &[("route", route), ("status", &status)], count);
                }
            }
        }
        text.family("mlops_http_failures_total", "counter", "Requests that got no prediction, by reason.");
        for (code, count) in Code::ALL.iter().zip(&self.failures) {
            text.sample("mlops_http_failures_total", &[("code", code.as_str())], count.load(Relaxed));
        }
        for (name, kind, help, value) in [
            ("mlops_http_in_flight", "gauge", "Requests that are being answered.", &self.in_flight),
            ("mlops_predict_waiting", "gauge", "Requests that wait for their turn.", &self.waiting),
            ("mlops_http_connections", "gauge", "Open connections.", &self.connections),
            (
                "mlops_http_connections_total",
                "counter",
                "Connections that were accepted.",
                &self.connections_total,
            ),
            (
                "mlops_http_connections_refused_total",
                "counter",
                "Connections beyond the limit.",
                &self.connections_refused,
            ),
            ("mlops_http_panics_total", "counter", "Requests that were ended by a panic.", &self.panics),
            ("mlops_capture_rows_total", "counter", "Rows that were handed to the sink.", &self.captured),
            (
                "mlops_capture_dropped_rows_total",
                "counter",
                "Rows that were dropped because the sink was slower.",
                &self.capture_dropped,
            ),
            (
                "mlops_capture_failed_rows_total",
                "counter",
                "Rows that the sink refused.",
                &self.capture_failed,
            ),
            (
                "mlops_mirror_dropped_total",
                "counter",
                "Requests that were not mirrored because the shadow was slower.",
                &self.mirror_dropped,
            ),
            ("mlops_mirror_failed_total", "counter", "Mirrored requests that failed.", &self.mirror_failed),
        ] {
            text.family(name, kind, help);
            text.sample(name, &[], value.load(Relaxed));
        }
        self.render_deployments(&mut text, states);
        text.0
    }

    fn render_deployments(&self, text: &mut Text, states: &[DeploymentState]) {
        let deployments = lock(&self.deployments);
        let mut all: Vec<(&str, &str, &DeploymentMetrics)> =
            deployments.iter().map(|((e, d), metrics)| (e.as_str(), d.as_str(), &**metrics)).collect();
        if deployments.len() >= MAX_DEPLOYMENTS || self.other.is_used() {
            all.push(("other", "other", &self.other));
        }
        let name = "mlops_predict_requests_total";
        text.family(name, "counter", "Requests that reached a deployment, by outcome.");
        for (endpoint, deployment, metrics) in &all {
            for (outcome, count) in [
                ("answered", &metrics.answered),
                ("refused", &metrics.refused),
                ("failed", &metrics.failed),
                ("abandoned", &metrics.abandoned),
            ] {
                let labels = [("endpoint", *endpoint), ("deployment", *deployment), ("outcome", outcome)];
                text.sample(name, &labels, count.load(Relaxed));
            }
        }
        text.family("mlops_predict_rows_total", "counter", "Rows that were predicted.");
        for (endpoint, deployment, metrics) in &all {
            let labels = [("endpoint", *endpoint), ("deployment", *deployment)];
            text.sample("mlops_predict_rows_total", &labels, metrics.rows.load(Relaxed));
        }
        text.family("mlops_mirror_requests_total", "counter", "Requests that a shadow answered too.");
        for (endpoint, deployment, metrics) in &all {
            let labels = [("endpoint", *endpoint), ("deployment", *deployment)];
            text.sample("mlops_mirror_requests_total", &labels, metrics.mirrored.load(Relaxed));
        }
        let name = "mlops_predict_duration_seconds";
        text.family(name, "histogram", "From the end of a request's headers to its answer.");
        for (endpoint, deployment, metrics) in &all {
            text.histogram(name, [("endpoint", endpoint), ("deployment", deployment)], &metrics.latency);
        }
        text.family("mlops_deployment_loaded", "gauge", "Whether a deployment's model is loaded.");
        for state in states {
            let labels = [("endpoint", state.endpoint.as_str()), ("deployment", state.deployment.as_str())];
            text.sample("mlops_deployment_loaded", &labels, u64::from(state.loaded));
        }
        text.family(
            "mlops_deployment_traffic_percent",
            "gauge",
            "The share of traffic that is routed to a deployment.",
        );
        for state in states {
            let labels = [("endpoint", state.endpoint.as_str()), ("deployment", state.deployment.as_str())];
            text.sample("mlops_deployment_traffic_percent", &labels, u64::from(state.share));
        }
    }
}

/// The text format, written.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"{}\"", if i == 0 { '{' } else { ',' }, escape(text));
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn histogram(&mut self, name: &str, labels: [(&str, &str); 2], histogram: &Histogram) {
        let (bucket, mut total) = (format!("{name}_bucket"), 0);
        let [endpoint, deployment] = labels;
        for (bound, count) in BOUNDS.iter().zip(&histogram.counts) {
            total += count.load(Relaxed);
            self.sample(&bucket, &[endpoint, deployment, ("le", &bound.to_string())], total);
        }
        total += histogram.over.load(Relaxed);
        self.sample(&bucket, &[endpoint, deployment, ("le", "+Inf")], total);
        let seconds = Duration::from_nanos(histogram.nanos.load(Relaxed)).as_secs_f64();
        self.sample(&format!("{name}_sum"), &labels, seconds);
        self.sample(&format!("{name}_count"), &labels, total);
    }
}

/// A label's value: backslash, quote and line feed are escaped.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deployments_that_are_gone_make_room_for_those_that_are_there() {
        let metrics = Metrics::default();
        let (scores, others) = ("scores".parse().unwrap(), "others".parse().unwrap());
        let name = |number: usize| DeploymentName::new(format!("v-{number}")).unwrap();
        let ended = |endpoint, number| {
            let counted = metrics.deployment(endpoint, &name(number));
            counted.ended(RequestOutcome::Answered, 1, Duration::from_millis(1));
            counted
        };
        ended(&others, 1);
        for number in 1..MAX_DEPLOYMENTS {
            ended(&scores, number);
        }
        let beyond = ended(&scores, MAX_DEPLOYMENTS);
        let shows = |number: usize| metrics.render(&[]).contains(&format!("deployment=\"v-{number}\""));
        assert!(shows(1) && !shows(MAX_DEPLOYMENTS) && !metrics.has_room_for(&beyond));
        assert!(metrics.render(&[]).contains("deployment=\"other\""));

        // The first ones are deleted.
        metrics.retain(&scores, |deployment| *deployment != name(2));
        assert!(shows(3) && !shows(2) && metrics.has_room_for(&beyond));
        let apart = ended(&scores, MAX_DEPLOYMENTS);
        assert!(shows(MAX_DEPLOYMENTS) && !metrics.has_room_for(&apart) && !Arc::ptr_eq(&apart, &beyond));
        // What was counted together is still told, and the other endpoint's is its own affair.
        assert!(metrics.render(&[]).contains("deployment=\"other\""));
        assert!(metrics.render(&[]).contains("endpoint=\"others\",deployment=\"v-1\""));
    }
}
