//! What of a filter an MLflow server can answer.

use super::field::is_field_in_mlflow;
use super::parse::mlflow_status;
use super::print::Quoted;
use crate::experiment::{Comparison, Filter, InputMatch, Match, RunStatus};
use crate::time::Timestamp;

/// What a server's filter language has, and how far its records can be trusted to be whole.
///
/// ```
/// use mlops_core::experiment::MlflowDialect;
/// let long_values_are_cut = MlflowDialect::V3;
/// let all_is_kept = MlflowDialect::V3.with_whole_texts(true);
/// assert_ne!(long_values_are_cut, all_is_kept);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MlflowDialect {
    /// It knows `IS NULL` and `IS NOT NULL`.
    pub null_tests: bool,
    /// It keeps run inputs and knows `dataset.…`.
    pub datasets: bool,
    /// Its `user_id` is the run's actor.
    pub actors: bool,
    /// It keeps every parameter and tag whole. Servers cut long ones by default, and would then search the rest.
    pub whole_texts: bool,
}

impl MlflowDialect {
    /// MLflow 2.
    pub const V2: Self = Self { null_tests: false, datasets: true, actors: true, whole_texts: false };
    /// MLflow 3.
    pub const V3: Self = Self { null_tests: true, ..Self::V2 };
    /// Azure Machine Learning, where the service says who somebody is.
    pub const AZURE: Self = Self { null_tests: false, datasets: false, actors: false, whole_texts: false };

    /// Says whether the server keeps every parameter and tag whole.
    #[must_use]
    pub fn with_whole_texts(mut self, whole: bool) -> Self {
        self.whole_texts = whole;
        self
    }
}

/// What to send to an MLflow server in place of a [`Filter`].
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MlflowFilter {
    /// The filter in MLflow's language; `None` where nothing can be said, and every run must be looked at.
    pub text: Option<String>,
    /// The server's answer is the answer. Where it is not, [`Filter::matches`] must be asked of every run that comes.
    pub exact: bool,
}

/// The longest text that is sent, in bytes, and the most comparisons in it: servers grow slow and then refuse.
const MAX_SENT: usize = 8_192;
const MAX_CLAUSES: usize = 100;

/// Texts longer than this are not sent: the server may have cut what it compares them with.
const MAX_TEXT: usize = 1_000;

impl Filter {
    /// The part of this filter that an MLflow server can answer.
    ///
    /// The server finds every run that [`Filter::matches`], and others unless the answer is `exact`: MLflow joins comparisons by
    /// `AND` alone, keeps times to the millisecond, reads a metric that is NaN as 0 in some versions, and infinities as the
    /// greatest numbers. It is taken for granted that the server's runs carry the name, the actor, the status, the keys, the
    /// last values, the texts up to their first 1000 characters, and times cut to the millisecond.
    ///
    /// ```
    /// use mlops_core::experiment::{Filter, MlflowDialect};
    /// let filter = Filter::parse("params.depth = '6' AND (metrics.auc > 0.9 OR metrics.f1 > 0.9)")?;
    /// let sent = filter.split_for_mlflow(MlflowDialect::V3);
    /// assert_eq!(sent.text.as_deref(), Some("params.`depth` = '6'"));
    /// assert!(!sent.exact);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn split_for_mlflow(&self, dialect: MlflowDialect) -> MlflowFilter {
        let mut sent = Sent { dialect, clauses: Vec::new(), length: 0, exact: true };
        sent.take(self, false);
        MlflowFilter {
            text: (!sent.clauses.is_empty()).then(|| sent.clauses.join(" AND ")),
            exact: sent.exact,
        }
    }
}

/// How much a clause says of a filter.
enum Clause {
    /// All of it.
    Whole(String),
    /// It lets everything through that the filter does, and more.
    Wider(String),
    /// Nothing.
    Nothing,
}

struct Sent {
    dialect: MlflowDialect,
    clauses: Vec<String>,
    length: usize,
    exact: bool,
}

impl Sent {
    /// Takes what can be said of a filter, or of its opposite.
    fn take(&mut self, filter: &Filter, negated: bool) {
        match (filter, negated) {
            (Filter::And(parts), false) | (Filter::Or(parts), true) => {
                parts.iter().for_each(|part| self.take(part, negated));
            }
            (Filter::Or(parts), false) | (Filter::And(parts), true) if parts.len() == 1 => {
                parts.iter().for_each(|part| self.take(part, negated));
            }
            (Filter::Not(part), _) => self.take(part, !negated),
            (Filter::Status(any), _) => {
                for status in RunStatus::ALL.into_iter().filter(|s| any.contains(s) == negated) {
                    self.add(Clause::Whole(format!("attributes.status != '{}'", mlflow_status(status))));
                }
            }
            // The server's tags of these names are fields here.
            (Filter::Tag(key, _) | Filter::HasTag(key), _) if is_field_in_mlflow(key.as_str()) => {
                self.exact = false
            }
            (Filter::Param(key, text), false) => self.text(&format!("params.`{key}`"), text),
            (Filter::Tag(key, text), false) => self.text(&format!("tags.`{key}`"), text),
            (leaf, false) => {
                let clause = self.leaf(leaf);
                self.add(clause);
            }
            (Filter::HasParam(key), true) if self.dialect.null_tests => {
                self.add(Clause::Whole(format!("params.`{key}` IS NULL")));
            }
            (Filter::HasTag(key), true) if self.dialect.null_tests => {
                self.add(Clause::Whole(format!("tags.`{key}` IS NULL")));
            }
            _ => self.exact = false,
        }
    }

