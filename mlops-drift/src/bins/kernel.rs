//! Counting values into cells between arbitrary edges, at about the speed of reading them.
//!
//! Two ways, both without a branch that depends on the data:
//!
//! - Up to [`FEW`] edges: every value is compared with every edge, and the comparisons that hold are counted; edge by edge over
//!   a block of values that stays in the first cache.
//! - Beyond: a **grid** of equally wide cells over the edges. One multiplication finds the grid cell of a value; the grid cell
//!   knows how many edges lie below it and up to two edges inside it (an atom {v} has two: v and the next double), so two
//!   comparisons finish the job. Where more than two edges share a grid cell, a binary search does.
//!
//! Grid cells are found by x ↦ (x − low)·scale, cut off at both ends. Each step is monotone also after rounding, so that all
//! edges below the grid cell of x are below x whatever the rounding, and the result is exact.
//!
//! Consecutive values are counted in tables of their own: a value that falls where its neighbour did need not wait for it.
#![allow(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "counts of edges are not negative")]

use std::fmt;

use crate::sample::Value;
use mlops_core::num::simd::{self, Kernel};

/// Up to this many edges, comparing with all of them is the faster way.
const FEW: usize = 16;
/// How many grid cells there are; a power of two. The table stays within a first-level cache.
const GRID: usize = 1024;
/// How many values are worked on at a time.
const BLOCK: usize = 512;
/// How many bins have count tables of their own; their numbers fit a byte.
const SMALL: usize = 256;
/// How many tables take turns.
const TABLES: usize = 4;
/// 2⁵²: adding it to a number in [0, 2³²) leaves the number, rounded, in the low bits.
const SHIFT: f64 = 4_503_599_627_370_496.0;

/// Where values lie among edges.
#[derive(Clone)]
pub(super) struct Grid {
    low: f64,
    scale: f64,
    /// Empty when there are few edges.
    cells: Vec<GridCell>,
    /// The second edge in each grid cell, or NaN; empty when no grid cell has one.
    second: Vec<f64>,
    /// Which grid cells have more than two edges; empty when none has.
    crowded: Vec<bool>,
}

/// What a grid cell knows.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
struct GridCell {
    /// The first edge inside; NaN, which no value reaches, where there is none.
    edge: f64,
    /// How many edges lie in earlier grid cells.
    below: u64,
}

/// Equal for equal ends: everything follows from the edges, which their owner compares.
impl PartialEq for Grid {
    fn eq(&self, other: &Self) -> bool {
        (self.low, self.scale, self.cells.len()) == (other.low, other.scale, other.cells.len())
    }
}

/// Without the tables, which follow from the edges.
impl fmt::Debug for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grid").field("low", &self.low).field("scale", &self.scale).finish_non_exhaustive()
    }
}

impl Grid {
    /// For edges in ascending order, finite but for the last one.
    pub(super) fn new(edges: &[f64]) -> Self {
        let mut grid = Self { low: 0.0, scale: 0.0, cells: vec![], second: vec![], crowded: vec![] };
        let (low, high) = match edges {
            [first, .., last] if (FEW + 1..=SMALL - 2).contains(&edges.len()) => (*first, last.min(f64::MAX)),
            _ => return grid,
        };
        // Halves do not overflow where the difference would.
        grid.scale = ((GRID - 2) as f64 / 2.0 / (high / 2.0 - low / 2.0)).min(f64::MAX);
        grid.low = low;
        let mut rest = edges;
        for at in 0..GRID {
            let inside = rest.iter().take_while(|edge| grid.index(**edge) as usize <= at).count();
            let (here, later) = rest.split_at(inside);
            let edge = |i: usize| here.get(i).copied().unwrap_or(f64::NAN);
            grid.cells.push(GridCell { edge: edge(0), below: (edges.len() - rest.len()) as u64 });
            grid.second.push(edge(1));
            grid.crowded.push(inside > 2);
            rest = later;
        }
        if grid.second.iter().all(|edge| edge.is_nan()) {
            grid.second.clear();
        }
        if !grid.crowded.contains(&true) {
            grid.crowded.clear();
        }
        grid
    }

    /// The grid cell of a value, below [`GRID`]; 0 for NaN.
    #[inline(always)]
    fn index(&self, value: f64) -> u32 {
        let at = ((value - self.low) * self.scale + 1.0).max(0.0).min((GRID - 1) as f64);
        (at + SHIFT).to_bits() as u32
    }
}

