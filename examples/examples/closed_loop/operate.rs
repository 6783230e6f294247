//! Steps 8 to 11: watching, retraining, taking back, proving.

use std::sync::Arc;
use std::time::Duration;

use mlops_core::data::{Column, Table};
use mlops_core::deploy::Deployer as _;
use mlops_core::evaluation::{Criterion, EvaluationReport, GateSpec};
use mlops_core::governance::{AuditLog as _, AuditVerification};
use mlops_core::local::{LocalAlertSink, LocalMonitor};
use mlops_core::model::Predictor as _;
use mlops_core::monitor::{
    Alert, AlertSink as _, BaselineStores, DeploymentBaseline, FeatureOutcome, GroundTruth, Monitor as _,
    MonitorReport, MonitorSpec, PerformanceRule, QualityLimits, SignalKind, SignalOutcome, SignalSpec,
    Window,
};
use mlops_core::num::Random;
use mlops_core::problem::Task;
use mlops_core::registry::{Direction, ModelRegistry as _, Node};
use mlops_core::retrain::Signal;
use mlops_core::retrain::closed_loop::{ClosedLoop, LoopPhase};
use mlops_core::{Error, ErrorKind, IdempotencyKey, MetricKey, MonitorName, PageRequest, Result};
use mlops_drift::detector::{Detector, DetectorOptions};
use mlops_examples::narrate::say;
use mlops_examples::prepare::LABEL;
use mlops_examples::train;

use super::build::{self, Rows, Trained, World};
use super::cycle::{self, Challenger};
use super::serve::{Answer, Service, draw, truth};

/// The monitor of the endpoint and where its alerts go.
#[derive(Debug)]
pub struct Watch {
    monitor: LocalMonitor,
    alerts: LocalAlertSink,
    name: MonitorName,
}

impl Watch {
    /// Fits detectors on what the champion knows: inputs on the rows it learned from, predictions on rows it has not seen; the quality
    /// of data is held against the baseline that was captured when it went live.
    pub async fn new(
        world: &World,
        champion: &Trained,
        report: &EvaluationReport,
        baseline: &DeploymentBaseline,
        one: &ClosedLoop,
    ) -> Result<Self> {
        let inputs = world.first.train.select(&world.prepared.features)?;
        let inputs = Detector::fit(&inputs, DetectorOptions::default().with_name("inputs"))?;
        let predicted = champion.predictor.predict(&world.first.judge)?;
        let predicted = Column::f64(LocalMonitor::PREDICTION, predicted.as_slice().to_vec())?;
        let options = DetectorOptions::default().with_name("predictions");
        let predictions = Detector::fit(&Table::new(vec![predicted])?, options)?;
        let monitor = world
            .platform
            .store
            .monitor()
            .with_detector("inputs", Arc::new(inputs))
            .with_detector("predictions", Arc::new(predictions))
            .with_evaluator(Arc::new(world.evaluator.clone()), Task::BinaryClassification);
        // An alarm when the champion ranks clearly worse than it did when it was released.
        let limit = report.metric("roc_auc").unwrap_or(0.5) - 0.15;
        let rule = PerformanceRule::new(MetricKey::new("roc_auc")?, limit, 50);
        let limits = QualityLimits::default().with_null_rate(0.1).with_out_of_bounds_rate(0.15);
        let quality = baseline.quality().with_limits(limits).with_min_rows(50);
        let name = MonitorName::new("production")?;
        let spec = MonitorSpec::new(
            name.clone(),
            world.endpoint()?,
            vec![
                SignalSpec::new("inputs", SignalKind::DataDrift),
                SignalSpec::new("predictions", SignalKind::PredictionDrift),
                SignalSpec::new("quality", SignalKind::DataQuality(Box::new(quality))),
                SignalSpec::new("performance", SignalKind::Performance(rule)),
            ],
        );
        monitor.define(&spec).await?;
        // What the loop's triggers look at must be there; a misspelt name would never be a reason to retrain.
        one.check_monitors(&[spec])?;
        Ok(Self { monitor, alerts: world.platform.store.alerts(), name })
    }

    /// One day: the requests come in, later their labels, and at the end the monitor looks back.
    async fn day(
        &self,
        world: &World,
        service: &mut Service,
        which: &[usize],
        day: &str,
    ) -> Result<MonitorReport> {
        let start = world.now();
        let answers = service.send(world, day, which).await?;
        service.settle().await?;
        self.label(world, service, &answers).await?;
        world.platform.clock.advance(Duration::from_secs(86_400));
        let window = Window::new(start, world.now())?;
        let report = self.monitor.check(&self.name, &window).await?;
        if report.rows != which.len() as u64 {
            let message = format!("{} requests were answered, the monitor saw {}", which.len(), report.rows);
            return Err(Error::new(ErrorKind::Integrity, "monitor", message));
        }
        self.alarm(world, &report, day).await?;
        Ok(report)
    }

