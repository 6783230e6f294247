//! The law of the one-sample Kolmogorov–Smirnov statistic, as SciPy's `kstwo`: what several tools take for that of two samples.
//!
//! The choice of method is that of Simard and L'Ecuyer (*Computing the two-sided Kolmogorov–Smirnov distribution*, J. Stat. Softw. 39,
//! 2011), where SciPy takes it from. Exact methods may stand in for one another; where SciPy approximates, so does this.

use mlops_core::num::StatsError;

use super::total;
use crate::special::stirling_remainder;

/// Beyond this n the sums of the exact tail take seconds.
const MOST: f64 = 16_777_216.0;

/// SciPy's p-value of a two-sample D by the one-sample law: `kstwo.sf(d, round(n·m/(n + m)))`.
pub(super) fn two_sample(d: f64, n: usize, m: usize) -> Result<f64, StatsError> {
    let (n, m) = (n as f64, m as f64);
    sf((n * m / (n + m)).round_ties_even(), d)
}

/// P(Dₙ ≥ d); n is whole.
fn sf(n: f64, d: f64) -> Result<f64, StatsError> {
    if n < 1.0 {
        return Err(StatsError::Unsupported {
            what: "this preset",
            reason: "one value a side has no p-value",
        });
    }
    let t = n * d;
    if t <= 0.5 {
        return Ok(1.0);
    }
    if d >= 1.0 {
        return Ok(0.0);
    }
    let square = t * d;
    let p = if t <= 1.0 {
        1.0 - ((2.0 * t - 1.0).ln() * n + ln_factorial_over_power(n)).exp()
    } else if t >= n - 1.0 {
        2.0 * ((-d).ln_1p() * n).exp()
    } else if d >= 0.5 || square > if n > 140.0 { 2.2 } else { 4.0 } {
        if square >= 370.0 && n > 140.0 && d < 0.5 { 0.0 } else { 2.0 * one_sided(n, d)? }
    } else if n <= 140.0 || (n <= 1e5 && n * d.powf(1.5) <= 1.4) {
        1.0 - durbin(n, d)
    } else {
        1.0 - pelz_good(n, d)
    };
    Ok(p.clamp(0.0, 1.0))
}

/// ln n!/nⁿ.
fn ln_factorial_over_power(n: f64) -> f64 {
    stirling_remainder(n) - n + 0.5 * (std::f64::consts::TAU * n).ln()
}

/// P(D⁺ₙ ≥ d) by Birnbaum and Tingey's sum d·Σ C(n, j)·(d + j/n)^(j − 1)·(1 − d − j/n)^(n − j), whose terms are all positive.
#[expect(clippy::cast_sign_loss, reason = "between 0 and 2^24")]
fn one_sided(n: f64, d: f64) -> Result<f64, StatsError> {
    if n > MOST {
        let reason = "must be at most 16777216 for this p-value";
        return Err(StatsError::Parameter { parameter: "rows", value: n, reason });
    }
    let whole = stirling_remainder(n);
    let term = |j: u32| {
        let (j, rest) = (f64::from(j), n - f64::from(j));
        let (up, down) = (d * n / j, 1.0 - d * n / rest);
        if down <= 0.0 {
            return 0.0;
        }
        // C(n, j)·(j/n)^j·(1 − j/n)^(n − j) by Stirling's formula, and what d adds to the bases.
        let binomial = whole - stirling_remainder(j) - stirling_remainder(rest)
            + 0.5 * (n / (std::f64::consts::TAU * j * rest)).ln();
        let tilt = j * up.ln_1p() + rest * (-d * n / rest).ln_1p();
        (binomial + tilt).exp() * d / (d + j / n)
    };
    let last = ((n * (1.0 - d)).floor() as u32).min(n as u32 - 1);
    Ok(((-d).ln_1p() * n).exp() + total((1..=last).map(term)))
}

