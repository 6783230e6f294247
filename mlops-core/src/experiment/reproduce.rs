//! Whether a run can be made again: runs its function once more with what was recorded, and compares.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;

use serde::{Deserialize, Serialize};

use super::{Capsule, DataInput, ExperimentTracker, LogBatch, MetricPoint, Run, RunEnd, RunSpec};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Digest;
use crate::id::{ActorId, MetricKey, ParamKey, RunId, TagKey};
use crate::time::Clock;

/// What a run is made again from: everything that was recorded of what went in.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The run.
    pub run: RunId,
    /// Its parameters.
    pub params: BTreeMap<ParamKey, String>,
    /// Its seeds, by what they were for.
    pub seeds: BTreeMap<String, u64>,
    /// The data that went in.
    pub inputs: Vec<DataInput>,
    /// The digests of the data that went in, by role, where no asset was recorded.
    pub digests: BTreeMap<String, Digest>,
}

impl Recipe {
    /// The recipe of a run.
    pub fn of(run: &Run) -> Self {
        Self {
            run: run.id.clone(),
            params: run.params.clone(),
            seeds: run.capsule.seeds.clone(),
            inputs: run.inputs.clone(),
            digests: run.capsule.inputs.clone(),
        }
    }

    /// A parameter as what it is to be read as.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a parameter that was not recorded, [`ErrorKind::InvalidInput`] for one that cannot be read.
    pub fn param<T: std::str::FromStr>(&self, key: &str) -> Result<T> {
        const OP: &str = "Recipe::param";
        let text = self.params.get(key).ok_or_else(|| Error::not_found(OP, "parameter", key))?;
        text.parse()
            .map_err(|_| Error::invalid(OP, key, "cannot be read as what it should be").with("value", text))
    }

    /// A seed.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for one that was not recorded.
    pub fn seed(&self, purpose: &str) -> Result<u64> {
        let seed = self.seeds.get(purpose).copied();
        seed.ok_or_else(|| Error::not_found("Recipe::seed", "seed", purpose))
    }
}

/// What came out when a run was made again, and what really went in.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reproduction {
    /// The metrics: of each the last value.
    pub metrics: BTreeMap<MetricKey, f64>,
    /// Parameters that were other than recorded, or that the function found itself; those of the recipe count as used.
    pub params: BTreeMap<ParamKey, String>,
    /// The digests of the data that really went in, by role.
    pub inputs: BTreeMap<String, Digest>,
}

impl Reproduction {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a metric.
    #[must_use]
    pub fn with_metric(mut self, key: MetricKey, value: f64) -> Self {
        self.metrics.insert(key, value);
        self
    }

    /// Adds the digest of data that went in.
    #[must_use]
    pub fn with_input(mut self, role: impl Into<String>, digest: Digest) -> Self {
        self.inputs.insert(role.into(), digest);
        self
    }

    /// Adds a parameter that was other than recorded.
    #[must_use]
    pub fn with_param(mut self, key: ParamKey, value: impl ToString) -> Self {
        self.params.insert(key, value.to_string());
        self
    }
}

/// How far two values of a metric may lie apart: |found − recorded| ≤ absolute + relative · |recorded|. Default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, try_from = "Wire")]
pub struct Tolerance {
    absolute: f64,
    relative: f64,
}

impl Tolerance {
    /// The same bits, but for 0.0 and −0.0.
    pub const EXACT: Self = Self { absolute: 0.0, relative: 0.0 };

