//! Feature attribution drift: does the model lean on the same features as at training time?
//!
//! For one attribution a feature (mean absolute SHAP values, permutation importances …) on the reference, rᵢ, and on current
//! data, cᵢ:
//!
//! | measure | formula | range | blind to |
//! |---|---|---|---|
//! | [`ndcg`] | Σ rᵢ·d(rank of cᵢ) / Σ rᵢ·d(rank of rᵢ), d(k) = 1/log₂(k + 1) | (0, 1] | size; most reorderings |
//! | [`weighted_tau`] | Kendall's τ, a pair weighted by 1/rank + 1/rank | [−1, 1] | size |
//! | [`rank_biased_overlap`] | pᵏ + (1 − p) Σ pᵈ⁻¹·(share of the d leading features in common) | (0, 1] | size; reorderings far down |
//! | [`Attribution::moved`] | ½ Σ abs(rᵢ/Σr − cᵢ/Σc) | [0, 1] | nothing but scale |
//!
//! NDCG is what Azure ML monitors, and a weak measure: four features in reversed order still have 0.75, and attributions (3, 0, 0)
//! that dissolve into (0.2, 0.2, 0.2) have 0.71. τ falls to −1 in the first case and is undefined in the second, where everything
//! ties; the share that moved is 2/3 there. Watch them together.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

/// The persistence at which [`attribution`] takes [`rank_biased_overlap`].
pub const PERSISTENCE: f64 = 0.9;

/// The measures of attribution drift; see the [module](self) for their formulas.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    /// [`ndcg`]; 1 for the same order.
    pub ndcg: Measured,
    /// [`weighted_tau`]; 1 for the same order, −1 for the reverse.
    pub weighted_tau: Measured,
    /// [`rank_biased_overlap`] with a persistence of [`PERSISTENCE`]; 1 for the same order.
    pub rank_biased_overlap: f64,
    /// The share of all attribution that moved to other features: total variation of the normalised attributions.
    pub moved: Measured,
    /// How many features there are.
    pub features: u64,
}

/// All measures of attribution drift.
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::LengthMismatch`], [`StatsError::Nan`], [`StatsError::NotFinite`]; [`StatsError::OutOfRange`]
/// for a negative attribution: take absolute values first.
///
/// ```
/// use mlops_drift::signal::attribution;
///
/// // The model forgets what it leant on: NDCG hardly notices.
/// let drift = attribution(&[3.0, 0.0, 0.0], &[0.2, 0.2, 0.2])?;
/// assert!(drift.ndcg.value().is_some_and(|ndcg| (ndcg - 0.71).abs() < 0.01));
/// assert!(drift.moved.value().is_some_and(|moved| (moved - 2.0 / 3.0).abs() < 1e-15));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn attribution(reference: &[f64], current: &[f64]) -> Result<Attribution, StatsError> {
    check(reference, current)?;
    let total = |values: &[f64]| values.iter().copied().collect::<Sum>().value();
    let (r, c) = (total(reference), total(current));
    let moved = if r > 0.0 && c > 0.0 && r.is_finite() && c.is_finite() {
        let distance = reference.iter().zip(current).map(|(a, b)| (a / r - b / c).abs()).collect::<Sum>();
        Measured::Value((distance.value() / 2.0).min(1.0))
    } else {
        Measured::none(UndefinedReason::ZeroDenominator, reference.len(), 1)
    };
    Ok(Attribution {
        ndcg: ndcg(reference, current)?,
        weighted_tau: weighted_tau(reference, current)?,
        rank_biased_overlap: rank_biased_overlap(reference, current, PERSISTENCE)?,
        moved,
        features: reference.len() as u64,
    })
}

/// Normalised discounted cumulative gain of the current order, with the reference attributions as gains; tied current values share
/// the discounts of their places. As `sklearn.metrics.ndcg_score([reference], [current])`, to 1e-12, but undefined where every gain
/// is 0 (there 0). O(k log k).
///
/// # Errors
/// As [`attribution`].
///
/// ```
/// let ndcg = mlops_drift::signal::ndcg(&[4.0, 3.0, 2.0, 1.0], &[1.0, 2.0, 3.0, 4.0])?;
/// assert!(ndcg.value().is_some_and(|ndcg| ndcg > 0.74)); // a complete reversal
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn ndcg(reference: &[f64], current: &[f64]) -> Result<Measured, StatsError> {
    check(reference, current)?;
    let by = |key: &[f64]| {
        let mut order: Vec<usize> = (0..key.len()).collect();
        order.sort_by(|&i, &j| key[j].total_cmp(&key[i]));
        order
    };
    let discount = |place: usize| 1.0 / (place as f64 + 2.0).log2();
    let ideal: Sum =
        by(reference).into_iter().enumerate().map(|(place, i)| reference[i] * discount(place)).collect();
    let mut gain = Sum::default();
    let order = by(current);
    let mut place = 0;
    for tied in order.chunk_by(|&i, &j| current[i] == current[j]) {
        let discounts: Sum = (place..place + tied.len()).map(discount).collect();
        let gains: Sum = tied.iter().map(|&i| reference[i]).collect();
        gain.push(gains.value() / tied.len() as f64 * discounts.value());
        place += tied.len();
    }
    Ok(Measured::ratio(gain.value(), ideal.value()).map(|ndcg| ndcg.min(1.0)))
}

