//! Proper scoring rules of predicted probabilities.

use mlops_core::num::parallel::Threads;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::losses::{Squared, Surprise, mean_of_rows, mean_of_state};
use super::scores::ScoreState;
use crate::input::in_range;
use mlops_core::num::sum::Sum;

/// How [`log_loss_with`] treats certainty.
///
/// ```
/// use mlops_eval::classification::LogLossOptions;
/// assert_eq!(LogLossOptions::default().eps, f64::EPSILON);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogLossOptions {
    /// Probabilities are moved into [eps, 1 − eps] first, so that a certain wrong answer costs −ln eps instead of
    /// infinity. Above 0 and below 0.5. Default: `f64::EPSILON` = 2.2e-16, a cost of at most 36.04 a row, as in
    /// scikit-learn for 64-bit probabilities; what it does for 32-bit ones is 1.1920929e-7.
    pub eps: f64,
    /// How many threads may work; the loss is the same on any number.
    pub threads: Threads,
}

impl Default for LogLossOptions {
    fn default() -> Self {
        Self { eps: f64::EPSILON, threads: Threads::ONE }
    }
}

impl LogLossOptions {
    /// Sets [`Self::eps`].
    ///
    /// ```
    /// use mlops_eval::classification::{LogLossOptions, log_loss_with};
    ///
    /// let options = LogLossOptions::default().with_eps(0.01);
    /// assert_eq!(log_loss_with(&[true], &[0.0], &options)?.value(), Some(-(0.01_f64.ln())));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Sets [`Self::threads`].
    #[must_use]
    pub fn with_threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    pub(crate) fn loss(&self) -> Result<Surprise, StatsError> {
        let eps = self.eps;
        if !(eps > 0.0 && eps < 0.5) {
            let reason = "must lie above 0 and below 0.5";
            return Err(StatsError::Parameter { parameter: "eps", value: eps, reason });
        }
        Ok(Surprise { eps })
    }
}

/// The mean of −ln of the probability given to what happened (Good 1952), with natural logarithms, in nats.
///
/// At least 0, lower is better. `probabilities[i]` is the probability that row i is positive. Always defined;
/// probabilities are clipped as [`LogLossOptions`] says. O(n), one pass, each logarithm to 1 ulp and their sum compensated:
/// the same bits on every instruction set.
/// Agrees with scikit-learn 1.9.1 to 1e-12.
///
/// ```
/// use mlops_eval::classification::log_loss;
///
/// let loss = log_loss(&[true, false], &[0.8, 0.4])?.value().unwrap_or(f64::NAN);
/// assert!((loss - (-(0.8_f64.ln()) - 0.6_f64.ln()) / 2.0).abs() < 1e-15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::OutOfRange`].
pub fn log_loss(y_true: &[bool], probabilities: &[f64]) -> Result<Measured, StatsError> {
    log_loss_with(y_true, probabilities, &LogLossOptions::default())
}

/// [`log_loss`] with options.
///
/// ```
/// use mlops_eval::classification::{LogLossOptions, log_loss_with};
///
/// let loss = log_loss_with(&[false], &[1.0], &LogLossOptions::default().with_eps(1e-3))?;
/// assert_eq!(loss.value(), Some(-(1e-3_f64.ln())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`log_loss`], and [`StatsError::Parameter`] for an `eps` outside (0, 0.5).
pub fn log_loss_with(
    y_true: &[bool],
    probabilities: &[f64],
    options: &LogLossOptions,
) -> Result<Measured, StatsError> {
    mean_of_rows(LOG_LOSS, y_true, probabilities, None, options.threads, options.loss()?)
}

/// [`log_loss`] with a weight for each row.
///
/// ```
/// use mlops_eval::classification::{log_loss, log_loss_weighted};
///
/// let weighted = log_loss_weighted(&[true, false], &[0.8, 0.4], &[1.0, 0.0])?;
/// assert_eq!(weighted, log_loss(&[true], &[0.8])?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`log_loss`], and what [`weights::total`](mlops_core::num::weights::total) refuses.
pub fn log_loss_weighted(
    y_true: &[bool],
    probabilities: &[f64],
    weights: &[f64],
) -> Result<Measured, StatsError> {
    log_loss_weighted_with(y_true, probabilities, weights, &LogLossOptions::default())
}

