//! The identity of a table's content, whatever file it lies in.
//!
//! # Three identities
//! * The **bytes**: the digest of the canonical [`Manifest`](crate::artifact::Manifest). Another file format, another compression
//!   or another split into files makes another one.
//! * The **schema**: [`Schema::digest`](super::Schema::digest), of names, types, nullability and order of the columns.
//! * The **content**: [`content_digest`], of the values that stand together in rows under the names of their columns. The same
//!   table has the same one as CSV, as Parquet and in memory, in any order of rows and columns, in one file or in a thousand.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::data::cell::RowHasher;
use crate::data::multiset::Product;
use crate::data::{Column, Table};
use crate::error::{Error, Result};
use crate::hash::{Digest, Hasher};

/// The digest of a table's content: of its rows, in any order, under the names of its columns, in any order.
///
/// It is the same for a table in memory, as CSV and as Parquet, in one file or in a thousand; see [`ContentDigest`] for shards. An
/// asset has it beside the digest of its bytes and that of its [schema](super::Schema::digest).
///
/// # What is the same content
/// Rows are equal as in [`row_digests`](super::row_digests): −0.0 is 0.0, every NaN is the same NaN, and a missing value is no NaN
/// and no text, the empty one and `null` included. Integers of all widths are 64 bits wide in a [`Table`], 32-bit floats are
/// widened, times are microseconds in UTC, text is text however it is coded. How often a row comes counts, and every value of
/// every row goes in, however large the table is.
///
/// An integer is no float: a column of `1` and `2` is another one than `1.0` and `2.0`; where a CSV file does not say,
/// [`CsvOptions::types`](super::CsvOptions::types) does. Nor is a 32-bit 0.1 the 64-bit one, and a CSV file has no empty text: an
/// empty field is missing. The order of columns, and the type of a column without any value, are part of the schema and not of
/// the content; the names of columns are part of both.
///
/// ```
/// use mlops_core::data::{Column, Table, content_digest, parse_csv};
///
/// let memory = Table::new(vec![Column::i64("age", vec![59, 48])?, Column::text("sex", ["f", "m"])?])?;
/// let file = parse_csv(b"sex,age\nm,48\nf,59\n", &Default::default())?;
/// assert_eq!(content_digest(&memory), content_digest(&file));
///
/// // The same values, but not in the same rows.
/// let swapped = parse_csv(b"sex,age\nm,59\nf,48\n", &Default::default())?;
/// assert_ne!(content_digest(&memory), content_digest(&swapped));
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn content_digest(table: &Table<'_>) -> Digest {
    let mut state = ContentDigest::of_columns(table);
    state.take_in(table, 0..table.rows());
    state.finish()
}

/// The state from which the digest of a table's content is made: shard by shard, in any order, on any number of machines.
///
/// It has one size, below a kilobyte and the names of the columns, whatever it has seen, and is serialised to be carried from
/// worker to worker. Finding two tables with one digest takes about 2¹²⁸ steps. O(rows × columns) time; the part for each row is a
/// few microseconds, so large tables are worth several threads.
///
/// # Example: shards
/// ```
/// use mlops_core::data::{Column, ContentDigest, Table, content_digest};
///
/// let shard = |ages: &[i64]| Table::new(vec![Column::i64("age", ages.to_vec())?]);
/// let (mut one, mut two) = (ContentDigest::new(), ContentDigest::new());
/// one.push(&shard(&[30, 10])?)?;
/// two.push(&shard(&[20])?)?;
/// two.merge(&one)?;
/// assert_eq!(two.rows(), 3);
/// assert_eq!(two.finish(), content_digest(&shard(&[10, 20, 30])?));
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// # Example: threads
/// ```
/// use mlops_core::data::{Column, ContentDigest, Table, content_digest};
///
/// let table = Table::new(vec![Column::i64("id", (0..1_000).collect::<Vec<_>>())?])?;
/// let parts = std::thread::scope(|scope| {
///     let part = |from| {
///         let table = &table;
///         scope.spawn(move || {
///             let mut state = ContentDigest::new();
///             state.push_rows(table, from..from + 500).map(|()| state)
///         })
///     };
///     [part(0), part(500)].map(|thread| thread.join())
/// });
/// let mut whole = ContentDigest::new();
/// for part in parts.into_iter().flatten() {
///     whole.merge(&part?)?;
/// }
/// assert_eq!(whole.finish(), content_digest(&table));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct ContentDigest {
    /// The names of the columns, sorted by bytes; `None` before the first table.
    columns: Option<Vec<String>>,
    rows: u64,
    product: Product,
}

