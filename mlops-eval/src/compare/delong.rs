//! Areas under ROC curves of several models on the same rows: their variances, covariances, intervals and tests.
//!
//! With m positives X and n negatives Y and ψ(x, y) = 1, ½ or 0 for x above, equal to or below y, the area is
//! A = Σᵢⱼ ψ(Xᵢ, Yⱼ) / mn, its components are V10ᵢ = Σⱼ ψ(Xᵢ, Yⱼ)/n and V01ⱼ = Σᵢ ψ(Xᵢ, Yⱼ)/m, and the covariance of two
//! areas is cov(V10)/m + cov(V01)/n (E. DeLong, D. DeLong, D. Clarke-Pearson, *Comparing the areas under two or more correlated
//! receiver operating characteristic curves*, Biometrics 44, 1988). The components come from one sort per model (X. Sun, W. Xu,
//! *Fast implementation of DeLong's algorithm*, IEEE Signal Processing Letters 21, 2014) and everything is added up in integers,
//! so each variance, and each variance of a difference, is exact until its last division: nearly equal models lose no digits.

use std::sync::atomic::{AtomicU32, Ordering};

use mlops_core::num::parallel::{PIECE, Threads, map, map_pieces};
use mlops_core::num::special::{ln_chi2_sf, normal_quantile};
use mlops_core::num::{Measured, StatsError, UndefinedReason};

use super::equivalence::Wald;
use super::linear::quadratic_form;
use super::order::{Order, Part, sorted};
use super::result::{Alternative, Method, TestResult, around};
use crate::input::{finite, finite_on, named, not_empty, paired};
use crate::interval::{Interval, check_confidence};

/// Areas under the ROC curves of k models on the same rows, and how they vary together.
///
/// ```
/// use mlops_eval::compare::{Alternative, Delong};
///
/// let y_true = [true, true, true, false, false, false];
/// let champion = [0.9, 0.4, 0.6, 0.5, 0.2, 0.3];
/// let challenger = [0.8, 0.7, 0.3, 0.6, 0.4, 0.1];
/// let areas = Delong::of(&y_true, &[&champion, &challenger])?;
/// assert_eq!(areas.auc(0)?.value(), Some(8.0 / 9.0));
/// let test = areas.compare(0, 1, Alternative::TwoSided, 0.95)?;
/// assert!(test.difference.value().is_some_and(|d| (d + 1.0 / 9.0).abs() < 1e-15));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Delong {
    positives: u64,
    negatives: u64,
    /// Twice the pairs that positives win, per model; a tie is one of two.
    halves: Vec<i128>,
    /// k × k: m² times the covariance Σ of positives' components, in half pairs; and n² times that of negatives'.
    scatter: [Vec<i128>; 2],
}

impl Delong {
    /// The areas of models that scored the same rows, one slice of scores a model. O(k n + k² n).
    ///
    /// # Errors
    /// [`StatsError::Empty`] without models or rows; [`StatsError::LengthMismatch`]; [`StatsError::Nan`] and
    /// [`StatsError::NotFinite`] with the row; [`StatsError::Overflow`] above 2³⁰ rows.
    pub fn of(y_true: &[bool], scores: &[&[f64]]) -> Result<Self, StatsError> {
        Self::of_with(y_true, scores, Threads::ONE)
    }

    /// [`of`](Self::of) on several threads; the same bits.
    ///
    /// ```
    /// use mlops_core::num::parallel::Threads;
    /// use mlops_eval::compare::Delong;
    /// let (y_true, scores) = ([true, false], [0.7, 0.2]);
    /// assert_eq!(Delong::of_with(&y_true, &[&scores], Threads::new(2))?, Delong::of(&y_true, &[&scores])?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`of`](Self::of).
    pub fn of_with(y_true: &[bool], scores: &[&[f64]], threads: Threads) -> Result<Self, StatsError> {
        not_empty(named("scores", scores))?;
        for scores in scores {
            paired(named("y_true", y_true), named("scores", scores))?;
            finite_on(threads, "scores", scores)?;
        }
        if y_true.len() > 1 << 30 {
            return Err(StatsError::Overflow { what: "the number of rows" });
        }
        let positives = y_true.iter().filter(|label| **label).count() as u64;
        let negatives = y_true.len() as u64 - positives;
        let wins = |scores: &&[f64]| HalfWins::of(&sorted(y_true, scores, threads), threads);
        let ranked: Vec<HalfWins> = scores.iter().map(wins).collect();
        let (halves, scatter) = scatters(y_true, &ranked, [negatives, positives], threads);
        Ok(Self { positives, negatives, halves, scatter })
    }

