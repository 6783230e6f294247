//! The pictures of the page: small SVGs, coloured by the style sheet of the page so that they follow light and dark.

use std::fmt::Write as _;

use mlops_core::monitor::{CellCounts, CellKind, FeatureScore};

use super::format::{count, name, number, percent};

/// How many levels a picture shows before it sums up.
const MAX_LEVELS: usize = 9;

/// How many new levels of them.
const MAX_NEW: usize = 4;

/// One cell with the shares of both sides.
struct Bar {
    kind: CellKind,
    label: String,
    low: Option<f64>,
    high: Option<f64>,
    reference: (u64, f64),
    current: (u64, f64),
}

impl Bar {
    fn most(&self) -> f64 {
        self.reference.1.max(self.current.1)
    }

    fn tip(&self) -> String {
        let side = |(rows, share): (u64, f64)| format!("{} ({})", percent(share), count(rows));
        format!("{}: reference {}, current {}", name(&self.label), side(self.reference), side(self.current))
    }

    /// Whether the reference never had it.
    fn is_new(&self) -> bool {
        matches!(self.kind, CellKind::Below | CellKind::Above | CellKind::Unseen)
    }
}

/// Bars of a histogram, with many levels summed up.
fn bars(cells: &[CellCounts]) -> Vec<Bar> {
    // Missing values are a share of all rows, the others of those that have a value: as in the words below the picture.
    let side = |side: fn(&CellCounts) -> u64| {
        let sum = |present: bool| {
            let cells = cells.iter().filter(|cell| !present || cell.kind != CellKind::Missing);
            cells.map(|cell| side(cell) as f64).sum::<f64>()
        };
        let (all, present) = (sum(false), sum(true));
        move |cell: &CellCounts| {
            let total = if cell.kind == CellKind::Missing { all } else { present };
            (side(cell), if total > 0.0 { side(cell) as f64 / total } else { 0.0 })
        }
    };
    let (reference, current) = (side(|cell| cell.reference), side(|cell| cell.current));
    let bar = |cell: &CellCounts| Bar {
        kind: cell.kind,
        label: cell.label.clone(),
        low: cell.low,
        high: cell.high,
        reference: reference(cell),
        current: current(cell),
    };
    let all: Vec<Bar> = cells.iter().map(bar).collect();
    let mut sizes: Vec<f64> = all.iter().filter(|bar| bar.kind == CellKind::Level).map(Bar::most).collect();
    sizes.sort_by(|x, y| y.total_cmp(x));
    let least = sizes.get(MAX_LEVELS).copied();
    let (mut shown, mut rest, mut levels, mut new) = (Vec::new(), Vec::new(), 0, 0);
    for bar in all {
        let keep = match bar.kind {
            CellKind::Level => least.is_none_or(|least| bar.most() > least) && levels < MAX_LEVELS,
            CellKind::Others => false,
            CellKind::Unseen => new < MAX_NEW,
            _ => true,
        };
        levels += usize::from(keep && bar.kind == CellKind::Level);
        new += usize::from(bar.kind == CellKind::Unseen);
        if keep { shown.push(bar) } else { rest.push(bar) }
    }
    if !rest.is_empty() {
        let sum = |side: fn(&Bar) -> (u64, f64)| {
            rest.iter().map(side).fold((0, 0.0), |(count, share), (c, s)| (count + c, share + s))
        };
        let (reference, current) = (sum(|bar| bar.reference), sum(|bar| bar.current));
        let place = shown.iter().position(|bar| bar.kind != CellKind::Level).unwrap_or(shown.len());
        let label = match rest.as_slice() {
            [one] => one.label.clone(),
            _ => "all others".to_owned(),
        };
        shown.insert(place, Bar { kind: CellKind::Others, label, low: None, high: None, reference, current });
    }
    shown
}

fn is_category(bars: &[Bar]) -> bool {
    bars.iter().any(|bar| matches!(bar.kind, CellKind::Level | CellKind::Others | CellKind::Unseen))
}

/// Reference and current over each other; nothing where there is no histogram.
pub(super) fn overlay(score: &FeatureScore, title: &str) -> String {
    let bars = bars(&score.cells);
    match (bars.is_empty(), is_category(&bars)) {
        (true, _) => String::new(),
        (false, true) => categories(&bars, title),
        (false, false) => histogram(&bars, title),
    }
}

/// A rounded step above a share: 1, 2 or 5 times a power of ten.
fn nice(top: f64) -> f64 {
    let base = 10_f64.powf(top.max(1e-6).log10().floor());
    [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|f| f * base)
        .find(|y| *y >= top * 0.999)
        .unwrap_or(1.0)
}

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 176.0;
const LEFT: f64 = 40.0;
const TOP: f64 = 10.0;
const BASE: f64 = HEIGHT - 30.0;

