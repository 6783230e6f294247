//! Rows of numbers: what the joint statistics take.

use std::borrow::Cow;

use mlops_core::num::{NanPolicy, StatsError};

use crate::sample::{Side, Value};

/// A floating-point [`Value`] that matrices are made of: `f32` or `f64`. Sealed, as `Value` is.
pub trait Real: Value {}

impl Real for f32 {}
impl Real for f64 {}

/// Numbers in rows of equal length, one row after the other; borrowed where they are in one piece already, such as embeddings.
///
/// ```
/// use mlops_drift::multivariate::Matrix;
///
/// let embeddings = [0.1_f32, 0.2, 0.3, 0.4, 0.5, 0.6];
/// let matrix = Matrix::new(&embeddings, 3)?;
/// assert_eq!((matrix.rows(), matrix.columns()), (2, 3));
/// assert_eq!(matrix.row(1), Some(&[0.4_f32, 0.5, 0.6][..]));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix<'a, T: Clone> {
    values: Cow<'a, [T]>,
    columns: usize,
}

impl<'a, T: Real> Matrix<'a, T> {
    /// A matrix of rows of `columns` values each. Values are not looked at: a NaN is for the statistic's policy to judge.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for no columns; [`StatsError::LengthMismatch`] when the last row is not whole.
    ///
    /// ```
    /// use mlops_drift::multivariate::Matrix;
    /// assert!(Matrix::new(&[1.0, 2.0, 3.0], 2).is_err());
    /// ```
    pub fn new<V: IntoValues<'a, T>>(values: V, columns: usize) -> Result<Self, StatsError> {
        let values = values.into_values();
        if columns == 0 {
            return Err(StatsError::Parameter {
                parameter: "columns",
                value: 0.0,
                reason: "must be at least 1",
            });
        }
        let whole = values.len() / columns * columns;
        if whole != values.len() {
            return Err(StatsError::LengthMismatch {
                left: "values",
                left_len: values.len(),
                right: "rows × columns",
                right_len: whole,
            });
        }
        Ok(Self { values, columns })
    }

    /// How many rows there are.
    ///
    /// ```
    /// # use mlops_drift::multivariate::Matrix;
    /// assert_eq!(Matrix::new(&[1.0, 2.0], 1)?.rows(), 2);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn rows(&self) -> usize {
        self.values.len() / self.columns
    }

    /// How many columns there are, at least one.
    ///
    /// ```
    /// # use mlops_drift::multivariate::Matrix;
    /// assert_eq!(Matrix::new(&[1.0, 2.0], 2)?.columns(), 2);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// All values, row after row.
    ///
    /// ```
    /// # use mlops_drift::multivariate::Matrix;
    /// assert_eq!(Matrix::new(&[1.0, 2.0], 2)?.values(), [1.0, 2.0]);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// One row; `None` beyond the end.
    ///
    /// ```
    /// # use mlops_drift::multivariate::Matrix;
    /// assert_eq!(Matrix::new(&[1.0, 2.0], 2)?.row(1), None);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn row(&self, index: usize) -> Option<&[T]> {
        let start = index.checked_mul(self.columns)?;
        self.values.get(start..start.checked_add(self.columns)?)
    }

    /// The rows in order.
    ///
    /// ```
    /// # use mlops_drift::multivariate::Matrix;
    /// assert_eq!(Matrix::new(&[1.0, 2.0, 3.0, 4.0], 2)?.iter().count(), 2);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn iter(&self) -> std::slice::ChunksExact<'_, T> {
        self.values.chunks_exact(self.columns)
    }

    /// A copy of the rows at `rows`, as doubles. Indices beyond the end are left out.
    pub(crate) fn doubles(&self, rows: impl IntoIterator<Item = usize>) -> Matrix<'static, f64> {
        let picked = rows.into_iter().filter_map(|row| self.row(row));
        let values: Vec<f64> = picked.flatten().map(|value| value.to_f64()).collect();
        Matrix { values: Cow::Owned(values), columns: self.columns }
    }

    /// The rows a statistic of distances works on: without NaN, all finite.
    ///
    /// Borrows when nothing has to be left out. Under [`NanPolicy::Propagate`] rows with a NaN are left out too, and the
    /// caller reports no p-value. The index in an error is that of the value in [`Self::values`].
    ///
    /// # Errors
    /// [`StatsError::Empty`]; [`StatsError::Nan`] under [`NanPolicy::Raise`]; [`StatsError::NotFinite`];
    /// [`StatsError::AllMissing`] when no row is left.
    pub(crate) fn complete(
        &self,
        argument: &'static str,
        nan: NanPolicy,
    ) -> Result<Complete<'_, T>, StatsError> {
        if self.values.is_empty() {
            return Err(StatsError::Empty { argument });
        }
        if let Some(index) = self.values.iter().position(|value| !value.is_finite() && !value.is_nan()) {
            return Err(StatsError::NotFinite { argument, index, value: self.values[index].to_f64() });
        }
        let first = self.values.iter().position(|value| value.is_nan());
        let rows = self.rows() as u64;
        let Some(index) = first else {
            let matrix = Matrix { values: Cow::Borrowed(&*self.values), columns: self.columns };
            let side = Side { rows, used: rows, ..Side::default() };
            return Ok(Complete { matrix, side, undefined: false });
        };
        if nan == NanPolicy::Raise {
            return Err(StatsError::Nan { argument, index });
        }
        let whole = self.iter().filter(|row| !row.iter().any(|value| value.is_nan()));
        let values: Vec<T> = whole.flatten().copied().collect();
        if values.is_empty() {
            return Err(StatsError::AllMissing { argument });
        }
        let matrix = Matrix { values: Cow::Owned(values), columns: self.columns };
        let used = matrix.rows() as u64;
        Ok(Complete {
            side: Side { rows, used, missing: rows - used, ..Side::default() },
            matrix,
            undefined: nan == NanPolicy::Propagate,
        })
    }
}

