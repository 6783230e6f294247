//! A model in the runtime.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use ort::session::builder::SessionBuilder;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{DynValue, MapValueType, Tensor, TensorElementType, TensorRef};

use super::shape::{Input, OP, Output, OutputKind, check_features};
use super::{OnnxOptions, OnnxRuntime, guarded, said};
use crate::data::{Column, Table, Values};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ClassProbabilities, Predictions, Predictor, Signature};
use crate::problem::Task;
use crate::serve::import::onnx::check_whole;
use crate::time::lock;

const PREDICT: &str = "Predictor::predict";

/// The largest model that is read: 1 GiB.
const MAX_BYTES: usize = 1 << 30;

/// By how much single precision may leave [0, 1].
const ROUNDING: f64 = 1e-6;

/// A model of ONNX that ONNX Runtime answers for.
///
/// Its inputs are tensors of one or two dimensions, of which the first is the rows; of floating-point numbers, integers, truth values or texts. A column
/// of them is a feature: an input of one column gives its name to the feature, one of n columns makes the features `NAME_0` to `NAME_{n−1}`, or
/// those that [`OnnxOptions::features`] names. Its answer is one output of numbers ([`OnnxOptions`] says which).
///
/// Rows are asked for one at a time, so that the answer to a row has the same bits whatever other rows it comes with; see
/// [`OnnxOptions::together`]. One question is asked at a time: the runtime's sessions are not safe to be asked by several threads.
///
/// A probability that single precision has rounded beyond 0 or 1 by up to 10⁻⁶ is 0 or 1.
pub struct OnnxModel {
    signature: Signature,
    inputs: Vec<Input>,
    output: Output,
    column: Option<usize>,
    /// What several classes are called.
    labels: Option<Arc<[String]>>,
    together: bool,
    running: Mutex<Running>,
}

struct Running {
    session: Session,
    options: RunOptions<HasSelectedOutputs>,
}

impl fmt::Debug for OnnxModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("OnnxModel");
        out.field("signature", &self.signature).field("inputs", &self.inputs).field("output", &self.output);
        out.finish_non_exhaustive()
    }
}

/// The numbers of an input, row by row.
enum Cells {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    Bool(Vec<bool>),
    Text(Vec<String>),
}

/// What the runtime answered to some rows: so many numbers each.
struct Answers {
    width: usize,
    numbers: Vec<f64>,
    /// The classes, where the answer says them.
    keys: Option<Vec<String>>,
}

impl OnnxModel {
    /// Loads a model.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for bytes that are no model, [`ErrorKind::Unsupported`] for a model that keeps weights in other files, that the runtime
    /// refuses, or whose inputs and outputs are no tables; [`ErrorKind::InvalidInput`] that names the option for options that do not fit
    /// the model, or where the graph does not say what has to be known; [`ErrorKind::LimitExceeded`] for a model of more than 1 GiB.
    pub fn load(runtime: &OnnxRuntime, bytes: &[u8], options: &OnnxOptions) -> Result<Self> {
        if bytes.len() > MAX_BYTES {
            return Err(Error::limit(OP, "the model", MAX_BYTES, bytes.len()));
        }
        check_whole(OP, bytes)?;
        guarded(OP, || Self::start(runtime, bytes, options))
    }

    fn start(runtime: &OnnxRuntime, bytes: &[u8], options: &OnnxOptions) -> Result<Self> {
        let session = session(runtime, bytes, options.threads.max(1))?;
        let inputs =
            session.inputs().iter().map(|outlet| Input::of(outlet, options)).collect::<Result<Vec<_>>>()?;
        check_features(&inputs)?;
        if let Some(unknown) = options.features.keys().find(|name| !inputs.iter().any(|i| i.name == **name)) {
            let error = Error::invalid(OP, "features", "there is no input of this name");
            return Err(error.with("input", unknown));
        }
        if options.together
            && let Some(single) = inputs.iter().find(|input| input.single)
        {
            let error = Error::invalid(OP, "together", "the model takes one row at a time");
            return Err(error.with("input", &single.name));
        }
        let output = Output::of(session.outputs(), options)?;
        let task = options.task.unwrap_or_else(|| output.task(session.outputs()));
        let labels = output.labels(task, options)?;
        let features = inputs.iter().flat_map(|input| input.features(options.missing)).collect();
        let run = RunOptions::new().map_err(said(ErrorKind::Internal, OP, "the runtime cannot be asked"))?;
        let run = run.with_outputs(OutputSelector::no_default().with(output.name.clone()));
        Ok(Self {
            signature: Signature::new(task, features),
            inputs,
            output,
            column: options.column,
            labels,
            together: options.together,
            running: Mutex::new(Running { session, options: run }),
        })
    }

