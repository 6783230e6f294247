//! Parts of the data that somebody named.

use std::ops::Bound;
use std::ops::RangeBounds;

use mlops_core::num::StatsError;

/// A named part of the data: one mark per row.
///
/// ```
/// use mlops_eval::slice::Slice;
///
/// let old = Slice::range("over 60", &[70.0, 30.0, f64::NAN], 60.0..);
/// assert_eq!(old.mask(), [true, false, false]);
/// assert_eq!(old.rows(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    name: String,
    mask: Vec<bool>,
}

impl Slice {
    /// A slice from marks: `true` is inside.
    pub fn new(name: impl Into<String>, mask: Vec<bool>) -> Self {
        Self { name: name.into(), mask }
    }

    /// The rows whose value lies in a range. NaN lies in none; [`missing`](Self::missing) is its slice.
    ///
    /// ```
    /// use mlops_eval::slice::Slice;
    /// assert_eq!(Slice::range("forties", &[39.0, 40.0, 50.0], 40.0..50.0).mask(), [false, true, false]);
    /// ```
    pub fn range(name: impl Into<String>, values: &[f64], range: impl RangeBounds<f64>) -> Self {
        // Compared one by one: a bound that is NaN contains nothing.
        let above = |x: f64| match range.start_bound() {
            Bound::Included(low) => x >= *low,
            Bound::Excluded(low) => x > *low,
            Bound::Unbounded => !x.is_nan(),
        };
        let below = |x: f64| match range.end_bound() {
            Bound::Included(high) => x <= *high,
            Bound::Excluded(high) => x < *high,
            Bound::Unbounded => !x.is_nan(),
        };
        Self::new(name, values.iter().map(|&x| above(x) && below(x)).collect())
    }

    /// The rows whose value is NaN.
    ///
    /// ```
    /// use mlops_eval::slice::Slice;
    /// assert_eq!(Slice::missing("age unknown", &[39.0, f64::NAN]).mask(), [false, true]);
    /// ```
    pub fn missing(name: impl Into<String>, values: &[f64]) -> Self {
        Self::new(name, values.iter().map(|x| x.is_nan()).collect())
    }

    /// The rows that have this code.
    ///
    /// ```
    /// use mlops_eval::slice::Slice;
    /// assert_eq!(Slice::category("mobile", &[0, 1, 1], 1).mask(), [false, true, true]);
    /// ```
    pub fn category(name: impl Into<String>, codes: &[u32], code: u32) -> Self {
        Self::new(name, codes.iter().map(|&c| c == code).collect())
    }

    /// Slices that cover every row: below the first edge, between neighbours (lower edge included), from the last
    /// edge on, and the missing values if there are any.
    ///
    /// ```
    /// use mlops_eval::slice::Slice;
    ///
    /// let slices = Slice::bins("age", &[17.0, 18.0, 70.0, f64::NAN], &[18.0, 65.0])?;
    /// let names: Vec<_> = slices.iter().map(Slice::name).collect();
    /// assert_eq!(names, ["age < 18", "18 <= age < 65", "age >= 65", "age missing"]);
    /// assert!(slices.iter().all(|slice| slice.rows() == 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Empty`] without edges, [`StatsError::Nan`], [`StatsError::NotFinite`], or
    /// [`StatsError::Unsorted`] for edges that do not rise.
    pub fn bins(feature: &str, values: &[f64], edges: &[f64]) -> Result<Vec<Self>, StatsError> {
        crate::input::not_empty(crate::input::named("edges", edges))?;
        crate::input::finite("edges", edges)?;
        if let Some(before) = edges.windows(2).position(|pair| pair[0] >= pair[1]) {
            return Err(StatsError::Unsorted { argument: "edges", index: before + 1 });
        }
        let (first, last) = (edges[0], edges[edges.len() - 1]);
        let mut slices = vec![Self::range(format!("{feature} < {first}"), values, ..first)];
        for pair in edges.windows(2) {
            let name = format!("{} <= {feature} < {}", pair[0], pair[1]);
            slices.push(Self::range(name, values, pair[0]..pair[1]));
        }
        slices.push(Self::range(format!("{feature} >= {last}"), values, last..));
        let missing = Self::missing(format!("{feature} missing"), values);
        if missing.rows() > 0 {
            slices.push(missing);
        }
        Ok(slices)
    }

