//! Means of a loss that is computed row by row, some of them with a parameter.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::metric::weight_scale;
use super::state::{check, check_row, too_few};
use crate::input::{in_range, weight};

/// What one prediction ŷ of y costs; 0 where ŷ = y, never negative.
///
/// | loss | of a row, e = y − ŷ | rows |
/// |---|---|---|
/// | `SquaredLog` | (ln(1 + y) − ln(1 + ŷ))² | y, ŷ > −1 |
/// | `LogCosh` | ln cosh e | all |
/// | `Pinball` | max(α·e, (α − 1)·e), α in \[0, 1\] (Koenker, Bassett 1978) | all |
/// | `Huber` | e²/2 up to \|e\| = δ, then δ(\|e\| − δ/2), δ > 0 (Huber 1964) | all |
/// | `Tweedie` | the unit deviance of the variance function μᵖ (Jørgensen 1987) | see below |
///
/// The Tweedie deviance is (y − ŷ)² for p = 0, 2(y ln(y/ŷ) − y + ŷ) for p = 1 (Poisson), 2(ln(ŷ/y) + y/ŷ − 1) for p = 2 (gamma),
/// else 2(max(y, 0)²⁻ᵖ/((1 − p)(2 − p)) − y·ŷ¹⁻ᵖ/(1 − p) + ŷ²⁻ᵖ/(2 − p)). It needs ŷ > 0 unless p = 0; y ≥ 0 for p in \[1, 2);
/// y > 0 for p ≥ 2. No distribution has 0 < p < 1. Agrees with mpmath 1.4.1 to 1e-14, relatively, also where y and ŷ agree in all
/// digits but the last, and for powers next to 1 and 2.
///
/// ```
/// use mlops_eval::regression::Loss;
/// assert_eq!(Loss::Pinball { alpha: 0.9 }.of(2.0, 1.0), 0.9);
/// assert_eq!(Loss::Huber { delta: 1.0 }.of(0.0, 3.0), 2.5);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Loss {
    /// Of logarithms.
    SquaredLog,
    /// Between squared and absolute, smooth.
    LogCosh,
    /// Of the quantile at the share `alpha`.
    Pinball {
        /// The share, in [0, 1].
        alpha: f64,
    },
    /// Squared up to `delta`, linear beyond.
    Huber {
        /// Where it turns linear, positive.
        delta: f64,
    },
    /// The deviance of a power law between mean and variance.
    Tweedie {
        /// The power, at most 0 or at least 1.
        power: f64,
    },
}

impl Loss {
    /// Half the absolute error, which the median makes smallest.
    pub(crate) const MEDIAN: Self = Self::Pinball { alpha: 0.5 };
    pub(crate) const POISSON: Self = Self::Tweedie { power: 1.0 };
    pub(crate) const GAMMA: Self = Self::Tweedie { power: 2.0 };

