//! What a rollout will do, decided before it starts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ApproverRole, MetricGuard, OperationGuard, Release, ScoreGuard};
use crate::deploy::{Mirror, Sticky, TrafficSplit};
use crate::error::{Error, Result};
use crate::governance::ApproverKeys;
use crate::hash::{Digest, Hasher, digest_json};
use crate::id::{ActorId, DeploymentName, EndpointName, IdempotencyKey, Percent};
use crate::time::duration_text;

/// What to do when a step has baked and its patience is over, but the guard still cannot say whether the candidate is good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThinData {
    /// Hold the traffic where it is until somebody resumes or aborts, or the deadline passes.
    #[default]
    Pause,
    /// Back to the stable version.
    Rollback,
    /// On to the next step, unjudged.
    Continue,
}

/// How a candidate gets the traffic.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Strategy {
    /// By the steps of the options.
    #[default]
    Canary,
    /// In steps of this size each, the last one smaller if need be.
    Rolling {
        /// The size, above 0.
        batch: Percent,
    },
    /// All at once, with the stable version kept ready for as long as the plan drains, which must be above 0.
    BlueGreen,
    /// All at once.
    AllAtOnce,
    /// First as a shadow, which is asked a share of the requests and answers nobody; judged there as at a step.
    Shadow {
        /// The share of the requests, above 0 and at most what the deployer can mirror.
        share: Percent,
        /// Whether a good shadow gets the traffic then, by the steps of the options; else the rollout ends with the traffic as it was.
        /// Default no.
        #[serde(default)]
        promote: bool,
    },
}

impl Strategy {
    /// The candidate's share step by step; `steps` are those of a canary.
    fn steps(self, steps: &[Percent]) -> Vec<Percent> {
        match self {
            Self::Canary | Self::Shadow { promote: true, .. } => steps.to_vec(),
            Self::BlueGreen | Self::AllAtOnce | Self::Shadow { promote: false, .. } => vec![Percent::ALL],
            Self::Rolling { batch } => {
                let sizes = (1..=100_u8).map(|i| i.saturating_mul(batch.get()).min(100));
                let mut shares: Vec<_> =
                    sizes.filter_map(Percent::new).filter(|s| *s != Percent::ZERO).collect();
                shares.dedup();
                shares
            }
        }
    }

    /// How often something is baked and judged: at every step, and as a shadow.
    fn bakes(self, steps: usize) -> usize {
        match self {
            Self::Shadow { promote: false, .. } => 1,
            Self::Shadow { promote: true, .. } => steps.saturating_add(1),
            _ => steps,
        }
    }

    fn is_canary(&self) -> bool {
        *self == Self::Canary
    }
}

/// How traffic goes back.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rollback {
    /// All of it at once.
    #[default]
    Instant,
    /// Through the splits of the plan, each held for a while, so that the stable version can take it up. Another abort meanwhile
    /// brings back all of it at once.
    Stepped {
        /// How long each split is held.
        #[serde(with = "duration_text")]
        hold: Duration,
    },
}

impl Rollback {
    fn is_instant(&self) -> bool {
        *self == Self::Instant
    }
}

// What is as it always was is not written, so that the digests of plans of before stay what they were.
fn is_zero(duration: &Duration) -> bool {
    duration.is_zero()
}

fn is_one(count: &u32) -> bool {
    *count == 1
}

fn half_an_hour() -> Duration {
    Duration::from_secs(1_800)
}

fn is_half_an_hour(duration: &Duration) -> bool {
    *duration == half_an_hour()
}

