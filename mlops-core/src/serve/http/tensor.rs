//! Tensors in JSON, as the Open Inference Protocol sends them.
//!
//! A body is read twice: once for names, shapes and types, which may stand behind the data; then the data, straight into columns.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::cells::{Cell, Columns, Fault};
use super::failure::{Code, Failure};
use super::rows::{invalid, refused, stop};
use crate::data::{DataType, Table};
use crate::error::quote;
use crate::model::Signature;

/// The name of the one tensor that is answered.
pub(super) const OUTPUT: &str = "predict";

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    Int { low: i64, high: i64 },
    Unsigned64,
    Float32,
    Float64,
    Bytes,
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        let int = |low: i64, high: i64| Some(Self::Int { low, high });
        match name {
            "BOOL" => Some(Self::Bool),
            "UINT8" => int(0, i64::from(u8::MAX)),
            "UINT16" => int(0, i64::from(u16::MAX)),
            "UINT32" => int(0, i64::from(u32::MAX)),
            "UINT64" => Some(Self::Unsigned64),
            "INT8" => int(i64::from(i8::MIN), i64::from(i8::MAX)),
            "INT16" => int(i64::from(i16::MIN), i64::from(i16::MAX)),
            "INT32" => int(i64::from(i32::MIN), i64::from(i32::MAX)),
            "INT64" => int(i64::MIN, i64::MAX),
            "FP32" => Some(Self::Float32),
            "FP64" => Some(Self::Float64),
            "BYTES" => Some(Self::Bytes),
            _ => None,
        }
    }

    /// Whether an element is of this type.
    fn takes(self, cell: Cell<'_>) -> bool {
        match (self, cell) {
            (Self::Bool, Cell::Bool(_) | Cell::Int(0 | 1)) | (Self::Bytes, Cell::Text(_)) => true,
            (Self::Int { low, high }, Cell::Int(value)) => (low..=high).contains(&value),
            (Self::Unsigned64, Cell::Int(value)) => value >= 0,
            (Self::Float32, Cell::Float(value)) => (value as f32).is_finite(),
            (Self::Float64, Cell::Float(value)) => value.is_finite(),
            (Self::Float32 | Self::Float64, Cell::Int(_)) | (_, Cell::Missing) => true,
            _ => false,
        }
    }
}

/// What the protocol calls the type of a model's input.
pub(super) fn datatype(data_type: DataType) -> &'static str {
    match data_type {
        DataType::F64 => "FP64",
        DataType::F32 => "FP32",
        DataType::I64 => "INT64",
        DataType::Bool => "BOOL",
        DataType::Category | DataType::Time => "BYTES",
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Head<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    shape: Vec<u64>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    #[serde(default)]
    #[allow(dead_code)] // taken, as the protocol wants it; there is none that this server knows
    parameters: Parameters,
    #[allow(dead_code)] // that it is there is what matters here
    data: IgnoredAny,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Output<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    #[allow(dead_code)]
    parameters: Parameters,
}

/// Parameters by name. Those that nobody here knows are passed over, as the protocol wants it; the answer has its own, if any.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(transparent)]
struct Parameters(Option<HashMap<String, Parameter>>);

impl Parameters {
    /// The parameter by which callers are told apart: a text, or a whole number.
    fn routing(&self, name: &str) -> Option<String> {
        match self.0.as_ref()?.get(name)? {
            Parameter::Text(text) if !text.is_empty() && text.len() <= 512 => Some(text.clone()),
            Parameter::Number(number) if !number.is_f64() => Some(number.to_string()),
            _ => None,
        }
    }
}

