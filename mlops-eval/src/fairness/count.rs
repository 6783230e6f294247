//! Rows counted into the confusion cells of their groups: codes, truth and prediction become one small number a row, and
//! how often each occurs is all that is kept.

use std::ops::Range;

use mlops_core::num::parallel::{PIECE, Threads, map};
use mlops_core::num::simd::{Kernel, run};
use mlops_core::num::sum::Sum;
use mlops_core::num::{StatsError, weights};

use super::group::unknown_code;
use crate::classification::{Confusion, WeightedConfusion};

/// Rows numbered at a time: their numbers stay in the first cache.
const BLOCK: usize = 4_096;
/// Count tables used in turn, so that rows of one cell do not wait for each other.
const TABLES: usize = 4;
/// The most cells of which the number is a byte.
const SMALL: usize = 256;
/// The most pieces the rows are cut into: each has tables of its own, which may be large.
const PIECES: usize = 64;

/// Codes of every feature with the number of its categories.
type Codes<'a> = [(&'a [u32], u32)];

struct Group<'a> {
    codes: &'a Codes<'a>,
    rows: Range<usize>,
    out: &'a mut [u32],
}

impl Kernel for Group<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        self.out.fill(0);
        let mut known = true;
        for (codes, categories) in self.codes {
            let mut unknown = 0;
            let codes = codes.get(self.rows.clone()).unwrap_or_default();
            for (group, &code) in self.out.iter_mut().zip(codes) {
                unknown |= u32::from(code >= *categories);
                // Wraps only for unknown codes, whose group is never used.
                *group = group.wrapping_mul(*categories).wrapping_add(code);
            }
            known &= unknown == 0;
        }
        known
    }
}

/// The combination of categories that each of `rows` has, the last feature varying fastest. Whether all codes are known; if
/// not, `out` holds nothing of use.
pub(super) fn group_into(codes: &Codes<'_>, rows: Range<usize>, out: &mut [u32]) -> bool {
    run(Group { codes, rows, out })
}

/// 4·group + 2·truth + prediction for every row, as a byte: for at most [`SMALL`] cells.
struct Cell<'a> {
    groups: &'a [u32],
    y_true: &'a [bool],
    y_pred: &'a [bool],
    out: &'a mut [u8],
}

impl Kernel for Cell<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let labels = self.y_true.iter().zip(self.y_pred);
        for ((cell, &group), (&t, &p)) in self.out.iter_mut().zip(self.groups).zip(labels) {
            *cell = (group as u8) << 2 | u8::from(t) << 1 | u8::from(p);
        }
    }
}

/// Whether every weight is finite and not negative.
struct Weights<'a>(&'a [f64]);

impl Kernel for Weights<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let bad = |weight: &f64| u64::from(!(*weight >= 0.0 && *weight <= f64::MAX));
        self.0.iter().map(bad).fold(0, |any, bad| any | bad) == 0
    }
}

/// The rows to count: labels, codes of the features and weights, all of one length.
#[derive(Clone, Copy)]
pub(super) struct Labels<'a> {
    pub(super) y_true: &'a [bool],
    pub(super) y_pred: &'a [bool],
    pub(super) codes: &'a Codes<'a>,
    /// The number of groups the codes make.
    pub(super) groups: usize,
}

