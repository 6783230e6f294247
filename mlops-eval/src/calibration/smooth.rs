//! The smooth calibration error: no bins, and a bandwidth that the data chooses.

use std::f64::consts::PI;

use mlops_core::num::StatsError;
use mlops_core::num::simd::{Kernel, run};
use mlops_core::num::sum::Sum;
use serde::{Deserialize, Serialize};

use super::{Checked, floor};
use crate::classification::ScoreState;

/// The smallest bandwidth that is looked at.
pub const MIN_BANDWIDTH: f64 = 1.0 / 1024.0;

/// Probabilities beyond so many distinct ones are spread over the nodes of a grid.
const MAX_POINTS: usize = 65_536;

/// A smooth calibration error with the bandwidth it was made with.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SmoothError {
    /// The error, in [0, 1].
    pub error: f64,
    /// The bandwidth σ, in (0, 1].
    pub bandwidth: f64,
}

/// The smooth calibration error of Błasiok and Nakkiran (*Smooth ECE: Principled Reliability Diagrams via Kernel Smoothing*,
/// ICLR 2024, arXiv 2309.12236): smECE_σ at the bandwidth where smECE_σ = σ.
///
/// smECE_σ = ∫₀¹ |E[(y − p) K_σ(p, t)]| dt with the Gaussian kernel of deviation σ, reflected at 0 and 1. It falls as σ grows,
/// so there is one such σ. It is found in [[`MIN_BANDWIDTH`], 1]; where it is smaller, the error at the smallest bandwidth is
/// returned, which is smaller than that bandwidth too.
///
/// In [0, 1], lower is better. The reflected kernel is a series of cosines, so the smoothed residual is had exactly, and its
/// absolute value is integrated between its zeros. For more than 65 536 distinct probabilities, rows are first spread over
/// the nodes of a grid of that many steps, between which they lie; in the tests that changes the error by less than 1e-6. Agrees with the
/// definition, integrated by force, to 2e-7 (what the force reaches), and with relplot 1.0.3, which discretises and looks for σ
/// in ten halvings, to 2e-3 where no probability is 0 or 1 (rows there count half in it). O(d/σ + 1/σ²) for d distinct
/// probabilities.
///
/// ```
/// use mlops_eval::calibration::smooth_calibration_error;
/// use mlops_eval::classification::ScoreState;
///
/// let state = ScoreState::of(&[true, true, false, false], &[0.5; 4])?;
/// assert_eq!(smooth_calibration_error(&state)?.error, 0.0);
/// let state = ScoreState::of(&[true, true, true, true], &[0.5; 4])?;
/// assert!((smooth_calibration_error(&state)?.error - 0.5).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state without rows or weight; [`StatsError::OutOfRange`] for
/// scores that are no probabilities.
pub fn smooth_calibration_error(state: &ScoreState) -> Result<SmoothError, StatsError> {
    let mut residual = Spectrum::new(Checked::new(state)?);
    // From above: small bandwidths cost more.
    let (mut low, mut high) = (1.0, 1.0);
    let mut above = residual.error(1.0) - 1.0;
    if above >= 0.0 {
        return Ok(SmoothError { error: 1.0, bandwidth: 1.0 });
    }
    let mut below = above;
    while below < 0.0 {
        if low <= MIN_BANDWIDTH {
            return Ok(SmoothError { error: low + below, bandwidth: low });
        }
        (high, above) = (low, below);
        low *= 0.5;
        below = residual.error(low) - low;
    }
    let bandwidth = fixpoint((low, below), (high, above), |sigma| residual.error(sigma) - sigma);
    Ok(SmoothError { error: bandwidth, bandwidth })
}

/// smECE_σ at a given bandwidth: see [`smooth_calibration_error`].
///
/// ```
/// use mlops_eval::calibration::smooth_calibration_error_at;
/// use mlops_eval::classification::ScoreState;
///
/// let state = ScoreState::of(&[false, true], &[0.4, 0.6])?;
/// let wide = smooth_calibration_error_at(&state, 0.5)?;
/// let narrow = smooth_calibration_error_at(&state, 0.05)?;
/// assert!(wide.error < narrow.error && narrow.error < 0.4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`smooth_calibration_error`], and [`StatsError::Parameter`] for a bandwidth outside [[`MIN_BANDWIDTH`], 1].
pub fn smooth_calibration_error_at(state: &ScoreState, bandwidth: f64) -> Result<SmoothError, StatsError> {
    if !(MIN_BANDWIDTH..=1.0).contains(&bandwidth) {
        let reason = "must lie between 1/1024 and 1";
        return Err(StatsError::Parameter { parameter: "bandwidth", value: bandwidth, reason });
    }
    let error = Spectrum::new(Checked::new(state)?).error(bandwidth);
    Ok(SmoothError { error, bandwidth })
}

