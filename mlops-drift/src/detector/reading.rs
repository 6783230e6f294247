//! One method on one feature: from values or counts to a score, whatever the statistic calls its parts.

use std::fmt;

use mlops_core::data::DataType;
use mlops_core::num::quantile::quantile_sorted;
use mlops_core::num::{Measured, StatsError};

use super::method::Method;
use crate::distance::{Definition, Distance, Interval};
use crate::ks::refine::MOST;
use crate::{
    Alternative, AndersonDarlingMethod, Chi2, Counts, CramerVonMisesMethod, KlDirection, Ks, KsMethod,
    KsOptions, LogBase, MannWhitneyOptions, ProportionsOptions, Smoothing, SortedReference, TTestMethod,
    TTestOptions, Tally, WassersteinOptions, Workspace, anderson_darling_sorted, brown_forsythe,
    chi2_homogeneity, cramer_v_from_counts, cramer_von_mises_sorted, energy_sorted, epps_singleton,
    fisher_from_counts, g_test_from_counts, hellinger_from_counts, js_from_counts, kl_from_counts, ks_sorted,
    l_infinity_from_counts, mann_whitney_sorted, proportions_from_counts, psi_from_counts, t_test_with,
    total_variation_from_counts, wasserstein_sorted,
};

/// Counts over the same cells, and what the distances know of the cells.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnCells<'a> {
    pub(super) reference: Tally<'a>,
    pub(super) current: Tally<'a>,
    /// The counts for the tests. Of numeric features what lies beyond the reference is counted with its outermost cells: cells
    /// that are empty in the reference by construction would make a χ² law reject too often.
    pub(super) counts: (&'a [u64], &'a [u64]),
}

/// Counts of numeric cells with underflow and overflow counted with the cells beside them; the last one is the missing cell.
pub(super) fn folded(counts: &Counts) -> Vec<u64> {
    let mut cells = counts.as_slice().to_vec();
    if let [below, first, .., last, above, _] = cells.as_mut_slice() {
        *first += std::mem::take(below);
        *last += std::mem::take(above);
    } else if let [below, only, above, _] = cells.as_mut_slice() {
        *only += std::mem::take(below) + std::mem::take(above);
    }
    cells
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
    /// A method for two values met others.
    NotTwoValues,
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
            Self::NotTwoValues => f.write_str("the method is for features of exactly two values"),
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
        let (reference, current) = (cells.reference, cells.current);
        let (before, now) = cells.counts;
        Ok(match self {
            Self::Psi => psi_from_counts(reference, current, Smoothing::default())?.into(),
            Self::JensenShannon => js_from_counts(reference, current, LogBase::Two)?.into(),
            Self::KullbackLeibler => {
                kl_from_counts(reference, current, KlDirection::default(), Smoothing::default())?.into()
            }
            Self::Hellinger => hellinger_from_counts(reference, current)?.into(),
            Self::TotalVariation => total_variation_from_counts(reference, current)?.into(),
            Self::LInfinity => l_infinity_from_counts(reference, current)?.into(),
            Self::Chi2 => {
                let Chi2 { statistic, dof, p, ln_p, .. } = chi2_homogeneity(before, now)?;
                Reading::squared(self, statistic, dof as f64, Sizes::of_counts(before, now), p, ln_p)
            }
            Self::GTest => {
                let test = g_test_from_counts(before, now)?;
                Reading::squared(
                    self,
                    test.statistic,
                    test.dof as f64,
                    Sizes::of_counts(before, now),
                    test.p,
                    test.ln_p,
                )
            }
            Self::CramerV => cramer_v(before, now)?,
            _ => return Err(unsupported()),
        })
    }

    /// The reading on two samples in ascending order, without NaN and not empty.
    pub(super) fn on_values(self, reference: &[f64], current: &[f64]) -> Result<Reading, Failure> {
        let sizes = Sizes { n: reference.len() as f64, m: current.len() as f64 };
        if constant(reference) && constant(current) && reference.first() == current.first() {
            // Undefined for many statistics, and no drift for all of them.
            return Ok(Reading::nothing(self));
        }
        match self {
            Self::KolmogorovSmirnov => {
                of_ks(&ks_sorted(reference, current, ks_method(reference.len(), current.len()))?)
            }
            Self::CramerVonMises => {
                let test = cramer_von_mises_sorted(reference, current, CramerVonMisesMethod::Auto)?;
                // T is 1/6 on average when nothing drifts.
                Ok(Reading::squared(self, defined(test.statistic)?, 1.0 / 6.0, sizes, test.p, test.ln_p))
            }
            Self::AndersonDarling => {
                let test = anderson_darling_sorted(reference, current, AndersonDarlingMethod::Limit)?;
                Ok(Reading::squared(self, defined(test.statistic)?, 1.0, sizes, test.p, test.ln_p))
            }
            Self::MannWhitney => {
                let test = mann_whitney_sorted(reference, current, &MannWhitneyOptions::default())?;
                let delta = (2.0 * defined(test.superiority)? - 1.0).abs();
                // δ has the variance (n + m + 1)/(3nm).
                let sd = ((sizes.n + sizes.m + 1.0) / (3.0 * sizes.n * sizes.m)).sqrt();
                Ok(Reading::effect(self.id(), delta, MEAN_ABS * sd, test.p, test.ln_p))
            }
            Self::EppsSingleton => {
                let test = epps_singleton(reference, current)?;
                Ok(Reading::squared(
                    self,
                    defined(test.statistic)?,
                    test.dof as f64,
                    sizes,
                    test.p,
                    test.ln_p,
                ))
            }
            Self::StudentT | Self::WelchT => {
                let method = if self == Self::WelchT { TTestMethod::Welch } else { TTestMethod::Student };
                let test = t_test_with(reference, current, &TTestOptions::default().with_method(method))?;
                let t = defined(test.statistic)?;
                let score = t.abs() * sizes.unit().sqrt();
                Ok(Reading::effect(self.id(), score, MEAN_ABS * sizes.unit().sqrt(), test.p, test.ln_p))
            }
            Self::BrownForsythe => {
                let test = brown_forsythe(reference, current)?;
                let score = (defined(test.statistic)? * sizes.unit()).sqrt();
                Ok(Reading::effect(self.id(), score, MEAN_ABS * sizes.unit().sqrt(), test.p, test.ln_p))
            }
            Self::Wasserstein => {
                Ok(wasserstein_sorted(reference, current, &WassersteinOptions::default())?.into())
            }
            Self::Fisher | Self::Proportions => self.on_two_values(reference, current),
            Self::Energy => {
                Reading::from(energy_sorted(reference, current)?).in_units_of("energy.iqr/v1", reference)
            }
            _ => Err(unsupported()),
        }
    }
}

