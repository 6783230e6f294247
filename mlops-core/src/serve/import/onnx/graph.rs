//! A graph of ONNX: nodes with attributes, inputs, constants, outputs.

use std::collections::HashMap;

use super::super::{MAX_WIDTH, corrupt};
use super::OP;
use super::wire::{Fault, Field, Message};
use crate::error::{Error, ErrorKind, Result};

/// The most nodes of a graph: classical models have a few.
const MAX_NODES: usize = 10_000;

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        corrupt(OP, "the bytes are not a graph of ONNX").with("byte", fault.at).with_source(fault)
    }
}

/// An attribute's value; only what classical operators have.
#[derive(Debug, Default)]
pub(super) struct Attribute<'a> {
    /// The shape of a constant; none for one number.
    pub(super) shape: Vec<i64>,
    pub(super) floats: Vec<f32>,
    pub(super) doubles: Vec<f64>,
    pub(super) ints: Vec<i64>,
    pub(super) texts: Vec<&'a str>,
}

#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) operator: &'a str,
    pub(super) domain: &'a str,
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    pub(super) attributes: HashMap<&'a str, Attribute<'a>>,
}

impl<'a> Node<'a> {
    /// A fault of this node.
    pub(super) fn fault(&self, message: impl Into<String>) -> Error {
        corrupt(OP, message).with("operator", self.operator)
    }

    pub(super) fn field(&self, field: &'static str, message: impl Into<String>) -> Error {
        self.fault(message).with("field", field)
    }

    /// What is not read here, the runtime of ONNX runs.
    pub(super) fn unsupported(&self, what: &'static str) -> Error {
        let message = format!("{what} is not read; the runtime of ONNX runs it (feature `onnx-runtime`)");
        Error::new(ErrorKind::Unsupported, OP, message)
            .with("operator", self.operator)
            .with("domain", self.domain)
    }

    /// Numbers, of attributes of single precision or of tensors under the other name; none, if there are none.
    pub(super) fn floats(&self, name: &str) -> Vec<f64> {
        let Some(attribute) = self.attributes.get(name) else { return Vec::new() };
        if attribute.doubles.is_empty() {
            attribute.floats.iter().map(|x| f64::from(*x)).collect()
        } else {
            attribute.doubles.clone()
        }
    }

    /// Whether numbers are of double precision.
    pub(super) fn is_wide(&self, name: &str) -> bool {
        self.attributes.get(name).is_some_and(|attribute| !attribute.doubles.is_empty())
    }

    pub(super) fn ints(&self, name: &str) -> &[i64] {
        self.attributes.get(name).map(|attribute| attribute.ints.as_slice()).unwrap_or_default()
    }

    pub(super) fn texts(&self, name: &str) -> &[&'a str] {
        self.attributes.get(name).map(|attribute| attribute.texts.as_slice()).unwrap_or_default()
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        self.ints(name).first().copied()
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.texts(name).first().copied()
    }

    pub(super) fn input(&self, at: usize) -> Result<&'a str> {
        self.inputs.get(at).copied().ok_or_else(|| self.fault("an input is missing"))
    }

    pub(super) fn output(&self, at: usize) -> &'a str {
        self.outputs.get(at).copied().unwrap_or_default()
    }
}

/// An input of the graph.
#[derive(Debug)]
pub(super) struct GraphInput<'a> {
    pub(super) name: &'a str,
    pub(super) width: usize,
    /// Whether it is of texts.
    pub(super) text: bool,
}

#[derive(Debug, Default)]
pub(super) struct Graph<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) inputs: Vec<GraphInput<'a>>,
    pub(super) outputs: Vec<&'a str>,
    pub(super) constants: HashMap<&'a str, Attribute<'a>>,
}

/// Reads the graph of a model.
pub(super) fn read(bytes: &[u8]) -> Result<Graph<'_>> {
    let mut graph = None;
    for field in (Message { bytes, begin: 0 }).fields() {
        if let (7, Field::Bytes(message)) = field? {
            graph = Some(message);
        }
    }
    let message = graph.ok_or_else(|| corrupt(OP, "the model has no graph").with("byte", bytes.len()))?;
    let mut graph = Graph::default();
    let mut inputs = Vec::new();
    for field in message.fields() {
        match field? {
            (1, Field::Bytes(message)) if graph.nodes.len() < MAX_NODES => {
                let mut node = node(message)?;
                match constant(&mut node) {
                    Some(constant) => drop(graph.constants.insert(node.output(0), constant)),
                    None => graph.nodes.push(node),
                }
            }
            (1, _) => return Err(Error::limit(OP, "the number of nodes", MAX_NODES, "more")),
            (5, Field::Bytes(message)) => {
                let (name, tensor) = tensor(message)?;
                graph.constants.insert(name, tensor);
            }
            (11, Field::Bytes(message)) => inputs.push(input(message)?),
            (12, Field::Bytes(message)) => graph.outputs.push(name(message)?),
            _ => {}
        }
    }
    // Old graphs list constants among the inputs.
    graph.inputs = inputs.into_iter().filter(|input| !graph.constants.contains_key(input.name)).collect();
    if graph.inputs.iter().map(|input| input.width).fold(0, usize::saturating_add) > MAX_WIDTH {
        return Err(Error::limit(OP, "the number of features", MAX_WIDTH, "more"));
    }
    Ok(graph)
}

