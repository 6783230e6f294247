//! The bootstrap of the rows, drawn from the cells.

use mlops_core::num::parallel::{Threads, map};
use mlops_core::num::sample::Draws;
use mlops_core::num::special::{ln_normal_sf, normal_quantile};
use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, Random, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::classification::Confusion;
use crate::compare::normal_at;
use crate::interval::{BootstrapInterval, Interval, check_confidence};

/// The most cells of all resamples together: half a gibibyte.
const MAX_CELLS: usize = 1 << 26;

/// Resamples that share a stream of random numbers: fixed, so that the threads do not matter.
const BLOCK: usize = 64;

/// Which rows a resample is drawn from.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resampling {
    /// All rows: the sizes of the groups vary as they would in new data. The default.
    #[default]
    Rows,
    /// The rows of each group by themselves: the sizes of the groups are fixed.
    WithinGroups,
}

/// The choices behind a [`CellBootstrap`].
///
/// ```
/// use mlops_eval::fairness::{BootstrapOptions, Resampling};
/// let options = BootstrapOptions::new(7).with_resamples(500).with_resampling(Resampling::WithinGroups);
/// assert_eq!((options.seed, options.resamples), (7, 500));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapOptions {
    /// The seed: the same one gives the same resamples, on any number of threads.
    pub seed: u64,
    /// The number of resamples, at least 1. Default 2 000.
    pub resamples: usize,
    /// Which rows a resample is drawn from.
    pub resampling: Resampling,
    /// How many threads may draw.
    pub threads: Threads,
}

impl BootstrapOptions {
    /// The default choices with a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, resamples: 2_000, resampling: Resampling::default(), threads: Threads::ONE }
    }

    /// Sets [`Self::resamples`].
    #[must_use]
    pub fn with_resamples(mut self, resamples: usize) -> Self {
        self.resamples = resamples;
        self
    }

    /// Sets [`Self::resampling`].
    #[must_use]
    pub fn with_resampling(mut self, resampling: Resampling) -> Self {
        self.resampling = resampling;
        self
    }

    /// Sets [`Self::threads`].
    #[must_use]
    pub fn with_threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }
}

/// Resampled confusion cells of every group.
///
/// Rows reach a metric of labels only through the cell group × truth × prediction they fall into, so drawing n rows with
/// replacement is drawing the cells from Multinomial(n, cells / n): exactly the row bootstrap, in a time that does not grow with
/// the rows. Any function of the cells can be put through it, as often as wanted.
///
/// The interval of a largest difference between groups made this way cannot reach 0, for the difference of a resample is hardly
/// ever 0: of groups truly alike it shows a difference every time. [`disparity_interval`](super::disparity_interval) and
/// [`disparity_test`](super::disparity_test) are made for that question.
///
/// O(resamples × groups) in time and memory.
///
/// ```
/// use mlops_eval::classification::{Confusion, LabelMetric};
/// use mlops_eval::fairness::{BootstrapInterval, BootstrapOptions, CellBootstrap};
///
/// let cells = |tp, fneg| Confusion { true_positives: tp, false_negatives: fneg, true_negatives: 50, ..Default::default() };
/// let groups = [cells(40, 10), cells(30, 20)];
/// let bootstrap = CellBootstrap::of(&groups, &BootstrapOptions::new(1))?;
/// let recall = |cells: &Confusion| LabelMetric::Recall.from_counts(cells);
/// let estimate = bootstrap.estimate(0.95, BootstrapInterval::Bca, |groups| {
///     match (recall(&groups[0]).value(), recall(&groups[1]).value()) {
///         (Some(first), Some(second)) => Some(first - second),
///         _ => None,
///     }
/// })?;
/// let interval = estimate.interval.ok_or("the interval is defined")?;
/// assert!(interval.lower > 0.0 && interval.upper < 0.4);
/// assert_eq!(estimate.undefined, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CellBootstrap {
    observed: Vec<Confusion>,
    resampled: Vec<Confusion>,
    options: BootstrapOptions,
}

