//! Phase 2: labels made by people: a queue, leases, disagreements decided, what a model suggests kept apart, agreement
//! measured, and the result a data asset.
//!
//! `cargo run -p mlops-examples --example phase2_labels`

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::data::{
    LabelProject, LabelQueue, LabelScheme, LabelStatus, LabelTask, Prelabel, alpha_interval,
};
use mlops_core::memory::{MemoryArtifactStore, MemoryDataAssetStore};
use mlops_core::time::{Clock as _, ManualClock};
use mlops_core::{ActorId, AssetName};
use mlops_examples::narrate::{say, step};

/// Notes, how urgent they are, and how surely one sees it.
const NOTES: [(&str, usize, bool); 12] = [
    ("crushing chest pain since an hour", 2, true),
    ("renewal of a prescription", 0, true),
    ("cough for two weeks", 0, false),
    ("sudden numbness of the left arm", 2, true),
    ("headache, better after rest", 0, false),
    ("fever of 39 degrees for three days", 1, true),
    ("fall on the wrist, swollen", 1, true),
    ("short of breath at night", 2, false),
    ("certificate for the employer", 0, true),
    ("rash after a new drug", 1, true),
    ("dizzy when getting up", 1, false),
    ("loss of consciousness", 2, true),
];
const CLASSES: [&str; 3] = ["can wait", "today", "at once"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let clock = Arc::new(ManualClock::at("2026-03-02T09:00:00Z".parse()?));
    let annotators = [ActorId::new("nurse-a")?, ActorId::new("nurse-b")?, ActorId::new("nurse-c")?];
    let physician = ActorId::new("physician")?;

    // Each note goes to two people, who have ten minutes; a third person decides where they disagree.
    step(1, "A queue of notes");
    let project = LabelProject::new(AssetName::new("triage")?, LabelScheme::ordinal(CLASSES)?)
        .with_overlap(2)
        .with_lease(Duration::from_secs(600))
        .with_annotators(annotators.clone())
        .with_adjudicators([physician.clone()]);
    let mut queue = LabelQueue::new(project)?;
    for (number, (note, urgency, _)) in NOTES.iter().enumerate() {
        let id = format!("note-{number}");
        queue.add(LabelTask::of(&id, note.as_bytes()), clock.now())?;
        // A model has an opinion too. It is kept, and it is not a label.
        let guess = CLASSES[(*urgency + usize::from(number % 5 == 4)) % 3];
        queue.prelabel(&id, Prelabel::new("triage-model:3", guess).with_score(0.7), clock.now())?;
    }
    say(format!("{} tasks, two labels each, suggestions of a model out of sight", NOTES.len()));

    // Somebody takes a task and goes to lunch: after ten minutes it is somebody else's.
    step(2, "A lease that runs out");
    let lost = queue.claim(&annotators[0], clock.now())?.ok_or("nothing to do")?;
    clock.advance(Duration::from_secs(700));
    if let Err(error) = queue.submit(&annotators[0], &lost.task.id, CLASSES[0], clock.now()) {
        say(error);
    }

    step(3, "Everybody labels");
    let mut waiting = annotators.len();
    while waiting > 0 {
        waiting = annotators.len();
        for (place, annotator) in annotators.iter().enumerate() {
            let Some(assignment) = queue.claim(annotator, clock.now())? else {
                waiting -= 1;
                continue;
            };
            let number: usize = assignment.task.id.trim_start_matches("note-").parse()?;
            let (_, urgency, clear) = NOTES[number];
            // Where it is not clear, the third nurse is more careful than the others.
            let label = CLASSES[if clear || place != 2 { urgency } else { (urgency + 1).min(2) }];
            queue.submit(annotator, &assignment.task.id, label, clock.now())?;
            clock.advance(Duration::from_secs(20));
        }
    }
    say(format!("{:?}", queue.progress().tasks));

    step(4, "A physician decides what is disputed");
    let disputed = queue.tasks().filter(|(_, status)| *status == LabelStatus::Disputed);
    let disputed: Vec<String> = disputed.map(|(task, _)| task.id.clone()).collect();
    for id in &disputed {
        let number: usize = id.trim_start_matches("note-").parse()?;
        queue.adjudicate(&physician, id, CLASSES[NOTES[number].1], "seen in person", clock.now())?;
        say(format!("{id} (\"{}\"): {}", NOTES[number].0, CLASSES[NOTES[number].1]));
    }

    // Agreement beyond chance, with its uncertainty: twelve notes say little.
    step(5, "How far people agree, and a model with them");
    let report = queue.agreement()?;
    say(format!(
        "the same label in {:.2} of pairs; Krippendorff's alpha (ordinal) {:.3}",
        report.same, report.alpha
    ));
    let interval = alpha_interval(&queue.votes_as_ratings()?, report.level, 1_000, 0.95, 2004)?;
    say(format!("95 % interval of alpha: {:.2} to {:.2}", interval.low, interval.high));
    for pair in &report.pairs {
        let kappa = pair.kappa.map(|kappa| format!("{kappa:.2}")).unwrap_or_default();
        say(format!("{} and {}: {} notes, kappa {kappa}", pair.first, pair.second, pair.tasks));
    }
    for model in &report.models {
        say(format!(
            "{} suggested the final label in {:.2} of {} notes",
            model.model, model.same, model.tasks
        ));
    }

    // The queue is its records: what is read back is checked by replaying it.
    step(6, "Stored as a data asset");
    let stored = serde_json::to_string(&queue)?;
    let same = serde_json::from_str::<LabelQueue>(&stored)? == queue;
    say(format!("{} records replayed to the same queue: {same}", queue.records().len()));
    let artifacts = Arc::new(MemoryArtifactStore::default());
    let assets = MemoryDataAssetStore::new(artifacts.clone(), clock);
    let asset = queue.register(&*artifacts, &assets, AssetName::new("triage-labels")?, physician).await?;
    say(format!("{} is {}", asset.reference(), asset.spec.digest));
    say(queue.to_jsonl()?.lines().next().unwrap_or_default());
    Ok(())
}
