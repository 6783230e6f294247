//! Bins of probabilities that are filled in one pass, merge and serialise.

use mlops_core::num::StatsError;
use mlops_core::num::parallel::{Threads, map_pieces};
use mlops_core::num::simd::{Kernel, run};
use mlops_core::num::sum::Sum;
use serde::{Deserialize, Serialize};

use super::curve::{CalibrationBin, CalibrationCurve};
use super::{Checked, PROBABILITIES};
use crate::classification::ScoreState;
use crate::input::{named, paired, probabilities, weight_total};
use crate::interval::check_confidence;

/// The most bins there may be.
pub const MAX_BINS: usize = 65_536;

/// How [0, 1] is cut into bins. A probability on an edge between two bins belongs to the lower one.
///
/// ```
/// use mlops_eval::calibration::Binning;
/// assert_eq!(Binning::default(), Binning::Uniform(10));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binning {
    /// So many bins of equal width, as scikit-learn's `strategy="uniform"`. The default, with 10.
    Uniform(usize),
    /// So many bins between the quantiles of the probabilities (linear interpolation, the edges of `numpy.percentile`), as
    /// scikit-learn's `strategy="quantile"`. With weights the order statistics are those of rows repeated by their weight.
    Quantile(usize),
    /// So many bins of equal weight, as near as tied probabilities, which stay together, allow: a distinct probability
    /// belongs to bin ⌊n·m⌋ where m is the share of the weight below it plus half of its own. Bins that stay empty
    /// because of ties are left out.
    EqualMass(usize),
    /// Edges: strictly ascending, the first 0, the last 1.
    Edges(Vec<f64>),
}

impl Default for Binning {
    fn default() -> Self {
        Self::Uniform(10)
    }
}

impl Binning {
    pub(crate) fn check(&self) -> Result<(), StatsError> {
        match self {
            Self::Uniform(bins) | Self::Quantile(bins) | Self::EqualMass(bins) => check_count(*bins),
            Self::Edges(edges) => check_edges(edges),
        }
    }

    /// Whether the edges are known before the data.
    pub(super) fn is_fixed(&self) -> bool {
        matches!(self, Self::Uniform(_) | Self::Edges(_))
    }

    /// Empty bins with the edges that this rule gives for the data.
    pub(super) fn bins_for(&self, data: Checked<'_>) -> Result<CalibrationBins, StatsError> {
        self.check()?;
        let edges = match self {
            Self::Uniform(bins) => return CalibrationBins::uniform(*bins),
            Self::Edges(edges) => edges.clone(),
            Self::Quantile(bins) => quantile_edges(data, *bins),
            Self::EqualMass(bins) => mass_edges(data, *bins),
        };
        Ok(CalibrationBins::with_layout(Layout::Edges(edges)))
    }

    pub(super) fn fixed_bins(&self) -> Result<CalibrationBins, StatsError> {
        match self {
            Self::Edges(edges) => CalibrationBins::with_edges(edges),
            Self::Uniform(bins) | Self::Quantile(bins) | Self::EqualMass(bins) => {
                CalibrationBins::uniform(*bins)
            }
        }
    }
}

fn check_count(bins: usize) -> Result<(), StatsError> {
    if (1..=MAX_BINS).contains(&bins) {
        return Ok(());
    }
    let reason = "must lie between 1 and 65536";
    Err(StatsError::Parameter { parameter: "bins", value: bins as f64, reason })
}

fn check_edges(edges: &[f64]) -> Result<(), StatsError> {
    let argument = "edges";
    probabilities(argument, edges)?;
    if edges.len() < 2 {
        return Err(StatsError::TooFew { argument, needed: 2, got: edges.len() });
    }
    check_count(edges.len() - 1)?;
    if let Some(before) = edges.windows(2).position(|pair| pair[0] >= pair[1]) {
        return Err(StatsError::Unsorted { argument, index: before + 1 });
    }
    for (value, expected, reason) in [
        (edges[0], 0.0, "must be 0: it is the first edge"),
        (edges[edges.len() - 1], 1.0, "must be 1: it is the last edge"),
    ] {
        if value != expected {
            return Err(StatsError::Parameter { parameter: argument, value, reason });
        }
    }
    Ok(())
}

