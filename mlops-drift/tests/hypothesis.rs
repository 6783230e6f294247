//! The hypothesis tests against exact values, under laws on hostile input, and without drift.
//!
//! `reference/hypothesis.json` holds inputs and expected values with the tools they come from; `reference/hypothesis.py` wrote it.
//! Statistics agree to 1e-12, p-values to 1e-10, at any depth of the tail.

#[path = "common/hostile.rs"]
mod hostile;
#[path = "common/stream.rs"]
mod stream;

use std::fs;
use std::path::Path;

use mlops_core::data::Validity;
use mlops_core::num::{Measured, NanPolicy, StatsError};
use mlops_drift::{
    Alternative, AndersonDarlingMethod, AndersonDarlingOptions, CramerVonMisesMethod, CramerVonMisesOptions,
    MannWhitneyMethod, MannWhitneyOptions, Missing, ProportionsOptions, Sample, TTestMethod, TTestOptions,
    Value, anderson_darling, anderson_darling_from_counts, anderson_darling_k, anderson_darling_sorted,
    anderson_darling_with, brown_forsythe, brown_forsythe_with, chi2, chi2_homogeneity, chi2_table,
    chi2_text, cramer_v, cramer_v_from_counts, cramer_v_text, cramer_von_mises, cramer_von_mises_from_counts,
    cramer_von_mises_sorted, cramer_von_mises_with, epps_singleton, epps_singleton_with, fisher,
    fisher_from_counts, g_test, g_test_from_counts, g_test_text, mann_whitney, mann_whitney_from_counts,
    mann_whitney_sorted, mann_whitney_with, proportions, proportions_from_counts, proportions_with, t_test,
    t_test_with,
};
use proptest::prelude::*;
use serde::Deserialize;

use hostile::{check_tail, hostile_samples};
use stream::uniform;

const STATISTIC: f64 = 1e-12;
const P_VALUE: f64 = 1e-10;

#[derive(Deserialize)]
struct Reference {
    tool: String,
    values: Vec<ValueCase>,
    tables: Vec<TableCase>,
    many_samples: Vec<ManyCase>,
}

#[derive(Deserialize)]
struct ValueCase {
    name: String,
    f64: Option<[Vec<f64>; 2]>,
    i64: Option<[Vec<i64>; 2]>,
    mann_whitney: RankCase,
    cramer_von_mises: GapCase,
    anderson_darling: ManyExpected,
    t_test: TTestCase,
    brown_forsythe: Option<Expected>,
    epps_singleton: Option<EppsCase>,
}

#[derive(Clone, Copy, Deserialize)]
struct PValue {
    p: f64,
    ln_p: f64,
}

#[derive(Clone, Copy, Deserialize)]
struct Sides {
    less: PValue,
    greater: PValue,
    two_sided: PValue,
}

impl Sides {
    fn of(&self, alternative: Alternative) -> PValue {
        match alternative {
            Alternative::Less => self.less,
            Alternative::Greater => self.greater,
            Alternative::TwoSided => self.two_sided,
        }
    }
}

const ALTERNATIVES: [Alternative; 3] = [Alternative::TwoSided, Alternative::Less, Alternative::Greater];

#[derive(Clone, Copy, Deserialize)]
struct Expected {
    statistic: f64,
    #[serde(flatten)]
    tail: PValue,
}

#[derive(Deserialize)]
struct RankCase {
    statistic: f64,
    exact: Option<Sides>,
    asymptotic: Option<Sides>,
}

#[derive(Deserialize)]
struct GapCase {
    statistic: f64,
    exact: Option<PValue>,
    limit: Option<PValue>,
}

#[derive(Deserialize)]
struct ManyExpected {
    statistic: f64,
    standardised: Option<f64>,
    table_p: Option<f64>,
}

#[derive(Deserialize)]
struct ManyCase {
    samples: Vec<Vec<f64>>,
    #[serde(flatten)]
    expected: ManyExpected,
}

#[derive(Deserialize)]
struct TTestCase {
    difference: Option<f64>,
    welch: Option<TLaw>,
    student: Option<TLaw>,
}

#[derive(Deserialize)]
struct TLaw {
    statistic: f64,
    dof: f64,
    quantile: f64,
    #[serde(flatten)]
    sides: Sides,
}

#[derive(Deserialize)]
struct EppsCase {
    condition: f64,
    #[serde(flatten)]
    expected: Expected,
}

#[derive(Deserialize)]
struct TableCase {
    name: String,
    rows: Vec<Vec<u64>>,
    dof: u64,
    chi2: TableExpected,
    g: TableExpected,
    v: Option<f64>,
    corrected: Option<f64>,
    z: Option<ZCase>,
    fisher: Option<Sides>,
}

#[derive(Deserialize)]
struct TableExpected {
    statistic: f64,
    p: Option<f64>,
    ln_p: Option<f64>,
}

