//! The targets: arguments drawn from the input, and every public entry point called with them.

use std::fmt::{Debug, Display};
use std::time::Duration;

use chrono::{DateTime, Utc};
use mlops_core::conformance::fuzz::{Input, Target, no_nan, sound};
use mlops_core::data::{Column, Table, Validity, Values};
use mlops_core::model::Predictions;
use mlops_core::monitor::{DriftDetector, FeatureOutcome};
use mlops_core::num::NanPolicy;
use mlops_drift::chunk::{Chunk, Chunker, Cut, LabelJoin, Last, Period, Rows, rows_needed};
use mlops_drift::compat::{
    Preset, Row, check, check_categories, nannyml_threshold, verdicts, verdicts_of_categories,
};
use mlops_drift::decision::{Board, Event, Policy, State, step, step_report};
use mlops_drift::detector::{Detector, DetectorOptions, Method, compare, compare_at};
use mlops_drift::multivariate::{self, Matrix, MultivariateMethod, MultivariateOptions, auc, mmd, mmd_with};
use mlops_drift::online::{
    self, AnyOnlineDetector, OnlineDetector, Standard, run_length, run_length::simulate,
};
use mlops_drift::performance::{
    self, Band, Binary, BoostedTrees, CbpeOptions, CellValues, Features, Isotonic, Metric, Multiclass,
    PerformanceOptions, Predict, Regression, Regressor, confusion, measure_binary, measure_multiclass,
    measure_regression,
};
use mlops_drift::profile::{
    DistinctSketch, FrequentSketch, Grid, KsBounds, Moments, Profile, ProfileOptions, QuantileSketch,
    Reference,
};
use mlops_drift::signal::{
    DataQuality, Lookback, QualityLimits, Threshold, attribution, ndcg, predictions, rank_biased_overlap,
    weighted_tau,
};
use mlops_drift::sql::{
    Candidates, CountRow, Dialect, Layout, Source, ValueCounts, ValueRow, count_statement, exact_ks,
    read_counts, read_values, value_statement,
};
use mlops_drift::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Every target with its name, which is that of its corpus.
pub const TARGETS: &[Target] = &[
    ("distances", distances),
    ("weighted", weighted),
    ("counted", counted),
    ("wasserstein", wassersteins),
    ("energy", energies),
    ("ks", kolmogorov_smirnov),
    ("cramer_von_mises", cramer_von_mises_target),
    ("anderson_darling", anderson_darlings),
    ("mann_whitney", mann_whitneys),
    ("means", means),
    ("tables", tables),
    ("shares", shares),
    ("text", text),
    ("sorted", sorted),
    ("bins", bins),
    ("categories", categories),
    ("profile", profiles),
    ("sketches", sketches),
    ("sql", sql_target),
    ("chunks", chunks),
    ("labels", labels),
    ("online", onlines),
    ("run_length", run_lengths),
    ("binary", binaries),
    ("multiclass", multiclasses),
    ("regression", regressions),
    ("multivariate", multivariates),
    ("compat", compats),
    ("detector", detectors),
    ("decision", decisions),
    ("signal", signals),
    ("states", states),
];

// What is asked of answers.

/// A distance that keeps its promises.
#[track_caller]
fn distance<E: Debug + Display>(name: &str, result: Result<Distance, E>) {
    let Some(distance) = sound(name, result) else { return };
    assert!(distance.score >= 0.0 && distance.corrected >= 0.0, "{name} is below 0: {distance:?}");
    probability(name, distance.p.value(), distance.ln_p.value());
    if let Some(interval) = distance.interval {
        assert!(interval.low <= interval.high, "{name} has its interval turned round: {interval:?}");
    }
}

#[track_caller]
fn probability(name: &str, p: Option<f64>, ln_p: Option<f64>) {
    assert!(p.is_none_or(|p| (0.0..=1.0).contains(&p)), "{name}: p = {p:?}");
    assert!(ln_p.is_none_or(|ln_p| ln_p <= 0.0), "{name}: ln p = {ln_p:?}");
    assert_eq!(p.is_some(), ln_p.is_some(), "{name}: p without ln p, or the other way round");
}

/// A test whose `p` and `ln_p` are a probability.
macro_rules! test {
    ($name:expr, $result:expr) => {
        if let Some(answer) = sound($name, $result) {
            probability($name, answer.p.value(), answer.ln_p.value());
        }
    };
}

// Arguments.

