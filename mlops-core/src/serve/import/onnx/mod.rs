//! ONNX graphs of classical models.
//!
//! Operators before the model become changes of single columns ([`Derived`]), the model itself a forest or weights, what follows a
//! [`Link`]. Numbers are in single precision, as in the runtime of ONNX; trees of double precision stay so.
//!
//! Refused, with the operator's name: any operator that is not listed at `ImportedModel::from_onnx`, text features without an encoder,
//! aggregates other than SUM and AVERAGE. Refused as corrupt: lists of different lengths, nodes and features that are not there, nodes with
//! two parents, fields longer than their message.

#[cfg(feature = "onnx-runtime")]
mod external;
mod graph;
mod trees;
mod wire;

use std::collections::HashMap;

use graph::{Graph, Node};

use super::super::columns::{Change, Derived, Input, Levels, Norm};
use super::super::ensemble::Link;
use super::super::imported::{Answer, Head, ImportedModel, Linear, Parts};
use super::check_size;
use crate::error::{Error, ErrorKind, Result};

pub(super) const OP: &str = "ImportedModel::from_onnx";

/// The most columns that operators may make, for each input or constant there is.
const MAX_COLUMNS: usize = 1 << 20;

/// What a name in the graph stands for.
#[derive(Clone, Debug)]
enum Value {
    /// Columns of numbers, and by what rows are divided.
    Columns(Vec<Derived>, Vec<Norm>),
    /// The model's scores.
    Scores,
    /// The names of classes, and whatever is made of them: no answer is.
    Labels,
}

/// The model itself, when it has been met.
struct Found {
    head: Head,
    answer: Answer,
    columns: Vec<Derived>,
    norms: Vec<Norm>,
}

/// Refuses a model that is no message, or that keeps weights in other files.
#[cfg(feature = "onnx-runtime")]
pub(in crate::serve) fn check_whole(operation: &'static str, bytes: &[u8]) -> Result<()> {
    match external::is_external(bytes) {
        Ok(false) => Ok(()),
        Ok(true) => {
            let message = "the model keeps weights in other files; only what is in its bytes is read";
            Err(Error::new(ErrorKind::Unsupported, operation, message))
        }
        Err(fault) => {
            let error = Error::new(ErrorKind::Corrupt, operation, "the bytes are no model of ONNX");
            Err(error.with("position", fault.at).with_source(fault))
        }
    }
}

pub(in crate::serve) fn read(bytes: &[u8]) -> Result<ImportedModel> {
    check_size(OP, bytes)?;
    let graph = graph::read(bytes)?;
    let mut inputs = Vec::new();
    let mut values: HashMap<&str, Value> = HashMap::new();
    for input in &graph.inputs {
        let first = inputs.len();
        for i in 0..input.width {
            let name = if input.width == 1 { input.name.to_owned() } else { format!("{}_{i}", input.name) };
            // Texts get their levels from the encoder that reads them.
            let levels = if input.text { Levels::Text(Default::default()) } else { Levels::None };
            inputs.push(Input { name, levels });
        }
        let columns = (first..inputs.len()).map(Derived::plain).collect();
        values.insert(input.name, Value::Columns(columns, Vec::new()));
    }
    let mut found = None;
    for node in &graph.nodes {
        step(node, &graph, &mut inputs, &mut values, &mut found)?;
    }
    let Found { head, answer, columns, norms } =
        found.ok_or_else(|| Error::new(ErrorKind::Unsupported, OP, "the graph has no model that is read"))?;
    if !graph.outputs.iter().any(|name| matches!(values.get(name), Some(Value::Scores))) {
        return Err(Error::new(ErrorKind::Unsupported, OP, "the scores are no output of the graph"));
    }
    let unread = |(i, input): (usize, &Input)| {
        matches!(&input.levels, Levels::Text(levels) if levels.is_empty())
            && columns.iter().any(|c| c.input == i)
    };
    if let Some((_, input)) = inputs.iter().enumerate().find(|(i, input)| unread((*i, input))) {
        let error = Error::new(ErrorKind::Unsupported, OP, "a text reaches the model without an encoder");
        return Err(error.with("input", &input.name));
    }
    let plain = columns.iter().enumerate().all(|(i, c)| {
        c.input == i
            && c.changes.iter().all(|change| *change == Change::Narrow)
            && matches!(head, Head::Forest(_))
    });
    // A forest of single precision rounds by itself.
    let derived = if plain && columns.len() == inputs.len() { None } else { Some(columns) };
    ImportedModel::new(OP, Parts { inputs, derived, norms, head, answer })
}

