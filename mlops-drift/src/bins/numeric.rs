//! Bins of numbers.

use std::fmt;
use std::ops::Bound;

use mlops_core::hash::{Digest, Hasher};
use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::kernel::{self, Grid};
use super::{BinRule, Counts, fit};
use crate::sample::{Sample, Value};

/// Cells for numbers, fitted on a reference: underflow, the fitted ones, overflow, missing, in this order.
///
/// Fitted cells contain their lower edge and not their upper one; the last of them contains both, as in NumPy. Values below
/// the reference's smallest (and −∞) underflow, values above its largest (and +∞) overflow, NaN is missing. −0.0 is 0.0.
///
/// Serialises with a version, as finite numbers only (`{"version":1,"lows":[…],"top":…}`), and refuses to be read with edges
/// out of order, unknown versions or unknown fields.
///
/// # Example: fit once, count every day
/// ```
/// use mlops_drift::{BinRule, Bins, Smoothing, psi_from_counts};
///
/// let reference: Vec<f64> = (0..1000).map(f64::from).collect();
/// let bins = Bins::fit(&reference, BinRule::default())?;
/// let baseline = bins.count(&reference);
///
/// let stored = serde_json::to_string(&bins)?;
/// let bins: Bins = serde_json::from_str(&stored)?;
/// let today = bins.count(&[120.0, 130.0, 140.0, 2000.0, f64::NAN]);
/// assert!(psi_from_counts(baseline.as_slice(), today.as_slice(), Smoothing::Jeffreys)?.score > 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Bins {
    /// Strictly ascending; cell i of the fitted ones is [edges[i], edges[i + 1]).
    edges: Vec<f64>,
    /// What makes counting fast; follows from the edges.
    grid: Grid,
    digest: Digest,
}

/// The versioned form on disk. The closing edge is stored as the largest value it lets in, which is always finite.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    lows: Vec<f64>,
    top: f64,
}

/// What one cell of [`Bins`] contains; displayed as an interval.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    /// Everything below this value.
    Underflow {
        /// The smallest value that is not in the cell.
        below: f64,
    },
    /// Exactly this value.
    Atom {
        /// The value.
        value: f64,
    },
    /// The values between two bounds.
    Range {
        /// The lower bound; open beside an atom.
        low: Bound<f64>,
        /// The upper bound; closed for the last fitted cell.
        high: Bound<f64>,
    },
    /// Everything above this value.
    Overflow {
        /// The largest value that is not in the cell.
        above: f64,
    },
    /// NaN.
    Missing,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Underflow { below } => write!(f, "(-inf, {below})"),
            Self::Atom { value } => write!(f, "{{{value}}}"),
            Self::Range { low, high } => {
                match low {
                    Bound::Included(low) => write!(f, "[{low}, ")?,
                    Bound::Excluded(low) => write!(f, "({low}, ")?,
                    Bound::Unbounded => f.write_str("(-inf, ")?,
                }
                match high {
                    Bound::Included(high) => write!(f, "{high}]"),
                    Bound::Excluded(high) => write!(f, "{high})"),
                    Bound::Unbounded => f.write_str("inf)"),
                }
            }
            Self::Overflow { above } => write!(f, "({above}, inf)"),
            Self::Missing => f.write_str("missing"),
        }
    }
}

impl Bins {
    /// The most cells a rule may ask for.
    pub const MAX_BINS: usize = 65_536;

    /// The version of the serialised form.
    pub const VERSION: u32 = 1;

