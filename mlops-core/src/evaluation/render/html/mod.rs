//! As one HTML page.

mod figure;
mod parts;

use std::fmt::Write as _;

use super::neutral::{replaced, visible};
use super::{Mark, headline};
use crate::error::{Error, Result};
use crate::evaluation::gate::comparison::keeps_margin;
use crate::evaluation::subject::{number, show};
use crate::evaluation::{
    Claim, Criterion, CriterionResult, EvaluationReport, GateDecision, GateInput, GateSpec, Tested, Verdict,
};
use crate::hash::Digest;
use crate::problem::Direction;
use figure::{Ruler, tally};

const STYLE: &str = include_str!("page.css");

/// The most criteria that have a card; the table at the top has all of them.
const MAX_CARDS: usize = 200;

/// What [`html_with`] shows beside the decision itself.
///
/// A decision holds verdicts, reasons and what tests showed. Bounds stand in the gate, and metrics, slices and groups in the
/// report: with them the page has its pictures.
///
/// ```
/// let options = mlops_core::evaluation::render::HtmlOptions::default().with_title("Release 7");
/// assert_eq!(options.title.as_deref(), Some("Release 7"));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default)]
pub struct HtmlOptions<'a> {
    /// The title; the gate's name by default.
    pub title: Option<String>,
    /// The gate that decided.
    pub gate: Option<&'a GateSpec>,
    /// What it decided about: the report, and the champion's and the baselines'.
    pub input: Option<&'a GateInput<'a>>,
}

impl<'a> HtmlOptions<'a> {
    /// Sets the title.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Adds the gate that decided: bounds are drawn.
    #[must_use]
    pub fn with_gate(mut self, gate: &'a GateSpec) -> Self {
        self.gate = Some(gate);
        self
    }

    /// Adds what was decided about: metrics, slices and groups are shown, and the champion beside the model.
    #[must_use]
    pub fn with_input(mut self, input: &'a GateInput<'a>) -> Self {
        self.input = Some(input);
        self
    }

    /// The criterion of a result.
    fn criterion(&self, result: &CriterionResult) -> Option<&'a Criterion> {
        self.gate?.criteria().iter().find(|criterion| criterion.id == result.id)
    }

    /// What gate and reports say of themselves must be what the decision says of them.
    fn check(&self, decision: &GateDecision) -> Result<()> {
        const OP: &str = "render::html_with";
        if let Some(gate) = self.gate {
            gate.require_made(decision)?;
        }
        let Some(input) = self.input else { return Ok(()) };
        let same = |what: &str, decided: Option<Digest>, given: &EvaluationReport| {
            let given = given.digest()?;
            if decided == Some(given) {
                return Ok(());
            }
            let decided = decided.map_or_else(|| "none".to_owned(), |digest| digest.to_string());
            Err(Error::conflict(OP, format!("the decision was made about another {what}"), decided, given))
        };
        same("report", Some(decision.report), input.report)?;
        if let Some(champion) = input.champion {
            same("champion's report", decision.champion_report, champion)?;
        }
        for (name, decided) in &decision.baseline_reports {
            if let Some(baseline) = input.baselines.get(name) {
                same("baseline's report", Some(*decided), baseline).map_err(|e| e.with("baseline", name))?;
            }
        }
        Ok(())
    }
}

/// The decision as one HTML page that needs nothing else: no network, no other file, no script.
///
/// ```
/// use mlops_core::evaluation::{CriterionResult, GateDecision, Verdict, render};
/// # let (digest, at) = (mlops_core::hash::Digest::of(b"x"), "2026-01-05T09:00:00Z".parse()?);
/// let criteria = vec![CriterionResult::new("auc", Verdict::Fail, None, "0.7 < 0.75")];
/// let decision = GateDecision::new("<b>", digest, digest, digest, None, at, criteria);
/// let page = render::html(&decision);
/// assert!(page.contains("Not good enough") && page.contains("0.7 &lt; 0.75"));
/// assert!(page.contains("&lt;b&gt;") && !page.contains("<b>"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn html(decision: &GateDecision) -> String {
    page(decision, &HtmlOptions::default())
}

