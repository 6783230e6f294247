//! Alerts, and where they go.

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

/// Something that somebody should know.
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
