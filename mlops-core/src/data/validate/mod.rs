//! Expectations about a table, checked together: every failure is found, named and counted, not only the first.
//!
//! An expectation that cannot be checked does not pass: a column that is not there, a range on text. Only a malformed expectation
//! (a range upside down, a share above 1) is an error, and it is one before any row is read.
//!
//! # How
//! The rules that columns alone decide come first. Then the rows are looked at once, in blocks of 4096: every rule marks the rows
//! of a block that break it, so that a row is known with *all* its reasons, and good and bad rows come apart
//! ([`RowSplit`]). Each rule keeps counts and the first offending values; a [`Validator`] takes a table in batches,
//! is merged with others and can be written and resumed.
//!
//! Rows in [`Sample::row`] count from 0, as everywhere in code; messages are for people and count data rows from 1.

mod aggregate;
mod checks;
mod expectation;
mod expectations;
mod judge;
mod keys;
mod options;
mod pattern;
mod reference;
mod report;
mod rows;
mod rule;
mod state;
mod statistic;
#[cfg(test)]
mod tests;
mod validator;
mod wire;

pub(in crate::data) use expectation::holds_in;
pub use expectation::{Expectation, Severity, Threshold};
pub use expectations::Expectations;
pub(in crate::data) use keys::{KeySet, KeyWords, Seed};
pub use options::ValidateOptions;
pub use report::{Combination, RuleResult, RuleVerdict, Sample, ValidationReport};
pub use rows::RowSplit;
pub use rule::{Comparison, Rule};
pub use state::ValidatorState;
pub use statistic::Statistic;
pub use validator::Validator;
pub(in crate::data) use wire::Wire;

use super::schema::{ExtraColumns, Field, Schema};
use super::{Column, DataType, Values};
use crate::error::Result;

/// Whether `failed` of `evaluated` is at most a share, with a slack of four units in the last place: one of ten is at most
/// 0.1 also where 0.1 came out of a subtraction.
fn inside(failed: u64, evaluated: u64, share: f64) -> bool {
    failed as f64 <= share * evaluated as f64 * (1.0 + 4.0 * f64::EPSILON)
}

/// A column without rows.
fn empty_column(name: &str, data_type: DataType) -> Result<Column<'_>> {
    let values = match data_type {
        DataType::F64 => Values::F64(Vec::new().into()),
        DataType::F32 => Values::F32(Vec::new().into()),
        DataType::I64 => Values::I64(Vec::new().into()),
        DataType::Bool => Values::Bool(Vec::new().into()),
        DataType::Category => Values::Category { codes: Vec::new().into(), levels: Vec::new().into() },
        DataType::Time => Values::Time(Vec::new().into()),
    };
    Column::new(name, values, None)
}

/// What a schema says where `there` holds for fields and `holds` for rules.
fn of_schema(
    schema: &Schema,
    there: impl Fn(&[String], &[String]) -> bool,
    holds: impl Fn(&Expectation) -> bool,
) -> Vec<Expectation> {
    let fields: Vec<&Field> = schema.fields().iter().filter(|f| there(&f.only_in, &f.not_in)).collect();
    let mut all: Vec<Expectation> = fields.iter().flat_map(|field| of_field(field)).collect();
    let names = || fields.iter().map(|field| field.name.as_str());
    if schema.is_ordered() {
        all.push(Expectation::column_order(names()));
    }
    all.extend(schema.rules().iter().filter(|rule| holds(rule)).cloned());
    // A schema has fields, so there is a column to be among; in an environment without any, every column is surplus.
    match schema.extra_columns() {
        ExtraColumns::Allow => {}
        ExtraColumns::Warn => all.push(Expectation::no_other_columns(names()).warning()),
        ExtraColumns::Refuse => all.push(Expectation::no_other_columns(names())),
    }
    all
}

fn of_field(field: &Field) -> Vec<Expectation> {
    let name = &field.name;
    let mut all = vec![Expectation::data_type(name, field.data_type)];
    if !field.nullable {
        all.push(Expectation::present(name));
    }
    all.extend(field.range.map(|range| Expectation::within(name, range)));
    all.extend(field.levels.as_ref().map(|levels| Expectation::one_of(name, levels)));
    all.extend(field.pattern.as_ref().map(|pattern| Expectation::matches(name, pattern)));
    all.extend(field.length.map(|length| Expectation::length(name, length.min(), length.max())));
    all.extend(field.finite.then(|| Expectation::finite(name)));
    all.extend(field.unique.then(|| Expectation::unique([name])));
    all.into_iter().map(|e| e.with_if_present(field.optional)).collect()
}
