//! A number that a whole column has.

use std::fmt;

/// A number that a whole column has.
///
/// Missing values are left out. A NaN is a value of which no statistic is known: a column with one breaks the rule, whatever the range.
/// Infinities count as in IEEE arithmetic.
///
/// | statistic | of | how |
/// |---|---|---|
/// | mean, sum | numbers, truth values (true is 1) | integers exactly; floats with [compensation](crate::num::sum) |
/// | min, max | numbers, times (microseconds since 1970) | exactly |
/// | standard deviation | numbers | √(Σ(x−m)²/(n−1)), as pandas; integers beyond 2⁵³ are rounded |
/// | quantile | numbers, times | linear between order statistics, as NumPy; exactly below 524 288 values, else of a sample of 262 144 of them whose shares are off by at most 0.0032 with a probability of 99 % |
/// | distinct | everything | exactly; −0.0 is 0.0, every NaN is one value |
///
/// Batches of any size give the same digits. Merged parts give the same counts, integers, ends and values; sums of floats and
/// standard deviations may differ in the last digits.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    /// The arithmetic mean.
    Mean,
    /// The sum.
    Sum,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// The standard deviation, with n − 1.
    StandardDeviation,
    /// The value below which this share of the values lies, in \[0, 1\]: 0.5 is the median.
    Quantile(f64),
    /// How many different values there are.
    Distinct,
}

impl Statistic {
    /// The name of its rule, as it is serialised.
    ///
    /// ```
    /// use mlops_core::data::Statistic;
    /// assert_eq!(Statistic::StandardDeviation.name(), "standard_deviation");
    /// assert_eq!(Statistic::Quantile(0.5).name(), "quantile");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::StandardDeviation => "standard_deviation",
            Self::Quantile(_) => "quantile",
            Self::Distinct => "distinct",
        }
    }

    /// Whether it is the value of a row.
    pub(super) const fn is_value(self) -> bool {
        matches!(self, Self::Min | Self::Max | Self::Quantile(_))
    }

    /// What is wrong with it.
    pub(super) fn fault(self) -> Option<(&'static str, String)> {
        match self {
            Self::Quantile(share) if !(0.0..=1.0).contains(&share) => {
                Some(("share", format!("must lie in [0, 1], got {share}")))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean => f.write_str("mean"),
            Self::Sum => f.write_str("sum"),
            Self::Min => f.write_str("minimum"),
            Self::Max => f.write_str("maximum"),
            Self::StandardDeviation => f.write_str("standard deviation"),
            Self::Quantile(share) => write!(f, "quantile at {share}"),
            Self::Distinct => f.write_str("number of different values"),
        }
    }
}
