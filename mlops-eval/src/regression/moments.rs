//! The sums of one pass over rows: blocks small enough for the cache, several lanes of each sum, spreads around the block's own
//! means, blocks merged with compensation.
//!
//! A lane adds 32 numbers and 16 lanes are added at the end, so a block's sum is off by 36·ε at most; blocks add up in
//! compensated sums, which leaves the error of a pass at that of one block, whatever the number of rows.

use mlops_core::num::simd::Kernel;
use mlops_core::num::sum::Sum;

use super::state::{Spread, Sums};

const LANES: usize = 16;
const BLOCK: usize = 512;

/// scikit-learn's smallest denominator of a percentage error: the machine epsilon of f64.
pub(crate) const EPSILON: f64 = f64::EPSILON;

/// What is left of a finite number times this; an infinity and a NaN leave a NaN.
const NOTHING: f64 = 0.0;

/// A pass over rows of equal length. `None` where a number is not finite or a weight negative: the caller names it.
pub(crate) struct Pass<'a> {
    pub(crate) y_true: &'a [f64],
    pub(crate) y_pred: &'a [f64],
    pub(crate) weights: Option<&'a [f64]>,
    /// What weights are multiplied with; a power of two, so that nothing is rounded.
    pub(crate) scale: f64,
}

impl Kernel for Pass<'_> {
    type Output = Option<Sums>;

    #[inline(always)]
    fn run(self) -> Option<Sums> {
        match self.weights {
            None => self.unweighted(),
            Some(weights) => self.weighted(weights),
        }
    }
}

impl Pass<'_> {
    #[inline(always)]
    fn unweighted(&self) -> Option<Sums> {
        let mut sums = Sums::default();
        for (y, p) in self.y_true.chunks(BLOCK).zip(self.y_pred.chunks(BLOCK)) {
            sums.absorb(&block::<false>(y, p, &[])?);
        }
        Some(sums)
    }

    #[inline(always)]
    fn weighted(&self, weights: &[f64]) -> Option<Sums> {
        let mut sums = Sums::default();
        let mut scaled = [0.0; BLOCK];
        for ((y, p), w) in self.y_true.chunks(BLOCK).zip(self.y_pred.chunks(BLOCK)).zip(weights.chunks(BLOCK))
        {
            for (to, from) in scaled.iter_mut().zip(w) {
                *to = from * self.scale;
            }
            sums.absorb(&block::<true>(y, p, &scaled[..y.len()])?);
        }
        Some(sums)
    }
}

/// The first look at a block: plain sums, extremes, and whether everything is finite.
struct First {
    check: [f64; LANES],
    counted: [f64; LANES],
    weight: [f64; LANES],
    target: [f64; LANES],
    prediction: [f64; LANES],
    error: [f64; LANES],
    absolute: [f64; LANES],
    squared: [f64; LANES],
    magnitude: [f64; LANES],
    percentage: [f64; LANES],
    symmetric: [f64; LANES],
    largest: [f64; LANES],
    smallest_target: [f64; LANES],
    lowest_target: [f64; LANES],
    highest_target: [f64; LANES],
    lowest_prediction: [f64; LANES],
    highest_prediction: [f64; LANES],
}

impl First {
    #[inline(always)]
    fn new() -> Self {
        let zero = [0.0; LANES];
        let (high, low) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
        Self {
            check: zero,
            counted: zero,
            weight: zero,
            target: zero,
            prediction: zero,
            error: zero,
            absolute: zero,
            squared: zero,
            magnitude: zero,
            percentage: zero,
            symmetric: zero,
            largest: zero,
            smallest_target: high,
            lowest_target: high,
            highest_target: low,
            lowest_prediction: high,
            highest_prediction: low,
        }
    }