    /// A tolerance.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a part that is negative or not finite.
    ///
    /// ```
    /// use mlops_core::experiment::reproduce::Tolerance;
    /// let tolerance = Tolerance::new(0.0, 0.01)?;
    /// assert!(tolerance.allows(100.0, 100.9) && !tolerance.allows(100.0, 101.1));
    /// assert!(Tolerance::EXACT.allows(f64::NAN, f64::NAN) && !tolerance.allows(1.0, f64::NAN));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn new(absolute: f64, relative: f64) -> Result<Self> {
        for (field, value) in [("absolute", absolute), ("relative", relative)] {
            if !(value.is_finite() && value >= 0.0) {
                let message = format!("must be at least 0 and finite, got {value}");
                return Err(Error::invalid("Tolerance::new", field, message));
            }
        }
        Ok(Self { absolute, relative })
    }

    /// Whether a value is as good as the recorded one. A NaN is as good as a NaN alone, an infinity as the same infinity.
    pub fn allows(self, recorded: f64, found: f64) -> bool {
        match recorded.is_finite() && found.is_finite() {
            true => (found - recorded).abs() <= self.absolute + self.relative * recorded.abs(),
            false => recorded == found || (recorded.is_nan() && found.is_nan()),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wire {
    absolute: f64,
    relative: f64,
}

impl TryFrom<Wire> for Tolerance {
    type Error = Error;

    fn try_from(wire: Wire) -> Result<Self> {
        Self::new(wire.absolute, wire.relative)
    }
}

/// What is compared, and how closely.
///
/// ```
/// use mlops_core::experiment::reproduce::{ReproduceOptions, Tolerance};
/// let options: ReproduceOptions = toml::from_str(
///     "tolerance = { relative = 1e-9 }\nmetrics = { auc = { absolute = 0.001 } }\nignore = ['seconds']",
/// )?;
/// assert_eq!(options.tolerance, Tolerance::new(0.0, 1e-9)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReproduceOptions {
    /// How far metrics may lie apart. Default nothing.
    pub tolerance: Tolerance,
    /// How far these may.
    pub metrics: BTreeMap<MetricKey, Tolerance>,
    /// Metrics that are not compared: times, temperatures.
    pub ignore: BTreeSet<MetricKey>,
}

impl ReproduceOptions {
    /// Sets how far metrics may lie apart.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: Tolerance) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Sets how far a metric may.
    #[must_use]
    pub fn with_metric(mut self, key: MetricKey, tolerance: Tolerance) -> Self {
        self.metrics.insert(key, tolerance);
        self
    }

    /// Leaves a metric out.
    #[must_use]
    pub fn without(mut self, key: MetricKey) -> Self {
        self.ignore.insert(key);
        self
    }
}

/// One thing in which a run and its reproduction differ. `None` is what one of them does not say.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Difference {
    /// The code: `commit`, `dirty`, `diff`, `lock`, `program`.
    Code {
        /// Which part.
        what: String,
        /// As it was recorded.
        recorded: Option<String>,
        /// As it is.
        found: Option<String>,
    },
    /// Data that went in.
    Data {
        /// What it was used for.
        role: String,
        /// As it was recorded.
        recorded: Option<Digest>,
        /// As it is.
        found: Option<Digest>,
    },
    /// A parameter.
    Param {
        /// Which.
        key: ParamKey,
        /// As it was recorded.
        recorded: Option<String>,
        /// As it is.
        found: Option<String>,
    },
    /// What it ran on: `versions.rustc`, `environment.TZ`, `machine.…`.
    Environment {
        /// Which part.
        what: String,
        /// As it was recorded.
        recorded: Option<String>,
        /// As it is.
        found: Option<String>,
    },
    /// A metric that lies farther away than it may.
    Metric {
        /// Which.
        key: MetricKey,
        /// As it was recorded.
        #[serde(with = "crate::num::json_float")]
        recorded: f64,
        /// As it is.
        #[serde(with = "crate::num::json_float")]
        found: f64,
        /// How far it may lie apart.
        tolerance: Tolerance,
    },
    /// A metric that was recorded and did not come out.
    MissingMetric {
        /// Which.
        key: MetricKey,
        /// As it was recorded.
        #[serde(with = "crate::num::json_float")]
        recorded: f64,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn say<T: fmt::Display>(value: &Option<T>) -> String {
            value.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string)
        }
        let quoted = |text: &Option<String>| text.as_deref().map(crate::error::quote);
        match self {
            Self::Code { what, recorded, found } => {
                write!(f, "code.{what}: {} -> {}", say(&quoted(recorded)), say(&quoted(found)))
            }
            Self::Data { role, recorded, found } => {
                write!(f, "data.{}: {} -> {}", crate::error::quote(role), say(recorded), say(found))
            }
            Self::Param { key, recorded, found } => {
                write!(f, "param {key}: {} -> {}", say(&quoted(recorded)), say(&quoted(found)))
            }
            Self::Environment { what, recorded, found } => {
                let what = crate::error::quote(what);
                write!(f, "{what}: {} -> {}", say(&quoted(recorded)), say(&quoted(found)))
            }
            Self::Metric { key, recorded, found, .. } => write!(f, "metric {key}: {recorded} -> {found}"),
            Self::MissingMetric { key, recorded } => write!(f, "metric {key}: {recorded} -> nothing"),
        }
    }
}

