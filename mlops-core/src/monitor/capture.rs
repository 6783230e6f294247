//! What a server captured, as observations.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Monitor, Observations};
use crate::error::Result;
use crate::serve::http::{CaptureSink, CapturedRows};

/// Hands what a server captured to a monitor, which joins the truth to it by id when it comes.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::monitor::{Monitor, MonitorSink};
/// use mlops_core::serve::http::{Capture, Redaction};
/// fn watching(monitor: Arc<dyn Monitor>) -> Capture {
///     let capture = Capture::new(Arc::new(MonitorSink::new(monitor)));
///     capture.with_share(0.1).with_redaction(Redaction::none().removing("name"))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct MonitorSink(Arc<dyn Monitor>);

impl MonitorSink {
    /// A sink into `monitor`.
    pub fn new(monitor: Arc<dyn Monitor>) -> Self {
        Self(monitor)
    }
}

#[async_trait]
impl CaptureSink for MonitorSink {
    async fn capture(&self, rows: &CapturedRows<'_>) -> Result<()> {
        let observations = Observations {
            endpoint: rows.endpoint.clone(),
            deployment: rows.deployment.clone(),
            at: rows.at,
            ids: rows.ids,
            features: rows.features,
            predictions: rows.predictions,
        };
        self.0.observe(&observations).await.map(drop)
    }
}
