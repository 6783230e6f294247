//! Trying a step again: by the class of its error, after a wait that grows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::num::Random;
use crate::time::{Backoff, duration_text};

/// What kind of failure ended an attempt.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The same attempt may succeed later: a lost connection, a busy service, a timeout.
    Transient,
    /// The machine was taken away, or the process died: the attempt says nothing about the step.
    Preempted,
    /// The same attempt will fail again.
    Permanent,
}

/// Why an attempt of a step failed.
///
/// ```
/// use mlops_core::{Error, ErrorKind};
/// use mlops_core::pipeline::{ErrorClass, StepError};
/// let busy = StepError::from(Error::new(ErrorKind::Busy, "train", "no free licence"));
/// assert_eq!(busy.class, ErrorClass::Transient);
/// assert_eq!(StepError::permanent("no rows").class, ErrorClass::Permanent);
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StepError {
    /// Whether trying again may help.
    pub class: ErrorClass,
    /// What happened, for people. Cut to 4 096 characters; never put a secret in it.
    pub message: String,
}

impl StepError {
    const MAX_CHARS: usize = 4_096;

    fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        let message = message.into();
        let message = match message.char_indices().nth(Self::MAX_CHARS) {
            Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
            None => message,
        };
        Self { class, message }
    }

    /// One that may pass.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Transient, message)
    }

    /// The machine was taken away.
    pub fn preempted(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Preempted, message)
    }

    /// One that stays.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Permanent, message)
    }
}

/// Transient where [`Error::is_retryable`] says so, else permanent.
impl From<Error> for StepError {
    fn from(error: Error) -> Self {
        let class = if error.is_retryable() { ErrorClass::Transient } else { ErrorClass::Permanent };
        Self::new(class, error.to_string())
    }
}

/// How often a step is tried, and how long after one another.
///
/// Transient errors use up `attempts`, preemptions use up `preemptions`; a permanent error ends the step. The n-th wait is drawn
/// evenly from between (1 − `jitter`) of and all of `base` · 2ⁿ⁻¹, at most `longest`. What is drawn follows from the seed, the step
/// and n alone. In files, durations are texts such as `"200ms"`.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::num::Random;
/// use mlops_core::pipeline::StepRetry;
///
/// let retry = StepRetry::default().with_attempts(5);
/// let wait = retry.wait(2, &Random::new(1));
/// assert!((Duration::from_millis(500)..=Duration::from_secs(1)).contains(&wait));
/// assert_eq!(wait, retry.wait(2, &Random::new(1)));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StepRetry {
    /// The most attempts, the first one included; preempted ones are not counted. 1 to 1 000. Default: 1.
    pub attempts: u32,
    /// How often it may be preempted; at most 1 000. Default: 16.
    pub preemptions: u32,
    /// The longest first wait. Default: 500 ms.
    #[serde(with = "duration_text")]
    pub base: Duration,
    /// The longest wait of all. Default: 60 s.
    #[serde(with = "duration_text")]
    pub longest: Duration,
    /// The share of a wait that is drawn, from 0 to 1. Default: 0.5.
    pub jitter: f64,
}

impl Default for StepRetry {
    fn default() -> Self {
        Self {
            attempts: 1,
            preemptions: 16,
            base: Duration::from_millis(500),
            longest: Duration::from_secs(60),
            jitter: 0.5,
        }
    }
}

impl StepRetry {
    /// With this share of a wait drawn, from 0 to 1.
    #[must_use]
    pub fn with_jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets the most attempts.
    ///
    /// ```
    /// # use mlops_core::pipeline::StepRetry;
    /// assert_eq!(StepRetry::default().with_attempts(5).attempts, 5);
    /// assert!(StepRetry::default().with_attempts(0).check().is_err());
    /// ```
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the first and the longest wait.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use mlops_core::num::Random;
    /// # use mlops_core::pipeline::StepRetry;
    /// let (base, longest) = (Duration::from_secs(1), Duration::from_secs(3));
    /// let retry = StepRetry::default().with_waits(base, longest);
    /// assert!((1..20).all(|failed| retry.wait(failed, &Random::new(1)) <= longest));
    /// ```
    #[must_use]
    pub fn with_waits(mut self, base: Duration, longest: Duration) -> Self {
        (self.base, self.longest) = (base, longest);
        self
    }