/// Two samples of one type, with a validity bitmap or without.
fn sides<'i, T: Value>(
    input: &mut Input<'i>,
    next: fn(&mut Input<'i>) -> T,
    body: impl FnOnce(&mut Input<'i>, Sample<'_, T>, Sample<'_, T>),
) {
    let absent = input.byte();
    let [a, b] = input.two(60, next);
    let bits = [a.len(), b.len()].map(|len| input.validity(len));
    let sample = |values, i: usize| {
        let sample = Sample::new(values);
        if absent >> i & 7 == 5 { sample.with_validity(&bits[i]).unwrap() } else { sample }
    };
    body(input, sample(&a, 0), sample(&b, 1));
}

/// Calls the body with samples of one of the types that statistics take.
macro_rules! numbers {
    ($input:expr, |$inner:ident, $a:ident, $b:ident| $body:expr) => {{
        let input = $input;
        match input.byte() % 8 {
            0 => sides(input, Input::f64, |$inner, $a, $b| $body),
            1 => sides(input, Input::real, |$inner, $a, $b| $body),
            2 => sides(input, Input::tied, |$inner, $a, $b| $body),
            3 => sides(input, Input::f32, |$inner, $a, $b| $body),
            4 => sides(input, Input::i64, |$inner, $a, $b| $body),
            5 => sides(input, Input::word, |$inner, $a, $b| $body),
            6 => sides(input, Input::bool, |$inner, $a, $b| $body),
            _ => sides(input, Input::byte, |$inner, $a, $b| $body),
        }
    }};
}

/// Weights, mostly positive and of the right number.
fn weights(input: &mut Input<'_>, len: usize) -> Vec<f64> {
    let len = if input.byte() == 77 { len + 1 } else { len };
    let wild = input.byte() % 4 == 3;
    (0..len).map(|_| if wild { input.f64() } else { f64::from(input.byte() % 32) / 4.0 }).collect()
}

fn nan_policy(input: &mut Input<'_>) -> NanPolicy {
    input.pick(&[NanPolicy::Omit, NanPolicy::Raise, NanPolicy::Propagate])
}

fn missing(input: &mut Input<'_>) -> Missing {
    input.pick(&[Missing::Omit, Missing::Cell, Missing::Raise])
}

fn alternative(input: &mut Input<'_>) -> Alternative {
    input.pick(&[Alternative::TwoSided, Alternative::Less, Alternative::Greater])
}

fn smoothing(input: &mut Input<'_>) -> Smoothing {
    let epsilon = input.f64();
    input.pick(&[
        Smoothing::Jeffreys,
        Smoothing::None,
        Smoothing::Laplace,
        Smoothing::Replace(epsilon),
        Smoothing::AddRenormalise(epsilon),
        Smoothing::Floor(epsilon),
    ])
}

fn rule(input: &mut Input<'_>) -> BinRule {
    let cells = input.size();
    input.pick(&[
        BinRule::Quantile(10),
        BinRule::Quantile(cells),
        BinRule::EqualWidth(cells),
        BinRule::Sturges,
        BinRule::Doane,
        BinRule::FreedmanDiaconis,
    ])
}

fn base(input: &mut Input<'_>) -> LogBase {
    input.pick(&[LogBase::Two, LogBase::E])
}

fn direction(input: &mut Input<'_>) -> KlDirection {
    input.pick(&[KlDirection::CurrentFromReference, KlDirection::ReferenceFromCurrent])
}

fn cell_options(input: &mut Input<'_>) -> CellOptions {
    CellOptions::default().with_bins(rule(input)).with_missing(missing(input))
}

fn psi_options(input: &mut Input<'_>) -> PsiOptions {
    PsiOptions::default().with_bins(rule(input)).with_smoothing(smoothing(input)).with_missing(missing(input))
}

fn js_options(input: &mut Input<'_>) -> JsOptions {
    let options = JsOptions::default().with_bins(rule(input)).with_base(base(input));
    options.with_smoothing(smoothing(input)).with_missing(missing(input))
}

fn kl_options(input: &mut Input<'_>) -> KlOptions {
    let options = KlOptions::default().with_bins(rule(input)).with_direction(direction(input));
    options.with_base(base(input)).with_smoothing(smoothing(input)).with_missing(missing(input))
}

/// A level or share: mostly inside (0, 1).
fn share(input: &mut Input<'_>) -> f64 {
    if input.byte() % 8 == 7 { input.f64() } else { f64::from(input.byte()) / 256.0 }
}

/// Two lists of counts; of one length, mostly.
fn two_counts(input: &mut Input<'_>) -> [Vec<u64>; 2] {
    let small = input.byte() % 3;
    let next: fn(&mut Input<'_>) -> u64 = match small {
        0 => |input| input.count(),
        1 => |input| u64::from(input.byte()),
        _ => |input| u64::from(input.byte() % 4),
    };
    let [a, mut b] = input.two(24, next);
    if input.byte() != 200 {
        b.resize(a.len(), 0);
    }
    [a, b]
}

fn text_of(value: &Option<String>) -> Option<&str> {
    value.as_deref()
}

fn time(input: &mut Input<'_>) -> DateTime<Utc> {
    let at = match input.byte() % 4 {
        0 => DateTime::from_timestamp_micros(input.i64()),
        1 => Some(input.pick(&[
            DateTime::<Utc>::MIN_UTC,
            DateTime::<Utc>::MAX_UTC,
            DateTime::<Utc>::UNIX_EPOCH,
        ])),
        2 => DateTime::from_timestamp(i64::from(input.byte()) * 86_400, 0),
        _ => DateTime::from_timestamp(1_700_000_000 + i64::from(input.byte()) * 600, 0),
    };
    at.unwrap_or(DateTime::<Utc>::UNIX_EPOCH)
}

fn duration(input: &mut Input<'_>) -> Duration {
    match input.byte() % 4 {
        0 => input.pick(&[Duration::ZERO, Duration::MAX, Duration::from_nanos(1), Duration::from_micros(1)]),
        1 => Duration::from_micros(input.word()),
        2 => Duration::from_secs(u64::from(input.byte()) * 3600),
        _ => Duration::from_secs(u64::from(input.byte()) * 60),
    }
}

/// What a table's columns are.
type Kinds = Vec<(String, u8)>;

fn kinds(input: &mut Input<'_>) -> Kinds {
    (0..1 + input.byte() % 4).map(|i| (format!("{i}{}", input.text()), input.byte() % 7)).collect()
}

fn table(input: &mut Input<'_>, kinds: &Kinds, most: usize) -> Table<'static> {
    let rows = input.below(most + 1);
    let column = |(name, kind): &(String, u8), input: &mut Input<'_>| {
        let bits: Option<Validity<'static>> = (input.byte() % 4 == 3).then(|| input.validity(rows));
        let values = match kind {
            0 => Values::F64((0..rows).map(|_| input.f64()).collect::<Vec<_>>().into()),
            1 => Values::F64((0..rows).map(|_| input.tied()).collect::<Vec<_>>().into()),
            2 => Values::F32((0..rows).map(|_| input.f32()).collect::<Vec<_>>().into()),
            3 => Values::I64((0..rows).map(|_| input.i64()).collect::<Vec<_>>().into()),
            4 => Values::Bool((0..rows).map(|_| input.bool()).collect::<Vec<_>>().into()),
            5 => Values::Time((0..rows).map(|_| input.i64()).collect::<Vec<_>>().into()),
            _ => {
                let text =
                    (0..rows).map(|_| if input.byte().is_multiple_of(8) { None } else { Some(input.text()) });
                return Column::optional_text(name.clone(), text.collect::<Vec<_>>()).unwrap();
            }
        };
        Column::new(name.clone(), values, bits).unwrap()
    };
    Table::new(kinds.iter().map(|kind| column(kind, input)).collect()).unwrap()
}

/// Another table for the same columns, or nearly.
fn similar(input: &mut Input<'_>, kinds: &Kinds, most: usize) -> Table<'static> {
    let mut kinds = kinds.clone();
    match input.byte() {
        250 => drop(kinds.pop()),
        251 => kinds[0].1 = (kinds[0].1 + 1) % 7,
        252 => kinds.push(("more".to_owned(), 0)),
        253 => kinds.reverse(),
        _ => {}
    }
    table(input, &kinds, most)
}

// States that are read back.

/// A valid state as text with changes here and there, read back, and used where it is accepted.
fn reread<T: Serialize + DeserializeOwned>(
    input: &mut Input<'_>,
    state: &T,
    used: impl FnOnce(&mut Input<'_>, T),
) {
    // A state that cannot be written, such as an infinity in JSON, is nothing to read back.
    let Ok(text) = serde_json::to_string(state) else { return };
    if let Ok(read) = serde_json::from_str(&scribbled(input, text)) {
        used(input, read);
    }
}

const WORDS: [&str; 22] = [
    "0",
    "1",
    "-1",
    "2",
    "7",
    "0.5",
    "-0.0",
    "1e-300",
    "1e308",
    "-1e308",
    "5e-324",
    "18446744073709551615",
    "9223372036854775807",
    "-9223372036854775808",
    "4294967295",
    "1e15",
    "null",
    "[]",
    "{}",
    "\"a\"",
    "true",
    "1000000",
];

/// The numbers, words and strings of JSON text, as ranges.
fn tokens(text: &str) -> Vec<std::ops::Range<usize>> {
    let bytes = text.as_bytes();
    let (mut tokens, mut at) = (vec![], 0);
    while at < bytes.len() {
        let start = at;
        if bytes[at] == b'"' {
            at += 1;
            while at < bytes.len() && bytes[at] != b'"' {
                at += 1 + usize::from(bytes[at] == b'\\');
            }
            at = (at + 1).min(bytes.len());
            tokens.push(start..at);
        } else if bytes[at].is_ascii_alphanumeric() || bytes[at] == b'-' {
            while at < bytes.len() && (bytes[at].is_ascii_alphanumeric() || b"+-.".contains(&bytes[at])) {
                at += 1;
            }
            tokens.push(start..at);
        } else {
            at += 1;
        }
    }
    tokens
        .into_iter()
        .filter(|range| text.is_char_boundary(range.start) && text.is_char_boundary(range.end))
        .collect()
}

fn scribbled(input: &mut Input<'_>, mut text: String) -> String {
    for _ in 0..1 + input.byte() % 3 {
        let tokens = tokens(&text);
        if tokens.is_empty() {
            break;
        }
        let range = tokens[input.below(tokens.len())].clone();
        match input.byte() % 6 {
            0 => text.replace_range(range, &input.text().replace(['"', '\\'], "")),
            1 => {
                // An element more.
                let token = text[range.clone()].to_owned();
                text.insert_str(range.end, &format!(",{token}"));
            }
            2 => {
                // An element less.
                let end = range.end + usize::from(text[range.end..].starts_with(','));
                text.replace_range(range.start..end, "");
            }
            3 => {
                let other = text[tokens[input.below(tokens.len())].clone()].to_owned();
                text.replace_range(range, &other);
            }
            _ => text.replace_range(range, input.pick(&WORDS)),
        }
    }
    text
}

// Distances.

fn distances(input: &mut Input<'_>) {
    let (cell, psi_how, js_how, kl_how) =
        (cell_options(input), psi_options(input), js_options(input), kl_options(input));
    numbers!(input, |_input, a, b| {
        distance("psi", psi(a, b));
        distance("psi_with", psi_with(a, b, &psi_how));
        distance("js", js(a, b));
        distance("js_with", js_with(a, b, &js_how));
        distance("kl", kl(a, b));
        distance("kl_with", kl_with(a, b, &kl_how));
        distance("hellinger", hellinger(a, b));
        distance("hellinger_with", hellinger_with(a, b, &cell));
        distance("total_variation", total_variation(a, b));
        distance("total_variation_with", total_variation_with(a, b, &cell));
        distance("l_infinity", l_infinity(a, b));
        distance("l_infinity_with", l_infinity_with(a, b, &cell));
    });
}

fn weighted(input: &mut Input<'_>) {
    let (cell, psi_how, js_how, kl_how) =
        (cell_options(input), psi_options(input), js_options(input), kl_options(input));
    let scale = wasserstein_options(input);
    let wild = input.bool();
    numbers!(input, |input, a, b| {
        let [mut v, mut w] = [a.len(), b.len()].map(|len| weights(input, len));
        if !wild {
            // With weights of nothing but zero there is little to say.
            v.iter_mut().chain(&mut w).for_each(|weight| *weight += 1.0);
        }
        distance("psi_weighted", psi_weighted(a, &v, b, &w, &psi_how));
        distance("js_weighted", js_weighted(a, &v, b, &w, &js_how));
        distance("kl_weighted", kl_weighted(a, &v, b, &w, &kl_how));
        distance("hellinger_weighted", hellinger_weighted(a, &v, b, &w, &cell));
        distance("total_variation_weighted", total_variation_weighted(a, &v, b, &w, &cell));
        distance("l_infinity_weighted", l_infinity_weighted(a, &v, b, &w, &cell));
        distance("wasserstein_weighted", wasserstein_weighted(a, &v, b, &w, &scale));
        let (nan, method) = (scale.nan, if wild { KsMethod::Exact } else { KsMethod::Auto });
        distance("energy_weighted", energy_weighted(a, &v, b, &w, &EnergyOptions::default().with_nan(nan)));
        for alternative in [Alternative::TwoSided, Alternative::Less, Alternative::Greater] {
            let options = KsOptions::default().with_nan(nan).with_alternative(alternative);
            test!("ks_weighted", ks_weighted(a, &v, b, &w, &options));
            test!("ks_weighted", ks_weighted(a, &v, b, &w, &options.with_method(method)));
        }
    });
}

fn counted(input: &mut Input<'_>) {
    let (smoothing, base, direction) = (smoothing(input), base(input), direction(input));
    let masses = input.bool();
    let [a, b] = two_counts(input);
    let sizes = [input.f64(), input.f64()];
    let [v, w] = [a.len(), b.len()].map(|len| weights(input, len));
    let all = |a: Tally<'_>, b: Tally<'_>| {
        distance("psi_from_counts", psi_from_counts(a, b, smoothing));
        distance("js_from_counts", js_from_counts(a, b, base));
        distance("js_divergence_from_counts", js_divergence_from_counts(a, b, base));
        distance("kl_from_counts", kl_from_counts(a, b, direction, smoothing));
        distance("hellinger_from_counts", hellinger_from_counts(a, b));
        distance("total_variation_from_counts", total_variation_from_counts(a, b));
        distance("l_infinity_from_counts", l_infinity_from_counts(a, b));
        test!("chi2_on_cells", chi2_on_cells(a, b));
    };
    all(Tally::from(&a), Tally::from(&b));
    if masses {
        let [one, other] = [(&v, sizes[0]), (&w, sizes[1])].map(|(m, size)| Tally::from_masses(m, size));
        if let (Some(one), Some(other)) = (sound("Tally", one), sound("Tally", other)) {
            all(one, other);
        }
    }
}

fn wasserstein_options(input: &mut Input<'_>) -> WassersteinOptions {
    let scales = [
        WassersteinScale::Raw,
        WassersteinScale::Iqr,
        WassersteinScale::Std0,
        WassersteinScale::Std1,
        WassersteinScale::Range,
    ];
    WassersteinOptions::default().with_scale(input.pick(&scales)).with_nan(nan_policy(input))
}

fn wassersteins(input: &mut Input<'_>) {
    let options = wasserstein_options(input);
    numbers!(input, |_input, a, b| {
        distance("wasserstein", wasserstein(a, b));
        distance("wasserstein_with", wasserstein_with(a, b, &options));
        distance("wasserstein_sorted", wasserstein_sorted(a.values(), b.values(), &options));
        let [a, b] = [a, b].map(in_order);
        distance("wasserstein_sorted", wasserstein_sorted(&a, &b, &options));
    });
}

fn in_order<T: Value>(sample: Sample<'_, T>) -> Vec<T> {
    let mut values: Vec<T> = sample.iter().filter(|value| !value.is_nan()).collect();
    values.sort_by_key(|value| value.key());
    values
}

fn energies(input: &mut Input<'_>) {
    let options = EnergyOptions::default().with_nan(nan_policy(input));
    numbers!(input, |_input, a, b| {
        distance("energy", energy(a, b));
        distance("energy_with", energy_with(a, b, &options));
        let [a, b] = [a, b].map(|side| side.iter().map(Value::to_f64).collect::<Vec<f64>>());
        distance("energy_sorted", energy_sorted(&a, &b));
        let [a, b] = [a, b].map(|side| in_order(Sample::new(&side)));
        distance("energy_sorted", energy_sorted(&a, &b));
    });
}

// Tests of two samples.

fn kolmogorov_smirnov(input: &mut Input<'_>) {
    let method =
        input.pick(&[KsMethod::Auto, KsMethod::Exact, KsMethod::ExactContinuous, KsMethod::Asymptotic]);
    let options = KsOptions::default().with_nan(nan_policy(input)).with_method(method);
    let options = options.with_alternative(alternative(input));
    numbers!(input, |_input, a, b| {
        test!("ks", ks(a, b));
        test!("ks_with", ks_with(a, b, &options));
        test!("ks_sorted", ks_sorted(a.values(), b.values(), method));
        let [a, b] = [a, b].map(in_order);
        test!("ks_sorted", ks_sorted(&a, &b, method));
        test!("ks_sorted_with", ks_sorted_with(&a, &b, &options));
    });
}

fn cramer_von_mises_target(input: &mut Input<'_>) {
    let methods = [CramerVonMisesMethod::Auto, CramerVonMisesMethod::Exact, CramerVonMisesMethod::Limit];
    let method = input.pick(&methods);
    let options = CramerVonMisesOptions::default().with_nan(nan_policy(input)).with_method(method);
    if input.bool() {
        let [a, b] = two_counts(input);
        test!("cramer_von_mises_from_counts", cramer_von_mises_from_counts(&a, &b, method));
    }
    numbers!(input, |_input, a, b| {
        test!("cramer_von_mises", cramer_von_mises(a, b));
        test!("cramer_von_mises_with", cramer_von_mises_with(a, b, &options));
        test!("cramer_von_mises_sorted", cramer_von_mises_sorted(a.values(), b.values(), method));
        let [a, b] = [a, b].map(in_order);
        test!("cramer_von_mises_sorted", cramer_von_mises_sorted(&a, &b, method));
    });
}

fn anderson_darlings(input: &mut Input<'_>) {
    let permutation =
        AndersonDarlingMethod::Permutation { seed: input.word(), rounds: u32::from(input.byte() % 20) };
    let method = input.pick(&[AndersonDarlingMethod::Limit, permutation]);
    let options = AndersonDarlingOptions::default().with_nan(nan_policy(input)).with_method(method);
    if input.bool() {
        let [a, b] = two_counts(input);
        // Up to 2^24 values are shuffled, by contract.
        let many = a.iter().chain(&b).any(|&count| count > 1000 && count < 1 << 24);
        let method = if many { AndersonDarlingMethod::Limit } else { method };
        test!("anderson_darling_from_counts", anderson_darling_from_counts(&a, &b, method));
    }
    let cut = input.byte();
    numbers!(input, |_input, a, b| {
        test!("anderson_darling", anderson_darling(a, b));
        test!("anderson_darling_with", anderson_darling_with(a, b, &options));
        test!("anderson_darling_sorted", anderson_darling_sorted(a.values(), b.values(), method));
        let values = b.values();
        let (c, d) = values.split_at(usize::from(cut).min(values.len()));
        let samples = [a, Sample::new(c), Sample::new(d)];
        for k in 0..=3 {
            test!("anderson_darling_k", anderson_darling_k(&samples[..k], &options));
        }
        let [a, b] = [a, b].map(in_order);
        test!("anderson_darling_sorted", anderson_darling_sorted(&a, &b, method));
    });
}

fn mann_whitneys(input: &mut Input<'_>) {
    let methods = [MannWhitneyMethod::Auto, MannWhitneyMethod::Exact, MannWhitneyMethod::Asymptotic];
    let options = MannWhitneyOptions::default().with_method(input.pick(&methods));
    let options = options.with_nan(nan_policy(input)).with_alternative(alternative(input));
    if input.bool() {
        let [a, b] = two_counts(input);
        test!("mann_whitney_from_counts", mann_whitney_from_counts(&a, &b, &options));
    }
    numbers!(input, |_input, a, b| {
        test!("mann_whitney", mann_whitney(a, b));
        test!("mann_whitney_with", mann_whitney_with(a, b, &options));
        test!("mann_whitney_sorted", mann_whitney_sorted(a.values(), b.values(), &options));
        let [a, b] = [a, b].map(in_order);
        test!("mann_whitney_sorted", mann_whitney_sorted(&a, &b, &options));
    });
}

fn means(input: &mut Input<'_>) {
    let method = input.pick(&[TTestMethod::Welch, TTestMethod::Student]);
    let nan = nan_policy(input);
    let options =
        TTestOptions::default().with_method(method).with_alternative(alternative(input)).with_nan(nan);
    let options = options.with_level(share(input));
    numbers!(input, |_input, a, b| {
        test!("t_test", t_test(a, b));
        test!("t_test_with", t_test_with(a, b, &options));
        test!("brown_forsythe", brown_forsythe(a, b));
        test!("brown_forsythe_with", brown_forsythe_with(a, b, nan));
        test!("epps_singleton", epps_singleton(a, b));
        test!("epps_singleton_with", epps_singleton_with(a, b, nan));
    });
}

fn tables(input: &mut Input<'_>) {
    let missing = missing(input);
    let [a, b] = two_counts(input);
    let more = input.counts();
    test!("chi2_homogeneity", chi2_homogeneity(&a, &b));
    test!("g_test_from_counts", g_test_from_counts(&a, &b));
    test!("cramer_v_from_counts", cramer_v_from_counts(&a, &b));
    let (one, other): (&[u64], &[u64]) = (&a, &b);
    for rows in [&[][..], &[one], &[one, other], &[one, other, &more], &[one, one, other]] {
        test!("chi2_table", chi2_table(rows));
    }
    numbers!(input, |_input, a, b| {
        test!("chi2", chi2(a, b, missing));
        test!("g_test", g_test(a, b, missing));
        test!("cramer_v", cramer_v(a, b, missing));
    });
}

fn shares(input: &mut Input<'_>) {
    let (alternative, level) = (alternative(input), share(input));
    let options = ProportionsOptions::default().with_alternative(alternative).with_level(level);
    let correction = input.pick(&[
        Correction::BenjaminiHochberg,
        Correction::BenjaminiYekutieli,
        Correction::Holm,
        Correction::Bonferroni,
        Correction::None,
    ]);
    let (a, b) = ([input.count(), input.count()], [input.count(), input.count()]);
    test!("fisher_from_counts", fisher_from_counts(a, b, alternative));
    test!("proportions_from_counts", proportions_from_counts(a, b, &options));
    let p: Vec<f64> = (0..input.byte() % 20).map(|_| share(input)).collect();
    if let Some(p) = sound("simes", simes(&p)) {
        assert!((0.0..=1.0).contains(&p), "{p}");
    }
    if let Some(adjusted) = sound("adjust", adjust(&p, correction)) {
        assert!(adjusted.iter().all(|q| (0.0..=1.0).contains(q)), "{adjusted:?} of {p:?}");
    }
    sides(input, Input::bool, |_, a, b| {
        test!("fisher", fisher(a, b, alternative));
        test!("proportions", proportions(a, b));
        test!("proportions_with", proportions_with(a, b, &options));
    });
}

fn text(input: &mut Input<'_>) {
    let missing = missing(input);
    let [a, b] = [input.texts(), input.texts()];
    let sides = || (a.iter().map(text_of), b.iter().map(text_of));
    let (one, other) = sides();
    test!("chi2_text", chi2_text(one, other, missing));
    let (one, other) = sides();
    test!("g_test_text", g_test_text(one, other, missing));
    let (one, other) = sides();
    test!("cramer_v_text", cramer_v_text(one, other, missing));
}

fn sorted(input: &mut Input<'_>) {
    let method =
        input.pick(&[KsMethod::Auto, KsMethod::Exact, KsMethod::ExactContinuous, KsMethod::Asymptotic]);
    let ks_options = KsOptions::default().with_nan(nan_policy(input)).with_method(method);
    let ks_options = ks_options.with_alternative(alternative(input));
    let options = wasserstein_options(input);
    let (nan, rows) = (nan_policy(input), usize::from(input.byte()));
    numbers!(input, |_input, a, b| {
        let with = SortedReference::fit_with(a, nan).ok();
        for reference in SortedReference::fit(a).ok().into_iter().chain(with) {
            assert_eq!(reference.sorted().len() as u64, reference.side().used);
            let mut workspace = reference.workspace(rows);
            // Twice, for what the first leaves behind.
            for side in [b, a] {
                let fitted = reference.ks(side, &ks_options, &mut workspace);
                if let (Ok(fitted), Ok(direct)) =
                    (&fitted, ks_with(Sample::new(reference.sorted()), side, &ks_options))
                {
                    assert_eq!(
                        fitted.statistic.value(),
                        direct.statistic.value(),
                        "two ways to one statistic"
                    );
                }
                test!("SortedReference::ks", fitted);
                let fitted = reference.wasserstein(side, &options, &mut workspace);
                let direct = wasserstein_with(Sample::new(reference.sorted()), side, &options);
                if let (Ok(fitted), Ok(direct)) = (&fitted, direct) {
                    let gap = (fitted.score - direct.score).abs();
                    let scales = [WassersteinScale::Raw, WassersteinScale::Range].contains(&options.scale);
                    let near = gap <= 1e-9 * direct.score || direct.score < 1e-12;
                    assert!(near || !scales, "{} is not {}", fitted.score, direct.score);
                }
                distance("SortedReference::wasserstein", fitted);
            }
        }
    });
}

// Cells.

fn use_bins(input: &mut Input<'_>, bins: &Bins) {
    let [a, b] = input.two(60, Input::f64);
    let missing = missing(input);
    let definition = input.pick(&[
        Definition::Psi(Smoothing::Jeffreys),
        Definition::Psi(Smoothing::None),
        Definition::JsDistance(LogBase::Two, Smoothing::None),
        Definition::JsDivergence(LogBase::E, Smoothing::Laplace),
        Definition::Kl(KlDirection::CurrentFromReference, LogBase::E, Smoothing::Jeffreys),
        Definition::Kl(KlDirection::ReferenceFromCurrent, LogBase::Two, Smoothing::None),
        Definition::Hellinger,
        Definition::TotalVariation,
        Definition::LInfinity,
        Definition::Energy,
    ]);
    assert_eq!(bins.cells().count(), bins.len());
    let cells: Vec<String> = bins.cells().map(|cell| cell.to_string()).collect();
    no_nan("Bins::cells", &cells);
    let (mut one, other) = (bins.count(&a), bins.count(&b));
    assert_eq!(one.total(), a.len() as u64);
    for (value, cell) in a.iter().map(|&value| (value, bins.cell_of(value))) {
        assert!(one.as_slice()[cell] > 0, "{value} is counted elsewhere than in its cell");
    }
    if let Some(breakdown) = sound("Bins::breakdown", bins.breakdown(&one, &other, definition, missing)) {
        no_nan("Breakdown::total", &breakdown.total());
        assert_eq!(breakdown.by_contribution().len(), breakdown.rows.len());
    }
    if let (Ok(one), Ok(other)) = (bins.tally(&one, missing), bins.tally(&other, missing)) {
        distance("psi_from_counts", psi_from_counts(one, other, Smoothing::default()));
        distance("total_variation_from_counts", total_variation_from_counts(one, other));
    }
    distance("hellinger_from_counts", hellinger_from_counts(missing.cells(&one), missing.cells(&other)));
    sound("Bins::count_into", bins.count_into(&mut one, &b));
    sound("Counts::merge", one.merge(&other));
    assert_eq!(one.total(), (a.len() + 2 * b.len()) as u64);
    let (v, w) = (weights(input, a.len()), weights(input, b.len()));
    let masses = (
        sound("count_weighted", bins.count_weighted(&a, &v)),
        sound("count_weighted", bins.count_weighted(&b, &w)),
    );
    if let (Some(mut one), Some(other)) = masses {
        use_masses(bins, &mut one, &other, missing);
        reread(input, &one, |_, mut read: Masses| use_masses(bins, &mut read, &other, missing));
    }
    reread(input, &one, |_, mut read: Counts| {
        let seen = (read.as_slice().len(), read.present().len(), read.missing(), read.total());
        no_nan("Counts", &seen);
        sound("Bins::tally", bins.tally(&read, missing).map(|tally| tally.len()));
        sound("Bins::breakdown", bins.breakdown(&read, &other, definition, missing));
        sound("Bins::count_into", bins.count_into(&mut read, &b));
        sound("Counts::merge", read.merge(&other));
        let cells = missing.cells(&read);
        distance("psi_from_counts", psi_from_counts(cells, missing.cells(&other), Smoothing::default()));
    });
}

fn use_masses(bins: &Bins, one: &mut Masses, other: &Masses, missing: Missing) {
    no_nan("Masses", &(one.as_slice(), one.effective_size(missing)));
    let tallies = (bins.tally_weighted(one, missing), bins.tally_weighted(other, missing));
    if let (Some(one), Some(other)) = (sound("tally_weighted", tallies.0), sound("tally_weighted", tallies.1))
    {
        distance("psi_from_counts", psi_from_counts(one, other, Smoothing::default()));
        distance("l_infinity_from_counts", l_infinity_from_counts(one, other));
    }
    sound("Masses::merge", one.merge(other));
    no_nan("Masses", &(one.as_slice(), one.effective_size(missing)));
}

fn bins(input: &mut Input<'_>) {
    let rule = rule(input);
    if input.bool() {
        let mut edges = input.f64s();
        if input.bool() {
            edges.retain(|edge| !edge.is_nan());
            edges.sort_by(f64::total_cmp);
            edges.dedup();
        }
        if let Some(bins) = sound("Bins::from_edges", Bins::from_edges(&edges)) {
            use_bins(input, &bins);
        }
        return;
    }
    let mut fitted = None;
    numbers!(&mut *input, |_input, a, _b| fitted = sound("Bins::fit", Bins::fit(a, rule)));
    let Some(fitted) = fitted else { return };
    use_bins(input, &fitted);
    reread(input, &fitted, |input, read: Bins| use_bins(input, &read));
}

fn use_categories(input: &mut Input<'_>, bins: &CategoryBins) {
    let missing = missing(input);
    let [a, b] = [input.texts(), input.texts()];
    assert_eq!(bins.cells().count(), bins.len());
    let (mut one, other) = (bins.count(a.iter().map(text_of)), bins.count(b.iter().map(text_of)));
    for value in a.iter().map(text_of) {
        assert!(one.as_slice()[bins.cell_of(value)] > 0, "{value:?} is counted elsewhere than in its cell");
    }
    for definition in [Definition::Psi(Smoothing::Jeffreys), Definition::Hellinger] {
        sound("CategoryBins::breakdown", bins.breakdown(&one, &other, definition, missing));
    }
    if let (Ok(one), Ok(other)) = (bins.tally(&one, missing), bins.tally(&other, missing)) {
        distance("js_from_counts", js_from_counts(one, other, LogBase::Two));
    }
    sound("CategoryBins::count_into", bins.count_into(&mut one, b.iter().map(text_of)));
    let levels: Vec<String> = (0..input.byte() % 6).map(|_| input.text()).collect();
    let count = u32::try_from(levels.len()).unwrap();
    let codes = input.codes(count);
    let bits = input.validity(codes.len());
    let sample = Sample::new(&codes).with_validity(&bits).unwrap();
    if let Some(counted) = sound("count_codes", bins.count_codes(sample, &levels)) {
        sound("Counts::merge", one.merge(&counted));
    }
    sound("code_counts", code_counts("codes", sample, count));
    reread(input, &one, |_, mut read: Counts| {
        sound("CategoryBins::tally", bins.tally(&read, missing).map(|tally| tally.len()));
        sound("CategoryBins::count_into", bins.count_into(&mut read, [Some("a"), None]));
        sound("CategoryBins::breakdown", bins.breakdown(&read, &other, Definition::Hellinger, missing));
    });
}

fn categories(input: &mut Input<'_>) {
    let reference = input.texts();
    let Some(bins) = sound("CategoryBins::fit", CategoryBins::fit(reference.iter().map(text_of))) else {
        return;
    };
    use_categories(input, &bins);
    reread(input, &bins, |input, read: CategoryBins| use_categories(input, &read));
}

// Profiles.

fn profile_options(input: &mut Input<'_>) -> ProfileOptions {
    if input.byte().is_multiple_of(4) {
        let (lg, k) = (input.byte(), u16::try_from(input.below(1 << 16)).unwrap());
        let options = ProfileOptions::default().with_bins(input.size()).with_cells(input.size());
        return options
            .with_distinct(Some(lg))
            .with_quantiles(Some(k))
            .with_frequent(input.byte())
            .with_keep_values(true);
    }
    // Small, so that many inputs are tried.
    let options = ProfileOptions::default().with_bins(1 + usize::from(input.byte() % 12)).with_cells(64);
    let options = options.with_distinct(input.bool().then_some(4)).with_quantiles(input.bool().then_some(8));
    options.with_frequent(3).with_keep_values(input.bool())
}

/// Everything that a reference can be asked about two profiles.
fn ask(reference: &Reference, one: &Profile, other: &Profile, share: f64) {
    for column in reference.columns().iter().map(|column| column.name()).chain(["nobody"]) {
        sound("Reference::bin_counts", reference.bin_counts(one, column));
        sound("Reference::moments", reference.moments(one, column));
        sound("Reference::top_categories", reference.top_categories(one, column, 3));
        if let Some(bounds) = sound("Reference::ks", reference.ks(one, other, column)) {
            bounds.verdict(share);
            probability("Reference::ks", bounds.p_low.value(), bounds.ln_p_low.value());
            probability("Reference::ks", bounds.p_high.value(), bounds.ln_p_high.value());
        }
        if let Some(bounds) = sound("Reference::wasserstein", reference.wasserstein(one, other, column)) {
            assert!(bounds.low <= bounds.high, "{bounds:?}");
        }
        if let Some(bounds) = sound("Reference::quantile", reference.quantile(one, column, share)) {
            assert!(bounds.contains(bounds.low) && bounds.contains(bounds.high), "{bounds:?}");
        }
    }
    for profile in [one, other] {
        sound("Reference::check", reference.check(profile));
        for column in profile.columns() {
            no_nan("ColumnProfile", &(column.missing(), column.present(), column.cells().len()));
        }
    }
}

fn fitted_reference(input: &mut Input<'_>) -> Option<(Reference, Kinds)> {
    let (options, kinds) = (profile_options(input), kinds(input));
    let table = table(input, &kinds, 40);
    if input.bool() {
        return sound("Reference::fit_with", Reference::fit_with(&table, &options))
            .map(|reference| (reference, kinds));
    }
    let (reference, failed) = sound("Reference::fit_each", Reference::fit_each(&table, &options))?;
    assert!(failed.len() + reference.columns().len() <= kinds.len());
    Some((reference, kinds))
}

fn profiles(input: &mut Input<'_>) {
    let Some((reference, kinds)) = fitted_reference(input) else { return };
    use_reference(input, &reference, &kinds);
    reread(input, &reference, |input, read: Reference| use_reference(input, &read, &kinds));
}

fn use_reference(input: &mut Input<'_>, reference: &Reference, kinds: &Kinds) {
    let share = share(input);
    let (one, other) = (similar(input, kinds, 30), similar(input, kinds, 30));
    let (one, other) = (reference.profile(&one), reference.profile(&other));
    let (Some(one), Some(other)) = (sound("Reference::profile", one), sound("Reference::profile", other))
    else {
        return;
    };
    ask(reference, &one, &other, share);
    ask(reference, reference.baseline(), &one, share);
    let mut merged = one.clone();
    sound("Profile::merge", merged.merge(&other));
    if let Some(mut profiler) = sound("Reference::resume", reference.resume(merged.clone())) {
        sound("Profiler::push", profiler.push(&similar(input, kinds, 10)));
        sound("Profiler::merge", profiler.merge(&one));
        ask(reference, &profiler.finish(), &merged, share);
    }
    let cells: Vec<&[u64]> = [&one, &merged].map(|profile| profile.columns()[0].cells()).to_vec();
    if let Some(bounds) = sound("KsBounds::from_counts", KsBounds::from_counts(cells[0], cells[1])) {
        bounds.verdict(share);
    }
    reread(input, &merged, |_, mut read: Profile| {
        ask(reference, &read, &other, share);
        ask(reference, &other, &read, share);
        sound("Profile::merge", read.merge(&other));
        ask(reference, &read, &other, share);
        let again = read.clone();
        sound("Profile::merge", read.merge(&again));
        sound("Reference::with_baseline", reference.clone().with_baseline(read));
    });
    reread(input, &ProfileOptions::default(), |_, read: ProfileOptions| {
        let table = Table::new(vec![Column::f64("x", vec![1.0, 2.0, 3.0]).unwrap()]).unwrap();
        sound("Reference::fit_with", Reference::fit_with(&table, &read));
    });
}

fn use_quantiles(sketch: &mut QuantileSketch, other: &QuantileSketch, rank: f64) {
    let seen = (sketch.count(), sketch.k(), sketch.rank_error(), sketch.rank(rank), sketch.to_bytes().len());
    no_nan("QuantileSketch", &seen);
    sound("QuantileSketch::quantile", sketch.quantile(rank));
    sound("KsBounds::from_sketches", KsBounds::from_sketches(sketch, other))
        .map(|bounds| bounds.verdict(0.05));
    sketch.push(rank);
    sound("QuantileSketch::merge", sketch.merge(other));
    sound("QuantileSketch::quantile", sketch.quantile(0.5));
}

fn use_distinct(sketch: &mut DistinctSketch, other: &DistinctSketch, value: f64) {
    no_nan("DistinctSketch", &(sketch.estimate(), sketch.bounds(), sketch.lg_k(), sketch.to_bytes().len()));
    sketch.push(value);
    sketch.push_text("a");
    sound("DistinctSketch::merge", sketch.merge(other));
    no_nan("DistinctSketch", &(sketch.estimate(), sketch.bounds()));
}

fn use_frequent(sketch: &mut FrequentSketch, other: &FrequentSketch, count: u64) {
    no_nan("FrequentSketch", &(sketch.total(), sketch.top(3), sketch.to_bytes().len()));
    sketch.push("b", count);
    sound("FrequentSketch::merge", sketch.merge(other));
    no_nan("FrequentSketch", &(sketch.total(), sketch.top(usize::MAX)));
}

/// Bytes of a sketch, changed here and there.
fn damaged(input: &mut Input<'_>, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..input.byte() % 4 {
        let at = input.below(bytes.len().max(1));
        match input.byte() % 3 {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] = input.byte(),
            _ if at < bytes.len() => bytes[at] ^= 1 << (input.byte() % 8),
            _ => bytes.push(input.byte()),
        }
    }
    bytes
}

fn sketches(input: &mut Input<'_>) {
    let (k, lg, size) = (u16::try_from(input.below(512)).unwrap(), input.byte() % 24, input.byte() % 16);
    let (value, count, raw) = (input.f64(), input.count(), input.byte().is_multiple_of(16));
    let values = input.f64s();
    let texts = input.texts();
    if raw {
        let bytes: Vec<u8> = (0..input.byte()).map(|_| input.byte()).collect();
        sound("QuantileSketch::from_bytes", QuantileSketch::from_bytes(&bytes));
        sound("DistinctSketch::from_bytes", DistinctSketch::from_bytes(&bytes));
        sound("FrequentSketch::from_bytes", FrequentSketch::from_bytes(&bytes));
    }
    if let Some(mut sketch) = sound("QuantileSketch::new", QuantileSketch::new(k)) {
        let empty = sketch.clone();
        values.iter().for_each(|&value| sketch.push(value));
        let bytes = damaged(input, sketch.to_bytes());
        if let Some(mut read) = sound("QuantileSketch::from_bytes", QuantileSketch::from_bytes(&bytes)) {
            use_quantiles(&mut read, &sketch, value);
        }
        let kept: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        let kept = in_order(Sample::new(&kept));
        if let Some(grid) = sound("Grid::fit", Grid::fit(&kept, 1 + usize::from(lg) * 8)) {
            let mut counts = vec![0; grid.len()];
            values.iter().for_each(|&value| counts[grid.index_of(value)] += 1);
            no_nan("Grid", &(grid.low(), grid.high(), grid.width(), grid.scale(), grid.threshold(k.into())));
            let bounds = KsBounds::from_counts_and_sketch(&grid, &counts, &sketch);
            sound("KsBounds::from_counts_and_sketch", bounds);
        }
        use_quantiles(&mut sketch, &empty, value);
    }
    if let Some(mut sketch) = sound("DistinctSketch::new", DistinctSketch::new(lg)) {
        let empty = sketch.clone();
        values.iter().for_each(|&value| sketch.push(value));
        let bytes = damaged(input, sketch.to_bytes());
        if let Some(mut read) = sound("DistinctSketch::from_bytes", DistinctSketch::from_bytes(&bytes)) {
            use_distinct(&mut read, &sketch, value);
        }
        use_distinct(&mut sketch, &empty, value);
    }
    if let Some(mut sketch) = sound("FrequentSketch::new", FrequentSketch::new(size)) {
        let empty = sketch.clone();
        texts.iter().flatten().for_each(|text| sketch.push(text, count));
        let bytes = damaged(input, sketch.to_bytes());
        if let Some(mut read) = sound("FrequentSketch::from_bytes", FrequentSketch::from_bytes(&bytes)) {
            use_frequent(&mut read, &sketch, count);
        }
        use_frequent(&mut sketch, &empty, count);
    }
}

// Statements.

fn sql_target(input: &mut Input<'_>) {
    let dialect =
        input.pick(&[Dialect::DataFusion, Dialect::DuckDb, Dialect::Spark, Dialect::TSql, Dialect::BigQuery]);
    let (layout, share) = (input.pick(&[Layout::Union, Layout::GroupingSets]), share(input));
    let (name, part) = (input.text(), input.text());
    sound("Dialect::identifier", dialect.identifier(&name));
    sound("Dialect::literal", dialect.literal(&name));
    let table =
        if input.bool() { Source::table(dialect, &[&name, &part]) } else { Source::table(dialect, &[&name]) };
    let source = sound("Source::table", table).unwrap_or_else(|| Source::trusted(part));
    let source = if input.bool() { source.with_trusted_filter("x > 0") } else { source };
    let Some((reference, kinds)) = fitted_reference(input) else { return };
    sound("count_statement", count_statement(&reference, dialect, &source, layout));
    let (one, other) = (similar(input, &kinds, 30), similar(input, &kinds, 30));
    let profiles = (reference.profile(&one), reference.profile(&other));
    if let (Ok(first), Ok(second)) = profiles {
        exactly(input, &reference, [&first, &second], [&one, &other], (dialect, &source));
    }
    // Rows as an engine would send them, and as it would not.
    let rows = || -> Vec<CountRow> {
        let cells = |(column, profile): (usize, &profile::ColumnProfile)| {
            let row = move |(cell, &count): (usize, &u64)| CountRow {
                column,
                cell: Some(cell),
                label: None,
                count,
            };
            profile.cells().iter().enumerate().map(row).collect::<Vec<_>>()
        };
        reference.baseline().columns().iter().enumerate().flat_map(cells).collect()
    };
    let mut rows = rows();
    for _ in 0..input.byte() % 4 {
        let (column, cell) = (input.size(), input.bool().then(|| input.size()));
        let label = input.bool().then(|| input.text());
        rows.push(CountRow { column, cell, label, count: input.count() });
    }
    if !rows.is_empty() && input.bool() {
        let at = input.below(rows.len());
        rows[at].count = input.count();
    }
    if let Some(read) = sound("read_counts", read_counts(&reference, rows)) {
        ask(&reference, &read, reference.baseline(), share);
    }
}

fn exactly(
    input: &mut Input<'_>,
    reference: &Reference,
    [one, other]: [&Profile; 2],
    [first, second]: [&Table<'_>; 2],
    (dialect, source): (Dialect, &Source),
) {
    let Some(candidates) = sound("Candidates::new", Candidates::new(reference, one, other)) else { return };
    sound("value_statement", value_statement(reference, &candidates, dialect, source));
    let of = |profile, table| {
        sound("ValueCounts::of_table", ValueCounts::of_table(reference, &candidates, profile, table))
    };
    if let (Some(a), Some(b)) = (of(one, first), of(other, second)) {
        for column in reference.columns() {
            test!("exact_ks", exact_ks(reference, &candidates, column.name(), (one, &a), (other, &b)));
        }
    }
    sound("ValueCounts::of_reference", ValueCounts::of_reference(reference, &candidates));
    let rows: Vec<ValueRow> = (0..input.byte() % 8)
        .map(|_| ValueRow { column: input.size(), value: input.f64(), count: input.count() })
        .collect();
    if let Some(counts) = sound("read_values", read_values(reference, &candidates, one, rows)) {
        for column in reference.columns() {
            test!(
                "exact_ks",
                exact_ks(reference, &candidates, column.name(), (one, &counts), (one, &counts))
            );
        }
    }
    reread(input, &candidates, |_, read: Candidates| {
        for column in 0..4 {
            no_nan("Candidates::of", &read.of(column).len());
        }
        sound("value_statement", value_statement(reference, &read, dialect, source));
        sound("ValueCounts::of_table", ValueCounts::of_table(reference, &read, one, first));
        sound("ValueCounts::of_reference", ValueCounts::of_reference(reference, &read));
    });
}

// Chunks and labels.

fn chunker(input: &mut Input<'_>) -> Chunker {
    let (size, stride, period) = (input.size(), input.size(), input.byte());
    let (length, step, origin) = (duration(input), duration(input), time(input));
    let periods = [Period::Hour, Period::Day, Period::Week, Period::Month, Period::Quarter, Period::Year];
    // Windows that overlap a million times are allowed, and slow.
    let step = if input.byte() == 61 { step } else { step.max(length / 256) };
    let cut = input.pick(&[
        Cut::Size(size),
        Cut::Count(size),
        Cut::Period(periods[usize::from(period) % 6]),
        Cut::Every { length, origin },
        Cut::SlidingSize { size, stride },
        Cut::Sliding { length, stride: step, origin },
    ]);
    let chunker =
        Chunker::new(cut).last(input.pick(&[Last::Keep, Last::Drop, Last::Append])).min_rows(input.size());
    if input.bool() { chunker.until(time(input)) } else { chunker }
}

fn use_chunker(chunker: &Chunker, times: &[DateTime<Utc>]) {
    for cut in [chunker.cut(times.len()), chunker.cut_at(times), chunker.cut_at(&[]), chunker.cut(0)] {
        // Up to a million, by contract.
        for chunk in cut.unwrap_or_default().into_iter().take(500) {
            no_nan("Chunker::cut", &chunk);
            assert_eq!(chunk.rows.iter().count(), chunk.rows.len());
            assert!(chunk.rows.max().is_none_or(|row| row < times.len()), "{chunk:?}");
            assert!(chunk.rows.of(times).is_some_and(|rows| rows.is_empty() == chunk.rows.is_empty()));
        }
    }
}

fn times(input: &mut Input<'_>) -> Vec<DateTime<Utc>> {
    let mut times: Vec<DateTime<Utc>> = (0..input.byte() % 40).map(|_| time(input)).collect();
    if input.bool() {
        times.sort();
    }
    times
}

fn chunks(input: &mut Input<'_>) {
    let (chunker, times) = (chunker(input), times(input));
    use_chunker(&chunker, &times);
    for period in [Period::Hour, Period::Day, Period::Week, Period::Month, Period::Quarter, Period::Year] {
        for &at in &times {
            assert!(period.start(at) <= at && at <= period.end(at), "{period:?} of {at}");
            assert!(!period.key(at).is_empty());
        }
    }
    let asked = [input.f64(), input.f64(), share(input), share(input)];
    sound("rows_needed", rows_needed(asked[0], asked[1], asked[2], asked[3]));
    sound("rows_needed", rows_needed(asked[2], asked[3], 0.05, 0.8));
    let rows = Rows::list((0..input.byte() % 5).map(|_| input.size()).collect());
    no_nan("Rows", &(rows.of(&[1, 2, 3]), rows.max(), rows.as_range(), rows.is_empty()));
    let rows = Rows::range(input.size()..input.size());
    no_nan("Rows", &(rows.of(&[1, 2, 3]), rows.max(), rows.as_range(), rows.is_empty()));
    reread(input, &chunker, |_, read: Chunker| use_chunker(&read, &times));
}

fn labels(input: &mut Input<'_>) {
    let chunker = chunker(input);
    let mut shards = [LabelJoin::<f64, f64>::new(), LabelJoin::new()];
    for _ in 0..input.byte() % 60 {
        let (shard, id, at, value) = (input.below(2), input.text(), time(input), input.f64());
        if input.bool() {
            sound("LabelJoin::predict", shards[shard].predict(&id, at, value));
        } else {
            sound("LabelJoin::label", shards[shard].label(&id, at, value));
        }
    }
    let cut = (time(input), time(input));
    let [mut join, other] = shards;
    join.merge(other);
    let ask = |join: &mut LabelJoin<f64, f64>| {
        // The values are the caller's, NaN or not.
        let (counts, between) = (join.counts(), join.between(cut.0, cut.1));
        no_nan("LabelJoin", &(counts, between.labelled(), between.completeness()));
        if let Ok(chunks) = join.by_chunk(&chunker) {
            chunks
                .iter()
                .for_each(|(_, joined)| no_nan("by_chunk", &(joined.labelled(), joined.completeness())));
        }
        join.forget_before(cut.0);
        no_nan("LabelJoin::counts", &join.counts());
    };
    reread(input, &join, |_, mut read: LabelJoin<f64, f64>| {
        ask(&mut read);
        read.merge(join.clone());
        ask(&mut read);
    });
    ask(&mut join);
}

// Streams.

fn standard(input: &mut Input<'_>) -> Standard {
    match input.byte() % 4 {
        0 => Standard::new(input.f64(), input.f64()).with_clip(input.bool().then(|| input.f64())),
        1 => Standard::new(0.5, 0.25).with_clip(4.0),
        _ => Standard::default(),
    }
}

/// A number near the default, or any.
fn near(input: &mut Input<'_>, default: f64) -> f64 {
    match input.byte() % 4 {
        0 => input.f64(),
        1 => default * f64::from(input.byte()) / 64.0,
        _ => default,
    }
}

fn new_detector(input: &mut Input<'_>) -> Option<AnyOnlineDetector> {
    fn any<D: Into<AnyOnlineDetector> + Debug, E: Debug + Display>(
        built: Result<D, E>,
    ) -> Option<AnyOnlineDetector> {
        sound("new", built).map(Into::into)
    }
    let direction = input.pick(&[online::Direction::Both, online::Direction::Up, online::Direction::Down]);
    let (standard, number) = (standard(input), u32::from(input.byte()));
    let (one, other, third) = (input.byte(), input.byte(), input.bool());
    let length = if input.byte() % 8 == 7 { input.size() } else { usize::from(one % 50) + 2 };
    match input.byte() % 10 {
        0 => any(online::Adwin::new(
            online::AdwinOptions::default()
                .with_standard(standard)
                .with_delta(near(input, 0.01))
                .with_clock(number % 40)
                .with_max_buckets(length)
                .with_min_window(u32::from(one % 16))
                .with_grace_period(u32::from(other % 16))
                .with_restart(third),
        )),
        1 => any(online::PageHinkley::new(
            online::PageHinkleyOptions::default()
                .with_standard(standard)
                .with_delta(near(input, 0.1))
                .with_threshold(near(input, 5.0))
                .with_forgetting(near(input, 0.99))
                .with_min_values(number.into())
                .with_direction(direction)
                .with_target(third.then(|| input.f64())),
        )),
        2 => any(online::Cusum::new(
            online::CusumOptions::default()
                .with_standard(standard)
                .with_slack(near(input, 0.5))
                .with_threshold(near(input, 5.0))
                .with_direction(direction),
        )),
        3 => any(online::Ewma::new(
            online::EwmaOptions::default()
                .with_standard(standard)
                .with_lambda(near(input, 0.1))
                .with_limit(near(input, 3.0)),
        )),
        4 => any(online::Kswin::new(
            online::KswinOptions::default()
                .with_alpha(near(input, 0.05))
                .with_window(length.saturating_mul(2).saturating_add(usize::from(other % 8)))
                .with_recent(length)
                .with_min_statistic(near(input, 0.1))
                .with_seed(number.into())
                .with_restart(third),
        )),
        5 => any(online::Ddm::new(
            online::DdmOptions::default()
                .with_warm_start(u64::from(one % 32))
                .with_warning(near(input, 2.0))
                .with_drift(near(input, 3.0)),
        )),
        6 => any(online::Eddm::new(
            online::EddmOptions::default()
                .with_warm_start(u64::from(one % 32))
                .with_warning(near(input, 0.95))
                .with_drift(near(input, 0.9)),
        )),
        7 => any(online::HddmA::new(
            online::HddmAOptions::default()
                .with_drift(near(input, 0.001))
                .with_warning(near(input, 0.005))
                .with_two_sided(third),
        )),
        8 => any(online::HddmW::new(
            online::HddmWOptions::default()
                .with_drift(near(input, 0.001))
                .with_warning(near(input, 0.005))
                .with_lambda(near(input, 0.05))
                .with_two_sided(third),
        )),
        _ => any(online::Fhddm::new(
            online::FhddmOptions::default()
                .with_window(length)
                .with_short_window(third.then_some(usize::from(other % 32)))
                .with_delta(near(input, 0.001)),
        )),
    }
}

fn feed(detector: &mut AnyOnlineDetector, values: &[f64]) {
    for &value in values {
        sound("update", detector.update(value));
    }
    no_nan("AnyOnlineDetector", &(detector.state(), detector.seen(), detector.definition()));
    match detector {
        AnyOnlineDetector::Adwin(d) => no_nan("Adwin", &(d.width(), d.mean(), d.variance())),
        AnyOnlineDetector::PageHinkley(d) => no_nan("PageHinkley", &d.statistic()),
        AnyOnlineDetector::Cusum(d) => no_nan("Cusum", &d.sums()),
        AnyOnlineDetector::Ewma(d) => no_nan("Ewma", &d.average()),
        AnyOnlineDetector::Kswin(d) => {
            no_nan("Kswin", &(d.statistic(), d.p()));
            assert!(d.p().value().is_none_or(|p| (0.0..=1.0).contains(&p)), "{:?}", d.p());
        }
        AnyOnlineDetector::Ddm(d) => no_nan("Ddm", &d.rate()),
        AnyOnlineDetector::HddmA(d) => no_nan("HddmA", &d.mean()),
        _ => {}
    }
}

fn onlines(input: &mut Input<'_>) {
    let Some(mut detector) = new_detector(input) else { return };
    let values: Vec<f64> = match input.byte() % 4 {
        0 => input.f64s(),
        // A stream that changes.
        1 => {
            (0..300).map(|i| f64::from(input.byte() % 16) / 16.0 + if i > 200 { 3.0 } else { 0.0 }).collect()
        }
        _ => {
            (0..300).map(|i| f64::from(u8::from(input.byte() % 16 < if i > 200 { 12 } else { 3 }))).collect()
        }
    };
    feed(&mut detector, &values);
    if let Ok(text) = serde_json::to_string(&detector) {
        let mut read: AnyOnlineDetector = serde_json::from_str(&text).unwrap();
        feed(&mut read, &values);
    }
    reread(input, &detector, |_, mut read: AnyOnlineDetector| {
        feed(&mut read, &values);
        read.reset();
        feed(&mut read, &values);
    });
    feed(&mut detector, &values);
    detector.reset();
    feed(&mut detector, &values);
}

fn run_lengths(input: &mut Input<'_>) {
    let numbers = [input.f64(), input.f64(), input.f64()];
    sound("run_length::cusum", run_length::cusum(numbers[0], numbers[1], numbers[2]));
    sound("run_length::ewma", run_length::ewma(numbers[0], numbers[1], numbers[2]));
    let (slack, limit) = (near(input, 0.5), near(input, 3.0));
    let (lambda, shift) = (near(input, 0.1), near(input, 0.5));
    sound("run_length::cusum", run_length::cusum(slack, limit, shift));
    sound("run_length::ewma", run_length::ewma(lambda, limit, shift));
    // The cost grows with the run length, by contract: small ones, and such as are refused.
    let arl = input.pick(&[10.0, 12.0, 9.0, -1.0, f64::NAN, f64::INFINITY, 1e300]);
    let (rate, seed) = (share(input), input.word());
    let (window, recent) = (usize::from(input.byte() % 40), usize::from(input.byte() % 20));
    match input.byte() % 8 {
        0 => drop(sound("Ddm::for_run_length", online::Ddm::for_run_length(arl, rate, seed))),
        1 => drop(sound("Eddm::for_run_length", online::Eddm::for_run_length(arl, rate, seed))),
        2 => drop(sound("HddmA::for_run_length", online::HddmA::for_run_length(arl, rate, seed))),
        3 => drop(sound("HddmW::for_run_length", online::HddmW::for_run_length(arl, rate, seed))),
        4 => drop(sound("Fhddm::for_run_length", online::Fhddm::for_run_length(arl, rate, seed))),
        5 => drop(sound("Kswin::for_run_length", online::Kswin::for_run_length(arl, window, recent, seed))),
        _ => numbers!(&mut *input, |_input, a, _b| {
            sound("Standard::fit", Standard::fit(a));
            sound("Cusum::for_run_length", online::Cusum::for_run_length(arl * 10.0, shift, a));
            sound("Ewma::for_run_length", online::Ewma::for_run_length(arl * 10.0, lambda, a));
            sound("PageHinkley::for_run_length", online::PageHinkley::for_run_length(arl * 10.0, shift, a));
            sound("Adwin::for_run_length", online::Adwin::for_run_length(arl, a, seed));
        }),
    }
    let Some(detector) = new_detector(input) else { return };
    let trials =
        run_length::Trials::default().with_streams(input.byte().into()).with_length(20).with_seed(seed);
    sound("simulate", simulate(&detector, |random| f64::from(u8::from(random.next_f64() < rate)), trials));
}

// Performance.

fn metrics(input: &mut Input<'_>) -> Vec<Metric> {
    const ALL: [Metric; 16] = [
        Metric::Accuracy,
        Metric::Precision,
        Metric::Recall,
        Metric::F1,
        Metric::Specificity,
        Metric::Auroc,
        Metric::AveragePrecision,
        Metric::LogLoss,
        Metric::Brier,
        Metric::BusinessValue,
        Metric::Mae,
        Metric::Mape,
        Metric::Mse,
        Metric::Rmse,
        Metric::Msle,
        Metric::Rmsle,
    ];
    (0..input.byte() % 4).map(|_| input.pick(&ALL)).collect()
}

fn performance_options(input: &mut Input<'_>) -> PerformanceOptions {
    let mut options = PerformanceOptions::default().with_min_rows(u64::from(input.byte() % 8));
    if input.byte() % 4 == 3 {
        options = options.with_metrics(metrics(input));
    }
    if input.byte() % 4 == 3 {
        options = options.with_deviations(input.f64()).with_min_completeness(input.f64());
        let band = Band::given(input.bool().then(|| input.f64()), input.bool().then(|| input.f64()));
        options = options.with_band(Metric::Accuracy, band);
    }
    options.with_sides(input.pick(&[performance::Sides::Both, performance::Sides::Worse]))
}

fn reference_chunks(input: &mut Input<'_>, rows: usize) -> Vec<Chunk> {
    let size = usize::from(input.byte() % 16);
    let mut chunks = Chunker::new(Cut::Size(size + 2)).cut(rows).unwrap_or_default();
    if input.byte() == 99 {
        // Chunks of other data.
        chunks.extend(Chunker::new(Cut::Size(5)).cut(rows + 7).unwrap_or_default());
    }
    chunks
}

fn cell_values(input: &mut Input<'_>) -> CellValues {
    CellValues {
        true_positive: input.f64(),
        false_positive: input.f64(),
        false_negative: input.f64(),
        true_negative: input.f64(),
    }
}

fn cbpe_options(input: &mut Input<'_>) -> CbpeOptions {
    let calibrations = [
        performance::Calibration::WhenBetter,
        performance::Calibration::Always,
        performance::Calibration::Never,
    ];
    let options = CbpeOptions::default().with_performance(performance_options(input));
    let options = options.with_calibration(input.pick(&calibrations)).with_seed(input.word());
    if input.bool() { options.with_values(cell_values(input)) } else { options }
}

fn verdict(performance: &performance::Performance) {
    performance.verdict();
    for estimate in &performance.estimates {
        performance.get(estimate.metric);
        if let Some(interval) = estimate.interval {
            assert!(interval.low <= interval.high, "{estimate:?}");
        }
    }
}

/// Scores, mostly probabilities.
fn scores(input: &mut Input<'_>, len: usize) -> Vec<f64> {
    let wild = input.byte() == 88;
    (0..len).map(|_| if wild { input.f64() } else { f64::from(input.byte()) / 255.0 }).collect()
}

fn binaries(input: &mut Input<'_>) {
    let (options, values, metrics) = (cbpe_options(input), cell_values(input), metrics(input));
    let rows = usize::from(input.byte() % 80);
    let drawn = scores(input, rows);
    let predicted: Vec<bool> = drawn.iter().map(|&score| score > 0.5 || input.byte() == 3).collect();
    let truth: Vec<bool> = drawn.iter().map(|&score| score * 255.0 > f64::from(input.byte())).collect();
    if let Some(isotonic) = sound(
        "Isotonic::fit",
        Isotonic::fit(&drawn, &truth.iter().map(|&t| f64::from(u8::from(t))).collect::<Vec<_>>()),
    ) {
        let (x, y) = (input.f64(), input.f64s());
        let used = |isotonic: &Isotonic| {
            assert!(sound("Isotonic::apply", isotonic.apply(x)).is_none_or(f64::is_finite))
        };
        used(&isotonic);
        reread(input, &isotonic, |_, read: Isotonic| used(&read));
        sound("Isotonic::fit", Isotonic::fit(&y, &y)).iter().for_each(used);
    }
    let Some(binary) = sound("Binary::new", Binary::new(&drawn, &predicted)) else { return };
    if let Some(cells) = sound("confusion", confusion(&binary, &truth)) {
        let shares = (
            cells.rows(),
            cells.accuracy(),
            cells.precision(),
            cells.recall(),
            cells.f1(),
            cells.specificity(),
        );
        no_nan("Confusion", &(shares, cells.business_value(&values)));
    }
    let measured = measure_binary(&binary, &truth, &metrics, input.bool().then_some(&values));
    for measurement in sound("measure_binary", measured).unwrap_or_default() {
        no_nan("Measurement", &measurement.standard_error());
    }
    let chunks = reference_chunks(input, rows);
    if let Some(cbpe) = sound("Cbpe::fit", performance::Cbpe::fit(&binary, &truth, &chunks, &options)) {
        let used = |cbpe: &performance::Cbpe| {
            no_nan("Cbpe", &(cbpe.reference(), cbpe.calibration(), cbpe.realised(), cbpe.confusion(&binary)));
            sound("Cbpe::estimate", cbpe.estimate(&binary)).iter().for_each(verdict);
            sound("measure", cbpe.realised().measure(&binary, &truth)).iter().for_each(verdict);
        };
        used(&cbpe);
        reread(input, &cbpe, |_, read: performance::Cbpe| used(&read));
    }
    let how = &options.performance;
    sound("fit", performance::BinaryPerformance::fit(&binary, &truth, &chunks, how));
    let fitted =
        performance::BinaryPerformance::fit_with_values(&binary, &truth, &chunks, how, options.values);
    let Some(fitted) = sound("fit_with_values", fitted) else { return };
    let mut join = LabelJoin::new();
    for row in 0..rows {
        let at = DateTime::from_timestamp(i64::try_from(row).unwrap() * 60, 0).unwrap();
        let id = row.to_string();
        join.predict(&id, at, (drawn[row], predicted[row])).unwrap();
        if input.bool() {
            join.label(&id, at, truth[row]).unwrap();
        }
    }
    let used = |fitted: &performance::BinaryPerformance| {
        let joined = join.between(DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC);
        sound("measure_joined", fitted.measure_joined(&joined)).iter().for_each(verdict);
        no_nan("reference", &fitted.reference());
    };
    used(&fitted);
    reread(input, &fitted, |_, read: performance::BinaryPerformance| used(&read));
}

fn multiclasses(input: &mut Input<'_>) {
    let (options, metrics) = (cbpe_options(input), metrics(input));
    let (rows, classes) = (usize::from(input.byte() % 40), usize::from(input.byte() % 5));
    let mut drawn = scores(input, rows * classes);
    if classes > 0 && input.byte() % 8 != 7 {
        for row in drawn.chunks_mut(classes) {
            let total: f64 = row.iter().sum();
            row.iter_mut()
                .for_each(|score| *score = if total > 0.0 { *score / total } else { 1.0 / classes as f64 });
        }
    }
    let count = u32::try_from(classes.max(1)).unwrap();
    let codes =
        |input: &mut Input<'_>| (0..rows).map(|_| u32::from(input.byte()) % count).collect::<Vec<u32>>();
    let (predicted, mut truth) = (codes(input), codes(input));
    if input.byte() == 17 && rows > 0 {
        truth[0] = u32::MAX;
    }
    sound("Multiclass::new", Multiclass::new(&drawn, input.size(), &predicted));
    let Some(multi) = sound("Multiclass::new", Multiclass::new(&drawn, classes, &predicted)) else { return };
    for measurement in
        sound("measure_multiclass", measure_multiclass(&multi, &truth, &metrics)).unwrap_or_default()
    {
        no_nan("Measurement", &measurement.standard_error());
    }
    let chunks = reference_chunks(input, rows);
    if let Some(cbpe) = sound("fit", performance::MulticlassCbpe::fit(&multi, &truth, &chunks, &options)) {
        let used = |cbpe: &performance::MulticlassCbpe| {
            no_nan("MulticlassCbpe", &(cbpe.reference(), cbpe.calibrations()));
            sound("MulticlassCbpe::estimate", cbpe.estimate(&multi)).iter().for_each(verdict);
            sound("measure", cbpe.realised().measure(&multi, &truth)).iter().for_each(verdict);
        };
        used(&cbpe);
        reread(input, &cbpe, |_, read: performance::MulticlassCbpe| used(&read));
    }
    let fitted = performance::MulticlassPerformance::fit(&multi, &truth, &chunks, &options.performance);
    let Some(fitted) = sound("MulticlassPerformance::fit", fitted) else { return };
    let mut join = LabelJoin::new();
    for row in 0..rows {
        let at = DateTime::from_timestamp(i64::try_from(row).unwrap() * 60, 0).unwrap();
        let mut scores = drawn[row * classes..(row + 1) * classes].to_vec();
        if input.byte() == 5 {
            scores.pop();
        }
        join.predict(&row.to_string(), at, (scores, predicted[row])).unwrap();
        join.label(&row.to_string(), at, truth[row]).unwrap();
    }
    let joined = join.between(DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC);
    sound("measure_joined", fitted.measure_joined(&joined)).iter().for_each(verdict);
    reread(input, &fitted, |_, read: performance::MulticlassPerformance| {
        sound("measure", read.measure(&multi, &truth)).iter().for_each(verdict);
    });
}

fn boosted_trees(input: &mut Input<'_>) -> BoostedTrees {
    BoostedTrees::default()
        .with_trees(usize::from(input.byte() % 6))
        .with_learning_rate(near(input, 0.1))
        .with_leaves(if input.byte() == 9 { input.size() } else { 2 + usize::from(input.byte() % 6) })
        .with_min_leaf_rows(if input.byte() == 9 { input.size() } else { 1 + usize::from(input.byte() % 6) })
        .with_shrinkage(near(input, 1.0))
}

fn regressions(input: &mut Input<'_>) {
    let (options, metrics, trees) = (performance_options(input), metrics(input), boosted_trees(input));
    let (columns, next) = (1 + usize::from(input.byte() % 3), input.byte());
    let next: fn(&mut Input<'_>) -> f64 = match next % 8 {
        0 => |input| input.f64(),
        1..3 => |input| input.real(),
        _ => |input| input.tied(),
    };
    let [predicted, mut truth] = input.two(60, next);
    truth.resize(predicted.len(), 1.0);
    let rows = predicted.len();
    let values: Vec<f64> = (0..rows * columns).map(|_| input.f64()).collect();
    if let Ok(features) = Features::new(&values, input.size()) {
        assert_eq!(features.iter().count(), features.rows());
    }
    let Ok(features) = Features::new(&values, columns) else { return };
    if let Some(forest) = sound("BoostedTrees::fit", trees.fit(&features, &truth)) {
        sound("Forest::predict", forest.predict(&features));
        reread(input, &forest, |_, read: performance::Forest| {
            sound("Forest::predict", read.predict(&features));
        });
    }
    let Some(regression) = sound("Regression::new", Regression::new(&predicted)) else { return };
    for measurement in
        sound("measure_regression", measure_regression(&regression, &truth, &metrics)).unwrap_or_default()
    {
        no_nan("Measurement", &measurement.standard_error());
    }
    let chunks = reference_chunks(input, rows);
    if let Some(dle) =
        sound("fit", performance::Dle::fit(&features, &regression, &truth, &chunks, &options, &trees))
    {
        let used = |dle: &performance::Dle| {
            no_nan("Dle", &(dle.reference(), dle.realised()));
            sound("Dle::estimate", dle.estimate(&features, &regression)).iter().for_each(verdict);
        };
        used(&dle);
        reread(input, &dle, |_, read: performance::Dle| used(&read));
    }
    if input.byte() == 42 {
        sound(
            "fit_boosted",
            performance::Dle::fit_boosted(&features, &regression, &truth, &chunks, &options),
        );
    }
    let fitted = performance::RegressionPerformance::fit(&regression, &truth, &chunks, &options);
    let Some(fitted) = sound("RegressionPerformance::fit", fitted) else { return };
    let mut join = LabelJoin::new();
    for row in 0..rows {
        let at = DateTime::from_timestamp(i64::try_from(row).unwrap() * 60, 0).unwrap();
        join.predict(&row.to_string(), at, predicted[row]).unwrap();
        join.label(&row.to_string(), at, truth[row]).unwrap();
    }
    let joined = join.between(DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC);
    sound("measure_joined", fitted.measure_joined(&joined)).iter().for_each(verdict);
    reread(input, &fitted, |_, read: performance::RegressionPerformance| {
        sound("measure", read.measure(&regression, &truth)).iter().for_each(verdict);
    });
}

// Many columns at once.

#[track_caller]
fn joint<E: Debug + Display>(name: &str, result: Result<multivariate::JointDistance, E>) {
    if let Some(distance) = sound(name, result) {
        probability(name, distance.p.value(), distance.ln_p.value());
    }
}

fn multivariates(input: &mut Input<'_>) {
    let (seed, permutations, rows) =
        (input.word(), u32::from(input.byte() % 6), usize::from(input.byte() % 24));
    let (nan, missing, columns) = (nan_policy(input), missing(input), usize::from(input.byte() % 4));
    let (number, folds, which) = (near(input, 0.8), u32::from(input.byte() % 4), input.byte());
    let next: fn(&mut Input<'_>) -> f64 = match input.byte() % 4 {
        0 => |input| input.f64(),
        1 => |input| input.real(),
        2 => |input| input.tied(),
        _ => |input| f64::from(input.byte()) / 16.0,
    };
    let [mut a, mut b] = input.two(60, next);
    if let Some(rows) = a.len().checked_div(columns) {
        a.truncate(rows * columns);
        b.truncate(b.len() / columns * columns);
    }
    #[expect(clippy::cast_possible_truncation, reason = "any narrow float will do")]
    let narrow: Vec<f32> = b.iter().map(|&value| value as f32).collect();
    sound("auc", auc(&a, &b));
    // A missing value is NaN in a matrix.
    let (Ok(reference), Ok(current)) = (Matrix::new(&a, columns), Matrix::new(&narrow, columns)) else {
        return;
    };
    assert_eq!(reference.iter().count(), reference.rows());
    match which % 7 {
        5 => {
            let options = multivariate::CentroidOptions::new(seed).with_permutations(permutations);
            let options = options.with_max_rows(rows).with_nan(nan);
            joint("centroid_cosine", multivariate::centroid_cosine(&reference, &current, seed));
            joint("centroid_cosine", multivariate::centroid_cosine_with(&reference, &current, &options));
        }
        0 => {
            let options =
                multivariate::EnergyOptions::new(seed).with_permutations(permutations).with_max_rows(rows);
            let beyond =
                if number > 0.5 { multivariate::Beyond::Sample } else { multivariate::Beyond::Refuse };
            let options = options.with_nan(nan).with_beyond(beyond);
            joint("multivariate::energy_with", multivariate::energy_with(&reference, &current, &options));
            joint("multivariate::energy", multivariate::energy(&reference, &current, seed));
        }
        1 => {
            let options =
                multivariate::MmdOptions::new(seed).with_permutations(permutations).with_max_rows(rows);
            let options = options.with_frequencies(folds * 3).with_nan(nan);
            let options = options.with_bandwidth(multivariate::Bandwidth::Fixed(number));
            sound("mmd_with", mmd_with(&reference, &current, &options));
            let options = options.with_bandwidth(multivariate::Bandwidth::Median);
            joint("mmd_with", mmd_with(&reference, &current, &options).map(|mmd| mmd.distance));
            joint("mmd", mmd(&reference, &current, seed).map(|mmd| mmd.distance));
        }
        2 => {
            let options = multivariate::PcaOptions::new(seed).with_permutations(permutations);
            let options = options.with_share(number).with_nan(nan);
            sound("pca_with", multivariate::pca_reconstruction_with(&reference, &current, &options));
            sound("pca", multivariate::pca_reconstruction(&reference, &current, seed));
            if let Some(pca) = sound("Pca::fit", multivariate::Pca::fit(&reference, number)) {
                sound("Pca::errors", pca.errors(&current));
                reread(input, &pca, |_, read: multivariate::Pca| {
                    sound("Pca::errors", read.errors(&current));
                });
            }
        }
        3 => {
            let options = multivariate::SlicedWassersteinOptions::new(seed).with_permutations(permutations);
            let options = options.with_projections(folds * 3).with_max_rows(rows).with_nan(nan);
            let name = "sliced_wasserstein";
            joint(name, multivariate::sliced_wasserstein_with(&reference, &current, &options));
            joint(name, multivariate::sliced_wasserstein_along(&reference, &current, &reference, &options));
            joint(name, multivariate::sliced_wasserstein(&reference, &current, seed));
        }
        _ => {
            let learner = multivariate::Boosting::default()
                .with_rounds(1 + permutations)
                .with_learning_rate(near(input, 0.15))
                .with_depth(1 + folds)
                .with_bins(2 + u32::from(input.byte() % 16))
                .with_min_leaf(u32::from(input.byte() % 4))
                .with_regularisation(near(input, 1.0));
            let options =
                multivariate::DomainClassifierOptions::new(seed).with_folds(folds).with_max_rows(rows);
            let options = options.with_importances(seed % 2 == 0).with_missing(missing);
            let result = multivariate::domain_classifier_with(&reference, &current, &options, &learner);
            if let Some(result) = sound("domain_classifier_with", result) {
                assert_eq!(result.ranked().len(), result.importances.len());
            }
            if which % 32 == 31 {
                sound("domain_classifier", multivariate::domain_classifier(&reference, &current, seed));
            }
        }
    }
}

fn compats(input: &mut Input<'_>) {
    let preset = input.pick(&Preset::ALL);
    let threshold = input.f64();
    let next: fn(&mut Input<'_>) -> f64 = match input.byte() % 3 {
        0 => |input| input.f64(),
        1 => |input| input.real(),
        _ => |input| input.tied(),
    };
    let [one, other] = two_counts(input);
    let [a, b] = input.two(90, next);
    if let Some(verdict) = sound("compat::check", check(preset, &a, &b)) {
        let _ = verdict.with_threshold(threshold);
    }
    sound("compat::check_categories", check_categories(preset, &one, &other));
    sound("nannyml_threshold", nannyml_threshold(&a));
    // Every preset at once, some of them by exact p-values: in small. A refusal may quote the NaN that it refuses.
    let shown = |rows: Vec<Row>| {
        for row in rows {
            assert!(!row.to_string().is_empty() && row.score.is_none_or(|score| !score.is_nan()), "{row}");
        }
    };
    let small = |values: &[f64]| values[..values.len().min(24)].to_vec();
    verdicts(&small(&a), &small(&b)).map_or_else(|error| assert!(!error.to_string().is_empty()), shown);
    let rows = verdicts_of_categories(&one, &other);
    rows.map_or_else(|error| assert!(!error.to_string().is_empty()), shown);
    no_nan("Preset", &(preset.to_string(), preset.direction(), preset.threshold()));
}

// Detectors.

fn detector_options(input: &mut Input<'_>) -> DetectorOptions {
    let (number, category) = if input.byte() % 3 == 2 {
        (input.pick(Method::ALL), input.pick(Method::ALL))
    } else {
        (DetectorOptions::default().numeric, DetectorOptions::default().category)
    };
    let options =
        DetectorOptions::default().with_numeric(number).with_category(category).with_bins(rule(input));
    let options = options.with_also(Method::ALL.iter().copied().filter(|_| input.byte() % 4 == 3));
    let options = options.with_alpha(near(input, 0.01)).with_threads(1).with_cells(usize::from(input.byte()));
    let options = if input.bool() { options.with_min_score(near(input, 0.1)) } else { options };
    options.with_min_rows(u64::from(input.byte() % 8))
}

fn report(detector: &dyn DriftDetector, table: &Table<'_>, at: DateTime<Utc>) {
    let Ok(report) = detector.detect(table, at) else { return };
    assert_eq!(report.features.len(), detector.features().len());
    rendered(&report);
}

fn rendered(report: &mlops_core::monitor::DriftReport) {
    for row in &report.features {
        if let FeatureOutcome::Measured(score) = &row.outcome {
            no_nan("FeatureScore", score);
            assert!(report::moves(score, 3).len() <= 3);
        }
    }
    assert!(!report::text(report).is_empty());
    sound("report::json", report::json(report).map(|json| json.len()));
    let page = report::html(report);
    assert!(!page.contains("NaN"), "a page holds NaN");
    report::html_with(report, &report::HtmlOptions::default().with_title("<&>").with_max_cards(1));
    let policy = Policy::above(0.5).unwrap();
    let (board, changes) = step_report(&policy, &Board::default(), report);
    no_nan("step_report", &(board.alarms().count(), changes));
}

fn decisions(input: &mut Input<'_>) {
    let policy = if input.bool() { Policy::above(share(input)) } else { Policy::below(share(input)) };
    let leave = share(input);
    let Some(policy) = sound("Policy", policy.and_then(|policy| policy.with_leave(leave))) else { return };
    let votes = (u32::from(input.byte() % 8), u32::from(input.byte()));
    let policy = sound("Policy::with_votes", policy.with_votes(votes.0, votes.1)).unwrap_or(policy);
    let policy = policy.with_min_rows(u64::from(input.byte()));
    let mut state = State::default();
    let walk = |input: &mut Input<'_>, policy: &Policy, state: &State| {
        let value = input.bool().then(|| input.f64());
        step(policy, state, &Event::new(time(input), input.count(), value)).0
    };
    for _ in 0..input.byte() % 40 {
        state = walk(input, &policy, &state);
        reread(input, &state, |input, read: State| no_nan("step", &walk(input, &policy, &read)));
    }
    reread(input, &policy, |input, read: Policy| no_nan("step", &walk(input, &read, &state)));
}

fn signals(input: &mut Input<'_>) {
    let [a, mut b] = input.two(20, |input| input.f64());
    if input.byte() != 9 {
        b.resize(a.len(), 0.5);
    }
    sound("attribution", attribution(&a, &b));
    sound("ndcg", ndcg(&a, &b));
    sound("weighted_tau", weighted_tau(&a, &b));
    for persistence in [0.5, 0.9, a.first().copied().unwrap_or(0.0)] {
        if let Some(overlap) = sound("rank_biased_overlap", rank_biased_overlap(&a, &b, persistence)) {
            assert!((0.0..=1.0).contains(&overlap), "rank_biased_overlap: {overlap}");
        }
    }
    let drawn = if input.bool() { Predictions::Value(a) } else { Predictions::Probability(b) };
    if let Ok(table) = predictions(&drawn) {
        assert_eq!(table.columns().len(), 1);
    }
    for limit in [Threshold::above(share(input)), Threshold::below(share(input))] {
        if let Some(limit) = sound("Threshold", limit) {
            limit.judge(input.bool().then(|| input.f64()));
        }
    }
    let lookback = Lookback::last(signal::Span::days(u32::from(input.byte()) << (input.byte() % 24)));
    sound("Lookback::window", lookback.window(time(input)));
    reread(input, &lookback, |input, read: Lookback| {
        sound("Lookback::window", read.window(time(input)));
    });
    let limits = QualityLimits::default()
        .with_missing(share(input))
        .with_type_errors(share(input))
        .with_out_of_bounds(share(input));
    let kinds = kinds(input);
    let reference = table(input, &kinds, 30);
    let current = similar(input, &kinds, 30);
    let at = time(input);
    let Ok(quality) = DataQuality::fit(&reference, limits) else { return };
    no_nan("DataQuality::check", &quality.check(&current, at).broken().count());
    reread(input, &quality, |_, read: DataQuality| {
        for row in read.check(&current, at).features {
            row.verdict();
        }
    });
}

fn detectors(input: &mut Input<'_>) {
    let (kinds, options, at) = (kinds(input), detector_options(input), time(input));
    let method = input.pick(&[
        MultivariateMethod::Pca,
        MultivariateMethod::Mmd,
        MultivariateMethod::Energy,
        MultivariateMethod::SlicedWasserstein,
    ]);
    let joint =
        MultivariateOptions::new(input.word()).with_method(method).with_permutations(19).with_max_rows(20);
    let joint = joint.with_min_rows(u64::from(input.byte() % 12)).with_alpha(near(input, 0.01));
    let reference = table(input, &kinds, 40);
    let current = similar(input, &kinds, 40);
    if let Ok(report) = compare(reference.clone(), current.clone(), &options) {
        rendered(&report);
    }
    if let Ok(report) = compare_at(reference.clone(), current.clone(), &options, at) {
        rendered(&report);
    }
    if let Ok(detector) = Detector::fit(&reference, options) {
        report(&detector, &current, at);
        report(&detector, &reference, at);
        reread(input, &detector, |_, read: Detector| report(&read, &current, at));
    }
    if let Ok(detector) = multivariate::MultivariateDetector::fit(&reference, joint) {
        sound("MultivariateDetector::measure", detector.measure(&current));
        report(&detector, &current, at);
    }
    if let Some(scaler) = sound("Scaler::fit", multivariate::Scaler::fit(&reference)) {
        // Missing values are NaN in a matrix.
        drop(scaler.matrix(&current));
        reread(input, &scaler, |_, read: multivariate::Scaler| {
            drop(read.matrix(&current));
        });
    }
}

/// Inputs to begin with: text of valid states for [`states`], and bytes at random for the others.
pub fn seeds(random: &mut mlops_core::num::Random) -> Vec<(&'static str, Vec<u8>)> {
    let numbers = [0.0, 1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0];
    let table = Table::new(vec![
        Column::f64("x", numbers.to_vec()).unwrap(),
        Column::text("plan", numbers.map(|number| if number > 2.0 { "a" } else { "b" })).unwrap(),
    ])
    .unwrap();
    let bins = Bins::fit(&numbers, BinRule::Quantile(3)).unwrap();
    let options =
        ProfileOptions::default().with_cells(64).with_bins(3).with_distinct(None).with_quantiles(None);
    let reference = Reference::fit_with(&table, &options).unwrap();
    let mut quantiles = QuantileSketch::new(8).unwrap();
    numbers.iter().for_each(|&number| quantiles.push(number));
    let mut distinct = DistinctSketch::new(4).unwrap();
    numbers.iter().for_each(|&number| distinct.push(number));
    let mut frequent = FrequentSketch::new(3).unwrap();
    frequent.push("a", 3);
    let mut join = LabelJoin::<f64, bool>::new();
    join.predict("a", DateTime::UNIX_EPOCH, 0.5).unwrap();
    join.label("a", DateTime::UNIX_EPOCH, true).unwrap();
    let online: [AnyOnlineDetector; 4] = [
        online::Adwin::default().into(),
        online::HddmW::default().into(),
        online::Kswin::new(online::KswinOptions::default().with_window(8).with_recent(4).with_alpha(0.2))
            .unwrap()
            .into(),
        online::Fhddm::new(online::FhddmOptions::default().with_window(8)).unwrap().into(),
    ];
    let online = online.map(|mut detector| {
        (0..20).for_each(|i| assert!(detector.update(f64::from(i % 3 / 2)).is_ok()));
        detector
    });
    let trees = BoostedTrees::default().with_trees(2).with_min_leaf_rows(2);
    let forest = trees.fit(&Features::new(&numbers, 1).unwrap(), &numbers).unwrap();
    let pca = multivariate::Pca::fit(&Matrix::new(&numbers, 2).unwrap(), 0.8).unwrap();
    let every = Cut::Every { length: Duration::from_secs(60), origin: DateTime::UNIX_EPOCH };
    fn text(kind: u8, state: &impl Serialize) -> (&'static str, Vec<u8>) {
        // The kind, a small number, and what is used is drawn from nothing.
        ("states", [&[kind, 3, 1, 0][..], &serde_json::to_vec(state).unwrap()].concat())
    }
    let mut seeds = vec![
        text(0, &bins),
        text(1, &CategoryBins::fit(["a", "b"].map(Some)).unwrap()),
        text(2, &bins.count(&numbers)),
        text(3, &bins.count_weighted(&numbers, &numbers).unwrap()),
        text(4, &reference),
        text(5, reference.baseline()),
        text(6, &quantiles),
        text(7, &distinct),
        text(8, &frequent),
        text(10, &join),
        text(11, &Chunker::new(every)),
        text(12, &Isotonic::fit(&[0.1, 0.4, 0.8], &[0.0, 1.0, 1.0]).unwrap()),
        text(13, &forest),
        text(16, &pca),
        text(17, &Grid::fit(&numbers, 8).unwrap()),
        text(18, &Moments::default()),
        text(19, &multivariate::Scaler::fit(&table).unwrap()),
    ];
    seeds.extend(online.iter().map(|detector| text(9, detector)));
    for &(name, _) in TARGETS.iter().filter(|(name, _)| *name != "states") {
        seeds.push((name, (0..80).flat_map(|_| random.next_u64().to_le_bytes()).collect()));
    }
    seeds
}

// States from nothing but text.

fn states(input: &mut Input<'_>) {
    fn read<T: DeserializeOwned + Serialize>(text: &str) -> Option<T> {
        let read: T = serde_json::from_str(text).ok()?;
        // What was accepted can be written again.
        drop(serde_json::to_string(&read));
        Some(read)
    }
    let (kind, value) = (input.byte() % 20, input.f64());
    let own = input.bool();
    let text = input.rest();
    let mut nothing = Input::new(if own { text.as_bytes() } else { &[] });
    let values = [0.5, value, 1.0, 0.0, 1.0, 1.0];
    match kind {
        0 => read(&text).iter().for_each(|bins: &Bins| use_bins(&mut nothing, bins)),
        1 => read(&text).iter().for_each(|bins: &CategoryBins| use_categories(&mut nothing, bins)),
        2 => read(&text).iter().for_each(|counts: &Counts| {
            no_nan("Counts", &(counts.present().len(), counts.missing(), counts.total()));
        }),
        3 => read(&text).iter_mut().for_each(|masses: &mut Masses| {
            no_nan("Masses", &(masses.as_slice().len(), masses.effective_size(Missing::Cell)));
            let again = masses.clone();
            sound("Masses::merge", masses.merge(&again));
        }),
        4 => read(&text).iter().for_each(|reference: &Reference| {
            let kinds =
                reference.columns().iter().map(|column| (column.name().to_owned(), 1)).collect::<Kinds>();
            ask(reference, reference.baseline(), reference.baseline(), 0.5);
            if !kinds.is_empty() {
                use_reference(&mut nothing, reference, &kinds);
            }
        }),
        5 => read(&text).iter_mut().for_each(|profile: &mut Profile| {
            let again = profile.clone();
            sound("Profile::merge", profile.merge(&again));
            no_nan("Profile", &(profile.rows(), profile.columns()));
        }),
        6 => read(&text).iter_mut().for_each(|sketch: &mut QuantileSketch| {
            use_quantiles(sketch, &QuantileSketch::new(8).unwrap(), value);
        }),
        7 => read(&text).iter_mut().for_each(|sketch: &mut DistinctSketch| {
            use_distinct(sketch, &DistinctSketch::new(4).unwrap(), value);
        }),
        8 => read(&text).iter_mut().for_each(|sketch: &mut FrequentSketch| {
            use_frequent(sketch, &FrequentSketch::new(3).unwrap(), 7);
        }),
        9 => read(&text).iter_mut().for_each(|detector: &mut AnyOnlineDetector| {
            feed(detector, &values);
            detector.reset();
            feed(detector, &values);
        }),
        10 => read(&text).iter_mut().for_each(|join: &mut LabelJoin<f64, bool>| {
            sound(
                "LabelJoin::by_chunk",
                join.by_chunk(&Chunker::new(Cut::Period(Period::Day))).map(|chunks| chunks.len()),
            );
            join.forget_before(DateTime::UNIX_EPOCH);
            no_nan("LabelJoin::counts", &join.counts());
        }),
        11 => read(&text).iter().for_each(|chunker: &Chunker| use_chunker(chunker, &times(&mut nothing))),
        12 => read(&text).iter().for_each(|isotonic: &Isotonic| {
            sound("Isotonic::apply", isotonic.apply(value));
        }),
        13 => read(&text).iter().for_each(|forest: &performance::Forest| {
            for columns in 1..4 {
                sound("Forest::predict", forest.predict(&Features::new(&values, columns).unwrap()));
            }
        }),
        14 => read(&text).iter().for_each(|cbpe: &performance::Cbpe| {
            let binary = Binary::new(&[0.25, 0.75, 1.0], &[false, true, true]).unwrap();
            sound("Cbpe::estimate", cbpe.estimate(&binary)).iter().for_each(verdict);
        }),
        15 => read(&text).iter().for_each(|dle: &performance::Dle| {
            let features = Features::new(&[0.25, f64::NAN], 1).unwrap();
            let rows = Regression::new(&[1.0, 2.0]).unwrap();
            sound("Dle::estimate", dle.estimate(&features, &rows)).iter().for_each(verdict);
        }),
        16 => read(&text).iter().for_each(|pca: &multivariate::Pca| {
            for columns in 1..4 {
                sound(
                    "Pca::errors",
                    pca.errors(&Matrix::new(&[0.5, 2.0, 1.0, 0.0, 1.0, 1.0], columns).unwrap()),
                );
            }
        }),
        17 => read(&text).iter().for_each(|grid: &Grid| {
            no_nan(
                "Grid",
                &(grid.low(), grid.high(), grid.width(), grid.scale(), grid.len(), grid.threshold(1)),
            );
            assert!(grid.index_of(value) < grid.len());
        }),
        18 => drop(read::<Moments>(&text)),
        _ => read(&text).iter().for_each(|scaler: &multivariate::Scaler| {
            drop(scaler.matrix(&Table::new(vec![Column::f64("0", values.to_vec()).unwrap()]).unwrap()));
        }),
    }
}
