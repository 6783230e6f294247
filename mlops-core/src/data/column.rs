//! Columns and tables: the one shape in which data reaches validation, drift, evaluation and predictors.
//!
//! A [`Column`] is a name, typed values and optionally a validity bitmap; it borrows where it can, so that a frame of
//! another library is looked at without a copy. A [`Table`] is columns of one length with distinct names. Text is
//! dictionary-encoded: codes and the levels they stand for.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The type of a column's values.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    /// 64-bit floating point.
    F64,
    /// 32-bit floating point.
    F32,
    /// 64-bit signed integer.
    I64,
    /// True or false.
    Bool,
    /// Text or any other categories, as codes and levels.
    Category,
    /// A point in time: microseconds since 1970-01-01T00:00:00Z.
    Time,
}

impl DataType {
    /// Whether values have an order and a distance.
    ///
    /// ```
    /// use mlops_core::data::DataType;
    /// assert!(DataType::I64.is_numeric());
    /// assert!(!DataType::Category.is_numeric());
    /// ```
    pub const fn is_numeric(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::I64)
    }
}

/// Which values are present: one bit each, least significant first, 1 = present (Arrow's layout).
///
/// ```
/// use mlops_core::data::Validity;
/// let validity = Validity::from_bools(&[true, false, true]);
/// assert!(validity.is_valid(0) && !validity.is_valid(1));
/// assert_eq!(validity.missing(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validity<'a> {
    bytes: Cow<'a, [u8]>,
    offset: usize,
    len: usize,
}

impl<'a> Validity<'a> {
    /// A bitmap of `len` bits that starts `offset` bits into `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when `bytes` is too short.
    pub fn new(bytes: impl Into<Cow<'a, [u8]>>, offset: usize, len: usize) -> Result<Self> {
        let bytes = bytes.into();
        let bits = bytes.len().saturating_mul(8);
        if offset.checked_add(len).is_none_or(|end| end > bits) {
            let message = format!("has {bits} bits, {len} from bit {offset} are asked for");
            return Err(Error::invalid("Validity::new", "bytes", message));
        }
        Ok(Self { bytes, offset, len })
    }

    /// A bitmap from one `bool` a value.
    pub fn from_bools(valid: &[bool]) -> Validity<'static> {
        let mut bytes = vec![0_u8; valid.len().div_ceil(8)];
        for (i, _) in valid.iter().enumerate().filter(|(_, valid)| **valid) {
            bytes[i / 8] |= 1 << (i % 8);
        }
        Validity { bytes: bytes.into(), offset: 0, len: valid.len() }
    }

    /// Whether value `index` is present; what lies beyond the end is not.
    pub fn is_valid(&self, index: usize) -> bool {
        let bit = self.offset + index;
        index < self.len && self.bytes[bit / 8] >> (bit % 8) & 1 == 1
    }

    /// The number of values described.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no values are described.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many values are missing.
    pub fn missing(&self) -> usize {
        let valid: usize =
            (0..self.len).step_by(64).map(|start| self.word(start).count_ones() as usize).sum();
        self.len - valid
    }

    /// The bits at `indices`; `runs` are the same where they are few.
    fn pick(&self, indices: &[usize], runs: Option<&[std::ops::Range<usize>]>) -> Validity<'static> {
        match runs {
            Some(runs) => self.take_runs(runs),
            None => {
                let valid: Vec<bool> = indices.iter().map(|&i| self.is_valid(i)).collect();
                Validity::from_bools(&valid)
            }
        }
    }

    /// The bits of these runs of values, one after the other.
    fn take_runs(&self, runs: &[std::ops::Range<usize>]) -> Validity<'static> {
        let len = runs.iter().map(ExactSizeIterator::len).sum::<usize>();
        let mut bytes = Vec::with_capacity(len.div_ceil(64) * 8);
        let (mut word, mut filled) = (0_u64, 0);
        for run in runs {
            for start in run.clone().step_by(64) {
                let count = (run.end - start).min(64);
                let bits = if count == 64 { self.word(start) } else { self.word(start) & ((1 << count) - 1) };
                word |= bits << filled;
                if filled + count >= 64 {
                    bytes.extend_from_slice(&word.to_le_bytes());
                    word = if filled == 0 { 0 } else { bits >> (64 - filled) };
                    filled = filled + count - 64;
                } else {
                    filled += count;
                }
            }
        }
        bytes.extend_from_slice(&word.to_le_bytes());
        bytes.truncate(len.div_ceil(8));
        Validity { bytes: bytes.into(), offset: 0, len }
    }

    /// The bits of the 64 values from `start` on; those beyond the end are 0.
    pub(super) fn word(&self, start: usize) -> u64 {
        let Some(left) = self.len.checked_sub(start).filter(|left| *left > 0) else { return 0 };
        let (byte, shift) = ((self.offset + start) / 8, (self.offset + start) % 8);
        let mut low = [0; 8];
        let bytes = self.bytes.get(byte..).unwrap_or_default();
        low.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let mut word = u64::from_le_bytes(low) >> shift;
        if shift > 0 {
            word |= bytes.get(8).map_or(0, |byte| u64::from(*byte) << (64 - shift));
        }
        if left >= 64 { word } else { word & ((1 << left) - 1) }
    }
}

