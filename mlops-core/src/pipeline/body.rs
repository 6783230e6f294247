//! The code of steps, and what it sees of the world.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::spending::Spending;
use super::{Cancel, Component, ComponentRef, ParamValue, PortType, StepError, StepKey};
use crate::artifact::{ArtifactStore, ArtifactStoreExt as _, Blob, ByteStream};
use crate::error::{Error, Result};
use crate::governance::Secret;
use crate::hash::Digest;
use crate::id::{AssetName, MetricKey, PortName, RelPath, RunId, StepName, Version};
use crate::time::lock;

/// Data that goes into or comes out of a step.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// Its type.
    pub r#type: PortType,
    /// The digest of the file, or of the manifest of the folder.
    pub digest: Digest,
    /// The length of what has that digest, in bytes.
    pub size: u64,
    /// The data asset that it is registered as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<AssetVersion>,
}

impl Content {
    /// Content of a type that is no data asset.
    pub fn new(r#type: PortType, blob: Blob) -> Self {
        Self { r#type, digest: blob.digest, size: blob.size, asset: None }
    }

    /// Says as which data asset it is registered.
    ///
    /// ```
    /// # use mlops_core::artifact::Blob;
    /// # use mlops_core::hash::Digest;
    /// # use mlops_core::{AssetName, Version};
    /// # use mlops_core::pipeline::{Content, PortType};
    /// let blob = Blob { digest: Digest::of(b"age\n59\n"), size: 7 };
    /// let rows = Content::new(PortType::UriFile, blob).with_asset(AssetName::new("patients")?, Version::FIRST);
    /// assert!(rows.asset.is_some_and(|asset| asset.name.as_str() == "patients"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_asset(mut self, name: AssetName, version: Version) -> Self {
        self.asset = Some(AssetVersion { name, version });
        self
    }
}

/// One version of a data asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetVersion {
    /// The asset.
    pub name: AssetName,
    /// Its version.
    pub version: Version,
}

/// What a step does.
///
/// # Contract
/// * It reads what [`StepContext`] hands it and writes outputs through it; of a deterministic component, the same inputs,
///   parameters, secrets and seed give the same outputs.
/// * It may be stopped at any moment and started again from the beginning: what it does beyond its outputs must bear that.
/// * It gives back control: it awaits, or it runs elsewhere ([`Components::with_blocking`]).
#[async_trait]
pub trait StepBody: fmt::Debug + Send + Sync + 'static {
    /// Does it once.
    async fn run(&self, context: StepContext) -> Result<(), StepError>;
}

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn StepBody) {}

struct AsyncBody<F>(F);

impl<F> fmt::Debug for AsyncBody<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AsyncBody(..)")
    }
}

#[async_trait]
impl<F, T> StepBody for AsyncBody<F>
where
    F: Fn(StepContext) -> T + Send + Sync + 'static,
    T: Future<Output = Result<(), StepError>> + Send + 'static,
{
    async fn run(&self, context: StepContext) -> Result<(), StepError> {
        (self.0)(context).await
    }
}

/// What a blocking body made: bytes for every output.
pub type BlockingOutputs = BTreeMap<PortName, Vec<u8>>;

struct BlockingBody<F>(Arc<F>);

impl<F> fmt::Debug for BlockingBody<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlockingBody(..)")
    }
}

/// The most bytes of one input that a blocking body is handed: 1 GiB.
const MAX_INPUT: usize = 1 << 30;

#[async_trait]
impl<F> StepBody for BlockingBody<F>
where
    F: Fn(&StepContext, &BTreeMap<PortName, Bytes>) -> Result<BlockingOutputs, StepError>
        + Send
        + Sync
        + 'static,
{
    async fn run(&self, context: StepContext) -> Result<(), StepError> {
        let mut inputs = BTreeMap::new();
        for name in context.inputs().keys() {
            inputs.insert(name.clone(), context.read(name.as_str(), MAX_INPUT).await?);
        }
        let (work, inner) = (self.0.clone(), context.clone());
        let outputs = elsewhere(move || work(&inner, &inputs)).await?;
        for (name, bytes) in outputs {
            context.write(name.as_str(), bytes).await?;
        }
        Ok(())
    }
}

