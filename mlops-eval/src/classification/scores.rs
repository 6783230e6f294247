//! The state behind every metric of scores: how often each distinct score occurs among negatives and positives.

use mlops_core::num::StatsError;
use mlops_core::num::parallel::Threads;
use serde::{Deserialize, Serialize};

use crate::input::{finite, finite_on, named, paired, weight_total};
use crate::runs::Runs;

/// How a [`ScoreState`] is built.
///
/// ```
/// use mlops_eval::classification::{ScoreOptions, ScoreState};
///
/// let options = ScoreOptions::default().with_resolution(Some(3));
/// let state = ScoreState::of_with(&[true, false], &[0.76, 0.74], None, &options)?;
/// assert_eq!(state.points().collect::<Vec<_>>(), [(0.75, 1.0, 1.0)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScoreOptions {
    /// Rounds every score to the nearest multiple of 2⁻ᵏ, k from 0 to 52, so that probabilities leave at most 2ᵏ + 1 distinct
    /// scores. A score moves by at most 2⁻ᵏ⁻¹. The area under the ROC curve moves by at most half the share of pairs of a
    /// positive and a negative that become tied, the Brier score by at most 2⁻ᵏ. Default: none, scores stay as they are.
    pub resolution: Option<u32>,
    /// How many threads may work; the state is the same on any number.
    pub threads: Threads,
}

impl ScoreOptions {
    /// Sets [`Self::resolution`].
    #[must_use]
    pub fn with_resolution(mut self, resolution: Option<u32>) -> Self {
        self.resolution = resolution;
        self
    }

    /// Sets [`Self::threads`].
    ///
    /// ```
    /// use mlops_core::num::parallel::Threads;
    /// use mlops_eval::classification::ScoreOptions;
    /// assert_eq!(ScoreOptions::default().with_threads(Threads::new(2)).threads.get(), 2);
    /// ```
    #[must_use]
    pub fn with_threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    /// The reciprocal of the step that scores are rounded to.
    pub(crate) fn steps(&self) -> Result<Option<f64>, StatsError> {
        match self.resolution {
            Some(k) if k > 52 => {
                let reason = "must be at most 52";
                Err(StatsError::Parameter { parameter: "resolution", value: f64::from(k), reason })
            }
            resolution => Ok(resolution.map(|k| (1_u64 << k) as f64)),
        }
    }
}

/// The nearest multiple of 1/steps, or the score itself where it is too large to have a fraction.
pub(crate) fn rounded(score: f64, steps: f64) -> f64 {
    let scaled = score * steps;
    if scaled.is_finite() { scaled.round_ties_even() / steps } else { score }
}