/// A column's values. A missing value's slot holds an arbitrary one; ask the column's validity first.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Values<'a> {
    /// 64-bit floating point; NaN is a value, not a missing one.
    F64(Cow<'a, [f64]>),
    /// 32-bit floating point.
    F32(Cow<'a, [f32]>),
    /// 64-bit signed integers.
    I64(Cow<'a, [i64]>),
    /// True or false.
    Bool(Cow<'a, [bool]>),
    /// Codes into `levels`.
    Category {
        /// One code a row, each below the number of levels.
        codes: Cow<'a, [u32]>,
        /// What the codes stand for.
        levels: Arc<[String]>,
    },
    /// Microseconds since 1970-01-01T00:00:00Z.
    Time(Cow<'a, [i64]>),
}

/// A named column of typed values.
///
/// ```
/// use mlops_core::data::{Column, DataType};
///
/// let age = Column::f64("age", vec![59.0, 48.0])?;
/// let sex = Column::text("sex", ["f", "m"])?;
/// assert_eq!(age.data_type(), DataType::F64);
/// assert_eq!(sex.label(1).as_deref(), Some("m"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Column<'a> {
    name: Cow<'a, str>,
    values: Values<'a>,
    validity: Option<Validity<'a>>,
}

/// The longest column name, in characters.
const MAX_NAME: usize = 1_024;

impl<'a> Column<'a> {
    /// A column of any type.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an empty name, a validity bitmap of another length or a code without a level;
    /// [`ErrorKind::LimitExceeded`] for a name of more than 1024 characters.
    pub fn new(
        name: impl Into<Cow<'a, str>>,
        values: Values<'a>,
        validity: Option<Validity<'a>>,
    ) -> Result<Self> {
        let column = Self { name: name.into(), values, validity };
        column.check()?;
        Ok(column)
    }

    fn check(&self) -> Result<()> {
        const OP: &str = "Column::new";
        if self.name.is_empty() {
            return Err(Error::invalid(OP, "name", "must not be empty"));
        }
        let characters = self.name.chars().count();
        if characters > MAX_NAME {
            return Err(Error::limit(OP, "a column's name", MAX_NAME, characters));
        }
        let rows = self.len();
        if let Some(validity) = self.validity.as_ref().filter(|v| v.len() != rows) {
            let message = format!("has {} bits but there are {rows} values", validity.len());
            return Err(Error::invalid(OP, "validity", message).with("column", &self.name));
        }
        if let Values::Category { codes, levels } = &self.values {
            let known = |code: u32| usize::try_from(code).is_ok_and(|c| c < levels.len());
            if let Some(row) = (0..rows).find(|&row| !known(codes[row]) && self.is_valid(row)) {
                let message = format!("has code {} but there are {} levels", codes[row], levels.len());
                return Err(Error::invalid(OP, "codes", message).with("column", &self.name).with("row", row));
            }
        }
        Ok(())
    }

    /// A column of 64-bit floats, all present.
    ///
    /// # Errors
    /// As [`Column::new`].
    pub fn f64(name: impl Into<Cow<'a, str>>, values: impl Into<Cow<'a, [f64]>>) -> Result<Self> {
        Self::new(name, Values::F64(values.into()), None)
    }

    /// A column of 64-bit integers, all present.
    ///
    /// # Errors
    /// As [`Column::new`].
    pub fn i64(name: impl Into<Cow<'a, str>>, values: impl Into<Cow<'a, [i64]>>) -> Result<Self> {
        Self::new(name, Values::I64(values.into()), None)
    }

    /// A column of booleans, all present.
    ///
    /// # Errors
    /// As [`Column::new`].
    pub fn bool(name: impl Into<Cow<'a, str>>, values: impl Into<Cow<'a, [bool]>>) -> Result<Self> {
        Self::new(name, Values::Bool(values.into()), None)
    }

    /// A column of text, all present; levels are numbered in order of first appearance.
    ///
    /// # Errors
    /// As [`Column::new`].
    pub fn text<S: AsRef<str>>(
        name: impl Into<Cow<'a, str>>,
        values: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        Self::optional_text(name, values.into_iter().map(Some))
    }

    /// A column of text where `None` is missing.
    ///
    /// # Errors
    /// As [`Column::new`]; [`ErrorKind::LimitExceeded`] for more than 2³² − 1 distinct texts.
    ///
    /// ```
    /// use mlops_core::data::Column;
    /// let column = Column::optional_text("city", [Some("Bonn"), None])?;
    /// assert_eq!(column.missing(), 1);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn optional_text<S: AsRef<str>>(
        name: impl Into<Cow<'a, str>>,
        values: impl IntoIterator<Item = Option<S>>,
    ) -> Result<Self> {
        let mut seen = std::collections::HashMap::new();
        let mut levels: Vec<String> = Vec::new();
        let (mut codes, mut valid) = (Vec::new(), Vec::new());
        for value in values {
            valid.push(value.is_some());
            let Some(value) = value else {
                codes.push(0);
                continue;
            };
            let text = value.as_ref();
            let code = match seen.get(text) {
                Some(code) => *code,
                None => {
                    let code = u32::try_from(levels.len()).map_err(|_| {
                        Error::limit("Column::text", "the number of levels", u32::MAX, levels.len())
                    })?;
                    seen.insert(text.to_owned(), code);
                    levels.push(text.to_owned());
                    code
                }
            };
            codes.push(code);
        }
        let validity = valid.contains(&false).then(|| Validity::from_bools(&valid));
        Self::new(name, Values::Category { codes: codes.into(), levels: levels.into() }, validity)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The values; see [`Column::is_valid`] for which of them count.
    pub fn values(&self) -> &Values<'a> {
        &self.values
    }

    /// The validity bitmap; `None` when every value is present.
    pub fn validity(&self) -> Option<&Validity<'a>> {
        self.validity.as_ref()
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        match &self.values {
            Values::F64(v) => v.len(),
            Values::F32(v) => v.len(),
            Values::I64(v) | Values::Time(v) => v.len(),
            Values::Bool(v) => v.len(),
            Values::Category { codes, .. } => codes.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of the values.
    pub fn data_type(&self) -> DataType {
        match &self.values {
            Values::F64(_) => DataType::F64,
            Values::F32(_) => DataType::F32,
            Values::I64(_) => DataType::I64,
            Values::Bool(_) => DataType::Bool,
            Values::Category { .. } => DataType::Category,
            Values::Time(_) => DataType::Time,
        }
    }

    /// Whether row `index` has a value.
    pub fn is_valid(&self, index: usize) -> bool {
        index < self.len() && self.validity.as_ref().is_none_or(|v| v.is_valid(index))
    }

    /// Which of the 64 rows from `start` on have a value, one bit each; those beyond the end have none.
    pub(super) fn valid_word(&self, start: usize) -> u64 {
        match &self.validity {
            Some(validity) => validity.word(start),
            None => match self.len().saturating_sub(start) {
                0 => 0,
                left if left >= 64 => u64::MAX,
                left => (1 << left) - 1,
            },
        }
    }

    /// How many rows have no value.
    pub fn missing(&self) -> usize {
        self.validity.as_ref().map_or(0, Validity::missing)
    }

    /// The values as 64-bit floats with NaN for missing ones; borrowed when they are that already. Integers beyond 2⁵³ are
    /// rounded, `true` is 1, a time is its microseconds.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for categories: they have no number.
    ///
    /// ```
    /// use mlops_core::data::Column;
    /// assert_eq!(*Column::bool("b", vec![true, false])?.to_f64()?, [1.0, 0.0]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn to_f64(&self) -> Result<Cow<'_, [f64]>> {
        let all: Cow<'_, [f64]> = match &self.values {
            Values::F64(v) => Cow::Borrowed(v),
            Values::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Values::I64(v) | Values::Time(v) => v.iter().map(|&x| x as f64).collect(),
            Values::Bool(v) => v.iter().map(|&x| f64::from(u8::from(x))).collect(),
            Values::Category { .. } => {
                return Err(Error::invalid("Column::to_f64", "column", "categories have no numeric value")
                    .with("column", &self.name));
            }
        };
        if self.missing() == 0 {
            return Ok(all);
        }
        Ok(all.iter().enumerate().map(|(i, &x)| if self.is_valid(i) { x } else { f64::NAN }).collect())
    }

    /// The value of one row as text; `None` when it is missing or beyond the end.
    pub fn label(&self, index: usize) -> Option<Cow<'_, str>> {
        if !self.is_valid(index) {
            return None;
        }
        Some(match &self.values {
            Values::F64(v) => v[index].to_string().into(),
            Values::F32(v) => v[index].to_string().into(),
            Values::I64(v) => v[index].to_string().into(),
            Values::Bool(v) => if v[index] { "true" } else { "false" }.into(),
            Values::Category { codes, levels } => levels[usize::try_from(codes[index]).ok()?].as_str().into(),
            Values::Time(v) => chrono::DateTime::from_timestamp_micros(v[index])
                .map(|t| t.to_rfc3339())
                .unwrap_or_default()
                .into(),
        })
    }

    /// The rows at `indices`, in that order; an index may come twice.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an index beyond the end.
    ///
    /// ```
    /// use mlops_core::data::Column;
    /// let column = Column::i64("n", vec![10, 20, 30])?.take(&[2, 0])?;
    /// assert_eq!(*column.to_f64()?, [30.0, 10.0]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn take(&self, indices: &[usize]) -> Result<Column<'static>> {
        let rows = self.len();
        if let Some(&bad) = indices.iter().find(|&&i| i >= rows) {
            let message = format!("row {bad} is asked for but there are {rows}");
            return Err(Error::invalid("Column::take", "indices", message).with("column", &self.name));
        }
        Ok(self.pick(indices, runs(indices).as_deref()))
    }

    /// The rows at `indices`, each of which is there; `runs` are the same where they are few.
    fn pick(&self, indices: &[usize], runs: Option<&[std::ops::Range<usize>]>) -> Column<'static> {
        let values = match &self.values {
            Values::F64(v) => Values::F64(pick(v, indices, runs)),
            Values::F32(v) => Values::F32(pick(v, indices, runs)),
            Values::I64(v) => Values::I64(pick(v, indices, runs)),
            Values::Bool(v) => Values::Bool(pick(v, indices, runs)),
            Values::Category { codes, levels } => {
                Values::Category { codes: pick(codes, indices, runs), levels: Arc::clone(levels) }
            }
            Values::Time(v) => Values::Time(pick(v, indices, runs)),
        };
        let validity = self.validity.as_ref().map(|v| v.pick(indices, runs));
        Column { name: Cow::Owned(self.name.clone().into_owned()), values, validity }
    }

    /// Only the rows at `indices`, which are there and ascend, `runs` as for [`Column::pick`]: moved together where the values
    /// are the column's own, so that no memory is asked for.
    fn keep(self, indices: &[usize], runs: Option<&[std::ops::Range<usize>]>) -> Column<'static> {
        let validity = self.validity.as_ref().map(|v| v.pick(indices, runs));
        let values = match self.values {
            Values::F64(v) => Values::F64(keep(v, indices, runs)),
            Values::F32(v) => Values::F32(keep(v, indices, runs)),
            Values::I64(v) => Values::I64(keep(v, indices, runs)),
            Values::Bool(v) => Values::Bool(keep(v, indices, runs)),
            Values::Category { codes, levels } => {
                Values::Category { codes: keep(codes, indices, runs), levels }
            }
            Values::Time(v) => Values::Time(keep(v, indices, runs)),
        };
        Column { name: Cow::Owned(self.name.into_owned()), values, validity }
    }

    /// The same column under another name.
    ///
    /// # Errors
    /// As [`Column::new`].
    pub fn renamed(mut self, name: impl Into<Cow<'a, str>>) -> Result<Self> {
        self.name = name.into();
        self.check()?;
        Ok(self)
    }

    /// The same column, borrowed.
    fn view(&self) -> Column<'_> {
        let values = match &self.values {
            Values::F64(v) => Values::F64(Cow::Borrowed(v)),
            Values::F32(v) => Values::F32(Cow::Borrowed(v)),
            Values::I64(v) => Values::I64(Cow::Borrowed(v)),
            Values::Bool(v) => Values::Bool(Cow::Borrowed(v)),
            Values::Category { codes, levels } => {
                Values::Category { codes: Cow::Borrowed(codes), levels: Arc::clone(levels) }
            }
            Values::Time(v) => Values::Time(Cow::Borrowed(v)),
        };
        let validity = self.validity.as_ref().map(|v| Validity {
            bytes: Cow::Borrowed(&v.bytes[..]),
            offset: v.offset,
            len: v.len,
        });
        Column { name: Cow::Borrowed(&self.name), values, validity }
    }

    /// The same column with nothing borrowed.
    pub fn into_owned(self) -> Column<'static> {
        fn own<T: Clone>(values: Cow<'_, [T]>) -> Cow<'static, [T]> {
            Cow::Owned(values.into_owned())
        }
        let values = match self.values {
            Values::F64(v) => Values::F64(own(v)),
            Values::F32(v) => Values::F32(own(v)),
            Values::I64(v) => Values::I64(own(v)),
            Values::Bool(v) => Values::Bool(own(v)),
            Values::Category { codes, levels } => Values::Category { codes: own(codes), levels },
            Values::Time(v) => Values::Time(own(v)),
        };
        let validity = self.validity.map(|v| Validity { bytes: own(v.bytes), offset: v.offset, len: v.len });
        Column { name: Cow::Owned(self.name.into_owned()), values, validity }
    }
}

