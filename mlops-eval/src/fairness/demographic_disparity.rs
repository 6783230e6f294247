//! Whether a group is over-represented among the refused, given what explains the decision.
//!
//! The demographic disparity of a group is its share among the refused minus its share among the accepted: above 0 it is refused
//! more than others. Simpson's paradox can turn the sign within every stratum of an explanatory attribute (department, income
//! band); the conditional disparity is therefore the mean over strata, weighted by their rows (Wachter, Mittelstadt and Russell,
//! *Why Fairness Cannot Be Automated*, Computer Law & Security Review 41, 2021).

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::input::{Named, named, paired, weight, weight_total};

/// The most strata; their sums take less than 128 MiB.
pub const MAX_STRATA: u32 = 1 << 20;

/// The disparity in one stratum.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StratumDisparity {
    /// Its rows.
    pub rows: u64,
    /// Their weight; the number of rows where they count alike.
    pub weight: f64,
    /// The group's share among the refused.
    pub share_of_refused: Measured,
    /// Its share among the accepted.
    pub share_of_accepted: Measured,
    /// The first minus the second, in \[−1, 1\]; undefined where nobody is refused or nobody is accepted.
    pub disparity: Measured,
}

/// The disparity over all rows, and given the strata.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConditionalDisparity {
    /// The mean of the strata's disparities, weighted by their weight; strata without one are left out.
    pub conditional: Measured,
    /// The disparity of all rows together.
    pub overall: StratumDisparity,
    /// Every stratum, by its code.
    pub strata: Vec<StratumDisparity>,
    /// The weight in strata that have no disparity, as a share of all.
    pub left_out: f64,
}

/// The conditional demographic disparity of a group: `selected` and `in_group` mark rows, `strata` gives each row the code of
/// its stratum below `strata_count`. O(n).
///
/// ```
/// use mlops_eval::fairness::conditional_demographic_disparity;
///
/// // In each department women are accepted as often as men, but more of them apply to the one that refuses most.
/// let women = [true, true, true, true, false, false, true, false, false];
/// let accepted = [true, false, false, false, false, true, true, true, false];
/// let department = [0, 0, 0, 0, 0, 0, 1, 1, 1];
/// let found = conditional_demographic_disparity(&accepted, &women, &department, 2)?;
/// assert!(found.overall.disparity.value() > Some(0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::UnknownCode`] with the row, [`StatsError::Parameter`]
/// for more than [`MAX_STRATA`] strata.
pub fn conditional_demographic_disparity(
    selected: &[bool],
    in_group: &[bool],
    strata: &[u32],
    strata_count: u32,
) -> Result<ConditionalDisparity, StatsError> {
    measure(selected, in_group, strata, strata_count, None)
}

/// [`conditional_demographic_disparity`] with a weight for each row.
///
/// ```
/// use mlops_eval::fairness::conditional_demographic_disparity_weighted;
/// let found = conditional_demographic_disparity_weighted(&[true, false], &[false, true], &[0, 0], 1, &[1.0, 3.0])?;
/// assert_eq!(found.conditional.value(), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`conditional_demographic_disparity`], and what [`weights::total`](mlops_core::num::weights::total) refuses.
pub fn conditional_demographic_disparity_weighted(
    selected: &[bool],
    in_group: &[bool],
    strata: &[u32],
    strata_count: u32,
    weights: &[f64],
) -> Result<ConditionalDisparity, StatsError> {
    measure(selected, in_group, strata, strata_count, Some(weights))
}

/// AIF360's `conditional_demographic_disparity`, which has groups where the paper has strata: the mean over groups, weighted by
/// their rows, of a group's share of all refused minus its share of all accepted. Each group is `(accepted, refused)`. Agrees with
/// AIF360 0.6.1 to 1e-12; undefined where that divides by zero.
///
/// ```
/// use mlops_eval::fairness::demographic_disparity_aif360;
/// let disparity = demographic_disparity_aif360(&[(30.0, 10.0), (10.0, 10.0)])?;
/// assert!((disparity.value().unwrap() - (40.0 * (0.5 - 0.75) + 20.0 * (0.5 - 0.25)) / 60.0).abs() < 1e-15);
/// assert_eq!(demographic_disparity_aif360(&[(0.0, 10.0)])?.value(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`]; [`StatsError::OutOfRange`] with the position of a group with a negative or infinite count.
pub fn demographic_disparity_aif360(groups: &[(f64, f64)]) -> Result<Measured, StatsError> {
    crate::input::not_empty(named("groups", groups))?;
    for (index, &(accepted, refused)) in groups.iter().enumerate() {
        for value in [accepted, refused] {
            if !(value >= 0.0 && value.is_finite()) {
                let (low, high) = (0.0, f64::MAX);
                return Err(StatsError::OutOfRange { argument: "groups", index, value, low, high });
            }
        }
    }
    let accepted = groups.iter().map(|group| group.0).collect::<Sum>().value();
    let refused = groups.iter().map(|group| group.1).collect::<Sum>().value();
    let total = crate::input::in_range("the sum of the groups", accepted + refused)?;
    if accepted == 0.0 || refused == 0.0 {
        return Ok(Measured::ratio(accepted.max(refused), 0.0));
    }
    let part = |&(a, r): &(f64, f64)| (a + r) / total * (r / refused - a / accepted);
    Ok(Measured::Value(groups.iter().map(part).collect::<Sum>().value()))
}

