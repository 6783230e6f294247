//! How balanced a data set is: positives over the categories of a feature, rows over categories, rows over everything.
//!
//! The measures, and their definitions, are those of the Responsible AI toolbox, so that its dashboards and this crate show one
//! number. Some names promise more than the definition keeps; the table says so. p is the share of positives, f the share of
//! rows in a category, pf the share of rows that are both, n the number of rows, K the number of categories.
//!
//! | of a category | definition | remark |
//! |---|---|---|
//! | statistical parity | pf / f | P(positive \| category) |
//! | pointwise mutual information | ln(pf / f) | without the division by p, which the gap between two categories cancels |
//! | Sørensen–Dice | pf / (f + p) | half of the usual coefficient |
//! | Jaccard | pf / (f + p − pf) | |
//! | Kendall rank correlation | (n²(1 − 2f − 2p + 2pf + 2 p f) + n(2f + 2p − 4pf − 1)) / (n² √((f − f²)(p − p²))) | not Kendall's τ |
//! | log-likelihood ratio | ln(pf / p) | ln P(category \| positive) |
//! | t-test | (p − f p) / √(f p) | no t statistic; its p-value is Student's with K − 1 degrees of freedom, one-sided |
//!
//! Two categories are compared by the difference of their measures ([`LabelBalance::gap`]).

use mlops_core::num::special::{ln_chi2_sf, ln_student_t_sf};
use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, Undefined, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::group::MAX_GROUPS;
use super::inequality::{atkinson_index, generalized_entropy};
use crate::input::{named, not_empty, paired};

/// Rows and positives of one category.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Counts")]
pub struct CategoryCounts {
    rows: u64,
    positives: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    rows: u64,
    positives: u64,
}

impl TryFrom<Counts> for CategoryCounts {
    type Error = StatsError;

    fn try_from(counts: Counts) -> Result<Self, StatsError> {
        Self::new(counts.rows, counts.positives)
    }
}

impl CategoryCounts {
    /// Counts of a category.
    ///
    /// ```
    /// use mlops_eval::fairness::CategoryCounts;
    /// assert_eq!(CategoryCounts::new(10, 4)?.positives(), 4);
    /// assert!(CategoryCounts::new(4, 10).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for more positives than rows.
    pub fn new(rows: u64, positives: u64) -> Result<Self, StatsError> {
        if positives > rows {
            let reason = "must not exceed `rows`";
            return Err(StatsError::Parameter { parameter: "positives", value: positives as f64, reason });
        }
        Ok(Self { rows, positives })
    }

    /// Its rows.
    pub fn rows(self) -> u64 {
        self.rows
    }

    /// The positives among them.
    pub fn positives(self) -> u64 {
        self.positives
    }
}

/// The measures of one category, or their differences between two. Logarithms of 0 and divisions by 0 are undefined.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureBalance {
    /// P(positive | category).
    pub statistical_parity: Measured,
    /// Pointwise mutual information, without the part that categories share.
    pub pointwise_mutual_information: Measured,
    /// Half the Sørensen–Dice coefficient.
    pub sorensen_dice: Measured,
    /// The Jaccard index.
    pub jaccard: Measured,
    /// The toolbox' Kendall rank correlation.
    pub kendall: Measured,
    /// ln P(category | positive).
    pub log_likelihood_ratio: Measured,
    /// The toolbox' t statistic.
    pub t_test: Measured,
}

impl FeatureBalance {
    fn minus(&self, other: &Self) -> Self {
        let minus = |a: Measured, b: Measured| match (a, b) {
            (Measured::Value(a), Measured::Value(b)) => Measured::Value(a - b),
            (Measured::Value(_), undefined) | (undefined, _) => undefined,
        };
        Self {
            statistical_parity: minus(self.statistical_parity, other.statistical_parity),
            pointwise_mutual_information: minus(
                self.pointwise_mutual_information,
                other.pointwise_mutual_information,
            ),
            sorensen_dice: minus(self.sorensen_dice, other.sorensen_dice),
            jaccard: minus(self.jaccard, other.jaccard),
            kendall: minus(self.kendall, other.kendall),
            log_likelihood_ratio: minus(self.log_likelihood_ratio, other.log_likelihood_ratio),
            t_test: minus(self.t_test, other.t_test),
        }
    }
}