    /// One slice for each category, named `feature = category`. Codes without a category are an error, so every row
    /// has a slice.
    ///
    /// ```
    /// use mlops_eval::slice::Slice;
    ///
    /// let slices = Slice::categories("device", &[1, 0, 1], &["desktop", "mobile"])?;
    /// assert_eq!(slices[1].name(), "device = mobile");
    /// assert_eq!(slices[1].rows(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::UnknownCode`].
    pub fn categories<S: AsRef<str>>(
        feature: &str,
        codes: &[u32],
        categories: &[S],
    ) -> Result<Vec<Self>, StatsError> {
        let known = categories.len() as u64;
        if let Some(index) = codes.iter().position(|&code| u64::from(code) >= known) {
            let code = u64::from(codes[index]);
            return Err(StatsError::UnknownCode { argument: "codes", index, code, known });
        }
        let slice = |(code, category): (u32, &S)| {
            Self::category(format!("{feature} = {}", category.as_ref()), codes, code)
        };
        Ok((0_u32..).zip(categories).map(slice).collect())
    }

    /// The rows that lie in both.
    ///
    /// ```
    /// use mlops_eval::slice::Slice;
    ///
    /// let old = Slice::new("old", vec![true, true, false]);
    /// let mobile = Slice::new("mobile", vec![true, false, true]);
    /// let both = old.and(&mobile)?;
    /// assert_eq!((both.name(), both.rows()), ("old & mobile", 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`].
    pub fn and(&self, other: &Self) -> Result<Self, StatsError> {
        self.combine("&", other, |a, b| a && b)
    }

    /// The rows that lie in one of the two, or in both.
    ///
    /// ```
    /// use mlops_eval::slice::Slice;
    ///
    /// let either = Slice::new("a", vec![true, false]).or(&Slice::new("b", vec![false, false]))?;
    /// assert_eq!(either.mask(), [true, false]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`].
    pub fn or(&self, other: &Self) -> Result<Self, StatsError> {
        self.combine("|", other, |a, b| a || b)
    }

    /// The rows outside.
    ///
    /// ```
    /// use mlops_eval::slice::Slice;
    /// assert_eq!(Slice::new("a", vec![true, false]).negated().mask(), [false, true]);
    /// ```
    #[must_use]
    pub fn negated(&self) -> Self {
        Self::new(format!("not ({})", self.name), self.mask.iter().map(|inside| !inside).collect())
    }

    /// The same rows under another name.
    ///
    /// ```
    /// use mlops_eval::slice::Slice;
    /// assert_eq!(Slice::new("a & b", vec![true]).named("young on mobile").name(), "young on mobile");
    /// ```
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A mark for each row: `true` is inside.
    pub fn mask(&self) -> &[bool] {
        &self.mask
    }

    /// The number of rows inside.
    pub fn rows(&self) -> usize {
        self.mask.iter().filter(|inside| **inside).count()
    }

    fn combine(&self, sign: &str, other: &Self, f: impl Fn(bool, bool) -> bool) -> Result<Self, StatsError> {
        let (left_len, right_len) = (self.mask.len(), other.mask.len());
        if left_len != right_len {
            return Err(StatsError::LengthMismatch {
                left: "self.mask",
                left_len,
                right: "other.mask",
                right_len,
            });
        }
        let mask = self.mask.iter().zip(&other.mask).map(|(&a, &b)| f(a, b)).collect();
        Ok(Self::new(format!("{} {sign} {}", self.name, other.name), mask))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_put_every_row_into_exactly_one_slice() {
        let values = [f64::NEG_INFINITY, -1.0, 0.0, -0.0, 0.5, 1.0, 7.0, f64::INFINITY, f64::NAN];
        let slices = Slice::bins("x", &values, &[0.0, 1.0]).unwrap();
        for (row, value) in values.iter().enumerate() {
            assert_eq!(slices.iter().filter(|slice| slice.mask()[row]).count(), 1, "{value}");
        }
    }

    #[test]
    fn bad_edges_and_masks_are_named() {
        assert_eq!(Slice::bins("x", &[], &[]), Err(StatsError::Empty { argument: "edges" }));
        let falling = Slice::bins("x", &[], &[1.0, 2.0, 2.0]);
        assert_eq!(falling, Err(StatsError::Unsorted { argument: "edges", index: 2 }));
        assert!(Slice::bins("x", &[], &[f64::NAN]).is_err());
        assert!(Slice::new("a", vec![true]).and(&Slice::new("b", vec![])).is_err());
        assert!(Slice::categories("x", &[0, 2], &["a", "b"]).is_err());
    }
}
