//! Policy as data: typed rules over a plan of resources, before anything is made.
//!
//! A [`PolicySpec`] is a file of rules and exemptions; a [`ResourcePlan`] is a file of what is to be made. Judging one by the
//! other is a pure function: every rule is held against every resource it applies to, and every verdict says what was
//! observed and what would satisfy the rule. What a plan does not state satisfies nothing: a workspace that says nothing about
//! public access is not taken for a private one.

mod check;
mod exemption;
mod kind;
mod naming;
mod plan;
mod report;
mod rule;
mod spec;
mod tags;

pub use crate::config::Format as PolicyFormat;
pub use exemption::Exemption;
pub use kind::ResourceKind;
pub use naming::{NamePart, NameRule, NamingFault};
pub use plan::{Encryption, IdentityKind, ModelPlan, ModelProvenance, PlannedResource, ResourcePlan};
pub use report::{PolicyOutcome, PolicyReport, PolicyResult, PolicyVerdict};
pub use rule::{Check, PolicyMode, PolicyRule};
pub use spec::PolicySpec;
pub use tags::TagFault;
