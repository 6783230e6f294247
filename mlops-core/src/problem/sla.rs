//! What the service around the model promises, and how much of the promise is used up.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::num::Measured;

/// What the service around the model promises. Every number is checked by [`Sla::check`]; a charter's file has it as `[sla]`.
///
/// ```
/// use mlops_core::problem::Sla;
///
/// let sla = Sla::new(200.0, 0.999);
/// assert!(sla.check().is_ok());
/// assert!(Sla::new(f64::NAN, 0.999).check().is_err());
/// assert!(Sla::new(200.0, 99.9).check().is_err());
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sla {
    /// 95 % of the requests are answered within so many milliseconds; more than 0.
    pub max_p95_latency_ms: f64,
    /// The share of requests that get an answer, above 0 and below 1: a promise of 1 leaves no budget to change anything.
    pub availability: f64,
    /// The largest share of answers that may be errors before a release is taken back; from 0 to 1. Without it, what the
    /// availability leaves.
    #[serde(default)]
    pub max_failure_rate: Option<f64>,
    /// The data a prediction rests on is at most so many hours old; more than 0.
    #[serde(default)]
    pub max_data_age_hours: Option<f64>,
    /// The model is trained anew at least every so many days; more than 0.
    #[serde(default)]
    pub retrain_every_days: Option<f64>,
}

impl Sla {
    /// A promise about latency and availability.
    pub fn new(max_p95_latency_ms: f64, availability: f64) -> Self {
        Self {
            max_p95_latency_ms,
            availability,
            max_failure_rate: None,
            max_data_age_hours: None,
            retrain_every_days: None,
        }
    }

    /// Sets the largest share of answers that may be errors.
    #[must_use]
    pub fn with_max_failure_rate(mut self, rate: f64) -> Self {
        self.max_failure_rate = Some(rate);
        self
    }

    /// Sets how old the data may be, in hours.
    #[must_use]
    pub fn with_max_data_age_hours(mut self, hours: f64) -> Self {
        self.max_data_age_hours = Some(hours);
        self
    }

    /// Sets how often the model is trained anew, in days.
    #[must_use]
    pub fn with_retrain_every_days(mut self, days: f64) -> Self {
        self.retrain_every_days = Some(days);
        self
    }

    /// Checks that every number lies where it must.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the key.
    pub fn check(&self) -> Result<()> {
        match self.fault() {
            None => Ok(()),
            Some((key, message)) => Err(Error::invalid("Sla::check", key, message)),
        }
    }

    /// The first key that is wrong, and what is wrong with it.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        let lengths = [
            ("max_p95_latency_ms", Some(self.max_p95_latency_ms)),
            ("max_data_age_hours", self.max_data_age_hours),
            ("retrain_every_days", self.retrain_every_days),
        ];
        for (key, value) in lengths {
            if let Some(value) = value.filter(|v| !(v.is_finite() && *v > 0.0)) {
                return Some((key, format!("is {value}, expected a finite number above 0")));
            }
        }
        if !(self.availability > 0.0 && self.availability < 1.0) {
            let message = format!("is {}, expected a share above 0 and below 1", self.availability);
            return Some(("availability", message));
        }
        let rate = self.max_failure_rate.filter(|rate| !(0.0..=1.0).contains(rate));
        rate.map(|rate| ("max_failure_rate", format!("is {rate}, expected a share from 0 to 1")))
    }

    /// The largest share of answers that may be errors: what is promised, else what the availability leaves.
    ///
    /// ```
    /// use mlops_core::problem::Sla;
    /// assert_eq!(Sla::new(200.0, 0.75).failure_rate(), 0.25);
    /// assert_eq!(Sla::new(200.0, 0.75).with_max_failure_rate(0.1).failure_rate(), 0.1);
    /// ```
    pub fn failure_rate(&self) -> f64 {
        self.max_failure_rate.unwrap_or(1.0 - self.availability)
    }

    /// For how long the service may be down within `period`: `(1 − availability) · period`, to the microsecond.
    ///
    /// # Errors
    /// As [`Sla::check`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::problem::Sla;
    ///
    /// let month = Duration::from_secs(30 * 24 * 3600);
    /// // Three nines leave 43 minutes and 12 seconds a month.
    /// assert_eq!(Sla::new(200.0, 0.999).downtime(month)?, Duration::from_secs(43 * 60 + 12));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn downtime(&self, period: Duration) -> Result<Duration> {
        self.check()?;
        let seconds = period.as_secs_f64() * (1.0 - self.availability);
        // 1 - 0.999 is not 0.001 in binary: beyond the microsecond the digits mean nothing.
        let rounded = (seconds * 1e6).round() / 1e6;
        Duration::try_from_secs_f64(rounded)
            .map_err(|source| Error::invalid("Sla::downtime", "period", "is too long").with_source(source))
    }

    /// How much of the promise `failed` requests of `total` have used up. With availability `a`:
    ///
    /// * allowed = (1 − a) · total
    /// * remaining = allowed − failed
    /// * burn rate = (failed / total) / (1 − a): 1 uses up the budget exactly at the end of the period, 2 in half of it
    ///
    /// Source: Beyer et al., *The Site Reliability Workbook* (2018), chapter 5.
    ///
    /// # Errors
    /// As [`Sla::check`]; [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for more failed requests than requests.
    ///
    /// ```
    /// use mlops_core::problem::Sla;
    ///
    /// let budget = Sla::new(200.0, 0.9).error_budget(1_000, 20)?;
    /// assert_eq!(budget.allowed.round(), 100.0);
    /// assert_eq!(budget.remaining.round(), 80.0);
    /// assert!(!budget.exhausted());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn error_budget(&self, total: u64, failed: u64) -> Result<ErrorBudget> {
        self.check()?;
        if failed > total {
            let message = format!("is {failed}, but there were {total} requests");
            return Err(Error::invalid("Sla::error_budget", "failed", message));
        }
        let share = 1.0 - self.availability;
        let allowed = share * total as f64;
        Ok(ErrorBudget {
            allowed,
            failed,
            remaining: allowed - failed as f64,
            burn_rate: Measured::ratio(failed as f64, total as f64).map(|rate| rate / share),
        })
    }
}

