//! Models of the deployer in memory, lent to a server.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Live, MemoryDeployer};
use crate::data::Table;
use crate::deploy::serving;
use crate::error::Result;
use crate::id::{DeploymentName, EndpointName};
use crate::model::{Predictions, Predictor, Signature};
use crate::serve::http::ModelHost;
use crate::time::{Clock, lock};

/// A deployment's model. What is asked of it counts.
#[derive(Debug)]
struct Lent {
    live: Live,
    clock: Arc<dyn Clock>,
}

impl Predictor for Lent {
    fn signature(&self) -> &Signature {
        self.live.predictor.signature()
    }

    fn predict(&self, rows: &Table<'_>) -> Result<Predictions> {
        let (answer, latency) = serving::ask(&self.live.predictor, rows, &self.clock);
        serving::count(&mut lock(&self.live.stats), &answer, latency);
        answer
    }
}

#[async_trait]
impl ModelHost for MemoryDeployer {
    async fn model(
        &self,
        endpoint: &EndpointName,
        deployment: &DeploymentName,
    ) -> Result<Arc<dyn Predictor>> {
        const OP: &str = "ModelHost::model";
        let live = self.with_served(OP, endpoint, |served| served.live(OP, deployment).cloned())?;
        Ok(Arc::new(Lent { live, clock: self.clock.clone() }))
    }
}
