//! Gradient-boosted trees on histograms: the built-in learner of the domain classifier.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::domain_classifier::{Learner, Scorer};
use super::matrix::Matrix;

/// Gradient boosting of the logistic loss with small trees over binned columns.
///
/// Every column is cut at quantiles of the training rows, a missing value has a bin of its own, and infinities are extreme values.
/// A tree splits level by level where the second-order gain is largest (Chen and Guestrin, *XGBoost*, KDD 2016). The order of a
/// column's values is all that matters, so no scaling is needed. No randomness: the same rows give the same trees.
///
/// Cost: O(rounds · depth · rows · columns) after O(rows log rows · columns) for the cuts; rows · columns bytes of memory.
///
/// ```
/// use mlops_drift::multivariate::{Boosting, Learner as _, Matrix, Scorer as _};
///
/// let rows: Vec<f64> = (0..100).map(f64::from).collect();
/// let labels: Vec<bool> = (0..100).map(|i| (30..60).contains(&i)).collect();
/// let model = Boosting::default().fit(&Matrix::new(&rows, 1)?, &labels)?;
/// let scores = model.scores(&Matrix::new(&[10.0, 45.0, 80.0], 1)?)?;
/// assert!(scores[1] > scores[0] && scores[1] > scores[2]);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
///
/// ```
/// use mlops_drift::multivariate::Boosting;
///
/// let learner = Boosting::default().with_rounds(100).with_learning_rate(0.1);
/// assert_eq!((learner.rounds, learner.learning_rate), (100, 0.1));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Boosting {
    /// How many trees, at least 1. Default: 60.
    pub rounds: u32,
    /// How much of a tree's answer is taken, in (0, 1]. Default: 0.15.
    pub learning_rate: f64,
    /// How many levels a tree has, 1 to 12. Default: 4.
    pub depth: u32,
    /// About how many bins a column has beside that of missing values, 2 to 127; values with the mass of a bin have one of their own.
    /// Default: 64.
    pub bins: u32,
    /// The fewest rows in a leaf. Default: 10.
    pub min_leaf: u32,
    /// What pulls leaves to 0, at least 0: λ of the second-order gain. Default: 1.
    pub regularisation: f64,
}

impl Default for Boosting {
    fn default() -> Self {
        Self { rounds: 60, learning_rate: 0.15, depth: 4, bins: 64, min_leaf: 10, regularisation: 1.0 }
    }
}

impl Boosting {
    /// With so many trees.
    #[must_use]
    pub fn with_rounds(mut self, rounds: u32) -> Self {
        self.rounds = rounds;
        self
    }

    /// With this share of each tree's answer.
    #[must_use]
    pub fn with_learning_rate(mut self, learning_rate: f64) -> Self {
        self.learning_rate = learning_rate;
        self
    }

    /// With trees of so many levels.
    #[must_use]
    pub fn with_depth(mut self, depth: u32) -> Self {
        self.depth = depth;
        self
    }

    /// With about so many bins for each column.
    #[must_use]
    pub fn with_bins(mut self, bins: u32) -> Self {
        self.bins = bins;
        self
    }

    /// With at least so many rows in a leaf.
    #[must_use]
    pub fn with_min_leaf(mut self, min_leaf: u32) -> Self {
        self.min_leaf = min_leaf;
        self
    }

    /// With leaves pulled to 0 by this λ.
    #[must_use]
    pub fn with_regularisation(mut self, regularisation: f64) -> Self {
        self.regularisation = regularisation;
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        let wrong = |parameter, value, reason| Err(StatsError::Parameter { parameter, value, reason });
        match *self {
            Self { rounds: 0, .. } => wrong("rounds", 0.0, "must be at least 1"),
            Self { depth, .. } if !(1..=12).contains(&depth) => {
                wrong("depth", f64::from(depth), "must lie between 1 and 12")
            }
            Self { bins, .. } if !(2..=127).contains(&bins) => {
                wrong("bins", f64::from(bins), "must lie between 2 and 127")
            }
            Self { learning_rate, .. } if !(learning_rate > 0.0 && learning_rate <= 1.0) => {
                wrong("learning_rate", learning_rate, "must lie in (0, 1]")
            }
            Self { regularisation, .. } if !(regularisation >= 0.0 && regularisation.is_finite()) => {
                wrong("regularisation", regularisation, "must be finite and not negative")
            }
            _ => Ok(()),
        }
    }
}

