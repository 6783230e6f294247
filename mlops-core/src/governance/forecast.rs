//! What a month will have cost when it ends.

use std::f64::consts::{FRAC_PI_2, SQRT_2};

use serde::{Deserialize, Serialize};

use super::budget::DailyCost;
use crate::error::{Error, Result};
use crate::num::quantile::quantile;
use crate::num::sum::sum;

/// The fewest complete days a forecast needs: four weeks. With fewer, one expensive day would move the medians.
pub const MIN_DAYS: usize = 28;

/// The most days that are looked back on.
const WINDOW: usize = 56;

/// What a period will have cost when it ends.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forecast {
    /// An estimate.
    Estimate {
        /// What is spent plus what the days that remain will cost.
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

/// The forecast of a period: spent + remaining · rate + what the weekdays of the last, incomplete week make of it.
///
/// * **rate** is the median of the means of all windows of seven consecutive days among the last 56 complete days. A mean over a
///   week holds every weekday once, so that quiet week-ends do not distort it; the median over the windows is not moved by one
///   expensive day.
/// * **weekdays**: of the days to come, those beyond whole weeks add the median, over the days of the same weekday, of the
///   distance between a day and the mean of the week that ends with it.
/// * **interval**: σ is the noise of one day, 1.4826 · median |xₜ − xₜ₋₇| / √2, which neither weekdays nor one expensive day
///   inflate. The sum of r days to come has variance r σ² of its own, r² · (π/2) · σ²/n from the error of the rate over n days, and
///   m · (π/2) · 7 σ²/(n − 6) from that of the weekdays of m days beyond whole weeks (π/2 is the median's inefficiency under normal
///   noise). The interval is ± 1.6449 standard deviations, nominally 90 %. Simulated with weekly patterns and normal noise it
///   holds the truth in 88 to 91 % of cases for 28 to 56 days, with and without one day that cost 13 times as much. It assumes
///   that the days to come are like those behind, and no trend.
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
/// let cost = |d| Ok::<_, &str>(DailyCost::new(day(d)?, if d == 9 { 1000.0 } else { 10.0 }));
/// let history = (1..=28).map(cost).collect::<Result<Vec<_>, _>>()?;
/// let Forecast::Estimate { amount, low, high, .. } = forecast(&history, 1270.0, 7)? else { return Err("too few days".into()) };
/// assert_eq!((amount, low, high), (1340.0, 1340.0, 1340.0));
/// assert!(matches!(forecast(&history[..27], 1260.0, 7)?, Forecast::Insufficient { days: 27, needed: 28 }));
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
    let sigma = 1.4826 * quantile(&differences, 0.5)? / SQRT_2;
    let beyond = remaining % 7;
    let mut pattern = 0.0;
    for ahead in 0..beyond as usize {
        pattern += weekday(&days, &weeks, ahead)?;
    }
    let (r, n, m) = (f64::from(remaining), days.len() as f64, f64::from(beyond));
    let of_rate = r * r * FRAC_PI_2 / n;
    let of_weekdays = m * FRAC_PI_2 * 7.0 / (n - 6.0);
    let half = Z * sigma * (r + of_rate + of_weekdays).sqrt();
    let expected = spent + r * daily + pattern;
    if !(expected + half).is_finite() {
        return Err(Error::invalid(OP, "history", "the sum is beyond what a number can hold"));
    }
    // Quiet days take nothing back of what is spent.
    let amount = expected.max(spent);
    Ok(Forecast::Estimate {
        amount,
        low: (amount - half).max(spent),
        high: amount + half,
        level: LEVEL,
        daily,
    })
}

/// How far the weekday of the day `ahead` days after tomorrow lies from the mean of its week: the median over the days that are
/// known.
fn weekday(days: &[f64], weeks: &[f64], ahead: usize) -> Result<f64> {
    // The week that ends with day `i` is `weeks[i - 6]`.
    let same = days.iter().enumerate().skip(6).filter(|(i, _)| (days.len() + ahead - i).is_multiple_of(7));
    let distances: Vec<f64> =
        same.filter_map(|(i, amount)| weeks.get(i - 6).map(|week| amount - week)).collect();
    Ok(quantile(&distances, 0.5)?)
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
