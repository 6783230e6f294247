//! Weights for training that make group and label independent.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use crate::fairness::group::MAX_GROUPS;
use crate::input::{in_range, named, not_empty, paired, weight, weight_total};

/// Reweighing: a row of group g and label y gets the weight P(g) P(y) / P(g, y), times the weight it has, so that in the weighted
/// data group and label are independent while the totals of each group and of each label stay (Kamiran and Calders, *Data
/// preprocessing techniques for classification without discrimination*, Knowledge and Information Systems 33, 2012).
///
/// Made of the weight of negatives and positives in each group: it merges and serialises. Agrees with AIF360 0.6.1 to 1e-12.
///
/// ```
/// use mlops_eval::fairness::Reweighing;
///
/// let (group, y_true) = ([0, 0, 0, 1, 1, 1], [true, true, false, true, false, false]);
/// let reweighing = Reweighing::of(&group, 2, &y_true)?;
/// // Positives of group 1 are rarer than they would be if the group did not matter.
/// assert_eq!(reweighing.factor(1, true)?.value(), Some(1.5));
/// let weights = reweighing.weights(&group, &y_true)?;
/// assert_eq!(weights, [0.75, 0.75, 1.5, 1.5, 0.75, 0.75]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<[f64; 2]>", into = "Vec<[f64; 2]>")]
pub struct Reweighing {
    cells: Vec<[f64; 2]>,
    labels: [f64; 2],
    total: f64,
}

impl Reweighing {
    /// From the group and the label of each row. O(n).
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::UnknownCode`] with the row,
    /// [`StatsError::Parameter`] for no groups or more than [`MAX_GROUPS`].
    pub fn of(groups: &[u32], group_count: usize, y_true: &[bool]) -> Result<Self, StatsError> {
        Self::build(groups, group_count, y_true, None)
    }

    /// From the group, the label and the weight of each row.
    ///
    /// ```
    /// use mlops_eval::fairness::Reweighing;
    /// let reweighing = Reweighing::weighted(&[0, 1], 2, &[true, false], &[3.0, 1.0])?;
    /// assert_eq!(reweighing.factor(0, false)?.value(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`of`](Self::of), and what [`weights::total`](mlops_core::num::weights::total) refuses.
    pub fn weighted(
        groups: &[u32],
        group_count: usize,
        y_true: &[bool],
        weights: &[f64],
    ) -> Result<Self, StatsError> {
        Self::build(groups, group_count, y_true, Some(weights))
    }

    /// From the weight of the negatives and of the positives of each group.
    ///
    /// ```
    /// use mlops_eval::fairness::Reweighing;
    /// let reweighing = Reweighing::from_counts(vec![[1.0, 2.0], [2.0, 1.0]])?;
    /// assert_eq!(reweighing.factor(0, true)?.value(), Some(0.75));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for no groups or more than [`MAX_GROUPS`], [`StatsError::OutOfRange`] with the position of a
    /// group whose weight is negative or not finite, [`StatsError::ZeroTotal`], [`StatsError::Overflow`].
    pub fn from_counts(cells: Vec<[f64; 2]>) -> Result<Self, StatsError> {
        check_groups(cells.len())?;
        let bad = |cell: &[f64; 2]| cell.iter().any(|weight| !(*weight >= 0.0 && weight.is_finite()));
        if let Some(index) = cells.iter().position(bad) {
            let [negative, positive] = cells[index];
            let value = if negative >= 0.0 && negative.is_finite() { positive } else { negative };
            return Err(StatsError::OutOfRange {
                argument: "groups",
                index,
                value,
                low: 0.0,
                high: f64::MAX,
            });
        }
        let label = |label: usize| cells.iter().map(|cell| cell[label]).collect::<Sum>().value();
        let labels = [label(0), label(1)];
        let total = in_range("the sum of the weights", labels[0] + labels[1])?;
        if total == 0.0 {
            return Err(StatsError::ZeroTotal { argument: "groups" });
        }
        Ok(Self { cells, labels, total })
    }

    fn build(
        groups: &[u32],
        group_count: usize,
        y_true: &[bool],
        weights: Option<&[f64]>,
    ) -> Result<Self, StatsError> {
        let rows = named("y_true", y_true);
        paired(rows, named("groups", groups))?;
        weight_total(weights, rows)?;
        let mut sums = vec![[Sum::new(); 2]; check_groups(group_count)?];
        for (row, (&group, &label)) in groups.iter().zip(y_true).enumerate() {
            let Some(cells) = sums.get_mut(group as usize) else {
                return Err(unknown(row, group, group_count));
            };
            cells[usize::from(label)].push(weight(weights, row));
        }
        Self::from_counts(sums.iter().map(|cells| cells.map(|sum| sum.value())).collect())
    }

