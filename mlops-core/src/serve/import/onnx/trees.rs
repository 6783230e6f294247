//! `TreeEnsembleClassifier`, `TreeEnsembleRegressor`, and `TreeEnsemble`, which takes their place from version 5 on.
//!
//! Nodes are lists of one length: the number of the tree and of the node in it, the mode, the feature, the value, the nodes for true and for false. Leaves
//! have what they add in lists of their own. Trees may lie in any order, as may their nodes; the root is the node that comes first.
//!
//! `TreeEnsemble` numbers nodes and leaves apart, names the roots, and says beside each child which of the two it is; each leaf adds to one output. A question
//! may be for membership of a set: the sets of all such nodes lie one after the other, with NaN between.

use std::collections::HashMap;

use super::super::super::ensemble::{Branch, Forest, ForestBuilder, Link, Output, Reading, Test};
use super::super::super::imported::{Answer, Head};
use super::graph::Node;
use super::{MAX_COLUMNS, OP, classes, meaning, post_transform};
use crate::error::{Error, Result};

/// A tree's number and a node's number in it.
type Place = (i64, i64);

/// What the leaves add: by leaf, output and weight.
type Added = HashMap<Place, Vec<(usize, f64)>>;

/// Numbers under a name, or as a tensor under the other; and whether they are of double precision.
fn numbers(node: &Node<'_>, name: &str, tensor: &str) -> (Vec<f64>, bool) {
    let tensors = node.floats(tensor);
    if tensors.is_empty() { (node.floats(name), false) } else { (tensors, node.is_wide(tensor)) }
}

pub(super) fn classifier(node: &Node<'_>, features: usize) -> Result<(Head, Answer)> {
    let classes = classes(node)?;
    let count = classes.len();
    let (weights, _) = numbers(node, "class_weights", "class_weights_as_tensor");
    let ids = node.ints("class_ids");
    let one = ids.first().is_some_and(|first| ids.iter().all(|id| id == first));
    let binary = count == 2 && one;
    let link = match (post_transform(node)?, binary) {
        (link, false) => link,
        // As the runtime does: one score that is never negative is a probability, whatever the transformation.
        (Link::Probit, true) => return Err(node.unsupported("PROBIT of one score for two classes")),
        (_, true) if weights.iter().all(|weight| *weight >= 0.0) => Link::Complement,
        (Link::Logistic { .. }, true) => Link::LogisticPair,
        (_, true) => Link::Negated,
    };
    let (mut start, _) = numbers(node, "base_values", "base_values_as_tensor");
    if binary && start.len() == 2 {
        start.remove(0);
    }
    let outputs = if binary { 1 } else { count };
    let added = added(node, ["class_treeids", "class_nodeids", "class_ids"], &weights, outputs)?;
    let forest = forest(node, features, outputs, &added, start, 1.0, link)?;
    Ok((Head::Forest(forest), meaning(classes)))
}

pub(super) fn regressor(node: &Node<'_>, features: usize) -> Result<(Head, Answer)> {
    let targets = usize::try_from(node.int("n_targets").unwrap_or(1)).unwrap_or(0);
    if targets == 0 || targets > MAX_COLUMNS {
        return Err(node.field("n_targets", "is out of range"));
    }
    let (weights, _) = numbers(node, "target_weights", "target_weights_as_tensor");
    let added = added(node, ["target_treeids", "target_nodeids", "target_ids"], &weights, targets)?;
    let trees: std::collections::HashSet<&i64> = node.ints("nodes_treeids").iter().collect();
    let divisor = match node.text("aggregate_function") {
        None | Some("SUM") => 1.0,
        Some("AVERAGE") => trees.len().max(1) as f64,
        Some(_) => return Err(node.unsupported("an aggregate other than SUM and AVERAGE")),
    };
    let (start, _) = numbers(node, "base_values", "base_values_as_tensor");
    let link = match post_transform(node)? {
        // The runtime transforms one number by PROBIT alone.
        Link::Logistic { .. } | Link::Softmax | Link::SoftmaxZero if targets == 1 => Link::Identity,
        link => link,
    };
    let forest = forest(node, features, targets, &added, start, divisor, link)?;
    Ok((Head::Forest(forest), if targets == 1 { Answer::Value } else { Answer::Several }))
}

