//! Student's and Welch's t-test: has the mean moved?
//!
//! With means x̄, ȳ and variances s², u² of n reference and m current values,
//!
//! > t = (ȳ − x̄)/√(s²/n + u²/m)
//!
//! (Welch, *The generalization of "Student's" problem when several different population variances are involved*, Biometrika 34,
//! 1947), with Satterthwaite's degrees of freedom, or with the pooled variance and n + m − 2 degrees of freedom (Student 1908).
//! Welch's form is the default: it keeps its level where the spreads differ, and loses next to nothing where they do not. t is
//! positive where the current mean is larger, and has no unit.
//!
//! The p-value is exact for normal values and good for large samples of others; a heavy tail or one outlier makes it
//! conservative. Values must be finite. −0.0 equals 0.0.
//!
//! There is no weighted form: frequency and sampling weights give different variances, and a slice of weights does not say which
//! it is.

use mlops_core::num::{Measured, NanPolicy, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::alternative::Alternative;
use crate::distance::Interval;
use crate::moments::{Moments, Offsets};
use crate::pair::Tail;
use crate::sample::{Sample, Side, Value};
use crate::special::student_t_quantile;
use crate::two::{Sides, Two};

/// What is assumed about the two variances.
///
/// ```
/// assert_eq!(mlops_drift::TTestMethod::default(), mlops_drift::TTestMethod::Welch);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TTestMethod {
    /// Nothing: SciPy's `equal_var=False`. The default.
    #[default]
    Welch,
    /// That they are equal: SciPy's `equal_var=True`.
    Student,
}

/// How [`t_test_with`] treats NaN, what it looks for and which interval it reports.
///
/// ```
/// use mlops_drift::{TTestMethod, TTestOptions};
/// let options = TTestOptions::default().with_method(TTestMethod::Student);
/// assert_eq!((options.method, options.level), (TTestMethod::Student, 0.95));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TTestOptions {
    /// What to do with NaN; an error by default.
    pub nan: NanPolicy,
    /// Which deviations count.
    pub alternative: Alternative,
    /// What is assumed about the variances.
    pub method: TTestMethod,
    /// The level of the interval, in (0, 1); 0.95 by default.
    pub level: f64,
}

impl Default for TTestOptions {
    fn default() -> Self {
        Self {
            nan: NanPolicy::default(),
            alternative: Alternative::default(),
            method: TTestMethod::default(),
            level: 0.95,
        }
    }
}

impl TTestOptions {
    /// With this NaN policy.
    #[must_use]
    pub fn with_nan(mut self, nan: NanPolicy) -> Self {
        self.nan = nan;
        self
    }

    /// With this alternative.
    #[must_use]
    pub fn with_alternative(mut self, alternative: Alternative) -> Self {
        self.alternative = alternative;
        self
    }

    /// With this assumption.
    #[must_use]
    pub fn with_method(mut self, method: TTestMethod) -> Self {
        self.method = method;
        self
    }

    /// With an interval of this level.
    #[must_use]
    pub fn with_level(mut self, level: f64) -> Self {
        self.level = level;
        self
    }
}

/// The result of a t-test.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TTest {
    /// t; undefined where nothing varies, or there are too few values.
    pub statistic: Measured,
    /// Degrees of freedom, seldom whole for Welch's test.
    pub dof: Measured,
    /// P(as extreme or more | no drift).
    pub p: Measured,
    /// The natural logarithm of `p`, finite where `p` is too small for a double.
    pub ln_p: Measured,
    /// The current mean minus the reference mean.
    pub difference: Measured,
    /// A two-sided interval for the difference of the means; `None` where t is undefined or an end is too large for a double.
    pub interval: Option<Interval>,
    /// Which deviations counted.
    pub alternative: Alternative,
    /// What was assumed about the variances.
    pub method: TTestMethod,
    /// What became of the reference values.
    pub reference: Side,
    /// What became of the current values.
    pub current: Side,
}

/// Welch's two-sided test; NaN and infinities are errors. O(N).
///
/// t agrees with `scipy.stats.ttest_ind(current, reference, equal_var=False)` to 1e-12, p to 1e-10 at any depth of the tail.
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::NotFinite`] with the index among the values that are present,
/// [`StatsError::AllMissing`].
///
/// ```
/// use mlops_drift::t_test;
///
/// let test = t_test(&[1.0, 2.0, 3.0, 4.0], &[3.0, 5.0, 7.0])?;
/// assert_eq!(test.difference.value(), Some(2.5));
/// assert!(test.statistic.value().is_some_and(|t| (t - 1.8898223650461363).abs() < 1e-12));
/// assert!(test.interval.is_some_and(|interval| interval.contains(0.0)));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn t_test<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
) -> Result<TTest, StatsError> {
    t_test_with(reference, current, &TTestOptions::default())
}

