//! The suite of [`AlertSink`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::support::{RACERS, TEXTS, at, race, skipped};
use crate::id::{IdempotencyKey, MonitorName};
use crate::monitor::{Alert, AlertSink, AlertStatus, Severity};

/// Makes a test of every case of the [`AlertSink`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes a fresh
/// [`AlertsUnderTest`](crate::conformance::alert::AlertsUnderTest). See [the module](crate::conformance) for a whole example.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::conformance::alert::AlertsUnderTest;
/// use mlops_core::memory::MemoryAlertSink;
///
/// mlops_core::alert_sink_suite!(memory, AlertsUnderTest::new(Arc::new(MemoryAlertSink::default())));
/// ```
#[macro_export]
macro_rules! alert_sink_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite! { $module, $fresh, alert, [
            alerts_arrive,
            alerts_arrive_once,
            alerts_arrive_as_they_were,
            different_alerts_all_arrive,
            concurrent_alerts_arrive_once_each,
        ] }
    };
}

type Arrived = Box<dyn Fn() -> Vec<Alert> + Send + Sync>;

/// An alert sink to which nothing was delivered, and a look at its other end.
pub struct AlertsUnderTest {
    sink: Arc<dyn AlertSink>,
    arrived: Option<Arrived>,
}

impl AlertsUnderTest {
    /// A sink of which only the receipts can be seen.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::conformance::alert::AlertsUnderTest;
    /// use mlops_core::memory::MemoryAlertSink;
    /// let sink = Arc::new(MemoryAlertSink::default());
    /// let other_end = sink.clone();
    /// let under_test = AlertsUnderTest::new(sink).with_arrived(move || other_end.alerts());
    /// assert!(format!("{under_test:?}").contains("MemoryAlertSink"));
    /// ```
    pub fn new(sink: Arc<dyn AlertSink>) -> Self {
        Self { sink, arrived: None }
    }

    /// What has arrived at the other end, in any order.
    #[must_use]
    pub fn with_arrived(mut self, arrived: impl Fn() -> Vec<Alert> + Send + Sync + 'static) -> Self {
        self.arrived = Some(Box::new(arrived));
        self
    }

    /// Checks what arrived, where that can be seen.
    #[track_caller]
    fn expect(&self, expected: &[Alert]) {
        let Some(arrived) = &self.arrived else { return skipped("what arrived cannot be seen here") };
        let sorted = |mut alerts: Vec<Alert>| {
            alerts.sort_by(|a, b| a.key.cmp(&b.key));
            alerts
        };
        assert_eq!(sorted(arrived()), sorted(expected.to_vec()));
    }
}

impl fmt::Debug for AlertsUnderTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlertsUnderTest")
            .field("sink", &self.sink)
            .field("arrived", &self.arrived.is_some())
            .finish()
    }
}

fn alert(key: &str) -> Alert {
    let (key, monitor) = (IdempotencyKey::new(key).unwrap(), MonitorName::new("diabetes").unwrap());
    Alert::new(key, monitor, "inputs", Severity::Warning, "age drifted", at("2026-01-01T00:00:00Z"))
}

/// When `deliver` returns, the alert has arrived.
pub async fn alerts_arrive(under: &AlertsUnderTest) {
    let receipt = under.sink.deliver(&alert("one")).await.unwrap();
    assert!(!receipt.duplicate && !receipt.destination.is_empty(), "{receipt:?}");
    under.expect(&[alert("one")]);
}

/// The same alert again is not delivered again, and the receipt says so.
pub async fn alerts_arrive_once(under: &AlertsUnderTest) {
    for sent in [false, true, true] {
        assert_eq!(under.sink.deliver(&alert("one")).await.unwrap().duplicate, sent);
    }
    // The key decides: a process that was restarted may tell the time differently.
    let later = Alert { at: at("2026-01-02T00:00:00Z"), ..alert("one") };
    assert!(under.sink.deliver(&later).await.unwrap().duplicate);
    under.expect(&[alert("one")]);
}

/// Every text arrives as it was sent.
pub async fn alerts_arrive_as_they_were(under: &AlertsUnderTest) {
    let mut sent = Vec::new();
    for (i, text) in TEXTS.iter().enumerate() {
        let (message, signal) = ((*text).to_owned(), format!("signal {text}"));
        let severity = [Severity::Info, Severity::Warning, Severity::Critical][i % 3];
        let status = [AlertStatus::Firing, AlertStatus::Resolved][i % 2];
        let labels = [("text".to_owned(), (*text).to_owned())].into();
        let alert = Alert { message, signal, severity, status, labels, ..alert(&format!("text-{i}")) };
        under.sink.deliver(&alert).await.unwrap();
        sent.push(alert);
    }
    under.expect(&sent);
}

/// Alerts that differ in nothing but the key are different alerts.
pub async fn different_alerts_all_arrive(under: &AlertsUnderTest) {
    let sent: Vec<_> = ["a", "A", "a.", "aa", "{}", "%61"].map(alert).into();
    for alert in &sent {
        assert!(!under.sink.deliver(alert).await.unwrap().duplicate, "{alert:?}");
    }
    under.expect(&sent);
}

/// Of many that send the same alert at once, one delivers it.
pub async fn concurrent_alerts_arrive_once_each(under: &AlertsUnderTest) {
    let keys = 4;
    let receipts = race(RACERS, |i| {
        let sink = under.sink.clone();
        async move { (i % keys, sink.deliver(&alert(&format!("key-{}", i % keys))).await.unwrap()) }
    })
    .await;
    let firsts: Vec<_> = receipts.iter().filter(|(_, r)| !r.duplicate).map(|(key, _)| *key).collect();
    assert_eq!(firsts.len(), keys, "each alert is delivered once");
    assert_eq!(firsts.iter().collect::<BTreeSet<_>>().len(), keys);
    under.expect(&(0..keys).map(|i| alert(&format!("key-{i}"))).collect::<Vec<_>>());
}
