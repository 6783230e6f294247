//! Swapping the two models' predictions row by row: a test of equality for any metric.
//!
//! If it makes no difference which model made which prediction, each of the 2ⁿ ways to swap rows was as likely as what was seen.
//! p is the share of them whose difference is at least as extreme; when ways are drawn, p = (1 + #)/(B + 1), never 0 (B. Phipson,
//! G. Smyth, *Permutation p-values should never be zero*, Statistical Applications in Genetics and Molecular Biology 9, 2010).

use mlops_core::num::parallel::map;
use mlops_core::num::sample::Draws;
use mlops_core::num::special::Binomial;
use mlops_core::num::{Measured, Random, StatsError};

use super::counts::PairedCells;
use super::differences::{BATCH, DrawOptions, Extreme};
use super::result::{Method, TestResult};
use crate::classification::{Confusion, LabelMetric};
use crate::input::{named, paired};

/// The most ways to swap disagreeing rows that are all counted.
const EXACT: u64 = 1 << 20;

/// The permutation test of a metric of labels, from the cells alone.
///
/// Only rows where the models disagree matter, and of them only how many of each class the second model calls positive: binomial
/// with probability ½. With (d₀ + 1)(d₁ + 1) ≤ 2²⁰, for d₀ and d₁ disagreements among negatives and positives, every way is counted
/// and p is exact; above, those two counts are drawn. The cost of a draw does not grow with the rows.
///
/// A way that leaves the metric undefined counts as extreme, so that p is never too small. Undefined when the difference is.
///
/// ```
/// use mlops_eval::classification::LabelMetric;
/// use mlops_eval::compare::{DrawOptions, PairedCells, permutation_cells};
///
/// let cells = PairedCells { negative: [50, 2, 8, 10], positive: [5, 9, 1, 40] };
/// let test = permutation_cells(&cells, LabelMetric::F1, &DrawOptions::default())?;
/// assert!(test.difference.value().is_some_and(|d| d > 0.0));
/// assert!(test.p.value().is_some_and(|p| p < 0.01));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::ZeroTotal`] for empty cells, [`StatsError::Overflow`] from 2⁵³ rows on, [`StatsError::Parameter`] for resamples
/// outside 1 to 10⁸.
pub fn permutation_cells(
    cells: &PairedCells,
    metric: LabelMetric,
    options: &DrawOptions,
) -> Result<TestResult, StatsError> {
    permutation_cells_of(cells, |counts| metric.from_counts(*counts), options)
}

/// [`permutation_cells`] of any function of the confusion cells.
///
/// ```
/// use mlops_core::num::Measured;
/// use mlops_eval::compare::{DrawOptions, PairedCells, permutation_cells_of};
/// let cells = PairedCells { negative: [50, 2, 8, 10], positive: [5, 9, 1, 40] };
/// let cost = |c: &mlops_eval::classification::Confusion| {
///     Measured::Value((c.false_positives + 5 * c.false_negatives) as f64)
/// };
/// let test = permutation_cells_of(&cells, cost, &DrawOptions::default())?;
/// assert_eq!(test.difference.value(), Some(-46.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`permutation_cells`].
pub fn permutation_cells_of(
    cells: &PairedCells,
    metric: impl Fn(&Confusion) -> Measured + Sync,
    options: &DrawOptions,
) -> Result<TestResult, StatsError> {
    cells.check()?;
    options.check()?;
    let swaps = Swaps { cells: *cells, metric };
    let observed = swaps.difference([cells.negative[1], cells.positive[1]]);
    let [d0, d1] = swaps.disagreements();
    let exact = (d0 + 1).saturating_mul(d1 + 1) <= EXACT;
    let method = if exact { Method::PermutationExact } else { Method::Permutation };
    let Some((difference, slack)) = observed else {
        let none = super::difference_of((swaps.metric)(&cells.first()), (swaps.metric)(&cells.second()));
        return Ok(TestResult::new(method, options.alternative, none, none).with(none, None, cells.rows()));
    };
    let extreme = Extreme { observed: difference, slack, alternative: options.alternative };
    let holds = |ways: [u64; 2]| swaps.difference(ways).is_none_or(|(value, _)| extreme.holds(value));
    let ln_p = if d0 + d1 == 0 {
        0.0
    } else if exact {
        enumerate([d0, d1], holds)
    } else {
        let root = Random::new(options.seed).stream("permutation");
        let hits = count(options, |i| {
            let mut draws = Draws::new(root.nth(i));
            holds([draws.binomial(d0, 0.5), draws.binomial(d1, 0.5)])
        });
        ((1 + hits) as f64 / (options.resamples + 1) as f64).ln()
    };
    let difference = Measured::Value(difference);
    let result = TestResult::new(method, options.alternative, difference, Measured::Value(ln_p));
    Ok(result.with(difference, None, cells.rows()))
}