impl ContentDigest {
    /// Nothing yet; the first table says what the columns are.
    pub const fn new() -> Self {
        Self { columns: None, rows: 0, product: Product::ONE }
    }

    fn of_columns(table: &Table<'_>) -> Self {
        let names = by_name(table).iter().map(|column| column.name().to_owned()).collect();
        Self { columns: Some(names), ..Self::new() }
    }

    /// Takes in all rows of a table.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a table with other columns than the ones before;
    /// the state is as it was.
    pub fn push(&mut self, table: &Table<'_>) -> Result<()> {
        self.push_rows(table, 0..table.rows())
    }

    /// Takes in some rows of a table.
    ///
    /// # Errors
    /// As [`ContentDigest::push`], and for rows that are not there.
    pub fn push_rows(&mut self, table: &Table<'_>, rows: Range<usize>) -> Result<()> {
        const OP: &str = "ContentDigest::push_rows";
        if rows.start > rows.end || rows.end > table.rows() {
            let message = format!("asks for {} to {}, there are {}", rows.start, rows.end, table.rows());
            return Err(Error::invalid(OP, "rows", message));
        }
        let fresh = Self::of_columns(table);
        let columns = agreed(OP, self.columns.as_deref(), fresh.columns.as_deref())?;
        sum(OP, self.rows, rows.len() as u64)?;
        self.columns = columns;
        self.take_in(table, rows);
        Ok(())
    }

    fn take_in(&mut self, table: &Table<'_>, rows: Range<usize>) {
        let mut hasher = RowHasher::new(by_name(table));
        self.rows = self.rows.saturating_add(rows.len() as u64);
        for row in rows {
            self.product.multiply(&Product::of(&hasher.digest(row)));
        }
    }

    /// Takes in what another state has seen.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a state of other columns; this one is as it was.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        const OP: &str = "ContentDigest::merge";
        let columns = agreed(OP, self.columns.as_deref(), other.columns.as_deref())?;
        self.rows = sum(OP, self.rows, other.rows)?;
        self.columns = columns;
        self.product.multiply(&other.product);
        Ok(())
    }

    /// How many rows were taken in.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The digest of everything taken in.
    ///
    /// It is that of the domain `mlops.content/v1`, the number of columns, their names in the order of their bytes, the number of
    /// rows, and the product of all rows.
    pub fn finish(&self) -> Digest {
        let names = self.columns.as_deref().unwrap_or_default();
        let mut hasher = Hasher::new("mlops.content/v1").field((names.len() as u64).to_le_bytes());
        names.iter().for_each(|name| hasher.push(name.as_bytes()));
        hasher.field(self.rows.to_le_bytes()).field(self.product.to_bytes()).finish()
    }
}

impl Default for ContentDigest {
    fn default() -> Self {
        Self::new()
    }
}

fn by_name<'t, 'a>(table: &'t Table<'a>) -> Vec<&'t Column<'a>> {
    let mut columns: Vec<&Column<'a>> = table.columns().iter().collect();
    columns.sort_unstable_by(|a, b| a.name().cmp(b.name()));
    columns
}

/// The columns of two states that are to become one.
fn agreed(
    operation: &'static str,
    a: Option<&[String]>,
    b: Option<&[String]>,
) -> Result<Option<Vec<String>>> {
    if let (Some(own), Some(new)) = (a, b)
        && own != new
    {
        let only = |these: &[String], those: &[String]| {
            let first = these.iter().find(|name| !those.contains(name));
            first.map_or(Cow::Borrowed("(none)"), |name| Cow::Owned(name.clone()))
        };
        return Err(Error::invalid(operation, "columns", "are not the ones taken in before")
            .with("missing", only(own, new))
            .with("new", only(new, own)));
    }
    Ok(a.or(b).map(<[String]>::to_vec))
}

