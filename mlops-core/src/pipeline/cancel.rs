//! Asking work to stop.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use crate::time::lock;

/// A switch that is turned once, and that any number of tasks may watch. Clones are the same switch.
///
/// ```
/// use mlops_core::pipeline::Cancel;
/// let cancel = Cancel::new();
/// let watcher = cancel.clone();
/// assert!(!watcher.is_cancelled());
/// cancel.cancel();
/// assert!(watcher.is_cancelled());
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(watcher.cancelled());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Cancel(Arc<Mutex<Switch>>);

#[derive(Default)]
struct Switch {
    turned: bool,
    watchers: Vec<Waker>,
}

impl Cancel {
    /// A switch that is not turned.
    pub fn new() -> Self {
        Self::default()
    }

    /// Turns it; again does nothing.
    pub fn cancel(&self) {
        let watchers = {
            let mut switch = lock(&self.0);
            switch.turned = true;
            std::mem::take(&mut switch.watchers)
        };
        watchers.into_iter().for_each(Waker::wake);
    }

    /// Whether it was turned.
    pub fn is_cancelled(&self) -> bool {
        lock(&self.0).turned
    }

    /// Returns once it is turned.
    pub async fn cancelled(&self) {
        poll_fn(|context| {
            let mut switch = lock(&self.0);
            if switch.turned {
                return Poll::Ready(());
            }
            if !switch.watchers.iter().any(|watcher| watcher.will_wake(context.waker())) {
                switch.watchers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}
