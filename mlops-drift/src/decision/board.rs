//! Every feature of a drift report over time.

use std::collections::BTreeMap;

use mlops_core::monitor::{DriftReport, DriftVerdict, FeatureDrift, FeatureOutcome};
use serde::{Deserialize, Serialize};

use super::policy::{Decision, Event, Policy, State, step};

/// The states of a data set and its features. A feature that a report does not have keeps its state.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// The data set as a whole.
    pub dataset: State,
    /// Its features, by name.
    pub features: BTreeMap<String, State>,
}

impl Board {
    /// The features with an alarm, by name.
    ///
    /// ```
    /// assert_eq!(mlops_drift::decision::Board::default().alarms().count(), 0);
    /// ```
    pub fn alarms(&self) -> impl Iterator<Item = &str> {
        self.features.iter().filter(|(_, state)| state.alarm().is_some()).map(|(name, _)| name.as_str())
    }
}

/// An alarm that began or ended.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The feature; `None` for the data set as a whole.
    pub feature: Option<String>,
    /// [`Decision::Raised`] or [`Decision::Cleared`].
    pub decision: Decision,
}

/// What a drift report changes: the next board, and the alarms that began or ended, the data set's first.
///
/// The policy speaks about how far a feature is beyond its own threshold: 1 is at it. A feature whose p-value does not reach the
/// level of the report is at 0, whatever its score, one with the verdict drift is above 1, and one that could not be judged has no
/// voice. The data set is at 2 when it drifts and at 0 when it does not. So `Policy::above(1.0)` raises what
/// the report calls drift; with `with_leave(0.8)` an alarm also ends only well inside the threshold.
///
/// ```
/// use mlops_core::monitor::{DriftReport, DriftVerdict, FeatureDrift, FeatureOutcome, FeatureScore};
/// use mlops_drift::decision::{Board, Policy, step_report};
///
/// let score = FeatureScore::new("psi.jeffreys/v1", 0.3, 0.1, DriftVerdict::Drift);
/// let age = FeatureDrift::new("age", FeatureOutcome::Measured(score));
/// let at = "2026-03-01T00:00:00Z".parse()?;
/// let report = DriftReport::new("inputs", at, (900, 900), vec![age], DriftVerdict::Drift, "1 of 1 features drifted");
///
/// let (board, changes) = step_report(&Policy::above(1.0)?, &Board::default(), &report);
/// assert_eq!(changes.len(), 2);
/// assert_eq!(changes[1].feature.as_deref(), Some("age"));
/// assert_eq!(board.alarms().collect::<Vec<_>>(), ["age"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn step_report(policy: &Policy, board: &Board, report: &DriftReport) -> (Board, Vec<Change>) {
    let event = |value| Event { at: report.at, rows: report.current_rows, value };
    let mut next = board.clone();
    let mut changes = Vec::new();
    let mut note = |feature: Option<&str>, decision: Decision| {
        if decision.is_change() {
            changes.push(Change { feature: feature.map(str::to_owned), decision });
        }
    };
    let dataset = match report.verdict {
        DriftVerdict::Drift => Some(2.0),
        DriftVerdict::NoDrift => Some(0.0),
        DriftVerdict::Inconclusive => None,
    };
    let (state, decision) = step(policy, &board.dataset, &event(dataset));
    next.dataset = state;
    note(None, decision);
    for feature in &report.features {
        let state = board.features.get(&feature.feature).copied().unwrap_or_default();
        let (state, decision) = step(policy, &state, &event(position(feature, report.alpha)));
        next.features.insert(feature.feature.clone(), state);
        note(Some(&feature.feature), decision);
    }
    (next, changes)
}

/// How far a feature is beyond its threshold; 1 is at it.
fn position(feature: &FeatureDrift, alpha: Option<f64>) -> Option<f64> {
    let FeatureOutcome::Measured(score) = &feature.outcome else { return None };
    let value = score.corrected.unwrap_or(score.score);
    let ratio =
        if score.threshold > 0.0 { value / score.threshold } else { f64::from(u8::from(value > 0.0)) };
    let chance = match (score.adjusted_p_value, alpha) {
        (Some(q), Some(alpha)) => q > alpha,
        _ => false,
    };
    match score.verdict {
        // Drift of missing values has a score that may be small.
        DriftVerdict::Drift => Some(ratio.max(1.0_f64.next_up())),
        DriftVerdict::NoDrift if chance => Some(0.0),
        DriftVerdict::NoDrift => Some(ratio.min(1.0)),
        DriftVerdict::Inconclusive => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::monitor::FeatureScore;

    fn report(hour: u32, features: &[(&str, f64, f64, DriftVerdict)]) -> DriftReport {
        let row = |&(name, score, q, verdict): &(&str, f64, f64, DriftVerdict)| {
            let mut score = FeatureScore::new("ks/v1", score, 0.1, verdict);
            score.adjusted_p_value = Some(q);
            FeatureDrift::new(name.to_owned(), FeatureOutcome::Measured(score))
        };
        let drifts = features.iter().any(|f| f.3 == DriftVerdict::Drift);
        let verdict = if drifts { DriftVerdict::Drift } else { DriftVerdict::NoDrift };
        let at = format!("2026-03-01T{hour:02}:00:00Z").parse().unwrap();
        let mut report =
            DriftReport::new("d", at, (900, 900), features.iter().map(row).collect(), verdict, "because");
        report.alpha = Some(0.01);
        report
    }

    #[test]
    fn an_alarm_ends_only_well_inside_the_threshold() {
        use DriftVerdict::{Drift, NoDrift};
        let policy = Policy::above(1.0).unwrap().with_leave(0.8).unwrap();
        let mut board = Board::default();
        let mut said = Vec::new();
        for (hour, score, q, verdict) in [
            (0, 0.3, 1e-9, Drift),
            (1, 0.09, 1e-9, NoDrift),
            (2, 0.07, 1e-9, NoDrift),
            (3, 0.5, 0.4, NoDrift),
        ] {
            let changes;
            (board, changes) = step_report(&policy, &board, &report(hour, &[("x", score, q, verdict)]));
            said.push(changes.iter().filter(|c| c.feature.is_some()).map(|c| c.decision).collect::<Vec<_>>());
        }
        assert_eq!(said, [vec![Decision::Raised], vec![], vec![Decision::Cleared], vec![]]);
    }

    #[test]
    fn a_failed_or_absent_feature_keeps_its_alarm() {
        let policy = Policy::above(1.0).unwrap();
        let (board, _) =
            step_report(&policy, &Board::default(), &report(0, &[("x", 0.3, 0.0, DriftVerdict::Drift)]));
        let mut gone = report(1, &[]);
        let (after, changes) = step_report(&policy, &board, &gone);
        assert_eq!(after.alarms().collect::<Vec<_>>(), ["x"]);
        assert_eq!(changes.len(), 1, "the data set is calm again: {changes:?}");
        gone.at = "2026-03-01T02:00:00Z".parse().unwrap();
        let outcome = FeatureOutcome::Failed("is gone".to_owned());
        gone.features = vec![FeatureDrift::new("x", outcome)];
        let (after, _) = step_report(&policy, &after, &gone);
        assert_eq!(after.alarms().count(), 1);
        let text = serde_json::to_string(&after).unwrap();
        assert_eq!(serde_json::from_str::<Board>(&text).unwrap(), after);
    }
}
