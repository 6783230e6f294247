//! The audit log of the embedded store.

mod common;

use std::sync::Arc;

use mlops_core::conformance::audit::AuditUnderTest;
use mlops_core::local::NetworkPolicy;

fn under_test(network: NetworkPolicy) -> AuditUnderTest {
    let (store, clock) = common::fresh(network);
    AuditUnderTest::new(Arc::new(store.audit_log())).with_clock(clock)
}

mlops_core::audit_log_suite!(suite, under_test(NetworkPolicy::Refuse));
mlops_core::audit_log_suite!(on_a_network_file_system, under_test(NetworkPolicy::Assume));
