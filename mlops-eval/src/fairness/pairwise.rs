//! All differences of a rate between groups, with intervals that hold together.

use mlops_core::num::multiple::{Correction, adjust};
use mlops_core::num::parallel::{Threads, map};
use mlops_core::num::sample::Draws;
use mlops_core::num::special::ln_normal_two_sided;
use mlops_core::num::{Measured, Random, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::homogeneity::without_trials;
use crate::interval::{CONFIDENCE, DifferenceInterval, Interval, Rate, check_confidence, moments};

/// The most groups whose pairs are listed: half a million pairs.
pub const MAX_PAIRED_GROUPS: usize = 1_024;

/// Resamples that share a stream of random numbers: fixed, so that the threads do not matter.
const BLOCK: usize = 64;

/// How intervals for m pairs are made to hold together with the confidence 1 − α.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Simultaneous {
    /// Each with 1 − α/m. The default: holds whatever the dependence.
    #[default]
    Bonferroni,
    /// Each with (1 − α)^(1/m), a little narrower: holds for normal differences (Šidák 1967).
    Sidak,
    /// p̃ᵢ − p̃ⱼ ± c · s, with one success and one failure added to each group (Agresti and Caffo), and c the 1 − α quantile of
    /// the largest of all |t| in resamples: knows that the pairs depend on each other, and is narrower for many groups.
    MaxT,
    /// Each with 1 − α: not simultaneous, for one pair that was chosen beforehand.
    Each,
}

/// The choices behind [`pairwise_differences`] and [`disparity_interval`](super::disparity_interval).
///
/// ```
/// use mlops_eval::fairness::{PairwiseOptions, Simultaneous};
/// let options = PairwiseOptions::new(7).with_family(Simultaneous::MaxT).with_confidence(0.9);
/// assert_eq!((options.confidence, options.resamples), (0.9, 2_000));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairwiseOptions {
    /// The confidence that all intervals hold together. Default 0.95.
    pub confidence: f64,
    /// How they are made to.
    pub family: Simultaneous,
    /// How the interval of one pair is made; [`Simultaneous::MaxT`] has its own.
    pub interval: DifferenceInterval,
    /// The seed of what is resampled: the maximum of [`Simultaneous::MaxT`], the bias of a largest difference.
    pub seed: u64,
    /// The number of resamples, 1 to 1 000 000. Default 2 000.
    pub resamples: usize,
    /// How many threads may draw.
    pub threads: Threads,
}

impl PairwiseOptions {
    /// The default choices with a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            confidence: CONFIDENCE,
            family: Simultaneous::default(),
            interval: DifferenceInterval::default(),
            seed,
            resamples: 2_000,
            threads: Threads::ONE,
        }
    }

    /// Sets [`Self::confidence`].
    #[must_use]
    pub fn with_confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// Sets [`Self::family`].
    #[must_use]
    pub fn with_family(mut self, family: Simultaneous) -> Self {
        self.family = family;
        self
    }

    /// Sets [`Self::interval`].
    #[must_use]
    pub fn with_interval(mut self, interval: DifferenceInterval) -> Self {
        self.interval = interval;
        self
    }

    /// Sets [`Self::resamples`].
    #[must_use]
    pub fn with_resamples(mut self, resamples: usize) -> Self {
        self.resamples = resamples;
        self
    }

    /// Sets [`Self::threads`].
    #[must_use]
    pub fn with_threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    pub(super) fn check(&self) -> Result<(), StatsError> {
        check_confidence(self.confidence)?;
        if (1..=1_000_000).contains(&self.resamples) {
            return Ok(());
        }
        let reason = "must lie between 1 and 1 000 000";
        Err(StatsError::Parameter { parameter: "resamples", value: self.resamples as f64, reason })
    }
}

/// The difference of a rate between two groups.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairwiseDifference<G = usize> {
    /// One group: its index, or its name where groups have one.
    pub first: G,
    /// The other, which comes later.
    pub second: G,
    /// The rate of the first minus that of the second.
    pub difference: f64,
    /// The interval of the difference; its confidence is that of all intervals together.
    pub interval: Interval,
    /// The p-value of the score test that both rates are alike.
    pub p_value: f64,
    /// That p-value adjusted after Holm for all pairs.
    pub adjusted: f64,
}