/// [`log_loss`] with a weight for each row, and options.
///
/// ```
/// use mlops_eval::classification::{LogLossOptions, log_loss_weighted_with};
///
/// let options = LogLossOptions::default().with_eps(1e-3);
/// let loss = log_loss_weighted_with(&[false, true], &[1.0, 0.5], &[2.0, 0.0], &options)?;
/// assert_eq!(loss.value(), Some(-(1e-3_f64.ln())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`log_loss_with`] and [`log_loss_weighted`].
pub fn log_loss_weighted_with(
    y_true: &[bool],
    probabilities: &[f64],
    weights: &[f64],
    options: &LogLossOptions,
) -> Result<Measured, StatsError> {
    mean_of_rows(LOG_LOSS, y_true, probabilities, Some(weights), options.threads, options.loss()?)
}

/// [`log_loss`] of the rows that a state was built from; the scores must be probabilities. O(distinct scores).
///
/// ```
/// use mlops_eval::classification::{ScoreState, log_loss, log_loss_from_state};
///
/// let state = ScoreState::of(&[true, false], &[0.5, 0.5])?;
/// assert_eq!(log_loss_from_state(&state)?, log_loss(&[true, false], &[0.5, 0.5])?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::ZeroTotal`]; [`StatsError::OutOfRange`] for a score that is no probability.
pub fn log_loss_from_state(state: &ScoreState) -> Result<Measured, StatsError> {
    log_loss_from_state_with(state, &LogLossOptions::default())
}

/// [`log_loss_from_state`] with options.
///
/// # Errors
/// Those of [`log_loss_from_state`], and [`StatsError::Parameter`] for an `eps` outside (0, 0.5).
pub fn log_loss_from_state_with(
    state: &ScoreState,
    options: &LogLossOptions,
) -> Result<Measured, StatsError> {
    mean_of_state(LOG_LOSS, state, options.loss()?)
}

/// How [`brier_with`] computes.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrierOptions {
    /// How many threads may work; the score is the same on any number.
    pub threads: Threads,
}

impl BrierOptions {
    /// Sets [`Self::threads`].
    #[must_use]
    pub fn with_threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }
}

/// The mean squared distance between probability and outcome (Brier 1950): Σ (p − y)² / n with y in {0, 1}.
///
/// In [0, 1], lower is better. Always defined. O(n). Agrees with scikit-learn 1.9.1 to 1e-12.
///
/// ```
/// use mlops_eval::classification::brier;
/// assert_eq!(brier(&[true, false], &[0.5, 0.5])?.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`log_loss`].
pub fn brier(y_true: &[bool], probabilities: &[f64]) -> Result<Measured, StatsError> {
    brier_with(y_true, probabilities, &BrierOptions::default())
}

/// [`brier`] with options.
///
/// ```
/// use mlops_core::num::parallel::Threads;
/// use mlops_eval::classification::{BrierOptions, brier_with};
///
/// let options = BrierOptions::default().with_threads(Threads::new(2));
/// assert_eq!(brier_with(&[true, false], &[0.5, 0.5], &options)?.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`brier`].
pub fn brier_with(
    y_true: &[bool],
    probabilities: &[f64],
    options: &BrierOptions,
) -> Result<Measured, StatsError> {
    mean_of_rows(BRIER, y_true, probabilities, None, options.threads, Squared)
}

/// [`brier`] with a weight for each row.
///
/// ```
/// use mlops_eval::classification::brier_weighted;
/// assert_eq!(brier_weighted(&[true, false], &[0.5, 1.0], &[3.0, 1.0])?.value(), Some(1.75 / 4.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`log_loss_weighted`].
pub fn brier_weighted(
    y_true: &[bool],
    probabilities: &[f64],
    weights: &[f64],
) -> Result<Measured, StatsError> {
    brier_weighted_with(y_true, probabilities, weights, &BrierOptions::default())
}

/// [`brier`] with a weight for each row, and options.
///
/// # Errors
/// Those of [`brier_weighted`].
pub fn brier_weighted_with(
    y_true: &[bool],
    probabilities: &[f64],
    weights: &[f64],
    options: &BrierOptions,
) -> Result<Measured, StatsError> {
    mean_of_rows(BRIER, y_true, probabilities, Some(weights), options.threads, Squared)
}

/// [`brier`] of the rows that a state was built from; the scores must be probabilities. O(distinct scores).
///
/// ```
/// use mlops_eval::classification::{ScoreState, brier_from_state};
/// let state = ScoreState::of(&[true, false], &[0.5, 0.5])?;
/// assert_eq!(brier_from_state(&state)?.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`log_loss_from_state`].
pub fn brier_from_state(state: &ScoreState) -> Result<Measured, StatsError> {
    mean_of_state(BRIER, state, Squared)
}

