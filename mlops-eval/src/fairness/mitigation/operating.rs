//! What one threshold does to one group: the points among which an optimizer chooses.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::threshold::{ParityConstraint, ThresholdObjective};
use crate::classification::ScoreState;

/// Where a decision changes. Between two scores, or beyond all of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cutoff {
    /// Below every score.
    Lowest,
    /// At this value.
    At(f64),
    /// Above every score.
    Highest,
}

/// A threshold rule: who is selected.
///
/// ```
/// use mlops_eval::fairness::{Cutoff, Operation};
///
/// assert!(Operation::Above(Cutoff::At(0.5)).selects(0.7));
/// assert!(!Operation::Above(Cutoff::At(0.5)).selects(0.5));
/// assert!(Operation::Above(Cutoff::Lowest).selects(-1e300));
/// assert!(Operation::Below(Cutoff::At(0.5)).selects(0.2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Who scores above the cutoff.
    Above(Cutoff),
    /// Who scores below it: only with [`ThresholdOptions::flip`](super::ThresholdOptions::flip).
    Below(Cutoff),
}

impl Operation {
    /// Whether this score is selected. NaN never is.
    pub fn selects(self, score: f64) -> bool {
        match self {
            Self::Above(Cutoff::Lowest) | Self::Below(Cutoff::Highest) => !score.is_nan(),
            Self::Above(Cutoff::Highest) | Self::Below(Cutoff::Lowest) => false,
            Self::Above(Cutoff::At(cutoff)) => score > cutoff,
            Self::Below(Cutoff::At(cutoff)) => score < cutoff,
        }
    }
}

/// The cells that a rule leaves a group with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cells {
    pub(super) false_positives: f64,
    pub(super) true_positives: f64,
    pub(super) negatives: f64,
    pub(super) positives: f64,
}

impl Cells {
    pub(super) fn total(&self) -> f64 {
        self.negatives + self.positives
    }

    fn true_negatives(&self) -> f64 {
        self.negatives - self.false_positives
    }

    fn flipped(&self) -> Self {
        Self {
            false_positives: self.negatives - self.false_positives,
            true_positives: self.positives - self.true_positives,
            ..*self
        }
    }

    /// The rate that is to be equal among groups; the false positive rate for equalized odds.
    pub(super) fn constraint(&self, constraint: ParityConstraint) -> f64 {
        match constraint {
            ParityConstraint::SelectionRate => (self.true_positives + self.false_positives) / self.total(),
            ParityConstraint::FalsePositiveRate | ParityConstraint::EqualizedOdds => {
                self.false_positives / self.negatives
            }
            ParityConstraint::FalseNegativeRate => (self.positives - self.true_positives) / self.positives,
            ParityConstraint::TruePositiveRate => self.true_positives / self.positives,
            ParityConstraint::TrueNegativeRate => self.true_negatives() / self.negatives,
        }
    }

    pub(super) fn true_positive_rate(&self) -> f64 {
        self.true_positives / self.positives
    }

    pub(super) fn objective(&self, objective: ThresholdObjective) -> f64 {
        match objective {
            ThresholdObjective::Accuracy => (self.true_positives + self.true_negatives()) / self.total(),
            ThresholdObjective::BalancedAccuracy => {
                0.5 * self.true_positives / self.positives + 0.5 * self.true_negatives() / self.negatives
            }
            ThresholdObjective::SelectionRate => (self.true_positives + self.false_positives) / self.total(),
            ThresholdObjective::TruePositiveRate => self.true_positive_rate(),
            ThresholdObjective::TrueNegativeRate => self.true_negatives() / self.negatives,
        }
    }
}

/// A rule and what it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) operation: Operation,
}

/// Every threshold of a group, from selecting nobody to selecting everybody, with `x` and `y` as the caller defines them; with
/// `flip` also the rules that select below.
pub(super) fn points(
    group: &ScoreState,
    flip: bool,
    x: impl Fn(&Cells) -> f64,
    y: impl Fn(&Cells) -> f64,
) -> Vec<Point> {
    let (negatives, positives) = (group.negatives(), group.positives());
    let mut cells = Cells { false_positives: 0.0, true_positives: 0.0, negatives, positives };
    let mut found = Vec::with_capacity((group.distinct() + 1) * (1 + usize::from(flip)));
    let mut add = |cells: Cells, (above, below): (Cutoff, Cutoff)| {
        found.push(Point { x: x(&cells), y: y(&cells), operation: Operation::Above(above) });
        if flip {
            let cells = cells.flipped();
            found.push(Point { x: x(&cells), y: y(&cells), operation: Operation::Below(below) });
        }
    };
    add(cells, (Cutoff::Highest, Cutoff::Highest));
    let mut scores = group.points().rev().peekable();
    while let Some((score, negative, positive)) = scores.next() {
        // What has been added up one score at a time ends where the totals say.
        let last = scores.peek().is_none();
        cells.false_positives =
            if last { negatives } else { (cells.false_positives + negative).min(negatives) };
        cells.true_positives =
            if last { positives } else { (cells.true_positives + positive).min(positives) };
        add(cells, scores.peek().map_or((Cutoff::Lowest, Cutoff::Lowest), |next| between(next.0, score)));
    }
    found
}

/// Cutoffs half-way between two neighbouring scores: the higher lies above the first, the lower below the second. They differ
/// only where no number lies between the scores.
fn between(low: f64, high: f64) -> (Cutoff, Cutoff) {
    let middle = low.midpoint(high);
    let (above, below) = (if middle < high { middle } else { low }, if middle > low { middle } else { high });
    (Cutoff::At(above), Cutoff::At(below))
}

/// That a group has what the rates divide by.
pub(super) fn check(
    group: &ScoreState,
    index: usize,
    needs_positives: bool,
    needs_negatives: bool,
) -> Result<(), StatsError> {
    let missing = if group.positives() + group.negatives() == 0.0 {
        Some("has no rows")
    } else if needs_positives && group.positives() == 0.0 {
        Some("has no positives")
    } else if needs_negatives && group.negatives() == 0.0 {
        Some("has no negatives")
    } else {
        None
    };
    match missing {
        None => Ok(()),
        Some(reason) => Err(StatsError::Parameter { parameter: "group", value: index as f64, reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_does_to_rows_what_its_point_says() {
        let y_true: Vec<bool> = (0..60).map(|i| i * 7 % 3 == 0).collect();
        let scores: Vec<f64> = (0..60).map(|i| f64::from(i * 11 % 17) / 7.0).collect();
        let state = ScoreState::of(&y_true, &scores).unwrap();
        let points = points(&state, true, |c| c.false_positives, |c| c.true_positives);
        assert_eq!(points.len(), 2 * (state.distinct() + 1));
        for point in points {
            let selected = |positive: bool| {
                let rows = y_true.iter().zip(&scores);
                rows.filter(|(y, s)| **y == positive && point.operation.selects(**s)).count() as f64
            };
            assert_eq!((point.x, point.y), (selected(false), selected(true)), "{:?}", point.operation);
        }
    }

    #[test]
    fn neighbouring_scores_are_told_apart() {
        for low in [1.0, 1.0 + f64::EPSILON, -1.0, -1.0 - f64::EPSILON, 0.0, f64::MAX.next_down()] {
            let high = low.next_up();
            let state = ScoreState::of(&[false, true], &[low, high]).unwrap();
            let points = points(&state, true, |c| c.false_positives, |c| c.true_positives);
            assert_eq!((points[2].operation.selects(high), points[2].operation.selects(low)), (true, false));
            assert_eq!((points[3].operation.selects(high), points[3].operation.selects(low)), (false, true));
        }
    }
}
