//! Experiments and runs.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::filter::{self, Cell, Clause, Column, Order};
use super::{Ask, Fail, Limits, check_key, integer, lean, now, paged, pair, required, shown_pairs, token};
use crate::mlflow::wire::float;

const STATES: [&str; 5] = ["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"];

/// The longest text of a parameter; a longer one is cut.
const PARAM: usize = 6_000;

/// What a request may hold at most.
const METRICS: usize = 1_000;
const PAIRS: usize = 100;

pub(super) struct Tracking {
    experiments: Vec<Experiment>,
    runs: Vec<Run>,
    places: HashMap<String, usize>,
    /// Batches that were taken and not asked for since.
    pending: HashSet<String>,
}

struct Experiment {
    id: String,
    name: String,
    location: Option<String>,
    deleted: bool,
    created: i64,
    updated: i64,
    tags: BTreeMap<String, String>,
}

struct Run {
    id: String,
    experiment: String,
    name: String,
    user: String,
    status: &'static str,
    start: i64,
    end: Option<i64>,
    location: String,
    deleted: bool,
    params: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    metrics: BTreeMap<String, Series>,
    datasets: Vec<Value>,
}

/// All values of one metric.
#[derive(Default)]
struct Series {
    points: Vec<Point>,
    known: HashSet<(i64, i64, u64, bool)>,
}

/// A value as a database keeps it: infinities are the largest numbers, NaN is zero with a mark.
#[derive(Clone, Copy)]
struct Point {
    value: f64,
    nan: bool,
    time: i64,
    step: i64,
}

impl Point {
    /// Reads a value; what JSON cannot say is one of three texts, and any other text is zero.
    fn read(value: &Value, time: i64, step: i64) -> Self {
        let number = match value.as_str() {
            Some("NaN") => f64::NAN,
            Some("Infinity") => f64::INFINITY,
            Some("-Infinity") => f64::NEG_INFINITY,
            Some(_) => 0.0,
            None => value.as_f64().unwrap_or_default(),
        };
        let nan = number.is_nan();
        // Zero has one sign to a database.
        let value = if nan { 0.0 } else { number.clamp(f64::MIN, f64::MAX) + 0.0 };
        Self { value, nan, time, step }
    }

    fn order(&self, other: &Self) -> Ordering {
        (self.step, self.time).cmp(&(other.step, other.time)).then(self.value.total_cmp(&other.value))
    }

    fn show(&self, key: &str) -> Value {
        let value = if self.nan { float(f64::NAN) } else { float(self.value) };
        json!({ "key": key, "value": value, "timestamp": self.time, "step": self.step })
    }
}

impl Series {
    fn add(&mut self, point: Point) {
        if self.known.insert((point.time, point.step, point.value.to_bits(), point.nan)) {
            self.points.push(point);
        }
    }

    fn latest(&self) -> Option<&Point> {
        self.points.iter().max_by(|left, right| left.order(right))
    }
}

impl Default for Tracking {
    fn default() -> Self {
        let made = now();
        let experiment = Experiment {
            id: "0".to_owned(),
            name: "Default".to_owned(),
            location: None,
            deleted: false,
            created: made,
            updated: made,
            tags: BTreeMap::new(),
        };
        Self {
            experiments: vec![experiment],
            runs: Vec::new(),
            places: HashMap::new(),
            pending: HashSet::new(),
        }
    }
}

fn stage(deleted: bool) -> &'static str {
    if deleted { "deleted" } else { "active" }
}

/// Whether a row of this stage is in a view.
fn in_view(view: Option<&str>, deleted: bool) -> bool {
    match view {
        Some("ALL") => true,
        Some("DELETED_ONLY") => deleted,
        _ => !deleted,
    }
}

impl Experiment {
    fn show(&self, address: &str) -> Value {
        let location = self.location.clone().unwrap_or_else(|| format!("{address}/experiments/{}", self.id));
        lean(json!({
            "experiment_id": self.id, "name": self.name, "artifact_location": location,
            "lifecycle_stage": stage(self.deleted), "creation_time": self.created,
            "last_update_time": self.updated, "tags": shown_pairs(&self.tags),
        }))
    }

