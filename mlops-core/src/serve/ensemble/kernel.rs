//! Rows through trees.

use std::ops::{BitAnd, Range};

use super::reading::{ZERO, narrow};
use super::{Cut, Forest, Packed, Rows, SET, Set, Shape, Tree};
use crate::num::simd::{Kernel, run};

/// Fewer rows than this go one by one.
pub(super) const FEW: usize = 4;

/// Rows that are worked on side by side.
const LANES: usize = 16;

/// Groups of rows that lie in the cache together.
const GROUPS: usize = 8;

/// Trees that one row walks side by side.
const ABREAST: usize = 8;

/// A number in the precision that the model compares in.
trait Lane: Copy + Default + PartialOrd {
    fn of(x: f64) -> Self;
    fn threshold(x: f64) -> Self;
    fn wide(self) -> f64;
}

impl Lane for f64 {
    #[inline(always)]
    fn of(x: f64) -> Self {
        x
    }

    #[inline(always)]
    fn threshold(x: f64) -> Self {
        x
    }

    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
}

impl Lane for f32 {
    #[inline(always)]
    fn of(x: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the number was rounded before, exactly or to nearest"
        )]
        {
            x as Self
        }
    }

    #[inline(always)]
    fn threshold(x: f64) -> Self {
        Self::of(x)
    }

    #[inline(always)]
    fn wide(self) -> f64 {
        f64::from(self)
    }
}

/// The leaves that are left.
trait Leaves: Copy + BitAnd<Output = Self> {
    const ALL: Self;
    fn first(self) -> usize;
}

impl Leaves for u32 {
    const ALL: Self = Self::MAX;

    #[inline(always)]
    fn first(self) -> usize {
        self.trailing_zeros() as usize
    }
}

impl Leaves for u64 {
    const ALL: Self = Self::MAX;

    #[inline(always)]
    fn first(self) -> usize {
        self.trailing_zeros() as usize
    }
}

impl Set {
    pub(super) fn column(&self) -> usize {
        match self {
            Self::Bits { column, .. } | Self::Numbers { column, .. } => *column as usize,
        }
    }

    /// Whether a number goes left.
    #[inline(always)]
    pub(super) fn has(&self, words: &[u32], x: f64) -> bool {
        match self {
            Self::Bits { missing, .. } | Self::Numbers { missing, .. } if x.is_nan() => *missing,
            Self::Bits { start, words: count, .. } => {
                if x <= -1.0 || x >= f64::from(u32::MAX) {
                    return false;
                }
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "towards zero, in range"
                )]
                let category = x as u32;
                let word = (category / 32) as usize;
                word < *count && words[start + word] >> (category % 32) & 1 == 1
            }
            Self::Numbers { numbers, whole, .. } => {
                let x = if *whole { x.trunc() } else { x };
                let at = numbers.partition_point(|number| *number < x);
                numbers.get(at).is_some_and(|number| *number == x)
            }
        }
    }
}

impl Forest {
    /// How many columns a row is read into; never none, so that a leaf has something to look at.
    fn width(&self) -> usize {
        self.columns.len().max(1)
    }

    /// A number as the library that trained the model sees it.
    #[inline(always)]
    fn seen(&self, x: f64) -> f64 {
        match x {
            _ if self.narrow => narrow(x),
            _ if self.flush && x.abs() <= ZERO => 0.0,
            _ => x,
        }
    }

    /// One step of one way.
    #[inline(always)]
    fn step(&self, at: u32, node: Packed, value: impl Fn(usize) -> f64) -> u32 {
        let yes = if node.column & SET == 0 {
            value(node.column as usize) <= node.threshold
        } else {
            let set = &self.sets[(node.column & !SET) as usize];
            set.has(&self.words, value(set.column()))
        };
        if yes { at + 1 } else { node.right }
    }

    /// Walks ways side by side until none moves.
    #[inline(always)]
    fn walk<const N: usize, const SETS: bool>(&self, at: &mut [u32; N], value: impl Fn(usize, usize) -> f64) {
        loop {
            let mut moved = 0;
            for (lane, at) in at.iter_mut().enumerate() {
                let node = self.nodes[*at as usize];
                let next = if SETS {
                    self.step(*at, node, |column| value(lane, column))
                } else if value(lane, node.column as usize) <= node.threshold {
                    *at + 1
                } else {
                    node.right
                };
                moved |= next ^ *at;
                *at = next;
            }
            if moved == 0 {
                return;
            }
        }
    }

    /// Adds a leaf to the sums of a row.
    #[inline(always)]
    fn add(&self, sums: &mut [f64], tree: &Tree, leaf: u32) {
        let (from, width) = (tree.output as usize, self.leaf_width);
        let values = &self.values[leaf as usize * width..][..width];
        for (sum, value) in sums[from..from + width].iter_mut().zip(values) {
            *sum = if self.output.narrow { narrow(*sum + value) } else { *sum + value };
        }
    }

    /// What sums begin with.
    fn begin(&self) -> Vec<f64> {
        if self.output.late { vec![0.0; self.outputs] } else { self.output.start.clone() }
    }

