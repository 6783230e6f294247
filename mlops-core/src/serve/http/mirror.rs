//! Requests that a shadow answers too, without anybody waiting for it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::capture::{Captured, Queue};
use super::endpoint::Slot;
use super::metrics::Metrics;
use crate::data::Table;
use crate::deploy::{EndedRequest, Observers, serving};
use crate::hash::Hasher;
use crate::id::{DeploymentName, EndpointName, Percent};
use crate::time::Clock;

/// A shadow: a deployment that is asked what others answer, so that it is seen at work before anybody depends on it.
///
/// Its answers go nowhere but to the deployer's counts, the metrics and the capture. A request that names a deployment itself is
/// not mirrored, nor is one that the shadow answers anyhow. The shadow takes requests one after the other from a queue; those that
/// come while the queue is full are not mirrored, and counted in `mlops_mirror_dropped_total`.
///
/// ```
/// use mlops_core::Percent;
/// use mlops_core::serve::http::Mirror;
/// let mirror = Mirror::new("green".parse()?, Percent::new(20).unwrap_or(Percent::ALL));
/// assert_eq!(mirror.share.get(), 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The shadow.
    pub deployment: DeploymentName,
    /// The share of requests; the same requests at every instance of the server, and more of them when it is raised.
    pub share: Percent,
}

impl Mirror {
    /// How many requests may wait for the shadow.
    pub const MAX_WAITING: usize = 256;

    /// A shadow of a share of the requests.
    pub fn new(deployment: DeploymentName, share: Percent) -> Self {
        Self { deployment, share }
    }

    pub(super) fn takes(&self, key: &str) -> bool {
        let digest = Hasher::new("mlops.mirror/v1").field(self.deployment.as_str()).field(key).finish();
        let mut head = [0; 8];
        head.copy_from_slice(&digest.as_bytes()[..8]);
        u64::from_le_bytes(head) % 10_000 < u64::from(self.share.get()) * 100
    }
}

/// One request for a shadow.
#[derive(Debug)]
pub(super) struct Mirrored {
    pub(super) endpoint: EndpointName,
    pub(super) shadow: Arc<Slot>,
    pub(super) id: String,
    pub(super) rows: Arc<Table<'static>>,
}

/// Where requests wait for shadows.
#[derive(Debug)]
pub(super) struct Shadows {
    sender: mpsc::Sender<Mirrored>,
    metrics: Arc<Metrics>,
}

impl Shadows {
    /// The queue, and the task that empties it; the task ends when the queue is dropped and empty.
    pub(super) fn start(
        capture: Option<Arc<Queue>>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        observers: Observers,
    ) -> (Self, JoinHandle<()>) {
        let (sender, mut receiver) = mpsc::channel::<Mirrored>(Mirror::MAX_WAITING);
        let counts = metrics.clone();
        let task = tokio::spawn(async move {
            while let Some(mirrored) = receiver.recv().await {
                let (capture, clock, counts) = (capture.clone(), clock.clone(), counts.clone());
                let observers = observers.clone();
                let asked = tokio::task::spawn_blocking(move || {
                    ask(mirrored, capture.as_deref(), &*clock, &counts, &observers)
                });
                // A panic of the model is an error already.
                let _ended = asked.await;
            }
        });
        (Self { sender, metrics }, task)
    }

    pub(super) fn offer(&self, mirrored: Mirrored) {
        if self.sender.try_send(mirrored).is_err() {
            self.metrics.mirror_dropped.fetch_add(1, Relaxed);
        }
    }
}

fn ask(
    mirrored: Mirrored,
    capture: Option<&Queue>,
    clock: &dyn Clock,
    metrics: &Metrics,
    observers: &Observers,
) {
    let Mirrored { endpoint, shadow, id, rows } = mirrored;
    let began = Instant::now();
    let answer = shadow.model.predict(&rows);
    let (deployment, outcome) = (Some(&shadow.deployment.spec.name), serving::outcome(&answer));
    let ended = EndedRequest::new(&endpoint, deployment, clock.now(), outcome, began.elapsed());
    observers.tell(&ended.of_shadow());
    let Ok(predictions) = answer else {
        metrics.mirror_failed.fetch_add(1, Relaxed);
        return;
    };
    shadow.metrics.mirrored();
    if let Some(queue) = capture.filter(|queue| queue.takes(&id)) {
        let deployment = shadow.deployment.spec.name.clone();
        let id = format!("{id}@{deployment}");
        queue.offer(Captured { endpoint, deployment, at: clock.now(), id, rows, predictions });
    }
}
