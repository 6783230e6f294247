//! A profile as one HTML page.

use std::fmt::Write as _;

use crate::data::schema::type_name;
use crate::error::needs_escape;

use super::summary::{ColumnProfile, Correlation, Histogram, NumericProfile, Profile};

const STYLE: &str = include_str!("page.css");

/// The most columns that have a card; the table at the top has all of them.
const MAX_CARDS: usize = 500;

/// The most correlations listed.
const MAX_CORRELATIONS: usize = 50;

impl Profile {
    /// The profile as one HTML page that needs nothing else: no network, no other file, no script. Names and values from the data
    /// are escaped, and control, bidirectional and invisible characters are shown by their code.
    ///
    /// The page shows values of the data: the most frequent ones of each column.
    ///
    /// ```
    /// use mlops_core::data::{Column, Profile, Table};
    ///
    /// let table = Table::new(vec![Column::text("<script>", ["a & b", "c"])?])?;
    /// let page = Profile::of(&table)?.html("Patients");
    /// assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"));
    /// assert!(page.contains("a &amp; b"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn html(&self, title: &str) -> String {
        let title = escape(title);
        let mut page = String::with_capacity(8_192 + 4_096 * self.columns.len().min(MAX_CARDS));
        // Writing to a String cannot fail.
        let _ = write!(
            page,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
             <main>\n<section class=\"hero\">\n<p class=\"over\">data profile</p>\n<h1>{title}</h1>\n<dl class=\"stats\">"
        );
        let missing: u64 = self.columns.iter().map(|column| column.missing).sum();
        let cells = self.rows.saturating_mul(self.columns.len() as u64);
        let duplicates = self.duplicates.map_or_else(|| "not counted".to_owned(), count);
        for (what, value) in [
            ("rows", count(self.rows)),
            ("columns", count(self.columns.len() as u64)),
            ("missing values", percent(missing, cells)),
            ("repeated rows", duplicates),
            ("alerts", count(self.alerts.len() as u64)),
        ] {
            let _ = write!(page, "<div><dt>{what}</dt><dd>{value}</dd></div>");
        }
        page.push_str("</dl>\n</section>\n");
        self.alert_list(&mut page);
        self.table(&mut page);
        page.push_str("<h2>Column by column</h2>\n<div class=\"cards\">\n");
        let cards = self.columns.iter().enumerate().take(MAX_CARDS);
        cards.for_each(|(at, column)| card(&mut page, at, column, self));
        page.push_str("</div>\n");
        if self.columns.len() > MAX_CARDS {
            let more = count((self.columns.len() - MAX_CARDS) as u64);
            let _ = writeln!(page, "<p class=\"quiet\">{more} more columns are in the table only.</p>");
        }
        correlations(&mut page, &self.correlations);
        let sampled = if self.sample_rows < self.rows {
            format!(
                "Quantiles, histograms, ranks, and what is marked with ≈ come from {} rows drawn at random.",
                count(self.sample_rows)
            )
        } else {
            "Every number is computed from all rows, unless it is marked with ≈.".to_owned()
        };
        let _ = write!(page, "<footer><p>{sampled}</p></footer>\n</main>\n</body>\n</html>\n");
        page
    }

    fn alert_list(&self, page: &mut String) {
        if self.alerts.is_empty() {
            return;
        }
        page.push_str("<h2>Worth a look</h2>\n<ul class=\"alerts\">\n");
        for alert in &self.alerts {
            let _ = writeln!(
                page,
                "<li><span class=\"pill\">{}</span> {}</li>",
                alert.kind.as_str(),
                escape(&alert.message)
            );
        }
        page.push_str("</ul>\n");
    }

    fn table(&self, page: &mut String) {
        page.push_str(
            "<h2>Columns</h2>\n<div class=\"panel\"><table>\n<thead><tr><th>column</th><th>type</th><th class=\"num\">missing</th>\
             <th class=\"num\">different</th><th class=\"num\">mean</th><th class=\"num\">minimum</th><th class=\"num\">maximum</th>\
             </tr></thead>\n<tbody>\n",
        );
        for (at, column) in self.columns.iter().enumerate() {
            let numeric = column.numeric.as_ref();
            let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), number);
            let _ = writeln!(
                page,
                "<tr><td><a href=\"#c{at}\">{}</a></td><td>{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td>\
                 <td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td></tr>",
                escape(&column.name),
                type_name(column.data_type),
                percent(column.missing, self.rows),
                distinct(column),
                shown(numeric.and_then(|n| n.mean)),
                shown(numeric.and_then(|n| n.min)),
                shown(numeric.and_then(|n| n.max)),
            );
        }
        page.push_str("</tbody></table></div>\n");
    }
}

