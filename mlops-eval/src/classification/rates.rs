//! Metrics that depend on the rows only through the four confusion cells.
//!
//! TP, FP, FN, TN are the counts, or weights, of the cells and n their sum. A ratio whose denominator is 0 is
//! [`Undefined`] with [`UndefinedReason::ZeroDenominator`];
//! [`ZeroDivision`](super::ZeroDivision) turns it into what other tools return. All values agree with scikit-learn
//! 1.9.1 to 1e-12 where both define them (`tests/reference/`).
//!
//! Every metric comes three times: `f(y_true, y_pred)`, `f_weighted(y_true, y_pred, weights)` and
//! `f_from_counts(cells)`, and all of them are one [`LabelMetric`] for code that handles them by name.

use std::fmt;

use mlops_core::num::{Measured, StatsError, Undefined, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::confusion::{Confusion, WeightedConfusion};
use crate::catalog::Direction;

/// A metric of the confusion cells, as a value.
///
/// ```
/// use mlops_eval::classification::{Confusion, LabelMetric};
///
/// let counts = Confusion { true_positives: 3, false_positives: 1, false_negatives: 0, true_negatives: 6 };
/// for metric in LabelMetric::ALL {
///     println!("{metric} = {}", metric.from_counts(counts));
/// }
/// assert_eq!(LabelMetric::Precision.from_counts(counts).value(), Some(0.75));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelMetric {
    /// [`accuracy`]
    Accuracy,
    /// [`balanced_accuracy`]
    BalancedAccuracy,
    /// [`precision`]
    Precision,
    /// [`recall`]
    Recall,
    /// [`f1`]
    F1,
    /// [`jaccard`]
    Jaccard,
    /// [`specificity`]
    Specificity,
    /// [`negative_predictive_value`]
    NegativePredictiveValue,
    /// [`false_positive_rate`]
    FalsePositiveRate,
    /// [`false_negative_rate`]
    FalseNegativeRate,
    /// [`false_discovery_rate`]
    FalseDiscoveryRate,
    /// [`false_omission_rate`]
    FalseOmissionRate,
    /// [`selection_rate`]
    SelectionRate,
    /// [`prevalence`]
    Prevalence,
    /// [`zero_one_loss`]
    ZeroOneLoss,
    /// [`informedness`]
    Informedness,
    /// [`markedness`]
    Markedness,
    /// [`g_mean`]
    GMean,
    /// [`fowlkes_mallows`]
    FowlkesMallows,
    /// [`positive_likelihood_ratio`]
    PositiveLikelihoodRatio,
    /// [`negative_likelihood_ratio`]
    NegativeLikelihoodRatio,
    /// [`diagnostic_odds_ratio`]
    DiagnosticOddsRatio,
    /// [`prevalence_threshold`]
    PrevalenceThreshold,
    /// [`mcc`]
    Mcc,
}

impl LabelMetric {
    /// Every metric of this kind.
    pub const ALL: &[Self] = &[
        Self::Accuracy,
        Self::BalancedAccuracy,
        Self::Precision,
        Self::Recall,
        Self::F1,
        Self::Jaccard,
        Self::Specificity,
        Self::NegativePredictiveValue,
        Self::FalsePositiveRate,
        Self::FalseNegativeRate,
        Self::FalseDiscoveryRate,
        Self::FalseOmissionRate,
        Self::SelectionRate,
        Self::Prevalence,
        Self::ZeroOneLoss,
        Self::Informedness,
        Self::Markedness,
        Self::GMean,
        Self::FowlkesMallows,
        Self::PositiveLikelihoodRatio,
        Self::NegativeLikelihoodRatio,
        Self::DiagnosticOddsRatio,
        Self::PrevalenceThreshold,
        Self::Mcc,
    ];

