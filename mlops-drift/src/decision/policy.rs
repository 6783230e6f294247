//! One score over time.

use mlops_core::num::StatsError;
use mlops_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// On which side of a threshold the alarm lies. A value that equals the threshold is on neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmWhen {
    /// Above it, as for distances, rates and errors. The default.
    #[default]
    Above,
    /// Below it, as for p-values, agreement and accuracy.
    Below,
}

impl AlarmWhen {
    /// Whether a value is beyond a threshold; NaN never is.
    ///
    /// ```
    /// use mlops_drift::decision::AlarmWhen;
    /// assert!(AlarmWhen::Above.is_beyond(0.2, 0.1) && AlarmWhen::Below.is_beyond(0.01, 0.05));
    /// assert!(!AlarmWhen::Above.is_beyond(0.1, 0.1) && !AlarmWhen::Below.is_beyond(f64::NAN, 0.05));
    /// ```
    pub fn is_beyond(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Above => value > threshold,
            Self::Below => value < threshold,
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Above => Self::Below,
            Self::Below => Self::Above,
        }
    }
}

/// What it takes to raise an alarm and to clear it.
///
/// ```
/// use mlops_drift::decision::Policy;
///
/// let policy = Policy::below(0.9)?.with_leave(0.95)?.with_votes(3, 5)?;
/// assert_eq!(serde_json::from_str::<Policy>(&serde_json::to_string(&policy)?)?, policy);
/// // A threshold that would clear what it has just raised is refused.
/// assert!(Policy::above(0.2)?.with_leave(0.3).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Policy {
    alarm: AlarmWhen,
    enter: f64,
    leave: f64,
    votes: u32,
    of: u32,
    min_rows: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    alarm: AlarmWhen,
    enter: f64,
    leave: f64,
    votes: u32,
    of: u32,
    min_rows: u64,
}

impl From<Policy> for Stored {
    fn from(policy: Policy) -> Self {
        let Policy { alarm, enter, leave, votes, of, min_rows } = policy;
        Self { alarm, enter, leave, votes, of, min_rows }
    }
}

impl TryFrom<Stored> for Policy {
    type Error = StatsError;

    fn try_from(stored: Stored) -> Result<Self, StatsError> {
        let policy = Self::new(stored.alarm, stored.enter)?.with_leave(stored.leave)?;
        Ok(policy.with_votes(stored.votes, stored.of)?.with_min_rows(stored.min_rows))
    }
}

impl Policy {
    /// The longest memory of a state, in windows.
    pub const MAX_WINDOWS: u32 = 64;

    fn new(alarm: AlarmWhen, enter: f64) -> Result<Self, StatsError> {
        finite("enter", enter)?;
        Ok(Self { alarm, enter, leave: enter, votes: 1, of: 1, min_rows: 0 })
    }

    /// Raises the alarm above a threshold, at once, and clears it at or below the same.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a threshold that is not finite.
    pub fn above(enter: f64) -> Result<Self, StatsError> {
        Self::new(AlarmWhen::Above, enter)
    }

    /// Raises the alarm below a threshold, at once, and clears it at or above the same.
    ///
    /// # Errors
    /// As [`Policy::above`].
    pub fn below(enter: f64) -> Result<Self, StatsError> {
        Self::new(AlarmWhen::Below, enter)
    }

    /// Clears the alarm only on the calm side of this threshold.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a threshold that is not finite or lies beyond the one that raises.
    pub fn with_leave(mut self, leave: f64) -> Result<Self, StatsError> {
        finite("leave", leave)?;
        if self.alarm.is_beyond(leave, self.enter) {
            let reason = "must not lie beyond the threshold that raises the alarm";
            return Err(StatsError::Parameter { parameter: "leave", value: leave, reason });
        }
        self.leave = leave;
        Ok(self)
    }

    /// Raises, and clears, only when `votes` of the last `of` windows that could be judged say so.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] unless 1 ≤ `votes` ≤ `of` ≤ [`Policy::MAX_WINDOWS`].
    pub fn with_votes(mut self, votes: u32, of: u32) -> Result<Self, StatsError> {
        if votes == 0 || votes > of {
            let reason = "must lie between 1 and the number of windows";
            return Err(StatsError::Parameter { parameter: "votes", value: f64::from(votes), reason });
        }
        if of > Self::MAX_WINDOWS {
            let reason = "must be at most 64";
            return Err(StatsError::Parameter { parameter: "of", value: f64::from(of), reason });
        }
        (self.votes, self.of) = (votes, of);
        Ok(self)
    }

