//! The targets: arguments drawn from the input, and every public entry point called with them.

mod calibration;
mod classification;
mod compare;
mod fairness;
mod forecast;
mod ranking;
mod regression;
mod scores;
mod slice;

use std::fmt::{Debug, Display};

use mlops_core::conformance::fuzz::{Input, Target, no_nan, sound};
use mlops_core::num::StatsError;
use mlops_eval::interval::Interval;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Every target with its name, which is that of its corpus.
pub const TARGETS: &[Target] = &[
    ("labels", classification::labels),
    ("matrices", classification::matrices),
    ("multilabel", classification::multilabel),
    ("top_k", classification::top_k),
    ("scores", scores::scores),
    ("score_states", scores::states),
    ("multiclass_scores", scores::multiclass),
    ("calibration", calibration::calibration),
    ("calibration_bins", calibration::bins),
    ("regression", regression::regression),
    ("regression_states", regression::states),
    ("forecast", forecast::forecast),
    ("forecast_states", forecast::states),
    ("ranking", ranking::ranking),
    ("intervals", compare::intervals),
    ("paired", compare::paired_models),
    ("differences", compare::of_differences),
    ("sample_sizes", compare::sample_sizes),
    ("groups", fairness::groups),
    ("frames", fairness::frames),
    ("disparities", fairness::disparities),
    ("inequality", fairness::inequality),
    ("mitigation", fairness::mitigation),
    ("slices", slice::slices),
    ("cohorts", slice::cohorts),
];

/// An answer, which measures no infinity.
#[track_caller]
pub fn plain<T: Debug>(name: &str, answer: T) -> T {
    no_nan(name, &answer);
    let text = format!("{answer:?}");
    assert!(!text.contains("Value(inf") && !text.contains("Value(-inf"), "{name} answers {text}");
    answer
}

/// An answer, which measures no infinity, or an error that says something.
#[track_caller]
pub fn answer<T: Debug, E: Debug + Display>(name: &str, result: Result<T, E>) -> Option<T> {
    sound(name, result).map(|answer| plain(name, answer))
}

/// An interval whose ends are in order.
#[track_caller]
pub fn ordered<E: Debug + Display>(name: &str, result: Result<Interval, E>) {
    if let Some(interval) = sound(name, result) {
        assert!(interval.lower <= interval.upper, "{name} has its interval turned round: {interval:?}");
    }
}

/// Calls functions that answer or refuse: `answers!(ece(y, p), mce(y, p))`.
macro_rules! answers {
    ($($function:ident($($argument:expr),* $(,)?)),+ $(,)?) => {
        $( $crate::targets::answer(stringify!($function), $function($($argument),*)); )+
    };
}
pub(crate) use answers;

/// Rows of every kind of truth and prediction.
#[derive(Debug)]
pub struct Rows {
    pub y: Vec<bool>,
    pub p: Vec<bool>,
    pub scores: Vec<f64>,
    pub shares: Vec<f64>,
    pub weights: Vec<f64>,
    pub codes: Vec<u32>,
    pub guesses: Vec<u32>,
    pub truth: Vec<f64>,
    pub forecast: Vec<f64>,
}

/// How the numbers of some rows are spread.
pub fn number(input: &mut Input<'_>, kind: u8) -> f64 {
    match kind % 4 {
        0 => input.f64(),
        1 => input.tied(),
        2 => f64::from(input.byte()) / 16.0,
        _ => input.real(),
    }
}

pub fn share(input: &mut Input<'_>) -> f64 {
    f64::from(input.byte()) / 255.0
}

/// Most often what is right, now and then anything.
pub fn near(input: &mut Input<'_>, right: f64) -> f64 {
    match input.byte() % 8 {
        0 => input.f64(),
        1 => share(input),
        _ => right,
    }
}

