//! The server: from a listener to its end.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Relaxed, Release},
};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::app::App;
use super::capture::{Capture, Queue};
use super::connection::{self, TOO_MANY};
use super::endpoint::{Served, ServedEndpoint, ServedMirror};
use super::gate::{Budget, Gate};
use super::host::ModelHost;
use super::metrics::Metrics;
use super::mirror::Shadows;
use super::routes::router;
use super::{Access, Limits};
use crate::deploy::{Observers, RequestObserver};
use crate::error::{Error, ErrorKind, Result};
use crate::id::EndpointName;
use crate::time::{Clock, SystemClock};

/// Models over HTTP: endpoints of a deployer that lends its models.
///
/// ```
/// # use std::sync::Arc;
/// # use mlops_core::artifact::ArtifactStoreExt as _;
/// # use mlops_core::deploy::{Deployer, DeploymentSpec, EndpointSpec, TrafficChange, TrafficSplit};
/// use mlops_core::governance::Secret;
/// use mlops_core::memory::MemoryDeployer;
/// # use mlops_core::memory::{MemoryArtifactStore, MemoryModelRegistry};
/// # use mlops_core::model::{ModelFormat, Predictor as _};
/// # use mlops_core::registry::{ModelRegistry, NewModelVersion};
/// # use mlops_core::problem::Task;
/// # use mlops_core::serve::{BuiltinLoader, ConstantPredictor};
/// use mlops_core::serve::http::{Access, ServedEndpoint, Server};
/// # use mlops_core::time::SystemClock;
/// # use mlops_core::IdempotencyKey;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// # tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(async {
/// # let clock = Arc::new(SystemClock::new());
/// # let artifacts = Arc::new(MemoryArtifactStore::default());
/// # let registry = Arc::new(MemoryModelRegistry::new(artifacts.clone(), clock.clone()));
/// # let deployer = Arc::new(MemoryDeployer::new(registry.clone(), artifacts.clone(), Arc::new(BuiltinLoader), clock));
/// # let prior = ConstantPredictor::new(Task::BinaryClassification, 0.25)?;
/// # let blob = artifacts.put_bytes(prior.to_bytes()?).await?;
/// # let format = ModelFormat::new("mlops.constant/v1")?;
/// # let spec = NewModelVersion::new("prior".parse()?, blob.digest, format, prior.signature().clone(), "me".parse()?);
/// # let version = registry.register(&spec).await?.version;
/// # deployer.ensure_endpoint(&EndpointSpec::new("diabetes".parse()?, "me".parse()?)).await?;
/// # let blue = DeploymentSpec::new("diabetes".parse()?, "blue".parse()?, "prior".parse()?, version, "me".parse()?);
/// # deployer.deploy(&blue).await?;
/// # let split = TrafficSplit::all_to("blue".parse()?);
/// # let (key, endpoint, actor) = (IdempotencyKey::generate(), "diabetes".parse()?, "me".parse()?);
/// # deployer.set_traffic(&TrafficChange::new(endpoint, split, actor).with_key(key)).await?;
/// // A deployer that serves `diabetes` already, here with the prior of the positive class.
/// let deployer: Arc<MemoryDeployer> = deployer;
/// let access = Access::keys(&Secret::new("5f0c7d88-c7de-45b8"), None)?;
/// let server = Server::new(deployer).with_endpoint(ServedEndpoint::new("diabetes".parse()?, access));
/// let running = server.start("127.0.0.1:0".parse()?).await?;
///
/// let body = r#"{"input_data": {"columns": ["age"], "data": [[59], [48]]}}"#;
/// let head = "POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close";
/// let key = "authorization: Bearer 5f0c7d88-c7de-45b8";
/// let request = format!("{head}\r\n{key}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
/// let mut stream = tokio::net::TcpStream::connect(running.local_addr()).await?;
/// stream.write_all(request.as_bytes()).await?;
/// let mut answer = String::new();
/// stream.read_to_string(&mut answer).await?;
/// assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("[0.25,0.25]"), "{answer}");
/// assert!(answer.contains("azureml-model-deployment: blue"), "{answer}");
///
/// let drained = running.stop().await;
/// assert!(drained.is_complete());
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Server {
    host: Arc<dyn ModelHost>,
    endpoints: Vec<ServedEndpoint>,
    limits: Limits,
    capture: Option<Capture>,
    observers: Observers,
    clock: Arc<dyn Clock>,
    hosts: Vec<String>,
    open_metrics: bool,
}

impl Server {
    /// A server of nothing yet.
    pub fn new(host: Arc<dyn ModelHost>) -> Self {
        Self {
            host,
            endpoints: Vec::new(),
            limits: Limits::default(),
            capture: None,
            observers: Observers::default(),
            clock: Arc::new(SystemClock::new()),
            hosts: Vec::new(),
            open_metrics: false,
        }
    }

    /// Adds an endpoint.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: ServedEndpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Captures requests and answers.
    #[must_use]
    pub fn with_capture(mut self, capture: Capture) -> Self {
        self.capture = Some(capture);
        self
    }

