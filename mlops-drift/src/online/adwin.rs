//! Adaptive windowing.

use mlops_core::num::{Measured, Random, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::check::{self, Version};
use super::run_length::Calibration;
use super::standard::sorted;
use super::{OnlineDetector, OnlineState, Standard};
use crate::{Sample, Value};

/// How an [`Adwin`] decides.
///
/// ```
/// use mlops_drift::online::{Adwin, AdwinOptions};
///
/// let options = AdwinOptions::default().with_delta(0.0002).with_clock(8);
/// assert_eq!((options.delta, options.clock), (0.0002, 8));
/// Adwin::new(options)?;
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdwinOptions {
    /// How values are standardised first. Default: not at all, which suits values in [0, 1].
    pub standard: Standard,
    /// δ in (0, 1): the level of one check. Default: 0.002.
    pub delta: f64,
    /// A check comes every so many values. Default: 32.
    pub clock: u32,
    /// M: how many buckets of one size there may be; more see the place of a change more exactly. Default: 5.
    pub max_buckets: usize,
    /// The least length of both parts of a cut. Default: 5.
    pub min_window: u32,
    /// No check comes while the window is not longer than this. Default: 10.
    pub grace_period: u32,
    /// Whether an alarm empties the window; else it keeps what came after the cut. Default: no.
    pub restart: bool,
}

impl Default for AdwinOptions {
    fn default() -> Self {
        Self {
            standard: Standard::default(),
            delta: 0.002,
            clock: 32,
            max_buckets: 5,
            min_window: 5,
            grace_period: 10,
            restart: false,
        }
    }
}

impl AdwinOptions {
    /// With values standardised like this.
    #[must_use]
    pub fn with_standard(mut self, standard: Standard) -> Self {
        self.standard = standard;
        self
    }

    /// With checks at this level.
    #[must_use]
    pub fn with_delta(mut self, delta: f64) -> Self {
        self.delta = delta;
        self
    }

    /// With a check every so many values.
    #[must_use]
    pub fn with_clock(mut self, clock: u32) -> Self {
        self.clock = clock;
        self
    }

    /// With at most so many buckets of one size.
    #[must_use]
    pub fn with_max_buckets(mut self, max_buckets: usize) -> Self {
        self.max_buckets = max_buckets;
        self
    }

    /// With both parts of a cut at least so long.
    #[must_use]
    pub fn with_min_window(mut self, min_window: u32) -> Self {
        self.min_window = min_window;
        self
    }

    /// With the first check when the window is longer than this.
    #[must_use]
    pub fn with_grace_period(mut self, grace_period: u32) -> Self {
        self.grace_period = grace_period;
        self
    }

    /// With a window that an alarm empties, or not.
    #[must_use]
    pub fn with_restart(mut self, restart: bool) -> Self {
        self.restart = restart;
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        self.standard.check()?;
        check::open_unit("delta", self.delta)?;
        check::option("clock", self.clock.into(), self.clock > 0, "must be at least 1")?;
        check::option("min_window", self.min_window.into(), self.min_window > 0, "must be at least 1")?;
        let buckets = self.max_buckets;
        check::option("max_buckets", buckets as f64, (1..=1000).contains(&buckets), "must lie in [1, 1000]")
    }
}

/// ADWIN: a window that grows while its mean stays the same and drops its old end when it does not.
///
/// At every check the window of n values with variance s² is cut in two, between any two buckets. With the lengths n₀ and n₁
/// of the parts, w the least length and 1/m = 1/(n₀ − w + 1) + 1/(n₁ − w + 1):
///
/// > cut when |x̄₀ − x̄₁| > √(2 s²/m · ln(2 ln(n)/δ)) + 2/(3m) · ln(2 ln(n)/δ)
///
/// Then the oldest bucket is dropped and the search begins anew, until there is no cut or the window is no longer than the grace
/// period; that is one alarm (Bifet, Gavaldà, *Learning from time-changing data with adaptive windowing*, SIAM Data Mining 2007;
/// the least length as in MOA). Buckets hold 2ⁱ values each, at most M of a size (variances after Babcock, Datar, Motwani,
/// O'Callaghan, PODS 2003).
///
/// Values up to ±1e100; the second term supposes a range of about 1, so standardise others. Amortised O(1) for insertion and
/// O(M log n) for a check; memory for 48·(M + 1) buckets is taken at construction. After an alarm the recent part of the
/// window stays. river 0.26 empties the window instead; with [`AdwinOptions::restart`] every alarm is equal to its.
///
/// ```
/// use mlops_drift::online::{Adwin, OnlineDetector};
///
/// let mut detector = Adwin::default();
/// let stream = (0..2000).map(|i| if i < 1000 { f64::from(i % 2) } else { 0.8 + f64::from(i % 2) });
/// let alarms: Vec<usize> =
///     stream.enumerate().filter_map(|(i, x)| detector.update(x).is_ok_and(|s| s.is_drift()).then_some(i)).collect();
/// // The window takes three checks to forget what the stream was like before.
/// assert_eq!(alarms, [1023, 1055, 1119]);
/// assert!(detector.width() < 1100 && detector.mean().value().is_some_and(|mean| mean > 1.25));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Adwin {
    options: AdwinOptions,
    seen: u64,
    state: OnlineState,
    /// Values until the next check.
    until: u32,
    /// The first value: sums are of deviations from it, so that a large level costs no precision.
    origin: f64,
    buckets: Buckets,
}

