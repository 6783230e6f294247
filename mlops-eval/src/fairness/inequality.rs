//! How unequally a benefit is spread over people: generalized entropy, Theil's indices, Atkinson's index, and what of it lies
//! between groups.
//!
//! For benefits bᵢ ≥ 0 with weights wᵢ that add up to W and mean μ:
//!
//! | index | formula | range |
//! |---|---|---|
//! | generalized entropy GE(α), α ≠ 0, 1 | 1/(W α (α − 1)) Σ wᵢ \[(bᵢ/μ)^α − 1\] | from 0 |
//! | Theil T = GE(1) | 1/W Σ wᵢ (bᵢ/μ) ln(bᵢ/μ), with 0 ln 0 = 0 | from 0 |
//! | Theil L = GE(0), mean log deviation | −1/W Σ wᵢ ln(bᵢ/μ) | from 0 |
//! | coefficient of variation | √(2 GE(2)) | from 0 |
//! | Atkinson A(ε), ε ≠ 1 | 1 − \[1/W Σ wᵢ (bᵢ/μ)^(1−ε)\]^(1/(1−ε)) | 0 to 1 |
//! | Atkinson A(1) | 1 − exp(−GE(0)) | 0 to 1 |
//!
//! A classifier's benefit is prediction minus truth plus 1: 2 for who gets what others are refused (a false positive), 0 for who
//! is refused it wrongly (a false negative), 1 for everybody else (Speicher, Heidari, Grgić-Hlača, Gummadi, Singla, Weller and
//! Zafar, *A Unified Approach to Quantifying Algorithmic Unfairness*, KDD 2018). It depends on the confusion cells alone, so
//! everything here is computed from counts.
//!
//! Larger α looks harder at large benefits. With α ≤ 0, or ε ≥ 1, one benefit of 0 makes the index infinite, respectively 1
//! regardless of all others: GE is undefined then. A mean of 0 leaves every index undefined. Agrees with AIF360 0.6.1 to 1e-12,
//! but for GE(0), which AIF360 divides by the mean once too often.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, Undefined, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::classification::WeightedConfusion;
use crate::input::{finite, in_range, named, not_empty, weight, weight_total};

/// GE(α) of benefits.
///
/// ```
/// use mlops_eval::fairness::generalized_entropy;
///
/// assert_eq!(generalized_entropy(&[3.0, 3.0, 3.0], 2.0)?.value(), Some(0.0));
/// // Half the squared coefficient of variation.
/// assert_eq!(generalized_entropy(&[0.0, 2.0], 2.0)?.value(), Some(0.5));
/// assert_eq!(generalized_entropy(&[0.0, 2.0], 0.0)?.value(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::NotFinite`], [`StatsError::OutOfRange`] for a negative benefit,
/// [`StatsError::Parameter`] for an `alpha` that is not finite, [`StatsError::Overflow`].
pub fn generalized_entropy(benefits: &[f64], alpha: f64) -> Result<Measured, StatsError> {
    of_rows(benefits, None, alpha)
}

/// [`generalized_entropy`] with a weight for each benefit.
///
/// ```
/// use mlops_eval::fairness::{generalized_entropy, generalized_entropy_weighted};
/// let twice = generalized_entropy_weighted(&[0.0, 2.0], &[1.0, 2.0], 1.0)?;
/// assert_eq!(twice, generalized_entropy(&[0.0, 2.0, 2.0], 1.0)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`generalized_entropy`], and what [`weights::total`](mlops_core::num::weights::total) refuses.
pub fn generalized_entropy_weighted(
    benefits: &[f64],
    weights: &[f64],
    alpha: f64,
) -> Result<Measured, StatsError> {
    of_rows(benefits, Some(weights), alpha)
}

/// Theil's T index, GE(1).
///
/// ```
/// use mlops_eval::fairness::theil_index;
/// assert!((theil_index(&[0.0, 2.0])?.value().unwrap() - f64::ln(2.0)).abs() < 1e-15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`generalized_entropy`].
pub fn theil_index(benefits: &[f64]) -> Result<Measured, StatsError> {
    generalized_entropy(benefits, 1.0)
}

