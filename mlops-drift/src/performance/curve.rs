//! Areas under curves from scores and (soft) labels, ties as one step.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, UndefinedReason, ranks};

/// The rows of one distinct score: how many are positive and negative, in whole rows or in expectation.
#[derive(Clone, Copy, Debug)]
struct Step {
    positive: f64,
    negative: f64,
}

/// Steps from the lowest score to the highest.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    steps: Vec<Step>,
    positive: f64,
    negative: f64,
}

impl Curve {
    /// From the scores and the probabilities that the rows are positive; both are numbers. O(n log n).
    pub(super) fn new(scores: &[f64], positive: impl Iterator<Item = f64>) -> Self {
        let mut pairs: Vec<(f64, f64)> = scores.iter().copied().zip(positive).collect();
        ranks::sort_pairs(&mut pairs);
        let mut steps: Vec<Step> = Vec::new();
        let (mut total, mut rest) = (Sum::new(), Sum::new());
        let mut at = f64::NAN;
        for (score, p) in pairs {
            total.push(p);
            rest.push(1.0 - p);
            match steps.last_mut() {
                Some(step) if score == at => {
                    step.positive += p;
                    step.negative += 1.0 - p;
                }
                _ => steps.push(Step { positive: p, negative: 1.0 - p }),
            }
            at = score;
        }
        Self { steps, positive: total.value(), negative: rest.value() }
    }

    fn single_class(&self) -> Option<Measured> {
        let classes = usize::from(self.positive > 0.0) + usize::from(self.negative > 0.0);
        (classes < 2).then(|| Measured::none(UndefinedReason::SingleClass, classes, 2))
    }

    /// Σ positive · (negative below + half of those at the same score) / (positives · negatives).
    pub(super) fn auroc(&self) -> Measured {
        if let Some(none) = self.single_class() {
            return none;
        }
        let mut pairs = Sum::new();
        let mut below = Sum::new();
        for step in &self.steps {
            pairs.push(step.positive * (below.value() + 0.5 * step.negative));
            below.push(step.negative);
        }
        Measured::Value((pairs.value() / self.positive / self.negative).clamp(0.0, 1.0))
    }

    /// The variances of DeLong's placements among positives and among negatives, as the variance that one row brings:
    /// N (S₁₀/m + S₀₁/n). Only for whole rows. Source: DeLong, DeLong, Clarke-Pearson (Biometrics 44, 1988).
    pub(super) fn auroc_unit_variance(&self) -> Measured {
        let Some(auroc) = self.auroc().value() else { return self.auroc() };
        let (m, n) = (self.positive, self.negative);
        if m < 2.0 || n < 2.0 {
            return Measured::Undefined(mlops_core::num::Undefined {
                reason: UndefinedReason::TooFew,
                numerator: m.min(n),
                denominator: 2.0,
            });
        }
        let (mut negatives, mut positives) = (0.0, 0.0);
        let (mut among_positives, mut among_negatives) = (Sum::new(), Sum::new());
        for step in &self.steps {
            let above = m - positives - step.positive;
            let of_positive = (negatives + 0.5 * step.negative) / n - auroc;
            let of_negative = (above + 0.5 * step.positive) / m - auroc;
            among_positives.push(step.positive * of_positive * of_positive);
            among_negatives.push(step.negative * of_negative * of_negative);
            negatives += step.negative;
            positives += step.positive;
        }
        let variance = among_positives.value() / (m - 1.0) / m + among_negatives.value() / (n - 1.0) / n;
        Measured::Value((m + n) * variance)
    }

    /// How one row of each kind, at the score of each step, moves the area: the influence function, for rows in ascending
    /// order of their distinct scores as (of a positive, of a negative).
    pub(super) fn auroc_influence(&self) -> Option<Vec<(f64, f64)>> {
        let auroc = self.auroc().value()?;
        let (m, n) = (self.positive, self.negative);
        let (mut negatives, mut positives) = (0.0, 0.0);
        let mut influence = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let above = m - positives - step.positive;
            let of_positive = (negatives + 0.5 * step.negative) / n - auroc;
            let of_negative = (above + 0.5 * step.positive) / m - auroc;
            influence.push((of_positive * (m + n) / m, of_negative * (m + n) / n));
            negatives += step.negative;
            positives += step.positive;
        }
        Some(influence)
    }

    /// Average precision; without positives there is none.
    pub(super) fn average_precision(&self) -> Measured {
        if self.positive <= 0.0 {
            return Measured::none(UndefinedReason::SingleClass, 1, 2);
        }
        let (mut found, mut looked_at, mut area) = (Sum::new(), Sum::new(), Sum::new());
        for step in self.steps.iter().rev() {
            found.push(step.positive);
            looked_at.push(step.positive + step.negative);
            area.push(step.positive * (found.value() / looked_at.value()));
        }
        Measured::Value((area.value() / self.positive).clamp(0.0, 1.0))
    }

    /// The variance that one row brings to average precision, by its influence function. With F the share of rows at or above
    /// a score, T that of positives, π that of positives overall: a row (y, s) moves it by
    /// (y·T(s)/F(s) + y·G(s) − H(s))/π − AP·y/π, where G and H sum 1/F and T/F² over the positives at or below s.
    pub(super) fn average_precision_unit_variance(&self) -> Measured {
        let Some(area) = self.average_precision().value() else { return self.average_precision() };
        let rows = self.positive + self.negative;
        let share = self.positive / rows;
        let (mut above, mut found) = (rows, self.positive);
        let (mut g, mut h) = (0.0, 0.0);
        let mut total = Sum::new();
        for step in &self.steps {
            let (f, t) = (above / rows, found / rows);
            g += step.positive / rows / f;
            h += step.positive / rows * t / (f * f);
            let of_negative = -h / share;
            let of_positive = (t / f + g - h - area) / share;
            total.push(step.positive * of_positive * of_positive + step.negative * of_negative * of_negative);
            above -= step.positive + step.negative;
            found -= step.positive;
        }
        Measured::Value(total.value() / rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_count_half_whatever_their_order() {
        for labels in [[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0]] {
            let curve = Curve::new(&[0.5, 0.5, 0.1, 0.9], labels.into_iter());
            assert_eq!(curve.auroc(), Measured::Value(0.875));
        }
    }

    #[test]
    fn one_class_has_no_area() {
        let curve = Curve::new(&[0.5, 0.1], [0.0, 0.0].into_iter());
        assert_eq!(curve.auroc(), Measured::none(UndefinedReason::SingleClass, 1, 2));
        assert!(curve.average_precision().undefined().is_some());
        assert!(curve.auroc_unit_variance().undefined().is_some());
    }

    #[test]
    fn the_influence_has_mean_zero_and_delong_s_variance() {
        let scores: Vec<f64> = (0..200).map(|i| f64::from((i * 37) % 50)).collect();
        let labels: Vec<f64> =
            (0..200).map(|i| f64::from(u8::from((i * 37) % 50 + (i * 13) % 40 > 45))).collect();
        let curve = Curve::new(&scores, labels.iter().copied());
        let influence = curve.auroc_influence().unwrap();
        let (mut mean, mut square) = (0.0, 0.0);
        for (step, (p, n)) in curve.steps.iter().zip(influence) {
            mean += step.positive * p + step.negative * n;
            square += step.positive * p * p + step.negative * n * n;
        }
        assert!(mean.abs() < 1e-9, "{mean}");
        // DeLong divides by one less than the number of rows of each class.
        let delong = curve.auroc_unit_variance().value().unwrap();
        assert!((square / 200.0 / delong - 1.0).abs() < 0.03, "{} {delong}", square / 200.0);
    }
}