    fn cell(&self, column: Column, key: &str) -> Option<Cell> {
        match (column, key) {
            (Column::Tag, key) => self.tags.get(key).cloned().map(Cell::Text),
            (Column::Attribute, "name") => Some(Cell::Text(self.name.clone())),
            (Column::Attribute, "experiment_id") => Some(Cell::Text(self.id.clone())),
            (Column::Attribute, "creation_time") => Some(Cell::Number(self.created as f64)),
            (Column::Attribute, "last_update_time") => Some(Cell::Number(self.updated as f64)),
            _ => None,
        }
    }
}

impl Run {
    fn info(&self) -> Value {
        lean(json!({
            "run_id": self.id, "run_uuid": self.id, "run_name": self.name, "experiment_id": self.experiment,
            "user_id": self.user, "status": self.status, "start_time": self.start, "end_time": self.end,
            "artifact_uri": self.location, "lifecycle_stage": stage(self.deleted),
        }))
    }

    fn show(&self) -> Value {
        let latest = |(key, series): (&String, &Series)| series.latest().map(|point| point.show(key));
        let metrics: Vec<Value> = self.metrics.iter().filter_map(latest).collect();
        let data = json!({
            "metrics": metrics, "params": shown_pairs(&self.params), "tags": shown_pairs(&self.tags),
        });
        let inputs = lean(json!({ "dataset_inputs": self.datasets }));
        json!({ "info": self.info(), "data": lean(data), "inputs": inputs })
    }

    fn cell(&self, column: Column, key: &str) -> Option<Cell> {
        let text = |text: &str| Some(Cell::Text(text.to_owned()));
        match (column, key) {
            (Column::Metric, key) => self.metrics.get(key)?.latest().map(|point| Cell::Number(point.value)),
            (Column::Param, key) => self.params.get(key).cloned().map(Cell::Text),
            (Column::Tag, key) => self.tags.get(key).cloned().map(Cell::Text),
            (Column::Attribute, "run_id" | "run_uuid") => text(&self.id),
            (Column::Attribute, "run_name" | "run name" | "Run name") => text(&self.name),
            (Column::Attribute, "status") => text(self.status),
            (Column::Attribute, "user_id" | "user") => text(&self.user),
            (Column::Attribute, "artifact_uri") => text(&self.location),
            (Column::Attribute, "start_time" | "created" | "Created") => {
                Some(Cell::Number(self.start as f64))
            }
            (Column::Attribute, "end_time") => self.end.map(|end| Cell::Number(end as f64)),
            _ => None,
        }
    }

    fn matches(&self, clauses: &[Clause]) -> bool {
        clauses.iter().all(|clause| clause.matches(self.cell(clause.column, &clause.key).as_ref()))
    }

    fn set_tag(&mut self, key: &str, value: &str, limits: &Limits) -> Result<(), Fail> {
        check_key("Tag", key, limits.tag_key)?;
        let length = value.chars().count();
        if length > limits.tag_value && !limits.cuts {
            let limit = limits.tag_value;
            return Err(Fail::invalid(format!(
                "Tag value had length {length}, which exceeded length limit of {limit}"
            )));
        }
        if !self.tags.contains_key(key) && self.tags.len() >= limits.tags {
            return Err(Fail::invalid(format!("A run can have at most {} tags", limits.tags)));
        }
        if key == "mlflow.runName" {
            value.clone_into(&mut self.name);
        }
        self.tags.insert(key.to_owned(), value.chars().take(limits.tag_value).collect());
        Ok(())
    }

    /// The first value of a parameter stays; whether this one differs.
    fn differs(&self, key: &str, value: &str) -> Option<&String> {
        self.params.get(key).filter(|there| *there != value)
    }

    fn set_param(&mut self, key: &str, value: &str) {
        self.params.insert(key.to_owned(), value.chars().take(PARAM).collect());
    }
}

fn cut(value: &str) -> String {
    value.chars().take(PARAM).collect()
}

fn metric(value: &Value) -> Result<(String, Point), Fail> {
    let key = value["key"].as_str().ok_or_else(|| required("key"))?;
    check_key("Metric", key, 250)?;
    if value["value"].is_null() {
        return Err(required("value"));
    }
    let time = integer(&value["timestamp"]).ok_or_else(|| required("timestamp"))?;
    if time < 0 {
        return Err(Fail::invalid(format!("Got invalid timestamp {time} for metric '{key}'")));
    }
    Ok((key.to_owned(), Point::read(&value["value"], time, integer(&value["step"]).unwrap_or_default())))
}