    /// Adds the rows of another part of the data.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for another number of groups, [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.cells.len() != other.cells.len() {
            return Err(StatsError::Incompatible { what: "the number of groups" });
        }
        let cells = self.cells.iter().zip(&other.cells).map(|(a, b)| [a[0] + b[0], a[1] + b[1]]);
        let cells: Vec<[f64; 2]> = cells.collect();
        if cells.iter().flatten().any(|weight| !weight.is_finite()) {
            return Err(StatsError::Overflow { what: "the sum of the weights" });
        }
        *self = Self::from_counts(cells)?;
        Ok(())
    }

    /// What a row of this group and label is multiplied by; undefined for a combination without weight.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a group there is none of, and [`StatsError::Overflow`] when the factor leaves the range of f64.
    pub fn factor(&self, group: usize, label: bool) -> Result<Measured, StatsError> {
        let Some(cells) = self.cells.get(group) else {
            let reason = "is not a group";
            return Err(StatsError::Parameter { parameter: "group", value: group as f64, reason });
        };
        let label = usize::from(label);
        let share = (cells[0] + cells[1]) / self.total;
        let factor = Measured::ratio(share * self.labels[label], cells[label]);
        // A tiny weight against a huge one: the quotient may leave the range of f64.
        factor.value().map_or(Ok(0.0), |factor| in_range("the factor of a group's label", factor))?;
        Ok(factor)
    }

    /// The factors of rows, in their order. O(n).
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], [`StatsError::Empty`]; [`StatsError::UnknownCode`] for a group, and
    /// [`StatsError::ZeroTotal`] for a combination of group and label, that the factors were not made of.
    pub fn weights(&self, groups: &[u32], y_true: &[bool]) -> Result<Vec<f64>, StatsError> {
        paired(named("y_true", y_true), named("groups", groups))?;
        let factor = |(row, (&group, &label)): (usize, (&u32, &bool))| {
            if group as usize >= self.cells.len() {
                return Err(unknown(row, group, self.cells.len()));
            }
            let factor = self.factor(group as usize, label)?;
            factor.value().ok_or(StatsError::ZeroTotal { argument: "the weight of a group's label" })
        };
        groups.iter().zip(y_true).enumerate().map(factor).collect()
    }
}

fn unknown(index: usize, group: u32, known: usize) -> StatsError {
    StatsError::UnknownCode { argument: "groups", index, code: u64::from(group), known: known as u64 }
}

fn check_groups(groups: usize) -> Result<usize, StatsError> {
    not_empty(named("groups", &vec![(); groups.min(1)]))?;
    if groups > MAX_GROUPS {
        let (value, reason) = (groups as f64, "must not exceed 65536");
        return Err(StatsError::Parameter { parameter: "the number of groups", value, reason });
    }
    Ok(groups)
}

impl TryFrom<Vec<[f64; 2]>> for Reweighing {
    type Error = StatsError;

    fn try_from(cells: Vec<[f64; 2]>) -> Result<Self, StatsError> {
        Self::from_counts(cells)
    }
}

impl From<Reweighing> for Vec<[f64; 2]> {
    fn from(reweighing: Reweighing) -> Self {
        reweighing.cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_and_label_become_independent_and_totals_stay() {
        let groups: Vec<u32> = (0..300).map(|i| i * i % 7 % 3).collect();
        let y_true: Vec<bool> = (0..300).map(|i| (i * 13 + i / 7) % 5 < 2).collect();
        let weights: Vec<f64> = (0..300).map(|i| 0.5 + f64::from(i % 4)).collect();
        let reweighing = Reweighing::weighted(&groups, 3, &y_true, &weights).unwrap();
        let factors = reweighing.weights(&groups, &y_true).unwrap();
        let after: Vec<f64> = factors.iter().zip(&weights).map(|(factor, weight)| factor * weight).collect();
        let weighted = Reweighing::weighted(&groups, 3, &y_true, &after).unwrap();
        for group in 0..3 {
            let share = |r: &Reweighing| r.cells[group][1] / (r.cells[group][0] + r.cells[group][1]);
            assert!((share(&weighted) - reweighing.labels[1] / reweighing.total).abs() < 1e-14);
            let total = |r: &Reweighing| r.cells[group][0] + r.cells[group][1];
            assert!((total(&weighted) - total(&reweighing)).abs() < 1e-10);
        }
    }

    #[test]
    fn parts_merge_and_are_read_back() {
        let mut whole = Reweighing::of(&[0, 1], 2, &[true, false]).unwrap();
        whole.merge(&Reweighing::of(&[1, 1], 2, &[true, false]).unwrap()).unwrap();
        assert_eq!(whole, Reweighing::of(&[0, 1, 1, 1], 2, &[true, false, true, false]).unwrap());
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<Reweighing>(&text).unwrap(), whole);
        for bad in ["[]", "[[0.0,0.0]]", "[[1.0,-1.0]]", "[[1e308,1e308]]"] {
            assert!(serde_json::from_str::<Reweighing>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bad_arguments_are_named() {
        assert_eq!(Reweighing::of(&[], 1, &[]), Err(StatsError::Empty { argument: "y_true" }));
        assert_eq!(Reweighing::of(&[0], 0, &[true]), Err(StatsError::Empty { argument: "groups" }));
        assert!(Reweighing::of(&[0], usize::MAX, &[true]).is_err());
        let known = StatsError::UnknownCode { argument: "groups", index: 1, code: 2, known: 2 };
        assert_eq!(Reweighing::of(&[0, 2], 2, &[true, true]), Err(known));
        let fitted = Reweighing::of(&[0, 1], 2, &[true, false]).unwrap();
        assert!(fitted.weights(&[0], &[false]).is_err());
        assert!(fitted.weights(&[3], &[false]).is_err());
        assert!(fitted.factor(2, true).is_err());
        assert!(fitted.clone().merge(&Reweighing::of(&[0], 1, &[true]).unwrap()).is_err());
    }
}
