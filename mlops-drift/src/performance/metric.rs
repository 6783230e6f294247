//! The measures of performance, by name.

use std::fmt;

use mlops_core::problem::Direction;
use serde::{Deserialize, Serialize};

/// A measure of a model's performance on some rows.
///
/// For several classes precision, recall, F1, specificity and AUROC are the mean over the classes, each against the rest, of
/// those classes for which they are defined.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The share of rows whose predicted class is the true one.
    Accuracy,
    /// TP / (TP + FP).
    Precision,
    /// TP / (TP + FN).
    Recall,
    /// 2 TP / (2 TP + FP + FN).
    F1,
    /// TN / (TN + FP).
    Specificity,
    /// The area under the ROC curve: the probability that a positive scores above a negative, ties counting half.
    Auroc,
    /// Average precision: Σ (Rₖ − Rₖ₋₁) Pₖ over the distinct scores, from the top. Binary only.
    AveragePrecision,
    /// Mean −ln of the score of the true class, in nats; scores are kept ε = 2⁻⁵² away from 0 and 1.
    LogLoss,
    /// Mean squared distance of score and truth; of several classes the sum over the classes.
    Brier,
    /// The mean value of a row, by the cell of the confusion matrix it falls into. Binary only.
    BusinessValue,
    /// Mean |y − ŷ|.
    Mae,
    /// Mean |y − ŷ| / |y|; |y| below 2⁻⁵² counts as that.
    Mape,
    /// Mean (y − ŷ)².
    Mse,
    /// √MSE.
    Rmse,
    /// Mean (ln(1 + y) − ln(1 + ŷ))², for y and ŷ above −1.
    Msle,
    /// √MSLE.
    Rmsle,
}

impl Metric {
    /// What is measured on two classes unless told otherwise.
    pub const BINARY: [Self; 9] = [
        Self::Accuracy,
        Self::Precision,
        Self::Recall,
        Self::F1,
        Self::Specificity,
        Self::Auroc,
        Self::AveragePrecision,
        Self::LogLoss,
        Self::Brier,
    ];

    /// What is measured on several classes unless told otherwise.
    pub const MULTICLASS: [Self; 8] = [
        Self::Accuracy,
        Self::Precision,
        Self::Recall,
        Self::F1,
        Self::Specificity,
        Self::Auroc,
        Self::LogLoss,
        Self::Brier,
    ];

    /// What is measured on numbers unless told otherwise; the logarithmic ones need values above −1 and are asked for.
    pub const REGRESSION: [Self; 4] = [Self::Mae, Self::Mape, Self::Mse, Self::Rmse];

    /// Which end is better.
    ///
    /// ```
    /// use mlops_core::problem::Direction;
    /// use mlops_drift::performance::Metric;
    /// assert_eq!(Metric::Auroc.direction(), Direction::HigherIsBetter);
    /// assert_eq!(Metric::Rmse.direction(), Direction::LowerIsBetter);
    /// ```
    pub const fn direction(self) -> Direction {
        match self {
            Self::Accuracy
            | Self::Precision
            | Self::Recall
            | Self::F1
            | Self::Specificity
            | Self::Auroc
            | Self::AveragePrecision
            | Self::BusinessValue => Direction::HigherIsBetter,
            _ => Direction::LowerIsBetter,
        }
    }

    /// The least and the greatest value possible.
    pub const fn range(self) -> (f64, f64) {
        match self {
            Self::Accuracy
            | Self::Precision
            | Self::Recall
            | Self::F1
            | Self::Specificity
            | Self::Auroc
            | Self::AveragePrecision => (0.0, 1.0),
            Self::Brier => (0.0, 2.0),
            Self::BusinessValue => (f64::NEG_INFINITY, f64::INFINITY),
            _ => (0.0, f64::INFINITY),
        }
    }

    /// Its name, as it is serialised.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Precision => "precision",
            Self::Recall => "recall",
            Self::F1 => "f1",
            Self::Specificity => "specificity",
            Self::Auroc => "auroc",
            Self::AveragePrecision => "average_precision",
            Self::LogLoss => "log_loss",
            Self::Brier => "brier",
            Self::BusinessValue => "business_value",
            Self::Mae => "mae",
            Self::Mape => "mape",
            Self::Mse => "mse",
            Self::Rmse => "rmse",
            Self::Msle => "msle",
            Self::Rmsle => "rmsle",
        }
    }

    pub(super) const fn is_regression(self) -> bool {
        matches!(self, Self::Mae | Self::Mape | Self::Mse | Self::Rmse | Self::Msle | Self::Rmsle)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
