//! Every metric of several classes that is one number, as a value.

use std::fmt;

use mlops_core::num::{Measured, StatsError};
use mlops_core::problem::Direction;
use serde::{Deserialize, Serialize};

use crate::calibration::{CalibrationOptions, classwise_calibration_error};
use crate::catalog::Needs;
use crate::classification::{
    Average, KappaWeights, LabelMetric, MulticlassScoreState, ScoreOptions, TopKOptions, TopKState,
    WeightedConfusionMatrix, ZeroDivision, multiclass_average_precision, multiclass_roc_auc,
    multiclass_roc_auc_one_vs_one,
};

/// A metric of several classes, as a value. Serialises as its name, which is scikit-learn's where that has one.
///
/// Averages are over the classes that occur among the true or the predicted labels, and a class without a value (never predicted:
/// no precision) leaves the average undefined; [`ZeroDivision::Zero`] is scikit-learn's choice, at
/// [`WeightedConfusionMatrix::average`]. With one label a row the micro averages and the weighted recall are the accuracy.
///
/// ```
/// use mlops_eval::catalog::MulticlassMetric;
/// use mlops_eval::classification::ConfusionMatrix;
///
/// let cells = ConfusionMatrix::of(&[0, 1, 2, 2], &[0, 1, 2, 1], 3)?.weighted();
/// let recall = MulticlassMetric::RecallMacro.of_cells(&cells)?.and_then(|recall| recall.value());
/// assert_eq!(recall, Some(2.5 / 3.0));
/// assert_eq!(MulticlassMetric::RocAucOvr.of_cells(&cells)?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MulticlassMetric {
    /// The mean precision of the classes.
    PrecisionMacro,
    /// The precision of all classes in one count.
    PrecisionMicro,
    /// The mean precision of the classes, by their true rows.
    PrecisionWeighted,
    /// The mean recall of the classes.
    RecallMacro,
    /// The recall of all classes in one count.
    RecallMicro,
    /// The mean recall of the classes, by their true rows.
    RecallWeighted,
    /// The mean F1 of the classes.
    F1Macro,
    /// The F1 of all classes in one count.
    F1Micro,
    /// The mean F1 of the classes, by their true rows.
    F1Weighted,
    /// Cohen's kappa, every disagreement alike: [`WeightedConfusionMatrix::kappa`].
    CohenKappa,
    /// [`multiclass_roc_auc`], the mean of the classes.
    RocAucOvr,
    /// [`multiclass_roc_auc`], by their true rows.
    RocAucOvrWeighted,
    /// [`multiclass_roc_auc_one_vs_one`], the mean of the pairs.
    RocAucOvo,
    /// [`multiclass_roc_auc_one_vs_one`], by the rows of the pairs.
    RocAucOvoWeighted,
    /// [`multiclass_average_precision`], the mean of the classes.
    AveragePrecisionMacro,
    /// [`top_k_accuracy`](crate::classification::top_k_accuracy) of two classes, ties averaged.
    #[serde(rename = "top_2_accuracy")]
    Top2Accuracy,
    /// [`top_k_accuracy`](crate::classification::top_k_accuracy) of three classes, ties averaged.
    #[serde(rename = "top_3_accuracy")]
    Top3Accuracy,
    /// [`top_k_accuracy`](crate::classification::top_k_accuracy) of five classes, ties averaged.
    #[serde(rename = "top_5_accuracy")]
    Top5Accuracy,
    /// [`ClasswiseError::ece`](crate::calibration::ClasswiseError::ece)
    ClasswiseEce,
}

impl MulticlassMetric {
    /// Every metric of this kind.
    pub const ALL: &[Self] = &[
        Self::PrecisionMacro,
        Self::PrecisionMicro,
        Self::PrecisionWeighted,
        Self::RecallMacro,
        Self::RecallMicro,
        Self::RecallWeighted,
        Self::F1Macro,
        Self::F1Micro,
        Self::F1Weighted,
        Self::CohenKappa,
        Self::RocAucOvr,
        Self::RocAucOvrWeighted,
        Self::RocAucOvo,
        Self::RocAucOvoWeighted,
        Self::AveragePrecisionMacro,
        Self::Top2Accuracy,
        Self::Top3Accuracy,
        Self::Top5Accuracy,
        Self::ClasswiseEce,
    ];

