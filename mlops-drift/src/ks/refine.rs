//! The numerator of D as the exact integer it is, without sorting the samples.
//!
//! **Bound and refine.** Both samples are counted into the same fine, monotone [cells](crate::cells). Where cells meet, F − G is
//! known from the counts. Inside a cell with p reference and q current values, i·m − j·n rises by at most p·m above and falls by
//! at most q·n below what it was where the cell began. Only cells whose bound beats the best value where cells meet can hold
//! the maximum: their values, mostly less than a hundredth of all, are gathered, sorted and merged.
//!
//! When much would have to be gathered, data are rounded or repeat themselves: cells that turn out to hold one single value have
//! no inside, and are left out first. In the worst case everything is gathered and sorted, and the result is the same.
#![allow(
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "no side has 2³¹ values, and no count is negative"
)]

use crate::alternative::Alternative;
use crate::cells::{self, CELLS, Chosen, Map};
use crate::sample::Value;

/// Samples up to this size together are sorted: the tables would cost more. Tests go the long way with less.
pub(crate) const SORTED_BELOW: usize = if cfg!(test) { 400 } else { 16_384 };
/// The most values a side may have: products of two sizes then fit an `i64`.
pub(crate) const MOST: usize = 1 << 31;
/// How many values of each side are asked what a cell of one value might hold.
const ASKED: usize = 4096;

/// What counts as a deviation: i·m − j·n, its negative or its magnitude.
#[inline(always)]
fn height(difference: i64, alternative: Alternative) -> i64 {
    match alternative {
        Alternative::TwoSided => difference.abs(),
        Alternative::Greater => difference,
        Alternative::Less => -difference,
    }
}

/// The sizes of the samples and what is looked for.
#[derive(Clone, Copy, Debug)]
struct Question {
    n: i64,
    m: i64,
    alternative: Alternative,
}

/// A cell with its values, and how many lie below it.
#[derive(Clone, Copy, Debug)]
struct Place {
    cell: usize,
    /// Reference values below the cell, and in it.
    i: i64,
    p: i64,
    /// Current values below the cell, and in it.
    j: i64,
    q: i64,
}

impl Question {
    fn new(n: usize, m: usize, alternative: Alternative) -> Self {
        Self { n: n as i64, m: m as i64, alternative }
    }

    fn height(self, i: i64, j: i64) -> i64 {
        height(i * self.m - j * self.n, self.alternative)
    }

    /// The largest height where cells meet.
    fn between(self, a: &[u32; CELLS], b: &[u32; CELLS]) -> i64 {
        let (mut difference, mut best) = (0, 0);
        for (&p, &q) in a.iter().zip(b) {
            difference += i64::from(p) * self.m - i64::from(q) * self.n;
            best = best.max(height(difference, self.alternative));
        }
        best
    }

    /// The largest height that a cell can hide. With one side alone in it, the extremes are at its ends.
    fn bound(self, place: Place) -> i64 {
        if place.p == 0 || place.q == 0 {
            return 0;
        }
        self.height(place.i + place.p, place.j).max(self.height(place.i, place.j + place.q))
    }

    /// The largest height within a cell: a merge of its values, given by their keys in ascending order.
    fn within(self, place: Place, a: impl Fn(usize) -> u64, b: &[u64]) -> i64 {
        let (p, q) = (place.p as usize, b.len());
        let (mut i, mut j, mut best) = (0, 0, 0);
        while i < p && j < q {
            let next = a(i).min(b[j]);
            while i < p && a(i) == next {
                i += 1;
            }
            while j < q && b[j] == next {
                j += 1;
            }
            best = best.max(self.height(place.i + i as i64, place.j + j as i64));
        }
        best
    }
}

/// Every cell that holds something.
fn places<'a>(a: &'a [u32; CELLS], b: &'a [u32; CELLS]) -> impl Iterator<Item = Place> + 'a {
    let (mut i, mut j) = (0, 0);
    a.iter().zip(b).enumerate().filter(|(_, (p, q))| **p > 0 || **q > 0).map(move |(cell, (&p, &q))| {
        let (p, q) = (i64::from(p), i64::from(q));
        let place = Place { cell, i, p, j, q };
        (i, j) = (i + p, j + q);
        place
    })
}

