//! SQL's patterns: `%` is any number of characters, `_` exactly one, there is no escape.

/// Whether the whole text follows the pattern, with case.
pub(super) fn like(pattern: &str, text: &str) -> bool {
    follows(pattern, text, |p, t| p == t)
}

/// Whether the whole text follows the pattern; ASCII letters in either case.
pub(super) fn ilike(pattern: &str, text: &str) -> bool {
    follows(pattern, text, |p, t| p.eq_ignore_ascii_case(&t))
}

/// Where the last `%` was seen: what follows it in the pattern, and the text it has not swallowed yet.
struct Retry<'p, 't> {
    pattern: &'p str,
    text: &'t str,
}

/// Reads pattern and text side by side. Where they part, the last `%` swallows one character more; an earlier one need not be
/// asked again, since whatever it could swallow the last one can, too.
fn follows(mut pattern: &str, mut text: &str, same: impl Fn(char, char) -> bool) -> bool {
    let mut retry: Option<Retry<'_, '_>> = None;
    loop {
        let (mut wanted, mut given) = (pattern.chars(), text.chars());
        match (wanted.next(), given.next()) {
            (Some('%'), _) => {
                pattern = wanted.as_str();
                // A `%` at the end covers whatever is left.
                if pattern.is_empty() {
                    return true;
                }
                retry = Some(Retry { pattern, text });
            }
            (Some(p), Some(t)) if p == '_' || same(p, t) => {
                (pattern, text) = (wanted.as_str(), given.as_str())
            }
            (None, None) => return true,
            // The text ended first: swallowing more of it cannot help.
            (_, None) => return false,
            _ => {
                let Some(last) = &mut retry else { return false };
                let mut rest = last.text.chars();
                if rest.next().is_none() {
                    return false;
                }
                last.text = rest.as_str();
                (pattern, text) = (last.pattern, last.text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_the_whole_text() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("%", "", true),
            ("%%", "abc", true),
            ("_", "", false),
            ("_", "ä", true),
            ("__", "ä", false),
            ("a%", "abc", true),
            ("%c", "abc", true),
            ("%b", "abc", false),
            ("b%", "abc", false),
            ("%b%", "abc", true),
            ("a_c", "abc", true),
            ("a%_", "a", false),
            ("%ab%abc", "ababababc", true),
            ("%a_c%a", "abcaacxa", true),
            ("A%", "abc", false),
            // No escape: a backslash is a backslash, and what follows it is what it is.
            (r"100\%", "100%", false),
            (r"100\%", r"100\ and more", true),
            ("a%b", "a\nb", true),
            ("a_b", "a\0b", true),
        ] {
            assert_eq!(like(pattern, text), expected, "{text:?} like {pattern:?}");
        }
    }

    #[test]
    fn case_is_ignored_for_ascii_alone() {
        assert!(ilike("ResNet%", "rESnET-50"));
        assert!(ilike("%ß_", "aßB"));
        assert!(!ilike("É", "é"));
        assert!(!ilike("k", "\u{212a}"), "the Kelvin sign");
    }

    #[test]
    fn many_wildcards_do_not_multiply() {
        // By way of backtracking into every `%` this would take 2^100 steps.
        let text = "a".repeat(10_000);
        assert!(!like(&format!("{}b", "%a".repeat(300)), &text));
        assert!(like(&"%a".repeat(300), &text));
    }
}
