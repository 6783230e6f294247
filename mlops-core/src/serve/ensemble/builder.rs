//! Trees checked and laid out.

use std::collections::BTreeMap;

use super::reading::{Reading, narrow_down};
use super::{Cut, Cuts, Forest, Member, Output, Packed, SET, Set, Shape, Tree, Word};
use crate::error::{Error, ErrorKind, Result};
use crate::num::simd::Level;

/// A deeper tree is refused: a row would cost more than anybody waits for.
const MAX_DEPTH: usize = 10_000;

/// All nodes of all trees: 2³⁰, which is 20 GB of them.
const MAX_NODES: usize = 1 << 30;

/// The most leaves of a tree that lies as cuts too. All of its questions are asked, so that a larger tree is walked down faster; the sooner, the
/// narrower the machine's registers are.
fn most_leaves() -> usize {
    if Level::all().count() > 1 { 256 } else { 64 }
}

/// So many bits, the lowest, of at most 64.
fn ones(count: usize) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// The wildest number of categories that a split may tell apart.
pub(in crate::serve) const MAX_CATEGORY: usize = 1 << 24;

/// A question about one number of a row.
#[derive(Clone, Copy, Debug)]
pub(in crate::serve) enum Test {
    /// Is it, as it is read, at most the threshold?
    AtMost { feature: u32, threshold: f64, reading: Reading },
    /// Is it one of a set that was [added](ForestBuilder::bits)? `missing` says where missing values go.
    Among { feature: u32, set: u32, missing: bool },
}

/// A node of a tree before it is laid out: children are indices into the list of nodes.
#[derive(Clone, Copy, Debug)]
pub(in crate::serve) enum Branch {
    /// A leaf that was [added](ForestBuilder::leaf).
    Leaf(u32),
    /// A question; yes goes to `left`.
    Split { test: Test, left: u32, right: u32 },
}

/// What is wrong with a tree; the node is its index in the list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::serve) enum TreeFault {
    #[error("the tree has no nodes")]
    Empty,
    #[error("node {node} has a child {child} that is not there")]
    NoChild { node: usize, child: u32 },
    #[error("node {node} is reached twice: what goes in circles is no tree")]
    Twice { node: usize },
    #[error("node {node} asks for feature {feature}, but there are {features}")]
    NoFeature { node: usize, feature: u32, features: usize },
    #[error("node {node} has a threshold that is no number")]
    Threshold { node: usize },
    #[error("node {node} lies deeper than {MAX_DEPTH} questions")]
    Deep { node: usize },
    #[error("node {node} names a leaf or a set that is not there")]
    NoLeaf { node: usize },
    #[error("there are more than {MAX_NODES} nodes")]
    Many,
}

impl TreeFault {
    /// The fault as an error about a file.
    pub(in crate::serve) fn corrupt(self, operation: &'static str, tree: usize) -> Error {
        let kind = if self == Self::Many || matches!(self, Self::Deep { .. }) {
            ErrorKind::LimitExceeded
        } else {
            ErrorKind::Corrupt
        };
        Error::new(kind, operation, self.to_string()).with("tree", tree)
    }
}

/// Collects trees into a [`Forest`].
#[derive(Debug)]
pub(in crate::serve) struct ForestBuilder {
    forest: Forest,
    /// Places of the columns, by feature and reading.
    columns: BTreeMap<(u32, Reading), u32>,
    /// Sets of words or of numbers, not yet bound to a feature.
    sets: Vec<Members>,
}

#[derive(Clone, Debug)]
enum Members {
    Bits { start: usize, words: usize },
    Numbers { numbers: Vec<f64>, whole: bool },
}

