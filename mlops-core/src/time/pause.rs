//! Waiting, handed in: a library cannot know whose timer there is.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

/// Something that can wait.
#[async_trait]
pub trait Pause: Debug + Send + Sync + 'static {
    /// Returns after `duration`, at the earliest.
    async fn pause(&self, duration: Duration);
}

/// Does not wait: for tests, and for backends that wait themselves.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::wrap::{NoPause, Pause as _};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// NoPause.pause(Duration::from_secs(3600)).await;
/// # });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPause;

#[async_trait]
impl Pause for NoPause {
    async fn pause(&self, _: Duration) {}
}

/// Waits with tokio's timer; needs a runtime that has one.
#[cfg(feature = "local")]
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioPause;

#[cfg(feature = "local")]
#[async_trait]
impl Pause for TokioPause {
    async fn pause(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