/// How a rollout proceeds. The defaults suit a service that people watch.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::deploy::rollout::RolloutOptions;
///
/// let options: RolloutOptions = toml::from_str(
///     r#"
///     steps = [5, 25, 100]
///     bake = "10m"
///     on_no_data = "rollback"
///     limits = { min_requests = 500, max_failure_rate = 0.002 }
///     "#,
/// )?;
/// assert_eq!(options.bake, Duration::from_secs(600));
/// assert_eq!(options.deadline, RolloutOptions::default().deadline);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutOptions {
    /// The candidate's share step by step: above 0, strictly increasing, the last 100. Default 10, 50, 100.
    pub steps: Vec<Percent>,
    /// How long each step lasts at least. Default 5 minutes.
    #[serde(with = "duration_text")]
    pub bake: Duration,
    /// How long past the bake a step waits for data before `on_inconclusive` or `on_no_data` applies. Default 1 hour.
    #[serde(with = "duration_text")]
    pub patience: Duration,
    /// How long the whole rollout may take, waiting and pauses included; after that it is rolled back. Default 1 day.
    #[serde(with = "duration_text")]
    pub deadline: Duration,
    /// When there is too little data. Default pause.
    pub on_inconclusive: ThinData,
    /// When there is no data at all. Default pause.
    pub on_no_data: ThinData,
    /// Limits on how the candidate operates.
    pub limits: OperationGuard,
    /// Names of further guards that must be there; one that is not attached to the driver counts as without data.
    pub guards: Vec<String>,
    /// Whether somebody must approve the plan before the candidate gets all traffic. Default no.
    pub approval: bool,
    /// How often a smoke test that cannot be run, or a change of traffic that fails, is tried in a row. Default 5.
    pub max_attempts: u32,
    /// How the candidate gets the traffic. Default by `steps`.
    #[serde(skip_serializing_if = "Strategy::is_canary")]
    pub strategy: Strategy,
    /// Guards on metrics, judged at every look.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricGuard>,
    /// How long the stable version is kept ready, and the guards go on judging, after the last step. Default not at all.
    #[serde(with = "duration_text", skip_serializing_if = "is_zero")]
    pub drain: Duration,
    /// How traffic goes back. Default at once.
    #[serde(skip_serializing_if = "Rollback::is_instant")]
    pub rollback: Rollback,
    /// How many different people must approve, where an approval is demanded. Default 1.
    #[serde(skip_serializing_if = "is_one")]
    pub approvals: u32,
    /// Roles that must approve, where an approval is demanded: all of them, each by as many of its members as it says. Then nobody
    /// else's approval counts. Default anybody may.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approver_roles: Vec<ApproverRole>,
    /// How long approvals are waited for, and count; after that it is rolled back. Default as long as the whole rollout may take.
    #[serde(with = "duration_text::option", skip_serializing_if = "Option::is_none")]
    pub approval_expiry: Option<Duration>,
    /// Scores over guards on metrics, which then count by their score alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<ScoreGuard>,
    /// How long the checks at the beginning may take, and after them the candidate until it is ready. Default 30 minutes each.
    #[serde(with = "duration_text", skip_serializing_if = "is_half_an_hour")]
    pub startup: Duration,
    /// How many deployments the endpoint may have, the candidate included. Default no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_deployments: Option<u32>,
    /// What keeps a caller at its variant: every split that the rollout sets says so. Default what each server is told. A deployer
    /// that cannot route by it is refused before anything moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// Public keys of those who may approve, where an approval is demanded: each answer must be signed with a key of who gave it.
    /// Default none, and nothing has to be signed.
    #[serde(skip_serializing_if = "ApproverKeys::is_empty")]
    pub approver_keys: ApproverKeys,
}

impl Default for RolloutOptions {
    fn default() -> Self {
        Self {
            steps: [10, 50, 100].into_iter().filter_map(Percent::new).collect(),
            bake: Duration::from_secs(300),
            patience: Duration::from_secs(3_600),
            deadline: Duration::from_secs(86_400),
            on_inconclusive: ThinData::Pause,
            on_no_data: ThinData::Pause,
            limits: OperationGuard::default(),
            guards: Vec::new(),
            approval: false,
            max_attempts: 5,
            strategy: Strategy::Canary,
            metrics: Vec::new(),
            drain: Duration::ZERO,
            rollback: Rollback::Instant,
            approvals: 1,
            approver_roles: Vec::new(),
            approval_expiry: None,
            scores: Vec::new(),
            startup: half_an_hour(),
            max_deployments: None,
            sticky: None,
            approver_keys: ApproverKeys::new(),
        }
    }
}

impl RolloutOptions {
    /// Sets the candidate's share step by step.
    #[must_use]
    pub fn with_steps(mut self, steps: impl IntoIterator<Item = Percent>) -> Self {
        self.steps = steps.into_iter().collect();
        self
    }