/// The differences of a rate between all pairs of groups.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairwiseDifferences<G = usize, L = G> {
    /// The pairs: (0, 1), (0, 2), …, without groups that have no trials.
    pub pairs: Vec<PairwiseDifference<G>>,
    /// The groups without trials.
    pub left_out: Vec<L>,
}

/// The differences of a rate between all pairs of groups, with simultaneous intervals and Holm's p-values.
///
/// The tests are score tests (z² = d² / (p̄q̄(1/n₁ + 1/n₂) · N/(N−1)), two-sided): large-sample, unlike
/// [`disparity_test`](super::disparity_test). O(k²), and O(resamples · k) more for [`Simultaneous::MaxT`].
///
/// ```
/// use mlops_eval::fairness::{PairwiseOptions, pairwise_differences};
/// use mlops_eval::interval::Rate;
///
/// let rates = [Rate::new(50, 100)?, Rate::new(55, 100)?, Rate::new(80, 100)?];
/// let all = pairwise_differences(&rates, &PairwiseOptions::new(1))?;
/// let different: Vec<_> = all.pairs.iter().filter(|pair| !pair.interval.contains(0.0)).collect();
/// assert_eq!(different.len(), 2);
/// assert!(different.iter().all(|pair| pair.second == 2 && pair.adjusted < 0.001));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] without groups; [`StatsError::Unsupported`] for more than [`MAX_PAIRED_GROUPS`];
/// [`StatsError::Parameter`] for a confidence or a number of resamples outside its range. Fewer than two groups with trials are
/// no error: there are no pairs.
pub fn pairwise_differences(
    rates: &[Rate],
    options: &PairwiseOptions,
) -> Result<PairwiseDifferences, StatsError> {
    options.check()?;
    check_groups(rates)?;
    let compared = with_trials(rates);
    let pairs = pairs_of(&compared);
    let intervals = intervals(&compared, &pairs, options)?;
    let p: Vec<f64> = pairs.iter().map(|(first, second)| score_p(first.1, second.1)).collect();
    let adjusted = adjust(&p, Correction::Holm)?;
    let described = pairs.iter().zip(intervals).zip(p.iter().zip(adjusted));
    let pairs = described.map(|(((first, second), interval), (p_value, adjusted))| PairwiseDifference {
        first: first.0,
        second: second.0,
        difference: first.1.share() - second.1.share(),
        interval,
        p_value: *p_value,
        adjusted,
    });
    Ok(PairwiseDifferences { pairs: pairs.collect(), left_out: without_trials(rates) })
}

/// A group that is compared: its index and its rate.
pub(super) type Member = (usize, Rate);

pub(super) fn check_groups(rates: &[Rate]) -> Result<(), StatsError> {
    if rates.is_empty() {
        return Err(StatsError::Empty { argument: "rates" });
    }
    if rates.len() > MAX_PAIRED_GROUPS {
        let reason = "there are more than 1 024 groups";
        return Err(StatsError::Unsupported { what: "a comparison of all pairs", reason });
    }
    Ok(())
}

pub(super) fn with_trials(rates: &[Rate]) -> Vec<Member> {
    rates.iter().copied().enumerate().filter(|(_, rate)| rate.trials() > 0).collect()
}

pub(super) fn pairs_of(compared: &[Member]) -> Vec<(Member, Member)> {
    let after = |i: usize| compared.iter().skip(i + 1);
    compared.iter().enumerate().flat_map(|(i, first)| after(i).map(|second| (*first, *second))).collect()
}

