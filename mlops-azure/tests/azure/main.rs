//! Azure's services behind core's traits and as clients, against the fake.
#![cfg(feature = "fake")]

mod compute;
mod data;
mod deploy;
mod dropped;
mod event;
mod fake;
mod governance;
mod jobs;
mod log;
mod metrics;
mod mlflow;
mod monitor;
mod registry;
mod schedule;
mod storage;
mod telemetry;

use std::path::{Path, PathBuf};

use mlops_azure::fake::{FakeAzure, Schemas};

/// The folder of Azure's type definitions, where there is one.
fn types() -> Option<PathBuf> {
    let named = std::env::var_os("MLOPS_TEST_AZURE_TYPES").map(PathBuf::from);
    let above = || {
        let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let mut types = folders.map(|folder| folder.join("shared/azure/types"));
        types.find(|types| types.join("_index.json").is_file())
    };
    let types = named.or_else(above);
    if types.is_none() {
        println!("skipped: MLOPS_TEST_AZURE_TYPES names no folder, and there is no shared/azure/types above");
    }
    types
}

/// A fake that judges every body by Azure's own types where they are at hand.
fn judging(azure: FakeAzure) -> FakeAzure {
    match types() {
        Some(types) => azure.judging(Schemas::open(types).unwrap()),
        None => azure,
    }
}

/// The fake as it is, judging.
fn judged() -> FakeAzure {
    judging(FakeAzure::new())
}
