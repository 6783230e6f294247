//! ONNX graphs of classical models.
//!
//! Operators before the model become changes of single columns ([`Derived`]), the model itself a forest or weights, what follows a
//! [`Link`] or, with constants, an [`After`]. Numbers are in single precision, as in the runtime of ONNX; trees of double precision stay so.
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

use super::super::after::{After, Operation};
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
    after: Vec<After>,
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
    let Found { head, after, answer, columns, norms } =
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
    ImportedModel::new(OP, Parts { inputs, derived, norms, head, after, answer })
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
        if node.operator == "ArgMax" {
            if matches!(found.answer, Answer::Several) {
                found.answer = Answer::Classes((0..found.head.outputs()).map(|class| class as f64).collect());
            }
            values.insert(node.output(0), Value::Labels);
            return Ok(());
        }
        after(node, graph, values, found)?;
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
        "TreeEnsemble" => Some(trees::ensemble(node, columns.len())?),
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
        *found = Some(Found { head, after: Vec::new(), answer, columns, norms });
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
        "LabelEncoder" => label(node, inputs, columns)?,
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

/// Gives an input of texts its levels, which nothing has given it before.
fn level(node: &Node<'_>, inputs: &mut [Input], column: &Derived, field: &'static str) -> Result<()> {
    let input = inputs.get_mut(column.input).ok_or_else(|| node.fault("an input is not there"))?;
    let unread =
        matches!(&input.levels, Levels::Text(levels) if levels.is_empty()) && column.changes.is_empty();
    if !unread {
        return Err(node.unsupported("an encoder of texts on anything but an input of texts"));
    }
    let levels = Levels::text(node.texts(field).iter().map(|text| (*text).to_owned()));
    input.levels = levels.ok_or_else(|| node.field(field, "a category comes twice"))?;
    Ok(())
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
        if texts.is_empty() {
            all.extend(numbers.iter().map(|number| column.clone().then(Change::Equals(*number as f64))));
            continue;
        }
        level(node, inputs, &column, "cats_strings")?;
        all.extend((0..count).map(|code| column.clone().then(Change::Equals(code as f64))));
    }
    Ok(all)
}

/// A number for each category or number.
fn label(node: &Node<'_>, inputs: &mut [Input], columns: Vec<Derived>) -> Result<Vec<Derived>> {
    let whole = |field: &str| node.ints(field).iter().map(|number| *number as f64).collect::<Vec<_>>();
    let lists = |kinds: [&'static str; 3]| {
        let [floats, ints, tensor] = kinds;
        let given = [node.floats(floats), whole(ints), node.floats(tensor), whole(tensor)];
        given.into_iter().find(|list| !list.is_empty()).unwrap_or_default()
    };
    let values = lists(["values_floats", "values_int64s", "values_tensor"]);
    let floating = node.ints("values_int64s").is_empty() && node.ints("values_tensor").is_empty();
    let default = lists(["default_float", "default_int64", "default_tensor"]).first().copied();
    let default = default.unwrap_or(if floating { 0.0 } else { -1.0 });
    let texts = ["keys_strings", "keys_tensor"].into_iter().find(|field| !node.texts(field).is_empty());
    let keys = match texts {
        Some(field) => (0..node.texts(field).len()).map(|code| code as f64).collect(),
        None => lists(["keys_floats", "keys_int64s", "keys_tensor"]),
    };
    if values.is_empty() || keys.is_empty() {
        return Err(node.unsupported("an encoder to anything but numbers"));
    }
    if values.len() != keys.len() {
        let message = format!("there are {} keys for {} values", keys.len(), values.len());
        return Err(node.fault(message));
    }
    if columns.len().saturating_mul(keys.len()) > MAX_COLUMNS.max(64 * keys.len()) {
        return Err(Error::limit(
            OP,
            "the number of keys",
            MAX_COLUMNS,
            columns.len().saturating_mul(keys.len()),
        ));
    }
    let mut pairs: Vec<(f64, f64)> = keys.into_iter().zip(values).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    if pairs.iter().any(|(key, _)| key.is_nan()) || pairs.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(node.unsupported("a key that is NaN or comes twice"));
    }
    let narrow = !node.is_wide("keys_tensor") && node.ints("keys_int64s").is_empty();
    let mut all = Vec::with_capacity(columns.len());
    for column in columns {
        let column = match texts {
            Some(field) => {
                level(node, inputs, &column, field)?;
                column
            }
            // The runtime compares in the precision of the keys.
            None if narrow && node.ints("keys_tensor").is_empty() => column.then(Change::Narrow),
            None => column,
        };
        all.push(column.then(Change::Lookup { pairs: pairs.clone(), default }));
    }
    Ok(all)
}

