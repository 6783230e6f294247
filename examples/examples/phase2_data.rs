//! Phase 2: data that can be trusted: read, checked, named by its content, split without leaks.
//!
//! `cargo run -p mlops-examples --example phase2_data`

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;

use mlops_core::artifact::{ArtifactStore as _, ArtifactStoreExt as _, GcOptions};
use mlops_core::data::{
    AssetKind, CsvOptions, DataAssetStore as _, DataVerification, Expectation, Expectations, Fractions,
    LeakageInput, NewDataAsset, Partition, Range, Schema, Split, Table, parse_csv,
};
use mlops_core::memory::{MemoryArtifactStore, MemoryDataAssetStore};
use mlops_core::time::SystemClock;
use mlops_core::{ActorId, AssetName, RelPath};
use mlops_examples::narrate::{say, step};
use mlops_examples::prepare::Source;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Types are found from the values. What cannot be read is an error that names file, row and column.
    let text = std::fs::read_to_string(Source::diabetes().file)?;
    let table = parse_csv(text.as_bytes(), &CsvOptions::default())?;
    step(1, "Read and describe");
    let schema = Schema::infer(&table)?;
    let columns = schema.fields().len();
    say(format!("{} rows, {columns} columns, schema {}", table.rows(), schema.digest().short()));
    let fields: Vec<String> =
        schema.fields().iter().map(|f| format!("{} {:?}", f.name, f.data_type)).collect();
    say(fields.join(", "));

    // Expectations say what must hold for this data to mean anything. They are data themselves and can live in a file.
    step(2, "Check what must hold");
    let expectations = Expectations::new(vec![
        Expectation::rows(100, None),
        Expectation::within("age", Range::new(Some(18.0), Some(120.0))?),
        Expectation::one_of("sex", ["1", "2"]),
        Expectation::not_constant("target"),
    ])?;
    say(expectations.validate(&table));

    // Two slips of the keyboard. The report names rows and values; nothing downstream ever sees this table.
    step(3, "The same with two typing errors");
    let damaged = text.replacen("\n48,1,", "\n480,1,", 1).replacen("\n72,2,", "\n72,3,", 1);
    let damaged = parse_csv(damaged.as_bytes(), &CsvOptions::default())?;
    say(expectations.validate(&damaged));

    // Content first, then the name: an asset is a name and a version for bytes that are known by their digest.
    step(4, "Register");
    let artifacts = Arc::new(MemoryArtifactStore::default());
    let assets = MemoryDataAssetStore::new(artifacts.clone(), Arc::new(SystemClock::new()));
    let (tree, _) = artifacts.put_files(&[(RelPath::new("diabetes.csv")?, text.into())]).await?;
    let new = NewDataAsset::stored(
        AssetName::new("diabetes")?,
        AssetKind::Table,
        tree.digest,
        ActorId::new("ingest")?,
    );
    let asset =
        assets.register(&new.with_schema(schema.digest()).with_rows(u64::try_from(table.rows())?)).await?;
    say(format!("{} is {}", asset.reference(), asset.spec.digest));
    if let DataVerification::Intact { bytes } = assets.verify(&asset.reference()).await? {
        say(format!("intact: {bytes} bytes read and hashed again"));
    }

    // A split is a function of the data, the method and the seed; its manifest is enough to make it again.
    step(5, "Split");
    let split = Split::stratified("sex", Fractions::validation_test(0.25, 0.25)?, 2004);
    let partition = split.apply(&table)?;
    let parts: Vec<String> =
        partition.parts().map(|(part, rows)| format!("{part:?} {}", rows.len())).collect();
    say(format!("{}, split {}", parts.join(", "), partition.manifest().digest.short()));
    let same = split.apply(&table)?.manifest() == partition.manifest();
    say(format!("made again from the same seed, it is the same: {same}"));

    // A row that is in two parts is learnt from and tested on at once, and every number after that is too good.
    step(6, "Look for leaks");
    say(LeakageInput::new(&table, &partition).check()?);
    let leaky_row = partition.train()[0];
    let doubled = Table::concat(&[table.clone(), table.take(&[leaky_row])?])?;
    let test = [partition.test(), &[table.rows()]].concat();
    let validation = partition.validation().map(<[usize]>::to_vec);
    let leaky = Partition::predefined(doubled.rows(), partition.train().to_vec(), validation, test)?;
    say("and with one training row planted in the test part:");
    let report = LeakageInput::new(&doubled, &leaky).check()?;
    say(&report);
    say(format!("training stops here: {}", report.require_clean().is_err()));

    // Somebody cleans up the store and forgets to say what is still needed. What is lost or changed is found by its digest.
    step(7, "The stored file is gone");
    let removed = artifacts.collect_garbage(&BTreeSet::new(), &GcOptions::default()).await?.removed.len();
    say(format!("{removed} pieces of content were thrown away"));
    if let DataVerification::Damaged { reason } = assets.verify(&asset.reference()).await? {
        say(reason);
    }
    Ok(())
}
