//! What is to be labelled, how, and by whom.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::agreement::Level;
use crate::error::{Error, Result, quote};
use crate::hash::Digest;
use crate::id::{ActorId, AssetName};
use crate::time::duration_text;

const OP: &str = "LabelProject";

/// The longest id, class or reason, in characters.
const MAX_TEXT: usize = 256;

/// The most classes, annotators a task, and suggestions a task.
pub(super) const MAX_CLASSES: usize = 10_000;
const MAX_OVERLAP: usize = 100;
pub(super) const MAX_PRELABELS: usize = 100;

/// Checks an id, a class or a reason: one line, visible, not too long, and nothing that a spreadsheet would compute.
pub(super) fn check_line(operation: &'static str, field: &str, text: &str) -> Result<()> {
    let refuse = |message: &str| Err(Error::invalid(operation, field, message).with("value", text));
    let length = text.chars().count();
    if text.trim().is_empty() {
        return refuse("must not be empty");
    }
    if length > MAX_TEXT {
        return Err(Error::limit(operation, "the length of a text", MAX_TEXT, length).with("field", field));
    }
    if text.chars().any(crate::error::needs_escape) {
        return refuse("must be one line without invisible characters");
    }
    if text.starts_with(['=', '+', '-', '@']) && text.parse::<f64>().is_err() {
        return refuse("must not begin like a formula: with =, +, - or @");
    }
    Ok(())
}

/// What a label may be.
///
/// ```
/// use mlops_core::data::{LabelScheme, LabelValue};
/// let scheme = LabelScheme::nominal(["cat", "dog"])?;
/// assert!(scheme.check(&LabelValue::from("cat")).is_ok());
/// assert!(scheme.check(&LabelValue::from("cow")).is_err());
/// assert!(scheme.check(&LabelValue::from(1.0)).is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "SchemeWire", into = "SchemeWire")]
pub enum LabelScheme {
    /// One of these classes.
    Nominal(Vec<String>),
    /// One of these classes, which stand in an order.
    Ordinal(Vec<String>),
    /// A number whose differences mean something.
    Interval {
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
    },
    /// A number from zero on whose ratios mean something.
    Ratio {
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum SchemeWire {
    Nominal(Vec<String>),
    Ordinal(Vec<String>),
    Interval { min: f64, max: f64 },
    Ratio { min: f64, max: f64 },
}

impl From<LabelScheme> for SchemeWire {
    fn from(scheme: LabelScheme) -> Self {
        match scheme {
            LabelScheme::Nominal(classes) => Self::Nominal(classes),
            LabelScheme::Ordinal(classes) => Self::Ordinal(classes),
            LabelScheme::Interval { min, max } => Self::Interval { min, max },
            LabelScheme::Ratio { min, max } => Self::Ratio { min, max },
        }
    }
}

impl TryFrom<SchemeWire> for LabelScheme {
    type Error = Error;

    fn try_from(wire: SchemeWire) -> Result<Self> {
        match wire {
            SchemeWire::Nominal(classes) => Self::nominal(classes),
            SchemeWire::Ordinal(classes) => Self::ordinal(classes),
            SchemeWire::Interval { min, max } => Self::interval(min, max),
            SchemeWire::Ratio { min, max } => Self::ratio(min, max),
        }
    }
}

impl LabelScheme {
    /// Classes without an order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for fewer than two, two of one name, and a name that is no
    /// visible line of text; [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 10 000.
    pub fn nominal<S: Into<String>>(classes: impl IntoIterator<Item = S>) -> Result<Self> {
        checked_classes(classes).map(Self::Nominal)
    }

    /// Classes from the lowest to the highest.
    ///
    /// # Errors
    /// As [`LabelScheme::nominal`].
    pub fn ordinal<S: Into<String>>(classes: impl IntoIterator<Item = S>) -> Result<Self> {
        checked_classes(classes).map(Self::Ordinal)
    }

    /// Numbers in `[min, max]`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless both are finite and min < max.
    pub fn interval(min: f64, max: f64) -> Result<Self> {
        checked_range(min, max)?;
        Ok(Self::Interval { min, max })
    }

    /// Numbers in `[min, max]`, from zero on.
    ///
    /// # Errors
    /// As [`LabelScheme::interval`], and for a negative min.
    pub fn ratio(min: f64, max: f64) -> Result<Self> {
        checked_range(min, max)?;
        if min < 0.0 {
            return Err(Error::invalid(OP, "min", format!("must not be negative, got {min}")));
        }
        Ok(Self::Ratio { min, max })
    }

    /// The classes, if labels are classes.
    pub fn classes(&self) -> Option<&[String]> {
        match self {
            Self::Nominal(classes) | Self::Ordinal(classes) => Some(classes),
            Self::Interval { .. } | Self::Ratio { .. } => None,
        }
    }

    /// What agreement means for these labels.
    pub fn level(&self) -> Level {
        match self {
            Self::Nominal(_) => Level::Nominal,
            Self::Ordinal(_) => Level::Ordinal,
            Self::Interval { .. } => Level::Interval,
            Self::Ratio { .. } => Level::Ratio,
        }
    }

    /// Checks a label.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for an unknown class, a number out of range, or a label of
    /// the other sort.
    pub fn check(&self, label: &LabelValue) -> Result<()> {
        self.code(label).map(|_| ())
    }

    /// The number of a label: its class's place, or itself.
    pub(super) fn code(&self, label: &LabelValue) -> Result<f64> {
        let refuse = |message: String| Err(Error::invalid("LabelScheme::check", "label", message));
        match (self, label) {
            (Self::Nominal(classes) | Self::Ordinal(classes), LabelValue::Class(class)) => {
                match classes.iter().position(|other| other == class) {
                    Some(place) => Ok(place as f64),
                    None => refuse(format!("\"{}\" is none of the {} classes", quote(class), classes.len())),
                }
            }
            (Self::Interval { min, max } | Self::Ratio { min, max }, LabelValue::Number(number)) => {
                match number {
                    // Both zeros are one label.
                    x if *x >= *min && *x <= *max => Ok(*x + 0.0),
                    x => refuse(format!("{x} lies outside [{min}, {max}]")),
                }
            }
            (_, LabelValue::Class(class)) => refuse(format!("\"{}\" is no number", quote(class))),
            (_, LabelValue::Number(number)) => refuse(format!("{number} is no class")),
        }
    }

    /// The label of a number made by [`code`](Self::code).
    #[expect(clippy::cast_sign_loss, reason = "codes of classes are places")]
    pub(super) fn label(&self, code: f64) -> LabelValue {
        match self.classes().and_then(|classes| classes.get(code as usize)) {
            Some(class) => LabelValue::Class(class.clone()),
            None => LabelValue::Number(code),
        }
    }
}

fn checked_classes<S: Into<String>>(classes: impl IntoIterator<Item = S>) -> Result<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut list = Vec::new();
    for class in classes {
        let class = class.into();
        check_line(OP, "classes", &class)?;
        if list.len() == MAX_CLASSES {
            return Err(Error::limit(OP, "the number of classes", MAX_CLASSES, MAX_CLASSES + 1));
        }
        if !seen.insert(class.clone()) {
            return Err(Error::invalid(OP, "classes", "has a class twice").with("value", class));
        }
        list.push(class);
    }
    if list.len() < 2 {
        return Err(Error::invalid(OP, "classes", format!("must be two at least, got {}", list.len())));
    }
    Ok(list)
}

fn checked_range(min: f64, max: f64) -> Result<()> {
    if min.is_finite() && max.is_finite() && min < max {
        return Ok(());
    }
    Err(Error::invalid(OP, "min", format!("must be finite with min < max, got {min} and {max}")))
}

/// A label: a class or a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LabelValue {
    /// A class.
    Class(String),
    /// A number.
    Number(f64),
}

