//! Phase 5: evaluate, and let a file decide what is good enough.
//!
//! `cargo run -p mlops-examples --example phase5_evaluate`

use std::error::Error;
use std::path::Path;

use mlops_core::MetricKey;
use mlops_core::data::{Part, Table, row_digests};
use mlops_core::evaluation::champion::compare;
use mlops_core::evaluation::render::{HtmlOptions, html_with};
use mlops_core::evaluation::{
    ChampionRules, Estimate, EvaluationInput, EvaluationReport, Evaluator as _, GateInput, GateSpec, Guard,
};
use mlops_core::hash::{Digest, Hasher};
use mlops_core::problem::Task;
use mlops_core::time::{Clock as _, SystemClock};
use mlops_eval::evaluator::{EvaluatorOptions, StandardEvaluator};
use mlops_eval::evidence::{Other, Others};
use mlops_examples::narrate::{say, step};
use mlops_examples::prepare::{LABEL, Prepared, Source, prepare};
use mlops_examples::train::{Candidate, boosted_trees, logistic, prior};

fn main() -> Result<(), Box<dyn Error>> {
    let source = Source::diabetes();
    let prepared = prepare(&source)?;
    let (train, rows) = (prepared.part(Part::Train)?, prepared.part(Part::Validation)?);
    let champion = logistic(&train, &prepared.features, source.seed)?;
    let challenger = boosted_trees(&train, &prepared.features, source.seed)?;

    // One call measures everything: metrics over all rows, over slices, and between the groups of a sensitive attribute.
    step(1, "How good is it?");
    let report = evaluate(&champion, &prepared, &rows)?;
    for name in ["roc_auc", "log_loss", "accuracy", "recall"] {
        if let Some(estimate) = report.metrics.get(name) {
            say(format!("{name:9} {}", shown(estimate)));
        }
    }

    // An average hides whom it fails.
    step(2, "For whom?");
    for slice in &report.slices {
        let auc = slice.metrics.get("roc_auc").map(shown).unwrap_or_default();
        say(format!("{:15} {:3} rows  roc_auc {auc}", slice.name, slice.rows));
    }
    for fairness in &report.fairness {
        for group in &fairness.groups {
            let recall = group.metrics.get("recall").map(shown).unwrap_or_default();
            say(format!("{} {:11} {:3} rows  recall {recall}", fairness.attribute, group.name, group.rows));
        }
        for (name, disparity) in &fairness.disparities {
            say(format!("{name:31} {}", shown(&disparity.estimate)));
        }
    }

    // The gate is a file with a digest. Its decision names the model, the report and the gate it is about.
    step(3, "Good enough?");
    let gate = GateSpec::from_file(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/phase5_gate.toml"))?;
    let decision = gate.decide(&report, None, report.at)?;
    say(&decision);

    // The baseline does not get through, and the decision about one model opens the gate for no other.
    step(4, "What the gate keeps out");
    let baseline = prior(&train, &prepared.features, source.seed)?;
    let refused = gate.decide(&evaluate(&baseline, &prepared, &rows)?, None, report.at)?;
    say(&refused);
    if let Err(error) = decision.require_pass(&Digest::of(&baseline.bytes)) {
        say(format!("with the other model's decision: {}", error.message()));
    }

    // Good enough is not better: the challenger must win by a margin, and must not lose where it counts.
    step(5, "Better than the champion?");
    let rules = ChampionRules::new(MetricKey::new("roc_auc")?)
        .with_margin(0.01)
        .with_guard(Guard::new(MetricKey::new("log_loss")?, 0.02))
        .with_guard(Guard::new(MetricKey::new("equal_opportunity_difference")?, 0.05).with_attribute("sex"));
    let outcome = compare(&report, &evaluate(&challenger, &prepared, &rows)?, &rules)?;
    for evidence in &outcome.evidence {
        say(format!("{}: {}", evidence.outcome, evidence.reason));
    }
    say(format!("so: {}", outcome.outcome));

    // A number on the right side of its bound may be luck. Tested criteria say how much luck they allow, and the evidence for
    // them is computed on the rows.
    step(6, "Surely not worse?");
    let gate = GateSpec::from_file(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/phase5_tested.toml"))?;
    let theirs = champion.predictor.predict(&rows)?;
    let others = Others::default().with_champion(Other::new(Digest::of(&champion.bytes), &theirs));
    let (decision, page) = judged(&challenger, &prepared, &rows, |evaluator, input| {
        let evidence = evaluator.evidence(&gate, input, &others)?;
        let ours = evaluator.evaluate(input)?;
        let seen = GateInput::new(&ours).with_champion(&report).with_evidence(&evidence);
        let decision = gate.decide_with(&seen, input.at)?;
        let page = html_with(&decision, &HtmlOptions::default().with_gate(&gate).with_input(&seen))?;
        Ok((decision, page))
    })?;
    say(&decision);
    let file = std::env::temp_dir().join(format!("mlops-gate-decision-{}.html", std::process::id()));
    std::fs::write(&file, page)?;
    say(format!("as a page with pictures: {}", file.display()));
    Ok(())
}

fn evaluate(model: &Candidate, data: &Prepared, rows: &Table<'_>) -> mlops_core::Result<EvaluationReport> {
    judged(model, data, rows, |evaluator, input| evaluator.evaluate(input))
}

/// Hands a model's predictions and the truth to an evaluator.
fn judged<R>(
    model: &Candidate,
    data: &Prepared,
    rows: &Table<'_>,
    judge: impl FnOnce(&StandardEvaluator, &EvaluationInput<'_>) -> mlops_core::Result<R>,
) -> mlops_core::Result<R> {
    let options = EvaluatorOptions::default().with_bands(&data.slice, data.bands.clone());
    // Two reports can be compared when they are about the same rows: their digest says so.
    let digest = |hasher: Hasher, row: &Digest| hasher.field(row.as_bytes());
    let predictions = model.predictor.predict(rows)?;
    let (slices, sensitive) = (rows.select(&[&data.slice])?, rows.select(&[&data.sensitive])?);
    let input = EvaluationInput::new(
        Digest::of(&model.bytes),
        row_digests(rows).iter().fold(Hasher::new("example.rows/v1"), digest).finish(),
        Task::BinaryClassification,
        &predictions,
        rows.column(LABEL)?,
        SystemClock::new().now(),
    );
    judge(&StandardEvaluator::new(options)?, &input.with_slices(&slices).with_sensitive(&sensitive))
}

/// A value with its interval, where there is one; what has no value says why.
fn shown(estimate: &Estimate) -> String {
    match (estimate.value.value(), estimate.interval) {
        (Some(value), Some((low, high))) => format!("{value:.3}  95 % interval [{low:.3}, {high:.3}]"),
        (Some(value), None) => format!("{value:.3}"),
        (None, _) => format!("{}", estimate.value),
    }
}
