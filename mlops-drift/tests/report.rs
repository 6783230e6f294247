//! Reports for people: what they say, that nothing from the data can become markup, and how they look in a browser.

mod browser;

use std::sync::LazyLock;

use mlops_core::data::{Column, Table, Validity, Values};
use mlops_core::monitor::{
    DriftDetector as _, DriftReport, DriftVerdict, FeatureDrift, FeatureOutcome, FeatureScore,
};
use mlops_core::num::Random;
use mlops_core::time::Timestamp;
use mlops_drift::detector::{Detector, DetectorOptions, Method};
use mlops_drift::report::{HtmlOptions, html, html_with, json, text};

const HOSTILE: &str = "<script>alert(1)</script>\"' onload=x \u{202e}&amp;";

fn now() -> Timestamp {
    "2026-03-16T06:00:00Z".parse().unwrap()
}

/// Sums of twelve uniforms.
fn normal(n: usize, name: &str, mean: f64, sd: f64) -> Vec<f64> {
    let mut random = Random::new(7).stream(name);
    (0..n).map(|_| mean + sd * ((0..12).map(|_| random.next_f64()).sum::<f64>() - 6.0)).collect()
}

fn pick(n: usize, name: &str, levels: &[(&'static str, f64)]) -> Vec<&'static str> {
    let mut random = Random::new(8).stream(name);
    let draw = |mut u: f64| {
        for (level, share) in levels {
            if u < *share {
                return *level;
            }
            u -= share;
        }
        levels[0].0
    };
    (0..n).map(|_| draw(random.next_f64())).collect()
}

/// Half a year of customers, and a week in which much is different.
fn customers(n: usize, week: bool) -> Table<'static> {
    let side = if week { "week" } else { "reference" };
    let name = |feature: &str| format!("{side} {feature}");
    let age = normal(n, &name("age"), if week { 47.0 } else { 41.0 }, 11.0);
    let income: Vec<f64> = normal(n, &name("income"), 7.8, 0.5).iter().map(|v| v.exp().round()).collect();
    let tenure: Vec<f64> = normal(n, &name("tenure"), 24.0, 9.0).iter().map(|v| v.abs().floor()).collect();
    let calls: Vec<i64> =
        normal(n, &name("calls"), if week { 2.6 } else { 1.9 }, 1.3).iter().map(|v| v.abs() as i64).collect();
    let usage = normal(n, &name("usage"), 50.0, if week { 19.0 } else { 9.0 });
    let score = normal(n, &name("score"), 0.62, 0.1);
    let plans: &[(&str, f64)] = if week {
        &[("basic", 0.36), ("plus", 0.3), ("pro", 0.16), ("family", 0.06), ("student", 0.12)]
    } else {
        &[("basic", 0.52), ("plus", 0.27), ("pro", 0.14), ("family", 0.07)]
    };
    let cities: &[(&str, f64)] = &[
        ("Berlin", 0.22),
        ("Hamburg", 0.16),
        ("München", 0.14),
        ("Köln", 0.12),
        ("Frankfurt", 0.1),
        ("Stuttgart", 0.08),
        ("Leipzig", 0.06),
        ("Dresden", 0.05),
        ("Bonn", 0.03),
        ("Trier", 0.02),
        ("Jena", 0.02),
    ];
    let valid: Vec<bool> =
        normal(n, &name("valid"), 0.0, 1.0).iter().map(|v| *v < if week { 0.9 } else { 2.2 }).collect();
    let rating = Column::new(
        "rating",
        Values::F64(normal(n, &name("rating"), 3.6, 0.7).into()),
        Some(Validity::from_bools(&valid)),
    );
    let mobile: Vec<bool> = normal(n, &name("mobile"), 0.0, 1.0).iter().map(|v| *v < 0.4).collect();
    let clipped: Vec<f64> =
        normal(n, &name("discount"), -0.3, 1.0).iter().map(|v| (v.max(0.0) * 20.0).round() / 20.0).collect();
    let mut columns = vec![
        Column::f64("age", age).unwrap(),
        Column::f64("income", income).unwrap(),
        Column::f64("tenure months", tenure).unwrap(),
        Column::i64("support calls", calls).unwrap(),
        Column::f64("usage", usage).unwrap(),
        Column::f64("credit score", score).unwrap(),
        Column::text("plan", pick(n, &name("plan"), plans)).unwrap(),
        Column::text("city", pick(n, &name("city"), cities)).unwrap(),
        rating.unwrap(),
        Column::bool("on mobile", mobile).unwrap(),
        Column::f64("discount", clipped).unwrap(),
        Column::text(HOSTILE, vec![if week { HOSTILE } else { "<b>old</b>" }; n]).unwrap(),
    ];
    columns.push(if week {
        Column::text("postcode", vec!["53111"; n]).unwrap()
    } else {
        Column::f64("postcode", vec![53_111.0; n]).unwrap()
    });
    Table::new(columns).unwrap()
}

fn report() -> DriftReport {
    static REPORT: LazyLock<DriftReport> = LazyLock::new(detect);
    REPORT.clone()
}

fn detect() -> DriftReport {
    let options = DetectorOptions::default()
        .with_name("customers")
        .with_numeric(Method::Psi)
        .with_also([Method::KolmogorovSmirnov, Method::Chi2]);
    let detector = Detector::fit(&customers(6000, false), options).unwrap();
    detector.detect(&customers(1400, true), now()).unwrap()
}

/// The tags of a page in order, checked to be closed in the order in which they were opened.
fn balanced(page: &str) -> usize {
    const VOID: [&str; 2] = ["!doctype", "meta"];
    let mut open: Vec<String> = Vec::new();
    let (mut rest, mut tags) = (page, 0);
    while let Some(at) = rest.find('<') {
        // Style and script hold what is not markup.
        for raw in ["<style>", "<script>"] {
            if rest[at..].starts_with(raw) {
                let end = raw.replace('<', "</");
                rest = rest.split_once(&end).unwrap_or_else(|| panic!("{raw} is not closed")).1;
                tags += 1;
            }
        }
        let Some(at) = rest.find('<') else { break };
        if rest[at..].starts_with("<style>") || rest[at..].starts_with("<script>") {
            continue;
        }
        let end = at + rest[at..].find('>').expect("a tag ends");
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        tags += 1;
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap().to_owned();
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '!'), "`{name}` is no tag of ours");
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_deref(), Some(name.as_str()), "before {}", &rest[..rest.len().min(80)]);
        } else if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
            open.push(name);
        }
        // Attributes are in double quotes, an even number of them.
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
    }
    assert!(open.is_empty(), "{open:?}");
    tags
}

