//! Associations that need the values at once: on the sample.

use std::collections::HashMap;

use crate::data::Table;
use crate::num::ranks::midranks;

use super::moments::{Block, Pair};
use super::profiler::floats;
use super::summary::{Association, Correlation};

/// The most rows that are ranked.
const RANKED: usize = 10_000;

/// Spearman's ρ of each pair of columns, over the rows at which both have a finite value.
pub(super) fn spearman(sample: &Table<'_>, names: &[String]) -> Vec<Correlation> {
    let columns: Vec<Vec<f64>> = names.iter().map(|name| floats(sample, name, RANKED)).collect();
    let holes: Vec<bool> = columns.iter().map(|values| values.iter().any(|value| value.is_nan())).collect();
    let ranked: Vec<Option<Block>> =
        columns.iter().zip(&holes).map(|(values, holes)| if *holes { None } else { ranks(values) }).collect();
    let mut out = Vec::new();
    for (at, a) in columns.iter().enumerate() {
        for (to, b) in columns.iter().enumerate().skip(at + 1) {
            let pair = match (ranked.get(at), ranked.get(to)) {
                (Some(Some(a)), Some(Some(b))) => Some(Pair::of(a, b)),
                _ => of_both(a, b),
            };
            let Some((pair, value)) = pair.and_then(|pair| Some((pair, pair.correlation()?))) else {
                continue;
            };
            #[expect(clippy::cast_sign_loss, reason = "a count of rows")]
            let rows = pair.n as u64;
            let name = |at: usize| names.get(at).cloned().unwrap_or_default();
            out.push(Correlation { a: name(at), b: name(to), kind: Association::Spearman, value, rows });
        }
    }
    out
}

fn ranks(values: &[f64]) -> Option<Block> {
    midranks("values", values).ok().map(|ranks| Block::new(ranks, false, 0.0))
}

fn of_both(a: &[f64], b: &[f64]) -> Option<Pair> {
    let both = || a.iter().zip(b).filter(|(x, y)| !x.is_nan() && !y.is_nan());
    let a: Vec<f64> = both().map(|(x, _)| *x).collect();
    let b: Vec<f64> = both().map(|(_, y)| *y).collect();
    Some(Pair::of(&ranks(&a)?, &ranks(&b)?))
}

/// Cramér's V, corrected for bias, of each pair of columns, over the rows at which both have a value.
pub(super) fn cramers_v(sample: &Table<'_>, names: &[String]) -> Vec<Correlation> {
    let columns: Vec<Vec<Option<usize>>> = names.iter().map(|name| classes(sample, name)).collect();
    let mut out = Vec::new();
    for (at, a) in columns.iter().enumerate() {
        for (to, b) in columns.iter().enumerate().skip(at + 1) {
            let Some((value, rows)) = v_of(a, b) else { continue };
            let name = |at: usize| names.get(at).cloned().unwrap_or_default();
            out.push(Correlation { a: name(at), b: name(to), kind: Association::CramersV, value, rows });
        }
    }
    out
}

/// The class of each row, numbered in order of first appearance.
fn classes(sample: &Table<'_>, name: &str) -> Vec<Option<usize>> {
    let Some(column) = sample.get(name) else { return Vec::new() };
    let mut seen: HashMap<String, usize> = HashMap::new();
    let class = |row| {
        let label = column.label(row)?.into_owned();
        let next = seen.len();
        Some(*seen.entry(label).or_insert(next))
    };
    (0..column.len()).map(class).collect()
}

fn v_of(a: &[Option<usize>], b: &[Option<usize>]) -> Option<(f64, u64)> {
    let mut cells: HashMap<(usize, usize), f64> = HashMap::new();
    let (mut rows, mut columns): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut count = 0_u64;
    for (x, y) in a.iter().zip(b).filter_map(|(x, y)| x.zip(*y)) {
        *cells.entry((x, y)).or_default() += 1.0;
        for (sums, at) in [(&mut rows, x), (&mut columns, y)] {
            if sums.len() <= at {
                sums.resize(at + 1, 0.0);
            }
            if let Some(sum) = sums.get_mut(at) {
                *sum += 1.0;
            }
        }
        count += 1;
    }
    let used = |sums: &[f64]| sums.iter().filter(|sum| **sum > 0.0).count() as f64;
    let (n, r, k) = (count as f64, used(&rows), used(&columns));
    if r < 2.0 || k < 2.0 {
        return None;
    }
    // χ²/n = Σ o²/(row·column) − 1, summed in an order that does not depend on the map's.
    let sum = |sums: &[f64], at: usize| sums.get(at).copied().unwrap_or(1.0);
    let mut terms: Vec<f64> =
        cells.iter().map(|((x, y), o)| o * o / (sum(&rows, *x) * sum(&columns, *y))).collect();
    terms.sort_unstable_by(f64::total_cmp);
    let phi2 = (terms.iter().sum::<f64>() - 1.0).max(0.0);
    let corrected = (phi2 - (k - 1.0) * (r - 1.0) / (n - 1.0)).max(0.0);
    let [k, r] = [k, r].map(|levels| levels - (levels - 1.0).powi(2) / (n - 1.0));
    let least = k.min(r) - 1.0;
    (least > 0.0).then(|| ((corrected / least).sqrt().min(1.0), count))
}
