//! What is remembered of a column for a statistic, so that it can be had at any time, in parts, and after a restart.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::data::profile::mix;
use crate::data::{Column, DataType, Range, Values};
use crate::num::json_float;
use crate::num::quantile::quantile_sorted;
use crate::num::sum::Sum;

use super::keys::{KeyReader, KeySet, KeyWords};
use super::statistic::Statistic;

/// The size of a sample of values. Twice as many are kept before it is drawn.
const SAMPLE: usize = 1 << 18;

/// By how much a share measured on a sample is off at most, with a probability of 99 %: √(ln(2/δ)/2k), see Massart 1990.
fn share_error() -> f64 {
    (200_f64.ln() / (2.0 * SAMPLE as f64)).sqrt()
}

/// A statistic, or why there is none.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Observed {
    Whole(i128),
    Real(f64),
    /// An estimate, and between which values the truth lies.
    Between {
        low: f64,
        estimate: f64,
        high: f64,
    },
    /// More than so many.
    MoreThan(u64),
    /// So many values are NaN, so that there is no number.
    Nan(u64),
    /// Too few values: what is needed.
    Few(&'static str),
}

impl Observed {
    /// The number, where there is one that is finite.
    pub(super) fn number(&self) -> Option<f64> {
        let number = match self {
            Self::Whole(whole) => *whole as f64,
            Self::Real(real) | Self::Between { estimate: real, .. } => *real,
            Self::MoreThan(_) | Self::Nan(_) | Self::Few(_) => return None,
        };
        Some(number).filter(|number| number.is_finite())
    }

    /// Whether it lies in a range; `None` where that is not known.
    pub(super) fn lies_in(&self, range: Range) -> Option<bool> {
        match self {
            Self::Whole(whole) => {
                let (low, high) = range.integers();
                Some((low..=high).contains(whole))
            }
            Self::Real(real) => Some(range.contains(*real)),
            Self::Between { low, high, .. } => match [range.contains(*low), range.contains(*high)] {
                [true, true] => Some(true),
                // Both outside on one side; else the range may lie in between.
                [false, false] if side(range, *low) == side(range, *high) => Some(false),
                _ => None,
            },
            Self::MoreThan(count) => {
                let (low, high) = range.integers();
                let count = i128::from(*count);
                match high <= count {
                    true => Some(false),
                    false => (range.max().is_none() && low <= count + 1).then_some(true),
                }
            }
            Self::Nan(_) => Some(false),
            Self::Few(_) => None,
        }
    }
}

/// On which side of a range a value lies that is not in it.
fn side(range: Range, value: f64) -> Option<Ordering> {
    let (low, high) = range.floats();
    if value < low { Some(Ordering::Less) } else { (value > high).then_some(Ordering::Greater) }
}

/// What is remembered for one statistic.
#[derive(Clone, Debug)]
pub(super) struct Aggregate {
    /// Values that are there, but NaN.
    nan: u64,
    seen: Seen,
}

#[derive(Clone, Debug)]
enum Seen {
    Sum { count: u64, whole: i128, real: Sum },
    Ends { whole: Option<(i64, i64)>, real: Option<(f64, f64)> },
    Spread(Spread),
    Draw(Draw),
    Different { keys: Option<KeySet>, more_than: Option<u64> },
}

impl Aggregate {
    pub(super) fn new(statistic: Statistic) -> Self {
        let seen = match statistic {
            Statistic::Mean | Statistic::Sum => Seen::Sum { count: 0, whole: 0, real: Sum::new() },
            Statistic::Min | Statistic::Max => Seen::Ends { whole: None, real: None },
            Statistic::StandardDeviation => Seen::Spread(Spread::default()),
            Statistic::Quantile(_) => Seen::Draw(Draw::default()),
            Statistic::Distinct => Seen::Different { keys: None, more_than: None },
        };
        Self { nan: 0, seen }
    }