fn intervals(
    compared: &[Member],
    pairs: &[(Member, Member)],
    options: &PairwiseOptions,
) -> Result<Vec<Interval>, StatsError> {
    let confidence = options.confidence;
    let m = pairs.len().max(1) as f64;
    let each = match options.family {
        Simultaneous::Each => confidence,
        Simultaneous::Bonferroni => 1.0 - (1.0 - confidence) / m,
        Simultaneous::Sidak => (confidence.ln() / m).exp(),
        Simultaneous::MaxT => return Ok(max_t_intervals(compared, pairs, options)),
    };
    check_confidence(each)?;
    let of = |(first, second): &(Member, Member)| {
        let interval = options.interval.limits(first.1, second.1, each);
        Interval { confidence, ..interval }
    };
    Ok(pairs.iter().map(of).collect())
}

fn max_t_intervals(
    compared: &[Member],
    pairs: &[(Member, Member)],
    options: &PairwiseOptions,
) -> Vec<Interval> {
    let groups: Vec<(f64, f64)> = compared.iter().map(|(_, rate)| moments(*rate, 1.0)).collect();
    let largest = resampled(compared, options, "fairness.max_t/v1", |drawn| {
        let again: Vec<(f64, f64)> = drawn.iter().map(|rate| moments(*rate, 1.0)).collect();
        let mut largest = 0.0_f64;
        for (i, ((p, v), (truth, _))) in again.iter().zip(&groups).enumerate() {
            for ((other_p, other_v), (other_truth, _)) in again.iter().zip(&groups).skip(i + 1) {
                let t = ((p - other_p) - (truth - other_truth)) / (v + other_v).sqrt();
                largest = largest.max(t.abs());
            }
        }
        largest
    });
    let critical = upper_order_statistic(largest, options.confidence);
    let confidence = options.confidence;
    let of = |(first, second): &(Member, Member)| {
        let ((p, v), (other_p, other_v)) = (moments(first.1, 1.0), moments(second.1, 1.0));
        let half = critical * (v + other_v).sqrt();
        let difference = p - other_p;
        Interval {
            lower: (difference - half).clamp(-1.0, 1.0),
            upper: (difference + half).clamp(-1.0, 1.0),
            confidence,
        }
    };
    pairs.iter().map(of).collect()
}

/// A number of every resample of the groups' successes, each drawn from its own binomial law with one success and one failure
/// added, so that a group of all successes varies too.
fn resampled(
    compared: &[Member],
    options: &PairwiseOptions,
    stream: &str,
    statistic: impl Fn(&[Rate]) -> f64 + Sync,
) -> Vec<f64> {
    let root = Random::new(options.seed).stream(stream);
    let parts = map(options.resamples.div_ceil(BLOCK), options.threads, |block| {
        let mut draws = Draws::new(root.nth(block as u64));
        let count = BLOCK.min(options.resamples - block * BLOCK);
        let mut drawn: Vec<Rate> = compared.iter().map(|(_, rate)| *rate).collect();
        let mut one = || {
            for (drawn, (_, rate)) in drawn.iter_mut().zip(compared) {
                let successes = draws.binomial(rate.trials(), moments(*rate, 1.0).0);
                // A binomial draw never exceeds its trials.
                *drawn = Rate::new(successes, rate.trials()).unwrap_or(*rate);
            }
            statistic(&drawn)
        };
        (0..count).map(|_| one()).collect::<Vec<f64>>()
    });
    parts.concat()
}

/// The value that a new one exceeds with a probability of at most 1 − `level`: number ⌈(B + 1) · level⌉ of B, or the largest.
fn upper_order_statistic(mut values: Vec<f64>, level: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let rank = ((values.len() + 1) as f64 * level).ceil();
    let past = values.iter().enumerate().take_while(|(index, _)| (*index as f64) < rank);
    past.last().map_or(0.0, |(_, value)| *value)
}

/// The p-value of the two-sided score test that two rates are alike.
fn score_p(first: Rate, second: Rate) -> f64 {
    let rows = first.n() + second.n();
    let share = (first.k() + second.k()) / rows;
    let variance = share * (1.0 - share) * (1.0 / first.n() + 1.0 / second.n()) * (rows / (rows - 1.0));
    let difference = first.share() - second.share();
    if variance > 0.0 { ln_normal_two_sided(difference / variance.sqrt()).exp() } else { 1.0 }
}

