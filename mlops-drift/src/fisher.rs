//! Fisher's exact test of a 2 × 2 table: has the share of hits changed, where hits are few?
//!
//! Given how many hits there are altogether, the number among the current values is hypergeometric without drift, and p is
//! the probability of a table at most as probable as the one seen (two-sided), or with at most or at least as many hits (Fisher,
//! *The logic of inductive inference*, J. R. Stat. Soc. 98, 1935). Exact for any counts, and conservative: a level of 5 %
//! rejects in fewer than 5 % of the cases.
//!
//! Probabilities within 1e-10 of each other, relatively, count as equal. Sums run over ratios of neighbours and never cancel, so that p is
//! right at any depth of the tail; they take a few standard deviations of terms, about √N.

use mlops_core::num::{Measured, NanPolicy, StatsError};
use serde::{Deserialize, Serialize};

use crate::alternative::Alternative;
use crate::pair::{Pair, Tail};
use crate::proportions::hits;
use crate::sample::{Sample, Side};
use crate::special::Hypergeometric;
use crate::two::{Sides, Two};

/// The result of Fisher's exact test.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fisher {
    /// The odds of a hit in the current sample over those in the reference; undefined where the latter are infinite, or where
    /// there are no current misses.
    pub odds_ratio: Measured,
    /// P(as extreme or more | no drift), exact; 1 when only hits or only misses occur.
    pub p: Measured,
    /// The natural logarithm of `p`, finite where `p` is too small for a double.
    pub ln_p: Measured,
    /// Which deviations counted.
    pub alternative: Alternative,
    /// What became of the reference values.
    pub reference: Side,
    /// What became of the current values.
    pub current: Side,
}

/// The test on two columns of truth values.
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::AllMissing`]; as [`fisher_from_counts`].
///
/// ```
/// use mlops_drift::{Alternative, fisher};
/// let test = fisher(&[true, true, true], &[false, false, false], Alternative::TwoSided)?;
/// assert!(test.p.value().is_some_and(|p| (p - 0.1).abs() < 1e-15));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn fisher<'a, 'b>(
    reference: impl Into<Sample<'a, bool>>,
    current: impl Into<Sample<'b, bool>>,
    alternative: Alternative,
) -> Result<Fisher, StatsError> {
    let two = Two::new(reference, current, NanPolicy::Raise)?;
    let Sides { reference, current } = two.sides;
    let test = fisher_from_counts(hits(&two.reference), hits(&two.current), alternative)?;
    Ok(Fisher { reference, current, ..test })
}

/// The test on counts of hits and misses.
///
/// p agrees with `scipy.stats.fisher_exact([current, reference])` to 1e-10 at any depth of the tail.
///
/// # Errors
/// [`StatsError::ZeroTotal`] for a side without values; [`StatsError::Overflow`] beyond 2⁴⁰ values in all, where the
/// [z-test](mod@crate::proportions) says the same.
///
/// ```
/// use mlops_drift::{Alternative, fisher_from_counts};
///
/// // The lady tasting tea: 3 of 4 right.
/// let test = fisher_from_counts([1, 3], [3, 1], Alternative::Greater)?;
/// assert!(test.p.value().is_some_and(|p| (p - 17.0 / 70.0).abs() < 1e-14));
/// assert_eq!(test.odds_ratio.value(), Some(9.0));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn fisher_from_counts(
    reference: [u64; 2],
    current: [u64; 2],
    alternative: Alternative,
) -> Result<Fisher, StatsError> {
    let pair = Pair::new(&reference, &current)?;
    let total = pair.n + pair.m;
    if total > MAX_TOTAL {
        return Err(StatsError::Overflow { what: "the total of the counts (at most 2^40)" });
    }
    let ([a, a_misses], [b, b_misses]) = (reference, current);
    let law = Hypergeometric { total, marked: a + b, drawn: pair.m };
    let ln_p = match alternative {
        Alternative::TwoSided => two_sided(&law, b),
        Alternative::Less => law.ln_below(b),
        Alternative::Greater => law.ln_above(b),
    };
    let odds_ratio = Measured::ratio(b as f64 * a_misses as f64, a as f64 * b_misses as f64);
    let tail = Tail::from_ln(ln_p);
    let Sides { reference, current } = Sides::whole(pair.n, pair.m);
    Ok(Fisher { odds_ratio, p: tail.p, ln_p: tail.ln_p, alternative, reference, current })
}

const MAX_TOTAL: u64 = 1 << 40;
/// Relative, in a probability.
const EQUAL: f64 = 1e-10;

/// ln of the probability of every count that is at most as probable as x.
fn two_sided(law: &Hypergeometric, x: u64) -> f64 {
    let (mode, bound) = (law.mode(), law.ln_pmf(x) + EQUAL);
    let rare = |k: u64| law.ln_pmf(k) <= bound;
    if rare(mode) {
        return 0.0;
    }
    // Probabilities rise to the mode and fall from there: a search on each side for where they are small enough.
    let (mut low, mut high) = (law.lowest(), mode);
    let below = rare(low).then(|| {
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if rare(middle) { low = middle } else { high = middle }
        }
        law.ln_below(low)
    });
    let (mut low, mut high) = (mode, law.highest());
    let above = rare(high).then(|| {
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if rare(middle) { high = middle } else { low = middle }
        }
        law.ln_above(high)
    });
    match (below, above) {
        (Some(left), Some(right)) => {
            let (larger, smaller) = (left.max(right), left.min(right));
            (larger + (smaller - larger).exp().ln_1p()).min(0.0)
        }
        (one, other) => one.or(other).unwrap_or(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_that_leave_no_choice_have_p_one() {
        for (a, b) in [([5, 0], [3, 0]), ([0, 5], [0, 3])] {
            for alternative in [Alternative::TwoSided, Alternative::Less, Alternative::Greater] {
                assert_eq!(fisher_from_counts(a, b, alternative).unwrap().p.value(), Some(1.0));
            }
        }
    }

    #[test]
    fn equal_probabilities_on_the_other_side_count() {
        // Symmetric margins: both tails are the same, whatever rounding makes of them.
        for n in [3, 10, 101, 5000, 100_000] {
            let b = n / 3;
            let test = |alternative| fisher_from_counts([n - b, b], [b, n - b], alternative).unwrap();
            let (two, one) = (test(Alternative::TwoSided), test(Alternative::Less));
            let ratio = two.ln_p.value().unwrap() - one.ln_p.value().unwrap() - std::f64::consts::LN_2;
            assert!(ratio.abs() < 1e-9, "{n}: {ratio}");
        }
    }

    #[test]
    fn totals_out_of_reach_are_refused() {
        let top = 1 << 40;
        assert!(fisher_from_counts([top, 1], [1, 1], Alternative::Less).is_err());
    }
}
