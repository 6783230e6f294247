//! What a rule looks for in a batch: 64 rows are one word, in which the bits of rows that break the rule are set.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range as Rows;

use crate::data::schema::type_name;
use crate::data::unreadable::{Marks, Unreadable};
use crate::data::{Column, DataType, Range, Table, Values};
use crate::error::quote;

use super::aggregate;
use super::keys::{KeyReader, KeySet};
use super::pattern;
use super::reference::Reference;
use super::rule::{Comparison, Rule};

/// Sets the bits of rows that break a rule. Rows that have no value may get any bit.
pub(super) type Kernel<'t> = Box<dyn Fn(Rows<usize>, &mut [u64]) + 't>;

/// A rule, prepared for one batch.
pub(super) enum Check<'t> {
    /// Nothing of it is about rows, or it cannot be checked.
    Nothing,
    /// The rows at which all of these columns have a value are looked at.
    Mask { columns: Vec<&'t Column<'t>>, kernel: Kernel<'t> },
    /// Every row is looked at, and one without a value breaks the rule.
    Missing(&'t Column<'t>),
    /// A row with an earlier key breaks the rule.
    Unique(KeyReader<'t>),
    /// A row of which something could not be read breaks the rule.
    Readable(Reading<'t>),
}

/// What a rule about reading looks at in a batch.
pub(super) struct Reading<'t> {
    /// Its columns; none where it is about all rows.
    columns: Option<Vec<&'t Column<'t>>>,
    /// For each 64 rows, those that break the rule.
    broken: Vec<u64>,
    described: HashMap<usize, Vec<&'t Unreadable>>,
}

impl<'t> Reading<'t> {
    /// The rule about these columns, or about what no rule in `named` is about.
    pub(super) fn new(
        columns: &[String],
        named: &[&str],
        table: &'t Table<'t>,
        marks: Option<&'t Marks>,
    ) -> Self {
        let is_mine = |name: &str| match columns {
            [] => !named.contains(&name),
            columns => columns.iter().any(|column| column == name),
        };
        let mut broken = vec![0; table.rows().div_ceil(64)];
        let mut add = |bits: &[u64]| broken.iter_mut().zip(bits).for_each(|(word, bits)| *word |= bits);
        let mut described: HashMap<usize, Vec<&Unreadable>> = HashMap::new();
        if let Some(marks) = marks {
            marks.columns().filter(|name| is_mine(name)).for_each(|name| add(marks.cells(name)));
            if columns.is_empty() {
                add(marks.rows());
            }
            for place in marks.described() {
                if place.column.as_deref().map_or(columns.is_empty(), is_mine) {
                    described.entry(place.row).or_default().push(place);
                }
            }
        }
        let there = || columns.iter().filter_map(|name| table.get(name)).collect();
        Self { columns: (!columns.is_empty()).then(there), broken, described }
    }

    /// Of the 64 rows from `start` on, those that break the rule.
    pub(super) fn broken(&self, start: usize) -> u64 {
        self.broken.get(start / 64).copied().unwrap_or(0)
    }

    /// Of the 64 rows from `start` on, those that were looked at: that have, or should have, a value.
    pub(super) fn looked_at(&self, start: usize) -> u64 {
        let Some(columns) = &self.columns else { return u64::MAX };
        columns.iter().fold(self.broken(start), |rows, column| rows | column.valid_word(start))
    }

    /// What could not be read in a row.
    pub(super) fn describe(&self, row: usize, with_text: bool) -> Option<String> {
        let places = self.described.get(&row)?;
        let texts: Vec<String> = places.iter().map(|place| place.describe(with_text)).collect();
        Some(texts.join("; "))
    }
}

fn mask<'t>(broken: impl Fn(usize) -> bool + 't) -> Kernel<'t> {
    Box::new(move |rows, out| {
        let mut start = rows.start;
        for word in out {
            let end = rows.end.min(start + 64);
            let mut flags = [0; 64];
            for (flag, row) in flags.iter_mut().zip(start..end) {
                *flag = u8::from(broken(row));
            }
            *word = pack(&flags);
            start = end;
        }
    })
}

