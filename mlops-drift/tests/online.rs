//! Streaming detectors: against river, restored against uninterrupted, with the run lengths they were asked for.
//!
//! `reference/online.json` holds what river says about streams that are drawn here again; `reference/online.py` wrote it.

use std::fs;
use std::path::Path;

use mlops_core::num::StatsError;
use mlops_drift::online::{
    Adwin, AdwinOptions, AnyOnlineDetector, Cusum, Ddm, DdmOptions, Direction, Eddm, EddmOptions, Ewma,
    Fhddm, FhddmOptions, HddmA, HddmAOptions, HddmW, HddmWOptions, Kswin, KswinOptions, OnlineDetector,
    OnlineState, PageHinkley, PageHinkleyOptions, Standard,
};
use serde::Deserialize;

/// SplitMix64, as in the script.
struct Mix(u64);

impl Mix {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn level(&mut self) -> f64 {
        (0..4).fold(0.0, |sum, _| sum + self.next()) - 2.0
    }

    fn error(&mut self, rate: f64) -> f64 {
        f64::from(u8::from(self.next() < rate))
    }

    /// Nearly normal: the sum of twelve uniforms.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.next()).ln()
    }
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Stream {
    Errors { seed: u64, segments: Vec<(usize, f64)> },
    Levels { seed: u64, segments: Vec<(usize, f64, f64)> },
}

impl Stream {
    fn values(&self) -> Vec<f64> {
        match self {
            Self::Errors { seed, segments } => {
                let mut mix = Mix(*seed);
                segments.iter().flat_map(|&(n, rate)| vec![rate; n]).map(|rate| mix.error(rate)).collect()
            }
            Self::Levels { seed, segments } => {
                let mut mix = Mix(*seed);
                let each = segments.iter().flat_map(|&(n, shift, scale)| vec![(shift, scale); n]);
                each.map(|(shift, scale)| mix.level() * scale + shift).collect()
            }
        }
    }
}

/// River's options, of all detectors.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    warm_start: Option<u64>,
    warning_threshold: Option<f64>,
    drift_threshold: Option<f64>,
    alpha: Option<f64>,
    beta: Option<f64>,
    drift_confidence: Option<f64>,
    warning_confidence: Option<f64>,
    two_sided_test: bool,
    lambda_val: Option<f64>,
    sliding_window_size: Option<usize>,
    confidence_level: Option<f64>,
    short_window_size: Option<usize>,
    delta: Option<f64>,
    clock: Option<u32>,
    max_buckets: Option<usize>,
    min_window_length: Option<u32>,
    grace_period: Option<u32>,
    threshold: Option<f64>,
    mode: Option<String>,
    min_instances: Option<u64>,
    window_size: Option<usize>,
    stat_size: Option<usize>,
    seed: Option<u64>,
}