/// Chooses the cells whose bound beats `best`; how many values they hold.
fn choose(
    question: Question,
    a: &[u32; CELLS],
    b: &[u32; CELLS],
    best: i64,
    chosen: &mut Chosen,
) -> (usize, usize) {
    chosen.clear();
    let (mut from_a, mut from_b) = (0, 0);
    for place in places(a, b).filter(|place| question.bound(*place) > best) {
        chosen.insert(place.cell);
        (from_a, from_b) = (from_a + place.p as usize, from_b + place.q as usize);
    }
    (from_a, from_b)
}

/// The numerator for two samples without NaN, neither larger than [`MOST`].
pub(super) fn numerator<T: Value>(a: &[T], b: &[T], alternative: Alternative) -> u128 {
    let question = Question::new(a.len(), b.len(), alternative);
    if a.len() + b.len() <= SORTED_BELOW {
        let keys = |values: &[T]| {
            let mut keys: Vec<u64> = values.iter().map(|value| value.key()).collect();
            keys.sort_unstable();
            keys
        };
        let (a, b) = (keys(a), keys(b));
        let all = Place { cell: 0, i: 0, p: a.len() as i64, j: 0, q: b.len() as i64 };
        return question.within(all, |i| a[i], &b).max(0).unsigned_abs().into();
    }
    let map = Map::fit(a, b);
    let (mut in_a, mut in_b) = (cells::zeroed(), cells::zeroed());
    cells::count(map, a, &mut in_a);
    cells::count(map, b, &mut in_b);
    let mut best = question.between(&in_a, &in_b);
    let mut chosen = Chosen::none();
    let (mut from_a, mut from_b) = choose(question, &in_a, &in_b, best, &mut chosen);
    if from_a + from_b > (a.len() + b.len()) / 8 {
        let single = single_valued(map, a, b);
        chosen.clear();
        (from_a, from_b) = (0, 0);
        let hiding = |place: &Place| !single[place.cell] && question.bound(*place) > best;
        for place in places(&in_a, &in_b).filter(hiding) {
            chosen.insert(place.cell);
            (from_a, from_b) = (from_a + place.p as usize, from_b + place.q as usize);
        }
    }
    let keys = |values: &[T], expected| {
        let mut keys = Vec::with_capacity(expected);
        cells::gather(map, values, &chosen, &mut keys);
        keys.sort_unstable();
        keys
    };
    let (a, b) = (keys(a, from_a), keys(b, from_b));
    let (mut i, mut j) = (0, 0);
    for place in places(&in_a, &in_b).filter(|place| chosen.contains(place.cell)) {
        let (to_i, to_j) = (i + place.p as usize, j + place.q as usize);
        let (here, there) = (&a[i..to_i], &b[j..to_j]);
        best = best.max(question.within(place, |i| here[i], there));
        (i, j) = (to_i, to_j);
    }
    best.unsigned_abs().into()
}

/// Which cells are known to hold one value only, however often.
fn single_valued<T: Value>(map: Map, a: &[T], b: &[T]) -> Vec<bool> {
    let mut expected = cells::zeroed();
    for values in [a, b] {
        let step = (values.len() / ASKED).max(1) | 1;
        for value in values.iter().step_by(step).take(ASKED) {
            expected[map.cell(value.to_f64()) as usize % CELLS] = value.key();
        }
    }
    let mut mixed = cells::zeroed();
    cells::mark_mixed(map, a, &expected, &mut mixed);
    cells::mark_mixed(map, b, &expected, &mut mixed);
    mixed.iter().map(|mixed| *mixed == 0).collect()
}

/// A sample in ascending order with the counts of its cells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ordered<'a, T> {
    pub(crate) sorted: &'a [T],
    pub(crate) map: Map,
    pub(crate) counts: &'a [u32; CELLS],
}

/// What a comparison with an [`Ordered`] sample needs, to be used again and again.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    pub(crate) counts: Box<[u32; CELLS]>,
    pub(crate) chosen: Chosen,
    pub(crate) keys: Vec<u64>,
    expected: Box<[u64; CELLS]>,
    mixed: Box<[u8; CELLS]>,
}

