//! What another tool would have said: named, versioned presets with its cells, smoothing, score, threshold and direction of alert.
//!
//! For moving over, and for explaining why a dashboard disagrees. The scores are those of the tool, its weaknesses included: cells
//! stretched by one outlier of the current sample, thresholds that mean something else at every n. For decisions use
//! [`psi`](mod@crate::psi) and its kin.
//!
//! | preset | cells | score | alert |
//! |---|---|---|---|
//! | `EvidentlyPsi`, `…Kl`, `…Js`, `…Hellinger` | Sturges on both samples pooled; categories when the reference has at most 20 distinct values (Hellinger: Sturges by the number of distinct values) | PSI, KL(reference‖current), JS distance in nats, Hellinger | score ≥ 0.1 |
//! | `EvidentlyWasserstein` | | W1/σ (ddof 0, at least 0.001) | score ≥ 0.1 |
//! | `EvidentlyEnergy` | | energy distance | score > 0.1 |
//! | `EvidentlyKs` | | p as if nothing were tied; above 10 000 rows that of one sample of ⌊nm/(n + m)⌉ values | p ≤ 0.05 |
//! | `EvidentlyCramerVonMises` | | p of midranks as if nothing were tied, exact up to 20 rows | p ≤ 0.1 |
//! | `EvidentlyT`, `…EppsSingleton` | | p of Student's t, of Epps–Singleton | p < 0.05 |
//! | `EvidentlyMannWhitney` | | one-sided p: sees only current values that are larger | p < 0.05 |
//! | `EvidentlyAnderson` | | p of midranks, from a table that ends at 0.25 and 0.001 | p < 0.1 |
//! | `EvidentlyChi2`, `…Z` | categories | p of goodness of fit, which takes the reference for the truth; p of z | p < 0.05 |
//! | `EvidentlyG`, `…Fisher` | categories; as many rows on both sides, or no answer | p of goodness of fit by G; Fisher's p | p < 0.1 |
//! | `NannyMl…` | Doane on the reference, one more cell for everything outside | JS distance base 2, Hellinger; L∞ for categories | score > mean + 3 σ over reference chunks: [`nannyml_threshold`] |
//! | `AzureMlJs`, `…Psi`, `…Wasserstein` | ⌈log₂ min(n, m)⌉ + 1 of equal width over both | JS distance base 2, PSI with one count more in every cell, W1/σ (ddof 1, at least 0.001) | score > 0.1 |
//! | `AzureMlKs` | | p of KS, refused from 10 000 rows on | p < 0.05 |
//! | `AzureMlChi2` | categories | p of goodness of fit | p < 0.05 |
//! | `ScouterPsi` | deciles of the reference, type 7, (low, high] | PSI with 10⁻¹⁰ added to both shares | score > χ²(0.95, k − 1)/m |
//! | `DriftwatchPsi`, `…Js`, `…Kl` | deciles of the reference, the end cells open | shares (f + 10⁻⁶)/(1 + k·10⁻⁶); PSI, JS divergence in nats, KL(current‖reference) | PSI > 0.25; the others have no default |
//! | `WhylogsKs` | 100 ranks 0, 1/99, … 1 of both sides | D at these quantiles, p of one sample of ⌊nm/(n + m)⌉ values | p ≤ 0.05, possible p ≤ 0.15 |
//! | `WhylogsHellinger` | (n + m)/4, 2 to 30, of equal width over both | Hellinger | score ≥ 0.4, possible ≥ 0.15 |
//! | `WhylogsChi2` | categories | p of goodness of fit to expected counts rounded down; 0 where one is 0 | p ≤ 0.05, possible p ≤ 0.15 |
//!
//! Evidently 0.7.23, NannyML 0.13.1 and whylogs 1.6.4 were run; distances agree to 1e-12, p-values to 1e-10 (z and
//! Cramér–von Mises: to 1e-10 absolutely, since Evidently subtracts from 1; its exact Cramér–von Mises counts in floats of 32 bits or
//! raises, depending on NumPy's version, so that SciPy's own is the measure there). The others are written from their published formulas and agree with those
//! in NumPy and SciPy; where a formula leaves the treatment of a value on an edge open it is NumPy's `histogram`. What the tools do
//! with NaN and infinities differs by code path, so here both are errors. Where a test has no p-value the tools answer NaN, which never
//! alerts, or raise; here it is an error.
//!
//! Evidently's `TVD` and `mmd` are not among the presets: their p-values are shares of shuffles by NumPy's generator.
//!
//! whylogs itself sees sketches. A KLL sketch of k = 1024 holds every value of a column of about a thousand rows, and frequent items
//! and distinct counts are right for some hundred categories: there the presets are what whylogs says. On more rows whylogs
//! computes the same from ranks that are off by up to 0.3 % at random, ignores that, and so alerts too often from some
//! hundred thousand rows on: the presets answer what it would say if its sketches were exact.
//!
//! [`verdicts`] asks all presets at once.

