//! What a gate looks at.

use std::collections::BTreeMap;

use super::evidence::GateEvidence;
use super::reuse::EarlierUses;
use crate::evaluation::EvaluationReport;

/// What a gate looks at: a report, and what there is to hold it against.
#[derive(Clone, Debug)]
pub struct GateInput<'a> {
    pub(in crate::evaluation) report: &'a EvaluationReport,
    pub(in crate::evaluation) champion: Option<&'a EvaluationReport>,
    pub(in crate::evaluation) baselines: BTreeMap<String, &'a EvaluationReport>,
    pub(super) evidence: Option<&'a GateEvidence>,
    pub(super) uses: Option<EarlierUses>,
}

impl<'a> GateInput<'a> {
    /// A report alone.
    pub fn new(report: &'a EvaluationReport) -> Self {
        Self { report, champion: None, baselines: BTreeMap::new(), evidence: None, uses: None }
    }

    /// Adds the champion's report, or nothing.
    #[must_use]
    pub fn with_champion(mut self, champion: impl Into<Option<&'a EvaluationReport>>) -> Self {
        self.champion = champion.into();
        self
    }

    /// Adds the report of a baseline, under the name by which criteria speak of it.
    #[must_use]
    pub fn with_baseline(mut self, name: impl Into<String>, report: &'a EvaluationReport) -> Self {
        self.baselines.insert(name.into(), report);
        self
    }

    /// Adds what was computed on the rows.
    #[must_use]
    pub fn with_evidence(mut self, evidence: &'a GateEvidence) -> Self {
        self.evidence = Some(evidence);
        self
    }

    /// Says how often the test set has decided before; a gate with `reuse` needs to know.
    #[must_use]
    pub fn with_uses(mut self, earlier: EarlierUses) -> Self {
        self.uses = Some(earlier);
        self
    }
}
