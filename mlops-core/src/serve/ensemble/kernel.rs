//! Rows through trees.

use std::hint::select_unpredictable;
use std::marker::PhantomData;
use std::ops::{BitAnd, Range};

use super::reading::{MISSING, ZERO, category, narrow};
use super::{Cut, Cuts, Forest, Packed, Reading, Rows, SET, Set, Shape, Tree, Word};
use crate::num::simd::{Kernel, run};

/// Fewer rows than this go one by one.
pub(super) const FEW: usize = 4;

/// Rows that lie in the cache together.
const BLOCK: usize = 128;

/// So many rows are worth a block of their own, though not a whole one.
const NEARLY: usize = 80;

/// Rows of a block of what is left over, and rows that walk a tree side by side.
const LANES: usize = 16;

/// Trees that one row walks side by side.
const ABREAST: usize = 8;

/// A number in the precision that the model compares in, or the code of a category in its bits.
pub(super) trait Lane: Copy + Default + PartialOrd {
    /// Whether the precision is single.
    const NARROW: bool;
    fn of(x: f64) -> Self;
    fn wide(self) -> f64;
    fn pack(code: u32) -> Self;
    fn code(self) -> u32;
}

impl Lane for f64 {
    const NARROW: bool = false;

    #[inline(always)]
    fn of(x: f64) -> Self {
        x
    }

    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }

    #[inline(always)]
    fn pack(code: u32) -> Self {
        Self::from_bits(u64::from(code))
    }

    #[inline(always)]
    fn code(self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "a code has 32 bits")]
        {
            self.to_bits() as u32
        }
    }
}

impl Lane for f32 {
    const NARROW: bool = true;

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
    fn wide(self) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    fn pack(code: u32) -> Self {
        Self::from_bits(code)
    }

    #[inline(always)]
    fn code(self) -> u32 {
        self.to_bits()
    }
}

/// The leaves that are left, a bit each.
trait Leaves: Copy + BitAnd<Output = Self> {
    const ALL: Self;
    const BITS: usize;
    /// The lower bits, all of these leaves.
    fn of(leaves: u64) -> Self;
    fn first(self) -> usize;
    fn none(self) -> bool;
}

impl Leaves for u32 {
    const ALL: Self = Self::MAX;
    const BITS: usize = Self::BITS as usize;

    #[inline(always)]
    fn of(leaves: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the upper half is of no leaf")]
        {
            leaves as Self
        }
    }

    #[inline(always)]
    fn first(self) -> usize {
        self.trailing_zeros() as usize
    }

    #[inline(always)]
    fn none(self) -> bool {
        self == 0
    }
}

impl Leaves for u64 {
    const ALL: Self = Self::MAX;
    const BITS: usize = Self::BITS as usize;

    #[inline(always)]
    fn of(leaves: u64) -> Self {
        leaves
    }

    #[inline(always)]
    fn first(self) -> usize {
        self.trailing_zeros() as usize
    }

    #[inline(always)]
    fn none(self) -> bool {
        self == 0
    }
}

/// Whether a category is among words of bits; `missing`: whether what is missing is.
#[inline(always)]
fn among(words: &[u32], code: u32, missing: bool) -> bool {
    let word = words.get((code / 32) as usize).copied().unwrap_or(0);
    // No set is so large that it has the codes of what is missing and of what is no category.
    (word >> (code % 32)) & 1 == 1 || (missing && code == MISSING)
}

/// The same for a set of at most 64 categories, which wide registers can look up.
#[inline(always)]
fn few(bits: u64, code: u32, missing: bool) -> bool {
    let bit = if code < 64 { (bits >> (code % 64)) & 1 } else { 0 };
    (bit == 1) | (missing & (code == MISSING))
}

impl Set {
    pub(super) fn column(&self) -> usize {
        match self {
            Self::Bits { column, .. } | Self::Numbers { column, .. } => *column as usize,
        }
    }