mod histogram;
mod kstwo;
mod overview;
mod p_values;
mod scores;
mod whylogs;

use std::fmt;

use mlops_core::num::StatsError;
use mlops_core::num::sum::Sum;
use serde::{Deserialize, Serialize};

pub use overview::{NoAlert, Row, verdicts, verdicts_of_categories};

/// A definition of another tool. Shown as its id, such as `evidently.psi/0.7`.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Evidently 0.7, `psi`.
    EvidentlyPsi,
    /// Evidently 0.7, `kl_div`.
    EvidentlyKl,
    /// Evidently 0.7, `jensenshannon`.
    EvidentlyJs,
    /// Evidently 0.7, `hellinger`.
    EvidentlyHellinger,
    /// Evidently 0.7, `ed`; numbers only.
    EvidentlyEnergy,
    /// Evidently 0.7, `wasserstein`; numbers only.
    EvidentlyWasserstein,
    /// Evidently 0.7, `ks`; numbers only. The score is a p-value.
    EvidentlyKs,
    /// Evidently 0.7, `t_test`; numbers only. The score is a p-value.
    EvidentlyT,
    /// Evidently 0.7, `anderson`; numbers only. The score is a p-value between 0.001 and 0.25.
    EvidentlyAnderson,
    /// Evidently 0.7, `cramer_von_mises`; numbers only. The score is a p-value.
    EvidentlyCramerVonMises,
    /// Evidently 0.7, `mannw`; numbers only. The score is a p-value that is small where current values are larger, and near 1 where they are
    /// smaller.
    EvidentlyMannWhitney,
    /// Evidently 0.7, `es`; numbers only. The score is a p-value.
    EvidentlyEppsSingleton,
    /// Evidently 0.7, `chisquare`; categories only. The score is a p-value.
    EvidentlyChi2,
    /// Evidently 0.7, `z`; categories only, the first that occurs against all others. The score is a p-value.
    EvidentlyZ,
    /// Evidently 0.7, `g_test`; categories only. The score is a p-value.
    EvidentlyG,
    /// Evidently 0.7, `fisher_exact`; two categories only. The score is a p-value.
    EvidentlyFisher,
    /// NannyML 0.13, `jensen_shannon`.
    NannyMlJs,
    /// NannyML 0.13, `hellinger`.
    NannyMlHellinger,
    /// NannyML 0.13, `l_infinity`; categories only.
    NannyMlLInfinity,
    /// Azure ML model monitor, `jensen_shannon_distance`.
    AzureMlJs,
    /// Azure ML model monitor, `population_stability_index`.
    AzureMlPsi,
    /// Azure ML model monitor, `normalized_wasserstein_distance`; numbers only.
    AzureMlWasserstein,
    /// Azure ML model monitor, `two_sample_kolmogorov_smirnov_test`; numbers only. The score is a p-value.
    AzureMlKs,
    /// Azure ML model monitor, `pearsons_chi_squared_test`; categories only. The score is a p-value.
    AzureMlChi2,
    /// scouter, PSI; numbers only.
    ScouterPsi,
    /// driftwatch, PSI on deciles; numbers only.
    DriftwatchPsi,
    /// driftwatch, Jensen–Shannon divergence in nats on deciles; numbers only.
    DriftwatchJs,
    /// driftwatch, KL divergence of the live sample from the reference on deciles; numbers only.
    DriftwatchKl,
    /// whylogs 1.6, `ks`; numbers only. The score is a p-value.
    WhylogsKs,
    /// whylogs 1.6, `hellinger`; numbers only.
    WhylogsHellinger,
    /// whylogs 1.6, `chi-square`; categories only. The score is a p-value.
    WhylogsChi2,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 31] = [
        Self::EvidentlyPsi,
        Self::EvidentlyKl,
        Self::EvidentlyJs,
        Self::EvidentlyHellinger,
        Self::EvidentlyEnergy,
        Self::EvidentlyWasserstein,
        Self::EvidentlyKs,
        Self::EvidentlyT,
        Self::EvidentlyAnderson,
        Self::EvidentlyCramerVonMises,
        Self::EvidentlyMannWhitney,
        Self::EvidentlyEppsSingleton,
        Self::EvidentlyChi2,
        Self::EvidentlyZ,
        Self::EvidentlyG,
        Self::EvidentlyFisher,
        Self::NannyMlJs,
        Self::NannyMlHellinger,
        Self::NannyMlLInfinity,
        Self::AzureMlJs,
        Self::AzureMlPsi,
        Self::AzureMlWasserstein,
        Self::AzureMlKs,
        Self::AzureMlChi2,
        Self::ScouterPsi,
        Self::DriftwatchPsi,
        Self::DriftwatchJs,
        Self::DriftwatchKl,
        Self::WhylogsKs,
        Self::WhylogsHellinger,
        Self::WhylogsChi2,
    ];

    /// The fewest rows a side from which on Azure's KS refuses.
    pub const AZURE_KS_ROWS: usize = 10_000;

    const fn id(self) -> &'static str {
        match self {
            Self::EvidentlyPsi => "evidently.psi/0.7",
            Self::EvidentlyKl => "evidently.kl_div/0.7",
            Self::EvidentlyJs => "evidently.jensenshannon/0.7",
            Self::EvidentlyHellinger => "evidently.hellinger/0.7",
            Self::EvidentlyEnergy => "evidently.ed/0.7",
            Self::EvidentlyWasserstein => "evidently.wasserstein/0.7",
            Self::EvidentlyKs => "evidently.ks/0.7",
            Self::EvidentlyT => "evidently.t_test/0.7",
            Self::EvidentlyAnderson => "evidently.anderson/0.7",
            Self::EvidentlyCramerVonMises => "evidently.cramer_von_mises/0.7",
            Self::EvidentlyMannWhitney => "evidently.mannw/0.7",
            Self::EvidentlyEppsSingleton => "evidently.es/0.7",
            Self::EvidentlyChi2 => "evidently.chisquare/0.7",
            Self::EvidentlyZ => "evidently.z/0.7",
            Self::EvidentlyG => "evidently.g_test/0.7",
            Self::EvidentlyFisher => "evidently.fisher_exact/0.7",
            Self::NannyMlJs => "nannyml.jensen_shannon/0.13",
            Self::NannyMlHellinger => "nannyml.hellinger/0.13",
            Self::NannyMlLInfinity => "nannyml.l_infinity/0.13",
            Self::AzureMlJs => "azureml.jensen_shannon_distance/1",
            Self::AzureMlPsi => "azureml.population_stability_index/1",
            Self::AzureMlWasserstein => "azureml.normalized_wasserstein_distance/1",
            Self::AzureMlKs => "azureml.two_sample_kolmogorov_smirnov_test/1",
            Self::AzureMlChi2 => "azureml.pearsons_chi_squared_test/1",
            Self::ScouterPsi => "scouter.psi/1",
            Self::DriftwatchPsi => "driftwatch.psi/1",
            Self::DriftwatchJs => "driftwatch.js/1",
            Self::DriftwatchKl => "driftwatch.kl/1",
            Self::WhylogsKs => "whylogs.ks/1.6",
            Self::WhylogsHellinger => "whylogs.hellinger/1.6",
            Self::WhylogsChi2 => "whylogs.chi_square/1.6",
        }
    }

    /// Which scores alert.
    ///
    /// ```
    /// use mlops_drift::compat::{Direction, Preset};
    /// assert_eq!(Preset::EvidentlyKs.direction(), Direction::AtMost);
    /// assert_eq!(Preset::EvidentlyT.direction(), Direction::Below);
    /// ```
    pub const fn direction(self) -> Direction {
        match self {
            Self::EvidentlyPsi
            | Self::EvidentlyKl
            | Self::EvidentlyJs
            | Self::EvidentlyHellinger
            | Self::EvidentlyWasserstein
            | Self::WhylogsHellinger => Direction::AtLeast,
            Self::EvidentlyKs | Self::EvidentlyCramerVonMises | Self::WhylogsKs | Self::WhylogsChi2 => {
                Direction::AtMost
            }
            Self::EvidentlyT
            | Self::EvidentlyAnderson
            | Self::EvidentlyMannWhitney
            | Self::EvidentlyEppsSingleton
            | Self::EvidentlyChi2
            | Self::EvidentlyZ
            | Self::EvidentlyG
            | Self::EvidentlyFisher
            | Self::AzureMlKs
            | Self::AzureMlChi2 => Direction::Below,
            _ => Direction::Above,
        }
    }

    /// The tool's threshold, where it has one that does not depend on the data.
    ///
    /// ```
    /// use mlops_drift::compat::Preset;
    /// assert_eq!(Preset::DriftwatchPsi.threshold(), Some(0.25));
    /// assert_eq!(Preset::NannyMlJs.threshold(), None);
    /// ```
    pub const fn threshold(self) -> Option<f64> {
        match self {
            Self::NannyMlJs
            | Self::NannyMlHellinger
            | Self::NannyMlLInfinity
            | Self::ScouterPsi
            | Self::DriftwatchJs
            | Self::DriftwatchKl => None,
            Self::EvidentlyKs
            | Self::EvidentlyT
            | Self::EvidentlyMannWhitney
            | Self::EvidentlyEppsSingleton
            | Self::EvidentlyChi2
            | Self::EvidentlyZ
            | Self::AzureMlKs
            | Self::AzureMlChi2
            | Self::WhylogsKs
            | Self::WhylogsChi2 => Some(0.05),
            Self::DriftwatchPsi => Some(0.25),
            Self::WhylogsHellinger => Some(0.4),
            _ => Some(0.1),
        }
    }

    /// The milder of two thresholds: from here on whylogs calls a drift possible.
    ///
    /// ```
    /// use mlops_drift::compat::Preset;
    /// assert_eq!(Preset::WhylogsHellinger.warning_threshold(), Some(0.15));
    /// ```
    pub const fn warning_threshold(self) -> Option<f64> {
        match self {
            Self::WhylogsKs | Self::WhylogsHellinger | Self::WhylogsChi2 => Some(0.15),
            _ => None,
        }
    }

    /// Whether [`check`] can answer: the definition is one for numbers.
    ///
    /// ```
    /// use mlops_drift::compat::Preset;
    /// assert!(Preset::EvidentlyPsi.takes_numbers() && !Preset::EvidentlyChi2.takes_numbers());
    /// ```
    pub const fn takes_numbers(self) -> bool {
        !matches!(
            self,
            Self::EvidentlyChi2
                | Self::EvidentlyZ
                | Self::EvidentlyG
                | Self::EvidentlyFisher
                | Self::NannyMlLInfinity
                | Self::AzureMlChi2
                | Self::WhylogsChi2
        )
    }

    /// Whether [`check_categories`] can answer: the definition is one for categories.
    ///
    /// ```
    /// use mlops_drift::compat::Preset;
    /// assert!(Preset::EvidentlyPsi.takes_categories() && !Preset::EvidentlyKs.takes_categories());
    /// ```
    pub const fn takes_categories(self) -> bool {
        !self.takes_numbers()
            || matches!(
                self,
                Self::EvidentlyPsi
                    | Self::EvidentlyKl
                    | Self::EvidentlyJs
                    | Self::EvidentlyHellinger
                    | Self::NannyMlJs
                    | Self::NannyMlHellinger
                    | Self::AzureMlJs
                    | Self::AzureMlPsi
            )
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// Which scores alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Scores of the threshold or more.
    AtLeast,
    /// Scores above the threshold.
    Above,
    /// Scores below the threshold: p-values.
    Below,
    /// Scores of the threshold or less: p-values too.
    AtMost,
}

