//! How many rows a comparison needs, and what a number of rows can show.
//!
//! Every function of rows answers "the smallest number with at least this power"; every `…_power` answers the reverse. α is the
//! level of the whole test: a two-sided one spends half on each side, and the chance of a finding on the wrong side is not counted
//! as power, except by [`paired_t_power`] and [`paired_t_rows`], which count as statsmodels does. Numbers are for the truth put in:
//! plan with the smallest difference that matters, not with the one just seen.

use std::f64::consts::LN_2;

use mlops_core::num::StatsError;
use mlops_core::num::special::{Binomial, ln_normal_sf, noncentral_t_sf};

use super::result::{Alternative, check_finite, check_share, normal_above, normal_at, student_above};

/// The largest number of rows that is planned for.
const MOST: f64 = 9.0e15;

/// z at the level of one side.
fn z_level(alpha: f64, alternative: Alternative) -> f64 {
    match alternative {
        // Half of the smallest number is none.
        Alternative::TwoSided if alpha < f64::MIN_POSITIVE => normal_above(alpha.ln() - LN_2),
        Alternative::TwoSided => -normal_at(alpha / 2.0),
        _ => -normal_at(alpha),
    }
}

fn check(alpha: f64, power: f64) -> Result<(), StatsError> {
    check_share("alpha", alpha)?;
    check_share("power", power)
}

fn check_open(parameter: &'static str, value: f64) -> Result<(), StatsError> {
    check_share(parameter, value)
}

/// Whether the truth lies on the side that the test looks at.
fn reachable(effect: f64, alternative: Alternative) -> bool {
    match alternative {
        Alternative::TwoSided => effect != 0.0,
        Alternative::Greater => effect > 0.0,
        Alternative::Less => effect < 0.0,
    }
}

#[expect(clippy::cast_sign_loss, reason = "a number of rows that is checked to be positive")]
fn rows(n: f64) -> Option<u64> {
    // A number that is whole but for rounding is that number.
    let n = (n * (1.0 - 1e-12)).ceil().max(1.0);
    (n <= MOST).then_some(n as u64)
}

fn power_at(z: f64) -> f64 {
    ln_normal_sf(-z).exp()
}

/// Rows for a mean difference, or any estimate whose variance is `variance_per_row`/n: n = (z₁₋α + z_power)² · variance/effect².
///
/// `effect` is how far the truth is from the null hypothesis: for non-inferiority the expected difference plus the margin. With
/// n·s² of a DeLong difference, of a paired t test or of a bootstrap it says how many rows the same question needs. `None` where no
/// number of rows would do, because the truth lies at the null hypothesis or on its other side.
///
/// ```
/// use mlops_eval::compare::{Alternative, rows_for_difference};
/// // Standard deviation 1, half a deviation to find: (1.645 + 0.842)²/0.25.
/// assert_eq!(rows_for_difference(1.0, 0.5, 0.05, 0.8, Alternative::Greater)?, Some(25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`] for a level or power outside (0, 1), a variance that is negative or not finite, or an effect that is
/// not finite.
pub fn rows_for_difference(
    variance_per_row: f64,
    effect: f64,
    alpha: f64,
    power: f64,
    alternative: Alternative,
) -> Result<Option<u64>, StatsError> {
    check(alpha, power)?;
    check_variance(variance_per_row)?;
    check_finite("effect", effect)?;
    if !reachable(effect, alternative) {
        return Ok(None);
    }
    let z = (z_level(alpha, alternative) + normal_at(power)).max(0.0);
    let ratio = z / effect.abs();
    Ok(rows(ratio * ratio * variance_per_row))
}

fn check_variance(variance: f64) -> Result<(), StatsError> {
    check_finite("variance_per_row", variance)?;
    if variance >= 0.0 {
        return Ok(());
    }
    let reason = "must not be negative";
    Err(StatsError::Parameter { parameter: "variance_per_row", value: variance, reason })
}

