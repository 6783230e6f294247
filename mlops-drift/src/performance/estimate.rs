//! Numbers with their uncertainty, held against what the reference did.

use mlops_core::evaluation::Verdict;
use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use mlops_core::problem::Direction;
use serde::{Deserialize, Serialize};
use statrs::function::erf::erf;

use super::Metric;
use crate::distance::Interval;

/// A measure of some rows.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Which.
    pub metric: Metric,
    /// The number.
    pub value: Measured,
    /// The variance that a single row brings: over n such rows the standard error is √(this / n). From the influence function
    /// (the delta method), for AUROC DeLong's.
    pub unit_variance: Measured,
    /// The rows it was measured on.
    pub rows: u64,
}

impl Measurement {
    /// The standard error of the number.
    ///
    /// ```
    /// use mlops_drift::performance::{Metric, Regression, measure_regression};
    /// let rows = Regression::new(&[1.0, 2.0, 3.0, 4.0])?;
    /// let mae = measure_regression(&rows, &[1.0, 3.0, 3.0, 3.0], &[Metric::Mae])?[0];
    /// assert_eq!(mae.value.value(), Some(0.5));
    /// assert_eq!(mae.standard_error().value(), Some(0.25)); // the errors are 0, 1, 0, 1
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn standard_error(&self) -> Measured {
        standard_error(self.unit_variance, self.rows)
    }
}

fn standard_error(unit_variance: Measured, rows: u64) -> Measured {
    if rows == 0 {
        return Measured::none(UndefinedReason::TooFew, 0, 1);
    }
    unit_variance.map(|variance| (variance.max(0.0) / rows as f64).sqrt())
}

/// On which side of its band a number alarms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sides {
    /// On both: a performance that is suddenly better is as suspicious as one that is worse. The default, and NannyML's.
    #[default]
    Both,
    /// On the side that is worse, by [`Metric::direction`].
    Worse,
}

/// Where a number may lie.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// The least value that does not alarm.
    pub low: Option<f64>,
    /// The greatest value that does not alarm.
    pub high: Option<f64>,
    /// The mean over the reference chunks that the band was laid around; `None` for a band that was given.
    pub centre: Option<f64>,
}

impl Band {
    /// A band that was given, not fitted.
    pub const fn given(low: Option<f64>, high: Option<f64>) -> Self {
        Self { low, high, centre: None }
    }

    /// Mean ± `deviations` standard deviations (divisor n) of the values that are defined, clipped to what the metric can be;
    /// an empty band for fewer than two.
    fn around(metric: Metric, values: &[Measured], deviations: f64) -> Self {
        let values: Vec<f64> = values.iter().filter_map(|value| value.value()).collect();
        if values.len() < 2 {
            return Self::default();
        }
        let (mean, variance) = moments(&values);
        let (least, greatest) = metric.range();
        let reach = deviations * variance.sqrt();
        Self {
            low: Some((mean - reach).max(least)),
            high: Some((mean + reach).min(greatest)),
            centre: Some(mean),
        }
    }

    const fn is_empty(&self) -> bool {
        self.low.is_none() && self.high.is_none()
    }

    fn holds(&self, value: f64) -> bool {
        self.low.is_none_or(|low| value >= low) && self.high.is_none_or(|high| value <= high)
    }

    const fn facing(mut self, metric: Metric, sides: Sides) -> Self {
        match (sides, metric.direction()) {
            (Sides::Worse, Direction::HigherIsBetter) => self.high = None,
            (Sides::Worse, Direction::LowerIsBetter) => self.low = None,
            _ => {}
        }
        self
    }
}

/// The mean and the variance with divisor n, two passes.
pub(super) fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().copied().collect::<Sum>().value() / n;
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).collect::<Sum>().value() / n;
    (mean, variance)
}

/// How performance is measured and judged.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerformanceOptions {
    /// What is measured; `None` for what the task allows ([`Metric::BINARY`], [`Metric::MULTICLASS`], [`Metric::REGRESSION`]).
    pub metrics: Option<Vec<Metric>>,
    /// How many standard deviations of the reference chunks a band reaches, and standard errors an interval. Default: 3.
    pub deviations: f64,
    /// Bands that replace fitted ones.
    pub bands: Vec<(Metric, Band)>,
    /// On which side a number alarms. Default: both.
    pub sides: Sides,
    /// The fewest rows on which a verdict is given. Default: 30.
    pub min_rows: u64,
    /// The smallest share of a chunk's rows that must have labels for a verdict on realised performance, in [0, 1]: labels
    /// that come early are not a fair sample. Default: 0.
    pub min_completeness: f64,
}

impl Default for PerformanceOptions {
    fn default() -> Self {
        Self {
            metrics: None,
            deviations: 3.0,
            bands: Vec::new(),
            sides: Sides::Both,
            min_rows: 30,
            min_completeness: 0.0,
        }
    }
}