/// The same over a slice, without a bounds check for each row.
fn over<'t, T>(values: &'t [T], broken: impl Fn(&T) -> bool + 't) -> Kernel<'t> {
    Box::new(move |rows, out| {
        let values = values.get(rows).unwrap_or_default();
        for (word, chunk) in out.iter_mut().zip(values.chunks(64)) {
            let mut flags = [0; 64];
            for (flag, value) in flags.iter_mut().zip(chunk) {
                *flag = u8::from(broken(value));
            }
            *word = pack(&flags);
        }
    })
}

/// The same over two slices of one length.
fn pairs<'t, T>(a: &'t [T], b: &'t [T], broken: impl Fn(&T, &T) -> bool + 't) -> Kernel<'t> {
    Box::new(move |rows, out| {
        let (a, b) = (a.get(rows.clone()).unwrap_or_default(), b.get(rows).unwrap_or_default());
        for (word, (a, b)) in out.iter_mut().zip(a.chunks(64).zip(b.chunks(64))) {
            let mut flags = [0; 64];
            for (flag, (a, b)) in flags.iter_mut().zip(a.iter().zip(b)) {
                *flag = u8::from(broken(a, b));
            }
            *word = pack(&flags);
        }
    })
}

/// One bit for each of 64 flags. Flags are written first, as a compiler compares many values at once only where no bit has to be
/// shifted into its place; then the product moves the lowest bits of eight bytes next to each other.
fn pack(flags: &[u8; 64]) -> u64 {
    let mut word = 0;
    for (at, eight) in flags.chunks_exact(8).enumerate() {
        let bytes = eight.iter().rev().fold(0_u64, |bytes, flag| bytes << 8 | u64::from(*flag));
        word |= (bytes.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * at);
    }
    word
}

/// The rule for a batch, or why it cannot be checked. Every column it needs is there.
pub(super) fn prepare<'t>(
    rule: &'t Rule,
    table: &'t Table<'t>,
    references: &'t HashMap<String, Reference>,
    index: usize,
) -> Result<Check<'t>, String> {
    let columns: Vec<&Column<'_>> = rule.needs().iter().filter_map(|name| table.get(name)).collect();
    let Some(&column) = columns.first() else { return Ok(Check::Nothing) };
    let kernel = match rule {
        Rule::Present { .. } => return Ok(Check::Missing(column)),
        Rule::Within { range, .. } => within(column, *range)?,
        Rule::WithinTime { from, until, .. } => {
            let Values::Time(times) = column.values() else { return Err(is_no_time(column)) };
            let from = from.map_or(i64::MIN, |t| t.timestamp_micros());
            let until = until.map_or(i64::MAX, |t| t.timestamp_micros());
            over(times, move |time| *time < from || *time > until)
        }
        Rule::OneOf { values, .. } => listed(column, values, true),
        Rule::NotOneOf { values, .. } => listed(column, values, false),
        Rule::Matches { pattern, .. } => {
            let pattern = pattern::compile(pattern)?;
            texts(column, move |text| !pattern.is_match(text))
        }
        Rule::Length { min, max, .. } => length(column, *min, *max)?,
        Rule::Finite { .. } => match column.values() {
            Values::F64(values) => over(values, |value| !value.is_finite()),
            Values::F32(values) => over(values, |value| !value.is_finite()),
            Values::Category { .. } => {
                return Err(format!("{}: is category and holds no numbers", named(column)));
            }
            _ => mask(|_| false),
        },
        Rule::Compare { is, .. } => {
            let Some(&other) = columns.get(1) else { return Ok(Check::Nothing) };
            compare(column, *is, other)?
        }
        Rule::Aggregate { statistic, .. } => {
            return match aggregate::unsuited(column.data_type(), *statistic) {
                Some(what) => {
                    Err(format!("{}: is {} and has no {what}", named(column), type_name(column.data_type())))
                }
                None => Ok(Check::Nothing),
            };
        }
        Rule::Unique { columns: names } => {
            return match repeated(names) {
                Some(_) => Err(format!("{}: the key names one twice", list(names))),
                None => Ok(Check::Unique(KeyReader::new(columns))),
            };
        }
        Rule::ForeignKey { table, .. } => {
            let reference = references.get(table).and_then(|reference| reference.keys(index));
            let Some(known) = reference else {
                return Err(format!("the table `{}` was not given", quote(table)));
            };
            foreign(KeyReader::new(columns.clone()), known)?
        }
        _ => return Ok(Check::Nothing),
    };
    Ok(Check::Mask { columns, kernel })
}

