//! The Page–Hinkley test.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::check::{self, Version, checked_serde};
use super::{Cusum, Direction, OnlineDetector, OnlineState, Standard};
use crate::{Sample, Value};

/// How a [`PageHinkley`] decides.
///
/// ```
/// use mlops_drift::online::{PageHinkley, PageHinkleyOptions};
///
/// let options = PageHinkleyOptions::default().with_threshold(20.0).with_target(0.1);
/// assert_eq!((options.threshold, options.target), (20.0, Some(0.1)));
/// PageHinkley::new(options)?;
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageHinkleyOptions {
    /// How values are standardised first. Default: not at all.
    pub standard: Standard,
    /// δ ≥ 0: how large a deviation from the mean is none. Default: 0.005.
    pub delta: f64,
    /// λ > 0: how far the cumulative sum may leave its extreme. Default: 50.
    pub threshold: f64,
    /// α in (0, 1]: the factor by which the sum is forgotten at each value. Default: 0.9999.
    pub forgetting: f64,
    /// How many values must have come before the first alarm. Default: 30.
    pub min_values: u64,
    /// Which changes are alarms. Default: both.
    pub direction: Direction,
    /// The mean when nothing has changed; `None` takes the mean of all values so far. Default: `None`.
    pub target: Option<f64>,
}

impl Default for PageHinkleyOptions {
    fn default() -> Self {
        Self {
            standard: Standard::default(),
            delta: 0.005,
            threshold: 50.0,
            forgetting: 1.0 - 0.0001,
            min_values: 30,
            direction: Direction::Both,
            target: None,
        }
    }
}

impl PageHinkleyOptions {
    /// With values standardised like this.
    #[must_use]
    pub fn with_standard(mut self, standard: Standard) -> Self {
        self.standard = standard;
        self
    }

    /// With deviations up to this that are none.
    #[must_use]
    pub fn with_delta(mut self, delta: f64) -> Self {
        self.delta = delta;
        self
    }

    /// With this distance of the sum from its extreme as the alarm.
    #[must_use]
    pub fn with_threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// With this factor of forgetting.
    #[must_use]
    pub fn with_forgetting(mut self, forgetting: f64) -> Self {
        self.forgetting = forgetting;
        self
    }

    /// With no alarm before so many values.
    #[must_use]
    pub fn with_min_values(mut self, min_values: u64) -> Self {
        self.min_values = min_values;
        self
    }

    /// With alarms for these changes.
    #[must_use]
    pub fn with_direction(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }

    /// With this mean when nothing has changed; `None` takes the mean so far.
    #[must_use]
    pub fn with_target(mut self, target: impl Into<Option<f64>>) -> Self {
        self.target = target.into();
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        self.standard.check()?;
        check::not_negative("delta", self.delta)?;
        check::positive("threshold", self.threshold)?;
        let forgetting = self.forgetting;
        check::option("forgetting", forgetting, forgetting > 0.0 && forgetting <= 1.0, "must lie in (0, 1]")?;
        self.target.map_or(Ok(()), |target| check::real(target, 0).map(drop))
    }
}

/// The Page–Hinkley test: the sum of deviations from the running mean, against its own extreme.
///
/// With the mean x̄ₜ of the values so far (this one included) and U₀ = L₀ = 0,
///
/// > Uₜ = α Uₜ₋₁ + (xₜ − x̄ₜ − δ), alarm when Uₜ − min(0, U₁ … Uₜ) > λ
/// >
/// > Lₜ = α Lₜ₋₁ + (xₜ − x̄ₜ + δ), alarm when max(0, L₁ … Lₜ) − Lₜ > λ
///
/// (E. S. Page, *Continuous inspection schemes*, Biometrika 41, 1954; D. V. Hinkley, *Inference about the change-point from
/// cumulative sum tests*, Biometrika 58, 1971). Extremes start at 0, as in the paper. Restarts from nothing after an alarm.
///
/// λ has the unit of the values: choose it by [`PageHinkley::for_run_length`]. Values up to ±1e100; O(1) time and memory.
/// The defaults and all alarms are those of river 0.26 (its extremes start at ∞ and −1, which comes to the same: the first
/// deviation from a running mean is 0).
///
/// ```
/// use mlops_drift::online::{OnlineDetector, PageHinkley};
///
/// let mut detector = PageHinkley::default();
/// let stream = (0..2000).map(|i| f64::from(i % 2) + if i < 1000 { 0.0 } else { 5.0 });
/// let alarms: Vec<usize> =
///     stream.enumerate().filter_map(|(i, x)| detector.update(x).is_ok_and(|s| s.is_drift()).then_some(i)).collect();
/// assert_eq!(alarms, [1009]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct PageHinkley {
    version: Version,
    options: PageHinkleyOptions,
    seen: u64,
    state: OnlineState,
    run: Run,
}

/// What was gathered since the last alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Run {
    n: u64,
    mean: f64,
    up: f64,
    lowest: f64,
    down: f64,
    highest: f64,
}

checked_serde!(PageHinkley);

