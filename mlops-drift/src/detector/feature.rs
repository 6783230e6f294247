//! One feature of a detector: what is kept of the reference, and how a current column is measured against it.

use std::borrow::Cow;

use mlops_core::data::{Column, DataType, Values};
use mlops_core::monitor::{CellCounts, SideCounts};
use mlops_core::num::json_float;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::method::{Family, Method, with_rule};
use super::options::DetectorOptions;
use super::overlay::{Overlay, category_cells, new_levels};
use super::reading::{Failure, OnCells, Reading, folded};
use super::unwatched;
use crate::ks::refine::MOST;
use crate::profile::ColumnCells;
use crate::{Bins, CategoryBins, Counts, Missing, SortedReference, Tally, Workspace, chi2_homogeneity};

/// What is kept of one feature of the reference.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fitted {
    name: String,
    side: SideCounts,
    method: Method,
    min_score: f64,
    also: Vec<Method>,
    kind: Kind,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Kind {
    Numbers {
        /// The present values in ascending order, where a method needs them.
        sorted: Option<Sorted>,
        /// Cells and their counts, where a method needs them.
        cells: Option<(Bins, Counts)>,
        overlay: Option<Box<Overlay>>,
    },
    Levels {
        levels: CategoryBins,
        counts: Counts,
    },
    /// Nothing was present to fit on.
    Nothing {
        categories: bool,
    },
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Float(#[serde(with = "json_float")] f64);

/// The values of a reference, ascending and without NaN.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<Float>", into = "Vec<Float>")]
enum Sorted {
    Plain(Vec<f64>),
    /// Counted too, so that a large sample is measured without sorting it.
    Counted(Box<SortedReference<f64>>),
}

/// How many values are counted: with fewer, sorting costs little, and counts would take many times their memory.
const COUNTED_FROM: usize = 16_384;

impl Sorted {
    fn values(&self) -> &[f64] {
        match self {
            Self::Plain(values) => values,
            Self::Counted(reference) => reference.sorted(),
        }
    }

    fn counted(&self) -> Option<&SortedReference<f64>> {
        match self {
            Self::Plain(_) => None,
            Self::Counted(reference) => Some(reference),
        }
    }

    /// Counted where one of the methods gains by it. Depends on nothing but the values, so that what was stored comes back.
    fn ready(self, methods: &[Method]) -> Self {
        let wasserstein = methods.contains(&Method::Wasserstein);
        match self {
            Self::Plain(values)
                if (COUNTED_FROM..MOST).contains(&values.len())
                    && (wasserstein || methods.contains(&Method::KolmogorovSmirnov)) =>
            {
                Self::Counted(Box::new(SortedReference::of_sorted(values, wasserstein)))
            }
            other => other,
        }
    }
}

impl From<Sorted> for Vec<Float> {
    fn from(sorted: Sorted) -> Self {
        let values = match sorted {
            Sorted::Plain(values) => values,
            Sorted::Counted(reference) => (*reference).into_sorted(),
        };
        values.into_iter().map(Float).collect()
    }
}

impl TryFrom<Vec<Float>> for Sorted {
    type Error = &'static str;

    fn try_from(values: Vec<Float>) -> Result<Self, &'static str> {
        let values: Vec<f64> = values.into_iter().map(|value| value.0).collect();
        let ascending = values.windows(2).all(|pair| pair[0] <= pair[1]);
        if values.is_empty() || values.iter().any(|value| value.is_nan()) || !ascending {
            return Err("the values of a reference are in ascending order, without NaN, and at least one");
        }
        Ok(Self::Plain(values))
    }
}

/// Memory that one check after another uses again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    values: Vec<f64>,
    present: Vec<f64>,
    sorted: Vec<f64>,
    workspace: Option<Workspace<f64>>,
    map: Vec<usize>,
    counts: Vec<u64>,
}

