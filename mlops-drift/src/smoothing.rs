//! Smoothing: what a share becomes when its cell is empty.
//!
//! The PSI has a logarithm of a ratio of shares, so a cell empty on one side makes it infinite, and every tool repairs that
//! in its own way: the same counts give 0.07 in one tool and 1.0 in another. The choice is therefore named and part of the
//! definition. For k cells and n values on a side, a count c becomes the share
//!
//! | [`Smoothing`] | share | adds up to 1 | used by |
//! |---|---|---|---|
//! | `None` | c/n | yes | SciPy |
//! | `Jeffreys` | (c + ½)/(n + k/2) | yes | the default here |
//! | `Laplace` | (c + 1)/(n + k) | yes | Azure ML |
//! | `Replace(ε)` | c/n, or ε if c = 0 | no | Evidently |
//! | `AddRenormalise(ε)` | (c/n + ε)/(1 + kε) | yes | driftwatch |
//! | `Floor(ε)` | max(c/n, ε) | no | deepchecks, ragdrift |
//!
//! Jeffreys' prior is the default because it is finite, scales with n on both sides and keeps the false-alarm rate nearest
//! to its nominal value where cells are sparse.
//!
//! Cells empty on *both* sides say nothing about drift. They are dropped before anything else and are not counted in k.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

/// How shares are kept away from zero; see the [module](self) for the formulas.
///
/// ```
/// use mlops_drift::{Smoothing, psi_from_counts};
///
/// // A category that the reference has never seen takes 5 %.
/// let (reference, current) = ([500, 500, 0], [480, 470, 50]);
/// let score = |smoothing| psi_from_counts(&reference, &current, smoothing).map(|psi| (psi.score * 1e3).round() / 1e3);
/// assert_eq!(score(Smoothing::Jeffreys)?, 0.233);
/// assert_eq!(score(Smoothing::Laplace)?, 0.199);
/// assert_eq!(score(Smoothing::AddRenormalise(1e-6))?, 0.544);
/// assert_eq!(score(Smoothing::Floor(0.01))?, 0.067);
/// assert!(score(Smoothing::None).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Smoothing {
    /// The plain shares.
    None,
    /// Half a count more in every cell, on both sides. The default.
    #[default]
    Jeffreys,
    /// One count more in every cell, on both sides.
    Laplace,
    /// A share of zero becomes ε in (0, 1]; the others stay, so that they no longer add up to 1.
    Replace(f64),
    /// ε in (0, 1] is added to every share, and the shares are divided by their new sum.
    AddRenormalise(f64),
    /// Shares below ε in (0, 1] become ε; the others stay, so that they no longer add up to 1.
    Floor(f64),
}

/// The two shares of one cell, and their difference without the cancellation of subtracting them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    pub(crate) reference: f64,
    pub(crate) current: f64,
    /// reference − current.
    pub(crate) difference: f64,
}

impl Smoothing {
    pub(crate) fn check(self) -> Result<(), StatsError> {
        match self {
            Self::Replace(epsilon) | Self::AddRenormalise(epsilon) | Self::Floor(epsilon)
                if !(epsilon > 0.0 && epsilon <= 1.0) =>
            {
                Err(StatsError::Parameter {
                    parameter: "epsilon",
                    value: epsilon,
                    reason: "must lie in (0, 1]",
                })
            }
            _ => Ok(()),
        }
    }

    /// The smoothed shares of one of `k` occupied cells; `with_prior` gives its shares with so many half counts a cell.
    pub(crate) fn share(self, k: u64, with_prior: &dyn Fn(u64) -> Shares) -> Shares {
        let each = |f: &dyn Fn(f64) -> f64| {
            let raw = with_prior(0);
            let (reference, current) = (f(raw.reference), f(raw.current));
            // Where ε touches neither share the exact difference still holds.
            let untouched = reference == raw.reference && current == raw.current;
            let difference = if untouched { raw.difference } else { reference - current };
            Shares { reference, current, difference }
        };
        match self {
            Self::None => with_prior(0),
            Self::Jeffreys => with_prior(1),
            Self::Laplace => with_prior(2),
            Self::Replace(epsilon) => each(&|share| if share == 0.0 { epsilon } else { share }),
            Self::AddRenormalise(epsilon) => with_prior(0).lifted(epsilon, 1.0 + k as f64 * epsilon),
            Self::Floor(epsilon) => each(&|share| share.max(epsilon)),
        }
    }
}

