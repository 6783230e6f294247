//! ∫ |F − G| dx without sorting the samples, in arithmetic of twice the precision where terms cancel.
//!
//! In units of 1/(n·m), d = i·m − j·n is an integer that the counts of the [cells](crate::cells) bound. In most cells it cannot
//! change its sign: their part of the integral is a signed sum of their values, and what neighbouring cells say about the point
//! where they meet cancels. Only the values of cells where d may cross 0 are gathered; where they are many, the same is done
//! once more on [parts](super::parts) of these cells. What is left is sorted and merged.
#![allow(
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "no side has 2³¹ values, and no count is negative"
)]

use crate::cells::{self, CELLS, Chosen, Map};
use crate::sample::Value as _;
use crate::wasserstein::law::Point;
use crate::wasserstein::parts::Parts;
use mlops_core::num::simd::{self, Kernel};

/// The unevaluated sum of two doubles: about 32 digits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Double {
    high: f64,
    low: f64,
}

impl Double {
    /// Knuth's sum: the rounded one and what was rounded away.
    #[inline(always)]
    fn two_sum(a: f64, b: f64) -> (f64, f64) {
        let sum = a + b;
        let part = sum - a;
        (sum, (a - (sum - part)) + (b - part))
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, value: f64) {
        let (high, error) = Self::two_sum(self.high, value);
        (self.high, self.low) = (high, self.low + error);
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.push(other.high);
        self.low += other.low;
    }

    /// Adds `a`·`b`.
    pub(crate) fn push_product(&mut self, a: f64, b: f64) {
        let product = a * b;
        self.push(product);
        self.low += a.mul_add(b, -product);
    }

    /// Adds `a`·`other`.
    pub(crate) fn push_scaled(&mut self, a: f64, other: Self) {
        self.push_product(a, other.high);
        self.push_product(a, other.low);
    }

    pub(crate) fn value(self) -> f64 {
        self.high + self.low
    }
}

/// 2⁻¹²⁸.
const SMALL: f64 = f64::from_bits((1023 - 128) << 52);

/// How many values are worked on at a time.
pub(super) const BLOCK: usize = 512;

/// What a cell is to the integral.
pub(super) const MIXED: u8 = 0;
pub(super) const ABOVE: u8 = 1;
pub(super) const BELOW: u8 = 2;

/// The sign that d has over a whole cell which it enters as it is and in which it can rise by `up` and fall by `down`.
#[inline(always)]
pub(super) fn sign_of(d: i64, up: i64, down: i64) -> u8 {
    if d - down >= 0 {
        ABOVE
    } else if d + up <= 0 {
        BELOW
    } else {
        MIXED
    }
}

/// A signed sum in several lanes side by side.
#[derive(Default)]
pub(super) struct Lanes {
    high: [f64; Self::COUNT],
    low: [f64; Self::COUNT],
    rest: Double,
}

impl Lanes {
    const COUNT: usize = 16;

    /// Adds values in units of `unit`, each with the sign that stands beside it.
    #[inline(always)]
    pub(super) fn add(&mut self, values: &[f64], signs: &[u8], unit: f64) {
        let term = |value: f64, sign: u8| {
            let weight = f64::from(u8::from(sign == ABOVE)) - f64::from(u8::from(sign == BELOW));
            value * unit * weight
        };
        let (lanes, last) = values.as_chunks::<{ Self::COUNT }>();
        let (signs, last_signs) = signs.as_chunks::<{ Self::COUNT }>();
        let (mut high, mut low) = (self.high, self.low);
        for (values, signs) in lanes.iter().zip(signs) {
            for k in 0..Self::COUNT {
                let (sum, error) = Double::two_sum(high[k], term(values[k], signs[k]));
                (high[k], low[k]) = (sum, low[k] + error);
            }
        }
        (self.high, self.low) = (high, low);
        for (value, sign) in last.iter().zip(last_signs) {
            self.rest.push(term(*value, *sign));
        }
    }

