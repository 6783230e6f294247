//! What an executor works on and how.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::artifact::ArtifactStore;
use crate::error::{Error, Result};
use crate::id::{PortName, RunId};
use crate::pipeline::{Cancel, Content, Force, ParamValue, PipelineJournal, StepCache, VerifyPolicy};
use crate::time::{Clock, Pause};

/// What an executor works on.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Backends {
    /// Where content lies.
    pub artifacts: Arc<dyn ArtifactStore>,
    /// What steps made.
    pub cache: Arc<dyn StepCache>,
    /// What runs went through.
    pub journal: Arc<dyn PipelineJournal>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The timer; it must really wait.
    pub pause: Arc<dyn Pause>,
}

impl Backends {
    /// These backends. The cache must be one over the same artifact store.
    pub fn new(
        artifacts: Arc<dyn ArtifactStore>,
        cache: Arc<dyn StepCache>,
        journal: Arc<dyn PipelineJournal>,
        clock: Arc<dyn Clock>,
        pause: Arc<dyn Pause>,
    ) -> Self {
        Self { artifacts, cache, journal, clock, pause }
    }
}

/// How an executor works.
///
/// ```
/// use mlops_core::pipeline::ExecutorOptions;
/// let options = ExecutorOptions::default();
/// assert_eq!(options.parallelism, 4);
/// assert!(options.with_parallelism(0).check().is_err());
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorOptions {
    /// The most steps at work at once. Default: 4.
    pub parallelism: usize,
    /// The most steps at work at once that occupy a class of resource; a class that is not named has no limit of its own.
    pub limits: BTreeMap<PortName, usize>,
    /// How records are looked at before they are used. Default: outputs must be there.
    pub verify: VerifyPolicy,
    /// How long what is made is used. Default: for ever.
    pub expire_after: Option<Duration>,
    /// How long a claim lasts without being renewed; it is renewed three times as often. Default: 60 s.
    pub lease: Duration,
    /// How often somebody else's claim is looked at. Default: 50 ms.
    pub poll: Duration,
}

impl Default for ExecutorOptions {
    fn default() -> Self {
        Self {
            parallelism: 4,
            limits: BTreeMap::new(),
            verify: VerifyPolicy::OnRestore,
            expire_after: None,
            lease: Duration::from_secs(60),
            poll: Duration::from_millis(50),
        }
    }
}

impl ExecutorOptions {
    /// Sets the most steps at work at once.
    ///
    /// ```
    /// # use mlops_core::pipeline::ExecutorOptions;
    /// assert_eq!(ExecutorOptions::default().with_parallelism(16).parallelism, 16);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_parallelism(mut self, parallelism: usize) -> Self {
        self.parallelism = parallelism;
        self
    }

    /// Limits how many steps occupy a class of resource at once.
    ///
    /// ```
    /// # use mlops_core::id::PortName;
    /// # use mlops_core::pipeline::ExecutorOptions;
    /// let one_gpu = ExecutorOptions::default().with_limit(PortName::new("gpu")?, 1);
    /// assert_eq!(one_gpu.limits.get("gpu"), Some(&1));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_limit(mut self, class: PortName, steps: usize) -> Self {
        self.limits.insert(class, steps);
        self
    }

    /// Sets how records are looked at.
    ///
    /// ```
    /// # use mlops_core::pipeline::{ExecutorOptions, VerifyPolicy};
    /// assert_eq!(ExecutorOptions::default().with_verify(VerifyPolicy::Always).verify, VerifyPolicy::Always);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_verify(mut self, verify: VerifyPolicy) -> Self {
        self.verify = verify;
        self
    }

    /// Sets how long what is made is used.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use mlops_core::pipeline::ExecutorOptions;
    /// let week = Duration::from_secs(7 * 86_400);
    /// assert_eq!(ExecutorOptions::default().with_expire_after(week).expire_after, Some(week));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_expire_after(mut self, expire_after: Duration) -> Self {
        self.expire_after = Some(expire_after);
        self
    }

    /// Sets how long a claim lasts.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use mlops_core::pipeline::ExecutorOptions;
    /// assert!(ExecutorOptions::default().with_lease(Duration::from_secs(5)).check().is_ok());
    /// assert!(ExecutorOptions::default().with_lease(Duration::ZERO).check().is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Refuses limits under which nothing runs, and leases of no time or longer than a day.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the field.
    pub fn check(&self) -> Result<()> {
        const OP: &str = "ExecutorOptions::check";
        if self.parallelism == 0 {
            return Err(Error::invalid(OP, "parallelism", "must be at least 1"));
        }
        if let Some((class, _)) = self.limits.iter().find(|(_, limit)| **limit == 0) {
            return Err(Error::invalid(OP, "limits", "must be at least 1").with("class", class));
        }
        if self.lease < Duration::from_millis(10) || self.lease > Duration::from_secs(86_400) {
            return Err(Error::invalid(OP, "lease", "must be from 10 ms to a day"));
        }
        Ok(())
    }
}