impl Learner for Boosting {
    fn fit(&self, rows: &Matrix<'_, f64>, labels: &[bool]) -> Result<Box<dyn Scorer>, StatsError> {
        self.check()?;
        if labels.len() != rows.rows() {
            return Err(StatsError::LengthMismatch {
                left: "labels",
                left_len: labels.len(),
                right: "rows",
                right_len: rows.rows(),
            });
        }
        let binned = Binned::new(rows, self.bins);
        let mut grower = Grower::new(self, &binned, labels);
        let trees = (0..self.rounds).map(|round| grower.tree(round)).collect();
        Ok(Box::new(Trees { trees, columns: rows.columns() }))
    }
}

/// Columns cut into bins: 0 is missing, bin b ≥ 1 holds values in (cuts[b − 2], cuts[b − 1]], the last what lies above all cuts.
struct Binned {
    /// Column after column.
    bins: Vec<u8>,
    cuts: Vec<Vec<f64>>,
    rows: usize,
}

impl Binned {
    fn new(rows: &Matrix<'_, f64>, bins: u32) -> Self {
        let (count, columns) = (rows.rows(), rows.columns());
        let mut binned = Self {
            bins: Vec::with_capacity(count * columns),
            cuts: Vec::with_capacity(columns),
            rows: count,
        };
        let mut column = Vec::with_capacity(count);
        for index in 0..columns {
            column.clear();
            column.extend(rows.iter().filter_map(|row| row.get(index)).copied());
            let cuts = cuts(&column, bins);
            binned.bins.extend(column.iter().map(|value| bin(*value, &cuts)));
            binned.cuts.push(cuts);
        }
        binned
    }

    fn column(&self, index: usize) -> &[u8] {
        &self.bins[index * self.rows..(index + 1) * self.rows]
    }
}

/// Quantiles of at most 10 000 evenly spaced values, each once, with a cut on either side of values that have the mass of a bin; the
/// largest value is no cut, there is nothing above it. At most 2 · `bins` − 1 of them.
fn cuts(column: &[f64], bins: u32) -> Vec<f64> {
    let step = column.len().div_ceil(10_000).max(1);
    let mut sorted: Vec<f64> = column.iter().step_by(step).copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let bins = usize::try_from(bins).unwrap_or(usize::MAX);
    let distinct = sorted.chunk_by(|a, b| a == b).count();
    let (mut cuts, mut seen) = (Vec::new(), 0);
    let mut before = None;
    for equal in sorted.chunk_by(|a, b| a == b) {
        // The quantiles among these places: whether k · len / bins falls there for some k.
        let (bin_before, bin_after) =
            (seen * bins / sorted.len(), (seen + equal.len()) * bins / sorted.len());
        let heavy = equal.len() * bins >= sorted.len();
        if distinct <= bins || heavy {
            cuts.extend(before);
        }
        if distinct <= bins || heavy || bin_before != bin_after {
            cuts.extend(equal.first().copied());
        }
        seen += equal.len();
        before = equal.first().copied();
    }
    cuts.dedup_by(|a, b| a == b);
    cuts.retain(|cut| Some(*cut) != before);
    cuts
}

fn bin(value: f64, cuts: &[f64]) -> u8 {
    if value.is_nan() {
        return 0;
    }
    // There are at most 253 cuts.
    u8::try_from(1 + cuts.partition_point(|cut| *cut < value)).unwrap_or(u8::MAX)
}

