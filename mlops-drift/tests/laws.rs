//! Laws that every statistic keeps, written once and run over a list of all of them, on hostile doubles.

#[path = "common/hostile.rs"]
mod hostile;

use mlops_core::num::{Measured, NanPolicy, StatsError};
use mlops_drift::{
    Alternative, BinRule, Bins, CellOptions, EnergyOptions, JsOptions, KlDirection, KlOptions, KsMethod,
    KsOptions, LogBase, Missing, PsiOptions, Smoothing, WassersteinOptions, WassersteinScale, chi2,
    chi2_homogeneity, chi2_on_cells, chi2_text, energy, energy_sorted, energy_weighted, energy_with,
    hellinger, hellinger_from_counts, hellinger_weighted, hellinger_with, js, js_divergence_from_counts,
    js_from_counts, js_weighted, js_with, kl, kl_from_counts, kl_weighted, kl_with, ks, ks_sorted,
    ks_sorted_with, ks_weighted, ks_with, l_infinity, l_infinity_from_counts, l_infinity_weighted,
    l_infinity_with, psi, psi_from_counts, psi_weighted, psi_with, total_variation,
    total_variation_from_counts, total_variation_weighted, total_variation_with, wasserstein,
    wasserstein_sorted, wasserstein_weighted, wasserstein_with,
};
use proptest::prelude::*;

use hostile::{check_tail, hostile_samples};

/// What all results have in common, for laws that do not care which statistic it is.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    score: Measured,
    p: Measured,
    ln_p: Measured,
}

fn ones(values: &[f64]) -> Vec<f64> {
    vec![1.0; values.len()]
}

/// Weights far apart that only the values decide, so that they follow every reordering.
fn by_value(values: &[f64]) -> Vec<f64> {
    const WEIGHTS: [f64; 7] = [1.0, 0.1, 3.0, 1e-300, 1e12, 0.7, 1e-8];
    let weight = |value: &f64| WEIGHTS[usize::try_from((value + 0.0).to_bits() % 7).unwrap()];
    values.iter().map(weight).collect()
}

type OnSamples = fn(&[f64], &[f64]) -> Result<Seen, StatsError>;
type OnCounts = fn(&[u64], &[u64]) -> Result<Seen, StatsError>;

macro_rules! seen {
    ($result:expr) => {
        $result.map(|r| Seen { score: Measured::Value(r.score), p: r.p, ln_p: r.ln_p })
    };
}

macro_rules! seen_ks {
    ($result:expr) => {
        $result.map(|r| Seen { score: r.statistic, p: r.p, ln_p: r.ln_p })
    };
}

macro_rules! seen_chi2 {
    ($result:expr) => {
        $result.map(|r| Seen { score: Measured::Value(r.statistic), p: r.p, ln_p: r.ln_p })
    };
}

