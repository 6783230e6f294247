//! Core's operational metrics and alerts as telemetry.

use std::fmt;

use async_trait::async_trait;
use mlops_core::monitor::{Alert, AlertReceipt, AlertSink, AlertStatus, RecordedReport, Severity};
use mlops_core::{Error, Result};
use tokio::sync::Mutex;

use super::insights::AppInsights;
use crate::delivered::Delivered;
use crate::wire::telemetry::TelemetryItem;

/// What endpoints and deployments did in a window, as metrics: `mlops.throughput`, `mlops.error_rate`, `mlops.availability`,
/// `mlops.latency_p99_seconds` and the others of [`OperationReport::SIGNALS`](mlops_core::monitor::OperationReport::SIGNALS), and
/// `mlops.requests.answered`, `….failed`, `….refused`, `….abandoned`. Each has the properties `endpoint`, `window_start` and, for a
/// deployment, `deployment`, and the time of the window's end. What is undefined is left out.
///
/// ```
/// use mlops_azure::telemetry::sink::operation_items;
/// assert!(operation_items(&[]).is_empty());
/// ```
pub fn operation_items(reports: &[RecordedReport]) -> Vec<TelemetryItem> {
    reports.iter().flat_map(items_of).collect()
}

fn items_of(recorded: &RecordedReport) -> Vec<TelemetryItem> {
    let report = &recorded.report;
    let counts = [
        ("requests.answered", report.answered),
        ("requests.failed", report.failed),
        ("requests.refused", report.refused),
        ("requests.abandoned", report.abandoned),
    ];
    let counts = counts.into_iter().map(|(name, count)| (name, count as f64));
    let signals = report.signals().filter_map(|(name, value)| Some((name, value?)));
    let item = |(name, value): (&str, f64)| {
        let item = TelemetryItem::metric(&format!("mlops.{name}"), value, report.window.end)
            .with_property("window_start", report.window.start.to_rfc3339());
        recorded.labels().into_iter().fold(item, |item, (name, value)| item.with_property(name, value))
    };
    counts.chain(signals).map(item).collect()
}

/// An alert as an event of the name `mlops.alert.firing` or `mlops.alert.resolved`, with everything in its properties and labels under
/// `label.…`.
pub fn alert_item(alert: &Alert) -> TelemetryItem {
    let name = match alert.status {
        AlertStatus::Firing => "mlops.alert.firing",
        AlertStatus::Resolved => "mlops.alert.resolved",
    };
    let severity = match alert.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    };
    let item = TelemetryItem::event(name, alert.at)
        .with_property("key", alert.key.as_str())
        .with_property("monitor", alert.monitor.as_str())
        .with_property("signal", &alert.signal)
        .with_property("severity", severity)
        .with_property("message", &alert.message);
    alert.labels.iter().fold(item, |item, (name, value)| item.with_property(&format!("label.{name}"), value))
}

impl AppInsights {
    /// Keeps what endpoints and deployments did in a window, as [`operation_items`].
    ///
    /// # Errors
    /// As of [`track`](Self::track).
    pub fn track_operation(&self, reports: &[RecordedReport]) -> Result<()> {
        self.track(&operation_items(reports))
    }
}

/// Sends core's alerts to Application Insights, as [`alert_item`].
///
/// An alert has arrived when the service took it; it goes past the spool, so that a failure is an error that somebody hears. Keys that
/// arrived are remembered in this process, the last 100 000 of them; after a restart an alert that is sent again is there twice.
pub struct InsightsAlertSink {
    insights: AppInsights,
    delivered: Mutex<Delivered>,
}

impl InsightsAlertSink {
    /// Sends through a client.
    pub fn new(insights: AppInsights) -> Self {
        Self { insights, delivered: Mutex::default() }
    }
}

impl fmt::Debug for InsightsAlertSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InsightsAlertSink").field("insights", &self.insights).finish_non_exhaustive()
    }
}

#[async_trait]
impl AlertSink for InsightsAlertSink {
    async fn deliver(&self, alert: &Alert) -> Result<AlertReceipt> {
        let mut delivered = self.delivered.lock().await;
        let receipt = |duplicate| AlertReceipt::new(duplicate, "Application Insights");
        if delivered.contains(&alert.key) {
            return Ok(receipt(true));
        }
        let item = alert_item(alert);
        self.insights.send(&[item]).await.map_err(|error| sent(alert, error))?;
        delivered.insert(&alert.key);
        Ok(receipt(false))
    }
}

fn sent(alert: &Alert, error: Error) -> Error {
    error.with("monitor", alert.monitor.as_str())
}