impl Tracking {
    pub(super) fn answer(&mut self, call: &Ask, path: &str, limits: &Limits) -> Result<Value, Fail> {
        match (&call.method, path) {
            (&Method::POST, "experiments/create") => self.create_experiment(call),
            (&Method::GET, "experiments/get") => {
                let id = call.required("experiment_id")?;
                Ok(json!({ "experiment": self.experiment(id)?.show(&call.address) }))
            }
            (&Method::GET, "experiments/get-by-name") => {
                let name = call.required("experiment_name")?;
                let found = self.experiments.iter().find(|experiment| experiment.name == name);
                let missing = || Fail::missing(format!("Could not find experiment with name '{name}'"));
                Ok(json!({ "experiment": found.ok_or_else(missing)?.show(&call.address) }))
            }
            (&Method::POST | &Method::GET, "experiments/search") => self.search_experiments(call),
            (&Method::POST, "experiments/delete") => self.set_experiment_deleted(call, true),
            (&Method::POST, "experiments/restore") => self.set_experiment_deleted(call, false),
            (&Method::POST, "experiments/update") => self.rename_experiment(call),
            (&Method::POST, "experiments/set-experiment-tag") => self.tag_experiment(call),
            (&Method::POST, "runs/create") => self.create_run(call, limits),
            (&Method::GET, "runs/get") => Ok(json!({ "run": self.run(run_id(call)?)?.show() })),
            (&Method::POST, "runs/update") => self.update_run(call, limits),
            (&Method::POST, "runs/search") => self.search_runs(call),
            (&Method::POST, "runs/delete") => self.set_run_deleted(call, true),
            (&Method::POST, "runs/restore") => self.set_run_deleted(call, false),
            (&Method::POST, "runs/log-metric") => {
                let (key, point) = metric(&Value::Object(call.arguments.clone()))?;
                self.open_run(run_id(call)?)?.metrics.entry(key).or_default().add(point);
                Ok(json!({}))
            }
            (&Method::POST, "runs/log-parameter") => self.log_param(call),
            (&Method::POST, "runs/set-tag") => {
                let (key, value) = pair(&Value::Object(call.arguments.clone()))?;
                self.open_run(run_id(call)?)?.set_tag(&key, &value, limits)?;
                Ok(json!({}))
            }
            (&Method::POST, "runs/delete-tag") => self.delete_tag(call),
            (&Method::POST, "runs/log-batch") => self.log_batch(call, limits),
            (&Method::POST, "runs/log-inputs") => {
                let datasets = call.list("datasets")?;
                self.open_run(run_id(call)?)?.datasets.extend(datasets);
                Ok(json!({}))
            }
            (&Method::GET, "metrics/get-history") => self.history(call),
            _ => Err(Fail::absent()),
        }
    }

    /// What Azure Machine Learning adds: batches that are stored later. They are here once they were asked for.
    pub(super) fn answer_preview(&mut self, call: &Ask, path: &str, limits: &Limits) -> Result<Value, Fail> {
        match (&call.method, path) {
            (&Method::POST, "runs/log-batch-async") => {
                self.log_batch(call, limits)?;
                let batch = Uuid::new_v4().to_string();
                self.pending.insert(batch.clone());
                Ok(json!({ "batch_tracking_id": batch }))
            }
            (&Method::GET, "runs/get-run-data-status") => {
                self.run(run_id(call)?)?;
                Ok(json!({ "is_complete": !self.pending.remove(call.required("batch_tracking_id")?) }))
            }
            _ => Err(Fail::absent()),
        }
    }

    fn experiment(&self, id: &str) -> Result<&Experiment, Fail> {
        let found = self.experiments.iter().find(|experiment| experiment.id == id);
        found.ok_or_else(|| Fail::missing(format!("No Experiment with id={id} exists")))
    }

    fn experiment_mut(&mut self, id: &str, deleted: Option<bool>) -> Result<&mut Experiment, Fail> {
        let fits = |e: &&mut Experiment| e.id == id && deleted.is_none_or(|deleted| e.deleted == deleted);
        let found = self.experiments.iter_mut().find(fits);
        found.ok_or_else(|| Fail::missing(format!("No Experiment with id={id} exists")))
    }

    fn active_experiment(&self, id: &str) -> Result<(), Fail> {
        match self.experiment(id)?.deleted {
            false => Ok(()),
            true => Err(Fail::invalid(format!(
                "The experiment {id} must be in the 'active' state. Current state is deleted."
            ))),
        }
    }

