//! Differences row by row: Student's t, the sign test and the sign-flip test.
//!
//! For a metric that is a mean over rows (log loss, Brier score, absolute or squared error) two models are compared through
//! dᵢ = second minus first on row i. The t test asks about the mean and is right for many rows; the sign-flip test asks whether d
//! and −d are alike, and is then exact for any number of rows; the sign test looks at signs alone.

use std::borrow::Cow;

use mlops_core::num::parallel::{Threads, map};
use mlops_core::num::sum::{Sum, mean};
use mlops_core::num::{Measured, Random, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::equivalence::{Difference, Wald};
use super::mcnemar::ln_exact;
use super::result::{Alternative, Method, TestResult};
use crate::input::{finite, in_range, named, not_empty, paired};
use crate::interval::Interval;

/// `second` − `first`, row by row.
///
/// ```
/// use mlops_eval::compare::differences;
/// assert_eq!(differences(&[1.0, 2.0], &[1.5, 1.0])?, [0.5, -1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::NotFinite`];
/// [`StatsError::Overflow`] when a difference is not finite.
pub fn differences(first: &[f64], second: &[f64]) -> Result<Vec<f64>, StatsError> {
    paired(named("first", first), named("second", second))?;
    finite("first", first)?;
    finite("second", second)?;
    first.iter().zip(second).map(|(a, b)| in_range("a difference", b - a)).collect()
}

/// The mean of the differences with its standard error s/√n and n − 1 degrees of freedom: evidence for a paired t test, for
/// non-inferiority and the like.
///
/// The standard error is undefined with [`UndefinedReason::TooFew`] for a single row. O(n), two passes.
///
/// ```
/// use mlops_eval::compare::mean_difference;
/// let mean = mean_difference(&[1.0, 2.0, 3.0])?;
/// assert_eq!(mean.estimate.value(), Some(2.0));
/// assert_eq!(mean.degrees_of_freedom, Some(2.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::NotFinite`], [`StatsError::Overflow`].
pub fn mean_difference(differences: &[f64]) -> Result<Wald, StatsError> {
    check(differences)?;
    let n = differences.len();
    let center = mean(differences)?;
    let standard_error = if n < 2 {
        Measured::none(UndefinedReason::TooFew, n, 2)
    } else if differences.iter().all(|d| *d == differences[0]) {
        // A rounded mean would leave a variance where there is none.
        Measured::Value(0.0)
    } else {
        let squares: Sum = differences.iter().map(|d| (d - center) * (d - center)).collect();
        let variance = in_range("the variance of the differences", squares.value())? / (n - 1) as f64;
        Measured::Value((variance / n as f64).sqrt())
    };
    Ok(Wald {
        method: Method::PairedT,
        estimate: Measured::Value(center),
        standard_error,
        degrees_of_freedom: Some(n.saturating_sub(1).max(1) as f64),
        n: n as u64,
    })
}

/// Student's t test that the mean difference is 0, with the interval mean ± t·s/√n.
///
/// Without any variance p is 1 for a mean of 0 and undefined for another. Agrees with SciPy 1.17.1 (`ttest_rel`) to 1e-12.
///
/// ```
/// use mlops_eval::compare::{Alternative, paired_t};
/// let test = paired_t(&[0.1, -0.2, 0.4, 0.3, 0.2], Alternative::TwoSided, 0.95)?;
/// assert!(test.p.value().is_some_and(|p| p > 0.05));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`mean_difference`], and [`StatsError::Parameter`] for a confidence outside (0, 1).
pub fn paired_t(
    differences: &[f64],
    alternative: Alternative,
    confidence: f64,
) -> Result<TestResult, StatsError> {
    mean_difference(differences)?.test(alternative, confidence)
}

/// The sign test that positive and negative differences are equally likely: exact, differences of 0 are left out.
///
/// The statistic is the number of positive differences, the difference the share of positive minus that of negative ones among
/// all rows. Agrees with statsmodels 0.15.0 (`sign_test`) to 1e-12.
///
/// ```
/// use mlops_eval::compare::{Alternative, sign_test};
/// let test = sign_test(&[0.1, 0.2, 0.0, 0.4, 0.3], Alternative::Greater)?;
/// assert!(test.p.value().is_some_and(|p| (p - 1.0 / 16.0).abs() < 1e-15));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`mean_difference`].
pub fn sign_test(differences: &[f64], alternative: Alternative) -> Result<TestResult, StatsError> {
    check(differences)?;
    let count = |wanted: fn(&f64) -> bool| differences.iter().filter(|d| wanted(d)).count() as u64;
    let (above, below) = (count(|d| *d > 0.0), count(|d| *d < 0.0));
    let share = (above as f64 - below as f64) / differences.len() as f64;
    let result = if above + below == 0 {
        TestResult::nothing_differs(Method::Sign, alternative)
    } else {
        let ln_p = ln_exact(above, above + below, alternative, false);
        TestResult::new(Method::Sign, alternative, Measured::Value(above as f64), Measured::Value(ln_p))
    };
    Ok(result.with(Measured::Value(share), None, differences.len() as u64))
}

/// The choices of a test that draws.
///
/// ```
/// use mlops_eval::compare::DrawOptions;
/// let options = DrawOptions::default().with_seed(7).with_resamples(999);
/// assert_eq!((options.seed, options.resamples), (7, 999));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrawOptions {
    /// The seed. The same seed gives the same p on any number of threads. Default 0.
    pub seed: u64,
    /// How many times to draw; 1 to 10⁸. Default 9 999: p is at least 1/10 000.
    pub resamples: u64,
    /// Which difference counts. Default: any.
    pub alternative: Alternative,
    /// How many threads may work. Default 1.
    pub threads: Threads,
}

