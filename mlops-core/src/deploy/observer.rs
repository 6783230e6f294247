//! Who hears how every request ended.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{DeploymentName, EndpointName};
use crate::time::Timestamp;

/// How a request ended.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestOutcome {
    /// It was answered.
    Answered,
    /// It could not be answered, and that was not the caller's fault.
    Failed,
    /// It was the caller's fault: malformed, of a wrong shape, not allowed. Says nothing about the deployment.
    Refused,
    /// The caller went away before the answer. Whether one would have come nobody knows; many of them point to slow answers.
    Abandoned,
}

/// A request that has ended.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct EndedRequest<'a> {
    /// The endpoint that was asked.
    pub endpoint: &'a EndpointName,
    /// The deployment that was asked; `None` for a request that ended before one was chosen.
    pub deployment: Option<&'a DeploymentName>,
    /// When it ended.
    pub at: Timestamp,
    /// How it ended.
    pub outcome: RequestOutcome,
    /// How long it took: over HTTP from the end of its headers to its answer, in this process what the model took.
    pub latency: Duration,
    /// Whether it was a copy for a shadow, whose answer nobody waited for.
    pub shadow: bool,
}

impl<'a> EndedRequest<'a> {
    /// A request that its caller waited for.
    pub fn new(
        endpoint: &'a EndpointName,
        deployment: Option<&'a DeploymentName>,
        at: Timestamp,
        outcome: RequestOutcome,
        latency: Duration,
    ) -> Self {
        Self { endpoint, deployment, at, outcome, latency, shadow: false }
    }

    /// The same as a copy for a shadow.
    #[must_use]
    pub fn of_shadow(self) -> Self {
        Self { shadow: true, ..self }
    }
}

/// Hears how every request ended. [`OperationRecorder`](crate::monitor::OperationRecorder) keeps it as operational metrics.
///
/// # Contract
/// * It is told of every request once, also of those that failed, were refused, ran out of time or lost their caller.
/// * It is told on the thread that answers, before the answer is sent: it must be quick, wait for nobody, and not panic.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
/// use mlops_core::deploy::{EndedRequest, RequestObserver, RequestOutcome};
///
/// #[derive(Debug, Default)]
/// struct Failures(AtomicU64);
///
/// impl RequestObserver for Failures {
///     fn ended(&self, request: &EndedRequest<'_>) {
///         self.0.fetch_add(u64::from(request.outcome == RequestOutcome::Failed), Relaxed);
///     }
/// }
///
/// let (failures, endpoint) = (Failures::default(), "diabetes".parse()?);
/// let at = "2026-01-01T00:00:00Z".parse()?;
/// let took = std::time::Duration::from_millis(3);
/// failures.ended(&EndedRequest::new(&endpoint, None, at, RequestOutcome::Failed, took));
/// assert_eq!(failures.0.load(Relaxed), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait RequestObserver: Debug + Send + Sync + 'static {
    /// Hears of a request.
    fn ended(&self, request: &EndedRequest<'_>);
}

macro_rules! forward {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        impl<T: RequestObserver + ?Sized> RequestObserver for $pointer<T> {
            fn ended(&self, request: &EndedRequest<'_>) {
                (**self).ended(request);
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn RequestObserver) {}

/// All who hear of requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observers(Vec<Arc<dyn RequestObserver>>);

impl Observers {
    pub(crate) fn add(&mut self, observer: Arc<dyn RequestObserver>) {
        self.0.push(observer);
    }

    #[cfg(feature = "serve")]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn tell(&self, request: &EndedRequest<'_>) {
        self.0.iter().for_each(|observer| observer.ended(request));
    }
}
