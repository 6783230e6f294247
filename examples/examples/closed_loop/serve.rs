//! Deploying, sending requests, and rolling out step by step.

use std::sync::Arc;
use std::time::Duration;

use mlops_core::data::Table;
use mlops_core::deploy::rollout::{
    LabelledPerformance, OperationGuard, PerformanceGuard, Phase, RolloutDriver, RolloutOptions, RolloutPlan,
    RolloutStatus,
};
use mlops_core::deploy::{Deployer as _, DeploymentSpec, EndpointSpec, InvokeRequest, SmokeTest};
use mlops_core::evaluation::Estimate;
use mlops_core::model::Predictor as _;
use mlops_core::num::Random;
use mlops_core::problem::Direction;
use mlops_core::registry::ModelVersion;
use mlops_core::{DeploymentName, EndpointName, Error, ErrorKind, MetricKey, Result};
use mlops_eval::classification::brier;
use mlops_examples::narrate::{Progress, say};
use mlops_examples::prepare::LABEL;

use super::build::{Trained, World};

/// Requests that are sent in each step of a rollout.
const REQUESTS: usize = 300;

/// The endpoint and what serves on it.
#[derive(Debug)]
pub struct Service {
    pub endpoint: EndpointName,
    /// The deployment that has all traffic.
    pub stable: DeploymentName,
    /// Counts all requests, for routing keys and ids.
    requests: u64,
}

/// One answered request.
#[derive(Debug)]
pub struct Answer {
    pub row: usize,
    pub deployment: DeploymentName,
    pub prediction: f64,
}

/// How a rollout ended.
#[derive(Debug)]
pub struct Outcome(RolloutStatus);

impl Outcome {
    pub fn require_promoted(&self) -> Result<()> {
        if self.0.is_promoted() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Rejected,
            "rollout",
            format!("the rollout did not reach the end: {}", self.0),
        ))
    }

    pub fn require_rolled_back(&self) -> Result<()> {
        if matches!(self.0.phase, Phase::RolledBack { .. }) {
            return Ok(());
        }
        let message = format!("a bad candidate was not taken back: {}", self.0);
        Err(Error::new(ErrorKind::Rejected, "rollout", message))
    }
}

impl Service {
    /// Makes the endpoint and lets a first version serve, so that there is something to fall back to.
    pub async fn open(world: &World, first: &ModelVersion) -> Result<Self> {
        let platform = &world.platform;
        let endpoint = EndpointName::new("progression")?;
        platform
            .deployer
            .ensure_endpoint(&EndpointSpec::new(endpoint.clone(), platform.actor.clone()))
            .await?;
        let stable = deployment(first)?;
        let service = Self { endpoint: endpoint.clone(), stable: stable.clone(), requests: 0 };
        service.deploy(world, first).await?;
        let options = options();
        let plan = RolloutPlan::first(endpoint, stable, platform.actor.clone(), options)?;
        let mut driver = service.driver(world, plan, SmokeTest::new(world.production.take(&[0])?)?);
        // With nothing to compare with, the first version bakes on a single request.
        let mut service = service;
        loop {
            let status = driver.advance(world.now()).await?;
            if status.is_terminal() {
                Outcome(status).require_promoted()?;
                break;
            }
            service.send(world, &[0; 20]).await?;
            platform.clock.advance(Duration::from_secs(60));
        }
        say("The baseline serves first, so that there is something to fall back to.");
        Ok(service)
    }

    async fn deploy(&self, world: &World, version: &ModelVersion) -> Result<()> {
        let spec = DeploymentSpec::new(
            self.endpoint.clone(),
            deployment(version)?,
            version.spec.model.clone(),
            version.version,
            world.platform.actor.clone(),
        );
        world.platform.deployer.deploy(&spec).await.map(drop)
    }

    fn driver(&self, world: &World, plan: RolloutPlan, smoke: SmokeTest) -> RolloutDriver {
        let deployer = Arc::clone(&world.platform.deployer);
        RolloutDriver::new(plan, smoke, deployer, Arc::clone(&world.platform.rollouts))
            .with_audit(Arc::clone(&world.platform.audit))
    }