/// The gap between two categories.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BalanceGap {
    /// The first category's measures minus the second's.
    pub measures: FeatureBalance,
    /// P(T ≥ |t|) of the t-test's gap for K − 1 degrees of freedom, K being the categories that occur.
    pub t_test_p: Measured,
}

/// Rows and positives of every category of a feature: merges, serialises, and gives every measure of its balance.
///
/// ```
/// use mlops_eval::fairness::LabelBalance;
///
/// let mut balance = LabelBalance::of(&[0, 0, 1], 2, &[true, false, true])?;
/// balance.merge(&LabelBalance::of(&[1], 2, &[true])?)?;
/// assert_eq!(balance.category(0)?.statistical_parity.value(), Some(0.5));
/// assert_eq!(balance.gap(0, 1)?.measures.statistical_parity.value(), Some(-0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<CategoryCounts>", into = "Vec<CategoryCounts>")]
pub struct LabelBalance(Vec<CategoryCounts>);

impl LabelBalance {
    /// Counts the rows. O(n).
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::UnknownCode`] with the row,
    /// [`StatsError::Parameter`] for no categories or more than [`MAX_GROUPS`].
    pub fn of(codes: &[u32], categories: usize, y_true: &[bool]) -> Result<Self, StatsError> {
        paired(named("codes", codes), named("y_true", y_true))?;
        let mut balance = Self::try_from(vec![CategoryCounts::default(); check_categories(categories)?])?;
        for (index, (&code, &positive)) in codes.iter().zip(y_true).enumerate() {
            let known = categories as u64;
            let Some(counts) = balance.0.get_mut(code as usize) else {
                return Err(StatsError::UnknownCode {
                    argument: "codes",
                    index,
                    code: u64::from(code),
                    known,
                });
            };
            counts.rows += 1;
            counts.positives += u64::from(positive);
        }
        Ok(balance)
    }

    /// A balance of counts that exist already, by category.
    ///
    /// ```
    /// use mlops_eval::fairness::{CategoryCounts, LabelBalance};
    /// let balance = LabelBalance::from_counts(vec![CategoryCounts::new(2, 1)?])?;
    /// assert_eq!(balance.counts().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for no categories or more than [`MAX_GROUPS`], [`StatsError::Overflow`] for more rows than a
    /// u64 counts.
    pub fn from_counts(counts: Vec<CategoryCounts>) -> Result<Self, StatsError> {
        check_categories(counts.len())?;
        let total = counts.iter().try_fold(0_u64, |sum, counts| sum.checked_add(counts.rows));
        total.map(|_| Self(counts)).ok_or(StatsError::Overflow { what: "the number of rows" })
    }

    /// Adds the rows of another part of the data.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for another number of categories, [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.0.len() != other.0.len() {
            return Err(StatsError::Incompatible { what: "the number of categories" });
        }
        let add =
            |a: u64, b: u64| a.checked_add(b).ok_or(StatsError::Overflow { what: "the number of rows" });
        let merged = self.0.iter().zip(&other.0).map(|(a, b)| {
            Ok(CategoryCounts { rows: add(a.rows, b.rows)?, positives: add(a.positives, b.positives)? })
        });
        *self = Self::from_counts(merged.collect::<Result<_, StatsError>>()?)?;
        Ok(())
    }

    /// The counts, by category.
    pub fn counts(&self) -> &[CategoryCounts] {
        &self.0
    }

    /// The measures of one category.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a category there is none of.
    pub fn category(&self, category: usize) -> Result<FeatureBalance, StatsError> {
        let Some(&counts) = self.0.get(category) else {
            let reason = "is not a category";
            return Err(StatsError::Parameter { parameter: "category", value: category as f64, reason });
        };
        let n = self.0.iter().map(|counts| counts.rows).sum::<u64>() as f64;
        let positives = self.0.iter().map(|counts| counts.positives).sum::<u64>() as f64;
        Ok(measures(counts.rows as f64, counts.positives as f64, positives, n))
    }

    /// The measures of category `a` minus those of `b`.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a category there is none of.
    pub fn gap(&self, a: usize, b: usize) -> Result<BalanceGap, StatsError> {
        let measures = self.category(a)?.minus(&self.category(b)?);
        let occurring = self.0.iter().filter(|counts| counts.rows > 0).count();
        let t_test_p = match measures.t_test {
            Measured::Value(t) if occurring >= 2 => {
                Measured::Value(ln_student_t_sf(t.abs(), occurring as f64 - 1.0).exp())
            }
            Measured::Value(_) => Measured::none(UndefinedReason::TooFew, occurring, 2),
            undefined => undefined,
        };
        Ok(BalanceGap { measures, t_test_p })
    }
}

