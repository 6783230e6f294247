//! Detectors: a reference fitted once, current data held against it feature by feature, one verdict.
//!
//! [`Detector`] implements [`DriftDetector`] of `mlops-core`, so that monitors and triggers
//! can use it. A feature drifts when **both** hold: its p-value, adjusted for the number of features, is at most α, so that
//! chance does not explain it; and its score, with the noise taken off, reaches a threshold, so that it matters. The first
//! alone alarms on anything once there are enough rows, the second alone alarms on noise while there are few. A share of
//! missing values that changes counts as drift too, whatever the method.
//!
//! A feature that fails (it is gone, of another type, or the statistic refuses) is a row of the report, and the others are
//! measured all the same. That nothing drifted is said only if it holds whatever those that failed would have been: otherwise the
//! verdict is inconclusive, and the reason names them. Features may be looked at by several threads; the report is the same.

mod compare;
mod feature;
mod method;
mod options;
mod overlay;
mod profiles;
mod reading;
mod unwatched;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use mlops_core::data::{DataType, Table};
use mlops_core::monitor::{
    DriftDetector, DriftReport, DriftVerdict, FeatureDrift, FeatureOutcome, FeatureScore, OtherScore,
    ScoreInterval, UnwatchedFeature,
};
use mlops_core::time::Timestamp;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

pub use self::compare::{compare, compare_at};
use self::feature::{Fitted, Measured, Scratch};
pub use self::method::Method;
pub use self::options::{DatasetRule, DetectorOptions, FeatureRule};
pub(crate) use self::overlay::short;
use self::reading::Failure;
use mlops_core::num::multiple::{adjust, simes};

/// Holds current data against a reference it was fitted on.
///
/// # What is watched
/// The [features](DetectorOptions::features) that are named, or every column of the reference but these, which say nothing about
/// drift. They are watched when they are named or have a [rule](DetectorOptions::rules); else every report has their names and
/// reasons ([`DriftReport::unwatched`]), and so has its sentence.
///
/// * **Texts and categories that are identifiers**: of `n` present values `n₁` occur once, `n₁/n ≥ ½`. By Good and Turing (Good 1953,
///   doi:10.1093/biomet/40.3-4.237) that share of a further sample is expected to be of levels that the reference does not have: at
///   least half of the rows would be new where nothing drifts.
/// * **Integers that are numbered**: no value occurs twice, and `n(n − 1)/2R ≥ ln 10⁶` for a range of `R` integers. Of `n` values drawn
///   independently from `R`, all are distinct with a probability of at most `exp(−n(n − 1)/2R)`, which is reached where all are
///   equally likely: what has no repetition where one was a million times likelier is a counter, and counters go on.
/// * Columns of times, which go on too, and columns without a present value.
///
/// Identifiers are looked for in references with at least [`min_rows`](DetectorOptions::min_rows) present values; with fewer there is
/// no verdict. Random identifiers among the integers, sparse ones and those that repeat are not found: name the features.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_core::monitor::{DriftDetector as _, DriftVerdict};
/// use mlops_drift::detector::{Detector, DetectorOptions};
///
/// let customers = |from: usize| {
///     let ages = Column::f64("age", (0..400).map(|i| f64::from(20 + i % 40)).collect::<Vec<_>>())?;
///     Table::new(vec![Column::text("customer", (from..from + 400).map(|i| format!("C{i}")))?, ages])
/// };
/// let detector = Detector::fit(&customers(0)?, DetectorOptions::default())?;
/// let report = detector.detect(&customers(400)?, "2026-01-01T00:00:00Z".parse()?)?;
/// assert_eq!(report.verdict, DriftVerdict::NoDrift);
/// assert_eq!(report.reason, "0 of 1 features drifted, 1 could be judged; not watched: customer");
/// assert_eq!(report.unwatched[0].reason, "400 of 400 values occur once: identifiers, most of which are new in any other rows");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Serialises with a version, so that it is fitted once and kept with the model; a method on values keeps the values of the
/// reference, a method on cells only their counts.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_core::monitor::{DriftDetector as _, DriftVerdict};
/// use mlops_drift::detector::{Detector, DetectorOptions};
///
/// let ages = |from: i32, n: i32| Column::f64("age", (0..n).map(|i| f64::from(from + i % 40)).collect::<Vec<_>>());
/// let fitted = Detector::fit(&Table::new(vec![ages(20, 400)?])?, DetectorOptions::default())?;
/// let kept = serde_json::to_string(&fitted)?;
///
/// let detector: Detector = serde_json::from_str(&kept)?;
/// let now = "2026-01-01T00:00:00Z".parse()?;
/// let same = detector.detect(&Table::new(vec![ages(20, 120)?])?, now)?;
/// assert_eq!(same.verdict, DriftVerdict::NoDrift);
/// let older = detector.detect(&Table::new(vec![ages(45, 120)?])?, now)?;
/// assert_eq!(older.verdict, DriftVerdict::Drift);
/// assert_eq!(older.drifted().next().map(|f| f.feature.as_str()), Some("age"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Detector {
    options: DetectorOptions,
    features: Vec<Fitted>,
    unwatched: Vec<UnwatchedFeature>,
    rows: u64,
}