#[test]
fn the_page_is_whole_and_says_what_was_found() {
    let report = report();
    let page = html(&report);
    // For whoever wants to look at it.
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("drift-report.html");
    std::fs::write(path, &page).unwrap();
    assert!(balanced(&page) > 500);
    for needle in [
        "The data has drifted",
        "“student” is new: 13 % of the rows.",
        "Missing values rose from",
        "The median moved up from",
        "The middle half widened",
        "Could not be measured: the reference is numeric, the current data is Category.",
        "Benjamini–Hochberg",
        "psi.jeffreys.quantile10/v1",
        "ks.two_sample/v1",
        "chi2.distance.quantile10/v1",
    ] {
        assert!(page.contains(needle), "{needle}");
    }
    // Every feature has its row and its card.
    assert_eq!(page.matches("<article ").count(), report.features.len());
    assert_eq!(page.matches("<td class=\"name\"").count(), report.features.len());
    assert!(page.len() < 40_000 + 12_000 * report.features.len(), "{} bytes", page.len());
}

#[test]
fn the_page_loads_nothing() {
    let page = html(&report());
    for needle in ["http:", "https:", "src=", "@import", "<link", "<img", "<iframe", "javascript:"] {
        assert!(!page.contains(needle), "{needle}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn no_name_or_category_becomes_markup() {
    let page = html_with(&report(), &HtmlOptions::default().with_title(HOSTILE));
    assert_eq!(page.matches("<script>").count(), 1, "only the page's own");
    assert!(!page.contains("<b>old") && !page.contains('\u{202e}') && !page.contains("alert(1)</script>"));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39; onload=x"));
    balanced(&page);
    // A reason comes from an error that may quote anything.
    let failed =
        FeatureDrift::new("a\nb", FeatureOutcome::Failed("<img src=x onerror=alert(1)>\u{0}".to_owned()));
    let mut report =
        DriftReport::new(HOSTILE, now(), (1, 1), vec![failed], DriftVerdict::Inconclusive, "<i>why</i>");
    report.correction = Some("<u>".to_owned());
    let page = html(&report);
    assert!(
        !page.contains("<img") && !page.contains("<i>why") && !page.contains("<u>") && !page.contains('\0')
    );
    balanced(&page);
    let text = text(&report);
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
fn no_rendering_holds_a_nan() {
    let mut broken = FeatureScore::new("x/v1", f64::NAN, f64::INFINITY, DriftVerdict::Inconclusive);
    broken.noise_floor = f64::NAN;
    broken.adjusted_p_value = Some(f64::NAN);
    broken.missing_current = f64::NAN;
    let feature = FeatureDrift::new("x", FeatureOutcome::Measured(broken));
    let broken = DriftReport::new("d", now(), (0, 0), vec![feature], DriftVerdict::Inconclusive, "broken");
    assert!(json(&broken).is_err());
    for report in [report(), broken] {
        for rendered in [html(&report), text(&report), json(&report).unwrap_or_default()] {
            for needle in ["NaN", "inf\"", " inf", "-inf"] {
                assert!(!rendered.contains(needle), "{needle} in {rendered}");
            }
        }
    }
}

#[test]
fn json_has_a_version_and_reads_back() {
    let report = report();
    let text = json(&report).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["schema"], 2);
    assert_eq!(value["features"][0]["feature"], "age");
    let age = &value["features"][0]["outcome"]["measured"];
    assert_eq!(age["definition"], "psi.jeffreys.quantile10/v1");
    assert_eq!(age["current"]["rows"], 1400);
    assert_eq!(age["also"][0]["definition"], "ks.two_sample/v1");
    let rows =
        |side: &str| age["cells"].as_array().unwrap().iter().map(|c| c[side].as_u64().unwrap()).sum::<u64>();
    assert_eq!((rows("reference"), rows("current")), (6000, 1400), "every row is in one cell");
    assert_eq!(serde_json::from_str::<DriftReport>(&text).unwrap(), report);
}

#[test]
fn text_is_a_line_a_feature_the_worst_first() {
    let text = text(&report());
    let mut lines = text.lines();
    let first = lines.next().unwrap();
    assert!(first.starts_with("customers: drift: 6 of 13 features drifted"), "{first}");
    assert_eq!(lines.next(), Some("2026-03-16 06:00 UTC, 1\u{202f}400 rows against 6\u{202f}000"));
    assert!(text.contains("\n! plan "), "{text}");
    assert!(text.contains("could not be measured: the reference is numeric, the current data is Category\n"));
    let marks: String = text.lines().skip(2).filter_map(|l| l.chars().next()).filter(|c| *c != ' ').collect();
    assert_eq!(marks, "!!!!!!?");
}

#[test]
fn an_empty_report_and_one_without_pictures_are_pages_too() {
    let empty = DriftReport::new("d", now(), (0, 0), vec![], DriftVerdict::Inconclusive, "there is nothing");
    balanced(&html(&empty));
    let plain = FeatureScore::new("share/v1", 0.5, 0.0, DriftVerdict::Drift);
    let feature = FeatureDrift::new("x", FeatureOutcome::Measured(plain));
    let report =
        DriftReport::new("d", now(), (9, 9), vec![feature], DriftVerdict::Drift, "1 of 1 features drifted");
    balanced(&html(&report));
    let all = self::report();
    let some = html_with(&all, &HtmlOptions::default().with_max_cards(2));
    assert_eq!(some.matches("<article ").count(), 2);
    assert!(some.contains("11 more features are in the table only."));
}
