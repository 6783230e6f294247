//! Distinct values in ascending order with the weights that fall on each: what is left of rows once their order no longer
//! matters, and all that metrics of ranks and quantiles need.

use mlops_core::num::StatsError;
use mlops_core::num::labelled::{LabelledPart, map_labelled};
use mlops_core::num::parallel::{Threads, map};
use mlops_core::num::ranks::{map_sorted, sort_pairs};
use mlops_core::num::sum::Sum;
use serde::{Deserialize, Serialize};
use std::sync::Mutex;

/// Distinct finite values, ascending, each with `C` weights (of negatives and positives, say). Weights are finite and not
/// negative, and so are their totals; counts are weights that are whole numbers, exact up to 2⁵³.
///
/// Runs merge: what is built from all rows equals what is merged from parts, exactly for counts, to the rounding of one
/// addition per value and part otherwise. Both zeros are one value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub(crate) struct Runs<const C: usize> {
    values: Vec<f64>,
    weights: Vec<[f64; C]>,
}

/// As it is written down: one array of values, and one of weights per column.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    values: Vec<f64>,
    weights: Vec<Vec<f64>>,
}

impl<const C: usize> Default for Runs<C> {
    fn default() -> Self {
        Self { values: Vec::new(), weights: Vec::new() }
    }
}

impl<const C: usize> Runs<C> {
    /// The runs of values that have been checked to be finite, with weights that have been checked too: each pair is a value
    /// and the weights of its row. O(n log n) below a few thousand rows, O(n) above.
    pub(crate) fn of(mut pairs: Vec<(f64, [f64; C])>) -> Self {
        sort_pairs(&mut pairs);
        let mut runs = Self::default();
        for tied in pairs.chunk_by(|a, b| a.0 == b.0) {
            let mut sums = [Sum::new(); C];
            for (_, weights) in tied {
                for (sum, &weight) in sums.iter_mut().zip(weights) {
                    sum.push(weight);
                }
            }
            // −0 + 0 is 0: both zeros are one value, and written as one.
            runs.values.push(tied[0].0 + 0.0);
            runs.weights.push(sums.map(|sum| sum.value()));
        }
        runs
    }

    /// Adds the values of another part of the data. O(distinct values of both).
    ///
    /// # Errors
    /// [`StatsError::Overflow`] when a total is no longer finite; `self` is unchanged then.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        let (ours, theirs) = (self.totals(), other.totals());
        if ours.iter().zip(&theirs).any(|(a, b)| !(a + b).is_finite()) {
            return Err(StatsError::Overflow { what: "the sum of the weights" });
        }
        *self = self.merged(other);
        Ok(())
    }

    fn merged(&self, other: &Self) -> Self {
        let mut merged = Self {
            values: Vec::with_capacity(self.len().max(other.len())),
            weights: Vec::with_capacity(self.len().max(other.len())),
        };
        let (mut left, mut right) = (self.iter().peekable(), other.iter().peekable());
        loop {
            let (value, weights) = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(&a), None) => {
                    left.next();
                    a
                }
                (None, Some(&b)) => {
                    right.next();
                    b
                }
                (Some(&a), Some(&b)) => {
                    if a.0 <= b.0 {
                        left.next();
                    }
                    if b.0 <= a.0 {
                        right.next();
                    }
                    if a.0 < b.0 {
                        a
                    } else if b.0 < a.0 {
                        b
                    } else {
                        (a.0, std::array::from_fn(|c| a.1[c] + b.1[c]))
                    }
                }
            };
            merged.values.push(value);
            merged.weights.push(weights);
        }
        merged
    }

    /// Takes all weight away; the values stay.
    pub(crate) fn clear_weights(&mut self) {
        self.weights.fill([0.0; C]);
    }

    /// The number of distinct values.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The values, ascending.
    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    /// The weights of each value.
    pub(crate) fn weights(&self) -> &[[f64; C]] {
        &self.weights
    }

    /// Values with their weights, ascending.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (f64, [f64; C])> + ExactSizeIterator {
        self.values.iter().copied().zip(self.weights.iter().copied())
    }

    /// The total of every column.
    pub(crate) fn totals(&self) -> [f64; C] {
        let mut sums = [Sum::new(); C];
        for weights in self.weights() {
            for (sum, &weight) in sums.iter_mut().zip(weights) {
                sum.push(weight);
            }
        }
        sums.map(|sum| sum.value())
    }
}

