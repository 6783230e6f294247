//! Gradient-boosted regression trees on histograms: small, exact to repeat, good enough to learn how large an error will be.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::check;

/// Rows of features, row by row; NaN is a missing value.
///
/// ```
/// use mlops_drift::performance::Features;
/// let rows = Features::new(&[1.0, 2.0, 3.0, f64::NAN], 2)?;
/// assert_eq!((rows.rows(), rows.columns()), (2, 2));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    values: &'a [f64],
    columns: usize,
}

impl<'a> Features<'a> {
    /// The most columns.
    pub const MAX_COLUMNS: usize = 10_000;

    /// Checks the shape. Infinities are values, NaN is a missing value.
    ///
    /// # Errors
    /// [`StatsError::Empty`]; [`StatsError::Parameter`] for no or more than [`MAX_COLUMNS`](Self::MAX_COLUMNS) columns;
    /// [`StatsError::LengthMismatch`] when rows are not complete.
    pub fn new(values: &'a [f64], columns: usize) -> Result<Self, StatsError> {
        if !(1..=Self::MAX_COLUMNS).contains(&columns) {
            let reason = "must be from 1 to 10000";
            return Err(StatsError::Parameter { parameter: "columns", value: columns as f64, reason });
        }
        check::same_length(
            "values",
            values.len(),
            "rows × columns",
            values.len().div_ceil(columns) * columns,
        )?;
        Ok(Self { values, columns })
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.columns
    }

    /// How many columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [f64]> {
        self.values.chunks_exact(self.columns)
    }

    fn column(&self, column: usize) -> impl Iterator<Item = f64> + 'a {
        self.values.iter().skip(column).step_by(self.columns).copied()
    }
}

/// Something that learns a number from features.
///
/// # Contract
/// * Predictions are finite, one for each row, for any row of as many columns as it was fitted on, missing values included.
/// * The same input gives the same model and the same predictions.
pub trait Regressor {
    /// What it learns.
    type Model: Predict;

    /// Learns `target`, which has a finite value for each row.
    ///
    /// # Errors
    /// Whatever it cannot learn from.
    fn fit(&self, features: &Features<'_>, target: &[f64]) -> Result<Self::Model, StatsError>;
}

/// A model that a [`Regressor`] has learned; see there for the contract.
pub trait Predict {
    /// The prediction for each row.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`] for another number of columns than it was fitted on.
    fn predict(&self, features: &Features<'_>) -> Result<Vec<f64>, StatsError>;
}

/// Gradient boosting of regression trees under squared loss, on up to 64 quantile bins a feature, missing values in a bin of
/// their own that goes where it helps. No randomness at all.
///
/// Each tree grows by its best leaf until it has `leaves`; a split gains GL²/(nL+λ) + GR²/(nR+λ) − G²/(n+λ). O(rows · columns · trees
/// · depth). After Friedman (Annals of Statistics 29, 2001) and Ke et al., "LightGBM" (NIPS 2017).
///
/// ```
/// use mlops_drift::performance::BoostedTrees;
///
/// let learner = BoostedTrees::default().with_trees(50).with_leaves(15);
/// assert_eq!((learner.trees, learner.leaves), (50, 15));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoostedTrees {
    /// How many trees, 1 to 10 000. Default: 100.
    pub trees: usize,
    /// The share of each tree that counts, in (0, 1]. Default: 0.1.
    pub learning_rate: f64,
    /// The leaves of a tree, 2 to 1024. Default: 31.
    pub leaves: usize,
    /// The fewest rows of a leaf, at least 1. Default: 20.
    pub min_leaf_rows: usize,
    /// λ, what holds leaf values back, at least 0. Default: 1.
    pub shrinkage: f64,
}

impl Default for BoostedTrees {
    fn default() -> Self {
        Self { trees: 100, learning_rate: 0.1, leaves: 31, min_leaf_rows: 20, shrinkage: 1.0 }
    }
}

impl BoostedTrees {
    /// With so many trees.
    #[must_use]
    pub fn with_trees(mut self, trees: usize) -> Self {
        self.trees = trees;
        self
    }

    /// With this share of each tree.
    #[must_use]
    pub fn with_learning_rate(mut self, learning_rate: f64) -> Self {
        self.learning_rate = learning_rate;
        self
    }

