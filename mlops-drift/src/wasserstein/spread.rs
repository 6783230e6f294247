//! How far the distance strays from that of the distributions behind the samples.
//!
//! Where F ≠ G almost everywhere the distance errs by ∫ s(t)·(error of F − error of G) dt with the sign s of F − G, to the first order:
//! its variance is Var φ(X)/n + Var φ(Y)/m with φ(x) = ∫ s over t ≤ x (del Barrio, Giné and Matrán, Ann. Probab. 27, 1999). φ
//! changes no faster than x, so Var X/n + Var Y/m is never less, whatever s is. Both are taken here, in one pass over
//! pooled values in ascending order, or over groups of cells, whose values then count as their middle
//! and with the largest variance that their width allows.
#![allow(clippy::cast_possible_wrap, reason = "counts of values fit 63 bits")]

use crate::cells::{CELLS, Map};
use crate::wasserstein::exact::of_key;

/// Two standard errors of the distance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// By the delta method, with the signs that the samples show.
    pub(crate) delta: f64,
    /// With any signs: no sign function gives more.
    pub(crate) most: f64,
}

/// Sums of one side: of φ, φ², x and x².
type Sums = [f64; 4];

/// The pass. Values are in units of the range, from its low end, so that no square overflows.
struct Pass {
    low: f64,
    range: f64,
    /// 1/range, or 0 where that does not fit.
    inverse: f64,
    before: f64,
    phi: f64,
    sign: f64,
    sides: [Sums; 2],
}

impl Pass {
    /// `None` where there is no room to spread, or more than a double holds.
    fn new((low, high): (f64, f64)) -> Option<Self> {
        let range = high - low;
        let usable = range > 0.0 && range.is_finite();
        let inverse = if range > 1e-300 { 1.0 / range } else { 0.0 };
        usable.then_some(Self { low, range, inverse, before: 0.0, phi: 0.0, sign: 0.0, sides: [[0.0; 4]; 2] })
    }

    /// The next greater value, how much of each side lies there, and the sign of F − G from there on.
    #[inline(always)]
    fn push(&mut self, value: f64, shares: [f64; 2], sign: f64) {
        let (x, inverse) = (value - self.low, self.inverse);
        let x = if inverse > 0.0 { x * inverse } else { x / self.range };
        self.phi += self.sign * (x - self.before);
        (self.before, self.sign) = (x, sign);
        let terms = [self.phi, self.phi * self.phi, x, x * x];
        for (sums, share) in self.sides.iter_mut().zip(shares) {
            sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += share * term);
        }
    }

    /// Values that lie somewhere within a width add at most its square over 4 to the variances, of φ and of x.
    #[inline(always)]
    fn within(&mut self, width: f64, shares: [f64; 2]) {
        let width = width / self.range;
        for (sums, share) in self.sides.iter_mut().zip(shares) {
            let term = share * (width * width / 4.0);
            (sums[1], sums[3]) = (sums[1] + term, sums[3] + term);
        }
    }

    /// For sides of these sums of shares and these (effective) sizes.
    fn spread(&self, totals: [f64; 2], sizes: [f64; 2]) -> Option<Spread> {
        if !sizes.into_iter().all(|size| size > 1.0) {
            return None;
        }
        let variance = |k: usize| {
            let side = |((sums, total), size): ((&Sums, f64), f64)| {
                let mean = sums[k] / total;
                (sums[k + 1] / total - mean * mean).max(0.0) / (size - 1.0)
            };
            self.sides.iter().zip(totals).zip(sizes).map(side).sum::<f64>()
        };
        let [delta, most] = [variance(0), variance(2)].map(|variance| variance.sqrt() * self.range);
        // Rounding aside the former is never the larger.
        (most > 0.0 && most.is_finite()).then_some(Spread { delta: delta.min(most), most })
    }
}