/// Distinct scores in ascending order, each with the weight of the negatives and of the positives that have it.
///
/// Every metric of scores and truth that does not depend on the order of rows can be computed from it, exactly: curves,
/// areas, calibration, log loss, best thresholds. It merges and serialises, so that shards, windows and machines add up and
/// later numbers need no rows. Its size is the number of distinct scores; [`ScoreOptions::resolution`] makes it small. Rows that
/// come one at a time go through a [`ScoreStream`].
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
    /// The state of rows that count alike. A few passes for scores that are spread out or tied, O(n log n) at worst.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], [`StatsError::Empty`]; [`StatsError::Nan`] and [`StatsError::NotFinite`] with the row.
    pub fn of(y_true: &[bool], scores: &[f64]) -> Result<Self, StatsError> {
        Self::of_with(y_true, scores, None, &ScoreOptions::default())
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
        Self::of_with(y_true, scores, Some(weights), &ScoreOptions::default())
    }

    /// The state of rows with or without weights, with options.
    ///
    /// ```
    /// use mlops_core::num::parallel::Threads;
    /// use mlops_eval::classification::{ScoreOptions, ScoreState};
    ///
    /// let options = ScoreOptions::default().with_threads(Threads::new(2));
    /// let state = ScoreState::of_with(&[true, false], &[0.9, 0.4], None, &options)?;
    /// assert_eq!(state, ScoreState::of(&[true, false], &[0.9, 0.4])?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`weighted`](Self::weighted), and [`StatsError::Parameter`] for a resolution above 52.
    pub fn of_with(
        y_true: &[bool],
        scores: &[f64],
        weights: Option<&[f64]>,
        options: &ScoreOptions,
    ) -> Result<Self, StatsError> {
        let steps = options.steps()?;
        check(y_true, scores, weights, options.threads)?;
        let rounded: Option<Vec<f64>> =
            steps.map(|steps| scores.iter().map(|&score| rounded(score, steps)).collect());
        let scores = rounded.as_deref().unwrap_or(scores);
        let rows = y_true.len() as u64;
        let Some(weights) = weights else {
            let positives = y_true.iter().filter(|positive| **positive).count() as u64;
            let runs = Runs::of_labelled(scores, y_true, options.threads);
            return Ok(Self { rows, runs, totals: [(rows - positives) as f64, positives as f64] });
        };
        let runs = Runs::of_signed(scores, |row| signed(y_true[row], weights[row]), options.threads);
        Ok(Self { rows, totals: runs.totals(), runs })
    }

    /// The state of weights that have been checked, of as many rows.
    pub(crate) fn from_runs(rows: u64, runs: Runs<2>) -> Self {
        Self { rows, totals: runs.totals(), runs }
    }

    /// Adds the rows of another part of the data.
    ///
    /// # Errors
    /// [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        let rows =
            self.rows.checked_add(other.rows).ok_or(StatsError::Overflow { what: "the number of rows" })?;
        let totals = [self.negatives(), other.negatives(), self.positives(), other.positives()];
        crate::input::in_range("the sum of the weights", totals.iter().sum())?;
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

    /// The state in which every score is rounded to the nearest multiple of 2⁻ᵏ, as [`ScoreOptions::resolution`] says.
    ///
    /// ```
    /// use mlops_eval::classification::ScoreState;
    /// let state = ScoreState::of(&[true, false], &[0.76, 0.74])?.rounded(3)?;
    /// assert_eq!(state.distinct(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for more than 52.
    pub fn rounded(&self, resolution: u32) -> Result<Self, StatsError> {
        let Some(steps) = ScoreOptions::default().with_resolution(Some(resolution)).steps()? else {
            return Ok(self.clone());
        };
        let pairs = self.runs.iter().map(|(score, weights)| (rounded(score, steps), weights)).collect();
        Ok(Self::from_runs(self.rows, Runs::of(pairs)))
    }

    /// That there are rows and that they weigh something.
    pub(crate) fn check_weight(&self) -> Result<(), StatsError> {
        if self.rows == 0 {
            return Err(StatsError::Empty { argument: "state" });
        }
        if self.negatives() + self.positives() == 0.0 {
            return Err(StatsError::ZeroTotal { argument: "weights" });
        }
        Ok(())
    }

    /// That every score is a probability.
    pub(crate) fn check_probabilities(&self, argument: &'static str) -> Result<(), StatsError> {
        crate::input::probabilities(argument, self.runs.values())
    }
}

/// A weight that says with its sign which class it belongs to.
pub(crate) fn signed(positive: bool, weight: f64) -> f64 {
    if positive { weight + 0.0 } else { -(weight + 0.0) }
}

/// What every metric of scores checks.
pub(crate) fn check(
    y_true: &[bool],
    scores: &[f64],
    weights: Option<&[f64]>,
    threads: Threads,
) -> Result<(), StatsError> {
    let rows = named("y_true", y_true);
    paired(rows, named("scores", scores))?;
    finite_on(threads, "scores", scores)?;
    weight_total(weights, rows).map(|_| ())
}

impl TryFrom<Stored> for ScoreState {
    type Error = StatsError;

    fn try_from(Stored { rows, runs }: Stored) -> Result<Self, StatsError> {
        if rows < runs.len() as u64 || (rows > 0 && runs.len() == 0) {
            let reason = "does not fit the number of distinct scores";
            return Err(StatsError::Parameter { parameter: "rows", value: rows as f64, reason });
        }
        let totals = runs.totals();
        if !(totals[0] + totals[1]).is_finite() {
            return Err(StatsError::Overflow { what: "the sum of the weights" });
        }
        Ok(Self { rows, totals, runs })
    }
}

impl From<ScoreState> for Stored {
    fn from(state: ScoreState) -> Self {
        Self { rows: state.rows, runs: state.runs }
    }
}

/// Builds a [`ScoreState`] from rows that come one at a time or in batches.
///
/// Rows are kept in a buffer; a full buffer becomes a state, and states of like size are merged, so that a row costs
/// O(log(rows / 65 536)) steps of a merge and nothing is sorted twice. What comes out is what [`ScoreState::of_with`] makes of
/// all rows at once: exactly for counts, to the rounding of the additions for weights.
///
/// ```
/// use mlops_eval::classification::{ScoreState, ScoreStream};
///
/// let mut stream = ScoreStream::default();
/// stream.push(true, 0.9, 1.0)?;
/// stream.extend(&[false, true], &[0.4, 0.4], None)?;
/// assert_eq!(stream.finish()?, ScoreState::of(&[true, false, true], &[0.9, 0.4, 0.4])?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ScoreStream {
    options: ScoreOptions,
    y_true: Vec<bool>,
    scores: Vec<f64>,
    weights: Vec<f64>,
    /// The largest first; each at least twice as large as the next.
    states: Vec<ScoreState>,
}

impl ScoreStream {
    const BUFFER: usize = 65_536;

