//! What a profiler remembers, as it is written: so that parts of a table may be described on different machines.

use serde::{Deserialize, Serialize};

use crate::data::validate::{KeySet, KeyWords};
use crate::data::{Column, DataType, Table, Validity, Values};
use crate::error::{Error, ErrorKind, Result};

use super::column::{Numbers, State, Texts};
use super::distinct::{Different, DifferentWire};
use super::moments::Pair;
use super::options::ProfileOptions;
use super::profiler::Profiler;

const OP: &str = "Profiler::resume";

/// More rows than this are no profiler's.
const MAX_ROWS: u64 = 1 << 53;

/// What a [`Profiler`] remembers, to be written and read again: on another machine, or after a restart.
///
/// It holds the rows of the sample and the values that were counted: it is as confidential as the data. Written and read, a profiler
/// goes on to the same digits. [`Profiler::resume`] checks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfilerState {
    schema_version: u32,
    options: ProfileOptions,
    first_row: u64,
    rows: u64,
    columns: Option<Vec<ColumnWire>>,
    pairs: Vec<Pair>,
    sample: SampleWire,
    seen: Option<KeyWords>,
    duplicates: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnWire {
    name: String,
    data_type: DataType,
    missing: u64,
    numbers: Numbers,
    times: Option<(i64, i64)>,
    texts: Texts,
    words: DifferentWire<u64>,
    labels: DifferentWire<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleWire {
    bound: u64,
    numbers: Vec<u64>,
    columns: Option<Vec<SampledWire>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SampledWire {
    values: ValuesWire,
    /// The rows without a value.
    missing: Vec<usize>,
}

/// Values of a sample; floats as their bits, as JSON has no NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ValuesWire {
    F64(Vec<u64>),
    F32(Vec<u32>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    Category { codes: Vec<u32>, levels: Vec<String> },
    Time(Vec<i64>),
}

impl From<&Column<'_>> for SampledWire {
    fn from(column: &Column<'_>) -> Self {
        let values = match column.values() {
            Values::F64(v) => ValuesWire::F64(v.iter().map(|x| x.to_bits()).collect()),
            Values::F32(v) => ValuesWire::F32(v.iter().map(|x| x.to_bits()).collect()),
            Values::I64(v) => ValuesWire::I64(v.to_vec()),
            Values::Bool(v) => ValuesWire::Bool(v.to_vec()),
            Values::Category { codes, levels } => {
                ValuesWire::Category { codes: codes.to_vec(), levels: levels.to_vec() }
            }
            Values::Time(v) => ValuesWire::Time(v.to_vec()),
        };
        Self { values, missing: (0..column.len()).filter(|row| !column.is_valid(*row)).collect() }
    }
}

impl SampledWire {
    fn column(self, name: &str) -> Result<Column<'static>> {
        let values = match self.values {
            ValuesWire::F64(v) => Values::F64(v.into_iter().map(f64::from_bits).collect()),
            ValuesWire::F32(v) => Values::F32(v.into_iter().map(f32::from_bits).collect()),
            ValuesWire::I64(v) => Values::I64(v.into()),
            ValuesWire::Bool(v) => Values::Bool(v.into()),
            ValuesWire::Category { codes, levels } => {
                Values::Category { codes: codes.into(), levels: levels.into() }
            }
            ValuesWire::Time(v) => Values::Time(v.into()),
        };
        let rows = match &values {
            Values::F64(v) => v.len(),
            Values::F32(v) => v.len(),
            Values::I64(v) | Values::Time(v) => v.len(),
            Values::Bool(v) => v.len(),
            Values::Category { codes, .. } => codes.len(),
        };
        let mut valid = vec![true; rows];
        for row in &self.missing {
            *valid.get_mut(*row).ok_or_else(|| corrupt("a row without a value that the sample has not"))? =
                false;
        }
        let validity = (!self.missing.is_empty()).then(|| Validity::from_bools(&valid));
        Column::new(name.to_owned(), values, validity)
    }
}

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, OP, format!("no profiler has this state: {what}"))
}

/// Anything wrong with the state is the same kind of error.
fn require(good: bool, what: &str) -> Result<()> {
    if good { Ok(()) } else { Err(corrupt(what)) }
}

impl ColumnWire {
    fn state(self, rows: u64, limit: usize) -> Result<State> {
        require(self.missing <= rows, "more values are missing than there are rows")?;
        let there = rows - self.missing;
        require(self.numbers.are_of(there), "the numbers of a column contradict each other")?;
        require(self.texts.are_of(there), "the texts of a column contradict each other")?;
        require(self.times.is_none_or(|(first, last)| first <= last), "the first time is after the last")?;
        let wrong = || corrupt("the values that were counted contradict each other");
        let words = Different::from_wire(self.words, there, limit).ok_or_else(wrong)?;
        let labels = Different::from_wire(self.labels, there, limit).ok_or_else(wrong)?;
        Ok(State {
            name: self.name,
            data_type: self.data_type,
            rows,
            missing: self.missing,
            numbers: self.numbers,
            times: self.times,
            texts: self.texts,
            words,
            labels,
        })
    }
}

