//! How columns become numbers, learnt once from training data and shipped with the model.
//!
//! The classic fault of serving is that the numbers are made otherwise than in training. So there is one encoder: training
//! fits it and trains on what it encodes, the model's bytes hold it, serving encodes with it.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::data::{Column, DataType, Table, Values};
use crate::error::{Error, Result, quote};
use crate::model::Feature;

/// How one column becomes numbers.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Encoding {
    /// A number `x` becomes the one number `(x − mean) / scale`; where `x` is missing or NaN, `fill` takes its place.
    Numeric {
        /// What is subtracted.
        mean: f64,
        /// What is divided by; above 0.
        scale: f64,
        /// What stands for a missing value.
        fill: f64,
    },
    /// A category becomes one number a level: 1 for its own, 0 for the others. A level that is not known, or a missing value,
    /// is 0 everywhere.
    OneHot {
        /// The levels, in ascending order, each once.
        levels: Vec<String>,
    },
}

impl Encoding {
    /// How many numbers a value becomes.
    fn width(&self) -> usize {
        match self {
            Self::Numeric { .. } => 1,
            Self::OneHot { levels } => levels.len(),
        }
    }

    fn fault(&self) -> Option<String> {
        match self {
            Self::Numeric { mean, scale, fill } => {
                let finite = mean.is_finite() && scale.is_finite() && fill.is_finite();
                let bad = !(finite && *scale > 0.0 && standardise(*fill, *mean, *scale).is_finite());
                bad.then(|| format!("has mean {mean}, scale {scale} and fill {fill}: they must be finite and the scale above 0"))
            }
            Self::OneHot { levels } => {
                let unsorted = levels.windows(2).find(|pair| pair[0] >= pair[1])?;
                Some(format!(
                    "levels must ascend, but `{}` comes before `{}`",
                    quote(&unsorted[0]),
                    quote(&unsorted[1])
                ))
            }
        }
    }
}

fn standardise(x: f64, mean: f64, scale: f64) -> f64 {
    (x - mean) / scale
}

/// One column and how it becomes numbers.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputEncoding {
    /// The column's name.
    pub column: String,
    /// How it becomes numbers.
    pub encoding: Encoding,
}

impl InputEncoding {
    /// A column and how it becomes numbers.
    pub fn new(column: impl Into<String>, encoding: Encoding) -> Self {
        Self { column: column.into(), encoding }
    }
}

/// What [`FeatureEncoder::fit_with`] may be told.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderOptions {
    /// The most levels of a column of categories; more are an error, because such a column is rather an id. Default 100.
    pub max_levels: usize,
}

impl Default for EncoderOptions {
    fn default() -> Self {
        Self { max_levels: 100 }
    }
}

impl EncoderOptions {
    /// Sets the most levels of a column of categories.
    #[must_use]
    pub fn with_max_levels(mut self, levels: usize) -> Self {
        self.max_levels = levels;
        self
    }
}

/// Turns the columns of a table into rows of numbers.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_core::serve::FeatureEncoder;
///
/// let train = Table::new(vec![
///     Column::f64("age", vec![40.0, 60.0])?,
///     Column::text("sex", ["m", "f"])?,
/// ])?;
/// let encoder = FeatureEncoder::fit(&train)?;
/// assert_eq!(encoder.names(), ["age", "sex=f", "sex=m"]);
/// assert_eq!(encoder.encode(&train)?.to_rows(), [[-1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]);
///
/// // A level that training did not see is 0 everywhere, a missing number is the mean.
/// let later = Table::new(vec![Column::f64("age", vec![f64::NAN])?, Column::text("sex", ["x"])?])?;
/// assert_eq!(encoder.encode(&later)?.row(0), Some(&[0.0, 0.0, 0.0][..]));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<InputEncoding>", into = "Vec<InputEncoding>")]
pub struct FeatureEncoder {
    inputs: Vec<InputEncoding>,
    width: usize,
}

