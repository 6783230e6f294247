//! The state behind every metric of scores: how often each distinct score occurs among negatives and positives.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use crate::input::{finite, named, paired, weight_total};
use crate::runs::Runs;

/// Distinct scores in ascending order, each with the weight of the negatives and of the positives that have it.
///
/// Every metric of scores and truth that does not depend on the order of rows can be computed from it, exactly: curves,
/// areas, calibration, log loss, best thresholds. It merges and serialises, so that shards, windows and machines add up and
/// later numbers need no rows. Its size is the number of distinct scores; rounding the scores first makes it small.
///
/// ```
/// use mlops_eval::classification::ScoreState;
///
/// let mut state = ScoreState::of(&[true, false], &[0.9, 0.4])?;
/// state.merge(&ScoreState::of(&[false], &[0.9])?)?;
/// let points: Vec<_> = state.points().collect();
/// assert_eq!(points, [(0.4, 1.0, 0.0), (0.9, 1.0, 1.0)]);
/// assert_eq!((state.negatives(), state.positives(), state.rows()), (2.0, 1.0, 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct ScoreState {
    rows: u64,
    runs: Runs<2>,
    totals: [f64; 2],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    rows: u64,
    runs: Runs<2>,
}

impl ScoreState {
    /// The state of rows that count alike. O(n).
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], [`StatsError::Empty`]; [`StatsError::Nan`] and [`StatsError::NotFinite`] with the row.
    pub fn of(y_true: &[bool], scores: &[f64]) -> Result<Self, StatsError> {
        Self::build(y_true, scores, None)
    }

    /// The state of rows with a weight each.
    ///
    /// ```
    /// use mlops_eval::classification::ScoreState;
    /// let state = ScoreState::weighted(&[true, false], &[0.9, 0.4], &[0.5, 2.0])?;
    /// assert_eq!(state.negatives(), 2.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`of`](Self::of), and what [`weights::total`](mlops_core::num::weights::total) refuses.
    pub fn weighted(y_true: &[bool], scores: &[f64], weights: &[f64]) -> Result<Self, StatsError> {
        Self::build(y_true, scores, Some(weights))
    }

    fn build(y_true: &[bool], scores: &[f64], weights: Option<&[f64]>) -> Result<Self, StatsError> {
        let rows = named("y_true", y_true);
        paired(rows, named("scores", scores))?;
        finite("scores", scores)?;
        weight_total(weights, rows)?;
        let column = |row: usize| {
            let weight = crate::input::weight(weights, row);
            if y_true[row] { [0.0, weight] } else { [weight, 0.0] }
        };
        let runs = Runs::of(scores.iter().enumerate().map(|(row, &score)| (score, column(row))).collect());
        Ok(Self { rows: y_true.len() as u64, totals: runs.totals(), runs })
    }

    /// Adds the rows of another part of the data.
    ///
    /// # Errors
    /// [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        let rows =
            self.rows.checked_add(other.rows).ok_or(StatsError::Overflow { what: "the number of rows" })?;
        self.runs.merge(&other.runs)?;
        self.rows = rows;
        self.totals = self.runs.totals();
        Ok(())
    }

    /// The number of rows, whatever their weights.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The weight of the negatives; their number where rows count alike.
    pub fn negatives(&self) -> f64 {
        self.totals[0]
    }

    /// The weight of the positives; their number where rows count alike.
    pub fn positives(&self) -> f64 {
        self.totals[1]
    }

    /// The number of distinct scores.
    ///
    /// ```
    /// use mlops_eval::classification::ScoreState;
    /// assert_eq!(ScoreState::of(&[true, false], &[0.5, 0.5])?.distinct(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn distinct(&self) -> usize {
        self.runs.len()
    }

    /// Each distinct score, ascending, with the weight of the negatives and of the positives that have it.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = (f64, f64, f64)> + ExactSizeIterator {
        self.runs.iter().map(|(score, [negative, positive])| (score, negative, positive))
    }

    /// That every score is a probability.
    #[allow(dead_code, reason = "calibration and losses")]
    pub(crate) fn check_probabilities(&self, argument: &'static str) -> Result<(), StatsError> {
        crate::input::probabilities(argument, self.runs.values())
    }
}

impl TryFrom<Stored> for ScoreState {
    type Error = StatsError;

    fn try_from(Stored { rows, runs }: Stored) -> Result<Self, StatsError> {
        if rows < runs.len() as u64 {
            let reason = "is less than the number of distinct scores";
            return Err(StatsError::Parameter { parameter: "rows", value: rows as f64, reason });
        }
        Ok(Self { rows, totals: runs.totals(), runs })
    }
}

impl From<ScoreState> for Stored {
    fn from(state: ScoreState) -> Self {
        Self { rows: state.rows, runs: state.runs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_rows_are_named() {
        let error = ScoreState::of(&[true, false], &[0.5, f64::NAN]).unwrap_err();
        assert_eq!(error, StatsError::Nan { argument: "scores", index: 1 });
        assert!(ScoreState::of(&[], &[]).is_err());
        assert!(ScoreState::of(&[true], &[]).is_err());
        assert!(ScoreState::weighted(&[true], &[0.5], &[0.0]).is_err());
    }

    #[test]
    fn it_is_read_back_as_it_was_written() {
        let state = ScoreState::weighted(&[true, false, true], &[0.5, 0.25, 0.5], &[0.1, 0.2, 0.3]).unwrap();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<ScoreState>(&text).unwrap(), state);
        assert!(serde_json::from_str::<ScoreState>(&text.replace("\"rows\":3", "\"rows\":1")).is_err());
    }
}
