//! Jobs: how they go on while they are looked at, their run history, their logs, and the trials of sweeps.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mlops_core::experiment::sampler::{AzureSampling, Goal, SuggestRequest, Suggestion};
use mlops_core::experiment::space::{Assignment, SearchSpace, Value as SpaceValue};
use mlops_core::experiment::stopping::{StoppingPolicy as _, TrialReports};
use mlops_core::experiment::sweep::AzureSweep;
use reqwest::Method;
use reqwest::header::{CONTENT_RANGE, RANGE};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::azure::FakeAzure;
use super::exchange::{FakeAnswer, FakePart, FakeRequest};
use super::state::guid;
use crate::config::Cloud;

/// Where logs are: an account of their own, whose addresses are signed by run history.
const LOGS: &str = "stfakelogs.blob.core.windows.net";

/// The log of the command.
const LOG: &str = "user_logs/std_log.txt";

/// Members of a job that a second write may change.
const MUTABLE: [&str; 5] = ["description", "displayName", "isArchived", "properties", "tags"];

/// Members of a job that the service writes.
const SERVED: [&str; 3] = ["services", "status", "parameters"];

/// How a job goes.
///
/// ```
/// use mlops_azure::fake::JobScript;
/// let script = JobScript::fails("UserError", "the data are not there").with_log("reading\nno such file\n");
/// assert!(format!("{script:?}").contains("UserError"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct JobScript {
    log: String,
    failure: Option<(String, String, Vec<String>)>,
    endless: bool,
}

impl JobScript {
    /// It runs and completes.
    pub fn completes() -> Self {
        Self::default()
    }

    /// It runs and fails, with a code and a message.
    pub fn fails(code: &str, message: &str) -> Self {
        Self { failure: Some((code.to_owned(), message.to_owned(), Vec::new())), ..Self::default() }
    }

    /// The same with codes within the code, from the outermost on.
    #[must_use]
    pub fn with_inner(mut self, codes: &[&str]) -> Self {
        if let Some((_, _, inner)) = &mut self.failure {
            *inner = codes.iter().map(|code| (*code).to_owned()).collect();
        }
        self
    }

    /// It runs until it is cancelled.
    pub fn never_ends() -> Self {
        Self { endless: true, ..Self::default() }
    }

    /// The same with what its command writes: a half of it once it runs, all of it once it is over.
    #[must_use]
    pub fn with_log(mut self, text: impl Into<String>) -> Self {
        self.log = text.into();
        self
    }
}

/// What a trial reports for its values, one after the other.
type Trials = Arc<dyn Fn(&Assignment) -> Vec<f64> + Send + Sync>;

/// The part of [`FakeAzure`] for jobs, run history and logs: [`FakeAzure::jobs`].
///
/// A job is `NotStarted`, then `Running`, then `Completed` or `Failed`, each for so many looks: reads of the job and of its run. A second
/// write of a job that changes what cannot be changed is refused with `JobPropertyImmutable`. A sweep's trials are drawn by core's
/// samplers and ended early by core's policies; what they report, the test says.
///
/// ```
/// use mlops_azure::fake::{FakeAzure, JobScript};
/// let azure = FakeAzure::new();
/// azure.jobs().script("train-1", JobScript::fails("OutOfMemory", "killed"));
/// ```
#[derive(Clone, Default)]
pub struct FakeJobs(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    looks: u32,
    strict: bool,
    scripts: BTreeMap<String, JobScript>,
    runs: BTreeMap<String, Run>,
    trials: Option<Trials>,
    /// How many addresses were signed, and how many of them are good no more.
    signed: u64,
    expired: u64,
}

/// How far a job is.
#[derive(Clone, Default)]
struct Run {
    phase: Phase,
    looked: u32,
    log: String,
    trials: Vec<Trial>,
    hidden: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    NotStarted,
    Running,
    CancelRequested,
    Completed,
    Failed,
    Canceled,
}

impl Phase {
    fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled)
    }

    fn has_begun(self) -> bool {
        self != Self::NotStarted
    }
}

#[derive(Clone)]
struct Trial {
    values: Assignment,
    reports: Vec<f64>,
    ended_early: bool,
}