/// How often `holds` for the numbers 0 … resamples − 1.
fn count(options: &DrawOptions, holds: impl Fn(u64) -> bool + Sync) -> u64 {
    let batches = usize::try_from(options.resamples.div_ceil(BATCH)).unwrap_or(usize::MAX);
    let hits = map(batches, options.threads, |batch| {
        let first = batch as u64 * BATCH;
        (first..options.resamples.min(first + BATCH)).filter(|i| holds(*i)).count() as u64
    });
    hits.into_iter().sum()
}

struct Swaps<F> {
    cells: PairedCells,
    metric: F,
}

impl<F: Fn(&Confusion) -> Measured> Swaps<F> {
    fn disagreements(&self) -> [u64; 2] {
        [self.cells.negative, self.cells.positive].map(|cells| cells[1] + cells[2])
    }

    /// The difference, and the rounding it may carry, when the second model alone calls so many negatives and positives positive.
    fn difference(&self, [x0, x1]: [u64; 2]) -> Option<(f64, f64)> {
        let [d0, d1] = self.disagreements();
        let (n, p) = (self.cells.negative, self.cells.positive);
        let cells = PairedCells { negative: [n[0], x0, d0 - x0, n[3]], positive: [p[0], x1, d1 - x1, p[3]] };
        let (first, second) =
            ((self.metric)(&cells.first()).value()?, (self.metric)(&cells.second()).value()?);
        Some((second - first, 8.0 * f64::EPSILON * (first.abs() + second.abs())))
    }
}

/// ln of the probability that the two counts, binomial under fair tosses, satisfy a condition.
fn enumerate(sizes: [u64; 2], holds: impl Fn([u64; 2]) -> bool) -> f64 {
    let laws = sizes.map(|trials| {
        let law = Binomial { trials, probability: 0.5 };
        (0..=trials).map(|k| law.ln_pmf(k)).collect::<Vec<f64>>()
    });
    // Probabilities are added up relative to the largest so far: their sum may lie far below the smallest f64.
    let (mut largest, mut sum) = (f64::NEG_INFINITY, 0.0);
    for (x0, ln_first) in (0..).zip(&laws[0]) {
        for (x1, ln_second) in (0..).zip(&laws[1]) {
            if !holds([x0, x1]) {
                continue;
            }
            let ln_term = ln_first + ln_second;
            if ln_term > largest {
                sum = sum * f64::exp(largest - ln_term) + 1.0;
                largest = ln_term;
            } else {
                sum += (ln_term - largest).exp();
            }
        }
    }
    (largest + sum.ln()).min(0.0)
}

/// The permutation test of any metric of rows: `first[i]` and `second[i]` are what the models predict for row i, of any type.
///
/// `metric` is given one prediction a row and returns a number, say the AUC against a truth that it knows. Each of the drawn ways
/// swaps every row with probability ½. Costs 2 B evaluations of the metric; for metrics of labels
/// [`permutation_cells`] is exact or far cheaper. A way that leaves the metric undefined counts as extreme.
///
/// ```
/// use mlops_eval::classification::roc_auc;
/// use mlops_eval::compare::{DrawOptions, permutation};
///
/// let y_true = [true, true, true, false, false, false];
/// let first = [0.2, 0.6, 0.4, 0.5, 0.3, 0.7];
/// let second = [0.9, 0.8, 0.7, 0.1, 0.2, 0.3];
/// let options = DrawOptions::default().with_resamples(199);
/// let test = permutation(&first, &second, |scores| roc_auc(&y_true, scores), &options)?;
/// assert!(test.p.value().is_some_and(|p| p >= 1.0 / 200.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::Parameter`] for resamples outside 1 to 10⁸, and what the
/// metric refuses of the predictions as they are.
pub fn permutation<T: Copy + Send + Sync>(
    first: &[T],
    second: &[T],
    metric: impl Fn(&[T]) -> Result<Measured, StatsError> + Sync,
    options: &DrawOptions,
) -> Result<TestResult, StatsError> {
    paired(named("first", first), named("second", second))?;
    options.check()?;
    let (of_first, of_second) = (metric(first)?, metric(second)?);
    let difference = super::difference_of(of_first, of_second);
    let (method, n) = (Method::Permutation, first.len() as u64);
    let (Some(observed), Some(a), Some(b)) = (difference.value(), of_first.value(), of_second.value()) else {
        let result = TestResult::new(method, options.alternative, difference, difference);
        return Ok(result.with(difference, None, n));
    };
    let slack = 1e-12 * (a.abs() + b.abs());
    let extreme = Extreme { observed, slack, alternative: options.alternative };
    let root = Random::new(options.seed).stream("permutation");
    let hits = count(options, |i| {
        let (left, right) = swapped(first, second, root.nth(i));
        match (metric(&left), metric(&right)) {
            (Ok(Measured::Value(a)), Ok(Measured::Value(b))) => extreme.holds(b - a),
            _ => true,
        }
    });
    let p = (1 + hits) as f64 / (options.resamples + 1) as f64;
    let result = TestResult::counted(method, options.alternative, difference, p);
    Ok(result.with(difference, None, n))
}