    /// Sends the rows of `which`, one request each, as callers do.
    pub async fn send(&mut self, world: &World, which: &[usize]) -> Result<Vec<Answer>> {
        let mut progress = Progress::new("requests", which.len() as u64);
        let mut answers = Vec::with_capacity(which.len());
        for &row in which {
            self.requests += 1;
            let rows = world.production.take(&[row])?;
            let request = InvokeRequest {
                endpoint: self.endpoint.clone(),
                deployment: None,
                routing_key: Some(format!("caller-{}", self.requests)),
                rows: &rows,
            };
            let response = world.platform.deployer.invoke(&request).await?;
            let prediction = response.predictions.as_slice().first().copied().unwrap_or(f64::NAN);
            answers.push(Answer { row, deployment: response.deployment, prediction });
            progress.tick();
        }
        Ok(answers)
    }

    /// Moves all traffic to a version, step by step, judged at each step on operation and on labelled rows.
    pub async fn roll_out(
        &mut self,
        world: &World,
        version: &ModelVersion,
        trained: &Trained,
    ) -> Result<Outcome> {
        let platform = &world.platform;
        self.deploy(world, version).await?;
        let candidate = deployment(version)?;
        let sample = world.production.take(&(0..5.min(world.production.rows())).collect::<Vec<_>>())?;
        let expected = trained.predictor.predict(&sample)?;
        let smoke = SmokeTest::new(sample)?.expecting(expected, 1e-12)?;
        let plan = RolloutPlan::canary(
            self.endpoint.clone(),
            self.stable.clone(),
            candidate.clone(),
            platform.actor.clone(),
            options().with_guard("performance"),
        )?;
        let guard = PerformanceGuard::default().with_margin(0.05).with_min_rows(10);
        let mut driver = self.driver(world, plan, smoke).with_guard(Arc::new(guard));
        let mut random = Random::new(world.setup.source.seed).stream("rollout").nth(version.version.get());
        loop {
            let status = driver.advance(world.now()).await?;
            say(&status);
            if status.is_terminal() {
                if status.is_promoted() {
                    self.stable = candidate;
                }
                return Ok(Outcome(status));
            }
            let rows = draw(&mut random, world.production.rows(), REQUESTS);
            let answers = self.send(world, &rows).await?;
            if let Some(performance) = self.compare(world, &candidate, &answers).await? {
                driver.report_performance(performance);
            }
            platform.clock.advance(Duration::from_secs(600));
        }
    }

    /// Brier score of the candidate and of the stable version on the rows that the candidate answered: the stable one is asked
    /// for the same rows in the shadow.
    async fn compare(
        &self,
        world: &World,
        candidate: &DeploymentName,
        answers: &[Answer],
    ) -> Result<Option<LabelledPerformance>> {
        let answered: Vec<&Answer> = answers.iter().filter(|a| a.deployment == *candidate).collect();
        if answered.is_empty() {
            return Ok(None);
        }
        let rows = world.production.take(&answered.iter().map(|a| a.row).collect::<Vec<_>>())?;
        let shadow = InvokeRequest {
            endpoint: self.endpoint.clone(),
            deployment: Some(self.stable.clone()),
            routing_key: None,
            rows: &rows,
        };
        let stable = world.platform.deployer.invoke(&shadow).await?.predictions;
        let predicted: Vec<f64> = answered.iter().map(|a| a.prediction).collect();
        let score = |predicted: &[f64]| {
            let estimate = brier(&truth(&rows)?, predicted)?;
            Ok::<_, Error>(Estimate::new(estimate, Direction::LowerIsBetter, rows.rows() as u64))
        };
        let (candidate, stable) = (score(&predicted)?, score(stable.as_slice())?);
        Ok(Some(LabelledPerformance { metric: MetricKey::new("brier")?, candidate, stable }))
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

fn options() -> RolloutOptions {
    RolloutOptions::default()
        .with_bake(Duration::from_secs(60))
        .with_limits(OperationGuard::default().with_min_requests(10).with_max_failure_rate(0.01))
}

/// One deployment for each version.
pub fn deployment(version: &ModelVersion) -> Result<DeploymentName> {
    Ok(DeploymentName::new(format!("version-{}", version.version))?)
}
