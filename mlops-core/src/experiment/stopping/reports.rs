//! What trials report while they run.

use serde::{Deserialize, Serialize};

use super::{StoppingError, bits};
use crate::experiment::sampler::Goal;

/// One value of the metric that is to be optimised.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The step: an epoch, a number of trees, anything that grows.
    pub step: u64,
    /// The value; any `f64`.
    #[serde(with = "crate::num::json_float")]
    pub value: f64,
}

/// Equal when step and bits of the value are, so that a NaN equals itself.
impl PartialEq for Report {
    fn eq(&self, other: &Self) -> bool {
        self.step == other.step && bits(self.value) == bits(other.value)
    }
}

/// A report, and what is known of all reports up to it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    report: Report,
    /// Least and greatest value that is not NaN; NaN before the first.
    min: f64,
    max: f64,
    /// Sum and number of the values that are not NaN.
    sum: f64,
    count: u64,
}

/// The reports of one trial, in the order of their steps. The first is interval 1.
///
/// Best value and mean up to an interval are kept, so that asking for them takes constant time.
///
/// ```
/// use mlops_core::experiment::sampler::Goal;
/// use mlops_core::experiment::stopping::Reports;
///
/// let mut reports = Reports::new();
/// for (step, value) in [(10, 0.5), (20, f64::NAN), (30, 0.25)] {
///     reports.push(step, value)?;
/// }
/// assert_eq!(reports.interval(), 3);
/// assert_eq!(reports.best_until(2, Goal::Minimize), Some(0.5));
/// assert_eq!(reports.mean_until(3), Some(0.375)); // without the NaN
/// assert!(reports.push(30, 0.1).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Report>", into = "Vec<Report>")]
pub struct Reports(Vec<Entry>);

/// Reports that another one took the place of.
#[cfg(feature = "runtime")]
#[derive(Debug)]
pub(crate) struct Replaced(Vec<Entry>);

impl Reports {
    /// The greatest step: 2⁶³ − 1, as that of a tracker's metrics.
    pub const MAX_STEP: u64 = i64::MAX.unsigned_abs();

    /// The most reports of one trial: 2²⁰.
    pub const MAX_LEN: usize = 1 << 20;

    /// No reports.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a report.
    ///
    /// # Errors
    /// [`StoppingError::Step`] when `step` is not greater than the last, [`StoppingError::Limit`] beyond
    /// [`Self::MAX_STEP`] and [`Self::MAX_LEN`].
    pub fn push(&mut self, step: u64, value: f64) -> Result<(), StoppingError> {
        self.check(step)?;
        let (min, max, sum, count) = match self.0.last() {
            Some(last) => (last.min, last.max, last.sum, last.count),
            None => (f64::NAN, f64::NAN, 0.0, 0),
        };
        let report = Report { step, value };
        self.0.push(match value.is_nan() {
            true => Entry { report, min, max, sum, count },
            // `min` and `max` of f64 leave a NaN out.
            false => {
                let (min, max) = (min.min(value), max.max(value));
                Entry { report, min, max, sum: sum + value, count: count + 1 }
            }
        });
        Ok(())
    }