    /// The name it has in reports and configuration files.
    ///
    /// ```
    /// use mlops_eval::classification::LabelMetric;
    /// assert_eq!(LabelMetric::F1.name(), "f1");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::BalancedAccuracy => "balanced_accuracy",
            Self::Precision => "precision",
            Self::Recall => "recall",
            Self::F1 => "f1",
            Self::Jaccard => "jaccard",
            Self::Specificity => "specificity",
            Self::NegativePredictiveValue => "negative_predictive_value",
            Self::FalsePositiveRate => "false_positive_rate",
            Self::FalseNegativeRate => "false_negative_rate",
            Self::FalseDiscoveryRate => "false_discovery_rate",
            Self::FalseOmissionRate => "false_omission_rate",
            Self::SelectionRate => "selection_rate",
            Self::Prevalence => "prevalence",
            Self::ZeroOneLoss => "zero_one_loss",
            Self::Informedness => "informedness",
            Self::Markedness => "markedness",
            Self::GMean => "g_mean",
            Self::FowlkesMallows => "fowlkes_mallows",
            Self::PositiveLikelihoodRatio => "positive_likelihood_ratio",
            Self::NegativeLikelihoodRatio => "negative_likelihood_ratio",
            Self::DiagnosticOddsRatio => "diagnostic_odds_ratio",
            Self::PrevalenceThreshold => "prevalence_threshold",
            Self::Mcc => "mcc",
        }
    }

    /// Which way is better.
    pub const fn direction(self) -> Direction {
        match self {
            Self::SelectionRate | Self::Prevalence => Direction::Neither,
            Self::FalsePositiveRate
            | Self::FalseNegativeRate
            | Self::FalseDiscoveryRate
            | Self::FalseOmissionRate
            | Self::ZeroOneLoss
            | Self::NegativeLikelihoodRatio
            | Self::PrevalenceThreshold => Direction::LowerIsBetter,
            _ => Direction::HigherIsBetter,
        }
    }

    /// The smallest and the largest value it can take; infinity where there is no largest one.
    pub const fn range(self) -> (f64, f64) {
        match self {
            Self::Mcc | Self::Informedness | Self::Markedness => (-1.0, 1.0),
            Self::PositiveLikelihoodRatio | Self::NegativeLikelihoodRatio | Self::DiagnosticOddsRatio => {
                (0.0, f64::INFINITY)
            }
            _ => (0.0, 1.0),
        }
    }

    /// Numerator and denominator, for a metric that is a share of rows; `None` for the others (balanced accuracy, F1,
    /// MCC, likelihood ratios …).
    ///
    /// ```
    /// use mlops_eval::classification::{Confusion, LabelMetric};
    ///
    /// let counts = Confusion { true_positives: 3, false_negatives: 1, ..Default::default() };
    /// assert_eq!(LabelMetric::Recall.share(counts), Some((3.0, 4.0)));
    /// assert_eq!(LabelMetric::Mcc.share(counts), None);
    /// ```
    pub fn share(self, cells: impl Into<WeightedConfusion>) -> Option<(f64, f64)> {
        let c = cells.into();
        let (tp, fp, fn_, tn) =
            (c.true_positives(), c.false_positives(), c.false_negatives(), c.true_negatives());
        match self {
            Self::Accuracy => Some((tp + tn, c.total())),
            Self::Precision => Some((tp, tp + fp)),
            Self::Recall => Some((tp, tp + fn_)),
            Self::Specificity => Some((tn, tn + fp)),
            Self::NegativePredictiveValue => Some((tn, tn + fn_)),
            Self::FalsePositiveRate => Some((fp, fp + tn)),
            Self::FalseNegativeRate => Some((fn_, fn_ + tp)),
            Self::FalseDiscoveryRate => Some((fp, fp + tp)),
            Self::FalseOmissionRate => Some((fn_, fn_ + tn)),
            Self::SelectionRate => Some((tp + fp, c.total())),
            Self::Prevalence => Some((tp + fn_, c.total())),
            Self::ZeroOneLoss => Some((fp + fn_, c.total())),
            Self::BalancedAccuracy
            | Self::F1
            | Self::Jaccard
            | Self::Informedness
            | Self::Markedness
            | Self::GMean
            | Self::FowlkesMallows
            | Self::PositiveLikelihoodRatio
            | Self::NegativeLikelihoodRatio
            | Self::DiagnosticOddsRatio
            | Self::PrevalenceThreshold
            | Self::Mcc => None,
        }
    }

    /// The metric from the cells.
    ///
    /// ```
    /// use mlops_eval::classification::{Confusion, LabelMetric};
    /// assert_eq!(LabelMetric::Recall.from_counts(Confusion::default()).value(), None);
    /// ```
    // The name follows the family of names that every metric has, and it converts cells, not `self`.
    #[allow(clippy::wrong_self_convention)]
    pub fn from_counts(self, cells: impl Into<WeightedConfusion>) -> Measured {
        let cells = cells.into();
        match self {
            Self::BalancedAccuracy => balanced_accuracy_of(&cells),
            Self::F1 => f_beta_of(&cells, 0.5),
            Self::Jaccard => {
                let (tp, errors) =
                    (cells.true_positives(), cells.false_positives() + cells.false_negatives());
                Measured::ratio(tp, tp + errors)
            }
            Self::Informedness => {
                class_rates(&cells, |tpr, fpr| Measured::Value((tpr - fpr).clamp(-1.0, 1.0)))
            }
            Self::Markedness => markedness_of(&cells),
            Self::GMean => g_mean_of(&cells),
            Self::FowlkesMallows => fowlkes_mallows_of(&cells),
            Self::PositiveLikelihoodRatio => class_rates(&cells, quotient),
            Self::NegativeLikelihoodRatio => negative_likelihood_ratio_of(&cells),
            Self::DiagnosticOddsRatio => diagnostic_odds_ratio_of(&cells),
            Self::PrevalenceThreshold => class_rates(&cells, prevalence_threshold_of),
            Self::Mcc => mcc_of(&cells),
            share => match share.share(cells) {
                // Both are sums of the same non-negative cells, but rounded apart: a share may not pass 1 by an ulp.
                Some((numerator, denominator)) => Measured::ratio(numerator, denominator).map(|x| x.min(1.0)),
                None => Measured::none(UndefinedReason::NothingDefined, 0, 1),
            },
        }
    }
}

