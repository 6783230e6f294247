//! Order and ranks of f64 values, with ties treated as ties.
//!
//! `-0.0` and `0.0` are equal here, as they are under `==`. Infinities have their place at the ends; NaN has none and
//! is an error. Long finite inputs are spread over cells of equal width and the cells sorted one by one ([`map_sorted`]); a
//! cell that is still too full is spread again over its own range, so that outliers and clusters cost another pass and not
//! their square. What has infinities or NaN is sorted by its bits (least significant digit first, 11 bits a time).

use std::cmp::Ordering;
use std::ops::Range;

use super::StatsError;
use super::parallel::{Threads, map, map_pieces};
use super::simd::{Kernel, run};

/// From here on the fixed cost of the counting passes is repaid.
const RADIX_MIN_LEN: usize = 2_048;
const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 6;
const BUCKETS: usize = 1 << DIGIT_BITS;

/// Rows of a part that is sorted at once: they and their scratch stay in the nearest cache.
pub(super) const PART: usize = 1_024;
/// More cells than this and the ends that are written to leave the cache.
pub(super) const MAX_PARTS: usize = 4_096;
/// Up to here insertion is the fastest sort.
const INSERTION: usize = 24;
/// How often a part may be spread over its own range before comparisons take over.
const SPREADS: u32 = 4;

/// The bits of `value`, rearranged so that unsigned order is numeric order and both zeros are one key.
fn order_key(value: f64) -> u64 {
    // Adding +0.0 turns -0.0 into +0.0 and leaves every other value alone.
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 0 { bits | (1 << 63) } else { !bits }
}

fn digit(key: u64, pass: usize) -> usize {
    let shift = DIGIT_BITS * pass as u32;
    // Masked to 11 bits, so it fits every usize.
    ((key >> shift) & (BUCKETS as u64 - 1)) as usize
}

/// Sorts pairs by their first part, ascending and stable, carrying the second part along.
///
/// `-0.0` and `0.0` count as equal and keep their order. NaNs are not looked for: those without a sign bit come last,
/// those with one first; callers that must refuse them check before. A few passes over memory for values that are spread out
/// or tied, O(n log n) at worst, with as much scratch memory as the input.
///
/// ```
/// use mlops_core::num::ranks::sort_pairs;
///
/// let mut pairs = vec![(2.0, 'a'), (-1.0, 'b'), (2.0, 'c')];
/// sort_pairs(&mut pairs);
/// assert_eq!(pairs, [(-1.0, 'b'), (2.0, 'a'), (2.0, 'c')]);
/// ```
pub fn sort_pairs<P: Copy>(pairs: &mut Vec<(f64, P)>) {
    if pairs.len() < RADIX_MIN_LEN {
        pairs.sort_by_key(|pair| order_key(pair.0));
        return;
    }
    if pairs.iter().all(|pair| pair.0.is_finite()) {
        let mut scratch = pairs.clone();
        spread(pairs, &mut scratch, SPREADS);
    } else {
        sort_by_bits(pairs);
    }
}

fn sort_by_bits<P: Copy>(pairs: &mut Vec<(f64, P)>) {
    let counts = count_digits(pairs);
    let mut scratch = pairs.clone();
    for (pass, counts) in counts.iter().enumerate() {
        // One bucket holds everything: this digit orders nothing.
        if counts.contains(&pairs.len()) {
            continue;
        }
        let mut next = bucket_starts(counts);
        for &pair in pairs.iter() {
            let place = &mut next[digit(order_key(pair.0), pass)];
            scratch[*place] = pair;
            *place += 1;
        }
        std::mem::swap(pairs, &mut scratch);
    }
}

fn count_digits<P>(pairs: &[(f64, P)]) -> Vec<[usize; BUCKETS]> {
    let mut counts = vec![[0_usize; BUCKETS]; DIGITS];
    for (value, _) in pairs {
        let key = order_key(*value);
        for (pass, counts) in counts.iter_mut().enumerate() {
            counts[digit(key, pass)] += 1;
        }
    }
    counts
}

