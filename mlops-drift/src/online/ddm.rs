//! The drift detection method.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::check::{self, Version, checked_serde};
use super::run_length::{Calibration, errors};
use super::{OnlineDetector, OnlineState};

/// How a [`Ddm`] decides.
///
/// ```
/// use mlops_drift::online::{Ddm, DdmOptions};
///
/// let options = DdmOptions::default().with_warning(2.5).with_drift(3.5);
/// assert_eq!((options.warning, options.drift), (2.5, 3.5));
/// Ddm::new(options)?;
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DdmOptions {
    /// How many values must have come before anything is said. Default: 30.
    pub warm_start: u64,
    /// Standard deviations above the minimum for a warning. Default: 2.
    pub warning: f64,
    /// Standard deviations above the minimum for an alarm, at least as many. Default: 3.
    pub drift: f64,
}

impl Default for DdmOptions {
    fn default() -> Self {
        Self { warm_start: 30, warning: 2.0, drift: 3.0 }
    }
}

impl DdmOptions {
    /// With nothing said before so many values.
    #[must_use]
    pub fn with_warm_start(mut self, warm_start: u64) -> Self {
        self.warm_start = warm_start;
        self
    }

    /// With a warning so many standard deviations above the minimum.
    #[must_use]
    pub fn with_warning(mut self, warning: f64) -> Self {
        self.warning = warning;
        self
    }

    /// With an alarm so many standard deviations above the minimum.
    #[must_use]
    pub fn with_drift(mut self, drift: f64) -> Self {
        self.drift = drift;
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        check::not_negative("warning", self.warning)?;
        check::not_negative("drift", self.drift)?;
        check::option("drift", self.drift, self.drift >= self.warning, "must not be below `warning`")
    }
}

/// DDM: the error rate against the lowest it has been.
///
/// With the error rate p of the values so far and s = √(p(1 − p)/n), the pair with the smallest p + s is kept as (p′, s′):
///
/// > warning when p + s > p′ + 2 s′, alarm when p + s > p′ + 3 s′
///
/// (Gama, Medas, Castillo, Rodrigues, *Learning with drift detection*, SBIA 2004). Values are 0 (right) or 1 (wrong); only
/// rises are seen. O(1) time and memory. Restarts from nothing after an alarm. Equal to river 0.26 in every warning and alarm.
///
/// A stream without any error while it warms up has p′ = s′ = 0, and its first error is an alarm. The method has no fixed
/// false-alarm rate: see [`Ddm::for_run_length`].
///
/// ```
/// use mlops_drift::online::{Ddm, OnlineDetector};
///
/// let mut detector = Ddm::default();
/// // One error in ten, then one in two.
/// let stream = (0..1000).map(|i| if i < 600 { i % 10 == 0 } else { i % 2 == 0 });
/// let alarm = stream.map(|wrong| detector.update(f64::from(u8::from(wrong)))).position(|s| s.is_ok_and(|s| s.is_drift()));
/// assert!(alarm.is_some_and(|at| (600..700).contains(&at)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Ddm {
    version: Version,
    options: DdmOptions,
    seen: u64,
    state: OnlineState,
    run: Run,
}

/// What was gathered since the last alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Run {
    n: u64,
    rate: f64,
    /// The pair (p′, s′), once warm.
    least: Option<(f64, f64)>,
}

checked_serde!(Ddm);

impl Ddm {
    /// A detector that has seen nothing.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for an option outside its range.
    ///
    /// ```
    /// use mlops_drift::online::{Ddm, DdmOptions};
    /// assert!(Ddm::new(DdmOptions::default().with_warning(3.0).with_drift(2.0)).is_err());
    /// ```
    pub fn new(options: DdmOptions) -> Result<Self, StatsError> {
        options.check()?;
        Ok(Self { options, ..Self::default() })
    }

    /// A detector with one false alarm in `arl` values at a constant error rate. The alarm level is found by simulation, to
    /// within a factor of 1.5; the warning level is two thirds of it. See [`run_length`](super::run_length) for cost and errors.
    ///
    /// ```
    /// let detector = mlops_drift::online::Ddm::for_run_length(500.0, 0.2, 1)?;
    /// assert!(detector.options().drift > 2.0);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn for_run_length(arl: f64, error_rate: f64, seed: u64) -> Result<Self, StatsError> {
        let with =
            |drift: f64| Self::new(DdmOptions { warning: drift * 2.0 / 3.0, drift, ..Default::default() });
        Calibration::new(arl, seed)?.loosest(0.5, 40.0, with, errors(error_rate)?)
    }

    /// What it was made with.
    pub const fn options(&self) -> &DdmOptions {
        &self.options
    }

    /// The error rate since the last alarm; 0 before the first value.
    pub const fn rate(&self) -> f64 {
        self.run.rate
    }

    fn check(&self) -> Result<(), StatsError> {
        self.options.check()?;
        check::counted(self.seen, self.run.n)
    }
}

impl Run {
    fn push(&mut self, wrong: bool, options: &DdmOptions) -> OnlineState {
        self.n += 1;
        self.rate += (1.0 / self.n as f64) * (f64::from(u8::from(wrong)) - self.rate);
        if self.n <= options.warm_start {
            return OnlineState::Stable;
        }
        // Rounding may leave the rate a hair above 1.
        let deviation = (self.rate * (1.0 - self.rate) / self.n as f64).max(0.0).sqrt();
        let level = self.rate + deviation;
        let (rate, least) = match self.least {
            Some((p, s)) if level > p + s => (p, s),
            _ => *self.least.insert((self.rate, deviation)),
        };
        OnlineState::of(level > rate + options.drift * least, level > rate + options.warning * least)
    }
}

impl OnlineDetector for Ddm {
    fn update(&mut self, value: f64) -> Result<OnlineState, StatsError> {
        let wrong = check::error(value, self.seen)?;
        if self.state.is_drift() {
            self.run = Run::default();
        }
        self.seen += 1;
        self.state = self.run.push(wrong, &self.options);
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
        "ddm/1"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_errors_are_no_alarm() {
        let mut detector = Ddm::default();
        let states = (0..2000).map(|i| detector.update(f64::from(u8::from(i < 500 && i % 2 == 0))).unwrap());
        assert!(states.into_iter().all(|state| state == OnlineState::Stable));
    }

    #[test]
    fn the_first_error_after_a_flawless_start_is_an_alarm() {
        let mut detector = Ddm::default();
        assert!((0..40).all(|_| detector.update(0.0) == Ok(OnlineState::Stable)));
        assert_eq!(detector.update(1.0), Ok(OnlineState::Drift));
    }
}