fn card(page: &mut String, at: usize, column: &ColumnProfile, profile: &Profile) {
    let _ = write!(
        page,
        "<article class=\"card\" id=\"c{at}\">\n<header><h3>{}</h3><span class=\"quiet\">{}</span></header>\n",
        escape(&column.name),
        type_name(column.data_type)
    );
    let about = profile.alerts.iter().filter(|alert| alert.columns.contains(&column.name));
    let pills: Vec<String> =
        about.map(|alert| format!("<span class=\"pill\">{}</span>", alert.kind.as_str())).collect();
    if !pills.is_empty() {
        let _ = writeln!(page, "<p>{}</p>", pills.join(" "));
    }
    if let Some(histogram) = column.numeric.as_ref().and_then(|numeric| numeric.histogram.as_ref()) {
        draw(page, histogram, &escape(&column.name));
    }
    let mut facts = vec![
        ("values", count(column.count)),
        ("missing", percent(column.missing, profile.rows)),
        ("different", distinct(column)),
    ];
    if let Some(numeric) = &column.numeric {
        facts.extend(numbers(numeric));
    }
    if let Some(text) = &column.text {
        facts.push(("shortest", count(text.min_length)));
        facts.push(("longest", count(text.max_length)));
        facts.push(("mean length", number(text.mean_length)));
        facts.push(("empty texts", count(text.empty)));
    }
    if let Some(time) = column.time {
        let shown = |time: Option<chrono::DateTime<chrono::Utc>>, micros: i64| {
            time.map_or_else(|| format!("{micros} µs"), |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
        };
        facts.push(("first", shown(time.min(), time.min_micros)));
        facts.push(("last", shown(time.max(), time.max_micros)));
    }
    page.push_str("<dl class=\"facts\">");
    for (what, value) in facts {
        let _ = write!(page, "<div><dt>{what}</dt><dd>{value}</dd></div>");
    }
    page.push_str("</dl>\n");
    top(page, column);
    page.push_str("</article>\n");
}

fn numbers(numeric: &NumericProfile) -> Vec<(&'static str, String)> {
    let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), number);
    let mut facts = vec![
        ("mean", shown(numeric.mean)),
        ("standard deviation", shown(numeric.variance.map(f64::sqrt))),
        ("skewness", shown(numeric.skewness)),
        ("zeros", count(numeric.zeros)),
        ("below zero", count(numeric.negative)),
    ];
    let infinite = numeric.positive_infinite + numeric.negative_infinite;
    for (what, times) in [("NaN", numeric.nan), ("infinite", infinite)] {
        if times > 0 {
            facts.push((what, count(times)));
        }
    }
    let mark = if numeric.rank_error > 0.0 { "≈ " } else { "" };
    for (share, value) in &numeric.quantiles {
        let what = match *share {
            0.05 => "5 %",
            0.25 => "25 %",
            0.5 => "median",
            0.75 => "75 %",
            0.95 => "95 %",
            _ => continue,
        };
        facts.push((what, format!("{mark}{}", number(*value))));
    }
    facts
}

fn top(page: &mut String, column: &ColumnProfile) {
    // A list of numbers that all come once tells nothing.
    let most = column.top.first().map_or(0, |top| top.count);
    if most < 2 && column.numeric.is_some() {
        return;
    }
    let mark = if column.distinct.exact { "" } else { "≈ " };
    page.push_str("<table class=\"top\"><tbody>\n");
    for top in &column.top {
        let share = 100.0 * top.count as f64 / column.count.max(1) as f64;
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td class=\"bar\"><i style=\"width:{:.1}%\"></i></td><td class=\"num\">{mark}{}</td></tr>",
            escape(&top.value),
            share.min(100.0),
            count(top.count)
        );
    }
    page.push_str("</tbody></table>\n");
}