impl From<&str> for LabelValue {
    fn from(class: &str) -> Self {
        Self::Class(class.to_owned())
    }
}

impl From<f64> for LabelValue {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl std::fmt::Display for LabelValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Class(class) => f.write_str(class),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// One thing to label: an id, and the digest of what is to be looked at, so that nobody labels another version of it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelTask {
    /// The id, unique in the queue: one visible line, at most 256 characters.
    pub id: String,
    /// The digest of the item.
    pub item: Digest,
}

impl LabelTask {
    /// A task for an item with this content.
    ///
    /// ```
    /// use mlops_core::data::LabelTask;
    /// assert_eq!(LabelTask::of("note-1", b"chest pain").id, "note-1");
    /// ```
    pub fn of(id: impl Into<String>, content: &[u8]) -> Self {
        Self { id: id.into(), item: Digest::of(content) }
    }
}

/// What a model suggests for a task. It is never counted as a label.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prelabel {
    /// Which model, with its version.
    pub model: String,
    /// What it suggests.
    pub label: LabelValue,
    /// How sure it says it is, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

impl Prelabel {
    /// A suggestion without a score.
    pub fn new(model: impl Into<String>, label: impl Into<LabelValue>) -> Self {
        Self { model: model.into(), label: label.into(), score: None }
    }

    /// Says how sure the model is.
    #[must_use]
    pub fn with_score(mut self, score: f64) -> Self {
        self.score = Some(score);
        self
    }
}