impl fmt::Display for LabelMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

fn balanced_accuracy_of(cells: &WeightedConfusion) -> Measured {
    both_recalls(cells, f64::midpoint)
}

fn g_mean_of(cells: &WeightedConfusion) -> Measured {
    both_recalls(cells, |positive, negative| (positive * negative).sqrt())
}

/// A number from the recall of both classes, if both occur. The specificity is a share of its own: as 1 − FPR it would lose its
/// digits where it is small.
fn both_recalls(cells: &WeightedConfusion, make: impl Fn(f64, f64) -> f64) -> Measured {
    let recalls = [LabelMetric::Recall, LabelMetric::Specificity].map(|m| m.from_counts(*cells).value());
    match recalls {
        [Some(positive), Some(negative)] => Measured::Value(make(positive, negative)),
        _ => {
            let present = recalls.iter().flatten().count();
            Measured::none(UndefinedReason::SingleClass, present, 2)
        }
    }
}

/// F-beta with `recall_share` = β²/(1+β²), the share that falls on false negatives: no coefficient exceeds 1, so
/// nothing overflows.
pub(super) fn f_beta_of(cells: &WeightedConfusion, recall_share: f64) -> Measured {
    let tp = cells.true_positives();
    let errors = recall_share * cells.false_negatives() + (1.0 - recall_share) * cells.false_positives();
    Measured::ratio(tp, tp + errors)
}

/// A number from the true and the false positive rate, if both classes occur.
fn class_rates(cells: &WeightedConfusion, make: impl Fn(f64, f64) -> Measured) -> Measured {
    let rates = [LabelMetric::Recall, LabelMetric::FalsePositiveRate].map(|m| m.from_counts(*cells).value());
    match rates {
        [Some(tpr), Some(fpr)] => make(tpr, fpr),
        _ => Measured::none(UndefinedReason::SingleClass, rates.iter().flatten().count(), 2),
    }
}

/// A ratio without an upper bound: undefined, too, where the denominator is so small that no f64 holds it.
fn quotient(numerator: f64, denominator: f64) -> Measured {
    if (numerator / denominator).is_finite() {
        return Measured::Value(numerator / denominator);
    }
    let reason = UndefinedReason::ZeroDenominator;
    Measured::Undefined(Undefined { reason, numerator, denominator })
}