/// What was measured on a feature, before any decision.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) reading: Reading,
    pub(super) also: Vec<(Method, Result<Reading, Failure>)>,
    /// P of no drift of values or of the share of missing ones.
    pub(super) p: Option<f64>,
    pub(super) ln_p: Option<f64>,
    pub(super) current: SideCounts,
    pub(super) cells: Vec<CellCounts>,
}

/// A column of a profile, on the cells of its reference.
pub(super) struct Counted<'a> {
    pub(super) cells: Vec<u64>,
    pub(super) infinite: u64,
    /// The most frequent unseen levels and the least they were counted.
    pub(super) new: &'a [(String, u64)],
}

impl Counted<'_> {
    fn side(&self, unseen: u64) -> SideCounts {
        let rows = self.cells.iter().sum();
        let missing = self.cells.last().copied().unwrap_or(0);
        SideCounts::new(rows, rows).with_missing(missing).with_infinite(self.infinite).with_unseen(unseen)
    }
}

impl Fitted {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Why it is not watched unless it is named, if it is not.
    pub(super) fn unwatched(&self, options: &DetectorOptions) -> Option<String> {
        match &self.kind {
            Kind::Nothing { .. } => Some("no value is present".to_owned()),
            Kind::Levels { levels, counts } if !options.rules.contains_key(&self.name) => {
                let known = counts.as_slice().get(..levels.len() - 2).unwrap_or_default();
                unwatched::identifiers(known, options.min_rows)
            }
            _ => None,
        }
    }

    pub(super) fn side(&self) -> SideCounts {
        self.side
    }

    pub(super) fn method(&self) -> Method {
        self.method
    }

    pub(super) fn min_score(&self) -> f64 {
        self.min_score
    }

    /// Takes the smallest score that matters from other options; the method stays.
    pub(super) fn set_min_score(&mut self, options: &DetectorOptions) {
        let rule = options.rules.get(&self.name).and_then(|rule| rule.min_score);
        self.min_score = rule.or(options.min_score).unwrap_or(self.method.min_score());
    }

    pub(super) fn fit(column: &Column<'_>, options: &DetectorOptions) -> Result<Self> {
        let categories = column.data_type() == DataType::Category;
        let (method, min_score) = options.rule(column.name(), categories);
        if categories && !method.on_categories() {
            let message = format!("{method} is not defined for categories");
            return Err(Error::invalid("Detector::fit", "method", message).with("feature", column.name()));
        }
        let also = options.also.iter().copied().filter(|other| *other != method);
        let also: Vec<Method> = also.filter(|other| !categories || other.on_categories()).collect();
        let mut side = SideCounts::new(column.len() as u64, 0);
        let methods: Vec<Method> = std::iter::once(method).chain(also.iter().copied()).collect();
        let kind = if categories {
            fit_levels(column, &mut side)
        } else {
            fit_numbers(column, &methods, options, &mut side)
        };
        let kind = kind.map_err(|error| error.with("feature", column.name()))?;
        Ok(Self { name: column.name().to_owned(), side, method, min_score, also, kind })
    }

    /// Of a column of which only counts are kept.
    pub(super) fn of_counts(
        name: &str,
        cells: &ColumnCells,
        baseline: &Counted<'_>,
        options: &DetectorOptions,
    ) -> Result<Self> {
        let categories = matches!(cells, ColumnCells::Category { .. });
        let (method, min_score) = options.rule(name, categories);
        if method.family() != Family::Cells {
            let message = format!("{method} needs values, and a profile has counts");
            return Err(Error::invalid("Reference::detect", "method", message).with("feature", name));
        }
        let also = options.also.iter().copied();
        let also = also.filter(|other| *other != method && other.family() == Family::Cells).collect();
        let (side, kind) = match cells {
            ColumnCells::Numeric { bins, .. } => {
                let counts = bins.counted(&baseline.cells);
                let overlay =
                    (options.cells > 0).then(|| Box::new(Overlay::of(bins.clone(), counts.clone())));
                let side = baseline.side(beyond(&counts));
                (side, Kind::Numbers { sorted: None, cells: Some((bins.clone(), counts)), overlay })
            }
            ColumnCells::Category { bins } => {
                let counts = bins.counted(&baseline.cells);
                (baseline.side(0), Kind::Levels { levels: bins.clone(), counts })
            }
        };
        let side = side.with_unseen(0);
        Ok(Self { name: name.to_owned(), side, method, min_score, also, kind })
    }

