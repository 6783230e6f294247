//! The artifact store against real MLflow servers, which `.ci/mlflow` starts: the public suite on both.

mod servers;

use std::sync::Arc;

use mlops_core::conformance::artifact::ArtifactsUnderTest;
use mlops_core::time::ManualClock;

use servers::server;

fn fresh(line: u8) -> Option<ArtifactsUnderTest> {
    let server = server(line)?;
    let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let under = ArtifactsUnderTest::new(Arc::new(server.store(clock.clone()))).with_clock(clock);
    Some(match server.is_local() {
        true => under.with_damage(move |digest| server.damage(digest)),
        false => under,
    })
}

macro_rules! fresh {
    ($line:literal) => {
        match fresh($line) {
            Some(under) => under,
            None => return,
        }
    };
}

mlops_core::artifact_store_suite!(mlflow2, fresh!(2));
mlops_core::artifact_store_suite!(mlflow3, fresh!(3));