impl PerformanceOptions {
    /// Measures these.
    #[must_use]
    pub fn with_metrics(mut self, metrics: impl IntoIterator<Item = Metric>) -> Self {
        self.metrics = Some(metrics.into_iter().collect());
        self
    }

    /// Sets the reach of bands and intervals.
    #[must_use]
    pub const fn with_deviations(mut self, deviations: f64) -> Self {
        self.deviations = deviations;
        self
    }

    /// Replaces a fitted band.
    #[must_use]
    pub fn with_band(mut self, metric: Metric, band: Band) -> Self {
        self.bands.push((metric, band));
        self
    }

    /// Sets the sides that alarm.
    #[must_use]
    pub const fn with_sides(mut self, sides: Sides) -> Self {
        self.sides = sides;
        self
    }

    /// Sets the fewest rows on which a verdict is given.
    #[must_use]
    pub const fn with_min_rows(mut self, min_rows: u64) -> Self {
        self.min_rows = min_rows;
        self
    }

    /// Sets the share of labels that a verdict needs.
    #[must_use]
    pub const fn with_min_completeness(mut self, share: f64) -> Self {
        self.min_completeness = share;
        self
    }

    pub(super) fn check(&self) -> Result<(), StatsError> {
        if !(self.deviations.is_finite() && self.deviations > 0.0) {
            let reason = "must be positive and finite";
            return Err(StatsError::Parameter { parameter: "deviations", value: self.deviations, reason });
        }
        if !(0.0..=1.0).contains(&self.min_completeness) {
            let (parameter, value) = ("min_completeness", self.min_completeness);
            return Err(StatsError::Parameter { parameter, value, reason: "must lie in [0, 1]" });
        }
        for (_, band) in &self.bands {
            let ends = [band.low.unwrap_or(f64::NEG_INFINITY), band.high.unwrap_or(f64::INFINITY)];
            if ends[0].is_nan() || ends[1].is_nan() || ends[0] > ends[1] {
                let reason = "must be an end of a band whose low end is not above its high end";
                return Err(StatsError::Parameter { parameter: "bands", value: ends[0], reason });
            }
        }
        Ok(())
    }

    pub(super) fn metrics_or(&self, default: &[Metric]) -> Vec<Metric> {
        let mut metrics = self.metrics.clone().unwrap_or_else(|| default.to_vec());
        let mut seen = Vec::new();
        metrics.retain(|metric| {
            !seen.contains(metric) && {
                seen.push(*metric);
                true
            }
        });
        metrics
    }
}

/// What the reference did, by metric: what later chunks are held against.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Baseline {
    pub(super) rows: Vec<BaselineRow>,
    deviations: f64,
    sides: Sides,
    min_rows: u64,
    min_completeness: f64,
}

/// One metric of the reference.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineRow {
    /// The metric on the whole reference.
    pub reference: Measurement,
    /// Where chunks may lie.
    pub band: Band,
}

impl Baseline {
    /// From the whole reference and its chunks, measured alike.
    pub(super) fn new(
        whole: Vec<Measurement>,
        chunks: &[Vec<Measurement>],
        options: &PerformanceOptions,
    ) -> Self {
        let row = |reference: Measurement| {
            let of_metric = |chunk: &Vec<Measurement>| {
                chunk.iter().find(|m| m.metric == reference.metric).map(|m| m.value)
            };
            let values: Vec<Measured> = chunks.iter().filter_map(of_metric).collect();
            let given = options.bands.iter().rev().find(|(metric, _)| *metric == reference.metric);
            let band = match given {
                Some((_, band)) => *band,
                None => Band::around(reference.metric, &values, options.deviations),
            };
            BaselineRow { reference, band: band.facing(reference.metric, options.sides) }
        };
        Self {
            rows: whole.into_iter().map(row).collect(),
            deviations: options.deviations,
            sides: options.sides,
            min_rows: options.min_rows,
            min_completeness: options.min_completeness,
        }
    }

    pub(super) fn metrics(&self) -> Vec<Metric> {
        self.rows.iter().map(|row| row.reference.metric).collect()
    }

    /// Judges realised performance, by its own standard errors.
    pub(super) fn judge_realised(
        &self,
        measured: &[Measurement],
        rows: u64,
        predictions: u64,
    ) -> Performance {
        let completeness = Measured::ratio(rows as f64, predictions as f64);
        let complete = completeness.value().is_some_and(|share| share >= self.min_completeness);
        let estimates = self.rows.iter().zip(measured);
        let estimates =
            estimates.map(|(row, m)| self.judge(row, m.value, m.standard_error(), rows, complete));
        Performance { rows, completeness, estimates: estimates.collect() }
    }

