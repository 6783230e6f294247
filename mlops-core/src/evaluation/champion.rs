//! Whether a challenger should take the place of the champion.
//!
//! A gate says whether a model is good enough; this says whether it is better than what serves now. Both models must have
//! been evaluated on the same data. The champion keeps its place in doubt: on a tie, on a gain below the margin, and when a
//! guard metric gets worse by more than it may.
//!
//! The comparison is of point values. Whether a difference could be chance is the business of a paired test on the rows,
//! which a report does not have; choose `margin` from one.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::EvaluationReport;
use super::gate::comparison::{comparable, keeps_margin, undirected};
use super::subject::{Subject, check_report, number, show};
use crate::error::{Error, Result};
use crate::hash::{Digest, digest_json};
use crate::id::MetricKey;
use crate::num::Measured;

/// A metric that must not get worse by more than it may.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// The metric; with `attribute`, the disparity.
    pub metric: MetricKey,
    /// The slice over which it is taken.
    #[serde(default)]
    pub slice: Option<String>,
    /// The sensitive attribute between whose groups it is a disparity.
    #[serde(default)]
    pub attribute: Option<String>,
    /// By how much it may be worse, in its own direction; 0 or more.
    pub max_drop: f64,
}

impl Guard {
    /// A guard over all rows.
    pub fn new(metric: MetricKey, max_drop: f64) -> Self {
        Self { metric, slice: None, attribute: None, max_drop }
    }

    /// Takes the metric over one slice.
    #[must_use]
    pub fn with_slice(mut self, slice: impl Into<String>) -> Self {
        self.slice = Some(slice.into());
        self
    }

    /// Takes the disparity between the groups of an attribute.
    #[must_use]
    pub fn with_attribute(mut self, attribute: impl Into<String>) -> Self {
        self.attribute = Some(attribute.into());
        self
    }

    fn subject(&self) -> Subject<'_> {
        Subject { metric: &self.metric, slice: self.slice.as_deref(), attribute: self.attribute.as_deref() }
    }
}

/// What a challenger must show to become champion.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChampionRules {
    /// The metric that decides, over all rows.
    pub primary: MetricKey,
    /// By how much the challenger must be better, in the metric's own direction; with 0 it must be better at all.
    #[serde(default)]
    pub margin: f64,
    /// The fewest rows on which the primary metric may rest; at least one is always needed.
    #[serde(default)]
    pub min_rows: u64,
    /// Metrics that must not get worse by more than they may.
    #[serde(default)]
    pub guards: Vec<Guard>,
}

impl ChampionRules {
    /// The challenger must be better in `primary`, by whatever little.
    pub fn new(primary: MetricKey) -> Self {
        Self { primary, margin: 0.0, min_rows: 0, guards: Vec::new() }
    }

    /// Asks for a gain of at least `margin`.
    #[must_use]
    pub fn with_margin(mut self, margin: f64) -> Self {
        self.margin = margin;
        self
    }

    /// Asks for at least so many rows.
    #[must_use]
    pub fn with_min_rows(mut self, rows: u64) -> Self {
        self.min_rows = rows;
        self
    }

    /// Adds a guard.
    #[must_use]
    pub fn with_guard(mut self, guard: Guard) -> Self {
        self.guards.push(guard);
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        const OP: &str = "champion::compare";
        let margins = self.guards.iter().map(|g| ("max_drop", &g.metric, g.max_drop));
        for (field, metric, value) in std::iter::once(("margin", &self.primary, self.margin)).chain(margins) {
            if !(value.is_finite() && value >= 0.0) {
                let message = format!("is {value}, a margin is a finite number of 0 or more");
                return Err(Error::invalid(OP, field, message).with("metric", metric));
            }
        }
        let mut seen = HashSet::new();
        for guard in &self.guards {
            if guard.slice.is_some() && guard.attribute.is_some() {
                let message = "a guard is about a slice or an attribute, not both";
                return Err(Error::invalid(OP, "guards", message).with("metric", &guard.metric));
            }
            if !seen.insert((&guard.metric, &guard.slice, &guard.attribute)) {
                let error = Error::invalid(OP, "guards", "has two guards for one metric");
                return Err(error.with("metric", &guard.metric));
            }
        }
        Ok(())
    }
}

