//! A second, finer level for the cells in which F − G may change its sign.
//!
//! Without drift these cells hold a good part of the values: about a twelfth of two samples of 10⁷. Each is split into
//! [`PARTS`] parts, the gathered values are counted into those, and but a few parts still leave the sign open. A sum over the
//! parts by sign replaces sorting and merging for all the other values.
#![allow(clippy::cast_possible_wrap, reason = "counts of values of one cell fit 32 bits")]

use super::exact::{BLOCK, Double, Lanes, MIXED, of_key, sign_of};
use crate::cells::{CELLS, Map, PARTS};
use mlops_core::num::simd::{self, Kernel};

/// The second level pays where a mixed cell holds at least this many values on average.
const CROWDED: usize = 2 * PARTS;

/// The mixed cells, part by part, each cell's one after the other.
pub(super) struct Parts {
    map: Map,
    /// Where the parts of a mixed cell begin.
    first: Box<[u32; CELLS]>,
    a: Vec<u32>,
    b: Vec<u32>,
    pub(super) signs: Vec<u8>,
}

impl Parts {
    /// Splits the mixed cells when they hold so many values (keys) that it pays.
    pub(super) fn new(map: Map, signs: &[u8; CELLS], a: &[u64], b: &[u64]) -> Option<Self> {
        let mut first = crate::cells::zeroed::<u32>();
        let mut len = 0u32;
        for (first, _) in first.iter_mut().zip(signs).filter(|(_, sign)| **sign == MIXED) {
            *first = len;
            len += PARTS as u32;
        }
        let len = len as usize;
        if (a.len() + b.len()) * PARTS < CROWDED * len || len == 0 {
            return None;
        }
        let mut parts = Self { map, first, a: vec![0; len], b: vec![0; len], signs: vec![MIXED; len] };
        simd::run(Count { map, first: &parts.first, keys: a, counts: &mut parts.a });
        simd::run(Count { map, first: &parts.first, keys: b, counts: &mut parts.b });
        Some(parts)
    }

    /// The counts of both samples in the parts of a mixed cell, with the signs.
    pub(super) fn of(&self, cell: usize) -> impl Iterator<Item = (u8, u32, u32)> + '_ {
        let from = self.first[cell % CELLS] as usize;
        let (signs, a, b) = (&self.signs[from..], &self.a[from..], &self.b[from..]);
        signs.iter().zip(a).zip(b).take(PARTS).map(|((sign, p), q)| (*sign, *p, *q))
    }

    /// Says of each part of a mixed cell, which begins at `d`, whether d stays on one side of 0 there.
    pub(super) fn decide(&mut self, cell: usize, mut d: i64, (n, m): (i64, i64)) {
        let from = self.first[cell % CELLS] as usize;
        let counts = self.a[from..].iter().zip(&self.b[from..]);
        for (sign, (&p, &q)) in self.signs[from..].iter_mut().zip(counts).take(PARTS) {
            let (up, down) = (i64::from(p) * m, i64::from(q) * n);
            *sign = sign_of(d, up, down);
            d += up - down;
        }
    }

    /// The sum of the values in parts of one sign, minus that of the other; the keys of the rest are kept.
    pub(super) fn signed_sum(&self, keys: &mut Vec<u64>, unit: f64) -> Double {
        let (sum, kept) =
            simd::run(SignedSum { map: self.map, first: &self.first, signs: &self.signs, keys, unit });
        keys.truncate(kept);
        sum
    }
}

/// The values that have these keys, and the parts they lie in.
#[inline(always)]
fn place(map: Map, first: &[u32; CELLS], keys: &[u64], values: &mut [f64; BLOCK], places: &mut [u32; BLOCK]) {
    let mut cells = [0; BLOCK];
    values.iter_mut().zip(keys).for_each(|(value, key)| *value = of_key(*key));
    for ((cell, part), value) in cells.iter_mut().zip(places.iter_mut()).zip(&*values) {
        (*cell, *part) = map.part(*value);
    }
    places.iter_mut().zip(&cells).for_each(|(place, cell)| *place += first[*cell as usize % CELLS]);
}

struct Count<'a> {
    map: Map,
    first: &'a [u32; CELLS],
    keys: &'a [u64],
    counts: &'a mut [u32],
}

