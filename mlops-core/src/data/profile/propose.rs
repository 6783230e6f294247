//! A schema from what was seen.

use crate::data::{DataType, Expectation, Field, Range, Schema};
use crate::error::Result;

use super::summary::{ColumnProfile, Profile};

/// The most levels that are proposed.
const MAX_LEVELS: u64 = 20;

/// How many values a level must have on average before the levels are proposed.
const VALUES_PER_LEVEL: u64 = 20;

/// How many values must have been different before it is proposed that all are.
const MIN_UNIQUE: u64 = 100;

impl Profile {
    /// The schema that the data suggests, for a person to review.
    ///
    /// What is sure becomes part of the fields: names, types, order, and whether a value was missing. What was merely seen becomes
    /// a *rule of severity warning*, so that nothing is refused before somebody has looked at it:
    ///
    /// | rule | is proposed where |
    /// |---|---|
    /// | `present`, with twice the share that was missing | a value was missing |
    /// | `within`, the range seen and half of its width on either side, and not below zero where nothing was | numbers, at least two different ones |
    /// | `finite` | floats, none of which was NaN or infinite |
    /// | `one_of`, the values seen | texts of at most 20 sorts, 20 values a sort on average |
    /// | `unique` | integers and texts, all different, at least 100, all counted |
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a profile without columns.
    ///
    /// ```
    /// use mlops_core::data::{Profile, parse_csv};
    ///
    /// let table = parse_csv(b"age\n20\n60\n", &Default::default())?;
    /// let schema = Profile::of(&table)?.propose()?;
    /// assert_eq!(schema.rules()[0].name(), "within(age)");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn propose(&self) -> Result<Schema> {
        let field = |c: &ColumnProfile| Field::new(&c.name, c.data_type).with_nullable(c.missing > 0);
        let mut rules = Vec::new();
        for column in &self.columns {
            rules.extend(proposed(column, self.rows).into_iter().map(Expectation::warning));
        }
        Schema::new(self.columns.iter().map(field).collect())?.with_rules(rules)
    }
}

fn proposed(column: &ColumnProfile, rows: u64) -> Vec<Expectation> {
    let name = column.name.as_str();
    let mut out = Vec::new();
    if column.missing > 0 && column.count > 0 {
        let share = (2.0 * column.missing as f64 / rows.max(1) as f64).min(1.0);
        out.push(Expectation::mostly_present(name, share));
    }
    if let Some(numeric) = &column.numeric {
        out.extend(range(numeric.min, numeric.max).map(|range| Expectation::within(name, range)));
        let floats = column.data_type != DataType::I64;
        let strange = numeric.nan + numeric.positive_infinite + numeric.negative_infinite;
        out.extend((floats && strange == 0 && column.count > 0).then(|| Expectation::finite(name)));
    }
    let distinct = column.distinct;
    let few = distinct.count <= MAX_LEVELS && distinct.count as usize == column.top.len();
    if column.data_type == DataType::Category
        && few
        && distinct.exact
        && distinct.count > 0
        && column.count >= distinct.count * VALUES_PER_LEVEL
    {
        out.push(Expectation::one_of(name, column.top.iter().map(|top| top.value.as_str())));
    }
    let key = matches!(column.data_type, DataType::I64 | DataType::Category);
    if key && distinct.exact && distinct.count == column.count && distinct.count >= MIN_UNIQUE {
        out.push(Expectation::unique([name]));
    }
    out
}

fn range(min: Option<f64>, max: Option<f64>) -> Option<Range> {
    let (min, max) = (min?, max?);
    let margin = (max / 2.0 - min / 2.0).abs();
    if margin == 0.0 {
        return None;
    }
    let low = if min >= 0.0 { (min - margin).max(0.0) } else { min - margin };
    let high = if max <= 0.0 { (max + margin).min(0.0) } else { max + margin };
    Range::new(Some(low), Some(high)).ok()
}
