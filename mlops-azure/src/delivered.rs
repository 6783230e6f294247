//! The keys of alerts that were delivered lately.

use std::collections::{HashSet, VecDeque};

use mlops_core::IdempotencyKey;

/// The last [`LIMIT`](Self::LIMIT) keys.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    keys: HashSet<IdempotencyKey>,
    order: VecDeque<IdempotencyKey>,
}

impl Delivered {
    const LIMIT: usize = 100_000;

    pub(crate) fn contains(&self, key: &IdempotencyKey) -> bool {
        self.keys.contains(key)
    }

    pub(crate) fn insert(&mut self, key: &IdempotencyKey) {
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