impl Default for DrawOptions {
    fn default() -> Self {
        Self { seed: 0, resamples: 9_999, alternative: Alternative::TwoSided, threads: Threads::ONE }
    }
}

impl DrawOptions {
    /// Sets [`Self::seed`].
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets [`Self::resamples`].
    #[must_use]
    pub const fn with_resamples(mut self, resamples: u64) -> Self {
        self.resamples = resamples;
        self
    }

    /// Sets [`Self::alternative`].
    #[must_use]
    pub const fn with_alternative(mut self, alternative: Alternative) -> Self {
        self.alternative = alternative;
        self
    }

    /// Sets [`Self::threads`].
    #[must_use]
    pub const fn with_threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    pub(super) fn check(&self) -> Result<(), StatsError> {
        check_resamples(self.resamples)
    }
}

pub(super) fn check_resamples(resamples: u64) -> Result<(), StatsError> {
    if (1..=100_000_000).contains(&resamples) {
        return Ok(());
    }
    let reason = "must lie between 1 and 1e8";
    Err(StatsError::Parameter { parameter: "resamples", value: resamples as f64, reason })
}

/// The most differences other than 0 whose signs are all tried.
const EXACT: usize = 32;

/// The sign-flip test: if the models are exchangeable on every row, each sign of d was a toss, and the mean could have been that of
/// any of the 2ⁿ assignments of signs.
///
/// With at most 32 differences other than 0 all assignments are counted, and p is exact. Otherwise p = (1 + #{as extreme})/(B + 1)
/// over B drawn ones, which is never 0 and keeps the level for any B (B. Phipson, G. Smyth, 2010). Two-sided: means at least as
/// far from 0. The statistic is the mean. O(2^(n/2)) or O(n B).
///
/// ```
/// use mlops_eval::compare::{DrawOptions, sign_flip};
/// let test = sign_flip(&[0.1, 0.2, 0.4], &DrawOptions::default())?;
/// assert_eq!(test.p.value(), Some(2.0 / 8.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`mean_difference`]; [`StatsError::Parameter`] for resamples outside 1 to 10⁸.
pub fn sign_flip(differences: &[f64], options: &DrawOptions) -> Result<TestResult, StatsError> {
    check(differences)?;
    options.check()?;
    let center = Measured::Value(mean(differences)?);
    let (method, p) = flip(differences, options)?;
    let result = TestResult::counted(method, options.alternative, center, p.unwrap_or(1.0));
    Ok(result.with(center, None, differences.len() as u64))
}

/// The method and p; `None` when every difference is 0.
fn flip(differences: &[f64], options: &DrawOptions) -> Result<(Method, Option<f64>), StatsError> {
    let sizes: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    let total = in_range("the sum of the differences", mlops_core::num::sum::sum(&sizes))?;
    let size =
        in_range("the sum of the differences", sizes.iter().map(|d| d.abs()).collect::<Sum>().value())?;
    if sizes.is_empty() {
        return Ok((Method::SignFlipExact, None));
    }
    // Sums of the same numbers in another order are as extreme.
    let slack = 1e-14 * size * (sizes.len() as f64).sqrt().max(1.0);
    let extreme = Extreme { observed: total, slack, alternative: options.alternative };
    if sizes.len() <= EXACT {
        return Ok((Method::SignFlipExact, Some(enumerate(&sizes, &extreme))));
    }
    let batches = usize::try_from(options.resamples.div_ceil(BATCH)).unwrap_or(usize::MAX);
    let root = Random::new(options.seed).stream("sign-flip");
    let hits: u64 = map(batches, options.threads, |batch| {
        let first = batch as u64 * BATCH;
        let last = options.resamples.min(first + BATCH);
        (first..last).filter(|i| extreme.holds(flipped(&sizes, total, root.nth(*i)))).count() as u64
    })
    .into_iter()
    .sum();
    Ok((Method::SignFlip, Some((1 + hits) as f64 / (options.resamples + 1) as f64)))
}

