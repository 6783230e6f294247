//! What one criterion says about a report.

use super::comparison::{
    Finding, comparable, keeps_band, keeps_margin, lower_bound, pass_if, together, undirected, upper_bound,
};
use super::criterion::Criterion;
use super::evidence::CriterionEvidence;
use super::input::GateInput;
use super::words::IntervalEnd;
use crate::config::hint;
use crate::error::quote;
use crate::evaluation::subject::{Found, Subject, at_least, magnitude, number, show};
use crate::evaluation::{CriterionResult, EvaluationReport, Tested, Verdict};
use crate::num::Measured;
use crate::problem::Direction;

/// At which level a criterion is tested, and what its p-value is after the gate's correction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) alpha: f64,
    pub(super) adjusted: Option<f64>,
    /// The correction's name and the number of tests, where the gate corrects.
    pub(super) correction: Option<(&'static str, usize)>,
}

/// A criterion, what it is held against, and what was found in the report.
struct Case<'a> {
    criterion: &'a Criterion,
    input: &'a GateInput<'a>,
    subject: Subject<'a>,
    found: Found<'a>,
    value: f64,
    evidence: Option<&'a CriterionEvidence>,
}

/// The value of another model, and what to call the model.
struct Other {
    name: String,
    value: f64,
}

impl Criterion {
    pub(super) fn judge(&self, input: &GateInput<'_>, level: Option<&Level>) -> CriterionResult {
        let subject = self.subject();
        let result = |verdict, observed, reason: String| {
            CriterionResult::new(&self.id, verdict, observed, reason).with_severity(self.severity)
        };
        let found = match subject.find(input.report) {
            Ok(found) => found,
            Err(reason) => return result(Verdict::Fail, None, reason),
        };
        let observed = Some(found.estimate.value);
        let value = match found.usable(self.min_rows.unwrap_or(1)) {
            Ok(value) => value,
            Err(reason) => return result(Verdict::Insufficient, observed, format!("{subject} {reason}")),
        };
        let evidence = input.evidence.and_then(|evidence| evidence.criteria.get(&self.id));
        let case = Case { criterion: self, input, subject, found, value, evidence };
        if let Some(reason) = case.thin() {
            return result(Verdict::Insufficient, observed, reason);
        }
        let Some(level) = level else {
            let (observed, (verdict, reason)) = case.plain();
            return result(verdict, Some(observed), reason);
        };
        let ((verdict, reason), tested) = case.tested(level);
        CriterionResult { tested, ..result(verdict, observed, reason) }
    }
}