/// "at least", "above", "below" or "at most".
impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtLeast => "at least",
            Self::Above => "above",
            Self::Below => "below",
            Self::AtMost => "at most",
        })
    }
}

impl Direction {
    const fn reached(self, score: f64, threshold: f64) -> bool {
        match self {
            Self::AtLeast => score >= threshold,
            Self::Above => score > threshold,
            Self::Below => score < threshold,
            Self::AtMost => score <= threshold,
        }
    }
}

/// What the tool would have said.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Which definition.
    pub preset: Preset,
    /// Its score.
    pub score: f64,
    /// The threshold; `None` where the tool has no default.
    pub threshold: Option<f64>,
    /// Whether it alerts; `None` without a threshold.
    pub alert: Option<bool>,
    /// Whether the milder threshold of [`Preset::warning_threshold`] is reached; `None` where the tool has none.
    pub warning: Option<bool>,
}

impl Verdict {
    fn new(preset: Preset, score: f64, threshold: Option<f64>) -> Self {
        let reached = |threshold| preset.direction().reached(score, threshold);
        let (alert, warning) = (threshold.map(reached), preset.warning_threshold().map(reached));
        Self { preset, score, threshold, alert, warning }
    }

    /// The same score held against another threshold.
    ///
    /// ```
    /// use mlops_drift::compat::{Preset, check_categories};
    /// let verdict = check_categories(Preset::NannyMlLInfinity, &[50, 50], &[70, 30])?;
    /// assert_eq!((verdict.alert, verdict.with_threshold(0.15).alert), (None, Some(true)));
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    #[must_use]
    pub fn with_threshold(self, threshold: f64) -> Self {
        Self::new(self.preset, self.score, Some(threshold))
    }
}

