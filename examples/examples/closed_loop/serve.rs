//! Serving: requests as callers make them, and rollouts that the loop drives.

use std::time::Duration;

use mlops_core::data::Table;
use mlops_core::deploy::EndpointSpec;
use mlops_core::deploy::rollout::LabelledPerformance;
use mlops_core::evaluation::Estimate;
use mlops_core::num::Random;
use mlops_core::problem::Direction;
use mlops_core::retrain::closed_loop::{ClosedLoop, LoopPhase};
use mlops_core::{DeploymentName, EndpointName, Error, ErrorKind, MetricKey, Result};
use mlops_eval::classification::brier;
use mlops_examples::narrate::{Progress, say};
use mlops_examples::prepare::LABEL;

use super::build::World;
use super::client::Ask;
use super::front::Front;

/// Requests that are sent in each step of a rollout.
const REQUESTS: usize = 300;

/// The endpoint, and everybody who asks it.
#[derive(Debug)]
pub struct Service {
    pub endpoint: EndpointName,
    front: Front,
    /// Counts all requests, for routing keys.
    requests: u64,
    /// Rows that were answered, all of which are captured.
    answered: usize,
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
    /// Makes the endpoint and opens it to callers.
    pub async fn open(world: &World) -> Result<Self> {
        let (platform, endpoint) = (&world.platform, world.endpoint()?);
        platform
            .deployer
            .ensure_endpoint(&EndpointSpec::new(endpoint.clone(), platform.actor.clone()))
            .await?;
        let front = Front::open(platform, &endpoint).await?;
        Ok(Self { endpoint, front, requests: 0, answered: 0 })
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
            let scores = self.front.score(ask, &rows, &world.prepared.features).await?;
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
            if self.front.captured() >= self.answered {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (captured, answered) = (self.front.captured(), self.answered);
        let message = format!("{captured} of {answered} rows that were answered reached the monitor");
        Err(Error::new(ErrorKind::Integrity, "capture", message))
    }

    /// Sees the loop's rollout to its end, step by step, each judged on operation and on labelled rows. The first version of all has
    /// nothing to be compared with, and gets all traffic after its smoke test.
    pub async fn roll_out(&mut self, world: &World, one: &mut ClosedLoop) -> Result<LoopPhase> {
        let cycle = one.state().cycle;
        let mut random = Random::new(world.setup.source.seed).stream("rollout").nth(cycle);
        for step in 0_u32.. {
            self.front.refresh(&self.endpoint).await?;
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
        let scores = self.front.score(Ask::Pinned(stable), &rows, &world.prepared.features).await?;
        self.answered += rows.rows();
        let stable = score(&scores.predictions)?;
        Ok(Some(LabelledPerformance::new(MetricKey::new("brier")?, candidate, stable)))
    }

    /// Closes the endpoint to callers; every request was answered, and every row reached the monitor.
    pub async fn close(self) -> Result<()> {
        self.settle().await?;
        self.front.close().await?;
        say(format_args!(
            "{} callers were answered, {} rows are with the monitor.",
            self.requests, self.answered
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