/// What to do with the champion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChampionOutcome {
    /// The challenger is better by the rules: it may take the champion's place.
    Promote,
    /// The challenger is not better, or worse where it must not be: the champion stays.
    Keep,
    /// The reports do not say: the champion stays, for now.
    Inconclusive,
}

impl fmt::Display for ChampionOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Promote => "promote",
            Self::Keep => "keep",
            Self::Inconclusive => "inconclusive",
        })
    }
}

/// How the two models compare in one metric.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricEvidence {
    /// The metric, with its slice or attribute.
    pub subject: String,
    /// The champion's value; `None` when its report has no such number.
    pub champion: Option<Measured>,
    /// The challenger's value.
    pub challenger: Option<Measured>,
    /// By how much the challenger is better, in the metric's own direction; `None` when the two cannot be compared.
    pub gain: Option<f64>,
    /// The smallest gain that would do; negative for a guard.
    pub needed: f64,
    /// What this metric alone says.
    pub outcome: ChampionOutcome,
    /// The same, as a sentence.
    pub reason: String,
}

/// What became of a comparison, bound by digests to both reports.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChampionDecision {
    /// The version of this shape: 1.
    pub schema: u32,
    /// What to do.
    pub outcome: ChampionOutcome,
    /// The sentences that led to it.
    pub reasons: Vec<String>,
    /// The primary metric, then every guard.
    pub evidence: Vec<MetricEvidence>,
    /// The digest of the champion's report.
    pub champion_report: Digest,
    /// The digest of the challenger's report.
    pub challenger_report: Digest,
    /// The digest of the rules.
    pub rules: Digest,
}

impl ChampionDecision {
    /// Whether the challenger may take the champion's place.
    pub fn is_promotion(&self) -> bool {
        self.outcome == ChampionOutcome::Promote
    }
}

impl fmt::Display for ChampionDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.outcome, self.reasons.join("; "))
    }
}

/// Compares a challenger with the champion. A pure function of the two reports and the rules.
///
/// The challenger is promoted when its primary metric is better, by at least the margin, and every guard holds. It is kept out
/// when it is not better or a guard does not hold, whatever else is unknown; and the comparison is inconclusive when a
/// number is missing or undefined in either report, when a disparity leaves out groups, when rows are too few, or when the
/// reports are about different data, tasks or rows. Values are compared with the slack of
/// [gates](super::gate): a gain that is 0.05 in decimal is one of 0.05.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a margin that is negative, NaN or infinite, for two guards
/// of one metric, and for a report with a NaN or an infinity: nothing is promoted then.
///
/// ```
/// use mlops_core::MetricKey;
/// use mlops_core::evaluation::champion::{ChampionOutcome, ChampionRules, compare};
/// use mlops_core::evaluation::{Estimate, EvaluationReport};
/// use mlops_core::hash::Digest;
/// use mlops_core::num::Measured;
/// use mlops_core::problem::{Direction, Task};
///
/// let auc = MetricKey::new("roc_auc")?;
/// let report = |model: &str, value: f64| -> Result<EvaluationReport, Box<dyn std::error::Error>> {
///     let (model, data) = (Digest::of(model.as_bytes()), Digest::of(b"held-out rows"));
///     let at = "2026-01-05T09:00:00Z".parse()?;
///     let mut report = EvaluationReport::new(model, data, Task::BinaryClassification, at, 111);
///     report.metrics.insert(auc.clone(), Estimate::new(Measured::Value(value), Direction::HigherIsBetter, 111));
///     Ok(report)
/// };
/// let rules = ChampionRules::new(auc.clone()).with_margin(0.05);
/// let (champion, challenger) = (report("a", 0.8)?, report("b", 0.85)?);
/// assert_eq!(compare(&champion, &challenger, &rules)?.outcome, ChampionOutcome::Promote);
///
/// let close = compare(&champion, &report("c", 0.82)?, &rules)?;
/// assert_eq!(close.to_string(), "keep: roc_auc is 0.82 and the champion's is 0.8, a gain of at least 0.05 is needed");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn compare(
    champion: &EvaluationReport,
    challenger: &EvaluationReport,
    rules: &ChampionRules,
) -> Result<ChampionDecision> {
    const OP: &str = "champion::compare";
    rules.check()?;
    check_report(OP, "champion", champion)?;
    check_report(OP, "challenger", challenger)?;
    let pair = Pair { champion, challenger };
    let mut evidence = vec![pair.primary(rules)];
    evidence.extend(rules.guards.iter().map(|guard| pair.guard(guard)));
    let outcome = overall(&evidence);
    Ok(ChampionDecision {
        schema: 1,
        outcome,
        reasons: evidence.iter().filter(|e| e.outcome == outcome).map(|e| e.reason.clone()).collect(),
        evidence,
        champion_report: champion.digest()?,
        challenger_report: challenger.digest()?,
        rules: digest_json(rules)?,
    })
}

