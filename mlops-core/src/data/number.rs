//! Text that should be a number, a truth value or a time: the one grammar for all readers.

use std::borrow::Cow;

use chrono::NaiveDate;

use crate::data::{Column, DataType, Table, Values};
use crate::error::{Error, Result, quote};

/// How leading zeros are read: `007` may be seven, or a code that must keep its zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zeros {
    /// As part of a number.
    Allow,
    /// As a sign that it is none.
    Refuse,
}

/// A decimal number, `nan`, `inf` or `infinity` in any case, each with an optional sign. What is too large for a finite
/// float is no number: it would become an infinity that nobody wrote.
pub(super) fn float(text: &str, zeros: Zeros) -> Option<f64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if ["nan", "inf", "infinity"].iter().any(|word| digits.eq_ignore_ascii_case(word)) {
        return text.parse().ok();
    }
    (zeros == Zeros::Allow || !has_leading_zero(digits)).then_some(())?;
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// A whole number that fits 64 bits with sign.
pub(super) fn integer(text: &str, zeros: Zeros) -> Option<i64> {
    (zeros == Zeros::Allow || !has_leading_zero(text.strip_prefix(['+', '-']).unwrap_or(text)))
        .then_some(())?;
    text.parse().ok()
}

/// Whether a text is digits with an optional sign, however many.
pub(super) fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn has_leading_zero(digits: &str) -> bool {
    matches!(digits.as_bytes(), [b'0', second, ..] if second.is_ascii_digit())
}

/// `true` or `false`, in lower case, upper case or with a capital.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Microseconds since 1970 of an ISO 8601 date (`2026-01-31`), or date and time (`2026-01-31T08:30`, with a blank for the
/// `T`, with seconds, with a fraction, with `Z`, `+01:00` or `+0100`). Without an offset it is UTC; what is finer than a
/// microsecond is cut off.
pub(super) fn time(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    if rest.is_empty() {
        return Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros());
    }
    let rest = rest.strip_prefix(['T', ' '])?;
    let zone = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(zone);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = match numbers(clock, ':', [2, 2, 2]) {
        Some(parts) => parts,
        // A fraction of a minute is not a thing one writes.
        None if fraction == "0" => numbers(clock, ':', [2, 2]).map(|[hour, minute]| [hour, minute, 0])?,
        None => return None,
    };
    let local = date.and_hms_micro_opt(hour, minute, second, micros(fraction)?)?;
    Some(local.and_utc().timestamp_micros() - offset(zone)?)
}

/// Numbers of fixed widths between separators.
fn numbers<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[u32; N]> {
    let mut pieces = text.split(separator);
    let mut out = [0; N];
    for (number, width) in out.iter_mut().zip(widths) {
        let piece = pieces.next().filter(|p| p.len() == width && p.bytes().all(|b| b.is_ascii_digit()))?;
        *number = piece.parse().ok()?;
    }
    pieces.next().is_none().then_some(out)
}

fn micros(fraction: &str) -> Option<u32> {
    let good = (1..=9).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    good.then_some(())?;
    format!("{fraction:0<6}").get(..6)?.parse().ok()
}

/// Microseconds that local time is ahead.
fn offset(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone == "Z" {
        return Some(0);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let digits = rest.replacen(':', "", usize::from(rest.len() == 5));
    let [hours, minutes] = numbers(&format!("{}:{}", digits.get(..2)?, digits.get(2..)?), ':', [2, 2])?;
    let ahead = (i64::from(hours) * 60 + i64::from(minutes)) * 60_000_000;
    match sign {
        "+" if hours < 24 && minutes < 60 => Some(ahead),
        "-" if hours < 24 && minutes < 60 => Some(-ahead),
        _ => None,
    }
}

/// What a value of a type is called in a message: "is not …".
pub(super) const fn described(data_type: DataType) -> &'static str {
    match data_type {
        DataType::F64 | DataType::F32 => "a number",
        DataType::I64 => "a whole number of 64 bits",
        DataType::Bool => "true or false",
        DataType::Category => "a text",
        DataType::Time => "an ISO 8601 date or time",
    }
}

