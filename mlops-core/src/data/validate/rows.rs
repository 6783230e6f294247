//! Rows of one batch, good and bad.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::data::column::Runs;
use crate::data::{Column, Table};
use crate::error::{Error, Result};

/// Which rows of a batch are good and which are bad, and why.
///
/// Rows are numbered from 0 within the batch; [`RowSplit::first_row`] is what to add for their number in the whole.
///
/// ```
/// use mlops_core::data::{Column, Expectation, Expectations, Table, ValidateOptions, Validator};
///
/// let table = Table::new(vec![Column::f64("age", vec![61.0, f64::NAN, 48.0])?])?;
/// let expected = Expectations::new(vec![Expectation::finite("age")])?;
/// let split = Validator::new(&expected, ValidateOptions::default()).push(&table)?;
/// assert_eq!((split.good(), split.bad()), (&[0, 2][..], &[1][..]));
/// let set_aside = split.bad_table(&table, "why")?;
/// assert_eq!(set_aside.column("why")?.label(0).as_deref(), Some("finite(age)"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowSplit {
    pub(super) first_row: u64,
    pub(super) good: Runs,
    pub(super) bad: Vec<usize>,
    /// For each bad row, its place in `combinations`.
    pub(super) reasons: Vec<usize>,
    pub(super) combinations: Vec<Vec<usize>>,
    /// What could not be read, by row.
    pub(super) details: BTreeMap<usize, String>,
    pub(super) names: Vec<String>,
}

impl RowSplit {
    /// The number, in the whole, of this batch's first row.
    pub fn first_row(&self) -> u64 {
        self.first_row
    }

    /// The rows that break no rule about rows of severity error or worse, in order. Listed at the first call.
    pub fn good(&self) -> &[usize] {
        self.good.as_slice()
    }

    /// The other rows, in order.
    pub fn bad(&self) -> &[usize] {
        &self.bad
    }

    /// The numbers of the expectations that the bad row in this place of [`RowSplit::bad`] breaks, warnings included; empty beyond
    /// the end.
    pub fn reasons(&self, bad: usize) -> &[usize] {
        let combination = self.reasons.get(bad).and_then(|at| self.combinations.get(*at));
        combination.map_or(&[], Vec::as_slice)
    }

    /// The good rows of the batch.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for another table with fewer rows.
    pub fn good_table(&self, batch: &Table<'_>) -> Result<Table<'static>> {
        batch.take_rows(&self.good)
    }

    /// The bad rows of the batch, with one more column of text that names the broken expectations of each, and what of it could
    /// not be read.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for another table with fewer rows, and for a column name that is taken.
    pub fn bad_table(&self, batch: &Table<'_>, reasons: &str) -> Result<Table<'static>> {
        if batch.get(reasons).is_some() {
            let message = "is the name of a column already";
            return Err(Error::invalid("RowSplit::bad_table", "reasons", message).with("column", reasons));
        }
        let name = |rule: &usize| self.names.get(*rule).map_or("", String::as_str);
        let texts: Vec<String> = (self.combinations.iter())
            .map(|rules| rules.iter().map(name).collect::<Vec<_>>().join("; "))
            .collect();
        let text = |(at, row): (&usize, &usize)| {
            let rules = texts.get(*at).map_or("", String::as_str);
            match self.details.get(row) {
                None => Cow::Borrowed(rules),
                Some(detail) => format!("{rules} ({detail})").into(),
            }
        };
        let why = Column::text(reasons.to_owned(), self.reasons.iter().zip(&self.bad).map(text))?;
        batch.take(&self.bad)?.with_column(why)
    }

    /// The good and the bad rows of a batch that is not needed any more: [`RowSplit::good_table`] and [`RowSplit::bad_table`] in
    /// one. The good rows stay in the memory of the batch, which costs a fraction of what new memory does; what the batch
    /// only borrows is copied.
    ///
    /// ```
    /// use mlops_core::data::{Column, Expectation, Expectations, Table, ValidateOptions, Validator};
    ///
    /// let table = Table::new(vec![Column::f64("age", vec![61.0, f64::NAN, 48.0])?])?;
    /// let expected = Expectations::new(vec![Expectation::finite("age")])?;
    /// let split = Validator::new(&expected, ValidateOptions::default()).push(&table)?;
    /// let (good, bad) = split.apart(table, "why")?;
    /// assert_eq!(*good.column("age")?.to_f64()?, [61.0, 48.0]);
    /// assert_eq!(bad.column("why")?.label(0).as_deref(), Some("finite(age)"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`RowSplit::bad_table`].
    pub fn apart(&self, batch: Table<'_>, reasons: &str) -> Result<(Table<'static>, Table<'static>)> {
        let bad = self.bad_table(&batch, reasons)?;
        Ok((batch.keep_rows(&self.good)?, bad))
    }
}
