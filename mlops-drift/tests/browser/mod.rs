//! The pages of this workspace in a browser: drift report, gate decision, data profile.
//!
//! Runs where `MLOPS_TEST_CHROMIUM` names a Chromium (Debian's package is `chromium`), and says "skipped" where it does not.

mod chromium;
mod decision;

use serde::Deserialize;
use serde_json::Value;

use chromium::{Browser, Screen};
use mlops_core::data::{Column, Profile, Table};
use mlops_core::evaluation::render;
use mlops_core::monitor::{DriftReport, DriftVerdict, FeatureDrift, FeatureOutcome};
use mlops_drift::report::{HtmlOptions, html, html_with};

const LOOK: &str = include_str!("look.js");

const SCREENS: [Screen; 4] = [
    Screen { width: 1280, height: 900, dark: false },
    Screen { width: 1280, height: 900, dark: true },
    Screen { width: 360, height: 740, dark: false },
    Screen { width: 360, height: 740, dark: true },
];

/// What would run, or leave its place, if it were not escaped. Whatever runs sets a global that begins with `hostile`.
const HOSTILE: &[&str] = &[
    "<script>hostile1=1</script>",
    "</title><script>hostile2=1</script>",
    "</style></script><script>hostile3=1</script>",
    "\"><img src=x onerror=hostile4=1>",
    "'><svg onload=hostile5=1>",
    "\" onmouseover=\"hostile6=1\" autofocus onfocus=\"hostile7=1",
    "<a href=\"javascript:hostile8=1\">x</a>",
    "<iframe srcdoc=\"<script>parent.hostile9=1</script>\">",
    "<base href=http://192.0.2.1/><link rel=stylesheet href=http://192.0.2.1/a.css>",
    "<meta http-equiv=refresh content=\"0;url=http://192.0.2.1/\">",
    "--><style>*{background:url(http://192.0.2.1/b.png)}</style>",
    "&#60;script&#62;hostile10=1&#60;/script&#62;",
    "]]><script>hostile11=1</script>",
    "\u{202e}\u{0}\u{feff}gnp.exe",
];

/// What `look.js` finds.
#[derive(Debug, Deserialize)]
struct Look {
    title: String,
    width: f64,
    scroll: f64,
    height: f64,
    scripts: usize,
    foreign: Vec<String>,
    handlers: Vec<String>,
    ran: Vec<String>,
    texts: Vec<Text>,
    figures: Vec<Figure>,
}

#[derive(Debug, Deserialize)]
struct Text {
    text: String,
    /// In CSS pixels, as drawn.
    size: f64,
    contrast: f64,
}

#[derive(Debug, Deserialize)]
struct Figure {
    class: String,
    /// What it says to those who do not see it; nothing for what is decoration.
    label: Option<String>,
    image: bool,
    /// The part that is seen, in pixels of the page.
    #[serde(rename = "box")]
    place: Place,
    scrolls: bool,
    inside: bool,
    marks: usize,
    beyond: usize,
    clashes: Vec<String>,
    fills: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Place {
    width: f64,
    height: f64,
}

fn look(browser: &mut Browser) -> Look {
    serde_json::from_value(browser.evaluate(LOOK)).unwrap()
}

/// Everything that is wrong with a page that is open.
fn faults(look: &Look) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |text: String| faults.push(text);
    if look.scroll > look.width {
        fault(format!("the page is {} wide on a screen of {}", look.scroll, look.width));
    }
    for text in &look.texts {
        // WCAG 2.2, 1.4.3, level AA, for text of any size.
        if text.contrast < 4.5 {
            fault(format!("faint: {} at {:.2}", text.text, text.contrast));
        }
        if text.size < 9.0 {
            fault(format!("small: {} at {:.1}", text.text, text.size));
        }
    }
    for figure in &look.figures {
        let name = format!("figure {:?} {:?}", figure.class, figure.label);
        if figure.marks == 0 {
            fault(format!("{name} is empty"));
        }
        if figure.beyond > 0 {
            fault(format!("{name} has {} marks outside of itself", figure.beyond));
        }
        if !figure.inside && !figure.scrolls {
            fault(format!("{name} is outside of the page"));
        }
        figure.clashes.iter().for_each(|words| fault(format!("{name} writes over itself: {words}")));
        if figure.label.as_ref().is_some_and(|label| label.is_empty() || !figure.image) {
            fault(format!("{name} says nothing to who does not see it"));
        }
        if figure.label.is_some() && figure.fills.is_empty() {
            fault(format!("{name} fills nothing"));
        }
    }
    faults
}

