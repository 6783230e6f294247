//! Tests that a rate is the same in every group.

use mlops_core::num::multiple::{Correction, adjust};
use mlops_core::num::parallel::{Threads, map};
use mlops_core::num::sample::Draws;
use mlops_core::num::special::{ln_chi2_sf, ln_choose};
use mlops_core::num::{Measured, Random, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::classification::{Confusion, LabelMetric};
use crate::interval::Rate;

/// Resamples that share a stream of random numbers: fixed, so that the threads do not matter.
const BLOCK: usize = 64;

/// Values this near each other, relatively, are ties: the same value of two tables may be rounded apart.
const TIE: f64 = 1e-9;

/// Which distance from equal rates a χ² test measures.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HomogeneityMethod {
    /// Pearson's Σ n (p − p̄)² / (p̄(1 − p̄)). The default.
    #[default]
    Pearson,
    /// The likelihood ratio G = 2 Σ observed · ln(observed / expected).
    LikelihoodRatio,
}

/// Whether a rate is the same in k groups, by χ² with k − 1 degrees of freedom.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HomogeneityTest<L = usize> {
    /// The statistic; undefined for fewer than two groups with trials.
    pub statistic: Measured,
    /// The number of groups compared, less 1.
    pub degrees_of_freedom: usize,
    /// The probability of so large a statistic when all rates are alike; undefined with the statistic.
    pub p_value: Measured,
    /// The groups without trials.
    pub left_out: Vec<L>,
}

/// Tests whether independent groups share one rate. Large-sample: with fewer than about five expected successes and failures in a
/// group, [`disparity_test`] keeps its level where this may not. When nobody or everybody succeeds the rates are equal, the
/// statistic is 0 and p is 1 (SciPy refuses that table). Agrees with SciPy 1.17.1 (`chi2_contingency(…, correction=False)`, and
/// `lambda_="log-likelihood"`) to 1e-12. O(k).
///
/// ```
/// use mlops_eval::fairness::{HomogeneityMethod, homogeneity_test};
/// use mlops_eval::interval::Rate;
///
/// let rates = [Rate::new(30, 100)?, Rate::new(45, 100)?, Rate::new(0, 0)?];
/// let test = homogeneity_test(&rates, HomogeneityMethod::Pearson)?;
/// assert!(test.p_value.value().is_some_and(|p| (p - 0.0284597).abs() < 1e-6));
/// assert_eq!(test.left_out, [2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] without groups; [`StatsError::Overflow`] from 2⁶² trials on.
pub fn homogeneity_test(rates: &[Rate], method: HomogeneityMethod) -> Result<HomogeneityTest, StatsError> {
    let groups = Groups::of(rates)?;
    let degrees_of_freedom = groups.rates.len().saturating_sub(1);
    let statistic = match groups.too_few() {
        Some(undefined) => undefined,
        None => Measured::Value(match method {
            HomogeneityMethod::Pearson => groups.pearson(&groups.successes()),
            HomogeneityMethod::LikelihoodRatio => groups.likelihood_ratio(),
        }),
    };
    let p_value = statistic.map(|statistic| ln_chi2_sf(statistic, degrees_of_freedom as f64).exp());
    Ok(HomogeneityTest { statistic, degrees_of_freedom, p_value, left_out: groups.left_out })
}

/// What a permutation test calls extreme.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisparityStatistic {
    /// The largest minus the smallest rate. The default: the number that fairness reports show.
    #[default]
    Difference,
    /// Pearson's χ²: gives small groups no more weight than their rows.
    Pearson,
    /// Improbability of the table given its margins: the test of Fisher, Freeman and Halton (1951).
    Probability,
}

/// The choices behind a [`disparity_test`].
///
/// ```
/// use mlops_eval::fairness::{DisparityStatistic, DisparityTestOptions};
/// let options = DisparityTestOptions::new(7).with_statistic(DisparityStatistic::Pearson).with_resamples(999);
/// assert_eq!(options.resamples, 999);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisparityTestOptions {
    /// The seed: the same one gives the same p-value, on any number of threads.
    pub seed: u64,
    /// The number of permutations, 1 to 10 000 000. Default 9 999.
    pub resamples: usize,
    /// What is called extreme.
    pub statistic: DisparityStatistic,
    /// How many threads may draw.
    pub threads: Threads,
}

