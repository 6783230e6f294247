//! Gains and lift: how many of the positives are found in the best-scored share of the rows.

use mlops_core::num::parallel::Threads;
use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::scores::{ScoreState, check};

/// What happens to rows with equal scores that a cut would separate.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GainsTies {
    /// They are shared out in proportion: each side of the cut takes the same mix of positives and negatives, which is what a
    /// random order gives on average. Cuts fall exactly where they are set. The default; what a state can tell.
    #[default]
    Averaged,
    /// They stay in the order of the rows, and no row is split: a bucket ends with the row that reaches its cut. Depends on the
    /// order of rows; needs them.
    Stable,
}

/// Where the rows are cut, and what becomes of ties.
///
/// ```
/// use mlops_eval::classification::{GainsOptions, gains_table_with};
///
/// let options = GainsOptions::default().with_cuts([0.5, 1.0]);
/// let table = gains_table_with(&[false, true, true, false], &[0.1, 0.9, 0.8, 0.3], None, &options)?;
/// assert_eq!(table.buckets.len(), 2);
/// assert_eq!(table.buckets[0].cumulative_lift.value(), Some(2.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GainsOptions {
    /// The shares of the rows, or of their weight, at which buckets end: ascending, above 0, the last one 1. Default: deciles.
    pub cuts: Vec<f64>,
    /// What becomes of ties.
    pub ties: GainsTies,
}

impl Default for GainsOptions {
    fn default() -> Self {
        Self { cuts: (1..=10).map(|tenth| f64::from(tenth) / 10.0).collect(), ties: GainsTies::Averaged }
    }
}

impl GainsOptions {
    /// Sets [`Self::cuts`].
    #[must_use]
    pub fn with_cuts(mut self, cuts: impl Into<Vec<f64>>) -> Self {
        self.cuts = cuts.into();
        self
    }

    /// Sets [`Self::ties`].
    #[must_use]
    pub fn with_ties(mut self, ties: GainsTies) -> Self {
        self.ties = ties;
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        if self.cuts.is_empty() {
            return Err(StatsError::Empty { argument: "cuts" });
        }
        crate::input::probabilities("cuts", &self.cuts)?;
        let ascending = |pair: &[f64]| pair[0] < pair[1];
        if let Some(index) = self.cuts.windows(2).position(|pair| !ascending(pair)) {
            return Err(StatsError::Unsorted { argument: "cuts", index: index + 1 });
        }
        let ends = [self.cuts.first().is_some_and(|cut| *cut > 0.0), self.cuts.last() == Some(&1.0)];
        if ends != [true, true] {
            let value = if ends[0] { self.cuts[self.cuts.len() - 1] } else { self.cuts[0] };
            let reason = "does not end a bucket: cuts lie above 0 and the last one is 1";
            return Err(StatsError::Parameter { parameter: "cuts", value, reason });
        }
        Ok(())
    }
}

/// The rows between two cuts.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GainsBucket {
    /// The cut it ends at, as a share of all rows.
    pub cut: f64,
    /// The number, or weight, of its rows; not whole where ties are shared out.
    pub rows: f64,
    /// Those of them that are positive.
    pub positives: f64,
    /// The rows up to its end.
    pub cumulative_rows: f64,
    /// The positives up to its end.
    pub cumulative_positives: f64,
    /// The lowest score it reaches; `None` for a bucket without rows.
    pub lowest_score: Option<f64>,
    /// The share of positives among its rows.
    pub response_rate: Measured,
    /// The share of all positives found up to its end.
    pub gain: Measured,
    /// Its response rate over that of all rows.
    pub lift: Measured,
    /// The response rate up to its end over that of all rows.
    pub cumulative_lift: Measured,
}

/// Buckets of rows from the highest score down.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GainsTable {
    /// One for each cut.
    pub buckets: Vec<GainsBucket>,
    /// The number, or weight, of all rows.
    pub rows: f64,
    /// The number, or weight, of all positives.
    pub positives: f64,
}

/// The gains table of deciles, ties averaged.
///
/// ```
/// use mlops_eval::classification::gains_table;
///
/// let scores: Vec<f64> = (0..20).map(f64::from).collect();
/// let y_true: Vec<bool> = (0..20).map(|row| row >= 15).collect();
/// let table = gains_table(&y_true, &scores)?;
/// assert_eq!(table.buckets[0].lift.value(), Some(4.0));
/// assert_eq!(table.buckets[1].gain.value(), Some(0.8));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc`](super::roc_auc).
pub fn gains_table(y_true: &[bool], scores: &[f64]) -> Result<GainsTable, StatsError> {
    gains_table_with(y_true, scores, None, &GainsOptions::default())
}

/// [`gains_table`] with a weight for each row: cuts are shares of the weight.
///
/// ```
/// use mlops_eval::classification::gains_table_weighted;
/// let table = gains_table_weighted(&[true, false], &[0.9, 0.1], &[1.0, 9.0])?;
/// assert_eq!(table.buckets[0].gain.value(), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc_weighted`](super::roc_auc_weighted).
pub fn gains_table_weighted(
    y_true: &[bool],
    scores: &[f64],
    weights: &[f64],
) -> Result<GainsTable, StatsError> {
    gains_table_with(y_true, scores, Some(weights), &GainsOptions::default())
}