/// Rows in ascending order, as runs: a table that is good but for a few rows has few of them. Listed one by one only when somebody
/// asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    /// None is empty, and none begins where the one before it ends.
    runs: Vec<std::ops::Range<usize>>,
    listed: OnceLock<Vec<usize>>,
}

impl PartialEq for Runs {
    fn eq(&self, other: &Self) -> bool {
        self.runs == other.runs
    }
}

impl Eq for Runs {}

impl Runs {
    /// Adds rows that come after all others.
    pub(super) fn push(&mut self, rows: std::ops::Range<usize>) {
        match self.runs.last_mut().filter(|last| last.end == rows.start) {
            Some(last) => last.end = rows.end,
            None if rows.is_empty() => {}
            None => self.runs.push(rows),
        }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.runs.iter().map(ExactSizeIterator::len).sum()
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.runs.iter().cloned().flatten()
    }

    pub(super) fn as_slice(&self) -> &[usize] {
        self.listed.get_or_init(|| self.iter().collect())
    }

    /// The runs where they have 16 rows on average, which are then moved as a whole; else every row.
    fn shape(&self) -> (&[usize], Option<&[std::ops::Range<usize>]>) {
        match self.runs.len() <= self.len() / 16 {
            true => (&[], Some(&self.runs)),
            false => (self.as_slice(), None),
        }
    }
}