    /// Sets how long each step lasts at least.
    #[must_use]
    pub fn with_bake(mut self, bake: Duration) -> Self {
        self.bake = bake;
        self
    }

    /// Sets how long past the bake a step waits for data.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets how long the whole rollout may take.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets what to do when there is too little data.
    #[must_use]
    pub fn on_inconclusive(mut self, policy: ThinData) -> Self {
        self.on_inconclusive = policy;
        self
    }

    /// Sets what to do when there is no data at all.
    #[must_use]
    pub fn on_no_data(mut self, policy: ThinData) -> Self {
        self.on_no_data = policy;
        self
    }

    /// Sets the limits on how the candidate operates.
    #[must_use]
    pub fn with_limits(mut self, limits: OperationGuard) -> Self {
        self.limits = limits;
        self
    }

    /// Demands a further guard.
    #[must_use]
    pub fn with_guard(mut self, name: impl Into<String>) -> Self {
        self.guards.push(name.into());
        self
    }

    /// Demands an approval before the candidate gets all traffic.
    #[must_use]
    pub fn with_approval(mut self) -> Self {
        self.approval = true;
        self
    }

    /// Sets how often what fails is tried in a row.
    #[must_use]
    pub fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets how the candidate gets the traffic.
    #[must_use]
    pub fn with_strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Adds a guard on a metric.
    #[must_use]
    pub fn with_metric(mut self, guard: MetricGuard) -> Self {
        self.metrics.push(guard);
        self
    }

    /// Sets how long the stable version is kept ready after the last step.
    #[must_use]
    pub fn with_drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// Sets how traffic goes back.
    #[must_use]
    pub fn with_rollback(mut self, rollback: Rollback) -> Self {
        self.rollback = rollback;
        self
    }

    /// Demands an approval by so many different people before the candidate gets all traffic.
    #[must_use]
    pub fn with_approvals(mut self, count: u32) -> Self {
        (self.approval, self.approvals) = (true, count);
        self
    }

    /// Demands an approval by a role before the candidate gets all traffic.
    #[must_use]
    pub fn with_approver_role(mut self, role: ApproverRole) -> Self {
        self.approval = true;
        self.approver_roles.push(role);
        self
    }

    /// Sets how long approvals are waited for, and count.
    #[must_use]
    pub fn with_approval_expiry(mut self, expiry: Duration) -> Self {
        self.approval_expiry = Some(expiry);
        self
    }

    /// Adds a score over guards on metrics.
    #[must_use]
    pub fn with_score(mut self, score: ScoreGuard) -> Self {
        self.scores.push(score);
        self
    }

    /// Sets how long the checks at the beginning, and then the candidate until it is ready, may take.
    #[must_use]
    pub fn with_startup(mut self, startup: Duration) -> Self {
        self.startup = startup;
        self
    }

    /// Sets how many deployments the endpoint may have, the candidate included.
    #[must_use]
    pub fn with_max_deployments(mut self, deployments: u32) -> Self {
        self.max_deployments = Some(deployments);
        self
    }

