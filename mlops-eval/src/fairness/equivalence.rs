//! Whether groups are alike within a margin, shown rather than assumed.

use mlops_core::evaluation::Verdict;
use mlops_core::num::special::normal_quantile;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::homogeneity::without_trials;
use super::pairwise::{
    Member, PairwiseOptions, check_groups, mean_resampled_disparity, pairs_of, pairwise_differences,
    with_trials,
};
use crate::classification::{Confusion, LabelMetric};
use crate::interval::{DifferenceInterval, Interval, Rate, RatioInterval, check_confidence};

/// The largest difference of a rate between groups, with what the sample can say about it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DisparityInterval<G = usize, L = G> {
    /// The largest minus the smallest rate of the sample. Larger on average than that of the groups, for it picks two extremes.
    pub value: Measured,
    /// Twice the value minus its mean in resamples, but not below 0: most of the bias is gone, not all of it.
    pub corrected: Measured,
    /// The interval of the largest difference between the groups' true rates; none for fewer than two groups with trials.
    pub interval: Option<Interval>,
    /// The group with the smallest rate, the first of several.
    pub lowest: Option<G>,
    /// The group with the largest rate, the first of several.
    pub highest: Option<G>,
    /// The groups without trials.
    pub left_out: Vec<L>,
}

/// An interval for the largest difference of a rate between groups: the largest lower limit of |difference| of all pairs to the
/// largest upper limit, from simultaneous intervals.
///
/// When all pairwise intervals hold, so does this one; so it covers at least as often as they do together, for groups that are
/// truly alike too: its lower limit is 0 then, as the bootstrap's never is. O(k²), and O(resamples · k) for the correction.
///
/// ```
/// use mlops_eval::fairness::{PairwiseOptions, disparity_interval};
/// use mlops_eval::interval::Rate;
///
/// // Five groups of 100 rows that could all have the same rate.
/// let rates = [25, 36, 28, 31, 30].map(|k| Rate::new(k, 100));
/// let rates = rates.into_iter().collect::<Result<Vec<_>, _>>()?;
/// let disparity = disparity_interval(&rates, &PairwiseOptions::new(1))?;
/// assert_eq!(disparity.interval.map(|interval| interval.lower), Some(0.0));
/// assert!(disparity.corrected.value() < disparity.value.value());
/// assert_eq!((disparity.lowest, disparity.highest), (Some(0), Some(1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`pairwise_differences`].
pub fn disparity_interval(
    rates: &[Rate],
    options: &PairwiseOptions,
) -> Result<DisparityInterval, StatsError> {
    let all = pairwise_differences(rates, options)?;
    let compared = with_trials(rates);
    let extreme = |better: fn(f64, f64) -> bool| {
        let mut best: Option<Member> = None;
        for member in &compared {
            if best.is_none_or(|best| better(member.1.share(), best.1.share())) {
                best = Some(*member);
            }
        }
        best
    };
    let (lowest, highest) = (extreme(|a, b| a < b), extreme(|a, b| a > b));
    let value = match (lowest, highest) {
        (Some(low), Some(high)) if compared.len() > 1 => Measured::Value(high.1.share() - low.1.share()),
        _ => Measured::none(UndefinedReason::TooFew, compared.len(), 2),
    };
    let corrected = match (value, mean_resampled_disparity(&compared, options)) {
        (Measured::Value(value), Measured::Value(mean)) => Measured::Value((2.0 * value - mean).max(0.0)),
        _ => value,
    };
    let limits = all.pairs.iter().map(|pair| absolute(&pair.interval));
    let limits = limits.reduce(|(lower, upper), (l, u)| (lower.max(l), upper.max(u)));
    Ok(DisparityInterval {
        value,
        corrected,
        interval: limits.map(|(lower, upper)| Interval { lower, upper, confidence: options.confidence }),
        lowest: lowest.map(|member| member.0),
        highest: highest.map(|member| member.0),
        left_out: all.left_out,
    })
}

/// The limits of |d| for d in an interval.
fn absolute(interval: &Interval) -> (f64, f64) {
    let (a, b) = (interval.lower.abs(), interval.upper.abs());
    (if interval.contains(0.0) { 0.0 } else { a.min(b) }, a.max(b))
}

/// The choices behind a [`ParityDecision`].
///
/// ```
/// use mlops_eval::fairness::ParityOptions;
/// assert_eq!(ParityOptions::default().with_alpha(0.01).alpha, 0.01);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParityOptions {
    /// The largest chance of a pass that is wrong, and of a fail that is wrong; above 0, below ½. Default 0.05.
    pub alpha: f64,
    /// The chance of a pass that the number of rows still missing is to give when all groups are alike; above 0, below 1.
    /// Default 0.8.
    pub power: f64,
    /// How the interval of a difference is made.
    pub difference: DifferenceInterval,
    /// How the interval of a ratio is made.
    pub ratio: RatioInterval,
}

