//! Callers that go away: every future of these clients is dropped after each number of polls, and the call is made anew.
//!
//! A future that is dropped leaves what it had done: nothing, a part, or all of it. Whoever makes the same call again must end up where
//! one call alone would have led, with every effect there once.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use mlops_azure::compute::{Computes, of_core};
use mlops_azure::config::cloud::Audience;
use mlops_azure::data::AzureDataAssets;
use mlops_azure::deploy::{AzureDeployer, BatchEndpoints, DeploymentTemplate};
use mlops_azure::environment::Environments;
use mlops_azure::fake::{FakeAzure, FakeGovernance, FakeKeyVault};
use mlops_azure::governance::{KeyVault, Roles};
use mlops_azure::http::{HttpFault, HttpRequest, HttpResponse, HttpTransport, Service};
use mlops_azure::job::Jobs;
use mlops_azure::registry::AzureModelRegistry;
use mlops_azure::schedule::Schedules;
use mlops_azure::wire::compute::ScaleSettings;
use mlops_azure::wire::job::CommandJob;
use mlops_azure::wire::role::{DATA_SCIENTIST, PrincipalType};
use mlops_azure::wire::{ArmScope, BatchDeployment, EnvironmentVersion, Schedule, ScheduleTrigger};
use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::data::{AssetKind, DataAssetStore as _, DataType, NewDataAsset};
use mlops_core::deploy::{
    Deployer as _, DeploymentSpec, EndpointSpec, Mirror, MirrorChange, TrafficChange, TrafficSplit,
};
use mlops_core::governance::{Secret, SecretStore as _};
use mlops_core::memory::{MemoryArtifactStore, MemoryModelRegistry};
use mlops_core::model::{Feature, ModelFormat, Signature};
use mlops_core::pipeline::compute::{Cluster, Compute, Tier};
use mlops_core::pipeline::schedule::Schedule as CoreSchedule;
use mlops_core::problem::Task;
use mlops_core::registry::{AliasChange, ModelRegistry as _, NewModelVersion};
use mlops_core::time::SystemClock;
use mlops_core::{
    ActorId, Alias, AssetName, DeploymentName, EndpointName, ErrorKind, IdempotencyKey, ModelName, Percent,
    RelPath, Result, SecretName, Version,
};
use serde_json::{Value, json};

/// Sends through another transport, and lets others have their turn before a request is carried out, and before its answer comes.
#[derive(Debug)]
struct Yielding(Arc<dyn HttpTransport>);

#[async_trait]
impl HttpTransport for Yielding {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
        turn().await;
        let answer = self.0.send(request).await;
        turn().await;
        answer
    }
}

