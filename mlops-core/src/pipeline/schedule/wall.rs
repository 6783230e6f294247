//! From times on a wall clock to moments.

use chrono::{LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset as _, TimeZone as _, Timelike as _};

use super::Zone;
use crate::time::Timestamp;

/// Times of a wall clock that come again: on some dates, at some minutes of the day.
pub(super) trait Wall {
    /// Whether it fires on a date.
    fn on(&self, date: NaiveDate) -> bool;

    /// At which minutes of the day, in order.
    fn times(&self) -> &[u16];

    /// Whether an hour that comes twice counts twice, and one that does not come not at all.
    fn follows_passing_time(&self) -> bool;
}

/// How many dates are looked through: the 29th of February comes after at most eight years.
const MAX_DATES: usize = 366 * 9;

/// The first moment after `after`; none where there is none in nine years.
pub(super) fn next(wall: &impl Wall, zone: Zone, after: Timestamp) -> Option<Timestamp> {
    if let Some(moment) = soon(wall, zone, after) {
        return Some(moment);
    }
    // From the date before: a clock that is set back at midnight shows yesterday again.
    let mut date = zone.local(after)?.date().pred_opt()?;
    let mut found: Option<Timestamp> = None;
    for _ in 0..MAX_DATES {
        let before = found;
        if wall.on(date) {
            let on_date = wall.times().iter().flat_map(|minute| moments(wall, zone, at(date, *minute)));
            let first = on_date.flatten().filter(|moment| *moment > after).min();
            found = match (found, first) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        // For the same reason the date after the first that has one is looked at too.
        if before.is_some() {
            return found;
        }
        date = date.succ_opt()?;
    }
    found
}

/// The next time on the wall clock within a week, where the clock is not changed on the way.
fn soon(wall: &impl Wall, zone: Zone, after: Timestamp) -> Option<Timestamp> {
    let local = zone.local(after)?;
    let now = u16::try_from(local.hour() * 60 + local.minute()).ok()?;
    let offset = zone.tz().offset_from_utc_datetime(&after.naive_utc()).fix();
    let mut date = local.date();
    for days in 0..7 {
        let mut times = wall.times().iter();
        let time = if wall.on(date) { times.find(|time| days > 0 || **time > now) } else { None };
        if let Some(minute) = time {
            return match zone.tz().from_local_datetime(&at(date, *minute)) {
                LocalResult::Single(moment) if moment.offset().fix() == offset => Some(moment.to_utc()),
                _ => None,
            };
        }
        date = date.succ_opt()?;
    }
    None
}

fn at(date: NaiveDate, minute: u16) -> NaiveDateTime {
    let seconds = u32::from(minute) * 60;
    date.and_time(NaiveTime::from_num_seconds_from_midnight_opt(seconds, 0).unwrap_or_default())
}

/// The moments at which a wall clock shows a time, as far as they count.
fn moments(wall: &impl Wall, zone: Zone, local: NaiveDateTime) -> [Option<Timestamp>; 2] {
    if !wall.follows_passing_time() {
        return [zone.moment(local), None];
    }
    match zone.tz().from_local_datetime(&local) {
        LocalResult::Single(moment) => [Some(moment.to_utc()), None],
        LocalResult::Ambiguous(one, other) => [Some(one.to_utc()), Some(other.to_utc())],
        LocalResult::None => [None, None],
    }
}
