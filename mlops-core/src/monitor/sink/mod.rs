//! Where alerts go: a log, a file, a webhook; and how they look as CloudEvents.
//!
//! Each is an [`AlertSink`](super::AlertSink) and runs its suite. None makes a connection: a webhook posts through a
//! [`WebhookTransport`] that is handed in.

mod cloud_event;
mod file;
mod log;
mod signature;
mod transport;
mod webhook;

pub use cloud_event::alert_event;
pub use file::FileAlertSink;
pub use log::LogAlertSink;
pub use signature::{SignatureError, WebhookSecret, verify_webhook};
pub(crate) use signature::{header_once, recent, signed_by_any};
pub use transport::{WebhookRequest, WebhookResponse, WebhookTransport};
pub use webhook::{WebhookAlertSink, WebhookAttempt, WebhookIo, WebhookRetry, WebhookTarget};

use std::collections::{HashSet, VecDeque};

use crate::id::IdempotencyKey;

/// The keys that were delivered lately.
#[derive(Debug, Default)]
struct Delivered {
    keys: HashSet<IdempotencyKey>,
    order: VecDeque<IdempotencyKey>,
}

impl Delivered {
    /// How many are remembered.
    const LIMIT: usize = 100_000;

    fn contains(&self, key: &IdempotencyKey) -> bool {
        self.keys.contains(key)
    }

    fn insert(&mut self, key: &IdempotencyKey) {
        if self.keys.insert(key.clone()) {
            self.order.push_back(key.clone());
        }
        if self.order.len() > Self::LIMIT
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
    }
}
