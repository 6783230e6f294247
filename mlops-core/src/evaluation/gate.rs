//! Promotion criteria as a file: what a model must show before it may be released.
//!
//! A gate reads an [`EvaluationReport`] and answers [`Pass`](Verdict::Pass), [`Fail`](Verdict::Fail) or
//! [`Insufficient`](Verdict::Insufficient). It is fail-closed:
//!
//! | what the report has | verdict of the criterion |
//! |---|---|
//! | no such metric, slice or attribute | `Fail`: the gate asks for what was not measured, and more data will not heal a misspelt name |
//! | a metric of which neither way is better, to compare with the champion | `Fail`, likewise |
//! | the metric, without a value ([`Undefined`](crate::num::Undefined)) | `Insufficient` |
//! | a disparity that leaves out groups | `Insufficient`: what the left-out groups would have shown is not known |
//! | fewer rows than `min_rows`, or none | `Insufficient` |
//! | no interval where one is required | `Insufficient` |
//! | a value beyond a bound | `Fail` |
//! | a NaN or an infinity anywhere | no decision: [`GateSpec::decide`] returns an error |
//!
//! A comparison with the champion decides only on the same data: a champion's report about other data, of another task, or
//! without the metric makes the criterion `Insufficient`. What holds when there is no champion at all is the criterion's
//! `no_champion`; the default is `insufficient`, and a gate for a first release says `pass`.
//!
//! Values are compared with a slack of four units in the last place, so that what is equal in decimal passes: 0.85 is a gain
//! of 0.05 over 0.8, although 0.8 + 0.05 is 0.8500000000000001 in binary.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::subject::{Found, Subject, at_least, check_report, magnitude, number, show};
use super::{CriterionResult, EvaluationReport, GateDecision, Verdict};
use crate::config::{self, Document};
use crate::error::{Error, Result, quote};
use crate::hash::{Digest, digest_json};
use crate::id::MetricKey;
use crate::num::Measured;
use crate::problem::Direction;
use crate::time::Timestamp;

/// The most criteria of a gate.
const MAX_CRITERIA: usize = 1_000;
/// The longest name of a gate and id of a criterion, in characters.
const MAX_NAME: usize = 128;
/// The longest name of a slice or attribute, in characters.
const MAX_LABEL: usize = 1_024;

/// An end of a confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalEnd {
    /// The lower end: goes with `min`.
    Low,
    /// The upper end: goes with `max`.
    High,
}

/// What a comparison with the champion says when there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoChampion {
    /// The criterion passes: a first release is possible.
    Pass,
    /// The criterion fails.
    Fail,
    /// The criterion cannot be decided. The default: nobody releases for the first time by accident.
    #[default]
    Insufficient,
}

impl From<NoChampion> for Verdict {
    fn from(policy: NoChampion) -> Self {
        match policy {
            NoChampion::Pass => Self::Pass,
            NoChampion::Fail => Self::Fail,
            NoChampion::Insufficient => Self::Insufficient,
        }
    }
}

/// One criterion of a gate: a number of the report and the bounds it must keep. All bounds given must hold.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// A name for the criterion, of its own within the gate: a letter or digit, then letters, digits, `.`, `_`, `-`.
    pub id: String,
    /// The metric; with `attribute`, the disparity.
    pub metric: MetricKey,
    /// The slice over which the metric is taken, as the report names it.
    #[serde(default)]
    pub slice: Option<String>,
    /// The sensitive attribute between whose groups `metric` is a disparity, as the report names it.
    #[serde(default)]
    pub attribute: Option<String>,
    /// The smallest value allowed.
    #[serde(default)]
    pub min: Option<f64>,
    /// The largest value allowed.
    #[serde(default)]
    pub max: Option<f64>,
    /// The fewest rows on which the value may rest; at least one is always needed.
    #[serde(default)]
    pub min_rows: Option<u64>,
    /// Compare this end of the 95 % confidence interval with the bound, in place of the value: `low` with `min`, `high`
    /// with `max`. The other way round a wide interval would help to pass.
    #[serde(default)]
    pub require_interval: Option<IntervalEnd>,
    /// By how much the value may be worse than the champion's, in the metric's own direction; 0 or more.
    #[serde(default)]
    pub max_drop: Option<f64>,
    /// By how much the value must be better than the champion's, in the metric's own direction; 0 or more, and 0 asks for
    /// as good.
    #[serde(default)]
    pub min_gain: Option<f64>,
    /// What holds when there is no champion; only with `max_drop` or `min_gain`.
    #[serde(default)]
    pub no_champion: Option<NoChampion>,
}

impl Criterion {
    /// A criterion about a metric, still without a bound.
    pub fn new(id: impl Into<String>, metric: MetricKey) -> Self {
        Self {
            id: id.into(),
            metric,
            slice: None,
            attribute: None,
            min: None,
            max: None,
            min_rows: None,
            require_interval: None,
            max_drop: None,
            min_gain: None,
            no_champion: None,
        }
    }

    /// Takes the metric over one slice.
    #[must_use]
    pub fn with_slice(mut self, slice: impl Into<String>) -> Self {
        self.slice = Some(slice.into());
        self
    }

    /// Takes the disparity between the groups of an attribute.
    #[must_use]
    pub fn with_attribute(mut self, attribute: impl Into<String>) -> Self {
        self.attribute = Some(attribute.into());
        self
    }

    /// Asks for at least `min`.
    #[must_use]
    pub fn with_min(mut self, min: f64) -> Self {
        self.min = Some(min);
        self
    }

    /// Asks for at most `max`.
    #[must_use]
    pub fn with_max(mut self, max: f64) -> Self {
        self.max = Some(max);
        self
    }

