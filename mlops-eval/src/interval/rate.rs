//! Intervals around one rate.

use mlops_core::num::special::{beta_quantile, ln_beta_cdf};
use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::root::root;
use super::{Interval, check_confidence, normal_quantile, wilson_share};
use crate::classification::{Confusion, LabelMetric};

/// So many successes in so many trials: the state behind every rate of rows. Counts merge.
///
/// No trials are legal (a group without positives has no true positive rate); the rate is undefined then.
///
/// ```
/// use mlops_eval::interval::Rate;
///
/// let rate = Rate::new(3, 4)?;
/// assert_eq!(rate.value().value(), Some(0.75));
/// assert!(Rate::new(5, 4).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Counts", into = "Counts")]
pub struct Rate(Counts);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    successes: u64,
    trials: u64,
}

impl Rate {
    /// A rate from its counts.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for more successes than trials.
    pub fn new(successes: u64, trials: u64) -> Result<Self, StatsError> {
        if successes > trials {
            let reason = "must not exceed `trials`";
            return Err(StatsError::Parameter { parameter: "successes", value: successes as f64, reason });
        }
        Ok(Self(Counts { successes, trials }))
    }

    /// A metric that is a share of rows, in counted cells.
    ///
    /// ```
    /// use mlops_eval::classification::{Confusion, LabelMetric};
    /// use mlops_eval::interval::Rate;
    ///
    /// let cells = Confusion { true_positives: 3, false_negatives: 1, ..Default::default() };
    /// assert_eq!(Rate::of(LabelMetric::Recall, &cells)?, Rate::new(3, 4)?);
    /// assert!(Rate::of(LabelMetric::Mcc, &cells).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] for a metric that is no share of rows; [`StatsError::Overflow`] from 2⁵³ rows on.
    pub fn of(metric: LabelMetric, cells: &Confusion) -> Result<Self, StatsError> {
        if cells.rows() >= 1 << 53 {
            return Err(StatsError::Overflow { what: "the number of rows" });
        }
        let share = metric.share(cells);
        let whole = share.filter(|(hits, all)| hits.fract() == 0.0 && all.fract() == 0.0 && *hits >= 0.0);
        let Some((hits, all)) = whole else {
            let reason = "it is no share of rows";
            return Err(StatsError::Unsupported { what: metric.name(), reason });
        };
        Self::new(count(hits), count(all))
    }

    /// The successes.
    pub const fn successes(&self) -> u64 {
        self.0.successes
    }

    /// The trials.
    pub const fn trials(&self) -> u64 {
        self.0.trials
    }

    /// Successes over trials.
    pub fn value(&self) -> Measured {
        Measured::ratio(self.k(), self.n())
    }

    /// Adds the counts of another part of the data.
    ///
    /// # Errors
    /// [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        let trials = self.0.trials.checked_add(other.0.trials);
        let trials = trials.ok_or(StatsError::Overflow { what: "the number of trials" })?;
        // At most as many as trials, which fit.
        self.0 = Counts { successes: self.0.successes + other.0.successes, trials };
        Ok(())
    }

    pub(crate) fn k(&self) -> f64 {
        self.0.successes as f64
    }

    pub(crate) fn n(&self) -> f64 {
        self.0.trials as f64
    }

    /// Successes over trials, for trials that are there.
    pub(crate) fn share(&self) -> f64 {
        self.k() / self.n()
    }

    pub(crate) fn has_trials(&self, argument: &'static str) -> Result<(), StatsError> {
        if self.0.trials == 0 { Err(StatsError::ZeroTotal { argument }) } else { Ok(()) }
    }
}

/// A count that is an f64 below 2⁵³.
#[expect(clippy::cast_sign_loss, reason = "counts are not negative")]
fn count(value: f64) -> u64 {
    value as u64
}

impl TryFrom<Counts> for Rate {
    type Error = StatsError;

    fn try_from(counts: Counts) -> Result<Self, StatsError> {
        Self::new(counts.successes, counts.trials)
    }
}

impl From<Rate> for Counts {
    fn from(rate: Rate) -> Self {
        rate.0
    }
}

