//! Every body that this crate builds, judged by Azure's own type definitions and compared with minimal and recorded ones; every
//! answer in the official examples, read.
//!
//! The definitions are in the folder that `MLOPS_TEST_AZURE_TYPES` names, or in `shared/azure/types` in a folder above this
//! crate.
#![cfg(feature = "fake")]

mod asset;
mod bodies;
mod deploy;
mod jobs;
mod monitor;
mod official;
mod secrets;
mod storage;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mlops_azure::config::Workspace;
use mlops_azure::fake::{Rule, Schemas};
use mlops_azure::http::Call;
use mlops_azure::wire::batch::{BatchRetry, OutputAction};
use mlops_azure::wire::compute::{
    ClusterProperties, InstanceProperties, InstanceSchedules, ScalePatch, ScaleSettings, StartStop,
    VmPriority,
};
use mlops_azure::wire::datastore::{ListSecrets, ServiceIdentity};
use mlops_azure::wire::deployment::{ContainerType, DataCollector, GetLogs, RequestSettings};
use mlops_azure::wire::endpoint::{AuthMode, KeyType, RegenerateKeys};
use mlops_azure::wire::job::command::{Distribution, JobResources, JobTier};
use mlops_azure::wire::job::input::{InputMode, ValueType};
use mlops_azure::wire::job::sweep::{
    EarlyTermination, Goal, ParameterValues, PolicyType, SamplingAlgorithm, SamplingType, SweepLimits, Trial,
};
use mlops_azure::wire::job::{JobInput, JobOutput, JobStatus};
use mlops_azure::wire::model::{Flavor, ModelType, Publish};
use mlops_azure::wire::open::{ProvisioningState, Switch};
use mlops_azure::wire::{
    BatchDeployment, BatchEndpoint, CodeVersion, CommandJob, ComponentVersion, Compute, Container,
    Credentials, DataType, DataVersion, Datastore, EnvironmentVersion, Identity, Job, ModelVersion,
    OnlineDeployment, OnlineEndpoint, Place, Properties, Resource, Schedule, Sku, SweepJob, TextMap, Traffic,
};
use mlops_core::governance::Secret;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The folder of the material, which has the folder of the definitions in it.
fn material() -> Option<PathBuf> {
    let named = std::env::var_os("MLOPS_TEST_AZURE_TYPES").map(PathBuf::from);
    let above = || {
        let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        folders
            .map(|folder| folder.join("shared/azure/types"))
            .find(|types| types.join("_index.json").is_file())
    };
    let types = named.or_else(above);
    if types.is_none() {
        println!("skipped: MLOPS_TEST_AZURE_TYPES names no folder, and there is no shared/azure/types above");
    }
    types?.parent().map(Path::to_owned)
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

/// The files of a folder, by name.
fn files(folder: &Path) -> Vec<(String, Value)> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "json"));
    paths.sort();
    paths.iter().map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), read(path))).collect()
}

/// The type definitions' name of an example.
fn type_of(example: &Value) -> Option<String> {
    let (kind, version) = (example["resourceType"].as_str()?, example["apiVersion"].as_str()?);
    Some(format!("{kind}@{version}"))
}

/// The examples that Azure's own definitions refuse, and why: in each the example is wrong.
const WRONG: [&str; 3] = [
    // `contentLink` is read only.
    "microsoft.logic-2019-05-01-integrationaccounts-maps-2",
    // A text is an object.
    "microsoft.machinelearningservices-2026-05-01-workspaces-computes-1",
    "microsoft.machinelearningservices-2026-05-01-workspaces-computes-5",
];

#[test]
fn the_judge_accepts_azures_own_examples_and_refuses_what_one_mistake_makes_of_them() {
    let Some(material) = material() else { return };
    let schemas = Schemas::open(material.join("types")).unwrap();
    let (mut good, mut refused, mut mutants, mut unread) = (0, Vec::new(), 0, 0);
    for (name, example) in files(&material.join("examples")) {
        let Some(kind) = type_of(&example) else { continue };
        let report = schemas.judge(&kind, &example["body"]).unwrap();
        unread += report.warnings.iter().filter(|warning| warning.rule == Rule::Unread).count();
        if !report.errors.is_empty() {
            refused.push(name);
            continue;
        }
        good += 1;
        for mutant in schemas.mutants(&kind, &example["body"]).unwrap() {
            let report = schemas.judge(&kind, &mutant.body).unwrap();
            assert!(!report.errors.is_empty(), "{name}: {} at {}", mutant.change, mutant.at);
            mutants += 1;
        }
    }
    println!(
        "{good} examples accepted, {} refused, {mutants} mutants refused, {unread} patterns not read",
        refused.len()
    );
    assert_eq!((good, refused), (262, WRONG.map(str::to_owned).to_vec()));
    assert!(mutants > 5000, "{mutants}");
}

