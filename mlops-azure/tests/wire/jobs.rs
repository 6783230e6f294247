//! Bodies of components, pipelines, AutoML, schedules, run history and sweeps that were made of core's.

use std::time::Duration;

use mlops_azure::compute::of_core;
use mlops_azure::http::Call;
use mlops_azure::job::sweep_job;
use mlops_azure::wire::Resource;
use mlops_azure::wire::component::{CommandComponent, ComponentVersion, Port};
use mlops_azure::wire::history::{History, RunUpdate};
use mlops_azure::wire::job::automl::{
    AutoMlJob, AutoMlLimits, Chosen, ForecastingSettings, Task, TaskType, TrainingSettings,
};
use mlops_azure::wire::job::command::{JobIdentity, JobIdentityType};
use mlops_azure::wire::job::input::ValueType;
use mlops_azure::wire::job::pipeline::{Node, NodeInput, NodeOutput, PipelineJob, PipelineSettings};
use mlops_azure::wire::job::sweep::Trial;
use mlops_azure::wire::job::{CommandJob, Job, JobInput, JobOutput};
use mlops_azure::wire::schedule::{Action, Schedule};
use mlops_azure::wire::schedule_trigger::{Frequency, ScheduleTrigger, WeekDay};
use mlops_core::experiment::sampler::{Goal, GridOptions, RandomOptions, SamplerSpec, SobolOptions};
use mlops_core::experiment::space::{Distribution, SearchSpace};
use mlops_core::experiment::stopping::{Bandit, MedianStopping, Slack, StoppingSpec, TruncationSelection};
use mlops_core::experiment::sweep::{Budget, SweepSpec};
use mlops_core::pipeline::PipelineFormat;
use mlops_core::pipeline::compute::ComputePlan;
use mlops_core::{ActorId, ExperimentName, MetricKey};
use serde_json::{Value, json};

use super::{Built, action, id, material, place, put, read};

fn component() -> CommandComponent {
    CommandComponent::new(
        "c",
        "1",
        "python x.py ${{inputs.d}} ${{outputs.o}}",
        id("environments/e/versions/1"),
    )
    .with_code(id("codes/g/versions/1"))
    .with_input("d", Port::of("uri_folder"))
    .with_output("o", Port::of("uri_folder"))
}

fn components() -> Vec<Built> {
    let at = place().component("c", "1").unwrap();
    let named = ComponentVersion::command(&component()).unwrap();
    let numbers =
        component().with_input("n", Port::of("integer").with_default(3).optional()).not_deterministic();
    let anonymous = ComponentVersion::command(&numbers).unwrap().anonymous();
    let anonymous_at =
        place().component(ComponentVersion::ANONYMOUS, "e27d141e-cd67-1364-897c-5f9ba079f7e7").unwrap();
    let kind = "components/versions";
    vec![
        put(&at, &Resource::new(named), kind, Some("component_command")),
        put(&anonymous_at, &Resource::new(anonymous), kind, None),
    ]
}

fn pipeline() -> PipelineJob {
    let component = || Node::command(id("components/c/versions/1"));
    let settings = PipelineSettings {
        default_compute: Some(id("computes/cpu")),
        continue_on_step_failure: Some(false),
        force_rerun: Some(false),
        ..PipelineSettings::default()
    };
    PipelineJob::new()
        .in_experiment("p")
        .on(id("computes/cpu"))
        .with_input("d", JobInput::data(ValueType::UriFolder, id("data/d/versions/1")))
        .with_output("out", JobOutput::of(ValueType::UriFolder))
        .with_settings(settings)
        .with_step("a", component().with_input("d", NodeInput::of_pipeline("d")))
        .with_step(
            "b",
            component()
                .with_input("d", NodeInput::of_step("a", "o"))
                .with_output("o", NodeOutput::of_pipeline("out")),
        )
}

fn pipelines() -> Vec<Built> {
    let at = place().job("pipeline-1").unwrap();
    let mut as_user = pipeline();
    as_user.identity = Some(JobIdentity::new(JobIdentityType::UserIdentity));
    as_user.settings = None;
    vec![
        put(&at, &Resource::new(Job::from(pipeline())), "jobs", Some("job_pipeline")),
        put(&at, &Resource::new(Job::from(as_user)), "jobs", None),
    ]
}

