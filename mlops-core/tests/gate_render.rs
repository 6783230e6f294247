//! Decisions in the languages of others, with the names of somebody who means harm.

use std::collections::BTreeMap;

use mlops_core::evaluation::render::HtmlOptions;
use mlops_core::evaluation::{
    Criterion, CriterionEvidence, CriterionResult, Estimate, EvaluationReport, GateDecision, GateEvidence,
    GateInput, GateSpec, Severity, SliceReport, TestName, Verdict, render,
};
use mlops_core::hash::Digest;
use mlops_core::num::Measured;
use mlops_core::problem::{Direction, Task};
use mlops_core::time::Timestamp;
use mlops_core::{ErrorKind, MetricKey};
use proptest::prelude::*;
use serde_json::Value;

/// Texts that mean something in one language or another.
const HOSTILE: &[&str] = &[
    "plain",
    "",
    "a\nb",
    "a\r\n::error::forged",
    "::set-output name=x::y",
    "\n::stop-commands::x",
    "##vso[task.complete result=Succeeded;]",
    "x###vso[task.setvariable variable=a;]b",
    "##[group]a",
    "a]b;c,d:e%0Af%25",
    "a|b\\|c",
    "`code` ```fence```",
    "[link](javascript:alert(1)) ![img](http://a/b.png)",
    "<script>alert(1)</script><!-- & -->",
    "]]></failure></testcase><testcase name=\"forged\"/>",
    "&amp;&#10;&lt;",
    "\"quoted\" 'too'",
    "\u{1b}[31mred\u{1b}[0m\u{9b}2J",
    "\u{202e}desrever\u{202c}\u{2066}x\u{2069}",
    "\0\u{1}\u{b}\u{85}\u{2028}\u{2029}\u{feff}\u{fffe}\u{ffff}\u{e000}\u{e0041}",
    "{0} {1} {{",
    "@everyone #1 www.evil.org https://evil.org a@b.org",
    "🙂 é 漢字",
    "* _ ~~ # - + = $x$ ^",
];

fn decision(names: &[&str]) -> GateDecision {
    let digest = Digest::of(b"x");
    let verdicts = [Verdict::Fail, Verdict::Pass, Verdict::Insufficient];
    let severities = [Severity::Error, Severity::Error, Severity::Warning, Severity::Note];
    let criterion = |(i, name): (usize, &&str)| {
        CriterionResult::new(*name, verdicts[i % 3], None, format!("reason {name}"))
            .with_severity(severities[i % 4])
    };
    let criteria = names.iter().enumerate().map(criterion).collect();
    let at = "2026-01-05T09:00:00Z".parse().unwrap();
    let gate = names.first().copied().unwrap_or("g");
    GateDecision::new(gate, digest, digest, digest, None, at, criteria)
}

fn is_hidden(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

/// How many criteria of the decision need an annotation.
fn unmet(decision: &GateDecision) -> usize {
    decision.unmet().count()
}

fn check_json(decision: &GateDecision) {
    let text = render::json(decision).unwrap();
    assert_eq!(serde_json::from_str::<GateDecision>(&text).unwrap(), *decision);
    assert!(!text.contains(is_hidden), "{text:?}");
}

fn check_markdown(decision: &GateDecision) {
    let text = render::markdown(decision);
    assert!(!text.contains(is_hidden) && !text.contains(['<', '>']) && !text.contains("##vso["), "{text:?}");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), 2 + decision.criteria.len());
    for row in rows {
        // Four cells, and outside of the code that holds one `@` or `#` nothing that Markdown would act on.
        assert_eq!(bare(row, '|'), 5, "{row}");
        let plain = row.replace("`@`", "").replace("`#`", "");
        for mark in ['`', '[', ']', '_', '~', '$', '@', '#'] {
            assert_eq!(bare(&plain, mark), 0, "{mark} in {row}");
        }
        assert!(!plain.replace("\\:", "").contains("://") && !plain.to_lowercase().contains("www."), "{row}");
    }
}

/// How often a character stands in a line without a backslash that belongs to it.
fn bare(line: &str, mark: char) -> usize {
    let (mut count, mut escaped) = (0, false);
    for c in line.chars() {
        count += usize::from(c == mark && !escaped);
        escaped = c == '\\' && !escaped;
    }
    count
}