/// A node of a tree: rows with a value of at most `cut` (none: missing ones only) go left.
#[derive(Clone, Copy, Debug)]
enum Node {
    Leaf(f64),
    Split { column: usize, cut: Option<f64>, left: usize, right: usize },
}

#[derive(Debug)]
struct Trees {
    trees: Vec<Vec<Node>>,
    columns: usize,
}

impl Scorer for Trees {
    fn scores(&self, rows: &Matrix<'_, f64>) -> Result<Vec<f64>, StatsError> {
        if rows.columns() != self.columns {
            return Err(StatsError::LengthMismatch {
                left: "a row of rows",
                left_len: rows.columns(),
                right: "a row of the training data",
                right_len: self.columns,
            });
        }
        Ok(rows.iter().map(|row| self.trees.iter().map(|tree| answer(tree, row)).sum()).collect())
    }
}

fn answer(tree: &[Node], row: &[f64]) -> f64 {
    let mut at = 0;
    loop {
        match tree.get(at) {
            Some(&Node::Split { column, cut, left, right }) => {
                let value = row.get(column).copied().unwrap_or(f64::NAN);
                let goes_left = value.is_nan() || cut.is_some_and(|cut| value <= cut);
                at = if goes_left { left } else { right };
            }
            Some(&Node::Leaf(value)) => return value,
            None => return 0.0,
        }
    }
}

/// Sums over rows: how many, of first and of second derivatives of the loss.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    count: f64,
    gradient: f64,
    hessian: f64,
}

impl Sums {
    fn add(&mut self, gradient: f64, hessian: f64) {
        self.count += 1.0;
        self.gradient += gradient;
        self.hessian += hessian;
    }

    fn plus(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            gradient: self.gradient + other.gradient,
            hessian: self.hessian + other.hessian,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            count: self.count - other.count,
            gradient: self.gradient - other.gradient,
            hessian: self.hessian - other.hessian,
        }
    }
}

/// The best way found to split a node.
#[derive(Clone, Copy)]
struct Best {
    gain: f64,
    column: usize,
    /// The last bin that goes left.
    bin: u8,
}

/// Grows one tree after the other on what the former ones have left.
struct Grower<'a> {
    options: &'a Boosting,
    binned: &'a Binned,
    labels: &'a [bool],
    scores: Vec<f64>,
    gradients: Vec<f64>,
    hessians: Vec<f64>,
    order: Vec<usize>,
    histogram: Vec<Sums>,
}

impl<'a> Grower<'a> {
    fn new(options: &'a Boosting, binned: &'a Binned, labels: &'a [bool]) -> Self {
        let rows = labels.len();
        let ones = labels.iter().filter(|label| **label).count() as f64;
        // The log odds of the labels, kept finite.
        let start = ((ones + 0.5) / (rows as f64 - ones + 0.5)).ln();
        Self {
            options,
            binned,
            labels,
            scores: vec![start; rows],
            gradients: vec![0.0; rows],
            hessians: vec![0.0; rows],
            order: (0..rows).collect(),
            histogram: vec![Sums::default(); 257],
        }
    }

    /// The next tree. Every other one is rooted at the median of a column, each in turn: where two columns tell something together
    /// and nothing alone, no first split has a gain, and yet the second has.
    fn tree(&mut self, round: u32) -> Vec<Node> {
        for (row, &label) in self.labels.iter().enumerate() {
            let p = 1.0 / (1.0 + (-self.scores[row]).exp());
            self.gradients[row] = p - f64::from(u8::from(label));
            self.hessians[row] = p * (1.0 - p);
        }
        let mut order = std::mem::take(&mut self.order);
        let mut nodes = Vec::new();
        let root = if round % 2 == 1 { self.median_split(&order, round / 2) } else { None };
        self.grow(&mut nodes, &mut order, self.options.depth, root);
        self.order = order;
        nodes
    }