    /// Whether what the set's column holds goes left.
    #[inline(always)]
    pub(super) fn has(&self, words: &[u32], lane: impl Lane) -> bool {
        match self {
            Self::Bits { missing, start, words: count, .. } => {
                among(&words[*start..start + count], lane.code(), *missing)
            }
            Self::Numbers { missing, numbers, whole, .. } => {
                let x = lane.wide();
                let x = if *whole { x.trunc() } else { x };
                let at = numbers.partition_point(|number| *number < x);
                if x.is_nan() { *missing } else { numbers.get(at).is_some_and(|number| *number == x) }
            }
        }
    }
}

/// How the library that trained the model sees a number.
#[derive(Clone, Copy)]
struct Eye {
    narrow: bool,
    /// What is within this of zero is zero; nothing, if negative.
    zero: f64,
}

impl Eye {
    /// A number as a question reads it.
    #[inline(always)]
    fn read<L: Lane>(self, reading: Reading, x: f64) -> L {
        let x = if self.narrow { narrow(x) } else { x };
        let x = if x.abs() <= self.zero { 0.0 } else { x };
        match reading {
            Reading::Category => L::pack(category(x)),
            reading => L::of(reading.of(x)),
        }
    }
}

impl Forest {
    /// How many columns a row is read into; never none, so that a leaf has something to look at.
    fn width(&self) -> usize {
        self.columns.len().max(1)
    }

    /// How questions see a number.
    #[inline(always)]
    fn eye(&self) -> Eye {
        Eye { narrow: self.narrow, zero: if self.flush { ZERO } else { -1.0 } }
    }

    /// Walks ways side by side until none moves.
    #[inline(always)]
    fn walk<const N: usize, const SETS: bool, L: Lane>(
        &self,
        at: &mut [u32; N],
        value: impl Fn(usize, usize) -> L,
    ) {
        let yes = |lane: usize, node: Packed| {
            if SETS && node.column & SET != 0 {
                let set = &self.sets[(node.column & !SET) as usize];
                set.has(&self.words, value(lane, set.column()))
            } else {
                value(lane, node.column as usize).wide() <= node.threshold
            }
        };
        loop {
            let mut moved = 0;
            for (lane, at) in at.iter_mut().enumerate() {
                let node = self.nodes[*at as usize];
                // Half of the questions are answered no: a branch would be guessed wrong.
                let next = select_unpredictable(yes(lane, node), *at + 1, node.right);
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
    fn add(&self, sums: &mut [f64], tree: &Tree, values: &[f64]) {
        for (sum, value) in sums[tree.output as usize..].iter_mut().zip(values) {
            *sum = if self.output.narrow { narrow(*sum + value) } else { *sum + value };
        }
    }

    /// What a leaf adds.
    #[inline(always)]
    fn leaf(&self, at: u32) -> &[f64] {
        &self.values[self.leaves[at as usize] as usize * self.leaf_width..][..self.leaf_width]
    }

    /// What sums begin with.
    fn begin(&self) -> Vec<f64> {
        if self.output.late { vec![0.0; self.outputs] } else { self.output.start.clone() }
    }

    /// The sums of one row.
    pub(super) fn sum_one(&self, rows: &impl Rows, row: usize) -> Vec<f64> {
        let eye = self.eye();
        let read = |&(feature, reading): &(u32, Reading)| eye.read(reading, rows.get(row, feature as usize));
        let mut values: Vec<f64> = self.columns.iter().map(read).collect();
        values.resize(self.width(), 0.0);
        let mut sums = self.begin();
        for trees in self.trees.chunks(ABREAST) {
            let mut at = [trees[0].root; ABREAST];
            for (at, tree) in at.iter_mut().zip(trees) {
                *at = tree.root;
            }
            if self.sets.is_empty() {
                self.walk::<ABREAST, false, f64>(&mut at, |_, column| values[column]);
            } else {
                self.walk::<ABREAST, true, f64>(&mut at, |_, column| values[column]);
            }
            for (tree, at) in trees.iter().zip(at) {
                self.add(&mut sums, tree, self.leaf(at));
            }
        }
        self.finish(&mut sums);
        sums
    }

    /// The sums of a range of rows.
    pub(super) fn sum_piece(&self, rows: &impl Rows, range: Range<usize>) -> Vec<f64> {
        if self.narrow {
            run(Piece::<f32, _> { forest: self, rows, range, lane: PhantomData })
        } else {
            run(Piece::<f64, _> { forest: self, rows, range, lane: PhantomData })
        }
    }
}

/// Rows that are summed together.
struct Piece<'a, L, R> {
    forest: &'a Forest,
    rows: &'a R,
    range: Range<usize>,
    lane: PhantomData<L>,
}

impl<L: Lane, R: Rows> Kernel for Piece<'_, L, R> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let Self { forest, rows, range, .. } = self;
        let mut sums: Vec<f64> = forest.begin().repeat(range.len());
        let rest = range.len() % BLOCK;
        let whole = if rest < NEARLY { range.len() - rest } else { range.len() };
        let (blocks, rest) = sums.split_at_mut(whole * forest.outputs);
        in_blocks::<L, BLOCK>(forest, rows, range.start, blocks);
        in_blocks::<L, LANES>(forest, rows, range.start + whole, rest);
        forest.finish(&mut sums);
        sums
    }
}

