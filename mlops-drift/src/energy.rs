//! Energy distance of two samples of numbers.
//!
//! > D² = 2·E|X − Y| − E|X − X′| − E|Y − Y′| = 2 ∫ (F(x) − G(x))² dx,
//!
//! with the distribution functions F of the reference and G of the current sample (Székely and Rizzo, *Energy statistics: A class of
//! statistics based on distances*, Journal of Statistical Planning and Inference 143, 2013). The score is D, a metric, whose square has the
//! unit of the values; it is `scipy.stats.energy_distance`. There are no cells, and values far apart count more than values near
//! each other. Like every statistic on means of distances it needs a light tail: one value of 1e300 decides it.
//!
//! # The law under no drift
//! When nothing drifts all ways to split the n + m values are equally likely. Over these ways D² has the mean 2·c·∫H(1 − H) with
//! H the distribution function of all values and c = (1/n + 1/m)·N/(N − 1), N = n + m, exactly; its root is the noise floor. In the
//! limit D² is a weighted sum of squared normal variables. The first three cumulants of that sum follow from H in linear time, and the
//! p-value is that of the shifted and scaled χ² variable that shares them (Pearson's three-moment fit: Imhof, *Computing the
//! distribution of quadratic forms in normal variables*, Biometrika 48, 1961): near its level down to about 1e-4, and only a rank order
//! far beyond. Between two values it is exact in the limit.
//!
//! The interval turns a noncentral χ² law around that is scaled by two moments, or by the delta method where that is wider.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, NanPolicy, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::distance::{Definition, Distance, Interval};
use crate::family::LEVEL;
use crate::noncentral::noncentrality;
use crate::pair::Tail;
use crate::sample::{Sample, Side, Value};
use crate::special::ln_chi2_sf;
use crate::weighted::{Weighted, merge};

/// How [`energy_with`] treats NaN.
///
/// ```
/// use mlops_core::num::NanPolicy;
/// assert_eq!(mlops_drift::EnergyOptions::default().nan, NanPolicy::Raise);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnergyOptions {
    /// What a NaN is; an error by default. A distance cannot propagate one.
    pub nan: NanPolicy,
}

impl EnergyOptions {
    /// With this policy.
    #[must_use]
    pub fn with_nan(mut self, nan: NanPolicy) -> Self {
        self.nan = nan;
        self
    }
}

/// The energy distance of two samples; NaN is an error. O(n log n).
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::AllMissing`], [`StatsError::Nan`]; [`StatsError::NotFinite`] for an infinity.
///
/// ```
/// use mlops_drift::energy;
///
/// let distance = energy(&[0.0, 8.0], &[0.0, 6.0, 8.0])?;
/// assert!((distance.score - 0.6666666666666667).abs() < 1e-14);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn energy<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
) -> Result<Distance, StatsError> {
    energy_with(reference, current, &EnergyOptions::default())
}

/// The energy distance of two samples under given [`EnergyOptions`].
///
/// # Errors
/// As [`energy`]; [`StatsError::Unsupported`] for a NaN under [`NanPolicy::Propagate`].
///
/// ```
/// use mlops_core::num::NanPolicy;
/// use mlops_drift::{EnergyOptions, energy_with};
///
/// let options = EnergyOptions::default().with_nan(NanPolicy::Omit);
/// let distance = energy_with(&[1.0, f64::NAN], &[1.0, 1.0], &options)?;
/// assert_eq!((distance.score, distance.reference.missing), (0.0, 1));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn energy_with<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
    options: &EnergyOptions,
) -> Result<Distance, StatsError> {
    let (reference, current) = (reference.into(), current.into());
    let nan = without_propagation(options.nan, reference.has_nan() || current.has_nan())?;
    let (before, reference_side) = reference.present("reference", nan)?;
    let (after, current_side) = current.present("current", nan)?;
    let sorted = |values: &[T]| {
        let mut values: Vec<f64> = values.iter().map(|value| value.to_f64()).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    };
    finite("reference", reference)?;
    finite("current", current)?;
    Ok(measure(&sorted(&before), &sorted(&after), (reference_side, current_side)))
}

