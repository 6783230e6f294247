//! An endpoint, an audit log and an approver for tests; the endpoint fails and crashes on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use crate::data::{Column, Table};
use crate::deploy::serving::Change;
use crate::deploy::{
    Deployer, DeployerCapabilities, Deployment, DeploymentSpec, Endpoint, EndpointSpec, InvokeRequest,
    InvokeResponse, Mirror, MirrorChange, OperationStats, SmokeTest, TrafficChange, TrafficSplit,
};
use crate::error::{Error, ErrorKind, Result};
use crate::governance::{
    Approval, ApprovalDecision, ApprovalRequest, Approver, AuditEntry, AuditLog, AuditRecord,
    AuditVerification, Checkpoint, verify_chain,
};
use crate::hash::Digest;
use crate::id::{ActorId, DeploymentName, EndpointName, IdempotencyKey, ModelName, Version};
use crate::model::Predictions;
use crate::page::{Page, PageRequest};
use crate::time::{Timestamp, lock};

pub(crate) fn name(text: &str) -> DeploymentName {
    DeploymentName::new(text).unwrap()
}

pub(crate) fn endpoint_name() -> EndpointName {
    EndpointName::new("diabetes").unwrap()
}

pub(crate) fn actor(text: &str) -> ActorId {
    ActorId::new(text).unwrap()
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    chrono::DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
}

/// A deployment of the first version of a model, ready.
pub(crate) fn deployment(deployment: &str) -> Deployment {
    let model = ModelName::new("risk").unwrap();
    let spec = DeploymentSpec::new(endpoint_name(), name(deployment), model, Version::FIRST, actor("bot"));
    Deployment::ready(spec, Digest::of(b"the model"), at(0))
}

/// What goes wrong at one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Trouble {
    /// The process stops before the call does anything.
    CrashBefore,
    /// The process stops after the call, before its answer.
    CrashAfter,
    /// The call is lost on its way.
    ErrorBefore,
    /// The answer is lost.
    ErrorAfter,
}

/// Counts calls, and strikes at one of them.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    pub(crate) calls: usize,
    pub(crate) strike: Option<(usize, Trouble)>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Shared(pub(crate) Arc<Mutex<Fate>>);

impl Shared {
    pub(crate) fn striking(at: usize, trouble: Trouble) -> Self {
        Self(Arc::new(Mutex::new(Fate { calls: 0, strike: Some((at, trouble)) })))
    }

    fn next(&self) -> Option<Trouble> {
        let mut fate = lock(&self.0);
        fate.calls += 1;
        let calls = fate.calls;
        fate.strike.filter(|(strike, _)| *strike == calls).map(|(_, trouble)| trouble)
    }

    pub(crate) async fn call<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let lost = || Error::new(ErrorKind::Transport, "test", "the connection was reset");
        match self.next() {
            None => act(),
            // A process that stops never sees this future ready, and drops it.
            Some(Trouble::CrashBefore) => std::future::pending().await,
            Some(Trouble::CrashAfter) => {
                let _ = act();
                std::future::pending().await
            }
            Some(Trouble::ErrorBefore) => Err(lost()),
            Some(Trouble::ErrorAfter) => act().and_then(|_| Err(lost())),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) traffic: TrafficSplit,
    pub(crate) revision: u64,
    pub(crate) mirror: Option<Mirror>,
    changes: BTreeMap<IdempotencyKey, (Change, Endpoint)>,
    pub(crate) deployed: BTreeMap<DeploymentName, Deployment>,
    pub(crate) stats: BTreeMap<DeploymentName, OperationStats>,
    pub(crate) failing: Option<DeploymentName>,
    pub(crate) prediction: f64,
    pub(crate) history: Vec<TrafficSplit>,
    /// What a version's content is: what `deploy` finds.
    pub(crate) artifacts: BTreeMap<Version, Digest>,
}

/// One endpoint with two deployments.
#[derive(Debug)]
pub(crate) struct TestDeployer {
    pub(crate) state: Mutex<Served>,
    pub(crate) fate: Shared,
    pub(crate) capabilities: DeployerCapabilities,
}

impl TestDeployer {
    pub(crate) fn new(traffic: TrafficSplit) -> Self {
        let stats = ["blue", "green"].map(|d| (name(d), OperationStats::default())).into();
        let state = Served {
            history: vec![traffic.clone()],
            traffic,
            revision: 4,
            mirror: None,
            changes: BTreeMap::new(),
            deployed: ["blue", "green"].map(|d| (name(d), deployment(d))).into(),
            stats,
            failing: None,
            prediction: 0.5,
            artifacts: BTreeMap::new(),
        };
        let (fate, capabilities) = (Shared::default(), DeployerCapabilities::FULL);
        Self { state: Mutex::new(state), fate, capabilities }
    }

    pub(crate) fn traffic(&self) -> TrafficSplit {
        lock(&self.state).traffic.clone()
    }

    pub(crate) fn fail_at(&self, deployment: &str) {
        lock(&self.state).failing = Some(name(deployment));
    }

    /// A hundred requests, split as the traffic is, and mirrored.
    pub(crate) fn send_traffic(&self) {
        let mut state = lock(&self.state);
        let live = state.traffic.shares().map(|(n, share)| (n.clone(), share));
        let mirrored = state.mirror.iter().map(|mirror| (mirror.deployment.clone(), mirror.share));
        let shares: Vec<_> = live.chain(mirrored).collect();
        for (deployment, share) in shares {
            let failing = state.failing.as_ref() == Some(&deployment);
            let stats = state.stats.entry(deployment).or_default();
            stats.requests += u64::from(share.get());
            stats.failures += if failing { u64::from(share.get()) } else { 0 };
        }
    }