impl TryFrom<Vec<CategoryCounts>> for LabelBalance {
    type Error = StatsError;

    fn try_from(counts: Vec<CategoryCounts>) -> Result<Self, StatsError> {
        Self::from_counts(counts)
    }
}

impl From<LabelBalance> for Vec<CategoryCounts> {
    fn from(balance: LabelBalance) -> Self {
        balance.0
    }
}

fn check_categories(categories: usize) -> Result<usize, StatsError> {
    if (1..=MAX_GROUPS).contains(&categories) {
        return Ok(categories);
    }
    let (value, reason) = (categories as f64, "must lie in [1, 65536]");
    Err(StatsError::Parameter { parameter: "categories", value, reason })
}

/// The measures of a category with `in_category` rows, `both` of them positive, among `n` rows with `positives` positives.
fn measures(in_category: f64, both: f64, positives: f64, n: f64) -> FeatureBalance {
    let (f, p, pf) = (in_category / n, positives / n, both / n);
    let of_rows = |measured: Measured| {
        if n == 0.0 { Measured::none(UndefinedReason::TooFew, 0, 1) } else { measured }
    };
    let ln = |measured: Measured| match measured {
        Measured::Value(0.0) => {
            let reason = UndefinedReason::ZeroDenominator;
            Measured::Undefined(Undefined { reason, numerator: 0.0, denominator: 0.0 })
        }
        other => other.map(f64::ln),
    };
    let parity = of_rows(Measured::ratio(both, in_category));
    // Of counts where that is exact, so that what is equal stays equal.
    let kendall_top =
        (1.0 - 2.0 * f - 2.0 * p + 2.0 * pf + 2.0 * p * f) + (2.0 * f + 2.0 * p - 4.0 * pf - 1.0) / n;
    FeatureBalance {
        statistical_parity: parity,
        pointwise_mutual_information: ln(parity),
        sorensen_dice: of_rows(Measured::ratio(both, in_category + positives)),
        jaccard: of_rows(Measured::ratio(both, in_category + positives - both)),
        kendall: of_rows(Measured::ratio(kendall_top, ((f - f * f) * (p - p * p)).sqrt())),
        log_likelihood_ratio: ln(of_rows(Measured::ratio(both, positives))),
        t_test: of_rows(Measured::ratio(p - f * p, (f * p).sqrt())),
    }
}

/// How far the rows of categories are from a reference, by default the uniform distribution.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistributionBalance {
    /// Kullback–Leibler divergence from the reference, in nats.
    pub kl_divergence: Measured,
    /// The square root of the Jensen–Shannon divergence, in nats.
    pub js_distance: Measured,
    /// The toolbox' Wasserstein distance: that between the two lists of probabilities taken as samples of numbers, not between
    /// the distributions.
    pub wasserstein_distance: Measured,
    /// The largest difference between two probabilities of one category.
    pub infinity_norm: Measured,
    /// Half the sum of those differences.
    pub total_variation: Measured,
    /// −Σ reference · log₂ observed.
    pub cross_entropy: Measured,
    /// Pearson's χ² against the reference.
    pub chi_square: Measured,
    /// Its p-value for K − 1 degrees of freedom.
    pub chi_square_p: Measured,
}

