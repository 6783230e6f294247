//! Phase 1: why there is a model at all, for whom, and by which numbers one will know that it worked.
//!
//! `cargo run -p mlops-examples --example phase1_charter`

use std::f64::consts::LN_2;
use std::path::Path;
use std::time::Duration;

use mlops_core::problem::Charter;
use mlops_examples::narrate::{say, step};

fn main() -> mlops_core::Result<()> {
    // A charter is a TOML file that people review. Reading it checks it: nothing that must be there is empty, no key is unknown.
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/phase1_charter.toml");
    let charter = Charter::from_file(&file)?;
    step(1, "The charter");
    say(&charter.objective);
    say(format!("owner        {}", charter.owner));
    say(format!("affected     {}", charter.stakeholders.join(", ")));
    say(format!("alternative  {}", charter.feasibility.alternative));
    for risk in &charter.risks {
        say(format!("risk         {} {}", risk.what, risk.mitigation));
    }

    // Everything made later refers to this version of the charter. Comments and the order of keys do not change its digest.
    say(format!("digest       {}", charter.digest()?));

    // The targets decide about every model that follows. There is none yet: what a coin scores is known beforehand, the other
    // two numbers are what somebody hopes for.
    step(2, "Which numbers would do?");
    for (model, roc_auc, log_loss) in [("a coin", 0.5, LN_2), ("a hope", 0.82, 0.61)] {
        for kpi in &charter.kpis {
            let value = if kpi.metric.as_str() == "roc_auc" { roc_auc } else { log_loss };
            let answer = if kpi.reached(value) { "reached" } else { "missed" };
            say(format!("{model}  {:9} {value:<5.3} target {:<5} {answer}", kpi.metric, kpi.target));
        }
    }

    // The service around the model makes a promise too, and a promise below 100 % leaves a budget to change things.
    step(3, "What the service promises");
    let month = Duration::from_secs(30 * 24 * 3600);
    let downtime = charter.sla.downtime(month)?;
    say(format!("95 % of answers within {} ms", charter.sla.max_p95_latency_ms));
    let minutes = downtime.as_secs_f64() / 60.0;
    say(format!("{} available: at most {minutes:.1} minutes down a month", charter.sla.availability));

    // A burn rate of 1 uses the budget up exactly at the end of the period; above 1, releases should wait.
    step(4, "How much of the promise a bad month uses up");
    for failed in [12, 55] {
        let budget = charter.sla.error_budget(40_000, failed)?;
        let state = if budget.exhausted() { "the promise is broken: no releases" } else { "room to release" };
        let burn = budget.burn_rate.value().unwrap_or_default();
        say(format!("{failed} of 40000 failed, {:.0} allowed, burn rate {burn:.2}: {state}", budget.allowed));
    }

    // A slip of the pen is found when the file is read, not when the number is missed.
    step(5, "A charter with a slip in it");
    let slip = std::fs::read_to_string(&file).unwrap_or_default().replace("availability", "availabilty");
    if let Err(error) = Charter::from_toml(&slip) {
        say(format!("line {}: {}", error.context("line").unwrap_or("?"), error.message()));
    }
    Ok(())
}