    /// With trees of so many leaves.
    #[must_use]
    pub fn with_leaves(mut self, leaves: usize) -> Self {
        self.leaves = leaves;
        self
    }

    /// With at least so many rows in a leaf.
    #[must_use]
    pub fn with_min_leaf_rows(mut self, min_leaf_rows: usize) -> Self {
        self.min_leaf_rows = min_leaf_rows;
        self
    }

    /// With leaf values held back by this λ.
    #[must_use]
    pub fn with_shrinkage(mut self, shrinkage: f64) -> Self {
        self.shrinkage = shrinkage;
        self
    }

    const MAX_BINS: usize = 64;

    fn check(&self) -> Result<(), StatsError> {
        let sound = [
            ("trees", self.trees as f64, (1..=10_000).contains(&self.trees), "must be from 1 to 10000"),
            ("leaves", self.leaves as f64, (2..=1024).contains(&self.leaves), "must be from 2 to 1024"),
            ("min_leaf_rows", self.min_leaf_rows as f64, self.min_leaf_rows > 0, "must be at least 1"),
            (
                "learning_rate",
                self.learning_rate,
                self.learning_rate > 0.0 && self.learning_rate <= 1.0,
                "must lie in (0, 1]",
            ),
            (
                "shrinkage",
                self.shrinkage,
                self.shrinkage >= 0.0 && self.shrinkage.is_finite(),
                "must lie in [0, ∞)",
            ),
        ];
        match sound.into_iter().find(|(_, _, sound, _)| !sound) {
            Some((parameter, value, _, reason)) => Err(StatsError::Parameter { parameter, value, reason }),
            None => Ok(()),
        }
    }
}

/// A sum of trees. Serialises with what reads it: check the version of what holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawForest", into = "RawForest")]
pub struct Forest {
    raw: RawForest,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawForest {
    columns: usize,
    base: f64,
    trees: Vec<Vec<Node>>,
}

/// A border between values; infinite where values are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Edge(#[serde(with = "mlops_core::num::json_float")] f64);

/// A node of a tree; children come after their parent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
enum Node {
    #[serde(rename = "leaf")]
    Leaf(f64),
    #[serde(rename = "split")]
    Split {
        column: usize,
        /// Values below go left; without it every value does, and only missing ones go right.
        below: Option<Edge>,
        missing_left: bool,
        left: usize,
        right: usize,
    },
}

impl Regressor for BoostedTrees {
    type Model = Forest;