/// The share of the log loss that the probabilities save over the prevalence as everybody's probability: 1 − loss / loss of the
/// prevalence (McFadden 1974 for models that were fitted to these rows).
///
/// At most 1; 0 for the prevalence itself, negative for what is worse. Undefined with [`UndefinedReason::SingleClass`] unless
/// both classes have weight: the prevalence is never surprised then, and scikit-learn returns −4.6e15. The prevalence is moved into
/// [eps, 1 − eps] like every probability: where the weight of a class is a share below 2.2e-16, clipping decides. O(n). Agrees with
/// scikit-learn 1.9.1 (`d2_log_loss_score`) to 1e-12.
///
/// ```
/// use mlops_eval::classification::d2_log_loss;
///
/// assert_eq!(d2_log_loss(&[true, false], &[0.5, 0.5])?.value(), Some(0.0));
/// assert_eq!(d2_log_loss(&[true, true], &[0.5, 0.5])?.value(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`log_loss`].
pub fn d2_log_loss(y_true: &[bool], probabilities: &[f64]) -> Result<Measured, StatsError> {
    let loss = log_loss(y_true, probabilities)?;
    d2_of_log_loss(loss, class_weights(y_true, None), LogLossOptions::default().loss()?)
}

/// [`d2_log_loss`] with a weight for each row.
///
/// ```
/// use mlops_eval::classification::d2_log_loss_weighted;
/// assert_eq!(d2_log_loss_weighted(&[true, false], &[0.75, 0.75], &[3.0, 1.0])?.value(), Some(0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`log_loss_weighted`].
pub fn d2_log_loss_weighted(
    y_true: &[bool],
    probabilities: &[f64],
    weights: &[f64],
) -> Result<Measured, StatsError> {
    let loss = log_loss_weighted(y_true, probabilities, weights)?;
    d2_of_log_loss(loss, class_weights(y_true, Some(weights)), LogLossOptions::default().loss()?)
}

/// [`d2_log_loss`] of the rows that a state was built from.
///
/// ```
/// use mlops_eval::classification::{ScoreState, d2_log_loss_from_state};
/// let state = ScoreState::of(&[true, false], &[0.5, 0.5])?;
/// assert_eq!(d2_log_loss_from_state(&state)?.value(), Some(0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`log_loss_from_state`].
pub fn d2_log_loss_from_state(state: &ScoreState) -> Result<Measured, StatsError> {
    let classes = [state.negatives(), state.positives()];
    d2_of_log_loss(log_loss_from_state(state)?, classes, LogLossOptions::default().loss()?)
}

/// The share of the Brier score that the probabilities save over the prevalence as everybody's probability: the Brier skill
/// score, 1 − score / (π(1 − π)) with π the prevalence.
///
/// At most 1; 0 for the prevalence itself, negative for what is worse. Undefined with [`UndefinedReason::SingleClass`] unless
/// both classes have weight: scikit-learn returns −∞ or NaN then. O(n). Agrees with scikit-learn 1.9.1 (`d2_brier_score`) to
/// 1e-12.
///
/// ```
/// use mlops_eval::classification::d2_brier;
///
/// assert_eq!(d2_brier(&[true, false], &[0.75, 0.25])?.value(), Some(0.75));
/// assert_eq!(d2_brier(&[true, true], &[1.0, 1.0])?.value(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`log_loss`].
pub fn d2_brier(y_true: &[bool], probabilities: &[f64]) -> Result<Measured, StatsError> {
    d2_of_brier(brier(y_true, probabilities)?, class_weights(y_true, None))
}

/// [`d2_brier`] with a weight for each row.
///
/// ```
/// use mlops_eval::classification::d2_brier_weighted;
/// assert_eq!(d2_brier_weighted(&[true, false], &[0.75, 0.75], &[3.0, 1.0])?.value(), Some(0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`log_loss_weighted`].
pub fn d2_brier_weighted(
    y_true: &[bool],
    probabilities: &[f64],
    weights: &[f64],
) -> Result<Measured, StatsError> {
    let score = brier_weighted(y_true, probabilities, weights)?;
    d2_of_brier(score, class_weights(y_true, Some(weights)))
}

/// [`d2_brier`] of the rows that a state was built from.
///
/// ```
/// use mlops_eval::classification::{ScoreState, d2_brier_from_state};
/// let state = ScoreState::of(&[true, false], &[0.75, 0.25])?;
/// assert_eq!(d2_brier_from_state(&state)?.value(), Some(0.75));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`log_loss_from_state`].
pub fn d2_brier_from_state(state: &ScoreState) -> Result<Measured, StatsError> {
    d2_of_brier(brier_from_state(state)?, [state.negatives(), state.positives()])
}