fn step<'a>(
    node: &Node<'a>,
    graph: &Graph<'a>,
    inputs: &mut [Input],
    values: &mut HashMap<&'a str, Value>,
    found: &mut Option<Found>,
) -> Result<()> {
    let given: Vec<&Value> = node.inputs.iter().filter_map(|name| values.get(name)).collect();
    if given.is_empty() {
        return Err(node.unsupported("an operator on constants alone"));
    }
    if given.iter().all(|value| matches!(value, Value::Labels)) {
        node.outputs.iter().for_each(|output| drop(values.insert(output, Value::Labels)));
        return Ok(());
    }
    if given.iter().any(|value| matches!(value, Value::Scores)) {
        let found = found.as_mut().ok_or_else(|| node.fault("scores come before the model"))?;
        after(node, found)?;
        values.insert(node.output(0), Value::Scores);
        return Ok(());
    }
    let first = node.input(0)?;
    let Some(Value::Columns(columns, norms)) = values.get(first).cloned() else {
        return Err(node.fault("an input is of nothing that was made before"));
    };
    let model = match node.operator {
        "TreeEnsembleClassifier" => Some(trees::classifier(node, columns.len())?),
        "TreeEnsembleRegressor" => Some(trees::regressor(node, columns.len())?),
        "LinearClassifier" => Some(linear_classifier(node, columns.len())?),
        "LinearRegressor" => Some(linear_regressor(node, columns.len())?),
        _ => None,
    };
    if let Some((head, answer)) = model {
        if found.is_some() {
            return Err(node.unsupported("a graph of several models"));
        }
        let classifier = node.operator.ends_with("Classifier");
        if classifier {
            values.insert(node.output(0), Value::Labels);
        }
        values.insert(node.output(usize::from(classifier)), Value::Scores);
        *found = Some(Found { head, answer, columns, norms });
        return Ok(());
    }
    let columns = before(node, graph, inputs, values, columns, norms)?;
    values.insert(node.output(0), columns);
    Ok(())
}

/// One number for all columns, or one for each.
fn spread(node: &Node<'_>, field: &'static str, width: usize, default: f64) -> Result<Vec<f64>> {
    let numbers = node.floats(field);
    let all = match numbers[..] {
        [] => vec![default; width],
        [one] => vec![one; width],
        _ if numbers.len() == width => numbers,
        _ => return Err(node.field(field, format!("has {} numbers for {width} columns", numbers.len()))),
    };
    match all.iter().find(|number| !number.is_finite()) {
        Some(bad) => Err(node.field(field, format!("has the number {bad}"))),
        None => Ok(all),
    }
}