    /// Asks for at least so many rows.
    #[must_use]
    pub fn with_min_rows(mut self, rows: u64) -> Self {
        self.min_rows = Some(rows);
        self
    }

    /// Compares an end of the confidence interval in place of the value.
    #[must_use]
    pub fn with_interval(mut self, end: IntervalEnd) -> Self {
        self.require_interval = Some(end);
        self
    }

    /// Allows to be worse than the champion by at most `drop`.
    #[must_use]
    pub fn with_max_drop(mut self, drop: f64) -> Self {
        self.max_drop = Some(drop);
        self
    }

    /// Asks to be better than the champion by at least `gain`.
    #[must_use]
    pub fn with_min_gain(mut self, gain: f64) -> Self {
        self.min_gain = Some(gain);
        self
    }

    /// Says what holds when there is no champion.
    #[must_use]
    pub fn with_no_champion(mut self, policy: NoChampion) -> Self {
        self.no_champion = Some(policy);
        self
    }

    fn subject(&self) -> Subject<'_> {
        Subject { metric: &self.metric, slice: self.slice.as_deref(), attribute: self.attribute.as_deref() }
    }

    fn compares(&self) -> bool {
        self.max_drop.is_some() || self.min_gain.is_some()
    }

    /// The first thing that is wrong with the criterion: at which key, and what.
    fn fault(&self) -> Option<(&'static str, String)> {
        let word = |key, message: &str| Some((key, message.to_owned()));
        if let Some(message) = name_fault(&self.id) {
            return Some(("id", message));
        }
        for (key, label) in [("slice", &self.slice), ("attribute", &self.attribute)] {
            if let Some(message) = label.as_deref().and_then(label_fault) {
                return Some((key, message));
            }
        }
        if self.slice.is_some() && self.attribute.is_some() {
            return word("attribute", "a criterion is about a slice or an attribute, not both");
        }
        if self.min_rows == Some(0) {
            return word("min_rows", "is 0, but at least one row is always needed");
        }
        self.number_fault().or_else(|| self.bound_fault())
    }

    fn number_fault(&self) -> Option<(&'static str, String)> {
        let keys = [
            ("min", self.min, f64::MIN),
            ("max", self.max, f64::MIN),
            ("max_drop", self.max_drop, 0.0),
            ("min_gain", self.min_gain, 0.0),
        ];
        for (key, value, lowest) in keys {
            match value {
                Some(v) if !v.is_finite() => {
                    return Some((key, format!("is {v}, which is not a finite number")));
                }
                Some(v) if v < lowest => return Some((key, format!("is {v}, a margin is 0 or more"))),
                _ => {}
            }
        }
        match (self.min, self.max) {
            (Some(min), Some(max)) if min > max => {
                Some(("min", format!("is {min}, which is more than `max`, {max}: nothing could pass")))
            }
            _ => None,
        }
    }

    fn bound_fault(&self) -> Option<(&'static str, String)> {
        let word = |key, message: &str| Some((key, message.to_owned()));
        let bounds = (self.min.is_some(), self.max.is_some());
        if bounds == (false, false) && !self.compares() {
            return word(
                "criteria",
                "the criterion has no bound: give `min`, `max`, `max_drop` or `min_gain`",
            );
        }
        if self.max_drop.is_some() && self.min_gain.is_some() {
            return word("max_drop", "and `min_gain` contradict each other: give one");
        }
        if self.no_champion.is_some() && !self.compares() {
            return word("no_champion", "needs `max_drop` or `min_gain`");
        }
        match (self.require_interval, bounds) {
            (None, _) => None,
            (Some(_), _) if self.compares() => {
                word("require_interval", "is about this model alone, it cannot be compared with a champion")
            }
            (Some(IntervalEnd::Low), (true, false)) | (Some(IntervalEnd::High), (false, true)) => None,
            (Some(IntervalEnd::Low), _) => {
                word("require_interval", "\"low\" goes with `min` and without `max`")
            }
            (Some(IntervalEnd::High), _) => {
                word("require_interval", "\"high\" goes with `max` and without `min`")
            }
        }
    }
}

fn name_fault(name: &str) -> Option<String> {
    let ok = |(i, c): (usize, char)| c.is_ascii_alphanumeric() || (i > 0 && matches!(c, '.' | '_' | '-'));
    let characters = name.chars().count();
    if name.is_empty() {
        return Some("must not be empty".to_owned());
    }
    if characters > MAX_NAME {
        return Some(format!("has {characters} characters, at most {MAX_NAME} are allowed"));
    }
    let form = "a letter or digit, then letters, digits, `.`, `_`, `-`";
    (!name.chars().enumerate().all(ok)).then(|| format!("is `{}`, expected {form}", quote(name)))
}

fn label_fault(label: &str) -> Option<String> {
    let characters = label.chars().count();
    if label.trim().is_empty() {
        return Some("must not be empty".to_owned());
    }
    (characters > MAX_LABEL).then(|| format!("has {characters} characters, at most {MAX_LABEL} are allowed"))
}