const LOG_LOSS: &str = "the log loss";
const BRIER: &str = "the Brier score";

/// The weight of the negatives and of the positives, of rows that have been checked.
fn class_weights(y_true: &[bool], weights: Option<&[f64]>) -> [f64; 2] {
    let Some(weights) = weights else {
        let positives = y_true.iter().filter(|positive| **positive).count();
        return [(y_true.len() - positives) as f64, positives as f64];
    };
    let mut sums = [Sum::new(); 2];
    y_true.iter().zip(weights).for_each(|(&positive, &weight)| sums[usize::from(positive)].push(weight));
    sums.map(|sum| sum.value())
}

fn d2_of_log_loss(
    loss: Measured,
    [negatives, positives]: [f64; 2],
    surprise: Surprise,
) -> Result<Measured, StatsError> {
    let total = negatives + positives;
    let (absent, present) = (negatives / total, positives / total);
    // Neither share as 1 less the other, which has no digits left near 1.
    let null = absent * surprise.of_share(absent, present) + present * surprise.of_share(present, absent);
    skill(loss, null, negatives == 0.0 || positives == 0.0)
}

fn d2_of_brier(score: Measured, [negatives, positives]: [f64; 2]) -> Result<Measured, StatsError> {
    let total = negatives + positives;
    let null = (negatives / total) * (positives / total);
    skill(score, null, null == 0.0)
}

/// 1 − loss / null.
fn skill(loss: Measured, null: f64, single_class: bool) -> Result<Measured, StatsError> {
    let Some(loss) = loss.value().filter(|_| !single_class && null > 0.0) else {
        return Ok(Measured::none(UndefinedReason::SingleClass, 1, 2));
    };
    Ok(Measured::Value(in_range("the skill", 1.0 - loss / null)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certainty_costs_what_eps_says() {
        for eps in [f64::MIN_POSITIVE, 1e-17, f64::EPSILON, 1e-7, 0.1, 0.49] {
            let options = LogLossOptions::default().with_eps(eps);
            for (y, p) in [(true, 0.0), (false, 1.0)] {
                let wrong = log_loss_with(&[y], &[p], &options).unwrap().value().unwrap();
                assert_eq!(wrong, -eps.ln(), "{y} {p} {eps}");
                let right = log_loss_with(&[!y], &[p], &options).unwrap().value().unwrap();
                assert!((right - -(1.0 - eps).ln()).abs() < 1e-15, "{y} {p} {eps}: {right}");
            }
        }
    }

    #[test]
    fn bad_input_is_named() {
        for eps in [0.0, -1.0, 0.5, f64::NAN] {
            let error = log_loss_with(&[true], &[0.5], &LogLossOptions::default().with_eps(eps)).unwrap_err();
            assert!(error.to_string().starts_with("`eps` is"), "{error}");
        }
        let cases: [(&[bool], &[f64], &str); 5] = [
            (&[], &[], "`y_true` is empty"),
            (&[true], &[], "`y_true` has 1 elements but `probabilities` has 0"),
            (&[true], &[f64::NAN], "`probabilities` has a NaN at index 0"),
            (&[true], &[1.5], "`probabilities` has 1.5 at index 0, which lies outside [0, 1]"),
            (&[true], &[f64::NEG_INFINITY], "`probabilities` has -inf at index 0, which lies outside [0, 1]"),
        ];
        for (y_true, p, message) in cases {
            assert_eq!(log_loss(y_true, p).unwrap_err().to_string(), message);
            assert_eq!(brier(y_true, p).unwrap_err().to_string(), message);
        }
    }

    /// mpmath 1.4.1 at 50 digits: `1 - log(2) / -(a * log(a) + (1 - a) * log(1 - a))` with a = w/(1 + w).
    #[test]
    fn a_prevalence_near_0_or_1_keeps_its_digits() {
        for (weight, expected) in [
            (1e-3, -86.7362095530638),
            (1e-8, -3569117.901914952),
            (1e-12, -24209656292.921062),
            (1e-15, -19503968647023.32),
        ] {
            for rare in [true, false] {
                let d2 = d2_log_loss_weighted(&[rare, !rare], &[0.5, 0.5], &[weight, 1.0]).unwrap();
                let got = d2.value().unwrap();
                assert!((got / expected - 1.0).abs() < 1e-14, "{weight} {rare}: {got} is not {expected}");
            }
        }
    }

    #[test]
    fn weights_of_any_size_are_shares() {
        let brier = brier_weighted(&[true, true], &[0.5, 1.0], &[8e307, 8e307]).unwrap();
        assert_eq!(brier.value(), Some(0.125));
    }
}
