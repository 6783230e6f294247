//! Two samples as two rows of counts over their distinct values: what the tests on categories start from.

use std::collections::BTreeMap;

use mlops_core::num::{NanPolicy, StatsError};

use crate::bins::Missing;
use crate::sample::{Sample, Side, Value};
use crate::two::{Blocks, Sides, Two};

/// Counts per level, and what became of the values.
#[derive(Debug)]
pub(crate) struct Levels {
    pub(crate) reference: Vec<u64>,
    pub(crate) current: Vec<u64>,
    pub(crate) sides: Sides,
}

impl Levels {
    /// Every distinct value is a level, in ascending order; what is missing is the last one under [`Missing::Cell`].
    pub(crate) fn of_values<'a, 'b, T: Value>(
        reference: impl Into<Sample<'a, T>>,
        current: impl Into<Sample<'b, T>>,
        missing: Missing,
    ) -> Result<Self, StatsError> {
        let nan = if missing == Missing::Raise { NanPolicy::Raise } else { NanPolicy::Omit };
        let (reference, current) = (reference.into(), current.into());
        let two = match Two::new(reference, current, nan) {
            // A side with nothing but missing values is a side with one level.
            Err(StatsError::AllMissing { .. }) if missing == Missing::Cell => {
                return Ok(Self::with_nothing(&reference, &current));
            }
            two => two?,
        };
        let (a, b) = two.sorted_keys();
        Ok(Self::new(Blocks::new(&a, &b), two.sides, missing))
    }

    /// The levels where a side has no value that is present.
    fn with_nothing<T: Value>(reference: &Sample<'_, T>, current: &Sample<'_, T>) -> Self {
        let present = |sample: &Sample<'_, T>| {
            let mut keys: Vec<u64> =
                sample.iter().filter(|value| !value.is_nan()).map(|value| value.key()).collect();
            keys.sort_unstable();
            let infinite = sample.iter().filter(|value| !value.is_nan() && !value.is_finite()).count() as u64;
            let (rows, used) = (sample.len() as u64, keys.len() as u64);
            (keys, Side { rows, used, missing: rows - used, infinite, unseen: 0 })
        };
        let ((a, reference), (b, current)) = (present(reference), present(current));
        Self::new(Blocks::new(&a, &b), Sides { reference, current }, Missing::Cell)
    }

    /// Every distinct text is a level, in the order of its bytes; `None` is missing, and an error under no policy.
    pub(crate) fn of_text<'a>(
        reference: impl IntoIterator<Item = Option<&'a str>>,
        current: impl IntoIterator<Item = Option<&'a str>>,
        missing: Missing,
    ) -> Result<Self, StatsError> {
        let mut levels: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let (mut reference_side, mut current_side) = (Side::default(), Side::default());
        for value in reference {
            count(&mut reference_side, value, |text| levels.entry(text).or_default().0 += 1);
        }
        for value in current {
            count(&mut current_side, value, |text| levels.entry(text).or_default().1 += 1);
        }
        for (argument, side) in [("reference", &reference_side), ("current", &current_side)] {
            if side.rows == 0 {
                return Err(StatsError::Empty { argument });
            }
            if side.used == 0 && missing != Missing::Cell {
                return Err(StatsError::AllMissing { argument });
            }
        }
        let sides = Sides { reference: reference_side, current: current_side };
        Ok(Self::new(levels.into_values(), sides, missing))
    }

    fn new(levels: impl Iterator<Item = (u64, u64)>, mut sides: Sides, missing: Missing) -> Self {
        let (mut reference, mut current): (Vec<u64>, Vec<u64>) = levels.unzip();
        let new_levels = reference.iter().zip(&current).filter(|(known, _)| **known == 0);
        sides.current.unseen = new_levels.map(|(_, count)| count).sum();
        if missing == Missing::Cell {
            reference.push(sides.reference.missing);
            current.push(sides.current.missing);
            sides.reference.used = sides.reference.rows;
            sides.current.used = sides.current.rows;
        }
        Self { reference, current, sides }
    }
}

fn count<'a>(side: &mut Side, value: Option<&'a str>, mut into: impl FnMut(&'a str)) {
    side.rows += 1;
    match value {
        Some(text) => {
            side.used += 1;
            into(text);
        }
        None => side.missing += 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_texts_become_the_same_rows() {
        let values = Levels::of_values(&[3_i64, 1, 1], &[2, 3, 3, 9], Missing::Raise).unwrap();
        let texts = |x: &'static [&'static str]| x.iter().copied().map(Some);
        let text =
            Levels::of_text(texts(&["c", "a", "a"]), texts(&["b", "c", "c", "z"]), Missing::Raise).unwrap();
        for levels in [values, text] {
            assert_eq!((&levels.reference[..], &levels.current[..]), (&[2, 0, 1, 0][..], &[0, 1, 2, 1][..]));
            assert_eq!((levels.sides.current.used, levels.sides.current.unseen), (4, 2));
        }
    }

    #[test]
    fn what_is_missing_can_be_a_level() {
        let nan = f64::NAN;
        let levels = Levels::of_values(&[1.0, nan], &[nan, nan], Missing::Cell).unwrap();
        assert_eq!((&levels.reference[..], &levels.current[..]), (&[1, 1][..], &[0, 2][..]));
        let levels = Levels::of_text([None], [Some("a"), None], Missing::Cell).unwrap();
        assert_eq!((&levels.reference[..], &levels.current[..]), (&[0, 1][..], &[1, 1][..]));
        let refused = Levels::of_text([None], [Some("a")], Missing::Omit).err();
        assert_eq!(refused, Some(StatsError::AllMissing { argument: "reference" }));
    }
}