fn added(node: &Node<'_>, lists: [&'static str; 3], weights: &[f64], outputs: usize) -> Result<Added> {
    let [trees, leaves, ids] = lists.map(|list| node.ints(list));
    if trees.len() != weights.len() || leaves.len() != weights.len() || ids.len() != weights.len() {
        return Err(node.field(lists[0], "the lists of what leaves add are not of one length"));
    }
    let mut added = Added::new();
    for (i, weight) in weights.iter().enumerate() {
        // One output: whatever it is called.
        let output = if outputs == 1 { Some(0) } else { usize::try_from(ids[i]).ok() };
        let output = output.filter(|output| *output < outputs);
        let output = output.ok_or_else(|| node.field(lists[2], format!("{} is no output", ids[i])))?;
        added.entry((trees[i], leaves[i])).or_default().push((output, *weight));
    }
    Ok(added)
}

fn forest(
    node: &Node<'_>,
    features: usize,
    outputs: usize,
    added: &Added,
    start: Vec<f64>,
    divisor: f64,
    link: Link,
) -> Result<Forest> {
    if !start.is_empty() && start.len() != outputs {
        return Err(node.field("base_values", format!("has {} numbers for {outputs} outputs", start.len())));
    }
    let (values, wide) = numbers(node, "nodes_values", "nodes_values_as_tensor");
    let (trees, ids) = (node.ints("nodes_treeids"), node.ints("nodes_nodeids"));
    let (modes, asked) = (node.texts("nodes_modes"), node.ints("nodes_featureids"));
    let (yes, no) = (node.ints("nodes_truenodeids"), node.ints("nodes_falsenodeids"));
    let missing = node.ints("nodes_missing_value_tracks_true");
    let count = trees.len();
    for (field, len) in [
        ("nodes_nodeids", ids.len()),
        ("nodes_modes", modes.len()),
        ("nodes_featureids", asked.len()),
        ("nodes_values", values.len()),
        ("nodes_truenodeids", yes.len()),
        ("nodes_falsenodeids", no.len()),
        ("nodes_missing_value_tracks_true", if missing.is_empty() { count } else { missing.len() }),
    ] {
        if len != count {
            return Err(node.field(field, format!("has {len} elements for {count} nodes")));
        }
    }
    // Many classes in few leaves must not become many numbers in memory.
    let leaves = modes.iter().filter(|mode| **mode == "LEAF").count();
    let wide_leaves = leaves.saturating_mul(outputs);
    if wide_leaves > MAX_COLUMNS.max(64 * (count + added.len())) {
        return Err(Error::limit(OP, "the number of values of leaves", MAX_COLUMNS, wide_leaves));
    }
    let mut builder = ForestBuilder::new(features, outputs, outputs, !wide);
    // Trees in the order in which they come first.
    let mut order: Vec<i64> = Vec::new();
    let mut members: HashMap<i64, Vec<usize>> = HashMap::new();
    for (i, tree) in trees.iter().enumerate() {
        members.entry(*tree).or_insert_with(|| {
            order.push(*tree);
            Vec::new()
        });
        members.entry(*tree).or_default().push(i);
    }
    for tree in order {
        let nodes = members.get(&tree).map(Vec::as_slice).unwrap_or_default();
        let mut places = HashMap::with_capacity(nodes.len());
        for (place, i) in nodes.iter().enumerate() {
            let place =
                u32::try_from(place).map_err(|_| node.field("nodes_nodeids", "there are too many"))?;
            if places.insert(ids[*i], place).is_some() {
                return Err(node
                    .field("nodes_nodeids", format!("node {} comes twice", ids[*i]))
                    .with("tree", tree));
            }
        }
        let child = |field: &'static str, id: i64| {
            let error = || node.field(field, format!("{id} is no node of this tree")).with("tree", tree);
            places.get(&id).copied().ok_or_else(error)
        };
        let mut branches = Vec::with_capacity(nodes.len());
        for &i in nodes {
            if modes[i] == "LEAF" {
                let mut sums = vec![0.0; outputs];
                for (output, weight) in added.get(&(tree, ids[i])).into_iter().flatten() {
                    sums[*output] += weight;
                }
                branches.push(Branch::Leaf(builder.leaf(&sums)));
                continue;
            }
            let feature = u32::try_from(asked[i])
                .map_err(|_| node.field("nodes_featureids", format!("{} is no feature", asked[i])))?;
            let (yes, no) = (child("nodes_truenodeids", yes[i])?, child("nodes_falsenodeids", no[i])?);
            let tracks = missing.get(i).is_some_and(|tracks| *tracks != 0);
            branches.push(branch(node, modes[i], feature, values[i], (yes, no), tracks, wide, &mut builder)?);
        }
        let number = usize::try_from(tree).unwrap_or_default();
        builder
            .tree(&branches, 0, 0, false)
            .map_err(|fault| fault.corrupt(OP, number).with("operator", node.operator))?;
    }
    let output = Output { start, late: true, narrow: !wide, divisor, link };
    builder.finish(OP, output)
}