/// The versioned form on disk.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    options: DetectorOptions,
    rows: u64,
    features: Vec<Fitted>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unwatched: Vec<UnwatchedFeature>,
}

impl From<Detector> for Stored {
    fn from(detector: Detector) -> Self {
        let Detector { options, features, unwatched, rows } = detector;
        Self { version: Detector::VERSION, options, rows, features, unwatched }
    }
}

impl TryFrom<Stored> for Detector {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored { version, options, rows, features, unwatched } = stored;
        if version != Self::VERSION {
            return Err(format!("detectors of version {version} are not known, only {}", Self::VERSION));
        }
        options.check().map_err(|error| error.to_string())?;
        if features.is_empty() {
            return Err("a detector has at least one feature".to_owned());
        }
        for feature in &features {
            feature.check()?;
            if feature.side().rows != rows {
                return Err("a feature has other rows than the reference".to_owned());
            }
        }
        let features = features.into_iter().map(Fitted::ready).collect();
        Ok(Self { options, features, unwatched, rows })
    }
}

/// What was found of every feature, in order.
type Found = Vec<Result<Measured, Failure>>;

impl Detector {
    /// The version of the serialised form.
    pub const VERSION: u32 = 1;

    /// Fits the reference: sorts or counts every feature once.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for options out of range, no rows, no feature to watch, a
    /// feature of a type that is not watched, a method that is not defined for it, or a rule for a feature that is not watched;
    /// [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound) for a feature that is not there.
    /// Columns that are [not watched unless they are named](Self#what-is-watched) are no errors, but where no other is left.
    /// A feature that was named and has no present value is fitted as such: it is a failed row in every report.
    pub fn fit(reference: &Table<'_>, options: DetectorOptions) -> Result<Self> {
        const OP: &str = "Detector::fit";
        options.check()?;
        if reference.rows() == 0 {
            return Err(Error::invalid(OP, "reference", "has no rows"));
        }
        let (features, unwatched) = match &options.features {
            Some(names) => (Self::fit_named(reference, names, &options)?, Vec::new()),
            None => Self::fit_all(reference, &options)?,
        };
        if features.is_empty() {
            let none = Error::invalid(OP, "features", "there is no feature to watch");
            return Err(match unwatched::named(&unwatched) {
                Some(names) => none.with("unwatched", names),
                None => none,
            });
        }
        options.check_rules(OP, |name| features.iter().any(|fitted| fitted.name() == name))?;
        Ok(Self { options, features, unwatched, rows: reference.rows() as u64 })
    }

    /// Fits the columns that are named, whatever they hold.
    fn fit_named(reference: &Table<'_>, names: &[String], options: &DetectorOptions) -> Result<Vec<Fitted>> {
        let fit = |name: &String| {
            let column = reference.column(name)?;
            if column.data_type() == DataType::Time {
                let error = Error::invalid("Detector::fit", "features", "a column of times is not watched");
                return Err(error.with("feature", name));
            }
            Fitted::fit(column, options)
        };
        names.iter().map(fit).collect()
    }