    /// Gives no voice to windows with fewer rows.
    #[must_use]
    pub fn with_min_rows(mut self, min_rows: u64) -> Self {
        self.min_rows = min_rows;
        self
    }
}

fn finite(parameter: &'static str, value: f64) -> Result<(), StatsError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(StatsError::Parameter { parameter, value, reason: "must be finite" })
}

/// What one window says.
///
/// ```
/// use mlops_drift::decision::Event;
///
/// let at = "2026-03-01T00:00:00Z".parse()?;
/// assert_eq!(Event::new(at, 500, 0.25).value, Some(0.25));
/// assert_eq!(Event::new(at, 500, None).value, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// When the window was looked at; later than that of the event before.
    pub at: Timestamp,
    /// How many rows it has.
    pub rows: u64,
    /// The score; `None` where it could not be computed. NaN counts as `None`.
    pub value: Option<f64>,
}

impl Event {
    /// A window looked at then, of so many rows, with its score; `None` where it could not be computed.
    pub fn new(at: Timestamp, rows: u64, value: impl Into<Option<f64>>) -> Self {
        Self { at, rows, value: value.into() }
    }
}

/// What is kept between windows. Constant size; the default is calm and has seen nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredState", into = "StoredState")]
pub struct State {
    /// Since when there is an alarm.
    alarm: Option<Timestamp>,
    last: Option<Timestamp>,
    /// Whether each of the last windows voted for a change, the latest in the lowest bit.
    votes: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredState {
    version: u32,
    alarm: Option<Timestamp>,
    last: Option<Timestamp>,
    votes: u64,
}

impl From<State> for StoredState {
    fn from(State { alarm, last, votes }: State) -> Self {
        Self { version: State::VERSION, alarm, last, votes }
    }
}

impl TryFrom<StoredState> for State {
    type Error = String;

    fn try_from(stored: StoredState) -> Result<Self, String> {
        if stored.version != Self::VERSION {
            return Err(format!(
                "states of version {} are not known, only {}",
                stored.version,
                Self::VERSION
            ));
        }
        Ok(Self { alarm: stored.alarm, last: stored.last, votes: stored.votes })
    }
}

impl State {
    /// The version of the serialised form.
    pub const VERSION: u32 = 1;

    /// Since when there is an alarm; `None` while there is none.
    ///
    /// ```
    /// assert_eq!(mlops_drift::decision::State::default().alarm(), None);
    /// ```
    pub const fn alarm(&self) -> Option<Timestamp> {
        self.alarm
    }

    /// When the latest event was.
    ///
    /// ```
    /// assert_eq!(mlops_drift::decision::State::default().last(), None);
    /// ```
    pub const fn last(&self) -> Option<Timestamp> {
        self.last
    }
}

/// What a window changed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// There was no alarm, and there is none.
    Calm,
    /// There is an alarm now.
    Raised,
    /// The alarm stands.
    Kept,
    /// The alarm is over.
    Cleared,
    /// The window could not be judged: too few rows or no score. Nothing changed, an alarm stands.
    Inconclusive,
    /// The event is not later than the latest one. Nothing changed.
    Repeated,
}

impl Decision {
    /// Whether somebody should be told: the alarm began or ended.
    ///
    /// ```
    /// use mlops_drift::decision::Decision;
    /// assert!(Decision::Raised.is_change() && !Decision::Kept.is_change());
    /// ```
    pub const fn is_change(self) -> bool {
        matches!(self, Self::Raised | Self::Cleared)
    }
}