/// Rows without NaN, and what became of the others.
#[derive(Debug)]
pub(crate) struct Complete<'a, T: Clone> {
    pub(crate) matrix: Matrix<'a, T>,
    pub(crate) side: Side,
    /// Whether a NaN makes the answer undefined.
    pub(crate) undefined: bool,
}

/// What a [`Matrix`] can be made of: a slice, an array or a vector by reference, or a vector that it keeps.
pub trait IntoValues<'a, T: Clone> {
    /// The values, row after row.
    fn into_values(self) -> Cow<'a, [T]>;
}

impl<'a, T: Real> IntoValues<'a, T> for &'a [T] {
    fn into_values(self) -> Cow<'a, [T]> {
        Cow::Borrowed(self)
    }
}

impl<'a, T: Real, const N: usize> IntoValues<'a, T> for &'a [T; N] {
    fn into_values(self) -> Cow<'a, [T]> {
        Cow::Borrowed(self)
    }
}

impl<'a, T: Real> IntoValues<'a, T> for &'a Vec<T> {
    fn into_values(self) -> Cow<'a, [T]> {
        Cow::Borrowed(self)
    }
}

impl<'a, T: Real> IntoValues<'a, T> for Vec<T> {
    fn into_values(self) -> Cow<'a, [T]> {
        Cow::Owned(self)
    }
}

/// Refuses sides of different width.
pub(crate) fn same_columns<T: Real, U: Real>(
    reference: &Matrix<'_, T>,
    current: &Matrix<'_, U>,
) -> Result<usize, StatsError> {
    if reference.columns != current.columns {
        return Err(StatsError::LengthMismatch {
            left: "a row of reference",
            left_len: reference.columns,
            right: "a row of current",
            right_len: current.columns,
        });
    }
    Ok(reference.columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_a_nan_are_judged_by_the_policy() {
        let matrix = Matrix::new(vec![1.0, 2.0, f64::NAN, 4.0, 5.0, 6.0], 2).unwrap();
        assert_eq!(
            matrix.complete("current", NanPolicy::Raise).map(|_| ()),
            Err(StatsError::Nan { argument: "current", index: 2 })
        );
        let complete = matrix.complete("current", NanPolicy::Omit).unwrap();
        assert_eq!(complete.matrix.values(), [1.0, 2.0, 5.0, 6.0]);
        assert_eq!(complete.side, Side { rows: 3, used: 2, missing: 1, infinite: 0, unseen: 0 });
    }

    #[test]
    fn what_cannot_be_a_matrix_is_refused_by_name() {
        assert!(matches!(
            Matrix::new(&[1.0_f32, 2.0], 0),
            Err(StatsError::Parameter { parameter: "columns", .. })
        ));
        let ragged = Matrix::new(&[1.0, 2.0, 3.0], 2);
        assert!(matches!(ragged, Err(StatsError::LengthMismatch { left_len: 3, right_len: 2, .. })));
        let infinite = Matrix::new(&[1.0, f64::INFINITY], 1).unwrap();
        assert!(matches!(
            infinite.complete("reference", NanPolicy::Omit),
            Err(StatsError::NotFinite { argument: "reference", index: 1, .. })
        ));
        let empty = Matrix::<f64>::new(vec![], 3).unwrap();
        assert!(matches!(empty.complete("reference", NanPolicy::Omit), Err(StatsError::Empty { .. })));
        let missing = Matrix::new(&[f64::NAN], 1).unwrap();
        assert!(matches!(missing.complete("reference", NanPolicy::Omit), Err(StatsError::AllMissing { .. })));
    }
}