#[derive(Deserialize)]
struct ZCase {
    statistic: f64,
    #[serde(flatten)]
    sides: Sides,
}

fn load() -> Reference {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/hypothesis.json");
    let reference: Reference = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(reference.values.len() > 20 && reference.tables.len() > 15 && reference.tool.contains("scipy"));
    reference
}

#[track_caller]
fn close(got: f64, expected: f64, tolerance: f64, of: &str) {
    assert!(
        (got - expected).abs() <= tolerance * expected.abs() + 1e-300,
        "{of}: {got:e} is not {expected:e}"
    );
}

/// p to 1e-10 relative, which is ln p to 1e-10 absolute (and its own rounding where it is huge).
#[track_caller]
fn close_tail(p: Measured, ln_p: Measured, expected: PValue, of: &str) {
    let (p, ln_p) = (p.value().unwrap(), ln_p.value().unwrap());
    if expected.p >= 1e-300 {
        close(p, expected.p, P_VALUE, &format!("p of {of}"));
    }
    let bound = P_VALUE * expected.ln_p.abs().clamp(1e-3, 1.0) + 1e-14 * expected.ln_p.abs();
    assert!((ln_p - expected.ln_p).abs() <= bound, "ln p of {of}: {ln_p} is not {}", expected.ln_p);
}

/// What to run a case with: every test is generic over the values.
trait OnValues {
    fn run<T: Value>(&self, case: &ValueCase, a: Sample<'_, T>, b: Sample<'_, T>);
}

/// Runs a check on every case in several guises: as it is, reversed, among values that the bitmap hides, and as f32 where the
/// values are f32.
fn on_values(check: &impl OnValues) {
    for case in &load().values {
        if let Some([a, b]) = &case.f64 {
            guises(check, case, a, b);
            let narrow = |x: &[f64]| x.iter().map(|v| *v as f32).collect::<Vec<f32>>();
            let (c, d) = (narrow(a), narrow(b));
            let same = |x: &[f64], y: &[f32]| x.iter().zip(y).all(|(v, w)| *v == f64::from(*w));
            if same(a, &c) && same(b, &d) {
                guises(check, case, &c, &d);
            }
        }
        if let Some([a, b]) = &case.i64 {
            guises(check, case, a, b);
        }
    }
}

fn guises<T: Value>(check: &impl OnValues, case: &ValueCase, a: &[T], b: &[T]) {
    check.run(case, Sample::new(a), Sample::new(b));
    let reversed = |x: &[T]| x.iter().rev().copied().collect::<Vec<T>>();
    check.run(case, Sample::new(&reversed(a)), Sample::new(&reversed(b)));
    let hidden = |x: &[T]| x.iter().flat_map(|&v| [v, a[0]]).collect::<Vec<T>>();
    let bitmap = |x: &[T]| Validity::from_bools(&x.iter().flat_map(|_| [true, false]).collect::<Vec<bool>>());
    let ((c, d), (e, f)) = ((hidden(a), hidden(b)), (bitmap(a), bitmap(b)));
    check.run(case, Sample::new(&c).with_validity(&e).unwrap(), Sample::new(&d).with_validity(&f).unwrap());
}

/// The samples in ascending order, and as counts over their distinct values.
fn arranged<T: Value>(a: Sample<'_, T>, b: Sample<'_, T>) -> ([Vec<T>; 2], [Vec<u64>; 2]) {
    let sorted = |x: Sample<'_, T>| {
        let mut values: Vec<T> = x.iter().collect();
        values.sort_by_key(|value| value.key());
        values
    };
    let (a, b) = (sorted(a), sorted(b));
    let mut keys: Vec<u64> = a.iter().chain(&b).map(|value| value.key()).collect();
    keys.sort_unstable();
    keys.dedup();
    let count =
        |x: &[T]| keys.iter().map(|key| x.iter().filter(|v| v.key() == *key).count() as u64).collect();
    let counts = [count(&a), count(&b)];
    ([a, b], counts)
}

struct MannWhitneyCheck;

impl OnValues for MannWhitneyCheck {
    fn run<T: Value>(&self, case: &ValueCase, a: Sample<'_, T>, b: Sample<'_, T>) {
        let expected = &case.mann_whitney;
        let ([c, d], [e, f]) = arranged(a, b);
        for (method, sides) in [
            (MannWhitneyMethod::Exact, &expected.exact),
            (MannWhitneyMethod::Asymptotic, &expected.asymptotic),
        ] {
            let Some(sides) = sides else { continue };
            for alternative in ALTERNATIVES {
                let options = MannWhitneyOptions::default().with_method(method).with_alternative(alternative);
                let of = format!("Mann–Whitney {method:?} {alternative:?} of {}", case.name);
                let got = mann_whitney_with(a, b, &options).unwrap();
                assert_eq!(got.statistic, Measured::Value(expected.statistic), "{of}");
                close_tail(got.p, got.ln_p, sides.of(alternative), &of);
                let sorted = mann_whitney_sorted(&c, &d, &options).unwrap();
                let counted = mann_whitney_from_counts(&e, &f, &options).unwrap();
                assert_eq!((sorted.p, counted.ln_p), (got.p, got.ln_p), "{of}");
            }
        }
        assert_eq!(mann_whitney(a, b).unwrap().statistic, Measured::Value(expected.statistic));
    }
}

