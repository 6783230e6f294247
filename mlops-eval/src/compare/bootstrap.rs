//! The paired bootstrap of the difference of any metric.
//!
//! Rows are drawn with replacement, both models' predictions of a row together, and the difference is measured again. Metrics of
//! labels need only the eight paired cells, whose resample is one multinomial draw whatever the number of rows
//! ([`bootstrap_cells`]); areas under ROC curves need one sort and one pass a resample ([`bootstrap_auc`]); anything else is
//! measured with the number of times that each row was drawn as its weight ([`bootstrap_rows`]).
//!
//! B. Efron, R. Tibshirani, *An Introduction to the Bootstrap*, 1993; for weights that are Poisson with mean 1 instead of
//! multinomial, J. Hanley, B. MacGibbon, *Creating non-parametric bootstrap samples using Poisson frequencies*, Computer Methods
//! and Programs in Biomedicine 83, 2006.

use mlops_core::num::parallel::{Threads, map};
use mlops_core::num::quantile::quantile_sorted;
use mlops_core::num::sample::Draws;
use mlops_core::num::special::ln_normal_sf;
use mlops_core::num::{Measured, Random, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::counts::PairedCells;
use super::differences::check_resamples;
use super::equivalence::Difference;
use super::result::{Method, normal_at};
use crate::classification::{Confusion, LabelMetric};
use crate::interval::{BootstrapInterval, Interval, check_confidence};

/// How often each row is drawn.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resampling {
    /// As many rows as there are, with replacement: multinomial counts. The default.
    #[default]
    Multinomial,
    /// Each row on its own, a Poisson number of times with mean 1: the number of rows varies a little, which a metric that is a
    /// ratio does not notice, and rows need not know of each other. Counts of rows have their probabilities to 2⁻³².
    Poisson,
}

impl Resampling {
    /// How often each row counts.
    pub(super) fn count_rows(self, draws: &mut Draws, counts: &mut [u8]) {
        match self {
            Self::Multinomial => draws.row_counts(counts),
            Self::Poisson => draws.poisson_ones(counts),
        }
    }

    /// How many rows of each cell count.
    fn count_cells<const C: usize>(self, draws: &mut Draws, sizes: &[u64; C]) -> [u64; C] {
        match self {
            Self::Multinomial => {
                let mut drawn = [0; C];
                draws.resample(sizes.iter().sum(), sizes, &mut drawn);
                drawn
            }
            Self::Poisson => sizes.map(|size| draws.poisson(size as f64)),
        }
    }
}

/// The choices of a bootstrap.
///
/// ```
/// use mlops_eval::compare::{BootstrapInterval, BootstrapOptions};
/// let options = BootstrapOptions::default().with_seed(3).with_interval(BootstrapInterval::Percentile);
/// assert_eq!((options.seed, options.resamples), (3, 2_000));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BootstrapOptions {
    /// The seed. The same seed gives the same bits on any number of threads. Default 0.
    pub seed: u64,
    /// How many resamples; 1 to 10⁷. Default 2 000.
    pub resamples: u64,
    /// How rows are drawn. Default: multinomial.
    pub resampling: Resampling,
    /// Which interval. Default: BCa.
    pub interval: BootstrapInterval,
    /// How many threads may work. Default 1.
    pub threads: Threads,
}

impl Default for BootstrapOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            resamples: 2_000,
            resampling: Resampling::Multinomial,
            interval: BootstrapInterval::Bca,
            threads: Threads::ONE,
        }
    }
}

impl BootstrapOptions {
    /// Sets [`Self::seed`].
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets [`Self::resamples`].
    #[must_use]
    pub const fn with_resamples(mut self, resamples: u64) -> Self {
        self.resamples = resamples;
        self
    }

    /// Sets [`Self::resampling`].
    #[must_use]
    pub const fn with_resampling(mut self, resampling: Resampling) -> Self {
        self.resampling = resampling;
        self
    }

    /// Sets [`Self::interval`].
    #[must_use]
    pub const fn with_interval(mut self, interval: BootstrapInterval) -> Self {
        self.interval = interval;
        self
    }

