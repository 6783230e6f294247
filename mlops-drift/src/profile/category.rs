//! What is counted of a column of categories.

use mlops_core::Result;
use serde::{Deserialize, Serialize};

use super::numeric::{add, total};
use super::{DistinctSketch, FrequentSketch, ProfileOptions};
use crate::bins::CategoryBins;

/// A column of categories, counted on the [`CategoryBins`] of its reference; of categories that the reference does not have,
/// the most frequent are kept in a sketch of bounded size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoryProfile {
    pub(super) cells: Vec<u64>,
    pub(super) unseen: FrequentSketch,
    pub(super) distinct: Option<DistinctSketch>,
}

impl CategoryProfile {
    pub(super) fn empty(bins: &CategoryBins, options: &ProfileOptions) -> Result<Self> {
        Ok(Self {
            cells: vec![0; bins.len()],
            unseen: FrequentSketch::new(options.frequent)?,
            distinct: options.distinct.map(DistinctSketch::new).transpose()?,
        })
    }

    /// The counts in the order of the [`CategoryBins`]: known categories, unseen, missing.
    pub fn cells(&self) -> &[u64] {
        &self.cells
    }

    /// How many values are there.
    pub fn present(&self) -> u64 {
        self.cells.iter().rev().skip(1).sum()
    }

    /// How many values are missing.
    pub fn missing(&self) -> u64 {
        self.cells.last().copied().unwrap_or(0)
    }

    /// The frequent ones among the categories that the reference does not have.
    pub fn unseen(&self) -> &FrequentSketch {
        &self.unseen
    }

    /// The sketch of distinct categories, where one is kept.
    pub fn distinct(&self) -> Option<&DistinctSketch> {
        self.distinct.as_ref()
    }

    pub(crate) fn push(&mut self, bins: &CategoryBins, label: Option<&str>, count: u64) {
        let index = bins.cell_of(label);
        if let Some(cell) = self.cells.get_mut(index) {
            *cell += count;
        }
        let Some(label) = label else { return };
        if count == 0 {
            return;
        }
        if index + 2 == bins.len() {
            self.unseen.push(label, count);
        }
        if let Some(distinct) = &mut self.distinct {
            distinct.push_text(label);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) -> Result<()> {
        add(&mut self.cells, &other.cells)?;
        self.unseen.merge(&other.unseen)?;
        if let (Some(mine), Some(more)) = (&mut self.distinct, &other.distinct) {
            mine.merge(more)?;
        }
        Ok(())
    }

    pub(super) fn check(&self, bins: &CategoryBins, rows: u64) -> Option<&'static str> {
        if self.cells.len() != bins.len() {
            return Some("has not the cells of its categories");
        }
        if self.cells.get(bins.len() - 2).copied() != Some(self.unseen.total()) {
            return Some("has frequent unseen categories of another number of values");
        }
        total(&self.cells, rows)
    }
}
