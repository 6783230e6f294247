//! Wilcoxon's signed-rank test: do the larger differences have one sign?

use mlops_core::num::ranks::{midranks, sort_pairs, tie_sum};
use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::differences::check;
use super::result::{Alternative, Method, TestResult, ln_p_normal};

/// What becomes of differences that are 0, with SciPy's names.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroMethod {
    /// They are left out before ranking (Wilcoxon). The default.
    #[default]
    Wilcox,
    /// They are ranked with the others, and left out of the sums (J. Pratt, 1959).
    Pratt,
    /// They are ranked with the others, and half of their ranks counts on either side.
    Zsplit,
}

/// Which law gives p.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WilcoxonLaw {
    /// [`Exact`](Self::Exact) up to 50 differences, [`Normal`](Self::Normal) above. The default.
    #[default]
    Auto,
    /// Every assignment of signs to the ranks that were seen, ties and zeros included; up to 400 differences.
    Exact,
    /// The normal law, with the variance that ties leave.
    Normal,
}

/// The choices of [`wilcoxon_with`].
///
/// ```
/// use mlops_eval::compare::{WilcoxonOptions, ZeroMethod};
/// assert_eq!(WilcoxonOptions::default().with_zeros(ZeroMethod::Pratt).zeros, ZeroMethod::Pratt);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WilcoxonOptions {
    /// What becomes of zeros. Default: they are left out.
    pub zeros: ZeroMethod,
    /// Which law. Default: exact up to 50 differences.
    pub law: WilcoxonLaw,
    /// Which difference counts. Default: any.
    pub alternative: Alternative,
    /// Whether the normal law is corrected by half a rank for continuity. Default: no.
    pub correction: bool,
}

impl WilcoxonOptions {
    /// Sets [`Self::zeros`].
    #[must_use]
    pub const fn with_zeros(mut self, zeros: ZeroMethod) -> Self {
        self.zeros = zeros;
        self
    }

    /// Sets [`Self::law`].
    #[must_use]
    pub const fn with_law(mut self, law: WilcoxonLaw) -> Self {
        self.law = law;
        self
    }

    /// Sets [`Self::alternative`].
    #[must_use]
    pub const fn with_alternative(mut self, alternative: Alternative) -> Self {
        self.alternative = alternative;
        self
    }

    /// Sets [`Self::correction`].
    #[must_use]
    pub const fn with_correction(mut self, correction: bool) -> Self {
        self.correction = correction;
        self
    }
}

/// Wilcoxon's signed-rank test (1945) that differences are symmetric around 0, with default options.
///
/// Absolute differences are ranked, ties sharing their mean rank. The statistic is the sum of the ranks of positive differences
/// (SciPy's two-sided statistic is the smaller of that and its counterpart); the difference reported is the median one. p is 1
/// where every difference is 0. Agrees with SciPy 1.17.1 (`wilcoxon`) to 1e-12: its exact law where nothing ties, its permutation
/// method where something does, its normal law. O(n log n), exact O(n³).
///
/// ```
/// use mlops_eval::compare::wilcoxon;
/// let test = wilcoxon(&[0.1, 0.3, 0.2, 0.5, -0.05])?;
/// assert_eq!((test.statistic.value(), test.p.value()), (Some(14.0), Some(0.125)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::NotFinite`].
pub fn wilcoxon(differences: &[f64]) -> Result<TestResult, StatsError> {
    wilcoxon_with(differences, &WilcoxonOptions::default())
}

/// [`wilcoxon`] with options.
///
/// ```
/// use mlops_eval::compare::{WilcoxonLaw, WilcoxonOptions, wilcoxon_with};
/// let options = WilcoxonOptions::default().with_law(WilcoxonLaw::Normal);
/// let test = wilcoxon_with(&[0.1, 0.3, 0.2, 0.5, -0.05], &options)?;
/// assert!(test.p.value().is_some_and(|p| (p - 0.0796).abs() < 1e-4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`wilcoxon`]; [`StatsError::Unsupported`] for the exact law above 400 differences.
pub fn wilcoxon_with(differences: &[f64], options: &WilcoxonOptions) -> Result<TestResult, StatsError> {
    check(differences)?;
    let ranked = Ranked::of(differences, options.zeros)?;
    let exact = match options.law {
        WilcoxonLaw::Auto => ranked.sizes.len() <= 50,
        WilcoxonLaw::Exact => true,
        WilcoxonLaw::Normal => false,
    };
    if exact && ranked.sizes.len() > 400 {
        let reason = "there are more than 400 differences";
        return Err(StatsError::Unsupported { what: "the exact law of signed ranks", reason });
    }
    let method = if exact { Method::WilcoxonExact } else { Method::WilcoxonNormal };
    let result = if ranked.signed.is_empty() {
        TestResult::nothing_differs(method, options.alternative)
    } else {
        let statistic = Measured::Value(ranked.positive);
        if exact {
            TestResult::counted(method, options.alternative, statistic, ranked.p_exact(options))
        } else {
            let ln_p = Measured::Value(ranked.ln_p_normal(options));
            TestResult::new(method, options.alternative, statistic, ln_p)
        }
    };
    Ok(result.with(Measured::Value(median(differences)), None, differences.len() as u64))
}

fn median(values: &[f64]) -> f64 {
    let mut sorted: Vec<(f64, ())> = values.iter().map(|value| (*value, ())).collect();
    sort_pairs(&mut sorted);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        sorted[middle - 1].0.midpoint(sorted[middle].0)
    } else {
        sorted[middle].0
    }
}

