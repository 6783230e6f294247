//! Columns on one scale: that of the reference.

use mlops_core::data::{Column, DataType, Table};
use mlops_core::num::{StatsError, sum};
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::matrix::{Matrix, Real};

/// The mean and the standard deviation of every column of a reference, to put any later rows on its scale: (x − mean) / deviation.
///
/// Deviations have ddof 0, as scikit-learn's `StandardScaler`; a constant column keeps its unit. Missing values are left out here
/// and stay missing (NaN) there.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_drift::multivariate::Scaler;
///
/// let reference = Table::new(vec![Column::f64("age", vec![20.0, 40.0])?, Column::i64("visits", vec![5, 5])?])?;
/// let scaler = Scaler::fit(&reference)?;
/// let later = Table::new(vec![Column::f64("age", vec![60.0])?, Column::i64("visits", vec![6])?])?;
/// assert_eq!(scaler.matrix(&later)?.values(), [3.0, 1.0]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaler {
    names: Vec<String>,
    units: Vec<Unit>,
}

/// Where a column's zero is and how long its unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unit {
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
}

impl Unit {
    /// Of finite values.
    ///
    /// # Errors
    /// As [`sum::mean`]; [`StatsError::Overflow`] when no double holds the deviation.
    pub(crate) fn of(values: &[f64]) -> Result<Self, StatsError> {
        let mean = sum::mean(values)?;
        let largest = values.iter().fold(0.0_f64, |largest, value| largest.max((value - mean).abs()));
        if !largest.is_finite() {
            return Err(StatsError::Overflow { what: "the deviation of a column" });
        }
        // Rounding of the mean is no spread.
        if values.iter().all(|value| Some(value) == values.first()) {
            return Ok(Self { mean: values.first().copied().unwrap_or(mean), deviation: 1.0 });
        }
        // Relative to the largest, so that squares neither overflow nor vanish.
        let squares = values.iter().map(|value| ((value - mean) / largest).powi(2));
        let share = squares.collect::<sum::Sum>().value() / values.len() as f64;
        Ok(Self { mean, deviation: largest * share.sqrt() })
    }

    pub(crate) fn apply(&self, value: f64) -> f64 {
        (value - self.mean) / self.deviation
    }
}

/// The unit of every column of a matrix without NaN.
pub(crate) fn units<T: Real>(matrix: &Matrix<'_, T>) -> Result<Vec<Unit>, StatsError> {
    let mut column = Vec::with_capacity(matrix.rows());
    (0..matrix.columns())
        .map(|index| {
            column.clear();
            column.extend(matrix.iter().filter_map(|row| row.get(index)).map(|value| value.to_f64()));
            Unit::of(&column)
        })
        .collect()
}

/// Whether a column takes part in joint statistics: numbers and booleans do, categories and times do not.
pub(crate) fn is_number(column: &Column<'_>) -> bool {
    column.data_type().is_numeric() || column.data_type() == DataType::Bool
}

impl Scaler {
    /// Fits every numeric and boolean column.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) when there is none, or one has no value that is present or
    /// one that is infinite.
    pub fn fit(reference: &Table<'_>) -> Result<Self> {
        let numbers = reference.columns().iter().filter(|column| is_number(column));
        let names: Vec<&str> = numbers.map(Column::name).collect();
        Self::fit_columns(reference, &names)
    }

