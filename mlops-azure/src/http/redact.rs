//! Text from outside without the secrets in it.

use mlops_core::governance::Secret;

/// What stands in place of a secret.
const HIDDEN: &str = "(secret)";

/// How the names of secrets end in the texts that Azure's services write, in lower case and without `_` and `-`: as members of JSON, as
/// parts of a connection string, as parameters of a query, as headers.
const NAMES: [&str; 18] = [
    "accountkey",
    "sharedaccesskey",
    "sharedaccesssignature",
    "instrumentationkey",
    "primarykey",
    "secondarykey",
    "subscriptionkey",
    "functionskey",
    "apikey",
    "saskey",
    "secret",
    "clientassertion",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "sastoken",
    "password",
    "pwd",
];

/// The longest name that is looked at.
const LONGEST: usize = 64;

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
    escape(&hide_after_names(&hide_after_bearer(&out)), limit)
}

/// A text of any length without what looks like a secret, and with no user, query or fragment in the addresses in it.
pub(crate) fn addresses(text: &str) -> String {
    const MARK: &str = "://";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.find(MARK) {
        let (before, after) = rest.split_at(found + MARK.len());
        out.push_str(before);
        let ends = |c: char| {
            c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | ',' | ';' | ')' | ']' | '}')
        };
        let (address, behind) = after.split_at(after.find(ends).unwrap_or(after.len()));
        let (path, query) = address.split_at(address.find(['?', '#']).unwrap_or(address.len()));
        let (host, path) = path.split_at(path.find('/').unwrap_or(path.len()));
        // What is before the last `@` is a user; in `abfss` and `wasbs` it is a container, which may be told.
        match host.rsplit_once('@') {
            Some((_, host)) if !before.ends_with("abfss://") && !before.ends_with("wasbs://") => {
                out.push_str(HIDDEN);
                out.push('@');
                out.push_str(host);
            }
            _ => out.push_str(host),
        }
        out.push_str(path);
        if let Some(mark) = query.chars().next() {
            out.push(mark);
            if query.len() > 1 {
                out.push_str(HIDDEN);
            }
        }
        rest = behind;
    }
    out.push_str(rest);
    hide_after_names(&hide_after_bearer(&out))
}

/// The text with the value after each name of a secret hidden: after `=` or `:`, with spaces and quotes around them or without.
fn hide_after_names(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (at, sign) in text.char_indices().filter(|(_, c)| matches!(c, '=' | ':')) {
        let after = text.get(at + 1..).unwrap_or_default();
        // What lies in a value that is hidden already is no name.
        let Some(before) = text.get(done..at).filter(|before| ends_in_name(before, sign)) else { continue };
        let (skipped, length) = value(after);
        if length > 0 {
            out.push_str(before);
            out.push(sign);
            out.push_str(after.get(..skipped).unwrap_or_default());
            out.push_str(HIDDEN);
            done = at + 1 + skipped + length;
        }
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

/// Whether what stands before a sign ends in the name of a secret, in any case and in quotes or not.
fn ends_in_name(before: &str, sign: char) -> bool {
    let before = before.trim_end_matches([' ', '"', '\'', '\\']);
    let is_part = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let word: Vec<char> = before.chars().rev().take(LONGEST).take_while(is_part).collect();
    let letters = word.iter().rev().filter(|c| c.is_ascii_alphanumeric());
    let name: String = letters.map(char::to_ascii_lowercase).collect();
    match name.as_str() {
        "sig" => true,
        // In a query it is the key of a function; elsewhere it says what went wrong.
        "code" => sign == '=' && before.trim_end_matches(|c| is_part(&c)).ends_with(['?', '&']),
        name => NAMES.iter().any(|known| name.ends_with(known)),
    }
}

/// How many characters stand before a value, and how long it is: up to the quote that ends it, or up to a character that no secret
/// has.
fn value(text: &str) -> (usize, usize) {
    let inner = text.trim_start_matches([' ', '\\']);
    let skipped = text.len() - inner.len();
    match inner.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        Some(quote) => {
            let inner = inner.get(1..).unwrap_or_default();
            let end = inner.find(quote).unwrap_or(inner.len());
            // A quote that is itself escaped ends with its backslash.
            let value = inner.get(..end).unwrap_or_default().trim_end_matches('\\');
            (skipped + 1, value.len())
        }
        None => (skipped, inner.find(|c: char| !is_secret_character(c)).unwrap_or(inner.len())),
    }
}

/// The text with what follows `Bearer` hidden.
fn hide_after_bearer(text: &str) -> String {
    const MARK: &str = "bearer ";
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(found) = lower.get(from..).and_then(|rest| rest.find(MARK)) {
        let start = from + found + MARK.len();
        let rest = text.get(start..).unwrap_or_default();
        let length = rest.find(|c: char| !is_secret_character(c)).unwrap_or(rest.len());
        out.push_str(text.get(from..start).unwrap_or_default());
        if length > 0 {
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
            r#"{"access_token" : "hunter2hunter2"}"#,
            r#"{"accessToken": "hunter2hunter2", "expiryTimeUtc": 1}"#,
            r#"{\"access_token\": \"hunter2hunter2\"}"#,
            r#"{"primaryKey":"hunter2hunter2","secondaryKey":"hunter2hunter2"}"#,
            "{'clientSecret': 'hunter2 hunter2; hunter2'}",
            "https://f.azurewebsites.net/api/score?code=hunter2hunter2==",
            "https://f.azurewebsites.net/api/score?a=1&Code=hunter2hunter2",
            "x-functions-key: hunter2hunter2",
            "Ocp-Apim-Subscription-Key: hunter2hunter2",
            "ApiKey = hunter2hunter2",
            "SharedAccessSignature = sr=hunter2hunter2",
            "Password='hunter2 hunter2'",
            "refresh_token:hunter2hunter2",
            "sasToken: \"?sv=1&sig=hunter2hunter2\"",
            "MSI_SECRET=hunter2hunter2",
            "sig : hunter2hunter2",
        ] {
            let out = text(shown, &[], 500);
            assert!(!out.contains("hunter2") && out.contains(HIDDEN), "{shown} -> {out}");
        }
        assert_eq!(text("a signal = b", &[], 100), "a signal = b");
        assert_eq!(text("sig=&x", &[], 100), "sig=&x");
        for plain in [
            "status code=404, Code: Conflict",
            "the password is wrong",
            "sv=2023&sr=c",
            "https://sa.blob.core.windows.net/c: not found",
            "api-version=2026-05-01",
            "keys: 3, tokens: 5",
            "=:=:",
            "sig",
            "sig=",
            "é=sig",
        ] {
            assert_eq!(text(plain, &[], 200), plain);
        }
        assert_eq!(text("sig=(secret)&se=1", &[], 100), "sig=(secret)&se=1");
        let twice = text(r#"{"primaryKey":"hunter2"} sig=hunter2"#, &[], 100);
        assert_eq!(text(&twice, &[], 100), twice);
    }

    #[test]
    fn a_text_is_short_and_on_one_line() {
        let out = text(&"é\n".repeat(1_000_000), &[], 50);
        assert!(out.chars().count() <= 51 && out.ends_with('…') && !out.contains('\n'));
        assert_eq!(text("", &[Secret::new("")], 10), "");
    }
}
