//! LightGBM's text.
//!
//! A header of `key=value` lines, then for each tree `Tree=N` and its lists, an empty line between; then `end of trees`, importances,
//! parameters and `pandas_categorical:[…]`. Inner nodes are numbered from 0; a child c < 0 is the leaf −c − 1. Of `decision_type`, bit 0
//! says that the split is categorical, bit 1 that missing values go left, bits 2 and 3 what is missing: nothing (NaN is read as 0), zero
//! (and NaN), or NaN. Of a categorical split, `threshold` is the number of a set: words `cat_boundaries[n]..cat_boundaries[n + 1]` of
//! `cat_threshold`; categories in the set go left, any other and missing ones right.
//!
//! What lies within 1e-35 of zero is zero before any question is asked, as when LightGBM predicts.
//!
//! Refused: linear trees, a node with two parents, lists of another length than the tree's, children, features and sets that are not there,
//! numbers that are none.

use std::collections::HashMap;

use serde_json::Value;

use super::super::columns::{Input, Levels};
use super::super::ensemble::{Branch, ForestBuilder, Link, Output, Reading, Test};
use super::super::imported::{Answer, Head, ImportOptions, ImportedModel, Parts};
use super::{MAX_WIDTH, check_size, corrupt, iterations};
use crate::error::{Error, ErrorKind, Result, quote};

const OP: &str = "ImportedModel::from_lightgbm";

/// Lines of `key=value`, with the number of the first.
struct Section<'a> {
    line: usize,
    tree: Option<usize>,
    fields: HashMap<&'a str, &'a str>,
}

impl<'a> Section<'a> {
    fn fault(&self, key: &'static str, message: impl Into<String>) -> Error {
        let error = corrupt(OP, message).with("field", key).with("line", self.line);
        match self.tree {
            Some(tree) => error.with("tree", tree),
            None => error,
        }
    }

