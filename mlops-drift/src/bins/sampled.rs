//! Samples of any width counted into cells, with an account of every value.

use mlops_core::num::StatsError;

use super::{BinRule, Bins, Counts, Missing};
use crate::comparison::Comparison;
use crate::sample::{Sample, Side, Value};
use crate::tally::{Outer, Tally};

/// Both sides of a comparison, on cells of the reference.
#[derive(Debug)]
pub(crate) struct Counted {
    reference: Counts,
    current: Counts,
    sides: (Side, Side),
    missing: Missing,
}

impl Counted {
    /// Fits on the reference and counts both sides, after what is missing got its meaning.
    pub(crate) fn fit<T: Value>(
        reference: Sample<'_, T>,
        current: Sample<'_, T>,
        rule: BinRule,
        missing: Missing,
    ) -> Result<Self, StatsError> {
        for (argument, sample) in [("reference", reference), ("current", current)] {
            check(argument, sample, missing)?;
        }
        let bins = Bins::fit(reference, rule)?;
        let (reference, before) = bins.count_sample("reference", reference, missing)?;
        let (current, after) = bins.count_sample("current", current, missing)?;
        Ok(Self { reference, current, sides: (before, after), missing })
    }

    /// The cells that take part, with the account of the values.
    pub(crate) fn comparison(&self) -> Result<Comparison<'_>, StatsError> {
        let tally = |counts, side| Tally { side: Some(side), ..tally(counts, self.missing) };
        Comparison::new(tally(&self.reference, self.sides.0), tally(&self.current, self.sides.1))
    }
}

/// Counts over numeric cells, their ends known.
fn tally(counts: &Counts, missing: Missing) -> Tally<'_> {
    let cells = missing.cells(counts);
    let outer = cells.len().checked_sub(if missing == Missing::Cell { 2 } else { 1 });
    Tally { outer: outer.map(|high| Outer { low: 0, high }), ..Tally::new(cells) }
}

pub(super) fn check<T: Value>(
    argument: &'static str,
    sample: Sample<'_, T>,
    missing: Missing,
) -> Result<(), StatsError> {
    if sample.is_empty() {
        return Err(StatsError::Empty { argument });
    }
    let nan = || (0..sample.len()).find(|&i| sample.values()[i].is_nan() && sample.is_valid(i));
    match nan() {
        Some(index) if missing == Missing::Raise => Err(StatsError::Nan { argument, index }),
        _ => Ok(()),
    }
}

impl Bins {
    /// Counts over these bins as what the distances take: with the knowledge that the outer cells begin where the reference ends.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for counts over other bins.
    ///
    /// ```
    /// use mlops_drift::{BinRule, Bins, Missing, Smoothing, psi_from_counts};
    ///
    /// let reference: Vec<f64> = (0..500).map(f64::from).collect();
    /// let bins = Bins::fit(&reference, BinRule::default())?;
    /// let (before, after) = (bins.count(&reference), bins.count(&[700.0; 20]));
    /// let (before, after) = (bins.tally(&before, Missing::Omit)?, bins.tally(&after, Missing::Omit)?);
    /// let psi = psi_from_counts(before, after, Smoothing::Jeffreys)?;
    /// assert!(psi.current.unseen == 20 && psi.ln_p.value().is_some_and(|ln_p| ln_p < -50.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tally<'c>(&self, counts: &'c Counts, missing: Missing) -> Result<Tally<'c>, StatsError> {
        counts.fits(self.digest(), self.len())?;
        let (rows, gone) = (counts.total(), counts.missing());
        let used = if missing == Missing::Cell { rows } else { rows - gone };
        let side = Side { rows, used, missing: gone, ..Side::default() };
        Ok(Tally { side: Some(side), ..tally(counts, missing) })
    }

    /// Counts a sample and says what became of its values. What is missing goes to the missing cell; whether that cell takes
    /// part is for `missing` to say.
    pub(crate) fn count_sample<T: Value>(
        &self,
        argument: &'static str,
        sample: Sample<'_, T>,
        missing: Missing,
    ) -> Result<(Counts, Side), StatsError> {
        const CHUNK: usize = 1024;
        let mut counts = self.count(&[]);
        let mut buffer = [0.0; CHUNK];
        let mut infinite = 0;
        for start in (0..sample.len()).step_by(CHUNK) {
            let values = &sample.values()[start..sample.len().min(start + CHUNK)];
            for (i, (slot, &value)) in buffer.iter_mut().zip(values).enumerate() {
                let valid = sample.is_valid(start + i);
                *slot = if valid { value.to_f64() } else { f64::NAN };
                infinite += u64::from(valid && !value.is_finite() && !value.is_nan());
            }
            self.count_into(&mut counts, &buffer[..values.len()])?;
        }
        let (rows, gone) = (sample.len() as u64, counts.missing());
        let used = if missing == Missing::Cell { rows } else { rows - gone };
        if used == 0 {
            return Err(StatsError::AllMissing { argument });
        }
        Ok((counts, Side { rows, used, missing: gone, infinite, unseen: 0 }))
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::data::Validity;

    use super::*;

    #[test]
    fn every_width_is_counted_alike_across_chunks() {
        let bins = Bins::from_edges(&[0.0, 10.0, 100.0]).unwrap();
        let small: Vec<i16> = (-100_i16..3000).map(|i| i % 120).collect();
        let large: Vec<f64> = small.iter().map(|&v| f64::from(v)).collect();
        let (narrow, side) = bins.count_sample("current", Sample::new(&small), Missing::Raise).unwrap();
        assert_eq!(narrow, bins.count(&large));
        assert_eq!((side.rows, side.used, side.infinite), (3100, 3100, 0));
    }

    #[test]
    fn an_absent_value_is_missing_whatever_its_slot_holds() {
        let bins = Bins::from_edges(&[0.0, 1.0]).unwrap();
        let valid = Validity::from_bools(&[true, false, true, false]);
        let values = [0.5, f64::INFINITY, f64::INFINITY, f64::NAN];
        let sample = Sample::new(&values).with_validity(&valid).unwrap();
        assert!(check("current", sample, Missing::Raise).is_ok(), "the NaN is absent");
        let (counts, side) = bins.count_sample("current", sample, Missing::Omit).unwrap();
        assert_eq!(counts.as_slice(), [0, 1, 1, 2]);
        assert_eq!(side, Side { rows: 4, used: 2, missing: 2, infinite: 1, unseen: 0 });
        let (_, side) = bins.count_sample("current", sample, Missing::Cell).unwrap();
        assert_eq!(side.used, 4);
    }

    #[test]
    fn nothing_present_is_an_error_unless_missing_is_a_cell() {
        let bins = Bins::from_edges(&[0.0, 1.0]).unwrap();
        let valid = Validity::from_bools(&[false]);
        let sample = Sample::new(&[0_u8]).with_validity(&valid).unwrap();
        let all_missing = StatsError::AllMissing { argument: "current" };
        assert_eq!(bins.count_sample("current", sample, Missing::Raise), Err(all_missing));
        assert!(bins.count_sample("current", sample, Missing::Cell).is_ok());
    }
}
