//! Phase 6: a file of patients scored as a whole, interrupted half-way and taken up again.
//!
//! `cargo run -p mlops-examples --example phase6_batch`

use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;

use mlops_core::ErrorKind;
use mlops_core::data::CsvOptions;
use mlops_core::pipeline::Cancel;
use mlops_core::serve::ImportedModel;
use mlops_core::serve::batch::{BadRows, BatchCounts, BatchInput, BatchOptions, BatchProgress, BatchScoring};
use mlops_examples::narrate::{say, step};

/// Twelve trees of LightGBM on the diabetes data: is the progression above the median? `data/make_forest.py` trained them.
const FOREST: &str = include_str!("../data/forest.txt");

/// Says how far the work is, and pulls the plug once.
#[derive(Debug)]
struct Impatient {
    cancel: Cancel,
}

impl BatchProgress for Impatient {
    fn heard(&self, counts: &BatchCounts) {
        if counts.rows.is_multiple_of(5_000) {
            say(format!("{:>6} rows  {} scored, {} set aside", counts.rows, counts.scored, counts.bad));
        }
        if counts.rows >= 10_000 {
            self.cancel.cancel();
        }
    }
}

/// A file as a hospital's export might be: twenty thousand patients, a few of whom somebody has mistyped.
fn patients() -> String {
    let mut text = "patient,ward,age,bmi,bp,s5\n".to_owned();
    for i in 0..20_000_u32 {
        let bmi =
            if i % 4_000 == 1_234 { "thirty".to_owned() } else { format!("{}.{}", 18 + i % 17, i % 10) };
        let (ward, age, bp, s5) = (["north", "south"][(i % 2) as usize], 20 + i % 60, 70 + i % 50, 3 + i % 3);
        // Nobody is lost for want of a measurement: the model has learned what a missing one means.
        let bp = if i % 7 == 0 { String::new() } else { bp.to_string() };
        // Writing to text does not fail.
        let _ = writeln!(text, "P{i:05},{ward},{age},{bmi},{bp},{s5}.5");
    }
    text
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let place = |name: &str| folder.path().join(name);
    let (input, output) = (place("patients.csv"), place("scores.csv"));
    std::fs::write(&input, patients())?;
    let model = ImportedModel::from_lightgbm(FOREST.as_bytes())?;

    // Batches keep memory bounded; checkpoints keep what is done; bad rows do not stop the rest, up to a share.
    let options = BatchOptions::default()
        .with_carried(["patient", "ward"])
        .with_batch_rows(1_000)
        .with_checkpoint_batches(2)
        .with_bad_rows(BadRows::SetAside { max_share: 0.001 });
    let scoring = BatchScoring::new(BatchInput::csv(&input, CsvOptions::default()), &output)
        .with_options(options)
        .with_model("diabetes:1");

    step(1, "Half-way, somebody pulls the plug");
    let cancel = Cancel::new();
    let watched = scoring.clone().with_progress(Arc::new(Impatient { cancel: cancel.clone() }));
    match watched.with_cancel(cancel).score(&model) {
        Err(error) if error.kind() == ErrorKind::Cancelled => say(format!("stopped    {}", error.message())),
        other => return Err(format!("the plug was not pulled: {other:?}").into()),
    }
    say(format!(
        "results    {}",
        if output.exists() { "there" } else { "none yet: they appear when they are whole" }
    ));

    step(2, "The same call takes the work up");
    let report = scoring.score(&model)?;
    say(format!("rows       {} scored, {} set aside", report.counts.scored, report.counts.bad));
    say(format!("kept       {} rows of the work before", report.resumed_rows));
    let scores = std::fs::read_to_string(&output)?;
    for line in scores.lines().take(3) {
        say(format!("           {line}"));
    }

    // Byte for byte what it would have been without the interruption.
    step(3, "The same as if nothing had happened");
    let calm = BatchScoring::new(BatchInput::csv(&input, CsvOptions::default()), place("calm.csv"))
        .with_options(
            BatchOptions::default()
                .with_carried(["patient", "ward"])
                .with_bad_rows(BadRows::SetAside { max_share: 0.001 }),
        );
    let same = calm.score(&model)?.output == report.output;
    say(format!(
        "digest     {} {}",
        report.output.short(),
        if same { "is that of one go" } else { "differs" }
    ));
    let aside = std::fs::read_to_string(place("scores.csv.refused.jsonl"))?;
    say(format!("set aside  {}", aside.lines().next().unwrap_or_default()));
    if same { Ok(()) } else { Err("the results differ".into()) }
}