/// The energy distance of two samples in ascending order. Linear time, no allocation.
///
/// # Errors
/// As [`energy`]; [`StatsError::Unsorted`] with the index.
///
/// ```
/// use mlops_drift::energy_sorted;
/// assert!(energy_sorted(&[1.0, 2.0], &[1.0, 3.0])?.score > 0.0);
/// assert!(energy_sorted(&[2.0, 1.0], &[1.0]).is_err());
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn energy_sorted(reference: &[f64], current: &[f64]) -> Result<Distance, StatsError> {
    let side = |argument, values: &[f64]| {
        if values.is_empty() {
            return Err(StatsError::Empty { argument });
        }
        if let Some(index) = values.iter().position(|value| value.is_nan()) {
            return Err(StatsError::Nan { argument, index });
        }
        finite(argument, Sample::new(values))?;
        if let Some(index) = values.windows(2).position(|pair| pair[0] > pair[1]) {
            return Err(StatsError::Unsorted { argument, index: index + 1 });
        }
        let rows = values.len() as u64;
        Ok(Side { rows, used: rows, ..Side::default() })
    };
    let sides = (side("reference", reference)?, side("current", current)?);
    Ok(measure(reference, current, sides))
}

/// The energy distance where values have weights of their own: F and G are shares of weight. Weights need not add up to 1; a weight
/// of 0 leaves its value out, and a value that is left out takes its weight along. As `scipy.stats.energy_distance`, to 1e-12.
/// O((n + m) log(n + m)).
///
/// Noise floor, p and interval are those of samples of the effective sizes n = (Σw)²/Σw² and m (Kish, *Survey Sampling*, 1965,
/// section 8.2), with (n·F + m·G)/(n + m) as the distribution of all values: an approximation, made for weights that do not depend on
/// the values. With weights of 1 they are those of [`energy_with`].
///
/// # Errors
/// As [`energy_with`]; [`StatsError::LengthMismatch`], and what [`total`](mlops_core::num::weights::total) refuses.
///
/// ```
/// use mlops_drift::{EnergyOptions, energy_weighted};
///
/// let options = EnergyOptions::default();
/// let distance = energy_weighted(&[0.0, 8.0], &[1.0, 1.0], &[0.0, 6.0, 8.0], &[2.0, 2.0, 2.0], &options)?;
/// assert!((distance.score - 0.6666666666666667).abs() < 1e-14);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn energy_weighted<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    reference_weights: &[f64],
    current: impl Into<Sample<'b, T>>,
    current_weights: &[f64],
    options: &EnergyOptions,
) -> Result<Distance, StatsError> {
    let (reference, current) = (reference.into(), current.into());
    let nan = without_propagation(options.nan, reference.has_nan() || current.has_nan())?;
    let (a, before) = Weighted::new(("reference", reference), ("reference_weights", reference_weights), nan)?;
    let (b, mut after) = Weighted::new(("current", current), ("current_weights", current_weights), nan)?;
    for (argument, sample, weights, side) in
        [("reference", reference, reference_weights, before), ("current", current, current_weights, after)]
    {
        if side.infinite > 0 {
            finite_where(argument, sample, |index| weights.get(index).is_some_and(|weight| *weight > 0.0))?;
        }
    }
    after.unseen = b.outside(&a);
    Ok(distance(&Pass::over_weighted(&a, &b), (before, after)))
}

/// The policy for what is left to do; without a NaN there is nothing to propagate.
fn without_propagation(nan: NanPolicy, has_nan: bool) -> Result<NanPolicy, StatsError> {
    match nan {
        NanPolicy::Propagate if has_nan => {
            Err(StatsError::Unsupported { what: "propagating NaN", reason: "a distance is always a number" })
        }
        NanPolicy::Propagate => Ok(NanPolicy::Omit),
        other => Ok(other),
    }
}

fn finite<T: Value>(argument: &'static str, sample: Sample<'_, T>) -> Result<(), StatsError> {
    finite_where(argument, sample, |_| true)
}

/// Refuses an infinity among the rows that count.
fn finite_where<T: Value>(
    argument: &'static str,
    sample: Sample<'_, T>,
    counts: impl Fn(usize) -> bool,
) -> Result<(), StatsError> {
    let infinite = |&i: &usize| {
        let value = sample.values()[i];
        sample.is_valid(i) && !value.is_finite() && !value.is_nan() && counts(i)
    };
    match (0..sample.len()).find(infinite) {
        Some(index) => Err(StatsError::NotFinite { argument, index, value: sample.values()[index].to_f64() }),
        None => Ok(()),
    }
}

/// Both samples are sorted, finite and not empty.
fn measure(reference: &[f64], current: &[f64], (side, mut current_side): (Side, Side)) -> Distance {
    let lowest = reference.first().copied().unwrap_or(0.0);
    let highest = reference.last().copied().unwrap_or(0.0);
    current_side.unseen = current.iter().filter(|&&v| v < lowest || v > highest).count() as u64;
    distance(&Pass::over(reference, current), (side, current_side))
}