/// Edges as `numpy.percentile(p, numpy.linspace(0, 1, bins + 1) * 100)` gives them, operation by operation: an edge that
/// falls on a value decides where the rows with that value go.
fn quantile_edges(data: Checked<'_>, bins: usize) -> Vec<f64> {
    let last = (data.total - 1.0).max(0.0);
    let values = cumulated(data);
    let step = 1.0 / bins as f64;
    (0..=bins)
        .map(|i| {
            let share = if i == bins { 1.0 } else { i as f64 * step };
            let place = last * (share * 100.0 / 100.0);
            let lower = place.floor();
            let (a, b) = (order_statistic(&values, lower), order_statistic(&values, (lower + 1.0).min(last)));
            interpolate(a, b, place - lower)
        })
        .collect()
}

/// `numpy`'s interpolation: from the nearer end.
fn interpolate(a: f64, b: f64, t: f64) -> f64 {
    if t >= 0.5 { b - (b - a) * (1.0 - t) } else { a + (b - a) * t }
}

/// Distinct probabilities with the weight up to and including each.
fn cumulated(data: Checked<'_>) -> Vec<(f64, f64)> {
    let mut sum = Sum::new();
    let up_to = |point: super::Point| {
        sum.push(point.weight());
        (point.p, sum.value())
    };
    data.points().map(up_to).collect()
}

/// The value at a place among the rows in ascending order, counted from 0.
fn order_statistic(cumulated: &[(f64, f64)], place: f64) -> f64 {
    let index = cumulated.partition_point(|(_, up_to)| *up_to <= place);
    cumulated.get(index).or(cumulated.last()).map_or(1.0, |(value, _)| *value)
}

/// The largest probability of every bin of equal weight, after the smallest of all.
fn mass_edges(data: Checked<'_>, bins: usize) -> Vec<f64> {
    let mut edges: Vec<f64> = data.points().take(1).map(|point| point.p).collect();
    let mut current = None;
    let mut below = Sum::new();
    for point in data.points() {
        let middle = (below.value() + 0.5 * point.weight()) / data.total;
        // Not negative and below the number of bins: the share lies in (0, 1).
        let bin = super::floor(middle * bins as f64);
        if current == Some(bin) {
            edges.pop();
        }
        edges.push(point.p);
        current = Some(bin);
        below.push(point.weight());
    }
    edges
}

#[derive(Clone, Debug, PartialEq)]
enum Layout {
    /// Equal widths; the edges are i · (1/n), as `numpy.linspace` has them.
    Uniform(Vec<f64>),
    /// Any; the interior ones decide.
    Edges(Vec<f64>),
}

impl Layout {
    fn edges(&self) -> &[f64] {
        match self {
            Self::Uniform(edges) | Self::Edges(edges) => edges,
        }
    }

    /// The bin of a probability: how many interior edges lie below it.
    fn index(&self, p: f64) -> usize {
        let edges = self.edges();
        let interior = edges.get(1..edges.len().saturating_sub(1)).unwrap_or_default();
        interior.partition_point(|edge| *edge < p)
    }
}

/// What a bin has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    rows: u64,
    weight: Sum,
    positives: Sum,
    predicted: Sum,
}

impl Tally {
    fn push(&mut self, y: bool, p: f64, weight: f64) {
        self.rows = self.rows.saturating_add(1);
        self.weight.push(weight);
        self.predicted.push(weight * p);
        if y {
            self.positives.push(weight);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.rows = self.rows.saturating_add(other.rows);
        self.weight.merge(other.weight);
        self.positives.merge(other.positives);
        self.predicted.merge(other.predicted);
    }
}

/// The rows, the weight, the positive weight and the mean probability of fixed bins: what a calibration curve and all of its
/// errors are computed from. Filled in one pass, in parts, on several threads; merges and serialises.
///
/// The edges are fixed before the data, so that parts of it can be added up: equal widths, or given ones. A probability on an
/// edge between two bins belongs to the lower one. Sums are compensated; the same rows in the same order give the same bits
/// on any number of threads.
///
/// ```
/// use mlops_eval::calibration::CalibrationBins;
///
/// let mut bins = CalibrationBins::uniform(2)?;
/// bins.extend(&[true, false, true], &[0.9, 0.5, 0.7])?;
/// let mut other = CalibrationBins::uniform(2)?;
/// other.push(false, 0.1)?;
/// bins.merge(&other)?;
/// let curve = bins.curve(0.95)?;
/// assert_eq!(curve.bins[0].rows, Some(2));
/// assert_eq!(curve.bins[1].observed.value(), Some(1.0));
/// assert!((curve.ece() - 0.25).abs() < 1e-15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct CalibrationBins {
    layout: Layout,
    tallies: Vec<Tally>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uniform: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edges: Option<Vec<f64>>,
    rows: Vec<u64>,
    weight: Vec<Sum>,
    positives: Vec<Sum>,
    predicted: Vec<Sum>,
}