    /// Sets what keeps a caller at its variant.
    ///
    /// ```
    /// use mlops_core::deploy::Sticky;
    /// use mlops_core::deploy::rollout::{RolloutOptions, RolloutPlan};
    ///
    /// let options: RolloutOptions = toml::from_str(r#"sticky = { header = "x-user", salt = "autumn" }"#)?;
    /// assert_eq!(options.sticky, Some(Sticky::header("x-user")?.with_salt("autumn")?));
    /// let plan = RolloutPlan::canary("risk".parse()?, "blue".parse()?, "green".parse()?, "bot".parse()?, options)?;
    /// assert!(plan.split(0).sticky().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_sticky(mut self, sticky: Sticky) -> Self {
        self.sticky = Some(sticky);
        self
    }

    /// Demands an approval, signed with one of these keys, before the candidate gets all traffic.
    #[must_use]
    pub fn with_approver_keys(mut self, keys: ApproverKeys) -> Self {
        (self.approval, self.approver_keys) = (true, keys);
        self
    }

    /// Checks that the options can be followed.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the option.
    ///
    /// ```
    /// use mlops_core::Percent;
    /// use mlops_core::deploy::rollout::RolloutOptions;
    /// let options = RolloutOptions::default();
    /// assert!(options.check().is_ok());
    /// assert!(options.with_steps(Percent::new(50)).check().is_err());
    /// ```
    pub fn check(&self) -> Result<()> {
        let bad = |field, message: String| Err(Error::invalid("RolloutOptions::check", field, message));
        let steps = self.strategy.steps(&self.steps);
        if matches!(self.strategy, Strategy::Shadow { share: Percent::ZERO, .. }) {
            return bad("strategy", "a shadow must have a share above 0".into());
        }
        if steps.first().is_none_or(|first| *first == Percent::ZERO)
            || steps.last() != Some(&Percent::ALL)
            || !steps.is_sorted_by(|a, b| a < b)
        {
            let shown: Vec<_> = steps.iter().map(|step| step.get()).collect();
            return bad(
                "steps",
                format!("must lie above 0, strictly increase and end at 100, got {shown:?}"),
            );
        }
        let longest = Duration::from_secs(10 * 365 * 86_400);
        let hold = match self.rollback {
            Rollback::Instant => Duration::ZERO,
            Rollback::Stepped { hold } => hold,
        };
        for (field, value) in [
            ("bake", self.bake),
            ("patience", self.patience),
            ("deadline", self.deadline),
            ("drain", self.drain),
            ("rollback", hold),
            ("startup", self.startup),
            ("approval_expiry", self.approval_expiry.unwrap_or_default()),
        ] {
            if value > longest {
                return bad(
                    field,
                    format!("must be at most ten years, got {}", duration_text::format(value)),
                );
            }
        }
        // At most a hundred steps and a shadow of at most ten years each: no overflow.
        let bakes = self.strategy.bakes(steps.len());
        let least = self.bake * u32::try_from(bakes).unwrap_or(u32::MAX) + self.drain;
        if self.deadline <= least {
            let (deadline, least) = (duration_text::format(self.deadline), duration_text::format(least));
            return bad("deadline", format!("is {deadline}, but the steps alone take {least}"));
        }
        if self.max_attempts == 0 {
            return bad("max_attempts", "must be at least 1".into());
        }
        if self.guards.iter().any(|name| name.trim().is_empty()) {
            return bad("guards", "a guard has no name".into());
        }
        if self.strategy == Strategy::BlueGreen && self.drain.is_zero() {
            return bad("drain", "must be above 0: blue is kept ready behind green".into());
        }
        self.check_approval()?;
        if self.startup.is_zero() {
            return bad("startup", "must be above 0".into());
        }
        if self.max_deployments == Some(0) {
            return bad("max_deployments", "must be at least 1".into());
        }
        for (index, guard) in self.metrics.iter().enumerate() {
            guard.check()?;
            if self.metrics[..index].iter().any(|other| other.name == guard.name) {
                return bad("metrics", format!("has two guards called {}", guard.name));
            }
            let shadowed = matches!(self.strategy, Strategy::Shadow { .. });
            if guard.judge.compares() && steps.len() == 1 && !shadowed {
                let message = "compares with the stable version, which has no traffic in any step";
                return bad("metrics", format!("{} {message}", guard.name));
            }
        }
        self.check_scores()?;
        self.limits.check()
    }

    fn check_approval(&self) -> Result<()> {
        let bad = |field, message: &str| Err(Error::invalid("RolloutOptions::check", field, message));
        if self.approvals == 0 {
            return bad("approvals", "must be at least 1");
        }
        if !self.approval && !self.approver_roles.is_empty() {
            return bad("approver_roles", "need `approval = true`");
        }
        if self.approval_expiry.is_some_and(|expiry| !self.approval || expiry.is_zero()) {
            return bad("approval_expiry", "must be above 0, and needs `approval = true`");
        }
        if !self.approval && !self.approver_keys.is_empty() {
            return bad("approver_keys", "need `approval = true`");
        }
        let signers = self.approver_keys.approvers().count() as u64;
        if !self.approver_keys.is_empty() && signers < u64::from(self.approvals) {
            return bad("approver_keys", "are of fewer people than must approve");
        }
        for (index, role) in self.approver_roles.iter().enumerate() {
            role.check(None)?;
            let able = role.members.iter().filter(|member| self.approver_keys.has_key_of(member)).count();
            if !self.approver_keys.is_empty() && (able as u64) < u64::from(role.count) {
                return bad("approver_keys", &format!("are of too few who are {}", role.role));
            }
            if self.approver_roles[..index].iter().any(|other| other.role == role.role) {
                return bad("approver_roles", &format!("have two called {}", role.role));
            }
        }
        Ok(())
    }

    fn check_scores(&self) -> Result<()> {
        let bad = |message: String| Err(Error::invalid("RolloutOptions::check", "scores", message));
        let mut counted: Vec<&str> = Vec::new();
        for (index, score) in self.scores.iter().enumerate() {
            score.check()?;
            let others = self.scores[..index].iter().map(|other| &other.name);
            if others.chain(self.metrics.iter().map(|guard| &guard.name)).any(|other| *other == score.name) {
                return bad(format!("has two guards called {}", score.name));
            }
            for metric in score.metrics() {
                if !self.metrics.iter().any(|guard| guard.name == metric) {
                    return bad(format!("{} counts {metric}, which is no guard on a metric", score.name));
                }
                if counted.contains(&metric) {
                    return bad(format!("{metric} is counted twice"));
                }
                counted.push(metric);
            }
        }
        Ok(())
    }

    /// Whether a guard on a metric counts by a score alone.
    pub(super) fn is_scored(&self, metric: &str) -> bool {
        self.scores.iter().any(|score| score.metrics().any(|counted| counted == metric))
    }
}