    /// How many models.
    pub fn models(&self) -> usize {
        self.halves.len()
    }

    /// How many positive rows.
    pub fn positives(&self) -> u64 {
        self.positives
    }

    /// How many negative rows.
    pub fn negatives(&self) -> u64 {
        self.negatives
    }

    fn rows(&self) -> u64 {
        self.positives + self.negatives
    }

    fn check(&self, argument: &'static str, model: usize) -> Result<(), StatsError> {
        let known = self.models() as u64;
        if (model as u64) < known {
            return Ok(());
        }
        Err(StatsError::UnknownCode { argument, index: 0, code: model as u64, known })
    }

    /// Twice the number of pairs.
    fn pairs(&self) -> f64 {
        2.0 * self.positives as f64 * self.negatives as f64
    }

    /// The area of a model, exactly rounded. Undefined with [`UndefinedReason::SingleClass`] unless both classes occur.
    ///
    /// # Errors
    /// [`StatsError::UnknownCode`] for a model that is not there.
    pub fn auc(&self, model: usize) -> Result<Measured, StatsError> {
        self.check("model", model)?;
        Ok(self.area(self.halves[model]))
    }

    fn area(&self, halves: i128) -> Measured {
        if self.positives == 0 || self.negatives == 0 {
            return Measured::none(UndefinedReason::SingleClass, 1, 2);
        }
        Measured::Value(halves as f64 / self.pairs())
    }

    /// The covariance of the areas of two models; with the same model twice, its variance. Undefined with
    /// [`UndefinedReason::TooFew`] unless both classes have two rows.
    ///
    /// # Errors
    /// [`StatsError::UnknownCode`] for a model that is not there.
    pub fn covariance(&self, first: usize, second: usize) -> Result<Measured, StatsError> {
        self.check("first", first)?;
        self.check("second", second)?;
        let at = first * self.models() + second;
        Ok(self.variance_of([self.scatter[0][at], self.scatter[1][at]]))
    }

    /// The variance of the difference of two areas: exact where the models are nearly equal.
    ///
    /// # Errors
    /// [`StatsError::UnknownCode`] for a model that is not there.
    pub fn difference_variance(&self, first: usize, second: usize) -> Result<Measured, StatsError> {
        self.check("first", first)?;
        self.check("second", second)?;
        Ok(self.contrast_covariance(first, second, second))
    }

    /// The covariance of A_i − A_base and A_j − A_base.
    fn contrast_covariance(&self, base: usize, i: usize, j: usize) -> Measured {
        let k = self.models();
        let of = |s: &[i128]| s[i * k + j] - s[i * k + base] - s[base * k + j] + s[base * k + base];
        self.variance_of([of(&self.scatter[0]), of(&self.scatter[1])])
    }

    fn variance_of(&self, [negatives, positives]: [i128; 2]) -> Measured {
        let fewest = self.positives.min(self.negatives);
        if fewest < 2 {
            return Measured::none(UndefinedReason::TooFew, usize::try_from(fewest).unwrap_or(0), 2);
        }
        let (m, n) = (self.positives as f64, self.negatives as f64);
        // Scatters are m·Σcc′ − ΣcΣc′ of components in half pairs: m(m − 1)(2n)² times a covariance.
        let of_positives = positives as f64 / (m * m * (m - 1.0)) / (4.0 * n * n);
        let of_negatives = negatives as f64 / (n * n * (n - 1.0)) / (4.0 * m * m);
        Measured::Value(of_positives + of_negatives)
    }

    /// A ± z·s, within [0, 1]. `None` where there is no variance: a separation that is perfect on these rows says nothing of the
    /// width.
    ///
    /// ```
    /// use mlops_eval::compare::Delong;
    /// let areas = Delong::of(&[true, true, false, false], &[&[0.9, 0.4, 0.5, 0.1]])?;
    /// assert!(areas.interval(0, 0.95)?.is_some_and(|i| i.contains(0.75)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::UnknownCode`] for a model that is not there, [`StatsError::Parameter`] for a confidence outside (0, 1).
    pub fn interval(&self, model: usize, confidence: f64) -> Result<Option<Interval>, StatsError> {
        let Some((area, error)) = self.area_and_error(model, confidence)? else { return Ok(None) };
        let plain = around(area, error, None, confidence)?;
        Ok(Some(Interval { lower: plain.lower.max(0.0), upper: plain.upper.min(1.0), confidence }))
    }

