//! What a detector can measure on a feature.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::BinRule;

/// What a method works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// The sorted values of a numeric feature.
    Values,
    /// Counts: quantile cells of a numeric feature, or the levels of a categorical one.
    Cells,
}

macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident: $family:ident, $name:literal, $id:literal, $threshold:literal;)*) => {
        /// What a detector measures on a feature.
        ///
        /// Every method gives a score and a p-value. The score is an effect size, so that a threshold on it means the same at
        /// any number of rows; [`Method::min_score`] is the default one.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Method {
            $($(#[$doc])* $variant,)*
        }

        impl Method {
            /// All methods.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub(super) const fn family(self) -> Family {
                match self {
                    $(Self::$variant => Family::$family,)*
                }
            }

            /// The id of what it computes, without the rule of the cells.
            pub(super) const fn id(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)*
                }
            }

            /// What a person calls it.
            ///
            /// ```
            /// assert_eq!(mlops_drift::detector::Method::Psi.title(), "population stability index");
            /// ```
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The smallest score that matters, unless the options say otherwise: about what a normal column scores that moves
            /// by a quarter to a third of its standard deviation.
            ///
            /// ```
            /// assert_eq!(mlops_drift::detector::Method::KolmogorovSmirnov.min_score(), 0.1);
            /// ```
            pub const fn min_score(self) -> f64 {
                match self {
                    $(Self::$variant => $threshold,)*
                }
            }
        }
    };
}

methods! {
    /// The largest gap D between the distribution functions, in [0, 1]; p given ties, exact up to 2²⁴ pairs of values and by
    /// the limit law beyond.
    KolmogorovSmirnov: Values, "Kolmogorov–Smirnov distance", "ks.two_sample/v1", 0.1;
    /// The population stability index, Jeffreys smoothing.
    Psi: Cells, "population stability index", "psi.jeffreys/v1", 0.1;
    /// The Jensen–Shannon distance, base 2, in [0, 1].
    JensenShannon: Cells, "Jensen–Shannon distance", "js.distance.base2/v1", 0.1;
    /// The Kullback–Leibler divergence of the current data from the reference, in nats, Jeffreys smoothing.
    KullbackLeibler: Cells, "Kullback–Leibler divergence", "kl.current_from_reference.nats.jeffreys/v1", 0.05;
    /// The Hellinger distance, in [0, 1].
    Hellinger: Cells, "Hellinger distance", "hellinger/v1", 0.1;
    /// The total variation: the share of rows that would have to move, in [0, 1].
    TotalVariation: Cells, "total variation", "total_variation/v1", 0.1;
    /// The largest difference of the shares of a cell, in [0, 1].
    LInfinity: Cells, "largest difference of shares", "l_infinity/v1", 0.05;
    /// The chi-square test of homogeneity; the score is √(χ²·(1/n + 1/m)), the chi-square distance of the shares in units of the
    /// pooled ones, which does not depend on the numbers of rows.
    Chi2: Cells, "chi-square distance", "chi2.distance/v1", 0.25;
    /// The G-test; the score is √(G·(1/n + 1/m)), for small differences that of the chi-square test.
    GTest: Cells, "G distance", "g.distance/v1", 0.25;
    /// Cramér's V of value against side, corrected for bias, in [0, 1]; p by the chi-square test.
    CramerV: Cells, "Cramér's V", "cramer_v/v1", 0.1;
    /// The Cramér–von Mises test; the score is √(T·(1/n + 1/m)), the root of the mean squared gap between the distribution
    /// functions.
    CramerVonMises: Values, "Cramér–von Mises distance", "cramer_von_mises.distance/v1", 0.08;
    /// The Anderson–Darling test; the score is √(A²·(1/n + 1/m)), the same gap weighted towards the tails.
    AndersonDarling: Values, "Anderson–Darling distance", "anderson_darling.distance/v1", 0.15;
    /// The Mann–Whitney test; the score is Cliff's δ, |2 P(current > reference) − 1| with ties halved, in [0, 1]. Sees
    /// the values move up or down and is blind to their spread.
    MannWhitney: Values, "Cliff's δ", "mann_whitney.delta/v1", 0.15;
    /// The Epps–Singleton test on characteristic functions; the score is √(W·(1/n + 1/m)). Infinite values are refused.
    EppsSingleton: Values, "Epps–Singleton distance", "epps_singleton.distance/v1", 0.25;
    /// Student's t-test; the score is Cohen's d, |t|·√(1/n + 1/m). Sees the mean alone. Infinite values are refused.
    StudentT: Values, "Cohen's d", "student_t.d/v1", 0.25;
    /// Welch's t-test; the score is |t|·√(1/n + 1/m), Cohen's d where the spreads are equal. Infinite values are refused.
    WelchT: Values, "Welch's d", "welch_t.d/v1", 0.25;
    /// The Brown–Forsythe test of the spread about the median; the score is √(F·(1/n + 1/m)). Sees the spread alone. Infinite
    /// values are refused.
    BrownForsythe: Values, "Brown–Forsythe distance", "brown_forsythe.d/v1", 0.25;
    /// Fisher's exact test on features of two values; the score is the absolute difference of shares.
    Fisher: Values, "difference of shares, exact test", "fisher.difference/v1", 0.1;
    /// The z-test on features of two values; the score is the absolute difference of shares, with Newcombe's interval.
    Proportions: Values, "difference of shares", "proportions.difference/v1", 0.1;
    /// The Wasserstein-1 distance in interquartile ranges of the reference (where that is 0, in standard deviations or ranges).
    /// Against a reference of 16 384 values or more that are finite and not all the same, noise floor and p-value come from the
    /// reference alone instead of both samples, which are one under no drift.
    Wasserstein: Values, "Wasserstein distance", "wasserstein.iqr/v1", 0.2;
    /// The energy distance over the root of the reference's interquartile range (of its range where that is 0). Infinite values
    /// are refused.
    Energy: Values, "energy distance", "energy.iqr/v1", 0.15;
}