/// The window as buckets: row i holds buckets of 2ⁱ values, the oldest first.
#[derive(Clone, Debug, PartialEq)]
struct Buckets {
    /// M + 1: a row is merged as soon as it is full.
    stride: usize,
    /// How many rows are in use.
    rows: usize,
    counts: Vec<usize>,
    totals: Vec<f64>,
    /// Sums of squared deviations from the bucket's mean. 0 where there is no bucket, as in `totals`.
    squares: Vec<f64>,
    /// Length, sum and sum of squared deviations of the window.
    width: f64,
    total: f64,
    variance: f64,
}

/// Rows: enough for 5·2⁴⁷ values, which is more than will come.
const ROWS: usize = 48;

/// A detector as it is written: the buckets that there are, in their order.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: Version,
    options: AdwinOptions,
    seen: u64,
    state: OnlineState,
    until: u32,
    origin: f64,
    total: f64,
    variance: f64,
    rows: Vec<Vec<(f64, f64)>>,
}

impl From<Adwin> for Stored {
    fn from(detector: Adwin) -> Self {
        let Adwin { options, seen, state, until, origin, buckets } = detector;
        let row = |row: usize| {
            let from = row * buckets.stride;
            let cells = from..from + buckets.counts[row];
            buckets.totals[cells.clone()]
                .iter()
                .copied()
                .zip(buckets.squares[cells].iter().copied())
                .collect()
        };
        Self {
            version: Version,
            options,
            seen,
            state,
            until,
            origin,
            total: buckets.total,
            variance: buckets.variance,
            rows: (0..buckets.rows).map(row).collect(),
        }
    }
}

impl TryFrom<Stored> for Adwin {
    type Error = StatsError;

    fn try_from(stored: Stored) -> Result<Self, StatsError> {
        let Stored { options, seen, state, until, origin, total, variance, rows, .. } = stored;
        options.check()?;
        check::counted(seen, 0)?;
        let fits = rows.len() <= ROWS && rows.iter().all(|row| row.len() <= options.max_buckets);
        let tight = rows.last().is_none_or(|row| !row.is_empty() || rows.len() == 1);
        check::consistent(fits && tight && (1..=options.clock).contains(&until), "an ADWIN")?;
        let mut buckets = Buckets::new(options.max_buckets);
        (buckets.rows, buckets.total, buckets.variance) = (rows.len().max(1), total, variance);
        for (i, row) in rows.iter().enumerate() {
            buckets.width += row.len() as f64 * size(i);
            buckets.counts[i] = row.len();
            for (k, &(total, squares)) in row.iter().enumerate() {
                (buckets.totals[i * buckets.stride + k], buckets.squares[i * buckets.stride + k]) =
                    (total, squares);
            }
        }
        Ok(Self { options, seen, state, until, origin, buckets })
    }
}

