//! What is wrong with a gate: every rule that its criteria are held to.

use std::collections::HashSet;

use super::criterion::Criterion;
use super::spec::GateRules;
use super::words::{Hypothesis, IntervalEnd};
use crate::error::quote;
use crate::problem::Direction;

/// The most criteria of a gate.
pub(super) const MAX_CRITERIA: usize = 1_000;
/// The longest name of a gate and id of a criterion, in characters.
pub(super) const MAX_NAME: usize = 128;
/// The longest name of a slice or attribute, in characters.
pub(super) const MAX_LABEL: usize = 1_024;

/// What is wrong with a gate: with the criterion of this index, if it is one, at this key.
pub(super) struct Fault {
    pub(super) criterion: Option<usize>,
    pub(super) key: &'static str,
    pub(super) message: String,
}

/// The first thing that is wrong with one thing: at which key, and what.
type KeyFault = Option<(&'static str, String)>;

fn word(key: &'static str, message: &str) -> KeyFault {
    Some((key, message.to_owned()))
}

pub(super) fn fault(name: &str, rules: &GateRules, criteria: &[Criterion]) -> Option<Fault> {
    let whole = |(key, message)| Fault { criterion: None, key, message };
    if let Some(message) = name_fault(name) {
        return Some(whole(("name", message)));
    }
    if let Some(fault) = count_fault(criteria).or_else(|| rules_fault(rules, criteria)) {
        return Some(whole(fault));
    }
    let mut seen = HashSet::new();
    criteria.iter().enumerate().find_map(|(index, criterion)| {
        let twice = || ("id", "is the id of an earlier criterion too".to_owned());
        let fault = criterion_fault(criterion)
            .or_else(|| own_alpha_fault(rules, criterion))
            .or_else(|| (!seen.insert(criterion.id.as_str())).then(twice));
        fault.map(|(key, message)| Fault { criterion: Some(index), key, message })
    })
}

fn count_fault(criteria: &[Criterion]) -> KeyFault {
    if criteria.is_empty() {
        return word("criteria", "a gate needs at least one criterion: without any, everything would pass");
    }
    if criteria.len() > MAX_CRITERIA {
        let message = format!("a gate has at most {MAX_CRITERIA} criteria, this one has {}", criteria.len());
        return Some(("criteria", message));
    }
    if !criteria.iter().any(|c| c.severity.blocks()) {
        return word(
            "criteria",
            "a gate needs at least one criterion of severity `error`: without any, everything would pass",
        );
    }
    None
}

fn rules_fault(rules: &GateRules, criteria: &[Criterion]) -> KeyFault {
    if let Some(fault) = rules.alpha.and_then(alpha_fault) {
        return Some(fault);
    }
    if let Some(message) = rules.reuse.and_then(|reuse| reuse.fault()) {
        return Some(("reuse", message));
    }
    if criteria.iter().any(Criterion::is_tested) {
        return None;
    }
    let untested = "is about tests, and no criterion has `hypothesis` or `test`";
    if rules.alpha.is_some() {
        return word("alpha", untested);
    }
    if rules.multiplicity.is_some() { word("multiplicity", untested) } else { None }
}

fn alpha_fault(alpha: f64) -> KeyFault {
    let sound = alpha > 0.0 && alpha < 0.5;
    (!sound).then(|| ("alpha", format!("is {alpha}, a level lies between 0 and 0.5")))
}

fn own_alpha_fault(rules: &GateRules, criterion: &Criterion) -> KeyFault {
    let multiplicity = rules.multiplicity.unwrap_or_default();
    if criterion.alpha.is_none() || !multiplicity.corrects() {
        return None;
    }
    let name = multiplicity.name();
    Some(("alpha", format!("with multiplicity `{name}` every criterion is tested at the gate's level")))
}

fn criterion_fault(criterion: &Criterion) -> KeyFault {
    name_fault(&criterion.id)
        .map(|message| ("id", message))
        .or_else(|| subject_fault(criterion))
        .or_else(|| support_fault(criterion))
        .or_else(|| number_fault(criterion))
        .or_else(|| bound_fault(criterion))
        .or_else(|| comparison_fault(criterion))
        .or_else(|| interval_fault(criterion))
        .or_else(|| test_fault(criterion))
}

fn subject_fault(criterion: &Criterion) -> KeyFault {
    let labels =
        [("slice", &criterion.slice), ("attribute", &criterion.attribute), ("baseline", &criterion.baseline)];
    for (key, label) in labels {
        if let Some(message) = label.as_deref().and_then(label_fault) {
            return Some((key, message));
        }
    }
    if criterion.slice.is_some() && criterion.attribute.is_some() {
        return word("attribute", "a criterion is about a slice or an attribute, not both");
    }
    None
}

fn support_fault(criterion: &Criterion) -> KeyFault {
    if criterion.min_rows == Some(0) {
        return word("min_rows", "is 0, but at least one row is always needed");
    }
    let classes = [("min_positives", criterion.min_positives), ("min_negatives", criterion.min_negatives)];
    for (key, least) in classes {
        if least == Some(0) {
            return word(key, "is 0, which asks for nothing");
        }
        if least.is_some() && criterion.attribute.is_some() {
            return word(key, "is about the rows of one number, a disparity rests on those of every group");
        }
    }
    None
}

fn number_fault(criterion: &Criterion) -> KeyFault {
    let bounds = [("min", criterion.min), ("max", criterion.max)];
    let bounds = bounds.into_iter().filter_map(|(key, bound)| bound.map(|bound| (key, bound, f64::MIN)));
    for (key, value, lowest) in bounds.chain(criterion.margins().map(|(key, margin)| (key, margin, 0.0))) {
        if !value.is_finite() {
            return Some((key, format!("is {value}, which is not a finite number")));
        }
        if value < lowest {
            return Some((key, format!("is {value}, a margin is 0 or more")));
        }
    }
    match (criterion.min, criterion.max) {
        (Some(min), Some(max)) if min > max => {
            Some(("min", format!("is {min}, which is more than `max`, {max}: nothing could pass")))
        }
        _ => None,
    }
}

fn bound_fault(criterion: &Criterion) -> KeyFault {
    if criterion.min.is_none() && criterion.max.is_none() && !criterion.compares() {
        return word(
            "criteria",
            "the criterion has no bound: give `min`, `max`, `max_drop`, `min_gain`, `min_relative_gain` or `band`",
        );
    }
    let mut margins = criterion.margins();
    match (margins.next(), margins.next()) {
        (Some((first, _)), Some((second, _))) => {
            Some((first, format!("and `{second}` contradict each other: give one")))
        }
        _ => None,
    }
}

fn comparison_fault(criterion: &Criterion) -> KeyFault {
    let compares = criterion.compares();
    if criterion.direction == Some(Direction::Neither) {
        return word("direction", "is `neither`, which is no way to be better");
    }
    let needs = [
        ("no_champion", criterion.no_champion.is_some()),
        ("direction", criterion.direction.is_some()),
        ("baseline", criterion.baseline.is_some()),
        ("hypothesis", criterion.hypothesis.is_some()),
    ];
    if let Some((key, _)) = needs.into_iter().find(|(_, given)| *given && !compares) {
        return word(key, "needs a margin: `max_drop`, `min_gain`, `min_relative_gain` or `band`");
    }
    if criterion.no_champion.is_some() && criterion.baseline.is_some() {
        return word("no_champion", "is about the champion, and the criterion compares with a baseline");
    }
    None
}

fn interval_fault(criterion: &Criterion) -> KeyFault {
    let bounds = (criterion.min.is_some(), criterion.max.is_some());
    match (criterion.require_interval, bounds) {
        (None, _) => None,
        (Some(_), _) if criterion.compares() => {
            word("require_interval", "is about this model alone, it cannot be compared with a champion")
        }
        (Some(_), _) if criterion.is_tested() => {
            word("require_interval", "asks for what `test` asks for: give one")
        }
        (Some(IntervalEnd::Low), (true, false)) | (Some(IntervalEnd::High), (false, true)) => None,
        (Some(IntervalEnd::Low), _) => word("require_interval", "\"low\" goes with `min` and without `max`"),
        (Some(IntervalEnd::High), _) => {
            word("require_interval", "\"high\" goes with `max` and without `min`")
        }
    }
}

fn test_fault(criterion: &Criterion) -> KeyFault {
    if let Some(fault) = criterion.alpha.and_then(alpha_fault) {
        return Some(fault);
    }
    if !criterion.is_tested() {
        return criterion.alpha.and_then(|_| word("alpha", "needs `hypothesis` or `test`"));
    }
    let key = if criterion.test.is_some() { "test" } else { "hypothesis" };
    let bounded = criterion.min.is_some() || criterion.max.is_some();
    if bounded && criterion.compares() {
        return word(key, "shows one thing, a bound or a margin: make two criteria of this one");
    }
    if criterion.min_relative_gain.is_some() {
        return word(key, "shows a difference, not a share of the champion's value: give `min_gain`");
    }
    if criterion.band == Some(0.0) {
        return word("band", "is 0, and no test shows that two numbers are the same");
    }
    let test = criterion.test.unwrap_or_default();
    if bounded && test.is_paired() {
        return word("test", "compares two models, and a bound is about one");
    }
    if !bounded && test.is_single() {
        return word("test", "is about one model, and a margin compares two");
    }
    hypothesis_fault(criterion)
}

fn hypothesis_fault(criterion: &Criterion) -> KeyFault {
    let (name, key, given) = match criterion.hypothesis? {
        Hypothesis::NonInferiority => ("non_inferiority", "max_drop", criterion.max_drop),
        Hypothesis::Superiority => ("superiority", "min_gain", criterion.min_gain),
        Hypothesis::Equivalence => ("equivalence", "band", criterion.band),
    };
    given.is_none().then(|| ("hypothesis", format!("`{name}` goes with `{key}`")))
}

pub(super) fn name_fault(name: &str) -> Option<String> {
    let ok = |(i, c): (usize, char)| c.is_ascii_alphanumeric() || (i > 0 && matches!(c, '.' | '_' | '-'));
    let characters = name.chars().count();
    if name.is_empty() {
        return Some("must not be empty".to_owned());
    }
    if characters > MAX_NAME {
        return Some(format!("has {characters} characters, at most {MAX_NAME} are allowed"));
    }
    let form = "a letter or digit, then letters, digits, `.`, `_`, `-`";
    (!name.chars().enumerate().all(ok)).then(|| format!("is `{}`, expected {form}", quote(name)))
}

fn label_fault(label: &str) -> Option<String> {
    let characters = label.chars().count();
    if label.trim().is_empty() {
        return Some("must not be empty".to_owned());
    }
    (characters > MAX_LABEL).then(|| format!("has {characters} characters, at most {MAX_LABEL} are allowed"))
}
