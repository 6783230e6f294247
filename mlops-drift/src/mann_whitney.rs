//! Mann–Whitney U test (Wilcoxon's rank-sum test): are the current values larger, on the whole?
//!
//! Over all n·m pairs of a reference value x and a current value y,
//!
//! > U = #(y > x) + ½ #(y = x),
//!
//! in [0, n·m], and U/(n·m) estimates the probability that a current value exceeds a reference value: ½ where nothing drifts.
//! U depends on the order of the values only (Mann and Whitney, *On a test of whether one of two random variables is
//! stochastically larger than the other*, Ann. Math. Stat. 18, 1947). Infinities are ordinary, extreme values.
//!
//! # The p-value
//! - **Exact**: the share of the assignments of the pooled values to the two sides with a U as extreme, **given the values that
//!   are tied**, by counting along the ordered sample. Without ties this is SciPy's `method="exact"`. Two-sided p is twice the
//!   smaller tail, at most 1.
//! - **Asymptotic**: the normal law with variance nm/12·(N + 1 − Σ(t³ − t)/(N(N − 1))) over the groups of t tied values, with
//!   a continuity correction of ½: SciPy's `method="asymptotic"`.
//!
//! [`MannWhitneyMethod::Auto`] counts exactly up to 2²² ≈ 4e6 steps (min(n, m)·(n + m)·U of them in the
//! tail), so always where n, m ≤ 30, and takes the normal law beyond.
//!
//! There is no weighted form: ranks under sampling weights have no agreed null law. Whole-number weights are counts:
//! [`mann_whitney_from_counts`].

use mlops_core::num::{Measured, NanPolicy, StatsError};
use serde::{Deserialize, Serialize};

use crate::alternative::Alternative;
use crate::pair::{Pair, Tail};
use crate::sample::{Sample, Side, Value};
use crate::special::{ln_choose, ln_normal_sf};
use crate::two::{Blocks, Sides, Two, check_sorted};

/// How the p-value is computed; see the [module](self).
///
/// ```
/// assert_eq!(mlops_drift::MannWhitneyMethod::default(), mlops_drift::MannWhitneyMethod::Auto);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MannWhitneyMethod {
    /// Exact up to 2²² steps, normal beyond. The default; never found in a result.
    #[default]
    Auto,
    /// Exact given the ties; refused beyond 2³⁰ steps, and where there are more than about 1e304 assignments.
    Exact,
    /// The normal law with corrections for ties and continuity.
    Asymptotic,
}

/// How [`mann_whitney_with`] treats NaN, what it looks for and how it computes p.
///
/// ```
/// use mlops_drift::{Alternative, MannWhitneyOptions};
/// let options = MannWhitneyOptions::default().with_alternative(Alternative::Greater);
/// assert_eq!(options.alternative, Alternative::Greater);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MannWhitneyOptions {
    /// What to do with NaN; an error by default.
    pub nan: NanPolicy,
    /// Which deviations count.
    pub alternative: Alternative,
    /// How p is computed.
    pub method: MannWhitneyMethod,
}

impl MannWhitneyOptions {
    /// With this NaN policy.
    #[must_use]
    pub fn with_nan(mut self, nan: NanPolicy) -> Self {
        self.nan = nan;
        self
    }

    /// With this alternative.
    #[must_use]
    pub fn with_alternative(mut self, alternative: Alternative) -> Self {
        self.alternative = alternative;
        self
    }

    /// With this method.
    #[must_use]
    pub fn with_method(mut self, method: MannWhitneyMethod) -> Self {
        self.method = method;
        self
    }
}