/// What the protocol allows as a parameter.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged, expecting = "expected a text, a number, true or false")]
enum Parameter {
    Bool(#[allow(dead_code)] bool),
    Number(serde_json::Number),
    Text(String),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Parameters,
    #[serde(borrow)]
    inputs: Vec<Head<'a>>,
    #[serde(default, borrow)]
    outputs: Option<Vec<Output<'a>>>,
}

/// A request of the protocol, without its data.
#[derive(Debug)]
pub(super) struct InferenceRequest {
    /// The caller's id for it, answered back.
    pub(super) id: Option<String>,
    /// The value of the parameter by which callers are told apart.
    pub(super) routing: Option<String>,
    inputs: Vec<Input>,
}

#[derive(Debug)]
struct Input {
    name: String,
    shape: Vec<usize>,
    kind: Kind,
}

impl InferenceRequest {
    pub(super) fn read(body: &[u8], routing: Option<&str>) -> Result<Self, Failure> {
        let request: Request<'_> = serde_json::from_slice(body).map_err(|error| {
            if error.is_data() {
                // The parser's words name fields and types; what a caller sent in their place is cut.
                let message = quote(&error.to_string());
                Failure::new(Code::InvalidInput, "the body is no inference request").with("reason", message)
            } else {
                refused(&error, None)
            }
        })?;
        for output in request.outputs.unwrap_or_default() {
            if output.name != OUTPUT {
                return Err(Failure::new(Code::InvalidInput, "the model has no such output")
                    .quoting("output", &output.name));
            }
        }
        let routing = routing.and_then(|name| request.parameters.routing(name));
        let inputs = request.inputs.into_iter().map(Input::check).collect::<Result<_, _>>()?;
        Ok(Self { id: request.id, routing, inputs })
    }

    /// Reads the tensors into what the model takes: one tensor for each input, by name; or one of all inputs, row by row.
    pub(super) fn rows(
        &self,
        body: &[u8],
        signature: &Signature,
        max_rows: usize,
    ) -> Result<Table<'static>, Failure> {
        let columns = self.columns(signature)?;
        let rows = self.inputs.first().and_then(|input| input.shape.first()).copied().unwrap_or_default();
        if rows > max_rows {
            let failure = Failure::new(Code::InvalidInput, format!("there are more than {max_rows} rows"));
            return Err(failure.with("rows", rows));
        }
        let mut fault = None;
        let mut growing = Columns::new(signature);
        growing.rows = rows;
        let mut json = serde_json::Deserializer::from_slice(body);
        let outer =
            Outer { inputs: &self.inputs, columns: &columns, growing: &mut growing, fault: &mut fault };
        json.deserialize_map(outer).map_err(|error| refused(&error, fault))?;
        for (feature, column) in signature.inputs.iter().zip(&mut growing.columns) {
            if column.len() == 0 && feature.nullable {
                (0..rows).try_for_each(|_| column.push(Cell::Missing)).map_err(invalid)?;
            }
        }
        growing.finish().map_err(invalid)
    }

    /// For each tensor, the features that its elements go to, in turn.
    fn columns(&self, signature: &Signature) -> Result<Vec<Vec<usize>>, Failure> {
        let features: HashMap<&str, usize> =
            signature.inputs.iter().enumerate().map(|(at, feature)| (feature.name.as_str(), at)).collect();
        let Some(first) = self.inputs.first() else {
            return Err(Failure::new(Code::InvalidInput, "there are no inputs"));
        };
        let rows = first.shape.first().copied().unwrap_or_default();
        if self.inputs.len() == 1 && !features.contains_key(first.name.as_str()) {
            return first.of_all(signature).map(|columns| vec![columns]);
        }
        let mut seen = vec![false; signature.inputs.len()];
        let mut columns = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let bad =
                |message: String| Failure::new(Code::InvalidInput, message).quoting("input", &input.name);
            let Some(&feature) = features.get(input.name.as_str()) else {
                return Err(bad("the model has no such input".to_owned()));
            };
            if std::mem::replace(&mut seen[feature], true) {
                return Err(bad("the input comes twice".to_owned()));
            }
            if !matches!(input.shape[..], [n] | [n, 1] if n == rows) {
                return Err(bad(format!(
                    "expected the shape [{rows}] or [{rows}, 1], got {:?}",
                    input.shape
                )));
            }
            columns.push(vec![feature]);
        }
        let missing = signature.inputs.iter().zip(&seen).find(|(feature, seen)| !**seen && !feature.nullable);
        match missing {
            Some((feature, _)) => {
                Err(Failure::new(Code::InvalidInput, "the model needs the input")
                    .quoting("input", &feature.name))
            }
            None => Ok(columns),
        }
    }
}

impl Input {
    fn check(head: Head<'_>) -> Result<Self, Failure> {
        let bad = |message: &str| Failure::new(Code::InvalidInput, message).quoting("input", &head.name);
        let Some(kind) = Kind::named(&head.datatype) else {
            return Err(
                bad("the datatype is not one that JSON can hold here").quoting("datatype", &head.datatype)
            );
        };
        let shape: Option<Vec<usize>> = head.shape.iter().map(|&n| usize::try_from(n).ok()).collect();
        let shape = shape.filter(|shape| (1..=8).contains(&shape.len()) && elements(shape).is_some());
        match shape {
            Some(shape) => Ok(Self { name: head.name.into_owned(), shape, kind }),
            None => Err(bad("a shape has 1 to 8 dimensions, and not more elements than can be counted")),
        }
    }

    /// All inputs of the model in one tensor.
    fn of_all(&self, signature: &Signature) -> Result<Vec<usize>, Failure> {
        let width = signature.inputs.len();
        let fits = match self.shape[..] {
            [_, columns] => columns == width || width == 0,
            [_] => width <= 1,
            _ => false,
        };
        if fits {
            return Ok((0..width).collect());
        }
        let names: Vec<String> = signature.inputs.iter().take(20).map(|f| quote(&f.name)).collect();
        let message = format!("expected one tensor of shape [rows, {width}], or one for each input by name");
        let failure = Failure::new(Code::InvalidInput, message).quoting("input", &self.name);
        Err(failure.with("shape", self.shape.clone()).with("inputs", names))
    }
}

