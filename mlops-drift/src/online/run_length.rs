//! How many values pass between two alarms: the average run length of a detector, and thresholds from it.
//!
//! Without drift the run length is the distance between false alarms, with drift it is the delay of detection. Three methods:
//!
//! - **Integral equation** ([`cusum`], [`ewma`]) for normal values: a sum over Gauss–Legendre nodes in its place (Crowder, *A simple
//!   method for studying run-length distributions of exponentially weighted moving average charts*, Technometrics 29, 1987), solved
//!   without cancellation. To 1e-11, relatively, whatever the run length. Where the limits are more than 1000 standard deviations of
//!   one step apart (h > 1000; λ < 3.2e-5 for L = 4) the run length of a diffusion with Siegmund's correction of the limits, to 1 %.
//! - **Markov chain** (`for_run_length` of [`Cusum`](super::Cusum), [`Ewma`](super::Ewma) and
//!   [`PageHinkley`](super::PageHinkley)) for the values of a sample: the range of the statistic is cut into cells; with the
//!   probabilities Q of moving between them without an alarm the run lengths are (I − Q)⁻¹·1 (Brook, Evans, *An approach to the
//!   probability distribution of cusum run length*, Biometrika 59, 1972). Exact but for the width of the cells, which makes run
//!   lengths too short: by 1 % at 10⁴ values, by 1 to 3 % at 10⁶.
//! - **Simulation** ([`simulate`]) where there is no theory: alarms are counted on streams drawn from an explicit seed. The
//!   constructors `for_run_length` search for a setting with 128 expected alarms each, in streams of four times the wanted
//!   run length, so that what they achieve lies within a factor of 1.5 of what was wanted. Cost: some 1500 updates times the
//!   wanted run length.
//!
//! [`Ddm`](super::Ddm), [`Eddm`](super::Eddm) and [`HddmA`](super::HddmA) compare with everything since the last alarm; without
//! drift their alarms become rarer the longer a stream lasts, so that there the length of the streams is part of the definition.
//!
//! Values are taken to be independent. A stream with memory (seasons, autocorrelation) alarms more often.
//!
//! # Errors of the constructors
//! [`StatsError::Parameter`] for a run length outside [10, 1e9] (1e6 where it is simulated), or one that no setting of the
//! detector gives; for an error rate outside (0, 1).

use mlops_core::num::{Measured, Random, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::{OnlineDetector, OnlineState, check};

mod normal;

/// Alarms counted on a number of values.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunLength {
    /// How many values were taken.
    pub values: u64,
    /// How many of them were alarms.
    pub alarms: u64,
    /// Values per alarm; undefined without an alarm. Its relative standard error is about 1/√alarms.
    pub mean: Measured,
}

/// How streams are simulated.
///
/// ```
/// use mlops_drift::online::run_length::Trials;
///
/// let trials = Trials::default().with_streams(8).with_length(1_000);
/// assert_eq!((trials.streams, trials.length, trials.seed), (8, 1_000, 0));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trials {
    /// How many streams. Default: 32.
    pub streams: u64,
    /// How many values each has. Default: 10 000.
    pub length: u64,
    /// The seed they are drawn from. Default: 0.
    pub seed: u64,
}

impl Default for Trials {
    fn default() -> Self {
        Self { streams: 32, length: 10_000, seed: 0 }
    }
}

impl Trials {
    /// With so many streams.
    #[must_use]
    pub fn with_streams(mut self, streams: u64) -> Self {
        self.streams = streams;
        self
    }

    /// With so many values each.
    #[must_use]
    pub fn with_length(mut self, length: u64) -> Self {
        self.length = length;
        self
    }

    /// With this seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

/// Counts the alarms of a detector on simulated streams, each begun by a detector that has seen nothing.
///
/// # Errors
/// What the detector says to a value.
///
/// ```
/// use mlops_drift::online::run_length::{Trials, simulate};
/// use mlops_drift::online::Eddm;
///
/// // Stable streams with one error in five: the defaults of EDDM are no defaults to alarm anybody with.
/// let error = |random: &mut mlops_core::num::Random| f64::from(u8::from(random.next_f64() < 0.2));
/// let found = simulate(&Eddm::default(), error, Trials::default().with_streams(4))?;
/// assert!(found.mean.value().is_some_and(|arl| arl < 1000.0));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn simulate<D: OnlineDetector + Clone>(
    detector: &D,
    mut draw: impl FnMut(&mut Random) -> f64,
    trials: Trials,
) -> Result<RunLength, StatsError> {
    let (mut values, mut alarms) = (0, 0);
    let (mut detector, root) = (detector.clone(), Random::new(trials.seed));
    for stream in 0..trials.streams {
        let mut random = root.nth(stream);
        detector.reset();
        for _ in 0..trials.length {
            alarms += u64::from(detector.update(draw(&mut random))?.is_drift());
        }
        values += trials.length;
    }
    let mean = match alarms {
        0 => Measured::none(UndefinedReason::TooFew, 0, 1),
        _ => Measured::Value(values as f64 / alarms as f64),
    };
    Ok(RunLength { values, alarms, mean })
}

