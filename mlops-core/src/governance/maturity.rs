//! Maturity at Microsoft's five levels: criteria as data, evidence measured or attested, gaps in the order in which to close
//! them.
//!
//! Source of the levels: Microsoft's Machine Learning operations maturity model (Azure Architecture Center, 2025-10-28). A
//! level is reached when all criteria of it and of the levels below are met. What can be measured in the stores is measured
//! there; what only people know is attested by somebody, for a limited time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, quote};
use crate::id::ActorId;
use crate::time::Timestamp;

/// The five levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaturityLevel {
    /// 0: no MLOps.
    #[default]
    NoMlops,
    /// 1: DevOps but no MLOps.
    DevOps,
    /// 2: automated training.
    AutomatedTraining,
    /// 3: automated model deployment.
    AutomatedDeployment,
    /// 4: full MLOps, automated retraining.
    FullMlops,
}

impl MaturityLevel {
    /// All levels, the lowest first.
    pub const ALL: [Self; 5] =
        [Self::NoMlops, Self::DevOps, Self::AutomatedTraining, Self::AutomatedDeployment, Self::FullMlops];

    /// The number: 0 to 4.
    ///
    /// ```
    /// use mlops_core::governance::maturity::MaturityLevel;
    /// assert_eq!(MaturityLevel::FullMlops.number(), 4);
    /// ```
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for MaturityLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::NoMlops => "no MLOps",
            Self::DevOps => "DevOps but no MLOps",
            Self::AutomatedTraining => "automated training",
            Self::AutomatedDeployment => "automated model deployment",
            Self::FullMlops => "full MLOps",
        };
        write!(f, "level {}, {name}", self.number())
    }
}

/// Which side of the work a criterion is about.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// How people work together.
    People,
    /// How models are made.
    ModelCreation,
    /// How models are released.
    ModelRelease,
    /// How applications use them.
    ApplicationIntegration,
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::People => "people",
            Self::ModelCreation => "model creation",
            Self::ModelRelease => "model release",
            Self::ApplicationIntegration => "application integration",
        })
    }
}

/// What is counted in the stores.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Runs that name the commit of their code, of all runs.
    RunsWithCode,
    /// Runs that logged a metric, of all that finished.
    RunsWithResults,
    /// Runs that name the data that went in, of all runs.
    RunsWithData,
    /// Model versions that name the run that made them, of all versions.
    VersionsFromRuns,
    /// Model versions made by a run that automation started, of all versions.
    AutomatedTraining,
    /// Moves of the champion alias on the evidence of a gate, of all moves to a version that did not hold it before.
    GatedReleases,
    /// Moves of the champion alias by automation, of the same.
    AutomatedReleases,
    /// Changes of traffic by automation, of all that the audit log knows.
    AutomatedDeployments,
    /// Deployments whose lineage reaches data, of all deployments.
    TracedDeployments,
    /// Audit logs whose chain is intact, of all.
    IntactAuditLogs,
    /// Endpoints with traffic that a monitor looked at lately, of all with traffic.
    MonitoredEndpoints,
    /// Deployments with traffic that count their requests, of all with traffic.
    MeasuredDeployments,
    /// Trainings that a trigger started.
    TriggeredTrainings,
}

impl Measure {
    /// All measures.
    pub const ALL: [Self; 13] = [
        Self::RunsWithCode,
        Self::RunsWithResults,
        Self::RunsWithData,
        Self::VersionsFromRuns,
        Self::AutomatedTraining,
        Self::GatedReleases,
        Self::AutomatedReleases,
        Self::AutomatedDeployments,
        Self::TracedDeployments,
        Self::IntactAuditLogs,
        Self::MonitoredEndpoints,
        Self::MeasuredDeployments,
        Self::TriggeredTrainings,
    ];
}

/// How many of how many; `good` is at most `of`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// How many meet it.
    pub good: u64,
    /// How many there are.
    pub of: u64,
}

