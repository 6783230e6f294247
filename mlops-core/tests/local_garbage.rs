//! What garbage collection of the embedded store leaves alone: what somebody will come back for.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::artifact::{ArtifactStore as _, ArtifactStoreExt as _, Blob, GcOptions, Manifest};
use mlops_core::data::{AssetKind, DataAssetStore as _, NewDataAsset};
use mlops_core::experiment::sampler::{Goal, RandomOptions, SamplerSpec};
use mlops_core::experiment::space::{Distribution, SearchSpace};
use mlops_core::experiment::sweep::{Budget, Sweep, SweepSpec, TrialContext};
use mlops_core::hash::Digest;
use mlops_core::id::{ComponentName, ComponentVersion, PortName, StepName};
use mlops_core::local::{LocalStore, NetworkPolicy};
use mlops_core::memory::MemoryArtifactStore;
use mlops_core::model::{ModelFormat, Signature};
use mlops_core::pipeline::{
    Backends, Cancel, Claimed, Component, Components, Content, KeyParts, Pipeline, PipelineExecutor,
    PipelineJournal as _, PipelineSpec, PipelineState, PipelineStatus, PortType, RunOptions, StepCache as _,
    StepContext, StepRecord, StepSpec,
};
use mlops_core::problem::Task;
use mlops_core::registry::{ModelRegistry as _, NewModelVersion};
use mlops_core::time::{Clock, ManualClock, TokioPause};
use mlops_core::{ActorId, AssetName, ErrorKind, ExperimentName, MetricKey, ModelName, RelPath, RunId};
use tokio::sync::Notify;

fn port(name: &str) -> PortName {
    PortName::new(name).unwrap()
}

fn step(name: &str) -> StepName {
    StepName::new(name).unwrap()
}

fn path(name: &str) -> RelPath {
    RelPath::new(name).unwrap()
}

fn store() -> (LocalStore, Arc<ManualClock>) {
    common::fresh(NetworkPolicy::Refuse)
}

const DAY: Duration = Duration::from_secs(86_400);

/// Removes what is older than a day; the digests.
async fn collect(store: &LocalStore) -> BTreeSet<Digest> {
    let report = store.collect_garbage(&GcOptions::default().with_grace(DAY)).await.unwrap();
    report.removed.into_iter().map(|blob| blob.digest).collect()
}

async fn is_there(store: &LocalStore, digest: &Digest) -> bool {
    store.artifacts().head(digest).await.unwrap().is_some()
}

fn component(name: &str) -> Component {
    let version = ComponentVersion::new("1").unwrap();
    Component::new(ComponentName::new(name).unwrap(), version, Digest::of(name.as_bytes()))
}

/// `make` makes a folder. `use` keeps a checkpoint and stays at work for ever, and when it goes on from there it joins what
/// came from outside, the folder and the checkpoint.
fn half_way(reached: &Arc<Notify>) -> (Components, Pipeline) {
    let make = component("make").with_output(port("made"), PortType::UriFolder);
    let join = component("use")
        .with_input(port("raw"), PortType::UriFile)
        .with_input(port("made"), PortType::UriFolder)
        .with_output(port("out"), PortType::UriFile);
    let spec = PipelineSpec::new(ComponentName::new("p").unwrap())
        .with_input(port("raw"), PortType::UriFile)
        .with_step(StepSpec::new(step("make"), make.reference()))
        .with_step(
            StepSpec::new(step("use"), join.reference())
                .with_input(port("raw"), port("raw"))
                .with_input_from(port("made"), step("make"), port("made")),
        );
    let reached = reached.clone();
    let components = Components::new()
        .with_fn(make, |context: StepContext| async move {
            context.write_folder("made", &[(path("rows.csv"), b"made".to_vec().into())]).await?;
            Ok(())
        })
        .unwrap()
        .with_fn(join, move |context: StepContext| {
            let reached = reached.clone();
            async move {
                let Some(half) = context.checkpoint().await? else {
                    context.save_checkpoint(b"half".to_vec()).await?;
                    reached.notify_one();
                    return std::future::pending().await;
                };
                let raw = context.read("raw", 100).await?;
                let made = context.read_file("made", &path("rows.csv"), 100).await?;
                context.write("out", [&raw[..], &made, &half].concat()).await?;
                Ok(())
            }
        })
        .unwrap();
    let pipeline = Pipeline::new(spec, &components).unwrap();
    (components, pipeline)
}