/// Runs of indices that follow each other, where a run has 16 of them on average: those are copied as a whole.
fn runs(indices: &[usize]) -> Option<Vec<std::ops::Range<usize>>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for &index in indices {
        if let Some(run) = runs.last_mut().filter(|run| run.end == index) {
            run.end += 1;
        } else if runs.len() < indices.len() / 16 {
            runs.push(index..index + 1);
        } else {
            return None;
        }
    }
    Some(runs)
}

fn pick<T: Copy>(
    values: &[T],
    indices: &[usize],
    runs: Option<&[std::ops::Range<usize>]>,
) -> Cow<'static, [T]> {
    let Some(runs) = runs else { return indices.iter().map(|&i| values[i]).collect() };
    let mut picked = Vec::with_capacity(runs.iter().map(ExactSizeIterator::len).sum());
    runs.iter().for_each(|run| picked.extend_from_slice(&values[run.clone()]));
    picked.into()
}

/// As [`pick`], for rows that ascend: values that are owned move to the front of where they are.
fn keep<T: Copy>(
    values: Cow<'_, [T]>,
    indices: &[usize],
    runs: Option<&[std::ops::Range<usize>]>,
) -> Cow<'static, [T]> {
    let mut values = match values {
        Cow::Borrowed(values) => return pick(values, indices, runs),
        Cow::Owned(values) => values,
    };
    let mut kept = 0;
    match runs {
        Some(runs) => {
            for run in runs {
                // What stands before the first row that goes stays where it is.
                if run.start != kept {
                    values.copy_within(run.clone(), kept);
                }
                kept += run.len();
            }
        }
        None => {
            for &index in indices {
                values[kept] = values[index];
                kept += 1;
            }
        }
    }
    values.truncate(kept);
    // Few rows do not hold the memory of many.
    if kept < values.capacity() / 2 {
        values.shrink_to_fit();
    }
    values.into()
}

