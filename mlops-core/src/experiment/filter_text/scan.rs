//! Reads a text from left to right, each character once, and knows where it stands when something is wrong.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// Which text is read, for errors: the operation and the argument's name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) operation: &'static str,
    pub(super) argument: &'static str,
}

/// A place in a text. Places count bytes here, and characters in errors.
#[derive(Debug)]
pub(super) struct Scanner<'t> {
    text: &'t str,
    at: usize,
    source: Source,
}

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t str, source: Source) -> Self {
        let mut scanner = Self { text, at: 0, source };
        scanner.skip_space();
        scanner
    }

    /// Where it stands.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// The characters from here on for which `wanted` holds; what follows is not skipped.
    pub(super) fn run(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let length = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// Takes one character, if it is the next, and nothing else.
    pub(super) fn take(&mut self, wanted: char) -> bool {
        let taken = self.rest().starts_with(wanted);
        if taken {
            self.at += wanted.len_utf8();
        }
        taken
    }

    /// Takes a symbol, if it is next, and the space after it.
    pub(super) fn symbol(&mut self, wanted: &str) -> bool {
        let taken = self.rest().starts_with(wanted);
        if taken {
            self.at += wanted.len();
            self.skip_space();
        }
        taken
    }

    /// Takes a word in any case, if it is next and ends there, and the space after it.
    pub(super) fn word(&mut self, wanted: &str) -> bool {
        let taken = self.sees_word(wanted);
        if taken {
            self.at += wanted.len();
            self.skip_space();
        }
        taken
    }

    fn sees_word(&self, wanted: &str) -> bool {
        let rest = self.rest();
        let Some((head, tail)) = rest.split_at_checked(wanted.len()) else { return false };
        head.eq_ignore_ascii_case(wanted) && !tail.starts_with(is_word)
    }

    /// Takes several words, if all of them are next.
    pub(super) fn words(&mut self, wanted: &[&str]) -> bool {
        let start = self.at;
        let taken = wanted.iter().all(|word| self.word(word));
        if !taken {
            self.at = start;
        }
        taken
    }

    /// Takes a word and an opening parenthesis, as in `min(`.
    pub(super) fn call(&mut self, name: &str) -> bool {
        let start = self.at;
        let taken = self.word(name) && self.symbol("(");
        if !taken {
            self.at = start;
        }
        taken
    }

    /// Skips the space here.
    pub(super) fn end_of_token(&mut self) {
        self.skip_space();
    }

    /// A text between two of these quotes, if one is next; a doubled quote stands for one of them. The space after it is
    /// not skipped.
    pub(super) fn quoted(&mut self, quotes: &[char]) -> Result<Option<Cow<'t, str>>> {
        let start = self.at;
        let Some(quote) = self.peek().filter(|c| quotes.contains(c)) else { return Ok(None) };
        self.at += quote.len_utf8();
        let mut text = Cow::Borrowed("");
        loop {
            let rest = self.rest();
            let Some((piece, _)) = rest.split_once(quote) else {
                return Err(self.fault(start, "a closing quote for the one that opens here"));
            };
            self.at += piece.len() + quote.len_utf8();
            if text.is_empty() {
                text = Cow::Borrowed(piece);
            } else {
                text.to_mut().push_str(piece);
            }
            if !self.take(quote) {
                return Ok(Some(text));
            }
            text.to_mut().push(quote);
        }
    }

    /// The error that something else was expected at a place.
    pub(super) fn fault(&self, place: usize, expected: &str) -> Error {
        self.complaint(place, format!("expected {expected}"))
    }

    /// The error that says what is wrong at a place, and what stands there.
    pub(super) fn complaint(&self, place: usize, message: impl Into<String>) -> Error {
        let (before, after) = self.text.split_at_checked(place).unwrap_or((self.text, ""));
        let found: String = after.chars().take(24).collect();
        let error = Error::invalid(self.source.operation, self.source.argument, message)
            .with("position", before.chars().count());
        if found.is_empty() { error.with("found", "the end") } else { error.with("found", found) }
    }

    /// The error that a documented limit is exceeded at a place.
    pub(super) fn excess(&self, place: usize, what: &'static str, limit: usize) -> Error {
        let before = self.text.get(..place).unwrap_or_default();
        Error::limit(self.source.operation, what, limit, "more").with("position", before.chars().count())
    }

    /// The text from a place to here.
    pub(super) fn since(&self, place: usize) -> &'t str {
        self.text.get(place..self.at).unwrap_or_default()
    }
}

/// What a word is made of.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
