//! Phase 8: decide when to train anew, let somebody consent, and leave a trail that cannot be rewritten in silence.
//!
//! `cargo run -p mlops-examples --example phase8_retrain`

use std::error::Error;
use std::time::Duration;

use mlops_core::ActorId;
use mlops_core::data::{Column, Part, Table};
use mlops_core::evaluation::Verdict;
use mlops_core::governance::{AuditEntry, AuditLog as _, AuditLogExt as _, CallbackApprover, verify_chain};
use mlops_core::hash::{Digest, digest_json};
use mlops_core::memory::MemoryAuditLog;
use mlops_core::monitor::{
    DriftDetector as _, DriftVerdict, MonitorReport, SignalKind, SignalOutcome, SignalReport, SignalSpec,
    Window,
};
use mlops_core::retrain::{
    ApprovalDecision, ApprovalRequest, Approver as _, DriftTrigger, Signal, Trigger as _, TriggerOutcome,
    TriggerState,
};
use mlops_core::time::Timestamp;
use mlops_drift::detector::{Detector, DetectorOptions};
use mlops_examples::narrate::{say, step};
use mlops_examples::prepare::{Source, prepare};
use mlops_examples::train::boosted_trees;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let source = Source::diabetes();
    let data = prepare(&source)?;
    let (train, usual) = (data.part(Part::Train)?, data.part(Part::Test)?);
    let detector = Detector::fit(&train.select(&data.features)?, DetectorOptions::default())?;
    let heavier: Vec<f64> = usual.column("bmi")?.to_f64()?.iter().map(|bmi| bmi + 6.0).collect();
    let drifted = usual.without(&["bmi"]).with_column(Column::f64("bmi", heavier)?)?;

    // One bad day is no reason to retrain, two in a row are. After that, a week must pass: a model that was trained an hour
    // ago has not been tried yet. The trigger is a pure function; what it remembers is handed back to it.
    step(1, "When to retrain");
    let trigger = DriftTrigger::new("inputs", 2, 7 * DAY)?;
    let audit = MemoryAuditLog::default();
    let loop_actor: ActorId = "retraining".parse()?;
    let (mut state, mut now): (_, Timestamp) = (TriggerState::default(), "2026-03-02T00:00:00Z".parse()?);
    let mut reason = String::new();
    for (day, rows) in [&usual, &drifted, &drifted, &drifted, &drifted].into_iter().enumerate() {
        let decision = trigger.evaluate(&state, &monitored(&detector, rows, now)?, now)?;
        let said = match &decision.outcome {
            TriggerOutcome::Fire(why) => format!("retrain: {why}"),
            TriggerOutcome::Suppressed(why) => format!("not yet: {why}"),
            _ => "nothing to do".to_owned(),
        };
        say(format!("day {}: {said}", day + 1));
        audit.record(&loop_actor, "trigger.evaluate", "model/diabetes", &said).await?;
        if let TriggerOutcome::Fire(why) = decision.outcome {
            reason = why;
        }
        (state, now) = (decision.state, now + DAY);
    }

    // What came in since is learnt from too. The model is known by its content, and that is what somebody is asked about.
    step(2, "Train anew, and ask");
    let model = boosted_trees(&Table::concat(&[train, drifted])?, &data.features, source.seed)?;
    let subject = Digest::of(&model.bytes);
    let question = format!("Replace the champion by {} ({reason})?", subject.short());
    say(&question);
    let request = ApprovalRequest::new(subject, question, loop_actor.clone(), now + 2 * DAY);

    // Here a rule stands in for a person. It may take its time: until it decides, the answer is `Pending`.
    let approver = CallbackApprover::new("head of clinic".parse()?, |request| {
        (ApprovalDecision::Approved, format!("read it, go ahead with {}", request.subject.short()))
    });
    let approval = approver.decide(&request, now).await?;
    say(format!("{}: {:?}, {}", approval.approver, approval.decision, approval.comment));

    // A yes is about one thing, for a limited time, and nobody's own.
    step(3, "What the yes is not good for");
    let other = approval.require(&Digest::of(b"another model"), now);
    let late = approval.require(&subject, now + 3 * DAY);
    let own = CallbackApprover::new(loop_actor.clone(), |_| (ApprovalDecision::Approved, String::new()));
    for refused in [other, late] {
        say(refused.err().map_or("accepted".to_owned(), |error| error.message().to_owned()));
    }
    say(own.decide(&request, now).await?.comment);
    approval.require(&subject, now)?;
    let entry = AuditEntry::new(approval.approver.clone(), "model.approve", "model/diabetes");
    audit.append(&entry.with_digest(digest_json(&approval)?).with_detail(approval.comment)).await?;

    // Every record holds the hash of the one before. A checkpoint kept elsewhere shows also when the end is cut off.
    step(4, "The trail");
    let checkpoint = audit.checkpoint().await?;
    let records = audit.read(0, 100).await?;
    say(format!("{} records: {:?}", records.len(), audit.verify(Some(&checkpoint)).await?));
    let mut tampered = records.clone();
    tampered[1].entry.detail = "nothing to do".to_owned();
    say(format!("a day rewritten: {:?}", verify_chain(&tampered, Some(&checkpoint))));
    say(format!("the end cut off: {:?}", verify_chain(&records[..4], Some(&checkpoint))));
    Ok(())
}

/// What a monitor reports about one day. Phase 7 shows one at work.
fn monitored(detector: &Detector, rows: &Table<'_>, day: Timestamp) -> mlops_core::Result<Signal> {
    let drift = detector.detect(rows, day + DAY)?;
    let verdict = match drift.verdict {
        DriftVerdict::Drift => Verdict::Fail,
        DriftVerdict::NoDrift => Verdict::Pass,
        DriftVerdict::Inconclusive => Verdict::Insufficient,
    };
    let spec = SignalSpec::new("inputs", SignalKind::DataDrift);
    let signal = SignalReport::new(&spec, verdict, drift.reason.clone(), SignalOutcome::Drift(drift));
    let window = Window::new(day, day + DAY)?;
    let n = rows.rows() as u64;
    let report = MonitorReport::new("diabetes".parse()?, window, day + DAY, n, vec![signal]);
    Ok(Signal::Monitored(Box::new(report)))
}
