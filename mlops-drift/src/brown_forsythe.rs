//! Brown–Forsythe test: has the spread changed?
//!
//! Every value is replaced by its distance from the median of its own sample, zᵢ = |xᵢ − median|, and the means of the distances
//! are compared by an analysis of variance,
//!
//! > W = (N − 2)·nm/N·(z̄_current − z̄_reference)²/(Σ(z − z̄_reference)² + Σ(z − z̄_current)²),
//!
//! against F with 1 and N − 2 degrees of freedom (Brown and Forsythe, *Robust tests for the equality of variances*, JASA 69,
//! 1974). The median makes it keep its level for skewed and heavy-tailed values, where the F-test of variances does not. W has no
//! unit and does not change when the values are shifted or scaled. Values must be finite.
//!
//! There is no weighted form, for the reasons of [the t-test](mod@crate::t_test).

use mlops_core::num::{Measured, NanPolicy, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::moments::{Moments, Offsets};
use crate::pair::Tail;
use crate::sample::{Sample, Side, Value};
use crate::special::ln_f_sf;
use crate::two::{Sides, Two};

/// The result of a Brown–Forsythe test.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrownForsythe {
    /// W, at least 0; undefined where the distances do not vary within the samples, or there are fewer than 3 values.
    pub statistic: Measured,
    /// The degrees of freedom of the denominator, N − 2; those of the numerator are 1.
    pub dof: u64,
    /// P(W or more | no drift).
    pub p: Measured,
    /// The natural logarithm of `p`, finite where `p` is too small for a double.
    pub ln_p: Measured,
    /// The mean distance from the median in the current sample over that in the reference: 2 is twice the spread.
    pub ratio: Measured,
    /// What became of the reference values.
    pub reference: Side,
    /// What became of the current values.
    pub current: Side,
}

/// The test; NaN and infinities are errors. O(N log N).
///
/// W agrees with `scipy.stats.levene(reference, current, center="median")` to 1e-12, p to 1e-10 at any depth of the tail.
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::NotFinite`], [`StatsError::AllMissing`].
///
/// ```
/// use mlops_drift::brown_forsythe;
///
/// let test = brown_forsythe(&[1.0, 2.0, 3.0, 4.0, 5.0], &[11.0, 14.0, 17.0, 20.0, 23.0])?;
/// assert_eq!(test.ratio.value(), Some(3.0));
/// assert!(test.statistic.value().is_some_and(|w| (w - 4.114285714285714).abs() < 1e-12));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn brown_forsythe<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
) -> Result<BrownForsythe, StatsError> {
    brown_forsythe_with(reference, current, NanPolicy::default())
}

/// The test under a given [`NanPolicy`].
///
/// # Errors
/// As [`brown_forsythe`].
///
/// ```
/// use mlops_core::num::NanPolicy;
/// use mlops_drift::brown_forsythe_with;
/// let test = brown_forsythe_with(&[1.0, f64::NAN, 3.0, 7.0], &[1.0, 2.0], NanPolicy::Omit)?;
/// assert_eq!((test.dof, test.reference.missing), (3, 1));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn brown_forsythe_with<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
    nan: NanPolicy,
) -> Result<BrownForsythe, StatsError> {
    let two = Two::new(reference, current, nan)?;
    let Sides { reference, current } = two.sides;
    let dof = (reference.used + current.used).saturating_sub(2);
    let without =
        |none, ratio| BrownForsythe { statistic: none, dof, p: none, ln_p: none, ratio, reference, current };
    if let Some(none) = two.undefined {
        return Ok(without(none, none));
    }
    two.finite()?;
    let mut offsets = Offsets::new(&two);
    let rounding = 4.0 * f64::EPSILON * largest(&offsets);
    let (z_reference, z_current) = (distances(&mut offsets.reference), distances(&mut offsets.current));
    let varied = spread(z_reference) > rounding || spread(z_current) > rounding;
    let (a, b) = (Moments::new(z_reference), Moments::new(z_current));
    let ratio = Measured::ratio(b.mean(), a.mean());
    if dof == 0 {
        return Ok(without(Measured::none(UndefinedReason::TooFew, 2, 3), ratio));
    }
    let within = if varied { (a.squares + b.squares) / dof as f64 } else { 0.0 };
    if within <= 0.0 {
        return Ok(without(Measured::none(UndefinedReason::Constant, 1, 2), ratio));
    }
    let difference = a.difference_to(&b);
    let w = difference * difference * (a.n * b.n / (a.n + b.n)) / within;
    let tail = Tail::from_ln(ln_f_sf(w, 1.0, dof as f64));
    Ok(BrownForsythe {
        statistic: Measured::Value(w),
        dof,
        p: tail.p,
        ln_p: tail.ln_p,
        ratio,
        reference,
        current,
    })
}

/// The largest offset: distances are rounded to a few ε of it.
fn largest(offsets: &Offsets) -> f64 {
    offsets.reference.iter().chain(&offsets.current).fold(0.0, |top, x| top.max(x.abs()))
}

/// The largest minus the smallest value.
fn spread(values: &[f64]) -> f64 {
    let (low, high) =
        values.iter().fold((f64::INFINITY, 0.0), |(low, high), &x| (f64::min(low, x), f64::max(high, x)));
    high - low
}

/// The values, replaced by their distances from their median.
fn distances(values: &mut [f64]) -> &[f64] {
    values.sort_unstable_by(f64::total_cmp);
    let n = values.len();
    if let (Some(&low), Some(&high)) = (values.get((n.max(1) - 1) / 2), values.get(n / 2)) {
        // Offsets are at most 2 in size where they were scaled, and small enough elsewhere.
        let median = f64::midpoint(low, high);
        values.iter_mut().for_each(|x| *x = (*x - median).abs());
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_vary_has_no_answer() {
        for (a, b) in [
            (&[3.0; 4][..], &[3.0; 5][..]),
            (&[1.0, 3.0], &[5.0, 9.0]),
            (&[1.0], &[2.0]),
            (&[846.5136158188938, 0.0], &[-778.1147438904578, 0.0]),
        ] {
            let test = brown_forsythe(a, b).unwrap();
            assert!(test.statistic.value().is_none() && test.p.value().is_none(), "{a:?} {b:?}: {test:?}");
        }
    }

    #[test]
    fn one_value_on_a_side_is_enough_when_the_other_has_more() {
        assert!(brown_forsythe(&[4.0], &[1.0, 2.0, 9.0]).unwrap().p.value().is_some());
    }
}
