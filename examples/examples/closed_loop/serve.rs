//! Serving over HTTP: a server on this machine, requests as callers make them, and rollouts that the loop drives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::data::Table;
use mlops_core::deploy::EndpointSpec;
use mlops_core::deploy::rollout::LabelledPerformance;
use mlops_core::evaluation::Estimate;
use mlops_core::governance::Secret;
use mlops_core::monitor::MonitorSink;
use mlops_core::num::Random;
use mlops_core::problem::Direction;
use mlops_core::retrain::closed_loop::{ClosedLoop, LoopPhase};
use mlops_core::serve::http::{
    Access, Capture, CaptureSink, CapturedRows, RoutingKey, Running, ServedEndpoint, Server,
};
use mlops_core::{DeploymentName, EndpointName, Error, ErrorKind, MetricKey, Result};
use mlops_eval::classification::brier;
use mlops_examples::narrate::{Progress, say};
use mlops_examples::prepare::LABEL;

use super::build::World;
use super::client::{Ask, Client};

/// Requests that are sent in each step of a rollout.
const REQUESTS: usize = 300;
/// Keys come from a secret store.
const KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// The endpoint, on a port of this machine.
#[derive(Debug)]
pub struct Service {
    pub endpoint: EndpointName,
    running: Running,
    client: Client,
    captured: Arc<Counted>,
    /// Counts all requests, for routing keys.
    requests: u64,
    /// Rows that were answered, all of which are captured.
    answered: usize,
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

/// One answered request.
#[derive(Debug)]
pub struct Answer {
    pub id: String,
    pub row: usize,
    pub deployment: DeploymentName,
    pub prediction: f64,
}

impl Service {
    /// Makes the endpoint and starts the server, on a free port, with a key; every request is captured for the monitor.
    pub async fn open(world: &World) -> Result<Self> {
        let (platform, endpoint) = (&world.platform, world.endpoint()?);
        platform
            .deployer
            .ensure_endpoint(&EndpointSpec::new(endpoint.clone(), platform.actor.clone()))
            .await?;
        let access = Access::keys(&Secret::new(KEY), None)?;
        let served = ServedEndpoint::new(endpoint.clone(), access)
            .with_routing_key(RoutingKey::Header("x-caller".to_owned()));
        let monitor = MonitorSink::new(Arc::new(platform.store.monitor()));
        let captured = Arc::new(Counted { monitor, rows: AtomicUsize::new(0) });
        let running = Server::new(Arc::clone(&platform.host))
            .with_endpoint(served)
            .with_capture(Capture::new(Arc::clone(&captured) as Arc<dyn CaptureSink>))
            .with_clock(Arc::clone(&platform.clock) as _)
            .start(([127, 0, 0, 1], 0).into())
            .await?;
        say(format_args!("POST http://{}/score answers whoever has the key.", running.local_addr()));
        let client = Client::connect(running.local_addr(), KEY).await?;
        Ok(Self { endpoint, running, client, captured, requests: 0, answered: 0 })
    }

    /// Sends the rows of `which`, one request each, as callers do. The requests are called `name-0`, `name-1`, …
    pub async fn send(&mut self, world: &World, name: &str, which: &[usize]) -> Result<Vec<Answer>> {
        let mut progress = Progress::new("requests", which.len() as u64);
        let mut answers = Vec::with_capacity(which.len());
        for (number, &row) in which.iter().enumerate() {
            self.requests += 1;
            let rows = world.production.take(&[row])?;
            let (id, caller) = (format!("{name}-{number}"), format!("caller-{}", self.requests));
            let ask = Ask::Routed { id: &id, caller: &caller };
            let scores = self.client.score(ask, &rows, &world.prepared.features).await?;
            let prediction = scores.predictions.first().copied().unwrap_or(f64::NAN);
            answers.push(Answer { id, row, deployment: scores.deployment, prediction });
            progress.tick();
        }
        self.answered += which.len();
        Ok(answers)
    }