/// How labels come about.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::data::{LabelProject, LabelScheme};
/// use mlops_core::{ActorId, AssetName};
///
/// let project = LabelProject::new(AssetName::new("triage")?, LabelScheme::ordinal(["low", "high"])?)
///     .with_overlap(3)
///     .with_lease(Duration::from_secs(600))
///     .with_adjudicators([ActorId::new("senior")?]);
/// let text = serde_json::to_string(&project)?;
/// assert_eq!(serde_json::from_str::<LabelProject>(&text)?, project);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelProject {
    /// The name.
    pub name: AssetName,
    /// What a label may be.
    pub scheme: LabelScheme,
    /// How many annotators label each task.
    #[serde(default = "one")]
    pub overlap: usize,
    /// How long an annotator may take.
    #[serde(default = "quarter", with = "duration_text")]
    pub lease: Duration,
    /// Of classes: the share of the labels that must be the same, beyond one half; of more than that when they are as many.
    #[serde(default = "half")]
    pub consensus: f64,
    /// Of numbers: how far apart labels may lie that agree.
    #[serde(default)]
    pub tolerance: f64,
    /// After how many skips a task is set aside for an adjudicator.
    #[serde(default = "three")]
    pub max_skips: usize,
    /// Who may label; anybody when empty.
    #[serde(default)]
    pub annotators: BTreeSet<ActorId>,
    /// Who decides where annotators disagree.
    #[serde(default)]
    pub adjudicators: BTreeSet<ActorId>,
    /// Whether annotators see what models suggest.
    #[serde(default)]
    pub show_prelabels: bool,
}

const fn one() -> usize {
    1
}

const fn three() -> usize {
    3
}

const fn half() -> f64 {
    0.5
}

const fn quarter() -> Duration {
    Duration::from_secs(900)
}

impl LabelProject {
    /// One annotator a task, leases of 15 minutes, more than half must agree, numbers exactly, set aside after three skips.
    pub fn new(name: AssetName, scheme: LabelScheme) -> Self {
        Self {
            name,
            scheme,
            overlap: one(),
            lease: quarter(),
            consensus: half(),
            tolerance: 0.0,
            max_skips: three(),
            annotators: BTreeSet::new(),
            adjudicators: BTreeSet::new(),
            show_prelabels: false,
        }
    }

    /// How many annotators label each task, 1 to 100.
    #[must_use]
    pub fn with_overlap(mut self, overlap: usize) -> Self {
        self.overlap = overlap;
        self
    }

    /// How long an annotator may take.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// The share of labels of one class that makes it the label, in [0.5, 1]; more than half in any case.
    #[must_use]
    pub fn with_consensus(mut self, share: f64) -> Self {
        self.consensus = share;
        self
    }

    /// How far apart numbers may lie that agree.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Who may label.
    #[must_use]
    pub fn with_annotators(mut self, annotators: impl IntoIterator<Item = ActorId>) -> Self {
        self.annotators = annotators.into_iter().collect();
        self
    }

    /// Who decides where annotators disagree.
    #[must_use]
    pub fn with_adjudicators(mut self, adjudicators: impl IntoIterator<Item = ActorId>) -> Self {
        self.adjudicators = adjudicators.into_iter().collect();
        self
    }

    /// Shows annotators what models suggest; their labels are marked as assisted then.
    #[must_use]
    pub fn showing_prelabels(mut self) -> Self {
        self.show_prelabels = true;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the setting.
    pub fn check(&self) -> Result<()> {
        let refuse = |field, message: String| Err(Error::invalid(OP, field, message));
        LabelScheme::try_from(SchemeWire::from(self.scheme.clone()))?;
        if self.overlap == 0 || self.overlap > MAX_OVERLAP {
            return refuse("overlap", format!("must lie between 1 and {MAX_OVERLAP}, got {}", self.overlap));
        }
        if !self.annotators.is_empty() && self.annotators.len() < self.overlap {
            let (overlap, annotators) = (self.overlap, self.annotators.len());
            return refuse("overlap", format!("is {overlap}, but there are {annotators} annotators"));
        }
        if self.lease.is_zero() || chrono::TimeDelta::from_std(self.lease).is_err() {
            return refuse(
                "lease",
                format!("must be a length of time, got {}", duration_text::format(self.lease)),
            );
        }
        if !(self.consensus >= 0.5 && self.consensus <= 1.0) {
            return refuse("consensus", format!("must lie in [0.5, 1], got {}", self.consensus));
        }
        if !(self.tolerance >= 0.0 && self.tolerance.is_finite()) {
            return refuse("tolerance", format!("must be 0 or more, got {}", self.tolerance));
        }
        if self.max_skips == 0 {
            return refuse("max_skips", "must be 1 at least".to_owned());
        }
        Ok(())
    }
}