/// An operator before the model.
fn before<'a>(
    node: &Node<'a>,
    graph: &Graph<'a>,
    inputs: &mut [Input],
    values: &HashMap<&'a str, Value>,
    columns: Vec<Derived>,
    norms: Vec<Norm>,
) -> Result<Value> {
    let width = columns.len();
    if !norms.is_empty() && !matches!(node.operator, "Identity" | "Cast" | "Flatten" | "Normalizer") {
        return Err(node.unsupported("an operator after a normaliser"));
    }
    let columns = match node.operator {
        "Identity" | "Flatten" => columns,
        "Cast" => match node.int("to") {
            // Single and double precision; what is double later was single at the door.
            Some(1) => columns.into_iter().map(|column| column.then(Change::Narrow)).collect(),
            Some(11) => columns,
            _ => return Err(node.unsupported("a cast to anything but floating point")),
        },
        "Scaler" => {
            let (offset, factor) = (spread(node, "offset", width, 0.0)?, spread(node, "scale", width, 1.0)?);
            let change = |((column, offset), factor): ((Derived, f64), f64)| {
                column.then(Change::NarrowScale { offset, factor })
            };
            columns.into_iter().zip(offset).zip(factor).map(change).collect()
        }
        "Imputer" => {
            if node.floats("replaced_value_float").first().is_some_and(|value| !value.is_nan()) {
                return Err(node.unsupported("an imputer of anything but NaN"));
            }
            let fill = spread(node, "imputed_value_floats", width, 0.0)?;
            columns.into_iter().zip(fill).map(|(column, value)| column.then(Change::Fill(value))).collect()
        }
        "Normalizer" => {
            let norm = match node.text("norm") {
                None | Some("MAX") => Norm::Max,
                Some("L1") => Norm::L1,
                Some("L2") => Norm::L2,
                _ => return Err(node.field("norm", "is none of MAX, L1, L2")),
            };
            let norms = norms.into_iter().chain([norm]).collect();
            return Ok(Value::Columns(columns, norms));
        }
        "Concat" | "FeatureVectorizer" => {
            let mut joined = Vec::new();
            for name in &node.inputs {
                match values.get(name) {
                    Some(Value::Columns(more, norms)) if norms.is_empty() => {
                        joined.extend(more.iter().cloned())
                    }
                    _ => return Err(node.unsupported("a join with anything but columns")),
                }
                if joined.len() > MAX_COLUMNS {
                    return Err(Error::limit(OP, "the number of columns", MAX_COLUMNS, "more"));
                }
            }
            joined
        }
        "ArrayFeatureExtractor" | "Gather" => {
            if node.operator == "Gather" && !matches!(node.int("axis"), Some(1 | -1)) {
                return Err(node.unsupported("a choice of anything but columns"));
            }
            let picked = graph.constants.get(node.input(1)?);
            let picked = picked.ok_or_else(|| node.unsupported("a choice of columns that is no constant"))?;
            let column = |i: &i64| {
                let column = usize::try_from(*i).ok().and_then(|i| columns.get(i)).cloned();
                column.ok_or_else(|| node.fault(format!("there is no column {i}")))
            };
            picked.ints.iter().map(column).collect::<Result<_>>()?
        }
        "OneHotEncoder" => one_hot(node, inputs, columns)?,
        "Reshape" => {
            let shape = node.inputs.get(1).and_then(|name| graph.constants.get(name));
            match shape.map(|shape| shape.ints.as_slice()) {
                Some([-1 | 0, columns_after]) if usize::try_from(*columns_after) == Ok(width) => columns,
                Some([0, -1]) => columns,
                _ => return Err(node.unsupported("a change of shape")),
            }
        }
        _ => return Err(node.unsupported("the operator")),
    };
    Ok(Value::Columns(columns, norms))
}

/// A column for each category.
fn one_hot(node: &Node<'_>, inputs: &mut [Input], columns: Vec<Derived>) -> Result<Vec<Derived>> {
    if node.int("zeros") == Some(0) {
        return Err(node.unsupported("an encoder that refuses unknown categories"));
    }
    let (texts, numbers) = (node.texts("cats_strings"), node.ints("cats_int64s"));
    let count = texts.len().max(numbers.len());
    if columns.len().saturating_mul(count) > MAX_COLUMNS {
        return Err(Error::limit(
            OP,
            "the number of columns",
            MAX_COLUMNS,
            columns.len().saturating_mul(count),
        ));
    }
    let mut all = Vec::with_capacity(columns.len() * count);
    for column in columns {
        let input = inputs.get_mut(column.input).ok_or_else(|| node.fault("an input is not there"))?;
        if texts.is_empty() {
            all.extend(numbers.iter().map(|number| column.clone().then(Change::Equals(*number as f64))));
            continue;
        }
        let unread =
            matches!(&input.levels, Levels::Text(levels) if levels.is_empty()) && column.changes.is_empty();
        if !unread {
            return Err(node.unsupported("an encoder of texts on anything but an input of texts"));
        }
        let levels = Levels::text(texts.iter().map(|text| (*text).to_owned()));
        input.levels = levels.ok_or_else(|| node.field("cats_strings", "a category comes twice"))?;
        all.extend((0..count).map(|code| column.clone().then(Change::Equals(code as f64))));
    }
    Ok(all)
}