impl Kernel for Count<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (mut values, mut places) = ([0.0; BLOCK], [0; BLOCK]);
        for block in self.keys.chunks(BLOCK) {
            place(self.map, self.first, block, &mut values, &mut places);
            for at in &places[..block.len()] {
                if let Some(count) = self.counts.get_mut(*at as usize) {
                    *count += 1;
                }
            }
        }
    }
}

struct SignedSum<'a> {
    map: Map,
    first: &'a [u32; CELLS],
    signs: &'a [u8],
    keys: &'a mut [u64],
    unit: f64,
}

impl Kernel for SignedSum<'_> {
    type Output = (Double, usize);

    #[inline(always)]
    fn run(self) -> (Double, usize) {
        let Self { map, first, signs, keys, unit } = self;
        let (mut values, mut places, mut sign) = ([0.0; BLOCK], [0; BLOCK], [MIXED; BLOCK]);
        let (mut lanes, mut kept) = (Lanes::default(), 0);
        for start in (0..keys.len()).step_by(BLOCK) {
            let len = BLOCK.min(keys.len() - start);
            place(map, first, &keys[start..start + len], &mut values, &mut places);
            for (k, (sign, at)) in sign.iter_mut().zip(&places[..len]).enumerate() {
                *sign = signs.get(*at as usize).copied().unwrap_or(MIXED);
                // Written always, kept when mixed; never ahead of what has been read.
                keys[kept] = keys[start + k];
                kept += usize::from(*sign == MIXED);
            }
            lanes.add(&values[..len], &sign[..len], unit);
        }
        (lanes.sum(), kept)
    }
}

#[cfg(test)]
mod tests {
    use super::super::exact::{ABOVE, BELOW};
    use super::*;
    use crate::cells::zeroed;
    use crate::sample::Value as _;
    use mlops_core::num::simd::Level;

    #[test]
    fn every_level_splits_and_sums_alike() {
        let values: Vec<f64> = (0..3000).map(|i| f64::from(i * 37 % 3000) * 3e-8).collect();
        let keys: Vec<u64> = values.iter().map(|value| value.key()).collect();
        let map = Map::fit(&[-1.0, -0.5, 0.0, 0.5, 1.0], &[]);
        let mut signs = zeroed();
        signs.fill(ABOVE);
        values.iter().for_each(|value| signs[map.cell(*value) as usize] = MIXED);
        let mut parts = Parts::new(map, &signs, &keys, &keys[..1000]).unwrap();
        let place = |value: f64| {
            let (cell, part) = map.part(value);
            (parts.first[cell as usize] + part) as usize
        };
        let places: Vec<usize> = values.iter().map(|value| place(*value)).collect();
        let mut counts = vec![0; parts.a.len()];
        places.iter().for_each(|at| counts[*at] += 1);
        assert!(counts == parts.a && counts.iter().filter(|count| **count > 0).count() > 10);
        for (k, sign) in parts.signs.iter_mut().enumerate() {
            *sign = [ABOVE, BELOW, MIXED][k % 3];
        }
        let kept: Vec<u64> =
            keys.iter().zip(&places).filter(|(_, at)| **at % 3 == 2).map(|(key, _)| *key).collect();
        let sum: f64 = values.iter().zip(&places).map(|(value, at)| [*value, -*value, 0.0][at % 3]).sum();
        let mut seen = Vec::new();
        for level in Level::all() {
            let mut again = vec![0; counts.len()];
            simd::run_at(level, Count { map, first: &parts.first, keys: &keys, counts: &mut again });
            assert!(again == counts, "{level:?}");
            let mut rest = keys.clone();
            let kernel =
                SignedSum { map, first: &parts.first, signs: &parts.signs, keys: &mut rest, unit: 1.0 };
            let (got, len) = simd::run_at(level, kernel);
            assert_eq!(rest[..len], kept, "{level:?}");
            assert!((got.value() - sum).abs() < 1e-12, "{level:?}");
            seen.push(got);
        }
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn cells_of_few_values_are_left_whole() {
        let map = Map::fit(&[-1.0, 0.0, 1.0], &[]);
        let keys: Vec<u64> = [0.0, 0.1, 0.2].iter().map(|value: &f64| value.key()).collect();
        assert!(Parts::new(map, &zeroed(), &keys, &keys).is_none());
    }
}