impl Labels<'_> {
    /// The cells of every group. O(n); a thread works on pieces of rows that depend on their number alone.
    ///
    /// # Errors
    /// [`StatsError::UnknownCode`].
    pub(super) fn count(&self, threads: Threads) -> Result<Vec<Confusion>, StatsError> {
        let pieces = self.pieces(threads, |rows| {
            let mut counts = Counts::new(self.groups);
            self.blocks(rows, |cells, _| counts.add(cells)).map(|()| counts.finish())
        })?;
        Ok(confusions(&total(pieces, self.groups, |sum, count| *sum += count)))
    }

    /// The rows of every group, and the weight in each of its cells. O(n); sums are compensated.
    ///
    /// # Errors
    /// [`StatsError::UnknownCode`]; [`StatsError::Overflow`] or [`StatsError::ZeroTotal`] for the sum of the weights, and what
    /// [`weights::total`] refuses.
    pub(super) fn weigh(
        &self,
        weights: &[f64],
        threads: Threads,
    ) -> Result<Vec<(u64, WeightedConfusion)>, StatsError> {
        if weights.len() != self.y_true.len() || !run(Weights(weights)) {
            weights::total_for("weights", weights, "y_true", self.y_true.len())?;
        }
        let pieces = self.pieces(threads, |rows| {
            let (mut counts, mut sums) = (Counts::new(self.groups), Sums::new(self.groups));
            self.blocks(rows, |cells, rows| {
                counts.add(cells);
                sums.add(cells, weights.get(rows).unwrap_or_default());
            })?;
            Ok((counts.finish(), sums.finish()))
        })?;
        let (counts, sums): (Vec<_>, Vec<_>) = pieces.into_iter().unzip();
        let rows = confusions(&total(counts, self.groups, |sum, count| *sum += count));
        let sums = total(sums, self.groups, |sum: &mut Sum, part| sum.merge(part));
        weighted(&rows, &sums)
    }

    /// Fixed pieces of the rows, in order.
    fn pieces<R: Send>(
        &self,
        threads: Threads,
        work: impl Fn(Range<usize>) -> Result<R, StatsError> + Sync,
    ) -> Result<Vec<R>, StatsError> {
        let rows = self.y_true.len();
        let size = rows.div_ceil(PIECES).next_multiple_of(PIECE);
        let piece = |index: usize| work(index * size..rows.min((index + 1) * size));
        map(rows.div_ceil(size.max(1)), threads, piece).into_iter().collect()
    }

    /// Hands the cells of one block of rows after the other to `take`.
    fn blocks(
        &self,
        rows: Range<usize>,
        mut take: impl FnMut(&Cells<'_>, Range<usize>),
    ) -> Result<(), StatsError> {
        let (mut groups, mut small) = ([0_u32; BLOCK], [0_u8; BLOCK]);
        let mut start = rows.start;
        while start < rows.end {
            let block = start..rows.end.min(start + BLOCK);
            let groups = &mut groups[..block.len()];
            if !group_into(self.codes, block.clone(), groups) {
                return Err(
                    unknown_code(self.codes, block).unwrap_or(StatsError::Empty { argument: "categories" })
                );
            }
            let y_true = self.y_true.get(block.clone()).unwrap_or_default();
            let y_pred = self.y_pred.get(block.clone()).unwrap_or_default();
            if self.groups * 4 <= SMALL {
                let small = &mut small[..block.len()];
                run(Cell { groups, y_true, y_pred, out: small });
                take(&Cells::Small(small), block.clone());
            } else {
                for ((group, &t), &p) in groups.iter_mut().zip(y_true).zip(y_pred) {
                    *group = *group << 2 | u32::from(t) << 1 | u32::from(p);
                }
                take(&Cells::Wide(groups), block.clone());
            }
            start = block.end;
        }
        Ok(())
    }
}

