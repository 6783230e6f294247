//! Across all phases: what may be made, who may do it, what nobody needs, what it costs, and how mature all of it is.
//!
//! `cargo run -p mlops-examples --example cross_governance`

use std::path::Path;
use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta};
use mlops_core::governance::budget::{Budget, DailyCost, Threshold, ThresholdBasis, TimeGrain};
use mlops_core::governance::cost::{ClusterCost, CostInventory, CostRules, Urgency, cost_findings};
use mlops_core::governance::forecast::Forecast;
use mlops_core::governance::hygiene::{HygieneRules, Inventory, Item, ItemId, ItemKind, sweep};
use mlops_core::governance::maturity::{Attestation, MaturityEvidence, Measure, assess, criteria};
use mlops_core::governance::policy::{PolicySpec, ResourcePlan};
use mlops_core::governance::{
    AccessRequest, Action, Actor, Approval, ApprovalDecision, ApprovalRequest, AuditEntry, AuditLog as _,
    Authorizer as _, DutyLog, Roles, SeparationOfDuties,
};
use mlops_core::memory::MemoryAuditLog;
use mlops_core::time::{ManualClock, Timestamp};
use mlops_core::{ActorId, hash::Digest};
use mlops_examples::narrate::{say, step};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let now: Timestamp = "2026-03-16T08:00:00Z".parse()?;

    // A policy is a file that people review, and so is a plan. Judging needs no cloud: nothing has been made yet.
    step(1, "Hold a plan against the policy");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let policy = PolicySpec::read(config.join("cross_policy.toml"))?;
    let plan = ResourcePlan::read(config.join("cross_plan.toml"))?;
    let report = policy.judge(&plan, now)?;
    report.to_string().lines().for_each(say);
    say(format!(
        "{:?}: {}",
        report.result(),
        report.require().map_or_else(|e| e.message().to_owned(), |()| "go".into())
    ));

    separate(now).await?;
    clean_up(now)?;
    watch_the_budget()?;
    measure_maturity(now)
}

/// Who trained a model does not approve it, and neither of the two deploys it. The audit log knows who did what.
async fn separate(now: Timestamp) -> Result<()> {
    step(2, "Three duties, three people");
    let model = Digest::of(b"model");
    let log = MemoryAuditLog::new(Arc::new(ManualClock::at(now)));
    let entry = AuditEntry::new(ActorId::new("ann")?, "model.register", "model/churn").with_digest(model);
    log.append(&entry).await?;
    let duties = DutyLog::new().with_records(&log.read(0, 100).await?);

    // All three have every role; roles alone would let each of them do everything.
    let ask = |duties: &DutyLog, who: &str, action: Action| -> Result<()> {
        let actor = Actor::new(ActorId::new(who)?, ["trainer", "approver", "deployer"]);
        let authorizer = SeparationOfDuties::new(Roles::duties(), duties.clone());
        let answer = authorizer.authorize(&AccessRequest::new(actor, action).about(model));
        say(format!(
            "{who}, {action}: {}",
            answer.map_or_else(|denial| denial.to_string(), |()| "may".to_owned())
        ));
        Ok(())
    };
    ask(&duties, "ann", Action::ApprovalDecide)?;
    ask(&duties, "ben", Action::ApprovalDecide)?;
    ask(&duties, "cleo", Action::EndpointDeploy)?;

    let request =
        ApprovalRequest::new(model, "Deploy churn:1?", ActorId::new("ann")?, now + TimeDelta::days(2));
    let yes = Approval::answer(&request, ApprovalDecision::Approved, ActorId::new("ben")?, "read it", now);
    let duties = duties.with_approvals([&yes]);
    ask(&duties, "ben", Action::EndpointDeploy)?;
    ask(&duties, "cleo", Action::EndpointDeploy)
}