/// What a bootstrap says about a number.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BootstrapEstimate {
    /// The number itself, from the data.
    pub value: Measured,
    /// The standard deviation of the resampled values that are defined (divisor B − 1).
    pub standard_error: Measured,
    /// The mean of the resampled values that are defined, minus the value.
    pub bias: Measured,
    /// The interval. There is none when the value is undefined, when a limit falls among undefined resamples (each of which
    /// counts as lower than the lower limit and higher than the upper one), or when BCa's jackknife meets an undefined value.
    pub interval: Option<Interval>,
    /// The number of resamples.
    pub resamples: usize,
    /// How many of them gave no value.
    pub undefined: usize,
}

impl CellBootstrap {
    /// Draws the resamples.
    ///
    /// # Errors
    /// [`StatsError::Empty`] without groups; [`StatsError::ZeroTotal`] when no group has rows; [`StatsError::Parameter`] for
    /// no resamples, or more than fit half a gibibyte; [`StatsError::Overflow`] beyond 2⁶⁴ rows.
    pub fn of(cells: &[Confusion], options: &BootstrapOptions) -> Result<Self, StatsError> {
        check(cells, options)?;
        let sizes: Vec<u64> = cells.iter().flat_map(as_array).collect();
        let blocks = options.resamples.div_ceil(BLOCK);
        let root = Random::new(options.seed).stream("fairness.bootstrap/v1");
        let parts = map(blocks, options.threads, |block| {
            let mut draws = Draws::new(root.nth(block as u64));
            let count = BLOCK.min(options.resamples - block * BLOCK);
            let mut part = Vec::with_capacity(count * cells.len());
            let mut drawn = vec![0; sizes.len()];
            for _ in 0..count {
                draw(&mut draws, options.resampling, &sizes, &mut drawn);
                part.extend(drawn.chunks_exact(4).map(from_slice));
            }
            part
        });
        Ok(Self { observed: cells.to_vec(), resampled: parts.concat(), options: *options })
    }

    /// The cells of the data.
    pub fn observed(&self) -> &[Confusion] {
        &self.observed
    }

    /// The choices made.
    pub fn options(&self) -> &BootstrapOptions {
        &self.options
    }

    /// The resamples: the cells of all groups, in the order of the data.
    pub fn resamples(&self) -> impl ExactSizeIterator<Item = &[Confusion]> {
        self.resampled.chunks_exact(self.observed.len())
    }

    /// A number of every resample, in order; `None` where it has none. A number that is not finite counts as none.
    pub fn replicates(&self, statistic: impl Fn(&[Confusion]) -> Option<f64>) -> Vec<Option<f64>> {
        self.resamples().map(|cells| statistic(cells).filter(|value| value.is_finite())).collect()
    }

    /// The value of a statistic with its standard error, bias and interval. O(B log B) beside the statistic.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a confidence outside (0, 1).
    pub fn estimate(
        &self,
        confidence: f64,
        method: BootstrapInterval,
        statistic: impl Fn(&[Confusion]) -> Option<f64>,
    ) -> Result<BootstrapEstimate, StatsError> {
        check_confidence(confidence)?;
        let value = statistic(&self.observed).filter(|value| value.is_finite());
        let replicates = self.replicates(&statistic);
        let mut sorted: Vec<f64> = replicates.iter().flatten().copied().collect();
        let (mean, standard_error) = mean_and_error(&sorted);
        sorted.sort_unstable_by(f64::total_cmp);
        let undefined = replicates.len() - sorted.len();
        let none = Measured::none(UndefinedReason::NothingDefined, sorted.len(), replicates.len());
        let limits = value.and_then(|value| match method {
            BootstrapInterval::Percentile => percentile(&sorted, undefined, 1.0 - confidence),
            BootstrapInterval::Basic => percentile(&sorted, undefined, 1.0 - confidence)
                .map(|(lower, upper)| (2.0 * value - upper, 2.0 * value - lower)),
            BootstrapInterval::Bca => self.bca(&sorted, undefined, value, confidence, &statistic),
        });
        Ok(BootstrapEstimate {
            value: value.map_or(none, Measured::Value),
            standard_error,
            bias: match (value, mean) {
                (Some(value), Some(mean)) => Measured::Value(mean - value),
                _ => none,
            },
            interval: limits.map(|(lower, upper)| Interval { lower, upper, confidence }),
            resamples: replicates.len(),
            undefined,
        })
    }

