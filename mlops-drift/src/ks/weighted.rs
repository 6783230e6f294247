//! The test where values have weights of their own.

use mlops_core::num::{Measured, NanPolicy, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::{KsMethod, KsOptions, limit, noise_floor};
use crate::alternative::Alternative;
use crate::pair::Tail;
use crate::sample::{Sample, Side, Value};
use crate::weighted::{Weighted, merge};

/// The result of a two-sample Kolmogorov–Smirnov test of weighted values. Unlike [`Ks`](crate::Ks) it has no integers: D is a
/// difference of shares of weight, and the sizes are effective ones.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightedKs {
    /// D in [0, 1]; undefined under [`NanPolicy::Propagate`] when there is a NaN.
    pub statistic: Measured,
    /// What D is on average when nothing drifts, as [`Ks::noise_floor`](crate::Ks::noise_floor) for samples of the effective sizes.
    pub noise_floor: f64,
    /// P(D or more | no drift), in [0, 1].
    pub p: Measured,
    /// The natural logarithm of `p`, finite where `p` is too small for a double.
    pub ln_p: Measured,
    /// How `p` was computed: [`KsMethod::Asymptotic`].
    pub method: KsMethod,
    /// What was looked for.
    pub alternative: Alternative,
    /// The effective size (Σw)²/Σw² of the reference.
    pub n: f64,
    /// The effective size (Σw)²/Σw² of the current sample.
    pub m: f64,
    /// What became of the reference values; a weight of 0 leaves its value out.
    pub reference: Side,
    /// What became of the current values.
    pub current: Side,
}

/// The test where values have weights of their own: F and G are shares of weight. Weights need not add up to 1, and a value that is
/// left out takes its weight along. O((n + m) log(n + m)).
///
/// D is looked at where a block of equal values ends. Weights that are integers, with a product of their two sums below 2⁵³, give the
/// D of [`ks_with`](crate::ks_with) on rows repeated so many times, to the bit; otherwise it is off by 1e-15 at most.
///
/// p is Kolmogorov's limit law for samples of the effective sizes (Σw)²/Σw² (Kish, *Survey Sampling*, 1965, section 8.2; Monahan,
/// *Numerical Methods of Statistics*, 2011, chapter 12): an approximation, made for weights that do not depend on the values. Where
/// large weights sit on neighbouring values, F wavers there by more than the effective size says, and p is too small. With weights of 1
/// it is the p of [`KsMethod::Asymptotic`]. [`KsMethod::Auto`] means that method; there is no exact law to ask for.
///
/// # Errors
/// As [`ks_with`](crate::ks_with); [`StatsError::LengthMismatch`], and what [`total`](mlops_core::num::weights::total) refuses;
/// [`StatsError::Unsupported`] for an exact method.
///
/// ```
/// use mlops_core::num::Measured;
/// use mlops_drift::{KsOptions, ks_weighted};
///
/// let (before, after) = ([1.0, 2.0, 3.0], [2.0, 3.0, 4.0]);
/// let test = ks_weighted(&before, &[2.0, 1.0, 1.0], &after, &[1.0, 1.0, 2.0], &KsOptions::default())?;
/// assert_eq!(test.statistic, Measured::Value(0.5)); // half of the weight up to 1 is gone
/// assert!((test.n - 8.0 / 3.0).abs() < 1e-14);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn ks_weighted<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    reference_weights: &[f64],
    current: impl Into<Sample<'b, T>>,
    current_weights: &[f64],
    options: &KsOptions,
) -> Result<WeightedKs, StatsError> {
    if matches!(options.method, KsMethod::Exact | KsMethod::ExactContinuous) {
        let reason = "weighted values have the limit law only; choose asymptotic";
        return Err(StatsError::Unsupported { what: "an exact `method` for weighted values", reason });
    }
    let (reference, current) = (reference.into(), current.into());
    let nan = options.nan;
    let (a, before) = Weighted::new(("reference", reference), ("reference_weights", reference_weights), nan)?;
    let (b, after) = Weighted::new(("current", current), ("current_weights", current_weights), nan)?;
    let propagates = nan == NanPolicy::Propagate && (reference.has_nan() || current.has_nan());
    for (argument, weights, side) in
        [("reference", "reference_weights", before), ("current", "current_weights", after)]
    {
        // Under propagation nothing may be left.
        if side.missing == side.rows && !propagates {
            return Err(StatsError::AllMissing { argument });
        }
        if side.used == 0 && !propagates {
            return Err(StatsError::ZeroTotal { argument: weights });
        }
    }
    let (statistic, tail) = if propagates {
        let rows = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        let used = rows(before.used + after.used);
        let none = Measured::none(UndefinedReason::NanInput, used, rows(before.rows + after.rows));
        (none, Tail { p: none, ln_p: none })
    } else {
        let d = statistic(&a, &b, options.alternative);
        (Measured::Value(d), Tail::from_ln(limit(d * effective(a.size, b.size), options.alternative)))
    };
    Ok(WeightedKs {
        statistic,
        noise_floor: noise_floor(a.size, b.size, options.alternative),
        p: tail.p,
        ln_p: tail.ln_p,
        method: KsMethod::Asymptotic,
        alternative: options.alternative,
        n: a.size,
        m: b.size,
        reference: before,
        current: after,
    })
}

/// √(nm/(n + m)).
fn effective(n: f64, m: f64) -> f64 {
    n.sqrt() * (m / (n + m)).sqrt()
}

fn statistic<T: Value>(a: &Weighted<T>, b: &Weighted<T>, alternative: Alternative) -> f64 {
    let mut d = 0.0_f64;
    merge(a, b, |block| {
        d = d.max(match alternative {
            Alternative::TwoSided => block.difference.abs(),
            Alternative::Greater => block.difference,
            Alternative::Less => -block.difference,
        });
    });
    d.min(1.0)
}