impl FeatureEncoder {
    /// An encoder from its parts.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the column: an empty name or one that comes twice, a number that is not finite, a scale of 0 or
    /// less, levels that do not ascend.
    ///
    /// ```
    /// use mlops_core::serve::{Encoding, FeatureEncoder, InputEncoding};
    /// let age = InputEncoding::new("age", Encoding::Numeric { mean: 48.5, scale: 0.0, fill: 48.5 });
    /// assert!(FeatureEncoder::new(vec![age]).unwrap_err().to_string().contains("age"));
    /// ```
    pub fn new(inputs: Vec<InputEncoding>) -> Result<Self> {
        const OP: &str = "FeatureEncoder::new";
        let mut seen = HashSet::new();
        let mut width = 0_usize;
        for InputEncoding { column, encoding } in &inputs {
            let fault = match column.as_str() {
                "" => Some("a column's name must not be empty".to_owned()),
                name if !seen.insert(name) => Some("comes twice".to_owned()),
                _ => encoding.fault(),
            };
            if let Some(message) = fault {
                return Err(Error::invalid(OP, "inputs", message).with("column", column));
            }
            width = width.saturating_add(encoding.width());
        }
        Ok(Self { inputs, width })
    }

    /// Learns from all columns of a table, with the default options.
    ///
    /// # Errors
    /// As [`FeatureEncoder::fit_with`].
    pub fn fit(table: &Table<'_>) -> Result<Self> {
        Self::fit_with(table, &EncoderOptions::default())
    }

    /// Learns from all columns of a table: select those that the model may see first. O(cells), and O(levels · log levels).
    ///
    /// * Numbers and booleans are standardised with the mean and the population standard deviation of the values that are
    ///   present, as scikit-learn's `StandardScaler`; a constant column has scale 1, so that it becomes 0. NaN is
    ///   missing. A missing value becomes the mean.
    /// * Categories become one number for each level that occurs in a row, in ascending order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the column: no rows, no value present, an infinity (with its row), values so far apart that their spread is not a
    /// number, a time (derive numbers from it first). [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than `max_levels` levels.
    pub fn fit_with(table: &Table<'_>, options: &EncoderOptions) -> Result<Self> {
        let inputs = table.columns().iter().map(|column| {
            let encoding = fit_column(column, options)?;
            Ok(InputEncoding::new(column.name(), encoding))
        });
        Self::new(inputs.collect::<Result<_>>()?)
    }

    /// The columns and how each becomes numbers, in order.
    pub fn inputs(&self) -> &[InputEncoding] {
        &self.inputs
    }

    /// How many numbers a row becomes.
    pub fn width(&self) -> usize {
        self.width
    }

