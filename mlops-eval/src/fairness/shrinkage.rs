//! Rates of small groups, steadied by what the other groups show.

use mlops_core::num::special::{beta_quantile, ln_chi2_sf, stirling_remainder};
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::homogeneity::without_trials;
use crate::interval::{Interval, Rate, check_confidence};

/// How a [`BetaPrior`] is found from the groups' counts.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriorFit {
    /// The mean and the variance between groups that explain Pearson's χ² (Kleinman, *Proportions with extraneous variance*, Journal
    /// of the American Statistical Association 68, 1973).
    Moments,
    /// The largest beta-binomial likelihood. The default.
    #[default]
    Likelihood,
}

/// The law that the groups' true rates are taken to follow: Beta(m·c, (1 − m)·c).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BetaPrior {
    /// Its mean m, in (0, 1).
    pub mean: f64,
    /// How many trials it is worth: c. Never more than there are trials in all groups, which is what it becomes when the groups
    /// differ by no more than chance.
    pub concentration: f64,
}

/// A rate drawn towards the mean of all groups.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShrunkenRate {
    /// The posterior mean (k + m·c) / (n + c).
    pub value: f64,
    /// The share that the prior has in it: c / (n + c).
    pub shrinkage: f64,
    /// The equal-tailed posterior interval.
    pub interval: Interval,
}

impl BetaPrior {
    /// Fits the prior. Groups without trials take no part.
    ///
    /// The number of successes of a group is beta-binomial. The likelihood is evaluated about 2 000
    /// times, O(groups) each.
    ///
    /// ```
    /// use mlops_eval::fairness::{BetaPrior, PriorFit};
    /// use mlops_eval::interval::Rate;
    ///
    /// let rates = [Rate::new(300, 1_000)?, Rate::new(420, 1_000)?, Rate::new(350, 1_000)?, Rate::new(3, 4)?];
    /// let prior = BetaPrior::fit(&rates, PriorFit::Likelihood)?;
    /// // Three of four says little: the rate is drawn far towards those of the others.
    /// let small = prior.shrink(rates[3], 0.95)?;
    /// assert!(small.value < 0.45 && small.interval.contains(0.4));
    /// assert!((prior.shrink(rates[0], 0.95)?.value - 0.3).abs() < 0.02);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Empty`] without groups; [`StatsError::TooFew`] for fewer than two with trials.
    pub fn fit(rates: &[Rate], method: PriorFit) -> Result<Self, StatsError> {
        let compared = compared(rates)?;
        if compared.len() < 2 {
            return Err(StatsError::TooFew { argument: "rates", needed: 2, got: compared.len() });
        }
        let (trials, successes) =
            compared.iter().fold((0.0, 0.0), |(n, k), rate| (n + rate.n(), k + rate.k()));
        // One half of a success and of a failure keep the mean off the ends, also where there are more rows than f64 has digits.
        let pooled = ((successes + 0.5) / (trials + 1.0)).min(1.0 - f64::EPSILON);
        let concentration = match method {
            PriorFit::Moments => by_moments(&compared, trials, successes / trials),
            PriorFit::Likelihood => return Ok(by_likelihood(&compared, trials, pooled)),
        };
        Ok(Self { mean: pooled, concentration: concentration.clamp(1e-3, trials) })
    }

