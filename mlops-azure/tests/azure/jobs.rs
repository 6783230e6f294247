//! Jobs: submitted once, followed, read and cancelled; sweeps of core and their trials.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use mlops_azure::config::Cloud;
use mlops_azure::config::cloud::Audience;
use mlops_azure::environment::{CodeSource, Environments, PendingUpload};
use mlops_azure::fake::{FakeAnswer, FakeAzure, FakePart, FakeRequest, JobScript};
use mlops_azure::job::{JobFilter, Jobs, ListView, LogOptions, sweep_job};
use mlops_azure::wire::EnvironmentVersion;
use mlops_azure::wire::component::{CommandComponent, Port};
use mlops_azure::wire::history::{RunUpdate, TagChange};
use mlops_azure::wire::job::command::{JobIdentity, JobIdentityType};
use mlops_azure::wire::job::input::ValueType;
use mlops_azure::wire::job::pipeline::{Node, NodeInput, PipelineJob};
use mlops_azure::wire::job::sweep::Trial;
use mlops_azure::wire::job::{CommandJob, JobInput, JobOutput, JobStatus};
use mlops_core::experiment::sampler::{Goal, SamplerSpec, SobolOptions};
use mlops_core::experiment::space::{Assignment, Distribution, SearchSpace};
use mlops_core::experiment::stopping::{Bandit, EvaluationSchedule, Slack};
use mlops_core::experiment::sweep::{Budget, SweepSpec};
use mlops_core::hash::Digest;
use mlops_core::{ActorId, ErrorKind, ExperimentName, MetricKey};
use serde_json::json;

use crate::judged;
use crate::log::Log;

/// What signatures of the fake have in them.
const CANARY: &str = "hunter2";

/// What those of storage have in them.
const SAS: &str = "sas-canary";

/// A folder of code that notes where it was uploaded.
#[derive(Debug, Default)]
struct Code {
    content: &'static str,
    uploads: Mutex<Vec<PendingUpload>>,
}

impl Code {
    fn of(content: &'static str) -> Self {
        Self { content, uploads: Mutex::default() }
    }
}

#[async_trait]
impl CodeSource for Code {
    async fn digest(&self) -> mlops_core::Result<Digest> {
        Ok(Digest::of(self.content.as_bytes()))
    }

    async fn upload(&self, to: &PendingUpload) -> mlops_core::Result<String> {
        self.uploads.lock().unwrap().push(to.clone());
        Ok("src".to_owned())
    }
}

fn jobs(azure: &FakeAzure) -> Jobs {
    Jobs::new(azure.arm(), &azure.workspace())
}

fn command(rate: f64) -> CommandJob {
    CommandJob::new("python train.py --lr ${{inputs.lr}}", "azureml:train:1")
        .in_experiment("churn")
        .with_input("lr", JobInput::literal(rate))
        .with_output("model", JobOutput::mounted(ValueType::UriFolder))
}

/// What a test shows of requests: method and path below the workspace.
fn below(azure: &FakeAzure) -> Vec<String> {
    let id = azure.workspace().id();
    let short = |line: String| line.split('?').next().unwrap_or_default().replace(&id, "");
    azure
        .requests()
        .into_iter()
        .map(short)
        .map(|line| line.replace("https://management.azure.com", ""))
        .collect()
}

