//! Logistic recalibration: the slope and the intercept of the outcome on the logit of the probability.

use mlops_core::num::special::{ln_chi2_sf, ln_normal_two_sided, normal_quantile};
use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, Undefined, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::Checked;
use crate::classification::ScoreState;
use crate::interval::{CONFIDENCE, Interval, check_confidence};

/// The choices behind a recalibration.
///
/// ```
/// use mlops_eval::calibration::RecalibrationOptions;
/// assert_eq!(RecalibrationOptions::default().with_eps(1e-6).eps, 1e-6);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecalibrationOptions {
    /// Probabilities are moved into [eps, 1 − eps] first: the logits of 0 and 1 are infinite. Above 0 and below 0.5. Default:
    /// `f64::EPSILON`, a logit of ±36.04, as in the log loss. A row of probability 0 or 1 pulls hard; a larger eps eases that.
    pub eps: f64,
    /// The confidence of the intervals, above 0 and below 1. Default 0.95.
    pub confidence: f64,
}

impl Default for RecalibrationOptions {
    fn default() -> Self {
        Self { eps: f64::EPSILON, confidence: CONFIDENCE }
    }
}

impl RecalibrationOptions {
    /// Sets [`Self::eps`].
    #[must_use]
    pub fn with_eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Sets [`Self::confidence`].
    #[must_use]
    pub fn with_confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        check_confidence(self.confidence)?;
        if self.eps > 0.0 && self.eps < 0.5 {
            return Ok(());
        }
        let reason = "must lie above 0 and below 0.5";
        Err(StatsError::Parameter { parameter: "eps", value: self.eps, reason })
    }
}

/// A coefficient of a logistic regression with its Wald inference.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coefficient {
    /// The maximum likelihood estimate.
    pub estimate: Measured,
    /// Its standard error, from the Fisher information.
    pub standard_error: Measured,
    /// estimate ± z · standard error.
    pub interval: Option<Interval>,
    /// (estimate − what a calibrated model has) / standard error.
    pub z: Measured,
    /// The two-sided p-value of `z`.
    pub p_value: Measured,
}

/// Slope and intercept of logistic recalibration, and the intercept alone.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recalibration {
    /// The slope: 1 for a calibrated model, below 1 where probabilities are too extreme. Tested against 1.
    pub slope: Coefficient,
    /// The intercept beside that slope: 0 for a calibrated model. Tested against 0.
    pub intercept: Coefficient,
    /// Calibration-in-the-large: the intercept with the slope held at 1; above 0 where probabilities are too low. Tested
    /// against 0.
    pub in_the_large: Coefficient,
    /// The likelihood ratio statistic of slope 1 and intercept 0 together, χ² with two degrees of freedom if calibrated.
    pub likelihood_ratio: Measured,
    /// Its p-value.
    pub p_value: Measured,
}

/// Logistic recalibration (Cox 1958): P(y) = logistic(intercept + slope · logit(p)), by maximum likelihood.
///
/// The slope is unbounded and 1 for a calibrated model, the intercept is unbounded and 0. Undefined with
/// [`UndefinedReason::SingleClass`] for one class; slope and intercept with [`UndefinedReason::Constant`] where all
/// probabilities are alike and [`UndefinedReason::Separated`] where a threshold separates the classes (touching it included):
/// the likelihood then has no maximum. Newton's method with halved steps; O(distinct probabilities) each. Weights count rows.
/// Agrees with statsmodels 0.15.0 (`GLM(..., Binomial())`, `freq_weights`, `offset`) to 1e-9, the tolerance of its own
/// iterations.
///
/// ```
/// use mlops_eval::calibration::{RecalibrationOptions, recalibration};
/// use mlops_eval::classification::ScoreState;
///
/// // One in four and three in four: calibrated.
/// let y = [true, false, false, false, true, true, true, false];
/// let state = ScoreState::of(&y, &[0.25, 0.25, 0.25, 0.25, 0.75, 0.75, 0.75, 0.75])?;
/// let fit = recalibration(&state, &RecalibrationOptions::default())?;
/// assert!((fit.slope.estimate.value().unwrap_or(0.0) - 1.0).abs() < 1e-12);
/// assert!(fit.in_the_large.estimate.value().unwrap_or(1.0).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state without rows or weight; [`StatsError::OutOfRange`] for
/// scores that are no probabilities; [`StatsError::Parameter`] for options.
pub fn recalibration(
    state: &ScoreState,
    options: &RecalibrationOptions,
) -> Result<Recalibration, StatsError> {
    options.check()?;
    let data = Checked::new(state)?;
    let rows = Rows::new(data, options.eps);
    let nothing = |reason| Measured::none(reason, rows.0.len(), 2);
    if data.single_class() {
        let none = nothing(UndefinedReason::SingleClass);
        let absent = Coefficient::none(none);
        return Ok(Recalibration {
            slope: absent,
            intercept: absent,
            in_the_large: absent,
            likelihood_ratio: none,
            p_value: none,
        });
    }
    let in_the_large = rows.offset(options.confidence);
    let fit = match rows.fault() {
        Some(reason) => Err(nothing(reason)),
        // Overlap by a hair: the maximum exists, and is beyond what f64 can climb to.
        None => rows.fit(data).ok_or_else(|| nothing(UndefinedReason::Separated)),
    };
    let fit = match fit {
        Ok(fit) => fit,
        Err(none) => {
            let absent = Coefficient::none(none);
            let (slope, intercept) = (absent, absent);
            return Ok(Recalibration {
                slope,
                intercept,
                in_the_large,
                likelihood_ratio: none,
                p_value: none,
            });
        }
    };
    let statistic = (2.0 * (rows.likelihood(fit.intercept, fit.slope) - rows.likelihood(0.0, 1.0))).max(0.0);
    Ok(Recalibration {
        slope: Coefficient::new(fit.slope, fit.slope_variance.sqrt(), 1.0, options.confidence),
        intercept: Coefficient::new(fit.intercept, fit.intercept_variance.sqrt(), 0.0, options.confidence),
        in_the_large,
        likelihood_ratio: Measured::Value(statistic),
        p_value: Measured::Value(ln_chi2_sf(statistic, 2.0).exp()),
    })
}

