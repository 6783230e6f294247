//! How long a peer asks to wait.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use mlops_core::time::Timestamp;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// The longest wait that is told: a day. Whoever asks for more is answered with a day, which is more than anybody waits.
const LONGEST: Duration = Duration::from_secs(86_400);

/// How long the answer asks to wait: `retry-after-ms` or `x-ms-retry-after-ms` in milliseconds, else `Retry-After` in seconds or
/// as a date; `None` where none of them is there and can be read.
///
/// A date is read against the answer's own `Date`, so that only the peer's clock counts; where it has none, against `now`. A date
/// that has passed is no wait at all.
///
/// ```
/// use std::time::Duration;
/// use mlops_azure::http::{HeaderMap, wait};
///
/// let now = "2026-01-01T00:00:00Z".parse().unwrap();
/// let mut headers = HeaderMap::new();
/// headers.insert("retry-after", "7".parse().unwrap());
/// assert_eq!(wait::asked(&headers, now), Some(Duration::from_secs(7)));
/// headers.insert("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT".parse().unwrap());
/// headers.insert("date", "Fri, 31 Dec 1999 23:59:49 GMT".parse().unwrap());
/// assert_eq!(wait::asked(&headers, now), Some(Duration::from_secs(10)));
/// ```
pub fn asked(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let milliseconds =
        ["retry-after-ms", "x-ms-retry-after-ms"].iter().find_map(|name| number(text(name)?, 0.001));
    let wait = milliseconds.or_else(|| {
        let asked = text(RETRY_AFTER.as_str())?;
        number(asked, 1.0).or_else(|| {
            let then = http_date(asked)?;
            let now = text(DATE.as_str()).and_then(http_date).unwrap_or(now);
            Some((then - now).to_std().unwrap_or_default())
        })
    })?;
    Some(wait.min(LONGEST))
}

/// A number that is not negative, in units of so many seconds.
fn number(text: &str, unit: f64) -> Option<Duration> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let seconds = text.parse::<f64>().ok().filter(|n| plain && n.is_finite())? * unit;
    Some(Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64())))
}

/// A date of HTTP, in each of the three forms of RFC 9110, section 5.6.7.
fn http_date(text: &str) -> Option<Timestamp> {
    const FORMS: [&str; 3] =
        ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    let by_form = |form| NaiveDateTime::parse_from_str(text, form).ok().map(|time| time.and_utc());
    FORMS.into_iter().find_map(by_form).or_else(|| DateTime::parse_from_rfc2822(text).ok().map(Into::into))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(pairs: &[(&'static str, &str)]) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        asked(&headers, "2021-01-01T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn every_form_is_read() {
        for (value, seconds) in [
            ("0", 0.0),
            ("7", 7.0),
            ("1.5", 1.5),
            (" 3 ", 3.0),
            ("Fri, 01 Jan 2021 00:00:10 GMT", 10.0),
            ("Friday, 01-Jan-21 00:00:10 GMT", 10.0),
            ("Fri Jan  1 00:00:10 2021", 10.0),
            ("Thu, 31 Dec 2020 23:59:50 GMT", 0.0),
            ("99999999999999999999", 86_400.0),
            ("Fri, 01 Jan 2100 00:00:10 GMT", 86_400.0),
        ] {
            assert_eq!(asks(&[("retry-after", value)]), Some(Duration::from_secs_f64(seconds)), "{value}");
        }
        assert_eq!(asks(&[("x-ms-retry-after-ms", "250")]), Some(Duration::from_millis(250)));
        assert_eq!(asks(&[("retry-after-ms", "1"), ("retry-after", "60")]), Some(Duration::from_millis(1)));
        assert_eq!(asks(&[("retry-after-ms", "x"), ("retry-after", "60")]), Some(Duration::from_secs(60)));
    }

    #[test]
    fn what_is_no_time_asks_for_nothing() {
        for value in ["", "-1", "soon", "1e9", "inf", "NaN", "0x10", "01 Jan 2021"] {
            assert_eq!(asks(&[("retry-after", value)]), None, "{value}");
        }
        assert_eq!(asks(&[]), None);
    }

    #[test]
    fn a_date_is_read_by_the_clock_of_the_one_who_wrote_it() {
        let retry = ("retry-after", "Fri, 01 Jan 2021 05:00:10 GMT");
        assert_eq!(asks(&[retry, ("date", "Fri, 01 Jan 2021 05:00:00 GMT")]), Some(Duration::from_secs(10)));
    }
}
