//! XGBoost's JSON and UBJSON.
//!
//! `learner` holds names and types of the features, the objective, `base_score` in the space of the answers, and the booster. A tree is lists of one
//! length, an element for each node; a node without a left child is a leaf, and its `split_conditions` is its value. A number goes left if it is
//! below the condition, both in single precision; a missing one where `default_left` says. Of a categorical split (`split_type` 1), the categories
//! listed in `categories` go right, any other left. Trees take turns with the classes as `tree_info` says. `attributes` say where early stopping
//! stopped (`best_iteration`), and whether an estimator of the scikit-learn interface wrote the file (`scikit_learn`).
//!
//! Refused: trees whose leaves hold several values, features or children that are not there, nodes with two parents, lists of different lengths, numbers
//! that are none (JSON has no NaN).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::super::columns::{Input, Levels};
use super::super::ensemble::{Branch, ForestBuilder, Link, MAX_CATEGORY, Output, Reading, Test, narrow};
use super::super::imported::{Answer, Head, ImportOptions, ImportedModel, Linear, Parts};
use super::{MAX_WIDTH, check_size, corrupt, iterations, ubjson};
use crate::error::{Error, ErrorKind, Result, quote};

const OP: &str = "ImportedModel::from_xgboost";

#[derive(Deserialize)]
struct File {
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    feature_names: Vec<String>,
    #[serde(default)]
    feature_types: Vec<String>,
    gradient_booster: Booster,
    learner_model_param: Params,
    objective: Objective,
}

/// What somebody wrote beside the model: of it, where early stopping stopped, and the mark of the scikit-learn interface.
#[derive(Default, Deserialize)]
struct Attributes {
    #[serde(default)]
    best_iteration: Option<String>,
    #[serde(default)]
    scikit_learn: Option<String>,
}

#[derive(Deserialize)]
struct Params {
    base_score: String,
    num_class: String,
    num_feature: String,
    #[serde(default)]
    num_target: Option<String>,
}

#[derive(Deserialize)]
struct Objective {
    name: String,
}

#[derive(Deserialize)]
struct Booster {
    name: String,
    #[serde(default)]
    model: Option<Model>,
    #[serde(default)]
    gbtree: Option<Inner>,
    #[serde(default)]
    weight_drop: Option<Vec<f32>>,
}

#[derive(Deserialize)]
struct Inner {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    cats: Option<Cats>,
    #[serde(default)]
    gbtree_model_param: Option<TreesParam>,
    #[serde(default)]
    tree_info: Vec<u32>,
    #[serde(default)]
    trees: Vec<Tree>,
    #[serde(default)]
    weights: Option<Vec<f32>>,
}

#[derive(Deserialize)]
struct TreesParam {
    #[serde(default)]
    num_parallel_tree: Option<String>,
}

#[derive(Deserialize)]
struct Cats {
    #[serde(default)]
    enc: Vec<Encoding>,
}

/// The categories of a feature: texts as bytes with offsets, or numbers.
#[derive(Deserialize)]
struct Encoding {
    #[serde(default)]
    offsets: Option<Vec<i64>>,
    #[serde(default)]
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct Tree {
    tree_param: TreeParam,
    left_children: Vec<i32>,
    right_children: Vec<i32>,
    split_indices: Vec<u32>,
    split_conditions: Vec<f32>,
    #[serde(deserialize_with = "flags")]
    default_left: Vec<bool>,
    #[serde(default)]
    split_type: Vec<u8>,
    #[serde(default)]
    categories: Vec<i64>,
    #[serde(default)]
    categories_nodes: Vec<u32>,
    #[serde(default)]
    categories_segments: Vec<u64>,
    #[serde(default)]
    categories_sizes: Vec<u64>,
}

#[derive(Deserialize)]
struct TreeParam {
    #[serde(default)]
    size_leaf_vector: Option<String>,
}

/// Flags that some versions write as numbers, others as truth values.
fn flags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Flag {
        Truth(bool),
        Number(i64),
    }
    let flags = Vec::<Flag>::deserialize(deserializer)?;
    Ok(flags.into_iter().map(|flag| matches!(flag, Flag::Truth(true) | Flag::Number(1))).collect())
}

