//! One method on one feature: from values or counts to a score, whatever the statistic calls its parts.

use std::fmt;

use mlops_core::data::DataType;
use mlops_core::num::quantile::quantile_sorted;
use mlops_core::num::{Measured, StatsError};

use super::method::Method;
use crate::distance::{Definition, Distance, Interval};
use crate::{
    Chi2, Counts, KlDirection, KsMethod, LogBase, Smoothing, Tally, chi2_homogeneity, energy_sorted,
    hellinger_from_counts, js_from_counts, kl_from_counts, ks_sorted, l_infinity_from_counts, psi_from_counts,
    total_variation_from_counts,
};

/// Counts over the same cells, and what the distances know of the cells.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnCells<'a> {
    pub(super) reference: (&'a Counts, Tally<'a>),
    pub(super) current: (&'a Counts, Tally<'a>),
}

/// What a method said, before any decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    pub(super) id: Id,
    pub(super) score: f64,
    pub(super) noise_floor: f64,
    pub(super) corrected: Option<f64>,
    pub(super) interval: Option<Interval>,
    /// `None` where the statistic has no p-value, or nothing can vary.
    pub(super) p: Option<f64>,
    pub(super) ln_p: Option<f64>,
}

/// The id of a definition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Id {
    Distance(Definition),
    Test(&'static str),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Distance(definition) => definition.fmt(f),
            Self::Test(id) => f.write_str(id),
        }
    }
}

/// Why there is no score. Small and without text of its own, so that a check does not allocate for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Failure {
    /// The feature is not in the current data.
    Gone,
    /// There are no rows.
    NoRows,
    /// The reference has no value that is present.
    NoReference,
    /// The current data is of another kind.
    Type {
        /// Whether the reference has categories.
        categories: bool,
        /// What the current data has.
        current: DataType,
    },
    /// The statistic refused.
    Statistic(StatsError),
    /// The statistic is not defined for these values.
    Undefined(mlops_core::num::Undefined),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the feature is missing from the current data"),
            Self::NoRows => f.write_str("there are no rows"),
            Self::NoReference => f.write_str("the reference has no value that is present"),
            Self::Type { categories, current } => {
                let kind = if *categories { "categorical" } else { "numeric" };
                write!(f, "the reference is {kind}, the current data is {current:?}")
            }
            Self::Statistic(error) => error.fmt(f),
            Self::Undefined(why) => why.fmt(f),
        }
    }
}

impl From<StatsError> for Failure {
    fn from(error: StatsError) -> Self {
        Self::Statistic(error)
    }
}

impl Method {
    /// The reading on two rows of counts over the same cells.
    pub(super) fn on_cells(self, cells: &OnCells<'_>) -> Result<Reading, Failure> {
        let (reference, current) = (cells.reference.1, cells.current.1);
        let (before, now) = (cells.reference.0.as_slice(), cells.current.0.as_slice());
        Ok(match self {
            Self::Psi => psi_from_counts(reference, current, Smoothing::default())?.into(),
            Self::JensenShannon => js_from_counts(reference, current, LogBase::Two)?.into(),
            Self::KullbackLeibler => {
                kl_from_counts(reference, current, KlDirection::default(), Smoothing::default())?.into()
            }
            Self::Hellinger => hellinger_from_counts(reference, current)?.into(),
            Self::TotalVariation => total_variation_from_counts(reference, current)?.into(),
            Self::LInfinity => l_infinity_from_counts(reference, current)?.into(),
            Self::Chi2 => chi2_homogeneity(before, now)?.into(),
            Self::KolmogorovSmirnov | Self::Energy => return Err(unsupported()),
        })
    }

    /// The reading on two samples in ascending order, without NaN and not empty.
    pub(super) fn on_values(self, reference: &[f64], current: &[f64]) -> Result<Reading, Failure> {
        match self {
            Self::KolmogorovSmirnov => kolmogorov_smirnov(reference, current),
            Self::Energy => Reading::from(energy_sorted(reference, current)?).in_units_of("energy.iqr/v1", reference),
            _ => Err(unsupported()),
        }
    }
}

fn unsupported() -> Failure {
    Failure::Statistic(StatsError::Incompatible { what: "the method and the kind of the feature" })
}

impl Reading {
    /// What is said of a feature that has nothing left to compare.
    pub(super) fn nothing(method: Method) -> Self {
        let id = method.id();
        let (score, p) = (0.0, Some(1.0));
        Self { id: Id::Test(id), score, noise_floor: 0.0, corrected: None, interval: None, p, ln_p: Some(0.0) }
    }

    /// An effect whose square adds up with that of the noise: corrected to √(score² − floor²).
    fn effect(id: &'static str, score: f64, noise_floor: f64, p: Measured, ln_p: Measured) -> Self {
        let corrected = Some((score * score - noise_floor * noise_floor).max(0.0).sqrt());
        let (p, ln_p) = (p.value(), ln_p.value().filter(|ln_p| ln_p.is_finite()));
        Self { id: Id::Test(id), score, noise_floor, corrected, interval: None, p, ln_p }
    }
}

impl Reading {
    /// An energy distance in units of the reference's spread: divided by the root of the interquartile range, or of the range
    /// where that is 0. A constant reference has no unit; the score stays as it is.
    fn in_units_of(mut self, id: &'static str, sorted: &[f64]) -> Result<Self, Failure> {
        let quartile = |share| quantile_sorted(sorted, share);
        let (iqr, range) = (quartile(0.75)? - quartile(0.25)?, quartile(1.0)? - quartile(0.0)?);
        let unit = if iqr > 0.0 { iqr } else { range };
        if unit > 0.0 && unit.is_finite() {
            let root = unit.sqrt();
            self.score /= root;
            self.noise_floor /= root;
            self.corrected = self.corrected.map(|corrected| corrected / root);
            self.interval = self.interval.map(|i| Interval { low: i.low / root, high: i.high / root, ..i });
        }
        Ok(Self { id: Id::Test(id), ..self })
    }
}

impl From<Distance> for Reading {
    fn from(distance: Distance) -> Self {
        let Distance { definition, score, noise_floor, corrected, p, ln_p, interval, .. } = distance;
        let (p, ln_p) = (p.value(), ln_p.value().filter(|ln_p| ln_p.is_finite()));
        Self { id: Id::Distance(definition), score, noise_floor, corrected: Some(corrected), interval, p, ln_p }
    }
}

/// φ² = χ²/(n + m) is (k − 1)/(n + m) on average when nothing drifts.
impl From<Chi2> for Reading {
    fn from(test: Chi2) -> Self {
        let total = test.n as f64 + test.m as f64;
        let (phi, floor) = ((test.statistic / total).sqrt(), (test.dof as f64 / total).sqrt());
        Self::effect("chi2.phi/v1", phi.min(1.0), floor.min(1.0), test.p, test.ln_p)
    }
}

/// How many pairs of values make the exact p-value: a few milliseconds.
const EXACT_PAIRS: usize = 1 << 24;

fn kolmogorov_smirnov(reference: &[f64], current: &[f64]) -> Result<Reading, Failure> {
    let pairs = reference.len().saturating_mul(current.len());
    let method = if pairs <= EXACT_PAIRS { KsMethod::Auto } else { KsMethod::Asymptotic };
    let test = ks_sorted(reference, current, method)?;
    let score = match test.statistic {
        Measured::Value(score) => score,
        Measured::Undefined(why) => return Err(Failure::Undefined(why)),
    };
    let floor = ks_noise_floor(reference.len(), current.len());
    Ok(Reading::effect("ks.two_sample/v1", score, floor, test.p, test.ln_p))
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
