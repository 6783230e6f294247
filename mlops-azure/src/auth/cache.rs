//! Tokens that are kept until shortly before they expire.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{BoxFuture, FutureExt as _, Shared, WeakShared};
use mlops_core::time::{Clock, Timestamp};
use mlops_core::{Error, Result};

use super::token::{AccessToken, Scope, TokenSource};

/// When a token is renewed.
///
/// ```
/// use std::time::Duration;
/// use mlops_azure::auth::CachePolicy;
///
/// let policy = CachePolicy::default().with_early(Duration::from_secs(600));
/// assert_eq!(policy.early, Duration::from_secs(600));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// How long before its end a token is renewed; at most half of its life.
    pub early: Duration,
    /// How long before its end a token is not given out any more.
    pub margin: Duration,
    /// How long a new token is given out whatever the wall clock says; a clock that is ahead would make every token old.
    pub least: Duration,
    /// How long after a renewal that failed the next one is tried, while the token is still good.
    pub pause: Duration,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            early: Duration::from_secs(300),
            margin: Duration::from_secs(30),
            least: Duration::from_secs(60),
            pause: Duration::from_secs(30),
        }
    }
}

impl CachePolicy {
    /// With renewal so long before a token's end.
    #[must_use]
    pub fn with_early(mut self, early: Duration) -> Self {
        self.early = early;
        self
    }

    /// With tokens given out until so long before their end.
    #[must_use]
    pub fn with_margin(mut self, margin: Duration) -> Self {
        self.margin = margin;
        self
    }

    /// With a new token given out at least so long.
    #[must_use]
    pub fn with_least(mut self, least: Duration) -> Self {
        self.least = least;
        self
    }

    /// With so long a wait after a renewal that failed.
    #[must_use]
    pub fn with_pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }
}

type Request = BoxFuture<'static, Result<AccessToken, Arc<Error>>>;
type Flight = Shared<Request>;

/// Keeps the tokens of a source, one for each scope.
///
/// # Which token one gets
/// * One that is not yet due for renewal at once, without asking the source.
/// * While one is due but good, the first caller renews it and the others get the one that is there. If the renewal fails, the
///   caller gets the one that is there too, and nobody tries again for [`CachePolicy::pause`].
/// * Without a good one all callers wait for one request, and all get its token or its error: a hundred callers are one
///   request. A caller that goes away leaves the request to the others.
///
/// Time is read from two clocks: whether a token has expired from the wall clock, because the issuer says it so; how long ago
/// it came from the monotonic one, so that a wall clock that is an hour ahead costs a request a minute and not one a call. If
/// the wall clock is behind, a service refuses the token, and the client that is told so [refuses](TokenSource::refuse) it.
///
/// ```
/// use std::sync::Arc;
/// use mlops_azure::auth::{AccessToken, FixedToken, Scope, TokenCache, TokenSource};
/// use mlops_core::time::SystemClock;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let source = FixedToken::new(AccessToken::new("t", "2100-01-01T00:00:00Z".parse().unwrap()));
/// let cache = TokenCache::new(Arc::new(source), Arc::new(SystemClock::new()));
/// let token = cache.token(&Scope::new("https://ml.azure.com/.default")?).await?;
/// assert_eq!(token.secret.expose(), "t");
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TokenCache {
    source: Arc<dyn TokenSource>,
    clock: Arc<dyn Clock>,
    policy: CachePolicy,
    slots: Mutex<HashMap<Scope, Slot>>,
}

#[derive(Default)]
struct Slot {
    kept: Option<Kept>,
    /// Lives as long as somebody waits for it.
    flight: Option<(u64, WeakShared<Request>)>,
    /// How many requests were begun; tells an old one from the one that followed it.
    begun: u64,
    /// When the last renewal failed, by the monotonic clock.
    failed: Option<Duration>,
}

struct Kept {
    token: AccessToken,
    /// When it came, by the two clocks.
    came: Timestamp,
    since: Duration,
}

/// What a caller does.
enum Turn {
    Use(AccessToken),
    /// Waits for a request; the token that is good meanwhile is what one gets if it fails.
    Wait(u64, Flight, Option<AccessToken>),
}

impl TokenCache {
    /// A cache in front of a source.
    pub fn new(source: Arc<dyn TokenSource>, clock: Arc<dyn Clock>) -> Self {
        Self::with_policy(source, clock, CachePolicy::default())
    }

