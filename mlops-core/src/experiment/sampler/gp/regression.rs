//! A Gaussian process: what is known of a function from its values at some points.
//!
//! Kernel: Matérn with ν = 5/2 and a length along every axis; options are as far apart as an axis is long, or not at all.
//! Lengths, scale and noise maximise the marginal likelihood times a prior, found by BFGS from a fixed start.
//!
//! Source: Rasmussen, Williams, "Gaussian processes for machine learning" (MIT Press 2006), chapters 2 and 5; the priors are those
//! of Optuna 5.0's `GPSampler`.

use super::cholesky::{Cholesky, dot};

/// The least variance of the noise, beside a variance of the values of 1: keeps matrices positive definite.
const LEAST_NOISE: f64 = 1e-6;

/// Points of the unit cube.
#[derive(Clone, Debug)]
pub(super) struct Points {
    /// Which axes are options.
    pub(super) is_option: Vec<bool>,
    pub(super) rows: Vec<Vec<f64>>,
}

/// ln of the inverse squared lengths, of the scale, of the noise.
type Parameters = Vec<f64>;

#[derive(Debug)]
pub(super) struct Regression {
    points: Points,
    inverse_squares: Vec<f64>,
    scale: f64,
    noise: f64,
    factor: Cholesky,
    /// (K + noise)⁻¹ y.
    solution: Vec<f64>,
}

impl Regression {
    /// Fits a process to values with mean about 0 and variance about 1. `None` if no matrix on the way is positive definite.
    /// O(n³) for each of at most 60 steps.
    pub(super) fn fit(points: Points, values: &[f64]) -> Option<Self> {
        let axes = points.is_option.len();
        let likelihood = Likelihood { distances: points.distances(), values, axes };
        // Lengths of one side of the cube, and of a few of them: a likelihood may have a hill at either.
        let fit = |length: f64| {
            let mut start = vec![-2.0 * length.ln(); axes];
            start.extend([0.0, -5.0]);
            let best = minimise(start, |at| likelihood.loss(at))?;
            Some((likelihood.loss(&best)?.0, best))
        };
        let fits = [1.0, 0.2].into_iter().filter_map(fit);
        let (_, best) = fits.reduce(|one, other| if other.0 < one.0 { other } else { one })?;
        Self::with(points, values, &best)
    }

    fn with(points: Points, values: &[f64], parameters: &[f64]) -> Option<Self> {
        let axes = points.is_option.len();
        let inverse_squares: Vec<f64> = parameters.iter().take(axes).map(|p| p.exp()).collect();
        let scale = parameters.get(axes)?.exp();
        let noise = parameters.get(axes + 1)?.exp() + LEAST_NOISE;
        Self::of(points, values, inverse_squares, scale, noise)
    }

    fn of(points: Points, values: &[f64], inverse_squares: Vec<f64>, scale: f64, noise: f64) -> Option<Self> {
        let n = points.rows.len();
        let mut triangle = Vec::with_capacity(n * (n + 1) / 2);
        for (i, row) in points.rows.iter().enumerate() {
            for other in points.rows.iter().take(i) {
                triangle.push(scale * matern(points.distance(row, other, &inverse_squares)));
            }
            triangle.push(scale + noise);
        }
        let factor = Cholesky::new(n, triangle)?;
        let mut solution = values.to_vec();
        factor.forward(&mut solution);
        factor.backward(&mut solution);
        Some(Self { points, inverse_squares, scale, noise, factor, solution })
    }

    /// The same process after trials that end as predicted: the mean stays, the doubt around them goes. `None` for none.
    pub(super) fn with_running(&self, running: &[Vec<f64>], values: &[f64]) -> Option<Self> {
        if running.is_empty() {
            return None;
        }
        let mut values = values.to_vec();
        values.extend(running.iter().map(|point| self.mean(point)));
        let mut points = self.points.clone();
        points.rows.extend(running.iter().cloned());
        Self::of(points, &values, self.inverse_squares.clone(), self.scale, self.noise)
    }

    /// The points, those of running trials last.
    pub(super) fn rows(&self) -> &[Vec<f64>] {
        &self.points.rows
    }

