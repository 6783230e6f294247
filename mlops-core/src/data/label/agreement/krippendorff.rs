//! Krippendorff's alpha.

use serde::{Deserialize, Serialize};

use super::ratings::{Ratings, counts};
use crate::num::quantile::quantiles_with;
use crate::num::{Measured, NanPolicy, Random, StatsError, UndefinedReason};

/// The most different values on the level of ratios, where all pairs are gone through.
const MAX_RATIOS: usize = 10_000;

/// The most resamples.
const MAX_RESAMPLES: usize = 1_000_000;

/// What the numbers mean, which says how far apart two of them are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Codes: different is different. The default.
    #[default]
    Nominal,
    /// Places in an order: by how many ratings lie between.
    Ordinal,
    /// Numbers: (c − k)².
    Interval,
    /// Numbers from zero on: ((c − k) ÷ (c + k))².
    Ratio,
}

/// Krippendorff's alpha: 1 − Dₒ ÷ Dₑ, where Dₒ is the mean distance of ratings of one unit and Dₑ that of all ratings, whatever
/// their unit. Units with fewer than two ratings do not count.
///
/// At most 1; 0 is chance, below it is systematic disagreement. Undefined when there is no unit of two ratings
/// ([`UndefinedReason::TooFew`]) or all ratings are equal ([`UndefinedReason::Constant`]). O(n log n); on the level of ratios
/// O(n·m + v²) for m ratings a unit and v different values, at most 10 000. Agrees with krippendorff 0.9.0's `alpha` to 1e-12.
///
/// On the level of orders the distance of two values is that of their mean ranks among all ratings, so all levels but that of
/// ratios are sums of squares.
///
/// Source: Krippendorff, *Content Analysis* (4th ed., 2018), chapter 12; "Computing Krippendorff's alpha-reliability" (2011).
///
/// ```
/// use mlops_core::data::{Level, Ratings, krippendorff_alpha};
/// let ratings = Ratings::new(2, &[Some(0.0), Some(1.0), Some(1.0), Some(1.0), None, Some(1.0)])?;
/// assert_eq!(krippendorff_alpha(&ratings, Level::Nominal)?.value(), Some(0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::OutOfRange`] for a negative ratio, [`StatsError::Unsupported`] for too many different ratios,
/// [`StatsError::Overflow`] for numbers whose squares are not finite.
pub fn krippendorff_alpha(ratings: &Ratings, level: Level) -> Result<Measured, StatsError> {
    let units: Vec<&[f64]> = ratings.pairable().collect();
    alpha(&units, level)
}

fn alpha(units: &[&[f64]], level: Level) -> Result<Measured, StatsError> {
    let all: Vec<f64> = units.iter().flat_map(|unit| unit.iter().copied()).collect();
    let marginals = counts(&all);
    if all.is_empty() {
        return Ok(Measured::none(UndefinedReason::TooFew, 0, 1));
    }
    if marginals.len() < 2 {
        return Ok(Measured::none(UndefinedReason::Constant, 1, 2));
    }
    let (observed, expected) = match level {
        Level::Nominal => (sum_of(units, nominal), nominal(&all)),
        Level::Interval => (sum_of(units, squares), squares(&all)),
        Level::Ordinal => {
            let mut ranks = Vec::with_capacity(marginals.len());
            let mut before = 0.0;
            for (value, count) in &marginals {
                ranks.push((*value, before + *count as f64 / 2.0));
                before += *count as f64;
            }
            let rank = |value: &f64| {
                let at = ranks.partition_point(|(other, _)| other < value);
                ranks.get(at).map_or(0.0, |(_, rank)| *rank)
            };
            let ranked: Vec<Vec<f64>> = units.iter().map(|unit| unit.iter().map(rank).collect()).collect();
            let ranked: Vec<&[f64]> = ranked.iter().map(Vec::as_slice).collect();
            (sum_of(&ranked, squares), squares(&all.iter().map(rank).collect::<Vec<_>>()))
        }
        Level::Ratio => {
            if let Some((index, &value)) = all.iter().enumerate().find(|(_, value)| **value < 0.0) {
                let (low, high) = (0.0, f64::INFINITY);
                return Err(StatsError::OutOfRange { argument: "ratings", index, value, low, high });
            }
            if marginals.len() > MAX_RATIOS {
                let reason = "there are more than 10000 different values";
                return Err(StatsError::Unsupported { what: "alpha of ratios", reason });
            }
            (sum_of(units, |unit| ratios(&counts(unit))), ratios(&marginals))
        }
    };
    if !(observed.is_finite() && expected.is_finite()) {
        return Err(StatsError::Overflow { what: "the sum of squared distances" });
    }
    let n = all.len() as f64;
    Ok(Measured::ratio(observed * (n - 1.0), expected).map(|ratio| 1.0 - ratio))
}