/// What a window changes: pure, O(1).
///
/// ```
/// use mlops_drift::decision::{Decision, Event, Policy, State, step};
///
/// let policy = Policy::above(0.2)?;
/// let event = Event::new("2026-03-01T00:00:00Z".parse()?, 10, Some(0.5));
/// let (state, decision) = step(&policy, &State::default(), &event);
/// assert_eq!((decision, state.alarm()), (Decision::Raised, Some(event.at)));
/// // The same event again, after a crash perhaps.
/// assert_eq!(step(&policy, &state, &event), (state, Decision::Repeated));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn step(policy: &Policy, state: &State, event: &Event) -> (State, Decision) {
    if state.last.is_some_and(|last| event.at <= last) {
        return (*state, Decision::Repeated);
    }
    let mut next = State { last: Some(event.at), ..*state };
    let Some(value) = event.value.filter(|value| !value.is_nan() && event.rows >= policy.min_rows) else {
        return (next, Decision::Inconclusive);
    };
    let vote = match state.alarm {
        None => policy.alarm.is_beyond(value, policy.enter),
        // With one threshold for both, a value that equals it is calm: it did not raise either.
        Some(_) if policy.leave == policy.enter => !policy.alarm.is_beyond(value, policy.enter),
        Some(_) => policy.alarm.other().is_beyond(value, policy.leave),
    };
    let seen = u64::MAX >> (Policy::MAX_WINDOWS - policy.of);
    next.votes = (state.votes << 1 | u64::from(vote)) & seen;
    if next.votes.count_ones() < policy.votes {
        return (next, if state.alarm.is_some() { Decision::Kept } else { Decision::Calm });
    }
    // The votes were about a change that has happened now.
    next.votes = 0;
    match state.alarm {
        None => (State { alarm: Some(event.at), ..next }, Decision::Raised),
        Some(_) => (State { alarm: None, ..next }, Decision::Cleared),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Decision::{Calm, Cleared, Inconclusive, Kept, Raised};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    fn run(policy: &Policy, values: &[Option<f64>]) -> Vec<Decision> {
        let mut state = State::default();
        let events = (0..).zip(values).map(|(i, value)| Event { at: at(i), rows: 100, value: *value });
        events
            .map(|event| {
                let (next, decision) = step(policy, &state, &event);
                // A state that was written down and read again goes on as if it had not been.
                state = serde_json::from_str(&serde_json::to_string(&next).unwrap()).unwrap();
                decision
            })
            .collect()
    }

    #[test]
    fn between_the_thresholds_nothing_changes() {
        let policy = Policy::above(0.2).unwrap().with_leave(0.1).unwrap();
        let values = [0.15, 0.21, 0.15, 0.1, 0.09, 0.15].map(Some);
        assert_eq!(run(&policy, &values), [Calm, Raised, Kept, Kept, Cleared, Calm]);
        let falling = Policy::below(0.9).unwrap().with_leave(0.95).unwrap();
        let values = [0.92, 0.89, 0.92, 0.96].map(Some);
        assert_eq!(run(&falling, &values), [Calm, Raised, Kept, Cleared]);
    }

    #[test]
    fn with_one_threshold_every_value_is_on_a_side() {
        let policy = Policy::above(0.2).unwrap();
        assert_eq!(run(&policy, &[0.2, 0.3, 0.2, 0.3].map(Some)), [Calm, Raised, Cleared, Raised]);
    }

    #[test]
    fn k_of_n_windows_must_agree_and_votes_begin_anew_after_a_change() {
        let policy = Policy::above(1.0).unwrap().with_votes(2, 3).unwrap();
        let values = [2.0, 0.0, 0.0, 2.0, 2.0, 0.0, 2.0, 0.0].map(Some);
        assert_eq!(run(&policy, &values), [Calm, Calm, Calm, Calm, Raised, Kept, Kept, Cleared]);
        let all = Policy::above(1.0).unwrap().with_votes(64, 64).unwrap();
        let decisions = run(&all, &[Some(2.0); 65]);
        assert_eq!(decisions.iter().position(|d| *d == Raised), Some(63));
    }

    #[test]
    fn what_cannot_be_judged_neither_votes_nor_pushes_votes_out() {
        let policy = Policy::above(1.0).unwrap().with_votes(2, 2).unwrap();
        let values = [Some(2.0), None, Some(f64::NAN), Some(2.0), None];
        assert_eq!(run(&policy, &values), [Calm, Inconclusive, Inconclusive, Raised, Inconclusive]);
        let many = policy.with_min_rows(101);
        assert_eq!(run(&many, &[Some(2.0); 3]), [Inconclusive; 3]);
    }

    #[test]
    fn policies_that_make_no_sense_are_refused() {
        assert!(Policy::above(f64::NAN).is_err());
        assert!(Policy::above(0.1).unwrap().with_leave(f64::INFINITY).is_err());
        assert!(Policy::below(0.9).unwrap().with_leave(0.8).is_err());
        for (votes, of) in [(0, 1), (2, 1), (1, 65)] {
            assert!(Policy::above(0.1).unwrap().with_votes(votes, of).is_err(), "{votes} of {of}");
        }
        for text in [
            r#"{"alarm":"above","enter":0.2,"leave":0.3,"votes":1,"of":1,"min_rows":0}"#,
            r#"{"alarm":"above","enter":0.2,"leave":0.1,"votes":3,"of":2,"min_rows":0}"#,
        ] {
            assert!(serde_json::from_str::<Policy>(text).is_err(), "{text}");
        }
        assert!(
            serde_json::from_str::<State>(r#"{"version":2,"alarm":null,"last":null,"votes":0}"#).is_err()
        );
    }
}
