//! All presets at once.

use std::fmt;

use mlops_core::num::StatsError;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::{Direction, Preset, Verdict, check, check_categories, check_values};
use crate::pair::Pair;

/// Why a preset neither alerts nor keeps quiet.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NoAlert {
    /// There is a score, but the tool has no threshold of its own for it.
    NoThreshold,
    /// The tool refuses such data, or has no number for it.
    Refused(StatsError),
}

impl fmt::Display for NoAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoThreshold => f.write_str("no threshold by default"),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NoAlert {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoThreshold => None,
            Self::Refused(error) => Some(error),
        }
    }
}

/// What one preset says. Shown as a sentence; serialised with the preset's id and the reason as text.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Which definition.
    pub preset: Preset,
    /// Its score; `None` where it was refused.
    pub score: Option<f64>,
    /// The threshold; `None` where there is none.
    pub threshold: Option<f64>,
    /// Which scores alert.
    pub direction: Direction,
    /// Whether it alerts, or why that cannot be said.
    pub alert: Result<bool, NoAlert>,
}

impl Row {
    fn new(preset: Preset, verdict: Result<Verdict, StatsError>) -> Self {
        let (score, threshold, alert) = match verdict {
            Ok(verdict) => {
                (Some(verdict.score), verdict.threshold, verdict.alert.ok_or(NoAlert::NoThreshold))
            }
            Err(error) => (None, preset.threshold(), Err(NoAlert::Refused(error))),
        };
        Self { preset, score, threshold, direction: preset.direction(), alert }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { preset, direction, .. } = self;
        match (self.alert, self.score, self.threshold) {
            (Ok(alert), Some(score), Some(threshold)) => {
                let (verb, not) = if alert { ("alerts", "") } else { ("is quiet", "not ") };
                write!(f, "{preset} {verb}: {score} is {not}{direction} {threshold}")
            }
            (Err(reason), Some(score), _) => write!(f, "{preset} has {score} and {reason}"),
            (Err(reason), ..) => write!(f, "{preset} has no answer: {reason}"),
            _ => write!(f, "{preset}"),
        }
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Row", 6)?;
        row.serialize_field("preset", &self.preset.to_string())?;
        row.serialize_field("score", &self.score)?;
        row.serialize_field("threshold", &self.threshold)?;
        row.serialize_field("direction", &self.direction)?;
        row.serialize_field("alert", &self.alert.ok())?;
        row.serialize_field("reason", &self.alert.err().map(|reason| reason.to_string()))?;
        row.end()
    }
}

/// Which tools would alert on two samples of numbers, and why: one row for every preset that takes numbers, in the order of
/// [`Preset::ALL`]. A preset that refuses the data is a row too. O(n log n), but for the exact p-values of small samples.
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`] and [`StatsError::NotFinite`]: what no preset takes.
///
/// ```
/// use mlops_drift::compat::{NoAlert, Preset, verdicts};
///
/// let reference: Vec<f64> = (0..100).map(f64::from).collect();
/// let current: Vec<f64> = (0..100).map(|i| f64::from(i) - 30.0).collect();
/// let rows = verdicts(&reference, &current)?;
/// let of = |preset| rows.iter().find(|row| row.preset == preset);
/// assert_eq!(of(Preset::EvidentlyKs).map(|row| row.alert), Some(Ok(true)));
/// // One-sided: it does not see smaller values.
/// assert_eq!(of(Preset::EvidentlyMannWhitney).map(|row| row.alert), Some(Ok(false)));
/// assert_eq!(of(Preset::NannyMlJs).map(|row| row.alert), Some(Err(NoAlert::NoThreshold)));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn verdicts(reference: &[f64], current: &[f64]) -> Result<Vec<Row>, StatsError> {
    for (argument, values) in [("reference", reference), ("current", current)] {
        check_values(argument, values)?;
    }
    let presets = Preset::ALL.into_iter().filter(|preset| preset.takes_numbers());
    Ok(presets.map(|preset| Row::new(preset, check(preset, reference, current))).collect())
}

/// Which tools would alert on two rows of counts over the same categories, and why: one row for every preset that takes categories.
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::ZeroTotal`], [`StatsError::Overflow`]: what no preset takes.
///
/// ```
/// use mlops_drift::compat::verdicts_of_categories;
///
/// let rows = verdicts_of_categories(&[500, 500, 0], &[480, 470, 50])?;
/// assert!(rows.iter().any(|row| row.alert == Ok(true)));
/// let first = rows[0].to_string();
/// assert!(first.starts_with("evidently.psi/0.7 alerts: 0.31") && first.ends_with(" is at least 0.1"), "{first}");
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn verdicts_of_categories(reference: &[u64], current: &[u64]) -> Result<Vec<Row>, StatsError> {
    Pair::new(reference, current)?;
    let presets = Preset::ALL.into_iter().filter(|preset| preset.takes_categories());
    Ok(presets.map(|preset| Row::new(preset, check_categories(preset, reference, current))).collect())
}
