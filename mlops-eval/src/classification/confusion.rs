//! The four cells a binary classifier's labels fall into, counted or weighted.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::kernel::{count_binary, sum_binary};
use crate::input::{check_weight, named, paired, weight_total};
use mlops_core::num::parallel::Threads;
use mlops_core::num::sum::Sum;

/// How often each pair of true and predicted label occurs. Counts merge: shards and windows add up.
///
/// ```
/// use mlops_eval::classification::Confusion;
///
/// let y_true = [true, true, false, false, false];
/// let y_pred = [true, false, true, false, false];
/// let counts = Confusion::of(&y_true, &y_pred)?;
/// assert_eq!((counts.true_positives, counts.false_negatives), (1, 1));
/// assert_eq!((counts.false_positives, counts.true_negatives), (1, 2));
///
/// let mut whole = Confusion::of(&y_true[..2], &y_pred[..2])?;
/// whole.merge(&Confusion::of(&y_true[2..], &y_pred[2..])?)?;
/// assert_eq!(whole, counts);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confusion {
    /// Positive rows predicted positive.
    pub true_positives: u64,
    /// Negative rows predicted positive.
    pub false_positives: u64,
    /// Positive rows predicted negative.
    pub false_negatives: u64,
    /// Negative rows predicted negative.
    pub true_negatives: u64,
}

impl Confusion {
    /// Counts the rows. One pass, no allocation.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], [`StatsError::Empty`].
    pub fn of(y_true: &[bool], y_pred: &[bool]) -> Result<Self, StatsError> {
        Self::of_with(y_true, y_pred, Threads::ONE)
    }

    /// [`of`](Self::of) on several threads; the same counts on any number of them.
    ///
    /// ```
    /// use mlops_core::num::parallel::Threads;
    /// use mlops_eval::classification::Confusion;
    /// let counts = Confusion::of_with(&[true, false], &[true, true], Threads::new(2))?;
    /// assert_eq!(counts, Confusion::of(&[true, false], &[true, true])?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`of`](Self::of).
    pub fn of_with(y_true: &[bool], y_pred: &[bool], threads: Threads) -> Result<Self, StatsError> {
        paired(named("y_true", y_true), named("y_pred", y_pred))?;
        Ok(count_binary(y_true, y_pred, threads))
    }

    /// Adds one row.
    ///
    /// ```
    /// use mlops_eval::classification::Confusion;
    /// let mut counts = Confusion::default();
    /// counts.push(true, false);
    /// assert_eq!(counts.false_negatives, 1);
    /// ```
    pub fn push(&mut self, y_true: bool, y_pred: bool) {
        let cell = match (y_true, y_pred) {
            (true, true) => &mut self.true_positives,
            (false, true) => &mut self.false_positives,
            (true, false) => &mut self.false_negatives,
            (false, false) => &mut self.true_negatives,
        };
        // 2^64 rows cannot be pushed one at a time; a count that was put in by hand stays at the end of its range.
        *cell = cell.saturating_add(1);
    }

    /// Adds the counts of another part of the data.
    ///
    /// # Errors
    /// [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        let add = |a: u64, b: u64| a.checked_add(b).ok_or(StatsError::Overflow { what: "a confusion count" });
        *self = Self {
            true_positives: add(self.true_positives, other.true_positives)?,
            false_positives: add(self.false_positives, other.false_positives)?,
            false_negatives: add(self.false_negatives, other.false_negatives)?,
            true_negatives: add(self.true_negatives, other.true_negatives)?,
        };
        Ok(())
    }

    /// The number of rows; stays at `u64::MAX` if hand-made counts add up to more.
    ///
    /// ```
    /// use mlops_eval::classification::Confusion;
    /// assert_eq!(Confusion { true_positives: 2, false_negatives: 3, ..Default::default() }.rows(), 5);
    /// ```
    pub fn rows(&self) -> u64 {
        [self.false_positives, self.false_negatives, self.true_negatives]
            .into_iter()
            .fold(self.true_positives, u64::saturating_add)
    }
}