/// An operator after the model.
fn after<'a>(
    node: &Node<'a>,
    graph: &Graph<'a>,
    values: &HashMap<&'a str, Value>,
    found: &mut Found,
) -> Result<()> {
    if let Some(step) = arithmetic(node, graph, values, found.head.outputs())? {
        if step.idles() {
            return Ok(());
        }
        // Whatever it was, it may lie beyond 0 and 1 now.
        if matches!(found.answer, Answer::Probability(_)) {
            found.answer = Answer::Several;
        }
        found.after.push(step);
        return Ok(());
    }
    let link = match &mut found.head {
        Head::Forest(forest) => forest.link_mut(),
        Head::Linear(linear) => &mut linear.link,
    };
    match (node.operator, *link) {
        ("Identity" | "ZipMap" | "Flatten", _) => {}
        ("Cast", _) => match node.int("to") {
            Some(1) if found.after.is_empty() => {}
            Some(1) => found.after.push(After::Narrow),
            Some(11) => {}
            _ => return Err(node.unsupported("a cast to anything but floating point")),
        },
        ("Reshape", _) if matches!(found.answer, Answer::Value) => {}
        ("Exp" | "Sigmoid" | "Softmax", _) if !found.after.is_empty() => {
            found.after.push(After::Link(function(node)));
        }
        ("Exp" | "Sigmoid" | "Softmax", Link::Identity) => *link = function(node),
        _ if !found.after.is_empty() => return Err(node.unsupported("the operator after the model")),
        // They add up to one as they are.
        ("Normalizer", Link::Softmax | Link::LogisticPair | Link::Complement)
            if node.text("norm") == Some("L1") => {}
        ("Normalizer", Link::Logistic { scale: 1.0 }) if node.text("norm") == Some("L1") => {
            *link = Link::LogisticShare
        }
        _ => return Err(node.unsupported("the operator after the model")),
    }
    Ok(())
}

fn function(node: &Node<'_>) -> Link {
    match node.operator {
        "Exp" => Link::Exp,
        "Sigmoid" => Link::Logistic { scale: 1.0 },
        _ => Link::Softmax,
    }
}

/// Arithmetic of the scores with a constant; none, if the operator is another.
fn arithmetic<'a>(
    node: &Node<'a>,
    graph: &Graph<'a>,
    values: &HashMap<&'a str, Value>,
    outputs: usize,
) -> Result<Option<After>> {
    let scores_first = matches!(values.get(node.input(0)?), Some(Value::Scores));
    let operation = match (node.operator, scores_first) {
        ("Neg", _) => {
            return Ok(Some(After::Constants {
                operation: Operation::Times,
                constants: vec![-1.0],
                wide: true,
            }));
        }
        ("Mul", _) => Operation::Times,
        ("Add", _) => Operation::Plus,
        ("Sub", true) => Operation::Minus,
        ("Sub", false) => Operation::From,
        ("Div", true) => Operation::Over,
        _ => return Ok(None),
    };
    let constant = graph.constants.get(node.input(usize::from(scores_first))?);
    let constant =
        constant.ok_or_else(|| node.unsupported("arithmetic of anything but scores with constants"))?;
    let wide = !constant.doubles.is_empty();
    let constants: Vec<f64> =
        if wide { constant.doubles.clone() } else { constant.floats.iter().map(|x| f64::from(*x)).collect() };
    // One for all, or one for each column: the last dimension.
    let last = constant.shape.last().copied().unwrap_or(1);
    let fits = constants.len() == 1 || (constants.len() == outputs && usize::try_from(last) == Ok(outputs));
    if !fits || constant.shape.len() > 2 {
        return Err(node.unsupported("arithmetic with constants that are not one for each score"));
    }
    if constants.iter().any(|c| !c.is_finite() || (operation == Operation::Over && *c == 0.0)) {
        return Err(node.fault("a constant is not finite, or divides by zero"));
    }
    Ok(Some(After::Constants { operation, constants, wide }))
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