pub(in crate::serve) fn read_json(bytes: &[u8], options: &ImportOptions) -> Result<ImportedModel> {
    check_size(OP, bytes)?;
    let file = serde_json::from_slice(bytes).map_err(|e| {
        let error = corrupt(OP, "the JSON is not a model of XGBoost");
        error.with("line", e.line()).with("column", e.column()).with_source(e)
    })?;
    read(file, options)
}

pub(in crate::serve) fn read_ubj(bytes: &[u8], options: &ImportOptions) -> Result<ImportedModel> {
    check_size(OP, bytes)?;
    let file = ubjson::from_slice(bytes)
        .map_err(|e| corrupt(OP, "the UBJSON is not a model of XGBoost").with("byte", e.at).with_source(e))?;
    read(file, options)
}

fn count(field: &'static str, text: &str) -> Result<usize> {
    let fault = || corrupt(OP, format!("{} is no count", quote(text))).with("field", field);
    text.parse().ok().filter(|count| *count <= MAX_WIDTH).ok_or_else(fault)
}

fn read(file: File, options: &ImportOptions) -> Result<ImportedModel> {
    let Learner {
        attributes,
        feature_names,
        feature_types,
        gradient_booster,
        learner_model_param: params,
        objective,
    } = file.learner;
    let features = count("num_feature", &params.num_feature)?;
    let classes = count("num_class", &params.num_class)?;
    let targets = params.num_target.as_deref().map_or(Ok(1), |text| count("num_target", text))?;
    let outputs = classes.max(targets).max(1);
    let margins = base_score(&params.base_score, outputs, &objective.name)?;
    let (link, answer) = transform(&objective.name, classes, outputs)?;
    let Booster { name, model, gbtree, weight_drop } = gradient_booster;
    let missing = || corrupt(OP, "the booster has no model").with("field", "gradient_booster");
    let model = match name.as_str() {
        "gbtree" | "gblinear" => model.ok_or_else(missing)?,
        "dart" => gbtree.ok_or_else(missing)?.model,
        _ => {
            let error = Error::new(ErrorKind::Unsupported, OP, "the booster is not known");
            return Err(error.with("booster", name));
        }
    };
    let inputs = inputs(features, &feature_names, &feature_types, model.cats.as_ref())?;
    let head = match &model.weights {
        Some(weights) if name == "gblinear" => Head::Linear(linear(weights, features, &margins, link)?),
        _ if name == "gblinear" => return Err(missing()),
        _ => {
            let drop = if name == "dart" { weight_drop } else { None };
            let taken = (options.iterations, best(&attributes)?);
            trees(&model, features, margins, drop.as_deref(), link, taken)?
        }
    };
    ImportedModel::new(
        OP,
        Parts { inputs, derived: None, norms: Vec::new(), head, after: Vec::new(), answer },
    )
}

/// The best iteration, of what the estimators of the scikit-learn interface wrote: they take the trees up to it.
fn best(attributes: &Attributes) -> Result<Option<usize>> {
    let (Some(best), Some(_)) = (&attributes.best_iteration, &attributes.scikit_learn) else {
        return Ok(None);
    };
    let number = best.trim().parse::<u32>().ok().and_then(|best| usize::try_from(best).ok());
    let fault = || corrupt(OP, format!("{} is no number of an iteration", quote(best)));
    number.map(Some).ok_or_else(|| fault().with("field", "best_iteration"))
}

