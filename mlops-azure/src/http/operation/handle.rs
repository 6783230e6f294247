//! An operation that is asked until it is over.

use std::fmt;
use std::marker::PhantomData;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use mlops_core::{Error, ErrorKind, Result};
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::super::retry::Draws;
use super::super::service::{Reply, Service};
use super::super::wait;
use super::state::OperationState;

/// How often a long-running operation is asked, and for how long.
///
/// ```
/// use std::time::Duration;
/// use mlops_azure::http::PollPolicy;
/// let policy = PollPolicy::default().with_deadline(Duration::from_secs(3600));
/// assert_eq!(policy.deadline, Duration::from_secs(3600));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollPolicy {
    /// The first wait; each is one and a half times the one before.
    pub initial: Duration,
    /// The longest wait, also of those that the service asks for.
    pub longest: Duration,
    /// The shortest wait, also of those that the service asks for.
    pub shortest: Duration,
    /// How long the operation may take. Where the service says how long it gives itself, the shorter of the two counts.
    pub deadline: Duration,
    /// How many questions in a row may fail in a way that may pass, before the caller is told.
    pub failures: u32,
}

impl Default for PollPolicy {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(2),
            longest: Duration::from_secs(60),
            shortest: Duration::from_secs(1),
            deadline: Duration::from_secs(6 * 3600),
            failures: 3,
        }
    }
}

impl PollPolicy {
    /// The same with another first wait, which is the shortest too.
    #[must_use]
    pub fn with_initial(mut self, initial: Duration) -> Self {
        self.initial = initial;
        self.shortest = self.shortest.min(initial);
        self
    }

    /// The same with another longest wait.
    #[must_use]
    pub fn with_longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// The same with another deadline.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The wait after question number `asked`, where the service may have asked for one; a fifth of it is drawn at random.
    pub(crate) fn delay(&self, asked: u32, wish: Option<Duration>, random: f64) -> Duration {
        let own = self.initial.as_secs_f64() * 1.5_f64.powi(i32::try_from(asked.min(64)).unwrap_or(64));
        let own = own.min(self.longest.as_secs_f64()) * (1.0 - 0.2 * random.clamp(0.0, 1.0));
        let wait = wish.unwrap_or_else(|| Duration::try_from_secs_f64(own).unwrap_or(self.longest));
        wait.clamp(self.shortest.min(self.longest), self.longest)
    }
}

/// How far an operation is.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct OperationProgress {
    /// Its state in the service's words, such as `InProgress`.
    pub status: String,
    /// How much of it is done, from 0 to 100, where the service says so.
    pub percent: Option<f64>,
    /// How often it was asked.
    pub questions: u32,
    /// How long this process has waited for it.
    pub waited: Duration,
}