/// One `Keep` keeps, else one `Inconclusive` is inconclusive.
fn overall(evidence: &[MetricEvidence]) -> ChampionOutcome {
    [ChampionOutcome::Keep, ChampionOutcome::Inconclusive]
        .into_iter()
        .find(|outcome| evidence.iter().any(|e| e.outcome == *outcome))
        .unwrap_or(ChampionOutcome::Promote)
}

struct Pair<'a> {
    champion: &'a EvaluationReport,
    challenger: &'a EvaluationReport,
}

impl Pair<'_> {
    fn primary(&self, rules: &ChampionRules) -> MetricEvidence {
        let subject = Subject { metric: &rules.primary, slice: None, attribute: None };
        let demand = match rules.margin {
            0.0 => "a gain is needed".to_owned(),
            margin => format!("a gain of at least {} is needed", number(margin)),
        };
        self.weigh(subject, rules.min_rows, rules.margin, true, &demand)
    }

    fn guard(&self, guard: &Guard) -> MetricEvidence {
        let demand = format!("it may be worse by at most {}", number(guard.max_drop));
        self.weigh(guard.subject(), 1, -guard.max_drop, false, &demand)
    }

    /// Holds one metric against the gain that is needed; with `strictly`, a tie does not do.
    fn weigh(
        &self,
        subject: Subject<'_>,
        min_rows: u64,
        needed: f64,
        strictly: bool,
        demand: &str,
    ) -> MetricEvidence {
        let value = |report| subject.find(report).ok().map(|found| found.estimate.value);
        let mut evidence = MetricEvidence {
            subject: subject.to_string(),
            champion: value(self.champion),
            challenger: value(self.challenger),
            gain: None,
            // Never -0: it would be another digest than 0 in nothing but its sign.
            needed: needed + 0.0,
            outcome: ChampionOutcome::Inconclusive,
            reason: String::new(),
        };
        let found = subject.find(self.challenger).and_then(|found| {
            let new = found.usable(min_rows).map_err(|reason| format!("{subject} {reason}"))?;
            undirected(subject, found.estimate.direction).map_or(Ok(()), Err)?;
            let old = comparable(subject, &found, self.challenger, ("the champion", self.champion))?;
            Ok((found.estimate.direction, new, old))
        });
        match found {
            Err(reason) => evidence.reason = reason,
            Ok((direction, new, old)) => {
                let (enough, threshold) = keeps_margin(direction, new, old, needed);
                // As good the other way round: a tie, up to the slack.
                let tie = strictly && keeps_margin(direction, old, new, 0.0).0;
                evidence.gain = Some(direction.gain(new, old)).filter(|gain| gain.is_finite());
                evidence.outcome =
                    if enough && !tie { ChampionOutcome::Promote } else { ChampionOutcome::Keep };
                let (new, old) = (show(new, threshold), show(old, new));
                evidence.reason = format!("{subject} is {new} and the champion's is {old}, {demand}");
            }
        }
        evidence
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::evaluation::{Disparity, Estimate, FairnessReport, SliceReport};
    use crate::num::UndefinedReason;
    use crate::problem::{Direction, Task};
    use std::collections::BTreeMap;

    fn key(name: &str) -> MetricKey {
        MetricKey::new(name).unwrap()
    }

    fn up(v: f64) -> Estimate {
        Estimate::new(Measured::Value(v), Direction::HigherIsBetter, 100)
    }

    fn down(v: f64) -> Estimate {
        Estimate::new(Measured::Value(v), Direction::LowerIsBetter, 100)
    }

    fn none() -> Estimate {
        Estimate::new(Measured::none(UndefinedReason::SingleClass, 1, 2), Direction::HigherIsBetter, 100)
    }

    fn report(metrics: &[(&str, Estimate)]) -> EvaluationReport {
        let at = chrono::DateTime::UNIX_EPOCH;
        let (model, data) = (Digest::of(b"m"), Digest::of(b"d"));
        let mut report = EvaluationReport::new(model, data, Task::BinaryClassification, at, 100);
        report.metrics = metrics.iter().map(|(k, e)| (key(k), *e)).collect();
        report
    }

    fn outcome(
        champion: &[(&str, Estimate)],
        challenger: &[(&str, Estimate)],
        rules: &ChampionRules,
    ) -> ChampionOutcome {
        compare(&report(champion), &report(challenger), rules).unwrap().outcome
    }

    fn auc() -> ChampionRules {
        ChampionRules::new(key("auc"))
    }

    #[test]
    fn the_challenger_must_be_better_by_the_margin_and_a_tie_keeps_the_champion() {
        use ChampionOutcome::{Keep, Promote};
        for (old, new, margin, expected) in [
            (up(0.8), up(0.81), 0.0, Promote),
            (up(0.8), up(0.8), 0.0, Keep),
            (up(0.8), up(0.79), 0.0, Keep),
            (up(0.8), up(0.85), 0.05, Promote),
            (up(0.8), up(0.849), 0.05, Keep),
            (down(0.3), down(0.2), 0.1, Promote),
            (down(0.3), down(0.3), 0.0, Keep),
            (down(0.3), down(0.31), 0.0, Keep),
            // A difference that is rounding is a tie.
            (up(0.3), up(0.1 + 0.2), 0.0, Keep),
            (up(0.0), up(0.0), 0.0, Keep),
            (up(0.0), up(-0.0), 0.0, Keep),
            (up(-f64::MAX), up(f64::MAX), 0.0, Promote),
        ] {
            let rules = auc().with_margin(margin);
            assert_eq!(
                outcome(&[("auc", old)], &[("auc", new)], &rules),
                expected,
                "{old:?} {new:?} {margin}"
            );
        }
    }

    #[test]
    fn no_doubt_ever_promotes() {
        use ChampionOutcome::{Inconclusive, Keep};
        let guarded = auc().with_guard(Guard::new(key("recall"), 0.01));
        let good = [("auc", up(0.9)), ("recall", up(0.7))];
        let base = [("auc", up(0.8)), ("recall", up(0.7))];
        for (old, new, expected) in [
            (&base[..], &[("auc", up(0.9))][..], Inconclusive),
            (&base, &[("recall", up(0.7))], Inconclusive),
            (&base, &[("auc", none()), ("recall", up(0.7))], Inconclusive),
            (&base, &[("auc", up(0.9)), ("recall", none())], Inconclusive),
            (&[("auc", up(0.8))], &good, Inconclusive),
            (&[("auc", none()), ("recall", up(0.7))], &good, Inconclusive),
            (&[("auc", down(0.8)), ("recall", up(0.7))], &good, Inconclusive),
            (&base, &[("auc", up(0.9)), ("recall", up(0.6))], Keep),
            // What is known to be worse keeps the champion, whatever is unknown.
            (&base, &[("auc", up(0.7)), ("recall", none())], Keep),
            (&base, &[("auc", none()), ("recall", up(0.1))], Keep),
        ] {
            assert_eq!(outcome(old, new, &guarded), expected, "{old:?} {new:?}");
        }
        assert_eq!(outcome(&base, &good, &guarded), ChampionOutcome::Promote);
        assert_eq!(outcome(&base, &good, &guarded.with_min_rows(101)), Inconclusive);
    }

    #[test]
    fn a_metric_without_a_direction_decides_nothing() {
        let flat = |v| Estimate::new(Measured::Value(v), Direction::Neither, 100);
        let (old, new) = ([("auc", up(0.8)), ("rate", flat(0.1))], [("auc", up(0.9)), ("rate", flat(0.9))]);
        let primary = ChampionRules::new(key("rate"));
        let guarded = auc().with_guard(Guard::new(key("rate"), 1.0));
        for rules in [primary, guarded] {
            assert_eq!(outcome(&old, &new, &rules), ChampionOutcome::Inconclusive);
        }
    }

    #[test]
    fn other_data_is_inconclusive() {
        let (old, new) = (report(&[("auc", up(0.8))]), report(&[("auc", up(0.9))]));
        let elsewhere = EvaluationReport { data: Digest::of(b"other"), ..new.clone() };
        let decision = compare(&old, &elsewhere, &auc()).unwrap();
        assert_eq!(decision.outcome, ChampionOutcome::Inconclusive);
        assert!(decision.reasons[0].contains("other data"), "{decision}");
        let other_task = EvaluationReport { task: Task::Regression, ..new };
        assert_eq!(compare(&old, &other_task, &auc()).unwrap().outcome, ChampionOutcome::Inconclusive);
    }

    #[test]
    fn a_number_that_is_none_or_a_bad_margin_is_an_error() {
        let good = report(&[("auc", up(0.8))]);
        for bad in [f64::NAN, f64::INFINITY] {
            let broken = report(&[("auc", up(bad))]);
            for result in [compare(&good, &broken, &auc()), compare(&broken, &good, &auc())] {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
            }
        }
        for margin in [f64::NAN, f64::INFINITY, -0.1] {
            let guard = Guard::new(key("auc"), margin);
            for (rules, field) in
                [(auc().with_margin(margin), "margin"), (auc().with_guard(guard), "max_drop")]
            {
                assert_eq!(compare(&good, &good, &rules).unwrap_err().context("field"), Some(field));
            }
        }
        let guard = Guard::new(key("auc"), 0.0);
        let both = guard.clone().with_slice("s").with_attribute("a");
        for rules in [auc().with_guard(guard.clone()).with_guard(guard), auc().with_guard(both)] {
            assert_eq!(compare(&good, &good, &rules).unwrap_err().context("field"), Some("guards"));
        }
    }

    #[test]
    fn guards_look_at_slices_and_disparities_in_their_own_direction() {
        let with = |slice: f64, parity: f64, left_out: Vec<String>| {
            let mut report = report(&[("auc", up(slice))]);
            report.slices = vec![SliceReport::new("old", 100, BTreeMap::from([(key("auc"), up(slice))]))];
            let disparity = BTreeMap::from([(key("dp"), Disparity::new(down(parity), left_out))]);
            report.fairness = vec![FairnessReport::new("sex", vec![], disparity)];
            report
        };
        let rules = auc()
            .with_guard(Guard::new(key("auc"), 0.0).with_slice("old"))
            .with_guard(Guard::new(key("dp"), 0.02).with_attribute("sex"));
        let base = with(0.8, 0.1, vec![]);
        let decide = |challenger| compare(&base, &challenger, &rules).unwrap();
        assert_eq!(decide(with(0.9, 0.12, vec![])).outcome, ChampionOutcome::Promote);
        assert_eq!(decide(with(0.9, 0.13, vec![])).outcome, ChampionOutcome::Keep);
        assert_eq!(decide(with(0.9, 0.1, vec!["x".into()])).outcome, ChampionOutcome::Inconclusive);
        let evidence = decide(with(0.9, 0.13, vec![])).evidence;
        let subjects: Vec<&str> = evidence.iter().map(|e| e.subject.as_str()).collect();
        assert_eq!(subjects, ["auc", "auc in slice `old`", "dp over `sex`"]);
    }

    #[test]
    fn the_decision_is_bound_to_reports_and_rules() {
        let (old, new) = (report(&[("auc", up(0.8))]), report(&[("auc", up(0.9))]));
        let decision = compare(&old, &new, &auc()).unwrap();
        assert_eq!(decision.champion_report, old.digest().unwrap());
        assert_eq!(decision.challenger_report, new.digest().unwrap());
        assert_ne!(decision.rules, compare(&old, &new, &auc().with_margin(0.01)).unwrap().rules);
        let text = serde_json::to_string(&decision).unwrap();
        assert_eq!(serde_json::from_str::<ChampionDecision>(&text).unwrap(), decision);
    }
}