impl Runs<1> {
    /// The runs of values with one weight each; values and weights have been checked.
    pub(crate) fn of_one(values: &[f64], weight: impl Fn(usize) -> f64 + Sync, threads: Threads) -> Self {
        let parts = map_sorted(values, weight, threads, |part| {
            let mut runs =
                Self { values: Vec::with_capacity(part.len()), weights: Vec::with_capacity(part.len()) };
            for tied in part.chunk_by(|a, b| a.0 == b.0) {
                runs.values.push(tied[0].0 + 0.0);
                runs.weights.push([tied.iter().map(|(_, weight)| *weight).collect::<Sum>().value()]);
            }
            runs
        });
        Self::concatenated(parts)
    }
}

impl Runs<2> {
    /// The runs of rows of two classes. A row of weight w is carried as −w where it belongs to the first column and as w where
    /// it belongs to the second; a zero has its sign too. Values and weights have been checked. The same on any number of
    /// threads.
    pub(crate) fn of_signed(values: &[f64], signed: impl Fn(usize) -> f64 + Sync, threads: Threads) -> Self {
        let parts = map_sorted(values, signed, threads, |part| {
            let mut runs =
                Self { values: Vec::with_capacity(part.len()), weights: Vec::with_capacity(part.len()) };
            for (value, weights) in signed_ties(part) {
                runs.values.push(value);
                runs.weights.push(weights);
            }
            runs
        });
        Self::concatenated(parts)
    }

    /// The runs of rows of two classes that count alike. Values have been checked. The same on any number of threads.
    pub(crate) fn of_labelled(values: &[f64], labels: &[bool], threads: Threads) -> Self {
        let parts = map_labelled(values, labels, threads, Counted::of);
        let distinct = parts.iter().map(|part| part.distinct).sum();
        let mut whole = Self { values: vec![0.0; distinct], weights: vec![[0.0; 2]; distinct] };
        let (mut values, mut weights) = (whole.values.as_mut_slice(), whole.weights.as_mut_slice());
        let mut places = Vec::with_capacity(parts.len());
        for part in &parts {
            let (first, rest) = values.split_at_mut(part.distinct);
            let (own, others) = weights.split_at_mut(part.distinct);
            places.push(Mutex::new((part, first, own)));
            (values, weights) = (rest, others);
        }
        map(places.len(), threads, |index| {
            // Each place is visited once: nobody waits, and nothing is poisoned.
            if let Ok(mut place) = places[index].lock() {
                let (part, values, weights) = &mut *place;
                part.write(values, weights);
            }
        });
        drop(places);
        whole
    }
}

/// The keys of a part with the number of distinct values among them.
struct Counted {
    keys: Vec<u64>,
    below_zero: bool,
    distinct: usize,
}

impl Counted {
    fn of(part: LabelledPart<'_>) -> Self {
        let keys = part.keys().to_vec();
        let distinct = keys.windows(2).filter(|pair| pair[0] >> 1 != pair[1] >> 1).count() + 1;
        Self { keys, below_zero: part.below_zero(), distinct }
    }

    fn write(&self, values: &mut [f64], weights: &mut [[f64; 2]]) {
        let part = LabelledPart::new(&self.keys, self.below_zero);
        if self.keys.len() == values.len() {
            for ((&key, value), weights) in self.keys.iter().zip(values).zip(weights) {
                *value = part.value(key);
                let positive = (key & 1) as f64;
                *weights = [1.0 - positive, positive];
            }
            return;
        }
        let tied = self.keys.chunk_by(|a, b| a >> 1 == b >> 1);
        for ((tied, value), weights) in tied.zip(values).zip(weights) {
            *value = part.value(tied[0]);
            let positives = tied.iter().map(|key| key & 1).sum::<u64>();
            *weights = [(tied.len() as u64 - positives) as f64, positives as f64];
        }
    }
}

/// Each distinct value of a sorted part with the weights of both classes, told apart by their sign.
pub(crate) fn signed_ties(part: &[(f64, f64)]) -> impl Iterator<Item = (f64, [f64; 2])> {
    part.chunk_by(|a, b| a.0 == b.0).map(|tied| {
        // −0 + 0 is 0: both zeros are one value, and written as one.
        let value = tied[0].0 + 0.0;
        if let [(_, weight)] = tied {
            let weights = if weight.is_sign_negative() { [-weight, 0.0] } else { [0.0, *weight] };
            return (value, weights);
        }
        let mut sums = [Sum::new(); 2];
        for (_, weight) in tied {
            sums[usize::from(weight.is_sign_positive())].push(weight.abs());
        }
        (value, sums.map(|sum| sum.value()))
    })
}