/// Adds all trees to the sums of rows, so many rows at a time.
#[inline(always)]
fn in_blocks<L: Lane, const N: usize>(forest: &Forest, rows: &impl Rows, from: usize, sums: &mut [f64]) {
    if sums.is_empty() {
        return;
    }
    let mut block = vec![[L::default(); N]; forest.width()];
    let (mut few, mut many, mut at) = ([u32::ALL; N], [u64::ALL; N], [0; N]);
    for (number, sums) in sums.chunks_mut(N * forest.outputs).enumerate() {
        rows.fetch(from + number * N, N);
        fill(forest, rows, from + number * N, &mut block);
        for tree in &forest.trees {
            match &tree.shape {
                Shape::Small(cuts) => cut(forest, tree, cuts, &forest.cuts, &block, &mut few, &mut at, sums),
                Shape::Wide(cuts) => {
                    cut(forest, tree, cuts, &forest.wide_cuts, &block, &mut many, &mut at, sums)
                }
                Shape::Walk => walk(forest, tree, &block, sums),
            }
        }
    }
}

/// Reads rows into columns. What lies behind the last row is whatever was there before.
#[inline(always)]
fn fill<L: Lane, const N: usize>(forest: &Forest, rows: &impl Rows, from: usize, block: &mut [[L; N]]) {
    let eye = Eye { narrow: L::NARROW, ..forest.eye() };
    for (&(feature, reading), lanes) in forest.columns.iter().zip(block) {
        let numbers = rows.column(from, feature as usize);
        // The reading is told once, not for each number.
        match reading {
            Reading::Plain => put(lanes, numbers, |x| eye.read(Reading::Plain, x)),
            Reading::MissingLeft => put(lanes, numbers, |x| eye.read(Reading::MissingLeft, x)),
            Reading::MissingZero => put(lanes, numbers, |x| eye.read(Reading::MissingZero, x)),
            Reading::Category => put(lanes, numbers, |x| eye.read(Reading::Category, x)),
            other => put(lanes, numbers, |x| eye.read(other, x)),
        }
    }
}

#[inline(always)]
fn put<L, const N: usize>(lanes: &mut [L; N], numbers: impl Iterator<Item = f64>, read: impl Fn(f64) -> L) {
    for (lane, x) in lanes.iter_mut().zip(numbers) {
        *lane = read(x);
    }
}

/// Adds the leaves of a tree to the sums of a block: the first that the questions leave.
#[expect(clippy::too_many_arguments, reason = "a tree, a block, and room to work in")]
#[inline(always)]
fn cut<L: Lane, M: Leaves, const N: usize>(
    forest: &Forest,
    tree: &Tree,
    cuts: &Cuts,
    all: &[Cut<M>],
    block: &[[L; N]],
    left: &mut [M; N],
    at: &mut [usize; N],
    sums: &mut [f64],
) {
    let words = &forest.cut_words[cuts.words.clone()];
    if let [word] = words {
        leave(forest, word, all, block, left);
        return add(forest, tree, cuts, sums, |row| left[row].first());
    }
    for (number, word) in words.iter().enumerate().rev() {
        leave(forest, word, all, block, left);
        for (at, left) in at.iter_mut().zip(&*left) {
            let here = number * M::BITS + left.first();
            *at = if left.none() { *at } else { here };
        }
    }
    add(forest, tree, cuts, sums, |row| at[row]);
}

