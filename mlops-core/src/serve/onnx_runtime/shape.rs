//! What goes into a model and what comes out of it, as its graph says.

use std::sync::Arc;

use ort::value::{Outlet, TensorElementType, ValueType};

use super::OnnxOptions;
use crate::data::DataType;
use crate::error::{Error, ErrorKind, Result, quote};
use crate::model::{ClassProbabilities, Feature};
use crate::problem::Task;

pub(super) const OP: &str = "OnnxModel::load";

/// The most features of all inputs.
const MAX_FEATURES: usize = 1 << 20;

/// One tensor that goes in: some features of each row.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) element: TensorElementType,
    /// Whether it is a list, rather than a table of so many columns.
    pub(super) list: bool,
    /// The names of its columns.
    pub(super) features: Vec<String>,
    /// Whether it takes one row at a time and no more.
    pub(super) single: bool,
}

impl Input {
    pub(super) fn of(outlet: &Outlet, options: &OnnxOptions) -> Result<Self> {
        let name = outlet.name().to_owned();
        let refused =
            |message: String| Err(Error::new(ErrorKind::Unsupported, OP, message).with("input", &name));
        let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
            return refused("an input is no tensor".to_owned());
        };
        let (rows, columns) = match shape[..] {
            [rows] => (rows, None),
            [rows, columns] => (rows, Some(columns)),
            _ => return refused(format!("an input has {} dimensions; tables have one or two", shape.len())),
        };
        if rows > 1 {
            return refused(format!("an input takes {rows} rows at a time, no more and no fewer"));
        }
        if data_type(*ty).is_none() {
            return refused(format!("an input is of {ty}, which is not a type of tables"));
        }
        let width = columns.map_or(Ok(1), |columns| usize::try_from(columns).map_err(|_| ()));
        let features = match (options.features.get(&name), width) {
            (Some(names), Ok(width)) if names.len() != width => {
                let message = format!("names {} features, the input has {width} columns", names.len());
                return Err(Error::invalid(OP, "features", message).with("input", name));
            }
            (Some(names), _) => names.clone(),
            (None, Ok(1)) => vec![name.clone()],
            (None, Ok(width)) if width <= MAX_FEATURES => (0..width).map(|i| format!("{name}_{i}")).collect(),
            (None, Ok(width)) => {
                return Err(Error::limit(OP, "the columns of an input", MAX_FEATURES, width));
            }
            (None, Err(())) => {
                let message = "the graph does not say how many columns the input has; name its features";
                return Err(Error::invalid(OP, "features", message).with("input", name));
            }
        };
        Ok(Self { element: *ty, list: columns.is_none(), features, single: rows == 1, name })
    }

    /// The features that it asks for.
    pub(super) fn features(&self, missing: bool) -> impl Iterator<Item = Feature> {
        let data_type = data_type(self.element).unwrap_or(DataType::F64);
        let nullable = missing && data_type == DataType::F64;
        self.features.iter().map(move |name| Feature { nullable, ..Feature::required(name, data_type) })
    }
}

/// The type that a column must be of.
fn data_type(element: TensorElementType) -> Option<DataType> {
    use TensorElementType as E;
    Some(match element {
        E::Float32 | E::Float64 => DataType::F64,
        E::Int8 | E::Int16 | E::Int32 | E::Int64 | E::Uint8 | E::Uint16 | E::Uint32 | E::Uint64 => {
            DataType::I64
        }
        E::Bool => DataType::Bool,
        E::String => DataType::Category,
        _ => return None,
    })
}

/// The names of features, each once.
pub(super) fn check_features(inputs: &[Input]) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    let names = || inputs.iter().flat_map(|input| &input.features);
    match names().find(|name| name.is_empty() || !seen.insert(name.as_str())) {
        Some(bad) => {
            let message = format!("the feature {} comes twice or has no name", quote(bad));
            Err(Error::invalid(OP, "features", message))
        }
        None => Ok(()),
    }
}

/// What comes out.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) name: String,
    pub(super) kind: OutputKind,
    /// How many numbers it has a row, where the graph says so.
    width: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputKind {
    /// A tensor of these numbers.
    Numbers(TensorElementType),
    /// A map a row, from classes that are numbers.
    NumberMaps,
    /// A map a row, from classes that are texts.
    TextMaps,
}

