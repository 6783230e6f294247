//! Histograms for people: the cells in which a report shows reference and current data over each other.
//!
//! They are not the cells that scores are computed on. A numeric feature of few values has a cell for each; another one has
//! cells of equal, round width between its 0.5 % and 99.5 % quantiles, and one for each tail. Of categories the most frequent
//! ones are shown, and what the reference does not have is named.

use std::borrow::Cow;

use mlops_core::data::{Column, Values};
use mlops_core::monitor::{CellCounts, CellKind};
use mlops_core::num::quantile::quantile_sorted;
use serde::{Deserialize, Serialize};

use crate::{Bins, CategoryBins, CategoryCell, Counts};

/// How many new categories are named; the rest are summed up.
const NEW_NAMED: usize = 4;

/// The longest label, in characters.
const MAX_LABEL: usize = 80;

/// The cells of a numeric feature and the counts of its reference.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Overlay {
    bins: Bins,
    reference: Counts,
}

impl Overlay {
    /// From the reference, and the same in ascending order without NaN; `None` where there is nothing finite to cut.
    pub(super) fn fit(values: &[f64], sorted: &[f64], cells: usize) -> Option<Self> {
        let from = sorted.partition_point(|v| *v == f64::NEG_INFINITY);
        let to = sorted.partition_point(|v| *v < f64::INFINITY);
        let finite = sorted.get(from..to).filter(|finite| !finite.is_empty())?;
        let bins = Bins::from_edges(&edges(finite, cells)).ok()?;
        let reference = bins.count(values);
        Some(Self { bins, reference })
    }

    /// Of cells that were counted already.
    pub(super) fn of(bins: Bins, reference: Counts) -> Self {
        Self { bins, reference }
    }

    pub(super) fn bins(&self) -> &Bins {
        &self.bins
    }

    /// Whether the counts belong to the cells: a detector may come from anywhere.
    pub(super) fn is_sound(&self) -> bool {
        self.bins.count(&[]).merge(&self.reference).is_ok()
    }

    /// The cells that are occupied on some side, and those between occupied ones.
    pub(super) fn cells(&self, current: &Counts) -> Vec<CellCounts> {
        let counts = self.reference.as_slice().iter().zip(current.as_slice());
        let cells = self.bins.cells().zip(counts).map(|(cell, (&reference, &current))| {
            let (kind, label, low, high) = describe(cell);
            CellCounts::new(kind, label, reference, current).with_low(low).with_high(high)
        });
        // A gap between single values is no place anybody misses; nor are outer cells without a value.
        cells
            .filter(|cell| {
                cell.reference > 0 || cell.current > 0 || cell.kind == CellKind::Range && !gap(cell)
            })
            .collect()
    }
}

/// Whether the cell lies between two single values: it begins right after one.
fn gap(cell: &CellCounts) -> bool {
    cell.label.starts_with("between")
}

fn describe(cell: crate::Cell) -> (CellKind, String, Option<f64>, Option<f64>) {
    use std::ops::Bound;
    match cell {
        crate::Cell::Underflow { below } => {
            (CellKind::Below, format!("below {}", short(below)), None, Some(below))
        }
        crate::Cell::Atom { value } => (CellKind::Value, short(value), Some(value), Some(value)),
        crate::Cell::Range { low, high } => {
            let end = |bound: Bound<f64>| match bound {
                Bound::Included(edge) | Bound::Excluded(edge) => Some(edge),
                Bound::Unbounded => None,
            };
            let between = matches!(low, Bound::Excluded(_));
            let (low, high) = (end(low), end(high));
            let (a, b) = (low.map(short).unwrap_or_default(), high.map(short).unwrap_or_default());
            if low.is_some_and(|low| high == Some(low.next_up())) {
                return (CellKind::Value, a, low, low);
            }
            let label = if between { format!("between {a} and {b}") } else { format!("{a} to {b}") };
            (CellKind::Range, label, low, high)
        }
        crate::Cell::Overflow { above } => {
            (CellKind::Above, format!("above {}", short(above)), Some(above), None)
        }
        crate::Cell::Missing => (CellKind::Missing, "missing".to_owned(), None, None),
    }
}

/// A number with at most six significant digits, as short as it can be.
pub(crate) fn short(value: f64) -> String {
    let value = value + 0.0; // −0.0 becomes 0.0
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e7).contains(&magnitude) {
        let text = format!("{value:.3e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
        return format!("{mantissa}e{exponent}");
    }
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    rounded.to_string()
}

/// The edges to show finite values in ascending order by.
fn edges(finite: &[f64], cells: usize) -> Vec<f64> {
    let (min, max) = (finite[0] + 0.0, finite[finite.len() - 1] + 0.0);
    let mut values: Vec<f64> = Vec::new();
    for run in finite.chunk_by(|a, b| a == b) {
        values.push(run[0] + 0.0);
        if values.len() > cells {
            return even(finite, cells, min, max);
        }
    }
    // Each value and the next double: a cell for the value, and one for what lies between it and the next one.
    let mut edges: Vec<f64> = values.iter().flat_map(|value| [*value, value.next_up() + 0.0]).collect();
    edges.dedup();
    edges
}