/// What the comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reproducibility {
    /// All metrics came out again, from the same code, data and parameters.
    Reproduced,
    /// A metric did not.
    Differs,
    /// No metric was compared, or it was not the same run: code, data or parameters differ or are not known.
    Inconclusive,
}

/// How a run and its reproduction compare.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReproductionReport {
    /// The run.
    pub run: RunId,
    /// The run in which it was made again, where one was recorded.
    pub again: Option<RunId>,
    /// What the comparison says.
    pub verdict: Reproducibility,
    /// How many metrics were compared.
    pub compared: usize,
    /// Everything that differs: code, data, parameters, environment, metrics, in this order.
    pub differences: Vec<Difference>,
}

impl fmt::Display for ReproductionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Reproducibility::Reproduced => "reproduced",
            Reproducibility::Differs => "not reproduced",
            Reproducibility::Inconclusive => "inconclusive",
        };
        write!(f, "run {}: {verdict}, {} metrics compared", self.run, self.compared)?;
        self.differences.iter().try_for_each(|difference| write!(f, "\n  {difference}"))
    }
}

/// Compares a run with what came out when it was made again, under the capsule of now. Pure; O(everything recorded).
///
/// Code and data that neither side says anything about are not known, and nothing is proved then.
pub fn compare(
    run: &Run,
    again: &Reproduction,
    now: &Capsule,
    options: &ReproduceOptions,
) -> ReproductionReport {
    let mut differences = code(&run.capsule, now);
    let known = run.capsule.code.commit.is_some() || run.capsule.program.digest.is_some();
    differences.extend(data(run, again));
    differences.extend(params(run, again));
    let conditions = differences.len();
    differences.extend(environment(&run.capsule, now));
    let (compared, metrics) = metrics(run, again, options);
    let verdict = match (metrics.is_empty(), conditions) {
        (false, _) => Reproducibility::Differs,
        (true, 0) if known && compared > 0 => Reproducibility::Reproduced,
        _ => Reproducibility::Inconclusive,
    };
    differences.extend(metrics);
    ReproductionReport { run: run.id.clone(), again: None, verdict, compared, differences }
}

fn text<T: ToString>(value: &Option<T>) -> Option<String> {
    value.as_ref().map(ToString::to_string)
}

fn code(recorded: &Capsule, found: &Capsule) -> Vec<Difference> {
    let parts = |capsule: &Capsule| {
        [
            ("commit", text(&capsule.code.commit)),
            ("dirty", text(&capsule.code.dirty)),
            ("diff", text(&capsule.code.diff)),
            ("lock", text(&capsule.lock)),
            ("program", text(&capsule.program.digest)),
        ]
    };
    let pairs = parts(recorded).into_iter().zip(parts(found));
    pairs
        .filter(|((_, recorded), (_, found))| recorded != found)
        .map(|((what, recorded), (_, found))| Difference::Code { what: what.to_owned(), recorded, found })
        .collect()
}

fn data(run: &Run, again: &Reproduction) -> Vec<Difference> {
    let mut recorded = run.capsule.inputs.clone();
    recorded.extend(run.inputs.iter().map(|input| (input.role.clone(), input.digest)));
    let roles: BTreeSet<&String> = recorded.keys().chain(again.inputs.keys()).collect();
    let pairs =
        roles.into_iter().map(|role| (role, recorded.get(role).copied(), again.inputs.get(role).copied()));
    pairs
        .filter(|(_, recorded, found)| recorded != found)
        .map(|(role, recorded, found)| Difference::Data { role: role.clone(), recorded, found })
        .collect()
}