struct Ranked {
    /// Absolute differences that are ranked.
    sizes: Vec<f64>,
    zeros: usize,
    /// Twice the ranks of the differences other than 0: whole numbers.
    signed: Vec<usize>,
    /// The rank sum of positive differences, with half of the zeros' under [`ZeroMethod::Zsplit`].
    positive: f64,
    /// The part of it that no sign moves.
    fixed: f64,
}

impl Ranked {
    fn of(differences: &[f64], method: ZeroMethod) -> Result<Self, StatsError> {
        let kept: Vec<f64> =
            differences.iter().copied().filter(|d| method != ZeroMethod::Wilcox || *d != 0.0).collect();
        let sizes: Vec<f64> = kept.iter().map(|d| d.abs()).collect();
        let ranks = midranks("differences", &sizes)?;
        let sum = |wanted: fn(f64) -> bool| -> f64 {
            kept.iter().zip(&ranks).filter(|(d, _)| wanted(**d)).map(|(_, rank)| rank).sum()
        };
        let of_zeros = if method == ZeroMethod::Zsplit { sum(|d| d == 0.0) / 2.0 } else { 0.0 };
        let signed = kept.iter().zip(&ranks).filter(|(d, _)| **d != 0.0).map(|(_, rank)| doubled(*rank));
        Ok(Self {
            zeros: kept.iter().filter(|d| **d == 0.0).count(),
            signed: signed.collect(),
            positive: sum(|d| d > 0.0) + of_zeros,
            fixed: of_zeros,
            sizes,
        })
    }

    fn p_exact(&self, options: &WilcoxonOptions) -> f64 {
        let law = sum_law(&self.signed);
        let at = doubled(self.positive - self.fixed);
        let below: f64 = law[..=at.min(law.len() - 1)].iter().sum();
        let above: f64 = law[at.min(law.len())..].iter().sum();
        let p = match options.alternative {
            Alternative::TwoSided => 2.0 * below.min(above),
            Alternative::Greater => above,
            Alternative::Less => below,
        };
        p.min(1.0)
    }

    fn ln_p_normal(&self, options: &WilcoxonOptions) -> f64 {
        let count = |n: f64| (n * (n + 1.0) / 4.0, n * (n + 1.0) * (2.0 * n + 1.0));
        let (mut mean, mut variance) = count(self.sizes.len() as f64);
        let mut ties = tie_sum("differences", &self.sizes).unwrap_or(0.0);
        if options.zeros == ZeroMethod::Pratt {
            let zeros = self.zeros as f64;
            let (of_mean, of_variance) = count(zeros);
            mean -= of_mean;
            variance -= of_variance;
            ties -= zeros * (zeros * zeros - 1.0);
        }
        let error = ((variance - ties / 2.0) / 24.0).sqrt();
        let distance = self.positive - mean;
        let correction = if !options.correction {
            0.0
        } else {
            match options.alternative {
                Alternative::TwoSided => 0.5_f64.min(distance.abs()).copysign(distance),
                Alternative::Greater => 0.5,
                Alternative::Less => -0.5,
            }
        };
        ln_p_normal((distance - correction) / error, options.alternative)
    }
}

#[expect(clippy::cast_sign_loss, reason = "ranks and their sums are not negative")]
fn doubled(rank: f64) -> usize {
    (2.0 * rank).round() as usize
}

/// The probabilities of every sum of a random half of whole numbers: each is in or out with probability ½.
fn sum_law(ranks: &[usize]) -> Vec<f64> {
    let total: usize = ranks.iter().sum();
    let mut law = vec![0.0; total + 1];
    law[0] = 1.0;
    let mut reached = 0;
    for &rank in ranks {
        reached += rank;
        for sum in (0..=reached).rev() {
            let with = if sum >= rank { law[sum - rank] } else { 0.0 };
            law[sum] = 0.5 * (law[sum] + with);
        }
    }
    law
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_law_counts_every_sign_with_ties_and_zeros() {
        let d: [f64; 8] = [1.0, -1.0, 2.0, 2.0, 0.0, -3.0, 4.0, 0.0];
        for zeros in [ZeroMethod::Wilcox, ZeroMethod::Pratt, ZeroMethod::Zsplit] {
            let options = WilcoxonOptions::default().with_zeros(zeros).with_alternative(Alternative::Greater);
            let observed = wilcoxon_with(&d, &options).unwrap();
            let mut hits = 0;
            for signs in 0_u32..256 {
                let flipped: Vec<f64> =
                    d.iter().enumerate().map(|(i, x)| if signs >> i & 1 == 1 { -x } else { *x }).collect();
                let statistic = Ranked::of(&flipped, zeros).unwrap().positive;
                hits += u32::from(statistic >= observed.statistic.value().unwrap());
            }
            let p = observed.p.value().unwrap();
            assert!((p - f64::from(hits) / 256.0).abs() < 1e-15, "{zeros:?} {p} {hits}");
        }
    }

    #[test]
    fn nothing_but_zeros_is_no_difference() {
        for zeros in [ZeroMethod::Wilcox, ZeroMethod::Pratt, ZeroMethod::Zsplit] {
            let options = WilcoxonOptions::default().with_zeros(zeros);
            assert_eq!(wilcoxon_with(&[0.0, -0.0], &options).unwrap().p, Measured::Value(1.0));
        }
        let many: Vec<f64> = (1..=401).map(f64::from).collect();
        let exact = WilcoxonOptions::default().with_law(WilcoxonLaw::Exact);
        assert!(matches!(wilcoxon_with(&many, &exact), Err(StatsError::Unsupported { .. })));
    }
}