impl CalibrationBins {
    /// Empty bins of equal width: 1 to 65 536 of them.
    ///
    /// # Errors
    /// [`StatsError::Parameter`].
    pub fn uniform(bins: usize) -> Result<Self, StatsError> {
        check_count(bins)?;
        let step = 1.0 / bins as f64;
        let edges = (0..=bins).map(|i| if i == bins { 1.0 } else { i as f64 * step }).collect();
        Ok(Self::with_layout(Layout::Uniform(edges)))
    }

    /// Empty bins between edges: strictly ascending, the first 0, the last 1.
    ///
    /// ```
    /// use mlops_eval::calibration::CalibrationBins;
    /// let bins = CalibrationBins::with_edges(&[0.0, 0.01, 0.1, 1.0])?;
    /// assert_eq!(bins.edges().len(), 4);
    /// assert!(CalibrationBins::with_edges(&[0.0, 0.1]).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::TooFew`], [`StatsError::Unsorted`], [`StatsError::Nan`], [`StatsError::OutOfRange`],
    /// [`StatsError::Parameter`].
    pub fn with_edges(edges: &[f64]) -> Result<Self, StatsError> {
        check_edges(edges)?;
        Ok(Self::with_layout(Layout::Edges(edges.to_vec())))
    }

    fn with_layout(layout: Layout) -> Self {
        let bins = layout.edges().len().saturating_sub(1).max(1);
        Self { layout, tallies: vec![Tally::default(); bins] }
    }

    /// The edges, ascending.
    pub fn edges(&self) -> &[f64] {
        self.layout.edges()
    }

    /// The number of rows, whatever their weights.
    pub fn rows(&self) -> u64 {
        self.tallies.iter().fold(0, |sum, tally| sum.saturating_add(tally.rows))
    }

    /// The weight of all rows; their number where rows count alike.
    pub fn weight(&self) -> f64 {
        self.total(|tally| tally.weight)
    }

    fn total(&self, part: impl Fn(&Tally) -> Sum) -> f64 {
        let mut sum = Sum::new();
        self.tallies.iter().for_each(|tally| sum.merge(part(tally)));
        sum.value()
    }

    /// Adds one row. O(log bins).
    ///
    /// # Errors
    /// [`StatsError::Nan`] and [`StatsError::OutOfRange`] for what is no probability.
    pub fn push(&mut self, y_true: bool, probability: f64) -> Result<(), StatsError> {
        probabilities(PROBABILITIES, &[probability])?;
        let index = self.layout.index(probability);
        if let Some(tally) = self.tallies.get_mut(index) {
            tally.push(y_true, probability, 1.0);
        }
        Ok(())
    }

    /// Adds rows that count alike. O(n) for equal widths, O(n log bins) for given edges. No rows are no change.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], [`StatsError::Nan`], [`StatsError::OutOfRange`]; `self` is unchanged then.
    pub fn extend(&mut self, y_true: &[bool], probabilities: &[f64]) -> Result<(), StatsError> {
        self.extend_with(y_true, probabilities, None, Threads::ONE)
    }

