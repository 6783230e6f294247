//! What a month will have cost when it ends.

use serde::{Deserialize, Serialize};

use super::budget::DailyCost;
use crate::error::{Error, Result};
use crate::num::quantile::quantile;
use crate::num::sum::sum;

/// The fewest complete days a forecast needs.
pub const MIN_DAYS: usize = 14;

/// The most days that are looked back on.
const WINDOW: usize = 56;

/// What a period will have cost when it ends.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forecast {
    /// An estimate.
    Estimate {
        /// What is spent plus the run rate times the days that remain.
        amount: f64,
        /// The lower end of the interval, at least what is spent.
        low: f64,
        /// The upper end of the interval.
        high: f64,
        /// The level of the interval: 0.9.
        level: f64,
        /// The run rate, a day.
        daily: f64,
    },
    /// Too few days to say anything.
    Insufficient {
        /// The complete days that are known.
        days: usize,
        /// The complete days that are needed.
        needed: usize,
    },
}

/// The forecast of a period: spent + remaining · rate.
///
/// * **rate** is the median of the means of all windows of seven consecutive days among the last 56 complete days. A mean over a
///   week holds every weekday once, so that quiet week-ends do not distort it; the median over the windows is not moved by one
///   expensive day.
/// * **interval**: σ is the noise of one day, 1.4826 · median |xₜ − xₜ₋₇| / √2, which weekdays and one expensive day do not
///   inflate. The sum of r days to come has variance r σ² of its own and r² · (π/2) · σ²/n from the error of the rate over n
///   days (π/2 is the median's inefficiency under normal noise). The interval is ± 1.6449 standard deviations, nominally 90 %;
///   it assumes that the days to come are like those behind, and no trend.
///
/// `history` holds complete days in order, the newest last, without gaps; `spent` what the period has cost until their end;
/// `remaining` the days of the period after that. O(days log days).
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a cost that is not finite or negative, and for days with gaps or
/// out of order.
///
/// ```
/// use mlops_core::governance::budget::DailyCost;
/// use mlops_core::governance::forecast::{Forecast, forecast};
/// let day = |d: u32| chrono::NaiveDate::from_ymd_opt(2026, 2, d).ok_or("no such day");
/// // One day that cost a hundred times as much does not move the rate.
/// let cost = |d| Ok::<_, &str>(DailyCost { day: day(d)?, amount: if d == 9 { 1000.0 } else { 10.0 } });
/// let history = (1..=21).map(cost).collect::<Result<Vec<_>, _>>()?;
/// let Forecast::Estimate { amount, low, high, .. } = forecast(&history, 1200.0, 7)? else { return Err("too few days".into()) };
/// assert_eq!((amount, low, high), (1270.0, 1270.0, 1270.0));
/// assert!(matches!(forecast(&history[..13], 130.0, 7)?, Forecast::Insufficient { days: 13, needed: 14 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn forecast(history: &[DailyCost], spent: f64, remaining: u32) -> Result<Forecast> {
    const OP: &str = "forecast";
    const LEVEL: f64 = 0.9;
    const Z: f64 = 1.644_853_626_951_472_7;
    check(OP, history)?;
    if !(spent.is_finite() && spent >= 0.0) {
        return Err(Error::invalid(OP, "spent", format!("must be finite and not negative, got {spent}")));
    }
    if history.len() < MIN_DAYS {
        return Ok(Forecast::Insufficient { days: history.len(), needed: MIN_DAYS });
    }
    let recent = history.get(history.len().saturating_sub(WINDOW)..).unwrap_or(history);
    let days: Vec<f64> = recent.iter().map(|cost| cost.amount).collect();
    let weeks: Vec<f64> = days.windows(7).map(|week| sum(week) / 7.0).collect();
    let differences: Vec<f64> = days.windows(8).map(|w| (w[7] - w[0]).abs()).collect();
    let daily = quantile(&weeks, 0.5)?;
    let sigma = 1.4826 * quantile(&differences, 0.5)? / std::f64::consts::SQRT_2;
    let (r, n) = (f64::from(remaining), days.len() as f64);
    let half = Z * sigma * (r + r * r * std::f64::consts::FRAC_PI_2 / n).sqrt();
    let amount = spent + r * daily;
    let estimate = Forecast::Estimate {
        amount,
        low: (amount - half).max(spent),
        high: amount + half,
        level: LEVEL,
        daily,
    };
    match (amount + half).is_finite() {
        true => Ok(estimate),
        false => Err(Error::invalid(OP, "history", "the sum is beyond what a number can hold")),
    }
}

/// Refuses costs that are none, and days that are not one after another.
pub(super) fn check(operation: &'static str, costs: &[DailyCost]) -> Result<()> {
    if let Some((i, cost)) =
        costs.iter().enumerate().find(|(_, c)| !(c.amount.is_finite() && c.amount >= 0.0))
    {
        let message = format!("must be finite and not negative, got {}", cost.amount);
        return Err(Error::invalid(operation, "amount", message).with("index", i).with("day", cost.day));
    }
    for (i, pair) in costs.windows(2).enumerate() {
        if pair[0].day.succ_opt() != Some(pair[1].day) {
            let message = "does not follow the day before: days without cost have to be there too";
            return Err(Error::invalid(operation, "day", message)
                .with("index", i + 1)
                .with("day", pair[1].day));
        }
    }
    Ok(())
}