fn params(run: &Run, again: &Reproduction) -> Vec<Difference> {
    let changed = again.params.iter().filter(|(key, value)| run.params.get(*key) != Some(*value));
    changed
        .map(|(key, value)| {
            let (recorded, found) = (run.params.get(key).cloned(), Some(value.clone()));
            Difference::Param { key: key.clone(), recorded, found }
        })
        .collect()
}

/// Names and values that describe what something ran on.
fn surroundings(capsule: &Capsule) -> BTreeMap<String, String> {
    let named = |prefix: &'static str, map: &BTreeMap<String, String>| {
        map.iter().map(|(key, value)| (format!("{prefix}.{key}"), value.clone())).collect::<Vec<_>>()
    };
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    out.extend(named("versions", &capsule.versions));
    out.extend(named("environment", &capsule.environment));
    let machine = serde_json::to_value(&capsule.machine).unwrap_or_default();
    for (key, value) in machine.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        out.insert(format!("machine.{key}"), value);
    }
    out
}

fn environment(recorded: &Capsule, found: &Capsule) -> Vec<Difference> {
    let (recorded, found) = (surroundings(recorded), surroundings(found));
    let names: BTreeSet<&String> = recorded.keys().chain(found.keys()).collect();
    let pairs = names.into_iter().map(|name| (name, recorded.get(name).cloned(), found.get(name).cloned()));
    pairs
        .filter(|(_, recorded, found)| recorded != found)
        .map(|(what, recorded, found)| Difference::Environment { what: what.clone(), recorded, found })
        .collect()
}

fn metrics(run: &Run, again: &Reproduction, options: &ReproduceOptions) -> (usize, Vec<Difference>) {
    let (mut compared, mut differences) = (0, Vec::new());
    for (key, summary) in run.metrics.iter().filter(|(key, _)| !options.ignore.contains(*key)) {
        compared += 1;
        let recorded = summary.last.value;
        let tolerance = options.metrics.get(key).copied().unwrap_or(options.tolerance);
        match again.metrics.get(key) {
            None => differences.push(Difference::MissingMetric { key: key.clone(), recorded }),
            Some(found) if !tolerance.allows(recorded, *found) => {
                differences.push(Difference::Metric { key: key.clone(), recorded, found: *found, tolerance });
            }
            Some(_) => {}
        }
    }
    (compared, differences)
}