/// Of two sorted samples, as keys. O(n + m).
pub(crate) fn of_sorted(a: &[u64], b: &[u64], range: (f64, f64)) -> Option<Spread> {
    let mut pass = Pass::new(range)?;
    let (n, m) = (a.len() as i64, b.len() as i64);
    let (mut i, mut j, mut difference) = (0, 0, 0i64);
    loop {
        let next = match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) => *x.min(y),
            (Some(x), None) | (None, Some(x)) => *x,
            (None, None) => break,
        };
        let (from_a, from_b) = (i, j);
        while a.get(i) == Some(&next) {
            i += 1;
        }
        while b.get(j) == Some(&next) {
            j += 1;
        }
        difference += (i - from_a) as i64 * m - (j - from_b) as i64 * n;
        pass.push(of_key(next), [(i - from_a) as f64, (j - from_b) as f64], difference.signum() as f64);
    }
    let sizes = [n as f64, m as f64];
    pass.spread(sizes, sizes)
}

/// Of two samples with weights that add up to 1, in ascending order, of these effective sizes. O(n + m).
pub(crate) fn of_weighted(
    (a, n): (&[(f64, f64)], f64),
    (b, m): (&[(f64, f64)], f64),
    range: (f64, f64),
) -> Option<Spread> {
    /// Shares nearer to each other than sums of weights are exact.
    const EQUAL: f64 = 1e-14;
    let mut pass = Pass::new(range)?;
    let (mut i, mut j, mut difference) = (0, 0, 0.0f64);
    while i < a.len() || j < b.len() {
        let next = a.get(i).into_iter().chain(b.get(j)).fold(f64::INFINITY, |least, (x, _)| least.min(*x));
        let mut shares = [0.0; 2];
        while let Some((_, weight)) = a.get(i).filter(|(x, _)| *x <= next) {
            (i, shares[0]) = (i + 1, shares[0] + weight);
        }
        while let Some((_, weight)) = b.get(j).filter(|(x, _)| *x <= next) {
            (j, shares[1]) = (j + 1, shares[1] + weight);
        }
        difference += shares[0] - shares[1];
        pass.push(next, shares, if difference.abs() < EQUAL { 0.0 } else { difference.signum() });
    }
    pass.spread([1.0; 2], [n, m])
}

