//! Phase 2: features as they were known at the time, and the proof that nothing looked ahead.
//!
//! `cargo run -p mlops-examples --example phase2_point_in_time`

use std::error::Error;
use std::time::Duration;

use mlops_core::data::{CsvOptions, FeatureView, Joined, PointInTimeJoin, Table, parse_csv};
use mlops_examples::narrate::{say, step};

/// Laboratory values: when the blood was drawn, and when the result was in the system. The last row corrects the one before.
const LABS: &str = "\
patient,drawn,reported,glucose
p1,2026-03-01T08:00:00Z,2026-03-01T15:00:00Z,87
p1,2026-03-09T08:00:00Z,2026-03-10T09:00:00Z,140
p2,2026-01-05T08:00:00Z,2026-01-05T12:00:00Z,93
p3,2026-03-08T08:00:00Z,2026-03-08T12:00:00Z,101
p3,2026-03-08T08:00:00Z,2026-03-20T12:00:00Z,201
";

/// Decisions to learn from: what was known when each was made?
const VISITS: &str = "\
patient,at,ill
p1,2026-03-05T10:00:00Z,false
p1,2026-03-09T10:00:00Z,true
p2,2026-03-09T10:00:00Z,false
p3,2026-03-09T10:00:00Z,true
p4,2026-03-09T10:00:00Z,false
";

fn main() -> Result<(), Box<dyn Error>> {
    let labs = parse_csv(LABS.as_bytes(), &CsvOptions::default())?;
    let visits = parse_csv(VISITS.as_bytes(), &CsvOptions::default())?;
    let join = PointInTimeJoin::new(["patient"], "at");

    // The join that everybody writes first: the last value by the time the blood was drawn. It knows the future.
    step(1, "By event time alone");
    let naive = FeatureView::new("labs", &labs, "drawn", "reported").without_knowledge_cutoff();
    let joined = join.join(&visits, &[naive])?;
    show(&joined)?;
    say(format!("may this be learnt from? {}", joined.require_proven().is_ok()));

    // A value counts from the moment it was reported; that is the default.
    step(2, "By event time and knowledge time");
    let view = FeatureView::new("labs", &labs, "drawn", "reported");
    let joined = join.join(&visits, std::slice::from_ref(&view))?;
    show(&joined)?;
    say(format!("may this be learnt from? {}", joined.require_proven().is_ok()));
    let withheld = joined.proofs.first().map_or(0, |proof| proof.withheld);
    say(format!("{withheld} visits would have seen a value before it was reported"));

    // A value of January says little in March: values older than the limit are missing, and counted as expired.
    step(3, "And not older than 30 days");
    let joined = join.join(&visits, &[view.with_ttl(Duration::from_secs(30 * 86_400)).prefixed()])?;
    show(&joined)?;

    // What cannot be placed in time is refused, with its row, and not joined by luck.
    step(4, "A result without a time");
    let damaged = LABS.replace("2026-01-05T12:00:00Z", "");
    let damaged = parse_csv(damaged.as_bytes(), &CsvOptions::default())?;
    let view = FeatureView::new("labs", &damaged, "drawn", "reported");
    if let Err(error) = join.join(&visits, &[view]) {
        say(error);
    }
    Ok(())
}

fn show(joined: &Joined) -> Result<(), Box<dyn Error>> {
    let table: &Table<'_> = &joined.table;
    let value = table.columns().last().ok_or("no columns")?;
    for row in 0..table.rows() {
        let label = |name: &str| table.column(name).map(|column| column.label(row).unwrap_or_default());
        let at = label("at")?;
        let day = at.split('T').next().unwrap_or_default();
        let shown = value.label(row);
        say(format!(
            "{} on {day}: {} {}",
            label("patient")?,
            value.name(),
            shown.as_deref().unwrap_or("unknown")
        ));
    }
    joined.proofs.iter().for_each(say);
    Ok(())
}