fn markedness_of(cells: &WeightedConfusion) -> Measured {
    let precision = LabelMetric::Precision.from_counts(*cells);
    let negative = LabelMetric::FalseOmissionRate.from_counts(*cells);
    match (precision, negative) {
        (Measured::Value(ppv), Measured::Value(omission)) => {
            Measured::Value((ppv - omission).clamp(-1.0, 1.0))
        }
        (Measured::Undefined(_), _) => precision,
        _ => negative,
    }
}

fn fowlkes_mallows_of(cells: &WeightedConfusion) -> Measured {
    let precision = LabelMetric::Precision.from_counts(*cells);
    let recall = LabelMetric::Recall.from_counts(*cells);
    match (precision, recall) {
        (Measured::Value(ppv), Measured::Value(tpr)) => Measured::Value((ppv * tpr).sqrt()),
        (Measured::Undefined(_), _) => precision,
        _ => recall,
    }
}

fn negative_likelihood_ratio_of(cells: &WeightedConfusion) -> Measured {
    let rates =
        [LabelMetric::FalseNegativeRate, LabelMetric::Specificity].map(|m| m.from_counts(*cells).value());
    match rates {
        [Some(fnr), Some(tnr)] => quotient(fnr, tnr),
        _ => Measured::none(UndefinedReason::SingleClass, rates.iter().flatten().count(), 2),
    }
}

fn diagnostic_odds_ratio_of(cells: &WeightedConfusion) -> Measured {
    let (tp, tn) = (cells.true_positives(), cells.true_negatives());
    let (fp, fn_) = (cells.false_positives(), cells.false_negatives());
    // Two quotients stay within range where two products do not; either pairing may leave it where the other does not.
    let pairings = [(tp / fp) * (tn / fn_), (tp / fn_) * (tn / fp)];
    let finite = pairings.into_iter().find(|odds| odds.is_finite());
    match finite.filter(|_| fp > 0.0 && fn_ > 0.0) {
        Some(odds) => Measured::Value(odds),
        None => {
            let scale = power_of_two_below(cells.total());
            let reason = UndefinedReason::ZeroDenominator;
            let numerator = (tp / scale) * (tn / scale);
            Measured::Undefined(Undefined { reason, numerator, denominator: (fp / scale) * (fn_ / scale) })
        }
    }
}

fn prevalence_threshold_of(tpr: f64, fpr: f64) -> Measured {
    Measured::ratio(fpr.sqrt(), tpr.sqrt() + fpr.sqrt())
}

fn mcc_of(cells: &WeightedConfusion) -> Measured {
    // A power of two keeps the cells' digits and brings their products into range.
    let scale = power_of_two_below(cells.total());
    let tp = cells.true_positives() / scale;
    let fp = cells.false_positives() / scale;
    let fn_ = cells.false_negatives() / scale;
    let tn = cells.true_negatives() / scale;
    let numerator = tp * tn - fp * fn_;
    let margins = [tp + fp, tp + fn_, tn + fp, tn + fn_];
    let denominator = margins.iter().map(|m| m.sqrt()).product();
    Measured::ratio(numerator, denominator).map(|mcc| mcc.clamp(-1.0, 1.0))
}

/// The largest power of two that is not above `x`, or the smallest normal number.
pub(crate) fn power_of_two_below(x: f64) -> f64 {
    f64::from_bits(x.to_bits() & 0x7FF0_0000_0000_0000).max(f64::MIN_POSITIVE)
}