    fn create_experiment(&mut self, call: &Ask) -> Result<Value, Fail> {
        let name = call.required("name")?;
        let length = name.chars().count();
        if length > 500 {
            return Err(Fail::invalid(format!(
                "Experiment name had length {length}, which exceeded length limit of 500"
            )));
        }
        if self.experiments.iter().any(|experiment| experiment.name == name) {
            return Err(Fail::exists(format!("Experiment(name={name}) already exists.")));
        }
        let (id, made) = (self.experiments.len().to_string(), now());
        self.experiments.push(Experiment {
            id: id.clone(),
            name: name.to_owned(),
            location: call.text("artifact_location").filter(|l| !l.is_empty()).map(str::to_owned),
            deleted: false,
            created: made,
            updated: made,
            tags: call.pairs("tags")?.into_iter().collect(),
        });
        Ok(json!({ "experiment_id": id }))
    }

    fn search_experiments(&self, call: &Ask) -> Result<Value, Fail> {
        let clauses = filter::parse(call.text("filter").unwrap_or_default())?;
        let orders = orders(call)?;
        let page = call.page(1_000, 50_000)?;
        let view = call.text("view_type");
        let matches = |e: &&Experiment| {
            in_view(view, e.deleted)
                && clauses.iter().all(|clause| clause.matches(e.cell(clause.column, &clause.key).as_ref()))
        };
        // The newest first, where nothing else is asked for.
        let mut found: Vec<&Experiment> = self.experiments.iter().rev().filter(matches).collect();
        found.sort_by(|left, right| {
            by(&orders, |column, key| left.cell(column, key), |column, key| right.cell(column, key))
        });
        Ok(paged("experiments", found, page, |experiment| experiment.show(&call.address)))
    }

    fn set_experiment_deleted(&mut self, call: &Ask, deleted: bool) -> Result<Value, Fail> {
        let id = call.required("experiment_id")?;
        let experiment = self.experiment_mut(id, Some(!deleted))?;
        (experiment.deleted, experiment.updated) = (deleted, now());
        self.runs.iter_mut().filter(|run| run.experiment == id).for_each(|run| run.deleted = deleted);
        Ok(json!({}))
    }

    fn rename_experiment(&mut self, call: &Ask) -> Result<Value, Fail> {
        let (id, name) = (call.required("experiment_id")?, call.required("new_name")?);
        if self.experiments.iter().any(|experiment| experiment.name == name && experiment.id != id) {
            return Err(Fail::exists(format!("Experiment(name={name}) already exists.")));
        }
        self.active_experiment(id)?;
        let experiment = self.experiment_mut(id, None)?;
        (experiment.name, experiment.updated) = (name.to_owned(), now());
        Ok(json!({}))
    }

    fn tag_experiment(&mut self, call: &Ask) -> Result<Value, Fail> {
        let id = call.required("experiment_id")?;
        let (key, value) = pair(&Value::Object(call.arguments.clone()))?;
        self.active_experiment(id)?;
        self.experiment_mut(id, None)?.tags.insert(key, value);
        Ok(json!({}))
    }

    fn run(&self, id: &str) -> Result<&Run, Fail> {
        let found = self.places.get(id).and_then(|place| self.runs.get(*place));
        found.ok_or_else(|| Fail::missing(format!("Run with id={id} not found")))
    }

    fn run_mut(&mut self, id: &str) -> Result<&mut Run, Fail> {
        let found = self.places.get(id).and_then(|place| self.runs.get_mut(*place));
        found.ok_or_else(|| Fail::missing(format!("Run with id={id} not found")))
    }

    /// A run that can be written to.
    fn open_run(&mut self, id: &str) -> Result<&mut Run, Fail> {
        let run = self.run_mut(id)?;
        match run.deleted {
            false => Ok(run),
            true => Err(Fail::invalid(format!(
                "The run {id} must be in the 'active' state. Current state is deleted."
            ))),
        }
    }

    pub(super) fn start_job(&mut self, address: &str, experiment: &str, run: &str) {
        let made = now();
        let found =
            self.experiments.iter().find(|known| known.name == experiment).map(|known| known.id.clone());
        let id = found.unwrap_or_else(|| {
            let id = self.experiments.len().to_string();
            self.experiments.push(Experiment {
                id: id.clone(),
                name: experiment.to_owned(),
                location: None,
                deleted: false,
                created: made,
                updated: made,
                tags: BTreeMap::new(),
            });
            id
        });
        self.places.insert(run.to_owned(), self.runs.len());
        self.runs.push(Run {
            location: format!("{address}/experiments/{experiment}/runs/{run}/artifacts"),
            id: run.to_owned(),
            experiment: id,
            name: run.to_owned(),
            user: "service".to_owned(),
            status: "RUNNING",
            start: made,
            end: None,
            deleted: false,
            params: BTreeMap::new(),
            tags: BTreeMap::from([("mlflow.user".to_owned(), "service".to_owned())]),
            metrics: BTreeMap::new(),
            datasets: Vec::new(),
        });
    }

