//! Phase 2: splits that keep apart what must stay apart, and that can be made again and held against the data.
//!
//! `cargo run -p mlops-examples --example phase2_split`

use std::error::Error;
use std::time::Duration;

use mlops_core::data::{
    Column, CombinatorialPurged, CrossValidation, CsvOptions, Folds, Fractions, LabelSpan, Part, Split,
    Table, TimeWindows, Values, parse_csv,
};
use mlops_examples::narrate::{say, step};
use mlops_examples::prepare::Source;

const DAY: Duration = Duration::from_secs(86_400);

fn main() -> Result<(), Box<dyn Error>> {
    let text = std::fs::read_to_string(Source::diabetes().file)?;
    let table = visits(parse_csv(text.as_bytes(), &CsvOptions::default())?)?;
    step(1, "The data: who came when");
    say(format!("{} visits of 150 patients over {} days", table.rows(), table.rows()));

    // A stratified split keeps the share of each class; the manifest says what each part is like.
    step(2, "Stratified by sex");
    let split = Split::stratified("sex", Fractions::test(0.25)?, 2004).with_times("at");
    let parts = split.apply(&table)?;
    for (part, summary) in &parts.manifest().parts {
        let counts =
            summary.classes.as_ref().map(|classes| format!("{:?}", classes.counts)).unwrap_or_default();
        say(format!("{part}: {} visits, by sex {counts}", summary.rows));
    }

    // But a patient who is learnt from and tested on is recognised, not understood: groups stay whole.
    step(3, "Whole patients, and the sexes even all the same");
    let grouped = Split::stratified_group("sex", "patient", Fractions::test(0.25)?, 2004).apply(&table)?;
    let summary = &grouped.manifest().parts[&Part::Test];
    say(format!("test: {} visits, {:?}", summary.rows, summary.classes.as_ref().map(|c| &c.counts)));

    // A hash of the patient decides: next year's data move nobody from one part to another.
    step(4, "By a salted hash: nobody moves when data grow");
    let hashed = Split::hash("patient", "diabetes-2026", Fractions::test(0.25)?);
    let early = table.take(&(0..300).collect::<Vec<_>>())?;
    let (before, after) = (hashed.apply(&early)?, hashed.apply(&table)?);
    let kept = before.test().iter().filter(|row| after.test().contains(row)).count();
    say(format!("{kept} of {} early test rows are test rows in the full table", before.test().len()));

    // Folds by time: each window is predicted from what lies two weeks before it and earlier, as in production.
    step(5, "Windows of 30 days, each after a gap of two weeks");
    let windows = TimeWindows::new(4, 30 * DAY).with_gap(14 * DAY);
    show(&CrossValidation::time("at", windows.clone()).apply(&table)?);
    say("and learning from the last 120 days only:");
    show(&CrossValidation::time("at", windows.rolling(120 * DAY)).apply(&table)?);

    // Outcomes take a month to be known: rows whose outcome is known while a test outcome is, are purged.
    step(6, "Combinatorial, purged, with an embargo");
    let purged =
        CombinatorialPurged::new(6, 2).with_labels(LabelSpan::For((30 * DAY).into())).with_embargo(7 * DAY);
    let folds = CrossValidation::combinatorial_purged("at", purged).apply(&table)?;
    let first = &folds.folds()[0];
    say(format!("{} folds make {} backtest paths", folds.folds().len(), folds.paths().len()));
    say(format!("the first leaves out {} rows by purge, {} by embargo", first.purged(), first.embargoed()));

    // A manifest is enough to make a split again and to notice that the data are no longer the same.
    step(7, "Held against the data later");
    let stored = serde_json::to_string(folds.manifest())?;
    let manifest: mlops_core::data::FoldsManifest = serde_json::from_str(&stored)?;
    say(format!("{} bytes, digest {}", stored.len(), manifest.digest.short()));
    say(format!("made again from the same table, it is the same: {}", manifest.verify(&table)? == folds));
    if let Err(error) = manifest.verify(&early) {
        say(format!("from other data: {}", error.message()));
    }
    Ok(())
}

/// The bundled rows as visits: three of each patient, one a day.
fn visits(table: Table<'_>) -> Result<Table<'static>, Box<dyn Error>> {
    let rows = i64::try_from(table.rows())?;
    let micros = i64::try_from(DAY.as_micros())?;
    let patient: Vec<i64> = (0..rows).map(|row| row % 150).collect();
    let at: Vec<i64> = (0..rows).map(|row| (19_723 + row) * micros).collect();
    let table = table.into_owned().with_column(Column::i64("patient", patient)?)?;
    Ok(table.with_column(Column::new("at", Values::Time(at.into()), None)?)?)
}

fn show(folds: &Folds) {
    for summary in &folds.manifest().folds {
        let range = |part: &mlops_core::data::PartSummary| {
            part.times.as_ref().map(|t| format!("{} to {}", day(&t.first), day(&t.last))).unwrap_or_default()
        };
        let (train, test) = (&summary.train, &summary.test);
        say(format!("learn {} ({} rows), test {} ({})", range(train), train.rows, range(test), test.rows));
    }
}

fn day(time: &str) -> &str {
    time.split('T').next().unwrap_or(time)
}