impl Count {
    /// Counts how many of some things meet something.
    ///
    /// ```
    /// use mlops_core::governance::maturity::Count;
    /// assert_eq!(Count::over([1, 2, 3], |n| n % 2 == 1), Count { good: 2, of: 3 });
    /// ```
    pub fn over<T>(things: impl IntoIterator<Item = T>, meets: impl Fn(&T) -> bool) -> Self {
        things.into_iter().fold(Self::default(), |count, thing| Self {
            good: count.good + u64::from(meets(&thing)),
            of: count.of + 1,
        })
    }
}

/// What shows that a criterion is met.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum EvidenceKind {
    /// Measured: at least this share, of at least one.
    Automatic {
        /// What is counted.
        measure: Measure,
        /// The share needed, above 0 and at most 1.
        at_least: f64,
    },
    /// Attested by somebody, for a limited time.
    Attested,
}

/// One criterion.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaturityCriterion {
    /// Its id.
    pub id: String,
    /// The level it is part of; not 0, which needs nothing.
    pub level: MaturityLevel,
    /// Which side of the work it is about.
    pub dimension: Dimension,
    /// What has to be so, as a sentence.
    pub statement: String,
    /// What shows it.
    pub evidence: EvidenceKind,
}

/// The criteria of levels 1 to 4, as this library reads Microsoft's model. Change or extend the list where yours differs.
///
/// ```
/// use mlops_core::governance::maturity::{MaturityLevel, criteria};
/// assert!(criteria().iter().all(|c| c.level > MaturityLevel::NoMlops));
/// ```
pub fn criteria() -> Vec<MaturityCriterion> {
    use Dimension::{ApplicationIntegration as App, ModelCreation as Make, ModelRelease as Release, People};
    use MaturityLevel::{AutomatedDeployment as L3, AutomatedTraining as L2, DevOps as L1, FullMlops as L4};
    let auto = |measure, at_least| EvidenceKind::Automatic { measure, at_least };
    let table = [
        ("code", L1, Make, "Runs name the commit of the code they ran.", auto(Measure::RunsWithCode, 0.9)),
        ("data-pipeline", L1, Make, "A pipeline gathers the data.", EvidenceKind::Attested),
        ("builds", L1, App, "Builds and releases of the application are automated.", EvidenceKind::Attested),
        (
            "app-tests",
            L1,
            App,
            "The application has unit tests, the model basic integration tests.",
            EvidenceKind::Attested,
        ),
        ("tracking", L2, Make, "Results of experiments are tracked.", auto(Measure::RunsWithResults, 0.9)),
        (
            "data",
            L2,
            Make,
            "Runs name the versions of the data that went in.",
            auto(Measure::RunsWithData, 0.9),
        ),
        (
            "models",
            L2,
            Make,
            "Models are versioned, and name the run that made them.",
            auto(Measure::VersionsFromRuns, 0.9),
        ),
        ("training", L2, Make, "Training is automated.", auto(Measure::AutomatedTraining, 0.8)),
        ("compute", L2, Make, "Compute is managed.", EvidenceKind::Attested),
        (
            "scripts",
            L2,
            People,
            "Data scientists and engineers turn experiments into scripts that can be repeated.",
            EvidenceKind::Attested,
        ),
        (
            "scoring",
            L2,
            Release,
            "The scoring code is under version control and tested.",
            EvidenceKind::Attested,
        ),
        ("gate", L3, Release, "Every release passes a gate.", auto(Measure::GatedReleases, 1.0)),
        ("release", L3, Release, "Releases are automatic.", auto(Measure::AutomatedReleases, 0.9)),
        (
            "deployment",
            L3,
            Release,
            "Traffic is moved by automation.",
            auto(Measure::AutomatedDeployments, 0.9),
        ),
        (
            "trace",
            L3,
            Release,
            "Every deployment can be traced to its data.",
            auto(Measure::TracedDeployments, 1.0),
        ),
        (
            "audit",
            L3,
            Release,
            "What was done is in an audit log that is intact.",
            auto(Measure::IntactAuditLogs, 1.0),
        ),
        (
            "environments",
            L3,
            People,
            "Environments for training, test and production are managed together.",
            EvidenceKind::Attested,
        ),
        (
            "integration",
            L3,
            App,
            "The application has unit and integration tests, also with the model.",
            EvidenceKind::Attested,
        ),
        (
            "monitoring",
            L4,
            Release,
            "Every endpoint with traffic is monitored.",
            auto(Measure::MonitoredEndpoints, 1.0),
        ),
        (
            "metrics",
            L4,
            App,
            "Every deployment with traffic emits metrics.",
            auto(Measure::MeasuredDeployments, 1.0),
        ),
        (
            "retraining",
            L4,
            Make,
            "What is observed in production triggers retraining.",
            auto(Measure::TriggeredTrainings, 1.0),
        ),
        (
            "markers",
            L4,
            People,
            "Data scientists and software engineers agree on what to watch.",
            EvidenceKind::Attested,
        ),
        ("downtime", L4, App, "Releases cause next to no downtime.", EvidenceKind::Attested),
    ];
    let criterion = |(id, level, dimension, statement, evidence): (&str, _, _, &str, _)| MaturityCriterion {
        id: id.to_owned(),
        level,
        dimension,
        statement: statement.to_owned(),
        evidence,
    };
    table.into_iter().map(criterion).collect()
}