/// The column called `column`, as numbers: what is numeric or boolean as it is, text parsed.
///
/// A reader takes a column for text as soon as one of its values is no number; here the values that are to blame are named.
/// Text is read as [`read_csv`](crate::data::read_csv) reads numbers, but for leading zeros, which are allowed. Missing
/// stays missing. O(rows), but text is parsed once for each distinct value.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for an unknown column;
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the first three values that are no numbers and
/// their rows, counted from 1, and for a column of times.
///
/// ```
/// use mlops_core::data::{Column, Table, require_numeric};
///
/// let table = Table::new(vec![Column::text("bmi", ["32.1", "abc", "21.6"])?])?;
/// let error = require_numeric(&table, "bmi").unwrap_err();
/// assert_eq!(error.message(), "column `bmi`, row 2: \"abc\" is not a number");
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn require_numeric<'t>(table: &'t Table<'_>, column: &str) -> Result<Column<'t>> {
    const OP: &str = "require_numeric";
    let column = table.column(column)?;
    let fail = |message: String| Error::invalid(OP, "column", message).with("column", column.name());
    let Values::Category { codes, levels } = column.values() else {
        return match column.data_type() {
            DataType::Time => {
                Err(fail(format!("column `{}` holds times, not numbers", quote(column.name()))))
            }
            _ => Ok(column.clone()),
        };
    };
    let parsed: Vec<Option<f64>> = levels.iter().map(|level| float(level, Zeros::Allow)).collect();
    let number = |row: usize| usize::try_from(codes[row]).ok().and_then(|code| parsed[code]);
    let bad: Vec<usize> =
        (0..column.len()).filter(|&row| column.is_valid(row) && number(row).is_none()).collect();
    let Some(first) = bad.first() else {
        let value = |row| if column.is_valid(row) { number(row).unwrap_or(f64::NAN) } else { 0.0 };
        let values: Cow<'_, [f64]> = (0..column.len()).map(value).collect();
        return Column::new(column.name(), Values::F64(values), column.validity().cloned());
    };
    let shown = |row: &usize| {
        let text = column.label(*row).unwrap_or_default();
        format!("row {}: \"{}\" is not a number", row + 1, quote(&text))
    };
    let named: Vec<String> = bad.iter().take(3).map(shown).collect();
    let more = if bad.len() > 3 { format!("; and {} more", bad.len() - 3) } else { String::new() };
    let message = format!("column `{}`, {}{more}", quote(column.name()), named.join("; "));
    Err(fail(message).with("row", first + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_they_say_and_nothing_else() {
        for (text, expected) in [
            ("0", Some(0.0)),
            ("-1.5e3", Some(-1500.0)),
            ("+.5", Some(0.5)),
            ("5.", Some(5.0)),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("1e308", Some(1e308)),
            ("1e309", None),
            ("007", None),
            ("-00.5", None),
            ("1_000", None),
            ("1,5", None),
            ("0x10", None),
            ("1e", None),
            (".", None),
            ("", None),
            (" 1", None),
            ("٣", None),
        ] {
            assert_eq!(float(text, Zeros::Refuse), expected, "{text}");
        }
        assert!(float("NaN", Zeros::Refuse).is_some_and(f64::is_nan));
        assert_eq!(float("007", Zeros::Allow), Some(7.0));
        assert_eq!((integer("-12", Zeros::Refuse), integer("012", Zeros::Refuse)), (Some(-12), None));
        assert_eq!(integer("9223372036854775808", Zeros::Allow), None);
        assert!(is_whole("9223372036854775808") && !is_whole("-") && !is_whole("1."));
    }

    /// Expected values from Python 3 `datetime.fromisoformat(...).timestamp()`.
    #[test]
    fn times_are_iso_8601() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("2024-02-29", Some(1_709_164_800_000_000)),
            ("2024-02-29T23:59:59.123456789Z", Some(1_709_251_199_123_456)),
            ("1969-12-31 23:59:59.5", Some(-500_000)),
            ("2024-03-10T08:30", Some(1_710_059_400_000_000)),
            ("2024-03-10T08:30:00+05:30", Some(1_710_039_600_000_000)),
            ("2024-03-10T08:30:00-0800", Some(1_710_088_200_000_000)),
            ("2023-02-29", None),
            ("2024-1-1", None),
            ("2024-01-01T", None),
            ("2024-01-01T24:00", None),
            ("2024-01-01T23:59:60", None),
            ("2024-01-01T08:30.5", None),
            ("2024-01-01T08:30:00+25:00", None),
            ("2024-01-01T08:30:00+01", None),
            ("2024-01-01T08:30:00Zulu", None),
            ("20240101", None),
            ("äääää-01-01", None),
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
    }

    #[test]
    fn text_becomes_numbers_or_names_its_bad_rows() {
        let texts = [Some("1"), None, Some("007"), Some("x"), Some("y\n"), Some("x"), Some("z")];
        let table = Table::new(vec![Column::optional_text("c", texts).unwrap()]).unwrap();
        assert_eq!(
            require_numeric(&table, "c").unwrap_err().message(),
            r#"column `c`, row 4: "x" is not a number; row 5: "y\n" is not a number; row 6: "x" is not a number; and 1 more"#
        );
        let good = table.take(&[0, 1, 2]).unwrap();
        let numbers = require_numeric(&good, "c").unwrap();
        let floats = numbers.to_f64().unwrap();
        assert!(floats[0] == 1.0 && floats[1].is_nan() && floats[2] == 7.0 && numbers.missing() == 1);
        assert!(require_numeric(&good, "d").is_err());
        let time = Column::new("t", Values::Time(vec![0].into()), None).unwrap();
        assert!(require_numeric(&Table::new(vec![time]).unwrap(), "t").is_err());
    }
}