fn automl() -> Vec<Built> {
    let at = place().job("automl-1").unwrap();
    let table = || id("data/d/versions/1");
    let (hour, minutes) = (Duration::from_secs(3600), Duration::from_secs(1200));
    let mut limits = AutoMlLimits::trials(5, 2).within(hour, minutes);
    limits.enable_early_termination = Some(true);
    let classes = Task::classification(table(), "y").by("AUCWeighted").with_folds(Chosen::value(5));
    let classes = AutoMlJob::new(classes.with_limits(limits.clone())).on(id("computes/cpu"));
    let training = TrainingSettings {
        allowed_training_algorithms: Some(vec!["LightGBM".to_owned(), "ElasticNet".to_owned()]),
        enable_vote_ensemble: Some(false),
        ..TrainingSettings::default()
    };
    let mut number =
        Task::regression(table(), "y").by("R2Score").with_folds(Chosen::auto()).with_training(training);
    number.weight_column_name = Some("w".to_owned());
    let mut series = ForecastingSettings::ahead("day", 14);
    series.time_series_id_column_names = Some(vec!["shop".to_owned()]);
    (series.target_lags, series.seasonality) = (Some(Chosen::values([1, 7])), Some(Chosen::auto()));
    let series = Task::forecasting(table(), "y", series).by("NormalizedRootMeanSquaredError");
    let mut images = Task::of(TaskType::ImageClassification, table());
    images.target_column_name = Some("label".to_owned());
    images.limit_settings = Some(AutoMlLimits { max_trials: Some(2), ..AutoMlLimits::default() });
    images.other.insert("modelSettings".to_owned(), json!({ "validationCropSize": 2 }));
    let job = |task| Resource::new(Job::from(AutoMlJob::new(task).in_experiment("a")));
    vec![
        put(&at, &Resource::new(Job::from(classes)), "jobs", Some("job_automl_classification")),
        put(&at, &job(number), "jobs", None),
        put(&at, &job(series), "jobs", None),
        put(&at, &job(images), "jobs", None),
    ]
}

fn schedules() -> Vec<Built> {
    let at = place().schedule("s").unwrap();
    let command = CommandJob::new("echo", id("environments/e/versions/1")).on(id("computes/cpu"));
    let monday = ScheduleTrigger::cron("0 2 * * 1").unwrap().in_time_zone("UTC").unwrap();
    let cron = Schedule::new(monday, command);
    let weekly = ScheduleTrigger::every(1, Frequency::Week)
        .unwrap()
        .in_time_zone("UTC")
        .unwrap()
        .at([10], [0])
        .unwrap()
        .on_week_days([WeekDay::Monday])
        .unwrap()
        .between(Some("2026-01-05T00:00:00"), None);
    let batch = Schedule::new(weekly, Action::InvokeBatchEndpoint(Default::default())).enabled(true);
    let of_core = |text: &str| {
        let schedule = mlops_core::pipeline::schedule::Schedule::parse(text, PipelineFormat::Toml).unwrap();
        let job = Job::from(pipeline());
        Resource::new(Schedule::new(ScheduleTrigger::try_from(&schedule).unwrap(), job).enabled(false))
    };
    let kind = "schedules";
    vec![
        put(&at, &Resource::new(cron), kind, Some("schedule_job_cron")),
        put(&at, &Resource::new(batch), kind, Some("schedule_job_recurrence")),
        put(&at, &of_core("cron = '30 2 * * *'\ntime_zone = 'America/New_York'"), kind, None),
        put(
            &at,
            &of_core(
                "time_zone = 'Europe/Vienna'\nstart_time = '2026-01-05T09:30:00'\nend_time = '2027-01-05T09:30:00'\n\
                 [recurrence]\nfrequency = 'month'\ninterval = 2\nschedule.month_days = [1, 15]",
            ),
            kind,
            None,
        ),
        put(
            &at,
            &of_core("start_time = '2026-01-05T09:30:00'\n[recurrence]\nfrequency = 'hour'\ninterval = 6"),
            kind,
            None,
        ),
    ]
}

