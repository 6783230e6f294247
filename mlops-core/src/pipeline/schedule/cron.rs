//! Cron expressions.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike as _, NaiveDate};
use serde::{Deserialize, Serialize};

use super::wall::Wall;
use crate::error::{Error, Result, quote};

/// A cron expression of five fields: minute, hour, day of month, month, day of week.
///
/// Each field is `*`, a number, a range `a-b`, either with a step (`*/15`, `8-18/2`), or a list of these. Months and days of the week may be
/// English names of three letters; Sunday is 0 and 7. Where both days are restricted, a date matches if *one* of them does (POSIX); where
/// one of them begins with `*`, both must.
///
/// # When a clock is set forward or back
/// As Vixie's cron has it. An expression whose minute or hour begins with `*` follows the passing of time: in an hour that comes twice
/// it fires twice, in one that does not come it does not. Any other fires once a day for each of its times: in an hour that comes twice
/// at the first, and a time that does not come at the end of the gap.
///
/// ```
/// use mlops_core::pipeline::schedule::Cron;
/// let cron: Cron = "0 2 * * mon-fri".parse()?;
/// assert_eq!(cron.to_string(), "0 2 * * mon-fri");
/// let error = "0 25 * * *".parse::<Cron>().unwrap_err();
/// assert_eq!(error.context("field"), Some("hour"));
/// assert_eq!(error.context("column"), Some("3"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    /// Minutes of the day, in order.
    times: Vec<u16>,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether both days must match.
    both_days: bool,
    passing: bool,
}

const OP: &str = "Cron::from_str";

/// The longest expression, in bytes.
const MAX_BYTES: usize = 1_000;

struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    words: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, words: &[] },
    Field { name: "hour", min: 0, max: 23, words: &[] },
    Field { name: "day of month", min: 1, max: 31, words: &[] },
    Field {
        name: "month",
        min: 1,
        max: 12,
        words: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Field { name: "day of week", min: 0, max: 7, words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

impl Field {
    fn fail(&self, text: &str, at: usize, message: impl Into<String>) -> Error {
        Error::invalid(OP, self.name, message).with("value", text).with("column", at + 1)
    }

    /// The values of a field as bits; `at` is where it begins in the expression.
    fn parse(&self, text: &str, at: usize) -> Result<u64> {
        let (mut bits, mut here) = (0, at);
        for item in text.split(',') {
            bits |= self.item(item, here)?;
            here += item.len() + 1;
        }
        Ok(bits)
    }

    fn item(&self, item: &str, at: usize) -> Result<u64> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.min, self.max),
            Some((first, last)) => {
                let first = self.value(first, item, at)?;
                match self.value(last, item, at)? {
                    // From Friday to Sunday.
                    0 if self.max == 7 && first > 0 => (first, 7),
                    last => (first, last),
                }
            }
            None if step.is_some() => {
                let message = "a step needs a range: `*/2` or `0-30/2`";
                return Err(self.fail(item, at, message));
            }
            None => {
                let only = self.value(range, item, at)?;
                (only, only)
            }
        };
        if first > last {
            return Err(self.fail(item, at, "the range is turned round"));
        }
        let step = match step {
            None => 1,
            Some(step) => match number(step) {
                Some(step @ 1..) if step <= self.max => step,
                _ => return Err(self.fail(item, at, format!("a step must be from 1 to {}", self.max))),
            },
        };
        let step = usize::try_from(step).unwrap_or(1);
        Ok((first..=last).step_by(step).fold(0, |bits, value| bits | 1 << value))
    }

    fn value(&self, text: &str, item: &str, at: usize) -> Result<u32> {
        if let Some(place) = self.words.iter().position(|word| word.eq_ignore_ascii_case(text)) {
            return Ok(u32::try_from(place).unwrap_or_default() + self.min);
        }
        number(text).filter(|value| (self.min..=self.max).contains(value)).ok_or_else(|| {
            let message = format!("must be from {} to {}, got \"{}\"", self.min, self.max, quote(text));
            self.fail(item, at, message)
        })
    }
}

