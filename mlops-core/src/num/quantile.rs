//! Quantiles: linear interpolation between order statistics (type 7 of Hyndman and Fan, *Sample Quantiles in Statistical
//! Packages*, The American Statistician 50, 1996), the default of NumPy, SciPy, R and pandas.
//!
//! For n sorted values and a share p, h = (n − 1)·p and the quantile is x₍⌊h⌋₎ + (h − ⌊h⌋)·(x₍⌊h⌋₊₁₎ − x₍⌊h⌋₎), counting
//! from 0. The result has the unit of the values, never leaves the two values it lies between, and, to
//! within one rounding, does not decrease in p.

use super::{Measured, NanPolicy, StatsError, UndefinedReason};

/// The quantile of ascending values at the share `p` in [0, 1]. Constant time, no allocation.
///
/// The order is the caller's promise (see [`quantile`] for unsorted data); an unsorted slice gives a number between its
/// extremes, not an error. Infinities are values like others: between a finite value and an infinity lies the infinity.
///
/// # Errors
/// [`StatsError::Empty`]; [`StatsError::Parameter`] for `p` outside [0, 1] or NaN; [`StatsError::Nan`] and, between −∞
/// and +∞ where every number would be arbitrary, [`StatsError::NotFinite`], with the index of the order statistic.
///
/// ```
/// use mlops_core::num::quantile::quantile_sorted;
///
/// assert_eq!(quantile_sorted(&[1.0, 2.0, 4.0, 8.0], 0.5)?, 3.0);
/// assert_eq!(quantile_sorted(&[-1e308, 1e308], 0.5)?, 0.0); // the span overflows, the quantile does not
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn quantile_sorted(sorted: &[f64], p: f64) -> Result<f64, StatsError> {
    let argument = "sorted";
    let Some(last) = sorted.len().checked_sub(1) else {
        return Err(StatsError::Empty { argument });
    };
    check_share(p)?;
    let h = last as f64 * p;
    let below = floor_index(h).min(last);
    let above = (below + 1).min(last);
    let (low, high) = (sorted[below], sorted[above]);
    for (index, value) in [(below, low), (above, high)] {
        if value.is_nan() {
            return Err(StatsError::Nan { argument, index });
        }
    }
    let t = h - below as f64;
    let value = between(low, high, t);
    if value.is_nan() {
        return Err(StatsError::NotFinite { argument, index: below, value: low });
    }
    Ok(value)
}

/// The quantile of values in any order at the share `p` in [0, 1]; NaN is refused. See [`quantiles_with`] for the rest.
///
/// # Errors
/// As [`quantiles_with`].
///
/// ```
/// use mlops_core::num::quantile::quantile;
///
/// assert_eq!(quantile(&[8.0, 1.0, 4.0, 2.0], 0.25)?, 1.75);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn quantile(values: &[f64], p: f64) -> Result<f64, StatsError> {
    check_share(p)?;
    quantile_sorted(&sorted(values, NanPolicy::Raise)?, p)
}

/// Several quantiles of values in any order, under a NaN policy, from one sort (O(n log n), one copy of the values).
///
/// Under [`NanPolicy::Propagate`] a NaN makes every quantile undefined with [`UndefinedReason::NanInput`].
///
/// # Errors
/// [`StatsError::Empty`]; [`StatsError::Nan`] under [`NanPolicy::Raise`]; [`StatsError::AllMissing`] when nothing is left
/// under [`NanPolicy::Omit`]; and as [`quantile_sorted`].
///
/// # Example: quartiles of a column with a hole
/// ```
/// use mlops_core::num::quantile::quantiles_with;
/// use mlops_core::num::{Measured, NanPolicy};
///
/// let column = [3.0, f64::NAN, 1.0, 2.0];
/// let quartiles = quantiles_with(&column, &[0.25, 0.5, 0.75], NanPolicy::Omit)?;
/// assert_eq!(quartiles, [Measured::Value(1.5), Measured::Value(2.0), Measured::Value(2.5)]);
/// assert!(quantiles_with(&column, &[0.5], NanPolicy::Raise).is_err());
/// assert_eq!(quantiles_with(&column, &[0.5], NanPolicy::Propagate)?[0].value(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn quantiles_with(values: &[f64], shares: &[f64], nan: NanPolicy) -> Result<Vec<Measured>, StatsError> {
    shares.iter().try_for_each(|&p| check_share(p))?;
    if nan == NanPolicy::Propagate && values.iter().any(|value| value.is_nan()) {
        let present = values.iter().filter(|value| !value.is_nan()).count();
        return Ok(vec![Measured::none(UndefinedReason::NanInput, present, values.len()); shares.len()]);
    }
    let sorted = sorted(values, nan)?;
    shares.iter().map(|&p| quantile_sorted(&sorted, p).map(Measured::Value)).collect()
}