    /// Measures counts of the cells of this feature.
    pub(super) fn measure_counts(
        &self,
        current: &Counted<'_>,
        options: &DetectorOptions,
    ) -> Result<Measured, Failure> {
        let both = |both: OnCells<'_>| {
            let reading = self.method.on_cells(&both)?;
            let also = self.also.iter().map(|method| (*method, method.on_cells(&both))).collect();
            Ok::<_, Failure>((reading, also))
        };
        let (reading, also, side, cells) = match &self.kind {
            Kind::Numbers { cells: Some((bins, reference)), overlay, .. } => {
                let counts = bins.counted(&current.cells);
                let (before, now) = (folded(reference), folded(&counts));
                let (reading, also) = both(OnCells {
                    reference: bins.tally(reference, Missing::Cell)?,
                    current: bins.tally(&counts, Missing::Cell)?,
                    counts: (&before, &now),
                })?;
                let shown = overlay.as_ref().map(|overlay| overlay.cells(&counts)).unwrap_or_default();
                (reading, also, current.side(beyond(&counts)), shown)
            }
            Kind::Levels { levels, counts: reference } => {
                let counts = levels.counted(&current.cells);
                let unseen = counts.as_slice().get(levels.len() - 2).copied().unwrap_or(0);
                let (reading, also) = both(OnCells {
                    reference: Tally::new(reference.as_slice()),
                    current: Tally::new(counts.as_slice()),
                    counts: (reference.as_slice(), counts.as_slice()),
                })?;
                let new = || current.new.iter().map(|(name, n)| (Cow::Borrowed(name.as_str()), *n)).collect();
                let shown = match options.cells {
                    0 => Vec::new(),
                    cells => category_cells(levels, reference, &counts, new, cells),
                };
                (reading, also, current.side(unseen), shown)
            }
            _ => return Err(Failure::NoReference),
        };
        Ok(Measured { reading, also, p: reading.p, ln_p: reading.ln_p, current: side, cells })
    }

    fn methods(&self) -> impl Iterator<Item = Method> + '_ {
        std::iter::once(self.method).chain(self.also.iter().copied())
    }

    /// Makes what was read from somewhere as fast as what was fitted.
    pub(super) fn ready(mut self) -> Self {
        let methods: Vec<Method> = self.methods().collect();
        if let Kind::Numbers { sorted, .. } = &mut self.kind {
            *sorted = sorted.take().map(|sorted| sorted.ready(&methods));
        }
        self
    }

    /// Whether what was read from somewhere fits together; the reason when it does not.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let (sound, categories) = match &self.kind {
            Kind::Numbers { sorted, cells, overlay } => {
                let has = |method: Method| match method.family() {
                    Family::Values => sorted.is_some(),
                    Family::Cells => cells.is_some(),
                };
                let methods = self.methods().all(has);
                let counted =
                    cells.as_ref().is_none_or(|(bins, counts)| bins.count(&[]).merge(counts).is_ok());
                (methods && counted && overlay.as_deref().is_none_or(Overlay::is_sound), false)
            }
            Kind::Levels { levels, counts } => (levels.count([]).merge(counts).is_ok(), true),
            Kind::Nothing { categories } => (true, *categories),
        };
        if !sound || categories && !self.method.on_categories() || self.side.missing > self.side.rows {
            return Err("what is kept of a feature does not fit together");
        }
        if !self.min_score.is_finite() || self.min_score < 0.0 {
            return Err("the smallest score that matters lies in [0, ∞)");
        }
        Ok(())
    }

    /// Measures a current column.
    pub(super) fn measure(
        &self,
        column: &Column<'_>,
        options: &DetectorOptions,
        scratch: &mut Scratch,
    ) -> Result<Measured, Failure> {
        if column.is_empty() {
            return Err(Failure::NoRows);
        }
        let current = column.data_type();
        match &self.kind {
            Kind::Nothing { .. } => Err(Failure::NoReference),
            Kind::Levels { levels, counts } if current == DataType::Category => {
                self.on_levels(levels, counts, column, options, scratch)
            }
            Kind::Levels { .. } => Err(Failure::Type { categories: true, current }),
            Kind::Numbers { .. } if matches!(current, DataType::Category | DataType::Time) => {
                Err(Failure::Type { categories: false, current })
            }
            Kind::Numbers { sorted, cells, overlay } => {
                self.on_numbers(sorted.as_ref(), cells.as_ref(), overlay.as_deref(), column, scratch)
            }
        }
    }

    /// The id of what a reading computed here.
    pub(super) fn definition(&self, method: Method, reading: &Reading, options: &DetectorOptions) -> String {
        let id = reading.id.to_string();
        match (&self.kind, method.family()) {
            (Kind::Numbers { .. }, Family::Cells) => with_rule(&id, options.bins),
            _ => id,
        }
    }

    fn on_levels(
        &self,
        levels: &CategoryBins,
        reference: &Counts,
        column: &Column<'_>,
        options: &DetectorOptions,
        scratch: &mut Scratch,
    ) -> Result<Measured, Failure> {
        let current = count_levels(levels, column, scratch);
        let unseen = current.as_slice().get(levels.len() - 2).copied().unwrap_or(0);
        let rows = column.len() as u64;
        let side = SideCounts::new(rows, rows).with_missing(current.missing()).with_unseen(unseen);
        let both = OnCells {
            reference: Tally::new(reference.as_slice()),
            current: Tally::new(current.as_slice()),
            counts: (reference.as_slice(), current.as_slice()),
        };
        let read = |method: Method| method.on_cells(&both);
        let reading = read(self.method)?;
        let also = self.also.iter().map(|method| (*method, read(*method))).collect();
        let cells = match options.cells {
            0 => Vec::new(),
            cells => category_cells(levels, reference, &current, || new_levels(levels, column), cells),
        };
        Ok(Measured { reading, also, p: reading.p, ln_p: reading.ln_p, current: side, cells })
    }

    fn on_numbers(
        &self,
        sorted: Option<&Sorted>,
        cells: Option<&(Bins, Counts)>,
        overlay: Option<&Overlay>,
        column: &Column<'_>,
        scratch: &mut Scratch,
    ) -> Result<Measured, Failure> {
        let Scratch { values: buffer, present: left, sorted: in_order, workspace, .. } = scratch;
        let values = numbers(column, buffer);
        let mut side = SideCounts::new(values.len() as u64, 0);
        (side.missing, side.infinite) = odd(values);
        let counted = cells.map(|(bins, reference)| (bins, reference, bins.count(values)));
        let tests = counted.as_ref().map(|(_, reference, current)| (folded(reference), folded(current)));
        let counts = tests.as_ref().map_or((&[][..], &[][..]), |(before, now)| (&before[..], &now[..]));
        let both = match &counted {
            Some((bins, reference, current)) => Some(OnCells {
                reference: bins.tally(reference, Missing::Cell)?,
                current: bins.tally(current, Missing::Cell)?,
                counts,
            }),
            None => None,
        };
        let present = if sorted.is_some() && side.missing > 0 { without_nan(values, left) } else { values };
        let counted_for = |method: Method| {
            sorted.and_then(Sorted::counted).filter(|by| method.is_unordered(by, present.len()))
        };
        in_order.clear();
        if self.methods().any(|method| method.family() == Family::Values && counted_for(method).is_none()) {
            in_order.extend_from_slice(present);
            in_order.sort_unstable_by(f64::total_cmp);
        }
        let mut read = |method: Method| match (method.family(), sorted, &both) {
            (Family::Values, Some(reference), _) if !present.is_empty() => match counted_for(method) {
                Some(reference) => {
                    let workspace = workspace.get_or_insert_with(|| reference.workspace(present.len()));
                    method.unordered(reference, present, workspace)
                }
                None => method.on_values(reference.values(), in_order),
            },
            // Nothing is left to compare; the test for missing values speaks.
            (Family::Values, Some(_), _) => Ok(Reading::nothing(method)),
            (Family::Cells, _, Some(both)) => method.on_cells(both),
            _ => Err(Failure::NoReference),
        };
        let reading = read(self.method)?;
        let also = self.also.iter().map(|method| (*method, read(*method))).collect();
        let shown = overlay.map(|overlay| (overlay, overlay.bins().count(values)));
        side.unseen = match (&shown, &counted) {
            (Some((_, counts)), _) | (None, Some((_, _, counts))) => beyond(counts),
            (None, None) => sorted.map_or(0, |reference| outside(reference.values(), present)),
        };
        side.used = side.rows;
        let (mut p, mut ln_p) = (reading.p, reading.ln_p);
        if self.method.family() == Family::Values {
            side.used -= side.missing;
            (p, ln_p) = self.with_missing(&reading, side)?;
        }
        let cells = shown.map(|(overlay, counts)| overlay.cells(&counts)).unwrap_or_default();
        Ok(Measured { reading, also, p, ln_p, current: side, cells })
    }

    /// Methods on values do not see what is missing, so that has a test of its own. Two tests: the smaller p-value counts
    /// twice (Bonferroni). Without missing values there is only one.
    fn with_missing(
        &self,
        reading: &Reading,
        current: SideCounts,
    ) -> Result<(Option<f64>, Option<f64>), Failure> {
        if self.side.missing == 0 && current.missing == 0 {
            return Ok((reading.p, reading.ln_p));
        }
        let before = [self.side.missing, self.side.rows - self.side.missing];
        let gone = chi2_homogeneity(&before, &[current.missing, current.rows - current.missing])?;
        // Everything missing on both sides has one category only: nothing changed.
        let ln_gone = gone.ln_p.value().unwrap_or(0.0);
        let ln_values = reading.ln_p.or(reading.p.map(f64::ln)).unwrap_or(0.0);
        let ln_p = (std::f64::consts::LN_2 + ln_gone.min(ln_values)).min(0.0);
        Ok((Some(ln_p.exp()), Some(ln_p).filter(|ln_p| ln_p.is_finite())))
    }
}

