//! Sums of decision trees.

use serde::{Deserialize, Serialize};

use super::FeatureEncoder;
use super::builtin::Document;
use super::ensemble::{Branch, Forest, ForestBuilder, Output, Reading, RowMajor, Test, TreeFault};
use super::linear::{check_task, respond};
use crate::data::Table;
use crate::error::{Error, Result};
use crate::model::{Predictions, Predictor, Signature};
use crate::num::parallel::Threads;
use crate::problem::Task;

/// A node of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Node {
    /// The end of a path: what the tree adds.
    Leaf(f64),
    /// A question about one encoded column.
    Split {
        /// The column.
        column: u32,
        /// Values below this go left, others right.
        below: f64,
        /// The node for values below.
        left: u32,
        /// The node for values not below.
        right: u32,
        /// The node for missing values.
        missing: u32,
    },
}

/// A decision tree: nodes, the first is the root, and every path leads to nodes further back in the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tree(pub Vec<Node>);

/// A base value plus what each tree adds, and for a binary task the logistic function of that sum.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_core::model::Predictor as _;
/// use mlops_core::problem::Task;
/// use mlops_core::serve::{EncoderOptions, FeatureEncoder, ForestPredictor, Node, Tree};
///
/// let rows = Table::new(vec![Column::f64("age", vec![40.0, 60.0])?])?;
/// let encoder = FeatureEncoder::fit(&rows, &["age"], &EncoderOptions::raw())?;
/// let stump = Tree(vec![
///     Node::Split { column: 0, below: 50.0, left: 1, right: 2, missing: 2 },
///     Node::Leaf(-1.5),
///     Node::Leaf(1.5),
/// ]);
/// let model = ForestPredictor::new(Task::Regression, encoder, 10.0, vec![stump])?;
/// assert_eq!(model.predict(&rows)?.as_slice(), [8.5, 11.5]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ForestPredictor {
    signature: Signature,
    encoder: FeatureEncoder,
    base: f64,
    trees: Vec<Tree>,
    forest: Forest,
}

impl PartialEq for ForestPredictor {
    fn eq(&self, other: &Self) -> bool {
        // The forest is made of the rest.
        self.signature == other.signature
            && self.encoder == other.encoder
            && self.base.to_bits() == other.base.to_bits()
            && self.trees == other.trees
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    task: Task,
    encoder: FeatureEncoder,
    base: f64,
    trees: Vec<Tree>,
}

impl ForestPredictor {
    /// A model of these trees over the columns of the encoder.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the tree and the node: an empty tree, a column or a node that
    /// is not there, a path that goes back (so that every path ends), a number that is not finite; and a task of several classes.
    pub fn new(task: Task, encoder: FeatureEncoder, base: f64, trees: Vec<Tree>) -> Result<Self> {
        check_task("ForestPredictor::new", task)?;
        let columns = encoder.width();
        for (tree, Tree(nodes)) in trees.iter().enumerate() {
            if let Some(node) = (0..nodes.len()).find(|&node| !is_sound(nodes, node, columns)) {
                let error =
                    Error::invalid("ForestPredictor::new", "trees", "a node leads nowhere or is not finite");
                return Err(error.with("tree", tree).with("node", node));
            }
            if nodes.is_empty() {
                return Err(
                    Error::invalid("ForestPredictor::new", "trees", "a tree is empty").with("tree", tree)
                );
            }
        }
        if !base.is_finite() {
            return Err(Error::invalid("ForestPredictor::new", "base", "must be finite").with("value", base));
        }
        let forest = lay_out(columns, base, &trees)?;
        Ok(Self { signature: Signature::new(task, encoder.features()), encoder, base, trees, forest })
    }

    /// The number of trees.
    pub fn trees(&self) -> usize {
        self.trees.len()
    }

    /// The model as bytes of the format `mlops.forest/v1`.
    ///
    /// # Errors
    /// None in practice: the numbers were checked.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        Document::write(&Stored {
            task: self.signature.task,
            encoder: self.encoder.clone(),
            base: self.base,
            trees: self.trees.clone(),
        })
    }

    pub(super) fn from_stored(stored: Stored) -> Result<Self> {
        Self::new(stored.task, stored.encoder, stored.base, stored.trees)
    }
}

fn is_sound(nodes: &[Node], at: usize, columns: usize) -> bool {
    let forward = |next: u32| usize::try_from(next).is_ok_and(|next| next > at && next < nodes.len());
    match nodes[at] {
        Node::Leaf(value) => value.is_finite(),
        Node::Split { column, below, left, right, missing } => {
            usize::try_from(column).is_ok_and(|c| c < columns)
                && below.is_finite()
                && [left, right, missing].into_iter().all(forward)
        }
    }
}

