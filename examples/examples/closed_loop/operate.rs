//! Steps 8 to 11: watching, retraining, taking back, proving.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::data::{Column, Table};
use mlops_core::deploy::Deployer as _;
use mlops_core::evaluation::{ChampionRules, EvaluationReport, champion::compare};
use mlops_core::governance::{AuditLog as _, AuditVerification};
use mlops_core::local::{LocalAlertSink, LocalMonitor};
use mlops_core::model::{Predictions, Predictor as _};
use mlops_core::monitor::{
    Alert, AlertSink as _, FeatureOutcome, GroundTruth, Monitor as _, MonitorReport, MonitorSpec,
    Observations, PerformanceRule, SignalKind, SignalOutcome, SignalSpec, Window,
};
use mlops_core::num::Random;
use mlops_core::problem::Task;
use mlops_core::registry::{Direction, ModelRegistry as _, ModelVersion, Node};
use mlops_core::retrain::{
    AnyTrigger, DriftTrigger, PerformanceTrigger, Signal, Trigger as _, TriggerOutcome, TriggerState,
};
use mlops_core::{Error, ErrorKind, IdempotencyKey, MetricKey, MonitorName, PageRequest, Result};
use mlops_drift::detector::{Detector, DetectorOptions};
use mlops_examples::narrate::say;
use mlops_examples::prepare::LABEL;
use mlops_examples::train;

use super::build::{self, Rows, Trained, World};
use super::serve::{Answer, Service, draw, truth};

/// The monitor of the endpoint and where its alerts go.
#[derive(Debug)]
pub struct Watch {
    monitor: LocalMonitor,
    alerts: LocalAlertSink,
    name: MonitorName,
}

impl Watch {
    /// Fits detectors on what the champion knows: inputs on the rows it learned from, predictions on rows it has not seen.
    pub async fn new(world: &World, champion: &Trained, report: &EvaluationReport) -> Result<Self> {
        let inputs = world.first.train.select(&world.prepared.features)?;
        let inputs = Detector::fit(&inputs, DetectorOptions::default().with_name("inputs"))?;
        let predicted = champion.predictor.predict(&world.first.judge)?;
        let predicted = Column::f64(LocalMonitor::PREDICTION, predicted.as_slice().to_vec())?;
        let options = DetectorOptions::default().with_name("predictions");
        let predictions = Detector::fit(&Table::new(vec![predicted])?, options)?;
        let evaluator = Arc::new(world.evaluator.clone());
        let monitor = world
            .platform
            .store
            .monitor()
            .with_detector("inputs", Arc::new(inputs))
            .with_detector("predictions", Arc::new(predictions))
            .with_evaluator(evaluator, Task::BinaryClassification);
        // An alarm when the champion ranks clearly worse than it did when it was released.
        let limit = report.metric("roc_auc").unwrap_or(0.5) - 0.15;
        let rule = PerformanceRule { metric: MetricKey::new("roc_auc")?, limit, min_labelled: 50 };
        let name = MonitorName::new("production")?;
        let spec = MonitorSpec {
            name: name.clone(),
            endpoint: mlops_core::EndpointName::new("progression")?,
            signals: vec![
                SignalSpec::new("inputs", SignalKind::DataDrift),
                SignalSpec::new("predictions", SignalKind::PredictionDrift),
                SignalSpec::new("performance", SignalKind::Performance(rule)),
            ],
        };
        monitor.define(&spec).await?;
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
        let answers = service.send(world, which).await?;
        self.observe(world, service, &answers, day).await?;
        world.platform.clock.advance(Duration::from_secs(86_400));
        let window = Window::new(start, world.now())?;
        let report = self.monitor.check(&self.name, &window).await?;
        self.alarm(world, &report, day).await?;
        Ok(report)
    }

