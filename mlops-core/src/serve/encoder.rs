//! Columns to numbers, the same way in training and in serving.

use serde::{Deserialize, Serialize};

use crate::data::{Column, DataType, Table, Values};
use crate::error::{Error, Result};
use crate::model::Feature;

/// Numbers in rows and columns, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    values: Vec<f64>,
    rows: usize,
    columns: usize,
}

impl Matrix {
    /// Values row by row, as many as rows and columns say.
    pub(super) fn new(values: Vec<f64>, rows: usize, columns: usize) -> Self {
        Self { values, rows, columns }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// One row; empty beyond the last.
    pub fn row(&self, index: usize) -> &[f64] {
        let start = index.saturating_mul(self.columns);
        self.values.get(start..start + self.columns).unwrap_or_default()
    }

    /// All values, row by row.
    pub fn row_major(&self) -> &[f64] {
        &self.values
    }

    /// All values, column by column, as some training libraries want them.
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    /// use mlops_core::serve::{EncoderOptions, FeatureEncoder};
    /// let table = Table::new(vec![Column::f64("x", vec![1.0, 2.0])?, Column::f64("y", vec![3.0, 4.0])?])?;
    /// let encoder = FeatureEncoder::fit(&table, &["x", "y"], &EncoderOptions::raw())?;
    /// let matrix = encoder.encode(&table)?;
    /// assert_eq!(matrix.row_major(), [1.0, 3.0, 2.0, 4.0]);
    /// assert_eq!(matrix.column_major(), [1.0, 2.0, 3.0, 4.0]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn column_major(&self) -> Vec<f64> {
        (0..self.columns)
            .flat_map(|c| (0..self.rows).map(move |r| self.values[r * self.columns + c]))
            .collect()
    }
}

/// How a [`FeatureEncoder`] is fitted.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncoderOptions {
    /// Whether numbers are centred and scaled to unit variance, with missing ones at the mean. Linear models want that. Without,
    /// numbers stay as they are and missing ones are NaN, as trees want it.
    pub standardise: bool,
    /// The most levels of a categorical feature. Default: 256.
    pub max_levels: usize,
}

impl Default for EncoderOptions {
    fn default() -> Self {
        Self { standardise: true, max_levels: 256 }
    }
}

impl EncoderOptions {
    /// With numbers centred and scaled, or left.
    #[must_use]
    pub fn with_standardise(mut self, standardise: bool) -> Self {
        self.standardise = standardise;
        self
    }

    /// With at most so many levels of a categorical feature.
    #[must_use]
    pub fn with_max_levels(mut self, max_levels: usize) -> Self {
        self.max_levels = max_levels;
        self
    }

    /// Numbers as they are, missing ones NaN.
    pub fn raw() -> Self {
        Self { standardise: false, ..Self::default() }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Encoding {
    /// `(x - center) / scale`, missing: 0.
    Standard { center: f64, scale: f64 },
    /// `x`, missing: NaN.
    Raw,
    /// One column a level, 1 where the value is that level; one more for missing values, if there were any. A level that was
    /// not there is 0 everywhere.
    Levels { levels: Vec<String>, missing: bool },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    name: String,
    data_type: DataType,
    encoding: Encoding,
}

impl Input {
    fn width(&self) -> usize {
        match &self.encoding {
            Encoding::Standard { .. } | Encoding::Raw => 1,
            Encoding::Levels { levels, missing } => levels.len() + usize::from(*missing),
        }
    }
}

/// Turns the columns of a table into numbers, as it learned to from the training data: numbers centred and scaled or as they
/// are, one column for each level of a category.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_core::serve::{EncoderOptions, FeatureEncoder};
///
/// let train = Table::new(vec![Column::f64("age", vec![40.0, 60.0])?, Column::text("plan", ["basic", "pro"])?])?;
/// let encoder = FeatureEncoder::fit(&train, &["age", "plan"], &EncoderOptions::default())?;
/// assert_eq!(encoder.names(), ["age", "plan=basic", "plan=pro"]);
/// assert_eq!(encoder.encode(&train)?.row(0), [-1.0, 1.0, 0.0]);
///
/// // A level that was not there before is none of those that were.
/// let later = Table::new(vec![Column::f64("age", vec![50.0])?, Column::text("plan", ["free"])?])?;
/// assert_eq!(encoder.encode(&later)?.row(0), [0.0, 0.0, 0.0]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeatureEncoder {
    inputs: Vec<Input>,
}

/// The most columns an encoder may make.
const MAX_WIDTH: usize = 1_000_000;

impl FeatureEncoder {
    /// Learns from a table: means and variances of numbers, levels of categories in the order of the alphabet. O(rows · features).
    ///
    /// A number that does not vary gets the scale 1, and is 0 everywhere.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for a feature that is not there;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for no features, one twice, a column of times, one without any value,
    /// or an infinite number, with its row; [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for too many levels.
    pub fn fit<S: AsRef<str>>(table: &Table<'_>, features: &[S], options: &EncoderOptions) -> Result<Self> {
        let inputs =
            features.iter().map(|f| fit(table.column(f.as_ref())?, options)).collect::<Result<_>>()?;
        Self { inputs }.checked().map_err(|reason| Error::invalid("FeatureEncoder::fit", "features", reason))
    }

