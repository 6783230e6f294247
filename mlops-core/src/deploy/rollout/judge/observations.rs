//! What judges look at: values or counts of both versions.

use serde::{Deserialize, Serialize};

use crate::num::StatsError;

/// Trials, and how many of them had the event: requests and failures, answers and right answers.
///
/// ```
/// use mlops_core::deploy::rollout::judge::Count;
/// assert_eq!(Count::new(3, 12)?.rate(), Some(0.25));
/// assert!(Count::new(13, 12).is_err());
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedCount")]
pub struct Count {
    events: u64,
    trials: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedCount {
    events: u64,
    trials: u64,
}

impl TryFrom<UncheckedCount> for Count {
    type Error = StatsError;

    fn try_from(raw: UncheckedCount) -> Result<Self, StatsError> {
        Self::new(raw.events, raw.trials)
    }
}

impl Count {
    /// `events` of `trials`.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] for more events than trials, or 2⁵³ trials and more.
    pub fn new(events: u64, trials: u64) -> Result<Self, StatsError> {
        let bad = |argument, value: u64, high: u64| {
            let (value, high) = (value as f64, high as f64);
            Err(StatsError::OutOfRange { argument, index: 0, value, low: 0.0, high })
        };
        if events > trials {
            return bad("events", events, trials);
        }
        if trials >= 1 << 53 {
            return bad("trials", trials, 1 << 53);
        }
        Ok(Self { events, trials })
    }

    /// How many trials had the event.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// How many trials there were.
    pub fn trials(&self) -> u64 {
        self.trials
    }

    /// The share of the trials with the event; `None` before the first.
    pub fn rate(&self) -> Option<f64> {
        (self.trials > 0).then(|| self.events as f64 / self.trials as f64)
    }

    /// Counts the ones among zeros and ones.
    fn of(argument: &'static str, values: &[f64]) -> Result<Self, StatsError> {
        let mut events = 0;
        for (index, &value) in values.iter().enumerate() {
            if value == 1.0 {
                events += 1;
            } else if value != 0.0 {
                return Err(StatsError::OutOfRange { argument, index, value, low: 0.0, high: 1.0 });
            }
        }
        Self::new(events, values.len() as u64)
    }
}

/// What was seen of a metric at both versions since a step began, in the order in which it was seen.
///
/// ```
/// use mlops_core::deploy::rollout::judge::{Count, Observations};
/// let seen = Observations::values(vec![0.0, 1.0, 0.0], vec![0.0, 0.0]);
/// assert_eq!(seen.counts()?, [Count::new(1, 3)?, Count::new(0, 2)?]);
/// assert_eq!(seen.len(), [3, 2]);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Observations {
    /// One number an observation.
    Values {
        /// Of the candidate.
        candidate: Vec<f64>,
        /// Of the stable version.
        stable: Vec<f64>,
    },
    /// How many observations had an event.
    Counts {
        /// Of the candidate.
        candidate: Count,
        /// Of the stable version.
        stable: Count,
    },
}

impl Observations {
    /// Values of both versions.
    pub fn values(candidate: Vec<f64>, stable: Vec<f64>) -> Self {
        Self::Values { candidate, stable }
    }

    /// The numbers of observations, of candidate and stable version.
    pub fn len(&self) -> [u64; 2] {
        match self {
            Self::Values { candidate, stable } => [candidate.len() as u64, stable.len() as u64],
            Self::Counts { candidate, stable } => [candidate.trials, stable.trials],
        }
    }

    /// Whether neither version was observed.
    pub fn is_empty(&self) -> bool {
        self.len() == [0, 0]
    }

    /// The counts of both versions: as they are, or of values that are all 0 or 1.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] names the argument and the index of a value that is neither.
    pub fn counts(&self) -> Result<[Count; 2], StatsError> {
        match self {
            Self::Counts { candidate, stable } => Ok([*candidate, *stable]),
            Self::Values { candidate, stable } => {
                Ok([Count::of("candidate", candidate)?, Count::of("stable", stable)?])
            }
        }
    }

    /// The values of both versions.
    pub(super) fn both(&self, what: &'static str) -> Result<[&[f64]; 2], StatsError> {
        match self {
            Self::Values { candidate, stable } => Ok([candidate, stable]),
            Self::Counts { .. } => {
                Err(StatsError::Unsupported { what, reason: "it needs values and got counts" })
            }
        }
    }
}

/// Refuses values that are not finite.
pub(super) fn finite(argument: &'static str, values: &[f64]) -> Result<(), StatsError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) if values[index].is_nan() => Err(StatsError::Nan { argument, index }),
        Some(index) => Err(StatsError::NotFinite { argument, index, value: values[index] }),
    }
}
