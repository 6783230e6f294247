//! The tracker against real MLflow servers.
//!
//! Runs where `MLOPS_TEST_MLFLOW_2` and `MLOPS_TEST_MLFLOW_3` hold the URLs of servers, and says "skipped" where they do not.
//! Every case has a namespace of its own, so one server serves them all.

use std::sync::Arc;
use std::time::Duration;

use mlops_azure::http::RetryPolicy;
use mlops_azure::mlflow::{MlflowClient, MlflowTracker};
use mlops_core::ExperimentName;
use mlops_core::conformance::tracker::TrackerUnderTest;
use mlops_core::time::{Clock, ManualClock};

/// The server in an environment variable, if there is one.
fn server(variable: &str) -> Option<MlflowClient> {
    let Some(url) = std::env::var(variable).ok().filter(|url| !url.is_empty()) else {
        println!("skipped: {variable} is not set");
        return None;
    };
    // Test servers are slow, and SQLite is busy with one writer at a time.
    let retry = RetryPolicy { attempts: 12, budget: Duration::from_secs(600), ..RetryPolicy::default() };
    Some(MlflowClient::builder(&url).retry(retry).timeout(Duration::from_secs(300)).build().unwrap())
}

/// A tracker in a namespace that nobody used before.
fn tracker(client: MlflowClient, clock: Arc<dyn Clock>) -> MlflowTracker {
    let namespace = ExperimentName::new(format!("test-{}", uuid::Uuid::now_v7().simple())).unwrap();
    MlflowTracker::new(client).with_namespace(namespace).with_clock(clock)
}

fn under_test(client: MlflowClient) -> TrackerUnderTest {
    let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    TrackerUnderTest::new(Arc::new(tracker(client, clock.clone())))
        .with_clock(clock)
        .with_promised(MlflowTracker::CAPABILITIES)
}

/// The suite, where there is a server.
macro_rules! suite {
    ($module:ident, $variable:literal) => {
        mlops_core::experiment_tracker_suite!(
            $module,
            match server($variable) {
                Some(client) => under_test(client),
                None => return,
            }
        );
    };
}

suite!(mlflow_2, "MLOPS_TEST_MLFLOW_2");
suite!(mlflow_3, "MLOPS_TEST_MLFLOW_3");