/// Runs work on tokio's threads for blocking work, or in place where no tokio runtime drives the caller.
#[cfg(feature = "local")]
async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return work() };
    match runtime.spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) if error.is_panic() => Err(StepError::permanent("the step panicked")),
        Err(_) => Err(StepError::preempted("the runtime is shutting down")),
    }
}

#[cfg(not(feature = "local"))]
async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    work()
}

/// Components by name and version, with the code that does what they say.
///
/// ```
/// use mlops_core::hash::Digest;
/// use mlops_core::id::{ComponentName, ComponentVersion, PortName};
/// use mlops_core::pipeline::{Component, Components, PortType};
///
/// let load = Component::new(ComponentName::new("load")?, ComponentVersion::new("1")?, Digest::of(b"code"))
///     .with_output(PortName::new("rows")?, PortType::UriFile);
/// let components = Components::new().with_fn(load, |context| async move {
///     context.write("rows", b"age\n59\n".to_vec()).await?;
///     Ok(())
/// })?;
/// assert_eq!(components.references().next().map(ToString::to_string).as_deref(), Some("load:1"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Components(BTreeMap<ComponentRef, Registered>);

#[derive(Clone, Debug)]
struct Registered {
    component: Arc<Component>,
    body: Option<Arc<dyn StepBody>>,
}

impl Components {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    fn add(mut self, component: Component, body: Option<Arc<dyn StepBody>>) -> Result<Self> {
        component.check()?;
        let reference = component.reference();
        let registered = Registered { component: Arc::new(component), body };
        match self.0.insert(reference.clone(), registered) {
            None => Ok(self),
            Some(_) => {
                let message = "there is a component of this name and version already";
                Err(Error::new(crate::ErrorKind::AlreadyExists, "Components::add", message)
                    .with("component", reference))
            }
        }
    }

    /// Adds a component and its code.
    ///
    /// # Errors
    /// As [`Component::check`]; [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists) for a name and version that is
    /// there.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use mlops_core::hash::Digest;
    /// # use mlops_core::id::{ComponentName, ComponentVersion};
    /// # use mlops_core::pipeline::{Component, Components};
    /// # let fit = Component::new(ComponentName::new("fit")?, ComponentVersion::new("1")?, Digest::of(b"code"));
    /// use mlops_core::pipeline::{StepBody, StepContext, StepError};
    ///
    /// #[derive(Debug)]
    /// struct Fit;
    ///
    /// #[async_trait::async_trait]
    /// impl StepBody for Fit {
    ///     async fn run(&self, context: StepContext) -> Result<(), StepError> {
    ///         context.log("nothing to do");
    ///         Ok(())
    ///     }
    /// }
    /// let components = Components::new().with(fit.clone(), Arc::new(Fit))?;
    /// assert!(components.with(fit, Arc::new(Fit)).is_err()); // it is there already
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn with(self, component: Component, body: Arc<dyn StepBody>) -> Result<Self> {
        self.add(component, Some(body))
    }

    /// Adds a component whose code is an async function.
    ///
    /// # Errors
    /// As [`Components::with`].
    ///
    /// ```
    /// # use mlops_core::hash::Digest;
    /// # use mlops_core::id::{ComponentName, ComponentVersion, PortName};
    /// # use mlops_core::pipeline::{Component, Components, PortType};
    /// # let fit = Component::new(ComponentName::new("fit")?, ComponentVersion::new("1")?, Digest::of(b"code"));
    /// let fit = fit.with_output(PortName::new("model")?, PortType::CustomModel);
    /// let components = Components::new().with_fn(fit, |context| async move {
    ///     context.write("model", b"3.0".to_vec()).await?;
    ///     Ok(())
    /// })?;
    /// assert_eq!(components.references().count(), 1);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn with_fn<F, T>(self, component: Component, body: F) -> Result<Self>
    where
        F: Fn(StepContext) -> T + Send + Sync + 'static,
        T: Future<Output = Result<(), StepError>> + Send + 'static,
    {
        self.add(component, Some(Arc::new(AsyncBody(body))))
    }