/// Adds the number of values in each cell: `cells[i]` for the values with i edges at or below them, the last one for NaN.
pub(super) fn add<T: Value>(grid: &Grid, edges: &[f64], cells: &mut [u64], values: &[T]) {
    simd::run(Add { grid, edges, cells, values });
}

struct Add<'a, T> {
    grid: &'a Grid,
    edges: &'a [f64],
    cells: &'a mut [u64],
    values: &'a [T],
}

impl<T: Value> Kernel for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { grid, edges, cells, values } = self;
        // 2³¹ values a round keep 32-bit counts from overflowing.
        for values in values.chunks(1 << 31) {
            if edges.len() <= FEW {
                few(edges, cells, values);
            } else if let Ok(table) = <&[GridCell; GRID]>::try_from(&grid.cells[..]) {
                many(grid, table, edges, cells, values);
            } else {
                search(edges, cells, values);
            }
        }
    }
}

#[inline(always)]
fn few<T: Value>(edges: &[f64], cells: &mut [u64], values: &[T]) {
    let mut buffer = [0.0; BLOCK];
    let mut reached = [0u64; FEW];
    let mut nans = 0u64;
    for block in values.chunks(BLOCK) {
        let block = T::doubles(block, &mut buffer);
        for (count, edge) in reached.iter_mut().zip(edges) {
            *count += block.iter().map(|value| u64::from(*value >= *edge)).sum::<u64>();
        }
        nans += block.iter().map(|value| u64::from(value.is_nan())).sum::<u64>();
    }
    let mut before = values.len() as u64 - nans;
    for (cell, &count) in cells.iter_mut().zip(&reached[..edges.len()]) {
        *cell = cell.saturating_add(before - count);
        before = count;
    }
    bump(cells, edges.len(), before);
    bump(cells, edges.len() + 1, nans);
}

#[inline(always)]
fn bump(cells: &mut [u64], at: usize, by: u64) {
    if let Some(cell) = cells.get_mut(at) {
        *cell = cell.saturating_add(by);
    }
}

#[inline(always)]
fn many<T: Value>(grid: &Grid, table: &[GridCell; GRID], edges: &[f64], cells: &mut [u64], values: &[T]) {
    let mut tables = [[0u32; SMALL]; TABLES];
    let (mut buffer, mut at) = ([0.0; BLOCK], [0u32; BLOCK]);
    let mut nans = 0u32;
    let second = <&[f64; GRID]>::try_from(&grid.second[..]).ok();
    let crowded = <&[bool; GRID]>::try_from(&grid.crowded[..]).ok();
    for block in values.chunks(BLOCK) {
        let block = T::doubles(block, &mut buffer);
        let at = &mut at[..block.len()];
        at.iter_mut().zip(block).for_each(|(at, value)| *at = grid.index(*value));
        if at.contains(&0) {
            nans += block.iter().map(|value| u32::from(value.is_nan())).sum::<u32>();
        }
        match (second, crowded) {
            (None, _) => tally(&mut tables, block, at, |value, at| first(table, value, at)),
            (Some(second), None) => tally(&mut tables, block, at, |value, at| {
                first(table, value, at) + usize::from(second[at] <= value)
            }),
            (Some(second), Some(crowded)) => tally(&mut tables, block, at, |value, at| {
                if crowded[at] {
                    return edges.partition_point(|edge| *edge <= value);
                }
                first(table, value, at) + usize::from(second[at] <= value)
            }),
        }
    }
    for (i, cell) in cells.iter_mut().enumerate() {
        let found: u64 = tables.iter().map(|counts| u64::from(counts[i % SMALL])).sum();
        *cell = cell.saturating_add(found);
    }
    // NaN is below every edge to the comparisons.
    if let Some(first) = cells.first_mut() {
        *first -= u64::from(nans);
    }
    bump(cells, edges.len() + 1, u64::from(nans));
}

/// How many edges before the second one of a grid cell are at or below a value in it.
#[inline(always)]
fn first(table: &[GridCell; GRID], value: f64, at: usize) -> usize {
    let cell = &table[at];
    cell.below as usize + usize::from(cell.edge <= value)
}