    fn covariances(&self, point: &[f64]) -> Vec<f64> {
        let with =
            |row: &Vec<f64>| self.scale * matern(self.points.distance(row, point, &self.inverse_squares));
        self.points.rows.iter().map(with).collect()
    }

    /// The mean at a point.
    pub(super) fn mean(&self, point: &[f64]) -> f64 {
        dot(&self.covariances(point), &self.solution)
    }

    /// Mean and standard deviation at a point. O(n²).
    pub(super) fn predict(&self, point: &[f64]) -> (f64, f64) {
        let mut covariances = self.covariances(point);
        let mean = dot(&covariances, &self.solution);
        self.factor.forward(&mut covariances);
        let variance = self.scale - dot(&covariances, &covariances);
        (mean, variance.max(1e-12 * self.scale).sqrt())
    }

    /// Mean and standard deviation at a point, and their derivatives along every axis; 0 along options. O(n²).
    pub(super) fn slopes(&self, point: &[f64]) -> (f64, f64, Vec<f64>, Vec<f64>) {
        let covariances = self.covariances(point);
        let mean = dot(&covariances, &self.solution);
        let mut weights = covariances.clone();
        self.factor.forward(&mut weights);
        let deviation = (self.scale - dot(&weights, &weights)).max(1e-12 * self.scale).sqrt();
        self.factor.backward(&mut weights);
        let axes = point.len();
        let (mut by_mean, mut by_deviation) = (vec![0.0; axes], vec![0.0; axes]);
        for ((row, alpha), weight) in self.points.rows.iter().zip(&self.solution).zip(&weights) {
            let square = self.points.distance(row, point, &self.inverse_squares);
            let slope = 2.0 * self.scale * matern_slope(square);
            let along = point.iter().zip(row).zip(&self.inverse_squares).zip(&self.points.is_option);
            for ((((x, other), p), is_option), (m, d)) in
                along.zip(by_mean.iter_mut().zip(by_deviation.iter_mut()))
            {
                if !is_option {
                    let change = slope * (x - other) * p;
                    *m += alpha * change;
                    *d -= weight * change / deviation;
                }
            }
        }
        (mean, deviation, by_mean, by_deviation)
    }

    /// The lengths of the axes: how far apart points are that have little to do with each other.
    pub(super) fn lengths(&self) -> Vec<f64> {
        self.inverse_squares.iter().map(|p| 1.0 / p.sqrt()).collect()
    }
}

impl Points {
    /// Squared differences of every pair along every axis: pairs (i, j < i) one after the other, axis by axis.
    fn distances(&self) -> Vec<f64> {
        let mut out = Vec::new();
        for (i, row) in self.rows.iter().enumerate() {
            for other in self.rows.iter().take(i) {
                out.extend(self.differences(row, other));
            }
        }
        out
    }

    fn differences<'p>(&'p self, a: &'p [f64], b: &'p [f64]) -> impl Iterator<Item = f64> + 'p {
        a.iter().zip(b).zip(&self.is_option).map(|((a, b), is_option)| match is_option {
            true => f64::from(u8::from(a != b)),
            false => (a - b) * (a - b),
        })
    }

    /// The squared distance of two points, all axes alike.
    pub(super) fn square(&self, a: &[f64], b: &[f64]) -> f64 {
        self.differences(a, b).sum()
    }

    fn distance(&self, a: &[f64], b: &[f64], inverse_squares: &[f64]) -> f64 {
        self.differences(a, b).zip(inverse_squares).map(|(d, p)| d * p).sum()
    }
}

/// The kernel of a squared distance: (1 + r + r²/3) e^(−r), r = √5 d.
fn matern(square: f64) -> f64 {
    let r = (5.0 * square).sqrt();
    (1.0 + r + r * r / 3.0) * (-r).exp()
}

/// Its derivative with respect to the squared distance.
fn matern_slope(square: f64) -> f64 {
    let r = (5.0 * square).sqrt();
    -5.0 / 6.0 * (1.0 + r) * (-r).exp()
}

struct Likelihood<'a> {
    distances: Vec<f64>,
    values: &'a [f64],
    axes: usize,
}