impl Coefficient {
    fn none(none: Measured) -> Self {
        Self { estimate: none, standard_error: none, interval: None, z: none, p_value: none }
    }

    fn new(estimate: f64, error: f64, calibrated: f64, confidence: f64) -> Self {
        if !(error > 0.0 && error.is_finite()) {
            let reason = UndefinedReason::ZeroDenominator;
            let none = Undefined { reason, numerator: estimate - calibrated, denominator: 0.0 };
            let none = Measured::Undefined(none);
            return Self { estimate: Measured::Value(estimate), ..Self::none(none) };
        }
        let half = normal_quantile(confidence) * error;
        let z = (estimate - calibrated) / error;
        Self {
            estimate: Measured::Value(estimate),
            standard_error: Measured::Value(error),
            interval: Some(Interval { lower: estimate - half, upper: estimate + half, confidence }),
            z: Measured::Value(z),
            p_value: Measured::Value(ln_normal_two_sided(z).exp()),
        }
    }
}

/// A distinct logit with the weight of its negatives and positives.
#[derive(Clone, Copy)]
struct Row {
    logit: f64,
    negative: f64,
    positive: f64,
}

struct Rows(Vec<Row>);

struct Fit {
    intercept: f64,
    slope: f64,
    intercept_variance: f64,
    slope_variance: f64,
}

/// The gradient and the information of a logistic regression at a point.
#[derive(Default)]
struct Slopes {
    gradient: [Sum; 2],
    /// Of intercept and intercept, intercept and slope, slope and slope.
    information: [Sum; 3],
}

impl Rows {
    fn new(data: Checked<'_>, eps: f64) -> Self {
        let row = |point: super::Point| Row {
            logit: logit(point.p, eps),
            negative: point.negative,
            positive: point.positive,
        };
        Self(data.points().map(row).collect())
    }

    /// Why the likelihood has no maximum in slope and intercept.
    fn fault(&self) -> Option<UndefinedReason> {
        let range = |class: fn(&Row) -> f64| {
            let mut logits = self.0.iter().filter(|row| class(row) > 0.0).map(|row| row.logit);
            let first = logits.next();
            first.map(|first| (first, logits.next_back().unwrap_or(first)))
        };
        let (Some(negative), Some(positive)) = (range(|row| row.negative), range(|row| row.positive)) else {
            return Some(UndefinedReason::SingleClass);
        };
        if negative.0.min(positive.0) == negative.1.max(positive.1) {
            return Some(UndefinedReason::Constant);
        }
        let separated = negative.1 <= positive.0 || positive.1 <= negative.0;
        separated.then_some(UndefinedReason::Separated)
    }

    fn likelihood(&self, intercept: f64, slope: f64) -> f64 {
        let terms = self.0.iter().map(|row| {
            let eta = intercept + slope * row.logit;
            -row.positive * softplus(-eta) - row.negative * softplus(eta)
        });
        terms.collect::<Sum>().value()
    }

