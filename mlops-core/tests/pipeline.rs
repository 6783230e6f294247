//! Pipelines: the suites on a folder, what is run and what is reused, failures, limits, cancellation, resumption, lineage.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlops_core::artifact::{ArtifactStore, ArtifactStoreExt as _, GcOptions};
use mlops_core::conformance::pipeline_journal::PipelineJournalUnderTest;
use mlops_core::conformance::step_cache::StepCacheUnderTest;
use mlops_core::data::{DataAssetStore, DataRef};
use mlops_core::experiment::{ExperimentTracker, RunQuery, RunStatus};
use mlops_core::governance::budget::{Budget, Threshold, ThresholdBasis, TimeGrain};
use mlops_core::governance::{BudgetGuard, Secret, SecretStore};
use mlops_core::hash::Digest;
use mlops_core::id::{ComponentName, ComponentVersion, PortName, StepName};
use mlops_core::local::{LocalStore, NetworkPolicy};
use mlops_core::memory::{
    MemoryArtifactStore, MemoryDataAssetStore, MemoryPipelineJournal, MemorySecretStore, MemoryStepCache,
    MemoryTracker,
};
use mlops_core::pipeline::{
    Backends, Cancel, Claim, Claimed, Component, Components, Content, ErrorClass, ExecutorOptions, Force,
    GraphFault, ParamSpec, ParamValue, Part, Pipeline, PipelineEntry, PipelineEvent, PipelineExecutor,
    PipelineFormat, PipelineJournal, PipelineReport, PipelineSpec, PipelineState, PipelineStatus, PortType,
    Publishing, RunOptions, RunReason, RunWhen, SkipReason, StepCache, StepContext, StepCosts, StepError,
    StepKey, StepRecord, StepRetry, StepSpec, StepState, VerifyPolicy,
};
use mlops_core::time::{Clock, ManualClock, SystemClock, TokioPause};
use mlops_core::{ActorId, AssetName, ErrorKind, ExperimentName, MetricKey, RunId, SecretName};

// ── the suites on a folder ──────────────────────────────────────────────────────────────────────────────────────────────

fn journal_on_disk() -> PipelineJournalUnderTest {
    let (store, _) = common::fresh(NetworkPolicy::Refuse);
    PipelineJournalUnderTest::new(Arc::new(store.pipelines()))
}

fn cache_on_disk() -> StepCacheUnderTest {
    let (store, clock) = common::fresh(NetworkPolicy::Refuse);
    StepCacheUnderTest::new(Arc::new(store.step_cache()), Arc::new(store.artifacts()), clock)
}

/// The records in a folder, the content somewhere else.
fn cache_of_content_elsewhere() -> StepCacheUnderTest {
    let (store, clock) = common::fresh(NetworkPolicy::Refuse);
    let content = Arc::new(MemoryArtifactStore::default());
    StepCacheUnderTest::new(Arc::new(store.step_cache().with_artifacts(content.clone())), content, clock)
}

mlops_core::pipeline_journal_suite!(local_journal, journal_on_disk());
mlops_core::step_cache_suite!(local_cache, cache_on_disk());
mlops_core::step_cache_suite!(cache_elsewhere, cache_of_content_elsewhere());

// ── what the tests are made of ──────────────────────────────────────────────────────────────────────────────────────────

fn port(name: &str) -> PortName {
    PortName::new(name).unwrap()
}

fn step(name: &str) -> StepName {
    StepName::new(name).unwrap()
}

fn component(name: &str, code: &str) -> Component {
    let version = ComponentVersion::new("1").unwrap();
    Component::new(ComponentName::new(name).unwrap(), version, Digest::of(code.as_bytes()))
}

fn pipeline_spec() -> PipelineSpec {
    PipelineSpec::new(ComponentName::new("p").unwrap())
}

/// How often what ran.
#[derive(Clone, Debug, Default)]
struct Ran(Arc<Mutex<BTreeMap<String, usize>>>);

impl Ran {
    fn count(&self, name: &str) {
        *self.0.lock().unwrap().entry(name.to_owned()).or_default() += 1;
    }

    fn of(&self, name: &str) -> usize {
        self.0.lock().unwrap().get(name).copied().unwrap_or_default()
    }

    fn total(&self) -> usize {
        self.0.lock().unwrap().values().sum()
    }
}

fn backends() -> Backends {
    backends_with(Arc::new(SystemClock::new()))
}

fn backends_with(clock: Arc<dyn Clock>) -> Backends {
    let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
    let cache = Arc::new(MemoryStepCache::new(artifacts.clone(), clock.clone()));
    Backends::new(artifacts, cache, Arc::new(MemoryPipelineJournal::default()), clock, Arc::new(TokioPause))
}

fn on_folder(store: &LocalStore) -> Backends {
    Backends::new(
        Arc::new(store.artifacts()),
        Arc::new(store.step_cache()),
        Arc::new(store.pipelines()),
        Arc::new(SystemClock::new()),
        Arc::new(TokioPause),
    )
}

/// `load` writes lines up to `rows`; `clean` keeps the even ones up to `limit`; `fit` sums them with a weight.
fn classic(ran: &Ran) -> Components {
    let load = component("load", "load")
        .with_output(port("rows"), PortType::UriFile)
        .with_parameter(port("rows"), ParamSpec::integer(Some(1), Some(1000)).with_default(10_i64));
    let clean = component("clean", "clean")
        .with_input(port("rows"), PortType::UriFile)
        .with_output(port("rows"), PortType::UriFile)
        .with_parameter(port("limit"), ParamSpec::integer(None, None).with_default(1000_i64));
    let fit = component("fit", "fit")
        .with_input(port("rows"), PortType::UriFile)
        .with_output(port("model"), PortType::CustomModel)
        .with_parameter(port("weight"), ParamSpec::number(Some(0.0), Some(10.0)).with_default(1.0));
    let (a, b, c) = (ran.clone(), ran.clone(), ran.clone());
    Components::new()
        .with_blocking(load, move |context, _| {
            a.count("load");
            let rows = context.integer("rows")?;
            let text: String = (0..rows).map(|row| format!("{row}\n")).collect();
            Ok([(port("rows"), text.into_bytes())].into())
        })
        .unwrap()
        .with_blocking(clean, move |context, inputs| {
            b.count("clean");
            let limit = context.integer("limit")?;
            let rows = numbers(&inputs["rows"]).filter(|row| row % 2 == 0 && *row < limit);
            Ok([(port("rows"), rows.map(|row| format!("{row}\n")).collect::<String>().into_bytes())].into())
        })
        .unwrap()
        .with_fn(fit, move |context: StepContext| {
            let ran = c.clone();
            async move {
                ran.count("fit");
                let rows = context.read("rows", 1 << 20).await?;
                let sum = numbers(&rows).sum::<i64>() as f64 * context.number("weight")?;
                context.metric(MetricKey::new("sum").unwrap(), sum);
                context.log("fitted");
                context.write("model", format!("{sum}").into_bytes()).await?;
                Ok(())
            }
        })
        .unwrap()
}

fn numbers(text: &[u8]) -> impl Iterator<Item = i64> {
    std::str::from_utf8(text).unwrap().lines().map(|line| line.parse().unwrap())
}

fn classic_spec(components: &Components) -> PipelineSpec {
    let reference = |name: &str| components.references().find(|r| r.name.as_str() == name).unwrap().clone();
    pipeline_spec()
        .with_parameter(port("rows"), ParamSpec::integer(None, None).with_default(10_i64))
        .with_parameter(port("limit"), ParamSpec::integer(None, None).with_default(1000_i64))
        .with_parameter(port("weight"), ParamSpec::number(None, None).with_default(1.0))
        // Written the wrong way round on purpose.
        .with_step(
            StepSpec::new(step("fit"), reference("fit"))
                .with_input_from(port("rows"), step("clean"), port("rows"))
                .with_parameter_from(port("weight"), port("weight")),
        )
        .with_step(
            StepSpec::new(step("clean"), reference("clean"))
                .with_input_from(port("rows"), step("load"), port("rows"))
                .with_parameter_from(port("limit"), port("limit")),
        )
        .with_step(
            StepSpec::new(step("load"), reference("load")).with_parameter_from(port("rows"), port("rows")),
        )
}

fn classic_pipeline(components: &Components) -> Pipeline {
    Pipeline::new(classic_spec(components), components).unwrap()
}

fn word(report: &PipelineReport, name: &str) -> &'static str {
    report.step(&step(name)).unwrap().state.word()
}