    /// [`extend`](Self::extend) with a weight for each row, or none, on several threads.
    ///
    /// ```
    /// use mlops_core::num::parallel::Threads;
    /// use mlops_eval::calibration::CalibrationBins;
    ///
    /// let mut bins = CalibrationBins::uniform(10)?;
    /// bins.extend_with(&[true, false], &[0.5, 0.25], Some(&[3.0, 1.0]), Threads::available())?;
    /// assert_eq!((bins.rows(), bins.weight()), (2, 4.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`extend`](Self::extend), what [`weights::total`](mlops_core::num::weights::total) refuses, and
    /// [`StatsError::Overflow`] when the weights no longer add up to a finite number; `self` is unchanged then.
    pub fn extend_with(
        &mut self,
        y_true: &[bool],
        probabilities: &[f64],
        weights: Option<&[f64]>,
        threads: Threads,
    ) -> Result<(), StatsError> {
        match paired(named("y_true", y_true), named(PROBABILITIES, probabilities)) {
            Err(StatsError::Empty { .. }) => return Ok(()),
            checked => checked?,
        }
        weight_total(weights, named("y_true", y_true))?;
        let pieces = map_pieces(y_true.len(), threads, |rows| {
            let start = rows.start;
            let weights = weights.map(|weights| &weights[rows.clone()]);
            let piece = self.piece(&y_true[rows.clone()], &probabilities[rows], weights);
            piece.map_err(|error| in_all_rows(error, start))
        });
        let mut added = Self::with_layout(self.layout.clone());
        for piece in pieces {
            added.add(&piece?);
        }
        self.merge(&added)
    }

    fn piece(&self, y: &[bool], p: &[f64], weights: Option<&[f64]>) -> Result<Vec<Tally>, StatsError> {
        // The loop over all values has no early exit, which is what makes it fast; the search for the first fault follows.
        if !p.iter().fold(true, |fine, p| fine & (*p >= 0.0) & (*p <= 1.0)) {
            probabilities(PROBABILITIES, p)?;
        }
        if let (Layout::Uniform(edges), None) = (&self.layout, weights) {
            return Ok(run(Uniform { edges, y, p }));
        }
        let mut tallies = vec![Tally::default(); self.tallies.len()];
        for (row, (&y, &p)) in y.iter().zip(p).enumerate() {
            tallies[self.layout.index(p)].push(y, p, crate::input::weight(weights, row));
        }
        Ok(tallies)
    }

    fn add(&mut self, tallies: &[Tally]) {
        self.tallies.iter_mut().zip(tallies).for_each(|(ours, theirs)| ours.merge(theirs));
    }

    /// Adds the rows of another part of the data, in bins with the same edges.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for other edges, [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.layout != other.layout {
            return Err(StatsError::Incompatible { what: "the edges" });
        }
        let mut merged = self.clone();
        merged.add(&other.tallies);
        let rows = self.rows().checked_add(other.rows());
        if rows.is_none() {
            return Err(StatsError::Overflow { what: "the number of rows" });
        }
        crate::input::in_range("the sum of the weights", merged.weight())?;
        *self = merged;
        Ok(())
    }

    /// The calibration curve of the rows so far, with Wilson intervals of a confidence.
    ///
    /// # Errors
    /// [`StatsError::ZeroTotal`] without weight; [`StatsError::Parameter`] for a confidence outside (0, 1).
    pub fn curve(&self, confidence: f64) -> Result<CalibrationCurve, StatsError> {
        check_confidence(confidence)?;
        if self.weight() <= 0.0 {
            return Err(StatsError::ZeroTotal { argument: "bins" });
        }
        let bins = self.edges().windows(2).zip(&self.tallies).map(|(edge, tally)| {
            CalibrationBin::new(
                (edge[0], edge[1]),
                Some(tally.rows),
                (tally.weight.value(), tally.positives.value(), tally.predicted.value()),
                confidence,
            )
        });
        Ok(CalibrationCurve { bins: bins.collect(), confidence })
    }

    /// Fills the bins with a state instead of rows; the numbers of rows stay unknown (0).
    pub(super) fn fill(&mut self, state: &ScoreState) {
        for (p, negative, positive) in state.points() {
            let index = self.layout.index(p);
            if let Some(tally) = self.tallies.get_mut(index) {
                tally.weight.push(negative);
                tally.weight.push(positive);
                tally.positives.push(positive);
                tally.predicted.push((negative + positive) * p);
            }
        }
    }

    /// The bin of a probability.
    pub(super) fn index(&self, p: f64) -> usize {
        self.layout.index(p)
    }
}