/// Somebody says that a criterion is met, or that it is not.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// The id of the criterion.
    pub criterion: String,
    /// Whether it is met.
    pub met: bool,
    /// Who says so.
    pub by: ActorId,
    /// When.
    pub at: Timestamp,
    /// Until when that counts, not including that moment.
    pub expires_at: Timestamp,
    /// On what grounds.
    #[serde(default)]
    pub comment: String,
}

impl Attestation {
    /// That a criterion is met, or not, until it expires.
    pub fn new(
        criterion: impl Into<String>,
        met: bool,
        by: ActorId,
        at: Timestamp,
        expires_at: Timestamp,
    ) -> Self {
        Self { criterion: criterion.into(), met, by, at, expires_at, comment: String::new() }
    }

    /// On these grounds.
    #[must_use]
    pub fn with_comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = comment.into();
        self
    }
}

/// What is known: counts from the stores, and what people said.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaturityEvidence {
    /// What was counted; a measure that is not there was not looked at.
    #[serde(default)]
    pub counts: BTreeMap<Measure, Count>,
    /// What people said; of several about one criterion the latest counts.
    #[serde(default)]
    pub attestations: Vec<Attestation>,
}

impl MaturityEvidence {
    /// Nothing known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a count.
    #[must_use]
    pub fn with_count(mut self, measure: Measure, good: u64, of: u64) -> Self {
        self.counts.insert(measure, Count { good, of });
        self
    }

    /// Adds what somebody said.
    #[must_use]
    pub fn with_attestation(mut self, attestation: Attestation) -> Self {
        self.attestations.push(attestation);
        self
    }
}

/// What was found about one criterion.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CriterionFinding {
    /// The criterion.
    pub criterion: MaturityCriterion,
    /// Whether it is met.
    pub met: bool,
    /// What was observed.
    pub observed: String,
}

/// Something to do, and what it unlocks.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The id of the criterion.
    pub criterion: String,
    /// The level it is part of.
    pub level: MaturityLevel,
    /// What has to be so.
    pub statement: String,
    /// What was observed.
    pub observed: String,
    /// The level reached once this gap and all before it in the list are closed.
    pub unlocks: MaturityLevel,
    /// Whether it can be closed by what the stores show, without anybody's word.
    pub automatic: bool,
}

/// How mature the work is.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// When.
    pub at: Timestamp,
    /// The highest level all of whose criteria, and all of those below, are met.
    pub level: MaturityLevel,
    /// Every criterion, in the order of the list.
    pub findings: Vec<CriterionFinding>,
    /// What is missing, in the order in which to close it: level by level, for no gap of a higher level unlocks anything while
    /// one of a lower level is open; within a level what the stores show first.
    pub gaps: Vec<Gap>,
}

