//! Losses as the model sees them.

/// Losses with mean 0 and variance 1. Those worse than the median are drawn in, by a logarithm that goes on from it with the same
/// slope: how bad the bad ones are says little of where the best is, and would hide the differences among the good ones. What is
/// infinite is as bad, or as good, as the worst and the best of the others.
pub(super) fn standardised(losses: &[f64]) -> Vec<f64> {
    let finite = |pick: fn(f64, f64) -> f64, from: f64| {
        losses.iter().copied().filter(|l| l.is_finite()).fold(from, pick)
    };
    let (low, high) = (finite(f64::min, f64::INFINITY), finite(f64::max, f64::NEG_INFINITY));
    if !(low.is_finite() && high > low) {
        return vec![0.0; losses.len()];
    }
    // Halves, so that their difference is finite.
    let shares: Vec<f64> =
        losses.iter().map(|l| (l.clamp(low, high) / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0)).collect();
    let mut sorted = shares.clone();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0.5).max(1e-9);
    let drawn_in = |share: &f64| {
        if *share <= middle { *share } else { middle + middle * ((share - middle) / middle).ln_1p() }
    };
    scaled(&shares.iter().map(drawn_in).collect::<Vec<_>>())
}

fn scaled(values: &[f64]) -> Vec<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
    let deviation = variance.sqrt().max(1e-12);
    values.iter().map(|v| (v - mean) / deviation).collect()
}