#[derive(Deserialize)]
struct Case {
    tool: String,
    detector: String,
    options: Options,
    values: usize,
    stream: Stream,
    drift: Vec<usize>,
    warning: Vec<(usize, usize)>,
    #[serde(default)]
    drift_uncorrected: Option<Vec<usize>>,
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/online.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn like_river(name: &str, river: &Options) -> Result<AnyOnlineDetector, StatsError> {
    Ok(match name {
        "ddm" => {
            let d = DdmOptions::default();
            Ddm::new(
                DdmOptions::default()
                    .with_warm_start(river.warm_start.unwrap_or(d.warm_start))
                    .with_warning(river.warning_threshold.unwrap_or(d.warning))
                    .with_drift(river.drift_threshold.unwrap_or(d.drift)),
            )?
            .into()
        }
        "eddm" => {
            let d = EddmOptions::default();
            Eddm::new(
                EddmOptions::default()
                    .with_warm_start(river.warm_start.unwrap_or(d.warm_start))
                    .with_warning(river.alpha.unwrap_or(d.warning))
                    .with_drift(river.beta.unwrap_or(d.drift)),
            )?
            .into()
        }
        "hddm_a" => {
            let d = HddmAOptions::default();
            HddmA::new(
                HddmAOptions::default()
                    .with_drift(river.drift_confidence.unwrap_or(d.drift))
                    .with_warning(river.warning_confidence.unwrap_or(d.warning))
                    .with_two_sided(river.two_sided_test),
            )?
            .into()
        }
        "hddm_w" => {
            let d = HddmWOptions::default();
            HddmW::new(
                HddmWOptions::default()
                    .with_drift(river.drift_confidence.unwrap_or(d.drift))
                    .with_warning(river.warning_confidence.unwrap_or(d.warning))
                    .with_lambda(river.lambda_val.unwrap_or(d.lambda))
                    .with_two_sided(river.two_sided_test),
            )?
            .into()
        }
        "fhddm" => {
            let d = FhddmOptions::default();
            Fhddm::new(
                FhddmOptions::default()
                    .with_window(river.sliding_window_size.unwrap_or(d.window))
                    .with_short_window(river.short_window_size)
                    .with_delta(river.confidence_level.unwrap_or(d.delta)),
            )?
            .into()
        }
        "adwin" => {
            let d = AdwinOptions::default();
            Adwin::new(
                d.with_delta(river.delta.unwrap_or(d.delta))
                    .with_clock(river.clock.unwrap_or(d.clock))
                    .with_max_buckets(river.max_buckets.unwrap_or(d.max_buckets))
                    .with_min_window(river.min_window_length.unwrap_or(d.min_window))
                    .with_grace_period(river.grace_period.unwrap_or(d.grace_period))
                    .with_restart(true),
            )?
            .into()
        }
        "page_hinkley" => {
            let d = PageHinkleyOptions::default();
            PageHinkley::new(
                d.with_delta(river.delta.unwrap_or(d.delta))
                    .with_threshold(river.threshold.unwrap_or(d.threshold))
                    .with_forgetting(river.alpha.unwrap_or(d.forgetting))
                    .with_min_values(river.min_instances.unwrap_or(d.min_values))
                    .with_direction(match river.mode.as_deref() {
                        Some("up") => Direction::Up,
                        Some("down") => Direction::Down,
                        _ => Direction::Both,
                    }),
            )?
            .into()
        }
        "kswin" => {
            let d = KswinOptions::default();
            Kswin::new(
                d.with_alpha(river.alpha.unwrap_or(d.alpha))
                    .with_window(river.window_size.unwrap_or(d.window))
                    .with_recent(river.stat_size.unwrap_or(d.recent))
                    .with_seed(river.seed.unwrap_or(d.seed))
                    .with_restart(true),
            )?
            .into()
        }
        other => panic!("no detector {other}"),
    })
}

fn run(detector: &mut dyn OnlineDetector, values: &[f64]) -> Vec<OnlineState> {
    values.iter().map(|&value| detector.update(value).unwrap()).collect()
}

fn indices(states: &[OnlineState], wanted: OnlineState) -> Vec<usize> {
    (0..states.len()).filter(|&i| states[i] == wanted).collect()
}

#[test]
fn every_alarm_and_every_warning_is_that_of_river() {
    let cases = cases();
    for case in &cases {
        let mut detector = like_river(&case.detector, &case.options).unwrap();
        let values = case.stream.values();
        let states = run(&mut detector, &values[..case.values]);
        let of = format!("{} {} by {}", case.detector, serde_json::to_string(&detector).unwrap(), case.tool);
        assert_eq!(indices(&states, OnlineState::Drift), case.drift, "{of}");
        let warned: Vec<usize> = case.warning.iter().flat_map(|&(first, last)| first..=last).collect();
        assert_eq!(indices(&states, OnlineState::Warning), warned, "{of}");
    }
    let alarms = |name: &str| -> usize {
        cases.iter().filter(|case| case.detector == name).map(|case| case.drift.len()).sum()
    };
    for name in ["ddm", "eddm", "hddm_a", "hddm_w", "fhddm", "adwin", "page_hinkley", "kswin"] {
        assert!(alarms(name) >= 5, "{name} is compared on {} alarms", alarms(name));
    }
    // What is corrected in river matters: some alarms come at another time without.
    assert!(
        cases.iter().any(|case| case.drift_uncorrected.as_ref().is_some_and(|drift| *drift != case.drift))
    );
}

/// One of each kind, with settings under which the stream of [`stream_for`] gives several alarms.
fn one_of_each() -> Vec<AnyOnlineDetector> {
    let standard = Standard::new(0.1, 0.7).with_clip(4.0);
    let all: Vec<AnyOnlineDetector> = vec![
        Adwin::default().into(),
        PageHinkley::new(PageHinkleyOptions::default().with_standard(standard).with_threshold(20.0))
            .unwrap()
            .into(),
        Cusum::default().into(),
        Ewma::default().into(),
        Kswin::default().into(),
        Ddm::default().into(),
        Eddm::default().into(),
        HddmA::default().into(),
        HddmW::new(HddmWOptions::default().with_two_sided(true)).unwrap().into(),
        Fhddm::new(FhddmOptions::default().with_short_window(25)).unwrap().into(),
    ];
    let mut names: Vec<&str> = all.iter().map(OnlineDetector::definition).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 10);
    all
}