impl PageHinkley {
    /// A detector that has seen nothing.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for an option outside its range.
    ///
    /// ```
    /// use mlops_drift::online::{PageHinkley, PageHinkleyOptions};
    /// assert!(PageHinkley::new(PageHinkleyOptions::default().with_threshold(0.0)).is_err());
    /// ```
    pub fn new(options: PageHinkleyOptions) -> Result<Self, StatsError> {
        options.check()?;
        Ok(Self { options, ..Self::default() })
    }

    /// A detector with one false alarm in `arl` values, made to see a shift of `shift` standard deviations.
    ///
    /// On standardised values with a known mean and without forgetting this test is the two-sided [`Cusum`] with slack δ and
    /// threshold λ, and so λ comes from the same Markov chain: see [`Cusum::for_run_length`], also for the errors.
    ///
    /// ```
    /// use mlops_drift::online::PageHinkley;
    ///
    /// let reference: Vec<f64> = (0..1000).map(|i| f64::from(i * 37 % 101)).collect();
    /// let options = *PageHinkley::for_run_length(1000.0, 1.0, &reference)?.options();
    /// assert_eq!((options.delta, options.target, options.forgetting), (0.5, Some(0.0), 1.0));
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn for_run_length<'a, T: Value>(
        arl: f64,
        shift: f64,
        reference: impl Into<Sample<'a, T>>,
    ) -> Result<Self, StatsError> {
        let cusum = *Cusum::for_run_length(arl, shift, reference)?.options();
        Self::new(PageHinkleyOptions {
            standard: cusum.standard,
            delta: cusum.slack,
            threshold: cusum.threshold,
            forgetting: 1.0,
            min_values: 1,
            direction: cusum.direction,
            target: Some(0.0),
        })
    }

    /// What it was made with.
    pub const fn options(&self) -> &PageHinkleyOptions {
        &self.options
    }

    /// The larger of the two distances that are compared with λ, of those that are watched.
    pub fn statistic(&self) -> f64 {
        let (up, down) = self.options.direction.sides();
        let rise = if up { self.run.up - self.run.lowest } else { 0.0 };
        let fall = if down { self.run.highest - self.run.down } else { 0.0 };
        rise.max(fall)
    }

    fn check(&self) -> Result<(), StatsError> {
        self.options.check()?;
        check::counted(self.seen, self.run.n)
    }
}

impl Run {
    #[inline]
    fn push(&mut self, value: f64, options: &PageHinkleyOptions) {
        self.n += 1;
        self.mean += (1.0 / self.n as f64) * (value - self.mean);
        let deviation = value - options.target.unwrap_or(self.mean);
        self.up = options.forgetting * self.up + deviation - options.delta;
        self.down = options.forgetting * self.down + deviation + options.delta;
        self.lowest = self.lowest.min(self.up);
        self.highest = self.highest.max(self.down);
    }
}

impl OnlineDetector for PageHinkley {
    #[inline]
    fn update(&mut self, value: f64) -> Result<OnlineState, StatsError> {
        let value = self.options.standard.apply(value, self.seen)?;
        if self.state.is_drift() {
            self.run = Run::default();
        }
        self.seen += 1;
        self.run.push(value, &self.options);
        let ready = self.run.n >= self.options.min_values;
        self.state = OnlineState::of(ready && self.statistic() > self.options.threshold, false);
        Ok(self.state)
    }

    fn state(&self) -> OnlineState {
        self.state
    }

    fn seen(&self) -> u64 {
        self.seen
    }

    fn reset(&mut self) {
        *self = Self { options: self.options, ..Self::default() };
    }

    fn definition(&self) -> &'static str {
        "page_hinkley/1"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fall_counts_from_zero_even_when_the_first_value_is_already_low() {
        // With a known mean an extreme that starts at −1 would hide the first unit of a fall.
        let options = PageHinkleyOptions {
            target: Some(0.0),
            delta: 0.0,
            threshold: 1.5,
            forgetting: 1.0,
            min_values: 1,
            ..Default::default()
        };
        let mut detector = PageHinkley::new(options).unwrap();
        assert_eq!(detector.update(-1.0), Ok(OnlineState::Stable));
        assert_eq!(detector.statistic(), 1.0);
        assert_eq!(detector.update(-1.0), Ok(OnlineState::Drift));
    }

    #[test]
    fn a_direction_that_is_not_watched_gives_no_alarm() {
        for (direction, sign, expected) in [
            (Direction::Up, 1.0, true),
            (Direction::Up, -1.0, false),
            (Direction::Down, 1.0, false),
            (Direction::Down, -1.0, true),
            (Direction::Both, -1.0, true),
        ] {
            let mut detector =
                PageHinkley::new(PageHinkleyOptions { direction, ..Default::default() }).unwrap();
            let alarmed = (0..400)
                .any(|i| detector.update(if i < 200 { 0.0 } else { sign }).is_ok_and(OnlineState::is_drift));
            assert_eq!(alarmed, expected, "{direction:?} {sign}");
        }
    }
}
