//! One attempt of one step: what goes in, whether it is there already, what comes out.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};

use super::book::Checkpoints;
use super::drive::{Drive, Landed};
use crate::artifact::{ArtifactStoreExt as _, Blob};
use crate::error::{ErrorKind, Result};
use crate::governance::{BudgetStop, Secret};
use crate::id::{PortName, StepName};
use crate::num::Random;
use crate::pipeline::body::{Inner, Made};
use crate::pipeline::cache::verify;
use crate::pipeline::publish::Attempt;
use crate::pipeline::spending::Spending;
use crate::pipeline::{
    Cancel, Claim, Claimed, Component, Content, ErrorClass, KeyInput, KeyParts, ParamValue, PipelineEvent,
    RunReason, Source, StepContext, StepError, StepKey, StepMetric, StepRecord, StepSpec, StepStatus,
};
use crate::time::{Timestamp, lock};

/// How many records of a component are compared with, to say what changed.
const COMPARED: usize = 32;

/// Everything that goes into a step.
struct Job<'a> {
    step: &'a StepSpec,
    component: &'a Arc<Component>,
    parameters: BTreeMap<PortName, ParamValue>,
    secrets: BTreeMap<PortName, Secret>,
    inputs: BTreeMap<PortName, Content>,
    parts: KeyParts,
    key: StepKey,
    status: StepStatus,
}

/// What the cache says.
enum Lookup {
    Hit(Box<StepRecord>),
    Miss(RunReason),
    /// Nobody made this before.
    Unknown,
}

/// How a step comes to its outputs.
enum Way {
    /// They are there.
    Reuse(Box<StepRecord>),
    /// They must be made; with the right to say so, where that can be of use.
    Make(RunReason, Option<Claim>),
    /// They are not wanted any more.
    Stopped,
}

/// How an attempt ended.
enum Outcome {
    Made,
    Failed(StepError),
    Stopped,
}