    fn create_run(&mut self, call: &Ask, limits: &Limits) -> Result<Value, Fail> {
        let experiment = call.text("experiment_id").unwrap_or("0");
        self.active_experiment(experiment)?;
        let id = Uuid::new_v4().simple().to_string();
        let tags = call.pairs("tags")?;
        let tagged = tags.iter().find(|(key, _)| key == "mlflow.runName").map(|(_, name)| name.as_str());
        let named = call.text("run_name").filter(|name| !name.is_empty());
        if let (Some(named), Some(tagged)) = (named, tagged)
            && named != tagged
        {
            return Err(Fail::invalid(format!(
                "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values \
                 (run_name='{named}', mlflow.runName='{tagged}')."
            )));
        }
        let name = named
            .or(tagged)
            .map_or_else(|| format!("run-{}", id.get(..8).unwrap_or_default()), str::to_owned);
        let mut run = Run {
            location: format!("{}/experiments/{experiment}/runs/{id}/artifacts", call.address),
            id: id.clone(),
            experiment: experiment.to_owned(),
            name: name.clone(),
            user: call.text("user_id").unwrap_or_default().to_owned(),
            status: "RUNNING",
            start: call.integer("start_time").unwrap_or_default(),
            end: None,
            deleted: false,
            params: BTreeMap::new(),
            tags: BTreeMap::new(),
            metrics: BTreeMap::new(),
            datasets: Vec::new(),
        };
        for (key, value) in &tags {
            run.set_tag(key, value, limits)?;
        }
        run.set_tag("mlflow.runName", &name, limits)?;
        let shown = run.show();
        self.places.insert(id, self.runs.len());
        self.runs.push(run);
        Ok(json!({ "run": shown }))
    }

    fn update_run(&mut self, call: &Ask, limits: &Limits) -> Result<Value, Fail> {
        let status = call.text("status").and_then(|text| STATES.into_iter().find(|state| *state == text));
        let (end, name) = (call.integer("end_time"), call.text("run_name").filter(|name| !name.is_empty()));
        let run = self.open_run(run_id(call)?)?;
        // A status that it does not know is not there.
        run.status = status.unwrap_or(run.status);
        run.end = end.or(run.end);
        if let Some(name) = name {
            run.set_tag("mlflow.runName", name, limits)?;
        }
        Ok(json!({ "run_info": run.info() }))
    }

    fn set_run_deleted(&mut self, call: &Ask, deleted: bool) -> Result<Value, Fail> {
        self.run_mut(run_id(call)?)?.deleted = deleted;
        Ok(json!({}))
    }

    fn search_runs(&self, call: &Ask) -> Result<Value, Fail> {
        let experiments = call.texts("experiment_ids")?;
        let clauses = filter::parse(call.text("filter").unwrap_or_default())?;
        let orders = orders(call)?;
        let page = call.page(1_000, 50_000)?;
        let view = call.text("run_view_type");
        let matches =
            |r: &&Run| in_view(view, r.deleted) && experiments.contains(&r.experiment) && r.matches(&clauses);
        let mut found: Vec<&Run> = self.runs.iter().filter(matches).collect();
        found.sort_by(|left, right| {
            by(&orders, |column, key| left.cell(column, key), |column, key| right.cell(column, key))
                .then(right.start.cmp(&left.start))
                .then(left.id.cmp(&right.id))
        });
        // A full page has a token, also when there is nothing after it.
        let full = found.len() == page.0.saturating_add(page.1);
        let mut answer = paged("runs", found, page, |run| run.show());
        if full {
            answer["next_page_token"] = token(page.0.saturating_add(page.1)).into();
        }
        Ok(answer)
    }

    fn log_param(&mut self, call: &Ask) -> Result<Value, Fail> {
        let (key, value) = pair(&Value::Object(call.arguments.clone()))?;
        check_key("Parameter", &key, 250)?;
        let id = run_id(call)?;
        let (run, value) = (self.open_run(id)?, cut(&value));
        if let Some(there) = run.differs(&key, &value) {
            return Err(Fail::invalid(format!(
                "Changing param values is not allowed. Param with key='{key}' was already logged with value='{there}' \
                 for run ID='{id}'. Attempted logging new value '{value}'."
            )));
        }
        run.set_param(&key, &value);
        Ok(json!({}))
    }