    /// Adds a component whose code computes: from the bytes of its inputs, all of them files, the bytes of its outputs. With the
    /// feature `local` and under tokio it runs on a thread for blocking work, beside other steps. Such work cannot be stopped
    /// from outside: after a timeout or when it is cancelled it runs to its end, or until it asks
    /// [`StepContext::is_cancelled`], and what it made is dropped.
    ///
    /// # Errors
    /// As [`Components::with`]; [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for an input or output that is a folder.
    ///
    /// ```
    /// # use std::collections::BTreeMap;
    /// # use mlops_core::hash::Digest;
    /// # use mlops_core::id::{ComponentName, ComponentVersion, PortName};
    /// # use mlops_core::pipeline::{Component, Components, PortType};
    /// # let fit = Component::new(ComponentName::new("fit")?, ComponentVersion::new("1")?, Digest::of(b"code"));
    /// let (rows, model) = (PortName::new("rows")?, PortName::new("model")?);
    /// let fit = fit.with_input(rows, PortType::UriFile).with_output(model.clone(), PortType::CustomModel);
    /// let components = Components::new().with_blocking(fit, move |_, inputs| {
    ///     let length = inputs.values().map(|bytes| bytes.len()).sum::<usize>();
    ///     Ok(BTreeMap::from([(model.clone(), length.to_string().into_bytes())]))
    /// })?;
    /// assert_eq!(components.references().count(), 1);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn with_blocking<F>(self, component: Component, body: F) -> Result<Self>
    where
        F: Fn(&StepContext, &BTreeMap<PortName, Bytes>) -> Result<BlockingOutputs, StepError>
            + Send
            + Sync
            + 'static,
    {
        let inputs = component.inputs.iter().map(|(port, input)| (port, input.r#type));
        let outputs = component.outputs.iter().map(|(port, kind)| (port, *kind));
        if let Some((port, kind)) = inputs.chain(outputs).find(|(_, kind)| kind.is_tree()) {
            let message = format!("is of type {kind}, a folder; only files are handed over as bytes");
            return Err(Error::invalid("Components::with_blocking", port.as_str(), message)
                .with("component", component.reference()));
        }
        self.add(component, Some(Arc::new(BlockingBody(Arc::new(body)))))
    }

    /// Adds a component without code: enough to check a pipeline, not to run it.
    ///
    /// # Errors
    /// As [`Components::with`].
    ///
    /// ```
    /// # use mlops_core::hash::Digest;
    /// # use mlops_core::id::{ComponentName, ComponentVersion};
    /// # use mlops_core::pipeline::{Component, Components};
    /// # let fit = Component::new(ComponentName::new("fit")?, ComponentVersion::new("1")?, Digest::of(b"code"));
    /// let reference = fit.reference();
    /// let components = Components::new().with_described(fit)?;
    /// assert!(components.component(&reference).is_some());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn with_described(self, component: Component) -> Result<Self> {
        self.add(component, None)
    }

    /// The component of this name and version.
    pub fn component(&self, reference: &ComponentRef) -> Option<&Arc<Component>> {
        self.0.get(reference).map(|registered| &registered.component)
    }

    /// The names and versions of all, in order.
    pub fn references(&self) -> impl Iterator<Item = &ComponentRef> {
        self.0.keys()
    }

    pub(super) fn body(&self, component: &Component) -> Result<Arc<dyn StepBody>> {
        let reference = component.reference();
        let found = self.0.get(&reference).filter(|registered| *registered.component == *component);
        found
            .and_then(|registered| registered.body.clone())
            .ok_or_else(|| Error::not_found("PipelineExecutor::run", "code of the component", reference))
    }
}

/// Keeps checkpoints of one attempt.
#[async_trait]
pub(super) trait CheckpointSink: fmt::Debug + Send + Sync {
    async fn keep(&self, blob: Blob) -> Result<()>;
}

/// What a step made so far.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) outputs: BTreeMap<PortName, Blob>,
    pub(super) metrics: BTreeMap<MetricKey, f64>,
    pub(super) log: String,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) run: RunId,
    pub(super) step: StepName,
    pub(super) attempt: u32,
    pub(super) key: StepKey,
    pub(super) seed: u64,
    pub(super) parameters: BTreeMap<PortName, ParamValue>,
    pub(super) secrets: BTreeMap<PortName, Secret>,
    pub(super) inputs: BTreeMap<PortName, Content>,
    pub(super) component: Arc<Component>,
    pub(super) artifacts: Arc<dyn ArtifactStore>,
    pub(super) checkpoint: Option<Blob>,
    pub(super) sink: Arc<dyn CheckpointSink>,
    pub(super) cancel: Cancel,
    pub(super) made: Mutex<Made>,
    pub(super) spending: Spending,
}