/// Assesses by a list of criteria. A pure function; O(criteria × attestations).
///
/// A measure of nothing (0 of 0) meets nothing; an attestation that has expired, comes from the future or says no, neither.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the criterion or the measure: no criteria, an id that is
/// blank or comes twice, a criterion of level 0, a share outside (0, 1], a count of more than there are, an attestation of a
/// criterion that is not there or that is measured.
///
/// ```
/// use mlops_core::governance::maturity::{MaturityEvidence, MaturityLevel, Measure, assess, criteria};
/// let evidence = MaturityEvidence::new().with_count(Measure::RunsWithCode, 9, 10);
/// let assessment = assess(&criteria(), &evidence, "2026-03-01T00:00:00Z".parse()?)?;
/// assert_eq!(assessment.level, MaturityLevel::NoMlops);
/// assert_eq!(assessment.gaps[0].criterion, "data-pipeline");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn assess(
    criteria: &[MaturityCriterion],
    evidence: &MaturityEvidence,
    now: Timestamp,
) -> Result<Assessment> {
    check(criteria, evidence)?;
    let find = |criterion: &MaturityCriterion| {
        let (met, observed) = match criterion.evidence {
            EvidenceKind::Automatic { measure, at_least } => {
                measured(evidence.counts.get(&measure), at_least)
            }
            EvidenceKind::Attested => attested(evidence, &criterion.id, now),
        };
        CriterionFinding { criterion: criterion.clone(), met, observed }
    };
    let findings: Vec<CriterionFinding> = criteria.iter().map(find).collect();
    let level = reached(&findings, &BTreeSet::new());
    Ok(Assessment { at: now, level, gaps: gaps(&findings), findings })
}

/// The highest level reached when these criteria count as met too.
fn reached(findings: &[CriterionFinding], closed: &BTreeSet<&str>) -> MaturityLevel {
    let open = |f: &&CriterionFinding| !f.met && !closed.contains(f.criterion.id.as_str());
    let lowest = findings.iter().filter(open).map(|f| f.criterion.level).min();
    let below = |level: &MaturityLevel| lowest.is_none_or(|lowest| *level < lowest);
    MaturityLevel::ALL.into_iter().filter(below).max().unwrap_or_default()
}

fn gaps(findings: &[CriterionFinding]) -> Vec<Gap> {
    let automatic = |f: &CriterionFinding| matches!(f.criterion.evidence, EvidenceKind::Automatic { .. });
    let mut open: Vec<&CriterionFinding> = findings.iter().filter(|f| !f.met).collect();
    // Stable: within these the order of the list stays.
    open.sort_by_key(|f| (f.criterion.level, !automatic(f)));
    let mut closed = BTreeSet::new();
    let mut out = Vec::new();
    for finding in open {
        let MaturityCriterion { id, level, statement, .. } = &finding.criterion;
        closed.insert(id.as_str());
        out.push(Gap {
            criterion: id.clone(),
            level: *level,
            statement: statement.clone(),
            observed: finding.observed.clone(),
            unlocks: reached(findings, &closed),
            automatic: automatic(finding),
        });
    }
    out
}

fn measured(count: Option<&Count>, at_least: f64) -> (bool, String) {
    match count {
        None => (false, "not looked at".to_owned()),
        Some(Count { of: 0, .. }) => (false, "there are none".to_owned()),
        Some(Count { good, of }) => {
            let met = *good as f64 >= at_least * *of as f64;
            (met, format!("{good} of {of}, at least {}% are needed", at_least * 100.0))
        }
    }
}

fn attested(evidence: &MaturityEvidence, id: &str, now: Timestamp) -> (bool, String) {
    let about = evidence.attestations.iter().filter(|a| a.criterion == id && a.at <= now);
    let Some(latest) = about.max_by_key(|a| a.at) else {
        return (false, "nobody has attested it".to_owned());
    };
    let day = |at: Timestamp| at.format("%Y-%m-%d").to_string();
    let by = format!("{} on {}", latest.by, day(latest.at));
    if now >= latest.expires_at {
        (false, format!("attested by {by}, expired on {}", day(latest.expires_at)))
    } else if latest.met {
        (true, format!("attested by {by}, until {}", day(latest.expires_at)))
    } else {
        (false, format!("not so, says {by}"))
    }
}

