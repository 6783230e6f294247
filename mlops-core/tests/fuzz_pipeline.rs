//! Fuzzing of what reads pipelines, schedules, compute and the journals of runs
//! ([`mlops_core::conformance::fuzz`] says how, and which variables are read).
//!
//! Whatever a file or a journal says, nothing panics; what is refused is refused with a typed error of one line, and what is accepted
//! keeps the promises of its type.
//!
//! ```text
//! MLOPS_FUZZ_SECONDS=60 cargo test -p mlops-core --all-features --test fuzz_pipeline
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use mlops_core::artifact::Blob;
use mlops_core::conformance::fuzz::{self, Input, Target};
use mlops_core::hash::Digest;
use mlops_core::id::{ComponentName, ComponentVersion, PortName, RunId, StepName};
use mlops_core::pipeline::compute::ComputePlan;
use mlops_core::pipeline::schedule::{AzureTrigger, Cron, Schedule, Zone};
use mlops_core::pipeline::{
    Component, Components, Content, ErrorClass, Force, ParamSpec, Pipeline, PipelineEntry, PipelineEvent,
    PipelineFormat, PipelineSpec, PipelineState, PipelineStatus, PlannedStep, PortType, RunPlan, RunReason,
    SkipReason, StepKey,
};
use mlops_core::time::Timestamp;
use mlops_core::{ErrorKind, Result};
use serde_json::json;

const TARGETS: &[Target] = &[
    ("pipeline_text", pipeline_text),
    ("schedule_text", schedule_text),
    ("azure_trigger_text", azure_trigger_text),
    ("compute_text", compute_text),
    ("cron_text", cron_text),
    ("pipeline_journal", pipeline_journal),
];

#[test]
fn no_input_panics_or_breaks_a_promise() {
    fuzz::run(Path::new(env!("CARGO_MANIFEST_DIR")), TARGETS);
}

/// Writes the inputs to begin with; those that failed once stay.
#[test]
#[ignore = "writes into the corpus"]
fn seeds_are_written() {
    // What the targets read first says which format, and that the rest is the text.
    let text = |format: u8, text: &str| [&[1, format, 0, 0][..], text.as_bytes()].concat();
    let plain = |format: u8, text: &str| [&[format, 0, 0][..], text.as_bytes()].concat();
    let seeds = [
        ("pipeline_text", text(0, PIPELINE)),
        ("pipeline_text", text(1, &spec().to_string())),
        ("schedule_text", plain(0, SCHEDULES[0])),
        ("schedule_text", plain(0, SCHEDULES[1])),
        ("azure_trigger_text", text(1, &triggers()[0].to_string())),
        ("azure_trigger_text", text(1, &triggers()[1].to_string())),
        ("compute_text", plain(0, COMPUTE)),
        ("cron_text", [&[1][..], b"*/15 8-18/2 1,15 jan-mar mon"].concat()),
        ("cron_text", [&[1][..], b"30 2 29 2 7"].concat()),
        ("pipeline_journal", (0..60).flat_map(|_| [3, 0, 1, 1]).collect()),
    ];
    fuzz::keep(Path::new(env!("CARGO_MANIFEST_DIR")), seeds);
}

const FORMATS: &[PipelineFormat] = if cfg!(feature = "yaml") {
    &[PipelineFormat::Toml, PipelineFormat::Json, PipelineFormat::Yaml]
} else {
    &[PipelineFormat::Toml, PipelineFormat::Json]
};

/// What means something in these files, or in none.
#[rustfmt::skip]
const PIECES: [&str; 40] = [
    "nan", "inf", "-inf", "1e999", "-1", "0", "0.5", "99999999999999999999", "\"", "'''", "[", "]", "{", "}", "${{", "}}",
    "parent.inputs.", "parent.jobs.", ".outputs.", "[[steps]]\n", "- ", ": ", " = ", ",", "\n", "\t", "&a ", "*a", "!!int", "#",
    "*", "/", "-", "feb", "9999-12-31", "-9999-01-01T00:00:00", "1000000d", "null", "\u{feff}", "\u{202e}",
];

const PIPELINE: &str = r#"
name = "train"
inputs.raw = "uri_file"
parameters.rate = { type = "number", default = 0.1, min = 0.0, max = 1.0 }
[[steps]]
id = "a"
component = "work:1"
inputs.rows = "${{parent.inputs.raw}}"
parameters.rate = "${{parent.inputs.rate}}"
retry = { attempts = 3, base = "1s" }
[[steps]]
id = "b"
component = "work:1"
inputs.rows = "${{parent.jobs.a.outputs.rows}}"
after = ["a"]
when = "always"
timeout = "50m"
resource = "gpu"
"#;

