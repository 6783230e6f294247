//! Metrics of the order in which labels are ranked for each row: coverage error, label ranking average precision, ranking
//! loss (Tsoumakas, Katakis and Vlahavas 2010).
//!
//! Truth is row-major `&[bool]`, `labels` a row; scores likewise, higher for labels that are more likely. Equal scores rank
//! last among themselves, so that they never help: all of it agrees with scikit-learn 1.9.1 to 1e-12.

use mlops_core::num::ranks::sort_pairs;
use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::multilabel::{check_labels, check_shape};
use crate::input::{check_weight, not_finite, weight, weight_total};

/// The three metrics of ranked labels.
///
/// A row none or all of whose labels are relevant can be ranked in no wrong way. The first two numbers of it are those of a
/// perfect row, as in scikit-learn; the `…_of_ranked` numbers leave such rows out.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelRanking {
    /// How far down the ranking one has to go to find all relevant labels, on average: from 0 (no relevant labels) to the
    /// number of labels; the number of relevant labels a row is best.
    pub coverage_error: Measured,
    /// For each relevant label, the share of relevant labels among those ranked as high or higher; mean over the relevant
    /// labels of a row, then over rows. In (0, 1], 1 is best.
    pub average_precision: Measured,
    /// The share of pairs of a relevant and an irrelevant label that are in the wrong order or tied; mean over rows. In
    /// [0, 1], 0 is best.
    pub ranking_loss: Measured,
    /// `average_precision` of rows that have both relevant and irrelevant labels.
    pub average_precision_of_ranked: Measured,
    /// `ranking_loss` of rows that have both relevant and irrelevant labels.
    pub ranking_loss_of_ranked: Measured,
    /// The share of rows that do not have both.
    pub unranked: Measured,
}

/// The mergeable state behind [`LabelRanking`].
///
/// ```
/// use mlops_eval::classification::LabelRankingState;
///
/// let mut state = LabelRankingState::new(3)?;
/// state.push(&[true, false, false], &[0.75, 0.5, 1.0], 1.0)?;
/// state.push(&[false, false, true], &[1.0, 0.2, 0.1], 1.0)?;
/// let ranking = state.finish();
/// assert_eq!(ranking.coverage_error.value(), Some(2.5));
/// assert_eq!(ranking.average_precision.value(), Some((0.5 + 1.0 / 3.0) / 2.0));
/// assert_eq!(ranking.ranking_loss.value(), Some(0.75));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct LabelRankingState {
    labels: usize,
    sums: Sums,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sums {
    total: Sum,
    unranked: Sum,
    coverage: Sum,
    precision: Sum,
    loss: Sum,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    labels: usize,
    sums: Sums,
}

impl Sums {
    fn list(&self) -> [Sum; 5] {
        [self.total, self.unranked, self.coverage, self.precision, self.loss]
    }
}

impl LabelRankingState {
    /// No rows yet.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] unless `labels` lies between 1 and [`MAX_LABELS`](super::multilabel::MAX_LABELS).
    pub fn new(labels: usize) -> Result<Self, StatsError> {
        check_labels(labels)?;
        Ok(Self { labels, sums: Sums::default() })
    }

    /// The state of rows. O(n · labels · log labels).
    ///
    /// # Errors
    /// Those of [`new`](Self::new); [`StatsError::Empty`], [`StatsError::LengthMismatch`], [`StatsError::Nan`] and
    /// [`StatsError::NotFinite`] with the position in `scores`; what
    /// [`weights::total`](mlops_core::num::weights::total) refuses; [`StatsError::Overflow`].
    pub fn of(
        y_true: &[bool],
        scores: &[f64],
        weights: Option<&[f64]>,
        labels: usize,
    ) -> Result<Self, StatsError> {
        let mut state = Self::new(labels)?;
        let rows = check_shape(y_true, "scores", scores, labels)?;
        let places: Vec<()> = vec![(); rows];
        weight_total(weights, crate::input::named("rows of y_true", &places))?;
        for (row, (truth, scores)) in y_true.chunks_exact(labels).zip(scores.chunks_exact(labels)).enumerate()
        {
            state.add(row, truth, scores, weight(weights, row))?;
        }
        state.in_range()
    }

    /// Adds one row.
    ///
    /// # Errors
    /// Those of [`of`](Self::of), for row 0; `self` is unchanged then.
    pub fn push(&mut self, y_true: &[bool], scores: &[f64], weight: f64) -> Result<(), StatsError> {
        check_weight(weight)?;
        for (left, left_len) in [("y_true", y_true.len()), ("scores", scores.len())] {
            if left_len != self.labels {
                let right_len = self.labels;
                return Err(StatsError::LengthMismatch { left, left_len, right: "labels", right_len });
            }
        }
        let mut next = self.clone();
        next.add(0, y_true, scores, weight)?;
        *self = next.in_range()?;
        Ok(())
    }