/// Where every bar stands: the outer and the missing cells keep their distance.
struct Slots {
    width: f64,
    x: Vec<f64>,
}

fn slots(bars: &[Bar], left: f64, right: f64) -> Slots {
    const GAP: f64 = 0.6;
    let gap = |i: usize| match (i.checked_sub(1).and_then(|i| bars.get(i)), bars.get(i)) {
        (Some(before), Some(bar)) => {
            let apart =
                before.kind == CellKind::Below || matches!(bar.kind, CellKind::Above | CellKind::Missing);
            if apart { GAP } else { 0.0 }
        }
        _ => 0.0,
    };
    let gaps: f64 = (0..bars.len()).map(gap).sum();
    let width = ((right - left) / (bars.len() as f64 + gaps)).min(64.0);
    let mut at = left;
    let x = (0..bars.len()).map(|i| {
        at += gap(i) * width;
        let x = at;
        at += width;
        x
    });
    Slots { x: x.collect(), width }
}

fn histogram(bars: &[Bar], title: &str) -> String {
    let slots = slots(bars, LEFT, WIDTH - 6.0);
    let top = nice(bars.iter().map(Bar::most).fold(0.0, f64::max));
    let y = |share: f64| BASE - (BASE - TOP) * (share / top).min(1.0);
    let mut svg = open(HEIGHT, title);
    for part in [0.0, 0.5, 1.0] {
        let at = y(top * part);
        let _ = write!(svg, r#"<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{at:.1}" y2="{at:.1}"/>"#);
        let _ = write!(
            svg,
            r#"<text class="tick end" x="{:.1}" y="{:.1}">{}</text>"#,
            LEFT - 6.0,
            at + 3.5,
            percent(top * part)
        );
    }
    for (bar, x) in bars.iter().zip(&slots.x) {
        column(&mut svg, bar, *x, slots.width, &y);
    }
    ticks(&mut svg, bars, &slots);
    svg.push_str("</svg>");
    svg
}

/// One slot: the reference wide and pale, the current narrow and bright before it.
fn column(svg: &mut String, bar: &Bar, x: f64, width: f64, y: &dyn Fn(f64) -> f64) {
    let (wide, narrow) = ((width - 1.0).max(width * 0.8), width * 0.46);
    let class = match bar.kind {
        _ if bar.is_new() => "cur new",
        CellKind::Missing => "cur gone",
        _ => "cur",
    };
    let _ = write!(svg, r#"<g class="slot"><title>{}</title>"#, bar.tip());
    let _ = write!(
        svg,
        r#"<rect class="hit" x="{x:.1}" y="{TOP}" width="{width:.1}" height="{:.1}"/>"#,
        BASE - TOP
    );
    for (class, share, w) in [("ref", bar.reference.1, wide), (class, bar.current.1, narrow)] {
        if share > 0.0 {
            let (left, height) = (x + (width - w) / 2.0, (BASE - y(share)).max(1.0));
            let (at, round) = (BASE - height, (w / 6.0).min(2.0));
            let _ = write!(
                svg,
                r#"<rect class="{class}" x="{left:.1}" y="{at:.1}" width="{w:.1}" height="{height:.1}" rx="{round:.1}"/>"#
            );
        }
    }
    svg.push_str("</g>");
}

/// What the slots are: edges between cells, values under theirs, words under the outer ones.
fn ticks(svg: &mut String, bars: &[Bar], slots: &Slots) {
    let mut free = LEFT - 20.0;
    let mut tick = |x: f64, text: &str, class: &str| {
        let half = 3.1 * text.chars().count() as f64 + 4.0;
        let x = x.clamp(half, WIDTH - half);
        if x - half >= free {
            let _ = write!(svg, r#"<text class="{class}" x="{x:.1}" y="{:.1}">{text}</text>"#, BASE + 15.0);
            free = x + half;
        }
    };
    let values = bars.iter().filter(|bar| bar.kind == CellKind::Value).count();
    let ranges = bars.iter().filter(|bar| bar.kind == CellKind::Range).count();
    let every = (ranges / 6).max(1);
    let mut range = 0;
    for (i, (bar, x)) in bars.iter().zip(&slots.x).enumerate() {
        let middle = x + slots.width / 2.0;
        match bar.kind {
            CellKind::Below => tick(middle, "below", "tick mid word"),
            CellKind::Above => tick(middle, "above", "tick mid word"),
            CellKind::Missing => tick(middle, "missing", "tick mid word"),
            CellKind::Value => {
                let thin = values <= 16 || i % 2 == 0;
                if let (true, Some(value)) = (thin, bar.low) {
                    tick(middle, &number(value), "tick mid");
                }
            }
            CellKind::Range if values == 0 => {
                // The first cell is a tail: its upper edge is the first round one.
                if range % every == 0
                    && let Some(high) = bar.high
                    && bars.get(i + 1).is_some_and(|next| next.kind == CellKind::Range)
                {
                    tick(x + slots.width, &number(high), "tick mid");
                }
                range += 1;
            }
            _ => {}
        }
    }
}

fn categories(bars: &[Bar], title: &str) -> String {
    const ROW: f64 = 21.0;
    const LABEL: f64 = 150.0;
    const VALUES: f64 = 104.0;
    let height = 12.0 + ROW * bars.len() as f64;
    let top = bars.iter().map(Bar::most).fold(0.0, f64::max).max(1e-9);
    let scale = (WIDTH - LABEL - VALUES) / top;
    let mut svg = open(height, title);
    for (i, bar) in bars.iter().enumerate() {
        let y = 6.0 + ROW * i as f64;
        let middle = y + ROW / 2.0;
        let special = if matches!(bar.kind, CellKind::Level) { "" } else { " word" };
        let _ = write!(
            svg,
            r#"<g class="slot"><title>{}</title><rect class="hit" x="0" y="{y:.1}" width="{WIDTH}" height="{ROW}"/>"#,
            bar.tip()
        );
        let _ = write!(
            svg,
            r#"<text class="level end{special}" x="{:.1}" y="{:.1}">{}</text>"#,
            LABEL - 8.0,
            middle + 4.0,
            clipped(&bar.label)
        );
        let (reference, current) = (bar.reference.1 * scale, bar.current.1 * scale);
        let class = match bar.kind {
            _ if bar.is_new() => "cur new",
            CellKind::Missing => "cur gone",
            _ => "cur",
        };
        let _ =
            write!(svg, r#"<line class="axis" x1="{LABEL}" x2="{LABEL}" y1="{y:.1}" y2="{:.1}"/>"#, y + ROW);
        if reference > 0.0 {
            let _ = write!(
                svg,
                r#"<rect class="ref" x="{LABEL}" y="{:.1}" width="{:.1}" height="15" rx="2"/>"#,
                middle - 7.5,
                reference.max(1.0)
            );
        }
        if current > 0.0 {
            let _ = write!(
                svg,
                r#"<rect class="{class}" x="{LABEL}" y="{:.1}" width="{:.1}" height="7" rx="1.5"/>"#,
                middle - 3.5,
                current.max(1.0)
            );
        }
        let x = LABEL + reference.max(current) + 7.0;
        let text = if bar.is_new() {
            format!("new: {}", percent(bar.current.1))
        } else {
            format!("{} → {}", percent(bar.reference.1), percent(bar.current.1))
        };
        let _ = write!(svg, r#"<text class="tick" x="{x:.1}" y="{:.1}">{text}</text></g>"#, middle + 4.0);
    }
    svg.push_str("</svg>");
    svg
}

fn clipped(label: &str) -> String {
    const MOST: usize = 22;
    let shown = mlops_core::error::quote(label);
    if shown.chars().count() <= MOST {
        return name(label);
    }
    super::format::escape(&shown.chars().take(MOST - 1).chain(['…']).collect::<String>())
}

/// The outline of a histogram for a table row.
pub(super) fn spark(score: &FeatureScore) -> String {
    const W: f64 = 112.0;
    const H: f64 = 26.0;
    let bars = bars(&score.cells);
    if bars.is_empty() {
        return String::new();
    }
    let top = bars.iter().map(Bar::most).fold(0.0, f64::max).max(1e-9);
    let width = (W / bars.len() as f64).min(14.0);
    let mut svg =
        format!(r#"<svg class="spark" viewBox="0 0 {W} {H}" width="{W}" height="{H}" aria-hidden="true">"#);
    for (i, bar) in bars.iter().enumerate() {
        let x = width * i as f64;
        let class = match bar.kind {
            _ if bar.is_new() => "cur new",
            CellKind::Missing => "cur gone",
            _ => "cur",
        };
        for (class, share, wide) in [("ref", bar.reference.1, 0.9), (class, bar.current.1, 0.44)] {
            let height = (H - 1.0) * share / top;
            if height > 0.0 {
                let (w, h) = (width * wide, height.max(0.8));
                let (left, at) = (x + (width - w) / 2.0, H - h);
                let _ = write!(
                    svg,
                    r#"<rect class="{class}" x="{left:.1}" y="{at:.1}" width="{w:.1}" height="{h:.1}"/>"#
                );
            }
        }
    }
    svg.push_str("</svg>");
    svg
}

/// Whether every number of the score has a place on an axis; those of our own detectors have.
fn is_drawable(score: &FeatureScore) -> bool {
    let interval = score.interval.map_or(0.0, |interval| interval.low + interval.high);
    [score.score, score.threshold, score.noise_floor, interval].iter().all(|value| value.is_finite())
}

/// The end of the scale of a score, so that score, threshold and interval are seen.
fn scale_end(score: &FeatureScore) -> f64 {
    let high = score.interval.map_or(0.0, |interval| interval.high);
    let end = [score.score, score.threshold * 1.25, score.noise_floor * 1.25].into_iter().fold(0.0, f64::max);
    // A wide interval must not squeeze the rest.
    let end = end.max(high.min(end * 2.0));
    if end > 0.0 && end.is_finite() { end * 1.08 } else { 1.0 }
}

/// The score beside its noise and its threshold.
pub(super) fn gauge(score: &FeatureScore, verdict: &str) -> String {
    const X: f64 = 40.0;
    const Y: f64 = 24.0;
    if !is_drawable(score) {
        return String::new();
    }
    let end = scale_end(score);
    let x = |value: f64| X + (WIDTH - X - 6.0) * (value / end).clamp(0.0, 1.0);
    let mut svg = open(58.0, "score, noise and threshold");
    let _ =
        write!(svg, r#"<rect class="rail" x="{X}" y="{Y}" width="{:.1}" height="10" rx="5"/>"#, x(end) - X);
    let _ = write!(
        svg,
        r#"<rect class="score {verdict}" x="{X}" y="{Y}" width="{:.1}" height="10" rx="5"/>"#,
        (x(score.score) - X).max(3.0)
    );
    if score.noise_floor > 0.0 {
        let width = (x(score.noise_floor) - X).max(2.0);
        let _ = write!(
            svg,
            r#"<rect class="noise" x="{X}" y="{Y}" width="{width:.1}" height="10"><title>noise floor {}</title></rect>"#,
            number(score.noise_floor)
        );
    }
    if let Some(interval) = score.interval {
        let (low, high, at) = (x(interval.low), x(interval.high), Y + 5.0);
        let _ = write!(
            svg,
            r#"<g class="whisker"><title>{} interval: {} to {}</title>"#,
            percent(interval.level),
            number(interval.low),
            number(interval.high)
        );
        let _ = write!(
            svg,
            r#"<path d="M{low:.1} {at}H{high:.1}M{low:.1} {:.1}v8M{high:.1} {:.1}v8"/></g>"#,
            at - 4.0,
            at - 4.0
        );
    }
    let at = x(score.threshold);
    let _ = write!(
        svg,
        r#"<line class="limit" x1="{at:.1}" x2="{at:.1}" y1="{:.1}" y2="{:.1}"/>"#,
        Y - 6.0,
        Y + 16.0
    );
    let label = format!("threshold {}", number(score.threshold));
    let half = 3.0 * label.chars().count() as f64;
    let _ = write!(
        svg,
        r#"<text class="tick mid" x="{:.1}" y="{:.1}">{label}</text>"#,
        at.clamp(half, WIDTH - half),
        Y + 29.0
    );
    let text = format!("score {}", number(score.score));
    let half = 3.2 * text.chars().count() as f64;
    let _ = write!(
        svg,
        r#"<text class="value mid" x="{:.1}" y="{:.1}">{text}</text></svg>"#,
        x(score.score).clamp(X + half, WIDTH - half),
        Y - 9.0
    );
    svg
}

/// The gauge of a table row.
pub(super) fn meter(score: &FeatureScore, verdict: &str) -> String {
    const W: f64 = 120.0;
    if !is_drawable(score) {
        return String::new();
    }
    let end = scale_end(score);
    let x = |value: f64| W * (value / end).clamp(0.0, 1.0);
    let (noise, limit) = (x(score.noise_floor), x(score.threshold));
    let mut svg =
        format!(r#"<svg class="meter" viewBox="0 0 {W} 16" width="{W}" height="16" aria-hidden="true">"#);
    let _ = write!(svg, r#"<rect class="rail" x="0" y="5" width="{W}" height="6" rx="3"/>"#);
    let _ = write!(
        svg,
        r#"<rect class="score {verdict}" x="0" y="5" width="{:.1}" height="6" rx="3"/>"#,
        x(score.score).max(2.0)
    );
    if noise > 0.0 {
        let _ = write!(svg, r#"<rect class="noise" x="0" y="5" width="{noise:.1}" height="6"/>"#);
    }
    let _ = write!(svg, r#"<line class="limit" x1="{limit:.1}" x2="{limit:.1}" y1="1" y2="15"/></svg>"#);
    svg
}

fn open(height: f64, title: &str) -> String {
    format!(r#"<svg class="figure" viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{title}">"#)
}
