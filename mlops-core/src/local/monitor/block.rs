//! The rows of one call of `observe` as bytes: columns one after the other, nothing lost.
//!
//! ```text
//! "mlob" 1 | rows u64 | ids: rows × text | kind u8, rows × f64 | columns u32 × column | CRC-32 of all before u32
//! column   = name text | type u8 | has validity u8, [rows bits] | values
//! values   = rows × f64 / f32 / i64 / bool u8  or  levels u32 × text, rows × code u32
//! text     = bytes u32, UTF-8
//! ```
//! Numbers are little endian. Floating-point numbers keep every bit, also the payload of a NaN and what lies in the slot of a
//! missing value. Of categories that have more levels than rows, the levels that nobody uses are left out.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::data::{Column, DataType, Table, Validity, Values};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Predictions;

const MAGIC: &[u8; 5] = b"mlob\x01";

/// What a block holds.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) ids: Vec<String>,
    pub(super) features: Table<'static>,
    pub(super) predictions: Predictions,
}

impl Rows {
    /// Only these rows.
    pub(super) fn take(&self, rows: &[usize]) -> Result<Self> {
        Ok(Self {
            ids: rows.iter().map(|&row| self.ids[row].clone()).collect(),
            features: self.features.take(rows)?,
            predictions: crate::monitor::compute::pick(&self.predictions, rows)?,
        })
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        encode(&self.ids, &self.features, &self.predictions)
    }
}

/// Writes rows whose parts have one length.
pub(super) fn encode(ids: &[String], features: &Table<'_>, predictions: &Predictions) -> Result<Vec<u8>> {
    let mut out = Writer(MAGIC.to_vec());
    out.bytes(&(ids.len() as u64).to_le_bytes());
    for id in ids {
        out.text(id)?;
    }
    let kind = match predictions {
        Predictions::Probability(_) => 0,
        Predictions::Value(_) => 1,
        Predictions::Classes(_) => {
            return Err(Error::unsupported("Monitor::observe", "predictions of several classes"));
        }
    };
    out.bytes(&[kind]);
    out.numbers(predictions.as_slice(), f64::to_le_bytes);
    out.count(features.columns().len())?;
    for column in features.columns() {
        out.column(column)?;
    }
    let sum = crc32fast::hash(&out.0);
    out.bytes(&sum.to_le_bytes());
    Ok(out.0)
}

struct Writer(Vec<u8>);

impl Writer {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn count(&mut self, count: usize) -> Result<()> {
        let limit = |_| Error::limit("Monitor::observe", "a part of the rows", u32::MAX, count);
        self.bytes(&u32::try_from(count).map_err(limit)?.to_le_bytes());
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<()> {
        self.count(text.len())?;
        self.bytes(text.as_bytes());
        Ok(())
    }

    fn numbers<T: Copy, const N: usize>(&mut self, numbers: &[T], bytes: impl Fn(T) -> [u8; N]) {
        self.0.reserve(numbers.len() * N);
        numbers.iter().for_each(|number| self.0.extend_from_slice(&bytes(*number)));
    }

    fn column(&mut self, column: &Column<'_>) -> Result<()> {
        self.text(column.name())?;
        self.bytes(&[code(column.data_type()), u8::from(column.validity().is_some())]);
        if column.validity().is_some() {
            self.bits((0..column.len()).map(|row| column.is_valid(row)));
        }
        match column.values() {
            Values::F64(v) => self.numbers(v, f64::to_le_bytes),
            Values::F32(v) => self.numbers(v, f32::to_le_bytes),
            Values::I64(v) | Values::Time(v) => self.numbers(v, i64::to_le_bytes),
            Values::Bool(v) => self.numbers(v, |b| [u8::from(b)]),
            Values::Category { codes, levels } if levels.len() > codes.len() => {
                let (codes, levels) = used(column, codes, levels);
                self.categories(&codes, &levels)?;
            }
            Values::Category { codes, levels } => self.categories(codes, levels)?,
        }
        Ok(())
    }

    fn categories<S: AsRef<str>>(&mut self, codes: &[u32], levels: &[S]) -> Result<()> {
        self.count(levels.len())?;
        for level in levels {
            self.text(level.as_ref())?;
        }
        self.numbers(codes, u32::to_le_bytes);
        Ok(())
    }

    fn bits(&mut self, bits: impl Iterator<Item = bool>) {
        let bits: Vec<bool> = bits.collect();
        let byte = |eight: &[bool]| eight.iter().rev().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit));
        self.0.extend(bits.chunks(8).map(byte));
    }
}

/// The levels in use, in order of first use, and the codes by which they are used now.
fn used<'a>(column: &Column<'_>, codes: &[u32], levels: &'a [String]) -> (Vec<u32>, Vec<&'a str>) {
    let (mut seen, mut kept) = (HashMap::new(), Vec::new());
    let mut renumber = |(row, code): (usize, &u32)| {
        let level = usize::try_from(*code).ok().and_then(|code| levels.get(code));
        let Some(level) = level.filter(|_| column.is_valid(row)) else { return 0 };
        // There are no more levels in use than codes, and those are numbered by 32 bits.
        let next = u32::try_from(kept.len()).unwrap_or(u32::MAX);
        *seen.entry(*code).or_insert_with(|| {
            kept.push(level.as_str());
            next
        })
    };
    let codes = codes.iter().enumerate().map(&mut renumber).collect();
    (codes, kept)
}