    pub(super) fn sum(self) -> Double {
        let mut sum = self.rest;
        for (high, low) in self.high.into_iter().zip(self.low) {
            sum.add(Double { high, low });
        }
        sum
    }
}

/// The sum of the values in cells of one sign, minus that of the other; the keys of the rest are gathered.
fn signed_sum(map: Map, values: &[f64], signs: &[u8; CELLS], unit: f64, keys: &mut Vec<u64>) -> Double {
    simd::run(SignedSum { map, values, signs, unit, keys })
}

struct SignedSum<'a> {
    map: Map,
    values: &'a [f64],
    signs: &'a [u8; CELLS],
    unit: f64,
    keys: &'a mut Vec<u64>,
}

impl Kernel for SignedSum<'_> {
    type Output = Double;

    #[inline(always)]
    fn run(self) -> Double {
        let Self { map, values, signs, unit, keys } = self;
        let (mut cell, mut sign, mut places) = ([0u32; BLOCK], [0u8; BLOCK], [0u16; BLOCK]);
        let mut lanes = Lanes::default();
        for block in values.chunks(BLOCK) {
            cell.iter_mut().zip(block).for_each(|(cell, value)| *cell = map.cell(*value));
            let mut found = 0;
            for ((place, cell), sign) in (0u16..).zip(&cell[..block.len()]).zip(&mut sign) {
                *sign = signs[*cell as usize % CELLS];
                places[found % BLOCK] = place;
                found += usize::from(*sign == MIXED);
            }
            keys.extend(places[..found].iter().map(|place| block[usize::from(*place)].key()));
            lanes.add(block, &sign[..block.len()], unit);
        }
        lanes.sum()
    }
}

/// The value that has a key.
pub(crate) fn of_key(key: u64) -> f64 {
    const SIGN: u64 = 1 << 63;
    f64::from_bits(if key & SIGN == 0 { !key } else { key ^ SIGN })
}

/// The integral over sorted values, `p` of them given by their keys one by one, in units of 1/(n·m); d is `from` before the first.
fn merged(
    (a, p): (impl Fn(usize) -> u64, usize),
    b: &[u64],
    from: i64,
    (n, m): (i64, i64),
    unit: f64,
) -> Double {
    let (mut i, mut j, mut difference) = (0, 0, from);
    let (mut total, mut before) = (Double::default(), None);
    while i < p || j < b.len() {
        let next = match (i < p, b.get(j)) {
            (true, Some(&y)) => a(i).min(y),
            (true, None) => a(i),
            (false, Some(&y)) => y,
            (false, None) => break,
        };
        let x = of_key(next) * unit;
        if let Some(before) = before {
            // Nothing cancels here: every term is positive.
            total.push(difference.unsigned_abs() as f64 * (x - before));
        }
        while i < p && a(i) == next {
            (i, difference) = (i + 1, difference + m);
        }
        while b.get(j) == Some(&next) {
            (j, difference) = (j + 1, difference - n);
        }
        before = Some(x);
    }
    total
}

/// The integral for two sorted samples, as keys.
pub(crate) fn of_sorted(a: &[u64], b: &[u64]) -> f64 {
    let (n, m) = (a.len() as f64, b.len() as f64);
    scaled(|unit| merged((|i| a[i], a.len()), b, 0, (a.len() as i64, b.len() as i64), unit).value() / n / m)
}

/// Pooled values of given ranks, with the shares below and up to each.
pub(crate) fn points_of_sorted(a: &[u64], b: &[u64], ranks: &[usize]) -> Vec<Point> {
    let mut pooled: Vec<u64> = a.iter().chain(b).copied().collect();
    pooled.sort_unstable();
    let total = pooled.len() as f64;
    let mut values: Vec<u64> = ranks.iter().filter_map(|rank| pooled.get(*rank).copied()).collect();
    values.dedup();
    let share = |count: usize| count as f64 / total;
    let point = |key: u64| Point {
        value: of_key(key),
        below: share(pooled.partition_point(|other| *other < key)),
        upto: share(pooled.partition_point(|other| *other <= key)),
    };
    values.into_iter().map(point).collect()
}

