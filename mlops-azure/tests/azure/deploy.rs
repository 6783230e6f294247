//! Online and batch endpoints behind core's deployer and as clients.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlops_azure::deploy::{
    AutoscaleSettings, AzureDeployer, AzureDeployerBuilder, BatchEndpoints, DeploymentTemplate,
};
use mlops_azure::environment::Codes;
use mlops_azure::fake::{FakeAzure, FakeBatch, FakeOnline, Fault, FaultRule, FaultyTransport};
use mlops_azure::http::{Call, PollPolicy};
use mlops_azure::storage::LocalCode;
use mlops_azure::wire::autoscale::{AutoscaleSetting, Capacity, Profile, Rule};
use mlops_azure::wire::batch::{BatchInput, BatchInvoke, BatchOutput, BatchValueType};
use mlops_azure::wire::deployment::ContainerType;
use mlops_azure::wire::endpoint::{AuthMode, KeyType};
use mlops_azure::wire::{BatchDeployment, EndpointKeys, Resource};
use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::conformance::deployer::DeployerUnderTest;
use mlops_core::data::{Column, DataType, Table};
use mlops_core::deploy::rollout::judge::{Count, Observations, Proportions};
use mlops_core::deploy::rollout::*;
use mlops_core::deploy::*;
use mlops_core::memory::{MemoryArtifactStore, MemoryModelRegistry};
use mlops_core::model::{Feature, ModelFormat, Predictions, Predictor, Signature};
use mlops_core::num::Random;
use mlops_core::problem::Task;
use mlops_core::registry::{ModelRegistry as _, NewModelVersion};
use mlops_core::time::{Clock as _, ManualClock, SystemClock};
use mlops_core::{
    ActorId, DeploymentName, EndpointName, Error, ErrorKind, IdempotencyKey, ModelName, Percent, Version,
};
use serde_json::{Value, json};

use crate::judged;
use crate::log::Log;

fn actor() -> ActorId {
    ActorId::new("release").unwrap()
}

fn model(name: &str) -> ModelName {
    ModelName::new(name).unwrap()
}

fn named(name: &str) -> DeploymentName {
    DeploymentName::new(name).unwrap()
}

fn churn() -> EndpointName {
    EndpointName::new("churn").unwrap()
}

fn ages(ages: Vec<f64>) -> Table<'static> {
    Table::new(vec![Column::f64("age", ages).unwrap()]).unwrap()
}

/// Answers the age times a weight, or fails in one of several ways.
#[derive(Debug)]
struct Scaled {
    signature: Signature,
    weight: f64,
    fault: &'static str,
}

impl Predictor for Scaled {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn predict(&self, rows: &Table<'_>) -> mlops_core::Result<Predictions> {
        let ages = rows.column("age")?.to_f64()?;
        let mut values: Vec<f64> = ages.iter().map(|age| age * self.weight).collect();
        match self.fault {
            "panics" => panic!("as told"),
            "fails" => return Err(Error::new(ErrorKind::Storage, "predict", "as told")),
            "old" if ages.iter().any(|age| *age >= 70.0) => {
                return Err(Error::new(ErrorKind::Storage, "predict", "no tree for this age"));
            }
            "forgets" => drop(values.pop()),
            "nan" => values.iter_mut().for_each(|value| *value = f64::NAN),
            _ => {}
        }
        Ok(Predictions::Value(values))
    }
}

/// Azure with models, and a registry that knows them.
struct World {
    azure: FakeAzure,
    online: FakeOnline,
    registry: Arc<MemoryModelRegistry>,
    artifacts: Arc<MemoryArtifactStore>,
    models: Arc<Mutex<BTreeMap<String, Arc<dyn Predictor>>>>,
}

impl World {
    /// Bodies are judged by Azure's types where those are at hand.
    fn new() -> Self {
        Self::at(judged())
    }

    fn at(azure: FakeAzure) -> Self {
        let artifacts = Arc::new(MemoryArtifactStore::default());
        let registry = Arc::new(MemoryModelRegistry::new(artifacts.clone(), Arc::new(SystemClock::new())));
        let models = Arc::new(Mutex::new(BTreeMap::<String, Arc<dyn Predictor>>::new()));
        let loaded = models.clone();
        let online = azure.predict_with(move |id| {
            let (rest, version) = id.rsplit_once("/versions/")?;
            let name = rest.rsplit('/').next()?;
            loaded.lock().unwrap().get(&format!("{name}:{version}")).cloned()
        });
        Self { azure, online, registry, artifacts, models }
    }

    /// Registers a version of a model with core's registry and with Azure; one without a fault loads there.
    async fn put(&self, name: &str, weight: f64, fault: &'static str) -> Version {
        let content = format!("{weight} {fault}");
        let artifact = self.artifacts.put_bytes(content).await.unwrap().digest;
        let signature = Signature::new(Task::Regression, vec![Feature::required("age", DataType::F64)]);
        let format = ModelFormat::new("test.scaled/v1").unwrap();
        let spec = NewModelVersion::new(model(name), artifact, format, signature.clone(), actor());
        let version = self.registry.register(&spec).await.unwrap().version;
        if fault != "not in Azure" {
            let id = self.azure.place().model(name, &version.to_string()).unwrap();
            self.azure.set_resource(id.id(), json!({ "properties": { "modelType": "mlflow_model" } }));
        }
        if !matches!(fault, "crashes" | "not in Azure") {
            let predictor = Arc::new(Scaled { signature, weight, fault });
            self.models.lock().unwrap().insert(format!("{name}:{version}"), predictor);
        }
        version
    }

    fn builder(&self) -> AzureDeployerBuilder {
        let template = DeploymentTemplate::new("Standard_DS3_v2");
        AzureDeployer::builder(self.azure.arm(), &self.azure.workspace(), self.registry.clone(), template)
            .transport(self.azure.transport())
            .region("eastus")
    }

    fn deployer(&self) -> AzureDeployer {
        self.builder().build().unwrap()
    }

    fn spec(&self, name: &str, of: &str, version: Version) -> DeploymentSpec {
        DeploymentSpec::new(churn(), named(name), model(of), version, actor())
    }

    fn id(&self, below: &str) -> String {
        format!("{}/onlineEndpoints/churn{below}", self.azure.workspace().id())
    }

    /// An endpoint with two deployments, all traffic to the first.
    async fn serving(&self, deployer: &AzureDeployer) -> Endpoint {
        deployer.ensure_endpoint(&EndpointSpec::new(churn(), actor())).await.unwrap();
        for (name, weight) in [("blue", 2.0), ("green", 3.0)] {
            let version = self.put("scaled", weight, "").await;
            deployer.deploy(&self.spec(name, "scaled", version)).await.unwrap();
        }
        deployer.set_traffic(&traffic(&[("blue", 100)], None)).await.unwrap()
    }
}

