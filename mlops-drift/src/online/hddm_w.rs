//! Drift detection by McDiarmid's inequality on weighted averages.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::check::{self, Version, checked_serde};
use super::run_length::{Calibration, errors};
use super::{OnlineDetector, OnlineState};

/// How an [`HddmW`] decides.
///
/// ```
/// use mlops_drift::online::{HddmW, HddmWOptions};
///
/// let options = HddmWOptions::default().with_lambda(0.02).with_two_sided(true);
/// assert_eq!((options.lambda, options.two_sided), (0.02, true));
/// HddmW::new(options)?;
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HddmWOptions {
    /// The level of an alarm, in (0, 1). Default: 0.001.
    pub drift: f64,
    /// The level of a warning, at least as large. Default: 0.005.
    pub warning: f64,
    /// λ in (0, 1): the weight of the newest value. Default: 0.05.
    pub lambda: f64,
    /// Whether falls of the mean count too. Default: no.
    pub two_sided: bool,
}

impl Default for HddmWOptions {
    fn default() -> Self {
        Self { drift: 0.001, warning: 0.005, lambda: 0.05, two_sided: false }
    }
}

impl HddmWOptions {
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

    /// With this weight of the newest value.
    #[must_use]
    pub fn with_lambda(mut self, lambda: f64) -> Self {
        self.lambda = lambda;
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
        check::open_unit("lambda", self.lambda)?;
        check::option("warning", self.warning, self.warning >= self.drift, "must not be below `drift`")
    }
}

/// HDDM, W-test: exponentially weighted means before and after the best cut.
///
/// A weighted mean is x̂₁ = x₁, x̂ₜ = λxₜ + (1 − λ)x̂ₜ₋₁, and the sum of its squared weights v₁ = 1,
/// vₜ = λ² + (1 − λ)²vₜ₋₁. The cut is where x̂ + √(v ln(1/α)/2) was smallest; with the means x̂ up to it and ŷ after it:
///
/// > alarm when ŷ − x̂ > √((v_x + v_y) ln(1/α)/2)
///
/// (Frías-Blanco et al., IEEE Transactions on Knowledge and Data Engineering 27, 2015, section 4). Values in [0, 1], of any
/// distribution; errors are 1. Sees gradual changes earlier than [`HddmA`](super::HddmA). O(1) time and memory. Restarts from
/// nothing after an alarm.
///
/// river 0.26 starts v at λ² + (1 − λ)², one step too far: its bounds are up to 5 % too narrow just after a cut. With v₁ = 1
/// put there, every warning and alarm is equal. α bounds one comparison, and each value brings one: for false alarms in a
/// stream see [`HddmW::for_run_length`].
///
/// ```
/// use mlops_drift::online::{HddmW, OnlineDetector};
///
/// let mut detector = HddmW::default();
/// let stream = (0..1000).map(|i| if i < 600 { i % 10 == 0 } else { i % 10 != 0 });
/// let alarm = stream.map(|wrong| detector.update(f64::from(u8::from(wrong)))).position(|s| s.is_ok_and(|s| s.is_drift()));
/// assert!(alarm.is_some_and(|at| (600..650).contains(&at)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct HddmW {
    version: Version,
    options: HddmWOptions,
    seen: u64,
    state: OnlineState,
    run: Run,
}

/// What was gathered since the last alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Run {
    all: Option<Weighted>,
    rise: Option<Cut>,
    fall: Option<Cut>,
}

/// Where the mean was at its extreme, and what came after.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Cut {
    /// The bound of the mean that made this the cut.
    bound: f64,
    before: Weighted,
    after: Option<Weighted>,
}

/// A weighted mean and the sum of its squared weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Weighted {
    mean: f64,
    squares: f64,
}

checked_serde!(HddmW);

impl HddmW {
    /// A detector that has seen nothing.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for an option outside its range.
    ///
    /// ```
    /// use mlops_drift::online::{HddmW, HddmWOptions};
    /// assert!(HddmW::new(HddmWOptions::default().with_lambda(1.0)).is_err());
    /// ```
    pub fn new(options: HddmWOptions) -> Result<Self, StatsError> {
        options.check()?;
        Ok(Self { options, ..Self::default() })
    }

