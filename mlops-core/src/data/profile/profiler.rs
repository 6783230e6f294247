//! A profile from a stream of batches.

use std::collections::HashMap;

use crate::data::validate::KeySet;
use crate::data::{DataType, Table, Values};
use crate::error::{Error, Result};
use crate::num::quantile::quantile_sorted;

use super::associations::{cramers_v, spearman};
use super::column::{BLOCK, State};
use super::distinct::Different;
use super::moments::{Block, Pair, finite};
use super::options::ProfileOptions;
use super::sample::Sample;
use super::summary::{
    Association, ColumnProfile, Correlation, Distinct, Histogram, NumericProfile, Profile, TextProfile,
    TimeProfile, TopValue,
};
use super::{alerts, hash};

/// The shares of the quantiles in a profile.
const SHARES: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

/// Describes a table batch by batch, with memory that does not grow with the rows: in each column up to
/// [`max_exact`](ProfileOptions::max_exact) different values, a sample of [`sample_rows`](ProfileOptions::sample_rows) rows, and 30 bytes for
/// each different row up to [`max_duplicate_rows`](ProfileOptions::max_duplicate_rows).
///
/// | what | exact | else |
/// |---|---|---|
/// | counts, minimum, maximum, moments, lengths, Pearson | always | |
/// | different values | up to `max_exact` | estimated, 0.81 % standard error |
/// | top values | while the different values are | from the sample |
/// | quantiles, histogram | up to `sample_rows` rows | from the sample; the error is stated |
/// | Spearman, Cramér's V | up to 10 000 rows, `sample_rows` rows | from the sample |
/// | repeated rows | up to `max_duplicate_rows` different ones | not known |
///
/// The result does not depend on how the stream is cut, but for the last digits of moments and correlations. O(rows × columns), and
/// O(rows × numeric columns²) with correlations.
///
/// ```
/// use mlops_core::data::{Column, ProfileOptions, Profiler, Table};
///
/// let mut profiler = Profiler::new(ProfileOptions::default())?;
/// for ages in [vec![61.0, 48.0], vec![f64::NAN, 48.0]] {
///     profiler.push(&Table::new(vec![Column::f64("age", ages)?])?)?;
/// }
/// let profile = profiler.profile()?;
/// let age = profile.column("age").ok_or("no such column")?;
/// let numeric = age.numeric.as_ref().ok_or("no numbers")?;
/// assert_eq!((age.distinct.count, numeric.nan, numeric.max), (2, 1, Some(61.0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Profiler {
    pub(super) options: ProfileOptions,
    pub(super) first_row: u64,
    pub(super) rows: u64,
    pub(super) columns: Option<Vec<State>>,
    /// The numeric columns that are correlated, by their place.
    numeric: Vec<usize>,
    /// For each pair of those, in the order (0, 1), (0, 2), …, (1, 2), ….
    pub(super) pairs: Vec<Pair>,
    pub(super) sample: Sample,
    pub(super) seen: Option<KeySet>,
    pub(super) duplicates: u64,
}

impl Profiler {
    /// A profiler that has seen nothing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for an option out of its documented limits.
    pub fn new(options: ProfileOptions) -> Result<Self> {
        if let Some((key, message)) = options.fault() {
            return Err(Error::invalid("Profiler::new", key, message));
        }
        let sample = Sample::new(options.sample_rows, options.seed);
        let seen = options.duplicates.then(KeySet::wide);
        Ok(Self {
            options,
            first_row: 0,
            rows: 0,
            columns: None,
            numeric: Vec::new(),
            pairs: Vec::new(),
            sample,
            seen,
            duplicates: 0,
        })
    }

    /// Sets the number of the first row in the whole, for a part that is merged later: which rows are sampled depends on it.
    #[must_use]
    pub fn with_first_row(mut self, first_row: u64) -> Self {
        self.first_row = first_row;
        self
    }