/// The trees as they are walked. Ways lead forward, so they end, though a node may lie on several.
fn lay_out(columns: usize, base: f64, trees: &[Tree]) -> Result<Forest> {
    const OP: &str = "ForestPredictor::new";
    let mut builder = ForestBuilder::new(columns, 1, 1, false);
    for (number, Tree(nodes)) in trees.iter().enumerate() {
        let fault = |fault: TreeFault| {
            let error = Error::invalid(OP, "trees", "a tree cannot be laid out").with("tree", number);
            error.with_source(fault)
        };
        let branches = branches(nodes, &mut builder);
        let one_way = |tree: &[Branch]| {
            let mut parents = vec![0_u8; tree.len()];
            tree.iter().all(|branch| match branch {
                Branch::Leaf(_) => true,
                Branch::Split { left, right, .. } => [left, right].into_iter().all(|child| {
                    parents.get_mut(*child as usize).is_some_and(|parents| {
                        *parents = parents.saturating_add(1);
                        *parents < 2
                    })
                }),
            })
        };
        let shared = !one_way(&branches);
        builder.tree(&branches, 0, 0, shared).map_err(fault)?;
    }
    builder.finish(OP, Output { start: vec![base], ..Output::default() })
}

/// A node that sends missing values elsewhere than left or right becomes two: is it missing, then is it below.
fn branches(nodes: &[Node], builder: &mut ForestBuilder) -> Vec<Branch> {
    let mut branches = Vec::with_capacity(nodes.len());
    let mut after = Vec::new();
    let next = |extra: usize| u32::try_from(nodes.len() + extra).unwrap_or(u32::MAX);
    for node in nodes {
        branches.push(match *node {
            Node::Leaf(value) => Branch::Leaf(builder.leaf(&[value])),
            Node::Split { column, below, left, right, missing } => {
                let test = |reading, threshold| Test::AtMost { feature: column, threshold, reading };
                // Below: at most the number before it.
                let compare = |reading| Branch::Split { test: test(reading, below.next_down()), left, right };
                if missing == left || missing == right {
                    compare(Reading::missing(missing == left))
                } else {
                    after.push(compare(Reading::Plain));
                    let right = next(after.len() - 1);
                    Branch::Split { test: test(Reading::OnlyMissing, 0.0), left: missing, right }
                }
            }
        });
    }
    branches.extend(after);
    branches
}

impl Predictor for ForestPredictor {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn predict(&self, rows: &Table<'_>) -> Result<Predictions> {
        self.signature.check(rows)?;
        let matrix = self.encoder.encode(rows)?;
        let rows = RowMajor { values: matrix.row_major(), width: matrix.columns(), rows: matrix.rows() };
        respond(self.signature.task, self.forest.sum_all(&rows, Threads::ONE).into_iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Column;
    use crate::serve::EncoderOptions;

    fn encoder() -> FeatureEncoder {
        let rows = Table::new(vec![Column::f64("x", vec![0.0, 1.0]).unwrap()]).unwrap();
        FeatureEncoder::fit(&rows, &["x"], &EncoderOptions::raw()).unwrap()
    }

    fn split(column: u32, below: f64, left: u32, right: u32, missing: u32) -> Node {
        Node::Split { column, below, left, right, missing }
    }

    #[test]
    fn missing_values_and_values_on_the_threshold_take_their_way() {
        let tree = Tree(vec![split(0, 0.5, 1, 2, 3), Node::Leaf(1.0), Node::Leaf(2.0), Node::Leaf(3.0)]);
        let model = ForestPredictor::new(Task::Regression, encoder(), 0.0, vec![tree]).unwrap();
        let rows = Table::new(vec![Column::f64("x", vec![0.4, 0.5, f64::NAN]).unwrap()]).unwrap();
        assert_eq!(model.predict(&rows).unwrap().as_slice(), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn trees_that_would_not_end_or_lead_nowhere_are_refused() {
        let leaf = Node::Leaf(0.0);
        for nodes in [
            vec![],
            vec![split(0, 0.5, 0, 1, 1), leaf],
            vec![split(0, 0.5, 1, 2, 1), leaf],
            vec![split(0, 0.5, 1, 2, 1), split(0, 0.1, 0, 2, 2), leaf],
            vec![split(1, 0.5, 1, 2, 1), leaf, leaf],
            vec![split(0, f64::NAN, 1, 2, 1), leaf, leaf],
            vec![Node::Leaf(f64::INFINITY)],
        ] {
            let forest = ForestPredictor::new(Task::Regression, encoder(), 0.0, vec![Tree(nodes.clone())]);
            assert!(forest.is_err(), "{nodes:?}");
        }
        assert!(ForestPredictor::new(Task::Regression, encoder(), f64::NAN, vec![]).is_err());
    }
}
