//! The model registry against real MLflow servers, which `.ci/mlflow` starts: the public suite on both.

mod servers;

use std::sync::Arc;

use mlops_core::Alias;
use mlops_core::conformance::registry::RegistryUnderTest;
use mlops_core::registry::Protection;
use mlops_core::time::ManualClock;

use servers::server;

fn fresh(line: u8) -> Option<RegistryUnderTest> {
    let server = server(line)?;
    let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let artifacts = Arc::new(server.store(clock.clone()));
    let [gated, approved] = ["staging", "champion"].map(|alias| Alias::new(alias).unwrap());
    let registry = server
        .registry(artifacts.clone(), clock.clone())
        .with_protected(gated.clone(), Protection::Gate)
        .with_protected(approved.clone(), Protection::GateAndApproval);
    let under = RegistryUnderTest::new(Arc::new(registry), artifacts);
    Some(under.with_clock(clock).with_gated(gated).with_approved(approved))
}

macro_rules! fresh {
    ($line:literal) => {
        match fresh($line) {
            Some(under) => under,
            None => return,
        }
    };
}

mlops_core::model_registry_suite!(mlflow2, fresh!(2));
mlops_core::model_registry_suite!(mlflow3, fresh!(3));