/// The modes of `TreeEnsemble`, by number; 6 asks for membership of a set.
const MODES: [&str; 6] = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"];

/// `TreeEnsemble`.
pub(super) fn ensemble(node: &Node<'_>, features: usize) -> Result<(Head, Answer)> {
    let targets = usize::try_from(node.int("n_targets").unwrap_or(1)).unwrap_or(0);
    if targets == 0 || targets > MAX_COLUMNS {
        return Err(node.field("n_targets", "is out of range"));
    }
    let link = match node.int("post_transform").unwrap_or(0) {
        0 => Link::Identity,
        3 if targets > 1 => Link::SoftmaxZero,
        4 => Link::Probit,
        // 1 and 2 are SOFTMAX and LOGISTIC to the specification, LOGISTIC and SOFTMAX to the runtime; which was meant, the file does not say.
        1..=3 => {
            return Err(
                node.unsupported("a transformation that the runtime and the specification read differently")
            );
        }
        _ => return Err(node.field("post_transform", "is no transformation")),
    };
    let roots = node.ints("tree_roots");
    let divisor = match node.int("aggregate_function").unwrap_or(1) {
        0 => roots.len().max(1) as f64,
        1 => 1.0,
        2 | 3 => return Err(node.unsupported("an aggregate other than SUM and AVERAGE")),
        _ => return Err(node.field("aggregate_function", "is no aggregate")),
    };
    let wide = node.is_wide("nodes_splits");
    let mut builder = ForestBuilder::new(features, targets, targets, !wide);
    let leaves = leaves(node, targets, &mut builder)?;
    let questions = Questions::new(node, leaves.len(), wide, &mut builder)?;
    let mut met = vec![false; questions.yes.len()];
    for (number, root) in roots.iter().enumerate() {
        let branches = questions.tree(*root, &leaves, &mut met, &mut builder)?;
        builder
            .tree(&branches, 0, 0, false)
            .map_err(|fault| fault.corrupt(OP, number).with("operator", node.operator))?;
    }
    let output = Output { start: Vec::new(), late: true, narrow: !wide, divisor, link };
    let forest = builder.finish(OP, output)?;
    Ok((Head::Forest(forest), if targets == 1 { Answer::Value } else { Answer::Several }))
}

