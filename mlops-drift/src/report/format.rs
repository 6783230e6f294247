//! Numbers and names as people read them.

use mlops_core::monitor::FeatureScore;

/// A number with three significant digits.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "not a number".to_owned();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-3..1e5).contains(&magnitude) {
        return crate::detector::short(format!("{value:.2e}").parse().unwrap_or(value));
    }
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    (rounded + 0.0).to_string()
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    if !share.is_finite() {
        return "not a number".to_owned();
    }
    let percent = share * 100.0;
    match percent.abs() {
        0.0 => "0 %".to_owned(),
        p if p < 0.05 => "< 0.1 %".to_owned(),
        p if p < 9.95 => trimmed(format!("{percent:.1}")),
        p if p < 99.5 => format!("{percent:.0} %"),
        p if p < 100.0 => "> 99 %".to_owned(),
        _ => format!("{percent:.0} %"),
    }
}

fn trimmed(text: String) -> String {
    format!("{} %", text.strip_suffix(".0").unwrap_or(&text))
}

/// A count with its thousands apart.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A p-value, by its logarithm where it is too small to write.
pub(super) fn p_value(p: f64, ln_p: Option<f64>) -> String {
    if p >= 0.001 || p.is_nan() {
        return number(p);
    }
    let log10 = match ln_p.filter(|ln_p| ln_p.is_finite()) {
        Some(ln_p) => ln_p / std::f64::consts::LN_10,
        None if p > 0.0 => p.log10(),
        None => return "0".to_owned(),
    };
    let exponent = log10.floor();
    // 9.96 rounds to 10.0: one more in the exponent.
    let mantissa = format!("{:.1}", 10_f64.powf(log10 - exponent));
    match mantissa.as_str() {
        "10.0" => format!("1.0e{}", exponent + 1.0),
        mantissa => format!("{mantissa}e{exponent}"),
    }
}

/// The adjusted p-value of a feature. Its logarithm is not adjusted, so that where the adjusted one is too small to write the
/// plain one is not shown in its place.
pub(super) fn adjusted(score: &FeatureScore) -> Option<String> {
    score
        .adjusted_p_value
        .filter(|q| !q.is_nan())
        .map(|q| if q > 0.0 { p_value(q, None) } else { "< 1e-300".to_owned() })
}

/// Text between tags or in an attribute in double quotes: markup is escaped, and what could not be seen is made visible.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A name that comes from data: invisible characters shown, bounded, and escaped.
pub(super) fn name(text: &str) -> String {
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    escape(&mlops_core::error::quote(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_easily() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.12345, "0.123"),
            (12.345, "12.3"),
            (99_999.0, "100000"),
            (123_456.0, "123000"),
            (1.5e-7, "1.5e-7"),
            (f64::NAN, "not a number"),
        ] {
            assert_eq!(number(value), text);
        }
        for (share, text) in [
            (0.0, "0 %"),
            (0.0001, "< 0.1 %"),
            (0.0312, "3.1 %"),
            (0.05, "5 %"),
            (0.25, "25 %"),
            (0.9999, "> 99 %"),
            (1.0, "100 %"),
            (3.0, "300 %"),
        ] {
            assert_eq!(percent(share), text);
        }
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(count),
            ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]
        );
    }

    #[test]
    fn p_values_have_no_smallest_one() {
        for (p, ln_p, text) in [
            (0.05, None, "0.05"),
            (1.0, None, "1"),
            (1.26e-4, None, "1.3e-4"),
            (9.96e-5, None, "1.0e-4"),
            (0.0, Some(-2302.585092994046), "1.0e-1000"),
            (0.0, None, "0"),
        ] {
            assert_eq!(p_value(p, ln_p), text, "{p} {ln_p:?}");
        }
    }

    #[test]
    fn markup_stays_text() {
        assert_eq!(name("<b onclick='x'>&\"\n"), "&lt;b onclick=&#39;x&#39;&gt;&amp;&quot;\\n");
        assert_eq!(name(""), "(empty)");
    }
}
