//! The verdict on one rule, and the sentence for it.

use crate::data::Range;
use crate::error::quote;

use super::aggregate::Observed;
use super::checks::list;
use super::expectation::Expectation;
use super::inside;
use super::report::{RuleResult, RuleVerdict};
use super::rule::Rule;
use super::state::{Shape, Tally};
use super::statistic::Statistic;
use super::validator::Validator;

/// A verdict and its sentence.
type Finding = (RuleVerdict, String);

fn fail(message: String) -> Finding {
    (RuleVerdict::Fail, message)
}

fn pass() -> Finding {
    (RuleVerdict::Pass, String::new())
}

impl Validator {
    /// What has become of the expectation with this number.
    pub(super) fn result(&self, at: usize) -> Option<RuleResult> {
        let (expectation, tally) = (self.expectations.get(at)?, self.state.tallies.get(at)?);
        let (verdict, message) = self.finding(expectation, tally);
        let exceeded = expectation.exceeded(tally.failed, tally.evaluated);
        let severity = exceeded.filter(|_| verdict == RuleVerdict::Fail).unwrap_or(expectation.severity);
        let mut samples = tally.samples.clone();
        samples.truncate(self.options.sample_limit());
        Some(RuleResult {
            id: self.names.get(at)?.clone(),
            rule: expectation.rule.name().to_owned(),
            columns: expectation.rule.columns().to_vec(),
            severity,
            verdict,
            evaluated: tally.evaluated,
            failed: tally.failed,
            samples,
            observed: self.observed(&expectation.rule, tally),
            message,
        })
    }

    /// The statistic that a rule is about, where it may be shown.
    fn observed(&self, rule: &Rule, tally: &Tally) -> Option<f64> {
        let Rule::Aggregate { statistic, .. } = rule else { return None };
        let shown = self.options.values || !statistic.is_value();
        tally.aggregate.as_ref().filter(|_| shown)?.observed(*statistic).number()
    }

    fn finding(&self, expectation: &Expectation, tally: &Tally) -> Finding {
        match &tally.shape {
            Some(Shape::Fail(message)) => return fail(message.clone()),
            Some(Shape::Unknown(message)) => return (RuleVerdict::Unknown, message.clone()),
            Some(Shape::Skipped) => return (RuleVerdict::Skipped, String::new()),
            None if self.state.columns.is_none() => {
                return (RuleVerdict::Unknown, "no data was seen".to_owned());
            }
            None => {}
        }
        match &expectation.rule {
            Rule::Rows { min, max } => self.row_count(*min, *max),
            Rule::RowsRatio { table, range } => {
                let others = self.references.get(table).map_or(0, |reference| reference.rows);
                let ratio = self.state.rows as f64 / others as f64;
                let table = quote(table);
                match others {
                    0 => (RuleVerdict::Unknown, format!("the table `{table}` has no rows to divide by")),
                    _ if range.contains(ratio) => pass(),
                    _ => fail(format!(
                        "the table has {} rows, {ratio} times the {others} of `{table}`; expected {range}",
                        self.state.rows
                    )),
                }
            }
            Rule::NotConstant { column } => {
                let column = quote(column);
                match &tally.only {
                    _ if tally.varied => pass(),
                    None => fail(format!("column `{column}`: has no value")),
                    Some(only) if self.options.values => {
                        fail(format!("column `{column}`: every value is {}", only.shown))
                    }
                    Some(_) => fail(format!("column `{column}`: every value is the same")),
                }
            }
            Rule::Aggregate { column, statistic, range } => self.statistic(column, *statistic, *range, tally),
            Rule::Fresh { column, max_age } => self.freshness(column, *max_age, tally),
            Rule::Present { column, max_missing, min_count } => {
                presence(expectation, column, *max_missing, *min_count, tally)
            }
            rule => about_rows(expectation, rule, tally),
        }
    }