    /// The interval made on the scale of ln(A/(1 − A)) and brought back: never leaves (0, 1), and keeps its coverage for areas
    /// near 1, where [`interval`](Self::interval) is too short. `None` without a variance and for an area of 0 or 1.
    ///
    /// ```
    /// use mlops_eval::compare::Delong;
    /// let areas = Delong::of(&[true, true, false, false], &[&[0.9, 0.4, 0.5, 0.1]])?;
    /// assert!(areas.logit_interval(0, 0.95)?.is_some_and(|i| i.lower > 0.0 && i.upper < 1.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`interval`](Self::interval).
    pub fn logit_interval(&self, model: usize, confidence: f64) -> Result<Option<Interval>, StatsError> {
        let Some((area, error)) = self.area_and_error(model, confidence)? else { return Ok(None) };
        if area <= 0.0 || area >= 1.0 {
            return Ok(None);
        }
        let half = normal_quantile(confidence) * error / (area * (1.0 - area));
        let back = |logit: f64| 1.0 / (1.0 + (-logit).exp());
        let logit = (area / (1.0 - area)).ln();
        Ok(Some(Interval { lower: back(logit - half), upper: back(logit + half), confidence }))
    }

    fn area_and_error(&self, model: usize, confidence: f64) -> Result<Option<(f64, f64)>, StatsError> {
        check_confidence(confidence)?;
        let variance = self.covariance(model, model)?.value().filter(|variance| *variance > 0.0);
        Ok(self.auc(model)?.value().zip(variance.map(f64::sqrt)))
    }

    /// The area of `second` minus that of `first` with its standard error, as evidence for non-inferiority and the like.
    ///
    /// # Errors
    /// [`StatsError::UnknownCode`] for a model that is not there.
    pub fn difference(&self, first: usize, second: usize) -> Result<Wald, StatsError> {
        let variance = self.difference_variance(first, second)?;
        let estimate = self.area(self.halves[second] - self.halves[first]);
        Ok(Wald {
            method: Method::Delong,
            estimate,
            standard_error: variance.map(f64::sqrt),
            degrees_of_freedom: None,
            n: self.rows(),
        })
    }

    /// DeLong's test that two areas are equal: z = (A₂ − A₁)/s, normal law, with the interval A₂ − A₁ ± z·s.
    ///
    /// Where the difference has no variance, p is 1 if the areas are equal, and otherwise undefined with
    /// [`UndefinedReason::Constant`]. Agrees with MLstatkit 0.1.91 and with the definition in rationals to 1e-12.
    ///
    /// # Errors
    /// [`StatsError::UnknownCode`] for a model that is not there, [`StatsError::Parameter`] for a confidence outside (0, 1).
    pub fn compare(
        &self,
        first: usize,
        second: usize,
        alternative: Alternative,
        confidence: f64,
    ) -> Result<TestResult, StatsError> {
        check_confidence(confidence)?;
        let wald = self.difference(first, second)?;
        wald.test(alternative, confidence)
    }

    /// The χ² test of linear contrasts L·A = 0, `rows` of k coefficients each that add up to 0: Q = (LA)ᵀ(LSLᵀ)⁻¹(LA), as many
    /// degrees of freedom as rows that say something new.
    ///
    /// p is 1 where no contrast differs from 0 nor varies; undefined where one that does not vary differs from 0.
    ///
    /// ```
    /// use mlops_eval::compare::Delong;
    /// let y_true = [true, true, false, true, false, false];
    /// let scores = [[0.9, 0.4, 0.5, 0.6, 0.1, 0.3], [0.3, 0.9, 0.4, 0.8, 0.2, 0.5], [0.2, 0.3, 0.9, 0.4, 0.1, 0.5]];
    /// let areas = Delong::of(&y_true, &[&scores[0], &scores[1], &scores[2]])?;
    /// assert_eq!(areas.contrast(&[1.0, -1.0, 0.0, 0.0, 1.0, -1.0])?, areas.all_equal()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`] unless `rows` holds whole rows; [`StatsError::NotFinite`]; [`StatsError::Parameter`] for a
    /// row that does not add up to 0.
    pub fn contrast(&self, rows: &[f64]) -> Result<TestResult, StatsError> {
        let k = self.models();
        not_empty(named("rows", rows))?;
        finite("rows", rows)?;
        if !rows.len().is_multiple_of(k) {
            let right_len = rows.len().div_ceil(k) * k;
            return Err(StatsError::LengthMismatch {
                left: "rows",
                left_len: rows.len(),
                right: "whole rows",
                right_len,
            });
        }
        for row in rows.chunks_exact(k) {
            let (sum, size): (f64, f64) = (row.iter().sum(), row.iter().map(|x| x.abs()).sum());
            if sum.abs() > 1e-9 * size {
                return Err(StatsError::Parameter {
                    parameter: "rows",
                    value: sum,
                    reason: "must be 0: the coefficients of a contrast add up to nothing",
                });
            }
        }
        Ok(self.chi_square(rows))
    }