/// Kendall's τ with hyperbolic weights (Vigna, *A weighted correlation index for rankings with ties*, WWW 2015): a pair of features
/// counts with 1/rank + 1/rank, so that the order of the leading ones matters most; the mean of ranking by the reference and by
/// the current values. As `scipy.stats.weightedtau`, to 1e-12; undefined where all values of a side tie. O(k²).
///
/// # Errors
/// As [`attribution`].
///
/// ```
/// let tau = mlops_drift::signal::weighted_tau(&[4.0, 3.0, 2.0, 1.0], &[1.0, 2.0, 3.0, 4.0])?;
/// assert_eq!(tau.value(), Some(-1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn weighted_tau(reference: &[f64], current: &[f64]) -> Result<Measured, StatsError> {
    check(reference, current)?;
    let one = one_sided_tau(reference, current);
    let other = one_sided_tau(current, reference);
    Ok(match (one, other) {
        (Some(one), Some(other)) => Measured::Value((0.5 * (one + other)).clamp(-1.0, 1.0)),
        _ => Measured::none(UndefinedReason::Constant, reference.len(), 2),
    })
}

/// Rank-biased overlap of the two orders, extrapolated (Webber, Moffat and Zobel, *A similarity measure for indefinite rankings*, ACM
/// Transactions on Information Systems 28, 2010):
///
/// > RBO = pᵏ·A(k) + (1 − p)/p · Σ pᵈ·A(d) over the depths d = 1 … k
///
/// with the agreement A(d) = 2·|S ∩ T|/(|S| + |T|) of the features S and T that rank d or better by reference and by current values. The
/// persistence p says how deep to look: the first 1/(1 − p) ranks or so. Tied features all have the best rank of their places, as in
/// the paper. Here both orders are of the same features, so that A(k) = 1 and RBO is at least pᵏ: with p = 0.9 four features in reversed
/// order still have 0.78. Choose a smaller p for few features. Symmetric. O(k log k).
///
/// # Errors
/// As [`attribution`]; [`StatsError::Parameter`] unless 0 < p < 1.
///
/// ```
/// use mlops_drift::signal::rank_biased_overlap;
///
/// // Agreements 0, 0, 2/3 and 1.
/// let overlap = rank_biased_overlap(&[4.0, 3.0, 2.0, 1.0], &[1.0, 2.0, 3.0, 4.0], 0.5)?;
/// assert!((overlap - 5.0 / 24.0).abs() < 1e-15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn rank_biased_overlap(reference: &[f64], current: &[f64], persistence: f64) -> Result<f64, StatsError> {
    check(reference, current)?;
    if !(persistence > 0.0 && persistence < 1.0) {
        let reason = "must lie between 0 and 1, both excluded";
        return Err(StatsError::Parameter { parameter: "persistence", value: persistence, reason });
    }
    let (s, t) = (best_places(reference), best_places(current));
    // How many features come in at every depth: on one side, on the other, on the later of both.
    let mut entering = vec![[0_u32; 3]; reference.len()];
    for (&s, &t) in s.iter().zip(&t) {
        for (kind, place) in [s, t, s.max(t)].into_iter().enumerate() {
            entering[place][kind] += 1;
        }
    }
    let (mut sizes, mut weight, mut sum) = ([0.0; 3], 1.0, Sum::new());
    for entering in entering {
        for (size, new) in sizes.iter_mut().zip(entering) {
            *size += f64::from(new);
        }
        sum.push(weight * (1.0 - persistence) * 2.0 * sizes[2] / (sizes[0] + sizes[1]));
        weight *= persistence;
    }
    sum.push(weight);
    Ok(sum.value().min(1.0))
}

/// The place of every value in descending order, counted from 0; tied ones share the first of theirs.
fn best_places(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[j].total_cmp(&values[i]));
    let mut places = vec![0; values.len()];
    let mut place = 0;
    for tied in order.chunk_by(|&i, &j| values[i] == values[j]) {
        tied.iter().for_each(|&i| places[i] = place);
        place += tied.len();
    }
    places
}

/// τ with ranks by the first values, ties among them by the second.
fn one_sided_tau(first: &[f64], second: &[f64]) -> Option<f64> {
    let mut order: Vec<usize> = (0..first.len()).collect();
    order.sort_by(|&i, &j| first[j].total_cmp(&first[i]).then(second[j].total_cmp(&second[i])));
    let weight = |place: usize| 1.0 / (place as f64 + 1.0);
    let sign = |x: f64, y: f64| f64::from(i8::from(x > y) - i8::from(x < y));
    let (mut both, mut of_first, mut of_second) = (Sum::default(), Sum::default(), Sum::default());
    for (p, &i) in order.iter().enumerate() {
        for (q, &j) in order.iter().enumerate().skip(p + 1) {
            let w = weight(p) + weight(q);
            let (x, y) = (sign(first[i], first[j]), sign(second[i], second[j]));
            both.push(w * x * y);
            of_first.push(w * x * x);
            of_second.push(w * y * y);
        }
    }
    let norm = of_first.value().sqrt() * of_second.value().sqrt();
    (norm > 0.0).then(|| both.value() / norm)
}

fn check(reference: &[f64], current: &[f64]) -> Result<(), StatsError> {
    if reference.len() != current.len() {
        return Err(StatsError::LengthMismatch {
            left: "reference",
            left_len: reference.len(),
            right: "current",
            right_len: current.len(),
        });
    }
    for (argument, values) in [("reference", reference), ("current", current)] {
        if values.is_empty() {
            return Err(StatsError::Empty { argument });
        }
        for (index, &value) in values.iter().enumerate() {
            if value.is_nan() {
                return Err(StatsError::Nan { argument, index });
            }
            if value.is_infinite() {
                return Err(StatsError::NotFinite { argument, index, value });
            }
            if value < 0.0 {
                return Err(StatsError::OutOfRange { argument, index, value, low: 0.0, high: f64::INFINITY });
            }
        }
    }
    Ok(())
}
