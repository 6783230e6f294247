//! What holds a retraining back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Weekday};
use serde::{Deserialize, Serialize};

use super::CauseKind;
use crate::error::{Error, Result};
use crate::id::ModelName;
#[cfg(feature = "schedule")]
use crate::pipeline::schedule::Zone;
use crate::time::{Timestamp, duration_text};

/// The longest duration.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);

/// What retraining may use up in any stretch of time of one length, ending now.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrainBudget {
    /// The length.
    #[serde(with = "duration_text")]
    pub period: Duration,
    /// The most requests. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// The most cost, in whatever unit causes state theirs. A cause that states none does not pass. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

impl RetrainBudget {
    /// A period without a limit.
    pub const fn new(period: Duration) -> Self {
        Self { period, requests: None, cost: None }
    }

    /// With at most so many requests.
    #[must_use]
    pub fn with_requests(mut self, requests: impl Into<Option<u32>>) -> Self {
        self.requests = requests.into();
        self
    }

    /// With at most this cost.
    #[must_use]
    pub fn with_cost(mut self, cost: impl Into<Option<f64>>) -> Self {
        self.cost = cost.into();
        self
    }
}

/// A time during which nothing is retrained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum GateBlackout {
    /// From one moment up to and without another: a freeze before a release.
    Span {
        /// The first moment.
        from: Timestamp,
        /// The first moment after.
        to: Timestamp,
    },
    /// Every week on these days (`Mon` to `Sun`) from one time up to and without another, on the day after where that is not
    /// later: office hours, nights. UTC.
    Weekly {
        /// The days on which it begins.
        days: BTreeSet<WeekDayName>,
        /// When it begins.
        from: NaiveTime,
        /// When it ends.
        to: NaiveTime,
    },
    /// The same on the wall clocks of a time zone (feature `schedule`), also where they are set forward or back: it begins when
    /// they first show `from` and ends when they last show `to`, so that an hour that comes twice is dark twice. A time that they
    /// leave out is the moment at which they do.
    #[cfg(feature = "schedule")]
    WeeklyIn {
        /// The zone, by its IANA name or its name on Windows.
        time_zone: Zone,
        /// The days on which it begins.
        days: BTreeSet<WeekDayName>,
        /// When it begins.
        from: NaiveTime,
        /// When it ends.
        to: NaiveTime,
    },
}

/// A day of the week, which has an order: Monday is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WeekDayName {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl From<Weekday> for WeekDayName {
    fn from(day: Weekday) -> Self {
        match day {
            Weekday::Mon => Self::Mon,
            Weekday::Tue => Self::Tue,
            Weekday::Wed => Self::Wed,
            Weekday::Thu => Self::Thu,
            Weekday::Fri => Self::Fri,
            Weekday::Sat => Self::Sat,
            Weekday::Sun => Self::Sun,
        }
    }
}

impl GateBlackout {
    /// When the blackout in which a moment lies ends; `None` if the moment lies in none.
    ///
    /// ```
    /// use mlops_core::retrain::gates::{GateBlackout, WeekDayName};
    /// let nights = GateBlackout::Weekly {
    ///     days: [WeekDayName::Fri].into(),
    ///     from: "22:00:00".parse()?,
    ///     to: "06:00:00".parse()?,
    /// };
    /// // 2 January 2026 is a Friday.
    /// assert_eq!(nights.until("2026-01-03T05:59:00Z".parse()?), Some("2026-01-03T06:00:00Z".parse()?));
    /// assert_eq!(nights.until("2026-01-03T06:00:00Z".parse()?), None);
    /// assert_eq!(nights.until("2026-01-02T05:00:00Z".parse()?), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn until(&self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Span { from, to } => (*from..*to).contains(&at).then_some(*to),
            Self::Weekly { days, from, to } => {
                let utc = |local: NaiveDateTime| Some(local.and_utc());
                until_week((days, *from, *to), at, at.date_naive(), utc, utc)
            }
            #[cfg(feature = "schedule")]
            Self::WeeklyIn { time_zone, days, from, to } => {
                let (first, last) = (|local| time_zone.moment(local), |local| time_zone.last_moment(local));
                until_week((days, *from, *to), at, time_zone.local(at)?.date(), first, last)
            }
        }
    }

    /// Whether it never is: it ends before it begins, or has no day.
    fn is_never(&self) -> bool {
        match self {
            Self::Span { from, to } => from >= to,
            Self::Weekly { days, .. } => days.is_empty(),
            #[cfg(feature = "schedule")]
            Self::WeeklyIn { days, .. } => days.is_empty(),
        }
    }
}

/// When the last of the weekly blackouts ends in which a moment lies, which is on the date `today` there. `first` and `last` are
/// the moments at which wall clocks first and last show a time.
fn until_week(
    (days, from, to): (&BTreeSet<WeekDayName>, NaiveTime, NaiveTime),
    at: Timestamp,
    today: NaiveDate,
    first: impl Fn(NaiveDateTime) -> Option<Timestamp>,
    last: impl Fn(NaiveDateTime) -> Option<Timestamp>,
) -> Option<Timestamp> {
    // One that began yesterday may last; and clocks that are set back over midnight show yesterday once more after one of today
    // has begun.
    let begun = [today.succ_opt(), Some(today), today.pred_opt()].into_iter().flatten();
    let ends = begun.filter(|day| days.contains(&day.weekday().into())).filter_map(|day| {
        let end_day = if to > from { Some(day) } else { day.succ_opt() }?;
        let (start, end) = (first(day.and_time(from))?, last(end_day.and_time(to))?);
        (start..end).contains(&at).then_some(end)
    });
    ends.max()
}

