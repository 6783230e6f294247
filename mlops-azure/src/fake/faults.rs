//! Faults on demand.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::token::FakeTokens;

/// What is to go wrong at a [`FakeAzure`](super::FakeAzure). Every fault is counted down and then over; nothing here depends on
/// time or chance.
///
/// Faults of single connections are those of [`FaultyTransport`](super::FaultyTransport).
///
/// ```
/// use mlops_azure::fake::FakeAzure;
/// let azure = FakeAzure::new();
/// azure.faults().busy(2).fail_operation("/onlineEndpoints/churn", "OutOfQuota", "not enough cores");
/// ```
pub struct Faults {
    planned: Mutex<Planned>,
    tokens: Arc<FakeTokens>,
}

#[derive(Debug, Default)]
struct Planned {
    busy: u32,
    unavailable: u32,
    forbidden: u32,
    lost: u32,
    hidden: u32,
    looks: Looks,
    failures: Vec<Failure>,
}

/// How many looks an operation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    Some(u32),
    Endless,
}

impl Default for Looks {
    fn default() -> Self {
        Self::Some(0)
    }
}

#[derive(Debug)]
struct Failure {
    part: String,
    code: String,
    message: String,
}

/// What a request meets before anything is done for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meets {
    Nothing,
    Busy,
    Unavailable,
}

impl Faults {
    pub(super) fn new(tokens: Arc<FakeTokens>) -> Self {
        Self { planned: Mutex::default(), tokens }
    }

    fn planned(&self) -> MutexGuard<'_, Planned> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next so many requests, to whatever host, are answered with 429 and `Retry-After: 0`.
    pub fn busy(&self, requests: u32) -> &Self {
        self.planned().busy = requests;
        self
    }

    /// The next so many requests are answered with 503.
    pub fn unavailable(&self, requests: u32) -> &Self {
        self.planned().unavailable = requests;
        self
    }

    /// The next so many requests whose token is good are answered with 403: a role that was just assigned is not yet known
    /// everywhere.
    pub fn forbidden(&self, requests: u32) -> &Self {
        self.planned().forbidden = requests;
        self
    }

    /// The next so many requests are carried out, and their answers are lost.
    pub fn lose_answers(&self, requests: u32) -> &Self {
        self.planned().lost = requests;
        self
    }

    /// Every resource made from now on answers its first so many reads with 404, and is in no list before: what was just made is
    /// not yet known everywhere.
    pub fn hidden(&self, reads: u32) -> &Self {
        self.planned().hidden = reads;
        self
    }

    /// Every operation begun from now on is found under way by its first so many looks: questions for its status, its result or
    /// its resource, and calls that are turned away because of it. At first it is none.
    pub fn slow_operations(&self, looks: u32) -> &Self {
        self.planned().looks = Looks::Some(looks);
        self
    }

    /// Operations begun from now on never end, unless by [`FakeAzure::finish`](super::FakeAzure::finish) or
    /// [`FakeAzure::cancel`](super::FakeAzure::cancel).
    pub fn endless_operations(&self) -> &Self {
        self.planned().looks = Looks::Endless;
        self
    }

    /// The next operation on a resource whose id has this text in it, in any case, fails: its status is told with HTTP 200, and
    /// the resource is left with `provisioningState` `Failed`.
    pub fn fail_operation(&self, part: &str, code: &str, message: &str) -> &Self {
        let failure =
            Failure { part: part.to_ascii_lowercase(), code: code.to_owned(), message: message.to_owned() };
        self.planned().failures.push(failure);
        self
    }

    /// No token that was given out so far is taken any longer; who asks for another one after that gets one that is.
    pub fn expire_tokens(&self) -> &Self {
        self.tokens.expire();
        self
    }

    pub(super) fn meet(&self) -> Meets {
        let mut planned = self.planned();
        if planned.busy > 0 {
            planned.busy -= 1;
            return Meets::Busy;
        }
        if planned.unavailable > 0 {
            planned.unavailable -= 1;
            return Meets::Unavailable;
        }
        Meets::Nothing
    }

    pub(super) fn forbids(&self) -> bool {
        let mut planned = self.planned();
        let forbidden = planned.forbidden > 0;
        planned.forbidden = planned.forbidden.saturating_sub(1);
        forbidden
    }

    pub(super) fn loses_answer(&self) -> bool {
        let mut planned = self.planned();
        let lost = planned.lost > 0;
        planned.lost = planned.lost.saturating_sub(1);
        lost
    }

    pub(super) fn hides(&self) -> u32 {
        self.planned().hidden
    }

    /// How many looks an operation takes; `None` for one without end.
    pub(super) fn looks(&self) -> Option<u32> {
        match self.planned().looks {
            Looks::Some(looks) => Some(looks),
            Looks::Endless => None,
        }
    }

    /// The failure of an operation on a resource, if one was planned; it is then over.
    pub(super) fn take_failure(&self, key: &str) -> Option<(String, String)> {
        let mut planned = self.planned();
        let at = planned.failures.iter().position(|failure| key.contains(&failure.part))?;
        let Failure { code, message, .. } = planned.failures.remove(at);
        Some((code, message))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faults").field(&*self.planned()).finish()
    }
}