impl DisparityTestOptions {
    /// The default choices with a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, resamples: 9_999, statistic: DisparityStatistic::default(), threads: Threads::ONE }
    }

    /// Sets [`Self::resamples`].
    #[must_use]
    pub fn with_resamples(mut self, resamples: usize) -> Self {
        self.resamples = resamples;
        self
    }

    /// Sets [`Self::statistic`].
    #[must_use]
    pub fn with_statistic(mut self, statistic: DisparityStatistic) -> Self {
        self.statistic = statistic;
        self
    }

    /// Sets [`Self::threads`].
    #[must_use]
    pub fn with_threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        if (1..=10_000_000).contains(&self.resamples) {
            return Ok(());
        }
        let reason = "must lie between 1 and 10 000 000";
        Err(StatsError::Parameter { parameter: "resamples", value: self.resamples as f64, reason })
    }
}

/// Whether a rate is the same in all groups, by permutation.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DisparityTest<L = usize> {
    /// The statistic of the data (for [`DisparityStatistic::Probability`] the negative logarithm of the table's probability, up
    /// to a constant); undefined for fewer than two groups with trials.
    pub statistic: Measured,
    /// (1 + permutations at least as extreme) / (permutations + 1); undefined with the statistic. Never 0.
    pub p_value: Measured,
    /// How many permutations were at least as extreme as the data.
    pub at_least: usize,
    /// How many there were.
    pub resamples: usize,
    /// The groups without trials.
    pub left_out: Vec<L>,
}

/// Tests whether all groups share one rate: the successes are dealt out anew over the trials of all groups, as if membership did
/// not matter, and the disparity of the data is held against that of such deals.
///
/// Exact: when membership does not matter, p ≤ α at most as often as α says, for any number of rows (Phipson and Smyth,
/// *Permutation p-values should never be zero*, 2010). A deal is a multivariate hypergeometric draw from the counts; it does not
/// touch rows. For true or false positive rates the trials are the rows of that truth, so the test is given the truth.
/// O(permutations × groups).
///
/// ```
/// use mlops_eval::fairness::{DisparityTestOptions, disparity_test};
/// use mlops_eval::interval::Rate;
///
/// // Five groups of 100 rows, rates of 25 % to 36 %: that much happens by chance.
/// let rates = [25, 36, 28, 31, 30].map(|k| Rate::new(k, 100));
/// let rates = rates.into_iter().collect::<Result<Vec<_>, _>>()?;
/// let test = disparity_test(&rates, &DisparityTestOptions::new(1))?;
/// assert!(test.statistic.value().is_some_and(|difference| (difference - 0.11).abs() < 1e-12));
/// assert!(test.p_value.value().is_some_and(|p| p > 0.3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] without groups; [`StatsError::Overflow`] from 2⁶² trials on; [`StatsError::Parameter`] for a number of
/// resamples outside its range.
pub fn disparity_test(rates: &[Rate], options: &DisparityTestOptions) -> Result<DisparityTest, StatsError> {
    options.check()?;
    let groups = Groups::of(rates)?;
    let Some(dealt) = groups.permuted(options, "fairness.disparity/v1") else {
        return Ok(groups.without_test(options));
    };
    Ok(groups.judged(options, &dealt))
}

/// Whether both rates of equalized odds are the same in all groups.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OddsTest<L = usize> {
    /// The larger of the two statistics: with [`DisparityStatistic::Difference`] the equalized-odds difference.
    pub statistic: Measured,
    /// The probability of so large a statistic when both rates are alike in all groups; undefined when one of the two tests is.
    pub p_value: Measured,
    /// The test of true positive rates.
    pub true_positive_rate: DisparityTest<L>,
    /// The test of false positive rates.
    pub false_positive_rate: DisparityTest<L>,
    /// The p-values of the two tests by themselves, true positive rate first, adjusted after Holm; empty when one is undefined.
    pub holm: Vec<f64>,
}