impl Default for Adwin {
    fn default() -> Self {
        Self::fresh(AdwinOptions::default())
    }
}

impl Adwin {
    /// A detector that has seen nothing.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for an option outside its range.
    ///
    /// ```
    /// use mlops_drift::online::{Adwin, AdwinOptions};
    /// assert!(Adwin::new(AdwinOptions::default().with_clock(0)).is_err());
    /// ```
    pub fn new(options: AdwinOptions) -> Result<Self, StatsError> {
        options.check()?;
        Ok(Self::fresh(options))
    }

    /// A detector with one false alarm in `arl` values.
    ///
    /// Values are standardised by [`Standard::fit`] on the reference; δ is found by simulation on values drawn from the
    /// reference, to within a factor of 1.5. See [`run_length`](super::run_length) for cost and errors; those of
    /// [`Standard::fit`] too. ADWIN is a cautious test: at δ → 1 a normal column has one false alarm in about 900 values.
    ///
    /// ```
    /// let reference: Vec<f64> = (0..1000).map(|i| f64::from(i * 37 % 101)).collect();
    /// let detector = mlops_drift::online::Adwin::for_run_length(2000.0, &reference, 1)?;
    /// assert!(detector.options().delta > 0.002);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn for_run_length<'a, T: Value>(
        arl: f64,
        reference: impl Into<Sample<'a, T>>,
        seed: u64,
    ) -> Result<Self, StatsError> {
        let values = sorted(reference.into())?;
        let standard = Standard::of_sorted(&values)?;
        let with = |strictness: f64| {
            Self::new(AdwinOptions { standard, delta: (-strictness).exp(), ..Default::default() })
        };
        let draw = |random: &mut Random| {
            #[expect(clippy::cast_sign_loss, reason = "a share of a length")]
            let at = (random.next_f64() * values.len() as f64) as usize;
            values[at.min(values.len() - 1)]
        };
        Calibration::new(arl, seed)?.loosest(1e-4, 60.0, with, draw)
    }

    /// What it was made with.
    pub const fn options(&self) -> &AdwinOptions {
        &self.options
    }

    /// The length of the window.
    #[expect(clippy::cast_sign_loss, reason = "a length")]
    pub const fn width(&self) -> u64 {
        self.buckets.width as u64
    }

    /// The mean of the (standardised) values in the window.
    pub fn mean(&self) -> Measured {
        self.per_value(self.buckets.total).map(|mean| mean + self.origin)
    }

    /// The variance (n) of the (standardised) values in the window.
    pub fn variance(&self) -> Measured {
        self.per_value(self.buckets.variance)
    }

    fn per_value(&self, sum: f64) -> Measured {
        match self.width() {
            0 => Measured::none(UndefinedReason::TooFew, 0, 1),
            _ => Measured::Value(sum / self.buckets.width),
        }
    }

    fn fresh(options: AdwinOptions) -> Self {
        let buckets = Buckets::new(options.max_buckets);
        Self { options, seen: 0, state: OnlineState::Stable, until: options.clock, origin: 0.0, buckets }
    }

    /// Drops the old end of the window as long as there is a cut.
    #[inline(never)]
    fn shrink(&mut self) -> bool {
        let mut drift = false;
        while self.buckets.width > f64::from(self.options.grace_period) && self.buckets.cut(&self.options) {
            self.buckets.drop_oldest();
            drift = true;
            if self.buckets.width < 2.0 {
                break;
            }
        }
        drift
    }
}

/// How many values a bucket of a row holds.
const fn size(row: usize) -> f64 {
    (1_u64 << row) as f64
}

