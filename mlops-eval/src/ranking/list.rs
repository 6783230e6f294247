//! One ranked list, and its metrics: expected values over the orders of documents of equal score.

use mlops_core::num::ranks::sort_pairs;
use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError};

use super::metrics::RankingMetric;
use super::options::{RankTies, RankingOptions};

/// The grades of a query's documents from the top, in groups of equal score.
pub(super) struct RankedList<'a> {
    grades: Vec<f64>,
    /// Where each group ends.
    ends: Vec<usize>,
    options: &'a RankingOptions,
}

/// Documents of equal score.
struct Group<'a> {
    /// How many documents rank above.
    start: usize,
    grades: &'a [f64],
}

impl Group<'_> {
    fn len(&self) -> usize {
        self.grades.len()
    }

    /// How many of its positions are above the cutoff.
    fn seen(&self, cutoff: usize) -> usize {
        cutoff.saturating_sub(self.start).min(self.len())
    }

    fn relevant(&self, above: f64) -> usize {
        self.grades.iter().filter(|grade| **grade > above).count()
    }
}

impl<'a> RankedList<'a> {
    /// Relevance and scores that have been checked. O(n log n).
    pub(super) fn of(relevance: &[f64], scores: &[f64], options: &'a RankingOptions) -> Self {
        let mut pairs: Vec<(f64, f64)> =
            scores.iter().map(|score| -score).zip(relevance.iter().copied()).collect();
        if options.ties == RankTies::ReverseRowOrder {
            pairs.reverse();
        }
        sort_pairs(&mut pairs);
        let mut ends = Vec::new();
        for tied in pairs.chunk_by(|a, b| options.ties == RankTies::Averaged && a.0 == b.0) {
            ends.push(ends.last().copied().unwrap_or(0) + tied.len());
        }
        Self { grades: pairs.into_iter().map(|(_, grade)| grade).collect(), ends, options }
    }

    /// The metric of this list.
    pub(super) fn measure(&self, metric: RankingMetric) -> Result<Measured, StatsError> {
        Ok(match metric {
            RankingMetric::Dcg => Measured::Value(self.dcg()?),
            RankingMetric::Ndcg => self.ndcg()?,
            RankingMetric::AveragePrecision => self.average_precision(),
            RankingMetric::ReciprocalRank => self.reciprocal_rank(),
            RankingMetric::ExpectedReciprocalRank => Measured::Value(self.expected_reciprocal_rank()?),
            RankingMetric::Precision => Measured::ratio(self.hits(), self.positions() as f64),
            RankingMetric::Recall => Measured::ratio(self.hits(), self.relevant() as f64),
            RankingMetric::HitRate => self.hit_rate(),
            RankingMetric::F1 => self.f1(),
        })
    }

    /// How many positions count: k, or all documents.
    fn positions(&self) -> usize {
        self.options.cutoff.unwrap_or(self.grades.len())
    }

    fn relevant(&self) -> usize {
        self.grades.iter().filter(|grade| **grade > self.options.relevant_above).count()
    }