/// The result of a Mann–Whitney test.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MannWhitney {
    /// U of the current sample in [0, n·m]; undefined under [`NanPolicy::Propagate`] when there is a NaN.
    pub statistic: Measured,
    /// U/(n·m): how often a current value exceeds a reference value, ties counted by half. The area under the ROC curve.
    pub superiority: Measured,
    /// P(as extreme or more | no drift).
    pub p: Measured,
    /// The natural logarithm of `p`, finite where `p` is too small for a double.
    pub ln_p: Measured,
    /// Which deviations counted.
    pub alternative: Alternative,
    /// How `p` was computed; never [`MannWhitneyMethod::Auto`].
    pub method: MannWhitneyMethod,
    /// Whether some value occurs more than once in the pooled sample.
    pub ties: bool,
    /// What became of the reference values.
    pub reference: Side,
    /// What became of the current values.
    pub current: Side,
}

/// The two-sided test; NaN is an error. O(N log N) before the p-value.
///
/// U agrees with `scipy.stats.mannwhitneyu(current, reference)` exactly, p to 1e-10 for the same method.
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::AllMissing`] name the argument.
///
/// ```
/// use mlops_core::num::Measured;
/// use mlops_drift::mann_whitney;
///
/// let test = mann_whitney(&[1.0, 2.0, 3.0], &[2.5, 4.0, 5.0, 6.0])?;
/// assert_eq!((test.statistic, test.superiority), (Measured::Value(11.0), Measured::Value(11.0 / 12.0)));
/// assert!(test.p.value().is_some_and(|p| (p - 4.0 / 35.0).abs() < 1e-15));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn mann_whitney<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
) -> Result<MannWhitney, StatsError> {
    mann_whitney_with(reference, current, &MannWhitneyOptions::default())
}

/// The test under given [`MannWhitneyOptions`].
///
/// # Errors
/// As [`mann_whitney`]; [`StatsError::Parameter`] when [`MannWhitneyMethod::Exact`] is out of reach.
///
/// ```
/// use mlops_drift::{Alternative, MannWhitneyOptions, mann_whitney_with};
///
/// let options = MannWhitneyOptions::default().with_alternative(Alternative::Less);
/// let test = mann_whitney_with(&[4_i64, 5, 6], &[1, 2, 3], &options)?;
/// assert!(test.p.value().is_some_and(|p| (p - 0.05).abs() < 1e-15)); // one of 20 assignments
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn mann_whitney_with<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
    options: &MannWhitneyOptions,
) -> Result<MannWhitney, StatsError> {
    let two = Two::new(reference, current, options.nan)?;
    if let Some(none) = two.undefined {
        let Sides { reference, current } = two.sides;
        let (alternative, method) = (options.alternative, MannWhitneyMethod::Exact);
        let (statistic, superiority, p, ln_p, ties) = (none, none, none, none, false);
        return Ok(MannWhitney {
            statistic,
            superiority,
            p,
            ln_p,
            alternative,
            method,
            ties,
            reference,
            current,
        });
    }
    let (a, b) = two.sorted_keys();
    test(Blocks::new(&a, &b), two.sides, options)
}

/// The test on two samples in ascending order: no copies, and no allocation but for exact p-values.
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::Unsorted`] with the index; as [`mann_whitney_with`].
///
/// ```
/// use mlops_drift::{MannWhitneyOptions, mann_whitney_sorted};
/// assert!(mann_whitney_sorted(&[1.0, 2.0], &[1.5], &MannWhitneyOptions::default()).is_ok());
/// assert!(mann_whitney_sorted(&[2.0, 1.0], &[1.5], &MannWhitneyOptions::default()).is_err());
/// ```
pub fn mann_whitney_sorted<T: Value>(
    reference: &[T],
    current: &[T],
    options: &MannWhitneyOptions,
) -> Result<MannWhitney, StatsError> {
    check_sorted("reference", reference)?;
    check_sorted("current", current)?;
    test(Blocks::new(reference, current), Sides::sorted(reference, current), options)
}