fn distance(sums: &Pass, (side, current_side): (Side, Side)) -> Distance {
    let unit = |square: f64| (2.0 * square).sqrt() * sums.root_range;
    let (noise, tail, interval) = match sums.law() {
        Some(law) => (law.mean, law.tail(sums.square), Some(law.interval(sums))),
        None => (0.0, nothing_varies(), None),
    };
    Distance {
        definition: Definition::Energy,
        score: unit(sums.square),
        noise_floor: unit(noise),
        corrected: unit((sums.square - noise).max(0.0)),
        p: tail.p,
        ln_p: tail.ln_p,
        interval: interval.map(|(low, high)| Interval { level: LEVEL, low: unit(low), high: unit(high) }),
        reference: side,
        current: current_side,
        cells: 0,
    }
}

fn nothing_varies() -> Tail {
    let none = Measured::none(UndefinedReason::Constant, 1, 2);
    Tail { p: none, ln_p: none }
}

/// What one pass over the distinct values of both samples adds up. Gaps between values are divided by the range of all values, so
/// that nothing overflows.
#[derive(Clone, Copy, Debug)]
struct Pass {
    /// The root of the range of all values.
    root_range: f64,
    /// ∫ (F − G)².
    square: f64,
    /// The traces of the first three powers of the kernel H(min)(1 − H(max)): ∫K(x, x), ∫∫K², ∫∫∫KKK.
    traces: [f64; 3],
    /// The variance of ∫ (F − G)² by the delta method.
    variance: f64,
    sizes: (f64, f64),
}

impl Pass {
    fn over(reference: &[f64], current: &[f64]) -> Self {
        let (n, m) = (reference.len() as u64, current.len() as u64);
        let ends = |values: &[f64]| values.first().copied().zip(values.last().copied()).unwrap_or((0.0, 0.0));
        let (a, b) = (ends(reference), ends(current));
        let extent = Extent::new(a.0.min(b.0), a.1.max(b.1));
        let mut sums = Sums::default();
        let (mut i, mut j) = (0, 0);
        let mut before = extent.low;
        while i < reference.len() || j < current.len() {
            let value = reference
                .get(i)
                .copied()
                .unwrap_or(f64::INFINITY)
                .min(current.get(j).copied().unwrap_or(f64::INFINITY));
            if let Some(gap) = extent.gap(before, value) {
                sums.gap(gap, Level::counted((i as u64, j as u64), (n, m)));
            }
            let (from, at) = (i, j);
            while reference.get(i).is_some_and(|&v| v <= value) {
                i += 1;
            }
            while current.get(j).is_some_and(|&v| v <= value) {
                j += 1;
            }
            sums.values((i - from) as f64, (j - at) as f64);
            before = value;
        }
        let sizes = (n as f64, m as f64);
        sums.finish(extent.root(), sizes, sizes)
    }

    /// The same with shares of weight for shares of values, and effective sizes for sizes.
    fn over_weighted<T: Value>(a: &Weighted<T>, b: &Weighted<T>) -> Self {
        let (n, m) = (a.size, b.size);
        let ends = [a.ends(), b.ends()].into_iter().flatten();
        let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (first, last)| {
            (low.min(first.to_f64()), high.max(last.to_f64()))
        });
        let extent = Extent::new(low, high);
        let mut sums = Sums::default();
        let (mut before, mut reached, mut difference) = (low, [0.0, 0.0], 0.0);
        merge(a, b, |block| {
            let value = block.value.to_f64();
            if let Some(gap) = extent.gap(before, value) {
                sums.gap(gap, Level::weighted(difference, reached, (n, m)));
            }
            sums.values(block.reached[0] - reached[0], block.reached[1] - reached[1]);
            (before, reached, difference) = (value, block.reached, block.difference);
        });
        sums.finish(extent.root(), (1.0, 1.0), (n, m))
    }

    /// The law of ∫ (F − G)² under no drift; `None` when all values are the same.
    fn law(&self) -> Option<Law> {
        let (n, m) = self.sizes;
        let all = n + m;
        let c = (1.0 / n + 1.0 / m) * all / (all - 1.0);
        let [one, two, three] = self.traces;
        let (mean, variance, third) = (c * one, 2.0 * c * c * two, 8.0 * c * c * c * three);
        (third > 0.0).then_some(Law { mean, variance, third })
    }
}