    fn fit(&self, features: &Features<'_>, target: &[f64]) -> Result<Forest, StatsError> {
        self.check()?;
        check::same_length("features", features.rows(), "target", target.len())?;
        check::finite("target", target)?;
        if u32::try_from(target.len()).is_err() {
            return Err(StatsError::Overflow { what: "the number of rows (at most 2^32 − 1)" });
        }
        let binned = Binned::new(features);
        let base = super::estimate::moments(target).0;
        if !base.is_finite() {
            return Err(StatsError::Overflow { what: "the mean of the target" });
        }
        let mut residuals: Vec<f64> = target.iter().map(|value| value - base).collect();
        let mut trees = Vec::new();
        for _ in 0..self.trees {
            let tree = Grower::new(self, &binned, &residuals).grow();
            if tree.nodes.len() == 1 {
                break;
            }
            for (value, rows) in &tree.leaves {
                for &row in rows {
                    if let Some(residual) = residuals.get_mut(row as usize) {
                        *residual -= value;
                    }
                }
            }
            trees.push(tree.nodes);
        }
        Ok(Forest { raw: RawForest { columns: features.columns(), base, trees } })
    }
}

impl Predict for Forest {
    fn predict(&self, features: &Features<'_>) -> Result<Vec<f64>, StatsError> {
        check::same_length("columns fitted", self.raw.columns, "columns", features.columns())?;
        let predict = |row| self.raw.base + self.raw.trees.iter().map(|tree| walk(tree, row)).sum::<f64>();
        Ok(features.iter().map(predict).collect())
    }
}

/// The value of the leaf that a row falls into.
fn walk(tree: &[Node], row: &[f64]) -> f64 {
    let mut at = 0;
    while let Some(node) = tree.get(at) {
        match *node {
            Node::Leaf(value) => return value,
            Node::Split { column, below, missing_left, left, right } => {
                let value = row.get(column).copied().unwrap_or(f64::NAN);
                let goes_left =
                    if value.is_nan() { missing_left } else { below.is_none_or(|Edge(edge)| value < edge) };
                at = if goes_left { left } else { right };
            }
        }
    }
    0.0
}

/// Features as bin numbers, column by column: bin i holds values in [edges[i − 1], edges[i]), the last one missing values.
struct Binned {
    rows: usize,
    columns: Vec<BinnedColumn>,
}

struct BinnedColumn {
    edges: Vec<f64>,
    bins: Vec<u8>,
}

impl Binned {
    fn new(features: &Features<'_>) -> Self {
        let column = |column| BinnedColumn::new(&features.column(column).collect::<Vec<_>>());
        Self { rows: features.rows(), columns: (0..features.columns()).map(column).collect() }
    }
}

impl BinnedColumn {
    fn new(values: &[f64]) -> Self {
        let mut sorted: Vec<f64> =
            values.iter().filter(|value| !value.is_nan()).map(|value| value + 0.0).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let mut edges = Vec::new();
        let bins = BoostedTrees::MAX_BINS - 1;
        if sorted.len() > bins {
            edges.extend((1..bins).filter_map(|bin| sorted.get(bin * sorted.len() / bins)));
        } else {
            edges.extend_from_slice(&sorted);
        }
        edges.dedup();
        // An edge at the least value has nothing below it.
        edges.retain(|edge| sorted.first().is_some_and(|least| edge > least));
        let missing = u8::try_from(edges.len() + 1).unwrap_or(u8::MAX);
        let bin = |value: f64| {
            if value.is_nan() {
                return missing;
            }
            u8::try_from(edges.partition_point(|&edge| edge <= value)).unwrap_or(missing)
        };
        Self { bins: values.iter().map(|&value| bin(value)).collect(), edges }
    }
}

/// A sum and a count.
#[derive(Clone, Copy, Debug, Default)]
struct Mass {
    sum: f64,
    rows: f64,
}

impl Mass {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.rows += 1.0;
    }

    fn plus(self, other: Self) -> Self {
        Self { sum: self.sum + other.sum, rows: self.rows + other.rows }
    }

    fn minus(self, other: Self) -> Self {
        Self { sum: self.sum - other.sum, rows: self.rows - other.rows }
    }

    fn score(self, shrinkage: f64) -> f64 {
        if self.rows > 0.0 { self.sum * self.sum / (self.rows + shrinkage) } else { 0.0 }
    }
}

/// The best split of a leaf.
#[derive(Clone, Copy, Debug)]
struct Split {
    gain: f64,
    column: usize,
    /// The first bin that goes right.
    bin: usize,
    missing_left: bool,
}

struct Leaf {
    node: usize,
    rows: Vec<u32>,
    total: Mass,
    best: Option<Split>,
}

struct Tree {
    nodes: Vec<Node>,
    leaves: Vec<(f64, Vec<u32>)>,
}

struct Grower<'a> {
    options: &'a BoostedTrees,
    binned: &'a Binned,
    residuals: &'a [f64],
}

impl<'a> Grower<'a> {
    const fn new(options: &'a BoostedTrees, binned: &'a Binned, residuals: &'a [f64]) -> Self {
        Self { options, binned, residuals }
    }

    fn grow(&self) -> Tree {
        let rows: Vec<u32> = (0..u32::try_from(self.binned.rows).unwrap_or(u32::MAX)).collect();
        let mut nodes = vec![Node::Leaf(0.0)];
        let mut leaves = vec![self.leaf(0, rows)];
        while leaves.len() < self.options.leaves {
            // The first of the best: ties are broken by age, so that the same rows grow the same tree.
            let gain = |leaf: &Leaf| leaf.best.map_or(0.0, |split| split.gain);
            let Some(best) = leaves.iter().map(gain).reduce(f64::max).filter(|gain| *gain > 0.0) else {
                break;
            };
            let Some(at) = leaves.iter().position(|leaf| gain(leaf) == best) else { break };
            let leaf = leaves.swap_remove(at);
            let Some(split) = leaf.best else { break };
            leaves.extend(self.split(&leaf, split, &mut nodes));
        }
        let value = |leaf: &Leaf| {
            let rows = leaf.total.rows + self.options.shrinkage;
            if rows > 0.0 { self.options.learning_rate * leaf.total.sum / rows } else { 0.0 }
        };
        for leaf in &leaves {
            if let Some(node) = nodes.get_mut(leaf.node) {
                *node = Node::Leaf(value(leaf));
            }
        }
        Tree { nodes, leaves: leaves.into_iter().map(|leaf| (value(&leaf), leaf.rows)).collect() }
    }