    /// Fits cells on a reference by a rule, from its finite values (as doubles); what is missing and infinities are counted, but
    /// do not shape the cells. O(n log n) for quantiles, O(n) for equal widths.
    ///
    /// # Errors
    /// [`StatsError::Empty`]; [`StatsError::AllMissing`] when every value is NaN or absent, [`StatsError::NotFinite`] when there are
    /// infinities only; [`StatsError::Parameter`] when the rule asks for 0 cells or more than [`Self::MAX_BINS`].
    ///
    /// ```
    /// use mlops_drift::{BinRule, Bins};
    ///
    /// // A third of the values is 0: it gets a cell to itself.
    /// let bins = Bins::fit(&[0.0, 0.0, 1.0, 2.0, 3.0, 4.0], BinRule::Quantile(3))?;
    /// let shown: Vec<String> = bins.cells().map(|cell| cell.to_string()).collect();
    /// assert_eq!(shown, ["(-inf, 0)", "{0}", "(0, 2.5)", "[2.5, 4]", "(4, inf)", "missing"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fit<'a, T: Value>(reference: impl Into<Sample<'a, T>>, rule: BinRule) -> Result<Self, StatsError> {
        let reference = reference.into();
        if let BinRule::Quantile(bins) | BinRule::EqualWidth(bins) = rule {
            fit::check_cells(bins as f64)?;
        }
        let mut finite: Vec<f64> =
            reference.iter().filter(|value| value.is_finite()).map(Value::to_f64).collect();
        if finite.is_empty() {
            return Err(nothing_finite(&reference));
        }
        let low = finite.iter().copied().fold(f64::INFINITY, f64::min);
        let high = finite.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if let BinRule::Quantile(bins) = rule {
            finite.sort_unstable_by(f64::total_cmp);
            return Self::new(fit::quantile(&finite, bins)?, high);
        }
        let bins = match rule {
            BinRule::EqualWidth(bins) => bins,
            BinRule::Doane => fit::doane(&finite, low, high)?,
            BinRule::FreedmanDiaconis => {
                finite.sort_unstable_by(f64::total_cmp);
                fit::freedman_diaconis(&finite, low, high)?
            }
            _ => fit::sturges(finite.len(), low, high)?,
        };
        Self::new(fit::equal_width(low, high, bins), high)
    }

    /// Cells between given edges, at least two, strictly ascending; the last cell contains the last edge. An infinite first
    /// or last edge is taken for the largest finite number, so that infinities stay in the outer cells.
    ///
    /// # Errors
    /// [`StatsError::TooFew`], [`StatsError::Nan`], [`StatsError::Unsorted`] (also for an edge given twice), each with the index;
    /// [`StatsError::Parameter`] for more than [`Self::MAX_BINS`] cells.
    ///
    /// ```
    /// use mlops_drift::Bins;
    ///
    /// let bins = Bins::from_edges(&[0.0, 0.5, 1.0])?;
    /// assert_eq!(bins.count(&[-0.1, 0.0, 0.5, 1.0, 1.1]).as_slice(), [1, 1, 2, 1, 0]);
    /// assert!(Bins::from_edges(&[0.0, 1.0, 1.0]).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_edges(edges: &[f64]) -> Result<Self, StatsError> {
        let argument = "edges";
        let (Some((&top, lows)), true) = (edges.split_last(), edges.len() >= 2) else {
            return Err(StatsError::TooFew { argument, needed: 2, got: edges.len() });
        };
        if lows.len() > Self::MAX_BINS {
            let reason = "must lie between 1 and 65536";
            return Err(StatsError::Parameter { parameter: "bins", value: lows.len() as f64, reason });
        }
        check_ascending(edges)?;
        let clamp = |edge: f64| edge.clamp(f64::MIN, f64::MAX);
        Self::new(lows.iter().copied().map(clamp).collect(), clamp(top))
    }

    /// From lower edges and the largest value of the last cell, all finite.
    fn new(mut edges: Vec<f64>, top: f64) -> Result<Self, StatsError> {
        edges.iter_mut().for_each(|edge| *edge += 0.0); // −0.0 becomes 0.0
        edges.push(top.next_up() + 0.0);
        check_ascending(&edges)?;
        let mut hasher = Hasher::new("mlops-drift.bins/v1");
        edges.iter().for_each(|edge| hasher.push(&edge.to_bits().to_le_bytes()));
        Ok(Self { grid: Grid::new(&edges), edges, digest: hasher.finish() })
    }

    /// How many cells there are, the outer three included.
    ///
    /// ```
    /// assert_eq!(mlops_drift::Bins::from_edges(&[0.0, 1.0, 2.0])?.len(), 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[expect(clippy::len_without_is_empty, reason = "there are always at least four cells")]
    pub fn len(&self) -> usize {
        self.edges.len() + 2
    }

    /// Counts that were made elsewhere on these cells, the missing cell last.
    pub(crate) fn counted(&self, cells: &[u64]) -> Counts {
        let mut counts = Counts::zero(self.digest, self.len());
        counts.fill(cells);
        counts
    }

    /// What identifies these bins: equal for equal cells, different for different ones.
    ///
    /// ```
    /// use mlops_drift::Bins;
    /// assert_eq!(Bins::from_edges(&[-0.0, 1.0])?.digest(), Bins::from_edges(&[0.0, 1.0])?.digest());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What each cell contains, in the order of the counts.
    ///
    /// ```
    /// use mlops_drift::{Bins, Cell};
    ///
    /// let bins = Bins::from_edges(&[0.0, 1.0])?;
    /// assert_eq!(bins.cells().next(), Some(Cell::Underflow { below: 0.0 }));
    /// assert_eq!(bins.cells().last(), Some(Cell::Missing));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        let (first, end) = (self.edges[0], self.edges[self.edges.len() - 1]);
        let fitted = (0..self.edges.len() - 1).map(|i| self.fitted_cell(i));
        std::iter::once(Cell::Underflow { below: first })
            .chain(fitted)
            .chain([Cell::Overflow { above: end.next_down() + 0.0 }, Cell::Missing])
    }

    fn fitted_cell(&self, i: usize) -> Cell {
        let (low, end) = (self.edges[i], self.edges[i + 1]);
        if self.is_atom(i) {
            return Cell::Atom { value: low };
        }
        let after_atom = i > 0 && self.is_atom(i - 1);
        let last = i + 2 == self.edges.len();
        Cell::Range {
            low: if after_atom { Bound::Excluded(self.edges[i - 1]) } else { Bound::Included(low) },
            high: if last { Bound::Included(end.next_down() + 0.0) } else { Bound::Excluded(end) },
        }
    }

    fn is_atom(&self, i: usize) -> bool {
        self.edges[i].next_up() == self.edges[i + 1]
    }

    /// The cell of one value. O(log k).
    ///
    /// ```
    /// let bins = mlops_drift::Bins::from_edges(&[0.0, 1.0, 2.0])?;
    /// assert_eq!([-1.0, 0.0, 1.0, 2.0, f64::INFINITY, f64::NAN].map(|v| bins.cell_of(v)), [0, 1, 2, 2, 3, 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cell_of(&self, value: f64) -> usize {
        if value.is_nan() {
            return self.len() - 1;
        }
        self.edges.partition_point(|edge| *edge <= value)
    }

    /// Counts values into the cells. Linear time, one allocation of the size of the cells; never fails.
    ///
    /// ```
    /// let bins = mlops_drift::Bins::from_edges(&[0.0, 1.0])?;
    /// assert_eq!(bins.count(&[f64::NEG_INFINITY, 0.5, 0.6, 3.0, f64::NAN]).as_slice(), [1, 2, 1, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count(&self, values: &[f64]) -> Counts {
        let mut counts = Counts::zero(self.digest, self.len());
        self.add(&mut counts, values);
        counts
    }

    /// Counts more values into existing counts, without allocating: for streams.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] when the counts belong to other bins.
    ///
    /// ```
    /// let bins = mlops_drift::Bins::from_edges(&[0.0, 1.0])?;
    /// let mut counts = bins.count(&[]);
    /// for batch in [[0.1, 0.2], [0.3, 5.0]] {
    ///     bins.count_into(&mut counts, &batch)?;
    /// }
    /// assert_eq!(counts.as_slice(), [0, 3, 1, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count_into(&self, counts: &mut Counts, values: &[f64]) -> Result<(), StatsError> {
        counts.fits(self.digest, self.len())?;
        self.add(counts, values);
        Ok(())
    }

    fn add<T: Value>(&self, counts: &mut Counts, values: &[T]) {
        kernel::add(&self.grid, &self.edges, counts.cells_mut(), values);
    }
}

