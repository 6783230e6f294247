//! What moved: a distance on cells, cell by cell.
//!
//! Every distance on cells is a sum over cells (or, for L∞, a maximum), so that it can say where it comes from. A [`Breakdown`] has a
//! row for every cell, the empty ones among them: counts and shares on both sides and what the cell adds. It is displayed in words.

use std::fmt;

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use crate::bins::{Bins, CategoryBins, Counts, Missing};
use crate::comparison::Comparison;
use crate::distance::Definition;
use crate::kl::KlDirection;
use crate::smoothing::{Shares, Smoothing};
use crate::tally::Tally;
use crate::{hellinger, js, kl, psi};

/// A distance, cell by cell.
///
/// ```
/// use mlops_drift::{BinRule, Bins, Definition, Missing, Smoothing};
///
/// let reference: Vec<f64> = (0..400).map(f64::from).collect();
/// let bins = Bins::fit(&reference, BinRule::Quantile(4))?;
/// let (before, after) = (bins.count(&reference), bins.count(&[50.0, 250.0, 900.0, 900.0]));
/// let breakdown = bins.breakdown(&before, &after, Definition::Psi(Smoothing::Jeffreys), Missing::Omit)?;
/// let top = breakdown.by_contribution()[0];
/// assert_eq!((top.cell.as_str(), top.reference, top.current), ("(399, inf)", 0, 2));
/// assert!(breakdown.to_string().contains("(399, inf): 0 of 400 (0.0 %) became 2 of 4 (50.0 %), new"));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breakdown {
    /// What the contributions add up to; distances that are a root add up to their square.
    pub definition: Definition,
    /// Every cell, in the order of the counts.
    pub rows: Vec<CellShift>,
}

/// One cell of a [`Breakdown`].
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellShift {
    /// What the cell contains, as [`Cell`](crate::Cell) or [`CategoryCell`](crate::CategoryCell) display it.
    pub cell: String,
    /// How many reference values lie in it.
    pub reference: u64,
    /// Their share, without smoothing.
    pub reference_share: f64,
    /// How many current values lie in it.
    pub current: u64,
    /// Their share, without smoothing.
    pub current_share: f64,
    /// What the cell adds to the distance (to its square where that is a root), at least 0.
    pub contribution: f64,
}

impl Breakdown {
    /// The sum of the contributions: the score, or its square where that is a root; for L∞ the largest.
    ///
    /// ```
    /// use mlops_drift::{CategoryBins, Definition, Missing};
    /// let bins = CategoryBins::fit([Some("a"), Some("b")])?;
    /// let (before, after) = (bins.count([Some("a"), Some("b")]), bins.count([Some("a")]));
    /// let breakdown = bins.breakdown(&before, &after, Definition::TotalVariation, Missing::Omit)?;
    /// assert_eq!(breakdown.total(), 0.5);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn total(&self) -> f64 {
        let parts = self.rows.iter().map(|row| row.contribution);
        match self.definition {
            Definition::LInfinity => parts.fold(0.0, f64::max),
            _ => parts.collect::<mlops_core::num::sum::Sum>().value(),
        }
    }

    /// The rows, the largest contribution first; cells that contribute alike stay in their order.
    pub fn by_contribution(&self) -> Vec<&CellShift> {
        let mut rows: Vec<&CellShift> = self.rows.iter().collect();
        rows.sort_by(|a, b| b.contribution.total_cmp(&a.contribution));
        rows
    }

    fn of<'c>(
        cells: impl Iterator<Item = String>,
        (reference, current): (&'c [u64], &'c [u64]),
        definition: Definition,
    ) -> Result<Self, StatsError> {
        let comparison = Comparison::new(Tally::new(reference), Tally::new(current))?;
        let part = Part::of(definition)?;
        part.smoothing.check()?;
        let mut rows = Vec::with_capacity(reference.len());
        for (i, ((cell, &before), &after)) in cells.zip(reference).zip(current).enumerate() {
            let plain = comparison.share(i, Smoothing::None);
            let empty = before == 0 && after == 0;
            let contribution = if empty { 0.0 } else { part.of_shares(comparison.share(i, part.smoothing)) };
            if !contribution.is_finite() {
                return Err(StatsError::Overflow {
                    what: "without smoothing, the contribution of a cell that is empty on one side",
                });
            }
            rows.push(CellShift {
                cell,
                reference: before,
                reference_share: plain.reference,
                current: after,
                current_share: plain.current,
                contribution,
            });
        }
        Ok(Self { definition, rows })
    }
}

/// What one cell adds.
#[derive(Clone, Copy, Debug)]
struct Part {
    smoothing: Smoothing,
    term: fn(Shares) -> f64,
    /// From nats to the unit of the definition.
    scale: f64,
}

impl Part {
    fn of(definition: Definition) -> Result<Self, StatsError> {
        let (smoothing, term, scale): (_, fn(Shares) -> f64, _) = match definition {
            Definition::Psi(smoothing) => (smoothing, psi::term, 1.0),
            Definition::JsDistance(base, smoothing) | Definition::JsDivergence(base, smoothing) => {
                (smoothing, js::shares_term, base.of_nats(1.0))
            }
            Definition::Kl(KlDirection::CurrentFromReference, base, smoothing) => {
                (smoothing, kl::current_term, base.of_nats(1.0))
            }
            Definition::Kl(KlDirection::ReferenceFromCurrent, base, smoothing) => {
                (smoothing, kl::reference_term, base.of_nats(1.0))
            }
            Definition::Hellinger => (Smoothing::None, hellinger::term, 1.0),
            Definition::TotalVariation => (Smoothing::None, |s| s.difference.abs() / 2.0, 1.0),
            Definition::LInfinity => (Smoothing::None, |s| s.difference.abs(), 1.0),
            _ => {
                return Err(StatsError::Unsupported {
                    what: "a breakdown",
                    reason: "the distance has no cells",
                });
            }
        };
        let symmetric = matches!(definition, Definition::Psi(_));
        if matches!(smoothing, Smoothing::Replace(_) | Smoothing::Floor(_)) && !symmetric {
            let reason = "its shares are divided by their sum, which belongs to no cell";
            return Err(StatsError::Unsupported { what: "a breakdown under this smoothing", reason });
        }
        Ok(Self { smoothing, term, scale })
    }