    /// The truth comes late, and is joined by the id of the request.
    async fn label(&self, world: &World, service: &Service, answers: &[Answer]) -> Result<()> {
        let rows = world.production.take(&answers.iter().map(|a| a.row).collect::<Vec<_>>())?;
        let truth = truth(&rows)?.into_iter().map(|y| f64::from(u8::from(y)));
        let labels: Vec<GroundTruth> = answers
            .iter()
            .zip(truth)
            .map(|(answer, value)| GroundTruth::new(answer.id.clone(), value))
            .collect();
        let receipt = self.monitor.label(&service.endpoint, &labels).await?;
        if receipt.joined == answers.len() as u64 {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Integrity,
            "monitor",
            format!("not every label found its request: {receipt:?}"),
        ))
    }

    async fn alarm(&self, world: &World, report: &MonitorReport, day: &str) -> Result<()> {
        for signal in report.raised() {
            let key = IdempotencyKey::new(format!("{day}-{}", signal.signal))?;
            let monitor = self.name.clone();
            let alert =
                Alert::new(key, monitor, &signal.signal, signal.severity, &signal.reason, world.now());
            self.alerts.deliver(&alert).await?;
            world.platform.record("monitor.alarm", &format!("monitor/{}", self.name), &alert.message).await?;
        }
        Ok(())
    }
}

/// The rows that stand in for production arrive as they are, each once.
pub async fn usual_day(world: &World, service: &mut Service, watch: &Watch) -> Result<MonitorReport> {
    let rows: Vec<usize> = (0..world.production.rows()).take(2_000).collect();
    let report = watch.day(world, service, &rows, "usual-day").await?;
    say(format_args!("A usual day, {} requests:", rows.len()));
    tell(&report);
    Ok(report)
}

/// Only the upper third by age (or by the slice column) still comes, again and again.
pub async fn shifted_day(world: &World, service: &mut Service, watch: &Watch) -> Result<MonitorReport> {
    let slice = &world.prepared.slice;
    let values = world.production.column(slice)?.to_f64()?.into_owned();
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let cut = sorted.get(sorted.len() * 2 / 3).copied().unwrap_or(f64::NAN);
    let cohort: Vec<usize> = (0..values.len()).filter(|&row| values[row] >= cut).collect();
    let mut random = Random::new(world.setup.source.seed).stream("cohort");
    let rows: Vec<usize> = draw(&mut random, cohort.len(), 300).into_iter().map(|i| cohort[i]).collect();
    let report = watch.day(world, service, &rows, "shifted-day").await?;
    say(format_args!("Then a cohort with {slice} from {cut} on takes over, {} requests:", rows.len()));
    tell(&report);
    let delivered = watch.alerts.alerts(&PageRequest::default()).await?.items;
    let alerts: Vec<String> = delivered.into_iter().map(|alert| alert.signal).collect();
    say(format_args!("Alerts were delivered for: {}.", alerts.join(", ")));
    Ok(report)
}

fn tell(report: &MonitorReport) {
    for signal in &report.signals {
        say(format_args!("  {:<12} {:<13} {}", signal.signal, signal.verdict.to_string(), signal.reason));
        let SignalOutcome::Drift(drift) = &signal.outcome else { continue };
        for feature in drift.drifted().take(5) {
            if let FeatureOutcome::Measured(score) = &feature.outcome {
                let p = score.adjusted_p_value.unwrap_or(1.0);
                say(format_args!(
                    "    {:<14} {} {:.3} (noise {:.3}), adjusted p {p:.1e}",
                    feature.feature, score.definition, score.score, score.noise_floor
                ));
            }
        }
    }
}

/// A usual day must not raise the alarm: a monitor that cries wolf is switched off.
pub fn no_alarm(report: &MonitorReport) -> Result<()> {
    match report.raised().next() {
        None => Ok(()),
        Some(signal) => {
            let message = format!("a usual day raised the alarm {}: {}", signal.signal, signal.reason);
            Err(Error::new(ErrorKind::Rejected, "monitor", message))
        }
    }
}