    /// That the parameter has the range it is documented with.
    ///
    /// ```
    /// use mlops_eval::regression::Loss;
    /// assert!(Loss::Tweedie { power: 1.5 }.check().is_ok());
    /// assert!(Loss::Tweedie { power: 0.5 }.check().is_err());
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Parameter`].
    pub fn check(self) -> Result<(), StatsError> {
        let refuse = |parameter, value, reason| Err(StatsError::Parameter { parameter, value, reason });
        match self {
            Self::Pinball { alpha } if !(0.0..=1.0).contains(&alpha) => {
                refuse("alpha", alpha, "must lie in [0, 1]")
            }
            Self::Huber { delta } if !(delta > 0.0 && delta.is_finite()) => {
                refuse("delta", delta, "must be positive and finite")
            }
            Self::Tweedie { power } if !power.is_finite() => refuse("power", power, "must be finite"),
            Self::Tweedie { power } if power > 0.0 && power < 1.0 => {
                refuse("power", power, "belongs to no distribution: it must be at most 0 or at least 1")
            }
            _ => Ok(()),
        }
    }

    /// The loss of one row that lies in the domain; NaN or infinite otherwise.
    pub fn of(self, y: f64, p: f64) -> f64 {
        let error = y - p;
        match self {
            Self::SquaredLog => {
                let error = y.ln_1p() - p.ln_1p();
                error * error
            }
            Self::LogCosh => log_cosh_of(error),
            Self::Pinball { alpha } => {
                if error >= 0.0 {
                    alpha * error
                } else {
                    (alpha - 1.0) * error
                }
            }
            Self::Huber { delta } => {
                let size = error.abs();
                if size <= delta { 0.5 * size * size } else { delta * (size - 0.5 * delta) }
            }
            Self::Tweedie { power } => tweedie_of(power, y, p),
        }
    }

    fn check_domain(self, index: usize, y: f64, p: f64) -> Result<(), StatsError> {
        let high = f64::INFINITY;
        let refuse = |argument, value, low| Err(StatsError::OutOfRange { argument, index, value, low, high });
        match self {
            Self::SquaredLog => {
                if y <= -1.0 {
                    return refuse("y_true", y, (-1.0_f64).next_up());
                }
                if p <= -1.0 {
                    return refuse("y_pred", p, (-1.0_f64).next_up());
                }
            }
            Self::Tweedie { power } if power != 0.0 => {
                if (power >= 1.0 && y < 0.0) || (power >= 2.0 && y <= 0.0) {
                    return refuse("y_true", y, 0.0);
                }
                if p <= 0.0 {
                    return refuse("y_pred", p, 0.0);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// ln cosh e without overflow, and without cancellation near 0.
fn log_cosh_of(error: f64) -> f64 {
    let size = error.abs();
    if size < 1.0 {
        let half = (0.5 * size).sinh();
        return (2.0 * half * half).ln_1p();
    }
    size + (-2.0 * size).exp().ln_1p() - std::f64::consts::LN_2
}

/// 2∫(y − t)·t⁻ᵖ dt from ŷ to y, which is never negative.
fn tweedie_of(power: f64, y: f64, p: f64) -> f64 {
    if power == 0.0 {
        return (y - p) * (y - p);
    }
    let (one, two) = (1.0 - power, 2.0 - power);
    if p <= 0.0 || (y < 0.0 && power > 0.0) || (y == 0.0 && two <= 0.0) {
        return f64::NAN;
    }
    if y <= 0.0 {
        let below = if y < 0.0 { y * p.powf(one) / one } else { 0.0 };
        return 2.0 * (p.powf(two) / two - below);
    }
    let excess = (y - p) / p;
    if excess.abs() < 0.25 && (excess * two).abs() < 1.0 {
        return 2.0 * p.powf(two) * near_one(two, excess);
    }
    let rise = |exponent| rise(exponent, y, p, excess);
    let linear = p.powf(one) * (y - p);
    // Of two forms of the same number the one that does not divide by what is close to 0.
    if two < 0.5 { 2.0 * (linear - rise(two)) / -one } else { 2.0 * (y * rise(one) - linear) / two }
}

/// (xᵃ − 1 − a(x − 1)) / (a(a − 1)) for x = 1 + `excess`: Σ over k ≥ 2 of C(a, k)/(a(a − 1))·excessᵏ, for a quarter at most.
fn near_one(a: f64, excess: f64) -> f64 {
    let mut term = 0.5 * excess * excess;
    let mut sum = term;
    // Each term is at most half of the one before it.
    for k in 2..60 {
        let k = f64::from(k);
        term *= (a - k) * excess / (k + 1.0);
        sum += term;
        if term.abs() <= 0.1 * f64::EPSILON * sum {
            break;
        }
    }
    sum
}

/// (yᶜ − pᶜ)/c, and ln(y/p) for c = 0.
fn rise(c: f64, y: f64, p: f64, excess: f64) -> f64 {
    let ratio = y / p;
    let growth = if excess.abs() < 0.5 {
        excess.ln_1p()
    } else if ratio.is_normal() {
        ratio.ln()
    } else {
        y.ln() - p.ln()
    };
    if c == 0.0 {
        growth
    } else if (c * growth).abs() < 1.0 {
        p.powf(c) * (c * growth).exp_m1() / c
    } else {
        (y.powf(c) - p.powf(c)) / c
    }
}

/// The weighted sum of a [`Loss`] that grows row by row and merges across shards and windows.
///
/// ```
/// use mlops_eval::regression::{Loss, LossState};
///
/// let loss = Loss::Pinball { alpha: 0.9 };
/// let mut state = LossState::of(loss, &[1.0, 2.0], &[0.0, 2.0], None)?;
/// state.merge(&LossState::of(loss, &[3.0], &[4.0], None)?)?;
/// assert!(state.finish()?.value().is_some_and(|mean| (mean - 1.0 / 3.0).abs() < 1e-15));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct LossState(Stored);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    loss: Loss,
    rows: u64,
    weight: Sum,
    total: Sum,
}