    /// The split nearest to the median of a column; none where it leaves too few rows on a side.
    fn median_split(&mut self, rows: &[usize], turn: u32) -> Option<Best> {
        let column = usize::try_from(turn).unwrap_or(0) % self.binned.cuts.len();
        let count = self.binned.cuts[column].len() + 2;
        self.fill(column, count, rows);
        let (half, mut left) = (rows.len() as f64 / 2.0, 0.0);
        let off = |count: f64| f64::abs(count - half);
        let mut nearest: Option<(u8, f64)> = None;
        for (bin, sums) in (0..u8::MAX).zip(&self.histogram[..count - 1]) {
            left += sums.count;
            if nearest.is_none_or(|(_, nearest)| off(left) < off(nearest)) {
                nearest = Some((bin, left));
            }
        }
        let least = f64::from(self.options.min_leaf.max(1));
        let enough = |left: f64| left >= least && rows.len() as f64 - left >= least;
        nearest.filter(|(_, left)| enough(*left)).map(|(bin, _)| Best { gain: 0.0, column, bin })
    }

    /// Grows the node of these rows and everything below it; its place among the nodes.
    /// It is split as told, or where the gain is largest.
    fn grow(&mut self, nodes: &mut Vec<Node>, rows: &mut [usize], depth: u32, told: Option<Best>) -> usize {
        let place = nodes.len();
        nodes.push(Node::Leaf(0.0));
        let mut total = Sums::default();
        rows.iter().for_each(|&row| total.add(self.gradients[row], self.hessians[row]));
        let best = told.or_else(|| if depth > 0 { self.best_split(rows, total) } else { None });
        let Some(best) = best else {
            let value = -self.options.learning_rate * total.gradient
                / (total.hessian + self.options.regularisation + 1e-12);
            rows.iter().for_each(|&row| self.scores[row] += value);
            nodes[place] = Node::Leaf(value);
            return place;
        };
        let bins = self.binned.column(best.column);
        let middle = partition(rows, |row| bins[row] <= best.bin);
        let (left, right) = rows.split_at_mut(middle);
        let left = self.grow(nodes, left, depth - 1, None);
        let right = self.grow(nodes, right, depth - 1, None);
        let cut = usize::from(best.bin).checked_sub(1).and_then(|cut| self.binned.cuts[best.column].get(cut));
        nodes[place] = Node::Split { column: best.column, cut: cut.copied(), left, right };
        place
    }

    fn best_split(&mut self, rows: &[usize], total: Sums) -> Option<Best> {
        let least = f64::from(self.options.min_leaf.max(1));
        if total.count < 2.0 * least {
            return None;
        }
        let lambda = self.options.regularisation + 1e-12;
        let value = |sums: Sums| sums.gradient * sums.gradient / (sums.hessian + lambda);
        let mut best: Option<Best> = None;
        for column in 0..self.binned.cuts.len() {
            let count = self.binned.cuts[column].len() + 2;
            self.fill(column, count, rows);
            let mut left = Sums::default();
            for (bin, sums) in (0..u8::MAX).zip(&self.histogram[..count - 1]) {
                left = left.plus(*sums);
                let right = total.minus(left);
                if left.count < least || right.count < least || sums.count == 0.0 {
                    continue;
                }
                let gain = value(left) + value(right) - value(total);
                if gain > best.map_or(1e-9, |best| best.gain) {
                    best = Some(Best { gain, column, bin });
                }
            }
        }
        best
    }

    fn fill(&mut self, column: usize, count: usize, rows: &[usize]) {
        let histogram = &mut self.histogram[..count];
        histogram.fill(Sums::default());
        let bins = self.binned.column(column);
        rows.iter().for_each(|&row| {
            histogram[usize::from(bins[row])].add(self.gradients[row], self.hessians[row]);
        });
    }
}