#[test]
fn the_judge_names_the_rule() {
    let Some(material) = material() else { return };
    let schemas = Schemas::open(material.join("types")).unwrap();
    let kind = "microsoft.machinelearningservices/workspaces/onlineendpoints/deployments@2026-05-01";
    let good = json!({
        "location": "eastus", "sku": { "name": "Default", "capacity": 1 },
        "properties": { "endpointComputeType": "Managed", "model": "azureml:m:1" },
    });
    let judge = |change: &dyn Fn(&mut Value)| {
        let mut body = good.clone();
        change(&mut body);
        let report = schemas.judge(kind, &body).unwrap();
        report.errors.first().or(report.warnings.first()).map(|finding| (finding.rule, finding.at.clone()))
    };
    let at = |rule, at: &str| Some((rule, at.to_owned()));
    assert_eq!(judge(&|_| {}), None);
    assert_eq!(
        judge(&|b| drop(b.as_object_mut().unwrap().remove("location"))),
        at(Rule::Required, "/location")
    );
    let properties = |b: &mut Value, name: &str, value: Value| b["properties"][name] = value;
    for (name, value, rule) in [
        ("endpointComputeType", json!("managed"), Rule::Discriminator),
        ("provisioningState", json!("Succeeded"), Rule::ReadOnly),
        ("instanceCount", json!(1), Rule::Unknown),
        ("InstanceType", json!("x"), Rule::Unknown),
        ("model", json!(7), Rule::Type),
        ("egressPublicNetworkAccess", json!("Nope"), Rule::EnumOpen),
        ("egressPublicNetworkAccess", json!("enabled"), Rule::EnumCase),
    ] {
        let found = judge(&|b| properties(b, name, value.clone()));
        assert_eq!(found, at(rule, &format!("/properties/{name}")), "{value}");
    }
    assert_eq!(judge(&|b| b["sku"]["capacity"] = json!("1")), at(Rule::Type, "/sku/capacity"));
    assert_eq!(judge(&|b| b["sku"]["tier"] = json!("Gold")), at(Rule::Enum, "/sku/tier"));
    assert_eq!(judge(&|b| b["name"] = json!("x")), at(Rule::ReadOnly, "/name"));
    assert!(schemas.judge("Microsoft.Nothing/x@2026-05-01", &good).is_err());
    assert!(Schemas::open(material.join("nothing")).is_err());
}

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";

fn place() -> Place {
    Place::from(&Workspace::new(SUBSCRIPTION, "rg", "wsp").unwrap())
}

/// An asset's id as the minimal bodies spell it.
fn id(rest: &str) -> String {
    format!(
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws/{rest}"
    )
}

/// A call, the type by which its body is judged (none for changes and actions, which [`bodies`] judges), and the minimal body it must
/// equal.
struct Built {
    call: Call<Value>,
    kind: Option<&'static str>,
    minimal: Option<&'static str>,
}

fn put<P: Properties + DeserializeOwned>(
    at: &mlops_azure::wire::At<Resource<P>>,
    resource: &Resource<P>,
    kind: &'static str,
    minimal: Option<&'static str>,
) -> Built {
    Built { call: at.put("test", resource).unwrap().answering(), kind: Some(kind), minimal }
}

fn action(call: Call<Value>, minimal: &'static str) -> Built {
    Built { call, kind: None, minimal: Some(minimal) }
}

fn text(pairs: &[(&str, &str)]) -> TextMap {
    pairs.iter().copied().collect()
}

