//! Drift detection by Hoeffding's inequality on averages.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::check::{self, Version, checked_serde};
use super::run_length::{Calibration, errors};
use super::{OnlineDetector, OnlineState};

/// How an [`HddmA`] decides.
///
/// ```
/// use mlops_drift::online::{HddmA, HddmAOptions};
///
/// let options = HddmAOptions::default().with_drift(0.0005).with_two_sided(true);
/// assert_eq!((options.drift, options.two_sided), (0.0005, true));
/// HddmA::new(options)?;
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HddmAOptions {
    /// The level of an alarm, in (0, 1). Default: 0.001.
    pub drift: f64,
    /// The level of a warning, at least as large. Default: 0.005.
    pub warning: f64,
    /// Whether falls of the mean count too. Default: no.
    pub two_sided: bool,
}

impl Default for HddmAOptions {
    fn default() -> Self {
        Self { drift: 0.001, warning: 0.005, two_sided: false }
    }
}

impl HddmAOptions {
    /// With alarms at this level.
    #[must_use]
    pub fn with_drift(mut self, drift: f64) -> Self {
        self.drift = drift;
        self
    }

    /// With warnings at this level.
    #[must_use]
    pub fn with_warning(mut self, warning: f64) -> Self {
        self.warning = warning;
        self
    }

    /// With falls of the mean counted too, or not.
    #[must_use]
    pub fn with_two_sided(mut self, two_sided: bool) -> Self {
        self.two_sided = two_sided;
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        check::open_unit("drift", self.drift)?;
        check::open_unit("warning", self.warning)?;
        check::option("warning", self.warning, self.warning >= self.drift, "must not be below `drift`")
    }
}

/// HDDM, A-test: has the mean of all values left the lowest mean so far by more than chance allows?
///
/// The cut is the prefix (length k, mean x̄) with the smallest x̄ + √(ln(1/α)/2k). With the mean z̄ of all n values:
///
/// > alarm when z̄ − x̄ ≥ √((n − k)/(2kn) · ln(2/α))
///
/// (Frías-Blanco, del Campo-Ávila, Ramos-Jiménez, Morales-Bueno, Ortiz-Díaz, Caballero-Mota, *Online and non-parametric drift
/// detection methods based on Hoeffding's bounds*, IEEE Transactions on Knowledge and Data Engineering 27, 2015, corollary 3).
/// Values in [0, 1], of any distribution; errors are 1. O(1) time and memory. Restarts from nothing after an alarm. Equal to
/// river 0.26 in every warning and alarm.
///
/// α bounds one comparison, and each value brings one: for false alarms in a stream see [`HddmA::for_run_length`].
///
/// ```
/// use mlops_drift::online::{HddmA, OnlineDetector};
///
/// let mut detector = HddmA::default();
/// let stream = (0..1000).map(|i| if i < 600 { i % 10 == 0 } else { i % 2 == 0 });
/// let alarm = stream.map(|wrong| detector.update(f64::from(u8::from(wrong)))).position(|s| s.is_ok_and(|s| s.is_drift()));
/// assert!(alarm.is_some_and(|at| (600..700).contains(&at)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct HddmA {
    version: Version,
    options: HddmAOptions,
    seen: u64,
    state: OnlineState,
    run: Run,
}

/// What was gathered since the last alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Run {
    all: Mean,
    /// The prefix with the lowest upper bound.
    low: Mean,
    /// The prefix with the highest lower bound.
    high: Mean,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Mean {
    n: u64,
    mean: f64,
}

checked_serde!(HddmA);

impl HddmA {
    /// A detector that has seen nothing.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for an option outside its range.
    ///
    /// ```
    /// use mlops_drift::online::{HddmA, HddmAOptions};
    /// assert!(HddmA::new(HddmAOptions::default().with_drift(0.0)).is_err());
    /// ```
    pub fn new(options: HddmAOptions) -> Result<Self, StatsError> {
        options.check()?;
        Ok(Self { options, ..Self::default() })
    }

