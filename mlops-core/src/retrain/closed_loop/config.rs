//! What a closed loop keeps up to date, and by which rules.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::deploy::rollout::{RolloutOptions, Strategy};
use crate::error::{Error, Result};
use crate::evaluation::ChampionRules;
use crate::governance::ApproverKeys;
use crate::id::{ActorId, Alias, EndpointName, ModelName};
use crate::retrain::gates::RetrainGates;
use crate::time::duration_text;

/// A model, the alias of the version that serves, the endpoint it serves at, and the rules by which another one takes over.
///
/// ```
/// use mlops_core::retrain::closed_loop::LoopConfig;
///
/// let config: LoopConfig = toml::from_str(
///     r#"
///     model = "diabetes"
///     alias = "champion"
///     endpoint = "diabetes"
///     actor = "retraining"
///     approval = true
///     rollout = { steps = [10, 100], bake = "1h" }
///     gates = { model = "diabetes", cooldown = "1d" }
///     champion = { primary = "roc_auc", margin = 0.01 }
///     "#,
/// )?;
/// config.check()?;
/// assert_eq!(config.max_gate_failures, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoopConfig {
    /// The model.
    pub model: ModelName,
    /// The alias of the version that serves.
    pub alias: Alias,
    /// The endpoint it serves at.
    pub endpoint: EndpointName,
    /// In whose name the loop acts; cannot approve.
    pub actor: ActorId,
    /// How traffic moves to a challenger. Guards that query metrics need [a source](super::ClosedLoop::with_metrics).
    #[serde(default)]
    pub rollout: RolloutOptions,
    /// Whether somebody must approve the gate's decision before a challenger gets any traffic. Default no.
    #[serde(default)]
    pub approval: bool,
    /// How long an answer is waited for. Default 7 days.
    #[serde(default = "week", with = "duration_text")]
    pub approval_window: Duration,
    /// Public keys of those who may approve: each answer must be signed with a key of who gave it. Default none, and nothing has to
    /// be signed. The approval of a rollout has [keys of its own](RolloutOptions::approver_keys).
    #[serde(default, skip_serializing_if = "ApproverKeys::is_empty")]
    pub approver_keys: ApproverKeys,
    /// Whether a newer reason, or a newer version that passed the gate, takes the place of a challenger that awaits approval.
    /// Default no: what is newer waits until the cycle has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub supersede: bool,
    /// After how many challengers in a row that failed the gate the loop stops asking for more, at least 1. Default 3.
    #[serde(default = "three")]
    pub max_gate_failures: u32,
    /// What holds reasons to retrain back, besides that one cycle comes after the other. Default: that it was seen already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gates: Option<RetrainGates>,
    /// What a challenger must show against the champion, on the same rows, once something serves. Default: that it passed the gate,
    /// so that one that is worse than the champion and good enough for the gate takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<ChampionRules>,
}

fn week() -> Duration {
    Duration::from_secs(7 * 86_400)
}

fn three() -> u32 {
    3
}

impl LoopConfig {
    /// A loop with the default rules.
    pub fn new(model: ModelName, alias: Alias, endpoint: EndpointName, actor: ActorId) -> Self {
        Self {
            model,
            alias,
            endpoint,
            actor,
            rollout: RolloutOptions::default(),
            approval: false,
            approval_window: week(),
            approver_keys: ApproverKeys::new(),
            supersede: false,
            max_gate_failures: three(),
            gates: None,
            champion: None,
        }
    }

    /// Sets how traffic moves to a challenger.
    #[must_use]
    pub fn with_rollout(mut self, options: RolloutOptions) -> Self {
        self.rollout = options;
        self
    }

    /// Demands an approval before a challenger gets any traffic.
    #[must_use]
    pub fn with_approval(mut self) -> Self {
        self.approval = true;
        self
    }

    /// Sets how long an answer is waited for.
    #[must_use]
    pub fn with_approval_window(mut self, window: Duration) -> Self {
        self.approval_window = window;
        self
    }

    /// Demands an approval, signed with one of these keys, before a challenger gets any traffic.
    #[must_use]
    pub fn with_approver_keys(mut self, keys: ApproverKeys) -> Self {
        (self.approval, self.approver_keys) = (true, keys);
        self
    }

    /// Lets what is newer take the place of a challenger that awaits approval.
    ///
    /// A reason does when nothing but the cycle under way holds it back, and only one that comes, or passes the other gates, while
    /// the approval is waited for: where reasons come faster than answers, give the gates a cooldown.
    #[must_use]
    pub fn with_supersede(mut self) -> Self {
        self.supersede = true;
        self
    }

    /// Sets after how many gate failures in a row the loop stops.
    #[must_use]
    pub fn with_max_gate_failures(mut self, failures: u32) -> Self {
        self.max_gate_failures = failures;
        self
    }

    /// Sets what holds reasons to retrain back.
    #[must_use]
    pub fn with_gates(mut self, gates: RetrainGates) -> Self {
        self.gates = Some(gates);
        self
    }

    /// Demands that a challenger shows so much against the champion.
    #[must_use]
    pub fn with_champion(mut self, rules: ChampionRules) -> Self {
        self.champion = Some(rules);
        self
    }

    /// The gates that are in force.
    pub(super) fn rules(&self) -> RetrainGates {
        self.gates.clone().unwrap_or_else(|| RetrainGates::new(self.model.clone()))
    }

    /// Checks that the rules can be followed.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the rule.
    ///
    /// ```
    /// use mlops_core::retrain::closed_loop::LoopConfig;
    /// use mlops_core::{ActorId, Alias, EndpointName, ModelName};
    /// let (model, alias) = (ModelName::new("diabetes")?, Alias::new("champion")?);
    /// let config = LoopConfig::new(model, alias, EndpointName::new("diabetes")?, ActorId::new("retraining")?);
    /// assert!(config.check().is_ok());
    /// assert!(config.with_max_gate_failures(0).check().is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn check(&self) -> Result<()> {
        const OP: &str = "LoopConfig::check";
        if self.max_gate_failures == 0 {
            return Err(Error::invalid(OP, "max_gate_failures", "must be at least 1"));
        }
        if self.approval_window > Duration::from_secs(10 * 365 * 86_400) {
            let got = duration_text::format(self.approval_window);
            return Err(Error::invalid(
                OP,
                "approval_window",
                format!("must be at most ten years, got {got}"),
            ));
        }
        if !self.approval && !self.approver_keys.is_empty() {
            return Err(Error::invalid(OP, "approver_keys", "need `approval = true`"));
        }
        if matches!(self.rollout.strategy, Strategy::Shadow { promote: false, .. }) {
            return Err(Error::invalid(OP, "rollout", "a shadow that is not promoted closes no loop"));
        }
        if let Some(gates) = &self.gates {
            gates.check()?;
            if gates.model != self.model {
                return Err(Error::invalid(OP, "gates", "are of another model than the loop")
                    .with("model", &gates.model));
            }
            if gates.max_running != 1 {
                let message = format!("a loop retrains one at a time, got {}", gates.max_running);
                return Err(Error::invalid(OP, "max_running", message));
            }
        }
        self.champion.as_ref().map_or(Ok(()), ChampionRules::check)?;
        self.rollout.check()
    }
}