fn assets() -> Vec<Built> {
    let place = place();
    let mut model =
        ModelVersion::new(ModelType::MlFlow, "azureml://jobs/{job}/outputs/artifacts/paths/model/")
            .with_tags(text(&[("git_commit", "sha")]))
            .with_properties(TextMap::default());
    (model.job_name, model.stage) = (Some("job".to_owned()), Some("Staging".to_owned()));
    let flavor = Flavor { data: text(&[("loader_module", "mlflow.sklearn")]), ..Flavor::default() };
    model.flavors = Some(BTreeMap::from([("python_function".to_owned(), flavor)]));
    let mut data = DataVersion::new(DataType::MlTable, "azureml://datastores/d/paths/t/")
        .with_description("a table")
        .with_tags(text(&[("a", "b")]))
        .with_properties(text(&[("mlops.digest", "sha256:00")]));
    data.referenced_uris = Some(vec!["azureml://datastores/d/paths/t/a.csv".into()]);
    (data.is_anonymous, data.is_archived) = (Some(false), Some(true));
    let folder = DataVersion::new(DataType::UriFolder, "azureml://datastores/workspaceblobstore/paths/x/");
    let code = CodeVersion::new("https://sa.blob.core.windows.net/c/LocalUpload/x/src", "ab");
    let image = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04";
    let conda = EnvironmentVersion::conda(image, "name: x\ndependencies: [python=3.10]\n");
    let build = EnvironmentVersion::build("https://sa.blob.core.windows.net/c/ctx/", "Dockerfile");
    let container =
        Container { description: Some("d".into()), tags: Some(text(&[])), ..Container::default() };
    let (data_at, model_at) = (place.data("n", "1").unwrap(), place.model("n", "1").unwrap());
    let environment_at = place.environment("n", "1").unwrap();
    vec![
        put(&data_at, &Resource::new(folder), "data/versions", Some("data_version")),
        put(&data_at, &Resource::new(data), "data/versions", None),
        put(
            &data_at,
            &Resource::new(DataVersion::new(DataType::UriFile, "https://h/x")),
            "data/versions",
            None,
        ),
        put(
            &place.container("data", "n").unwrap(),
            &Resource::new(Container { data_type: Some(DataType::UriFile), ..container.clone() }),
            "data",
            None,
        ),
        put(&place.container("models", "n").unwrap(), &Resource::new(container), "models", None),
        put(&model_at, &Resource::new(model), "models/versions", Some("model_version")),
        put(
            &model_at,
            &Resource::new(ModelVersion::new(ModelType::Custom, "azureml://x")),
            "models/versions",
            None,
        ),
        put(&place.code("n", "1").unwrap(), &Resource::new(code), "codes/versions", Some("code_version")),
        put(&environment_at, &Resource::new(conda), "environments/versions", Some("environment_conda")),
        put(&environment_at, &Resource::new(build), "environments/versions", Some("environment_build")),
        put(&environment_at, &Resource::new(EnvironmentVersion::image(image)), "environments/versions", None),
        action(
            model_at.act("test", "publish").unwrap().json(&Publish::new("reg", "m", "1")).unwrap(),
            "model_publish_to_registry",
        ),
    ]
}

fn datastores() -> Vec<Built> {
    let at = place().datastore("store").unwrap();
    let blob = Datastore::blob("sa", "ctr")
        .with_endpoint("core.windows.net")
        .with_service_identity(ServiceIdentity::WorkspaceSystem);
    let principal = Credentials::ServicePrincipal {
        client_id: SUBSCRIPTION.to_owned(),
        tenant_id: SUBSCRIPTION.to_owned(),
        secret: Some(Secret::new("x")),
        other: Default::default(),
    };
    let mut lake = Datastore::data_lake("sa", "fs1").with_credentials(principal);
    lake.protocol = None;
    let with = |credentials| Resource::new(Datastore::blob("sa", "ctr").with_credentials(credentials));
    vec![
        put(&at, &Resource::new(blob), "datastores", Some("datastore_blob_identity")),
        put(&at, &Resource::new(lake), "datastores", Some("datastore_adls_sp")),
        put(&at, &with(Credentials::AccountKey(Some(Secret::new("k")))), "datastores", None),
        put(&at, &with(Credentials::Sas(Some(Secret::new("sv=1")))), "datastores", None),
        put(&at, &with(Credentials::Sas(None)), "datastores", None),
        action(
            at.ask("test", "listSecrets")
                .unwrap()
                .json(&ListSecrets { expirable_secret: true, expire_after_hours: 1 })
                .unwrap(),
            "datastore_list_secrets",
        ),
    ]
}

fn endpoints() -> Vec<Built> {
    let at = place().online_endpoint("churn").unwrap();
    let mut plain = OnlineEndpoint::new(AuthMode::AadToken);
    plain.public_network_access = Some(Switch::Enabled);
    let mut shared = OnlineEndpoint::new(AuthMode::AadToken);
    shared.share(Traffic::new([("blue", 90), ("green", 10)]).unwrap(), Traffic::default()).unwrap();
    let mut mirrored = OnlineEndpoint::new(AuthMode::Key);
    mirrored.share(Traffic::new([("blue", 100)]).unwrap(), Traffic::mirror("green", 50).unwrap()).unwrap();
    mirrored.description = Some("d".into());
    let kind = "onlineEndpoints";
    let east = |endpoint| Resource::new(endpoint).with_location("eastus").with_identity(Identity::system());
    vec![
        put(&at, &east(plain), kind, Some("online_endpoint")),
        put(&at, &east(shared).with_tags(TextMap::default()), kind, Some("online_endpoint_traffic")),
        put(&at, &east(mirrored).with_identity(Identity::user([id("x")])), kind, None),
        Built {
            call: at.patch("test", &json!({ "tags": text(&[("k", "v")]) })).unwrap().answering(),
            kind: None,
            minimal: Some("online_endpoint_patch"),
        },
    ]
}