/// The row of an error in a piece, counted from the first row of all.
fn in_all_rows(error: StatsError, start: usize) -> StatsError {
    match error {
        StatsError::Nan { argument, index } => StatsError::Nan { argument, index: start + index },
        StatsError::OutOfRange { argument, index, value, low, high } => {
            StatsError::OutOfRange { argument, index: start + index, value, low, high }
        }
        other => other,
    }
}

/// Bins of equal width over rows that count alike.
struct Uniform<'a> {
    edges: &'a [f64],
    y: &'a [bool],
    p: &'a [f64],
}

/// Tables that take rows in turn: a row need not wait for the one before it, which mostly is in the same bin.
const TABLES: usize = 4;

/// 2⁵²: from here on to 2⁵³ an f64 is a whole number.
const WHOLE: f64 = 4_503_599_627_370_496.0;

/// A bin of a table. The sum starts at 1, so that it is never smaller than what is added, and the digits that an addition
/// loses are had by two subtractions (Dekker 1971).
#[derive(Clone, Copy)]
struct Cell {
    /// 1 + Σ p.
    total: f64,
    lost: f64,
    /// The number of rows, and that of positives in the upper half: a piece has less than 2³² of both.
    counts: u64,
}

impl Kernel for Uniform<'_> {
    type Output = Vec<Tally>;

    #[inline(always)]
    fn run(self) -> Vec<Tally> {
        let Self { edges, y, p } = self;
        let bins = edges.len() - 1;
        // A little less than the number of bins: the product never reaches a bin too high, so that one comparison with
        // the upper edge settles it. 1 falls on the last bin.
        let scale = bins as f64 * (1.0 - 4.0 * f64::EPSILON);
        let mut cells = vec![[Cell { total: 1.0, lost: 0.0, counts: 0 }; TABLES]; bins];
        let upper = &edges[1..];
        let mut push = |table: usize, y: bool, p: f64| {
            // To the nearest whole number less a half, by the rounding of 2⁵² + x; the low bits are that number.
            let guess = ((p * scale - 0.5).max(0.0) + WHOLE).to_bits() as u32 as usize;
            let bin = guess + usize::from(p > upper[guess]);
            let cell = &mut cells[bin][table];
            let next = cell.total + p;
            cell.lost += p - (next - cell.total);
            cell.total = next;
            cell.counts += 1 + (u64::from(y) << 32);
        };
        let (y_quads, y_rest) = y.as_chunks::<TABLES>();
        let (p_quads, p_rest) = p.as_chunks::<TABLES>();
        for (y, p) in y_quads.iter().zip(p_quads) {
            for table in 0..TABLES {
                push(table, y[table], p[table]);
            }
        }
        for (table, (&y, &p)) in y_rest.iter().zip(p_rest).enumerate() {
            push(table, y, p);
        }
        cells.iter().map(tally).collect()
    }
}

fn tally(tables: &[Cell; TABLES]) -> Tally {
    let mut tally = Tally::default();
    let mut counts = 0;
    for cell in tables {
        counts += cell.counts;
        // Exact: the sum is at least 1.
        tally.predicted.push(cell.total - 1.0);
        tally.predicted.push(cell.lost);
    }
    tally.rows = counts & u64::from(u32::MAX);
    tally.weight.push(tally.rows as f64);
    tally.positives.push((counts >> 32) as f64);
    tally
}

impl TryFrom<Stored> for CalibrationBins {
    type Error = StatsError;