/// The power of a paired t test of n rows for a mean difference of `effect` standard deviations of the differences, by the
/// noncentral t law. Agrees with statsmodels 0.15.0 (`TTestPower`) to 1e-8, which counts the wrong side as power too where
/// two-sided; so does this one.
///
/// ```
/// use mlops_eval::compare::{Alternative, paired_t_power};
/// assert!((paired_t_power(34, 0.5, 0.05, Alternative::TwoSided)? - 0.8078).abs() < 1e-4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::TooFew`] for fewer than two rows, [`StatsError::Parameter`].
pub fn paired_t_power(n: u64, effect: f64, alpha: f64, alternative: Alternative) -> Result<f64, StatsError> {
    check_share("alpha", alpha)?;
    check_finite("effect", effect)?;
    if n < 2 {
        return Err(StatsError::TooFew { argument: "n", needed: 2, got: usize::try_from(n).unwrap_or(0) });
    }
    let dof = (n - 1) as f64;
    let shift = effect * (n as f64).sqrt();
    let critical = |tail: f64| student_above(tail, dof);
    Ok(match alternative {
        Alternative::TwoSided => {
            let t = critical(alpha / 2.0);
            noncentral_t_sf(t, dof, shift) + noncentral_t_sf(t, dof, -shift)
        }
        Alternative::Greater => noncentral_t_sf(signed_critical(alpha, critical), dof, shift),
        Alternative::Less => noncentral_t_sf(signed_critical(alpha, critical), dof, -shift),
    }
    .min(1.0))
}

fn signed_critical(alpha: f64, critical: impl Fn(f64) -> f64) -> f64 {
    if alpha <= 0.5 { critical(alpha) } else { -critical(1.0 - alpha) }
}

/// Rows for a paired t test, by the noncentral t law: the smallest n whose [`paired_t_power`] suffices. `None` where no number does.
///
/// ```
/// use mlops_eval::compare::{Alternative, paired_t_rows};
/// assert_eq!(paired_t_rows(0.5, 0.05, 0.8, Alternative::TwoSided)?, Some(34));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`].
pub fn paired_t_rows(
    effect: f64,
    alpha: f64,
    power: f64,
    alternative: Alternative,
) -> Result<Option<u64>, StatsError> {
    let Some(normal) = rows_for_difference(1.0, effect, alpha, power, alternative)? else { return Ok(None) };
    if normal > 1_000_000 {
        // The laws agree to less than a row in a hundred thousand.
        return Ok(Some(normal));
    }
    // The normal law asks for a few rows less, never more than about z²/2 + 3.
    let enough = |n: u64| paired_t_power(n, effect, alpha, alternative).map(|reached| reached >= power);
    let mut n = normal.saturating_sub(3).max(2);
    while !enough(n)? && n < normal + 10_000 {
        n += 1;
    }
    Ok(Some(n))
}

/// Rows to tell one share `truth` from a `threshold`, by the normal law with the variance of each hypothesis:
/// n = (z₁₋α √(t(1 − t)) + z_power √(p(1 − p)))²/(p − t)². `None` where no number does. For counts that matter check
/// [`proportion_power`], which is exact.
///
/// ```
/// use mlops_eval::compare::{Alternative, proportion_rows};
/// assert_eq!(proportion_rows(0.9, 0.93, 0.05, 0.8, Alternative::Greater)?, Some(558));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`] for shares, a level or a power outside (0, 1).
pub fn proportion_rows(
    threshold: f64,
    truth: f64,
    alpha: f64,
    power: f64,
    alternative: Alternative,
) -> Result<Option<u64>, StatsError> {
    check(alpha, power)?;
    check_open("threshold", threshold)?;
    check_open("truth", truth)?;
    if !reachable(truth - threshold, alternative) {
        return Ok(None);
    }
    let (null, real) = ((threshold * (1.0 - threshold)).sqrt(), (truth * (1.0 - truth)).sqrt());
    let root = (z_level(alpha, alternative) * null + normal_at(power) * real).max(0.0) / (truth - threshold);
    Ok(rows(root * root))
}

/// The exact power of the exact binomial test of n rows that a share exceeds (or falls short of) a threshold; two-sided as two
/// one-sided tests of α/2.
///
/// ```
/// use mlops_eval::compare::{Alternative, proportion_power};
/// let power = proportion_power(558, 0.9, 0.93, 0.05, Alternative::Greater)?;
/// assert!(power > 0.75 && power < 0.85);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`], as [`proportion_rows`]; [`StatsError::ZeroTotal`] without rows, [`StatsError::Overflow`] above 2⁵².
pub fn proportion_power(
    n: u64,
    threshold: f64,
    truth: f64,
    alpha: f64,
    alternative: Alternative,
) -> Result<f64, StatsError> {
    check_share("alpha", alpha)?;
    check_open("threshold", threshold)?;
    check_open("truth", truth)?;
    if n == 0 {
        return Err(StatsError::ZeroTotal { argument: "n" });
    }
    if n > 1 << 52 {
        return Err(StatsError::Overflow { what: "the number of rows" });
    }
    let law = |probability| Binomial { trials: n, probability };
    // The smallest count that rejects: the first whose upper tail is at most the level.
    let above = |null: f64, real: f64, level: f64| {
        let (mut low, mut high) = (0, n + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if law(null).ln_above(middle) <= level.ln() { high = middle } else { low = middle + 1 }
        }
        law(real).ln_above(low).exp()
    };
    Ok(match alternative {
        Alternative::Greater => above(threshold, truth, alpha),
        Alternative::Less => above(1.0 - threshold, 1.0 - truth, alpha),
        Alternative::TwoSided => {
            above(threshold, truth, alpha / 2.0) + above(1.0 - threshold, 1.0 - truth, alpha / 2.0)
        }
    })
}

