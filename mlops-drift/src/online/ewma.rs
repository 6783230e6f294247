//! The control chart of the exponentially weighted moving average.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::check::{self, Version, checked_serde};
use super::run_length::{Law, solve};
use super::standard::sorted;
use super::{OnlineDetector, OnlineState, Standard};
use crate::{Sample, Value};

/// How an [`Ewma`] decides.
///
/// ```
/// use mlops_drift::online::{Ewma, EwmaOptions};
///
/// let options = EwmaOptions::default().with_lambda(0.05).with_limit(3.0);
/// assert_eq!((options.lambda, options.limit), (0.05, 3.0));
/// Ewma::new(options)?;
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EwmaOptions {
    /// How values are standardised first. Default: not at all, which suits values that are standard normal.
    pub standard: Standard,
    /// λ in (0, 1]: the weight of the newest value; small ones see small shifts. Default: 0.1.
    pub lambda: f64,
    /// L > 0: the limit in standard deviations of the average. Default: 2.814, one false alarm in 500 standard normal values.
    pub limit: f64,
}

impl Default for EwmaOptions {
    fn default() -> Self {
        Self { standard: Standard::default(), lambda: 0.1, limit: 2.814 }
    }
}

impl EwmaOptions {
    /// With values standardised like this.
    #[must_use]
    pub fn with_standard(mut self, standard: Standard) -> Self {
        self.standard = standard;
        self
    }

    /// With this weight of the newest value.
    #[must_use]
    pub fn with_lambda(mut self, lambda: f64) -> Self {
        self.lambda = lambda;
        self
    }

    /// With this limit, in standard deviations of the average.
    #[must_use]
    pub fn with_limit(mut self, limit: f64) -> Self {
        self.limit = limit;
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        self.standard.check()?;
        let lambda = self.lambda;
        check::option("lambda", lambda, lambda > 0.0 && lambda <= 1.0, "must lie in (0, 1]")?;
        check::positive("limit", self.limit)
    }

    /// The largest average that is no alarm.
    fn bound(&self) -> f64 {
        self.limit * (self.lambda / (2.0 - self.lambda)).sqrt()
    }
}

/// The EWMA control chart: an average that forgets, between two limits.
///
/// With standardised values z and E₀ = 0:
///
/// > Eₜ = λ zₜ + (1 − λ) Eₜ₋₁, alarm when |Eₜ| > L √(λ/(2 − λ))
///
/// (S. W. Roberts, *Control chart tests based on geometric moving averages*, Technometrics 1, 1959; Lucas, Saccucci,
/// *Exponentially weighted moving average control schemes*, Technometrics 32, 1990). The limits are those of the long run.
/// Values up to ±1e100; O(1) time and memory. The average restarts at 0 after an alarm.
///
/// ```
/// use mlops_drift::online::{Ewma, OnlineDetector};
///
/// let mut detector = Ewma::default();
/// let alarm = (0..100).position(|i| detector.update(if i < 50 { 0.0 } else { 1.0 }).is_ok_and(|s| s.is_drift()));
/// assert_eq!(alarm, Some(59));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Ewma {
    version: Version,
    options: EwmaOptions,
    seen: u64,
    state: OnlineState,
    average: f64,
}

checked_serde!(Ewma);

impl Ewma {
    /// A detector that has seen nothing.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for an option outside its range.
    ///
    /// ```
    /// use mlops_drift::online::{Ewma, EwmaOptions};
    /// assert!(Ewma::new(EwmaOptions::default().with_lambda(0.0)).is_err());
    /// ```
    pub fn new(options: EwmaOptions) -> Result<Self, StatsError> {
        options.check()?;
        Ok(Self { options, ..Self::default() })
    }

    /// A detector with one false alarm in `arl` values for a λ of choice.
    ///
    /// Values are standardised by [`Standard::fit`] on the reference, and L comes from the Markov chain over the reference's
    /// own standardised values, whatever their law. As with [`Cusum::for_run_length`](super::Cusum::for_run_length), what a
    /// small reference does not know of its own mean moves the run length.
    ///
    /// # Errors
    /// Those of [`Standard::fit`] and of [`run_length`](super::run_length); [`StatsError::Parameter`] for λ outside (0, 1].
    ///
    /// ```
    /// use mlops_drift::online::Ewma;
    ///
    /// let reference: Vec<f64> = (0..1000).map(|i| f64::from(i * 37 % 101)).collect();
    /// let [few, many] = [10_000.0, 100.0].map(|arl| Ewma::for_run_length(arl, 0.1, &reference));
    /// assert!(few?.options().limit > many?.options().limit);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn for_run_length<'a, T: Value>(
        arl: f64,
        lambda: f64,
        reference: impl Into<Sample<'a, T>>,
    ) -> Result<Self, StatsError> {
        EwmaOptions { lambda, ..Default::default() }.check()?;
        let mut values = sorted(reference.into())?;
        let standard = Standard::of_sorted(&values)?;
        values.iter_mut().for_each(|value| *value = standard.z(*value));
        let law = Law(values);
        let limit = solve(arl, 1.0, |limit| law.ewma(lambda, limit))?;
        Self::new(EwmaOptions { standard, lambda, limit })
    }

    /// What it was made with.
    pub const fn options(&self) -> &EwmaOptions {
        &self.options
    }

    /// The average, in standardised units.
    pub const fn average(&self) -> f64 {
        self.average
    }

    fn check(&self) -> Result<(), StatsError> {
        self.options.check()?;
        check::counted(self.seen, 0)
    }
}

impl OnlineDetector for Ewma {
    #[inline]
    fn update(&mut self, value: f64) -> Result<OnlineState, StatsError> {
        let z = self.options.standard.apply(value, self.seen)?;
        if self.state.is_drift() {
            self.average = 0.0;
        }
        self.seen += 1;
        let lambda = self.options.lambda;
        self.average = lambda * z + (1.0 - lambda) * self.average;
        self.state = OnlineState::of(self.average.abs() > self.options.bound(), false);
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
        "ewma/1"
    }
}
