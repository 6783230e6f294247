//! Phase 4: when a pipeline runs, in a time zone, also on the two days of the year on which clocks are changed.
//!
//! `cargo run -p mlops-examples --example phase4_schedule`

use std::error::Error;
use std::time::Duration;

use mlops_core::pipeline::PipelineFormat;
use mlops_core::pipeline::schedule::{
    AzureTrigger, Calendar, Frequency, Misfire, Overlap, Recurrence, Schedule, WeekDay, Zone,
};
use mlops_core::time::Timestamp;
use mlops_examples::narrate::{say, step};

/// The next firings after a moment.
fn next(schedule: &Schedule, after: Timestamp, count: usize) -> Vec<String> {
    let all = std::iter::successors(schedule.next_after(after), |last| schedule.next_after(*last));
    all.take(count).map(|moment| moment.format("%a %Y-%m-%d %H:%M UTC").to_string()).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let new_york: Zone = "Eastern Standard Time".parse()?;

    // The name on Windows, which Azure ML uses, and the IANA name are one zone.
    step(1, "Every night at half past two");
    say(format!("{} is {new_york}", new_york.windows_name().unwrap_or_default()));
    let nightly = Schedule::cron("30 2 * * *".parse()?, new_york);
    say(format!("{:?}", next(&nightly, "2025-03-08T00:00:00Z".parse()?, 3)));
    say("On the 9th of March there is no 02:30: it runs when the gap ends, at 03:00, which is 07:00 UTC.");
    let half_past_one = Schedule::cron("30 1 * * *".parse()?, new_york);
    say(format!("{:?}", next(&half_past_one, "2025-11-01T12:00:00Z".parse()?, 2)));
    say("On the 2nd of November 01:30 comes twice, and it runs once.");

    // Every second week, on two days, but not on holidays.
    step(2, "A recurrence with a calendar");
    let recurrence = Recurrence::new(Frequency::Week, 2)?
        .with_hours([8])?
        .with_week_days([WeekDay::Monday, WeekDay::Thursday])?;
    let holidays = Calendar::new(["2025-12-25".parse()?, "2026-01-01".parse()?], [])?;
    let weekly =
        Schedule::recurrence(recurrence, "Europe/Berlin".parse()?, Some("2025-12-08T00:00:00".parse()?))?
            .with_calendar(holidays);
    for moment in next(&weekly, "2025-12-01T00:00:00Z".parse()?, 5) {
        say(moment);
    }

    // The machine was off for a while. What is due is a pure function of what was dealt with last and of now.
    step(3, "After an outage");
    let (last, now) = ("2025-06-01T00:00:00Z".parse()?, "2025-06-01T06:20:00Z".parse()?);
    for misfire in [Misfire::Skip, Misfire::FireOnce, Misfire::FireAll { max: 3 }] {
        let hourly =
            Schedule::cron("0 * * * *".parse()?, Zone::UTC).with_misfire(misfire, Duration::from_secs(60))?;
        let due = hourly.due(Some(last), now);
        say(format!("{misfire:?}: {} fire, {} are left out", due.fire.len(), due.left_out));
    }
    say(format!("and while a run is at work: {:?}", Overlap::Queue.decide(true, false)));

    // Azure ML's own description is read, and written.
    step(4, "Azure's trigger");
    let trigger = AzureTrigger::parse(
        r#"{"type": "recurrence", "frequency": "day", "interval": 1, "start_time": "2025-07-10T10:00:00",
            "schedule": {"hours": [4, 16], "minutes": [0, 30]}, "time_zone": "Pacific Standard Time"}"#,
        PipelineFormat::Json,
    )?;
    let schedule = Schedule::try_from(trigger)?;
    say(format!("{:?}", next(&schedule, "2025-07-10T12:00:00Z".parse()?, 3)));
    say(AzureTrigger::try_from(&schedule)?.to_json()?);
    Ok(())
}