/// The coefficient of variation, √(2 GE(2)): the standard deviation (of the population) over the mean.
///
/// ```
/// use mlops_eval::fairness::coefficient_of_variation;
/// assert_eq!(coefficient_of_variation(&[0.0, 2.0])?.value(), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`generalized_entropy`].
pub fn coefficient_of_variation(benefits: &[f64]) -> Result<Measured, StatsError> {
    Ok(generalized_entropy(benefits, 2.0)?.map(|entropy| (2.0 * entropy).sqrt()))
}

/// Atkinson's index A(ε): the share of the benefits one could give up if the rest were spread evenly, for an aversion ε ≥ 0 to
/// inequality (Atkinson, *On the Measurement of Inequality*, Journal of Economic Theory 2, 1970).
///
/// ```
/// use mlops_eval::fairness::atkinson_index;
///
/// assert_eq!(atkinson_index(&[1.0, 1.0], 0.5)?.value(), Some(0.0));
/// assert_eq!(atkinson_index(&[0.0, 2.0], 1.0)?.value(), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`generalized_entropy`]; [`StatsError::Parameter`] for an `epsilon` that is negative or not finite.
pub fn atkinson_index(benefits: &[f64], epsilon: f64) -> Result<Measured, StatsError> {
    if !(epsilon >= 0.0 && epsilon.is_finite()) {
        let reason = "must be finite and 0 or more";
        return Err(StatsError::Parameter { parameter: "epsilon", value: epsilon, reason });
    }
    check(benefits)?;
    let atoms: Vec<Atom> = benefits.iter().map(|&value| Atom { value, weight: 1.0 }).collect();
    let Some(mean) = positive_mean(&atoms) else { return Ok(no_mean()) };
    if epsilon >= 1.0 && benefits.contains(&0.0) {
        return Ok(Measured::Value(1.0));
    }
    if epsilon == 1.0 {
        let deviation: Sum = atoms.iter().map(|atom| (atom.value / mean).ln()).collect();
        return Ok(Measured::Value(-(deviation.value() / benefits.len() as f64).exp_m1()));
    }
    let power = 1.0 - epsilon;
    let sum: Sum = atoms.iter().map(|atom| (atom.value / mean).powf(power)).collect();
    let mean_power = in_range("Atkinson's index", sum.value() / benefits.len() as f64)?;
    Ok(Measured::Value((1.0 - mean_power.powf(1.0 / power)).clamp(0.0, 1.0)))
}

/// GE(α) of a classifier's benefits, from its confusion cells.
///
/// ```
/// use mlops_eval::classification::Confusion;
/// use mlops_eval::fairness::{generalized_entropy, generalized_entropy_from_counts};
///
/// let cells = Confusion::of(&[true, true, false, false], &[true, false, true, false])?;
/// let entropy = generalized_entropy_from_counts(cells, 2.0)?;
/// assert_eq!(entropy, generalized_entropy(&[1.0, 0.0, 2.0, 1.0], 2.0)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`] for an `alpha` that is not finite, [`StatsError::Overflow`]. No rows leave it undefined.
pub fn generalized_entropy_from_counts(
    cells: impl Into<WeightedConfusion>,
    alpha: f64,
) -> Result<Measured, StatsError> {
    entropy(&benefits_of(&cells.into()), alpha)
}

/// An index of inequality, and its parts between and within groups: `total` = `between` + `within`.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntropyDecomposition {
    /// GE(α) of all rows.
    pub total: Measured,
    /// What would be left if everybody had the mean of their group.
    pub between: Measured,
    /// Σ over groups of W_g/W (μ_g/μ)^α GE_g(α).
    pub within: Measured,
}

