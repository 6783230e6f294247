//! Durations as ISO 8601 writes them.

use std::time::Duration;

/// Nanoseconds of a second.
const SECOND: u128 = 1_000_000_000;

/// The duration that a text of ISO 8601 names: weeks, days, hours, minutes and seconds, each a whole number and the last one
/// perhaps with a fraction; `None` for anything else, for months and years, which have no length, and for more than a
/// [`Duration`] of a hundred years.
///
/// ```
/// use std::time::Duration;
/// use mlops_azure::http::operation::duration::parse;
/// assert_eq!(parse("PT5M"), Some(Duration::from_secs(300)));
/// assert_eq!(parse("P1DT0.5S"), Some(Duration::from_millis(86_400_500)));
/// for bad in ["", "P", "PT", "5M", "P1Y", "P1M", "PT5", "PT-5M", "PT5M5M", "PT1S1M", "P1D2H", "PT1.5H1M"] {
///     assert_eq!(parse(bad), None, "{bad}");
/// }
/// ```
pub fn parse(text: &str) -> Option<Duration> {
    const DATE: [(char, u128); 2] = [('W', 604_800 * SECOND), ('D', 86_400 * SECOND)];
    const TIME: [(char, u128); 3] = [('H', 3600 * SECOND), ('M', 60 * SECOND), ('S', SECOND)];
    const LONGEST: u128 = 100 * 366 * 86_400 * SECOND;
    if text.len() > 64 {
        return None;
    }
    let rest = text.strip_prefix('P')?;
    let (date, time) = match rest.split_once('T') {
        Some((date, time)) if !time.is_empty() => (date, time),
        None if !rest.is_empty() => (rest, ""),
        _ => return None,
    };
    let date_is_last = time.is_empty();
    let nanos = parts(date, &DATE, date_is_last)?.checked_add(parts(time, &TIME, true)?)?;
    let nanos = u64::try_from(nanos / SECOND)
        .ok()
        .zip(u32::try_from(nanos % SECOND).ok())
        .filter(|_| nanos <= LONGEST)?;
    Some(Duration::new(nanos.0, nanos.1))
}

/// The sum of numbers with units, which come in the order of `units`, each at most once.
fn parts(text: &str, units: &[(char, u128)], may_end_in_fraction: bool) -> Option<u128> {
    let (mut rest, mut units, mut sum) = (text, units, 0_u128);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ','))?;
        let (number, unit) = (rest.get(..end)?, rest.get(end..)?.chars().next()?);
        let at = units.iter().position(|(name, _)| *name == unit)?;
        let (_, length) = units.get(at)?;
        rest = rest.get(end + unit.len_utf8()..)?;
        let fraction_is_allowed = may_end_in_fraction && rest.is_empty();
        sum = sum.checked_add(amount(number, *length, fraction_is_allowed)?)?;
        units = units.get(at + 1..)?;
    }
    Some(sum)
}

/// So many units in nanoseconds.
fn amount(number: &str, length: u128, fraction_is_allowed: bool) -> Option<u128> {
    let (whole, fraction) = match number.split_once(['.', ',']) {
        None => (number, ""),
        Some((whole, fraction)) if fraction_is_allowed && !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 12 || fraction.len() > 12 || !digits(fraction) {
        return None;
    }
    let whole = whole.parse::<u128>().ok()?.checked_mul(length)?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part =
        if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()?.checked_mul(length)? / scale };
    whole.checked_add(part)
}

/// A duration as Azure writes it: days, hours, minutes and seconds, the seconds with as many digits as they need.
///
/// ```
/// use std::time::Duration;
/// use mlops_azure::http::operation::duration::format;
/// assert_eq!(format(Duration::from_secs(5)), "PT5S");
/// assert_eq!(format(Duration::from_secs(93_600)), "P1DT2H");
/// assert_eq!(format(Duration::from_millis(500)), "PT0.5S");
/// assert_eq!(format(Duration::ZERO), "PT0S");
/// ```
pub fn format(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    let (days, hours, minutes, seconds) =
        (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let part = |n: u64, unit: char| if n == 0 { String::new() } else { format!("{n}{unit}") };
    let fraction = match nanos {
        0 => part(seconds, 'S'),
        _ => format!("{}S", format!("{seconds}.{nanos:09}").trim_end_matches('0')),
    };
    let time = format!("{}{}{fraction}", part(hours, 'H'), part(minutes, 'M'));
    match (part(days, 'D').as_str(), time.as_str()) {
        ("", "") => "PT0S".to_owned(),
        (days, "") => format!("P{days}"),
        (days, time) => format!("P{days}T{time}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for nanos in
            [0, 1, 999_999_999, 1_000_000_000, 60_000_000_000, 86_399_999_999_999, 8_640_000_000_000_000]
        {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(parse(&format(duration)), Some(duration), "{}", format(duration));
        }
    }

    #[test]
    fn no_number_is_too_large_to_be_refused() {
        for text in [
            "PT999999999999H",
            "P9999999999999W",
            "PT1e9S",
            "PT0.1234567890123S",
            "P1WT1M",
            "PTé",
            "P1D",
            "PT1,5S",
        ] {
            let expected = match text {
                "P1WT1M" => Some(604_860.0),
                "P1D" => Some(86_400.0),
                "PT1,5S" => Some(1.5),
                _ => None,
            };
            assert_eq!(parse(text), expected.map(Duration::from_secs_f64), "{text}");
        }
        assert_eq!(parse(&format!("PT{}S", "1".repeat(1000))), None);
    }
}
