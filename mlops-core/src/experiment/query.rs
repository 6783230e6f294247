//! A typed search over runs: what to match, in what order, which page.

use std::cmp::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pattern;
use super::{DataInput, MetricSummary, Run, RunStatus};
use crate::error::{Error, Result};
use crate::id::{AssetName, ExperimentName, MetricKey, ParamKey, RunId, TagKey, Version};
use crate::page::PageRequest;
use crate::time::Timestamp;

/// How two ordered values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Less than.
    Less,
    /// Less than or equal.
    AtMost,
    /// Equal.
    Equal,
    /// Not equal.
    NotEqual,
    /// Greater than or equal.
    AtLeast,
    /// Greater than.
    Greater,
}

impl Comparison {
    /// Applies it. A value that cannot be compared (NaN) is only [`Comparison::NotEqual`], as in IEEE 754.
    ///
    /// ```
    /// use mlops_core::experiment::Comparison;
    /// assert!(Comparison::AtMost.holds(&1.0, &1.0));
    /// assert!(Comparison::NotEqual.holds(&f64::NAN, &f64::NAN));
    /// ```
    pub fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        let order = left.partial_cmp(right);
        match self {
            Self::Less => order == Some(Ordering::Less),
            Self::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Self::Equal => order == Some(Ordering::Equal),
            Self::NotEqual => order != Some(Ordering::Equal),
            Self::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            Self::Greater => order == Some(Ordering::Greater),
        }
    }
}

/// How text is matched. Nothing in the text is a wildcard, but for the two in [`Match::Like`] and [`Match::ILike`].
///
/// Text is compared by its characters as they are: `é` in one character and in two are different texts.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    /// Equal.
    Equals(String),
    /// Contained, with case.
    Contains(String),
    /// At the beginning, with case.
    StartsWith(String),
    /// One of these.
    In(Vec<String>),
    /// None of these. There must be a text: a parameter or tag that a run does not have matches nothing.
    NotIn(Vec<String>),
    /// SQL's pattern, with case: `%` is any number of characters, `_` exactly one, and the pattern covers the whole text.
    ///
    /// There is no escape, as in MLflow: a backslash is a backslash. Who looks for a literal `%` or `_` takes
    /// [`Match::Contains`] or [`Match::StartsWith`].
    Like(String),
    /// [`Match::Like`] that takes `A` to `Z` for `a` to `z`. Letters beyond ASCII keep their case, as in MLflow on SQLite.
    #[serde(rename = "ilike")]
    ILike(String),
}

impl Match {
    /// The longest pattern that [`RunQuery::check`] accepts, in characters. A pattern of `p` characters on a text of `n`
    /// takes at most `p·n` steps.
    pub const MAX_PATTERN: usize = 1_000;

    /// Not equal.
    ///
    /// ```
    /// use mlops_core::experiment::Match;
    /// assert!(Match::differs_from("6").holds("7"));
    /// ```
    pub fn differs_from(value: impl Into<String>) -> Self {
        Self::NotIn(vec![value.into()])
    }

    /// Applies it. This is what every backend answers, whatever its own database means by `LIKE`.
    ///
    /// ```
    /// use mlops_core::experiment::Match;
    /// assert!(Match::Contains("%".into()).holds("100%"));
    /// assert!(!Match::Contains("%".into()).holds("100"));
    /// assert!(Match::Like("resnet-__%".into()).holds("resnet-50-v2"));
    /// assert!(!Match::Like("ResNet%".into()).holds("resnet-50"));
    /// assert!(Match::ILike("ResNet%".into()).holds("resnet-50"));
    /// ```
    pub fn holds(&self, text: &str) -> bool {
        match self {
            Self::Equals(value) => text == value,
            Self::Contains(value) => text.contains(value.as_str()),
            Self::StartsWith(value) => text.starts_with(value.as_str()),
            Self::In(values) => values.iter().any(|v| v == text),
            Self::NotIn(values) => values.iter().all(|v| v != text),
            Self::Like(pattern) => pattern::like(pattern, text),
            Self::ILike(pattern) => pattern::ilike(pattern, text),
        }
    }

    fn check(&self, operation: &'static str) -> Result<()> {
        let (Self::Like(pattern) | Self::ILike(pattern)) = self else { return Ok(()) };
        match pattern.chars().count() {
            length if length > Self::MAX_PATTERN => {
                Err(Error::limit(operation, "a pattern's length", Self::MAX_PATTERN, length))
            }
            _ => Ok(()),
        }
    }
}