/// Rows a model for two models on different rows each: n = (z₁₋α √(2p̄(1 − p̄)) + z_power √(p₁(1 − p₁) + p₂(1 − p₂)))²/(p₂ − p₁)².
/// `None` where no number does. Same rows need fewer: [`paired_proportion_rows`]. J. Fleiss, *Statistical Methods for Rates and
/// Proportions*, without continuity correction. Agrees with statsmodels 0.15.0 (`samplesize_proportions_2indep_onetail`,
/// `power_proportions_2indep`).
///
/// ```
/// use mlops_eval::compare::{Alternative, two_proportion_rows};
/// assert_eq!(two_proportion_rows(0.85, 0.9, 0.05, 0.8, Alternative::TwoSided)?, Some(686));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`] for shares, a level or a power outside (0, 1).
pub fn two_proportion_rows(
    first: f64,
    second: f64,
    alpha: f64,
    power: f64,
    alternative: Alternative,
) -> Result<Option<u64>, StatsError> {
    check(alpha, power)?;
    check_open("first", first)?;
    check_open("second", second)?;
    if !reachable(second - first, alternative) {
        return Ok(None);
    }
    let mean = first.midpoint(second);
    let (null, real) =
        ((2.0 * mean * (1.0 - mean)).sqrt(), (first * (1.0 - first) + second * (1.0 - second)).sqrt());
    let root = (z_level(alpha, alternative) * null + normal_at(power) * real).max(0.0) / (second - first);
    Ok(rows(root * root))
}

/// Rows for McNemar's test of two models on the same rows, given how often they disagree (ψ, only one is right) and the difference d
/// of their shares: n = (z₁₋α √ψ + z_power √(ψ − d²))²/d².
///
/// R. Connor, *Sample size for testing differences in proportions for the paired-sample design*, Biometrics 43, 1987; O. Miettinen,
/// 1968. `None` where no number does.
///
/// ```
/// use mlops_eval::compare::{Alternative, paired_proportion_rows};
/// assert_eq!(paired_proportion_rows(0.1, 0.02, 0.05, 0.8, Alternative::TwoSided)?, Some(1960));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`] for a level or power outside (0, 1), or a share of disagreement outside (0, 1] or below the difference.
pub fn paired_proportion_rows(
    disagreement: f64,
    difference: f64,
    alpha: f64,
    power: f64,
    alternative: Alternative,
) -> Result<Option<u64>, StatsError> {
    check(alpha, power)?;
    check_disagreement(disagreement, difference)?;
    if !reachable(difference, alternative) {
        return Ok(None);
    }
    let real = (disagreement - difference * difference).max(0.0).sqrt();
    let root =
        (z_level(alpha, alternative) * disagreement.sqrt() + normal_at(power) * real).max(0.0) / difference;
    Ok(rows(root * root))
}

/// The power of McNemar's test of n rows, by the same formula.
///
/// ```
/// use mlops_eval::compare::{Alternative, paired_proportion_power};
/// let power = paired_proportion_power(1960, 0.1, 0.02, 0.05, Alternative::TwoSided)?;
/// assert!((power - 0.8).abs() < 1e-3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`paired_proportion_rows`].
pub fn paired_proportion_power(
    n: u64,
    disagreement: f64,
    difference: f64,
    alpha: f64,
    alternative: Alternative,
) -> Result<f64, StatsError> {
    check_share("alpha", alpha)?;
    check_disagreement(disagreement, difference)?;
    let towards = if alternative == Alternative::TwoSided { difference.abs() } else { difference };
    let towards = if alternative == Alternative::Less { -towards } else { towards };
    let real = (disagreement - difference * difference).max(0.0).sqrt();
    let distance = (n as f64).sqrt() * towards - z_level(alpha, alternative) * disagreement.sqrt();
    if real == 0.0 {
        return Ok(if distance > 0.0 { 1.0 } else { 0.0 });
    }
    Ok(power_at(distance / real))
}