    fn slopes(&self, intercept: f64, slope: f64, center: f64) -> Slopes {
        let mut slopes = Slopes::default();
        for row in &self.0 {
            let x = row.logit - center;
            let eta = intercept + slope * x;
            let (share, rest) = (logistic(eta), logistic(-eta));
            let weight = (row.positive + row.negative) * (share * rest);
            // positive · rest − negative · share, what is next to 1 as 1 less its complement: where rows of probability 0 or 1 are wrong,
            // the ones cancel, and the complements decide.
            let terms = match share < 0.5 {
                true => [row.positive, -(row.positive * share), -(row.negative * share)],
                false => [-row.negative, row.negative * rest, row.positive * rest],
            };
            for term in terms {
                slopes.gradient[0].push(term);
                slopes.gradient[1].push(term * x);
            }
            slopes.information[0].push(weight);
            slopes.information[1].push(weight * x);
            slopes.information[2].push(weight * (x * x));
        }
        slopes
    }

    fn fit(&self, data: Checked<'_>) -> Option<Fit> {
        // About the mean, intercept and slope hardly depend on each other.
        let weight = |row: &Row| row.positive + row.negative;
        let center = self.0.iter().map(|row| weight(row) * row.logit).collect::<Sum>().value() / data.total;
        let (mut at, mut slope) = ((data.positives / data.negatives).ln(), 0.0);
        let likelihood = |at: f64, slope: f64| self.likelihood(at - slope * center, slope);
        let mut best = likelihood(at, slope);
        for _ in 0..100 {
            let slopes = self.slopes(at, slope, center);
            let inverse = Inverse::of(&slopes.information)?;
            let gradient = slopes.gradient.map(|sum| sum.value());
            let step = inverse.times(gradient);
            let small = |step: f64, value: f64| step.abs() <= 1e-13 * value.abs().max(1.0);
            if small(step[0], at) && small(step[1], slope) {
                return Some(Fit {
                    intercept: at - slope * center,
                    slope,
                    intercept_variance: inverse.intercept_at(center),
                    slope_variance: inverse.slope,
                });
            }
            let mut share = 1.0;
            // Rounding may hide the last gains: a step that loses no more than that is taken.
            let slack = 1e-14 * best.abs();
            while likelihood(at + share * step[0], slope + share * step[1]) < best - slack {
                share *= 0.5;
                if share < 1e-10 {
                    return None;
                }
            }
            at += share * step[0];
            slope += share * step[1];
            best = likelihood(at, slope);
        }
        None
    }

    /// The intercept with the slope at 1: where the expected positives are those observed. Their number grows with the
    /// intercept, so that Newton's steps can be kept between two bounds.
    fn offset(&self, confidence: f64) -> Coefficient {
        let (mut low, mut high) = (-1600.0, 1600.0);
        let mut at = 0.0;
        let mut information = 0.0;
        for _ in 0..200 {
            let slopes = self.slopes(at, 1.0, 0.0);
            let missing = slopes.gradient[0].value();
            information = slopes.information[0].value();
            if missing > 0.0 {
                low = at;
            } else {
                high = at;
            }
            let step = missing / information;
            if missing == 0.0 || step.abs() <= 1e-15 * f64::max(1.0, f64::abs(at)) || high - low <= 1e-15 {
                break;
            }
            let next = at + step;
            at = if next > low && next < high { next } else { f64::midpoint(low, high) };
        }
        Coefficient::new(at, 1.0 / information.sqrt(), 0.0, confidence)
    }
}

/// The inverse of the information: variances and covariance.
struct Inverse {
    intercept: f64,
    covariance: f64,
    slope: f64,
}

impl Inverse {
    fn of(information: &[Sum; 3]) -> Option<Self> {
        let [a, b, c] = information.map(|sum| sum.value());
        // By the total, so that products of large and of small weights fit an f64.
        let (total, b, c) = (a, b / a, c / a);
        let determinant = c - b * b;
        let fine = determinant > 0.0 && determinant.is_finite() && determinant > 1e-14 * c;
        fine.then(|| Self {
            intercept: c / determinant / total,
            covariance: -b / determinant / total,
            slope: 1.0 / determinant / total,
        })
    }

    fn times(&self, [a, b]: [f64; 2]) -> [f64; 2] {
        [self.intercept * a + self.covariance * b, self.covariance * a + self.slope * b]
    }

    /// The variance of the intercept of logits that are not taken about their mean.
    fn intercept_at(&self, center: f64) -> f64 {
        self.intercept - 2.0 * center * self.covariance + center * center * self.slope
    }
}

fn logit(p: f64, eps: f64) -> f64 {
    let p = p.clamp(eps, 1.0 - eps);
    // 1 − eps may round to 1; the complement is eps then.
    p.ln() - if 1.0 - p < eps { eps.ln() } else { (-p).ln_1p() }
}

fn logistic(eta: f64) -> f64 {
    if eta >= 0.0 {
        1.0 / (1.0 + (-eta).exp())
    } else {
        let e = eta.exp();
        e / (1.0 + e)
    }
}

/// ln(1 + exp(x)).
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
