//! Expected improvement, and the search for where it is greatest.

use super::Cube;
use super::regression::Regression;
use crate::experiment::space::normal::{cdf, ln_density};
use crate::num::Random;

/// How many points of the whole cube are looked at.
const POINTS: usize = 1_000;
/// From how many of the best of them the search goes on.
const STARTS: usize = 6;

/// ln E max(best − Y, 0) of a normal Y, and its derivatives with respect to mean and deviation of Y.
fn ln_improvement(best: f64, mean: f64, deviation: f64) -> (f64, f64, f64) {
    let z = (best - mean) / deviation;
    // ln h(z), h = φ + z Φ; and Φ / h, φ / h.
    let (ln_h, below, density) = if z > -25.0 {
        let (phi, below) = (ln_density(z).exp(), cdf(z));
        let h = (phi + z * below).max(f64::MIN_POSITIVE);
        (h.ln(), below / h, phi / h)
    } else {
        // h = φ (1/z² − 3/z⁴ + …), Φ = φ (−1/z + 1/z³ − …).
        let square = (z * z).recip();
        let h = square * (1.0 - 3.0 * square);
        (ln_density(z) + h.ln(), -(1.0 - square) / (z * h), h.recip())
    };
    (deviation.ln() + ln_h, -below / deviation, density / deviation)
}

/// What a point is worth.
struct Gain<'a> {
    process: &'a Regression,
    best: f64,
}

impl Gain<'_> {
    /// A point that was tried is worth nothing.
    fn at(&self, point: &[f64]) -> f64 {
        if self.process.rows().iter().any(|row| row == point) {
            return f64::NEG_INFINITY;
        }
        let (mean, deviation) = self.process.predict(point);
        ln_improvement(self.best, mean, deviation).0
    }

    /// How the worth changes along every axis of numbers.
    fn slope(&self, point: &[f64]) -> Vec<f64> {
        let (mean, deviation, by_mean, by_deviation) = self.process.slopes(point);
        let (_, mean_weight, deviation_weight) = ln_improvement(self.best, mean, deviation);
        by_mean.iter().zip(by_deviation).map(|(m, d)| mean_weight * m + deviation_weight * d).collect()
    }
}

/// The point of the greatest expected improvement that a search finds: points of the whole cube and around the best trials,
/// from the best of them uphill along the slope, then by chance to what has no slope, ever nearer.
///
/// None of the points of the process, unless all that there are were tried. O(n²) for each of some thousand points.
pub(super) fn search(cube: &Cube<'_>, process: &Regression, losses: &[f64], random: &mut Random) -> Vec<f64> {
    let points = process.rows();
    let best = points.iter().map(|point| process.mean(point)).fold(f64::INFINITY, f64::min);
    let gain = Gain { process, best };
    let lengths = process.lengths();
    let mut order: Vec<usize> = (0..losses.len().min(points.len())).collect();
    order.sort_by(|a, b| match (losses.get(*a), losses.get(*b)) {
        (Some(a), Some(b)) => a.total_cmp(b),
        _ => std::cmp::Ordering::Equal,
    });
    let mut candidates: Vec<Vec<f64>> = (0..POINTS).map(|_| cube.draw(random)).collect();
    for index in order.iter().take(5) {
        let Some(point) = points.get(*index) else { continue };
        for reach in [0.3, 0.1, 0.03, 0.01] {
            candidates.extend((0..10).map(|_| cube.near(point, &lengths, reach, random)));
        }
    }
    let mut scored: Vec<(f64, Vec<f64>)> = candidates.into_iter().map(|c| (gain.at(&c), c)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.truncate(STARTS);
    for start in &mut scored {
        uphill(cube, &gain, &lengths, start);
        around(cube, &gain, &lengths, start, random);
        uphill(cube, &gain, &lengths, start);
    }
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().next().map(|(_, point)| point).unwrap_or_default()
}

/// Steps along the slope within the cube, which get longer while they lead up.
fn uphill(cube: &Cube<'_>, gain: &Gain<'_>, lengths: &[f64], (score, point): &mut (f64, Vec<f64>)) {
    let free = cube.is_smooth();
    let mut step = 0.1;
    for _ in 0..40 {
        let slope = gain.slope(point);
        let towards = slope.iter().zip(lengths).zip(&free);
        let mut towards: Vec<f64> =
            towards.map(|((s, length), free)| if *free { s * length * length } else { 0.0 }).collect();
        for (t, x) in towards.iter_mut().zip(point.iter()) {
            // At a wall only what leads away from it.
            if (*x <= 0.0 && *t < 0.0) || (*x >= 1.0 && *t > 0.0) {
                *t = 0.0;
            }
        }
        let longest = towards.iter().fold(0.0_f64, |most, t| most.max(t.abs()));
        if !(longest > 0.0 && longest.is_finite()) {
            return;
        }
        let mut moved = false;
        while step > 1e-6 {
            let next: Vec<f64> =
                point.iter().zip(&towards).map(|(x, t)| (x + step * t / longest).clamp(0.0, 1.0)).collect();
            let value = gain.at(&next);
            if value > *score {
                moved = value - *score > 1e-9;
                (*score, *point) = (value, next);
                step = (step * 2.0).min(0.5);
                break;
            }
            step *= 0.3;
        }
        if !moved {
            return;
        }
    }
}

/// Steps by chance, ever shorter, for options and values on a grid.
fn around(
    cube: &Cube<'_>,
    gain: &Gain<'_>,
    lengths: &[f64],
    (score, point): &mut (f64, Vec<f64>),
    random: &mut Random,
) {
    let mut reach = 0.2;
    while reach > 1e-2 {
        let mut moved = false;
        for _ in 0..4 + 4 * lengths.len() {
            let next = cube.near(point, lengths, reach, random);
            let value = gain.at(&next);
            if value > *score {
                (*score, *point) = (value, next);
                moved = true;
            }
        }
        if !moved {
            reach *= 0.3;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By numerical differences, on both sides of where the asymptotic form takes over.
    #[test]
    fn slopes_of_the_improvement_are_those_of_the_improvement() {
        for (best, mean, deviation) in [(0.0, 0.3, 1.0), (0.0, -2.0, 0.5), (0.0, 5.0, 0.201), (0.0, 9.0, 0.3)]
        {
            let at = |mean, deviation| ln_improvement(best, mean, deviation).0;
            let (_, by_mean, by_deviation) = ln_improvement(best, mean, deviation);
            let h = 1e-6;
            let mean_slope = (at(mean + h, deviation) - at(mean - h, deviation)) / (2.0 * h);
            let deviation_slope = (at(mean, deviation + h) - at(mean, deviation - h)) / (2.0 * h);
            assert!((by_mean - mean_slope).abs() < 1e-4 * mean_slope.abs(), "{by_mean} is not {mean_slope}");
            assert!(
                (by_deviation - deviation_slope).abs() < 1e-4 * deviation_slope.abs(),
                "{by_deviation} is not {deviation_slope}"
            );
        }
        let (near, far) = (ln_improvement(0.0, 24.999, 1.0).0, ln_improvement(0.0, 25.001, 1.0).0);
        assert!((near - far - 0.05).abs() < 1e-3, "{near} and {far}");
    }
}