/// What an operator `Constant` holds, taken out of it; none, if it is another operator or of a kind that is not read.
fn constant<'a>(node: &mut Node<'a>) -> Option<Attribute<'a>> {
    if node.operator != "Constant" {
        return None;
    }
    let known =
        |name: &&str| matches!(*name, "value" | "value_float" | "value_floats" | "value_int" | "value_ints");
    let name = node.attributes.keys().copied().find(known)?;
    let mut constant = node.attributes.remove(name)?;
    if name.ends_with('s') {
        constant.shape =
            vec![i64::try_from(constant.floats.len().max(constant.ints.len())).unwrap_or(i64::MAX)];
    }
    Some(constant)
}

fn name(message: Message<'_>) -> Result<&str> {
    for field in message.fields() {
        if let (1, Field::Bytes(text)) = field? {
            return Ok(text.text()?);
        }
    }
    Err(message.fault("something has no name").into())
}

fn node(message: Message<'_>) -> Result<Node<'_>> {
    let mut node = Node {
        operator: "",
        domain: "",
        inputs: Vec::new(),
        outputs: Vec::new(),
        attributes: HashMap::new(),
    };
    for field in message.fields() {
        match field? {
            (1, Field::Bytes(text)) => node.inputs.push(text.text()?),
            (2, Field::Bytes(text)) => node.outputs.push(text.text()?),
            (4, Field::Bytes(text)) => node.operator = text.text()?,
            (5, Field::Bytes(message)) => {
                let (name, attribute) = attribute(message)?;
                node.attributes.insert(name, attribute);
            }
            (7, Field::Bytes(text)) => node.domain = text.text()?,
            _ => {}
        }
    }
    Ok(node)
}

fn attribute(message: Message<'_>) -> Result<(&str, Attribute<'_>)> {
    let (mut name, mut value) = ("", Attribute::default());
    for field in message.fields() {
        match field? {
            (1, Field::Bytes(text)) => name = text.text()?,
            (2 | 7, Field::Four(bytes)) => value.floats.push(f32::from_le_bytes(bytes)),
            (3 | 8, Field::Varint(number)) => value.ints.push(number.cast_signed()),
            (4 | 9, Field::Bytes(text)) => value.texts.push(text.text()?),
            (5, Field::Bytes(message)) => value = tensor(message)?.1,
            (7, Field::Bytes(packed)) => value.floats.extend(packed.floats()?),
            (8, Field::Bytes(packed)) => value.ints.extend(packed.varints()?),
            _ => {}
        }
    }
    Ok((name, value))
}

/// A constant.
fn tensor(message: Message<'_>) -> Result<(&str, Attribute<'_>)> {
    let (mut name, mut kind, mut raw, mut value) = ("", 0, None, Attribute::default());
    for field in message.fields() {
        match field? {
            (1, Field::Varint(number)) => value.shape.push(number.cast_signed()),
            (1, Field::Bytes(packed)) => value.shape.extend(packed.varints()?),
            (2, Field::Varint(number)) => kind = number,
            (4, Field::Four(bytes)) => value.floats.push(f32::from_le_bytes(bytes)),
            (4, Field::Bytes(packed)) => value.floats.extend(packed.floats()?),
            (5 | 7, Field::Varint(number)) => value.ints.push(number.cast_signed()),
            (5 | 7, Field::Bytes(packed)) => value.ints.extend(packed.varints()?),
            (6, Field::Bytes(text)) => value.texts.push(text.text()?),
            (8, Field::Bytes(text)) => name = text.text()?,
            (9, Field::Bytes(bytes)) => raw = Some(bytes),
            (10, Field::Eight(bytes)) => value.doubles.push(f64::from_le_bytes(bytes)),
            (10, Field::Bytes(packed)) => value.doubles.extend(packed.doubles()?),
            (14, Field::Varint(1)) => return Err(message.fault("a constant lies in another file").into()),
            _ => {}
        }
    }
    if let Some(raw) = raw {
        match kind {
            1 => value.floats = raw.floats()?,
            2 => value.ints = raw.bytes.iter().map(|byte| i64::from(*byte)).collect(),
            6 => value.ints = raw.floats()?.iter().map(|x| i64::from(x.to_bits().cast_signed())).collect(),
            7 => value.ints = raw.doubles()?.iter().map(|x| x.to_bits().cast_signed()).collect(),
            11 => value.doubles = raw.doubles()?,
            _ => return Err(message.fault("a constant is of a type that is not read").into()),
        }
    }
    Ok((name, value))
}

/// Name, width and type of an input: `ValueInfo { name, type { tensor_type { elem_type, shape { dim { value } } } } }`.
fn input(message: Message<'_>) -> Result<GraphInput<'_>> {
    let mut input = GraphInput { name: name(message)?, width: 1, text: false };
    for field in message.fields() {
        let (2, Field::Bytes(kind)) = field? else { continue };
        for field in kind.fields() {
            let (1, Field::Bytes(tensor)) = field? else { continue };
            for field in tensor.fields() {
                match field? {
                    (1, Field::Varint(element)) => input.text = element == 8,
                    (2, Field::Bytes(shape)) => {
                        let mut dimensions = Vec::new();
                        for field in shape.fields() {
                            if let (1, Field::Bytes(dimension)) = field? {
                                dimensions.push(size(dimension)?);
                            }
                        }
                        input.width = match dimensions[..] {
                            [] | [_] => 1,
                            [_, Some(width)] => usize::try_from(width).unwrap_or(usize::MAX),
                            _ => return Err(corrupt(OP, "an input is no table").with("input", input.name)),
                        };
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(input)
}

/// The size of a dimension, where it is given as a number.
fn size(dimension: Message<'_>) -> Result<Option<u64>> {
    for field in dimension.fields() {
        if let (1, Field::Varint(size)) = field? {
            return Ok(Some(size));
        }
    }
    Ok(None)
}