    /// The sums of one row.
    pub(super) fn sum_one(&self, rows: &impl Rows, row: usize) -> Vec<f64> {
        let read = |&(feature, reading): &(u32, super::Reading)| {
            let x = rows.get(row, feature as usize);
            reading.of(self.seen(x))
        };
        let mut values: Vec<f64> = self.columns.iter().map(read).collect();
        values.resize(self.width(), 0.0);
        let mut sums = self.begin();
        for trees in self.trees.chunks(ABREAST) {
            let mut at = [trees[0].root; ABREAST];
            for (at, tree) in at.iter_mut().zip(trees) {
                *at = tree.root;
            }
            if self.sets.is_empty() {
                self.walk::<ABREAST, false>(&mut at, |_, column| values[column]);
            } else {
                self.walk::<ABREAST, true>(&mut at, |_, column| values[column]);
            }
            for (tree, at) in trees.iter().zip(at) {
                self.add(&mut sums, tree, self.leaves[at as usize]);
            }
        }
        self.finish(&mut sums);
        sums
    }

    /// The sums of a range of rows.
    pub(super) fn sum_piece(&self, rows: &impl Rows, range: Range<usize>) -> Vec<f64> {
        if self.narrow {
            run(Piece::<f32, _> { forest: self, rows, range, lane: std::marker::PhantomData })
        } else {
            run(Piece::<f64, _> { forest: self, rows, range, lane: std::marker::PhantomData })
        }
    }
}

struct Piece<'a, L, R> {
    forest: &'a Forest,
    rows: &'a R,
    range: Range<usize>,
    lane: std::marker::PhantomData<L>,
}

impl<L: Lane, R: Rows> Kernel for Piece<'_, L, R> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let Self { forest, rows, range, .. } = self;
        let outputs = forest.outputs;
        let mut sums: Vec<f64> = forest.begin().repeat(range.len());
        let mut block = vec![[L::default(); LANES]; forest.width() * GROUPS];
        for (rows_from, sums) in range.step_by(LANES * GROUPS).zip(sums.chunks_mut(LANES * GROUPS * outputs))
        {
            let count = sums.len() / outputs;
            fill(forest, rows, rows_from, count, &mut block);
            let groups = count.div_ceil(LANES);
            for tree in &forest.trees {
                for (group, sums) in (0..groups).zip(sums.chunks_mut(LANES * outputs)) {
                    let leaves = leaves(forest, tree, &block, group);
                    for (sums, leaf) in sums.chunks_exact_mut(outputs).zip(leaves) {
                        forest.add(sums, tree, leaf);
                    }
                }
            }
        }
        forest.finish(&mut sums);
        sums
    }
}

/// Reads rows into columns of sixteen.
#[inline(always)]
fn fill<L: Lane>(forest: &Forest, rows: &impl Rows, from: usize, count: usize, block: &mut [[L; LANES]]) {
    for (&(feature, reading), column) in forest.columns.iter().zip(block.chunks_exact_mut(GROUPS)) {
        for (row, lane) in column.as_flattened_mut().iter_mut().take(count).enumerate() {
            let x = rows.get(from + row, feature as usize);
            *lane = L::of(reading.of(forest.seen(x)));
        }
    }
}

/// The leaves that sixteen rows end in.
#[inline(always)]
fn leaves<L: Lane>(forest: &Forest, tree: &Tree, block: &[[L; LANES]], group: usize) -> [u32; LANES] {
    match &tree.shape {
        Shape::Small { order, cuts } => {
            let left = cut(forest, &forest.cuts[cuts.clone()], block, group);
            left.map(|left| forest.order[order + left.first()])
        }
        Shape::Wide { order, cuts } => {
            let left = cut(forest, &forest.wide_cuts[cuts.clone()], block, group);
            left.map(|left| forest.order[order + left.first()])
        }
        Shape::Walk => {
            let mut at = [tree.root; LANES];
            let value = |lane: usize, column: usize| block[column * GROUPS + group][lane].wide();
            if forest.sets.is_empty() {
                forest.walk::<LANES, false>(&mut at, value);
            } else {
                forest.walk::<LANES, true>(&mut at, value);
            }
            at.map(|at| forest.leaves[at as usize])
        }
    }
}

#[inline(always)]
fn cut<L: Lane, M: Leaves>(
    forest: &Forest,
    cuts: &[Cut<M>],
    block: &[[L; LANES]],
    group: usize,
) -> [M; LANES] {
    let mut left = [M::ALL; LANES];
    for cut in cuts {
        if cut.column & SET == 0 {
            let values = &block[cut.column as usize * GROUPS + group];
            let threshold = L::threshold(cut.threshold);
            for (left, value) in left.iter_mut().zip(values) {
                *left = *left & if *value <= threshold { M::ALL } else { cut.keep };
            }
        } else {
            let set = &forest.sets[(cut.column & !SET) as usize];
            let values = &block[set.column() * GROUPS + group];
            for (left, value) in left.iter_mut().zip(values) {
                *left = *left & if set.has(&forest.words, value.wide()) { M::ALL } else { cut.keep };
            }
        }
    }
    left
}
