//! Calibration within groups of people.

use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::metric::CalibrationMetric;
use super::state_of;
use crate::classification::ScoreState;

/// The most groups there may be.
const MAX_GROUPS: usize = crate::fairness::MAX_GROUPS;

/// A calibration metric of a group.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupValue {
    /// The group's name.
    pub group: String,
    /// The number of its rows.
    pub rows: u64,
    /// The weight of its rows.
    pub weight: f64,
    /// The weight of its positives.
    pub positives: f64,
    /// The metric; undefined with [`UndefinedReason::TooFew`] where the group has fewer rows than the minimum.
    pub value: Measured,
}

/// A calibration metric in each group.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupCalibration {
    /// The metric.
    pub metric: CalibrationMetric,
    /// Each group, in the order they were given.
    pub groups: Vec<GroupValue>,
    /// All rows together.
    pub overall: Measured,
    /// The largest value less the smallest, over the groups that have one; undefined with
    /// [`UndefinedReason::NothingDefined`] unless two have.
    pub gap: Measured,
    /// Whether every group has a value: the gap passes over those that have none.
    pub complete: bool,
}

/// The states of the rows of each group: `groups[i]` is the code of row i, below `count`.
///
/// ```
/// use mlops_eval::calibration::group_states;
///
/// let states = group_states(&[true, false, true], &[0.9, 0.2, 0.4], None, &[0, 1, 1], 3)?;
/// assert_eq!(states.iter().map(|state| state.rows()).collect::<Vec<_>>(), [1, 2, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::OutOfRange`], what
/// [`weights::total`](mlops_core::num::weights::total) refuses, [`StatsError::UnknownCode`], and [`StatsError::Parameter`] for
/// more than 65 536 groups.
pub fn group_states(
    y_true: &[bool],
    probabilities: &[f64],
    weights: Option<&[f64]>,
    groups: &[u32],
    count: usize,
) -> Result<Vec<ScoreState>, StatsError> {
    crate::input::paired(crate::input::named("y_true", y_true), crate::input::named("groups", groups))?;
    crate::input::paired(
        crate::input::named("y_true", y_true),
        crate::input::named(super::PROBABILITIES, probabilities),
    )?;
    crate::input::probabilities(super::PROBABILITIES, probabilities)?;
    crate::input::weight_total(weights, crate::input::named("y_true", y_true))?;
    if count > MAX_GROUPS {
        let reason = "must be at most 65536";
        return Err(StatsError::Parameter { parameter: "count", value: count as f64, reason });
    }
    let mut rows = vec![(Vec::new(), Vec::new(), Vec::new()); count];
    for (index, &code) in groups.iter().enumerate() {
        let Some((y, p, w)) = rows.get_mut(code as usize) else {
            let (code, known) = (u64::from(code), count as u64);
            return Err(StatsError::UnknownCode { argument: "groups", index, code, known });
        };
        y.push(y_true[index]);
        p.push(probabilities[index]);
        w.push(crate::input::weight(weights, index));
    }
    let state = |(y, p, w): (Vec<bool>, Vec<f64>, Vec<f64>)| match y.is_empty() {
        true => Ok(ScoreState::default()),
        // A group whose rows have no weight has rows, and nothing to measure.
        false if w.iter().all(|weight| *weight == 0.0) => Ok(ScoreState::default()),
        false => state_of(&y, &p, weights.map(|_| w.as_slice())),
    };
    rows.into_iter().map(state).collect()
}

/// A calibration metric in each of some groups, over all of them, and the largest gap between them. Groups come as states, with
/// their names: shards and machines add theirs up first. One with fewer rows than `minimum` is not judged.
///
/// A gap of a metric is above 0 by chance alone, the more so the smaller the groups and the more of them there are. Calibration
/// within groups and equal error rates cannot both hold where base rates differ (Kleinberg, Mullainathan, Raghavan 2017).
///
/// ```
/// use mlops_eval::calibration::{CalibrationMetric, calibration_by_group, group_states};
///
/// let states = group_states(&[true, false, true, true], &[0.5; 4], None, &[0, 0, 1, 1], 2)?;
/// let groups = calibration_by_group(&["a", "b"], &states, CalibrationMetric::Ece, 2)?;
/// assert_eq!(groups.gap.value(), Some(0.5));
/// assert_eq!(groups.overall.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`] where no group has rows, those of the metric.
pub fn calibration_by_group<S: AsRef<str>>(
    names: &[S],
    states: &[ScoreState],
    metric: CalibrationMetric,
    minimum: u64,
) -> Result<GroupCalibration, StatsError> {
    crate::input::paired(crate::input::named("names", names), crate::input::named("states", states))?;
    let mut overall = ScoreState::default();
    let mut groups = Vec::with_capacity(names.len());
    for (name, state) in names.iter().zip(states) {
        overall.merge(state)?;
        let positives = state.positives();
        groups.push(GroupValue {
            group: name.as_ref().to_owned(),
            rows: state.rows(),
            weight: positives + state.negatives(),
            positives,
            value: judged(state, metric, minimum)?,
        });
    }
    let values: Vec<f64> = groups.iter().filter_map(|group| group.value.value()).collect();
    let gap = match values.len() {
        0 | 1 => Measured::none(UndefinedReason::NothingDefined, values.len(), 2),
        _ => {
            let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (value.min(low), value.max(high))
            });
            Measured::Value(crate::input::in_range("the gap between groups", high - low)?)
        }
    };
    let complete = values.len() == groups.len();
    Ok(GroupCalibration { metric, groups, overall: metric.from_state(&overall)?, gap, complete })
}

fn judged(state: &ScoreState, metric: CalibrationMetric, minimum: u64) -> Result<Measured, StatsError> {
    if state.rows() < minimum.max(1) || state.positives() + state.negatives() <= 0.0 {
        let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        return Ok(Measured::none(UndefinedReason::TooFew, count(state.rows()), count(minimum.max(1))));
    }
    metric.from_state(state)
}