/// The features: names from the file, else `f0`, `f1`, …; categories where the file keeps them.
fn inputs(features: usize, names: &[String], types: &[String], cats: Option<&Cats>) -> Result<Vec<Input>> {
    for (field, there) in [("feature_names", names.len()), ("feature_types", types.len())] {
        if there != 0 && there != features {
            let message = format!("has {there} elements, expected {features}");
            return Err(corrupt(OP, message).with("field", field));
        }
    }
    let name = |i: usize| names.get(i).cloned().unwrap_or_else(|| format!("f{i}"));
    let mut inputs: Vec<Input> = (0..features).map(|i| Input::number(name(i))).collect();
    let encodings = cats.map(|cats| cats.enc.as_slice()).unwrap_or_default();
    if !encodings.is_empty() && encodings.len() != features {
        return Err(corrupt(OP, "the categories are not of all features").with("field", "cats"));
    }
    for (input, encoding) in
        inputs.iter_mut().zip(encodings).filter(|(_, encoding)| !encoding.values.is_empty())
    {
        let levels = match &encoding.offsets {
            None => Levels::numbers(encoding.values.iter().copied()),
            Some(offsets) => texts(offsets, &encoding.values).and_then(Levels::text),
        };
        input.levels = levels.ok_or_else(|| {
            corrupt(OP, "the categories of a feature cannot be read")
                .with("field", "cats")
                .with("feature", &input.name)
        })?;
    }
    Ok(inputs)
}

/// Texts out of their bytes.
fn texts(offsets: &[i64], values: &[f64]) -> Option<Vec<String>> {
    // Bytes beyond 127 are written as negative numbers.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
    let byte = |x: &f64| (x.fract() == 0.0 && (-128.0..256.0).contains(x)).then_some((*x as i16) as u8);
    let bytes: Vec<u8> = values.iter().map(byte).collect::<Option<_>>()?;
    let text = |pair: &[i64]| {
        let (from, to) = (usize::try_from(pair[0]).ok()?, usize::try_from(pair[1]).ok()?);
        String::from_utf8(bytes.get(from..to)?.to_vec()).ok()
    };
    offsets.windows(2).map(text).collect()
}

/// `base_score`, one number or a list in square brackets, in the space of the sums.
fn base_score(text: &str, outputs: usize, objective: &str) -> Result<Vec<f64>> {
    let fault = |message: String| corrupt(OP, message).with("field", "base_score");
    let list = text.trim().strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let number = |word: &str| {
        let parsed = word.trim().parse::<f32>().ok().filter(|x| x.is_finite());
        parsed.ok_or_else(|| fault(format!("{} is no number", quote(word))))
    };
    let mut scores: Vec<f32> = list.split(',').map(number).collect::<Result<_>>()?;
    if scores.len() == 1 {
        scores = scores.repeat(outputs);
    }
    if scores.len() != outputs {
        return Err(fault(format!("has {} numbers for {outputs} outputs", scores.len())));
    }
    let margin = |score: f32| match objective {
        // The logarithms are taken in single precision.
        "binary:logistic" | "reg:logistic" if score > 0.0 && score < 1.0 => {
            Ok(f64::from(-(1.0 / score - 1.0).ln()))
        }
        "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" if score > 0.0 => {
            Ok(f64::from(score.ln()))
        }
        "binary:logistic" | "reg:logistic" | "count:poisson" | "reg:gamma" | "reg:tweedie"
        | "survival:cox" => Err(fault(format!("{score} is no answer of this objective"))),
        _ => Ok(f64::from(score)),
    };
    scores.into_iter().map(margin).collect()
}

