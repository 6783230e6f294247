//! Whether scores need calibrating, and the calibration.

use std::num::NonZeroUsize;

use mlops_core::num::{Random, StatsError};
use serde::{Deserialize, Serialize};

use super::Isotonic;
use super::curve::Curve;

/// When scores are calibrated before performance is estimated from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibration {
    /// When it lowers the expected calibration error on rows it was not fitted to. The default.
    #[default]
    WhenBetter,
    /// In any case.
    Always,
    /// Never: the scores are probabilities.
    Never,
}

const SPLITS: u64 = 10;
const BINS: usize = 10;

/// The calibration of scores by labels, or `None` where the scores stay as they are.
pub(super) fn fit(
    scores: &[f64],
    labels: &[f64],
    when: Calibration,
    random: &Random,
) -> Result<Option<Isotonic>, StatsError> {
    let needed = match when {
        Calibration::Always => true,
        Calibration::Never => false,
        Calibration::WhenBetter => lowers_error(scores, labels, random)?,
    };
    if needed { Isotonic::fit(scores, labels).map(Some) } else { Ok(None) }
}

/// Whether calibration lowers the expected calibration error over the held-out tenths of ten stratified shuffles. Scores
/// that separate the classes (AUROC above 0.999) and labels of one class are left alone.
fn lowers_error(scores: &[f64], labels: &[f64], random: &Random) -> Result<bool, StatsError> {
    let auroc = Curve::new(scores, labels.iter().copied()).auroc().value();
    if auroc.is_none_or(|auroc| auroc > 0.999) {
        return Ok(false);
    }
    let at = |values: &[f64], rows: &[usize]| -> Vec<f64> {
        rows.iter().filter_map(|&row| values.get(row).copied()).collect()
    };
    let (mut before, mut after, mut truth) = (Vec::new(), Vec::new(), Vec::new());
    for split in 0..SPLITS {
        let (train, held_out) = stratified(labels, &mut random.nth(split));
        let curve = Isotonic::fit(&at(scores, &train), &at(labels, &train))?;
        let raw = at(scores, &held_out);
        after.extend(raw.iter().map(|&score| curve.at(score)));
        before.extend(raw);
        truth.extend(at(labels, &held_out));
    }
    let errors = calibration_error(&before, &truth).zip(calibration_error(&after, &truth));
    Ok(errors.is_some_and(|(before, after)| before > after))
}

/// Nine tenths and one tenth of the rows of each class, in random order; at least one row of each class in both parts where
/// it has two.
fn stratified(labels: &[f64], random: &mut Random) -> (Vec<usize>, Vec<usize>) {
    let (mut train, mut held_out) = (Vec::new(), Vec::new());
    for class in [0.0, 1.0] {
        let mut rows: Vec<usize> =
            (0..).zip(labels).filter(|(_, label)| **label == class).map(|(row, _)| row).collect();
        random.shuffle(&mut rows);
        let tenth = ((rows.len() + 5) / 10).clamp(usize::from(rows.len() > 1), rows.len());
        let rest = rows.split_off(tenth);
        held_out.append(&mut rows);
        train.extend(rest);
    }
    (train, held_out)
}

/// Σ share of a bin · |mean score − share of positives|, over ten bins of equally many rows (fewer for 20 rows or less);
/// `None` for fewer than four rows.
fn calibration_error(scores: &[f64], labels: &[f64]) -> Option<f64> {
    let rows = scores.len();
    let bins =
        NonZeroUsize::new(if rows <= 2 * BINS { rows / 2 } else { BINS }).filter(|bins| bins.get() >= 2)?;
    let mut pairs: Vec<(f64, f64)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    mlops_core::num::ranks::sort_pairs(&mut pairs);
    let width = rows / bins;
    let error = |bin: usize| {
        let end = if bin + 1 == bins.get() { rows } else { (bin + 1) * width };
        let sums = pairs.get(bin * width..end).unwrap_or_default();
        let (score, label) = sums.iter().fold((0.0, 0.0), |(s, l), pair| (s + pair.0, l + pair.1));
        (score - label).abs() / rows as f64
    };
    Some((0..bins.get()).map(error).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(power: i32) -> (Vec<f64>, Vec<f64>) {
        let mut random = Random::new(5);
        let row = |_| {
            let p = random.next_f64();
            (p.powi(power), f64::from(u8::from(random.next_f64() < p)))
        };
        (0..4000).map(row).unzip()
    }

    #[test]
    fn scores_that_are_no_probabilities_are_calibrated() {
        let (scores, labels) = rows(3);
        assert!(lowers_error(&scores, &labels, &Random::new(1)).unwrap());
    }

    #[test]
    fn one_class_and_perfect_scores_are_left_alone() {
        assert!(!lowers_error(&[0.1, 0.2, 0.3], &[0.0; 3], &Random::new(1)).unwrap());
        let (scores, _) = rows(1);
        let labels: Vec<f64> = scores.iter().map(|&score| f64::from(u8::from(score > 0.5))).collect();
        assert!(!lowers_error(&scores, &labels, &Random::new(1)).unwrap());
    }

    #[test]
    fn every_class_is_in_both_parts() {
        let labels: Vec<f64> = (0..50).map(|i| f64::from(u8::from(i < 2))).collect();
        let (train, held_out) = stratified(&labels, &mut Random::new(3));
        assert_eq!(train.len() + held_out.len(), 50);
        for part in [&train, &held_out] {
            assert_eq!(part.iter().filter(|&&row| row < 2).count(), 1);
        }
    }

    #[test]
    fn the_error_is_the_gap_between_scores_and_shares() {
        let scores: Vec<f64> = (0..100).map(|i| if i < 50 { 0.1 } else { 0.9 }).collect();
        let labels: Vec<f64> = (0..100).map(|i| f64::from(u8::from(i % 2 == 0))).collect();
        assert!((calibration_error(&scores, &labels).unwrap() - 0.4).abs() < 1e-12);
        assert_eq!(calibration_error(&scores[..3], &labels[..3]), None);
    }
}
