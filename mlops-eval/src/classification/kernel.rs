//! Loops over rows that fill confusion cells: compiled for wide registers, cut into fixed pieces, the same bits on every
//! number of threads and every instruction set.

use std::ops::Range;

use mlops_core::num::StatsError;
use mlops_core::num::parallel::{PIECE, Threads, map, map_pieces};
use mlops_core::num::simd::{Kernel, run};
use mlops_core::num::sum::Sum;

use super::confusion::Confusion;
use super::matrix::unknown_code;

/// Sums kept side by side: as many f64 as the widest register holds.
const LANES: usize = 8;
/// Rows whose counts fit a byte.
const BYTE_ROWS: usize = 255;
/// Count tables that take turns, so that a row never waits for the store of the row before it.
const TABLES: usize = 4;
/// Cells of a table whose index is a byte: no bounds to check.
const BYTE_CELLS: usize = 256;

/// Counts the four cells. Both sides have the same length.
pub(super) fn count_binary(y_true: &[bool], y_pred: &[bool], threads: Threads) -> Confusion {
    let pieces = map_pieces(y_true.len(), threads, |rows| {
        run(CountBinary { y_true: &y_true[rows.clone()], y_pred: &y_pred[rows] })
    });
    let mut sums = [0_u64; 3];
    for piece in pieces {
        sums.iter_mut().zip(piece).for_each(|(sum, part)| *sum += part);
    }
    let [both, actual, predicted] = sums;
    Confusion {
        true_positives: both,
        false_positives: predicted - both,
        false_negatives: actual - both,
        true_negatives: y_true.len() as u64 + both - actual - predicted,
    }
}

/// Rows that are positive on both sides, truly positive, and predicted positive.
struct CountBinary<'a> {
    y_true: &'a [bool],
    y_pred: &'a [bool],
}

impl Kernel for CountBinary<'_> {
    type Output = [u64; 3];

    #[inline(always)]
    fn run(self) -> [u64; 3] {
        let mut sums = [0_u64; 3];
        for (y_true, y_pred) in self.y_true.chunks(BYTE_ROWS).zip(self.y_pred.chunks(BYTE_ROWS)) {
            // Sums of bytes that cannot overflow: 64 rows an instruction.
            let (mut both, mut actual, mut predicted) = (0_u8, 0_u8, 0_u8);
            for (&t, &p) in y_true.iter().zip(y_pred) {
                both += u8::from(t & p);
                actual += u8::from(t);
                predicted += u8::from(p);
            }
            sums[0] += u64::from(both);
            sums[1] += u64::from(actual);
            sums[2] += u64::from(predicted);
        }
        sums
    }
}

/// Adds up the weights of the four cells, in the order of [`cell_index`](super::confusion::cell_index). `None` when a
/// weight is negative, NaN or infinite.
pub(super) fn sum_binary(
    y_true: &[bool],
    y_pred: &[bool],
    weights: &[f64],
    threads: Threads,
) -> Option<[Sum; 4]> {
    let pieces = map_pieces(y_true.len(), threads, |rows| {
        run(SumBinary {
            y_true: &y_true[rows.clone()],
            y_pred: &y_pred[rows.clone()],
            weights: &weights[rows],
        })
    });
    let mut sums = [Sum::new(); 4];
    for piece in pieces {
        sums.iter_mut().zip(piece?).for_each(|(sum, part)| sum.merge(part));
    }
    Some(sums)
}

struct SumBinary<'a> {
    y_true: &'a [bool],
    y_pred: &'a [bool],
    weights: &'a [f64],
}

/// A register of compensated sums.
#[derive(Clone, Copy, Default)]
struct Wide {
    total: [f64; LANES],
    lost: [f64; LANES],
}

impl Wide {
    /// Knuth's sum of two numbers with its rounding error (1969): no branch, the same for every size of the operands.
    #[inline(always)]
    fn add(&mut self, lane: usize, value: f64) {
        let before = self.total[lane];
        let next = before + value;
        let added = next - before;
        self.lost[lane] += (before - (next - added)) + (value - added);
        self.total[lane] = next;
    }

    fn sum(&self) -> Sum {
        let mut sum = Sum::new();
        self.total.iter().chain(&self.lost).for_each(|&part| sum.push(part));
        sum
    }
}

