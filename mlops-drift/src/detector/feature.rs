//! One feature of a detector: what is kept of the reference, and how a current column is measured against it.

use mlops_core::data::{Column, DataType, Values};
use mlops_core::monitor::{DriftVerdict, FeatureScore};
use mlops_core::num::Measured as Number;
use mlops_core::{Error, Result};

use super::{CategoryMethod, DetectorOptions, NumericMethod};
use crate::{
    BinRule, Bins, CategoryBins, Counts, KsMethod, LogBase, Missing, Smoothing, Tally, chi2_homogeneity,
    js_from_counts, ks_sorted, psi_from_counts,
};

/// What is kept of one feature of the reference.
#[derive(Clone)]
pub(super) struct Fitted {
    name: String,
    missing: u64,
    rows: u64,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    /// The present values, sorted.
    Sorted(Vec<f64>),
    /// Cells and their counts.
    Cells(Bins, Counts),
    /// Levels and their counts.
    Levels(CategoryBins, Counts),
    /// Nothing was present to fit on.
    Nothing(&'static str),
}

/// What was measured on a feature, before any decision.
pub(super) struct Measured {
    definition: &'static str,
    score: f64,
    noise_floor: f64,
    pub(super) p: f64,
    missing_reference: f64,
    missing_current: f64,
    /// A change in the share of missing values that matters, whatever the score says.
    missing_moved: f64,
}

impl Measured {
    /// The score held against the options, `q` being the adjusted p-value.
    pub(super) fn score(&self, options: &DetectorOptions, q: f64, enough: bool) -> FeatureScore {
        let matters = self.score >= options.min_score || self.missing_moved >= options.min_score;
        let verdict = match (enough, q <= options.alpha && matters) {
            (false, _) => DriftVerdict::Inconclusive,
            (true, true) => DriftVerdict::Drift,
            (true, false) => DriftVerdict::NoDrift,
        };
        let mut score = FeatureScore::new(self.definition, self.score, options.min_score, verdict);
        score.noise_floor = self.noise_floor;
        score.p_value = Some(self.p);
        score.adjusted_p_value = Some(q);
        score.missing_reference = self.missing_reference;
        score.missing_current = self.missing_current;
        score
    }
}

impl Fitted {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn fit(column: &Column<'_>, options: &DetectorOptions) -> Result<Self> {
        let rows = column.len() as u64;
        let (kind, missing) = match column.data_type() {
            DataType::Category => fit_levels(column)?,
            _ => fit_numbers(column, options.numeric)?,
        };
        Ok(Self { name: column.name().to_owned(), missing, rows, kind })
    }

    /// Measures a current column; the reason in words when that is not possible.
    pub(super) fn measure(&self, column: &Column<'_>, options: &DetectorOptions) -> Result<Measured, String> {
        if column.is_empty() {
            return Err("there are no rows".to_owned());
        }
        match (&self.kind, column.data_type()) {
            (Kind::Nothing(reason), _) => Err((*reason).to_owned()),
            (Kind::Levels(levels, reference), DataType::Category) => {
                let current = levels.count(labels(column));
                self.on_levels(reference, &current, options.category)
            }
            (Kind::Levels(..), other) => {
                Err(format!("the reference is categorical, the current data is {other:?}"))
            }
            (_, DataType::Category | DataType::Time) => {
                Err(format!("the reference is numeric, the current data is {:?}", column.data_type()))
            }
            (Kind::Cells(bins, reference), _) => {
                let current = bins.count(&column.to_f64().map_err(|e| e.to_string())?);
                self.on_cells(bins, (reference, &current), options.numeric)
            }
            (Kind::Sorted(reference), _) => {
                self.on_values(reference, &column.to_f64().map_err(|e| e.to_string())?)
            }
        }
    }

    fn on_levels(
        &self,
        reference: &Counts,
        current: &Counts,
        method: CategoryMethod,
    ) -> Result<Measured, String> {
        let result = match method {
            CategoryMethod::JensenShannon => {
                jensen_shannon("js.distance.base2/v1", reference.as_slice().into(), current.as_slice().into())
            }
            CategoryMethod::Psi => {
                psi("psi.jeffreys/v1", reference.as_slice().into(), current.as_slice().into())
            }
        };
        Ok(self.with_missing(result?, current.missing(), current.total()))
    }

    fn on_cells(
        &self,
        bins: &Bins,
        (reference, current): (&Counts, &Counts),
        method: NumericMethod,
    ) -> Result<Measured, String> {
        let before = bins.tally(reference, Missing::Cell).map_err(|e| e.to_string())?;
        let after = bins.tally(current, Missing::Cell).map_err(|e| e.to_string())?;
        let result = match method {
            NumericMethod::Psi => psi("psi.jeffreys.quantile10/v1", before, after),
            _ => jensen_shannon("js.distance.base2.quantile10/v1", before, after),
        };
        Ok(self.with_missing(result?, current.missing(), current.total()))
    }