/// Columns of one length with distinct names.
///
/// ```
/// use mlops_core::data::{Column, Table};
///
/// let table = Table::new(vec![Column::f64("age", vec![59.0, 48.0])?, Column::text("sex", ["f", "m"])?])?;
/// assert_eq!((table.rows(), table.columns().len()), (2, 2));
/// assert!(table.column("weight").is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table<'a> {
    columns: Vec<Column<'a>>,
    rows: usize,
}

static NONE: Table<'static> = Table { columns: Vec::new(), rows: 0 };

impl<'a> Table<'a> {
    /// A table without columns, to refer to.
    pub(crate) fn none() -> &'a Self {
        &NONE
    }

    /// A table of these columns.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for columns of different length or two of one name.
    pub fn new(columns: Vec<Column<'a>>) -> Result<Self> {
        let rows = columns.first().map_or(0, Column::len);
        let mut seen = std::collections::HashSet::new();
        for column in &columns {
            if column.len() != rows {
                let message = format!("has {} rows, the first column has {rows}", column.len());
                return Err(Error::invalid("Table::new", "columns", message).with("column", column.name()));
            }
            if !seen.insert(column.name()) {
                let error = Error::invalid("Table::new", "columns", "has two columns of one name");
                return Err(error.with("column", column.name()));
            }
        }
        Ok(Self { columns, rows })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The columns, in order.
    pub fn columns(&self) -> &[Column<'a>] {
        &self.columns
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(Column::name)
    }

    /// The column called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] that lists the names there are.
    pub fn column(&self, name: &str) -> Result<&Column<'a>> {
        self.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.names().take(20).collect();
            Error::new(ErrorKind::NotFound, "Table::column", "no such column")
                .with("column", name)
                .with("columns", known.join(", "))
        })
    }

    /// The column called `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<&Column<'a>> {
        self.columns.iter().find(|c| c.name() == name)
    }

    /// The columns called `names`, in that order.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a name that is not there.
    pub fn select<S: AsRef<str>>(&self, names: &[S]) -> Result<Self> {
        let columns = names.iter().map(|n| self.column(n.as_ref()).cloned()).collect::<Result<Vec<_>>>()?;
        let rows = self.rows;
        Ok(Self { rows, ..Self::new(columns)? })
    }

    /// All columns but those called `names`.
    #[must_use]
    pub fn without<S: AsRef<str>>(&self, names: &[S]) -> Self {
        let keep = |c: &&Column<'a>| !names.iter().any(|n| n.as_ref() == c.name());
        Self { columns: self.columns.iter().filter(keep).cloned().collect(), rows: self.rows }
    }

    /// The same table with one more column.
    ///
    /// # Errors
    /// As [`Table::new`].
    pub fn with_column(mut self, column: Column<'a>) -> Result<Self> {
        self.columns.push(column);
        Self::new(self.columns)
    }

    /// The rows at `indices`, in that order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an index beyond the end.
    pub fn take(&self, indices: &[usize]) -> Result<Table<'static>> {
        if let Some(&bad) = indices.iter().find(|&&i| i >= self.rows) {
            return Err(self.no_row(bad));
        }
        let runs = runs(indices);
        let columns = self.columns.iter().map(|c| c.pick(indices, runs.as_deref())).collect();
        Ok(Table { columns, rows: indices.len() })
    }

    fn no_row(&self, row: usize) -> Error {
        let message = format!("row {row} is asked for but there are {}", self.rows);
        let error = Error::invalid("Table::take", "indices", message);
        match self.columns.first() {
            Some(column) => error.with("column", column.name()),
            None => error,
        }
    }

    /// The rows of these runs, as [`Table::take`] gives them.
    pub(super) fn take_rows(&self, rows: &Runs) -> Result<Table<'static>> {
        self.check_rows(rows)?;
        let (indices, runs) = rows.shape();
        let columns = self.columns.iter().map(|c| c.pick(indices, runs)).collect();
        Ok(Table { columns, rows: rows.len() })
    }

    /// As [`Table::take_rows`], in the memory of the table itself where it owns any.
    pub(super) fn keep_rows(self, rows: &Runs) -> Result<Table<'static>> {
        self.check_rows(rows)?;
        let (indices, runs) = rows.shape();
        let columns = self.columns.into_iter().map(|c| c.keep(indices, runs)).collect();
        Ok(Table { columns, rows: rows.len() })
    }

    fn check_rows(&self, rows: &Runs) -> Result<()> {
        match rows.runs.last().filter(|last| last.end > self.rows) {
            Some(_) => Err(self.no_row(rows.iter().find(|row| *row >= self.rows).unwrap_or(self.rows))),
            None => Ok(()),
        }
    }

    /// The same table with nothing borrowed.
    pub fn into_owned(self) -> Table<'static> {
        Table { columns: self.columns.into_iter().map(Column::into_owned).collect(), rows: self.rows }
    }
}