/// About `cells` cells of a round width, from the smallest to the largest value.
fn even(finite: &[f64], cells: usize, min: f64, max: f64) -> Vec<f64> {
    let cut = |share| quantile_sorted(finite, share).unwrap_or(min);
    let (mut low, mut high) = (cut(0.005), cut(0.995));
    if low >= high {
        (low, high) = (min, max);
    }
    let mut edges = vec![min];
    edges.extend(round_steps(low, high, cells).into_iter().filter(|edge| *edge > min && *edge < max));
    edges.push(max);
    edges
}

/// Multiples of a round step (1, 2, 2.5 or 5 times a power of ten) that cover `low` to `high` in at most `cells` cells or so.
fn round_steps(low: f64, high: f64, cells: usize) -> Vec<f64> {
    let wanted = (high / 2.0 - low / 2.0) / cells.max(1) as f64 * 2.0;
    if !(wanted > 0.0 && wanted.is_finite()) {
        return Vec::new();
    }
    let mut exponent = wanted.log10().floor();
    let base = wanted / 10_f64.powf(exponent);
    // In quarters, so that multiples are exact integers.
    let quarters = [4_i64, 8, 10, 20].into_iter().find(|q| *q as f64 / 4.0 >= base * 0.999);
    let quarters = quarters.unwrap_or_else(|| {
        exponent += 1.0;
        4
    });
    let step = quarters as f64 / 4.0 * 10_f64.powf(exponent);
    let (first, last) = ((low / step).floor(), (high / step).ceil());
    if !(first.abs() < 1e15 && last.abs() < 1e15 && last - first < 4096.0) {
        return Vec::new();
    }
    // Through text, so that 3 · 0.1 is 0.3.
    let edge = |i: i64| {
        format!("{}e{}", (i * quarters * 25) as f64, exponent - 2.0).parse().unwrap_or(i as f64 * step)
    };
    (first as i64..=last as i64).map(edge).filter(|edge: &f64| edge.is_finite()).collect()
}

/// The cells of a categorical feature: the most frequent levels in the order of the reference, then the others, the new ones, and
/// what is missing. `new` gives the levels that the reference does not have, the most frequent first; what is unseen beyond
/// them is summed up.
pub(super) fn category_cells<'n>(
    levels: &CategoryBins,
    reference: &Counts,
    current: &Counts,
    new: impl FnOnce() -> Vec<(Cow<'n, str>, u64)>,
    cells: usize,
) -> Vec<CellCounts> {
    let counts = reference.as_slice().iter().copied().zip(current.as_slice().iter().copied());
    let (mut known, mut unseen, mut missing) = (Vec::new(), (0, 0), (0, 0));
    for (cell, (a, b)) in levels.cells().zip(counts) {
        match cell {
            CategoryCell::Known(name) => known.push((name, a, b)),
            CategoryCell::Unseen => unseen = (a, b),
            CategoryCell::Missing => missing = (a, b),
        }
    }
    // By the larger of the two shares, so that what has grown is among them.
    let (n, m) = (reference.total().max(1), current.total().max(1));
    let share = |a: u64, b: u64| (u128::from(a) * u128::from(m)).max(u128::from(b) * u128::from(n));
    known.sort_by(|x, y| share(y.1, y.2).cmp(&share(x.1, x.2)).then(x.0.cmp(y.0)));
    let rest = known.split_off(known.len().min(cells));
    known.sort_by(|x, y| y.1.cmp(&x.1).then(x.0.cmp(y.0)));
    let cell = |kind, label: String, a, b| CellCounts::new(kind, label, a, b);
    let mut shown: Vec<CellCounts> =
        known.iter().map(|(name, a, b)| cell(CellKind::Level, clip(name), *a, *b)).collect();
    if !rest.is_empty() {
        let (a, b) = rest.iter().fold((0, 0), |(x, y), (_, a, b)| (x + a, y + b));
        shown.push(cell(CellKind::Others, format!("{} other levels", rest.len()), a, b));
    }
    if unseen.1 > 0 {
        let mut new = new();
        let more = new.split_off(new.len().min(NEW_NAMED));
        shown.extend(new.iter().map(|(name, b)| cell(CellKind::Unseen, clip(name), 0, *b)));
        let rest = unseen.1.saturating_sub(new.iter().map(|(_, b)| b).sum());
        if rest > 0 {
            // How many they are is not known where only the most frequent ones were kept.
            let known = more.iter().map(|(_, b)| b).sum::<u64>() == rest;
            let label =
                if known { format!("{} more new levels", more.len()) } else { "more new levels".to_owned() };
            shown.push(cell(CellKind::Unseen, label, 0, rest));
        }
    }
    if missing.0 > 0 || missing.1 > 0 {
        shown.push(cell(CellKind::Missing, "missing".to_owned(), missing.0, missing.1));
    }
    shown
}

