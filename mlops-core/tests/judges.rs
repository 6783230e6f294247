//! The rollout's judges: against references from SciPy and mpmath (`tests/reference/make_judges.py`), and by simulation with fixed
//! seeds: how often a good candidate is called bad when it is looked at again and again, and how soon a bad one is found.

use mlops_core::deploy::rollout::GuardVerdict::{self, Fail, Inconclusive, NoData, Pass};
use mlops_core::deploy::rollout::judge::*;
use mlops_core::num::special::Binomial;
use mlops_core::num::{Random, StatsError};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    shifts: Vec<ShiftCase>,
    kayenta: Vec<KayentaCase>,
    mixtures: Vec<(u64, u64, f64, f64)>,
    intervals: Vec<(u64, u64, f64, f64, f64)>,
    differences: Vec<(u64, u64, u64, u64, f64, f64, f64)>,
    half_normals: Vec<(f64, f64, f64, f64)>,
    bounded: Vec<BoundedCase>,
}

#[derive(Deserialize)]
struct ShiftCase {
    x: Vec<f64>,
    y: Vec<f64>,
    z: f64,
    low: f64,
    high: f64,
    estimate: f64,
    z_at: Vec<(f64, f64)>,
}

#[derive(Deserialize)]
struct KayentaCase {
    candidate: Vec<Option<f64>>,
    stable: Vec<f64>,
    options: Kayenta,
    class: Classification,
    low: Option<f64>,
    high: Option<f64>,
    effect: Option<f64>,
}

#[derive(Deserialize)]
struct BoundedCase {
    candidate: Vec<f64>,
    stable: Vec<f64>,
    margin: f64,
    beyond: f64,
    within: f64,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("reference/judges.json")).unwrap()
}

fn close(found: f64, expected: f64, tolerance: f64) -> bool {
    (found - expected).abs() <= tolerance * expected.abs().max(1.0)
}

fn count(events: u64, trials: u64) -> Count {
    Count::new(events, trials).unwrap()
}

fn counts(candidate: (u64, u64), stable: (u64, u64)) -> Observations {
    Observations::Counts { candidate: count(candidate.0, candidate.1), stable: count(stable.0, stable.1) }
}

// ── references ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/// SciPy 1.17.1's `rankdata` and `brentq` on the published formula; z agrees with `mannwhitneyu(method="asymptotic")`.
#[test]
fn the_rank_shift_is_that_of_the_published_formula() {
    for case in reference().shifts {
        let shift = rank_shift(&case.x, &case.y, 0.98).unwrap();
        assert!(close(shift.z, case.z, 1e-12), "{shift:?} {}", case.z);
        assert!(close(shift.low, case.low, 1e-9) && close(shift.high, case.high, 1e-9), "{shift:?}");
        // Between two differences z may be 0 all the way: the reference's root lies somewhere there, ours in its middle.
        let at = |mu: f64| {
            let moved: Vec<f64> = case.x.iter().map(|x| x - mu).collect();
            rank_shift(&moved, &case.y, 0.98).unwrap().z
        };
        assert!(at(shift.estimate - 1e-6) >= 0.0 && at(shift.estimate + 1e-6) <= 0.0, "{shift:?}");
        assert!(
            close(shift.estimate, case.estimate, 1e-9)
                || at(f64::midpoint(shift.estimate, case.estimate)) == 0.0
        );
        for (mu, z) in case.z_at {
            assert!(close(at(mu), z, 1e-12), "{mu}: {} {z}", at(mu));
        }
    }
}

#[test]
fn kayentas_classes_are_kayentas() {
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    let cases = reference().kayenta;
    for (number, case) in cases.iter().enumerate() {
        let candidate: Vec<f64> = case.candidate.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
        let (class, finding) = case.options.classify(&candidate, &case.stable).unwrap();
        assert_eq!(class, case.class, "case {number}: {finding}");
        for (name, expected) in [("low", case.low), ("high", case.high), ("effect", case.effect)] {
            if let Some(expected) = expected {
                assert!(close(finding.numbers[name], expected, 1e-9), "case {number}, {name}: {finding:?}");
            }
        }
        *seen.entry(format!("{class:?}")).or_default() += 1;
    }
    println!("{} cases: {seen:?}", cases.len());
    assert_eq!(seen.len(), 5, "{seen:?}");
}