fn bucket_starts(counts: &[usize; BUCKETS]) -> [usize; BUCKETS] {
    let mut starts = [0; BUCKETS];
    let mut sum = 0;
    for (start, count) in starts.iter_mut().zip(counts) {
        *start = sum;
        sum += count;
    }
    starts
}

/// Cells of equal width between two finite numbers. The cell of a value never falls as the value rises, so cells hold parts of
/// the order, and equal values share one.
#[derive(Clone, Copy)]
pub(super) struct Cells {
    low: f64,
    scale: f64,
    last: f64,
}

impl Cells {
    pub(super) fn new(low: f64, high: f64, count: usize) -> Self {
        // Where the range overflows or is 0 the scale is 0 or infinite, and all values share a cell.
        Self { low, scale: count as f64 / (high - low), last: count as f64 - 1.0 }
    }

    #[inline(always)]
    #[allow(clippy::cast_sign_loss, reason = "no value lies below the lowest")]
    pub(super) fn of(&self, value: f64) -> u32 {
        // `min` turns the NaN of 0·∞ into the last cell.
        ((value - self.low) * self.scale).min(self.last) as u32
    }
}

/// The smallest and the largest of values that are finite; `None` if one is not, or there are none.
pub(super) fn finite_range(values: &[f64]) -> Option<(f64, f64)> {
    let (low, high) = run(Extremes(values));
    (low.is_finite() && high.is_finite()).then_some((low, high))
}

struct Extremes<'a>(&'a [f64]);

impl Kernel for Extremes<'_> {
    type Output = (f64, f64);

    #[inline(always)]
    fn run(self) -> (f64, f64) {
        const LANES: usize = 16;
        let (mut low, mut high) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
        // 0·x is 0 for finite x and NaN otherwise, and NaN stays in a sum.
        let mut faults = [0.0; LANES];
        let mut chunks = self.0.chunks_exact(LANES);
        for chunk in &mut chunks {
            for lane in 0..LANES {
                let value = chunk[lane];
                low[lane] = if value < low[lane] { value } else { low[lane] };
                high[lane] = if value > high[lane] { value } else { high[lane] };
                faults[lane] += value * 0.0;
            }
        }
        for &value in chunks.remainder() {
            low[0] = low[0].min(value);
            high[0] = high[0].max(value);
            faults[0] += value * 0.0;
        }
        if faults.iter().sum::<f64>().is_nan() {
            return (f64::NAN, f64::NAN);
        }
        (low.into_iter().fold(f64::INFINITY, f64::min), high.into_iter().fold(f64::NEG_INFINITY, f64::max))
    }
}

struct CellsOf<'a> {
    values: &'a [f64],
    cells: Cells,
    out: &'a mut [u16],
}

impl Kernel for CellsOf<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (value, out) in self.values.iter().zip(self.out) {
            // At most `MAX_PARTS`, which fits.
            *out = self.cells.of(*value) as u16;
        }
    }
}

/// The rows of a piece, sorted by cell and otherwise in their order.
struct Shard<P> {
    rows: Vec<(f64, P)>,
    starts: Vec<u32>,
}

impl<P: Copy> Shard<P> {
    fn of(values: &[f64], first: usize, carried: impl Fn(usize) -> P, cells: Cells, count: usize) -> Self {
        let mut cell_of = vec![0_u16; values.len()];
        run(CellsOf { values, cells, out: &mut cell_of });
        let mut starts = starts_of(cell_of.iter().map(|&cell| usize::from(cell)), count);
        let mut rows = vec![(0.0, carried(first)); values.len()];
        for (offset, (&value, &cell)) in values.iter().zip(&cell_of).enumerate() {
            let place = &mut starts[usize::from(cell)];
            rows[*place as usize] = (value, carried(first + offset));
            *place += 1;
        }
        // Each start has moved to its cell's end, which is the next one's start.
        starts.rotate_right(1);
        starts[0] = 0;
        Self { rows, starts }
    }

    fn cell(&self, cell: usize) -> &[(f64, P)] {
        &self.rows[self.starts[cell] as usize..self.starts[cell + 1] as usize]
    }
}

