//! OpenTelemetry: metrics, logs and spans to a collector, by OTLP over HTTP in JSON.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::governance::Secret;
use mlops_core::monitor::{
    Alert, AlertReceipt, AlertSink, AlertStatus, LatencyHistogram, OperationSeries, RecordedReport,
    RecordedSeries, Severity, Window,
};
use mlops_core::time::{Clock, SystemClock};
use mlops_core::{Error, ErrorKind, Result};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::delivered::Delivered;
use crate::http::{HttpBody, HttpRequest, HttpTransport, guard, redact, wait};
use crate::wire::otlp::{
    Attributes, ExportAnswer, HistogramPoint, LogRecord, Metric, MetricData, NumberPoint, PointValue, Span,
    logs_body, metrics_body, traces_body,
};

const EXPORT: &str = "OtlpExporter::export";
/// The longest answer that is read.
const MAX_ANSWER: usize = 1 << 20;
/// The upper bounds, in seconds, that latencies are counted by: those that OpenTelemetry advises for the duration of HTTP requests.
const LATENCY_BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Sends metrics, logs and spans to a collector.
///
/// * Paths are `/v1/metrics`, `/v1/logs` and `/v1/traces` below the address.
/// * Nothing is kept and nothing is tried again: 429, 502, 503, 504 and a lost answer are errors that say that a retry may help, as the
///   protocol wants it; everything else is final. Counts are of their window alone (delta), so that a window that is sent twice counts
///   twice.
/// * What a collector did not take of a request is an error that says how many: it is not to be sent again.
///
/// Headers are in no `Debug`.
///
/// ```
/// use std::sync::Arc;
/// use mlops_azure::http::{ReqwestConfig, ReqwestTransport};
/// use mlops_azure::telemetry::OtlpExporter;
/// use mlops_core::governance::Secret;
/// let transport = Arc::new(ReqwestTransport::new(&ReqwestConfig::default())?);
/// let exporter = OtlpExporter::new("http://127.0.0.1:4318".parse()?, transport)?
///     .with_resource("service.name", "scorer")
///     .with_header("api-key", Secret::new("hunter2"))?;
/// assert!(!format!("{exporter:?}").contains("hunter2"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct OtlpExporter {
    base: Url,
    transport: Arc<dyn HttpTransport>,
    headers: HeaderMap,
    secrets: Vec<Secret>,
    resource: Attributes,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

impl OtlpExporter {
    /// Sends to a collector over a transport.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an address that is not `https` (in clear text this machine alone), or has credentials or a query.
    pub fn new(base: Url, transport: Arc<dyn HttpTransport>) -> Result<Self> {
        const OP: &str = "OtlpExporter::new";
        guard::may_carry_secrets(OP, "base", &base)?;
        if base.query().is_some() || base.fragment().is_some() {
            return Err(Error::invalid(OP, "base", "has a query or a fragment"));
        }
        Ok(Self {
            base,
            transport,
            headers: HeaderMap::new(),
            secrets: Vec::new(),
            resource: Attributes::default(),
            timeout: Duration::from_secs(10),
            clock: Arc::new(SystemClock::new()),
        })
    }

    /// Says of everything who tells: `service.name`, `service.instance.id`.
    #[must_use]
    pub fn with_resource(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.resource = self.resource.with(name, value);
        self
    }

    /// With a header on every request.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name or a value that no header has.
    pub fn with_header(mut self, name: &str, value: Secret) -> Result<Self> {
        const OP: &str = "OtlpExporter::with_header";
        let name = HeaderName::try_from(name)
            .map_err(|_| Error::invalid(OP, "name", "is no header's name").with("value", name))?;
        let mut header = HeaderValue::from_str(value.expose())
            .map_err(|_| Error::invalid(OP, "value", "holds a character that no header can hold"))?;
        header.set_sensitive(true);
        self.headers.insert(name, header);
        self.secrets.push(value);
        Ok(self)
    }

    /// The deadline of a request; ten seconds where nothing is set.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What time it is.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sends metrics.
    ///
    /// # Errors
    /// As the type says.
    pub async fn export_metrics(&self, metrics: &[Metric]) -> Result<()> {
        self.send("metrics", &metrics_body(&self.resource, metrics)).await
    }

    /// Sends lines of a log.
    ///
    /// # Errors
    /// As the type says.
    pub async fn export_logs(&self, records: &[LogRecord]) -> Result<()> {
        self.send("logs", &logs_body(&self.resource, records, self.clock.now())).await
    }

    /// Sends spans.
    ///
    /// # Errors
    /// As the type says.
    pub async fn export_traces(&self, spans: &[Span]) -> Result<()> {
        self.send("traces", &traces_body(&self.resource, spans)).await
    }