/// Resamples that a thread takes at once.
pub(super) const BATCH: u64 = 32;

/// What counts as at least as extreme as the observation.
pub(super) struct Extreme {
    pub(super) observed: f64,
    pub(super) slack: f64,
    pub(super) alternative: Alternative,
}

impl Extreme {
    pub(super) fn holds(&self, value: f64) -> bool {
        match self.alternative {
            Alternative::TwoSided => value.abs() >= self.observed.abs() - self.slack,
            Alternative::Greater => value >= self.observed - self.slack,
            Alternative::Less => value <= self.observed + self.slack,
        }
    }
}

/// The sum after the signs that 64 tosses a word choose are turned round.
fn flipped(sizes: &[f64], total: f64, mut random: Random) -> f64 {
    let mut turned = 0.0;
    for block in sizes.chunks(64) {
        let tosses = random.next_u64();
        let mut sums = [0.0; 4];
        for (i, size) in block.iter().enumerate() {
            // Times 0 or 1: no branch that half the tosses mispredict.
            sums[i % 4] += size * (tosses >> i & 1) as f64;
        }
        turned += (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }
    total - 2.0 * turned
}

/// The share of the 2ⁿ assignments that are extreme: all sums of each half, sorted, and how many pairs reach the bounds.
fn enumerate(sizes: &[f64], extreme: &Extreme) -> f64 {
    let (left, right) = sizes.split_at(sizes.len() / 2);
    let [left, right] = [signed_sums(left), signed_sums(right)];
    let at_least = |bound: f64| {
        // As the left sum grows, more right sums suffice.
        let mut from = right.len();
        left.iter().fold(0_u64, |pairs, l| {
            while from > 0 && l + right[from - 1] >= bound {
                from -= 1;
            }
            pairs + (right.len() - from) as u64
        })
    };
    let all = left.len() as f64 * right.len() as f64;
    // The sums are symmetric around 0.
    let bound = match extreme.alternative {
        Alternative::TwoSided => extreme.observed.abs() - extreme.slack,
        Alternative::Greater => extreme.observed - extreme.slack,
        Alternative::Less => -extreme.observed - extreme.slack,
    };
    match extreme.alternative {
        Alternative::TwoSided if bound <= 0.0 => 1.0,
        Alternative::TwoSided => (2.0 * at_least(bound) as f64 / all).min(1.0),
        _ => at_least(bound) as f64 / all,
    }
}

/// All sums of the numbers with either sign, ascending.
fn signed_sums(sizes: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0];
    for size in sizes {
        sums = sums.iter().flat_map(|sum| [sum + size, sum - size]).collect();
    }
    sums.sort_unstable_by(f64::total_cmp);
    sums
}

/// The sign-flip test as evidence about the mean difference: a null difference is taken off every row first.
///
/// The interval is that of Student's t, which the test has none of its own.
///
/// ```
/// use mlops_eval::compare::{DrawOptions, SignFlips, Verdict, non_inferiority};
/// let gains = [0.2, 0.1, 0.3, 0.0, 0.2, 0.1, -0.1, 0.2];
/// let evidence = SignFlips::new(&gains[..], DrawOptions::default())?;
/// assert_eq!(non_inferiority(&evidence, 0.05, 0.05)?.verdict, Verdict::Shown);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SignFlips<'a> {
    differences: Cow<'a, [f64]>,
    options: DrawOptions,
    mean: Wald,
}

impl<'a> SignFlips<'a> {
    /// Evidence from these differences; the options' alternative is not used.
    ///
    /// # Errors
    /// Those of [`sign_flip`].
    pub fn new(differences: impl Into<Cow<'a, [f64]>>, options: DrawOptions) -> Result<Self, StatsError> {
        options.check()?;
        let differences = differences.into();
        let mean = mean_difference(&differences)?;
        Ok(Self { differences, options, mean })
    }