/// The cell of every row of a block.
enum Cells<'a> {
    Small(&'a [u8]),
    Wide(&'a [u32]),
}

/// How often each cell occurs.
enum Counts {
    Small(Box<[[u64; SMALL]; TABLES]>, usize),
    Wide(Vec<u64>),
}

impl Counts {
    fn new(groups: usize) -> Self {
        if groups * 4 <= SMALL {
            Self::Small(Box::new([[0; SMALL]; TABLES]), groups * 4)
        } else {
            Self::Wide(vec![0; groups * 4])
        }
    }

    fn add(&mut self, cells: &Cells<'_>) {
        match (self, cells) {
            (Self::Small(tables, _), Cells::Small(cells)) => {
                let [a, b, c, d] = &mut **tables;
                let (fours, rest) = cells.as_chunks::<TABLES>();
                for four in fours {
                    a[usize::from(four[0])] += 1;
                    b[usize::from(four[1])] += 1;
                    c[usize::from(four[2])] += 1;
                    d[usize::from(four[3])] += 1;
                }
                rest.iter().for_each(|&cell| a[usize::from(cell)] += 1);
            }
            (Self::Wide(counts), Cells::Wide(cells)) => {
                for &cell in *cells {
                    // Codes have been checked, so every cell has its place.
                    if let Some(count) = counts.get_mut(cell as usize) {
                        *count += 1;
                    }
                }
            }
            // Both are made for the same number of groups.
            _ => {}
        }
    }

    fn finish(self) -> Vec<u64> {
        match self {
            Self::Small(tables, cells) => {
                (0..cells).map(|cell| tables.iter().map(|table| table[cell]).sum()).collect()
            }
            Self::Wide(counts) => counts,
        }
    }
}

/// A sum with what it has lost, added to without a branch (Knuth, TAOCP 2, 4.2.2: exact whichever term is larger).
#[derive(Clone, Copy, Default)]
struct Pair {
    total: f64,
    lost: f64,
}

impl Pair {
    #[inline(always)]
    fn push(&mut self, value: f64) {
        let next = self.total + value;
        let added = next - self.total;
        self.lost += (self.total - (next - added)) + (value - added);
        self.total = next;
    }

    fn sum(self) -> Sum {
        let mut sum = Sum::new();
        sum.push(self.total);
        if self.lost != 0.0 {
            sum.push(self.lost);
        }
        sum
    }
}

/// The weight in each cell.
enum Sums {
    Small(Box<[[Pair; SMALL]; TABLES]>, usize),
    Wide(Vec<Pair>),
}

impl Sums {
    fn new(groups: usize) -> Self {
        if groups * 4 <= SMALL {
            Self::Small(Box::new([[Pair::default(); SMALL]; TABLES]), groups * 4)
        } else {
            Self::Wide(vec![Pair::default(); groups * 4])
        }
    }

    fn add(&mut self, cells: &Cells<'_>, weights: &[f64]) {
        match (self, cells) {
            (Self::Small(tables, _), Cells::Small(cells)) => {
                let [a, b, c, d] = &mut **tables;
                let (fours, rest) = cells.as_chunks::<TABLES>();
                let (weighed, last) = weights.as_chunks::<TABLES>();
                for (four, weights) in fours.iter().zip(weighed) {
                    a[usize::from(four[0])].push(weights[0]);
                    b[usize::from(four[1])].push(weights[1]);
                    c[usize::from(four[2])].push(weights[2]);
                    d[usize::from(four[3])].push(weights[3]);
                }
                rest.iter().zip(last).for_each(|(&cell, &weight)| a[usize::from(cell)].push(weight));
            }
            (Self::Wide(sums), Cells::Wide(cells)) => {
                for (&cell, &weight) in cells.iter().zip(weights) {
                    if let Some(sum) = sums.get_mut(cell as usize) {
                        sum.push(weight);
                    }
                }
            }
            _ => {}
        }
    }

    fn finish(self) -> Vec<Sum> {
        match self {
            Self::Small(tables, cells) => {
                let sum = |cell: usize| {
                    let mut sum = Sum::new();
                    tables.iter().for_each(|table| sum.merge(table[cell].sum()));
                    sum
                };
                (0..cells).map(sum).collect()
            }
            Self::Wide(sums) => sums.into_iter().map(Pair::sum).collect(),
        }
    }
}

/// The tables of all pieces added up in order.
fn total<T: Copy + Default>(pieces: Vec<Vec<T>>, groups: usize, add: impl Fn(&mut T, T)) -> Vec<T> {
    let mut total = vec![T::default(); groups * 4];
    for piece in pieces {
        total.iter_mut().zip(piece).for_each(|(sum, part)| add(sum, part));
    }
    total
}

fn confusions(counts: &[u64]) -> Vec<Confusion> {
    let (groups, _) = counts.as_chunks::<4>();
    let confusion = |&[true_negatives, false_positives, false_negatives, true_positives]: &[u64; 4]| {
        Confusion { true_positives, false_positives, false_negatives, true_negatives }
    };
    groups.iter().map(confusion).collect()
}

fn weighted(rows: &[Confusion], sums: &[Sum]) -> Result<Vec<(u64, WeightedConfusion)>, StatsError> {
    let overflow = StatsError::Overflow { what: "the sum of the weights" };
    let mut all = Sum::new();
    sums.iter().for_each(|sum| all.merge(*sum));
    if !all.value().is_finite() || sums.iter().any(|sum| !sum.value().is_finite()) {
        return Err(overflow);
    }
    if all.value() == 0.0 {
        return Err(StatsError::ZeroTotal { argument: "weights" });
    }
    let (sums, _) = sums.as_chunks::<4>();
    let group =
        |(rows, sums): (&Confusion, &[Sum; 4])| Ok((rows.rows(), WeightedConfusion::from_sums(sums)?));
    rows.iter().zip(sums).map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels and codes without a pattern that the block size could hide.
    fn rows(n: usize, categories: u32) -> (Vec<bool>, Vec<bool>, Vec<u32>, Vec<f64>) {
        let mix = |row: usize, salt: u64| {
            (row as u64 + 1)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ salt)
                .rotate_left(23)
                .wrapping_mul(0xd6e8_feb8_6659_fd93)
                >> 40
        };
        let t = (0..n).map(|row| mix(row, 1).is_multiple_of(3)).collect();
        let p = (0..n).map(|row| mix(row, 2).is_multiple_of(2)).collect();
        let codes = (0..n).map(|row| (mix(row, 3) % u64::from(categories)) as u32).collect();
        let weights = (0..n).map(|row| mix(row, 4) as f64 / 1e6).collect();
        (t, p, codes, weights)
    }

    #[test]
    fn blocks_and_tables_count_every_row_once() {
        for (n, categories) in
            [(1, 1), (3, 2), (BLOCK, 64), (2 * BLOCK + 5, 64), (3 * BLOCK + 1, 65), (70_003, 300)]
        {
            let (y_true, y_pred, codes, weights) = rows(n, categories);
            let codes = [(&codes[..], categories)];
            let groups = categories as usize;
            let labels = Labels { y_true: &y_true, y_pred: &y_pred, codes: &codes, groups };
            let mut expected = vec![Confusion::default(); groups];
            let mut sums = vec![0.0; groups];
            for row in 0..n {
                expected[codes[0].0[row] as usize].push(y_true[row], y_pred[row]);
                sums[codes[0].0[row] as usize] += weights[row];
            }
            assert_eq!(labels.count(Threads::ONE).unwrap(), expected, "{n} {categories}");
            let weighed = labels.weigh(&weights, Threads::ONE).unwrap();
            for ((group, expected), sum) in weighed.iter().zip(&expected).zip(sums) {
                assert_eq!(group.0, expected.rows());
                assert!((group.1.total() - sum).abs() <= 1e-12 * sum, "{n} {categories}");
            }
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let (y_true, y_pred, codes, weights) = rows(200_000, 15);
        let codes = [(&codes[..], 15)];
        let labels = Labels { y_true: &y_true, y_pred: &y_pred, codes: &codes, groups: 15 };
        assert_eq!(labels.count(Threads::ONE), labels.count(Threads::new(3)));
        assert_eq!(labels.weigh(&weights, Threads::ONE), labels.weigh(&weights, Threads::new(3)));
    }

    #[test]
    fn a_small_weight_beside_large_ones_is_not_lost() {
        let n = 10_000;
        let mut weights = vec![1.0; n];
        weights[0] = 1e16;
        let codes = vec![0; n];
        let labels = vec![true; n];
        let codes = [(&codes[..], 1)];
        let labels = Labels { y_true: &labels, y_pred: &labels, codes: &codes, groups: 1 };
        let weighed = labels.weigh(&weights, Threads::ONE).unwrap();
        assert_eq!(weighed[0].1.true_positives(), 1e16 + 9_999.0);
    }

    #[test]
    fn what_cannot_be_counted_is_named_with_its_row() {
        let n = BLOCK + 10;
        let mut codes = vec![0; n];
        codes[BLOCK + 3] = 7;
        let y = vec![true; n];
        let codes = [(&codes[..], 2)];
        let labels = Labels { y_true: &y, y_pred: &y, codes: &codes, groups: 2 };
        let index = BLOCK + 3;
        let error = StatsError::UnknownCode { argument: "sensitive_features", index, code: 7, known: 2 };
        assert_eq!(labels.count(Threads::ONE), Err(error));
        let mut weights = vec![1.0; n];
        weights[5] = -1.0;
        assert!(matches!(labels.weigh(&weights, Threads::ONE), Err(StatsError::OutOfRange { index: 5, .. })));
        weights[5] = f64::NAN;
        assert!(matches!(labels.weigh(&weights, Threads::ONE), Err(StatsError::Nan { index: 5, .. })));
        let good = Labels { codes: &[(&vec![0; n], 2)], ..labels };
        assert!(matches!(good.weigh(&vec![0.0; n], Threads::ONE), Err(StatsError::ZeroTotal { .. })));
        assert!(matches!(good.weigh(&vec![f64::MAX; n], Threads::ONE), Err(StatsError::Overflow { .. })));
    }
}