    /// Judges estimated performance, by what rows of the reference vary.
    pub(super) fn judge_estimated(&self, values: &[Measured], rows: u64) -> Performance {
        let estimates = self.rows.iter().zip(values).map(|(row, value)| {
            let error = standard_error(row.reference.unit_variance, rows);
            self.judge(row, *value, error, rows, true)
        });
        Performance { rows, completeness: Measured::Value(0.0), estimates: estimates.collect() }
    }

    fn judge(
        &self,
        row: &BaselineRow,
        value: Measured,
        error: Measured,
        rows: u64,
        complete: bool,
    ) -> Estimate {
        let metric = row.reference.metric;
        let reach = error.value().map(|error| self.deviations * error);
        let (least, greatest) = metric.range();
        let interval = value.value().zip(reach).map(|(value, reach)| Interval {
            level: erf(self.deviations / std::f64::consts::SQRT_2),
            // Scores of classes that do not add up to 1 can bring a value out of the range of its metric.
            low: (value - reach).max(least).min(value),
            high: (value + reach).min(greatest).max(value),
        });
        let verdict = match value.value() {
            Some(value) if complete && rows >= self.min_rows && !row.band.is_empty() => {
                verdict(&row.band, value, reach)
            }
            _ => Verdict::Insufficient,
        };
        Estimate { metric, value, standard_error: error, interval, band: row.band, verdict }
    }
}

/// Outside a fitted band and further from its centre than this many rows explain: fails. Outside and not further:
/// insufficient. A band that was given is taken at its word.
fn verdict(band: &Band, value: f64, reach: Option<f64>) -> Verdict {
    if band.holds(value) {
        return Verdict::Pass;
    }
    match (band.centre, reach) {
        (Some(centre), Some(reach)) if (value - centre).abs() <= reach => Verdict::Insufficient,
        _ => Verdict::Fail,
    }
}

/// One metric of one chunk, held against the reference.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Which.
    pub metric: Metric,
    /// The number, realised or estimated.
    pub value: Measured,
    /// Its standard error: of realised performance from the chunk's own rows; of estimated performance the sampling error that
    /// the realised metric of as many rows would have, from the reference.
    pub standard_error: Measured,
    /// Value ± so many standard errors as the options say, clipped to what the metric can be.
    pub interval: Option<Interval>,
    /// Where it may lie.
    pub band: Band,
    /// Fails when the value lies outside the band and, where the band was fitted, further from its centre than sampling error
    /// explains; insufficient when that is not so, and with too few rows, too few labels, no value or no band.
    pub verdict: Verdict,
}

/// The performance of a chunk: the signal that a monitor reports.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Performance {
    /// The rows it speaks for.
    pub rows: u64,
    /// The share of the chunk's rows whose label is known, in [0, 1]; 0 for an estimate without labels.
    pub completeness: Measured,
    /// One for each metric.
    pub estimates: Vec<Estimate>,
}

impl Performance {
    /// The estimate of a metric, if it was asked for.
    pub fn get(&self, metric: Metric) -> Option<&Estimate> {
        self.estimates.iter().find(|estimate| estimate.metric == metric)
    }

    /// The verdict over all metrics: one failure fails, else one insufficient is insufficient.
    pub fn verdict(&self) -> Verdict {
        Verdict::all(self.estimates.iter().map(|estimate| estimate.verdict))
    }
}

/// A fitted state with its version, as it is on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Versioned<S> {
    version: u32,
    state: S,
}

impl<S> Versioned<S> {
    pub(super) const VERSION: u32 = 1;

    pub(super) const fn new(state: S) -> Self {
        Self { version: Self::VERSION, state }
    }

    pub(super) fn open(self, what: &str) -> Result<S, String> {
        if self.version != Self::VERSION {
            return Err(format!("{what} of version {} is not known, only {}", self.version, Self::VERSION));
        }
        Ok(self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_needs_more_than_the_noise_of_a_small_chunk() {
        let fitted = Band { low: Some(0.85), high: Some(0.95), centre: Some(0.9) };
        for (value, reach, expected) in [
            (0.86, Some(0.01), Verdict::Pass),
            (0.84, Some(0.01), Verdict::Fail),
            (0.84, Some(0.1), Verdict::Insufficient),
            (0.97, Some(0.05), Verdict::Fail),
            (0.84, None, Verdict::Fail),
        ] {
            assert_eq!(verdict(&fitted, value, reach), expected, "{value} {reach:?}");
        }
        assert_eq!(verdict(&Band::given(Some(0.85), None), 0.84, Some(0.1)), Verdict::Fail);
    }

    #[test]
    fn bands_stay_inside_what_a_metric_can_be() {
        let values = [0.99, 0.97, 1.0].map(Measured::Value);
        let band = Band::around(Metric::Accuracy, &values, 3.0);
        assert_eq!(band.high, Some(1.0));
        assert_eq!(band.facing(Metric::Accuracy, Sides::Worse).high, None);
        assert_eq!(Band::around(Metric::Mae, &values[..1], 3.0), Band::default());
    }
}