impl Profiler {
    /// What it remembers. O(what it remembers).
    ///
    /// ```
    /// use mlops_core::data::{Column, ProfileOptions, Profiler, ProfilerState, Table};
    ///
    /// // On each machine:
    /// let part = |first, values: Vec<f64>| {
    ///     let mut profiler = Profiler::new(ProfileOptions::default())?.with_first_row(first);
    ///     profiler.push(&Table::new(vec![Column::f64("x", values)?])?)?;
    ///     Ok::<_, Box<dyn std::error::Error>>(serde_json::to_string(&profiler.state())?)
    /// };
    /// // On the one that puts them together:
    /// let mut whole = Profiler::new(ProfileOptions::default())?;
    /// for written in [part(0, vec![1.0, 2.0])?, part(2, vec![f64::NAN])?] {
    ///     whole.merge(&Profiler::resume(serde_json::from_str::<ProfilerState>(&written)?)?)?;
    /// }
    /// let numeric = whole.profile()?.columns[0].numeric.clone().ok_or("no numbers")?;
    /// assert_eq!((whole.rows(), numeric.nan, numeric.mean), (3, 1, Some(1.5)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn state(&self) -> ProfilerState {
        let column = |state: &State| ColumnWire {
            name: state.name.clone(),
            data_type: state.data_type,
            missing: state.missing,
            numbers: state.numbers.clone(),
            times: state.times,
            texts: state.texts.clone(),
            words: state.words.to_wire(),
            labels: state.labels.to_wire(),
        };
        let sampled = |table: &Table<'_>| table.columns().iter().map(SampledWire::from).collect();
        ProfilerState {
            schema_version: 1,
            options: self.options.clone(),
            first_row: self.first_row,
            rows: self.rows,
            columns: self.columns.as_ref().map(|columns| columns.iter().map(column).collect()),
            pairs: self.pairs.clone(),
            sample: SampleWire {
                bound: self.sample.bound,
                numbers: self.sample.numbers.clone(),
                columns: self.sample.rows.as_ref().map(sampled),
            },
            seen: self.seen.as_ref().map(KeySet::to_words),
            duplicates: self.duplicates,
        }
    }

    /// A profiler that goes on where another was.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for a state that no profiler has: of another version, or with parts that contradict each other.
    pub fn resume(state: ProfilerState) -> Result<Self> {
        if state.schema_version != 1 {
            let error = corrupt("it is of a version that is not known");
            return Err(error.with("version", state.schema_version));
        }
        let mut profiler = Self::new(state.options).map_err(|e| corrupt("an option").with_source(e))?;
        require(state.rows <= MAX_ROWS, "there are too many rows")?;
        require(state.duplicates <= state.rows, "more rows come twice than there are")?;
        (profiler.first_row, profiler.rows, profiler.duplicates) =
            (state.first_row, state.rows, state.duplicates);
        let names: Vec<(String, DataType)> =
            state.columns.iter().flatten().map(|c| (c.name.clone(), c.data_type)).collect();
        let limit = profiler.options.max_exact;
        match state.columns {
            Some(columns) => {
                let states = columns.into_iter().map(|column| column.state(state.rows, limit));
                profiler.begin(states.collect::<Result<_>>()?);
            }
            None => require(state.rows == 0, "there are rows, but no columns")?,
        }
        require(
            state.pairs.len() == profiler.pairs.len(),
            "there are other pairs of columns than numeric ones",
        )?;
        let counts = |pair: &Pair| pair.n >= 0.0 && pair.n <= state.rows as f64;
        require(state.pairs.iter().all(counts), "a pair of columns has other rows than the columns")?;
        profiler.pairs = state.pairs;
        profiler.sample.bound = state.sample.bound;
        profiler.sample.numbers = state.sample.numbers;
        if let Some(columns) = state.sample.columns {
            require(columns.len() == names.len(), "the sample has other columns")?;
            let columns = columns.into_iter().zip(&names).map(|(column, (name, _))| column.column(name));
            let table = columns.collect::<Result<Vec<_>>>().and_then(Table::new);
            let table = table.map_err(|e| corrupt("the sample is no table").with_source(e))?;
            let types = table.columns().iter().map(Column::data_type);
            require(types.eq(names.iter().map(|(_, ty)| *ty)), "the sample has columns of other types")?;
            profiler.sample.rows = Some(table);
        }
        require(profiler.sample.is_of(state.rows), "the sample contradicts itself")?;
        profiler.seen = match state.seen {
            None => None,
            Some(words) => {
                require(profiler.options.duplicates, "rows were kept that were not to be")?;
                let seen =
                    KeySet::from_words(&words).ok_or_else(|| corrupt("rows come twice among those kept"))?;
                let fits = matches!(seen, KeySet::Wide(_))
                    && seen.kept() <= profiler.options.max_duplicate_rows.min(state.rows);
                require(fits, "there are other rows than those kept")?;
                Some(seen)
            }
        };
        Ok(profiler)
    }
}

/// As [`Profiler::resume`].
impl TryFrom<ProfilerState> for Profiler {
    type Error = Error;

    fn try_from(state: ProfilerState) -> Result<Self> {
        Self::resume(state)
    }
}
