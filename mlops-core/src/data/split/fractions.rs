//! The shares of rows that go to each part.

use serde::{Deserialize, Serialize};

use super::Part;
use crate::error::{Error, Result};

/// The shares of the rows that go to validation (where there is one) and test; training gets the rest.
///
/// ```
/// use mlops_core::data::Fractions;
///
/// assert_eq!(Fractions::test(0.2)?.train(), 0.8);
/// assert!(Fractions::test(1.0).is_err());
/// assert!(Fractions::validation_test(0.5, 0.5).is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "FractionsWire", into = "FractionsWire")]
pub struct Fractions {
    validation: Option<f64>,
    test: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FractionsWire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    validation: Option<f64>,
    test: f64,
}

impl From<Fractions> for FractionsWire {
    fn from(fractions: Fractions) -> Self {
        Self { validation: fractions.validation, test: fractions.test }
    }
}

impl TryFrom<FractionsWire> for Fractions {
    type Error = Error;

    fn try_from(wire: FractionsWire) -> Result<Self> {
        Self::checked(wire.validation, wire.test)
    }
}

impl Fractions {
    /// Two parts: `test` of the rows for the test, the rest for training.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless `0 < test < 1`.
    pub fn test(test: f64) -> Result<Self> {
        Self::checked(None, test)
    }

    /// Three parts.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless both lie in (0, 1) and something is left for
    /// training.
    pub fn validation_test(validation: f64, test: f64) -> Result<Self> {
        Self::checked(Some(validation), test)
    }

    pub(super) fn checked(validation: Option<f64>, test: f64) -> Result<Self> {
        for (field, share) in [("validation", validation), ("test", Some(test))] {
            if let Some(share) = share.filter(|share| !(*share > 0.0 && *share < 1.0)) {
                return Err(Error::invalid("Fractions", field, format!("must lie in (0, 1), got {share}")));
            }
        }
        let fractions = Self { validation, test };
        if fractions.train() <= 0.0 {
            let message = format!("nothing is left for training: {} + {test}", validation.unwrap_or(0.0));
            return Err(Error::invalid("Fractions", "test", message));
        }
        Ok(fractions)
    }

    /// The share for training: what the others leave.
    pub fn train(&self) -> f64 {
        1.0 - self.validation.unwrap_or(0.0) - self.test
    }

    /// The parts and their shares, in order.
    pub(super) fn parts(&self) -> Vec<(Part, f64)> {
        let validation = self.validation.map(|share| (Part::Validation, share));
        [Some((Part::Train, self.train())), validation, Some((Part::Test, self.test))]
            .into_iter()
            .flatten()
            .collect()
    }
}