impl ForestBuilder {
    /// A forest over rows of `features` numbers whose leaves hold `leaf_width` values each and whose answers are made of `outputs`
    /// sums; `narrow`: numbers are rounded to single precision first.
    pub(in crate::serve) fn new(features: usize, outputs: usize, leaf_width: usize, narrow: bool) -> Self {
        let forest = Forest {
            features,
            narrow,
            flush: false,
            outputs: outputs.max(1),
            leaf_width: leaf_width.max(1),
            columns: Vec::new(),
            nodes: Vec::new(),
            leaves: Vec::new(),
            trees: Vec::new(),
            cuts: Vec::new(),
            wide_cuts: Vec::new(),
            members: Vec::new(),
            cut_words: Vec::new(),
            ordered: Vec::new(),
            sets: Vec::new(),
            words: Vec::new(),
            values: Vec::new(),
            output: Output::default(),
        };
        Self { forest, columns: BTreeMap::new(), sets: Vec::new() }
    }

    /// Numbers that LightGBM takes for zero are zero: it does not hand them to its trees.
    pub(in crate::serve) fn flush(&mut self) {
        self.forest.flush = true;
    }

    /// Adds a leaf and returns its number. Values that are missing are 0, those that are too many are dropped.
    pub(in crate::serve) fn leaf(&mut self, values: &[f64]) -> u32 {
        let width = self.forest.leaf_width;
        let number = self.forest.values.len() / width;
        self.forest.values.extend(values.iter().copied().chain(std::iter::repeat(0.0)).take(width));
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// Adds a set of small whole numbers as bits, least significant first, and returns its number.
    pub(in crate::serve) fn bits(&mut self, words: impl IntoIterator<Item = u32>) -> u32 {
        let start = self.forest.words.len();
        self.forest.words.extend(words);
        self.sets.push(Members::Bits { start, words: self.forest.words.len() - start });
        u32::try_from(self.sets.len() - 1).unwrap_or(u32::MAX)
    }

    /// Adds a set of numbers and returns its number.
    pub(in crate::serve) fn numbers(&mut self, mut numbers: Vec<f64>) -> u32 {
        numbers.sort_by(f64::total_cmp);
        self.sets.push(Members::Numbers { numbers, whole: false });
        u32::try_from(self.sets.len() - 1).unwrap_or(u32::MAX)
    }

    /// Adds a set of categories, as bits where that is not much longer than the list, and returns its number.
    pub(in crate::serve) fn categories(&mut self, categories: &[u32]) -> u32 {
        let words = categories.iter().max().map_or(0, |most| (most / 32) as usize + 1);
        if words > 64 + 8 * categories.len() {
            let mut numbers: Vec<f64> = categories.iter().map(|category| f64::from(*category)).collect();
            numbers.sort_by(f64::total_cmp);
            self.sets.push(Members::Numbers { numbers, whole: true });
            return u32::try_from(self.sets.len() - 1).unwrap_or(u32::MAX);
        }
        let mut bits = vec![0_u32; words];
        for category in categories {
            bits[(category / 32) as usize] |= 1 << (category % 32);
        }
        self.bits(bits)
    }

    /// Adds a tree whose root is node `root`; it adds to output `output` and, where leaves are wide, to those after it. O(nodes).
    ///
    /// With `shared`, nodes may be reached on several ways; the caller has made sure that ways end.
    pub(in crate::serve) fn tree(
        &mut self,
        nodes: &[Branch],
        root: u32,
        output: usize,
        shared: bool,
    ) -> Result<(), TreeFault> {
        const NOWHERE: u32 = u32::MAX;
        let first = self.forest.nodes.len();
        if nodes.is_empty() {
            return Err(TreeFault::Empty);
        }
        let mut placed = vec![NOWHERE; nodes.len()];
        // Each way to go: the node, whose right child it is (else it follows its parent), the depth.
        let mut ways: Vec<(u32, Option<usize>, usize)> = vec![(root, None, 0)];
        let mut parent = 0;
        while let Some((index, right_of, depth)) = ways.pop() {
            let at = self.forest.nodes.len();
            if at >= MAX_NODES {
                return Err(TreeFault::Many);
            }
            let here = u32::try_from(at).map_err(|_| TreeFault::Many)?;
            let place = usize::try_from(index).unwrap_or(usize::MAX);
            let (Some(node), Some(spot)) = (nodes.get(place), placed.get_mut(place)) else {
                return Err(TreeFault::NoChild { node: parent, child: index });
            };
            if depth > MAX_DEPTH {
                return Err(TreeFault::Deep { node: place });
            }
            if *spot != NOWHERE {
                if !shared {
                    return Err(TreeFault::Twice { node: place });
                }
                match right_of {
                    Some(parent) => self.forest.nodes[parent].right = *spot,
                    // Whoever comes here is sent on.
                    None => self.push(Packed { threshold: f64::NAN, column: 0, right: *spot }, 0),
                }
                continue;
            }
            *spot = here;
            parent = place;
            if let Some(parent) = right_of {
                self.forest.nodes[parent].right = here;
            }
            match *node {
                Branch::Leaf(leaf) => {
                    let known = (leaf as usize).checked_mul(self.forest.leaf_width);
                    if known.is_none_or(|known| known >= self.forest.values.len()) {
                        return Err(TreeFault::NoLeaf { node: place });
                    }
                    self.push(Packed { threshold: f64::NAN, column: 0, right: here }, leaf);
                }
                Branch::Split { test, left, right } => {
                    let (column, threshold) = self.question(test, place)?;
                    self.push(Packed { threshold, column, right: here }, 0);
                    ways.push((right, Some(at), depth + 1));
                    ways.push((left, None, depth + 1));
                }
            }
        }
        let shape = self.shape(first, shared);
        let root = u32::try_from(first).map_err(|_| TreeFault::Many)?;
        let output = u32::try_from(output).map_err(|_| TreeFault::Many)?;
        self.forest.trees.push(Tree { root, output, shape });
        Ok(())
    }

    fn push(&mut self, node: Packed, leaf: u32) {
        self.forest.nodes.push(node);
        self.forest.leaves.push(leaf);
    }

    /// The column and the threshold of a question.
    fn question(&mut self, test: Test, node: usize) -> Result<(u32, f64), TreeFault> {
        let (Test::AtMost { feature, .. } | Test::Among { feature, .. }) = test;
        if usize::try_from(feature).map_or(true, |feature| feature >= self.forest.features) {
            return Err(TreeFault::NoFeature { node, feature, features: self.forest.features });
        }
        match test {
            Test::AtMost { threshold, .. } if threshold.is_nan() => Err(TreeFault::Threshold { node }),
            Test::AtMost { threshold, reading, .. } => {
                let exact = if self.forest.narrow { f64::from(narrow_down(threshold)) } else { threshold };
                Ok((self.column(feature, reading), exact))
            }
            Test::Among { set, missing, .. } => {
                let members = usize::try_from(set).ok().and_then(|set| self.sets.get(set)).cloned();
                let set = match members.ok_or(TreeFault::NoLeaf { node })? {
                    Members::Bits { start, words } => {
                        let column = self.column(feature, Reading::Category);
                        Set::Bits { column, missing, start, words }
                    }
                    Members::Numbers { numbers, whole } => {
                        let column = self.column(feature, Reading::Plain);
                        Set::Numbers { column, missing, numbers, whole }
                    }
                };
                self.forest.sets.push(set);
                let set = u32::try_from(self.forest.sets.len() - 1).ok().filter(|set| *set < SET);
                Ok((SET | set.ok_or(TreeFault::Many)?, 0.0))
            }
        }
    }

    fn column(&mut self, feature: u32, reading: Reading) -> u32 {
        let next = u32::try_from(self.columns.len()).unwrap_or(u32::MAX);
        *self.columns.entry((feature, reading)).or_insert_with(|| {
            self.forest.columns.push((feature, reading));
            next
        })
    }

    /// A small tree as cuts: each question that is answered no takes away the leaves on its left; the first leaf that is left
    /// is the one. Nodes lie in preorder, so leaves lie in the order from left to right.
    fn shape(&mut self, first: usize, shared: bool) -> Shape {
        let is_leaf = |at: usize, node: &Packed| node.threshold.is_nan() && node.right as usize == at;
        let forest = &mut self.forest;
        let nodes = &forest.nodes[first..];
        let leaves = nodes.iter().enumerate().filter(|(i, node)| is_leaf(first + i, node)).count();
        if shared || leaves > most_leaves() {
            return Shape::Walk;
        }
        // Numbers of double precision and 64 leaves fill the same registers.
        let wide = !forest.narrow || (33..=64).contains(&leaves);
        let (words, ordered) = (forest.cut_words.len(), forest.ordered.len());
        // Leaves before each node.
        let mut before = Vec::with_capacity(nodes.len());
        let mut count = 0_usize;
        for (i, node) in nodes.iter().enumerate() {
            before.push(count);
            if is_leaf(first + i, node) {
                count += 1;
                let at = forest.leaves[first + i] as usize * forest.leaf_width;
                forest.ordered.extend(&forest.values[at..at + forest.leaf_width]);
            }
        }
        let bits = if wide { 64 } else { 32 };
        for from in (0..leaves).step_by(bits) {
            let (members, small, large) = (forest.members.len(), forest.cuts.len(), forest.wide_cuts.len());
            for (i, node) in nodes.iter().enumerate().filter(|(i, node)| !is_leaf(first + i, node)) {
                // Of this word, the leaves on the left.
                let part = |leaf: usize| leaf.clamp(from, from + bits) - from;
                let taken = ones(part(before[node.right as usize - first])) & !ones(part(before[i]));
                let (keep, threshold, column) = (!taken, node.threshold, node.column);
                if taken == 0 {
                    continue;
                }
                if column & SET != 0 {
                    forest.members.push(Member { keep, set: column & !SET });
                } else if wide {
                    forest.wide_cuts.push(Cut { threshold, column, keep });
                } else {
                    // The upper half is of no leaf.
                    let keep = u32::try_from(keep & u64::from(u32::MAX)).unwrap_or(u32::MAX);
                    forest.cuts.push(Cut { threshold, column, keep });
                }
            }
            let numbers = if wide { large..forest.wide_cuts.len() } else { small..forest.cuts.len() };
            forest.cut_words.push(Word { numbers, members: members..forest.members.len() });
        }
        let cuts = Cuts { words: words..forest.cut_words.len(), leaves: ordered..forest.ordered.len() };
        if wide { Shape::Wide(cuts) } else { Shape::Small(cuts) }
    }

    /// The forest.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for an output that a tree adds to and that is not there, or for numbers that are not finite.
    pub(in crate::serve) fn finish(mut self, operation: &'static str, output: Output) -> Result<Forest> {
        let corrupt = |message: &str| Error::new(ErrorKind::Corrupt, operation, message);
        let forest = &self.forest;
        let fits = |tree: &Tree| tree.output as usize + forest.leaf_width <= forest.outputs;
        if let Some(tree) = forest.trees.iter().position(|tree| !fits(tree)) {
            return Err(corrupt("a tree adds to an output that is not there").with("tree", tree));
        }
        if let Some(leaf) = forest.values.iter().position(|value| !value.is_finite()) {
            return Err(corrupt("the value of a leaf is not finite").with("leaf", leaf / forest.leaf_width));
        }
        if output.start.iter().any(|start| !start.is_finite()) {
            return Err(corrupt("the value that sums begin with is not finite"));
        }
        self.forest.output = output;
        self.forest.output.start.resize(self.forest.outputs, 0.0);
        self.forest.leaves.shrink_to_fit();
        self.forest.nodes.shrink_to_fit();
        self.forest.values.shrink_to_fit();
        self.forest.ordered.shrink_to_fit();
        Ok(self.forest)
    }
}