impl Kernel for SumBinary<'_> {
    type Output = Option<[Sum; 4]>;

    #[inline(always)]
    fn run(self) -> Self::Output {
        let mut cells = [Wide::default(); 4];
        let mut good = true;
        let (t_chunks, t_rest) = self.y_true.as_chunks::<LANES>();
        let (p_chunks, p_rest) = self.y_pred.as_chunks::<LANES>();
        let (w_chunks, w_rest) = self.weights.as_chunks::<LANES>();
        for ((t, p), w) in t_chunks.iter().zip(p_chunks).zip(w_chunks) {
            for lane in 0..LANES {
                good &= usable(w[lane]);
                let index = u8::from(t[lane]) << 1 | u8::from(p[lane]);
                for (cell, sums) in cells.iter_mut().enumerate() {
                    sums.add(lane, if usize::from(index) == cell { w[lane] } else { 0.0 });
                }
            }
        }
        for (lane, ((&t, &p), &w)) in t_rest.iter().zip(p_rest).zip(w_rest).enumerate() {
            good &= usable(w);
            cells[super::confusion::cell_index(t, p)].add(lane, w);
        }
        good.then(|| cells.map(|cell| cell.sum()))
    }
}

#[inline(always)]
#[allow(
    clippy::manual_range_contains,
    reason = "two comparisons without a branch keep the loop in wide registers"
)]
fn usable(weight: f64) -> bool {
    (weight >= 0.0) & (weight <= f64::MAX)
}

/// Counts the cells of a matrix, true class by predicted class.
pub(super) fn count_multiclass(
    y_true: &[u32],
    y_pred: &[u32],
    classes: usize,
    threads: Threads,
) -> Result<Vec<u64>, StatsError> {
    let count = |rows: Range<usize>| {
        let (t, p) = (&y_true[rows.clone()], &y_pred[rows.clone()]);
        check_codes(t, p, classes, rows.start)?;
        let small = classes * classes <= BYTE_CELLS;
        Ok(if small { count_small(t, p, classes) } else { count_large(t, p, classes) })
    };
    let mut cells = vec![0_u64; classes * classes];
    for part in map_tables(y_true.len(), classes, threads, count) {
        cells.iter_mut().zip(part?).for_each(|(cell, n)| *cell += u64::from(n));
    }
    Ok(cells)
}

/// Works on pieces that have at least 64 rows for each cell of the matrix, so that adding up tables, and keeping them, costs
/// little beside the rows; at most 2 048² · 64 = 2²⁸ rows, whose counts fit 32 bits.
fn map_tables<R: Send>(
    rows: usize,
    classes: usize,
    threads: Threads,
    work: impl Fn(Range<usize>) -> R + Sync,
) -> Vec<R> {
    let piece = PIECE.max(classes * classes * 64);
    map(rows.div_ceil(piece), threads, |index| work(index * piece..rows.min((index + 1) * piece)))
}

/// That every code is below `classes`; the first that is not is named, with its row counted from `first`.
fn check_codes(y_true: &[u32], y_pred: &[u32], classes: usize, first: usize) -> Result<(), StatsError> {
    let known = u32::try_from(classes).unwrap_or(u32::MAX);
    if run(Largest(y_true)).max(run(Largest(y_pred))) < known {
        return Ok(());
    }
    let bad = |(row, (&t, &p))| {
        (t >= known || p >= known).then(|| {
            let (argument, code) = if t >= known { ("y_true", t) } else { ("y_pred", p) };
            unknown_code(argument, first + row, code, classes)
        })
    };
    y_true.iter().zip(y_pred).enumerate().find_map(bad).map_or(Ok(()), Err)
}

struct Largest<'a>(&'a [u32]);

impl Kernel for Largest<'_> {
    type Output = u32;

    #[inline(always)]
    fn run(self) -> u32 {
        self.0.iter().fold(0, |largest, &code| largest.max(code))
    }
}

fn count_small(y_true: &[u32], y_pred: &[u32], classes: usize) -> Vec<u32> {
    let mut tables = [[0_u32; BYTE_CELLS]; TABLES];
    let k = classes as u32;
    // Codes are below `classes`, whose square is at most 256: the index fits a byte.
    let index = |t: u32, p: u32| usize::from((t * k + p) as u8);
    let (t_chunks, t_rest) = y_true.as_chunks::<TABLES>();
    let (p_chunks, p_rest) = y_pred.as_chunks::<TABLES>();
    for (t, p) in t_chunks.iter().zip(p_chunks) {
        for table in 0..TABLES {
            tables[table][index(t[table], p[table])] += 1;
        }
    }
    for (&t, &p) in t_rest.iter().zip(p_rest) {
        tables[0][index(t, p)] += 1;
    }
    (0..classes * classes).map(|cell| tables.iter().map(|table| table[cell]).sum()).collect()
}

