//! What a judge found: the verdict, the rule that gave it and the numbers it rests on.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::deploy::rollout::GuardVerdict;

/// A verdict with its evidence. The same observations give the same finding.
///
/// ```
/// use mlops_core::deploy::rollout::GuardVerdict;
/// use mlops_core::deploy::rollout::judge::Finding;
///
/// let finding = Finding::new("threshold.limit", GuardVerdict::Fail, "0.3 is over 0.2").with("measured", 0.3);
/// assert_eq!(finding.to_string(), "fail (threshold.limit): 0.3 is over 0.2");
/// assert_eq!(finding.numbers["measured"], 0.3);
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule that gave the verdict, as `judge.rule`: for programs.
    pub rule: String,
    /// The verdict.
    pub verdict: GuardVerdict,
    /// Why, as a sentence with the numbers in it: for people.
    pub reason: String,
    /// The numbers by name, all of them finite; what is infinite or undefined is left out.
    pub numbers: BTreeMap<String, f64>,
}

impl Finding {
    /// A verdict by a rule, for a reason.
    pub fn new(rule: impl Into<String>, verdict: GuardVerdict, reason: impl Into<String>) -> Self {
        Self { rule: rule.into(), verdict, reason: reason.into(), numbers: BTreeMap::new() }
    }

    /// Adds a number; one that is not finite is left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: f64) -> Self {
        if value.is_finite() {
            self.numbers.insert(name.to_owned(), value);
        }
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.verdict, self.rule, self.reason)
    }
}
