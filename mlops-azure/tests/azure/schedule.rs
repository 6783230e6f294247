//! Schedules: written, switched, listed and removed; core's schedules as triggers.

use futures_util::TryStreamExt as _;
use mlops_azure::fake::FakeAzure;
use mlops_azure::schedule::{Schedules, SchedulesView};
use mlops_azure::wire::job::{CommandJob, Job};
use mlops_azure::wire::schedule::Action;
use mlops_azure::wire::{Schedule, ScheduleTrigger};
use mlops_core::ErrorKind;
use mlops_core::pipeline::schedule::{Calendar, Schedule as CoreSchedule};

use crate::judged;

fn schedules(azure: &FakeAzure) -> Schedules {
    Schedules::new(azure.arm(), &azure.workspace())
}

fn nightly() -> CoreSchedule {
    CoreSchedule::cron("30 2 * * *".parse().unwrap(), "Europe/Vienna".parse().unwrap())
}

fn retrain(trigger: ScheduleTrigger) -> Schedule {
    Schedule::new(trigger, CommandJob::new("python retrain.py", "azureml:train:1"))
}

#[tokio::test]
async fn a_schedule_of_core_is_written_and_read_back_as_it_was() {
    let azure = judged();
    azure.faults().slow_operations(2);
    let schedules = schedules(&azure);
    let trigger = ScheduleTrigger::try_from(&nightly()).unwrap();
    assert_eq!(trigger.time_zone.as_deref(), Some("W. Europe Standard Time"));
    let written = schedules.put("retrain", retrain(trigger)).await.unwrap().wait().await.unwrap();
    assert_eq!(written.properties.is_enabled, Some(true));
    let read = schedules.get("retrain").await.unwrap().properties;
    assert!(
        matches!(&read.action, Action::CreateJob(Job::Command(job)) if job.command == "python retrain.py")
    );
    let after = "2026-03-28T12:00:00Z".parse().unwrap();
    // A zone by its Windows name is another one of the same clock.
    assert_eq!(read.trigger.schedule().unwrap().next_after(after), nightly().next_after(after));
}

#[tokio::test]
async fn a_schedule_is_switched_off_and_on_as_a_whole_and_keeps_what_nobody_here_knows() {
    let azure = judged();
    let schedules = schedules(&azure);
    let trigger = ScheduleTrigger::try_from(&nightly()).unwrap();
    schedules.put("retrain", retrain(trigger)).await.unwrap().wait().await.unwrap();
    let id = format!("{}/schedules/retrain", azure.workspace().id());
    let mut stored = azure.resource(&id).unwrap();
    stored["properties"]["tags"] = serde_json::json!({ "team": "churn" });
    azure.set_resource(&id, stored);
    azure.forget_requests();
    schedules.disable("retrain").await.unwrap();
    println!("switched off: {:?}", azure.requests());
    let off = azure.resource(&id).unwrap();
    assert_eq!(
        (&off["properties"]["isEnabled"], &off["properties"]["tags"]["team"]),
        (&false.into(), &"churn".into())
    );
    azure.forget_requests();
    schedules.disable("retrain").await.unwrap();
    assert_eq!(azure.count(), 1, "it is off already");
    let count = async |view| schedules.list(view).unwrap().try_collect::<Vec<_>>().await.unwrap().len();
    assert_eq!(
        (
            count(SchedulesView::Enabled).await,
            count(SchedulesView::Disabled).await,
            count(SchedulesView::All).await
        ),
        (0, 1, 1)
    );
    schedules.enable("retrain").await.unwrap();
    assert_eq!(count(SchedulesView::Enabled).await, 1);
    schedules.disable("retrain").await.unwrap();
    schedules.delete("retrain").await.unwrap().wait().await.unwrap();
    assert_eq!(schedules.enable("retrain").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(azure.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn an_operation_that_fails_says_why() {
    let azure = judged();
    azure.faults().fail_operation("/schedules/retrain", "ValidationError", "the component is not there");
    let trigger = ScheduleTrigger::cron("0 2 * * *").unwrap();
    let begun = schedules(&azure).put("retrain", retrain(trigger)).await.unwrap();
    let error = begun.wait().await.unwrap_err();
    assert_eq!((error.kind(), error.context("code")), (ErrorKind::InvalidInput, Some("ValidationError")));
}

#[test]
fn what_azure_has_no_word_for_is_refused() {
    let holidays = Calendar::new(["2026-12-25".parse().unwrap()], []).unwrap();
    let error = ScheduleTrigger::try_from(&nightly().with_calendar(holidays)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let nowhere = ScheduleTrigger::cron("0 2 * * *").unwrap().in_time_zone("Nowhere Standard Time").unwrap();
    assert_eq!(nowhere.schedule().unwrap_err().kind(), ErrorKind::InvalidInput);
}
