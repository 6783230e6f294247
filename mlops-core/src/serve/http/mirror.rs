//! Requests that a shadow answers too, without anybody waiting for it.
//!
//! The shadow takes requests one after the other from a queue; those that come while the queue is full are not mirrored, and counted in
//! `mlops_mirror_dropped_total`. Its answers go nowhere but to the deployer's counts, the metrics and the capture.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::capture::{Captured, Queue};
use super::endpoint::Slot;
use super::metrics::Metrics;
use crate::data::Table;
use crate::deploy::{EndedRequest, Mirror, Observers, serving};
use crate::id::EndpointName;
use crate::time::Clock;

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