    /// A cache with other times.
    pub fn with_policy(source: Arc<dyn TokenSource>, clock: Arc<dyn Clock>, policy: CachePolicy) -> Self {
        Self { source, clock, policy, slots: Mutex::default() }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Scope, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, scope: &Scope) -> Turn {
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let mut slots = self.slots();
        let slot = slots.entry(scope.clone()).or_default();
        let good = slot.kept.as_ref().filter(|kept| kept.is_good(&self.policy, now, monotonic));
        let good = good.map(|kept| (kept.token.clone(), kept.is_due(&self.policy, now, monotonic)));
        let running = slot.flight.as_ref().and_then(|(number, flight)| Some((*number, flight.upgrade()?)));
        match (good, running) {
            (Some((token, false)), _) => Turn::Use(token),
            // Somebody renews it already.
            (Some((token, true)), Some(_)) => Turn::Use(token),
            (Some((token, true)), None) if slot.pauses(&self.policy, monotonic) => Turn::Use(token),
            (None, Some((number, flight))) => Turn::Wait(number, flight, None),
            (good, None) => {
                let (number, flight) = slot.begin(self.source.clone(), scope.clone());
                Turn::Wait(number, flight, good.map(|(token, _)| token))
            }
        }
    }

    /// Writes down how request `number` ended, unless somebody has already.
    fn settle(&self, scope: &Scope, number: u64, result: &Result<AccessToken, Arc<Error>>) {
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(scope) else { return };
        if slot.flight.as_ref().is_none_or(|(current, _)| *current != number) {
            return;
        }
        slot.flight = None;
        match result {
            Ok(token) => {
                slot.kept = Some(Kept { token: token.clone(), came: now, since: monotonic });
                slot.failed = None;
            }
            Err(_) => slot.failed = Some(monotonic),
        }
    }
}

impl Slot {
    fn begin(&mut self, source: Arc<dyn TokenSource>, scope: Scope) -> (u64, Flight) {
        let request = async move { source.token(&scope).await.map_err(Arc::new) };
        self.begun = self.begun.wrapping_add(1);
        let flight = request.boxed().shared();
        self.flight = flight.downgrade().map(|weak| (self.begun, weak));
        (self.begun, flight)
    }

    fn pauses(&self, policy: &CachePolicy, now: Duration) -> bool {
        self.failed.is_some_and(|failed| now.saturating_sub(failed) < policy.pause)
    }
}

impl Kept {
    /// How long it holds from when it came.
    fn life(&self) -> Duration {
        (self.token.expires_at - self.came).to_std().unwrap_or_default()
    }

    fn left(&self, now: Timestamp) -> Duration {
        (self.token.expires_at - now).to_std().unwrap_or_default()
    }

    fn is_good(&self, policy: &CachePolicy, now: Timestamp, monotonic: Duration) -> bool {
        let age = monotonic.saturating_sub(self.since);
        age < policy.least
            || (age.saturating_add(policy.margin) < self.life() && self.left(now) > policy.margin)
    }

    fn is_due(&self, policy: &CachePolicy, now: Timestamp, monotonic: Duration) -> bool {
        let asked = self.token.refresh_at.is_some_and(|time| now >= time);
        let old = monotonic.saturating_sub(self.since) >= policy.least;
        old && (asked || self.left(now) <= policy.early.min(self.life() / 2))
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache")
            .field("source", &self.source)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenSource for TokenCache {
    async fn token(&self, scope: &Scope) -> Result<AccessToken> {
        match self.turn(scope) {
            Turn::Use(token) => Ok(token),
            Turn::Wait(number, flight, meanwhile) => {
                let result = flight.await;
                self.settle(scope, number, &result);
                match (result, meanwhile) {
                    (Ok(token), _) | (Err(_), Some(token)) => Ok(token),
                    (Err(error), None) => Err(again(&error)),
                }
            }
        }
    }

    async fn refuse(&self, scope: &Scope, token: &AccessToken) {
        {
            let mut slots = self.slots();
            let kept = slots.get_mut(scope).map(|slot| &mut slot.kept);
            if let Some(kept) = kept
                && kept.as_ref().is_some_and(|k| k.token.secret.expose() == token.secret.expose())
            {
                *kept = None;
            }
        }
        self.source.refuse(scope, token).await;
    }
}

/// The error of a request that several waited for, for one of them.
fn again(error: &Arc<Error>) -> Error {
    Error::new(error.kind(), error.operation(), error.message())
        .with_retryable(error.is_retryable())
        .with_source(error.clone())
}