#[test]
fn mann_whitney_agrees_with_exact_counts_and_scipy() {
    on_values(&MannWhitneyCheck);
}

struct CramerVonMisesCheck;

impl OnValues for CramerVonMisesCheck {
    fn run<T: Value>(&self, case: &ValueCase, a: Sample<'_, T>, b: Sample<'_, T>) {
        let expected = &case.cramer_von_mises;
        let ([c, d], [e, f]) = arranged(a, b);
        for (method, tail) in
            [(CramerVonMisesMethod::Exact, expected.exact), (CramerVonMisesMethod::Limit, expected.limit)]
        {
            let Some(tail) = tail else { continue };
            let of = format!("Cramér–von Mises {method:?} of {}", case.name);
            let got =
                cramer_von_mises_with(a, b, &CramerVonMisesOptions::default().with_method(method)).unwrap();
            close(got.statistic.value().unwrap(), expected.statistic, STATISTIC, &of);
            close_tail(got.p, got.ln_p, tail, &of);
            let sorted = cramer_von_mises_sorted(&c, &d, method).unwrap();
            let counted = cramer_von_mises_from_counts(&e, &f, method).unwrap();
            assert_eq!((sorted.p, counted.ln_p), (got.p, got.ln_p), "{of}");
        }
        let got = cramer_von_mises(a, b).unwrap();
        close(got.statistic.value().unwrap(), expected.statistic, STATISTIC, &case.name);
        assert!(got.p.value().is_some());
    }
}

#[test]
fn cramer_von_mises_agrees_with_exact_counts_and_scipy() {
    on_values(&CramerVonMisesCheck);
}

/// A², its standardised form, and p where a table has one.
fn check_anderson(got: mlops_drift::AndersonDarling, expected: &ManyExpected, of: &str) {
    close(got.statistic.value().unwrap(), expected.statistic, STATISTIC, of);
    if let Some(standardised) = expected.standardised {
        let value = got.standardised.value().unwrap();
        // A² minus its mean: what is left of A²'s digits.
        assert!(
            (value - standardised).abs() < 1e-12 * standardised.abs().max(1.0 + expected.statistic),
            "{of}: {value}"
        );
        assert!(got.p.value().is_some_and(|p| p > 0.0 || expected.statistic > 300.0), "{of}");
    } else {
        assert!(got.p.value().is_none(), "{of}");
    }
    // The table interpolates between seven quantiles, and takes no account of ties.
    if let (Some(table), false) = (expected.table_p, got.ties) {
        let p = got.p.value().unwrap();
        assert!((p / table - 1.0).abs() < 0.06, "{of}: {p} where the table has {table}");
    }
}

struct AndersonDarlingCheck;

impl OnValues for AndersonDarlingCheck {
    fn run<T: Value>(&self, case: &ValueCase, a: Sample<'_, T>, b: Sample<'_, T>) {
        let ([c, d], [e, f]) = arranged(a, b);
        let of = format!("Anderson–Darling of {}", case.name);
        let got = anderson_darling(a, b).unwrap();
        check_anderson(got, &case.anderson_darling, &of);
        let sorted = anderson_darling_sorted(&c, &d, AndersonDarlingMethod::Limit).unwrap();
        let counted = anderson_darling_from_counts(&e, &f, AndersonDarlingMethod::Limit).unwrap();
        let listed = anderson_darling_k(&[a, b], &AndersonDarlingOptions::default()).unwrap();
        assert_eq!((sorted.p, counted.p, listed), (got.p, got.p, got), "{of}");
    }
}

#[test]
fn anderson_darling_agrees_with_exact_rationals_and_scipys_table() {
    on_values(&AndersonDarlingCheck);
    for case in load().many_samples {
        let samples: Vec<Sample<'_, f64>> = case.samples.iter().map(Sample::from).collect();
        let got = anderson_darling_k(&samples, &AndersonDarlingOptions::default()).unwrap();
        check_anderson(got, &case.expected, &format!("{} samples", samples.len()));
    }
}

struct TTestCheck;