impl TryFrom<Stored> for Bins {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        if stored.version != Self::VERSION {
            return Err(format!("bins of version {} are not known, only {}", stored.version, Self::VERSION));
        }
        if stored.lows.is_empty() || stored.lows.len() > 4 * Self::MAX_BINS {
            return Err(format!("bins cannot have {} lower edges", stored.lows.len()));
        }
        if !stored.top.is_finite() || stored.lows.iter().any(|low| !low.is_finite()) {
            return Err("bins have an edge that is not finite".to_owned());
        }
        Self::new(stored.lows, stored.top).map_err(|error| error.to_string())
    }
}

impl From<Bins> for Stored {
    fn from(bins: Bins) -> Self {
        let mut lows = bins.edges;
        let end = lows.pop().unwrap_or(f64::INFINITY);
        Self { version: Bins::VERSION, lows, top: end.next_down() + 0.0 }
    }
}

fn check_ascending(edges: &[f64]) -> Result<(), StatsError> {
    let argument = "edges";
    if let Some(index) = edges.iter().position(|edge| edge.is_nan()) {
        return Err(StatsError::Nan { argument, index });
    }
    match edges.windows(2).position(|pair| pair[0] >= pair[1]) {
        Some(index) => Err(StatsError::Unsorted { argument, index: index + 1 }),
        None => Ok(()),
    }
}