/// What is wrong with a list of criteria: with which, at which key, and what.
pub(super) fn criterion_fault(criteria: &[MaturityCriterion]) -> Option<(usize, &'static str, String)> {
    let mut ids = BTreeSet::new();
    criteria.iter().enumerate().find_map(|(index, criterion)| {
        let wrong = |key, message: &str| Some((index, key, message.to_owned()));
        if criterion.id.trim().is_empty() {
            return wrong("id", "the id must not be empty");
        }
        if criterion.level == MaturityLevel::NoMlops {
            return wrong("level", "level 0 needs nothing");
        }
        if let EvidenceKind::Automatic { at_least, .. } = criterion.evidence
            && !(at_least > 0.0 && at_least <= 1.0)
        {
            let message = format!("the share must be above 0 and at most 1, got {at_least}");
            return Some((index, "evidence", message));
        }
        match ids.insert(criterion.id.as_str()) {
            true => None,
            false => wrong("id", "another criterion has this id"),
        }
    })
}

fn check(criteria: &[MaturityCriterion], evidence: &MaturityEvidence) -> Result<()> {
    const OP: &str = "maturity::assess";
    if criteria.is_empty() {
        return Err(Error::invalid(OP, "criteria", "there are none"));
    }
    if let Some((index, _, message)) = criterion_fault(criteria) {
        let id = criteria.get(index).map_or("", |criterion| criterion.id.as_str());
        return Err(Error::invalid(OP, "criteria", message).with("id", id));
    }
    let kinds: BTreeMap<&str, EvidenceKind> =
        criteria.iter().map(|criterion| (criterion.id.as_str(), criterion.evidence)).collect();
    if let Some((measure, count)) = evidence.counts.iter().find(|(_, count)| count.good > count.of) {
        let message = format!("{} of {} cannot be", count.good, count.of);
        return Err(Error::invalid(OP, "counts", message).with("measure", format!("{measure:?}")));
    }
    for attestation in &evidence.attestations {
        let message = match kinds.get(attestation.criterion.as_str()) {
            None => "is about a criterion that is not there",
            Some(EvidenceKind::Automatic { .. }) => {
                "is about what is measured: nobody's word counts for that"
            }
            Some(EvidenceKind::Attested) => continue,
        };
        let error = Error::invalid(OP, "attestations", message);
        return Err(error.with("id", &attestation.criterion).with("by", &attestation.by));
    }
    Ok(())
}

impl Assessment {
    /// The assessment in Markdown: the level, a table of the criteria, and what to do next.
    pub fn to_markdown(&self) -> String {
        let mut out = format!("# Maturity: {}\n\nAssessed {}.\n\n", self.level, self.at.format("%Y-%m-%d"));
        out.push_str("| level | dimension | criterion | met | observed |\n|---|---|---|---|---|\n");
        for CriterionFinding { criterion, met, observed } in &self.findings {
            let (met, statement) = (if *met { "yes" } else { "**no**" }, cell(&criterion.statement));
            let level = criterion.level.number();
            let line =
                format!("| {level} | {} | {statement} | {met} | {} |\n", criterion.dimension, cell(observed));
            out.push_str(&line);
        }
        if self.gaps.is_empty() {
            return out;
        }
        out.push_str("\n## What to do, in this order\n\n");
        let mut reached = self.level;
        for (i, gap) in self.gaps.iter().enumerate() {
            let _ = write!(out, "{}. {} ({})", i + 1, cell(&gap.statement), cell(&gap.observed));
            if gap.unlocks > reached {
                reached = gap.unlocks;
                let _ = write!(out, " – **{reached}** is reached");
            }
            out.push('\n');
        }
        out
    }

    /// The assessment as JSON, keys in a fixed order.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal), never for an assessment that [`assess`] made.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|source| {
            let message = "an assessment cannot be written as JSON";
            Error::new(crate::ErrorKind::Internal, "Assessment::to_json", message).with_source(source)
        })
    }
}

/// Text for a cell: no line breaks, no column, no markup that is not ours.
fn cell(text: &str) -> String {
    let escape = |c: char| match c {
        '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' => vec!['\\', c],
        c if crate::error::needs_escape(c) => quote(&c.to_string()).chars().collect(),
        c => vec![c],
    };
    text.chars().flat_map(escape).collect()
}