async fn model(report: &PipelineReport, artifacts: &dyn ArtifactStore) -> String {
    let outputs = report.outputs(&step("fit")).unwrap();
    let bytes = artifacts.get_bytes(&outputs["model"].digest, 1000).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

// ── what is run and what is reused ──────────────────────────────────────────────────────────────────────────────────────

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_run_runs_nothing_and_a_change_runs_what_it_touches() {
    let ran = Ran::default();
    let components = classic(&ran);
    let pipeline = classic_pipeline(&components);
    let order: Vec<&str> = pipeline.steps().map(|step| step.id.as_str()).collect();
    assert_eq!(order, ["load", "clean", "fit"]);
    let backends = backends();
    let executor = PipelineExecutor::new(backends.clone(), components);
    let first = executor.run(&pipeline, &RunOptions::new()).await.unwrap();
    assert!(first.is_success(), "{first}");
    assert_eq!((first.succeeded(), first.reused(), ran.total()), (3, 0, 3));
    assert_eq!(model(&first, &*backends.artifacts).await, "20");
    assert_eq!(first.step(&step("load")).unwrap().reason, Some(RunReason::NeverRan));

    let second = executor.run(&pipeline, &RunOptions::new()).await.unwrap();
    assert_eq!((second.succeeded(), second.reused(), ran.total()), (0, 3, 3));
    assert_eq!(first.outputs(&step("fit")), second.outputs(&step("fit")));

    let changed = RunOptions::new().with_argument(port("weight"), 0.5);
    let third = executor.run(&pipeline, &changed).await.unwrap();
    assert_eq!((third.succeeded(), third.reused()), (1, 2));
    assert_eq!(model(&third, &*backends.artifacts).await, "10");
    let why = third.step(&step("fit")).unwrap().explain();
    assert!(why.contains("parameters.weight: 1.0 -> 0.5") && why.contains(&first.run.as_str()[..8]), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_makes_the_same_as_before_ends_the_rerunning() {
    let ran = Ran::default();
    let components = classic(&ran);
    let pipeline = classic_pipeline(&components);
    let executor = PipelineExecutor::new(backends(), components);
    executor.run(&pipeline, &RunOptions::new()).await.unwrap();
    // `clean` runs with another limit, and keeps the same rows: `fit` need not run.
    let report =
        executor.run(&pipeline, &RunOptions::new().with_argument(port("limit"), 500_i64)).await.unwrap();
    assert_eq!(
        [word(&report, "load"), word(&report, "clean"), word(&report, "fit")],
        ["reused", "succeeded", "reused"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_is_not_deterministic_always_runs_and_those_behind_it_when_it_made_something_else() {
    let ran = Ran::default();
    let counter = Arc::new(AtomicUsize::new(0));
    let roll =
        component("roll", "1").with_output(port("rows"), PortType::UriFile).with_is_deterministic(false);
    let spec = classic_spec(&classic(&ran));
    let rolled = counter.clone();
    let components = classic(&ran)
        .with_blocking(roll.clone(), move |_, _| {
            // Two rolls of each number.
            let number = rolled.fetch_add(1, Ordering::SeqCst) / 2;
            Ok([(port("rows"), format!("{number}\n").into_bytes())].into())
        })
        .unwrap();
    let mut spec = spec;
    spec.steps[2] = StepSpec::new(step("load"), roll.reference());
    let pipeline = Pipeline::new(spec, &components).unwrap();
    let executor = PipelineExecutor::new(backends(), components);
    for (expected, fits) in [("succeeded", 1), ("reused", 1), ("succeeded", 1), ("reused", 1)] {
        let report = executor.run(&pipeline, &RunOptions::new()).await.unwrap();
        assert_eq!(word(&report, "load"), "succeeded");
        assert_eq!(word(&report, "clean"), expected);
        // Of 0 and of 1 nothing but 0 is even: the sum over {0} and {} is the same, the rows are not.
        assert!(ran.of("fit") >= fits, "{report}");
    }
    assert_eq!(counter.load(Ordering::SeqCst), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_environment_version_and_seed_are_part_of_the_key() {
    let ran = Ran::default();
    let backends = backends();
    let make = |code: &str, environment: Option<&str>| {
        let ran = ran.clone();
        let mut one = component("one", code).with_output(port("out"), PortType::UriFile);
        one.environment = environment.map(|text| Digest::of(text.as_bytes()));
        let spec = pipeline_spec().with_step(StepSpec::new(step("one"), one.reference()));
        let components = Components::new()
            .with_blocking(one, move |_, _| {
                ran.count("one");
                Ok([(port("out"), b"x".to_vec())].into())
            })
            .unwrap();
        let pipeline = Pipeline::new(spec, &components).unwrap();
        (PipelineExecutor::new(backends.clone(), components), pipeline)
    };
    for (code, environment, seed, expected, field) in [
        ("1", None, 0, 1, None),
        ("1", None, 0, 1, None),
        ("2", None, 0, 2, Some("code")),
        ("2", Some("image"), 0, 3, Some("environment")),
        ("2", Some("image"), 7, 4, Some("seed")),
        ("2", Some("image"), 7, 4, None),
    ] {
        let (executor, pipeline) = make(code, environment);
        let report = executor.run(&pipeline, &RunOptions::new().with_seed(seed)).await.unwrap();
        assert_eq!(ran.of("one"), expected, "{report}");
        if let Some(field) = field {
            let Some(RunReason::Changed { differences, .. }) = &report.steps[0].reason else {
                panic!("{report}")
            };
            assert_eq!(differences.iter().map(|d| d.field.as_str()).collect::<Vec<_>>(), [field]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn force_runs_what_it_names_and_what_is_made_is_used_later() {
    let ran = Ran::default();
    let components = classic(&ran);
    let pipeline = classic_pipeline(&components);
    let executor = PipelineExecutor::new(backends(), components);
    executor.run(&pipeline, &RunOptions::new()).await.unwrap();
    let clean: BTreeSet<StepName> = [step("clean")].into();
    for (force, expected) in [
        (Force::None, [0, 0, 0]),
        (Force::Steps(clean.clone()), [0, 1, 0]),
        (Force::Downstream(clean), [0, 1, 1]),
        (Force::All, [1, 1, 1]),
    ] {
        let before = ["load", "clean", "fit"].map(|name| ran.of(name));
        let forced = executor.run(&pipeline, &RunOptions::new().with_force(force.clone())).await.unwrap();
        let after = ["load", "clean", "fit"].map(|name| ran.of(name));
        let more: Vec<usize> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        assert_eq!(more, expected, "{force:?}");
        // What was forced is what is used now.
        let next = executor.run(&pipeline, &RunOptions::new()).await.unwrap();
        assert_eq!(next.reused(), 3);
        if expected[1] == 1 {
            let StepState::Reused { from, .. } = &next.step(&step("clean")).unwrap().state else { panic!() };
            assert_eq!(*from, forced.run);
        }
    }
    let unknown = RunOptions::new().with_force(Force::Steps([step("nobody")].into()));
    assert_eq!(executor.run(&pipeline, &unknown).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_old_damaged_or_gone_is_made_again() {
    let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let (ran, backends) = (Ran::default(), backends_with(clock.clone()));
    let components = classic(&ran);
    let pipeline = classic_pipeline(&components);
    let hour = ExecutorOptions::default().with_expire_after(Duration::from_secs(3600));
    let executor = PipelineExecutor::new(backends.clone(), components).with_options(hour);
    let first = executor.run(&pipeline, &RunOptions::new()).await.unwrap();
    clock.advance(Duration::from_secs(3599));
    assert_eq!(executor.run(&pipeline, &RunOptions::new()).await.unwrap().reused(), 3);
    clock.advance(Duration::from_secs(1));
    let old = executor.run(&pipeline, &RunOptions::new()).await.unwrap();
    assert_eq!(old.reused(), 0);
    assert!(matches!(old.steps[0].reason, Some(RunReason::Expired { .. })));
    // The output of `clean` is collected as garbage: it is made again, and what needs it need not be.
    let keep =
        ["load", "fit"].map(|name| first.outputs(&step(name)).unwrap().values().next().unwrap().digest);
    backends.artifacts.collect_garbage(&keep.into(), &GcOptions::default()).await.unwrap();
    let report = executor.run(&pipeline, &RunOptions::new()).await.unwrap();
    assert_eq!(
        [word(&report, "load"), word(&report, "clean"), word(&report, "fit")],
        ["reused", "succeeded", "reused"]
    );
    let Some(RunReason::Damaged(damage)) = &report.step(&step("clean")).unwrap().reason else {
        panic!("{report}")
    };
    assert_eq!(damage.output, port("rows"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_found_at_the_hit_where_the_policy_says_so() {
    for (policy, reused) in
        [(VerifyPolicy::Always, 2), (VerifyPolicy::OnRestore, 3), (VerifyPolicy::Never, 3)]
    {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(dir.path()).unwrap();
        let components = classic(&Ran::default());
        let pipeline = classic_pipeline(&components);
        let options = ExecutorOptions::default().with_verify(policy);
        let executor = PipelineExecutor::new(on_folder(&store), components).with_options(options);
        let first = executor.run(&pipeline, &RunOptions::new()).await.unwrap();
        let hex = first.outputs(&step("clean")).unwrap()["rows"].digest.hex();
        let path = dir.path().join("cas/sha256").join(&hex[..2]).join(&hex[2..]);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[0] ^= 1;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let second = executor.run(&pipeline, &RunOptions::new()).await.unwrap();
        assert_eq!(second.reused(), reused, "{policy:?}: {second}");
        if policy == VerifyPolicy::Always {
            assert!(matches!(second.step(&step("clean")).unwrap().reason, Some(RunReason::Damaged(_))));
            assert!(store.verify().await.unwrap().is_sound());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_changes_the_key_when_it_is_rotated_and_is_written_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path()).unwrap();
    let secrets = Arc::new(MemorySecretStore::default());
    let name = SecretName::new("token").unwrap();
    let one = component("one", "1").with_output(port("out"), PortType::UriFile);
    let spec = StepSpec::new(step("one"), one.reference()).with_secret(port("token"), name.clone());
    let ran = Ran::default();
    let counted = ran.clone();
    let components = Components::new()
        .with_blocking(one, move |context, _| {
            counted.count("one");
            assert!(!format!("{context:?}").contains("hunter2"));
            let length = context.secret("token")?.expose().len();
            Ok([(port("out"), vec![0; length])].into())
        })
        .unwrap();
    let pipeline = Pipeline::new(pipeline_spec().with_step(spec), &components).unwrap();
    let bare = PipelineExecutor::new(on_folder(&store), components);
    assert_eq!(bare.run(&pipeline, &RunOptions::new()).await.unwrap_err().context("field"), Some("secrets"));
    let executor = bare.with_secrets(secrets.clone(), Secret::new("a key of fingerprints"));
    for (value, expected) in
        [("hunter2-canary", 1), ("hunter2-canary", 1), ("hunter2-rotated", 2), ("hunter2-canary", 2)]
    {
        secrets.set(&name, &Secret::new(value)).await.unwrap();
        let report = executor.run(&pipeline, &RunOptions::new()).await.unwrap();
        assert_eq!(ran.of("one"), expected, "{report}");
        assert!(!format!("{report:?}").contains("hunter2"));
    }
    drop((executor, store));
    let database = std::fs::read(dir.path().join("mlops.db")).unwrap();
    assert!(database.windows(9).any(|window| window == b"mlops.sto" || window == b"secrets\":"));
    assert!(!database.windows(7).any(|window| window == b"hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_equal_steps_at_once_one_runs() {
    let ran = Ran::default();
    let slow = component("slow", "1").with_output(port("out"), PortType::UriFile);
    let mut spec = pipeline_spec();
    for i in 0..8 {
        spec = spec.with_step(StepSpec::new(step(&format!("s{i}")), slow.reference()));
    }
    let counted = ran.clone();
    let components = Components::new()
        .with_fn(slow, move |context: StepContext| {
            counted.count("slow");
            async move {
                tokio::time::sleep(Duration::from_millis(30)).await;
                context.write("out", b"x".to_vec()).await?;
                Ok(())
            }
        })
        .unwrap();
    let pipeline = Pipeline::new(spec, &components).unwrap();
    let backends = backends();
    let options = ExecutorOptions::default().with_parallelism(8);
    let executor = Arc::new(PipelineExecutor::new(backends, components).with_options(options));
    let pipeline = Arc::new(pipeline);
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let (executor, pipeline) = (executor.clone(), pipeline.clone());
            tokio::spawn(async move { executor.run(&pipeline, &RunOptions::new()).await.unwrap() })
        })
        .collect();
    let mut succeeded = 0;
    for run in runs {
        let report = run.await.unwrap();
        assert!(report.is_success());
        succeeded += report.succeeded();
    }
    assert_eq!((ran.of("slow"), succeeded), (1, 1));
}

/// A cache that counts how often it is asked for the records of a component.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn StepCache>,
    looked: AtomicUsize,
    compared: AtomicUsize,
}

#[async_trait::async_trait]
impl StepCache for Counting {
    async fn get(&self, key: &StepKey) -> mlops_core::Result<Option<StepRecord>> {
        self.looked.fetch_add(1, Ordering::SeqCst);
        self.inner.get(key).await
    }

    async fn put(&self, record: &StepRecord, claim: &Claim) -> mlops_core::Result<()> {
        self.inner.put(record, claim).await
    }

    async fn claim(&self, key: &StepKey, holder: &str, lease: Duration) -> mlops_core::Result<Claimed> {
        self.inner.claim(key, holder, lease).await
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> mlops_core::Result<Claim> {
        self.inner.renew(claim, lease).await
    }

    async fn release(&self, claim: &Claim) -> mlops_core::Result<()> {
        self.inner.release(claim).await
    }

    async fn recent(&self, component: &ComponentName, limit: usize) -> mlops_core::Result<Vec<StepRecord>> {
        self.compared.fetch_add(1, Ordering::SeqCst);
        self.inner.recent(component, limit).await
    }

    async fn remove(&self, key: &StepKey) -> mlops_core::Result<bool> {
        self.inner.remove(key).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_is_looked_for_only_by_who_runs_the_step() {
    let slow = component("slow", "1").with_output(port("out"), PortType::UriFile);
    let spec = pipeline_spec().with_step(StepSpec::new(step("slow"), slow.reference()));
    let (begun, go) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let (begins, goes) = (begun.clone(), go.clone());
    let components = Components::new()
        .with_fn(slow, move |context: StepContext| {
            let (begins, goes) = (begins.clone(), goes.clone());
            async move {
                begins.notify_one();
                goes.notified().await;
                context.write("out", b"x".to_vec()).await?;
                Ok(())
            }
        })
        .unwrap();
    let pipeline = Arc::new(Pipeline::new(spec, &components).unwrap());
    let mut backends = backends();
    let (looked, compared) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let cache = Arc::new(Counting { inner: backends.cache.clone(), looked, compared });
    backends.cache = cache.clone();
    let mut options = ExecutorOptions::default();
    options.poll = Duration::from_millis(1);
    let executor = Arc::new(PipelineExecutor::new(backends, components).with_options(options));
    let start = || {
        let (executor, pipeline) = (executor.clone(), pipeline.clone());
        tokio::spawn(async move { executor.run(&pipeline, &RunOptions::new()).await.unwrap() })
    };
    let first = start();
    begun.notified().await;
    let second = start();
    let looked = cache.looked.load(Ordering::SeqCst);
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    while cache.looked.load(Ordering::SeqCst) < looked + 20 {
        assert!(std::time::Instant::now() < patience, "nobody looks");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    go.notify_one();
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!((first.succeeded(), second.reused()), (1, 1));
    assert_eq!(first.step(&step("slow")).unwrap().reason, Some(RunReason::NeverRan));
    assert_eq!(cache.compared.load(Ordering::SeqCst), 1);
}

// ── failures ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A component that does what `script` says about its attempts: `t`ransient, `p`reempted, `x` permanent, `!` panics, `.` succeeds.
fn scripted(
    name: &str,
    script: &'static str,
    ran: &Ran,
) -> (Component, impl Fn(StepContext) -> futures::Done + use<>) {
    let one = component(name, script).with_output(port("out"), PortType::UriFile);
    let (ran, name) = (ran.clone(), name.to_owned());
    (one, move |context: StepContext| {
        ran.count(&name);
        let attempt = usize::try_from(context.attempt()).unwrap();
        let what = script.chars().nth(attempt - 1).unwrap_or('.');
        Box::pin(async move {
            match what {
                't' => return Err(StepError::transient("busy")),
                'p' => return Err(StepError::preempted("taken away")),
                'x' => return Err(StepError::permanent("broken")),
                '!' => panic!("a panic in a step"),
                _ => {}
            }
            context.write("out", b"x".to_vec()).await?;
            Ok(())
        })
    })
}

mod futures {
    use mlops_core::pipeline::StepError;
    pub type Done = std::pin::Pin<Box<dyn Future<Output = Result<(), StepError>> + Send>>;
}

fn quick(attempts: u32) -> StepRetry {
    StepRetry::default()
        .with_attempts(attempts)
        .with_waits(Duration::from_micros(10), Duration::from_millis(1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_tried_again_by_their_class() {
    for (script, retry, expected, attempts) in [
        ("tt.", quick(3), "succeeded", 3),
        ("tt.", quick(2), "failed", 2),
        ("x.", quick(9), "failed", 1),
        ("!.", quick(9), "failed", 1),
        ("pppt.", quick(2), "succeeded", 5),
        ("pppt.", quick(2).with_preemptions(2), "failed", 3),
    ] {
        let ran = Ran::default();
        let (one, body) = scripted("one", script, &ran);
        let spec = StepSpec::new(step("one"), one.reference()).with_retry(retry);
        let components = Components::new().with_fn(one, body).unwrap();
        let pipeline = Pipeline::new(pipeline_spec().with_step(spec), &components).unwrap();
        let executor = PipelineExecutor::new(backends(), components);
        let report = executor.run(&pipeline, &RunOptions::new()).await.unwrap();
        assert_eq!((word(&report, "one"), ran.of("one")), (expected, attempts), "{script}: {report}");
        assert_eq!(report.is_success(), expected == "succeeded");
        if script.starts_with('!') {
            assert_eq!(report.steps[0].error.as_deref(), Some("the step panicked"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_takes_too_long_is_stopped_and_tried_again() {
    let one = component("one", "1").with_output(port("out"), PortType::UriFile);
    let spec = StepSpec::new(step("one"), one.reference())
        .with_retry(quick(2))
        .with_timeout(Duration::from_millis(40));
    let components = Components::new()
        .with_fn(one, |context: StepContext| async move {
            if context.attempt() == 1 {
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }
            context.write("out", b"x".to_vec()).await?;
            Ok(())
        })
        .unwrap();
    let pipeline = Pipeline::new(pipeline_spec().with_step(spec), &components).unwrap();
    let report =
        PipelineExecutor::new(backends(), components).run(&pipeline, &RunOptions::new()).await.unwrap();
    let one = &report.steps[0];
    assert_eq!(
        (one.state.word(), one.attempts, one.error.as_deref()),
        ("succeeded", 2, Some("took longer than 40ms"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_does_not_write_what_it_should_has_failed() {
    let one = component("one", "1")
        .with_output(port("out"), PortType::UriFile)
        .with_output(port("folder"), PortType::UriFolder);
    let spec = pipeline_spec().with_step(StepSpec::new(step("one"), one.reference()));
    for (write, expected) in [
        (vec!["out"], "the step did not write its output `folder`"),
        (vec!["out", "nothing"], "step `one` has no output `nothing`"),
        (vec!["folder"], "step `one` has no output that is a file, `folder`"),
    ] {
        let components = Components::new()
            .with_fn(one.clone(), move |context: StepContext| {
                let write = write.clone();
                async move {
                    for name in write {
                        context.write(name, b"x".to_vec()).await?;
                    }
                    Ok(())
                }
            })
            .unwrap();
        let pipeline = Pipeline::new(spec.clone(), &components).unwrap();
        let report =
            PipelineExecutor::new(backends(), components).run(&pipeline, &RunOptions::new()).await.unwrap();
        let StepState::Failed { class, message } = &report.steps[0].state else { panic!("{report}") };
        assert_eq!((*class, message.as_str()), (ErrorClass::Permanent, expected));
    }
}

/// `bad` fails; `behind` needs it, `beside` does not; `tell` runs on failure, `always` always, `calm` when it fails.
async fn with_a_failure(go_on: bool) -> (PipelineReport, Ran) {
    let ran = Ran::default();
    let (bad, bad_body) = scripted("bad", "x", &ran);
    let (good, good_body) = scripted("good", ".", &ran);
    let needs = component("needs", "1").with_input(port("x"), PortType::UriFile);
    let spec = pipeline_spec()
        .with_continue_on_step_failure(go_on)
        .with_step(StepSpec::new(step("bad"), bad.reference()))
        .with_step(StepSpec::new(step("behind"), needs.reference()).with_input_from(
            port("x"),
            step("bad"),
            port("out"),
        ))
        .with_step(StepSpec::new(step("beside"), good.reference()).with_after(step("slow")))
        .with_step(StepSpec::new(step("slow"), good.reference()).with_reuse(false))
        .with_step(
            StepSpec::new(step("tell"), good.reference())
                .with_after(step("behind"))
                .with_when(RunWhen::OnFailure),
        )
        .with_step(
            StepSpec::new(step("always"), good.reference())
                .with_after(step("bad"))
                .with_when(RunWhen::Always),
        )
        .with_step(
            StepSpec::new(step("calm"), good.reference())
                .with_after(step("always"))
                .with_when(RunWhen::OnFailure),
        );
    let components = Components::new()
        .with_fn(bad, bad_body)
        .unwrap()
        .with_fn(good, good_body)
        .unwrap()
        .with_fn(needs, |_| async { Ok(()) })
        .unwrap();
    let pipeline = Pipeline::new(spec, &components).unwrap();
    let options = ExecutorOptions::default().with_parallelism(1);
    let executor = PipelineExecutor::new(backends(), components).with_options(options);
    (executor.run(&pipeline, &RunOptions::new()).await.unwrap(), ran)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_stops_the_rest_or_does_not_as_the_pipeline_says() {
    let states = |report: &PipelineReport| {
        let names = ["bad", "behind", "slow", "beside", "tell", "always", "calm"];
        names.map(|name| word(report, name)).join(" ")
    };
    let (report, _) = with_a_failure(true).await;
    assert_eq!(report.status, PipelineStatus::Failed);
    assert_eq!(states(&report), "failed skipped succeeded reused reused reused skipped", "{report}");
    assert_eq!(
        report.step(&step("behind")).unwrap().state,
        StepState::Skipped(SkipReason::Failed(step("bad")))
    );
    assert_eq!(report.step(&step("calm")).unwrap().state, StepState::Skipped(SkipReason::NothingFailed));
    let (report, _) = with_a_failure(false).await;
    assert_eq!(report.status, PipelineStatus::Failed);
    // Somebody is told, and what always runs does.
    assert_eq!(states(&report), "failed skipped cancelled skipped succeeded reused skipped", "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_skip_and_optional_inputs_do_without() {
    let ran = Ran::default();
    let (make, body) = scripted("make", ".", &ran);
    let merge = component("merge", "1")
        .with_optional_input(port("a"), PortType::UriFile)
        .with_optional_input(port("b"), PortType::UriFile)
        .with_output(port("out"), PortType::UriFile);
    let needs = component("needs", "1").with_input(port("x"), PortType::UriFile);
    let spec = pipeline_spec()
        .with_parameter(port("fast"), ParamSpec::boolean().with_default(false))
        .with_step(StepSpec::new(step("a"), make.reference()).with_if(port("fast"), false))
        .with_step(StepSpec::new(step("b"), make.reference()).with_if(port("fast"), true))
        .with_step(
            StepSpec::new(step("merge"), merge.reference())
                .with_input_from(port("a"), step("a"), port("out"))
                .with_input_from(port("b"), step("b"), port("out")),
        )
        .with_step(StepSpec::new(step("needs"), needs.reference()).with_input_from(
            port("x"),
            step("b"),
            port("out"),
        ));
    let components = Components::new()
        .with_fn(make, body)
        .unwrap()
        .with_blocking(merge, |_, inputs| {
            let names: Vec<&str> = inputs.keys().map(PortName::as_str).collect();
            Ok([(port("out"), names.join(",").into_bytes())].into())
        })
        .unwrap()
        .with_fn(needs, |_| async { Ok(()) })
        .unwrap();
    let pipeline = Pipeline::new(spec, &components).unwrap();
    let backends = backends();
    let executor = PipelineExecutor::new(backends.clone(), components);
    for (fast, merged, needs) in [(false, "a", "skipped"), (true, "b", "succeeded")] {
        let report =
            executor.run(&pipeline, &RunOptions::new().with_argument(port("fast"), fast)).await.unwrap();
        assert!(report.is_success());
        let digest = report.outputs(&step("merge")).unwrap()["out"].digest;
        assert_eq!(&backends.artifacts.get_bytes(&digest, 10).await.unwrap()[..], merged.as_bytes());
        assert_eq!(word(&report, "needs"), needs);
    }
}

#[test]
fn only_files_are_handed_over_as_bytes() {
    let folder = component("folder", "1").with_input(port("rows"), PortType::UriFolder);
    let error = Components::new().with_blocking(folder, |_, _| Ok(BTreeMap::new())).unwrap_err();
    assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some("rows")));
}

// ── limits and cancellation ─────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_run_at_once_than_the_limits_say() {
    for (parallelism, gpus, most, most_gpu) in [(1, 9, 1, 1), (4, 1, 4, 1), (6, 2, 6, 2)] {
        let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (gpu_now, gpu_peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = component("work", "1").with_parameter(port("n"), ParamSpec::integer(None, None));
        let mut spec = pipeline_spec();
        for i in 0..12_i64 {
            let one = StepSpec::new(step(&format!("s{i}")), work.reference()).with_parameter(port("n"), i);
            spec = spec.with_step(if i % 2 == 0 { one.with_resource(port("gpu")) } else { one });
        }
        let (n, p, gn, gp) = (now.clone(), peak.clone(), gpu_now.clone(), gpu_peak.clone());
        let components = Components::new()
            .with_fn(work, move |context: StepContext| {
                let (n, p, gn, gp) = (n.clone(), p.clone(), gn.clone(), gp.clone());
                async move {
                    let gpu = context.integer("n")? % 2 == 0;
                    p.fetch_max(n.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    if gpu {
                        gp.fetch_max(gn.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    n.fetch_sub(1, Ordering::SeqCst);
                    if gpu {
                        gn.fetch_sub(1, Ordering::SeqCst);
                    }
                    Ok(())
                }
            })
            .unwrap();
        let pipeline = Pipeline::new(spec, &components).unwrap();
        let options = ExecutorOptions::default().with_parallelism(parallelism).with_limit(port("gpu"), gpus);
        let executor = PipelineExecutor::new(backends(), components).with_options(options);
        let report = executor.run(&pipeline, &RunOptions::new()).await.unwrap();
        assert_eq!(report.succeeded(), 12);
        assert!(peak.load(Ordering::SeqCst) <= most && gpu_peak.load(Ordering::SeqCst) <= most_gpu);
        // Branches do run beside each other.
        assert!(parallelism == 1 || peak.load(Ordering::SeqCst) > 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_run_stops_what_runs_and_begins_nothing() {
    let cancel = Cancel::new();
    let forever = component("forever", "1").with_output(port("out"), PortType::UriFile);
    let needs = component("needs", "1").with_input(port("x"), PortType::UriFile);
    let spec = pipeline_spec()
        .with_step(StepSpec::new(step("forever"), forever.reference()))
        .with_step(StepSpec::new(step("again"), forever.reference()).with_reuse(false))
        .with_step(StepSpec::new(step("needs"), needs.reference()).with_input_from(
            port("x"),
            step("again"),
            port("out"),
        ));
    let turn = cancel.clone();
    let components = Components::new()
        .with_fn(forever, move |_| {
            let turn = turn.clone();
            async move {
                turn.cancel();
                std::future::pending().await
            }
        })
        .unwrap()
        .with_fn(needs, |_| async { Ok(()) })
        .unwrap();
    let pipeline = Pipeline::new(spec, &components).unwrap();
    let executor = PipelineExecutor::new(backends(), components);
    let report = executor.run(&pipeline, &RunOptions::new().with_cancel(cancel)).await.unwrap();
    assert_eq!(report.status, PipelineStatus::Cancelled, "{report}");
    assert_eq!(
        [word(&report, "forever"), word(&report, "again"), word(&report, "needs")],
        ["cancelled", "cancelled", "skipped"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_is_shared_lets_nothing_begin_that_it_does_not_hold() {
    let start = "2026-01-01".parse().unwrap();
    let thresholds = vec![Threshold::new(50.0).with_basis(ThresholdBasis::Actual)];
    let budget = Budget::new("team", 100.0, TimeGrain::Monthly, start, thresholds).unwrap();
    let costs = || StepCosts::new(10.0).unwrap().with(step("fit"), 75.0).unwrap();
    let ran = Ran::default();
    let components = classic(&ran);
    let pipeline = classic_pipeline(&components);
    let backends = backends();
    let guard = BudgetGuard::new(&budget, 10.0).unwrap();
    let executor =
        PipelineExecutor::new(backends.clone(), components.clone()).with_guard(guard.clone(), costs());
    let report = executor.run(&pipeline, &RunOptions::new()).await.unwrap();
    assert_eq!(report.status, PipelineStatus::Cancelled, "{report}");
    assert_eq!(
        [word(&report, "load"), word(&report, "clean"), word(&report, "fit")],
        ["succeeded", "succeeded", "cancelled"]
    );
    let why = report.step(&step("fit")).unwrap().explain();
    assert_eq!(why, "step `fit` was cancelled: the budget `team` of 100 has 70 left, and 75 would be needed");
    assert_eq!((guard.spent(), guard.promised(), ran.of("fit")), (30.0, 0.0, 0));
    let spent = |report: &PipelineReport, name: &str| report.step(&step(name)).unwrap().spent;
    assert_eq!(["load", "clean", "fit"].map(|name| spent(&report, name)), [10.0, 10.0, 0.0]);

    // What was made is reused and costs nothing; with enough left the rest is made, and the threshold is crossed.
    let guard = BudgetGuard::new(&budget, 20.0).unwrap();
    let executor = PipelineExecutor::new(backends, components).with_guard(guard.clone(), costs());
    let report = executor.run(&pipeline, &RunOptions::new()).await.unwrap();
    assert!(report.is_success(), "{report}");
    assert_eq!((report.reused(), guard.spent(), guard.crossed().len()), (2, 95.0, 1));
    assert_eq!(["load", "clean", "fit"].map(|name| spent(&report, name)), [0.0, 0.0, 75.0]);
    assert_eq!(report.spent(), 75.0);
}

/// What a step says that it costs counts in place of what was expected, attempt by attempt, in report, journal and budget; and what
/// one attempt cost more than expected is missing for the next step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_step_says_that_it_costs_is_what_it_costs() {
    let thresholds = vec![Threshold::new(100.0).with_basis(ThresholdBasis::Actual)];
    let budget = Budget::new("team", 20.0, TimeGrain::Monthly, "2026-01-01".parse().unwrap(), thresholds);
    let guard = BudgetGuard::new(&budget.unwrap(), 0.0).unwrap();
    let fit = component("fit", "1").with_output(port("out"), PortType::UriFile);
    let after = component("after", "1").with_input(port("x"), PortType::UriFile);
    let spec = pipeline_spec()
        .with_step(StepSpec::new(step("fit"), fit.reference()).with_retry(quick(2)))
        .with_step(StepSpec::new(step("after"), after.reference()).with_input_from(
            port("x"),
            step("fit"),
            port("out"),
        ));
    let components = Components::new()
        .with_fn(fit, |context| async move {
            for cost in [2.0, -1.0, f64::NAN, 4.5] {
                context.spend(cost);
            }
            if context.attempt() == 1 {
                return Err(StepError::transient("the network is down"));
            }
            context.spend(3.0);
            context.write("out", b"x".to_vec()).await?;
            Ok(())
        })
        .unwrap()
        .with_fn(after, |_| async { Ok(()) })
        .unwrap();
    let pipeline = Pipeline::new(spec, &components).unwrap();
    let backends = backends();
    let executor = PipelineExecutor::new(backends.clone(), components);
    let executor = executor.with_guard(guard.clone(), StepCosts::new(5.0).unwrap());
    let options = RunOptions::new();
    let report = executor.run(&pipeline, &options).await.unwrap();
    assert_eq!([word(&report, "fit"), word(&report, "after")], ["succeeded", "cancelled"], "{report}");
    assert_eq!((report.spent(), guard.spent(), guard.promised()), (16.0, 16.0, 0.0));
    assert!(report.to_string().contains(", 16 spent"), "{report}");
    let entries = backends.journal.entries(&options.run).await.unwrap();
    let written: Vec<(u32, f64)> = entries
        .iter()
        .filter_map(|entry| match &entry.event {
            PipelineEvent::Spent { attempt, cost, .. } => Some((*attempt, *cost)),
            _ => None,
        })
        .collect();
    assert_eq!(written, [(1, 5.0), (1, 6.5), (2, 5.0), (2, 9.5)]);
    let replayed = PipelineState::replay(&entries).unwrap();
    assert_eq!((replayed.spent(), replayed.step(&step("fit")).unwrap().spent), (16.0, 16.0));
    // Without a budget it is in the report all the same; and cut off after the beginning it has cost what was expected.
    let cut = entries.iter().position(|entry| matches!(entry.event, PipelineEvent::Spent { attempt: 2, .. }));
    let cut = PipelineState::replay(&entries[..=cut.unwrap()]).unwrap();
    assert_eq!(cut.spent(), 11.5);
    let mut bad = cut.clone();
    for cost in [-1.0, f64::NAN, f64::INFINITY] {
        let event = PipelineEvent::Spent { step: step("fit"), attempt: 2, cost };
        assert_eq!(bad.apply(&event).unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(bad, cut);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_at_work_when_a_budget_is_used_up_comes_to_its_end() {
    let budget = Budget::new(
        "team",
        10.0,
        TimeGrain::Monthly,
        "2026-01-01".parse().unwrap(),
        vec![Threshold::new(100.0).with_basis(ThresholdBasis::Actual)],
    );
    let guard = BudgetGuard::new(&budget.unwrap(), 0.0).unwrap();
    let slow =
        component("slow", "1").with_output(port("out"), PortType::UriFile).with_is_deterministic(false);
    let spec = pipeline_spec()
        .with_step(StepSpec::new(step("a"), slow.reference()))
        .with_step(StepSpec::new(step("b"), slow.reference()))
        .with_step(StepSpec::new(step("c"), slow.reference()));
    let components = Components::new()
        .with_fn(slow, |context| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            context.write("out", b"x".to_vec()).await?;
            Ok(())
        })
        .unwrap();
    let pipeline = Pipeline::new(spec, &components).unwrap();
    let executor =
        PipelineExecutor::new(backends(), components).with_guard(guard.clone(), StepCosts::new(4.0).unwrap());
    let report = executor.run(&pipeline, &RunOptions::new()).await.unwrap();
    let words = [word(&report, "a"), word(&report, "b"), word(&report, "c")];
    assert_eq!(words, ["succeeded", "succeeded", "cancelled"], "{report}");
    assert_eq!((report.status, guard.spent()), (PipelineStatus::Cancelled, 8.0));
}

// ── resumption ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A journal that takes so many entries and then fails, as a disk that is full.
#[derive(Debug)]
struct Failing {
    inner: MemoryPipelineJournal,
    left: AtomicUsize,
}

#[async_trait::async_trait]
impl PipelineJournal for Failing {
    async fn append(&self, run: &RunId, entry: &PipelineEntry) -> mlops_core::Result<()> {
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return Err(mlops_core::Error::new(ErrorKind::Storage, "append", "no space"));
        }
        self.inner.append(run, entry).await
    }

    async fn entries(&self, run: &RunId) -> mlops_core::Result<Vec<PipelineEntry>> {
        self.inner.entries(run).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_cut_off_after_any_entry_goes_on_to_the_same_end() {
    let whole = {
        let components = classic(&Ran::default());
        let pipeline = classic_pipeline(&components);
        PipelineExecutor::new(backends(), components).run(&pipeline, &RunOptions::new()).await.unwrap()
    };
    for cut in 1..8 {
        let ran = Ran::default();
        let components = classic(&ran);
        let pipeline = classic_pipeline(&components);
        let journal =
            Arc::new(Failing { inner: MemoryPipelineJournal::default(), left: AtomicUsize::new(cut) });
        let mut backends = backends();
        backends.journal = journal.clone();
        let executor = PipelineExecutor::new(backends, components);
        let run = RunId::generate();
        let options = RunOptions::new().with_run(run.clone());
        let error = executor.run(&pipeline, &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage, "cut after {cut}");
        journal.left.store(usize::MAX, Ordering::SeqCst);
        let report = executor.resume(&pipeline, &run, &Cancel::new()).await.unwrap();
        assert!(report.is_success());
        for name in ["load", "clean", "fit"] {
            assert_eq!(report.outputs(&step(name)), whole.outputs(&step(name)), "cut after {cut}");
            // What was made but not written down is in the cache: nothing is made twice.
            assert_eq!(ran.of(name), 1, "cut after {cut}");
        }
        // Resuming what has ended changes nothing.
        let entries = journal.entries(&run).await.unwrap();
        assert_eq!(executor.resume(&pipeline, &run, &Cancel::new()).await.unwrap(), report);
        assert_eq!(journal.entries(&run).await.unwrap(), entries);
        assert_eq!(executor.run(&pipeline, &options).await.unwrap_err().kind(), ErrorKind::Conflict);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_are_kept_across_attempts() {
    let long = component("long", "1").with_output(port("out"), PortType::UriFile);
    let spec = StepSpec::new(step("long"), long.reference()).with_retry(quick(5));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let saw = seen.clone();
    let components = Components::new()
        .with_fn(long, move |context: StepContext| {
            let saw = saw.clone();
            async move {
                let from = context.checkpoint().await?.map_or(0, |bytes| bytes[0]);
                saw.lock().unwrap().push(from);
                if from < 3 {
                    context.save_checkpoint(vec![from + 1]).await?;
                    return Err(StepError::transient("cut"));
                }
                context.write("out", vec![from]).await?;
                Ok(())
            }
        })
        .unwrap();
    let pipeline = Pipeline::new(pipeline_spec().with_step(spec), &components).unwrap();
    let report =
        PipelineExecutor::new(backends(), components).run(&pipeline, &RunOptions::new()).await.unwrap();
    assert!(report.is_success(), "{report}");
    assert_eq!(*seen.lock().unwrap(), [0, 1, 2, 3]);
}

/// Four branches on one thread, whose journal gives back control while it writes: who waits for it must not keep its writer
/// from going on. And a writer that is stopped while it writes leaves a journal that goes on.
#[tokio::test]
async fn a_journal_that_is_slow_keeps_nobody_from_going_on() {
    #[derive(Debug, Default)]
    struct Slow(MemoryPipelineJournal);

    #[async_trait::async_trait]
    impl PipelineJournal for Slow {
        async fn append(&self, run: &RunId, entry: &PipelineEntry) -> mlops_core::Result<()> {
            tokio::time::sleep(Duration::from_millis(2)).await;
            self.0.append(run, entry).await
        }

        async fn entries(&self, run: &RunId) -> mlops_core::Result<Vec<PipelineEntry>> {
            self.0.entries(run).await
        }
    }

    let (busy, late) = (component("busy", "1"), component("late", "1"));
    let mut spec = pipeline_spec().with_continue_on_step_failure(true);
    for i in 0..8 {
        spec = spec.with_step(StepSpec::new(step(&format!("s{i}")), busy.reference()).with_reuse(false));
    }
    let checkpoints = StepSpec::new(step("late"), late.reference()).with_timeout(Duration::from_millis(25));
    let spec = spec.with_step(checkpoints);
    let components = Components::new()
        .with_fn(busy.with_is_deterministic(false), |context: StepContext| async move {
            context.save_checkpoint(b"half".to_vec()).await?;
            Ok(())
        })
        .unwrap()
        .with_fn(late, |context: StepContext| async move {
            loop {
                context.save_checkpoint(b"again".to_vec()).await?;
            }
        })
        .unwrap();
    let pipeline = Pipeline::new(spec, &components).unwrap();
    let mut backends = backends();
    backends.journal = Arc::new(Slow::default());
    let run = RunOptions::new();
    let executor = PipelineExecutor::new(backends.clone(), components);
    let report =
        tokio::time::timeout(Duration::from_secs(20), executor.run(&pipeline, &run)).await.unwrap().unwrap();
    assert_eq!((report.succeeded(), word(&report, "late")), (8, "failed"), "{report}");
    let state = PipelineState::replay(&backends.journal.entries(&run.run).await.unwrap()).unwrap();
    assert_eq!(state.status(), PipelineStatus::Failed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_another_pipeline_is_not_resumed() {
    let components = classic(&Ran::default());
    let pipeline = classic_pipeline(&components);
    let executor = PipelineExecutor::new(backends(), components.clone());
    let run = executor.run(&pipeline, &RunOptions::new()).await.unwrap().run;
    let other =
        Pipeline::new(classic_spec(&components).with_continue_on_step_failure(true), &components).unwrap();
    assert_eq!(executor.resume(&other, &run, &Cancel::new()).await.unwrap_err().kind(), ErrorKind::Conflict);
    let nobody = executor.resume(&pipeline, &RunId::generate(), &Cancel::new()).await.unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_journal_or_record_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path()).unwrap();
    let components = classic(&Ran::default());
    let pipeline = classic_pipeline(&components);
    let executor = PipelineExecutor::new(on_folder(&store), components);
    let run = executor.run(&pipeline, &RunOptions::new()).await.unwrap().run;
    assert!(store.verify().await.unwrap().is_sound());
    assert!(store.pipelines().unfinished().await.unwrap().is_empty());
    common::sabotage(dir.path(), "DELETE FROM pipeline_entry WHERE sequence = 3");
    assert_eq!(store.pipelines().entries(&run).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(
        executor.resume(&pipeline, &run, &Cancel::new()).await.unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    common::sabotage(dir.path(), "UPDATE step_record SET body = replace(body, '\"seed\":0', '\"seed\":1')");
    assert_eq!(executor.run(&pipeline, &RunOptions::new()).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(store.verify().await.unwrap().findings.len() >= 4);
}

// ── lineage ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_become_data_assets_with_lineage_and_attempts_nested_runs() {
    let backends = backends();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let assets = Arc::new(MemoryDataAssetStore::new(backends.artifacts.clone(), clock.clone()));
    let tracker = Arc::new(MemoryTracker::new(clock));
    let components = classic(&Ran::default());
    let mut spec = classic_spec(&components);
    let name = AssetName::new("clean-rows").unwrap();
    spec.steps[1] = spec.steps[1].clone().with_asset(port("rows"), name.clone());
    let pipeline = Pipeline::new(spec, &components).unwrap();
    let bare = PipelineExecutor::new(backends.clone(), components);
    assert_eq!(bare.run(&pipeline, &RunOptions::new()).await.unwrap_err().context("field"), Some("assets"));
    let publishing = Publishing::new(ActorId::new("nightly").unwrap())
        .with_tracker(tracker.clone(), ExperimentName::new("e").unwrap())
        .with_assets(assets.clone());
    let executor = bare.with_publishing(publishing);
    let first = executor.run(&pipeline, &RunOptions::new()).await.unwrap();
    let second = executor.run(&pipeline, &RunOptions::new()).await.unwrap();
    let third =
        executor.run(&pipeline, &RunOptions::new().with_argument(port("rows"), 20_i64)).await.unwrap();
    assert_eq!((first.reused(), second.reused(), third.reused()), (0, 3, 0));

    // The same content is the same version; other content is the next.
    let version = |report: &PipelineReport| {
        report.outputs(&step("clean")).unwrap()["rows"].asset.clone().unwrap().version.get()
    };
    assert_eq!([version(&first), version(&second), version(&third)], [1, 1, 2]);
    let asset = assets.get(&DataRef::latest(name.clone())).await.unwrap();
    assert_eq!(asset.spec.tags["mlops.run"], third.run.to_string());

    let runs = tracker.search_runs(&RunQuery::everywhere()).await.unwrap().items;
    assert!(runs.iter().all(|run| run.status == RunStatus::Finished));
    assert_eq!(runs.len(), 3 + 9);
    let nested = |report: &PipelineReport, name: &str| {
        let of =
            |run: &&mlops_core::experiment::Run| run.parent.as_ref() == Some(&report.run) && run.name == name;
        runs.iter().find(of).unwrap().clone()
    };
    let fit = nested(&first, "fit");
    assert_eq!(fit.inputs[0].asset, name);
    assert_eq!(fit.inputs[0].role, "rows");
    assert_eq!(fit.metrics[&MetricKey::new("sum").unwrap()].last.value, 20.0);
    assert_eq!(fit.params["weight"], "1.0");
    assert_eq!(
        fit.artifacts.iter().map(|a| a.path.as_str()).collect::<Vec<_>>(),
        ["log.txt", "outputs/model"]
    );
    let reused = nested(&second, "fit");
    assert_eq!(reused.tags["mlops.step.reused_from"], first.run.to_string());
    assert_eq!(reused.metrics[&MetricKey::new("sum").unwrap()].last.value, 20.0);
    let parent = runs.iter().find(|run| run.id == first.run).unwrap();
    assert_eq!((parent.name.as_str(), parent.params["rows"].as_str()), ("p", "10"));
}

/// Whatever call of the tracker fails: who resumes the run brings the tracker to where the journal is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_tracker_failed_at_any_call_is_shown_to_its_end_when_it_is_resumed() {
    let (mut over, mut cut_off) = (0, 0);
    for calls in 0.. {
        let tracker = Arc::new(common::FailingTracker::after(calls));
        let publishing = Publishing::new(ActorId::new("nightly").unwrap())
            .with_tracker(tracker.clone(), ExperimentName::new("e").unwrap());
        let components = classic(&Ran::default());
        let pipeline = classic_pipeline(&components);
        let backends = backends();
        let executor = PipelineExecutor::new(backends.clone(), components).with_publishing(publishing);
        let options = RunOptions::new();
        let Err(error) = executor.run(&pipeline, &options).await else { break };
        assert_eq!(error.kind(), ErrorKind::Transport, "after {calls} calls");
        tracker.mend();
        let entries = backends.journal.entries(&options.run).await.unwrap();
        over += usize::from(PipelineState::replay(&entries).unwrap().status() != PipelineStatus::Running);
        let report = executor.resume(&pipeline, &options.run, &Cancel::new()).await.unwrap();
        assert!(report.is_success(), "after {calls} calls: {report}");
        let runs = tracker.search_runs(&RunQuery::everywhere()).await.unwrap().items;
        for run in &runs {
            assert!(run.status.is_final(), "after {calls} calls: {} is {:?}", run.name, run.status);
        }
        let run = tracker.run(&options.run).await.unwrap();
        assert_eq!(run.status, RunStatus::Finished, "after {calls} calls");
        let ended = backends.journal.entries(&options.run).await.unwrap().last().unwrap().at;
        assert!(run.ended_at.is_some_and(|at| at >= ended), "after {calls} calls");
        cut_off += runs.iter().filter(|run| run.status == RunStatus::Killed).count();
        // Once more changes nothing.
        assert_eq!(executor.resume(&pipeline, &options.run, &Cancel::new()).await.unwrap(), report);
        assert_eq!(tracker.search_runs(&RunQuery::everywhere()).await.unwrap().items, runs);
    }
    assert_eq!(over, 1, "the journal had the end, and the tracker had not");
    assert!(cut_off > 0, "no attempt was cut off while it was shown");
}

/// Who resumes a run that has ended may show runs elsewhere than who ran it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_ended_before_there_was_a_tracker_is_not_shown() {
    let components = classic(&Ran::default());
    let pipeline = classic_pipeline(&components);
    let executor = PipelineExecutor::new(backends(), components);
    let report = executor.run(&pipeline, &RunOptions::new()).await.unwrap();
    let tracker = Arc::new(MemoryTracker::default());
    let publishing = Publishing::new(ActorId::new("nightly").unwrap())
        .with_tracker(tracker.clone(), ExperimentName::new("e").unwrap());
    let executor = executor.with_publishing(publishing);
    assert_eq!(executor.resume(&pipeline, &report.run, &Cancel::new()).await.unwrap(), report);
    assert!(tracker.search_runs(&RunQuery::everywhere()).await.unwrap().items.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_works_on_inputs_from_outside() {
    let ran = Ran::default();
    let components = classic(&ran);
    let clean = components.references().find(|r| r.name.as_str() == "clean").unwrap().clone();
    let spec = pipeline_spec()
        .with_input(port("raw"), PortType::UriFile)
        .with_step(StepSpec::new(step("clean"), clean).with_input(port("rows"), port("raw")));
    let pipeline = Pipeline::new(spec, &components).unwrap();
    let backends = backends();
    let executor = PipelineExecutor::new(backends.clone(), components);
    let blob = backends.artifacts.put_bytes(b"2\n3\n".to_vec()).await.unwrap();
    let run = |kind| RunOptions::new().with_input(port("raw"), Content::new(kind, blob));
    assert!(executor.run(&pipeline, &run(PortType::UriFile)).await.unwrap().is_success());
    assert_eq!(executor.run(&pipeline, &run(PortType::UriFile)).await.unwrap().reused(), 1);
    for bad in [
        RunOptions::new(),
        run(PortType::UriFolder),
        run(PortType::UriFile).with_input(port("more"), Content::new(PortType::UriFile, blob)),
    ] {
        let error = executor.run(&pipeline, &bad).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let unknown = run(PortType::UriFile).with_argument(port("rwos"), 1_i64);
    assert_eq!(executor.run(&pipeline, &unknown).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(ran.total(), 1);
}

// ── graphs and files ────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_cycle_is_said_by_name() {
    let pass = component("pass", "1")
        .with_input(port("x"), PortType::UriFile)
        .with_output(port("x"), PortType::UriFile);
    let components = Components::new().with_described(pass.clone()).unwrap();
    let link = |from: &str, to: &str| {
        StepSpec::new(step(to), pass.reference()).with_input_from(port("x"), step(from), port("x"))
    };
    // `d` hangs on the ring, and is not of it.
    let spec = pipeline_spec()
        .with_step(link("c", "d"))
        .with_step(link("c", "a"))
        .with_step(link("b", "c"))
        .with_step(link("a", "b"));
    let error = Pipeline::new(spec, &components).unwrap_err();
    assert_eq!(error.fault, GraphFault::Cycle(vec![step("a"), step("b"), step("c")]));
    assert!(error.to_string().ends_with("the steps wait for each other: a -> b -> c -> a"), "{error}");
    let alone = pipeline_spec().with_step(link("a", "a"));
    assert_eq!(Pipeline::new(alone, &components).unwrap_err().fault, GraphFault::Cycle(vec![step("a")]));
}

#[test]
fn what_does_not_fit_is_said_by_name() {
    let components = classic(&Ran::default());
    let good = classic_spec(&components);
    type Change = fn(&mut PipelineSpec);
    let cases: [(Change, Part, &str); 11] = [
        (|s| s.steps[1].id = step("fit"), Part::Id, "is the name of two steps"),
        (|s| s.steps[0].component = "fti:1".parse().unwrap(), Part::Component, "did you mean `fit:1`?"),
        (|s| s.steps[0].inputs.clear(), Part::Input(port("rows")), "is missing"),
        (
            |s| s.steps[0] = s.steps[0].clone().with_input_from(port("row"), step("load"), port("rows")),
            Part::Input(port("row")),
            "there is no input `row`; did you mean `rows`?",
        ),
        (
            |s| s.steps[0] = s.steps[0].clone().with_input_from(port("rows"), step("laod"), port("rows")),
            Part::Input(port("rows")),
            "there is no step `laod`; did you mean `load`?",
        ),
        (
            |s| s.steps[1] = s.steps[1].clone().with_input_from(port("rows"), step("fit"), port("model")),
            Part::Input(port("rows")),
            "is of type uri_file, but `fit.model` is of type custom_model",
        ),
        (
            |s| s.steps[2] = s.steps[2].clone().with_parameter(port("rows"), 0_i64),
            Part::Parameter(port("rows")),
            "must be at least 1, got 0",
        ),
        (
            |s| s.steps[2] = s.steps[2].clone().with_parameter_from(port("rows"), port("weight")),
            Part::Parameter(port("rows")),
            "is of type integer, but the pipeline's `weight` is of type number",
        ),
        (
            |s| s.steps[2] = s.steps[2].clone().with_after(step("nobody")),
            Part::After,
            "there is no step `nobody`",
        ),
        (
            |s| s.steps[2] = s.steps[2].clone().with_asset(port("model"), AssetName::new("m").unwrap()),
            Part::Asset(port("model")),
            "there is no output `model`",
        ),
        (
            |s| s.steps[2] = s.steps[2].clone().with_retry(StepRetry::default().with_attempts(0)),
            Part::Retry,
            "must be from 1 to 1000",
        ),
    ];
    for (change, part, words) in cases {
        let mut spec = good.clone();
        change(&mut spec);
        let error = Pipeline::new(spec, &components).unwrap_err();
        assert_eq!(error.part, part, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn ten_thousand_steps_are_wired_and_one_more_is_refused() {
    let pass = component("pass", "1")
        .with_optional_input(port("x"), PortType::UriFile)
        .with_output(port("x"), PortType::UriFile);
    let components = Components::new().with_described(pass.clone()).unwrap();
    let mut spec = pipeline_spec();
    for i in 0..10_000 {
        let one = StepSpec::new(step(&format!("s{i}")), pass.reference());
        let before = step(&format!("s{}", i + 1));
        spec =
            spec.with_step(if i < 9_999 { one.with_input_from(port("x"), before, port("x")) } else { one });
    }
    let pipeline = Pipeline::new(spec.clone(), &components).unwrap();
    assert_eq!(pipeline.steps().next().unwrap().id, step("s9999"));
    assert_eq!(pipeline.downstream(&[step("s9999")].into()).len(), 10_000);
    // The whole chain as one ring.
    let mut ring = spec.clone();
    ring.steps[9_999] = ring.steps[9_999].clone().with_input_from(port("x"), step("s0"), port("x"));
    let error = Pipeline::new(ring, &components).unwrap_err();
    assert!(matches!(&error.fault, GraphFault::Cycle(steps) if steps.len() == 10_000));
    assert!(error.to_string().len() < 400);
    let more = spec.with_step(StepSpec::new(step("more"), pass.reference()));
    assert!(matches!(Pipeline::new(more, &components).unwrap_err().fault, GraphFault::TooMany { .. }));
}

const FILE: &str = r#"
name = "diabetes"

[parameters.weight]
type = "number"
min = 0.0
max = 1.0
default = 0.5

[[steps]]
id = "load"
component = "load:1"
parameters.rows = 20

[[steps]]
id = "clean"
component = "clean:1"
inputs.rows = "${{parent.jobs.load.outputs.rows}}"
timeout = "5m"
retry = { attempts = 3, base = "1s" }

[[steps]]
id = "fit"
component = "fit:1"
[steps.inputs]
rows = "${{parent.jobs.clean.outputs.rows}}"
[steps.parameters]
weight = "${{parent.inputs.weight}}"
"#;

#[test]
fn a_file_says_how_components_are_wired_in_every_format() {
    let components = classic(&Ran::default());
    let toml = Pipeline::parse(FILE, PipelineFormat::Toml, &components).unwrap();
    assert_eq!(toml.spec().steps[1].retry.attempts, 3);
    assert_eq!(toml.spec().steps[1].timeout, Some(Duration::from_secs(300)));
    let json = serde_json::to_string(toml.spec()).unwrap();
    let again = Pipeline::parse(&json, PipelineFormat::Json, &components).unwrap();
    assert_eq!(again.spec(), toml.spec());
    assert_eq!(again.digest().unwrap(), toml.digest().unwrap());
    let arguments = toml.arguments(&BTreeMap::new()).unwrap();
    assert_eq!(arguments["weight"], ParamValue::Number(0.5));
}

#[test]
fn an_error_in_a_file_has_its_place() {
    let components = classic(&Ran::default());
    for (from, to, line, id, words) in [
        ("rows = 20", "rows = 0", "13", Some("load"), "must be at least 1, got 0"),
        ("rows = 20", "rows = 20.0", "13", Some("load"), "must be of type integer, got number"),
        ("load:1", "laod:1", "12", Some("load"), "did you mean `load:1`?"),
        ("load.outputs.rows", "load.outputs.rwos", "18", Some("clean"), "did you mean `rows`?"),
        ("${{parent.jobs.load.outputs.rows}}", "load.rows", "18", Some("clean"), "must be ${{parent.jobs"),
        ("timeout = \"5m\"", "timeout = \"0s\"", "19", Some("clean"), "must be longer than nothing"),
        ("attempts = 3", "attempts = 0", "20", Some("clean"), "must be from 1 to 1000"),
        ("attempts = 3", "attempt = 3", "20", Some("clean"), "did you mean `attempts`?"),
        (
            "${{parent.inputs.weight}}",
            "${{parent.inputs.wieght}}",
            "28",
            Some("fit"),
            "did you mean `weight`?",
        ),
        ("id = \"fit\"", "id = \"load\"", "23", Some("load"), "is the name of two steps"),
        ("id = \"fit\"", "id = \"Fit it\"", "23", Some("Fit it"), "has `F` at position 0"),
        ("default = 0.5", "default = 5", "4", None, "must be at most 1"),
        ("name = \"diabetes\"", "nmae = \"diabetes\"", "2", None, "did you mean `name`?"),
    ] {
        assert!(FILE.contains(from), "{from}");
        let text = FILE.replacen(from, to, 1);
        let error = Pipeline::parse(&text, PipelineFormat::Toml, &components).unwrap_err();
        assert_eq!(error.context("line"), Some(line), "{to}: {error}");
        assert_eq!(error.context("id"), id, "{to}: {error}");
        assert!(error.to_string().contains(words), "{to}: {error}");
    }
}
