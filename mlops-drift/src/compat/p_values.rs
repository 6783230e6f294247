//! The hypothesis tests of other tools: their p-values, by SciPy's choice of method where the tool leaves it to SciPy.

use mlops_core::num::{Measured, NanPolicy, StatsError};

use super::{kstwo, scores::sorted, total};
use crate::anderson_darling::variance;
use crate::cramer_von_mises::ln_p_as_if_untied;
use crate::pair::{Pair, Tail};
use crate::two::{Blocks, Two};
use crate::{
    Alternative, KsMethod, MannWhitneyMethod, MannWhitneyOptions, ProportionsOptions, TTestMethod,
    TTestOptions, epps_singleton, fisher_from_counts, ks_sorted, mann_whitney_with, proportions_from_counts,
    t_test_with,
};

/// From this many rows on SciPy's KS is not exact.
const KS_EXACT: usize = 10_000;
/// Up to this many rows Evidently's Cramér–von Mises is exact.
const CVM_EXACT: u64 = 20;
/// Up to this many rows on some side SciPy's Mann–Whitney is exact.
const MANN_WHITNEY_EXACT: usize = 8;

pub(super) fn refused(reason: &'static str) -> StatsError {
    StatsError::Unsupported { what: "this preset", reason }
}

fn value(p: Measured) -> Result<f64, StatsError> {
    p.value().ok_or(refused("the p-value is undefined"))
}

/// `scipy.stats.ks_2samp(a, b)`.
pub(super) fn ks(a: &[f64], b: &[f64]) -> Result<f64, StatsError> {
    let (x, y) = (sorted(a), sorted(b));
    if x.len().max(y.len()) <= KS_EXACT {
        return value(ks_sorted(&x, &y, KsMethod::ExactContinuous)?.p);
    }
    let d = value(ks_sorted(&x, &y, KsMethod::Asymptotic)?.statistic)?;
    kstwo::two_sample(d, x.len(), y.len())
}

/// `scipy.stats.ttest_ind(a, b)`: Student's.
pub(super) fn t(a: &[f64], b: &[f64]) -> Result<f64, StatsError> {
    value(t_test_with(a, b, &TTestOptions::default().with_method(TTestMethod::Student))?.p)
}

/// `scipy.stats.mannwhitneyu(a, b, alternative="less")`.
pub(super) fn mann_whitney(a: &[f64], b: &[f64]) -> Result<f64, StatsError> {
    // The reference is less where the current sample is greater.
    let options = MannWhitneyOptions::default().with_alternative(Alternative::Greater);
    let limit = mann_whitney_with(a, b, &options.with_method(MannWhitneyMethod::Asymptotic))?;
    if a.len().min(b.len()) > MANN_WHITNEY_EXACT || limit.ties {
        return value(limit.p);
    }
    value(mann_whitney_with(a, b, &options.with_method(MannWhitneyMethod::Exact))?.p)
}

/// `scipy.stats.epps_singleton_2samp(a, b)`.
pub(super) fn epps(a: &[f64], b: &[f64]) -> Result<f64, StatsError> {
    value(epps_singleton(a, b)?.p)
}

/// Groups of tied values, each as how many of them are on either side.
fn blocks(a: &[f64], b: &[f64]) -> Result<Vec<(u64, u64)>, StatsError> {
    let (a, b) = Two::new(a, b, NanPolicy::Raise)?.sorted_keys();
    Ok(Blocks::new(&a, &b).collect())
}

/// `scipy.stats.anderson_ksamp([a, b])`: midranks, and p from a parabola through a table of Scholz and Stephens that ends at 0.25 and
/// 0.001.
pub(super) fn anderson(a: &[f64], b: &[f64]) -> Result<f64, StatsError> {
    let blocks = blocks(a, b)?;
    if blocks.len() < 2 {
        return Err(refused("all values are equal"));
    }
    if a.len() + b.len() < 4 {
        return Err(refused("fewer than four values have no p-value"));
    }
    let (n, m) = (a.len() as f64, b.len() as f64);
    let all = n + m;
    let (mut left, mut right) = (0.0, 0.0);
    let term = |&(x, y): &(u64, u64)| {
        let (x, y) = (x as f64, y as f64);
        let (i, j) = (left + x / 2.0, right + y / 2.0);
        (left, right) = (left + x, right + y);
        let (tied, below) = (x + y, i + j);
        let gaps = (all * i - below * n).powi(2) / n + (all * j - below * m).powi(2) / m;
        tied / all * gaps / (below * (all - below) - all * tied / 4.0)
    };
    let statistic = total(blocks.iter().map(term)) * (all - 1.0) / all;
    let sizes = [a.len() as u64, b.len() as u64];
    Ok(scholz_stephens((statistic - 1.0) / variance(&sizes, sizes[0] + sizes[1]).sqrt()))
}

