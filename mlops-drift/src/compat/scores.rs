//! The scores of the presets.

use std::collections::BTreeMap;

use mlops_core::num::StatsError;
use mlops_core::num::quantile::quantile_sorted;

use super::p_values::{self, refused};
use super::{Preset, histogram, total, whylogs};
use crate::pair::Pair;
use crate::special::ln_chi2_sf;
use crate::{
    KsMethod, LogBase, energy, hellinger_from_counts, js_from_counts, ks_sorted, l_infinity_from_counts,
};

type Rows = (Vec<u64>, Vec<u64>);

/// The score, and a threshold that depends on the data.
pub(super) fn numeric(preset: Preset, a: &[f64], b: &[f64]) -> Result<(f64, Option<f64>), StatsError> {
    let score = match preset {
        Preset::EvidentlyPsi | Preset::EvidentlyKl | Preset::EvidentlyJs => {
            evidently(preset, &evidently_cells(a, b)?, (a.len(), b.len()))?
        }
        Preset::EvidentlyHellinger => evidently_hellinger(a, b)?,
        Preset::EvidentlyEnergy => energy(a, b)?.score,
        Preset::EvidentlyKs => p_values::ks(a, b)?,
        Preset::EvidentlyT => p_values::t(a, b)?,
        Preset::EvidentlyAnderson => p_values::anderson(a, b)?,
        Preset::EvidentlyCramerVonMises => p_values::cramer_von_mises(a, b)?,
        Preset::EvidentlyMannWhitney => p_values::mann_whitney(a, b)?,
        Preset::EvidentlyEppsSingleton => p_values::epps(a, b)?,
        Preset::EvidentlyWasserstein => wasserstein(a, b) / deviation(a, 0).max(0.001),
        Preset::NannyMlJs | Preset::NannyMlHellinger => {
            let (x, y) = nannyml_cells(a, b)?;
            categories(preset, &x, &y)?
        }
        Preset::AzureMlJs | Preset::AzureMlPsi => {
            let (x, y) = azure_cells(a, b)?;
            categories(preset, &x, &y)?
        }
        Preset::AzureMlWasserstein => wasserstein(a, b) / deviation(a, 1).max(0.001),
        Preset::AzureMlKs => azure_ks(a, b)?,
        Preset::ScouterPsi => return scouter(a, b),
        Preset::DriftwatchPsi | Preset::DriftwatchJs | Preset::DriftwatchKl => driftwatch(preset, a, b)?,
        Preset::WhylogsKs => whylogs::ks(a, b)?,
        Preset::WhylogsHellinger => whylogs::hellinger(a, b)?,
        Preset::NannyMlLInfinity
        | Preset::EvidentlyChi2
        | Preset::EvidentlyZ
        | Preset::EvidentlyG
        | Preset::EvidentlyFisher
        | Preset::AzureMlChi2
        | Preset::WhylogsChi2 => return Err(refused("it is defined for categories only")),
    };
    Ok((score, None))
}

pub(super) fn categories(preset: Preset, a: &[u64], b: &[u64]) -> Result<f64, StatsError> {
    let pair = Pair::new(a, b)?;
    match preset {
        Preset::EvidentlyPsi | Preset::EvidentlyKl | Preset::EvidentlyJs => {
            let (x, y): Rows = pair.occupied().unzip();
            let count = |rows: &[u64]| {
                rows.iter()
                    .fold(0_usize, |sum, &c| sum.saturating_add(usize::try_from(c).unwrap_or(usize::MAX)))
            };
            evidently(preset, &(x, y), (count(a), count(b)))
        }
        Preset::EvidentlyHellinger | Preset::NannyMlHellinger => Ok(hellinger_from_counts(a, b)?.score),
        Preset::NannyMlJs | Preset::AzureMlJs => Ok(js_from_counts(a, b, LogBase::Two)?.score),
        Preset::NannyMlLInfinity => Ok(l_infinity_from_counts(a, b)?.score),
        Preset::AzureMlPsi => Ok(laplace_psi(a, b)),
        Preset::EvidentlyChi2 | Preset::AzureMlChi2 => p_values::goodness_of_fit(&pair),
        Preset::EvidentlyZ => p_values::z(&pair),
        Preset::EvidentlyG => p_values::g(&pair),
        Preset::EvidentlyFisher => p_values::fisher(&pair),
        Preset::WhylogsChi2 => whylogs::chi2(&pair),
        _ => Err(refused("it is defined for numbers only")),
    }
}

/// Evidently's `get_binned_data`.
fn evidently_cells(a: &[f64], b: &[f64]) -> Result<Rows, StatsError> {
    let mut levels: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    a.iter().for_each(|v| levels.entry(key(*v)).or_default().0 += 1);
    let distinct = levels.len();
    if distinct <= 20 {
        b.iter().for_each(|v| levels.entry(key(*v)).or_default().1 += 1);
        return Ok(levels.into_values().unzip());
    }
    let (low, high) = pooled_range(a, b);
    let edges = histogram::sturges((low, high), a.len() + b.len())?;
    Ok((histogram::count(a, &edges), histogram::count(b, &edges)))
}