/// Figures of which no pixel in a screenshot has the colour of one of their marks. The browser itself reads the picture.
fn unpainted(browser: &mut Browser, look: &Look) -> Vec<String> {
    let picture = browser.screenshot(look.width, look.height);
    let blank = browser.write("blank.html", "<!doctype html><title>blank</title>");
    let raw: Value = browser.evaluate(LOOK)["figures"].clone();
    browser.open(&blank, SCREENS[0]);
    let count = format!(
        "(async (figures) => {{
            const picture = await (await fetch('data:image/png;base64,{picture}')).blob();
            const bitmap = await createImageBitmap(picture);
            const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
            canvas.drawImage(bitmap, 0, 0);
            return figures.map((figure) => {{
                const {{x, y, width, height}} = figure.box;
                if (width < 8 || height < 8) return -1;
                const pixels = canvas.getImageData(x, y, width, height).data;
                // The edges of marks are mixed with what lies behind them.
                const near = (fill, at) => fill.every((part, i) => Math.abs(part - pixels[at + i]) <= 24);
                const fills = figure.fills.map((fill) => fill.split(',').map(Number));
                let painted = 0;
                for (let at = 0; at < pixels.length; at += 4) painted += fills.some((fill) => near(fill, at));
                return painted;
            }});
        }})({raw})"
    );
    let painted: Vec<i64> = serde_json::from_value(browser.evaluate(&count)).unwrap();
    assert_eq!(painted.len(), look.figures.len());
    let seen = look.figures.iter().zip(&painted).filter(|(figure, _)| !figure.fills.is_empty());
    // What has scrolled out of its panel is not in the picture.
    let blank = seen
        .filter(|(figure, painted)| figure.place.width >= 8.0 && figure.place.height >= 8.0 && **painted < 4);
    blank.map(|(figure, _)| format!("{:?} {:?}", figure.class, figure.label)).collect()
}

/// How many pictures of a class a page has.
fn pictures(look: &Look, class: &str) -> usize {
    look.figures.iter().filter(|figure| figure.class == class).count()
}

/// A page as it is on every screen: loads nothing, complains about nothing, hides and loses nothing.
fn sound(browser: &mut Browser, name: &str, page: &str, check: impl Fn(&Look)) {
    let file = browser.write(name, page);
    for screen in SCREENS {
        browser.open(&file, screen);
        let look = look(browser);
        let context = format!("{name} on {screen:?}");
        assert_eq!(browser.requests(), [format!("\"file://{}\"", file.display())], "{context}");
        assert_eq!(browser.complaints(), Vec::<String>::new(), "{context}");
        assert_eq!(faults(&look), Vec::<String>::new(), "{context}");
        assert!(look.texts.len() > 20 && !look.title.is_empty(), "{context}");
        check(&look);
        assert_eq!(unpainted(browser, &look), Vec::<String>::new(), "{context}");
    }
}