    /// Waits until the monitor has everything that was answered so far.
    pub async fn settle(&self) -> Result<()> {
        for _ in 0..2_000 {
            if self.captured.rows.load(Relaxed) >= self.answered {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (captured, answered) = (self.captured.rows.load(Relaxed), self.answered);
        let message = format!("{captured} of {answered} rows that were answered reached the monitor");
        Err(Error::new(ErrorKind::Integrity, "capture", message))
    }

    /// Sees the loop's rollout to its end, step by step, each judged on operation and on labelled rows. The first version of all has
    /// nothing to be compared with, and gets all traffic after its smoke test.
    pub async fn roll_out(&mut self, world: &World, one: &mut ClosedLoop) -> Result<LoopPhase> {
        let cycle = one.state().cycle;
        let mut random = Random::new(world.setup.source.seed).stream("rollout").nth(cycle);
        for step in 0_u32.. {
            // The server looks ten times a second by itself; here nobody wants to wait.
            self.running.refresh(&self.endpoint).await?;
            let (candidate, stable) = match &one.state().phase {
                LoopPhase::RollingOut { plan, .. } => (plan.candidate().clone(), plan.stable().cloned()),
                LoopPhase::Promoting { .. } => {
                    one.advance().await?;
                    continue;
                }
                phase => {
                    let phase = phase.clone();
                    let ended = matches!(phase, LoopPhase::Promoted { .. } | LoopPhase::RolledBack { .. });
                    if let Some(status) = one.rollout().filter(|_| ended) {
                        say(status);
                    }
                    return Ok(phase);
                }
            };
            if let Some(status) = one.rollout() {
                say(status);
            }
            if step > 100 {
                return Err(Error::new(ErrorKind::Timeout, "rollout", "the rollout does not end"));
            }
            if let Some(stable) = stable {
                let rows = draw(&mut random, world.production.rows(), REQUESTS);
                let answers = self.send(world, &format!("cycle-{cycle}-step-{step}"), &rows).await?;
                if let Some(performance) = self.compare(world, &candidate, &stable, &answers).await? {
                    one.report_performance(performance);
                }
            }
            world.platform.clock.advance(Duration::from_secs(600));
            one.advance().await?;
        }
        Err(Error::new(ErrorKind::Internal, "rollout", "there are no more numbers"))
    }

    /// Brier score of the candidate and of the stable version on the rows that the candidate answered: the stable one is asked for
    /// the same rows past the split.
    async fn compare(
        &mut self,
        world: &World,
        candidate: &DeploymentName,
        stable: &DeploymentName,
        answers: &[Answer],
    ) -> Result<Option<LabelledPerformance>> {
        let answered: Vec<&Answer> = answers.iter().filter(|a| a.deployment == *candidate).collect();
        if answered.is_empty() {
            return Ok(None);
        }
        let rows = world.production.take(&answered.iter().map(|a| a.row).collect::<Vec<_>>())?;
        let score = |predicted: &[f64]| {
            let estimate = brier(&truth(&rows)?, predicted)?;
            Ok::<_, Error>(Estimate::new(estimate, Direction::LowerIsBetter, rows.rows() as u64))
        };
        let predicted: Vec<f64> = answered.iter().map(|a| a.prediction).collect();
        let candidate = score(&predicted)?;
        let scores = self.client.score(Ask::Pinned(stable), &rows, &world.prepared.features).await?;
        self.answered += rows.rows();
        let stable = score(&scores.predictions)?;
        Ok(Some(LabelledPerformance { metric: MetricKey::new("brier")?, candidate, stable }))
    }

    /// Stops the server; every request was answered, and every row reached the monitor.
    pub async fn close(self) -> Result<()> {
        let (requests, answered) = (self.requests, self.answered);
        self.settle().await?;
        drop(self.client);
        let drained = self.running.stop().await;
        if !drained.is_complete() || drained.uncaptured > 0 {
            let message = format!("the server did not end well: {drained:?}");
            return Err(Error::new(ErrorKind::Integrity, "server", message));
        }
        say(format_args!(
            "The server stops; {requests} callers were answered over HTTP, {answered} rows are with the monitor."
        ));
        Ok(())
    }
}

/// The labels of some rows.
pub fn truth(rows: &Table<'_>) -> Result<Vec<bool>> {
    Ok(rows.column(LABEL)?.to_f64()?.iter().map(|y| *y == 1.0).collect())
}

/// `n` rows below `bound`, with replacement.
pub fn draw(random: &mut Random, bound: usize, n: usize) -> Vec<usize> {
    let Some(bound) = std::num::NonZeroU64::new(bound as u64) else { return Vec::new() };
    (0..n).map(|_| usize::try_from(random.below(bound)).unwrap_or_default()).collect()
}