pub fn rows(input: &mut Input<'_>) -> Rows {
    let (len, kind, levels) = (input.below(40), input.byte(), 1 + u32::from(input.byte() % 4));
    let (hostile, heavy) = (input.byte().is_multiple_of(4), input.byte() % 4);
    let mut rows = Rows {
        y: vec![],
        p: vec![],
        scores: vec![],
        shares: vec![],
        weights: vec![],
        codes: vec![],
        guesses: vec![],
        truth: vec![],
        forecast: vec![],
    };
    while rows.y.len() < len && !input.is_empty() {
        rows.y.push(input.bool());
        rows.p.push(input.bool());
        rows.scores.push(number(input, kind));
        rows.shares.push(if hostile { input.f64() } else { share(input) });
        rows.weights.push(match heavy {
            0 => input.f64(),
            1 => input.real().abs(),
            _ => f64::from(input.byte() % 4),
        });
        rows.codes.push(u32::from(input.byte()) % (levels + u32::from(hostile)));
        rows.guesses.push(u32::from(input.byte()) % levels);
        rows.truth.push(number(input, kind / 4));
        rows.forecast.push(number(input, kind / 4));
    }
    if input.byte() == 7 {
        rows.y.pop();
    }
    rows
}

/// A matrix of `rows` rows of probabilities that sum to 1, or that do not.
pub fn probabilities(input: &mut Input<'_>, rows: usize, classes: usize) -> Vec<f64> {
    let mut matrix = vec![];
    for _ in 0..rows {
        let row: Vec<f64> = (0..classes).map(|_| f64::from(input.byte())).collect();
        let total: f64 = row.iter().sum();
        let hostile = input.byte() == 255;
        matrix.extend(row.iter().map(|value| match (total > 0.0, hostile) {
            (true, false) => value / total,
            (false, false) => 1.0 / classes as f64,
            _ => input.f64(),
        }));
    }
    matrix
}

/// A state whose sums overflowed is not written, and says so.
fn written<T: Serialize>(name: &str, state: &T) -> Result<String, String> {
    serde_json::to_string(state).map_err(|error| {
        let text = error.to_string();
        assert!(text.contains("overflow"), "{name} cannot be written: {text}");
        text
    })
}

/// Written, read again, and spoilt: what is read back is the same, and what is accepted answers.
pub fn reread<T: Serialize + DeserializeOwned>(
    input: &mut Input<'_>,
    name: &str,
    state: &T,
    ask: impl Fn(&T),
) {
    ask(state);
    let Ok(text) = written(name, state) else { return };
    let read: T = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error} in {text}"));
    assert_eq!(written(name, &read).as_ref(), Ok(&text), "{name} changes when it is read");
    let value = serde_json::from_str(&text).unwrap();
    for _ in 0..3 {
        let spoilt = input.json(&value).to_string();
        let Ok(read) = serde_json::from_str::<T>(&spoilt) else { continue };
        ask(&read);
        let text = written(name, &read).unwrap_or_else(|error| panic!("{name}: {error} in {spoilt}"));
        let again: T =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error} in {text}"));
        assert_eq!(written(name, &again).as_ref(), Ok(&text), "{name} changes when it is read");
    }
    if input.byte().is_multiple_of(16)
        && let Ok(read) = serde_json::from_str::<T>(&input.rest())
    {
        ask(&read);
    }
}

/// States that merge: with themselves, with each other, and with what was read from spoilt text. A merge that is refused
/// changes nothing.
pub fn mergeable<T: Clone + Serialize + DeserializeOwned>(
    input: &mut Input<'_>,
    name: &str,
    states: &[T],
    merge: impl Fn(&mut T, &T) -> Result<(), StatsError>,
    ask: impl Fn(&T),
) {
    let join = |into: &T, from: &T| {
        let mut merged = into.clone();
        match merge(&mut merged, from) {
            Ok(()) => ask(&merged),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert_eq!(written(name, &merged), written(name, into), "{name}: a refused merge changed it");
            }
        }
    };
    for state in states {
        reread(input, name, state, |read| {
            ask(read);
            join(read, read);
            join(state, read);
            join(read, state);
        });
    }
}