fn nothing_finite<T: Value>(reference: &Sample<'_, T>) -> StatsError {
    let argument = "reference";
    if reference.is_empty() {
        return StatsError::Empty { argument };
    }
    let infinite = |&index: &usize| reference.is_valid(index) && !reference.values()[index].is_nan();
    match (0..reference.len()).find(infinite) {
        Some(index) => StatsError::NotFinite { argument, index, value: reference.values()[index].to_f64() },
        None => StatsError::AllMissing { argument },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f64 = f64::INFINITY;

    #[test]
    fn hostile_references_are_cut_or_refused() {
        let empty = StatsError::Empty { argument: "reference" };
        assert_eq!(Bins::fit::<f64>(&[], BinRule::default()), Err(empty));
        let all_nan = StatsError::AllMissing { argument: "reference" };
        assert_eq!(Bins::fit(&[f64::NAN, -f64::NAN], BinRule::default()), Err(all_nan));
        let infinite = StatsError::NotFinite { argument: "reference", index: 1, value: -INF };
        assert_eq!(Bins::fit(&[f64::NAN, -INF], BinRule::default()), Err(infinite));
        for bins in [0, Bins::MAX_BINS + 1, usize::MAX] {
            for rule in [BinRule::Quantile(bins), BinRule::EqualWidth(bins)] {
                let refused = Bins::fit(&[1.0, 2.0], rule);
                assert!(matches!(refused, Err(StatsError::Parameter { parameter: "bins", .. })), "{rule:?}");
            }
        }
    }

    #[test]
    fn every_value_lands_in_the_cell_that_says_so() {
        let references: [&[f64]; 8] = [
            &[1.0],
            &[7.0; 9],
            &[-1e308, 1e308],
            &[f64::MIN, f64::MAX, 0.0, -0.0],
            &[5e-324, 1e-323, -5e-324, 0.0],
            &[1e15, 1e15 + 1.0, 1e15 + 2.0],
            &[0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 2.0, 3.5],
            &[f64::MAX, f64::MAX, 1.0],
        ];
        let probes =
            [-INF, f64::MIN, -1e308, -1.0, -5e-324, -0.0, 0.0, 5e-324, 1.0, 2.0, 1e15, f64::MAX, INF];
        for reference in references {
            for rule in [
                BinRule::Quantile(3),
                BinRule::Quantile(100),
                BinRule::EqualWidth(7),
                BinRule::EqualWidth(50),
            ] {
                let bins = Bins::fit(reference, rule).unwrap();
                let cells: Vec<Cell> = bins.cells().collect();
                assert_eq!(cells.len(), bins.len());
                for probe in probes.iter().chain(reference) {
                    let homes: Vec<usize> =
                        (0..cells.len()).filter(|&i| contains(cells[i], *probe)).collect();
                    assert_eq!(homes, [bins.cell_of(*probe)], "{probe} in {cells:?}");
                }
                let fitted = bins.count(reference);
                assert_eq!(fitted.total(), reference.len() as u64);
                assert_eq!(
                    (fitted.as_slice()[0], fitted.as_slice()[bins.len() - 2]),
                    (0, 0),
                    "nothing falls outside"
                );
                let text = serde_json::to_string(&bins).unwrap();
                assert_eq!(serde_json::from_str::<Bins>(&text).unwrap(), bins, "{text}");
            }
        }
    }

    fn contains(cell: Cell, value: f64) -> bool {
        match cell {
            Cell::Underflow { below } => value < below,
            Cell::Atom { value: atom } => value == atom,
            Cell::Range { low, high } => {
                (match low {
                    Bound::Included(low) => value >= low,
                    Bound::Excluded(low) => value > low,
                    Bound::Unbounded => true,
                }) && match high {
                    Bound::Included(high) => value <= high,
                    Bound::Excluded(high) => value < high,
                    Bound::Unbounded => true,
                }
            }
            Cell::Overflow { above } => value > above,
            Cell::Missing => value.is_nan(),
        }
    }

    #[test]
    fn both_kernels_agree_on_every_length() {
        let reference: Vec<f64> = (0..500).map(|i| f64::from(i * i % 97)).collect();
        for rule in
            [BinRule::Quantile(5), BinRule::EqualWidth(15), BinRule::EqualWidth(16), BinRule::Quantile(60)]
        {
            let bins = Bins::fit(&reference, rule).unwrap();
            for len in 0..68 {
                let mut values = reference[..len].to_vec();
                values.extend([f64::NAN, INF, -INF, -0.0]);
                let mut expected = vec![0; bins.len()];
                values.iter().for_each(|&value| expected[bins.cell_of(value)] += 1);
                assert_eq!(bins.count(&values).as_slice(), expected);
            }
        }
    }

    #[test]
    fn given_edges_are_checked() {
        for (edges, refused) in [
            (vec![], StatsError::TooFew { argument: "edges", needed: 2, got: 0 }),
            (vec![1.0], StatsError::TooFew { argument: "edges", needed: 2, got: 1 }),
            (vec![0.0, 2.0, 1.0], StatsError::Unsorted { argument: "edges", index: 2 }),
            (vec![0.0, 0.0], StatsError::Unsorted { argument: "edges", index: 1 }),
            (vec![-0.0, 0.0], StatsError::Unsorted { argument: "edges", index: 1 }),
            (vec![0.0, f64::NAN], StatsError::Nan { argument: "edges", index: 1 }),
        ] {
            assert_eq!(Bins::from_edges(&edges), Err(refused), "{edges:?}");
        }
        let open = Bins::from_edges(&[-INF, 0.0, INF]).unwrap();
        assert_eq!(open.count(&[-INF, f64::MIN, f64::MAX, INF]).as_slice(), [1, 1, 1, 1, 0]);
    }

    #[test]
    fn stored_bins_that_make_no_sense_are_refused() {
        for text in [
            r#"{"version":2,"lows":[0.0],"top":1.0}"#,
            r#"{"version":1,"lows":[],"top":1.0}"#,
            r#"{"version":1,"lows":[0.0,0.0],"top":1.0}"#,
            r#"{"version":1,"lows":[2.0],"top":1.0}"#,
            r#"{"version":1,"lows":[null],"top":1.0}"#,
            r#"{"version":1,"lows":[0.0],"top":1e400}"#,
            r#"{"version":1,"lows":[0.0],"top":1.0,"extra":0}"#,
        ] {
            assert!(serde_json::from_str::<Bins>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn order_does_not_matter_to_the_fit() {
        let sorted: Vec<f64> = (0..300).map(|i| f64::from(i / 7)).collect();
        let mut shuffled = sorted.clone();
        shuffled.reverse();
        shuffled.rotate_left(101);
        let fit = |values: &[f64]| Bins::fit(values, BinRule::Quantile(10)).unwrap().digest();
        assert_eq!(fit(&sorted), fit(&shuffled));
    }
}