    /// The posterior of a group's rate: Beta(m·c + k, (1 − m)·c + n − k). A group without trials has the prior.
    ///
    /// Empirical Bayes: the interval takes the prior as known, and covers the groups' rates as often as it says on average over
    /// groups, not each group's by itself.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a confidence outside (0, 1), or a prior that is no law.
    pub fn shrink(&self, rate: Rate, confidence: f64) -> Result<ShrunkenRate, StatsError> {
        check_confidence(confidence)?;
        if !(self.mean > 0.0 && self.mean < 1.0) {
            let reason = "must lie above 0 and below 1";
            return Err(StatsError::Parameter { parameter: "mean", value: self.mean, reason });
        }
        if !(self.concentration > 0.0 && self.concentration.is_finite()) {
            let reason = "must be positive and finite";
            return Err(StatsError::Parameter {
                parameter: "concentration",
                value: self.concentration,
                reason,
            });
        }
        let (a, b) = (
            self.mean * self.concentration + rate.k(),
            (1.0 - self.mean) * self.concentration + rate.n() - rate.k(),
        );
        let tail = 0.5 * (1.0 - confidence);
        Ok(ShrunkenRate {
            value: a / (a + b),
            shrinkage: self.concentration / (rate.n() + self.concentration),
            interval: Interval {
                lower: beta_quantile(tail, a, b),
                upper: 1.0 - beta_quantile(tail, b, a),
                confidence,
            },
        })
    }
}

fn compared(rates: &[Rate]) -> Result<Vec<Rate>, StatsError> {
    if rates.is_empty() {
        return Err(StatsError::Empty { argument: "rates" });
    }
    Ok(rates.iter().copied().filter(|rate| rate.trials() > 0).collect())
}

/// c from E Σ n(p − p̄)² = p̄q̄ [(k − 1) + (N − Σn²/N − (k − 1)) / (1 + c)].
fn by_moments(rates: &[Rate], trials: f64, mean: f64) -> f64 {
    let spread = mean * (1.0 - mean);
    let free = rates.len() as f64 - 1.0;
    let between: f64 =
        rates.iter().map(|rate| rate.n() * (rate.share() - mean) * (rate.share() - mean)).sum();
    let squares: f64 = rates.iter().map(|rate| rate.n() * (rate.n() / trials)).sum();
    let excess = between / spread - free;
    // No more spread than chance makes (0/0 included): as strong a prior as is allowed.
    if excess > 0.0 { (trials - squares - free) / excess - 1.0 } else { f64::INFINITY }
}

/// Golden-section search of the likelihood over ln c, inside one over the logit of m.
fn by_likelihood(rates: &[Rate], trials: f64, pooled: f64) -> BetaPrior {
    let best_for = |mean: f64| {
        let (ln_c, likelihood) =
            maximum(1e-3_f64.ln(), trials.max(1.0).ln(), |ln_c| ln_beta_binomial(rates, mean, ln_c.exp()));
        (ln_c.exp(), likelihood)
    };
    let center = (pooled / (1.0 - pooled)).ln();
    let mean_of = |logit: f64| 1.0 / (1.0 + (-logit).exp());
    let (logit, _) = maximum(center - 3.0, center + 3.0, |logit| best_for(mean_of(logit)).1);
    let mean = mean_of(logit);
    BetaPrior { mean, concentration: best_for(mean).0 }
}