impl OnValues for TTestCheck {
    fn run<T: Value>(&self, case: &ValueCase, a: Sample<'_, T>, b: Sample<'_, T>) {
        let expected = &case.t_test;
        for (method, law) in
            [(TTestMethod::Welch, &expected.welch), (TTestMethod::Student, &expected.student)]
        {
            for alternative in ALTERNATIVES {
                let options = TTestOptions::default().with_method(method).with_alternative(alternative);
                let got = t_test_with(a, b, &options).unwrap();
                let of = format!("{method:?} {alternative:?} of {}", case.name);
                let Some(law) = law else {
                    assert!(
                        got.statistic.undefined().is_some() && got.p.undefined().is_some(),
                        "{of}: {got:?}"
                    );
                    continue;
                };
                close(got.statistic.value().unwrap(), law.statistic, STATISTIC, &of);
                close(got.dof.value().unwrap(), law.dof, STATISTIC, &of);
                close_tail(got.p, got.ln_p, law.sides.of(alternative), &of);
                if let (Some(difference), Some(interval)) = (expected.difference, got.interval) {
                    let reach = (difference / law.statistic * law.quantile).abs();
                    let half = interval.high / 2.0 - interval.low / 2.0;
                    assert!(
                        law.statistic == 0.0 || (half / reach - 1.0).abs() < 1e-6 || reach < 1e-300,
                        "{of}"
                    );
                }
            }
        }
        let got = t_test(a, b).unwrap().difference;
        match expected.difference {
            Some(difference) => close(got.value().unwrap(), difference, STATISTIC, &case.name),
            None => assert!(got.value().is_none()),
        }
    }
}

#[test]
fn t_tests_agree_with_exact_rationals_and_scipy() {
    on_values(&TTestCheck);
}

struct BrownForsytheCheck;

impl OnValues for BrownForsytheCheck {
    fn run<T: Value>(&self, case: &ValueCase, a: Sample<'_, T>, b: Sample<'_, T>) {
        let got = brown_forsythe(a, b).unwrap();
        let Some(expected) = case.brown_forsythe else {
            assert!(got.statistic.value().is_none() && got.p.value().is_none(), "{}", case.name);
            return;
        };
        let of = format!("Brown–Forsythe of {}", case.name);
        close(got.statistic.value().unwrap(), expected.statistic, STATISTIC, &of);
        close_tail(got.p, got.ln_p, expected.tail, &of);
    }
}

#[test]
fn brown_forsythe_agrees_with_exact_rationals_and_scipy() {
    on_values(&BrownForsytheCheck);
}

struct EppsSingletonCheck;

impl OnValues for EppsSingletonCheck {
    fn run<T: Value>(&self, case: &ValueCase, a: Sample<'_, T>, b: Sample<'_, T>) {
        let Some(EppsCase { condition, expected }) = &case.epps_singleton else { return };
        let got = epps_singleton(a, b).unwrap();
        let of = format!("Epps–Singleton of {}", case.name);
        assert!(got.statistic.value().is_some(), "{of}: {got:?}");
        // The inverse of the covariances multiplies rounding by their condition.
        let rounding = 1e-15 * condition;
        close(got.statistic.value().unwrap(), expected.statistic, STATISTIC + rounding, &of);
        let slack = (STATISTIC + rounding) * expected.statistic + P_VALUE;
        assert!((got.ln_p.value().unwrap() - expected.tail.ln_p).abs() < slack, "{of}");
    }
}

#[test]
fn epps_singleton_agrees_with_mpmath_and_scipy() {
    on_values(&EppsSingletonCheck);
}

#[track_caller]
fn close_table(got: (f64, Measured, Measured), expected: &TableExpected, of: &str) {
    close(got.0, expected.statistic, STATISTIC, of);
    match (expected.p, expected.ln_p) {
        (Some(p), Some(ln_p)) => close_tail(got.1, got.2, PValue { p, ln_p }, of),
        _ => assert!(got.1.value().is_none() && got.2.value().is_none(), "{of}"),
    }
}

/// The values behind two rows of counts, as codes and as texts.
fn codes(row: &[u64]) -> Vec<u16> {
    (0..)
        .zip(row)
        .flat_map(|(code, &count)| std::iter::repeat_n(code, usize::try_from(count).unwrap()))
        .collect()
}