    /// Asks for some rows.
    fn ask(&self, cells: &[Cells], rows: Range<usize>) -> Result<Answers> {
        let count = rows.len();
        let mut values: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::with_capacity(cells.len());
        for (input, cells) in self.inputs.iter().zip(cells) {
            let width = input.features.len();
            let shape = if input.list { vec![count] } else { vec![count, width] };
            let value = tensor(cells, shape, rows.start * width..rows.end * width)
                .map_err(said(ErrorKind::InvalidInput, PREDICT, "the rows cannot be handed to the model"))
                .map_err(|e| e.with("input", &input.name))?;
            values.push((Cow::Borrowed(&input.name), value));
        }
        let mut running = lock(&self.running);
        let Running { session, options } = &mut *running;
        let outputs = session.run_with_options(values, options).map_err(|e| {
            let kind = match e.code() {
                ort::ErrorCode::InvalidArgument => ErrorKind::InvalidInput,
                _ => ErrorKind::Internal,
            };
            said(kind, PREDICT, "the runtime could not answer")(e)
        })?;
        let answer = outputs.values().next();
        let value = answer.ok_or_else(|| odd("there is no answer"))?;
        read(&value, self.output.kind, count)
    }

    /// The one number of an answer that counts.
    fn pick(&self, width: usize) -> Result<usize> {
        let column = match (self.column, self.signature.task, width) {
            (Some(column), _, _) => column,
            (None, Task::BinaryClassification, 1 | 2) => width - 1,
            (None, _, 1) => 0,
            _ => {
                let message = "the model answers several numbers a row; say which one counts";
                return Err(Error::new(ErrorKind::Unsupported, PREDICT, message).with("numbers", width));
            }
        };
        if column < width {
            return Ok(column);
        }
        let message = format!("asks for number {column}, the model answers {width}");
        Err(Error::new(ErrorKind::Unsupported, PREDICT, message))
    }
}

fn session(runtime: &OnnxRuntime, bytes: &[u8], threads: usize) -> Result<Session> {
    let refused = "the runtime refuses the model";
    let builder = SessionBuilder::new(runtime.environment()).map_err(said(
        ErrorKind::Internal,
        OP,
        "the runtime cannot be asked",
    ))?;
    let threading = "the runtime refuses the number of threads";
    let builder =
        builder.with_intra_threads(threads).map_err(said(ErrorKind::InvalidInput, OP, threading))?;
    let mut builder = builder.with_inter_threads(1).map_err(said(ErrorKind::InvalidInput, OP, threading))?;
    builder.commit_from_memory(bytes).map_err(said(ErrorKind::Unsupported, OP, refused))
}

fn odd(message: &'static str) -> Error {
    Error::new(ErrorKind::Internal, PREDICT, message)
}

/// A tensor of some of the cells of an input.
fn tensor<'c>(
    cells: &'c Cells,
    shape: Vec<usize>,
    range: Range<usize>,
) -> Result<SessionInputValue<'c>, ort::Error> {
    macro_rules! view {
        ($values:expr) => {
            TensorRef::from_array_view((shape, $values.get(range).unwrap_or_default())).map(Into::into)
        };
    }
    match cells {
        Cells::F32(values) => view!(values),
        Cells::F64(values) => view!(values),
        Cells::I8(values) => view!(values),
        Cells::I16(values) => view!(values),
        Cells::I32(values) => view!(values),
        Cells::I64(values) => view!(values),
        Cells::U8(values) => view!(values),
        Cells::U16(values) => view!(values),
        Cells::U32(values) => view!(values),
        Cells::U64(values) => view!(values),
        Cells::Bool(values) => view!(values),
        Cells::Text(values) => {
            Tensor::from_string_array((shape, values.get(range).unwrap_or_default())).map(Into::into)
        }
    }
}

