//! Metrics of predicted numbers, as functions on slices and as mergeable states.
//!
//! - [`errors`]: the scalar metrics by function, [`metric`] by name, [`options`] for what definitions leave open.
//! - [`state`]: every metric that is a quotient of sums, from one pass.
//! - [`loss`]: means of a loss with a parameter (pinball, Huber, Tweedie, …); [`d2`]: the share of it that is explained.
//! - [`residuals`]: the exact distribution of the errors: quantiles, median, maximum.
//! - [`ranks`]: correlations of ranks and the concordance index.
//! - [`outputs`]: several targets at once.
//!
//! Targets and predictions must be finite. Every function checks its input and returns a
//! [`Measured`](mlops_core::num::Measured): a number, or the typed reason why there is none.
//!
//! ```
//! use mlops_eval::regression::{RegressionState, mae};
//!
//! let (y, forecast) = ([1.0, 2.0, 3.0, 4.0], [1.0, 2.5, 2.5, 5.0]);
//! assert_eq!(mae(&y, &forecast)?.value(), Some(0.5));
//!
//! // Every quotient of sums, from one pass.
//! let all = RegressionState::of(&y, &forecast, None)?.finish()?;
//! assert_eq!((all.mae.value(), all.mse.value()), (Some(0.5), Some(0.375)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod d2;
pub mod errors;
pub mod loss;
pub mod metric;
mod moments;
pub mod options;
pub mod outputs;
pub mod ranks;
pub mod residuals;
pub mod state;

pub use d2::{
    D2State, d2_absolute_error, d2_absolute_error_weighted, d2_pinball, d2_pinball_weighted, d2_tweedie,
    d2_tweedie_weighted,
};
pub use errors::*;
pub use loss::{
    Loss, LossState, gamma_deviance, gamma_deviance_weighted, huber, huber_weighted, log_cosh,
    log_cosh_weighted, msle, msle_weighted, pinball, pinball_weighted, poisson_deviance,
    poisson_deviance_weighted, rmsle, rmsle_weighted, tweedie_deviance, tweedie_deviance_weighted,
};
pub use metric::{Domain, RegressionMetric};
pub use options::{PercentageOfZero, RegressionOptions, SymmetricZero, r2_force_finite};
pub use outputs::{OutputAverage, output_metrics, outputs_average};
pub use ranks::{
    concordance_index, concordance_index_weighted, kendall, kendall_weighted, spearman, spearman_weighted,
};
pub use residuals::{ResidualState, ResidualSummary};
pub use state::{RegressionState, RegressionSummary};