fn repeated(names: &[String]) -> Option<&String> {
    let mut seen = std::collections::HashSet::new();
    names.iter().find(|name| !seen.insert(name.as_str()))
}

fn is_no_time(column: &Column<'_>) -> String {
    format!("{}: is {} and holds no times", named(column), type_name(column.data_type()))
}

fn within<'t>(column: &'t Column<'_>, range: Range) -> Result<Kernel<'t>, String> {
    let (low, high) = range.integers();
    let (least, most) = range.floats();
    Ok(match column.values() {
        Values::F64(values) => over(values, move |value| !(*value >= least && *value <= most)),
        Values::F32(values) => {
            over(values, move |value| !(f64::from(*value) >= least && f64::from(*value) <= most))
        }
        Values::I64(values) | Values::Time(values) => {
            let (least, most) = (i128::from(i64::MIN), i128::from(i64::MAX));
            match (i64::try_from(low.max(least)), i64::try_from(high.min(most))) {
                (Ok(low), Ok(high)) => over(values, move |value| (*value < low) | (*value > high)),
                // A range beyond all numbers of 64 bits.
                _ => over(values, |_| true),
            }
        }
        Values::Bool(_) | Values::Category { .. } => {
            return Err(format!("{}: is {} and has no range", named(column), type_name(column.data_type())));
        }
    })
}

/// A question about the text of a value: asked once for each level of a category, and once for each value of another column.
fn texts<'t>(column: &'t Column<'_>, broken: impl Fn(&str) -> bool + 't) -> Kernel<'t> {
    let Values::Category { codes, levels } = column.values() else {
        return mask(move |row| column.label(row).is_some_and(|label| broken(&label)));
    };
    if levels.len() <= codes.len() {
        let known: Vec<bool> = levels.iter().map(|level| broken(level)).collect();
        let asked = move |code: &u32| {
            usize::try_from(*code).ok().and_then(|code| known.get(code)).is_some_and(|broken| *broken)
        };
        return over(codes, asked);
    }
    // Of a dictionary larger than the batch, levels that no row has are not asked about.
    let known: RefCell<Vec<Option<bool>>> = RefCell::new(vec![None; levels.len()]);
    mask(move |row| {
        let Some(code) = codes.get(row).and_then(|code| usize::try_from(*code).ok()) else { return false };
        let mut known = known.borrow_mut();
        let Some((slot, level)) = known.get_mut(code).zip(levels.get(code)) else { return false };
        *slot.get_or_insert_with(|| broken(level))
    })
}

/// Whether values are among listed texts (`wanted`) or not.
fn listed<'t>(column: &'t Column<'_>, values: &'t [String], wanted: bool) -> Kernel<'t> {
    match column.values() {
        Values::I64(numbers) => {
            // A text that is not how the number is written is never read.
            let is_written = |text: &&String| text.parse::<i64>().is_ok_and(|n| n.to_string() == **text);
            let mut known: Vec<i64> =
                values.iter().filter(is_written).filter_map(|t| t.parse().ok()).collect();
            known.sort_unstable();
            over(numbers, move |number| known.binary_search(number).is_ok() != wanted)
        }
        Values::Bool(flags) => {
            let has = |word: &str| values.iter().any(|value| value == word);
            let (yes, no) = (has("true"), has("false"));
            over(flags, move |flag| (if *flag { yes } else { no }) != wanted)
        }
        _ => {
            let known: std::collections::HashSet<&str> = values.iter().map(String::as_str).collect();
            texts(column, move |text| known.contains(text) != wanted)
        }
    }
}