    async fn observe(&self, world: &World, service: &Service, answers: &[Answer], day: &str) -> Result<()> {
        let mut by_deployment: BTreeMap<&str, Vec<(usize, &Answer)>> = BTreeMap::new();
        for (i, answer) in answers.iter().enumerate() {
            by_deployment.entry(answer.deployment.as_str()).or_default().push((i, answer));
        }
        for answers in by_deployment.values() {
            let ids: Vec<String> = answers.iter().map(|(i, _)| format!("{day}-{i}")).collect();
            let rows = world.production.take(&answers.iter().map(|(_, a)| a.row).collect::<Vec<_>>())?;
            let Some((_, first)) = answers.first() else { continue };
            let predictions = Predictions::probability(answers.iter().map(|(_, a)| a.prediction).collect())?;
            self.monitor
                .observe(&Observations {
                    endpoint: service.endpoint.clone(),
                    deployment: first.deployment.clone(),
                    at: world.now(),
                    ids: &ids,
                    features: &rows.without(&[LABEL]),
                    predictions: &predictions,
                })
                .await?;
            let truth = truth(&rows)?.into_iter().map(|y| f64::from(u8::from(y)));
            let labels: Vec<GroundTruth> =
                ids.into_iter().zip(truth).map(|(id, value)| GroundTruth { id, value }).collect();
            self.monitor.label(&service.endpoint, &labels).await?;
        }
        Ok(())
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

/// Asks the triggers about both days; the second must be a reason to retrain.
pub fn triggered(world: &World, quiet: &MonitorReport, alarmed: &MonitorReport) -> Result<String> {
    let week = Duration::from_secs(7 * 86_400);
    let trigger = AnyTrigger::new(vec![
        Arc::new(DriftTrigger::new("inputs", 1, week)?),
        Arc::new(PerformanceTrigger::new("performance", 1, week)?),
    ])?;
    let monitored = |report: &MonitorReport| Signal::Monitored(Box::new(report.clone()));
    let first = trigger.evaluate(&TriggerState::default(), &monitored(quiet), quiet.at)?;
    let second = trigger.evaluate(&first.state, &monitored(alarmed), world.now())?;
    match second.outcome {
        TriggerOutcome::Fire(reason) => Ok(format!("The trigger fires: {reason}.")),
        other => {
            let message = format!("the shift was no reason to retrain: {other:?}");
            Err(Error::new(ErrorKind::Rejected, "trigger", message))
        }
    }
}

/// Judges champion and challenger by the same rows; the better one serves on.
pub async fn challenge(
    world: &World,
    service: &mut Service,
    grown: &Rows,
    (version, champion): (&ModelVersion, &Trained),
    challenger: &Trained,
) -> Result<()> {
    let old = build::evaluate(world, champion, grown)?;
    let new = build::evaluate(world, challenger, grown)?;
    let rules = ChampionRules::new(MetricKey::new("roc_auc")?);
    let decision = compare(&old, &new, &rules)?;
    for reason in &decision.reasons {
        say(reason);
    }
    let subject = version.reference().to_string();
    world.platform.record("model.challenge", &subject, &decision.outcome.to_string()).await?;
    if !decision.is_promotion() {
        say("The champion keeps its place.");
        return Ok(());
    }
    let gate = world.gate().decide(&new, Some(&old), world.now())?;
    say(&gate);
    if gate.require_pass(&new.model).is_err() {
        say("The challenger is better, but the gate does not let it through: the champion keeps its place.");
        return Ok(());
    }
    let next = build::register(world, challenger).await?;
    if service.roll_out(world, &next, challenger).await?.require_promoted().is_ok() {
        build::promote(world, &next, gate, Some(version.version)).await?;
    }
    Ok(())
}

/// A model trained on labels that were turned round reaches a canary without passing the gate.
pub async fn bad_candidate(world: &World, service: &mut Service, rows: &Rows) -> Result<()> {
    let wrong: Vec<bool> = truth(&rows.train)?.into_iter().map(|label| !label).collect();
    let turned = rows.train.without(&[LABEL]).with_column(Column::bool(LABEL, wrong)?)?;
    let candidate = train::boosted_trees(&turned, &world.prepared.features, world.setup.source.seed)?;
    let trained = build::track(world, candidate, rows).await?;
    let report = build::evaluate(world, &trained, rows)?;
    let verdict = world.gate().decide(&report, None, world.now())?.verdict;
    say(format_args!(
        "Somebody mixed up the labels; the gate says {verdict}, but it is deployed all the same."
    ));
    let bad = build::register(world, &trained).await?;
    let before = service.stable.clone();
    service.roll_out(world, &bad, &trained).await?.require_rolled_back()?;
    let traffic = world.platform.deployer.endpoint(&service.endpoint).await?.traffic;
    if traffic.share(&before) != mlops_core::Percent::ALL {
        let message = format!("after the rollback the traffic is {traffic}");
        return Err(Error::new(ErrorKind::Rejected, "rollout", message));
    }
    say(format_args!("The champion serves on: {traffic}."));
    Ok(())
}

/// Verifies the audit log, and follows the endpoint's model back to the data.
pub async fn prove(world: &World, service: &Service) -> Result<()> {
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
    let node = Node::Deployment { endpoint: service.endpoint.clone(), deployment: service.stable.clone() };
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
    let mlflow = store.mlflow();
    let shown = mlflow.sync().await?;
    say(format_args!("MLflow shows its {} runs and {} models:", shown.runs, shown.models));
    say(format_args!("  {}", mlflow.command()));
    Ok(())
}