/// How the interval around one rate is made. k successes in n trials, α = 1 − confidence, z the normal quantile.
///
/// | method | interval | coverage |
/// |---|---|---|
/// | Wilson (1927) | the p with (k/n − p)² ≤ z² p(1−p)/n | near nominal on average |
/// | Clopper–Pearson (1934) | the p with both P(X ≥ k), P(X ≤ k) ≥ α/2 | never below nominal |
/// | Jeffreys | α/2 and 1 − α/2 quantiles of Beta(k + ½, n − k + ½) | near nominal on average |
/// | Agresti–Coull (1998) | p̃ ± z √(p̃(1−p̃)/ñ), ñ = n + z², p̃ = (k + z²/2)/ñ | near nominal, wider near 0 and 1 |
/// | mid-P | Clopper–Pearson with half of P(X = k) | near nominal, seldom below |
///
/// Comparison: Brown, Cai, DasGupta, *Interval estimation for a binomial proportion*, Statistical Science 16, 2001.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateInterval {
    /// Wilson's score interval. The default.
    #[default]
    Wilson,
    /// The exact interval: covers at least as often as it says, whatever the rate.
    ClopperPearson,
    /// The equal-tailed Bayesian interval for Jeffreys' prior; 0 below no successes and 1 above no failures (Brown, Cai,
    /// DasGupta's convention).
    Jeffreys,
    /// A normal interval around a rate with z²/2 successes and failures added, cut to [0, 1].
    AgrestiCoull,
    /// The exact interval with half the probability of what was seen.
    MidP,
}

impl RateInterval {
    /// The interval; 0 ≤ k ≤ n, n > 0 and the confidence have been checked.
    pub(crate) fn limits(self, k: f64, n: f64, confidence: f64) -> Interval {
        let tail = 0.5 * (1.0 - confidence);
        if n > RARE && k.min(n - k) <= MANY {
            return self.rare(k, n, confidence);
        }
        let many = k.min(n - k) > MANY && self != Self::AgrestiCoull;
        let (lower, upper) = match self {
            _ if many => return wilson_share(k, n, confidence),
            Self::Wilson => return wilson_share(k, n, confidence),
            Self::ClopperPearson => (exact_lower(k, n, tail), 1.0 - exact_lower(n - k, n, tail)),
            Self::Jeffreys => (jeffreys_lower(k, n, tail), 1.0 - jeffreys_lower(n - k, n, tail)),
            Self::AgrestiCoull => agresti_coull_limits(k, n, normal_quantile(confidence)),
            Self::MidP => (mid_p_lower(k, n, tail), mid_p_upper(k, n, tail)),
        };
        // What one less a share close to 1 leaves is coarser than a tiny lower limit.
        Interval { lower, upper: upper.max(lower), confidence }
    }

    /// Few successes or failures in more trials than anybody has: only their number matters then, and limits fall as 1/n.
    fn rare(self, k: f64, n: f64, confidence: f64) -> Interval {
        let few = k.min(n - k);
        let Interval { lower, upper, .. } = self.limits(few, RARE, confidence);
        let (lower, upper) = (lower * (RARE / n), upper * (RARE / n));
        if k <= n - k {
            Interval { lower, upper, confidence }
        } else {
            Interval { lower: 1.0 - upper, upper: 1.0 - lower, confidence }
        }
    }
}

/// Successes and failures from which on all methods agree to 1e-10, relatively, and Wilson's is the one that is fast.
const MANY: f64 = 1e10;

/// Trials from which on few successes follow Poisson's law.
const RARE: f64 = 1e12;

/// The p at which P(X ≥ k) is `tail`.
fn exact_lower(k: f64, n: f64, tail: f64) -> f64 {
    if k <= 0.0 { 0.0 } else { beta_quantile(tail, k, n - k + 1.0) }
}

fn jeffreys_lower(k: f64, n: f64, tail: f64) -> f64 {
    if k <= 0.0 { 0.0 } else { beta_quantile(tail, k + 0.5, n - k + 0.5) }
}

fn agresti_coull_limits(k: f64, n: f64, z: f64) -> (f64, f64) {
    let trials = n + z * z;
    let share = (k + 0.5 * z * z) / trials;
    let half = z * (share * (1.0 - share) / trials).sqrt();
    ((share - half).max(0.0), (share + half).min(1.0))
}

/// The p at which P(X > k) + ½ P(X = k) is `tail`.
fn mid_p_lower(k: f64, n: f64, tail: f64) -> f64 {
    if k <= 0.0 {
        return 0.0;
    }
    if k >= n {
        // Nothing lies above n: ½ pⁿ is the tail.
        return ((2.0 * tail).ln() / n).exp();
    }
    let above = |p: f64, k: f64| if k > n { 0.0 } else { ln_beta_cdf(p, k, n - k + 1.0).exp() };
    // It is half of P(X = k) less than P(X ≥ k): at most that, and at least half of it.
    let (low, high) = (exact_lower(k, n, tail), exact_lower(k, n, (2.0 * tail).min(1.0 - f64::EPSILON)));
    root(low, high, |p| 0.5 * (above(p, k) + above(p, k + 1.0)) - tail)
}

/// The p at which P(X < k) + ½ P(X = k) is `tail`.
fn mid_p_upper(k: f64, n: f64, tail: f64) -> f64 {
    if k <= 0.0 { -((2.0 * tail).ln() / n).exp_m1() } else { 1.0 - mid_p_lower(n - k, n, tail) }
}