impl Method {
    /// Whether [`Self::unordered`] measures this against that many values.
    pub(super) fn is_unordered(self, reference: &SortedReference<f64>, current: usize) -> bool {
        let sorted = reference.sorted();
        match self {
            // The exact p-value has to know which values are tied.
            Self::KolmogorovSmirnov => ks_method(sorted.len(), current) == KsMethod::Asymptotic,
            // A constant reference has no spread of its own to tell noise by.
            Self::Wasserstein => reference.knows_wasserstein() && !constant(sorted) && current < MOST,
            _ => false,
        }
    }

    /// The reading on a sample in any order, without NaN and not empty, against a reference that is counted: linear in the sample.
    ///
    /// That of [`Self::on_values`], but for the Wasserstein distance: its last digits may differ, and its noise floor, p-value
    /// and interval come from the reference alone or from cells.
    pub(super) fn unordered(
        self,
        reference: &SortedReference<f64>,
        current: &[f64],
        workspace: &mut Workspace<f64>,
    ) -> Result<Reading, Failure> {
        let sorted = reference.sorted();
        let first = sorted.first();
        if constant(sorted) && current.iter().all(|value| Some(value) == first) {
            return Ok(Reading::nothing(self));
        }
        match self {
            Self::KolmogorovSmirnov => {
                let method = ks_method(sorted.len(), current.len());
                let test = reference.ks(current, &KsOptions::default().with_method(method), workspace)?;
                of_ks(&test)
            }
            Self::Wasserstein => {
                Ok(reference.wasserstein(current, &WassersteinOptions::default(), workspace)?.into())
            }
            _ => Err(unsupported()),
        }
    }