/// Makes a recorded run again with a function, and compares.
///
/// The function gets the run's parameters, seeds and data, and says what came out and what data really went in; `now` is the
/// capsule of the program that runs it. With `record`, the reproduction is a run of the same experiment that says whose it is
/// and what the comparison said.
///
/// # Errors
/// Those of the tracker and of the function; [`ErrorKind::Conflict`] for a run that has not ended.
///
/// ```
/// use mlops_core::experiment::reproduce::{ReproduceOptions, Reproducibility, Reproduction, reproduce};
/// use mlops_core::experiment::{Capsule, ExperimentSpec, ExperimentTracker as _, LogBatch, MetricPoint, RunEnd, RunSpec};
/// use mlops_core::memory::MemoryTracker;
/// use mlops_core::{ActorId, ExperimentName, MetricKey, ParamKey};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let tracker = MemoryTracker::default();
/// let (name, loss) = (ExperimentName::new("churn")?, MetricKey::new("loss")?);
/// let mut capsule = Capsule::default().with_seed("model", 7);
/// capsule.code.commit = Some("4bc1a11".to_owned());
/// tracker.ensure_experiment(&ExperimentSpec::new(name.clone())).await?;
/// let run = tracker.start_run(&RunSpec::new(name, "one", ActorId::new("trainer")?).with_capsule(capsule.clone())).await?;
/// let point = MetricPoint::new(loss.clone(), 0.25 * 7.0, run.started_at);
/// tracker.write(&run.id, &LogBatch::new().param(ParamKey::new("rate")?, 0.25).metric(point)).await?;
/// tracker.finish_run(&run.id, &RunEnd::FINISHED).await?;
///
/// let report = reproduce(&tracker, &run.id, &capsule, &ReproduceOptions::default(), None, |recipe| async move {
///     let value = recipe.param::<f64>("rate")? * recipe.seed("model")? as f64;
///     Ok(Reproduction::new().with_metric(MetricKey::new("loss")?, value))
/// }).await?;
/// assert_eq!(report.verdict, Reproducibility::Reproduced);
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn reproduce<F, R>(
    tracker: &dyn ExperimentTracker,
    run: &RunId,
    now: &Capsule,
    options: &ReproduceOptions,
    record: Option<Recording<'_>>,
    function: F,
) -> Result<ReproductionReport>
where
    F: FnOnce(Recipe) -> R,
    R: Future<Output = Result<Reproduction>>,
{
    const OP: &str = "reproduce";
    let recorded = tracker.run(run).await?;
    if !recorded.status.is_final() {
        return Err(Error::new(ErrorKind::Conflict, OP, "the run has not ended").with("run", run));
    }
    let recipe = Recipe::of(&recorded);
    let started_at = record.as_ref().map(|record| record.clock.now());
    let again = function(recipe.clone()).await?;
    let mut report = compare(&recorded, &again, now, options);
    if let Some((record, started_at)) = record.zip(started_at) {
        let mut spec = RunSpec::new(
            recorded.experiment.clone(),
            format!("reproduction of {}", recorded.name),
            record.actor.clone(),
        );
        spec.started_at = Some(started_at);
        let spec = spec
            .with_capsule(now.clone())
            .with_tag(TagKey::new("mlops.reproduction.of")?, run.as_str())
            .with_tag(TagKey::new("mlops.reproduction.verdict")?, verdict_word(report.verdict));
        let made = tracker.start_run(&spec).await?;
        let mut batch = LogBatch { params: recipe.params, inputs: recipe.inputs, ..LogBatch::new() };
        batch.params.extend(again.params.clone());
        let at = record.clock.now();
        batch.metrics = again.metrics.iter().map(|(k, v)| MetricPoint::new(k.clone(), *v, at)).collect();
        tracker.write(&made.id, &batch).await?;
        tracker.finish_run(&made.id, &RunEnd::FINISHED).await?;
        report.again = Some(made.id);
    }
    Ok(report)
}

fn verdict_word(verdict: Reproducibility) -> &'static str {
    match verdict {
        Reproducibility::Reproduced => "reproduced",
        Reproducibility::Differs => "differs",
        Reproducibility::Inconclusive => "inconclusive",
    }
}

/// Who records a reproduction, and by which clock.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct Recording<'a> {
    /// Who.
    pub actor: &'a ActorId,
    /// The clock.
    pub clock: &'a dyn Clock,
}