fn count_large(y_true: &[u32], y_pred: &[u32], classes: usize) -> Vec<u32> {
    let mut cells = vec![0_u32; classes * classes];
    for (&t, &p) in y_true.iter().zip(y_pred) {
        cells[t as usize * classes + p as usize] += 1;
    }
    cells
}

/// Adds up the weights of the cells of a matrix; `Ok(None)` when a weight is negative, NaN or infinite.
pub(super) fn sum_multiclass(
    y_true: &[u32],
    y_pred: &[u32],
    weights: &[f64],
    classes: usize,
    threads: Threads,
) -> Result<Option<Vec<Sum>>, StatsError> {
    let sum = |rows: Range<usize>| {
        let (t, p, w) = (&y_true[rows.clone()], &y_pred[rows.clone()], &weights[rows.clone()]);
        check_codes(t, p, classes, rows.start)?;
        Ok(run(AllUsable(w)).then(|| sum_piece(t, p, w, classes)))
    };
    let parts = map_tables(y_true.len(), classes, threads, sum);
    let mut cells = vec![Sum::new(); classes * classes];
    for part in parts {
        let Some(part) = part? else { return Ok(None) };
        cells.iter_mut().zip(part).for_each(|(cell, sum)| cell.merge(sum));
    }
    Ok(Some(cells))
}

struct AllUsable<'a>(&'a [f64]);

impl Kernel for AllUsable<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        self.0.iter().fold(true, |good, &weight| good & usable(weight))
    }
}

/// Several tables in turn, where they are small enough for the cache.
fn sum_piece(y_true: &[u32], y_pred: &[u32], weights: &[f64], classes: usize) -> Vec<Sum> {
    let cells = classes * classes;
    let tables = if cells <= BYTE_CELLS { LANES } else { 1 };
    let mut totals = vec![[0.0_f64; 2]; cells * tables];
    for (row, ((&t, &p), &weight)) in y_true.iter().zip(y_pred).zip(weights).enumerate() {
        let cell = t as usize * classes + p as usize;
        let [total, lost] = &mut totals[cell * tables + (row & (tables - 1))];
        let next = *total + weight;
        let added = next - *total;
        *lost += (*total - (next - added)) + (weight - added);
        *total = next;
    }
    let whole = |parts: &[[f64; 2]]| parts.iter().flatten().copied().collect::<Sum>();
    totals.chunks_exact(tables).map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::num::simd::{Level, run_at};

    fn rows(n: usize) -> (Vec<bool>, Vec<bool>, Vec<f64>) {
        let t = (0..n).map(|i| (i * 7919) % 11 < 4).collect();
        let p = (0..n).map(|i| (i * 104_729) % 13 < 5).collect();
        let w = (0..n).map(|i| ((i * 31) % 1000) as f64 * 1e-3 + 1e-9).collect();
        (t, p, w)
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let (t, p, w) = rows(10_007);
        let counts = run_at(Level::Baseline, CountBinary { y_true: &t, y_pred: &p });
        let sums = run_at(Level::Baseline, SumBinary { y_true: &t, y_pred: &p, weights: &w }).unwrap();
        for level in Level::all() {
            assert_eq!(run_at(level, CountBinary { y_true: &t, y_pred: &p }), counts, "{level:?}");
            let again = run_at(level, SumBinary { y_true: &t, y_pred: &p, weights: &w }).unwrap();
            assert_eq!(again, sums, "{level:?}");
        }
    }

    #[test]
    fn small_weights_beside_large_ones_are_not_lost() {
        let n = 200_000;
        let mut w = vec![1.0; n];
        w[3] = 1e16;
        let (t, p) = (vec![true; n], vec![true; n]);
        let sums = sum_binary(&t, &p, &w, Threads::ONE).unwrap();
        assert_eq!(sums[3].value(), 1e16 + (n as f64 - 1.0));
        let codes = vec![0; n];
        let sums = sum_multiclass(&codes, &codes, &w, 2, Threads::ONE).unwrap().unwrap();
        assert_eq!(sums[0].value(), 1e16 + (n as f64 - 1.0));
    }

    #[test]
    fn tables_of_every_size_count_alike() {
        let n = 3001;
        let t: Vec<u32> = (0..n).map(|i| (i * 7 + i / 5) % 16).collect();
        let p: Vec<u32> = (0..n).map(|i| (i * 3 + i / 7) % 16).collect();
        assert_eq!(count_small(&t, &p, 16), count_large(&t, &p, 16));
    }
}