    /// Sets [`Self::threads`].
    #[must_use]
    pub const fn with_threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    pub(super) fn check(&self) -> Result<(), StatsError> {
        check_resamples(self.resamples)?;
        if self.resamples <= 10_000_000 {
            return Ok(());
        }
        let reason = "must not exceed 1e7";
        Err(StatsError::Parameter { parameter: "resamples", value: self.resamples as f64, reason })
    }

    pub(super) fn root(&self) -> Random {
        Random::new(self.seed).stream("bootstrap")
    }
}

/// Resampled differences, and what follows from them. It is a [`Difference`]: p-values are those levels at which the interval would
/// just touch the null difference.
///
/// ```
/// use mlops_eval::classification::LabelMetric;
/// use mlops_eval::compare::{BootstrapOptions, PairedCells, bootstrap_cells};
///
/// let cells = PairedCells { negative: [500, 20, 40, 60], positive: [40, 70, 25, 245] };
/// let bootstrap = bootstrap_cells(&cells, LabelMetric::F1, &BootstrapOptions::default())?;
/// let interval = bootstrap.confidence_interval(0.95)?.ok_or("every resample has an F1")?;
/// assert!(interval.lower > 0.0 && interval.upper < 0.2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    first: Measured,
    second: Measured,
    difference: Measured,
    /// Ascending; without those that were undefined.
    replicates: Vec<f64>,
    undefined: u64,
    /// Skewness of the influence of rows, over six; `None` where no row has any.
    acceleration: Option<f64>,
    kind: BootstrapInterval,
    rows: u64,
}

impl Bootstrap {
    pub(super) fn new(
        [first, second]: [Measured; 2],
        drawn: Vec<Option<f64>>,
        influences: Option<f64>,
        kind: BootstrapInterval,
        rows: u64,
    ) -> Self {
        let all = drawn.len() as u64;
        let mut replicates: Vec<f64> = drawn.into_iter().flatten().collect();
        replicates.sort_unstable_by(f64::total_cmp);
        let undefined = all - replicates.len() as u64;
        let difference = super::difference_of(first, second);
        Self { first, second, difference, replicates, undefined, acceleration: influences, kind, rows }
    }

    /// The metric of the first model, on the rows as they are.
    pub fn first(&self) -> Measured {
        self.first
    }

    /// The metric of the second model, on the rows as they are.
    pub fn second(&self) -> Measured {
        self.second
    }

    /// Second minus first.
    pub fn difference(&self) -> Measured {
        self.difference
    }

    /// The differences of the resamples, ascending.
    pub fn replicates(&self) -> &[f64] {
        &self.replicates
    }

    /// How many resamples had no difference, because a metric was undefined on them. They are left out.
    pub fn undefined(&self) -> u64 {
        self.undefined
    }

    /// The acceleration of BCa.
    pub fn acceleration(&self) -> Option<f64> {
        self.acceleration
    }

    /// The standard deviation of the resampled differences.
    pub fn standard_error(&self) -> Measured {
        let n = self.replicates.len();
        if n < 2 {
            return Measured::none(UndefinedReason::TooFew, n, 2);
        }
        let mean = mlops_core::num::sum::sum(&self.replicates) / n as f64;
        let squares: Vec<f64> = self.replicates.iter().map(|x| (x - mean) * (x - mean)).collect();
        Measured::Value((mlops_core::num::sum::sum(&squares) / (n - 1) as f64).sqrt())
    }

    /// Whether there is enough to make an interval of: a difference, and at least one half of the resamples.
    fn usable(&self) -> Option<f64> {
        let enough = self.replicates.len() as u64 > self.undefined && self.replicates.len() > 1;
        let varies = self.replicates.first() < self.replicates.last();
        self.difference.value().filter(|_| enough && varies)
    }

