//! How an [`AzureDeployer`] is set up.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlops_core::page::pager::Pager;
use mlops_core::registry::ModelRegistry;
use mlops_core::time::{Clock, SystemClock};
use mlops_core::{Error, Result};
use tokio::sync::OnceCell;

use super::deployer::{AzureDeployer, Inner};
use super::online::OnlineEndpoints;
use super::template::DeploymentTemplate;
use crate::auth::TokenSource;
use crate::config::Workspace;
use crate::http::{HttpTransport, ReqwestConfig, ReqwestTransport, RetryPolicy, Service};
use crate::wire::Place;
use crate::wire::endpoint::AuthMode;

/// Builds an [`AzureDeployer`].
#[must_use]
pub struct AzureDeployerBuilder {
    arm: Service,
    workspace: Workspace,
    registry: Arc<dyn ModelRegistry>,
    template: DeploymentTemplate,
    auth_mode: AuthMode,
    tokens: Option<Arc<dyn TokenSource>>,
    region: Option<String>,
    http: ReqwestConfig,
    transport: Option<Arc<dyn HttpTransport>>,
    clock: Arc<dyn Clock>,
    retry: RetryPolicy,
    timeout: Duration,
    known_for: Duration,
    sole_writer: bool,
    sticky: bool,
}

impl AzureDeployerBuilder {
    pub(super) fn new(
        arm: Service,
        workspace: &Workspace,
        registry: Arc<dyn ModelRegistry>,
        template: DeploymentTemplate,
    ) -> Self {
        Self {
            arm,
            workspace: workspace.clone(),
            registry,
            template,
            auth_mode: AuthMode::Key,
            tokens: None,
            region: None,
            http: ReqwestConfig::default(),
            transport: None,
            clock: Arc::new(SystemClock::new()),
            retry: RetryPolicy {
                attempts: 3,
                budget: Duration::from_secs(30),
                deadline: Some(Duration::from_secs(120)),
                ..RetryPolicy::default()
            },
            timeout: Duration::from_secs(60),
            known_for: Duration::from_secs(300),
            sole_writer: false,
            sticky: false,
        }
    }

    /// How callers of endpoints that are made here say who they are; by a key, if nothing is set. Endpoints that are there keep
    /// what they have.
    pub fn auth_mode(mut self, mode: AuthMode) -> Self {
        self.auth_mode = mode;
        self
    }

    /// Who gives out tokens of Entra ID, for endpoints that are opened by them.
    pub fn tokens(mut self, tokens: Arc<dyn TokenSource>) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// The region of the workspace, which is asked for otherwise, once.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// How connections to scoring addresses are made: proxies, certificates, deadlines.
    pub fn connections(mut self, http: ReqwestConfig) -> Self {
        self.http = http;
        self
    }

    /// Asks scoring addresses through this transport; connections are then its own matter.
    pub fn transport(mut self, transport: Arc<dyn HttpTransport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Where time comes from.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What of scoring is tried again; three tries in half a minute, if nothing is set.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// How long one prediction may take; a minute, if nothing is set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long it is believed without looking which deployments an endpoint has, and with [sticky routing](Self::sticky_routing) what
    /// its split is; five minutes, if nothing is set. What this deployer changes itself it knows at once. Where and how an endpoint is
    /// asked is believed until it refuses, and is then looked at anew if it was found out longer ago.
    pub fn known_for(mut self, time: Duration) -> Self {
        self.known_for = time;
        self
    }

    /// Promises that nobody else changes the traffic of these endpoints. Changes are then compare-and-set, because this deployer and
    /// its clones make them one after the other.
    pub fn sole_writer(mut self) -> Self {
        self.sole_writer = true;
        self
    }

    /// Chooses the deployment of requests with a routing key here, by [`TrafficSplit::route`](mlops_core::deploy::TrafficSplit::route),
    /// and names it to the service, which then mirrors none of them. Without, the service draws for each request, and the key means
    /// nothing.
    pub fn sticky_routing(mut self) -> Self {
        self.sticky = true;
        self
    }

    /// The deployer. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a template that makes no deployment, for tokens of Entra ID
    /// that nobody gives out, and for connections that cannot be set up.
    pub fn build(self) -> Result<AzureDeployer> {
        self.template.check()?;
        if self.auth_mode == AuthMode::AadToken && self.tokens.is_none() {
            let message = "must be there for endpoints that are opened by tokens of Entra ID";
            return Err(Error::invalid("AzureDeployerBuilder::build", "tokens", message));
        }
        let transport = match self.transport {
            Some(transport) => transport,
            None => Arc::new(ReqwestTransport::new(&self.http)?),
        };
        let place = Place::from(&self.workspace);
        Ok(AzureDeployer::around(Inner {
            online: OnlineEndpoints::new(self.arm.clone(), place.clone()),
            arm: self.arm,
            place,
            cloud: self.workspace.cloud(),
            registry: self.registry,
            template: self.template,
            auth_mode: self.auth_mode,
            tokens: self.tokens,
            region: OnceCell::new_with(self.region),
            transport,
            clock: self.clock,
            retry: self.retry,
            timeout: self.timeout,
            known_for: self.known_for,
            sole_writer: self.sole_writer,
            sticky: self.sticky,
            pager: Pager::new(),
            slots: Mutex::new(HashMap::new()),
        }))
    }
}

impl fmt::Debug for AzureDeployerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureDeployerBuilder")
            .field("workspace", &self.workspace)
            .field("template", &self.template)
            .finish_non_exhaustive()
    }
}