    /// A name for each number: the column's, for a level `column=level`.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::with_capacity(self.width);
        for InputEncoding { column, encoding } in &self.inputs {
            match encoding {
                Encoding::Numeric { .. } => names.push(column.clone()),
                Encoding::OneHot { levels } => names.extend(levels.iter().map(|l| format!("{column}={l}"))),
            }
        }
        names
    }

    /// What a model with this encoder takes: missing values are understood in every column.
    pub fn features(&self) -> Vec<Feature> {
        let feature = |input: &InputEncoding| {
            let data_type = match input.encoding {
                Encoding::Numeric { .. } => DataType::F64,
                Encoding::OneHot { .. } => DataType::Category,
            };
            Feature { name: input.column.clone(), data_type, nullable: true }
        };
        self.inputs.iter().map(feature).collect()
    }

    /// Encodes every row; columns that the encoder does not know are ignored. O(rows · width).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the column, and the row: a column that is absent or of another type, an
    /// infinity, a number so large that it cannot be standardised. [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for a matrix that memory
    /// cannot address.
    pub fn encode(&self, table: &Table<'_>) -> Result<EncodedRows> {
        const OP: &str = "FeatureEncoder::encode";
        let (rows, width) = (table.rows(), self.width);
        let cells = rows.checked_mul(width).filter(|cells| *cells <= isize::MAX.unsigned_abs() / 8);
        let Some(cells) = cells else {
            return Err(Error::limit(OP, "the matrix", isize::MAX, format!("{rows} × {width}")));
        };
        let mut data = vec![0.0; cells];
        self.for_each(OP, table, |row, feature, x| data[row * width + feature] = x)?;
        Ok(EncodedRows { data, rows, width })
    }

    /// Calls `visit(row, feature, value)` for every number that may be other than 0: column by column, within a column row by
    /// row. For one row that is ascending order of features.
    pub(super) fn for_each(
        &self,
        operation: &'static str,
        table: &Table<'_>,
        mut visit: impl FnMut(usize, usize, f64),
    ) -> Result<()> {
        let mut first = 0;
        for InputEncoding { column: name, encoding } in &self.inputs {
            let column = table.get(name).ok_or_else(|| {
                Error::invalid(operation, "rows", "has no such column").with("column", name)
            })?;
            match encoding {
                Encoding::Numeric { mean, scale, fill } => {
                    let values = numbers(operation, column)?;
                    for (row, &x) in values.iter().enumerate() {
                        let z = standardise(if x.is_nan() { *fill } else { x }, *mean, *scale);
                        if !z.is_finite() {
                            let message = format!("has {x} in row {row}, which is not finite or too large");
                            return Err(Error::invalid(operation, "rows", message).with("column", name));
                        }
                        visit(row, first, z);
                    }
                }
                Encoding::OneHot { levels } => {
                    one_hot(operation, column, levels, |row, level| visit(row, first + level, 1.0))?;
                }
            }
            first += encoding.width();
        }
        Ok(())
    }
}

/// A column's numbers, NaN where there is none.
fn numbers<'c>(operation: &'static str, column: &'c Column<'_>) -> Result<std::borrow::Cow<'c, [f64]>> {
    match column.data_type() {
        DataType::F64 | DataType::F32 | DataType::I64 | DataType::Bool => column.to_f64(),
        other => Err(other_type(operation, column, other, "numbers")),
    }
}

fn other_type(operation: &'static str, column: &Column<'_>, got: DataType, want: &str) -> Error {
    let message = format!("is {got:?}, expected {want}");
    Error::invalid(operation, "rows", message).with("column", column.name())
}

/// Calls `visit(row, level)` for every row with a known level.
fn one_hot(
    operation: &'static str,
    column: &Column<'_>,
    known: &[String],
    mut visit: impl FnMut(usize, usize),
) -> Result<()> {
    let Values::Category { codes, levels } = column.values() else {
        return Err(other_type(operation, column, column.data_type(), "categories"));
    };
    let places: Vec<Option<usize>> = levels.iter().map(|level| known.binary_search(level).ok()).collect();
    for (row, &code) in codes.iter().enumerate().filter(|(row, _)| column.is_valid(*row)) {
        let place = usize::try_from(code).ok().and_then(|code| places.get(code).copied().flatten());
        if let Some(place) = place {
            visit(row, place);
        }
    }
    Ok(())
}

const FIT: &str = "FeatureEncoder::fit";

fn fit_column(column: &Column<'_>, options: &EncoderOptions) -> Result<Encoding> {
    let bad = |message: String| Error::invalid(FIT, "table", message).with("column", column.name());
    match column.values() {
        Values::Category { codes, levels } => {
            let present = codes.iter().enumerate().filter(|(row, _)| column.is_valid(*row));
            let used: HashSet<usize> = present.filter_map(|(_, &code)| usize::try_from(code).ok()).collect();
            let mut known: Vec<String> =
                used.into_iter().filter_map(|code| levels.get(code).cloned()).collect();
            known.sort_unstable();
            // Two codes may stand for one text.
            known.dedup();
            if known.is_empty() {
                return Err(bad("has no value to learn from".to_owned()));
            }
            if known.len() > options.max_levels {
                let error = Error::limit(FIT, "the number of levels", options.max_levels, known.len());
                return Err(error.with("column", column.name()));
            }
            Ok(Encoding::OneHot { levels: known })
        }
        Values::Time(_) => Err(bad("is a time: derive numbers from it first".to_owned())),
        _ => fit_numeric(column),
    }
}