fn length<'t>(column: &'t Column<'_>, min: u64, max: Option<u64>) -> Result<Kernel<'t>, String> {
    if column.data_type() != DataType::Category {
        return Err(format!("{}: is {} and holds no texts", named(column), type_name(column.data_type())));
    }
    Ok(texts(column, move |text| {
        let length = text.chars().count() as u64;
        length < min || max.is_some_and(|max| length > max)
    }))
}

fn compare<'t>(left: &'t Column<'_>, is: Comparison, right: &'t Column<'_>) -> Result<Kernel<'t>, String> {
    let wrong = || {
        let types = [left, right].map(|column| type_name(column.data_type()));
        format!("{}: is {}, which does not compare with {}", named(left), types[0], types[1])
    };
    let equality = matches!(is, Comparison::Eq | Comparison::Ne);
    Ok(match (left.values(), right.values()) {
        (Values::I64(a), Values::I64(b)) | (Values::Time(a), Values::Time(b)) => match is {
            Comparison::Lt => pairs(a, b, |a, b| a >= b),
            Comparison::Le => pairs(a, b, |a, b| a > b),
            Comparison::Gt => pairs(a, b, |a, b| a <= b),
            Comparison::Ge => pairs(a, b, |a, b| a < b),
            Comparison::Eq => pairs(a, b, |a, b| a != b),
            Comparison::Ne => pairs(a, b, |a, b| a == b),
        },
        (Values::Bool(a), Values::Bool(b)) if equality => {
            mask(move |row| a.get(row).zip(b.get(row)).is_some_and(|(a, b)| !is.holds(a.cmp(b))))
        }
        (Values::Category { .. }, Values::Category { .. }) if equality => {
            mask(move |row| left.label(row).zip(right.label(row)).is_some_and(|(a, b)| !is.holds(a.cmp(&b))))
        }
        _ if left.data_type().is_numeric() && right.data_type().is_numeric() => {
            let values = |column: &'t Column<'_>| column.to_f64().map_err(|_| wrong());
            let (a, b) = (values(left)?, values(right)?);
            mask(move |row| {
                let order = a.get(row).zip(b.get(row)).and_then(|(a, b)| a.partial_cmp(b));
                order.is_none_or(|order| !is.holds(order))
            })
        }
        _ => return Err(wrong()),
    })
}

fn foreign<'t>(reader: KeyReader<'t>, known: &'t (Vec<DataType>, KeySet)) -> Result<Kernel<'t>, String> {
    let types: Vec<DataType> = reader.columns().iter().map(|column| column.data_type()).collect();
    let (expected, keys) = known;
    if let Some(at) = (0..types.len()).find(|&at| types.get(at) != expected.get(at)) {
        let found = types.get(at).map_or("", |ty| type_name(*ty));
        let other = expected.get(at).map_or("", |ty| type_name(*ty));
        let column = reader.columns().get(at).map(|column| named(column)).unwrap_or_default();
        return Err(format!("{column}: is {found}, in the other table it is {other}"));
    }
    let buffer = RefCell::new(Vec::new());
    let columns = reader.columns().to_vec();
    Ok(mask(move |row| {
        columns.iter().all(|column| column.is_valid(row))
            && !keys.contains(reader.key(row, &mut buffer.borrow_mut()))
    }))
}

/// The column, as messages call it.
pub(super) fn named(column: &Column<'_>) -> String {
    format!("column `{}`", quote(column.name()))
}

/// The names, at most five of them.
pub(super) fn list(columns: &[String]) -> String {
    let names: Vec<String> = columns.iter().take(5).map(|name| format!("`{}`", quote(name))).collect();
    let noun = if columns.len() == 1 { "column" } else { "columns" };
    let more = if columns.len() > 5 { format!(" and {} more", columns.len() - 5) } else { String::new() };
    format!("{noun} {}{more}", names.join(", "))
}