/// Where each of `count` cells begins, and one more for the end.
pub(super) fn starts_of(cells: impl Iterator<Item = usize>, count: usize) -> Vec<u32> {
    // Two tables in turn: rows that share a cell do not wait for each other's count.
    let mut counts = vec![[0_u32; 2]; count + 1];
    for (row, cell) in cells.enumerate() {
        counts[cell][row & 1] += 1;
    }
    let mut sum = 0;
    let start = |counts: &[u32; 2]| {
        let start = sum;
        sum += counts[0] + counts[1];
        start
    };
    counts.iter().map(start).collect()
}

/// Applies `work` to the rows in ascending order of `values`, a part at a time, and returns the results in that order.
///
/// A part is a slice of values with what `carried` says of their rows, sorted and stable; equal values (both zeros are equal)
/// are always in one part. Which parts there are depends on the values alone, so the results are the same on any number of
/// threads. Parts of values that are spread out have a thousand rows or so, stay in the cache while they are sorted and worked
/// on, and the order as a whole is never written down. Values with a NaN or an infinity are one part, ordered as
/// [`sort_pairs`] orders them. No values are no part.
///
/// ```
/// use mlops_core::num::parallel::Threads;
/// use mlops_core::num::ranks::map_sorted;
///
/// let values = [2.0, -1.0, 2.0];
/// let parts = map_sorted(&values, |row| row, Threads::ONE, |part| part.to_vec());
/// assert_eq!(parts.concat(), [(-1.0, 1), (2.0, 0), (2.0, 2)]);
/// ```
pub fn map_sorted<P: Copy + Send + Sync, R: Send>(
    values: &[f64],
    carried: impl Fn(usize) -> P + Sync,
    threads: Threads,
    work: impl Fn(&[(f64, P)]) -> R + Sync,
) -> Vec<R> {
    if values.is_empty() {
        return Vec::new();
    }
    let whole = || values.iter().enumerate().map(|(row, &value)| (value, carried(row))).collect::<Vec<_>>();
    let count = (values.len() / PART).min(MAX_PARTS);
    let range = if count < 2 { None } else { finite_range(values) };
    let Some((low, high)) = range.filter(|(low, high)| low < high) else {
        let mut pairs = whole();
        sort_pairs(&mut pairs);
        return vec![work(&pairs)];
    };
    let cells = Cells::new(low, high, count);
    let shard = |rows: Range<usize>| Shard::of(&values[rows.clone()], rows.start, &carried, cells, count);
    let shards = map_pieces(values.len(), threads, shard);
    let batch = count.div_ceil(64);
    let batches = map(count.div_ceil(batch), threads, |index| {
        let (mut part, mut scratch) = (Vec::new(), Vec::new());
        let mut results = Vec::new();
        for cell in index * batch..count.min((index + 1) * batch) {
            part.clear();
            shards.iter().for_each(|shard| part.extend_from_slice(shard.cell(cell)));
            if !part.is_empty() {
                scratch.clone_from(&part);
                spread(&mut part, &mut scratch, SPREADS);
                results.push(work(&part));
            }
        }
        results
    });
    batches.into_iter().flatten().collect()
}

/// Sorts finite values, stable: spreads them over cells of their own range and sorts what the cells leave unsorted. `scratch`
/// is as long as `part`.
fn spread<P: Copy>(part: &mut [(f64, P)], scratch: &mut [(f64, P)], spreads: u32) {
    if part.len() <= INSERTION {
        return insertion(part);
    }
    let (low, high) = extremes(part);
    if low == high {
        return;
    }
    if spreads == 0 || part.len() > u32::MAX as usize {
        part.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal));
        return;
    }
    let count = part.len().min(1 << 16);
    let cells = Cells::new(low, high, count);
    let starts = starts_of(part.iter().map(|pair| cells.of(pair.0) as usize), count);
    let mut next = starts.clone();
    for &pair in part.iter() {
        let place = &mut next[cells.of(pair.0) as usize];
        scratch[*place as usize] = pair;
        *place += 1;
    }
    part.copy_from_slice(scratch);
    for bounds in starts.windows(2) {
        let cell = bounds[0] as usize..bounds[1] as usize;
        if cell.len() > INSERTION {
            spread(&mut part[cell.clone()], &mut scratch[cell], spreads - 1);
        }
    }
    insertion(part);
}