    /// The groups that reach above the cutoff.
    fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let groups =
            starts.zip(&self.ends).map(|(start, &end)| Group { start, grades: &self.grades[start..end] });
        groups.take_while(|group| group.start < self.positions())
    }

    /// Of position `index` from 0.
    fn discount(&self, index: usize) -> f64 {
        self.options.log_base.ln() / ((index + 2) as f64).ln()
    }

    fn dcg(&self) -> Result<f64, StatsError> {
        let mut total = Sum::new();
        for group in self.groups() {
            let gains: Sum = group.grades.iter().map(|grade| self.options.gain.of(*grade)).collect();
            let gain = gains.value() / group.len() as f64;
            if gain == 0.0 {
                continue;
            }
            let seen = group.start..group.start + group.seen(self.positions());
            total.push(gain * seen.map(|index| self.discount(index)).collect::<Sum>().value());
        }
        crate::input::in_range("a discounted gain", total.value())
    }

    fn ndcg(&self) -> Result<Measured, StatsError> {
        let mut best = self.grades.clone();
        best.sort_unstable_by(|a, b| b.total_cmp(a));
        let gains = best.iter().take(self.positions()).enumerate();
        let ideal: Sum =
            gains.map(|(index, grade)| self.options.gain.of(*grade) * self.discount(index)).collect();
        let ideal = crate::input::in_range("a discounted gain", ideal.value())?;
        Ok(Measured::ratio(self.dcg()?, ideal).map(|ndcg| ndcg.min(1.0)))
    }

    /// The expected number of relevant documents above the cutoff.
    fn hits(&self) -> f64 {
        let expected = |group: Group<'_>| {
            let (relevant, seen) =
                (group.relevant(self.options.relevant_above), group.seen(self.positions()));
            relevant as f64 * (seen as f64 / group.len() as f64)
        };
        self.groups().map(expected).collect::<Sum>().value()
    }

    fn f1(&self) -> Measured {
        let relevant = self.relevant();
        if relevant == 0 {
            return Measured::ratio(0.0, 0.0);
        }
        Measured::ratio(2.0 * self.hits(), self.positions() as f64 + relevant as f64)
    }

    /// The probability that a relevant document is above the cutoff.
    fn hit_rate(&self) -> Measured {
        if self.relevant() == 0 {
            return Measured::ratio(0.0, 0.0);
        }
        let mut missed = 1.0;
        for group in self.groups() {
            let irrelevant = group.len() - group.relevant(self.options.relevant_above);
            let seen = group.seen(self.positions());
            if seen > irrelevant {
                return Measured::Value(1.0);
            }
            // All that are seen are irrelevant: drawn one after the other.
            missed *= (0..seen).map(|i| (irrelevant - i) as f64 / (group.len() - i) as f64).product::<f64>();
        }
        Measured::Value(1.0 - missed)
    }

    /// The expected inverse of the position of the first relevant document; 0 below the cutoff.
    fn reciprocal_rank(&self) -> Measured {
        if self.relevant() == 0 {
            return Measured::ratio(0.0, 0.0);
        }
        for group in self.groups() {
            let (size, relevant) = (group.len(), group.relevant(self.options.relevant_above));
            if relevant == 0 {
                continue;
            }
            // The probability that the first relevant one of the group is its j-th, for j = 1, 2, …
            let mut first = relevant as f64 / size as f64;
            let mut expected = Sum::new();
            for j in 1..=group.seen(self.positions()).min(size - relevant + 1) {
                expected.push(first / (group.start + j) as f64);
                if j < size {
                    first *= (size - relevant + 1 - j) as f64 / (size - j) as f64;
                }
            }
            return Measured::Value(expected.value());
        }
        Measured::Value(0.0)
    }

    fn average_precision(&self) -> Measured {
        let all = self.relevant();
        let mut total = Sum::new();
        let mut above = 0;
        for group in self.groups() {
            let (size, relevant) = (group.len() as f64, group.relevant(self.options.relevant_above));
            if relevant > 0 {
                let share = relevant as f64 / size;
                // Given that the j-th is relevant, the others before it are as likely relevant as any other.
                let others = if relevant > 1 { (relevant - 1) as f64 / (size - 1.0) } else { 0.0 };
                for j in 1..=group.seen(self.positions()) {
                    let found = above as f64 + 1.0 + (j - 1) as f64 * others;
                    total.push(share * (found / (group.start + j) as f64));
                }
            }
            above += relevant;
        }
        Measured::ratio(total.value(), all as f64).map(|precision| precision.min(1.0))
    }

    /// Expected reciprocal rank of a reader who stops at a document with a probability that grows with its grade.
    fn expected_reciprocal_rank(&self) -> Result<f64, StatsError> {
        let Some(highest) = self.options.max_grade else {
            let reason = "the highest grade, `max_grade`, is not given";
            return Err(StatsError::Unsupported { what: "expected_reciprocal_rank", reason });
        };
        if let Some(index) = self.grades.iter().position(|grade| *grade > highest) {
            let (argument, value) = ("relevance", self.grades[index]);
            return Err(StatsError::OutOfRange { argument, index, value, low: 0.0, high: highest });
        }
        let passed_by = |grade: &f64| 1.0 - (grade.exp2() - 1.0) / highest.exp2();
        let mut total = Sum::new();
        let mut reads_on = 1.0;
        for group in self.groups() {
            if group.relevant(0.0) == 0 {
                continue;
            }
            let seen = group.seen(self.positions());
            let passed: Vec<f64> = group.grades.iter().map(passed_by).collect();
            let means = means_of_products(&passed, seen);
            for (j, pair) in (1..).zip(means.windows(2)) {
                total.push(reads_on * (pair[0] - pair[1]) / (group.start + j) as f64);
            }
            reads_on *= passed.iter().product::<f64>();
        }
        Ok(total.value().clamp(0.0, 1.0))
    }
}

/// The mean, over all ways to draw j of the values, of the product of those drawn; for j = 0 to `most`. Each value added to
/// those before it makes a weighted mean of two means, so no digits are lost. O(values · most).
fn means_of_products(values: &[f64], most: usize) -> Vec<f64> {
    let mut means = vec![0.0; most + 1];
    means[0] = 1.0;
    for (before, value) in values.iter().enumerate() {
        let count = before + 1;
        for j in (1..=count.min(most)).rev() {
            let share = j as f64 / count as f64;
            means[j] = means[j] * (1.0 - share) + value * means[j - 1] * share;
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_of_products_are_those_of_all_subsets() {
        let values = [0.5, 0.25, 1.0];
        let means = means_of_products(&values, 3);
        let expected = [1.0, 1.75 / 3.0, (0.125 + 0.5 + 0.25) / 3.0, 0.125];
        for (got, expected) in means.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-15, "{got} {expected}");
        }
    }
}