/// The average run length of the two-sided [`Cusum`](super::Cusum) on normal values with standard deviation 1 and mean `shift`
/// off the target, from a start at 0. Agrees with mpmath 1.4.1 (Nyström's method at 40 digits) to 1e-11, relatively; to 1 % for h
/// beyond 1000. O(h) up to there.
///
/// # Errors
/// [`StatsError::Parameter`] for a slack below 0, a threshold that is not positive, or a shift that is not finite.
///
/// ```
/// // Montgomery, Introduction to Statistical Quality Control, table 9.3: k = 1/2, h = 5 gives 465 and, for one sigma, 10.4.
/// use mlops_drift::online::run_length::cusum;
/// assert!((cusum(0.5, 5.0, 0.0)? - 465.0).abs() < 4.0);
/// assert!((cusum(0.5, 5.0, 1.0)? - 10.4).abs() < 0.1);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn cusum(slack: f64, threshold: f64, shift: f64) -> Result<f64, StatsError> {
    check::not_negative("slack", slack)?;
    check::positive("threshold", threshold)?;
    check::option("shift", shift, shift.abs() <= check::LIMIT, "must be finite")?;
    Ok(normal::cusum(slack, threshold, shift))
}

/// The average run length of [`Ewma`](super::Ewma) on normal values with standard deviation 1 and mean `shift` off the target,
/// from a start at the target. Agrees with mpmath 1.4.1 (Nyström's method at 40 digits) to 1e-11, relatively; to 1 % for limits
/// further apart than 2L/√(λ(2 − λ)) = 1000 standard deviations of one value's part. O(L/√λ) up to there.
///
/// # Errors
/// [`StatsError::Parameter`] for λ outside (0, 1], a limit that is not positive, or a shift that is not finite.
///
/// ```
/// // Lucas and Saccucci, Technometrics 32, 1990, table 3: λ = 0.1, L = 2.814 gives 500 and, for one sigma, 10.3.
/// use mlops_drift::online::run_length::ewma;
/// assert!((ewma(0.1, 2.814, 0.0)? - 500.0).abs() < 5.0);
/// assert!((ewma(0.1, 2.814, 1.0)? - 10.3).abs() < 0.1);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn ewma(lambda: f64, limit: f64, shift: f64) -> Result<f64, StatsError> {
    check::option("lambda", lambda, lambda > 0.0 && lambda <= 1.0, "must lie in (0, 1]")?;
    check::positive("limit", limit)?;
    check::option("shift", shift, shift.abs() <= check::LIMIT, "must be finite")?;
    Ok(normal::ewma(lambda, limit, shift))
}

/// The law of standardised values without drift: values in ascending order, each as likely as the others.
pub(super) struct Law(pub(super) Vec<f64>);

impl Law {
    /// P(z ≤ x).
    fn below(&self, x: f64) -> f64 {
        self.0.partition_point(|&z| z <= x) as f64 / self.0.len() as f64
    }

    /// The law of −z.
    fn mirrored(&self) -> Self {
        Self(self.0.iter().rev().map(|z| -z).collect())
    }

    /// The run length of the two-sided CUSUM: false alarms of the two sides add up as rates.
    pub(super) fn cusum(&self, slack: f64, threshold: f64) -> f64 {
        let [up, down] = [self.one_sided(slack, threshold), self.mirrored().one_sided(slack, threshold)];
        1.0 / (1.0 / up + 1.0 / down)
    }

    fn one_sided(&self, slack: f64, threshold: f64) -> f64 {
        // Cells of a tenth of a standard deviation where that is affordable; the first is centred at 0, the last ends at the
        // threshold.
        let cells = (10.0 * threshold).clamp(50.0, 200.0).ceil();
        let width = 2.0 * threshold / (2.0 * cells - 1.0);
        #[expect(clippy::cast_sign_loss, reason = "between 50 and 200")]
        let n = cells as usize;
        let steps = self.steps(slack, width, n);
        run_lengths(n, |from, to| {
            let at = n + to - from;
            if to == 0 { steps[at] } else { steps[at] - steps[at - 1] }
        })
        .first()
        .copied()
        // A side that is never left makes I − Q singular.
        .filter(|length| *length > 0.0 && *length < 1e15)
        .unwrap_or(f64::INFINITY)
    }

