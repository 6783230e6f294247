//! What the benches share: sample data, the same in Rust and in the Python scripts beside them.
//!
//! ```sh
//! cargo bench -p mlops-benches                 # ours, as time per call and elements per second
//! python3 -m venv peers && peers/bin/pip install numpy scipy scikit-learn
//! peers/bin/python benches/peers/measure.py    # theirs, on samples of the same size and kind
//! ```
//!
//! Compare figures of one machine in one hour only.

use mlops_core::num::Random;

/// `n` values, normal but for the tails: sums of twelve uniforms, shifted.
pub fn normal(n: usize, seed: u64, shift: f64) -> Vec<f64> {
    let mut random = Random::new(seed);
    (0..n).map(|_| (0..12).map(|_| random.next_f64()).sum::<f64>() - 6.0 + shift).collect()
}

/// `n` labels and scores that go with them: positives score higher on average.
pub fn scored(n: usize, seed: u64) -> (Vec<bool>, Vec<f64>) {
    let mut random = Random::new(seed);
    let labels: Vec<bool> = (0..n).map(|_| random.next_f64() < 0.3).collect();
    let score = |label: &bool, noise: f64| 0.7 * noise + if *label { 0.3 } else { 0.0 };
    let scores = labels.iter().map(|label| score(label, random.next_f64())).collect();
    (labels, scores)
}