impl Method {
    /// Whether it can be measured on numeric and boolean features: every method can.
    ///
    /// ```
    /// assert!(mlops_drift::detector::Method::KolmogorovSmirnov.on_numbers());
    /// ```
    pub const fn on_numbers(self) -> bool {
        true
    }

    /// Whether it can be measured on categorical features.
    ///
    /// ```
    /// use mlops_drift::detector::Method;
    /// assert!(Method::Psi.on_categories() && !Method::KolmogorovSmirnov.on_categories());
    /// ```
    pub const fn on_categories(self) -> bool {
        matches!(self.family(), Family::Cells)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// The id of a definition on cells that a rule has cut: `psi.jeffreys/v1` becomes `psi.jeffreys.quantile10/v1`.
pub(super) fn with_rule(id: &str, rule: BinRule) -> String {
    let rule = match rule {
        BinRule::Quantile(k) => format!("quantile{k}"),
        BinRule::EqualWidth(k) => format!("width{k}"),
        BinRule::Sturges => "sturges".to_owned(),
        BinRule::Doane => "doane".to_owned(),
        BinRule::FreedmanDiaconis => "freedman_diaconis".to_owned(),
    };
    match id.rsplit_once('/') {
        Some((name, version)) => format!("{name}.{rule}/{version}"),
        None => format!("{id}.{rule}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_a_name_of_its_own_and_survives_a_round_trip() {
        for method in Method::ALL {
            let text = serde_json::to_string(method).unwrap();
            assert_eq!(serde_json::from_str::<Method>(&text).unwrap(), *method);
            assert!(method.min_score() > 0.0);
            assert_eq!(Method::ALL.iter().filter(|other| other.title() == method.title()).count(), 1);
        }
    }

    #[test]
    fn readings_have_the_id_of_their_method() {
        use super::super::reading::OnCells;
        use crate::{Bins, Missing};
        let values: Vec<f64> = (0..200).map(f64::from).collect();
        let bins = Bins::fit(&values, BinRule::default()).unwrap();
        let (a, b) = (bins.count(&values), bins.count(&values[20..]));
        let tally = |counts| bins.tally(counts, Missing::Cell).unwrap();
        let counts = (a.as_slice(), b.as_slice());
        let cells = OnCells { reference: tally(&a), current: tally(&b), counts };
        for method in Method::ALL {
            let flags: Vec<f64> = (0..200).map(|i| f64::from(i / 120)).collect();
            let reading = match (method.family(), method) {
                (_, Method::Fisher | Method::Proportions) => method.on_values(&flags, &flags[20..]),
                (Family::Values, _) => method.on_values(&values, &values[20..]),
                (Family::Cells, _) => method.on_cells(&cells),
            };
            assert_eq!(reading.unwrap().id.to_string(), method.id());
        }
    }

    #[test]
    fn cells_are_named_with_their_rule() {
        assert_eq!(with_rule("psi.jeffreys/v1", BinRule::Quantile(10)), "psi.jeffreys.quantile10/v1");
    }
}