/// An interval around a rate. Rows are taken as independent. Agrees with SciPy 1.17.1 (Wilson, Clopper–Pearson), and
/// statsmodels 0.15.0 (`proportion_confint`; Jeffreys away from its ends) to 1e-12. O(√n) for the methods of the beta law; beyond
/// 10¹⁰ successes and failures they give Wilson's interval, from which they differ by 1e-10 there, relatively. Beyond 10¹² trials with fewer
/// successes or failures than that, limits are those of 10¹² trials, made smaller in proportion.
///
/// ```
/// use mlops_eval::interval::{Rate, RateInterval, rate_interval};
///
/// let none_of_ten = rate_interval(Rate::new(0, 10)?, 0.95, RateInterval::ClopperPearson)?;
/// assert_eq!(none_of_ten.lower, 0.0);
/// // 1 − 0.025^(1/10)
/// assert!((none_of_ten.upper - 0.3084971078187608).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::ZeroTotal`] without trials; [`StatsError::Parameter`] for a confidence outside (0, 1).
pub fn rate_interval(rate: Rate, confidence: f64, method: RateInterval) -> Result<Interval, StatsError> {
    check_confidence(confidence)?;
    rate.has_trials("trials")?;
    Ok(method.limits(rate.k(), rate.n(), confidence))
}