    fn bca(
        &self,
        sorted: &[f64],
        undefined: usize,
        value: f64,
        confidence: f64,
        statistic: &impl Fn(&[Confusion]) -> Option<f64>,
    ) -> Option<(f64, f64)> {
        if sorted.first() == sorted.last() {
            return percentile(sorted, undefined, 1.0 - confidence);
        }
        let below = sorted.partition_point(|other| *other < value);
        let tied = sorted.partition_point(|other| *other <= value) - below;
        // Ties count one half: the statistic of counts is a lattice.
        let share = (below as f64 + 0.5 * tied as f64) / sorted.len() as f64;
        if share <= 0.0 || share >= 1.0 {
            return None;
        }
        let z0 = normal_at(share);
        let acceleration = self.acceleration(statistic)?;
        let z = normal_quantile(confidence);
        let level = |z: f64| {
            let shifted = z0 + z;
            normal_below(z0 + shifted / (1.0 - acceleration * shifted))
        };
        // Beyond 1/a the correction has no meaning.
        if 1.0 - acceleration * (z0 + z) <= 0.0 || 1.0 - acceleration * (z0 - z) <= 0.0 {
            return None;
        }
        Some((quantile(sorted, undefined, level(-z), true)?, quantile(sorted, undefined, level(z), false)?))
    }

    /// The skewness of the influence of a row, from the jackknife: rows of a cell have the same influence, so that each cell is
    /// left out once and counts as often as it has rows. Strata count as Davison and Hinkley (*Bootstrap methods and their
    /// application*, 1997, section 5.3) have it.
    fn acceleration(&self, statistic: &impl Fn(&[Confusion]) -> Option<f64>) -> Option<f64> {
        let strata: Vec<std::ops::Range<usize>> = match self.options.resampling {
            Resampling::Rows => std::iter::once(0..self.observed.len()).collect(),
            Resampling::WithinGroups => (0..self.observed.len()).map(|group| group..group + 1).collect(),
        };
        let mut cells = self.observed.clone();
        let (mut cubes, mut squares) = (Sum::default(), Sum::default());
        for stratum in strata {
            let rows: f64 = self.observed[stratum.clone()].iter().map(|cells| cells.rows() as f64).sum();
            let mut left_out: Vec<(f64, f64)> = Vec::new();
            for group in stratum {
                for cell in 0..4 {
                    let count = as_array(&self.observed[group])[cell];
                    if count == 0 {
                        continue;
                    }
                    let mut fewer = as_array(&self.observed[group]);
                    fewer[cell] -= 1;
                    cells[group] = from_slice(&fewer);
                    let value = statistic(&cells).filter(|value| value.is_finite())?;
                    cells[group] = self.observed[group];
                    left_out.push((value, count as f64));
                }
            }
            if rows < 2.0 {
                continue;
            }
            let mean = left_out.iter().map(|(value, count)| value * (count / rows)).sum::<f64>();
            for (value, count) in left_out {
                let influence = (rows - 1.0) * (mean - value) / rows;
                squares.push(count * influence * influence);
                cubes.push(count * influence * influence * influence);
            }
        }
        let scale = squares.value().powf(1.5);
        Some(if scale > 0.0 { cubes.value() / (6.0 * scale) } else { 0.0 })
    }
}