#[test]
fn pages_show_their_charts_on_every_screen_and_load_nothing() {
    let Some(mut browser) = Browser::start() else { return };
    let report = super::report();
    let measured =
        report.features.iter().filter(|f| matches!(f.outcome, FeatureOutcome::Measured(_))).count();
    assert_eq!(measured, 12);
    sound(&mut browser, "drift.html", &html(&report), |look| {
        // A histogram and a gauge a card, an outline and a gauge a row.
        assert_eq!(pictures(look, "figure"), 2 * measured);
        assert_eq!((pictures(look, "spark"), pictures(look, "meter")), (measured, measured));
        assert!(look.figures.iter().filter(|f| f.class == "figure").all(|f| f.marks >= 3), "{look:?}");
    });
    let profile = Profile::of(&super::customers(600, true)).unwrap();
    let drawn = profile.columns.iter().filter(|c| c.numeric.as_ref().is_some_and(|n| n.histogram.is_some()));
    let drawn = drawn.count();
    assert!(drawn >= 7, "{drawn}");
    sound(&mut browser, "profile.html", &profile.html("Customers of a week"), |look| {
        assert_eq!(pictures(look, "figure"), drawn);
    });
    let (page, expected) = decision::page();
    sound(&mut browser, "decision.html", &page, |look| {
        assert_eq!((pictures(look, "figure"), pictures(look, "tally")), (expected, 1));
    });
}

/// What the page of a hostile name may not have done; `scripts` are its own.
fn harmless(browser: &mut Browser, name: &str, page: &str, scripts: usize) {
    let file = browser.write(name, page);
    browser.open(&file, SCREENS[0]);
    // Whoever waits for a click or the mouse gets both, on everything.
    browser.evaluate(
        "for (const element of document.querySelectorAll('*'))
            for (const kind of ['mouseover', 'focus', 'click', 'error', 'load', 'toggle'])
                element.dispatchEvent(new Event(kind, {bubbles: true}));",
    );
    let look = look(browser);
    assert_eq!(look.ran, Vec::<String>::new(), "{name}");
    assert_eq!((look.foreign, look.handlers, look.scripts), (Vec::new(), Vec::new(), scripts), "{name}");
    assert_eq!(browser.requests(), [format!("\"file://{}\"", file.display())], "{name}");
    assert_eq!(browser.complaints(), Vec::<String>::new(), "{name}");
}

#[test]
fn names_of_others_run_nothing() {
    let Some(mut browser) = Browser::start() else { return };
    let texts: Vec<&str> = HOSTILE.iter().copied().cycle().take(3 * HOSTILE.len()).collect();
    let columns = HOSTILE.iter().map(|name| Column::text(*name, texts.clone()).unwrap()).collect();
    let profile = Profile::of(&Table::new(columns).unwrap()).unwrap();
    let failed = |name: &&str| {
        FeatureDrift::new((*name).to_owned(), FeatureOutcome::Failed(format!("because of {name}")))
    };
    // Every page has all names in its body; some titles are enough.
    for at in [0, 1, 2, 10] {
        let name = &HOSTILE[at];
        harmless(&mut browser, &format!("profile-{at}.html"), &profile.html(name), 0);
        let mut report = super::report();
        report.features.truncate(1);
        report.features[0].feature = (*name).to_owned();
        report.features.extend(HOSTILE.iter().map(failed));
        report.correction = Some((*name).to_owned());
        (report.detector, report.reason) = ((*name).to_owned(), (*name).to_owned());
        harmless(&mut browser, &format!("drift-{at}.html"), &html(&report), 1);
        let decision = decision::named(name, HOSTILE);
        harmless(&mut browser, &format!("decision-{at}.html"), &render::html(&decision), 0);
    }
    harmless(&mut browser, "parts.html", &decision::hostile_parts(HOSTILE), 0);
    // Titles are text, whatever they hold.
    let empty = DriftReport::new("d", super::now(), (0, 0), vec![], DriftVerdict::Inconclusive, "nothing");
    let page = html_with(&empty, &HtmlOptions::default().with_title(HOSTILE[1]));
    let file = browser.write("title.html", &page);
    browser.open(&file, SCREENS[0]);
    assert_eq!(look(&mut browser).title, HOSTILE[1]);
}