/// One run of a pipeline.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Its id. Default: a new one.
    pub run: RunId,
    /// What it works on: the pipeline's inputs.
    pub inputs: BTreeMap<PortName, Content>,
    /// The pipeline's parameters.
    pub arguments: BTreeMap<PortName, ParamValue>,
    /// Which steps must run. Default: none.
    pub force: Force,
    /// The seed of everything that is drawn; part of every key. Default: 0.
    pub seed: u64,
    /// Stops it.
    pub cancel: Cancel,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            run: RunId::generate(),
            inputs: BTreeMap::new(),
            arguments: BTreeMap::new(),
            force: Force::None,
            seed: 0,
            cancel: Cancel::new(),
        }
    }
}

impl RunOptions {
    /// A new run.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives it an id.
    ///
    /// ```
    /// # use mlops_core::id::RunId;
    /// # use mlops_core::pipeline::RunOptions;
    /// let run = RunId::generate();
    /// assert_eq!(RunOptions::new().with_run(run.clone()).run, run);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_run(mut self, run: RunId) -> Self {
        self.run = run;
        self
    }

    /// Gives the pipeline an input.
    ///
    /// ```
    /// # use mlops_core::artifact::Blob;
    /// # use mlops_core::hash::Digest;
    /// # use mlops_core::id::PortName;
    /// # use mlops_core::pipeline::{Content, PortType, RunOptions};
    /// let rows = Content::new(PortType::UriFile, Blob { digest: Digest::of(b"59"), size: 2 });
    /// let options = RunOptions::new().with_input(PortName::new("rows")?, rows.clone());
    /// assert_eq!(options.inputs.get("rows"), Some(&rows));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_input(mut self, name: PortName, content: Content) -> Self {
        self.inputs.insert(name, content);
        self
    }

    /// Sets a parameter of the pipeline.
    ///
    /// ```
    /// # use mlops_core::id::PortName;
    /// # use mlops_core::pipeline::{ParamValue, RunOptions};
    /// let options = RunOptions::new().with_argument(PortName::new("depth")?, 6_i64);
    /// assert_eq!(options.arguments.get("depth"), Some(&ParamValue::Integer(6)));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_argument(mut self, name: PortName, value: impl Into<ParamValue>) -> Self {
        self.arguments.insert(name, value.into());
        self
    }

    /// Says which steps must run.
    ///
    /// ```
    /// # use mlops_core::id::StepName;
    /// # use mlops_core::pipeline::{Force, RunOptions};
    /// let force = Force::Downstream([StepName::new("fit")?].into());
    /// assert_eq!(RunOptions::new().with_force(force.clone()).force, force);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_force(mut self, force: Force) -> Self {
        self.force = force;
        self
    }

    /// Sets the seed.
    ///
    /// ```
    /// # use mlops_core::pipeline::RunOptions;
    /// assert_eq!(RunOptions::new().with_seed(7).seed, 7);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Lets `cancel` stop it.
    ///
    /// ```
    /// # use mlops_core::pipeline::{Cancel, RunOptions};
    /// let cancel = Cancel::new();
    /// let options = RunOptions::new().with_cancel(cancel.clone());
    /// cancel.cancel(); // from anywhere, while it runs
    /// assert!(options.cancel.is_cancelled());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }
}
