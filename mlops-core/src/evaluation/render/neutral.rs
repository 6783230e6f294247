//! Text from anywhere, made harmless.

use crate::error::needs_escape;

/// The longest text that is shown, in characters.
const LONGEST: usize = 2_000;

/// The text on one line, without anything invisible: control, bidirectional and zero-width characters and what is no character
/// at all are written as `\u{…}`; what is too long is cut.
pub(super) fn visible(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(LONGEST) {
        if needs_escape(c) || is_nothing(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

/// Code points that Unicode keeps free of characters, and those for private use, of which nobody knows what they show.
fn is_nothing(c: char) -> bool {
    let code = u32::from(c);
    code & 0xfffe == 0xfffe
        || matches!(code, 0xfdd0..=0xfdef | 0xe000..=0xf8ff | 0xf_0000..)
        // Variation selectors, which carry whole hidden texts.
        || matches!(code, 0xfe00..=0xfe0f | 0xe_0100..=0xe_01ef)
}

/// Every character as `replace` says, the others as they are.
pub(super) fn replaced(text: &str, replace: impl Fn(char) -> Option<&'static str>) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match replace(c) {
            Some(piece) => out.push_str(piece),
            None => out.push(c),
        }
    }
    out
}

/// Logs of build services act on `##vso[` and `##[` wherever they stand in a line: no two `#` stay together.
pub(super) fn without_commands(text: &str) -> String {
    let mut out = text.to_owned();
    while out.contains("##") {
        out = out.replace("##", "# #");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_invisible_stays() {
        assert_eq!(visible("a\nb\u{1b}[31m\u{202e}\u{feff}é漢🙂"), r"a\nb\u{1b}[31m\u{202e}\u{feff}é漢🙂");
        assert_eq!(visible("\u{fffe}\u{e000}\u{fe0f}\0\u{85}"), r"\u{fffe}\u{e000}\u{fe0f}\u{0}\u{85}");
        assert_eq!(visible(&"x".repeat(3_000)).chars().count(), 2_001);
    }

    #[test]
    fn no_command_survives() {
        for (text, shown) in [("##vso[x]", "# #vso[x]"), ("###[error]", "# # #[error]"), ("# a", "# a")] {
            assert_eq!(without_commands(text), shown);
        }
    }
}