fn deployments() -> Vec<Built> {
    let at = place().online_deployment("churn", "blue").unwrap();
    let requests = RequestSettings {
        max_concurrent_requests_per_instance: Some(1),
        max_queue_wait: Some(Duration::from_millis(500).into()),
        request_timeout: Some(Duration::from_secs(5).into()),
        ..RequestSettings::default()
    };
    let mut full = OnlineDeployment::managed(id("models/m/versions/1"), "Standard_DS3_v2")
        .with_code(id("environments/e/versions/1"), id("codes/g/versions/1"), "score.py")
        .with_requests(requests)
        .with_collector(DataCollector::of(["model_inputs", "model_outputs"], 1.0));
    full.app_insights_enabled = Some(true);
    let mut probed =
        OnlineDeployment::managed("azureml://registries/r/models/m/versions/1", "Standard_DS3_v2");
    let probe = mlops_azure::wire::deployment::ProbeSettings {
        failure_threshold: Some(30),
        success_threshold: Some(1),
        initial_delay: Some(Duration::from_secs(10).into()),
        period: Some(Duration::from_secs(10).into()),
        timeout: Some(Duration::from_secs(2).into()),
        ..Default::default()
    };
    probed.liveness_probe = Some(probe.clone());
    probed.readiness_probe = Some(probe.clone());
    probed.startup_probe = Some(probe);
    probed.egress_public_network_access = Some(Switch::Disabled);
    probed.environment_variables = Some(text(&[("A", "1")]));
    let kind = "onlineEndpoints/deployments";
    let east = |deployment| Resource::new(deployment).with_location("eastus").with_sku(Sku::instances(1));
    let logs = GetLogs { container_type: ContainerType::InferenceServer, tail: 100 };
    vec![
        put(&at, &east(full), kind, Some("online_deployment")),
        put(&at, &east(probed), kind, None),
        Built {
            call: at.patch("test", &json!({ "sku": Sku::instances(3) })).unwrap().answering(),
            kind: None,
            minimal: Some("online_deployment_scale_patch"),
        },
        action(at.ask("test", "getLogs").unwrap().json(&logs).unwrap(), "online_get_logs"),
    ]
}

fn jobs() -> Vec<Built> {
    let at = place().job("job-1").unwrap();
    let command = "python train.py --lr ${{inputs.lr}} --d ${{inputs.d}} --o ${{outputs.o}}";
    let data =
        JobInput::data(ValueType::UriFolder, id("data/d/versions/1")).with_mode(InputMode::ReadOnlyMount);
    let plain = CommandJob::new(command, id("environments/e/versions/1"))
        .with_code(id("codes/g/versions/1"))
        .on(id("computes/cpu"))
        .in_experiment("ex")
        .with_input("lr", JobInput::literal(0.1))
        .with_input("d", data)
        .with_output("o", JobOutput::mounted(ValueType::UriFolder))
        .with_instances(1)
        .with_timeout(Duration::from_secs(3600));
    let mut spread = CommandJob::new("python t.py", "azureml:e:1")
        .on(id("computes/gpu"))
        .with_distribution(Distribution::pytorch(4))
        .with_tier(JobTier::Spot);
    let shm_size = Some("16g".to_owned());
    spread.resources = Some(JobResources { instance_count: Some(2), shm_size, ..JobResources::default() });
    let other = |distribution| {
        let mut job =
            CommandJob::new("x", "e").with_distribution(distribution).with_tags(text(&[("a", "b")]));
        job.environment_variables = Some(text(&[("A", "1")]));
        let identity = mlops_azure::wire::job::command::JobIdentityType::UserIdentity;
        job.identity = Some(mlops_azure::wire::job::command::JobIdentity::new(identity));
        Resource::new(Job::from(job))
    };
    vec![
        put(&at, &Resource::new(Job::from(plain)), "jobs", Some("job_command")),
        put(&at, &Resource::new(Job::from(spread)), "jobs", Some("job_command_ddp")),
        put(&at, &other(Distribution::mpi(2)), "jobs", None),
        put(&at, &other(Distribution::tensorflow(2, 1)), "jobs", None),
    ]
}

fn sweeps() -> Vec<Built> {
    let at = place().job("sweep-1").unwrap();
    let sweep = |algorithm, policy: Option<EarlyTermination>| {
        let mut trial = Trial::new(
            "python t.py --lr ${{search_space.lr}} --n ${{search_space.n}}",
            id("environments/e/versions/1"),
        );
        trial.code_id = Some(id("codes/g/versions/1"));
        let (hours, minutes) = (Duration::from_secs(7200), Duration::from_secs(1200));
        let mut job = SweepJob::new(trial, "auc", Goal::Maximize, algorithm)
            .over("lr", ParameterValues::uniform(0.001, 0.1))
            .over("n", ParameterValues::choice([16, 32]))
            .with_limits(SweepLimits::trials(20, 4).within(hours, minutes))
            .on(id("computes/cpu"));
        job.early_termination = policy;
        Resource::new(Job::from(job))
    };
    let bandit =
        EarlyTermination { slack_factor: Some(0.1), ..EarlyTermination::new(PolicyType::Bandit, 1, 5) };
    let truncation = EarlyTermination {
        truncation_percentage: Some(20),
        ..EarlyTermination::new(PolicyType::TruncationSelection, 1, 5)
    };
    let median = EarlyTermination::new(PolicyType::MedianStopping, 1, 5);
    let of = SamplingAlgorithm::new;
    [
        (sweep(SamplingAlgorithm::sobol(1), Some(bandit)), "job_sweep_random_bandit"),
        (sweep(of(SamplingType::Random), Some(truncation)), "job_sweep_random_truncation"),
        (sweep(of(SamplingType::Grid), Some(median)), "job_sweep_grid_median"),
        (sweep(of(SamplingType::Bayesian), None), "job_sweep_bayesian_none"),
    ]
    .map(|(job, minimal)| put(&at, &job, "jobs", Some(minimal)))
    .into()
}

