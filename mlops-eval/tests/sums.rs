//! Ten million rows lose no digits: every sum stays within 1e-14 of one carried out in twice the precision.

use mlops_core::num::Random;
use mlops_eval::calibration::CalibrationBins;
use mlops_eval::classification::{WeightedConfusion, brier, log_loss};
use mlops_eval::regression::RegressionState;

const ROWS: usize = 10_000_000;

/// A sum in twice the precision: what an addition rounds off is added up beside it.
#[derive(Default)]
struct Double {
    high: f64,
    low: f64,
}

impl Double {
    fn add(&mut self, value: f64) {
        let sum = self.high + value;
        let moved = sum - self.high;
        self.low += (self.high - (sum - moved)) + (value - moved);
        self.high = sum;
    }

    /// a·b, and what its rounding leaves.
    fn add_product(&mut self, a: f64, b: f64) {
        let product = a * b;
        self.add(product);
        self.low += a.mul_add(b, -product);
    }

    fn mean(&self) -> f64 {
        (self.high + self.low) / ROWS as f64
    }
}

#[track_caller]
fn close(got: f64, expected: f64) {
    let error = (got / expected - 1.0).abs();
    assert!(error < 1e-14, "{got} instead of {expected}: {error:e}");
}

fn uniform(seed: u64) -> Vec<f64> {
    let mut values = vec![0_u64; ROWS];
    Random::new(seed).fill(&mut values);
    values.into_iter().map(|bits| (bits >> 11) as f64 / (1_u64 << 53) as f64).collect()
}

#[test]
fn ten_million_rows_lose_no_digits() {
    let (values, others) = (uniform(1), uniform(2));
    let labels: Vec<bool> = others.iter().map(|value| *value < 0.3).collect();
    let mut sums: [Double; 5] = Default::default();
    let [absolute, squared, loss, brier_sum, weight] = &mut sums;
    for ((&p, &y), &label) in values.iter().zip(&others).zip(&labels) {
        absolute.add((p - y).abs());
        squared.add_product(p - y, p - y);
        let of_truth = if label { p } else { 1.0 - p };
        loss.add(-of_truth.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln());
        let miss = if label { 1.0 - p } else { p };
        brier_sum.add_product(miss, miss);
        if label {
            weight.add(p);
        }
    }
    let state = RegressionState::of(&others, &values, None).unwrap().finish().unwrap();
    close(state.mae.value().unwrap(), absolute.mean());
    close(state.mse.value().unwrap(), squared.mean());
    close(log_loss(&labels, &values).unwrap().value().unwrap(), loss.mean());
    close(brier(&labels, &values).unwrap().value().unwrap(), brier_sum.mean());
    let cells = WeightedConfusion::of(&labels, &labels, &values).unwrap();
    close(cells.true_positives() / ROWS as f64, weight.mean());

    let mut bins = CalibrationBins::uniform(10).unwrap();
    bins.extend(&labels, &values).unwrap();
    let curve = bins.curve(0.95).unwrap();
    let mut means: Vec<Double> = (0..10).map(|_| Double::default()).collect();
    let mut counts = [0_u64; 10];
    for &p in &values {
        // An edge belongs to the bin below; none of these values is one.
        let bin = (0..9).filter(|edge| p > f64::from(edge + 1) / 10.0).count();
        means[bin].add(p);
        counts[bin] += 1;
    }
    for ((bin, sum), count) in curve.bins.iter().zip(&means).zip(counts) {
        assert_eq!(bin.rows, Some(count));
        close(bin.predicted.value().unwrap(), (sum.high + sum.low) / count as f64);
    }
}
