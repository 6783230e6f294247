//! How an endpoint is asked: over HTTP on this machine, or through the deployer where the servers are somebody else's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use async_trait::async_trait;
use mlops_core::data::Table;
use mlops_core::deploy::{Deployer, InvokeRequest};
use mlops_core::governance::Secret;
use mlops_core::monitor::{Monitor, MonitorSink, Observations};
use mlops_core::serve::http::{
    Access, Capture, CaptureSink, CapturedRows, ModelHost, RoutingKey, Running, ServedEndpoint, Server,
};
use mlops_core::time::{Clock as _, ManualClock};
use mlops_core::{EndpointName, Error, ErrorKind, Result};
use mlops_examples::narrate::say;
use mlops_examples::platform::Platform;

use super::client::{Ask, Client, Scores};

/// Keys come from a secret store.
const KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// Where requests go in.
#[derive(Debug)]
pub enum Front {
    /// A server on a port of this machine.
    Here(Box<Here>),
    /// Servers of the deployer's own.
    There(There),
}

#[derive(Debug)]
pub struct Here {
    running: Running,
    client: Client,
    captured: Arc<Counted>,
}

/// The deployer asks, and whoever asks captures.
#[derive(Debug)]
pub struct There {
    endpoint: EndpointName,
    deployer: Arc<dyn Deployer>,
    monitor: Arc<dyn Monitor>,
    clock: Arc<ManualClock>,
    captured: usize,
}

/// Hands what is captured to the monitor, and counts it.
#[derive(Debug)]
struct Counted {
    monitor: MonitorSink,
    rows: AtomicUsize,
}

#[async_trait]
impl CaptureSink for Counted {
    async fn capture(&self, rows: &CapturedRows<'_>) -> Result<()> {
        self.monitor.capture(rows).await?;
        self.rows.fetch_add(rows.ids.len(), Relaxed);
        Ok(())
    }
}

impl Front {
    /// A server on a free port, with a key, where the deployer lends its models; every request is captured for the monitor.
    pub async fn open(platform: &Platform, endpoint: &EndpointName) -> Result<Self> {
        if let Some(host) = &platform.host {
            return Ok(Self::Here(Box::new(Here::start(platform, Arc::clone(host), endpoint).await?)));
        }
        say(format_args!("The endpoint {endpoint} has servers of its own."));
        Ok(Self::There(There {
            endpoint: endpoint.clone(),
            deployer: Arc::clone(&platform.deployer),
            monitor: Arc::new(platform.store.monitor()),
            clock: Arc::clone(&platform.clock),
            captured: 0,
        }))
    }

    /// Asks for a prediction of each row.
    pub async fn score(&mut self, ask: Ask<'_>, rows: &Table<'_>, features: &[String]) -> Result<Scores> {
        match self {
            Self::Here(here) => here.client.score(ask, rows, features).await,
            Self::There(there) => there.score(ask, &rows.select(features)?).await,
        }
    }

    /// How many rows are with the monitor.
    pub fn captured(&self) -> usize {
        match self {
            Self::Here(here) => here.captured.rows.load(Relaxed),
            Self::There(there) => there.captured,
        }
    }

    /// Sees that a change of traffic counts now.
    pub async fn refresh(&self, endpoint: &EndpointName) -> Result<()> {
        match self {
            // The server looks ten times a second by itself; here nobody wants to wait.
            Self::Here(here) => here.running.refresh(endpoint).await,
            Self::There(_) => Ok(()),
        }
    }

    /// Stops a server of ours.
    pub async fn close(self) -> Result<()> {
        match self {
            Self::Here(here) => here.stop().await,
            Self::There(_) => Ok(()),
        }
    }
}

impl Here {
    async fn start(platform: &Platform, host: Arc<dyn ModelHost>, endpoint: &EndpointName) -> Result<Self> {
        let access = Access::keys(&Secret::new(KEY), None)?;
        let served = ServedEndpoint::new(endpoint.clone(), access)
            .with_routing_key(RoutingKey::Header("x-caller".to_owned()));
        let monitor = MonitorSink::new(Arc::new(platform.store.monitor()));
        let captured = Arc::new(Counted { monitor, rows: AtomicUsize::new(0) });
        let running = Server::new(host)
            .with_endpoint(served)
            .with_capture(Capture::new(Arc::clone(&captured) as Arc<dyn CaptureSink>))
            .with_clock(Arc::clone(&platform.clock) as _)
            .start(([127, 0, 0, 1], 0).into())
            .await?;
        say(format_args!("POST http://{}/score answers whoever has the key.", running.local_addr()));
        let client = Client::connect(running.local_addr(), KEY).await?;
        Ok(Self { running, client, captured })
    }

    async fn stop(self) -> Result<()> {
        drop(self.client);
        let drained = self.running.stop().await;
        if drained.is_complete() && drained.uncaptured == 0 {
            say("The server stops.");
            return Ok(());
        }
        let message = format!("the server did not end well: {drained:?}");
        Err(Error::new(ErrorKind::Integrity, "server", message))
    }
}

impl There {
    async fn score(&mut self, ask: Ask<'_>, rows: &Table<'_>) -> Result<Scores> {
        let (id, deployment, caller) = match ask {
            Ask::Routed { id, caller } => (id.to_owned(), None, Some(caller.to_owned())),
            Ask::Pinned(deployment) => (format!("pinned-{}", self.captured), Some(deployment.clone()), None),
        };
        let request = InvokeRequest::new(self.endpoint.clone(), rows)
            .with_deployment(deployment)
            .with_routing_key(caller);
        let answer = self.deployer.invoke(&request).await?;
        let ids: Vec<String> = match rows.rows() {
            1 => vec![id],
            rows => (0..rows).map(|row| format!("{id}/{row}")).collect(),
        };
        let seen = Observations::new(
            self.endpoint.clone(),
            answer.deployment.clone(),
            self.clock.now(),
            &ids,
            rows,
            &answer.predictions,
        );
        self.monitor.observe(&seen).await?;
        self.captured += ids.len();
        Ok(Scores { deployment: answer.deployment, predictions: answer.predictions.as_slice().to_vec() })
    }
}