/// The number of elements of a shape, if it can be counted.
fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n)).filter(|n| *n <= 1 << 40)
}

struct Outer<'f, 's> {
    inputs: &'f [Input],
    columns: &'f [Vec<usize>],
    growing: &'f mut Columns<'s>,
    fault: &'f mut Option<Fault>,
}

impl<'de> Visitor<'de> for Outer<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an inference request")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == "inputs" {
                map.next_value_seed(Tensors(&mut self))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct Tensors<'o, 'f, 's>(&'o mut Outer<'f, 's>);

impl<'de> DeserializeSeed<'de> for Tensors<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Tensors<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tensors")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let outer = self.0;
        for (input, columns) in outer.inputs.iter().zip(outer.columns) {
            let elements = elements(&input.shape).unwrap_or_default();
            let mut filling = Filling {
                input,
                columns,
                growing: &mut *outer.growing,
                fault: &mut *outer.fault,
                at: 0,
                elements,
            };
            seq.next_element_seed(TensorSeed(&mut filling))?;
            if filling.at != elements {
                let message = format!("the shape has {elements} elements, the data {}", filling.at);
                return stop(outer.fault, Fault::new(message).in_column(&input.name));
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// One tensor, going into its columns.
struct Filling<'o, 's> {
    input: &'o Input,
    columns: &'o [usize],
    growing: &'o mut Columns<'s>,
    fault: &'o mut Option<Fault>,
    at: usize,
    elements: usize,
}

impl Filling<'_, '_> {
    fn stop<T, E: serde::de::Error>(&mut self, message: impl Into<String>) -> Result<T, E> {
        stop(self.fault, Fault::new(message).in_column(&self.input.name))
    }

    fn push<E: serde::de::Error>(&mut self, cell: Cell<'_>) -> Result<(), E> {
        if self.at >= self.elements {
            return self.stop(format!("the data has more than the {} elements of its shape", self.elements));
        }
        if !self.input.kind.takes(cell) {
            return self.stop(format!("element {} is not of the datatype", self.at));
        }
        let place = self.at;
        self.at += 1;
        let width = self.columns.len();
        let feature = place.checked_rem(width).and_then(|turn| self.columns.get(turn));
        let Some(column) = feature.and_then(|&feature| self.growing.columns.get_mut(feature)) else {
            return Ok(());
        };
        match column.push(cell) {
            Ok(()) => Ok(()),
            Err(fault) => stop(self.fault, fault),
        }
    }
}

struct TensorSeed<'a, 'o, 's>(&'a mut Filling<'o, 's>);

impl<'de> DeserializeSeed<'de> for TensorSeed<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TensorSeed<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key != "data" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if !map.next_value_seed(DataSeed { filling: &mut *self.0, level: 0 })? {
                return self.0.stop("`data` is a list");
            }
        }
        Ok(())
    }
}

/// Elements in lists, or in lists of lists as the shape has them. Answers whether it was a list.
struct DataSeed<'a, 'o, 's> {
    filling: &'a mut Filling<'o, 's>,
    level: usize,
}

impl<'de> DeserializeSeed<'de> for DataSeed<'_, '_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl DataSeed<'_, '_, '_> {
    fn element<E: serde::de::Error>(self, cell: Cell<'_>) -> Result<bool, E> {
        if self.level == 0 {
            return Ok(false);
        }
        self.filling.push(cell).map(|()| false)
    }
}

impl<'de> Visitor<'de> for DataSeed<'_, '_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("elements")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<bool, E> {
        self.element(Cell::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<bool, E> {
        self.element(Cell::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<bool, E> {
        match i64::try_from(value) {
            Ok(value) => self.element(Cell::Int(value)),
            Err(_) => self.filling.stop("an integer is beyond 2^63 - 1"),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<bool, E> {
        self.element(Cell::Float(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<bool, E> {
        self.element(Cell::Text(value))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<bool, E> {
        self.element(Cell::Missing)
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<bool, A::Error> {
        self.filling.stop("an element is an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        let Some(&expected) = self.filling.input.shape.get(self.level) else {
            return self.filling.stop("the data is nested deeper than its shape");
        };
        let (mut members, mut lists) = (0_usize, 0_usize);
        let level = self.level + 1;
        while let Some(list) = seq.next_element_seed(DataSeed { filling: &mut *self.filling, level })? {
            members += 1;
            lists += usize::from(list);
        }
        let last = level == self.filling.input.shape.len();
        let sound = match (lists, self.level) {
            // A flat list of all elements.
            (0, 0) => true,
            (0, _) => last && members == expected,
            _ => lists == members && members == expected,
        };
        if sound {
            Ok(true)
        } else {
            self.filling.stop("the lists in `data` are not as long as the shape says")
        }
    }
}
