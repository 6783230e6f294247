//! Categories that are already codes.

use mlops_core::num::StatsError;

use super::{CategoryBins, Counts, Missing};
use crate::sample::{Sample, Side};
use crate::tally::Tally;

/// Counts codes `0..levels`: a cell each, and one for what is absent by the validity bitmap. Linear time, for the
/// `…_from_counts` functions.
///
/// # Errors
/// [`StatsError::UnknownCode`] with the index for a present code that is not below `levels`.
///
/// ```
/// use mlops_drift::{code_counts, l_infinity_from_counts};
///
/// let (before, after) = (code_counts("reference", &[0, 1, 1, 2], 3)?, code_counts("current", &[2, 2], 3)?);
/// assert_eq!(before, [1, 2, 1, 0]);
/// assert_eq!(l_infinity_from_counts(&before, &after)?.score, 0.75);
/// assert!(code_counts("current", &[3], 3).is_err());
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn code_counts<'a>(
    argument: &'static str,
    codes: impl Into<Sample<'a, u32>>,
    levels: u32,
) -> Result<Vec<u64>, StatsError> {
    let codes = codes.into();
    let known = usize::try_from(levels).unwrap_or(usize::MAX).min(usize::MAX - 1);
    let mut counts = vec![0_u64; known + 1];
    for (index, &code) in codes.values().iter().enumerate() {
        let cell = match (codes.is_valid(index), usize::try_from(code)) {
            (false, _) => known,
            (true, Ok(code)) if code < known => code,
            _ => {
                let (code, known) = (u64::from(code), u64::from(levels));
                return Err(StatsError::UnknownCode { argument, index, code, known });
            }
        };
        if let Some(count) = counts.get_mut(cell) {
            *count += 1;
        }
    }
    Ok(counts)
}

impl CategoryBins {
    /// Counts codes into `levels`: each level is looked up once, each row is one addition. Absent rows are missing.
    ///
    /// # Errors
    /// [`StatsError::UnknownCode`] with the index for a present code beyond the levels.
    ///
    /// ```
    /// let bins = mlops_drift::CategoryBins::fit([Some("a"), Some("b")])?;
    /// // "a", "b", unseen, missing
    /// assert_eq!(bins.count_codes(&[0, 0, 1], &["b", "c"])?.as_slice(), [0, 2, 1, 0]);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn count_codes<'a, S: AsRef<str>>(
        &self,
        codes: impl Into<Sample<'a, u32>>,
        levels: &[S],
    ) -> Result<Counts, StatsError> {
        let known = u32::try_from(levels.len()).unwrap_or(u32::MAX);
        let by_code = code_counts("codes", codes, known)?;
        let cells = levels.iter().map(|level| self.cell_of(Some(level.as_ref()))).chain([self.cell_of(None)]);
        let mut counts = Counts::zero(self.digest(), self.len());
        cells.zip(by_code).for_each(|(cell, count)| counts.push_many(cell, count));
        Ok(counts)
    }

    /// Counts over these categories as what the distances take.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for counts over other categories.
    ///
    /// ```
    /// use mlops_drift::{CategoryBins, Missing, hellinger_from_counts};
    ///
    /// let bins = CategoryBins::fit([Some("a"), Some("b")])?;
    /// let (before, after) = (bins.count([Some("a"), Some("b")]), bins.count([Some("c"), None]));
    /// let distance =
    ///     hellinger_from_counts(bins.tally(&before, Missing::Omit)?, bins.tally(&after, Missing::Omit)?)?;
    /// assert!((distance.score - 1.0).abs() < 1e-15);
    /// assert_eq!((distance.current.unseen, distance.current.missing), (1, 1));
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn tally<'c>(&self, counts: &'c Counts, missing: Missing) -> Result<Tally<'c>, StatsError> {
        counts.fits(self.digest(), self.len())?;
        let (rows, gone) = (counts.total(), counts.missing());
        let used = if missing == Missing::Cell { rows } else { rows - gone };
        let side = Side { rows, used, missing: gone, ..Side::default() };
        Ok(Tally { side: Some(side), ..Tally::new(missing.cells(counts)) })
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::data::Validity;

    use super::*;

    #[test]
    fn an_absent_code_may_be_anything() {
        let valid = Validity::from_bools(&[true, false]);
        let codes = Sample::new(&[1_u32, u32::MAX]).with_validity(&valid).unwrap();
        assert_eq!(code_counts("reference", codes, 2), Ok(vec![0, 1, 1]));
        let unknown = StatsError::UnknownCode { argument: "reference", index: 0, code: 2, known: 2 };
        assert_eq!(code_counts("reference", &[2], 2), Err(unknown));
    }

    #[test]
    fn codes_and_strings_are_counted_alike() {
        let bins = CategoryBins::fit(["x", "y"].map(Some)).unwrap();
        let valid = Validity::from_bools(&[true, true, true, false]);
        let codes = Sample::new(&[0_u32, 2, 1, 0]).with_validity(&valid).unwrap();
        let by_code = bins.count_codes(codes, &["y", "z", "x"]).unwrap();
        assert_eq!(by_code, bins.count([Some("y"), Some("x"), Some("z"), None]));
    }
}
