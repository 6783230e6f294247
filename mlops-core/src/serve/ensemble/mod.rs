//! One forest for every kind of model of trees.
//!
//! Libraries differ in how they ask: `x < t` or `x ≤ t`, in single or double precision, with missing values, zeros and
//! categories going here or there. Here a column of a row is *read* first, so that missing values become −∞ or stay NaN, and thresholds are
//! moved to the neighbouring number where `<` was meant. Then all questions are one: is it at most the threshold?
//!
//! # Layout
//! Nodes of 16 bytes lie in preorder: yes leads to the next node, no to the one that is named. Leaves lead to themselves, so that several
//! ways are walked side by side without a branch until none moves. A tree of at most 256 leaves also lies as *cuts*: leaves are bits of words, from left
//! to right; each question that is answered no takes away the leaves on its left, and the first leaf that is left is the one. A block of rows is asked
//! four questions of a tree at a time, in wide registers, without a branch; the questions lie one after the other, and pass through the cache
//! once a block. (Lucchese et al., QuickScorer, SIGIR 2015; the version for many rows is theirs of 2016.) Both find the same leaf, and leaves are
//! added in the order of the trees: a row gets the same bits alone and among others.
//!
//! A word is as wide as the numbers that are compared, or 64 bits for a tree of 33 to 64 leaves: a comparison then is a mask of what it takes away.

mod builder;
mod kernel;
mod link;
mod reading;

use std::ops::Range;

pub(in crate::serve) use builder::{Branch, ForestBuilder, MAX_CATEGORY, Test, TreeFault};
pub(in crate::serve) use link::{Link, logistic};
pub(in crate::serve) use reading::{Reading, narrow};

use crate::error::{Error, Result};
use crate::num::parallel::{self, Threads};

/// Marks a question about a set.
const SET: u32 = 1 << 31;

/// Rows that one thread takes at a time.
const PIECE: usize = 4096;

/// A node: `row[column] ≤ threshold` goes to the next node, else to `right`. Leaves go to themselves.
#[derive(Clone, Copy, Debug)]
struct Packed {
    threshold: f64,
    /// The column, or [`SET`] and the number of a set.
    column: u32,
    right: u32,
}

/// A question about a number, and the leaves that stay when it is answered no.
#[derive(Clone, Copy, Debug)]
struct Cut<M> {
    threshold: f64,
    column: u32,
    keep: M,
}

/// A question about a set, and the leaves that stay when it is answered no.
#[derive(Clone, Copy, Debug)]
struct Member {
    keep: u64,
    set: u32,
}

/// The questions that take away leaves of one word.
#[derive(Clone, Debug)]
struct Word {
    numbers: Range<usize>,
    members: Range<usize>,
}

/// The leaves of a tree from left to right: words of bits, and what leaves add.
#[derive(Clone, Debug)]
struct Cuts {
    words: Range<usize>,
    leaves: Range<usize>,
}

/// How a tree lies for many rows: as words of 32 leaves or of 64, or as nodes alone.
#[derive(Clone, Debug)]
enum Shape {
    Walk,
    Small(Cuts),
    Wide(Cuts),
}

#[derive(Clone, Debug)]
struct Tree {
    root: u32,
    output: u32,
    shape: Shape,
}

/// What a category or a number is looked up in.
#[derive(Clone, Debug)]
enum Set {
    /// Whole numbers, towards zero, as bits.
    Bits { column: u32, missing: bool, start: usize, words: usize },
    /// Numbers, ascending; `whole`: what is after the point of the one that is looked up does not count.
    Numbers { column: u32, missing: bool, numbers: Vec<f64>, whole: bool },
}

/// How leaves become answers.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Output {
    /// What each sum begins with, or ends with if `late`.
    pub(in crate::serve) start: Vec<f64>,
    /// Whether the start is added last.
    pub(in crate::serve) late: bool,
    /// Whether sums are rounded to single precision after each tree.
    pub(in crate::serve) narrow: bool,
    /// What the sums are divided by.
    pub(in crate::serve) divisor: f64,
    /// What is done with the sums.
    pub(in crate::serve) link: Link,
}

impl Default for Output {
    fn default() -> Self {
        Self { start: Vec::new(), late: false, narrow: false, divisor: 1.0, link: Link::Identity }
    }
}