/// Name, function, largest score.
const ON_SAMPLES: &[(&str, OnSamples, f64)] = &[
    ("psi", |a, b| seen!(psi(a, b)), f64::MAX),
    (
        "psi missing cell",
        |a, b| seen!(psi_with(a, b, &PsiOptions::default().with_missing(Missing::Cell))),
        f64::MAX,
    ),
    (
        "psi equal width",
        |a, b| {
            let options =
                PsiOptions::default().with_bins(BinRule::EqualWidth(17)).with_missing(Missing::Omit);
            seen!(psi_with(a, b, &options))
        },
        f64::MAX,
    ),
    ("js", |a, b| seen!(js(a, b)), 1.0),
    (
        "js many bins",
        |a, b| {
            seen!(js_with(
                a,
                b,
                &JsOptions::default().with_bins(BinRule::Quantile(1000)).with_missing(Missing::Omit)
            ))
        },
        1.0,
    ),
    ("psi weighted", |a, b| seen!(psi_weighted(a, &ones(a), b, &ones(b), &PsiOptions::default())), f64::MAX),
    ("js weighted", |a, b| seen!(js_weighted(a, &ones(a), b, &ones(b), &JsOptions::default())), 1.0),
    ("kl weighted", |a, b| seen!(kl_weighted(a, &ones(a), b, &ones(b), &KlOptions::default())), f64::MAX),
    ("kl", |a, b| seen!(kl(a, b)), f64::MAX),
    (
        "kl missing cell",
        |a, b| seen!(kl_with(a, b, &KlOptions::default().with_missing(Missing::Cell))),
        f64::MAX,
    ),
    (
        "hellinger weighted",
        |a, b| seen!(hellinger_weighted(a, &ones(a), b, &ones(b), &CellOptions::default())),
        1.0,
    ),
    ("hellinger", |a, b| seen!(hellinger(a, b)), 1.0),
    (
        "hellinger missing cell",
        |a, b| seen!(hellinger_with(a, b, &CellOptions::default().with_missing(Missing::Cell))),
        1.0,
    ),
    (
        "total_variation weighted",
        |a, b| seen!(total_variation_weighted(a, &ones(a), b, &ones(b), &CellOptions::default())),
        1.0,
    ),
    ("total_variation", |a, b| seen!(total_variation(a, b)), 1.0),
    (
        "total_variation missing cell",
        |a, b| seen!(total_variation_with(a, b, &CellOptions::default().with_missing(Missing::Cell))),
        1.0,
    ),
    (
        "l_infinity weighted",
        |a, b| seen!(l_infinity_weighted(a, &ones(a), b, &ones(b), &CellOptions::default())),
        1.0,
    ),
    ("l_infinity", |a, b| seen!(l_infinity(a, b)), 1.0),
    (
        "l_infinity missing cell",
        |a, b| seen!(l_infinity_with(a, b, &CellOptions::default().with_missing(Missing::Cell))),
        1.0,
    ),
    ("energy", |a, b| seen!(energy(a, b)), f64::MAX),
    (
        "energy omit",
        |a, b| seen!(energy_with(a, b, &EnergyOptions::default().with_nan(NanPolicy::Omit))),
        f64::MAX,
    ),
    (
        "energy weighted",
        |a, b| seen!(energy_weighted(a, &ones(a), b, &ones(b), &EnergyOptions::default())),
        f64::MAX,
    ),
    (
        "energy weighted omit",
        |a, b| {
            let options = EnergyOptions::default().with_nan(NanPolicy::Omit);
            seen!(energy_weighted(a, &by_value(a), b, &by_value(b), &options))
        },
        f64::MAX,
    ),
    (
        "energy sorted",
        |a, b| {
            let sorted = |x: &[f64]| {
                let mut x = x.to_vec();
                x.sort_by(f64::total_cmp);
                x
            };
            seen!(energy_sorted(&sorted(a), &sorted(b)))
        },
        f64::MAX,
    ),
    ("wasserstein", |a, b| seen!(wasserstein(a, b)), f64::MAX),
    (
        "wasserstein omit",
        |a, b| {
            let options = WassersteinOptions::default().with_scale(WassersteinScale::Raw);
            seen!(wasserstein_with(a, b, &options.with_nan(NanPolicy::Omit)))
        },
        f64::MAX,
    ),
    (
        "wasserstein range",
        |a, b| {
            let options = WassersteinOptions::default().with_scale(WassersteinScale::Range);
            seen!(wasserstein_with(a, b, &options))
        },
        1.0,
    ),
    (
        "wasserstein weighted",
        |a, b| seen!(wasserstein_weighted(a, &ones(a), b, &ones(b), &WassersteinOptions::default())),
        f64::MAX,
    ),
    (
        "wasserstein sorted",
        |a, b| {
            let sorted = |x: &[f64]| {
                let mut x = x.to_vec();
                x.sort_by(f64::total_cmp);
                x
            };
            seen!(wasserstein_sorted(&sorted(a), &sorted(b), &WassersteinOptions::default()))
        },
        f64::MAX,
    ),
    ("chi2 values", |a, b| seen_chi2!(chi2(a, b, Missing::Raise)), f64::MAX),
    (
        "chi2 text omit",
        |a, b| {
            let texts =
                |x: &[f64]| x.iter().map(|v| (!v.is_nan()).then(|| v.to_string())).collect::<Vec<_>>();
            let (a, b) = (texts(a), texts(b));
            seen_chi2!(chi2_text(
                a.iter().map(Option::as_deref),
                b.iter().map(Option::as_deref),
                Missing::Omit
            ))
        },
        f64::MAX,
    ),
    ("ks", |a, b| seen_ks!(ks(a, b)), 1.0),
    ("ks omit", |a, b| seen_ks!(ks_with(a, b, &KsOptions::default().with_nan(NanPolicy::Omit))), 1.0),
    (
        "ks propagate",
        |a, b| seen_ks!(ks_with(a, b, &KsOptions::default().with_nan(NanPolicy::Propagate))),
        1.0,
    ),
    (
        "ks continuous",
        |a, b| seen_ks!(ks_with(a, b, &KsOptions::default().with_method(KsMethod::ExactContinuous))),
        1.0,
    ),
    (
        "ks asymptotic",
        |a, b| seen_ks!(ks_with(a, b, &KsOptions::default().with_method(KsMethod::Asymptotic))),
        1.0,
    ),
    ("ks weighted", |a, b| seen_ks!(ks_weighted(a, &ones(a), b, &ones(b), &KsOptions::default())), 1.0),
    (
        "ks weighted omit",
        |a, b| {
            let options = KsOptions::default().with_nan(NanPolicy::Omit);
            seen_ks!(ks_weighted(a, &by_value(a), b, &by_value(b), &options))
        },
        1.0,
    ),
    (
        "ks weighted propagate",
        |a, b| {
            let options = KsOptions::default().with_nan(NanPolicy::Propagate);
            let options = options.with_alternative(Alternative::Less);
            seen_ks!(ks_weighted(a, &by_value(a), b, &by_value(b), &options))
        },
        1.0,
    ),
    (
        "ks sorted",
        |a, b| {
            let sorted = |x: &[f64]| {
                let mut x = x.to_vec();
                x.sort_by(f64::total_cmp);
                x
            };
            seen_ks!(ks_sorted(&sorted(a), &sorted(b), KsMethod::Auto))
        },
        1.0,
    ),
    (
        "ks sorted less",
        |a, b| {
            let sorted = |x: &[f64]| {
                let mut x = x.to_vec();
                x.sort_by(f64::total_cmp);
                x
            };
            let options = KsOptions::default().with_alternative(Alternative::Less);
            seen_ks!(ks_sorted_with(&sorted(a), &sorted(b), &options))
        },
        1.0,
    ),
    (
        "ks greater",
        |a, b| seen_ks!(ks_with(a, b, &KsOptions::default().with_alternative(Alternative::Greater))),
        1.0,
    ),
];

