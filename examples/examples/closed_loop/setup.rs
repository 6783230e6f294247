//! Step 1: the charter, the schema and the gate, from files or, for a user's own data, from the command line.

use std::path::{Path, PathBuf};

use mlops_core::data::Schema;
use mlops_core::evaluation::{Criterion, GateSpec, NoChampion};
use mlops_core::problem::{Charter, Direction, Feasibility, Kpi, Sla, Task};
use mlops_core::{MetricKey, Result};
use mlops_examples::narrate::say;
use mlops_examples::prepare::Source;

/// What is decided before any data is looked at.
#[derive(Debug)]
pub struct Setup {
    pub source: Source,
    pub charter: Charter,
    /// What data is held to; the user's own may come without one.
    pub schema: Option<Schema>,
    pub gate: GateSpec,
    pub own_data: bool,
}

impl Setup {
    pub fn read(source: Source, schema: Option<&Path>, gate: Option<&Path>, own_data: bool) -> Result<Self> {
        let charter = if own_data {
            own_charter(&source)?
        } else {
            Charter::from_file(config("diabetes.charter.toml"))?
        };
        let gate = match gate {
            Some(file) => GateSpec::from_file(file)?,
            None if own_data => own_gate(&source)?,
            None => GateSpec::from_file(config("diabetes.gate.toml"))?,
        };
        let schema = match schema {
            Some(file) => Some(Schema::from_file(file)?),
            None if own_data => None,
            None => Some(Schema::from_file(config("diabetes.schema.toml"))?),
        };
        Ok(Self { source, charter, schema, gate, own_data })
    }

    pub fn tell(&self) {
        say(&self.charter.objective);
        let sla = &self.charter.sla;
        say(format_args!(
            "{} answers for it; {} criteria in the gate {}; 95 % of answers within {} ms.",
            self.charter.owner,
            self.gate.criteria().len(),
            self.gate.name(),
            sla.max_p95_latency_ms,
        ));
    }
}

/// A file beside the examples.
pub fn config(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

/// A charter for data that only the user knows: it says what the command line said.
fn own_charter(source: &Source) -> Result<Charter> {
    let objective = format!("Predict {} well enough to act on it.", source.target);
    let owner = "whoever runs this program";
    let mut charter =
        Charter::new(objective, owner, Task::BinaryClassification, &source.target, Sla::new(100.0, 0.99));
    charter.positive = Some(source.positive.clone().unwrap_or_else(|| "above the median".into()));
    charter.sensitive = vec![source.sensitive.clone()];
    charter.stakeholders = vec!["the people in the data".into()];
    charter.kpis = vec![Kpi::new(MetricKey::new("roc_auc")?, Direction::HigherIsBetter, 0.6)];
    let mut feasibility = Feasibility::default();
    feasibility.data = format!("the file {}", source.file.display());
    feasibility.alternative = "predict the same for everybody".into();
    feasibility.value = "known to the user".into();
    feasibility.cost_of_error = "known to the user".into();
    charter.feasibility = feasibility;
    charter.check()?;
    Ok(charter)
}

/// Better than guessing, every group compared, not worse than the champion. Real data deserves a gate of its own.
fn own_gate(source: &Source) -> Result<GateSpec> {
    let auc = MetricKey::new("roc_auc")?;
    GateSpec::new(
        "better-than-guessing",
        vec![
            Criterion::new("better-than-guessing", auc.clone()).with_min(0.6).with_min_rows(25),
            Criterion::new("compares-all-groups", MetricKey::new("equal_opportunity_difference")?)
                .with_attribute(&source.sensitive)
                .with_max(0.5),
            Criterion::new("not-worse-than-the-champion", auc)
                .with_max_drop(0.02)
                .with_no_champion(NoChampion::Pass),
        ],
    )
}
