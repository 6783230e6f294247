//! Phase 4: training whose result is known by its content, so that nothing else can take its place.
//!
//! `cargo run -p mlops-examples --example phase4_train`

use std::error::Error;

use mlops_core::RelPath;
use mlops_core::artifact::{ArtifactStore as _, ArtifactStoreExt as _, Blob, Manifest};
use mlops_core::data::Part;
use mlops_core::hash::{Digest, canonical_json};
use mlops_core::memory::MemoryArtifactStore;
use mlops_core::model::{ModelLoader as _, Predictor as _, read_model};
use mlops_core::serve::BuiltinLoader;
use mlops_examples::narrate::{say, step};
use mlops_examples::prepare::{Source, prepare};
use mlops_examples::train::{Candidate, TRAINERS, boosted_trees};

/// The most bytes a model may have.
const LIMIT: usize = 1 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let source = Source::diabetes();
    let prepared = prepare(&source)?;
    let (train, test) = (prepared.part(Part::Train)?, prepared.part(Part::Test)?);
    let store = MemoryArtifactStore::default();

    // Any library may train. What is stored is data, not code: nothing that is loaded later can run.
    step(1, "Train and store");
    let mut stored = Vec::new();
    for (name, trainer) in TRAINERS {
        let model = trainer(&train, &prepared.features, source.seed)?;
        let (tree, manifest) = put(&store, &model).await?;
        say(format!("{name}: {} in format {}", tree.digest, model.format));
        for entry in manifest.entries() {
            say(format!("    {:12} {:6} bytes  {}", entry.path, entry.size, entry.digest.short()));
        }
        stored.push((model, tree, manifest));
    }

    // The same data and the same seed give the same bytes, and the same bytes are one content: nothing new is stored.
    step(2, "Train again");
    let again = boosted_trees(&train, &prepared.features, source.seed)?;
    let (tree, _) = put(&store, &again).await?;
    say(format!("seed {}: {}", source.seed, tree.digest));
    say(format!("the same content: {}", stored.iter().any(|(_, earlier, _)| earlier.digest == tree.digest)));

    // Other rows make another model, whatever it is called.
    let fewer = train.take(&(1..train.rows()).collect::<Vec<_>>())?;
    let (tree, _) = put(&store, &boosted_trees(&fewer, &prepared.features, source.seed)?).await?;
    say(format!("without one row it is another: {}", tree.digest));

    // Reading verifies every byte. The model that comes out of the store answers bit for bit as the one that went in.
    step(3, "Load and ask");
    for (model, tree, _) in &stored {
        let bytes = read_model(&store, &tree.digest, LIMIT).await?;
        let loaded = BuiltinLoader.load(&model.format, &bytes)?;
        let same = loaded.predict(&test)? == model.predictor.predict(&test)?;
        say(format!("{}: {} answers, the same as before: {same}", model.name, test.rows()));
    }

    // One bit flips on the way. Whoever puts content says what it should be, and anything else is refused and not stored.
    step(4, "A damaged model");
    for (model, tree, _) in &stored {
        let mut damaged = model.bytes.clone();
        if let Some(byte) = damaged.last_mut() {
            *byte ^= 1;
        }
        let expected = Some(Digest::of(&model.bytes));
        if let Err(error) = store.put(damaged.into(), expected).await {
            say(format!("{}: {}", model.name, error.message()));
        }
        say(format!(
            "{}: {} bytes in the store are intact",
            model.name,
            store.verify_tree(&tree.digest).await?
        ));
    }
    Ok(())
}

/// Stores a model and what is known about it as one tree.
async fn put(store: &MemoryArtifactStore, model: &Candidate) -> mlops_core::Result<(Blob, Manifest)> {
    let about = canonical_json(&(model.name, &model.params, &model.format))?;
    let files = [
        (RelPath::new("model.json")?, model.bytes.clone().into()),
        (RelPath::new("report.json")?, about.into()),
    ];
    store.put_files(&files).await
}