impl<'a> Recording<'a> {
    /// By this actor and clock.
    pub fn new(actor: &'a ActorId, clock: &'a dyn Clock) -> Self {
        Self { actor, clock }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::MetricSummary;
    use crate::id::ExperimentName;
    use chrono::DateTime;

    fn key(name: &str) -> MetricKey {
        MetricKey::new(name).unwrap()
    }

    fn capsule() -> Capsule {
        let mut capsule =
            Capsule::default().with_seed("split", 3).with_input("training", Digest::of(b"rows"));
        capsule.code.commit = Some("4bc1a11".to_owned());
        capsule.with_version("rustc", "1.95.0")
    }

    fn run(metrics: &[(&str, f64)]) -> Run {
        let (experiment, actor) = (ExperimentName::new("e").unwrap(), ActorId::new("a").unwrap());
        let spec = RunSpec::new(experiment, "r", actor).with_capsule(capsule());
        let mut run = Run::start(spec, DateTime::UNIX_EPOCH);
        run.params.insert(ParamKey::new("rate").unwrap(), "0.1".to_owned());
        for (name, value) in metrics {
            let point = MetricPoint::new(key(name), *value, DateTime::UNIX_EPOCH);
            run.metrics.insert(key(name), MetricSummary::of(point));
        }
        run
    }

    fn again(metrics: &[(&str, f64)]) -> Reproduction {
        let base = Reproduction::new().with_input("training", Digest::of(b"rows"));
        metrics.iter().fold(base, |again, (name, value)| again.with_metric(key(name), *value))
    }

    #[test]
    fn the_same_is_reproduced_and_nan_is_the_same() {
        let metrics = [("auc", 0.9), ("nan", f64::NAN), ("inf", f64::INFINITY)];
        let report = compare(&run(&metrics), &again(&metrics), &capsule(), &ReproduceOptions::default());
        assert_eq!((report.verdict, report.compared), (Reproducibility::Reproduced, 3));
        assert!(report.differences.is_empty());
    }

    #[test]
    fn a_metric_that_is_off_or_missing_is_a_difference() {
        let recorded = run(&[("auc", 0.9), ("loss", 1.0), ("seconds", 12.0)]);
        let found = again(&[("auc", 0.9005), ("seconds", 99.0)]);
        let options = ReproduceOptions::default().without(key("seconds"));
        let report = compare(&recorded, &found, &capsule(), &options);
        assert_eq!((report.verdict, report.compared), (Reproducibility::Differs, 2));
        let tolerance = Tolerance::EXACT;
        let expected = [
            Difference::Metric { key: key("auc"), recorded: 0.9, found: 0.9005, tolerance },
            Difference::MissingMetric { key: key("loss"), recorded: 1.0 },
        ];
        assert_eq!(report.differences, expected);
        let options =
            options.with_metric(key("auc"), Tolerance::new(0.001, 0.0).unwrap()).without(key("loss"));
        let report = compare(&recorded, &found, &capsule(), &options);
        assert_eq!(report.verdict, Reproducibility::Reproduced);
    }

    #[test]
    fn other_code_data_or_parameters_prove_nothing() {
        let metrics = [("auc", 0.9)];
        let verdict = |found: Reproduction, now: Capsule| {
            let report = compare(&run(&metrics), &found, &now, &ReproduceOptions::default());
            (report.verdict, report.differences.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let mut now = capsule();
        now.code.commit = Some("deadbee".to_owned());
        let (said, differences) = verdict(again(&metrics), now);
        assert_eq!(said, Reproducibility::Inconclusive);
        assert_eq!(differences, ["code.commit: 4bc1a11 -> deadbee"]);
        let other = again(&metrics).with_input("training", Digest::of(b"other"));
        assert_eq!(verdict(other, capsule()).0, Reproducibility::Inconclusive);
        let unsaid = Reproduction { inputs: BTreeMap::new(), ..again(&metrics) };
        assert_eq!(verdict(unsaid, capsule()).0, Reproducibility::Inconclusive);
        let other = again(&metrics).with_param(ParamKey::new("rate").unwrap(), 0.2);
        assert_eq!(verdict(other, capsule()).1, ["param rate: 0.1 -> 0.2"]);
        // A run that does not say from what code it came cannot be held against any.
        let mut unknown = run(&metrics);
        unknown.capsule.code.commit = None;
        let mut now = capsule();
        now.code.commit = None;
        let report = compare(&unknown, &again(&metrics), &now, &ReproduceOptions::default());
        assert_eq!(report.verdict, Reproducibility::Inconclusive);
    }

    #[test]
    fn another_environment_is_said_and_does_not_count() {
        let now = capsule().with_version("rustc", "1.96.0");
        let metrics = [("auc", 0.9)];
        let report = compare(&run(&metrics), &again(&metrics), &now, &ReproduceOptions::default());
        assert_eq!(report.verdict, Reproducibility::Reproduced);
        assert_eq!(report.differences.len(), 1);
        assert_eq!(report.differences[0].to_string(), "versions.rustc: 1.95.0 -> 1.96.0");
    }

    #[test]
    fn a_run_without_metrics_proves_nothing() {
        let report = compare(&run(&[]), &again(&[]), &capsule(), &ReproduceOptions::default());
        assert_eq!(report.verdict, Reproducibility::Inconclusive);
    }

    #[test]
    fn reports_are_kept_as_they_are() {
        let report = compare(
            &run(&[("auc", f64::NEG_INFINITY), ("loss", 1.0)]),
            &again(&[("auc", 1.0)]).with_input("test", Digest::of(b"x")),
            &Capsule::default(),
            &ReproduceOptions::default(),
        );
        assert_eq!(report.differences.len(), 5, "{report}");
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<ReproductionReport>(&text).unwrap(), report);
        assert!(Tolerance::new(-1.0, 0.0).is_err() && Tolerance::new(0.0, f64::NAN).is_err());
    }
}