/// What the first champion was like when it went live, kept beside its deployment.
pub async fn capture_baseline(
    world: &World,
    one: &ClosedLoop,
    champion: &Trained,
) -> Result<DeploymentBaseline> {
    let platform = &world.platform;
    let serving = one.state().serving.as_ref();
    let serving = serving.ok_or_else(|| Error::not_found("baseline", "version that serves", "nothing"))?;
    let deployments = platform.deployer.deployments(&world.endpoint()?).await?;
    let deployment = deployments.get(&serving.deployment);
    let deployment =
        deployment.ok_or_else(|| Error::not_found("baseline", "deployment", &serving.deployment))?;
    let rows = world.first.judge.select(&world.prepared.features)?;
    let predictions = champion.predictor.predict(&world.first.judge)?;
    let stores = BaselineStores::new(
        Arc::clone(&platform.artifacts),
        Arc::clone(&platform.data),
        Arc::clone(&platform.registry),
    );
    let captured = DeploymentBaseline::capture(deployment, &rows, &predictions, world.now())?;
    let asset = stores.keep(&captured, deployment).await?;
    say(format_args!(
        "Its baseline is kept as {}: {} features and the predictions, of {} rows.",
        asset.reference(),
        captured.inputs.columns.len(),
        captured.inputs.rows
    ));
    match stores.of(deployment).await? {
        Some(kept) if kept == captured => Ok(kept),
        _ => Err(Error::new(ErrorKind::Integrity, "baseline", "what was kept is not what was captured")),
    }
}

/// Shows both days to the loop; only the second is a reason to retrain, and the same report again is none.
pub async fn triggered(
    world: &World,
    one: &mut ClosedLoop,
    quiet: &MonitorReport,
    alarmed: &MonitorReport,
) -> Result<()> {
    let monitored = |report: &MonitorReport| Signal::Monitored(Box::new(report.clone()));
    if one.signal(&monitored(quiet)).await? {
        return Err(Error::new(ErrorKind::Rejected, "trigger", "a usual day was a reason to retrain"));
    }
    if !one.signal(&monitored(alarmed)).await? {
        let message = format!("the shift was no reason to retrain: {}", one.state().phase);
        return Err(Error::new(ErrorKind::Rejected, "trigger", message));
    }
    say(format_args!("The loop begins a cycle: {}.", one.state().phase));
    if one.signal(&monitored(alarmed)).await? {
        return Err(Error::new(ErrorKind::Rejected, "trigger", "one report was two reasons to retrain"));
    }
    say(format_args!(
        "The same report once more is held back: {}.",
        cycle::last_held_back(world, one).await?
    ));
    Ok(())
}

/// Judges champion and challenger by the same rows; the loop keeps the better one.
pub async fn challenge(
    world: &World,
    service: &mut Service,
    one: &mut ClosedLoop,
    grown: &Rows,
    (champion, challenger): (&Trained, &Trained),
) -> Result<()> {
    let old = build::evaluate(world, champion, grown)?;
    let new = build::evaluate(world, challenger, grown)?;
    let gate = world.gate().decide(&new, Some(&old), world.now())?;
    say(&gate);
    let version = &build::register(world, challenger).await?;
    let candidate =
        Challenger { version, trained: challenger, report: &new, gate: &gate, champion: Some(&old) };
    match cycle::run(world, service, one, &candidate).await? {
        LoopPhase::Promoted { version } => cycle::require_champion(world, one, version).await,
        phase @ (LoopPhase::Declined { .. } | LoopPhase::GateFailed { .. }) => {
            say(format_args!("The champion serves on: {phase}."));
            Ok(())
        }
        phase => Err(Error::new(
            ErrorKind::Rejected,
            "closed loop",
            format!("the cycle did not end well: {phase}"),
        )),
    }
}

/// A model trained and judged on labels that were turned round passes a gate; where it serves it is taken back, and its content gets
/// no other chance.
pub async fn bad_candidate(
    world: &World,
    service: &mut Service,
    one: &mut ClosedLoop,
    rows: &Rows,
    champion: &Trained,
) -> Result<()> {
    let before = one.state().serving.clone();
    if cycle::ask(one, "hotfix", "a hotfix, at once").await? {
        return Err(Error::new(ErrorKind::Rejected, "gates", "two cycles within a day"));
    }
    say(format_args!("A hotfix is asked for: {}.", cycle::last_held_back(world, one).await?));
    world.platform.clock.advance(Duration::from_secs(86_400));
    if !cycle::ask(one, "hotfix-next-day", "the hotfix, a day later").await? {
        let held = cycle::last_held_back(world, one).await?;
        return Err(Error::new(
            ErrorKind::Rejected,
            "gates",
            format!("the next day it is held back too: {held}"),
        ));
    }
    let turned = Rows {
        asset: rows.asset.clone(),
        train: turn_round(&rows.train)?,
        judge: turn_round(&rows.judge)?,
        labelled: rows.labelled.clone(),
    };
    let candidate = train::boosted_trees(&turned.train, &world.prepared.features, world.setup.source.seed)?;
    let trained = build::track(world, candidate, rows).await?;
    let (old, new) = (build::evaluate(world, champion, &turned)?, build::evaluate(world, &trained, &turned)?);
    let lax =
        GateSpec::new("hotfix", vec![Criterion::new("ranks", MetricKey::new("roc_auc")?).with_min(0.5)])?;
    let gate = lax.decide(&new, None, world.now())?;
    say(format_args!(
        "The next day somebody mixes up all labels, and shortens the gate: it says {}.",
        gate.verdict
    ));
    let version = &build::register(world, &trained).await?;
    let challenger =
        Challenger { version, trained: &trained, report: &new, gate: &gate, champion: Some(&old) };
    let phase = cycle::run(world, service, one, &challenger).await?;
    let LoopPhase::RolledBack { reason, .. } = &phase else {
        let message = format!("a bad candidate was not taken back: {phase}");
        return Err(Error::new(ErrorKind::Rejected, "rollout", message));
    };
    say(format_args!("Taken back: {reason}."));
    if one.state().serving != before || !one.state().quarantine.contains(&trained.artifact) {
        let message = format!("after the rollback {:?} serves", one.state().serving);
        return Err(Error::new(ErrorKind::Rejected, "rollout", message));
    }
    let Some(serving) = before else { return Ok(()) };
    cycle::require_champion(world, one, serving.version).await?;
    no_other_chance(world, service, one, &challenger).await
}