fn extremes<P>(part: &[(f64, P)]) -> (f64, f64) {
    part.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &(value, _)| {
        (if value < low { value } else { low }, if value > high { value } else { high })
    })
}

fn insertion<P: Copy>(part: &mut [(f64, P)]) {
    for end in 1..part.len() {
        let pair = part[end];
        let mut place = end;
        while place > 0 && part[place - 1].0 > pair.0 {
            part[place] = part[place - 1];
            place -= 1;
        }
        part[place] = pair;
    }
}

/// The indices that would sort `values` ascending; equal values keep their order.
///
/// `argument` is the name to put into errors. O(n) from 2 048 values on.
///
/// ```
/// use mlops_core::num::ranks::argsort;
/// assert_eq!(argsort("x", &[3.0, 1.0, 2.0, 1.0])?, [1, 3, 2, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Nan`].
pub fn argsort(argument: &'static str, values: &[f64]) -> Result<Vec<usize>, StatsError> {
    Ok(sorted_with_index(argument, values)?.into_iter().map(|(_, index)| index).collect())
}

/// Midranks: ranks from 1, equal values share the mean of the ranks they occupy.
///
/// The ranks add up to n(n+1)/2 whatever the ties. Agrees with `scipy.stats.rankdata(method="average")`.
///
/// ```
/// use mlops_core::num::ranks::midranks;
/// assert_eq!(midranks("x", &[10.0, 20.0, 10.0, 30.0])?, [1.5, 3.0, 1.5, 4.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Nan`].
pub fn midranks(argument: &'static str, values: &[f64]) -> Result<Vec<f64>, StatsError> {
    let sorted = sorted_with_index(argument, values)?;
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        // The mean of before+1 ..= before+len.
        let rank = before as f64 + (tied.len() as f64 + 1.0) / 2.0;
        for &(_, index) in tied {
            ranks[index] = rank;
        }
        before += tied.len();
    }
    Ok(ranks)
}

/// Σ(t³ − t) over the groups of t equal values: what rank tests subtract for ties. 0 when all values differ.
///
/// ```
/// use mlops_core::num::ranks::tie_sum;
/// assert_eq!(tie_sum("x", &[1.0, 1.0, 2.0, 2.0, 2.0, 3.0])?, 6.0 + 24.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Nan`].
pub fn tie_sum(argument: &'static str, values: &[f64]) -> Result<f64, StatsError> {
    let sorted = sorted_with_index(argument, values)?;
    let cubes = sorted.chunk_by(|a, b| a.0 == b.0).map(|tied| {
        let t = tied.len() as f64;
        t * (t * t - 1.0)
    });
    Ok(cubes.sum())
}