fn sweeps_of_core() -> Vec<Built> {
    let at = place().job("sweep-1").unwrap();
    let space = || {
        SearchSpace::new([
            ("lr", Distribution::log_float(1e-4, 1e-1)),
            ("n", Distribution::choice([16, 32])),
            ("depth", Distribution::int(2, 8)),
            ("drop", Distribution::float(0.0, 0.5)),
            ("kind", Distribution::choice(["gbdt", "dart"])),
        ])
    };
    let of = |space: SearchSpace, sampler, stopping: Option<StoppingSpec>| {
        let (experiment, actor) = (ExperimentName::new("churn").unwrap(), ActorId::new("trainer").unwrap());
        let metric = MetricKey::new("auc").unwrap();
        let budget = Budget::trials(20).with_concurrent(4).with_time(Duration::from_secs(7200));
        let mut spec = SweepSpec::new(experiment, "s", actor, metric, Goal::Maximize, space, sampler)
            .with_seed(1)
            .with_budget(budget.with_trial_time(Duration::from_secs(1200)));
        spec.stopping = stopping;
        let mut trial = Trial::new("python t.py --lr ${{search_space.lr}}", id("environments/e/versions/1"));
        trial.code_id = Some(id("codes/g/versions/1"));
        Resource::new(Job::from(sweep_job(trial, &spec).unwrap().on(id("computes/cpu"))))
    };
    let spec = |sampler, stopping| of(space().unwrap(), sampler, stopping);
    // What Azure's Bayesian sampling takes.
    let plain = SearchSpace::new([
        ("lr", Distribution::Uniform { min: 0.001, max: 0.1 }),
        ("n", Distribution::choice([16, 32])),
    ]);
    let bandit = Bandit::new(Slack::Amount(0.1)).unwrap();
    let truncation = TruncationSelection::new(20).unwrap();
    [
        spec(SamplerSpec::Sobol(SobolOptions::default()), Some(bandit.into())),
        spec(SamplerSpec::Random(RandomOptions::default()), Some(truncation.into())),
        spec(SamplerSpec::Random(RandomOptions::default()), Some(MedianStopping::default().into())),
        of(plain.unwrap(), SamplerSpec::Bayesian(Default::default()), None),
    ]
    .iter()
    .map(|job| put(&at, job, "jobs", None))
    .chain([grid(&at)])
    .collect()
}

/// A grid, which takes no ranges of numbers that have no steps.
fn grid(at: &mlops_azure::wire::At<Resource<Job>>) -> Built {
    let space =
        SearchSpace::new([("n", Distribution::choice([16, 32])), ("depth", Distribution::choice([2, 3, 4]))])
            .unwrap();
    let (experiment, actor) = (ExperimentName::new("churn").unwrap(), ActorId::new("trainer").unwrap());
    let (metric, sampler) = (MetricKey::new("auc").unwrap(), SamplerSpec::Grid(GridOptions::default()));
    let spec = SweepSpec::new(experiment, "g", actor, metric, Goal::Minimize, space, sampler);
    let job = sweep_job(Trial::new("python t.py", "azureml:e:1"), &spec).unwrap();
    put(at, &Resource::new(Job::from(job)), "jobs", None)
}

fn computes_of_core() -> Vec<Built> {
    let plan = "
        [batch.cluster]
        size = 'Standard_DS3_v2'
        max_nodes = 4
        tier = 'low_priority'
        [desk.instance]
        size = 'Standard_DS3_v2'
        idle_shutdown = '30m'
        start_cron = '0 8 * * 1-5'
        stop_cron = '0 18 * * *'
        time_zone = 'Europe/Vienna'
    ";
    let plan = ComputePlan::parse(plan, PipelineFormat::Toml).unwrap();
    let at = place().compute("cpu").unwrap();
    let east = |compute| Resource::new(of_core(compute).unwrap()).with_location("eastus");
    plan.classes().map(|(_, compute)| put(&at, &east(compute), "computes", None)).collect()
}

fn uploads() -> Vec<Built> {
    let at = place().code("g", "1").unwrap();
    let begin: Call<Value> = at.ask("test", "startPendingUpload").unwrap();
    let begin = begin.json(&json!({ "pendingUploadType": "TemporaryBlobReference" })).unwrap();
    vec![action(begin, "start_pending_upload")]
}

pub fn built() -> Vec<Built> {
    let all =
        [components(), pipelines(), automl(), schedules(), sweeps_of_core(), computes_of_core(), uploads()];
    all.into_iter().flatten().collect()
}