/// The mean of the largest difference in resamples of the groups, or why there is none.
pub(super) fn mean_resampled_disparity(compared: &[Member], options: &PairwiseOptions) -> Measured {
    if compared.len() < 2 {
        return Measured::none(UndefinedReason::TooFew, compared.len(), 2);
    }
    let largest = resampled(compared, options, "fairness.disparity_bias/v1", |drawn| {
        let shares = drawn.iter().map(Rate::share);
        let (least, most) =
            shares.fold((1.0_f64, 0.0_f64), |(least, most), share| (share.min(least), share.max(most)));
        most - least
    });
    Measured::Value(largest.iter().sum::<f64>() / largest.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(counts: &[(u64, u64)]) -> Vec<Rate> {
        counts.iter().map(|(k, n)| Rate::new(*k, *n).unwrap()).collect()
    }

    #[test]
    fn intervals_of_many_pairs_are_wider_than_those_of_one() {
        let rates = rates(&[(40, 100), (45, 90), (0, 0), (30, 80), (200, 500)]);
        let width = |family| {
            let all = pairwise_differences(&rates, &PairwiseOptions::new(2).with_family(family)).unwrap();
            assert_eq!((all.pairs.len(), &all.left_out[..]), (6, &[2][..]));
            assert_eq!(
                (all.pairs[0].first, all.pairs[0].second, all.pairs[5].first, all.pairs[5].second),
                (0, 1, 3, 4)
            );
            all.pairs.iter().map(|pair| pair.interval.upper - pair.interval.lower).sum::<f64>()
        };
        let each = width(Simultaneous::Each);
        let max_t = width(Simultaneous::MaxT);
        assert!(each < max_t && max_t < width(Simultaneous::Bonferroni));
        assert!(width(Simultaneous::Sidak) < width(Simultaneous::Bonferroni));
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let rates = rates(&[(4, 10), (45, 90), (30, 80)]);
        let options = PairwiseOptions::new(3).with_family(Simultaneous::MaxT);
        let one = pairwise_differences(&rates, &options);
        assert_eq!(one, pairwise_differences(&rates, &options.with_threads(Threads::new(3))));
    }

    #[test]
    fn fewer_than_two_groups_have_no_pairs_and_hostile_options_are_refused() {
        let options = PairwiseOptions::new(1);
        for family in [Simultaneous::Bonferroni, Simultaneous::MaxT] {
            let lone = pairwise_differences(&rates(&[(1, 2), (0, 0)]), &options.with_family(family)).unwrap();
            assert!(lone.pairs.is_empty());
        }
        assert!(pairwise_differences(&[], &options).is_err());
        assert!(pairwise_differences(&vec![Rate::default(); 1_025], &options).is_err());
        let two = rates(&[(1, 2), (1, 2)]);
        for bad in
            [options.with_confidence(1.0), options.with_resamples(0), options.with_confidence(f64::NAN)]
        {
            assert!(pairwise_differences(&two, &bad).is_err());
        }
    }

    #[test]
    fn rates_at_the_ends_have_intervals_too() {
        let all = rates(&[(0, 5), (0, 9), (5, 5)]);
        for family in [Simultaneous::Bonferroni, Simultaneous::MaxT] {
            let all = pairwise_differences(&all, &PairwiseOptions::new(1).with_family(family)).unwrap();
            assert!(all.pairs.iter().all(|pair| pair.interval.lower < pair.interval.upper));
            assert_eq!(all.pairs[0].p_value, 1.0);
        }
    }

    #[test]
    fn order_statistics_are_conservative() {
        let values: Vec<f64> = (1..=19).map(f64::from).collect();
        assert_eq!(upper_order_statistic(values.clone(), 0.95), 19.0);
        assert_eq!(upper_order_statistic(values.clone(), 0.9), 18.0);
        assert_eq!(upper_order_statistic(values, 0.999), 19.0);
        assert_eq!(upper_order_statistic(vec![], 0.9), 0.0);
    }
}
