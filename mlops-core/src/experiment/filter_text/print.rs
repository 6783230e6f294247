//! Filters and orders as text that parses back to the same.

use std::fmt::{Display, Formatter, Result};

use super::field::{STATS, is_field_in_mlflow};
use super::number::{millis_of_duration, millis_of_time};
use super::parse::mlflow_status;
use crate::experiment::{Comparison, Field, Filter, InputMatch, Match, MetricStat, OrderBy};

/// The text that [`Filter::parse`] reads back as the same filter.
///
/// ```
/// use mlops_core::experiment::Filter;
/// let text = "metrics.auc >= 0.9 AND (tags.team = 'risk' OR NOT params.depth IN ('6', '8'))";
/// assert_eq!(Filter::parse(text)?.to_string(), text);
/// # Ok::<(), mlops_core::Error>(())
/// ```
impl Display for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::And(parts) => join(f, parts, "TRUE", "ALL", " AND "),
            Self::Or(parts) => join(f, parts, "FALSE", "ANY", " OR "),
            Self::Not(part) => match &**part {
                Self::HasMetric(_)
                | Self::HasParam(_)
                | Self::HasTag(_)
                | Self::HasParent
                | Self::HasEnded => {
                    present(f, part)?;
                    f.write_str(" IS NULL")
                }
                part => write!(f, "NOT {}", Part(part)),
            },
            Self::Metric { key, comparison, value } => {
                write!(f, "metrics.{} {} {}", Key(key.as_str()), Sign(*comparison), Number(*value))
            }
            Self::Param(key, text) => write!(f, "params.{} {}", Key(key.as_str()), Matched(text)),
            Self::Tag(key, text) => write!(f, "tags.{} {}", Tag(key.as_str()), Matched(text)),
            Self::Name(text) => write!(f, "run_name {}", Matched(text)),
            Self::Actor(text) => write!(f, "user_id {}", Matched(text)),
            Self::Id(text) => write!(f, "run_id {}", Matched(text)),
            Self::Status(any) => {
                let mut names: Vec<_> = any.iter().map(|status| mlflow_status(*status)).collect();
                let one = names.len() == 1;
                let text = if one { Match::Equals(names.remove(0)) } else { Match::In(names) };
                write!(f, "status {}", Matched(&text))
            }
            Self::Started(comparison, at) => {
                write!(f, "start_time {} {}", Sign(*comparison), millis_of_time(at))
            }
            Self::Ended(comparison, at) => write!(f, "end_time {} {}", Sign(*comparison), millis_of_time(at)),
            Self::Took(comparison, limit) => {
                write!(f, "duration {} {}", Sign(*comparison), millis_of_duration(limit))
            }
            Self::Parent(parent) => write!(f, "parent_run_id = '{parent}'"),
            Self::Input(asset) => write!(f, "dataset = '{asset}'"),
            Self::HasMetric(_) | Self::HasParam(_) | Self::HasTag(_) | Self::HasParent | Self::HasEnded => {
                present(f, self)?;
                f.write_str(" IS NOT NULL")
            }
            Self::MetricStat { key, stat, comparison, value } => {
                write!(f, "{} {} {}", Stat(key.as_str(), *stat), Sign(*comparison), Number(*value))
            }
            Self::AnyInput(wanted) => input(f, wanted),
        }
    }
}

/// The text that [`OrderBy::parse`] reads back as the same order.
///
/// ```
/// use mlops_core::experiment::OrderBy;
/// assert_eq!(OrderBy::parse("metrics.`val loss` asc")?.to_string(), "metrics.`val loss` ASC");
/// # Ok::<(), mlops_core::Error>(())
/// ```
impl Display for OrderBy {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let direction = if self.descending { "DESC" } else { "ASC" };
        match &self.field {
            Field::Started => f.write_str("start_time")?,
            Field::Ended => f.write_str("end_time")?,
            Field::Name => f.write_str("run_name")?,
            Field::Metric(key) => write!(f, "metrics.{}", Key(key.as_str()))?,
            Field::Param(key) => write!(f, "params.{}", Key(key.as_str()))?,
            Field::Tag(key) => write!(f, "tags.{}", Tag(key.as_str()))?,
            Field::Id => f.write_str("run_id")?,
            Field::Actor => f.write_str("user_id")?,
            Field::Status => f.write_str("status")?,
            Field::Took => f.write_str("duration")?,
            Field::MetricStat(key, stat) => Stat(key.as_str(), *stat).fmt(f)?,
        }
        write!(f, " {direction}")
    }
}