    fn checked(self) -> Result<Self, String> {
        if self.inputs.is_empty() {
            return Err("there are no features".to_owned());
        }
        let mut seen = std::collections::HashSet::new();
        for input in &self.inputs {
            if input.name.is_empty() || !seen.insert(&input.name) {
                return Err(format!(
                    "the feature {} comes twice or has no name",
                    crate::error::quote(&input.name)
                ));
            }
            let good = match &input.encoding {
                Encoding::Standard { center, scale } => {
                    center.is_finite() && scale.is_finite() && *scale > 0.0
                }
                Encoding::Raw => input.data_type != DataType::Category,
                Encoding::Levels { levels, .. } => {
                    levels.is_sorted() && input.data_type == DataType::Category
                }
            };
            if !good || input.data_type == DataType::Time {
                return Err(format!("the encoding of {} does not fit it", crate::error::quote(&input.name)));
            }
        }
        if self.width() > MAX_WIDTH {
            return Err(format!("makes {} columns, at most {MAX_WIDTH} are allowed", self.width()));
        }
        Ok(self)
    }

    /// The number of columns it makes.
    pub fn width(&self) -> usize {
        self.inputs.iter().fold(0, |sum, input| sum.saturating_add(input.width()))
    }

    /// The names of the columns it makes: the feature's, with `=LEVEL` for a level and `?` for missing values.
    pub fn names(&self) -> Vec<String> {
        let names = |input: &Input| match &input.encoding {
            Encoding::Standard { .. } | Encoding::Raw => vec![input.name.clone()],
            Encoding::Levels { levels, missing } => {
                let named = levels.iter().map(|level| format!("{}={level}", input.name));
                named.chain(missing.then(|| format!("{}?", input.name))).collect()
            }
        };
        self.inputs.iter().flat_map(names).collect()
    }

    /// The features it needs, for a model's signature. Missing values are understood.
    pub fn features(&self) -> Vec<Feature> {
        let feature =
            |input: &Input| Feature { nullable: true, ..Feature::required(&input.name, input.data_type) };
        self.inputs.iter().map(feature).collect()
    }