fn check_github(decision: &GateDecision) {
    let text = render::github(decision, "ci/a,b:c\n.toml");
    assert!(!text.contains(is_hidden) && !text.contains("##"), "{text:?}");
    assert_eq!(text.lines().count(), unmet(decision) + 1);
    for line in text.lines() {
        // As the runner reads it: the command up to the first blank, its properties up to the next `::`, the message.
        let rest = line.strip_prefix("::").unwrap();
        let (command, message) = rest.split_once("::").unwrap();
        let (name, properties) = command.split_once(' ').unwrap();
        assert!(matches!(name, "error" | "warning" | "notice"), "{line}");
        let keys: Vec<&str> = properties.split(',').map(|p| p.split_once('=').unwrap().0).collect();
        assert_eq!(keys, ["file", "title"], "{line}");
        let undone = message.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%");
        assert!(!undone.contains(['\n', '\r']), "{line}");
    }
    // A verdict that only a forger could have written does not become a notice.
    let passed = decision
        .criteria
        .iter()
        .filter(|c| c.severity == Severity::Error)
        .all(|c| c.verdict == Verdict::Pass);
    assert!(passed || text.lines().last().unwrap().starts_with("::error "), "{text}");
}

fn check_azure(decision: &GateDecision) {
    let text = render::azure_devops(decision, "ci/a;b]c\n.toml");
    assert!(!text.contains(is_hidden), "{text:?}");
    let notes = decision.unmet().filter(|c| c.severity == Severity::Note).count();
    assert_eq!(text.lines().count(), unmet(decision) + 1);
    let mut commands = Vec::new();
    for line in text.lines() {
        // As the agent reads it: what lies between `##vso[` and the first `]`, wherever it stands.
        let Some(start) = line.find("##vso[") else {
            assert!(line.starts_with("note: ") && !line.contains("##"), "{line}");
            continue;
        };
        let body = &line[start + 6..];
        let (command, message) = body.split_once(']').unwrap();
        assert!(start == 0 && !message.contains("##"), "{line}");
        let (name, properties) = command.split_once(' ').unwrap();
        let keys: Vec<&str> =
            properties.split(';').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap().0).collect();
        commands.push((name, keys));
    }
    assert_eq!(commands.len() + notes, text.lines().count());
    let (last, issues) = commands.split_last().unwrap();
    assert_eq!(*last, ("task.complete", vec!["result"]));
    assert!(issues.iter().all(|c| *c == ("task.logissue", vec!["type", "sourcepath", "code"])), "{text}");
}

/// An element: its name, attributes, children and text.
#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
    text: String,
}

/// Reads the XML that we write, as strictly as XML 1.0 asks for. Panics where it is not well-formed.
fn xml(text: &str) -> Element {
    let allowed = |c: char| matches!(c, '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(text.chars().all(allowed), "{text:?}");
    let mut rest = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").unwrap();
    let mut open = vec![Element::default()];
    while let Some(start) = rest.find('<') {
        open.last_mut().unwrap().text.push_str(&unescape(&rest[..start]));
        let end = start + tag_end(&rest[start..]);
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            let done = open.pop().unwrap();
            assert_eq!(done.name, name);
            open.last_mut().unwrap().children.push(done);
            continue;
        }
        let (tag, closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase()), "{tag}");
        let element =
            Element { name: name.to_owned(), attributes: parse_attributes(attributes), ..Element::default() };
        match closed {
            true => open.last_mut().unwrap().children.push(element),
            false => open.push(element),
        }
    }
    assert_eq!((open.len(), rest.trim()), (1, ""));
    open.remove(0).children.remove(0)
}

/// Where a tag ends: at the first `>` that is not within quotes.
fn tag_end(text: &str) -> usize {
    let mut quoted = false;
    text.char_indices()
        .find_map(|(i, c)| {
            quoted ^= c == '"';
            (c == '>' && !quoted).then_some(i)
        })
        .unwrap()
}

fn parse_attributes(mut rest: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    while let Some((name, tail)) = rest.trim_start().split_once("=\"") {
        let (value, tail) = tail.split_once('"').unwrap();
        assert!(!value.contains('<') && all.iter().all(|(other, _)| other != name));
        all.push((name.to_owned(), unescape(value)));
        rest = tail;
    }
    assert_eq!(rest.trim(), "");
    all
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let (entity, tail) = rest[at + 1..].split_once(';').unwrap();
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            other => panic!("&{other};"),
        });
        rest = tail;
    }
    out + rest
}

