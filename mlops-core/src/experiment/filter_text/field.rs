//! What stands on the left of a comparison: `metrics.loss`, ``tags.`a b` ``, `start_time`, `min(metrics.loss)`.

use super::scan::{Scanner, is_word};
use crate::config::nearest;
use crate::error::{Error, Result, quote};
use crate::experiment::MetricStat;
use crate::id::{MetricKey, NameError, ParamKey, TagKey};

/// A field that text can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Metric(MetricKey),
    Stat(MetricKey, MetricStat),
    Param(ParamKey),
    Tag(TagKey),
    Id,
    Name,
    Actor,
    Status,
    Parent,
    Started,
    Ended,
    Took,
    /// `dataset.name`
    InputAsset,
    /// `dataset.digest`
    InputDigest,
    /// `dataset.context`
    InputRole,
    /// `dataset` alone
    Input,
}

/// The families of keys, by every name that MLflow has for them.
#[derive(Clone, Copy)]
enum Family {
    Metric,
    Param,
    Tag,
    Attribute,
    Input,
}

impl Family {
    const NAMES: [&'static str; 14] = [
        "metrics",
        "metric",
        "params",
        "param",
        "parameters",
        "parameter",
        "tags",
        "tag",
        "attributes",
        "attribute",
        "attr",
        "run",
        "dataset",
        "datasets",
    ];

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "metrics" | "metric" => Self::Metric,
            "params" | "param" | "parameters" | "parameter" => Self::Param,
            "tags" | "tag" => Self::Tag,
            "attributes" | "attribute" | "attr" | "run" => Self::Attribute,
            "dataset" | "datasets" => Self::Input,
            _ => return None,
        })
    }
}

/// What a run has one of.
const ATTRIBUTES: [&str; 9] = [
    "run_id",
    "run_name",
    "user_id",
    "status",
    "start_time",
    "end_time",
    "created",
    "duration",
    "parent_run_id",
];

const INPUT_ATTRIBUTES: [&str; 3] = ["name", "digest", "context"];

/// The numbers about a metric's history, by their function's name.
pub(super) const STATS: [(&str, MetricStat); 3] =
    [("min", MetricStat::Min), ("max", MetricStat::Max), ("count", MetricStat::Count)];

/// MLflow keeps as a tag what is a field of its own here. A key in single quotes is the tag of that name.
const MLFLOW_TAGS: [(&str, Named); 3] =
    [("mlflow.runName", Named::Name), ("mlflow.user", Named::Actor), ("mlflow.parentRunId", Named::Parent)];

/// Whether a tag's key must stand in single quotes to be read as a tag.
pub(super) fn is_field_in_mlflow(key: &str) -> bool {
    MLFLOW_TAGS.iter().any(|(name, _)| *name == key)
}

/// What a key without quotes is made of.
fn is_key(c: char) -> bool {
    is_word(c) || matches!(c, '.' | '-' | '/' | ':')
}

/// Reads a field and the space after it.
pub(super) fn read(scanner: &mut Scanner<'_>) -> Result<Named> {
    for (name, stat) in STATS {
        if scanner.call(name) {
            return read_stat(scanner, stat);
        }
    }
    let place = scanner.place();
    let head = match scanner.quoted(&['`', '"'])? {
        Some(quoted) => quoted,
        None => scanner.run(is_word).into(),
    };
    let field =
        if scanner.take('.') { member(scanner, place, &head)? } else { alone(scanner, place, &head)? };
    scanner.end_of_token();
    Ok(field)
}

fn read_stat(scanner: &mut Scanner<'_>, stat: MetricStat) -> Result<Named> {
    let place = scanner.place();
    let head = scanner.run(is_word);
    let key = match Family::named(head) {
        Some(Family::Metric) if scanner.take('.') => key(scanner)?.0,
        _ => return Err(scanner.fault(place, "a metric, such as metrics.loss")),
    };
    let key = MetricKey::new(key).map_err(|e| bad_key(scanner, place, &e))?;
    scanner.end_of_token();
    if scanner.symbol(")") {
        return Ok(Named::Stat(key, stat));
    }
    Err(scanner.fault(scanner.place(), "a closing parenthesis"))
}