    fn endpoint_now(state: &Served) -> Endpoint {
        let mut endpoint = Endpoint::new(EndpointSpec::new(endpoint_name(), actor("bot")), at(0));
        (endpoint.traffic, endpoint.revision) = (state.traffic.clone(), state.revision);
        endpoint.mirror.clone_from(&state.mirror);
        endpoint
    }

    fn apply(&self, change: Change) -> Result<Endpoint> {
        let mut state = lock(&self.state);
        if let Some((made, endpoint)) = state.changes.get(change.key()) {
            assert_eq!(*made, change, "one key, two changes");
            return Ok(endpoint.clone());
        }
        let endpoint = change.applied_to(Self::endpoint_now(&state))?;
        if matches!(change, Change::Traffic(_)) {
            state.history.push(endpoint.traffic.clone());
        }
        (state.traffic, state.mirror) = (endpoint.traffic.clone(), endpoint.mirror.clone());
        state.revision = endpoint.revision;
        state.changes.insert(change.key().clone(), (change, endpoint.clone()));
        Ok(endpoint)
    }
}

#[async_trait]
impl Deployer for TestDeployer {
    fn capabilities(&self) -> DeployerCapabilities {
        self.capabilities
    }

    async fn ensure_endpoint(&self, _: &EndpointSpec) -> Result<Endpoint> {
        Err(Error::unsupported("test", "ensure_endpoint"))
    }

    async fn endpoint(&self, _: &EndpointName) -> Result<Endpoint> {
        self.fate.call(|| Ok(Self::endpoint_now(&lock(&self.state)))).await
    }

    async fn endpoints(&self, _: &PageRequest) -> Result<Page<Endpoint>> {
        Err(Error::unsupported("test", "endpoints"))
    }

    async fn deploy(&self, spec: &DeploymentSpec) -> Result<Deployment> {
        let made = || {
            let mut state = lock(&self.state);
            let artifact = state.artifacts.get(&spec.version).copied();
            let artifact = artifact.ok_or_else(|| Error::not_found("test", "version", spec.version))?;
            state.stats.entry(spec.name.clone()).or_default();
            let made = Deployment::ready(spec.clone(), artifact, at(0));
            state.deployed.insert(spec.name.clone(), made.clone());
            Ok(made)
        };
        self.fate.call(made).await
    }

    async fn deployments(&self, _: &EndpointName) -> Result<BTreeMap<DeploymentName, Deployment>> {
        self.fate.call(|| Ok(lock(&self.state).deployed.clone())).await
    }

    async fn set_traffic(&self, change: &TrafficChange) -> Result<Endpoint> {
        self.fate.call(|| self.apply(Change::Traffic(change.clone()))).await
    }

    async fn set_mirror(&self, change: &MirrorChange) -> Result<Endpoint> {
        self.fate.call(|| self.apply(Change::Mirror(change.clone()))).await
    }

    async fn delete_deployment(&self, _: &EndpointName, _: &DeploymentName) -> Result<()> {
        Err(Error::unsupported("test", "delete_deployment"))
    }

    async fn invoke(&self, request: &InvokeRequest<'_>) -> Result<InvokeResponse> {
        let answer = || {
            let prediction = lock(&self.state).prediction;
            let predictions = Predictions::Probability(vec![prediction; request.rows.rows()]);
            let deployment = request.deployment.clone().unwrap();
            Ok(InvokeResponse::new(deployment, Version::FIRST, predictions, Duration::from_millis(5)))
        };
        self.fate.call(answer).await
    }

    async fn stats(&self, _: &EndpointName, deployment: &DeploymentName) -> Result<OperationStats> {
        let read = || {
            let stats = lock(&self.state).stats.get(deployment).copied();
            stats.ok_or_else(|| Error::not_found("test", "deployment", deployment))
        };
        self.fate.call(read).await
    }
}

#[derive(Debug, Default)]
pub(crate) struct TestAudit {
    pub(crate) records: Mutex<Vec<AuditRecord>>,
    pub(crate) down: Mutex<bool>,
}

#[async_trait]
impl AuditLog for TestAudit {
    async fn append(&self, entry: &AuditEntry) -> Result<AuditRecord> {
        if *lock(&self.down) {
            return Err(Error::new(ErrorKind::Transport, "test", "the log is down"));
        }
        let mut records = lock(&self.records);
        if let Some(record) = records.iter().find(|record| record.entry.key == entry.key) {
            assert_eq!(record.entry, *entry, "one key, two entries");
            return Ok(record.clone());
        }
        let record = AuditRecord::chain(records.last(), entry.clone(), at(0))?;
        records.push(record.clone());
        Ok(record)
    }

    async fn read(&self, _: u64, _: usize) -> Result<Vec<AuditRecord>> {
        Ok(lock(&self.records).clone())
    }

    async fn checkpoint(&self) -> Result<Checkpoint> {
        Err(Error::unsupported("test", "checkpoint"))
    }

    async fn verify(&self, checkpoint: Option<&Checkpoint>) -> Result<AuditVerification> {
        Ok(verify_chain(&lock(&self.records), checkpoint))
    }
}

#[derive(Debug)]
pub(crate) struct Officer(pub(crate) ApprovalDecision);

#[async_trait]
impl Approver for Officer {
    async fn decide(&self, request: &ApprovalRequest, now: Timestamp) -> Result<Approval> {
        Ok(Approval::answer(request, self.0, actor("officer"), "", now))
    }
}

pub(crate) fn smoke_test() -> SmokeTest {
    SmokeTest::new(Table::new(vec![Column::f64("bmi", vec![32.1, 21.6]).unwrap()]).unwrap()).unwrap()
}
