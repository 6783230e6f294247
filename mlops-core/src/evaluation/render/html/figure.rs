//! The pictures of the page: small SVGs, coloured by the style sheet of the page so that they follow light and dark.

use std::fmt::Write as _;

use super::super::neutral::visible;
use super::escape;
use crate::evaluation::subject::show;

/// Units across; a phone shows them at nine tenths of their size, so that labels of 11 units stay readable.
const WIDTH: f64 = 300.0;

/// What a letter of a label takes at most, on average.
const LETTER: f64 = 6.6;

/// A number held against its bounds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ruler {
    pub(super) value: f64,
    pub(super) interval: Option<(f64, f64)>,
    /// The smallest value allowed.
    pub(super) low: Option<f64>,
    /// The largest value allowed.
    pub(super) high: Option<f64>,
    /// Another number to compare with, and what it is called.
    pub(super) other: Option<(String, f64)>,
}

/// A part of the rows, and what was measured on it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dot {
    pub(super) label: String,
    pub(super) value: f64,
    pub(super) interval: Option<(f64, f64)>,
}

/// From numbers to places.
struct Scale {
    from: f64,
    span: f64,
    left: f64,
    width: f64,
}

impl Scale {
    /// Over the numbers with some air on both sides; nothing when no finite scale holds them.
    fn over(numbers: impl Iterator<Item = f64>, left: f64, right: f64) -> Option<Self> {
        let (low, high) = numbers
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let air = if high > low { 0.12 * (high - low) } else { 0.1 * high.abs().max(1e-300) };
        let (from, span) = (low - air, high - low + 2.0 * air);
        let sound = from.is_finite() && span.is_finite() && span > 0.0 && (from + span).is_finite();
        sound.then_some(Self { from, span, left, width: right - left })
    }

    fn x(&self, value: f64) -> f64 {
        self.left + self.width * ((value - self.from) / self.span).clamp(0.0, 1.0)
    }
}

fn finite(interval: Option<(f64, f64)>) -> Option<(f64, f64)> {
    interval.filter(|(low, high)| low.is_finite() && high.is_finite() && low <= high)
}

fn ends(interval: Option<(f64, f64)>) -> impl Iterator<Item = f64> {
    interval.into_iter().flat_map(|(low, high)| [low, high])
}

/// `label` is a sentence for those who do not see the picture, already escaped.
fn open(height: f64, label: &str) -> String {
    format!(
        r#"<svg class="figure" viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{label}"><title>{label}</title>"#
    )
}

