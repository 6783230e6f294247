//! A gate's decision in the languages of those who read it: people, build services, stores of attestations.
//!
//! | function | reads it |
//! |---|---|
//! | [`json`] | any program; the same shape that registries keep |
//! | [`markdown`] | people: pull requests, GitHub's step summary |
//! | [`html`] | people: one page with pictures, that loads nothing |
//! | [`junit`] | whatever shows test results: Jenkins, GitLab, Azure DevOps |
//! | [`sarif`] | code scanning: GitHub, Azure DevOps, editors (SARIF 2.1.0) |
//! | [`github`] | GitHub Actions: annotations |
//! | [`azure_devops`] | Azure Pipelines: issues and the task's result |
//! | [`in_toto`] | verifiers of supply chains (in-toto Statement 1, test-result 0.1) |
//!
//! Each is a pure function. A decision may come from a file that anybody can write, so every name and reason is *neutralised* for
//! the language at hand: nothing in it can end a line, open a tag, a link or a command, turn the direction of writing, or
//! colour a terminal. Control and invisible characters show as `\u{…}`; what is longer than 2000 characters is cut. The
//! verdict that is shown is never better than the one that follows from the criteria.
//!
//! ```
//! use mlops_core::evaluation::{CriterionResult, GateDecision, Verdict, render};
//! use mlops_core::hash::Digest;
//!
//! let digest = Digest::of(b"x");
//! let at = "2026-01-05T09:00:00Z".parse()?;
//! let criteria = vec![CriterionResult::new("auc", Verdict::Fail, None, "roc_auc is 0.7,\n::error::at least 0.75 is needed")];
//! let decision = GateDecision::new("release", digest, digest, digest, None, at, criteria);
//! assert_eq!(
//!     render::github(&decision, "gate.toml"),
//!     "::error file=gate.toml,title=release%3A auc::fail: roc_auc is 0.7,\\n::error::at least 0.75 is needed\n\
//!      ::error file=gate.toml,title=release::gate release: fail (0 of 1 criteria pass)\n"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod azure_devops;
mod github;
mod html;
mod in_toto;
mod json;
mod junit;
mod markdown;
mod neutral;
mod sarif;

pub use azure_devops::azure_devops;
pub use github::github;
pub use html::{HtmlOptions, html, html_with};
pub use in_toto::in_toto;
pub use json::json;
pub use junit::junit;
pub use markdown::markdown;
pub use sarif::sarif;

use super::{CriterionResult, GateDecision, Severity, Verdict};
use neutral::visible;

/// What a reader should do about a criterion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Pass,
    Error,
    Warning,
    Note,
}

impl Mark {
    fn of(result: &CriterionResult) -> Self {
        match (result.verdict, result.severity) {
            (Verdict::Pass, _) => Self::Pass,
            (_, Severity::Error) => Self::Error,
            (_, Severity::Warning) => Self::Warning,
            (_, Severity::Note) => Self::Note,
        }
    }
}

/// One line about the whole decision, neutralised.
fn headline(decision: &GateDecision) -> String {
    let (all, unmet) = (decision.criteria.len(), decision.unmet().count());
    let verdict = decision.settled_verdict();
    let approval =
        if verdict == Verdict::Pass && decision.requires_approval { ", an approval is needed" } else { "" };
    format!("gate {}: {verdict} ({} of {all} criteria pass){approval}", visible(&decision.gate), all - unmet)
}

/// A criterion's verdict and reason, neutralised.
fn line(result: &CriterionResult) -> String {
    format!("{}: {}", result.verdict, visible(&result.reason))
}