/// An interval around a rate of weighted rows: that of `share` · m successes in m trials, where m is the number of equally
/// weighted rows that carry as much information ([`effective_size`](mlops_core::num::weights::effective_size), Kish 1965).
///
/// An approximation: it holds for weights that do not depend on the outcome, and its coverage is that of the method for m
/// trials at best. Neither counts need be whole.
///
/// ```
/// use mlops_eval::interval::{RateInterval, rate_interval_effective};
///
/// let interval = rate_interval_effective(0.25, 7.2, 0.95, RateInterval::Wilson)?;
/// assert!(interval.contains(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`] for a share outside [0, 1], an effective size that is not positive and finite, or a confidence
/// outside (0, 1).
pub fn rate_interval_effective(
    share: f64,
    effective_trials: f64,
    confidence: f64,
    method: RateInterval,
) -> Result<Interval, StatsError> {
    check_confidence(confidence)?;
    if !(0.0..=1.0).contains(&share) {
        let reason = "must lie in [0, 1]";
        return Err(StatsError::Parameter { parameter: "share", value: share, reason });
    }
    if !(effective_trials > 0.0 && effective_trials.is_finite()) {
        let reason = "must be positive and finite";
        return Err(StatsError::Parameter { parameter: "effective_trials", value: effective_trials, reason });
    }
    Ok(method.limits(share * effective_trials, effective_trials, confidence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_sizes_of_any_size_have_limits_in_order() {
        let methods = [
            RateInterval::Wilson,
            RateInterval::ClopperPearson,
            RateInterval::Jeffreys,
            RateInterval::AgrestiCoull,
            RateInterval::MidP,
        ];
        for method in methods {
            for trials in [1e-300, 0.1, 12.5, 1e9, 1e13, 1e100, f64::MAX] {
                for share in [0.0, 1e-300, 1e-12, 0.3, 1.0] {
                    let interval = rate_interval_effective(share, trials, 0.95, method).unwrap();
                    let Interval { lower, upper, .. } = interval;
                    assert!(0.0 <= lower && lower <= upper && upper <= 1.0, "{method:?} {share} {trials}");
                }
            }
            // Half the rate from twice the trials.
            let upper = |n: f64| rate_interval_effective(7.0 / n, n, 0.95, method).unwrap().upper;
            assert!((upper(2e12) / upper(1e12) - 0.5).abs() < 1e-9, "{method:?}");
            assert!((upper(1e13) / upper(1e9) * 1e4 - 1.0).abs() < 1e-3, "{method:?}");
        }
    }

    const METHODS: [RateInterval; 5] = [
        RateInterval::Wilson,
        RateInterval::ClopperPearson,
        RateInterval::Jeffreys,
        RateInterval::AgrestiCoull,
        RateInterval::MidP,
    ];

    #[test]
    fn every_interval_lies_in_the_unit_range_around_the_share_and_mirrors() {
        for method in METHODS {
            for n in [1, 2, 7, 100, 1_000_000, 1 << 50] {
                for k in [0, 1, n / 3, n / 2, n - 1, n] {
                    for confidence in [0.001, 0.5, 0.95, 0.999_999] {
                        let interval = rate_interval(Rate::new(k, n).unwrap(), confidence, method).unwrap();
                        let context = format!("{method:?} {k}/{n} {confidence}: {interval:?}");
                        assert!(interval.lower >= 0.0 && interval.upper <= 1.0, "{context}");
                        // Agresti and Coull's center is not the share, so that a very narrow one may miss it.
                        if confidence >= 0.5 {
                            assert!(interval.contains(k as f64 / n as f64), "{context}");
                        }
                        let mirror = rate_interval(Rate::new(n - k, n).unwrap(), confidence, method).unwrap();
                        assert!((interval.lower + mirror.upper - 1.0).abs() < 1e-12, "{context}");
                    }
                }
            }
        }
    }

    #[test]
    fn exact_is_widest_and_mid_p_lies_inside_it() {
        for n in [1, 2, 3, 5, 7, 9, 20, 57, 200, 400] {
            for k in [0, 1, n / 3, n / 2, n - 1, n] {
                for confidence in [0.2, 0.5, 0.9, 0.95, 0.999] {
                    let of = |method| rate_interval(Rate::new(k, n).unwrap(), confidence, method).unwrap();
                    let (exact, mid) = (of(RateInterval::ClopperPearson), of(RateInterval::MidP));
                    let context = format!("{k}/{n} {confidence}: {exact:?} {mid:?}");
                    assert!(if k == 0 { mid.lower == 0.0 } else { exact.lower < mid.lower }, "{context}");
                    assert!(if k == n { mid.upper == 1.0 } else { mid.upper < exact.upper }, "{context}");
                }
            }
        }
    }

    /// SciPy 1.17.1: `brentq` on `binom.cdf(k - 1, n, p) + binom.pmf(k, n, p) / 2`, and its mirror.
    #[test]
    fn mid_p_agrees_with_the_law_it_is_defined_by() {
        for (k, n, confidence, lower, upper) in [
            (0, 7, 0.95, 0.0, 0.348_163_655_131_160_93),
            (0, 1, 0.9, 0.0, 0.9),
            (0, 20, 0.5, 0.0, 0.034_063_671_075_154_46),
            (2, 2, 0.9, 0.316_227_766_016_837_9, 1.0),
            (0, 399, 0.99, 0.0, 0.011_475_429_087_172_164),
            (13, 13, 0.8, 0.883_553_957_771_237_2, 1.0),
            (0, 3, 0.2, 0.0, 0.071_682_233_277_444_22),
            (1, 9, 0.95, 0.005_557_130_801_527_446, 0.438_641_928_188_638_6),
            (30, 200, 0.99, 0.093_214_268_613_075_57, 0.223_265_523_245_209_26),
        ] {
            let got = rate_interval(Rate::new(k, n).unwrap(), confidence, RateInterval::MidP).unwrap();
            let off = (got.lower - lower).abs().max((got.upper - upper).abs());
            assert!(off < 1e-13, "{k}/{n} {confidence}: {got:?}");
        }
    }

    #[test]
    fn mid_p_of_no_successes_leaves_half_a_tail_to_them() {
        for n in 1..=400 {
            for confidence in [0.01, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999_999] {
                let of = |k| rate_interval(Rate::new(k, n).unwrap(), confidence, RateInterval::MidP).unwrap();
                let (none, all) = (of(0), of(n));
                // ½(1 − p)ⁿ and ½ pⁿ.
                let trials = f64::from(u32::try_from(n).unwrap());
                for ln_share in [(-none.upper).ln_1p(), all.lower.ln()] {
                    let tail = 0.5 * (trials * ln_share).exp();
                    let wanted = 0.5 * (1.0 - confidence);
                    assert!((tail / wanted - 1.0).abs() < 1e-9, "{n} {confidence}: {tail} is not {wanted}");
                }
                assert_eq!((none.lower, all.upper), (0.0, 1.0));
            }
        }
    }

    #[test]
    fn bad_counts_are_refused_wherever_they_come_from() {
        assert!(serde_json::from_str::<Rate>(r#"{"successes":3,"trials":2}"#).is_err());
        assert!(serde_json::from_str::<Rate>(r#"{"successes":1,"trials":2,"x":0}"#).is_err());
        let mut rate = Rate::new(1, u64::MAX).unwrap();
        let before = rate;
        assert!(rate.merge(&Rate::new(0, 1).unwrap()).is_err());
        assert_eq!(rate, before);
        for (share, trials) in
            [(f64::NAN, 1.0), (1.1, 1.0), (0.5, 0.0), (0.5, f64::INFINITY), (0.5, f64::NAN)]
        {
            assert!(rate_interval_effective(share, trials, 0.95, RateInterval::Wilson).is_err());
        }
        let full = Confusion { true_positives: u64::MAX, false_positives: 1, ..Default::default() };
        assert!(Rate::of(LabelMetric::Precision, &full).is_err());
    }
}