    /// Sends what endpoints and deployments did in a window, as [`operation_metrics`].
    ///
    /// # Errors
    /// As the type says.
    pub async fn export_operation(&self, reports: &[RecordedReport]) -> Result<()> {
        self.export_metrics(&operation_metrics(reports)).await
    }

    async fn send(&self, signal: &str, body: &Value) -> Result<()> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/v1/{signal}", self.base.path().trim_end_matches('/')));
        let mut request = HttpRequest::new(Method::POST, url);
        request.headers = self.headers.clone();
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.body = HttpBody::from(body.to_string());
        request.timeout = self.timeout;
        let sent = self.transport.send(request).await;
        let response = sent.map_err(|fault| fault.into_error(EXPORT).with_retryable(true))?;
        let asked = wait::asked(&response.headers, self.clock.now());
        let status = response.status;
        let body = response.body.collect(MAX_ANSWER).await.map_err(|e| e.with_retryable(true))?;
        if (200..300).contains(&status) {
            return self.taken(&body);
        }
        let (kind, retryable) = match status {
            429 => (ErrorKind::RateLimited, true),
            502..=504 => (ErrorKind::Busy, true),
            401 | 403 => (ErrorKind::Auth, false),
            _ => (ErrorKind::Rejected, false),
        };
        let error = Error::new(kind, EXPORT, "the collector does not take it").with_retryable(retryable);
        let said = redact::text(&String::from_utf8_lossy(&body), &self.secrets, 200);
        let error = error.with("status", status).with("said", said);
        Err(match asked {
            Some(wait) => error.with("retry_after_s", wait.as_secs()),
            None => error,
        })
    }

    /// Whether everything was taken. An answer that is no JSON says that it was.
    fn taken(&self, body: &[u8]) -> Result<()> {
        let answer: ExportAnswer = serde_json::from_slice(body).unwrap_or_default();
        let Some(part) = answer.partial_success.filter(|part| part.rejected() > 0) else { return Ok(()) };
        let said = redact::text(part.error_message.as_deref().unwrap_or_default(), &self.secrets, 200);
        let error =
            Error::new(ErrorKind::Rejected, EXPORT, "the collector took a part").with_retryable(false);
        Err(error.with("rejected", part.rejected()).with("said", said))
    }
}

impl fmt::Debug for OtlpExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpExporter")
            .field("host", &self.base.host_str())
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

fn attributes(recorded: &RecordedReport) -> Attributes {
    recorded.labels().into_iter().fold(Attributes::default(), |all, (name, value)| all.with(name, value))
}

/// What endpoints and deployments did in a window, as metrics: the sum `mlops.requests` by `outcome` (answered, failed, refused,
/// abandoned), and as gauges those of [`OperationReport::SIGNALS`](mlops_core::monitor::OperationReport::SIGNALS) as
/// `mlops.throughput`, `mlops.error_rate`, `mlops.latency_p99_seconds`, …. What is undefined is left out.
///
/// ```
/// use mlops_azure::telemetry::otlp::operation_metrics;
/// assert!(operation_metrics(&[]).is_empty());
/// ```
pub fn operation_metrics(reports: &[RecordedReport]) -> Vec<Metric> {
    if reports.is_empty() {
        return Vec::new();
    }
    let point = |recorded: &RecordedReport, attributes, value| NumberPoint {
        start: recorded.report.window.start,
        end: recorded.report.window.end,
        attributes,
        value,
    };
    let mut requests = Vec::new();
    for recorded in reports {
        let report = &recorded.report;
        let counts = [
            ("answered", report.answered),
            ("failed", report.failed),
            ("refused", report.refused),
            ("abandoned", report.abandoned),
        ];
        requests.extend(counts.map(|(outcome, count)| {
            point(recorded, attributes(recorded).with("outcome", outcome), PointValue::Count(count))
        }));
    }
    let requests =
        Metric { name: "mlops.requests".to_owned(), unit: "{request}", data: MetricData::Sum(requests) };
    let gauges = mlops_core::monitor::OperationReport::SIGNALS.into_iter().filter_map(|name| {
        let value = |recorded: &RecordedReport| {
            let (_, value) = recorded.report.signals().find(|(signal, _)| *signal == name)?;
            Some(point(recorded, attributes(recorded), PointValue::Measure(value?)))
        };
        let points: Vec<NumberPoint> = reports.iter().filter_map(value).collect();
        let unit = match name {
            "throughput" => "{request}/s",
            name if name.ends_with("_seconds") => "s",
            _ => "1",
        };
        let name = format!("mlops.{name}");
        (!points.is_empty()).then_some(Metric { name, unit, data: MetricData::Gauge(points) })
    });
    std::iter::once(requests).chain(gauges).collect()
}

