//! A fine, monotone map of values to cells: how two large samples are compared without sorting them.
//!
//! Counting into [`CELLS`] cells costs little more than reading the values. What the counts alone cannot decide is decided by
//! the few values of the few cells that matter, which a second pass [gathers](gather).
//!
//! With t = (x − centre)·scale and v = 1/(1 + |t|), the cell is ⌊v·CELLS/2⌉ below the centre and its mirror image above: about
//! linear in the middle of the data and ever wider outwards, so that heavy tails and outliers take no cells from the bulk. Each
//! step of the arithmetic is monotone also after rounding, so the map is: equal values share a cell and greater values never
//! lie in a lower one. All results rest on that alone, and never on the fit of the map, which only decides how fast they come.
#![allow(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "shares of a length are not negative")]

use crate::sample::Value;
use mlops_core::num::simd::{self, Kernel};

/// How many cells there are.
pub(crate) const CELLS: usize = 65_536;
/// How many parts a cell has.
pub(crate) const PARTS: usize = 32;

/// How many values are worked on at a time.
const BLOCK: usize = 512;
/// 2⁵²: adding it to a number in [0, 2³²) leaves the number, rounded, in the low bits.
const SHIFT: f64 = 4_503_599_627_370_496.0;
/// How many values of a sample the map is fitted on.
const FITTED: usize = 1024;

/// Where values go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Map {
    centre: f64,
    scale: f64,
}

impl Map {
    /// Fitted to values taken at regular distances from both samples.
    pub(crate) fn fit<T: Value>(a: &[T], b: &[T]) -> Self {
        let mut few = [0.0; 2 * FITTED];
        let mut len = 0;
        for values in [a, b] {
            // An odd step, so that it falls in with few periods in the data.
            let step = (values.len() / FITTED).max(1) | 1;
            for value in values.iter().step_by(step).take(FITTED).map(|value| value.to_f64()) {
                if value.is_finite() {
                    few[len] = value;
                    len += 1;
                }
            }
        }
        let few = &mut few[..len];
        few.sort_unstable_by(f64::total_cmp);
        Self::of_sorted(few)
    }

    fn of_sorted(sorted: &[f64]) -> Self {
        let at = |share: f64| sorted.get(((sorted.len() as f64) * share) as usize).copied().unwrap_or(0.0);
        let centre = at(0.5);
        // The width of the middle half; where that is one value, of more and more.
        let width =
            [0.25f64, 0.1, 0.01, 0.0].map(|share| at((1.0 - share).min(0.9999)) / 2.0 - at(share) / 2.0);
        let half = width.into_iter().find(|half| *half > 0.0).unwrap_or(1.0);
        Self { centre, scale: (1.0 / half).clamp(f64::MIN_POSITIVE, f64::MAX) }
    }

    /// Where a value lies, in cells: their numbers are the nearest integers.
    #[inline(always)]
    fn position(&self, value: f64) -> f64 {
        let t = (value - self.centre) * self.scale;
        let share = (CELLS / 2) as f64 / (1.0 + t.abs());
        if t < 0.0 { share } else { CELLS as f64 - share }
    }

    /// The cell of a value, NaN among the lowest.
    #[inline(always)]
    pub(crate) fn cell(&self, value: f64) -> u32 {
        (self.position(value).max(0.0).min((CELLS - 1) as f64) + SHIFT).to_bits() as u32
    }

    /// The cell of a value and, from 0 to [`PARTS`] − 1, the part of it: within a cell, greater values never lie in a lower part.
    #[inline(always)]
    pub(crate) fn part(&self, value: f64) -> (u32, u32) {
        let cell = self.cell(value);
        // From half a cell below the cell's number to half a cell above.
        let fine = (self.position(value).max(0.0) * PARTS as f64 + SHIFT).to_bits() as u32;
        let begin = cell as i32 * PARTS as i32 - PARTS as i32 / 2;
        (cell, (fine as i32 - begin).clamp(0, PARTS as i32 - 1) as u32)
    }

    /// About the middle of a cell.
    pub(crate) fn middle(&self, cell: usize) -> f64 {
        let half = (CELLS / 2) as f64;
        let (share, sign) =
            if (cell as f64) < half { (cell as f64, -1.0) } else { ((CELLS - cell) as f64, 1.0) };
        self.centre + sign * (half / share.max(0.5) - 1.0) / self.scale
    }

    #[inline(always)]
    fn cells<T: Value>(&self, block: &[T], cells: &mut [u32; BLOCK]) {
        let mut buffer = [0.0; BLOCK];
        let doubles = T::doubles(block, &mut buffer);
        cells.iter_mut().zip(doubles).for_each(|(cell, value)| *cell = self.cell(*value));
    }
}

/// Adds the number of values in each cell; at most 2³² − 1 of them in all.
pub(crate) fn count<T: Value>(map: Map, values: &[T], counts: &mut [u32; CELLS]) {
    simd::run(Count { map, values, counts });
}

struct Count<'a, T> {
    map: Map,
    values: &'a [T],
    counts: &'a mut [u32; CELLS],
}

impl<T: Value> Kernel for Count<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut cells = [0; BLOCK];
        for block in self.values.chunks(BLOCK) {
            self.map.cells(block, &mut cells);
            for cell in &cells[..block.len()] {
                self.counts[*cell as usize % CELLS] += 1;
            }
        }
    }
}

/// A set of cells.
#[derive(Clone, Debug)]
pub(crate) struct Chosen(Box<[u64; CELLS / 64]>);

impl Chosen {
    pub(crate) fn none() -> Self {
        Self(Box::new([0; CELLS / 64]))
    }

