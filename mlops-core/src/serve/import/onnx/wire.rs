//! Protocol buffers, as far as a graph of ONNX needs them.
//!
//! A message is fields of a number and a wire type: 0 a varint, 1 eight bytes, 2 a length and bytes, 5 four bytes. Lengths are checked
//! against what is left, so nothing is allocated for what is not there; depth is that of the reader's own calls.

/// What is wrong, and at which byte of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at byte {at}")]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: &'static str,
}

/// A field's value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field<'a> {
    Varint(u64),
    Eight([u8; 8]),
    Four([u8; 4]),
    Bytes(Message<'a>),
}

/// Bytes of a message, and where in the file they begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) begin: usize,
}

impl<'a> Message<'a> {
    /// The fields in their order.
    pub(super) fn fields(self) -> Fields<'a> {
        Fields { message: self, at: 0 }
    }

    pub(super) fn fault(self, message: &'static str) -> Fault {
        Fault { at: self.begin, message }
    }

    pub(super) fn text(self) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.bytes).map_err(|_| self.fault("a text is not UTF-8"))
    }

    /// Packed varints.
    pub(super) fn varints(self) -> Result<Vec<i64>, Fault> {
        let mut fields = self.fields();
        let mut all = Vec::new();
        while fields.at < self.bytes.len() {
            all.push(fields.varint()?.cast_signed());
        }
        Ok(all)
    }

    /// Packed numbers of four bytes.
    pub(super) fn floats(self) -> Result<Vec<f32>, Fault> {
        let (chunks, rest) = self.bytes.as_chunks();
        if !rest.is_empty() {
            return Err(self.fault("a list of numbers ends within one"));
        }
        Ok(chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    /// Packed numbers of eight bytes.
    pub(super) fn doubles(self) -> Result<Vec<f64>, Fault> {
        let (chunks, rest) = self.bytes.as_chunks();
        if !rest.is_empty() {
            return Err(self.fault("a list of numbers ends within one"));
        }
        Ok(chunks.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    }
}

#[derive(Debug)]
pub(super) struct Fields<'a> {
    message: Message<'a>,
    at: usize,
}

impl<'a> Fields<'a> {
    fn fault(&self, message: &'static str) -> Fault {
        Fault { at: self.message.begin + self.at, message }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.message.bytes.len());
        let end = end.ok_or_else(|| self.fault("a field is longer than its message"))?;
        let taken = &self.message.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?.first().copied().unwrap_or_default();
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.fault("a number is longer than ten bytes"))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn field(&mut self) -> Result<(u64, Field<'a>), Fault> {
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Eight(self.array()?),
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                let begin = self.message.begin + self.at;
                Field::Bytes(Message { bytes: self.take(length)?, begin })
            }
            5 => Field::Four(self.array()?),
            _ => return Err(self.fault("a field has no known type")),
        };
        Ok((key >> 3, field))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.message.bytes.len() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.at = self.message.bytes.len();
        }
        Some(field)
    }
}