/// What holds a retraining back, in this order:
///
/// 1. **Dedupe**: a cause with the same source and id as one of the last 1 000 is dropped.
/// 2. **Debounce**: causes are gathered for `debounce` from the first on; they become one request.
/// 3. **Hysteresis**: a cause with a level whose signal was a cause of a request before is dropped until a
///    [measurement](super::GateInput::Measured) has said that it is well again.
/// 4. **Cooldown**: after a request for `cooldown`, or for what `cooldown_by_cause` says of its kind. Of several causes, one that
///    has waited long enough is enough.
/// 5. **Budget**: so many requests, and so much cost, in any period.
/// 6. **Blackout**: nothing is requested then.
/// 7. **Concurrency**: at most `max_running` retrainings at a time.
///
/// What dedupe, hysteresis, cooldown and budget hold back is dropped, with a record: a cause that lasts comes again, drift and
/// performance with the next window, a schedule with its next time. [Events](CauseKind::Event) and what a
/// [person](CauseKind::Manual) asks for come once, and the same again is held back by dedupe: where one of them must not be lost to a
/// cooldown that something else began, give its kind a cooldown of nothing in `cooldown_by_cause`, and gather bursts with `debounce`.
/// What blackout and
/// concurrency hold back is kept, for they end by themselves and the cause may be an event that comes once: it is decided again at
/// every input, from the hysteresis on. The clock may go back: what lies ahead of it counts as now.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrainGates {
    /// The model.
    pub model: ModelName,
    /// For how long causes are gathered. Default: not at all.
    #[serde(default, with = "duration_text")]
    pub debounce: Duration,
    /// How long after a request the next may come. Default: at once.
    #[serde(default, with = "duration_text")]
    pub cooldown: Duration,
    /// The same, by kind of cause.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cooldown_by_cause: BTreeMap<CauseKind, Cooldown>,
    /// What may be used up. Default: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<RetrainBudget>,
    /// When nothing is requested. Default: never.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blackouts: Vec<GateBlackout>,
    /// The most retrainings at a time. Default: 1.
    #[serde(default = "one")]
    pub max_running: u32,
}

/// A duration as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cooldown(#[serde(with = "duration_text")] pub Duration);

fn one() -> u32 {
    1
}

impl RetrainGates {
    /// Gates that know what they have seen, and hold nothing else back.
    pub fn new(model: ModelName) -> Self {
        Self {
            model,
            debounce: Duration::ZERO,
            cooldown: Duration::ZERO,
            cooldown_by_cause: BTreeMap::new(),
            budget: None,
            blackouts: Vec::new(),
            max_running: one(),
        }
    }

    /// Gathers causes for so long.
    #[must_use]
    pub fn with_debounce(mut self, length: Duration) -> Self {
        self.debounce = length;
        self
    }

    /// Holds back for so long after a request.
    #[must_use]
    pub fn with_cooldown(mut self, length: Duration) -> Self {
        self.cooldown = length;
        self
    }

    /// Holds causes of a kind back for so long after a request instead.
    #[must_use]
    pub fn with_cooldown_of(mut self, kind: CauseKind, length: Duration) -> Self {
        self.cooldown_by_cause.insert(kind, Cooldown(length));
        self
    }

    /// Sets what may be used up.
    #[must_use]
    pub fn with_budget(mut self, budget: RetrainBudget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Adds a time during which nothing is requested.
    #[must_use]
    pub fn with_blackout(mut self, blackout: GateBlackout) -> Self {
        self.blackouts.push(blackout);
        self
    }

    /// Sets the most retrainings at a time.
    #[must_use]
    pub fn with_max_running(mut self, most: u32) -> Self {
        self.max_running = most;
        self
    }

    /// Checks that the rules can be followed; [`step`](Self::step) does so first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the rule.
    pub fn check(&self) -> Result<()> {
        const OP: &str = "RetrainGates::check";
        let long = |field: &str, length: Duration| match length <= LONGEST {
            true => Ok(()),
            false => Err(Error::invalid(OP, field, "must be at most ten years")),
        };
        long("debounce", self.debounce)?;
        long("cooldown", self.cooldown)?;
        self.cooldown_by_cause.values().try_for_each(|length| long("cooldown_by_cause", length.0))?;
        if self.max_running == 0 {
            return Err(Error::invalid(OP, "max_running", "must be at least 1"));
        }
        if self.blackouts.len() > 1_000 {
            return Err(Error::limit(OP, "the number of blackouts", 1_000, self.blackouts.len()));
        }
        for (place, blackout) in self.blackouts.iter().enumerate() {
            if blackout.is_never() {
                return Err(Error::invalid(
                    OP,
                    "blackouts",
                    "is never: it ends before it begins, or has no day",
                )
                .with("place", place));
            }
        }
        let Some(budget) = self.budget else { return Ok(()) };
        long("period", budget.period)?;
        if budget.period.is_zero() {
            return Err(Error::invalid(OP, "period", "must be longer than nothing"));
        }
        if budget.requests.is_some_and(|most| most > 10_000) {
            return Err(Error::invalid(OP, "requests", "must be at most 10 000"));
        }
        match budget.cost {
            Some(cost) if !(cost.is_finite() && cost >= 0.0) => {
                Err(Error::invalid(OP, "cost", format!("must be finite and at least 0, got {cost}")))
            }
            _ => Ok(()),
        }
    }
}