fn check_disagreement(disagreement: f64, difference: f64) -> Result<(), StatsError> {
    check_finite("difference", difference)?;
    if disagreement > 0.0 && disagreement <= 1.0 && difference.abs() <= disagreement {
        return Ok(());
    }
    let reason = "must lie above 0, at most at 1, and not below the difference";
    Err(StatsError::Parameter { parameter: "disagreement", value: disagreement, reason })
}

/// The variance of an area A with m positives and n negatives, as it would be for exponential scores:
/// [A(1 − A) + (m − 1)(Q₁ − A²) + (n − 1)(Q₂ − A²)]/mn with Q₁ = A/(2 − A) and Q₂ = 2A²/(1 + A).
///
/// J. Hanley, B. McNeil, *The meaning and use of the area under a receiver operating characteristic (ROC) curve*, Radiology 143,
/// 1982. For planning; a variance of data in hand is [`Delong::covariance`](super::Delong::covariance).
///
/// ```
/// use mlops_eval::compare::hanley_mcneil_variance;
/// assert!((hanley_mcneil_variance(0.893, 51.0, 58.0)?.sqrt() - 0.0325).abs() < 5e-5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`] for an area outside (0, 1), or fewer than one row of a class.
pub fn hanley_mcneil_variance(area: f64, positives: f64, negatives: f64) -> Result<f64, StatsError> {
    check_open("area", area)?;
    for (parameter, value) in [("positives", positives), ("negatives", negatives)] {
        if !(value >= 1.0 && value.is_finite()) {
            return Err(StatsError::Parameter { parameter, value, reason: "must be at least 1" });
        }
    }
    let (q1, q2, square) = (area / (2.0 - area), 2.0 * area * area / (1.0 + area), area * area);
    let sum = area * (1.0 - area) + (positives - 1.0) * (q1 - square) + (negatives - 1.0) * (q2 - square);
    Ok(sum / positives / negatives)
}

/// Rows to tell an area from a `threshold` when a share `prevalence` of rows is positive, by Hanley and McNeil's variance at each
/// hypothesis: the smallest n with z₁₋α √V(threshold) + z_power √V(truth) ≤ |truth − threshold|. `None` where no number does.
///
/// ```
/// use mlops_eval::compare::{Alternative, auc_rows};
/// assert_eq!(auc_rows(0.75, 0.8, 0.5, 0.05, 0.8, Alternative::Greater)?, Some(550));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`] for areas, a prevalence, a level or a power outside (0, 1).
pub fn auc_rows(
    threshold: f64,
    truth: f64,
    prevalence: f64,
    alpha: f64,
    power: f64,
    alternative: Alternative,
) -> Result<Option<u64>, StatsError> {
    check(alpha, power)?;
    check_open("threshold", threshold)?;
    check_open("truth", truth)?;
    check_open("prevalence", prevalence)?;
    let effect = truth - threshold;
    if !reachable(effect, alternative) {
        return Ok(None);
    }
    let (level, reach) = (z_level(alpha, alternative), normal_at(power));
    smallest(prevalence, |m, n| {
        let spread = level * hanley_mcneil_variance(threshold, m, n)?.sqrt()
            + reach * hanley_mcneil_variance(truth, m, n)?.sqrt();
        Ok(spread <= effect.abs())
    })
}

/// Rows to find a difference of two areas on the same rows, whose estimates correlate by `correlation`: both variances by Hanley and
/// McNeil, that of the difference V₁ + V₂ − 2r√(V₁V₂) at the truth, and 2V(mean)(1 − r) at equality. `None` where no number does.
///
/// N. Obuchowski, D. McClish, *Sample size determination for diagnostic accuracy studies involving binormal ROC curve indices*,
/// Statistics in Medicine 16, 1997, for the plan; with data in hand prefer [`rows_for_difference`] with DeLong's variance.
///
/// ```
/// use mlops_eval::compare::{Alternative, auc_difference_rows};
/// let plan = |r| auc_difference_rows(0.80, 0.83, r, 0.2, 0.05, 0.8, Alternative::TwoSided);
/// assert!(plan(0.8)? < plan(0.2)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`auc_rows`], and [`StatsError::Parameter`] for a correlation outside [0, 1).
pub fn auc_difference_rows(
    first: f64,
    second: f64,
    correlation: f64,
    prevalence: f64,
    alpha: f64,
    power: f64,
    alternative: Alternative,
) -> Result<Option<u64>, StatsError> {
    check(alpha, power)?;
    check_open("first", first)?;
    check_open("second", second)?;
    check_open("prevalence", prevalence)?;
    if !(0.0..1.0).contains(&correlation) {
        let reason = "must be at least 0 and below 1";
        return Err(StatsError::Parameter { parameter: "correlation", value: correlation, reason });
    }
    let effect = second - first;
    if !reachable(effect, alternative) {
        return Ok(None);
    }
    let (level, reach) = (z_level(alpha, alternative), normal_at(power));
    smallest(prevalence, |m, n| {
        let null = 2.0 * (1.0 - correlation) * hanley_mcneil_variance(first.midpoint(second), m, n)?;
        let (one, two) = (hanley_mcneil_variance(first, m, n)?, hanley_mcneil_variance(second, m, n)?);
        let real = (one + two - 2.0 * correlation * (one * two).sqrt()).max(0.0);
        Ok(level * null.sqrt() + reach * real.sqrt() <= effect.abs())
    })
}