/// The table for two samples, between its ends by SciPy's parabola through ln p.
fn scholz_stephens(standardised: f64) -> f64 {
    const B: [(f64, f64, f64); 7] = [
        (0.675, -0.245, -0.105),
        (1.281, 0.25, -0.305),
        (1.645, 0.678, -0.362),
        (1.96, 1.149, -0.391),
        (2.326, 1.822, -0.396),
        (2.573, 2.364, -0.345),
        (3.085, 3.615, -0.154),
    ];
    const LEVELS: [f64; 7] = [0.25, 0.1, 0.05, 0.025, 0.01, 0.005, 0.001];
    let critical = B.map(|(b0, b1, b2)| b0 + b1 + b2);
    if standardised < critical[0] {
        return LEVELS[0];
    }
    if standardised > critical[6] {
        return LEVELS[6];
    }
    // Least squares on polynomials that are orthogonal over the seven points.
    let sum = |f: &dyn Fn(f64) -> f64| total(critical.iter().map(|&x| f(x)));
    let mean = sum(&|x| x) / 7.0;
    let linear = |x: f64| x - mean;
    let spread = sum(&|x| linear(x).powi(2));
    let skew = sum(&|x| linear(x).powi(3)) / spread;
    let square = |x: f64| linear(x) * (linear(x) - skew) - spread / 7.0;
    let onto = |f: &dyn Fn(f64) -> f64| {
        let along = total(critical.iter().zip(LEVELS).map(|(&x, level)| level.ln() * f(x)));
        along / sum(&|x| f(x).powi(2)) * f(standardised)
    };
    (onto(&|_| 1.0) + onto(&linear) + onto(&square)).exp()
}

/// Evidently's Cramér–von Mises: midranks, and the law without ties, exact up to 20 rows.
pub(super) fn cramer_von_mises(a: &[f64], b: &[f64]) -> Result<f64, StatsError> {
    if a.len().min(b.len()) < 2 {
        return Err(refused("it needs two values a side"));
    }
    let (n, m) = (a.len() as f64, b.len() as f64);
    let (mut left, mut right, mut sum) = (0.0_f64, 0.0_f64, Vec::new());
    for (x, y) in blocks(a, b)? {
        let (x, y) = (x as f64, y as f64);
        let rank = left + right + (x + y + 1.0) / 2.0;
        // Σ (rank − i)² over the x values of a side, which have the places from `before` + 1 on in it.
        let squares = |before: f64, x: f64| {
            let gap = rank - before - (x + 1.0) / 2.0;
            x * gap * gap + x * (x * x - 1.0) / 12.0
        };
        sum.push(n * squares(left, x) + m * squares(right, y));
        (left, right) = (left + x, right + y);
    }
    let (pairs, all) = (n * m, n + m);
    let t = total(sum.into_iter()) / (pairs * all) - (4.0 * pairs - 1.0) / (6.0 * all);
    let (n, m) = (a.len() as u64, b.len() as u64);
    Ok(ln_p_as_if_untied((n, m), t, n.max(m) <= CVM_EXACT)?.exp())
}

/// Goodness of fit of the current counts to the shares of the reference; a new category makes p = 0.
pub(super) fn goodness_of_fit(pair: &Pair<'_>) -> Result<f64, StatsError> {
    let ratio = pair.m as f64 / pair.n as f64;
    let term = |(a, b): (u64, u64)| {
        let expected = a as f64 * ratio;
        (b as f64 - expected).powi(2) / expected
    };
    chi2(pair, &mut pair.occupied().map(term))
}

/// Evidently's G: the counts of the reference are the expected ones, so that the sizes must be equal.
pub(super) fn g(pair: &Pair<'_>) -> Result<f64, StatsError> {
    same_size(pair)?;
    let term = |(a, b): (u64, u64)| if b == 0 { 0.0 } else { 2.0 * b as f64 * (b as f64 / a as f64).ln() };
    chi2(pair, &mut pair.occupied().map(term))
}

fn chi2(pair: &Pair<'_>, terms: &mut dyn Iterator<Item = f64>) -> Result<f64, StatsError> {
    let terms: Vec<f64> = terms.collect();
    if pair.cells() < 2 {
        return Err(refused("one category has no p-value"));
    }
    if terms.iter().any(|term| term.is_infinite()) {
        return Ok(0.0);
    }
    value(Tail::chi2(total(terms.into_iter()), pair.cells() - 1).p)
}

fn same_size(pair: &Pair<'_>) -> Result<(), StatsError> {
    if pair.n == pair.m { Ok(()) } else { Err(refused("it needs as many rows on both sides")) }
}

/// The counts of the first occupied category and of all others together.
fn first_and_rest(pair: &Pair<'_>) -> ([u64; 2], [u64; 2]) {
    let (a, b) = pair.occupied().next().unwrap_or_default();
    ([a, pair.n - a], [b, pair.m - b])
}

/// Evidently's z: the share of the first category; p is 1 where there is one category.
pub(super) fn z(pair: &Pair<'_>) -> Result<f64, StatsError> {
    if pair.cells() < 2 {
        return Ok(1.0);
    }
    let (a, b) = first_and_rest(pair);
    value(proportions_from_counts(a, b, &ProportionsOptions::default())?.p)
}

/// Evidently's Fisher: two categories and equal sizes.
pub(super) fn fisher(pair: &Pair<'_>) -> Result<f64, StatsError> {
    same_size(pair)?;
    if pair.cells() > 2 {
        return Err(refused("it needs at most two categories"));
    }
    let (a, b) = first_and_rest(pair);
    value(fisher_from_counts(a, b, Alternative::TwoSided)?.p)
}
