//! Masses per cell: counts of weighted values.

use mlops_core::hash::Digest;
use mlops_core::num::{StatsError, weights};
use serde::{Deserialize, Serialize};

use super::{BinRule, Bins, Missing, sampled};
use crate::comparison::Comparison;
use crate::sample::{Sample, Side, Value};
use crate::tally::{Outer, Row, Tally};

/// How much weight fell into each cell of some [`Bins`], and how many values.
///
/// ```
/// use mlops_drift::Bins;
///
/// let bins = Bins::from_edges(&[0.0, 1.0, 2.0])?;
/// let mut masses = bins.count_weighted(&[0.5, 1.5], &[2.0, 0.5])?;
/// masses.merge(&bins.count_weighted(&[0.7, f64::NAN], &[1.0, 4.0])?)?;
/// assert_eq!(masses.as_slice(), [0.0, 3.0, 0.5, 0.0, 4.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Masses {
    bins: Digest,
    cells: Vec<f64>,
    counts: Vec<u64>,
    /// Sums of squared weights: of the present values, and of the missing ones.
    squares: [f64; 2],
    infinite: u64,
}

impl Masses {
    /// The mass of every cell, the missing one last.
    pub fn as_slice(&self) -> &[f64] {
        &self.cells
    }

    /// Kish's effective number of values, (Σw)²/Σw², of all values or of the present ones; at least 1.
    ///
    /// ```
    /// use mlops_drift::{Bins, Missing};
    /// let masses = Bins::from_edges(&[0.0, 1.0])?.count_weighted(&[0.5, 0.6], &[3.0, 3.0])?;
    /// assert!((masses.effective_size(Missing::Omit) - 2.0).abs() < 1e-12);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn effective_size(&self, missing: Missing) -> f64 {
        let all = missing == Missing::Cell;
        let total: f64 = self.taken(all).iter().sum();
        let squares = self.squares[0] + if all { self.squares[1] } else { 0.0 };
        // Scaled by parts, so that huge weights do not overflow.
        let root = squares.sqrt();
        if root > 0.0 { (total / root).powi(2).max(1.0) } else { 1.0 }
    }

    fn taken(&self, all: bool) -> &[f64] {
        let end = self.cells.len() - usize::from(!all && !self.cells.is_empty());
        &self.cells[..end]
    }

    /// Adds masses over the same bins; on an error nothing has changed. Associative up to rounding.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for masses over other bins; [`StatsError::Overflow`] when a sum is too large.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.bins != other.bins
            || self.cells.len() != other.cells.len()
            || self.counts.len() != other.counts.len()
        {
            return Err(StatsError::Incompatible { what: "the bins" });
        }
        let cells: Vec<f64> = self.cells.iter().zip(&other.cells).map(|(a, b)| a + b).collect();
        let counts: Option<Vec<u64>> =
            self.counts.iter().zip(&other.counts).map(|(a, b)| a.checked_add(*b)).collect();
        let squares = [self.squares[0] + other.squares[0], self.squares[1] + other.squares[1]];
        let (Some(counts), true) = (counts, cells.iter().chain(&squares).all(|sum| sum.is_finite())) else {
            return Err(StatsError::Overflow { what: "a merged mass" });
        };
        let infinite = self.infinite.saturating_add(other.infinite);
        *self = Self { bins: self.bins, cells, counts, squares, infinite };
        Ok(())
    }

    fn tally(&self, missing: Missing) -> Result<Tally<'_>, StatsError> {
        let all = missing == Missing::Cell;
        let masses = self.taken(all);
        let size = self.effective_size(missing);
        let counts = Some(&self.counts[..masses.len().min(self.counts.len())]);
        let outer = masses.len().checked_sub(if all { 2 } else { 1 }).map(|high| Outer { low: 0, high });
        let rows = self.counts.iter().try_fold(0_u64, |rows, &count| rows.checked_add(count));
        let rows = rows.ok_or(StatsError::Overflow { what: "the total of the counts" })?;
        let gone = self.counts.last().copied().unwrap_or(0);
        let used = if all { rows } else { rows - gone };
        let side = Side { rows, used, missing: gone, infinite: self.infinite, unseen: 0 };
        Tally::from_masses(masses, size)?;
        Ok(Tally { row: Row::Masses { masses, counts, size }, outer, side: Some(side) })
    }
}