impl Buckets {
    fn new(max_buckets: usize) -> Self {
        let stride = max_buckets + 1;
        Self {
            stride,
            rows: 1,
            counts: vec![0; ROWS],
            totals: vec![0.0; ROWS * stride],
            squares: vec![0.0; ROWS * stride],
            width: 0.0,
            total: 0.0,
            variance: 0.0,
        }
    }

    fn clear(&mut self) {
        self.counts.fill(0);
        self.totals.fill(0.0);
        self.squares.fill(0.0);
        (self.rows, self.width, self.total, self.variance) = (1, 0.0, 0.0, 0.0);
    }

    #[inline]
    fn push(&mut self, value: f64) {
        if self.width > 0.0 {
            let deviation = value - self.total / self.width;
            self.variance += self.width * deviation * deviation / (self.width + 1.0);
        }
        self.width += 1.0;
        self.total += value;
        if self.insert(0, value, 0.0) {
            self.merge();
        }
    }

    /// Adds a bucket at the recent end of a row; says whether the row is full now.
    #[inline]
    fn insert(&mut self, row: usize, total: f64, squares: f64) -> bool {
        let count = self.counts[row];
        let at = row * self.stride + count;
        (self.totals[at], self.squares[at]) = (total, squares);
        self.counts[row] = count + 1;
        count + 1 == self.stride
    }

    /// Merges the two oldest buckets of each full row into one of the next.
    fn merge(&mut self) {
        for row in 0..ROWS - 1 {
            if self.counts[row] < self.stride {
                return;
            }
            let (at, n) = (row * self.stride, size(row));
            let [(t0, s0), (t1, s1)] = [at, at + 1].map(|at| (self.totals[at], self.squares[at]));
            let gap = t0 / n - t1 / n;
            self.remove_oldest(row, 2);
            self.rows = self.rows.max(row + 2);
            self.insert(row + 1, t0 + t1, s0 + s1 + n * 0.5 * gap * gap);
        }
        // The last row has no next one: its oldest bucket leaves the window.
        if self.counts[ROWS - 1] == self.stride {
            self.drop_oldest();
        }
    }

    fn remove_oldest(&mut self, row: usize, n: usize) {
        let (from, to) = (row * self.stride, row * self.stride + self.counts[row]);
        for column in [&mut self.totals, &mut self.squares] {
            column.copy_within(from + n..to, from);
            column[to - n..to].fill(0.0);
        }
        self.counts[row] -= n;
    }

    /// Takes the oldest bucket out of the window.
    fn drop_oldest(&mut self) {
        let row = self.rows - 1;
        if self.counts[row] == 0 {
            return;
        }
        let (n, at) = (size(row), row * self.stride);
        let (total, squares) = (self.totals[at], self.squares[at]);
        self.width -= n;
        self.total -= total;
        let gap = total / n - self.total / self.width;
        let between = n * self.width * gap * gap / (n + self.width);
        self.remove_oldest(row, 1);
        if self.width > 0.0 {
            // Rounding must not leave a negative variance, which would see no drift ever after.
            self.variance = (self.variance - squares - between).max(0.0);
        } else {
            (self.total, self.variance) = (0.0, 0.0);
        }
        while self.rows > 1 && self.counts[self.rows - 1] == 0 {
            self.rows -= 1;
        }
    }

    /// Whether some cut of the window separates means that differ.
    fn cut(&self, options: &AdwinOptions) -> bool {
        let least = f64::from(options.min_window);
        let spare = least - 1.0;
        let log = check::ln_inverse(2.0 * self.width.ln(), options.delta);
        let (spread, range) = (2.0 * (self.variance / self.width) * log, 2.0 / 3.0 * log);
        let (mut n0, mut n1, mut u0, mut u1) = (0.0, self.width, 0.0, self.total);
        for row in (0..self.rows).rev() {
            let (n, from) = (size(row), row * self.stride);
            for &total in &self.totals[from..from + self.counts[row]] {
                (n0, n1, u0, u1) = (n0 + n, n1 - n, u0 + total, u1 - total);
                if n1 < least {
                    return false;
                }
                if n0 >= least {
                    let m = 1.0 / (n0 - spare) + 1.0 / (n1 - spare);
                    if (u0 / n0 - u1 / n1).abs() > (spread * m).sqrt() + range * m {
                        return true;
                    }
                }
            }
        }
        false
    }
}