#[test]
fn tests_on_tables_agree_with_exact_rationals_and_scipy() {
    for case in load().tables {
        let rows: Vec<&[u64]> = case.rows.iter().map(Vec::as_slice).collect();
        let of = &case.name;
        let table = chi2_table(&rows).unwrap();
        assert_eq!(table.dof, case.dof, "{of}");
        close_table((table.statistic, table.p, table.ln_p), &case.chi2, of);
        let [a, b] = rows[..] else { continue };
        let (two, g, v) = (
            chi2_homogeneity(a, b).unwrap(),
            g_test_from_counts(a, b).unwrap(),
            cramer_v_from_counts(a, b).unwrap(),
        );
        close_table((two.statistic, two.p, two.ln_p), &case.chi2, of);
        close_table((g.statistic, g.p, g.ln_p), &case.g, of);
        close_table((v.statistic, v.p, v.ln_p), &case.chi2, of);
        for (got, expected) in [(v.v, case.v), (v.corrected, case.corrected)] {
            assert_eq!(got.value().is_some(), expected.is_some(), "{of}");
            if let (Some(got), Some(expected)) = (got.value(), expected) {
                assert!((got - expected).abs() <= 1e-12, "{of}: {got} is not {expected}");
            }
        }
        if a.iter().chain(b).sum::<u64>() < 30_000 {
            let (c, d) = (codes(a), codes(b));
            let text = |x: &[u16]| x.iter().map(|code| format!("{code:05}")).collect::<Vec<String>>();
            let (e, f) = (text(&c), text(&d));
            let (e, f) = (|| e.iter().map(|s| Some(s.as_str())), || f.iter().map(|s| Some(s.as_str())));
            let raise = Missing::Raise;
            let values = chi2(&c, &d, raise).unwrap();
            assert_eq!((values.p, chi2_text(e(), f(), raise).unwrap().p), (two.p, two.p), "{of}");
            assert_eq!(g_test(&c, &d, raise).unwrap().p, g.p, "{of}");
            assert_eq!(g_test_text(e(), f(), raise).unwrap().p, g.p, "{of}");
            assert_eq!(cramer_v(&c, &d, raise).unwrap().v, v.v, "{of}");
            assert_eq!(cramer_v_text(e(), f(), raise).unwrap().corrected, v.corrected, "{of}");
        }
    }
}

#[test]
fn tests_on_two_by_two_counts_agree_with_exact_rationals_and_scipy() {
    for case in load().tables {
        let Some(z) = case.z else { continue };
        let [a, b] = [[case.rows[0][0], case.rows[0][1]], [case.rows[1][0], case.rows[1][1]]];
        for alternative in ALTERNATIVES {
            let of = format!("{} {alternative:?}", case.name);
            let options = ProportionsOptions::default().with_alternative(alternative);
            let got = proportions_from_counts(a, b, &options).unwrap();
            close(got.statistic.value().unwrap(), z.statistic, STATISTIC, &of);
            close_tail(got.p, got.ln_p, z.sides.of(alternative), &of);
            let Some(sides) = case.fisher else { continue };
            let got = fisher_from_counts(a, b, alternative).unwrap();
            close_tail(got.p, got.ln_p, sides.of(alternative), &of);
            let listed = |[hits, misses]: [u64; 2]| {
                let times = |value, count| std::iter::repeat_n(value, usize::try_from(count).unwrap());
                times(true, hits).chain(times(false, misses)).collect::<Vec<bool>>()
            };
            let (c, d) = (listed(a), listed(b));
            assert_eq!(fisher(&c, &d, alternative).unwrap(), got);
            assert_eq!(
                proportions_with(&c, &d, &options).unwrap().p,
                proportions_from_counts(a, b, &options).unwrap().p
            );
        }
    }
}

/// What all results have in common, for laws that do not care which test it is.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    statistic: Measured,
    p: Measured,
    ln_p: Measured,
}

type OnSamples = fn(&[f64], &[f64], NanPolicy) -> Result<Seen, StatsError>;
type OnCounts = fn(&[u64], &[u64]) -> Result<Seen, StatsError>;

macro_rules! seen {
    ($result:expr) => {
        $result.map(|r| Seen { statistic: r.statistic, p: r.p, ln_p: r.ln_p })
    };
}

macro_rules! seen_table {
    ($result:expr) => {
        $result.map(|r| Seen { statistic: Measured::Value(r.statistic), p: r.p, ln_p: r.ln_p })
    };
}

fn missing(nan: NanPolicy) -> Missing {
    match nan {
        NanPolicy::Raise => Missing::Raise,
        NanPolicy::Omit => Missing::Omit,
        NanPolicy::Propagate => Missing::Cell,
    }
}