/// Rows, and weights by acceptance and membership.
#[derive(Clone, Default)]
struct Stratum {
    rows: u64,
    accepted: Sum,
    accepted_group: Sum,
    refused: Sum,
    refused_group: Sum,
}

impl Stratum {
    fn push(&mut self, selected: bool, in_group: bool, weight: f64) {
        self.rows += 1;
        let (all, group) = if selected {
            (&mut self.accepted, &mut self.accepted_group)
        } else {
            (&mut self.refused, &mut self.refused_group)
        };
        all.push(weight);
        if in_group {
            group.push(weight);
        }
    }

    fn finish(&self) -> StratumDisparity {
        let share_of_refused = Measured::ratio(self.refused_group.value(), self.refused.value());
        let share_of_accepted = Measured::ratio(self.accepted_group.value(), self.accepted.value());
        let disparity = match (share_of_refused, share_of_accepted) {
            (Measured::Value(refused), Measured::Value(accepted)) => Measured::Value(refused - accepted),
            (Measured::Value(_), undefined) | (undefined, _) => undefined,
        };
        let weight = self.accepted.value() + self.refused.value();
        StratumDisparity { rows: self.rows, weight, share_of_refused, share_of_accepted, disparity }
    }
}

fn measure(
    selected: &[bool],
    in_group: &[bool],
    strata: &[u32],
    strata_count: u32,
    weights: Option<&[f64]>,
) -> Result<ConditionalDisparity, StatsError> {
    let rows: Named<'_, bool> = named("selected", selected);
    paired(rows, named("in_group", in_group))?;
    paired(rows, named("strata", strata))?;
    weight_total(weights, rows)?;
    if strata_count > MAX_STRATA {
        let (value, reason) = (f64::from(strata_count), "must not exceed 1048576");
        return Err(StatsError::Parameter { parameter: "strata_count", value, reason });
    }
    if let Some(index) = strata.iter().position(|&code| code >= strata_count) {
        let (code, known) = (u64::from(strata[index]), u64::from(strata_count));
        return Err(StatsError::UnknownCode { argument: "strata", index, code, known });
    }
    // No more strata than the largest code asks for, whatever was announced.
    let used = strata.iter().max().map_or(0, |&code| code as usize + 1);
    let mut all = Stratum::default();
    let mut parts = vec![Stratum::default(); used];
    for (row, ((&selected, &in_group), &stratum)) in selected.iter().zip(in_group).zip(strata).enumerate() {
        let weight = weight(weights, row);
        all.push(selected, in_group, weight);
        parts[stratum as usize].push(selected, in_group, weight);
    }
    let strata: Vec<StratumDisparity> = parts.iter().map(Stratum::finish).collect();
    let overall = all.finish();
    let (mut sum, mut compared) = (Sum::new(), Sum::new());
    for stratum in &strata {
        if let Measured::Value(disparity) = stratum.disparity {
            sum.push(stratum.weight * disparity);
            compared.push(stratum.weight);
        }
    }
    let conditional = if compared.value() > 0.0 {
        Measured::Value(sum.value() / compared.value())
    } else {
        Measured::none(UndefinedReason::NothingDefined, 0, 1)
    };
    let left_out = (1.0 - compared.value() / overall.weight).max(0.0);
    Ok(ConditionalDisparity { conditional, overall, strata, left_out })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stratum_explains_what_the_total_shows() {
        // Department 0 accepts 2 of 10 of either group, department 1 accepts 8 of 10; most of the group applies to 0.
        let mut rows = Vec::new();
        for (department, in_group, applicants, accepted) in
            [(0_u32, true, 40, 8), (0, false, 10, 2), (1, true, 10, 8), (1, false, 40, 32)]
        {
            rows.extend((0..applicants).map(|i| (i < accepted, in_group, department)));
        }
        let selected: Vec<bool> = rows.iter().map(|row| row.0).collect();
        let in_group: Vec<bool> = rows.iter().map(|row| row.1).collect();
        let strata: Vec<u32> = rows.iter().map(|row| row.2).collect();
        let found = conditional_demographic_disparity(&selected, &in_group, &strata, 2).unwrap();
        assert!((found.overall.disparity.value().unwrap() - (34.0 / 50.0 - 16.0 / 50.0)).abs() < 1e-15);
        assert!(found.conditional.value().unwrap().abs() < 1e-15);
        assert_eq!(found.left_out, 0.0);
    }

    #[test]
    fn a_stratum_without_a_decision_is_left_out_and_counted() {
        let found = conditional_demographic_disparity(
            &[true, false, true, true],
            &[true, false, true, false],
            &[0, 0, 2, 2],
            3,
        )
        .unwrap();
        assert_eq!(found.conditional.value(), Some(-1.0));
        assert_eq!(found.left_out, 0.5);
        assert_eq!(found.strata[1].rows, 0);
        assert_eq!(found.strata[2].disparity.value(), None);
    }

    #[test]
    fn bad_arguments_are_named() {
        let error = conditional_demographic_disparity(&[true, true], &[true, true], &[0, 3], 3).unwrap_err();
        assert_eq!(error, StatsError::UnknownCode { argument: "strata", index: 1, code: 3, known: 3 });
        assert!(conditional_demographic_disparity(&[true], &[true], &[], 1).is_err());
        assert!(conditional_demographic_disparity(&[], &[], &[], 0).is_err());
        assert!(demographic_disparity_aif360(&[(1.0, -1.0)]).is_err());
        assert!(demographic_disparity_aif360(&[(f64::MAX, f64::MAX)]).is_err());
    }
}