    fn get(&self, key: &'static str) -> Result<&'a str> {
        self.fields.get(key).copied().ok_or_else(|| self.fault(key, "the field is missing"))
    }

    fn number<T: std::str::FromStr>(&self, key: &'static str) -> Result<T> {
        let text = self.get(key)?;
        text.trim().parse().map_err(|_| self.fault(key, format!("{} is no such number", quote(text))))
    }

    /// A list of exactly `len` numbers.
    fn list<T: std::str::FromStr>(&self, key: &'static str, len: usize) -> Result<Vec<T>> {
        let text = self.get(key)?;
        let parse = |word: &str| {
            word.parse().map_err(|_| self.fault(key, format!("{} is no such number", quote(word))))
        };
        let list: Vec<T> = text.split_ascii_whitespace().map(parse).collect::<Result<_>>()?;
        if list.len() != len {
            return Err(self.fault(key, format!("has {} elements, expected {len}", list.len())));
        }
        Ok(list)
    }
}

/// The header, the trees, and what follows them.
fn sections(text: &str) -> Result<(Section<'_>, Vec<Section<'_>>, &str)> {
    let mut all = vec![Section { line: 1, tree: None, fields: HashMap::new() }];
    let (mut end, mut at) = (None, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        at += line.len();
        let line = line.trim_end_matches(['\n', '\r']);
        if number == 0 {
            if line != "tree" {
                return Err(corrupt(OP, "a model of LightGBM begins with the line `tree`").with("line", 1));
            }
            continue;
        }
        if line == "end of trees" {
            end = Some(at);
            break;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        if key == "Tree" {
            let tree = all.len() - 1;
            if value.trim().parse() != Ok(tree) {
                let message = format!("the tree {} comes where tree {tree} is expected", quote(value));
                return Err(corrupt(OP, message).with("line", number + 1));
            }
            all.push(Section { line: number + 1, tree: Some(tree), fields: HashMap::new() });
        } else if let Some(section) = all.last_mut()
            && section.fields.insert(key, value).is_some()
        {
            return Err(corrupt(OP, "a field comes twice").with("field", key).with("line", number + 1));
        }
    }
    let Some(end) = end else {
        return Err(corrupt(OP, "the text ends before the line `end of trees`"));
    };
    let header = all.remove(0);
    Ok((header, all, text.get(end..).unwrap_or_default()))
}

/// Reads a model.
pub(in crate::serve) fn read(bytes: &[u8], options: &ImportOptions) -> Result<ImportedModel> {
    check_size(OP, bytes)?;
    let text = std::str::from_utf8(bytes).map_err(|e| corrupt(OP, "the model is not text").with_source(e))?;
    let (header, trees, rest) = sections(text)?;
    let version = header.get("version")?;
    if !matches!(version, "v3" | "v4") {
        let error = Error::new(ErrorKind::Unsupported, OP, "only versions v3 and v4 are read");
        return Err(error.with("version", version));
    }
    let features: usize = header.number::<usize>("max_feature_idx")?.saturating_add(1);
    let outputs: usize = header.number("num_tree_per_iteration")?;
    if features > MAX_WIDTH || outputs > MAX_WIDTH || outputs == 0 {
        return Err(
            header.fault("num_tree_per_iteration", "the number of features or classes is out of range")
        );
    }
    let names: Vec<&str> = header.get("feature_names")?.split(' ').filter(|name| !name.is_empty()).collect();
    if names.len() != features {
        return Err(header.fault("feature_names", format!("has {} names, expected {features}", names.len())));
    }
    if trees.len() % outputs != 0 {
        return Err(corrupt(OP, format!("{} trees are no whole iterations of {outputs}", trees.len())));
    }
    let taken = iterations(OP, options.iterations, trees.len() / outputs)?;
    let mut builder = ForestBuilder::new(features, outputs, 1, false);
    builder.flush();
    for (i, section) in trees.iter().take(taken * outputs).enumerate() {
        tree(section, &mut builder, features, i % outputs)?;
    }
    let (link, answer) = objective(&header, outputs)?;
    let average =
        header.fields.contains_key("average_output") || text.lines().take(40).any(|l| l == "average_output");
    let divisor = if average && taken > 0 { taken as f64 } else { 1.0 };
    let forest = builder.finish(OP, Output { divisor, link, ..Output::default() })?;
    let levels = pandas(rest)?;
    let inputs = inputs(&header, &names, rest, levels)?;
    ImportedModel::new(
        OP,
        Parts {
            inputs,
            derived: None,
            norms: Vec::new(),
            head: Head::Forest(forest),
            after: Vec::new(),
            answer,
        },
    )
}

/// The objective with its parameters, as `binary sigmoid:1`.
fn objective(header: &Section<'_>, outputs: usize) -> Result<(Link, Answer)> {
    let classes = || Answer::Classes((0..outputs).map(|class| class as f64).collect());
    let Some(text) = header.fields.get("objective") else {
        let answer = if outputs == 1 { Answer::Value } else { Answer::Several };
        return Ok((Link::Identity, answer));
    };
    let mut words = text.split_ascii_whitespace();
    let name = words.next().unwrap_or_default();
    let rest: Vec<&str> = words.collect();
    let sigmoid = || match rest.iter().find_map(|word| word.strip_prefix("sigmoid:")) {
        None => Ok(1.0),
        Some(text) => text
            .parse::<f64>()
            .ok()
            .filter(|scale| scale.is_finite() && *scale > 0.0)
            .ok_or_else(|| header.fault("objective", format!("{} is no such parameter", quote(text)))),
    };
    let several = matches!(name, "multiclass" | "multiclassova" | "custom" | "none" | "");
    if outputs > 1 && !several {
        return Err(header.fault("objective", format!("{} has one output", quote(name))));
    }
    Ok(match name {
        "binary" => (Link::Logistic { scale: sigmoid()? }, Answer::Probability(0)),
        "cross_entropy" | "xentropy" => (Link::Logistic { scale: 1.0 }, Answer::Probability(0)),
        "cross_entropy_lambda" | "xentlambda" => (Link::Softplus, Answer::Value),
        "multiclass" => (Link::Softmax, classes()),
        "multiclassova" => (Link::Logistic { scale: sigmoid()? }, classes()),
        "poisson" | "gamma" | "tweedie" => (Link::Exp, Answer::Value),
        "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" if rest.contains(&"sqrt") => {
            (Link::SignedSquare, Answer::Value)
        }
        "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" | "lambdarank"
        | "rank_xendcg" => (Link::Identity, Answer::Value),
        "custom" | "none" | "" if outputs > 1 => (Link::Identity, Answer::Several),
        "custom" | "none" | "" => (Link::Identity, Answer::Value),
        _ => {
            let error = Error::new(ErrorKind::Unsupported, OP, "the objective is not known");
            return Err(error.with("objective", name));
        }
    })
}

fn tree(section: &Section<'_>, builder: &mut ForestBuilder, features: usize, output: usize) -> Result<()> {
    let leaves: usize = section.number("num_leaves")?;
    if section.fields.get("is_linear").is_some_and(|linear| linear.trim() != "0") {
        let error = Error::new(ErrorKind::Unsupported, OP, "linear trees are not read");
        return Err(error.with("field", "is_linear").with("tree", output));
    }
    let values: Vec<f64> = section.list("leaf_value", leaves)?;
    if leaves == 0 {
        return Err(section.fault("num_leaves", "a tree has at least one leaf"));
    }
    let leaf: Vec<u32> = values.iter().map(|value| builder.leaf(&[*value])).collect();
    let mut nodes = Vec::with_capacity(2 * leaves);
    if leaves == 1 {
        nodes.push(Branch::Leaf(leaf[0]));
    } else {
        let inner = leaves - 1;
        let feature: Vec<u32> = section.list("split_feature", inner)?;
        let threshold: Vec<f64> = section.list("threshold", inner)?;
        let decision: Vec<u8> = section.list("decision_type", inner)?;
        let left: Vec<i64> = section.list("left_child", inner)?;
        let right: Vec<i64> = section.list("right_child", inner)?;
        let sets = sets(section, builder)?;
        let child = |key: &'static str, c: i64| {
            // The leaves follow the inner nodes.
            let place = if c < 0 {
                u32::try_from(-1 - c).ok().map(|c| c as usize + inner)
            } else {
                usize::try_from(c).ok()
            };
            let fits = |place: &usize| if c < 0 { *place < inner + leaves } else { *place < inner };
            let place = place.filter(fits).and_then(|place| u32::try_from(place).ok());
            place.ok_or_else(|| section.fault(key, format!("{c} is no node of this tree")))
        };
        for node in 0..inner {
            if usize::try_from(feature[node]).map_or(true, |feature| feature >= features) {
                return Err(section.fault("split_feature", format!("{} is no feature", feature[node])));
            }
            let test = question(section, feature[node], threshold[node], decision[node], &sets)?;
            let (left, right) = (child("left_child", left[node])?, child("right_child", right[node])?);
            nodes.push(Branch::Split { test, left, right });
        }
        nodes.extend(leaf.into_iter().map(Branch::Leaf));
    }
    builder
        .tree(&nodes, 0, output, false)
        .map_err(|fault| fault.corrupt(OP, section.tree.unwrap_or_default()).with("line", section.line))
}

/// The sets of a tree's categorical splits.
fn sets(section: &Section<'_>, builder: &mut ForestBuilder) -> Result<Vec<u32>> {
    let count: usize = section.number("num_cat")?;
    if count == 0 {
        return Ok(Vec::new());
    }
    let bounds: Vec<usize> = section.list("cat_boundaries", count.saturating_add(1))?;
    let words: Vec<u32> = section.list("cat_threshold", bounds.last().copied().unwrap_or_default())?;
    let mut sets = Vec::with_capacity(count);
    for pair in bounds.windows(2) {
        let Some(words) = words.get(pair[0]..pair[1]) else {
            return Err(section.fault("cat_boundaries", "the bounds are not ascending"));
        };
        sets.push(builder.bits(words.iter().copied()));
    }
    Ok(sets)
}

fn question(section: &Section<'_>, feature: u32, threshold: f64, decision: u8, sets: &[u32]) -> Result<Test> {
    let left = decision & 2 != 0;
    if decision & 1 != 0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place, checked to be one"
        )]
        let place = (threshold >= 0.0 && threshold < sets.len() as f64).then_some(threshold as usize);
        let set = place.and_then(|place| sets.get(place)).copied();
        let set =
            set.ok_or_else(|| section.fault("threshold", format!("{threshold} is no set of this tree")))?;
        return Ok(Test::Among { feature, set, missing: false });
    }
    let reading = match decision >> 2 & 3 {
        0 => Reading::MissingZero,
        1 if left => Reading::ZeroLeft,
        1 => Reading::ZeroRight,
        2 => Reading::missing(left),
        _ => return Err(section.fault("decision_type", format!("{decision} is no kind of decision"))),
    };
    Ok(Test::AtMost { feature, threshold, reading })
}