/// A gate's file, or the same built in code: a name and criteria, checked.
///
/// # Example: a gate in a file
///
/// ```
/// use mlops_core::evaluation::GateSpec;
///
/// let gate = GateSpec::from_toml(
///     r#"
///     name = "release"
///
///     [[criteria]]                    # good enough, and surely so
///     id = "auc"
///     metric = "roc_auc"
///     min = 0.75
///     require_interval = "low"
///
///     [[criteria]]                    # also for the old
///     id = "auc-60"
///     metric = "roc_auc"
///     slice = "age band=60+"
///     min = 0.7
///     min_rows = 50
///
///     [[criteria]]                    # fair
///     id = "parity"
///     metric = "demographic_parity_difference"
///     attribute = "sex"
///     max = 0.1
///
///     [[criteria]]                    # not worse than what serves now
///     id = "no-step-back"
///     metric = "roc_auc"
///     max_drop = 0.01
///     no_champion = "pass"
///     "#,
/// )?;
/// assert_eq!(gate.criteria().len(), 4);
///
/// let error = GateSpec::from_toml("name = \"g\"\n[[criteria]]\nid = \"auc\"\nmetric = \"roc_auc\"\nmni = 0.7").unwrap_err();
/// assert_eq!(error.message(), "unknown key `mni`; did you mean `min`?");
/// assert_eq!((error.context("id"), error.context("line")), (Some("auc"), Some("5")));
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// # Example: a gate in code
///
/// ```
/// use mlops_core::MetricKey;
/// use mlops_core::evaluation::{Criterion, GateSpec};
///
/// let criterion = Criterion::new("auc", MetricKey::new("roc_auc")?).with_min(0.75);
/// assert!(GateSpec::new("release", vec![criterion]).is_ok());
/// // A gate without criteria would let everything through.
/// assert!(GateSpec::new("release", vec![]).is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GateSpec {
    name: String,
    criteria: Vec<Criterion>,
    digest: Digest,
}

/// A gate as it stands in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GateFile {
    name: String,
    #[serde(default)]
    criteria: Vec<Criterion>,
}

/// What is wrong with a gate: with the criterion of this index, if it is one, at this key.
struct Fault {
    criterion: Option<usize>,
    key: &'static str,
    message: String,
}

impl GateSpec {
    /// A gate built in code; its digest is that of its canonical JSON.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with the context `field` and, where a criterion is wrong,
    /// `id`: no criteria or more than 1000, two of one id, no bound, a bound that is NaN or infinite, `min > max`, a negative
    /// margin, `require_interval` without its bound, `no_champion` without a comparison, a name of another form.
    pub fn new(name: impl Into<String>, criteria: Vec<Criterion>) -> Result<Self> {
        const OP: &str = "GateSpec::new";
        let name = name.into();
        if let Some(fault) = fault(&name, &criteria) {
            let error = Error::invalid(OP, fault.key, fault.message);
            return Err(match fault.criterion.and_then(|i| criteria.get(i)) {
                Some(criterion) => error.with("id", &criterion.id),
                None => error,
            });
        }
        let digest = digest_json(&(&name, &criteria))?;
        Ok(Self { name, criteria, digest })
    }

    /// Reads a gate from TOML; its digest is that of the text's bytes.
    ///
    /// # Errors
    /// As [`GateSpec::new`], and for an unknown key (with the nearest known one), a key that comes twice, a value of another
    /// type: with the context `line`. [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 1 MiB.
    pub fn from_toml(text: &str) -> Result<Self> {
        Self::read("GateSpec::from_toml", "(text)", text)
    }

    /// Reads a gate from a TOML file; its digest is that of the file's bytes.
    ///
    /// # Errors
    /// As [`GateSpec::from_toml`], with the context `file`; [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) or
    /// [`ErrorKind::Storage`](crate::ErrorKind::Storage) when the file cannot be read.
    ///
    /// ```
    /// use mlops_core::ErrorKind;
    /// use mlops_core::evaluation::GateSpec;
    /// assert_eq!(GateSpec::from_file("no-such-gate.toml").unwrap_err().kind(), ErrorKind::NotFound);
    /// ```
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        const OP: &str = "GateSpec::from_file";
        let path = path.as_ref();
        let text = config::read(OP, path)?;
        Self::read(OP, &path.display().to_string(), &text)
    }

    fn read(operation: &'static str, file: &str, text: &str) -> Result<Self> {
        let document = Document::new(operation, file, text)?;
        let GateFile { name, criteria } = document.parse(Some("criteria"))?;
        if let Some(fault) = fault(&name, &criteria) {
            let Some(index) = fault.criterion else {
                return Err(document.error(fault.key, document.offset(&[fault.key]), fault.message));
            };
            let at = document.offset_in("criteria", index, fault.key);
            let error = document.error(fault.key, at, fault.message);
            return Err(error.with("id", criteria.get(index).map_or("", |c| c.id.as_str())));
        }
        Ok(Self { name, criteria, digest: Digest::of(text.as_bytes()) })
    }

    /// The gate's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The criteria, in the order of the file.
    pub fn criteria(&self) -> &[Criterion] {
        &self.criteria
    }

    /// The digest of the file's bytes; every decision carries it.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Decides about a report, and where a criterion asks for it compares with the champion's report. A pure function; the
    /// table at the top of this module says which finding leads to which verdict. O(criteria × slices).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the metric when a report has a NaN, an infinity
    /// or an interval that is upside down: there is no decision then, and nothing passes.
    ///
    /// ```
    /// use mlops_core::MetricKey;
    /// use mlops_core::evaluation::{Criterion, Estimate, EvaluationReport, GateSpec, Verdict};
    /// use mlops_core::hash::Digest;
    /// use mlops_core::num::Measured;
    /// use mlops_core::problem::{Direction, Task};
    ///
    /// let auc = MetricKey::new("roc_auc")?;
    /// let at = "2026-01-05T09:00:00Z".parse()?;
    /// let (model, data) = (Digest::of(b"model"), Digest::of(b"data"));
    /// let mut report = EvaluationReport::new(model, data, Task::BinaryClassification, at, 111);
    /// report.metrics.insert(auc.clone(), Estimate::new(Measured::Value(0.71), Direction::HigherIsBetter, 111));
    ///
    /// let gate = GateSpec::new("release", vec![Criterion::new("auc", auc).with_min(0.75)])?;
    /// let decision = gate.decide(&report, None, at)?;
    /// assert_eq!(decision.verdict, Verdict::Fail);
    /// assert_eq!(decision.criteria[0].reason, "roc_auc is 0.71, at least 0.75 is needed");
    /// assert!(decision.require_pass(&model).is_err());
    /// println!("{decision}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn decide(
        &self,
        report: &EvaluationReport,
        champion: Option<&EvaluationReport>,
        at: Timestamp,
    ) -> Result<GateDecision> {
        const OP: &str = "GateSpec::decide";
        let champion = champion.filter(|_| self.criteria.iter().any(Criterion::compares));
        check_report(OP, "report", report)?;
        champion.map_or(Ok(()), |champion| check_report(OP, "champion", champion))?;
        let champion_report = champion.map(EvaluationReport::digest).transpose()?;
        let criteria = self.criteria.iter().map(|c| c.judge(report, champion)).collect();
        let report_digest = report.digest()?;
        Ok(GateDecision::new(
            &self.name,
            self.digest,
            report.model,
            report_digest,
            champion_report,
            at,
            criteria,
        ))
    }

    /// Nothing, if a decision was made by this very gate: whoever changes the file after the decision has to decide anew.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) when the decision carries another digest.
    ///
    /// ```
    /// # use mlops_core::evaluation::{EvaluationReport, GateSpec};
    /// # use mlops_core::{hash::Digest, problem::Task};
    /// # let at = "2026-01-05T09:00:00Z".parse()?;
    /// # let report = EvaluationReport::new(Digest::of(b"m"), Digest::of(b"d"), Task::Regression, at, 9);
    /// let text = "name = \"g\"\n[[criteria]]\nid = \"a\"\nmetric = \"rmse\"\nmax = 50";
    /// let gate = GateSpec::from_toml(text)?;
    /// let decision = gate.decide(&report, None, at)?;
    /// assert!(gate.require_made(&decision).is_ok());
    /// assert!(GateSpec::from_toml(&text.replace("50", "99"))?.require_made(&decision).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn require_made(&self, decision: &GateDecision) -> Result<()> {
        if decision.gate_digest == self.digest {
            return Ok(());
        }
        let message = "the decision was made by another gate file";
        Err(Error::conflict("GateSpec::require_made", message, self.digest, decision.gate_digest))
    }
}