    /// Fits every column that says something about drift; the others, and why they do not.
    fn fit_all(
        reference: &Table<'_>,
        options: &DetectorOptions,
    ) -> Result<(Vec<Fitted>, Vec<UnwatchedFeature>)> {
        let (mut features, mut unwatched) = (Vec::new(), Vec::new());
        for column in reference.columns() {
            let reason = if column.data_type() == DataType::Time {
                Some(unwatched::TIMES.to_owned())
            } else if options.rules.contains_key(column.name()) {
                None
            } else {
                unwatched::numbered(column, options.min_rows)
            };
            let reason = match reason {
                Some(reason) => reason,
                None => {
                    let fitted = Fitted::fit(column, options)?;
                    match fitted.unwatched(options) {
                        Some(reason) => reason,
                        None => {
                            features.push(fitted);
                            continue;
                        }
                    }
                }
            };
            unwatched.push(UnwatchedFeature::new(column.name(), reason));
        }
        Ok((features, unwatched))
    }

    /// The columns of the reference that are not watched because they would drift by nature, or hold nothing, each with its
    /// reason. Empty where the features to watch were [named](DetectorOptions::features).
    pub fn unwatched(&self) -> &[UnwatchedFeature] {
        &self.unwatched
    }

    /// How it decides.
    pub fn options(&self) -> &DetectorOptions {
        &self.options
    }

    /// The same detector, deciding with other thresholds: level, smallest scores, correction, rows, share, threads and name are
    /// taken from `options`; what was fitted (features, methods, cells) stays.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for options out of range.
    pub fn with_thresholds(mut self, options: &DetectorOptions) -> Result<Self> {
        options.check()?;
        let kept = self.options;
        self.options = DetectorOptions {
            features: kept.features,
            numeric: kept.numeric,
            category: kept.category,
            also: kept.also,
            bins: kept.bins,
            cells: kept.cells,
            ..options.clone()
        };
        for feature in &mut self.features {
            feature.set_min_score(options);
        }
        Ok(self)
    }

    /// Measures every feature, on as many threads as the options say.
    fn measure(&self, current: &Table<'_>) -> Found {
        let one = |fitted: &Fitted, scratch: &mut Scratch| match current.get(fitted.name()) {
            None => Err(Failure::Gone),
            Some(column) => fitted.measure(column, &self.options, scratch),
        };
        let threads = match self.options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let threads = threads.min(self.features.len());
        if threads <= 1 {
            let mut scratch = Scratch::default();
            return self.features.iter().map(|fitted| one(fitted, &mut scratch)).collect();
        }
        // Whoever is free takes the next feature; each finds its own place, so that the order of work does not matter.
        let next = AtomicUsize::new(0);
        let work = || {
            let mut scratch = Scratch::default();
            let take = || {
                let at = next.fetch_add(1, Ordering::Relaxed);
                self.features.get(at).map(|fitted| (at, fitted))
            };
            std::iter::from_fn(take).map(|(at, fitted)| (at, one(fitted, &mut scratch))).collect::<Vec<_>>()
        };
        let mut found: Vec<(usize, Result<Measured, Failure>)> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut found = work();
            for other in others {
                match other.join() {
                    Ok(more) => found.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            found
        });
        found.sort_unstable_by_key(|(at, _)| *at);
        found.into_iter().map(|(_, result)| result).collect()
    }

    /// Whether a measured feature matters: what is left of its score above the noise, or what became of missing values.
    fn matters(&self, fitted: &Fitted, measured: &Measured) -> bool {
        let reading = &measured.reading;
        let score = reading.corrected.unwrap_or(reading.score);
        let moved = (share(fitted.side()) - share(measured.current)).abs();
        score > 0.0 && score >= fitted.min_score() || moved > 0.0 && moved >= self.options.min_missing
    }

