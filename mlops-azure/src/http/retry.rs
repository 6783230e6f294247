//! What is tried again, after how long, and what is not.

use std::time::Duration;

use mlops_core::num::Random;
use mlops_core::time::{Clock as _, SystemClock};
use mlops_core::{Error, ErrorKind, Result};
use tokio::time::Instant;

use super::transport::{HttpFault, HttpRequest, HttpResponse, HttpTransport, Stage};
use super::wait;

/// Whether a request may be sent a second time when nobody knows what became of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repeat {
    /// Sent twice is sent once: it reads, or it is idempotent by its nature or by a key.
    Safe,
    /// Sent twice may be done twice. A lost answer is [`ErrorKind::UnknownOutcome`]: look before you repeat.
    Never,
}

/// How often and after how long a request is tried again.
///
/// Tried again are requests that got no answer and those answered with 408, 429, 500, 502, 503, 504 or 529. With
/// [`Repeat::Never`] only those that the peer has certainly not carried out: no connection came about, or it answered 429.
///
/// The longest wait doubles from [`initial`](Self::initial) to [`max_delay`](Self::max_delay), and the wait is drawn at random
/// from all of it ("full jitter"), so that clients that failed together do not come back together. What the peer
/// [asks for](wait::asked) replaces it, up to [`max_retry_after`](Self::max_retry_after). Nothing is tried again once
/// [`budget`](Self::budget) is spent, and no try lasts beyond [`deadline`](Self::deadline).
///
/// Source of the jitter: Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
///
/// ```
/// use std::time::Duration;
/// use mlops_azure::http::RetryPolicy;
///
/// let policy = RetryPolicy::default();
/// assert_eq!(policy.delay(0, 1.0), Duration::from_millis(200));
/// assert_eq!(policy.delay(2, 1.0), Duration::from_millis(800));
/// assert_eq!(policy.delay(2, 0.5), Duration::from_millis(400));
/// assert_eq!(policy.delay(2, 0.0), Duration::ZERO);
/// assert_eq!(policy.delay(u32::MAX, 1.0), policy.max_delay);
/// ```
///
/// ```
/// use mlops_azure::http::RetryPolicy;
///
/// let policy = RetryPolicy::default().with_attempts(2).with_seed(7);
/// assert_eq!((policy.attempts, policy.seed), (2, Some(7)));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a request is sent at most; 1 tries nothing again.
    pub attempts: u32,
    /// The first wait.
    pub initial: Duration,
    /// The longest wait.
    pub max_delay: Duration,
    /// The longest wait that a peer can ask for; one that asks for more gets an error back at once.
    pub max_retry_after: Duration,
    /// How long one call may take with all its waits before it gives up.
    pub budget: Duration,
    /// How long one call may take at all, the try included that is under way; `None` leaves every try its own time.
    pub deadline: Option<Duration>,
    /// From what the waits are drawn; `None` draws from the system's randomness, as processes in service should. With a seed
    /// the waits of an operation are the same in every run.
    pub seed: Option<u64>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 6,
            initial: Duration::from_millis(200),
            max_delay: Duration::from_secs(20),
            max_retry_after: Duration::from_secs(60),
            budget: Duration::from_secs(180),
            deadline: None,
            seed: None,
        }
    }
}

impl RetryPolicy {
    /// With a request sent at most so often.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// With this first wait.
    #[must_use]
    pub fn with_initial(mut self, initial: Duration) -> Self {
        self.initial = initial;
        self
    }

    /// With this longest wait.
    #[must_use]
    pub fn with_max_delay(mut self, max_delay: Duration) -> Self {
        self.max_delay = max_delay;
        self
    }

    /// With so long a wait that a peer can ask for.
    #[must_use]
    pub fn with_max_retry_after(mut self, max_retry_after: Duration) -> Self {
        self.max_retry_after = max_retry_after;
        self
    }