/// The range of all values.
#[derive(Clone, Copy, Debug)]
struct Extent {
    low: f64,
    /// One half where the range of doubles is exceeded, else 1.
    half: f64,
    /// The range times `half`.
    range: f64,
}

impl Extent {
    fn new(low: f64, high: f64) -> Self {
        let half = if (high - low).is_finite() { 1.0 } else { 0.5 };
        Self { low, half, range: high * half - low * half }
    }

    /// The share of the range between two values, unless there is none.
    fn gap(self, before: f64, value: f64) -> Option<f64> {
        (value > before && self.range > 0.0).then(|| (value * self.half - before * self.half) / self.range)
    }

    fn root(self) -> f64 {
        let plain = (self.range / self.half).sqrt();
        if plain.is_finite() { plain } else { self.range.sqrt() / f64::sqrt(self.half) }
    }
}

/// Where the distribution functions stand inside a gap.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// F − G.
    difference: f64,
    /// H and 1 − H of all values.
    below: f64,
    above: f64,
}

impl Level {
    /// After `i` of n reference and `j` of m current values.
    fn counted((i, j): (u64, u64), (n, m): (u64, u64)) -> Self {
        let (left, right) = (u128::from(i) * u128::from(m), u128::from(j) * u128::from(n));
        let size = left.abs_diff(right) as f64 / (n as f64 * m as f64);
        let all = n as f64 + m as f64;
        Self {
            difference: if left < right { -size } else { size },
            below: (i + j) as f64 / all,
            above: (n - i + m - j) as f64 / all,
        }
    }

    fn weighted(difference: f64, [f, g]: [f64; 2], (n, m): (f64, f64)) -> Self {
        let mean = |f: f64, g: f64| (n * f + m * g) / (n + m);
        Self { difference, below: mean(f, g), above: mean(1.0 - f, 1.0 - g) }
    }
}

/// Three cumulants.
#[derive(Clone, Copy, Debug)]
struct Law {
    mean: f64,
    variance: f64,
    third: f64,
}

impl Law {
    /// P(a·χ²(ν) + b ≥ x) with these cumulants: 2aν + … by Pearson's fit.
    fn tail(self, x: f64) -> Tail {
        if x == 0.0 {
            return Tail::from_ln(0.0);
        }
        let scale = self.third / (4.0 * self.variance);
        let dof = 8.0 * (self.variance / self.third) * (self.variance / self.third) * self.variance;
        let chi2 = (x - (self.mean - scale * dof)) / scale;
        Tail::from_ln(ln_chi2_sf(chi2.max(0.0), dof.max(1.0)).min(0.0))
    }

    /// The scale of the χ² law is that of the delta method where that is larger: a shift along the widest direction of the kernel.
    fn interval(self, sums: &Pass) -> (f64, f64) {
        let far = (sums.square - self.mean).max(sums.square / 4.0);
        let delta = if far > 0.0 { sums.variance / (4.0 * far) } else { 0.0 };
        let unit = delta.max(self.variance / (2.0 * self.mean));
        let (low, high) = noncentrality(sums.square / unit, self.mean / unit);
        (low * unit, (high * unit).max(sums.square))
    }
}

/// Running sums of [`Pass`].
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    square: Sum,
    traces: [Sum; 3],
    /// Σ A, Σ A·B and Σ B·ΣA over the gaps so far; see [`Self::gap`].
    a: Sum,
    ab: Sum,
    a_then_b: Sum,
    /// ∫ (F − G) so far.
    area: Sum,
    /// First and second moments of that integral over the values of each side.
    moments: [[Sum; 2]; 2],
}

impl Sums {
    fn gap(&mut self, gap: f64, Level { difference, below, above }: Level) {
        self.square.push(gap * difference * difference);
        self.area.push(gap * difference);

        // K(t, u)·K(u, v)·K(t, v) is A(t)·B(u)·C(v) for gaps t ≤ u ≤ v.
        let (a, b, c) = (gap * below * below, gap * below * above, gap * above * above);
        let (past_a, past_ab, past_both) = (self.a.value(), self.ab.value(), self.a_then_b.value());
        self.traces[0].push(b);
        self.traces[1].push(c * (a + 2.0 * past_a));
        self.traces[2].push(c * (a * b + 3.0 * past_ab + 3.0 * b * past_a + 6.0 * past_both));
        self.a_then_b.push(b * past_a);
        self.ab.push(a * b);
        self.a.push(a);
    }