fn split(shares: &[(&str, u8)]) -> TrafficSplit {
    let one = |(name, share): &(&str, u8)| (named(name), Percent::new(*share).unwrap());
    TrafficSplit::new(shares.iter().map(one)).unwrap()
}

fn traffic(shares: &[(&str, u8)], expected: Option<u64>) -> TrafficChange {
    let key = IdempotencyKey::generate();
    TrafficChange::new(churn(), split(shares), actor()).with_key(key).expecting(expected)
}

fn mirror(to: &str, share: u8) -> MirrorChange {
    let mirror = Some(Mirror::new(named(to), Percent::new(share).unwrap()));
    MirrorChange::new(churn(), mirror, actor())
}

async fn ask(deployer: &AzureDeployer, name: Option<&str>, age: f64) -> mlops_core::Result<InvokeResponse> {
    let rows = ages(vec![age]);
    let request = InvokeRequest::new(churn(), &rows).with_deployment(name.map(named));
    deployer.invoke(&request).await
}

async fn fresh(
    looks: u32,
    set_up: impl FnOnce(AzureDeployerBuilder) -> AzureDeployerBuilder,
) -> DeployerUnderTest {
    let world = World::new();
    world.azure.faults().slow_operations(looks);
    let deployer = Arc::new(set_up(world.builder()).build().unwrap());
    let promised = deployer.capabilities();
    let versions = [world.put("scaled", 2.0, "").await, world.put("scaled", 3.0, "").await];
    let text = Table::new(vec![Column::text("age", ["old", "young"]).unwrap()]).unwrap();
    let mut under = DeployerUnderTest::new(deployer, model("scaled"), versions, ages(vec![59.0, 48.0]))
        .with_promised(promised)
        .with_lineage(world.registry.clone())
        .with_bad_rows(text);
    for (name, fault) in [("crashing", "crashes"), ("missing", "not in Azure")] {
        under = under.with_broken(model(name), world.put(name, 1.0, fault).await);
    }
    for fault in ["panics", "fails", "forgets", "nan"] {
        under = under.with_failing(model(fault), world.put(fault, 1.0, fault).await);
    }
    under
}

// What Azure cannot promise is not promised, and its cases say so: stickiness, compare-and-set, counts.
mlops_core::deployer_suite!(shared, fresh(0, |builder| builder).await);
// One writer, callers routed by the client, and operations that take their time.
mlops_core::deployer_suite!(alone, fresh(1, |builder| builder.sole_writer().sticky_routing()).await);

#[test]
fn what_is_promised_is_what_azure_can_do() {
    let world = World::new();
    let capabilities = world.deployer().capabilities();
    let none = DeployerCapabilities::none().with_max_mirror(Percent::new(50).unwrap());
    assert_eq!(capabilities, none);
    let alone = world.builder().sole_writer().sticky_routing().build().unwrap().capabilities();
    assert_eq!(alone, none.with_sticky_routing(true).with_compare_and_set(true));
}

#[tokio::test]
async fn round_trips_are_fewer_than_the_official_sdks() {
    let world = World::new();
    let deployer = world.deployer();
    let count = || {
        let requests = world.azure.requests();
        world.azure.forget_requests();
        requests.len()
    };
    world.serving(&deployer).await;
    let version = world.put("scaled", 4.0, "").await;
    count();
    deployer.deploy(&world.spec("red", "scaled", version)).await.unwrap();
    let deployment = count();
    deployer.set_traffic(&traffic(&[("blue", 90), ("green", 10)], None)).await.unwrap();
    let change = count();
    deployer.set_mirror(&mirror("red", 20)).await.unwrap();
    let shadow = count();
    ask(&deployer, None, 1.0).await.unwrap();
    let first = count();
    ask(&deployer, None, 1.0).await.unwrap();
    let second = count();
    ask(&deployer, Some("red"), 1.0).await.unwrap();
    let third = count();
    println!(
        "round trips, the official SDK's in brackets: deployment {deployment} (11 with code), traffic {change} (6), \
         mirror {shadow} (6), prediction {first}, then {second} and {third} (4)"
    );
    assert!(deployment <= 3 && change <= 3 && shadow <= 3, "{deployment} {change} {shadow}");
    assert!(first <= 4);
    assert_eq!((second, third), (1, 1));
}

/// Source of the eleven: azure-ai-ml 1.35.2, a deployment with a folder of one file, in its recorded requests.
#[tokio::test]
async fn a_deployment_with_new_code_takes_six_requests() {
    let world = World::new();
    let version = world.put("scaled", 2.0, "").await;
    world.deployer().ensure_endpoint(&EndpointSpec::new(churn(), actor())).await.unwrap();
    let above = tempfile::tempdir().unwrap();
    let environment = world.azure.place().environment("serve", "1").unwrap();
    world.azure.set_resource(environment.id(), json!({ "properties": { "image": "serve:1" } }));
    let deploy = async |name: &str, region: Option<&str>| {
        // Another process, whose code is new.
        std::fs::write(above.path().join("score.py"), format!("# {name}\n")).unwrap();
        let codes = Codes::new(world.azure.arm(), &world.azure.workspace());
        world.azure.forget_requests();
        let code = LocalCode::read(above.path()).await.unwrap().transport(world.azure.transport());
        let code = codes.register(&code).await.unwrap();
        let template =
            DeploymentTemplate::new("Standard_DS3_v2").with_code(environment.id(), code, "score.py");
        let (arm, workspace) = (world.azure.arm(), world.azure.workspace());
        let builder = AzureDeployer::builder(arm, &workspace, world.registry.clone(), template);
        let builder = builder.transport(world.azure.transport());
        let builder = if let Some(region) = region { builder.region(region) } else { builder };
        let deployer = builder.build().unwrap();
        deployer.deploy(&world.spec(name, "scaled", version)).await.unwrap();
        world.azure.requests()
    };
    let (told, asked) = (deploy("blue", Some("eastus")).await, deploy("green", None).await);
    println!(
        "a deployment with code of one file: {} requests (the official SDK: 11), {} where the region must be asked for",
        told.len(),
        asked.len()
    );
    assert_eq!((told.len(), asked.len()), (6, 7), "{told:#?} {asked:#?}");
}