/// Splits GE(α) of a classifier's benefits into the parts between and within groups; groups without rows have no part in it.
/// O(groups).
///
/// ```
/// use mlops_eval::classification::Confusion;
/// use mlops_eval::fairness::generalized_entropy_by_group;
///
/// let favoured = Confusion { false_positives: 10, true_negatives: 10, ..Default::default() };
/// let refused = Confusion { false_negatives: 10, true_positives: 10, ..Default::default() };
/// let parts = generalized_entropy_by_group(&[favoured, refused], 2.0)?;
/// let close = |part: Option<f64>, expected: f64| part.is_some_and(|part| (part - expected).abs() < 1e-15);
/// assert!(close(parts.total.value(), 0.25));
/// assert!(close(parts.between.value(), 0.125));
/// assert!(close(parts.within.value(), 0.125));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] without groups, and those of [`generalized_entropy_from_counts`].
pub fn generalized_entropy_by_group<C: Into<WeightedConfusion> + Copy>(
    groups: &[C],
    alpha: f64,
) -> Result<EntropyDecomposition, StatsError> {
    not_empty(named("groups", groups))?;
    let groups: Vec<[Atom; 3]> = groups.iter().map(|&cells| benefits_of(&cells.into())).collect();
    let all = groups.concat();
    let means: Vec<Atom> = groups.iter().map(|atoms| mean_atom(atoms)).collect();
    let total = entropy(&all, alpha)?;
    let between = entropy(&means, alpha)?;
    Ok(EntropyDecomposition { total, between, within: within(&groups, &means, alpha)? })
}

fn within(groups: &[[Atom; 3]], means: &[Atom], alpha: f64) -> Result<Measured, StatsError> {
    let Some(mean) = positive_mean(means) else { return Ok(no_mean()) };
    let weight: Sum = means.iter().map(|group| group.weight).collect();
    let mut sum = Sum::new();
    for (atoms, group) in groups.iter().zip(means) {
        let relative = group.value / mean;
        // A group in which nobody has any benefit has no inequality inside; its weight (μ_g/μ)^α is infinite for α < 0.
        if group.weight == 0.0 || (group.value == 0.0 && alpha > 0.0) {
            continue;
        }
        match entropy(atoms, alpha)? {
            Measured::Value(inside) => sum.push(group.weight * relative.powf(alpha) * inside),
            undefined => return Ok(undefined),
        }
    }
    in_range("the entropy within groups", sum.value() / weight.value()).map(Measured::Value)
}

/// So much weight has this benefit.
#[derive(Clone, Copy)]
struct Atom {
    value: f64,
    weight: f64,
}

fn benefits_of(cells: &WeightedConfusion) -> [Atom; 3] {
    [
        Atom { value: 0.0, weight: cells.false_negatives() },
        Atom { value: 1.0, weight: cells.true_positives() + cells.true_negatives() },
        Atom { value: 2.0, weight: cells.false_positives() },
    ]
}

fn check(benefits: &[f64]) -> Result<(), StatsError> {
    not_empty(named("benefits", benefits))?;
    finite("benefits", benefits)?;
    match benefits.iter().position(|&benefit| benefit < 0.0) {
        None => Ok(()),
        Some(index) => {
            let (value, low, high) = (benefits[index], 0.0, f64::INFINITY);
            Err(StatsError::OutOfRange { argument: "benefits", index, value, low, high })
        }
    }
}

fn of_rows(benefits: &[f64], weights: Option<&[f64]>, alpha: f64) -> Result<Measured, StatsError> {
    check(benefits)?;
    weight_total(weights, named("benefits", benefits))?;
    let atom = |(row, &value)| Atom { value, weight: weight(weights, row) };
    entropy(&benefits.iter().enumerate().map(atom).collect::<Vec<_>>(), alpha)
}

fn no_mean() -> Measured {
    let reason = UndefinedReason::ZeroDenominator;
    Measured::Undefined(Undefined { reason, numerator: 0.0, denominator: 0.0 })
}

/// The weighted mean, divided before it is added up so that it cannot overflow; 0 without weight.
fn mean_atom(atoms: &[Atom]) -> Atom {
    let weight = atoms.iter().map(|atom| atom.weight).collect::<Sum>().value();
    if weight == 0.0 {
        return Atom { value: 0.0, weight };
    }
    let largest = atoms.iter().map(|atom| atom.value).fold(0.0, f64::max);
    let share = |atom: &Atom| if largest > 0.0 { atom.value / largest * atom.weight } else { 0.0 };
    Atom { value: atoms.iter().map(share).collect::<Sum>().value() / weight * largest, weight }
}

fn positive_mean(atoms: &[Atom]) -> Option<f64> {
    let mean = mean_atom(atoms).value;
    (mean > 0.0).then_some(mean)
}