    /// Of the larger of the two values of a reference; values that are neither are refused.
    fn on_two_values(self, reference: &[f64], current: &[f64]) -> Result<Reading, Failure> {
        let (Some(low), Some(high)) = (reference.first(), reference.last()) else {
            return Err(unsupported());
        };
        let shares = |values: &[f64]| {
            let below = values.iter().filter(|value| *value == low).count() as u64;
            let above = values.iter().filter(|value| *value == high).count() as u64;
            (below + above == values.len() as u64 && low < high).then_some([above, below])
        };
        let (Some(before), Some(now)) = (shares(reference), shares(current)) else {
            return Err(Failure::NotTwoValues);
        };
        let test = proportions_from_counts(before, now, &ProportionsOptions::default())?;
        let (n, m) = (reference.len() as f64, current.len() as f64);
        let share = (before[0] + now[0]) as f64 / (n + m);
        let floor = MEAN_ABS * (share * (1.0 - share) * Sizes { n, m }.unit()).sqrt();
        let (p, ln_p) = match self {
            Self::Fisher => {
                let exact = fisher_from_counts(before, now, Alternative::TwoSided)?;
                (exact.p, exact.ln_p)
            }
            _ => (test.p, test.ln_p),
        };
        let mut reading = Reading::effect(self.id(), test.difference.abs(), floor, p, ln_p);
        if self == Self::Proportions {
            let Interval { level, low, high } = test.interval;
            let least = if low <= 0.0 && high >= 0.0 { 0.0 } else { low.abs().min(high.abs()) };
            reading.interval = Some(Interval { level, low: least, high: low.abs().max(high.abs()) });
        }
        Ok(reading)
    }
}

/// The mean of the absolute value of a standard normal variable: √(2/π).
const MEAN_ABS: f64 = 0.797_884_560_802_865_4;

/// How many values there are on both sides.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    n: f64,
    m: f64,
}

impl Sizes {
    fn of_counts(reference: &[u64], current: &[u64]) -> Self {
        let total = |counts: &[u64]| counts.iter().map(|count| *count as f64).sum();
        Self { n: total(reference), m: total(current) }
    }

    /// 1/n + 1/m: what a statistic of sum form is multiplied with to become a distance.
    fn unit(self) -> f64 {
        1.0 / self.n + 1.0 / self.m
    }
}

/// Whether ascending values are all the same.
fn constant(sorted: &[f64]) -> bool {
    sorted.first() == sorted.last()
}

fn defined(number: Measured) -> Result<f64, Failure> {
    match number {
        Measured::Value(value) => Ok(value),
        Measured::Undefined(why) => Err(Failure::Undefined(why)),
    }
}

fn cramer_v(reference: &[u64], current: &[u64]) -> Result<Reading, Failure> {
    let test = cramer_v_from_counts(reference, current)?;
    let Sizes { n, m } = Sizes::of_counts(reference, current);
    // One category on both sides: nothing can differ. V² is (k − 1)/(n + m) on average when nothing drifts.
    let (v, floor) = (test.v.value().unwrap_or(0.0), (test.dof as f64 / (n + m)).sqrt().min(1.0));
    let mut reading = Reading::effect(Method::CramerV.id(), v, floor, test.p, test.ln_p);
    reading.corrected = test.corrected.value().or(reading.corrected);
    Ok(reading)
}

fn unsupported() -> Failure {
    Failure::Statistic(StatsError::Incompatible { what: "the method and the kind of the feature" })
}

impl Reading {
    /// What is said of a feature that has nothing left to compare.
    pub(super) fn nothing(method: Method) -> Self {
        let id = method.id();
        let (score, p) = (0.0, Some(1.0));
        Self {
            id: Id::Test(id),
            score,
            noise_floor: 0.0,
            corrected: None,
            interval: None,
            p,
            ln_p: Some(0.0),
        }
    }

    /// A statistic of sum form (its square grows with the rows) as the distance √(statistic·(1/n + 1/m)); `mean` is that of the
    /// statistic when nothing drifts.
    fn squared(method: Method, statistic: f64, mean: f64, sizes: Sizes, p: Measured, ln_p: Measured) -> Self {
        let root = |value: f64| (value.max(0.0) * sizes.unit()).sqrt();
        Self::effect(method.id(), root(statistic), root(mean), p, ln_p)
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
        Self {
            id: Id::Distance(definition),
            score,
            noise_floor,
            corrected: Some(corrected),
            interval,
            p,
            ln_p,
        }
    }
}