fn spec() -> serde_json::Value {
    json!({
        "name": "train",
        "parameters": {"rate": {"type": "number", "default": 0.1}},
        "continue_on_step_failure": true,
        "steps": [
            {"id": "a", "component": "work:1", "parameters": {"rate": 0.5}, "if": {"parameter": "rate", "equals": 0.1}},
            {"id": "b", "component": "work:1", "inputs": {"rows": "${{parent.jobs.a.outputs.rows}}"}, "reuse": false},
        ],
    })
}

const SCHEDULES: [&str; 2] = [
    "cron = \"30 2 * * mon-fri\"\ntime_zone = \"America/New_York\"\nmisfire = \"fire_all\"\nmax_fires = 3\ngrace = \"5m\"\n\
     overlap = \"queue\"\nstart_time = \"2026-01-01T00:00:00\"\ncalendar.holidays = [\"2026-12-25\"]\n",
    "time_zone = \"W. Europe Standard Time\"\nstart_time = \"2026-01-01T08:00:00\"\n[recurrence]\nfrequency = \"month\"\n\
     interval = 2\nschedule = { hours = [9, 17], minutes = [0, 30], month_days = [1, 31] }\n",
];

fn triggers() -> [serde_json::Value; 2] {
    [
        json!({
            "type": "recurrence", "frequency": "week", "interval": 2, "start_time": "2026-01-01T08:00:00",
            "time_zone": "Eastern Standard Time",
            "schedule": {"hours": [9], "minutes": [0, 30], "week_days": ["monday", "friday"]},
        }),
        json!({"type": "cron", "expression": "15 10 * * 1", "time_zone": "UTC", "end_time": "2030-01-01T00:00:00"}),
    ]
}

const COMPUTE: &str = r#"
[gpu.cluster]
size = "Standard_NC6s_v3"
max_nodes = 4
tier = "low_priority"
idle_before_scale_down = "5m"
[desk.instance]
size = "a"
idle_shutdown = "30m"
start_cron = "0 8 * * mon-fri"
time_zone = "Europe/Berlin"
[any.serverless]
queue = "spot"
"#;

fn components() -> Components {
    let (rows, rate) = (port("rows"), port("rate"));
    let work = Component::new(
        ComponentName::new("work").unwrap(),
        ComponentVersion::new("1").unwrap(),
        Digest::of(b""),
    )
    .with_optional_input(rows.clone(), PortType::UriFile)
    .with_output(rows, PortType::UriFile)
    .with_parameter(rate, ParamSpec::number(Some(0.0), Some(1.0)).with_default(0.5));
    Components::new().with_described(work).unwrap()
}

fn port(name: &str) -> PortName {
    PortName::new(name).unwrap()
}