/// A number about a metric's whole history, as in its [`MetricSummary`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricStat {
    /// The smallest value that is not NaN; a metric of NaN alone has none.
    Min,
    /// The greatest value that is not NaN; a metric of NaN alone has none.
    Max,
    /// How many points there are.
    Count,
}

impl MetricStat {
    /// Reads it from a summary.
    ///
    /// ```
    /// use mlops_core::{MetricKey, experiment::{MetricPoint, MetricStat, MetricSummary}};
    /// let at = "2026-01-01T00:00:00Z".parse()?;
    /// let summary = MetricSummary::of(MetricPoint::new(MetricKey::new("loss")?, f64::NAN, at));
    /// assert_eq!(MetricStat::Min.of(&summary), None);
    /// assert_eq!(MetricStat::Count.of(&summary), Some(1.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(self, summary: &MetricSummary) -> Option<f64> {
        match self {
            Self::Min => summary.min,
            Self::Max => summary.max,
            Self::Count => Some(summary.count as f64),
        }
    }
}

/// What one input of a run must be like; what is `None` may be anything.
///
/// ```
/// use mlops_core::experiment::{Filter, InputMatch, Match};
/// let trained_on = InputMatch::default()
///     .with_asset(Match::Equals("patients".into()))
///     .with_role(Match::Equals("training".into()));
/// let filter = Filter::AnyInput(trained_on);
/// # let _ = filter;
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputMatch {
    /// The data asset's name.
    pub asset: Option<Match>,
    /// The data asset's version.
    pub version: Option<Version>,
    /// The digest of its content: its 64 hexadecimal digits, without `sha256:`.
    pub digest: Option<Match>,
    /// What it was used for.
    pub role: Option<Match>,
}

impl InputMatch {
    /// Asks for an asset.
    #[must_use]
    pub fn with_asset(mut self, asset: Match) -> Self {
        self.asset = Some(asset);
        self
    }

    /// Asks for a version.
    #[must_use]
    pub fn with_version(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    /// Asks for a digest.
    #[must_use]
    pub fn with_digest(mut self, digest: Match) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Asks for a role.
    #[must_use]
    pub fn with_role(mut self, role: Match) -> Self {
        self.role = Some(role);
        self
    }

    /// Whether an input is like this.
    pub fn holds(&self, input: &DataInput) -> bool {
        self.asset.as_ref().is_none_or(|m| m.holds(input.asset.as_str()))
            && self.version.is_none_or(|v| v == input.version)
            && self.digest.as_ref().is_none_or(|m| m.holds(&input.digest.hex()))
            && self.role.as_ref().is_none_or(|m| m.holds(&input.role))
    }
}

/// Which runs are wanted. A metric, parameter or tag that a run does not have matches nothing; [`Filter::Not`] turns that.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// All of these; none given is everything.
    And(Vec<Filter>),
    /// Any of these; none given is nothing.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// The last value of a metric.
    Metric {
        /// Which.
        key: MetricKey,
        /// How.
        comparison: Comparison,
        /// Against what.
        #[serde(with = "crate::num::json_float")]
        value: f64,
    },
    /// A parameter.
    Param(ParamKey, Match),
    /// A tag.
    Tag(TagKey, Match),
    /// The name for people.
    Name(Match),
    /// The actor.
    Actor(Match),
    /// The status is one of these.
    Status(Vec<RunStatus>),
    /// When it started.
    Started(Comparison, Timestamp),
    /// When it ended; a run that has not ended matches nothing.
    Ended(Comparison, Timestamp),
    /// It is part of this run.
    Parent(RunId),
    /// This data asset went in.
    Input(AssetName),
    /// It has this metric, whatever its value.
    HasMetric(MetricKey),
    /// It has this parameter, an empty one too.
    HasParam(ParamKey),
    /// It has this tag, an empty one too.
    HasTag(TagKey),
    /// It is part of another run.
    HasParent,
    /// It has ended.
    HasEnded,
    /// The id, as text.
    Id(Match),
    /// How long it took, in whole microseconds; a run that has not ended matches nothing.
    Took(Comparison, Duration),
    /// A number about the whole history of a metric; one that is missing matches nothing.
    MetricStat {
        /// Which metric.
        key: MetricKey,
        /// Which number.
        stat: MetricStat,
        /// How.
        comparison: Comparison,
        /// Against what.
        #[serde(with = "crate::num::json_float")]
        value: f64,
    },
    /// Data of this kind went in: one input meets all that is asked for.
    AnyInput(InputMatch),
}