/// Where a function of one hump is largest, and its value there.
fn maximum(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> (f64, f64) {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let (mut a, mut b) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
    let (mut fa, mut fb) = (f(a), f(b));
    for _ in 0..40 {
        if fa >= fb {
            (high, b, fb) = (b, a, fa);
            a = high - GOLDEN * (high - low);
            fa = f(a);
        } else {
            (low, a, fa) = (a, b, fb);
            b = low + GOLDEN * (high - low);
            fb = f(b);
        }
    }
    // The ends of the range are candidates, too: the likelihood may rise all the way.
    [(low, f(low)), (high, f(high)), (a, fa)]
        .into_iter()
        .fold((b, fb), |best, other| if other.1 > best.1 { other } else { best })
}

/// The logarithm of the beta-binomial likelihood, up to a constant.
fn ln_beta_binomial(rates: &[Rate], mean: f64, concentration: f64) -> f64 {
    let (a, b) = (mean * concentration, (1.0 - mean) * concentration);
    let one =
        |rate: &Rate| rising(a, rate.k()) + rising(b, rate.n() - rate.k()) - rising(concentration, rate.n());
    rates.iter().map(one).sum()
}

/// ln Γ(a + n) − ln Γ(a), without the cancellation of two large numbers.
fn rising(a: f64, n: f64) -> f64 {
    if n == 0.0 {
        return 0.0;
    }
    (a - 0.5) * (n / a).ln_1p() + n * (a + n).ln() - n + stirling_remainder(a + n) - stirling_remainder(a)
}

/// A rate with `prior` successes and as many failures added, (k + α)/(n + 2α): the mean of a symmetric Dirichlet posterior, as in
/// smoothed differential fairness (Foulds et al., *An intersectional definition of fairness*, ICDE 2020; they take α = 1).
///
/// ```
/// use mlops_eval::fairness::smoothed_rate;
/// use mlops_eval::interval::Rate;
/// assert_eq!(smoothed_rate(Rate::new(0, 2)?, 1.0)?.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`] for a prior that is negative or not finite. Undefined without trials and prior.
pub fn smoothed_rate(rate: Rate, prior: f64) -> Result<Measured, StatsError> {
    if !(0.0..=1e300).contains(&prior) {
        let reason = "must be finite and not negative";
        return Err(StatsError::Parameter { parameter: "prior", value: prior, reason });
    }
    Ok(Measured::ratio(rate.k() + prior, rate.n() + 2.0 * prior))
}

/// Rates of intersectional groups, explained by the main effects of the features.
///
/// The true rate of a group is taken as μ = θ₀ + Σ θ(category of each feature) + interaction, as structured regression does
/// (Herlihy, Truong, Chouldechova, Dudík, *A structured regression approach for evaluating model performance across intersectional
/// subgroups*, FAccT 2024, arXiv 2401.14893). θ is fitted by least squares with the inverse of the rates' variances for weights,
/// for which one success and one failure are added to each group; a coefficient that the data leave open is 0. The
/// interactions are drawn towards 0 by their variance τ² (DerSimonian and Laird's estimate): small groups take the additive value,
/// large ones keep their own. The paper penalises θ by its absolute values instead.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StructuredRates {
    /// θ₀ + Σ θ for each group, cut to [0, 1]; for groups without trials, too.
    pub additive: Vec<f64>,
    /// The additive value plus the shrunken interaction, τ²/(τ² + v) of what is left, cut to [0, 1].
    pub values: Vec<f64>,
    /// The variance of interactions, τ².
    pub interaction_variance: f64,
    /// Σ (rate − additive)² / v over groups with trials: χ² when there are no interactions.
    pub statistic: f64,
    /// Its degrees of freedom: groups with trials less free coefficients.
    pub degrees_of_freedom: usize,
    /// The probability of so large a statistic without interactions; undefined without degrees of freedom.
    pub p_value: Measured,
    /// The groups without trials.
    pub left_out: Vec<usize>,
}

/// The most coefficients of a [`StructuredRates`].
const MAX_COEFFICIENTS: usize = 512;