    fn add(&mut self, row: usize, truth: &[bool], scores: &[f64], weight: f64) -> Result<(), StatsError> {
        if let Some(bad) = scores.iter().position(|score| !score.is_finite()) {
            return Err(not_finite("scores", row * self.labels + bad, scores[bad]));
        }
        let ranked = Ranked::of(truth, scores);
        self.sums.total.push(weight);
        self.sums.coverage.push(weight * ranked.coverage);
        match ranked.order {
            Some((precision, loss)) => {
                self.sums.precision.push(weight * precision);
                self.sums.loss.push(weight * loss);
            }
            None => self.sums.unranked.push(weight),
        }
        Ok(())
    }

    /// Adds the rows of another part of the data.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] when the numbers of labels differ, [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.labels != other.labels {
            return Err(StatsError::Incompatible { what: "the number of labels" });
        }
        let (mut sums, theirs) = (self.sums, &other.sums);
        sums.total.merge(theirs.total);
        sums.unranked.merge(theirs.unranked);
        sums.coverage.merge(theirs.coverage);
        sums.precision.merge(theirs.precision);
        sums.loss.merge(theirs.loss);
        *self = Self { labels: self.labels, sums }.in_range()?;
        Ok(())
    }

    fn in_range(self) -> Result<Self, StatsError> {
        for sum in self.sums.list() {
            crate::input::in_range("the sum of the weights", sum.value())?;
        }
        Ok(self)
    }

    /// The metrics; all undefined without rows.
    pub fn finish(&self) -> LabelRanking {
        let value = |sum: Sum| sum.value().max(0.0);
        let (total, unranked) = (value(self.sums.total), value(self.sums.unranked));
        let (precision, loss) = (value(self.sums.precision), value(self.sums.loss));
        let share = |part: f64, whole: f64| Measured::ratio(part, whole).map(|share| share.min(1.0));
        let ranked = (total - unranked).max(0.0);
        LabelRanking {
            coverage_error: Measured::ratio(value(self.sums.coverage), total)
                .map(|coverage| coverage.min(self.labels as f64)),
            average_precision: share(precision + unranked, total),
            ranking_loss: share(loss, total),
            average_precision_of_ranked: share(precision, ranked),
            ranking_loss_of_ranked: share(loss, ranked),
            unranked: share(unranked, total),
        }
    }
}

impl TryFrom<Stored> for LabelRankingState {
    type Error = StatsError;

    fn try_from(Stored { labels, sums }: Stored) -> Result<Self, StatsError> {
        check_labels(labels)?;
        for sum in sums.list() {
            check_weight(sum.value())?;
        }
        let (total, ranked) = (sums.total.value(), sums.total.value() - sums.unranked.value());
        let parts = [
            ("unranked", sums.unranked.value(), total),
            ("coverage", sums.coverage.value(), total * labels as f64),
            ("precision", sums.precision.value(), ranked),
            ("loss", sums.loss.value(), ranked),
        ];
        for (argument, value, high) in parts {
            // Rounding may move a part past the whole, by less than this.
            if value > high + 1e-9 * total {
                return Err(StatsError::OutOfRange { argument, index: 0, value, low: 0.0, high });
            }
        }
        Ok(Self { labels, sums })
    }
}

impl From<LabelRankingState> for Stored {
    fn from(state: LabelRankingState) -> Self {
        Self { labels: state.labels, sums: state.sums }
    }
}

/// What one row comes to.
struct Ranked {
    coverage: f64,
    /// Average precision and loss, of a row that has both relevant and irrelevant labels.
    order: Option<(f64, f64)>,
}

impl Ranked {
    fn of(truth: &[bool], scores: &[f64]) -> Self {
        let mut pairs: Vec<(f64, bool)> =
            scores.iter().map(|score| -score).zip(truth.iter().copied()).collect();
        sort_pairs(&mut pairs);
        let relevant = truth.iter().filter(|relevant| **relevant).count();
        let (mut seen, mut found, mut coverage) = (0_usize, 0_usize, 0_usize);
        let (mut precision, mut wrong) = (Sum::new(), 0.0);
        for tied in pairs.chunk_by(|a, b| a.0 == b.0) {
            let hits = tied.iter().filter(|(_, relevant)| *relevant).count();
            seen += tied.len();
            // Irrelevant labels of this score are above or beside the relevant ones that are not above it.
            wrong += (tied.len() - hits) as f64 * (relevant - found) as f64;
            found += hits;
            if hits > 0 {
                coverage = seen;
                precision.push(hits as f64 * (found as f64 / seen as f64));
            }
        }
        let irrelevant = truth.len() - relevant;
        let ranked = relevant > 0 && irrelevant > 0;
        let order = ranked
            .then(|| (precision.value() / relevant as f64, wrong / (relevant as f64 * irrelevant as f64)));
        Self { coverage: coverage as f64, order }
    }
}