/// The leaves of a `TreeEnsemble`.
fn leaves(node: &Node<'_>, targets: usize, builder: &mut ForestBuilder) -> Result<Vec<u32>> {
    let (ids, weights) = (node.ints("leaf_targetids"), node.floats("leaf_weights"));
    if ids.len() != weights.len() {
        let message = format!("has {} elements for {} leaves", ids.len(), weights.len());
        return Err(node.field("leaf_targetids", message));
    }
    let all = weights.len().saturating_mul(targets);
    if all > MAX_COLUMNS.max(64 * weights.len()) {
        return Err(Error::limit(OP, "the number of values of leaves", MAX_COLUMNS, all));
    }
    let leaf = |(id, weight): (&i64, f64)| -> Result<u32> {
        let output = usize::try_from(*id).ok().filter(|output| *output < targets);
        let output = output.ok_or_else(|| node.field("leaf_targetids", format!("{id} is no output")))?;
        let mut sums = vec![0.0; targets];
        if let Some(sum) = sums.get_mut(output) {
            *sum = weight;
        }
        Ok(builder.leaf(&sums))
    };
    ids.iter().zip(weights).map(leaf).collect()
}

/// The nodes of a `TreeEnsemble`.
struct Questions<'a> {
    node: &'a Node<'a>,
    wide: bool,
    modes: &'a [i64],
    features: &'a [i64],
    splits: Vec<f64>,
    /// The nodes for true and for false, and whether they are leaves.
    yes: Vec<(usize, bool)>,
    no: Vec<(usize, bool)>,
    missing: &'a [i64],
    /// The sets, of nodes that ask for membership.
    sets: Vec<Option<u32>>,
}

impl<'a> Questions<'a> {
    fn new(node: &'a Node<'a>, leaves: usize, wide: bool, builder: &mut ForestBuilder) -> Result<Self> {
        let (modes, features) = (node.ints("nodes_modes"), node.ints("nodes_featureids"));
        let (splits, missing) = (node.floats("nodes_splits"), node.ints("nodes_missing_value_tracks_true"));
        let count = modes.len();
        for (field, len) in [
            ("nodes_featureids", features.len()),
            ("nodes_splits", splits.len()),
            ("nodes_truenodeids", node.ints("nodes_truenodeids").len()),
            ("nodes_trueleafs", node.ints("nodes_trueleafs").len()),
            ("nodes_falsenodeids", node.ints("nodes_falsenodeids").len()),
            ("nodes_falseleafs", node.ints("nodes_falseleafs").len()),
            ("nodes_missing_value_tracks_true", if missing.is_empty() { count } else { missing.len() }),
        ] {
            if len != count {
                return Err(node.field(field, format!("has {len} elements for {count} nodes")));
            }
        }
        let children = |field: &'static str, kinds: &str| {
            let child = |(id, kind): (&i64, &i64)| -> Result<(usize, bool)> {
                let (leaf, there) = if *kind == 0 { (false, count) } else { (true, leaves) };
                let place = usize::try_from(*id).ok().filter(|place| *place < there);
                let place = place.ok_or_else(|| node.field(field, format!("{id} is no node or leaf")))?;
                Ok((place, leaf))
            };
            node.ints(field).iter().zip(node.ints(kinds)).map(child).collect::<Result<Vec<_>>>()
        };
        let yes = children("nodes_truenodeids", "nodes_trueleafs")?;
        let no = children("nodes_falsenodeids", "nodes_falseleafs")?;
        let members = node.floats("membership_values");
        let mut lists = members.split(|member| member.is_nan());
        let mut sets = Vec::with_capacity(count);
        for mode in modes {
            if *mode != 6 {
                sets.push(None);
                continue;
            }
            let list = lists.next().filter(|list| !list.is_empty());
            let short =
                || node.field("membership_values", "has fewer sets than there are nodes that ask for one");
            sets.push(Some(builder.numbers(list.ok_or_else(short)?.to_vec())));
        }
        Ok(Self { node, wide, modes, features, splits, yes, no, missing, sets })
    }

    /// The nodes of a tree, the root first. A node that was met before is refused, so that ways end.
    fn tree(
        &self,
        root: i64,
        leaves: &[u32],
        met: &mut [bool],
        builder: &mut ForestBuilder,
    ) -> Result<Vec<Branch>> {
        let node = self.node;
        let first = usize::try_from(root).ok().filter(|root| *root < self.modes.len());
        let first = first.ok_or_else(|| node.field("tree_roots", format!("{root} is no node")))?;
        let mut queue = vec![(first, false)];
        let mut branches = Vec::new();
        while let Some(&(id, is_leaf)) = queue.get(branches.len()) {
            if is_leaf {
                let leaf = leaves.get(id).ok_or_else(|| node.field("leaf_weights", "a leaf is not there"))?;
                branches.push(Branch::Leaf(*leaf));
                continue;
            }
            let again = || node.fault(format!("node {id} is reached twice")).with("node", id);
            match met.get_mut(id) {
                Some(met) if !*met => *met = true,
                _ => return Err(again()),
            }
            let next =
                |queue: &[_]| u32::try_from(queue.len()).map_err(|_| node.fault("there are too many nodes"));
            let yes = next(&queue)?;
            queue.push(self.yes[id]);
            let no = next(&queue)?;
            queue.push(self.no[id]);
            branches.push(self.question(id, (yes, no), builder)?);
        }
        Ok(branches)
    }

    fn question(&self, id: usize, (yes, no): (u32, u32), builder: &mut ForestBuilder) -> Result<Branch> {
        let node = self.node;
        let no_feature = |_| node.field("nodes_featureids", format!("{} is no feature", self.features[id]));
        let feature = u32::try_from(self.features[id]).map_err(no_feature)?;
        let tracks = self.missing.get(id).is_some_and(|tracks| *tracks != 0);
        if let Some(set) = self.sets[id] {
            let test = Test::Among { feature, set, missing: tracks };
            return Ok(Branch::Split { test, left: yes, right: no });
        }
        let mode = usize::try_from(self.modes[id]).ok().and_then(|mode| MODES.get(mode));
        let mode = mode.ok_or_else(|| node.field("nodes_modes", "is no mode of a branch"))?;
        branch(node, mode, feature, self.splits[id], (yes, no), tracks, self.wide, builder)
    }
}