    /// So many values of each side at the present place, or so much of their weight.
    fn values(&mut self, reference: f64, current: f64) {
        let area = self.area.value();
        for (moments, count) in self.moments.iter_mut().zip([reference, current]) {
            moments[0].push(count * area);
            moments[1].push(count * area * area);
        }
    }

    /// With what counts or weights add up to, and the sizes of the samples.
    fn finish(&self, root_range: f64, totals: (f64, f64), sizes: (f64, f64)) -> Pass {
        let spread = |[first, second]: [Sum; 2], total: f64, size: f64| {
            (second.value() / total - (first.value() / total).powi(2)).max(0.0) / size
        };
        let [reference, current] = self.moments;
        let variance = 4.0 * (spread(reference, totals.0, sizes.0) + spread(current, totals.1, sizes.1));
        Pass {
            root_range,
            square: self.square.value(),
            traces: self.traces.map(|sum| sum.value()),
            variance,
            sizes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_traces_are_those_of_the_kernel_matrix() {
        let (a, b) = ([0.0, 1.0, 1.0, 4.0], [0.5, 1.0, 6.0]);
        let pass = Pass::over(&a, &b);
        let points = [0.0, 0.5, 1.0, 4.0, 6.0];
        let below = [1.0 / 7.0, 2.0 / 7.0, 5.0 / 7.0, 6.0 / 7.0];
        let gaps: Vec<f64> = points.windows(2).map(|p| (p[1] - p[0]) / 6.0).collect();
        let kernel = |t: usize, u: usize| below[t.min(u)] * (1.0 - below[t.max(u)]);
        let (mut one, mut two, mut three) = (0.0, 0.0, 0.0);
        for t in 0..4 {
            one += gaps[t] * kernel(t, t);
            for u in 0..4 {
                two += gaps[t] * gaps[u] * kernel(t, u).powi(2);
                for v in 0..4 {
                    three += gaps[t] * gaps[u] * gaps[v] * kernel(t, u) * kernel(u, v) * kernel(t, v);
                }
            }
        }
        for (got, want) in pass.traces.iter().zip([one, two, three]) {
            assert!((got - want).abs() < 1e-15, "{got} {want}");
        }
    }

    #[test]
    fn the_noise_floor_is_the_mean_over_all_splits() {
        let values = [0.0, 1.0, 1.0, 2.5, 7.0, 7.5, 9.0];
        let (mut total, mut splits) = (0.0, 0.0);
        for split in (0_u32..1 << 7).filter(|split| split.count_ones() == 3) {
            let side = |bit: u32| -> Vec<f64> {
                (0..7).filter(|i| split >> i & 1 == bit).map(|i| values[i]).collect()
            };
            total += energy_sorted(&side(1), &side(0)).unwrap().score.powi(2);
            splits += 1.0;
        }
        let floor = energy_sorted(&values[..3], &values[3..]).unwrap().noise_floor;
        assert!((floor.powi(2) - total / splits).abs() < 1e-12, "{floor}");
    }

    #[test]
    fn the_largest_doubles_are_measured() {
        let far = energy(&[f64::MIN, f64::MIN], &[f64::MAX]).unwrap();
        assert!((far.score / (2.0 * f64::MAX.sqrt()) - 1.0).abs() < 1e-12, "{far:?}");
        let tiny = energy(&[0.0], &[5e-324]).unwrap();
        assert!((tiny.score / (2.0f64.sqrt() * 5e-324f64.sqrt()) - 1.0).abs() < 1e-12, "{tiny:?}");
    }

    #[test]
    fn two_values_have_the_law_of_a_difference_of_shares() {
        let mut a = vec![0.0; 480];
        a.extend([1.0; 520]);
        let mut b = vec![0.0; 520];
        b.extend([1.0; 480]);
        let got = energy(&a, &b).unwrap().p.value().unwrap();
        // The same with N − 1 for N: by scipy 1.17.1 `2*norm.sf(0.04/sqrt(.25*.002*2000/1999))`.
        let z = 0.04 / (0.25 * 0.002 * 2000.0 / 1999.0_f64).sqrt();
        assert!((got.ln() - ln_chi2_sf(z * z, 1.0)).abs() < 1e-9, "{got}");
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        let refused = energy(&[0.0], &[1.0, f64::INFINITY]);
        assert_eq!(
            refused,
            Err(StatsError::NotFinite { argument: "current", index: 1, value: f64::INFINITY })
        );
    }
}
