//! Azure's services behind core's traits and as clients, against the fake.
#![cfg(feature = "fake")]

mod compute;
mod fake;
mod jobs;
mod log;
mod schedule;

/// The fake, which judges every body by Azure's own types where they are at hand.
fn judged() -> mlops_azure::fake::FakeAzure {
    let azure = mlops_azure::fake::FakeAzure::new();
    match fake::types() {
        Some(types) => azure.judging(mlops_azure::fake::Schemas::open(types).unwrap()),
        None => azure,
    }
}