/// The test on counts over the same **ordered** cells: values in one cell are ties. Linear time before the p-value.
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::ZeroTotal`], [`StatsError::Overflow`]; as
/// [`mann_whitney_with`].
///
/// ```
/// use mlops_drift::{MannWhitneyOptions, mann_whitney, mann_whitney_from_counts};
///
/// // Ratings from 1 to 3 stars, counted and one by one.
/// let counted = mann_whitney_from_counts(&[3, 1, 0], &[1, 1, 2], &MannWhitneyOptions::default())?;
/// let listed = mann_whitney(&[1_u8, 1, 1, 2], &[1, 2, 3, 3])?;
/// assert_eq!((counted.statistic, counted.p), (listed.statistic, listed.p));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn mann_whitney_from_counts(
    reference: &[u64],
    current: &[u64],
    options: &MannWhitneyOptions,
) -> Result<MannWhitney, StatsError> {
    let pair = Pair::new(reference, current)?;
    test(pair.occupied(), Sides::whole(pair.n, pair.m), options)
}

/// What one pass over the ordered sample tells.
struct Ranked {
    n: u64,
    m: u64,
    /// 2U of the current sample.
    twice_u: u128,
    /// Σ(t³ − t) over the groups of t tied values.
    tie_sum: f64,
    ties: bool,
}

impl Ranked {
    fn new(blocks: impl Iterator<Item = (u64, u64)>) -> Self {
        let mut ranked = Self { n: 0, m: 0, twice_u: 0, tie_sum: 0.0, ties: false };
        for (a, b) in blocks {
            ranked.twice_u += u128::from(b) * (2 * u128::from(ranked.n) + u128::from(a));
            (ranked.n, ranked.m) = (ranked.n + a, ranked.m + b);
            let t = (a + b) as f64;
            ranked.tie_sum += t * (t - 1.0) * (t + 1.0);
            ranked.ties |= a + b > 1;
        }
        ranked
    }

    fn pairs(&self) -> u128 {
        u128::from(self.n) * u128::from(self.m)
    }

    /// (U − nm/2 − shift)/σ; `None` where every value is tied.
    fn z(&self, twice_u: u128, shift: f64) -> Option<f64> {
        let (n, m) = (self.n as f64, self.m as f64);
        let total = n + m;
        let cubes = total * (total - 1.0) * (total + 1.0);
        let variance = n * m / 12.0 * ((cubes - self.tie_sum) / total / (total - 1.0));
        let twice_off = if twice_u >= self.pairs() {
            (twice_u - self.pairs()) as f64
        } else {
            -((self.pairs() - twice_u) as f64)
        };
        (variance > 0.0).then(|| (twice_off / 2.0 - shift) / variance.sqrt())
    }

    fn ln_p_normal(&self, alternative: Alternative) -> f64 {
        let other = 2 * self.pairs() - self.twice_u;
        let tail = |twice_u| self.z(twice_u, 0.5).map_or(0.0, ln_normal_sf);
        match alternative {
            Alternative::Greater => tail(self.twice_u),
            Alternative::Less => tail(other),
            Alternative::TwoSided => (tail(self.twice_u.max(other)) + std::f64::consts::LN_2).min(0.0),
        }
    }
}

fn test(
    blocks: impl Iterator<Item = (u64, u64)> + Clone,
    sides: Sides,
    options: &MannWhitneyOptions,
) -> Result<MannWhitney, StatsError> {
    let ranked = Ranked::new(blocks.clone());
    let alternative = options.alternative;
    let exact = match options.method {
        MannWhitneyMethod::Asymptotic => None,
        MannWhitneyMethod::Auto => exact(&ranked, blocks, alternative, 1 << 22).ok(),
        MannWhitneyMethod::Exact => Some(exact(&ranked, blocks, alternative, 1 << 30)?),
    };
    let method = if exact.is_some() { MannWhitneyMethod::Exact } else { MannWhitneyMethod::Asymptotic };
    let tail = Tail::from_ln(exact.unwrap_or_else(|| ranked.ln_p_normal(alternative)));
    let u = ranked.twice_u as f64 / 2.0;
    let (statistic, superiority) = (Measured::Value(u), Measured::Value(u / ranked.pairs() as f64));
    let Sides { reference, current } = sides;
    let (p, ln_p, ties) = (tail.p, tail.ln_p, ranked.ties);
    Ok(MannWhitney { statistic, superiority, p, ln_p, alternative, method, ties, reference, current })
}

