//! How many different values a column has: counted as long as there are few, estimated then.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::data::validate::Seed;

use super::hash;

/// 2¹⁴ registers: a standard error of 1.04/√2¹⁴, 0.81 %.
const BITS: u32 = 14;

/// A HyperLogLog sketch with the estimator of Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (2017,
/// arXiv:1702.01284, algorithm 6), which has no range in which it is biased. The same set gives the same registers in every order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Registers(Vec<u8>);

impl Registers {
    pub(super) fn new() -> Self {
        Self(vec![0; 1 << BITS])
    }

    pub(super) fn insert(&mut self, hash: u64) {
        let index = (hash >> (64 - BITS)) as usize;
        let rank = (hash << BITS | 1 << (BITS - 1)).leading_zeros() + 1;
        if let Some(register) = self.0.get_mut(index) {
            *register = (*register).max(u8::try_from(rank).unwrap_or(u8::MAX));
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
    }

    pub(super) fn estimate(&self) -> f64 {
        const Q: usize = 64 - BITS as usize;
        let m = self.0.len() as f64;
        let mut counts = [0.0; Q + 2];
        for register in &self.0 {
            if let Some(count) = counts.get_mut(usize::from(*register)) {
                *count += 1.0;
            }
        }
        let mut z = m * tau(1.0 - counts[Q + 1] / m);
        for count in counts.iter().take(Q + 1).skip(1).rev() {
            z = 0.5 * (z + count);
        }
        z += m * sigma(counts[0] / m);
        m * m / (2.0 * std::f64::consts::LN_2 * z)
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// The different values of a column: each with its count as long as they are few.
#[derive(Clone, Debug)]
pub(super) enum Different<K> {
    Counted(HashMap<K, u64, Seed>),
    Estimated(Registers),
}

/// A value that can be counted.
pub(super) trait Countable: Eq + std::hash::Hash + Clone {
    fn hash64(&self) -> u64;
}

impl Countable for u64 {
    fn hash64(&self) -> u64 {
        hash::mix(self ^ 0x517c_c1b7_2722_0a95)
    }
}

impl Countable for String {
    fn hash64(&self) -> u64 {
        hash::text(self)
    }
}

impl<K: Countable> Different<K> {
    pub(super) fn new() -> Self {
        Self::Counted(HashMap::default())
    }

    /// Adds a value that comes `times` times. `own` is made only where the value is new.
    pub(super) fn add<Q>(
        &mut self,
        value: &Q,
        times: u64,
        limit: usize,
        hash: impl FnOnce() -> u64,
        own: impl FnOnce() -> K,
    ) where
        Q: ?Sized + Eq + std::hash::Hash,
        K: std::borrow::Borrow<Q>,
    {
        match self {
            Self::Counted(counts) => {
                if let Some(count) = counts.get_mut(value) {
                    *count += times;
                } else {
                    counts.insert(own(), times);
                    if counts.len() > limit {
                        self.give_up();
                    }
                }
            }
            Self::Estimated(registers) => registers.insert(hash()),
        }
    }

    fn give_up(&mut self) {
        let Self::Counted(counts) = self else { return };
        let mut registers = Registers::new();
        counts.keys().for_each(|key| registers.insert(key.hash64()));
        *self = Self::Estimated(registers);
    }

    pub(super) fn merge(&mut self, other: &Self, limit: usize) {
        match other {
            Self::Counted(theirs) => {
                for (key, times) in theirs {
                    self.add(key, *times, limit, || key.hash64(), || key.clone());
                }
            }
            Self::Estimated(theirs) => {
                self.give_up();
                if let Self::Estimated(mine) = self {
                    mine.merge(theirs);
                }
            }
        }
    }
}

/// The same as it is written: values in ascending order, or two hexadecimal digits a register.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DifferentWire<K> {
    Counted(Vec<(K, u64)>),
    Estimated(String),
}

impl<K: Countable + Ord> Different<K> {
    pub(super) fn to_wire(&self) -> DifferentWire<K> {
        match self {
            Self::Counted(counts) => {
                let mut all: Vec<(K, u64)> =
                    counts.iter().map(|(key, times)| (key.clone(), *times)).collect();
                all.sort_unstable();
                DifferentWire::Counted(all)
            }
            Self::Estimated(registers) => {
                DifferentWire::Estimated(registers.0.iter().map(|rank| format!("{rank:02x}")).collect())
            }
        }
    }

    /// What was written, of so many values, up to `limit` different ones; `None` for what is never written.
    pub(super) fn from_wire(wire: DifferentWire<K>, count: u64, limit: usize) -> Option<Self> {
        match wire {
            DifferentWire::Counted(all) => {
                let total: u128 = all.iter().map(|(_, times)| u128::from(*times)).sum();
                let good = all.len() <= limit
                    && total <= u128::from(count)
                    && all.iter().all(|(_, times)| *times > 0)
                    && all.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a < b));
                good.then(|| Self::Counted(all.into_iter().collect()))
            }
            DifferentWire::Estimated(text) => {
                if text.len() != 2 << BITS || !text.is_ascii() {
                    return None;
                }
                let rank = |at: usize| {
                    let rank = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
                    (u32::from(rank) <= 64 - BITS + 1).then_some(rank)
                };
                let registers = (0..1 << BITS).map(rank).collect::<Option<Vec<u8>>>()?;
                Some(Self::Estimated(Registers(registers)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The relative standard error of an estimate.
    const ERROR: f64 = 0.008_125;

    #[test]
    fn estimates_lie_within_four_standard_errors_for_every_size() {
        let mut registers = Registers::new();
        let mut next = 0_u64;
        for size in [1_u64, 10, 1_000, 20_000, 40_000, 60_000, 100_000, 1_000_000] {
            while next < size {
                registers.insert(next.hash64());
                next += 1;
            }
            let off = registers.estimate() / size as f64 - 1.0;
            assert!(off.abs() < 4.0 * ERROR, "{size}: {off}");
        }
    }

    #[test]
    fn texts_that_differ_little_are_different() {
        let mut different = Different::new();
        for i in 0..200_000 {
            let text = format!("patient-{i}");
            different.add(text.as_str(), 1, 100, || hash::text(&text), || text.clone());
        }
        let Different::Estimated(registers) = different else { panic!("counted") };
        assert!((registers.estimate() / 200_000.0 - 1.0).abs() < 4.0 * ERROR);
    }

    #[test]
    fn merged_parts_are_the_whole_whichever_part_gave_up() {
        let fill = |range: std::ops::Range<u64>| {
            let mut different = Different::<u64>::new();
            range.for_each(|x| different.add(&x, 1, 100, || x.hash64(), || x));
            different
        };
        let Different::Estimated(whole) = fill(0..300) else { panic!("counted") };
        for (mut a, b) in
            [(fill(0..60), fill(60..300)), (fill(0..250), fill(200..300)), (fill(0..90), fill(90..180))]
        {
            a.merge(&b, 100);
            let Different::Estimated(merged) = &a else { panic!("counted") };
            if merged != &whole {
                let Different::Estimated(expected) = fill(0..180) else { panic!("counted") };
                assert_eq!(merged, &expected);
            }
        }
    }
}