const ON_COUNTS: &[(&str, OnCounts, f64)] = &[
    (
        "chi2",
        |a, b| {
            chi2_homogeneity(a, b).map(|r| Seen { score: Measured::Value(r.statistic), p: r.p, ln_p: r.ln_p })
        },
        f64::MAX,
    ),
    (
        "chi2 on cells",
        |a, b| {
            chi2_on_cells(a, b).map(|r| Seen { score: Measured::Value(r.statistic), p: r.p, ln_p: r.ln_p })
        },
        f64::MAX,
    ),
    ("psi none", |a, b| seen!(psi_from_counts(a, b, Smoothing::None)), f64::MAX),
    ("psi jeffreys", |a, b| seen!(psi_from_counts(a, b, Smoothing::Jeffreys)), f64::MAX),
    ("psi laplace", |a, b| seen!(psi_from_counts(a, b, Smoothing::Laplace)), f64::MAX),
    ("psi replace", |a, b| seen!(psi_from_counts(a, b, Smoothing::Replace(1e-4))), f64::MAX),
    ("psi add", |a, b| seen!(psi_from_counts(a, b, Smoothing::AddRenormalise(1e-6))), f64::MAX),
    ("psi floor", |a, b| seen!(psi_from_counts(a, b, Smoothing::Floor(0.01))), f64::MAX),
    ("kl", |a, b| seen!(kl_from_counts(a, b, KlDirection::default(), Smoothing::Jeffreys)), f64::MAX),
    ("hellinger", |a, b| seen!(hellinger_from_counts(a, b)), 1.0),
    ("total variation", |a, b| seen!(total_variation_from_counts(a, b)), 1.0),
    ("l infinity", |a, b| seen!(l_infinity_from_counts(a, b)), 1.0),
    ("js distance", |a, b| seen!(js_from_counts(a, b, LogBase::Two)), 1.0),
    ("js divergence", |a, b| seen!(js_divergence_from_counts(a, b, LogBase::E)), std::f64::consts::LN_2),
];