/// What a rollout will do: immutable, checked, and known by its [digest](Self::digest).
///
/// Two rollouts of the same candidate are two plans: each has its own [key](Self::key), from which the keys of its changes of
/// traffic follow.
///
/// ```
/// use mlops_core::deploy::rollout::{RolloutOptions, RolloutPlan};
/// use mlops_core::{ActorId, DeploymentName, EndpointName};
///
/// let (blue, green) = (DeploymentName::new("blue")?, DeploymentName::new("green")?);
/// let (endpoint, actor) = (EndpointName::new("diabetes")?, ActorId::new("release-bot")?);
/// let plan = RolloutPlan::canary(endpoint.clone(), blue.clone(), green, actor.clone(), RolloutOptions::default())?;
/// assert_eq!(plan.split(0).to_string(), "blue 90 %, green 10 %");
/// assert_eq!(plan.initial_split().to_string(), "blue 100 %");
///
/// // The first version of an endpoint has nothing to fall back on: all traffic at once, after the smoke test.
/// let first = RolloutPlan::first(endpoint, blue, actor, RolloutOptions::default())?;
/// assert!(first.initial_split().is_none());
/// assert_eq!(first.steps().len(), 1);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct RolloutPlan {
    key: IdempotencyKey,
    endpoint: EndpointName,
    stable: Option<DeploymentName>,
    candidate: DeploymentName,
    actor: ActorId,
    options: RolloutOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<Release>,
}

#[derive(Deserialize)]
struct Unchecked {
    key: IdempotencyKey,
    endpoint: EndpointName,
    stable: Option<DeploymentName>,
    candidate: DeploymentName,
    actor: ActorId,
    options: RolloutOptions,
    #[serde(default)]
    release: Option<Release>,
}

impl TryFrom<Unchecked> for RolloutPlan {
    type Error = Error;

    fn try_from(raw: Unchecked) -> Result<Self> {
        let Unchecked { key, endpoint, stable, candidate, actor, options, release } = raw;
        Self { key, endpoint, stable, candidate, actor, options, release }.checked()
    }
}

impl RolloutPlan {
    /// Moves an endpoint's traffic from `stable` to `candidate` by the strategy of the options.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when both are the same, or an option cannot be followed.
    pub fn canary(
        endpoint: EndpointName,
        stable: DeploymentName,
        candidate: DeploymentName,
        actor: ActorId,
        options: RolloutOptions,
    ) -> Result<Self> {
        let (key, stable) = (IdempotencyKey::generate(), Some(stable));
        Self { key, endpoint, stable, candidate, actor, options, release: None }.checked()
    }

