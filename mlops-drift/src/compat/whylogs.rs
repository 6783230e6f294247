//! The scores of whylogs, on the values and counts that its sketches approximate.

use mlops_core::num::StatsError;

use super::p_values::refused;
use super::scores::sorted;
use super::{histogram, kstwo, total};
use crate::pair::{Pair, Tail};

/// How many ranks, evenly spaced from 0 to 1.
const RANKS: u32 = 100;

/// p of the largest gap of the distribution functions at the quantiles of both sides.
pub(super) fn ks(a: &[f64], b: &[f64]) -> Result<f64, StatsError> {
    let (x, y) = (sorted(a), sorted(b));
    let below = |values: &[f64], v: f64| values.partition_point(|&w| w < v) as f64 / values.len() as f64;
    let gap = |v: f64| (below(&x, v) - below(&y, v)).abs();
    let d = quantiles(&x).chain(quantiles(&y)).map(gap).fold(0.0, f64::max);
    kstwo::two_sample(d, x.len(), y.len())
}

/// Values of the sample, at place ⌊rank·n⌋.
#[expect(clippy::cast_sign_loss, reason = "a share of a length")]
fn quantiles(sorted: &[f64]) -> impl Iterator<Item = f64> + '_ {
    let step = 1.0 / f64::from(RANKS - 1);
    let rank = move |i| if i + 1 == RANKS { 1.0 } else { f64::from(i) * step };
    let place = move |i| ((rank(i) * sorted.len() as f64).floor() as usize).min(sorted.len() - 1);
    (0..RANKS).filter_map(move |i| sorted.get(place(i)).copied())
}

/// Over cells of equal width from the smallest value to a little beyond the largest: a quarter as many as there are values, 2 to 30.
#[expect(clippy::cast_sign_loss, reason = "a small positive number")]
pub(super) fn hellinger(a: &[f64], b: &[f64]) -> Result<f64, StatsError> {
    let ((low, high), (from, to)) = (histogram::range(a), histogram::range(b));
    let (start, end) = (low.min(from), high.max(to));
    let end = end + if end == 0.0 { 1e-7 } else { end.abs() * 1e-7 };
    if !(end - start).is_finite() {
        return Err(StatsError::Overflow { what: "the range of the values" });
    }
    let mut cells = ((a.len() + b.len()) as f64 / 4.0).ceil().clamp(2.0, 30.0);
    let mut width = (end - start) / cells;
    // Cells are not narrower than what a float of 32 bits tells apart.
    let finest = (start.abs().max(end.abs()).log2().floor() - 23.0).exp2();
    if width < finest {
        cells = ((end - start) / finest).floor().max(1.0);
        width = (end - start) / cells;
    }
    let edges: Vec<f64> = (0..=cells as u32).map(|i| start + f64::from(i) * width).collect();
    let shares = |values: &[f64]| {
        let mut counts = vec![0_u64; edges.len() + 1];
        for &value in values {
            if let Some(count) = counts.get_mut(edges.partition_point(|&edge| edge <= value)) {
                *count += 1;
            }
        }
        counts.into_iter().map(|count| count as f64 / values.len() as f64).collect::<Vec<f64>>()
    };
    let (p, q) = (shares(a), shares(b));
    Ok((total(p.iter().zip(&q).map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2))) / 2.0).sqrt())
}

/// Goodness of fit to whole expected counts, rounded down; an expected count of 0 makes p = 0. One degree of freedom for every category
/// that the current sample has, less one.
pub(super) fn chi2(pair: &Pair<'_>) -> Result<f64, StatsError> {
    let mut statistic = Vec::new();
    for (a, b) in pair.occupied() {
        let expected = (a as f64 / pair.n as f64 * pair.m as f64).trunc();
        if expected == 0.0 {
            return Ok(0.0);
        }
        statistic.push((b as f64 - expected).powi(2) / expected);
    }
    let categories = pair.occupied().filter(|&(_, b)| b > 0).count() as u64;
    let tail = Tail::chi2(total(statistic.into_iter()), categories.saturating_sub(1).max(1));
    tail.p.value().ok_or(refused("the p-value is undefined"))
}
