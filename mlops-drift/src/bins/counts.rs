//! Counts per cell: the mergeable state of every statistic on cells.

use mlops_core::hash::Digest;
use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

/// How many values fell into each cell of some [`Bins`](super::Bins) or [`CategoryBins`](super::CategoryBins).
///
/// The last cell counts what is missing; the bins say what the others are. Counts carry the digest of their bins, so that
/// counts over other cells are refused instead of added.
///
/// # Example: two shards, counted apart
/// ```
/// use mlops_drift::Bins;
///
/// let bins = Bins::from_edges(&[0.0, 1.0, 2.0])?;
/// let mut total = bins.count(&[0.5, 1.5, f64::NAN]);
/// total.merge(&bins.count(&[-1.0, 1.7, 9.0]))?;
/// // underflow, [0, 1), [1, 2], overflow, missing
/// assert_eq!(total.as_slice(), [1, 1, 2, 1, 1]);
/// assert_eq!((total.total(), total.missing()), (6, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    bins: Digest,
    cells: Vec<u64>,
}

impl Counts {
    pub(super) fn zero(bins: Digest, cells: usize) -> Self {
        Self { bins, cells: vec![0; cells] }
    }

    pub(super) fn fits(&self, bins: Digest, cells: usize) -> Result<(), StatsError> {
        if self.bins == bins && self.cells.len() == cells {
            return Ok(());
        }
        Err(StatsError::Incompatible { what: "the bins" })
    }

    /// Every cell, the missing one last; pass it to the `…_from_counts` functions.
    ///
    /// ```
    /// let bins = mlops_drift::Bins::from_edges(&[0.0, 1.0])?;
    /// assert_eq!(bins.count(&[0.25, 7.0]).as_slice(), [0, 1, 1, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn as_slice(&self) -> &[u64] {
        &self.cells
    }

    /// Every cell but the missing one.
    ///
    /// ```
    /// let bins = mlops_drift::Bins::from_edges(&[0.0, 1.0])?;
    /// assert_eq!(bins.count(&[0.25, f64::NAN]).present(), [0, 1, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn present(&self) -> &[u64] {
        self.cells.split_last().map_or(&[], |(_, present)| present)
    }

    /// How many values were missing.
    ///
    /// ```
    /// let bins = mlops_drift::Bins::from_edges(&[0.0, 1.0])?;
    /// assert_eq!(bins.count(&[f64::NAN; 3]).missing(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn missing(&self) -> u64 {
        self.cells.last().copied().unwrap_or(0)
    }

    /// How many values were counted, missing ones included.
    ///
    /// ```
    /// let bins = mlops_drift::Bins::from_edges(&[0.0, 1.0])?;
    /// assert_eq!(bins.count(&[0.5, f64::NAN]).total(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn total(&self) -> u64 {
        self.cells.iter().fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// Adds counts over the same bins; on an error nothing has changed.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for counts over other bins; [`StatsError::Overflow`] beyond 2⁶⁴ − 1.
    ///
    /// ```
    /// use mlops_drift::Bins;
    /// let mut counts = Bins::from_edges(&[0.0, 1.0])?.count(&[0.5]);
    /// assert!(counts.merge(&Bins::from_edges(&[0.0, 2.0])?.count(&[0.5])).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        other.fits(self.bins, self.cells.len())?;
        let both = self.cells.iter().zip(&other.cells);
        let sums: Option<Vec<u64>> = both.map(|(a, b)| a.checked_add(*b)).collect();
        self.cells = sums.ok_or(StatsError::Overflow { what: "a merged count" })?;
        Ok(())
    }

    /// Counts so many values in `cell`.
    pub(super) fn push_many(&mut self, cell: usize, values: u64) {
        if let Some(count) = self.cells.get_mut(cell) {
            *count = count.saturating_add(values);
        }
    }

    /// Takes over counts made elsewhere, cell by cell.
    pub(super) fn fill(&mut self, cells: &[u64]) {
        self.cells.iter_mut().zip(cells).for_each(|(mine, other)| *mine = *other);
    }

    /// Counts one value in `cell`. A count of 2⁶⁴ values is out of reach of pushing one by one.
    #[inline]
    pub(super) fn push(&mut self, cell: usize) {
        if let Some(count) = self.cells.get_mut(cell) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn cells_mut(&mut self) -> &mut [u64] {
        &mut self.cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_that_overflows_changes_nothing() {
        let bins = Digest::of(b"bins");
        let mut counts = Counts { bins, cells: vec![1, u64::MAX] };
        let before = counts.clone();
        assert_eq!(counts.merge(&before), Err(StatsError::Overflow { what: "a merged count" }));
        assert_eq!(counts, before);
    }

    #[test]
    fn counts_read_from_outside_cannot_panic() {
        let text = format!(r#"{{"bins":"{}","cells":[]}}"#, Digest::of(b""));
        let counts: Counts = serde_json::from_str(&text).unwrap();
        assert_eq!((counts.missing(), counts.total(), counts.present().len()), (0, 0, 0));
    }
}