fn takes_errors(detector: &AnyOnlineDetector) -> bool {
    detector.clone().update(0.5).is_err() || detector.clone().update(7.0).is_err()
}

/// Stable, changed, and back, in units the detector takes.
fn stream_for(detector: &AnyOnlineDetector, n: usize, seed: u64) -> Vec<f64> {
    let (mut mix, errors) = (Mix(seed), takes_errors(detector));
    let mut value = |i: usize| {
        let changed = i / 700 % 2 == 1;
        if errors {
            mix.error(if changed { 0.6 } else { 0.1 })
        } else {
            mix.normal() + if changed { 2.0 } else { 0.0 }
        }
    };
    (0..n).map(&mut value).collect()
}

#[test]
fn a_restored_detector_goes_on_as_if_it_had_never_stopped() {
    for mut detector in one_of_each() {
        let values = stream_for(&detector, 3500, 21);
        let mut restored = detector.clone();
        let mut alarms = 0;
        for (i, &value) in values.iter().enumerate() {
            // At odd intervals, so that restores meet alarms, warnings and half-full windows.
            if i % 37 == 5 || (690..760).contains(&i) {
                let text = serde_json::to_string(&restored).unwrap();
                restored = serde_json::from_str(&text).unwrap();
                assert_eq!(text, serde_json::to_string(&restored).unwrap());
            }
            let state = detector.update(value).unwrap();
            alarms += usize::from(state.is_drift());
            assert_eq!(restored.update(value).unwrap(), state, "{} at {i}", detector.definition());
        }
        assert_eq!(serde_json::to_string(&restored).unwrap(), serde_json::to_string(&detector).unwrap());
        assert_eq!(restored, detector);
        assert!(alarms >= 2, "{} alarmed {alarms} times", detector.definition());
    }
}

#[test]
fn an_update_allocates_nothing() {
    for mut detector in one_of_each() {
        let values = stream_for(&detector, 20_000, 22);
        let mut alarms = 0;
        let counted = allocation_counter::measure(|| {
            for &value in &values {
                alarms += u32::from(detector.update(value).is_ok_and(OnlineState::is_drift));
            }
            alarms += u32::from(detector.update(f64::NAN).is_ok());
            detector.reset();
        });
        assert_eq!(counted.count_total, 0, "{}", detector.definition());
        assert!(alarms > 0);
    }
}

#[test]
fn a_value_that_is_refused_changes_nothing() {
    for mut detector in one_of_each() {
        let values = stream_for(&detector, 900, 23);
        for (i, &value) in values.iter().enumerate() {
            if i % 50 == 17 {
                let before = serde_json::to_string(&detector).unwrap();
                for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                    let refused = detector.update(bad).unwrap_err();
                    assert!(
                        matches!(refused, StatsError::NotFinite { argument: "value", index, .. } if index == i),
                        "{refused}"
                    );
                }
                if takes_errors(&detector) {
                    for bad in [-1.0, 2.0, 1e300] {
                        detector.update(bad).unwrap_err();
                    }
                }
                assert_eq!(serde_json::to_string(&detector).unwrap(), before);
            }
            detector.update(value).unwrap();
            assert_eq!(detector.seen(), i as u64 + 1);
        }
    }
}

#[test]
fn values_of_any_size_neither_panic_nor_poison() {
    let extreme = [1e100, -1e100, 1e-320, -0.0, 1e300, f64::MAX, 5e-324];
    for fresh in one_of_each().into_iter().filter(|detector| !takes_errors(detector)) {
        let mut detector = fresh.clone();
        for i in 0..5000 {
            let _ = detector.update(extreme[i % extreme.len()]);
        }
        // The text has no null, which is what a NaN would be written as, and what is refused on the way back.
        let text = serde_json::to_string(&detector).unwrap();
        let restored: AnyOnlineDetector = serde_json::from_str(&text).unwrap();
        assert_eq!(restored, detector);
        detector.reset();
        assert_eq!(serde_json::to_string(&detector).unwrap(), serde_json::to_string(&fresh).unwrap());
    }
}