macro_rules! label_rankings {
    ($($(#[doc = $doc:literal])+ $plain:ident, $weighted:ident: $field:ident, example $example:literal;)+) => {$(
        $(#[doc = $doc])+
        ///
        /// O(n · labels · log labels).
        ///
        /// ```
        #[doc = concat!("use mlops_eval::classification::", stringify!($plain), ";")]
        ///
        /// let y_true = [true, false, false, false, false, true];
        /// let scores = [0.75, 0.5, 1.0, 1.0, 0.2, 0.1];
        #[doc = concat!("let value = ", stringify!($plain), "(&y_true, &scores, 3)?.value().unwrap_or(f64::NAN);")]
        #[doc = concat!("assert!((value - ", $example, ").abs() < 1e-15);")]
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        ///
        /// # Errors
        /// Those of [`LabelRankingState::of`].
        pub fn $plain(y_true: &[bool], scores: &[f64], labels: usize) -> Result<Measured, StatsError> {
            Ok(LabelRankingState::of(y_true, scores, None, labels)?.finish().$field)
        }

        #[doc = concat!("[`", stringify!($plain), "`] with a weight for each row.")]
        ///
        /// ```
        #[doc = concat!("use mlops_eval::classification::{", stringify!($plain), ", ", stringify!($weighted), "};")]
        ///
        /// let (y_true, scores) = ([true, false, false, true], [0.2, 0.1, 0.7, 0.3]);
        #[doc = concat!("let first = ", stringify!($plain), "(&y_true[..2], &scores[..2], 2)?;")]
        #[doc = concat!("assert_eq!(", stringify!($weighted), "(&y_true, &scores, &[2.0, 0.0], 2)?, first);")]
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        ///
        /// # Errors
        /// Those of [`LabelRankingState::of`].
        pub fn $weighted(
            y_true: &[bool],
            scores: &[f64],
            weights: &[f64],
            labels: usize,
        ) -> Result<Measured, StatsError> {
            Ok(LabelRankingState::of(y_true, scores, Some(weights), labels)?.finish().$field)
        }
    )+};
}

label_rankings! {
    /// How far down the ranking of the labels one has to go, on average, to find all relevant ones; see
    /// [`LabelRanking::coverage_error`].
    coverage_error, coverage_error_weighted: coverage_error, example "2.5";

    /// The mean share of relevant labels at or above each relevant label (LRAP); see
    /// [`LabelRanking::average_precision`].
    label_ranking_average_precision, label_ranking_average_precision_weighted: average_precision,
        example "5.0 / 12.0";

    /// The mean share of pairs of a relevant and an irrelevant label in the wrong order; see
    /// [`LabelRanking::ranking_loss`].
    label_ranking_loss, label_ranking_loss_weighted: ranking_loss, example "0.75";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_cannot_be_ranked_wrongly_can_be_left_out() {
        let y_true = [true, true, false, false, true, false];
        let ranking =
            LabelRankingState::of(&y_true, &[0.1, 0.2, 0.3, 0.4, 0.1, 0.9], None, 2).unwrap().finish();
        assert_eq!(ranking.average_precision.value(), Some(2.5 / 3.0));
        assert_eq!(ranking.average_precision_of_ranked.value(), Some(0.5));
        assert_eq!(ranking.ranking_loss.value(), Some(1.0 / 3.0));
        assert_eq!(ranking.ranking_loss_of_ranked.value(), Some(1.0));
        assert_eq!(ranking.unranked.value(), Some(2.0 / 3.0));
        assert_eq!(ranking.coverage_error.value(), Some(4.0 / 3.0));
        let none = LabelRankingState::new(2).unwrap().finish();
        assert_eq!(none.average_precision.value().or(none.coverage_error.value()), None);
    }

    #[test]
    fn bad_rows_are_named_and_change_nothing() {
        let mut state = LabelRankingState::of(&[true, false], &[0.5, 0.5], None, 2).unwrap();
        let before = state.clone();
        assert!(state.push(&[true], &[0.5, 0.5], 1.0).is_err());
        assert!(state.push(&[true, false], &[0.5, f64::NAN], 1.0).is_err());
        assert!(state.push(&[true, false], &[0.5, 0.5], -1.0).is_err());
        assert!(state.merge(&LabelRankingState::new(3).unwrap()).is_err());
        assert_eq!(state, before);
        assert!(matches!(
            LabelRankingState::of(&[true, false, true], &[0.5; 3], None, 2),
            Err(StatsError::LengthMismatch { .. })
        ));
    }

    #[test]
    fn what_is_read_back_is_checked() {
        let state =
            LabelRankingState::of(&[true, false, true, true], &[0.5, 0.7, 0.1, 0.2], Some(&[0.1, 0.3]), 2)
                .unwrap();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<LabelRankingState>(&text).unwrap(), state);
        for (from, to) in [
            ("\"labels\":2", "\"labels\":0"),
            ("\"loss\":{\"total\":", "\"loss\":{\"total\":9"),
            ("\"precision\":{\"total\":", "\"precision\":{\"total\":-"),
        ] {
            assert!(serde_json::from_str::<LabelRankingState>(&text.replace(from, to)).is_err(), "{to}");
        }
    }
}