fn fault(name: &str, criteria: &[Criterion]) -> Option<Fault> {
    let whole = |key, message: String| Some(Fault { criterion: None, key, message });
    if let Some(message) = name_fault(name) {
        return whole("name", message);
    }
    if criteria.is_empty() {
        return whole(
            "criteria",
            "a gate needs at least one criterion: without any, everything would pass".to_owned(),
        );
    }
    if criteria.len() > MAX_CRITERIA {
        let message = format!("a gate has at most {MAX_CRITERIA} criteria, this one has {}", criteria.len());
        return whole("criteria", message);
    }
    let mut seen = HashSet::new();
    criteria.iter().enumerate().find_map(|(index, criterion)| {
        let twice = || ("id", "is the id of an earlier criterion too".to_owned());
        let fault = criterion.fault().or_else(|| (!seen.insert(criterion.id.as_str())).then(twice));
        fault.map(|(key, message)| Fault { criterion: Some(index), key, message })
    })
}

/// What one bound says, as a verdict and a sentence.
type Finding = (Verdict, String);

impl Criterion {
    fn judge(&self, report: &EvaluationReport, champion: Option<&EvaluationReport>) -> CriterionResult {
        let subject = self.subject();
        let result =
            |verdict, observed, reason: String| CriterionResult::new(&self.id, verdict, observed, reason);
        let found = match subject.find(report) {
            Ok(found) => found,
            Err(reason) => return result(Verdict::Fail, None, reason),
        };
        let observed = Some(found.estimate.value);
        let point = match found.usable(self.min_rows.unwrap_or(1)) {
            Ok(value) => value,
            Err(reason) => return result(Verdict::Insufficient, observed, format!("{subject} {reason}")),
        };
        let Some((value, what)) = self.judged(&found, point) else {
            let reason = format!("{subject} has no confidence interval, the gate asks for one");
            return result(Verdict::Insufficient, observed, reason);
        };
        let findings: Vec<Finding> = [
            self.min.map(|min| lower_bound(&what, value, min)),
            self.max.map(|max| upper_bound(&what, value, max)),
            self.compares().then(|| self.against(&found, value, report, champion)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let verdict = Verdict::all(findings.iter().map(|(verdict, _)| *verdict));
        result(verdict, Some(Measured::Value(value)), sentence(verdict, &findings))
    }

    /// The number that is compared with the bounds, and its name.
    fn judged(&self, found: &Found<'_>, point: f64) -> Option<(f64, String)> {
        let subject = self.subject();
        let Some(end) = self.require_interval else { return Some((point, subject.to_string())) };
        let (low, high) = found.estimate.interval?;
        Some(match end {
            IntervalEnd::Low => (low, format!("the lower 95 % bound of {subject}")),
            IntervalEnd::High => (high, format!("the upper 95 % bound of {subject}")),
        })
    }

    fn against(
        &self,
        found: &Found<'_>,
        value: f64,
        report: &EvaluationReport,
        champion: Option<&EvaluationReport>,
    ) -> Finding {
        let subject = self.subject();
        if let Some(reason) = undirected(subject, found) {
            return (Verdict::Fail, reason);
        }
        let Some(champion) = champion else {
            let verdict = Verdict::from(self.no_champion.unwrap_or_default());
            return (verdict, format!("there is no champion to compare {subject} with"));
        };
        match comparable(subject, found, report, champion) {
            Err(reason) => (Verdict::Insufficient, reason),
            Ok(old) => self.margin(found.estimate.direction, value, old),
        }
    }

    fn margin(&self, direction: Direction, new: f64, old: f64) -> Finding {
        let (margin, demand) = match (self.min_gain, self.max_drop) {
            (Some(gain), _) => (gain, format!("it must be better by at least {}", number(gain))),
            (None, drop) => {
                let drop = drop.unwrap_or_default();
                (-drop, format!("it may be worse by at most {}", number(drop)))
            }
        };
        let (ok, threshold) = keeps_margin(direction, new, old, margin);
        let subject = self.subject();
        let (new, old) = (show(new, threshold), show(old, new));
        (pass_if(ok), format!("{subject} is {new} and the champion's is {old}, {demand}"))
    }
}

/// Whether `new` is better than `old` by at least `margin` (worse by at most, where it is negative), and the value that
/// would just do.
pub(super) fn keeps_margin(direction: Direction, new: f64, old: f64, margin: f64) -> (bool, f64) {
    let scale = magnitude(&[new, old, margin]);
    match direction {
        Direction::HigherIsBetter => (at_least(new, old + margin, scale), old + margin),
        Direction::LowerIsBetter => (at_least(-new, -(old - margin), scale), old - margin),
        // Nothing is better than anything: no margin is ever kept.
        Direction::Neither => (false, old),
    }
}

/// A sentence, for a metric in which nothing can be better than anything else.
pub(super) fn undirected(subject: Subject<'_>, found: &Found<'_>) -> Option<String> {
    let neither = found.estimate.direction == Direction::Neither;
    neither.then(|| {
        format!("of {subject} neither more nor less is better: it cannot be compared with a champion's")
    })
}

/// The champion's value, if its report speaks of the same rows; else a sentence that says why it cannot be compared.
pub(super) fn comparable(
    subject: Subject<'_>,
    found: &Found<'_>,
    report: &EvaluationReport,
    champion: &EvaluationReport,
) -> Result<f64, String> {
    if champion.data != report.data {
        let (theirs, ours) = (champion.data.short(), report.data.short());
        return Err(format!("the champion was evaluated on other data ({theirs}) than this model ({ours})"));
    }
    if champion.task != report.task {
        return Err("the champion answers another kind of question".to_owned());
    }
    let other = subject.find(champion).map_err(|reason| format!("of the champion, {reason}"))?;
    let old = other.usable(1).map_err(|reason| format!("the champion's {subject} {reason}"))?;
    let (here, there) = (found.estimate, other.estimate);
    if here.direction != there.direction {
        return Err(format!("the two reports disagree on which way {subject} is better"));
    }
    if here.rows != there.rows {
        let (theirs, ours) = (there.rows, here.rows);
        return Err(format!("the champion's {subject} rests on {theirs} rows, this model's on {ours}"));
    }
    Ok(old)
}

fn pass_if(ok: bool) -> Verdict {
    if ok { Verdict::Pass } else { Verdict::Fail }
}

fn lower_bound(what: &str, value: f64, min: f64) -> Finding {
    let ok = at_least(value, min, magnitude(&[value, min]));
    (pass_if(ok), format!("{what} is {}, at least {} is needed", show(value, min), number(min)))
}

fn upper_bound(what: &str, value: f64, max: f64) -> Finding {
    let ok = at_least(max, value, magnitude(&[value, max]));
    (pass_if(ok), format!("{what} is {}, at most {} is allowed", show(value, max), number(max)))
}

/// The sentences that led to the verdict.
fn sentence(verdict: Verdict, findings: &[Finding]) -> String {
    let led: Vec<&str> =
        findings.iter().filter(|(v, _)| *v == verdict).map(|(_, reason)| reason.as_str()).collect();
    led.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::evaluation::{Disparity, Estimate, FairnessReport, SliceReport};
    use crate::num::UndefinedReason;
    use crate::problem::Task;
    use std::collections::BTreeMap;

    const AT: Timestamp = chrono::DateTime::UNIX_EPOCH;

    fn key(name: &str) -> MetricKey {
        MetricKey::new(name).unwrap()
    }

    fn value(v: f64, rows: u64) -> Estimate {
        Estimate::new(Measured::Value(v), Direction::HigherIsBetter, rows)
    }

    fn cost(v: f64) -> Estimate {
        Estimate::new(Measured::Value(v), Direction::LowerIsBetter, 100)
    }

    /// A report about the data `d` with some metrics.
    fn report(metrics: &[(&str, Estimate)]) -> EvaluationReport {
        let (model, data) = (Digest::of(b"m"), Digest::of(b"d"));
        let mut report = EvaluationReport::new(model, data, Task::BinaryClassification, AT, 100);
        report.metrics = metrics.iter().map(|(k, e)| (key(k), *e)).collect();
        report
    }

    fn judge(
        criterion: Criterion,
        report: &EvaluationReport,
        champion: Option<&EvaluationReport>,
    ) -> CriterionResult {
        let gate = GateSpec::new("g", vec![criterion]).unwrap();
        let decision = gate.decide(report, champion, AT).unwrap();
        assert_eq!(decision.verdict, decision.criteria[0].verdict);
        decision.criteria[0].clone()
    }

    fn auc() -> Criterion {
        Criterion::new("c", key("auc"))
    }

    #[test]
    fn a_value_is_held_against_its_bounds() {
        use Verdict::{Fail, Pass};
        for (criterion, v, verdict, reason) in [
            (auc().with_min(0.75), 0.71, Fail, "auc is 0.71, at least 0.75 is needed"),
            (auc().with_min(0.75), 0.75, Pass, "auc is 0.75, at least 0.75 is needed"),
            (auc().with_max(0.1), 0.1 + 1e-9, Fail, "auc is 0.100000001, at most 0.1 is allowed"),
            (auc().with_max(0.3), 0.1 + 0.2, Pass, "auc is 0.30000000000000004, at most 0.3 is allowed"),
            (
                auc().with_min(0.1).with_max(0.2),
                0.15,
                Pass,
                "auc is 0.15, at least 0.1 is needed; auc is 0.15, at most 0.2 is allowed",
            ),
            (auc().with_min(0.1).with_max(0.2), 0.3, Fail, "auc is 0.3, at most 0.2 is allowed"),
            (
                auc().with_min(0.5).with_max(0.5),
                0.5,
                Pass,
                "auc is 0.5, at least 0.5 is needed; auc is 0.5, at most 0.5 is allowed",
            ),
            (auc().with_min(-2.0), -1.0, Pass, "auc is -1, at least -2 is needed"),
        ] {
            let result = judge(criterion, &report(&[("auc", value(v, 100))]), None);
            assert_eq!((result.verdict, result.reason.as_str()), (verdict, reason));
            assert_eq!(result.observed, Some(Measured::Value(v)));
        }
    }

    #[test]
    fn what_was_not_measured_fails_and_what_is_thin_is_insufficient() {
        use Verdict::{Fail, Insufficient};
        let none =
            Estimate::new(Measured::none(UndefinedReason::SingleClass, 1, 2), Direction::HigherIsBetter, 100);
        let mut full = report(&[("auc", value(0.9, 100)), ("recall", none), ("empty", value(0.9, 0))]);
        let metrics = |e| BTreeMap::from([(key("auc"), e)]);
        full.slices = vec![
            SliceReport::new("old", 9, metrics(value(0.9, 9))),
            SliceReport::new("twice", 9, metrics(value(0.9, 9))),
            SliceReport::new("twice", 9, metrics(value(0.9, 9))),
        ];
        let disparity = |left_out: &[&str]| {
            let left_out = left_out.iter().map(|s| (*s).to_owned()).collect();
            BTreeMap::from([(key("auc"), Disparity::new(value(0.0, 100), left_out))])
        };
        full.fairness = vec![
            FairnessReport::new("sex", vec![], disparity(&[])),
            FairnessReport::new("race", vec![], disparity(&["a", "b", "c"])),
        ];
        let min = |metric: &str| Criterion::new("c", key(metric)).with_min(-1.0);
        let about = |slice: &str| auc().with_min(-1.0).with_slice(slice);
        let over = |attribute: &str| auc().with_min(-1.0).with_attribute(attribute);
        for (criterion, verdict, reason) in [
            (min("acu"), Fail, "the report has no metric `acu`; did you mean `auc`?"),
            (min("f1"), Fail, "the report has no metric `f1`"),
            (min("recall"), Insufficient, "recall has no value: only one class is present"),
            (min("empty"), Insufficient, "empty rests on 0 rows, at least 1 are needed"),
            (min("auc").with_min_rows(101), Insufficient, "auc rests on 100 rows, at least 101 are needed"),
            (about("odl"), Fail, "the report has no slice `odl`; did you mean `old`?"),
            (about("twice"), Fail, "the report has more than one slice `twice`"),
            (
                about("old").with_min_rows(10),
                Insufficient,
                "auc in slice `old` rests on 9 rows, at least 10 are needed",
            ),
            (
                Criterion::new("c", key("f1")).with_min(0.0).with_slice("old"),
                Fail,
                "slice `old` has no metric `f1`",
            ),
            (over("age"), Fail, "the report has no sensitive attribute `age`"),
            (
                over("race"),
                Insufficient,
                "auc over `race` leaves out groups that are too small or undefined: `a` and 2 more",
            ),
            (
                min("auc").with_interval(IntervalEnd::Low),
                Insufficient,
                "auc has no confidence interval, the gate asks for one",
            ),
        ] {
            let result = judge(criterion, &full, None);
            assert_eq!((result.verdict, result.reason.as_str()), (verdict, reason));
        }
        assert_eq!(judge(min("auc").with_min_rows(100), &full, None).verdict, Verdict::Pass);
        assert_eq!(judge(over("sex"), &full, None).verdict, Verdict::Pass);
        assert_eq!(judge(about("old"), &full, None).verdict, Verdict::Pass);
    }

    #[test]
    fn a_number_that_is_none_gives_no_decision() {
        let gate = GateSpec::new("g", vec![auc().with_min(0.5).with_max_drop(1.0)]).unwrap();
        let good = report(&[("auc", value(0.9, 100))]);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for estimate in [
                value(bad, 100),
                value(0.9, 100).with_interval(bad, 1.0),
                value(0.9, 100).with_interval(0.0, bad),
                value(0.9, 100).with_interval(1.0, 0.0),
            ] {
                // Also where no criterion looks.
                for metric in ["auc", "other"] {
                    let mut broken = good.clone();
                    broken.metrics.insert(key(metric), estimate);
                    for error in [gate.decide(&broken, None, AT), gate.decide(&good, Some(&broken), AT)] {
                        let error = error.unwrap_err();
                        assert_eq!(error.kind(), ErrorKind::InvalidInput);
                        assert_eq!(error.context("metric"), Some(metric));
                    }
                }
            }
        }
    }

    #[test]
    fn a_required_interval_takes_the_place_of_the_value() {
        let estimate = value(0.8, 100).with_interval(0.7, 0.9);
        for (criterion, verdict, seen) in [
            (auc().with_min(0.75), Verdict::Pass, 0.8),
            (auc().with_min(0.75).with_interval(IntervalEnd::Low), Verdict::Fail, 0.7),
            (auc().with_min(0.7).with_interval(IntervalEnd::Low), Verdict::Pass, 0.7),
            (auc().with_max(0.85).with_interval(IntervalEnd::High), Verdict::Fail, 0.9),
            (auc().with_max(0.9).with_interval(IntervalEnd::High), Verdict::Pass, 0.9),
        ] {
            let result = judge(criterion, &report(&[("auc", estimate)]), None);
            assert_eq!(
                (result.verdict, result.observed),
                (verdict, Some(Measured::Value(seen))),
                "{}",
                result.reason
            );
        }
    }

    #[test]
    fn a_champion_is_compared_in_the_metrics_own_direction() {
        use Verdict::{Fail, Pass};
        let drop = |d| auc().with_max_drop(d);
        let gain = |g| auc().with_min_gain(g);
        for (criterion, new, old, lower, verdict) in [
            (gain(0.05), 0.85, 0.8, false, Pass),
            (gain(0.05), 0.849, 0.8, false, Fail),
            (gain(0.05), 0.8, 0.85, false, Fail),
            (gain(0.0), 0.8, 0.8, false, Pass),
            (gain(0.1), 0.2, 0.3, true, Pass),
            (gain(0.1), 0.21, 0.3, true, Fail),
            (drop(0.1), 0.3, 0.2, true, Pass),
            (drop(0.1), 0.301, 0.2, true, Fail),
            (drop(0.05), 0.8, 0.85, false, Pass),
            (drop(0.05), 0.79, 0.85, false, Fail),
            (drop(0.0), 0.8, 0.8, false, Pass),
            (drop(f64::MAX), 0.0, f64::MAX, false, Pass),
            (drop(f64::MAX), -f64::MAX, f64::MAX, false, Fail),
            (gain(f64::MAX), f64::MAX, f64::MAX, false, Fail),
        ] {
            let with = |v| report(&[("auc", if lower { cost(v) } else { value(v, 100) })]);
            let result = judge(criterion, &with(new), Some(&with(old)));
            assert_eq!(result.verdict, verdict, "{}", result.reason);
        }
        let (new, old) = (report(&[("auc", value(0.8, 100))]), report(&[("auc", value(0.83, 100))]));
        let reason = judge(drop(0.02), &new, Some(&old)).reason;
        assert_eq!(reason, "auc is 0.8 and the champion's is 0.83, it may be worse by at most 0.02");
    }

    #[test]
    fn a_champion_that_says_nothing_comparable_decides_nothing() {
        let new = report(&[("auc", value(0.8, 100))]);
        let none = Estimate::new(Measured::ratio(0.0, 0.0), Direction::HigherIsBetter, 100);
        let other_data = EvaluationReport { data: Digest::of(b"other"), ..new.clone() };
        let other_task = EvaluationReport { task: Task::Regression, ..new.clone() };
        for (champion, reason) in [
            (
                other_data,
                "the champion was evaluated on other data (d9298a10d1b0) than this model (18ac3e7343f0)",
            ),
            (other_task, "the champion answers another kind of question"),
            (report(&[]), "of the champion, the report has no metric `auc`"),
            (report(&[("auc", none)]), "the champion's auc has no value: the denominator is zero"),
            (report(&[("auc", cost(0.8))]), "the two reports disagree on which way auc is better"),
            (report(&[("auc", value(0.8, 99))]), "the champion's auc rests on 99 rows, this model's on 100"),
        ] {
            let result = judge(auc().with_max_drop(1.0), &new, Some(&champion));
            assert_eq!((result.verdict, result.reason.as_str()), (Verdict::Insufficient, reason));
        }
    }

    #[test]
    fn a_metric_without_a_direction_has_bounds_but_no_champion() {
        let rate = Estimate::new(Measured::Value(0.5), Direction::Neither, 100);
        let new = report(&[("rate", rate)]);
        let rate = || Criterion::new("c", key("rate"));
        assert_eq!(judge(rate().with_min(0.4).with_max(0.6), &new, None).verdict, Verdict::Pass);
        for criterion in [rate().with_max_drop(1.0), rate().with_min_gain(0.0)] {
            for champion in [None, Some(&new)] {
                let result = judge(criterion.clone().with_no_champion(NoChampion::Pass), &new, champion);
                assert_eq!(result.verdict, Verdict::Fail, "{}", result.reason);
            }
        }
    }

    #[test]
    fn what_holds_without_a_champion_is_stated() {
        let new = report(&[("auc", value(0.8, 100))]);
        for (policy, verdict) in [
            (None, Verdict::Insufficient),
            (Some(NoChampion::Insufficient), Verdict::Insufficient),
            (Some(NoChampion::Pass), Verdict::Pass),
            (Some(NoChampion::Fail), Verdict::Fail),
        ] {
            let criterion = Criterion { no_champion: policy, ..auc().with_max_drop(0.1) };
            assert_eq!(judge(criterion.clone(), &new, None).verdict, verdict);
            // The policy is about the champion alone: the model's own bound still holds.
            assert_eq!(judge(criterion.with_min(0.9), &new, None).verdict, Verdict::Fail);
        }
    }

    #[test]
    fn the_champions_report_is_named_where_one_was_compared_with() {
        let (new, old) = (report(&[("auc", value(0.8, 100))]), report(&[("auc", value(0.7, 100))]));
        for (criterion, named) in
            [(auc().with_min(0.5), None), (auc().with_max_drop(0.0), Some(old.digest().unwrap()))]
        {
            let gate = GateSpec::new("g", vec![criterion]).unwrap();
            assert_eq!(gate.decide(&new, Some(&old), AT).unwrap().champion_report, named);
        }
    }

    const FILE: &str = "name = \"g\"\n[[criteria]]\nid = \"a\"\nmetric = \"auc\"\n";

    #[test]
    fn a_gate_that_could_mislead_is_refused_with_its_place() {
        for (text, field, id, line) in [
            ("name = \"g\"", "criteria", None, None),
            ("name = \"g\"\ncriteria = []", "criteria", None, Some("2")),
            ("name = \"../g\"\ncriteria = []", "name", None, Some("1")),
            ("", "name", None, Some("1")),
            (FILE, "criteria", Some("a"), Some("2")),
            (&format!("{FILE}min = nan"), "min", Some("a"), Some("5")),
            (&format!("{FILE}max = -inf"), "max", Some("a"), Some("5")),
            (&format!("{FILE}min = 0.9\nmax = 0.8"), "min", Some("a"), Some("5")),
            (&format!("{FILE}max_drop = -0.1"), "max_drop", Some("a"), Some("5")),
            (&format!("{FILE}\nmin_gain = nan"), "min_gain", Some("a"), Some("6")),
            (&format!("{FILE}min_gain = 0\nmax_drop = 0"), "max_drop", Some("a"), Some("6")),
            (&format!("{FILE}min = 0\nno_champion = \"pass\""), "no_champion", Some("a"), Some("6")),
            (
                &format!("{FILE}min = 0\nrequire_interval = \"high\""),
                "require_interval",
                Some("a"),
                Some("6"),
            ),
            (&format!("{FILE}max = 0\nrequire_interval = \"low\""), "require_interval", Some("a"), Some("6")),
            (
                &format!("{FILE}min = 0\nmax = 1\nrequire_interval = \"low\""),
                "require_interval",
                Some("a"),
                Some("7"),
            ),
            (
                &format!("{FILE}max_drop = 0\nrequire_interval = \"low\""),
                "require_interval",
                Some("a"),
                Some("6"),
            ),
            (&format!("{FILE}min = 0\nmin_rows = 0"), "min_rows", Some("a"), Some("6")),
            (&format!("{FILE}min = 0\nmin_rows = -1"), "criteria.min_rows", Some("a"), Some("6")),
            (&format!("{FILE}min = 0\nslice = \" \""), "slice", Some("a"), Some("6")),
            (&format!("{FILE}min = 0\nslice = \"x\"\nattribute = \"y\""), "attribute", Some("a"), Some("7")),
            (&format!("{FILE}max = 0.1\nmax = 999"), "max", Some("a"), Some("6")),
            (&format!("{FILE}maxx = 0.1"), "maxx", Some("a"), Some("5")),
            (&format!("{FILE}min = \"0.1\""), "criteria.min", Some("a"), Some("5")),
            (&format!("{FILE}min = 1_0_\n"), "file", Some("a"), Some("5")),
            (
                &format!("{FILE}min = 0\n[[criteria]]\nid = \"a\"\nmetric = \"f1\"\nmin = 0"),
                "id",
                Some("a"),
                Some("7"),
            ),
            (&FILE.replace("\"a\"", "\"a b\""), "id", Some("a b"), Some("3")),
            (&FILE.replace("auc", "../x"), "criteria.metric", Some("a"), Some("4")),
        ] {
            let error = GateSpec::from_toml(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            assert_eq!(error.context("field"), Some(field), "{text}: {error}");
            assert_eq!((error.context("id"), error.context("line")), (id, line), "{text}: {error}");
        }
    }

    #[test]
    fn a_threshold_beyond_every_number_is_refused() {
        let error = GateSpec::from_toml(&format!("{FILE}min = 1e400")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }

    #[test]
    fn numbers_are_tomls_own() {
        for (text, expected) in
            [("1", 1.0), ("1_000", 1000.0), ("1e3", 1000.0), ("-0.0", 0.0), ("0x10", 16.0)]
        {
            let gate = GateSpec::from_toml(&format!("{FILE}min = {text}")).unwrap();
            assert_eq!(gate.criteria()[0].min, Some(expected), "{text}");
        }
        for text in ["012", "no", "1,5", ".5"] {
            assert!(GateSpec::from_toml(&format!("{FILE}min = {text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn a_gate_in_code_is_held_to_the_same_rules() {
        for (criteria, field) in [
            (vec![], "criteria"),
            (vec![auc()], "criteria"),
            (vec![auc().with_min(f64::NAN)], "min"),
            (vec![auc().with_min(0.0), auc().with_max(0.0)], "id"),
            (vec![auc().with_min(0.0); 1_001], "criteria"),
        ] {
            assert_eq!(GateSpec::new("g", criteria).unwrap_err().context("field"), Some(field));
        }
        assert_eq!(GateSpec::new("", vec![auc().with_min(0.0)]).unwrap_err().context("field"), Some("name"));
    }

    #[test]
    fn changing_one_byte_of_the_file_changes_the_digest_of_the_decision() {
        let text = format!("{FILE}min = 0.75 # as agreed");
        let new = report(&[("auc", value(0.8, 100))]);
        let digest =
            |text: &str| GateSpec::from_toml(text).unwrap().decide(&new, None, AT).unwrap().gate_digest;
        assert_eq!(digest(&text), Digest::of(text.as_bytes()));
        // A threshold, a comment, a blank.
        for changed in [text.replace("0.75", "0.74"), text.replace("agreed", "agreeb"), format!("{text} ")] {
            assert_ne!(digest(&changed), digest(&text), "{changed}");
        }
        let coded = |min| GateSpec::new("g", vec![auc().with_min(min)]).unwrap().digest();
        assert_ne!(coded(0.75), coded(0.74));
    }

    #[test]
    fn a_file_is_read_as_its_text_is() {
        let path = std::env::temp_dir().join(format!("mlops-gate-{}.toml", uuid::Uuid::new_v4()));
        let text = format!("{FILE}min = 0.75\r\n");
        std::fs::write(&path, &text).unwrap();
        let read = GateSpec::from_file(&path).unwrap();
        std::fs::write(&path, format!("{FILE}mn = 0.75")).unwrap();
        let error = GateSpec::from_file(&path).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read, GateSpec::from_toml(&text).unwrap());
        assert!(error.context("file").is_some_and(|f| !f.is_empty() && f != "(text)"), "{error}");
    }
}