    /// A one-sided detector with one false alarm in `arl` values at a constant error rate. The alarm level is found by
    /// simulation, to within a factor of 1.5; the warning level is five times that, at most ½. See
    /// [`run_length`](super::run_length) for cost and errors.
    ///
    /// ```
    /// let detector = mlops_drift::online::HddmA::for_run_length(1000.0, 0.2, 1)?;
    /// assert!(detector.options().drift < 0.5);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn for_run_length(arl: f64, error_rate: f64, seed: u64) -> Result<Self, StatsError> {
        let with = |strictness: f64| {
            let drift = (-strictness).exp();
            Self::new(HddmAOptions { drift, warning: (5.0 * drift).min(0.5).max(drift), two_sided: false })
        };
        Calibration::new(arl, seed)?.loosest(1e-4, 60.0, with, errors(error_rate)?)
    }

    /// What it was made with.
    pub const fn options(&self) -> &HddmAOptions {
        &self.options
    }

    /// The mean since the last alarm; 0 before the first value.
    pub const fn mean(&self) -> f64 {
        self.run.all.mean
    }

    fn check(&self) -> Result<(), StatsError> {
        let Run { all, low, high } = self.run;
        self.options.check()?;
        check::counted(self.seen, all.n)?;
        let started = |cut: Mean| cut.n <= all.n && (cut.n > 0 || all.n == 0);
        check::consistent(started(low) && started(high), "an HDDM-A")
    }
}

impl Mean {
    fn push(&mut self, value: f64) {
        self.n += 1;
        self.mean += (1.0 / self.n as f64) * (value - self.mean);
    }

    fn bound(self, level: f64) -> f64 {
        (1.0 / (2.0 * self.n as f64) * check::ln_inverse(1.0, level)).sqrt()
    }
}

impl Run {
    fn push(&mut self, value: f64, level: f64) {
        self.all.push(value);
        if self.low.n == 0 {
            (self.low, self.high) = (self.all, self.all);
        }
        let all = self.all.bound(level);
        if self.low.mean + self.low.bound(level) >= self.all.mean + all {
            self.low = self.all;
        }
        if self.high.mean - self.high.bound(level) <= self.all.mean - all {
            self.high = self.all;
        }
    }

    /// Whether the whole lies above (or below) the prefix by more than chance allows at a level.
    fn left(&self, prefix: Mean, distance: f64, level: f64) -> bool {
        if prefix.n == self.all.n {
            return false;
        }
        let (n, k) = (self.all.n as f64, prefix.n as f64);
        distance >= ((n - k) / k * (1.0 / n) / 2.0 * check::ln_inverse(2.0, level)).sqrt()
    }

    fn changed(&self, level: f64, two_sided: bool) -> bool {
        self.left(self.low, self.all.mean - self.low.mean, level)
            || (two_sided && self.left(self.high, self.high.mean - self.all.mean, level))
    }
}

impl OnlineDetector for HddmA {
    fn update(&mut self, value: f64) -> Result<OnlineState, StatsError> {
        let value = check::share(value, self.seen)?;
        if self.state.is_drift() {
            self.run = Run::default();
        }
        self.seen += 1;
        let HddmAOptions { drift, warning, two_sided } = self.options;
        self.run.push(value, drift);
        let warned = self.run.changed(warning, two_sided);
        self.state = OnlineState::of(warned && self.run.changed(drift, two_sided), warned);
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
        "hddm_a/1"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fall_is_seen_only_from_two_sides() {
        for (two_sided, expected) in [(false, false), (true, true)] {
            let mut detector = HddmA::new(HddmAOptions { two_sided, ..Default::default() }).unwrap();
            let alarmed =
                (0..400).any(|i| detector.update(if i < 200 { 0.7 } else { 0.1 }).unwrap().is_drift());
            assert_eq!(alarmed, expected);
        }
    }
}