    /// How many rows were pushed.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Looks at a batch.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for other columns, types or another order than in earlier batches;
    /// then nothing has changed.
    pub fn push(&mut self, batch: &Table<'_>) -> Result<()> {
        self.settle(batch)?;
        let mut blocks: Vec<Vec<Block>> = vec![Vec::new(); self.numeric.len()];
        let places: HashMap<usize, usize> =
            self.numeric.iter().enumerate().map(|(at, column)| (*column, at)).collect();
        for (at, (state, column)) in self.columns.iter_mut().flatten().zip(batch.columns()).enumerate() {
            let mut mine = places.get(&at).and_then(|place| blocks.get_mut(*place));
            state.push(column, self.options.max_exact, |_, block| {
                if let Some(mine) = &mut mine {
                    mine.push(block);
                }
            });
        }
        self.correlate(&blocks, batch.rows());
        self.see_rows(batch);
        self.sample.push(batch, self.first_row.wrapping_add(self.rows))?;
        self.rows += batch.rows() as u64;
        Ok(())
    }

    fn settle(&mut self, batch: &Table<'_>) -> Result<()> {
        let Some(columns) = &self.columns else {
            let state = |c: &crate::data::Column<'_>| State::new(c.name(), c.data_type());
            self.begin(batch.columns().iter().map(state).collect());
            return Ok(());
        };
        let same = columns.len() == batch.columns().len()
            && columns
                .iter()
                .zip(batch.columns())
                .all(|(s, c)| s.name == c.name() && s.data_type == c.data_type());
        if same {
            return Ok(());
        }
        Err(Error::invalid(
            "Profiler::push",
            "batch",
            "has other columns, types or another order than earlier batches",
        ))
    }

    /// Takes the columns of the first batch.
    pub(super) fn begin(&mut self, columns: Vec<State>) {
        let numeric = columns.iter().enumerate().filter(|(_, state)| state.data_type.is_numeric());
        let most = if self.options.correlations { self.options.max_correlated } else { 0 };
        self.numeric = numeric.map(|(at, _)| at).take(most).collect();
        let n = self.numeric.len();
        self.pairs = vec![Pair::default(); n * n.saturating_sub(1) / 2];
        self.columns = Some(columns);
    }

    fn correlate(&mut self, blocks: &[Vec<Block>], rows: usize) {
        for block in 0..rows.div_ceil(BLOCK) {
            let mut pairs = self.pairs.iter_mut();
            for (at, a) in blocks.iter().enumerate() {
                for b in blocks.iter().skip(at + 1) {
                    if let (Some(pair), Some(a), Some(b)) = (pairs.next(), a.get(block), b.get(block)) {
                        pair.merge(&Pair::of(a, b));
                    }
                }
            }
        }
    }

    fn see_rows(&mut self, batch: &Table<'_>) {
        let Some(seen) = &mut self.seen else { return };
        let mut hashes = vec![[0; 2]; batch.rows()];
        batch.columns().iter().for_each(|column| hash::add_column(column, &mut hashes));
        for [high, low] in hashes {
            let key = u128::from(hash::mix(high)) << 64 | u128::from(hash::mix(low ^ high));
            self.duplicates += u64::from(!seen.insert(key));
        }
        if seen.kept() > self.options.max_duplicate_rows {
            self.seen = None;
        }
    }

