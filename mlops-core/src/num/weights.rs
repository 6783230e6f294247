//! Sample weights: what is accepted, what they add up to, and how many rows they are worth.
//!
//! One policy for every weighted statistic: a weight is finite and not negative, at least one is positive, and they
//! add up to a finite number. Weights need not add up to 1 and are never rescaled; weights of 1 give the unweighted
//! statistic.

use super::StatsError;

/// Checks `weights` and returns their total, summed with compensation (Neumaier 1974).
///
/// `argument` is the name to put into errors.
///
/// ```
/// use mlops_core::num::{StatsError, weights::total};
///
/// assert_eq!(total("weights", &[0.5, 0.0, 2.0])?, 2.5);
/// assert_eq!(total("weights", &[0.0, 0.0]), Err(StatsError::ZeroTotal { argument: "weights" }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::NotFinite`], [`StatsError::OutOfRange`] for a negative
/// weight, [`StatsError::ZeroTotal`] when all are zero, [`StatsError::Overflow`] when the total is not finite. O(n).
pub fn total(argument: &'static str, weights: &[f64]) -> Result<f64, StatsError> {
    if weights.is_empty() {
        return Err(StatsError::Empty { argument });
    }
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    for (index, &weight) in weights.iter().enumerate() {
        check_one(argument, index, weight)?;
        let next = sum + weight;
        // All terms are non-negative, so the larger of the two is found without taking absolute values.
        lost += if sum >= weight { (sum - next) + weight } else { (weight - next) + sum };
        sum = next;
    }
    let total = sum + lost;
    if !total.is_finite() {
        return Err(StatsError::Overflow { what: "the sum of the weights" });
    }
    if total == 0.0 {
        return Err(StatsError::ZeroTotal { argument });
    }
    Ok(total)
}

/// Checks `weights` as [`total`] does, and that there is one for each of `len` elements of `values`.
///
/// ```
/// use mlops_core::num::weights::total_for;
///
/// assert_eq!(total_for("weights", &[1.0, 3.0], "y_true", 2)?, 4.0);
/// assert!(total_for("weights", &[1.0, 3.0], "y_true", 3).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::LengthMismatch`], and those of [`total`].
pub fn total_for(
    argument: &'static str,
    weights: &[f64],
    values: &'static str,
    len: usize,
) -> Result<f64, StatsError> {
    if weights.len() != len {
        return Err(StatsError::LengthMismatch {
            left: argument,
            left_len: weights.len(),
            right: values,
            right_len: len,
        });
    }
    total(argument, weights)
}

/// The number of equally weighted rows that carry as much information: (Σw)² / Σw² (Kish 1965, section 8.2).
///
/// Lies between 1 and the number of weights; equals the number of weights when they are all alike.
///
/// ```
/// use mlops_core::num::weights::effective_size;
///
/// assert_eq!(effective_size("weights", &[2.0, 2.0, 2.0])?, 3.0);
/// assert_eq!(effective_size("weights", &[1.0, 0.0])?, 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`total`].
pub fn effective_size(argument: &'static str, weights: &[f64]) -> Result<f64, StatsError> {
    let total = total(argument, weights)?;
    // Shares instead of weights: squares of very large or very small weights would leave the range of f64.
    let squares: f64 = weights.iter().map(|weight| (weight / total) * (weight / total)).sum();
    Ok((1.0 / squares).clamp(1.0, weights.len() as f64))
}

fn check_one(argument: &'static str, index: usize, weight: f64) -> Result<(), StatsError> {
    if weight.is_nan() {
        return Err(StatsError::Nan { argument, index });
    }
    if weight.is_infinite() {
        return Err(StatsError::NotFinite { argument, index, value: weight });
    }
    if weight < 0.0 {
        return Err(StatsError::OutOfRange { argument, index, value: weight, low: 0.0, high: f64::MAX });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_weights_are_named_with_their_index() {
        let cases: [(&[f64], StatsError); 6] = [
            (&[], StatsError::Empty { argument: "w" }),
            (&[1.0, f64::NAN], StatsError::Nan { argument: "w", index: 1 }),
            (&[f64::INFINITY], StatsError::NotFinite { argument: "w", index: 0, value: f64::INFINITY }),
            (
                &[1.0, 1.0, -0.5],
                StatsError::OutOfRange { argument: "w", index: 2, value: -0.5, low: 0.0, high: f64::MAX },
            ),
            (&[0.0, -0.0], StatsError::ZeroTotal { argument: "w" }),
            (&[f64::MAX, f64::MAX], StatsError::Overflow { what: "the sum of the weights" }),
        ];
        for (weights, expected) in cases {
            assert_eq!(total("w", weights), Err(expected), "{weights:?}");
        }
    }

    #[test]
    fn small_weights_beside_a_large_one_are_not_lost() {
        let mut weights = vec![1e16];
        weights.extend(std::iter::repeat_n(1.0, 1000));
        assert_eq!(total("w", &weights), Ok(1e16 + 1000.0));
    }

    #[test]
    fn a_length_mismatch_names_both_sides() {
        let error = total_for("weights", &[1.0], "y_true", 2).unwrap_err();
        assert_eq!(error.to_string(), "`weights` has 1 elements but `y_true` has 2");
    }

    #[test]
    fn effective_size_lies_between_one_and_n() {
        for weights in [&[1.0, 2.0, 3.0][..], &[1e-300, 1e-300], &[1e300, 1e-300], &[5e-324]] {
            let size = effective_size("w", weights).unwrap();
            assert!((1.0..=weights.len() as f64).contains(&size), "{weights:?}: {size}");
        }
        let size = effective_size("w", &[1.0, 2.0, 3.0]).unwrap();
        assert!((size - 36.0 / 14.0).abs() < 1e-14, "{size}");
    }
}