/// An endpoint that was seen says where the workspace is.
#[tokio::test]
async fn a_region_is_asked_for_once_and_only_if_no_endpoint_says_it() {
    let world = World::new();
    let version = world.put("scaled", 2.0, "").await;
    let template = DeploymentTemplate::new("Standard_DS3_v2");
    let build = || {
        let (arm, workspace) = (world.azure.arm(), world.azure.workspace());
        AzureDeployer::builder(arm, &workspace, world.registry.clone(), template.clone()).build().unwrap()
    };
    let asked = || {
        let workspace = format!("GET https://management.azure.com{}?", world.azure.workspace().id());
        world.azure.requests().iter().filter(|line| line.starts_with(&workspace)).count()
    };
    let first = build();
    first.ensure_endpoint(&EndpointSpec::new(churn(), actor())).await.unwrap();
    first.deploy(&world.spec("blue", "scaled", version)).await.unwrap();
    assert_eq!(asked(), 1);
    world.azure.forget_requests();
    let second = build();
    second.ensure_endpoint(&EndpointSpec::new(churn(), actor())).await.unwrap();
    second.deploy(&world.spec("green", "scaled", version)).await.unwrap();
    assert_eq!(asked(), 0);
}

#[tokio::test]
async fn headers_are_each_calls_own() {
    let world = World::new();
    let deployer = world.deployer();
    world.serving(&deployer).await;
    assert_eq!(ask(&deployer, Some("green"), 1.0).await.unwrap().predictions.as_slice(), [3.0]);
    // The call after one that names a deployment is routed by the traffic again.
    for _ in 0..20 {
        assert_eq!(ask(&deployer, None, 1.0).await.unwrap().deployment, named("blue"));
    }
}

#[tokio::test]
async fn what_nobody_here_knows_survives_a_change_of_traffic() {
    // Azure's types of today do not know it either.
    let world = World::at(FakeAzure::new());
    let deployer = world.deployer();
    world.serving(&deployer).await;
    let mut resource = world.azure.resource(&world.id("")).unwrap();
    resource["tags"]["cost-center"] = json!("4711");
    resource["properties"]["somethingNew"] = json!({ "a": [1, 2] });
    world.azure.set_resource(&world.id(""), resource);
    deployer.set_traffic(&traffic(&[("blue", 50), ("green", 50)], None)).await.unwrap();
    let after = world.azure.resource(&world.id("")).unwrap();
    assert_eq!(after["properties"]["somethingNew"], json!({ "a": [1, 2] }));
    assert_eq!(after["tags"]["cost-center"], "4711");
}

#[tokio::test]
async fn tags_and_descriptions_of_others_and_the_mirror_are_kept() {
    let world = World::new();
    let deployer = world.deployer();
    world.serving(&deployer).await;
    let mut resource = world.azure.resource(&world.id("")).unwrap();
    resource["tags"]["cost-center"] = json!("4711");
    resource["properties"]["description"] = json!("by hand");
    world.azure.set_resource(&world.id(""), resource);
    let version = world.put("scaled", 4.0, "").await;
    deployer.deploy(&world.spec("red", "scaled", version)).await.unwrap();
    deployer.set_mirror(&mirror("red", 30)).await.unwrap();
    let after = deployer.set_traffic(&traffic(&[("blue", 50), ("green", 50)], None)).await.unwrap();
    assert_eq!(after.mirror, mirror("red", 30).mirror);
    let resource = world.azure.resource(&world.id("")).unwrap();
    assert_eq!(resource["properties"]["mirrorTraffic"], json!({ "red": 30 }));
    assert_eq!(resource["properties"]["traffic"], json!({ "blue": 50, "green": 50 }));
    assert_eq!(resource["properties"]["description"], "by hand");
    assert_eq!(resource["tags"]["cost-center"], "4711");
    assert_eq!(after.tags.get("cost-center").map(String::as_str), Some("4711"));
}

#[tokio::test]
async fn what_somebody_else_changed_is_another_revision() {
    let world = World::new();
    let deployer = world.deployer();
    let mine = world.serving(&deployer).await;
    assert_eq!(mine.revision, 1);
    let mut resource = world.azure.resource(&world.id("")).unwrap();
    resource["properties"]["traffic"] = json!({ "green": 100 });
    world.azure.set_resource(&world.id(""), resource);
    let theirs = deployer.endpoint(&churn()).await.unwrap();
    assert_eq!((theirs.revision, theirs.traffic.to_string().as_str()), (2, "green 100 %"));
    let stale = deployer.set_traffic(&traffic(&[("blue", 90), ("green", 10)], Some(1))).await.unwrap_err();
    assert_eq!((stale.kind(), stale.context("found")), (ErrorKind::Conflict, Some("2")));
    let next = deployer.set_traffic(&traffic(&[("blue", 90), ("green", 10)], Some(2))).await.unwrap();
    assert_eq!(next.revision, 3);
    // Another process knows what this one did.
    let other = world.deployer();
    assert_eq!(other.endpoint(&churn()).await.unwrap(), next);
}

#[tokio::test]
async fn two_processes_do_not_overwrite_what_they_have_seen() {
    let world = World::new();
    let (one, two) = (world.deployer(), world.deployer());
    world.serving(&one).await;
    world.azure.faults().slow_operations(2);
    let (a, b) =
        (traffic(&[("blue", 90), ("green", 10)], None), traffic(&[("blue", 80), ("green", 20)], None));
    let (first, second) = tokio::join!(one.set_traffic(&a), two.set_traffic(&b));
    let revisions = [first.unwrap().revision, second.unwrap().revision];
    assert!(revisions.contains(&2) && revisions.contains(&3), "{revisions:?}");
    // Both are remembered.
    for change in [&a, &b] {
        assert!(revisions.contains(&two.set_traffic(change).await.unwrap().revision));
    }
}

#[tokio::test]
async fn two_processes_that_deploy_under_one_name_make_one_deployment() {
    let world = World::new();
    let (one, two) = (world.deployer(), world.deployer());
    world.serving(&one).await;
    let (a, b) = (world.put("scaled", 4.0, "").await, world.put("scaled", 5.0, "").await);
    world.azure.faults().slow_operations(2);
    let (a, b) = (world.spec("red", "scaled", a), world.spec("red", "scaled", b));
    let (first, second) = tokio::join!(one.deploy(&a), two.deploy(&b));
    let (won, lost) = if first.is_ok() { (first, second) } else { (second, first) };
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(one.deployments(&churn()).await.unwrap()[&named("red")], won.unwrap());
    // Of the same they make one too, and both have it.
    let spec = world.spec("amber", "scaled", a.version);
    let (first, second) = tokio::join!(one.deploy(&spec), two.deploy(&spec));
    assert_eq!(first.unwrap(), second.unwrap());
    // Deployments of one endpoint wait for each other.
    let (x, y) = (world.spec("x-ray", "scaled", a.version), world.spec("yellow", "scaled", a.version));
    let (first, second) = tokio::join!(one.deploy(&x), two.deploy(&y));
    assert!(first.is_ok() && second.is_ok());
}