/// The values that are not NaN in ascending order (−0.0 before 0.0), after the NaN policy was applied; a NaN under
/// [`NanPolicy::Propagate`] is the caller's to look for first and is left out here.
///
/// # Errors
/// [`StatsError::Empty`]; [`StatsError::Nan`] under [`NanPolicy::Raise`]; [`StatsError::AllMissing`].
///
/// ```
/// use mlops_core::num::{NanPolicy, quantile::sorted};
///
/// assert_eq!(sorted(&[2.0, f64::NAN, 1.0], NanPolicy::Omit)?, [1.0, 2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sorted(values: &[f64], nan: NanPolicy) -> Result<Vec<f64>, StatsError> {
    let argument = "values";
    if values.is_empty() {
        return Err(StatsError::Empty { argument });
    }
    if nan == NanPolicy::Raise
        && let Some(index) = values.iter().position(|value| value.is_nan())
    {
        return Err(StatsError::Nan { argument, index });
    }
    let mut present: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    if present.is_empty() {
        return Err(StatsError::AllMissing { argument });
    }
    present.sort_unstable_by(f64::total_cmp);
    Ok(present)
}

fn check_share(p: f64) -> Result<(), StatsError> {
    if (0.0..=1.0).contains(&p) {
        return Ok(());
    }
    Err(StatsError::Parameter { parameter: "p", value: p, reason: "must lie in [0, 1]" })
}

/// ⌊h⌋ for h in [0, n − 1].
#[expect(clippy::cast_sign_loss, reason = "`h` is a length times a share in [0, 1]")]
fn floor_index(h: f64) -> usize {
    h as usize
}

/// The number at the share `t` of the way from `low` to `high`, inside their span and monotone in `t`.
fn between(low: f64, high: f64, t: f64) -> f64 {
    if t == 0.0 || low == high {
        return low;
    }
    let span = high - low;
    let value = if span.is_finite() {
        // From the nearer end, so that rounding cannot overshoot the far one.
        if t < 0.5 { low + span * t } else { high - span * (1.0 - t) }
    } else {
        low * (1.0 - t) + high * t
    };
    if value.is_nan() { value } else { value.clamp(low.min(high), low.max(high)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn agrees_with_numpy() {
        // numpy.quantile of NumPy 2.4.6, method "linear".
        let x = [15.0, 20.0, 35.0, 40.0, 50.0, 3.5, -2.25];
        for (p, expected) in [
            (0.0, -2.25),
            (0.05, -0.5249999999999997),
            (0.1, 1.2000000000000006),
            (0.25, 9.25),
            (0.333, 14.977000000000002),
            (0.5, 20.0),
            (0.9, 44.0),
            (0.999, 49.94),
            (1.0, 50.0),
        ] {
            let got = quantile(&x, p).unwrap();
            assert!((got - expected).abs() <= 1e-12 * f64::abs(expected), "p = {p}: {got} is not {expected}");
        }
    }

    #[test]
    fn refuses_what_has_no_answer() {
        let inf = f64::INFINITY;
        assert_eq!(quantile(&[], 0.5), Err(StatsError::Empty { argument: "values" }));
        assert_eq!(quantile(&[1.0, f64::NAN], 0.5), Err(StatsError::Nan { argument: "values", index: 1 }));
        for p in [-1e-9, 1.0 + 1e-9, f64::NAN, inf] {
            assert!(matches!(quantile(&[1.0], p), Err(StatsError::Parameter { parameter: "p", .. })), "{p}");
        }
        assert!(matches!(quantile(&[-inf, inf], 0.5), Err(StatsError::NotFinite { .. })));
        let all_nan = quantiles_with(&[f64::NAN], &[0.5], NanPolicy::Omit);
        assert_eq!(all_nan, Err(StatsError::AllMissing { argument: "values" }));
    }

    #[test]
    fn infinities_are_values() {
        let inf = f64::INFINITY;
        for (values, p, expected) in
            [([-inf, 0.0, inf], 0.5, 0.0), ([-inf, 0.0, inf], 0.75, inf), ([0.0, inf, inf], 0.75, inf)]
        {
            assert_eq!(quantile(&values, p), Ok(expected));
        }
    }

    proptest! {
        #[test]
        fn stays_inside_the_data_and_does_not_decrease(
            values in prop::collection::vec(any::<f64>().prop_filter("finite", |v| v.is_finite()), 1..40),
            mut shares in prop::collection::vec(0.0f64..=1.0, 2..8),
        ) {
            shares.sort_by(f64::total_cmp);
            let found: Vec<f64> = quantiles_with(&values, &shares, NanPolicy::Raise)
                .unwrap().into_iter().filter_map(Measured::value).collect();
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert_eq!(found.len(), shares.len());
            prop_assert!(found.windows(2).all(|pair| pair[0] <= pair[1]));
            prop_assert!(found.iter().all(|v| (low..=high).contains(v)));
        }
    }
}
