//! From the columns of a table to the numbers that an imported model sees.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::ensemble::narrow;
use crate::data::{Column, DataType, Table, Values};
use crate::error::{Error, Result, quote};
use crate::model::Feature;

/// One column that a model takes from a table.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) levels: Levels,
}

/// What the values of an input are.
#[derive(Clone, Debug)]
pub(super) enum Levels {
    /// Numbers as they are.
    None,
    /// Texts, each with its code; another is missing.
    Text(BTreeMap<String, f64>),
    /// Numbers, ascending, each with its code; another is missing.
    Numbers(Vec<(f64, f64)>),
}

impl Levels {
    /// Levels with their places as codes. None for one that comes twice.
    pub(super) fn text(levels: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut all = BTreeMap::new();
        for (code, level) in levels.into_iter().enumerate() {
            if all.insert(level, code as f64).is_some() {
                return None;
            }
        }
        Some(Self::Text(all))
    }

    /// Numbers with their places as codes. None for one that comes twice, or is none.
    pub(super) fn numbers(levels: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut all: Vec<(f64, f64)> =
            levels.into_iter().enumerate().map(|(code, level)| (level, code as f64)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let good =
            all.iter().all(|(level, _)| !level.is_nan()) && all.windows(2).all(|pair| pair[0].0 < pair[1].0);
        good.then_some(Self::Numbers(all))
    }
}

impl Input {
    /// An input of numbers.
    pub(super) fn number(name: impl Into<String>) -> Self {
        Self { name: name.into(), levels: Levels::None }
    }

    pub(super) fn feature(&self, nullable: bool) -> Feature {
        let data_type =
            if matches!(self.levels, Levels::Text(_)) { DataType::Category } else { DataType::F64 };
        Feature { nullable, ..Feature::required(&self.name, data_type) }
    }

    /// The input's numbers, NaN where they are missing.
    pub(super) fn read<'c>(&self, rows: &'c Table<'_>) -> Result<Cow<'c, [f64]>> {
        let column = rows.column(&self.name)?;
        match &self.levels {
            Levels::None => column.to_f64(),
            Levels::Text(levels) => self.codes(column, levels).map(Cow::Owned),
            Levels::Numbers(levels) => {
                let code = |x: &f64| {
                    let at = levels.partition_point(|(level, _)| level < x);
                    levels.get(at).filter(|(level, _)| level == x).map_or(f64::NAN, |(_, code)| *code)
                };
                Ok(column.to_f64()?.iter().map(code).collect())
            }
        }
    }

    fn codes(&self, column: &Column<'_>, levels: &BTreeMap<String, f64>) -> Result<Vec<f64>> {
        let Values::Category { codes, levels: theirs } = column.values() else {
            let error = Error::invalid("Predictor::predict", "rows", "the model needs categories here");
            return Err(error.with("column", &self.name));
        };
        // Their codes to ours, once.
        let ours: Vec<f64> =
            theirs.iter().map(|level| levels.get(level).copied().unwrap_or(f64::NAN)).collect();
        let code = |(row, code): (usize, &u32)| match usize::try_from(*code) {
            Ok(code) if column.is_valid(row) => ours.get(code).copied().unwrap_or(f64::NAN),
            _ => f64::NAN,
        };
        Ok(codes.iter().enumerate().map(code).collect())
    }
}

/// Refuses inputs without a name, or with one that comes twice.
pub(super) fn check(inputs: &[Input]) -> Result<(), String> {
    let mut seen = std::collections::HashSet::new();
    match inputs.iter().find(|input| input.name.is_empty() || !seen.insert(&input.name)) {
        Some(bad) => Err(format!("the feature {} comes twice or has no name", quote(&bad.name))),
        None => Ok(()),
    }
}

/// What is done with one number.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// Rounded to single precision.
    Narrow,
    /// (x − center) / scale.
    Standard { center: f64, scale: f64 },
    /// x · factor + offset.
    Linear { factor: f64, offset: f64 },
    /// (x − offset) · factor, in single precision.
    NarrowScale { offset: f64, factor: f64 },
    /// The value where x is missing.
    Fill(f64),
    /// x within the bounds.
    Clip { low: f64, high: f64 },
    /// 1 where x is the value, else 0; missing: 0, or 1 if the value is NaN.
    Equals(f64),
    /// The value beside the key that x is, ascending by key; else the default.
    Lookup { pairs: Vec<(f64, f64)>, default: f64 },
}

impl Change {
    fn of(&self, x: f64) -> f64 {
        match self {
            Self::Narrow => narrow(x),
            Self::Standard { center, scale } => (x - center) / scale,
            Self::Linear { factor, offset } => x * factor + offset,
            Self::NarrowScale { offset, factor } => narrow(narrow(narrow(x) - offset) * factor),
            Self::Fill(value) if x.is_nan() => *value,
            Self::Fill(_) => x,
            Self::Clip { low, high } => {
                if x < *low {
                    *low
                } else if x > *high {
                    *high
                } else {
                    x
                }
            }
            Self::Equals(value) => f64::from(u8::from(x == *value || (x.is_nan() && value.is_nan()))),
            Self::Lookup { pairs, default } => {
                let at = pairs.partition_point(|(key, _)| *key < x);
                pairs.get(at).filter(|(key, _)| *key == x).map_or(*default, |(_, value)| *value)
            }
        }
    }
}

/// One number that a model sees: an input, and what is done with it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Derived {
    pub(super) input: usize,
    pub(super) changes: Vec<Change>,
}

impl Derived {
    /// The input as it is.
    pub(super) fn plain(input: usize) -> Self {
        Self { input, changes: Vec::new() }
    }

    /// With one more change.
    #[must_use]
    pub(super) fn then(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// The number for one value of the input.
    pub(super) fn of(&self, x: f64) -> f64 {
        self.changes.iter().fold(x, |x, change| change.of(x))
    }
}

/// By what a row is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Norm {
    Max,
    L1,
    L2,
}

impl Norm {
    /// Divides a row by its norm, in single precision; a row of zeros stays one.
    pub(super) fn apply(self, row: &mut [f64]) {
        let norm = match self {
            Self::Max => row.iter().fold(f64::NEG_INFINITY, |most, x| most.max(*x)),
            Self::L1 => row.iter().map(|x| x.abs()).sum(),
            Self::L2 => row.iter().map(|x| x * x).sum::<f64>().sqrt(),
        };
        if norm != 0.0 {
            for x in row {
                *x = narrow(*x / norm);
            }
        }
    }
}