    /// A stream whose state is built as the options say.
    ///
    /// ```
    /// use mlops_eval::classification::{ScoreOptions, ScoreStream};
    /// assert!(ScoreStream::new(ScoreOptions::default().with_resolution(Some(99))).is_err());
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a resolution above 52.
    pub fn new(options: ScoreOptions) -> Result<Self, StatsError> {
        options.steps()?;
        Ok(Self { options, ..Self::default() })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`StatsError::Nan`], [`StatsError::NotFinite`], [`StatsError::OutOfRange`] for a bad score or weight, and
    /// [`StatsError::Overflow`] when the weights no longer add up to a number; the row is not added then.
    pub fn push(&mut self, y_true: bool, score: f64, weight: f64) -> Result<(), StatsError> {
        check_row(score, weight)?;
        if self.scores.len() >= Self::BUFFER {
            self.flush()?;
        }
        self.y_true.push(y_true);
        self.scores.push(score);
        self.weights.push(weight);
        Ok(())
    }

    /// Adds the rows of a batch, all or none.
    ///
    /// # Errors
    /// Those of [`ScoreState::weighted`]; but weights that are all 0 are accepted.
    pub fn extend(
        &mut self,
        y_true: &[bool],
        scores: &[f64],
        weights: Option<&[f64]>,
    ) -> Result<(), StatsError> {
        match check(y_true, scores, weights, Threads::ONE) {
            Ok(()) | Err(StatsError::ZeroTotal { .. }) => {}
            Err(error) => return Err(error),
        }
        if self.scores.len() + scores.len() > Self::BUFFER {
            self.flush()?;
        }
        self.y_true.extend_from_slice(y_true);
        self.scores.extend_from_slice(scores);
        match weights {
            None => self.weights.resize(self.scores.len(), 1.0),
            Some(weights) => self.weights.extend_from_slice(weights),
        }
        Ok(())
    }

    /// The state of all rows so far; the stream goes on.
    ///
    /// ```
    /// use mlops_eval::classification::ScoreStream;
    /// let mut stream = ScoreStream::default();
    /// stream.push(true, 0.9, 1.0)?;
    /// assert_eq!(stream.state()?.rows(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Overflow`] when the weights do not add up to a number.
    pub fn state(&mut self) -> Result<ScoreState, StatsError> {
        self.flush()?;
        let mut whole = ScoreState::default();
        for state in self.states.iter().rev() {
            whole.merge(state)?;
        }
        self.states = vec![whole.clone()];
        Ok(whole)
    }

    /// The state of all rows.
    ///
    /// # Errors
    /// Those of [`state`](Self::state).
    pub fn finish(mut self) -> Result<ScoreState, StatsError> {
        self.state()
    }

    /// Makes a state of the buffer and merges it with its like.
    fn flush(&mut self) -> Result<(), StatsError> {
        if self.scores.is_empty() {
            return Ok(());
        }
        let built = ScoreState::of_with(&self.y_true, &self.scores, Some(&self.weights), &self.options);
        let mut state = match built {
            // Rows without weight are rows.
            Err(StatsError::ZeroTotal { .. }) => {
                let (y_true, options) = (&self.y_true, &self.options);
                let mut state = ScoreState::of_with(y_true, &self.scores, None, options)?;
                state.runs.clear_weights();
                ScoreState::from_runs(state.rows, state.runs)
            }
            built => built?,
        };
        while let Some(last) = self.states.last().filter(|last| last.distinct() < 2 * state.distinct()) {
            let mut merged = last.clone();
            merged.merge(&state)?;
            state = merged;
            self.states.pop();
        }
        self.states.push(state);
        self.y_true.clear();
        self.scores.clear();
        self.weights.clear();
        Ok(())
    }
}

fn check_row(score: f64, weight: f64) -> Result<(), StatsError> {
    finite("scores", &[score])?;
    match mlops_core::num::weights::total("weights", &[weight]) {
        Ok(_) | Err(StatsError::ZeroTotal { .. }) => Ok(()),
        Err(error) => Err(error),
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
        let huge = r#"{"rows":2,"runs":{"values":[1.0,2.0],"weights":[[1e308,0],[0,1e308]]}}"#;
        assert!(serde_json::from_str::<ScoreState>(huge).is_err());
    }

    #[test]
    fn a_failed_push_changes_nothing() {
        let mut stream = ScoreStream::default();
        stream.push(true, 0.5, 2.0).unwrap();
        for (score, weight) in [(f64::NAN, 1.0), (0.5, -1.0), (0.5, f64::INFINITY)] {
            assert!(stream.push(true, score, weight).is_err());
        }
        assert_eq!(stream.finish().unwrap(), ScoreState::weighted(&[true], &[0.5], &[2.0]).unwrap());
    }
}