/// [`gains_table`] of rows with or without weights, with options. O(n log n) with stable ties.
///
/// # Errors
/// Those of [`gains_table_weighted`]; [`StatsError::Empty`], [`StatsError::OutOfRange`], [`StatsError::Unsorted`] and
/// [`StatsError::Parameter`] for bad cuts.
pub fn gains_table_with(
    y_true: &[bool],
    scores: &[f64],
    weights: Option<&[f64]>,
    options: &GainsOptions,
) -> Result<GainsTable, StatsError> {
    options.check()?;
    if options.ties == GainsTies::Averaged {
        let state = match weights {
            None => ScoreState::of(y_true, scores)?,
            Some(weights) => ScoreState::weighted(y_true, scores, weights)?,
        };
        return gains_table_from_state_with(&state, options);
    }
    check(y_true, scores, weights, Threads::ONE)?;
    let mut order: Vec<(f64, usize)> = scores.iter().enumerate().map(|(row, &score)| (-score, row)).collect();
    mlops_core::num::ranks::sort_pairs(&mut order);
    let blocks = order.iter().map(|&(_, row)| {
        let weight = crate::input::weight(weights, row);
        Block { score: scores[row] + 0.0, rows: weight, positives: if y_true[row] { weight } else { 0.0 } }
    });
    Ok(table(&blocks.collect::<Vec<_>>(), options))
}

/// [`gains_table`] of the rows that a state was built from. O(distinct scores).
///
/// ```
/// use mlops_eval::classification::{ScoreState, gains_table_from_state};
/// let table = gains_table_from_state(&ScoreState::of(&[true, false], &[0.5, 0.5])?)?;
/// assert!(table.buckets.iter().all(|bucket| bucket.response_rate.value().is_some_and(|r| (r - 0.5).abs() < 1e-12)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state of nothing.
pub fn gains_table_from_state(state: &ScoreState) -> Result<GainsTable, StatsError> {
    gains_table_from_state_with(state, &GainsOptions::default())
}

/// [`gains_table_from_state`] with options.
///
/// # Errors
/// Those of [`gains_table_from_state`] and of bad cuts; [`StatsError::Unsupported`] for stable ties, whose order is gone.
pub fn gains_table_from_state_with(
    state: &ScoreState,
    options: &GainsOptions,
) -> Result<GainsTable, StatsError> {
    options.check()?;
    state.check_weight()?;
    if options.ties == GainsTies::Stable {
        let reason = "a state has forgotten the order of its rows";
        return Err(StatsError::Unsupported { what: "a gains table with stable ties", reason });
    }
    let blocks = state.points().rev().map(|(score, negatives, positives)| Block {
        score,
        rows: negatives + positives,
        positives,
    });
    Ok(table(&blocks.collect::<Vec<_>>(), options))
}

/// The area under the cumulative gains curve: the share of the positives found, against the share of the rows looked at, ties
/// averaged.
///
/// In [π/2, 1 − π/2] with π the share of positives: a perfect score has 1 − π/2, one that tells nothing ½. Equals
/// π/2 + (1 − π)·AUC. Undefined with [`ZeroDenominator`](mlops_core::num::UndefinedReason::ZeroDenominator) when there are no
/// positives. O(distinct scores).
///
/// ```
/// use mlops_eval::classification::{ScoreState, cumulative_gains_area};
/// let state = ScoreState::of(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?;
/// assert_eq!(cumulative_gains_area(&state)?.value(), Some(0.625));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state of nothing.
pub fn cumulative_gains_area(state: &ScoreState) -> Result<Measured, StatsError> {
    state.check_weight()?;
    if state.positives() == 0.0 {
        return Ok(Measured::ratio(0.0, 0.0));
    }
    let total = state.negatives() + state.positives();
    let (mut area, mut found) = (Sum::new(), Sum::new());
    for (_, negatives, positives) in state.points().rev() {
        let gained = positives / state.positives();
        area.push(((negatives + positives) / total) * (found.value() + 0.5 * gained));
        found.push(gained);
    }
    Ok(Measured::Value(area.value()))
}

/// Rows that stay together, in descending order of their scores.
struct Block {
    score: f64,
    rows: f64,
    positives: f64,
}

/// Rounding of cuts that are no fractions of two: a row that ends within this share of a cut has reached it.
const SLACK: f64 = 1e-12;