/// The key behind the point, and whether it stands in single quotes.
fn key<'t>(scanner: &mut Scanner<'t>) -> Result<(std::borrow::Cow<'t, str>, bool)> {
    let literal = scanner.peek() == Some('\'');
    Ok(match scanner.quoted(&['`', '"', '\''])? {
        Some(quoted) => (quoted, literal),
        None => (scanner.run(is_key).into(), false),
    })
}

fn member(scanner: &mut Scanner<'_>, place: usize, head: &str) -> Result<Named> {
    let Some(family) = Family::named(head) else { return Err(unknown(scanner, place, head, &Family::NAMES)) };
    let at = scanner.place();
    let (key, literal) = key(scanner)?;
    if key.is_empty() {
        return Err(scanner.fault(at, "a key"));
    }
    let bad = |error: NameError| bad_key(scanner, at, &error);
    match family {
        Family::Metric => Ok(Named::Metric(MetricKey::new(key).map_err(bad)?)),
        Family::Param => Ok(Named::Param(ParamKey::new(key).map_err(bad)?)),
        Family::Tag => match MLFLOW_TAGS.into_iter().find(|(name, _)| *name == key && !literal) {
            Some((_, field)) => Ok(field),
            None => Ok(Named::Tag(TagKey::new(key).map_err(bad)?)),
        },
        Family::Attribute => attribute(&key).ok_or_else(|| unknown(scanner, at, &key, &ATTRIBUTES)),
        Family::Input => match &*key {
            "name" => Ok(Named::InputAsset),
            "digest" => Ok(Named::InputDigest),
            "context" => Ok(Named::InputRole),
            other => Err(unknown(scanner, at, other, &INPUT_ATTRIBUTES)),
        },
    }
}

fn alone(scanner: &Scanner<'_>, place: usize, name: &str) -> Result<Named> {
    if name.is_empty() {
        return Err(
            scanner.fault(place, "a field, such as metrics.loss, params.depth, tags.team or start_time")
        );
    }
    if let Some(field) = attribute(name) {
        return Ok(field);
    }
    match Family::named(name) {
        Some(Family::Input) => Ok(Named::Input),
        Some(_) => Err(scanner.complaint(place, format!("expected a key after `{name}.`"))),
        None => Err(unknown(scanner, place, name, &[&ATTRIBUTES[..], &Family::NAMES[..]].concat())),
    }
}

fn attribute(name: &str) -> Option<Named> {
    Some(match name {
        "run_id" => Named::Id,
        "run_name" | "run name" | "Run name" | "Run Name" => Named::Name,
        "user_id" => Named::Actor,
        "status" => Named::Status,
        "start_time" | "created" | "Created" => Named::Started,
        "end_time" => Named::Ended,
        "duration" => Named::Took,
        "parent_run_id" => Named::Parent,
        _ => return None,
    })
}

fn unknown(scanner: &Scanner<'_>, place: usize, name: &str, known: &[&str]) -> Error {
    let shown = quote(name);
    // What is as long as a whole text is no slip.
    let small: String = name.chars().take(65).flat_map(char::to_lowercase).collect();
    let message = match nearest(name, known).or_else(|| nearest(&small, known)) {
        Some(near) => format!("unknown field `{shown}`; did you mean `{near}`?"),
        None => format!("unknown field `{shown}`; known are {}", known.join(", ")),
    };
    scanner.complaint(place, message)
}

fn bad_key(scanner: &Scanner<'_>, place: usize, error: &NameError) -> Error {
    scanner.complaint(place, format!("the {} {}", error.what(), error.fault()))
}