/// What a step sees: its parameters and inputs, and where its outputs go. Clones are the same context.
#[derive(Clone, Debug)]
pub struct StepContext(pub(super) Arc<Inner>);

/// The longest log of one attempt that is kept, in bytes.
const MAX_LOG: usize = 1 << 20;

/// The longest checkpoint that [`StepContext::checkpoint`] reads: 1 GiB.
const MAX_CHECKPOINT: usize = 1 << 30;

impl StepContext {
    /// The run of the pipeline.
    pub fn run(&self) -> &RunId {
        &self.0.run
    }

    /// The step's name.
    pub fn step(&self) -> &StepName {
        &self.0.step
    }

    /// Which attempt this is, counted from 1 over all resumptions.
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// The step's key: a name for what it makes.
    pub fn key(&self) -> StepKey {
        self.0.key
    }

    /// Says what the attempt cost, in the currency of the budget; it adds up. What is negative or not finite is left out. What a step
    /// says counts in place of what it was [expected](super::StepCosts) to cost, for a budget that is shared and in the report.
    pub fn spend(&self, cost: f64) {
        self.0.spending.spend(cost);
    }

    /// The seed for its randomness; it is part of the key.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// What goes in.
    pub fn inputs(&self) -> &BTreeMap<PortName, Content> {
        &self.0.inputs
    }

    /// A parameter; none where it was left out.
    pub fn parameter(&self, name: &str) -> Option<&ParamValue> {
        self.0.parameters.get(name)
    }

    fn wrong(&self, name: &str, wanted: &str) -> StepError {
        StepError::permanent(format!("step `{}` has no {wanted} parameter `{name}`", self.0.step))
    }

    /// A parameter that is a whole number.
    ///
    /// # Errors
    /// A permanent error where there is none, or it is of another type.
    pub fn integer(&self, name: &str) -> Result<i64, StepError> {
        match self.parameter(name) {
            Some(ParamValue::Integer(value)) => Ok(*value),
            _ => Err(self.wrong(name, "integer")),
        }
    }

    /// A parameter that is a number.
    ///
    /// # Errors
    /// As [`StepContext::integer`].
    pub fn number(&self, name: &str) -> Result<f64, StepError> {
        match self.parameter(name) {
            Some(ParamValue::Number(value)) => Ok(*value),
            _ => Err(self.wrong(name, "number")),
        }
    }

    /// A parameter that is yes or no.
    ///
    /// # Errors
    /// As [`StepContext::integer`].
    pub fn boolean(&self, name: &str) -> Result<bool, StepError> {
        match self.parameter(name) {
            Some(ParamValue::Boolean(value)) => Ok(*value),
            _ => Err(self.wrong(name, "boolean")),
        }
    }

    /// A parameter that is a text.
    ///
    /// # Errors
    /// As [`StepContext::integer`].
    pub fn text(&self, name: &str) -> Result<&str, StepError> {
        match self.parameter(name) {
            Some(ParamValue::Text(value)) => Ok(value),
            _ => Err(self.wrong(name, "string")),
        }
    }

    /// A secret.
    ///
    /// # Errors
    /// A permanent error where the step was not given it.
    pub fn secret(&self, name: &str) -> Result<&Secret, StepError> {
        let found = self.0.secrets.get(name);
        found.ok_or_else(|| StepError::permanent(format!("step `{}` has no secret `{name}`", self.0.step)))
    }

    fn input(&self, name: &str) -> Result<&Content, StepError> {
        let found = self.0.inputs.get(name);
        found.ok_or_else(|| StepError::permanent(format!("step `{}` has no input `{name}`", self.0.step)))
    }

    /// Reads an input that is a file, verified, at most `limit` bytes.
    ///
    /// # Errors
    /// A permanent error where it is not there, too long or damaged; else as the artifact store says.
    pub async fn read(&self, name: &str, limit: usize) -> Result<Bytes, StepError> {
        Ok(self.0.artifacts.get_bytes(&self.input(name)?.digest, limit).await?)
    }