    /// The two-sided interval of the kind that the options chose.
    ///
    /// `None` where the difference is undefined, half of the resamples are, or none of them differs from the others.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a confidence outside (0, 1).
    pub fn confidence_interval(&self, confidence: f64) -> Result<Option<Interval>, StatsError> {
        check_confidence(confidence)?;
        let Some(difference) = self.usable() else { return Ok(None) };
        let tail = (1.0 - confidence) / 2.0;
        let at = |share: f64| quantile_sorted(&self.replicates, share.clamp(0.0, 1.0));
        let [lower, upper] = match self.kind {
            BootstrapInterval::Percentile => [at(tail)?, at(1.0 - tail)?],
            BootstrapInterval::Basic => [2.0 * difference - at(1.0 - tail)?, 2.0 * difference - at(tail)?],
            BootstrapInterval::Bca => [at(self.bca_share(tail))?, at(self.bca_share(1.0 - tail))?],
        };
        Ok(Some(Interval { lower, upper, confidence }))
    }

    /// The share of resamples below `value`, ties one half, kept away from 0 and 1 by one resample.
    fn share_below(&self, value: f64) -> f64 {
        let below = self.replicates.partition_point(|x| *x < value);
        let up_to = self.replicates.partition_point(|x| *x <= value);
        let n = self.replicates.len() as f64;
        ((below + up_to) as f64 / 2.0).clamp(0.5, n - 0.5) / n
    }

    fn bias(&self) -> f64 {
        normal_at(self.share_below(self.difference.value().unwrap_or(0.0)))
    }

    /// Which quantile of the resamples is BCa's limit for a tail.
    fn bca_share(&self, tail: f64) -> f64 {
        let (bias, a) = (self.bias(), self.acceleration.unwrap_or(0.0));
        let shifted = bias + normal_at(tail);
        let stretch = 1.0 - a * shifted;
        if stretch <= 0.0 {
            return if shifted > 0.0 { 1.0 } else { 0.0 };
        }
        ln_normal_sf(-(bias + shifted / stretch)).exp()
    }

    /// p of "at most `null`": the level at which the lower limit is `null`.
    fn p_at_most(&self, null: f64) -> Option<f64> {
        let difference = self.usable()?;
        let n = self.replicates.len() as f64;
        let up_to = |value: f64| (1.0 + self.replicates.partition_point(|x| *x <= value) as f64) / (n + 1.0);
        let from =
            |value: f64| (1.0 + n - self.replicates.partition_point(|x| *x < value) as f64) / (n + 1.0);
        Some(match self.kind {
            BootstrapInterval::Percentile => up_to(null),
            BootstrapInterval::Basic => from(2.0 * difference - null),
            BootstrapInterval::Bca => self.bca_level(up_to(null).min(n / (n + 1.0))),
        })
    }

    /// The same from the other side.
    fn p_at_least(&self, null: f64) -> Option<f64> {
        let difference = self.usable()?;
        let n = self.replicates.len() as f64;
        let up_to = |value: f64| (1.0 + self.replicates.partition_point(|x| *x <= value) as f64) / (n + 1.0);
        let from =
            |value: f64| (1.0 + n - self.replicates.partition_point(|x| *x < value) as f64) / (n + 1.0);
        Some(match self.kind {
            BootstrapInterval::Percentile => from(null),
            BootstrapInterval::Basic => up_to(2.0 * difference - null),
            BootstrapInterval::Bca => 1.0 - self.bca_level(1.0 - from(null).min(n / (n + 1.0))),
        })
    }

    /// The inverse of [`bca_share`](Self::bca_share): the tail whose limit is that quantile.
    fn bca_level(&self, share: f64) -> f64 {
        let (bias, a) = (self.bias(), self.acceleration.unwrap_or(0.0));
        let w = normal_at(share) - bias;
        let stretch = 1.0 + a * w;
        if stretch <= 0.0 {
            return if w > 0.0 { 1.0 } else { 1.0 / (self.replicates.len() + 1) as f64 };
        }
        ln_normal_sf(-(w / stretch - bias)).exp()
    }

