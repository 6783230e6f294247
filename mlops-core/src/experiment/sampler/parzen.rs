//! A density over several parameters, as the mean of one product of kernels per trial.
//!
//! Numbers have normal kernels truncated to their range, options have kernels that lift the observed one. The formulas are those
//! of Optuna 5.0's Parzen estimator, with its defaults; the comparison is in `tests/sampler_reference.rs`.
//!
//! Source: Watanabe, "Tree-structured Parzen estimator: understanding its algorithm components and their roles for better
//! empirical performance" (2023), arXiv 2304.11127.

use std::f64::consts::LOG2_E;

use super::axis::{Axis, Number};
use super::tpe::WidthFloor;
use crate::experiment::space::normal::{Truncated, mass};
use crate::num::Random;

/// √2π.
const SQRT_TAU: f64 = 2.506_628_274_631_000_7;

/// A place in a space of axes, ready to have its density computed.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// On a line.
    Point(f64),
    /// A cell of a line: between two places.
    Cell(f64, f64),
    /// The number of an option.
    Option(usize),
}

/// The mean of the kernels of n trials, by their weights, and of the prior.
#[derive(Debug)]
pub(super) struct Parzen<'a> {
    axes: &'a [Axis<'a>],
    /// Of each trial, and last of the prior; they add up to one.
    weights: Vec<f64>,
    ln_weights: Vec<f64>,
    kernels: Vec<Kernels>,
}

/// The kernels along one axis.
#[derive(Debug)]
enum Kernels {
    /// Middles, widths and their reciprocals, the laws truncated to the range, and the logarithms of the densities' greatest
    /// values.
    Numbers { mu: Vec<f64>, sigma: Vec<f64>, inverse: Vec<f64>, cut: Vec<Truncated>, ln_peak: Vec<f64> },
    /// The observed options, the probability of an observed one, and of each other.
    Options { observed: Vec<usize>, hit: f64, miss: f64 },
}

impl<'a> Parzen<'a> {
    /// The density of trials in the order of their numbers; a row of `rows` has the places of one, axis by axis. O(n log n) for each
    /// axis.
    pub(super) fn new(axes: &'a [Axis<'a>], rows: &[&[f64]], prior_weight: f64, floor: WidthFloor) -> Self {
        let column = |at: usize| rows.iter().map(move |row| row.get(at).copied().unwrap_or_default());
        let kernels = axes.iter().enumerate().map(|(at, axis)| match axis {
            Axis::Number(number) => Kernels::numbers(number, column(at).collect(), floor),
            Axis::Options(options) => Kernels::options(options.len(), column(at), rows.len(), prior_weight),
        });
        let weights = weights(rows.len(), prior_weight);
        let ln_weights = weights.iter().map(|weight| weight.ln()).collect();
        Self { axes, kernels: kernels.collect(), weights, ln_weights }
    }

    /// Draws a place from the density.
    pub(super) fn draw(&self, random: &mut Random) -> Vec<f64> {
        let kernel = pick(&self.weights, random.next_f64());
        let along = |(axis, kernels): (&Axis<'_>, &Kernels)| match (axis, kernels) {
            (Axis::Number(number), Kernels::Numbers { mu, sigma, cut, .. }) => {
                let p = super::random::inner(random.next_u64());
                let z = cut.get(kernel).map_or(0.0, |cut| cut.quantile(p));
                (at(mu, kernel) + at(sigma, kernel) * z).clamp(number.low, number.high)
            }
            (Axis::Options(options), Kernels::Options { observed, hit, miss }) => {
                let p = random.next_f64();
                match observed.get(kernel) {
                    // The observed one beyond what all have, and each alike.
                    Some(observed) if p < hit - miss => *observed as f64,
                    Some(_) => even((p - (hit - miss)) / (1.0 - (hit - miss)), options.len()),
                    None => even(p, options.len()),
                }
            }
            _ => 0.0,
        };
        self.axes.iter().zip(&self.kernels).map(along).collect()
    }

    /// The logarithms of the densities of places; of a cell, of its mass.
    pub(super) fn ln_densities(&self, places: &[Vec<Place>]) -> Vec<f64> {
        let kernels = self.ln_weights.len().max(1);
        // One row of terms for each place.
        let mut terms = self.ln_weights.repeat(places.len());
        for (at, (axis, along)) in self.axes.iter().zip(&self.kernels).enumerate() {
            // Candidates on a grid often share a cell, and a cell costs most.
            let mut seen: Vec<((f64, f64), Vec<f64>)> = Vec::new();
            let places = places.iter().filter_map(|place| place.get(at));
            for (row, place) in terms.chunks_exact_mut(kernels).zip(places) {
                let Place::Cell(from, to) = *place else {
                    along.add_ln_density(axis, place, row);
                    continue;
                };
                if !seen.iter().any(|(cell, _)| *cell == (from, to)) {
                    let mut fresh = vec![0.0; row.len()];
                    along.add_ln_density(axis, place, &mut fresh);
                    seen.push(((from, to), fresh));
                }
                if let Some((_, known)) = seen.iter().find(|(cell, _)| *cell == (from, to)) {
                    row.iter_mut().zip(known).for_each(|(sum, term)| *sum += term);
                }
            }
        }
        terms.chunks_exact_mut(kernels).map(ln_sum_exp).collect()
    }

    /// Middles and widths along an axis of numbers, the prior's last.
    #[cfg(test)]
    pub(super) fn numbers(&self, axis: usize) -> Option<(&[f64], &[f64])> {
        match self.kernels.get(axis)? {
            Kernels::Numbers { mu, sigma, .. } => Some((mu, sigma)),
            Kernels::Options { .. } => None,
        }
    }

    /// The weights, the prior's last.
    #[cfg(test)]
    pub(super) fn weights(&self) -> &[f64] {
        &self.weights
    }
}