fn check(cells: &[Confusion], options: &BootstrapOptions) -> Result<(), StatsError> {
    if cells.is_empty() {
        return Err(StatsError::Empty { argument: "cells" });
    }
    let resamples = options.resamples;
    let fits = resamples.checked_mul(4 * cells.len()).is_some_and(|all| all <= MAX_CELLS);
    if resamples == 0 || !fits {
        let reason = "must be at least 1 and, times four cells for each group, at most 2^26";
        return Err(StatsError::Parameter { parameter: "resamples", value: resamples as f64, reason });
    }
    match cells.iter().flat_map(as_array).try_fold(0_u64, u64::checked_add) {
        None => Err(StatsError::Overflow { what: "the number of rows" }),
        Some(0) => Err(StatsError::ZeroTotal { argument: "cells" }),
        Some(_) => Ok(()),
    }
}

fn draw(draws: &mut Draws, resampling: Resampling, sizes: &[u64], drawn: &mut [u64]) {
    match resampling {
        Resampling::Rows => draws.resample(sizes.iter().sum(), sizes, drawn),
        Resampling::WithinGroups => {
            for (sizes, drawn) in sizes.chunks_exact(4).zip(drawn.chunks_exact_mut(4)) {
                draws.resample(sizes.iter().sum(), sizes, drawn);
            }
        }
    }
}

fn as_array(cells: &Confusion) -> [u64; 4] {
    [cells.true_positives, cells.false_positives, cells.false_negatives, cells.true_negatives]
}

/// Cells from four counts in the order of [`as_array`].
fn from_slice(counts: &(impl AsRef<[u64]> + ?Sized)) -> Confusion {
    let at = |cell: usize| counts.as_ref().get(cell).copied().unwrap_or(0);
    Confusion { true_positives: at(0), false_positives: at(1), false_negatives: at(2), true_negatives: at(3) }
}

fn mean_and_error(values: &[f64]) -> (Option<f64>, Measured) {
    let n = values.len();
    let total = |f: &dyn Fn(f64) -> f64| {
        let mut sum = Sum::default();
        values.iter().for_each(|value| sum.push(f(*value)));
        sum.value()
    };
    if n == 0 {
        return (None, Measured::none(UndefinedReason::NothingDefined, 0, 2));
    }
    let mean = total(&|value| value) / n as f64;
    if n < 2 {
        return (Some(mean), Measured::none(UndefinedReason::TooFew, n, 2));
    }
    let variance = total(&|value| (value - mean) * (value - mean)) / (n - 1) as f64;
    (Some(mean), Measured::Value(variance.sqrt()))
}

fn percentile(sorted: &[f64], undefined: usize, alpha: f64) -> Option<(f64, f64)> {
    let lower = quantile(sorted, undefined, 0.5 * alpha, true)?;
    Some((lower, quantile(sorted, undefined, 1.0 - 0.5 * alpha, false)?))
}

/// The quantile of sorted values and `undefined` more, which all lie below or all above; between two values in proportion
/// (Hyndman and Fan's type 7). `None` where it falls among the undefined.
fn quantile(sorted: &[f64], undefined: usize, level: f64, below: bool) -> Option<f64> {
    let position = level.clamp(0.0, 1.0) * (sorted.len() + undefined).checked_sub(1)? as f64;
    let shift = if below { undefined as f64 } else { 0.0 };
    let position = position - shift;
    if position < 0.0 {
        return None;
    }
    let (index, part) = (position.floor(), position.fract());
    let at = |index: f64| sorted.get(whole(index)).copied();
    let value = at(index)?;
    Some(if part > 0.0 { value + part * (at(index + 1.0)? - value) } else { value })
}

/// An index that is a whole f64 and not negative.
#[expect(clippy::cast_sign_loss, reason = "not negative, and the cast saturates")]
fn whole(index: f64) -> usize {
    index as usize
}