impl Likelihood<'_> {
    /// −ln (marginal likelihood · prior), without constants, and its gradient.
    fn loss(&self, parameters: &[f64]) -> Option<(f64, Parameters)> {
        let n = self.values.len();
        let inverse_squares: Vec<f64> = parameters.iter().take(self.axes).map(|p| p.exp()).collect();
        let (scale, free_noise) = (parameters.get(self.axes)?.exp(), parameters.get(self.axes + 1)?.exp());
        let square = |pair: &[f64]| dot(pair, &inverse_squares);
        let mut pairs = self.distances.chunks_exact(self.axes.max(1));
        let mut squares = Vec::with_capacity(n * n / 2);
        let mut triangle = Vec::with_capacity(n * (n + 1) / 2);
        for i in 0..n {
            for pair in pairs.by_ref().take(i) {
                let d = square(pair);
                squares.push(d);
                triangle.push(scale * matern(d));
            }
            triangle.push(scale + free_noise + LEAST_NOISE);
        }
        let factor = Cholesky::new(n, triangle)?;
        let mut solution = self.values.to_vec();
        factor.forward(&mut solution);
        let mut loss = 0.5 * dot(&solution, &solution) + factor.half_ln_determinant();
        factor.backward(&mut solution);
        let inverse = factor.inverse();

        // d loss / d K = ½ (K⁻¹ − α αᵀ); each pair stands for two entries.
        let mut gradient = vec![0.0; parameters.len()];
        let (mut by_scale, mut by_noise) = (0.0, 0.0);
        let mut pairs = self.distances.chunks_exact(self.axes.max(1)).zip(&squares);
        for (i, (row, alpha)) in inverse.chunks_exact(n.max(1)).zip(&solution).enumerate() {
            for ((w, other), (pair, d)) in row.iter().zip(&solution).take(i).zip(pairs.by_ref()) {
                let weight = w - alpha * other;
                by_scale += weight * matern(*d);
                let slope = weight * scale * matern_slope(*d);
                for ((g, difference), p) in gradient.iter_mut().zip(pair).zip(&inverse_squares) {
                    *g += slope * difference * p;
                }
            }
            let weight = 0.5 * (row.get(i)? - alpha * alpha);
            by_scale += weight;
            by_noise += weight;
        }
        *gradient.get_mut(self.axes)? = by_scale * scale;
        *gradient.get_mut(self.axes + 1)? = by_noise * free_noise;
        loss += self.prior(parameters, &mut gradient);
        (loss.is_finite() && gradient.iter().all(|g| g.is_finite())).then_some((loss, gradient))
    }

    /// −ln prior: e^(−(p + 1/p)/10) for an inverse squared length p, a gamma law with shape 2 and rate 1 for the scale, and one with
    /// shape 1.1 and rate 30 for the noise.
    fn prior(&self, parameters: &[f64], gradient: &mut [f64]) -> f64 {
        let mut loss = 0.0;
        for (at, (log, g)) in parameters.iter().zip(gradient).enumerate() {
            let p = log.exp();
            let (term, slope) = match at.checked_sub(self.axes) {
                None => (0.1 * (p + p.recip()), 0.1 * (p - p.recip())),
                Some(0) => (p - log, p - 1.0),
                Some(_) => (30.0 * p - 0.1 * log, 30.0 * p - 0.1),
            };
            loss += term;
            *g += slope;
        }
        loss
    }
}

