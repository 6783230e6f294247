//! What is counted of a column of numbers.

use mlops_core::num::json_float;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::grid::Grid;
use super::moments::{Moments, Unit};
use super::{DistinctSketch, ProfileOptions, QuantileSketch};

/// A column of numbers, counted on the [`Grid`] of its reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumericProfile {
    pub(super) cells: Vec<u64>,
    pub(super) detail: Option<Box<NumericDetail>>,
}

/// What cells do not tell; unknown where a database counted nothing but cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumericDetail {
    pub(super) infinite: u64,
    pub(super) range: Option<Extremes>,
    pub(super) moments: Moments,
    pub(super) distinct: Option<DistinctSketch>,
    pub(super) quantiles: Option<QuantileSketch>,
}

/// The smallest and the largest value that is not NaN.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extremes {
    /// The smallest value; may be −∞.
    #[serde(with = "json_float")]
    pub min: f64,
    /// The largest value; may be +∞.
    #[serde(with = "json_float")]
    pub max: f64,
}

impl NumericProfile {
    pub(super) fn empty(grid: &Grid, options: &ProfileOptions) -> Result<Self> {
        let detail = NumericDetail {
            infinite: 0,
            range: None,
            moments: Moments::default(),
            distinct: options.distinct.map(DistinctSketch::new).transpose()?,
            quantiles: options.quantiles.map(QuantileSketch::new).transpose()?,
        };
        Ok(Self { cells: vec![0; grid.len()], detail: Some(Box::new(detail)) })
    }

    /// The counts, in the order of the [`Grid`].
    pub fn cells(&self) -> &[u64] {
        &self.cells
    }

    /// How many values are there and are not NaN.
    pub fn present(&self) -> u64 {
        self.cells.iter().rev().skip(2).sum()
    }

    /// How many values are NaN or absent.
    pub fn missing(&self) -> u64 {
        self.cells.iter().rev().take(2).sum()
    }

    /// How many values are infinite; `None` where only cells were counted.
    pub fn infinite(&self) -> Option<u64> {
        self.detail.as_ref().map(|detail| detail.infinite)
    }

    /// The extremes; `None` without values and where only cells were counted.
    pub fn extremes(&self) -> Option<Extremes> {
        self.detail.as_ref().and_then(|detail| detail.range)
    }

    /// The sketch of distinct values, where one is kept.
    pub fn distinct(&self) -> Option<&DistinctSketch> {
        self.detail.as_ref().and_then(|detail| detail.distinct.as_ref())
    }

    /// The sketch of quantiles, where one is kept.
    pub fn quantiles(&self) -> Option<&QuantileSketch> {
        self.detail.as_ref().and_then(|detail| detail.quantiles.as_ref())
    }

    /// Counts values that are there.
    pub(super) fn push(&mut self, grid: &Grid, unit: Unit, values: &[f64]) {
        grid.count(&mut self.cells, values);
        let Some(detail) = &mut self.detail else { return };
        for &value in values {
            if value.is_nan() {
                continue;
            }
            detail.infinite += u64::from(value.is_infinite());
            let value = value + 0.0; // −0.0 becomes 0.0
            let range = detail.range.get_or_insert(Extremes { min: value, max: value });
            *range = Extremes { min: range.min.min(value), max: range.max.max(value) };
            detail.moments.push(value, unit);
        }
        if let Some(distinct) = &mut detail.distinct {
            values.iter().for_each(|&value| distinct.push(value));
        }
        if let Some(quantiles) = &mut detail.quantiles {
            values.iter().for_each(|&value| quantiles.push(value));
        }
    }

    pub(crate) fn cell_mut(&mut self, index: usize) -> Option<&mut u64> {
        self.cells.get_mut(index)
    }

    pub(super) fn push_absent(&mut self, count: u64) {
        if let Some(last) = self.cells.last_mut() {
            *last += count;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) -> Result<()> {
        add(&mut self.cells, &other.cells)?;
        self.detail = match (self.detail.take(), &other.detail) {
            (Some(mut mine), Some(more)) => {
                mine.merge(more)?;
                Some(mine)
            }
            _ => None,
        };
        Ok(())
    }

    pub(super) fn check(&self, grid: &Grid, rows: u64) -> Option<&'static str> {
        if self.cells.len() != grid.len() {
            return Some("has not the cells of its grid");
        }
        let Some(detail) = &self.detail else { return total(&self.cells, rows) };
        let finite = self.present().checked_sub(detail.infinite);
        if finite != Some(detail.moments.count()) {
            return Some("has moments of another number of values");
        }
        let range = detail.range.map(|range| (range.min, range.max));
        let consistent = match range {
            None => self.present() == 0,
            Some((min, max)) => {
                let first = self.cells.iter().position(|&count| count > 0);
                let last = self.cells.iter().take(grid.overflow() + 1).rposition(|&count| count > 0);
                min <= max && first == Some(grid.index_of(min)) && last == Some(grid.index_of(max))
            }
        };
        if !consistent {
            return Some("has extremes outside its occupied cells");
        }
        if detail.quantiles.as_ref().is_some_and(|sketch| sketch.count() != self.present()) {
            return Some("has a quantile sketch of another number of values");
        }
        total(&self.cells, rows)
    }
}

impl NumericDetail {
    fn merge(&mut self, other: &Self) -> Result<()> {
        let infinite = self.infinite.checked_add(other.infinite).ok_or_else(too_many)?;
        self.moments.merge(&other.moments).ok_or_else(too_many)?;
        self.infinite = infinite;
        self.range = match (self.range, other.range) {
            (Some(a), Some(b)) => Some(Extremes { min: a.min.min(b.min), max: a.max.max(b.max) }),
            (one, None) | (None, one) => one,
        };
        if let (Some(mine), Some(more)) = (&mut self.distinct, &other.distinct) {
            mine.merge(more)?;
        }
        if let (Some(mine), Some(more)) = (&mut self.quantiles, &other.quantiles) {
            mine.merge(more)?;
        }
        Ok(())
    }
}

/// The most rows a profile counts: 2⁶². Products of two totals then fit 128 bits.
pub(super) const MAX_ROWS: u64 = 1 << 62;

pub(super) fn too_many() -> Error {
    Error::limit("Profile::merge", "the rows of a profile", MAX_ROWS, "more")
}

/// Adds counts cell by cell.
pub(super) fn add(mine: &mut [u64], more: &[u64]) -> Result<()> {
    if mine.len() != more.len() {
        return Err(Error::invalid("Profile::merge", "other", "has other cells"));
    }
    for (count, more) in mine.iter_mut().zip(more) {
        *count = count.checked_add(*more).ok_or_else(too_many)?;
    }
    Ok(())
}

/// What is wrong when the cells do not add up to the rows.
pub(super) fn total(cells: &[u64], rows: u64) -> Option<&'static str> {
    let total = cells.iter().try_fold(0_u64, |sum, &count| sum.checked_add(count));
    (total != Some(rows)).then_some("has cells that do not add up to the rows")
}