fn swapped<T: Copy>(first: &[T], second: &[T], mut random: Random) -> (Vec<T>, Vec<T>) {
    let (mut left, mut right) = (first.to_vec(), second.to_vec());
    for (left, right) in left.chunks_mut(64).zip(right.chunks_mut(64)) {
        let tosses = random.next_u64();
        for (i, (a, b)) in left.iter_mut().zip(right).enumerate() {
            if tosses >> i & 1 == 1 {
                std::mem::swap(a, b);
            }
        }
    }
    (left, right)
}

#[cfg(test)]
mod tests {
    use super::super::result::Alternative;
    use super::*;
    use mlops_core::num::parallel::Threads;

    /// By the definition: all 2ⁿ ways to swap rows.
    fn by_rows(t: &[bool], a: &[bool], b: &[bool], metric: LabelMetric, alternative: Alternative) -> f64 {
        let of = |p: &[bool]| metric.from_counts(Confusion::of(t, p).unwrap()).value();
        let observed = of(b).unwrap() - of(a).unwrap();
        let extreme = Extreme { observed, slack: 1e-12, alternative };
        let mut hits = 0;
        for ways in 0_u32..1 << t.len() {
            let pick = |x: &[bool], y: &[bool]| -> Vec<bool> {
                (0..t.len()).map(|i| if ways >> i & 1 == 1 { y[i] } else { x[i] }).collect()
            };
            let holds = match (of(&pick(a, b)), of(&pick(b, a))) {
                (Some(first), Some(second)) => extreme.holds(second - first),
                _ => true,
            };
            hits += u32::from(holds);
        }
        f64::from(hits) / f64::from(1_u32 << t.len())
    }

    #[test]
    fn cells_give_what_all_swaps_of_rows_give() {
        let t = [true, true, true, true, true, false, false, false, false, false, false, true];
        let a = [true, false, false, true, false, true, false, true, false, false, true, false];
        let b = [true, true, true, true, false, false, false, false, true, false, false, true];
        let cells = PairedCells::of(&t, &a, &b).unwrap();
        for metric in LabelMetric::ALL {
            for alternative in [Alternative::TwoSided, Alternative::Greater, Alternative::Less] {
                let options = DrawOptions::default().with_alternative(alternative);
                let test = permutation_cells(&cells, *metric, &options).unwrap();
                let expected = by_rows(&t, &a, &b, *metric, alternative);
                assert!(
                    (test.p.value().unwrap() - expected).abs() < 1e-13,
                    "{metric} {alternative:?} {test:?}"
                );
            }
        }
    }

    #[test]
    fn drawn_ways_come_near_the_exact_p() {
        let cells = PairedCells { negative: [500, 60, 80, 10], positive: [30, 50, 31, 90] };
        let exact = permutation_cells(&cells, LabelMetric::F1, &DrawOptions::default()).unwrap();
        assert_eq!(exact.method, Method::PermutationExact);
        // The same question with so many agreeing rows that nothing changes, and too many ways to count.
        let large = PairedCells { negative: [500, 1060, 1080, 10], positive: [30, 1050, 1031, 90] };
        let options = DrawOptions::default().with_seed(2);
        let drawn = permutation_cells(&large, LabelMetric::Accuracy, &options).unwrap();
        assert_eq!(drawn.method, Method::Permutation);
        assert_eq!(
            drawn,
            permutation_cells(&large, LabelMetric::Accuracy, &options.with_threads(Threads::new(3))).unwrap()
        );
        let counts = large.shares(LabelMetric::Accuracy).unwrap();
        let kind = super::super::McnemarKind::Exact;
        let mcnemar = super::super::mcnemar_with(&counts, kind, Alternative::TwoSided, 0.95).unwrap();
        let (p, expected) = (drawn.p.value().unwrap(), mcnemar.p.value().unwrap());
        assert!((p - expected).abs() < 5.0 * (expected / 9999.0).sqrt(), "{p} {expected}");
    }

    #[test]
    fn an_accuracy_that_is_swapped_is_mcnemar() {
        let cells = PairedCells { negative: [50, 3, 9, 1], positive: [2, 11, 4, 60] };
        let test = permutation_cells(&cells, LabelMetric::Accuracy, &DrawOptions::default()).unwrap();
        let counts = cells.shares(LabelMetric::Accuracy).unwrap();
        let kind = super::super::McnemarKind::Exact;
        let exact = super::super::mcnemar_with(&counts, kind, Alternative::TwoSided, 0.95).unwrap();
        assert!((test.p.value().unwrap() - exact.p.value().unwrap()).abs() < 1e-13);
    }

    #[test]
    fn an_undefined_difference_has_no_p() {
        let cells = PairedCells { negative: [5, 0, 0, 0], positive: [3, 0, 2, 0] };
        let test = permutation_cells(&cells, LabelMetric::Precision, &DrawOptions::default()).unwrap();
        assert_eq!((test.p.value(), test.difference.value()), (None, None));
        assert!(
            permutation_cells(&PairedCells::default(), LabelMetric::F1, &DrawOptions::default()).is_err()
        );
    }
}
