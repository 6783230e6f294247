//! What came of looking for leaks.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::near::NearDuplicateSearch;
use crate::data::Part;
use crate::error::{Error, ErrorKind, Result};

/// What leaks.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeakKind {
    /// Rows of two parts are equal in every feature.
    DuplicateRow,
    /// Rows of two parts are equal in every feature and have different labels.
    ConflictingLabel,
    /// Rows of two parts are nearly equal.
    NearDuplicateRow,
    /// One id is in two parts.
    SharedId,
    /// One group is in two parts.
    SharedGroup,
    /// Rows of a later part are not later than all rows of an earlier one.
    TimeOverlap,
    /// Labels of an earlier part's rows are made while those of a later part's are.
    LabelWindow,
    /// One feature alone tells the label.
    Target,
    /// A preprocessing step was fitted on rows that it is judged on.
    FittedOnTest,
}

impl LeakKind {
    /// All of them, in the order in which they are looked for.
    pub const ALL: [Self; 9] = [
        Self::DuplicateRow,
        Self::ConflictingLabel,
        Self::NearDuplicateRow,
        Self::SharedId,
        Self::SharedGroup,
        Self::TimeOverlap,
        Self::LabelWindow,
        Self::Target,
        Self::FittedOnTest,
    ];

    /// The kind's name.
    ///
    /// ```
    /// assert_eq!(mlops_core::data::LeakKind::SharedId.as_str(), "shared_id");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DuplicateRow => "duplicate_row",
            Self::ConflictingLabel => "conflicting_label",
            Self::NearDuplicateRow => "near_duplicate_row",
            Self::SharedId => "shared_id",
            Self::SharedGroup => "shared_group",
            Self::TimeOverlap => "time_overlap",
            Self::LabelWindow => "label_window",
            Self::Target => "target",
            Self::FittedOnTest => "fitted_on_test",
        }
    }

    /// How bad it is by itself; a target leak also depends on its score.
    pub(super) const fn severity(self) -> LeakSeverity {
        match self {
            Self::ConflictingLabel | Self::NearDuplicateRow => LeakSeverity::Warning,
            _ => LeakSeverity::Critical,
        }
    }
}

impl fmt::Display for LeakKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How bad a leak is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeakSeverity {
    /// Somebody should look: near duplicates, conflicting labels, a feature that tells much.
    Warning,
    /// Numbers measured on this split mean nothing.
    #[default]
    Critical,
}

/// One leak between two parts.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leak {
    /// What leaks.
    pub kind: LeakKind,
    /// How bad it is.
    #[serde(default)]
    pub severity: LeakSeverity,
    /// The column; `None` for whole rows.
    pub column: Option<String>,
    /// The part it leaks from, and how many of its rows are concerned.
    pub from: (Part, usize),
    /// The part it leaks into, and how many of its rows are concerned.
    pub into: (Part, usize),
    /// The share of the rows of the part it leaks into that are concerned, from 0 to 1.
    #[serde(default)]
    pub share: f64,
    /// How many different ids, groups or rows are shared; for times, how many rows of the later part are too early.
    pub keys: usize,
    /// The first pairs of rows, one on each side, at most 20, counted from 0 in the table that was split.
    pub rows: Vec<(usize, usize)>,
    /// The highest similarity of near duplicates, or how well the feature tells the label, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// What happened, in one sentence; rows of the table counted from 1.
    pub message: String,
}

/// A kind of leak that was not looked for, or not to the end.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotChecked {
    /// The kind.
    pub kind: LeakKind,
    /// Why.
    pub reason: String,
}

/// What came of looking for leaks.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeakageReport {
    /// The version of this report's shape: 1.
    pub schema_version: u32,
    /// What was looked for to the end.
    pub checked: Vec<LeakKind>,
    /// What was not, with the reason: it is not known to be clean.
    #[serde(default)]
    pub not_checked: Vec<NotChecked>,
    /// What was found.
    pub leaks: Vec<Leak>,
    /// How near duplicates were looked for, and how surely they are found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near_duplicates: Option<NearDuplicateSearch>,
}

