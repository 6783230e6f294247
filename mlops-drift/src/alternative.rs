//! Which deviations count against "no drift".

use serde::{Deserialize, Serialize};

/// What a test looks for: always said of the **current** sample, seen from the reference.
///
/// ```
/// assert_eq!(mlops_drift::Alternative::default(), mlops_drift::Alternative::TwoSided);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alternative {
    /// A change in either direction. The default.
    #[default]
    TwoSided,
    /// The current values (or shares) are smaller.
    Less,
    /// The current values (or shares) are greater.
    Greater,
}
