//! Values with a label of two, sorted: a value and its label share 64 bits, so that sorting moves half of what pairs would.
//!
//! Rows are spread over cells in the order of their values, a thousand or so each, and each cell is sorted in the nearest cache by
//! spreading its keys again over the range of their bits.

use std::ops::Range;

use super::parallel::{Threads, map, map_pieces};
use super::ranks::{Cells, MAX_PARTS, PART, finite_range, starts_of};
use super::simd::{Kernel, run};

/// Up to here insertion is the fastest sort.
const INSERTION: usize = 16;
/// Values looked at before cells are chosen.
const SAMPLE: usize = 4_096;
/// More distinct values of the sample in one cell than this and cells of equal width are given up.
const CROWD: usize = 64;
/// Distinct values of the sample in a cell between its quantiles.
const QUANTILE: usize = 16;

/// Rows in ascending order, negatives first among equal values. All of its values are below zero, or none is.
#[derive(Clone, Copy, Debug)]
pub struct LabelledPart<'a> {
    keys: &'a [u64],
    below_zero: bool,
}

impl<'a> LabelledPart<'a> {
    /// The part that these keys, taken from another, make.
    pub const fn new(keys: &'a [u64], below_zero: bool) -> Self {
        Self { keys, below_zero }
    }

    /// A key for each row, ascending: the label is the lowest bit, and what is above it is equal where and only where values are
    /// equal (both zeros are).
    pub const fn keys(&self) -> &'a [u64] {
        self.keys
    }

    /// Whether the values are below zero.
    pub const fn below_zero(&self) -> bool {
        self.below_zero
    }

    /// The value of one of the keys.
    pub const fn value(&self, key: u64) -> f64 {
        value(key, self.below_zero)
    }
}

const fn value(key: u64, below_zero: bool) -> f64 {
    f64::from_bits(if below_zero { !(key >> 1) } else { key >> 1 })
}

fn key(value: f64, label: bool) -> u64 {
    // Adding +0.0 makes both zeros one. Among values below zero the larger magnitude comes first.
    let bits = (value + 0.0).to_bits();
    (if value < 0.0 { !bits } else { bits }) << 1 | u64::from(label)
}

/// Applies `work` to the rows in ascending order of `values`, a part at a time, and returns the results in that order.
///
/// Equal values are always in one part. Which parts there are depends on the values alone, so the results are the same on any
/// number of threads. Values must be finite: others have no place in the order. There are as many rows as the shorter side has.
/// A few passes over memory, O(n log n) at worst.
///
/// ```
/// use mlops_core::num::labelled::map_labelled;
/// use mlops_core::num::parallel::Threads;
///
/// let rows = map_labelled(&[0.5, -1.0, 0.5], &[true, true, false], Threads::ONE, |part| {
///     part.keys().iter().map(|&key| (part.value(key), key & 1 == 1)).collect::<Vec<_>>()
/// });
/// assert_eq!(rows.concat(), [(-1.0, true), (0.5, false), (0.5, true)]);
/// ```
pub fn map_labelled<R: Send>(
    values: &[f64],
    labels: &[bool],
    threads: Threads,
    work: impl Fn(LabelledPart<'_>) -> R + Sync,
) -> Vec<R> {
    let rows = values.len().min(labels.len());
    let values = &values[..rows];
    map_keyed(
        values,
        |row| key(values[row], labels[row]),
        threads,
        |keys, below_zero| work(LabelledPart { keys, below_zero }),
    )
}

/// [`map_labelled`] for keys of the caller's: `work` gets the sorted keys of a part, and whether its values are below zero.
///
/// A row's key must not be less than that of a row with a smaller value of the same sign; what else a key holds, the number
/// of its row for instance, tells equal values apart. Which rows a part has depends on the values alone.
///
/// ```
/// use mlops_core::num::labelled::map_keyed;
/// use mlops_core::num::parallel::Threads;
///
/// let values = [0.5_f64, 0.25, 0.5];
/// let key = |row: usize| values[row].to_bits() & !3 | row as u64;
/// let rows = map_keyed(&values, key, Threads::ONE, |keys, _| keys.iter().map(|key| key & 3).collect::<Vec<_>>());
/// assert_eq!(rows.concat(), [1, 0, 2]);
/// ```
pub fn map_keyed<R: Send>(
    values: &[f64],
    key: impl Fn(usize) -> u64 + Sync,
    threads: Threads,
    work: impl Fn(&mut [u64], bool) -> R + Sync,
) -> Vec<R> {
    let rows = values.len();
    let layout = Layout::of(values, threads);
    let count = layout.count();
    let shards = map_pieces(rows, threads, |rows| Shard::of(values, rows, &key, &layout));
    let batch = count.div_ceil(64);
    let batches = map(count.div_ceil(batch), threads, |index| {
        let mut room = Room::default();
        let mut part = Vec::new();
        let mut results = Vec::new();
        for cell in index * batch..count.min((index + 1) * batch) {
            part.clear();
            shards.iter().for_each(|shard| part.extend_from_slice(shard.cell(cell)));
            if !part.is_empty() {
                room.sort(&mut part);
                results.push(work(&mut part, cell < layout.first_above));
            }
        }
        results
    });
    batches.into_iter().flatten().collect()
}

/// Cells in the order of values, none of which has values of both signs.
struct Layout {
    borders: Borders,
    /// The first cell of values that are not below zero.
    first_above: usize,
}

enum Borders {
    Even(Cells, usize),
    /// Ascending; a value belongs to the cell whose number is that of the borders not above it.
    At(Vec<f64>),
}

impl Layout {
    fn of(values: &[f64], threads: Threads) -> Self {
        let range = map_pieces(values.len(), threads, |rows| finite_range(&values[rows]));
        let range = range.into_iter().flatten().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let (low, high) = range.unwrap_or((0.0, 0.0));
        let borders = Borders::of(values, low, high);
        let first_above = if low >= 0.0 { 0 } else { borders.cell(0.0) as usize + 1 };
        Self { borders, first_above }
    }

    /// One more than there are borders' cells: the values not below zero are one cell further.
    fn count(&self) -> usize {
        match &self.borders {
            Borders::Even(_, count) => count + 1,
            Borders::At(borders) => borders.len() + 2,
        }
    }
}

impl Borders {
    fn of(values: &[f64], low: f64, high: f64) -> Self {
        let count = (values.len() / PART).clamp(1, MAX_PARTS);
        let even = Cells::new(low, high, count);
        if count == 1 {
            return Self::Even(even, count);
        }
        let mut sample: Vec<f64> = values.iter().copied().step_by(values.len().div_ceil(SAMPLE)).collect();
        sample.sort_unstable_by(f64::total_cmp);
        sample.dedup();
        let crowded = sample.chunk_by(|a, b| even.of(*a) == even.of(*b)).any(|cell| cell.len() > CROWD);
        if crowded {
            Self::At(sample.into_iter().step_by(QUANTILE).collect())
        } else {
            Self::Even(even, count)
        }
    }

    fn cell(&self, value: f64) -> u32 {
        match self {
            Self::Even(cells, _) => cells.of(value),
            Self::At(borders) => borders.partition_point(|border| *border <= value) as u32,
        }
    }
}

struct CellsOf<'a> {
    values: &'a [f64],
    borders: &'a Borders,
    out: &'a mut [u16],
}