/// Minimises a smooth function by BFGS with a backtracking line search; at most 60 steps. `None` if it has no value at the start.
fn minimise(mut x: Parameters, loss: impl Fn(&[f64]) -> Option<(f64, Parameters)>) -> Option<Parameters> {
    let n = x.len();
    let (mut value, mut gradient) = loss(&x)?;
    let identity = || (0..n * n).map(|k| f64::from(u8::from(k % (n + 1) == 0))).collect::<Vec<f64>>();
    let mut h = identity();
    for _ in 0..60 {
        let mut direction: Vec<f64> = h.chunks_exact(n.max(1)).map(|row| -dot(row, &gradient)).collect();
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            h = identity();
            direction = gradient.iter().map(|g| -g).collect();
            slope = dot(&direction, &gradient);
        }
        // No step of more than 2 in a logarithm.
        let longest = direction.iter().fold(0.0_f64, |most, d| most.max(d.abs()));
        let mut step = if longest > 2.0 { 2.0 / longest } else { 1.0 };
        let mut found = None;
        for _ in 0..20 {
            let next: Vec<f64> =
                x.iter().zip(&direction).map(|(x, d)| (x + step * d).clamp(-20.0, 20.0)).collect();
            if let Some((new, slopes)) = loss(&next).filter(|(new, _)| *new <= value + 1e-4 * step * slope) {
                found = Some((next, new, slopes));
                break;
            }
            step *= 0.4;
        }
        let Some((next, new, slopes)) = found else { break };
        let s: Vec<f64> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
        let y: Vec<f64> = slopes.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let gain = value - new;
        (x, value, gradient) = (next, new, slopes);
        if gain < 1e-6 * (1.0 + value.abs()) {
            break;
        }
        update(&mut h, &s, &y);
    }
    Some(x)
}

/// The update of the inverse Hessian, left out where the curvature is not positive.
fn update(h: &mut [f64], s: &[f64], y: &[f64]) {
    let n = s.len();
    let curvature = dot(s, y);
    if curvature <= 1e-12 {
        return;
    }
    let hy: Vec<f64> = h.chunks_exact(n.max(1)).map(|row| dot(row, y)).collect();
    let factor = (1.0 + dot(y, &hy) / curvature) / curvature;
    for ((row, si), hyi) in h.chunks_exact_mut(n.max(1)).zip(s).zip(&hy) {
        for ((entry, sj), hyj) in row.iter_mut().zip(s).zip(&hy) {
            *entry += factor * si * sj - (hyi * sj + si * hyj) / curvature;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Points, Vec<f64>) {
        let rows: Vec<Vec<f64>> = (0..12)
            .map(|i| vec![f64::from(i * 7 % 12) / 12.0, f64::from(i * 5 % 12) / 12.0, f64::from(i % 3)])
            .collect();
        let values = rows
            .iter()
            .map(|r| (6.0 * r[0]).sin() + 0.3 * r[1] + if r[2] == 1.0 { 0.5 } else { 0.0 })
            .collect();
        (Points { is_option: vec![false, false, true], rows }, values)
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let (points, values) = sample();
        let likelihood = Likelihood { distances: points.distances(), values: &values, axes: 3 };
        let at = vec![1.0, -0.5, 0.3, 0.2, -4.0];
        let (_, gradient) = likelihood.loss(&at).unwrap();
        for i in 0..at.len() {
            let moved = |by: f64| {
                let mut at = at.clone();
                at[i] += by;
                likelihood.loss(&at).unwrap().0
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!(
                (gradient[i] - slope).abs() < 1e-6 * (1.0 + slope.abs()),
                "{i}: {} is not {slope}",
                gradient[i]
            );
        }
    }

    #[test]
    fn a_fitted_process_goes_near_its_points_and_doubts_far_from_them() {
        let (points, values) = sample();
        let process = Regression::fit(points.clone(), &values).unwrap();
        for (row, value) in points.rows.iter().zip(&values) {
            let (mean, deviation) = process.predict(row);
            assert!((mean - value).abs() < 0.1 && deviation < 0.2, "{mean} is not {value} ± {deviation}");
            assert_eq!(mean, process.mean(row));
        }
        let near = process.predict(&points.rows[0]).1;
        assert!(process.predict(&[0.0, 5.0, 2.0]).1 > 3.0 * near);
    }

    #[test]
    fn the_fit_is_at_a_minimum() {
        let (points, values) = sample();
        let likelihood = Likelihood { distances: points.distances(), values: &values, axes: 3 };
        let best = minimise(vec![-1.0, -1.0, -1.0, 0.0, -7.0], |at| likelihood.loss(at)).unwrap();
        let (_, gradient) = likelihood.loss(&best).unwrap();
        assert!(gradient.iter().all(|g| g.abs() < 0.02), "{gradient:?}");
    }
}