fn fit_levels(column: &Column<'_>, side: &mut SideCounts) -> Result<Kind> {
    side.missing = column.missing() as u64;
    side.used = side.rows;
    if side.missing == side.rows {
        return Ok(Kind::Nothing { categories: true });
    }
    let Values::Category { codes, levels: texts } = column.values() else {
        return Ok(Kind::Nothing { categories: true });
    };
    let mut used = vec![false; texts.len()];
    for (row, code) in codes.iter().enumerate() {
        if let Some(slot) = usize::try_from(*code).ok().and_then(|code| used.get_mut(code)) {
            *slot |= column.is_valid(row);
        }
    }
    let present = texts.iter().zip(used).filter(|(_, used)| *used).map(|(text, _)| Some(text.as_str()));
    let levels = CategoryBins::fit(present)?;
    let counts = count_levels(&levels, column, &mut Scratch::default());
    Ok(Kind::Levels { levels, counts })
}

fn fit_numbers(
    column: &Column<'_>,
    methods: &[Method],
    options: &DetectorOptions,
    side: &mut SideCounts,
) -> Result<Kind> {
    let mut buffer = Vec::new();
    let values = numbers(column, &mut buffer);
    (side.missing, side.infinite) = odd(values);
    side.used = side.rows;
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    if sorted.is_empty() {
        return Ok(Kind::Nothing { categories: false });
    }
    sorted.sort_unstable_by(f64::total_cmp);
    let needs = |family| methods.iter().any(|method| method.family() == family);
    let cells = if needs(Family::Cells) {
        let bins = Bins::fit(values, options.bins)?;
        let counts = bins.count(values);
        Some((bins, counts))
    } else {
        None
    };
    let overlay = match options.cells {
        0 => None,
        cells => Overlay::fit(values, &sorted, cells).map(Box::new),
    };
    if methods.first().is_some_and(|method| method.family() == Family::Values) {
        side.used -= side.missing;
    }
    let sorted = needs(Family::Values).then(|| Sorted::Plain(sorted).ready(methods));
    Ok(Kind::Numbers { sorted, cells, overlay })
}