    fn delete_tag(&mut self, call: &Ask) -> Result<Value, Fail> {
        let (id, key) = (run_id(call)?, call.required("key")?);
        match self.open_run(id)?.tags.remove(key) {
            Some(_) => Ok(json!({})),
            None => Err(Fail::missing(format!("No tag with name: {key} in run with id {id}"))),
        }
    }

    fn log_batch(&mut self, call: &Ask, limits: &Limits) -> Result<Value, Fail> {
        let id = run_id(call)?;
        let (metrics, params, tags) = (call.list("metrics")?, call.list("params")?, call.list("tags")?);
        for (what, count, most) in [
            ("metrics", metrics.len(), METRICS),
            ("params", params.len(), PAIRS),
            ("tags", tags.len(), PAIRS),
        ] {
            if count > most {
                return Err(Fail::invalid(format!(
                    "A batch logging request can contain at most {most} {what}. Got {count} {what}. Please split up {what} \
                     across multiple requests and try again."
                )));
            }
        }
        let total = metrics.len() + params.len() + tags.len();
        if total > METRICS {
            return Err(Fail::invalid(format!(
                "A batch logging request can contain at most {METRICS} metrics, params, and tags in total. Got {total}."
            )));
        }
        // Everything is looked at before anything is written.
        let metrics = metrics.iter().map(metric).collect::<Result<Vec<_>, _>>()?;
        let params = params.iter().map(pair).collect::<Result<Vec<_>, _>>()?;
        let tags = tags.iter().map(pair).collect::<Result<Vec<_>, _>>()?;
        let mut seen = HashSet::new();
        for (key, _) in &params {
            check_key("Parameter", key, 250)?;
            if !seen.insert(key) {
                return Err(Fail::invalid(format!(
                    "Duplicate parameter keys have been submitted: ['{key}']"
                )));
            }
        }
        for (key, _) in &tags {
            check_key("Tag", key, limits.tag_key)?;
        }
        let run = self.open_run(id)?;
        let other = params.iter().find_map(|(key, value)| {
            let value = cut(value);
            run.differs(key, &value)
                .map(|there| format!("'key': '{key}', 'old_value': '{there}', 'new_value': '{value}'"))
        });
        if let Some(other) = other {
            return Err(Fail::invalid(format!(
                "Changing param values is not allowed. Params were already logged='[{{{other}}}]' for run ID='{id}'."
            )));
        }
        params.iter().for_each(|(key, value)| run.set_param(key, value));
        metrics.into_iter().for_each(|(key, point)| run.metrics.entry(key).or_default().add(point));
        tags.iter().try_for_each(|(key, value)| run.set_tag(key, value, limits))?;
        Ok(json!({}))
    }

    fn history(&self, call: &Ask) -> Result<Value, Fail> {
        let (run, key) = (self.run(run_id(call)?)?, call.required("metric_key")?);
        let mut points = run.metrics.get(key).map(|series| series.points.clone()).unwrap_or_default();
        points.sort_by(|left, right| left.time.cmp(&right.time).then(left.order(right)));
        let shown: Vec<Value> = points.iter().map(|point| point.show(key)).collect();
        Ok(lean(json!({ "metrics": shown })))
    }
}

/// The id of a run; a text that can be none is that of no run.
fn run_id(call: &Ask) -> Result<&str, Fail> {
    let id = call.text("run_id").or_else(|| call.text("run_uuid")).filter(|id| !id.is_empty());
    id.ok_or_else(|| required("run_id"))
}

fn orders(call: &Ask) -> Result<Vec<Order>, Fail> {
    call.texts("order_by")?.iter().map(|text| Order::parse(text)).collect()
}

/// The order of two rows by several columns.
fn by(
    orders: &[Order],
    left: impl Fn(Column, &str) -> Option<Cell>,
    right: impl Fn(Column, &str) -> Option<Cell>,
) -> Ordering {
    orders.iter().fold(Ordering::Equal, |found, order| {
        found.then_with(|| {
            let (left, right) = (left(order.column, &order.key), right(order.column, &order.key));
            order.compare(left.as_ref(), right.as_ref())
        })
    })
}