impl Kernel for CellsOf<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        // At most `MAX_PARTS` cells and one, which fits.
        match self.borders {
            Borders::Even(cells, _) => {
                for (&value, out) in self.values.iter().zip(self.out) {
                    *out = cells.of(value) as u16 + u16::from(value >= 0.0);
                }
            }
            borders @ Borders::At(_) => {
                for (&value, out) in self.values.iter().zip(self.out) {
                    *out = borders.cell(value) as u16 + u16::from(value >= 0.0);
                }
            }
        }
    }
}

/// The keys of a piece, sorted by cell.
struct Shard {
    keys: Vec<u64>,
    starts: Vec<u32>,
}

impl Shard {
    fn of(values: &[f64], rows: Range<usize>, key: impl Fn(usize) -> u64, layout: &Layout) -> Self {
        let mut cell_of = vec![0_u16; rows.len()];
        run(CellsOf { values: &values[rows.clone()], borders: &layout.borders, out: &mut cell_of });
        let mut starts = starts_of(cell_of.iter().map(|&cell| usize::from(cell)), layout.count());
        let mut keys = vec![0_u64; rows.len()];
        for (row, &cell) in rows.zip(&cell_of) {
            let place = &mut starts[usize::from(cell)];
            keys[*place as usize] = key(row);
            *place += 1;
        }
        // Each start has moved to its cell's end, which is the next one's start.
        starts.rotate_right(1);
        starts[0] = 0;
        Self { keys, starts }
    }

    fn cell(&self, cell: usize) -> &[u64] {
        &self.keys[self.starts[cell] as usize..self.starts[cell + 1] as usize]
    }
}

/// Room for sorting, kept from cell to cell.
#[derive(Default)]
struct Room {
    keys: Vec<u64>,
    /// Counts of one spreading after those of the one it is part of.
    counts: Vec<u32>,
}

impl Room {
    fn sort(&mut self, keys: &mut [u64]) {
        self.keys.resize(self.keys.len().max(keys.len()), 0);
        if u32::try_from(keys.len()).is_err() {
            return keys.sort_unstable();
        }
        spread(keys, &mut self.keys, &mut self.counts);
    }
}