/// A smoothed residual below this everywhere is rounding: the error is at most as large.
const NOISE: f64 = 1e-13;

/// Where a falling function is 0, given a place on each side: regula falsi in the Illinois form.
fn fixpoint(mut low: (f64, f64), mut high: (f64, f64), mut f: impl FnMut(f64) -> f64) -> f64 {
    let mut side = 0;
    for _ in 0..60 {
        let x = (low.0 * high.1 - high.0 * low.1) / (high.1 - low.1);
        let x = if x > low.0 && x < high.0 { x } else { f64::midpoint(low.0, high.0) };
        let y = f(x);
        if y.abs() <= 1e-14 || high.0 - low.0 <= 1e-14 {
            return x;
        }
        if y > 0.0 {
            low = (x, y);
            high.1 *= if side == 1 { 0.5 } else { 1.0 };
            side = 1;
        } else {
            high = (x, y);
            low.1 *= if side == -1 { 0.5 } else { 1.0 };
            side = -1;
        }
    }
    f64::midpoint(low.0, high.0)
}

/// The cosine coefficients of the residuals, Σ r cos(kπp), as far as they have been needed, and where each point has got to.
struct Spectrum {
    points: Vec<Turn>,
    coefficients: Vec<f64>,
}

/// A residual and a direction on the circle that turns by πp with each coefficient. Turning it loses k·ε, where the
/// recurrence of Chebyshev polynomials would lose k²·ε near the ends.
#[derive(Clone, Copy)]
struct Turn {
    residual: f64,
    step: (f64, f64),
    at: (f64, f64),
}

impl Spectrum {
    fn new(data: Checked<'_>) -> Self {
        let residual = |point: super::Point| {
            (point.p, (point.positive * (1.0 - point.p) - point.negative * point.p) / data.total)
        };
        let mut points: Vec<(f64, f64)> = data.points().map(residual).collect();
        if points.len() > MAX_POINTS {
            points = spread(&points);
        }
        let turn = |(p, residual): (f64, f64)| {
            let (sin, cos) = (PI * p).sin_cos();
            Turn { residual, step: (cos, sin), at: (1.0, 0.0) }
        };
        Self { points: points.into_iter().map(turn).collect(), coefficients: Vec::new() }
    }

    fn reach(&mut self, count: usize) {
        let have = self.coefficients.len();
        if count > have {
            self.coefficients.resize(count, 0.0);
            run(Advance { points: &mut self.points, coefficients: &mut self.coefficients[have..] });
        }
    }

    /// ∫₀¹ |r(t)| dt for the residual smoothed by σ.
    fn error(&mut self, sigma: f64) -> f64 {
        // From here on the factor exp(−(kπσ)²/2) is below 1e-16.
        let count = floor((8.7 / (PI * sigma)).ceil()) + 1;
        self.reach(count);
        let factor =
            |k: usize| (-0.5 * (k as f64 * PI * sigma).powi(2)).exp() * if k == 0 { 1.0 } else { 2.0 };
        let coefficients = self.coefficients.iter().take(count).enumerate().map(|(k, a)| a * factor(k));
        let smooth = Series(coefficients.collect());
        smooth.absolute_integral(floor((4.0 / sigma).ceil().max(64.0))).min(1.0)
    }
}

/// Puts each residual on the two nodes of a grid that it lies between, in proportion.
fn spread(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let steps = MAX_POINTS as f64;
    let mut nodes = vec![Sum::new(); MAX_POINTS + 1];
    for (p, residual) in points {
        let place = p * steps;
        let below = floor(place).min(MAX_POINTS - 1);
        let share = place - below as f64;
        nodes[below].push(residual * (1.0 - share));
        nodes[below + 1].push(residual * share);
    }
    nodes.iter().enumerate().map(|(i, sum)| (i as f64 / steps, sum.value())).collect()
}

struct Advance<'a> {
    points: &'a mut [Turn],
    coefficients: &'a mut [f64],
}

const LANES: usize = 8;

impl Kernel for Advance<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for group in self.points.chunks_mut(LANES) {
            let blank = Turn { residual: 0.0, step: (1.0, 0.0), at: (1.0, 0.0) };
            let turns: [Turn; LANES] = std::array::from_fn(|i| group.get(i).copied().unwrap_or(blank));
            let residual = turns.map(|turn| turn.residual);
            let (step_cos, step_sin) = (turns.map(|turn| turn.step.0), turns.map(|turn| turn.step.1));
            let (mut cos, mut sin) = (turns.map(|turn| turn.at.0), turns.map(|turn| turn.at.1));
            for coefficient in self.coefficients.iter_mut() {
                let mut terms = [0.0; LANES];
                for i in 0..LANES {
                    terms[i] = residual[i] * cos[i];
                    let turned = cos[i] * step_cos[i] - sin[i] * step_sin[i];
                    sin[i] = sin[i] * step_cos[i] + cos[i] * step_sin[i];
                    cos[i] = turned;
                }
                *coefficient += ((terms[0] + terms[1]) + (terms[2] + terms[3]))
                    + ((terms[4] + terms[5]) + (terms[6] + terms[7]));
            }
            for (i, turn) in group.iter_mut().enumerate() {
                turn.at = (cos[i], sin[i]);
            }
        }
    }
}