/// The smallest and the largest of finite values.
pub(crate) fn extremes(values: &[f64]) -> (f64, f64) {
    simd::run(Extremes(values))
}

struct Extremes<'a>(&'a [f64]);

impl Kernel for Extremes<'_> {
    type Output = (f64, f64);

    #[inline(always)]
    fn run(self) -> (f64, f64) {
        const LANES: usize = 16;
        let (mut low, mut high) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
        let (lanes, last) = self.0.as_chunks::<LANES>();
        for values in lanes {
            for k in 0..LANES {
                low[k] = low[k].min(values[k]);
                high[k] = high[k].max(values[k]);
            }
        }
        let low = low.iter().chain(last).copied().fold(f64::INFINITY, f64::min);
        (low, high.iter().chain(last).copied().fold(f64::NEG_INFINITY, f64::max))
    }
}

/// A result that overflows on the way is computed again on values of 2⁻¹²⁸ the size.
fn scaled(compute: impl FnMut(f64) -> f64) -> f64 {
    let mut compute = compute;
    let plain = compute(1.0);
    if plain.is_finite() { plain } else { compute(SMALL) / SMALL }
}

/// Says of each cell whether d stays on one side of 0 there; how many values lie in the others.
fn decide(
    a: &[u32; CELLS],
    b: &[u32; CELLS],
    (n, m): (usize, usize),
    signs: &mut [u8; CELLS],
) -> (usize, usize) {
    let (n, m) = (n as i64, m as i64);
    let (mut d, mut from_a, mut from_b) = (0i64, 0, 0);
    for ((sign, &p), &q) in signs.iter_mut().zip(a).zip(b) {
        let (up, down) = (i64::from(p) * m, i64::from(q) * n);
        *sign = sign_of(d, up, down);
        if *sign == MIXED {
            (from_a, from_b) = (from_a + p as usize, from_b + q as usize);
        }
        d += up - down;
    }
    (from_a, from_b)
}

/// Puts the integral together. Over a cell where d does not change its sign s it is s·(what its ends say − m·Σa + n·Σb); `near`
/// gives the sorted reference keys of the other cells, by how many lie below and how many inside, and `near_b` holds those of b.
/// Cells are given by their sign and how many values of each side they hold.
fn total<F: Fn(usize) -> u64>(
    cells: impl Iterator<Item = (u8, u32, u32)>,
    (n, m): (usize, usize),
    (sum_a, sum_b): (Double, Double),
    mut near: impl FnMut(usize, usize) -> (F, usize),
    near_b: &[u64],
    unit: f64,
) -> f64 {
    let mut total = Double::default();
    total.push_scaled(-(m as f64), sum_a);
    total.push_scaled(n as f64, sum_b);
    let (mut below, mut j, mut d) = (0, 0, 0i64);
    for (sign, p, q) in cells {
        let (p, q) = (p as usize, q as usize);
        let after = d + p as i64 * m as i64 - q as i64 * n as i64;
        if sign == MIXED {
            let (here, there) = (near(below, p), &near_b[j..j + q]);
            j += q;
            // One side may be missing, but not both: d changes its sign here.
            let [mut first, mut last] = if p > 0 { [here.0(0), here.0(p - 1)] } else { [u64::MAX, 0] };
            if let (Some(low), Some(high)) = (there.first(), there.last()) {
                (first, last) = (first.min(*low), last.max(*high));
            }
            total.add(merged(here, there, d, (n as i64, m as i64), unit));
            total.push_product(d.unsigned_abs() as f64, of_key(first) * unit);
            total.push_product(-(after.unsigned_abs() as f64), of_key(last) * unit);
        }
        (below, d) = (below + p, after);
    }
    let integral = total.value() / n as f64 / m as f64;
    // Rounding may leave a trace below 0; NaN stays and says that something overflowed.
    if integral < 0.0 { 0.0 } else { integral }
}