const fn code(data_type: DataType) -> u8 {
    match data_type {
        DataType::F64 => 0,
        DataType::F32 => 1,
        DataType::I64 => 2,
        DataType::Bool => 3,
        DataType::Category => 4,
        DataType::Time => 5,
    }
}

/// Reads what [`encode`] wrote. Memory is bounded by a small multiple of the bytes, whatever they say.
pub(super) fn decode(bytes: &[u8]) -> Result<Rows> {
    let (body, sum) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged("it is too short"))?;
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return Err(damaged("its checksum is wrong"));
    }
    let mut input = Reader(body);
    if input.array()? != *MAGIC {
        return Err(damaged("it is of another kind or version"));
    }
    let rows = usize::try_from(u64::from_le_bytes(input.array()?)).map_err(|_| damaged("it is too long"))?;
    let ids = input.list(rows, Reader::text)?;
    let [kind] = input.array()?;
    let numbers = input.numbers(rows, f64::from_le_bytes)?;
    let predictions = match kind {
        0 => Predictions::Probability(numbers),
        1 => Predictions::Value(numbers),
        _ => return Err(damaged("it has predictions of an unknown kind")),
    };
    let columns = input.count()?;
    let columns = input.list(columns, |input| input.column(rows))?;
    if !input.0.is_empty() {
        return Err(damaged("it has something at its end"));
    }
    Ok(Rows { ids, features: table(columns, rows)?, predictions })
}

