//! What was asked and answered, handed on to whoever watches.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Relaxed},
};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Redaction;
use super::metrics::Metrics;
use crate::data::Table;
use crate::error::{Error, Result};
use crate::hash::Hasher;
use crate::id::{DeploymentName, EndpointName};
use crate::model::Predictions;
use crate::time::Timestamp;

/// Rows that one deployment answered.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct CapturedRows<'a> {
    /// The endpoint.
    pub endpoint: &'a EndpointName,
    /// The deployment that answered.
    pub deployment: &'a DeploymentName,
    /// When it answered; the first, where several requests of one second are handed over together.
    pub at: Timestamp,
    /// One id a row.
    pub ids: &'a [String],
    /// What the model was given, without what is not kept.
    pub features: &'a Table<'a>,
    /// What it said.
    pub predictions: &'a Predictions,
}

/// Where captured requests go. [`MonitorSink`](crate::monitor::MonitorSink) hands them to a monitor.
#[async_trait]
pub trait CaptureSink: Debug + Send + Sync + 'static {
    /// Takes rows. After an error that is retryable it is asked again, twice.
    async fn capture(&self, rows: &CapturedRows<'_>) -> Result<()>;
}

/// Which requests are captured, and how.
///
/// A request is captured or not by the hash of its id: another instance of the server, or a repetition, decides in the same way.
/// A row's id is the request's where there is one row, else `ID/0`, `ID/1`, …; the caller has the request's id from the header
/// `x-request-id`. What a shadow answers has the id `ID@SHADOW`.
///
/// Capturing never makes a caller wait. Requests stand in a queue of `max_requests` requests and `max_cells` values; what does
/// not fit is dropped, and counted in `mlops_capture_dropped_rows_total`. At the end the queue is emptied into the sink.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Capture {
    /// Where they go.
    pub sink: Arc<dyn CaptureSink>,
    /// The share of requests, in [0, 1].
    pub share: f64,
    /// What of their columns is kept.
    pub redaction: Redaction,
    /// The most requests in the queue. Default: 4096.
    pub max_requests: usize,
    /// The most values of all requests in the queue. Default: 4 million.
    pub max_cells: usize,
}

impl Capture {
    /// Captures every request, all of it.
    pub fn new(sink: Arc<dyn CaptureSink>) -> Self {
        Self { sink, share: 1.0, redaction: Redaction::none(), max_requests: 4096, max_cells: 4_000_000 }
    }

    /// Sets the share of requests.
    #[must_use]
    pub fn with_share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// Sets what of their columns is kept.
    #[must_use]
    pub fn with_redaction(mut self, redaction: Redaction) -> Self {
        self.redaction = redaction;
        self
    }

    /// Sets the length of the queue.
    #[must_use]
    pub fn with_max_requests(mut self, max_requests: usize) -> Self {
        self.max_requests = max_requests;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        const OP: &str = "Capture::check";
        if !(0.0..=1.0).contains(&self.share) {
            return Err(Error::invalid(OP, "share", "lies in [0, 1]").with("value", self.share));
        }
        if self.max_requests == 0 || self.max_requests > 1 << 24 {
            let error = Error::invalid(OP, "max_requests", "lies between 1 and 2^24");
            return Err(error.with("value", self.max_requests));
        }
        Ok(())
    }

    /// Whether a request is captured: the 53 bits of its hash, as a number in [0, 1), lie below the share.
    pub(super) fn takes(&self, request_id: &str) -> bool {
        let digest = Hasher::new("mlops.capture/v1").field(request_id).finish();
        let mut head = [0; 8];
        head.copy_from_slice(&digest.as_bytes()[..8]);
        let place = (u64::from_le_bytes(head) >> 11) as f64 / (1_u64 << 53) as f64;
        place < self.share
    }
}

/// One request that is captured.
#[derive(Debug)]
pub(super) struct Captured {
    pub(super) endpoint: EndpointName,
    pub(super) deployment: DeploymentName,
    pub(super) at: Timestamp,
    pub(super) id: String,
    pub(super) rows: Arc<Table<'static>>,
    pub(super) predictions: Predictions,
}