impl OnlineDetector for Adwin {
    #[inline]
    fn update(&mut self, value: f64) -> Result<OnlineState, StatsError> {
        let value = self.options.standard.apply(value, self.seen)?;
        if self.options.restart && self.state.is_drift() {
            self.buckets.clear();
            self.until = self.options.clock;
        }
        if self.buckets.width == 0.0 {
            self.origin = value;
        }
        self.seen += 1;
        self.buckets.push(value - self.origin);
        self.until -= 1;
        let mut drift = false;
        if self.until == 0 {
            self.until = self.options.clock;
            drift = self.shrink();
        }
        self.state = OnlineState::of(drift, false);
        Ok(self.state)
    }

    fn state(&self) -> OnlineState {
        self.state
    }

    fn seen(&self) -> u64 {
        self.seen
    }

    fn reset(&mut self) {
        (self.seen, self.state, self.until) = (0, OnlineState::Stable, self.options.clock);
        self.origin = 0.0;
        self.buckets.clear();
    }

    fn definition(&self) -> &'static str {
        "adwin/1"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brute(values: &[f64]) -> (f64, f64) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean, values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64)
    }

    #[test]
    fn mean_and_variance_are_those_of_the_window() {
        let values: Vec<f64> = (0..4000)
            .map(|i| f64::from(i * 7919 % 1009) / 1009.0 + if i < 2500 { 0.0 } else { 3.0 })
            .collect();
        let mut detector = Adwin::default();
        let mut alarms = 0;
        for (i, &value) in values.iter().enumerate() {
            alarms += usize::from(detector.update(value).unwrap().is_drift());
            let width = usize::try_from(detector.width()).unwrap();
            let (mean, variance) = brute(&values[i + 1 - width..=i]);
            assert!((detector.mean().value().unwrap() - mean).abs() < 1e-11, "at {i}");
            assert!((detector.variance().value().unwrap() - variance).abs() < 1e-11, "at {i}");
        }
        assert!(alarms > 0 && detector.width() < 1600);
    }

    #[test]
    fn a_window_keeps_what_came_after_the_change_unless_told_to_restart() {
        for (restart, most) in [(false, 1500), (true, 1499)] {
            let mut detector = Adwin::new(AdwinOptions { restart, ..Default::default() }).unwrap();
            for i in 0..3000 {
                detector.update(if i < 1500 { 0.0 } else { 1.0 }).unwrap();
            }
            assert!(detector.width() <= most, "{}", detector.width());
            assert!(detector.width() > 1400);
        }
    }

    #[test]
    fn a_constant_stream_of_any_size_is_no_drift() {
        for constant in [0.0, 1e-300, 0.1, -1e100] {
            let mut detector = Adwin::default();
            assert!((0..5000).all(|_| detector.update(constant) == Ok(OnlineState::Stable)), "{constant:e}");
        }
    }

    #[test]
    fn a_state_that_contradicts_itself_is_refused() {
        let mut detector = Adwin::default();
        (0..100).for_each(|i| assert!(detector.update(f64::from(i)).is_ok()));
        let text = serde_json::to_string(&detector).unwrap();
        for (from, to) in [
            ("\"until\":28", "\"until\":0"),
            ("\"clock\":32", "\"clock\":0"),
            ("\"version\":1", "\"version\":9"),
        ] {
            assert!(text.contains(from), "{text}");
            assert!(serde_json::from_str::<Adwin>(&text.replace(from, to)).is_err(), "{to}");
        }
    }
}