/// Of two samples counted into cells. Allocates nothing.
///
/// Cells are taken sixteen together but for the outer ones. In the middle half of the values a group is a
/// four-thousandth to a thousandth of that half wide, and up to 300 times that half away no group is wider than a fiftieth of its distance. The
/// variance within that width is bounded by a quarter of its square. The outermost cells, which have no end, count as the end of the range.
pub(crate) fn of_cells(
    map: Map,
    (a, b): (&[u32; CELLS], &[u32; CELLS]),
    (n, m): (usize, usize),
    (low, high): (f64, f64),
) -> Option<Spread> {
    const TOGETHER: usize = 16;
    const OUTER: usize = 1024;
    let mut pass = Pass::new((low, high))?;
    let mut difference = 0i64;
    let mut group = |from: usize, to: usize, p: u32, q: u32| {
        if p == 0 && q == 0 {
            return;
        }
        difference += i64::from(p) * m as i64 - i64::from(q) * n as i64;
        let (begin, end) = match from {
            0 => (low, low),
            from if from == CELLS - 1 => (high, high),
            _ => (map.middle(from).clamp(low, high), map.middle(to).clamp(low, high)),
        };
        pass.within(end - begin, [f64::from(p), f64::from(q)]);
        pass.push(begin + (end - begin) / 2.0, [f64::from(p), f64::from(q)], difference.signum() as f64);
    };
    let inner = OUTER..CELLS - OUTER;
    (0..OUTER).for_each(|cell| group(cell, cell + 1, a[cell], b[cell]));
    let (counts_a, counts_b) =
        (a[inner.clone()].as_chunks::<TOGETHER>(), b[inner.clone()].as_chunks::<TOGETHER>());
    for ((from, a), b) in inner.step_by(TOGETHER).zip(counts_a.0).zip(counts_b.0) {
        let [p, q] = [a, b].map(|counts| counts.iter().fold(0u32, |sum, count| sum.wrapping_add(*count)));
        group(from, from + TOGETHER, p, q);
    }
    (CELLS - OUTER..CELLS).for_each(|cell| group(cell, cell + 1, a[cell], b[cell]));
    let sizes = [n as f64, m as f64];
    pass.spread(sizes, sizes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Value as _;
    use crate::wasserstein::exact::Counted;

    fn keys(values: &[f64]) -> Vec<u64> {
        let mut keys: Vec<u64> = values.iter().map(|value| value.key()).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn the_sign_decides_which_way_values_pull() {
        // F > G up to 2 and less beyond: φ is 0, 1, 2, 1 at the reference's values and 2, 2 at the current ones.
        let (a, b) = ([0.0, 1.0, 3.0, 2.0], [2.0, 2.0]);
        let spread = of_sorted(&keys(&a), &keys(&b), (0.0, 3.0)).unwrap();
        assert!((spread.delta - (0.5f64 / 3.0).sqrt()).abs() < 1e-15, "{spread:?}");
        assert!((spread.most - (1.25f64 / 3.0).sqrt()).abs() < 1e-15, "{spread:?}");
        let weighted = |values: &[f64]| {
            let share = 1.0 / values.len() as f64;
            keys(values).into_iter().map(|key| (of_key(key), share)).collect::<Vec<(f64, f64)>>()
        };
        let again = of_weighted((&weighted(&a), 4.0), (&weighted(&b), 2.0), (0.0, 3.0)).unwrap();
        assert!((again.delta - spread.delta).abs() < 1e-15 && (again.most - spread.most).abs() < 1e-15);
        assert_eq!(of_sorted(&keys(&a), &keys(&b[..1]), (0.0, 3.0)), None);
        assert_eq!(of_sorted(&keys(&[1.0; 3]), &keys(&[1.0; 3]), (1.0, 1.0)), None);
    }

    #[test]
    fn cells_and_sorting_give_nearly_the_same() {
        let wave = |n: u32, f: &dyn Fn(f64) -> f64| {
            (0..n).map(|i| f((f64::from(i) * 0.618_033_988_749_894_9).fract())).collect::<Vec<f64>>()
        };
        let shapes: [&dyn Fn(f64) -> f64; 5] = [
            &|u| u,
            &|u| 1e6 - (u + 1e-9).ln(),
            &|u| (std::f64::consts::PI * (u.clamp(1e-3, 0.999) - 0.5)).tan(),
            &|u| (u * 40.0).floor(),
            &|u| if u < 0.001 { 1e300 } else { u },
        ];
        for (k, shape) in shapes.into_iter().enumerate() {
            let a = wave(3000, shape);
            for b in [wave(1500, &|u| shape(u * 0.9)), wave(2999, &|u| shape(u) * 0.5 + 0.25)] {
                let counted = Counted::new(&a, &b);
                let sizes = (a.len(), b.len());
                let got = of_cells(counted.map, (&counted.a, &counted.b), sizes, counted.range).unwrap();
                let exact = of_sorted(&keys(&a), &keys(&b), counted.range).unwrap();
                for (got, exact) in [(got.delta, exact.delta), (got.most, exact.most)] {
                    // Two narrow lumps far apart lie in a cell each, and get the variance of its width.
                    let near = 1.02 * exact + 1e-5 * (counted.range.1 - counted.range.0);
                    // Outliers of the outermost cell count as the farthest of them.
                    let bound = if k == 4 { 4.0 * exact } else { near };
                    assert!((0.98 * exact..bound).contains(&got), "shape {k}: {got} is not {exact}");
                }
            }
        }
    }
}