/// Deals the blocks out to the buckets.
fn table(blocks: &[Block], options: &GainsOptions) -> GainsTable {
    let rows = blocks.iter().map(|block| block.rows).collect::<Sum>().value();
    let positives = blocks.iter().map(|block| block.positives).collect::<Sum>().value();
    let mut parts = vec![Part::default(); options.cuts.len()];
    let (mut bucket, mut passed) = (0, Sum::new());
    for block in blocks {
        let mut left = block.rows;
        // Each round fills a bucket or ends the block.
        loop {
            let room = options.cuts[bucket] * rows - passed.value();
            let is_last = bucket + 1 == options.cuts.len();
            let full = !is_last && room <= SLACK * rows;
            if full {
                bucket += 1;
                continue;
            }
            let whole = options.ties == GainsTies::Stable || is_last || left <= room;
            let taken = if whole { left } else { room };
            let share = if block.rows > 0.0 { taken / block.rows } else { 0.0 };
            parts[bucket].take(block.score, taken, block.positives * share);
            passed.push(taken);
            left -= taken;
            if whole || left <= 0.0 {
                break;
            }
        }
    }
    GainsTable { buckets: buckets(&parts, &options.cuts, rows, positives), rows, positives }
}

#[derive(Clone, Copy, Default)]
struct Part {
    rows: Sum,
    positives: Sum,
    lowest: Option<f64>,
}

impl Part {
    fn take(&mut self, score: f64, rows: f64, positives: f64) {
        self.rows.push(rows);
        self.positives.push(positives);
        self.lowest = Some(score);
    }
}

fn buckets(parts: &[Part], cuts: &[f64], all: f64, positives: f64) -> Vec<GainsBucket> {
    let (mut above, mut found) = (Sum::new(), Sum::new());
    let overall = positives / all;
    let bucket = |(part, &cut): (&Part, &f64)| {
        above.merge(part.rows);
        found.merge(part.positives);
        let rate = Measured::ratio(part.positives.value(), part.rows.value());
        let cumulative_rate = Measured::ratio(found.value(), above.value());
        GainsBucket {
            cut,
            rows: part.rows.value(),
            positives: part.positives.value(),
            cumulative_rows: above.value(),
            cumulative_positives: found.value(),
            lowest_score: part.lowest,
            response_rate: rate,
            gain: Measured::ratio(found.value(), positives),
            lift: over(rate, overall),
            cumulative_lift: over(cumulative_rate, overall),
        }
    };
    parts.iter().zip(cuts).map(bucket).collect()
}

fn over(rate: Measured, overall: f64) -> Measured {
    match rate {
        Measured::Value(rate) => Measured::ratio(rate, overall),
        undefined @ Measured::Undefined(_) => undefined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_ties_follow_the_rows_and_averaged_ones_do_not() {
        let (y_true, scores) = ([true, true, false, false], [0.5; 4]);
        let options = GainsOptions::default().with_cuts([0.5, 1.0]);
        let averaged = gains_table_with(&y_true, &scores, None, &options).unwrap();
        assert_eq!(averaged.buckets[0].positives, 1.0);
        let stable = gains_table_with(&y_true, &scores, None, &options.with_ties(GainsTies::Stable)).unwrap();
        assert_eq!(stable.buckets[0].positives, 2.0);
        assert_eq!(stable.buckets[0].cumulative_lift.value(), Some(2.0));
    }

    #[test]
    fn deciles_of_ten_times_n_rows_are_n_rows_each() {
        for n in [1, 3, 7, 30] {
            let scores: Vec<f64> = (0..10 * n).map(f64::from).collect();
            let y_true: Vec<bool> = (0..10 * n).map(|row| row % 3 == 0).collect();
            for ties in [GainsTies::Averaged, GainsTies::Stable] {
                let options = GainsOptions::default().with_ties(ties);
                let table = gains_table_with(&y_true, &scores, None, &options).unwrap();
                for bucket in &table.buckets {
                    assert!((bucket.rows - f64::from(n)).abs() < 1e-9, "{n} {ties:?} {bucket:?}");
                }
                let last = table.buckets.last().unwrap();
                assert_eq!((last.gain.value(), last.cumulative_lift.value()), (Some(1.0), Some(1.0)));
                assert_eq!(last.lowest_score, Some(0.0));
            }
        }
    }

    #[test]
    fn bad_cuts_are_refused() {
        for cuts in
            [vec![], vec![0.5], vec![0.0, 1.0], vec![0.5, 0.5, 1.0], vec![f64::NAN, 1.0], vec![0.5, 2.0]]
        {
            let options = GainsOptions::default().with_cuts(cuts.clone());
            assert!(gains_table_with(&[true], &[0.5], None, &options).is_err(), "{cuts:?}");
        }
        let stable = GainsOptions::default().with_ties(GainsTies::Stable);
        let state = ScoreState::of(&[true], &[0.5]).unwrap();
        assert!(matches!(gains_table_from_state_with(&state, &stable), Err(StatsError::Unsupported { .. })));
    }

    #[test]
    fn without_positives_gain_and_lift_have_no_value() {
        let table = gains_table(&[false, false], &[0.2, 0.1]).unwrap();
        assert_eq!(table.buckets[0].gain.value(), None);
        assert_eq!(table.buckets[0].lift.value(), None);
        assert_eq!(table.buckets[0].response_rate.value(), Some(0.0));
    }
}