fn check_junit(decision: &GateDecision) {
    let root = xml(&render::junit(decision));
    assert_eq!(root.name, "testsuites");
    let suite = &root.children[0];
    let attribute = |e: &Element, name: &str| {
        e.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap()
    };
    let cases: Vec<&Element> = suite.children.iter().filter(|e| e.name == "testcase").collect();
    assert_eq!(cases.len(), decision.criteria.len());
    assert_eq!(suite.children.len(), cases.len() + 1);
    for kind in ["failure", "error", "skipped"] {
        let count =
            cases.iter().filter(|c| c.children.first().is_some_and(|child| child.name == kind)).count();
        let key = if kind == "skipped" { kind.to_owned() } else { format!("{kind}s") };
        let stated = attribute(suite, &key);
        assert_eq!(stated, count.to_string());
    }
    for (case, criterion) in cases.iter().zip(&decision.criteria) {
        assert_eq!(case.children.is_empty(), criterion.verdict == Verdict::Pass);
        let name = attribute(case, "name");
        assert!(!name.contains(is_hidden) && !name.contains('\n'));
        if criterion.id.chars().all(|c| c.is_ascii_graphic() && c != '#') {
            assert_eq!(name, criterion.id);
        }
    }
}

fn check_sarif(decision: &GateDecision) {
    let text = render::sarif(decision, "/ci/ä b?#%.toml").unwrap();
    assert!(!text.contains(is_hidden), "{text:?}");
    let log: Value = serde_json::from_str(&text).unwrap();
    let run = &log["runs"][0];
    let (rules, results) =
        (run["tool"]["driver"]["rules"].as_array().unwrap(), run["results"].as_array().unwrap());
    assert_eq!((rules.len(), results.len()), (decision.criteria.len(), decision.criteria.len()));
    for (index, (result, criterion)) in results.iter().zip(&decision.criteria).enumerate() {
        assert_eq!((&result["ruleId"], &result["ruleIndex"]), (&rules[index]["id"], &Value::from(index)));
        assert_eq!(result["kind"] == "pass", criterion.verdict == Verdict::Pass);
        assert_eq!(result["level"] == "none", criterion.verdict == Verdict::Pass);
        let uri = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
        assert_eq!(uri, "ci/%C3%A4%20b%3F%23%25.toml");
        let message = result["message"]["text"].as_str().unwrap();
        assert_eq!((bare(message, '['), bare(message, ']')), (0, 0), "{message}");
        assert!(!message.replace("{{", "").replace("}}", "").contains(['{', '}']), "{message}");
    }
}

fn check_in_toto(decision: &GateDecision) {
    let text = render::in_toto(decision).unwrap();
    assert!(!text.contains(is_hidden), "{text:?}");
    let statement: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    let predicate = &statement["predicate"];
    let count = |key: &str| predicate[key].as_array().unwrap().len();
    assert_eq!(count("passedTests") + count("warnedTests") + count("failedTests"), decision.criteria.len());
    let result = predicate["result"].as_str().unwrap();
    let blocked =
        decision.criteria.iter().any(|c| c.verdict != Verdict::Pass && c.severity == Severity::Error);
    assert_eq!(
        result == "FAILED",
        blocked || !decision.criteria.iter().any(|c| c.severity == Severity::Error)
    );
}

/// The elements of an HTML page by name, checked to be closed in the order in which they were opened.
fn elements(page: &str) -> BTreeMap<String, usize> {
    const VOID: [&str; 2] = ["!doctype", "meta"];
    let (head, rest) = page.split_once("<style>").unwrap();
    let (style, rest) = rest.split_once("</style>").unwrap();
    assert!(!style.contains('<'), "{style}");
    let text = format!("{head}{rest}");
    let (mut open, mut found, mut rest) = (Vec::new(), BTreeMap::new(), text.as_str());
    while let Some(start) = rest.find('<') {
        let end = start + tag_end(&rest[start..]);
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        let name = tag.trim_matches('/').split(' ').next().unwrap();
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '!'), "{tag}");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
            continue;
        }
        *found.entry(name.to_owned()).or_insert(0) += 1;
        if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    found
}

fn check_html(decision: &GateDecision) {
    let page = render::html(decision);
    assert!(!page.contains(is_hidden), "{page:?}");
    let elements = elements(&page);
    let count = |name: &str| elements.get(name).copied().unwrap_or_default();
    assert_eq!(count("article"), decision.criteria.len());
    // A row each, the head's, and those of model, gate and report.
    assert_eq!(count("tr"), decision.criteria.len() + 4);
    for name in ["script", "img", "a", "iframe", "link", "base", "form"] {
        let expected = if name == "a" { decision.criteria.len() } else { 0 };
        assert_eq!(count(name), expected, "{name}");
    }
    let passed = decision.require_pass(&decision.model).is_ok();
    assert_eq!(page.contains("<h1>Good enough"), passed, "{page}");
}

