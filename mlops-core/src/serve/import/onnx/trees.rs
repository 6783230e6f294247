//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor`.
//!
//! Nodes are lists of one length: the number of the tree and of the node in it, the mode, the feature, the value, the nodes for true and for false. Leaves
//! have what they add in lists of their own. Trees may lie in any order, as may their nodes; the root is the node that comes first.

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

/// Numbers under a name, or as a tensor of double precision under the other; and whether they were the latter.
fn numbers(node: &Node<'_>, name: &str, tensor: &str) -> (Vec<f64>, bool) {
    let wide = node.floats(tensor);
    if wide.is_empty() { (node.floats(name), false) } else { (wide, true) }
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