/// Σ c_k cos(kπt).
struct Series(Vec<f64>);

impl Series {
    fn at(&self, t: f64) -> f64 {
        let mut value = [0.0];
        run(Values { series: &self.0, from: t, step: 0.0, values: &mut value });
        value[0]
    }

    /// ∫₀ᵗ.
    fn integral(&self, t: f64) -> f64 {
        let terms = self.0.iter().enumerate().map(|(k, c)| match k {
            0 => c * t,
            _ => c * (k as f64 * PI * t).sin() / (k as f64 * PI),
        });
        terms.sum()
    }

    /// ∫₀¹ |·|, exact between the zeros that a grid of so many steps shows.
    fn absolute_integral(&self, steps: usize) -> f64 {
        let step = 1.0 / steps as f64;
        let mut values = vec![0.0; steps + 1];
        run(Values { series: &self.0, from: 0.0, step, values: &mut values });
        // Residuals that cancel leave rounding errors, of another sign at every step: nothing to look for zeros in.
        if values.iter().all(|value| value.abs() < NOISE) {
            return values.iter().map(|value| value.abs()).collect::<Sum>().value() / values.len() as f64;
        }
        let mut total = Sum::new();
        let mut before = 0.0;
        for zero in self.zeros(&values, step) {
            let integral = self.integral(zero);
            total.push((integral - before).abs());
            before = integral;
        }
        // sin(kπ) = 0: the whole integral is the first coefficient.
        total.push((self.0.first().copied().unwrap_or(0.0) - before).abs());
        total.value()
    }

    fn zeros(&self, values: &[f64], step: f64) -> Vec<f64> {
        let mut zeros = Vec::new();
        for (i, pair) in values.windows(2).enumerate() {
            let (from, to) = (i as f64 * step, (i + 1) as f64 * step);
            // Far from every point the smoothed residual is rounding, of another sign at every step.
            if pair.iter().all(|value| value.abs() < NOISE) {
                continue;
            }
            if pair[0] * pair[1] < 0.0 {
                zeros.push(self.zero(from, to, pair[0].signum()));
                continue;
            }
            // Both ends on one side: it may dip to the other between them.
            let slope = |i: usize| {
                values.get(i + 1).zip(values.get(i)).map_or(0.0, |(b, a)| (b - a) * pair[0].signum())
            };
            let falls = i == 0 || slope(i - 1) < 0.0;
            let rises = i + 2 == values.len() || slope(i + 1) > 0.0;
            if falls && rises && pair[0] != 0.0 {
                let bottom = self.bottom(from, to, pair[0].signum());
                let lowest = self.at(bottom);
                if lowest * pair[0] < 0.0 {
                    zeros.push(self.zero(from, bottom, pair[0].signum()));
                    zeros.push(self.zero(bottom, to, lowest.signum()));
                }
            }
        }
        zeros
    }

    /// Where sign · value is least, by golden section.
    fn bottom(&self, mut from: f64, mut to: f64, sign: f64) -> f64 {
        let golden = 0.618_033_988_749_894_9;
        for _ in 0..20 {
            let (a, b) = (to - golden * (to - from), from + golden * (to - from));
            if sign * self.at(a) < sign * self.at(b) {
                to = b;
            } else {
                from = a;
            }
        }
        f64::midpoint(from, to)
    }

    /// The zero between two places of different sign. The integral is flat there: half of the digits give all of its own.
    fn zero(&self, from: f64, to: f64, sign: f64) -> f64 {
        let (mut low, mut high) = (from, to);
        for _ in 0..40 {
            let x = f64::midpoint(low, high);
            let y = sign * self.at(x);
            if high - low < 1e-9 {
                return x;
            }
            if y > 0.0 {
                low = x;
            } else {
                high = x;
            }
        }
        f64::midpoint(low, high)
    }
}

/// The values of a series at places a step apart.
struct Values<'a> {
    series: &'a [f64],
    from: f64,
    step: f64,
    values: &'a mut [f64],
}