/// A sorted reference, made ready for many comparisons.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    /// The sum of the values in each cell, in units of `unit`.
    sums: Box<[Double; CELLS]>,
    unit: f64,
}

impl Ready {
    pub(crate) fn new(sorted: impl Iterator<Item = f64> + Clone, map: Map) -> Self {
        let largest = sorted.clone().fold(0f64, |largest, value| largest.max(value.abs()));
        let unit = if largest < 1e280 { 1.0 } else { SMALL };
        let mut sums = cells::zeroed::<Double>();
        for value in sorted {
            sums[map.cell(value) as usize % CELLS].push(value * unit);
        }
        Self { sums, unit }
    }

    /// The integral against a sample counted into `b`. Allocates only where `keys` is too small for the sample, or
    /// where sums of the sample's values overflow.
    pub(crate) fn integral(
        &self,
        (map, a, b): (Map, &[u32; CELLS], &[u32; CELLS]),
        reference: (impl Fn(usize) -> u64, usize),
        values: &[f64],
        signs: &mut [u8; CELLS],
        keys: &mut Vec<u64>,
    ) -> f64 {
        let sizes = (reference.1, values.len());
        decide(a, b, sizes, signs);
        let mut sum_a = Double::default();
        for (sum, sign) in self.sums.iter().zip(&*signs) {
            match *sign {
                ABOVE => sum_a.add(*sum),
                BELOW => sum_a.add(Double { high: -sum.high, low: -sum.low }),
                _ => {}
            }
        }
        keys.clear();
        let sum_b = signed_sum(map, values, signs, self.unit, keys);
        keys.sort_unstable();
        let reference = &reference.0;
        let near = |below: usize, p: usize| (move |k: usize| reference(below + k), p);
        let cells = signs.iter().zip(a).zip(b).map(|((sign, p), q)| (*sign, *p, *q));
        let integral = total(cells, sizes, (sum_a, sum_b), near, keys, self.unit) / self.unit;
        if integral.is_finite() {
            return integral;
        }
        // The sample is larger by far than the reference, whose unit is too large for it.
        keys.clear();
        keys.extend(values.iter().map(|value| value.key()));
        keys.sort_unstable();
        of_sorted(&(0..sizes.0).map(reference).collect::<Vec<u64>>(), keys)
    }
}

/// Both samples counted into the same cells.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) map: Map,
    pub(crate) a: Box<[u32; CELLS]>,
    pub(crate) b: Box<[u32; CELLS]>,
    /// The smallest and the largest value of both.
    pub(crate) range: (f64, f64),
}

impl Counted {
    pub(crate) fn new(a: &[f64], b: &[f64]) -> Self {
        // Values are still in the cache when their extremes are looked for.
        const CACHED: usize = 1024;
        let map = Map::fit(a, b);
        let range = (f64::INFINITY, f64::NEG_INFINITY);
        let mut counted = Self { map, a: cells::zeroed(), b: cells::zeroed(), range };
        for (values, counts) in [(a, &mut counted.a), (b, &mut counted.b)] {
            for block in values.chunks(CACHED) {
                cells::count(map, block, counts);
                let (low, high) = extremes(block);
                counted.range = (counted.range.0.min(low), counted.range.1.max(high));
            }
        }
        counted
    }

    /// The integral for the two samples.
    pub(crate) fn integral(&self, a: &[f64], b: &[f64]) -> f64 {
        scaled(|unit| self.integral_in(a, b, unit))
    }

