//! scikit-learn's models as `sklearn_export.py` writes them; the form is described at `ImportedModel::from_sklearn_json`.
//!
//! Refused: unknown keys, lists of different lengths, features, children and categories that are not there, nodes with two parents, numbers that are
//! none.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::columns::{Change, Derived, Input, Levels};
use super::super::ensemble::{Branch, ForestBuilder, Link, MAX_CATEGORY, Output, Reading, Test};
use super::super::imported::{Answer, Head, ImportedModel, Linear, Parts};
use super::{MAX_WIDTH, check_size, corrupt};
use crate::error::{Error, Result};

const OP: &str = "ImportedModel::from_sklearn_json";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    #[serde(default, rename = "sklearn")]
    _version: String,
    features: Vec<FeatureSpec>,
    #[serde(default)]
    columns: Option<Vec<ColumnSpec>>,
    model: Model,
    answer: AnswerSpec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FeatureSpec {
    name: String,
    #[serde(default)]
    levels: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnSpec {
    feature: usize,
    #[serde(default)]
    changes: Vec<ChangeSpec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ChangeSpec {
    Standard { center: f64, scale: f64 },
    Linear { factor: f64, offset: f64 },
    Fill(f64),
    Clip { low: f64, high: f64 },
    Equals(f64),
    Lookup { keys: Vec<f64>, values: Vec<f64> },
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Model {
    Linear(LinearSpec),
    Forest(ForestSpec),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinearSpec {
    weights: Vec<Vec<f64>>,
    intercepts: Vec<f64>,
    link: LinkSpec,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LinkSpec {
    Identity,
    Logistic,
    Softmax,
    Exp,
    Share,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum AnswerSpec {
    Value,
    Probability,
    Classes(Vec<f64>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForestSpec {
    narrow: bool,
    start: Vec<f64>,
    divisor: f64,
    link: LinkSpec,
    width: usize,
    trees: Vec<TreeSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TreeSpec {
    output: usize,
    feature: Vec<i64>,
    threshold: Vec<Option<f64>>,
    left: Vec<u32>,
    right: Vec<u32>,
    missing_left: Vec<bool>,
    value: Vec<Vec<f64>>,
    #[serde(default)]
    left_categories: BTreeMap<usize, Vec<u32>>,
    #[serde(default)]
    right_categories: BTreeMap<usize, Vec<u32>>,
}

impl From<LinkSpec> for Link {
    fn from(link: LinkSpec) -> Self {
        match link {
            LinkSpec::Identity => Self::Identity,
            LinkSpec::Logistic => Self::Logistic { scale: 1.0 },
            LinkSpec::Softmax => Self::Softmax,
            LinkSpec::Exp => Self::Exp,
            LinkSpec::Share => Self::Share,
        }
    }
}

pub(in crate::serve) fn read(bytes: &[u8]) -> Result<ImportedModel> {
    check_size(OP, bytes)?;
    let file: File = serde_json::from_slice(bytes).map_err(|e| {
        let error = corrupt(OP, "the JSON is not an exported model of scikit-learn");
        error.with("line", e.line()).with("column", e.column()).with_source(e)
    })?;
    if file.format != "mlops.sklearn/v1" {
        return Err(corrupt(OP, "the format is not `mlops.sklearn/v1`").with("field", "format"));
    }
    let inputs = file.features.into_iter().map(input).collect::<Result<Vec<_>>>()?;
    let derived = file
        .columns
        .map(|columns| columns.into_iter().map(derived).collect::<Result<Vec<_>>>())
        .transpose()?;
    let width = derived.as_ref().map_or(inputs.len(), Vec::len);
    let head = match file.model {
        Model::Linear(spec) => Head::Linear(Linear {
            weights: spec.weights,
            intercepts: spec.intercepts,
            narrow: false,
            intercept_first: false,
            link: spec.link.into(),
        }),
        Model::Forest(spec) => Head::Forest(forest(spec, width)?),
    };
    let outputs = match &head {
        Head::Forest(forest) => forest.outputs(),
        Head::Linear(linear) => linear.weights.len(),
    };
    let answer = match file.answer {
        AnswerSpec::Value => Answer::Value,
        AnswerSpec::Probability => Answer::Probability(outputs.saturating_sub(1).min(1)),
        AnswerSpec::Classes(classes) if classes.iter().all(|class| class.is_finite()) => {
            Answer::Classes(classes)
        }
        AnswerSpec::Classes(_) => return Err(corrupt(OP, "a class is not finite").with("field", "answer")),
    };
    ImportedModel::new(OP, Parts { inputs, derived, norms: Vec::new(), head, after: Vec::new(), answer })
}

fn input(spec: FeatureSpec) -> Result<Input> {
    let levels = match spec.levels {
        None => Levels::None,
        Some(levels) => Levels::text(levels).ok_or_else(|| {
            corrupt(OP, "a level comes twice").with("field", "levels").with("feature", &spec.name)
        })?,
    };
    Ok(Input { name: spec.name, levels })
}

fn derived(spec: ColumnSpec) -> Result<Derived> {
    let changes = spec.changes.into_iter().map(change).collect::<Result<_>>()?;
    Ok(Derived { input: spec.feature, changes })
}

fn change(spec: ChangeSpec) -> Result<Change> {
    let (numbers, change) = match spec {
        ChangeSpec::Standard { center, scale } => ([center, scale], Change::Standard { center, scale }),
        ChangeSpec::Linear { factor, offset } => ([factor, offset], Change::Linear { factor, offset }),
        ChangeSpec::Fill(value) => ([value, 0.0], Change::Fill(value)),
        ChangeSpec::Clip { low, high } => ([low, high], Change::Clip { low, high }),
        ChangeSpec::Equals(value) => ([value, 0.0], Change::Equals(value)),
        ChangeSpec::Lookup { keys, values } => {
            let mut pairs: Vec<(f64, f64)> = keys.iter().copied().zip(values.iter().copied()).collect();
            pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
            let finite = keys.iter().chain(&values).all(|number| number.is_finite());
            if keys.len() != values.len() || !finite || pairs.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                return Err(
                    corrupt(OP, "a lookup has keys without values, or one twice").with("field", "changes")
                );
            }
            ([0.0, 0.0], Change::Lookup { pairs, default: f64::NAN })
        }
    };
    let zero_scale = matches!(change, Change::Standard { scale, .. } if scale == 0.0);
    if zero_scale || numbers.iter().any(|number| !number.is_finite()) {
        return Err(corrupt(OP, "a change has a number that it cannot have").with("field", "changes"));
    }
    Ok(change)
}

fn forest(spec: ForestSpec, features: usize) -> Result<super::super::ensemble::Forest> {
    let outputs = spec.start.len();
    if outputs == 0 || outputs > MAX_WIDTH || spec.width == 0 || spec.width > outputs {
        return Err(corrupt(OP, "the number of outputs is out of range").with("field", "start"));
    }
    if !spec.divisor.is_normal() {
        return Err(corrupt(OP, "the divisor is out of range").with("field", "divisor"));
    }
    let mut builder = ForestBuilder::new(features, outputs, spec.width, spec.narrow);
    for (number, tree) in spec.trees.iter().enumerate() {
        add(tree, number, spec.width, &mut builder)?;
    }
    let output =
        Output { start: spec.start, divisor: spec.divisor, link: spec.link.into(), ..Output::default() };
    builder.finish(OP, output)
}

fn add(tree: &TreeSpec, number: usize, width: usize, builder: &mut ForestBuilder) -> Result<()> {
    let fault = |field: &'static str, message: String| -> Error {
        corrupt(OP, message).with("field", field).with("tree", number)
    };
    let nodes = tree.feature.len();
    for (field, len) in [
        ("threshold", tree.threshold.len()),
        ("left", tree.left.len()),
        ("right", tree.right.len()),
        ("missing_left", tree.missing_left.len()),
        ("value", tree.value.len()),
    ] {
        if len != nodes {
            return Err(fault(field, format!("has {len} elements for {nodes} nodes")));
        }
    }
    let mut set = |field: &'static str, list: &[u32]| {
        if list.iter().any(|category| *category as usize >= MAX_CATEGORY) {
            return Err(fault(field, "a category is out of range".to_owned()));
        }
        Ok(builder.categories(list))
    };
    let mut sets = BTreeMap::new();
    for (field, is_left, all) in [
        ("left_categories", true, &tree.left_categories),
        ("right_categories", false, &tree.right_categories),
    ] {
        for (node, list) in all {
            if sets.insert(*node, (is_left, set(field, list)?)).is_some() {
                return Err(fault(field, format!("node {node} has categories on both sides")));
            }
        }
    }
    let mut branches = Vec::with_capacity(nodes);
    for node in 0..nodes {
        if tree.feature[node] == -1 {
            if tree.value[node].len() != width {
                return Err(fault("value", format!("node {node} has {} values", tree.value[node].len())));
            }
            branches.push(Branch::Leaf(builder.leaf(&tree.value[node])));
            continue;
        }
        let feature = u32::try_from(tree.feature[node])
            .map_err(|_| fault("feature", format!("node {node} asks for {}", tree.feature[node])))?;
        let (left, right, missing) = (tree.left[node], tree.right[node], tree.missing_left[node]);
        branches.push(match sets.get(&node) {
            Some((true, set)) => {
                Branch::Split { test: Test::Among { feature, set: *set, missing }, left, right }
            }
            Some((false, set)) => Branch::Split {
                test: Test::Among { feature, set: *set, missing: !missing },
                left: right,
                right: left,
            },
            None => {
                // JSON has no infinity: a threshold that is not there is beyond every number.
                let threshold = tree.threshold[node].unwrap_or(f64::INFINITY);
                let test = Test::AtMost { feature, threshold, reading: Reading::missing(missing) };
                Branch::Split { test, left, right }
            }
        });
    }
    builder.tree(&branches, 0, tree.output, false).map_err(|fault| fault.corrupt(OP, number))
}