/// How much of the promise is used up.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorBudget {
    /// How many requests may fail; not rounded.
    pub allowed: f64,
    /// How many did.
    pub failed: u64,
    /// How many more may; negative when the promise is broken.
    pub remaining: f64,
    /// How fast the budget is used up, 1 being just in time; undefined without requests.
    pub burn_rate: Measured,
}

impl ErrorBudget {
    /// Whether more requests failed than may: the promise is broken. A budget that is used up to the last request is not.
    pub fn exhausted(&self) -> bool {
        // (1 - 0.9) · 10 is 0.9999999999999998: one failed request is within the budget all the same.
        self.remaining < -1e-9 * self.allowed.max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::UndefinedReason;

    #[test]
    fn numbers_that_promise_nothing_are_refused() {
        let good = Sla::new(200.0, 0.999);
        for (sla, field) in [
            (Sla::new(0.0, 0.9), "max_p95_latency_ms"),
            (Sla::new(f64::INFINITY, 0.9), "max_p95_latency_ms"),
            (Sla::new(1.0, 0.0), "availability"),
            (Sla::new(1.0, 1.0), "availability"),
            (Sla::new(1.0, f64::NAN), "availability"),
            (good.with_max_failure_rate(1.1), "max_failure_rate"),
            (good.with_max_failure_rate(f64::NAN), "max_failure_rate"),
            (good.with_max_data_age_hours(-1.0), "max_data_age_hours"),
            (good.with_retrain_every_days(f64::NAN), "retrain_every_days"),
        ] {
            for result in
                [sla.check(), sla.downtime(Duration::ZERO).map(|_| ()), sla.error_budget(1, 0).map(|_| ())]
            {
                assert_eq!(result.unwrap_err().context("field"), Some(field));
            }
        }
        assert!(good.with_max_failure_rate(0.0).check().is_ok());
    }

    #[test]
    fn the_budget_is_used_up_by_the_request_after_the_last_allowed() {
        for (availability, total, failed, exhausted) in [
            (0.9, 10, 1, false),
            (0.9, 10, 2, true),
            (0.999, 1_000_000, 1_000, false),
            (0.999, 1_000_000, 1_001, true),
            (0.999, 0, 0, false),
            (0.999, 10, 1, true),
            (0.5, u64::MAX, u64::MAX, true),
        ] {
            let budget = Sla::new(1.0, availability).error_budget(total, failed).unwrap();
            assert_eq!(budget.exhausted(), exhausted, "{budget:?}");
        }
        assert!(Sla::new(1.0, 0.9).error_budget(1, 2).is_err());
    }

    #[test]
    fn the_burn_rate_is_one_when_the_budget_is_just_used() {
        let rate = |total, failed| Sla::new(1.0, 0.75).error_budget(total, failed).unwrap().burn_rate;
        assert_eq!(rate(100, 25), Measured::Value(1.0));
        assert_eq!(rate(100, 50), Measured::Value(2.0));
        assert_eq!(rate(0, 0).undefined().map(|u| u.reason), Some(UndefinedReason::ZeroDenominator));
    }

    #[test]
    fn downtime_of_any_period_is_an_answer_or_an_error() {
        let sla = Sla::new(1.0, 0.5);
        assert_eq!(sla.downtime(Duration::ZERO).unwrap(), Duration::ZERO);
        assert!(sla.downtime(Duration::MAX).is_ok());
        assert!(Sla::new(1.0, f64::MIN_POSITIVE).downtime(Duration::MAX).is_err());
    }
}
