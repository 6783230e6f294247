//! Phase 2: a split that looks fine, and seven leaks in it, each of which makes a model look better than it is.
//!
//! `cargo run -p mlops-examples --example phase2_leakage`

use std::error::Error;
use std::time::Duration;

use mlops_core::data::{
    Column, CsvOptions, Fitted, LabelSpan, LeakKind, LeakageInput, NearDuplicates, Part, Partition, Table,
    Values, parse_csv,
};
use mlops_examples::narrate::{say, step};
use mlops_examples::prepare::Source;

const DAY: Duration = Duration::from_secs(86_400);

fn main() -> Result<(), Box<dyn Error>> {
    let text = std::fs::read_to_string(Source::diabetes().file)?;
    let table = admissions(&parse_csv(text.as_bytes(), &CsvOptions::default())?)?;
    let rows = table.rows();
    let split = Partition::predefined(rows, (0..340).collect(), None, (340..rows).collect())?;
    step(1, "A table, and its last quarter as the test");
    say(format!("{} rows to learn from, {} to test on", split.train().len(), split.test().len()));
    let measures = ["age", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"];

    // What is not asked for is not looked for, and the report says so: no silence is taken for cleanness.
    step(2, "Asked for nothing in particular");
    let report = LeakageInput::new(&table, &split).with_id("row").with_features(measures).check()?;
    say(&report);
    if let Err(error) = report.require_checked(&[LeakKind::SharedGroup, LeakKind::Target]) {
        say(format!("a gate that wants more: {}", error.message()));
    }

    // The columns get their meaning; preprocessing brings the record of the rows it was fitted on.
    step(3, "Told what the columns mean");
    let everything: Vec<usize> = (0..rows).collect();
    let scaler = Fitted::on_rows("scale bmi", &table, &everything, mean_of_bmi)?;
    let features = measures.iter().chain(&["dose"]).copied();
    let report = LeakageInput::new(&table, &split)
        .with_id("row")
        .with_group("patient")
        .with_time("at")
        .with_label("progressed")
        .with_label_window("at", LabelSpan::For((30 * DAY).into()))
        .with_features(features)
        .with_near_duplicates(NearDuplicates::new().with_seed(2004))
        .with_fitted(scaler.record())
        .check()?;
    for leak in &report.leaks {
        say(format!("{:?} {}: {}", leak.severity, leak.kind, leak.message));
    }
    if let Some(search) = &report.near_duplicates {
        let (recall, pairs) = (search.recall, search.comparisons);
        say(format!(
            "near duplicates: {pairs} candidates compared; a pair at the limit is found with {recall:.4}"
        ));
    }
    say(format!("training stops here: {}", report.require_no_critical().is_err()));

    // Guarded preprocessing never gets that far: fitted on training rows only, it may be used on the test.
    step(4, "Preprocessing that cannot see the test");
    if let Err(error) = scaler.apply(&table, &split, Part::Test, |_, _| Ok(())) {
        say(format!("refused: {}", error.message()));
    }
    let guarded = Fitted::on_train("scale bmi", &table, &split, mean_of_bmi)?;
    let shifted = guarded.apply(&table, &split, Part::Test, |mean, test| Ok(mean_of_bmi(test)? - mean))?;
    say(format!("fitted on training rows: the mean of the test lies {shifted:+.2} from that of training"));
    Ok(())
}

fn mean_of_bmi(rows: &Table<'_>) -> mlops_core::Result<f64> {
    let bmi = rows.column("bmi")?.to_f64()?;
    Ok(bmi.iter().sum::<f64>() / bmi.len() as f64)
}

/// The bundled rows as admissions, with what goes wrong in practice: patients who come again, times that do not follow the
/// rows, a row entered twice, one entered twice with a slip, and a column that is filled after the outcome is known.
fn admissions(table: &Table<'_>) -> Result<Table<'static>, Box<dyn Error>> {
    let mut order: Vec<usize> = (0..table.rows()).collect();
    order.extend([12, 25]);
    let table = table.take(&order)?;
    let rows = table.rows();
    let mut bmi = table.column("bmi")?.to_f64()?.into_owned();
    bmi[rows - 1] += 0.01;
    let target = table.column("target")?.to_f64()?.into_owned();
    let progressed: Vec<bool> = target.iter().map(|&y| y > 140.0).collect();
    let dose: Vec<f64> =
        target.iter().map(|&y| if y > 140.0 { 20.0 + y / 100.0 } else { y / 100.0 }).collect();
    let number = i64::try_from(rows)?;
    let micros = i64::try_from(DAY.as_micros())?;
    let at: Vec<i64> =
        (0..number).map(|row| (19_723 + row - if row == 350 { 40 } else { 0 }) * micros).collect();
    let patient: Vec<i64> = (0..number).map(|row| if row == 400 { 17 } else { row }).collect();
    let columns: Vec<Column<'static>> = table.without(&["bmi", "target"]).columns().to_vec();
    let mut all = Table::new(columns)?;
    for column in [
        Column::f64("bmi", bmi)?,
        Column::f64("dose", dose)?,
        Column::bool("progressed", progressed)?,
        Column::i64("row", (0..number).collect::<Vec<_>>())?,
        Column::i64("patient", patient)?,
        Column::new("at", Values::Time(at.into()), None)?,
    ] {
        all = all.with_column(column)?;
    }
    Ok(all)
}