    /// Adds what another profiler saw.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for other options or columns.
    ///
    /// ```
    /// use mlops_core::data::{Column, ProfileOptions, Profiler, Table};
    ///
    /// let part = |first, values: Vec<f64>| {
    ///     let mut profiler = Profiler::new(ProfileOptions::default())?.with_first_row(first);
    ///     profiler.push(&Table::new(vec![Column::f64("x", values)?])?)?;
    ///     Ok::<_, mlops_core::Error>(profiler)
    /// };
    /// let mut whole = part(0, vec![1.0, 2.0])?;
    /// whole.merge(&part(2, vec![3.0])?)?;
    /// let mean = whole.profile()?.columns[0].numeric.as_ref().and_then(|n| n.mean);
    /// assert_eq!(mean, Some(2.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        const OP: &str = "Profiler::merge";
        if self.options != other.options {
            return Err(Error::invalid(OP, "other", "has other options"));
        }
        let Some(theirs) = &other.columns else { return Ok(()) };
        let Some(mine) = &mut self.columns else {
            let first_row = self.first_row;
            *self = other.clone();
            self.first_row = first_row;
            return Ok(());
        };
        let shape =
            |states: &[State]| states.iter().map(|s| (s.name.clone(), s.data_type)).collect::<Vec<_>>();
        if shape(mine) != shape(theirs) {
            return Err(Error::invalid(OP, "other", "has other columns, types or another order"));
        }
        mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| mine.merge(theirs, self.options.max_exact));
        self.pairs.iter_mut().zip(&other.pairs).for_each(|(mine, theirs)| mine.merge(theirs));
        self.sample.merge(&other.sample)?;
        self.rows += other.rows;
        self.duplicates += other.duplicates;
        match (&mut self.seen, &other.seen) {
            (Some(seen), Some(more)) => self.duplicates += seen.merge(more),
            _ => self.seen = None,
        }
        if self.seen.as_ref().is_some_and(|seen| seen.kept() > self.options.max_duplicate_rows) {
            self.seen = None;
        }
        Ok(())
    }

    /// What has come of it so far.
    ///
    /// # Errors
    /// None for what a caller can do; those of [`Table::take`] if a sample contradicted itself.
    pub fn profile(&self) -> Result<Profile> {
        let sample = self.sample.table()?;
        let columns: Vec<ColumnProfile> =
            self.columns.iter().flatten().map(|state| self.describe(state, &sample)).collect();
        let mut profile = Profile {
            schema_version: 1,
            rows: self.rows,
            sample_rows: sample.rows() as u64,
            duplicates: self.seen.as_ref().map(|_| self.duplicates),
            correlations: self.correlations(&columns, &sample),
            columns,
            alerts: Vec::new(),
        };
        profile.alerts = alerts::alerts(&profile, &self.options);
        Ok(profile)
    }

    fn describe(&self, state: &State, sample: &Table<'_>) -> ColumnProfile {
        let (count, exact) = state.distinct();
        let there = state.rows - state.missing;
        let texts = &state.texts;
        ColumnProfile {
            name: state.name.clone(),
            data_type: state.data_type,
            count: there,
            missing: state.missing,
            distinct: Distinct { count: count.min(there), exact },
            top: self.top(state, sample),
            imbalance: imbalance(state),
            numeric: state.data_type.is_numeric().then(|| self.numbers(state, sample)),
            text: (texts.count > 0).then(|| TextProfile {
                min_length: texts.shortest,
                max_length: texts.longest,
                mean_length: texts.total as f64 / texts.count as f64,
                empty: texts.empty,
            }),
            time: state.times.map(|(min_micros, max_micros)| TimeProfile { min_micros, max_micros }),
        }
    }

    /// The most frequent values.
    fn top(&self, state: &State, sample: &Table<'_>) -> Vec<TopValue> {
        let mut all: Vec<(String, u64)> = match (&state.words, &state.labels) {
            (Different::Counted(words), Different::Counted(labels)) => {
                let word = |(bits, count): (&u64, &u64)| (written(state.data_type, *bits), *count);
                let label = |(text, count): (&String, &u64)| (text.clone(), *count);
                // Of very many values only the first are written out.
                let mut words: Vec<(&u64, &u64)> = words.iter().collect();
                if let Some((_, (_, least), _)) = cut(&mut words, self.options.top) {
                    let least = **least;
                    words.retain(|(_, count)| **count >= least);
                }
                words.into_iter().map(word).chain(labels.iter().map(label)).collect()
            }
            _ => self.sampled(state, sample),
        };
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all.truncate(self.options.top);
        all.into_iter().map(|(value, count)| TopValue { value, count }).collect()
    }

    /// Values of the sample, with their counts scaled to all rows.
    fn sampled(&self, state: &State, sample: &Table<'_>) -> Vec<(String, u64)> {
        let Some(column) = sample.get(&state.name) else { return Vec::new() };
        let mut counts: HashMap<String, u64> = HashMap::new();
        for row in (0..column.len()).filter(|row| column.is_valid(*row)) {
            let label = column.label(row).unwrap_or_default().into_owned();
            *counts.entry(label).or_default() += 1;
        }
        let (rows, drawn) = (u128::from(self.rows), sample.rows().max(1) as u128);
        let scaled =
            |count: u64| u64::try_from((u128::from(count) * rows + drawn / 2) / drawn).unwrap_or(u64::MAX);
        counts.into_iter().map(|(value, count)| (value, scaled(count))).collect()
    }

    fn numbers(&self, state: &State, sample: &Table<'_>) -> NumericProfile {
        let numbers = &state.numbers;
        let values = sample.get(&state.name).and_then(|column| column.to_f64().ok()).unwrap_or_default();
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let quantile = |share: f64| Some((share, quantile_sorted(&sorted, share).ok()?));
        let all = sample.rows() as u64 == self.rows;
        let n = sorted.len().max(1) as f64;
        let moments = &numbers.moments;
        let there = moments.n > 0.0;
        NumericProfile {
            nan: numbers.nan,
            positive_infinite: numbers.infinite[0],
            negative_infinite: numbers.infinite[1],
            zeros: numbers.zeros,
            negative: numbers.negative,
            min: numbers.range.map(|(low, _)| low),
            max: numbers.range.map(|(_, high)| high),
            sum: finite(there.then(|| moments.sum.value())),
            mean: moments.mean(),
            variance: moments.variance(),
            skewness: moments.skewness(),
            kurtosis: moments.kurtosis(),
            quantiles: SHARES.into_iter().filter_map(quantile).collect(),
            rank_error: if all { 0.0 } else { (200_f64.ln() / (2.0 * n)).sqrt() },
            histogram: numbers.range.and_then(|range| histogram(&sorted, range, self.options.bins)),
        }
    }

    fn correlations(&self, columns: &[ColumnProfile], sample: &Table<'_>) -> Vec<Correlation> {
        if !self.options.correlations {
            return Vec::new();
        }
        let name = |at: usize| columns.get(at).map(|column| column.name.clone()).unwrap_or_default();
        let mut pearson = Vec::new();
        let mut pairs = self.pairs.iter();
        for (at, a) in self.numeric.iter().enumerate() {
            for b in self.numeric.iter().skip(at + 1) {
                let Some(pair) = pairs.next() else { continue };
                #[expect(clippy::cast_sign_loss, reason = "a count of rows")]
                let rows = pair.n as u64;
                let (a, b) = (name(*a), name(*b));
                pearson.extend(pair.correlation().map(|value| Correlation {
                    a,
                    b,
                    kind: Association::Pearson,
                    value,
                    rows,
                }));
            }
        }
        let numeric: Vec<String> = self.numeric.iter().map(|at| name(*at)).collect();
        let is_class = |column: &&ColumnProfile| {
            let class = matches!(column.data_type, DataType::Category | DataType::Bool);
            class && column.distinct.exact && (2..=100).contains(&column.distinct.count)
        };
        let classes = columns.iter().filter(is_class).take(self.options.max_correlated);
        let classes: Vec<String> = classes.map(|column| column.name.clone()).collect();
        let mut out = Vec::new();
        for mut some in [pearson, spearman(sample, &numeric), cramers_v(sample, &classes)] {
            some.sort_by(|x, y| y.value.abs().total_cmp(&x.value.abs()));
            out.extend(some);
        }
        out
    }
}