/// The smallest number of rows that is enough, given the share of positives; at least one row of each class.
fn smallest(
    prevalence: f64,
    enough: impl Fn(f64, f64) -> Result<bool, StatsError>,
) -> Result<Option<u64>, StatsError> {
    let classes =
        |rows: u64| ((rows as f64 * prevalence).max(1.0), (rows as f64 * (1.0 - prevalence)).max(1.0));
    let holds = |rows: u64| {
        let (positives, negatives) = classes(rows);
        enough(positives, negatives)
    };
    let mut high = 2_u64;
    while !holds(high)? {
        high *= 2;
        if high as f64 > MOST {
            return Ok(None);
        }
    }
    let mut low = high / 2;
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if holds(middle)? { high = middle } else { low = middle }
    }
    Ok(Some(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truth_on_the_wrong_side_needs_no_number_of_rows() {
        for (effect, alternative) in
            [(0.0, Alternative::TwoSided), (-0.1, Alternative::Greater), (0.1, Alternative::Less)]
        {
            assert_eq!(rows_for_difference(1.0, effect, 0.05, 0.8, alternative), Ok(None));
            assert_eq!(paired_t_rows(effect, 0.05, 0.8, alternative), Ok(None));
            assert_eq!(proportion_rows(0.5, 0.5 + effect, 0.05, 0.8, alternative), Ok(None));
            assert_eq!(two_proportion_rows(0.5, 0.5 + effect, 0.05, 0.8, alternative), Ok(None));
            assert_eq!(paired_proportion_rows(0.3, effect, 0.05, 0.8, alternative), Ok(None));
            assert_eq!(auc_rows(0.7, 0.7 + effect, 0.2, 0.05, 0.8, alternative), Ok(None));
        }
        assert_eq!(rows_for_difference(1.0, 1e-12, 0.05, 0.8, Alternative::TwoSided), Ok(None));
    }

    #[test]
    fn planned_rows_are_the_first_that_have_the_power() {
        for (psi, d) in [(0.1, 0.02), (0.3, 0.1), (0.05, -0.03)] {
            let n = paired_proportion_rows(psi, d, 0.05, 0.9, Alternative::TwoSided).unwrap().unwrap();
            let power = |n| paired_proportion_power(n, psi, d, 0.05, Alternative::TwoSided).unwrap();
            assert!(power(n) >= 0.9 - 1e-9 && power(n - 1) < 0.9);
        }
        let n = paired_t_rows(0.2, 0.01, 0.9, Alternative::Less);
        assert_eq!(n, Ok(None));
        for effect in [0.1, 0.3, 1.0, 3.0] {
            let n = paired_t_rows(effect, 0.01, 0.9, Alternative::Greater).unwrap().unwrap();
            let power = |n| paired_t_power(n, effect, 0.01, Alternative::Greater).unwrap();
            assert!(power(n) >= 0.9 && (n == 2 || power(n - 1) < 0.9), "{effect} {n}");
        }
    }

    #[test]
    fn bad_numbers_are_named() {
        assert!(rows_for_difference(-1.0, 0.1, 0.05, 0.8, Alternative::TwoSided).is_err());
        assert!(rows_for_difference(1.0, f64::NAN, 0.05, 0.8, Alternative::TwoSided).is_err());
        assert!(paired_t_power(1, 0.1, 0.05, Alternative::TwoSided).is_err());
        assert!(proportion_rows(0.0, 0.1, 0.05, 0.8, Alternative::TwoSided).is_err());
        assert!(proportion_power(0, 0.5, 0.6, 0.05, Alternative::Less).is_err());
        assert!(paired_proportion_rows(0.1, 0.2, 0.05, 0.8, Alternative::TwoSided).is_err());
        assert!(auc_difference_rows(0.7, 0.8, 1.0, 0.5, 0.05, 0.8, Alternative::TwoSided).is_err());
        assert!(hanley_mcneil_variance(0.5, 0.0, 3.0).is_err());
    }
}
