//! The fast Hoeffding drift detection method.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::check::{self, Version, checked_serde};
use super::run_length::{Calibration, errors};
use super::{OnlineDetector, OnlineState};

/// How an [`Fhddm`] decides.
///
/// ```
/// use mlops_drift::online::{Fhddm, FhddmOptions};
///
/// let options = FhddmOptions::default().with_window(200).with_short_window(25);
/// assert_eq!((options.window, options.short_window), (200, Some(25)));
/// Fhddm::new(options)?;
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FhddmOptions {
    /// The length of the window. Default: 100.
    pub window: usize,
    /// The length of a second, shorter window at its recent end, which sees abrupt changes earlier. Default: none.
    pub short_window: Option<usize>,
    /// δ in (0, 1): the level of one comparison. Default: 1e-6.
    pub delta: f64,
}

impl Default for FhddmOptions {
    fn default() -> Self {
        Self { window: 100, short_window: None, delta: 1e-6 }
    }
}

impl FhddmOptions {
    /// With a window of this length.
    #[must_use]
    pub fn with_window(mut self, window: usize) -> Self {
        self.window = window;
        self
    }

    /// With a second window of this length, or without.
    #[must_use]
    pub fn with_short_window(mut self, short_window: impl Into<Option<usize>>) -> Self {
        self.short_window = short_window.into();
        self
    }

    /// With comparisons at this level.
    #[must_use]
    pub fn with_delta(mut self, delta: f64) -> Self {
        self.delta = delta;
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        check::window("window", self.window, 1)?;
        check::open_unit("delta", self.delta)?;
        self.short_window.map_or(Ok(()), |short| {
            check::window("short_window", short, 1)?;
            check::option(
                "short_window",
                short as f64,
                short <= self.window,
                "must not be longer than `window`",
            )
        })
    }
}

/// FHDDM: the share of right predictions in a sliding window against the best it has been.
///
/// With the share p of right predictions among the last n values and m the largest such share so far:
///
/// > alarm when m − p > √(ln(1/δ)/2n)
///
/// and, if a short window is given, the same for it (Pesaranghader, Viktor, *Fast Hoeffding drift detection method for evolving
/// data streams*, ECML PKDD 2016; with two windows, Pesaranghader, Viktor, Paquet, *Reservoir of diverse adaptive learners and
/// stacking fast Hoeffding drift detection methods*, Machine Learning 107, 2018). O(1) time, n bits of memory. Restarts from
/// nothing after an alarm.
///
/// Values are 0 (right) or 1 (wrong), and the alarm is for errors that **rise**. river 0.26 documents the same input but alarms
/// when errors fall; fed with 1 − x it gives the same alarms.
///
/// ```
/// use mlops_drift::online::{Fhddm, OnlineDetector};
///
/// let mut detector = Fhddm::default();
/// // One error in ten, then one in two.
/// let stream = (0..1000).map(|i| if i < 600 { i % 10 == 0 } else { i % 2 == 0 });
/// let alarm = stream.map(|wrong| detector.update(f64::from(u8::from(wrong)))).position(|s| s.is_ok_and(|s| s.is_drift()));
/// assert!(alarm.is_some_and(|at| (600..700).contains(&at)));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Fhddm {
    version: Version,
    options: FhddmOptions,
    seen: u64,
    state: OnlineState,
    /// The window as a ring of bits, 1 for an error.
    bits: Vec<u64>,
    run: Run,
}

/// What was gathered since the last alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Run {
    /// How many values there are, at most the window's length.
    len: usize,
    /// Where the next value goes, which is where the oldest is once the window is full.
    next: usize,
    /// Errors in the window, and in the short one.
    errors: usize,
    short_errors: usize,
    /// The fewest errors either window had when full.
    fewest: Option<usize>,
    short_fewest: Option<usize>,
}

checked_serde!(Fhddm);

impl Default for Fhddm {
    fn default() -> Self {
        Self::fresh(FhddmOptions::default())
    }
}

impl Fhddm {
    /// A detector that has seen nothing.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for an option outside its range.
    ///
    /// ```
    /// use mlops_drift::online::{Fhddm, FhddmOptions};
    /// assert!(Fhddm::new(FhddmOptions::default().with_window(0)).is_err());
    /// ```
    pub fn new(options: FhddmOptions) -> Result<Self, StatsError> {
        options.check()?;
        Ok(Self::fresh(options))
    }

