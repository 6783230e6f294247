//! Random counts: binomial, Poisson, multinomial.

use mlops_core::num::Random;
use mlops_core::num::special::Binomial;
use statrs::function::gamma::ln_gamma;

/// From this mean on, a count is drawn by rejection; below, by walking the probabilities up from 0.
const WALK_BELOW: f64 = 10.0;

/// A count of successes among n trials: inversion for a small mean, otherwise Hörmann's transformed rejection (*The generation of
/// binomial random variates*, Journal of Statistical Computation and Simulation 46, 1993). Exact but for the rounding of
/// probabilities.
pub(super) fn binomial(random: &mut Random, n: u64, p: f64) -> u64 {
    if n == 0 || p <= 0.0 {
        return 0;
    }
    if p >= 1.0 {
        return n;
    }
    if p > 0.5 {
        return n - binomial(random, n, 1.0 - p);
    }
    if n as f64 * p < WALK_BELOW {
        return binomial_by_walk(random, n, p);
    }
    let law = Binomial { trials: n, probability: p };
    let (size, mean) = (n as f64, n as f64 * p);
    let spread = (mean * (1.0 - p)).sqrt();
    let b = 1.15 + 2.53 * spread;
    let a = -0.0873 + 0.0248 * b + 0.01 * p;
    let hat = Hat { a, b, center: mean + 0.5, sure: 0.92 - 4.2 / b, left: 0.0 };
    let alpha = (2.83 + 5.1 / b) * spread;
    let ln_mode = law.ln_pmf(whole(((size + 1.0) * p).floor()));
    hat.draw(random, size, |k, v, us| {
        (v * alpha / (a / (us * us) + b)).ln() <= law.ln_pmf(whole(k)) - ln_mode
    })
}

fn binomial_by_walk(random: &mut Random, n: u64, p: f64) -> u64 {
    let odds = p / (1.0 - p);
    let mut term = (n as f64 * (-p).ln_1p()).exp();
    let mut u = random.next_f64();
    let mut k = 0;
    while u >= term && k < n && k < 1000 {
        u -= term;
        term *= odds * ((n - k) as f64 / (k + 1) as f64);
        k += 1;
    }
    k
}

/// A Poisson count: inversion for a small mean, otherwise Hörmann's transformed rejection (*The transformed rejection method for
/// generating Poisson random variables*, Insurance: Mathematics and Economics 12, 1993).
pub(super) fn poisson(random: &mut Random, mean: f64) -> u64 {
    if mean <= 0.0 {
        return 0;
    }
    if mean < WALK_BELOW {
        let (mut term, mut u, mut k) = ((-mean).exp(), random.next_f64(), 0_u64);
        while u >= term && k < 1000 {
            u -= term;
            k += 1;
            term *= mean / k as f64;
        }
        return k;
    }
    let b = 0.931 + 2.53 * mean.sqrt();
    let a = -0.059 + 0.02483 * b;
    let hat = Hat { a, b, center: mean + 0.43, sure: 0.9277 - 3.6224 / (b - 2.0), left: 0.013 };
    let scale = 1.1239 + 1.1328 / (b - 3.4);
    let ln_mean = mean.ln();
    hat.draw(random, f64::INFINITY, |k, v, us| {
        (v * scale / (a / (us * us) + b)).ln() <= k * ln_mean - mean - ln_gamma(k + 1.0)
    })
}

/// The table mountain that both rejections draw from.
struct Hat {
    a: f64,
    b: f64,
    center: f64,
    sure: f64,
    left: f64,
}

impl Hat {
    fn draw(&self, random: &mut Random, most: f64, accepts: impl Fn(f64, f64, f64) -> bool) -> u64 {
        // Each round accepts with a probability above one half.
        for _ in 0..1000 {
            let (u, v) = (random.next_f64() - 0.5, random.next_f64());
            let us = 0.5 - u.abs();
            let k = ((2.0 * self.a / us + self.b) * u + self.center).floor();
            if !(0.0..=most).contains(&k) || (us < self.left && v > us) {
                continue;
            }
            if (us >= 0.07 && v <= self.sure) || accepts(k, v, us) {
                return whole(k);
            }
        }
        whole(self.center)
    }
}