impl Bins {
    /// Adds up the weights of the values in each cell. Linear time.
    ///
    /// # Errors
    /// As [`weights::total_for`].
    ///
    /// ```
    /// let bins = mlops_drift::Bins::from_edges(&[0.0, 1.0])?;
    /// assert_eq!(bins.count_weighted(&[0.5, 3.0], &[0.25, 2.0])?.as_slice(), [0.0, 0.25, 2.0, 0.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count_weighted<'a, T: Value>(
        &self,
        values: impl Into<Sample<'a, T>>,
        weights: &[f64],
    ) -> Result<Masses, StatsError> {
        let values = values.into();
        weights::total_for("weights", weights, "values", values.len())?;
        let mut sums = vec![mlops_core::num::sum::Sum::new(); self.len()];
        let mut counts = vec![0_u64; self.len()];
        let (mut squares, mut infinite) = ([0.0; 2], 0);
        for (i, (&value, &weight)) in values.values().iter().zip(weights).enumerate() {
            let valid = values.is_valid(i);
            let cell = self.cell_of(if valid { value.to_f64() } else { f64::NAN });
            let missing = usize::from(cell + 1 == self.len());
            squares[missing] += weight * weight;
            infinite += u64::from(valid && !value.is_finite() && !value.is_nan());
            if let (Some(sum), Some(count)) = (sums.get_mut(cell), counts.get_mut(cell)) {
                sum.push(weight);
                *count += 1;
            }
        }
        if squares.iter().any(|sum| !sum.is_finite()) {
            return Err(StatsError::Overflow { what: "the sum of the squared weights" });
        }
        let cells = sums.iter().map(mlops_core::num::sum::Sum::value).collect();
        Ok(Masses { bins: self.digest(), cells, counts, squares, infinite })
    }

    /// Masses over these bins as what the distances take.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for masses over other bins; [`StatsError::ZeroTotal`] when no mass takes part.
    ///
    /// ```
    /// use mlops_drift::{Bins, Missing, total_variation_from_counts};
    ///
    /// let bins = Bins::from_edges(&[0.0, 1.0, 2.0])?;
    /// let (a, b) = (bins.count_weighted(&[0.5, 1.5], &[1.0, 3.0])?, bins.count_weighted(&[0.5], &[8.0])?);
    /// let (a, b) = (bins.tally_weighted(&a, Missing::Omit)?, bins.tally_weighted(&b, Missing::Omit)?);
    /// assert_eq!(total_variation_from_counts(a, b)?.score, 0.75);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tally_weighted<'m>(&self, masses: &'m Masses, missing: Missing) -> Result<Tally<'m>, StatsError> {
        if masses.bins != self.digest()
            || masses.cells.len() != self.len()
            || masses.counts.len() != self.len()
        {
            return Err(StatsError::Incompatible { what: "the bins" });
        }
        masses.tally(missing)
    }
}

/// Both sides of a weighted comparison, on cells of the reference.
#[derive(Debug)]
pub(crate) struct Weighed {
    reference: Masses,
    current: Masses,
    missing: Missing,
}

impl Weighed {
    pub(crate) fn fit<T: Value>(
        (reference, reference_weights): (Sample<'_, T>, &[f64]),
        (current, current_weights): (Sample<'_, T>, &[f64]),
        rule: BinRule,
        missing: Missing,
    ) -> Result<Self, StatsError> {
        sampled::check("reference", reference, missing)?;
        sampled::check("current", current, missing)?;
        weights::total_for("reference_weights", reference_weights, "reference", reference.len())?;
        weights::total_for("current_weights", current_weights, "current", current.len())?;
        let bins = Bins::fit(reference, rule)?;
        let reference = bins.count_weighted(reference, reference_weights)?;
        let current = bins.count_weighted(current, current_weights)?;
        Ok(Self { reference, current, missing })
    }

    pub(crate) fn comparison(&self) -> Result<Comparison<'_>, StatsError> {
        Comparison::new(
            named("reference", self.reference.tally(self.missing))?,
            named("current", self.current.tally(self.missing))?,
        )
    }
}

/// An error about masses as one about the side they belong to.
fn named<'a>(argument: &'static str, tally: Result<Tally<'a>, StatsError>) -> Result<Tally<'a>, StatsError> {
    tally.map_err(|error| match error {
        StatsError::ZeroTotal { .. } => StatsError::AllMissing { argument },
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_kish() {
        let bins = Bins::from_edges(&[0.0, 1.0]).unwrap();
        let masses = bins.count_weighted(&[0.1, 0.2, f64::NAN], &[1.0, 2.0, 3.0]).unwrap();
        assert!((masses.effective_size(Missing::Omit) - 9.0 / 5.0).abs() < 1e-15);
        assert!((masses.effective_size(Missing::Cell) - 36.0 / 14.0).abs() < 1e-15);
    }

    #[test]
    fn weights_that_make_no_sense_are_refused() {
        let bins = Bins::from_edges(&[0.0, 1.0]).unwrap();
        for weights in [&[1.0][..], &[1.0, -1.0], &[0.0, 0.0], &[f64::NAN, 1.0], &[1e200, 1e200]] {
            assert!(bins.count_weighted(&[0.1, 0.2], weights).is_err(), "{weights:?}");
        }
    }
}