/// The calls that the official SDK makes at run history are ours, but for the repeated reads around them.
#[test]
fn run_history_is_asked_as_the_official_sdk_asks() {
    let Some(material) = material() else { return };
    let workspace =
        mlops_azure::config::Workspace::new("00000000-0000-0000-0000-000000000001", "rg", "wsp").unwrap();
    let history = History::from(&workspace);
    let job = "bright_shampoo_5x1t9x0jd5";
    let tags = RunUpdate {
        display_name: Some("dn".to_owned()),
        tags: Some([("k", "v")].into_iter().collect()),
        properties: Some(Default::default()),
        ..RunUpdate::default()
    };
    let ours = [
        line(&history.details("test", job).unwrap()),
        line(&history.update("test", "ex", job, &tags).unwrap()),
        line(&history.update("test", "ex", job, &RunUpdate::hidden(true)).unwrap()),
    ];
    let recorded = read(&material.join("recorded/azure-ai-ml-1.35.2-main.json"));
    let theirs: Vec<(String, String, Value)> = recorded
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|exchange| {
            let (_, path) = exchange["url"].as_str()?.split_once("api.azureml.ms")?;
            let path = path.replace("/workspaces/ws/", "/workspaces/wsp/");
            let is_ours = path.contains("/details") || exchange["method"] == "PATCH";
            is_ours.then(|| (exchange["method"].as_str().unwrap().to_owned(), path, exchange["body"].clone()))
        })
        .collect();
    assert_eq!(theirs, ours);
}

fn line<T>(call: &Call<T>) -> (String, String, Value) {
    let body = call.body().map_or(Value::Null, |body| serde_json::from_slice(body).unwrap());
    (call.method().to_string(), call.target(), body)
}

#[test]
fn a_trigger_of_the_sdk_is_read_whatever_its_case() {
    let text = r#"{"triggerType":"recurrence","frequency":"week","interval":1,"timeZone":"Eastern Standard Time",
        "schedule":{"hours":[10],"minutes":[0],"weekDays":["monday"]},"new":1}"#;
    let trigger: ScheduleTrigger = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_value(&trigger).unwrap()["frequency"], "Week");
    let schedule = trigger.schedule().unwrap();
    let next = schedule.next_after("2026-06-01T00:00:00Z".parse().unwrap());
    assert_eq!(next, Some("2026-06-01T14:00:00Z".parse().unwrap()));
    let never = ScheduleTrigger { frequency: Some("Fortnight".into()), ..trigger };
    assert!(never.schedule().is_err());
}