/// What the tool would have said about two samples of numbers. O(n log n).
///
/// # Errors
/// [`StatsError::Empty`]; [`StatsError::Nan`] and [`StatsError::NotFinite`] with the index; [`StatsError::Parameter`] `rows` from
/// [`Preset::AZURE_KS_ROWS`] rows on for [`Preset::AzureMlKs`], and `bins` when Doane's rule asks for too many cells;
/// [`StatsError::Unsupported`] for a preset of categories; [`StatsError::Overflow`] for a score that is not finite.
///
/// ```
/// use mlops_drift::compat::{Preset, check};
///
/// let reference: Vec<f64> = (0..100).map(f64::from).collect();
/// let current: Vec<f64> = (40..140).map(f64::from).collect();
/// let verdict = check(Preset::DriftwatchPsi, &reference, &current)?;
/// assert_eq!(verdict.alert, Some(true));
/// assert_eq!(verdict.preset.to_string(), "driftwatch.psi/1");
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn check(preset: Preset, reference: &[f64], current: &[f64]) -> Result<Verdict, StatsError> {
    for (argument, values) in [("reference", reference), ("current", current)] {
        check_values(argument, values)?;
    }
    let (score, threshold) = scores::numeric(preset, reference, current)?;
    if !score.is_finite() {
        return Err(StatsError::Overflow { what: "the score of the preset" });
    }
    Ok(Verdict::new(preset, score, threshold.or(preset.threshold())))
}

