//! Patterns of text, compiled under limits.
//!
//! The crate `regex` is used because it promises linear time in the length of the text for every pattern: a pattern may come
//! from a file, and one like `(a+)+$` stops an engine that backtracks.

use regex::{Regex, RegexBuilder};

use crate::error::quote;

/// The longest pattern, in bytes.
pub(super) const MAX_BYTES: usize = 1_000;

/// The most patterns of one set of expectations: each may take a mebibyte.
pub(super) const MAX_PATTERNS: usize = 256;

/// The pattern, from the first to the last character of a text.
///
/// The sentence of an error quotes what the parser says about the pattern.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > MAX_BYTES {
        return Err(format!("must have at most {MAX_BYTES} bytes, has {}", pattern.len()));
    }
    // Alone first: `a)(b` would be one pattern inside the brackets.
    let build = |text: &str| {
        let mut builder = RegexBuilder::new(text);
        builder.size_limit(1 << 20).dfa_size_limit(1 << 20).nest_limit(50).build()
    };
    let sentence = |error: regex::Error| {
        let shown = match error {
            regex::Error::CompiledTooBig(_) => "needs more than a mebibyte when compiled".to_owned(),
            // The last line says what is wrong; those above draw the pattern.
            error => error.to_string().lines().last().unwrap_or_default().trim().to_owned(),
        };
        format!("is no pattern: {}", quote(shown.strip_prefix("error: ").unwrap_or(&shown)))
    };
    build(pattern).map_err(sentence)?;
    build(&format!("\\A(?:{pattern})\\z")).map_err(sentence)
}

/// What is wrong with a pattern, as a clause.
pub(super) fn fault(pattern: &str) -> Option<String> {
    compile(pattern).err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_about_the_whole_text() {
        let either = compile("ab|c").unwrap();
        assert!(either.is_match("ab") && either.is_match("c"));
        assert!(!either.is_match("abc") && !either.is_match("c\n"));
        assert!(compile(r"\d{3}").unwrap().is_match("123"));
    }

    #[test]
    fn hostile_patterns_are_refused_with_a_sentence() {
        for (pattern, part) in [
            ("(", "unclosed group"),
            ("a)(b", "unopened group"),
            ("(?=a)", "look-around"),
            ("[z-a]", "invalid character class range"),
            (&"x".repeat(1_001), "at most 1000 bytes"),
            (r"(\w{100}){100}", "mebibyte"),
            (&"(".repeat(400), "group"),
        ] {
            let message = compile(pattern).unwrap_err();
            assert!(message.contains(part), "{pattern}: {message}");
        }
    }

    #[test]
    fn a_pattern_that_would_backtrack_for_ever_is_answered() {
        assert!(!compile("(a+)+").unwrap().is_match(&format!("{}!", "a".repeat(100_000))));
    }
}
