//! Columns that drift by nature, and are watched only where they are named.

use mlops_core::data::{Column, Values};
use mlops_core::monitor::UnwatchedFeature;

/// Of times.
pub(super) const TIMES: &str = "times go on: they are other ones in any other rows";

/// How much likelier a repetition was than none, as a natural logarithm, where integers without one are a counter: 10⁶.
const STRIKING: f64 = 13.815_510_557_964_274;

/// How many names a sentence has.
const SHOWN: usize = 5;

/// Why a column of integers is not watched: they are numbered, as [`Detector`](super::Detector) says. At least `least` must be present.
pub(super) fn numbered(column: &Column<'_>, least: u64) -> Option<String> {
    let Values::I64(values) = column.values() else { return None };
    let present =
        || values.iter().enumerate().filter(|(row, _)| column.is_valid(*row)).map(|(_, value)| *value);
    let (low, high) = (present().min()?, present().max()?);
    let (n, range) = (present().count() as f64, high.abs_diff(low) as f64 + 1.0);
    // With fewer numbers than values one must repeat.
    if n < least as f64 || range < n || n * (n - 1.0) / (2.0 * range) < STRIKING {
        return None;
    }
    let mut sorted: Vec<i64> = present().collect();
    sorted.sort_unstable();
    sorted.windows(2).all(|pair| pair[0] != pair[1]).then(|| {
        format!("{n} integers from {low} to {high} without a repetition: a counter, which goes on in any other rows")
    })
}

/// Why levels with these counts in the reference are not watched: most occur once, as [`Detector`](super::Detector) says.
pub(super) fn identifiers(counts: &[u64], least: u64) -> Option<String> {
    let (n, once) = (counts.iter().sum::<u64>(), counts.iter().filter(|count| **count == 1).count() as u64);
    let most = n >= least.max(1) && once >= n.div_ceil(2);
    most.then(|| {
        format!("{once} of {n} values occur once: identifiers, most of which are new in any other rows")
    })
}

/// The first names, for a sentence; `None` where there are none.
pub(super) fn named(unwatched: &[UnwatchedFeature]) -> Option<String> {
    let mut names: Vec<&str> = unwatched.iter().map(|column| column.feature.as_str()).take(SHOWN).collect();
    if unwatched.len() > SHOWN {
        names.push("…");
    }
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use mlops_core::num::Random;

    use super::*;

    fn integers(values: Vec<i64>) -> Option<String> {
        numbered(&Column::i64("n", values).unwrap(), 30)
    }

    #[test]
    fn counters_are_told_from_integers_that_happen_to_differ() {
        assert!(integers((0..400).collect()).is_some());
        assert!(integers((0..400).map(|i| (i * 7_919) % 400 - 1_000).collect()).is_some(), "in any order");
        assert!(integers((0..30).collect()).is_some());
        // One repetition, too few values, or so many numbers to choose from that none need repeat.
        assert!(integers((0..400).map(|i| i.min(398)).collect()).is_none());
        assert!(integers((0..29).collect()).is_none());
        assert!(integers((0..400).map(|i| i * 1_000).collect()).is_none());
        assert!(integers(vec![i64::MIN, i64::MAX]).is_none());
        assert!(integers(vec![]).is_none());
    }

    #[test]
    fn integers_drawn_from_a_range_are_watched() {
        // 400 of 20 000: a run of 400 draws has no repetition with a probability of 0.02.
        let (mut random, numbers) = (Random::new(7), NonZeroU64::new(20_000).unwrap());
        let mut draw = || i64::try_from(random.below(numbers)).unwrap();
        let found = (0..200).filter(|_| integers((0..400).map(|_| draw()).collect()).is_some()).count();
        assert_eq!(found, 0);
    }

    #[test]
    fn levels_most_of_which_occur_once_are_identifiers() {
        assert!(identifiers(&[1; 40], 30).is_some());
        assert!(identifiers(&[&[1; 20][..], &[20]].concat(), 30).is_some());
        assert!(identifiers(&[&[1; 19][..], &[21]].concat(), 30).is_none());
        assert!(identifiers(&[1; 29], 30).is_none());
        assert!(identifiers(&[2; 400], 30).is_none());
        assert!(identifiers(&[], 0).is_none());
    }

    #[test]
    fn a_sentence_names_the_first_ones() {
        let of = |names: &[&str]| {
            let unwatched = names.iter().map(|name| UnwatchedFeature::new(*name, ""));
            named(&unwatched.collect::<Vec<_>>())
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["a", "b"]).as_deref(), Some("a, b"));
        assert_eq!(of(&["a", "b", "c", "d", "e", "f"]).as_deref(), Some("a, b, c, d, e, …"));
    }
}
