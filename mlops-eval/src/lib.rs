//! Metrics, their uncertainty, slices, fairness and comparisons as pure functions: slices in, a number or a typed reason out.
//!
//! # The map
//! | to | module |
//! |---|---|
//! | measure labels, scores, probabilities of classes | [`classification`] |
//! | see whether probabilities mean what they say | [`calibration`] |
//! | measure numbers, forecasts, ranked lists | [`regression`], [`forecast`], [`ranking`] |
//! | call any metric by its name | [`catalog`] |
//! | measure parts of the data | [`slice`](mod@slice) |
//! | measure groups of people, judge parity, mitigate | [`fairness`] |
//! | put intervals around rates, differences, ratios, means | [`interval`] |
//! | tell champion from challenger on the same rows | [`compare`] |
//! | report all of it for a model; compute what a gate wants tested | [`evaluator`], [`evidence`] |
//!
//! Nearly every metric comes from a **state that merges** and serialises, so that shards, windows and machines add up, and later numbers
//! need no rows: [`Confusion`](classification::Confusion), [`ConfusionMatrix`](classification::ConfusionMatrix),
//! [`ScoreState`](classification::ScoreState), [`CalibrationBins`](calibration::CalibrationBins),
//! [`RegressionState`](regression::RegressionState), [`ResidualState`](regression::ResidualState), [`ForecastState`](forecast::ForecastState),
//! [`RankingState`](ranking::RankingState), [`GroupMetrics`](fairness::GroupMetrics), [`MetricFrame`](fairness::MetricFrame).
//! What depends on the ranks of all rows (rank correlations, the concordance index) keeps the rows.
//!
//! # What it is not
//! It trains nothing, plots nothing, reads no files. It explains no model and looks for no slices. Thresholds belong to the gate
//! that applies them.
//!
//! # A tour
//! ```
//! use mlops_core::evaluation::Verdict;
//! use mlops_eval::calibration::{RecalibrationOptions, calibration_curve, recalibration};
//! use mlops_eval::catalog::{Input, Metric};
//! use mlops_eval::classification::{LabelMetric, ScoreState, ZeroDivision, precision, roc_auc, roc_auc_from_state};
//! use mlops_eval::compare::{self, PairedOptions, paired};
//! use mlops_eval::fairness::{
//!     FairnessOptions, MetricFrame, PairwiseOptions, ParityOptions, SensitiveFeature, difference_within, disparity_interval,
//! };
//! use mlops_eval::interval::Rate;
//! use mlops_eval::slice::{Slice, SliceOptions, evaluate_slices};
//!
//! let y_true: Vec<bool> = (0..600).map(|row| row % 3 == 0).collect();
//! let base = |ill: bool| if ill { 0.35 } else { 0.05 };
//! let scores: Vec<f64> = (0..600).map(|row| base(y_true[row]) + (row * 7 % 60) as f64 / 100.0).collect();
//! let y_pred: Vec<bool> = scores.iter().map(|score| *score >= 0.5).collect();
//!
//! // A metric is a function.
//! let auc = roc_auc(&y_true, &scores)?;
//! assert!(auc.value().is_some_and(|auc| auc > 0.8));
//!
//! // "No number" is an answer with a reason; what other tools return instead is one call away.
//! let nothing_selected = precision(&y_true, &[false; 600])?;
//! assert_eq!(nothing_selected.to_string(), "undefined (the denominator is zero)");
//! assert_eq!(ZeroDivision::Zero.apply(nothing_selected).value(), Some(0.0));
//!
//! // Bad input is an error that names the argument and the index.
//! let error = roc_auc(&[true, false], &[0.9, f64::NAN]).unwrap_err();
//! assert_eq!(error.to_string(), "`scores` has a NaN at index 1");
//!
//! // Two halves, measured on two machines, are the whole.
//! let mut state = ScoreState::of(&y_true[..300], &scores[..300])?;
//! state.merge(&ScoreState::of(&y_true[300..], &scores[300..])?)?;
//! assert_eq!(roc_auc_from_state(&state)?, auc);
//!
//! // By name, as a configuration file would.
//! let metrics = ["f1", "roc_auc", "smooth_ece"].map(str::parse::<Metric>);
//! let metrics = metrics.into_iter().collect::<Result<Vec<_>, _>>()?;
//! let input = Input::binary(&y_true).with_labels(&y_pred).with_scores(&scores);
//! for metric in &metrics {
//!     println!("{metric}: {}", metric.evaluate(&input)?);
//! }
//!
//! // On parts of the data. The second part is too small to say anything.
//! let age: Vec<f64> = (0..600).map(|row| 20.0 + (row / 10) as f64).collect();
//! let slices = Slice::bins("age", &age, &[79.0])?;
//! for slice in evaluate_slices(&input, &slices, &metrics, &SliceOptions::default().with_minimum_size(30))? {
//!     println!("{} ({} rows): {}", slice.name, slice.rows, slice.values[0].value);
//! }
//!
//! // For groups of people: any metrics, any features, and what the sample can say about their differences.
//! let codes: Vec<u32> = (0..600).map(|row| row / 3 % 2).collect();
//! let sex = [SensitiveFeature::new("sex", &codes, ["f", "m"])];
//! let frame = MetricFrame::of(&input, &metrics, &sex, &[], &FairnessOptions::default())?;
//! println!("AUC differs by {}", frame.by_group(metrics[1])?.difference().value);
//! let groups = &frame.group_metrics()?[0].metrics;
//! let cells = groups.confusions().ok_or("rows without weights are counted")?;
//! let rates = cells.iter().map(|cells| Rate::of(LabelMetric::SelectionRate, cells)).collect::<Result<Vec<_>, _>>()?;
//! let disparity = disparity_interval(&rates, &PairwiseOptions::new(1))?;
//! println!("selection differs by {}, within {:?}", disparity.value, disparity.interval);
//! let within = |margin| difference_within(&rates, margin, &ParityOptions::default()).map(|decision| decision.verdict);
//! assert_eq!(within(0.2)?, Verdict::Pass);
//! assert_eq!(within(0.15)?, Verdict::Insufficient);
//!
//! // Against the champion, on the same rows: surely not worse by 0.02?
//! let champion: Vec<f64> = (0..600).map(|row| 0.6 * scores[row] + (row * 13 % 40) as f64 / 100.0).collect();
//! let champion = Input::binary(&y_true).with_scores(&champion);
//! let comparison = paired(metrics[1], &champion, &input, 0.02, &PairedOptions::default())?;
//! assert_eq!(comparison.verdict, compare::Verdict::Shown);
//!
//! // Do the probabilities mean what they say? The state knows, without the rows.
//! let fit = recalibration(&state, &RecalibrationOptions::default())?;
//! println!("slope {} (1 is calibrated), within {:?}", fit.slope.estimate, fit.slope.interval);
//! for bin in calibration_curve(&y_true, &scores)?.bins {
//!     println!("{bin:?}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The metrics
//! All of [`catalog`]. Most exist as `f` and `f_weighted`; those of labels also as `f_from_counts`, those of scores as
//! `f_from_state`. Calibration beyond binned errors is read from a [`ScoreState`](classification::ScoreState). Metrics with parameters
//! (weighted κ, top-k for any k, pinball, NDCG, MASE, …) have no name and are in their modules. TP, FP, FN, TN are the confusion
//! cells.
//!
//! | name | function | range | better | undefined when |
//! |---|---|---|---|---|
//! | `accuracy` | [`accuracy`](classification::accuracy) | 0 to 1 | high | never |
//! | `balanced_accuracy` | [`balanced_accuracy`](classification::balanced_accuracy) | 0 to 1 | high | one class only |
//! | `precision` | [`precision`](classification::precision) | 0 to 1 | high | TP + FP = 0 |
//! | `recall` | [`recall`](classification::recall) | 0 to 1 | high | TP + FN = 0 |
//! | `f1` | [`f1`](classification::f1), [`f_beta`](classification::f_beta()) | 0 to 1 | high | TP + FP + FN = 0 |
//! | `jaccard` | [`jaccard`](classification::jaccard) | 0 to 1 | high | TP + FP + FN = 0 |
//! | `specificity` | [`specificity`](classification::specificity) | 0 to 1 | high | TN + FP = 0 |
//! | `negative_predictive_value` | [`negative_predictive_value`](classification::negative_predictive_value) | 0 to 1 | high | TN + FN = 0 |
//! | `false_positive_rate` | [`false_positive_rate`](classification::false_positive_rate) | 0 to 1 | low | FP + TN = 0 |
//! | `false_negative_rate` | [`false_negative_rate`](classification::false_negative_rate) | 0 to 1 | low | FN + TP = 0 |
//! | `false_discovery_rate` | [`false_discovery_rate`](classification::false_discovery_rate) | 0 to 1 | low | FP + TP = 0 |
//! | `false_omission_rate` | [`false_omission_rate`](classification::false_omission_rate) | 0 to 1 | low | FN + TN = 0 |
//! | `selection_rate` | [`selection_rate`](classification::selection_rate) | 0 to 1 | neither | never |
//! | `prevalence` | [`prevalence`](classification::prevalence) | 0 to 1 | neither | never |
//! | `zero_one_loss` | [`zero_one_loss`](classification::zero_one_loss) | 0 to 1 | low | never |
//! | `informedness` | [`informedness`](classification::informedness) | −1 to 1 | high | one class only |
//! | `markedness` | [`markedness`](classification::markedness) | −1 to 1 | high | predicted labels all alike |
//! | `g_mean` | [`g_mean`](classification::g_mean) | 0 to 1 | high | one class only |
//! | `fowlkes_mallows` | [`fowlkes_mallows`](classification::fowlkes_mallows) | 0 to 1 | high | TP + FP = 0 or TP + FN = 0 |
//! | `positive_likelihood_ratio` | [`positive_likelihood_ratio`](classification::positive_likelihood_ratio) | from 0 | high | one class only, or FP = 0 |
//! | `negative_likelihood_ratio` | [`negative_likelihood_ratio`](classification::negative_likelihood_ratio) | from 0 | low | one class only, or TN = 0 |
//! | `diagnostic_odds_ratio` | [`diagnostic_odds_ratio`](classification::diagnostic_odds_ratio) | from 0 | high | FP = 0 or FN = 0 |
//! | `prevalence_threshold` | [`prevalence_threshold`](classification::prevalence_threshold) | 0 to 1 | low | one class only, or TP + FP = 0 |
//! | `mcc` | [`mcc`](classification::mcc) | −1 to 1 | high | true or predicted labels all alike |
//! | `roc_auc` | [`roc_auc`](classification::roc_auc), [`roc_curve`](classification::roc_curve) | 0 to 1 | high | one class only |
//! | `average_precision` | [`average_precision`](classification::average_precision), [`pr_curve`](classification::pr_curve) | 0 to 1 | high | no positives |
//! | `pr_auc` | [`pr_auc`](classification::pr_auc) | 0 to 1 | high | no positives |
//! | `gini` | [`gini`](classification::gini) | −1 to 1 | high | one class only |
//! | `ks` | [`ks`](classification::ks()) | 0 to 1 | high | one class only |
//! | `log_loss` | [`log_loss`](classification::log_loss) | 0 to 36.04 | low | never |
//! | `brier` | [`brier`](classification::brier) | 0 to 1 | low | never |
//! | `d2_log_loss` | [`d2_log_loss`](classification::d2_log_loss) | to 1 | high | one class only |
//! | `d2_brier` | [`d2_brier`](classification::d2_brier) | to 1 | high | one class only |
//! | `precision_macro` | [`average`](classification::WeightedConfusionMatrix::average) | 0 to 1 | high | a class is never predicted |
//! | `precision_micro` | [`average`](classification::WeightedConfusionMatrix::average) | 0 to 1 | high | never |
//! | `precision_weighted` | [`average`](classification::WeightedConfusionMatrix::average) | 0 to 1 | high | a class is never predicted |
//! | `recall_macro` | [`average`](classification::WeightedConfusionMatrix::average) | 0 to 1 | high | a predicted class does not occur |
//! | `recall_micro` | [`average`](classification::WeightedConfusionMatrix::average) | 0 to 1 | high | never |
//! | `recall_weighted` | [`average`](classification::WeightedConfusionMatrix::average) | 0 to 1 | high | a predicted class does not occur |
//! | `f1_macro` | [`average`](classification::WeightedConfusionMatrix::average) | 0 to 1 | high | never |
//! | `f1_micro` | [`average`](classification::WeightedConfusionMatrix::average) | 0 to 1 | high | never |
//! | `f1_weighted` | [`average`](classification::WeightedConfusionMatrix::average) | 0 to 1 | high | never |
//! | `cohen_kappa` | [`cohen_kappa`](classification::cohen_kappa) | −1 to 1 | high | one class holds everything on both sides |
//! | `roc_auc_ovr` | [`multiclass_roc_auc`](classification::multiclass_roc_auc) | 0 to 1 | high | a class does not occur, or is the only one |
//! | `roc_auc_ovr_weighted` | [`multiclass_roc_auc`](classification::multiclass_roc_auc) | 0 to 1 | high | one class only |
//! | `roc_auc_ovo` | [`multiclass_roc_auc_one_vs_one`](classification::multiclass_roc_auc_one_vs_one) | 0 to 1 | high | a class does not occur |
//! | `roc_auc_ovo_weighted` | [`multiclass_roc_auc_one_vs_one`](classification::multiclass_roc_auc_one_vs_one) | 0 to 1 | high | one class only |
//! | `average_precision_macro` | [`multiclass_average_precision`](classification::multiclass_average_precision) | 0 to 1 | high | a class does not occur |
//! | `top_2_accuracy` | [`top_k_accuracy`](classification::top_k_accuracy) | 0 to 1 | high | never; more than 2 classes |
//! | `top_3_accuracy` | [`top_k_accuracy`](classification::top_k_accuracy) | 0 to 1 | high | never; more than 3 classes |
//! | `top_5_accuracy` | [`top_k_accuracy`](classification::top_k_accuracy) | 0 to 1 | high | never; more than 5 classes |
//! | `classwise_ece` | [`classwise_calibration_error`](calibration::classwise_calibration_error) | 0 to 1 | low | never |
//! | `ece` | [`ece`](calibration::ece), [`calibration_curve`](calibration::calibration_curve) | 0 to 1 | low | never |
//! | `mce` | [`mce`](calibration::mce) | 0 to 1 | low | never |
//! | `rmsce` | [`rmsce`](calibration::rmsce) | 0 to 1 | low | never |
//! | `ace` | [`ace`](calibration::ace) | 0 to 1 | low | never |
//! | `debiased_ece` | [`debiased_calibration_error`](calibration::debiased_calibration_error) | 0 to 1 | low | no bin has two rows |
//! | `smooth_ece` | [`smooth_calibration_error`](calibration::smooth_calibration_error) | 0 to 1 | low | never |
//! | `calibration_slope` | [`recalibration`](calibration::recalibration()) | any | neither: 1 is best | one class only, probabilities all alike, or classes that a threshold separates |
//! | `calibration_intercept` | [`recalibration`](calibration::recalibration()) | any | neither: 0 is best | as the slope |
//! | `calibration_in_the_large` | [`recalibration`](calibration::recalibration()) | any | neither: 0 is best | one class only |
//! | `calibration_ratio` | [`calibration_ratio`](calibration::calibration_ratio) | from 0 | neither: 1 is best | all probabilities are 0 |
//! | `spiegelhalter_z` | [`spiegelhalter`](calibration::spiegelhalter) | any | neither: 0 is best | all probabilities are 0, ½ or 1 |
//! | `hosmer_lemeshow` | [`hosmer_lemeshow`](calibration::hosmer_lemeshow()) | from 0 | low | a group that expects none, or all, to be positive is wrong |
//! | `corp_miscalibration` | [`corp_decomposition`](calibration::corp_decomposition) | 0 to 1 | low | never |
//! | `corp_discrimination` | [`corp_decomposition`](calibration::corp_decomposition) | 0 to ¼ | high | never |
//! | `mae` | [`mae`](regression::mae) | from 0 | low | never |
//! | `mse` | [`mse`](regression::mse) | from 0 | low | never |
//! | `rmse` | [`rmse`](regression::rmse) | from 0 | low | never |
//! | `msle` | [`msle`](regression::msle) | from 0 | low | never; numbers above −1 |
//! | `rmsle` | [`rmsle`](regression::rmsle) | from 0 | low | never; numbers above −1 |
//! | `mape` | [`mape`](regression::mape) | from 0 | low | a target is 0 |
//! | `smape` | [`smape`](regression::smape) | 0 to 2 | low | never |
//! | `wape` | [`wape`](regression::wape) | from 0 | low | all targets are 0 |
//! | `mean_error` | [`mean_error`](regression::mean_error) | any | neither | never |
//! | `log_cosh` | [`log_cosh`](regression::log_cosh) | from 0 | low | never |
//! | `poisson_deviance` | [`poisson_deviance`](regression::poisson_deviance) | from 0 | low | never; y ≥ 0, ŷ > 0 |
//! | `gamma_deviance` | [`gamma_deviance`](regression::gamma_deviance) | from 0 | low | never; positive numbers |
//! | `r2` | [`r2`](regression::r2) | to 1 | high | targets all alike, or fewer than two rows |
//! | `explained_variance` | [`explained_variance`](regression::explained_variance) | to 1 | high | targets all alike, or fewer than two rows |
//! | `d2_absolute_error` | [`d2_absolute_error`](regression::d2_absolute_error) | to 1 | high | targets all alike, or fewer than two rows |
//! | `pearson` | [`pearson`](regression::pearson) | −1 to 1 | high | targets or predictions all alike, or fewer than two rows |
//! | `spearman` | [`spearman`](regression::spearman) | −1 to 1 | high | targets or predictions all alike, or fewer than two rows |
//! | `kendall` | [`kendall`](regression::kendall) | −1 to 1 | high | targets or predictions all alike, or fewer than two rows |
//! | `concordance_correlation` | [`concordance_correlation`](regression::concordance_correlation) | −1 to 1 | high | all numbers alike, or fewer than two rows |
//! | `concordance_index` | [`concordance_index`](regression::concordance_index) | 0 to 1 | high | targets all alike, or fewer than two rows |
//! | `median_absolute_error` | [`median_absolute_error`](regression::median_absolute_error) | from 0 | low | never |
//! | `max_error` | [`max_error`](regression::max_error) | from 0 | low | never |
//!
//! "Never" means: for at least one row of positive weight; no rows are an error. Classes that are codes have a
//! [`ConfusionMatrix`](classification::ConfusionMatrix) with per-class values and averages. Of codes, the metrics of labels are
//! averaged as the [`Input`](catalog::Input) says, `log_loss`, `brier` (halved) and their skills are those of all classes, and
//! calibration is that of the top label.
//!
//! # Policies
//! - Empty input, unequal lengths, NaN and infinities, probabilities outside \[0, 1\], unknown codes, weights that
//!   are negative or add up to zero: an error, always. No value that is returned is NaN or infinite; what does not
//!   fit an f64 is an overflow error.
//! - Ties count one half in AUC; the median averages the two middle values.
//! - The same input gives the same bits, on any number of threads and any instruction set. Sums are compensated, so the order of
//!   rows changes the last digits at most. What draws takes a seed, and there is no other randomness.
//! - States and options that are read from a file are checked as arguments are.
//! - Conventions of scikit-learn 1.9.1 and Fairlearn 0.15.0 are options with their names
//!   ([`classification::compat`], [`FairnessOptions::fairlearn_0_15`](fairness::FairnessOptions::fairlearn_0_15)).
//!
//! # Features
//! | feature | default | brings |
//! |---|---|---|
//! | `polars` | no | `mlops-core`'s frame door, which turns a data frame into the slices these functions take |
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod calibration;
pub mod catalog;
pub mod classification;
pub mod compare;
pub mod evaluator;
pub mod evidence;
pub mod fairness;
pub mod forecast;
mod input;
pub mod interval;
pub mod ranking;
pub mod regression;
mod runs;
mod several;
pub mod slice;