#[tokio::test]
async fn a_change_that_fails_is_told_and_can_be_made_again() {
    let world = World::new();
    let deployer = world.deployer();
    world.serving(&deployer).await;
    world.azure.faults().fail_operation("/onlineendpoints/churn", "InternalServerError", "try later");
    let change = traffic(&[("blue", 90), ("green", 10)], None);
    let error = deployer.set_traffic(&change).await.unwrap_err();
    assert_eq!(
        (error.context("code"), error.context("state")),
        (Some("InternalServerError"), Some("Failed"))
    );
    deployer.set_traffic(&change).await.unwrap();
    assert_eq!(deployer.endpoint(&churn()).await.unwrap().traffic, split(&[("blue", 90), ("green", 10)]));
}

#[tokio::test]
async fn a_deployment_that_fails_is_removed_and_says_why() {
    let world = World::new();
    let deployer = world.deployer();
    world.serving(&deployer).await;
    let version = world.put("scaled", 4.0, "").await;
    world.azure.faults().fail_operation("/deployments/red", "OutOfQuota", "not enough cores");
    let spec = world.spec("red", "scaled", version);
    let error = deployer.deploy(&spec).await.unwrap_err();
    assert_eq!((error.kind(), error.context("code")), (ErrorKind::LimitExceeded, Some("OutOfQuota")));
    assert_eq!(world.azure.resource(&world.id("/deployments/red")), None);
    assert_eq!(deployer.deploy(&spec).await.unwrap().state, DeploymentState::Ready);
}