/// The weight that falls on each pair of true and predicted label: finite, not negative, with a finite total.
///
/// ```
/// use mlops_eval::classification::WeightedConfusion;
///
/// let cells = WeightedConfusion::of(&[true, true, false], &[true, false, false], &[0.5, 1.5, 2.0])?;
/// assert_eq!(cells.true_positives(), 0.5);
/// assert_eq!(cells.total(), 4.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Cells", into = "Cells")]
pub struct WeightedConfusion(Cells);

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cells {
    true_positives: f64,
    false_positives: f64,
    false_negatives: f64,
    true_negatives: f64,
}

impl WeightedConfusion {
    /// Adds up the weights of the rows. One pass, compensated sums.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], [`StatsError::Empty`], and what
    /// [`weights::total`](mlops_core::num::weights::total) refuses.
    pub fn of(y_true: &[bool], y_pred: &[bool], weights: &[f64]) -> Result<Self, StatsError> {
        Self::of_with(y_true, y_pred, weights, Threads::ONE)
    }

    /// [`of`](Self::of) on several threads; the same bits on any number of them.
    ///
    /// ```
    /// use mlops_core::num::parallel::Threads;
    /// use mlops_eval::classification::WeightedConfusion;
    /// let cells = WeightedConfusion::of_with(&[true, false], &[true, true], &[0.5, 2.0], Threads::new(2))?;
    /// assert_eq!(cells.false_positives(), 2.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`of`](Self::of).
    pub fn of_with(
        y_true: &[bool],
        y_pred: &[bool],
        weights: &[f64],
        threads: Threads,
    ) -> Result<Self, StatsError> {
        Ok(WeightedConfusionState::of_with(y_true, y_pred, weights, threads)?.finish())
    }

    /// Cells from four numbers.
    ///
    /// # Errors
    /// [`StatsError::Nan`], [`StatsError::NotFinite`] or [`StatsError::OutOfRange`] with the index of the argument;
    /// [`StatsError::Overflow`] when the total is not finite.
    ///
    /// ```
    /// use mlops_eval::classification::WeightedConfusion;
    /// assert!(WeightedConfusion::new(1.0, -2.0, 0.0, 0.0).is_err());
    /// ```
    pub fn new(
        true_positives: f64,
        false_positives: f64,
        false_negatives: f64,
        true_negatives: f64,
    ) -> Result<Self, StatsError> {
        Self::try_from(Cells { true_positives, false_positives, false_negatives, true_negatives })
    }

    pub(crate) fn from_sums(sums: &[Sum; 4]) -> Result<Self, StatsError> {
        let [true_negatives, false_positives, false_negatives, true_positives] = sums.map(|sum| sum.value());
        Self::new(true_positives, false_positives, false_negatives, true_negatives)
    }

    /// The cells of both parts together.
    ///
    /// ```
    /// use mlops_eval::classification::WeightedConfusion;
    /// let part = WeightedConfusion::new(1.0, 0.5, 0.0, 2.0)?;
    /// assert_eq!(part.plus(&part)?, WeightedConfusion::new(2.0, 1.0, 0.0, 4.0)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Overflow`].
    pub fn plus(&self, other: &Self) -> Result<Self, StatsError> {
        let (a, b) = (&self.0, &other.0);
        let sums = [
            a.true_positives + b.true_positives,
            a.false_positives + b.false_positives,
            a.false_negatives + b.false_negatives,
            a.true_negatives + b.true_negatives,
        ];
        if !sums.iter().sum::<f64>().is_finite() {
            return Err(StatsError::Overflow { what: "the sum of the weights" });
        }
        Self::new(sums[0], sums[1], sums[2], sums[3])
    }

    /// The weight of positive rows predicted positive.
    pub fn true_positives(&self) -> f64 {
        self.0.true_positives
    }