/// A long-running operation of a service.
///
/// To drop it, or the future that waits for it, does not end the operation: that goes on in Azure. [`save`](Self::save) it to go
/// on waiting later or elsewhere.
pub struct Operation<T> {
    service: Service,
    operation: &'static str,
    state: OperationState,
    started: Instant,
    /// How long it may take from `started` on.
    limit: Duration,
    questions: u32,
    failures: u32,
    wish: Option<Duration>,
    draws: Draws,
    result: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Operation<T> {
    pub(in super::super) fn new(
        service: Service,
        operation: &'static str,
        method: &Method,
        url: Url,
        reply: &Reply,
    ) -> Result<Self> {
        let now = service.clock().now();
        let state = OperationState::begin(operation, method, url, reply, now)?;
        let wish = wait::asked(&reply.headers, now);
        Ok(Self { wish, ..Self::around(service, operation, state, Duration::ZERO) })
    }

    pub(in super::super) fn resume(
        service: Service,
        operation: &'static str,
        state: OperationState,
    ) -> Result<Self> {
        state.check(operation, service.base())?;
        // A clock that was set back makes it younger than it is, but not younger than new.
        let age = (service.clock().now() - state.started).to_std().unwrap_or_default();
        Ok(Self::around(service, operation, state, age))
    }

    fn around(service: Service, operation: &'static str, state: OperationState, age: Duration) -> Self {
        let own = service.poll_policy().deadline;
        let limit = state.limit.map_or(own, |limit| limit.min(own)).saturating_sub(age);
        let (draws, started) = (service.draws(operation), Instant::now());
        Self {
            service,
            operation,
            state,
            started,
            limit,
            questions: 0,
            failures: 0,
            wish: None,
            draws,
            result: PhantomData,
        }
    }

    /// The same, given up when `other` would be: for a look at the resource itself in place of the operation that makes it.
    pub(crate) fn no_longer_than<U>(mut self, other: &Operation<U>) -> Self {
        let left = other.limit.saturating_sub(other.started.elapsed());
        self.limit = self.limit.min(self.started.elapsed().saturating_add(left));
        self
    }

    /// How far it is, as last heard.
    pub fn progress(&self) -> OperationProgress {
        OperationProgress {
            status: self.state.status.clone(),
            percent: self.state.percent,
            questions: self.questions,
            waited: self.started.elapsed(),
        }
    }

    /// Whether it is over, and its result here.
    pub fn is_done(&self) -> bool {
        self.state.result().is_some()
    }

    /// What is needed to go on with it elsewhere.
    pub fn save(&self) -> OperationState {
        self.state.clone()
    }

    /// Asks once, without waiting before, and says whether it is over.
    ///
    /// # Errors
    /// That with which the operation failed, as by [`from_operation`](crate::error::from_operation); those of the question, of
    /// which [`PollPolicy::failures`] in a row are passed over if they may pass.
    pub async fn poll(&mut self) -> Result<bool> {
        let Some(question) = self.state.question() else { return Ok(true) };
        let question = question.to_string();
        let left = self.limit.saturating_sub(self.started.elapsed()).max(Duration::from_secs(1));
        self.questions = self.questions.saturating_add(1);
        match self.service.follow(self.operation, &question, Some(left)).await {
            Ok(reply) => {
                self.failures = 0;
                self.wish = wait::asked(&reply.headers, self.service.clock().now());
                self.state.absorb(self.operation, &reply)?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound && self.state.absent() => {}
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.wish = None;
                // What was made a moment ago is not yet known everywhere.
                let may_pass = error.is_retryable() || error.kind() == ErrorKind::NotFound;
                if !may_pass || self.failures > self.service.poll_policy().failures {
                    return Err(error.with("state", &self.state.status));
                }
            }
        }
        Ok(self.is_done())
    }

    /// Waits until it is over.
    ///
    /// # Errors
    /// As of [`poll`](Self::poll); [`ErrorKind::Timeout`] when the deadline has passed, with the last `state`;
    /// [`ErrorKind::Protocol`] for a result that is not what the call expects.
    pub async fn wait(mut self) -> Result<T> {
        self.wait_with(|_| {}, std::future::pending()).await
    }

    /// Waits until it is over or `cancelled` is ready, and tells of every step.
    ///
    /// # Errors
    /// As of [`wait`](Self::wait); [`ErrorKind::Cancelled`] when `cancelled` was ready first. The operation then goes on in
    /// Azure, and this one can be waited for again.
    pub async fn wait_with(
        &mut self,
        mut progress: impl FnMut(&OperationProgress) + Send,
        cancelled: impl Future<Output = ()> + Send,
    ) -> Result<T> {
        let mut cancelled = pin!(cancelled);
        loop {
            if let Some(result) = self.state.result() {
                let bad =
                    || Error::new(ErrorKind::Protocol, self.operation, "the result is not what was expected");
                return T::deserialize(result).map_err(|e| bad().with_source(e));
            }
            let stepped = match select(pin!(self.step()), cancelled.as_mut()).await {
                Either::Left((step, _)) => Some(step),
                Either::Right(((), _)) => None,
            };
            let message = "the wait was cancelled; the operation goes on";
            let cancelled = || Error::new(ErrorKind::Cancelled, self.operation, message);
            stepped.ok_or_else(|| cancelled().with("state", &self.state.status))??;
            progress(&self.progress());
        }
    }

    /// Waits and asks. The first question for a result that is there is not waited for.
    async fn step(&mut self) -> Result<()> {
        let at_once = self.state.has_succeeded() && self.failures == 0;
        if !at_once {
            let policy = self.service.poll_policy();
            let wait = policy.delay(self.questions, self.wish, self.draws.draw());
            let left = self.limit.saturating_sub(self.started.elapsed());
            tokio::time::sleep(wait.min(left)).await;
            if wait >= left {
                let message = "the operation did not end in time; it may go on in Azure";
                return Err(Error::new(ErrorKind::Timeout, self.operation, message)
                    .with("state", &self.state.status)
                    .with("questions", self.questions)
                    .with_retryable(false));
            }
        }
        self.poll().await.map(|_| ())
    }
}

impl<T> fmt::Debug for Operation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("state", &self.state)
            .field("questions", &self.questions)
            .finish_non_exhaustive()
    }
}