fn fit_numeric(column: &Column<'_>) -> Result<Encoding> {
    let bad = |message: String| Error::invalid(FIT, "table", message).with("column", column.name());
    let values = column.to_f64()?;
    if let Some(row) = values.iter().position(|x| x.is_infinite()) {
        return Err(bad(format!("has {} in row {row}, which is not finite", values[row])));
    }
    let present: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).collect();
    let Some(&first) = present.first() else {
        return Err(bad("has no value to learn from".to_owned()));
    };
    let overflow = || bad("has values so far apart that their spread is not a number".to_owned());
    // The computed spread of a constant column need not be exactly 0; that all values are equal is exact.
    if present.iter().all(|&x| x == first) {
        return Ok(Encoding::Numeric { mean: first, scale: 1.0, fill: first });
    }
    let mean = crate::experiment::baseline::mean(&present).map_err(|_| overflow())?.value;
    let scale = spread(&present, mean);
    // A spread below the smallest number would turn every value into an infinity.
    let scale = if scale == 0.0 { 1.0 } else { scale };
    if !scale.is_finite() {
        return Err(overflow());
    }
    Ok(Encoding::Numeric { mean, scale, fill: mean })
}

/// The population standard deviation, taken relative to the largest deviation so that squares do not overflow or vanish.
fn spread(values: &[f64], mean: f64) -> f64 {
    let largest = values.iter().fold(0.0_f64, |most, x| most.max((x - mean).abs()));
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    let squares = values.iter().map(|x| (x - mean) / largest).map(|d| d * d).sum::<f64>();
    largest * (squares / values.len() as f64).sqrt()
}

impl TryFrom<Vec<InputEncoding>> for FeatureEncoder {
    type Error = Error;

    fn try_from(inputs: Vec<InputEncoding>) -> Result<Self> {
        Self::new(inputs)
    }
}

impl From<FeatureEncoder> for Vec<InputEncoding> {
    fn from(encoder: FeatureEncoder) -> Self {
        encoder.inputs
    }
}

/// Rows of numbers, one row after the other.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_core::serve::FeatureEncoder;
///
/// let table = Table::new(vec![Column::f64("a", vec![0.0, 2.0])?, Column::f64("b", vec![5.0, 5.0])?])?;
/// let rows = FeatureEncoder::fit(&table)?.encode(&table)?;
/// assert_eq!((rows.rows(), rows.width()), (2, 2));
/// assert_eq!(rows.as_slice(), [-1.0, 0.0, 1.0, 0.0]);
/// assert_eq!(rows.row(2), None);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct EncodedRows {
    data: Vec<f64>,
    rows: usize,
    width: usize,
}

impl EncodedRows {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many numbers a row has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All numbers, row by row.
    pub fn as_slice(&self) -> &[f64] {
        &self.data
    }

    /// All numbers, row by row, without a copy.
    pub fn into_vec(self) -> Vec<f64> {
        self.data
    }

    /// One row; `None` beyond the end.
    pub fn row(&self, index: usize) -> Option<&[f64]> {
        if index >= self.rows {
            return None;
        }
        self.data.get(index * self.width..(index + 1) * self.width)
    }