    /// Gives the first deployment of an endpoint all traffic; the steps of the options do not apply.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when an option cannot be followed.
    pub fn first(
        endpoint: EndpointName,
        candidate: DeploymentName,
        actor: ActorId,
        options: RolloutOptions,
    ) -> Result<Self> {
        let options = options.with_steps([Percent::ALL]).with_strategy(Strategy::Canary);
        let (key, stable, release) = (IdempotencyKey::generate(), None, None);
        Self { key, endpoint, stable, candidate, actor, options, release }.checked()
    }

    /// Sets the key that tells this rollout from others; with the same key and content it is the same rollout.
    #[must_use]
    pub fn with_key(mut self, key: IdempotencyKey) -> Self {
        self.key = key;
        self
    }

    /// States what the candidate is a deployment of. The rollout makes the deployment where it is not there, and refuses one with
    /// other content.
    #[must_use]
    pub fn with_release(mut self, release: Release) -> Self {
        self.release = Some(release);
        self
    }

    fn checked(mut self) -> Result<Self> {
        const OP: &str = "RolloutPlan";
        self.options.check()?;
        for role in &self.options.approver_roles {
            role.check(Some(&self.actor))?;
        }
        self.options.steps = self.options.strategy.steps(&self.options.steps);
        match &self.stable {
            Some(stable) if *stable == self.candidate => {
                let message = "must be another deployment than the stable one";
                Err(Error::invalid(OP, "candidate", message).with("deployment", stable))
            }
            None if self.shadow().is_some() => {
                let message = "the first deployment of an endpoint is nobody's shadow";
                Err(Error::invalid(OP, "strategy", message))
            }
            None if self.options.steps != [Percent::ALL] => {
                let message = "the first deployment of an endpoint gets all traffic in one step";
                Err(Error::invalid(OP, "steps", message))
            }
            _ => Ok(self),
        }
    }

    /// What tells this rollout from others.
    pub fn key(&self) -> &IdempotencyKey {
        &self.key
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &EndpointName {
        &self.endpoint
    }

    /// The deployment that has all traffic before, and again after a rollback; `None` for the first one of an endpoint.
    pub fn stable(&self) -> Option<&DeploymentName> {
        self.stable.as_ref()
    }

    /// The deployment that shall have all traffic.
    pub fn candidate(&self) -> &DeploymentName {
        &self.candidate
    }

    /// Who rolls out.
    pub fn actor(&self) -> &ActorId {
        &self.actor
    }

    /// How it proceeds.
    pub fn options(&self) -> &RolloutOptions {
        &self.options
    }

    /// What the candidate is a deployment of, where the plan says.
    pub fn release(&self) -> Option<&Release> {
        self.release.as_ref()
    }

    /// The mirror of a candidate that is a shadow first.
    ///
    /// ```
    /// use mlops_core::deploy::rollout::{RolloutOptions, RolloutPlan, Strategy};
    /// use mlops_core::Percent;
    /// let shadow = Strategy::Shadow { share: Percent::new(25).unwrap_or(Percent::ALL), promote: true };
    /// let options = RolloutOptions::default().with_strategy(shadow);
    /// let plan = RolloutPlan::canary("risk".parse()?, "blue".parse()?, "green".parse()?, "bot".parse()?, options)?;
    /// assert_eq!(plan.shadow().map(|mirror| mirror.to_string()), Some("25 % to green".to_owned()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shadow(&self) -> Option<Mirror> {
        match self.options.strategy {
            Strategy::Shadow { share, .. } => Some(Mirror::new(self.candidate.clone(), share)),
            _ => None,
        }
    }

    /// Whether a candidate that is good enough gets the traffic.
    pub(super) fn promotes(&self) -> bool {
        !matches!(self.options.strategy, Strategy::Shadow { promote: false, .. })
    }

    /// The candidate's share step by step.
    pub fn steps(&self) -> &[Percent] {
        &self.options.steps
    }

    /// The split before the rollout, by its shares, and after a rollback.
    pub fn initial_split(&self) -> TrafficSplit {
        let split = self.stable.clone().map_or_else(TrafficSplit::none, TrafficSplit::all_to);
        split.with_sticky(self.options.sticky.clone())
    }