#[test]
fn an_action_that_is_not_known_is_kept_as_it_is() {
    for text in [
        r#"{"actionType":"CreateMonitor","monitorDefinition":{"signals":{}}}"#,
        r#"{"actionType":"CreateJob","jobDefinition":{"jobType":"Command","command":"x","environmentId":"e"},"new":1}"#,
        r#"{"actionType":"InvokeBatchEndpoint","endpointInvocationDefinition":7}"#,
        r#"{"actionType":"CreateJob"}"#,
    ] {
        let action: Action = serde_json::from_str(text).unwrap();
        assert!(matches!(action, Action::Other(_)), "{text}");
        assert_eq!(serde_json::to_value(action).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }
    let job = r#"{"actionType":"createjob","jobDefinition":{"jobType":"command","command":"x","environmentId":"e"}}"#;
    let action: Action = serde_json::from_str(job).unwrap();
    assert!(matches!(action, Action::CreateJob(Job::Command(_))));
}

#[test]
fn a_job_says_alike_what_all_jobs_have() {
    let job = |text: &str| serde_json::from_str::<Job>(text).unwrap();
    let text = |kind: &str, rest: &str| {
        format!(
            r#"{{"jobType":"{kind}","status":"Running","experimentName":"e","displayName":"d","tags":{{"a":"b"}},
                "properties":{{"p":"q"}},"outputs":{{"o":{{"jobOutputType":"uri_folder"}}}},
                "services":{{"Studio":{{"endpoint":"https://ml.azure.com/runs/x"}},"Other":{{}}}}{rest}}}"#
        )
    };
    let task =
        r#","taskDetails":{"taskType":"Regression","trainingData":{"jobInputType":"mltable","uri":"u"}}"#;
    let sweep = r#","trial":{"command":"x","environmentId":"e"},"objective":{"primaryMetric":"m","goal":"minimize"},
        "samplingAlgorithm":{"samplingAlgorithmType":"Grid"},"searchSpace":{}"#;
    for (kind, rest, needs_token) in [
        ("Command", r#","command":"x","environmentId":"e""#, false),
        ("Command", r#","command":"x","environmentId":"e","identity":{"identityType":"useridentity"}"#, true),
        ("Pipeline", r#","jobs":{}"#, true),
        ("AutoML", task, false),
        ("Sweep", sweep, false),
        ("Spark", r#","entry":{}"#, false),
        ("Spark", r#","identity":{"identityType":"UserIdentity"}"#, true),
    ] {
        let mut job = job(&text(kind, rest));
        assert_eq!(job.job_type(), kind);
        assert_eq!((job.experiment_name(), job.display_name()), (Some("e"), Some("d")), "{kind}");
        assert_eq!((job.tags().get("a"), job.properties().get("p")), (Some("b"), Some("q")), "{kind}");
        assert_eq!(job.outputs().len(), 1, "{kind}");
        assert_eq!(job.services().into_keys().collect::<Vec<_>>(), ["Studio"], "{kind}");
        assert_eq!(job.needs_user_token(), needs_token, "{kind}{rest}");
        job.set_property("r", "s");
        assert_eq!(
            serde_json::to_value(&job).unwrap()["properties"],
            json!({ "p": "q", "r": "s" }),
            "{kind}"
        );
    }
}

/// Jobs as the service has them at times, which are not as the schema has them: each is read, one way or the other.
#[test]
fn an_odd_job_is_read_with_all_of_its_members() {
    let node = |input: Value| {
        json!({ "jobType": "Pipeline", "status": "Completed", "jobs": {
            "train": { "type": "command", "componentId": "c", "inputs": { "lr": input } } } })
    };
    let command = |name: &str, value: Value| {
        let mut job =
            json!({ "jobType": "Command", "command": "x", "environmentId": "e", "status": "Completed" });
        job[name] = value;
        job
    };
    let sweep = json!({ "jobType": "Sweep", "status": "Completed", "trial": { "command": "x", "environmentId": "e" },
        "objective": { "primaryMetric": "auc", "goal": "Maximize" }, "searchSpace": {},
        "samplingAlgorithm": { "samplingAlgorithmType": "Random", "seed": -1 } });
    let untyped =
        json!({ "jobType": "Pipeline", "status": "Completed", "jobs": { "train": { "componentId": "c" } } });
    for (job, typed) in [
        (command("environmentId", Value::Null), false),
        (command("command", Value::Null), false),
        (command("inputs", json!({ "a": null, "b": { "jobInputType": "literal", "value": 0.5 } })), true),
        (node(json!({ "job_input_type": "literal", "value": 0.1 })), true),
        (node(json!({ "job_input_type": "literal", "value": true })), true),
        (node(json!("${{parent.inputs.lr}}")), false),
        (untyped, false),
        (sweep, false),
    ] {
        let read: Resource<Job> = serde_json::from_value(json!({ "name": "j", "properties": job })).unwrap();
        let read = read.properties;
        assert_eq!(!matches!(read, Job::Other(_)), typed, "{job}");
        assert_eq!(
            (read.job_type(), read.status().unwrap().is_final()),
            (job["jobType"].as_str().unwrap(), true)
        );
        if !typed {
            assert_eq!(serde_json::to_value(&read).unwrap(), job, "nothing is lost");
        }
        // Such a job in a schedule, and a schedule without one.
        for definition in [job, Value::Null, json!("x")] {
            let action = json!({ "actionType": "CreateJob", "jobDefinition": definition });
            let read: Action = serde_json::from_value(action.clone()).unwrap();
            if matches!(read, Action::Other(_)) || matches!(read, Action::CreateJob(Job::Other(_))) {
                assert_eq!(serde_json::to_value(&read).unwrap(), action);
            }
        }
    }
    let PipelineJob { jobs, .. } =
        serde_json::from_value(node(json!({ "job_input_type": "literal", "value": 0.1 }))).unwrap();
    assert_eq!(jobs.unwrap()["train"].inputs.as_ref().unwrap()["lr"].value.as_deref(), Some("0.1"));
}