/// The balance of `counts`, the rows of each category, against `reference` shares (uniform if `None`). As the toolbox does,
/// leave categories that do not occur out of a uniform reference; here one that is given with 0 rows has a share of it.
///
/// ```
/// use mlops_eval::fairness::distribution_balance;
///
/// let even = distribution_balance(&[10, 10], None)?;
/// assert_eq!((even.total_variation.value(), even.chi_square_p.value()), (Some(0.0), Some(1.0)));
/// let uneven = distribution_balance(&[30, 10], Some(&[0.5, 0.5]))?;
/// assert_eq!((uneven.total_variation.value(), uneven.chi_square.value()), (Some(0.25), Some(10.0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::LengthMismatch`], [`StatsError::ZeroTotal`] without rows, [`StatsError::OutOfRange`] for
/// a reference share outside (0, 1\], [`StatsError::Parameter`] for shares that do not add up to 1 within 1e-6,
/// [`StatsError::Overflow`].
pub fn distribution_balance(
    counts: &[u64],
    reference: Option<&[f64]>,
) -> Result<DistributionBalance, StatsError> {
    not_empty(named("counts", counts))?;
    let total = counts.iter().try_fold(0_u64, |sum, &count| sum.checked_add(count));
    let total = total.ok_or(StatsError::Overflow { what: "the number of rows" })? as f64;
    if total == 0.0 {
        return Err(StatsError::ZeroTotal { argument: "counts" });
    }
    let reference = match reference {
        None => vec![1.0 / counts.len() as f64; counts.len()],
        Some(shares) => checked_shares(counts, shares)?,
    };
    let observed: Vec<f64> = counts.iter().map(|&count| count as f64 / total).collect();
    let pairs = || observed.iter().copied().zip(reference.iter().copied());
    let kl = pairs().map(|(o, r)| relative(o, r)).collect::<Sum>().value();
    let js = pairs().map(|(o, r)| (relative(o, (o + r) / 2.0) + relative(r, (o + r) / 2.0)) / 2.0);
    let chi_square = counts.iter().zip(&reference).map(|(&count, &share)| {
        let expected = share * total;
        (count as f64 - expected).powi(2) / expected
    });
    let chi_square = chi_square.collect::<Sum>().value();
    let chi_square_p = match counts.len() {
        1 => Measured::none(UndefinedReason::TooFew, 1, 2),
        k => Measured::Value(ln_chi2_sf(chi_square, (k - 1) as f64).exp()),
    };
    let cross_entropy = if counts.contains(&0) {
        Measured::ratio(1.0, 0.0)
    } else {
        Measured::Value(-pairs().map(|(o, r)| r * o.log2()).collect::<Sum>().value())
    };
    Ok(DistributionBalance {
        kl_divergence: Measured::Value(kl.max(0.0)),
        js_distance: Measured::Value(js.collect::<Sum>().value().max(0.0).sqrt()),
        wasserstein_distance: Measured::Value(sorted_distance(&observed, &reference)),
        infinity_norm: Measured::Value(pairs().map(|(o, r)| (o - r).abs()).fold(0.0, f64::max)),
        total_variation: Measured::Value(pairs().map(|(o, r)| (o - r).abs()).collect::<Sum>().value() / 2.0),
        cross_entropy,
        chi_square: Measured::Value(chi_square),
        chi_square_p,
    })
}

fn checked_shares(counts: &[u64], shares: &[f64]) -> Result<Vec<f64>, StatsError> {
    paired(named("counts", counts), named("reference", shares))?;
    if let Some(index) = shares.iter().position(|share| !(*share > 0.0 && *share <= 1.0)) {
        let (value, low, high) = (shares[index], f64::MIN_POSITIVE, 1.0);
        return Err(StatsError::OutOfRange { argument: "reference", index, value, low, high });
    }
    let sum = shares.iter().copied().collect::<Sum>().value();
    if (sum - 1.0).abs() > 1e-6 {
        let reason = "must be 1 within 1e-6";
        return Err(StatsError::Parameter { parameter: "the sum of `reference`", value: sum, reason });
    }
    Ok(shares.iter().map(|share| share / sum).collect())
}