    /// Looks at a batch.
    pub(super) fn see(&mut self, column: &Column<'_>, max_keys: u64) {
        if let Seen::Different { keys, more_than } = &mut self.seen {
            return see_different(column, keys, more_than, max_keys);
        }
        let rows = || (0..column.len()).filter(|row| column.is_valid(*row));
        match column.values() {
            Values::F64(values) => rows().filter_map(|row| values.get(row)).for_each(|x| self.real(*x)),
            Values::F32(values) => {
                rows().filter_map(|row| values.get(row)).for_each(|x| self.real(f64::from(*x)));
            }
            Values::I64(values) | Values::Time(values) => {
                rows().filter_map(|row| values.get(row)).for_each(|x| self.whole(*x));
            }
            Values::Bool(values) => {
                rows().filter_map(|row| values.get(row)).for_each(|x| self.whole(i64::from(*x)));
            }
            Values::Category { .. } => {}
        }
    }

    fn real(&mut self, value: f64) {
        if value.is_nan() {
            self.nan += 1;
            return;
        }
        match &mut self.seen {
            Seen::Sum { count, real, .. } => {
                *count += 1;
                real.push(value);
            }
            Seen::Ends { real, .. } => {
                let (low, high) = real.unwrap_or((value, value));
                *real = Some((low.min(value), high.max(value)));
            }
            Seen::Spread(spread) => spread.push(value),
            Seen::Draw(draw) => draw.push(value),
            Seen::Different { .. } => {}
        }
    }

    fn whole(&mut self, value: i64) {
        match &mut self.seen {
            Seen::Sum { count, whole, .. } => {
                *count += 1;
                // 2⁶³ times the number of rows of any table fits.
                *whole = whole.saturating_add(i128::from(value));
            }
            Seen::Ends { whole, .. } => {
                let (low, high) = whole.unwrap_or((value, value));
                *whole = Some((low.min(value), high.max(value)));
            }
            _ => self.real(value as f64),
        }
    }

    pub(super) fn merge(&mut self, other: &Self, max_keys: u64) {
        self.nan += other.nan;
        match (&mut self.seen, &other.seen) {
            (Seen::Sum { count, whole, real }, Seen::Sum { count: n, whole: w, real: r }) => {
                *count += n;
                *whole = whole.saturating_add(*w);
                real.merge(*r);
            }
            (Seen::Ends { whole, real }, Seen::Ends { whole: w, real: r }) => {
                *whole = match (*whole, *w) {
                    (Some((low, high)), Some((l, h))) => Some((low.min(l), high.max(h))),
                    (mine, theirs) => mine.or(theirs),
                };
                *real = match (*real, *r) {
                    (Some((low, high)), Some((l, h))) => Some((low.min(l), high.max(h))),
                    (mine, theirs) => mine.or(theirs),
                };
            }
            (Seen::Spread(mine), Seen::Spread(theirs)) => mine.merge(theirs),
            (Seen::Draw(mine), Seen::Draw(theirs)) => mine.merge(theirs),
            (Seen::Different { keys, more_than }, Seen::Different { keys: k, more_than: m }) => {
                *more_than = (*more_than).max(*m);
                match (keys.as_mut(), k) {
                    (Some(mine), Some(theirs)) => drop(mine.merge(theirs)),
                    (None, Some(theirs)) => *keys = Some(theirs.clone()),
                    _ => {}
                }
                give_up(keys, more_than, max_keys);
            }
            // Validators of the same expectations have the same statistics.
            _ => {}
        }
    }

    /// The statistic so far.
    pub(super) fn observed(&self, statistic: Statistic) -> Observed {
        if self.nan > 0 {
            return Observed::Nan(self.nan);
        }
        match (&self.seen, statistic) {
            (Seen::Sum { count: 0, .. }, _) => Observed::Few("has no value"),
            (Seen::Sum { count, whole, real }, Statistic::Mean) => {
                // A column is of one sort: the other part is zero.
                let mean = if *whole == 0 { real.value() } else { *whole as f64 } / *count as f64;
                Observed::Real(mean)
            }
            (Seen::Sum { whole, real, .. }, _) if real.value() == 0.0 => Observed::Whole(*whole),
            (Seen::Sum { real, .. }, _) => Observed::Real(real.value()),
            (Seen::Ends { whole: None, real: None }, _) => Observed::Few("has no value"),
            (Seen::Ends { whole: Some((low, high)), .. }, _) => {
                let end = if statistic == Statistic::Min { low } else { high };
                Observed::Whole(i128::from(*end))
            }
            (Seen::Ends { real, .. }, _) => {
                let (low, high) = real.unwrap_or((f64::NAN, f64::NAN));
                Observed::Real(if statistic == Statistic::Min { low } else { high })
            }
            (Seen::Spread(spread), _) => match spread.deviation() {
                Some(deviation) => Observed::Real(deviation),
                None => Observed::Few("has fewer than two values"),
            },
            (Seen::Draw(draw), Statistic::Quantile(share)) => draw.quantile(share),
            (Seen::Draw(_), _) => Observed::Few("has no value"),
            (Seen::Different { more_than: Some(count), .. }, _) => Observed::MoreThan(*count),
            (Seen::Different { keys, .. }, _) => {
                Observed::Whole(i128::try_from(keys.as_ref().map_or(0, KeySet::count)).unwrap_or(i128::MAX))
            }
        }
    }
}