impl Captured {
    fn cells(&self) -> usize {
        self.predictions.len().saturating_mul(self.rows.columns().len() + 1)
    }

    fn ids(&self) -> Vec<String> {
        match self.predictions.len() {
            1 => vec![self.id.clone()],
            rows => (0..rows).map(|row| format!("{}/{row}", self.id)).collect(),
        }
    }
}

/// Where requests wait for the sink.
#[derive(Debug)]
pub(super) struct Queue {
    capture: Capture,
    sender: mpsc::Sender<Captured>,
    cells: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl Queue {
    /// The queue, and the task that empties it; the task ends when the queue is dropped and empty.
    pub(super) fn start(capture: Capture, metrics: Arc<Metrics>) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(capture.max_requests);
        let cells = Arc::new(AtomicUsize::new(0));
        let queue = Self { capture: capture.clone(), sender, cells: cells.clone(), metrics: metrics.clone() };
        (queue, tokio::spawn(empty(capture, receiver, cells, metrics)))
    }

    pub(super) fn takes(&self, request_id: &str) -> bool {
        self.capture.takes(request_id)
    }

    /// Queues a request, or drops it.
    pub(super) fn offer(&self, captured: Captured) {
        let (cells, rows) = (captured.cells(), captured.predictions.len());
        let before = self.cells.fetch_add(cells, AcqRel);
        let fits = before == 0 || before.saturating_add(cells) <= self.capture.max_cells;
        if !fits || self.sender.try_send(captured).is_err() {
            self.cells.fetch_sub(cells, AcqRel);
            self.metrics.capture_dropped.fetch_add(rows as u64, Relaxed);
        }
    }
}

/// The most requests that are handed to the sink together.
const BATCH: usize = 256;

async fn empty(
    capture: Capture,
    mut receiver: mpsc::Receiver<Captured>,
    cells: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
) {
    let mut batch = Vec::new();
    while receiver.recv_many(&mut batch, BATCH).await > 0 {
        let held: usize = batch.iter().map(Captured::cells).sum();
        // What came together goes together, each deployment's rows of one second in one call.
        let mut groups: BTreeMap<(EndpointName, DeploymentName, i64), Vec<Captured>> = BTreeMap::new();
        for captured in batch.drain(..) {
            let key = (captured.endpoint.clone(), captured.deployment.clone(), captured.at.timestamp());
            groups.entry(key).or_default().push(captured);
        }
        for group in groups.into_values() {
            let rows: usize = group.iter().map(|captured| captured.predictions.len()).sum();
            let handed = hand_over(&capture, &group).await;
            let counter = if handed.is_ok() { &metrics.captured } else { &metrics.capture_failed };
            counter.fetch_add(rows as u64, Relaxed);
        }
        cells.fetch_sub(held, AcqRel);
    }
}

async fn hand_over(capture: &Capture, group: &[Captured]) -> Result<()> {
    let Some(first) = group.first() else { return Ok(()) };
    let kept: Vec<Table<'static>> =
        group.iter().map(|captured| capture.redaction.apply(&captured.rows)).collect::<Result<_>>()?;
    let features = Table::concat(&kept)?;
    let predictions = Predictions::concat(group.iter().map(|captured| &captured.predictions))?;
    let ids: Vec<String> = group.iter().flat_map(Captured::ids).collect();
    let rows = CapturedRows {
        endpoint: &first.endpoint,
        deployment: &first.deployment,
        at: first.at,
        ids: &ids,
        features: &features,
        predictions: &predictions,
    };
    let mut wait = Duration::from_millis(50);
    for _ in 0..2 {
        match capture.sink.capture(&rows).await {
            Err(e) if e.is_retryable() => tokio::time::sleep(wait).await,
            answer => return answer,
        }
        wait *= 4;
    }
    capture.sink.capture(&rows).await
}
