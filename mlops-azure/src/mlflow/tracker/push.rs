//! What of a search MLflow can do itself.
//!
//! MLflow's filters are clauses joined by `AND`. What is pushed down only narrows: every run that matches must come back, and
//! what comes back is checked again. So whatever MLflow sees differently (the last of two values at one step and time, texts
//! that a database compares without case, a lease that ran out) is pushed down in a weaker form, or not at all.

use mlops_core::experiment::{Comparison, Field, Filter, Match, RunQuery, RunStatus, View};
use serde_json::{Value, json};

use super::{names, record};

/// The most clauses that are pushed down: each is a join to MLflow, and SQLite joins 64 tables.
const MAX_CLAUSES: usize = 20;

/// The clauses that MLflow can check.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pushed {
    /// Joined by `AND`.
    pub(super) clauses: Vec<String>,
    /// Whether a run can cease to match while the answer is read in pages.
    pub(super) moves: bool,
}

impl Pushed {
    /// The filter.
    pub(super) fn text(&self) -> String {
        self.clauses.join(" and ")
    }

    /// Adds a clause whose answer stays for a run.
    fn fixed(&mut self, clause: String) {
        if self.clauses.len() < MAX_CLAUSES && !self.clauses.contains(&clause) {
            self.clauses.push(clause);
        }
    }

    /// Adds a clause that a run can cease to match.
    fn moving(&mut self, clause: String) {
        self.fixed(clause);
        self.moves = true;
    }
}

/// Whether a search asks for whole histories, which MLflow does not summarise.
pub(super) fn asks_for_histories(query: &RunQuery) -> bool {
    query.order.iter().any(|order| matches!(order.field, Field::MetricStat(..)))
        || mentions_stat(&query.filter)
}

fn mentions_stat(filter: &Filter) -> bool {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().any(mentions_stat),
        Filter::Not(part) => mentions_stat(part),
        Filter::MetricStat { .. } => true,
        _ => false,
    }
}

/// What MLflow can check of a filter.
pub(super) fn push(filter: &Filter) -> Pushed {
    let mut pushed = Pushed::default();
    collect(filter, &mut pushed);
    pushed
}

fn collect(filter: &Filter, pushed: &mut Pushed) {
    match filter {
        Filter::And(parts) => parts.iter().for_each(|part| collect(part, pushed)),
        // MLflow's last value is the greatest of those at the last step and time, so it is never below ours.
        Filter::Metric { key, comparison: Comparison::AtLeast | Comparison::Greater, value }
            if value.is_finite() =>
        {
            if let Some(key) = plain_key(key.as_str()) {
                pushed.moving(format!("metrics.{key} >= {}", number(*value)));
            }
        }
        // Parameters stay once they are there.
        Filter::Param(key, text) => {
            clause("params", key.as_str(), text).into_iter().for_each(|c| pushed.fixed(c))
        }
        Filter::Tag(key, text) => {
            clause("tags", key.as_str(), text).into_iter().for_each(|c| pushed.moving(c))
        }
        Filter::Actor(Match::Equals(actor)) if is_plain(actor) => {
            pushed.fixed(format!("tags.`{}` = '{actor}'", names::USER));
        }
        Filter::Parent(parent) => pushed.fixed(format!("tags.`{}` = '{parent}'", names::PARENT)),
        Filter::Status(any) => status(any).into_iter().for_each(|c| pushed.moving(c)),
        Filter::Started(comparison, at) => started(*comparison, at.timestamp_millis(), pushed),
        _ => {}
    }
}

/// The milliseconds that MLflow has are ours, rounded down.
fn started(comparison: Comparison, ms: i64, pushed: &mut Pushed) {
    let (from, to) = match comparison {
        Comparison::Less | Comparison::AtMost => (false, true),
        Comparison::Greater | Comparison::AtLeast => (true, false),
        Comparison::Equal => (true, true),
        Comparison::NotEqual => (false, false),
    };
    // A sign is an operator to some versions of the parser.
    if ms >= 0 {
        from.then(|| format!("attributes.start_time >= {ms}")).into_iter().for_each(|c| pushed.fixed(c));
        to.then(|| format!("attributes.start_time <= {ms}")).into_iter().for_each(|c| pushed.fixed(c));
    }
}

/// Excludes what no run of these statuses can be to MLflow. A run that counts as ended may still be running to MLflow: its
/// lease ran out, or its end was written down and the answer was lost.
fn status(any: &[RunStatus]) -> Vec<String> {
    let ended = any.iter().any(|status| status.is_final());
    let all =
        [RunStatus::Scheduled, RunStatus::Running, RunStatus::Finished, RunStatus::Failed, RunStatus::Killed];
    let impossible = |status: &RunStatus| !any.contains(status) && (!ended || status.is_final());
    let exclude = |status| format!("attributes.status != '{}'", record::status_text(status));
    all.into_iter().filter(impossible).map(exclude).collect()
}

fn clause(what: &str, key: &str, text: &Match) -> Option<String> {
    let key = plain_key(key)?;
    match text {
        Match::Equals(value) if is_plain(value) => Some(format!("{what}.{key} = '{value}'")),
        // `_` in the text is a wildcard to MLflow: more comes back, and is checked here.
        Match::StartsWith(value) if is_plain(value) => Some(format!("{what}.{key} LIKE '{value}%'")),
        Match::Like(pattern) if is_plain_prefix(pattern) => Some(format!("{what}.{key} LIKE '{pattern}'")),
        Match::ILike(pattern) if is_plain_prefix(pattern) => Some(format!("{what}.{key} ILIKE '{pattern}'")),
        // MLflow has the beginning of a long text only, and SQLite compares patterns up to the first NUL only: what may
        // stand anywhere is looked for here.
        _ => None,
    }
}