impl LossState {
    /// The state of no rows.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a loss whose parameter is out of range.
    pub fn new(loss: Loss) -> Result<Self, StatsError> {
        loss.check()?;
        Ok(Self(Stored { loss, rows: 0, weight: Sum::new(), total: Sum::new() }))
    }

    /// The state of these rows. Weights that are `None` are all 1. O(n).
    ///
    /// # Errors
    /// Those of [`new`](Self::new); [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::Nan`],
    /// [`StatsError::NotFinite`], what [`weights::total`](mlops_core::num::weights::total) refuses;
    /// [`StatsError::OutOfRange`] for the first row outside the loss's domain, where bounds of 0 are open unless stated;
    /// [`StatsError::Overflow`] when a sum does not fit an f64.
    pub fn of(
        loss: Loss,
        y_true: &[f64],
        y_pred: &[f64],
        weights: Option<&[f64]>,
    ) -> Result<Self, StatsError> {
        Self::scaled(loss, y_true, y_pred, weights, 1.0)
    }

    pub(crate) fn scaled(
        loss: Loss,
        y_true: &[f64],
        y_pred: &[f64],
        weights: Option<&[f64]>,
        scale: f64,
    ) -> Result<Self, StatsError> {
        let mut state = Self::new(loss)?;
        check(y_true, y_pred, weights)?;
        for (row, (&y, &p)) in y_true.iter().zip(y_pred).enumerate() {
            loss.check_domain(row, y, p)?;
            state.add(y, p, weight(weights, row) * scale);
        }
        state.fits()
    }

    /// Adds one row. O(1).
    ///
    /// ```
    /// use mlops_eval::regression::{Loss, LossState};
    /// let mut state = LossState::new(Loss::SquaredLog)?;
    /// state.push(0.0, 0.0, 1.0)?;
    /// assert!(state.push(-1.0, 0.0, 1.0).is_err());
    /// assert_eq!(state.rows(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Nan`], [`StatsError::NotFinite`] or [`StatsError::OutOfRange`] with the number of rows pushed before as
    /// index, [`StatsError::Overflow`] when a sum would not fit an f64; the row is not added then.
    pub fn push(&mut self, y_true: f64, y_pred: f64, weight: f64) -> Result<(), StatsError> {
        check_row(self.0.rows, y_true, y_pred, weight)?;
        self.0.loss.check_domain(usize::try_from(self.0.rows).unwrap_or(usize::MAX), y_true, y_pred)?;
        let mut state = *self;
        state.add(y_true, y_pred, weight);
        *self = state.fits()?;
        Ok(())
    }

    fn add(&mut self, y: f64, p: f64, weight: f64) {
        self.0.rows = self.0.rows.saturating_add(1);
        if weight > 0.0 {
            self.0.weight.push(weight);
            self.0.total.push(weight * self.0.loss.of(y, p));
        }
    }