/// How many pairs of values make the exact p-value: a few milliseconds.
const EXACT_PAIRS: usize = 1 << 24;

/// How the p-value is computed for samples of these sizes.
fn ks_method(n: usize, m: usize) -> KsMethod {
    if n.saturating_mul(m) <= EXACT_PAIRS { KsMethod::Auto } else { KsMethod::Asymptotic }
}

fn of_ks(test: &Ks) -> Result<Reading, Failure> {
    let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let floor = ks_noise_floor(size(test.n), size(test.m));
    Ok(Reading::effect("ks.two_sample/v1", defined(test.statistic)?, floor, test.p, test.ln_p))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Sampled from a low-discrepancy sequence, in no order.
    fn wave(n: u32, f: impl Fn(f64) -> f64) -> Vec<f64> {
        (0..n).map(|i| f((f64::from(i) * 0.618_033_988_749_894_9).fract())).collect()
    }

    fn sorted(values: &[f64]) -> Vec<f64> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    }

    #[test]
    fn a_sample_that_is_not_sorted_reads_the_same() {
        let shapes: [fn(f64) -> f64; 5] = [
            |u| u,
            |u| (std::f64::consts::PI * (u - 0.5)).tan(),
            |u| (u * 40.0).floor(),
            |u| if u < 0.8 { -0.0 } else { u },
            |u| if u < 0.001 { 1e200 } else { u - 0.5 },
        ];
        for (k, shape) in shapes.into_iter().enumerate() {
            let reference = SortedReference::of_sorted(sorted(&wave(20_000, shape)), true);
            let mut workspace = reference.workspace(0);
            for current in [
                wave(30_000, |u| shape((u + 0.37).fract())),
                wave(9_000, |u| shape(u * 0.97)),
                wave(900, |u| shape(u) + 0.25),
                vec![0.0; 1000],
            ] {
                let method = Method::KolmogorovSmirnov;
                assert!(method.is_unordered(&reference, current.len()));
                let slow = method.on_values(reference.sorted(), &sorted(&current)).unwrap();
                // Equal to the bit.
                assert_eq!(method.unordered(&reference, &current, &mut workspace), Ok(slow), "shape {k}");

                let method = Method::Wasserstein;
                assert!(method.is_unordered(&reference, current.len()));
                let slow = method.on_values(reference.sorted(), &sorted(&current)).unwrap();
                let fast = method.unordered(&reference, &current, &mut workspace).unwrap();
                assert_eq!(fast.id, slow.id);
                let error = (fast.score - slow.score).abs();
                assert!(error <= 1e-13 * slow.score.max(1e-12), "shape {k}: {fast:?} {slow:?}");
                // Used memory leaves no trace, nor does the order.
                let again = method.unordered(&reference, &sorted(&current), &mut reference.workspace(0));
                assert_eq!(again.map(|reading| reading.noise_floor), Ok(fast.noise_floor));
                let again = method.unordered(&reference, &current, &mut reference.workspace(9));
                assert_eq!(again, Ok(fast));
            }
        }
    }

    #[test]
    fn a_constant_that_stays_is_no_drift_in_any_order() {
        let reference = SortedReference::of_sorted(vec![7.0; 20_000], true);
        let mut workspace = reference.workspace(0);
        for method in [Method::KolmogorovSmirnov, Method::Wasserstein] {
            let read = method.unordered(&reference, &[7.0; 1000], &mut workspace);
            assert_eq!(read, Ok(Reading::nothing(method)));
        }
        assert!(!Method::Wasserstein.is_unordered(&reference, 1000));
        assert_eq!(
            Method::KolmogorovSmirnov.unordered(&reference, &[8.0; 1000], &mut workspace).unwrap().score,
            1.0
        );
    }

    #[test]
    fn infinite_values_and_small_samples_go_the_other_way() {
        let endless = SortedReference::of_sorted(vec![1.0, 2.0, f64::INFINITY], true);
        assert!(!Method::Wasserstein.is_unordered(&endless, 10));
        assert!(!Method::KolmogorovSmirnov.is_unordered(&endless, 10));
        assert!(!Method::MannWhitney.is_unordered(&endless, 10));
    }
}