    /// Turns rows into numbers. O(rows · columns).
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for a feature that is not there;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for one of another type, or an infinite number, with its row.
    pub fn encode(&self, table: &Table<'_>) -> Result<Matrix> {
        let (rows, columns) = (table.rows(), self.width());
        let mut values = vec![0.0; rows * columns];
        let mut at = 0;
        for input in &self.inputs {
            input.encode(table.column(&input.name)?, &mut values, at, columns)?;
            at += input.width();
        }
        Ok(Matrix { values, rows, columns })
    }
}

impl Input {
    fn encode(&self, column: &Column<'_>, out: &mut [f64], at: usize, stride: usize) -> Result<()> {
        let place = |row: usize, offset: usize| row * stride + at + offset;
        if let Encoding::Levels { levels, missing } = &self.encoding {
            let Values::Category { codes, levels: theirs } = column.values() else {
                let error =
                    Error::invalid("FeatureEncoder::encode", "table", "the model needs categories here");
                return Err(error.with("column", &self.name));
            };
            // Their codes to our places, once.
            let known: Vec<Option<usize>> =
                theirs.iter().map(|level| levels.binary_search(level).ok()).collect();
            for (row, code) in codes.iter().enumerate() {
                let code = usize::try_from(*code).ok().filter(|_| column.is_valid(row));
                let spot = match code {
                    Some(code) => known.get(code).copied().flatten(),
                    None => missing.then_some(levels.len()),
                };
                if let Some(spot) = spot {
                    out[place(row, spot)] = 1.0;
                }
            }
            return Ok(());
        }
        for (row, &value) in numbers(column)?.iter().enumerate() {
            out[place(row, 0)] = match self.encoding {
                Encoding::Standard { .. } if value.is_nan() => 0.0,
                Encoding::Standard { center, scale } => (value - center) / scale,
                _ => value,
            };
        }
        Ok(())
    }
}

/// The column as numbers, NaN where they are missing; infinities are refused.
fn numbers<'c>(column: &'c Column<'_>) -> Result<std::borrow::Cow<'c, [f64]>> {
    let values = column.to_f64()?;
    match values.iter().position(|v| v.is_infinite()) {
        None => Ok(values),
        Some(row) => Err(Error::invalid("FeatureEncoder", "table", format!("{} is not finite", values[row]))
            .with("column", column.name())
            .with("row", row)),
    }
}

fn fit(column: &Column<'_>, options: &EncoderOptions) -> Result<Input> {
    const OP: &str = "FeatureEncoder::fit";
    let (name, data_type) = (column.name().to_owned(), column.data_type());
    let bad = |reason: &str| Err(Error::invalid(OP, "features", reason).with("column", column.name()));
    let encoding = match (column.values(), data_type) {
        (_, DataType::Time) => return bad("a time is not a feature; derive numbers from it"),
        (Values::Category { codes, levels }, _) => {
            let used = codes.iter().enumerate().filter(|(row, _)| column.is_valid(*row));
            let used: std::collections::BTreeSet<&String> =
                used.filter_map(|(_, &code)| levels.get(usize::try_from(code).ok()?)).collect();
            if used.len() > options.max_levels {
                let error = Error::limit(OP, "the number of levels", options.max_levels, used.len());
                return Err(error.with("column", column.name()));
            }
            if used.is_empty() {
                return bad("has no value to learn from");
            }
            Encoding::Levels { levels: used.into_iter().cloned().collect(), missing: column.missing() > 0 }
        }
        _ => {
            let values = numbers(column)?;
            let present: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
            if present.is_empty() {
                return bad("has no value to learn from");
            }
            if options.standardise { standard(&present)? } else { Encoding::Raw }
        }
    };
    Ok(Input { name, data_type, encoding })
}

fn standard(present: &[f64]) -> Result<Encoding> {
    // The mean of equal values need not be one of them, and their computed spread need not be 0: three times 0.1 would become
    // −1. That they are equal is exact.
    if let Some(&first) = present.first().filter(|first| present.iter().all(|v| v == *first)) {
        return Ok(Encoding::Standard { center: first, scale: 1.0 });
    }
    let center = crate::num::sum::mean(present)?;
    let scale = spread(present, center);
    // A spread that overflows, or is too small to divide by, says nothing about the scale that the numbers are useful on.
    let scale = if scale.is_normal() { scale } else { 1.0 };
    Ok(Encoding::Standard { center, scale })
}

/// The population standard deviation, relative to the largest deviation so that squares neither overflow nor vanish.
fn spread(values: &[f64], center: f64) -> f64 {
    let largest = values.iter().fold(0.0_f64, |most, v| most.max((v - center).abs()));
    let squares: Vec<f64> = values.iter().map(|v| ((v - center) / largest).powi(2)).collect();
    largest * (crate::num::sum::sum(&squares) / values.len() as f64).sqrt()
}

impl<'de> Deserialize<'de> for FeatureEncoder {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw {
            inputs: Vec<Input>,
        }
        let raw = Raw::deserialize(deserializer)?;
        Self { inputs: raw.inputs }.checked().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Validity;
    use crate::error::ErrorKind;