    /// Whether a report at `step` can be added.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn check(&self, step: u64) -> Result<(), StoppingError> {
        if step > Self::MAX_STEP {
            return Err(StoppingError::Limit { argument: "step", limit: Self::MAX_STEP, value: step });
        }
        if self.0.len() >= Self::MAX_LEN {
            let (limit, value) = (Self::MAX_LEN as u64, self.0.len() as u64 + 1);
            return Err(StoppingError::Limit { argument: "reports", limit, value });
        }
        match self.last() {
            Some(last) if step <= last.step => {
                Err(StoppingError::Step { step, last: last.step, interval: self.interval() })
            }
            _ => Ok(()),
        }
    }

    /// Takes back every report from `step` on.
    pub fn truncate_from(&mut self, step: u64) {
        let keep = self.0.partition_point(|entry| entry.report.step < step);
        self.0.truncate(keep);
    }

    /// Adds a report in place of those from its step on; what [`restore`](Self::restore) needs to have these again.
    ///
    /// O(log n), and the number of reports that it takes the place of.
    ///
    /// # Errors
    /// As [`Self::push`]; nothing has changed then.
    #[cfg(feature = "runtime")]
    pub(crate) fn replace_from(&mut self, step: u64, value: f64) -> Result<Replaced, StoppingError> {
        let keep = self.0.partition_point(|entry| entry.report.step < step);
        let replaced = Replaced(self.0.split_off(keep));
        match self.push(step, value) {
            Ok(()) => Ok(replaced),
            Err(refused) => {
                self.0.extend(replaced.0);
                Err(refused)
            }
        }
    }

    /// Takes the last report back, and has again what it took the place of.
    #[cfg(feature = "runtime")]
    pub(crate) fn restore(&mut self, replaced: Replaced) {
        self.0.pop();
        self.0.extend(replaced.0);
    }

    /// How many reports there are, which is the number of the last interval.
    pub fn interval(&self) -> u64 {
        self.0.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All reports.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Report> + DoubleEndedIterator + '_ {
        self.0.iter().map(|entry| entry.report)
    }

    /// The last report.
    pub fn last(&self) -> Option<Report> {
        self.0.last().map(|entry| entry.report)
    }

    /// The report of an interval, counted from 1.
    pub fn at(&self, interval: u64) -> Option<Report> {
        self.entry(interval).map(|entry| entry.report)
    }

    /// The report at a step. O(log n).
    pub fn at_step(&self, step: u64) -> Option<Report> {
        self.from_step(step).filter(|report| report.step == step)
    }

    /// The first report at a step or after it. O(log n).
    pub fn from_step(&self, step: u64) -> Option<Report> {
        let place = self.0.partition_point(|entry| entry.report.step < step);
        self.0.get(place).map(|entry| entry.report)
    }

    /// The best value of intervals 1 to `interval`; `None` when there are fewer, or nothing but NaN.
    pub fn best_until(&self, interval: u64, goal: Goal) -> Option<f64> {
        let entry = self.entry(interval)?;
        let best = match goal {
            Goal::Maximize => entry.max,
            Goal::Minimize => entry.min,
        };
        (!best.is_nan()).then_some(best)
    }

    /// The best value of all; `None` for nothing but NaN.
    pub fn best(&self, goal: Goal) -> Option<f64> {
        self.best_until(self.interval(), goal)
    }

    /// The mean of the values of intervals 1 to `interval` that are not NaN; `None` when there are fewer intervals, or no
    /// such value.
    pub fn mean_until(&self, interval: u64) -> Option<f64> {
        let entry = self.entry(interval)?;
        (entry.count > 0).then(|| entry.sum / entry.count as f64)
    }

    fn entry(&self, interval: u64) -> Option<&Entry> {
        self.0.get(usize::try_from(interval.checked_sub(1)?).ok()?)
    }
}

impl TryFrom<Vec<Report>> for Reports {
    type Error = StoppingError;

    fn try_from(reports: Vec<Report>) -> Result<Self, StoppingError> {
        let mut out = Self::new();
        for report in reports {
            out.push(report.step, report.value)?;
        }
        Ok(out)
    }
}

impl From<Reports> for Vec<Report> {
    fn from(reports: Reports) -> Self {
        reports.iter().collect()
    }
}

/// How a trial stands, as far as policies care.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Queued or at work.
    #[default]
    Running,
    /// Waits to be promoted from this rung.
    Paused {
        /// The rung.
        rung: u32,
    },
    /// Came to its end with this value.
    Completed {
        /// The value of the objective.
        #[serde(with = "crate::num::json_float")]
        value: f64,
    },
    /// Stopped early.
    Stopped,
    /// Came to nothing.
    Failed,
}

/// A trial as policies see it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct TrialReports {
    /// Its number.
    pub number: u64,
    /// How it stands.
    pub standing: Standing,
    /// What it reported.
    pub reports: Reports,
}

impl TrialReports {
    /// A trial at work that has reported nothing yet.
    pub fn new(number: u64) -> Self {
        Self { number, standing: Standing::Running, reports: Reports::new() }
    }

    /// Sets how it stands.
    #[must_use]
    pub fn with_standing(mut self, standing: Standing) -> Self {
        self.standing = standing;
        self
    }

    /// Adds reports at steps 1, 2, 3, …
    ///
    /// # Errors
    /// As [`Reports::push`].
    pub fn with_values(mut self, values: impl IntoIterator<Item = f64>) -> Result<Self, StoppingError> {
        for value in values {
            let step = self.reports.last().map_or(1, |last| last.step.saturating_add(1));
            self.reports.push(step, value)?;
        }
        Ok(self)
    }
}

/// Every trial but the one with this number.
pub(super) fn others(trial: u64, all: &[TrialReports]) -> impl Iterator<Item = &TrialReports> {
    all.iter().filter(move |other| other.number != trial)
}

#[cfg(all(test, feature = "runtime"))]
mod tests {
    use super::*;

    #[test]
    fn reports_that_another_took_the_place_of_come_back() {
        let whole = TrialReports::new(0).with_values([0.5, f64::NAN, 0.25, 0.75]).unwrap().reports;
        for step in [1, 2, 3, 4, 5, 9] {
            let mut reports = whole.clone();
            let replaced = reports.replace_from(step, -1.0).unwrap();
            let mut expected = whole.clone();
            expected.truncate_from(step);
            expected.push(step, -1.0).unwrap();
            assert_eq!(reports, expected, "{step}");
            reports.restore(replaced);
            assert_eq!(reports, whole, "{step}");
        }
        let mut reports = whole.clone();
        assert!(reports.replace_from(Reports::MAX_STEP + 1, 0.0).is_err());
        assert_eq!(reports, whole);
    }
}