impl FakeJobs {
    /// Jobs that are in every state for one look.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { looks: 1, ..State::default() })))
    }

    /// From now on jobs are in every state for so many looks.
    pub fn looks(&self, looks: u32) -> &Self {
        self.state().looks = looks.max(1);
        self
    }

    /// From now on every second write of a job is refused, also one that changes nothing.
    pub fn strict(&self) -> &Self {
        self.state().strict = true;
        self
    }

    /// What the trials of sweeps report for their values: the metric after each step. Without it there are no trials.
    pub fn trials(&self, reports: impl Fn(&Assignment) -> Vec<f64> + Send + Sync + 'static) -> &Self {
        self.state().trials = Some(Arc::new(reports));
        self
    }

    /// Says how the job of a name goes.
    pub fn script(&self, name: &str, script: JobScript) -> &Self {
        self.state().scripts.insert(name.to_ascii_lowercase(), script);
        self
    }

    /// No address that was signed so far is good any longer.
    pub fn expire_signatures(&self) {
        let mut state = self.state();
        state.expired = state.signed;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arm(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer> {
        let root = azure.workspace().id().to_ascii_lowercase();
        let below = request.path().to_ascii_lowercase();
        let below = below.strip_prefix(&root)?.trim_matches('/').to_owned();
        let parts: Vec<&str> = below.split('/').collect();
        match (&request.method, parts.as_slice()) {
            (&Method::GET, ["jobs", name]) => {
                self.look(azure, name);
                None
            }
            (&Method::PUT, ["jobs", name]) => self.write_again(request, azure, name),
            (&Method::POST, ["jobs", name, "cancel"]) => self.cancel(request, azure, name),
            _ => None,
        }
    }

    fn job(azure: &FakeAzure, name: &str) -> Option<Value> {
        azure.resource(&job_id(azure, name))
    }

    /// One look at a job.
    fn look(&self, azure: &FakeAzure, name: &str) {
        let Some(job) = Self::job(azure, name) else { return };
        // The jobs of batch endpoints are their part's.
        if job.pointer("/properties/properties/azureml.deploymentname").is_some() {
            return;
        }
        let mut state = self.state();
        let script = state.scripts.get(name).cloned().unwrap_or_default();
        let looks = state.looks;
        let objective = state.trials.clone();
        let run = state.runs.entry(name.to_owned()).or_default();
        if run.looked < looks && run.phase != Phase::CancelRequested {
            run.looked += 1;
            return;
        }
        let next = match run.phase {
            Phase::NotStarted => Phase::Running,
            Phase::Running if script.endless => Phase::Running,
            Phase::Running if script.failure.is_some() => Phase::Failed,
            Phase::Running => Phase::Completed,
            Phase::CancelRequested => Phase::Canceled,
            over => over,
        };
        if next == run.phase {
            return;
        }
        (run.phase, run.looked) = (next, 1);
        run.log = script.log;
        if next == Phase::Running && run.trials.is_empty() {
            run.trials = sweep(&job, objective.as_ref());
        }
        let best = best(&job, &run.trials).filter(|_| next == Phase::Completed);
        drop(state);
        set(azure, name, |properties| {
            properties.insert("status".to_owned(), json!(format!("{next:?}")));
            if let Some((number, score)) = best {
                let own = properties.entry("properties").or_insert_with(|| json!({}));
                own["best_child_run_id"] = json!(format!("{name}_{number}"));
                own["score"] = json!(score.to_string());
            }
        });
    }

    /// A write of a job that is there already.
    fn write_again(&self, request: &FakeRequest, azure: &FakeAzure, name: &str) -> Option<FakeAnswer> {
        let old = Self::job(azure, name)?;
        let members = |job: &Value| -> Map<String, Value> {
            let kept = |(name, value): (&String, &Value)| {
                let is_counted = !MUTABLE.contains(&name.as_str()) && !SERVED.contains(&name.as_str());
                (is_counted && !value.is_null()).then(|| (name.clone(), value.clone()))
            };
            job["properties"].as_object().into_iter().flatten().filter_map(kept).collect()
        };
        let is_same = members(&old) == members(&request.json());
        if self.state().strict || !is_same {
            let message = "A job with this name already exists. If you are trying to create a new job, use a different name. If you \
                           are trying to update an existing job, the existing job's properties cannot be changed. Only description, \
                           tags, displayName, properties, and isArchived can be updated.";
            return Some(FakeAnswer::user_error(
                400,
                "UserError",
                message,
                &["Immutable", "JobPropertyImmutable"],
            ));
        }
        let new = request.json();
        set(azure, name, |properties| {
            for name in MUTABLE {
                if let Some(value) = new["properties"].get(name) {
                    properties.insert(name.to_owned(), value.clone());
                }
            }
        });
        Self::job(azure, name).map(FakeAnswer::ok)
    }

    fn cancel(&self, request: &FakeRequest, azure: &FakeAzure, name: &str) -> Option<FakeAnswer> {
        Self::job(azure, name)?;
        {
            let mut state = self.state();
            let run = state.runs.entry(name.to_owned()).or_default();
            if run.phase.is_over() {
                return Some(FakeAnswer::empty(200));
            }
            run.phase = Phase::CancelRequested;
        }
        set(azure, name, |properties| drop(properties.insert("status".to_owned(), json!("CancelRequested"))));
        Some(azure.begin(request, &job_id(azure, name), Value::Null))
    }

    fn history(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer> {
        let root = format!("/history/v1.0{}/", azure.workspace().id());
        let parts: Vec<&str> = request.path().strip_prefix(&root)?.split('/').collect();
        match (&request.method, parts.as_slice()) {
            (&Method::GET, ["runs", name]) => self.run(azure, &name.to_ascii_lowercase()),
            (&Method::GET, ["runs", name, "details"]) => {
                let name = name.to_ascii_lowercase();
                self.look(azure, &name);
                self.details(azure, &name)
            }
            (&Method::PATCH, ["experiments", experiment, "runs", name]) => {
                let name = name.to_ascii_lowercase();
                if let Some(refused) = Self::refuse_experiment(azure, experiment, &name)? {
                    return Some(refused);
                }
                self.update(azure, &name, &request.json());
                self.run(azure, &name)
            }
            (&Method::PATCH, ["experiments", experiment, "runs", name, "tags"]) => {
                let name = name.to_ascii_lowercase();
                if let Some(refused) = Self::refuse_experiment(azure, experiment, &name)? {
                    return Some(refused);
                }
                change_tags(azure, &name, &request.json());
                self.run(azure, &name)
            }
            _ => None,
        }
    }

    /// What is answered where a job is not in the experiment; `None` where there is no such job.
    fn refuse_experiment(azure: &FakeAzure, experiment: &str, name: &str) -> Option<Option<FakeAnswer>> {
        let job = Self::job(azure, name)?;
        let own = job.pointer("/properties/experimentName").and_then(Value::as_str).unwrap_or("Default");
        Some((own != experiment).then(|| {
            let message = format!("The run '{name}' is not in the experiment '{experiment}'.");
            FakeAnswer::user_error(404, "UserError", message, &["NotFoundError"])
        }))
    }

    fn run(&self, azure: &FakeAzure, name: &str) -> Option<FakeAnswer> {
        let job = Self::job(azure, name)?;
        let member = |pointer: &str| job.pointer(pointer).cloned();
        let hidden = self.state().runs.get(name).is_some_and(|run| run.hidden);
        Some(FakeAnswer::ok(json!({
            "runId": name,
            "experimentId": guid(0xe0, 1),
            "status": member("/properties/status"),
            "displayName": member("/properties/displayName"),
            "description": member("/properties/description"),
            "tags": member("/properties/tags"),
            "properties": member("/properties/properties"),
            "hidden": hidden,
        })))
    }

    fn update(&self, azure: &FakeAzure, name: &str, change: &Value) {
        if let Some(hidden) = change["hidden"].as_bool() {
            self.state().runs.entry(name.to_owned()).or_default().hidden = hidden;
        }
        set(azure, name, |properties| {
            for member in ["displayName", "description"] {
                if let Some(text) = change.get(member).filter(|text| text.is_string()) {
                    properties.insert(member.to_owned(), text.clone());
                }
            }
            // Tags and properties are added; to remove tags is another call.
            for member in ["tags", "properties"] {
                let own = properties.entry(member).or_insert_with(|| json!({}));
                for (name, value) in change[member].as_object().into_iter().flatten() {
                    own[name] = value.clone();
                }
            }
            if let Some(hidden) = change.get("hidden") {
                properties.insert("isArchived".to_owned(), hidden.clone());
            }
        });
    }

    fn details(&self, azure: &FakeAzure, name: &str) -> Option<FakeAnswer> {
        Self::job(azure, name)?;
        let now = azure.now().to_rfc3339();
        let mut state = self.state();
        state.signed += 1;
        let signature = state.signed;
        let run = state.runs.get(name).cloned().unwrap_or_default();
        let mut details =
            json!({ "runId": name, "status": format!("{:?}", run.phase), "logFiles": {}, "properties": {} });
        if run.phase.has_begun() {
            details["startTimeUtc"] = json!(now);
            details["logFiles"][LOG] =
                json!(format!("https://{LOGS}/{name}/{LOG}?sv=2022-11-02&sig=hunter2-{signature}"));
        }
        if run.phase.is_over() {
            details["endTimeUtc"] = json!(now);
        }
        let failure = state.scripts.get(name).and_then(|script| script.failure.as_ref());
        if let Some((code, message, inner)) = failure.filter(|_| run.phase == Phase::Failed) {
            let chain = |below: Value, code: &String| json!({ "code": code, "innerError": below });
            let inner = inner.iter().rev().fold(Value::Null, chain);
            details["error"] = json!({
                "error": { "code": code, "message": message, "innerError": inner },
                "correlation": { "operation": guid(0xc0, 7), "request": guid(0xc0, 8) },
                "time": now,
            });
        }
        Some(FakeAnswer::ok(details))
    }

    /// The blob of a log: a half of it while the job is at work.
    fn log(&self, request: &FakeRequest) -> Option<FakeAnswer> {
        let name = request.path().trim_start_matches('/').strip_suffix(LOG)?.trim_end_matches('/');
        let refused = |status, code| {
            Some(FakeAnswer::bytes(status, "application/xml", format!("<Error><Code>{code}</Code></Error>")))
        };
        let state = self.state();
        let run = state.runs.get(name)?;
        let signature =
            request.query("sig").and_then(|sig| sig.strip_prefix("hunter2-")?.parse::<u64>().ok());
        let good = signature.is_some_and(|number| (state.expired + 1..=state.signed).contains(&number));
        // Whoever shows a token where a signature is enough has sent it to a stranger.
        if !good || request.bearer().is_some() {
            return refused(403, "AuthenticationFailed");
        }
        let all = run.log.as_bytes();
        let there = if run.phase.is_over() { all } else { all.get(..all.len() / 2).unwrap_or_default() };
        let Some(range) = request.header(RANGE.as_str()) else {
            return Some(FakeAnswer::bytes(200, "text/plain", there.to_vec()));
        };
        let (from, to) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'))?;
        let from = from.parse::<usize>().ok()?;
        let to = to.parse::<usize>().unwrap_or(usize::MAX).min(there.len().saturating_sub(1));
        match there.get(from..=to).filter(|_| from < there.len()) {
            Some(part) => {
                let says = format!("bytes {from}-{to}/{}", there.len());
                Some(FakeAnswer::bytes(206, "text/plain", part.to_vec()).with(CONTENT_RANGE.as_str(), says))
            }
            None => refused(416, "InvalidRange"),
        }
    }

    /// What trials logged, by MLflow's interface; what is not of a sweep here is somebody else's.
    fn mlflow(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer> {
        const PAGE: usize = 3;
        let root = format!("/mlflow/v2.0{}/api/2.0/mlflow/runs/", azure.workspace().id());
        let state = self.state();
        match (&request.method, request.path().strip_prefix(&root)?) {
            (&Method::GET, "get") => {
                let id = request.query("run_id")?;
                let (parent, number) = id.rsplit_once('_')?;
                let trial = state.runs.get(parent)?.trials.get(number.parse::<usize>().ok()?)?;
                let job = Self::job(azure, parent)?;
                Some(FakeAnswer::ok(json!({ "run": logged(&id, trial, &job) })))
            }
            (&Method::POST, "search") => {
                let body = request.json();
                let filter = body["filter"].as_str()?;
                let parent = filter.strip_prefix("tags.mlflow.parentRunId = '")?.strip_suffix('\'')?;
                let trials = &state.runs.get(parent)?.trials;
                let job = Self::job(azure, parent)?;
                let skip =
                    body["page_token"].as_str().and_then(|token| token.parse::<usize>().ok()).unwrap_or(0);
                let numbered = trials.iter().enumerate().skip(skip).take(PAGE);
                let runs: Vec<Value> =
                    numbered.map(|(n, t)| logged(&format!("{parent}_{n}"), t, &job)).collect();
                let next = skip + PAGE;
                let token = (next < trials.len()).then(|| next.to_string());
                Some(FakeAnswer::ok(json!({ "runs": runs, "next_page_token": token })))
            }
            _ => None,
        }
    }
}

impl FakePart for FakeJobs {
    fn answer(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer> {
        let host = request.host();
        match () {
            () if host == Cloud::Public.resource_manager() => self.arm(request, azure),
            () if host == LOGS => self.log(request),
            () if host.ends_with(".api.azureml.ms") => {
                self.history(request, azure).or_else(|| self.mlflow(request, azure))
            }
            () => None,
        }
    }

    fn complete(&self, resource: &mut Value, azure: &FakeAzure) {
        let kind = resource["type"].as_str().unwrap_or_default();
        if !kind.eq_ignore_ascii_case("Microsoft.MachineLearningServices/workspaces/jobs") {
            return;
        }
        let name = resource["name"].clone();
        let id = azure.workspace().id();
        let tracking = format!("azureml://{}.api.azureml.ms/mlflow/v1.0{id}", super::azure::REGION);
        let studio = format!("https://ml.azure.com/runs/{}?wsid={id}", name.as_str().unwrap_or_default());
        let Some(properties) = resource["properties"].as_object_mut() else { return };
        properties.entry("status").or_insert_with(|| json!("NotStarted"));
        properties.entry("displayName").or_insert(name);
        properties.entry("experimentName").or_insert_with(|| json!("Default"));
        properties.entry("services").or_insert_with(|| {
            json!({
                "Tracking": { "jobServiceType": "Tracking", "endpoint": tracking },
                "Studio": { "jobServiceType": "Studio", "endpoint": studio },
            })
        });
    }
}

impl fmt::Debug for FakeJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("FakeJobs").field("jobs", &state.runs.len()).finish_non_exhaustive()
    }
}

fn job_id(azure: &FakeAzure, name: &str) -> String {
    format!("{}/jobs/{name}", azure.workspace().id())
}

/// Changes tags of a job and removes others.
fn change_tags(azure: &FakeAzure, name: &str, change: &Value) {
    set(azure, name, |properties| {
        let own = properties.entry("tags").or_insert_with(|| json!({}));
        for (name, value) in change["tagsToModify"].as_object().into_iter().flatten() {
            own[name] = value.clone();
        }
        for name in change["tagsToDelete"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if let Some(tags) = own.as_object_mut() {
                tags.remove(name);
            }
        }
    });
}

/// Changes the properties of a job.
fn set(azure: &FakeAzure, name: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    let id = job_id(azure, name);
    let Some(mut job) = azure.resource(&id) else { return };
    // The id as it was written, and not as it is looked for.
    let id = job["id"].as_str().unwrap_or(&id).to_owned();
    if let Some(properties) = job["properties"].as_object_mut() {
        change(properties);
        azure.set_resource(&id, job);
    }
}

/// The trials of a sweep: drawn by its sampler, a few at once, each ended by its policy where that says so.
fn sweep(job: &Value, objective: Option<&Trials>) -> Vec<Trial> {
    const MOST: u64 = 1000;
    let properties = &job["properties"];
    let (Some(objective), true) = (objective, properties["jobType"] == "Sweep") else { return Vec::new() };
    let space = SearchSpace::from_azure_json(&properties["searchSpace"].to_string());
    let sampling = AzureSampling::deserialize(&properties["samplingAlgorithm"]);
    let blocks = AzureSweep::from_wire(properties);
    let (Ok(space), Ok(sampling), Ok(blocks)) = (space, sampling, blocks) else { return Vec::new() };
    let Ok(sampler) = sampling.spec().build() else { return Vec::new() };
    let total = blocks.max_total_trials.min(MOST);
    let at_once = blocks.max_concurrent_trials.unwrap_or(total).clamp(1, MOST);
    let (mut trials, mut reports): (Vec<Trial>, Vec<TrialReports>) = (Vec::new(), Vec::new());
    let mut number = 0;
    while number < total {
        let first = trials.len();
        while number < total && (trials.len() - first) as u64 != at_once {
            let request =
                SuggestRequest::new(&space, blocks.goal, sampling.seed().unwrap_or(0)).with_number(number);
            let Ok(Suggestion::Next(values)) = sampler.suggest(&request) else {
                number = total;
                break;
            };
            let told = objective(&values);
            trials.push(Trial { values, reports: told, ended_early: false });
            reports.push(TrialReports::new(number));
            number += 1;
        }
        run_wave(&mut trials, &mut reports, first, &blocks);
    }
    trials
}

/// Trials that run at once, step by step.
fn run_wave(trials: &mut [Trial], reports: &mut [TrialReports], first: usize, blocks: &AzureSweep) {
    let steps = trials.iter().skip(first).map(|trial| trial.reports.len()).max().unwrap_or(0);
    for step in 0..steps {
        for at in first..trials.len() {
            let Some(trial) = trials.get_mut(at).filter(|trial| !trial.ended_early) else { continue };
            let Some(value) = trial.reports.get(step).copied() else { continue };
            let Some(own) = reports.get_mut(at) else { continue };
            if own.reports.push(step as u64 + 1, value).is_err() {
                continue;
            }
            let stops = match (&blocks.early_termination, reports.get(at)) {
                (Some(policy), Some(own)) => !policy.decide(own, reports, blocks.goal).goes_on(),
                _ => false,
            };
            if stops {
                trial.ended_early = true;
                trial.reports.truncate(step + 1);
            }
        }
    }
}

/// The best trial that came to its end, by its last report.
fn best(job: &Value, trials: &[Trial]) -> Option<(usize, f64)> {
    let goal = match job.pointer("/properties/objective/goal").and_then(Value::as_str) {
        Some(goal) if goal.eq_ignore_ascii_case("maximize") => Goal::Maximize,
        _ => Goal::Minimize,
    };
    let ended = trials.iter().enumerate().filter(|(_, trial)| !trial.ended_early);
    let scored = ended.filter_map(|(number, trial)| Some((number, *trial.reports.last()?)));
    scored.fold(None, |best, (number, score)| match best {
        Some((_, old)) if !goal.is_better(score, old) => best,
        _ => Some((number, score)),
    })
}

/// A trial as MLflow's interface shows it.
fn logged(id: &str, trial: &Trial, job: &Value) -> Value {
    let metric =
        job.pointer("/properties/objective/primaryMetric").and_then(Value::as_str).unwrap_or_default();
    let last = trial.reports.last();
    let metrics: Vec<Value> = last
        .map(|value| json!({ "key": metric, "value": value, "step": trial.reports.len(), "timestamp": 0 }))
        .into_iter()
        .collect();
    let text = |value: &SpaceValue| match value.as_str() {
        Some(text) => text.to_owned(),
        None => serde_json::to_string(value).unwrap_or_default(),
    };
    let params: Vec<Value> =
        trial.values.iter().map(|(name, value)| json!({ "key": name, "value": text(value) })).collect();
    let status = if trial.ended_early { "KILLED" } else { "FINISHED" };
    json!({
        "info": { "run_id": id, "run_uuid": id, "status": status, "experiment_id": guid(0xe0, 1) },
        "data": { "metrics": metrics, "params": params, "tags": [] },
    })
}