    fn score(&self, fitted: &Fitted, measured: Measured, q: Option<f64>, enough: bool) -> FeatureScore {
        let matters = self.matters(fitted, &measured);
        // A statistic without a p-value decides by its score alone.
        let striking = q.is_none_or(|q| q <= self.options.alpha);
        let verdict = match (enough, striking && matters) {
            (false, _) => DriftVerdict::Inconclusive,
            (true, true) => DriftVerdict::Drift,
            (true, false) => DriftVerdict::NoDrift,
        };
        let Measured { reading, also, p, ln_p, current, cells } = measured;
        let definition = fitted.definition(fitted.method(), &reading, &self.options);
        let mut score = FeatureScore::new(definition, reading.score, fitted.min_score(), verdict);
        score.noise_floor = reading.noise_floor;
        score.corrected = reading.corrected;
        score.interval = reading.interval.map(|i| ScoreInterval::new(i.level, i.low, i.high));
        (score.p_value, score.ln_p_value, score.adjusted_p_value) = (p, ln_p, q);
        (score.missing_reference, score.missing_current) = (share(fitted.side()), share(current));
        (score.reference, score.current, score.cells) = (fitted.side(), current, cells);
        score.also = also.into_iter().map(|(method, result)| self.other(fitted, method, result)).collect();
        score
    }

    fn other(
        &self,
        fitted: &Fitted,
        method: Method,
        result: Result<reading::Reading, Failure>,
    ) -> OtherScore {
        match result {
            Ok(reading) => {
                OtherScore::new(fitted.definition(method, &reading, &self.options), Some(reading.score))
                    .with_noise_floor(reading.noise_floor)
                    .with_p_value(reading.p)
            }
            Err(failure) => {
                OtherScore::new(method.title().to_owned(), None).with_failure(failure.to_string())
            }
        }
    }

    /// The verdicts of all features, once their p-values are adjusted together, and what is said of all of them.
    fn decide(&self, rows: u64, found: Found) -> Result<(Vec<FeatureDrift>, Overall)> {
        let p: Vec<f64> = found.iter().filter_map(|m| m.as_ref().ok()?.p).collect();
        let mut adjusted = adjust(&p, self.options.correction)?.into_iter();
        let enough = rows >= self.options.min_rows && self.rows >= self.options.min_rows;
        let mut overall =
            Overall { simes: if p.is_empty() { None } else { Some(simes(&p)?) }, matters: false };
        let mut features = Vec::with_capacity(found.len());
        for (fitted, result) in self.features.iter().zip(found) {
            let outcome = match result {
                Err(failure) => FeatureOutcome::Failed(failure.to_string()),
                Ok(measured) => {
                    overall.matters |= self.matters(fitted, &measured);
                    let q = measured.p.and_then(|_| adjusted.next());
                    match not_finite(&measured) {
                        Some(what) => FeatureOutcome::Failed(format!("{what} is not finite")),
                        None => FeatureOutcome::Measured(self.score(fitted, measured, q, enough)),
                    }
                }
            };
            features.push(FeatureDrift::new(fitted.name().to_owned(), outcome));
        }
        Ok((features, overall))
    }

    fn report(&self, rows: u64, found: Found, at: Timestamp) -> Result<DriftReport> {
        let (features, overall) = self.decide(rows, found)?;
        let (verdict, mut reason) = self.verdict(rows, &features, &overall);
        if let Some(names) = unwatched::named(&self.unwatched) {
            reason += &format!("; not watched: {names}");
        }
        let mut report =
            DriftReport::new(&self.options.name, at, (self.rows, rows), features, verdict, reason);
        report.p_value = overall.simes;
        report.alpha = Some(self.options.alpha);
        report.correction = Some(self.options.correction.name().to_owned());
        report.unwatched = self.unwatched.clone();
        Ok(report)
    }