/// Runs it until `use` has kept its checkpoint, and drops it there, as a kill does.
async fn cut_off(backends: &Backends, raw: Blob) -> (PipelineExecutor, Pipeline, RunId) {
    let reached = Arc::new(Notify::new());
    let (components, pipeline) = half_way(&reached);
    let executor = PipelineExecutor::new(backends.clone(), components);
    let options = RunOptions::new().with_input(port("raw"), Content::new(PortType::UriFile, raw));
    let (run, running) = (options.run.clone(), executor.clone());
    let piped = pipeline.clone();
    let task = tokio::spawn(async move { running.run(&piped, &options).await.map(drop) });
    reached.notified().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    (executor, pipeline, run)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_of_a_pipeline_needs_to_go_on_stays_until_it_has_ended() {
    let (store, clock) = store();
    let (artifacts, cache, journal) = (store.artifacts(), store.step_cache(), store.pipelines());
    let backends = Backends::new(
        Arc::new(artifacts.clone()),
        Arc::new(cache),
        Arc::new(journal.clone()),
        clock.clone(),
        Arc::new(TokioPause),
    );
    let raw = artifacts.put_bytes(b"raw".to_vec()).await.unwrap();
    let nobodys = artifacts.put_bytes(b"nobody's".to_vec()).await.unwrap();
    let (executor, pipeline, run) = cut_off(&backends, raw).await;
    assert_eq!(journal.unfinished().await.unwrap(), std::slice::from_ref(&run));

    clock.advance(2 * DAY);
    assert_eq!(collect(&store).await, [nobodys.digest].into());
    let report = executor.resume(&pipeline, &run, &Cancel::new()).await.unwrap();
    assert!(report.is_success(), "{report}");
    let out = report.outputs(&step("use")).unwrap()["out"].digest;
    assert_eq!(&artifacts.get_bytes(&out, 100).await.unwrap()[..], b"rawmadehalf");

    // Nobody comes back for it any more.
    clock.advance(2 * DAY);
    let removed = collect(&store).await;
    for gone in [raw.digest, Digest::of(b"made"), Digest::of(b"half"), out] {
        assert!(removed.contains(&gone));
    }
    assert_eq!(artifacts.stats().await.unwrap().blobs, 0);
}

/// A journal that cannot be read does not say what it needs: nothing is removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_removed_while_a_run_of_a_pipeline_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let store = common::open(dir.path(), &clock);
    let backends = Backends::new(
        Arc::new(store.artifacts()),
        Arc::new(store.step_cache()),
        Arc::new(store.pipelines()),
        clock.clone(),
        Arc::new(TokioPause),
    );
    let raw = store.artifacts().put_bytes(b"raw".to_vec()).await.unwrap();
    cut_off(&backends, raw).await;
    clock.advance(2 * DAY);
    common::sabotage(dir.path(), "DELETE FROM pipeline_entry WHERE sequence = 2");
    let error = store.collect_garbage(&GcOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(is_there(&store, &raw.digest).await);
}

/// A store that knows no journals is told what a run needs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_says_what_it_needs_to_go_on() {
    let (store, clock) = store();
    let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
    let backends = Backends::new(
        artifacts.clone(),
        Arc::new(store.step_cache().with_artifacts(artifacts.clone())),
        Arc::new(store.pipelines()),
        clock.clone(),
        Arc::new(TokioPause),
    );
    let raw = artifacts.put_bytes(b"raw".to_vec()).await.unwrap();
    artifacts.put_bytes(b"nobody's".to_vec()).await.unwrap();
    let (executor, pipeline, run) = cut_off(&backends, raw).await;
    let state = PipelineState::replay(&store.pipelines().entries(&run).await.unwrap()).unwrap();
    assert_eq!(state.status(), PipelineStatus::Running);
    let needed: BTreeSet<Digest> = state.contents().collect();
    assert_eq!(needed.len(), 3, "what came from outside, the folder and the checkpoint");
    let report = artifacts.collect_garbage(&needed, &GcOptions::default()).await.unwrap();
    assert_eq!(report.removed.len(), 1);
    assert!(executor.resume(&pipeline, &run, &Cancel::new()).await.unwrap().is_success());
}