/// Many decision trees, laid out for speed: what every model of trees becomes when it is read.
///
/// Rows are numbers in the order of the model's features; NaN is a missing value. Answers are what the library that trained the model
/// answers: probabilities, one for each class but for binary models, which have one; or numbers. [`sums`](Self::sums) are what they
/// are made of.
///
/// A row costs O(trees · depth). Many rows are several times cheaper each than one, and get the same bits.
#[derive(Clone, Debug)]
pub struct Forest {
    features: usize,
    narrow: bool,
    flush: bool,
    outputs: usize,
    leaf_width: usize,
    columns: Vec<(u32, Reading)>,
    nodes: Vec<Packed>,
    leaves: Vec<u32>,
    trees: Vec<Tree>,
    cuts: Vec<Cut<u32>>,
    wide_cuts: Vec<Cut<u64>>,
    members: Vec<Member>,
    cut_words: Vec<Word>,
    ordered: Vec<f64>,
    sets: Vec<Set>,
    words: Vec<u32>,
    values: Vec<f64>,
    output: Output,
}

/// Where rows come from.
pub(in crate::serve) trait Rows: Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// One number; row and feature are there.
    fn get(&self, row: usize, feature: usize) -> f64;

    /// Brings rows into the cache, where reading them column by column would jump about in memory.
    fn fetch(&self, _from: usize, _count: usize) {}

    /// The numbers of a feature that is there, from a row on.
    fn column(&self, from: usize, feature: usize) -> impl Iterator<Item = f64>;
}

/// Numbers, row by row.
#[derive(Clone, Copy, Debug)]
pub(in crate::serve) struct RowMajor<'a> {
    pub(in crate::serve) values: &'a [f64],
    pub(in crate::serve) width: usize,
    pub(in crate::serve) rows: usize,
}

impl Rows for RowMajor<'_> {
    fn len(&self) -> usize {
        self.rows
    }

    #[inline(always)]
    fn get(&self, row: usize, feature: usize) -> f64 {
        self.values[row * self.width + feature]
    }

    #[inline(always)]
    fn fetch(&self, from: usize, count: usize) {
        // A number of each line of the cache, in the order in which memory is read fastest.
        let end = self.values.len().min(from.saturating_add(count).saturating_mul(self.width));
        let rows = self.values.get(from * self.width..end).unwrap_or_default();
        std::hint::black_box(rows.iter().step_by(8).fold(0, |bits, x| bits ^ x.to_bits()));
    }

    #[inline(always)]
    fn column(&self, from: usize, feature: usize) -> impl Iterator<Item = f64> {
        let rows = self.values.get(from * self.width..).unwrap_or_default();
        rows.chunks_exact(self.width.max(1)).map(move |row| row[feature])
    }
}

/// Numbers, column by column, each as long as the first.
#[derive(Clone, Copy, Debug)]
pub(in crate::serve) struct Columns<'a, C> {
    pub(in crate::serve) columns: &'a [C],
    pub(in crate::serve) rows: usize,
}

impl<C: AsRef<[f64]> + Sync> Rows for Columns<'_, C> {
    fn len(&self) -> usize {
        self.rows
    }

    #[inline(always)]
    fn get(&self, row: usize, feature: usize) -> f64 {
        self.columns[feature].as_ref()[row]
    }

    #[inline(always)]
    fn column(&self, from: usize, feature: usize) -> impl Iterator<Item = f64> {
        self.columns[feature].as_ref().get(from..self.rows).unwrap_or_default().iter().copied()
    }
}

impl Forest {
    /// The numbers of a row.
    pub fn features(&self) -> usize {
        self.features
    }

    /// The number of trees.
    pub fn trees(&self) -> usize {
        self.trees.len()
    }

    /// The number of nodes of all trees, leaves included.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The answers to a row: 1, or one for each class.
    pub fn outputs(&self) -> usize {
        self.output.link.width(self.outputs)
    }