/// P(Dₙ < d) by Durbin's matrix (Marsaglia, Tsang and Wang, *Evaluating Kolmogorov's distribution*, J. Stat. Softw. 8, 2003).
#[expect(clippy::cast_sign_loss, reason = "between 1 and 1e5")]
fn durbin(n: f64, d: f64) -> f64 {
    let k = (n * d).ceil();
    let h = k - n * d;
    let (k, n) = (k as usize, n as u32);
    let size = 2 * k - 1;
    let mut factorials = vec![1.0_f64; size + 1];
    for i in 1..=size {
        factorials[i] = factorials[i - 1] * i as f64;
    }
    let mut matrix = vec![0.0; size * size];
    for row in 0..size {
        for column in 0..size.min(row + 2) {
            matrix[row * size + column] = 1.0 / factorials[row + 1 - column];
        }
    }
    for i in 0..size {
        let edge = (1.0 - h.powf(i as f64 + 1.0)) / factorials[i + 1];
        matrix[i * size] = edge;
        matrix[(size - 1) * size + size - 1 - i] = edge;
    }
    let corner = 1.0 - 2.0 * h.powf(size as f64) + (2.0 * h - 1.0).max(0.0).powf(size as f64);
    matrix[(size - 1) * size] = corner / factorials[size];
    let (middle, exponent) = power_at((k - 1) * size + k - 1, &matrix, size, n);
    // n!/nⁿ, one factor at a time; powers of two are taken out where numbers become small.
    let (mut p, mut exponent) = (middle, exponent);
    for i in 1..=n {
        p *= f64::from(i) / f64::from(n);
        if p < SMALL {
            p /= SMALL;
            exponent -= STEP;
        }
    }
    p * 2.0_f64.powi(exponent)
}

const STEP: i32 = 400;
const SMALL: f64 = f64::from_bits((1023 - STEP as u64) << 52);

/// One entry of a matrix to the n, and the exponent of the power of two that it is to be multiplied by.
fn power_at(entry: usize, matrix: &[f64], size: usize, n: u32) -> (f64, i32) {
    let mut base = (matrix.to_vec(), 0);
    let mut power: Option<(Vec<f64>, i32)> = None;
    let mut left = n;
    while left > 0 {
        if left % 2 == 1 {
            power = Some(match power {
                Some((so_far, exponent)) => {
                    scaled(multiply(&so_far, &base.0, size), exponent + base.1, entry)
                }
                None => base.clone(),
            });
        }
        left /= 2;
        if left > 0 {
            base = scaled(multiply(&base.0, &base.0, size), 2 * base.1, entry);
        }
    }
    power.map_or((1.0, 0), |(matrix, exponent)| (matrix[entry], exponent))
}

fn scaled(mut matrix: Vec<f64>, exponent: i32, entry: usize) -> (Vec<f64>, i32) {
    if matrix[entry] <= 1.0 / SMALL {
        return (matrix, exponent);
    }
    matrix.iter_mut().for_each(|value| *value *= SMALL);
    (matrix, exponent + STEP)
}

fn multiply(a: &[f64], b: &[f64], size: usize) -> Vec<f64> {
    let mut product = vec![0.0; size * size];
    for (out, left) in product.chunks_exact_mut(size).zip(a.chunks_exact(size)) {
        for (&x, right) in left.iter().zip(b.chunks_exact(size)) {
            out.iter_mut().zip(right).for_each(|(out, y)| *out += x * y);
        }
    }
    product
}