impl Kernels {
    fn numbers(number: &Number<'_>, mut mu: Vec<f64>, floor: WidthFloor) -> Self {
        let mut sigma = widths(&mu, number, floor);
        mu.push(number.centre);
        sigma.push(number.width);
        let inverse: Vec<f64> = sigma.iter().map(|sigma| sigma.recip()).collect();
        let cut = |(mu, inverse): (&f64, &f64)| {
            Truncated::new((number.low - mu) * inverse, (number.high - mu) * inverse)
        };
        let cut: Vec<Truncated> = mu.iter().zip(&inverse).map(cut).collect();
        let peak = |(sigma, cut): (&f64, &Truncated)| -(SQRT_TAU * sigma * cut.mass()).ln();
        let ln_peak = sigma.iter().zip(&cut).map(peak).collect();
        Self::Numbers { mu, sigma, inverse, cut, ln_peak }
    }

    fn options(count: usize, column: impl Iterator<Item = f64>, trials: usize, prior_weight: f64) -> Self {
        #[expect(clippy::cast_sign_loss, reason = "the number of an option, as it was encoded")]
        let observed = column.map(|place| place as usize).collect();
        let share = prior_weight / (trials as f64 + 1.0);
        let total = 1.0 + share * count as f64;
        Self::Options { observed, hit: (1.0 + share) / total, miss: share / total }
    }

    fn add_ln_density(&self, axis: &Axis<'_>, place: &Place, terms: &mut [f64]) {
        match (self, place) {
            (Self::Numbers { mu, inverse, ln_peak, .. }, Place::Point(x)) => {
                for (((term, mu), inverse), peak) in terms.iter_mut().zip(mu).zip(inverse).zip(ln_peak) {
                    let z = (x - mu) * inverse;
                    *term += peak - 0.5 * z * z;
                }
            }
            // Every place lies in the range of the prior, whose mass is never small, so that nought for a kernel far off does
            // no harm.
            (Self::Numbers { mu, inverse, cut, .. }, Place::Cell(from, to)) => {
                for (((term, mu), inverse), cut) in terms.iter_mut().zip(mu).zip(inverse).zip(cut) {
                    *term += (mass((from - mu) * inverse, (to - mu) * inverse) / cut.mass()).ln();
                }
            }
            (Self::Options { observed, hit, miss }, Place::Option(option)) => {
                let (ln_hit, ln_miss) = (hit.ln(), miss.ln());
                let Axis::Options(options) = axis else { return };
                let ln_prior = -(options.len() as f64).ln();
                for (i, term) in terms.iter_mut().enumerate() {
                    *term += match observed.get(i) {
                        Some(observed) if observed == option => ln_hit,
                        Some(_) => ln_miss,
                        None => ln_prior,
                    };
                }
            }
            _ => {}
        }
    }
}

/// One for each trial, but less for old ones beyond the newest 25: from 1/n evenly up to 1. Then the prior's. They are made
/// to add up to one.
fn weights(trials: usize, prior_weight: f64) -> Vec<f64> {
    if trials == 0 {
        return vec![1.0];
    }
    let old = trials.saturating_sub(25);
    let first = 1.0 / trials as f64;
    let mut weights = vec![1.0; trials];
    for (i, weight) in weights.iter_mut().take(old).enumerate() {
        let part = if old == 1 { 0.0 } else { i as f64 / (old - 1) as f64 };
        *weight = first + part * (1.0 - first);
    }
    weights.push(prior_weight);
    let total: f64 = weights.iter().sum();
    for weight in &mut weights {
        *weight /= total;
    }
    weights
}