/// Fits [`StructuredRates`]: `codes[g][f]` is the category of group g in feature f, of `categories[f]`.
/// O(groups · features² + coefficients³).
///
/// ```
/// use mlops_eval::fairness::structured_rates;
/// use mlops_eval::interval::Rate;
///
/// // Two features of two categories; 10 % for each second category, and nobody knows about group (1, 1).
/// let rates = [Rate::new(200, 1_000)?, Rate::new(300, 1_000)?, Rate::new(300, 1_000)?, Rate::new(0, 0)?];
/// let codes = [[0, 0], [0, 1], [1, 0], [1, 1]];
/// let fit = structured_rates(&rates, &codes, &[2, 2])?;
/// assert!((fit.values[3] - 0.4).abs() < 1e-3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] without groups; [`StatsError::ZeroTotal`] without any trials; [`StatsError::LengthMismatch`];
/// [`StatsError::UnknownCode`] with the group; [`StatsError::Parameter`] for more than 512 categories in all;
/// [`StatsError::Overflow`] for groups of such different size that no digit of the fit is left.
pub fn structured_rates<C: AsRef<[usize]>>(
    rates: &[Rate],
    codes: &[C],
    categories: &[usize],
) -> Result<StructuredRates, StatsError> {
    let design = design(rates, codes, categories)?;
    let width = categories.iter().sum::<usize>() + 1;
    let observations: Vec<Observation> = rates.iter().zip(&design).filter_map(Observation::of).collect();
    if observations.is_empty() {
        return Err(StatsError::ZeroTotal { argument: "rates" });
    }
    let (theta, rank) = least_squares(&observations, width);
    let fitted = |columns: &[usize]| columns.iter().filter_map(|column| theta.get(*column)).sum::<f64>();
    let residual = |one: &Observation| one.share - fitted(one.columns);
    let statistic: f64 = observations.iter().map(|one| residual(one) * residual(one) / one.variance).sum();
    // Groups of very different size can leave no digit of the fit.
    if !theta.iter().all(|value| value.is_finite()) || !statistic.is_finite() {
        return Err(StatsError::Overflow { what: "the fit of the rates" });
    }
    let degrees_of_freedom = observations.len().saturating_sub(rank);
    let interaction_variance = between_variance(&observations, statistic, degrees_of_freedom);
    let additive: Vec<f64> = design.iter().map(|columns| fitted(columns).clamp(0.0, 1.0)).collect();
    let shrunken = |(rate, (columns, additive)): (&Rate, (&Vec<usize>, &f64))| {
        let Some(one) = Observation::of((rate, columns)) else { return *additive };
        let kept = interaction_variance / (interaction_variance + one.variance);
        (fitted(columns) + kept * residual(&one)).clamp(0.0, 1.0)
    };
    let values = rates.iter().zip(design.iter().zip(&additive)).map(shrunken).collect();
    Ok(StructuredRates {
        values,
        additive,
        interaction_variance,
        statistic,
        degrees_of_freedom,
        p_value: if degrees_of_freedom == 0 {
            Measured::none(UndefinedReason::TooFew, observations.len(), rank + 1)
        } else {
            Measured::Value(ln_chi2_sf(statistic, degrees_of_freedom as f64).exp())
        },
        left_out: without_trials(rates),
    })
}

/// A group with trials: its rate, the variance of that, and the columns of the design that are 1.
struct Observation<'a> {
    share: f64,
    variance: f64,
    columns: &'a [usize],
}