fn check(decision: &GateDecision) {
    check_html(decision);
    check_json(decision);
    check_markdown(decision);
    check_github(decision);
    check_azure(decision);
    check_junit(decision);
    check_sarif(decision);
    check_in_toto(decision);
}

/// Writes every rendering into the folder that `MLOPS_RENDER_INTO` names, for validators that are not part of this crate.
fn hand_over(decision: &GateDecision) {
    let Some(folder) = std::env::var_os("MLOPS_RENDER_INTO") else { return };
    let folder = std::path::Path::new(&folder);
    for (name, text) in [
        ("decision.json", render::json(decision).unwrap()),
        ("decision.md", render::markdown(decision)),
        ("junit.xml", render::junit(decision)),
        ("gate.sarif", render::sarif(decision, "ci/gate.toml").unwrap()),
        ("github.txt", render::github(decision, "ci/gate.toml")),
        ("azure.txt", render::azure_devops(decision, "ci/gate.toml")),
        ("decision.html", render::html(decision)),
        ("statement.json", render::in_toto(decision).unwrap()),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

#[test]
fn hostile_names_stay_names_in_every_language() {
    check(&decision(HOSTILE));
    hand_over(&decision(HOSTILE));
    check(&decision(&[]));
    for name in HOSTILE {
        check(&decision(&[name, name, name, name]));
    }
}

#[test]
fn what_warns_passes_and_says_so() {
    let mut warned = decision(&["a", "b", "c"]);
    warned.criteria.remove(0);
    warned.criteria[0].verdict = Verdict::Pass;
    let warned = GateDecision::new(
        "g",
        warned.gate_digest,
        warned.model,
        warned.report,
        None,
        warned.at,
        warned.criteria,
    );
    assert_eq!(warned.verdict, Verdict::Pass);
    let statement: Value = serde_json::from_str(&render::in_toto(&warned).unwrap()).unwrap();
    assert_eq!(statement["predicate"]["result"], "WARNED");
    assert!(render::azure_devops(&warned, "g").contains("result=SucceededWithIssues;"));
    assert!(render::github(&warned, "g").lines().last().unwrap().starts_with("::notice "));
    check(&warned);
}

#[test]
fn a_forged_verdict_is_not_repeated() {
    let mut forged = decision(&["a"]);
    forged.verdict = Verdict::Pass;
    assert!(render::html(&forged).contains("<h1>Not good enough</h1>"));
    for text in [render::markdown(&forged), render::github(&forged, "g"), render::azure_devops(&forged, "g")]
    {
        assert!(text.contains("fail (0 of 1 criteria pass)") || text.contains("fail \\(0 of 1"), "{text}");
    }
    assert!(render::in_toto(&forged).unwrap().contains("FAILED"));
    check(&forged);
}

fn at() -> Timestamp {
    "2026-01-05T09:00:00Z".parse().unwrap()
}

/// A model's report with one metric over all rows and over a slice.
fn report(model: &str, auc: f64) -> EvaluationReport {
    let (model, data) = (Digest::of(model.as_bytes()), Digest::of(b"data"));
    let mut report = EvaluationReport::new(model, data, Task::BinaryClassification, at(), 100);
    let estimate = Estimate::new(Measured::Value(auc), Direction::HigherIsBetter, 100)
        .with_interval(auc - 0.05, auc + 0.05);
    report.metrics.insert(MetricKey::new("auc").unwrap(), estimate);
    report.slices.push(SliceReport::new("old", 50, report.metrics.clone()));
    report
}

fn criterion(id: &str) -> Criterion {
    Criterion::new(id, MetricKey::new("auc").unwrap())
}

/// Where the dot, the bounds and the other model of a criterion stand, from left to right.
fn places(page: &str, id: &str) -> (f64, Vec<f64>, Option<f64>) {
    let card = page.split_once(&format!("<h3>{id}</h3>")).unwrap().1.split_once("</article>").unwrap().0;
    let after = |mark: &'static str| {
        let numbers = card.match_indices(mark).map(move |(at, _)| &card[at + mark.len()..]);
        numbers.map(|rest| rest[..rest.find([' ', '"']).unwrap()].parse::<f64>().unwrap())
    };
    let dot = after("class=\"dot\" cx=\"").next().unwrap();
    (dot, after("class=\"limit\" x1=\"").collect(), after("class=\"other\" d=\"M").next())
}

#[test]
fn a_page_draws_the_value_on_the_side_of_the_bound_where_it_is() {
    let (new, old) = (report("new", 0.8), report("old", 0.79));
    let gate = GateSpec::new(
        "g",
        vec![
            criterion("low").with_min(0.75),
            criterion("high").with_max(0.75),
            criterion("both").with_min(0.7).with_max(0.9),
            criterion("drop").with_max_drop(0.02),
            criterion("gain").with_min_gain(0.02),
            criterion("band").with_band(0.005),
            criterion("slice").with_slice("old").with_min(0.85),
            criterion("tested").with_max_drop(0.02).with_test(TestName::Delong),
        ],
    )
    .unwrap();
    let found = CriterionEvidence::new(100)
        .with_p(TestName::Delong, 0.03, 0.8 - 0.79)
        .with_interval(-0.01, 0.03, 0.9);
    let evidence =
        GateEvidence::new(gate.digest(), new.model, new.data).with_champion(old.model).with("tested", found);
    let input = GateInput::new(&new).with_champion(&old).with_evidence(&evidence);
    let decision = gate.decide_with(&input, at()).unwrap();
    let page =
        render::html_with(&decision, &HtmlOptions::default().with_gate(&gate).with_input(&input)).unwrap();
    elements(&page);
    // By id: how many bounds are left of the dot and right of it, and on which side the other model is.
    for (id, left, right, other) in [
        ("low", 1, 0, None),
        ("high", 1, 0, None),
        ("both", 1, 1, None),
        ("drop", 1, 0, Some(-1.0)),
        ("gain", 0, 1, Some(-1.0)),
        ("band", 2, 0, Some(-1.0)),
        ("slice", 0, 1, None),
        ("tested", 1, 0, Some(-1.0)),
    ] {
        let (dot, bounds, theirs) = places(&page, id);
        let count = |side: fn(f64, f64) -> bool| bounds.iter().filter(|bound| side(**bound, dot)).count();
        assert_eq!((count(|b, d| b < d), count(|b, d| b > d)), (left, right), "{id}");
        assert_eq!(theirs.map(|theirs| (theirs - dot).signum()), other, "{id}");
    }
    for needle in [
        "auc in slice `old` · error",
        ">at most 0.75</text>",
        ">at least 0.77</text>",
        ">at least -0.02</text>",
        ">champion 0.79</text>",
        ">no difference 0</text>",
        "90 % interval</th><td>-0.01 to 0.03",
        "<td class=\"num\">0.75 to 0.85</td>",
        "aria-label=\"auc: old 0.8\"",
    ] {
        assert!(page.contains(needle), "{needle}: {page}");
    }
    assert!(!page.contains("NaN") && !page.contains(" inf"));
}

#[test]
fn a_page_speaks_of_no_other_gate_and_no_other_report() {
    let (new, old) = (report("new", 0.8), report("old", 0.79));
    let gate = GateSpec::new("g", vec![criterion("c").with_max_drop(0.02)]).unwrap();
    let decision = gate.decide(&new, Some(&old), at()).unwrap();
    let other_gate = GateSpec::new("g", vec![criterion("c").with_max_drop(0.03)]).unwrap();
    let kind = |options: &HtmlOptions<'_>| render::html_with(&decision, options).map_err(|e| e.kind()).err();
    assert_eq!(kind(&HtmlOptions::default().with_gate(&other_gate)), Some(ErrorKind::Conflict));
    for (ours, theirs, expected) in [
        (&new, Some(&old), None),
        (&new, None, None),
        (&old, Some(&old), Some(ErrorKind::Conflict)),
        (&new, Some(&new), Some(ErrorKind::Conflict)),
    ] {
        let input = GateInput::new(ours).with_champion(theirs);
        assert_eq!(kind(&HtmlOptions::default().with_gate(&gate).with_input(&input)), expected);
    }
    let mut broken = new.clone();
    broken.metrics.values_mut().for_each(|estimate| estimate.value = Measured::Value(f64::NAN));
    let input = GateInput::new(&broken);
    assert_eq!(kind(&HtmlOptions::default().with_input(&input)), Some(ErrorKind::InvalidInput));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_name_stays_a_name(names in prop::collection::vec("\\PC{0,20}|(?s:.{0,20})|[\\[\\]|`:;#%&<>@{}\\\\\\n\\r\"]{0,12}", 1..5)) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        check(&decision(&names));
    }
}