    /// Adds the rows of another part of the data. O(1).
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for another loss, [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.0.loss != other.0.loss {
            return Err(StatsError::Incompatible { what: "the loss" });
        }
        let rows = self.0.rows.checked_add(other.0.rows);
        let rows = rows.ok_or(StatsError::Overflow { what: "the number of rows" })?;
        let mut merged = *self;
        merged.0.rows = rows;
        merged.0.weight.merge(other.0.weight);
        merged.0.total.merge(other.0.total);
        *self = merged.fits()?;
        Ok(())
    }

    fn fits(self) -> Result<Self, StatsError> {
        in_range("the sum of the weights", self.0.weight.value())?;
        self.sum().map(|_| self)
    }

    /// The loss.
    pub fn loss(&self) -> Loss {
        self.0.loss
    }

    /// The number of rows so far.
    pub fn rows(&self) -> u64 {
        self.0.rows
    }

    /// The mean loss. Undefined with [`UndefinedReason::TooFew`](mlops_core::num::UndefinedReason::TooFew) without rows of
    /// positive weight.
    ///
    /// # Errors
    /// [`StatsError::Overflow`] when a sum does not fit an f64.
    pub fn finish(&self) -> Result<Measured, StatsError> {
        let weight = in_range("the sum of the weights", self.0.weight.value())?;
        if weight <= 0.0 {
            return Ok(too_few(0, 1));
        }
        in_range("the mean loss", self.sum()? / weight).map(Measured::Value)
    }

    /// Σ w·loss.
    pub(crate) fn sum(&self) -> Result<f64, StatsError> {
        in_range("the sum of losses", self.0.total.value())
    }
}

impl TryFrom<Stored> for LossState {
    type Error = StatsError;

    fn try_from(stored: Stored) -> Result<Self, StatsError> {
        stored.loss.check()?;
        for (parameter, sum) in [("weight", stored.weight), ("total", stored.total)] {
            let value = sum.value();
            if !(value.is_finite() && value >= 0.0) {
                let reason = "must be finite and not negative";
                return Err(StatsError::Parameter { parameter, value, reason });
            }
        }
        Ok(Self(stored))
    }
}

impl From<LossState> for Stored {
    fn from(state: LossState) -> Self {
        state.0
    }
}

/// The mean loss of rows, with weights of any size.
pub(crate) fn mean_loss(
    loss: Loss,
    y_true: &[f64],
    y_pred: &[f64],
    weights: Option<&[f64]>,
) -> Result<Measured, StatsError> {
    LossState::scaled(loss, y_true, y_pred, weights, weight_scale(weights))?.finish()
}