/// Sorts keys: spreads them over cells by their highest bits that differ, at least four of them, and sorts what is left.
fn spread(keys: &mut [u64], scratch: &mut [u64], counts: &mut Vec<u32>) {
    if keys.len() <= INSERTION {
        return insertion(keys);
    }
    let Range { start: low, end: high } = range(keys);
    if low == high {
        return;
    }
    let cells_log2 = keys.len().next_power_of_two().trailing_zeros().min(16);
    let shift = (64 - (high - low).leading_zeros()).saturating_sub(cells_log2);
    let cell = |key: u64| ((key - low) >> shift) as usize;
    let first = counts.len();
    counts.resize(first + cell(high) + 2, 0);
    let own = &mut counts[first..];
    // One place further, so that ends become starts below.
    keys.iter().for_each(|&key| own[cell(key) + 1] += 1);
    let (mut sum, mut fullest) = (0, 0);
    for count in own.iter_mut() {
        fullest = fullest.max(*count);
        sum += *count;
        *count = sum;
    }
    for &key in keys.iter() {
        let place = &mut own[cell(key)];
        scratch[*place as usize] = key;
        *place += 1;
    }
    keys.copy_from_slice(&scratch[..keys.len()]);
    if fullest as usize > INSERTION && shift > 0 {
        let mut start = 0;
        for index in first..counts.len() - 1 {
            let end = counts[index] as usize;
            if end - start > INSERTION {
                spread(&mut keys[start..end], scratch, counts);
            }
            start = end;
        }
    }
    counts.truncate(first);
    if shift > 0 {
        insertion(keys);
    }
}

/// The smallest and the largest.
fn range(keys: &[u64]) -> Range<u64> {
    let (low, high) = keys.iter().fold((u64::MAX, 0), |(low, high), &key| (key.min(low), key.max(high)));
    low..high
}

fn insertion(keys: &mut [u64]) {
    for end in 1..keys.len() {
        let key = keys[end];
        let mut place = end;
        while place > 0 && keys[place - 1] > key {
            keys[place] = keys[place - 1];
            place -= 1;
        }
        keys[place] = key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::Random;

    fn kinds(rows: usize) -> Vec<Vec<f64>> {
        let mut random = Random::new(7);
        let mut uniform = || (0..rows).map(|_| random.next_f64()).collect::<Vec<f64>>();
        let (a, b) = (uniform(), uniform());
        let map = |f: &dyn Fn(f64) -> f64| a.iter().map(|u| f(*u)).collect::<Vec<f64>>();
        vec![
            a.clone(),
            map(&|u| (3.1 * (u - 0.5)).tan()),
            map(&|u| (100.0 * u).round() / 100.0 - 0.5),
            map(&|u| -(20.0 * u).exp()),
            map(&|u| if u < 0.5 { 0.0 } else { -0.0 }),
            map(&|u| 1.0 + (u * 5.0).floor() * f64::EPSILON),
            a.iter().zip(&b).map(|(a, b)| if *b < 0.01 { 1e300 * (a - 0.5) } else { a - 0.5 }).collect(),
            map(&|u| if u < 0.5 { f64::MAX * (u - 0.25) } else { u }),
        ]
    }

    #[test]
    fn rows_come_in_the_order_of_value_and_label() {
        for rows in [0, 1, 2, 17, 1000, 3000, 150_000] {
            let mut random = Random::new(8);
            let labels: Vec<bool> = (0..rows).map(|_| random.next_f64() < 0.3).collect();
            for (kind, values) in kinds(rows).iter().enumerate() {
                let sorted = |threads| {
                    let parts = map_labelled(values, &labels, Threads::new(threads), |part| {
                        assert!(part.keys().iter().all(|key| (part.value(*key) < 0.0) == part.below_zero()));
                        part.keys().iter().map(|key| (part.value(*key).to_bits(), key & 1 == 1)).collect()
                    });
                    // Equal values are in one part.
                    let ends =
                        parts.windows(2).map(|pair: &[Vec<(u64, bool)>]| (pair[0].last(), pair[1].first()));
                    assert!(ends.flat_map(|(a, b)| a.zip(b)).all(|(a, b)| a.0 != b.0));
                    parts.concat()
                };
                let mut expected: Vec<(f64, bool)> =
                    values.iter().map(|value| value + 0.0).zip(labels.iter().copied()).collect();
                expected.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                let expected: Vec<(u64, bool)> =
                    expected.into_iter().map(|(value, label)| (value.to_bits(), label)).collect();
                assert_eq!(sorted(1), expected, "{rows} rows of kind {kind}");
                assert_eq!(sorted(2), expected, "{rows} rows of kind {kind}");
            }
        }
    }

    #[test]
    fn heavy_tails_are_cut_at_quantiles() {
        let heavy: Vec<f64> = (1..200_000).map(|i| (f64::from(i) * 1.57e-5 - 1.57).tan()).collect();
        let sizes = map_labelled(&heavy, &vec![true; heavy.len()], Threads::ONE, |part| part.keys().len());
        assert!(sizes.len() > 100 && sizes.iter().all(|size| *size < 5000), "{sizes:?}");
    }
}