/// Tests equalized odds: given the truth, positives and negatives are dealt out anew independently of each other, and the larger
/// of the two disparities of the data is held against that of such deals. Exact as [`disparity_test`] is.
///
/// The larger disparity is often that of the rarer truth, by noise alone; [`OddsTest::holm`] says which rate differs.
///
/// ```
/// use mlops_eval::classification::Confusion;
/// use mlops_eval::fairness::{DisparityTestOptions, odds_test};
///
/// let cells = |true_positives, false_positives| Confusion {
///     true_positives,
///     false_negatives: 100 - true_positives,
///     false_positives,
///     true_negatives: 400 - false_positives,
/// };
/// let test = odds_test(&[cells(80, 40), cells(50, 44)], &DisparityTestOptions::new(1))?;
/// assert!(test.p_value.value().is_some_and(|p| p < 0.001));
/// assert!(test.holm[0] < 0.001 && test.holm[1] > 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`disparity_test`].
pub fn odds_test(cells: &[Confusion], options: &DisparityTestOptions) -> Result<OddsTest, StatsError> {
    options.check()?;
    let of = |metric| cells.iter().map(|cells| Rate::of(metric, cells)).collect::<Result<Vec<_>, _>>();
    let positives = Groups::of(&of(LabelMetric::Recall)?)?;
    let negatives = Groups::of(&of(LabelMetric::FalsePositiveRate)?)?;
    let dealt = (
        positives.permuted(options, "fairness.odds/v1/positives"),
        negatives.permuted(options, "fairness.odds/v1/negatives"),
    );
    let judged = |groups: &Groups, dealt: &Option<Vec<f64>>| match dealt {
        Some(dealt) => groups.judged(options, dealt),
        None => groups.without_test(options),
    };
    let (true_positive_rate, false_positive_rate) =
        (judged(&positives, &dealt.0), judged(&negatives, &dealt.1));
    let (statistic, p_value, holm) = match (
        &dealt,
        true_positive_rate.statistic,
        false_positive_rate.statistic,
        true_positive_rate.p_value,
        false_positive_rate.p_value,
    ) {
        (
            (Some(a), Some(b)),
            Measured::Value(t),
            Measured::Value(f),
            Measured::Value(first),
            Measured::Value(second),
        ) => {
            let largest: Vec<f64> = a.iter().zip(b).map(|(a, b)| a.max(*b)).collect();
            let (_, p) = share_at_least(t.max(f), &largest);
            (Measured::Value(t.max(f)), Measured::Value(p), adjust(&[first, second], Correction::Holm)?)
        }
        (_, t, f, ..) => {
            let undefined = if t.value().is_none() { t } else { f };
            (undefined, undefined, Vec::new())
        }
    };
    Ok(OddsTest { statistic, p_value, true_positive_rate, false_positive_rate, holm })
}

/// The groups that have trials, and those that do not.
struct Groups {
    rates: Vec<Rate>,
    left_out: Vec<usize>,
    trials: u64,
    successes: u64,
}

impl Groups {
    fn of(rates: &[Rate]) -> Result<Self, StatsError> {
        if rates.is_empty() {
            return Err(StatsError::Empty { argument: "rates" });
        }
        let trials = rates.iter().try_fold(0_u64, |sum, rate| sum.checked_add(rate.trials()));
        let trials = trials.filter(|trials| *trials < 1 << 62);
        let trials = trials.ok_or(StatsError::Overflow { what: "the number of trials" })?;
        let left_out = without_trials(rates);
        let rates: Vec<Rate> = rates.iter().copied().filter(|rate| rate.trials() > 0).collect();
        let successes = rates.iter().map(Rate::successes).sum();
        Ok(Self { rates, left_out, trials, successes })
    }

    fn too_few(&self) -> Option<Measured> {
        let groups = self.rates.len();
        (groups < 2).then(|| Measured::none(UndefinedReason::TooFew, groups, 2))
    }

    fn successes(&self) -> Vec<u64> {
        self.rates.iter().map(Rate::successes).collect()
    }

    fn pearson(&self, successes: &[u64]) -> f64 {
        let share = self.successes as f64 / self.trials as f64;
        let spread = share * (1.0 - share);
        if spread == 0.0 {
            return 0.0;
        }
        let term = |(rate, k): (&Rate, &u64)| {
            let above = *k as f64 - rate.n() * share;
            above * above / (rate.n() * spread)
        };
        self.rates.iter().zip(successes).map(term).sum()
    }