impl Filter {
    /// The deepest nesting that [`RunQuery::check`] accepts.
    pub const MAX_DEPTH: usize = 64;

    /// The most comparisons that [`RunQuery::check`] accepts.
    pub const MAX_COMPARISONS: usize = 1_000;

    /// The most texts in all lists together that [`RunQuery::check`] accepts.
    pub const MAX_TEXTS: usize = 10_000;

    /// Whether a run is wanted.
    pub fn matches(&self, run: &Run) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|f| f.matches(run)),
            Self::Or(parts) => parts.iter().any(|f| f.matches(run)),
            Self::Not(part) => !part.matches(run),
            Self::Metric { key, comparison, value } => {
                run.metrics.get(key).is_some_and(|m| comparison.holds(&m.last.value, value))
            }
            Self::Param(key, text) => run.params.get(key).is_some_and(|v| text.holds(v)),
            Self::Tag(key, text) => run.tags.get(key).is_some_and(|v| text.holds(v)),
            Self::Name(text) => text.holds(&run.name),
            Self::Actor(text) => text.holds(run.actor.as_str()),
            Self::Status(any) => any.contains(&run.status),
            Self::Started(comparison, at) => comparison.holds(&run.started_at, at),
            Self::Ended(comparison, at) => run.ended_at.is_some_and(|t| comparison.holds(&t, at)),
            Self::Parent(parent) => run.parent.as_ref() == Some(parent),
            Self::Input(asset) => run.inputs.iter().any(|i| i.asset == *asset),
            Self::HasMetric(key) => run.metrics.contains_key(key),
            Self::HasParam(key) => run.params.contains_key(key),
            Self::HasTag(key) => run.tags.contains_key(key),
            Self::HasParent => run.parent.is_some(),
            Self::HasEnded => run.ended_at.is_some(),
            Self::Id(text) => text.holds(run.id.as_str()),
            Self::Took(comparison, limit) => took(run).is_some_and(|micros| {
                comparison.holds(&i128::from(micros), &i128::try_from(limit.as_micros()).unwrap_or(i128::MAX))
            }),
            Self::MetricStat { key, stat, comparison, value } => {
                let number = run.metrics.get(key).and_then(|summary| stat.of(summary));
                number.is_some_and(|number| comparison.holds(&number, value))
            }
            Self::AnyInput(wanted) => run.inputs.iter().any(|input| wanted.holds(input)),
        }
    }

    /// The texts it is matched with, but for those of its parts.
    fn own_texts(&self) -> impl Iterator<Item = &Match> {
        let texts = match self {
            Self::Param(_, text)
            | Self::Tag(_, text)
            | Self::Name(text)
            | Self::Actor(text)
            | Self::Id(text) => [Some(text), None, None],
            Self::AnyInput(input) => [input.asset.as_ref(), input.digest.as_ref(), input.role.as_ref()],
            _ => [None, None, None],
        };
        texts.into_iter().flatten()
    }

    /// Refuses what is too deep, too much or too long.
    fn check(&self, operation: &'static str) -> Result<()> {
        if !self.depth_is_at_most(Self::MAX_DEPTH) {
            return Err(Error::limit(operation, "the filter's depth", Self::MAX_DEPTH, "more"));
        }
        let (mut comparisons, mut texts) = (0, 0);
        self.count(operation, &mut comparisons, &mut texts)?;
        if comparisons > Self::MAX_COMPARISONS {
            return Err(Error::limit(
                operation,
                "the number of comparisons",
                Self::MAX_COMPARISONS,
                comparisons,
            ));
        }
        if texts > Self::MAX_TEXTS {
            return Err(Error::limit(operation, "the number of texts in lists", Self::MAX_TEXTS, texts));
        }
        Ok(())
    }

    /// Counts, and refuses patterns that are too long; the depth was checked before.
    fn count(&self, operation: &'static str, comparisons: &mut usize, texts: &mut usize) -> Result<()> {
        match self {
            Self::And(parts) | Self::Or(parts) if !parts.is_empty() => {
                return parts.iter().try_for_each(|part| part.count(operation, comparisons, texts));
            }
            Self::Not(part) => return part.count(operation, comparisons, texts),
            _ => *comparisons += 1,
        }
        for text in self.own_texts() {
            text.check(operation)?;
            if let Match::In(list) | Match::NotIn(list) = text {
                *texts += list.len();
            }
        }
        Ok(())
    }

    pub(super) fn depth_is_at_most(&self, limit: usize) -> bool {
        let Some(limit) = limit.checked_sub(1) else { return false };
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().all(|f| f.depth_is_at_most(limit)),
            Self::Not(part) => part.depth_is_at_most(limit),
            _ => true,
        }
    }
}