fn see_different(column: &Column<'_>, keys: &mut Option<KeySet>, more_than: &mut Option<u64>, max_keys: u64) {
    if more_than.is_some() {
        return;
    }
    let reader = KeyReader::new(vec![column]);
    let set = keys.get_or_insert_with(|| reader.set());
    let mut buffer = Vec::new();
    // Of a category, each level once for each batch.
    let mut levels: Vec<bool> = match column.values() {
        Values::Category { levels, .. } => vec![false; levels.len()],
        _ => Vec::new(),
    };
    for row in (0..column.len()).filter(|row| column.is_valid(*row)) {
        if let Values::Category { codes, .. } = column.values() {
            let code = codes.get(row).and_then(|code| usize::try_from(*code).ok());
            let Some(known) = code.and_then(|code| levels.get_mut(code)) else { continue };
            if std::mem::replace(known, true) {
                continue;
            }
        }
        set.insert(reader.key(row, &mut buffer));
        if set.kept() > max_keys {
            break;
        }
    }
    give_up(keys, more_than, max_keys);
}

/// Forgets keys of which there are too many.
fn give_up(keys: &mut Option<KeySet>, more_than: &mut Option<u64>, max_keys: u64) {
    if keys.as_ref().is_some_and(|keys| keys.kept() > max_keys) {
        *more_than = Some(max_keys);
    }
    if more_than.is_some() {
        *keys = None;
    }
}

/// What is wrong with asking this of a column: what it is not.
pub(super) fn unsuited(data_type: DataType, statistic: Statistic) -> Option<&'static str> {
    let suited = match statistic {
        Statistic::Mean | Statistic::Sum => data_type.is_numeric() || data_type == DataType::Bool,
        Statistic::StandardDeviation => data_type.is_numeric(),
        Statistic::Min | Statistic::Max | Statistic::Quantile(_) => {
            data_type.is_numeric() || data_type == DataType::Time
        }
        Statistic::Distinct => true,
    };
    (!suited).then(|| statistic.name())
}

/// Values around their mean: Welford's updates, with means as distances from the first value and both sums compensated; merged by
/// the formula of Chan, Golub and LeVeque (1979).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spread {
    count: u64,
    #[serde(with = "json_float")]
    origin: f64,
    distances: Sum,
    squares: Sum,
}

impl Spread {
    fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.distances.value() / self.count as f64 }
    }

    fn push(&mut self, value: f64) {
        if self.count == 0 {
            self.origin = value;
        }
        let (distance, before) = (value - self.origin, self.mean());
        self.distances.push(distance);
        self.count += 1;
        self.squares.push((distance - before) * (distance - self.mean()));
    }

    fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let (n, m) = (self.count as f64, other.count as f64);
        let shift = other.origin - self.origin;
        let apart = shift + (other.mean() - self.mean());
        self.squares.merge(other.squares);
        self.squares.push(apart * apart * (n / (n + m)) * m);
        self.distances.merge(other.distances);
        self.distances.push(shift * m);
        self.count += other.count;
    }

    fn deviation(&self) -> Option<f64> {
        (self.count >= 2).then(|| (self.squares.value() / (self.count - 1) as f64).sqrt())
    }
}