#[test]
fn a_click_sorts_the_table_of_the_drift_page() {
    let Some(mut browser) = Browser::start() else { return };
    let file = browser.write("drift.html", &html(&super::report()));
    browser.open(&file, SCREENS[0]);
    let names = "[...document.querySelectorAll('td.name')].map((cell) => cell.dataset.v)";
    let all = |browser: &mut Browser| serde_json::from_value::<Vec<String>>(browser.evaluate(names)).unwrap();
    let by_severity = all(&mut browser);
    assert_eq!(by_severity.len(), 13);
    let click = "document.querySelector('th button').click(); document.querySelector('th').ariaSort";
    assert_eq!(browser.evaluate(click), "ascending");
    let ascending = all(&mut browser);
    assert_eq!(browser.evaluate(click), "descending");
    let mut descending = all(&mut browser);
    descending.reverse();
    assert_eq!(ascending, descending);
    assert_ne!(ascending, by_severity);
    let mut sorted = by_severity.clone();
    sorted.sort();
    let mut shown = ascending.clone();
    shown.sort();
    assert_eq!(shown, sorted, "no row is lost");
    let place = |name: &str| ascending.iter().position(|shown| shown == name);
    assert!(place("age") < place("city") && place("city") < place("usage"), "{ascending:?}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// What these tests look for, the browser does report: on a page that does everything wrong.
#[test]
fn a_page_that_does_wrong_is_caught() {
    let Some(mut browser) = Browser::start() else { return };
    let page = "<!doctype html><title>bad</title>
        <style>svg{display:block} .clip{width:300px;height:100px}</style>
        <body style=\"width:3000px\"><p style=\"color:#bbb\">faint</p><p style=\"font-size:6px\">small</p>
        <svg class=\"empty\" role=\"img\" aria-label=\"x\" viewBox=\"0 0 9 9\" width=\"50\" height=\"50\"></svg>
        <svg class=\"clip\" role=\"img\" aria-label=\"y\" viewBox=\"0 0 300 100\">
        <rect x=\"280\" width=\"90\" height=\"9\"/><text x=\"9\" y=\"50\">one</text><text x=\"12\" y=\"50\">two</text></svg>
        <svg class=\"bare\" width=\"50\" height=\"50\"><rect width=\"9\" height=\"9\" fill=\"none\"/></svg>
        <svg class=\"covered\" role=\"img\" aria-label=\"z\" width=\"50\" height=\"50\">
        <rect width=\"50\" height=\"50\" fill=\"#ff0000\"/><rect width=\"50\" height=\"50\" fill=\"#00f\" opacity=\"0.99\"/></svg>
        <svg style=\"position:absolute;left:2000px\" role=\"img\" aria-label=\"far\" width=\"9\" height=\"9\"><rect width=\"9\" height=\"9\"/></svg>
        <img src=\"http://192.0.2.1/a.png\" onerror=\"hostile1=1\"><script>console.error('no'); hostile2 = 1; missing()</script>";
    let file = browser.write("bad.html", page);
    browser.open(&file, SCREENS[0]);
    let look = look(&mut browser);
    let faults = faults(&look).join("\n");
    for needle in [
        "the page is 3",
        "faint: faint at 1.9",
        "small: small at 6.0",
        "\"empty\" Some(\"x\") is empty",
        "\"clip\" Some(\"y\") has 1 marks outside of itself",
        "writes over itself: one / two",
        "\"bare\" Some(\"\") says nothing",
        "\"bare\" Some(\"\") fills nothing",
        "Some(\"far\") is outside of the page",
    ] {
        assert!(faults.contains(needle), "{needle}: {faults}");
    }
    assert_eq!(look.ran, ["hostile1", "hostile2"]);
    assert_eq!(
        (look.foreign, look.handlers, look.scripts),
        (vec!["IMG".to_owned()], vec!["onerror".to_owned()], 1)
    );
    let requests = browser.requests();
    assert!(requests.len() == 2 && requests[1].contains("192.0.2.1"), "{requests:?}");
    let complaints = browser.complaints().join("\n");
    assert!(complaints.contains("\"no\"") && complaints.contains("missing is not defined"), "{complaints}");
    let look = self::look(&mut browser);
    assert!(unpainted(&mut browser, &look).iter().any(|figure| figure.contains("covered")));
}