fn sum(operation: &'static str, a: u64, b: u64) -> Result<u64> {
    a.checked_add(b).ok_or_else(|| Error::limit(operation, "the number of rows", u64::MAX, "more"))
}

/// A state as it is serialised: the product in hexadecimal digits.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    schema: Cow<'static, str>,
    columns: Option<Vec<String>>,
    rows: u64,
    product: String,
}

const SCHEMA: &str = "mlops.content-state/v1";

impl From<ContentDigest> for Wire {
    fn from(state: ContentDigest) -> Self {
        let mut product = String::with_capacity(2 * Product::BYTES);
        for byte in state.product.to_bytes() {
            // Writing to a `String` cannot fail.
            let _ = write!(product, "{byte:02x}");
        }
        Self { schema: SCHEMA.into(), columns: state.columns, rows: state.rows, product }
    }
}

impl TryFrom<Wire> for ContentDigest {
    type Error = Error;

    fn try_from(wire: Wire) -> Result<Self> {
        let bad = |field: &str, message: &str| Err(Error::invalid("ContentDigest", field, message));
        if wire.schema != SCHEMA {
            return bad("schema", "is not that of a content state").map_err(|e| e.with("value", wire.schema));
        }
        let sorted = |names: &Vec<String>| names.is_sorted_by(|a, b| a < b);
        if !wire.columns.as_ref().is_none_or(sorted) {
            return bad("columns", "must be distinct and sorted");
        }
        let Some(product) = unhex(&wire.product).and_then(|bytes| Product::from_bytes(&bytes)) else {
            return bad("product", "is not a number in its canonical form");
        };
        if (wire.rows == 0) != (product == Product::ONE) || (wire.rows > 0 && wire.columns.is_none()) {
            return bad("rows", "do not go with the product");
        }
        Ok(Self { columns: wire.columns, rows: wire.rows, product })
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let nibble = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let pair = |pair: &[u8]| match *pair {
        [high, low] => Some(nibble(high)? << 4 | nibble(low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::data::{Validity, Values, parse_csv};
    use crate::num::Random;
    use proptest::prelude::*;

    fn digest(columns: Vec<Column<'_>>) -> Digest {
        content_digest(&Table::new(columns).unwrap())
    }

    fn optional(name: &'static str, values: Values<'static>, valid: &[bool]) -> Column<'static> {
        Column::new(name, values, Some(Validity::from_bools(valid))).unwrap()
    }

    fn sample() -> Table<'static> {
        let last_missing = [true, true, true, false];
        Table::new(vec![
            optional("größe", Values::F64(vec![1.5, -0.0, f64::NAN, 7.0].into()), &last_missing),
            Column::i64("id", vec![1, 2, -3, 1 << 62]).unwrap(),
            Column::optional_text("sex", [Some("f"), Some(""), None, Some("null")]).unwrap(),
            optional("when", Values::Time(vec![0, -1, 1_000_000_000_000_000, 0].into()), &last_missing),
            optional("ok", Values::Bool(vec![true, false, true, true].into()), &[true, true, false, true]),
        ])
        .unwrap()
    }

    /// Computed with Python 3.11.7 (`hashlib`, `struct`, its integers) from the documented layout; a change here breaks every
    /// stored digest.
    #[test]
    fn the_digest_is_that_of_another_implementation() {
        assert_eq!(
            content_digest(&sample()).to_string(),
            "sha256:fbe243a1203593385394182c73048cb2172c0515929a1d28d469bba2f2940ddd"
        );
    }

    #[test]
    fn the_order_of_rows_and_of_columns_is_not_content_but_names_are() {
        let table = sample();
        let turned =
            table.select(&["ok", "when", "sex", "id", "größe"]).unwrap().take(&[3, 1, 0, 2]).unwrap();
        assert_eq!(content_digest(&turned), content_digest(&table));
        let mut renamed = table.columns().to_vec();
        renamed[1] = renamed[1].clone().renamed("ID").unwrap();
        assert_ne!(digest(renamed), content_digest(&table));
        // Names and values may not run into each other either.
        let text = |name: &'static str, value| Column::text(name, [value]).unwrap();
        let mut seen = std::collections::HashSet::new();
        for columns in [
            vec![text("a", "bc")],
            vec![text("ab", "c")],
            vec![text("a", "b"), text("c", "")],
            vec![text("a", ""), text("c", "b")],
            vec![text("a", "bc"), text("c", "")],
            vec![text("ab", ""), text("c", "")],
        ] {
            assert!(seen.insert(digest(columns.clone())), "{columns:?}");
        }
    }

    #[test]
    fn values_that_look_alike_are_told_apart() {
        let float = |x: f64| Column::f64("x", vec![x]).unwrap();
        let text = |x: &str| Column::text("x", [x]).unwrap();
        let different = [
            optional("x", Values::F64(vec![0.0].into()), &[false]),
            float(f64::NAN),
            float(0.0),
            float(f64::INFINITY),
            float(5e-324),
            Column::i64("x", vec![0]).unwrap(),
            Column::bool("x", vec![false]).unwrap(),
            Column::new("x", Values::Time(vec![0].into()), None).unwrap(),
            text(""),
            text("null"),
            text("NaN"),
            text("0"),
            text("é"),
            text("e\u{301}"),
        ];
        let digests: std::collections::HashSet<Digest> =
            different.iter().cloned().map(|c| digest(vec![c])).collect();
        assert_eq!(digests.len(), different.len());
    }

    #[test]
    fn values_that_are_the_same_in_another_coding_are_the_same() {
        let same = |a: Column<'static>, b: Column<'static>| assert_eq!(digest(vec![a]), digest(vec![b]));
        let floats = |values: Vec<f64>| Column::f64("x", values).unwrap();
        same(floats(vec![-0.0]), floats(vec![0.0]));
        same(floats(vec![f64::NAN]), floats(vec![f64::from_bits(0xfff0_0000_0000_0001)]));
        same(
            floats(vec![1.5, f64::NAN]),
            Column::new("x", Values::F32(vec![1.5, f32::NAN].into()), None).unwrap(),
        );
        let levels = |levels: &[&str], codes: Vec<u32>| {
            let levels: Vec<String> = levels.iter().map(|level| (*level).to_owned()).collect();
            Column::new("x", Values::Category { codes: codes.into(), levels: levels.into() }, None).unwrap()
        };
        same(levels(&["a", "b"], vec![0, 1]), levels(&["never", "b", "a", "b"], vec![2, 3]));
        // What lies in the slot of a missing value does not matter, nor which type it would have had.
        same(
            optional("x", Values::F64(vec![7.0].into()), &[false]),
            Column::optional_text("x", [None::<&str>]).unwrap(),
        );
    }

    /// Sums in lanes of 16 bits lose rows that come 65 536 times.
    #[test]
    fn how_often_a_row_comes_counts_however_often_it_comes() {
        let all = |churned: bool| digest(vec![Column::bool("churned", vec![churned; 1 << 16]).unwrap()]);
        assert_ne!(all(true), all(false));
    }

    #[test]
    fn a_row_beyond_the_ten_thousandth_counts() {
        let mut values: Vec<i64> = (0..20_000).collect();
        let before = digest(vec![Column::i64("x", values.clone()).unwrap()]);
        values[15_000] += 1;
        assert_ne!(digest(vec![Column::i64("x", values).unwrap()]), before);
    }

    #[test]
    fn tables_without_rows_or_columns_have_digests_too() {
        let table = sample();
        let mut digests =
            std::collections::HashSet::from([ContentDigest::new().finish(), content_digest(&table)]);
        assert!(digests.insert(content_digest(&table.take(&[]).unwrap())));
        let no_columns = table.without(&["größe", "id", "sex", "when", "ok"]);
        assert!(digests.insert(content_digest(&no_columns)), "it still has rows");
        assert!(!digests.insert(content_digest(&Table::default())), "nothing is nothing");
    }

    #[test]
    fn shards_of_other_columns_and_rows_that_are_not_there_are_refused_and_change_nothing() {
        let table = sample();
        let mut state = ContentDigest::new();
        state.push(&table).unwrap();
        let before = state.clone();
        let error = state.push(&table.without(&["sex"])).unwrap_err();
        assert_eq!((error.kind(), error.context("missing")), (ErrorKind::InvalidInput, Some("sex")));
        let other = Table::new(vec![Column::i64("y", vec![1]).unwrap()]).unwrap();
        let mut others = ContentDigest::new();
        others.push(&other).unwrap();
        assert_eq!(state.merge(&others).unwrap_err().context("new"), Some("y"));
        for rows in [0..5, 5..5, Range { start: 2, end: 1 }] {
            let error = state.push_rows(&table, rows).unwrap_err();
            assert_eq!(error.context("field"), Some("rows"));
        }
        assert_eq!(state, before);
        // A shard without rows brings its columns all the same.
        let mut empty = ContentDigest::new();
        empty.push(&other.take(&[]).unwrap()).unwrap();
        assert!(empty.merge(&before).is_err());
        empty.merge(&ContentDigest::new()).unwrap();
        assert_eq!(empty.finish(), content_digest(&other.take(&[]).unwrap()));
    }

    #[test]
    fn a_state_is_carried_as_json_and_a_forged_one_is_refused() {
        let mut state = ContentDigest::new();
        assert_eq!(
            serde_json::from_str::<ContentDigest>(&serde_json::to_string(&state).unwrap()).unwrap(),
            state
        );
        state.push(&sample()).unwrap();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<ContentDigest>(&text).unwrap(), state);
        assert!(text.len() < 1_000, "{}", text.len());
        let value = || serde_json::to_value(&state).unwrap();
        for (field, forged) in [
            ("schema", serde_json::json!("mlops.content-state/v2")),
            ("columns", serde_json::json!(null)),
            ("columns", serde_json::json!(["b", "a"])),
            ("columns", serde_json::json!(["a", "a"])),
            ("rows", serde_json::json!(0)),
            ("rows", serde_json::json!(-1)),
            ("product", serde_json::json!("00".repeat(384))),
            ("product", serde_json::json!("ff".repeat(384))),
            ("product", serde_json::json!("FF".repeat(384))),
            ("product", serde_json::json!("01".repeat(383))),
            ("product", serde_json::json!("1".repeat(767))),
            ("product", serde_json::json!("é")),
            ("more", serde_json::json!(1)),
        ] {
            let mut value = value();
            value[field] = forged;
            assert!(serde_json::from_value::<ContentDigest>(value).is_err(), "{field}");
        }
        let mut full = state.clone();
        full.rows = u64::MAX;
        assert_eq!(full.merge(&state).unwrap_err().kind(), ErrorKind::LimitExceeded);
        assert_eq!(full.push(&sample()).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn csv_and_memory_agree_where_the_types_do() {
        let csv = b"id,x,sex,when,ok\n1,1.5,f,1970-01-01T01:00:00.000001+01:00,true\n2,nan,,2001-09-09T01:46:40Z,\n";
        let file = parse_csv(csv, &Default::default()).unwrap();
        let memory = Table::new(vec![
            Column::i64("id", vec![2, 1]).unwrap(),
            Column::f64("x", vec![f64::NAN, 1.5]).unwrap(),
            Column::optional_text("sex", [None, Some("f")]).unwrap(),
            Column::new("when", Values::Time(vec![1_000_000_000_000_000, 1].into()), None).unwrap(),
            optional("ok", Values::Bool(vec![false, true].into()), &[false, true]),
        ])
        .unwrap();
        assert_eq!(content_digest(&file), content_digest(&memory));
    }

    #[cfg(feature = "polars-io")]
    mod files {
        use super::*;
        use crate::data::frame::{self, ParquetOptions, read_parquet};
        use crate::data::{CsvOptions, read_csv};
        use polars::prelude::{Categories, DataFrame, DataType as Polars, ParquetWriter, TimeUnit};

        const CSV: &str = "name,id,score,ok,seen\n\
            Ada,1,0.1,true,1970-01-01T00:00:00.001Z\n\
            \"Köln, \"\"x\"\"\",-2,nan,false,1969-12-31T23:59:59.999Z\n\
            ,3,,,\n\
            Ada,1,0.1,true,1970-01-01T01:00:00.001+01:00\n\
            null,4,-0.0,true,2001-09-09T01:46:40Z\n";

        fn frame() -> DataFrame {
            type C = polars::prelude::Column;
            let times = [Some(1_i64), Some(-1), None, Some(1), Some(1_000_000_000_000)];
            let names = [Some("Ada"), Some("Köln, \"x\""), None, Some("Ada"), Some("null")];
            let columns = vec![
                C::new("id".into(), [1_i64, -2, 3, 1, 4]),
                C::new("name".into(), names),
                C::new("ok".into(), [Some(true), Some(false), None, Some(true), Some(true)]),
                C::new("score".into(), [Some(0.1), Some(f64::NAN), None, Some(0.1), Some(0.0)]),
                C::new("seen".into(), times).cast(&Polars::Datetime(TimeUnit::Milliseconds, None)).unwrap(),
            ];
            DataFrame::new(5, columns).unwrap()
        }

        fn cast(frame: &DataFrame, name: &str, to: Polars) -> DataFrame {
            let mut frame = frame.clone();
            let column = frame.column(name).unwrap().cast(&to).unwrap();
            frame.with_column(column).unwrap();
            frame
        }

        #[test]
        fn csv_parquet_and_frames_of_any_width_sharding_and_order_agree() {
            let folder = tempfile::tempdir().unwrap();
            let frame = frame();
            let expected = content_digest(&frame::table(&frame).unwrap());
            std::fs::write(folder.path().join("all.csv"), CSV).unwrap();
            let csv = read_csv(folder.path().join("all.csv"), &CsvOptions::default()).unwrap();
            assert_eq!(content_digest(&csv), expected);

            let parquet = |name: &str, mut frame: DataFrame| {
                let path = folder.path().join(name);
                ParquetWriter::new(std::fs::File::create(&path).unwrap()).finish(&mut frame).unwrap();
                read_parquet(path, &ParquetOptions::default()).unwrap()
            };
            let microseconds = Polars::Datetime(TimeUnit::Microseconds, None);
            for (i, other) in [
                frame.clone(),
                frame.reverse(),
                cast(&frame, "id", Polars::Int8),
                cast(&frame, "id", Polars::Int32),
                cast(&frame, "name", Polars::from_categories(Categories::global())),
                cast(&frame, "seen", microseconds),
                cast(&frame, "seen", Polars::Datetime(TimeUnit::Nanoseconds, None)),
            ]
            .into_iter()
            .enumerate()
            {
                assert_eq!(content_digest(&frame::table(&other).unwrap()), expected, "{i} in memory");
                assert_eq!(
                    content_digest(&parquet(&format!("{i}.parquet"), other)),
                    expected,
                    "{i} as a file"
                );
            }

            let mut state = ContentDigest::new();
            for (i, rows) in [3..5, 0..1, 1..3].into_iter().enumerate() {
                let shard = frame.slice(i64::from(rows.start), rows.len());
                state.push(&parquet(&format!("shard-{i}.parquet"), shard)).unwrap();
            }
            assert_eq!((state.finish(), state.rows()), (expected, 5));

            // Other values or other types are another content.
            for other in [
                cast(&frame, "id", Polars::Float64),
                cast(&frame, "score", Polars::Float32),
                frame.slice(0, 4),
            ] {
                assert_ne!(content_digest(&frame::table(&other).unwrap()), expected);
            }
        }
    }

    /// A table of every type that repeats values, so that rows may be equal and swaps may matter.
    fn tables() -> impl Strategy<Value = Table<'static>> {
        let row = (prop::option::of(0..3_i64), 0..4_usize, prop::option::of("[ab]{0,2}"), any::<bool>());
        prop::collection::vec(row, 1..12).prop_map(|rows| {
            let ints: Vec<i64> = rows.iter().map(|row| row.0.unwrap_or(9)).collect();
            let valid: Vec<bool> = rows.iter().map(|row| row.0.is_some()).collect();
            let floats: Vec<f64> = rows.iter().map(|row| [0.0, 1.0, f64::NAN, -1.5][row.1]).collect();
            Table::new(vec![
                Column::new("i", Values::I64(ints.into()), Some(Validity::from_bools(&valid))).unwrap(),
                Column::f64("f", floats).unwrap(),
                Column::optional_text("s", rows.iter().map(|row| row.2.as_deref())).unwrap(),
                Column::bool("b", rows.iter().map(|row| row.3).collect::<Vec<_>>()).unwrap(),
            ])
            .unwrap()
        })
    }

    /// The rows in words, sorted: two tables of the same columns have the same content exactly if these are equal.
    fn rows_in_words(table: &Table<'_>) -> Vec<String> {
        let row = |row| table.columns().iter().map(|c| format!("{:?} ", c.label(row))).collect::<String>();
        let mut rows: Vec<String> = (0..table.rows()).map(row).collect();
        rows.sort();
        rows
    }

    fn shuffled(table: &Table<'_>, seed: u64) -> Table<'static> {
        let mut order: Vec<usize> = (0..table.rows()).collect();
        Random::new(seed).shuffle(&mut order);
        table.take(&order).unwrap()
    }

    proptest! {
        #[test]
        fn order_and_sharding_do_not_matter(table in tables(), seed: u64, cuts in prop::collection::vec(0..12_usize, 0..5)) {
            let whole = content_digest(&table);
            let table = shuffled(&table, seed);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(table.rows())).collect();
            cuts.extend([0, table.rows()]);
            cuts.sort_unstable();
            let shard = |window: &[usize]| {
                let mut state = ContentDigest::new();
                state.push_rows(&table, window[0]..window[1]).unwrap();
                state
            };
            let mut shards: Vec<ContentDigest> = cuts.windows(2).map(shard).collect();
            Random::new(seed).stream("merge").shuffle(&mut shards);
            // Half of them are merged among themselves first.
            let (left, right) = shards.split_at(shards.len() / 2);
            let merged = |states: &[ContentDigest]| {
                states.iter().fold(ContentDigest::new(), |mut all, state| { all.merge(state).unwrap(); all })
            };
            let (mut left, right) = (merged(left), merged(right));
            left.merge(&right).unwrap();
            prop_assert_eq!(left.rows(), table.rows() as u64);
            prop_assert_eq!(left.finish(), whole);
        }

        #[test]
        fn digests_are_equal_exactly_where_the_rows_are(a in tables(), b in tables()) {
            prop_assert_eq!(content_digest(&a) == content_digest(&b), rows_in_words(&a) == rows_in_words(&b));
        }

        #[test]
        fn one_row_more_or_less_is_seen(table in tables(), at: prop::sample::Index) {
            let at = at.index(table.rows());
            let mut more: Vec<usize> = (0..table.rows()).collect();
            more.push(at);
            prop_assert_ne!(content_digest(&table.take(&more).unwrap()), content_digest(&table));
            let less: Vec<usize> = (0..table.rows()).filter(|row| *row != at).collect();
            prop_assert_ne!(content_digest(&table.take(&less).unwrap()), content_digest(&table));
        }

        /// Takes the value of one column from another row: a changed cell, and with both rows a swap that leaves every column's
        /// own values as they were.
        #[test]
        fn a_changed_cell_and_swapped_cells_are_seen(
            table in tables(), column in 0..4_usize, a: prop::sample::Index, b: prop::sample::Index, swap: bool,
        ) {
            let (a, b) = (a.index(table.rows()), b.index(table.rows()));
            let mut from: Vec<usize> = (0..table.rows()).collect();
            from[a] = b;
            if swap {
                from[b] = a;
            }
            let mut columns = table.columns().to_vec();
            columns[column] = columns[column].take(&from).unwrap();
            let changed = Table::new(columns).unwrap();
            let same = rows_in_words(&changed) == rows_in_words(&table);
            prop_assert_eq!(content_digest(&changed) == content_digest(&table), same);
        }
    }
}