    #[inline(always)]
    fn add<const WEIGHTED: bool>(&mut self, lane: usize, y: f64, p: f64, weight: f64) {
        self.check[lane] += y * NOTHING + p * NOTHING;
        let counts = !WEIGHTED || weight > 0.0;
        if WEIGHTED {
            self.check[lane] += if weight >= 0.0 { weight * NOTHING } else { f64::NAN };
            self.counted[lane] += if counts { 1.0 } else { 0.0 };
            self.weight[lane] += weight;
        }
        // A row of weight 0 is left out even where its error does not fit an f64.
        let error = if counts { y - p } else { 0.0 };
        let size = error.abs();
        let target_size = y.abs();
        let times = |term: f64| if WEIGHTED { weight * term } else { term };
        self.target[lane] += times(y);
        self.prediction[lane] += times(p);
        self.error[lane] += times(error);
        self.absolute[lane] += times(size);
        self.squared[lane] += times(size * size);
        self.magnitude[lane] += times(target_size);
        let floor = if target_size > EPSILON { target_size } else { EPSILON };
        self.percentage[lane] += times(size / floor);
        self.symmetric[lane] += times(symmetric_term(size, target_size, p.abs()));
        self.largest[lane] = larger(self.largest[lane], size);
        let (low, high) = (f64::INFINITY, f64::NEG_INFINITY);
        let smallest = if counts { target_size } else { low };
        self.smallest_target[lane] = smaller(self.smallest_target[lane], smallest);
        self.lowest_target[lane] = smaller(self.lowest_target[lane], if counts { y } else { low });
        self.highest_target[lane] = larger(self.highest_target[lane], if counts { y } else { high });
        self.lowest_prediction[lane] = smaller(self.lowest_prediction[lane], if counts { p } else { low });
        self.highest_prediction[lane] = larger(self.highest_prediction[lane], if counts { p } else { high });
    }
}

/// The second look: products around the block's means, and what rounding the means has left.
struct Second {
    rest: [[f64; LANES]; 3],
    squares: [[f64; LANES]; 3],
    product: [f64; LANES],
}

impl Second {
    #[inline(always)]
    fn add<const WEIGHTED: bool>(&mut self, lane: usize, y: f64, p: f64, weight: f64, means: [f64; 3]) {
        let counts = !WEIGHTED || weight > 0.0;
        let steps = [y - means[0], p - means[1], (y - p) - means[2]];
        for (which, step) in steps.into_iter().enumerate() {
            let step = if counts { step } else { 0.0 };
            let weighed = if WEIGHTED { weight * step } else { step };
            self.rest[which][lane] += weighed;
            self.squares[which][lane] += weighed * step;
        }
        let product = if counts { steps[0] * steps[1] } else { 0.0 };
        self.product[lane] += if WEIGHTED { weight * product } else { product };
    }
}

/// 2·|y − ŷ| / (|y| + |ŷ|) with halves, which fit; 0 where both are 0.
#[inline(always)]
pub(crate) fn symmetric_term(size: f64, target_size: f64, prediction_size: f64) -> f64 {
    let half = 0.5 * target_size + 0.5 * prediction_size;
    let term = size / if half > 0.0 { half } else { 1.0 };
    // Half of the smallest number there is rounds to 0; signs that differ make the term 2 then, as does a lone 0.
    let tiny = if size > 0.0 { 2.0 } else { 0.0 };
    if half > 0.0 { term } else { tiny }
}

#[inline(always)]
fn smaller(a: f64, b: f64) -> f64 {
    if b < a { b } else { a }
}

#[inline(always)]
fn larger(a: f64, b: f64) -> f64 {
    if b > a { b } else { a }
}