impl Shares {
    /// `epsilon` more in both shares, and both divided by `sum`.
    fn lifted(self, epsilon: f64, sum: f64) -> Self {
        let lift = |share: f64| (share + epsilon) / sum;
        Self {
            reference: lift(self.reference),
            current: lift(self.current),
            difference: self.difference / sum,
        }
    }

    /// Shares of masses in units of values, with `halves`/2 pseudo-counts a cell.
    pub(crate) fn of_sizes(halves: u64, (n, m): (f64, f64), k: u64, (a, b): (f64, f64)) -> Self {
        let prior = halves as f64 / 2.0;
        let share = |mass: f64, size: f64| (mass + prior) / (size + prior * k as f64);
        let (reference, current) = (share(a, n), share(b, m));
        Self { reference, current, difference: reference - current }
    }

    /// Shares with `halves`/2 pseudo-counts a cell: (2c + halves)/(2n + halves·k).
    pub(crate) fn with_prior(halves: u64, (n, m): (u64, u64), k: u64, (a, b): (u64, u64)) -> Self {
        let wide = |count: u64, prior: u64| u128::from(count) * 2 + u128::from(prior);
        let (top_a, top_b) = (wide(a, halves), wide(b, halves));
        let (all_a, all_b) = (wide(n, halves * k), wide(m, halves * k));
        // Exact, because counts add up to at most 2⁶²: each factor stays below 2⁶⁴.
        let (left, right) = (top_a * all_b, top_b * all_a);
        let difference = left.abs_diff(right) as f64 / (all_a as f64 * all_b as f64);
        Self {
            reference: top_a as f64 / all_a as f64,
            current: top_b as f64 / all_b as f64,
            difference: if left < right { -difference } else { difference },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::Comparison;
    use crate::tally::Tally;

    fn compare<'a>(reference: &'a [u64], current: &'a [u64]) -> Comparison<'a> {
        Comparison::new(Tally::new(reference), Tally::new(current)).unwrap()
    }

    const ALL: [Smoothing; 6] = [
        Smoothing::None,
        Smoothing::Jeffreys,
        Smoothing::Laplace,
        Smoothing::Replace(1e-4),
        Smoothing::AddRenormalise(1e-4),
        Smoothing::Floor(1e-2),
    ];

    #[test]
    fn smoothing_that_says_so_adds_up_to_one() {
        let pair = compare(&[3, 0, 7, 0], &[0, 90, 5, 0]);
        for smoothing in [ALL[0], ALL[1], ALL[2], ALL[4]] {
            let shares: Vec<Shares> = pair.shares(smoothing).unwrap().collect();
            assert_eq!(shares.len(), 3, "the cell empty on both sides is dropped");
            let total = |side: fn(&Shares) -> f64| shares.iter().map(side).sum::<f64>();
            assert!((total(|s| s.reference) - 1.0).abs() < 1e-15, "{smoothing:?}");
            assert!((total(|s| s.current) - 1.0).abs() < 1e-15, "{smoothing:?}");
        }
    }

    #[test]
    fn the_difference_keeps_its_precision_where_shares_are_nearly_equal() {
        let n = 1 << 61;
        let (a, b) = ([n, n], [n + 1, n - 1]);
        let pair = compare(&a, &b);
        let shares: Vec<Shares> = pair.shares(Smoothing::None).unwrap().collect();
        assert_eq!(shares[0].reference, shares[0].current);
        assert_eq!(shares[0].difference, -1.0 / (1u64 << 62) as f64);
    }

    #[test]
    fn an_epsilon_outside_its_range_is_refused() {
        let pair = compare(&[1], &[1]);
        for epsilon in [0.0, -1e-6, 1.1, f64::NAN, f64::INFINITY] {
            for smoothing in
                [Smoothing::Replace(epsilon), Smoothing::AddRenormalise(epsilon), Smoothing::Floor(epsilon)]
            {
                let refused = pair.shares(smoothing).err();
                assert!(
                    matches!(refused, Some(StatsError::Parameter { parameter: "epsilon", .. })),
                    "{smoothing:?}"
                );
            }
        }
    }

    #[test]
    fn every_variant_survives_a_round_trip() {
        for smoothing in ALL {
            let text = serde_json::to_string(&smoothing).unwrap();
            assert_eq!(serde_json::from_str::<Smoothing>(&text).unwrap(), smoothing, "{text}");
        }
    }
}