impl Default for ParityOptions {
    fn default() -> Self {
        Self {
            alpha: 0.05,
            power: 0.8,
            difference: DifferenceInterval::default(),
            ratio: RatioInterval::MiettinenNurminen,
        }
    }
}

impl ParityOptions {
    /// Sets [`Self::alpha`].
    #[must_use]
    pub fn with_alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets [`Self::power`].
    #[must_use]
    pub fn with_power(mut self, power: f64) -> Self {
        self.power = power;
        self
    }

    /// Sets [`Self::difference`].
    #[must_use]
    pub fn with_difference(mut self, difference: DifferenceInterval) -> Self {
        self.difference = difference;
        self
    }

    /// Sets [`Self::ratio`].
    #[must_use]
    pub fn with_ratio(mut self, ratio: RatioInterval) -> Self {
        self.ratio = ratio;
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        if !(self.alpha > 0.0 && self.alpha < 0.5) {
            let reason = "must lie above 0 and below 0.5";
            return Err(StatsError::Parameter { parameter: "alpha", value: self.alpha, reason });
        }
        check_confidence(1.0 - self.alpha)?;
        if !(self.power > 0.0 && self.power < 1.0) {
            let reason = "must lie above 0 and below 1";
            return Err(StatsError::Parameter { parameter: "power", value: self.power, reason });
        }
        check_confidence(self.power)
    }
}

/// The pair of groups that decided.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecidingPair<G = usize> {
    /// One group; here and below its index, or its name where groups have one.
    pub first: G,
    /// The other.
    pub second: G,
    /// The interval of first − second, or of first / second, that decided: for a pass or no decision the one with confidence
    /// 1 − 2α that comes nearest to the margin or leaves it farthest; for a fail the simultaneous one that lies beyond it.
    pub interval: Interval,
}

/// How many more trials of a group would decide.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoreTrials<G = usize> {
    /// The group: the smallest one.
    pub group: G,
    /// So many more of it, or of a group that has fewer trials than it would have then: rows for a selection rate, positives for
    /// a true positive rate.
    pub trials: u64,
    /// Whether other groups need more trials as well, up to what this group would have then.
    pub others_too: bool,
}

/// Whether the groups are alike within a margin.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParityDecision<G = usize, L = G> {
    /// Pass: shown to be alike within the margin. Fail: shown not to be. Insufficient: the rows show neither, or a group has no
    /// trials at all, or there are fewer than two groups.
    pub verdict: Verdict,
    /// The pair that decided; none for fewer than two groups with trials.
    pub deciding: Option<DecidingPair<G>>,
    /// For [`Verdict::Insufficient`]: about how many trials are missing.
    pub more: Option<MoreTrials<G>>,
    /// The groups without trials: they keep a pass away.
    pub left_out: Vec<L>,
}

/// Whether no two groups' rates differ by `margin` or more.
///
/// Pass: every pair's interval with confidence 1 − 2α lies inside (−`margin`, `margin`). That is two one-sided tests for each
/// pair, joined by intersection and union: if the largest true difference is `margin` or more, a pass has a probability of at
/// most α, whatever the number of groups, without a correction (Berger, *Multiparameter hypothesis testing and acceptance
/// sampling*, Technometrics 24, 1982). Fail: the interval of some pair, with confidence 1 − α/m for m pairs, lies beyond the
/// margin; if the largest true difference is at most `margin`, that has a probability of at most α. (Both up to the error of the
/// interval's coverage.) Everything else, and any group without trials, is insufficient.
///
/// The trials missing are what the normal approximation asks for, all pairs passing with the stated power when every group
/// has the pooled rate. O(k²).
///
/// ```
/// use mlops_core::evaluation::Verdict;
/// use mlops_eval::fairness::{ParityOptions, difference_within};
/// use mlops_eval::interval::Rate;
///
/// let options = ParityOptions::default();
/// // The same rates from few rows and from many.
/// let few = difference_within(&[Rate::new(20, 40)?, Rate::new(21, 40)?], 0.1, &options)?;
/// assert_eq!(few.verdict, Verdict::Insufficient);
/// assert!(few.more.is_some_and(|more| more.trials > 300));
/// let many = difference_within(&[Rate::new(1_000, 2_000)?, Rate::new(1_050, 2_000)?], 0.1, &options)?;
/// assert_eq!(many.verdict, Verdict::Pass);
/// let apart = difference_within(&[Rate::new(1_000, 2_000)?, Rate::new(1_300, 2_000)?], 0.1, &options)?;
/// assert_eq!(apart.verdict, Verdict::Fail);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] without groups; [`StatsError::Unsupported`] for more than 1 024; [`StatsError::Parameter`] for a margin
/// outside (0, 1], or options outside their ranges.
pub fn difference_within(
    rates: &[Rate],
    margin: f64,
    options: &ParityOptions,
) -> Result<ParityDecision, StatsError> {
    check_margin(margin)?;
    decide(rates, Scale::Difference(margin), 1, options)
}

