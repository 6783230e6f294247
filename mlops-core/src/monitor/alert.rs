//! Alerts, and where they go.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::id::{IdempotencyKey, MonitorName};
use crate::time::Timestamp;

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For the record.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody must act.
    Critical,
}

/// Whether something is wrong, or has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertStatus {
    /// It is wrong.
    #[default]
    Firing,
    /// It is well again.
    Resolved,
}

impl AlertStatus {
    fn is_firing(&self) -> bool {
        *self == Self::Firing
    }
}

/// Something that somebody should know.
///
/// ```
/// use mlops_core::IdempotencyKey;
/// use mlops_core::monitor::{Alert, AlertStatus, Severity};
/// let at = "2026-01-01T00:00:00Z".parse()?;
/// let alert = Alert::new(IdempotencyKey::generate(), "diabetes".parse()?, "inputs", Severity::Warning, "age drifted", at);
/// assert_eq!(alert.status, AlertStatus::Firing);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The same alert sent twice is one alert.
    pub key: IdempotencyKey,
    /// The monitor it comes from.
    pub monitor: MonitorName,
    /// The signal that raised it.
    pub signal: String,
    /// How urgent it is.
    pub severity: Severity,
    /// What happened, as a sentence.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// Whether it fires or has ended.
    #[serde(default, skip_serializing_if = "AlertStatus::is_firing")]
    pub status: AlertStatus,
    /// What it is of: endpoint, deployment, feature.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Alert {
    /// One that fires, without labels.
    pub fn new(
        key: IdempotencyKey,
        monitor: MonitorName,
        signal: impl Into<String>,
        severity: Severity,
        message: impl Into<String>,
        at: Timestamp,
    ) -> Self {
        let (signal, message) = (signal.into(), message.into());
        Self {
            key,
            monitor,
            signal,
            severity,
            message,
            at,
            status: AlertStatus::Firing,
            labels: BTreeMap::new(),
        }
    }
}

/// That an alert arrived.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertReceipt {
    /// Whether it was there already.
    pub duplicate: bool,
    /// Where it went.
    pub destination: String,
}

impl AlertReceipt {
    /// A receipt; for backends.
    pub fn new(duplicate: bool, destination: impl Into<String>) -> Self {
        Self { duplicate, destination: destination.into() }
    }
}

/// Takes alerts.
///
/// # Contract
/// * `deliver` returns only after the alert arrived; a failure is an error that somebody hears, never silence.
///   (`alerts_arrive`)
/// * An alert with a key that arrived already is not delivered again; the receipt says so. (`alerts_arrive_once`)
#[async_trait]
pub trait AlertSink: Debug + Send + Sync + 'static {
    /// Delivers an alert.
    async fn deliver(&self, alert: &Alert) -> Result<AlertReceipt>;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: AlertSink + ?Sized> AlertSink for $pointer<T> {
            async fn deliver(&self, alert: &Alert) -> Result<AlertReceipt> {
                (**self).deliver(alert).await
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn AlertSink) {}