    fn likelihood_ratio(&self) -> f64 {
        let share = self.successes as f64 / self.trials as f64;
        let term =
            |count: f64, expected: f64| if count == 0.0 { 0.0 } else { count * (count / expected).ln() };
        let of = |rate: &Rate| {
            term(rate.k(), rate.n() * share) + term(rate.n() - rate.k(), rate.n() * (1.0 - share))
        };
        2.0 * self.rates.iter().map(of).sum::<f64>().max(0.0)
    }

    fn statistic(&self, statistic: DisparityStatistic, successes: &[u64]) -> f64 {
        match statistic {
            DisparityStatistic::Difference => {
                let shares = self.rates.iter().zip(successes).map(|(rate, k)| *k as f64 / rate.n());
                let (least, most) =
                    shares.fold((1.0, 0.0), |(least, most), share| (share.min(least), share.max(most)));
                f64::max(most - least, 0.0)
            }
            DisparityStatistic::Pearson => self.pearson(successes),
            DisparityStatistic::Probability => {
                let ln_ways = |(rate, k): (&Rate, &u64)| ln_choose(rate.trials(), *k);
                -self.rates.iter().zip(successes).map(ln_ways).sum::<f64>()
            }
        }
    }

    /// The statistic of every permutation; none for fewer than two groups.
    fn permuted(&self, options: &DisparityTestOptions, stream: &str) -> Option<Vec<f64>> {
        if self.rates.len() < 2 {
            return None;
        }
        let sizes: Vec<u64> = self.rates.iter().map(Rate::trials).collect();
        let root = Random::new(options.seed).stream(stream);
        let parts = map(options.resamples.div_ceil(BLOCK), options.threads, |block| {
            let mut draws = Draws::new(root.nth(block as u64));
            let mut dealt = vec![0; sizes.len()];
            let count = BLOCK.min(options.resamples - block * BLOCK);
            let mut one = || {
                draws.without_replacement(self.successes, &sizes, &mut dealt);
                self.statistic(options.statistic, &dealt)
            };
            (0..count).map(|_| one()).collect::<Vec<f64>>()
        });
        Some(parts.concat())
    }

    fn judged(&self, options: &DisparityTestOptions, dealt: &[f64]) -> DisparityTest {
        let statistic = self.statistic(options.statistic, &self.successes());
        let (at_least, p) = share_at_least(statistic, dealt);
        DisparityTest {
            statistic: Measured::Value(statistic),
            p_value: Measured::Value(p),
            at_least,
            resamples: dealt.len(),
            left_out: self.left_out.clone(),
        }
    }

    fn without_test(&self, options: &DisparityTestOptions) -> DisparityTest {
        let undefined = Measured::none(UndefinedReason::TooFew, self.rates.len(), 2);
        DisparityTest {
            statistic: undefined,
            p_value: undefined,
            at_least: 0,
            resamples: options.resamples,
            left_out: self.left_out.clone(),
        }
    }
}

/// How many values are at least as large as `observed`, and the p-value that makes.
fn share_at_least(observed: f64, values: &[f64]) -> (usize, f64) {
    let limit = observed - TIE * observed.abs().max(f64::MIN_POSITIVE);
    let at_least = values.iter().filter(|value| **value >= limit).count();
    (at_least, (1 + at_least) as f64 / (values.len() + 1) as f64)
}