    /// The χ² test that all areas are equal, with k − 1 degrees of freedom.
    ///
    /// # Errors
    /// [`StatsError::TooFew`] for a single model.
    pub fn all_equal(&self) -> Result<TestResult, StatsError> {
        let k = self.models();
        if k < 2 {
            return Err(StatsError::TooFew { argument: "scores", needed: 2, got: k });
        }
        let mut rows = vec![0.0; k * (k - 1)];
        for (i, row) in rows.chunks_exact_mut(k).enumerate() {
            row[i] = 1.0;
            row[i + 1] = -1.0;
        }
        self.contrast(&rows)
    }

    fn chi_square(&self, rows: &[f64]) -> TestResult {
        let k = self.models();
        let (method, alternative) = (Method::DelongContrast, Alternative::TwoSided);
        // Against the first model, so that what all models share has cancelled in integers.
        let differences: Option<Vec<f64>> =
            (0..k).map(|j| self.area(self.halves[j] - self.halves[0]).value()).collect();
        let covariances: Option<Vec<f64>> =
            (0..k * k).map(|at| self.contrast_covariance(0, at / k, at % k).value()).collect();
        let (Some(differences), Some(covariances)) = (differences, covariances) else {
            let none = self.variance_of([0, 0]);
            return TestResult::new(method, alternative, none, none).with(none, None, self.rows());
        };
        let lines: Vec<&[f64]> = rows.chunks_exact(k).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let vector: Vec<f64> = lines.iter().map(|line| dot(line, &differences)).collect();
        let product = |line: &[f64], other: &[f64]| -> f64 {
            line.iter().zip(covariances.chunks_exact(k)).map(|(x, row)| x * dot(row, other)).sum()
        };
        let matrix: Vec<f64> =
            lines.iter().flat_map(|line| lines.iter().map(move |other| product(line, other))).collect();
        match quadratic_form(&matrix, &vector) {
            Some((_, 0)) => TestResult::nothing_differs(method, alternative),
            Some((q, rank)) => {
                let ln_p = ln_chi2_sf(q.max(0.0), rank as f64);
                TestResult::new(method, alternative, Measured::Value(q), Measured::Value(ln_p))
            }
            None => {
                let none = Measured::none(UndefinedReason::Constant, 0, 1);
                TestResult::new(method, alternative, none, none)
            }
        }
        .with(Measured::none(UndefinedReason::NothingDefined, 0, 1), None, self.rows())
    }
}

/// For each row, twice the rows of the other class that it beats, a tie being one of two: negatives below a positive,
/// positives above a negative.
pub(super) struct HalfWins {
    /// Rows in pieces of [`PIECE`]. Every row is written once, by whichever thread has its score.
    pieces: Vec<Vec<AtomicU32>>,
}

impl HalfWins {
    pub(super) fn of(order: &Order, threads: Threads) -> Self {
        let positives = |part: &Part| part.entries.iter().map(|entry| (entry & 1) as u32).sum::<u32>();
        let positives = map(order.parts.len(), threads, |part| positives(&order.parts[part]));
        let rows = order.parts.iter().map(|part| part.entries.len()).sum();
        let all: u32 = positives.iter().sum();
        // Positives from the part on, negatives before it.
        let mut starts = Vec::with_capacity(positives.len());
        let (mut above, mut below) = (all, 0);
        for (part, positives) in order.parts.iter().zip(positives) {
            starts.push((above, below));
            above -= positives;
            below += part.entries.len() as u32 - positives;
        }
        let pieces = map_pieces(rows, threads, |rows| rows.map(|_| AtomicU32::new(0)).collect());
        let wins = Self { pieces };
        map(order.parts.len(), threads, |part| wins.write(&order.parts[part], starts[part]));
        wins
    }

    fn set(&self, entry: u64, wins: u32) {
        let row = (entry >> 1) as usize;
        self.pieces[row / PIECE][row % PIECE].store(wins, Ordering::Relaxed);
    }