/// Values, all of them as long as they are few: then those with the smallest of numbers drawn for each (bottom-k).
///
/// A number depends on all values before, so that no two streams have the same numbers unless they begin the same.
#[derive(Clone, Debug, PartialEq)]
struct Draw {
    count: u64,
    chain: u64,
    /// Values with a number above it are not looked at.
    bound: u64,
    values: Vec<f64>,
    numbers: Vec<u64>,
}

impl Default for Draw {
    fn default() -> Self {
        Self { count: 0, chain: 0, bound: u64::MAX, values: Vec::new(), numbers: Vec::new() }
    }
}

impl Draw {
    fn push(&mut self, value: f64) {
        self.chain = mix(self.chain.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ value.to_bits());
        self.count += 1;
        if self.chain > self.bound {
            return;
        }
        self.values.push(value);
        self.numbers.push(self.chain);
        if self.values.len() >= 2 * SAMPLE {
            self.cut();
        }
    }

    /// Leaves a sample.
    fn cut(&mut self) {
        if self.numbers.len() > SAMPLE {
            let mut sorted = self.numbers.clone();
            let (_, bound, _) = sorted.select_nth_unstable(SAMPLE - 1);
            self.bound = self.bound.min(*bound);
        }
        let bound = self.bound;
        let kept = |(value, number): (&f64, &u64)| (*number <= bound).then_some((*value, *number));
        let (values, numbers) = self.values.iter().zip(&self.numbers).filter_map(kept).unzip();
        (self.values, self.numbers) = (values, numbers);
        // Streams that begin the same have the same numbers twice.
        self.values.truncate(SAMPLE);
        self.numbers.truncate(SAMPLE);
    }

    fn merge(&mut self, other: &Self) {
        self.chain = mix(self.chain ^ other.chain.rotate_left(32));
        self.count += other.count;
        self.bound = self.bound.min(other.bound);
        self.values.extend_from_slice(&other.values);
        self.numbers.extend_from_slice(&other.numbers);
        if self.bound < u64::MAX || self.values.len() >= 2 * SAMPLE {
            self.cut();
        }
    }

    fn quantile(&self, share: f64) -> Observed {
        let all = self.values.len() as u64 == self.count;
        let mut sample = self.clone();
        if !all {
            sample.cut();
        }
        let mut sorted = sample.values;
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| quantile_sorted(&sorted, share.clamp(0.0, 1.0)).unwrap_or(f64::NAN);
        if sorted.is_empty() {
            return Observed::Few("has no value");
        }
        if all {
            return Observed::Real(at(share));
        }
        let error = share_error();
        Observed::Between { low: at(share - error), estimate: at(share), high: at(share + error) }
    }
}

/// The same as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AggregateWire {
    nan: u64,
    seen: SeenWire,
}

/// Integers of 128 bits as text, and floats of a sample as their bits: JSON has neither.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum SeenWire {
    Sum { count: u64, whole: String, real: Sum },
    Ends { whole: Option<(i64, i64)>, real: Option<(u64, u64)> },
    Spread(Spread),
    Draw { count: u64, chain: u64, bound: u64, values: Vec<u64>, numbers: Vec<u64> },
    Different { keys: Option<KeyWords>, more_than: Option<u64> },
}

impl From<&Aggregate> for AggregateWire {
    fn from(aggregate: &Aggregate) -> Self {
        let seen = match &aggregate.seen {
            Seen::Sum { count, whole, real } => {
                SeenWire::Sum { count: *count, whole: whole.to_string(), real: *real }
            }
            Seen::Ends { whole, real } => SeenWire::Ends {
                whole: *whole,
                real: real.map(|(low, high)| (low.to_bits(), high.to_bits())),
            },
            Seen::Spread(spread) => SeenWire::Spread(*spread),
            Seen::Draw(Draw { count, chain, bound, values, numbers }) => SeenWire::Draw {
                count: *count,
                chain: *chain,
                bound: *bound,
                values: values.iter().map(|value| value.to_bits()).collect(),
                numbers: numbers.clone(),
            },
            Seen::Different { keys, more_than } => {
                SeenWire::Different { keys: keys.as_ref().map(KeySet::to_words), more_than: *more_than }
            }
        };
        Self { nan: aggregate.nan, seen }
    }
}