impl Scratch {
    pub(crate) fn new(rows: usize) -> Self {
        Self {
            counts: cells::zeroed(),
            chosen: Chosen::none(),
            keys: Vec::with_capacity(rows),
            expected: cells::zeroed(),
            mixed: cells::zeroed(),
        }
    }
}

/// The numerator for a sample without NaN against an ordered one. Allocates only where the scratch is too small for the sample.
pub(crate) fn numerator_ordered<T: Value>(
    a: Ordered<'_, T>,
    b: &[T],
    alternative: Alternative,
    scratch: &mut Scratch,
) -> u128 {
    let question = Question::new(a.sorted.len(), b.len(), alternative);
    let Scratch { counts, chosen, keys, expected, mixed } = scratch;
    keys.clear();
    if b.len() <= SORTED_BELOW / 4 {
        keys.extend(b.iter().map(|value| value.key()));
        keys.sort_unstable();
        return by_search(question, a.sorted, keys);
    }
    counts.fill(0);
    cells::count(a.map, b, counts);
    let mut best = question.between(a.counts, counts);
    let (_, from_b) = choose(question, a.counts, counts, best, chosen);
    if from_b > b.len() / 8 {
        // Where all of the reference is one value, and so is all of the sample, there is nothing to look into.
        mixed.fill(0);
        let values = |place: Place| &a.sorted[place.i as usize..(place.i + place.p) as usize];
        for place in places(a.counts, counts).filter(|place| place.p > 0) {
            let (first, last) = (values(place).first(), values(place).last());
            mixed[place.cell] = u8::from(first != last);
            expected[place.cell] = first.map_or(0, |value| value.key());
        }
        cells::mark_mixed(a.map, b, expected, mixed);
        chosen.clear();
        let hiding = |place: &Place| mixed[place.cell] != 0 && question.bound(*place) > best;
        places(a.counts, counts).filter(hiding).for_each(|place| chosen.insert(place.cell));
    }
    cells::gather(a.map, b, chosen, keys);
    keys.sort_unstable();
    let mut j = 0;
    for place in places(a.counts, counts).filter(|place| chosen.contains(place.cell)) {
        let to_j = j + place.q as usize;
        let here = &a.sorted[place.i as usize..(place.i + place.p) as usize];
        best = best.max(question.within(place, |i| here[i].key(), &keys[j..to_j]));
        j = to_j;
    }
    best.unsigned_abs().into()
}