/// How many microseconds a run took; less than none if its clock was turned back.
fn took(run: &Run) -> Option<i64> {
    Some(run.ended_at?.timestamp_micros().saturating_sub(run.started_at.timestamp_micros()))
}

/// What runs are ordered by.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// When they started.
    Started,
    /// When they ended.
    Ended,
    /// Their name.
    Name,
    /// The last value of a metric.
    Metric(MetricKey),
    /// A parameter, as text.
    Param(ParamKey),
    /// A tag, as text.
    Tag(TagKey),
    /// Their id, as text.
    Id,
    /// The actor, as text.
    Actor,
    /// The status, by its name: failed, finished, killed, running, scheduled.
    Status,
    /// How long they took; runs that have not ended come last.
    Took,
    /// A number about the whole history of a metric.
    MetricStat(MetricKey, MetricStat),
}

/// One level of an order. Runs without the field, or with NaN in it, come last in either direction.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderBy {
    /// The field.
    pub field: Field,
    /// Greatest first.
    pub descending: bool,
}

impl OrderBy {
    /// Smallest first.
    pub fn ascending(field: Field) -> Self {
        Self { field, descending: false }
    }

    /// Greatest first.
    pub fn descending(field: Field) -> Self {
        Self { field, descending: true }
    }

    fn compare(&self, left: &Run, right: &Run) -> Ordering {
        fn rank<T>(
            left: Option<T>,
            right: Option<T>,
            descending: bool,
            cmp: impl Fn(&T, &T) -> Ordering,
        ) -> Ordering {
            match (left, right) {
                (Some(l), Some(r)) if descending => cmp(&r, &l),
                (Some(l), Some(r)) => cmp(&l, &r),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => Ordering::Equal,
            }
        }
        let number = |run: &Run, key: &MetricKey| run.metric(key.as_str()).filter(|v| !v.is_nan());
        match &self.field {
            Field::Started => rank(Some(left.started_at), Some(right.started_at), self.descending, Ord::cmp),
            Field::Ended => rank(left.ended_at, right.ended_at, self.descending, Ord::cmp),
            Field::Name => rank(Some(&left.name), Some(&right.name), self.descending, Ord::cmp),
            Field::Metric(key) => {
                rank(number(left, key), number(right, key), self.descending, f64::total_cmp)
            }
            Field::Param(key) => rank(left.params.get(key), right.params.get(key), self.descending, Ord::cmp),
            Field::Tag(key) => rank(left.tags.get(key), right.tags.get(key), self.descending, Ord::cmp),
            Field::Id => rank(Some(&left.id), Some(&right.id), self.descending, Ord::cmp),
            Field::Actor => rank(Some(&left.actor), Some(&right.actor), self.descending, Ord::cmp),
            Field::Status => {
                rank(Some(left.status.as_str()), Some(right.status.as_str()), self.descending, Ord::cmp)
            }
            Field::Took => rank(took(left), took(right), self.descending, Ord::cmp),
            Field::MetricStat(key, stat) => {
                let number = |run: &Run| run.metrics.get(key).and_then(|summary| stat.of(summary));
                rank(number(left), number(right), self.descending, f64::total_cmp)
            }
        }
    }
}

/// Which lifecycle stage is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// Runs that are not deleted.
    #[default]
    Active,
    /// Deleted runs.
    Deleted,
    /// Both.
    All,
}

/// A search over runs.
///
/// ```
/// use mlops_core::experiment::{Comparison, Field, Filter, OrderBy, RunQuery};
/// use mlops_core::{ExperimentName, MetricKey};
///
/// let auc = MetricKey::new("roc_auc")?;
/// let query = RunQuery::new(ExperimentName::new("diabetes")?)
///     .with_filter(Filter::Metric { key: auc.clone(), comparison: Comparison::AtLeast, value: 0.8 })
///     .with_order(OrderBy::descending(Field::Metric(auc)));
/// query.check()?;
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunQuery {
    /// The experiments to look in; none given looks in all.
    pub experiments: Vec<ExperimentName>,
    /// Which runs.
    pub filter: Filter,
    /// In what order; what is equal is ordered by id, newest first.
    pub order: Vec<OrderBy>,
    /// Deleted ones too?
    pub view: View,
    /// Which page.
    pub page: PageRequest,
}