/// Counts the bin of each value of a block, given its grid cell. Not inlined: wide registers would be filled and taken apart
/// value by value.
#[inline(never)]
fn tally(tables: &mut [[u32; SMALL]; TABLES], values: &[f64], at: &[u32], bin: impl Fn(f64, usize) -> usize) {
    let (values, last_values) = values.as_chunks::<TABLES>();
    let (at, last_at) = at.as_chunks::<TABLES>();
    for (values, at) in values.iter().zip(at) {
        for k in 0..TABLES {
            tables[k][bin(values[k], at[k] as usize % GRID) % SMALL] += 1;
        }
    }
    for (value, at) in last_values.iter().zip(last_at) {
        tables[0][bin(*value, *at as usize % GRID) % SMALL] += 1;
    }
}

/// Hundreds of bins and more: a binary search for each value.
#[inline(always)]
fn search<T: Value>(edges: &[f64], cells: &mut [u64], values: &[T]) {
    for value in values {
        let value = value.to_f64();
        let missing = edges.len() + 1;
        bump(cells, if value.is_nan() { missing } else { edges.partition_point(|edge| *edge <= value) }, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::num::simd::Level;

    /// One value after the other, by the definition.
    fn one_by_one<T: Value>(edges: &[f64], values: &[T]) -> Vec<u64> {
        let mut cells = vec![0; edges.len() + 2];
        for value in values.iter().map(|value| value.to_f64()) {
            let at =
                if value.is_nan() { edges.len() + 1 } else { edges.iter().filter(|e| **e <= value).count() };
            cells[at] += 1;
        }
        cells
    }

    fn agree<T: Value>(edges: &[f64], values: &[T]) {
        let grid = Grid::new(edges);
        for level in Level::all() {
            let mut cells = vec![0; edges.len() + 2];
            simd::run_at(level, Add { grid: &grid, edges, cells: &mut cells, values });
            assert_eq!(cells, one_by_one(edges, values), "{level:?} {edges:?}");
        }
    }

    fn edge_sets() -> Vec<Vec<f64>> {
        let lines = |k: u32, f: fn(f64) -> f64| (0..k).map(|i| f(f64::from(i))).collect::<Vec<f64>>();
        let mut sets: Vec<Vec<f64>> =
            [2, 11, 12, 13, 20, 64, 253, 254, 255, 600].map(|k| lines(k, |x| x)).into();
        sets.push(lines(40, |x| (x - 20.0).powi(9)));
        sets.push(lines(40, |x| 1e-300 * x.exp()));
        // Crowded: all but one edge within one grid cell.
        sets.push(lines(30, |x| x * 1e-9).into_iter().chain([1e6]).collect());
        // Atoms: each value and the next double.
        sets.push((0..20).flat_map(|i| [f64::from(i), f64::from(i).next_up()]).collect());
        // As wide as doubles go, and as narrow.
        sets.push(
            (0..32)
                .map(|i| f64::MIN + f64::from(i) / 31.0 * f64::MAX * 2.0)
                .filter(|e| e.is_finite())
                .collect(),
        );
        sets.push((0..40).map(|i| f64::from_bits(i + 1)).collect());
        sets.push(
            lines(30, |x| x * 1e307)
                .into_iter()
                .filter(|e| e.is_finite())
                .chain([f64::MAX, f64::INFINITY])
                .collect(),
        );
        sets
    }

    #[test]
    fn every_way_and_level_counts_what_comparing_counts() {
        for edges in edge_sets() {
            assert!(edges.windows(2).all(|pair| pair[0] < pair[1]));
            let around = edges.iter().flat_map(|e| [e.next_down(), *e, e.next_up(), e * 1.1 - 0.5]);
            let special = [
                f64::NAN,
                -f64::NAN,
                f64::INFINITY,
                f64::NEG_INFINITY,
                0.0,
                -0.0,
                f64::MAX,
                f64::MIN,
                5e-324,
            ];
            let values: Vec<f64> = around.chain(special).collect();
            for len in [0, 1, 3, values.len() - 1, values.len()] {
                agree(&edges, &values[..len]);
            }
            let long: Vec<f64> = (0..2000).map(|i| values[i * 7 % values.len()]).collect();
            agree(&edges, &long);
        }
    }

    #[test]
    fn every_width_of_numbers_is_counted() {
        for edges in edge_sets() {
            agree(&edges, &[1.5f32, f32::NAN, -0.0, 0.1, f32::INFINITY, 1e-45, 63.0]);
            agree(&edges, &[i64::MIN, -1, 0, 1, 19, 63, i64::MAX]);
            agree(&edges, &[0u8, 1, 19, 255]);
            agree(&edges, &[true, false, true]);
        }
    }
}