/// mpmath 1.4.1 with 40 digits.
#[test]
fn the_evidence_about_proportions_is_the_integral() {
    let reference = reference();
    for (s, n, p, expected) in reference.mixtures {
        let found = proportion_evidence(&count(s, n), p).unwrap();
        assert!(close(found, expected, 1e-11), "{s} of {n} at {p}: {found} {expected}");
    }
    for (s, n, alpha, low, high) in reference.intervals {
        let found = proportion_interval(&count(s, n), alpha).unwrap();
        assert!(
            close(found.0, low, 1e-9) && close(found.1, high, 1e-9),
            "{s} of {n}: {found:?} {low} {high}"
        );
    }
    for (s, n, t, k, margin, beyond, within) in reference.differences {
        let finding = Proportions::new(margin).judge(&counts((s, n), (t, k)), Evidence::default()).unwrap();
        let found = Evidence::of(&finding);
        assert!(
            close(found.beyond, beyond, 1e-7) && close(found.within, within, 1e-7),
            "{found:?} {beyond} {within}"
        );
    }
}

#[test]
fn the_evidence_about_means_is_the_integral() {
    for (excess, variance, scale, expected) in reference().half_normals {
        // Two values a side: each version's variance is 2a², that of the difference too.
        let a = (variance / 2.0_f64).sqrt();
        let seen = Observations::values(vec![excess - a, excess + a], vec![-a, a]);
        let judge = Means::new(0.0, scale).with_min_samples(2);
        let found = Evidence::of(&judge.judge(&seen, Evidence::default()).unwrap());
        assert!(
            close(found.beyond, expected, 1e-9),
            "{excess} {variance} {scale}: {} {expected}",
            found.beyond
        );
        let other = judge.with_direction(Direction::Decrease);
        let mirrored = Evidence::of(&other.judge(&seen, Evidence::default()).unwrap());
        assert!(close(mirrored.within, expected, 1e-9));
    }
}

#[test]
fn the_bets_on_bounded_means_are_placed_as_published() {
    for case in reference().bounded {
        let judge = BoundedMeans::new(0.0, 1.0, case.margin);
        let seen = Observations::values(case.candidate, case.stable);
        let found = Evidence::of(&judge.judge(&seen, Evidence::default()).unwrap());
        assert!(close(found.beyond, case.beyond, 1e-9), "{found:?} {}", case.beyond);
        assert!(close(found.within, case.within, 1e-9), "{found:?} {}", case.within);
    }
}

// ── rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_threshold_is_met_at_the_limit_and_never_by_nothing() {
    let values = |c: &[f64], s: &[f64]| Observations::values(c.to_vec(), s.to_vec());
    let most = Threshold::at_most(2.0);
    for (judge, seen, expected, rule) in [
        (most, values(&[1.0, 3.0], &[]), Pass, "threshold.limit"),
        (most, values(&[1.0, 3.1], &[]), Fail, "threshold.limit"),
        (Threshold::at_least(2.0), values(&[1.0, 3.0], &[]), Pass, "threshold.limit"),
        (Threshold::at_least(2.0), values(&[1.0, 2.9], &[]), Fail, "threshold.limit"),
        (most, values(&[], &[1.0]), NoData, "threshold.no_data"),
        (most.with_against(Against::Ratio), values(&[4.0], &[]), NoData, "threshold.no_data"),
        (most.with_against(Against::Ratio), values(&[4.0], &[2.0]), Pass, "threshold.limit"),
        (most.with_against(Against::Ratio), values(&[4.0], &[0.0]), Inconclusive, "threshold.undefined"),
        (most.with_against(Against::Difference), values(&[4.0], &[1.9]), Fail, "threshold.limit"),
        (
            most.with_against(Against::Difference),
            values(&[1e308], &[-1e308]),
            Inconclusive,
            "threshold.undefined",
        ),
        (
            most.with_statistic(Statistic::Quantile(0.5)),
            values(&[1.0, 2.0, 90.0], &[]),
            Pass,
            "threshold.limit",
        ),
        (Threshold::at_most(0.1), counts((1, 10), (0, 0)), Pass, "threshold.limit"),
        (Threshold::at_most(0.1), counts((2, 10), (0, 0)), Fail, "threshold.limit"),
    ] {
        let finding = judge.judge(&seen).unwrap();
        assert_eq!(
            (finding.verdict, finding.rule.as_str()),
            (expected, rule),
            "{judge:?} {seen:?}: {finding}"
        );
    }
}