impl RunQuery {
    /// All active runs of one experiment, newest first.
    pub fn new(experiment: ExperimentName) -> Self {
        Self { experiments: vec![experiment], ..Self::everywhere() }
    }

    /// All active runs, newest first.
    pub fn everywhere() -> Self {
        Self {
            experiments: Vec::new(),
            filter: Filter::And(Vec::new()),
            order: Vec::new(),
            view: View::Active,
            page: PageRequest::default(),
        }
    }

    /// Only runs that match.
    #[must_use]
    pub fn with_filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Adds a level to the order.
    #[must_use]
    pub fn with_order(mut self, order: OrderBy) -> Self {
        self.order.push(order);
        self
    }

    /// Asks for a page.
    #[must_use]
    pub fn with_page(mut self, page: PageRequest) -> Self {
        self.page = page;
        self
    }

    /// Sets the lifecycle stage looked at.
    #[must_use]
    pub fn with_view(mut self, view: View) -> Self {
        self.view = view;
        self
    }

    /// Refuses filters that are too deep or say too much, patterns too long and bad page limits; backends call this first.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) or
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput).
    pub fn check(&self) -> Result<()> {
        const OP: &str = "ExperimentTracker::search_runs";
        self.page.check(OP)?;
        self.filter.check(OP)
    }

    /// Whether a run is wanted: experiment, stage and filter.
    pub fn matches(&self, run: &Run) -> bool {
        let stage = match self.view {
            View::Active => !run.deleted,
            View::Deleted => run.deleted,
            View::All => true,
        };
        let here = self.experiments.is_empty() || self.experiments.contains(&run.experiment);
        stage && here && self.filter.matches(run)
    }

    /// The order of two runs in the answer; never equal for two different runs.
    pub fn compare(&self, left: &Run, right: &Run) -> Ordering {
        let by_field = self.order.iter().map(|o| o.compare(left, right)).find(|o| o.is_ne());
        by_field.unwrap_or_else(|| right.id.cmp(&left.id))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MetricPoint, MetricSummary, RunSpec};
    use super::*;
    use crate::ActorId;

    fn run(name: &str, loss: Option<f64>) -> Run {
        let spec = RunSpec::new(ExperimentName::new("e").unwrap(), name, ActorId::new("a").unwrap());
        let mut run = Run::start(spec, chrono::DateTime::UNIX_EPOCH);
        if let Some(value) = loss {
            let key = MetricKey::new("loss").unwrap();
            let point = MetricPoint::new(key.clone(), value, chrono::DateTime::UNIX_EPOCH);
            run.metrics.insert(key, MetricSummary::of(point));
        }
        run
    }

    fn loss(comparison: Comparison, value: f64) -> Filter {
        Filter::Metric { key: MetricKey::new("loss").unwrap(), comparison, value }
    }

    #[test]
    fn a_metric_that_is_missing_or_nan_meets_no_threshold() {
        for value in [None, Some(f64::NAN)] {
            let run = run("r", value);
            for comparison in [Comparison::Less, Comparison::AtMost, Comparison::AtLeast, Comparison::Greater]
            {
                assert!(!loss(comparison, 0.5).matches(&run), "{value:?} {comparison:?}");
            }
        }
        assert!(loss(Comparison::Greater, 1e308).matches(&run("r", Some(f64::INFINITY))));
    }

    #[test]
    fn missing_and_nan_come_last_in_both_directions() {
        let runs =
            [run("nan", Some(f64::NAN)), run("none", None), run("one", Some(1.0)), run("two", Some(2.0))];
        for (descending, first) in [(false, "one"), (true, "two")] {
            let field = Field::Metric(MetricKey::new("loss").unwrap());
            let query = RunQuery::everywhere().with_order(OrderBy { field, descending });
            let mut sorted: Vec<&Run> = runs.iter().collect();
            sorted.sort_by(|l, r| query.compare(l, r));
            assert_eq!(sorted[0].name, first);
            assert!(sorted[2..].iter().all(|r| r.name.starts_with('n')));
        }
    }

    #[test]
    fn filters_nested_too_deep_are_refused() {
        let mut filter = Filter::And(vec![]);
        for _ in 0..10_000 {
            filter = Filter::Not(Box::new(filter));
        }
        let query = RunQuery::everywhere().with_filter(filter);
        assert_eq!(query.check().unwrap_err().kind(), crate::ErrorKind::LimitExceeded);
    }
}