/// The groups without trials.
pub(super) fn without_trials(rates: &[Rate]) -> Vec<usize> {
    let none = rates.iter().enumerate().filter(|(_, rate)| rate.trials() == 0);
    none.map(|(group, _)| group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(counts: &[(u64, u64)]) -> Vec<Rate> {
        counts.iter().map(|(k, n)| Rate::new(*k, *n).unwrap()).collect()
    }

    /// All tables of these margins, with their probabilities.
    fn exact_p(rates: &[Rate], statistic: DisparityStatistic) -> f64 {
        let groups = Groups::of(rates).unwrap();
        let observed = groups.statistic(statistic, &groups.successes());
        let mut tables = vec![vec![]];
        for rate in &groups.rates {
            let extend =
                |table: Vec<u64>| (0..=rate.trials()).map(move |k| [table.clone(), vec![k]].concat());
            tables = tables.into_iter().flat_map(extend).collect();
        }
        tables.retain(|table| table.iter().sum::<u64>() == groups.successes);
        let all = ln_choose(groups.trials, groups.successes);
        let probability = |table: &Vec<u64>| {
            let ways: f64 =
                groups.rates.iter().zip(table).map(|(rate, k)| ln_choose(rate.trials(), *k)).sum();
            (ways - all).exp()
        };
        let extreme = tables.iter().filter(|table| groups.statistic(statistic, table) >= observed - 1e-9);
        extreme.map(probability).sum()
    }

    #[test]
    fn permutations_reach_the_p_value_of_all_tables() {
        for statistic in
            [DisparityStatistic::Difference, DisparityStatistic::Pearson, DisparityStatistic::Probability]
        {
            for counts in
                [&[(3, 10), (8, 12)][..], &[(1, 5), (4, 9), (0, 6)], &[(2, 3), (1, 20), (5, 15), (2, 4)]]
            {
                let rates = rates(counts);
                let exact = exact_p(&rates, statistic);
                let options = DisparityTestOptions::new(4).with_resamples(20_000).with_statistic(statistic);
                let p = disparity_test(&rates, &options).unwrap().p_value.value().unwrap();
                // Four standard errors of 20 000 permutations.
                let error = 4.0 * (exact * (1.0 - exact) / 20_000.0).sqrt() + 1e-4;
                assert!((p - exact).abs() < error, "{statistic:?} {counts:?}: {p} {exact}");
            }
        }
    }

    #[test]
    fn groups_without_trials_are_left_out_and_named() {
        let test = disparity_test(&rates(&[(0, 0), (3, 9), (4, 8)]), &DisparityTestOptions::new(1)).unwrap();
        assert_eq!(test.left_out, [0]);
        let lone = disparity_test(&rates(&[(0, 0), (3, 9)]), &DisparityTestOptions::new(1)).unwrap();
        assert_eq!(lone.p_value.undefined().map(|none| none.reason), Some(UndefinedReason::TooFew));
        let lone = homogeneity_test(&rates(&[(0, 0), (3, 9)]), HomogeneityMethod::Pearson).unwrap();
        assert_eq!(lone.p_value.value(), None);
    }

    #[test]
    fn rates_that_cannot_differ_have_a_p_value_of_one() {
        for counts in [[(0, 4), (0, 9)], [(4, 4), (9, 9)], [(3, 6), (3, 6)]] {
            let rates = rates(&counts);
            let p = disparity_test(&rates, &DisparityTestOptions::new(1)).unwrap().p_value;
            assert_eq!(p.value(), Some(1.0));
            for method in [HomogeneityMethod::Pearson, HomogeneityMethod::LikelihoodRatio] {
                let test = homogeneity_test(&rates, method).unwrap();
                assert_eq!((test.statistic.value(), test.p_value.value()), (Some(0.0), Some(1.0)));
            }
        }
    }

    #[test]
    fn a_smallest_p_value_is_not_zero_and_threads_do_not_matter() {
        let rates = rates(&[(0, 1_000), (1_000, 1_000)]);
        let options = DisparityTestOptions::new(1).with_resamples(199);
        let test = disparity_test(&rates, &options).unwrap();
        assert_eq!((test.at_least, test.p_value.value()), (0, Some(1.0 / 200.0)));
        let close = [(30, 90), (44, 110), (9, 20)].map(|(k, n)| Rate::new(k, n).unwrap());
        let threads = options.with_threads(Threads::new(3));
        assert_eq!(disparity_test(&close, &options), disparity_test(&close, &threads));
    }

    #[test]
    fn hostile_counts_and_options_are_refused() {
        let options = DisparityTestOptions::new(1);
        assert_eq!(disparity_test(&[], &options), Err(StatsError::Empty { argument: "rates" }));
        let many = rates(&[(1, 1 << 61), (1, 1 << 61)]);
        assert!(matches!(disparity_test(&many, &options), Err(StatsError::Overflow { .. })));
        for resamples in [0, usize::MAX] {
            assert!(disparity_test(&rates(&[(1, 2), (1, 3)]), &options.with_resamples(resamples)).is_err());
        }
    }

    #[test]
    fn odds_without_positives_are_not_tested() {
        let cells = [Confusion { false_positives: 3, true_negatives: 9, ..Default::default() }; 2];
        let test = odds_test(&cells, &DisparityTestOptions::new(1)).unwrap();
        assert_eq!((test.p_value.value(), test.holm.len()), (None, 0));
        assert_eq!(test.false_positive_rate.p_value.value(), Some(1.0));
    }
}
