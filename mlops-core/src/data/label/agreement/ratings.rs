//! Ratings of units, with any of them missing.

use crate::num::{Measured, StatsError};

/// Numbers that several raters gave to the same units; codes where the numbers are classes. Who gave which does not matter.
///
/// ```
/// use mlops_core::data::Ratings;
/// // Three raters and two units; the second rater left out the first unit.
/// let ratings = Ratings::new(3, &[Some(1.0), None, Some(2.0), Some(1.0), Some(1.0), Some(1.0)])?;
/// assert_eq!((ratings.units(), ratings.len()), (2, 5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ratings {
    values: Vec<f64>,
    starts: Vec<usize>,
}

impl Ratings {
    /// Ratings unit by unit, `raters` for each, `None` where there is none.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for no raters, [`StatsError::LengthMismatch`] when the values do not fill whole units,
    /// [`StatsError::Nan`] and [`StatsError::NotFinite`].
    pub fn new(raters: usize, values: &[Option<f64>]) -> Result<Self, StatsError> {
        if raters == 0 {
            return Err(StatsError::Parameter {
                parameter: "raters",
                value: 0.0,
                reason: "must be 1 at least",
            });
        }
        let rest = values.len() % raters;
        if rest != 0 {
            let (left_len, right_len) = (raters, rest);
            return Err(StatsError::LengthMismatch {
                left: "raters",
                left_len,
                right: "the last unit",
                right_len,
            });
        }
        for (index, value) in values.iter().enumerate() {
            check(index, value.unwrap_or(0.0))?;
        }
        Self::of_units(values.chunks(raters).map(|unit| unit.iter().flatten().copied()))
    }

    /// Ratings of each unit, as many as there are.
    ///
    /// # Errors
    /// [`StatsError::Nan`] and [`StatsError::NotFinite`], with the index over all ratings.
    pub fn of_units<U: IntoIterator<Item = f64>>(
        units: impl IntoIterator<Item = U>,
    ) -> Result<Self, StatsError> {
        let mut ratings = Self { values: Vec::new(), starts: vec![0] };
        for unit in units {
            for value in unit {
                check(ratings.values.len(), value)?;
                // Both zeros are one value.
                ratings.values.push(value + 0.0);
            }
            ratings.starts.push(ratings.values.len());
        }
        Ok(ratings)
    }

    /// The number of units.
    pub fn units(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// The number of ratings.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no ratings.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The ratings of one unit.
    pub(super) fn unit(&self, unit: usize) -> &[f64] {
        match (self.starts.get(unit), self.starts.get(unit + 1)) {
            (Some(&from), Some(&until)) => &self.values[from..until],
            _ => &[],
        }
    }

    /// The units with two ratings at least: those that can agree or not.
    pub(super) fn pairable(&self) -> impl Iterator<Item = &[f64]> {
        (0..self.units()).map(|unit| self.unit(unit)).filter(|unit| unit.len() > 1)
    }
}

fn check(index: usize, value: f64) -> Result<(), StatsError> {
    match value {
        v if v.is_nan() => Err(StatsError::Nan { argument: "ratings", index }),
        v if v.is_infinite() => Err(StatsError::NotFinite { argument: "ratings", index, value }),
        _ => Ok(()),
    }
}

/// How many times each value occurs, in ascending order of the values.
pub(super) fn counts(unit: &[f64]) -> Vec<(f64, usize)> {
    let mut sorted = unit.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.chunk_by(|a, b| a == b).filter_map(|same| Some((*same.first()?, same.len()))).collect()
}

/// The share of pairs of ratings of one unit that are equal, over all pairs of all units; from 0 to 1. Chance is not taken
/// away. Undefined ([`UndefinedReason::ZeroDenominator`](crate::num::UndefinedReason::ZeroDenominator)) when no unit has two
/// ratings. With as many ratings for every unit it is the P̄ of Fleiss.
///
/// ```
/// use mlops_core::data::{Ratings, percent_agreement};
/// let ratings = Ratings::of_units([vec![1.0, 1.0, 2.0], vec![3.0, 3.0]])?;
/// assert_eq!(percent_agreement(&ratings).value(), Some(2.0 / 4.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn percent_agreement(ratings: &Ratings) -> Measured {
    let pairs = |n: usize| (n as f64) * (n as f64 - 1.0) / 2.0;
    let (mut equal, mut all) = (0.0, 0.0);
    for unit in ratings.pairable() {
        all += pairs(unit.len());
        equal += counts(unit).into_iter().map(|(_, n)| pairs(n)).sum::<f64>();
    }
    Measured::ratio(equal, all)
}