    fn split(&self, leaf: &Leaf, split: Split, nodes: &mut Vec<Node>) -> [Leaf; 2] {
        let column = self.binned.columns.get(split.column);
        let missing = column.map_or(0, |column| column.edges.len() + 1);
        let goes_left = |row: &u32| {
            let bin =
                column.and_then(|column| column.bins.get(*row as usize)).map_or(0, |bin| usize::from(*bin));
            if bin == missing { split.missing_left } else { bin < split.bin }
        };
        let (left, right): (Vec<u32>, Vec<u32>) = leaf.rows.iter().copied().partition(goes_left);
        let (at_left, at_right) = (nodes.len(), nodes.len() + 1);
        let below = column.and_then(|column| column.edges.get(split.bin - 1)).copied();
        if let Some(node) = nodes.get_mut(leaf.node) {
            *node = Node::Split {
                column: split.column,
                below: below.map(Edge),
                missing_left: split.missing_left,
                left: at_left,
                right: at_right,
            };
        }
        nodes.extend([Node::Leaf(0.0), Node::Leaf(0.0)]);
        [self.leaf(at_left, left), self.leaf(at_right, right)]
    }

    fn leaf(&self, node: usize, rows: Vec<u32>) -> Leaf {
        let mut total = Mass::default();
        for &row in &rows {
            total.add(self.residuals.get(row as usize).copied().unwrap_or(0.0));
        }
        let splittable = rows.len() / 2 >= self.options.min_leaf_rows;
        let best = if splittable { self.best(&rows, total) } else { None };
        Leaf { node, rows, total, best }
    }

    /// The best split over all columns; the first of equals.
    fn best(&self, rows: &[u32], total: Mass) -> Option<Split> {
        let mut best: Option<Split> = None;
        for (index, column) in self.binned.columns.iter().enumerate() {
            let mut masses = [Mass::default(); 256];
            for &row in rows {
                let bin = column.bins.get(row as usize).copied().unwrap_or(0);
                masses[usize::from(bin)].add(self.residuals.get(row as usize).copied().unwrap_or(0.0));
            }
            let found = self.best_of_column(index, &masses, column.edges.len() + 1, total);
            if found.is_some_and(|found| best.is_none_or(|best| found.gain > best.gain)) {
                best = found;
            }
        }
        best
    }

    /// `missing` is the bin of missing values; the bins below it are ordered.
    fn best_of_column(
        &self,
        column: usize,
        masses: &[Mass; 256],
        missing: usize,
        total: Mass,
    ) -> Option<Split> {
        let absent = masses[missing.min(255)];
        let whole = total.score(self.options.shrinkage);
        let enough = self.options.min_leaf_rows as f64;
        let mut best: Option<Split> = None;
        let mut present_left = Mass::default();
        // Missing values alone on the right are the split at the end; one without missing values is no split there.
        for bin in 1..=missing {
            present_left = present_left.plus(masses[(bin - 1).min(255)]);
            for missing_left in [false, true] {
                let left = if missing_left { present_left.plus(absent) } else { present_left };
                let right = total.minus(left);
                if left.rows < enough || right.rows < enough || (missing_left && absent.rows == 0.0) {
                    continue;
                }
                let gain = left.score(self.options.shrinkage) + right.score(self.options.shrinkage) - whole;
                if gain > 1e-12 * whole.max(f64::MIN_POSITIVE) && best.is_none_or(|best| gain > best.gain) {
                    best = Some(Split { gain, column, bin, missing_left });
                }
            }
        }
        best
    }
}

impl TryFrom<RawForest> for Forest {
    type Error = String;