/// `name` is escaped.
fn draw(page: &mut String, histogram: &Histogram, name: &str) {
    const WIDTH: f64 = 300.0;
    const HEIGHT: f64 = 80.0;
    let most = histogram.counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let width = WIDTH / histogram.counts.len().max(1) as f64;
    let _ = write!(
        page,
        "<svg class=\"figure\" viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-label=\"histogram of {name}\">",
        HEIGHT + 16.0
    );
    for (at, times) in histogram.counts.iter().enumerate() {
        let height = HEIGHT * *times as f64 / most;
        let _ = write!(
            page,
            "<rect x=\"{:.2}\" y=\"{:.2}\" width=\"{:.2}\" height=\"{height:.2}\"><title>{}</title></rect>",
            at as f64 * width,
            HEIGHT - height,
            (width - 1.0).max(0.5),
            count(*times)
        );
    }
    let _ = writeln!(
        page,
        "<text x=\"0\" y=\"{y:.0}\">{}</text><text class=\"end\" x=\"{WIDTH}\" y=\"{y:.0}\">{}</text></svg>",
        number(histogram.low),
        number(histogram.high),
        y = HEIGHT + 12.0
    );
}

fn correlations(page: &mut String, all: &[Correlation]) {
    if all.is_empty() {
        return;
    }
    let mut strongest: Vec<&Correlation> = all.iter().collect();
    strongest.sort_by(|a, b| b.value.abs().total_cmp(&a.value.abs()));
    page.push_str(
        "<h2>How columns hang together</h2>\n<div class=\"panel\"><table>\n<thead><tr><th>one</th><th>the other</th>\
         <th>measure</th><th class=\"num\">value</th><th class=\"num\">rows</th></tr></thead>\n<tbody>\n",
    );
    for pair in strongest.iter().take(MAX_CORRELATIONS) {
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"num\">{:.3}</td><td class=\"num\">{}</td></tr>",
            escape(&pair.a),
            escape(&pair.b),
            pair.kind.as_str(),
            pair.value,
            count(pair.rows)
        );
    }
    page.push_str("</tbody></table></div>\n");
    if all.len() > MAX_CORRELATIONS {
        let _ = writeln!(
            page,
            "<p class=\"quiet\">The {MAX_CORRELATIONS} strongest of {}.</p>",
            count(all.len() as u64)
        );
    }
}

fn distinct(column: &ColumnProfile) -> String {
    let mark = if column.distinct.exact { "" } else { "≈ " };
    format!("{mark}{}", count(column.distinct.count))
}

/// Digits in groups of three.
fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

fn percent(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0 %".to_owned();
    }
    let share = 100.0 * part as f64 / whole as f64;
    if share < 0.1 { "&lt; 0.1 %".to_owned() } else { format!("{share:.1} %") }
}

fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-3..1e6).contains(&size) {
        let digits = if size >= 100.0 { 1 } else { 3 };
        let shown = format!("{value:.digits$}");
        return shown.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    format!("{value:.3e}")
}

/// A text that may stand anywhere in the page; at most 200 characters of it.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(1_000));
    for c in text.chars().take(200) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if needs_escape(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    if text.chars().nth(200).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_the_data_is_markup() {
        let hostile = "<img src=x onerror=alert(1)>\u{202e}\u{0}'\"&";
        let shown = escape(hostile);
        assert!(!shown.contains(['<', '>', '"', '\'', '\u{202e}', '\u{0}']), "{shown}");
        assert!(escape(&"x".repeat(500)).chars().count() == 201);
    }

    #[test]
    fn numbers_are_short() {
        for (value, shown) in
            [(0.0, "0"), (1234.5678, "1234.6"), (0.25, "0.25"), (1e9, "1.000e9"), (-1e-9, "-1.000e-9")]
        {
            assert_eq!(number(value), shown);
        }
        assert_eq!((count(1_234_567).as_str(), count(12).as_str()), ("1\u{202f}234\u{202f}567", "12"));
        assert_eq!((percent(1, 3), percent(1, 100_000)), ("33.3 %".to_owned(), "&lt; 0.1 %".to_owned()));
    }
}