fn output_kind(dtype: &ValueType) -> Option<OutputKind> {
    use TensorElementType as E;
    match dtype {
        ValueType::Tensor { ty, .. } => matches!(ty, E::Float32 | E::Float64 | E::Int32 | E::Int64 | E::Bool)
            .then_some(OutputKind::Numbers(*ty)),
        ValueType::Sequence(inner) => match **inner {
            ValueType::Map { key: E::Int64, value: E::Float32 } => Some(OutputKind::NumberMaps),
            ValueType::Map { key: E::String, value: E::Float32 } => Some(OutputKind::TextMaps),
            _ => None,
        },
        _ => None,
    }
}

/// How many numbers an output has a row.
fn width(dtype: &ValueType) -> Option<usize> {
    let ValueType::Tensor { shape, .. } = dtype else { return None };
    match shape[..] {
        [_] => Some(1),
        [_, width] => usize::try_from(width).ok(),
        _ => None,
    }
}

fn is_float(kind: OutputKind) -> bool {
    matches!(kind, OutputKind::Numbers(TensorElementType::Float32 | TensorElementType::Float64))
}

fn is_map(kind: OutputKind) -> bool {
    matches!(kind, OutputKind::NumberMaps | OutputKind::TextMaps)
}

impl Output {
    /// The output that answers.
    pub(super) fn of(outlets: &[Outlet], options: &OnnxOptions) -> Result<Self> {
        let known: Vec<&str> = outlets.iter().map(Outlet::name).collect();
        let bad =
            |message: &str| Err(Error::invalid(OP, "output", message).with("outputs", known.join(", ")));
        let readable = |outlet: &Outlet| {
            let kind = output_kind(outlet.dtype())?;
            Some(Self { name: outlet.name().to_owned(), kind, width: width(outlet.dtype()) })
        };
        if let Some(name) = &options.output {
            let Some(outlet) = outlets.iter().find(|outlet| outlet.name() == name) else {
                return bad("there is no output of this name");
            };
            return match readable(outlet) {
                Some(output) => Ok(output),
                None => bad("the output is neither numbers nor maps to numbers"),
            };
        }
        let all: Vec<Self> = outlets.iter().filter_map(readable).collect();
        let better: [fn(OutputKind) -> bool; 3] = [is_float, is_map, |_| true];
        for fits in better {
            let mut fitting = all.iter().filter(|output| fits(output.kind));
            match (fitting.next(), fitting.next()) {
                (Some(output), None) => return Ok(output.clone()),
                (Some(_), Some(_)) => return bad("several outputs may be the answer; name one"),
                (None, _) => {}
            }
        }
        Err(Error::new(ErrorKind::Unsupported, OP, "no output is numbers").with("outputs", known.join(", ")))
    }

    /// What the answer means, where nobody said.
    pub(super) fn task(&self, outlets: &[Outlet]) -> Task {
        let labels = |outlet: &Outlet| {
            use TensorElementType as E;
            let label = matches!(outlet.dtype(), ValueType::Tensor { ty: E::Int64 | E::String, .. });
            outlet.name() != self.name && label
        };
        match (is_map(self.kind) || is_float(self.kind) && outlets.iter().any(labels), self.width) {
            (false, _) => Task::Regression,
            (true, Some(3..)) => Task::MulticlassClassification,
            (true, _) => Task::BinaryClassification,
        }
    }

    /// What the classes are called, where their probabilities are the answer.
    pub(super) fn labels(&self, task: Task, options: &OnnxOptions) -> Result<Option<Arc<[String]>>> {
        if task != Task::MulticlassClassification {
            return Ok(None);
        }
        let bad = |field: &str, message: &str| Err(Error::invalid(OP, field, message));
        if options.column.is_some() {
            return bad("column", "of several classes all numbers are the answer");
        }
        let labels: Arc<[String]> = match (&options.classes[..], self.width) {
            ([], None) => {
                return bad("classes", "the graph does not say how many classes there are; name them");
            }
            ([], Some(width)) if width <= MAX_FEATURES => (0..width).map(|class| class.to_string()).collect(),
            ([], Some(width)) => return Err(Error::limit(OP, "the number of classes", MAX_FEATURES, width)),
            (named, Some(width)) if named.len() != width => {
                return bad("classes", "are not as many as the graph says");
            }
            (named, _) => named.into(),
        };
        // They have to be good for answers: none twice, none empty, two at least.
        ClassProbabilities::with_labels(Arc::clone(&labels), Vec::new())?;
        Ok(Some(labels))
    }
}