/// Name, test, whether it calculates with the values (and so refuses infinities).
const ON_SAMPLES: &[(&str, OnSamples, bool)] = &[
    (
        "mann_whitney",
        |a, b, nan| seen!(mann_whitney_with(a, b, &MannWhitneyOptions::default().with_nan(nan))),
        false,
    ),
    (
        "mann_whitney greater",
        |a, b, nan| {
            let options = MannWhitneyOptions::default().with_nan(nan).with_alternative(Alternative::Greater);
            seen!(mann_whitney_with(a, b, &options.with_method(MannWhitneyMethod::Asymptotic)))
        },
        false,
    ),
    (
        "cramer_von_mises",
        |a, b, nan| seen!(cramer_von_mises_with(a, b, &CramerVonMisesOptions::default().with_nan(nan))),
        false,
    ),
    (
        "cramer_von_mises limit",
        |a, b, nan| {
            let options = CramerVonMisesOptions::default().with_nan(nan);
            seen!(cramer_von_mises_with(a, b, &options.with_method(CramerVonMisesMethod::Limit)))
        },
        false,
    ),
    (
        "anderson_darling",
        |a, b, nan| seen!(anderson_darling_with(a, b, &AndersonDarlingOptions::default().with_nan(nan))),
        false,
    ),
    (
        "anderson_darling shuffled",
        |a, b, nan| {
            let method = AndersonDarlingMethod::Permutation { seed: 5, rounds: 19 };
            seen!(anderson_darling_with(
                a,
                b,
                &AndersonDarlingOptions::default().with_nan(nan).with_method(method)
            ))
        },
        false,
    ),
    ("welch", |a, b, nan| seen!(t_test_with(a, b, &TTestOptions::default().with_nan(nan))), true),
    (
        "student less",
        |a, b, nan| {
            let options = TTestOptions::default().with_nan(nan).with_alternative(Alternative::Less);
            seen!(t_test_with(a, b, &options.with_method(TTestMethod::Student)))
        },
        true,
    ),
    ("brown_forsythe", |a, b, nan| seen!(brown_forsythe_with(a, b, nan)), true),
    ("epps_singleton", |a, b, nan| seen!(epps_singleton_with(a, b, nan)), true),
    ("chi2", |a, b, nan| seen_table!(chi2(a, b, missing(nan))), false),
    ("g_test", |a, b, nan| seen_table!(g_test(a, b, missing(nan))), false),
    ("cramer_v", |a, b, nan| seen_table!(cramer_v(a, b, missing(nan))), false),
];

const ON_COUNTS: &[(&str, OnCounts)] = &[
    ("mann_whitney", |a, b| seen!(mann_whitney_from_counts(a, b, &MannWhitneyOptions::default()))),
    ("cramer_von_mises", |a, b| seen!(cramer_von_mises_from_counts(a, b, CramerVonMisesMethod::Auto))),
    ("anderson_darling", |a, b| seen!(anderson_darling_from_counts(a, b, AndersonDarlingMethod::Limit))),
    ("chi2_homogeneity", |a, b| seen_table!(chi2_homogeneity(a, b))),
    ("chi2_table", |a, b| seen_table!(chi2_table(&[a, b]))),
    ("g_test", |a, b| seen_table!(g_test_from_counts(a, b))),
    ("cramer_v", |a, b| seen_table!(cramer_v_from_counts(a, b))),
    ("proportions", |a, b| {
        let pair = |x: &[u64]| [x.first().copied().unwrap_or(0), x.get(1).copied().unwrap_or(0)];
        seen!(proportions_from_counts(pair(a), pair(b), &ProportionsOptions::default()))
    }),
    ("fisher", |a, b| {
        let pair = |x: &[u64]| [x.first().copied().unwrap_or(0), x.get(1).copied().unwrap_or(0)];
        let test = fisher_from_counts(pair(a), pair(b), Alternative::TwoSided);
        test.map(|r| Seen { statistic: r.odds_ratio, p: r.p, ln_p: r.ln_p })
    }),
];

/// No NaN where there is a number, probabilities in their range, and p and ln p of one mind.
fn check(name: &str, seen: Seen) -> Result<(), TestCaseError> {
    prop_assert!(seen.statistic.value().is_none_or(|x| !x.is_nan()), "{name}: {seen:?}");
    check_tail(name, seen.p, seen.ln_p)
}

fn tame_samples() -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![2 => (0i32..6).prop_map(f64::from), 3 => -1e3..1e3f64];
    prop::collection::vec(value, 1..40)
}