macro_rules! label_metrics {
    ($(
        $(#[doc = $doc:literal])+
        $variant:ident: $plain:ident, $weighted:ident, $from_counts:ident, example $example:literal;
    )+) => {$(
        $(#[doc = $doc])+
        ///
        /// O(n), no allocation.
        ///
        /// ```
        #[doc = concat!("use mlops_eval::classification::", stringify!($plain), ";")]
        ///
        /// let y_true = [true, true, true, false, false];
        /// let y_pred = [true, true, false, true, false];
        #[doc = concat!("let value = ", stringify!($plain), "(&y_true, &y_pred)?.value().unwrap_or(f64::NAN);")]
        #[doc = concat!("assert!((value - ", $example, ").abs() < 1e-15);")]
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        ///
        /// # Errors
        /// [`StatsError::LengthMismatch`], [`StatsError::Empty`].
        pub fn $plain(y_true: &[bool], y_pred: &[bool]) -> Result<Measured, StatsError> {
            Ok(LabelMetric::$variant.from_counts(Confusion::of(y_true, y_pred)?))
        }

        #[doc = concat!("[`", stringify!($plain), "`] with a weight for each row.")]
        ///
        /// ```
        #[doc = concat!("use mlops_eval::classification::{", stringify!($plain), ", ", stringify!($weighted), "};")]
        ///
        /// let (y_true, y_pred) = ([true, true, false], [true, false, true]);
        #[doc = concat!("let repeated = ", stringify!($plain), "(&[true, true, true, false], &[true, true, false, true])?;")]
        #[doc = concat!("assert_eq!(", stringify!($weighted), "(&y_true, &y_pred, &[2.0, 1.0, 1.0])?, repeated);")]
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        ///
        /// # Errors
        /// Those of [`WeightedConfusion::of`].
        pub fn $weighted(y_true: &[bool], y_pred: &[bool], weights: &[f64]) -> Result<Measured, StatsError> {
            Ok(LabelMetric::$variant.from_counts(WeightedConfusion::of(y_true, y_pred, weights)?))
        }

        #[doc = concat!("[`", stringify!($plain), "`] from cells that were counted before.")]
        ///
        /// ```
        #[doc = concat!("use mlops_eval::classification::{Confusion, ", stringify!($from_counts), "};")]
        ///
        /// let counts = Confusion { true_positives: 2, false_positives: 1, false_negatives: 1, true_negatives: 1 };
        #[doc = concat!("let value = ", stringify!($from_counts), "(counts).value().unwrap_or(f64::NAN);")]
        #[doc = concat!("assert!((value - ", $example, ").abs() < 1e-15);")]
        /// ```
        pub fn $from_counts(cells: impl Into<WeightedConfusion>) -> Measured {
            LabelMetric::$variant.from_counts(cells)
        }
    )+};
}

label_metrics! {
    /// The share of rows predicted right: (TP + TN) / n, in [0, 1]. Always defined.
    Accuracy: accuracy, accuracy_weighted, accuracy_from_counts, example "3.0 / 5.0";

    /// The mean of recall and specificity, in [0, 1]: the accuracy if both classes were equally frequent.
    ///
    /// Undefined with [`UndefinedReason::SingleClass`] unless both classes occur among the true labels; scikit-learn
    /// returns the recall of the one class then, with a warning.
    BalancedAccuracy: balanced_accuracy, balanced_accuracy_weighted, balanced_accuracy_from_counts,
        example "7.0 / 12.0";

    /// The share of predicted positives that are positive: TP / (TP + FP), in [0, 1]. Undefined when nothing is
    /// predicted positive.
    Precision: precision, precision_weighted, precision_from_counts, example "2.0 / 3.0";

    /// The share of positives that are found: TP / (TP + FN), in [0, 1]; also sensitivity or true positive rate.
    /// Undefined without positives.
    Recall: recall, recall_weighted, recall_from_counts, example "2.0 / 3.0";

    /// The harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN), in [0, 1].
    ///
    /// Undefined only when there are neither positives nor predicted positives; 0 when precision or recall alone is
    /// undefined.
    F1: f1, f1_weighted, f1_from_counts, example "2.0 / 3.0";

    /// The overlap of positives and predicted positives: TP / (TP + FP + FN), in [0, 1]; also threat score or
    /// critical success index. Undefined when there are neither.
    Jaccard: jaccard, jaccard_weighted, jaccard_from_counts, example "2.0 / 4.0";

    /// The share of negatives that are left alone: TN / (TN + FP), in [0, 1]; also true negative rate. Undefined
    /// without negatives.
    Specificity: specificity, specificity_weighted, specificity_from_counts, example "1.0 / 2.0";

    /// The share of predicted negatives that are negative: TN / (TN + FN), in [0, 1]. Undefined when nothing is
    /// predicted negative.
    NegativePredictiveValue: negative_predictive_value, negative_predictive_value_weighted,
        negative_predictive_value_from_counts, example "1.0 / 2.0";

    /// The share of negatives that are predicted positive: FP / (FP + TN), in [0, 1]. Undefined without negatives.
    FalsePositiveRate: false_positive_rate, false_positive_rate_weighted, false_positive_rate_from_counts,
        example "1.0 / 2.0";

    /// The share of positives that are missed: FN / (FN + TP), in [0, 1]. Undefined without positives.
    FalseNegativeRate: false_negative_rate, false_negative_rate_weighted, false_negative_rate_from_counts,
        example "1.0 / 3.0";

    /// The share of predicted positives that are negative: FP / (FP + TP), in [0, 1]. Undefined when nothing is
    /// predicted positive.
    FalseDiscoveryRate: false_discovery_rate, false_discovery_rate_weighted, false_discovery_rate_from_counts,
        example "1.0 / 3.0";

    /// The share of predicted negatives that are positive: FN / (FN + TN), in [0, 1]. Undefined when nothing is
    /// predicted negative.
    FalseOmissionRate: false_omission_rate, false_omission_rate_weighted, false_omission_rate_from_counts,
        example "1.0 / 2.0";

    /// The share of rows predicted positive: (TP + FP) / n, in [0, 1]. Always defined; neither high nor low is better.
    SelectionRate: selection_rate, selection_rate_weighted, selection_rate_from_counts, example "3.0 / 5.0";

    /// The share of positives among the rows: (TP + FN) / n, in [0, 1]. Always defined; a fact about the data, neither
    /// good nor bad.
    Prevalence: prevalence, prevalence_weighted, prevalence_from_counts, example "3.0 / 5.0";

    /// The share of rows predicted wrong: (FP + FN) / n, in [0, 1]: 1 − [`accuracy`]. Always defined.
    ZeroOneLoss: zero_one_loss, zero_one_loss_weighted, zero_one_loss_from_counts, example "2.0 / 5.0";

    /// How much better than chance the truth is told: recall + specificity − 1, in [−1, 1] (Youden 1950; bookmaker
    /// informedness, Powers 2011).
    ///
    /// Undefined with [`UndefinedReason::SingleClass`] unless both classes occur among the true labels.
    Informedness: informedness, informedness_weighted, informedness_from_counts, example "1.0 / 6.0";

    /// How much better than chance the predictions are: precision + NPV − 1, in [−1, 1] (Powers 2011).
    ///
    /// Undefined when the predicted labels are all alike.
    Markedness: markedness, markedness_weighted, markedness_from_counts, example "1.0 / 6.0";

    /// The geometric mean of recall and specificity, in [0, 1] (Kubat and Matwin 1997).
    ///
    /// Undefined with [`UndefinedReason::SingleClass`] unless both classes occur among the true labels.
    GMean: g_mean, g_mean_weighted, g_mean_from_counts, example "(1.0_f64 / 3.0).sqrt()";

    /// The geometric mean of precision and recall: TP / √((TP+FP)(TP+FN)), in [0, 1] (Fowlkes and Mallows 1983).
    ///
    /// Undefined without positives and when nothing is predicted positive.
    FowlkesMallows: fowlkes_mallows, fowlkes_mallows_weighted, fowlkes_mallows_from_counts, example "2.0 / 3.0";

    /// LR+: how many times as often positives are predicted positive as negatives are, recall / (1 − specificity),
    /// from 0. It multiplies the odds of being positive.
    ///
    /// Undefined with [`UndefinedReason::SingleClass`] unless both classes occur among the true labels, and with
    /// [`UndefinedReason::ZeroDenominator`] without false positives. scikit-learn's `class_likelihood_ratios` divides
    /// counts, the same number.
    PositiveLikelihoodRatio: positive_likelihood_ratio, positive_likelihood_ratio_weighted,
        positive_likelihood_ratio_from_counts, example "4.0 / 3.0";

    /// LR−: how many times as often positives are predicted negative as negatives are, (1 − recall) / specificity,
    /// from 0; low is good.
    ///
    /// Undefined with [`UndefinedReason::SingleClass`] unless both classes occur among the true labels, and with
    /// [`UndefinedReason::ZeroDenominator`] without true negatives.
    NegativeLikelihoodRatio: negative_likelihood_ratio, negative_likelihood_ratio_weighted,
        negative_likelihood_ratio_from_counts, example "2.0 / 3.0";

    /// The odds ratio of the four cells: (TP·TN) / (FP·FN) = LR+ / LR−, from 0 (Glas et al. 2003).
    ///
    /// Undefined without false positives or without false negatives.
    DiagnosticOddsRatio: diagnostic_odds_ratio, diagnostic_odds_ratio_weighted, diagnostic_odds_ratio_from_counts,
        example "2.0";

    /// The prevalence below which precision falls steeply: √FPR / (√TPR + √FPR), in [0, 1] (Balayla 2020).
    ///
    /// Undefined with [`UndefinedReason::SingleClass`] unless both classes occur among the true labels, and when nothing
    /// is predicted positive.
    PrevalenceThreshold: prevalence_threshold, prevalence_threshold_weighted, prevalence_threshold_from_counts,
        example "0.5_f64.sqrt() / ((2.0_f64 / 3.0).sqrt() + 0.5_f64.sqrt())";

    /// Matthews' correlation of true and predicted labels (1975), in [−1, 1]:
    /// (TP·TN − FP·FN) / √((TP+FP)(TP+FN)(TN+FP)(TN+FN)).
    ///
    /// Undefined when the true or the predicted labels are all alike; scikit-learn returns 0 then.
    Mcc: mcc, mcc_weighted, mcc_from_counts, example "1.0 / 6.0";
}

pub use self::{
    jaccard as threat_score, jaccard_from_counts as threat_score_from_counts,
    jaccard_weighted as threat_score_weighted,
};

/// F-beta: recall counts β times as much as precision (van Rijsbergen 1979).
///
/// (1 + β²) TP / ((1 + β²) TP + β² FN + FP), in [0, 1]. β = 1 is [`f1`], β = 0 is [`precision`]. Undefined when the
/// denominator is 0.
///
/// ```
/// use mlops_eval::classification::f_beta;
///
/// let f2 = f_beta(&[true, true, true, false], &[true, false, false, true], 2.0)?;
/// assert_eq!(f2.value(), Some(5.0 / 14.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`] for a β that is negative or not finite, and those of [`Confusion::of`].
pub fn f_beta(y_true: &[bool], y_pred: &[bool], beta: f64) -> Result<Measured, StatsError> {
    f_beta_from_counts(Confusion::of(y_true, y_pred)?, beta)
}

/// [`f_beta`] with a weight for each row.
///
/// ```
/// use mlops_eval::classification::f_beta_weighted;
///
/// let f2 = f_beta_weighted(&[true, true, false], &[true, false, true], &[1.0, 2.0, 1.0], 2.0)?;
/// assert_eq!(f2.value(), Some(5.0 / 14.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`] for a β that is negative or not finite, and those of [`WeightedConfusion::of`].
pub fn f_beta_weighted(
    y_true: &[bool],
    y_pred: &[bool],
    weights: &[f64],
    beta: f64,
) -> Result<Measured, StatsError> {
    f_beta_from_counts(WeightedConfusion::of(y_true, y_pred, weights)?, beta)
}

/// [`f_beta`] from cells that were counted before.
///
/// ```
/// use mlops_eval::classification::{Confusion, f_beta_from_counts};
///
/// let counts = Confusion { true_positives: 1, false_positives: 1, false_negatives: 2, true_negatives: 9 };
/// assert_eq!(f_beta_from_counts(counts, 2.0)?.value(), Some(5.0 / 14.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`] for a β that is negative or not finite.
pub fn f_beta_from_counts(cells: impl Into<WeightedConfusion>, beta: f64) -> Result<Measured, StatsError> {
    Ok(f_beta_of(&cells.into(), recall_share(beta)?))
}

/// β²/(1+β²), computed so that a large β does not overflow.
pub(crate) fn recall_share(beta: f64) -> Result<f64, StatsError> {
    if !(beta.is_finite() && beta >= 0.0) {
        let reason = "must be finite and not negative";
        return Err(StatsError::Parameter { parameter: "beta", value: beta, reason });
    }
    let square = beta * beta;
    Ok(if square.is_finite() { square / (1.0 + square) } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(tp: f64, fp: f64, fn_: f64, tn: f64) -> WeightedConfusion {
        WeightedConfusion::new(tp, fp, fn_, tn).unwrap()
    }

    #[test]
    fn every_metric_is_listed_once_and_has_its_own_name() {
        let mut names: Vec<_> = LabelMetric::ALL.iter().map(|metric| metric.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), LabelMetric::ALL.len());
        assert_eq!(LabelMetric::ALL.last(), Some(&LabelMetric::Mcc));
        assert_eq!(LabelMetric::Mcc as usize + 1, LabelMetric::ALL.len());
    }

    #[test]
    fn serialised_names_are_the_names() {
        for metric in LabelMetric::ALL {
            assert_eq!(serde_json::to_string(metric).unwrap(), format!("\"{metric}\""));
        }
    }

    #[test]
    fn no_rows_give_no_number() {
        for metric in LabelMetric::ALL {
            assert_eq!(metric.from_counts(Confusion::default()).value(), None, "{metric}");
        }
    }

    /// mpmath 1.4.1 at 50 digits: `sqrt(mpf(1) / 2 / (rejected + 1))`.
    #[test]
    fn the_g_mean_keeps_a_small_specificity() {
        for (rejected, expected) in [
            (1e4, 0.007_070_714_284_989_177),
            (1e12, 7.071_067_811_861_939e-7),
            (1e15, 2.236_067_977_499_788_5e-8),
            (1e18, 7.071_067_811_865_476e-10),
        ] {
            let got = g_mean_from_counts(cells(1.0, rejected, 1.0, 1.0)).value().unwrap();
            assert!((got / expected - 1.0).abs() < 1e-15, "{rejected}: {got} is not {expected}");
        }
    }

    #[test]
    fn undefined_ratios_keep_what_they_are_made_of() {
        let undefined = precision_from_counts(cells(0.0, 0.0, 3.0, 5.0)).undefined().unwrap();
        assert_eq!(undefined.reason, UndefinedReason::ZeroDenominator);
        assert_eq!((undefined.numerator, undefined.denominator), (0.0, 0.0));
        let single = balanced_accuracy_from_counts(cells(1.0, 0.0, 1.0, 0.0)).undefined().unwrap();
        assert_eq!(single.reason, UndefinedReason::SingleClass);
        assert_eq!(f1_from_counts(cells(0.0, 0.0, 3.0, 5.0)).value(), Some(0.0));
    }

    #[test]
    fn extreme_cells_stay_in_range() {
        let sizes = [0.0, 5e-324, 1e-300, 1.0, 1e150, 4e307];
        for tp in sizes {
            for fp in sizes {
                for fn_ in sizes {
                    for tn in sizes {
                        for metric in LabelMetric::ALL {
                            let measured = metric.from_counts(cells(tp, fp, fn_, tn));
                            let (low, high) = metric.range();
                            if let Some(value) = measured.value() {
                                assert!(
                                    (low..=high).contains(&value),
                                    "{metric} {tp} {fp} {fn_} {tn}: {value}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn mcc_of_independent_labels_is_exactly_zero() {
        assert_eq!(mcc_from_counts(cells(1.0, 2.0, 2.0, 4.0)).value(), Some(0.0));
    }

    #[test]
    fn a_bad_beta_is_named() {
        for beta in [-1.0, f64::NAN, f64::INFINITY] {
            let error = f_beta_from_counts(cells(1.0, 1.0, 1.0, 1.0), beta).unwrap_err();
            assert!(error.to_string().starts_with("`beta` is"), "{error}");
        }
        let recall_only = f_beta_from_counts(cells(1.0, 1.0, 3.0, 1.0), 1e200).unwrap();
        assert_eq!(recall_only.value(), Some(0.25));
        assert_eq!(f_beta_from_counts(cells(1.0, 1.0, 3.0, 1.0), 0.0).unwrap().value(), Some(0.5));
    }
}