/// The decision as one HTML page, with the gate and the reports that led to it: every criterion as a value on its scale, with
/// interval, bounds and champion; metrics as a table; slices and groups as dots with intervals.
///
/// # Errors
/// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) when the gate or a report is not the one that was decided with, by its
/// digest; [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when a report holds a NaN or an infinity.
///
/// ```
/// use mlops_core::MetricKey;
/// use mlops_core::evaluation::render::{self, HtmlOptions};
/// use mlops_core::evaluation::{Criterion, Estimate, EvaluationReport, GateInput, GateSpec};
/// use mlops_core::hash::Digest;
/// use mlops_core::num::Measured;
/// use mlops_core::problem::{Direction, Task};
///
/// let auc = MetricKey::new("roc_auc")?;
/// let at = "2026-01-05T09:00:00Z".parse()?;
/// let mut report = EvaluationReport::new(Digest::of(b"m"), Digest::of(b"d"), Task::BinaryClassification, at, 111);
/// let measured = Estimate::new(Measured::Value(0.71), Direction::HigherIsBetter, 111).with_interval(0.62, 0.8);
/// report.metrics.insert(auc.clone(), measured);
///
/// let gate = GateSpec::new("release", vec![Criterion::new("auc", auc).with_min(0.75)])?;
/// let input = GateInput::new(&report);
/// let decision = gate.decide_with(&input, at)?;
/// let page = render::html_with(&decision, &HtmlOptions::default().with_gate(&gate).with_input(&input))?;
/// assert!(page.contains(">at least 0.75</text>"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn html_with(decision: &GateDecision, options: &HtmlOptions<'_>) -> Result<String> {
    options.check(decision)?;
    Ok(page(decision, options))
}

fn page(decision: &GateDecision, options: &HtmlOptions<'_>) -> String {
    let title = text(options.title.as_deref().unwrap_or(&decision.gate));
    let cards = decision.criteria.len().min(MAX_CARDS);
    let mut page = String::with_capacity(8_192 + 4_096 * cards);
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
    );
    hero(&mut page, decision, &title);
    table(&mut page, decision, cards);
    page.push_str("<h2>Criterion by criterion</h2>\n<div class=\"cards\">\n");
    for (at, result) in decision.criteria.iter().enumerate().take(cards) {
        card(&mut page, at, result, options);
    }
    page.push_str("</div>\n");
    if decision.criteria.len() > cards {
        let more = decision.criteria.len() - cards;
        let _ = writeln!(page, "<p class=\"quiet\">{more} more criteria are in the table only.</p>");
    }
    if let Some(input) = options.input {
        parts::metrics(&mut page, input);
        parts::slices(&mut page, input.report, options.gate);
        parts::groups(&mut page, input.report, options.gate);
    }
    footer(&mut page, decision);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn tone(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Insufficient => "wait",
    }
}

/// What is not met and does not block is a thing to look at, no failure.
fn tone_of(result: &CriterionResult) -> &'static str {
    match Mark::of(result) {
        Mark::Warning | Mark::Note => "wait",
        Mark::Pass | Mark::Error => tone(result.verdict),
    }
}

fn hero(page: &mut String, decision: &GateDecision, title: &str) {
    let verdict = decision.settled_verdict();
    let said = match (verdict, decision.requires_approval) {
        (Verdict::Pass, false) => "Good enough",
        (Verdict::Pass, true) => "Good enough, and to be approved",
        (Verdict::Fail, _) => "Not good enough",
        (Verdict::Insufficient, _) => "Too little is known to decide",
    };
    let at = decision.at.format("%-d %B %Y, %H:%M UTC");
    let _ = write!(
        page,
        "<section class=\"hero {}\">\n<p class=\"over\">{title} · gate decision of <time datetime=\"{}\">{at}</time></p>\n\
         <h1>{said}</h1>\n<p class=\"lede\">{}.</p>\n",
        tone(verdict),
        decision.at.format("%Y-%m-%dT%H:%M:%SZ"),
        escape(&headline(decision)),
    );
    let of = |tone: &str| decision.criteria.iter().filter(|result| tone_of(result) == tone).count();
    let counts = [("pass", of("pass")), ("wait", of("wait")), ("fail", of("fail"))];
    if !decision.criteria.is_empty() {
        let [(_, pass), (_, wait), (_, fail)] = counts;
        page.push_str(&tally(&counts, &format!("{pass} pass, {wait} open or warning, {fail} fail")));
    }
    page.push_str("<dl class=\"stats\">");
    let blocking = decision.criteria.iter().filter(|result| result.blocks()).count();
    let mut stats = vec![
        ("criteria", decision.criteria.len().to_string()),
        ("pass", of("pass").to_string()),
        ("block", blocking.to_string()),
    ];
    if let Some(uses) = decision.uses {
        stats.push(("earlier decisions on this data", uses.decisions.to_string()));
    }
    for (what, value) in stats {
        let _ = write!(page, "<div><dt>{what}</dt><dd>{value}</dd></div>");
    }
    page.push_str("</dl>\n</section>\n");
}