/// P(Z ≤ z).
fn normal_below(z: f64) -> f64 {
    ln_normal_sf(-z).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classification::LabelMetric;

    fn cells(counts: [u64; 4]) -> Confusion {
        from_slice(&counts)
    }

    fn groups() -> Vec<Confusion> {
        vec![cells([40, 5, 10, 45]), cells([3, 2, 1, 14]), cells([0, 0, 0, 0]), cells([300, 70, 80, 550])]
    }

    #[test]
    fn resamples_have_as_many_rows_as_the_data() {
        let groups = groups();
        let all = CellBootstrap::of(&groups, &BootstrapOptions::new(3).with_resamples(200)).unwrap();
        assert_eq!(all.resamples().len(), 200);
        assert!(all.resamples().all(|cells| cells.iter().map(Confusion::rows).sum::<u64>() == 1120));
        let within = BootstrapOptions::new(3).with_resamples(200).with_resampling(Resampling::WithinGroups);
        let within = CellBootstrap::of(&groups, &within).unwrap();
        assert!(within.resamples().all(|cells| cells.iter().zip(&groups).all(|(a, b)| a.rows() == b.rows())));
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let draw = |threads| {
            let options = BootstrapOptions::new(5).with_threads(Threads::new(threads));
            CellBootstrap::of(&groups(), &options).unwrap().resampled
        };
        assert_eq!(draw(1), draw(3));
    }

    #[test]
    fn the_spread_of_a_rate_is_binomial() {
        let bootstrap =
            CellBootstrap::of(&groups(), &BootstrapOptions::new(8).with_resamples(20_000)).unwrap();
        let estimate = bootstrap
            .estimate(0.95, BootstrapInterval::Percentile, |groups| {
                LabelMetric::Recall.from_counts(groups[0]).value()
            })
            .unwrap();
        // √(0.8 · 0.2 / 50), and a little more because the 50 positives vary too.
        let error = estimate.standard_error.value().unwrap();
        assert!((error / f64::sqrt(0.16 / 50.0) - 1.0).abs() < 0.04, "{error}");
        assert!(estimate.bias.value().unwrap().abs() < 0.002);
    }

    #[test]
    fn undefined_resamples_are_counted_and_widen_the_interval_until_there_is_none() {
        // One positive: about 37 % of the resamples have none.
        let lone = [cells([1, 0, 0, 999]), cells([25, 0, 25, 50])];
        let bootstrap = CellBootstrap::of(&lone, &BootstrapOptions::new(2)).unwrap();
        let recall =
            |group: usize| move |groups: &[Confusion]| LabelMetric::Recall.from_counts(groups[group]).value();
        let estimate = bootstrap.estimate(0.95, BootstrapInterval::Percentile, recall(0)).unwrap();
        assert!((600..900).contains(&estimate.undefined), "{}", estimate.undefined);
        assert_eq!(estimate.interval, None);
        let other = bootstrap.estimate(0.95, BootstrapInterval::Percentile, recall(1)).unwrap();
        assert_eq!(other.undefined, 0);
        assert!(other.interval.is_some());
        // Half of the tail undefined: the limit is that of a higher level of what is defined.
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 1, 0.25, true), Some(1.0));
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 1, 0.2, true), None);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 1, 0.75, false), Some(4.0));
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 1, 0.8, false), None);
    }

    #[test]
    fn hostile_options_are_refused() {
        let groups = groups();
        for resamples in [0, usize::MAX, 1 << 40] {
            let options = BootstrapOptions::new(1).with_resamples(resamples);
            assert!(matches!(CellBootstrap::of(&groups, &options), Err(StatsError::Parameter { .. })));
        }
        let options = BootstrapOptions::new(1).with_resamples(10);
        assert!(matches!(CellBootstrap::of(&[], &options), Err(StatsError::Empty { .. })));
        let zero = [Confusion::default()];
        assert!(matches!(CellBootstrap::of(&zero, &options), Err(StatsError::ZeroTotal { .. })));
        let full = [cells([u64::MAX, 1, 0, 0])];
        assert!(matches!(CellBootstrap::of(&full, &options), Err(StatsError::Overflow { .. })));
        let bootstrap = CellBootstrap::of(&groups, &options).unwrap();
        assert!(bootstrap.estimate(1.0, BootstrapInterval::Basic, |_| Some(1.0)).is_err());
        let nan = bootstrap.estimate(0.95, BootstrapInterval::Bca, |_| Some(f64::NAN)).unwrap();
        assert_eq!((nan.undefined, nan.interval, nan.value.value()), (10, None, None));
    }
}
