//! Phase 6 on Azure: blue/green behind a managed online endpoint, a canary that is promoted, and one that is rolled back, by core's
//! rollout machine.
//!
//! `cargo run -p mlops-examples --example azure_deploy` runs against Azure in memory. With `-- --azure` it runs on the workspace of
//! the environment or of `config.json`, as whoever the environment says, or is logged in to `az`; the versions 1 to 3 of the model
//! `risk` must be there, as MLflow models that take `age`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mlops_azure::deploy::{AzureDeployer, DeploymentTemplate};
use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::data::{Column, DataType, Table};
use mlops_core::deploy::rollout::judge::{Count, Observations, Proportions};
use mlops_core::deploy::{rollout::*, *};
use mlops_core::memory::{MemoryArtifactStore, MemoryModelRegistry};
use mlops_core::model::{Feature, ModelFormat, Predictions, Predictor, Signature};
use mlops_core::problem::Task;
use mlops_core::registry::{ModelRegistry as _, NewModelVersion};
use mlops_core::time::{Clock as _, ManualClock, SystemClock};
use mlops_core::{Error, ErrorKind, IdempotencyKey, Percent};
use mlops_examples::azure::Azure;
use mlops_examples::narrate::{say, step};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The risk of a caller by age; version 3 has no answer for the oldest.
#[derive(Debug)]
struct Risk {
    signature: Signature,
    version: u64,
}

impl Predictor for Risk {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn predict(&self, rows: &Table<'_>) -> mlops_core::Result<Predictions> {
        let ages = rows.column("age")?.to_f64()?;
        if self.version == 3 && ages.iter().any(|age| *age >= 74.0) {
            return Err(Error::new(ErrorKind::Storage, "predict", "no tree for this age"));
        }
        Predictions::probability(ages.iter().map(|age| (age / 100.0).clamp(0.0, 1.0)).collect())
    }
}

fn signature() -> Signature {
    Signature::new(Task::BinaryClassification, vec![Feature::required("age", DataType::F64)])
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let azure = Azure::from_args()?;
    let store = Arc::new(MemoryArtifactStore::default());
    let registry = Arc::new(MemoryModelRegistry::new(store.clone(), Arc::new(SystemClock::new())));
    for version in 1..=3 {
        let artifact = store.put_bytes(format!("risk {version}")).await?.digest;
        let format = ModelFormat::new("mlflow.pyfunc/v1")?;
        registry
            .register(&NewModelVersion::new(
                "risk".parse()?,
                artifact,
                format,
                signature(),
                "trainer".parse()?,
            ))
            .await?;
    }
    lend_models(&azure)?;
    let template = DeploymentTemplate::new("Standard_DS3_v2");
    let builder = AzureDeployer::builder(azure.arm.clone(), &azure.workspace, registry, template);
    let deployer = Arc::new(builder.transport(azure.transport.clone()).sole_writer().build()?);

    step(1, "An endpoint with blue, which gets all traffic");
    deployer.ensure_endpoint(&EndpointSpec::new("risk".parse()?, "release".parse()?)).await?;
    deploy(&deployer, "blue", 1).await?;
    let before = deployer.endpoint(&"risk".parse()?).await?;
    let (key, split) = (IdempotencyKey::generate(), TrafficSplit::all_to("blue".parse()?));
    let (endpoint, expected) = ("risk".parse()?, Some(before.revision));
    deployer
        .set_traffic(
            &TrafficChange::new(endpoint, split, "release".parse()?).with_key(key).expecting(expected),
        )
        .await?;

    step(2, "Green beside it, without traffic; then a canary");
    deploy(&deployer, "green", 2).await?;
    let promoted = roll_out(&deployer, ["blue", "green"]).await?;
    say(if promoted { "green has all traffic" } else { "green is back at nothing" });

    step(3, "Blue is not asked any more, and goes");
    deployer.delete_deployment(&"risk".parse()?, &"blue".parse()?).await?;

    step(4, "Red, which fails for one caller in ten, in the same way");
    deploy(&deployer, "red", 3).await?;
    let promoted = roll_out(&deployer, ["green", "red"]).await?;
    say(if promoted { "red has all traffic" } else { "red is back at nothing" });
    say(deployer.endpoint(&"risk".parse()?).await?.traffic);
    Ok(())
}