/// The leaves of a word that the questions leave to each row of a block.
#[inline(always)]
fn leave<L: Lane, M: Leaves, const N: usize>(
    forest: &Forest,
    cuts: &Word,
    all: &[Cut<M>],
    block: &[[L; N]],
    left: &mut [M; N],
) {
    left.fill(M::ALL);
    let (fours, rest) = all[cuts.numbers.clone()].as_chunks::<4>();
    for four in fours {
        ask(four, block, left);
    }
    let (twos, rest) = rest.as_chunks::<2>();
    for two in twos {
        ask(two, block, left);
    }
    for one in rest {
        ask(std::array::from_ref(one), block, left);
    }
    for member in &forest.members[cuts.members.clone()] {
        let set = &forest.sets[member.set as usize];
        let (values, keep) = (&block[set.column()], M::of(member.keep));
        match set {
            Set::Bits { missing, start, words, .. } => {
                let words = &forest.words[*start..start + words];
                match *words {
                    [] => sift(values, keep, left, |lane| few(0, lane.code(), *missing)),
                    [low] => sift(values, keep, left, |lane| few(low.into(), lane.code(), *missing)),
                    [low, high] => {
                        let bits = u64::from(low) | u64::from(high) << 32;
                        sift(values, keep, left, |lane| few(bits, lane.code(), *missing));
                    }
                    _ => sift(values, keep, left, |lane| among(words, lane.code(), *missing)),
                }
            }
            Set::Numbers { .. } => sift(values, keep, left, |lane| set.has(&forest.words, *lane)),
        }
    }
}

/// A few questions at once, so that what is left is read and written once for all of them.
#[inline(always)]
fn ask<L: Lane, M: Leaves, const N: usize, const G: usize>(
    cuts: &[Cut<M>; G],
    block: &[[L; N]],
    left: &mut [M; N],
) {
    let values = cuts.each_ref().map(|cut| &block[cut.column as usize]);
    let thresholds = cuts.each_ref().map(|cut| L::of(cut.threshold));
    for row in 0..N {
        let mut leaves = left[row];
        for g in 0..G {
            let fewer = leaves & cuts[g].keep;
            leaves = if values[g][row] <= thresholds[g] { leaves } else { fewer };
        }
        left[row] = leaves;
    }
}

/// One question of any kind.
#[inline(always)]
fn sift<L: Lane, M: Leaves, const N: usize>(
    values: &[L; N],
    keep: M,
    left: &mut [M; N],
    yes: impl Fn(&L) -> bool,
) {
    for (left, value) in left.iter_mut().zip(values) {
        let fewer = *left & keep;
        *left = select_unpredictable(yes(value), *left, fewer);
    }
}

/// Adds a leaf to each row: the one of this place, from left to right.
#[inline(always)]
fn add(forest: &Forest, tree: &Tree, cuts: &Cuts, sums: &mut [f64], place: impl Fn(usize) -> usize) {
    let width = forest.leaf_width;
    let values = &forest.ordered[cuts.leaves.clone()];
    if width == 1 && forest.outputs == 1 {
        let sums = sums.iter_mut().enumerate();
        if forest.output.narrow {
            sums.for_each(|(row, sum)| *sum = narrow(*sum + values[place(row)]));
        } else {
            sums.for_each(|(row, sum)| *sum += values[place(row)]);
        }
        return;
    }
    for (row, sums) in sums.chunks_exact_mut(forest.outputs).enumerate() {
        forest.add(sums, tree, &values[place(row) * width..][..width]);
    }
}