    fn of_shares(&self, shares: Shares) -> f64 {
        (self.term)(shares) * self.scale
    }
}

impl Bins {
    /// A distance on these cells, cell by cell.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for counts over other bins; [`StatsError::Unsupported`] for a distance without cells, and for
    /// a smoothing that is renormalised over all cells; as the distance itself.
    ///
    /// # Example
    /// See [`Breakdown`].
    pub fn breakdown(
        &self,
        reference: &Counts,
        current: &Counts,
        definition: Definition,
        missing: Missing,
    ) -> Result<Breakdown, StatsError> {
        self.tally(reference, missing)?;
        self.tally(current, missing)?;
        let cells = self.cells().map(|cell| cell.to_string());
        Breakdown::of(cells, (missing.cells(reference), missing.cells(current)), definition)
    }
}

impl CategoryBins {
    /// A distance on these categories, category by category.
    ///
    /// # Errors
    /// As [`Bins::breakdown`].
    ///
    /// ```
    /// use mlops_drift::{CategoryBins, Definition, Missing};
    ///
    /// let bins = CategoryBins::fit(["red", "blue"].map(Some))?;
    /// let before = bins.count(["red", "red", "blue", "blue"].map(Some));
    /// let after = bins.count(["red", "red", "red", "green"].map(Some));
    /// let breakdown = bins.breakdown(&before, &after, Definition::LInfinity, Missing::Omit)?;
    /// assert_eq!(breakdown.by_contribution()[0].cell, "\"blue\"");
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn breakdown(
        &self,
        reference: &Counts,
        current: &Counts,
        definition: Definition,
        missing: Missing,
    ) -> Result<Breakdown, StatsError> {
        self.tally(reference, missing)?;
        self.tally(current, missing)?;
        let cells = self.cells().map(|cell| cell.to_string());
        Breakdown::of(cells, (missing.cells(reference), missing.cells(current)), definition)
    }
}

impl fmt::Display for Breakdown {
    /// The cells that moved, the largest contribution first, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        write!(f, "{} {total:.4}", self.definition)?;
        let (before, after) = (self.rows.iter().map(|r| r.reference), self.rows.iter().map(|r| r.current));
        let (before, after) = (before.sum::<u64>(), after.sum::<u64>());
        for row in self.by_contribution().into_iter().filter(|row| row.contribution > 0.0) {
            let part = 100.0 * row.contribution / total;
            let (a, b) = (100.0 * row.reference_share, 100.0 * row.current_share);
            let word = match (row.reference, row.current) {
                (0, _) => "new",
                (_, 0) => "gone",
                _ if row.reference_share < row.current_share => "more",
                _ => "fewer",
            };
            write!(
                f,
                "\n  {}: {} of {before} ({a:.1} %) became {} of {after} ({b:.1} %), {word}; {part:.1} % of the distance",
                row.cell, row.reference, row.current
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::js::LogBase;
    use crate::{
        hellinger_from_counts, js_from_counts, kl_from_counts, l_infinity_from_counts, psi_from_counts,
        total_variation_from_counts,
    };

    #[test]
    fn contributions_add_up_to_the_score() {
        let (a, b) = ([10, 0, 30, 0, 7], [1, 20, 25, 0, 90]);
        let cells = || (0..5).map(|i| i.to_string());
        let jeffreys = Smoothing::Jeffreys;
        let direction = KlDirection::ReferenceFromCurrent;
        for (distance, squared) in [
            (psi_from_counts(&a, &b, jeffreys), false),
            (js_from_counts(&a, &b, LogBase::Two), true),
            (kl_from_counts(&a, &b, direction, jeffreys), false),
            (hellinger_from_counts(&a, &b), true),
            (total_variation_from_counts(&a, &b), false),
            (l_infinity_from_counts(&a, &b), false),
        ] {
            let distance = distance.unwrap();
            let score = if squared { distance.score.powi(2) } else { distance.score };
            let breakdown = Breakdown::of(cells(), (&a, &b), distance.definition).unwrap();
            assert!((breakdown.total() - score).abs() < 1e-12 * score, "{}", distance.definition);
            assert_eq!(breakdown.rows.len(), 5);
            assert!(breakdown.rows.iter().all(|row| row.contribution >= 0.0));
        }
    }

    #[test]
    fn what_has_no_cells_has_no_breakdown() {
        for definition in [Definition::Energy, Definition::JsDistance(LogBase::E, Smoothing::Floor(0.1))] {
            let refused = Breakdown::of(std::iter::empty(), (&[1], &[1]), definition);
            assert!(matches!(refused, Err(StatsError::Unsupported { .. })), "{refused:?}");
        }
    }

    #[test]
    fn equal_sides_have_no_line() {
        let breakdown =
            Breakdown::of(["a".to_owned()].into_iter(), (&[3], &[5]), Definition::Hellinger).unwrap();
        assert_eq!(breakdown.to_string(), "hellinger/v1 0.0000");
    }
}