    fn measured(&self, p: Option<f64>) -> Measured {
        match (p, self.difference) {
            (Some(p), _) => Measured::Value(p.clamp(f64::MIN_POSITIVE, 1.0).ln()),
            (None, none @ Measured::Undefined(_)) => none,
            (None, _) => Measured::none(UndefinedReason::Constant, 0, 1),
        }
    }
}

impl Difference for Bootstrap {
    fn method(&self) -> Method {
        match self.kind {
            BootstrapInterval::Bca => Method::BootstrapBca,
            BootstrapInterval::Percentile => Method::BootstrapPercentile,
            BootstrapInterval::Basic => Method::BootstrapBasic,
        }
    }

    fn n(&self) -> u64 {
        self.rows
    }

    fn estimate(&self) -> Measured {
        self.difference
    }

    fn ln_p_at_most(&self, null: f64) -> Measured {
        self.measured(self.p_at_most(null))
    }

    fn ln_p_at_least(&self, null: f64) -> Measured {
        self.measured(self.p_at_least(null))
    }

    fn interval(&self, confidence: f64) -> Result<Option<Interval>, StatsError> {
        self.confidence_interval(confidence)
    }
}

/// Σ L³ / (6 (Σ L²)^1.5) of influences with their numbers.
pub(super) fn acceleration(influences: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (mut squares, mut cubes) = (0.0, 0.0);
    for (influence, times) in influences {
        squares += times * influence * influence;
        cubes += times * influence * influence * influence;
    }
    let a = cubes / (6.0 * squares * f64::sqrt(squares));
    a.is_finite().then_some(a)
}

/// The paired bootstrap of a metric of labels, from the cells. O(B), whatever the number of rows; the acceleration is the exact
/// jackknife.
///
/// # Errors
/// [`StatsError::ZeroTotal`] for empty cells, [`StatsError::Overflow`] from 2⁵³ rows on, [`StatsError::Parameter`] for resamples
/// outside 1 to 10⁷.
///
/// ```
/// use mlops_eval::classification::LabelMetric;
/// use mlops_eval::compare::{BootstrapOptions, PairedCells, Verdict, bootstrap_cells, non_inferiority};
///
/// let cells = PairedCells { negative: [900, 5, 6, 30], positive: [8, 4, 5, 50] };
/// let precision = bootstrap_cells(&cells, LabelMetric::Precision, &BootstrapOptions::default())?;
/// assert_eq!(non_inferiority(&precision, 0.1, 0.05)?.verdict, Verdict::Shown);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn bootstrap_cells(
    cells: &PairedCells,
    metric: LabelMetric,
    options: &BootstrapOptions,
) -> Result<Bootstrap, StatsError> {
    bootstrap_cells_of(cells, |counts| metric.from_counts(*counts), options)
}

/// [`bootstrap_cells`] of any function of the confusion cells.
///
/// ```
/// use mlops_core::num::Measured;
/// use mlops_eval::compare::{BootstrapOptions, PairedCells, bootstrap_cells_of};
/// let cells = PairedCells { negative: [50, 2, 8, 10], positive: [5, 9, 1, 40] };
/// let cost = |c: &mlops_eval::classification::Confusion| {
///     Measured::Value((c.false_positives + 5 * c.false_negatives) as f64)
/// };
/// assert_eq!(bootstrap_cells_of(&cells, cost, &BootstrapOptions::default())?.difference().value(), Some(-46.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`bootstrap_cells`].
pub fn bootstrap_cells_of(
    cells: &PairedCells,
    metric: impl Fn(&Confusion) -> Measured + Sync,
    options: &BootstrapOptions,
) -> Result<Bootstrap, StatsError> {
    cells.check()?;
    options.check()?;
    let list = cells.list();
    let difference = |list: [u64; 8]| {
        let cells = PairedCells::from_list(list);
        super::difference_of(metric(&cells.first()), metric(&cells.second())).value()
    };
    let root = options.root();
    let drawn = resample(options, |i| {
        difference(options.resampling.count_cells(&mut Draws::new(root.nth(i)), &list))
    });
    let without = |cell: usize| {
        let mut fewer = list;
        fewer[cell] = fewer[cell].checked_sub(1)?;
        Some((difference(fewer)?, list[cell] as f64))
    };
    let left_out: Vec<(f64, f64)> = (0..8).filter_map(without).collect();
    let total: f64 = left_out.iter().map(|(_, times)| times).sum();
    let mean = left_out.iter().map(|(value, times)| value * (times / total)).sum::<f64>();
    let influences = acceleration(left_out.iter().map(|(value, times)| (mean - value, *times)));
    let sides = [metric(&cells.first()), metric(&cells.second())];
    Ok(Bootstrap::new(sides, drawn, influences, options.interval, cells.rows()))
}

