//! Alerts as lines of a log.

use std::fmt;
use std::io::Write;
use std::sync::Mutex;

use async_trait::async_trait;
use chrono::SecondsFormat;

use super::Delivered;
use crate::error::{Error, ErrorKind, Result, needs_escape};
use crate::id::check_text;
use crate::monitor::{Alert, AlertReceipt, AlertSink, AlertStatus, Severity};
use crate::time::lock;

/// Writes a line of `key=value` pairs (logfmt) for every alert: time, level, state, monitor, signal, labels as `label.…`, key, message.
///
/// Control characters, bidirectional and invisible ones are escaped: an alert is one line, whatever it holds. The line is
/// flushed before `deliver` returns. Keys are remembered in this process, the last 100 000 of them; after a restart an alert
/// that is sent again is written again.
///
/// ```
/// use mlops_core::monitor::sink::LogAlertSink;
/// use mlops_core::monitor::{Alert, AlertSink as _, Severity};
/// use mlops_core::IdempotencyKey;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let sink = LogAlertSink::new(std::io::stderr());
/// let at = "2026-01-01T00:00:00Z".parse()?;
/// let alert = Alert::new(IdempotencyKey::new("k")?, "diabetes".parse()?, "inputs", Severity::Warning, "age drifted", at);
/// assert_eq!(
///     LogAlertSink::line(&alert),
///     "ts=2026-01-01T00:00:00Z level=warning state=firing monitor=diabetes signal=inputs key=k msg=\"age drifted\"\n"
/// );
/// assert!(!sink.deliver(&alert).await?.duplicate);
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LogAlertSink {
    to: Mutex<To>,
}

struct To {
    writer: Box<dyn Write + Send>,
    delivered: Delivered,
}

impl LogAlertSink {
    /// Writes to a writer.
    pub fn new(writer: impl Write + Send + 'static) -> Self {
        Self { to: Mutex::new(To { writer: Box::new(writer), delivered: Delivered::default() }) }
    }

    /// The line of an alert, its end included.
    pub fn line(alert: &Alert) -> String {
        let level = match alert.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        };
        let state = match alert.status {
            AlertStatus::Firing => "firing",
            AlertStatus::Resolved => "resolved",
        };
        let at = alert.at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let mut line = format!("ts={at} level={level} state={state}");
        line += &format!(" monitor={} signal={}", value(alert.monitor.as_str()), value(&alert.signal));
        for (name, label) in &alert.labels {
            line += &format!(" {}={}", value(&format!("label.{name}")), value(label));
        }
        line + &format!(" key={} msg={}\n", value(alert.key.as_str()), value(&alert.message))
    }
}

/// A value as it is, or quoted and escaped where it would not be one word.
fn value(text: &str) -> String {
    let plain = |c: char| !(c.is_whitespace() || matches!(c, '"' | '=' | '\\') || needs_escape(c));
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            _ if needs_escape(c) => out.extend(c.escape_default()),
            _ => out.push(c),
        }
    }
    out + "\""
}

impl fmt::Debug for LogAlertSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogAlertSink").finish_non_exhaustive()
    }
}

#[async_trait]
impl AlertSink for LogAlertSink {
    async fn deliver(&self, alert: &Alert) -> Result<AlertReceipt> {
        const OP: &str = "AlertSink::deliver";
        check_text(OP, "the signal's name", &alert.signal)?;
        check_text(OP, "the message", &alert.message)?;
        let mut to = lock(&self.to);
        if to.delivered.contains(&alert.key) {
            return Ok(AlertReceipt::new(true, "log"));
        }
        let line = Self::line(alert);
        to.writer.write_all(line.as_bytes()).and_then(|()| to.writer.flush()).map_err(|source| {
            Error::new(ErrorKind::Storage, OP, "cannot write the line").with_source(source)
        })?;
        to.delivered.insert(&alert.key);
        Ok(AlertReceipt::new(false, "log"))
    }
}
