//! JSON (RFC 8259) as a tree with places. Stricter than the standard in three things: no key twice, no number beyond the
//! finite ones, at most sixteen levels.

use super::tree::{Entry, Fault, MAX_DEPTH, Node, Value, check_keys};

/// Reads a text as one JSON value. O(n).
pub(super) fn parse(text: &str) -> Result<Node, Fault> {
    let mut reader = Reader { text, at: if text.starts_with('\u{feff}') { 3 } else { 0 } };
    let node = reader.value(0)?;
    reader.blank();
    match reader.at == text.len() {
        true => Ok(node),
        false => Err(Fault::new(reader.at, "expected nothing after the value")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        self.blank();
        match self.take(byte) {
            true => Ok(()),
            false => Err(Fault::new(self.at, format!("expected `{}`", char::from(byte)))),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, Fault> {
        self.blank();
        let at = self.at;
        if depth > MAX_DEPTH {
            return Err(Fault::new(at, format!("is nested more than {MAX_DEPTH} levels deep")));
        }
        let value = match self.peek() {
            Some(b'{') => self.table(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.literal()?,
        };
        Ok(Node { at, value })
    }

    fn literal(&mut self) -> Result<Value, Fault> {
        let words = [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)];
        let rest = self.rest();
        let found = words.into_iter().find(|(word, _)| rest.starts_with(word));
        let (word, value) = found.ok_or_else(|| Fault::new(self.at, "expected a value"))?;
        self.at += word.len();
        Ok(value)
    }

    fn list(&mut self, depth: usize) -> Result<Value, Fault> {
        self.at += 1;
        let mut nodes = Vec::new();
        self.blank();
        if self.take(b']') {
            return Ok(Value::List(nodes));
        }
        loop {
            nodes.push(self.value(depth + 1)?);
            self.blank();
            if !self.take(b',') {
                self.expect(b']')?;
                return Ok(Value::List(nodes));
            }
        }
    }

    fn table(&mut self, depth: usize) -> Result<Value, Fault> {
        self.at += 1;
        let mut entries = Vec::new();
        self.blank();
        if self.take(b'}') {
            return Ok(Value::Table(entries));
        }
        loop {
            self.blank();
            let at = self.at;
            if self.peek() != Some(b'"') {
                return Err(Fault::new(at, "expected a key in quotes"));
            }
            let key = self.string()?;
            self.expect(b':')?;
            let value = self.value(depth + 1)?;
            entries.push(Entry { at, key, value });
            self.blank();
            if !self.take(b',') {
                self.expect(b'}')?;
                check_keys(&entries)?;
                return Ok(Value::Table(entries));
            }
        }
    }

    fn digits(&mut self) -> usize {
        let before = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - before
    }

    fn number(&mut self) -> Result<Value, Fault> {
        let start = self.at;
        let fault = |message: &str| Err(Fault::new(start, message));
        self.take(b'-');
        let zero = self.peek() == Some(b'0');
        match self.digits() {
            0 => return fault("expected a number"),
            n if zero && n > 1 => return fault("a number does not begin with 0"),
            _ => {}
        }
        let mut whole = true;
        if self.take(b'.') {
            whole = false;
            if self.digits() == 0 {
                return fault("expected a digit after the point");
            }
        }
        if self.take(b'e') || self.take(b'E') {
            whole = false;
            let _ = self.take(b'+') || self.take(b'-');
            if self.digits() == 0 {
                return fault("expected a digit in the exponent");
            }
        }
        let shown = self.text.get(start..self.at).unwrap_or_default();
        if whole {
            if let Ok(value) = shown.parse() {
                return Ok(Value::Unsigned(value));
            }
            if let Ok(value) = shown.parse() {
                return Ok(Value::Signed(value));
            }
        }
        match shown.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Value::Float(value)),
            _ => fault("is beyond every number"),
        }
    }

    fn string(&mut self) -> Result<String, Fault> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let Some(c) = self.rest().chars().next() else {
                return Err(Fault::new(self.at, "expected a closing quote"));
            };
            let at = self.at;
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(out),
                '\\' => out.push(self.escape(at)?),
                c if c < ' ' => return Err(Fault::new(at, "has a control character in a text")),
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self, at: usize) -> Result<char, Fault> {
        let unknown = || Fault::new(at, "has an escape that is not known");
        let letter = self.peek().ok_or_else(unknown)?;
        self.at += usize::from(letter.is_ascii());
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex(at)?;
                let paired = (0xd800..0xdc00).contains(&high) && self.rest().starts_with("\\u");
                let code = if paired {
                    self.at += 2;
                    let low = self.hex(at)?.wrapping_sub(0xdc00);
                    if low >= 0x400 { high } else { 0x1_0000 + ((high - 0xd800) << 10) + low }
                } else {
                    high
                };
                char::from_u32(code).ok_or_else(|| Fault::new(at, "has half of a surrogate pair"))?
            }
            _ => return Err(unknown()),
        })
    }

    fn hex(&mut self, at: usize) -> Result<u32, Fault> {
        let digits = self.rest().get(..4).filter(|four| four.bytes().all(|b| b.is_ascii_hexdigit()));
        let digits = digits.ok_or_else(|| Fault::new(at, "expected four hexadecimal digits"))?;
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| Fault::new(at, "expected four hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(v) => (*v).into(),
            Value::Unsigned(v) => (*v).into(),
            Value::Signed(v) => (*v).into(),
            Value::Float(v) => (*v).into(),
            Value::Text(v) => v.as_str().into(),
            Value::List(v) => v.iter().map(plain).collect(),
            Value::Table(v) => v.iter().map(|e| (e.key.clone(), plain(&e.value))).collect(),
        }
    }

    #[test]
    fn what_is_json_reads_as_serde_json_reads_it_and_the_rest_is_refused() {
        let texts = [
            "1",
            "-0",
            "0.5e-3",
            "1E+2",
            "18446744073709551615",
            "-9223372036854775808",
            "18446744073709551616",
            "0.1",
            "2.2250738585072014e-308",
            "true",
            "null",
            "\"\"",
            r#""\ud83d\ude00\u00e9\n\/""#,
            "[]",
            "{}",
            " [1 , {\"a\" : [ ] } ]\n",
            r#"{"a":{"b":[true,false]},"c":"é"}"#,
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "--1",
            "nan",
            "Infinity",
            "1e400",
            "-",
            "\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\u{1}\"",
            "\"\\u12g4\"",
            "\"\\u+123\"",
            "[1,]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "1 2",
            "",
            " ",
            "tru",
            "'a'",
            "[",
            "{\"a\":",
            "\u{feff}",
            "\"\\é\"",
            "\"\\u00é\"",
        ];
        for text in texts {
            let ours = parse(text).map(|node| plain(&node)).ok();
            assert_eq!(ours, serde_json::from_str(text).ok(), "{text}");
        }
        // Here we are stricter.
        for text in ["{\"a\":1,\"a\":2}".to_owned(), "[".repeat(18) + &"]".repeat(18)] {
            assert!(parse(&text).is_err() && serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }
        assert!(parse("\u{feff}1").is_ok());
    }
}
