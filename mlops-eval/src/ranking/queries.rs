//! Which rows are the documents of one query.

use std::borrow::Cow;

use mlops_core::num::StatsError;

use crate::input::{finite, named, not_empty, not_finite, paired};

/// The documents of many queries: relevance and score of each, and where each query starts. Checked once, here.
///
/// ```
/// use mlops_eval::ranking::Queries;
///
/// let queries = Queries::from_ids(&[1.0, 0.0, 2.0], &[0.3, 0.2, 0.1], &[7, 4, 7])?;
/// assert_eq!(queries.len(), 2);
/// // Query 4 comes before query 7.
/// assert_eq!(queries.iter().map(|(relevance, _)| relevance.len()).collect::<Vec<_>>(), [1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Queries<'a> {
    relevance: Cow<'a, [f64]>,
    scores: Cow<'a, [f64]>,
    offsets: Cow<'a, [usize]>,
}

impl<'a> Queries<'a> {
    /// Query i has the rows `offsets[i]..offsets[i + 1]`: the first offset is 0, the last the number of rows. A query may have
    /// no rows. Borrows everything. O(n).
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], [`StatsError::Empty`]; [`StatsError::Nan`], [`StatsError::NotFinite`] and
    /// [`StatsError::OutOfRange`] for a relevance that is negative, with the row; [`StatsError::TooFew`],
    /// [`StatsError::Unsorted`] and [`StatsError::OutOfRange`] for `offsets`.
    pub fn from_offsets(
        relevance: &'a [f64],
        scores: &'a [f64],
        offsets: &'a [usize],
    ) -> Result<Self, StatsError> {
        check_rows(relevance, scores)?;
        let argument = "offsets";
        if offsets.len() < 2 {
            return Err(StatsError::TooFew { argument, needed: 2, got: offsets.len() });
        }
        if let Some(before) = offsets.windows(2).position(|pair| pair[0] > pair[1]) {
            return Err(StatsError::Unsorted { argument, index: before + 1 });
        }
        for (index, expected) in [(0, 0), (offsets.len() - 1, relevance.len())] {
            if offsets[index] != expected {
                let (value, bound) = (offsets[index] as f64, expected as f64);
                return Err(StatsError::OutOfRange { argument, index, value, low: bound, high: bound });
            }
        }
        Ok(Self {
            relevance: Cow::Borrowed(relevance),
            scores: Cow::Borrowed(scores),
            offsets: Cow::Borrowed(offsets),
        })
    }

    /// Rows with the same id are one query, wherever they are; queries come in ascending order of their ids, rows in the order
    /// they have. O(n log n).
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], and those of [`from_offsets`](Self::from_offsets) for relevance and scores.
    pub fn from_ids(relevance: &[f64], scores: &[f64], ids: &[u64]) -> Result<Self, StatsError> {
        check_rows(relevance, scores)?;
        paired(named("ids", ids), named("relevance", relevance))?;
        let mut rows: Vec<usize> = (0..ids.len()).collect();
        rows.sort_by_key(|&row| ids[row]);
        let mut offsets = vec![0];
        for query in rows.chunk_by(|&a, &b| ids[a] == ids[b]) {
            offsets.push(offsets[offsets.len() - 1] + query.len());
        }
        Ok(Self {
            relevance: rows.iter().map(|&row| relevance[row]).collect(),
            scores: rows.iter().map(|&row| scores[row]).collect(),
            offsets: Cow::Owned(offsets),
        })
    }

    /// One query.
    ///
    /// ```
    /// use mlops_eval::ranking::Queries;
    /// assert_eq!(Queries::one(&[1.0, 0.0], &[0.3, 0.2])?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`from_offsets`](Self::from_offsets).
    pub fn one(relevance: &'a [f64], scores: &'a [f64]) -> Result<Self, StatsError> {
        check_rows(relevance, scores)?;
        Ok(Self {
            relevance: Cow::Borrowed(relevance),
            scores: Cow::Borrowed(scores),
            offsets: Cow::Owned(vec![0, relevance.len()]),
        })
    }

    /// The number of queries.
    // There is at least one, so `is_empty` would have one answer.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The relevance and the scores of each query.
    pub fn iter(&self) -> impl Iterator<Item = (&[f64], &[f64])> {
        self.offsets.windows(2).map(|pair| {
            let rows = pair[0]..pair[1];
            (&self.relevance[rows.clone()], &self.scores[rows])
        })
    }
}

fn check_rows(relevance: &[f64], scores: &[f64]) -> Result<(), StatsError> {
    paired(named("relevance", relevance), named("scores", scores))?;
    check_relevance(relevance)?;
    finite("scores", scores)
}

fn check_relevance(relevance: &[f64]) -> Result<(), StatsError> {
    let Some(index) = relevance.iter().position(|grade| !(0.0..=f64::MAX).contains(grade)) else {
        return Ok(());
    };
    let (argument, value) = ("relevance", relevance[index]);
    if value.is_finite() {
        return Err(StatsError::OutOfRange { argument, index, value, low: 0.0, high: f64::MAX });
    }
    Err(not_finite(argument, index, value))
}

/// The checks of one query that is pushed, which may have no rows.
pub(super) fn check_query(relevance: &[f64], scores: &[f64]) -> Result<(), StatsError> {
    match check_rows(relevance, scores) {
        Err(StatsError::Empty { .. }) => Ok(()),
        checked => checked,
    }
}

/// That there is a weight for each query.
pub(super) fn check_weights(weights: Option<&[f64]>, queries: usize) -> Result<(), StatsError> {
    let Some(weights) = weights else { return Ok(()) };
    not_empty(named("weights", weights))?;
    mlops_core::num::weights::total_for("weights", weights, "queries", queries).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_that_do_not_cover_the_rows_are_refused() {
        let of = |offsets: &[usize]| Queries::from_offsets(&[1.0; 3], &[1.0; 3], offsets).map(|q| q.len());
        assert_eq!(of(&[0, 1, 1, 3]), Ok(3));
        assert!(matches!(of(&[0]), Err(StatsError::TooFew { .. })));
        assert!(matches!(of(&[0, 2]), Err(StatsError::OutOfRange { index: 1, .. })));
        assert!(matches!(of(&[1, 3]), Err(StatsError::OutOfRange { index: 0, .. })));
        assert!(matches!(of(&[0, 2, 1, 3]), Err(StatsError::Unsorted { index: 2, .. })));
        assert!(matches!(of(&[0, usize::MAX]), Err(StatsError::OutOfRange { .. })));
    }

    #[test]
    fn bad_rows_are_named() {
        let relevance = |bad: f64| Queries::one(&[1.0, bad], &[0.0, 0.0]).unwrap_err();
        assert!(matches!(relevance(-1.0), StatsError::OutOfRange { argument: "relevance", index: 1, .. }));
        assert!(matches!(relevance(f64::NAN), StatsError::Nan { argument: "relevance", index: 1 }));
        assert!(matches!(relevance(f64::INFINITY), StatsError::NotFinite { index: 1, .. }));
        assert!(matches!(Queries::one(&[1.0], &[f64::NAN]), Err(StatsError::Nan { argument: "scores", .. })));
        assert!(Queries::one(&[], &[]).is_err());
        assert!(Queries::one(&[1.0], &[]).is_err());
        assert!(Queries::from_ids(&[1.0], &[1.0], &[1, 2]).is_err());
    }
}