/// How long answers took in a window, as the histogram `mlops.request.duration` in seconds, with the bounds that OpenTelemetry advises;
/// `None` where there are none. A latency is counted by the longest duration of its own bucket, at most 1/128 longer.
///
/// # Errors
/// As of [`OperationSeries::since`]: the window reaches back further than what is kept. Slots that begin in the window are in it.
pub fn latency_metric(recorded: &[RecordedSeries], window: &Window) -> Result<Option<Metric>> {
    let mut points = Vec::new();
    for one in recorded {
        if let Some(point) = latency_point(one, &one.series, window)? {
            points.push(point);
        }
    }
    let name = "mlops.request.duration".to_owned();
    Ok((!points.is_empty()).then_some(Metric { name, unit: "s", data: MetricData::Histogram(points) }))
}

fn latency_point(
    recorded: &RecordedSeries,
    series: &OperationSeries,
    window: &Window,
) -> Result<Option<HistogramPoint>> {
    // What is since the start, without what is since the end.
    let (all, after) = (series.since(window.start)?.latency, series.since(window.end)?.latency);
    let counts: Vec<u64> = by_bound(&all)
        .into_iter()
        .zip(by_bound(&after))
        .map(|(all, after)| all.saturating_sub(after))
        .collect();
    if counts.iter().all(|count| *count == 0) {
        return Ok(None);
    }
    let attributes = Attributes::default().with("endpoint", recorded.endpoint.as_str());
    let attributes = match &recorded.deployment {
        Some(deployment) => attributes.with("deployment", deployment.as_str()),
        None => attributes,
    };
    Ok(Some(HistogramPoint {
        start: window.start,
        end: window.end,
        attributes,
        sum: (all.total_seconds() - after.total_seconds()).max(0.0),
        bounds: LATENCY_BOUNDS.to_vec(),
        counts,
    }))
}

/// How many durations lie up to each bound, and above the last.
fn by_bound(latency: &LatencyHistogram) -> Vec<u64> {
    let mut counts = vec![0_u64; LATENCY_BOUNDS.len() + 1];
    for (longest, count) in latency.buckets() {
        let place = LATENCY_BOUNDS.partition_point(|bound| *bound < longest.as_secs_f64());
        if let Some(slot) = counts.get_mut(place) {
            *slot = slot.saturating_add(count);
        }
    }
    counts
}

fn severity_text_of(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// An alert as a line of a log; one that has ended is information, and its urgency is in the attribute `mlops.severity`.
pub fn alert_record(alert: &Alert) -> LogRecord {
    let (severity, severity_text) = match (alert.status, alert.severity) {
        (AlertStatus::Resolved, _) | (_, Severity::Info) => (9, "INFO"),
        (_, Severity::Warning) => (13, "WARN"),
        (_, Severity::Critical) => (17, "ERROR"),
    };
    let status = match alert.status {
        AlertStatus::Firing => "firing",
        AlertStatus::Resolved => "resolved",
    };
    let attributes = Attributes::default()
        .with("event.name", format!("mlops.alert.{status}"))
        .with("mlops.alert.key", alert.key.as_str())
        .with("mlops.monitor", alert.monitor.as_str())
        .with("mlops.severity", severity_text_of(alert.severity))
        .with("mlops.signal", &alert.signal);
    let attributes = alert
        .labels
        .iter()
        .fold(attributes, |all, (name, value)| all.with(format!("mlops.label.{name}"), value));
    LogRecord { at: alert.at, severity, severity_text, body: alert.message.clone().into(), attributes }
}

/// Sends core's alerts to a collector as lines of a log.
///
/// An alert has arrived when the collector took it. Keys that arrived are remembered in this process, the last 100 000 of them.
#[derive(Debug)]
pub struct OtlpAlertSink {
    exporter: OtlpExporter,
    delivered: Mutex<Delivered>,
}

impl OtlpAlertSink {
    /// Sends through an exporter.
    pub fn new(exporter: OtlpExporter) -> Self {
        Self { exporter, delivered: Mutex::default() }
    }
}

#[async_trait]
impl AlertSink for OtlpAlertSink {
    async fn deliver(&self, alert: &Alert) -> Result<AlertReceipt> {
        let mut delivered = self.delivered.lock().await;
        let host = self.exporter.base.host_str().unwrap_or_default();
        let receipt = |duplicate| AlertReceipt::new(duplicate, host);
        if delivered.contains(&alert.key) {
            return Ok(receipt(true));
        }
        self.exporter.export_logs(&[alert_record(alert)]).await?;
        delivered.insert(&alert.key);
        Ok(receipt(false))
    }
}
