//! Handing notices to sinks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::AlertState;
use crate::error::{Error, Result};
use crate::id::IdempotencyKey;
use crate::monitor::{AlertReceipt, AlertSink};

/// What became of a notice at a sink.
#[non_exhaustive]
#[derive(Debug)]
pub struct NoticeDelivery {
    /// The notice.
    pub key: IdempotencyKey,
    /// The sink.
    pub sink: String,
    /// That it arrived, or why it did not.
    pub outcome: Result<AlertReceipt>,
}

/// Hands every notice that waits to the sinks that do not have it yet, oldest first: the state in which those that arrived wait
/// no longer, and what became of each.
///
/// A sink that fails keeps its notices waiting, with the number of attempts and the last error in the state, and keeps no other
/// sink from getting theirs; of a sink that failed, later notices are not tried in the same call, so that they arrive in
/// order. A sink that is not among `sinks` fails with [`ErrorKind::NotFound`](crate::ErrorKind::NotFound). Killed half-way, what
/// was delivered is delivered again under the same key.
pub async fn dispatch(
    state: &AlertState,
    sinks: &BTreeMap<String, Arc<dyn AlertSink>>,
) -> (AlertState, Vec<NoticeDelivery>) {
    let mut next = state.clone();
    let mut deliveries = Vec::new();
    let mut failed = std::collections::BTreeSet::new();
    for waiting in &mut next.undelivered {
        let alert = waiting.notice.to_alert();
        let mut tried = false;
        for name in waiting.waiting.clone() {
            if failed.contains(&name) {
                continue;
            }
            tried = true;
            let outcome = match sinks.get(&name) {
                Some(sink) => sink.deliver(&alert).await,
                None => Err(Error::not_found("alerting::dispatch", "sink", &name)),
            };
            match &outcome {
                Ok(_) => drop(waiting.waiting.remove(&name)),
                Err(error) => {
                    waiting.last_error = Some(error.to_string());
                    failed.insert(name.clone());
                }
            }
            deliveries.push(NoticeDelivery { key: waiting.notice.key.clone(), sink: name, outcome });
        }
        waiting.attempts = waiting.attempts.saturating_add(u32::from(tried));
    }
    next.undelivered.retain(|waiting| !waiting.waiting.is_empty());
    (next, deliveries)
}