impl Drive<'_> {
    /// Brings a step that is ready one attempt further.
    pub(super) async fn work(&self, number: usize, stop: Cancel) -> Result<Landed> {
        let job = self.job(number).await?;
        if job.status.preempted > job.step.retry.preemptions {
            let error = StepError::preempted(format!("it was cut off {} times", job.status.preempted));
            return self.fail(&job, error).await;
        }
        match self.way(&job, &stop).await? {
            Way::Reuse(record) => self.reuse(&job, &record).await,
            Way::Make(reason, claim) => match self.admitted(&job.step.id) {
                Ok(spending) => self.attempt(&job, reason, claim, stop, spending).await,
                Err(refused) => {
                    if let Some(claim) = &claim {
                        self.executor.backends.cache.release(claim).await?;
                    }
                    Ok(Landed::Refused(refused))
                }
            },
            Way::Stopped => self.stopped(&job.step.id).await,
        }
    }

    /// Whether an attempt may cost what it will.
    fn admitted(&self, step: &StepName) -> Result<Spending, BudgetStop> {
        let Some((guard, costs)) = self.executor.guard.as_ref() else { return Ok(Spending::default()) };
        let cost = costs.of(step);
        guard.admit(cost).map(|ticket| Spending::new(cost, Some(ticket)))
    }

    async fn job(&self, number: usize) -> Result<Job<'_>> {
        let (step, component) = (self.pipeline.step_at(number), self.pipeline.component_at(number));
        let parameters = self.pipeline.parameters(number, step, &self.plan.arguments)?;
        let (inputs, status) = self.inputs(step).await?;
        let mut parts = KeyParts::new(component.name.clone(), component.version.clone(), component.code);
        parts.environment = component.environment;
        parts.parameters = parameters.clone();
        let key_input = |content: &Content| KeyInput { r#type: content.r#type, digest: content.digest };
        parts.inputs = inputs.iter().map(|(port, content)| (port.clone(), key_input(content))).collect();
        parts.outputs = component.outputs.clone();
        parts.seed = Some(self.plan.seed);
        let mut secrets = BTreeMap::new();
        if let Some((store, fingerprint_key)) = &self.executor.secrets {
            for (port, name) in &step.secrets {
                let secret = store.get(name).await?;
                parts
                    .secrets
                    .insert(port.clone(), crate::pipeline::secret_fingerprint(fingerprint_key, &secret));
                secrets.insert(port.clone(), secret);
            }
        }
        let key = parts.key()?;
        Ok(Job { step, component, parameters, secrets, inputs, parts, key, status })
    }

    async fn inputs(&self, step: &StepSpec) -> Result<(BTreeMap<PortName, Content>, StepStatus)> {
        let found = self
            .book
            .look(|state| {
                let content = |source: &Source| match source {
                    Source::Input(name) => self.plan.inputs.get(name),
                    Source::Output { step, port } => state.step(step)?.state.outputs()?.get(port),
                };
                let inputs = step.inputs.iter();
                let inputs =
                    inputs.filter_map(|(port, source)| Some((port.clone(), content(source)?.clone())));
                Some((inputs.collect(), state.step(&step.id)?.clone()))
            })
            .await;
        found.ok_or_else(|| crate::Error::not_found("PipelineExecutor::run", "step", &step.id))
    }

    async fn way(&self, job: &Job<'_>, stop: &Cancel) -> Result<Way> {
        let again = |reason| if job.status.attempts > 0 { RunReason::Again } else { reason };
        if !job.component.is_deterministic {
            return Ok(Way::Make(again(RunReason::NotDeterministic), None));
        }
        let (cache, options) = (&self.executor.backends.cache, &self.executor.options);
        // The same run and step is the same holder: who resumes a run takes over what it held when it was cut off.
        let holder = format!("{}/{}", self.book.run(), job.step.id);
        loop {
            if let Lookup::Hit(record) = self.look_up(job).await? {
                return Ok(Way::Reuse(record));
            }
            match cache.claim(&job.key, &holder, options.lease).await? {
                Claimed::Held { .. } => {}
                Claimed::Granted(claim) => {
                    // Between looking and claiming, somebody may have made it and given the claim back.
                    return match self.look_up(job).await? {
                        Lookup::Hit(record) => {
                            cache.release(&claim).await?;
                            Ok(Way::Reuse(record))
                        }
                        Lookup::Miss(reason) => Ok(Way::Make(again(reason), Some(claim))),
                        Lookup::Unknown if job.status.attempts > 0 => {
                            Ok(Way::Make(RunReason::Again, Some(claim)))
                        }
                        Lookup::Unknown => Ok(Way::Make(self.why(job).await?, Some(claim))),
                    };
                }
            }
            if stop.is_cancelled() {
                return Ok(Way::Stopped);
            }
            let pause = self.executor.backends.pause.pause(options.poll);
            futures_util::future::select(pause, Box::pin(stop.cancelled())).await;
        }
    }

    async fn look_up(&self, job: &Job<'_>) -> Result<Lookup> {
        let backends = &self.executor.backends;
        if self.forced.contains(&job.step.id) {
            return Ok(Lookup::Miss(RunReason::Forced));
        }
        if !job.step.reuse {
            return Ok(Lookup::Miss(RunReason::ReuseOff));
        }
        let Some(record) = backends.cache.get(&job.key).await? else {
            return Ok(Lookup::Unknown);
        };
        if let Some(at) = record.expires_at.filter(|_| record.is_expired(backends.clock.now())) {
            return Ok(Lookup::Miss(RunReason::Expired { at }));
        }
        match verify(&record, self.executor.options.verify, &*backends.artifacts).await? {
            None => Ok(Lookup::Hit(Box::new(record))),
            Some(damage) => Ok(Lookup::Miss(RunReason::Damaged(damage))),
        }
    }

    /// Why a step runs that nobody made before: what is different from the record of the component that is most like it, the newest
    /// of those.
    async fn why(&self, job: &Job<'_>) -> Result<RunReason> {
        let records = self.executor.backends.cache.recent(&job.component.name, COMPARED).await?;
        let compared = records.iter().map(|record| (record, record.parts.differences(&job.parts)));
        Ok(match compared.min_by_key(|(_, differences)| differences.len()) {
            Some((record, differences)) => RunReason::Changed { since: record.run.clone(), differences },
            None => RunReason::NeverRan,
        })
    }

    async fn stopped(&self, step: &StepName) -> Result<Landed> {
        let reason = "it was stopped".to_owned();
        self.book.record(PipelineEvent::Cancelled { step: step.clone(), reason }).await?;
        Ok(Landed::Ended)
    }

    async fn reuse(&self, job: &Job<'_>, record: &StepRecord) -> Result<Landed> {
        let outputs = self.registered(job, &record.outputs).await?;
        let now = self.executor.backends.clock.now();
        self.publish(job, 0, now, &outputs, Some(record), None, None).await?;
        let (step, key, from) = (job.step.id.clone(), job.key, record.run.clone());
        self.book.record(PipelineEvent::Reused { step, key, outputs, from }).await?;
        Ok(Landed::Ended)
    }

    async fn attempt(
        &self,
        job: &Job<'_>,
        reason: RunReason,
        mut claim: Option<Claim>,
        stop: Cancel,
        spending: Spending,
    ) -> Result<Landed> {
        let backends = &self.executor.backends;
        let body = self.executor.components.body(job.component)?;
        let (step, attempt) = (job.step.id.clone(), job.status.attempts.saturating_add(1));
        let (began, clock) = (backends.clock.now(), backends.clock.monotonic());
        self.book.record(PipelineEvent::Started { step, attempt, reason: reason.clone() }).await?;
        // An attempt that is cut off has cost what was expected, as far as anybody knows.
        let expected = spending.expected();
        self.spent(job, attempt, 0.0, expected).await?;
        // What watches the attempt is its own: a timeout stops it, and not the step.
        let watch = Cancel::new();
        let context = self.context(job, attempt, watch.clone(), spending);
        let bill = context.clone();
        let work = contained(async move { body.run(context.clone()).await.map(|()| context) });
        let (outcome, context) = self.race(job, work, &watch, &stop, &mut claim).await?;
        let took = backends.clock.monotonic().saturating_sub(clock);
        self.spent(job, attempt, expected, bill.0.spending.close()).await?;
        let landed = match (outcome, context) {
            (Outcome::Made, Some(context)) => {
                let made = std::mem::take(&mut *lock(&context.0.made));
                match outputs(job, &made) {
                    Ok(outputs) => {
                        let made = (outputs, made);
                        self.succeed(job, attempt, (began, took), made, claim.as_ref(), &reason).await
                    }
                    Err(error) => self.failed(job, attempt, began, error, &reason).await,
                }
            }
            (Outcome::Stopped, _) => self.stopped(&job.step.id).await,
            (Outcome::Failed(error), _) => self.failed(job, attempt, began, error, &reason).await,
            (Outcome::Made, None) => {
                self.failed(job, attempt, began, StepError::permanent("the step left no context"), &reason)
                    .await
            }
        }?;
        if let Some(claim) = &claim {
            backends.cache.release(claim).await?;
        }
        Ok(landed)
    }

    /// Writes down what an attempt costs, where that is something else than what is written.
    async fn spent(&self, job: &Job<'_>, attempt: u32, written: f64, cost: f64) -> Result<()> {
        if written == cost {
            return Ok(());
        }
        self.book.record(PipelineEvent::Spent { step: job.step.id.clone(), attempt, cost }).await
    }

    fn context(&self, job: &Job<'_>, attempt: u32, cancel: Cancel, spending: Spending) -> StepContext {
        let (book, step) = (self.book.clone(), job.step.id.clone());
        StepContext(Arc::new(Inner {
            run: self.book.run().clone(),
            step: step.clone(),
            attempt,
            key: job.key,
            seed: self.plan.seed,
            parameters: job.parameters.clone(),
            secrets: job.secrets.clone(),
            inputs: job.inputs.clone(),
            component: job.component.clone(),
            artifacts: self.executor.backends.artifacts.clone(),
            checkpoint: job.status.checkpoint,
            sink: Arc::new(Checkpoints { book, step, attempt }),
            cancel,
            made: Mutex::new(Made::default()),
            spending,
        }))
    }

    /// Lets an attempt work until it is done, took too long or is stopped, and keeps its claim meanwhile.
    async fn race(
        &self,
        job: &Job<'_>,
        mut work: BoxFuture<'static, Result<StepContext, StepError>>,
        watch: &Cancel,
        stop: &Cancel,
        claim: &mut Option<Claim>,
    ) -> Result<(Outcome, Option<StepContext>)> {
        enum Turn {
            Done(Result<StepContext, StepError>),
            Late,
            Stop,
            Renew,
        }
        let (backends, lease) = (&self.executor.backends, self.executor.options.lease);
        let mut late = job.step.timeout.map(|timeout| backends.pause.pause(timeout));
        let mut stopped = Box::pin(stop.cancelled());
        loop {
            let mut renew = claim.as_ref().map(|_| backends.pause.pause(lease / 3));
            let turn = poll_fn(|context| {
                if let Poll::Ready(answer) = work.poll_unpin(context) {
                    return Poll::Ready(Turn::Done(answer));
                }
                if stopped.poll_unpin(context).is_ready() {
                    return Poll::Ready(Turn::Stop);
                }
                if late.as_mut().is_some_and(|late| late.poll_unpin(context).is_ready()) {
                    return Poll::Ready(Turn::Late);
                }
                if renew.as_mut().is_some_and(|renew| renew.poll_unpin(context).is_ready()) {
                    return Poll::Ready(Turn::Renew);
                }
                Poll::Pending
            })
            .await;
            match turn {
                Turn::Done(Ok(context)) => return Ok((Outcome::Made, Some(context))),
                Turn::Done(Err(error)) => return Ok((Outcome::Failed(error), None)),
                Turn::Stop => {
                    watch.cancel();
                    return Ok((Outcome::Stopped, None));
                }
                Turn::Late => {
                    watch.cancel();
                    let limit = crate::time::duration_text::format(job.step.timeout.unwrap_or_default());
                    return Ok((
                        Outcome::Failed(StepError::transient(format!("took longer than {limit}"))),
                        None,
                    ));
                }
                Turn::Renew => *claim = self.renew(claim.take()).await?,
            }
        }
    }

    /// A claim that was lost is none: what is made is used in this run, and not kept for others.
    async fn renew(&self, claim: Option<Claim>) -> Result<Option<Claim>> {
        let Some(claim) = claim else { return Ok(None) };
        match self.executor.backends.cache.renew(&claim, self.executor.options.lease).await {
            Ok(claim) => Ok(Some(claim)),
            Err(e) if e.kind() == ErrorKind::Conflict => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn succeed(
        &self,
        job: &Job<'_>,
        attempt: u32,
        (began, took): (Timestamp, Duration),
        (outputs, made): (BTreeMap<PortName, Content>, Made),
        claim: Option<&Claim>,
        reason: &RunReason,
    ) -> Result<Landed> {
        let backends = &self.executor.backends;
        let now = backends.clock.now();
        let (run, step) = (self.book.run().clone(), job.step.id.clone());
        let mut record = StepRecord::new(job.parts.clone(), outputs, run, step.clone(), now)?;
        record.metrics = made.metrics.into_iter().map(|(key, value)| StepMetric { key, value }).collect();
        record.log = self.keep_log(made.log).await?;
        record.took = took;
        let lasts = self.executor.options.expire_after.map(chrono::TimeDelta::from_std);
        record.expires_at = lasts.and_then(|lasts| now.checked_add_signed(lasts.ok()?));
        if let Some(claim) = claim {
            match backends.cache.put(&record, claim).await {
                Ok(()) => {}
                // Somebody took over meanwhile: its record counts, what this attempt made is as good.
                Err(e) if e.kind() == ErrorKind::Conflict => {}
                Err(e) => return Err(e),
            }
        }
        let outputs = self.registered(job, &record.outputs).await?;
        self.publish(job, attempt, began, &outputs, Some(&record), None, Some(reason)).await?;
        let key = job.key;
        self.book.record(PipelineEvent::Succeeded { step, attempt, key, outputs, took }).await?;
        Ok(Landed::Ended)
    }

    async fn keep_log(&self, log: String) -> Result<Option<Blob>> {
        match log.is_empty() {
            true => Ok(None),
            false => self.executor.backends.artifacts.put_bytes(log.into_bytes()).await.map(Some),
        }
    }

    async fn failed(
        &self,
        job: &Job<'_>,
        attempt: u32,
        began: Timestamp,
        error: StepError,
        reason: &RunReason,
    ) -> Result<Landed> {
        self.publish(job, attempt, began, &BTreeMap::new(), None, Some(&error.message), Some(reason)).await?;
        let (mut failed, mut preempted) = (job.status.failed, job.status.preempted);
        match error.class {
            ErrorClass::Preempted => preempted = preempted.saturating_add(1),
            _ => failed = failed.saturating_add(1),
        }
        if !job.step.retry.goes_on(error.class, failed, preempted) {
            return self.fail(job, error).await;
        }
        let random = Random::new(self.plan.seed).stream("retry").stream(job.step.id.as_str());
        let wait = job.step.retry.wait(failed.max(1), &random);
        let (step, class, message) = (job.step.id.clone(), error.class, error.message);
        self.book.record(PipelineEvent::AttemptFailed { step, attempt, class, message, wait }).await?;
        Ok(Landed::Again(wait))
    }

    async fn fail(&self, job: &Job<'_>, error: StepError) -> Result<Landed> {
        let (step, class, message) = (job.step.id.clone(), error.class, error.message);
        self.book.record(PipelineEvent::Failed { step, class, message }).await?;
        Ok(Landed::Ended)
    }

    async fn registered(
        &self,
        job: &Job<'_>,
        outputs: &BTreeMap<PortName, Content>,
    ) -> Result<BTreeMap<PortName, Content>> {
        match &self.executor.publishing {
            Some(publishing) => {
                let artifacts = &*self.executor.backends.artifacts;
                publishing.register(self.book.run(), job.step, outputs, artifacts).await
            }
            None => Ok(outputs.clone()),
        }
    }

    #[allow(clippy::too_many_arguments)] // what there is to say about an attempt, said once
    async fn publish(
        &self,
        job: &Job<'_>,
        attempt: u32,
        began: Timestamp,
        outputs: &BTreeMap<PortName, Content>,
        record: Option<&StepRecord>,
        error: Option<&str>,
        reason: Option<&RunReason>,
    ) -> Result<()> {
        let Some(publishing) = &self.executor.publishing else { return Ok(()) };
        publishing
            .attempt(&Attempt {
                run: self.book.run(),
                step: &job.step.id,
                number: attempt,
                key: job.key,
                began,
                ended: self.executor.backends.clock.now(),
                parameters: &job.parameters,
                inputs: &job.inputs,
                outputs,
                metrics: record.map_or(&[], |record| &record.metrics),
                log: record.and_then(|record| record.log),
                reused: record.map(|record| &record.run).filter(|_| attempt == 0),
                error,
                reason: reason.map(ToString::to_string),
            })
            .await
    }
}

/// What was made, as the component says it.
fn outputs(job: &Job<'_>, made: &Made) -> Result<BTreeMap<PortName, Content>, StepError> {
    let content = |(port, kind): (&PortName, &crate::pipeline::PortType)| match made.outputs.get(port) {
        Some(blob) => Ok((port.clone(), Content::new(*kind, *blob))),
        None => Err(StepError::permanent(format!("the step did not write its output `{port}`"))),
    };
    job.component.outputs.iter().map(content).collect()
}

/// The work as a task of its own, where there is a runtime; a panic in it is a permanent error.
#[cfg(feature = "local")]
fn contained<T: Send + 'static>(
    work: impl Future<Output = Result<T, StepError>> + Send + 'static,
) -> BoxFuture<'static, Result<T, StepError>> {
    struct Abort<T>(tokio::task::JoinHandle<T>);

    impl<T> Drop for Abort<T> {
        fn drop(&mut self) {
            self.0.abort();
        }
    }

    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return in_place(work) };
    let mut task = Abort(runtime.spawn(work));
    Box::pin(async move {
        match (&mut task.0).await {
            Ok(answer) => answer,
            Err(error) if error.is_panic() => Err(StepError::permanent("the step panicked")),
            Err(_) => Err(StepError::preempted("the runtime is shutting down")),
        }
    })
}

#[cfg(not(feature = "local"))]
fn contained<T: Send + 'static>(
    work: impl Future<Output = Result<T, StepError>> + Send + 'static,
) -> BoxFuture<'static, Result<T, StepError>> {
    in_place(work)
}

fn in_place<T: Send + 'static>(
    work: impl Future<Output = Result<T, StepError>> + Send + 'static,
) -> BoxFuture<'static, Result<T, StepError>> {
    // What the work shared is dropped with it, or is ours and locked for whole steps only.
    let guarded = AssertUnwindSafe(work).catch_unwind();
    Box::pin(async move { guarded.await.unwrap_or_else(|_| Err(StepError::permanent("the step panicked"))) })
}