fn counts_rows() -> impl Strategy<Value = (Vec<u64>, Vec<u64>)> {
    let count = prop_oneof![3 => Just(0u64), 5 => 0u64..30, 1 => 0u64..1 << 40, 1 => Just(u64::MAX), 1 => Just(1 << 61)];
    (0usize..8).prop_flat_map(move |k| {
        (prop::collection::vec(count.clone(), k), prop::collection::vec(count.clone(), k))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn hostile_samples_give_a_number_or_a_typed_error(a in hostile_samples(40), b in hostile_samples(40)) {
        for &(name, test, _) in ON_SAMPLES {
            for nan in [NanPolicy::Raise, NanPolicy::Omit, NanPolicy::Propagate] {
                if let Ok(seen) = test(&a, &b, nan) {
                    check(name, seen)?;
                }
            }
        }
    }

    #[test]
    fn hostile_counts_give_a_number_or_a_typed_error((a, b) in counts_rows()) {
        for &(name, test) in ON_COUNTS {
            if let Ok(seen) = test(&a, &b) {
                check(name, seen)?;
            }
        }
    }

    #[test]
    fn a_sample_does_not_differ_from_itself(a in tame_samples()) {
        for &(name, test, _) in ON_SAMPLES {
            let seen = test(&a, &a, NanPolicy::Raise).unwrap();
            let zero = seen.statistic.value().is_none_or(|x| x == 0.0 || name.starts_with("mann_whitney"));
            prop_assert!(zero, "{name}: {seen:?}");
            if !["less", "greater"].iter().any(|side| name.contains(side)) {
                prop_assert!(seen.p.value().is_none_or(|p| p > 1.0 - 1e-9), "{name}: {seen:?}");
            }
        }
    }

    #[test]
    fn the_order_of_values_changes_little(a in tame_samples(), b in tame_samples()) {
        let reversed = |x: &[f64]| x.iter().rev().copied().collect::<Vec<f64>>();
        for &(name, test, calculates) in ON_SAMPLES {
            let (one, other) = (test(&a, &b, NanPolicy::Raise).unwrap(), test(&reversed(&a), &reversed(&b), NanPolicy::Raise).unwrap());
            if calculates {
                let alike = |x: Measured, y: Measured| match (x.value(), y.value()) {
                    (Some(x), Some(y)) => (x - y).abs() <= 1e-6 * (x.abs() + 1.0),
                    (x, y) => x.is_some() == y.is_some(),
                };
                prop_assert!(alike(one.statistic, other.statistic) && alike(one.p, other.p), "{name}: {one:?} {other:?}");
            } else {
                prop_assert_eq!(one, other, "{}", name);
            }
        }
    }

    #[test]
    fn increasing_maps_change_no_rank_test(a in tame_samples(), b in tame_samples()) {
        let mapped = |x: &[f64]| x.iter().map(|v| v.cbrt() * 3.0 + 1e3).collect::<Vec<f64>>();
        let distinct = |x: &[f64]| {
            let mut keys: Vec<u64> = x.iter().map(|v| v.key()).collect();
            keys.sort_unstable();
            keys.dedup();
            keys.len()
        };
        let both = [&a[..], &b].concat();
        prop_assume!(distinct(&both) == distinct(&mapped(&both)));
        for &(name, test, calculates) in ON_SAMPLES {
            if !calculates {
                prop_assert_eq!(test(&a, &b, NanPolicy::Raise), test(&mapped(&a), &mapped(&b), NanPolicy::Raise), "{}", name);
            }
        }
    }

    #[test]
    fn swapped_sides_mirror_the_alternatives(a in tame_samples(), b in tame_samples()) {
        let p = |a: &[f64], b: &[f64], alternative| {
            let rank = mann_whitney_with(a, b, &MannWhitneyOptions::default().with_alternative(alternative)).unwrap();
            let mean = t_test_with(a, b, &TTestOptions::default().with_alternative(alternative)).unwrap();
            [rank.p.value(), mean.p.value()]
        };
        for (one, other) in p(&a, &b, Alternative::Less).into_iter().zip(p(&b, &a, Alternative::Greater)) {
            match (one, other) {
                (Some(one), Some(other)) => prop_assert!((one - other).abs() <= 1e-9 * one.max(1e-6), "{one} {other}"),
                (one, other) => prop_assert_eq!(one, other),
            }
        }
    }

    #[test]
    fn an_order_without_ties_is_the_same_in_every_type(a in prop::collection::vec(-1000i64..1000, 1..30), b in prop::collection::vec(-1000i64..1000, 1..30)) {
        let wide = |x: &[i64]| x.iter().map(|v| *v as f64).collect::<Vec<f64>>();
        let narrow = |x: &[i64]| x.iter().map(|v| *v as f32).collect::<Vec<f32>>();
        let tests = (mann_whitney(&a, &b), t_test(&a, &b), brown_forsythe(&a, &b), epps_singleton(&a, &b));
        let (c, d) = (wide(&a), wide(&b));
        prop_assert_eq!(&tests, &(mann_whitney(&c, &d), t_test(&c, &d), brown_forsythe(&c, &d), epps_singleton(&c, &d)));
        let (c, d) = (narrow(&a), narrow(&b));
        prop_assert_eq!(&tests, &(mann_whitney(&c, &d), t_test(&c, &d), brown_forsythe(&c, &d), epps_singleton(&c, &d)));
    }
}

#[test]
fn every_test_names_an_empty_argument_and_a_nan() {
    for &(name, test, calculates) in ON_SAMPLES {
        let raise = |a: &[f64], b: &[f64]| test(a, b, NanPolicy::Raise).err();
        assert_eq!(raise(&[], &[1.0]), Some(StatsError::Empty { argument: "reference" }), "{name}");
        assert_eq!(raise(&[1.0], &[]), Some(StatsError::Empty { argument: "current" }), "{name}");
        assert_eq!(
            raise(&[1.0], &[2.0, f64::NAN]),
            Some(StatsError::Nan { argument: "current", index: 1 }),
            "{name}"
        );
        let omitted = test(&[f64::NAN], &[1.0], NanPolicy::Omit).err();
        assert_eq!(omitted, Some(StatsError::AllMissing { argument: "reference" }), "{name}");
        let infinite = raise(&[f64::INFINITY, 1.0, 2.0], &[2.0, 3.0]);
        let refused = StatsError::NotFinite { argument: "reference", index: 0, value: f64::INFINITY };
        assert_eq!(infinite, calculates.then_some(refused), "{name}");
    }
    let table = [chi2(&[f64::NAN], &[1.0], Missing::Cell), chi2(&[1.0], &[f64::NAN], Missing::Cell)];
    assert!(table.iter().all(|test| test.as_ref().is_ok_and(|test| test.dof == 1)));
    assert!(proportions(&[], &[true]).is_err());
}

#[test]
fn a_nan_that_propagates_leaves_no_number() {
    for &(name, test, _) in ON_SAMPLES.iter().take(10) {
        let seen = test(&[1.0, 2.0, f64::NAN], &[1.0, 4.0, 6.0], NanPolicy::Propagate).unwrap();
        assert!(seen.p.value().is_none() && seen.statistic.value().is_none(), "{name}: {seen:?}");
    }
}

const SIMULATIONS: u64 = 800;

/// How often p falls below 0.05 without drift.
fn rate(sizes: (u64, u64), draw: fn(f64) -> f64, p: impl Fn(&[f64], &[f64]) -> Measured) -> f64 {
    let sample = |seed, n| (1..=n).map(|i| draw(uniform(seed, i))).collect::<Vec<f64>>();
    let alarm =
        |s: u64| p(&sample(2 * s + 1, sizes.0), &sample(2 * s + 2, sizes.1)).value().unwrap_or(1.0) < 0.05;
    (0..SIMULATIONS).filter(|&s| alarm(s)).count() as f64 / SIMULATIONS as f64
}

#[track_caller]
fn within(rate: f64, low: f64, high: f64, of: &str) {
    let deviation = |share: f64| 4.0 * (share * (1.0 - share) / SIMULATIONS as f64).sqrt();
    let (from, to) = (low - deviation(low), high + deviation(high));
    assert!((from..=to).contains(&rate), "{of}: {rate} is outside [{from}, {to}]");
}

#[test]
fn without_drift_five_percent_is_five_percent() {
    let continuous: fn(f64) -> f64 = |u| u;
    let levels: fn(f64) -> f64 = |u| (u * u * 6.0).floor();
    for (draw, of) in [(continuous, "continuous"), (levels, "six levels")] {
        for (n, m) in [(12, 9), (60, 40)] {
            let name = |test: &str| format!("{test}, {of}, {n} and {m}");
            within(
                rate((n, m), draw, |a, b| anderson_darling(a, b).unwrap().p),
                0.045,
                0.055,
                &name("Anderson–Darling"),
            );
            let limit = CramerVonMisesOptions::default().with_method(CramerVonMisesMethod::Limit);
            within(
                rate((n, m), draw, |a, b| cramer_von_mises_with(a, b, &limit).unwrap().p),
                0.04,
                0.055,
                &name("Cramér–von Mises"),
            );
            let normal = MannWhitneyOptions::default().with_method(MannWhitneyMethod::Asymptotic);
            within(
                rate((n, m), draw, |a, b| mann_whitney_with(a, b, &normal).unwrap().p),
                0.035,
                0.055,
                &name("Mann–Whitney"),
            );
            within(rate((n, m), draw, |a, b| t_test(a, b).unwrap().p), 0.045, 0.055, &name("Welch"));
            within(
                rate((n, m), draw, |a, b| brown_forsythe(a, b).unwrap().p),
                0.02,
                0.055,
                &name("Brown–Forsythe"),
            );
        }
        within(rate((60, 40), draw, |a, b| epps_singleton(a, b).unwrap().p), 0.045, 0.06, "Epps–Singleton");
    }
    let level = |x: &[f64]| x.iter().map(|v| (v * 4.0).floor()).collect::<Vec<f64>>();
    within(
        rate((120, 90), continuous, |a, b| g_test(&level(a), &level(b), Missing::Raise).unwrap().p),
        0.045,
        0.055,
        "G",
    );
    let hits = |x: &[f64]| x.iter().map(|v| *v < 0.3).collect::<Vec<bool>>();
    within(
        rate((200, 150), continuous, |a, b| proportions(&hits(a), &hits(b)).unwrap().p),
        0.045,
        0.055,
        "z",
    );
    let exact = |a: &[f64], b: &[f64]| fisher(&hits(a), &hits(b), Alternative::TwoSided).unwrap().p;
    within(rate((40, 30), continuous, exact), 0.02, 0.05, "Fisher");
}

#[test]
fn a_shift_is_seen_by_everybody() {
    let a: Vec<f64> = (1..=200).map(|i| uniform(1, i)).collect();
    let b: Vec<f64> = (1..=150).map(|i| uniform(2, i) * 1.3 + 0.2).collect();
    for &(name, test, _) in ON_SAMPLES.iter().take(10) {
        let p = test(&a, &b, NanPolicy::Raise).unwrap().p.value().unwrap();
        let seen = if name.contains("less") { p > 0.99 } else { p < 0.06 };
        assert!(seen, "{name}: {p}");
    }
}
