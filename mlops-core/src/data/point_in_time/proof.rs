//! What shows that nothing looked ahead.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::duration_text;

/// How the rows that were joined lie in time, for one feature: computed from the rows that were taken, not from how they were
/// found. Lengths are microseconds where times are joined, else the unit of the columns.
///
/// `entity_rows = matched + missing + not_yet + expired`.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureProof {
    /// The view.
    pub view: String,
    /// The feature, as it is called in the view.
    pub feature: String,
    /// How many rows were to be joined.
    pub entity_rows: usize,
    /// Rows for which a feature row was found.
    pub matched: usize,
    /// Of those: the feature row has no value.
    pub null_values: usize,
    /// Rows whose key the view does not have, or that have no key.
    pub missing: usize,
    /// Rows whose key the view has, but nothing had happened and was known at the time.
    pub not_yet: usize,
    /// Rows for which everything known was older than the ttl.
    pub expired: usize,
    /// Matched rows for which several feature rows had the same event and created time; the last in the table was taken.
    pub ties: usize,
    /// Rows that would have got another feature row, or one at all, if knowledge time did not count: the leak prevented.
    pub withheld: usize,
    /// The largest event time − entity time of matched rows; `None` when none is matched.
    pub max_event_lead: Option<i64>,
    /// The largest created time − entity time of matched rows; `None` when none is matched, or created times are not
    /// recorded.
    pub max_created_lead: Option<i64>,
    /// Whether created times are recorded. If not, rows were taken to be known the moment they happened.
    pub knowledge_recorded: bool,
    /// Whether rows of the same time were refused.
    pub strict: bool,
    /// Whether lengths are microseconds; else they are in the unit of the columns.
    pub microseconds: bool,
}

impl FeatureProof {
    /// Whether nothing looked ahead: both leads are at most 0, or below 0 where rows of the same time were refused.
    pub fn holds(&self) -> bool {
        let latest = if self.strict { -1 } else { 0 };
        let within = |lead: Option<i64>| lead.is_none_or(|lead| lead <= latest);
        within(self.max_event_lead) && within(self.max_created_lead)
    }
}

impl fmt::Display for FeatureProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lead = |lead: Option<i64>| match lead {
            None => "none".to_owned(),
            Some(lead) if self.microseconds => {
                let sign = if lead < 0 { "−" } else { "" };
                format!("{sign}{}", duration_text::format(Duration::from_micros(lead.unsigned_abs())))
            }
            Some(lead) => lead.to_string(),
        };
        let known = match self.knowledge_recorded {
            true => format!("created − entity at most {}", lead(self.max_created_lead)),
            false => "created times not recorded".to_owned(),
        };
        write!(
            f,
            "{}.{}: {} of {} rows matched ({} missing, {} not yet, {} expired); event − entity at most {}, {known}; {}",
            crate::error::quote(&self.view),
            crate::error::quote(&self.feature),
            self.matched,
            self.entity_rows,
            self.missing,
            self.not_yet,
            self.expired,
            lead(self.max_event_lead),
            if self.holds() { "nothing looks ahead" } else { "IT LOOKS AHEAD" }
        )
    }
}
