//! The cumulative sum chart.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::check::{self, Version, checked_serde};
use super::run_length::{Law, solve};
use super::standard::sorted;
use super::{Direction, OnlineDetector, OnlineState, Standard};
use crate::{Sample, Value};

/// How a [`Cusum`] decides.
///
/// ```
/// use mlops_drift::online::{Cusum, CusumOptions, Direction};
///
/// let options = CusumOptions::default().with_threshold(4.0).with_direction(Direction::Up);
/// assert_eq!((options.threshold, options.direction), (4.0, Direction::Up));
/// Cusum::new(options)?;
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CusumOptions {
    /// How values are standardised first. Default: not at all, which suits values that are standard normal.
    pub standard: Standard,
    /// k ≥ 0: the deviation that is none, best half of the shift to be seen. Default: ½.
    pub slack: f64,
    /// h > 0: the sum that is an alarm. Default: 5, one false alarm in 465 standard normal values.
    pub threshold: f64,
    /// Which changes are alarms. Default: both.
    pub direction: Direction,
}

impl Default for CusumOptions {
    fn default() -> Self {
        Self { standard: Standard::default(), slack: 0.5, threshold: 5.0, direction: Direction::Both }
    }
}

impl CusumOptions {
    /// With values standardised like this.
    #[must_use]
    pub fn with_standard(mut self, standard: Standard) -> Self {
        self.standard = standard;
        self
    }

    /// With deviations up to this that are none.
    #[must_use]
    pub fn with_slack(mut self, slack: f64) -> Self {
        self.slack = slack;
        self
    }

    /// With this sum as the alarm.
    #[must_use]
    pub fn with_threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// With alarms for these changes.
    #[must_use]
    pub fn with_direction(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        self.standard.check()?;
        check::not_negative("slack", self.slack)?;
        check::positive("threshold", self.threshold)
    }
}

/// The two-sided CUSUM chart: deviations from the target are added up as long as the sum says something.
///
/// With standardised values z and S⁺₀ = S⁻₀ = 0:
///
/// > S⁺ₜ = max(0, S⁺ₜ₋₁ + zₜ − k), S⁻ₜ = max(0, S⁻ₜ₋₁ − zₜ − k), alarm when either > h
///
/// (E. S. Page, *Continuous inspection schemes*, Biometrika 41, 1954; Montgomery, *Introduction to Statistical Quality
/// Control*, chapter 9). Of all detectors with the same false-alarm rate it sees a shift of 2k soonest (Moustakides, Annals of
/// Statistics 14, 1986). Values up to ±1e100; O(1) time and memory. Sums restart at 0 after an alarm.
///
/// ```
/// use mlops_drift::online::{Cusum, OnlineDetector, OnlineState};
///
/// let mut detector = Cusum::default();
/// for z in [0.3, -1.1, 2.0, 1.0, 2.5, 1.2] {
///     assert_eq!(detector.update(z)?, OnlineState::Stable);
/// }
/// assert!((detector.sums().0 - 4.7).abs() < 1e-12);
/// assert_eq!(detector.update(1.1)?, OnlineState::Drift);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Cusum {
    version: Version,
    options: CusumOptions,
    seen: u64,
    state: OnlineState,
    up: f64,
    down: f64,
}

checked_serde!(Cusum);

impl Cusum {
    /// A detector that has seen nothing.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for an option outside its range.
    ///
    /// ```
    /// use mlops_drift::online::{Cusum, CusumOptions};
    /// assert!(Cusum::new(CusumOptions::default().with_slack(-1.0)).is_err());
    /// ```
    pub fn new(options: CusumOptions) -> Result<Self, StatsError> {
        options.check()?;
        Ok(Self { options, ..Self::default() })
    }

    /// A detector with one false alarm in `arl` values, made to see a shift of `shift` standard deviations.
    ///
    /// Values are standardised by [`Standard::fit`] on the reference, k = shift/2, and h comes from the Markov chain over the
    /// reference's own standardised values, whatever their law. A reference of n values knows its own mean to 1/√n only, and
    /// with 1000 values and the default slack this alone moves the run length by a factor of about 1.4; a run length far above
    /// n extrapolates.
    ///
    /// # Errors
    /// Those of [`Standard::fit`] and of [`run_length`](super::run_length); [`StatsError::Parameter`] for a shift that is not
    /// positive.
    ///
    /// ```
    /// use mlops_drift::online::Cusum;
    ///
    /// let reference: Vec<f64> = (0..1000).map(|i| f64::from(i * 37 % 101)).collect();
    /// let [few, many] = [10_000.0, 100.0].map(|arl| Cusum::for_run_length(arl, 1.0, &reference));
    /// assert!(few?.options().threshold > many?.options().threshold);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn for_run_length<'a, T: Value>(
        arl: f64,
        shift: f64,
        reference: impl Into<Sample<'a, T>>,
    ) -> Result<Self, StatsError> {
        check::positive("shift", shift)?;
        let mut values = sorted(reference.into())?;
        let standard = Standard::of_sorted(&values)?;
        values.iter_mut().for_each(|value| *value = standard.z(*value));
        let (law, slack) = (Law(values), shift / 2.0);
        let threshold = solve(arl, 1.0, |threshold| law.cusum(slack, threshold))?;
        Self::new(CusumOptions { standard, slack, threshold, direction: Direction::Both })
    }

    /// What it was made with.
    pub const fn options(&self) -> &CusumOptions {
        &self.options
    }

    /// S⁺ and S⁻.
    pub const fn sums(&self) -> (f64, f64) {
        (self.up, self.down)
    }

    fn check(&self) -> Result<(), StatsError> {
        self.options.check()?;
        check::counted(self.seen, 0)?;
        check::consistent(self.up >= 0.0 && self.down >= 0.0, "a CUSUM")
    }
}

impl OnlineDetector for Cusum {
    #[inline]
    fn update(&mut self, value: f64) -> Result<OnlineState, StatsError> {
        let CusumOptions { standard, slack, threshold, direction } = self.options;
        let z = standard.apply(value, self.seen)?;
        if self.state.is_drift() {
            (self.up, self.down) = (0.0, 0.0);
        }
        self.seen += 1;
        self.up = (self.up + z - slack).max(0.0);
        self.down = (self.down - z - slack).max(0.0);
        let (up, down) = direction.sides();
        let drift = (up && self.up > threshold) || (down && self.down > threshold);
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
        *self = Self { options: self.options, ..Self::default() };
    }

    fn definition(&self) -> &'static str {
        "cusum/1"
    }
}