/// Text that every parser and every database reads as it is.
fn is_plain(text: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/' | ' ');
    !text.is_empty() && text.len() <= 200 && text == text.trim() && text.chars().all(safe)
}

/// A pattern that says how a text begins, and nothing else.
fn is_plain_prefix(pattern: &str) -> bool {
    pattern.strip_suffix('%').is_some_and(|prefix| is_plain(prefix) && !prefix.contains('_'))
}

fn plain_key(key: &str) -> Option<String> {
    is_plain(key).then(|| format!("`{key}`"))
}

/// A number without an exponent, about which parsers differ.
fn number(value: f64) -> String {
    format!("{value}")
}

/// The stage to look at.
pub(super) fn view(view: View) -> &'static str {
    match view {
        View::Active => "ACTIVE_ONLY",
        View::Deleted => "DELETED_ONLY",
        View::All => "ALL",
    }
}

/// The body of a search.
pub(super) fn body(
    experiments: &[String],
    filter: &str,
    view: &str,
    limit: usize,
    token: Option<&str>,
) -> Value {
    let mut body = json!({
        "experiment_ids": experiments,
        "filter": filter,
        "run_view_type": view,
        "max_results": limit,
        // Runs that are started meanwhile come at the end, mostly; what comes twice is seen once.
        "order_by": ["attributes.start_time ASC"],
    });
    if let Some(token) = token {
        body["page_token"] = Value::from(token);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::{MetricKey, ParamKey, TagKey};

    fn text(filter: &Filter) -> String {
        push(filter).text()
    }

    fn equals(text: &str) -> Match {
        Match::Equals(text.to_owned())
    }

    #[test]
    fn what_mlflow_understands_is_pushed_down() {
        let score =
            |comparison, value| Filter::Metric { key: MetricKey::new("val/auc").unwrap(), comparison, value };
        let param = |by| Filter::Param(ParamKey::new("depth").unwrap(), by);
        let at = "2026-01-01T00:00:00.000500Z".parse().unwrap();
        for (filter, expected) in [
            (Filter::And(vec![]), ""),
            (score(Comparison::Greater, 0.5), "metrics.`val/auc` >= 0.5"),
            (param(equals("6")), "params.`depth` = '6'"),
            (param(Match::StartsWith("a_b".to_owned())), "params.`depth` LIKE 'a_b%'"),
            (param(Match::Like("ab%".to_owned())), "params.`depth` LIKE 'ab%'"),
            (param(Match::ILike("x%".to_owned())), "params.`depth` ILIKE 'x%'"),
            (Filter::Started(Comparison::Less, at), "attributes.start_time <= 1767225600000"),
            (
                Filter::Status(vec![RunStatus::Finished]),
                "attributes.status != 'FAILED' and attributes.status != 'KILLED'",
            ),
            (
                Filter::And(vec![param(equals("6")), Filter::And(vec![param(equals("7"))])]),
                "params.`depth` = '6' and params.`depth` = '7'",
            ),
        ] {
            assert_eq!(text(&filter), expected, "{filter:?}");
        }
    }

    #[test]
    fn what_mlflow_sees_differently_is_not_pushed_down() {
        let score =
            |comparison, value| Filter::Metric { key: MetricKey::new("m").unwrap(), comparison, value };
        for filter in [
            score(Comparison::AtMost, 0.5),
            score(Comparison::NotEqual, 0.5),
            score(Comparison::AtLeast, f64::NAN),
            score(Comparison::AtLeast, f64::NEG_INFINITY),
            Filter::Param(ParamKey::new("p").unwrap(), equals("it's")),
            Filter::Param(ParamKey::new("p").unwrap(), equals("")),
            Filter::Param(ParamKey::new("größe").unwrap(), equals("1")),
            Filter::Tag(TagKey::new("t").unwrap(), Match::StartsWith("' or 1=1 --".to_owned())),
            // A long text goes on where MLflow's ends.
            Filter::Tag(TagKey::new("t").unwrap(), Match::Contains("x".to_owned())),
            Filter::Tag(TagKey::new("t").unwrap(), Match::Like("%x".to_owned())),
            // SQLite finds no NUL in place of the wildcard.
            Filter::Tag(TagKey::new("t").unwrap(), Match::Like("a_b%".to_owned())),
            Filter::Not(Box::new(Filter::Name(equals("x")))),
            Filter::Or(vec![Filter::Name(equals("x"))]),
        ] {
            assert_eq!(text(&filter), "", "{filter:?}");
        }
    }

    #[test]
    fn no_more_is_pushed_down_than_a_database_can_join() {
        let clause = |i: usize| Filter::Param(ParamKey::new(format!("p{i}")).unwrap(), equals("1"));
        assert_eq!(push(&Filter::And((0..1_000).map(clause).collect())).clauses.len(), MAX_CLAUSES);
        assert_eq!(push(&Filter::And(vec![clause(1); 1_000])).clauses.len(), 1);
    }

    #[test]
    fn clauses_that_runs_can_cease_to_match_are_known() {
        assert!(!push(&Filter::Param(ParamKey::new("p").unwrap(), equals("1"))).moves);
        assert!(push(&Filter::Status(vec![RunStatus::Running])).moves);
    }
}