/// Is ready when it is polled for the second time.
async fn turn() {
    let mut polled = false;
    poll_fn(|context| {
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The output of a future, if it comes within so many polls; the future is dropped in any case.
async fn polled<T>(most: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = most;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Drops the call after 0, 1, 2, … polls until it comes to its end, makes it anew each time, and compares what is then there with what
/// one call alone leaves. Returns after how many polls it ends.
async fn at_every_poll<W, M, MF, C, CF>(name: &str, made: M, call: C, seen: impl Fn(&W) -> Value) -> usize
where
    M: Fn() -> MF,
    MF: Future<Output = Arc<W>>,
    C: Fn(Arc<W>) -> CF,
    CF: Future<Output = Result<()>>,
{
    let alone = made().await;
    call(alone.clone()).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    let expected = seen(&alone);
    for polls in 0..1_000 {
        let world = made().await;
        let over = polled(polls, call(world.clone())).await;
        if let Some(result) = over {
            result.unwrap_or_else(|e| panic!("{name}, not dropped: {e}"));
            assert_eq!(seen(&world), expected, "{name}, not dropped");
            assert!(polls > 1, "{name} is over at once, and nothing is tried");
            println!("{name}: dropped at {polls} places");
            return polls;
        }
        call(world.clone()).await.unwrap_or_else(|e| panic!("{name}, dropped after {polls} polls: {e}"));
        assert_eq!(seen(&world), expected, "{name}, dropped after {polls} polls");
    }
    panic!("{name} has no end");
}

struct World {
    azure: FakeAzure,
    arm: Service,
    transport: Arc<dyn HttpTransport>,
    content: Arc<MemoryArtifactStore>,
    models: Arc<MemoryModelRegistry>,
    /// The keys of calls, which are the same when they are made again.
    keys: BTreeMap<&'static str, IdempotencyKey>,
    version: std::sync::Mutex<Option<Version>>,
}

impl World {
    async fn new() -> Arc<Self> {
        let azure = FakeAzure::new();
        FakeGovernance::of(&azure);
        let transport: Arc<dyn HttpTransport> = Arc::new(Yielding(azure.transport()));
        let builder =
            azure.builder("https://management.azure.com".parse().unwrap(), Audience::ResourceManager);
        let arm = builder.transport(transport.clone()).build().unwrap();
        let content = Arc::new(MemoryArtifactStore::default());
        let models = Arc::new(MemoryModelRegistry::new(content.clone(), Arc::new(SystemClock::new())));
        let keys = ["traffic", "mirror", "register", "alias"].map(|name| (name, IdempotencyKey::generate()));
        let version = std::sync::Mutex::default();
        Arc::new(Self { azure, arm, transport, content, models, keys: keys.into(), version })
    }

    fn deployer(&self) -> AzureDeployer {
        let template = DeploymentTemplate::new("Standard_DS3_v2");
        let (arm, workspace) = (self.arm.clone(), self.azure.workspace());
        let builder = AzureDeployer::builder(arm, &workspace, self.models.clone(), template);
        builder.transport(self.transport.clone()).region("eastus").build().unwrap()
    }

    /// A version of a model, in core's registry and in Azure.
    async fn model(&self) -> Version {
        let artifact = self.content.put_bytes("weights").await.unwrap().digest;
        let spec = NewModelVersion::new(model(), artifact, format(), signature(), actor());
        let version = self.models.register(&spec).await.unwrap().version;
        let id = self.azure.place().model("churn", &version.to_string()).unwrap();
        self.azure.set_resource(id.id(), json!({ "properties": { "modelType": "mlflow_model" } }));
        *self.version.lock().unwrap() = Some(version);
        version
    }

    fn spec(&self, name: &str) -> DeploymentSpec {
        let version = self.version.lock().unwrap().unwrap();
        DeploymentSpec::new(endpoint(), DeploymentName::new(name).unwrap(), model(), version, actor())
    }

    /// An endpoint with deployments, all traffic to the first.
    async fn serving(names: &[&str]) -> Arc<Self> {
        let world = Self::new().await;
        world.model().await;
        let deployer = world.deployer();
        deployer.ensure_endpoint(&EndpointSpec::new(endpoint(), actor())).await.unwrap();
        for name in names {
            deployer.deploy(&world.spec(name)).await.unwrap();
        }
        if let Some(first) = names.first() {
            let mut change = world.traffic(&[(*first, 100)]);
            change.key = IdempotencyKey::generate();
            deployer.set_traffic(&change).await.unwrap();
        }
        world
    }

    fn traffic(&self, shares: &[(&str, u8)]) -> TrafficChange {
        let one =
            |(name, share): &(&str, u8)| (DeploymentName::new(*name).unwrap(), Percent::new(*share).unwrap());
        let split = TrafficSplit::new(shares.iter().map(one)).unwrap();
        TrafficChange::new(endpoint(), split, actor()).with_key(self.keys["traffic"].clone())
    }

    fn resource(&self, below: &str) -> Value {
        self.azure.resource(&format!("{}{below}", self.azure.workspace().id())).unwrap_or_default()
    }

    /// Traffic, mirror and deployments of the endpoint.
    fn endpoint(&self) -> Value {
        let own = self.resource("/onlineEndpoints/churn");
        let state = |name: &str| {
            self.resource(&format!("/onlineEndpoints/churn/deployments/{name}"))["properties"]["provisioningState"].clone()
        };
        json!([
            own["properties"]["traffic"],
            own["properties"]["mirrorTraffic"],
            own["properties"]["provisioningState"],
            state("blue"),
            state("green"),
        ])
    }
}

fn actor() -> ActorId {
    ActorId::new("release").unwrap()
}

fn endpoint() -> EndpointName {
    EndpointName::new("churn").unwrap()
}

fn model() -> ModelName {
    ModelName::new("churn").unwrap()
}

fn format() -> ModelFormat {
    ModelFormat::new("test.scaled/v1").unwrap()
}

fn signature() -> Signature {
    Signature::new(Task::Regression, vec![Feature::required("age", DataType::F64)])
}

#[tokio::test(start_paused = true)]
async fn of_endpoints_and_deployments() {
    at_every_poll(
        "ensure_endpoint",
        World::new,
        |world| async move {
            world.deployer().ensure_endpoint(&EndpointSpec::new(endpoint(), actor())).await.map(drop)
        },
        World::endpoint,
    )
    .await;
    at_every_poll(
        "deploy",
        || World::serving(&[]),
        |world| async move { world.deployer().deploy(&world.spec("blue")).await.map(drop) },
        World::endpoint,
    )
    .await;
    at_every_poll(
        "set_traffic",
        || World::serving(&["blue", "green"]),
        |world| async move {
            world.deployer().set_traffic(&world.traffic(&[("blue", 90), ("green", 10)])).await.map(drop)
        },
        World::endpoint,
    )
    .await;
    at_every_poll(
        "set_mirror",
        || World::serving(&["blue", "green"]),
        |world| async move {
            let mirror = Some(Mirror::new(DeploymentName::new("green").unwrap(), Percent::new(10).unwrap()));
            let key = world.keys["mirror"].clone();
            let change = MirrorChange::new(endpoint(), mirror, actor()).with_key(key);
            world.deployer().set_mirror(&change).await.map(drop)
        },
        World::endpoint,
    )
    .await;
    at_every_poll(
        "delete_deployment",
        || World::serving(&["blue", "green"]),
        |world| async move {
            world.deployer().delete_deployment(&endpoint(), &DeploymentName::new("green").unwrap()).await
        },
        World::endpoint,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn of_assets_and_models() {
    let versions = |kind: &'static str| {
        move |world: &World| {
            let one = |number: u64| world.resource(&format!("/{kind}/churn/versions/{number}"));
            json!((1..5).map(|n| one(n)["properties"].is_object()).collect::<Vec<_>>())
        }
    };
    at_every_poll(
        "register data",
        World::new,
        |world| async move {
            let file = (RelPath::new("rows.csv").unwrap(), "a,b\n1,2\n".to_owned().into());
            let digest = world.content.put_files(&[file]).await?.0.digest;
            let (workspace, clock) = (world.azure.workspace(), Arc::new(SystemClock::new()));
            let assets = AzureDataAssets::new(world.arm.clone(), &workspace, world.content.clone(), clock);
            let mut asset =
                NewDataAsset::stored(AssetName::new("churn").unwrap(), AssetKind::Folder, digest, actor());
            asset.key = world.keys["register"].clone();
            assets.register(&asset).await.map(drop)
        },
        versions("data"),
    )
    .await;
    let registry = |world: &World| {
        let (workspace, clock) = (world.azure.workspace(), Arc::new(SystemClock::new()));
        AzureModelRegistry::new(world.arm.clone(), &workspace, world.content.clone(), clock)
    };
    at_every_poll(
        "register a model",
        World::new,
        |world| async move {
            let artifact = world.content.put_bytes("weights").await?.digest;
            let mut spec = NewModelVersion::new(model(), artifact, format(), signature(), actor());
            spec.key = world.keys["register"].clone();
            registry(&world).register(&spec).await.map(drop)
        },
        versions("models"),
    )
    .await;
    at_every_poll(
        "set an alias",
        || async move {
            let world = World::new().await;
            let artifact = world.content.put_bytes("weights").await.unwrap().digest;
            let spec = NewModelVersion::new(model(), artifact, format(), signature(), actor());
            let version = registry(&world).register(&spec).await.unwrap().version;
            *world.version.lock().unwrap() = Some(version);
            world
        },
        |world| async move {
            let version = world.version.lock().unwrap().unwrap();
            let mut change = AliasChange::new(model(), Alias::new("best").unwrap(), version, actor());
            change.key = world.keys["alias"].clone();
            registry(&world).set_alias(&change).await.map(drop)
        },
        versions("models"),
    )
    .await;
    at_every_poll(
        "register an environment",
        World::new,
        |world| async move {
            let environments = Environments::new(world.arm.clone(), &world.azure.workspace());
            let version = EnvironmentVersion::image("mcr.microsoft.com/azureml/base:1");
            environments.register("churn", "1", version).await.map(drop)
        },
        versions("environments"),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn of_jobs_schedules_computes_and_roles() {
    at_every_poll(
        "submit a job",
        World::new,
        |world| async move {
            let jobs = Jobs::new(world.arm.clone(), &world.azure.workspace());
            jobs.submit("train-1", CommandJob::new("python train.py", "azureml:train:1")).await.map(drop)
        },
        |world| json!(world.resource("/jobs/train-1")["properties"]["command"]),
    )
    .await;
    at_every_poll(
        "put a schedule",
        World::new,
        |world| async move {
            let schedules = Schedules::new(world.arm.clone(), &world.azure.workspace());
            let nightly = CoreSchedule::cron("30 2 * * *".parse().unwrap(), "Europe/Vienna".parse().unwrap());
            let trigger = ScheduleTrigger::try_from(&nightly).unwrap();
            let schedule = Schedule::new(trigger, CommandJob::new("python retrain.py", "azureml:train:1"));
            schedules.put("retrain", schedule).await?.wait().await.map(drop)
        },
        |world| json!(world.resource("/schedules/retrain")["properties"]["provisioningState"]),
    )
    .await;
    at_every_poll(
        "create a cluster",
        World::new,
        |world| async move {
            let computes = Computes::new(world.arm.clone(), &world.azure.workspace(), "eastus")?;
            let cluster = Compute::Cluster(
                Cluster::new("Standard_DS3_v2", 4)
                    .with_min_nodes(0)
                    .with_idle_before_scale_down(Duration::from_secs(120))
                    .with_tier(Tier::LowPriority),
            );
            computes.create("cpu", of_core(&cluster)?).await?.wait().await.map(drop)
        },
        |world| json!(world.resource("/computes/cpu")["properties"]["provisioningState"]),
    )
    .await;
    const PRINCIPAL: &str = "00000000-0000-0000-0000-0000000000aa";
    let roles = |world: &World| Roles::new(world.arm.clone()).with_interval(Duration::from_millis(1));
    at_every_poll(
        "grant a role",
        World::new,
        |world| async move {
            let scope = ArmScope::of_workspace(&world.azure.workspace());
            let roles = roles(&world);
            roles.grant(&scope, DATA_SCIENTIST, PRINCIPAL, PrincipalType::ServicePrincipal).await?;
            let given = roles.of_principal(&scope, PRINCIPAL).await?;
            assert_eq!(given.len(), 1, "once");
            Ok(())
        },
        |_| Value::Null,
    )
    .await;
    at_every_poll(
        "make a batch endpoint",
        World::new,
        |world| async move {
            let (arm, tokens) = (world.arm.clone(), world.azure.tokens());
            let workspace = world.azure.workspace();
            let batch =
                BatchEndpoints::with_transport(arm, &workspace, "eastus", tokens, world.transport.clone());
            batch.ensure("nightly").await.map(drop)
        },
        |world| json!(world.resource("/batchEndpoints/nightly")["properties"]["provisioningState"]),
    )
    .await;
}

/// What is compared is there.
fn there(value: &Value) -> Value {
    assert!(!value.is_null());
    value.clone()
}

#[tokio::test(start_paused = true)]
async fn of_changes_that_read_first() {
    fn batch(world: &World) -> BatchEndpoints {
        let (arm, tokens, workspace) = (world.arm.clone(), world.azure.tokens(), world.azure.workspace());
        BatchEndpoints::with_transport(arm, &workspace, "eastus", tokens, world.transport.clone())
    }
    fn first(world: &World) -> BatchDeployment {
        let place = world.azure.place();
        BatchDeployment::new(place.model("m", "1").unwrap().id(), place.compute("cpu").unwrap().id())
    }
    let with_endpoint = || async {
        let world = World::new().await;
        batch(&world).ensure("nightly").await.unwrap();
        world
    };
    at_every_poll(
        "deploy to a batch endpoint",
        with_endpoint,
        |world| async move { batch(&world).deploy("nightly", "first", first(&world)).await.map(drop) },
        |world| {
            json!(
                world.resource("/batchEndpoints/nightly/deployments/first")["properties"]["provisioningState"]
            )
        },
    )
    .await;
    at_every_poll(
        "set a batch endpoint's default",
        || async {
            let world = with_endpoint().await;
            batch(&world).deploy("nightly", "first", first(&world)).await.unwrap();
            world
        },
        |world| async move { batch(&world).set_default("nightly", "first").await.map(drop) },
        |world| there(&world.resource("/batchEndpoints/nightly")["properties"]["defaults"]),
    )
    .await;
    fn schedules(world: &World) -> Schedules {
        Schedules::new(world.arm.clone(), &world.azure.workspace())
    }
    at_every_poll(
        "switch a schedule off",
        || async {
            let world = World::new().await;
            let trigger = ScheduleTrigger::cron("30 2 * * *").unwrap();
            let schedule = Schedule::new(trigger, CommandJob::new("python retrain.py", "azureml:train:1"));
            schedules(&world).put("retrain", schedule).await.unwrap().wait().await.unwrap();
            world
        },
        |world| async move { schedules(&world).disable("retrain").await },
        |world| there(&world.resource("/schedules/retrain")["properties"]["isEnabled"]),
    )
    .await;
    fn computes(world: &World) -> Computes {
        Computes::new(world.arm.clone(), &world.azure.workspace(), "eastus").unwrap()
    }
    at_every_poll(
        "scale a cluster",
        || async {
            let world = World::new().await;
            let cluster = Compute::Cluster(Cluster::new("Standard_DS3_v2", 4).with_tier(Tier::LowPriority));
            computes(&world).create("cpu", of_core(&cluster).unwrap()).await.unwrap().wait().await.unwrap();
            world
        },
        |world| async move {
            let settings = ScaleSettings::up_to(8, Duration::from_secs(120));
            computes(&world).scale("cpu", settings).await?.wait().await.map(drop)
        },
        |world| there(&world.resource("/computes/cpu")["properties"]["properties"]["scaleSettings"]),
    )
    .await;
    fn environments(world: &World) -> Environments {
        Environments::new(world.arm.clone(), &world.azure.workspace())
    }
    at_every_poll(
        "archive an environment",
        || async {
            let world = World::new().await;
            let image = EnvironmentVersion::image("mcr.microsoft.com/azureml/minimal-ubuntu22.04");
            environments(&world).register("train", "1", image).await.unwrap();
            world
        },
        |world| async move { environments(&world).archive("train", "1", true).await.map(drop) },
        |world| there(&world.resource("/environments/train/versions/1")["properties"]["isArchived"]),
    )
    .await;
}

/// What is driven above, by the public method that changes something.
const DRIVEN: &[&str] = &[
    "AzureDataAssets::register",
    "AzureDeployer::delete_deployment",
    "AzureDeployer::deploy",
    "AzureDeployer::ensure_endpoint",
    "AzureDeployer::set_mirror",
    "AzureDeployer::set_traffic",
    "AzureModelRegistry::register",
    "AzureModelRegistry::set_alias",
    "BatchEndpoints::deploy",
    "BatchEndpoints::ensure",
    "BatchEndpoints::set_default",
    "Computes::create",
    "Computes::scale",
    "Environments::archive",
    "Environments::register",
    "Jobs::submit",
    "KeyVault::remove",
    "KeyVault::set",
    "Roles::grant",
    "Schedules::disable",
    "Schedules::put",
];

/// What is not, by the reason.
const NOT_DRIVEN: &[(&str, &[&str])] = &[
    (
        "it changes nothing that others see",
        &[
            "AutoscaleSettings::get",
            "AzureDataAssets::azure",
            "AzureDataAssets::get",
            "AzureDataAssets::names",
            "AzureDataAssets::verify",
            "AzureDataAssets::versions",
            "AzureDeployer::deployments",
            "AzureDeployer::endpoint",
            "AzureDeployer::endpoints",
            "AzureDeployer::invoke",
            "AzureDeployer::stats",
            "AzureMetrics::observe",
            "AzureMlflow::are_stored",
            "AzureMlflow::artifacts_of",
            "AzureModelRegistry::alias_history",
            "AzureModelRegistry::aliases",
            "AzureModelRegistry::azure",
            "AzureModelRegistry::events",
            "AzureModelRegistry::get",
            "AzureModelRegistry::lineage",
            "AzureModelRegistry::models",
            "AzureModelRegistry::versions",
            "BatchEndpoints::job",
            "BatchEndpoints::wait",
            "BlobArtifacts::get",
            "BlobArtifacts::head",
            "BlobArtifacts::tree",
            "Components::get",
            "Computes::get",
            "Container::get",
            "Container::head",
            "DataLakeAccess::get",
            "DatastoreFiles::place",
            "Datastores::container",
            "Datastores::default",
            "Datastores::get",
            "Datastores::list",
            "Datastores::secrets",
            "EndpointMetrics::answers",
            "EndpointMetrics::definitions",
            "EndpointMetrics::latency",
            "EndpointMetrics::query",
            "EndpointMetrics::utilization",
            "EndpointSecret::refuse",
            "EndpointSecret::token",
            "Environments::get",
            "Environments::latest",
            "EventTopics::subscription",
            "EventTopics::subscriptions",
            "EventTopics::topic",
            "Jobs::best_trial",
            "Jobs::details",
            "Jobs::get",
            "Jobs::logs",
            "Jobs::outputs",
            "Jobs::trials",
            "Jobs::wait",
            "Jobs::wait_with",
            "KeyVault::get",
            "KeyVault::names",
            "LocalCode::digest",
            "LocalCode::read",
            "LocalCode::read_with",
            "LocalCode::snapshot_hash",
            "LocalTree::read",
            "LocalTree::read_with",
            "LocalTree::snapshot_hash",
            "MlflowArtifactStore::get",
            "MlflowArtifactStore::head",
            "MlflowArtifactStore::tree",
            "MlflowClient::capabilities",
            "MlflowRegistry::alias_history",
            "MlflowRegistry::aliases",
            "MlflowRegistry::events",
            "MlflowRegistry::get",
            "MlflowRegistry::lineage",
            "MlflowRegistry::models",
            "MlflowRegistry::versions",
            "MlflowTracker::experiment",
            "MlflowTracker::experiments",
            "MlflowTracker::history",
            "MlflowTracker::mlflow_run_id",
            "MlflowTracker::run",
            "MlflowTracker::search_runs",
            "ModelContent::read",
            "ModelMonitors::get",
            "ModelMonitors::list",
            "OnlineEndpoints::keys",
            "OnlineEndpoints::logs",
            "OnlineEndpoints::token",
            "Protection::get",
            "ResourceTags::get",
            "Roles::of_principal",
            "RunArtifacts::download",
            "RunArtifacts::download_file",
            "RunArtifacts::download_folder",
            "RunArtifacts::list",
            "Schedules::get",
            "Secrets::issue",
            "SharedModels::get",
            "SharedModels::names",
            "SharedModels::versions",
            "Sources::place",
            "StorageCredential::get_credential",
            "TrackingUri::read",
            "Workspaces::diagnose",
            "Workspaces::get",
        ],
    ),
    (
        "it is the path of another that is driven, with another value",
        &[
            "AzureDeployer::begin_deployment", // deploy
            "AzureModelRegistry::promote",     // set_alias
            "ModelMonitors::begin_create",     // a schedule that is put
            "ModelMonitors::create",
            "ModelMonitors::delete",
            "ModelMonitors::disable",
            "ModelMonitors::enable",
            "Schedules::delete",
            "Schedules::enable",
        ],
    ),
    (
        "of its requests one changes something, and may be repeated: a caller who goes away has made it or has not",
        &[
            "AutoscaleSettings::delete",
            "AutoscaleSettings::put",
            "BatchEndpoints::invoke",
            "Components::anonymous",
            "Components::register",
            "Computes::delete",
            "Computes::restart",
            "Computes::start",
            "Computes::stop",
            "Container::create",
            "Container::delete",
            "Datastores::create",
            "Datastores::remove",
            "Environments::anonymous",
            "EventTopics::create_topic",
            "EventTopics::delete_topic",
            "EventTopics::subscribe",
            "EventTopics::subscribe_to",
            "EventTopics::unsubscribe",
            "Jobs::archive",
            "Jobs::cancel",
            "Jobs::change_tags",
            "Jobs::delete",
            "Jobs::restore",
            "Jobs::update",
            "Jobs::update_in",
            "KeyVault::recover",
            "OnlineEndpoints::delete",
            "OnlineEndpoints::regenerate",
            "OnlineEndpoints::scale",
            "ResourceTags::delete",
            "ResourceTags::merge",
            "ResourceTags::replace",
            "Workspaces::begin_diagnosis",
            "DataLakeAccess::set",
            "Protection::set",
        ],
    ),
    (
        "its requests are alike, each may be repeated, and those that were made are passed over",
        &["DataLakeAccess::set_recursive", "Roles::revoke"],
    ),
    (
        "it is one request, of which others are made",
        &[
            "Client::answer",
            "Client::send",
            "Connector::call",
            "MlflowClient::delete",
            "MlflowClient::foreign",
            "MlflowClient::get",
            "MlflowClient::patch",
            "MlflowClient::post",
            "MlflowClient::raw",
            "Sending::send",
        ],
    ),
    (
        "what is told twice is told twice: the receiver counts",
        &[
            "AppInsights::flush",
            "AppInsights::send",
            "EventAlertSink::deliver",
            "EventPublisher::publish",
            "EventPublisher::publish_cloud_events",
            "EventPublisher::publish_grid_events",
            "InsightsAlertSink::deliver",
            "OtlpAlertSink::deliver",
            "OtlpExporter::export_logs",
            "OtlpExporter::export_metrics",
            "OtlpExporter::export_operation",
            "OtlpExporter::export_traces",
        ],
    ),
    (
        "not dropped; that its answers are lost between its requests is tried with its client's other faults",
        &[
            "AzureDataAssets::set_archived",
            "AzureModelRegistry::link",
            "AzureModelRegistry::set_archived",
            "AzureModelRegistry::set_tags",
            "MlflowRegistry::link",
            "MlflowRegistry::promote",
            "MlflowRegistry::register",
            "MlflowRegistry::set_alias",
            "MlflowRegistry::set_archived",
            "MlflowRegistry::set_tags",
            "MlflowTracker::ensure_experiment",
            "MlflowTracker::finish_run",
            "MlflowTracker::heartbeat",
            "MlflowTracker::set_deleted",
            "MlflowTracker::start_run",
            "MlflowTracker::write",
        ],
    ),
    (
        "not yet: several requests, and nobody has dropped them here",
        &[
            "BlobArtifacts::collect_garbage",
            "BlobArtifacts::put",
            "BlobArtifacts::put_tree",
            "MlflowArtifactStore::collect_garbage",
            "MlflowArtifactStore::put",
            "MlflowArtifactStore::put_tree",
            "AzureMlflow::attach",
            "AzureMlflow::log_metrics_async",
            "AzureModelRegistry::publish",
            "AzureModelRegistry::restore",
            "Codes::register",
            "LocalCode::upload",
            "MlflowRegistry::restore_aliases",
            "MlflowTracker::adopt",
            "RunArtifacts::upload",
            "RunArtifacts::upload_file",
            "RunArtifacts::upload_folder",
            "SharedModels::set_archived",
            "SharedModels::set_tags",
            "Upload::send",
            "Uploads::asset",
            "Uploads::code",
            "Uploads::stored",
            "Uploads::tree",
        ],
    ),
];

/// Every public method that may change something is driven, or says why not.
#[test]
fn every_method_is_driven_or_says_why_not() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![source], std::collections::BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // What stands for services, and what every client sends by.
                let skipped = ["fake", "http", "wire", "auth"].iter().any(|name| path.ends_with(name));
                folders.extend((!skipped).then_some(path));
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let (mut kind, mut of_trait) = (String::new(), false);
            for line in text.lines() {
                if let Some(rest) = line.strip_prefix("impl").filter(|rest| rest.starts_with([' ', '<'])) {
                    let rest = rest.trim_end_matches('{').trim();
                    of_trait = rest.contains(" for ");
                    let name = rest.rsplit(" for ").next().unwrap().rsplit("> ").next().unwrap().trim();
                    kind = name.split('<').next().unwrap().to_owned();
                }
                let method = line.strip_prefix("    pub async fn ");
                let method = method.or_else(|| line.strip_prefix("    async fn ").filter(|_| of_trait));
                if let Some(method) = method {
                    let name = method.split(['(', '<']).next().unwrap();
                    found.insert(format!("{kind}::{name}"));
                }
            }
        }
    }
    let mut said = std::collections::BTreeSet::new();
    for name in DRIVEN.iter().chain(NOT_DRIVEN.iter().flat_map(|(_, names)| *names)) {
        assert!(said.insert((*name).to_owned()), "{name} is said twice");
    }
    let silent: Vec<_> = found.difference(&said).collect();
    let gone: Vec<_> = said.difference(&found).collect();
    assert!(silent.is_empty() && gone.is_empty(), "nothing is said of {silent:#?}; there is no {gone:#?}");
    let open = NOT_DRIVEN.last().unwrap().1.len();
    println!("{} methods: {} driven, {} open", found.len(), DRIVEN.len(), open);
    assert!(DRIVEN.len() >= 21 && open <= 24, "{open}");
}

#[tokio::test(start_paused = true)]
async fn of_secrets() {
    const TOKEN: &str = "token-canary-8c1d";
    struct Vault {
        vault: KeyVault,
    }
    fn name() -> SecretName {
        SecretName::new("a").unwrap()
    }
    let made = || async {
        let tokens = mlops_azure::auth::AccessToken::new(TOKEN, "2100-01-01T00:00:00Z".parse().unwrap());
        let tokens = Arc::new(mlops_azure::auth::FixedToken::new(tokens));
        let fake = Arc::new(FakeKeyVault::new("kv-churn", TOKEN).slow(2));
        let builder = KeyVault::named("kv-churn", mlops_azure::config::Cloud::Public, tokens).unwrap();
        let vault =
            builder.transport(Arc::new(Yielding(fake))).interval(Duration::from_millis(1)).build().unwrap();
        vault.set(&name(), &Secret::new("old")).await.unwrap();
        Arc::new(Vault { vault })
    };
    at_every_poll(
        "set a secret",
        made,
        |world: Arc<Vault>| async move {
            world.vault.set(&name(), &Secret::new("new")).await?;
            assert_eq!(world.vault.get(&name()).await?.expose(), "new");
            Ok(())
        },
        |_| Value::Null,
    )
    .await;
    at_every_poll(
        "remove a secret and set it anew",
        made,
        |world: Arc<Vault>| async move {
            match world.vault.remove(&name()).await {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            world.vault.set(&name(), &Secret::new("new")).await?;
            assert_eq!(world.vault.get(&name()).await?.expose(), "new");
            Ok(())
        },
        |_| Value::Null,
    )
    .await;
}
