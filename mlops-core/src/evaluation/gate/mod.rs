//! Promotion criteria as a file: what a model must show before it may be released.
//!
//! A gate reads an [`EvaluationReport`](super::EvaluationReport) and answers [`Pass`](super::Verdict::Pass),
//! [`Fail`](super::Verdict::Fail) or [`Insufficient`](super::Verdict::Insufficient). It is fail-closed:
//!
//! | what the report has | verdict of the criterion |
//! |---|---|
//! | no such metric, slice or attribute | `Fail`: the gate asks for what was not measured, and more data will not heal a misspelt name |
//! | a metric of which neither way is better, to compare with the champion | `Fail`, likewise |
//! | the metric, without a value ([`Undefined`](crate::num::Undefined)) | `Insufficient` |
//! | a disparity that leaves out groups | `Insufficient`: what the left-out groups would have shown is not known |
//! | fewer rows than `min_rows`, or none; fewer of a class than asked for, or nobody counted them | `Insufficient` |
//! | no interval where one is required | `Insufficient` |
//! | a value beyond a bound | `Fail` |
//! | a NaN or an infinity anywhere | no decision: [`GateSpec::decide`] returns an error |
//!
//! A comparison with the champion decides only on the same data: a champion's report about other data, of another task, or
//! without the metric makes the criterion `Insufficient`. What holds when there is no champion at all is the criterion's
//! `no_champion`; the default is `insufficient`, and a gate for a first release says `pass`. A named `baseline` takes the
//! champion's place where a criterion says so.
//!
//! Values are compared with a slack of four units in the last place, so that what is equal in decimal passes: 0.85 is a gain
//! of 0.05 over 0.8, although 0.8 + 0.05 is 0.8500000000000001 in binary.
//!
//! # Tests
//! A criterion with `test` or `hypothesis` wants more than a number on the right side of its bound: a test has to show that the
//! number lies there, at the level `alpha`. [`GateSpec::requirements`] says what has to be computed on the rows,
//! [`GateEvidence`] brings it back, bound by digests to gate, model and data, and [`GateSpec::decide_with`] decides:
//!
//! | what the evidence shows | verdict of the criterion |
//! |---|---|
//! | the number keeps its bound, and p, adjusted for the gate's `multiplicity`, is at most α | `Pass` |
//! | the whole interval breaks the bound; or, without an interval, the number does and p is above α | `Fail` |
//! | anything else: no evidence, of another test, on other rows, about another number, or p is above α | `Insufficient`, with the rows that are still needed |
//!
//! The p-value is that of the hypothesis that the criterion is *not* met. A test left out counts as one that showed nothing
//! when p-values are adjusted.
//!
//! # Files
//! A gate is one file in TOML, JSON or YAML (feature `yaml`): the same keys and words, described by a JSON Schema
//! ([`schema`]). MLflow's thresholds ([`GateSpec::from_mlflow_thresholds`]) and the thresholds of the Responsible AI scorecard
//! ([`GateSpec::from_rai_scorecard`]) are read as gates too. [`render`](super::render) writes a decision for the services
//! that act on it, and [`GateExit`](super::GateExit) says how a program ends.
//!
//! # Severity, reuse, approval
//! Only criteria of severity `error` decide; warnings and notes are shown. With `reuse` every decision on the same test set
//! spends a part of α, and nothing passes on one that is used up ([`Reuse`]). With `requires_approval` a pass is not enough:
//! somebody else has to approve of exactly this decision.

pub(in crate::evaluation) mod comparison;
mod criterion;
mod evidence;
mod import;
mod input;
mod judge;
mod requirement;
mod reuse;
mod rules;
mod schema;
mod spec;
#[cfg(test)]
mod tests;
mod words;

pub use crate::config::Format as GateFormat;
pub use criterion::Criterion;
pub use evidence::{CriterionEvidence, GateEvidence};
pub use import::ImportedGate;
pub use input::GateInput;
pub use requirement::{Claim, Requirement};
pub use reuse::{Adaptivity, EarlierUses, Reuse};
pub use schema::schema;
pub use spec::{GateRules, GateSpec};
pub use words::{Hypothesis, IntervalEnd, Multiplicity, NoChampion, Severity, TestName};