fn key(value: f64) -> u64 {
    crate::Value::key(value)
}

fn pooled_range(a: &[f64], b: &[f64]) -> (f64, f64) {
    let (x, y) = (histogram::range(a), histogram::range(b));
    (x.0.min(y.0), x.1.max(y.1))
}

fn evidently(preset: Preset, (a, b): &Rows, (n, m): (usize, usize)) -> Result<f64, StatsError> {
    if preset == Preset::EvidentlyJs {
        return Ok(js_from_counts(a, b, LogBase::E)?.score);
    }
    let (p, q) = (filled(a, n), filled(b, m));
    let both = || p.iter().zip(&q);
    if preset == Preset::EvidentlyPsi {
        return Ok(total(both().map(|(p, q)| (p - q) * (p / q).ln())));
    }
    let (p_all, q_all) = (total(p.iter().copied()), total(q.iter().copied()));
    Ok(total(both().map(|(p, q)| p / p_all * ((p / p_all) / (q / q_all)).ln())))
}

/// Shares with the empty cells filled: by a millionth of the smallest other share where that is at most 0.0001, by 0.0001
/// elsewhere.
fn filled(counts: &[u64], n: usize) -> Vec<f64> {
    let shares: Vec<f64> = counts.iter().map(|&count| count as f64 / n as f64).collect();
    let smallest = shares.iter().copied().filter(|&share| share > 0.0).fold(f64::INFINITY, f64::min);
    let fill = if smallest <= 0.0001 { smallest / 1e6 } else { 0.0001 };
    shares.into_iter().map(|share| if share == 0.0 { fill } else { share }).collect()
}

fn evidently_hellinger(a: &[f64], b: &[f64]) -> Result<f64, StatsError> {
    let mut distinct: Vec<u64> = a.iter().chain(b).map(|v| key(*v)).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let edges = histogram::sturges(pooled_range(a, b), distinct.len())?;
    let (x, y) = (histogram::count(a, &edges), histogram::count(b, &edges));
    let (n, m) = (a.len() as f64, b.len() as f64);
    let affinity = total(x.iter().zip(&y).map(|(&x, &y)| (x as f64 / n * (y as f64 / m)).sqrt()));
    Ok((1.0 - affinity.clamp(0.0, 1.0)).sqrt())
}

fn nannyml_cells(a: &[f64], b: &[f64]) -> Result<Rows, StatsError> {
    let edges = histogram::doane(a)?;
    let (mut x, mut y) = (histogram::count(a, &edges), histogram::count(b, &edges));
    x.push(0);
    y.push(b.len() as u64 - y.iter().sum::<u64>());
    Ok((x, y))
}

#[expect(clippy::cast_sign_loss, reason = "a logarithm of at least 1 and at most 2^64")]
fn azure_cells(a: &[f64], b: &[f64]) -> Result<Rows, StatsError> {
    let cells = (a.len().min(b.len()) as f64).log2().ceil() as usize + 1;
    let (low, high) = pooled_range(a, b);
    if !(high - low).is_finite() {
        return Err(StatsError::Overflow { what: "the range of the values" });
    }
    let edges = histogram::edges((low, high), cells);
    Ok((histogram::count(a, &edges), histogram::count(b, &edges)))
}

/// One count more in every cell, the cells empty on both sides among them.
fn laplace_psi(a: &[u64], b: &[u64]) -> f64 {
    let share = |counts: &[u64]| {
        let all = total(counts.iter().map(|&count| count as f64)) + counts.len() as f64;
        counts.iter().map(|&count| (count as f64 + 1.0) / all).collect::<Vec<f64>>()
    };
    let (p, q) = (share(a), share(b));
    total(p.iter().zip(&q).map(|(p, q)| (p - q) * (p / q).ln()))
}

fn azure_ks(a: &[f64], b: &[f64]) -> Result<f64, StatsError> {
    let rows = a.len().max(b.len());
    if rows >= Preset::AZURE_KS_ROWS {
        let reason = "must be below 10000 for this test";
        return Err(StatsError::Parameter { parameter: "rows", value: rows as f64, reason });
    }
    let ks = ks_sorted(&sorted(a), &sorted(b), KsMethod::ExactContinuous)?;
    ks.p.value().ok_or(refused("the p-value is undefined"))
}

fn scouter(a: &[f64], b: &[f64]) -> Result<(f64, Option<f64>), StatsError> {
    const EPSILON: f64 = 1e-10;
    let cuts = deciles(a)?;
    // (low, high]: a value on an edge belongs to the cell below it.
    let counts =
        |values: &[f64]| count_open(values, |value| cuts.partition_point(|&cut| cut < value), cuts.len() + 1);
    let (x, y) = (counts(a), counts(b));
    let (n, m) = (a.len() as f64, b.len() as f64);
    let term = |(x, y): (&u64, &u64)| {
        let (p, q) = (*x as f64 / n + EPSILON, *y as f64 / m + EPSILON);
        (p - q) * (p / q).ln()
    };
    let score = total(x.iter().zip(&y).map(term));
    Ok((score, Some(chi2_quantile(0.95, cuts.len() as f64) / m)))
}