/// An operator after the model.
fn after(node: &Node<'_>, found: &mut Found) -> Result<()> {
    let link = match &mut found.head {
        Head::Forest(forest) => forest.link_mut(),
        Head::Linear(linear) => &mut linear.link,
    };
    match (node.operator, *link) {
        ("Identity" | "Cast" | "ZipMap" | "Flatten", _) => {}
        // They add up to one as they are.
        ("Normalizer", Link::Softmax | Link::LogisticPair | Link::Complement)
            if node.text("norm") == Some("L1") => {}
        ("Normalizer", Link::Logistic { scale: 1.0 }) if node.text("norm") == Some("L1") => {
            *link = Link::LogisticShare
        }
        ("Exp", Link::Identity) => *link = Link::Exp,
        ("Sigmoid", Link::Identity) => *link = Link::Logistic { scale: 1.0 },
        ("Softmax", Link::Identity) => *link = Link::Softmax,
        ("Reshape", _) if matches!(found.answer, Answer::Value) => {}
        _ => return Err(node.unsupported("the operator after the model")),
    }
    Ok(())
}

/// What is done with the sums.
fn post_transform(node: &Node<'_>) -> Result<Link> {
    Ok(match node.text("post_transform") {
        None | Some("NONE") => Link::Identity,
        Some("LOGISTIC") => Link::Logistic { scale: 1.0 },
        Some("SOFTMAX") => Link::Softmax,
        Some("SOFTMAX_ZERO") => Link::SoftmaxZero,
        Some("PROBIT") => Link::Probit,
        Some(_) => return Err(node.field("post_transform", "is no transformation")),
    })
}

/// The classes by number where they have one, else by place.
fn classes(node: &Node<'_>) -> Result<Vec<f64>> {
    let (numbers, texts) = (node.ints("classlabels_int64s"), node.texts("classlabels_strings"));
    let numbers = if numbers.is_empty() { node.ints("classlabels_ints") } else { numbers };
    if numbers.is_empty() == texts.is_empty() {
        return Err(node.field("classlabels_int64s", "there are no names of classes, or two lists of them"));
    }
    if texts.is_empty() {
        return Ok(numbers.iter().map(|number| *number as f64).collect());
    }
    Ok((0..texts.len()).map(|place| place as f64).collect())
}

fn meaning(classes: Vec<f64>) -> Answer {
    if classes.len() == 2 { Answer::Probability(1) } else { Answer::Classes(classes) }
}

fn weights(node: &Node<'_>, features: usize, outputs: usize) -> Result<(Vec<Vec<f64>>, Vec<f64>)> {
    let coefficients = node.floats("coefficients");
    if features == 0 || Some(coefficients.len()) != features.checked_mul(outputs) || outputs == 0 {
        let message = format!("has {} numbers for {features} features", coefficients.len());
        return Err(node.field("coefficients", message));
    }
    let mut intercepts = node.floats("intercepts");
    if intercepts.is_empty() {
        intercepts = vec![0.0; outputs];
    }
    if intercepts.len() != outputs {
        return Err(
            node.field("intercepts", format!("has {} numbers for {outputs} outputs", intercepts.len()))
        );
    }
    Ok((coefficients.chunks(features).map(<[f64]>::to_vec).collect(), intercepts))
}

fn linear_classifier(node: &Node<'_>, features: usize) -> Result<(Head, Answer)> {
    let classes = classes(node)?;
    let outputs = node.floats("coefficients").len() / features.max(1);
    let (weights, intercepts) = weights(node, features, outputs)?;
    let link = match (post_transform(node)?, outputs, classes.len()) {
        (Link::Logistic { .. }, 1, 2) => Link::LogisticPair,
        (Link::Identity, 1, 2) => Link::Negated,
        (_, 1, 2) => return Err(node.unsupported("this transformation of one score for two classes")),
        (link, _, _) => link,
    };
    let linear = Linear { weights, intercepts, narrow: true, intercept_first: false, link };
    Ok((Head::Linear(linear), meaning(classes)))
}

fn linear_regressor(node: &Node<'_>, features: usize) -> Result<(Head, Answer)> {
    let targets = node.int("targets").unwrap_or(1);
    let targets = usize::try_from(targets).map_err(|_| node.field("targets", "is no count"))?;
    let (weights, intercepts) = weights(node, features, targets)?;
    if post_transform(node)? != Link::Identity {
        return Err(node.unsupported("a transformation of a regression"));
    }
    let linear = Linear { weights, intercepts, narrow: true, intercept_first: false, link: Link::Identity };
    Ok((Head::Linear(linear), if targets == 1 { Answer::Value } else { Answer::Several }))
}