#[test]
fn a_reset_detector_is_a_new_one() {
    for fresh in one_of_each() {
        let mut used = fresh.clone();
        let values = stream_for(&fresh, 2000, 24);
        run(&mut used, &values);
        used.reset();
        assert_eq!(used.seen(), 0);
        assert_eq!(run(&mut used, &values), run(&mut fresh.clone(), &values), "{}", fresh.definition());
    }
}

#[test]
fn a_state_of_another_version_is_refused() {
    for mut detector in one_of_each() {
        let values = stream_for(&detector, 300, 25);
        run(&mut detector, &values);
        let text = serde_json::to_string(&detector).unwrap();
        assert!(text.contains("\"version\":1"), "{text}");
        let newer = text.replace("\"version\":1", "\"version\":2");
        let refused = serde_json::from_str::<AnyOnlineDetector>(&newer).unwrap_err();
        assert!(refused.to_string().contains("version 2"), "{refused}");
    }
}

/// Every number of a state, replaced: refused, or a detector that still takes values.
#[test]
fn a_tampered_state_never_panics() {
    for mut detector in one_of_each() {
        let values = stream_for(&detector, 250, 26);
        run(&mut detector, &values);
        let text = serde_json::to_string(&detector).unwrap();
        let starts: Vec<usize> = text
            .char_indices()
            .filter(|&(i, c)| {
                (c.is_ascii_digit() || c == '-') && matches!(text.as_bytes()[i - 1], b':' | b'[' | b',')
            })
            .map(|(i, _)| i)
            .collect();
        // Windows hold many values alike: the first and the last numbers are the interesting ones.
        for &start in starts.iter().take(40).chain(starts.iter().rev().take(40)) {
            let end = start + text[start..].find([',', ']', '}']).unwrap();
            for other in ["0", "1", "-1", "31", "1000000000000", "18446744073709551615", "1e99", "-1e308"] {
                let tampered = format!("{}{other}{}", &text[..start], &text[end..]);
                if let Ok(mut read) = serde_json::from_str::<AnyOnlineDetector>(&tampered) {
                    for &value in &values {
                        let _ = read.update(value);
                    }
                }
            }
        }
    }
}

/// Values per false alarm, on streams four times as long as the run length that is wanted.
fn achieved(detector: &mut dyn OnlineDetector, arl: f64, mut draw: impl FnMut(&mut Mix) -> f64) -> f64 {
    let mut mix = Mix(977);
    #[expect(clippy::cast_sign_loss, reason = "a run length is positive")]
    let (streams, length) = (60, (arl * 4.0) as u32);
    let mut alarms = 0;
    for _ in 0..streams {
        detector.reset();
        for _ in 0..length {
            alarms += u32::from(detector.update(draw(&mut mix)).unwrap().is_drift());
        }
    }
    f64::from(streams * length) / f64::from(alarms.max(1))
}

#[track_caller]
fn within(got: f64, arl: f64, factor: f64, of: &str) {
    println!("{of}: {got:.0} values for a false alarm, {arl} wanted");
    assert!(
        got >= arl / factor && got <= arl * factor,
        "{of}: {got} is not {arl} within a factor of {factor}"
    );
}

#[test]
fn charts_have_the_run_length_that_was_asked_for_on_columns_of_any_scale_and_skew() {
    const ARL: f64 = 400.0;
    let mut mix = Mix(31);
    type Draw = fn(&mut Mix) -> f64;
    // A column of two values gives a chart few sums, and the run length jumps from one to the next.
    let columns: [(&str, f64, Draw); 3] = [
        ("normal, in millions", 1.5, |mix| 1e9 + 1e6 * mix.normal()),
        ("exponential", 1.5, |mix| 1e-3 * mix.exponential()),
        ("ten per cent errors", 2.5, |mix| mix.error(0.1)),
    ];
    for (name, factor, draw) in columns {
        let reference: Vec<f64> = (0..8000).map(|_| draw(&mut mix)).collect();
        let mut cusum = Cusum::for_run_length(ARL, 1.0, &reference).unwrap();
        within(achieved(&mut cusum, ARL, draw), ARL, factor, &format!("CUSUM, {name}"));
        let mut ewma = Ewma::for_run_length(ARL, 0.1, &reference).unwrap();
        within(achieved(&mut ewma, ARL, draw), ARL, factor, &format!("EWMA, {name}"));
        let mut hinkley = PageHinkley::for_run_length(ARL, 1.0, &reference).unwrap();
        within(achieved(&mut hinkley, ARL, draw), ARL, factor, &format!("Page-Hinkley, {name}"));
    }
}