    /// The name it has in reports and configuration files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrecisionMacro => "precision_macro",
            Self::PrecisionMicro => "precision_micro",
            Self::PrecisionWeighted => "precision_weighted",
            Self::RecallMacro => "recall_macro",
            Self::RecallMicro => "recall_micro",
            Self::RecallWeighted => "recall_weighted",
            Self::F1Macro => "f1_macro",
            Self::F1Micro => "f1_micro",
            Self::F1Weighted => "f1_weighted",
            Self::CohenKappa => "cohen_kappa",
            Self::RocAucOvr => "roc_auc_ovr",
            Self::RocAucOvrWeighted => "roc_auc_ovr_weighted",
            Self::RocAucOvo => "roc_auc_ovo",
            Self::RocAucOvoWeighted => "roc_auc_ovo_weighted",
            Self::AveragePrecisionMacro => "average_precision_macro",
            Self::Top2Accuracy => "top_2_accuracy",
            Self::Top3Accuracy => "top_3_accuracy",
            Self::Top5Accuracy => "top_5_accuracy",
            Self::ClasswiseEce => "classwise_ece",
        }
    }

    /// Which way is better.
    pub const fn direction(self) -> Direction {
        match self {
            Self::ClasswiseEce => Direction::LowerIsBetter,
            _ => Direction::HigherIsBetter,
        }
    }

    /// The smallest and the largest value it can take.
    pub const fn range(self) -> (f64, f64) {
        match self {
            Self::CohenKappa => (-1.0, 1.0),
            _ => (0.0, 1.0),
        }
    }

    /// What it is computed from.
    pub const fn needs(self) -> Needs {
        match self {
            Self::RocAucOvr
            | Self::RocAucOvrWeighted
            | Self::RocAucOvo
            | Self::RocAucOvoWeighted
            | Self::AveragePrecisionMacro
            | Self::ClasswiseEce => Needs::Probabilities,
            Self::Top2Accuracy | Self::Top3Accuracy | Self::Top5Accuracy => Needs::Scores,
            _ => Needs::Labels,
        }
    }

    /// How many classes a top-k accuracy looks at; `None` for every other metric.
    ///
    /// ```
    /// use mlops_eval::catalog::MulticlassMetric;
    /// assert_eq!(MulticlassMetric::Top3Accuracy.k(), Some(3));
    /// assert_eq!(MulticlassMetric::F1Macro.k(), None);
    /// ```
    pub const fn k(self) -> Option<usize> {
        match self {
            Self::Top2Accuracy => Some(2),
            Self::Top3Accuracy => Some(3),
            Self::Top5Accuracy => Some(5),
            _ => None,
        }
    }

    /// The metric of a confusion matrix; `None` for one that needs scores.
    ///
    /// # Errors
    /// Those of [`WeightedConfusionMatrix::kappa`].
    pub fn of_cells(self, cells: &WeightedConfusionMatrix) -> Result<Option<Measured>, StatsError> {
        let average = |metric, average| Some(cells.average(metric, average, ZeroDivision::Undefined));
        Ok(match self {
            Self::PrecisionMacro => average(LabelMetric::Precision, Average::Macro),
            Self::PrecisionMicro => average(LabelMetric::Precision, Average::Micro),
            Self::PrecisionWeighted => average(LabelMetric::Precision, Average::Weighted),
            Self::RecallMacro => average(LabelMetric::Recall, Average::Macro),
            Self::RecallMicro => average(LabelMetric::Recall, Average::Micro),
            Self::RecallWeighted => average(LabelMetric::Recall, Average::Weighted),
            Self::F1Macro => average(LabelMetric::F1, Average::Macro),
            Self::F1Micro => average(LabelMetric::F1, Average::Micro),
            Self::F1Weighted => average(LabelMetric::F1, Average::Weighted),
            Self::CohenKappa => Some(cells.kappa(&KappaWeights::Unweighted)?),
            _ => None,
        })
    }

    /// The metric of the rows that a state was built from; `None` for one that is not read from it.
    ///
    /// ```
    /// use mlops_eval::catalog::MulticlassMetric;
    /// use mlops_eval::classification::MulticlassScoreState;
    ///
    /// let state = MulticlassScoreState::of(&[0, 1], &[0.7, 0.3, 0.2, 0.8], 2)?;
    /// let area = MulticlassMetric::RocAucOvr.from_state(&state)?.and_then(|area| area.value());
    /// assert_eq!(area, Some(1.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of the metric's function.
    #[allow(clippy::wrong_self_convention, reason = "the family is named f_from_state everywhere")]
    pub fn from_state(self, state: &MulticlassScoreState) -> Result<Option<Measured>, StatsError> {
        Ok(Some(match self {
            Self::RocAucOvr => multiclass_roc_auc(state, Average::Macro)?,
            Self::RocAucOvrWeighted => multiclass_roc_auc(state, Average::Weighted)?,
            Self::RocAucOvo => multiclass_roc_auc_one_vs_one(state, Average::Macro)?,
            Self::RocAucOvoWeighted => multiclass_roc_auc_one_vs_one(state, Average::Weighted)?,
            Self::AveragePrecisionMacro => {
                multiclass_average_precision(state, Average::Macro, ZeroDivision::Undefined)?
            }
            _ => return Ok(None),
        }))
    }

    /// The metric of these rows: codes of the true classes, and `classes` scores a row, row by row. `None` for a metric of labels;
    /// weights that are `None` are all 1.
    ///
    /// ```
    /// use mlops_eval::catalog::MulticlassMetric;
    ///
    /// let scores = [0.2, 0.5, 0.3, 0.6, 0.3, 0.1];
    /// let top = MulticlassMetric::Top2Accuracy.of_scores(&[2, 2], &scores, 3, None)?.and_then(|top| top.value());
    /// assert_eq!(top, Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of the metric's function.
    pub fn of_scores(
        self,
        y_true: &[u32],
        scores: &[f64],
        classes: usize,
        weights: Option<&[f64]>,
    ) -> Result<Option<Measured>, StatsError> {
        if let Some(k) = self.k() {
            let state = TopKState::of(y_true, scores, weights, classes, TopKOptions::new(k))?;
            return Ok(Some(state.finish()));
        }
        if self.needs() != Needs::Probabilities {
            return Ok(None);
        }
        if self == Self::ClasswiseEce {
            let options = CalibrationOptions::default();
            let error = classwise_calibration_error(y_true, scores, classes, weights, &options)?;
            return Ok(Some(error.ece));
        }
        let options = ScoreOptions::default();
        self.from_state(&MulticlassScoreState::of_with(y_true, scores, classes, weights, &options)?)
    }
}

impl fmt::Display for MulticlassMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