impl<const C: usize> Runs<C> {
    fn concatenated(parts: Vec<Self>) -> Self {
        let distinct = parts.iter().map(Self::len).sum();
        let mut whole = Self { values: Vec::with_capacity(distinct), weights: Vec::with_capacity(distinct) };
        for part in parts {
            whole.values.extend_from_slice(&part.values);
            whole.weights.extend_from_slice(&part.weights);
        }
        whole
    }
}

impl<const C: usize> TryFrom<Stored> for Runs<C> {
    type Error = StatsError;

    fn try_from(stored: Stored) -> Result<Self, StatsError> {
        let rows = stored.values.len();
        crate::input::finite("values", &stored.values)?;
        if let Some(before) = stored.values.windows(2).position(|pair| pair[0] >= pair[1]) {
            return Err(StatsError::Unsorted { argument: "values", index: before + 1 });
        }
        if stored.weights.len() != C {
            let (left_len, right_len) = (stored.weights.len(), C);
            return Err(StatsError::LengthMismatch {
                left: "weights",
                left_len,
                right: "columns",
                right_len,
            });
        }
        for column in &stored.weights {
            match mlops_core::num::weights::total_for("weights", column, "values", rows) {
                Ok(_) | Err(StatsError::ZeroTotal { .. } | StatsError::Empty { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let weights = (0..rows).map(|row| std::array::from_fn(|c| stored.weights[c][row])).collect();
        Ok(Self { values: stored.values.iter().map(|value| value + 0.0).collect(), weights })
    }
}

impl<const C: usize> From<Runs<C>> for Stored {
    fn from(runs: Runs<C>) -> Self {
        let weights = (0..C).map(|c| runs.weights.iter().map(|weights| weights[c]).collect()).collect();
        Self { values: runs.values, weights }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(rows: usize, seed: usize) -> Vec<(f64, [f64; 2])> {
        let label = |row: usize| if (row * 7 + seed).is_multiple_of(3) { [0.0, 1.0] } else { [1.0, 0.0] };
        (0..rows).map(|row| (((row * 31 + seed) % 17) as f64 - 8.0, label(row))).collect()
    }

    #[test]
    fn parts_merge_into_the_whole() {
        let (a, b) = (pairs(5000, 1), pairs(300, 2));
        let mut merged = Runs::of(a.clone());
        merged.merge(&Runs::of(b.clone())).unwrap();
        assert_eq!(merged, Runs::of([a, b].concat()));
        assert_eq!(merged.len(), 17);
        assert_eq!(merged.totals().iter().sum::<f64>(), 5300.0);
    }

    #[test]
    fn both_zeros_are_one_value() {
        let runs = Runs::of(vec![(-0.0, [1.0]), (0.0, [2.0])]);
        assert_eq!(runs.iter().collect::<Vec<_>>(), [(0.0, [3.0])]);
        assert!(runs.values()[0].is_sign_positive());
    }

    #[test]
    fn what_is_read_back_is_checked() {
        let runs = Runs::of(pairs(100, 3));
        let text = serde_json::to_string(&runs).unwrap();
        assert_eq!(serde_json::from_str::<Runs<2>>(&text).unwrap(), runs);
        for bad in [
            r#"{"values":[2.0,1.0],"weights":[[1,1],[0,0]]}"#,
            r#"{"values":[1.0,1.0],"weights":[[1,1],[0,0]]}"#,
            r#"{"values":[1.0],"weights":[[1]]}"#,
            r#"{"values":[1.0],"weights":[[1],[-1]]}"#,
            r#"{"values":[1.0],"weights":[[1],[]]}"#,
            r#"{"values":[1.0,2.0],"weights":[[1e308,1e308],[0,0]]}"#,
        ] {
            assert!(serde_json::from_str::<Runs<2>>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_merge_that_overflows_changes_nothing() {
        let mut runs = Runs::of(vec![(1.0, [f64::MAX])]);
        let before = runs.clone();
        assert!(runs.merge(&before).is_err());
        assert_eq!(runs, before);
    }
}
