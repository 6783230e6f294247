//! Cramér's V: how strongly a categorical column depends on which sample it is from, between 0 and 1.
//!
//! With Pearson's χ² of an r × c table with total N, φ² = χ²/N and
//!
//! > V = √(φ²/min(r − 1, c − 1))
//!
//! (Cramér, *Mathematical Methods of Statistics*, 1946). Without any association φ² is about (r − 1)(c − 1)/(N − 1) on average, so
//! V of many categories and few rows looks large. The **corrected** V takes that off,
//!
//! > φ̃² = max(0, φ² − (r − 1)(c − 1)/(N − 1)),  r̃ = r − (r − 1)²/(N − 1),  Ṽ = √(φ̃²/min(r̃ − 1, c̃ − 1)),
//!
//! and c̃ like r̃ (Bergsma, *A bias-correction for Cramér's V and Tschuprow's T*, J. Korean Stat. Soc. 42, 2013). The p-value is
//! that of [chi-square](mod@crate::chi2). There is no interval: the noncentral χ² one is off where the dependence is
//! strong, the delta method where it is weak, and neither says which case it is in.

use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::bins::Missing;
use crate::levels::Levels;
use crate::pair::{Pair, Tail};
use crate::sample::{Sample, Side, Value};
use crate::table::Table;
use crate::two::Sides;

/// Cramér's V with what is needed to judge it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CramerV {
    /// V in [0, 1]; undefined when only one category is occupied.
    pub v: Measured,
    /// Ṽ in [0, 1], corrected for bias; undefined when only one category is occupied or N is too small to correct.
    pub corrected: Measured,
    /// Pearson's χ².
    pub statistic: f64,
    /// Degrees of freedom: occupied categories minus one.
    pub dof: u64,
    /// P(χ² or more | no drift); undefined when `dof` is 0.
    pub p: Measured,
    /// The natural logarithm of `p`, finite where `p` is too small for a double.
    pub ln_p: Measured,
    /// What became of the reference values.
    pub reference: Side,
    /// What became of the current values; those in categories that the reference does not have are unseen.
    pub current: Side,
}

/// Cramér's V of every distinct value against the sample it is from; missing values as in [`chi2`](crate::chi2()).
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`] under [`Missing::Raise`], [`StatsError::AllMissing`].
///
/// ```
/// use mlops_core::num::Measured;
/// use mlops_drift::{Missing, cramer_v};
/// assert_eq!(cramer_v(&[0_u8, 0, 1], &[2, 3, 3], Missing::Raise)?.v, Measured::Value(1.0));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn cramer_v<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
    missing: Missing,
) -> Result<CramerV, StatsError> {
    of_levels(&Levels::of_values(reference, current, missing)?)
}

/// Cramér's V of every distinct text against the sample it is from; `None` as in [`chi2_text`](crate::chi2_text).
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::AllMissing`].
///
/// ```
/// use mlops_core::num::Measured;
/// use mlops_drift::{Missing, cramer_v_text};
/// let texts = ["a", "b", "a"].map(Some);
/// assert_eq!(cramer_v_text(texts, texts, Missing::Omit)?.v, Measured::Value(0.0));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn cramer_v_text<'a>(
    reference: impl IntoIterator<Item = Option<&'a str>>,
    current: impl IntoIterator<Item = Option<&'a str>>,
    missing: Missing,
) -> Result<CramerV, StatsError> {
    of_levels(&Levels::of_text(reference, current, missing)?)
}

fn of_levels(levels: &Levels) -> Result<CramerV, StatsError> {
    let Sides { reference, current } = levels.sides;
    Ok(CramerV { reference, current, ..cramer_v_from_counts(&levels.reference, &levels.current)? })
}

/// Cramér's V of two rows of counts over the same cells. Linear time.
///
/// V agrees with `scipy.stats.contingency.association(…, method="cramer")` to 1e-12.
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::ZeroTotal`]; [`StatsError::Overflow`] when all counts
/// add up to more than 2⁶².
///
/// ```
/// use mlops_drift::cramer_v_from_counts;
///
/// // 50 equal categories and 40 rows a side: V alone cries wolf.
/// let (a, b) = ([[1, 0, 1, 1, 1]; 10].concat(), [[0, 1, 1, 1, 1]; 10].concat());
/// let v = cramer_v_from_counts(&a, &b)?;
/// assert!(v.v.value().is_some_and(|v| v == 0.5) && v.corrected.value() == Some(0.0));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn cramer_v_from_counts(reference: &[u64], current: &[u64]) -> Result<CramerV, StatsError> {
    let pair = Pair::new(reference, current)?;
    let table = Table::new(&[reference, current])?;
    let (statistic, dof) = (table.chi2(), table.dof());
    let tail = Tail::chi2(statistic, dof);
    let (v, corrected) = strength(statistic, table.occupied(), table.total);
    let Sides { reference, current } = Sides::whole(pair.n, pair.m);
    Ok(CramerV { v, corrected, statistic, dof, p: tail.p, ln_p: tail.ln_p, reference, current })
}

/// V and Ṽ.
fn strength(chi2: f64, (rows, columns): (u64, u64), total: u64) -> (Measured, Measured) {
    let smaller = rows.min(columns) - 1;
    if smaller == 0 {
        let none = Measured::none(UndefinedReason::Constant, 1, 2);
        return (none, none);
    }
    let (r, c, others) = (rows as f64, columns as f64, (total - 1) as f64);
    let phi2 = chi2 / total as f64;
    let v = Measured::Value((phi2 / smaller as f64).sqrt().min(1.0));
    let shrunk = |k: f64| (k - 1.0) - (k - 1.0) * (k - 1.0) / others;
    let room = shrunk(r).min(shrunk(c));
    if room <= 0.0 {
        return (v, Measured::none(UndefinedReason::TooFew, total as usize, rows.max(columns) as usize + 1));
    }
    let above = (phi2 - (r - 1.0) * (c - 1.0) / others).max(0.0);
    (v, Measured::Value((above / room).sqrt().min(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_correction_is_undefined_where_every_row_is_a_category() {
        let v = cramer_v_from_counts(&[1, 0], &[0, 1]).unwrap();
        assert_eq!(v.v, Measured::Value(1.0));
        assert_eq!(v.corrected.undefined().map(|u| u.reason), Some(UndefinedReason::TooFew));
        let constant = cramer_v_from_counts(&[4], &[9]).unwrap();
        assert_eq!(constant.v.undefined().map(|u| u.reason), Some(UndefinedReason::Constant));
    }
}