/// Large trees: rows walk side by side.
#[inline(always)]
fn walk<L: Lane, const N: usize>(forest: &Forest, tree: &Tree, block: &[[L; N]], sums: &mut [f64]) {
    for (group, sums) in sums.chunks_mut(LANES * forest.outputs).enumerate() {
        let first = group * LANES;
        let mut at = [tree.root; LANES];
        let value = |lane: usize, column: usize| block[column][first + lane];
        if forest.sets.is_empty() {
            forest.walk::<LANES, false, L>(&mut at, value);
        } else {
            forest.walk::<LANES, true, L>(&mut at, value);
        }
        for (sums, at) in sums.chunks_exact_mut(forest.outputs).zip(at) {
            forest.add(sums, tree, forest.leaf(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Branch, ForestBuilder, Output, RowMajor, Test};
    use super::*;
    use crate::num::Random;
    use crate::num::simd::{Level, run_at};

    /// Trees of all shapes over three numbers; of the last, questions ask for categories.
    fn forest(narrow: bool) -> Forest {
        let mut random = Random::new(7);
        let mut below = |bound: u64| u32::try_from(random.next_u64() % bound).unwrap();
        let mut builder = ForestBuilder::new(3, 1, 1, narrow);
        for leaves in [1, 5, 31, 40, 64, 100, 256, 280] {
            let mut nodes = vec![Branch::Leaf(builder.leaf(&[0.5]))];
            for number in 1..leaves {
                let (left, right) =
                    (u32::try_from(nodes.len()).unwrap(), u32::try_from(nodes.len() + 1).unwrap());
                let test = match below(3) {
                    2 => {
                        let set = builder.bits((0..=below(3)).map(|_| below(1 << 32)));
                        Test::Among { feature: 2, set, missing: below(2) == 0 }
                    }
                    feature => {
                        let threshold = f64::from(below(9)) / 8.0;
                        Test::AtMost { feature, threshold, reading: Reading::missing(below(2) == 0) }
                    }
                };
                // Some leaf becomes a question.
                let at = loop {
                    let at = below(nodes.len() as u64) as usize;
                    if matches!(nodes[at], Branch::Leaf(_)) {
                        break at;
                    }
                };
                nodes[at] = Branch::Split { test, left, right };
                for part in [0.1, 0.3] {
                    nodes.push(Branch::Leaf(builder.leaf(&[part * f64::from(number)])));
                }
            }
            builder.tree(&nodes, 0, 0, false).unwrap();
        }
        builder.finish("test", Output { narrow, ..Output::default() }).unwrap()
    }

    #[test]
    fn every_instruction_set_sums_the_same_bits() {
        let mut random = Random::new(11);
        let mut number = |i: usize| match random.next_u64() % 8 {
            0 => f64::NAN,
            n if i % 3 == 2 => (n * 17) as f64,
            n => n as f64 / 8.0,
        };
        let values: Vec<f64> = (0..3 * 237).map(&mut number).collect();
        let rows = RowMajor { values: &values, width: 3, rows: 237 };
        for narrow in [false, true] {
            let forest = forest(narrow);
            let shapes =
                |shape: fn(&Shape) -> bool| forest.trees.iter().filter(|tree| shape(&tree.shape)).count();
            assert_eq!(shapes(|shape| matches!(shape, Shape::Small(_))) > 0, narrow);
            assert!(shapes(|shape| matches!(shape, Shape::Wide(_))) > 1);
            assert!(shapes(|shape| matches!(shape, Shape::Walk)) > 0);
            let alone: Vec<u64> = (0..237).map(|row| forest.sum_one(&rows, row)[0].to_bits()).collect();
            for level in Level::all() {
                let (forest, rows) = (&forest, &rows);
                let sums = if narrow {
                    run_at(level, Piece::<f32, _> { forest, rows, range: 0..237, lane: PhantomData })
                } else {
                    run_at(level, Piece::<f64, _> { forest, rows, range: 0..237, lane: PhantomData })
                };
                assert_eq!(sums.iter().map(|sum| sum.to_bits()).collect::<Vec<_>>(), alone, "{level:?}");
            }
        }
    }
}