    fn integral_in(&self, a: &[f64], b: &[f64], unit: f64) -> f64 {
        let sizes = (a.len(), b.len());
        let mut signs = cells::zeroed::<u8>();
        let (from_a, from_b) = decide(&self.a, &self.b, sizes, &mut signs);
        let (mut near_a, mut near_b) = (Vec::with_capacity(from_a), Vec::with_capacity(from_b));
        let mut sum_a = signed_sum(self.map, a, &signs, unit, &mut near_a);
        let mut sum_b = signed_sum(self.map, b, &signs, unit, &mut near_b);
        let parts = Parts::new(self.map, &signs, &near_a, &near_b).map(|mut parts| {
            self.decide_parts(&mut parts, sizes, &signs);
            sum_a.add(parts.signed_sum(&mut near_a, unit));
            sum_b.add(parts.signed_sum(&mut near_b, unit));
            parts
        });
        near_a.sort_unstable();
        near_b.sort_unstable();
        let mut i = 0;
        let near = |_: usize, p: usize| {
            let from = i;
            i += p;
            let near_a = &near_a;
            (move |k: usize| near_a[from + k], p)
        };
        let sums = (sum_a, sum_b);
        match &parts {
            None => total(self.cells(&signs), sizes, sums, near, &near_b, unit),
            Some(parts) => {
                let cells = self.cells(&signs).enumerate().flat_map(|(at, cell)| {
                    let mixed = cell.0 == MIXED;
                    let split = mixed.then(|| parts.of(at)).into_iter().flatten();
                    (!mixed).then_some(cell).into_iter().chain(split)
                });
                total(cells, sizes, sums, near, &near_b, unit)
            }
        }
    }

    fn cells<'a>(&'a self, signs: &'a [u8; CELLS]) -> impl Iterator<Item = (u8, u32, u32)> + 'a {
        signs.iter().zip(&*self.a).zip(&*self.b).map(|((sign, p), q)| (*sign, *p, *q))
    }

    fn decide_parts(&self, parts: &mut Parts, (n, m): (usize, usize), signs: &[u8; CELLS]) {
        let (n, m) = (n as i64, m as i64);
        let mut d = 0;
        for (at, (sign, p, q)) in self.cells(signs).enumerate() {
            if sign == MIXED {
                parts.decide(at, d, (n, m));
            }
            d += i64::from(p) * m - i64::from(q) * n;
        }
    }

    /// Pooled values in ascending order, with the shares below and up to each: exact at both ends, to the width of a cell between.
    pub(crate) fn points(&self, ranks: &[usize], low: f64, high: f64) -> Vec<Point> {
        let total = self.a.iter().chain(&*self.b).map(|count| f64::from(*count)).sum::<f64>();
        let (mut below, mut ranks, mut points) =
            (0usize, ranks.iter().peekable(), Vec::with_capacity(ranks.len()));
        for (cell, (&p, &q)) in self.a.iter().zip(&*self.b).enumerate() {
            let upto = below + p as usize + q as usize;
            let mut wanted = false;
            while ranks.next_if(|rank| **rank < upto).is_some() {
                wanted = true;
            }
            if wanted {
                let value = match (below, upto as f64 >= total) {
                    (0, _) => low,
                    (_, true) => high,
                    _ => self.map.middle(cell).clamp(low, high),
                };
                points.push(Point { value, below: below as f64 / total, upto: upto as f64 / total });
            }
            below = upto;
        }
        points
    }