/// The levels that the reference does not have, the most frequent first.
pub(super) fn new_levels<'c>(known: &CategoryBins, column: &'c Column<'_>) -> Vec<(Cow<'c, str>, u64)> {
    let Values::Category { codes, levels } = column.values() else { return Vec::new() };
    let unseen = known.len() - 2;
    let new: Vec<bool> = levels.iter().map(|level| known.cell_of(Some(level)) == unseen).collect();
    let mut counts = vec![0_u64; levels.len()];
    for (row, code) in codes.iter().enumerate() {
        let level = usize::try_from(*code).ok().filter(|level| new.get(*level) == Some(&true));
        if let Some(level) = level.filter(|_| column.is_valid(row)) {
            counts[level] += 1;
        }
    }
    let counted = levels.iter().map(String::as_str).zip(counts).filter(|(_, count)| *count > 0);
    let mut counted: Vec<(&str, u64)> = counted.collect();
    counted.sort_by(|x, y| y.1.cmp(&x.1).then(x.0.cmp(y.0)));
    counted.into_iter().map(|(name, count)| (Cow::Borrowed(name), count)).collect()
}

/// A label of bounded length.
fn clip(text: &str) -> String {
    if text.chars().count() <= MAX_LABEL {
        return text.to_owned();
    }
    text.chars().take(MAX_LABEL - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_have_a_cell_each_and_gaps_are_shown_only_when_something_falls_in() {
        let overlay = Overlay::fit(&[5.0, 1.0, 2.0, f64::NAN, 1.0], &[1.0, 1.0, 2.0, 5.0], 24).unwrap();
        let show = |values: &[f64]| {
            let cells = overlay.cells(&overlay.bins().count(values));
            cells.into_iter().map(|c| (c.label, c.reference, c.current)).collect::<Vec<_>>()
        };
        let labelled = |label: &str, a, b| (label.to_owned(), a, b);
        let all = [labelled("1", 2, 0), labelled("2", 1, 1), labelled("5", 1, 0), labelled("missing", 1, 0)];
        assert_eq!(show(&[2.0]), all);
        let odd = show(&[2.5, 0.0, 9.0]);
        assert_eq!(odd[0], labelled("below 1", 0, 1));
        assert!(odd.contains(&labelled("between 2 and 5", 0, 1)), "{odd:?}");
        assert!(odd.contains(&labelled("above 5", 0, 1)), "{odd:?}");
    }

    #[test]
    fn many_values_have_cells_of_round_width() {
        let values: Vec<f64> = (0..=1000).map(|i| f64::from(i) / 1000.0).collect();
        let edges = edges(&values, 24);
        assert_eq!(&edges[..4], [0.0, 0.05, 0.1, 0.15]);
        assert!(edges.len() <= 26 && edges.last() == Some(&1.0), "{edges:?}");
    }

    #[test]
    fn extreme_values_are_shown_without_a_panic() {
        for values in [
            vec![f64::MIN, f64::MAX],
            (0..100).map(|i| 1e-320 * f64::from(i)).collect::<Vec<_>>(),
            (0..100).map(|i| 1e300 * f64::from(i + 1)).collect(),
            (0..100).map(|i| 1e15 + f64::from(i)).collect(),
            (0..100).map(|i| if i < 50 { f64::MIN } else { f64::MAX / f64::from(i) }).collect(),
        ] {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let overlay = Overlay::fit(&values, &sorted, 24).unwrap();
            let cells = overlay.cells(&overlay.bins().count(&values));
            assert_eq!(cells.iter().map(|c| c.reference).sum::<u64>(), values.len() as u64, "{values:?}");
            assert!(cells.len() < 60);
        }
        let infinite = [f64::NEG_INFINITY, f64::INFINITY];
        assert!(Overlay::fit(&infinite, &infinite, 24).is_none());
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.1 + 0.2, "0.3"),
            (-0.0, "0"),
            (1234567.0, "1234570"),
            (1.5e-9, "1.5e-9"),
            (f64::MAX, "1.798e308"),
            (1e20, "1e20"),
            (-2.5, "-2.5"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn the_largest_levels_and_the_new_ones_are_named() {
        let names: Vec<String> = (0..40).flat_map(|i| vec![format!("l{i:02}"); 50 - i]).collect();
        let levels = CategoryBins::fit(names.iter().map(|n| Some(n.as_str()))).unwrap();
        let reference = levels.count(names.iter().map(|n| Some(n.as_str())));
        let now = ["new", "new", "l39", "l00", "a", "b", "c", "d", "e"];
        let column = Column::text("x", now).unwrap();
        let current = levels.count(now.map(Some));
        let cells = category_cells(&levels, &reference, &current, || new_levels(&levels, &column), 3);
        let names: Vec<&str> = cells.iter().map(|c| c.label.as_str()).collect();
        assert_eq!(
            names,
            ["l00", "l01", "l39", "37 other levels", "new", "a", "b", "c", "2 more new levels"]
        );
        assert_eq!(cells.iter().map(|c| c.current).sum::<u64>(), 9);
        assert!(clip(&"x".repeat(500)).chars().count() == MAX_LABEL);
    }
}