    /// Answers one row.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a row of another length.
    ///
    /// ```
    /// use mlops_core::serve::ImportedModel;
    /// # let text = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\nobjective=regression\nfeature_names=age bmi\nfeature_infos=[0:1] [0:1]\n\nTree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nthreshold=0.5\ndecision_type=8\nleft_child=-1\nright_child=-2\nleaf_value=1.5 -2\n\nend of trees\n";
    /// let model = ImportedModel::from_lightgbm(text.as_bytes())?;
    /// let forest = model.forest().expect("LightGBM's models are forests");
    /// assert_eq!(forest.predict_row(&[0.25, f64::NAN])?, [1.5]);
    /// assert!(forest.predict_row(&[0.25]).is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn predict_row(&self, row: &[f64]) -> Result<Vec<f64>> {
        let mut sums = self.sums(row)?;
        self.output.link.apply(&mut sums);
        Ok(sums)
    }

    /// The sums that the answer to a row is made of: margins, log odds.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a row of another length.
    pub fn sums(&self, row: &[f64]) -> Result<Vec<f64>> {
        if row.len() != self.features {
            let message = format!("has {} numbers, the model takes {}", row.len(), self.features);
            return Err(Error::invalid("Forest::sums", "row", message));
        }
        Ok(self.sum_one(&RowMajor { values: row, width: row.len(), rows: 1 }, 0))
    }

    /// Answers rows that lie one after the other, on at most so many threads: [`outputs`](Self::outputs) answers a row, row by row. The bits are those
    /// of [`predict_row`](Self::predict_row), on any number of threads.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for numbers that are not whole rows.
    ///
    /// ```
    /// use mlops_core::num::parallel::Threads;
    /// use mlops_core::serve::ImportedModel;
    /// # let text = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\nobjective=regression\nfeature_names=age bmi\nfeature_infos=[0:1] [0:1]\n\nTree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nthreshold=0.5\ndecision_type=8\nleft_child=-1\nright_child=-2\nleaf_value=1.5 -2\n\nend of trees\n";
    /// let model = ImportedModel::from_lightgbm(text.as_bytes())?;
    /// let forest = model.forest().expect("LightGBM's models are forests");
    /// let rows = [0.25, 7.0, 0.75, 7.0, f64::NAN, 7.0];
    /// assert_eq!(forest.predict_rows(&rows, Threads::ONE)?, [1.5, -2.0, -2.0]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn predict_rows(&self, rows: &[f64], threads: Threads) -> Result<Vec<f64>> {
        let count = rows.len().checked_div(self.features).unwrap_or(0);
        if count * self.features != rows.len() {
            let message = format!("{} numbers are no whole rows of {}", rows.len(), self.features);
            return Err(Error::invalid("Forest::predict_rows", "rows", message));
        }
        Ok(self.answer(&RowMajor { values: rows, width: self.features, rows: count }, threads))
    }

    /// Answers rows from anywhere, row by row.
    pub(in crate::serve) fn answer(&self, rows: &impl Rows, threads: Threads) -> Vec<f64> {
        let mut sums = self.sum_all(rows, threads);
        if self.outputs == 1 && self.outputs() == 1 {
            for z in &mut sums {
                *z = self.output.link.one(*z);
            }
            return sums;
        }
        if self.output.link == Link::Identity {
            return sums;
        }
        let mut answers = Vec::with_capacity(rows.len() * self.outputs());
        let mut one = Vec::with_capacity(self.outputs.max(2));
        for row in sums.chunks_exact(self.outputs) {
            one.clear();
            one.extend_from_slice(row);
            self.output.link.apply(&mut one);
            answers.extend_from_slice(&one);
        }
        answers
    }

    /// The sums of rows from anywhere, row by row.
    pub(in crate::serve) fn sum_all(&self, rows: &impl Rows, threads: Threads) -> Vec<f64> {
        if rows.len() < kernel::FEW {
            return (0..rows.len()).flat_map(|row| self.sum_one(rows, row)).collect();
        }
        let pieces = rows.len().div_ceil(PIECE);
        if pieces == 1 {
            return self.sum_piece(rows, 0..rows.len());
        }
        let piece = |i: usize| self.sum_piece(rows, i * PIECE..rows.len().min((i + 1) * PIECE));
        parallel::map(pieces, threads, piece).concat()
    }

    /// What is done with the sums.
    pub(in crate::serve) fn link_mut(&mut self) -> &mut Link {
        &mut self.output.link
    }

    /// What the sums begin and end with.
    fn finish(&self, sums: &mut [f64]) {
        let Output { start, late, narrow, divisor, .. } = &self.output;
        for row in sums.chunks_exact_mut(self.outputs) {
            for (sum, start) in row.iter_mut().zip(start) {
                if *divisor != 1.0 {
                    *sum /= divisor;
                }
                if *late {
                    *sum += start;
                }
                if *narrow {
                    *sum = reading::narrow(*sum);
                }
            }
        }
    }
}