/// The values with NaN for missing ones; borrowed where they are that already.
fn numbers<'v>(column: &'v Column<'_>, buffer: &'v mut Vec<f64>) -> &'v [f64] {
    if let (Values::F64(values), None) = (column.values(), column.validity()) {
        return values;
    }
    buffer.clear();
    match column.values() {
        Values::F64(values) => buffer.extend_from_slice(values),
        Values::F32(values) => buffer.extend(values.iter().map(|value| f64::from(*value))),
        Values::I64(values) | Values::Time(values) => buffer.extend(values.iter().map(|value| *value as f64)),
        Values::Bool(values) => buffer.extend(values.iter().map(|value| f64::from(u8::from(*value)))),
        _ => buffer.resize(column.len(), f64::NAN),
    }
    if let Some(validity) = column.validity() {
        for (row, value) in buffer.iter_mut().enumerate() {
            if !validity.is_valid(row) {
                *value = f64::NAN;
            }
        }
    }
    buffer
}

/// How many are NaN, and how many infinite.
fn odd(values: &[f64]) -> (u64, u64) {
    values.iter().fold((0, 0), |(nan, infinite), value| {
        (nan + u64::from(value.is_nan()), infinite + u64::from(value.is_infinite()))
    })
}

/// How many lie in the first and in the last but one cell: below and above the reference.
fn beyond(counts: &Counts) -> u64 {
    let cells = counts.present();
    cells.first().copied().unwrap_or(0) + cells.last().copied().unwrap_or(0)
}