/// The same table, borrowed: no value is copied.
///
/// ```
/// use mlops_core::data::{Column, Table};
///
/// let table = Table::new(vec![Column::f64("age", vec![59.0, 48.0])?])?;
/// let view = Table::from(&table);
/// assert_eq!(view, table);
/// # Ok::<(), mlops_core::Error>(())
/// ```
impl<'a> From<&'a Table<'_>> for Table<'a> {
    fn from(table: &'a Table<'_>) -> Self {
        Self { columns: table.columns.iter().map(Column::view).collect(), rows: table.rows }
    }
}

/// Tables below each other.
impl Table<'_> {
    /// One table with the rows of all of these, in order. Columns stand in the order of the first table; those of the others
    /// are found by name. Categories are the same where their text is the same, whatever their codes were.
    ///
    /// No tables make an empty table. Cost: O(rows + levels) for each column.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] that names the table (counted from 0) and the column, when a table has other names or types
    /// than the first; [`ErrorKind::LimitExceeded`] for more than 2³² − 1 levels.
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    ///
    /// let morning = Table::new(vec![Column::text("city", ["Bonn", "Köln"])?])?;
    /// let evening = Table::new(vec![Column::text("city", ["Köln", "Trier"])?])?;
    /// let day = Table::concat(&[morning, evening])?;
    /// let labels: Vec<_> = (0..day.rows()).filter_map(|row| day.column("city").ok()?.label(row)).collect();
    /// assert_eq!(labels, ["Bonn", "Köln", "Köln", "Trier"]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn concat(tables: &[Table<'_>]) -> Result<Table<'static>> {
        let Some(first) = tables.first() else { return Ok(Table::default()) };
        let width = first.columns.len();
        if let Some((at, table)) = tables.iter().enumerate().find(|(_, t)| t.columns.len() != width) {
            let message = format!("has {} columns, the first table has {width}", table.columns.len());
            return Err(Error::invalid("Table::concat", "tables", message).with("table", at));
        }
        let columns =
            first.columns.iter().map(|c| concat_column(c.name(), tables)).collect::<Result<Vec<_>>>()?;
        let rows = tables.iter().map(Table::rows).sum();
        Ok(Table { columns, rows })
    }
}