    /// The weight of negative rows predicted positive.
    pub fn false_positives(&self) -> f64 {
        self.0.false_positives
    }

    /// The weight of positive rows predicted negative.
    pub fn false_negatives(&self) -> f64 {
        self.0.false_negatives
    }

    /// The weight of negative rows predicted negative.
    pub fn true_negatives(&self) -> f64 {
        self.0.true_negatives
    }

    /// The weight of all rows.
    pub fn total(&self) -> f64 {
        (self.true_positives() + self.false_positives()) + (self.false_negatives() + self.true_negatives())
    }
}

/// [`WeightedConfusion`] while rows still come: the compensated sums of the four cells.
///
/// ```
/// use mlops_eval::classification::{WeightedConfusion, WeightedConfusionState};
///
/// let mut state = WeightedConfusionState::default();
/// state.push(true, true, 0.5)?;
/// state.push(false, true, 2.0)?;
/// state.merge(&WeightedConfusionState::of(&[true], &[false], &[0.25])?)?;
/// assert_eq!(state.finish(), WeightedConfusion::new(0.5, 2.0, 0.25, 0.0)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredSums", into = "StoredSums")]
pub struct WeightedConfusionState {
    sums: [Sum; 4],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSums {
    sums: [Sum; 4],
}

impl WeightedConfusionState {
    /// Adds up the weights of the rows. One pass.
    ///
    /// # Errors
    /// Those of [`WeightedConfusion::of`].
    pub fn of(y_true: &[bool], y_pred: &[bool], weights: &[f64]) -> Result<Self, StatsError> {
        Self::of_with(y_true, y_pred, weights, Threads::ONE)
    }

    /// [`of`](Self::of) on several threads; the same bits on any number of them.
    ///
    /// # Errors
    /// Those of [`WeightedConfusion::of`].
    pub fn of_with(
        y_true: &[bool],
        y_pred: &[bool],
        weights: &[f64],
        threads: Threads,
    ) -> Result<Self, StatsError> {
        let rows = named("y_true", y_true);
        paired(rows, named("y_pred", y_pred))?;
        paired(named("weights", weights), rows)?;
        let state = sum_binary(y_true, y_pred, weights, threads).map(|sums| Self { sums });
        match state.filter(|state| state.fits() && state.total() > 0.0) {
            Some(state) => Ok(state),
            // Something is wrong with the weights: the check that names it comes second, because it is slow.
            None => {
                weight_total(Some(weights), rows)?;
                Err(StatsError::Overflow { what: "the sum of the weights" })
            }
        }
    }

    /// Adds one row.
    ///
    /// # Errors
    /// [`StatsError::Nan`], [`StatsError::NotFinite`] or [`StatsError::OutOfRange`] for the weight;
    /// [`StatsError::Overflow`] when the total is no longer finite. `self` is unchanged then.
    pub fn push(&mut self, y_true: bool, y_pred: bool, weight: f64) -> Result<(), StatsError> {
        check_weight(weight)?;
        let mut next = *self;
        next.sums[cell_index(y_true, y_pred)].push(weight);
        *self = next.in_range()?;
        Ok(())
    }

    /// Adds the sums of another part of the data.
    ///
    /// # Errors
    /// [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        let mut next = *self;
        next.sums.iter_mut().zip(other.sums).for_each(|(sum, part)| sum.merge(part));
        *self = next.in_range()?;
        Ok(())
    }

    /// The cells.
    pub fn finish(&self) -> WeightedConfusion {
        let [true_negatives, false_positives, false_negatives, true_positives] =
            self.sums.map(|sum| sum.value().max(0.0));
        WeightedConfusion(Cells { true_positives, false_positives, false_negatives, true_negatives })
    }

    fn total(&self) -> f64 {
        self.finish().total()
    }

    fn fits(&self) -> bool {
        self.sums.iter().all(|sum| sum.value().is_finite()) && self.total().is_finite()
    }