fn entropy(atoms: &[Atom], alpha: f64) -> Result<Measured, StatsError> {
    if !alpha.is_finite() {
        return Err(StatsError::Parameter { parameter: "alpha", value: alpha, reason: "must be finite" });
    }
    let Some(mean) = positive_mean(atoms) else { return Ok(no_mean()) };
    let present = || atoms.iter().filter(|atom| atom.weight > 0.0);
    let total = present().map(|atom| atom.weight).collect::<Sum>().value();
    let none = present().filter(|atom| atom.value == 0.0).map(|atom| atom.weight).sum::<f64>();
    if alpha <= 0.0 && none > 0.0 {
        let reason = UndefinedReason::ZeroDenominator;
        return Ok(Measured::Undefined(Undefined { reason, numerator: none, denominator: 0.0 }));
    }
    let term = |ratio: f64| {
        if alpha == 0.0 {
            -ratio.ln()
        } else if alpha == 1.0 {
            if ratio == 0.0 { 0.0 } else { ratio * ratio.ln() }
        } else {
            (ratio.powf(alpha) - 1.0) / (alpha * (alpha - 1.0))
        }
    };
    let sum: Sum = present().map(|atom| atom.weight * term(atom.value / mean)).collect();
    // The index is never negative; rounding of equal benefits may be.
    in_range("the generalized entropy", (sum.value() / total).max(0.0)).map(Measured::Value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classification::Confusion;

    #[test]
    fn the_parts_add_up_for_every_alpha() {
        let groups = [
            Confusion { true_positives: 30, false_positives: 5, false_negatives: 0, true_negatives: 40 },
            Confusion { true_positives: 10, false_positives: 1, false_negatives: 9, true_negatives: 20 },
            Confusion::default(),
        ];
        for alpha in [0.3, 0.5, 1.0, 1.5, 2.0, 3.0] {
            let parts = generalized_entropy_by_group(&groups, alpha).unwrap();
            let (total, between, within) =
                (parts.total.value().unwrap(), parts.between.value().unwrap(), parts.within.value().unwrap());
            assert!((between + within - total).abs() < 1e-14, "{alpha}: {parts:?}");
            assert!(between > 0.0 && within > 0.0);
        }
        let parts = generalized_entropy_by_group(&groups, 0.0).unwrap();
        assert_eq!(parts.total.value(), None);
        assert!(parts.between.value().is_some());
    }

    #[test]
    fn what_has_no_mean_has_no_index() {
        assert_eq!(generalized_entropy(&[0.0, 0.0], 2.0).unwrap(), no_mean());
        assert_eq!(atkinson_index(&[0.0], 0.5).unwrap(), no_mean());
        assert_eq!(generalized_entropy_from_counts(Confusion::default(), 2.0).unwrap(), no_mean());
        let refused = Confusion { false_negatives: 3, ..Default::default() };
        let parts = generalized_entropy_by_group(&[refused, refused], 1.0).unwrap();
        assert_eq!(parts.total.value().or(parts.between.value()).or(parts.within.value()), None);
    }

    #[test]
    fn large_and_small_benefits_do_not_overflow() {
        let value = |benefits: &[f64]| generalized_entropy(benefits, 2.0).unwrap().value().unwrap();
        assert!((value(&[0.0, f64::MAX]) - 0.5).abs() < 1e-15);
        assert!((value(&[0.0, f64::MIN_POSITIVE]) - 0.5).abs() < 1e-15);
        assert!(matches!(generalized_entropy(&[1.0, 1e300], 400.0), Ok(Measured::Value(_)) | Err(_)));
    }

    #[test]
    fn bad_arguments_are_named() {
        assert_eq!(generalized_entropy(&[], 2.0), Err(StatsError::Empty { argument: "benefits" }));
        let error = generalized_entropy(&[1.0, -0.5], 2.0).unwrap_err();
        assert_eq!(error.to_string(), "`benefits` has -0.5 at index 1, which lies outside [0, inf]");
        assert!(matches!(generalized_entropy(&[1.0], f64::NAN), Err(StatsError::Parameter { .. })));
        assert!(matches!(atkinson_index(&[1.0], -1.0), Err(StatsError::Parameter { .. })));
        let empty: [Confusion; 0] = [];
        assert!(generalized_entropy_by_group(&empty, 2.0).is_err());
        assert!(generalized_entropy_weighted(&[1.0], &[1.0, 2.0], 2.0).is_err());
    }
}