    fn row_count(&self, min: usize, max: Option<usize>) -> Finding {
        let rows = self.state.rows;
        if rows >= min as u64 && max.is_none_or(|max| rows <= max as u64) {
            return pass();
        }
        let expected = max.map_or_else(|| format!("at least {min}"), |max| format!("{min} to {max}"));
        fail(format!("the table has {rows} rows, expected {expected}"))
    }

    fn statistic(&self, column: &str, statistic: Statistic, range: Range, tally: &Tally) -> Finding {
        let column = quote(column);
        let observed = match &tally.aggregate {
            Some(aggregate) => aggregate.observed(statistic),
            None => Observed::Few("has no value"),
        };
        let shown = self.options.values || !statistic.is_value();
        let (verdict, is) = match observed.lies_in(range) {
            Some(true) => return pass(),
            Some(false) => (RuleVerdict::Fail, "is"),
            None => (RuleVerdict::Unknown, "may be"),
        };
        let what = match observed {
            Observed::Few(what) => return (verdict, format!("column `{column}`: {what}")),
            Observed::Nan(1) => format!("the {statistic} is not known: 1 value is NaN"),
            Observed::Nan(count) => format!("the {statistic} is not known: {count} values are NaN"),
            _ if !shown => format!("the {statistic} {is} elsewhere"),
            Observed::Whole(whole) => format!("the {statistic} is {whole}"),
            Observed::Real(real) => format!("the {statistic} is {real}"),
            Observed::Between { low, estimate, high } => {
                format!("the {statistic} is about {estimate}, between {low} and {high}")
            }
            Observed::MoreThan(count) => format!("the {statistic} {is} more than {count}"),
        };
        (verdict, format!("column `{column}`: {what}, expected {range}"))
    }

    fn freshness(&self, column: &str, max_age: std::time::Duration, tally: &Tally) -> Finding {
        let column = quote(column);
        let Some(newest) = tally.newest else {
            return (RuleVerdict::Unknown, format!("column `{column}`: has no value"));
        };
        let now = self.options.now.map_or(i64::MAX, |now| now.timestamp_micros());
        let age = i128::from(now) - i128::from(newest);
        let shown = |micros: i128| {
            let seconds = u64::try_from(micros / 1_000_000).unwrap_or(0);
            crate::time::duration_text::format(std::time::Duration::from_secs(seconds))
        };
        let most = i128::try_from(max_age.as_micros()).unwrap_or(i128::MAX);
        if age < 0 {
            fail(format!("column `{column}`: the newest value lies {} in the future", shown(-age)))
        } else if age > most {
            let allowed = crate::time::duration_text::format(max_age);
            fail(format!(
                "column `{column}`: the newest value is {} old, at most {allowed} is allowed",
                shown(age)
            ))
        } else {
            pass()
        }
    }
}

fn presence(e: &Expectation, column: &str, max_missing: f64, min_count: u64, tally: &Tally) -> Finding {
    let (rows, missing) = (tally.evaluated, tally.failed);
    let there = rows - missing.min(rows);
    if there < min_count {
        let column = quote(column);
        return fail(format!("column `{column}`: has {there} values, at least {min_count} are needed"));
    }
    let within_share = max_missing > 0.0 && inside(missing, rows, max_missing);
    if missing == 0 || within_share || e.exceeded(missing, rows).is_none() {
        return pass();
    }
    let allowed =
        if max_missing == 0.0 { String::new() } else { format!(", at most {max_missing} of them may be") };
    let verb = if missing == 1 { "is" } else { "are" };
    let first = tally.samples.first().map_or(0, |sample| sample.row) + 1;
    fail(format!(
        "column `{}`: {missing} of {rows} values {verb} missing{allowed}{}; first in row {first}",
        quote(column),
        tolerated(e)
    ))
}

/// How much is tolerated, for a sentence; empty where nothing is.
fn tolerated(expectation: &Expectation) -> String {
    let count = expectation.max_failed.map(|max| max.to_string());
    let share = expectation.max_fraction.map(|max| format!("{max} of them"));
    let both: Vec<String> = [count, share].into_iter().flatten().collect();
    if both.is_empty() { String::new() } else { format!(", at most {} may", both.join(" and ")) }
}