impl Kernel for Values<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { series, from, step, values } = self;
        for (group, values) in values.chunks_mut(LANES).enumerate() {
            let angle = |i: usize| PI * (from + step * (group * LANES + i) as f64);
            let turns: [(f64, f64); LANES] = std::array::from_fn(|i| angle(i).sin_cos());
            let (step_sin, step_cos) = (turns.map(|turn| turn.0), turns.map(|turn| turn.1));
            let (mut cos, mut sin) = ([1.0; LANES], [0.0; LANES]);
            let mut sums = [0.0; LANES];
            for &c in series {
                for i in 0..LANES {
                    sums[i] += c * cos[i];
                    let turned = cos[i] * step_cos[i] - sin[i] * step_sin[i];
                    sin[i] = sin[i] * step_cos[i] + cos[i] * step_sin[i];
                    cos[i] = turned;
                }
            }
            values.iter_mut().zip(sums).for_each(|(value, sum)| *value = sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: reflections summed, the absolute value integrated by the midpoint rule.
    fn by_force(y: &[bool], p: &[f64], sigma: f64) -> f64 {
        let steps = 20_000;
        let smoothed = |t: f64| {
            let mut sum = 0.0;
            for (y, p) in y.iter().zip(p) {
                let kernel = |x: f64| (-0.5 * ((t - x) / sigma).powi(2)).exp() / (sigma * (2.0 * PI).sqrt());
                let reflected: f64 =
                    (-3..=3).map(|i| kernel(2.0 * f64::from(i) + p) + kernel(2.0 * f64::from(i) - p)).sum();
                sum += (f64::from(u8::from(*y)) - p) * reflected;
            }
            sum / p.len() as f64
        };
        (0..steps).map(|i| smoothed((f64::from(i) + 0.5) / f64::from(steps)).abs()).sum::<f64>()
            / f64::from(steps)
    }

    #[test]
    fn it_is_the_definition() {
        let p = [0.0, 0.05, 0.2, 0.21, 0.35, 0.5, 0.77, 0.8, 0.93, 1.0];
        let y = [false, true, false, false, true, false, true, false, true, true];
        let state = ScoreState::of(&y, &p).unwrap();
        for sigma in [0.03, 0.1, 0.4, 1.0] {
            let got = smooth_calibration_error_at(&state, sigma).unwrap().error;
            let expected = by_force(&y, &p, sigma);
            assert!((got - expected).abs() < 2e-7, "{sigma}: {got} is not {expected}");
        }
        let fixed = smooth_calibration_error(&state).unwrap();
        assert!((by_force(&y, &p, fixed.bandwidth) - fixed.error).abs() < 2e-7);
        assert_eq!(fixed.bandwidth, fixed.error);
    }

    #[test]
    fn a_grid_of_many_probabilities_changes_little() {
        let random = |i: usize| (i as f64 * 0.754_877_666_246_692_8).fract();
        let points: Vec<(f64, f64)> = (0..80_000).map(|i| (random(i), 0.3 - random(7 * i + 3))).collect();
        let spectrum = |points: &[(f64, f64)]| {
            let turn = |&(p, residual): &(f64, f64)| {
                let (sin, cos) = (PI * p).sin_cos();
                Turn { residual: residual / 80_000.0, step: (cos, sin), at: (1.0, 0.0) }
            };
            Spectrum { points: points.iter().map(turn).collect(), coefficients: Vec::new() }
        };
        let (mut exact, mut on_grid) = (spectrum(&points), spectrum(&spread(&points)));
        for sigma in [0.01, 0.1] {
            assert!((exact.error(sigma) - on_grid.error(sigma)).abs() < 1e-6, "{sigma}");
        }
    }

    #[test]
    fn residuals_that_cancel_are_no_error() {
        // Both classes lie at their shares, but for rounding.
        let p: Vec<f64> = (1..400).map(|i| f64::from(i) / 400.0).collect();
        let (y, scores): (Vec<bool>, Vec<f64>) = p.iter().flat_map(|&p| [(true, p), (false, p)]).unzip();
        let weights: Vec<f64> = p.iter().flat_map(|&p| [p, 1.0 - p]).collect();
        let state = ScoreState::weighted(&y, &scores, &weights).unwrap();
        assert!(smooth_calibration_error_at(&state, MIN_BANDWIDTH).unwrap().error < 1e-13);
    }

    #[test]
    fn certainty_that_is_right_has_no_error() {
        let state = ScoreState::of(&[true, false], &[1.0, 0.0]).unwrap();
        assert_eq!(smooth_calibration_error(&state).unwrap().error, 0.0);
        let state = ScoreState::of(&[true, false], &[0.0, 1.0]).unwrap();
        // SciPy 1.17.1: the root of quad(…) − σ, with the normal densities reflected six times.
        assert!((smooth_calibration_error(&state).unwrap().error - 0.456_091_649_149).abs() < 1e-9);
    }
}