    fn try_from(stored: Stored) -> Result<Self, StatsError> {
        let mut bins = match (stored.uniform, &stored.edges) {
            (Some(bins), None) => Self::uniform(bins)?,
            (None, Some(edges)) => Self::with_edges(edges)?,
            _ => {
                let reason = "is needed: the number of uniform bins, or edges, not both";
                return Err(StatsError::Parameter { parameter: "edges", value: 0.0, reason });
            }
        };
        let rows = bins.tallies.len();
        for (left, left_len) in [
            ("rows", stored.rows.len()),
            ("weight", stored.weight.len()),
            ("positives", stored.positives.len()),
            ("predicted", stored.predicted.len()),
        ] {
            if left_len != rows {
                return Err(StatsError::LengthMismatch { left, left_len, right: "bins", right_len: rows });
            }
        }
        for (index, tally) in bins.tallies.iter_mut().enumerate() {
            *tally = Tally {
                rows: stored.rows[index],
                weight: stored.weight[index],
                positives: stored.positives[index],
                predicted: stored.predicted[index],
            };
            check_tally(index, tally, (bins.layout.edges()[index], bins.layout.edges()[index + 1]))?;
        }
        if stored.rows.iter().try_fold(0_u64, |sum, rows| sum.checked_add(*rows)).is_none() {
            return Err(StatsError::Overflow { what: "the number of rows" });
        }
        crate::input::in_range("the sum of the weights", bins.weight())?;
        Ok(bins)
    }
}

/// That the numbers of a bin can come from rows in it.
fn check_tally(index: usize, tally: &Tally, (low, high): (f64, f64)) -> Result<(), StatsError> {
    let weight = tally.weight.value();
    let parts = [
        ("weight", weight, 0.0, f64::MAX),
        ("positives", tally.positives.value(), 0.0, weight),
        ("predicted", tally.predicted.value(), low * weight, high * weight),
    ];
    for (argument, value, low, high) in parts {
        let slack = 1e-9 * high;
        if !(value >= low - slack && value <= high + slack && value.is_finite()) || (value < 0.0) {
            return Err(StatsError::OutOfRange { argument, index, value, low, high });
        }
    }
    if tally.rows == 0 && weight > 0.0 {
        let reason = "is less than the number of rows with a weight";
        return Err(StatsError::Parameter { parameter: "rows", value: 0.0, reason });
    }
    Ok(())
}

impl From<CalibrationBins> for Stored {
    fn from(bins: CalibrationBins) -> Self {
        let (uniform, edges) = match bins.layout {
            Layout::Uniform(edges) => (Some(edges.len() - 1), None),
            Layout::Edges(edges) => (None, Some(edges)),
        };
        Self {
            uniform,
            edges,
            rows: bins.tallies.iter().map(|tally| tally.rows).collect(),
            weight: bins.tallies.iter().map(|tally| tally.weight).collect(),
            positives: bins.tallies.iter().map(|tally| tally.positives).collect(),
            predicted: bins.tallies.iter().map(|tally| tally.predicted).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::num::simd::{Level, run_at};

    fn near_edges(bins: usize) -> Vec<f64> {
        let step = 1.0 / bins as f64;
        let edges = (0..=bins).flat_map(|i| [i as f64 * step, i as f64 / bins as f64]);
        let near = edges.flat_map(|edge| [edge.next_down(), edge, edge.next_up()]);
        near.filter(|p| (0.0..=1.0).contains(p)).collect()
    }

    #[test]
    fn one_multiplication_finds_the_bin_that_the_search_finds() {
        for bins in [1, 2, 3, 7, 10, 15, 49, 100, 1000, 65_536] {
            let p = near_edges(bins);
            let layout = CalibrationBins::uniform(bins).unwrap().layout;
            let y = vec![true; p.len()];
            for level in Level::all() {
                let tallies = run_at(level, Uniform { edges: layout.edges(), y: &y, p: &p });
                let mut expected = vec![0; bins];
                p.iter().for_each(|p| expected[layout.index(*p)] += 1);
                let rows: Vec<u64> = tallies.iter().map(|tally| tally.rows).collect();
                assert_eq!(rows, expected, "{bins} {level:?}");
            }
        }
    }

    #[test]
    fn sums_lose_no_digits() {
        let p = [vec![0.1; 50_001], vec![1e-9; 15_000]].concat();
        let y = vec![false; p.len()];
        let bins = CalibrationBins::uniform(1).unwrap();
        let tally = run(Uniform { edges: bins.edges(), y: &y, p: &p })[0];
        // 0.1 is 3602879701896397 / 2⁵⁵: exact in integers of 128 bits.
        let exact = (50_001_u128 * 3_602_879_701_896_397) as f64 / 2_f64.powi(55) + 15_000.0 * 1e-9;
        assert!((tally.predicted.value() - exact).abs() <= 2e-16 * exact);
    }
}