    /// With so long for a call and its waits before it gives up.
    #[must_use]
    pub fn with_budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// With so long for a call at all, or as long as its tries take.
    #[must_use]
    pub fn with_deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.deadline = deadline.into();
        self
    }

    /// With waits drawn from this seed, or from the system's randomness.
    #[must_use]
    pub fn with_seed(mut self, seed: impl Into<Option<u64>>) -> Self {
        self.seed = seed.into();
        self
    }

    /// Tries nothing again.
    pub const NONE: Self = Self {
        attempts: 1,
        initial: Duration::ZERO,
        max_delay: Duration::ZERO,
        max_retry_after: Duration::ZERO,
        budget: Duration::ZERO,
        deadline: None,
        seed: None,
    };

    /// The wait after try number `attempt` (from 0), where `random` in [0, 1] draws from all of it.
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        let full = self.initial.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
        full.min(self.max_delay).mul_f64(random.clamp(0.0, 1.0))
    }

    /// How long one call may take with everything that is tried again: the deadline, or where there is none until the last try that
    /// the budget lets begin has had its time.
    pub(crate) fn total(&self, timeout: Duration) -> Duration {
        self.deadline.unwrap_or_else(|| self.budget.saturating_add(timeout))
    }

    /// What remains of the time that one call may take.
    fn left(&self, started: Instant) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_sub(started.elapsed()))
    }

    /// How long to wait before the next try; `None` when there is none.
    fn next(&self, tried: u32, asked: Option<Duration>, started: Instant, random: f64) -> Option<Duration> {
        if tried >= self.attempts {
            return None;
        }
        let wait = match asked {
            Some(wait) if wait > self.max_retry_after => return None,
            Some(wait) => wait,
            None => self.delay(tried - 1, random),
        };
        let spent = started.elapsed().saturating_add(wait);
        (spent < self.budget && self.deadline.is_none_or(|deadline| spent < deadline)).then_some(wait)
    }

    /// The numbers that the waits of a call are drawn with.
    pub(crate) fn draws(&self, operation: &str) -> Draws {
        Draws(self.seed.map(|seed| Random::new(seed).stream(operation)))
    }
}

/// Numbers in [0, 1): of a seed, or of the system.
pub(crate) struct Draws(Option<Random>);

impl Draws {
    pub(crate) fn draw(&mut self) -> f64 {
        self.0.as_mut().map_or_else(random, Random::next_f64)
    }
}

/// A number in [0, 1), from the system's randomness: waits must differ between processes.
pub(crate) fn random() -> f64 {
    let bits = uuid::Uuid::new_v4().as_u128() & u128::from(u32::MAX);
    bits as f64 / (f64::from(u32::MAX) + 1.0)
}

/// Whether a status says that the same request may succeed later.
pub(crate) fn is_transient(status: u16) -> bool {
    // With 529 the metrics of Azure Monitor say that they are asked too often.
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504 | 529)
}

/// One try: an answer, a fault, or an error that no other try would heal.
enum Failure {
    Fault(HttpFault),
    Final(Error),
}