#[expect(clippy::cast_sign_loss, reason = "counts are not negative, and the cast saturates")]
fn whole(k: f64) -> u64 {
    k as u64
}

/// How n rows drawn with replacement fall into cells of these sizes, n being their sum; one binomial a cell.
pub(super) fn multinomial<const C: usize>(random: &mut Random, cells: &[u64; C]) -> [u64; C] {
    let mut left_rows: u64 = cells.iter().sum();
    let mut left_share = left_rows;
    let mut drawn = [0; C];
    for (count, &size) in drawn.iter_mut().zip(cells) {
        if left_share == 0 {
            break;
        }
        *count = if size == left_share {
            left_rows
        } else {
            binomial(random, left_rows, size as f64 / left_share as f64)
        };
        left_rows -= *count;
        left_share -= size;
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pearson's χ² of the draws against the law, over cells of at least 5 expected; far beyond the 0.9999 quantile only if wrong.
    fn fits(draws: impl Iterator<Item = u64>, pmf: impl Fn(u64) -> f64, context: &str) {
        let draws: Vec<u64> = draws.collect();
        let n = draws.len() as f64;
        let most = draws.iter().copied().max().unwrap();
        let mut counts = vec![0.0; usize::try_from(most).unwrap() + 1];
        draws.iter().for_each(|k| counts[usize::try_from(*k).unwrap()] += 1.0);
        let (mut chi2, mut cells, mut rest_seen, mut rest_expected) = (0.0_f64, 0.0_f64, n, n);
        for (k, seen) in (0..).zip(&counts) {
            let expected = n * pmf(k);
            if expected >= 5.0 {
                chi2 += (seen - expected) * (seen - expected) / expected;
                cells += 1.0;
                rest_seen -= seen;
                rest_expected -= expected;
            }
        }
        assert!((rest_seen - rest_expected).abs() < 6.0 * rest_expected.max(1.0).sqrt() + 3.0, "{context}");
        assert!(chi2 < cells + 5.0 * (2.0 * cells).sqrt() + 10.0, "{context}: {chi2} over {cells} cells");
    }

    #[test]
    fn counts_follow_their_laws() {
        for (n, p) in [(1, 0.3), (30, 0.1), (100, 0.5), (100, 0.93), (5000, 0.5), (1_000_000, 0.000_05)] {
            let mut random = Random::new(5).stream("binomial");
            let law = Binomial { trials: n, probability: p };
            fits(
                (0..20_000).map(|_| binomial(&mut random, n, p)),
                |k| law.ln_pmf(k).exp(),
                &format!("{n} {p}"),
            );
        }
        for mean in [0.5_f64, 3.0, 10.5, 40.0, 900.0] {
            let mut random = Random::new(6).stream("poisson");
            let pmf = |k: u64| (k as f64 * mean.ln() - mean - ln_gamma(k as f64 + 1.0)).exp();
            fits((0..20_000).map(|_| poisson(&mut random, mean)), pmf, &format!("{mean}"));
        }
    }

    #[test]
    fn cells_keep_their_sum_and_empty_ones_stay_empty() {
        let cells = [5, 0, 100, 40_000, 0, 1, 7, 0];
        let mut random = Random::new(1);
        let mut means = [0.0; 8];
        for _ in 0..2000 {
            let drawn = multinomial(&mut random, &cells);
            assert_eq!(drawn.iter().sum::<u64>(), cells.iter().sum::<u64>());
            assert!(drawn[1] == 0 && drawn[4] == 0 && drawn[7] == 0);
            means.iter_mut().zip(drawn).for_each(|(mean, k)| *mean += k as f64 / 2000.0);
        }
        for (mean, cell) in means.iter().zip(cells) {
            assert!((mean - cell as f64).abs() < 5.0 * (cell as f64 / 2000.0).sqrt() + 1e-12, "{means:?}");
        }
        assert_eq!(multinomial(&mut random, &[0_u64; 3]), [0; 3]);
    }
}