    /// P(z − slack moves by at most j cells) for j from −n to n − 1.
    fn steps(&self, slack: f64, width: f64, n: usize) -> Vec<f64> {
        let mut steps = vec![0.0; 2 * n];
        let share = 1.0 / self.0.len() as f64;
        for z in &self.0 {
            // Each value is shared between the two cells beside it, which keeps its mean: rounding the few values of a discrete
            // column to cells would give it a drift.
            let at = ((z - slack) / width + n as f64).max(0.0);
            let part = at - at.floor();
            #[expect(clippy::cast_sign_loss, reason = "not negative, and the cast saturates")]
            let cell = at as usize;
            for (cell, part) in [(cell, 1.0 - part), (cell.saturating_add(1), part)] {
                if let Some(step) = steps.get_mut(cell) {
                    *step += part * share;
                }
            }
        }
        let mut below = 0.0;
        steps.iter_mut().for_each(|step| {
            below += *step;
            *step = below;
        });
        steps
    }

    pub(super) fn ewma(&self, lambda: f64, limit: f64) -> f64 {
        let half = limit * (lambda / (2.0 - lambda)).sqrt();
        // An odd number, so that one is centred at the start; of an eighth of the values' part each where that is affordable.
        #[expect(clippy::cast_sign_loss, reason = "between 50 and 150")]
        let n = 2 * (8.0 * half / lambda).clamp(50.0, 150.0) as usize + 1;
        let width = 2.0 * half / n as f64;
        let edge = |cell: usize| -half + cell as f64 * width;
        let lengths = run_lengths(n, |from, to| {
            let kept = (1.0 - lambda) * (edge(from) + 0.5 * width);
            self.below((edge(to + 1) - kept) / lambda) - self.below((edge(to) - kept) / lambda)
        });
        // As for the CUSUM: limits that are never left make I − Q singular.
        let length = lengths.get(n / 2).copied().filter(|length| *length > 0.0 && *length < 1e15);
        length.unwrap_or(f64::INFINITY)
    }
}

/// (I − Q)⁻¹·1 for the moves Q between n cells, by elimination without pivoting: I − Q is diagonally dominant.
fn run_lengths(n: usize, moves: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let row = |i: usize| (0..n).map(|j| f64::from(u8::from(i == j)) - moves(i, j)).collect();
    let mut rows: Vec<Vec<f64>> = (0..n).map(row).collect();
    let mut lengths = vec![1.0; n];
    for pivot in 0..n {
        let (above, below) = rows.split_at_mut(pivot + 1);
        let top = &above[pivot];
        for (offset, row) in below.iter_mut().enumerate() {
            let factor = row[pivot] / top[pivot];
            if factor == 0.0 {
                continue;
            }
            for (x, t) in row[pivot + 1..].iter_mut().zip(&top[pivot + 1..]) {
                *x -= factor * t;
            }
            lengths[pivot + 1 + offset] -= factor * lengths[pivot];
        }
    }
    for i in (0..n).rev() {
        let known: f64 = rows[i][i + 1..].iter().zip(&lengths[i + 1..]).map(|(x, l)| x * l).sum();
        lengths[i] = (lengths[i] - known) / rows[i][i];
    }
    lengths
}

/// The smallest parameter whose run length is the wanted one, for a run length that grows about exponentially.
pub(super) fn solve(arl: f64, start: f64, run_length: impl Fn(f64) -> f64) -> Result<f64, StatsError> {
    check::option("arl", arl, (10.0..=1e9).contains(&arl), "must lie in [10, 1e9]")?;
    // Rounding can make a run length beyond 1e14 negative.
    let excess = |x: f64| match run_length(x) {
        length if length > 0.0 && length.is_finite() => (length / arl).ln(),
        _ => f64::INFINITY,
    };
    let (mut low, mut high) = (0.0, start);
    while excess(high) < 0.0 {
        (low, high) = (high, high * 1.5);
        check::option("arl", arl, high < 1e4, "is longer than any setting of the detector gives")?;
    }
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        let over = excess(middle);
        if over < 0.0 {
            low = middle
        } else {
            high = middle
        }
        if (0.0..1e-3).contains(&over) || high - low < 1e-9 * high {
            break;
        }
    }
    Ok(high)
}

/// The search for a setting by simulation.
pub(super) struct Calibration {
    arl: f64,
    seed: u64,
}

impl Calibration {
    /// Expected alarms at the wanted run length.
    const ALARMS: u64 = 128;
    /// The length of a stream, in wanted run lengths.
    const HORIZON: u64 = 4;