fn outside(reference: &[f64], current: &[f64]) -> u64 {
    let (Some(low), Some(high)) = (reference.first(), reference.last()) else { return 0 };
    current.iter().map(|value| u64::from(value < low) + u64::from(value > high)).sum()
}

/// What is left without NaN.
fn without_nan<'v>(values: &[f64], buffer: &'v mut Vec<f64>) -> &'v [f64] {
    buffer.clear();
    buffer.extend(values.iter().filter(|value| !value.is_nan()));
    buffer
}

/// Counts codes level by level: one look-up a level, not one a row.
fn count_levels(bins: &CategoryBins, column: &Column<'_>, scratch: &mut Scratch) -> Counts {
    let Values::Category { codes, levels } = column.values() else { return bins.count([]) };
    let Scratch { map, counts, .. } = scratch;
    map.clear();
    map.extend(levels.iter().map(|level| bins.cell_of(Some(level))));
    counts.clear();
    counts.resize(bins.len(), 0);
    let missing = bins.len() - 1;
    for (row, code) in codes.iter().enumerate() {
        let cell = usize::try_from(*code).ok().and_then(|code| map.get(code).copied());
        let cell = cell.filter(|_| column.validity().is_none_or(|validity| validity.is_valid(row)));
        if let Some(count) = counts.get_mut(cell.unwrap_or(missing)) {
            *count += 1;
        }
    }
    bins.counted(counts)
}