/// Moves the rows that belong left to the front; how many they are. Keeps the order of both parts, so that sums do not depend on it.
fn partition(rows: &mut [usize], left: impl Fn(usize) -> bool) -> usize {
    let (front, back): (Vec<usize>, Vec<usize>) = rows.iter().partition(|&&row| left(row));
    let (head, tail) = rows.split_at_mut(front.len());
    head.copy_from_slice(&front);
    tail.copy_from_slice(&back);
    front.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multivariate::auc;

    fn accuracy(rows: &[f64], columns: usize, labels: &[bool]) -> f64 {
        let matrix = Matrix::new(rows, columns).unwrap();
        let scores = Boosting::default().fit(&matrix, labels).unwrap().scores(&matrix).unwrap();
        let side = |wanted: bool| -> Vec<f64> {
            scores
                .iter()
                .zip(labels)
                .filter(|(_, label)| **label == wanted)
                .map(|(score, _)| *score)
                .collect()
        };
        auc(&side(false), &side(true)).unwrap().value
    }

    #[test]
    fn an_interaction_without_main_effects_is_learnt() {
        let rows: Vec<f64> = (0..400).flat_map(|i| [f64::from(i % 20), f64::from(i / 20)]).collect();
        let labels: Vec<bool> = rows.chunks(2).map(|row| (row[0] < 10.0) != (row[1] < 10.0)).collect();
        let found = accuracy(&rows, 2, &labels);
        assert!(found > 0.99, "{found}");
    }

    #[test]
    fn missing_values_and_infinities_are_values_like_others() {
        let rows: Vec<f64> = (0..100).map(|i| if i % 4 == 0 { f64::NAN } else { f64::from(i) }).collect();
        let labels: Vec<bool> = rows.iter().map(|value| value.is_nan()).collect();
        assert_eq!(accuracy(&rows, 1, &labels), 1.0);
        let rows: Vec<f64> =
            (0..100).map(|i| if i % 4 == 0 { f64::INFINITY } else { f64::from(i) }).collect();
        let labels: Vec<bool> = rows.iter().map(|value| value.is_infinite()).collect();
        assert_eq!(accuracy(&rows, 1, &labels), 1.0);
    }

    #[test]
    fn columns_that_never_vary_give_equal_scores() {
        let matrix = Matrix::new(&[1.0; 60], 2).unwrap();
        let labels: Vec<bool> = (0..30).map(|i| i % 2 == 0).collect();
        let scores = Boosting::default().fit(&matrix, &labels).unwrap().scores(&matrix).unwrap();
        assert!(scores.iter().all(|score| *score == scores[0]));
    }

    #[test]
    fn a_value_lies_in_the_bin_whose_cut_it_meets() {
        let cuts = cuts(&[1.0, 2.0, 3.0, 2.0, f64::NAN], 64);
        assert_eq!(cuts, [1.0, 2.0]);
        let binned: Vec<u8> = [f64::NAN, 0.0, 1.0, 1.5, 2.0, 9.0].iter().map(|v| bin(*v, &cuts)).collect();
        assert_eq!(binned, [0, 1, 1, 2, 2, 3]);
        let many: Vec<f64> = (0..1000).map(f64::from).collect();
        assert_eq!(super::cuts(&many, 64).len(), 63);
    }

    #[test]
    fn options_out_of_range_are_named() {
        let matrix = Matrix::new(&[1.0, 2.0], 1).unwrap();
        for (options, name) in [
            (Boosting { rounds: 0, ..Boosting::default() }, "rounds"),
            (Boosting { depth: 13, ..Boosting::default() }, "depth"),
            (Boosting { bins: 128, ..Boosting::default() }, "bins"),
            (Boosting { learning_rate: f64::NAN, ..Boosting::default() }, "learning_rate"),
            (Boosting { regularisation: -1.0, ..Boosting::default() }, "regularisation"),
        ] {
            let refused = options.fit(&matrix, &[true, false]).map(|_| ());
            assert!(matches!(refused, Err(StatsError::Parameter { parameter, .. }) if parameter == name));
        }
        assert!(Boosting::default().fit(&matrix, &[true]).is_err());
    }
}