/// A question in the forest's own terms: at most, or among.
#[expect(clippy::too_many_arguments, reason = "a node of the format has as many fields")]
fn branch(
    node: &Node<'_>,
    mode: &str,
    feature: u32,
    value: f64,
    (yes, no): (u32, u32),
    tracks: bool,
    wide: bool,
    builder: &mut ForestBuilder,
) -> Result<Branch> {
    if value.is_nan() {
        return Err(node.field("nodes_values", "a value is no number"));
    }
    let before = |x: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "the value is of single precision")]
        if wide { x.next_down() } else { f64::from((x as f32).next_down()) }
    };
    let at_most = |threshold: f64, missing_left: bool, left: u32, right: u32| {
        let test = Test::AtMost { feature, threshold, reading: Reading::missing(missing_left) };
        Branch::Split { test, left, right }
    };
    Ok(match mode {
        "BRANCH_LEQ" => at_most(value, tracks, yes, no),
        "BRANCH_LT" => at_most(before(value), tracks, yes, no),
        "BRANCH_GT" => at_most(value, !tracks, no, yes),
        "BRANCH_GTE" => at_most(before(value), !tracks, no, yes),
        "BRANCH_EQ" => {
            let set = builder.numbers(vec![value]);
            Branch::Split { test: Test::Among { feature, set, missing: tracks }, left: yes, right: no }
        }
        "BRANCH_NEQ" => {
            // What is missing is unequal to everything.
            let set = builder.numbers(vec![value]);
            Branch::Split { test: Test::Among { feature, set, missing: false }, left: no, right: yes }
        }
        _ => return Err(node.field("nodes_modes", "is no mode of a branch")),
    })
}