impl Case<'_> {
    /// Why the rows of each class are too few, or why that is not known.
    fn thin(&self) -> Option<String> {
        let (criterion, subject) = (self.criterion, self.subject);
        let count = |of: fn(&CriterionEvidence) -> Option<u64>| self.evidence.and_then(of);
        let classes = [
            ("positive", criterion.min_positives, count(|e| e.positives)),
            ("negative", criterion.min_negatives, count(|e| e.negatives)),
        ];
        classes.into_iter().find_map(|(class, least, got)| {
            let least = least?;
            match got {
                None => Some(format!(
                    "on how many {class} rows {subject} rests is not known, at least {least} are needed"
                )),
                Some(got) if got < least => Some(format!(
                    "{subject} rests on {got} {class} rows, at least {least} are needed; {} more rows needed",
                    least - got
                )),
                Some(_) => self.unlike_the_report(),
            }
        })
    }

    /// The verdict on the numbers as they are, and the number that was judged.
    fn plain(&self) -> (Measured, Finding) {
        let (criterion, subject) = (self.criterion, self.subject);
        let Some((value, what)) = self.judged() else {
            let reason = format!("{subject} has no confidence interval, the gate asks for one");
            return (Measured::Value(self.value), (Verdict::Insufficient, reason));
        };
        let mut findings = self.bounds(&what, value);
        if criterion.compares() {
            findings.push(match self.other() {
                Ok(other) => self.margin(&other),
                Err(finding) => finding,
            });
        }
        (Measured::Value(value), together(&findings))
    }

    /// The number that is compared with the bounds, and its name.
    fn judged(&self) -> Option<(f64, String)> {
        let subject = self.subject;
        let Some(end) = self.criterion.require_interval else {
            return Some((self.value, subject.to_string()));
        };
        let (low, high) = self.found.estimate.interval?;
        Some(match end {
            IntervalEnd::Low => (low, format!("the lower 95 % bound of {subject}")),
            IntervalEnd::High => (high, format!("the upper 95 % bound of {subject}")),
        })
    }

    fn bounds(&self, what: &str, value: f64) -> Vec<Finding> {
        let min = self.criterion.min.map(|min| lower_bound(what, value, min));
        let max = self.criterion.max.map(|max| upper_bound(what, value, max));
        min.into_iter().chain(max).collect()
    }

    /// Which way the metric is better: as the report says, or, where it says neither, as the criterion does.
    fn direction(&self) -> Result<Direction, Finding> {
        let (said, asked) = (self.found.estimate.direction, self.criterion.direction);
        match asked {
            Some(asked) if said == Direction::Neither => Ok(asked),
            Some(asked) if said != asked => {
                let reason =
                    format!("the gate and the report disagree on which way {} is better", self.subject);
                Err((Verdict::Fail, reason))
            }
            _ => Ok(said),
        }
    }

    /// The other model's value; or what the criterion says without one.
    fn other(&self) -> Result<Other, Finding> {
        let (criterion, subject, input) = (self.criterion, self.subject, self.input);
        let direction = self.direction()?;
        if let Some(reason) = undirected(subject, direction).filter(|_| criterion.band.is_none()) {
            return Err((Verdict::Fail, reason));
        }
        let (name, theirs) = match &criterion.baseline {
            Some(name) => (format!("the baseline `{}`", quote(name)), self.baseline(name)?),
            None => ("the champion".to_owned(), self.champion()?),
        };
        match comparable(subject, &self.found, input.report, (&name, theirs)) {
            Ok(value) => Ok(Other { name, value }),
            Err(reason) => Err((Verdict::Insufficient, reason)),
        }
    }

    fn champion(&self) -> Result<&EvaluationReport, Finding> {
        self.input.champion.ok_or_else(|| {
            let verdict = Verdict::from(self.criterion.no_champion.unwrap_or_default());
            (verdict, format!("there is no champion to compare {} with", self.subject))
        })
    }

    fn baseline(&self, name: &str) -> Result<&EvaluationReport, Finding> {
        self.input.baselines.get(name).copied().ok_or_else(|| {
            let known: Vec<&str> = self.input.baselines.keys().map(String::as_str).collect();
            let (subject, hint) = (self.subject, hint(name, &known));
            let reason = format!("there is no baseline `{}` to compare {subject} with{hint}", quote(name));
            (Verdict::Insufficient, reason)
        })
    }

    /// What the margin says.
    fn margin(&self, other: &Other) -> Finding {
        let (criterion, new, old) = (self.criterion, self.value, other.value);
        let sentence = |threshold: f64, demand: String| {
            let (new, old) = (show(new, threshold), show(old, new));
            format!("{} is {new} and {}'s is {old}, {demand}", self.subject, other.name)
        };
        if let Some(band) = criterion.band {
            let reason = sentence(old, format!("they may differ by at most {}", number(band)));
            return (pass_if(keeps_band(new, old, band)), reason);
        }
        let (margin, demand) = if let Some(gain) = criterion.min_gain {
            (gain, format!("it must be better by at least {}", number(gain)))
        } else if let Some(share) = criterion.min_relative_gain {
            if old == 0.0 {
                let reason =
                    format!("{}'s {} is 0, of which no share can be taken", other.name, self.subject);
                return (Verdict::Insufficient, reason);
            }
            let demand = format!("it must be better by at least {} times that", number(share));
            (share * old.abs(), demand)
        } else {
            let drop = criterion.max_drop.unwrap_or_default();
            (-drop, format!("it may be worse by at most {}", number(drop)))
        };
        match self.direction() {
            Err(finding) => finding,
            Ok(direction) => {
                let (ok, threshold) = keeps_margin(direction, new, old, margin);
                (pass_if(ok), sentence(threshold, demand))
            }
        }
    }

    /// What the numbers and the test say together.
    fn tested(&self, level: &Level) -> (Finding, Option<Tested>) {
        let other = match self.criterion.compares().then(|| self.other()).transpose() {
            Ok(other) => other,
            Err(finding) => return (finding, None),
        };
        let insufficient = |reason: String| ((Verdict::Insufficient, reason), None);
        let subject = self.subject;
        let wanted = self.criterion.test.unwrap_or_default();
        let evidence = self.evidence.and_then(|e| Some((e, e.test?, e.p?, level.adjusted?)));
        let Some((evidence, test, p, adjusted)) = evidence else {
            return insufficient(format!(
                "the gate asks for a test of {subject}, and there is no evidence of one"
            ));
        };
        if wanted != super::TestName::Auto && wanted != test {
            let (wanted, got) = (wanted.name(), test.name());
            return insufficient(format!(
                "the gate asks for the test {wanted} of {subject}, the evidence is of {got}"
            ));
        }
        if let Some(reason) = self.unlike_the_report().or_else(|| self.unlike_the_estimate(other.as_ref())) {
            return insufficient(reason);
        }
        let tested = Tested::new(test, p, adjusted, level.alpha, evidence);
        (self.weigh(evidence, &tested, other.as_ref(), level), Some(tested))
    }

    /// Shown, shown not to be, or neither.
    fn weigh(
        &self,
        evidence: &CriterionEvidence,
        tested: &Tested,
        other: Option<&Other>,
        level: &Level,
    ) -> Finding {
        let point = match other {
            Some(other) => self.margin(other),
            None => together(&self.bounds(&self.subject.to_string(), self.value)),
        };
        let p = self.p_clause(tested, level);
        let shown = tested.adjusted <= level.alpha;
        match point {
            (Verdict::Pass, reason) if shown => (Verdict::Pass, format!("{reason}: {p}")),
            (_, reason) if shown => {
                (Verdict::Insufficient, format!("{reason}: the test contradicts the numbers, {p}"))
            }
            (verdict, reason) => {
                let refuted = match evidence.interval {
                    Some(interval) => self.refuted(interval, other),
                    None => verdict == Verdict::Fail,
                };
                if refuted {
                    return (Verdict::Fail, format!("{reason}: {p}"));
                }
                let more = match evidence.more_rows {
                    Some(rows) if rows > 0 => format!("; {rows} more rows needed"),
                    _ => String::new(),
                };
                let but =
                    if verdict == Verdict::Pass { "but that is not shown" } else { "and neither is shown" };
                (Verdict::Insufficient, format!("{reason}, {but}: {p} is needed{more}"))
            }
        }
    }

    fn p_clause(&self, tested: &Tested, level: &Level) -> String {
        let (p, adjusted, alpha) =
            (show(tested.p, level.alpha), show(tested.adjusted, level.alpha), number(level.alpha));
        let test = tested.test.name();
        match level.correction {
            None => format!("p = {p} ({test}), at most {alpha}"),
            Some((correction, tests)) => {
                format!("p = {adjusted} ({test}: {p}, {correction} over {tests} tests), at most {alpha}")
            }
        }
    }

    /// Whether everything in an interval breaks the bound or margin.
    fn refuted(&self, (low, high): (f64, f64), other: Option<&Other>) -> bool {
        let criterion = self.criterion;
        if other.is_some() {
            return match (criterion.band, criterion.min_gain, criterion.max_drop) {
                (Some(band), ..) => low > band || high < -band,
                (_, Some(gain), _) => high < gain,
                (.., drop) => high < -drop.unwrap_or_default(),
            };
        }
        criterion.min.is_some_and(|min| high < min) || criterion.max.is_some_and(|max| low > max)
    }

    /// Why the evidence does not rest on what the report rests on.
    fn unlike_the_report(&self) -> Option<String> {
        let (evidence, reported) = (self.evidence?.rows, self.found.estimate.rows);
        let subject = self.subject;
        (evidence != reported).then(|| {
            format!("the evidence on {subject} rests on {evidence} rows, the report's value on {reported}")
        })
    }

    /// Why the evidence is about another number than the report's.
    fn unlike_the_estimate(&self, other: Option<&Other>) -> Option<String> {
        let got = self.evidence?.estimate?;
        let (expected, scale) = match other {
            None => (self.value, magnitude(&[self.value, got])),
            Some(other) => {
                let difference = match (self.criterion.band, self.direction()) {
                    (None, Ok(Direction::LowerIsBetter)) => other.value - self.value,
                    _ => self.value - other.value,
                };
                (difference, magnitude(&[self.value, other.value, got]))
            }
        };
        // Summed in another order, the same number may differ in its last digits, and by no more than that.
        let slack = 1e-9 * scale;
        let same = at_least(slack, (expected - got).abs(), scale);
        let subject = self.subject;
        (!same).then(|| {
            format!(
                "the evidence on {subject} is about {}, the reports give {}",
                show(got, expected),
                show(expected, got)
            )
        })
    }
}