/// The test under given [`TTestOptions`].
///
/// # Errors
/// As [`t_test`]; [`StatsError::Parameter`] for a level outside (0, 1).
///
/// ```
/// use mlops_core::num::UndefinedReason;
/// use mlops_drift::{TTestMethod, TTestOptions, t_test_with};
///
/// let options = TTestOptions::default().with_method(TTestMethod::Student);
/// let test = t_test_with(&[1_i32, 2, 3], &[2, 3, 4], &options)?;
/// assert_eq!(test.dof.value(), Some(4.0));
/// let constant = t_test_with(&[1, 1], &[2, 2], &options)?;
/// assert_eq!(constant.p.undefined().map(|u| u.reason), Some(UndefinedReason::Constant));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn t_test_with<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
    options: &TTestOptions,
) -> Result<TTest, StatsError> {
    check_level(options.level)?;
    let two = Two::new(reference, current, options.nan)?;
    if let Some(none) = two.undefined {
        return Ok(without_t(none, none, two.sides, options));
    }
    two.finite()?;
    let offsets = Offsets::new(&two);
    let (a, b) = (Moments::new(&offsets.reference), Moments::new(&offsets.current));
    let scaled = a.difference_to(&b);
    let difference = finite(offsets.unscaled(scaled));
    let scale = match Scale::new(&a, &b, options.method) {
        Ok(scale) => scale,
        Err(none) => return Ok(without_t(none, difference, two.sides, options)),
    };
    let statistic = scaled / scale.error;
    let tail = Tail::from_ln(options.alternative.ln_student_t(statistic, scale.dof));
    let reach = student_t_quantile(options.level, scale.dof) * scale.error;
    let (low, high) = (offsets.unscaled(scaled - reach), offsets.unscaled(scaled + reach));
    let interval =
        (low.is_finite() && high.is_finite()).then_some(Interval { level: options.level, low, high });
    let Sides { reference, current } = two.sides;
    let (statistic, dof) = (Measured::Value(statistic), Measured::Value(scale.dof));
    let (p, ln_p, alternative, method) = (tail.p, tail.ln_p, options.alternative, options.method);
    Ok(TTest { statistic, dof, p, ln_p, difference, interval, alternative, method, reference, current })
}

/// The standard error of the difference of two means, and how well it is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) error: f64,
    pub(crate) dof: f64,
}

impl Scale {
    #[expect(clippy::cast_sign_loss, reason = "a size goes back to what it was")]
    pub(crate) fn new(a: &Moments, b: &Moments, method: TTestMethod) -> Result<Self, Measured> {
        let few = |have: f64, need| Err(Measured::none(UndefinedReason::TooFew, have as usize, need));
        let (error, dof) = match method {
            TTestMethod::Welch => {
                if a.n.min(b.n) < 2.0 {
                    return few(a.n.min(b.n), 2);
                }
                let (s, u) = (a.variance() / a.n, b.variance() / b.n);
                // Shares of the larger one: squares of small variances would vanish.
                let top = s.max(u);
                let (x, y) = (s / top, u / top);
                ((s + u).sqrt(), (x + y) * (x + y) / (x * x / (a.n - 1.0) + y * y / (b.n - 1.0)))
            }
            TTestMethod::Student => {
                let dof = a.n + b.n - 2.0;
                if dof < 1.0 {
                    return few(a.n + b.n, 3);
                }
                (((a.squares + b.squares) / dof * (1.0 / a.n + 1.0 / b.n)).sqrt(), dof)
            }
        };
        if error > 0.0 {
            Ok(Self { error, dof })
        } else {
            Err(Measured::none(UndefinedReason::Constant, 1, 2))
        }
    }
}

/// A level must leave something on both sides.
pub(crate) fn check_level(level: f64) -> Result<(), StatsError> {
    if level > 0.0 && level < 1.0 {
        return Ok(());
    }
    Err(StatsError::Parameter { parameter: "level", value: level, reason: "must lie between 0 and 1" })
}

fn finite(difference: f64) -> Measured {
    if difference.is_finite() {
        Measured::Value(difference)
    } else {
        Measured::none(UndefinedReason::NothingDefined, 0, 1)
    }
}

fn without_t(none: Measured, difference: Measured, sides: Sides, options: &TTestOptions) -> TTest {
    let Sides { reference, current } = sides;
    let (alternative, method) = (options.alternative, options.method);
    let (statistic, dof, p, ln_p, interval) = (none, none, none, none, None);
    TTest { statistic, dof, p, ln_p, difference, interval, alternative, method, reference, current }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_a_side_is_too_few() {
        let welch = t_test(&[1.0], &[2.0, 3.0]).unwrap();
        assert_eq!(
            welch.p.undefined().map(|u| (u.reason, u.denominator)),
            Some((UndefinedReason::TooFew, 2.0))
        );
        assert_eq!(welch.difference, Measured::Value(1.5));
        let options = TTestOptions::default().with_method(TTestMethod::Student);
        assert!(t_test_with(&[1.0], &[2.0, 3.0], &options).unwrap().p.value().is_some());
        assert!(t_test_with(&[1.0], &[2.0], &options).unwrap().p.value().is_none());
    }

    #[test]
    fn a_difference_that_no_double_holds_is_undefined_but_t_is_not() {
        let top = f64::MAX;
        let test = t_test(&[-top, -top, -0.9 * top], &[top, top, 0.9 * top]).unwrap();
        assert!(test.statistic.value().is_some_and(|t| t > 20.0) && test.interval.is_none());
        assert!(test.difference.value().is_none());
    }

    #[test]
    fn values_that_are_not_finite_are_named() {
        let error = t_test(&[1.0, f64::INFINITY], &[2.0]).unwrap_err();
        assert_eq!(error, StatsError::NotFinite { argument: "reference", index: 1, value: f64::INFINITY });
    }

    #[test]
    fn levels_that_are_none_are_refused() {
        for level in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(
                t_test_with(&[1.0, 2.0], &[2.0, 4.0], &TTestOptions::default().with_level(level)).is_err()
            );
        }
    }
}
