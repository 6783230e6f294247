//! Two rows of counts over the same cells, checked once: what the statistics on counts start from.

use mlops_core::num::{Measured, StatsError, UndefinedReason};

use crate::special::ln_chi2_sf;

/// Checked counts of a reference and a current sample over the same cells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    reference: &'a [u64],
    current: &'a [u64],
    /// The total of the reference, at least 1.
    pub(crate) n: u64,
    /// The total of the current sample, at least 1.
    pub(crate) m: u64,
}

impl<'a> Pair<'a> {
    /// The most values a side may have. Products of two totals then fit u128 with room for pseudo-counts.
    pub(crate) const MAX_TOTAL: u64 = 1 << 62;

    pub(crate) fn new(reference: &'a [u64], current: &'a [u64]) -> Result<Self, StatsError> {
        if reference.len() != current.len() {
            return Err(StatsError::LengthMismatch {
                left: "reference",
                left_len: reference.len(),
                right: "current",
                right_len: current.len(),
            });
        }
        let (n, m) = (total("reference", reference)?, total("current", current)?);
        Ok(Self { reference, current, n, m })
    }

    /// The counts of the cells that are occupied on some side.
    pub(crate) fn occupied(&self) -> impl Iterator<Item = (u64, u64)> + Clone + '_ {
        self.reference.iter().copied().zip(self.current.iter().copied()).filter(|&(a, b)| a > 0 || b > 0)
    }

    /// How many cells are occupied on some side; at least 1.
    pub(crate) fn cells(&self) -> u64 {
        self.occupied().count() as u64
    }
}

fn total(argument: &'static str, counts: &[u64]) -> Result<u64, StatsError> {
    if counts.is_empty() {
        return Err(StatsError::Empty { argument });
    }
    let total = counts.iter().try_fold(0u64, |sum, &count| sum.checked_add(count));
    match total {
        Some(0) => Err(StatsError::ZeroTotal { argument }),
        Some(total) if total <= Pair::MAX_TOTAL => Ok(total),
        _ => Err(StatsError::Overflow { what: "the total of the counts (at most 2^62)" }),
    }
}

/// The p-value and its logarithm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail {
    pub(crate) p: Measured,
    pub(crate) ln_p: Measured,
}

impl Tail {
    /// P(χ² ≥ statistic) with `dof` degrees of freedom; undefined when nothing can vary.
    pub(crate) fn chi2(statistic: f64, dof: u64) -> Self {
        if dof == 0 {
            let none = Measured::none(UndefinedReason::Constant, 1, 2);
            return Self { p: none, ln_p: none };
        }
        Self::from_ln(ln_chi2_sf(statistic, dof as f64))
    }

    pub(crate) fn from_ln(ln_p: f64) -> Self {
        Self { p: Measured::Value(ln_p.exp()), ln_p: Measured::Value(ln_p) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_cannot_be_compared_are_refused() {
        for (reference, current, expected) in [
            (&[][..], &[][..], StatsError::Empty { argument: "reference" }),
            (&[0, 0], &[1, 0], StatsError::ZeroTotal { argument: "reference" }),
            (&[1, 0], &[0, 0], StatsError::ZeroTotal { argument: "current" }),
            (
                &[1],
                &[1, 2],
                StatsError::LengthMismatch { left: "reference", left_len: 1, right: "current", right_len: 2 },
            ),
            (
                &[u64::MAX, 1],
                &[1, 1],
                StatsError::Overflow { what: "the total of the counts (at most 2^62)" },
            ),
            (
                &[1, 1],
                &[u64::MAX, 0],
                StatsError::Overflow { what: "the total of the counts (at most 2^62)" },
            ),
        ] {
            assert_eq!(Pair::new(reference, current).err(), Some(expected));
        }
    }
}