fn computes() -> Vec<Built> {
    let at = place().compute("cpu").unwrap();
    let cluster = ClusterProperties {
        vm_size: Some("STANDARD_DS3_V2".to_owned()),
        vm_priority: Some(VmPriority::LowPriority),
        os_type: Some("Linux".to_owned()),
        scale_settings: Some(ScaleSettings::up_to(4, Duration::from_secs(120))),
        remote_login_port_public_access: Some("NotSpecified".to_owned()),
        ..ClusterProperties::default()
    };
    let mut cluster = Compute::cluster(&cluster).unwrap();
    cluster.disable_local_auth = Some(true);
    let schedules = InstanceSchedules {
        compute_start_stop: vec![StartStop::stop("0 18 * * *", "UTC")],
        ..InstanceSchedules::default()
    };
    let instance = InstanceProperties {
        vm_size: Some("STANDARD_DS3_V2".to_owned()),
        idle_time_before_shutdown: Some(Duration::from_secs(1800).into()),
        ssh_settings: Some(json!({ "sshPublicAccess": "Disabled" }).into()),
        schedules: Some(schedules),
        ..InstanceProperties::default()
    };
    let instance = Compute::instance(&instance).unwrap();
    let scale = ScalePatch::new(ScaleSettings::up_to(8, Duration::from_secs(120)));
    let east = |compute| Resource::new(compute).with_location("eastus");
    vec![
        put(&at, &east(cluster), "computes", Some("compute_cluster")),
        put(&at, &east(instance), "computes", Some("compute_instance")),
        Built {
            call: at.patch("test", &scale).unwrap().answering(),
            kind: None,
            minimal: Some("compute_patch_scale"),
        },
    ]
}

fn batches() -> Vec<Built> {
    let (endpoint_at, at) =
        (place().batch_endpoint("nightly").unwrap(), place().batch_deployment("nightly", "b1").unwrap());
    let endpoint = Resource::new(BatchEndpoint::new().with_default("b1")).with_location("eastus");
    let deployment = BatchDeployment {
        resources: Some(JobResources { instance_count: Some(1), ..JobResources::default() }),
        mini_batch_size: Some(10),
        max_concurrency_per_instance: Some(2),
        error_threshold: Some(-1),
        output_action: Some(OutputAction::AppendRow),
        output_file_name: Some("p.csv".to_owned()),
        retry_settings: Some(BatchRetry {
            max_retries: Some(3),
            timeout: Some(Duration::from_secs(30).into()),
            ..BatchRetry::default()
        }),
        logging_level: Some("Info".to_owned()),
        ..BatchDeployment::new(id("models/m/versions/1"), id("computes/cpu")).with_code(
            id("environments/e/versions/1"),
            id("codes/g/versions/1"),
            "batch.py",
        )
    };
    let deployment = Resource::new(deployment).with_location("eastus");
    vec![
        put(&endpoint_at, &endpoint, "batchEndpoints", Some("batch_endpoint")),
        put(&at, &deployment, "batchEndpoints/deployments", Some("batch_deployment")),
    ]
}