/// The width of each kernel: the distance to the farther of its two neighbours, the ends of the range counted, but the inner
/// neighbour for the outermost. At least the floor, and at most the range.
fn widths(mu: &[f64], number: &Number<'_>, floor: WidthFloor) -> Vec<f64> {
    let mut sorted: Vec<(f64, usize)> = mu.iter().copied().zip(0..).collect();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let least = match floor {
        WidthFloor::Share(share) => number.width * share,
        WidthFloor::Kernels => number.width / (mu.len() as f64 + 2.0).min(100.0),
    };
    let mut sigma = vec![0.0; mu.len()];
    for (rank, (here, index)) in sorted.iter().enumerate() {
        let below = rank.checked_sub(1).and_then(|rank| sorted.get(rank)).map(|(below, _)| here - below);
        let above = sorted.get(rank + 1).map(|(above, _)| above - here);
        let width = match (below, above) {
            (None, None) => (here - number.low).max(number.high - here),
            (below, above) => below.unwrap_or(0.0).max(above.unwrap_or(0.0)),
        };
        if let Some(sigma) = sigma.get_mut(*index) {
            *sigma = width.clamp(least, number.width);
        }
    }
    sigma
}

fn at(values: &[f64], index: usize) -> f64 {
    values.get(index).copied().unwrap_or_default()
}

/// Which of the weights, laid end to end, a number in [0, 1) falls on.
fn pick(weights: &[f64], p: f64) -> usize {
    let mut sum = 0.0;
    let reached = |weight: &f64| {
        sum += weight;
        p < sum
    };
    weights.iter().position(reached).unwrap_or(weights.len().saturating_sub(1))
}

/// Which of `count` equal parts.
fn even(p: f64, count: usize) -> f64 {
    crate::experiment::space::law::index(p, count as u64) as f64
}

/// ln Σ exp, of terms at any depth. The terms are lost.
fn ln_sum_exp(terms: &mut [f64]) -> f64 {
    let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    for term in terms.iter_mut() {
        *term = exp_below_zero(*term - most);
    }
    most + terms.iter().sum::<f64>().ln()
}