#[test]
fn a_margin_of_the_metric_is_not_a_share_of_the_shift() {
    let mut random = Random::new(5);
    let stable: Vec<f64> = (0..400).map(|_| 100.0 + random.next_f64() * 10.0).collect();
    let moved = |by: f64| -> Vec<f64> { stable.iter().rev().map(|v| v + by + 1e-3).collect() };
    let kayenta = |by| Kayenta::default().classify(&moved(by), &stable).unwrap().0;
    let margin = |direction, by| {
        let seen = Observations::values(moved(by), stable.clone());
        MannWhitney::new(direction, 0.05).judge(&seen).unwrap().verdict
    };
    // 2 of 105 are a shift that is certain: Kayenta calls it high; five per cent of the median allow it.
    assert_eq!((kayenta(2.0), margin(Direction::Increase, 2.0)), (Classification::High, Pass));
    assert_eq!((kayenta(9.0), margin(Direction::Increase, 9.0)), (Classification::High, Fail));
    assert_eq!((margin(Direction::Decrease, 9.0), margin(Direction::Either, -9.0)), (Pass, Fail));
    assert_eq!((margin(Direction::Either, 0.0), margin(Direction::Decrease, -9.0)), (Pass, Fail));
    // Three values a side cannot show anything, whatever they are.
    let few = Observations::values(vec![9e9; 3], vec![1.0, 2.0, 3.0]);
    let judge = MannWhitney::new(Direction::Increase, 0.05);
    assert_eq!(judge.judge(&few).unwrap().verdict, Inconclusive);
    assert_eq!(judge.with_pass_unless_shown().judge(&few).unwrap().verdict, Pass);
}

#[test]
fn a_score_weighs_groups_and_falls_with_a_critical_metric() {
    use Classification as C;
    let metric = |group: &str, class| ClassifiedMetric::new(format!("{group}-{class:?}"), group, class);
    let options = ScoreOptions::new(90.0, 70.0).with_weight("a", 50.0);
    for (metrics, total, verdict, rule) in [
        (vec![metric("a", C::Pass), metric("b", C::Pass), metric("c", C::Pass)], 100.0, Pass, "score.pass"),
        (
            vec![metric("a", C::Pass), metric("b", C::High), metric("c", C::Pass)],
            75.0,
            Inconclusive,
            "score.marginal",
        ),
        (vec![metric("a", C::Low), metric("b", C::Pass), metric("c", C::Pass)], 50.0, Fail, "score.fail"),
        (vec![metric("a", C::Pass), metric("b", C::NodataFailMetric)], 50.0, Fail, "score.fail"),
        (vec![metric("a", C::Pass), metric("b", C::Nodata)], 50.0, Fail, "score.nodata"),
        (
            vec![metric("a", C::Pass), metric("b", C::High).with_critical(), metric("c", C::Pass)],
            0.0,
            Fail,
            "score.critical",
        ),
        (Vec::new(), 0.0, NoData, "score.no_data"),
    ] {
        let found = score(&metrics, &options).unwrap();
        assert_eq!((found.total, found.finding.verdict), (total, verdict), "{}", found.finding);
        assert_eq!(found.finding.rule, rule);
    }
    for bad in [
        ScoreOptions::new(101.0, 70.0),
        ScoreOptions::new(70.0, 80.0),
        ScoreOptions::new(f64::NAN, 0.0),
        options.clone().with_weight("b", 51.0),
        options.with_weight("b", -1.0),
    ] {
        assert!(matches!(score(&[], &bad), Err(StatsError::Parameter { .. })), "{bad:?}");
    }
}