fn everything() -> Vec<Built> {
    [
        asset::built(),
        assets(),
        batches(),
        computes(),
        datastores(),
        deploy::built(),
        deployments(),
        endpoints(),
        jobs(),
        jobs::built(),
        monitor::built(),
        storage::built(),
        sweeps(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The whole name of a type: a short one is of a workspace of Azure Machine Learning.
fn full_name(kind: &str) -> String {
    if kind.contains('@') {
        kind.to_owned()
    } else {
        format!("Microsoft.MachineLearningServices/workspaces/{kind}@2026-05-01")
    }
}

#[test]
fn azure_would_take_every_body() {
    let Some(material) = material() else { return };
    let schemas = Schemas::open(material.join("types")).unwrap();
    let (mut judged, mut compared) = (0, 0);
    for Built { call, kind, minimal } in everything() {
        let body: Value = serde_json::from_slice(call.body().unwrap()).unwrap();
        if let Some(kind) = kind {
            let kind = full_name(kind);
            let report = schemas.judge(&kind, &body).unwrap();
            assert_eq!((report.errors, report.warnings), (vec![], vec![]), "{kind}: {body:#}");
            judged += 1;
        }
        if let Some(minimal) = minimal {
            let expected = read(&material.join(format!("minimal/{minimal}.json")));
            compare(minimal, &call, &body, &expected);
            compared += 1;
        }
    }
    println!("{judged} bodies judged, {compared} compared with minimal ones");
}

/// A minimal request has the same method, the same path but for names, and the same body.
fn compare(name: &str, call: &Call<Value>, body: &Value, expected: &Value) {
    let mut wanted = expected["body"].clone();
    // What is `null` is what is not there.
    forgive(&mut wanted);
    assert_eq!(body, &wanted, "{name}");
    assert_eq!(call.method().as_str(), expected["method"], "{name}");
    let shape = |url: &str| {
        let url = url.replace("{scope}", "subscriptions/{sub}/resourceGroups/{rg}");
        let path = url.split('?').next().unwrap_or_default().to_owned();
        // Every other segment is a word that Azure chose.
        let words: Vec<String> = path.split('/').skip(1).step_by(2).map(str::to_lowercase).collect();
        words
    };
    assert_eq!(shape(&call.target()), shape(expected["url"].as_str().unwrap()), "{name}");
    let (_, version) = expected["url"].as_str().unwrap().split_once("api-version=").unwrap();
    assert!(call.target().ends_with(&format!("?api-version={version}")), "{name}");
}

/// Members that the SDK sends and that say nothing: `false`, empty maps, and what is the default.
fn without_defaults(value: &mut Value) {
    if let Some(members) = value.as_object_mut() {
        members.retain(|name, member| {
            without_defaults(member);
            let is_empty = member.is_null() || member.as_object().is_some_and(|m| m.is_empty());
            let is_off = matches!(name.as_str(), "isAnonymous" | "isArchived") && *member == json!(false);
            !is_empty && !is_off
        });
    }
}

/// What the official SDK sent is what ours sends after it was read by our types: nothing is lost, renamed or retyped.
#[test]
fn recorded_bodies_pass_through_our_types_unchanged() {
    let Some(material) = material() else { return };
    let schemas = Schemas::open(material.join("types")).unwrap();
    let mut seen = BTreeMap::new();
    for file in ["azure-ai-ml-1.35.2-main", "azure-ai-ml-1.35.2-monitors-registries"] {
        for exchange in read(&material.join(format!("recorded/{file}.json"))).as_array().unwrap() {
            let (url, body) = (exchange["url"].as_str().unwrap(), &exchange["body"]);
            let Some((_, path)) = url.split_once("/workspaces/ws/").filter(|_| exchange["method"] == "PUT")
            else {
                continue;
            };
            if !body.is_object() {
                continue;
            }
            let path = path.split('?').next().unwrap_or_default();
            let words: Vec<_> = path.split('/').step_by(2).collect();
            let kind = words.join("/");
            let Some(Passed { body: ours, .. }) = pass(&kind, body) else { continue };
            let (mut ours_bare, mut theirs) = (ours.clone(), body.clone());
            without_defaults(&mut ours_bare);
            without_defaults(&mut theirs);
            // The schema allows texts alone in a map of properties; the SDK sends a number.
            if let Some(version) = theirs.pointer_mut("/properties/properties/hash_version") {
                *version = json!("202208");
            }
            // The SDK spells some values otherwise than the schema does.
            for place in
                ["/properties/objective/goal", "/properties/authMode", "/properties/trigger/frequency"]
            {
                let schema = ours_bare.pointer(place).and_then(Value::as_str).map(str::to_owned);
                if let (Some(schema), Some(spelt)) = (schema, theirs.pointer_mut(place)) {
                    assert!(spelt.as_str().unwrap().eq_ignore_ascii_case(&schema), "{path}: {spelt}");
                    *spelt = schema.into();
                }
            }
            assert_eq!(ours_bare, theirs, "{path}");
            let full = format!("Microsoft.MachineLearningServices/workspaces/{kind}@2026-05-01");
            if schemas.judge(&full, body).unwrap().errors.is_empty() {
                assert_eq!(schemas.judge(&full, &ours).unwrap().errors, [], "{path}");
            }
            *seen.entry(kind).or_insert(0) += 1;
        }
    }
    println!("recorded bodies: {seen:?}");
    for kind in [
        "data/versions",
        "models/versions",
        "codes/versions",
        "environments/versions",
        "datastores",
        "components/versions",
        "jobs",
        "schedules",
        "computes",
        "batchEndpoints",
        "batchEndpoints/deployments",
        "onlineEndpoints",
        "onlineEndpoints/deployments",
    ] {
        assert!(seen.contains_key(kind), "no recorded body of {kind}");
    }
}

/// What became of a body that was read by the type of its kind.
struct Passed {
    /// As it is written back.
    body: Value,
    /// As it is shown.
    debug: String,
}

fn through<P: Properties + DeserializeOwned + std::fmt::Debug>(body: &Value) -> Result<Passed, String> {
    let resource: Resource<P> = serde_json::from_value(body.clone()).map_err(|e| e.to_string())?;
    let body = resource.body().map_err(|e| e.to_string())?;
    Ok(Passed { body, debug: format!("{resource:?} {resource:#?}") })
}

/// A body through the type of its kind; `None` for kinds without one.
fn pass(kind: &str, body: &Value) -> Option<Passed> {
    try_pass(kind, body).map(|passed| passed.unwrap_or_else(|e| panic!("{e}: {body:#}")))
}

/// The same with an error for a body that the type does not read.
fn try_pass(kind: &str, body: &Value) -> Option<Result<Passed, String>> {
    Some(match kind {
        "data/versions" => through::<DataVersion>(body),
        "data" | "models" | "environments" | "codes" => through::<Container>(body),
        "models/versions" => through::<ModelVersion>(body),
        "codes/versions" => through::<CodeVersion>(body),
        "environments/versions" => through::<EnvironmentVersion>(body),
        "datastores" => through::<Datastore>(body),
        "components/versions" => through::<ComponentVersion>(body),
        "jobs" => through::<Job>(body),
        "schedules" => through::<Schedule>(body),
        "computes" => through::<Compute>(body),
        "batchEndpoints" => through::<BatchEndpoint>(body),
        "batchEndpoints/deployments" => through::<BatchDeployment>(body),
        "onlineEndpoints" => through::<OnlineEndpoint>(body),
        "onlineEndpoints/deployments" => through::<OnlineDeployment>(body),
        _ => return None,
    })
}

/// A kind as this crate's tests spell it.
fn spelt(kind: &str) -> &str {
    match kind.to_ascii_lowercase().as_str() {
        "batchendpoints" => "batchEndpoints",
        "batchendpoints/deployments" => "batchEndpoints/deployments",
        "onlineendpoints" => "onlineEndpoints",
        "onlineendpoints/deployments" => "onlineEndpoints/deployments",
        _ => kind,
    }
}

/// Every official example of our kinds is read, and written back as it was.
#[test]
fn official_examples_are_read_and_written_back() {
    let Some(material) = material() else { return };
    let mut count = 0;
    for (name, example) in files(&material.join("examples")) {
        let Some(kind) = example["resourceType"].as_str() else { continue };
        let Some(kind) = kind.strip_prefix("Microsoft.MachineLearningServices/workspaces/") else { continue };
        let kind = spelt(kind);
        let Some(Passed { body: ours, .. }) = pass(kind, &example["body"]) else { continue };
        let mut theirs = example["body"].clone();
        forgive(&mut theirs);
        assert_eq!(ours, theirs, "{name}");
        count += 1;
    }
    println!("{count} examples");
    assert!(count >= 18, "{count}");
}

/// What our types leave out on purpose: members that are `null`.
fn forgive(value: &mut Value) {
    match value {
        Value::Object(members) => members.retain(|_, member| {
            forgive(member);
            !member.is_null()
        }),
        Value::Array(items) => items.iter_mut().for_each(forgive),
        _ => {}
    }
}

/// Answers in the official pairs: read, with what the service alone writes, and written back without it and without loss.
#[test]
fn answers_are_read_and_lose_nothing_when_written_back() {
    let Some(material) = material() else { return };
    let schemas = Schemas::open(material.join("types")).unwrap();
    let mut count = 0;
    for (name, pair) in files(&material.join("examples/pairs")) {
        let kind = pair["resourceType"].as_str().unwrap_or_default();
        let Some(kind) = kind.strip_prefix("Microsoft.MachineLearningServices/workspaces/") else { continue };
        for (status, answer) in pair["responses"].as_object().unwrap() {
            let body = &answer["body"];
            let Some(Passed { body: ours, .. }) =
                Some(body).filter(|body| body.is_object()).and_then(|body| pass(kind, body))
            else {
                continue;
            };
            // What is written back is what a write may hold, and everything of it.
            let full = format!("Microsoft.MachineLearningServices/workspaces/{kind}@2026-05-01");
            let report = schemas.judge(&full, &ours).unwrap();
            let forbidden: Vec<_> =
                report.errors.iter().filter(|error| error.rule == Rule::ReadOnly).collect();
            assert!(forbidden.is_empty(), "{name} {status}: {forbidden:?}");
            for (member, value) in body["properties"].as_object().unwrap() {
                let kept = ours["properties"].get(member);
                let is_read_only =
                    ["provisioningState", "scoringUri", "swaggerUri", "status"].contains(&member.as_str());
                assert!(is_read_only != kept.is_some() || value.is_null(), "{name} {status} {member}");
            }
            count += 1;
        }
    }
    assert!(count >= 4, "{count}");
}

#[test]
fn a_change_keeps_what_nobody_here_knows() {
    let read = json!({
        "id": "/subscriptions/s", "name": "churn", "type": "T", "location": "eastus", "kind": "Managed", "new": { "a": 1 },
        "identity": { "type": "SystemAssigned", "principalId": "p", "tenantId": "t", "new": 2 },
        "systemData": { "createdBy": "x", "createdAt": "2026-01-01T00:00:00Z" },
        "properties": {
            "authMode": "aadtoken", "traffic": { "blue": 100 }, "mirrorTraffic": { "green": 10 },
            "provisioningState": "Succeeded", "scoringUri": "https://h/score", "swaggerUri": "https://h/s",
            "publicNetworkAccess": "SecuredByPerimeter", "new": [1, { "b": null }],
        },
    });
    let mut endpoint: Resource<OnlineEndpoint> = serde_json::from_value(read).unwrap();
    assert_eq!(endpoint.properties.auth_mode, AuthMode::AadToken);
    assert_eq!(endpoint.properties.provisioning_state, Some(ProvisioningState::Succeeded));
    let mirror = endpoint.properties.mirror_traffic.clone().unwrap();
    endpoint.properties.share(Traffic::new([("blue", 90), ("red", 10)]).unwrap(), mirror).unwrap();
    let expected = json!({
        "location": "eastus", "kind": "Managed", "new": { "a": 1 }, "identity": { "type": "SystemAssigned", "new": 2 },
        "properties": {
            "authMode": "AADToken", "traffic": { "blue": 90, "red": 10 }, "mirrorTraffic": { "green": 10 },
            "publicNetworkAccess": "SecuredByPerimeter", "new": [1, { "b": null }],
        },
    });
    assert_eq!(endpoint.body().unwrap(), expected);
}

#[test]
fn jobs_of_every_type_are_read_and_their_state_with_them() {
    let job = |text: &str| serde_json::from_str::<Resource<Job>>(text).unwrap().properties;
    let spark = job(r#"{"properties":{"jobType":"Spark","status":"running","entry":{"file":"x"}}}"#);
    assert_eq!((spark.job_type(), spark.status()), ("Spark", Some(JobStatus::Running)));
    let text = r#"{"properties":{"jobType":"Sweep","status":"Completed","trial":{"command":"x","environmentId":"e"},
        "objective":{"primaryMetric":"auc","goal":"maximize"},"samplingAlgorithm":{"samplingAlgorithmType":"random"},
        "searchSpace":{"lr":["uniform",[0,1]]},"new":1}}"#;
    let sweep = job(text);
    assert_eq!((sweep.job_type(), sweep.status()), ("Sweep", Some(JobStatus::Completed)));
    let body = Resource::new(sweep).body().unwrap();
    assert_eq!(
        (&body["properties"]["objective"]["goal"], &body["properties"]["new"]),
        (&json!("Maximize"), &json!(1))
    );
    let command = job(
        r#"{"properties":{"jobType":"command","command":"x","environmentId":"e","status":"Hibernating","services":{"a":{}}}}"#,
    );
    assert_eq!(command.status(), Some(JobStatus::Other("Hibernating".to_owned())));
    let body = Resource::new(command).body().unwrap();
    assert_eq!(
        body["properties"],
        json!({ "jobType": "Command", "command": "x", "environmentId": "e", "services": { "a": {} } })
    );
}

#[test]
fn keys_and_lists_are_asked_for_as_azure_says() {
    let endpoint = place().online_endpoint("churn").unwrap();
    let keys = RegenerateKeys { key_type: KeyType::Secondary };
    let call = endpoint.act::<Value>("test", "regenerateKeys").unwrap().json(&keys).unwrap();
    assert_eq!(call.body().map(|body| &body[..]), Some(&br#"{"keyType":"Secondary"}"#[..]));
    for (target, expected) in [
        (endpoint.list("test").unwrap().target(), "/onlineEndpoints?api-version=2026-05-01"),
        (
            place().data("churn", "1").unwrap().list("test").unwrap().query("$top", "1").target(),
            "/data/churn/versions?api-version=2026-05-01&$top=1",
        ),
        (endpoint.delete("test").target(), "/onlineEndpoints/churn?api-version=2026-05-01"),
    ] {
        assert!(target.ends_with(expected), "{target}");
    }
    for (endpoint, deployment) in
        [("ch", "blue"), ("churn", "b"), ("churn/..", "blue"), ("churn", "-blue"), ("churn", "é-é")]
    {
        let error = place().online_deployment(endpoint, deployment).unwrap_err();
        assert!(matches!(error.context("field"), Some("endpoint" | "deployment")), "{error}");
    }
    assert!(place().datastore("my-store").is_err() && place().job("a b").is_err());
    assert!(endpoint.act::<Value>("test", "../x").is_err());
}