#[tokio::test]
async fn a_deployment_that_another_process_began_is_waited_for() {
    let world = World::new();
    let deployer = world.deployer();
    world.serving(&deployer).await;
    let version = world.put("scaled", 4.0, "").await;
    world.azure.faults().slow_operations(3);
    let spec = world.spec("red", "scaled", version);
    let begun = deployer.begin_deployment(&spec).await.unwrap();
    assert!(!begun.is_done());
    let saved = serde_json::to_string(&begun.save()).unwrap();
    assert_eq!(deployer.begin_deployment(&spec).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    // One process resumes the operation, another deploys the same.
    let state = serde_json::from_str(&saved).unwrap();
    let resumed = world.azure.arm().resume::<Value>("resumed", state).unwrap().wait().await.unwrap();
    assert_eq!(resumed["name"], "red");
    let made = world.deployer().deploy(&spec).await.unwrap();
    assert_eq!((made.state, &made.spec), (DeploymentState::Ready, &spec));
}

#[tokio::test]
async fn lost_answers_storms_and_slow_operations_change_nothing_of_the_outcome() {
    let world = World::new();
    let deployer = world.deployer();
    world.serving(&deployer).await;
    let version = world.put("scaled", 4.0, "").await;
    type Faults = fn(&FakeAzure);
    let faults: [(&str, Faults); 4] = [
        ("lost answers", |azure| _ = azure.faults().lose_answers(2)),
        ("a storm", |azure| _ = azure.faults().busy(2)),
        ("not available", |azure| _ = azure.faults().unavailable(2)),
        ("slow", |azure| _ = azure.faults().slow_operations(3)),
    ];
    for (i, (name, fault)) in faults.into_iter().enumerate() {
        fault(&world.azure);
        let share = 10 + u8::try_from(i).unwrap();
        let change = traffic(&[("blue", 100 - share), ("green", share)], None);
        let before = deployer.endpoint(&churn()).await.unwrap().revision;
        fault(&world.azure);
        let after = deployer.set_traffic(&change).await.unwrap();
        assert_eq!((after.revision, &after.traffic), (before + 1, &change.split), "{name}");
        fault(&world.azure);
        let deployment = format!("red-{i}");
        let spec = world.spec(&deployment, "scaled", version);
        assert_eq!(deployer.deploy(&spec).await.unwrap().state, DeploymentState::Ready, "{name}");
        fault(&world.azure);
        ask(&deployer, Some(&deployment), 1.0).await.unwrap();
        fault(&world.azure);
        deployer.delete_deployment(&churn(), &named(&deployment)).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_just_made_may_be_hidden_for_a_moment() {
    let world = World::new();
    world.azure.faults().hidden(2);
    let deployer = world.deployer();
    deployer.ensure_endpoint(&EndpointSpec::new(churn(), actor())).await.unwrap();
    let version = world.put("scaled", 2.0, "").await;
    let made = deployer.deploy(&world.spec("blue", "scaled", version)).await.unwrap();
    assert_eq!(made.state, DeploymentState::Ready);
}

#[tokio::test]
async fn keys_are_drawn_anew_without_a_caller_noticing() {
    let world = World::new();
    let deployer = world.deployer();
    world.serving(&deployer).await;
    ask(&deployer, None, 1.0).await.unwrap();
    let old = deployer.online().keys("churn").await.unwrap();
    deployer.online().regenerate("churn", KeyType::Primary).await.unwrap().wait().await.unwrap();
    let new = deployer.online().keys("churn").await.unwrap();
    assert_ne!(old.primary_key.expose(), new.primary_key.expose());
    let second = |keys: &EndpointKeys| keys.secondary_key.as_ref().map(|key| key.expose().to_owned());
    assert!(second(&old).is_some());
    assert_eq!(second(&old), second(&new));
    world.azure.forget_requests();
    ask(&deployer, None, 1.0).await.unwrap();
    assert_eq!(world.azure.count(), 3, "refused, the new key, the prediction: {:?}", world.azure.requests());
    ask(&deployer, None, 1.0).await.unwrap();
    assert_eq!(world.azure.count(), 4);
    assert_eq!(deployer.online().token("churn").await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn tokens_of_the_workspace_are_renewed_when_it_says_so() {
    let clock = Arc::new(ManualClock::at("2026-03-02T08:00:00Z".parse().unwrap()));
    let mut world = World::new();
    world.azure = world.azure.clone().with_clock(clock.clone());
    world.online.token_lifetime(Duration::from_secs(600), Duration::from_secs(3600));
    let deployer = world.builder().auth_mode(AuthMode::AmlToken).clock(clock.clone()).build().unwrap();
    world.serving(&deployer).await;
    ask(&deployer, None, 1.0).await.unwrap();
    let asked = |azure: &FakeAzure| azure.requests().iter().filter(|line| line.contains("/token?")).count();
    assert_eq!(asked(&world.azure), 1);
    for (minutes, expected) in [(9, 1), (2, 2), (9, 2), (120, 3)] {
        clock.advance(Duration::from_secs(minutes * 60));
        ask(&deployer, None, 1.0).await.unwrap();
        assert_eq!(asked(&world.azure), expected, "{minutes} minutes later");
    }
    assert_eq!(deployer.online().keys("churn").await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn tokens_of_entra_id_are_those_for_machine_learning() {
    let world = World::new();
    assert_eq!(
        world.builder().auth_mode(AuthMode::AadToken).build().unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    let deployer =
        world.builder().auth_mode(AuthMode::AadToken).tokens(world.azure.tokens()).build().unwrap();
    world.serving(&deployer).await;
    ask(&deployer, None, 1.0).await.unwrap();
    world.azure.faults().expire_tokens();
    ask(&deployer, None, 1.0).await.unwrap();
    // Whoever has no tokens cannot ask an endpoint that another made so.
    let error = ask(&world.deployer(), None, 1.0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
}

/// Somebody has made the endpoint anew, or has changed who may ask it.
#[tokio::test]
async fn an_endpoint_that_is_opened_in_another_way_by_now_is_asked_in_that_way() {
    let world = World::new();
    let builder = world.builder().tokens(world.azure.tokens());
    let deployer = builder.known_for(Duration::ZERO).build().unwrap();
    world.serving(&deployer).await;
    ask(&deployer, None, 1.0).await.unwrap();
    for mode in ["AADToken", "AMLToken", "Key", "AADToken"] {
        let mut endpoint = world.azure.resource(&world.id("")).unwrap();
        endpoint["properties"]["authMode"] = json!(mode);
        world.azure.set_resource(&world.id(""), endpoint);
        ask(&deployer, None, 1.0).await.unwrap_or_else(|e| panic!("{mode}: {e}"));
    }
}

#[tokio::test]
async fn a_model_that_fails_and_rows_that_are_refused_are_told_apart_and_nothing_is_shown() {
    let world = World::new();
    let deployer = world.deployer();
    world.serving(&deployer).await;
    let version = world.put("fragile", 1.0, "old").await;
    deployer.deploy(&world.spec("red", "fragile", version)).await.unwrap();
    let error = ask(&deployer, Some("red"), 77.125).await.unwrap_err();
    assert_eq!((error.kind(), error.context("model_status")), (ErrorKind::Internal, Some("500")));
    assert_eq!((error.context("deployment"), error.context("reason")), (Some("red"), Some("model_error")));
    assert!(!format!("{error} {error:?}").contains("77.125"), "the container repeats the rows: {error:?}");
    let rows = Table::new(vec![Column::text("age", ["seventy-seven"]).unwrap()]).unwrap();
    let request = InvokeRequest::new(churn(), &rows);
    let error = deployer.invoke(&request).await.unwrap_err();
    assert_eq!((error.kind(), error.context("model_status")), (ErrorKind::InvalidInput, Some("400")));
    assert!(!format!("{error} {error:?}").contains("seventy"), "{error:?}");
    let quiet = mlops_azure::http::RetryPolicy::NONE;
    let impatient = world.builder().retry(quiet).build().unwrap();
    ask(&impatient, None, 1.0).await.unwrap();
    world.azure.faults().busy(1);
    let error = ask(&impatient, None, 1.0).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::RateLimited, true));
}

#[tokio::test]
async fn an_answer_that_names_nobody_is_that_of_the_only_one() {
    let world = World::new();
    let deployer = world.deployer();
    world.serving(&deployer).await;
    world.online.name_nobody();
    assert_eq!(ask(&deployer, None, 1.0).await.unwrap().deployment, named("blue"));
    assert_eq!(ask(&deployer, Some("green"), 1.0).await.unwrap().deployment, named("green"));
    deployer.set_traffic(&traffic(&[("blue", 50), ("green", 50)], None)).await.unwrap();
    assert_eq!(ask(&deployer, None, 1.0).await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn deployments_of_others_are_shown_by_the_registry() {
    let world = World::new();
    let deployer = world.deployer();
    world.serving(&deployer).await;
    let version = world.put("scaled", 5.0, "").await;
    let put = async |name: &str, of: &str| {
        let id = world.azure.place().model(of, &version.to_string()).unwrap();
        world.azure.set_resource(id.id(), json!({ "properties": {} }));
        let body = json!({
            "location": "eastus", "sku": { "name": "Default", "capacity": 1 },
            "properties": { "endpointComputeType": "Managed", "model": id.id(), "instanceType": "x" },
        });
        let path = world.id(&format!("/deployments/{name}"));
        let call = Call::<Value>::put("test", path, &body).unwrap().query("api-version", "2026-05-01");
        world.azure.arm().begin(call).await.unwrap().wait().await
    };
    put("theirs", "scaled").await.unwrap();
    // Of a model that no registry knows; its container crashes, and nobody removes it.
    put("unknown", "elsewhere").await.unwrap_err();
    let all = deployer.deployments(&churn()).await.unwrap();
    assert!(all.keys().eq([&named("blue"), &named("green"), &named("theirs")]), "{all:?}");
    let theirs = &all[&named("theirs")];
    assert_eq!((&theirs.spec.model, theirs.spec.version), (&model("scaled"), version));
    deployer.set_traffic(&traffic(&[("theirs", 100)], None)).await.unwrap();
    assert_eq!(ask(&deployer, None, 1.0).await.unwrap().predictions.as_slice(), [5.0]);
}

#[tokio::test]
async fn names_are_checked_before_anything_is_sent() {
    let world = World::new();
    let deployer = world.deployer();
    world.azure.forget_requests();
    for name in ["ab", "9lives", "a/../../x", ""] {
        assert!(deployer.online().keys(name).await.is_err(), "{name}");
        assert!(deployer.online().logs("churn", name, ContainerType::InferenceServer, 1).await.is_err());
    }
    assert_eq!(world.azure.count(), 0);
    assert!(world.builder().build().is_ok());
    let bad = DeploymentTemplate::new("Standard_DS3_v2").with_instances(0);
    let bad =
        AzureDeployer::builder(world.azure.arm(), &world.azure.workspace(), world.registry.clone(), bad);
    assert_eq!(bad.build().unwrap_err().context("field"), Some("instances"));
}

#[tokio::test]
async fn logs_and_sizes_are_asked_for_and_an_endpoint_is_removed_with_all() {
    let world = World::new();
    let deployer = world.deployer();
    world.serving(&deployer).await;
    ask(&deployer, None, 1.0).await.unwrap();
    let logs = deployer.online().logs("churn", "blue", ContainerType::InferenceServer, 1).await.unwrap();
    assert_eq!(logs, "1 requests so far");
    let missing = deployer.online().logs("churn", "none", ContainerType::InferenceServer, 1).await;
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    let scaled = deployer.online().scale("churn", "blue", 3).await.unwrap().wait().await.unwrap();
    assert_eq!(scaled.sku.unwrap().capacity, Some(3));
    deployer.online().delete("churn").await.unwrap().wait().await.unwrap();
    assert_eq!(deployer.endpoint(&churn()).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(ask(&deployer, None, 1.0).await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// A number below another.
fn draw(random: &mut Random, below: u64) -> u8 {
    u8::try_from(random.below(NonZeroU64::new(below).unwrap())).unwrap()
}

/// Any shares that sum to 100, over up to four deployments.
fn any_split(random: &mut Random, names: &[&str]) -> TrafficSplit {
    let mut rest = 100_u8;
    let mut shares = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let drawn = draw(random, 101);
        let share = if i + 1 == names.len() { rest } else { rest.min(drawn) };
        shares.push((*name, share));
        rest -= share;
    }
    split(&shares)
}

#[tokio::test]
async fn traffic_is_whole_whatever_is_done() {
    let world = World::new();
    let deployer = world.builder().sole_writer().build().unwrap();
    world.serving(&deployer).await;
    let names = ["blue", "green", "red", "amber"];
    let version = world.put("scaled", 4.0, "").await;
    for name in ["red", "amber"] {
        deployer.deploy(&world.spec(name, "scaled", version)).await.unwrap();
    }
    let mut random = Random::new(2026).stream("traffic");
    for _ in 0..120 {
        let before = deployer.endpoint(&churn()).await.unwrap();
        let name = names[usize::from(draw(&mut random, 4))];
        let made = match draw(&mut random, 4) {
            0 => {
                let share = draw(&mut random, 60);
                let change = mirror(name, share).expecting(before.revision);
                let legal = share <= 50 && before.traffic.share(&named(name)) == Percent::ZERO;
                let made = deployer.set_mirror(&change).await;
                assert_eq!(made.is_ok(), legal, "{before:?} {change:?} {made:?}");
                made
            }
            1 => {
                let none = mirror(name, 1).with_mirror(None);
                deployer.set_mirror(&none).await
            }
            2 => {
                let idle = before.traffic.share(&named(name)) == Percent::ZERO;
                let shadow = before.mirror.as_ref().is_some_and(|mirror| mirror.deployment == named(name));
                let gone = deployer.delete_deployment(&churn(), &named(name)).await;
                assert_eq!(gone.is_ok(), idle && !shadow, "{before:?} {name} {gone:?}");
                deployer.deploy(&world.spec(name, "scaled", version)).await.ok();
                continue;
            }
            _ => {
                let mut change = traffic(&[("blue", 100)], None);
                change.split = any_split(&mut random, &names);
                let shadow = before.mirror.as_ref().map(|mirror| change.split.share(&mirror.deployment));
                let made = deployer.set_traffic(&change).await;
                assert_eq!(made.is_ok(), shadow.is_none_or(|share| share == Percent::ZERO), "{before:?}");
                made
            }
        };
        let after = deployer.endpoint(&churn()).await.unwrap();
        match made {
            Ok(made) => assert_eq!((&after, made.revision), (&made, before.revision + 1)),
            Err(_) => assert_eq!(after, before),
        }
        // Azure's own arithmetic: whole per cent, 0 or 100 in all; a shadow of at most 50 without traffic.
        let resource = world.azure.resource(&world.id("")).unwrap();
        let of = |name: &str| -> BTreeMap<String, u64> {
            serde_json::from_value(resource["properties"][name].clone()).unwrap()
        };
        let (live, copies) = (of("traffic"), of("mirrorTraffic"));
        assert!(matches!(live.values().sum::<u64>(), 0 | 100), "{live:?}");
        assert!(
            copies.len() <= 1
                && copies.iter().all(|(name, share)| {
                    *share <= 50 && live.get(name).copied().unwrap_or_default() == 0
                }),
            "{live:?} {copies:?}"
        );
        assert!(resource["tags"].as_object().unwrap().len() <= 50);
    }
}

/// Rolls green out over blue, with callers all the while; what the fake counted is what the guard is told.
async fn roll_out(world: &World, deployer: &Arc<AzureDeployer>, strategy: Strategy) -> (RolloutStatus, u64) {
    let clock = ManualClock::at("2026-03-02T08:00:00Z".parse().unwrap());
    let guard = MetricGuard::new("failures", Proportions::new(0.02)).with_min_samples(40);
    let options = RolloutOptions::default()
        .with_strategy(strategy)
        .with_steps([20, 50, 100].into_iter().filter_map(Percent::new))
        .with_bake(Duration::from_secs(120))
        .with_patience(Duration::ZERO)
        // Azure tells no counts: the limits of the plan see none, and the guard decides.
        .on_no_data(ThinData::Continue)
        .with_metric(guard.on_inconclusive(ThinData::Continue));
    let plan = RolloutPlan::canary(churn(), named("blue"), named("green"), actor(), options).unwrap();
    let smoke_test = SmokeTest::new(ages(vec![50.0])).unwrap();
    let mut rollout = RolloutDriver::new(plan, smoke_test, deployer.clone(), Arc::new(VecJournal::default()));
    let counts = || [world.online.counts("churn", "green"), world.online.counts("churn", "blue")];
    let (mut epoch, mut base, mut unanswered) = (u64::MAX, counts(), 0);
    for _ in 0..60 {
        let status = rollout.advance(clock.now()).await.unwrap();
        if status.is_terminal() {
            return (status, unanswered);
        }
        if rollout.state().epoch != epoch {
            (epoch, base) = (rollout.state().epoch, counts());
        }
        for caller in 0..150_u32 {
            let answer = ask(deployer, None, f64::from(20 + caller % 60)).await;
            unanswered += u64::from(answer.is_err());
        }
        let [candidate, stable] = std::array::from_fn(|i| {
            let (now, base) = (counts()[i], base[i]);
            Count::new(now.failures - base.failures, now.requests - base.requests).unwrap()
        });
        rollout.report_observations("failures", Observations::Counts { candidate, stable });
        clock.advance(Duration::from_secs(60));
    }
    panic!("the rollout did not end: {}", rollout.status());
}

async fn world_with_candidate(fault: &'static str, alone: bool) -> (World, Arc<AzureDeployer>) {
    let world = World::new();
    let builder = world.builder();
    let builder = if alone { builder.sole_writer() } else { builder };
    let deployer = Arc::new(builder.build().unwrap());
    deployer.ensure_endpoint(&EndpointSpec::new(churn(), actor())).await.unwrap();
    for (name, of, fault) in [("blue", "good", ""), ("green", "candidate", fault)] {
        let version = world.put(of, 2.0, fault).await;
        deployer.deploy(&world.spec(name, of, version)).await.unwrap();
    }
    deployer.set_traffic(&traffic(&[("blue", 100)], None)).await.unwrap();
    (world, deployer)
}

#[tokio::test]
async fn cores_rollout_promotes_a_good_canary_on_azure() {
    for alone in [false, true] {
        let (world, deployer) = world_with_candidate("", alone).await;
        let (status, unanswered) = roll_out(&world, &deployer, Strategy::Canary).await;
        assert!(status.is_promoted(), "{status}");
        assert_eq!(unanswered, 0);
        let endpoint = deployer.endpoint(&churn()).await.unwrap();
        assert_eq!(endpoint.traffic, split(&[("green", 100)]));
    }
}

#[tokio::test]
async fn cores_rollout_rolls_a_bad_canary_back_on_azure() {
    // Fails for callers of 70 and more: one in six.
    let (world, deployer) = world_with_candidate("old", true).await;
    let (status, unanswered) = roll_out(&world, &deployer, Strategy::Canary).await;
    assert!(status.is_terminal() && !status.is_promoted(), "{status}");
    assert!(unanswered > 0);
    assert_eq!(deployer.endpoint(&churn()).await.unwrap().traffic, split(&[("blue", 100)]));
}

#[tokio::test]
async fn cores_rollout_finds_a_bad_shadow_before_any_caller_does() {
    let (world, deployer) = world_with_candidate("old", true).await;
    let shadow = Strategy::Shadow { share: Percent::new(50).unwrap(), promote: true };
    let (status, unanswered) = roll_out(&world, &deployer, shadow).await;
    assert!(status.is_terminal() && !status.is_promoted(), "{status}");
    assert_eq!(unanswered, 0, "no caller meets the failure");
    let endpoint = deployer.endpoint(&churn()).await.unwrap();
    assert_eq!((endpoint.traffic, endpoint.mirror), (split(&[("blue", 100)]), None));
    let (world, deployer) = world_with_candidate("", false).await;
    let (status, _) = roll_out(&world, &deployer, shadow).await;
    assert!(status.is_promoted(), "{status}");
}

#[tokio::test]
async fn autoscale_settings_are_written_and_read() {
    let world = World::new();
    let deployer = world.deployer();
    world.serving(&deployer).await;
    let settings = AutoscaleSettings::new(world.azure.arm(), world.azure.workspace());
    let blue = world.id("/deployments/blue");
    let profile = Profile::new("default", Capacity::between(2, 5).unwrap()).with_rule(Rule::above(
        &blue,
        "CpuUtilizationPercentage",
        70.0,
        2,
    ));
    let setting = Resource::new(AutoscaleSetting::of(&blue).with_profile(profile)).with_location("eastus");
    settings.put("churn-blue", &setting).await.unwrap();
    let read = settings.get("churn-blue").await.unwrap();
    assert_eq!(read.properties, setting.properties);
    settings.delete("churn-blue").await.unwrap();
    assert_eq!(settings.get("churn-blue").await.unwrap_err().kind(), ErrorKind::NotFound);
    let empty = Resource::new(AutoscaleSetting::of(&blue)).with_location("eastus");
    assert_eq!(settings.put("churn-blue", &empty).await.unwrap_err().context("field"), Some("profiles"));
    assert!(settings.get("../x").await.is_err());
}

fn batch(azure: &FakeAzure) -> BatchEndpoints {
    let (arm, tokens, transport) = (azure.arm(), azure.tokens(), azure.transport());
    BatchEndpoints::with_transport(arm, &azure.workspace(), "eastus", tokens, transport)
}

#[tokio::test]
async fn a_batch_call_makes_one_job_however_often_it_is_sent() {
    let world = World::new();
    let jobs = FakeBatch::default();
    world.azure.plug(jobs.clone());
    let batch = batch(&world.azure);
    batch.ensure("nightly").await.unwrap();
    let data = BatchInvoke::default()
        .with_input("in", BatchInput::data(BatchValueType::UriFolder, "azureml:claims:7"));
    let key = IdempotencyKey::new("claims-7").unwrap();
    let error = batch.invoke("nightly", None, &data, &key).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "there is no default yet");
    assert!(batch.set_default("nightly", "first").await.is_err());
    let place = world.azure.place();
    let (model, compute) = (place.model("m", "1").unwrap(), place.compute("cpu").unwrap());
    batch.deploy("nightly", "first", BatchDeployment::new(model.id(), compute.id())).await.unwrap();
    let endpoint = batch.set_default("nightly", "first").await.unwrap();
    assert_eq!(endpoint.properties.defaults.unwrap().deployment_name.as_deref(), Some("first"));
    // `ensure` leaves what is there as it is.
    assert!(batch.ensure("nightly").await.unwrap().properties.defaults.is_some());
    world.azure.forget_requests();
    world.azure.faults().lose_answers(1);
    let job = batch.invoke("nightly", None, &data, &key).await.unwrap();
    let again = batch.invoke("nightly", Some("first"), &data, &key).await.unwrap();
    assert_eq!((&again.name, jobs.jobs()), (&job.name, 1));
    println!("round trips of two batch calls, one of which lost its answer: {}", world.azure.count());
    assert_eq!(world.azure.count(), 3, "the official SDK takes 3 for one");
    let policy = PollPolicy::default().with_initial(Duration::ZERO).with_longest(Duration::from_millis(1));
    let done = batch.wait(&job.name, &policy).await.unwrap();
    assert!(done.outputs["score"].starts_with("azureml://datastores/workspaceblobstore/"), "{done:?}");
    jobs.fail_jobs(1);
    let other = IdempotencyKey::new("claims-8").unwrap();
    let failing = batch.invoke("nightly", None, &data, &other).await.unwrap();
    let error = batch.wait(&failing.name, &policy).await.unwrap_err();
    assert_eq!((error.kind(), error.context("job")), (ErrorKind::Rejected, Some(failing.name.as_str())));
    // Looks that find nothing or nobody are passed over, and not for ever; and nobody looks a thousand times a second.
    let patient = batch.invoke("nightly", None, &data, &IdempotencyKey::generate()).await.unwrap();
    let id = format!("{}/jobs/{}", world.azure.workspace().id(), patient.name);
    let (mut job, started) = (world.azure.resource(&id).unwrap(), std::time::Instant::now());
    job["properties"]["status"] = json!("Completed");
    world.azure.remove_resource(&id);
    let waiting = batch.wait(&patient.name, &policy);
    let coming = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        world.azure.set_resource(&id, job);
    };
    let (done, ()) = tokio::join!(waiting, coming);
    assert_eq!(done.unwrap().name, patient.name);
    assert!(started.elapsed() >= Duration::from_millis(100));
    let error = batch.wait("nobody", &policy).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let third = batch.invoke("nightly", None, &data, &IdempotencyKey::generate()).await.unwrap();
    let now = policy.clone().with_deadline(Duration::ZERO).with_initial(Duration::from_secs(1));
    assert_eq!(batch.wait(&third.name, &now).await.unwrap_err().kind(), ErrorKind::Timeout);
    let nothing = BatchInvoke::default();
    let error = batch.invoke("nightly", None, &nothing, &IdempotencyKey::generate()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test(start_paused = true)]
async fn a_batch_endpoint_that_was_made_again_is_found_at_its_new_address() {
    let world = World::new();
    let jobs = FakeBatch::default();
    world.azure.plug(jobs.clone());
    let (batch, place) = (batch(&world.azure), world.azure.place());
    batch.ensure("nightly").await.unwrap();
    let (model, compute) = (place.model("m", "1").unwrap(), place.compute("cpu").unwrap());
    batch.deploy("nightly", "first", BatchDeployment::new(model.id(), compute.id())).await.unwrap();
    let data = BatchInvoke::default()
        .with_input("in", BatchInput::data(BatchValueType::UriFolder, "azureml:claims:7"));
    let call = || async {
        world.azure.forget_requests();
        let answer = batch.invoke("nightly", Some("first"), &data, &IdempotencyKey::generate()).await;
        (answer, world.azure.count())
    };
    let (first, requests) = call().await;
    assert_eq!((first.is_ok(), requests), (true, 2), "the address is asked for, and called");
    let (second, requests) = call().await;
    assert_eq!((second.is_ok(), requests), (true, 1));
    // What was found out is believed for five minutes.
    tokio::time::advance(Duration::from_secs(301)).await;
    let (later, requests) = call().await;
    assert_eq!((later.is_ok(), requests), (true, 2));
    // Somebody makes the endpoint again: it is elsewhere, and nobody answers where it was.
    let id = format!("{}/batchEndpoints/nightly", world.azure.workspace().id());
    let endpoint = world.azure.resource(&id).unwrap();
    let mut elsewhere = endpoint.clone();
    elsewhere["properties"]["scoringUri"] = json!("https://nightly-7f.eastus.inference.ml.azure.com/jobs");
    let deployment = world.azure.resource(&format!("{id}/deployments/first")).unwrap();
    let old = batch.clone();
    for fault in [Fault::Status(404, None), Fault::Status(410, None), Fault::Unreachable, Fault::Reset] {
        let rule = FaultRule::new(fault.clone()).host("nightly-7f.eastus.inference.ml.azure.com");
        let transport = FaultyTransport::new(world.azure.transport());
        transport.add(rule);
        world.azure.set_resource(&id, elsewhere.clone());
        let other = BatchEndpoints::with_transport(
            world.azure.arm(),
            &world.azure.workspace(),
            "eastus",
            world.azure.tokens(),
            Arc::new(transport),
        );
        // It was just asked for, and is the endpoint's own.
        let lost = other.invoke("nightly", Some("first"), &data, &IdempotencyKey::generate()).await;
        assert!(lost.is_err(), "{fault:?}");
        world.azure.set_resource(&id, endpoint.clone());
        let made = jobs.jobs();
        let found = other.invoke("nightly", Some("first"), &data, &IdempotencyKey::generate()).await;
        assert!(found.is_ok() && jobs.jobs() == made + 1, "{fault:?}: {found:?}");
    }
    // An address that still is the endpoint's own is not called twice, and an endpoint that is gone is named.
    world.azure.remove_resource(&format!("{id}/deployments/first"));
    world.azure.forget_requests();
    let error = old.invoke("nightly", Some("first"), &data, &IdempotencyKey::generate()).await.unwrap_err();
    assert_eq!((error.kind(), world.azure.count()), (ErrorKind::NotFound, 2), "{error:?}");
    world.azure.set_resource(&format!("{id}/deployments/first"), deployment);
    world.azure.remove_resource(&id);
    let error = old.invoke("nightly", Some("first"), &data, &IdempotencyKey::generate()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_batch_call_says_what_goes_in_and_where_what_comes_out_goes() {
    let world = World::new();
    world.azure.plug(FakeBatch::default());
    let (batch, place) = (batch(&world.azure), world.azure.place());
    batch.ensure("nightly").await.unwrap();
    let (model, compute) = (place.model("m", "1").unwrap(), place.compute("cpu").unwrap());
    batch.deploy("nightly", "first", BatchDeployment::new(model.id(), compute.id())).await.unwrap();
    let at = "azureml://datastores/workspaceblobstore/paths/scores/";
    let call = BatchInvoke::default()
        .with_input("claims", BatchInput::data(BatchValueType::UriFolder, "azureml:claims:7"))
        .with_input("threshold", BatchInput::literal(0.5))
        .with_output("scores", BatchOutput::to(BatchValueType::UriFolder, at))
        .with_instances(2)
        .in_experiment("nightly");
    let job = batch.invoke("nightly", Some("first"), &call, &IdempotencyKey::generate()).await.unwrap();
    let policy = PollPolicy::default().with_initial(Duration::ZERO).with_longest(Duration::from_millis(1));
    let done = batch.wait(&job.name, &policy).await.unwrap();
    assert_eq!(done.outputs.iter().collect::<Vec<_>>(), [(&"scores".to_owned(), &at.to_owned())]);
    let resource = world.azure.resource(place.job(&job.name).unwrap().id()).unwrap();
    assert_eq!(
        resource["properties"]["inputs"]["threshold"],
        json!({ "jobInputType": "literal", "value": "0.5" })
    );
    assert!(world.azure.refused().is_empty());

    // What Azure does not know is told apart from what this crate does not know.
    let odd = BatchInput::data(BatchValueType::Other("SafetensorsModel".to_owned()), "azureml:m:1");
    let odd = BatchInvoke::default().with_input("in", odd);
    let error = batch.invoke("nightly", Some("first"), &odd, &IdempotencyKey::generate()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let mut empty = BatchInput::data(BatchValueType::UriFile, "x");
    empty.uri = None;
    let empty = BatchInvoke::default().with_input("in", empty);
    let error =
        batch.invoke("nightly", Some("first"), &empty, &IdempotencyKey::generate()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.context("inner")),
        (ErrorKind::InvalidInput, Some("BadArgument > ArgumentInvalid > MissingArgument"))
    );
}

#[tokio::test]
async fn no_secret_is_shown() {
    let log = Log::default();
    let _logging = tracing::subscriber::set_default(log.clone());
    let world = World::new();
    let deployer = world.builder().tokens(world.azure.tokens()).build().unwrap();
    world.serving(&deployer).await;
    ask(&deployer, None, 1.0).await.unwrap();
    let keys = deployer.online().keys("churn").await.unwrap();
    let mut shown = format!("{deployer:?} {:?} {keys:?} {:?}", deployer.online(), batch(&world.azure));
    world.online.token_lifetime(Duration::ZERO, Duration::from_secs(1));
    let error = ask(&deployer, Some("nobody"), 1.0).await.unwrap_err();
    shown += &format!("{error} {error:?} {:?} {:?}", world.builder(), world.online);
    shown += &world.azure.requests().join("\n");
    let logged = log.text();
    assert!(logged.contains("churn.eastus.inference.ml.azure.com") && logged.contains("/score"), "{logged}");
    shown += &logged;
    assert!(!shown.contains("canary"), "{shown}");
    let resource = world.azure.resource(&world.id("")).unwrap().to_string();
    assert!(!resource.contains("canary"));
}