    /// Sets how often it may be preempted.
    ///
    /// ```
    /// # use mlops_core::pipeline::StepRetry;
    /// assert_eq!(StepRetry::default().with_preemptions(0).preemptions, 0);
    /// ```
    #[must_use]
    pub fn with_preemptions(mut self, preemptions: u32) -> Self {
        self.preemptions = preemptions;
        self
    }

    /// Refuses what never tries, tries for ever, or draws outside of the wait.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the field.
    pub fn check(&self) -> Result<()> {
        const OP: &str = "StepRetry::check";
        if !(1..=1_000).contains(&self.attempts) {
            let message = format!("must be from 1 to 1000, got {}", self.attempts);
            return Err(Error::invalid(OP, "attempts", message));
        }
        if self.preemptions > 1_000 {
            let message = format!("must be at most 1000, got {}", self.preemptions);
            return Err(Error::invalid(OP, "preemptions", message));
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(Error::invalid(OP, "jitter", format!("must be from 0 to 1, got {}", self.jitter)));
        }
        Ok(())
    }

    /// The wait after the `failed`-th attempt that failed, counted from 1; a pure function of both arguments.
    pub fn wait(&self, failed: u32, random: &Random) -> Duration {
        let drawn = random.nth(u64::from(failed)).next_f64();
        Backoff { base: self.base, longest: self.longest }.wait(failed, self.jitter, drawn)
    }

    /// Whether a step goes on after an error, when so many of its attempts failed and were preempted, this one included.
    pub(super) fn goes_on(&self, class: ErrorClass, failed: u32, preempted: u32) -> bool {
        match class {
            ErrorClass::Transient => failed < self.attempts,
            ErrorClass::Preempted => preempted <= self.preemptions,
            ErrorClass::Permanent => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_drawn_from_the_seed() {
        let retry = StepRetry::default().with_waits(Duration::from_millis(100), Duration::from_millis(350));
        for (failed, longest) in [(1, 100), (2, 200), (3, 350), (40, 350), (u32::MAX, 350)] {
            for seed in 0..20 {
                let wait = retry.wait(failed, &Random::new(seed));
                assert!(wait <= Duration::from_millis(longest), "{failed}: {wait:?}");
                assert!(wait >= Duration::from_millis(longest / 2), "{failed}: {wait:?}");
            }
        }
        assert_ne!(retry.wait(1, &Random::new(1)), retry.wait(1, &Random::new(2)));
        let exact = StepRetry { jitter: 0.0, ..retry };
        assert_eq!(exact.wait(2, &Random::new(1)), Duration::from_millis(200));
        let endless = StepRetry { base: Duration::MAX, longest: Duration::MAX, ..retry };
        assert!(endless.wait(9, &Random::new(1)) > Duration::from_secs(1));
        assert_eq!(StepRetry { jitter: 0.0, ..endless }.wait(9, &Random::new(1)), Duration::MAX);
    }

    #[test]
    fn a_class_uses_up_its_own_allowance() {
        let retry = StepRetry::default().with_attempts(3).with_preemptions(2);
        assert!(retry.goes_on(ErrorClass::Transient, 2, 9));
        assert!(!retry.goes_on(ErrorClass::Transient, 3, 0));
        assert!(retry.goes_on(ErrorClass::Preempted, 9, 2));
        assert!(!retry.goes_on(ErrorClass::Preempted, 0, 3));
        assert!(!retry.goes_on(ErrorClass::Permanent, 0, 0));
        for bad in [
            StepRetry { attempts: 0, ..retry },
            StepRetry { attempts: 1_001, ..retry },
            StepRetry { preemptions: 1_001, ..retry },
            StepRetry { jitter: f64::NAN, ..retry },
            StepRetry { jitter: 1.5, ..retry },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_long_message_is_cut() {
        assert_eq!(StepError::permanent("é".repeat(10_000)).message.chars().count(), 4_097);
    }
}