/// The values of `work` for the numbers 0 … resamples − 1, in that order, on any number of threads.
pub(super) fn resample<R: Send>(options: &BootstrapOptions, work: impl Fn(u64) -> R + Sync) -> Vec<R> {
    const BATCH: u64 = 16;
    let batches = usize::try_from(options.resamples.div_ceil(BATCH)).unwrap_or(usize::MAX);
    let batches = map(batches, options.threads, |batch| {
        let first = batch as u64 * BATCH;
        (first..options.resamples.min(first + BATCH)).map(&work).collect::<Vec<R>>()
    });
    batches.into_iter().flatten().collect()
}

/// The fewest groups of rows that are left out for the acceleration, or as many as there are rows.
const GROUPS: usize = 200;

/// The paired bootstrap of any two metrics of weighted rows: `metrics(weights)` returns that of the first and of the second model
/// when row i counts `weights[i]` times.
///
/// Costs one call a resample, and up to 200 more for the acceleration, which is the jackknife that leaves out one of 200 groups of
/// rows. Resamples without any row, and those on which a metric is refused or undefined, are counted and left out.
///
/// ```
/// use mlops_eval::compare::{BootstrapOptions, bootstrap_rows};
/// use mlops_eval::regression::rmse_weighted;
///
/// let (y, first, second) = ([1.0, 2.0, 3.0, 4.0], [1.5, 2.0, 2.0, 4.5], [1.1, 2.1, 2.9, 4.1]);
/// let rmse = |w: &[f64]| Ok([rmse_weighted(&y, &first, w)?, rmse_weighted(&y, &second, w)?]);
/// let bootstrap = bootstrap_rows(4, rmse, &BootstrapOptions::default())?;
/// assert!(bootstrap.difference().value().is_some_and(|d| d < 0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::TooFew`] without rows, [`StatsError::Parameter`] for resamples outside 1 to 10⁷, and what the metrics refuse of
/// the rows as they are.
pub fn bootstrap_rows(
    rows: usize,
    metrics: impl Fn(&[f64]) -> Result<[Measured; 2], StatsError> + Sync,
    options: &BootstrapOptions,
) -> Result<Bootstrap, StatsError> {
    options.check()?;
    if rows == 0 {
        return Err(StatsError::TooFew { argument: "rows", needed: 1, got: 0 });
    }
    let sides = metrics(&vec![1.0; rows])?;
    let difference = |weights: &[f64]| {
        let [first, second] = metrics(weights).ok()?;
        super::difference_of(first, second).value()
    };
    let root = options.root();
    let drawn = resample(options, |i| {
        let mut counts = vec![0_u8; rows];
        options.resampling.count_rows(&mut Draws::new(root.nth(i)), &mut counts);
        difference(&counts.into_iter().map(f64::from).collect::<Vec<f64>>())
    });
    let groups = rows.min(GROUPS);
    let without = |group: usize| {
        let mut weights = vec![1.0; rows];
        weights.iter_mut().skip(group).step_by(groups).for_each(|weight| *weight = 0.0);
        difference(&weights)
    };
    let left_out: Vec<f64> = map(groups, options.threads, without).into_iter().flatten().collect();
    let mean = left_out.iter().sum::<f64>() / left_out.len() as f64;
    let influences = acceleration(left_out.iter().map(|value| (mean - value, 1.0)));
    Ok(Bootstrap::new(sides, drawn, influences, options.interval, rows as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELLS: PairedCells = PairedCells { negative: [50, 2, 8, 10], positive: [5, 9, 1, 40] };

    #[test]
    fn cells_and_rows_have_the_same_law() {
        let options = BootstrapOptions::default().with_resamples(4000);
        let by_cells = bootstrap_cells(&CELLS, LabelMetric::F1, &options).unwrap();
        let (mut t, mut a, mut b) = (Vec::new(), Vec::new(), Vec::new());
        for (cell, count) in CELLS.list().into_iter().enumerate() {
            for _ in 0..count {
                t.push(cell >= 4);
                a.push(cell & 2 != 0);
                b.push(cell & 1 != 0);
            }
        }
        assert_eq!(PairedCells::of(&t, &a, &b), Ok(CELLS));
        let f1 = crate::classification::f1_weighted;
        let by_rows = bootstrap_rows(t.len(), |w| Ok([f1(&t, &a, w)?, f1(&t, &b, w)?]), &options).unwrap();
        assert_eq!(by_cells.difference(), by_rows.difference());
        let (one, two) =
            (by_cells.standard_error().value().unwrap(), by_rows.standard_error().value().unwrap());
        assert!((one / two - 1.0).abs() < 0.06, "{one} {two}");
        assert!((by_cells.acceleration().unwrap() - by_rows.acceleration().unwrap()).abs() < 1e-12);
        let poisson = bootstrap_cells(&CELLS, LabelMetric::F1, &options.with_resampling(Resampling::Poisson));
        assert!((poisson.unwrap().standard_error().value().unwrap() / one - 1.0).abs() < 0.06);
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        for resampling in [Resampling::Multinomial, Resampling::Poisson] {
            let options = BootstrapOptions::default().with_resamples(333).with_resampling(resampling);
            let one = bootstrap_cells(&CELLS, LabelMetric::Mcc, &options).unwrap();
            let three = bootstrap_cells(&CELLS, LabelMetric::Mcc, &options.with_threads(Threads::new(3)));
            assert_eq!(three.unwrap(), one);
        }
    }

    #[test]
    fn p_is_the_level_at_which_the_limit_touches() {
        for interval in [BootstrapInterval::Bca, BootstrapInterval::Percentile, BootstrapInterval::Basic] {
            let options = BootstrapOptions::default().with_resamples(4000).with_interval(interval);
            let bootstrap = bootstrap_cells(&CELLS, LabelMetric::F1, &options).unwrap();
            for confidence in [0.5, 0.8, 0.95] {
                let limits = bootstrap.confidence_interval(confidence).unwrap().unwrap();
                let tail = (1.0 - confidence) / 2.0;
                let lower = bootstrap.ln_p_at_most(limits.lower).value().unwrap().exp();
                let upper = bootstrap.ln_p_at_least(limits.upper).value().unwrap().exp();
                // Cells are discrete: one step of the difference holds many resamples.
                assert!(
                    (lower - tail).abs() < 0.03 && (upper - tail).abs() < 0.03,
                    "{interval:?} {lower} {upper}"
                );
            }
        }
    }

    #[test]
    fn nothing_to_resample_gives_no_interval() {
        let same = PairedCells { negative: [50, 0, 0, 10], positive: [5, 0, 0, 40] };
        let bootstrap = bootstrap_cells(&same, LabelMetric::F1, &BootstrapOptions::default()).unwrap();
        assert_eq!(bootstrap.confidence_interval(0.95).unwrap(), None);
        assert_eq!(bootstrap.ln_p_at_most(-0.1).value(), None);
        let no_positives = PairedCells { negative: [50, 3, 1, 10], positive: [0; 4] };
        let bootstrap =
            bootstrap_cells(&no_positives, LabelMetric::Recall, &BootstrapOptions::default()).unwrap();
        assert_eq!((bootstrap.undefined(), bootstrap.difference().value()), (2000, None));
        let refused = BootstrapOptions::default().with_resamples(0);
        assert!(bootstrap_cells(&CELLS, LabelMetric::F1, &refused).is_err());
    }
}