fn sorted_with_index(argument: &'static str, values: &[f64]) -> Result<Vec<(f64, usize)>, StatsError> {
    if let Some(index) = values.iter().position(|value| value.is_nan()) {
        return Err(StatsError::Nan { argument, index });
    }
    let mut pairs: Vec<(f64, usize)> = values.iter().copied().zip(0..).collect();
    sort_pairs(&mut pairs);
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A cheap sequence of bit patterns without NaN, long enough for the counting passes.
    fn scattered(len: u64) -> Vec<f64> {
        let mix = |i: u64| (i ^ (i << 7)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17);
        (0..len).map(|i| f64::from_bits(mix(i))).map(|x| if x.is_nan() { 0.5 } else { x }).collect()
    }

    #[test]
    fn long_inputs_are_sorted_like_short_ones() {
        let values = scattered(10_000);
        let mut by_radix: Vec<(f64, usize)> = values.iter().copied().zip(0..).collect();
        let mut by_comparison = by_radix.clone();
        sort_pairs(&mut by_radix);
        by_comparison.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap());
        assert!(by_radix == by_comparison);
    }

    #[test]
    fn values_that_share_digits_are_still_sorted() {
        let mut pairs: Vec<(f64, usize)> = (0..5_000).map(|i| (((i * 37) % 11) as f64, i)).collect();
        sort_pairs(&mut pairs);
        assert!(pairs.windows(2).all(|w| w[0].0 < w[1].0 || (w[0].0 == w[1].0 && w[0].1 < w[1].1)));
    }

    #[test]
    fn both_zeros_tie_and_infinities_stand_at_the_ends() {
        let values = [0.0, f64::INFINITY, -0.0, f64::NEG_INFINITY];
        assert_eq!(midranks("x", &values).unwrap(), [2.5, 4.0, 2.5, 1.0]);
        let many: Vec<f64> = values.iter().copied().cycle().take(4 * RADIX_MIN_LEN).collect();
        let n = RADIX_MIN_LEN as f64;
        let ranks = midranks("x", &many).unwrap();
        assert_eq!(&ranks[..4], [2.0 * n + 0.5, 3.5 * n + 0.5, 2.0 * n + 0.5, 0.5 * n + 0.5]);
    }

    #[test]
    fn a_nan_is_named() {
        let expected = StatsError::Nan { argument: "x", index: 1 };
        assert_eq!(argsort("x", &[0.0, f64::NAN]), Err(expected));
        assert_eq!(midranks("x", &[0.0, f64::NAN]), Err(expected));
        assert_eq!(tie_sum("x", &[0.0, f64::NAN]), Err(expected));
    }

    #[test]
    fn no_values_have_no_ranks() {
        assert_eq!(midranks("x", &[]), Ok(vec![]));
        assert_eq!(argsort("x", &[]), Ok(vec![]));
        assert_eq!(tie_sum("x", &[]), Ok(0.0));
    }

    /// What the cells have to cope with, each long enough to be spread.
    fn families() -> Vec<Vec<f64>> {
        let unit = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 8) / f64::from(1_u32 << 24);
        let of = |f: &dyn Fn(f64) -> f64| (1..=40_000).map(|i| f(unit(i))).collect::<Vec<f64>>();
        vec![
            of(&|u| u),
            of(&|u| (u * 7.0).floor() - 3.0),
            of(&|u| (std::f64::consts::PI * (u - 0.5)).tan()),
            of(&|u| (u - 0.5) * f64::MAX * 2.0),
            of(&|u| 10_f64.powf(600.0 * u - 300.0)),
            of(&|u| if u < 0.5 { 0.0 } else { -0.0 }),
            of(&|u| if u < 0.001 { u } else { 1e9 + u }),
            of(&|u| (u * 1e4).floor() * 5e-324),
            of(&|u| if u < 0.001 { f64::INFINITY } else { u }),
            of(&|_| 0.25),
        ]
    }

    #[test]
    fn every_family_of_values_is_sorted_stably_in_parts_and_at_once() {
        for (family, values) in families().into_iter().enumerate() {
            let mut expected: Vec<(f64, usize)> = values.iter().copied().zip(0..).collect();
            expected.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap());
            let mut at_once: Vec<(f64, usize)> = values.iter().copied().zip(0..).collect();
            sort_pairs(&mut at_once);
            assert!(at_once == expected, "family {family}");
            for threads in [1, 2, 5] {
                let parts = map_sorted(&values, |row| row, Threads::new(threads), <[_]>::to_vec);
                assert!(parts.concat() == expected, "family {family}");
                let split = parts.windows(2).any(|pair| pair[0].last().unwrap().0 >= pair[1][0].0);
                assert!(!split, "equal values of family {family} are in two parts");
            }
        }
        assert!(map_sorted(&[], |_| (), Threads::ONE, |_| ()).is_empty());
    }

    proptest! {
        #[test]
        fn ranks_add_up_and_follow_the_order(values in prop::collection::vec(-3.0..3.0_f64, 0..60)) {
            let rounded: Vec<f64> = values.iter().map(|x| x.round()).collect();
            let n = rounded.len() as f64;
            let ranks = midranks("x", &rounded).unwrap();
            prop_assert_eq!(ranks.iter().sum::<f64>(), n * (n + 1.0) / 2.0);
            for i in 0..rounded.len() {
                for j in 0..rounded.len() {
                    prop_assert_eq!(rounded[i] < rounded[j], ranks[i] < ranks[j]);
                }
            }
        }
    }
}