/// ln p by counting assignments, in at most so many steps.
fn exact(
    ranked: &Ranked,
    blocks: impl Iterator<Item = (u64, u64)>,
    alternative: Alternative,
    steps: u128,
) -> Result<f64, StatsError> {
    let (low, high) = (ranked.twice_u, 2 * ranked.pairs() - ranked.twice_u);
    let bound = match alternative {
        Alternative::TwoSided => low.min(high),
        Alternative::Less => low,
        Alternative::Greater => high,
    };
    let unit = if ranked.ties { 1 } else { 2 };
    let width = bound / unit + 1;
    let cost = u128::from(ranked.n.min(ranked.m)) * u128::from(ranked.n + ranked.m);
    let cost = cost.saturating_mul(width);
    let all = ln_choose(ranked.n + ranked.m, ranked.n);
    if cost > steps || all > 700.0 {
        let reason = "needs too many steps for an exact p-value";
        return Err(StatsError::Parameter { parameter: "method", value: cost as f64, reason });
    }
    let mut sizes: Vec<usize> = blocks.map(|(a, b)| (a + b) as usize).collect();
    // U ≤ u of one side, walked upwards, is U ≥ nm − u of the other, which walked downwards is U ≤ u again.
    let current_first = ranked.m <= ranked.n;
    let greater = match alternative {
        Alternative::TwoSided => high < low,
        Alternative::Less => false,
        Alternative::Greater => true,
    };
    if current_first == greater {
        sizes.reverse();
    }
    let (few, many) = (ranked.n.min(ranked.m) as usize, ranked.n.max(ranked.m) as usize);
    let (ways, at_bound) = Counting { few, many, unit: unit as usize, width: width as usize }.count(&sizes);
    let ln_tail = ways.ln() - all;
    if alternative != Alternative::TwoSided {
        return Ok(ln_tail.min(0.0));
    }
    // Ties can make the law lopsided: the tail on the side of the bound need not be the smaller one.
    let opposite = 1.0 - ln_tail.exp() + (at_bound.ln() - all).exp();
    Ok((ln_tail.min(opposite.ln()) + std::f64::consts::LN_2).min(0.0))
}

/// Counts the assignments whose U stays within a bound.
struct Counting {
    few: usize,
    many: usize,
    /// 2U comes in multiples of this.
    unit: usize,
    /// How many values of 2U/unit are within the bound.
    width: usize,
}

impl Counting {
    /// The number of ways to make `few` of the values, which come in tied groups of these sizes, members of a side whose U
    /// (pairs in which its value comes later) stays within the bound, and to make U equal to it.
    fn count(&self, sizes: &[usize]) -> (f64, f64) {
        // ways[taken][2U/unit], for the groups so far.
        let mut ways = vec![vec![0.0; self.width]; self.few + 1];
        if let Some(first) = ways.first_mut().and_then(|row| row.first_mut()) {
            *first = 1.0;
        }
        let mut before = 0;
        for &size in sizes {
            for taken in (0..=self.few.min(before + size)).rev() {
                let (lower, row) = ways.split_at_mut(taken);
                let Some(row) = row.first_mut() else { continue };
                // Too many would be left for the other side.
                if before + size - taken > self.many {
                    row.fill(0.0);
                    continue;
                }
                let mut choices = 1.0;
                for now in 1..=size.min(taken) {
                    choices *= (size + 1 - now) as f64 / now as f64;
                    let earlier = taken - now;
                    if earlier > before || before - earlier > self.many {
                        continue;
                    }
                    let shift = now * (2 * (before - earlier) + size - now) / self.unit;
                    add_shifted(row, &lower[earlier], shift, choices);
                }
            }
            before += size;
        }
        let row = ways.pop().unwrap_or_default();
        (row.iter().sum(), row.last().copied().unwrap_or(0.0))
    }
}