/// Whether no two groups' rates have a ratio of `least` or less, smaller over larger: with 0.8 the four-fifths rule, shown.
///
/// As [`difference_within`], with the intervals of the ratio inside (`least`, 1/`least`). Where nobody succeeds in a group, no
/// ratio is bounded and there is no pass.
///
/// ```
/// use mlops_core::evaluation::Verdict;
/// use mlops_eval::fairness::{ParityOptions, ratio_within};
/// use mlops_eval::interval::Rate;
///
/// let rates = [Rate::new(480, 1_000)?, Rate::new(500, 1_000)?];
/// assert_eq!(ratio_within(&rates, 0.8, &ParityOptions::default())?.verdict, Verdict::Pass);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`difference_within`], with `least` strictly between 0 and 1.
pub fn ratio_within(
    rates: &[Rate],
    least: f64,
    options: &ParityOptions,
) -> Result<ParityDecision, StatsError> {
    if !(least > 0.0 && least < 1.0) {
        let reason = "must lie above 0 and below 1";
        return Err(StatsError::Parameter { parameter: "least", value: least, reason });
    }
    decide(rates, Scale::Ratio(least.ln()), 1, options)
}

/// Whether equalized odds holds within a margin.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OddsDecision<G = usize, L = G> {
    /// Pass if both pass, fail if one fails.
    pub verdict: Verdict,
    /// The true positive rates.
    pub true_positive_rate: ParityDecision<G, L>,
    /// The false positive rates.
    pub false_positive_rate: ParityDecision<G, L>,
}

/// Whether neither the true nor the false positive rates of two groups differ by `margin` or more: [`difference_within`] for
/// both, joined by intersection and union, so that a wrong pass keeps its probability; a fail counts the pairs of both.
///
/// ```
/// use mlops_core::evaluation::Verdict;
/// use mlops_eval::classification::Confusion;
/// use mlops_eval::fairness::{ParityOptions, odds_within};
///
/// let group = Confusion { true_positives: 40, false_negatives: 10, false_positives: 900, true_negatives: 8_100 };
/// let decision = odds_within(&[group, group], 0.1, &ParityOptions::default())?;
/// // Enough negatives, too few positives.
/// assert_eq!(decision.false_positive_rate.verdict, Verdict::Pass);
/// assert_eq!(decision.verdict, Verdict::Insufficient);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`difference_within`].
pub fn odds_within(
    cells: &[Confusion],
    margin: f64,
    options: &ParityOptions,
) -> Result<OddsDecision, StatsError> {
    check_margin(margin)?;
    let of = |metric| {
        let rates = cells.iter().map(|cells| Rate::of(metric, cells)).collect::<Result<Vec<_>, _>>()?;
        decide(&rates, Scale::Difference(margin), 2, options)
    };
    let (true_positive_rate, false_positive_rate) =
        (of(LabelMetric::Recall)?, of(LabelMetric::FalsePositiveRate)?);
    let verdict = Verdict::all([true_positive_rate.verdict, false_positive_rate.verdict]);
    Ok(OddsDecision { verdict, true_positive_rate, false_positive_rate })
}

fn check_margin(margin: f64) -> Result<(), StatsError> {
    if margin > 0.0 && margin <= 1.0 {
        return Ok(());
    }
    let reason = "must lie above 0 and not above 1";
    Err(StatsError::Parameter { parameter: "margin", value: margin, reason })
}

/// How two rates are compared, with the margin: the largest |difference| or the smallest logarithm of a ratio.
#[derive(Clone, Copy)]
enum Scale {
    Difference(f64),
    Ratio(f64),
}

impl Scale {
    fn interval(self, first: Rate, second: Rate, confidence: f64, options: &ParityOptions) -> Interval {
        match self {
            Self::Difference(_) => options.difference.limits(first, second, confidence),
            Self::Ratio(_) => options.ratio.limits(first, second, confidence),
        }
    }