    pub(super) fn new(arl: f64, seed: u64) -> Result<Self, StatsError> {
        check::option("arl", arl, (10.0..=1e6).contains(&arl), "must lie in [10, 1e6]")?;
        Ok(Self { arl, seed })
    }

    /// The detector with the smallest strictness in [low, high] whose run length is at least the wanted one.
    pub(super) fn loosest<D: OnlineDetector>(
        &self,
        mut low: f64,
        mut high: f64,
        make: impl Fn(f64) -> Result<D, StatsError>,
        draw: impl Fn(&mut Random) -> f64,
    ) -> Result<D, StatsError> {
        let long = |strictness: f64| self.long_enough(make(strictness)?, &draw);
        check::option(
            "arl",
            self.arl,
            !long(low)?,
            "is shorter than the loosest setting of the detector gives",
        )?;
        check::option("arl", self.arl, long(high)?, "is longer than any setting of the detector gives")?;
        while high > low * 1.01 {
            let middle = (low * high).sqrt();
            if long(middle)? { high = middle } else { low = middle }
        }
        make(high)
    }

    /// Whether there are no more alarms than expected; stops as soon as there are.
    fn long_enough<D: OnlineDetector>(
        &self,
        mut detector: D,
        draw: &impl Fn(&mut Random) -> f64,
    ) -> Result<bool, StatsError> {
        let root = Random::new(self.seed).stream("run length");
        #[expect(clippy::cast_sign_loss, reason = "a run length is at least 10")]
        let length = (self.arl * Self::HORIZON as f64) as u64;
        let mut alarms = 0;
        for stream in 0..Self::ALARMS / Self::HORIZON {
            let mut random = root.nth(stream);
            detector.reset();
            for _ in 0..length {
                alarms += u64::from(detector.update(draw(&mut random))? == OnlineState::Drift);
                if alarms > Self::ALARMS {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// A stream of errors at a constant rate.
pub(super) fn errors(rate: f64) -> Result<impl Fn(&mut Random) -> f64, StatsError> {
    check::open_unit("error_rate", rate)?;
    Ok(move |random: &mut Random| f64::from(u8::from(random.next_f64() < rate)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published values for normal data: Montgomery (table 9.3, two-sided CUSUM) and Lucas, Saccucci (1990, table 3).
    #[test]
    fn run_lengths_agree_with_published_tables() {
        for (slack, threshold, shift, arl) in
            [(0.5, 4.0, 0.0, 168.0), (0.5, 5.0, 0.0, 465.0), (0.5, 4.0, 1.0, 8.38), (0.5, 5.0, 2.0, 4.01)]
        {
            let got = cusum(slack, threshold, shift).unwrap();
            assert!((got / arl - 1.0).abs() < 0.002, "CUSUM {slack} {threshold} {shift}: {got} is not {arl}");
        }
        for (lambda, limit, arl) in
            [(0.05, 2.615, 500.0), (0.1, 2.814, 500.0), (0.25, 2.998, 500.0), (0.4, 3.054, 500.0)]
        {
            let got = ewma(lambda, limit, 0.0).unwrap();
            assert!((got / arl - 1.0).abs() < 0.001, "EWMA {lambda} {limit}: {got} is not {arl}");
        }
    }

    /// mpmath 1.4.1 at 40 digits: Nyström's method on one panel of Gauss–Legendre nodes, as many as change nothing any more.
    #[test]
    fn run_lengths_agree_with_a_converged_solution() {
        for (slack, threshold, shift, arl) in [
            (0.5, 4.0, 0.0, 167.683_788_813_615_6),
            (0.5, 5.0, 0.0, 465.443_506_032_061_8),
            (1.0, 12.0, 0.0, 64_495_386_809.008_71),
            (1.0, 2.0, 0.0, 129.336_462_063_192_7),
            (0.0, 10.0, 0.0, 62.330_782_055_585_07),
            (0.5, 4.0, 1.0, 8.383_131_870_495_148),
            (0.5, 5.0, 2.0, 4.008_871_061_031_075),
            (0.25, 8.0, 0.5, 28.762_375_483_849_59),
        ] {
            let got = cusum(slack, threshold, shift).unwrap();
            assert!((got / arl - 1.0).abs() < 1e-11, "CUSUM {slack} {threshold} {shift}: {got} is not {arl}");
        }
        for (lambda, limit, shift, arl) in [
            (0.01, 4.0, 0.0, 136_665.887_446_965_3),
            (0.01, 4.5, 0.0, 1_043_741.247_043_050_2),
            (0.05, 3.5, 0.0, 6_464.637_886_268_687),
            (0.05, 4.5, 0.0, 319_953.651_160_990_1),
            (0.1, 2.814, 0.0, 499.579_550_082_577_8),
            (0.1, 6.0, 0.0, 614_340_894.011_476_7),
            (0.25, 2.998, 0.0, 499.836_003_532_197),
            (0.4, 3.054, 0.0, 499.951_338_642_709_3),
            (0.05, 3.0, 0.5, 37.326_009_595_752_4),
        ] {
            let got = ewma(lambda, limit, shift).unwrap();
            assert!((got / arl - 1.0).abs() < 1e-11, "EWMA {lambda} {limit} {shift}: {got} is not {arl}");
        }
    }

    #[test]
    fn an_average_of_one_value_alarms_beyond_its_limits() {
        // mpmath 1.4.1 at 40 digits: 1 / erfc(L/√2).
        for (limit, arl) in
            [(3.0, 370.398_347_344_958_85), (6.0, 506_797_345.897_124_7), (8.0, 803_734_397_655_348.0)]
        {
            let got = ewma(1.0, limit, 0.0).unwrap();
            assert!((got / arl - 1.0).abs() < 1e-12, "{limit}: {got} is not {arl}");
        }
    }

    #[test]
    fn settings_of_any_size_have_a_run_length() {
        let sizes = [1e-300, 1e-9, 0.3, 30.0, 1.1e3, 1e100];
        for size in sizes {
            for shift in [0.0, -0.1, 2.0, 1e100] {
                for other in [0.0, 1e100] {
                    let got = cusum(other, size, shift).unwrap();
                    assert!(got >= 1.0 - 1e-12, "CUSUM {other} {size} {shift}: {got}");
                }
                for lambda in [1e-300, 1e-8, 0.1, 1.0] {
                    let got = ewma(lambda, size, shift).unwrap();
                    assert!(got >= 1.0 - 1e-12, "EWMA {lambda} {size} {shift}: {got}");
                }
            }
        }
    }

    #[test]
    fn limits_too_wide_to_solve_continue_what_can_be_solved() {
        for shift in [0.0, 1e-4, 0.01, 1.0] {
            let [near, far] = [999.5, 1000.5].map(|threshold| cusum(0.0, threshold, shift).unwrap());
            assert!((near / far - 1.0).abs() < 5e-3, "CUSUM {shift}: {near}, {far}");
        }
        for (limit, shift) in [(3.0, 0.0), (3.0, 0.003), (0.5, 0.0), (30.0, 0.9), (30.0, 2.0)] {
            // 2L/√(λ(2 − λ)) = 1000 between the two, whose means are as far off in standard deviations of the average.
            let lambda = (2.0 * limit / 1000.0_f64).powi(2) / 2.0;
            let run_length =
                |factor: f64| ewma(lambda * factor, limit, shift * factor.sqrt()).unwrap() * factor;
            let [near, far] = [1.002, 0.998].map(run_length);
            assert!((near / far - 1.0).abs() < 0.01, "EWMA {limit} {shift}: {near}, {far}");
        }
    }

    #[test]
    fn a_large_sample_of_a_law_has_the_run_lengths_of_the_law() {
        let law = Law((1..4000).map(|i| normal_quantile(f64::from(i) / 4000.0)).collect());
        for (slack, threshold) in [(0.5, 4.0), (0.25, 8.0), (0.5, 5.0)] {
            let (got, normal) = (law.cusum(slack, threshold), cusum(slack, threshold, 0.0).unwrap());
            assert!((got / normal - 1.0).abs() < 0.05, "CUSUM {slack} {threshold}: {got}, {normal}");
        }
        for (lambda, limit) in [(0.1, 2.7), (0.05, 3.0), (0.01, 3.0)] {
            let (got, normal) = (law.ewma(lambda, limit), ewma(lambda, limit, 0.0).unwrap());
            assert!((got / normal - 1.0).abs() < 0.05, "EWMA {lambda} {limit}: {got}, {normal}");
        }
    }

    fn normal_quantile(p: f64) -> f64 {
        statrs::distribution::ContinuousCDF::inverse_cdf(&statrs::distribution::Normal::standard(), p)
    }

    #[test]
    fn a_run_length_no_setting_gives_is_refused() {
        assert!(solve(5.0, 1.0, |x| x.exp()).is_err());
        assert!(solve(1e6, 1.0, |_| 20.0).is_err());
        assert!((solve(100.0, 1.0, |x| x.exp()).unwrap() - 100.0_f64.ln()).abs() < 2e-3);
    }
}
