//! Which deviations count against "no drift".

use serde::{Deserialize, Serialize};

use crate::special::{ln_normal_sf, ln_normal_two_sided, ln_student_t_sf, ln_student_t_two_sided};

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

impl Alternative {
    /// ln p of a statistic that is standard normal without drift and grows with the current values.
    pub(crate) fn ln_normal(self, z: f64) -> f64 {
        match self {
            Self::TwoSided => ln_normal_two_sided(z),
            Self::Less => ln_normal_sf(-z),
            Self::Greater => ln_normal_sf(z),
        }
    }

    /// ln p of a statistic with Student's law.
    pub(crate) fn ln_student_t(self, t: f64, dof: f64) -> f64 {
        match self {
            Self::TwoSided => ln_student_t_two_sided(t, dof),
            Self::Less => ln_student_t_sf(-t, dof),
            Self::Greater => ln_student_t_sf(t, dof),
        }
    }
}