#[test]
fn a_page_hinkley_test_with_a_known_mean_is_a_cusum_chart() {
    let mut mix = Mix(32);
    let reference: Vec<f64> = (0..1000).map(|_| mix.normal()).collect();
    let mut cusum = Cusum::for_run_length(100.0, 1.0, &reference).unwrap();
    let mut hinkley = PageHinkley::for_run_length(100.0, 1.0, &reference).unwrap();
    let values: Vec<f64> = (0..5000).map(|_| mix.normal()).collect();
    let alarms = run(&mut cusum, &values);
    assert_eq!(run(&mut hinkley, &values), alarms);
    assert!(indices(&alarms, OnlineState::Drift).len() > 20);
}

#[test]
fn simulated_settings_have_the_run_length_that_was_asked_for() {
    const ARL: f64 = 300.0;
    let rate = 0.2;
    let error = |mix: &mut Mix| mix.error(rate);
    within(achieved(&mut Ddm::for_run_length(ARL, rate, 1).unwrap(), ARL, error), ARL, 1.5, "DDM");
    within(achieved(&mut Eddm::for_run_length(ARL, rate, 1).unwrap(), ARL, error), ARL, 1.5, "EDDM");
    within(achieved(&mut HddmA::for_run_length(ARL, rate, 1).unwrap(), ARL, error), ARL, 1.5, "HDDM-A");
    within(achieved(&mut HddmW::for_run_length(ARL, rate, 1).unwrap(), ARL, error), ARL, 1.5, "HDDM-W");
}

#[test]
fn settings_with_steps_have_at_least_the_run_length_that_was_asked_for() {
    const ARL: f64 = 300.0;
    // The bounds of a factor of 4 above and of chance below.
    let enough = |got: f64, of: &str| {
        println!("{of}: {got:.0} values for a false alarm, {ARL} wanted");
        assert!((ARL / 1.2..=ARL * 4.5).contains(&got), "{of}: {got}");
    };
    let mut fhddm = Fhddm::for_run_length(ARL, 0.2, 1).unwrap();
    enough(achieved(&mut fhddm, ARL, |mix| mix.error(0.2)), "FHDDM");
    let mut kswin = Kswin::for_run_length(ARL, 60, 20, 1).unwrap();
    enough(achieved(&mut kswin, ARL, Mix::exponential), "KSWIN");
}

#[test]
fn adwin_has_the_run_length_that_was_asked_for_on_a_column_of_any_scale() {
    const ARL: f64 = 1500.0;
    let mut mix = Mix(33);
    let draw = |mix: &mut Mix| 5e6 + 1e5 * mix.normal();
    let reference: Vec<f64> = (0..4000).map(|_| draw(&mut mix)).collect();
    let mut adwin = Adwin::for_run_length(ARL, &reference, 1).unwrap();
    within(achieved(&mut adwin, ARL, draw), ARL, 1.6, "ADWIN");
}

#[test]
fn a_run_length_out_of_reach_is_refused() {
    let reference: Vec<f64> = (0..100).map(f64::from).collect();
    for arl in [f64::NAN, -1.0, 1.0, f64::INFINITY] {
        let refused = [
            Cusum::for_run_length(arl, 1.0, &reference).err(),
            Ewma::for_run_length(arl, 0.1, &reference).err(),
            Adwin::for_run_length(arl, &reference, 1).err(),
            Ddm::for_run_length(arl, 0.1, 1).err(),
            Kswin::for_run_length(arl, 100, 30, 1).err(),
        ];
        for error in refused {
            assert!(matches!(error, Some(StatsError::Parameter { parameter: "arl", .. })), "{error:?}");
        }
    }
    assert!(Cusum::for_run_length(500.0, 0.0, &reference).is_err());
    assert!(HddmA::for_run_length(500.0, 1.0, 1).is_err());
    assert!(Ewma::for_run_length(500.0, 0.1, &[f64::NAN; 20]).is_err());
}