fn table(page: &mut String, decision: &GateDecision, cards: usize) {
    page.push_str(
        "<h2>At a glance</h2>\n<div class=\"panel\" tabindex=\"0\" role=\"group\" aria-label=\"criteria\"><table>\n<thead><tr>\
         <th scope=\"col\">criterion</th><th scope=\"col\">verdict</th><th scope=\"col\">severity</th>\
         <th scope=\"col\" class=\"num\">value</th><th scope=\"col\" class=\"num\">adjusted p</th><th scope=\"col\">why</th></tr></thead>\n\
         <tbody>\n",
    );
    for (at, result) in decision.criteria.iter().enumerate() {
        let id = text(&result.id);
        let name = if at < cards { format!("<a href=\"#c{at}\">{id}</a>") } else { id };
        let _ = writeln!(
            page,
            "<tr class=\"{}\"><th scope=\"row\" class=\"name\">{name}</th><td><span class=\"pill\">{}</span></td><td>{}</td>\
             <td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"say\">{}</td></tr>",
            tone_of(result),
            result.verdict,
            result.severity.name(),
            result.observed.and_then(|observed| observed.value()).map_or_else(|| "–".to_owned(), short),
            result.tested.as_ref().map_or_else(|| "–".to_owned(), |tested| short(tested.adjusted)),
            text(&result.reason),
        );
    }
    page.push_str("</tbody></table></div>\n");
}

fn card(page: &mut String, at: usize, result: &CriterionResult, options: &HtmlOptions<'_>) {
    let criterion = options.criterion(result);
    let _ = writeln!(
        page,
        "<article class=\"card {}\" id=\"c{at}\"><header><h3>{}</h3><span class=\"pill\">{}</span></header>",
        tone_of(result),
        text(&result.id),
        result.verdict
    );
    let subject = criterion.map(|criterion| format!("{} · ", text(&criterion.subject().to_string())));
    let _ = writeln!(page, "<p class=\"how\">{}{}</p>", subject.unwrap_or_default(), result.severity.name());
    let reason = text(&result.reason);
    if let Some(svg) = ruler(result, criterion, options.input).and_then(|ruler| ruler.draw(&reason)) {
        page.push_str(&svg);
        page.push('\n');
    }
    let _ = writeln!(page, "<p class=\"reason\">{reason}</p>");
    if let Some(tested) = &result.tested {
        details(page, tested);
    }
    page.push_str("</article>\n");
}

/// What is drawn of a criterion: what was tested, where something was; else the value of the report against the bounds.
fn ruler(
    result: &CriterionResult,
    criterion: Option<&Criterion>,
    input: Option<&GateInput<'_>>,
) -> Option<Ruler> {
    match result.tested.as_ref().and_then(|tested| Some((tested, tested.estimate?))) {
        Some((tested, estimate)) => Some(of_test(tested, estimate, criterion)),
        None => of_value(result, criterion, input),
    }
}

fn of_test(tested: &Tested, estimate: f64, criterion: Option<&Criterion>) -> Ruler {
    let claim = criterion.and_then(Criterion::claim);
    let (low, high) = match claim {
        Some(Claim::AtLeast { bound } | Claim::Superiority { min_gain: bound }) => (Some(bound), None),
        Some(Claim::AtMost { bound }) => (None, Some(bound)),
        Some(Claim::Within { min, max }) => (Some(min), Some(max)),
        Some(Claim::NonInferiority { max_drop }) => (Some(-max_drop), None),
        Some(Claim::Equivalence { band }) => (Some(-band), Some(band)),
        None => (None, None),
    };
    // What was tested is then a difference.
    let other = criterion.filter(|criterion| criterion.compares()).map(|_| ("no difference".to_owned(), 0.0));
    Ruler { value: estimate, interval: tested.interval, low, high, other }
}

fn of_value(
    result: &CriterionResult,
    criterion: Option<&Criterion>,
    input: Option<&GateInput<'_>>,
) -> Option<Ruler> {
    let observed = result.observed.and_then(|observed| observed.value());
    let estimate =
        criterion.zip(input).and_then(|(c, input)| Some(*c.subject().find(input.report).ok()?.estimate));
    let value = estimate.and_then(|estimate| estimate.value.value()).or(observed)?;
    let interval = estimate.and_then(|estimate| estimate.interval);
    let mut ruler = Ruler { value, interval, low: None, high: None, other: None };
    if let Some(criterion) = criterion {
        (ruler.low, ruler.high) = (criterion.min, criterion.max);
        if let (true, Some(input), Some(estimate)) = (criterion.compares(), input, estimate) {
            let direction = criterion.direction.unwrap_or(estimate.direction);
            compare(&mut ruler, criterion, input, direction);
        }
    }
    Some(ruler)
}