    /// The limits of the distance from equality, in margins: inside the margin below 1, beyond it above 1.
    fn distance(self, interval: &Interval) -> (f64, f64) {
        match self {
            Self::Difference(margin) => {
                let (lower, upper) = absolute(interval);
                (lower / margin, upper / margin)
            }
            Self::Ratio(ln_least) => {
                let (lower, upper) = (interval.lower.ln(), interval.upper.ln());
                let logarithms = Interval { lower, upper, confidence: interval.confidence };
                let (lower, upper) = absolute(&logarithms);
                (lower / -ln_least, upper / -ln_least)
            }
        }
    }

    /// The variance of the comparison times the trials of a side, for a common rate; and the squared margin.
    fn spread(self, share: f64) -> (f64, f64) {
        match self {
            Self::Difference(margin) => (share * (1.0 - share), margin * margin),
            Self::Ratio(ln_least) => ((1.0 - share) / share, ln_least * ln_least),
        }
    }
}

/// The rule of [`difference_within`]; `families` is how many sets of pairs may fail.
fn decide(
    rates: &[Rate],
    scale: Scale,
    families: usize,
    options: &ParityOptions,
) -> Result<ParityDecision, StatsError> {
    options.check()?;
    check_groups(rates)?;
    let (compared, left_out) = (with_trials(rates), without_trials(rates));
    let pairs = pairs_of(&compared);
    let simultaneous = 1.0 - options.alpha / (families * pairs.len().max(1)) as f64;
    check_confidence(simultaneous)?;
    let worst = |confidence: f64, by: fn((f64, f64)) -> f64| {
        let mut worst: Option<(f64, DecidingPair)> = None;
        for (first, second) in &pairs {
            let interval = scale.interval(first.1, second.1, confidence, options);
            let distance = by(scale.distance(&interval));
            if worst.is_none_or(|(other, _)| distance > other) {
                worst = Some((distance, DecidingPair { first: first.0, second: second.0, interval }));
            }
        }
        worst
    };
    let beyond = worst(simultaneous, |(lower, _)| lower).filter(|(distance, _)| *distance > 1.0);
    let inside = worst(1.0 - 2.0 * options.alpha, |(_, upper)| upper);
    let (verdict, deciding) = match (beyond, inside) {
        (Some((_, pair)), _) => (Verdict::Fail, Some(pair)),
        (None, Some((distance, pair))) if distance < 1.0 && left_out.is_empty() => {
            (Verdict::Pass, Some(pair))
        }
        (None, inside) => (Verdict::Insufficient, inside.map(|(_, pair)| pair)),
    };
    let open = verdict == Verdict::Insufficient;
    let more = if open { missing(&compared, pairs.len(), scale, options) } else { None };
    Ok(ParityDecision { verdict, deciding, more, left_out })
}

/// The trials that the smallest group lacks for all of `pairs` to pass with the stated power at equal rates: for each pair
/// v (1/n + 1/m) ≤ (margin / (z_α + z_β/2))², with β shared out among the pairs.
fn missing(compared: &[Member], pairs: usize, scale: Scale, options: &ParityOptions) -> Option<MoreTrials> {
    let smallest = compared.iter().min_by_key(|(_, rate)| rate.trials())?;
    let others = || compared.iter().filter(|(group, _)| *group != smallest.0).map(|(_, rate)| rate.n());
    let (trials, successes) = compared
        .iter()
        .fold((0.0, 0.0), |(trials, successes), (_, rate)| (trials + rate.n(), successes + rate.k()));
    // One success and one failure keep the rate off its ends, where nothing would ever be missing.
    let (variance, margin_squared) = scale.spread((successes + 1.0) / (trials + 2.0));
    let beta = (1.0 - options.power) / pairs.max(1) as f64;
    let z = normal_quantile(1.0 - 2.0 * options.alpha) + normal_quantile(1.0 - beta);
    let allowed = margin_squared / (z * z * variance);
    let next = others().fold(f64::INFINITY, f64::min);
    // Beside the second smallest group as it is, or all groups alike where that one is too small itself.
    let rest = allowed - 1.0 / next;
    let alike = 2.0 / allowed;
    let (needed, others_too) =
        if rest > 0.0 && 1.0 / rest <= alike.max(next) { (1.0 / rest, false) } else { (alike, next < alike) };
    let trials = (needed - smallest.1.n()).ceil();
    (trials.is_finite() && trials > 0.0 && trials < 1e18).then(|| MoreTrials {
        group: smallest.0,
        trials: whole(trials),
        others_too,
    })
}