/// a ln(a/b), with 0 ln 0 = 0; b is positive wherever a is.
fn relative(a: f64, b: f64) -> f64 {
    if a == 0.0 { 0.0 } else { a * (a / b).ln() }
}

/// The Wasserstein-1 distance between two samples of one size: the mean difference of their order statistics.
fn sorted_distance(a: &[f64], b: &[f64]) -> f64 {
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values
    };
    let (a, b) = (sorted(a), sorted(b));
    a.iter().zip(&b).map(|(a, b)| (a - b).abs()).collect::<Sum>().value() / a.len() as f64
}

/// How unequally rows are spread over the combinations of several features.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AggregateBalance {
    /// Atkinson's index with ε = 1.
    pub atkinson: Measured,
    /// Theil's L index.
    pub theil_l: Measured,
    /// Theil's T index.
    pub theil_t: Measured,
}

/// The balance of `counts`, the rows of each combination of categories. As the toolbox does, leave out combinations that do not
/// occur: a count of 0 leaves Theil's L undefined and makes Atkinson's index 1.
///
/// ```
/// use mlops_eval::fairness::aggregate_balance;
/// let balance = aggregate_balance(&[5, 5, 5])?;
/// assert_eq!((balance.theil_l.value(), balance.theil_t.value()), (Some(0.0), Some(0.0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`]. No rows at all leave everything undefined.
pub fn aggregate_balance(counts: &[u64]) -> Result<AggregateBalance, StatsError> {
    not_empty(named("counts", counts))?;
    let benefits: Vec<f64> = counts.iter().map(|&count| count as f64).collect();
    Ok(AggregateBalance {
        atkinson: atkinson_index(&benefits, 1.0)?,
        theil_l: generalized_entropy(&benefits, 0.0)?,
        theil_t: generalized_entropy(&benefits, 1.0)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_value_is_undefined() {
        let balance = LabelBalance::of(&[0, 0, 1, 1], 3, &[false, false, true, true]).unwrap();
        let refused = balance.category(0).unwrap();
        assert_eq!(refused.statistical_parity.value(), Some(0.0));
        assert_eq!(refused.pointwise_mutual_information.value(), None);
        assert_eq!(balance.category(2).unwrap().statistical_parity.value(), None);
        assert_eq!(balance.gap(0, 2).unwrap().measures.statistical_parity.value(), None);
        let empty = LabelBalance::from_counts(vec![CategoryCounts::default()]).unwrap();
        let measures = empty.category(0).unwrap();
        for value in [measures.kendall, measures.t_test, measures.jaccard, measures.sorensen_dice] {
            assert_eq!(value.value(), None);
        }
    }

    #[test]
    fn bad_arguments_are_named() {
        assert!(matches!(LabelBalance::of(&[2], 2, &[true]), Err(StatsError::UnknownCode { index: 0, .. })));
        assert!(LabelBalance::of(&[0], 0, &[true]).is_err());
        assert!(LabelBalance::of(&[0], usize::MAX, &[true]).is_err());
        let huge = CategoryCounts::new(u64::MAX, 0).unwrap();
        assert!(LabelBalance::from_counts(vec![huge, huge]).is_err());
        let mut one = LabelBalance::from_counts(vec![huge]).unwrap();
        assert!(one.merge(&one.clone()).is_err());
        assert!(
            one.merge(&LabelBalance::from_counts(vec![huge, CategoryCounts::default()]).unwrap()).is_err()
        );
        assert!(one.category(1).is_err());
        assert!(serde_json::from_str::<LabelBalance>("[]").is_err());
        assert!(serde_json::from_str::<LabelBalance>(r#"[{"rows":1,"positives":2}]"#).is_err());
        assert!(distribution_balance(&[0, 0], None).is_err());
        assert!(distribution_balance(&[1, 1], Some(&[0.5, 0.4])).is_err());
        assert!(distribution_balance(&[1, 1], Some(&[1.0, 0.0])).is_err());
        assert!(distribution_balance(&[u64::MAX, 1], None).is_err());
    }
}