    /// Sets the wins of a part, with the positives still above and the negatives already below it.
    fn write(&self, part: &Part, (mut above, mut below): (u32, u32)) {
        let entries = &part.entries;
        let mut position = 0;
        let mut ties = part.ties.iter().copied();
        while position < entries.len() {
            let (start, end) = ties.next().unwrap_or((entries.len() as u32, entries.len() as u32));
            for &entry in &entries[position..start as usize] {
                let label = (entry & 1) as u32;
                above -= label;
                self.set(entry, 2 * if label == 1 { below } else { above });
                below += 1 - label;
            }
            let tied = &entries[start as usize..end as usize];
            let positives = tied.iter().map(|entry| (entry & 1) as u32).sum::<u32>();
            let negatives = end - start - positives;
            for &entry in tied {
                self.set(entry, if entry & 1 == 1 { 2 * below + negatives } else { 2 * above - positives });
            }
            above -= positives;
            below += negatives;
            position = end as usize;
        }
    }

    /// The rows of the piece that begins at `start`.
    fn piece(&self, start: usize) -> Vec<u32> {
        self.pieces[start / PIECE].iter().map(|wins| wins.load(Ordering::Relaxed)).collect()
    }

    /// Every row.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.pieces.iter().flatten().map(|wins| wins.load(Ordering::Relaxed))
    }
}

/// Sums and products of the half wins of one class, centred near their mean, over all pairs of models.
fn scatters(
    y_true: &[bool],
    ranked: &[HalfWins],
    sizes: [u64; 2],
    threads: Threads,
) -> (Vec<i128>, [Vec<i128>; 2]) {
    let k = ranked.len();
    // Wins of a class lie in 0 ..= twice the other's size; its size is near their mean and keeps products small.
    let center = [sizes[1], sizes[0]].map(|size| i64::try_from(size).unwrap_or(0));
    let pieces = map_pieces(y_true.len(), threads, |rows| {
        let mut sums = [vec![0_i64; k], vec![0_i64; k]];
        let mut products = [vec![0_i128; k * k], vec![0_i128; k * k]];
        let labels = &y_true[rows.clone()];
        let wins: Vec<Vec<u32>> = ranked.iter().map(|model| model.piece(rows.start)).collect();
        for i in 0..k {
            let left = &wins[i];
            for (&label, &wins) in labels.iter().zip(left) {
                sums[usize::from(label)][i] += i64::from(wins) - center[usize::from(label)];
            }
            for j in i..k {
                let [negative, positive] = piece_products(labels, left, &wins[j], center);
                products[0][i * k + j] = negative;
                products[1][i * k + j] = positive;
            }
        }
        (sums, products)
    });
    let mut sums = [vec![0_i128; k], vec![0_i128; k]];
    let mut products = [vec![0_i128; k * k], vec![0_i128; k * k]];
    for (piece_sums, piece_products) in &pieces {
        for class in 0..2 {
            sums[class].iter_mut().zip(&piece_sums[class]).for_each(|(sum, x)| *sum += i128::from(*x));
            products[class].iter_mut().zip(&piece_products[class]).for_each(|(sum, x)| *sum += x);
        }
    }
    let scatter = [0, 1].map(|class| {
        let size = i128::from(sizes[class]);
        (0..k * k)
            .map(|at| {
                let (i, j) = (at / k, at % k);
                size * products[class][i.min(j) * k + i.max(j)] - sums[class][i] * sums[class][j]
            })
            .collect()
    });
    let halves = sums[1].iter().map(|sum| sum + i128::from(center[1]) * i128::from(sizes[1])).collect();
    (halves, scatter)
}

/// Σ of the products of two models' centred wins over the rows of each class.
fn piece_products(labels: &[bool], left: &[u32], right: &[u32], center: [i64; 2]) -> [i128; 2] {
    let mut totals = [0_i128; 2];
    // |wins − center| < 2³⁰ and a block has eight rows: the sum of a block stays below 2⁶³.
    const BLOCK: usize = 8;
    for ((labels, left), right) in labels.chunks(BLOCK).zip(left.chunks(BLOCK)).zip(right.chunks(BLOCK)) {
        let (mut all, mut positive) = (0_i64, 0_i64);
        for ((&label, &left), &right) in labels.iter().zip(left).zip(right) {
            let center = center[usize::from(label)];
            let product = (i64::from(left) - center) * (i64::from(right) - center);
            all += product;
            positive += product & -i64::from(label);
        }
        totals[0] += i128::from(all - positive);
        totals[1] += i128::from(positive);
    }
    totals
}
