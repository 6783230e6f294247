//! The early drift detection method.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::check::{self, Version, checked_serde};
use super::run_length::{Calibration, errors};
use super::{OnlineDetector, OnlineState};

/// How an [`Eddm`] decides.
///
/// ```
/// use mlops_drift::online::{Eddm, EddmOptions};
///
/// let options = EddmOptions::default().with_warning(0.9).with_drift(0.85);
/// assert_eq!((options.warning, options.drift), (0.9, 0.85));
/// Eddm::new(options)?;
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EddmOptions {
    /// How many values, and how many errors, must have come before anything is said. Default: 30.
    pub warm_start: u64,
    /// The share of the largest level below which there is a warning. Default: 0.95.
    pub warning: f64,
    /// The share of the largest level below which there is an alarm, at most as large. Default: 0.9.
    pub drift: f64,
}

impl Default for EddmOptions {
    fn default() -> Self {
        Self { warm_start: 30, warning: 0.95, drift: 0.9 }
    }
}

impl EddmOptions {
    /// With nothing said before so many values and as many errors.
    #[must_use]
    pub fn with_warm_start(mut self, warm_start: u64) -> Self {
        self.warm_start = warm_start;
        self
    }

    /// With a warning below this share of the largest level.
    #[must_use]
    pub fn with_warning(mut self, warning: f64) -> Self {
        self.warning = warning;
        self
    }

    /// With an alarm below this share of the largest level.
    #[must_use]
    pub fn with_drift(mut self, drift: f64) -> Self {
        self.drift = drift;
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        check::open_unit("warning", self.warning)?;
        check::open_unit("drift", self.drift)?;
        check::option("drift", self.drift, self.drift <= self.warning, "must not be above `warning`")
    }
}

/// EDDM: the distance between two errors against the largest it has been.
///
/// With the mean d and the standard deviation s (n − 1) of the distances between errors so far, and m the largest d + 2s:
///
/// > warning when (d + 2s)/m < 0.95, alarm when (d + 2s)/m < 0.9
///
/// (Baena-García, del Campo-Ávila, Fidalgo, Bifet, Gavaldà, Morales-Bueno, *Early drift detection method*, 2006). Values are
/// 0 (right) or 1 (wrong); only rises of the error rate are seen, gradual ones earlier than by [`Ddm`](super::Ddm). O(1) time
/// and memory. Restarts from nothing after an alarm. Equal to river 0.26 in every warning and alarm.
///
/// The ratio has no distribution: at the defaults a stable stream with 20 % errors alarms once in about 600 values
/// (measured on 320 000). Choose the
/// level by [`Eddm::for_run_length`].
///
/// ```
/// use mlops_drift::online::{Eddm, OnlineDetector};
///
/// let mut detector = Eddm::default();
/// // One error in ten, then one in two.
/// let stream = (0..1000).map(|i| if i < 600 { i % 10 == 9 } else { i % 2 == 0 });
/// let alarm = stream.map(|wrong| detector.update(f64::from(u8::from(wrong)))).position(|s| s.is_ok_and(|s| s.is_drift()));
/// assert!(alarm.is_some_and(|at| (600..800).contains(&at)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Eddm {
    version: Version,
    options: EddmOptions,
    seen: u64,
    state: OnlineState,
    run: Run,
}

/// What was gathered since the last alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Run {
    n: u64,
    errors: u64,
    /// The number of the last error, counted from 1.
    last: u64,
    mean: f64,
    /// The sum of squared deviations of the distances from their mean.
    squares: f64,
    /// The largest d + 2s; `None` before there is one.
    largest: Option<f64>,
}

checked_serde!(Eddm);

impl Eddm {
    /// A detector that has seen nothing.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for an option outside its range.
    ///
    /// ```
    /// use mlops_drift::online::{Eddm, EddmOptions};
    /// assert!(Eddm::new(EddmOptions::default().with_warning(0.8).with_drift(0.9)).is_err());
    /// ```
    pub fn new(options: EddmOptions) -> Result<Self, StatsError> {
        options.check()?;
        Ok(Self { options, ..Self::default() })
    }

    /// A detector with one false alarm in `arl` values at a constant error rate. The alarm level is found by simulation, to
    /// within a factor of 1.5; the warning level lies half-way between it and 1. See [`run_length`](super::run_length) for
    /// cost and errors.
    ///
    /// ```
    /// let detector = mlops_drift::online::Eddm::for_run_length(1000.0, 0.2, 1)?;
    /// assert!(detector.options().drift < 0.9);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn for_run_length(arl: f64, error_rate: f64, seed: u64) -> Result<Self, StatsError> {
        let with = |gap: f64| {
            Self::new(EddmOptions { warning: 1.0 - gap / 2.0, drift: 1.0 - gap, ..Default::default() })
        };
        Calibration::new(arl, seed)?.loosest(0.001, 0.999, with, errors(error_rate)?)
    }

    /// What it was made with.
    pub const fn options(&self) -> &EddmOptions {
        &self.options
    }

    fn check(&self) -> Result<(), StatsError> {
        self.options.check()?;
        check::counted(self.seen, self.run.n)?;
        check::consistent(self.run.last <= self.run.n && self.run.errors <= self.run.n, "an EDDM")
    }
}

impl Run {
    /// Takes an error; says nothing where the state stays as it is.
    fn error(&mut self, options: &EddmOptions) -> Option<OnlineState> {
        self.errors += 1;
        let distance = (self.n - self.last) as f64;
        self.last = self.n;
        let before = self.mean;
        self.mean += (1.0 / self.errors as f64) * (distance - self.mean);
        self.squares += (distance - before) * (distance - self.mean);
        if self.n <= options.warm_start {
            return None;
        }
        let variance = if self.errors > 1 { self.squares / (self.errors - 1) as f64 } else { 0.0 };
        let level = self.mean + 2.0 * variance.max(0.0).sqrt();
        match self.largest {
            Some(largest) if level <= largest => {
                let ratio = level / largest;
                (self.errors > options.warm_start)
                    .then(|| OnlineState::of(ratio < options.drift, ratio < options.warning))
            }
            _ => {
                self.largest = Some(level);
                None
            }
        }
    }
}

impl OnlineDetector for Eddm {
    fn update(&mut self, value: f64) -> Result<OnlineState, StatsError> {
        let wrong = check::error(value, self.seen)?;
        if self.state.is_drift() {
            self.run = Run::default();
            self.state = OnlineState::Stable;
        }
        self.seen += 1;
        self.run.n += 1;
        if wrong && let Some(state) = self.run.error(&self.options) {
            self.state = state;
        }
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
        "eddm/1"
    }
}