/// In memory, deployments answer with models of this process; in Azure the models are there.
fn lend_models(azure: &Azure) -> Result<()> {
    let Some(fake) = azure.in_memory() else { return Ok(()) };
    for version in 1..=3 {
        let id = azure.place().model("risk", &version.to_string())?;
        fake.set_resource(id.id(), serde_json::json!({ "properties": { "modelType": "mlflow_model" } }));
        azure.lend("risk", &version.to_string(), Arc::new(Risk { signature: signature(), version }))?;
    }
    Ok(())
}

async fn deploy(deployer: &AzureDeployer, name: &str, version: u64) -> Result<()> {
    let version = mlops_core::Version::new(version).ok_or("a version is above 0")?;
    let (endpoint, model, actor) = ("risk".parse()?, "risk".parse()?, "release".parse()?);
    let spec = DeploymentSpec::new(endpoint, name.parse()?, model, version, actor);
    let made = deployer.deploy(&spec).await?;
    say(format!("{name} is version {version} of {}", made.spec.model));
    Ok(())
}

/// Failures and requests, by deployment.
type Seen = BTreeMap<String, (u64, u64)>;

/// Azure tells its counts some minutes late, so here callers say what they met, and a guard judges that: the example has no minutes to
/// wait. Where a step bakes for longer, `AzureMetrics` is the source that guards query, and nobody reports.
async fn roll_out(deployer: &Arc<AzureDeployer>, names: [&str; 2]) -> Result<bool> {
    let clock = ManualClock::at("2026-03-02T08:00:00Z".parse()?);
    let guard = MetricGuard::new("failures", Proportions::new(0.01)).with_min_samples(30);
    let options = RolloutOptions::default()
        .with_steps([20, 50, 100].into_iter().filter_map(Percent::new))
        .with_bake(Duration::from_secs(120))
        .with_patience(Duration::ZERO)
        .on_no_data(ThinData::Continue)
        .with_metric(guard.on_inconclusive(ThinData::Continue));
    let [stable, candidate] = names;
    let (endpoint, actor) = ("risk".parse()?, "release".parse()?);
    let plan = RolloutPlan::canary(endpoint, stable.parse()?, candidate.parse()?, actor, options)?;
    let smoke_test = SmokeTest::new(Table::new(vec![Column::f64("age", vec![50.0])?])?)?;
    let mut rollout = RolloutDriver::new(plan, smoke_test, deployer.clone(), Arc::new(VecJournal::default()));
    let (mut seen, mut epoch) = (Seen::new(), 0);
    loop {
        let status = rollout.advance(clock.now()).await?;
        say(&status);
        if status.is_terminal() {
            return Ok(status.is_promoted());
        }
        if rollout.state().epoch != epoch {
            (seen, epoch) = (Seen::new(), rollout.state().epoch);
        }
        for caller in 0..200_u32 {
            call(deployer, f64::from(20 + caller % 60), &mut seen).await?;
        }
        let count = |name: &str| {
            let (failures, requests) = seen.get(name).copied().unwrap_or_default();
            Count::new(failures, requests)
        };
        let observed = Observations::Counts { candidate: count(candidate)?, stable: count(stable)? };
        rollout.report_observations("failures", observed);
        clock.advance(Duration::from_secs(60));
    }
}

/// One caller, who remembers whom they met; the error of an endpoint says so too.
async fn call(deployer: &AzureDeployer, age: f64, seen: &mut Seen) -> Result<()> {
    let rows = Table::new(vec![Column::f64("age", vec![age])?])?;
    let request = InvokeRequest::new("risk".parse()?, &rows);
    let (who, failed) = match deployer.invoke(&request).await {
        Ok(answer) => (answer.deployment.to_string(), 0),
        Err(error) => match error.context("deployment") {
            Some(name) => (name.to_owned(), 1),
            None => return Err(error.into()),
        },
    };
    let (failures, requests) = seen.entry(who).or_default();
    (*failures, *requests) = (*failures + failed, *requests + 1);
    Ok(())
}