/// No NaN where there is a number, scores and probabilities in their ranges, and p and ln p of one mind.
fn check(name: &str, seen: Seen, top: f64) -> Result<(), TestCaseError> {
    if let Some(score) = seen.score.value() {
        prop_assert!((0.0..=top).contains(&score), "{name}: score {score}");
    }
    check_tail(name, seen.p, seen.ln_p)
}

/// The same up to the rounding of sums taken in another order.
fn alike(a: Measured, b: Measured) -> bool {
    match (a.value(), b.value()) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * a.abs().max(b.abs()) + 1e-14,
        (None, None) => true,
        _ => false,
    }
}

fn samples_without_nan() -> impl Strategy<Value = Vec<f64>> {
    hostile_samples(70).prop_map(|values| values.into_iter().filter(|v| !v.is_nan()).collect())
}

fn counts_rows() -> impl Strategy<Value = (Vec<u64>, Vec<u64>)> {
    let count = prop_oneof![3 => Just(0u64), 5 => 0u64..50, 1 => 0u64..1 << 40, 1 => Just(u64::MAX), 1 => Just(1 << 61)];
    (0usize..12).prop_flat_map(move |k| {
        (prop::collection::vec(count.clone(), k), prop::collection::vec(count.clone(), k))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn hostile_samples_give_a_number_or_a_typed_error(a in hostile_samples(70), b in hostile_samples(70)) {
        for &(name, function, top) in ON_SAMPLES {
            if let Ok(seen) = function(&a, &b) {
                check(name, seen, top)?;
            }
        }
    }

    #[test]
    fn hostile_counts_give_a_number_or_a_typed_error((a, b) in counts_rows(), longer in 0u64..3) {
        for &(name, function, top) in ON_COUNTS {
            if let Ok(seen) = function(&a, &b) {
                check(name, seen, top)?;
            }
            let mut c = b.clone();
            c.extend(std::iter::repeat_n(longer, usize::try_from(longer).unwrap()));
            prop_assert_eq!(function(&a, &c).is_err(), longer > 0 || function(&a, &b).is_err());
        }
    }

    #[test]
    fn a_sample_does_not_differ_from_itself(a in samples_without_nan()) {
        for &(name, function, _) in ON_SAMPLES {
            if let Ok(seen) = function(&a, &a) {
                prop_assert_eq!(seen.score, Measured::Value(0.0), "{}", name);
                prop_assert!(seen.p.value().is_none_or(|p| p == 1.0), "{}", name);
            } else {
                let infinite = |v: &f64| v.is_infinite();
                let refuses = if ["energy", "wasserstein"].iter().any(|of| name.starts_with(of)) { a.is_empty() || a.iter().any(infinite) } else { a.iter().all(infinite) };
                prop_assert!(refuses, "{name} refuses {a:?}");
            }
        }
    }

    #[test]
    fn the_order_of_values_changes_nothing(a in samples_without_nan(), b in samples_without_nan(), by in 0usize..70) {
        let shuffled = |x: &[f64]| {
            let mut x: Vec<f64> = x.iter().rev().copied().collect();
            let by = by % x.len().max(1);
            x.rotate_left(by);
            x
        };
        for &(name, function, _) in ON_SAMPLES {
            let (plain, mixed) = (function(&a, &b), function(&shuffled(&a), &shuffled(&b)));
            prop_assert_eq!(plain.is_ok(), mixed.is_ok(), "{}", name);
            if plain.is_ok() {
                prop_assert_eq!(plain, mixed, "{}", name);
            }
        }
    }

    #[test]
    fn the_order_of_cells_and_sides_changes_nothing((a, b) in counts_rows()) {
        let reversed = |x: &[u64]| x.iter().rev().copied().collect::<Vec<u64>>();
        for &(name, function, _) in ON_COUNTS {
            let plain = function(&a, &b);
            for other in [function(&reversed(&a), &reversed(&b)), function(&b, &a)] {
                prop_assert_eq!(plain.is_ok(), other.is_ok(), "{}", name);
                let one_way = name == "kl" && other == function(&b, &a);
                if let (Ok(plain), Ok(other), false) = (plain, other, one_way) {
                    prop_assert!(alike(plain.score, other.score), "{name}: {plain:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn equal_counts_score_nothing((a, _) in counts_rows()) {
        for &(name, function, _) in ON_COUNTS {
            if let Ok(seen) = function(&a, &a) {
                prop_assert_eq!(seen.score, Measured::Value(0.0), "{}", name);
            }
        }
    }

    #[test]
    fn ks_does_not_care_which_side_is_which(a in samples_without_nan(), b in samples_without_nan()) {
        if let (Ok(there), Ok(back)) = (ks(&a, &b), ks(&b, &a)) {
            prop_assert_eq!((there.numerator, there.ties), (back.numerator, back.ties));
            prop_assert!(alike(there.p, back.p));
        }
    }

    #[test]
    fn every_value_is_counted_once_and_shards_add_up(
        reference in hostile_samples(70), values in hostile_samples(70), bins in 1usize..200, at in 0usize..70, wide in any::<bool>(),
    ) {
        let rule = if wide { BinRule::EqualWidth(bins) } else { BinRule::Quantile(bins) };
        let Ok(bins) = Bins::fit(&reference, rule) else {
            prop_assert!(reference.iter().all(|v| !v.is_finite()));
            return Ok(());
        };
        let whole = bins.count(&values);
        prop_assert_eq!(whole.total(), values.len() as u64);
        prop_assert_eq!(whole.missing(), values.iter().filter(|v| v.is_nan()).count() as u64);
        let (left, right) = values.split_at(at.min(values.len()));
        let mut merged = bins.count(left);
        merged.merge(&bins.count(right)).unwrap();
        prop_assert_eq!(&merged, &whole);
        let text = serde_json::to_string(&bins).unwrap();
        let read: Bins = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(read.count(&values), whole);
        // Nothing finite of the reference falls outside its own cells.
        let own = bins.count(&reference);
        let outside = own.as_slice()[0] + own.as_slice()[bins.len() - 2];
        prop_assert_eq!(outside, reference.iter().filter(|v| v.is_infinite()).count() as u64);
    }
}

#[test]
fn every_statistic_names_an_empty_argument_and_a_nan() {
    for &(name, function, _) in ON_SAMPLES {
        assert_eq!(function(&[], &[1.0]), Err(StatsError::Empty { argument: "reference" }), "{name}");
        assert_eq!(function(&[1.0], &[]), Err(StatsError::Empty { argument: "current" }), "{name}");
        match function(&[1.0, 2.0], &[1.0, f64::NAN]) {
            Err(error) => assert_eq!(error, StatsError::Nan { argument: "current", index: 1 }, "{name}"),
            Ok(_) => assert!(
                ["cell", "equal", "many", "omit", "propagate"].iter().any(|mode| name.contains(mode)),
                "{name}"
            ),
        }
    }
    for &(name, function, _) in ON_COUNTS {
        assert_eq!(function(&[], &[]), Err(StatsError::Empty { argument: "reference" }), "{name}");
        assert_eq!(function(&[1, 0], &[0, 0]), Err(StatsError::ZeroTotal { argument: "current" }), "{name}");
    }
}

#[test]
fn the_lists_are_complete() {
    // Every public function of the crate that compares two samples or rows must appear in a list above.
    let source = include_str!("laws.rs");
    let lists = &source[source.find("const ON_SAMPLES").unwrap()..source.find("fn check").unwrap()];
    for (file, text) in [
        ("psi", include_str!("../src/psi.rs")),
        ("js", include_str!("../src/js.rs")),
        ("kl", include_str!("../src/kl.rs")),
        ("hellinger", include_str!("../src/hellinger.rs")),
        ("total_variation", include_str!("../src/total_variation.rs")),
        ("l_infinity", include_str!("../src/l_infinity.rs")),
        ("energy", include_str!("../src/energy.rs")),
        ("chi2", include_str!("../src/chi2.rs")),
        ("chi2_cells", include_str!("../src/chi2_cells.rs")),
        ("ks", include_str!("../src/ks.rs")),
        ("ks::weighted", include_str!("../src/ks/weighted.rs")),
        ("wasserstein", include_str!("../src/wasserstein.rs")),
    ] {
        for name in text.lines().filter_map(|line| line.strip_prefix("pub fn ")) {
            let name = &name[..name.find(['(', '<']).unwrap()];
            // Has no reference and no current row; tests/hypothesis.rs has its laws.
            if name == "chi2_table" {
                continue;
            }
            assert!(lists.contains(&format!("{name}(")), "{file}::{name} is in no list");
        }
    }
}
