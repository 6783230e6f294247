//! Phase 6: first a shadow, then a canary, both judged by a sequential test, which may be looked at every minute and keeps its level all
//! the same.
//!
//! `cargo run -p mlops-examples --example phase6_rollout`

use std::sync::Arc;
use std::time::Duration;

use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::data::{Column, Table};
use mlops_core::deploy::rollout::judge::{Level, Proportions};
use mlops_core::deploy::{rollout::*, *};
use mlops_core::memory::{MemoryArtifactStore, MemoryDeployer, MemoryModelRegistry};
use mlops_core::model::{ModelFormat, ModelLoader, Predictions, Predictor, Signature};
use mlops_core::num::Random;
use mlops_core::problem::Task;
use mlops_core::registry::{ModelRegistry as _, NewModelVersion};
use mlops_core::serve::{BuiltinLoader, ConstantPredictor};
use mlops_core::time::{Clock as _, ManualClock};
use mlops_core::{Error, ErrorKind, Percent};
use mlops_examples::narrate::{say, step};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A model that cannot answer for the oldest callers: one request in twenty.
#[derive(Debug)]
struct Fragile(Arc<dyn Predictor>);

impl Predictor for Fragile {
    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn predict(&self, rows: &Table<'_>) -> mlops_core::Result<Predictions> {
        if rows.column("age")?.to_f64()?.iter().any(|age| *age >= 77.0) {
            return Err(Error::new(ErrorKind::Storage, "predict", "no tree for this age"));
        }
        self.0.predict(rows)
    }
}

#[derive(Debug)]
struct Loader;

impl ModelLoader for Loader {
    fn load(&self, format: &ModelFormat, bytes: &[u8]) -> mlops_core::Result<Arc<dyn Predictor>> {
        match format.as_str() {
            "example.fragile/v1" => {
                Ok(Arc::new(Fragile(BuiltinLoader.load(&ModelFormat::new("mlops.constant/v1")?, bytes)?)))
            }
            _ => BuiltinLoader.load(format, bytes),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let clock = Arc::new(ManualClock::at("2026-03-02T08:00:00Z".parse()?));
    let store = Arc::new(MemoryArtifactStore::default());
    let registry = Arc::new(MemoryModelRegistry::new(store.clone(), clock.clone()));
    let deployer =
        Arc::new(MemoryDeployer::new(registry.clone(), store.clone(), Arc::new(Loader), clock.clone()));
    deployer.ensure_endpoint(&EndpointSpec::new("risk".parse()?, "release".parse()?)).await?;

    step(1, "Three versions behind one endpoint; all traffic to the first");
    let versions = [
        ("blue", 0.2, "mlops.constant/v1"),
        ("green", 0.3, "mlops.constant/v1"),
        ("red", 0.4, "example.fragile/v1"),
    ];
    for (deployment, value, format) in versions {
        let model = ConstantPredictor::new(Task::BinaryClassification, value)?;
        let artifact = store.put_bytes(model.to_bytes()?).await?.digest;
        let (signature, actor) = (model.signature().clone(), "trainer".parse()?);
        let new =
            NewModelVersion::new("risk".parse()?, artifact, ModelFormat::new(format)?, signature, actor);
        let version = registry.register(&new).await?.version;
        let spec =
            DeploymentSpec::new("risk".parse()?, deployment.parse()?, new.model, version, "release".parse()?);
        deployer.deploy(&spec).await?;
        say(format!("{deployment} is version {version}"));
    }
    let (key, split) = (mlops_core::IdempotencyKey::generate(), TrafficSplit::all_to("blue".parse()?));
    let change = TrafficChange::new("risk".parse()?, split, "release".parse()?).with_key(key).expecting(0);
    deployer.set_traffic(&change).await?;

    step(2, "Roll out green: a shadow of half of the requests, then a canary; looking every minute");
    // What a shadow answers goes nowhere: callers of the endpoint meet blue until green has shown that it can answer.
    let share = Percent::new(50).unwrap_or(Percent::ALL);
    let shadow = Strategy::Shadow { share, promote: true };
    let promoted = roll_out(&deployer, ["blue", "green"], shadow, &clock).await?;
    say(if promoted { "green has all traffic" } else { "green is back at nothing" });

    step(3, "Roll out red, which fails for one caller in twenty, without a shadow");
    let promoted = roll_out(&deployer, ["green", "red"], Strategy::Canary, &clock).await?;
    say(if promoted { "red has all traffic" } else { "red is back at nothing" });

    step(4, "Roll out red again, with one: no caller meets a failure");
    let promoted = roll_out(&deployer, ["green", "red"], shadow, &clock).await?;
    say(if promoted { "red has all traffic" } else { "red never had any" });
    Ok(())
}

async fn roll_out(
    deployer: &Arc<MemoryDeployer>,
    names: [&str; 2],
    strategy: Strategy,
    clock: &ManualClock,
) -> Result<bool> {
    // At most half a per cent more failures than the stable version; wrong in one rollout of a hundred, however often it is looked at.
    let mut level = Level::default();
    level.alpha = 0.01;
    let guard =
        MetricGuard::failures("failures", Proportions::new(0.005).with_level(level)).with_min_samples(50);
    let options = RolloutOptions::default()
        .with_strategy(strategy)
        .with_steps([5, 25, 50, 100].into_iter().filter_map(Percent::new))
        .with_bake(Duration::from_secs(180))
        .with_metric(guard)
        // A fixed limit beside it, far away, for what nobody has to look at twice.
        .with_limits(OperationGuard::default().with_min_requests(50).with_max_failure_rate(0.2))
        .with_drain(Duration::from_secs(120));
    let [stable, candidate] = names;
    let (endpoint, actor) = ("risk".parse()?, "release".parse()?);
    let plan = RolloutPlan::canary(endpoint, stable.parse()?, candidate.parse()?, actor, options)?;
    let (digest, journal) = (plan.digest()?, Arc::new(VecJournal::default()));
    let smoke_test = SmokeTest::new(Table::new(vec![Column::f64("age", vec![50.0])?])?)?;
    let mut rollout = RolloutDriver::new(plan, smoke_test, deployer.clone(), journal.clone());
    let mut callers = Random::new(2026).stream(candidate);
    let mut unanswered = 0;
    loop {
        let status = rollout.advance(clock.now()).await?;
        say(&status);
        if status.is_terminal() {
            break;
        }
        for caller in 0..800 {
            let age = Table::new(vec![Column::f64("age", vec![20.0 + 60.0 * callers.next_f64()])?])?;
            let (endpoint, routing_key) = ("risk".parse()?, Some(format!("caller {caller}")));
            let request = InvokeRequest::new(endpoint, &age).with_routing_key(routing_key);
            // A request that fails is counted; nobody stops for it here.
            unanswered += u32::from(deployer.invoke(&request).await.is_err());
        }
        clock.advance(Duration::from_secs(60));
    }
    say(format!("{unanswered} requests were not answered"));
    // Every judgement is in the journal, with the numbers it rests on.
    let entries = journal.entries(&digest).await?;
    let evidence = entries.iter().rev().find_map(|entry| match &entry.event {
        Event::GuardJudged { evidence: Some(seen), .. } => {
            seen.findings.iter().find(|found| found.finding.numbers.contains_key("ln_e_needed"))
        }
        _ => None,
    });
    if let Some(found) = evidence {
        say(format!("the last comparison, of {}: {}", found.guard, found.finding));
    }
    Ok(rollout.status().is_promoted())
}