/// A positive count that is an f64.
#[expect(clippy::cast_sign_loss, reason = "positive, and the cast saturates")]
fn whole(trials: f64) -> u64 {
    trials as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(counts: &[(u64, u64)]) -> Vec<Rate> {
        counts.iter().map(|(k, n)| Rate::new(*k, *n).unwrap()).collect()
    }

    fn verdict(counts: &[(u64, u64)], margin: f64) -> Verdict {
        difference_within(&rates(counts), margin, &ParityOptions::default()).unwrap().verdict
    }

    #[test]
    fn a_group_without_trials_keeps_a_pass_away_but_not_a_fail() {
        let alike = [(500, 1_000), (500, 1_000)];
        assert_eq!(verdict(&alike, 0.1), Verdict::Pass);
        assert_eq!(verdict(&[alike[0], alike[1], (0, 0)], 0.1), Verdict::Insufficient);
        assert_eq!(verdict(&[(100, 1_000), (500, 1_000), (0, 0)], 0.1), Verdict::Fail);
    }

    #[test]
    fn fewer_than_two_groups_show_nothing() {
        for counts in [&[(0, 0)][..], &[(50, 100)], &[(50, 100), (0, 0)]] {
            let decision = difference_within(&rates(counts), 0.1, &ParityOptions::default()).unwrap();
            assert_eq!((decision.verdict, decision.deciding), (Verdict::Insufficient, None));
        }
    }

    #[test]
    fn the_trials_that_were_missing_are_enough_when_they_come() {
        let counts = [(50, 100), (2_000, 4_000), (2_500, 5_000)];
        let decision = difference_within(&rates(&counts), 0.06, &ParityOptions::default()).unwrap();
        let more = decision.more.unwrap();
        assert_eq!((decision.verdict, more.group, more.others_too), (Verdict::Insufficient, 0, false));
        let n = 100 + more.trials;
        assert_eq!(verdict(&[(n / 2, n), counts[1], counts[2]], 0.06), Verdict::Pass);
        let less = 100 + more.trials / 12;
        assert_eq!(verdict(&[(less / 2, less), counts[1], counts[2]], 0.06), Verdict::Insufficient);
    }

    #[test]
    fn ratios_without_successes_are_never_shown_alike() {
        let options = ParityOptions::default();
        let decision = ratio_within(&rates(&[(0, 100_000), (0, 100_000)]), 0.8, &options).unwrap();
        assert_eq!(decision.verdict, Verdict::Insufficient);
        let decision = ratio_within(&rates(&[(0, 1_000), (500, 1_000)]), 0.8, &options).unwrap();
        assert_eq!(decision.verdict, Verdict::Fail);
        let pair = decision.deciding.unwrap();
        assert_eq!((pair.first, pair.second), (0, 1));
    }

    #[test]
    fn the_pair_farthest_apart_decides() {
        let decision =
            difference_within(&rates(&[(50, 100), (60, 100), (95, 100)]), 0.1, &ParityOptions::default())
                .unwrap();
        let pair = decision.deciding.unwrap();
        assert_eq!((decision.verdict, pair.first, pair.second), (Verdict::Fail, 0, 2));
        assert!(pair.interval.upper < -0.1);
    }

    #[test]
    fn hostile_margins_and_options_are_refused() {
        let rates = rates(&[(1, 2), (1, 2)]);
        let options = ParityOptions::default();
        for margin in [0.0, -0.1, 1.1, f64::NAN] {
            assert!(difference_within(&rates, margin, &options).is_err(), "{margin}");
            assert!(odds_within(&[], margin, &options).is_err(), "{margin}");
        }
        for least in [0.0, 1.0, f64::NAN] {
            assert!(ratio_within(&rates, least, &options).is_err(), "{least}");
        }
        for bad in [
            options.with_alpha(0.5),
            options.with_alpha(f64::NAN),
            options.with_alpha(1e-300),
            options.with_power(1.0),
            options.with_power(f64::NAN),
        ] {
            assert!(difference_within(&rates, 0.1, &bad).is_err(), "{bad:?}");
        }
        assert!(difference_within(&[], 0.1, &options).is_err());
    }

    #[test]
    fn the_disparity_of_a_lone_group_is_undefined() {
        let disparity = disparity_interval(&rates(&[(1, 2), (0, 0)]), &PairwiseOptions::new(1)).unwrap();
        assert_eq!(
            (disparity.value.value(), disparity.interval, &disparity.left_out[..]),
            (None, None, &[1][..])
        );
    }
}