    fn in_range(self) -> Result<Self, StatsError> {
        if self.fits() { Ok(self) } else { Err(StatsError::Overflow { what: "the sum of the weights" }) }
    }
}

impl TryFrom<StoredSums> for WeightedConfusionState {
    type Error = StatsError;

    fn try_from(StoredSums { sums }: StoredSums) -> Result<Self, StatsError> {
        let [tn, fp, fn_, tp] = sums.map(|sum| sum.value());
        WeightedConfusion::new(tp, fp, fn_, tn)?;
        Ok(Self { sums })
    }
}

impl From<WeightedConfusionState> for StoredSums {
    fn from(state: WeightedConfusionState) -> Self {
        Self { sums: state.sums }
    }
}

/// The position of a pair of labels among the four cells: true negatives, false positives, false negatives, true
/// positives.
pub(crate) fn cell_index(y_true: bool, y_pred: bool) -> usize {
    usize::from(y_true) << 1 | usize::from(y_pred)
}

impl TryFrom<Cells> for WeightedConfusion {
    type Error = StatsError;

    fn try_from(cells: Cells) -> Result<Self, StatsError> {
        let list = [cells.true_positives, cells.false_positives, cells.false_negatives, cells.true_negatives];
        match mlops_core::num::weights::total("cells", &list) {
            Ok(_) | Err(StatsError::ZeroTotal { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(Self(cells))
    }
}

impl From<WeightedConfusion> for Cells {
    fn from(cells: WeightedConfusion) -> Self {
        cells.0
    }
}

/// Exact up to 2⁵³ rows in a cell, rounded to the nearest f64 above.
impl From<Confusion> for WeightedConfusion {
    fn from(counts: Confusion) -> Self {
        Self(Cells {
            true_positives: counts.true_positives as f64,
            false_positives: counts.false_positives as f64,
            false_negatives: counts.false_negatives as f64,
            true_negatives: counts.true_negatives as f64,
        })
    }
}

impl From<&Confusion> for WeightedConfusion {
    fn from(counts: &Confusion) -> Self {
        Self::from(*counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_rows_and_pushing_them_agree() {
        let y_true: Vec<bool> = (0..1000).map(|i| i % 3 == 0).collect();
        let y_pred: Vec<bool> = (0..1000).map(|i| i % 7 < 3).collect();
        let mut pushed = Confusion::default();
        y_true.iter().zip(&y_pred).for_each(|(&t, &p)| pushed.push(t, p));
        assert_eq!(Confusion::of(&y_true, &y_pred), Ok(pushed));
        assert_eq!(pushed.rows(), 1000);
    }

    #[test]
    fn bad_rows_are_refused() {
        assert_eq!(Confusion::of(&[], &[]), Err(StatsError::Empty { argument: "y_true" }));
        let error = Confusion::of(&[true], &[]).unwrap_err();
        assert_eq!(error.to_string(), "`y_true` has 1 elements but `y_pred` has 0");
    }

    #[test]
    fn a_merge_that_would_wrap_is_an_error_and_changes_nothing() {
        let mut counts = Confusion { true_positives: u64::MAX, ..Default::default() };
        let before = counts;
        let error = counts.merge(&Confusion { true_positives: 1, ..Default::default() }).unwrap_err();
        assert_eq!(error, StatsError::Overflow { what: "a confusion count" });
        assert_eq!(counts, before);
        assert_eq!(Confusion { false_positives: 5, ..counts }.rows(), u64::MAX);
    }

    #[test]
    fn cells_read_from_a_file_are_checked() {
        let good =
            r#"{"true_positives":1.0,"false_positives":0.0,"false_negatives":0.5,"true_negatives":0.0}"#;
        let cells: WeightedConfusion = serde_json::from_str(good).unwrap();
        assert_eq!(serde_json::to_string(&cells).unwrap(), good);
        assert!(serde_json::from_str::<WeightedConfusion>(&good.replace("0.5", "-0.5")).is_err());
    }
}