/// Over units: the distances of all ordered pairs of a unit, divided by the number of its ratings less one.
fn sum_of(units: &[&[f64]], distances: impl Fn(&[f64]) -> f64) -> f64 {
    units.iter().map(|unit| distances(unit) / (unit.len() as f64 - 1.0)).sum()
}

/// Ordered pairs of different values.
fn nominal(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    n * n - counts(values).into_iter().map(|(_, k)| (k as f64).powi(2)).sum::<f64>()
}

/// The squared differences of all ordered pairs: 2·n·Σ(x − mean)².
fn squares(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().map(|x| x / n).sum::<f64>();
    2.0 * n * values.iter().map(|x| (x - mean).powi(2)).sum::<f64>()
}

/// The squared relative differences of all ordered pairs of counted values.
fn ratios(counts: &[(f64, usize)]) -> f64 {
    let mut sum = 0.0;
    for (at, (c, n)) in counts.iter().enumerate() {
        let others = counts[at + 1..].iter().map(|(k, m)| ((c - k) / (c + k)).powi(2) * *m as f64);
        sum += 2.0 * *n as f64 * others.sum::<f64>();
    }
    sum
}

/// Alpha with an interval.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlphaInterval {
    /// Alpha of all units.
    pub alpha: Measured,
    /// The lower end.
    pub low: Measured,
    /// The upper end.
    pub high: Measured,
    /// How many resamples were drawn.
    pub resamples: usize,
    /// In how many of them alpha is undefined; the ends are those of the others.
    pub undefined: usize,
}

/// Alpha with the percentile interval of a bootstrap over units: units are drawn with replacement, their ratings with them.
///
/// `confidence` lies in (0, 1); the same seed gives the same interval. O(resamples × cost of alpha).
///
/// ```
/// use mlops_core::data::{Level, Ratings, alpha_interval};
/// let units = (0..40).map(|i| vec![f64::from(i % 3), f64::from(if i % 8 == 0 { 0 } else { i % 3 })]);
/// let interval = alpha_interval(&Ratings::of_units(units)?, Level::Nominal, 500, 0.95, 7)?;
/// let (low, high) = (interval.low.value().ok_or("none")?, interval.high.value().ok_or("none")?);
/// assert!(low < interval.alpha.value().ok_or("none")? && low > 0.6 && high <= 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`krippendorff_alpha`]; [`StatsError::Parameter`] for a confidence outside (0, 1), and for no or more than 10⁶
/// resamples.
pub fn alpha_interval(
    ratings: &Ratings,
    level: Level,
    resamples: usize,
    confidence: f64,
    seed: u64,
) -> Result<AlphaInterval, StatsError> {
    if !(confidence > 0.0 && confidence < 1.0) {
        let reason = "must lie in (0, 1)";
        return Err(StatsError::Parameter { parameter: "confidence", value: confidence, reason });
    }
    if resamples == 0 || resamples > MAX_RESAMPLES {
        let (value, reason) = (resamples as f64, "must lie in 1 to 1000000");
        return Err(StatsError::Parameter { parameter: "resamples", value, reason });
    }
    let units: Vec<&[f64]> = ratings.pairable().collect();
    let whole = alpha(&units, level)?;
    let random = Random::new(seed).stream("alpha");
    let mut values = Vec::new();
    if let Some(bound) = std::num::NonZeroU64::new(units.len() as u64) {
        for resample in 0..resamples {
            let mut random = random.nth(resample as u64);
            let drawn: Vec<&[f64]> = units
                .iter()
                .filter_map(|_| units.get(usize::try_from(random.below(bound)).ok()?).copied())
                .collect();
            values.extend(alpha(&drawn, level)?.value());
        }
    }
    let undefined = resamples - values.len();
    let tail = (1.0 - confidence) / 2.0;
    let none = Measured::none(UndefinedReason::NothingDefined, 0, 1);
    let (low, high) = match values.is_empty() {
        true => (none, none),
        false => match quantiles_with(&values, &[tail, 1.0 - tail], NanPolicy::Raise)?[..] {
            [low, high] => (low, high),
            _ => (none, none),
        },
    };
    Ok(AlphaInterval { alpha: whole, low, high, resamples, undefined })
}