    fn add(&mut self, clause: Clause) {
        let (text, whole) = match clause {
            Clause::Whole(text) => (text, true),
            Clause::Wider(text) => (text, false),
            Clause::Nothing => {
                self.exact = false;
                return;
            }
        };
        let length = self.length + text.len() + " AND ".len();
        if length > MAX_SENT || self.clauses.len() >= MAX_CLAUSES {
            self.exact = false;
            return;
        }
        self.exact &= whole;
        self.length = length;
        self.clauses.push(text);
    }

    fn leaf(&self, filter: &Filter) -> Clause {
        match filter {
            Filter::Metric { key, comparison, value } => metric(key.as_str(), *comparison, *value),
            Filter::HasParam(key) => self.has(&format!("params.`{key}`")),
            Filter::HasTag(key) => self.has(&format!("tags.`{key}`")),
            Filter::HasParent => self.has("tags.`mlflow.parentRunId`"),
            Filter::Parent(parent) => Clause::Whole(format!("tags.`mlflow.parentRunId` = '{parent}'")),
            // A run without a name gets one from the server, which other tests than of equality may take for a name of its own.
            Filter::Name(text) if !text.holds("") => {
                match (comparison("attributes.run_name", text, self.dialect.whole_texts), text) {
                    (Clause::Whole(sent), Match::Equals(_) | Match::In(_)) => Clause::Whole(sent),
                    (Clause::Whole(sent), _) => Clause::Wider(sent),
                    (other, _) => other,
                }
            }
            Filter::Actor(text) if self.dialect.actors => comparison("attributes.user_id", text, true),
            Filter::Id(text) => match text {
                Match::In(ids) => listed("attributes.run_id", "IN", ids),
                Match::NotIn(ids) => listed("attributes.run_id", "NOT IN", ids),
                other => comparison("attributes.run_id", other, true),
            },
            Filter::Started(comparison, at) => time("attributes.start_time", *comparison, at),
            Filter::Ended(comparison, at) => time("attributes.end_time", *comparison, at),
            Filter::Input(asset) if self.dialect.datasets => {
                Clause::Whole(format!("dataset.name = '{asset}'"))
            }
            Filter::AnyInput(wanted) if self.dialect.datasets => input(wanted),
            _ => Clause::Nothing,
        }
    }

    fn has(&self, field: &str) -> Clause {
        Clause::Whole(if self.dialect.null_tests {
            format!("{field} IS NOT NULL")
        } else {
            format!("{field} LIKE '%'")
        })
    }

    /// A parameter or tag: each value that it must not have is a clause of its own.
    fn text(&mut self, field: &str, text: &Match) {
        match text {
            Match::NotIn(values) if values.is_empty() => {
                let clause = self.has(field);
                self.add(clause);
            }
            Match::NotIn(values) => {
                for value in values {
                    self.add(comparison(field, &Match::differs_from(value), self.dialect.whole_texts));
                }
            }
            other => self.add(comparison(field, other, self.dialect.whole_texts)),
        }
    }
}

/// MLflow before 3 keeps NaN as 0, and every MLflow keeps infinities as the greatest numbers.
fn metric(key: &str, comparison: Comparison, value: f64) -> Clause {
    if !value.is_finite() || value.abs() == f64::MAX || (comparison == Comparison::NotEqual && value == 0.0) {
        return Clause::Nothing;
    }
    let text = format!("metrics.`{key}` {} {value:?}", sign(comparison));
    // NaN differs from everything; where 0 meets another comparison, NaN may come along.
    let nan_comes_along = comparison != Comparison::NotEqual && comparison.holds(&0.0, &value);
    if nan_comes_along { Clause::Wider(text) } else { Clause::Whole(text) }
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Less => "<",
        Comparison::AtMost => "<=",
        Comparison::Equal => "=",
        Comparison::NotEqual => "!=",
        Comparison::AtLeast => ">=",
        Comparison::Greater => ">",
    }
}

