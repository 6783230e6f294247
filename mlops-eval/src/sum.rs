//! Summation that does not lose small terms beside large ones.

use serde::{Deserialize, Serialize};

/// A running sum with Neumaier's compensation (1974): the error does not grow with the number of terms, as long as the terms do
/// not cancel to nothing. Terms that overflow leave a total that is not finite; callers turn that into a typed error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    pub(crate) fn add(&mut self, term: f64) {
        let next = self.sum + term;
        // Fast2Sum needs the larger operand first; the difference is exactly what the addition rounded away.
        self.lost +=
            if self.sum.abs() >= term.abs() { (self.sum - next) + term } else { (term - next) + self.sum };
        self.sum = next;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.add(other.sum);
        self.add(other.lost);
    }

    /// `x` minus the sum, with the digits the sum had set aside.
    pub(crate) fn distance_to(self, x: f64) -> f64 {
        (x - self.sum) - self.lost
    }

    /// `other` minus `self`.
    pub(crate) fn distance_to_sum(self, other: Self) -> f64 {
        (other.sum - self.sum) + (other.lost - self.lost)
    }

    pub(crate) fn total(self) -> f64 {
        self.sum + self.lost
    }
}

impl FromIterator<f64> for Sum {
    fn from_iter<I: IntoIterator<Item = f64>>(terms: I) -> Self {
        let mut sum = Self::default();
        terms.into_iter().for_each(|term| sum.add(term));
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_terms_survive_large_ones() {
        let sum: Sum = [1.0, 1e100, 1.0, -1e100].into_iter().collect();
        assert_eq!(sum.total(), 2.0);
    }

    #[test]
    fn merging_keeps_what_each_part_had_set_aside() {
        let mut left: Sum = [1e16, 1.0].into_iter().collect();
        let right: Sum = [1.0, -1e16].into_iter().collect();
        left.merge(right);
        assert_eq!(left.total(), 2.0);
    }
}