macro_rules! losses {
    ($(
        $(#[doc = $doc:literal])+
        $plain:ident, $weighted:ident, ($($parameter:ident = $value:literal)?), $loss:expr, example $example:literal;
    )+) => {$(
        $(#[doc = $doc])+
        ///
        /// ```
        #[doc = concat!("use mlops_eval::regression::", stringify!($plain), ";")]
        #[doc = concat!("let value = ", stringify!($plain), "(&[3.0, 0.5, 2.0, 7.0], &[2.5, 1.0, 2.0, 8.0]", $(", ", stringify!($value),)? ")?.value().unwrap_or(f64::NAN);")]
        #[doc = concat!("assert!((value - ", $example, ").abs() < 1e-14, \"{value}\");")]
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        ///
        /// # Errors
        /// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::NotFinite`];
        /// [`StatsError::OutOfRange`] with the first row outside the domain of the [`Loss`]; [`StatsError::Parameter`] for
        /// a parameter outside its range; [`StatsError::Overflow`].
        pub fn $plain(y_true: &[f64], y_pred: &[f64] $(, $parameter: f64)?) -> Result<Measured, StatsError> {
            mean_loss($loss, y_true, y_pred, None)
        }

        #[doc = concat!("[`", stringify!($plain), "`] with a weight for each row; rows of weight 0 do not count.")]
        ///
        /// ```
        #[doc = concat!("use mlops_eval::regression::{", stringify!($plain), ", ", stringify!($weighted), "};")]
        #[doc = concat!("let repeated = ", stringify!($plain), "(&[1.0, 1.0, 4.0], &[2.0, 2.0, 1.5]", $(", ", stringify!($value),)? ")?.value().unwrap_or(f64::NAN);")]
        #[doc = concat!("let weighted = ", stringify!($weighted), "(&[1.0, 4.0, 9.0], &[2.0, 1.5, 1.0], &[2.0, 1.0, 0.0]", $(", ", stringify!($value),)? ")?;")]
        /// assert!(weighted.value().is_some_and(|value| (value - repeated).abs() < 1e-12));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        ///
        /// # Errors
        #[doc = concat!("Those of [`", stringify!($plain), "`], and what [`weights::total`](mlops_core::num::weights::total) refuses.")]
        pub fn $weighted(
            y_true: &[f64],
            y_pred: &[f64],
            weights: &[f64]
            $(, $parameter: f64)?
        ) -> Result<Measured, StatsError> {
            mean_loss($loss, y_true, y_pred, Some(weights))
        }
    )+};
}

losses! {
    /// Mean squared logarithmic error: Σ w(ln(1 + y) − ln(1 + ŷ))² / W, at least 0, for numbers above −1. O(n).
    msle, msle_weighted, (), Loss::SquaredLog, example "0.02861611277870727";

    /// Mean of ln cosh(y − ŷ): about half the squared error where that is small, the absolute error less ln 2 where it is
    /// large. O(n).
    log_cosh, log_cosh_weighted, (), Loss::LogCosh, example "0.1685024610998955";

    /// Mean pinball loss of predictions of the quantile at the share α: Σ w·max(α(y − ŷ), (α − 1)(y − ŷ)) / W, in the unit of
    /// y. O(n). Agrees with `mean_pinball_loss` of scikit-learn 1.9.1 to 1e-12.
    pinball, pinball_weighted, (alpha = 0.9), Loss::Pinball { alpha }, example "0.15";

    /// Mean Huber loss: squared (and halved) up to |y − ŷ| = δ, linear beyond. O(n). Agrees with `scipy.special.huber` (1.17.1)
    /// to 1e-12.
    huber, huber_weighted, (delta = 0.5), Loss::Huber { delta }, example "0.15625";

    /// Mean Tweedie deviance of a power p: squared error for 0, Poisson for 1, gamma for 2, inverse Gaussian for 3. O(n).
    /// Agrees with `mean_tweedie_deviance` of scikit-learn 1.9.1 to 1e-12.
    tweedie_deviance, tweedie_deviance_weighted, (power = 1.5), Loss::Tweedie { power }, example "0.11198848544429296";

    /// Mean Poisson deviance: Σ w·2(y ln(y/ŷ) − y + ŷ) / W, for y ≥ 0 and ŷ > 0. O(n).
    poisson_deviance, poisson_deviance_weighted, (), Loss::POISSON, example "0.13283566586511641";

    /// Mean gamma deviance: Σ w·2(ln(ŷ/y) + y/ŷ − 1) / W, for positive numbers; free of their unit. O(n).
    gamma_deviance, gamma_deviance_weighted, (), Loss::GAMMA, example "0.1096785081952566";
}

/// Root of [`msle`]: √(Σ w(ln(1 + y) − ln(1 + ŷ))² / W), for numbers above −1. O(n).
///
/// ```
/// use mlops_eval::regression::{msle, rmsle};
/// let (y, p) = ([1.0, 2.0], [1.5, 2.0]);
/// assert_eq!(rmsle(&y, &p)?, msle(&y, &p)?.map(f64::sqrt));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`msle`].
pub fn rmsle(y_true: &[f64], y_pred: &[f64]) -> Result<Measured, StatsError> {
    msle(y_true, y_pred).map(|msle| msle.map(f64::sqrt))
}

/// [`rmsle`] with a weight for each row; rows of weight 0 do not count.
///
/// ```
/// use mlops_eval::regression::{rmsle, rmsle_weighted};
/// let weighted = rmsle_weighted(&[1.0, 2.0], &[1.5, 9.0], &[1.0, 0.0])?;
/// assert_eq!(weighted, rmsle(&[1.0], &[1.5])?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`msle_weighted`].
pub fn rmsle_weighted(y_true: &[f64], y_pred: &[f64], weights: &[f64]) -> Result<Measured, StatsError> {
    msle_weighted(y_true, y_pred, weights).map(|msle| msle.map(f64::sqrt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_outside_the_domain_are_named() {
        let row = |result: Result<Measured, StatsError>| match result {
            Err(StatsError::OutOfRange { argument, index, .. }) => (argument, index),
            other => panic!("{other:?}"),
        };
        assert_eq!(row(msle(&[0.0, -1.0], &[0.0, 0.0])), ("y_true", 1));
        assert_eq!(row(rmsle(&[0.0, 0.0], &[0.0, -1.5])), ("y_pred", 1));
        assert_eq!(row(poisson_deviance(&[0.0, 1.0], &[1.0, 0.0])), ("y_pred", 1));
        assert_eq!(row(gamma_deviance(&[1.0, 0.0], &[1.0, 1.0])), ("y_true", 1));
        assert_eq!(row(tweedie_deviance(&[-1.0], &[1.0], 1.5)), ("y_true", 0));
        assert_eq!(row(tweedie_deviance(&[-1.0], &[0.0], -1.0)), ("y_pred", 0));
        assert!(tweedie_deviance(&[-1.0], &[-2.0], 0.0).is_ok());
        assert!(msle(&[-0.5], &[-0.9]).is_ok());
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        for loss in [
            Loss::Pinball { alpha: -0.1 },
            Loss::Pinball { alpha: f64::NAN },
            Loss::Huber { delta: 0.0 },
            Loss::Huber { delta: f64::INFINITY },
            Loss::Tweedie { power: 0.5 },
            Loss::Tweedie { power: f64::NAN },
        ] {
            assert!(matches!(LossState::new(loss), Err(StatsError::Parameter { .. })), "{loss:?}");
        }
    }

    #[test]
    fn log_cosh_keeps_its_digits() {
        // ln cosh e = e²/2 − e⁴/12 + …, and |e| − ln 2 far out.
        for error in [1e-3, 1e-6, 1e-150] {
            let expected = error * error * (0.5 - error * error / 12.0);
            assert!((log_cosh_of(error) - expected).abs() <= 1e-12 * expected, "{error}");
        }
        assert_eq!(log_cosh_of(-800.0), 800.0 - std::f64::consts::LN_2);
        assert!((log_cosh_of(0.999_999_9) - log_cosh_of(1.000_000_1)).abs() < 1e-6);
    }

    #[test]
    fn states_of_other_losses_do_not_merge() {
        let mut state = LossState::new(Loss::LogCosh).unwrap();
        let other = LossState::new(Loss::SquaredLog).unwrap();
        assert_eq!(state.merge(&other), Err(StatsError::Incompatible { what: "the loss" }));
        assert_eq!(state.finish().unwrap().value(), None);
    }

    #[test]
    fn what_is_read_back_is_checked() {
        let loss = Loss::Tweedie { power: 1.5 };
        let state = LossState::of(loss, &[1.0, 0.0], &[2.0, 0.5], Some(&[0.1, 0.7])).unwrap();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<LossState>(&text).unwrap(), state);
        assert!(serde_json::from_str::<LossState>(&text.replace("1.5", "0.5")).is_err());
        assert!(serde_json::from_str::<LossState>(&text.replace("\"total\":0", "\"total\":-9")).is_err());
    }
}
