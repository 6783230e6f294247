//! Phase 5: evaluate, and decide by rules.

mod decision;
mod evaluator;
mod report;

pub use decision::{CriterionResult, GateDecision, Verdict};
pub use evaluator::{EvaluationInput, Evaluator};
pub use report::{Disparity, Estimate, EvaluationReport, FairnessReport, GroupReport, SliceReport};
