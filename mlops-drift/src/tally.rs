//! What distances on cells take: how much of a sample lies in each cell.

use mlops_core::num::{StatsError, weights};

use crate::sample::Side;

/// How much of a sample lies in each cell: counts, or masses where the values have weights.
///
/// A row of `u64` turns into one by itself (`&[3, 5]`, `&counts`, `counts.as_slice()`), for cells that were known beforehand.
/// [`Bins::tally`](crate::Bins::tally) makes one of [`Counts`](crate::Counts) that also knows which cells lie outside the
/// reference by construction. p-values need that: a cell beyond the largest reference value is empty in the reference not by
/// chance, but because it begins there.
///
/// ```
/// use mlops_drift::{Tally, total_variation_from_counts};
///
/// let score = total_variation_from_counts(&[50, 50], &[30, 70])?.score;
/// assert!((score - 0.2).abs() < 1e-15);
/// // Half a row each of weight 2: the same shares of an effective 100 rows.
/// let weighted = Tally::from_masses(&[60.0, 140.0], 100.0)?;
/// assert!((total_variation_from_counts(&[50, 50], weighted)?.score - 0.2).abs() < 1e-15);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Tally<'a> {
    pub(crate) row: Row<'a>,
    pub(crate) outer: Option<Outer>,
    pub(crate) side: Option<Side>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Row<'a> {
    Counts(&'a [u64]),
    Masses {
        masses: &'a [f64],
        /// How many values fell into each cell, where that is known.
        counts: Option<&'a [u64]>,
        /// Kish's effective number of values.
        size: f64,
    },
}

/// The two cells that begin where the reference ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outer {
    pub(crate) low: usize,
    pub(crate) high: usize,
}

impl<'a> Tally<'a> {
    /// Counts of values in cells that were known beforehand.
    ///
    /// ```
    /// assert_eq!(mlops_drift::Tally::new(&[1, 2]).len(), 2);
    /// ```
    pub const fn new(counts: &'a [u64]) -> Self {
        Self { row: Row::Counts(counts), outer: None, side: None }
    }

    /// Masses of weighted values in cells, worth `effective_size` values of equal weight: (Σw)²/Σw² over the values (Kish,
    /// *Survey sampling*, 1965), see [`effective_size`](mlops_core::num::weights::effective_size). The laws behind noise floor,
    /// p-value and interval take it for the number of values.
    ///
    /// # Errors
    /// As [`weights::total`] for the masses; [`StatsError::Parameter`] for an effective size below 1 or not finite.
    ///
    /// ```
    /// assert!(mlops_drift::Tally::from_masses(&[0.5, 2.5], 7.2).is_ok());
    /// assert!(mlops_drift::Tally::from_masses(&[0.5, -2.5], 7.2).is_err());
    /// ```
    pub fn from_masses(masses: &'a [f64], effective_size: f64) -> Result<Self, StatsError> {
        weights::total("masses", masses)?;
        if !(1.0..f64::INFINITY).contains(&effective_size) {
            let reason = "must be finite and at least 1";
            return Err(StatsError::Parameter { parameter: "effective_size", value: effective_size, reason });
        }
        Ok(Self { row: Row::Masses { masses, counts: None, size: effective_size }, outer: None, side: None })
    }

    /// How many cells there are.
    ///
    /// ```
    /// assert_eq!(mlops_drift::Tally::from(&[7]).len(), 1);
    /// ```
    pub const fn len(&self) -> usize {
        match self.row {
            Row::Counts(counts) => counts.len(),
            Row::Masses { masses, .. } => masses.len(),
        }
    }

    /// Whether there is no cell.
    ///
    /// ```
    /// assert!(mlops_drift::Tally::new(&[]).is_empty());
    /// ```
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The mass of a cell; 0 where there is none.
    pub(crate) fn mass(&self, cell: usize) -> f64 {
        match self.row {
            Row::Counts(counts) => counts.get(cell).map_or(0.0, |&count| count as f64),
            Row::Masses { masses, .. } => masses.get(cell).copied().unwrap_or(0.0),
        }
    }

    /// How many values lie in a cell, where that is known.
    pub(crate) fn count(&self, cell: usize) -> u64 {
        match self.row {
            Row::Counts(counts) | Row::Masses { counts: Some(counts), .. } => {
                counts.get(cell).copied().unwrap_or(0)
            }
            Row::Masses { counts: None, .. } => 0,
        }
    }

    /// The counts, when nothing is weighted.
    pub(crate) const fn counts(&self) -> Option<&'a [u64]> {
        match self.row {
            Row::Counts(counts) => Some(counts),
            Row::Masses { .. } => None,
        }
    }
}

impl<'a> From<&'a [u64]> for Tally<'a> {
    fn from(counts: &'a [u64]) -> Self {
        Self::new(counts)
    }
}

impl<'a> From<&'a Vec<u64>> for Tally<'a> {
    fn from(counts: &'a Vec<u64>) -> Self {
        Self::new(counts)
    }
}

impl<'a, const N: usize> From<&'a [u64; N]> for Tally<'a> {
    fn from(counts: &'a [u64; N]) -> Self {
        Self::new(counts)
    }
}
