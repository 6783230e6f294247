//! The report behind a decision: all metrics, and those of parts of the rows.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::figure::{Dot, dots};
use super::{escape, short, text};
use crate::error::quote;
use crate::evaluation::{Estimate, EvaluationReport, FairnessReport, GateInput, GateSpec};
use crate::id::MetricKey;
use crate::problem::Direction;

/// The most parts in one picture, the worst first where the metric has a direction.
const MAX_PARTS: usize = 30;

/// The most metrics that have a picture.
const MAX_PICTURES: usize = 8;

/// The most disparities listed for an attribute.
const MAX_DISPARITIES: usize = 100;

/// Every metric over all rows, beside the champion's.
pub(super) fn metrics(page: &mut String, input: &GateInput<'_>) {
    if input.report.metrics.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Every metric</h2>\n<div class=\"panel\" tabindex=\"0\" role=\"group\" aria-label=\"metrics\"><table>\n<thead><tr>\
         <th scope=\"col\">metric</th><th scope=\"col\" class=\"num\">value</th><th scope=\"col\" class=\"num\">95 % interval</th>\
         <th scope=\"col\" class=\"num\">rows</th><th scope=\"col\" class=\"num\">champion</th><th scope=\"col\">which way</th>\
         </tr></thead>\n<tbody>\n",
    );
    for (key, estimate) in &input.report.metrics {
        let theirs = input.champion.and_then(|champion| champion.metrics.get(key));
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\" class=\"name\">{}</th><td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td>\
             <td class=\"num\">{}</td><td>{}</td></tr>",
            text(key.as_str()),
            value(estimate),
            interval(estimate),
            estimate.rows,
            theirs.map_or_else(|| "–".to_owned(), value),
            way(estimate.direction),
        );
    }
    page.push_str("</tbody></table></div>\n");
}

fn value(estimate: &Estimate) -> String {
    match estimate.value.value() {
        Some(value) => short(value),
        None => text(&estimate.value.to_string()),
    }
}

fn interval(estimate: &Estimate) -> String {
    estimate
        .interval
        .map_or_else(|| "–".to_owned(), |(low, high)| format!("{} to {}", short(low), short(high)))
}

fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::HigherIsBetter => "higher is better",
        Direction::LowerIsBetter => "lower is better",
        Direction::Neither => "neither is better",
    }
}

/// The metrics of slices: those of which the gate speaks first.
pub(super) fn slices(page: &mut String, report: &EvaluationReport, gate: Option<&GateSpec>) {
    let parts: Vec<Part<'_>> =
        report.slices.iter().map(|slice| Part { name: &slice.name, metrics: &slice.metrics }).collect();
    let pictures = pictures(&parts, report, gate);
    if pictures.is_empty() {
        return;
    }
    let _ = write!(page, "<h2>For whom</h2>\n<div class=\"cards\">\n{pictures}</div>\n");
}

/// The metrics and disparities of the groups of every sensitive attribute.
pub(super) fn groups(page: &mut String, report: &EvaluationReport, gate: Option<&GateSpec>) {
    for fairness in &report.fairness {
        let parts: Vec<Part<'_>> =
            fairness.groups.iter().map(|group| Part { name: &group.name, metrics: &group.metrics }).collect();
        let _ = write!(
            page,
            "<h2>Between groups: {}</h2>\n<div class=\"cards\">\n{}</div>\n",
            text(&fairness.attribute),
            pictures(&parts, report, gate)
        );
        disparities(page, fairness);
    }
}

fn disparities(page: &mut String, fairness: &FairnessReport) {
    if fairness.disparities.is_empty() {
        return;
    }
    page.push_str(
        "<div class=\"panel\" tabindex=\"0\" role=\"group\" aria-label=\"disparities\"><table>\n<thead><tr>\
         <th scope=\"col\">disparity</th><th scope=\"col\" class=\"num\">value</th><th scope=\"col\" class=\"num\">95 % interval</th>\
         <th scope=\"col\" class=\"num\">rows</th><th scope=\"col\">left out</th></tr></thead>\n<tbody>\n",
    );
    for (key, disparity) in fairness.disparities.iter().take(MAX_DISPARITIES) {
        let left_out: Vec<String> = disparity.left_out.iter().take(20).map(|name| quote(name)).collect();
        let more = if disparity.left_out.len() > 20 { ", …" } else { "" };
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\" class=\"name\">{}</th><td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td>\
             <td class=\"say\">{}{more}</td></tr>",
            text(key.as_str()),
            value(&disparity.estimate),
            interval(&disparity.estimate),
            disparity.estimate.rows,
            text(&left_out.join(", ")),
        );
    }
    page.push_str("</tbody></table></div>\n");
}

/// A part of the rows.
struct Part<'a> {
    name: &'a str,
    metrics: &'a BTreeMap<MetricKey, Estimate>,
}

/// A card with dots for each metric that some part has.
fn pictures(parts: &[Part<'_>], report: &EvaluationReport, gate: Option<&GateSpec>) -> String {
    let mut out = String::new();
    let drawn = keys(parts, gate).into_iter().filter_map(|key| picture(key, parts, report));
    drawn.take(MAX_PICTURES).for_each(|card| out.push_str(&card));
    out
}

/// The metrics of the parts, those of which the gate speaks before the others.
fn keys<'a>(parts: &[Part<'a>], gate: Option<&GateSpec>) -> Vec<&'a MetricKey> {
    let asked = |key: &MetricKey| gate.is_some_and(|gate| gate.criteria().iter().any(|c| c.metric == *key));
    let mut keys: Vec<&MetricKey> = parts.iter().flat_map(|part| part.metrics.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let (mut first, rest): (Vec<&MetricKey>, Vec<&MetricKey>) = keys.into_iter().partition(|key| asked(key));
    first.extend(rest);
    first
}

fn picture(key: &MetricKey, parts: &[Part<'_>], report: &EvaluationReport) -> Option<String> {
    let found = |part: &Part<'_>| {
        let estimate = part.metrics.get(key)?;
        let value = estimate.value.value().filter(|value| value.is_finite())?;
        let dot = Dot { label: part.name.to_owned(), value, interval: estimate.interval };
        Some((dot, estimate.direction))
    };
    let mut all: Vec<(Dot, Direction)> = parts.iter().filter_map(found).collect();
    let direction = all.first().map_or(Direction::Neither, |(_, direction)| *direction);
    match direction {
        Direction::HigherIsBetter => all.sort_by(|(x, _), (y, _)| x.value.total_cmp(&y.value)),
        Direction::LowerIsBetter => all.sort_by(|(x, _), (y, _)| y.value.total_cmp(&x.value)),
        Direction::Neither => {}
    }
    let more = all.len().saturating_sub(MAX_PARTS);
    let shown: Vec<Dot> = all.into_iter().take(MAX_PARTS).map(|(dot, _)| dot).collect();
    let name = text(key.as_str());
    let words: Vec<String> =
        shown.iter().map(|dot| format!("{} {}", quote(&dot.label), short(dot.value))).collect();
    let label = format!("{name}: {}", escape(&super::visible(&words.join(", "))));
    let svg = dots(&shown, report.metric(key.as_str()), &label)?;
    let rest = if more > 0 {
        format!("<p class=\"quiet\">{more} more parts are in the report.</p>")
    } else {
        String::new()
    };
    let way = way(direction);
    Some(format!("<article class=\"card\"><h4>{name}</h4><p class=\"how\">{way}</p>{svg}{rest}</article>\n"))
}