/// What follows `pandas_categorical:`: the categories of each categorical column of the data frame.
fn pandas(rest: &str) -> Result<Vec<Levels>> {
    let fault = |message: &str| corrupt(OP, message).with("field", "pandas_categorical");
    let Some(text) = rest.lines().find_map(|line| line.strip_prefix("pandas_categorical:")) else {
        return Ok(Vec::new());
    };
    let lists: Option<Vec<Vec<Value>>> =
        serde_json::from_str(text).map_err(|e| fault("is no list of lists").with_source(e))?;
    let levels = |list: Vec<Value>| {
        let all = if list.iter().all(Value::is_string) {
            Levels::text(list.into_iter().filter_map(|level| level.as_str().map(str::to_owned)))
        } else {
            let number =
                |level: &Value| level.as_f64().or_else(|| level.as_bool().map(|b| f64::from(u8::from(b))));
            let numbers: Option<Vec<f64>> = list.iter().map(number).collect();
            numbers.and_then(Levels::numbers)
        };
        all.ok_or_else(|| fault("the categories of a column are neither texts nor numbers, or come twice"))
    };
    lists.unwrap_or_default().into_iter().map(levels).collect()
}

/// The features; categories of pandas belong to the categorical ones in their order.
fn inputs(header: &Section<'_>, names: &[&str], rest: &str, levels: Vec<Levels>) -> Result<Vec<Input>> {
    let mut inputs: Vec<Input> = names.iter().map(|name| Input::number(*name)).collect();
    if levels.is_empty() {
        return Ok(inputs);
    }
    let listed = rest.lines().find_map(|line| line.strip_prefix("[categorical_feature: ")?.strip_suffix(']'));
    let listed: Option<Vec<usize>> = listed
        .filter(|text| !text.is_empty())
        .and_then(|text| text.split(',').map(|word| word.trim().parse().ok()).collect());
    let infos: Vec<&str> = header.get("feature_infos")?.split(' ').collect();
    let by_infos =
        || (0..infos.len()).filter(|i| !infos[*i].starts_with('[') && infos[*i] != "none").collect();
    let places: Vec<usize> = listed.unwrap_or_else(by_infos);
    if places.len() != levels.len() || places.iter().any(|place| *place >= inputs.len()) {
        let message =
            format!("there are categories of {} columns, but {} are categorical", levels.len(), places.len());
        return Err(corrupt(OP, message).with("field", "pandas_categorical"));
    }
    for (place, levels) in places.into_iter().zip(levels) {
        inputs[place].levels = levels;
    }
    Ok(inputs)
}
