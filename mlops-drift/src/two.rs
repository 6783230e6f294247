//! Two samples of values, with what is missing left out: what the tests on values start from.

use std::borrow::Cow;

use mlops_core::num::{Measured, NanPolicy, StatsError, UndefinedReason};

use crate::sample::{Sample, Side, Value};

/// The values of two samples that are present.
#[derive(Debug)]
pub(crate) struct Two<'a, 'b, T: Value> {
    pub(crate) reference: Cow<'a, [T]>,
    pub(crate) current: Cow<'b, [T]>,
    pub(crate) sides: Sides,
    /// Why nothing can be said: a NaN under [`NanPolicy::Propagate`].
    pub(crate) undefined: Option<Measured>,
}

/// What became of the values of both samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sides {
    pub(crate) reference: Side,
    pub(crate) current: Side,
}

impl Sides {
    /// The sides of counts or sorted values, of which nothing is left out.
    pub(crate) fn whole(n: u64, m: u64) -> Self {
        let side = |rows| Side { rows, used: rows, missing: 0, infinite: 0, unseen: 0 };
        Self { reference: side(n), current: side(m) }
    }

    /// The sides of two sorted slices.
    pub(crate) fn sorted<T: Value>(reference: &[T], current: &[T]) -> Self {
        let side = |values: &[T]| {
            let infinite = values.iter().filter(|value| !value.is_finite()).count() as u64;
            let rows = values.len() as u64;
            Side { rows, used: rows, missing: 0, infinite, unseen: 0 }
        };
        Self { reference: side(reference), current: side(current) }
    }
}

impl<'a, 'b, T: Value> Two<'a, 'b, T> {
    pub(crate) fn new(
        reference: impl Into<Sample<'a, T>>,
        current: impl Into<Sample<'b, T>>,
        nan: NanPolicy,
    ) -> Result<Self, StatsError> {
        let (reference, current) = (reference.into(), current.into());
        let (a, a_side) = reference.present("reference", nan)?;
        let (b, b_side) = current.present("current", nan)?;
        let propagate = nan == NanPolicy::Propagate && (reference.has_nan() || current.has_nan());
        let undefined = propagate.then(|| {
            let rows = reference.len() + current.len();
            Measured::none(UndefinedReason::NanInput, a.len() + b.len(), rows)
        });
        if undefined.is_none() {
            for (argument, values) in [("reference", a.len()), ("current", b.len())] {
                if values == 0 {
                    return Err(StatsError::AllMissing { argument });
                }
            }
        }
        Ok(Self { reference: a, current: b, sides: Sides { reference: a_side, current: b_side }, undefined })
    }

    /// The keys of both sides, each in ascending order.
    pub(crate) fn sorted_keys(&self) -> (Vec<u64>, Vec<u64>) {
        (sorted_keys(&self.reference), sorted_keys(&self.current))
    }

    /// Refuses infinite values, for statistics that calculate with them.
    pub(crate) fn finite(&self) -> Result<(), StatsError> {
        for (argument, values) in [("reference", &self.reference), ("current", &self.current)] {
            if let Some((index, value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
                return Err(StatsError::NotFinite { argument, index, value: value.to_f64() });
            }
        }
        Ok(())
    }
}

fn sorted_keys<T: Value>(values: &[T]) -> Vec<u64> {
    let mut keys: Vec<u64> = values.iter().map(|value| value.key()).collect();
    keys.sort_unstable();
    keys
}

/// Checks that a slice is not empty, has no NaN and ascends.
pub(crate) fn check_sorted<T: Value>(argument: &'static str, values: &[T]) -> Result<(), StatsError> {
    if values.is_empty() {
        return Err(StatsError::Empty { argument });
    }
    if let Some(index) = values.iter().position(|value| value.is_nan()) {
        return Err(StatsError::Nan { argument, index });
    }
    match values.windows(2).position(|pair| pair[0] > pair[1]) {
        Some(index) => Err(StatsError::Unsorted { argument, index: index + 1 }),
        None => Ok(()),
    }
}

/// How many values of either side equal each distinct value of the pooled sample, ascending: all that a rank test sees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocks<'a, T> {
    reference: &'a [T],
    current: &'a [T],
}

impl<'a, T: Value> Blocks<'a, T> {
    /// Both slices ascend and have no NaN.
    pub(crate) fn new(reference: &'a [T], current: &'a [T]) -> Self {
        Self { reference, current }
    }
}

impl<T: Value> Iterator for Blocks<'_, T> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        let next = match (self.reference.first(), self.current.first()) {
            (Some(x), Some(y)) => x.key().min(y.key()),
            (Some(x), None) => x.key(),
            (None, Some(y)) => y.key(),
            (None, None) => return None,
        };
        let take = |values: &mut &[T]| {
            let run = values.iter().take_while(|value| value.key() == next).count();
            *values = &values[run..];
            run as u64
        };
        Some((take(&mut self.reference), take(&mut self.current)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_every_value_once() {
        let blocks: Vec<_> = Blocks::new(&[-0.0, 1.0, 1.0, 4.0], &[0.0, 2.0, 4.0, 4.0, 9.0]).collect();
        assert_eq!(blocks, [(1, 1), (2, 0), (0, 1), (1, 2), (0, 1)]);
        assert_eq!(Blocks::<i64>::new(&[], &[]).count(), 0);
    }

    #[test]
    fn a_nan_can_be_an_error_or_nothing_or_no_answer() {
        let (a, b) = ([1.0, f64::NAN], [2.0]);
        assert!(matches!(Two::new(&a, &b, NanPolicy::Raise), Err(StatsError::Nan { index: 1, .. })));
        let omitted = Two::new(&a, &b, NanPolicy::Omit).unwrap();
        assert_eq!((omitted.reference.len(), omitted.sides.reference.missing), (1, 1));
        assert!(omitted.undefined.is_none());
        assert!(Two::new(&a, &b, NanPolicy::Propagate).unwrap().undefined.is_some());
        let nothing = Two::new(&[f64::NAN], &b, NanPolicy::Omit);
        assert_eq!(nothing.err(), Some(StatsError::AllMissing { argument: "reference" }));
    }
}