#[tokio::test]
async fn a_job_with_local_code_takes_four_calls_and_the_next_one_a_single_one() {
    let azure = judged();
    let jobs = jobs(&azure);
    let code = Code::of("print('hello')");
    let submit = async |jobs: &Jobs, name: &str| {
        azure.forget_requests();
        let id = jobs.codes().register(&code).await?;
        jobs.submit(name, command(0.1).with_code(id)).await?;
        println!("{name}: {} calls {:?}", azure.count(), below(&azure));
        Ok::<usize, mlops_core::Error>(azure.count())
    };
    let first = submit(&jobs, "first").await.unwrap();
    assert_eq!(first, 4, "the official SDK makes 7, uploads included");
    assert_eq!(submit(&jobs, "second").await.unwrap(), 1, "this process knows the code");
    let elsewhere = Jobs::new(azure.arm(), &azure.workspace());
    assert_eq!(submit(&elsewhere, "third").await.unwrap(), 2, "Azure knows the code");
    let uploads = code.uploads.lock().unwrap().clone();
    assert_eq!(uploads.len(), 1);
    assert!(uploads[0].signed.expose().contains(SAS) && !format!("{uploads:?}").contains(SAS));
    let job = jobs.get("second").await.unwrap();
    let code_id = serde_json::to_value(&job.properties).unwrap()["codeId"].as_str().unwrap().to_owned();
    let code = azure.resource(&code_id).unwrap();
    assert_eq!(code["properties"]["properties"]["hash_sha256"], Digest::of(b"print('hello')").hex());
    assert!(code["properties"]["codeUri"].as_str().unwrap().ends_with("/src"), "{code}");
}

#[tokio::test]
async fn environments_and_components_without_names_are_registered_once() {
    let azure = judged();
    let jobs = jobs(&azure);
    let image = || EnvironmentVersion::conda("mcr.microsoft.com/x", "name: t\ndependencies: [python=3.12]\n");
    let environment = jobs.environments().anonymous(&image()).await.unwrap();
    assert!(environment.contains("/environments/CliV2AnonymousEnvironment/versions/"), "{environment}");
    let prepare = CommandComponent::new("prepare", "1", "python p.py ${{outputs.o}}", &*environment)
        .with_output("o", Port::of("uri_folder"));
    let component = jobs.components().anonymous(&prepare).await.unwrap();
    azure.forget_requests();
    assert_eq!(jobs.environments().anonymous(&image()).await.unwrap(), environment);
    assert_eq!(jobs.components().anonymous(&prepare).await.unwrap(), component);
    assert_eq!(azure.count(), 0);
    let pipeline = PipelineJob::new().in_experiment("churn").with_step("prepare", Node::command(&*component));
    jobs.submit("pipeline-1", pipeline).await.unwrap();
    println!("a pipeline whose parts are known: {} call", azure.count());
    assert_eq!(azure.count(), 1);
}