impl AggregateWire {
    /// What was written for this statistic, of at most so many values; `None` for what is never written.
    pub(super) fn aggregate(self, statistic: Statistic, rows: u64) -> Option<Aggregate> {
        let within = |count: u64| count.checked_add(self.nan).is_some_and(|all| all <= rows);
        let seen = match (self.seen, statistic) {
            (SeenWire::Sum { count, whole, real }, Statistic::Mean | Statistic::Sum) if within(count) => {
                Seen::Sum { count, whole: whole.parse().ok()?, real }
            }
            (SeenWire::Ends { whole, real }, Statistic::Min | Statistic::Max) if within(0) => {
                let real = real.map(|(low, high)| (f64::from_bits(low), f64::from_bits(high)));
                let upright =
                    whole.is_none_or(|(low, high)| low <= high) && real.is_none_or(|(low, high)| low <= high);
                upright.then_some(Seen::Ends { whole, real })?
            }
            (SeenWire::Spread(spread), Statistic::StandardDeviation) if within(spread.count) => {
                Seen::Spread(spread)
            }
            (SeenWire::Draw { count, chain, bound, values, numbers }, Statistic::Quantile(_))
                if within(count) =>
            {
                let values: Vec<f64> = values.into_iter().map(f64::from_bits).collect();
                let fits = values.len() == numbers.len()
                    && values.len() < 2 * SAMPLE
                    && values.len() as u64 <= count
                    && (values.len() as u64 == count || bound < u64::MAX)
                    && numbers.iter().all(|number| *number <= bound)
                    && !values.iter().any(|value| value.is_nan());
                fits.then_some(Seen::Draw(Draw { count, chain, bound, values, numbers }))?
            }
            (SeenWire::Different { keys, more_than }, Statistic::Distinct) if within(0) => {
                let keys = match keys {
                    Some(words) => Some(KeySet::from_words(&words)?),
                    None => None,
                };
                let few = keys.as_ref().is_none_or(|keys| keys.count() <= u128::from(rows));
                (few && (keys.is_none() || more_than.is_none()))
                    .then_some(Seen::Different { keys, more_than })?
            }
            _ => return None,
        };
        Some(Aggregate { nan: self.nan, seen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_decides_only_where_all_it_may_stand_for_is_on_one_side() {
        let range = Range::new(Some(0.0), Some(10.0)).unwrap();
        let between = |low, high| Observed::Between { low, estimate: low, high }.lies_in(range);
        assert_eq!(between(1.0, 2.0), Some(true));
        assert_eq!((between(-2.0, -1.0), between(11.0, 12.0)), (Some(false), Some(false)));
        assert_eq!((between(-1.0, 1.0), between(9.0, 11.0), between(-1.0, 11.0)), (None, None, None));
        let more = |range| Observed::MoreThan(100).lies_in(range);
        assert_eq!(more(Range::new(None, Some(100.0)).unwrap()), Some(false));
        assert_eq!(more(Range::new(Some(101.0), None).unwrap()), Some(true));
        assert_eq!(more(Range::new(Some(1_000.0), None).unwrap()), None);
        assert_eq!(more(range.with_exclusive_max(true).unwrap()), Some(false));
    }

    #[test]
    fn a_drawn_quantile_lies_within_its_error_whole_and_merged() {
        // A permutation of 0..n, so that the quantile at p is p·(n − 1).
        let n = 1_000_003_u64;
        let value = |i: u64| (i * 7_919 % n) as f64;
        let (mut whole, mut parts) = (Draw::default(), [Draw::default(), Draw::default()]);
        for i in 0..n {
            whole.push(value(i));
            parts[usize::from(i >= n / 3)].push(value(i));
        }
        let [mut merged, rest] = parts;
        merged.merge(&rest);
        for draw in [&whole, &merged] {
            assert!(draw.values.len() < 2 * SAMPLE && draw.count == n);
            for share in [0.0, 0.01, 0.5, 0.9, 1.0] {
                let Observed::Between { low, high, estimate } = draw.quantile(share) else { panic!("exact") };
                let truth = share * (n - 1) as f64;
                assert!(share_error() < 0.003_2 && (estimate - truth).abs() <= share_error() * n as f64);
                let ends = share == 0.0 || share == 1.0;
                assert!(ends || (low..=high).contains(&truth), "{share}: {truth} not in [{low}, {high}]");
            }
        }
    }
}