/// A refusal is of a kind that says whose fault it is, short, and on one line.
fn read<T>(result: Result<T>) -> Option<T> {
    let error = match result {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    let kinds = [ErrorKind::InvalidInput, ErrorKind::LimitExceeded, ErrorKind::Unsupported];
    assert!(kinds.contains(&error.kind()) && !error.is_retryable(), "{error:?}");
    let shown = format!("{error} {error:?}");
    assert!(shown.len() < 8_000 && !shown.contains(['\n', '\0', '\u{1b}', '\u{202e}']), "{shown:?}");
    None
}

/// A text in one of the formats: bytes as they come, or a good file with some of its parts replaced.
fn text(input: &mut Input<'_>, good: &[(PipelineFormat, String)]) -> (PipelineFormat, String) {
    let format = input.pick(FORMATS);
    if input.byte().is_multiple_of(4) {
        return (format, input.rest());
    }
    let at = input.below(good.len());
    (good[at].0, input.edited(&good[at].1, &PIECES))
}

fn pipeline_text(input: &mut Input<'_>) {
    let good = [(PipelineFormat::Toml, PIPELINE.to_owned()), (PipelineFormat::Json, spec().to_string())];
    let (format, text) = match input.byte() % 3 {
        0 => (PipelineFormat::Json, input.json(&spec()).to_string()),
        _ => text(input, &good),
    };
    let components = components();
    let Some(pipeline) = read(Pipeline::parse(&text, format, &components)) else { return };
    // Steps come in an order in which they can run.
    let order: Vec<StepName> = pipeline.steps().map(|step| step.id.clone()).collect();
    assert!(!order.is_empty());
    for (at, step) in order.iter().enumerate() {
        assert!(pipeline.before(step).all(|before| order[..at].contains(before)), "{text}");
    }
    // What was read can be written, and is then the same pipeline.
    let written = serde_json::to_string(pipeline.spec()).unwrap();
    let spec: PipelineSpec = serde_json::from_str(&written).unwrap();
    let again = Pipeline::new(spec, &components).unwrap();
    assert_eq!(again.digest().unwrap(), pipeline.digest().unwrap(), "{text}");
    read(pipeline.arguments(&BTreeMap::new()).map_err(Into::into));
    drop(ComputePlan::parse(COMPUTE, PipelineFormat::Toml).unwrap().check(&pipeline));
}

/// Any time that can be written.
fn moment(input: &mut Input<'_>) -> Timestamp {
    let seconds = match input.byte() % 4 {
        0 => input.i64(),
        1 => {
            let ends = [Timestamp::MAX_UTC.timestamp(), Timestamp::MIN_UTC.timestamp()];
            input.pick(&ends) + i64::from(input.byte()) - 128
        }
        _ => 1_700_000_000 + i64::from(input.byte()) * 1_000_000 + i64::from(input.byte()) * 100,
    };
    Timestamp::from_timestamp(seconds, 0).unwrap_or(Timestamp::MAX_UTC)
}

/// The next firing lies ahead, and whoever looks just before it sees the same.
fn fires(input: &mut Input<'_>, schedule: &Schedule) {
    let mut after = moment(input);
    for _ in 0..3 {
        let Some(next) = schedule.next_after(after) else { return };
        assert!(next > after, "{schedule:?}: {next} after {after}");
        let just_before = next - chrono::TimeDelta::nanoseconds(1);
        assert_eq!(schedule.next_after(just_before.max(after)), Some(next), "{schedule:?} after {after}");
        after = next;
    }
    // Of a day, so that it is quick.
    let Some(now) = after.checked_add_signed(chrono::TimeDelta::hours(26)) else { return };
    let due = schedule.due(Some(after), now);
    assert!(due.fire.iter().all(|fired| *fired > after && *fired <= now), "{schedule:?} {due:?}");
    assert!(due.next.is_none_or(|next| next > now), "{schedule:?} {due:?}");
}

fn schedule_text(input: &mut Input<'_>) {
    let good = SCHEDULES.map(|text| (PipelineFormat::Toml, text.to_owned()));
    let (format, text) = text(input, &good);
    let Some(schedule) = read(Schedule::parse(&text, format)) else { return };
    let written = serde_json::to_string(&schedule).unwrap();
    assert_eq!(Schedule::parse(&written, PipelineFormat::Json).unwrap(), schedule, "{text}");
    fires(input, &schedule);
}

fn azure_trigger_text(input: &mut Input<'_>) {
    let good = triggers().map(|trigger| (PipelineFormat::Json, trigger.to_string()));
    let (format, text) = match input.byte() % 2 {
        0 => {
            let whole = &triggers()[usize::from(input.bool())];
            (PipelineFormat::Json, input.json(whole).to_string())
        }
        _ => text(input, &good),
    };
    let Some(trigger) = read(AzureTrigger::parse(&text, format)) else { return };
    let written = trigger.to_json().unwrap();
    assert_eq!(AzureTrigger::parse(&written, PipelineFormat::Json).unwrap(), trigger, "{text}");
    if let Some(schedule) = read(Schedule::try_from(trigger)) {
        fires(input, &schedule);
    }
}

fn compute_text(input: &mut Input<'_>) {
    let (format, text) = text(input, &[(PipelineFormat::Toml, COMPUTE.to_owned())]);
    let Some(plan) = read(ComputePlan::parse(&text, format)) else { return };
    // What was accepted is accepted anew, class by class.
    let mut again = ComputePlan::new();
    for (class, compute) in plan.classes() {
        again = again.with(class.clone(), compute.clone()).unwrap();
    }
    assert_eq!(again, plan, "{text}");
    let pipeline = Pipeline::parse(PIPELINE, PipelineFormat::Toml, &components()).unwrap();
    if plan.check(&pipeline).is_ok() {
        assert!(plan.get(&port("gpu")).is_some_and(|gpu| !gpu.is_preemptible()), "{text}");
    }
}

fn cron_text(input: &mut Input<'_>) {
    let text = match input.byte() % 2 {
        0 => input.edited("*/15 8-18/2 1,15 jan-mar mon-fri", &PIECES),
        _ => input.rest(),
    };
    let Some(cron) = read(text.parse::<Cron>()) else { return };
    assert_eq!(cron.to_string().parse::<Cron>().unwrap(), cron, "{text}");
    let zone = input.pick(&["UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]);
    fires(input, &Schedule::cron(cron, zone.parse::<Zone>().unwrap()));
}

/// The journal of a run as it may have gone: `a` is tried twice, `b` is reused, `c` is skipped, `d` fails.
fn journal() -> Vec<PipelineEntry> {
    let step = |name: &str| StepName::new(name).unwrap();
    let blob = Blob { digest: Digest::of(b"x"), size: 1 };
    let outputs = BTreeMap::from([(port("rows"), Content::new(PortType::UriFile, blob))]);
    let key = StepKey::new(Digest::of(b"key"));
    let run = RunId::new("0".repeat(32)).unwrap();
    let planned =
        |name: &str, before: &[&str]| PlannedStep::new(step(name), before.iter().map(|name| step(name)));
    let steps = vec![planned("a", &[]), planned("b", &[]), planned("c", &["a", "b"]), planned("d", &["a"])];
    let mut plan = RunPlan::new(ComponentName::new("train").unwrap(), Digest::of(b"pipeline"), steps);
    plan.force = Force::Steps([step("a")].into());
    let started = |name, attempt, reason| PipelineEvent::Started { step: step(name), attempt, reason };
    let message = "no luck".to_owned();
    let events = [
        PipelineEvent::Begun(Box::new(plan)),
        started("a", 1, RunReason::Forced),
        PipelineEvent::Checkpointed { step: step("a"), attempt: 1, blob },
        PipelineEvent::AttemptFailed {
            step: step("a"),
            attempt: 1,
            class: ErrorClass::Transient,
            message: message.clone(),
            wait: Duration::from_millis(250),
        },
        PipelineEvent::Reused { step: step("b"), key, outputs: outputs.clone(), from: run },
        PipelineEvent::Resumed,
        started("a", 2, RunReason::Again),
        PipelineEvent::Succeeded { step: step("a"), attempt: 2, key, outputs, took: Duration::from_secs(1) },
        PipelineEvent::Skipped { step: step("c"), reason: SkipReason::Condition },
        started("d", 1, RunReason::NeverRan),
        PipelineEvent::Failed { step: step("d"), class: ErrorClass::Permanent, message },
        PipelineEvent::Ended { status: PipelineStatus::Failed },
    ];
    let at: Timestamp = "2026-01-05T09:00:00Z".parse().unwrap();
    (1..).zip(events).map(|(sequence, event)| PipelineEntry::new(sequence, at, event)).collect()
}

/// Entries lost, doubled, moved and spoilt: either they tell of a run, with all that holds of runs, or they are refused.
fn pipeline_journal(input: &mut Input<'_>) {
    let mut entries = journal();
    assert_eq!(PipelineState::replay(&entries).unwrap().status(), PipelineStatus::Failed);
    for _ in 0..input.below(4) {
        if entries.is_empty() {
            break;
        }
        let (at, other) = (input.below(entries.len()), input.below(entries.len()));
        match input.byte() % 4 {
            0 => drop(entries.remove(at)),
            1 => entries.insert(other, entries[at].clone()),
            2 => entries.swap(at, other),
            _ => {
                let spoilt = input.json(&serde_json::to_value(&entries[at]).unwrap());
                // A record is read as it was written, or not at all.
                if let Ok(entry) = serde_json::from_value::<PipelineEntry>(spoilt) {
                    let text = serde_json::to_string(&entry).unwrap();
                    assert_eq!(serde_json::from_str::<PipelineEntry>(&text).unwrap(), entry);
                    entries[at] = entry;
                }
            }
        }
    }
    // Numbered anew, now and then, so that what comes after the numbers is looked at too.
    if input.bool() {
        (1..).zip(&mut entries).for_each(|(sequence, entry)| entry.sequence = sequence);
    }
    match PipelineState::replay(&entries) {
        Ok(state) => of_a_run(&entries, &state),
        Err(error) => {
            let kinds = [ErrorKind::Corrupt, ErrorKind::NotFound];
            assert!(kinds.contains(&error.kind()) && error.to_string().len() < 4_000, "{error:?}");
        }
    }
}

fn of_a_run(entries: &[PipelineEntry], state: &PipelineState) {
    assert!((1..).zip(entries).all(|(sequence, entry)| entry.sequence == sequence));
    // Whatever a journal tells, the part of it that was written first tells of a run too.
    for end in 1..entries.len() {
        PipelineState::replay(&entries[..end]).unwrap();
    }
    let is_end = |event: &&PipelineEvent| {
        matches!(
            event,
            PipelineEvent::Succeeded { .. } | PipelineEvent::Reused { .. } | PipelineEvent::Failed { .. }
        )
    };
    for (name, status) in state.steps() {
        let events = entries.iter().map(|entry| &entry.event).filter(|event| event.step() == Some(name));
        assert!(events.filter(is_end).count() <= 1, "step `{name}` ended twice");
        assert!(
            u64::from(status.failed) + u64::from(status.preempted) <= u64::from(status.attempts),
            "{status:?}"
        );
    }
    if state.status() != PipelineStatus::Running {
        assert!(state.is_done() && state.steps().all(|(_, status)| status.state.is_final()));
        let mut after = state.clone();
        assert!(after.apply(&PipelineEvent::Resumed).is_err() && after == *state);
    }
}