    fn try_from(raw: RawForest) -> Result<Self, String> {
        let sound = |tree: &Vec<Node>| {
            let node = |(at, node): (usize, &Node)| match *node {
                Node::Leaf(value) => value.is_finite(),
                // Children come later, so that a walk ends.
                Node::Split { column, below, left, right, .. } => {
                    column < raw.columns
                        && below.is_none_or(|Edge(edge)| !edge.is_nan())
                        && left > at
                        && right > at
                        && left < tree.len()
                        && right < tree.len()
                }
            };
            !tree.is_empty() && tree.iter().enumerate().all(node)
        };
        if !raw.base.is_finite() || !raw.trees.iter().all(sound) {
            return Err("a forest has a number that is not finite or a node that leads nowhere".to_owned());
        }
        Ok(Self { raw })
    }
}

impl From<Forest> for RawForest {
    fn from(forest: Forest) -> Self {
        forest.raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Vec<f64> {
        (0..600).flat_map(|i| [f64::from(i % 30), f64::from(i / 30)]).collect()
    }

    fn error(features: &Features<'_>, target: &[f64]) -> f64 {
        let forest = BoostedTrees::default().fit(features, target).unwrap();
        let predicted = forest.predict(features).unwrap();
        predicted.iter().zip(target).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    fn survives(forest: &Forest) {
        let text = serde_json::to_string(forest).unwrap();
        assert_eq!(&serde_json::from_str::<Forest>(&text).unwrap(), forest);
    }

    #[test]
    fn a_step_between_two_features_is_learned() {
        let values = grid();
        let features = Features::new(&values, 2).unwrap();
        let target: Vec<f64> = features.iter().map(|row| if row[0] < 10.0 { 1.0 } else { row[1] }).collect();
        assert!(error(&features, &target) < 0.1, "{}", error(&features, &target));
    }

    #[test]
    fn missing_values_go_where_they_help() {
        let values: Vec<f64> = (0..400).map(|i| if i % 4 == 0 { f64::NAN } else { f64::from(i) }).collect();
        let features = Features::new(&values, 1).unwrap();
        let target: Vec<f64> = values.iter().map(|value| if value.is_nan() { 5.0 } else { 0.0 }).collect();
        assert!(error(&features, &target) < 0.01);
        survives(&BoostedTrees::default().fit(&features, &target).unwrap());
    }

    #[test]
    fn infinities_are_values_and_new_rows_get_numbers() {
        let values: Vec<f64> =
            (0..200).map(|i| if i < 100 { f64::NEG_INFINITY } else { f64::INFINITY }).collect();
        let features = Features::new(&values, 1).unwrap();
        let target: Vec<f64> = (0..200).map(|i| f64::from(u8::from(i >= 100))).collect();
        assert!(error(&features, &target) < 0.01);
        let forest = BoostedTrees::default().fit(&features, &target).unwrap();
        survives(&forest);
        let new = [f64::NAN, 0.0, 1e300];
        assert!(forest.predict(&Features::new(&new, 1).unwrap()).unwrap().iter().all(|p| p.is_finite()));
        assert!(forest.predict(&Features::new(&new[..2], 2).unwrap()).is_err());
    }

    #[test]
    fn a_constant_needs_no_tree() {
        let values = grid();
        let features = Features::new(&values, 2).unwrap();
        let forest = BoostedTrees::default().fit(&features, &[2.5; 600]).unwrap();
        assert!(forest.raw.trees.is_empty());
        assert_eq!(forest.predict(&features).unwrap(), vec![2.5; 600]);
    }

    #[test]
    fn a_forest_that_would_walk_in_circles_is_not_read() {
        let looping = r#"{"columns":1,"base":0.0,"trees":[[{"split":{"column":0,"below":1.0,"missing_left":true,"left":0,"right":0}}]]}"#;
        assert!(serde_json::from_str::<Forest>(looping).is_err());
        let sound = r#"{"columns":1,"base":0.5,"trees":[[{"leaf":1.0}]]}"#;
        let forest: Forest = serde_json::from_str(sound).unwrap();
        assert_eq!(forest.predict(&Features::new(&[0.0], 1).unwrap()).unwrap(), [1.5]);
    }
}