/// What the tool would have said about two rows of counts over the same categories: those that either sample has.
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::ZeroTotal`]; [`StatsError::Unsupported`] for a preset of
/// numbers.
///
/// ```
/// use mlops_drift::compat::{Preset, check_categories};
/// let verdict = check_categories(Preset::EvidentlyJs, &[40, 60, 0], &[30, 50, 20])?;
/// assert_eq!(verdict.alert, Some(true));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn check_categories(preset: Preset, reference: &[u64], current: &[u64]) -> Result<Verdict, StatsError> {
    let score = scores::categories(preset, reference, current)?;
    if !score.is_finite() {
        return Err(StatsError::Overflow { what: "the score of the preset" });
    }
    Ok(Verdict::new(preset, score, preset.threshold()))
}

/// NannyML's threshold: mean + 3 standard deviations (ddof 0) of the scores of the chunks of the reference.
///
/// # Errors
/// [`StatsError::Empty`]; [`StatsError::NotFinite`] with the index; [`StatsError::Overflow`] where squares of the scores are
/// beyond a double.
///
/// ```
/// let threshold = mlops_drift::compat::nannyml_threshold(&[0.1, 0.3])?;
/// assert!((threshold - 0.5).abs() < 1e-15);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn nannyml_threshold(chunk_scores: &[f64]) -> Result<f64, StatsError> {
    let argument = "chunk_scores";
    check_values(argument, chunk_scores)?;
    let threshold = scores::mean(chunk_scores) + 3.0 * scores::deviation(chunk_scores, 0);
    if threshold.is_finite() { Ok(threshold) } else { Err(StatsError::Overflow { what: "the threshold" }) }
}

