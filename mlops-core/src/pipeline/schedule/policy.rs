//! What happens to firings that come too late, or while the one before is still at work.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::time::Timestamp;

/// What happens to firings that were missed: nobody looked within the grace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misfire {
    /// They are left out.
    Skip,
    /// All of them together fire once, as the last of them. The default.
    #[default]
    FireOnce,
    /// Each fires, the latest so many.
    FireAll {
        /// The most that fire.
        max: u32,
    },
}

/// What happens to a firing while the run of the one before is at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is left out. The default.
    #[default]
    Skip,
    /// It runs afterwards; of many that wait, one.
    Queue,
    /// The one at work is cancelled.
    CancelRunning,
    /// Both run.
    Allow,
}

/// What to do with a firing.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OverlapDecision {
    /// Start a run.
    Start,
    /// Leave it out.
    Skip,
    /// Start a run when the one at work has ended.
    Wait,
    /// Cancel the one at work, then start a run.
    CancelThenStart,
}

impl Overlap {
    /// What to do with a firing, when a run is at work, and another one waits already.
    ///
    /// ```
    /// use mlops_core::pipeline::schedule::{Overlap, OverlapDecision};
    /// assert_eq!(Overlap::Skip.decide(false, false), OverlapDecision::Start);
    /// assert_eq!(Overlap::Queue.decide(true, false), OverlapDecision::Wait);
    /// assert_eq!(Overlap::Queue.decide(true, true), OverlapDecision::Skip);
    /// ```
    pub const fn decide(self, at_work: bool, waiting: bool) -> OverlapDecision {
        match self {
            _ if !at_work => OverlapDecision::Start,
            Self::Skip => OverlapDecision::Skip,
            Self::Queue if waiting => OverlapDecision::Skip,
            Self::Queue => OverlapDecision::Wait,
            Self::CancelRunning => OverlapDecision::CancelThenStart,
            Self::Allow => OverlapDecision::Start,
        }
    }
}

/// Dates on which nothing fires: holidays, and stretches during which nothing may change.
///
/// ```
/// use mlops_core::pipeline::schedule::{Blackout, Calendar};
/// let calendar = Calendar::new(
///     ["2026-12-25".parse()?],
///     [Blackout::new("2026-12-28".parse()?, "2026-12-31".parse()?)],
/// )?;
/// assert!(calendar.excludes("2026-12-30".parse()?));
/// assert!(!calendar.excludes("2026-12-26".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CalendarWire")]
pub struct Calendar {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    holidays: BTreeSet<NaiveDate>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blackouts: Vec<Blackout>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CalendarWire {
    #[serde(default)]
    holidays: BTreeSet<NaiveDate>,
    #[serde(default)]
    blackouts: Vec<Blackout>,
}

impl TryFrom<CalendarWire> for Calendar {
    type Error = Error;

    fn try_from(wire: CalendarWire) -> Result<Self> {
        Self::new(wire.holidays, wire.blackouts)
    }
}

/// A stretch of dates, both ends included.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blackout {
    /// The first date.
    pub from: NaiveDate,
    /// The last date.
    pub to: NaiveDate,
}

impl Blackout {
    /// From this day to that, both included.
    pub const fn new(from: NaiveDate, to: NaiveDate) -> Self {
        Self { from, to }
    }
}

impl Calendar {
    /// The most holidays and stretches, each.
    pub const MAX_ENTRIES: usize = 10_000;

    /// These dates.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a stretch that ends before it begins,
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded).
    pub fn new(
        holidays: impl IntoIterator<Item = NaiveDate>,
        blackouts: impl IntoIterator<Item = Blackout>,
    ) -> Result<Self> {
        const OP: &str = "Calendar::new";
        let calendar =
            Self { holidays: holidays.into_iter().collect(), blackouts: blackouts.into_iter().collect() };
        let most = calendar.holidays.len().max(calendar.blackouts.len());
        if most > Self::MAX_ENTRIES {
            return Err(Error::limit(OP, "the number of dates", Self::MAX_ENTRIES, most));
        }
        match calendar.blackouts.iter().find(|stretch| stretch.from > stretch.to) {
            Some(stretch) => {
                let message = format!("{} is after {}", stretch.from, stretch.to);
                Err(Error::invalid(OP, "blackouts", message))
            }
            None => Ok(calendar),
        }
    }

    /// Whether nothing fires on a date.
    pub fn excludes(&self, date: NaiveDate) -> bool {
        self.holidays.contains(&date) || self.blackouts.iter().any(|s| s.from <= date && date <= s.to)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.holidays.is_empty() && self.blackouts.is_empty()
    }

    /// The first date from `date` on that is not excluded.
    pub(super) fn open(&self, mut date: NaiveDate) -> Option<NaiveDate> {
        // Each turn leaves a holiday or a stretch behind, for good.
        loop {
            let end = self.blackouts.iter().filter(|s| s.from <= date && date <= s.to).map(|s| s.to).max();
            match end {
                Some(end) => date = end.succ_opt()?,
                None if self.holidays.contains(&date) => date = date.succ_opt()?,
                None => return Some(date),
            }
        }
    }
}

/// What is due.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The firings to act on, in order, each at the moment it was meant for.
    pub fire: Vec<Timestamp>,
    /// How many others there were that are left out.
    pub left_out: u64,
    /// Whether there were so many that not all were counted.
    pub at_least: bool,
    /// When to look next; none where nothing comes any more.
    pub next: Option<Timestamp>,
}

impl Due {
    pub(super) fn new(fire: Vec<Timestamp>, left_out: u64, at_least: bool, next: Option<Timestamp>) -> Self {
        Self { fire, left_out, at_least, next }
    }
}
