//! Whether everything is there that a plan needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{PrecheckReport, Release, RolloutPlan};
use crate::deploy::{Deployer, Deployment, DeploymentState, Endpoint};
use crate::error::Result;
use crate::evaluation::GateDecision;
use crate::id::{DeploymentName, Percent};
use crate::registry::{ModelRef, ModelRegistry};

type Deployments = BTreeMap<DeploymentName, Deployment>;

/// Looks at endpoint, deployments, registry and gate. An error is one that trying again may cure.
pub(super) async fn precheck(
    plan: &RolloutPlan,
    deployer: &dyn Deployer,
    registry: Option<&Arc<dyn ModelRegistry>>,
    gate: Option<&GateDecision>,
) -> Result<PrecheckReport> {
    let mut report = PrecheckReport::default();
    let endpoint = deployer.endpoint(plan.endpoint()).await?;
    let deployments = deployer.deployments(plan.endpoint()).await?;
    check_traffic(plan, &endpoint, &mut report);
    check_mirror(plan, &endpoint, deployer.capabilities().max_mirror, &mut report);
    check_sticky(plan, deployer.capabilities().sticky_routing, &mut report);
    check_stable(plan, &deployments, &mut report);
    check_candidate(plan, &deployments, &mut report);
    check_quota(plan, &deployments, &mut report);
    if let Some(release) = plan.release() {
        check_version(release, registry, &mut report).await?;
        report.checks.extend(release.check_gate(gate));
    }
    Ok(report)
}

fn check_traffic(plan: &RolloutPlan, endpoint: &Endpoint, report: &mut PrecheckReport) {
    let initial = plan.initial_split();
    let reason = format!("the traffic is {}, the plan starts from {initial}", endpoint.traffic);
    report.push("traffic", endpoint.traffic.same_shares(&initial), reason);
}

fn check_mirror(plan: &RolloutPlan, endpoint: &Endpoint, largest: Percent, report: &mut PrecheckReport) {
    let there = endpoint.mirror.as_ref();
    let (passed, reason) = match (plan.shadow(), there) {
        (Some(_), Some(there)) => (false, format!("there is a mirror already, {there}")),
        (Some(shadow), None) if shadow.share > largest => {
            (false, format!("{} are to be mirrored, the deployer can mirror {largest}", shadow.share))
        }
        (None, Some(there)) if there.deployment == *plan.candidate() => {
            (false, format!("the candidate is the shadow, {there}, and cannot have traffic"))
        }
        _ => return,
    };
    report.push("mirror", passed, reason);
}

fn check_sticky(plan: &RolloutPlan, able: bool, report: &mut PrecheckReport) {
    let Some(sticky) = &plan.options().sticky else { return };
    let able_to = if able { "routes so" } else { "keeps nobody at their deployment" };
    report.push("sticky", able, format!("the plan is {sticky}, the deployer {able_to}"));
}

fn check_stable(plan: &RolloutPlan, deployments: &Deployments, report: &mut PrecheckReport) {
    let Some(stable) = plan.stable() else { return };
    let state = deployments.get(stable).map(|deployment| deployment.state);
    let shown = state.map_or("not there".to_owned(), |state| format!("{state:?}").to_lowercase());
    report.push("stable", state == Some(DeploymentState::Ready), format!("{stable} is {shown}"));
}

fn check_candidate(plan: &RolloutPlan, deployments: &Deployments, report: &mut PrecheckReport) {
    let name = plan.candidate();
    let (passed, reason) = match (deployments.get(name), plan.release()) {
        (None, None) => (false, format!("{name} is not there, and the plan does not say what it is of")),
        (None, Some(_)) => (true, format!("{name} will be made")),
        (Some(there), _) if there.state == DeploymentState::Failed => {
            (false, format!("{name} could not be made"))
        }
        (Some(there), release) => match release.and_then(|release| release.difference(there)) {
            Some(difference) => (false, difference),
            None => (true, format!("{name} is there")),
        },
    };
    report.push("candidate", passed, reason);
}

fn check_quota(plan: &RolloutPlan, deployments: &Deployments, report: &mut PrecheckReport) {
    let Some(most) = plan.options().max_deployments else { return };
    let all = deployments.len() + usize::from(!deployments.contains_key(plan.candidate()));
    let reason = format!("{all} deployments with the candidate, {most} are allowed");
    report.push("quota", all as u64 <= u64::from(most), reason);
}

async fn check_version(
    release: &Release,
    registry: Option<&Arc<dyn ModelRegistry>>,
    report: &mut PrecheckReport,
) -> Result<()> {
    let shown = format!("{}:{}", release.model, release.version);
    let Some(registry) = registry else {
        report.push("version", false, format!("there is no registry to look {shown} up in"));
        return Ok(());
    };
    let (passed, reason) = match registry.get(&ModelRef::new(release.model.clone(), release.version)).await {
        Ok(version) if version.spec.artifact != release.artifact => {
            let (found, wanted) = (version.spec.artifact, release.artifact);
            (false, format!("the content of {shown} is {found}, the plan says {wanted}"))
        }
        Ok(version) if version.archived => (false, format!("{shown} is archived")),
        Ok(_) => (true, format!("{shown} is registered")),
        Err(error) if error.is_retryable() => return Err(error),
        Err(error) => (false, error.to_string()),
    };
    report.push("version", passed, reason);
    Ok(())
}
