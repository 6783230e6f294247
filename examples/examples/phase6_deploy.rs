//! Phase 6: release step by step, and come back at the first sign of trouble.
//!
//! `cargo run -p mlops-examples --example phase6_deploy`

use std::sync::Arc;
use std::time::Duration;

use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::data::{Part, Table};
use mlops_core::deploy::{rollout::*, *};
use mlops_core::evaluation::{Criterion, Estimate, EvaluationReport, GateSpec};
use mlops_core::memory::{MemoryArtifactStore, MemoryDeployer, MemoryModelRegistry};
use mlops_core::problem::{Direction, Task};
use mlops_core::registry::{ModelRegistry as _, NewModelVersion, Promotion, Protection};
use mlops_core::time::{Clock as _, ManualClock};
use mlops_core::{DeploymentName, IdempotencyKey, serve::BuiltinLoader};
use mlops_examples::narrate::{say, step};
use mlops_examples::prepare::{LABEL, Source, prepare};
use mlops_examples::train::{Trainer, boosted_trees, logistic, prior};

type Server = Arc<MemoryDeployer>;
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let data = prepare(&Source::diabetes())?;
    let (train, rows) = (data.part(Part::Train)?, data.part(Part::Validation)?);

    // Time is handed in: here it is turned by hand, a service takes the `SystemClock`.
    let clock = Arc::new(ManualClock::at("2026-03-02T08:00:00Z".parse()?));
    let store = Arc::new(MemoryArtifactStore::default());
    let registry = MemoryModelRegistry::new(store.clone(), clock.clone());
    let registry = Arc::new(registry.with_protected("champion".parse()?, Protection::Gate));
    let server = MemoryDeployer::new(registry.clone(), store.clone(), Arc::new(BuiltinLoader), clock.clone());
    let deployer = Arc::new(server);
    deployer.ensure_endpoint(&EndpointSpec::new("diabetes".parse()?, "release".parse()?)).await?;

    step(1, "Three versions, and which of them may be champion");
    let gate = GateSpec::new("release", vec![Criterion::new("auc", "roc_auc".parse()?).with_min(0.7)])?;
    let trainers: [(&str, Trainer); 3] = [("blue", logistic), ("green", boosted_trees), ("red", prior)];
    let mut champion = None;
    for (deployment, trainer) in trainers {
        let model = trainer(&train, &data.features, 2004)?;
        let artifact = store.put_bytes(model.bytes).await?.digest;
        let (name, signature) = ("diabetes".parse()?, model.predictor.signature().clone());
        let new = NewModelVersion::new(name, artifact, model.format, signature, "trainer".parse()?);
        let version = registry.register(&new).await?.version;

        // A deployment has no traffic yet. Its model was read from the store, verified and loaded; it can be asked by name.
        let (endpoint, name) = ("diabetes".parse()?, deployment.parse()?);
        let spec = DeploymentSpec::new(endpoint, name, new.model.clone(), version, new.actor.clone());
        deployer.deploy(&spec).await?;
        let score = score(&deployer, &spec.name, &rows).await?;

        // The alias is protected: it moves on the evidence of a gate about exactly this content, and in no other way.
        let (seen, task) = (data.partition.manifest().digest, Task::BinaryClassification);
        let mut report = EvaluationReport::new(artifact, seen, task, clock.now(), score.rows);
        report.metrics.insert("roc_auc".parse()?, score);
        let promotion = Promotion::new(
            new.model,
            version,
            "champion".parse()?,
            gate.decide(&report, None, clock.now())?,
            new.actor,
        )
        .expecting(champion);
        let moved = registry.promote(&promotion).await;
        let outcome = moved.as_ref().map_or_else(|e| e.message().to_owned(), |_| "champion".to_owned());
        say(format!("version {version}, {}: {outcome}", model.name));
        champion = moved.map_or(champion, |record| record.to);
    }

    // What the registry recommends serves nobody yet; traffic is a matter of its own. The first version gets all of it.
    let (split, actor) = (TrafficSplit::all_to("blue".parse()?), "release".parse()?);
    let (key, endpoint) = (IdempotencyKey::generate(), "diabetes".parse()?);
    deployer.set_traffic(&TrafficChange::new(endpoint, split, actor).with_key(key).expecting(0)).await?;

    step(2, "Roll out version 2");
    roll_out(&deployer, ["blue", "green"], &rows, &clock).await?;
    step(3, "Somebody rolls out version 3, past the gate");
    roll_out(&deployer, ["green", "red"], &rows, &clock).await
}

/// Moves traffic to a candidate step by step, as long as it operates well and answers as well as what it replaces.
async fn roll_out(deployer: &Server, names: [&str; 2], rows: &Table<'_>, clock: &ManualClock) -> Result<()> {
    let [stable, candidate]: [DeploymentName; 2] = [names[0].parse()?, names[1].parse()?];
    let options = RolloutOptions::default().with_guard("performance");
    let (endpoint, actor) = ("diabetes".parse()?, "release".parse()?);
    let plan = RolloutPlan::canary(endpoint, stable.clone(), candidate.clone(), actor, options)?;
    let smoke_test = SmokeTest::new(rows.take(&[0, 1, 2])?)?;
    let mut rollout = RolloutDriver::new(plan, smoke_test, deployer.clone(), Arc::new(VecJournal::default()))
        .with_guard(Arc::new(PerformanceGuard::default().with_margin(0.05)));
    while !rollout.status().is_terminal() {
        say(rollout.advance(clock.now()).await?);
        // Callers ask, labels arrive, time passes.
        for caller in 0..1500 {
            let row = rows.take(&[caller % rows.rows()])?;
            let (endpoint, routing_key) = ("diabetes".parse()?, Some(format!("caller {caller}")));
            deployer.invoke(&InvokeRequest::new(endpoint, &row).with_routing_key(routing_key)).await?;
        }
        let (metric, stable) = ("roc_auc".parse()?, score(deployer, &stable, rows).await?);
        let candidate = score(deployer, &candidate, rows).await?;
        rollout.report_performance(LabelledPerformance::new(metric, candidate, stable));
        clock.advance(Duration::from_secs(300));
    }
    Ok(())
}

/// How well a deployment answers for rows whose truth is known.
async fn score(deployer: &Server, name: &DeploymentName, rows: &Table<'_>) -> Result<Estimate> {
    let (endpoint, deployment) = ("diabetes".parse()?, Some(name.clone()));
    let request = InvokeRequest::new(endpoint, rows).with_deployment(deployment);
    let scores = deployer.invoke(&request).await?.predictions;
    let truth: Vec<bool> = rows.column(LABEL)?.to_f64()?.iter().map(|label| *label == 1.0).collect();
    let auc = mlops_eval::classification::roc_auc(&truth, scores.as_slice())?;
    Ok(Estimate::new(auc, Direction::HigherIsBetter, rows.rows() as u64))
}
