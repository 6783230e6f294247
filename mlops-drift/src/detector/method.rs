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
    /// The chi-square test of homogeneity; the score is φ = √(χ²/(n + m)), in [0, 1].
    Chi2: Cells, "chi-square φ", "chi2.phi/v1", 0.1;
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
        let cells = OnCells { reference: (&a, tally(&a)), current: (&b, tally(&b)) };
        for method in Method::ALL {
            let reading = match method.family() {
                Family::Values => method.on_values(&values, &values[20..]),
                Family::Cells => method.on_cells(&cells),
            };
            assert_eq!(reading.unwrap().id.to_string(), method.id());
        }
    }

    #[test]
    fn cells_are_named_with_their_rule() {
        assert_eq!(with_rule("psi.jeffreys/v1", BinRule::Quantile(10)), "psi.jeffreys.quantile10/v1");
    }
}