/// A table of these columns; without columns there still are rows.
fn table(columns: Vec<Column<'static>>, rows: usize) -> Result<Table<'static>> {
    let unreadable = |e: Error| damaged("its columns do not fit together").with_source(e);
    if !columns.is_empty() {
        return Table::new(columns).map_err(unreadable);
    }
    let stand_in = Column::bool("rows", vec![false; rows]).map_err(unreadable)?;
    Ok(Table::new(vec![stand_in]).map_err(unreadable)?.without(&["rows"]))
}

fn damaged(why: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, "Monitor::check", "a block of observations is damaged").with("reason", why)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or_else(|| damaged("it ends early"))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk().ok_or_else(|| damaged("it ends early"))?;
        self.0 = rest;
        Ok(*array)
    }

    fn count(&mut self) -> Result<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| damaged("it is too long"))
    }

    fn text(&mut self) -> Result<String> {
        let count = self.count()?;
        let text = std::str::from_utf8(self.bytes(count)?);
        text.map(str::to_owned).map_err(|e| damaged("it holds text that is none").with_source(e))
    }

    /// Grows as it is read: a count that is wrong does not reserve anything.
    fn list<T>(&mut self, count: usize, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut list = Vec::with_capacity(count.min(self.0.len() / 4));
        for _ in 0..count {
            list.push(item(self)?);
        }
        Ok(list)
    }

    fn numbers<T, const N: usize>(&mut self, count: usize, read: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
        let length = count.checked_mul(N).ok_or_else(|| damaged("it is too long"))?;
        let (chunks, _) = self.bytes(length)?.as_chunks::<N>();
        Ok(chunks.iter().map(|chunk| read(*chunk)).collect())
    }

    fn column(&mut self, rows: usize) -> Result<Column<'static>> {
        let name = self.text()?;
        let [code, has_validity] = self.array()?;
        let validity = match has_validity {
            0 => None,
            _ => Some(Validity::new(self.bytes(rows.div_ceil(8))?.to_vec(), 0, rows)?),
        };
        let values = match code {
            0 => Values::F64(self.numbers(rows, f64::from_le_bytes)?.into()),
            1 => Values::F32(self.numbers(rows, f32::from_le_bytes)?.into()),
            2 => Values::I64(self.numbers(rows, i64::from_le_bytes)?.into()),
            3 => Values::Bool(self.numbers(rows, |[byte]| byte != 0)?.into()),
            4 => {
                let levels = self.count()?;
                let levels = self.list(levels, Self::text)?;
                let codes = Cow::Owned(self.numbers(rows, u32::from_le_bytes)?);
                Values::Category { codes, levels: levels.into() }
            }
            5 => Values::Time(self.numbers(rows, i64::from_le_bytes)?.into()),
            _ => return Err(damaged("it has a column of an unknown type")),
        };
        Column::new(name, values, validity)
            .map_err(|e| damaged("it has a column that is none").with_source(e))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(rows: usize) -> impl Strategy<Value = Values<'static>> {
        let bits = prop::collection::vec(any::<u64>(), rows);
        let small = prop::collection::vec(any::<u32>(), rows);
        let whole = prop::collection::vec(any::<i64>(), rows);
        prop_oneof![
            bits.prop_map(|v| Values::F64(v.into_iter().map(f64::from_bits).collect())),
            small.prop_map(|v| Values::F32(v.into_iter().map(f32::from_bits).collect())),
            whole.clone().prop_map(|v| Values::I64(v.into())),
            whole.prop_map(|v| Values::Time(v.into())),
            prop::collection::vec(any::<bool>(), rows).prop_map(|v| Values::Bool(v.into())),
            (1..20_usize, any::<u64>()).prop_flat_map(move |(levels, salt)| {
                let code = 0..u32::try_from(levels).unwrap();
                prop::collection::vec(code, rows).prop_map(move |codes| {
                    let text = |i| format!("{}\0é{i}", salt % 7);
                    Values::Category { codes: codes.into(), levels: (0..levels).map(text).collect() }
                })
            }),
        ]
    }

    fn rows() -> impl Strategy<Value = (Vec<String>, Table<'static>, Predictions)> {
        (0..40_usize).prop_flat_map(|rows| {
            let column = (values(rows), prop::option::of(prop::collection::vec(any::<bool>(), rows)));
            let ids = prop::collection::vec("\\PC{1,12}", rows);
            let said = (any::<bool>(), prop::collection::vec(any::<u64>(), rows));
            (ids, prop::collection::vec(column, 0..6), said).prop_map(move |(ids, columns, (kind, said))| {
                let columns = columns.into_iter().enumerate().map(|(i, (values, valid))| {
                    let validity = valid.map(|valid| Validity::from_bools(&valid));
                    Column::new(format!("column {i} ü"), values, validity).unwrap()
                });
                let said = said.into_iter().map(f64::from_bits).collect();
                let said = if kind { Predictions::Value(said) } else { Predictions::Probability(said) };
                (ids, table(columns.collect(), rows).unwrap(), said)
            })
        })
    }

    /// The bits of a column, and its text, without regard to how levels are numbered.
    fn bits(column: &Column<'_>) -> Vec<(u64, Option<String>)> {
        let text = |row| column.label(row).map(Cow::into_owned);
        match column.values() {
            Values::F64(v) => v.iter().map(|x| (x.to_bits(), None)).collect(),
            Values::F32(v) => v.iter().map(|x| (u64::from(x.to_bits()), None)).collect(),
            Values::I64(v) | Values::Time(v) => v.iter().map(|x| (x.cast_unsigned(), None)).collect(),
            Values::Bool(v) => v.iter().map(|x| (u64::from(*x), None)).collect(),
            Values::Category { codes, .. } => (0..codes.len()).map(|row| (0, text(row))).collect(),
        }
    }

    proptest! {
        #[test]
        fn every_bit_of_every_row_comes_back((ids, features, said) in rows()) {
            let read = decode(&encode(&ids, &features, &said).unwrap()).unwrap();
            prop_assert_eq!(&read.ids, &ids);
            prop_assert_eq!(read.features.rows(), features.rows());
            prop_assert_eq!(read.features.columns().len(), features.columns().len());
            for (read, sent) in read.features.columns().iter().zip(features.columns()) {
                prop_assert_eq!((read.name(), read.data_type()), (sent.name(), sent.data_type()));
                prop_assert_eq!(bits(read), bits(sent));
                prop_assert!((0..sent.len()).all(|row| read.is_valid(row) == sent.is_valid(row)));
            }
            let same = matches!(read.predictions, Predictions::Value(_)) == matches!(said, Predictions::Value(_));
            prop_assert!(same);
            let bits = |p: &Predictions| p.as_slice().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&read.predictions), bits(&said));
        }

        #[test]
        fn a_block_that_was_changed_is_not_read((ids, features, said) in rows(), at in any::<usize>(), bit in 0..8_u8) {
            let mut block = encode(&ids, &features, &said).unwrap();
            let at = at % block.len();
            prop_assert_eq!(decode(&block[..at]).unwrap_err().kind(), ErrorKind::Corrupt);
            block[at] ^= 1 << bit;
            prop_assert_eq!(decode(&block).unwrap_err().kind(), ErrorKind::Corrupt);
        }

        #[test]
        fn bytes_with_a_right_checksum_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut block = [&MAGIC[..], &body].concat();
            block.extend(crc32fast::hash(&block).to_le_bytes());
            // Whatever they say, nothing panics and nothing huge is made room for.
            let _read = decode(&block);
        }
    }

    #[test]
    fn levels_that_nobody_uses_do_not_make_a_row_long() {
        let levels: Vec<String> = (0..100_000).map(|i| format!("level {i}")).collect();
        let column = Column::text("city", &levels).unwrap().take(&[99_999, 7]).unwrap();
        let (ids, said) = (["a", "b"].map(str::to_owned), Predictions::Value(vec![1.0, 2.0]));
        let block = encode(&ids, &Table::new(vec![column]).unwrap(), &said).unwrap();
        assert!(block.len() < 200, "{}", block.len());
        let read = decode(&block).unwrap();
        assert_eq!(read.features.column("city").unwrap().label(0).as_deref(), Some("level 99999"));
    }
}