    /// A one-sided detector with one false alarm in `arl` values at a constant error rate, with λ = 0.05. The alarm level is
    /// found by simulation, to within a factor of 1.5; the warning level is five times that, at most ½. See
    /// [`run_length`](super::run_length) for cost and errors.
    ///
    /// ```
    /// let detector = mlops_drift::online::HddmW::for_run_length(1000.0, 0.2, 1)?;
    /// assert!(detector.options().drift < 0.5);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn for_run_length(arl: f64, error_rate: f64, seed: u64) -> Result<Self, StatsError> {
        let with = |strictness: f64| {
            let drift = (-strictness).exp();
            Self::new(HddmWOptions {
                drift,
                warning: (5.0 * drift).min(0.5).max(drift),
                ..Default::default()
            })
        };
        Calibration::new(arl, seed)?.loosest(1e-4, 60.0, with, errors(error_rate)?)
    }

    /// What it was made with.
    pub const fn options(&self) -> &HddmWOptions {
        &self.options
    }

    fn check(&self) -> Result<(), StatsError> {
        self.options.check()?;
        check::counted(self.seen, 0)
    }
}

impl Weighted {
    fn push(before: Option<Self>, value: f64, lambda: f64) -> Self {
        let Some(Self { mean, squares }) = before else {
            return Self { mean: value, squares: 1.0 };
        };
        let kept = 1.0 - lambda;
        Self { mean: lambda * value + kept * mean, squares: lambda * lambda + (kept * kept) * squares }
    }
}

fn bound(squares: f64, level: f64) -> f64 {
    (squares * check::ln_inverse(1.0, level) / 2.0).sqrt()
}

impl Cut {
    /// The cut after a value: a new one where the bound is beaten, as `sign` says, else the old one with a longer tail.
    fn push(cut: Option<Self>, all: Weighted, value: f64, sign: f64, options: &HddmWOptions) -> Self {
        let here = sign * all.mean + bound(all.squares, options.drift);
        match cut {
            Some(cut) if here >= cut.bound => {
                Self { after: Some(Weighted::push(cut.after, value, options.lambda)), ..cut }
            }
            _ => Self { bound: here, before: all, after: None },
        }
    }

    fn left(&self, sign: f64, level: f64) -> bool {
        self.after.is_some_and(|after| {
            sign * (after.mean - self.before.mean) > bound(self.before.squares + after.squares, level)
        })
    }
}

impl Run {
    fn push(&mut self, value: f64, options: &HddmWOptions) {
        let all = Weighted::push(self.all, value, options.lambda);
        self.all = Some(all);
        self.rise = Some(Cut::push(self.rise, all, value, 1.0, options));
        if options.two_sided {
            self.fall = Some(Cut::push(self.fall, all, value, -1.0, options));
        }
    }

    fn changed(&self, level: f64) -> bool {
        self.rise.is_some_and(|cut| cut.left(1.0, level))
            || self.fall.is_some_and(|cut| cut.left(-1.0, level))
    }
}

impl OnlineDetector for HddmW {
    fn update(&mut self, value: f64) -> Result<OnlineState, StatsError> {
        let value = check::share(value, self.seen)?;
        if self.state.is_drift() {
            self.run = Run::default();
        }
        self.seen += 1;
        self.run.push(value, &self.options);
        let warned = self.run.changed(self.options.warning);
        self.state = OnlineState::of(warned && self.run.changed(self.options.drift), warned);
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
        "hddm_w/1"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squared_weights_add_up_to_those_of_the_mean() {
        let (mut weighted, lambda): (_, f64) = (None, 0.05);
        for t in 1..=20 {
            weighted = Some(Weighted::push(weighted, 0.5, lambda));
            let newer: f64 = (0..t - 1).map(|i| (lambda * (1.0 - lambda).powi(i)).powi(2)).sum();
            let squares = newer + (1.0 - lambda).powi(t - 1).powi(2);
            assert!((weighted.unwrap().squares - squares).abs() < 1e-15, "after {t} values");
        }
    }

    #[test]
    fn a_fall_is_seen_only_from_two_sides() {
        for (two_sided, expected) in [(false, false), (true, true)] {
            let mut detector = HddmW::new(HddmWOptions { two_sided, ..Default::default() }).unwrap();
            let alarmed =
                (0..400).any(|i| detector.update(if i < 200 { 0.9 } else { 0.1 }).unwrap().is_drift());
            assert_eq!(alarmed, expected);
        }
    }
}