fn driftwatch(preset: Preset, a: &[f64], b: &[f64]) -> Result<f64, StatsError> {
    let cuts = deciles(a)?;
    let counts = |values: &[f64]| {
        count_open(values, |value| cuts.partition_point(|&cut| cut <= value), cuts.len() + 1)
    };
    let (n, m) = (a.len() as f64, b.len() as f64);
    let k = cuts.len() as f64 + 1.0;
    let share = |count: u64, n: f64| (count as f64 / n + 1e-6) / (1.0 + k * 1e-6);
    let (x, y) = (counts(a), counts(b));
    let shares = || x.iter().zip(&y).map(|(&x, &y)| (share(x, n), share(y, m)));
    Ok(match preset {
        Preset::DriftwatchPsi => total(shares().map(|(p, q)| (p - q) * (p / q).ln())),
        Preset::DriftwatchKl => total(shares().map(|(p, q)| q * (q / p).ln())),
        _ => total(shares().map(|(p, q)| {
            let mean = f64::midpoint(p, q);
            0.5 * (p * (p / mean).ln() + q * (q / mean).ln())
        })),
    })
}

fn count_open(values: &[f64], cell: impl Fn(f64) -> usize, cells: usize) -> Vec<u64> {
    let mut counts = vec![0; cells];
    values.iter().for_each(|&value| {
        if let Some(count) = counts.get_mut(cell(value)) {
            *count += 1;
        }
    });
    counts
}

/// The nine inner deciles, equal ones among them.
fn deciles(values: &[f64]) -> Result<Vec<f64>, StatsError> {
    let sorted = sorted(values);
    (1..10).map(|i| quantile_sorted(&sorted, f64::from(i) / 10.0)).collect()
}

pub(super) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().map(|value| value + 0.0).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// ∫ |F − G|, as `scipy.stats.wasserstein_distance`.
fn wasserstein(a: &[f64], b: &[f64]) -> f64 {
    let (x, y) = (sorted(a), sorted(b));
    let mut all: Vec<f64> = x.iter().chain(&y).copied().collect();
    all.sort_unstable_by(f64::total_cmp);
    let (n, m) = (x.len() as f64, y.len() as f64);
    let (mut i, mut j) = (0, 0);
    total(all.windows(2).map(|pair| {
        while x.get(i).is_some_and(|&v| v <= pair[0]) {
            i += 1;
        }
        while y.get(j).is_some_and(|&v| v <= pair[0]) {
            j += 1;
        }
        (pair[1] - pair[0]) * (i as f64 / n - j as f64 / m).abs()
    }))
}

pub(super) fn mean(values: &[f64]) -> f64 {
    total(values.iter().copied()) / values.len() as f64
}

/// The standard deviation with n − `ddof` in the denominator; 0 for a single value with `ddof` 1.
pub(super) fn deviation(values: &[f64], ddof: usize) -> f64 {
    let mean = mean(values);
    let squares = total(values.iter().map(|value| (value - mean).powi(2)));
    if values.len() <= ddof { 0.0 } else { (squares / (values.len() - ddof) as f64).sqrt() }
}

/// The x with P(χ² ≤ x) = `share`, by halving.
fn chi2_quantile(share: f64, dof: f64) -> f64 {
    let target = (1.0 - share).ln();
    let (mut low, mut high) = (0.0, dof + 10.0);
    while ln_chi2_sf(high, dof) > target {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if ln_chi2_sf(middle, dof) > target {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KlDirection, Smoothing, js_divergence_from_counts, kl_from_counts, psi_from_counts};

    #[test]
    fn the_quantile_is_that_of_scipy() {
        // scipy 1.17.1 `stats.chi2.ppf(0.95, 9)`.
        assert!((chi2_quantile(0.95, 9.0) - 16.918_977_604_620_448).abs() < 1e-12);
    }

    #[test]
    fn both_ways_of_the_divergence_are_the_same_numbers() {
        // driftwatch's smoothing is `AddRenormalise` where no cell is empty on both sides.
        let a: Vec<f64> = (0..100).map(f64::from).collect();
        let b: Vec<f64> = (0..100).map(|i| f64::from(i * i) / 100.0).collect();
        let cuts = deciles(&a).unwrap();
        let rows = |x: &[f64]| count_open(x, |v| cuts.partition_point(|&cut| cut <= v), 10);
        let smoothing = Smoothing::AddRenormalise(1e-6);
        let (x, y) = (rows(&a), rows(&b));
        let psi = psi_from_counts(&x, &y, smoothing).unwrap().score;
        let kl = kl_from_counts(&x, &y, KlDirection::CurrentFromReference, smoothing).unwrap().score;
        assert!((driftwatch(Preset::DriftwatchPsi, &a, &b).unwrap() - psi).abs() < 1e-12 * psi);
        assert!((driftwatch(Preset::DriftwatchKl, &a, &b).unwrap() - kl).abs() < 1e-12 * kl);
        let js = js_divergence_from_counts(&x, &y, LogBase::E).unwrap().score;
        assert!((driftwatch(Preset::DriftwatchJs, &a, &b).unwrap() - js).abs() < 1e-4 * js);
    }
}