    fn ln_p(&self, null: f64, alternative: Alternative) -> Measured {
        let shifted: Vec<f64> = self.differences.iter().map(|d| d - null).collect();
        match flip(&shifted, &self.options.with_alternative(alternative)) {
            Ok((_, p)) => Measured::Value(p.unwrap_or(1.0).ln()),
            Err(_) => Measured::none(UndefinedReason::NothingDefined, 0, 1),
        }
    }
}

impl Difference for SignFlips<'_> {
    fn method(&self) -> Method {
        if self.differences.len() <= EXACT { Method::SignFlipExact } else { Method::SignFlip }
    }

    fn n(&self) -> u64 {
        self.differences.len() as u64
    }

    fn estimate(&self) -> Measured {
        self.mean.estimate
    }

    fn ln_p_at_most(&self, null: f64) -> Measured {
        self.ln_p(null, Alternative::Greater)
    }

    fn ln_p_at_least(&self, null: f64) -> Measured {
        self.ln_p(null, Alternative::Less)
    }

    fn interval(&self, confidence: f64) -> Result<Option<Interval>, StatsError> {
        self.mean.interval(confidence)
    }
}

pub(super) fn check(differences: &[f64]) -> Result<(), StatsError> {
    not_empty(named("differences", differences))?;
    finite("differences", differences)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_definition(d: &[f64], alternative: Alternative) -> f64 {
        let total: f64 = d.iter().sum();
        let extreme = Extreme { observed: total, slack: 1e-12, alternative };
        let hits = (0_u32..1 << d.len())
            .filter(|signs| {
                let sum: f64 =
                    d.iter().enumerate().map(|(i, x)| if signs >> i & 1 == 1 { -x } else { *x }).sum();
                extreme.holds(sum)
            })
            .count();
        hits as f64 / f64::from(1_u32 << d.len())
    }

    #[test]
    fn every_assignment_of_signs_is_counted() {
        let cases: [&[f64]; 5] = [
            &[0.3],
            &[0.1, 0.2, -0.4],
            &[1.0, 1.0, 1.0, -1.0, 2.0, 2.0],
            &[0.5, -0.25, 0.125, 3.0, -2.0, 0.0, 0.7, 0.1, -0.9],
            &[-1.0, -0.1, -0.2, -0.3],
        ];
        for d in cases {
            for alternative in [Alternative::TwoSided, Alternative::Greater, Alternative::Less] {
                let options = DrawOptions::default().with_alternative(alternative);
                let test = sign_flip(d, &options).unwrap();
                assert_eq!(test.method, Method::SignFlipExact);
                assert_eq!(test.p.value(), Some(by_definition(d, alternative)), "{d:?} {alternative:?}");
            }
        }
    }

    #[test]
    fn drawn_signs_come_near_and_do_not_depend_on_threads() {
        let d: Vec<f64> = (0..200).map(|i| f64::from(i * 37 % 101) / 50.0 - 0.85).collect();
        let options = DrawOptions::default().with_seed(3);
        let test = sign_flip(&d, &options).unwrap();
        assert_eq!(test, sign_flip(&d, &options.with_threads(Threads::new(3))).unwrap());
        let t = paired_t(&d, Alternative::TwoSided, 0.95).unwrap();
        let (p, expected) = (test.p.value().unwrap(), t.p.value().unwrap());
        assert!((p - expected).abs() < 4.0 * (expected / 1e4).sqrt() + 0.002, "{p} {expected}");
    }

    #[test]
    fn equal_differences_and_none_have_typed_answers() {
        assert_eq!(paired_t(&[0.0; 3], Alternative::TwoSided, 0.95).unwrap().p, Measured::Value(1.0));
        let constant = paired_t(&[0.1; 3], Alternative::TwoSided, 0.95).unwrap();
        assert_eq!(constant.p.undefined().unwrap().reason, UndefinedReason::Constant);
        let single = paired_t(&[0.1], Alternative::TwoSided, 0.95).unwrap();
        assert_eq!(single.p.undefined().unwrap().reason, UndefinedReason::TooFew);
        assert_eq!(sign_flip(&[0.0; 3], &DrawOptions::default()).unwrap().p, Measured::Value(1.0));
        assert_eq!(sign_test(&[0.0], Alternative::Less).unwrap().p, Measured::Value(1.0));
        assert!(paired_t(&[], Alternative::TwoSided, 0.95).is_err());
        assert!(sign_flip(&[f64::NAN], &DrawOptions::default()).is_err());
        assert!(sign_flip(&[1.0], &DrawOptions::default().with_resamples(0)).is_err());
    }
}