    fn verdict(&self, rows: u64, features: &[FeatureDrift], overall: &Overall) -> (DriftVerdict, String) {
        let count = |verdict| features.iter().filter(|f| f.verdict() == verdict).count();
        let (drifted, judged) =
            (count(DriftVerdict::Drift), features.len() - count(DriftVerdict::Inconclusive));
        let need = self.options.min_rows;
        if rows < need || self.rows < need {
            let reason = format!("{rows} rows against {} are too few, at least {need} are needed", self.rows);
            return (DriftVerdict::Inconclusive, reason);
        }
        if judged == 0 {
            return (DriftVerdict::Inconclusive, "no feature could be judged".to_owned());
        }
        let (all, alpha) = (features.len(), self.options.alpha);
        let drift = match (self.options.dataset, overall.simes) {
            (DatasetRule::Simes, Some(p)) => {
                let drift = p <= alpha && overall.matters;
                (drift, !drift, format!("over all features p is {p:.2e} (Simes), {drifted} of {all} drifted"))
            }
            _ => {
                let enough =
                    |drifted: usize| drifted > 0 && drifted as f64 / all as f64 >= self.options.min_share;
                // Those that could not be judged may have drifted.
                let (drift, open) = (enough(drifted), enough(drifted + all - judged));
                (drift, !drift && open, format!("{drifted} of {all} features drifted"))
            }
        };
        let unknown = features.iter().filter(|f| f.verdict() == DriftVerdict::Inconclusive);
        match drift {
            (true, _, reason) => (DriftVerdict::Drift, reason),
            (false, true, reason) if judged < all => {
                const SHOWN: usize = 5;
                let mut names: Vec<&str> = unknown.map(|f| f.feature.as_str()).take(SHOWN + 1).collect();
                if names.len() > SHOWN {
                    names.truncate(SHOWN);
                    names.push("…");
                }
                let reason = format!("{reason}, {judged} could be judged, not {}", names.join(", "));
                (DriftVerdict::Inconclusive, reason)
            }
            (false, _, reason) => (DriftVerdict::NoDrift, format!("{reason}, {judged} could be judged")),
        }
    }
}

/// What is said of all features together.
struct Overall {
    simes: Option<f64>,
    /// Whether the score of some feature matters.
    matters: bool,
}

/// The share of missing values.
fn share(side: mlops_core::monitor::SideCounts) -> f64 {
    if side.rows == 0 { 0.0 } else { side.missing as f64 / side.rows as f64 }
}

/// What of a measurement no report may hold; nothing is expected here.
fn not_finite(measured: &Measured) -> Option<&'static str> {
    let reading = &measured.reading;
    let numbers = [
        ("the score", Some(reading.score)),
        ("the noise floor", Some(reading.noise_floor)),
        ("the corrected score", reading.corrected),
        ("the p-value", measured.p),
        ("the logarithm of the p-value", measured.ln_p),
        ("the interval", reading.interval.map(|interval| interval.low + interval.high)),
    ];
    numbers.into_iter().find(|(_, value)| value.is_some_and(|v| !v.is_finite())).map(|(what, _)| what)
}

impl DriftDetector for Detector {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn features(&self) -> Vec<String> {
        self.features.iter().map(|f| f.name().to_owned()).collect()
    }

    fn detect(&self, current: &Table<'_>, at: Timestamp) -> Result<DriftReport> {
        let rows = current.rows() as u64;
        self.report(rows, self.measure(current), at)
    }
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.features.iter().map(Fitted::name).collect();
        f.debug_struct("Detector")
            .field("name", &self.options.name)
            .field("features", &names)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::data::{Column, Validity, Values};

    fn normal(n: usize, seed: u64, shift: f64) -> Vec<f64> {
        // Sums of twelve uniforms: normal enough for a detector.
        let mut state = seed.wrapping_mul(0xd1b5_4a32_d192_ed03);
        let mut uniform = || {
            // splitmix64
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        };
        (0..n).map(|_| (0..12).map(|_| uniform()).sum::<f64>() - 6.0 + shift).collect()
    }