    /// Reads a file of an input that is a folder, verified, at most `limit` bytes.
    ///
    /// # Errors
    /// As [`StepContext::read`].
    pub async fn read_file(&self, name: &str, path: &RelPath, limit: usize) -> Result<Bytes, StepError> {
        let tree = self.0.artifacts.tree(&self.input(name)?.digest).await?;
        let entry = tree
            .get(path)
            .ok_or_else(|| StepError::permanent(format!("input `{name}` has no file `{path}`")))?;
        Ok(self.0.artifacts.get_bytes(&entry.digest, limit).await?)
    }

    /// The artifact store, for what is larger than memory.
    pub fn artifacts(&self) -> &Arc<dyn ArtifactStore> {
        &self.0.artifacts
    }

    fn output(&self, name: &str, tree: bool) -> Result<PortName, StepError> {
        let found = self.0.component.outputs.get_key_value(name);
        let wrong =
            |what: &str| StepError::permanent(format!("step `{}` has no {what} `{name}`", self.0.step));
        match found {
            Some((port, kind)) if kind.is_tree() == tree => Ok(port.clone()),
            Some(_) if tree => Err(wrong("output that is a folder,")),
            Some(_) => Err(wrong("output that is a file,")),
            None => Err(wrong("output")),
        }
    }

    /// Writes an output that is a file.
    ///
    /// # Errors
    /// A permanent error where the component has no such output; else as the artifact store says.
    pub async fn write(&self, name: &str, bytes: impl Into<Bytes> + Send) -> Result<Blob, StepError> {
        let port = self.output(name, false)?;
        let blob = self.0.artifacts.put_bytes(bytes).await?;
        lock(&self.0.made).outputs.insert(port, blob);
        Ok(blob)
    }

    /// Writes an output that is a file, piece by piece.
    ///
    /// # Errors
    /// As [`StepContext::write`].
    pub async fn write_stream(&self, name: &str, body: ByteStream) -> Result<Blob, StepError> {
        let port = self.output(name, false)?;
        let blob = self.0.artifacts.put(body, None).await?;
        lock(&self.0.made).outputs.insert(port, blob);
        Ok(blob)
    }

    /// Writes an output that is a folder.
    ///
    /// # Errors
    /// As [`StepContext::write`]; and for what is no [manifest](crate::artifact::Manifest).
    pub async fn write_folder(&self, name: &str, files: &[(RelPath, Bytes)]) -> Result<Blob, StepError> {
        let port = self.output(name, true)?;
        let (blob, _) = self.0.artifacts.put_files(files).await?;
        lock(&self.0.made).outputs.insert(port, blob);
        Ok(blob)
    }

    /// Says what was measured; the last value under a key counts.
    pub fn metric(&self, key: MetricKey, value: f64) {
        lock(&self.0.made).metrics.insert(key, value);
    }

    /// Adds a line to the step's log; what goes beyond a mebibyte is dropped.
    pub fn log(&self, line: &str) {
        let mut made = lock(&self.0.made);
        if made.log.len() + line.len() < MAX_LOG {
            made.log.push_str(line);
            made.log.push('\n');
        }
    }

    /// What an earlier attempt, in whatever process, kept last with [`StepContext::save_checkpoint`].
    ///
    /// # Errors
    /// As the artifact store says. A checkpoint that is gone is none.
    pub async fn checkpoint(&self) -> Result<Option<Bytes>, StepError> {
        let Some(blob) = self.0.checkpoint else { return Ok(None) };
        match self.0.artifacts.get_bytes(&blob.digest, MAX_CHECKPOINT).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == crate::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Keeps how far the step came: the next attempt is handed it, also after the process was killed. Durable when it returns.
    ///
    /// # Errors
    /// As the artifact store and the journal say.
    pub async fn save_checkpoint(&self, bytes: impl Into<Bytes> + Send) -> Result<(), StepError> {
        let blob = self.0.artifacts.put_bytes(bytes).await?;
        Ok(self.0.sink.keep(blob).await?)
    }

    /// Whether the step should stop: it was cancelled, or took too long.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancel.is_cancelled()
    }
}