    /// Values of given ranks (from 0, ascending) of a sample that was counted into `counts`.
    pub(crate) fn order_statistics<const K: usize>(
        &self,
        values: &[f64],
        counts: &[u32; CELLS],
        ranks: [usize; K],
    ) -> [f64; K] {
        let mut chosen = Chosen::none();
        let (mut below, mut skipped, mut places) = (0, 0, [0; K]);
        for (cell, &count) in counts.iter().enumerate() {
            let next = below + count as usize;
            let mut wanted = false;
            for (place, rank) in places.iter_mut().zip(ranks) {
                if (below..next).contains(&rank) {
                    (*place, wanted) = (rank - skipped, true);
                }
            }
            if wanted {
                chosen.insert(cell);
            } else {
                skipped += count as usize;
            }
            below = next;
        }
        let mut keys = Vec::new();
        cells::gather(self.map, values, &chosen, &mut keys);
        keys.sort_unstable();
        places.map(|place| keys.get(place).map_or(0.0, |key| of_key(*key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(values: &[f64]) -> Vec<u64> {
        let mut keys: Vec<u64> = values.iter().map(|value| value.key()).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn the_difference_crosses_zero_on_values_of_one_side() {
        let (a, b) = ([0.0, 10.0], [5.0, 5.0, 5.0]);
        assert_eq!(Counted::new(&a, &b).integral(&a, &b), 5.0);
        assert_eq!(Counted::new(&b, &a).integral(&b, &a), 5.0);
        let counted = Counted::new(&a, &b);
        let mut signs = cells::zeroed();
        let keys = keys(&a);
        let ready = Ready::new(a.iter().copied(), counted.map);
        let sides = (counted.map, &*counted.a, &*counted.b);
        assert_eq!(ready.integral(sides, (|k: usize| keys[k], 2), &b, &mut signs, &mut Vec::new()), 5.0);
    }

    #[test]
    fn a_sample_of_far_larger_values_than_the_reference_is_far_away() {
        let (a, b) = ([0.0, 1.0], [f64::MAX, f64::MAX, 0.5, -f64::MAX]);
        let counted = Counted::new(&a, &b);
        let mut signs = cells::zeroed();
        let keys = keys(&a);
        let ready = Ready::new(a.iter().copied(), counted.map);
        let sides = (counted.map, &*counted.a, &*counted.b);
        let integral = ready.integral(sides, (|k: usize| keys[k], 2), &b, &mut signs, &mut Vec::new());
        assert!((integral / f64::MAX - 0.75).abs() < 1e-15, "{integral:e}");
    }

    fn wave(n: u32, f: impl Fn(f64) -> f64) -> Vec<f64> {
        (0..n).map(|i| f((f64::from(i) * 0.618_033_988_749_894_9).fract())).collect()
    }

    #[test]
    fn cells_and_sorting_give_the_same_integral() {
        let shapes: [fn(f64) -> f64; 9] = [
            |u| u,
            |u| 1e6 + u,
            |u| (std::f64::consts::PI * (u - 0.5)).tan(),
            |u| (u * 40.0).floor(),
            |u| if u < 0.8 { 3.0 } else { u },
            |_| 1.0,
            |u| if u < 0.001 { 1e300 } else { u },
            |u| (u - 0.5) * 2.0 * f64::MAX,
            // A fifth of the values in two or three cells, which are split into parts.
            |u| if u < 0.2 { 0.5 + u * 1e-4 } else { u },
        ];
        for (k, shape) in shapes.into_iter().enumerate() {
            let a = wave(3000, shape);
            for b in [
                wave(2000, |u| shape((u + 0.37).fract())),
                wave(1500, |u| shape(u * 0.9)),
                wave(2999, |u| shape(u) * 0.5 + 0.25),
            ] {
                let sorted = of_sorted(&keys(&a), &keys(&b));
                let counted = Counted::new(&a, &b);
                for (x, y) in [(&a, &b), (&b, &a)] {
                    let counted = if std::ptr::eq(x, &a) { counted.clone() } else { Counted::new(x, y) };
                    let got = counted.integral(x, y);
                    // Sixteen digits of the result, and of the largest value those that survive 32.
                    let largest = x.iter().chain(y).fold(0f64, |m, v| m.max(v.abs()));
                    let bound = 4e-15 * sorted + 1e-28 * largest;
                    assert!((got - sorted).abs() <= bound, "shape {k}: {got:e} is not {sorted:e}");
                }
                let ranks = [0, 1, 749, 2999];
                let got = counted.order_statistics(&a, &counted.a, ranks);
                assert_eq!(got, ranks.map(|rank| of_key(keys(&a)[rank])), "shape {k}");
            }
        }
    }

    #[test]
    fn keys_lead_back_to_their_values() {
        for value in [0.0, 1.5, -1.5, 5e-324, -5e-324, f64::MAX, f64::MIN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(of_key(value.key()).to_bits(), value.to_bits());
        }
    }
}
