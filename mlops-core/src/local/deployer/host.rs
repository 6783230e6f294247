//! Models of the embedded deployer, lent to a server.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::ledger::Ledger;
use super::{Live, LocalDeployer};
use crate::data::Table;
use crate::deploy::serving;
use crate::error::Result;
use crate::id::{DeploymentName, EndpointName};
use crate::model::{Predictions, Predictor, Signature};
use crate::serve::http::ModelHost;
use crate::time::Clock;

/// A deployment's model. What is asked of it counts, as long as anybody holds the deployer.
struct Lent {
    live: Arc<Live>,
    predictor: Arc<dyn Predictor>,
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").field("deployment", &self.live.deployment.spec.name).finish_non_exhaustive()
    }
}

impl Predictor for Lent {
    fn signature(&self) -> &Signature {
        self.predictor.signature()
    }

    fn predict(&self, rows: &Table<'_>) -> Result<Predictions> {
        let (answer, latency) = serving::ask(&self.predictor, rows, &self.clock);
        self.ledger.count(self.live.id, &answer, latency);
        answer
    }
}

#[async_trait]
impl ModelHost for LocalDeployer {
    async fn model(
        &self,
        endpoint: &EndpointName,
        deployment: &DeploymentName,
    ) -> Result<Arc<dyn Predictor>> {
        const OP: &str = "ModelHost::model";
        let handle = &self.handle;
        let live = handle.snapshot(OP, endpoint).await?.live(OP, deployment)?.clone();
        let predictor = handle.predictor(&live).await?;
        let (ledger, clock) = (handle.ledger.clone(), handle.store.clock.clone());
        Ok(Arc::new(Lent { live, predictor, ledger, clock }))
    }
}