    /// Fits these columns, in this order.
    ///
    /// # Errors
    /// As [`Scaler::fit`]; [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound) for a column that is not there.
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    /// use mlops_drift::multivariate::Scaler;
    /// let table = Table::new(vec![Column::f64("a", vec![1.0])?, Column::f64("b", vec![2.0])?])?;
    /// assert_eq!(Scaler::fit_columns(&table, &["b"])?.names(), ["b"]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn fit_columns<S: AsRef<str>>(reference: &Table<'_>, names: &[S]) -> Result<Self> {
        const OP: &str = "Scaler::fit";
        if names.is_empty() {
            return Err(Error::invalid(OP, "reference", "has no numeric column"));
        }
        let fit = |name: &S| {
            let column = reference.column(name.as_ref())?;
            let values = column.to_f64()?;
            let present: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
            if present.is_empty() {
                return Err(Error::invalid(OP, "reference", "a column has no value that is present")
                    .with("column", column.name()));
            }
            Unit::of(&present).map_err(|error| Error::from(error).with("column", column.name()))
        };
        let units = names.iter().map(fit).collect::<Result<Vec<_>>>()?;
        Ok(Self { names: names.iter().map(|name| name.as_ref().to_owned()).collect(), units })
    }

    /// The columns, in the order of the matrix.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The columns of a table in the units of the reference; missing values are NaN.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound) for a column that is not there,
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for one without numbers.
    pub fn matrix(&self, table: &Table<'_>) -> Result<Matrix<'static, f64>> {
        let mut matrix = raw(table, &self.names)?.values().to_vec();
        for row in matrix.chunks_exact_mut(self.units.len().max(1)) {
            row.iter_mut().zip(&self.units).for_each(|(value, unit)| *value = unit.apply(*value));
        }
        Ok(Matrix::new(matrix, self.units.len())?)
    }
}

/// The columns of a table as they are; missing values are NaN.
pub(crate) fn raw<S: AsRef<str>>(table: &Table<'_>, names: &[S]) -> Result<Matrix<'static, f64>> {
    let (rows, columns) = (table.rows(), names.len());
    let mut values = vec![0.0; rows * columns];
    for (index, name) in names.iter().enumerate() {
        let column = table.column(name.as_ref())?;
        if !is_number(column) {
            return Err(Error::invalid("Scaler::matrix", "table", "a column is not numeric")
                .with("column", column.name()));
        }
        for (row, value) in column.to_f64()?.iter().enumerate() {
            values[row * columns + index] = *value;
        }
    }
    Ok(Matrix::new(values, columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::data::{Validity, Values};

    #[test]
    fn missing_values_stay_missing_and_do_not_count() {
        let validity = Validity::from_bools(&[true, true, false]);
        let column = Column::new("x", Values::F64(vec![1.0, 3.0, 1e9].into()), Some(validity)).unwrap();
        let table = Table::new(vec![column, Column::text("city", ["a", "b", "c"]).unwrap()]).unwrap();
        let matrix = Scaler::fit(&table).unwrap().matrix(&table).unwrap();
        assert_eq!((matrix.columns(), &matrix.values()[..2]), (1, &[-1.0, 1.0][..]));
        assert!(matrix.values()[2].is_nan());
    }

    #[test]
    fn huge_tiny_and_constant_columns_have_a_unit() {
        let huge = Unit::of(&[1e300, -1e300]).unwrap();
        assert_eq!((huge.mean, huge.deviation), (0.0, 1e300));
        let tiny = Unit::of(&[1e-200, 3e-200]).unwrap();
        assert!((tiny.deviation / 1e-200 - 1.0).abs() < 1e-12);
        assert_eq!(Unit::of(&[0.1; 7]), Ok(Unit { mean: 0.1, deviation: 1.0 }));
        assert!(matches!(Unit::of(&[f64::MAX, -f64::MAX, -f64::MAX]), Err(StatsError::Overflow { .. })));
        assert!(matches!(Unit::of(&[1.0, f64::INFINITY]), Err(StatsError::NotFinite { .. })));
    }

    #[test]
    fn columns_without_numbers_are_refused() {
        let empty = Table::new(vec![Column::f64("x", vec![f64::NAN; 3]).unwrap()]).unwrap();
        assert!(Scaler::fit(&empty).is_err());
        let text = Table::new(vec![Column::text("x", ["a"]).unwrap()]).unwrap();
        assert!(Scaler::fit(&text).is_err());
        let fitted = Scaler::fit(&Table::new(vec![Column::f64("x", vec![1.0]).unwrap()]).unwrap()).unwrap();
        assert!(fitted.matrix(&text).is_err() && fitted.matrix(&Table::default()).is_err());
    }
}