/// A number of one or two digits.
fn number(text: &str) -> Option<u32> {
    let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

impl FromStr for Cron {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.len() > MAX_BYTES {
            return Err(Error::limit(OP, "the expression", MAX_BYTES, text.len()));
        }
        let fields: Vec<(usize, &str)> = text
            .split([' ', '\t'])
            .filter(|field| !field.is_empty())
            .map(|field| (field.as_ptr().addr() - text.as_ptr().addr(), field))
            .collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            let message = format!("must have 5 fields (minute hour day month weekday), has {}", fields.len());
            return Err(Error::invalid(OP, "expression", message).with("value", text));
        };
        let bits = |number: usize, (at, text): &(usize, &str)| FIELDS[number].parse(text, *at);
        let (minutes, hours) = (bits(0, minute)?, bits(1, hour)?);
        let (days, months) = (bits(2, day)?, bits(3, month)?);
        // Both numbers of Sunday.
        let weekdays = match bits(4, weekday)? {
            bits if bits & (1 << 7) != 0 => bits | 1,
            bits => bits,
        };
        let star = |(_, text): &(usize, &str)| text.starts_with('*');
        let in_hour =
            |hour: u16| (0..60).filter(move |minute| minutes & 1 << minute != 0).map(move |m| hour * 60 + m);
        Ok(Self {
            text: text.to_owned(),
            times: (0..24).filter(|hour| hours & 1 << hour != 0).flat_map(in_hour).collect(),
            days,
            months,
            weekdays,
            both_days: star(day) || star(weekday),
            passing: star(minute) || star(hour),
        })
    }
}

impl Wall for Cron {
    fn on(&self, date: NaiveDate) -> bool {
        let day = self.days & 1 << date.day() != 0;
        let weekday = self.weekdays & 1 << date.weekday().num_days_from_sunday() != 0;
        let month = self.months & 1 << date.month() != 0;
        month && if self.both_days { day && weekday } else { day || weekday }
    }

    fn times(&self) -> &[u16] {
        &self.times
    }

    fn follows_passing_time(&self) -> bool {
        self.passing
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Cron {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_expression_is_refused_with_its_place() {
        for (text, field, column) in [
            ("", "expression", None),
            ("* * * *", "expression", None),
            ("0 * * * * *", "expression", None),
            ("60 * * * *", "minute", Some("1")),
            ("0 24 * * *", "hour", Some("3")),
            ("0 0 0 * *", "day of month", Some("5")),
            ("0 0 1,32 * *", "day of month", Some("7")),
            ("0 0 * 13 *", "month", Some("7")),
            ("0 0 * * 8", "day of week", Some("9")),
            ("0 0 * * mon-fry", "day of week", Some("9")),
            ("5/2 * * * *", "minute", Some("1")),
            ("*/0 * * * *", "minute", Some("1")),
            ("*/99 * * * *", "minute", Some("1")),
            ("30-10 * * * *", "minute", Some("1")),
            ("1,,2 * * * *", "minute", Some("3")),
            ("-1 * * * *", "minute", Some("1")),
            ("１ * * * *", "minute", Some("1")),
            ("0 0 L * *", "day of month", Some("5")),
        ] {
            let error = text.parse::<Cron>().unwrap_err();
            assert_eq!(
                (error.context("field"), error.context("column")),
                (Some(field), column),
                "{text}: {error}"
            );
        }
        assert!("1,".repeat(1000).parse::<Cron>().is_err());
    }

    #[test]
    fn days_are_either_or_where_both_are_restricted() {
        let on = |cron: &str, date: &str| cron.parse::<Cron>().unwrap().on(date.parse().unwrap());
        // 2025-06-13 is a Friday, 2025-05-13 a Tuesday.
        for (cron, date, expected) in [
            ("0 0 13 * 5", "2025-06-13", true),
            ("0 0 13 * 5", "2025-05-13", true),
            ("0 0 13 * 5", "2025-06-20", true),
            ("0 0 13 * 5", "2025-06-19", false),
            ("0 0 13 * *", "2025-06-20", false),
            ("0 0 * * 5", "2025-05-13", false),
            ("0 0 */2 * 5", "2025-06-13", true),
            ("0 0 */2 * 5", "2025-06-20", false),
            ("0 0 * * 7", "2025-06-15", true),
            ("0 0 * * 0", "2025-06-15", true),
            ("0 0 * * fri-sun", "2025-06-15", true),
            ("0 0 * FEB *", "2025-06-15", false),
        ] {
            assert_eq!(on(cron, date), expected, "{cron} on {date}");
        }
    }
}
