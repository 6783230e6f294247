//! The registry of the embedded store.

mod common;

use std::sync::Arc;

use mlops_core::Alias;
use mlops_core::conformance::registry::RegistryUnderTest;
use mlops_core::local::NetworkPolicy;
use mlops_core::registry::Protection;

fn under_test() -> RegistryUnderTest {
    let (store, clock) = common::fresh(NetworkPolicy::Refuse);
    let [gated, approved] = ["staging", "champion"].map(|alias| Alias::new(alias).unwrap());
    let registry = store
        .registry()
        .with_protected(gated.clone(), Protection::Gate)
        .with_protected(approved.clone(), Protection::GateAndApproval);
    RegistryUnderTest::new(Arc::new(registry), store.artifacts())
        .with_clock(clock)
        .with_gated(gated)
        .with_approved(approved)
}

mlops_core::model_registry_suite!(suite, under_test());