/// The columns of an input, row by row.
fn cells(input: &Input, rows: &Table<'_>) -> Result<Cells> {
    use TensorElementType as E;
    let columns = input.features.iter().map(|name| rows.column(name)).collect::<Result<Vec<_>>>()?;
    macro_rules! whole {
        ($variant:ident) => {
            interleave(&columns, rows.rows(), integers).map(Cells::$variant)
        };
    }
    match input.element {
        E::Float64 => {
            interleave(&columns, rows.rows(), |column| Ok(column.to_f64()?.into_owned())).map(Cells::F64)
        }
        E::Float32 => interleave(&columns, rows.rows(), |column| {
            Ok(column.to_f64()?.iter().map(|x| *x as f32).collect())
        })
        .map(Cells::F32),
        E::Int8 => whole!(I8),
        E::Int16 => whole!(I16),
        E::Int32 => whole!(I32),
        E::Int64 => whole!(I64),
        E::Uint8 => whole!(U8),
        E::Uint16 => whole!(U16),
        E::Uint32 => whole!(U32),
        E::Uint64 => whole!(U64),
        E::Bool => interleave(&columns, rows.rows(), truths).map(Cells::Bool),
        _ => interleave(&columns, rows.rows(), texts).map(Cells::Text),
    }
}

/// Values of columns, row by row.
fn interleave<T: Clone>(
    columns: &[&Column<'_>],
    rows: usize,
    read: impl Fn(&Column<'_>) -> Result<Vec<T>>,
) -> Result<Vec<T>> {
    if let [only] = columns {
        return read(only);
    }
    let columns = columns.iter().map(|column| read(column)).collect::<Result<Vec<_>>>()?;
    let row = |row: usize| columns.iter().filter_map(move |column| column.get(row).cloned());
    Ok((0..rows).flat_map(row).collect())
}

fn refused(column: &Column<'_>, row: usize, message: String) -> Error {
    Error::invalid(PREDICT, "rows", message).with("column", column.name()).with("row", row)
}

/// Whole numbers within the range of a type.
fn integers<T: TryFrom<i64>>(column: &Column<'_>) -> Result<Vec<T>> {
    let narrow = |(row, value): (usize, i64)| {
        T::try_from(value)
            .map_err(|_| refused(column, row, format!("{value} is beyond what the model takes")))
    };
    if let Values::I64(values) = column.values() {
        return values.iter().copied().enumerate().map(narrow).collect();
    }
    let whole = |(row, x): (usize, &f64)| {
        // Beyond this, not every whole number is a double.
        if x.fract() != 0.0 || x.abs() > 9_007_199_254_740_992.0 {
            return Err(refused(column, row, format!("{x} is no whole number")));
        }
        narrow((row, *x as i64))
    };
    column.to_f64()?.iter().enumerate().map(whole).collect()
}

fn truths(column: &Column<'_>) -> Result<Vec<bool>> {
    let truth = |(row, x): (usize, &f64)| match *x {
        0.0 => Ok(false),
        1.0 => Ok(true),
        x => Err(refused(column, row, format!("{x} is neither true nor false"))),
    };
    column.to_f64()?.iter().enumerate().map(truth).collect()
}

fn texts(column: &Column<'_>) -> Result<Vec<String>> {
    let text = |row| match column.label(row) {
        Some(text) if !text.contains('\0') => Ok(text.into_owned()),
        _ => Err(refused(column, row, "has no text, or a NUL character in it".to_owned())),
    };
    (0..column.len()).map(text).collect()
}

/// The numbers of an answer.
fn read(value: &DynValue, kind: OutputKind, count: usize) -> Result<Answers> {
    let unread = || said(ErrorKind::Internal, PREDICT, "the answer cannot be read");
    macro_rules! numbers {
        ($type:ty, $convert:expr) => {{
            let (shape, values) = value.try_extract_tensor::<$type>().map_err(unread())?;
            let width = match shape[..] {
                [rows] if usize::try_from(rows) == Ok(count) => 1,
                [rows, width] if usize::try_from(rows) == Ok(count) => usize::try_from(width).unwrap_or(0),
                // A model that answers to one row without saying so.
                [] if count == 1 => 1,
                _ => return Err(odd("the answer has another shape than the rows")),
            };
            if width == 0 || values.len() != width * count {
                return Err(odd("the answer has another shape than the rows"));
            }
            Ok(Answers { width, numbers: values.iter().map($convert).collect(), keys: None })
        }};
    }
    match kind {
        OutputKind::Numbers(TensorElementType::Float32) => numbers!(f32, |x| f64::from(*x)),
        OutputKind::Numbers(TensorElementType::Float64) => numbers!(f64, |x| *x),
        OutputKind::Numbers(TensorElementType::Int32) => numbers!(i32, |x| f64::from(*x)),
        OutputKind::Numbers(TensorElementType::Int64) => numbers!(i64, |x| *x as f64),
        OutputKind::Numbers(_) => numbers!(bool, |x| f64::from(u8::from(*x))),
        OutputKind::NumberMaps => maps::<i64>(value, count),
        OutputKind::TextMaps => maps::<String>(value, count),
    }
}

/// The numbers of maps, in the order of their keys.
fn maps<K>(value: &DynValue, count: usize) -> Result<Answers>
where
    K: ort::value::IntoTensorElementType
        + fmt::Debug
        + fmt::Display
        + Clone
        + std::hash::Hash
        + Ord
        + 'static,
{
    let unread = || said(ErrorKind::Internal, PREDICT, "the answer cannot be read");
    let maps = value.try_extract_sequence::<MapValueType<K, f32>>().map_err(unread())?;
    let mut answers = Answers { width: 0, numbers: Vec::new(), keys: None };
    let mut keys: Option<Vec<K>> = None;
    for map in &maps {
        let mut pairs = map.try_extract_key_values::<K, f32>().map_err(unread())?;
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        let (own, numbers): (Vec<K>, Vec<f32>) = pairs.into_iter().unzip();
        if keys.get_or_insert_with(|| own.clone()) != &own {
            return Err(odd("the answers are of different classes"));
        }
        answers.numbers.extend(numbers.into_iter().map(f64::from));
    }
    answers.keys = keys.map(|keys| keys.iter().map(K::to_string).collect());
    answers.width = answers.keys.as_ref().map_or(0, Vec::len);
    if answers.width == 0 || maps.len() != count {
        return Err(odd("the answer has another shape than the rows"));
    }
    Ok(answers)
}

impl Predictor for OnnxModel {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn predict(&self, rows: &Table<'_>) -> Result<Predictions> {
        self.signature.check(rows)?;
        let cells = self.inputs.iter().map(|input| cells(input, rows)).collect::<Result<Vec<_>>>()?;
        let count = rows.rows();
        let step = if self.together { count.max(1) } else { 1 };
        let mut picked = Vec::with_capacity(count);
        for start in (0..count).step_by(step) {
            let end = count.min(start.saturating_add(step));
            let Answers { width, numbers, keys } = guarded(PREDICT, || self.ask(&cells, start..end))?;
            if let Some(labels) = &self.labels {
                if width != labels.len() || keys.is_some_and(|keys| keys[..] != labels[..]) {
                    return Err(Error::new(
                        ErrorKind::Unsupported,
                        PREDICT,
                        "the model answers for other classes",
                    )
                    .with("classes", labels.join(", ")));
                }
                picked.extend(numbers.into_iter().map(settle));
                continue;
            }
            let column = self.pick(width)?;
            picked.extend(numbers.iter().skip(column).step_by(width));
        }
        if let Some(labels) = &self.labels {
            return ClassProbabilities::with_labels(Arc::clone(labels), picked).map(Predictions::Classes);
        }
        match self.signature.task {
            Task::BinaryClassification => Predictions::probability(picked.into_iter().map(settle).collect()),
            _ => Predictions::value(picked),
        }
    }
}

/// A probability without what rounding did to it.
fn settle(p: f64) -> f64 {
    match p {
        p if (-ROUNDING..0.0).contains(&p) => 0.0,
        p if p > 1.0 && p <= 1.0 + ROUNDING => 1.0,
        p => p,
    }
}
