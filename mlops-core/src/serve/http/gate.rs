//! How many are served at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::{Code, Failure};

/// So many at once, and so many that wait, in the order in which they came.
#[derive(Debug)]
pub(super) struct Gate {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_waiting: usize,
}

impl Gate {
    pub(super) fn new(places: usize, max_waiting: usize) -> Self {
        let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Self { places, waiting: AtomicUsize::new(0), max_waiting }
    }

    /// Takes a place, held until the answer is dropped; waits for one if not too many wait already.
    pub(super) async fn enter(&self) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = Waiting(&self.waiting);
        if self.waiting.fetch_add(1, AcqRel) >= self.max_waiting {
            return Err(Failure::new(Code::TooManyRequests, "too many requests at once").retry_after(1));
        }
        let place = self.places.clone().acquire_owned().await;
        place.map_err(|_| Failure::new(Code::NotReady, "the server is stopping"))
    }

    pub(super) fn waiting(&self) -> u64 {
        self.waiting.load(std::sync::atomic::Ordering::Relaxed) as u64
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, AcqRel);
    }
}

/// Bytes that all requests share.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit }
    }

    pub(super) fn share(&self) -> Share<'_> {
        Share { budget: self, bytes: 0 }
    }
}

/// What one request holds of a [`Budget`].
#[derive(Debug)]
pub(super) struct Share<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Share<'_> {
    /// Takes more; false when there is no more.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let used = self.budget.used.fetch_add(bytes, AcqRel);
        if used.saturating_add(bytes) > self.budget.limit {
            self.budget.used.fetch_sub(bytes, AcqRel);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, AcqRel);
    }
}
