//! NumPy's histograms, rounding included.

use mlops_core::num::StatsError;

use super::total;

/// The most cells of one histogram.
const MOST: f64 = 1_000_000.0;

/// `numpy.histogram_bin_edges(values, bins=cells)`: a range of nothing is widened by a half on each side.
pub(super) fn edges((low, high): (f64, f64), cells: usize) -> Vec<f64> {
    let (low, high) = if low == high { (low - 0.5, high + 0.5) } else { (low, high) };
    let step = (high - low) / cells as f64;
    (0..cells).map(|i| i as f64 * step + low).chain([high]).collect()
}

/// `bins="sturges"` for n values.
pub(super) fn sturges((low, high): (f64, f64), n: usize) -> Result<Vec<f64>, StatsError> {
    of_width((low, high), (high - low) / ((n as f64).log2() + 1.0))
}

/// `bins="doane"`.
pub(super) fn doane(values: &[f64]) -> Result<Vec<f64>, StatsError> {
    let (low, high) = range(values);
    let n = values.len() as f64;
    let mean = total(values.iter().copied()) / n;
    let deviation = (total(values.iter().map(|v| (v - mean).powi(2))) / n).sqrt();
    let width = if n > 2.0 && deviation > 0.0 {
        let skewness = total(values.iter().map(|v| ((v - mean) / deviation).powi(3))) / n;
        let error = (6.0 * (n - 2.0) / ((n + 1.0) * (n + 3.0))).sqrt();
        (high - low) / (1.0 + n.log2() + (1.0 + skewness.abs() / error).log2())
    } else {
        0.0
    };
    of_width((low, high), width)
}

#[expect(clippy::cast_sign_loss, reason = "checked to lie between 1 and a million")]
fn of_width((low, high): (f64, f64), width: f64) -> Result<Vec<f64>, StatsError> {
    let cells = if width > 0.0 { ((high - low) / width).ceil() } else { 1.0 };
    if !(1.0..=MOST).contains(&cells) || !(high - low).is_finite() {
        return Err(StatsError::Parameter {
            parameter: "bins",
            value: cells,
            reason: "must lie between 1 and 1000000",
        });
    }
    Ok(edges((low, high), cells as usize))
}

/// The smallest and the largest value.
pub(super) fn range(values: &[f64]) -> (f64, f64) {
    let fold = |start, f: fn(f64, f64) -> f64| values.iter().copied().fold(start, f);
    (fold(f64::INFINITY, f64::min), fold(f64::NEG_INFINITY, f64::max))
}

/// `numpy.histogram(values, edges)`: cells [low, high), the last one [low, high]; what lies outside is not counted.
pub(super) fn count(values: &[f64], edges: &[f64]) -> Vec<u64> {
    let cells = edges.len().saturating_sub(1);
    let mut counts = vec![0; cells];
    for &value in values {
        let after = edges.partition_point(|&edge| edge <= value);
        let cell = if Some(&value) == edges.last() { cells } else { after };
        if let Some(count) = cell.checked_sub(1).and_then(|cell| counts.get_mut(cell)) {
            *count += 1;
        }
    }
    counts
}