impl<'a> Observation<'a> {
    fn of((rate, columns): (&Rate, &'a Vec<usize>)) -> Option<Self> {
        let all = rate.n() + 2.0;
        // From the failures themselves: one less a share next to 1 would be nothing, and the weight infinite.
        let variance = (rate.k() + 1.0) / all * ((rate.n() - rate.k() + 1.0) / all) / rate.n();
        (rate.trials() > 0).then(|| Self { share: rate.share(), variance, columns })
    }
}

/// The columns of every group: the constant, and one for the category of each feature.
fn design<C: AsRef<[usize]>>(
    rates: &[Rate],
    codes: &[C],
    categories: &[usize],
) -> Result<Vec<Vec<usize>>, StatsError> {
    if rates.is_empty() {
        return Err(StatsError::Empty { argument: "rates" });
    }
    let differ =
        |left, left_len, right, right_len| StatsError::LengthMismatch { left, left_len, right, right_len };
    if codes.len() != rates.len() {
        return Err(differ("codes", codes.len(), "rates", rates.len()));
    }
    let all = categories.iter().try_fold(1_usize, |sum, count| sum.checked_add(*count));
    if all.is_none_or(|all| all > MAX_COEFFICIENTS) {
        let value = categories.iter().map(|count| *count as f64).sum();
        let reason = "must not add up to more than 511";
        return Err(StatsError::Parameter { parameter: "categories", value, reason });
    }
    let columns = |(group, codes): (usize, &C)| {
        let codes = codes.as_ref();
        if codes.len() != categories.len() {
            return Err(differ("codes of a group", codes.len(), "categories", categories.len()));
        }
        let (mut columns, mut start) = (vec![0], 1);
        for (code, known) in codes.iter().zip(categories) {
            if code >= known {
                let (code, known) = (*code as u64, *known as u64);
                return Err(StatsError::UnknownCode { argument: "codes", index: group, code, known });
            }
            columns.push(start + code);
            start += known;
        }
        Ok(columns)
    };
    codes.iter().enumerate().map(columns).collect()
}

/// The coefficients of weighted least squares, and how many of them are free: Cholesky's factor of XᵀWX, in which a pivot that is
/// nothing but rounding belongs to a column that the others make up; its coefficient is 0.
fn least_squares(observations: &[Observation<'_>], width: usize) -> (Vec<f64>, usize) {
    let mut factor = vec![vec![0.0; width]; width];
    let mut right = vec![0.0; width];
    for one in observations {
        let weight = 1.0 / one.variance;
        for &i in one.columns {
            right[i] += weight * one.share;
            for &j in one.columns {
                factor[i][j] += weight;
            }
        }
    }
    let mut free = vec![false; width];
    for i in 0..width {
        let diagonal = factor[i][i];
        for j in 0..i {
            let (before, row) = factor.split_at_mut(i);
            let inner: f64 = row[0][..j].iter().zip(&before[j][..j]).map(|(a, b)| a * b).sum();
            row[0][j] = if free[j] { (row[0][j] - inner) / before[j][j] } else { 0.0 };
        }
        let pivot = diagonal - factor[i][..i].iter().map(|value| value * value).sum::<f64>();
        free[i] = pivot > 1e-10 * diagonal;
        factor[i][i] = if free[i] { pivot.sqrt() } else { 0.0 };
    }
    for i in 0..width {
        let inner: f64 = factor[i][..i].iter().zip(&right[..i]).map(|(a, b)| a * b).sum();
        right[i] = if free[i] { (right[i] - inner) / factor[i][i] } else { 0.0 };
    }
    for i in (0..width).rev() {
        let inner: f64 = (i + 1..width).map(|j| factor[j][i] * right[j]).sum();
        right[i] = if free[i] { (right[i] - inner) / factor[i][i] } else { 0.0 };
    }
    let rank = free.iter().filter(|free| **free).count();
    (right, rank)
}

/// DerSimonian and Laird's variance of what the fit leaves, max(0, (Q − df) / c), with Σw in place of tr(P) in c as for a mean.
fn between_variance(observations: &[Observation<'_>], statistic: f64, degrees_of_freedom: usize) -> f64 {
    let (sum, squares) = observations.iter().fold((0.0, 0.0), |(sum, squares), one| {
        let weight = 1.0 / one.variance;
        (sum + weight, squares + weight * weight)
    });
    let share = degrees_of_freedom as f64 / (observations.len() as f64 - 1.0).max(1.0);
    let scale = (sum - squares / sum) * share;
    if scale > 0.0 { ((statistic - degrees_of_freedom as f64) / scale).max(0.0) } else { 0.0 }
}

/// James and Stein's estimates of several means, in the positive-part form of Efron and Morris for means of known variances:
/// ȳ + (1 − (k − 3)/Q)₊ (y − ȳ), with ȳ the mean weighted by 1/v, and Q = Σ (y − ȳ)²/v.
///
/// Any metric whose standard error is known per group can be put in. Where all variances are alike the sum of squared errors is
/// smaller on average than that of the y themselves, for four groups or more; three or fewer are left as they are.
///
/// ```
/// use mlops_eval::fairness::james_stein;
///
/// let steadied = james_stein(&[0.50, 0.60, 0.55, 0.70, 0.52], &[0.004; 5])?;
/// assert!(steadied[3] < 0.70 && steadied[0] > 0.50);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`]; [`StatsError::LengthMismatch`]; [`StatsError::Nan`], [`StatsError::NotFinite`]; and
/// [`StatsError::OutOfRange`] for a variance that is not positive.
pub fn james_stein(values: &[f64], variances: &[f64]) -> Result<Vec<f64>, StatsError> {
    crate::input::paired(crate::input::named("values", values), crate::input::named("variances", variances))?;
    crate::input::finite("values", values)?;
    crate::input::finite("variances", variances)?;
    if let Some(index) = variances.iter().position(|variance| *variance < f64::MIN_POSITIVE) {
        let (value, low) = (variances[index], f64::MIN_POSITIVE);
        return Err(StatsError::OutOfRange { argument: "variances", index, value, low, high: f64::MAX });
    }
    // In units of the smallest variance no weight exceeds 1.
    let unit = variances.iter().copied().fold(f64::INFINITY, f64::min);
    let weights: Vec<f64> = variances.iter().map(|variance| unit / variance).collect();
    let total: f64 = weights.iter().sum();
    let mean = values.iter().zip(&weights).map(|(value, weight)| value * (weight / total)).sum::<f64>();
    let q: f64 = values
        .iter()
        .zip(variances)
        .map(|(value, variance)| ((value - mean) / variance.sqrt()).powi(2))
        .sum();
    let free = values.len() as f64 - 3.0;
    if free <= 0.0 {
        return Ok(values.to_vec());
    }
    let kept = if q > 0.0 { (1.0 - free / q).max(0.0) } else { 0.0 };
    let steadied = values.iter().map(|value| mean + kept * (value - mean)).collect::<Vec<_>>();
    if steadied.iter().all(|value| value.is_finite()) {
        Ok(steadied)
    } else {
        Err(StatsError::Overflow { what: "a shrunken value" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::num::Random;
    use mlops_core::num::sample::Draws;

    fn rates(counts: &[(u64, u64)]) -> Vec<Rate> {
        counts.iter().map(|(k, n)| Rate::new(*k, *n).unwrap()).collect()
    }

    #[test]
    fn groups_of_any_size_have_a_fit_or_an_error() {
        let huge = Rate::new(u64::MAX, u64::MAX).unwrap();
        for other in [Rate::new(1, 2).unwrap(), Rate::new(0, u64::MAX).unwrap(), huge] {
            match structured_rates(&[huge, other, Rate::new(1, 1).unwrap()], &[[0], [1], [1]], &[2]) {
                Ok(fit) => {
                    assert!(fit.values.iter().all(|value| value.is_finite()) && fit.statistic.is_finite())
                }
                Err(error) => assert!(matches!(error, StatsError::Overflow { .. }), "{error}"),
            }
        }
    }

    #[test]
    fn rising_factorials_are_products() {
        for (a, n) in [(0.3, 4_u32), (12.0, 5), (1e-3, 1), (7.5, 0)] {
            let product: f64 = (0..n).map(|i| a + f64::from(i)).product();
            assert!((rising(a, f64::from(n)) - product.ln()).abs() < 1e-11, "{a} {n}");
        }
    }

    #[test]
    fn no_other_prior_is_likelier() {
        let groups = rates(&[(3, 30), (12, 40), (9, 25), (50, 100), (2, 4), (0, 6)]);
        let best = BetaPrior::fit(&groups, PriorFit::Likelihood).unwrap();
        let at_best = ln_beta_binomial(&groups, best.mean, best.concentration);
        for i in 1..60 {
            for j in 0..60 {
                let other = ln_beta_binomial(&groups, f64::from(i) / 60.0, (0.2 * f64::from(j) - 4.0).exp());
                assert!(other <= at_best + 1e-9, "{best:?} {i} {j}");
            }
        }
    }

    #[test]
    fn both_fits_find_the_prior_that_made_the_rates() {
        // True rates at the middles of 400 equal parts of Beta(6, 14), 60 trials each.
        let mut draws = Draws::new(Random::new(3).stream("prior"));
        let truths = (0..400).map(|i| beta_quantile((f64::from(i) + 0.5) / 400.0, 6.0, 14.0));
        let groups: Vec<Rate> = truths.map(|p| Rate::new(draws.binomial(60, p), 60).unwrap()).collect();
        for method in [PriorFit::Moments, PriorFit::Likelihood] {
            let prior = BetaPrior::fit(&groups, method).unwrap();
            assert!((prior.mean - 0.3).abs() < 0.02, "{prior:?}");
            assert!((15.0..27.0).contains(&prior.concentration), "{prior:?}");
        }
    }

    #[test]
    fn posterior_intervals_cover_on_average_and_the_values_are_nearer_than_the_rates() {
        let mut draws = Draws::new(Random::new(5).stream("posterior"));
        let truths: Vec<f64> =
            (0..300).map(|i| beta_quantile((f64::from(i) + 0.5) / 300.0, 6.0, 14.0)).collect();
        let groups: Vec<Rate> =
            truths.iter().map(|p| Rate::new(draws.binomial(12, *p), 12).unwrap()).collect();
        let prior = BetaPrior::fit(&groups, PriorFit::Likelihood).unwrap();
        let (mut covered, mut error, mut plain) = (0, 0.0, 0.0);
        for (rate, truth) in groups.iter().zip(&truths) {
            let shrunken = prior.shrink(*rate, 0.95).unwrap();
            covered += i32::from(shrunken.interval.contains(*truth));
            error += (shrunken.value - truth).powi(2);
            plain += (rate.share() - truth).powi(2);
        }
        assert!((274..=296).contains(&covered), "{covered} of 300");
        assert!(error < 0.7 * plain, "{error} {plain}");
    }

    #[test]
    fn groups_that_are_alike_share_a_prior_worth_all_trials() {
        for method in [PriorFit::Moments, PriorFit::Likelihood] {
            let prior = BetaPrior::fit(&rates(&[(30, 100), (30, 100), (15, 50)]), method).unwrap();
            assert!(
                prior.concentration > 200.0 && prior.concentration <= 250.0 + 1e-9,
                "{method:?} {prior:?}"
            );
            let none = BetaPrior::fit(&rates(&[(0, 10), (0, 20), (0, 0)]), method).unwrap();
            assert!(none.mean > 0.0 && none.concentration.is_finite(), "{none:?}");
            assert!(none.shrink(Rate::default(), 0.9).is_ok());
        }
        assert!(BetaPrior::fit(&rates(&[(1, 2), (0, 0)]), PriorFit::Moments).is_err());
        let broken = BetaPrior { mean: f64::NAN, concentration: 1.0 };
        assert!(broken.shrink(Rate::default(), 0.9).is_err());
    }

    #[test]
    fn additive_rates_are_found_and_interactions_are_noticed() {
        let codes = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]];
        let additive =
            rates(&[(200, 1_000), (300, 1_000), (250, 1_000), (300, 1_000), (400, 1_000), (350, 1_000)]);
        let fit = structured_rates(&additive, &codes, &[2, 3]).unwrap();
        assert_eq!((fit.degrees_of_freedom, fit.interaction_variance), (2, 0.0));
        assert!(fit.statistic < 1e-15 && fit.p_value.value().unwrap() > 0.999);
        assert!(fit.values.iter().zip(&additive).all(|(value, rate)| (value - rate.share()).abs() < 1e-9));

        let mut crossed = additive.clone();
        crossed[5] = Rate::new(700, 1_000).unwrap();
        let fit = structured_rates(&crossed, &codes, &[2, 3]).unwrap();
        assert!(fit.p_value.value().unwrap() < 1e-6 && fit.interaction_variance > 0.0);
        // Large groups keep their own rates.
        assert!((fit.values[5] - 0.7).abs() < 0.03, "{:?}", fit.values);
        // A small one does not.
        crossed[5] = Rate::new(5, 5).unwrap();
        let fit = structured_rates(&crossed, &codes, &[2, 3]).unwrap();
        assert!(fit.values[5] < 0.6, "{:?}", fit.values);
    }

    #[test]
    fn the_interaction_test_keeps_its_size() {
        let mut draws = Draws::new(Random::new(8).stream("structured"));
        let codes: Vec<[usize; 2]> = (0..15).map(|i| [i / 5, i % 5]).collect();
        let truth = |[a, b]: [usize; 2]| 0.2 + 0.1 * a as f64 + 0.05 * b as f64;
        let mut rejected = 0;
        for _ in 0..1_000 {
            let groups: Vec<Rate> =
                codes.iter().map(|code| Rate::new(draws.binomial(300, truth(*code)), 300).unwrap()).collect();
            let fit = structured_rates(&groups, &codes, &[3, 5]).unwrap();
            assert_eq!(fit.degrees_of_freedom, 8);
            rejected += u32::from(fit.p_value.value().unwrap() <= 0.05);
        }
        // Five standard errors around 5 %.
        assert!((16..=85).contains(&rejected), "{rejected}");
    }

    #[test]
    fn hostile_designs_are_refused() {
        let two = rates(&[(1, 2), (1, 3)]);
        let none: [[usize; 1]; 0] = [];
        assert!(structured_rates(&[], &none, &[2]).is_err());
        assert!(structured_rates(&two, &[[0]], &[2]).is_err());
        assert!(structured_rates(&two, &[[0, 0], [0, 0]], &[2]).is_err());
        assert!(structured_rates(&two, &[[0], [usize::MAX]], &[usize::MAX]).is_err());
        let error = structured_rates(&two, &[[0], [2]], &[2]).unwrap_err();
        assert_eq!(error, StatsError::UnknownCode { argument: "codes", index: 1, code: 2, known: 2 });
        let empty = rates(&[(0, 0), (0, 0)]);
        assert!(matches!(structured_rates(&empty, &[[0], [1]], &[2]), Err(StatsError::ZeroTotal { .. })));
        // Only the constant and one category can be told apart.
        let lone = structured_rates(&two, &[[0], [0]], &[3]).unwrap();
        assert_eq!(lone.degrees_of_freedom, 1);
        for variance in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(james_stein(&[0.1, 0.2], &[0.1, variance]).is_err());
        }
        assert!(smoothed_rate(two[0], f64::NAN).is_err());
        assert_eq!(smoothed_rate(Rate::default(), 0.0).map(Measured::value), Ok(None));
    }

    #[test]
    fn james_and_stein_beat_the_values_on_average() {
        let mut draws = Draws::new(Random::new(2).stream("stein"));
        let truths: Vec<f64> = (0..10).map(|i| 0.01 * f64::from(i)).collect();
        let (mut error, mut plain) = (0.0, 0.0);
        for _ in 0..500 {
            // The sum of twelve uniform numbers has the variance 1.
            let mut noise = || (0..12).map(|_| draws.next_f64()).sum::<f64>() - 6.0;
            let values: Vec<f64> = truths.iter().map(|truth| truth + 0.05 * noise()).collect();
            let steadied = james_stein(&values, &[0.0025; 10]).unwrap();
            error += steadied.iter().zip(&truths).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
            plain += values.iter().zip(&truths).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        }
        assert!(error < 0.65 * plain, "{error} {plain}");
        assert_eq!(james_stein(&[1.0, 2.0, 3.0], &[1.0; 3]).unwrap(), [1.0, 2.0, 3.0]);
    }
}