impl LeakageReport {
    pub(super) fn new() -> Self {
        Self {
            schema_version: 1,
            checked: Vec::new(),
            not_checked: Vec::new(),
            leaks: Vec::new(),
            near_duplicates: None,
        }
    }

    pub(super) fn add(&mut self, kind: LeakKind, leaks: Vec<Leak>) {
        self.checked.push(kind);
        self.leaks.extend(leaks);
    }

    pub(super) fn skip(&mut self, kind: LeakKind, reason: impl Into<String>) {
        self.not_checked.push(NotChecked { kind, reason: reason.into() });
    }

    /// Whether nothing was found of what was looked for.
    pub fn is_clean(&self) -> bool {
        self.leaks.is_empty()
    }

    /// Turns leaks into an error.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] with every leak in words: how many, and the first row on each side.
    pub fn require_clean(&self) -> Result<()> {
        self.require(LeakSeverity::Warning)
    }

    /// Turns critical leaks into an error; warnings pass.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] with every critical leak in words.
    pub fn require_no_critical(&self) -> Result<()> {
        self.require(LeakSeverity::Critical)
    }

    fn require(&self, least: LeakSeverity) -> Result<()> {
        let found: Vec<&str> = self
            .leaks
            .iter()
            .filter(|leak| leak.severity >= least)
            .map(|leak| leak.message.as_str())
            .collect();
        if found.is_empty() {
            return Ok(());
        }
        let message = format!("the split leaks: {}", found.join("; "));
        Err(Error::new(ErrorKind::Rejected, "LeakageReport::require_clean", message))
    }

    /// Turns what was not looked for, of these kinds, into an error: for a gate that must not pass on what nobody checked.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] with each kind and the reason.
    ///
    /// ```
    /// use mlops_core::data::{Column, LeakKind, LeakageInput, Partition, Table};
    /// let table = Table::new(vec![Column::i64("x", vec![1, 2])?])?;
    /// let split = Partition::predefined(2, vec![0], None, vec![1])?;
    /// let report = LeakageInput::new(&table, &split).check()?;
    /// assert!(report.require_checked(&[LeakKind::DuplicateRow]).is_ok());
    /// let error = report.require_checked(&[LeakKind::SharedGroup]).unwrap_err();
    /// assert_eq!(error.message(), "not looked for: shared_group (no column of groups is named)");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn require_checked(&self, kinds: &[LeakKind]) -> Result<()> {
        let open = kinds.iter().filter(|kind| !self.checked.contains(kind));
        let reason = |kind: &LeakKind| {
            let found = self.not_checked.iter().find(|not| not.kind == *kind);
            format!("{kind} ({})", found.map_or("no reason is given", |not| not.reason.as_str()))
        };
        let open: Vec<String> = open.map(reason).collect();
        if open.is_empty() {
            return Ok(());
        }
        let message = format!("not looked for: {}", open.join("; "));
        Err(Error::new(ErrorKind::Rejected, "LeakageReport::require_checked", message))
    }
}

impl fmt::Display for LeakageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} checked", count(self.leaks.len(), "leak"), count(self.checked.len(), "kind"))?;
        self.leaks.iter().try_for_each(|leak| write!(f, "\n{}", leak.message))?;
        if self.not_checked.is_empty() {
            return Ok(());
        }
        let open: Vec<String> =
            self.not_checked.iter().map(|not| format!("{} ({})", not.kind, not.reason)).collect();
        write!(f, "\nnot checked: {}", open.join("; "))
    }
}

pub(super) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Where a pair of rows is.
pub(super) fn at(left: Part, right: Part, rows: Option<&(usize, usize)>) -> String {
    rows.map(|(a, b)| format!("in {left} row {} and {right} row {}", a + 1, b + 1)).unwrap_or_default()
}