    fn table(n: usize, seed: u64, shift: f64) -> Table<'static> {
        let plan = (0..n).map(|i| ["basic", "plus", "pro"][(i * 7 + i / 3) % 3]);
        Table::new(vec![
            Column::f64("x", normal(n, seed, shift)).unwrap(),
            Column::f64("noise", normal(n, seed + 1000, 0.0)).unwrap(),
            Column::text("plan", plan).unwrap(),
        ])
        .unwrap()
    }

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    /// Every method that sees numbers move, with itself or the default on categories.
    fn each_method() -> impl Iterator<Item = DetectorOptions> {
        let others = [Method::BrownForsythe, Method::Fisher, Method::Proportions];
        Method::ALL.iter().filter(move |method| !others.contains(method)).map(|method| {
            let options = DetectorOptions::default().with_numeric(*method);
            if method.on_categories() { options.with_category(*method) } else { options }
        })
    }

    #[test]
    fn a_shift_is_found_in_its_feature_and_only_there() {
        for options in each_method() {
            let detector = Detector::fit(&table(800, 1, 0.0), options.clone()).unwrap();
            let report = detector.detect(&table(300, 2, 1.0), now()).unwrap();
            assert_eq!(report.verdict, DriftVerdict::Drift, "{options:?}");
            let drifted: Vec<&str> = report.drifted().map(|f| f.feature.as_str()).collect();
            assert_eq!(drifted, ["x"], "{options:?}");
        }
    }

    #[test]
    fn false_alarms_stay_below_alpha() {
        for options in each_method() {
            let options = options.with_alpha(0.05).with_min_score(0.0).with_features(["x", "noise"]);
            let alarms = (0..200_u64)
                .filter(|&i| {
                    let detector = Detector::fit(&table(500, 10_000 + i, 0.0), options.clone()).unwrap();
                    detector.detect(&table(200, 20_000 + i, 0.0), now()).unwrap().verdict
                        == DriftVerdict::Drift
                })
                .count();
            // Binomial(200, 0.05): at most 20 with a probability of 0.9988.
            assert!(alarms <= 20, "{alarms} {options:?}");
        }
    }

    #[test]
    fn a_column_that_goes_missing_is_drift_under_every_method() {
        for options in each_method() {
            let detector = Detector::fit(&table(500, 1, 0.0), options.clone()).unwrap();
            let valid: Vec<bool> = (0..200).map(|i| i % 2 == 0).collect();
            let x = Values::F64(normal(200, 5, 0.0).into());
            let half = Column::new("x", x, Some(Validity::from_bools(&valid))).unwrap();
            let current = table(200, 6, 0.0).without(&["x"]).with_column(half).unwrap();
            let report = detector.detect(&current, now()).unwrap();
            let drifted: Vec<&str> = report.drifted().map(|f| f.feature.as_str()).collect();
            assert_eq!(drifted, ["x"], "{options:?}");
        }
    }

    #[test]
    fn a_new_level_is_drift() {
        for options in each_method() {
            let detector = Detector::fit(&table(500, 1, 0.0), options).unwrap();
            let plan =
                Column::text("plan", (0..200).map(|i| if i % 3 == 0 { "free" } else { "basic" })).unwrap();
            let current = table(200, 6, 0.0).without(&["plan"]).with_column(plan).unwrap();
            let report = detector.detect(&current, now()).unwrap();
            assert!(report.drifted().any(|f| f.feature == "plan"));
        }
    }

    #[test]
    fn a_feature_that_cannot_be_measured_is_a_row_and_the_others_are_measured() {
        let detector = Detector::fit(&table(500, 1, 0.0), DetectorOptions::default()).unwrap();
        let text = Column::text("x", (0..200).map(|_| "?")).unwrap();
        let nothing = Column::f64("noise", vec![f64::NAN; 200]).unwrap();
        let current = Table::new(vec![text, nothing]).unwrap();
        let report = detector.detect(&current, now()).unwrap();
        let failed = |i: usize| matches!(report.features[i].outcome, FeatureOutcome::Failed(_));
        assert!(failed(0) && failed(2), "{report:?}");
        // All missing is a change that can be measured: the share of missing values went from 0 to 1.
        assert_eq!(report.features[1].verdict(), DriftVerdict::Drift);
    }

    #[test]
    fn that_nothing_drifted_is_said_only_if_what_failed_could_not_change_it() {
        let reference = table(500, 1, 0.0);
        let current = table(200, 2, 0.0);
        let fit = |options| Detector::fit(&reference, options).unwrap();
        for dataset in [DatasetRule::Features, DatasetRule::Simes] {
            let detector = fit(DetectorOptions::default().with_dataset(dataset));
            assert_eq!(detector.detect(&current, now()).unwrap().verdict, DriftVerdict::NoDrift);
            let report = detector.detect(&current.without(&["x"]), now()).unwrap();
            assert_eq!(report.verdict, DriftVerdict::Inconclusive, "{dataset:?}");
            assert!(report.reason.ends_with("not x"), "{}", report.reason);
            // What is seen is seen.
            let shifted = table(200, 2, 1.0).without(&["plan"]);
            assert_eq!(detector.detect(&shifted, now()).unwrap().verdict, DriftVerdict::Drift);
        }
        // One of three is gone: with it two thirds could have drifted at most, where one drifted, and one third where none did.
        for (share, shift, verdict) in [
            (0.6, 1.0, DriftVerdict::Inconclusive),
            (0.7, 1.0, DriftVerdict::NoDrift),
            (0.3, 0.0, DriftVerdict::Inconclusive),
            (0.4, 0.0, DriftVerdict::NoDrift),
        ] {
            let detector = fit(DetectorOptions { min_share: share, ..DetectorOptions::default() });
            let current = table(200, 2, shift).without(&["plan"]);
            assert_eq!(detector.detect(&current, now()).unwrap().verdict, verdict, "{share} {shift}");
        }
    }

    #[test]
    fn a_column_of_nothing_is_watched_only_if_it_is_named() {
        let nothing = Column::f64("nothing", vec![f64::NAN; 500]).unwrap();
        let reference = table(500, 1, 0.0).with_column(nothing.clone()).unwrap();
        let detector = Detector::fit(&reference, DetectorOptions::default()).unwrap();
        assert_eq!(detector.features(), ["x", "noise", "plan"]);
        let named = DetectorOptions::default().with_features(["x", "nothing"]);
        let report = Detector::fit(&reference, named).unwrap().detect(&reference, now()).unwrap();
        assert_eq!(report.verdict, DriftVerdict::Inconclusive);
        let only = Table::new(vec![nothing]).unwrap();
        let error = Detector::fit(&only, DetectorOptions::default()).unwrap_err();
        assert_eq!(error.context("field"), Some("features"));
    }

    /// With a text that differs in every row, a number of the row, a time, and nothing.
    fn numbered(rows: usize, from: i64, seed: u64) -> Table<'static> {
        let rows_from = from..from + i64::try_from(rows).unwrap();
        let time =
            Column::new("at", Values::Time(rows_from.clone().collect::<Vec<_>>().into()), None).unwrap();
        table(rows, seed, 0.0)
            .with_column(Column::text("customer", rows_from.clone().map(|i| format!("C{i}"))).unwrap())
            .unwrap()
            .with_column(Column::i64("row", rows_from.collect::<Vec<_>>()).unwrap())
            .unwrap()
            .with_column(time)
            .unwrap()
            .with_column(Column::f64("nothing", vec![f64::NAN; rows]).unwrap())
            .unwrap()
    }

    #[test]
    fn identifiers_are_left_out_and_named() {
        let reference = numbered(500, 0, 1);
        let detector = Detector::fit(&reference, DetectorOptions::default()).unwrap();
        assert_eq!(detector.features(), ["x", "noise", "plan"]);
        let kept: Detector = serde_json::from_str(&serde_json::to_string(&detector).unwrap()).unwrap();
        for detector in [detector, kept] {
            let report = detector.detect(&numbered(400, 500, 2), now()).unwrap();
            assert_eq!(report.verdict, DriftVerdict::NoDrift, "{}", report.reason);
            assert_eq!(
                report.reason,
                "0 of 3 features drifted, 3 could be judged; not watched: customer, row, at, nothing"
            );
            let reasons: Vec<&str> = report.unwatched.iter().map(|column| column.reason.as_str()).collect();
            assert!(reasons[0].starts_with("500 of 500 values occur once"), "{reasons:?}");
            assert!(reasons[1].starts_with("500 integers from 0 to 499 without a repetition"), "{reasons:?}");
            assert_eq!(reasons[2..], [unwatched::TIMES, "no value is present"]);
            assert_eq!(detector.unwatched(), report.unwatched);
            // What is too few to judge, and what has drifted, says it too.
            for current in [numbered(9, 500, 2), table(400, 2, 2.0)] {
                let report = detector.detect(&current, now()).unwrap();
                assert!(
                    report.reason.ends_with("; not watched: customer, row, at, nothing"),
                    "{}",
                    report.reason
                );
            }
        }
    }

    #[test]
    fn identifiers_are_watched_where_they_are_named() {
        let (reference, current) = (numbered(500, 0, 1), numbered(400, 500, 2));
        let named = DetectorOptions::default().with_features(["x", "customer", "row"]);
        let detector = Detector::fit(&reference, named).unwrap();
        assert!(detector.unwatched().is_empty());
        let report = detector.detect(&current, now()).unwrap();
        let watched: Vec<&str> = report.features.iter().map(|f| f.feature.as_str()).collect();
        assert_eq!(watched, ["x", "customer", "row"]);
        assert_eq!(report.features[2].verdict(), DriftVerdict::Drift, "a counter has gone on");
        let FeatureOutcome::Measured(customer) = &report.features[1].outcome else { panic!("{report:?}") };
        assert_eq!(customer.current.unseen, 400, "all customers are new");
        assert!(report.unwatched.is_empty() && !report.reason.contains("not watched"), "{}", report.reason);
        // A rule names it as well.
        for name in ["customer", "row"] {
            let ruled = DetectorOptions::default().with_rule(name, FeatureRule::default());
            let report = Detector::fit(&reference, ruled).unwrap().detect(&current, now()).unwrap();
            assert!(report.features.iter().any(|f| f.feature == name));
            assert!(
                report.unwatched.len() == 3 && report.unwatched.iter().all(|column| column.feature != name)
            );
        }
    }

    #[test]
    fn a_table_of_identifiers_alone_is_refused_with_their_names() {
        let only = numbered(500, 0, 1).without(&["x", "noise", "plan"]);
        let error = Detector::fit(&only, DetectorOptions::default()).unwrap_err();
        assert_eq!(error.context("field"), Some("features"));
        assert_eq!(error.context("unwatched"), Some("customer, row, at, nothing"));
    }

    #[test]
    fn detectors_from_before_identifiers_were_left_out_are_read() {
        let reference = numbered(500, 0, 1);
        let named = DetectorOptions::default().with_features(["x", "customer"]);
        let detector = Detector::fit(&reference, named).unwrap();
        let text = serde_json::to_string(&detector).unwrap();
        assert!(!text.contains("unwatched"), "what is empty is not written");
        let old: Detector = serde_json::from_str(&text).unwrap();
        assert_eq!(old.features(), ["x", "customer"]);
    }

    #[test]
    fn a_rule_for_a_feature_that_is_not_watched_is_refused() {
        let options = DetectorOptions::default().with_rule("xx", FeatureRule::default());
        let error = Detector::fit(&table(100, 1, 0.0), options).unwrap_err();
        assert_eq!((error.context("field"), error.context("feature")), (Some("rules"), Some("xx")));
    }

    #[test]
    fn too_few_rows_are_inconclusive() {
        let detector = Detector::fit(&table(500, 1, 0.0), DetectorOptions::default()).unwrap();
        for rows in [0, 1, 29] {
            let report = detector.detect(&table(rows, 2, 9.0), now()).unwrap();
            assert_eq!(report.verdict, DriftVerdict::Inconclusive, "{rows}");
            assert_eq!(report.drifted().count(), 0);
        }
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let reference = table(100, 1, 0.0);
        for options in [
            DetectorOptions::default().with_alpha(0.0),
            DetectorOptions::default().with_alpha(f64::NAN),
            DetectorOptions::default().with_min_score(f64::INFINITY),
            DetectorOptions { min_share: 1.5, ..DetectorOptions::default() },
            DetectorOptions::default().with_features(["nowhere"]),
            DetectorOptions::default().with_features(Vec::<String>::new()),
        ] {
            assert!(Detector::fit(&reference, options.clone()).is_err(), "{options:?}");
        }
        assert!(Detector::fit(&Table::default(), DetectorOptions::default()).is_err());
    }
}