type Split<'w, T> = (&'w mut [T], &'w mut T, &'w mut [T]);

/// Moves the most frequent to the front; `None` when there are no more than asked for.
fn cut<'w, 'v>(words: &'w mut [(&'v u64, &'v u64)], top: usize) -> Option<Split<'w, (&'v u64, &'v u64)>> {
    let last = top.checked_sub(1)?;
    (words.len() > top).then(|| words.select_nth_unstable_by(last, |a, b| b.1.cmp(a.1)))
}

/// A value that was counted by its bits.
fn written(data_type: DataType, bits: u64) -> String {
    match data_type {
        DataType::I64 => bits.cast_signed().to_string(),
        DataType::Bool => (bits != 0).to_string(),
        DataType::Time => chrono::DateTime::from_timestamp_micros(bits.cast_signed())
            .map_or_else(|| format!("{} µs", bits.cast_signed()), |time| time.to_rfc3339()),
        DataType::F32 => {
            #[expect(clippy::cast_possible_truncation, reason = "it was widened before")]
            let narrow = f64::from_bits(bits) as f32;
            narrow.to_string()
        }
        DataType::F64 | DataType::Category => f64::from_bits(bits).to_string(),
    }
}

fn imbalance(state: &State) -> Option<f64> {
    let counts: Vec<u64> = match (state.data_type, &state.words, &state.labels) {
        (DataType::Bool, Different::Counted(words), _) => words.values().copied().collect(),
        (DataType::Category, _, Different::Counted(labels)) => labels.values().copied().collect(),
        _ => return None,
    };
    if counts.len() < 2 {
        return None;
    }
    let total: f64 = counts.iter().map(|count| *count as f64).sum();
    let mut shares: Vec<f64> = counts.iter().map(|count| *count as f64 / total).collect();
    // A map has no order of its own, and a sum of floats has.
    shares.sort_unstable_by(f64::total_cmp);
    let entropy: f64 = shares.iter().map(|share| -share * share.ln()).sum();
    Some((1.0 - entropy / (counts.len() as f64).ln()).clamp(0.0, 1.0))
}

fn histogram(sorted: &[f64], (low, high): (f64, f64), bins: usize) -> Option<Histogram> {
    if sorted.is_empty() {
        return None;
    }
    let bins = if low == high { 1 } else { bins };
    let mut counts = vec![0; bins];
    for value in sorted {
        // Halves, so that the width of the widest range is no infinity.
        let share = (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
        let share = if share.is_nan() { 0.0 } else { share };
        #[expect(clippy::cast_sign_loss, reason = "a value is not below the minimum")]
        let cell = ((share * bins as f64) as usize).min(bins - 1);
        if let Some(count) = counts.get_mut(cell) {
            *count += 1;
        }
    }
    Some(Histogram { low, high, counts })
}

impl Profile {
    /// The profile of a table, with default options.
    ///
    /// # Errors
    /// As [`Profiler::profile`].
    ///
    /// ```
    /// use mlops_core::data::{AlertKind, Profile, parse_csv};
    ///
    /// let table = parse_csv(b"id,sex,bmi\n1,f,32.1\n2,f,\n3,f,21.6\n", &Default::default())?;
    /// let profile = Profile::of(&table)?;
    /// let kinds: Vec<AlertKind> = profile.alerts.iter().map(|alert| alert.kind).collect();
    /// assert!(kinds.contains(&AlertKind::Constant) && kinds.contains(&AlertKind::Missing));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn of(table: &Table<'_>) -> Result<Self> {
        let mut profiler = Profiler::new(ProfileOptions::default())?;
        profiler.push(table)?;
        profiler.profile()
    }
}

/// The values of a sampled column as numbers, NaN where there is none that is finite.
pub(super) fn floats(sample: &Table<'_>, name: &str, rows: usize) -> Vec<f64> {
    let Some(column) = sample.get(name) else { return Vec::new() };
    if matches!(column.values(), Values::Category { .. }) {
        return Vec::new();
    }
    let values = column.to_f64().unwrap_or_default();
    values.iter().take(rows).map(|value| if value.is_finite() { *value } else { f64::NAN }).collect()
}