    /// Tells `observer` of every request for a prediction that reached an endpoint, and of every copy for a shadow.
    ///
    /// Also told of are requests that ran out of time or found no place, which count as failed, and those without a valid key,
    /// which count as refused. A request for an endpoint that is not served is told to nobody.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn RequestObserver>) -> Self {
        self.observers.add(observer);
        self
    }

    /// Sets the clock that says when a request ended.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Answers only requests whose header `host` names one of these, without the port; others are answered 421.
    #[must_use]
    pub fn with_hosts(mut self, hosts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// Shows `/metrics` without a key.
    #[must_use]
    pub fn with_open_metrics(mut self) -> Self {
        self.open_metrics = true;
        self
    }

    fn check(&self) -> Result<()> {
        const OP: &str = "Server::start";
        self.limits.check()?;
        self.capture.as_ref().map_or(Ok(()), Capture::check)?;
        if self.endpoints.is_empty() {
            return Err(Error::invalid(OP, "endpoints", "there is no endpoint to serve"));
        }
        let mut seen = std::collections::HashSet::new();
        match self.endpoints.iter().find(|endpoint| !seen.insert(&endpoint.name)) {
            Some(twice) => {
                Err(Error::invalid(OP, "endpoints", "an endpoint comes twice").with("endpoint", &twice.name))
            }
            None => Ok(()),
        }
    }

    /// Listens on an address and serves; port 0 takes a free one.
    ///
    /// # Errors
    /// As [`Server::serve_on`]; [`ErrorKind::Transport`] when the address cannot be listened on.
    pub async fn start(self, address: SocketAddr) -> Result<Running> {
        let listener = listen(address).map_err(|e| {
            let error =
                Error::new(ErrorKind::Transport, "Server::start", "the address cannot be listened on");
            error.with("address", address).with_source(e)
        })?;
        self.serve_on(listener).await
    }

    /// Serves what comes to a listener. Every endpoint is loaded before the first request is taken, as far as it can be; what
    /// could not be loaded is told by `/health/ready`, and tried again.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for limits that are none, no endpoints or one twice; [`ErrorKind::NotFound`] for an endpoint
    /// that the deployer does not have; [`ErrorKind::Transport`] for a listener without an address.
    pub async fn serve_on(self, listener: TcpListener) -> Result<Running> {
        self.check()?;
        let address = listener.local_addr().map_err(|e| {
            Error::new(ErrorKind::Transport, "Server::serve_on", "the listener has no address").with_source(e)
        })?;
        let metrics = Arc::new(Metrics::default());
        let served = |endpoint: ServedEndpoint| {
            let served = Served::new(endpoint, self.host.clone(), metrics.clone());
            (served.name.clone(), Arc::new(served))
        };
        let endpoints: BTreeMap<EndpointName, Arc<Served>> = self.endpoints.into_iter().map(served).collect();
        for served in endpoints.values() {
            match served.refresh().await {
                Err(e) if e.kind() == ErrorKind::NotFound => return Err(e),
                // Later attempts may do better; health tells until then.
                _ => {}
            }
        }
        let (capture, capturing) = match self.capture.map(|capture| Queue::start(capture, metrics.clone())) {
            Some((queue, task)) => (Some(Arc::new(queue)), Some(task)),
            None => (None, None),
        };
        let (shadows, mirroring) =
            Shadows::start(capture.clone(), self.clock.clone(), metrics.clone(), self.observers.clone());
        let limits = Arc::new(self.limits);
        let app = Arc::new(App {
            gate: Gate::new(limits.max_in_flight, limits.max_waiting),
            budget: Budget::new(limits.max_buffered),
            endpoints,
            limits,
            metrics,
            clock: self.clock,
            capture,
            observers: self.observers,
            shadows,
            hosts: self.hosts,
            open_metrics: self.open_metrics,
            stopping: AtomicBool::new(false),
        });
        let (stop, stopped) = watch::channel(false);
        let refreshing = tokio::spawn(refresh(app.clone(), stopped.clone()));
        let accepting = tokio::spawn(accept(app.clone(), listener, address, stopped));
        let tasks = Tasks { accepting, refreshing, mirroring, capturing };
        Ok(Running { address, app, stop: Stop(stop), tasks })
    }

    /// Serves what comes to a listener until `shutdown` is ready, and then to the end of what was begun.
    ///
    /// # Errors
    /// As [`Server::serve_on`].
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<Drained> {
        let running = self.serve_on(listener).await?;
        shutdown.await;
        Ok(running.stop().await)
    }
}

/// Listens, with room for as many connections at once as the system allows: those beyond are tried again after a second.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that is started anew need not wait for the connections of the one before.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

#[derive(Debug)]
struct Tasks {
    accepting: JoinHandle<usize>,
    refreshing: JoinHandle<()>,
    mirroring: JoinHandle<()>,
    capturing: Option<JoinHandle<()>>,
}

/// A server that serves. Dropped, it stops as by [`Running::stop`], without telling how it ended.
pub struct Running {
    address: SocketAddr,
    app: Arc<App>,
    stop: Stop,
    tasks: Tasks,
}