/// The same content once more, under another version.
async fn no_other_chance(
    world: &World,
    service: &mut Service,
    one: &mut ClosedLoop,
    challenger: &Challenger<'_>,
) -> Result<()> {
    world.platform.clock.advance(Duration::from_secs(86_400));
    if !cycle::ask(one, "hotfix-again", "the hotfix once more").await? {
        return Err(Error::new(ErrorKind::Rejected, "gates", "it was held back"));
    }
    let again = build::register(world, challenger.trained).await?;
    let again = Challenger { version: &again, ..*challenger };
    match cycle::run(world, service, one, &again).await? {
        LoopPhase::GateFailed { reason } if reason.contains("rolled back") => {
            say(format_args!("The same content gets no other chance: {reason}."));
            Ok(())
        }
        phase => {
            Err(Error::new(ErrorKind::Rejected, "quarantine", format!("it got another chance: {phase}")))
        }
    }
}

/// The same rows with the opposite labels.
fn turn_round(rows: &Table<'static>) -> Result<Table<'static>> {
    let wrong: Vec<bool> = truth(rows)?.into_iter().map(|label| !label).collect();
    rows.without(&[LABEL]).with_column(Column::bool(LABEL, wrong)?)
}

/// Verifies the audit log, and follows the endpoint's model back to the data.
pub async fn prove(world: &World, one: &ClosedLoop) -> Result<()> {
    let platform = &world.platform;
    match platform.audit.verify(None).await? {
        AuditVerification::Intact(checkpoint) => {
            say(format_args!(
                "{} audit records form an unbroken chain; its head is {}.",
                checkpoint.size, checkpoint.head
            ));
        }
        broken => {
            return Err(Error::new(
                ErrorKind::Integrity,
                "audit",
                format!("the audit log is damaged: {broken:?}"),
            ));
        }
    }
    let serving = one.state().serving.as_ref();
    let serving = serving.ok_or_else(|| Error::not_found("lineage", "version that serves", "nothing"))?;
    let node = Node::Deployment { endpoint: world.endpoint()?, deployment: serving.deployment.clone() };
    let lineage = platform.registry.lineage(&node, Direction::Upstream, 10).await?;
    say("What serves now, and what it came from:");
    for node in &lineage.nodes {
        say(format_args!("  {node}"));
    }
    if lineage.nodes.iter().any(|node| matches!(node, Node::Data { .. })) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Integrity, "lineage", "the lineage does not reach the data"))
}

/// Checks the store from one end to the other, and says how its runs and models are looked at.
pub async fn show(world: &World) -> Result<()> {
    let store = &world.platform.store;
    let report = store.verify().await?;
    if let Some(finding) = report.findings.first() {
        let message = format!("{}: {}", finding.subject, finding.reason);
        return Err(Error::new(ErrorKind::Integrity, "verify", message));
    }
    say(format_args!(
        "The store is sound: {} rows and {} contents are what was written, in {}.",
        report.rows,
        report.contents,
        store.folder().display()
    ));
    if let Some(azure) = &world.platform.azure {
        let requests = azure.requests().map_or_else(String::new, |n| format!(" after {n} requests"));
        say(format_args!("Data, runs, models and endpoints are in {}{requests}.", azure.workspace.name()));
        return Ok(());
    }
    let mlflow = store.mlflow();
    let shown = mlflow.sync().await?;
    say(format_args!("MLflow shows its {} runs and {} models:", shown.runs, shown.models));
    say(format_args!("  {}", mlflow.command()));
    Ok(())
}