fn transform(objective: &str, classes: usize, outputs: usize) -> Result<(Link, Answer)> {
    let value = if outputs == 1 { Answer::Value } else { Answer::Several };
    let several = |answer: Answer| if outputs == 1 { answer } else { Answer::Several };
    Ok(match objective {
        "binary:logistic" => (Link::Logistic { scale: 1.0 }, several(Answer::Probability(0))),
        "reg:logistic" => (Link::Logistic { scale: 1.0 }, value),
        "binary:hinge" => (Link::Step, several(Answer::Probability(0))),
        "multi:softprob" | "multi:softmax" if classes > 1 => {
            (Link::Softmax, Answer::Classes((0..classes).map(|class| class as f64).collect()))
        }
        "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" | "survival:aft" => (Link::Exp, value),
        "binary:logitraw"
        | "reg:squarederror"
        | "reg:linear"
        | "reg:squaredlogerror"
        | "reg:pseudohubererror"
        | "reg:absoluteerror"
        | "reg:quantileerror"
        | "reg:expectileerror"
        | "rank:pairwise"
        | "rank:ndcg"
        | "rank:map" => (Link::Identity, value),
        _ => {
            let error = Error::new(ErrorKind::Unsupported, OP, "the objective is not known");
            return Err(error.with("objective", objective));
        }
    })
}

/// Weights come feature by feature, those of the outputs side by side, the intercepts last. The first margin is that of all outputs.
fn linear(weights: &[f32], features: usize, margins: &[f64], link: Link) -> Result<Linear> {
    let outputs = margins.len();
    if Some(weights.len()) != features.checked_add(1).and_then(|rows| rows.checked_mul(outputs)) {
        let message = format!("there are {} weights for {features} features", weights.len());
        return Err(corrupt(OP, message).with("field", "weights"));
    }
    let of = |output: usize| -> Vec<f64> {
        weights.iter().skip(output).step_by(outputs).take(features).map(|w| f64::from(*w)).collect()
    };
    let margin = margins.first().copied().unwrap_or_default();
    let last = weights.iter().skip(features * outputs);
    let intercepts = last.map(|w| narrow(f64::from(*w) + margin)).collect();
    Ok(Linear {
        weights: (0..outputs).map(of).collect(),
        intercepts,
        narrow: true,
        intercept_first: true,
        link,
    })
}

fn trees(
    model: &Model,
    features: usize,
    margins: Vec<f64>,
    drop: Option<&[f32]>,
    link: Link,
    (asked, best): (Option<usize>, Option<usize>),
) -> Result<Head> {
    let (outputs, trees) = (margins.len(), &model.trees);
    if model.tree_info.len() != trees.len() {
        let message = format!("has {} elements for {} trees", model.tree_info.len(), trees.len());
        return Err(corrupt(OP, message).with("field", "tree_info"));
    }
    if drop.is_some_and(|drop| drop.len() != trees.len()) {
        return Err(corrupt(OP, "there is not one weight for each tree").with("field", "weight_drop"));
    }
    let parallel = model.gbtree_model_param.as_ref().and_then(|param| param.num_parallel_tree.as_deref());
    let parallel = parallel.map_or(Ok(1), |text| count("num_parallel_tree", text))?.max(1);
    let per_iteration = parallel.saturating_mul(outputs);
    let there = trees.len() / per_iteration;
    let taken = match (asked, best) {
        (None, None) => trees.len(),
        (None, Some(best)) if best >= there => {
            let message = format!("the best iteration is {best}, but there are {there}");
            return Err(corrupt(OP, message).with("field", "best_iteration"));
        }
        (None, Some(best)) => (best + 1).saturating_mul(per_iteration),
        _ => iterations(OP, asked, there)?.saturating_mul(per_iteration),
    };
    let mut builder = ForestBuilder::new(features, outputs, 1, true);
    for (i, (tree, output)) in trees.iter().zip(&model.tree_info).take(taken).enumerate() {
        let output = usize::try_from(*output).ok().filter(|output| *output < outputs);
        let output = output
            .ok_or_else(|| corrupt(OP, "a tree is of no class").with("field", "tree_info").with("tree", i))?;
        let weight = drop.and_then(|drop| drop.get(i)).copied().unwrap_or(1.0);
        add(tree, i, weight, output, &mut builder)?;
    }
    let output = Output { start: margins, late: false, narrow: true, divisor: 1.0, link };
    builder.finish(OP, output).map(Head::Forest)
}