/// A few sorted keys against many sorted values: the extremes lie just before and at the values of the smaller side.
fn by_search<T: Value>(question: Question, a: &[T], b: &[u64]) -> u128 {
    let (mut i, mut j, mut best) = (0, 0, 0);
    while j < b.len() {
        i += a[i..].partition_point(|value| value.key() < b[j]);
        best = best.max(question.height(i as i64, j as i64));
        let ties = b[j..].iter().take_while(|key| **key == b[j]).count();
        i += a[i..].partition_point(|value| value.key() <= b[j]);
        j += ties;
        best = best.max(question.height(i as i64, j as i64));
    }
    best.max(0).unsigned_abs().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Alternative; 3] = [Alternative::TwoSided, Alternative::Less, Alternative::Greater];

    /// By the definition: after each distinct value.
    fn by_sorting<T: Value>(a: &[T], b: &[T], alternative: Alternative) -> u128 {
        let sorted = |values: &[T]| {
            let mut keys: Vec<u64> = values.iter().map(|value| value.key()).collect();
            keys.sort_unstable();
            keys
        };
        let (a, b) = (sorted(a), sorted(b));
        let mut best = 0;
        let mut every: Vec<u64> = a.iter().chain(&b).copied().collect();
        every.dedup();
        for key in every {
            let (i, j) = (a.partition_point(|k| *k <= key) as i64, b.partition_point(|k| *k <= key) as i64);
            best = best.max(height(i * b.len() as i64 - j * a.len() as i64, alternative));
        }
        best.unsigned_abs().into()
    }

    /// Every way to the numerator, the short cuts of small samples avoided.
    fn agree<T: Value>(a: &[T], b: &[T]) {
        let mut sorted = a.to_vec();
        sorted.sort_unstable_by_key(|value| value.key());
        let map = Map::fit(a, &[]);
        let mut counts = cells::zeroed();
        cells::count(map, a, &mut counts);
        let ordered = Ordered { sorted: &sorted, map, counts: &counts };
        let mut scratch = Scratch::new(b.len());
        for alternative in ALL {
            let expected = by_sorting(a, b, alternative);
            assert_eq!(numerator(a, b, alternative), expected, "raw, {alternative:?}");
            let fitted = numerator_ordered(ordered, b, alternative, &mut scratch);
            assert_eq!(fitted, expected, "ordered, {alternative:?}");
        }
    }

    fn wave(n: u32, f: impl Fn(f64) -> f64) -> Vec<f64> {
        (0..n).map(|i| f((f64::from(i) * 0.618_033_988_749_894_9).fract())).collect()
    }

    #[test]
    fn the_numerator_is_that_of_sorting_whatever_the_data() {
        type Shape = (&'static str, fn(f64) -> f64);
        let shapes: [Shape; 10] = [
            ("uniform", |u| u),
            ("heavy tails", |u| (std::f64::consts::PI * (u - 0.5)).tan()),
            ("rounded", |u| (u * 40.0).floor()),
            ("mostly one value", |u| if u < 0.8 { 3.0 } else { u }),
            ("constant", |_| 1.0),
            ("two clusters far apart", |u| if u < 0.5 { u } else { 1e12 + u }),
            ("subnormal", |u| f64::from_bits((u * 1e6) as u64)),
            ("an outlier", |u| if u < 0.0001 { 1e300 } else { u }),
            ("infinities and zeros", |u| {
                if u < 0.2 {
                    f64::NEG_INFINITY
                } else if u < 0.4 {
                    -0.0
                } else if u < 0.6 {
                    0.0
                } else {
                    f64::INFINITY
                }
            }),
            ("the widest span", |u| (u - 0.5) * 2.0 * f64::MAX),
        ];
        for (name, shape) in shapes {
            let reference = wave(3000, shape);
            for (other, current) in [
                ("same", wave(2000, |u| shape((u + 0.37).fract()))),
                ("squeezed", wave(1200, |u| shape(u * 0.9 + 0.03))),
                ("shifted", wave(2801, |u| shape(u) + 0.25)),
                ("small", wave(70, |u| shape(u * u))),
            ] {
                println!("{name}, {other}"); // shown when it fails
                agree(&reference, &current);
                agree(&current, &reference);
            }
        }
    }

    #[test]
    fn integers_beyond_doubles_and_narrow_floats_are_told_apart() {
        let big: Vec<i64> = (0..2000).map(|i| (1 << 60) + i % 300).collect();
        let other: Vec<i64> = (0..1500).map(|i| (1 << 60) + i % 301).collect();
        agree(&big, &other);
        let narrow: Vec<f32> = wave(2000, |u| u).iter().map(|v| *v as f32).collect();
        let squeezed: Vec<f32> = narrow.iter().map(|v| v * 0.999).collect();
        agree(&narrow, &squeezed);
        let bytes: Vec<u8> = (0..3000u32).map(|i| (i * i % 251) as u8).collect();
        agree(&bytes, &bytes[..2000]);
        let flags: Vec<bool> = (0..3000u32).map(|i| i % 3 == 0).collect();
        agree(&flags, &flags[..2001]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

        #[test]
        fn hostile_doubles_change_nothing(
            pool in prop::collection::vec(any::<f64>().prop_filter("a number", |v| !v.is_nan()), 1..60),
            n in 1usize..1800, m in 1usize..1800, step in 1usize..50, tied in any::<bool>(),
        ) {
            let draw = |len: usize, step: usize| -> Vec<f64> {
                let spread = |i: usize| if tied { 0.0 } else { i as f64 * 1e-7 };
                (0..len).map(|i| pool[i * step % pool.len()] * (1.0 + spread(i))).collect()
            };
            agree(&draw(n, 1), &draw(m, step));
        }
    }
}
