//! Text from outside without the secrets in it.

use mlops_core::governance::Secret;

/// What stands in place of a secret.
const HIDDEN: &str = "(secret)";

/// What comes before a secret in the texts that Azure's services write, in lower case.
const MARKS: [&str; 11] = [
    "sig=",
    "bearer ",
    "accountkey=",
    "sharedaccesskey=",
    "sharedaccesssignature=",
    "instrumentationkey=",
    "client_secret=",
    "client_assertion=",
    "access_token=",
    "\"access_token\":\"",
    "password=",
];

/// A text without the given secrets and without what looks like one, on one line, of at most `limit` characters.
///
/// ```
/// use mlops_azure::http::redact;
/// use mlops_core::governance::Secret;
/// let text = "cannot read https://sa.blob.core.windows.net/c?sv=1&sig=aGk%3D with hunter2\nat line 1";
/// let shown = redact::text(text, &[Secret::new("hunter2")], 200);
/// assert_eq!(shown, r"cannot read https://sa.blob.core.windows.net/c?sv=1&sig=(secret) with (secret)\nat line 1");
/// ```
pub fn text(text: &str, secrets: &[Secret], limit: usize) -> String {
    // Whoever sends a megabyte gets a part of it read.
    let end = text.char_indices().nth(limit.saturating_mul(4)).map_or(text.len(), |(at, _)| at);
    let mut out = text.get(..end).unwrap_or_default().to_owned();
    for secret in secrets.iter().map(Secret::expose).filter(|s| s.len() > 3) {
        if out.contains(secret) {
            out = out.replace(secret, HIDDEN);
        }
    }
    for mark in MARKS {
        out = hide_after(&out, mark);
    }
    escape(&out, limit)
}

/// The text with what follows each `mark` hidden, up to a character that no secret has.
fn hide_after(text: &str, mark: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(found) = lower.get(from..).and_then(|rest| rest.find(mark)) {
        let start = from + found + mark.len();
        let rest = text.get(start..).unwrap_or_default();
        let length = rest.find(|c: char| !is_secret_character(c)).unwrap_or(rest.len());
        out.push_str(text.get(from..start).unwrap_or_default());
        if length > 0 && !rest.starts_with(HIDDEN) {
            out.push_str(HIDDEN);
        }
        from = start + length;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

/// Characters of Base64 in both alphabets, of percent-encoding and of tokens.
fn is_secret_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '%' | '-' | '_' | '.' | '~' | '!')
}

/// Escapes what could forge a log line, and cuts.
fn escape(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut written = 0;
    for c in text.chars() {
        let piece = mlops_core::error::quote(c.encode_utf8(&mut [0; 4]));
        let width = piece.chars().count();
        if written + width > limit {
            out.push('…');
            break;
        }
        written += width;
        out.push_str(&piece);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_hidden() {
        for shown in [
            "https://h/p?sig=hunter2hunter2&se=1",
            "Authorization: Bearer hunter2hunter2",
            "AUTHORIZATION: BEARER hunter2hunter2",
            "DefaultEndpointsProtocol=https;AccountKey=hunter2hunter2==;x",
            "client_secret=hunter2hunter2&grant_type=x",
            r#"{"access_token":"hunter2hunter2"}"#,
            "sig=sig=hunter2hunter2",
        ] {
            let out = text(shown, &[], 500);
            assert!(!out.contains("hunter2") && out.contains(HIDDEN), "{shown} -> {out}");
        }
        assert_eq!(text("a signal = b", &[], 100), "a signal = b");
        assert_eq!(text("sig=&x", &[], 100), "sig=&x");
    }

    #[test]
    fn a_text_is_short_and_on_one_line() {
        let out = text(&"é\n".repeat(1_000_000), &[], 50);
        assert!(out.chars().count() <= 51 && out.ends_with('…') && !out.contains('\n'));
        assert_eq!(text("", &[Secret::new("")], 10), "");
    }
}