#[inline(always)]
fn total(lanes: &[f64; LANES]) -> f64 {
    let mut sums = *lanes;
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

#[inline(always)]
fn extreme(lanes: &[f64; LANES], choose: impl Fn(f64, f64) -> f64) -> f64 {
    lanes.iter().copied().fold(lanes[0], choose)
}

/// Calls `each` with lane, target, prediction and weight of every row; lanes are filled in turn.
#[inline(always)]
fn for_rows<const WEIGHTED: bool>(
    y: &[f64],
    p: &[f64],
    w: &[f64],
    mut each: impl FnMut(usize, f64, f64, f64),
) {
    let (ys, y_rest) = y.as_chunks::<LANES>();
    let (ps, p_rest) = p.as_chunks::<LANES>();
    let (ws, w_rest) = w.as_chunks::<LANES>();
    for (index, (y, p)) in ys.iter().zip(ps).enumerate() {
        let w = if WEIGHTED { &ws[index] } else { &[1.0; LANES] };
        for lane in 0..LANES {
            each(lane, y[lane], p[lane], w[lane]);
        }
    }
    for (lane, (y, p)) in y_rest.iter().zip(p_rest).enumerate() {
        each(lane, *y, *p, if WEIGHTED { w_rest[lane] } else { 1.0 });
    }
}

#[inline(always)]
fn block<const WEIGHTED: bool>(y: &[f64], p: &[f64], w: &[f64]) -> Option<Sums> {
    let mut first = First::new();
    for_rows::<WEIGHTED>(y, p, w, |lane, y, p, weight| first.add::<WEIGHTED>(lane, y, p, weight));
    if total(&first.check).is_nan() {
        return None;
    }
    let rows = y.len() as u64;
    let weight = if WEIGHTED { total(&first.weight) } else { y.len() as f64 };
    if weight == 0.0 {
        return Some(Sums { rows, ..Sums::default() });
    }
    let means = [&first.target, &first.prediction, &first.error].map(|lanes| total(lanes) / weight);
    let zero = [0.0; LANES];
    let mut second = Second { rest: [zero; 3], squares: [zero; 3], product: zero };
    for_rows::<WEIGHTED>(y, p, w, |lane, y, p, weight| second.add::<WEIGHTED>(lane, y, p, weight, means));
    let rest = second.rest.map(|lanes| total(&lanes) / weight);
    let spread = |which: usize| {
        let around = total(&second.squares[which]) - weight * (rest[which] * rest[which]);
        // Not `max`, which would make 0 of what did not fit.
        Spread { mean: two(means[which], rest[which]), squares: one(if around < 0.0 { 0.0 } else { around }) }
    };
    let mut sums = Sums {
        rows,
        counted: if WEIGHTED { whole(total(&first.counted)) } else { rows },
        weight: one(weight),
        absolute: one(total(&first.absolute)),
        squared: one(total(&first.squared)),
        magnitude: one(total(&first.magnitude)),
        percentage: one(total(&first.percentage)),
        symmetric: one(total(&first.symmetric)),
        largest: extreme(&first.largest, larger),
        lowest_target: extreme(&first.lowest_target, smaller),
        highest_target: extreme(&first.highest_target, larger),
        lowest_prediction: extreme(&first.lowest_prediction, smaller),
        highest_prediction: extreme(&first.highest_prediction, larger),
        target: spread(0),
        prediction: spread(1),
        error: spread(2),
        product: one(total(&second.product) - weight * (rest[0] * rest[1])),
        ..Sums::default()
    };
    if extreme(&first.smallest_target, smaller) < EPSILON {
        sums.percentage = Sum::new();
        for row in 0..y.len() {
            sums.add_percentage(y[row], (y[row] - p[row]).abs(), if WEIGHTED { w[row] } else { 1.0 });
            sums.add_empty(y[row], p[row], if WEIGHTED { w[row] } else { 1.0 });
        }
    }
    Some(sums)
}

#[inline(always)]
fn one(value: f64) -> Sum {
    two(value, 0.0)
}

#[inline(always)]
fn two(value: f64, rest: f64) -> Sum {
    let mut sum = Sum::new();
    sum.push(value);
    if rest != 0.0 {
        sum.push(rest);
    }
    sum
}

#[expect(clippy::cast_sign_loss, reason = "a count of rows of a block")]
fn whole(count: f64) -> u64 {
    count as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::num::simd::{Level, run_at};

    fn columns(rows: u32) -> [Vec<f64>; 3] {
        let column = |a: u32, b: u32| (0..rows).map(|i| f64::from((i * a) % b) / 7.0 - 3.0).collect();
        [column(31, 97), column(17, 89), (0..rows).map(|i| f64::from(i % 5) / 3.0).collect()]
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let [y_true, y_pred, weights] = columns(1_337);
        for weights in [None, Some(&weights[..])] {
            let pass = |level| run_at(level, Pass { y_true: &y_true, y_pred: &y_pred, weights, scale: 1.0 });
            let plain = pass(Level::Baseline).unwrap();
            for level in Level::all() {
                assert_eq!(pass(level), Some(plain), "{level:?}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_ends_the_pass() {
        let [y_true, y_pred, weights] = columns(700);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for row in [0, 3, 511, 512, 699] {
                for which in 0..3 {
                    let mut columns = [y_true.clone(), y_pred.clone(), weights.clone()];
                    columns[which][row] = bad;
                    let [y, p, w] = &columns;
                    let weights = Some(&w[..]);
                    assert_eq!(Pass { y_true: y, y_pred: p, weights, scale: 1.0 }.run(), None);
                }
            }
        }
        let negative = vec![-1.0; 700];
        let pass = Pass { y_true: &y_true, y_pred: &y_pred, weights: Some(&negative), scale: 1.0 };
        assert_eq!(pass.run(), None);
    }
}