    /// A copy as one vector a row, for libraries that want that.
    pub fn to_rows(&self) -> Vec<Vec<f64>> {
        (0..self.rows).filter_map(|row| self.row(row)).map(<[f64]>::to_vec).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Validity;
    use crate::error::ErrorKind;

    fn table(columns: Vec<Column<'_>>) -> Table<'_> {
        Table::new(columns).unwrap()
    }

    fn f64s(values: Vec<f64>) -> Column<'static> {
        Column::f64("x", values).unwrap()
    }

    fn numeric(values: Vec<f64>) -> Encoding {
        FeatureEncoder::fit(&table(vec![f64s(values)])).unwrap().inputs()[0].encoding.clone()
    }

    #[test]
    fn constant_columns_become_zero() {
        for c in [0.0, 0.1, -3.0, 1e308, 5e-324] {
            assert_eq!(numeric(vec![c; 7]), Encoding::Numeric { mean: c, scale: 1.0, fill: c });
        }
        let rows = table(vec![f64s(vec![0.1; 3])]);
        assert_eq!(FeatureEncoder::fit(&rows).unwrap().encode(&rows).unwrap().as_slice(), [0.0; 3]);
    }

    #[test]
    fn nan_and_absent_values_are_missing_alike() {
        let validity = Some(Validity::from_bools(&[true, false, true]));
        let absent = Column::new("x", Values::F64(vec![1.0, f64::INFINITY, 3.0].into()), validity).unwrap();
        let expected = Encoding::Numeric { mean: 2.0, scale: 1.0, fill: 2.0 };
        assert_eq!(numeric(vec![1.0, f64::NAN, 3.0]), expected);
        let rows = table(vec![absent]);
        let encoder = FeatureEncoder::fit(&rows).unwrap();
        assert_eq!(encoder.inputs()[0].encoding, expected);
        assert_eq!(encoder.encode(&rows).unwrap().as_slice(), [-1.0, 0.0, 1.0]);
    }

    #[test]
    fn integers_booleans_and_narrow_floats_are_numbers() {
        for column in [
            Column::i64("x", vec![0, 1]).unwrap(),
            Column::bool("x", vec![false, true]).unwrap(),
            Column::new("x", Values::F32(vec![0.0, 1.0].into()), None).unwrap(),
        ] {
            let rows = table(vec![column]);
            let encoder = FeatureEncoder::fit(&rows).unwrap();
            assert_eq!(encoder.encode(&rows).unwrap().as_slice(), [-1.0, 1.0]);
        }
    }

    #[test]
    fn only_levels_that_occur_are_learnt_in_ascending_order() {
        let levels: std::sync::Arc<[String]> = ["z", "never", "a", "z"].map(str::to_owned).to_vec().into();
        let validity = Some(Validity::from_bools(&[true, true, true, false]));
        let values = Values::Category { codes: vec![0, 2, 3, 1].into(), levels };
        let rows = table(vec![Column::new("c", values, validity).unwrap()]);
        let encoder = FeatureEncoder::fit(&rows).unwrap();
        assert_eq!(encoder.names(), ["c=a", "c=z"]);
        assert_eq!(
            encoder.encode(&rows).unwrap().to_rows(),
            [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
        );
    }

    #[test]
    fn what_cannot_be_learnt_from_is_refused_with_its_column() {
        let time = Column::new("x", Values::Time(vec![0].into()), None).unwrap();
        let none = Column::optional_text::<&str>("x", [None, None]).unwrap();
        let many = Column::text("x", (0..101).map(|i| i.to_string())).unwrap();
        for (column, kind) in [
            (f64s(vec![]), ErrorKind::InvalidInput),
            (f64s(vec![f64::NAN; 2]), ErrorKind::InvalidInput),
            (f64s(vec![1.0, f64::INFINITY]), ErrorKind::InvalidInput),
            (f64s(vec![f64::MAX, f64::MIN, f64::MIN]), ErrorKind::InvalidInput),
            (time, ErrorKind::InvalidInput),
            (none, ErrorKind::InvalidInput),
            (many.clone(), ErrorKind::LimitExceeded),
        ] {
            let error = FeatureEncoder::fit(&table(vec![column])).unwrap_err();
            assert_eq!((error.kind(), error.context("column")), (kind, Some("x")), "{error}");
        }
        let options = EncoderOptions::default().with_max_levels(101);
        assert_eq!(FeatureEncoder::fit_with(&table(vec![many]), &options).unwrap().width(), 101);
    }

    #[test]
    fn rows_that_cannot_be_encoded_are_refused_with_column_and_row() {
        let encoder = FeatureEncoder::fit(&table(vec![
            f64s(vec![0.0, 1e-300]),
            Column::text("c", ["a", "b"]).unwrap(),
        ]))
        .unwrap();
        let c = || Column::text("c", ["a"]).unwrap();
        for (columns, column, words) in [
            (vec![c()], "x", "no such column"),
            (vec![f64s(vec![0.0])], "c", "no such column"),
            (vec![f64s(vec![f64::INFINITY]), c()], "x", "row 0"),
            (vec![f64s(vec![1e300]), c()], "x", "row 0"),
            (vec![Column::text("x", ["1"]).unwrap(), c()], "x", "expected numbers"),
            (vec![f64s(vec![0.0]), Column::f64("c", vec![0.0]).unwrap()], "c", "expected categories"),
        ] {
            let error = encoder.encode(&table(columns)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.context("column"), Some(column), "{error}");
            assert!(error.message().contains(words), "{error}");
        }
        let none = table(vec![f64s(vec![]), Column::text::<&str>("c", []).unwrap()]);
        assert_eq!(encoder.encode(&none).unwrap().rows(), 0);
    }

    #[test]
    fn extremes_have_a_spread() {
        // 1e15 + {0, 1, 2}: the population deviation is √(2/3).
        let Encoding::Numeric { mean, scale, .. } = numeric(vec![1e15, 1e15 + 1.0, 1e15 + 2.0]) else {
            panic!()
        };
        assert_eq!((mean, scale), (1e15 + 1.0, (2.0_f64 / 3.0).sqrt()));
        let Encoding::Numeric { scale, .. } = numeric(vec![0.0, 1e200]) else { panic!() };
        assert_eq!(scale, 5e199);
        let Encoding::Numeric { scale, .. } = numeric(vec![0.0, 1e-200]) else { panic!() };
        assert_eq!(scale, 5e-201);
    }

    #[test]
    fn encoders_that_contradict_themselves_are_refused() {
        let number =
            |mean, scale, fill| vec![InputEncoding::new("x", Encoding::Numeric { mean, scale, fill })];
        let levels = |levels: &[&str]| {
            let levels = levels.iter().map(|l| (*l).to_owned()).collect();
            vec![InputEncoding::new("x", Encoding::OneHot { levels })]
        };
        for inputs in [
            number(f64::NAN, 1.0, 0.0),
            number(0.0, 0.0, 0.0),
            number(0.0, -1.0, 0.0),
            number(0.0, f64::INFINITY, 0.0),
            number(0.0, 1.0, f64::NAN),
            number(0.0, 1e-300, 1e300),
            levels(&["b", "a"]),
            levels(&["a", "a"]),
            [number(0.0, 1.0, 0.0), levels(&["a"])].concat(),
            vec![InputEncoding::new("", Encoding::OneHot { levels: vec![] })],
        ] {
            assert_eq!(FeatureEncoder::new(inputs).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(FeatureEncoder::new(levels(&[])).unwrap().width(), 0);
    }

    #[test]
    fn an_encoder_comes_back_from_json_bit_by_bit() {
        let rows =
            table(vec![f64s(vec![0.1, 0.2, 1e-7]), Column::text("c", ["ü", "\u{202e}", "a"]).unwrap()]);
        let encoder = FeatureEncoder::fit(&rows).unwrap();
        let text = serde_json::to_string(&encoder).unwrap();
        assert_eq!(serde_json::from_str::<FeatureEncoder>(&text).unwrap(), encoder);
        assert!(serde_json::from_str::<FeatureEncoder>(&text.replace("\"scale\"", "\"scal\"")).is_err());
    }
}