/// Adds the other model's value, and the bounds that follow from it.
fn compare(ruler: &mut Ruler, criterion: &Criterion, input: &GateInput<'_>, direction: Direction) {
    let (name, theirs) = match &criterion.baseline {
        Some(name) => (name.as_str(), input.baselines.get(name).copied()),
        None => ("champion", input.champion),
    };
    let found = theirs.and_then(|theirs| criterion.subject().find(theirs).ok());
    let Some(old) = found.and_then(|found| found.estimate.value.value()) else { return };
    ruler.other = Some((name.to_owned(), old));
    let (above, below) = match (criterion.band, criterion.min_gain, criterion.min_relative_gain) {
        (Some(band), ..) => (Some(old - band), Some(old + band)),
        (_, gain, share) => {
            let drop = -criterion.max_drop.unwrap_or_default();
            let margin = gain.or(share.map(|share| share * old.abs())).unwrap_or(drop);
            let (_, threshold) = keeps_margin(direction, ruler.value, old, margin);
            match direction {
                Direction::HigherIsBetter => (Some(threshold), None),
                Direction::LowerIsBetter => (None, Some(threshold)),
                Direction::Neither => (None, None),
            }
        }
    };
    // Of two bounds on one side the stricter one counts.
    ruler.low = [ruler.low, above].into_iter().flatten().reduce(f64::max);
    ruler.high = [ruler.high, below].into_iter().flatten().reduce(f64::min);
}

fn details(page: &mut String, tested: &Tested) {
    page.push_str("<details><summary>What the test showed</summary><table><tbody>");
    let mut line = |what: &str, value: String| {
        let _ = write!(page, "<tr><th scope=\"row\">{what}</th><td>{value}</td></tr>");
    };
    line("test", tested.test.name().to_owned());
    line("p", short(tested.p));
    line("adjusted p", show(tested.adjusted, tested.alpha));
    line("level α", number(tested.alpha));
    if let Some(estimate) = tested.estimate {
        line("estimate", short(estimate));
    }
    if let Some((low, high)) = tested.interval {
        let confidence = tested.confidence.map(|level| format!("{} % ", short(100.0 * level)));
        let what = format!("{}interval", confidence.unwrap_or_default());
        line(&what, format!("{} to {}", short(low), short(high)));
    }
    for (what, count) in [
        ("rows", Some(tested.rows)),
        ("of the positive class", tested.positives),
        ("of the negative class", tested.negatives),
        ("more rows needed", tested.more_rows),
    ] {
        if let Some(count) = count {
            line(what, count.to_string());
        }
    }
    page.push_str("</tbody></table></details>\n");
}

fn footer(page: &mut String, decision: &GateDecision) {
    page.push_str(
        "<footer>\n<h2>How to read this page</h2>\n\
         <p>A dot is what was measured, the line through it its interval. The rail is red where the dot may not be. Only criteria of \
         severity “error” decide; one that is open keeps the gate closed as one that fails does.</p>\n\
         <h2>What this is about</h2>\n<div class=\"panel\" tabindex=\"0\" role=\"group\" aria-label=\"digests\"><table><tbody>\n",
    );
    let mut line = |what: &str, digest: &Digest| {
        let _ = writeln!(page, "<tr><th scope=\"row\">{what}</th><td><code>{digest}</code></td></tr>");
    };
    line("model", &decision.model);
    line("gate", &decision.gate_digest);
    line("report", &decision.report);
    if let Some(champion) = &decision.champion_report {
        line("champion’s report", champion);
    }
    for (name, report) in &decision.baseline_reports {
        line(&format!("report of {}", text(name)), report);
    }
    if let Some(evidence) = &decision.evidence {
        line("evidence", evidence);
    }
    let _ = write!(
        page,
        "</tbody></table></div>\n<p>Decision schema {}. This page is one file and loads nothing.</p>\n</footer>\n",
        decision.schema
    );
}

/// A number with four significant digits.
fn short(value: f64) -> String {
    if value.is_finite() { show(value, f64::NAN) } else { "not a number".to_owned() }
}

/// Text of others between tags or in an attribute in double quotes: made visible and escaped.
fn text(text: &str) -> String {
    escape(&visible(text))
}

/// Text that is visible, with its markup escaped.
fn escape(visible: &str) -> String {
    replaced(visible, |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\'' => Some("&#39;"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_stays_text() {
        assert_eq!(
            text("<b onclick='x'>&\"\n\u{202e}"),
            r"&lt;b onclick=&#39;x&#39;&gt;&amp;&quot;\n\u{202e}"
        );
    }

    #[test]
    fn the_style_loads_nothing() {
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !STYLE.contains("</"));
    }

    #[test]
    fn numbers_are_short_and_numbers() {
        for (value, shown) in [(0.123_456, "0.1235"), (1e-9, "1e-9"), (f64::NAN, "not a number"), (0.0, "0")]
        {
            assert_eq!(short(value), shown);
        }
    }
}