/// A word centred at `x`, moved as far as it takes to be inside.
fn word(svg: &mut String, class: &str, x: f64, y: f64, word: &str) {
    let half = (LETTER / 2.0 * word.chars().count() as f64).min(WIDTH / 2.0);
    let x = x.clamp(half, WIDTH - half);
    let _ = write!(svg, r#"<text class="{class} mid" x="{x:.1}" y="{y:.1}">{word}</text>"#);
}

fn whisker(svg: &mut String, low: f64, high: f64, y: f64) {
    let (top, foot) = (y - 5.0, y + 5.0);
    let _ = write!(
        svg,
        r#"<path class="whisker" d="M{low:.1} {y}H{high:.1}M{low:.1} {top}V{foot}M{high:.1} {top}V{foot}"/>"#
    );
}

impl Ruler {
    /// The value as a dot with its interval, on a rail that is red where the value may not be; nothing when there is only the
    /// value, or a number is not finite.
    pub(super) fn draw(&self, label: &str) -> Option<String> {
        const Y: f64 = 28.0;
        let (low, high) = (self.low.filter(|v| v.is_finite()), self.high.filter(|v| v.is_finite()));
        let other = self.other.as_ref().filter(|(_, value)| value.is_finite());
        let interval = finite(self.interval);
        if !self.value.is_finite() || (low, high, other, interval) == (None, None, None, None) {
            return None;
        }
        let theirs = other.map(|(_, value)| *value);
        let numbers = [Some(self.value), low, high, theirs].into_iter().flatten().chain(ends(interval));
        let scale = Scale::over(numbers, 4.0, WIDTH - 4.0)?;
        let rows = [low, high, theirs].iter().flatten().count() as f64;
        let mut svg = open(Y + 12.0 + 15.0 * rows, label);
        let (first, last) = (4.0, WIDTH - 4.0);
        let _ = write!(
            svg,
            r#"<rect class="rail" x="{first}" y="{}" width="{}" height="6" rx="3"/>"#,
            Y - 3.0,
            last - first
        );
        let forbidden = [low.map(|low| (first, scale.x(low))), high.map(|high| (scale.x(high), last))];
        for (from, to) in forbidden.into_iter().flatten() {
            let _ = write!(
                svg,
                r#"<rect class="bad" x="{from:.1}" y="{}" width="{:.1}" height="6"/>"#,
                Y - 3.0,
                (to - from).max(0.0)
            );
        }
        let mut row = Y + 22.0;
        for (bound, words) in [(low, "at least"), (high, "at most")] {
            let Some(bound) = bound else { continue };
            let x = scale.x(bound);
            let _ = write!(
                svg,
                r#"<line class="limit" x1="{x:.1}" x2="{x:.1}" y1="{}" y2="{}"/>"#,
                Y - 8.0,
                row - 10.0
            );
            word(&mut svg, "tick", x, row, &format!("{words} {}", show(bound, self.value)));
            row += 15.0;
        }
        if let Some((low, high)) = interval {
            whisker(&mut svg, scale.x(low), scale.x(high), Y);
        }
        if let Some((name, value)) = other {
            let x = scale.x(*value);
            let _ = write!(svg, r#"<path class="other" d="M{x:.1} {}l5 5l-5 5l-5 -5z"/>"#, Y - 5.0);
            word(&mut svg, "tick", x, row, &format!("{} {}", clipped(name, 20), show(*value, self.value)));
        }
        let x = scale.x(self.value);
        let _ = write!(svg, r#"<circle class="dot" cx="{x:.1}" cy="{Y}" r="5"/>"#);
        let near = low.or(high).or(theirs).unwrap_or(f64::NAN);
        word(&mut svg, "value", x, Y - 13.0, &show(self.value, near));
        svg.push_str("</svg>");
        Some(svg)
    }
}

/// A dot with its interval for each part, over the value of the whole as a dashed line; nothing when there is nothing finite.
pub(super) fn dots(parts: &[Dot], whole: Option<f64>, label: &str) -> Option<String> {
    const ROW: f64 = 22.0;
    const NAMES: f64 = 108.0;
    const VALUES: f64 = 52.0;
    let parts: Vec<&Dot> = parts.iter().filter(|part| part.value.is_finite()).collect();
    let whole = whole.filter(|whole| whole.is_finite());
    let numbers = parts.iter().flat_map(|part| ends(finite(part.interval)).chain([part.value]));
    let scale = Scale::over(numbers.chain(whole), NAMES, WIDTH - VALUES)?;
    if parts.is_empty() {
        return None;
    }
    let foot = ROW * parts.len() as f64;
    let mut svg = open(foot + if whole.is_some() { 18.0 } else { 4.0 }, label);
    if let Some(whole) = whole {
        let x = scale.x(whole);
        let _ = write!(svg, r#"<line class="whole" x1="{x:.1}" x2="{x:.1}" y1="0" y2="{foot}"/>"#);
        word(&mut svg, "tick", x, foot + 13.0, &format!("all rows {}", show(whole, f64::NAN)));
    }
    for (at, part) in parts.into_iter().enumerate() {
        let y = ROW * at as f64 + ROW / 2.0;
        let _ = write!(
            svg,
            r#"<text class="level" x="0" y="{:.1}">{}</text>"#,
            y + 4.0,
            clipped(&part.label, 15)
        );
        if let Some((low, high)) = finite(part.interval) {
            whisker(&mut svg, scale.x(low), scale.x(high), y);
        }
        let _ = write!(
            svg,
            r#"<circle class="dot" cx="{:.1}" cy="{y}" r="4"/><text class="tick end" x="{WIDTH}" y="{:.1}">{}</text>"#,
            scale.x(part.value),
            y + 4.0,
            show(part.value, f64::NAN)
        );
    }
    svg.push_str("</svg>");
    Some(svg)
}

/// At most so many characters of a name, made visible and escaped.
fn clipped(name: &str, most: usize) -> String {
    let shown = visible(name);
    if shown.chars().count() <= most {
        return escape(&shown);
    }
    escape(&shown.chars().take(most - 1).chain(['…']).collect::<String>())
}

/// How many criteria passed, failed and wait, as one bar.
pub(super) fn tally(parts: &[(&str, usize)], label: &str) -> String {
    let all: usize = parts.iter().map(|(_, count)| count).sum();
    let mut svg = format!(
        r#"<svg class="tally" viewBox="0 0 {all} 8" preserveAspectRatio="none" role="img" aria-label="{label}">"#
    );
    let mut x = 0;
    for (tone, count) in parts.iter().filter(|(_, count)| *count > 0) {
        let _ = write!(svg, r#"<rect class="{tone}" x="{x}" y="0" width="{count}" height="8"/>"#);
        x += count;
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruler(value: f64) -> Ruler {
        Ruler { value, interval: None, low: Some(0.75), high: None, other: None }
    }

    #[test]
    fn a_ruler_says_its_numbers_on_their_side_of_the_bound() {
        let svg = ruler(0.749_999_9).draw("auc").unwrap();
        assert!(svg.contains(">at least 0.75<") && svg.contains(">0.7499999<"), "{svg}");
        let (dot, limit) = (place(&svg, "cx=\""), place(&svg, "x1=\""));
        assert!(dot <= limit, "{svg}");
        let svg = Ruler { interval: Some((0.7, 0.9)), ..ruler(0.8) }.draw("auc").unwrap();
        assert!(place(&svg, "cx=\"") > place(&svg, "x1=\""), "{svg}");
    }

    fn place(svg: &str, attribute: &str) -> f64 {
        svg.split_once(attribute).unwrap().1.split_once('"').unwrap().0.parse().unwrap()
    }

    #[test]
    fn what_has_no_finite_scale_has_no_picture() {
        for value in [f64::NAN, f64::INFINITY, -f64::MAX] {
            assert_eq!(Ruler { low: Some(f64::MAX), ..ruler(value) }.draw("x"), None);
        }
        assert_eq!(Ruler { low: None, ..ruler(1.0) }.draw("x"), None, "a value alone says nothing");
        let part = |value| Dot { label: "a".to_owned(), value, interval: None };
        assert_eq!(dots(&[part(f64::NAN)], Some(1.0), "x"), None);
        assert_eq!(dots(&[], None, "x"), None);
        for value in [0.0, -0.0, 1e-320, f64::MIN_POSITIVE, 1e300] {
            let svg = dots(&[part(value), part(value)], Some(value), "x").unwrap_or_default();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{value}: {svg}");
        }
    }

    #[test]
    fn names_in_pictures_stay_names() {
        let part = Dot { label: "<script>".to_owned(), value: 1.0, interval: Some((0.0, 2.0)) };
        let svg = dots(&[part], None, "x").unwrap();
        assert!(svg.contains("&lt;script&gt;"), "{svg}");
        let other = Some(("\"<i>".to_owned(), 1.0));
        let svg = Ruler { other, ..ruler(1.0) }.draw("x").unwrap();
        assert!(svg.contains("&quot;&lt;i&gt;") && !svg.contains("<i>"), "{svg}");
    }
}