/// The columns called `name` of all tables, below each other.
fn concat_column(name: &str, tables: &[Table<'_>]) -> Result<Column<'static>> {
    let bad = |at: usize, message: String| {
        Error::invalid("Table::concat", "tables", message).with("table", at).with("column", name)
    };
    let mut parts = Vec::with_capacity(tables.len());
    for (at, table) in tables.iter().enumerate() {
        parts.push(
            table.get(name).ok_or_else(|| bad(at, "has not the columns of the first table".to_owned()))?,
        );
    }
    let want = parts.first().map_or(DataType::F64, |p| p.data_type());
    if let Some((at, part)) = parts.iter().enumerate().find(|(_, p)| p.data_type() != want) {
        return Err(bad(at, format!("is {:?}, in the first table {want:?}", part.data_type())));
    }
    let values = concat_values(want, &parts)?;
    let validity = parts.iter().any(|p| p.missing() > 0).then(|| {
        let valid: Vec<bool> = parts.iter().flat_map(|p| (0..p.len()).map(|row| p.is_valid(row))).collect();
        Validity::from_bools(&valid)
    });
    Column::new(name.to_owned(), values, validity)
}

/// The values of columns of one type, below each other.
fn concat_values(want: DataType, parts: &[&Column<'_>]) -> Result<Values<'static>> {
    macro_rules! append {
        ($($variant:ident)|+) => {{
            let mut all = Vec::with_capacity(parts.iter().map(|p| p.len()).sum());
            for part in parts {
                match &part.values {
                    $(Values::$variant(v) => all.extend_from_slice(v),)+
                    _ => {}
                }
            }
            all.into()
        }};
    }
    Ok(match want {
        DataType::F64 => Values::F64(append!(F64)),
        DataType::F32 => Values::F32(append!(F32)),
        DataType::I64 => Values::I64(append!(I64)),
        DataType::Bool => Values::Bool(append!(Bool)),
        DataType::Time => Values::Time(append!(Time)),
        DataType::Category => concat_categories(parts)?,
    })
}

/// Categories below each other: levels are merged by their text, in order of first appearance.
fn concat_categories(parts: &[&Column<'_>]) -> Result<Values<'static>> {
    let mut seen: std::collections::HashMap<&str, u32> = std::collections::HashMap::new();
    let mut all: Vec<String> = Vec::new();
    let mut merged = Vec::with_capacity(parts.iter().map(|p| p.len()).sum());
    for part in parts {
        let Values::Category { codes, levels } = &part.values else { continue };
        let mut to = Vec::with_capacity(levels.len());
        for level in levels.iter() {
            let next = u32::try_from(all.len())
                .map_err(|_| Error::limit("Table::concat", "the number of levels", u32::MAX, all.len()))?;
            let code = *seen.entry(level).or_insert(next);
            if code == next {
                all.push(level.clone());
            }
            to.push(code);
        }
        // The code of a missing value is arbitrary and may have no level.
        let code = |code: &u32| usize::try_from(*code).ok().and_then(|c| to.get(c).copied()).unwrap_or(0);
        merged.extend(codes.iter().map(code));
    }
    Ok(Values::Category { codes: merged.into(), levels: all.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_contradict_themselves_are_refused() {
        let levels: Arc<[String]> = vec!["a".to_owned()].into();
        let bad_code = Values::Category { codes: vec![0, 1].into(), levels: Arc::clone(&levels) };
        assert_eq!(Column::new("c", bad_code.clone(), None).unwrap_err().kind(), ErrorKind::InvalidInput);
        // The code of a missing value is arbitrary.
        let validity = Some(Validity::from_bools(&[true, false]));
        assert!(Column::new("c", bad_code, validity.clone()).is_ok());
        assert!(Column::new("x", Values::F64(vec![1.0].into()), validity).is_err());
        assert!(Column::f64("", vec![1.0]).is_err());
        assert_eq!(Column::f64("x".repeat(1025), vec![]).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn a_bad_code_after_a_missing_one_is_found() {
        let values = Values::Category { codes: vec![9, 9].into(), levels: vec!["a".to_owned()].into() };
        let validity = Some(Validity::from_bools(&[false, true]));
        assert!(Column::new("c", values, validity).is_err());
    }

    #[test]
    fn tables_need_one_length_and_distinct_names() {
        let x = Column::f64("x", vec![1.0]).unwrap();
        let longer = Column::f64("y", vec![1.0, 2.0]).unwrap();
        assert!(Table::new(vec![x.clone(), longer]).is_err());
        assert!(Table::new(vec![x.clone(), x]).is_err());
    }

    #[test]
    fn bitmaps_with_an_offset_read_the_right_bits() {
        let bytes = [0b1010_1100_u8, 0b0000_0001];
        let validity = Validity::new(&bytes[..], 2, 7).unwrap();
        let bits: Vec<bool> = (0..8).map(|i| validity.is_valid(i)).collect();
        assert_eq!(bits, [true, true, false, true, false, true, true, false]);
        assert_eq!(validity.missing(), 2);
        let words: Vec<u64> = [0, 1, 6, 7, 64].into_iter().map(|start| validity.word(start)).collect();
        assert_eq!(words, [0b110_1011, 0b11_0101, 1, 0, 0]);
        assert!(Validity::new(&bytes[..], 10, 7).is_err());
        assert!(Validity::new(&bytes[..], usize::MAX, 2).is_err());
    }

    #[test]
    fn missing_values_become_nan_and_have_no_label() {
        let values = Values::I64(vec![1, 2].into());
        let column = Column::new("n", values, Some(Validity::from_bools(&[true, false]))).unwrap();
        let floats = column.to_f64().unwrap();
        assert!(floats[0] == 1.0 && floats[1].is_nan());
        assert_eq!((column.label(0).as_deref(), column.label(1)), (Some("1"), None));
    }

    #[test]
    fn tables_below_each_other_keep_values_levels_and_what_is_missing() {
        let table = |n: Vec<i64>, valid: &[bool], city: &[Option<&str>]| {
            let n = Column::new("n", Values::I64(n.into()), Some(Validity::from_bools(valid))).unwrap();
            Table::new(vec![n, Column::optional_text("city", city.iter().copied()).unwrap()]).unwrap()
        };
        let one = table(vec![1, 2], &[true, false], &[Some("b"), Some("a")]);
        let two = table(vec![3, 4], &[true, true], &[None, Some("c")]);
        let three = table(vec![5], &[true], &[Some("a")]).select(&["city", "n"]).unwrap();
        let all = Table::concat(&[one, two, table(vec![], &[], &[]), three]).unwrap();
        assert_eq!((all.rows(), all.names().collect::<Vec<_>>()), (5, vec!["n", "city"]));
        let labels = |name| {
            (0..6).map(|i| all.column(name).unwrap().label(i).map(Cow::into_owned)).collect::<Vec<_>>()
        };
        let expected = |texts: [&str; 6]| texts.map(|t| (!t.is_empty()).then(|| t.to_owned())).to_vec();
        assert_eq!(labels("n"), expected(["1", "", "3", "4", "5", ""]));
        assert_eq!(labels("city"), expected(["b", "a", "", "c", "a", ""]));
    }

    #[test]
    fn every_type_can_be_put_below_itself_and_no_other() {
        let columns = [
            Column::f64("x", vec![f64::NAN, -0.0]).unwrap(),
            Column::new("x", Values::F32(vec![1.5, f32::INFINITY].into()), None).unwrap(),
            Column::i64("x", vec![i64::MIN, i64::MAX]).unwrap(),
            Column::bool("x", vec![true, false]).unwrap(),
            Column::new("x", Values::Time(vec![0, 1].into()), None).unwrap(),
            Column::text("x", ["a", ""]).unwrap(),
        ];
        for (i, a) in columns.iter().enumerate() {
            for (j, b) in columns.iter().enumerate() {
                let tables = [Table::new(vec![a.clone()]).unwrap(), Table::new(vec![b.clone()]).unwrap()];
                match Table::concat(&tables) {
                    Ok(both) => {
                        assert_eq!(i, j);
                        let both = &both.columns()[0];
                        let labels: Vec<_> = (0..4).map(|row| both.label(row).unwrap()).collect();
                        let one: Vec<_> = (0..2).map(|row| a.label(row).unwrap()).collect();
                        assert_eq!(labels, [one.clone(), one].concat());
                    }
                    Err(error) => {
                        assert_ne!(i, j, "{error}");
                        assert_eq!((error.context("table"), error.context("column")), (Some("1"), Some("x")));
                    }
                }
            }
        }
    }

    #[test]
    fn tables_of_other_columns_are_not_put_below_each_other() {
        let table = |names: &[&'static str]| {
            Table::new(names.iter().map(|n| Column::f64(*n, vec![1.0]).unwrap()).collect()).unwrap()
        };
        for (one, other) in
            [(&["x"][..], &["y"][..]), (&["x"], &["x", "y"]), (&["x", "y"], &["x"]), (&["x"], &[])]
        {
            let error = Table::concat(&[table(one), table(other)]).unwrap_err();
            assert_eq!((error.kind(), error.context("table")), (ErrorKind::InvalidInput, Some("1")));
        }
        assert_eq!(Table::concat(&[]).unwrap(), Table::default());
        let no_columns = table(&["x"]).without(&["x"]);
        assert_eq!(Table::concat(&[no_columns.clone(), no_columns]).unwrap().rows(), 2);
    }
}