#[test]
fn what_cannot_be_judged_is_refused_by_name() {
    let nan = Observations::values(vec![1.0, f64::NAN], vec![1.0]);
    let none = Evidence::default();
    let judges: [Judge; 5] = [
        Threshold::at_most(1.0).into(),
        MannWhitney::new(Direction::Either, 0.1).into(),
        Means::new(0.0, 1.0).with_min_samples(2).into(),
        BoundedMeans::new(0.0, 1.0, 0.0).into(),
        Proportions::new(0.0).into(),
    ];
    for judge in &judges[..4] {
        let error = judge.judge(&nan, none).unwrap_err();
        assert_eq!(error, StatsError::Nan { argument: "candidate", index: 1 }, "{judge:?}");
    }
    assert!(matches!(
        judges[4].judge(&nan, none),
        Err(StatsError::OutOfRange { argument: "candidate", index: 1, .. })
    ));
    let beyond = Observations::values(vec![0.5], vec![0.5, 1.5]);
    assert!(matches!(
        judges[3].judge(&beyond, none),
        Err(StatsError::OutOfRange { argument: "stable", index: 1, .. })
    ));
    let far = Observations::values(vec![f64::MAX; 3], vec![f64::MIN; 3]);
    assert!(matches!(judges[1].judge(&far, none), Err(StatsError::Overflow { .. })));
    for (bad, parameter) in [
        (Judge::from(Threshold::at_most(f64::NAN)), "limit"),
        (Threshold::at_most(0.0).with_statistic(Statistic::Quantile(1.5)).into(), "quantile"),
        (MannWhitney::new(Direction::Either, -0.1).into(), "margin"),
        (MannWhitney::new(Direction::Either, 0.1).with_confidence(1.0).into(), "confidence"),
        (Kayenta::default().with_tolerance(f64::INFINITY).into(), "tolerance"),
        (Proportions::new(1.0).into(), "margin"),
        (Proportions::new(f64::NAN).into(), "margin"),
        (Means::new(0.0, 0.0).into(), "effect"),
        (Means::new(0.0, 1.0).with_min_samples(1).into(), "min_samples"),
        (BoundedMeans::new(1.0, 1.0, 0.0).into(), "high"),
        (BoundedMeans::new(0.0, 1.0, 1.0).into(), "margin"),
    ] {
        match bad.check() {
            Err(StatsError::Parameter { parameter: found, .. }) => assert_eq!(found, parameter),
            other => panic!("{bad:?}: {other:?}"),
        }
    }
    assert!(Proportions::new(0.0).with_direction(Direction::Either).check().is_err());
    assert!(
        Count::new(2, 1).is_err() && serde_json::from_str::<Count>(r#"{"events":2,"trials":1}"#).is_err()
    );
}

#[test]
fn no_data_is_never_a_pass() {
    let empty = Observations::values(Vec::new(), Vec::new());
    let judges: [Judge; 6] = [
        Threshold::at_most(1.0).into(),
        MannWhitney::new(Direction::Either, 0.1).with_pass_unless_shown().into(),
        Kayenta::default().into(),
        Means::new(0.0, 1.0).into(),
        BoundedMeans::new(0.0, 1.0, 0.0).into(),
        Proportions::new(0.0).into(),
    ];
    for judge in judges {
        assert_eq!(judge.judge(&empty, Evidence::default()).unwrap().verdict, NoData, "{judge:?}");
    }
}

// ── simulations ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const RUNS: u64 = 200;

/// Whether so many false alarms may be chance at `alpha`: their probability or more is above one in a thousand.
fn is_within(alarms: u64, alpha: f64) -> bool {
    alarms == 0 || Binomial { trials: RUNS, probability: alpha }.ln_above(alarms - 1) > 1e-3_f64.ln()
}

fn events(random: &mut Random, p: f64, n: u64) -> u64 {
    (0..n).map(|_| u64::from(random.next_f64() < p)).sum()
}

/// In how many runs two versions with these failure rates are told apart, and after how many requests on average, when they are
/// looked at after every 20 requests each; and in how many a z-test, looked at as often, would have.
fn told_apart(rates: (f64, f64), requests: u64, seed: &str) -> (u64, f64, u64) {
    let judge = Proportions::new(0.0);
    let (mut found, mut naive, mut total) = (0, 0, 0);
    for run in 0..RUNS {
        let mut random = Random::new(7).stream(seed).nth(run);
        let (mut candidate, mut stable, mut n) = (0, 0, 0);
        let (mut failed, mut fooled) = (false, false);
        while n < requests && !failed {
            (candidate, stable) =
                (candidate + events(&mut random, rates.0, 20), stable + events(&mut random, rates.1, 20));
            n += 20;
            let verdict =
                judge.judge(&counts((candidate, n), (stable, n)), Evidence::default()).unwrap().verdict;
            failed = verdict == Fail;
            let (p, q) = (candidate as f64 / n as f64, stable as f64 / n as f64);
            let pooled = (p + q) / 2.0;
            fooled |= (p - q) > 1.645 * (2.0 * pooled * (1.0 - pooled) / n as f64).sqrt() && n >= 100;
        }
        found += u64::from(failed);
        naive += u64::from(fooled);
        total += n;
    }
    (found, total as f64 / RUNS as f64, naive)
}

#[test]
fn rates_that_are_equal_are_seldom_told_apart_however_often_they_are_looked_at() {
    let (alarms, _, naive) = told_apart((0.03, 0.03), 2_000, "equal");
    println!("proportions: {alarms} false alarms of {RUNS}, a z-test at each look: {naive}");
    assert!(is_within(alarms, 0.05), "{alarms}");
    assert!(!is_within(naive, 0.05), "a test for one look would do: {naive}");
    let (alarms, ..) = told_apart((0.02, 0.03), 2_000, "better");
    assert!(is_within(alarms, 0.05), "{alarms}");
    let (found, requests, _) = told_apart((0.09, 0.03), 2_000, "worse");
    println!(
        "proportions: 9 % against 3 % found in {found} of {RUNS}, after {requests:.0} requests on average"
    );
    assert!(found * 100 >= RUNS * 90, "{found}");
}

#[test]
fn evidence_multiplied_over_steps_keeps_the_level() {
    let judge = Judge::from(Proportions::new(0.0));
    let mut alarms = [0, 0];
    for (bad, alarms) in [0.0, 0.1].iter().zip(&mut alarms) {
        for run in 0..RUNS {
            let mut random = Random::new(11).nth(run);
            let (mut earlier, mut failed) = (Evidence::default(), false);
            // The rates change from step to step, and so does the candidate's share.
            for (rate, each) in [(0.01, (4, 36)), (0.06, (20, 20)), (0.03, (36, 4))] {
                let (mut candidate, mut stable, mut last) = ((0, 0), (0, 0), None);
                for _ in 0..25 {
                    candidate = (candidate.0 + events(&mut random, rate + bad, each.0), candidate.1 + each.0);
                    stable = (stable.0 + events(&mut random, rate, each.1), stable.1 + each.1);
                    let finding = judge.judge(&counts(candidate, stable), earlier).unwrap();
                    failed |= finding.verdict == Fail;
                    last = Some(Evidence::of(&finding));
                }
                earlier = earlier.plus(last.unwrap().carried());
            }
            *alarms += u64::from(failed);
        }
    }
    println!("over three steps: {} false alarms, {} found of {RUNS}", alarms[0], alarms[1]);
    assert!(is_within(alarms[0], 0.05), "{alarms:?}");
    assert!(alarms[1] * 100 >= RUNS * 70, "{alarms:?}");
}

/// In how many runs a judge fails a candidate that draws from `candidate` against a stable version that draws from `stable`, when
/// it is asked after every 50 values.
fn failures(
    judge: impl Into<Judge>,
    most: usize,
    seed: &str,
    mut candidate: impl FnMut(&mut Random) -> f64,
    mut stable: impl FnMut(&mut Random) -> f64,
) -> u64 {
    let judge = judge.into();
    let mut failed = 0;
    for run in 0..RUNS {
        let mut random = Random::new(13).stream(seed).nth(run);
        let (mut x, mut y) = (Vec::new(), Vec::new());
        while x.len() < most {
            x.extend((0..50).map(|_| candidate(&mut random)));
            y.extend((0..50).map(|_| stable(&mut random)));
            let seen = Observations::values(x, y);
            let verdict: GuardVerdict = judge.judge(&seen, Evidence::default()).unwrap().verdict;
            let Observations::Values { candidate, stable } = seen else { unreachable!() };
            (x, y) = (candidate, stable);
            if verdict == Fail {
                failed += 1;
                break;
            }
        }
    }
    failed
}

fn exponential(mean: f64) -> impl FnMut(&mut Random) -> f64 {
    move |random| -mean * (1.0 - random.next_f64()).ln()
}

#[test]
fn means_that_are_equal_are_seldom_told_apart_however_often_they_are_looked_at() {
    let judge = Means::new(0.0, 10.0);
    let alarms = failures(judge, 2_000, "means", exponential(50.0), exponential(50.0));
    let found = failures(judge, 2_000, "slower", exponential(62.0), exponential(50.0));
    let allowed = failures(Means::new(12.0, 10.0), 2_000, "allowed", exponential(60.0), exponential(50.0));
    println!("means: {alarms} false alarms, {allowed} within a margin, {found} found, of {RUNS}");
    assert!(is_within(alarms, 0.05) && is_within(allowed, 0.05), "{alarms} {allowed}");
    assert!(found * 100 >= RUNS * 90, "{found}");
}

#[test]
fn bounded_means_that_are_equal_are_seldom_told_apart_from_the_first_value_on() {
    let skewed = |shift: f64| move |random: &mut Random| 0.8 * random.next_f64().powi(3) + shift;
    let judge = BoundedMeans::new(0.0, 1.0, 0.0);
    let alarms = failures(judge, 1_000, "bounded", skewed(0.0), skewed(0.0));
    let found = failures(judge, 1_000, "higher", skewed(0.1), skewed(0.0));
    println!("bounded means: {alarms} false alarms, {found} found, of {RUNS}");
    assert!(is_within(alarms, 0.05), "{alarms}");
    assert!(found * 100 >= RUNS * 90, "{found}");
}

/// A confidence sequence misses the true rate at some look in few runs.
#[test]
fn the_sequence_of_intervals_covers_the_rate_at_all_looks() {
    let mut missed = 0;
    for run in 0..RUNS {
        let mut random = Random::new(17).nth(run);
        let mut seen = (0, 0);
        missed += u64::from((0..60).any(|_| {
            seen = (seen.0 + events(&mut random, 0.1, 25), seen.1 + 25);
            let (low, high) = proportion_interval(&count(seen.0, seen.1), 0.05).unwrap();
            !(low..=high).contains(&0.1)
        }));
    }
    println!("intervals: {missed} of {RUNS} miss");
    assert!(is_within(missed, 0.05), "{missed}");
}
