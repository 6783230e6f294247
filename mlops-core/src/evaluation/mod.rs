//! Phase 5: evaluate, and decide by rules.

pub mod champion;
mod decision;
mod evaluator;
mod exit;
pub mod gate;
pub mod render;
mod report;
mod subject;
mod table;

pub use champion::{ChampionDecision, ChampionOutcome, ChampionRules, Guard, MetricEvidence};
pub use decision::{CriterionResult, GateDecision, Tested, Verdict};
pub use evaluator::{EvaluationInput, Evaluator};
pub use exit::GateExit;
pub use gate::{
    Adaptivity, Claim, Criterion, CriterionEvidence, EarlierUses, GateEvidence, GateFormat, GateInput,
    GateRules, GateSpec, Hypothesis, ImportedGate, IntervalEnd, Multiplicity, NoChampion, Requirement, Reuse,
    Severity, TestName,
};
pub use report::{Disparity, Estimate, EvaluationReport, FairnessReport, GroupReport, SliceReport};
