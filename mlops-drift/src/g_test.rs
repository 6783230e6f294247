//! G-test of homogeneity: the likelihood-ratio relative of [chi-square](mod@crate::chi2).
//!
//! Over a table of counts O with the expected counts E that its margins make,
//!
//! > G = 2 Σ O·ln(O/E) = 2·N·JS,
//!
//! with JS the Jensen–Shannon divergence of the rows in nats, weighted by their sizes (Wilks, *The large-sample distribution of the
//! likelihood ratio*, Ann. Math. Stat. 9, 1938). Its law without drift is χ² with (rows − 1)(columns − 1) degrees of freedom,
//! which it approaches more slowly than Pearson's statistic where counts are small. An empty cell contributes 0.
//!
//! It is summed as 2 Σ [O·ln(O/E) − (O − E)], whose terms are never negative, with O − E exact in integers: nearly equal
//! shares lose no digits. There is no continuity correction.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use crate::bins::Missing;
use crate::levels::Levels;
use crate::pair::{Pair, Tail};
use crate::sample::{Sample, Side, Value};
use crate::table::{Cell, Table};
use crate::two::Sides;

/// The result of a G-test.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GTest {
    /// G, in [0, 2·(n + m)·ln 2].
    pub statistic: f64,
    /// Degrees of freedom: occupied categories minus one.
    pub dof: u64,
    /// P(G or more | no drift) by the χ² law; undefined when `dof` is 0.
    pub p: Measured,
    /// The natural logarithm of `p`, finite where `p` is too small for a double.
    pub ln_p: Measured,
    /// The smallest expected count. Below about 5 the p-value is a rough one.
    pub min_expected: f64,
    /// What became of the reference values.
    pub reference: Side,
    /// What became of the current values; those in categories that the reference does not have are unseen.
    pub current: Side,
}

/// Tests whether two samples have the same shares of every distinct value; missing values as in [`chi2`](crate::chi2()).
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`] under [`Missing::Raise`], [`StatsError::AllMissing`].
///
/// ```
/// use mlops_drift::{Missing, g_test};
/// assert_eq!(g_test(&[true, false, true], &[true, true, false], Missing::Raise)?.statistic, 0.0);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn g_test<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
    missing: Missing,
) -> Result<GTest, StatsError> {
    of_levels(&Levels::of_values(reference, current, missing)?)
}

/// Tests whether two samples have the same shares of every distinct text; `None` as in [`chi2_text`](crate::chi2_text).
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::AllMissing`].
///
/// ```
/// use mlops_drift::{Missing, g_test_text};
/// let test = g_test_text(["a", "b", "b"].map(Some), ["a", "a", "b"].map(Some), Missing::Omit)?;
/// assert!((test.statistic - 0.6796).abs() < 1e-4);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn g_test_text<'a>(
    reference: impl IntoIterator<Item = Option<&'a str>>,
    current: impl IntoIterator<Item = Option<&'a str>>,
    missing: Missing,
) -> Result<GTest, StatsError> {
    of_levels(&Levels::of_text(reference, current, missing)?)
}

fn of_levels(levels: &Levels) -> Result<GTest, StatsError> {
    let Sides { reference, current } = levels.sides;
    Ok(GTest { reference, current, ..g_test_from_counts(&levels.reference, &levels.current)? })
}

/// Tests whether two rows of counts over the same cells have the same shares. Linear time.
///
/// Cells empty on both sides are dropped. Agrees with `scipy.stats.chi2_contingency(…, correction=False,
/// lambda_="log-likelihood")` to 1e-12, its p-value to 1e-10 at any depth of the tail.
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::ZeroTotal`]; [`StatsError::Overflow`] when all counts
/// add up to more than 2⁶².
///
/// ```
/// use mlops_drift::g_test_from_counts;
/// let test = g_test_from_counts(&[10, 20, 30], &[20, 20, 20])?;
/// assert!((test.statistic - 5.4115320909768325).abs() < 1e-12);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn g_test_from_counts(reference: &[u64], current: &[u64]) -> Result<GTest, StatsError> {
    let pair = Pair::new(reference, current)?;
    let table = Table::new(&[reference, current])?;
    let statistic = 2.0 * table.cells().map(surprise).collect::<Sum>().value();
    let dof = table.dof();
    let tail = Tail::chi2(statistic, dof);
    let Sides { reference, current } = Sides::whole(pair.n, pair.m);
    let min_expected = table.min_expected();
    Ok(GTest { statistic, dof, p: tail.p, ln_p: tail.ln_p, min_expected, reference, current })
}

/// O·ln(O/E) − (O − E).
fn surprise(cell: Cell) -> f64 {
    let d = cell.excess;
    if cell.count == 0 {
        return cell.expected;
    }
    if d < -0.5 {
        // From the count itself: 1 + d has no digits left where the count is far below what is expected.
        let count = cell.count as f64;
        return count * (count / cell.expected).ln() - (count - cell.expected);
    }
    if d.abs() > 0.1 {
        return cell.expected * ((1.0 + d) * d.ln_1p() - d);
    }
    // (1 + d)·ln(1 + d) − d = Σ (−d)ᵏ/(k(k − 1)) from k = 2.
    let (mut power, mut total) = (-d, 0.0);
    for k in 2..40 {
        power *= -d;
        let term = power / f64::from(k * (k - 1));
        total += term;
        if term.abs() < 1e-17 * total {
            break;
        }
    }
    cell.expected * total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proportional_counts_differ_by_exactly_nothing() {
        let test = g_test_from_counts(&[3, 5, 7], &[3_000_003, 5_000_005, 7_000_007]).unwrap();
        assert_eq!((test.statistic, test.p.value()), (0.0, Some(1.0)));
    }

    #[test]
    fn one_value_where_a_quintillion_are_expected_is_no_nan() {
        let test = g_test_from_counts(&[1, 1 << 60], &[1 << 60, 1]).unwrap();
        let largest = 4.0 * (1_u64 << 60) as f64 * std::f64::consts::LN_2;
        assert!((test.statistic / largest - 1.0).abs() < 1e-12, "{}", test.statistic);
    }

    #[test]
    fn disjoint_counts_reach_the_upper_end() {
        let test = g_test_from_counts(&[50, 0], &[0, 50]).unwrap();
        assert!((test.statistic - 200.0 * std::f64::consts::LN_2).abs() < 1e-12);
    }

    #[test]
    fn series_and_logarithm_meet() {
        for d in [-0.1, 0.1] {
            let at = |d: f64| surprise(Cell { count: 1, expected: 1.0, excess: d });
            let (inside, outside) = (at(d), at(d * (1.0 + 1e-12)));
            assert!((inside / outside - 1.0).abs() < 1e-11, "{inside} {outside}");
        }
    }
}
