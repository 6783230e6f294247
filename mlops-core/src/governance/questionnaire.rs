//! A questionnaire about maturity: what people say, in a file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::maturity::{
    Attestation, Dimension, EvidenceKind, MaturityCriterion, MaturityEvidence, MaturityLevel, Measure,
    criteria, criterion_fault,
};
use crate::config::{Document, Format};
use crate::error::{Error, Result};

/// The most criteria of one's own, and the most attestations.
const MAX_ROWS: usize = 1_000;

/// Criteria and what people say of them, from a file; checked.
///
/// Criteria in the file come after those of [`criteria`]; one with the id of one of those takes its place. One with a `measure` and the
/// share `at_least` is measured, any other is attested. What is measured is added from the stores, with [`MaturityEvidence::with_count`] or [`Stores::evidence`](crate::oversight::Stores::evidence).
///
/// ```
/// use mlops_core::config::Format;
/// use mlops_core::governance::maturity::{MaturityLevel, Measure, assess};
/// use mlops_core::governance::Questionnaire;
/// let asked = Questionnaire::parse(
///     r#"
///     [[criteria]]
///     id = "cards"
///     level = "automated_training"
///     dimension = "model_creation"
///     statement = "Every model has a card."
///
///     [[attestations]]
///     criterion = "builds"
///     met = true
///     by = "platform-owner"
///     at = "2026-01-10T00:00:00Z"
///     expires_at = "2026-07-10T00:00:00Z"
///     comment = "pipeline 42"
///     "#,
///     Format::Toml,
/// )?;
/// let evidence = asked.evidence().with_count(Measure::RunsWithCode, 10, 10);
/// let found = assess(asked.criteria(), &evidence, "2026-03-01T00:00:00Z".parse()?)?;
/// assert_eq!(found.level, MaturityLevel::NoMlops);
/// let met = |id: &str| found.findings.iter().any(|f| f.criterion.id == id && f.met);
/// assert!(met("code") && met("builds") && !met("cards") && !met("data-pipeline"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Questionnaire {
    criteria: Vec<MaturityCriterion>,
    attestations: Vec<Attestation>,
}

/// A criterion as it is written: attested, or measured with a share that is needed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    level: MaturityLevel,
    dimension: Dimension,
    statement: String,
    #[serde(default)]
    measure: Option<Measure>,
    #[serde(default)]
    at_least: Option<f64>,
}

impl Row {
    fn fault(&self) -> Option<(&'static str, &'static str)> {
        match (self.measure, self.at_least) {
            (Some(_), None) => Some(("measure", "needs `at_least`, the share that is enough")),
            (None, Some(_)) => Some(("at_least", "needs `measure`, what it is a share of")),
            _ => None,
        }
    }
}

impl From<Row> for MaturityCriterion {
    fn from(row: Row) -> Self {
        let Row { id, level, dimension, statement, measure, at_least } = row;
        let evidence = measure.zip(at_least).map_or(EvidenceKind::Attested, |(measure, at_least)| {
            EvidenceKind::Automatic { measure, at_least }
        });
        Self { id, level, dimension, statement, evidence }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuestionnaireFile {
    #[serde(default)]
    criteria: Vec<Row>,
    #[serde(default)]
    attestations: Vec<Attestation>,
}

impl Questionnaire {
    /// Reads a questionnaire from a text.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with `file`, `line`, `column` and the key: an unknown key or word, a
    /// key that comes twice, a criterion without an id or with one that comes twice, of level 0, with a share outside (0, 1] or with a share and no measure or the other way round, an
    /// attestation of a criterion that is not there or that is measured, or one that expires before it is made.
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 1 MiB, or 1000 of either;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for YAML without the feature `yaml`.
    pub fn parse(text: &str, format: Format) -> Result<Self> {
        Self::load("Questionnaire::parse", "(text)", text, format)
    }

    /// Reads a questionnaire from a file, in the format of its extension.
    ///
    /// # Errors
    /// As [`Self::parse`], and what the file system refuses.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        const OP: &str = "Questionnaire::read";
        let path = path.as_ref();
        let text = crate::config::read(OP, path)?;
        Self::load(OP, &path.display().to_string(), &text, Format::of(path))
    }

    fn load(operation: &'static str, file: &str, text: &str, format: Format) -> Result<Self> {
        let document = Document::new(operation, file, text, format)?;
        let QuestionnaireFile { criteria: rows, attestations } = document.parse(Some("criteria"))?;
        for (what, got) in [("criteria", rows.len()), ("attestations", attestations.len())] {
            if got > MAX_ROWS {
                let error = Error::limit(operation, "the number of rows", MAX_ROWS, got);
                return Err(error.with("file", file).with("field", what));
            }
        }
        let at = |list, index, key, message: &str| {
            document.error(key, document.offset_in(list, index, key), message)
        };
        for (index, row) in rows.iter().enumerate() {
            if let Some((key, message)) = row.fault() {
                return Err(at("criteria", index, key, message).with("id", &row.id));
            }
        }
        let own: Vec<MaturityCriterion> = rows.into_iter().map(Into::into).collect();
        if let Some((index, key, message)) = criterion_fault(&own) {
            // In a file the share has a key of its own.
            let key = if key == "evidence" { "at_least" } else { key };
            let id = own.get(index).map_or("", |criterion| criterion.id.as_str());
            return Err(at("criteria", index, key, &message).with("id", id));
        }
        let criteria = merged(own);
        let kinds: BTreeMap<&str, EvidenceKind> =
            criteria.iter().map(|criterion| (criterion.id.as_str(), criterion.evidence)).collect();
        for (index, attestation) in attestations.iter().enumerate() {
            if let Some((key, message)) = attestation_fault(attestation, &kinds) {
                return Err(at("attestations", index, key, message));
            }
        }
        Ok(Self { criteria, attestations })
    }

    /// The criteria: those of [`criteria`] and those of the file.
    pub fn criteria(&self) -> &[MaturityCriterion] {
        &self.criteria
    }

    /// What people say, in the order of the file.
    pub fn attestations(&self) -> &[Attestation] {
        &self.attestations
    }

    /// What people say as evidence, without anything that was measured.
    pub fn evidence(&self) -> MaturityEvidence {
        MaturityEvidence { counts: BTreeMap::new(), attestations: self.attestations.clone() }
    }
}

fn attestation_fault(
    attestation: &Attestation,
    kinds: &BTreeMap<&str, EvidenceKind>,
) -> Option<(&'static str, &'static str)> {
    match kinds.get(attestation.criterion.as_str()) {
        None => Some(("criterion", "is about a criterion that is not there")),
        Some(EvidenceKind::Automatic { .. }) => {
            Some(("criterion", "is about what is measured: nobody's word counts for that"))
        }
        Some(EvidenceKind::Attested) if attestation.expires_at <= attestation.at => {
            Some(("expires_at", "expires before it is made"))
        }
        Some(EvidenceKind::Attested) => None,
    }
}

/// Those that are known, with those of one's own in their places and after them.
fn merged(own: Vec<MaturityCriterion>) -> Vec<MaturityCriterion> {
    let mut all = criteria();
    for criterion in own {
        match all.iter_mut().find(|known| known.id == criterion.id) {
            Some(known) => *known = criterion,
            None => all.push(criterion),
        }
    }
    all
}