fn about_rows(expectation: &Expectation, rule: &Rule, tally: &Tally) -> Finding {
    if tally.failed > 0 && expectation.exceeded(tally.failed, tally.evaluated).is_some() {
        return fail(sentence(expectation, rule, tally));
    }
    if tally.too_many_keys {
        let message = format!("{}: there are more different keys than may be kept", list(rule.columns()));
        return (RuleVerdict::Unknown, message);
    }
    pass()
}

fn sentence(expectation: &Expectation, rule: &Rule, tally: &Tally) -> String {
    let count = tally.failed;
    let first = tally.samples.first();
    let row = first.map_or(0, |sample| sample.row) + 1;
    let value = first.and_then(|sample| sample.value.as_deref());
    let shown = value.map(|value| format!(" ({value})")).unwrap_or_default();
    let (one, verb, what) = predicate(rule);
    let verb = if count == 1 { verb[0] } else { verb[1] };
    let subject = match (one, count) {
        ("row", 1) => "row",
        ("row", _) => "rows",
        (_, 1) => "value",
        _ => "values",
    };
    let columns = match rule {
        Rule::Unique { columns } | Rule::ForeignKey { columns, .. } => list(columns),
        Rule::Readable { columns } if columns.is_empty() => "the file".to_owned(),
        rule => list(rule.columns()),
    };
    let shown = match (rule, value) {
        (Rule::Unique { .. } | Rule::ForeignKey { .. }, Some(value)) => format!(" (value {value})"),
        _ => shown,
    };
    let place = if tally.samples.is_empty() { String::new() } else { format!("; first in row {row}{shown}") };
    format!("{columns}: {count} {subject} {verb} {what}{}{place}", tolerated(expectation))
}

/// What is said of a value that breaks a rule: of a value or a row, the verb in singular and plural, and the rest.
fn predicate(rule: &Rule) -> (&'static str, [&'static str; 2], String) {
    let is = ["is", "are"];
    match rule {
        Rule::Within { range, .. } => ("value", ["lies", "lie"], format!("outside {range}")),
        Rule::WithinTime { from, until, .. } => {
            let end = |time: &Option<chrono::DateTime<chrono::Utc>>| {
                time.map_or_else(|| "…".to_owned(), |time| time.to_rfc3339())
            };
            ("value", ["lies", "lie"], format!("outside [{}, {}]", end(from), end(until)))
        }
        Rule::OneOf { values, .. } => {
            let distinct: std::collections::HashSet<&String> = values.iter().collect();
            ("value", is, format!("none of the {} allowed", distinct.len()))
        }
        Rule::NotOneOf { .. } => ("value", is, "forbidden".to_owned()),
        Rule::Matches { pattern, .. } => {
            ("value", ["does not match", "do not match"], format!("`{}`", quote(pattern)))
        }
        Rule::Length { min, max, .. } => {
            let most = max.map(|max| format!(" to {max}")).unwrap_or_else(|| " or more".to_owned());
            ("value", ["has not", "have not"], format!("{min}{most} characters"))
        }
        Rule::Finite { .. } => ("value", is, "not finite".to_owned()),
        Rule::Compare { is: comparison, other, .. } => {
            ("value", is, format!("not {} `{}`", comparison.words(), quote(other)))
        }
        Rule::Readable { columns } => {
            let subject = if columns.len() == 1 { "value" } else { "row" };
            (subject, ["cannot be", "cannot be"], "read".to_owned())
        }
        Rule::Unique { .. } => ("row", ["repeats", "repeat"], "an earlier one".to_owned()),
        Rule::ForeignKey { table, .. } => ("row", is, format!("without a counterpart in `{}`", quote(table))),
        other => ("value", is, format!("against the rule {}", other.name())),
    }
}
