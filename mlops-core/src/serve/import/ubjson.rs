//! UBJSON (draft 12), as far as XGBoost writes it: a reader for serde.
//!
//! Every number is big-endian. A container may name the type and the count of its elements first. Refused: high-precision numbers, types
//! without a payload as the type of a container (a few bytes would be a billion elements), depths over 64, bytes after the end.

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};

const MAX_DEPTH: usize = 64;

/// What is wrong, and at which byte.
#[derive(Debug, thiserror::Error)]
#[error("{message} at byte {at}")]
pub(super) struct Fault {
    pub(super) at: usize,
    message: String,
}

impl de::Error for Fault {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self { at: 0, message: message.to_string() }
    }
}

/// Reads a value, and nothing but it.
pub(super) fn from_slice<T: de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    let mut reader = Reader { bytes, at: 0, depth: 0 };
    let value = T::deserialize(&mut reader).map_err(|mut fault| {
        if fault.at == 0 {
            fault.at = reader.at;
        }
        fault
    })?;
    if reader.at != bytes.len() {
        return Err(reader.fault("there is something after the end"));
    }
    Ok(value)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault { at: self.at, message: message.into() }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.fault("the file ends within a value"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The marker of a value; markers that mean nothing are passed.
    fn marker(&mut self) -> Result<u8, Fault> {
        loop {
            match self.byte()? {
                b'N' => {}
                marker => return Ok(marker),
            }
        }
    }

    fn whole(&mut self, marker: u8) -> Result<i64, Fault> {
        Ok(match marker {
            b'i' => i8::from_be_bytes(self.array()?).into(),
            b'U' => self.byte()?.into(),
            b'I' => i16::from_be_bytes(self.array()?).into(),
            b'l' => i32::from_be_bytes(self.array()?).into(),
            b'L' => i64::from_be_bytes(self.array()?),
            _ => return Err(self.fault("a whole number is expected")),
        })
    }

    fn length(&mut self) -> Result<usize, Fault> {
        let marker = self.marker()?;
        let length = self.whole(marker)?;
        let length = usize::try_from(length).ok().filter(|length| *length <= self.bytes.len() - self.at);
        length.ok_or_else(|| self.fault("a length is negative or beyond the file"))
    }

    fn text(&mut self) -> Result<&'a str, Fault> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.fault("a text is not UTF-8"))
    }

    /// What a container says about its elements.
    fn header(&mut self) -> Result<(Option<u8>, Option<usize>), Fault> {
        let mut kind = None;
        if self.peek() == Some(b'$') {
            self.at += 1;
            let marker = self.byte()?;
            if !b"iUIlLdDCS[{".contains(&marker) {
                return Err(self.fault("no container has elements of this type"));
            }
            kind = Some(marker);
        }
        if self.peek() == Some(b'#') {
            self.at += 1;
            return Ok((kind, Some(self.length()?)));
        }
        if kind.is_some() {
            return Err(self.fault("a container with a type needs a count"));
        }
        Ok((None, None))
    }

    fn value<'de, V: Visitor<'de>>(&mut self, marker: u8, visitor: V) -> Result<V::Value, Fault> {
        match marker {
            b'Z' => visitor.visit_unit(),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'd' => visitor.visit_f32(f32::from_be_bytes(self.array()?)),
            b'D' => visitor.visit_f64(f64::from_be_bytes(self.array()?)),
            b'C' => visitor.visit_char(char::from(self.byte()?)),
            b'S' => visitor.visit_str(self.text()?),
            b'[' | b'{' => {
                if self.depth >= MAX_DEPTH {
                    return Err(self.fault("containers lie too deep"));
                }
                self.depth += 1;
                let (kind, left) = self.header()?;
                let list = marker == b'[';
                let items = Items { reader: self, kind, left, close: if list { b']' } else { b'}' } };
                let value = if list { visitor.visit_seq(items) } else { visitor.visit_map(items) }?;
                self.depth -= 1;
                Ok(value)
            }
            b'i' | b'U' | b'I' | b'l' | b'L' => visitor.visit_i64(self.whole(marker)?),
            _ => Err(self.fault("a byte is no type of value")),
        }
    }
}

struct Items<'r, 'a> {
    reader: &'r mut Reader<'a>,
    kind: Option<u8>,
    left: Option<usize>,
    close: u8,
}

impl Items<'_, '_> {
    /// Whether there is one more.
    fn more(&mut self) -> Result<bool, Fault> {
        if let Some(left) = &mut self.left {
            let more = *left > 0;
            *left = left.saturating_sub(1);
            return Ok(more);
        }
        while self.reader.peek() == Some(b'N') {
            self.reader.at += 1;
        }
        if self.reader.peek() == Some(self.close) {
            self.reader.at += 1;
            self.left = Some(0);
            return Ok(false);
        }
        Ok(true)
    }

    fn next<'de, T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let marker = match self.kind {
            Some(kind) => kind,
            None => self.reader.marker()?,
        };
        seed.deserialize(One { reader: self.reader, marker })
    }
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        if self.more()? { self.next(seed).map(Some) } else { Ok(None) }
    }

    fn size_hint(&self) -> Option<usize> {
        self.left
    }
}

impl<'de> MapAccess<'de> for Items<'_, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        if !self.more()? {
            return Ok(None);
        }
        let key = self.reader.text()?;
        seed.deserialize(de::value::StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        self.next(seed)
    }
}

/// A value whose marker has been read.
struct One<'r, 'a> {
    reader: &'r mut Reader<'a>,
    marker: u8,
}

impl<'de> de::Deserializer<'de> for One<'_, '_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.reader.value(self.marker, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.marker == b'Z' { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> de::Deserializer<'de> for &mut Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let marker = self.marker()?;
        self.value(marker, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