/// `into[i + shift] += from[i]·factor`, as far as it goes.
fn add_shifted(into: &mut [f64], from: &[f64], shift: usize, factor: f64) {
    if let Some(into) = into.get_mut(shift..) {
        into.iter_mut().zip(from).for_each(|(sum, ways)| *sum += ways * factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twice_u(a: &[f64], b: &[f64]) -> i32 {
        b.iter().flat_map(|y| a.iter().map(move |x| if y > x { 2 } else { i32::from(x == y) })).sum()
    }

    /// Every assignment of the pooled values, one by one: P(U ≤ u) and P(U ≥ u).
    fn by_enumeration(a: &[f64], b: &[f64]) -> (f64, f64) {
        let pooled: Vec<f64> = a.iter().chain(b).copied().collect();
        let observed = twice_u(a, b);
        let (mut below, mut above, mut all) = (0, 0, 0);
        for mask in 0u32..1 << pooled.len() {
            if mask.count_ones() as usize == a.len() {
                let pick = |side| {
                    let chosen = pooled.iter().enumerate().filter(move |(i, _)| mask >> i & 1 == side);
                    chosen.map(|(_, v)| *v).collect::<Vec<f64>>()
                };
                let u = twice_u(&pick(1), &pick(0));
                (below, above, all) =
                    (below + i32::from(u <= observed), above + i32::from(u >= observed), all + 1);
            }
        }
        (f64::from(below) / f64::from(all), f64::from(above) / f64::from(all))
    }

    #[test]
    fn p_is_the_share_of_assignments() {
        let samples: [(&[f64], &[f64]); 8] = [
            (&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.5, 3.5, 6.0, 7.0]),
            (&[1.0, 1.0, 2.0, 2.0, 3.0], &[2.0, 3.0, 3.0, 3.0]),
            (&[2.0, 3.0, 3.0, 3.0], &[1.0, 1.0, 2.0, 2.0, 3.0, 9.0, 9.0]),
            (&[0.0, 0.0, 0.0, 1.0], &[0.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
            (&[1.0; 4], &[1.0; 5]),
            (&[1.0; 4], &[2.0; 5]),
            (&[2.0], &[1.0, 3.0, 4.0]),
            (&[-0.0, f64::INFINITY], &[0.0, f64::NEG_INFINITY, f64::NEG_INFINITY, 1.0]),
        ];
        for (a, b) in samples {
            let (below, above) = by_enumeration(a, b);
            for (alternative, expected) in [
                (Alternative::Less, below),
                (Alternative::Greater, above),
                (Alternative::TwoSided, (2.0 * below.min(above)).min(1.0)),
            ] {
                let options = MannWhitneyOptions::default().with_alternative(alternative);
                let got = mann_whitney_with(a, b, &options).unwrap();
                let p = got.p.value().unwrap();
                assert!(
                    (p - expected).abs() <= 1e-13 * expected,
                    "{a:?} {b:?} {alternative:?}: {p} is not {expected}"
                );
                assert_eq!(got.statistic, Measured::Value(f64::from(twice_u(a, b)) / 2.0));
            }
        }
    }

    #[test]
    fn the_methods_meet_where_they_should() {
        let a: Vec<f64> = (0..45).map(f64::from).collect();
        let b: Vec<f64> = (0..40).map(|i| 1.2 * f64::from(i) + 4.25).collect();
        let p = |method| {
            let options = MannWhitneyOptions::default().with_method(method);
            mann_whitney_with(&a, &b, &options).unwrap().ln_p.value().unwrap()
        };
        let (exact, normal) = (p(MannWhitneyMethod::Exact), p(MannWhitneyMethod::Asymptotic));
        assert!((exact - normal).abs() < 0.01, "{exact} {normal}");
    }

    #[test]
    fn an_exact_p_value_out_of_reach_is_refused() {
        let a: Vec<i32> = (0..3000).collect();
        let options = MannWhitneyOptions::default().with_method(MannWhitneyMethod::Exact);
        let error = mann_whitney_with(&a, &a, &options).unwrap_err();
        assert!(matches!(error, StatsError::Parameter { parameter: "method", .. }));
    }
}