fn check_values(argument: &'static str, values: &[f64]) -> Result<(), StatsError> {
    if values.is_empty() {
        return Err(StatsError::Empty { argument });
    }
    match values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        Some((index, value)) if value.is_nan() => Err(StatsError::Nan { argument, index }),
        Some((index, &value)) => Err(StatsError::NotFinite { argument, index, value }),
        None => Ok(()),
    }
}

fn total(terms: impl Iterator<Item = f64>) -> f64 {
    terms.collect::<Sum>().value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_different_and_numbers_or_categories_are_answered() {
        let ids: std::collections::BTreeSet<&str> = Preset::ALL.iter().map(|preset| preset.id()).collect();
        assert_eq!(ids.len(), Preset::ALL.len());
        let (a, b): (Vec<f64>, Vec<f64>) =
            ((0..60).map(f64::from).collect(), (5..65).map(f64::from).collect());
        for preset in Preset::ALL {
            let numbers = check(preset, &a, &b);
            let categories = check_categories(preset, &[5, 9, 0], &[11, 3, 0]);
            assert_eq!(numbers.is_ok(), preset.takes_numbers(), "{preset}: {numbers:?}");
            assert_eq!(categories.is_ok(), preset.takes_categories(), "{preset}: {categories:?}");
        }
    }

    #[test]
    fn azure_refuses_ks_on_many_rows() {
        let values = vec![1.0; Preset::AZURE_KS_ROWS];
        let refused = check(Preset::AzureMlKs, &values, &[1.0]);
        assert!(matches!(refused, Err(StatsError::Parameter { parameter: "rows", .. })), "{refused:?}");
        assert!(check(Preset::AzureMlKs, &values[1..], &[1.0]).is_ok());
    }

    #[test]
    fn a_low_p_value_alerts_and_a_high_distance_does() {
        let (a, b): (Vec<f64>, Vec<f64>) =
            ((0..60).map(f64::from).collect(), (50..110).map(f64::from).collect());
        for preset in [Preset::AzureMlKs, Preset::EvidentlyKs, Preset::WhylogsKs, Preset::EvidentlyPsi] {
            assert_eq!(check(preset, &a, &b).unwrap().alert, Some(true), "{preset}");
            assert_eq!(check(preset, &a, &a).unwrap().alert, Some(false), "{preset}");
        }
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        for bad in [f64::NAN, f64::INFINITY] {
            for preset in Preset::ALL {
                assert!(check(preset, &[0.0, bad], &[1.0]).is_err());
            }
        }
    }
}