fn join(f: &mut Formatter<'_>, parts: &[Filter], none: &str, one: &str, between: &str) -> Result {
    match parts {
        [] => f.write_str(none),
        [part] => write!(f, "{one}({part})"),
        [first, rest @ ..] => {
            Part(first).fmt(f)?;
            rest.iter().try_for_each(|part| write!(f, "{between}{}", Part(part)))
        }
    }
}

/// A filter as part of another.
struct Part<'a>(&'a Filter);

impl Display for Part<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Filter::And(parts) | Filter::Or(parts) if parts.len() > 1 => write!(f, "({})", self.0),
            other => other.fmt(f),
        }
    }
}

/// The field of a filter that asks whether something is there.
fn present(f: &mut Formatter<'_>, has: &Filter) -> Result {
    match has {
        Filter::HasMetric(key) => write!(f, "metrics.{}", Key(key.as_str())),
        Filter::HasParam(key) => write!(f, "params.{}", Key(key.as_str())),
        Filter::HasTag(key) => write!(f, "tags.{}", Tag(key.as_str())),
        Filter::HasParent => f.write_str("parent_run_id"),
        _ => f.write_str("end_time"),
    }
}

fn input(f: &mut Formatter<'_>, wanted: &InputMatch) -> Result {
    let texts = [("name", &wanted.asset), ("digest", &wanted.digest), ("context", &wanted.role)];
    let mut texts: Vec<String> = texts
        .iter()
        .filter_map(|(name, text)| text.as_ref().map(|text| format!("{name} {}", Matched(text))))
        .collect();
    match (&wanted.version, &mut *texts) {
        (None, [one]) => write!(f, "dataset.{one}"),
        (version, _) => {
            texts.extend(version.map(|version| format!("version = {version}")));
            write!(f, "dataset({})", texts.join(" AND "))
        }
    }
}

/// A key; in back-ticks where it is not a plain name.
struct Key<'a>(&'a str);

impl Display for Key<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let segment = |s: &str| {
            s.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if self.0.split('.').all(segment) { f.write_str(self.0) } else { write!(f, "`{}`", self.0) }
    }
}

/// A tag's key; in single quotes where MLflow means a field by it.
struct Tag<'a>(&'a str);

impl Display for Tag<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if is_field_in_mlflow(self.0) { write!(f, "'{}'", self.0) } else { Key(self.0).fmt(f) }
    }
}

struct Stat<'a>(&'a str, MetricStat);

impl Display for Stat<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let name = STATS.iter().find(|(_, stat)| *stat == self.1).map_or("count", |(name, _)| name);
        write!(f, "{name}(metrics.{})", Key(self.0))
    }
}

struct Sign(Comparison);

impl Display for Sign {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self.0 {
            Comparison::Less => "<",
            Comparison::AtMost => "<=",
            Comparison::Equal => "=",
            Comparison::NotEqual => "!=",
            Comparison::AtLeast => ">=",
            Comparison::Greater => ">",
        })
    }
}

/// The shortest digits that read back as the same number.
struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{:?}", self.0)
    }
}

struct Matched<'a>(&'a Match);

impl Display for Matched<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Match::Equals(text) => write!(f, "= {}", Quoted(text)),
            Match::Contains(text) => write!(f, "CONTAINS {}", Quoted(text)),
            Match::StartsWith(text) => write!(f, "STARTS WITH {}", Quoted(text)),
            Match::Like(text) => write!(f, "LIKE {}", Quoted(text)),
            Match::ILike(text) => write!(f, "ILIKE {}", Quoted(text)),
            Match::In(texts) => write!(f, "IN {}", List(texts)),
            Match::NotIn(texts) => match &**texts {
                [text] => write!(f, "!= {}", Quoted(text)),
                _ => write!(f, "NOT IN {}", List(texts)),
            },
        }
    }
}

struct List<'a>(&'a [String]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("(")?;
        for (i, text) in self.0.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, Quoted(text))?;
        }
        f.write_str(")")
    }
}

/// A text in the quotes that it does not have itself; where it has both, single ones, and its own are doubled.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match (self.0.contains('\''), self.0.contains('"')) {
            (false, _) => write!(f, "'{}'", self.0),
            (true, false) => write!(f, "\"{}\"", self.0),
            (true, true) => write!(f, "'{}'", self.0.replace('\'', "''")),
        }
    }
}