/// Between its being found and its being written down, content is protected as what was just stored is.
#[tokio::test]
async fn what_a_step_is_found_to_have_made_is_as_good_as_made_just_now() {
    let (store, clock) = store();
    let (artifacts, cache) = (store.artifacts(), store.step_cache());
    let (folder, _) = artifacts.put_files(&[(path("rows.csv"), b"rows".to_vec().into())]).await.unwrap();
    let log = artifacts.put_bytes(b"log".to_vec()).await.unwrap();
    let parts = KeyParts::new(
        ComponentName::new("make").unwrap(),
        ComponentVersion::new("1").unwrap(),
        Digest::of(b"code"),
    );
    let outputs = [(port("made"), Content::new(PortType::UriFolder, folder))].into();
    let mut record = StepRecord::new(parts, outputs, RunId::generate(), step("make"), clock.now()).unwrap();
    record.log = Some(log);
    let Claimed::Granted(claim) = cache.claim(&record.key, "somebody", DAY).await.unwrap() else { panic!() };
    cache.put(&record, &claim).await.unwrap();

    clock.advance(2 * DAY);
    assert_eq!(cache.get(&record.key).await.unwrap(), Some(record.clone()));
    assert!(collect(&store).await.is_empty());
    for digest in [folder.digest, Digest::of(b"rows"), log.digest] {
        assert!(is_there(&store, &digest).await);
    }
    // What nobody asks for goes, and the record is no hit then.
    clock.advance(2 * DAY);
    assert_eq!(collect(&store).await.len(), 3);
    assert_eq!(cache.get(&record.key).await.unwrap(), Some(record));
}

/// A trial that says with a digest from where it goes on, and is at work for ever until it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_trial_goes_on_from_stays_until_it_has_ended() {
    let (store, clock) = store();
    let space = SearchSpace::new([("x", Distribution::float(0.0, 1.0))]).unwrap();
    let sampler = SamplerSpec::Random(RandomOptions::default());
    let (experiment, actor) = (ExperimentName::new("e").unwrap(), ActorId::new("tester").unwrap());
    let metric = MetricKey::new("loss").unwrap();
    let spec = SweepSpec::new(experiment, "s", actor, metric, Goal::Minimize, space, sampler)
        .with_budget(Budget::trials(1));
    let reached = Arc::new(Notify::new());
    let sweep = |reached: Arc<Notify>| {
        let sweep = Sweep::new(spec.clone(), Arc::new(store.sweeps())).unwrap().with_clock(clock.clone());
        let artifacts = store.artifacts();
        async move {
            let objective = move |trial: TrialContext| {
                let (artifacts, reached) = (artifacts.clone(), reached.clone());
                async move {
                    let Some(half) = trial.checkpoint() else {
                        let blob = artifacts.put_bytes(b"half".to_vec()).await?;
                        trial.save_checkpoint(blob.digest.to_string()).await?;
                        reached.notify_one();
                        return std::future::pending().await;
                    };
                    let bytes = artifacts.get_bytes(&half.parse()?, 100).await?;
                    Ok(bytes.len() as f64)
                }
            };
            sweep.run(objective).await
        }
    };
    let task = tokio::spawn(sweep(reached.clone()));
    reached.notified().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());

    clock.advance(2 * DAY);
    assert!(collect(&store).await.is_empty());
    let summary = sweep(reached).await.unwrap();
    assert_eq!(summary.best.unwrap().value, 4.0);
    clock.advance(2 * DAY);
    assert_eq!(collect(&store).await, [Digest::of(b"half")].into());
}