    /// The split of a step, counted from 0; from the last on, all traffic to the candidate.
    pub fn split(&self, step: usize) -> TrafficSplit {
        let share = self.steps().get(step).copied().unwrap_or(Percent::ALL);
        let canary = |stable: &DeploymentName| {
            TrafficSplit::canary(stable.clone(), self.candidate.clone(), share).ok()
        };
        // A checked plan has two different deployments, or one step; nothing is lost here.
        let split = self.stable.as_ref().and_then(canary);
        let split = split.unwrap_or_else(|| TrafficSplit::all_to(self.candidate.clone()));
        split.with_sticky(self.options.sticky.clone())
    }

    /// The digest of everything in the plan: what approvals are bound to, and what a journal knows a rollout by.
    ///
    /// # Errors
    /// As [`digest_json`]; a checked plan has no number that JSON cannot hold.
    pub fn digest(&self) -> Result<Digest> {
        Ok(Hasher::new("mlops.rollout.plan/v1").field(digest_json(self)?.as_bytes()).finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(options: RolloutOptions) -> Result<RolloutPlan> {
        let name = |text: &str| DeploymentName::new(text).unwrap();
        let (endpoint, actor) = (EndpointName::new("diabetes").unwrap(), ActorId::new("bot").unwrap());
        RolloutPlan::canary(endpoint, name("blue"), name("green"), actor, options)
    }

    fn steps(steps: &[u8]) -> RolloutOptions {
        RolloutOptions::default().with_steps(steps.iter().filter_map(|p| Percent::new(*p)))
    }

    #[test]
    fn plans_that_cannot_be_followed_are_refused() {
        let good = RolloutOptions::default();
        let day = Duration::from_secs(86_400);
        for (field, options) in [
            ("steps", steps(&[])),
            ("steps", steps(&[10, 50])),
            ("steps", steps(&[0, 100])),
            ("steps", steps(&[50, 10, 100])),
            ("steps", steps(&[10, 10, 100])),
            ("steps", steps(&[10, 100, 100])),
            ("deadline", good.clone().with_bake(day)),
            ("deadline", good.clone().with_deadline(Duration::ZERO)),
            ("patience", good.clone().with_patience(Duration::MAX)),
            ("max_attempts", good.clone().with_max_attempts(0)),
            ("guards", good.clone().with_guard(" ")),
            ("max_failure_rate", good.with_limits(OperationGuard::default().with_max_failure_rate(2.0))),
        ] {
            let error = plan(options).unwrap_err();
            assert_eq!(error.context("field"), Some(field), "{error}");
        }
        assert!(plan(steps(&[100])).is_ok());
    }

    #[test]
    fn a_plan_read_from_text_is_checked_like_any_other() {
        let good = serde_json::to_value(plan(steps(&[10, 100])).unwrap()).unwrap();
        assert!(serde_json::from_value::<RolloutPlan>(good.clone()).is_ok());
        for (pointer, value) in [
            ("/candidate", serde_json::json!("blue")),
            ("/stable", serde_json::Value::Null),
            ("/options/steps", serde_json::json!([10])),
            ("/options/bake", serde_json::json!("2d")),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = value;
            assert!(serde_json::from_value::<RolloutPlan>(bad).is_err(), "{pointer}");
        }
    }

    #[test]
    fn the_digest_changes_with_every_part_of_the_plan() {
        let key = IdempotencyKey::new("one").unwrap();
        let base = plan(steps(&[10, 100])).unwrap().with_key(key.clone());
        assert_eq!(base.digest().unwrap(), base.clone().digest().unwrap());
        let other_key = base.clone().with_key(IdempotencyKey::new("two").unwrap());
        let other_steps = plan(steps(&[20, 100])).unwrap().with_key(key.clone());
        let approval = plan(steps(&[10, 100]).with_approval()).unwrap().with_key(key.clone());
        let sticky = |name| {
            let options = steps(&[10, 100]).with_sticky(Sticky::header(name).unwrap());
            plan(options).unwrap().with_key(key.clone())
        };
        assert_ne!(sticky("x-user").digest().unwrap(), sticky("x-session").digest().unwrap());
        for other in [other_key, other_steps, approval, sticky("x-user")] {
            assert_ne!(base.digest().unwrap(), other.digest().unwrap());
        }
    }
}