    pub(crate) fn clear(&mut self) {
        self.0.fill(0);
    }

    pub(crate) fn insert(&mut self, cell: usize) {
        self.0[cell / 64 % (CELLS / 64)] |= 1 << (cell % 64);
    }

    #[inline(always)]
    fn bit(&self, cell: u32) -> usize {
        (self.0[cell as usize / 64 % (CELLS / 64)] >> (cell % 64) & 1) as usize
    }

    pub(crate) fn contains(&self, cell: usize) -> bool {
        self.bit(cell as u32) == 1
    }
}

/// Appends the [keys](Value::key) of the values in the chosen cells.
pub(crate) fn gather<T: Value>(map: Map, values: &[T], chosen: &Chosen, keys: &mut Vec<u64>) {
    simd::run(Gather { map, values, chosen, keys });
}

struct Gather<'a, T> {
    map: Map,
    values: &'a [T],
    chosen: &'a Chosen,
    keys: &'a mut Vec<u64>,
}

impl<T: Value> Kernel for Gather<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (mut cells, mut places) = ([0; BLOCK], [0u16; BLOCK]);
        for block in self.values.chunks(BLOCK) {
            self.map.cells(block, &mut cells);
            // Written always, kept when chosen: no branch to mispredict.
            let mut found = 0;
            for (place, cell) in (0u16..).zip(&cells[..block.len()]) {
                places[found % BLOCK] = place;
                found += self.chosen.bit(*cell);
            }
            self.keys.extend(places[..found].iter().map(|place| block[usize::from(*place)].key()));
        }
    }
}

/// Marks the cells that hold a value other than the one expected there.
pub(crate) fn mark_mixed<T: Value>(map: Map, values: &[T], expected: &[u64; CELLS], mixed: &mut [u8; CELLS]) {
    simd::run(MarkMixed { map, values, expected, mixed });
}

struct MarkMixed<'a, T> {
    map: Map,
    values: &'a [T],
    expected: &'a [u64; CELLS],
    mixed: &'a mut [u8; CELLS],
}

impl<T: Value> Kernel for MarkMixed<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut cells = [0; BLOCK];
        for block in self.values.chunks(BLOCK) {
            self.map.cells(block, &mut cells);
            for (value, cell) in block.iter().zip(&cells) {
                let cell = *cell as usize % CELLS;
                self.mixed[cell] |= u8::from(self.expected[cell] != value.key());
            }
        }
    }
}

/// Zeroed memory of the size of the cells, without a detour over the stack.
pub(crate) fn zeroed<V: Copy + Default>() -> Box<[V; CELLS]> {
    let values = vec![V::default(); CELLS].into_boxed_slice();
    values.try_into().unwrap_or_else(|_| Box::new([V::default(); CELLS]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::num::simd::Level;

    fn hostile() -> Vec<f64> {
        let mut values: Vec<f64> =
            vec![0.0, -0.0, 5e-324, -5e-324, f64::MAX, f64::MIN, f64::INFINITY, f64::NEG_INFINITY];
        values.extend((0..3000).map(|i| (f64::from(i) - 1500.0) / 700.0));
        values.extend((0..1000).map(|i| 10f64.powi(i % 600 - 300) * if i % 2 == 0 { 1.0 } else { -1.0 }));
        values.extend((0..3000).map(|i| f64::from_bits(1.4_f64.to_bits() + i)));
        values
    }

    fn maps() -> Vec<Map> {
        let values = hostile();
        let narrow: Vec<f64> = (0..100).map(f64::from_bits).collect();
        vec![
            Map::fit(&values, &values[..10]),
            Map::fit(&narrow, &[]),
            Map::fit::<f64>(&[], &[]),
            Map::fit(&[7.0; 50], &[7.0; 3]),
            Map::fit(&[f64::MIN, f64::MAX], &[0.0]),
            Map { centre: 0.1, scale: 1.3 },
        ]
    }

    #[test]
    fn greater_values_never_lie_in_lower_cells() {
        let mut values = hostile();
        values.sort_unstable_by(f64::total_cmp);
        for map in maps() {
            let cells: Vec<u32> = values.iter().map(|value| map.cell(*value)).collect();
            assert!(cells.windows(2).all(|pair| pair[0] <= pair[1]), "{map:?}");
            assert!(cells.iter().all(|cell| (*cell as usize) < CELLS));
            let parts: Vec<(u32, u32)> = values.iter().map(|value| map.part(*value)).collect();
            assert!(parts.windows(2).all(|pair| pair[0] <= pair[1]), "{map:?}");
            assert!(parts.iter().zip(&cells).all(|(part, cell)| part.0 == *cell && part.1 < PARTS as u32));
        }
    }

    #[test]
    fn every_level_counts_and_gathers_alike() {
        let (map, values) = (Map { centre: 0.1, scale: 1.3 }, hostile());
        let mut chosen = Chosen::none();
        (0..CELLS).step_by(3).for_each(|cell| chosen.insert(cell));
        let expected: Vec<u64> =
            values.iter().filter(|v| map.cell(**v) % 3 == 0).map(|value| value.key()).collect();
        for level in Level::all() {
            let mut counts = zeroed();
            simd::run_at(level, Count { map, values: &values, counts: &mut counts });
            let mut plain = zeroed::<u32>();
            values.iter().for_each(|value| plain[map.cell(*value) as usize] += 1);
            assert!(counts == plain, "{level:?}");
            let mut keys = Vec::new();
            simd::run_at(level, Gather { map, values: &values, chosen: &chosen, keys: &mut keys });
            assert_eq!(keys, expected, "{level:?}");
        }
    }
}
