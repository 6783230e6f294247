//! The errors of predicted numbers in every group, in one pass.

use mlops_core::num::StatsError;

use super::aggregate::{GroupValue, MetricByGroup};
use super::group::{Axes, GroupStatus, SensitiveFeature, group_of_rows};
use super::metrics::too_few;
use super::options::FairnessOptions;
use crate::catalog::Metric;
use crate::input::{finite, named, paired, weight, weight_total};
use crate::regression::{RegressionMetric, RegressionState};

/// The sums of errors of every group: one pass over the rows, and every regression metric that is a sum follows from
/// them.
///
/// ```
/// use mlops_eval::fairness::{FairnessOptions, GroupErrors, SensitiveFeature};
/// use mlops_eval::regression::RegressionMetric;
///
/// let group = SensitiveFeature::from_values("group", &["a", "a", "b", "b"]);
/// let options = FairnessOptions::default().with_minimum_size(2);
/// let groups = GroupErrors::of(&[1.0, 2.0, 3.0, 4.0], &[1.5, 2.5, 5.0, 4.0], None, &[group], &options)?;
/// let mae = groups.by_group(RegressionMetric::Mae)?;
/// assert_eq!(mae.difference().value.value(), Some(0.5));
/// assert_eq!(mae.ratio()?.value.value(), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GroupErrors {
    axes: Axes,
    states: Vec<RegressionState>,
    options: FairnessOptions,
}

impl GroupErrors {
    /// Adds up the errors of every combination of the features' categories. Weights that are `None` are all 1.
    ///
    /// # Errors
    /// Those of [`RegressionState::of`] and of [`GroupMetrics::of`](super::GroupMetrics::of).
    pub fn of(
        y_true: &[f64],
        y_pred: &[f64],
        weights: Option<&[f64]>,
        features: &[SensitiveFeature<'_>],
        options: &FairnessOptions,
    ) -> Result<Self, StatsError> {
        paired(named("y_true", y_true), named("y_pred", y_pred))?;
        finite("y_true", y_true)?;
        finite("y_pred", y_pred)?;
        weight_total(weights, named("y_true", y_true))?;
        options.check()?;
        let axes = Axes::of(features)?;
        let groups = group_of_rows(features, y_true.len(), "y_true")?;
        let mut states = vec![RegressionState::default(); axes.len()?];
        for (row, &group) in groups.iter().enumerate() {
            states[group as usize].push(y_true[row], y_pred[row], weight(weights, row))?;
        }
        Ok(Self { axes, states, options: *options })
    }

    /// A metric in every group and overall. The options' `zero_division` and `confidence` have no part in it.
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] for a metric that is no quotient of sums, such as the median absolute error
    /// ([`MetricFrame`](super::MetricFrame) has those too); [`StatsError::Overflow`].
    pub fn by_group(&self, metric: RegressionMetric) -> Result<MetricByGroup, StatsError> {
        let rows: Vec<u64> = self.states.iter().map(RegressionState::rows).collect();
        let statuses = self.axes.statuses(&rows, self.options.minimum_size);
        let mut overall = RegressionState::default();
        let mut groups = Vec::with_capacity(rows.len());
        for (index, state) in self.states.iter().enumerate() {
            overall.merge(state);
            groups.push(GroupValue {
                group: self.axes.group(index),
                rows: rows[index],
                weight: state.finish()?.weight,
                status: statuses[index],
                value: match statuses[index] {
                    GroupStatus::Judged => metric.from_state(state)?,
                    _ => too_few(rows[index], self.options.minimum_size),
                },
                share: None,
                interval: None,
            });
        }
        let overall = metric.from_state(&overall)?;
        Ok(MetricByGroup {
            metric: Metric::Regression(metric).into(),
            overall,
            groups,
            options: self.options,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::rmse;
    use mlops_core::num::Measured;

    #[test]
    fn groups_are_measured_like_their_rows() {
        let y = [1.0, 2.0, 3.0, 4.0, 5.0];
        let p = [1.5, 2.5, 5.0, 4.0, 5.5];
        let group = SensitiveFeature::new("group", &[0, 1, 0, 1, 0], ["a", "b"]);
        let options = FairnessOptions::default().with_minimum_size(3);
        let groups = GroupErrors::of(&y, &p, None, &[group], &options).unwrap();
        let by_group = groups.by_group(RegressionMetric::Rmse).unwrap();
        let close = |a: Measured, b: Measured| (a.value().unwrap() - b.value().unwrap()).abs() < 1e-15;
        assert!(close(by_group.groups[0].value, rmse(&[1.0, 3.0, 5.0], &[1.5, 5.0, 5.5]).unwrap()));
        assert!(close(by_group.overall, rmse(&y, &p).unwrap()));
        assert_eq!(by_group.groups[1].status, GroupStatus::TooSmall);
        assert_eq!(by_group.groups[1].value.value(), None);
    }

    #[test]
    fn a_ratio_of_r2_and_a_median_are_refused() {
        let group = SensitiveFeature::from_values("group", &["a", "a", "b", "b"]);
        let options = FairnessOptions::fairlearn_0_15();
        let groups =
            GroupErrors::of(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.5, 9.0, 4.0], None, &[group], &options).unwrap();
        assert!(groups.by_group(RegressionMetric::R2).unwrap().ratio().is_err());
        let median = groups.by_group(RegressionMetric::MedianAbsoluteError);
        assert!(matches!(median, Err(StatsError::Unsupported { .. })));
    }
}
