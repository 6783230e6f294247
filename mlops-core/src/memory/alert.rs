//! The alert sink in memory.

use std::collections::HashSet;
use std::fmt;
use std::sync::Mutex;

use async_trait::async_trait;

use crate::error::Result;
use crate::id::{IdempotencyKey, check_text};
use crate::monitor::{Alert, AlertReceipt, AlertSink};
use crate::time::lock;

/// Alerts in memory, in the order in which they arrived.
///
/// ```
/// use mlops_core::monitor::{Alert, AlertSink, Severity};
/// use mlops_core::memory::MemoryAlertSink;
/// use mlops_core::{IdempotencyKey, MonitorName};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let sink = MemoryAlertSink::default();
/// let at = chrono::DateTime::UNIX_EPOCH;
/// let (key, monitor) = (IdempotencyKey::generate(), MonitorName::new("diabetes")?);
/// let alert = Alert::new(key, monitor, "inputs", Severity::Warning, "age drifted", at);
/// assert!(!sink.deliver(&alert).await?.duplicate);
/// assert!(sink.deliver(&alert).await?.duplicate);
/// assert_eq!(sink.alerts(), [alert]);
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct MemoryAlertSink {
    arrived: Mutex<Arrived>,
}

#[derive(Default)]
struct Arrived {
    alerts: Vec<Alert>,
    keys: HashSet<IdempotencyKey>,
}

impl MemoryAlertSink {
    /// Every alert that arrived, each once, oldest first.
    pub fn alerts(&self) -> Vec<Alert> {
        lock(&self.arrived).alerts.clone()
    }
}

impl fmt::Debug for MemoryAlertSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryAlertSink").field("alerts", &lock(&self.arrived).alerts.len()).finish()
    }
}

#[async_trait]
impl AlertSink for MemoryAlertSink {
    async fn deliver(&self, alert: &Alert) -> Result<AlertReceipt> {
        const OP: &str = "AlertSink::deliver";
        check_text(OP, "the signal's name", &alert.signal)?;
        check_text(OP, "the message", &alert.message)?;
        let mut arrived = lock(&self.arrived);
        let new = arrived.keys.insert(alert.key.clone());
        if new {
            arrived.alerts.push(alert.clone());
        }
        Ok(AlertReceipt::new(!new, "memory"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::conformance::alert::AlertsUnderTest;

    fn fresh(wrap: impl FnOnce(Arc<MemoryAlertSink>) -> Arc<dyn AlertSink>) -> AlertsUnderTest {
        let sink = Arc::new(MemoryAlertSink::default());
        let arrived = sink.clone();
        AlertsUnderTest::new(wrap(sink)).with_arrived(move || arrived.alerts())
    }

    crate::alert_sink_suite!(plain, fresh(|sink| sink));
    crate::alert_sink_suite!(in_an_arc, fresh(|sink| Arc::new(sink as Arc<dyn AlertSink>)));
    crate::alert_sink_suite!(in_a_box, fresh(|sink| Arc::new(Box::new(sink) as Box<dyn AlertSink>)));
}