// ── trees ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

async fn put_tree(store: &LocalStore) -> (Blob, Manifest) {
    let files = [(path("a"), b"first".to_vec().into()), (path("b"), b"second".to_vec().into())];
    store.artifacts().put_files(&files).await.unwrap()
}

#[tokio::test]
async fn a_tree_is_made_young_with_its_files() {
    let (store, clock) = store();
    let (tree, manifest) = put_tree(&store).await;
    clock.advance(2 * DAY);
    assert_eq!(store.artifacts().renew(&tree.digest).await.unwrap(), Some(tree));
    assert!(collect(&store).await.is_empty());
    assert_eq!(store.artifacts().verify_tree(&tree.digest).await.unwrap(), 11);

    // What looks like a manifest and is none is content like any other.
    let alike = store.artifacts().put_bytes(b"{\"entries\":[7]}".to_vec()).await.unwrap();
    let short = store.artifacts().put_bytes(b"{".to_vec()).await.unwrap();
    for blob in [alike, short] {
        assert_eq!(store.artifacts().renew(&blob.digest).await.unwrap(), Some(blob));
    }

    // A tree that is not whole is not there.
    clock.advance(2 * DAY);
    store.artifacts().put_bytes(manifest.to_bytes().unwrap()).await.unwrap();
    collect(&store).await;
    assert!(is_there(&store, &tree.digest).await);
    assert_eq!(store.artifacts().renew(&tree.digest).await.unwrap(), None);
}

/// The manifest is there, and one of the files it lists is not.
async fn not_whole(store: &LocalStore, clock: &ManualClock) -> Digest {
    let (tree, manifest) = put_tree(store).await;
    clock.advance(2 * DAY);
    store.artifacts().put_bytes(manifest.to_bytes().unwrap()).await.unwrap();
    store.artifacts().put_bytes(b"first".to_vec()).await.unwrap();
    assert_eq!(collect(store).await, [Digest::of(b"second")].into());
    tree.digest
}

#[tokio::test]
async fn a_model_that_is_not_whole_is_not_registered() {
    let (store, clock) = store();
    let version = |artifact| {
        let (model, actor) = (ModelName::new("m").unwrap(), ActorId::new("trainer").unwrap());
        let format = ModelFormat::new("test/v1").unwrap();
        NewModelVersion::new(model, artifact, format, Signature::new(Task::Regression, Vec::new()), actor)
    };
    let tree = not_whole(&store, &clock).await;
    let error = store.registry().register(&version(tree)).await.unwrap_err();
    assert_eq!((error.kind(), error.context("path")), (ErrorKind::NotFound, Some("b")));
    assert_eq!(error.context("model"), Some("m"));
    put_tree(&store).await;
    assert_eq!(store.registry().register(&version(tree)).await.unwrap().version.get(), 1);
    assert!(store.verify().await.unwrap().is_sound());
}

#[tokio::test]
async fn data_that_is_not_whole_is_not_registered() {
    let (store, clock) = store();
    let asset = |digest| {
        let (name, actor) = (AssetName::new("rows").unwrap(), ActorId::new("loader").unwrap());
        NewDataAsset::stored(name, AssetKind::Folder, digest, actor)
    };
    let tree = not_whole(&store, &clock).await;
    let error = store.data_assets().register(&asset(tree)).await.unwrap_err();
    assert_eq!((error.kind(), error.context("path")), (ErrorKind::NotFound, Some("b")));
    assert_eq!(error.context("asset"), Some("rows"));
    put_tree(&store).await;
    assert_eq!(store.data_assets().register(&asset(tree)).await.unwrap().version.get(), 1);
    assert!(store.verify().await.unwrap().is_sound());
}
