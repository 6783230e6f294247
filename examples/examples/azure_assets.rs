//! Data and models in Azure Machine Learning: registered, promoted by alias, published to a registry for every workspace.
//!
//! `cargo run -p mlops-examples --example azure_assets`
//!
//! It runs against Azure in memory. With `-- --azure` the same code runs on Azure: in the workspace that the environment or a
//! `config.json` names, as whoever the environment, the machine or the developer's tools say you are. `MLOPS_AZURE_REGISTRY`
//! names a registry to publish to, as `SUBSCRIPTION/RESOURCE_GROUP/NAME`; without it that step is left out.

use std::sync::Arc;

use mlops_azure::registry::SharedModels;
use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::data::{AssetKind, DataAssetStore as _, DataRef, DataVerification, NewDataAsset};
use mlops_core::evaluation::{CriterionResult, GateDecision, Verdict};
use mlops_core::experiment::DataInput;
use mlops_core::hash::Digest;
use mlops_core::model::{ModelFormat, Predictor as _};
use mlops_core::num::Measured;
use mlops_core::problem::Task;
use mlops_core::registry::{
    AliasChange, Direction, ModelRegistry as _, NewModelVersion, Node, Promotion, Protection,
};
use mlops_core::serve::ConstantPredictor;
use mlops_core::time::{Clock as _, SystemClock};
use mlops_core::{ActorId, Alias, AssetName, MetricKey, ModelName, RelPath};
use mlops_examples::azure::Azure;
use mlops_examples::narrate::{say, step};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Says how many requests there were since this was last asked, where Azure is in memory.
fn count(azure: &Azure) {
    if let Some(fake) = azure.in_memory() {
        say(format!("requests: {}", fake.count()));
        fake.forget_requests();
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let azure = Azure::from_args()?;
    let (me, clock) = (ActorId::new("example")?, Arc::new(SystemClock::new()));

    step(1, "Open the workspace's own datastore for content");
    let content = Arc::new(azure.artifacts().await?);
    say(format!("{} in {}", content.container().name(), azure.workspace.name()));
    count(&azure);

    step(2, "Register data");
    let assets = azure.data(content.clone(), clock.clone());
    let rows = (RelPath::new("rows.csv")?, b"age,bmi,progression\n59,32.1,151\n48,21.6,75\n".to_vec().into());
    let (tree, _) = content.put_files(&[rows]).await?;
    let name = AssetName::new("mlops-example-patients")?;
    let asset = NewDataAsset::stored(name.clone(), AssetKind::Folder, tree.digest, me.clone()).with_rows(2);
    let data = assets.register(&asset).await?;
    // A lost answer, a restart: the same call again is the same registration.
    assert_eq!(assets.register(&asset).await?, data);
    say(format!("{} is {}", data.reference(), data.spec.digest.short()));
    let found = assets.verify(&DataRef::latest(name.clone())).await?;
    assert!(matches!(found, DataVerification::Intact { .. }));
    say("every byte of it is what was registered");
    count(&azure);

    step(3, "Register a model made from it");
    let champion = Alias::new("champion")?;
    let models = azure.registry(&content, clock.clone());
    let models = models.with_protected(champion.clone(), Protection::Gate);
    let predictor = ConstantPredictor::new(Task::Regression, 113.0)?;
    let artifact = content.put_bytes(predictor.to_bytes()?).await?.digest;
    let (model, format) =
        (ModelName::new("mlops-example-progression")?, ModelFormat::new("mlops.constant/v1")?);
    let input = DataInput::new(name, data.version, data.spec.digest, "training");
    let new =
        NewModelVersion::new(model.clone(), artifact, format, predictor.signature().clone(), me.clone())
            .with_data(input)
            .with_metric(MetricKey::new("mae")?, 38.0);
    let made = models.register(&new).await?;
    say(format!("{} is {}", made.reference(), made.spec.artifact.short()));
    count(&azure);

    step(4, "Promote it: the alias is protected, and moves on the evidence of a gate");
    let current = models.aliases(&model).await?.into_iter().find(|(alias, _)| *alias == champion);
    let expected = current.map(|(_, version)| version);
    let by_hand =
        AliasChange::new(model.clone(), champion.clone(), made.version, me.clone()).expecting(expected);
    let refused = models.set_alias(&by_hand).await.err().ok_or("a protected alias was moved by hand")?;
    say(format!("by hand: {}", refused.kind()));
    let passed = vec![CriterionResult::new(
        "mae",
        Verdict::Pass,
        Some(Measured::Value(38.0)),
        "38 against at most 50",
    )];
    let (gate, report) = (Digest::of(b"gate"), Digest::of(b"report"));
    let promotion = Promotion::new(
        model.clone(),
        made.version,
        champion.clone(),
        GateDecision::new("release", gate, made.spec.artifact, report, None, clock.now(), passed),
        me.clone(),
    )
    .expecting(expected);
    let record = models.promote(&promotion).await?;
    say(format!("{}: {}", record.alias, record.reason));
    let origin = Node::Model { name: model.clone(), version: made.version };
    let lineage = models.lineage(&origin, Direction::Upstream, 5).await?;
    say(format!("made from {}", lineage.nodes.get(1).ok_or("the lineage has no origin")?));
    count(&azure);

    step(5, "Publish it to a registry that all workspaces share");
    let Some(registry) = azure.shared_registry()? else {
        say("left out: MLOPS_AZURE_REGISTRY names none");
        return Ok(());
    };
    let published = models.publish(&made.reference(), &registry, &me, clock.now()).await?;
    say(format!("{} (new: {})", published.uri, published.fresh));
    let shared = SharedModels::new(azure.arm.clone(), &registry);
    let there = shared.get(&model, &published.version.to_string()).await?.properties;
    let from = there.tags.as_ref().and_then(|tags| tags.get("mlops.published.from")).unwrap_or_default();
    assert!(from.ends_with(&format!("/models/{model}/versions/{}", made.version)));
    say("it says which workspace it came from");
    count(&azure);
    Ok(())
}