/// Sends a request as often as the policy lets it, and returns the last answer, whatever its status. With `collect` the
/// body is read to its end, at most so many bytes, within the try: an answer that breaks off is a lost answer.
///
/// # Errors
/// That of the last fault; [`ErrorKind::UnknownOutcome`] when the request may not be repeated and may have been carried out;
/// [`ErrorKind::Timeout`] when the deadline passed before a try, which is then not sent. The context has the number of `attempts`.
pub async fn send(
    transport: &dyn HttpTransport,
    policy: &RetryPolicy,
    operation: &'static str,
    repeat: Repeat,
    collect: Option<usize>,
    request: HttpRequest,
) -> Result<HttpResponse> {
    let (started, mut next, mut draws) = (Instant::now(), request, policy.draws(operation));
    for tried in 1.. {
        let left = policy.left(started);
        if left.is_some_and(|left| left.is_zero()) {
            return Err(unsent(operation).with("attempts", tried - 1));
        }
        let spare = next.again();
        next.timeout = left.map_or(next.timeout, |left| left.min(next.timeout));
        let result = attempt(transport, collect, next).await;
        let wait = match &result {
            _ if spare.is_none() => None,
            Ok(response) if may_repeat_after(response.status, repeat) => {
                let asked = wait::asked(&response.headers, SystemClock::new().now());
                policy.next(tried, asked, started, draws.draw())
            }
            Err(Failure::Fault(fault)) if may_repeat(fault, repeat) => {
                policy.next(tried, None, started, draws.draw())
            }
            _ => None,
        };
        match (wait, spare) {
            (Some(wait), Some(spare)) => {
                tracing::debug!(operation, tried, wait_ms = wait.as_millis(), "trying again");
                // An answer that is not wanted gives its connection back.
                drop(result);
                tokio::time::sleep(wait).await;
                next = spare;
            }
            _ => return settle(result, operation, repeat, tried),
        }
    }
    Err(Error::new(ErrorKind::Internal, operation, "a request was not sent"))
}

async fn attempt(
    transport: &dyn HttpTransport,
    collect: Option<usize>,
    request: HttpRequest,
) -> Result<HttpResponse, Failure> {
    let response = transport.send(request).await.map_err(Failure::Fault)?;
    let Some(limit) = collect else { return Ok(response) };
    let HttpResponse { status, headers, body } = response;
    match body.collect(limit).await {
        Ok(bytes) => Ok(HttpResponse { status, headers, body: bytes.into() }),
        Err(error) if matches!(error.kind(), ErrorKind::Transport | ErrorKind::Timeout) => {
            let timeout = error.kind() == ErrorKind::Timeout;
            Err(Failure::Fault(HttpFault::new(Stage::Answer, timeout, error)))
        }
        Err(error) => Err(Failure::Final(error)),
    }
}

fn may_repeat_after(status: u16, repeat: Repeat) -> bool {
    match repeat {
        Repeat::Safe => is_transient(status),
        Repeat::Never => status == 429,
    }
}

fn may_repeat(fault: &HttpFault, repeat: Repeat) -> bool {
    match fault.stage {
        Stage::Request => false,
        Stage::Connect => true,
        Stage::Answer => repeat == Repeat::Safe,
    }
}

fn settle(
    result: Result<HttpResponse, Failure>,
    operation: &'static str,
    repeat: Repeat,
    tried: u32,
) -> Result<HttpResponse> {
    match result {
        Ok(response)
            if repeat == Repeat::Never && is_transient(response.status) && response.status != 429 =>
        {
            Err(unknown(operation).with("status", response.status).with("attempts", tried))
        }
        Ok(response) => Ok(response),
        Err(Failure::Fault(fault)) if repeat == Repeat::Never && fault.stage == Stage::Answer => {
            Err(unknown(operation).with("attempts", tried).with_source(fault))
        }
        Err(Failure::Fault(fault)) => Err(fault.into_error(operation).with("attempts", tried)),
        Err(Failure::Final(error)) => Err(error),
    }
}

/// The error of a call for which no time was left: it was not sent, or every try before was refused.
fn unsent(operation: &'static str) -> Error {
    Error::new(ErrorKind::Timeout, operation, "the deadline passed before the request was sent")
}

/// Waits for what a call needs before it is sent, such as a token, as long as there is time.
///
/// # Errors
/// [`ErrorKind::Timeout`] when there is none left; those of the work.
pub(crate) async fn before<T>(
    operation: &'static str,
    left: Option<Duration>,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    match left {
        None => work.await,
        Some(left) => tokio::time::timeout(left, work).await.unwrap_or_else(|_| Err(unsent(operation))),
    }
}

/// The error of a call that may or may not have happened.
fn unknown(operation: &'static str) -> Error {
    let message = "the answer was lost, and the call may not be repeated without looking";
    Error::new(ErrorKind::UnknownOutcome, operation, message)
}