/// Runs whose times are cut to the millisecond compare with a time that is cut, too.
fn time(field: &str, comparison: Comparison, at: &Timestamp) -> Clause {
    let millis = at.timestamp_millis();
    let cut = !at.timestamp_subsec_nanos().is_multiple_of(1_000_000);
    match comparison {
        Comparison::AtLeast if !cut => Clause::Whole(format!("{field} >= {millis}")),
        Comparison::Less if !cut => Clause::Whole(format!("{field} < {millis}")),
        Comparison::AtLeast | Comparison::Greater => Clause::Wider(format!("{field} >= {millis}")),
        Comparison::Less | Comparison::AtMost => Clause::Wider(format!("{field} <= {millis}")),
        Comparison::Equal => Clause::Wider(format!("{field} = {millis}")),
        Comparison::NotEqual => Clause::Nothing,
    }
}

/// What is asked of one input is asked of any, one thing at a time. The server's digest is shorter than ours.
fn input(wanted: &InputMatch) -> Clause {
    let asked = [("dataset.name", &wanted.asset), ("dataset.context", &wanted.role)];
    let clauses: Vec<Clause> = asked
        .into_iter()
        .filter_map(|(field, text)| text.as_ref().map(|text| dataset(field, text)))
        .collect();
    let all = clauses.len() == 1 && wanted.version.is_none() && wanted.digest.is_none();
    let mut whole = all;
    let mut texts = Vec::new();
    for clause in clauses {
        match clause {
            Clause::Whole(text) => texts.push(text),
            Clause::Wider(text) => {
                whole = false;
                texts.push(text);
            }
            Clause::Nothing => whole = false,
        }
    }
    match (texts.is_empty(), whole) {
        (true, _) => Clause::Nothing,
        (false, true) => Clause::Whole(texts.join(" AND ")),
        (false, false) => Clause::Wider(texts.join(" AND ")),
    }
}

fn dataset(field: &str, text: &Match) -> Clause {
    match text {
        Match::In(values) => listed(field, "IN", values),
        Match::NotIn(values) if values.len() != 1 => listed(field, "NOT IN", values),
        other => comparison(field, other, true),
    }
}

/// One comparison. With a text that may have been cut, only what its beginning decides.
fn comparison(field: &str, text: &Match, whole: bool) -> Clause {
    let (operator, value) = match text {
        Match::Equals(value) => ("=", value.clone()),
        Match::In(values) | Match::NotIn(values) if values.len() != 1 => return Clause::Nothing,
        Match::In(values) => ("=", values.concat()),
        Match::NotIn(values) => ("!=", values.concat()),
        Match::StartsWith(start) if is_plain(start) => ("LIKE", format!("{start}%")),
        Match::Contains(part) if is_plain(part) && whole => ("LIKE", format!("%{part}%")),
        // A backslash is an escape to some databases.
        Match::Like(pattern) if !pattern.contains('\\') && (whole || is_beginning(pattern)) => {
            ("LIKE", pattern.clone())
        }
        Match::ILike(pattern) if !pattern.contains('\\') && (whole || is_beginning(pattern)) => {
            ("ILIKE", pattern.clone())
        }
        _ => return Clause::Nothing,
    };
    let Some(quoted) = quote(&value) else { return Clause::Nothing };
    let clause = format!("{field} {operator} {quoted}");
    // Databases differ in what they take for the case of a letter.
    if operator == "ILIKE" { Clause::Wider(clause) } else { Clause::Whole(clause) }
}

/// A list. MLflow 2 drops from it, without a word, what has a capital letter or no letter at all; MLflow 3 reads it as one of
/// Python's, with its escapes. What is plain and small means the same to both.
fn listed(field: &str, operator: &str, values: &[String]) -> Clause {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    let sent = |value: &String| {
        value.len() <= MAX_TEXT
            && value.chars().all(plain)
            && value.contains(|c: char| c.is_ascii_lowercase())
    };
    if values.is_empty() || !values.iter().all(sent) {
        return Clause::Nothing;
    }
    Clause::Whole(format!("{field} {operator} ('{}')", values.join("','")))
}

/// Whether a text means itself within a pattern.
fn is_plain(text: &str) -> bool {
    !text.contains(['%', '_', '\\'])
}

/// Whether a pattern says nothing of a text's end: one `%`, and that last.
fn is_beginning(pattern: &str) -> bool {
    pattern.strip_suffix('%').is_some_and(|start| !start.contains('%'))
}

/// The text in quotes, if MLflow reads it back as it is: it knows no escapes, and takes a backslash before a quote for one.
fn quote(text: &str) -> Option<String> {
    let both = text.contains('\'') && text.contains('"');
    if both || text.ends_with('\\') || text.contains('\0') || text.chars().count() > MAX_TEXT {
        return None;
    }
    Some(Quoted(text).to_string())
}