    /// KS on the values that are present, and a test of its own for the share that is not.
    fn on_values(&self, reference: &[f64], values: &[f64]) -> Result<Measured, String> {
        let mut present: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
        let (total, missing) = (values.len() as u64, (values.len() - present.len()) as u64);
        present.sort_unstable_by(f64::total_cmp);
        let gone = self.missing_p(missing, total)?;
        let (score, p) = if present.is_empty() {
            (0.0, 1.0)
        } else {
            let ks = ks_sorted(reference, &present, KsMethod::Auto).map_err(|e| e.to_string())?;
            (defined(ks.statistic)?, defined(ks.p)?)
        };
        // Two tests, the smaller p-value counts twice: Bonferroni. Without missing values there is only one.
        let p = gone.map_or(p, |gone| (2.0 * p.min(gone)).min(1.0));
        let plain = Measured {
            definition: "ks.two_sample/v1",
            score,
            noise_floor: ks_noise_floor(reference.len(), present.len()),
            p,
            missing_reference: 0.0,
            missing_current: 0.0,
            missing_moved: 0.0,
        };
        Ok(self.with_missing(plain, missing, total))
    }

    fn missing_p(&self, missing: u64, total: u64) -> Result<Option<f64>, String> {
        if self.missing == 0 && missing == 0 {
            return Ok(None);
        }
        let before = [self.missing, self.rows - self.missing];
        let chi2 = chi2_homogeneity(&before, &[missing, total - missing]).map_err(|e| e.to_string())?;
        // Everything missing on both sides has one category only: nothing changed.
        Ok(Some(chi2.p.value().unwrap_or(1.0)))
    }

    fn with_missing(&self, mut measured: Measured, missing: u64, total: u64) -> Measured {
        measured.missing_reference = self.missing as f64 / self.rows as f64;
        measured.missing_current = missing as f64 / total as f64;
        measured.missing_moved = (measured.missing_reference - measured.missing_current).abs();
        measured
    }
}

/// The mean of D when both samples come from one distribution: sqrt(π/2) ln 2 / sqrt(nm/(n+m)), the mean of Kolmogorov's
/// limiting distribution scaled back. 0 when a side is empty.
fn ks_noise_floor(n: usize, m: usize) -> f64 {
    if n == 0 || m == 0 {
        return 0.0;
    }
    let (n, m) = (n as f64, m as f64);
    let mean = (std::f64::consts::PI / 2.0).sqrt() * std::f64::consts::LN_2;
    (mean / (n * m / (n + m)).sqrt()).min(1.0)
}

fn fit_levels(column: &Column<'_>) -> Result<(Kind, u64)> {
    let missing = column.missing() as u64;
    if missing == column.len() as u64 {
        return Ok((Kind::Nothing("the reference has no value that is present"), missing));
    }
    let levels =
        CategoryBins::fit(labels(column)).map_err(|e| Error::from(e).with("feature", column.name()))?;
    let counts = levels.count(labels(column));
    Ok((Kind::Levels(levels, counts), missing))
}

fn fit_numbers(column: &Column<'_>, method: NumericMethod) -> Result<(Kind, u64)> {
    let values = column.to_f64()?;
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    let missing = (values.len() - sorted.len()) as u64;
    if sorted.is_empty() {
        return Ok((Kind::Nothing("the reference has no value that is present"), missing));
    }
    if method == NumericMethod::KolmogorovSmirnov {
        sorted.sort_unstable_by(f64::total_cmp);
        return Ok((Kind::Sorted(sorted), missing));
    }
    let bins =
        Bins::fit(&values, BinRule::default()).map_err(|e| Error::from(e).with("feature", column.name()))?;
    let counts = bins.count(&values);
    Ok((Kind::Cells(bins, counts), missing))
}

fn labels<'a>(column: &'a Column<'_>) -> impl Iterator<Item = Option<&'a str>> {
    let (codes, levels) = match column.values() {
        Values::Category { codes, levels } => (&codes[..], &levels[..]),
        _ => (&[][..], &[][..]),
    };
    codes.iter().enumerate().map(move |(row, &code)| {
        let level = usize::try_from(code).ok().and_then(|code| levels.get(code));
        level.filter(|_| column.is_valid(row)).map(String::as_str)
    })
}

fn psi(definition: &'static str, reference: Tally<'_>, current: Tally<'_>) -> Result<Measured, String> {
    let psi = psi_from_counts(reference, current, Smoothing::default());
    let psi = psi.map_err(|e| e.to_string())?;
    Ok(plain(definition, psi.score, psi.noise_floor, psi.p))
}

fn jensen_shannon(
    definition: &'static str,
    reference: Tally<'_>,
    current: Tally<'_>,
) -> Result<Measured, String> {
    let js = js_from_counts(reference, current, LogBase::Two).map_err(|e| e.to_string())?;
    Ok(plain(definition, js.score, js.noise_floor, js.p))
}

/// One cell on both sides has no p-value: nothing can differ.
fn plain(definition: &'static str, score: f64, noise_floor: f64, p: Number) -> Measured {
    Measured {
        definition,
        score,
        noise_floor,
        p: p.value().unwrap_or(1.0),
        missing_reference: 0.0,
        missing_current: 0.0,
        missing_moved: 0.0,
    }
}

fn defined(number: Number) -> Result<f64, String> {
    number.value().ok_or_else(|| number.to_string())
}