    /// A detector of one window with one false alarm in at least `arl` values at a constant error rate. δ is found by
    /// simulation. The statistic has only as many steps as the window has values, so that the run length jumps by up to a
    /// factor of four between one δ and the next; the smaller run length that suffices is taken. See
    /// [`run_length`](super::run_length) for cost and errors.
    ///
    /// ```
    /// let detector = mlops_drift::online::Fhddm::for_run_length(1000.0, 0.2, 1)?;
    /// assert!(detector.options().delta > 1e-6);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn for_run_length(arl: f64, error_rate: f64, seed: u64) -> Result<Self, StatsError> {
        let with =
            |strictness: f64| Self::new(FhddmOptions { delta: (-strictness).exp(), ..Default::default() });
        Calibration::new(arl, seed)?.loosest(1e-4, 60.0, with, errors(error_rate)?)
    }

    /// What it was made with.
    pub const fn options(&self) -> &FhddmOptions {
        &self.options
    }

    fn fresh(options: FhddmOptions) -> Self {
        Self {
            version: Version,
            options,
            seen: 0,
            state: OnlineState::Stable,
            bits: vec![0; options.window.div_ceil(64)],
            run: Run::default(),
        }
    }

    /// Whether the value at a position of the ring is an error.
    fn at(&self, position: usize) -> bool {
        self.bits.get(position / 64).is_some_and(|word| word >> (position % 64) & 1 == 1)
    }

    fn put(&mut self, position: usize, wrong: bool) {
        if let Some(word) = self.bits.get_mut(position / 64) {
            let bit = 1 << (position % 64);
            *word = if wrong { *word | bit } else { *word & !bit };
        }
    }

    fn push(&mut self, wrong: bool) {
        let FhddmOptions { window, short_window, .. } = self.options;
        let position = self.run.next;
        let leaves = self.run.len == window && self.at(position);
        self.run.errors = self.run.errors + usize::from(wrong) - usize::from(leaves);
        if let Some(short) = short_window {
            let leaves = self.run.len >= short && self.at((position + window - short) % window);
            self.run.short_errors = self.run.short_errors + usize::from(wrong) - usize::from(leaves);
        }
        self.put(position, wrong);
        self.run.next = if position + 1 == window { 0 } else { position + 1 };
        self.run.len = (self.run.len + 1).min(window);
    }

    /// Whether a window of n values has so many more errors than its fewest that it is an alarm.
    fn left(&self, n: usize, errors: usize, fewest: &mut Option<usize>) -> bool {
        let best = fewest.map_or(errors, |fewest| fewest.min(errors));
        *fewest = Some(best);
        let right = |errors: usize| (n - errors) as f64 / n as f64;
        right(best) - right(errors) > (check::ln_inverse(1.0, self.options.delta) / (2.0 * n as f64)).sqrt()
    }

    fn check(&self) -> Result<(), StatsError> {
        self.options.check()?;
        check::counted(self.seen, self.run.len as u64)?;
        let FhddmOptions { window, short_window, .. } = self.options;
        let Run { len, next, errors, short_errors, fewest, short_fewest } = self.run;
        let sized = self.bits.len() == window.div_ceil(64) && len <= window && next < window;
        check::consistent(sized && (len == window || next == len), "an FHDDM")?;
        let count =
            |n: usize| (1..=n.min(len)).filter(|back| self.at((next + window - back) % window)).count();
        let short = short_window.map_or(0, count);
        let few = fewest.is_none_or(|fewest| fewest <= window)
            && short_fewest.is_none_or(|fewest| short_window.is_some_and(|short| fewest <= short));
        check::consistent(errors == count(window) && short_errors == short && few, "an FHDDM")
    }
}

impl OnlineDetector for Fhddm {
    fn update(&mut self, value: f64) -> Result<OnlineState, StatsError> {
        let wrong = check::error(value, self.seen)?;
        if self.state.is_drift() {
            self.run = Run::default();
        }
        self.seen += 1;
        self.push(wrong);
        let mut drift = false;
        if self.run.len == self.options.window {
            let mut run = self.run;
            drift = self.left(self.options.window, run.errors, &mut run.fewest);
            if let Some(short) = self.options.short_window {
                drift |= self.left(short, run.short_errors, &mut run.short_fewest);
            }
            self.run = run;
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
        self.seen = 0;
        self.state = OnlineState::Stable;
        self.bits.fill(0);
        self.run = Run::default();
    }

    fn definition(&self) -> &'static str {
        "fhddm/1"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarms(detector: &mut Fhddm, rates: [u32; 2]) -> usize {
        let wrong = |i: u32| i * 7919 % 100 < rates[usize::from(i >= 500)];
        (0..1000).filter(|&i| detector.update(f64::from(u8::from(wrong(i)))).unwrap().is_drift()).count()
    }

    #[test]
    fn it_alarms_when_errors_rise_and_not_when_they_fall() {
        for short_window in [None, Some(25)] {
            let mut detector = Fhddm::new(FhddmOptions { short_window, ..Default::default() }).unwrap();
            assert_eq!(alarms(&mut detector, [10, 50]), 1);
            detector.reset();
            assert_eq!(alarms(&mut detector, [50, 10]), 0);
        }
    }

    #[test]
    fn the_counts_stay_those_of_the_windows() {
        let mut detector =
            Fhddm::new(FhddmOptions { window: 70, short_window: Some(9), delta: 0.5 }).unwrap();
        for i in 0..1000_u32 {
            detector.update(f64::from(u8::from(i.wrapping_mul(2_654_435_761) >> 29 == 0))).unwrap();
            detector.check().unwrap();
        }
    }
}