    fn table(columns: Vec<Column<'static>>) -> Table<'static> {
        Table::new(columns).unwrap()
    }

    #[test]
    fn missing_values_are_the_mean_or_nan_and_a_level_of_their_own() {
        let holes = || Some(Validity::from_bools(&[true, false, true]));
        let x = Column::new("x", Values::F64(vec![1.0, 9.0, 3.0].into()), holes()).unwrap();
        let plan = Column::optional_text("plan", [Some("a"), None, Some("b")]).unwrap();
        let data = table(vec![x, plan]);
        let standard = FeatureEncoder::fit(&data, &["x", "plan"], &EncoderOptions::default()).unwrap();
        assert_eq!(standard.names(), ["x", "plan=a", "plan=b", "plan?"]);
        assert_eq!(standard.encode(&data).unwrap().row(1), [0.0, 0.0, 0.0, 1.0]);
        let raw = FeatureEncoder::fit(&data, &["x"], &EncoderOptions::raw()).unwrap();
        assert!(raw.encode(&data).unwrap().row(1)[0].is_nan());
    }

    #[test]
    fn a_constant_number_is_zero_and_not_nan() {
        for value in [7.0, 0.0, 1e300, 5e-324] {
            let data = table(vec![Column::f64("x", vec![value; 3]).unwrap()]);
            let encoder = FeatureEncoder::fit(&data, &["x"], &EncoderOptions::default()).unwrap();
            assert_eq!(encoder.encode(&data).unwrap().row(2), [0.0], "{value}");
        }
    }

    #[test]
    fn what_cannot_be_learned_from_is_refused_and_named() {
        let data = table(vec![
            Column::f64("inf", vec![1.0, f64::INFINITY]).unwrap(),
            Column::f64("nan", vec![f64::NAN, f64::NAN]).unwrap(),
            Column::optional_text("none", [None::<&str>, None]).unwrap(),
            Column::new("time", Values::Time(vec![1, 2].into()), None).unwrap(),
        ]);
        for name in ["inf", "nan", "none", "time"] {
            let error = FeatureEncoder::fit(&data, &[name], &EncoderOptions::default()).unwrap_err();
            assert_eq!((error.kind(), error.context("column")), (ErrorKind::InvalidInput, Some(name)));
        }
        assert!(FeatureEncoder::fit(&data, &["nowhere"], &EncoderOptions::default()).is_err());
        assert!(FeatureEncoder::fit::<&str>(&data, &[], &EncoderOptions::default()).is_err());
        let many = table(vec![Column::text("id", (0..9).map(|i| i.to_string())).unwrap()]);
        let options = EncoderOptions { max_levels: 8, ..EncoderOptions::default() };
        let error = FeatureEncoder::fit(&many, &["id"], &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn an_encoder_that_was_tampered_with_does_not_load() {
        let data =
            table(vec![Column::f64("x", vec![1.0, 2.0]).unwrap(), Column::text("p", ["a", "b"]).unwrap()]);
        let encoder = FeatureEncoder::fit(&data, &["x", "p"], &EncoderOptions::default()).unwrap();
        let json = serde_json::to_string(&encoder).unwrap();
        assert_eq!(serde_json::from_str::<FeatureEncoder>(&json).unwrap(), encoder);
        for (from, to) in [
            ("\"scale\":0.5", "\"scale\":0.0"),
            ("\"scale\":0.5", "\"scale\":null"),
            ("\"a\",\"b\"", "\"b\",\"a\""),
            ("\"x\"", "\"p\""),
            ("category", "f64"),
        ] {
            let bad = json.replace(from, to);
            assert_ne!(bad, json);
            assert!(serde_json::from_str::<FeatureEncoder>(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_does_not_vary_is_zero_everywhere() {
        for constant in [0.1, 0.3, -1e-3, 1e15 + 0.3, 1e308, 5e-324] {
            for rows in 1..50 {
                let data = table(vec![Column::f64("x", vec![constant; rows]).unwrap()]);
                let encoder = FeatureEncoder::fit(&data, &["x"], &EncoderOptions::default()).unwrap();
                assert_eq!(encoder.encode(&data).unwrap().row_major(), vec![0.0; rows], "{constant} {rows}");
            }
        }
    }

    #[test]
    fn a_spread_whose_square_is_no_number_is_a_scale_all_the_same() {
        for size in [1e200, 1e-200] {
            let data = table(vec![Column::f64("x", vec![0.0, size]).unwrap()]);
            let encoder = FeatureEncoder::fit(&data, &["x"], &EncoderOptions::default()).unwrap();
            assert_eq!(encoder.encode(&data).unwrap().row_major(), [-1.0, 1.0], "{size}");
        }
    }
}