/// What is old is offered for deletion, unless something that serves, or is about to, was made from it.
fn clean_up(now: Timestamp) -> Result<()> {
    step(3, "What nobody needs");
    let old = now - TimeDelta::days(400);
    let model = |version| ItemId::new(ItemKind::Model, "churn", version);
    let data = |version| ItemId::new(ItemKind::Data, "customers", version);
    let deployment = ItemId::new(ItemKind::Deployment, "churn", "blue");
    let mut items: Vec<Item> =
        [model("1"), model("2"), data("1"), data("2")].map(|id| Item::new(id, old)).into();
    items.iter_mut().for_each(|item| item.bytes = Some(3 << 30));
    let mut blue = Item::new(deployment.clone(), old);
    blue.traffic = Some(100);
    items.push(blue);
    let edges = vec![(data("1"), model("1")), (data("2"), model("2")), (model("2"), deployment)];
    let mut rules = HygieneRules::default();
    rules.keep_last = 1;
    let found = sweep(&Inventory::new(items, edges), &rules, now)?;
    found.proposals.iter().for_each(|p| say(format!("may go  {}: {}", p.item, p.reason)));
    found.kept.iter().for_each(|k| say(format!("stays   {}: {}", k.item, k.reason)));

    // The same sweep, and what runs, tell what is paid for nothing. Where no price is known there is no number.
    let mut inventory = CostInventory::default();
    inventory.storage_price = Some(0.02);
    inventory.clusters.push(
        ClusterCost::new("cpu-train", 2, std::time::Duration::from_secs(7200), true)
            .with_urgency(Urgency::Interruptible)
            .with_hourly(0.27)
            .with_tags([("owner".to_owned(), "team-churn".to_owned())].into()),
    );
    let findings = cost_findings(&inventory, &found, &CostRules::default(), now)?;
    findings.iter().for_each(|finding| say(finding.to_string()));
    Ok(())
}

/// A month that is not over: what is spent, and what will be.
fn watch_the_budget() -> Result<()> {
    step(4, "The budget");
    let day = |text: &str| text.parse::<NaiveDate>();
    let thresholds = vec![
        Threshold::new(50.0).with_basis(ThresholdBasis::Actual),
        Threshold::new(100.0).with_basis(ThresholdBasis::Forecast),
    ];
    let budget = Budget::new("churn", 1_800.0, TimeGrain::Monthly, day("2026-01-01")?, thresholds)?;
    // Quiet week-ends, and one day on which somebody forgot a cluster.
    let cost = |(i, day): (usize, NaiveDate)| {
        DailyCost::new(
            day,
            match i {
                23 => 900.0,
                i if i % 7 < 5 => 80.0 + (i % 3) as f64,
                _ => 20.0,
            },
        )
    };
    let costs: Vec<DailyCost> = day("2026-02-02")?.iter_days().take(42).enumerate().map(cost).collect();
    let status = budget.status(&costs)?;
    say(format!("spent since {}: {:.0} of {:.0}", status.from, status.actual, budget.amount()));
    if let Forecast::Estimate { amount, low, high, daily, .. } = status.forecast {
        say(format!("until {}: {amount:.0} ({low:.0} to {high:.0}), {daily:.1} a day", status.until));
    }
    for crossed in &status.crossed {
        let Threshold { percent, basis, .. } = crossed.threshold;
        say(format!("over {percent} % by {basis:?}: {:.0} of {:.0}", crossed.amount, crossed.limit));
    }
    say(format!("a sweep may still spend {:.0}", budget.remaining(&status, 0.0)));
    Ok(())
}

/// Counts come from the stores (`mlops_core::oversight` reads them), the rest from people who put their name to it.
fn measure_maturity(now: Timestamp) -> Result<()> {
    step(5, "How mature is it?");
    let counts = [
        (Measure::RunsWithCode, 40, 41),
        (Measure::RunsWithResults, 40, 40),
        (Measure::RunsWithData, 30, 41),
        (Measure::VersionsFromRuns, 6, 6),
        (Measure::AutomatedTraining, 5, 6),
        (Measure::GatedReleases, 3, 3),
    ];
    let evidence = counts
        .into_iter()
        .fold(MaturityEvidence::new(), |e, (measure, good, of)| e.with_count(measure, good, of));
    let word = |criterion: &str| -> Result<Attestation> {
        Ok(Attestation::new(
            criterion.to_owned(),
            true,
            ActorId::new("platform-owner")?,
            now - TimeDelta::days(30),
            now + TimeDelta::days(335),
        ))
    };
    let attested = ["data-pipeline", "builds", "app-tests", "compute", "scripts", "scoring"];
    let evidence = attested
        .into_iter()
        .try_fold(evidence, |e, id| Ok::<_, Box<dyn std::error::Error>>(e.with_attestation(word(id)?)))?;
    let assessment = assess(&criteria(), &evidence, now)?;
    say(assessment.level.to_string());
    for gap in assessment.gaps.iter().take(3) {
        say(format!("next: {} ({}), then {}", gap.statement, gap.observed, gap.unlocks));
    }
    Ok(())
}