/// Tells all tasks to stop when it is dropped.
struct Stop(watch::Sender<bool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("address", &self.address).finish_non_exhaustive()
    }
}

/// How a server ended.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were broken off because they did not end in time.
    pub broken_off: usize,
    /// Rows that were captured and did not reach the sink in time, or were dropped or refused before.
    pub uncaptured: u64,
    /// Whether the capture's queue was emptied in time.
    pub flushed: bool,
}

impl Drained {
    /// Whether every request was answered and every queue emptied.
    pub fn is_complete(&self) -> bool {
        self.broken_off == 0 && self.flushed
    }
}

impl Running {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    fn served(&self, endpoint: &EndpointName) -> Result<&Arc<Served>> {
        let served = self.app.endpoints.get(endpoint);
        served.ok_or_else(|| Error::not_found("Running::endpoint", "endpoint", endpoint))
    }

    /// Looks at the deployer now, not only at the next time: a change that was made before this is served after it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an endpoint that is not served; what the deployer answers.
    pub async fn refresh(&self, endpoint: &EndpointName) -> Result<()> {
        self.served(endpoint)?.refresh().await
    }

    /// Replaces the keys of an endpoint, from the next request on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an endpoint that is not served.
    pub fn set_access(&self, endpoint: &EndpointName, access: Access) -> Result<()> {
        self.served(endpoint).map(|served| served.set_access(access))
    }

    /// Sets the shadow of an endpoint, takes it away, or goes by that of the deployer's endpoint, from the next request on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an endpoint that is not served.
    pub fn set_mirror(&self, endpoint: &EndpointName, mirror: impl Into<ServedMirror>) -> Result<()> {
        self.served(endpoint).map(|served| served.set_mirror(mirror.into()))
    }

    /// Stops: `/health/ready` says so, connections that wait in the listener's queue are taken, then no more; requests that were
    /// sent are answered, and their answers ask for the connection to be closed; the capture's queue is emptied. What does not end
    /// within [`Limits::drain_timeout`] is broken off.
    pub async fn stop(self) -> Drained {
        let deadline = Instant::now() + self.app.limits.drain_timeout;
        self.app.stopping.store(true, Release);
        drop(self.stop);
        let Tasks { accepting, refreshing, mirroring, capturing } = self.tasks;
        let broken_off = accepting.await.unwrap_or_default();
        let _ended = refreshing.await;
        let metrics = self.app.metrics.clone();
        // The last of these ends the queues; what still predicts after the deadline holds on to its own.
        drop(self.app);
        let mut flushed = true;
        for task in [Some(mirroring), capturing].into_iter().flatten() {
            let mut task = task;
            if tokio::time::timeout_at(deadline.max(Instant::now() + Duration::from_millis(100)), &mut task)
                .await
                .is_err()
            {
                task.abort();
                flushed = false;
            }
        }
        let lost = [&metrics.capture_dropped, &metrics.capture_failed];
        let uncaptured = lost.into_iter().map(|counter| counter.load(Relaxed)).sum();
        Drained { broken_off, uncaptured, flushed }
    }
}

/// Looks at the deployer again and again.
async fn refresh(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _stopped = stopped.changed() => return,
            () = tokio::time::sleep(app.limits.refresh) => {}
        }
        for served in app.endpoints.values() {
            // Health tells of it.
            let _failed = served.refresh().await;
        }
    }
}

/// Takes connections until the server stops, and waits for their end. Answers how many did not end in time.
async fn accept(
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
    mut stopped: watch::Receiver<bool>,
) -> usize {
    let router = router(app.clone());
    let mut connections = JoinSet::new();
    let draining = stopped.clone();
    let take = |stream: TcpStream, connections: &mut JoinSet<()>| {
        app.metrics.connections_total.fetch_add(1, Relaxed);
        if connections.len() >= app.limits.max_connections {
            app.metrics.connections_refused.fetch_add(1, Relaxed);
            // If it cannot be said now, it is not said.
            let _sent = stream.try_write(TOO_MANY);
            return;
        }
        app.metrics.connections.fetch_add(1, Relaxed);
        let (app, router, draining) = (app.clone(), router.clone(), draining.clone());
        connections.spawn(async move {
            let _open = Open(app.clone());
            connection::serve(app, router, stream, address, draining).await;
        });
    };
    loop {
        tokio::select! {
            _stopped = stopped.changed() => break,
            Some(_ended) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => take(stream, &mut connections),
                // Too many open files, most likely: those that end make room.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
        }
    }
    app.stopping.store(true, Release);
    // Those who were connected before the end are heard.
    let enough = Instant::now() + app.limits.drain_grace;
    while Instant::now() < enough {
        let next = tokio::time::timeout(Duration::from_millis(10), listener.accept()).await;
        let Ok(Ok((stream, _))) = next else { break };
        while connections.try_join_next().is_some() {}
        take(stream, &mut connections);
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(app.limits.drain_timeout, ended).await.is_ok() {
        return 0;
    }
    let left = connections.len();
    connections.shutdown().await;
    left
}

/// Counts a connection down at its end.
struct Open(Arc<App>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.metrics.connections.fetch_sub(1, Relaxed);
    }
}