fn add(tree: &Tree, number: usize, weight: f32, output: usize, builder: &mut ForestBuilder) -> Result<()> {
    let fault =
        |field: &'static str, message: String| corrupt(OP, message).with("field", field).with("tree", number);
    if tree.tree_param.size_leaf_vector.as_deref().is_some_and(|size| !matches!(size, "0" | "1")) {
        let error =
            Error::new(ErrorKind::Unsupported, OP, "trees whose leaves hold several values are not read");
        return Err(error.with("field", "size_leaf_vector").with("tree", number));
    }
    let nodes = tree.left_children.len();
    for (field, len) in [
        ("right_children", tree.right_children.len()),
        ("split_indices", tree.split_indices.len()),
        ("split_conditions", tree.split_conditions.len()),
        ("default_left", tree.default_left.len()),
        ("split_type", if tree.split_type.is_empty() { nodes } else { tree.split_type.len() }),
    ] {
        if len != nodes {
            return Err(fault(field, format!("has {len} elements for {nodes} nodes")));
        }
    }
    let sets = sets(tree, builder).map_err(|message| fault("categories", message))?;
    let mut branches = Vec::with_capacity(nodes);
    for node in 0..nodes {
        let condition = tree.split_conditions[node];
        if tree.left_children[node] == -1 {
            branches.push(Branch::Leaf(builder.leaf(&[f64::from(condition * weight)])));
            continue;
        }
        let child = |field: &'static str, child: i32| {
            u32::try_from(child).map_err(|_| fault(field, format!("{child} is no node")))
        };
        let left = child("left_children", tree.left_children[node])?;
        let right = child("right_children", tree.right_children[node])?;
        let (feature, default) = (tree.split_indices[node], tree.default_left[node]);
        if tree.split_type.get(node) == Some(&1) {
            let set = u32::try_from(node).ok().and_then(|node| sets.get(&node)).copied();
            let set = set.ok_or_else(|| fault("categories_nodes", format!("does not name node {node}")))?;
            // What is in the set goes right.
            branches.push(Branch::Split {
                test: Test::Among { feature, set, missing: !default },
                left: right,
                right: left,
            });
            continue;
        }
        if !condition.is_finite() {
            return Err(fault("split_conditions", format!("node {node} has {condition}")));
        }
        // Below the condition: at most the number before it.
        let threshold = f64::from(condition.next_down());
        let test = Test::AtMost { feature, threshold, reading: Reading::missing(default) };
        branches.push(Branch::Split { test, left, right });
    }
    builder.tree(&branches, 0, output, false).map_err(|fault| fault.corrupt(OP, number))
}

/// The sets of categories, by node.
fn sets(tree: &Tree, builder: &mut ForestBuilder) -> Result<BTreeMap<u32, u32>, String> {
    let (nodes, segments, sizes) =
        (&tree.categories_nodes, &tree.categories_segments, &tree.categories_sizes);
    if segments.len() != nodes.len() || sizes.len() != nodes.len() {
        return Err("nodes, segments and sizes are not of one length".to_owned());
    }
    let mut sets = BTreeMap::new();
    for ((node, from), size) in nodes.iter().zip(segments).zip(sizes) {
        let range =
            usize::try_from(*from).ok().zip(from.checked_add(*size).and_then(|to| usize::try_from(to).ok()));
        let listed = range.and_then(|(from, to)| tree.categories.get(from..to));
        let listed = listed.ok_or_else(|| format!("the segment of node {node} is not there"))?;
        let place = |category: &i64| {
            let place = u32::try_from(*category).ok().filter(|place| (*place as usize) < MAX_CATEGORY);
            place.ok_or_else(|| format!("node {node} has the category {category}"))
        };
        let listed: Vec<u32> = listed.iter().map(place).collect::<Result<_, _>>()?;
        if sets.insert(*node, builder.categories(&listed)).is_some() {
            return Err(format!("node {node} comes twice"));
        }
    }
    Ok(sets)
}
