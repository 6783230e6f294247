//! How resampled values become an interval.

use serde::{Deserialize, Serialize};

/// How an interval is made of resampled values t* around the value t.
///
/// | method | limits for α = 1 − confidence |
/// |---|---|
/// | percentile | the α/2 and 1 − α/2 quantiles of t* |
/// | basic | 2t − the 1 − α/2 quantile, 2t − the α/2 quantile |
/// | BCa | quantiles of t* at Φ(z₀ + (z₀ ± z)/(1 − a(z₀ ± z))), z₀ from the share of t* below t, a from the jackknife |
///
/// Source: Efron, *Better bootstrap confidence intervals*, Journal of the American Statistical Association 82, 1987.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootstrapInterval {
    /// Quantiles of the resampled values.
    Percentile,
    /// Those quantiles mirrored at the value.
    Basic,
    /// Quantiles corrected for bias and skewness: second-order accurate. The default.
    #[default]
    Bca,
}