/// e^x for x ≤ 0, to the last digit but one; 0 below −700. Without branches, so that the compiler makes vectors of a loop.
fn exp_below_zero(x: f64) -> f64 {
    // Adding and taking away 1.5 · 2^52 rounds to a whole number.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let within = x.max(-700.0);
    let shifted = within * LOG2_E + ROUND;
    let power = shifted - ROUND;
    let r = (within - power * LN_2_HIGH) - power * LN_2_LOW;
    // Taylor's series on |r| ≤ ½ ln 2; the first term left out is below 2^-57.
    let mut sum = 1.0 / 6_227_020_800.0;
    for factorial in [
        479_001_600.0,
        39_916_800.0,
        3_628_800.0,
        362_880.0,
        40_320.0,
        5_040.0,
        720.0,
        120.0,
        24.0,
        6.0,
        2.0,
        1.0,
        1.0,
    ] {
        sum = sum * r + 1.0 / factorial;
    }
    // The whole number stands in the low bits of the shifted one; into the exponent with it.
    let scale = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    if x < -700.0 { 0.0 } else { sum * scale }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::experiment::space::{SearchSpace, Value};

    #[derive(Deserialize)]
    struct Reference {
        tool: String,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        space: SearchSpace,
        rows: Vec<Vec<Value>>,
        places: Vec<Vec<Value>>,
        weights: Vec<f64>,
        kernels: Vec<Kernel>,
        ln_density: Vec<f64>,
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Kernel {
        Numbers { mu: Vec<f64>, sigma: Vec<f64> },
        Options { probabilities: Vec<Vec<f64>> },
    }

    fn near(ours: f64, theirs: f64) -> bool {
        (ours - theirs).abs() <= 1e-12 * theirs.abs().max(1.0)
    }

    /// Optuna 5.0.0, `_ParzenEstimator`, by `tests/reference/make_parzen.py`.
    #[test]
    fn kernels_weights_and_densities_are_those_of_optuna() {
        let text = include_str!("../../../tests/reference/parzen.json");
        let reference: Reference = serde_json::from_str(text).unwrap();
        assert_eq!(reference.tool, "optuna 5.0.0");
        assert!(reference.cases.len() >= 30);
        for (at, case) in reference.cases.iter().enumerate() {
            let axes: Vec<Axis<'_>> = case.space.iter().map(|(_, law)| Axis::new(law).unwrap()).collect();
            let encode = |row: &Vec<Value>| {
                let places = axes.iter().zip(row).map(|(axis, value)| axis.encode(value).unwrap());
                places.collect::<Vec<f64>>()
            };
            let rows: Vec<Vec<f64>> = case.rows.iter().map(encode).collect();
            let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
            let parzen = Parzen::new(&axes, &rows, 1.0, WidthFloor::Kernels);
            assert!(parzen.weights().iter().zip(&case.weights).all(|(a, b)| near(*a, *b)), "case {at}");
            for (axis, kernel) in case.kernels.iter().enumerate() {
                match kernel {
                    Kernel::Numbers { mu, sigma } => {
                        let (ours, widths) = parzen.numbers(axis).unwrap();
                        assert_eq!((ours.len(), widths.len()), (mu.len(), sigma.len()));
                        assert!(
                            ours.iter().zip(mu).all(|(a, b)| near(*a, *b)),
                            "case {at}: {ours:?} is not {mu:?}"
                        );
                        assert!(
                            widths.iter().zip(sigma).all(|(a, b)| near(*a, *b)),
                            "case {at}: {widths:?}, {sigma:?}"
                        );
                    }
                    Kernel::Options { probabilities } => {
                        let Some(Kernels::Options { observed, hit, miss }) = parzen.kernels.get(axis) else {
                            panic!("case {at}")
                        };
                        for (row, observed) in probabilities.iter().zip(observed) {
                            for (option, p) in row.iter().enumerate() {
                                assert!(
                                    near(if option == *observed { *hit } else { *miss }, *p),
                                    "case {at}"
                                );
                            }
                        }
                    }
                }
            }
            let places: Vec<Vec<Place>> = case
                .places
                .iter()
                .map(|row| {
                    let place = |(axis, value): (&Axis<'_>, &Value)| match axis {
                        Axis::Number(number) if number.is_discrete => {
                            let (from, to) = number.cell(value);
                            Place::Cell(from, to)
                        }
                        Axis::Number(_) => Place::Point(axis.encode(value).unwrap()),
                        Axis::Options(options) => {
                            let place = axis.encode(value).unwrap();
                            Place::Option((0..options.len()).find(|i| *i as f64 == place).unwrap())
                        }
                    };
                    axes.iter().zip(row).map(place).collect()
                })
                .collect();
            for (ours, theirs) in parzen.ln_densities(&places).iter().zip(&case.ln_density) {
                assert!(near(*ours, *theirs), "case {at}: {ours} is not {theirs}");
            }
        }
    }

    #[test]
    fn the_exponential_is_that_of_the_library_to_the_last_digit_but_one() {
        for i in 0..200_000 {
            let x = -f64::from(i) * 0.0035;
            let (ours, theirs) = (exp_below_zero(x), x.exp());
            assert!((ours - theirs).abs() <= 4.0 * f64::EPSILON * theirs, "{x}: {ours} is not {theirs}");
        }
        assert_eq!((exp_below_zero(0.0), exp_below_zero(-701.0)), (1.0, 0.0));
        assert_eq!(exp_below_zero(f64::NEG_INFINITY), 0.0);
    }

    /// The share of draws in each tenth of the range against the density's own mass there: Pearson's χ² with 9 degrees of
    /// freedom, whose 0.999 quantile is 27.9.
    #[test]
    fn draws_follow_the_density() {
        let space = SearchSpace::new([
            ("n", crate::experiment::space::Distribution::int(0, 9)),
            ("x", crate::experiment::space::Distribution::float(0.0, 1.0)),
        ])
        .unwrap();
        let axes: Vec<Axis<'_>> = space.iter().map(|(_, law)| Axis::new(law).unwrap()).collect();
        let rows: Vec<&[f64]> = vec![&[3.0, 0.1], &[4.0, 0.15], &[9.0, 0.9]];
        let parzen = Parzen::new(&axes, &rows, 1.0, WidthFloor::Kernels);
        let mut random = Random::new(3);
        let draws: Vec<Vec<f64>> = (0..20_000).map(|_| parzen.draw(&mut random)).collect();
        // One axis alone, so that its masses are those of cells.
        let alone = Parzen::new(&axes[..1], &rows, 1.0, WidthFloor::Kernels);
        let mut chi2 = 0.0;
        for n in 0..10_i64 {
            let Axis::Number(number) = &axes[0] else { panic!("no number") };
            let (from, to) = number.cell(&Value::Int(n));
            let mass = alone.ln_densities(&[vec![Place::Cell(from, to)]])[0].exp();
            let count = draws.iter().filter(|row| number.decode(row[0]) == Value::Int(n)).count() as f64;
            chi2 += (count - 20_000.0 * mass).powi(2) / (20_000.0 * mass);
        }
        assert!(chi2 < 27.9, "{chi2}");
    }
}