#[tokio::test]
async fn a_version_names_one_content() {
    let azure = judged();
    let environments = Environments::new(azure.arm(), &azure.workspace());
    let image = EnvironmentVersion::image;
    environments.register("train", "1", image("mcr.microsoft.com/a")).await.unwrap();
    azure.forget_requests();
    environments.register("train", "1", image("mcr.microsoft.com/a")).await.unwrap();
    assert_eq!(azure.count(), 1, "it was there");
    let error = environments.register("train", "1", image("mcr.microsoft.com/b")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    environments.register("train", "2", image("mcr.microsoft.com/b")).await.unwrap();
    let latest = environments.latest("train").await.unwrap();
    assert_eq!(latest.properties.image.as_deref(), Some("mcr.microsoft.com/b"));
    environments.archive("train", "1", true).await.unwrap();
    let listed: Vec<_> = environments.versions("train").unwrap().try_collect().await.unwrap();
    assert_eq!(listed.iter().filter_map(|e| e.name.as_deref()).collect::<Vec<_>>(), ["2"]);
    assert_eq!(environments.latest("nothing").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn packages_that_come_back_in_other_words_are_the_same_version() {
    let azure = judged();
    let environments = Environments::new(azure.arm(), &azure.workspace());
    let conda = |packages: &str| EnvironmentVersion::conda("mcr.microsoft.com/a", packages);
    let written = "name: t\ndependencies: [python=3.12]\n";
    let made = environments.register("train", "1", conda(written)).await.unwrap();
    let id = format!("{}/environments/train/versions/1", azure.workspace().id());
    let mut there = azure.resource(&id).unwrap();
    there["properties"]["condaFile"] = "{\"dependencies\":[\"python=3.12\"],\"name\":\"t\"}".into();
    azure.set_resource(&id, there.clone());
    azure.forget_requests();
    let again = environments.register("train", "1", conda(written)).await.unwrap();
    assert_eq!((again.id, azure.count()), (made.id, 1));
    let other = environments.register("train", "1", conda("name: t\n")).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::AlreadyExists);
    there["properties"]["image"] = "mcr.microsoft.com/b".into();
    azure.set_resource(&id, there);
    let other = environments.register("train", "1", conda(written)).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::AlreadyExists);
}

#[tokio::test]
async fn an_odd_job_makes_no_list_unreadable() {
    let azure = judged();
    let jobs = jobs(&azure);
    let odd = json!({ "properties": { "jobType": "Command", "command": null, "environmentId": null, "status": "Completed" } });
    azure.set_resource(&format!("{}/jobs/old", azure.workspace().id()), odd);
    let read = jobs.get("old").await.unwrap().properties;
    assert_eq!((read.job_type(), read.status().unwrap().is_final()), ("Command", true));
}

#[tokio::test]
async fn a_lost_answer_submits_nothing_twice() {
    for strict in [false, true] {
        let azure = judged();
        if strict {
            azure.jobs().strict();
        }
        let jobs = jobs(&azure);
        azure.faults().lose_answers(1);
        let job = jobs.submit("train-1", command(0.1)).await.unwrap();
        assert_eq!(job.name.as_deref(), Some("train-1"), "strict: {strict}");
        let puts = azure.requests().iter().filter(|line| line.starts_with("PUT")).count();
        assert_eq!(puts, 2, "{:?}", azure.requests());
        // The same again, by somebody who does not know.
        jobs.submit("train-1", command(0.1)).await.unwrap();
        let all: Vec<_> = jobs.list(&JobFilter::default()).unwrap().try_collect().await.unwrap();
        assert_eq!(all.len(), 1);
        let error = jobs.submit("train-1", command(0.2)).await.unwrap_err();
        assert_eq!((error.kind(), error.context("job")), (ErrorKind::AlreadyExists, Some("train-1")));
        let rate = serde_json::to_value(&jobs.get("train-1").await.unwrap().properties).unwrap();
        assert_eq!(rate["inputs"]["lr"]["value"], "0.1");
    }
}

#[tokio::test]
async fn what_cannot_be_submitted_is_told_before_anything_is_sent() {
    let azure = judged();
    let jobs = jobs(&azure);
    for name in ["", "a b", "..", "-x", "a/b", "é"] {
        let error = jobs.submit(name, command(0.1)).await.unwrap_err();
        assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some("name")), "{name}");
    }
    let circle = PipelineJob::new()
        .with_step("a", Node::command("c").with_input("d", NodeInput::of_step("b", "o")))
        .with_step("b", Node::command("c").with_input("d", NodeInput::of_step("a", "o")));
    let error = jobs.submit("pipeline-1", circle).await.unwrap_err();
    assert_eq!(error.context("field"), Some("inputs"));
    assert_eq!(azure.count(), 0);
    // What Azure's types refuse, Azure refuses.
    if !azure.refused().is_empty() {
        let error = jobs.submit("bad", CommandJob::new("", "e")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

/// Keeps the header that pipelines carry.
#[derive(Clone, Default)]
struct Tokens(Arc<Mutex<Vec<Option<String>>>>);

impl FakePart for Tokens {
    fn answer(&self, request: &FakeRequest, _: &FakeAzure) -> Option<FakeAnswer> {
        if request.method == "PUT" {
            self.0.lock().unwrap().push(request.header("x-azureml-token").map(str::to_owned));
        }
        None
    }
}

#[tokio::test]
async fn pipelines_and_jobs_of_users_carry_a_token_for_azure_machine_learning() {
    let azure = judged();
    let seen = Tokens::default();
    azure.plug(seen.clone());
    let jobs = jobs(&azure);
    jobs.submit("plain", command(0.1)).await.unwrap();
    jobs.submit("steps", PipelineJob::new().with_step("a", Node::command("c"))).await.unwrap();
    let mut as_user = command(0.1);
    as_user.identity = Some(JobIdentity::new(JobIdentityType::UserIdentity));
    jobs.submit("user", as_user).await.unwrap();
    let scope = Cloud::Public.scope(Audience::MachineLearning);
    let token = azure.tokens().token(&scope).await.unwrap().secret.expose().to_owned();
    assert_eq!(*seen.0.lock().unwrap(), [None, Some(token.clone()), Some(token)]);
}

#[tokio::test]
async fn a_job_is_followed_to_its_end() {
    let azure = judged();
    azure.jobs().looks(3);
    let jobs = jobs(&azure);
    // What was made a moment ago is not yet known everywhere.
    azure.faults().hidden(2);
    jobs.submit("train-1", command(0.1)).await.unwrap();
    azure.faults().busy(2).unavailable(1);
    let states: Vec<JobStatus> = jobs.follow("train-1").try_collect().await.unwrap();
    assert_eq!(states, [JobStatus::NotStarted, JobStatus::Running, JobStatus::Completed]);
    let done = jobs.wait("train-1").await.unwrap();
    assert_eq!(done.properties.status(), Some(JobStatus::Completed));
    assert!(done.properties.services()["Studio"].starts_with("https://ml.azure.com/runs/train-1"));
    assert_eq!(jobs.outputs("train-1").await.unwrap().into_keys().collect::<Vec<_>>(), ["model"]);
    assert_eq!(jobs.wait("nobody").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_job_that_failed_says_why() {
    let azure = judged();
    let jobs = jobs(&azure);
    let message = "cannot read https://sa.blob.core.windows.net/c?sig=hunter2: the disk is full";
    let script = JobScript::fails("UserError", message).with_inner(&["ExecutionFailed", "DiskFull"]);
    azure.jobs().script("train-1", script).script("train-2", JobScript::fails("OutOfQuota", "no cores"));
    jobs.submit("train-1", command(0.1)).await.unwrap();
    let error = jobs.wait("train-1").await.unwrap_err();
    println!("{error}");
    assert_eq!((error.kind(), error.context("code")), (ErrorKind::Rejected, Some("UserError")));
    assert_eq!(error.context("inner"), Some("ExecutionFailed > DiskFull"));
    assert!(error.to_string().contains("the disk is full") && !format!("{error} {error:?}").contains(CANARY));
    assert!(!error.is_retryable());
    jobs.submit("train-2", command(0.1)).await.unwrap();
    assert_eq!(jobs.wait("train-2").await.unwrap_err().kind(), ErrorKind::LimitExceeded);
    let states: Vec<JobStatus> = jobs.follow("train-2").try_collect().await.unwrap();
    assert_eq!(states, [JobStatus::Failed], "a failure is a state, and not an error of the stream");
}

#[tokio::test]
async fn a_job_is_cancelled_and_removed() {
    let azure = judged();
    azure.faults().slow_operations(2);
    let jobs = jobs(&azure);
    azure.jobs().script("train-1", JobScript::never_ends());
    jobs.submit("train-1", command(0.1)).await.unwrap();
    // Whoever does not want to wait for ever says so. It runs by then, so that one look is enough to see it.
    let mut looks = 0;
    while jobs.get("train-1").await.unwrap().properties.status() != Some(JobStatus::Running) {
        looks += 1;
        assert!(looks < 100, "it never runs");
    }
    let impatient = jobs.clone().with_deadline(Duration::from_millis(20));
    let error = impatient.wait("train-1").await.unwrap_err();
    assert_eq!((error.kind(), error.context("state")), (ErrorKind::Timeout, Some("Running")));
    jobs.cancel("train-1").await.unwrap();
    assert!(
        azure.requests().iter().any(|line| line.contains("mfeOperationResults")),
        "{:?}",
        azure.requests()
    );
    let error = jobs.wait("train-1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    jobs.cancel("train-1").await.unwrap();
    jobs.delete("train-1").await.unwrap();
    assert_eq!(jobs.get("train-1").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(jobs.cancel("train-1").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_can_be_changed_is_changed_in_run_history() {
    let azure = judged();
    let jobs = jobs(&azure);
    jobs.submit("train-1", command(0.1)).await.unwrap();
    jobs.update("train-1", &RunUpdate::default().with_tag("a", "b")).await.unwrap();
    azure.forget_requests();
    let change =
        RunUpdate::default().with_tag("stage", "canary").with_display_name("first").with_description("d");
    let run = jobs.update("train-1", &change).await.unwrap();
    println!("change of tags: {} calls", azure.count());
    assert_eq!(azure.count(), 2, "the official SDK makes 4");
    assert_eq!(
        (run.display_name.as_deref(), run.tags.get("a"), run.tags.get("stage")),
        (Some("first"), Some("b"), Some("canary"))
    );
    let job = jobs.get("train-1").await.unwrap().properties;
    assert_eq!((job.display_name(), job.tags().get("stage")), (Some("first"), Some("canary")));
    jobs.archive("train-1").await.unwrap();
    let names = async |view| {
        let filter = JobFilter::default().with_view(view);
        let all: Vec<_> = jobs.list(&filter).unwrap().try_collect().await.unwrap();
        all.len()
    };
    assert_eq!(
        (names(ListView::Active).await, names(ListView::Archived).await, names(ListView::All).await),
        (0, 1, 1)
    );
    jobs.restore("train-1").await.unwrap();
    assert_eq!(names(ListView::Active).await, 1);
    let error = jobs.update_in("elsewhere", "train-1", &change).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn tags_of_a_job_are_removed_and_the_others_stay() {
    let azure = judged();
    let jobs = jobs(&azure);
    let tags = [("stage", "canary"), ("team", "risk"), ("old", "1")].into_iter().collect();
    jobs.submit("train-1", command(0.1).with_tags(tags)).await.unwrap();
    let change = TagChange::removing(["old", "never-there"]).with_tag("stage", "production");
    for _ in 0..2 {
        let run = jobs.change_tags("train-1", &change).await.unwrap();
        assert_eq!(run.tags, [("stage", "production"), ("team", "risk")].into_iter().collect());
    }
    let job = jobs.get("train-1").await.unwrap().properties;
    assert_eq!((job.tags().get("old"), job.tags().get("team")), (None, Some("risk")));
    assert_eq!(jobs.change_tags("nobody", &change).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(azure.refused().is_empty(), "{:?}", azure.refused());
}

#[tokio::test]
async fn jobs_are_listed_by_type_and_tag_over_all_pages() {
    let azure = judged();
    let jobs = jobs(&azure);
    for number in 0..7 {
        let tags = [("batch", if number % 2 == 0 { "even" } else { "odd" })].into_iter().collect();
        jobs.submit(&format!("train-{number}"), command(f64::from(number)).with_tags(tags)).await.unwrap();
    }
    jobs.submit("steps", PipelineJob::new().with_step("a", Node::command("c"))).await.unwrap();
    let count = async |filter: JobFilter| {
        let all: Vec<_> = jobs.list(&filter).unwrap().try_collect().await.unwrap();
        all.len()
    };
    assert_eq!(count(JobFilter::default()).await, 8);
    assert_eq!(count(JobFilter::default().with_job_type("Pipeline")).await, 1);
    assert_eq!(count(JobFilter::default().with_tag("batch=even")).await, 4);
}

async fn read_log(jobs: &Jobs, name: &str, options: LogOptions) -> mlops_core::Result<(String, usize)> {
    let chunks: Vec<_> = jobs.log(name, options)?.try_collect().await?;
    let mut text = Vec::new();
    for chunk in &chunks {
        text.extend_from_slice(&chunk.bytes);
    }
    Ok((String::from_utf8_lossy(&text).into_owned(), chunks.len()))
}

#[tokio::test]
async fn a_log_is_read_as_it_grows_each_byte_once() {
    let azure = judged();
    azure.jobs().looks(2);
    let jobs = jobs(&azure);
    let text: String = (0..200).map(|epoch| format!("epoch {epoch}\n")).collect();
    azure.jobs().script("train-1", JobScript::completes().with_log(&*text));
    jobs.submit("train-1", command(0.1)).await.unwrap();
    let (read, chunks) = read_log(&jobs, "train-1", LogOptions::default().with_piece(256)).await.unwrap();
    assert_eq!(read, text);
    assert!(chunks >= text.len() / 256, "{chunks}");
    let offsets: Vec<_> =
        jobs.log("train-1", LogOptions::default().with_piece(1000)).unwrap().try_collect().await.unwrap();
    assert!(offsets.iter().all(|chunk| chunk.bytes.len() <= 1000));
    assert_eq!(offsets.iter().map(|chunk| chunk.offset).collect::<Vec<_>>(), [0, 1000]);
    let (end, _) =
        read_log(&jobs, "train-1", LogOptions::default().with_from(text.len() as u64 - 10)).await.unwrap();
    assert_eq!(end, "epoch 199\n");
    assert_eq!(jobs.logs("train-1").await.unwrap(), ["user_logs/std_log.txt"]);
    azure.forget_requests();
    read_log(&jobs, "train-1", LogOptions::default().now()).await.unwrap();
    println!("a whole log: {} calls", azure.count());
    assert_eq!(azure.count(), 2, "{:?}", azure.requests());
    let error =
        read_log(&jobs, "train-1", LogOptions::default().with_path("logs/none.txt")).await.unwrap_err();
    assert_eq!((error.kind(), error.context("known")), (ErrorKind::NotFound, Some("user_logs/std_log.txt")));
    for piece in [0, LogOptions::MAX_PIECE + 1] {
        let error = jobs.log("train-1", LogOptions::default().with_piece(piece)).err().unwrap();
        assert_eq!(error.context("field"), Some("piece"));
    }
}

/// Signs nothing any more that was signed before, once.
struct Expire(Mutex<u32>);

impl FakePart for Expire {
    fn answer(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer> {
        let mut left = self.0.lock().unwrap();
        if request.host().starts_with("stfakelogs") && *left > 0 {
            *left -= 1;
            azure.jobs().expire_signatures();
        }
        None
    }
}

#[tokio::test]
async fn a_signature_that_has_run_out_is_asked_for_again_and_none_is_shown() {
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.clone());
    // Other tests of this process may have said that nobody listens.
    tracing::callsite::rebuild_interest_cache();
    let azure = judged();
    let jobs = jobs(&azure);
    azure.jobs().script("train-1", JobScript::completes().with_log("0123456789"));
    jobs.submit("train-1", command(0.1)).await.unwrap();
    azure.plug(Expire(Mutex::new(2)));
    let (read, _) = read_log(&jobs, "train-1", LogOptions::default().with_piece(4)).await.unwrap();
    assert_eq!(read, "0123456789");
    // Where every signature is refused, the reader is told, without it.
    azure.plug(Expire(Mutex::new(u32::MAX)));
    let error = read_log(&jobs, "train-1", LogOptions::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.context("log")), (ErrorKind::Auth, Some("user_logs/std_log.txt")));
    let details = jobs.details("train-1").await.unwrap();
    let url = &details.log_files["user_logs/std_log.txt"];
    assert!(url.expose().contains(CANARY));
    let shown = format!("{details:?} {details:#?} {url:?} {jobs:?} {error} {error:?} {:?}", azure.requests());
    drop(guard);
    let logged = log.text();
    println!("{} bytes logged", logged.len());
    assert!(!shown.contains(CANARY) && !logged.contains(CANARY), "{shown} {logged}");
}

#[tokio::test]
async fn a_workspace_that_names_another_host_gets_no_token_there() {
    let azure = judged();
    let jobs = jobs(&azure);
    jobs.submit("train-1", command(0.1)).await.unwrap();
    let id = azure.workspace().id();
    let mut workspace = azure.resource(&id).unwrap();
    workspace["properties"]["mlFlowTrackingUri"] = "azureml://evil.example/mlflow/v1.0".into();
    azure.set_resource(&id, workspace);
    let error = jobs.logs("train-1").await.unwrap_err();
    assert_eq!((error.kind(), error.context("host")), (ErrorKind::Protocol, Some("evil.example")));
    assert!(!azure.requests().iter().any(|line| line.contains("evil")));
}

fn space() -> SearchSpace {
    SearchSpace::new([("lr", Distribution::log_float(1e-4, 1.0)), ("depth", Distribution::int(2, 8))])
        .unwrap()
}

/// A loss that falls over five epochs to the distance from a rate of 0.03 and a depth of 5.
fn losses(values: &Assignment) -> Vec<f64> {
    let off = (values.float("lr").unwrap() / 0.03).log10().abs();
    let end = off + (values.int("depth").unwrap() - 5).abs() as f64 / 10.0;
    (1..=5).map(|epoch| end + 1.0 / f64::from(epoch)).collect()
}

fn spec() -> SweepSpec {
    let (experiment, actor) = (ExperimentName::new("churn").unwrap(), ActorId::new("trainer").unwrap());
    let schedule = EvaluationSchedule::default().with_evaluation_interval(1).with_delay_evaluation(3);
    let sampler = SamplerSpec::Sobol(SobolOptions::default());
    SweepSpec::new(
        experiment,
        "rates",
        actor,
        MetricKey::new("loss").unwrap(),
        Goal::Minimize,
        space(),
        sampler,
    )
    .with_seed(3)
    .with_stopping(Bandit::new(Slack::Factor(0.5)).unwrap().with_schedule(schedule))
    .with_budget(Budget::trials(16).with_concurrent(4))
}

#[tokio::test]
async fn a_sweep_of_core_runs_on_azure_and_its_best_trial_comes_back_as_values() {
    let azure = judged();
    azure.jobs().trials(losses);
    let jobs = jobs(&azure);
    let trial = Trial::new(
        "python t.py --lr ${{search_space.lr}} --depth ${{search_space.depth}}",
        "azureml:train:1",
    );
    let sweep = sweep_job(trial, &spec()).unwrap();
    jobs.submit("sweep-1", sweep).await.unwrap();
    assert_eq!(jobs.best_trial("sweep-1").await.unwrap(), None, "nothing has begun");
    // While it runs, the best of those that have a metric.
    let states = jobs.follow("sweep-1");
    let mut states = std::pin::pin!(states);
    while let Some(state) = states.try_next().await.unwrap() {
        if state == JobStatus::Running {
            let best = jobs.best_trial("sweep-1").await.unwrap().unwrap();
            assert!(space().contains(&best.values), "{best:?}");
        }
    }
    let trials = jobs.trials("sweep-1").await.unwrap();
    assert_eq!(trials.len(), 16);
    assert!(trials.iter().all(|trial| space().contains(&trial.values)), "{trials:?}");
    let ended_early = trials.iter().filter(|trial| trial.status == JobStatus::Canceled).count();
    assert!((1..16).contains(&ended_early), "{ended_early}");
    azure.forget_requests();
    let best = jobs.best_trial("sweep-1").await.unwrap().unwrap();
    println!(
        "16 trials, {ended_early} ended early; the best has {} with {}; {} calls",
        best.score.unwrap(),
        best.values,
        azure.count()
    );
    assert_eq!(azure.count(), 2);
    let ends =
        trials.iter().filter(|trial| trial.status == JobStatus::Completed).filter_map(|trial| trial.score);
    assert_eq!(best.score, ends.min_by(f64::total_cmp));
    assert_eq!(best.score, losses(&best.values).last().copied());
    let error = jobs.trials("train-1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    jobs.submit("train-1", command(0.1)).await.unwrap();
    assert_eq!(jobs.best_trial("train-1").await.unwrap_err().context("type"), Some("Command"));
}

#[tokio::test]
async fn run_history_that_is_known_saves_a_call() {
    let azure = judged();
    let history = azure.service("https://eastus.api.azureml.ms".parse().unwrap(), Audience::ResourceManager);
    let jobs = jobs(&azure).with_history(history);
    jobs.submit("train-1", command(0.1)).await.unwrap();
    azure.forget_requests();
    jobs.details("train-1").await.unwrap();
    assert_eq!(azure.count(), 1);
}