/// P(Dₙ < d) by the first four terms of the expansion in 1/√n (Pelz and Good, *Approximating the lower tail-areas of the
/// Kolmogorov–Smirnov one-sample statistic*, J. R. Stat. Soc. B 38, 1976).
#[expect(clippy::cast_sign_loss, reason = "a small positive number")]
fn pelz_good(n: f64, d: f64) -> f64 {
    use std::f64::consts::{PI, TAU};
    let z = n.sqrt() * d;
    let (z2, z4, z6) = (z * z, z.powi(4), z.powi(6));
    let terms = (16.0 * z / PI).ceil() as u32;
    // Over halves of odd numbers u in units of π …
    let mut sums = [0.0; 4];
    for k in (1..=terms).rev() {
        let u2 = (PI * (f64::from(k) - 0.5)).powi(2);
        let weight = (-u2 / (2.0 * z2)).exp();
        sums[0] += weight;
        sums[1] += weight * (u2 - z2);
        sums[2] += weight * (6.0 * z6 + 2.0 * z4 + u2 * (2.0 * z4 - 5.0 * z2) + u2 * u2 * (1.0 - 2.0 * z2));
        sums[3] += weight
            * (u2.powi(3) * (5.0 - 30.0 * z2)
                + u2 * u2 * (212.0 * z4 - 60.0 * z2)
                + u2 * (135.0 * z4 - 96.0 * z6)
                - 30.0 * z6
                - 90.0 * z.powi(8));
    }
    // … and over whole numbers.
    let (mut second, mut third) = (0.0, 0.0);
    for k in (1..=terms).rev() {
        let u2 = (PI * f64::from(k)).powi(2);
        let weight = (-u2 / (2.0 * z2)).exp();
        second += weight * u2;
        third += weight * u2 * (3.0 * z2 - u2);
    }
    let root = TAU.sqrt();
    let k0 = root / z * sums[0];
    let k1 = root / (6.0 * z4) * sums[1];
    let k2 = root / (72.0 * z.powi(7)) * sums[2] - root / (36.0 * z.powi(3)) * second;
    let k3 = root / (6480.0 * z.powi(10)) * sums[3] + root / (216.0 * z6) * third;
    k0 + k1 / n.sqrt() + k2 / n + k3 / n.powf(1.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_agrees_with_scipy() {
        // scipy 1.17.1 `stats.kstwo.sf(d, n)`.
        for &(n, d, expected) in VALUES {
            let p = sf(n, d).unwrap();
            assert!((p - expected).abs() <= 1e-10 * expected, "{n} {d}: {p} is not {expected}");
        }
    }

    #[test]
    fn the_ends_are_sure() {
        assert_eq!((sf(10.0, 0.05).unwrap(), sf(10.0, 1.0).unwrap()), (1.0, 0.0));
        assert!(sf(0.0, 0.5).is_err() && two_sample(1.0, 1, 1).is_err());
        assert!(sf(2e7, 4e-4).is_err());
    }

    const VALUES: &[(f64, f64, f64)] = &[
        (1.0, 0.7, 0.6000000000000001),
        (1.0, 0.95, 0.10000000000000009),
        (2.0, 0.6, 0.32000000000000006),
        (3.0, 0.3, 0.8862222222222222),
        (5.0, 0.15, 0.9988),
        (10.0, 0.09, 0.9999610360566907),
        (10.0, 0.2, 0.7487190399999999),
        (10.0, 0.37, 0.09786575852611712),
        (10.0, 0.47, 0.015117665452565543),
        (10.0, 0.55, 0.0022805103214843725),
        (10.0, 0.93, 5.649504979999961e-12),
        (50.0, 0.05, 0.9990238098461883),
        (50.0, 0.1, 0.6623112704658186),
        (50.0, 0.2, 0.03143877776953241),
        (50.0, 0.28, 0.0005850122324396745),
        (50.0, 0.45, 9.261187857225947e-10),
        (140.0, 0.003, 1.0),
        (140.0, 0.0068, 1.0),
        (140.0, 0.06, 0.6719092248862638),
        (140.0, 0.12, 0.03252638258561632),
        (140.0, 0.165, 0.0008458071085063383),
        (140.0, 0.2, 2.1981563302200222e-05),
        (140.0, 0.6, 1.0052268370224967e-48),
        (141.0, 0.03, 0.9992107601012719),
        (141.0, 0.045, 0.925251190599722),
        (141.0, 0.05, 0.854845693009663),
        (141.0, 0.09, 0.19156768536655033),
        (141.0, 0.12, 0.03160060527758468),
        (141.0, 0.13, 0.015449346308454497),
        (500.0, 0.01, 0.9999999991073389),
        (500.0, 0.03, 0.7473166700457021),
        (500.0, 0.06, 0.05243463489026223),
        (500.0, 0.067, 0.021427906855177276),
        (500.0, 0.2, 5.256835361945869e-18),
        (3000.0, 0.005, 0.9999990772892733),
        (3000.0, 0.012, 0.77592168192869),
        (3000.0, 0.0248, 0.04910106749226717),
        (3000.0, 0.04, 0.0001315351297447678),
        (50000.0, 0.0005, 1.0),
        (50000.0, 0.001, 0.9999999997471354),
        (50000.0, 0.004, 0.3994316646755731),
        (50000.0, 0.0068, 0.019537625247332158),
        (200000.0, 0.002, 0.39995085369038097),
        (200000.0, 0.0031, 0.04272661808355549),
        (200000.0, 0.0035, 0.014858338517072333),
    ];
}
