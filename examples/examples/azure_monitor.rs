//! Azure: a model monitor, the event by which it says that a threshold is breached, and the job that trains the model anew.
//!
//! Offline, against a stand-in for Azure in this process:
//! `cargo run -p mlops-examples --example azure_monitor`. With `-- --azure` the monitor is made in the workspace that the environment
//! or a `config.json` names, for its deployment `blue` of `diabetes`, and removed again; the rest needs a webhook that Azure can reach.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlops_azure::event::{EventReceiver, EventTopics};
use mlops_azure::fake::{FakeAnswer, FakeEventGrid, FakeRequest, breach};
use mlops_azure::monitor::{Breach, DriftLimit, ModelMonitors, MonitorPlan};
use mlops_azure::wire::event::{Destination, EventSubscription, RUN_STATUS_CHANGED};
use mlops_azure::wire::job::input::ValueType;
use mlops_azure::wire::monitor::{InputData, MonitorCompute, MonitorTask, MonitoringTarget};
use mlops_azure::wire::schedule_trigger::{Frequency, ScheduleTrigger};
use mlops_azure::wire::{CommandJob, Job, Resource};
use mlops_core::ErrorKind;
use mlops_core::governance::Secret;
use mlops_core::monitor::{MonitorSpec, PerformanceRule, SignalKind, SignalSpec};
use mlops_core::retrain::event_source::Received;
use mlops_core::retrain::{EventTrigger, Trigger as _, TriggerOutcome, TriggerState};
use mlops_examples::azure::Azure;
use mlops_examples::narrate::{say, step};

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOOK: &str = "https://mlops.example.com/events";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let azure = Azure::from_args()?;
    let (arm, workspace) = (azure.arm.clone(), azure.workspace.clone());

    // A monitor of core says what is watched. Azure asks for more: where the data is, when to look, and how drift is measured.
    // What Azure cannot compute is refused here, by name, before anything is sent.
    step(1, "A model monitor");
    let deployment = workspace.resource_id(&["onlineEndpoints", "diabetes", "deployments", "blue"])?;
    let plan = MonitorPlan::new(
        ScheduleTrigger::every(1, Frequency::Day)?.at([3], [15])?.in_time_zone("W. Europe Standard Time")?,
        MonitorCompute::spark("standard_e4s_v3", "3.4"),
        MonitoringTarget::deployment(MonitorTask::Classification, deployment),
        InputData::fixed(ValueType::MlTable, "azureml:diabetes_train:1").in_context("training"),
    )
    .with_inputs("azureml:diabetes_inputs:1")
    .with_outputs("azureml:diabetes_outputs:1")
    .with_window(DAY, Duration::ZERO)
    .with_limit(DriftLimit::of_score("js.distance.base2/v1", 0.1))
    .writing_to(["on-call@example.com"]);
    let spec = |signals| -> Result<MonitorSpec, mlops_core::Error> {
        Ok(MonitorSpec::new("diabetes".parse()?, "diabetes".parse()?, signals))
    };
    let watched = spec(vec![
        SignalSpec::new("inputs", SignalKind::DataDrift),
        SignalSpec::new("outputs", SignalKind::PredictionDrift),
    ])?;
    let monitors = ModelMonitors::new(arm.clone(), azure.place());
    monitors.create("diabetes-monitor", &plan.monitor(&watched)?).await?;
    say(azure.requests().map_or_else(|| "made".to_owned(), |count| format!("made in {count} requests")));
    let rule = PerformanceRule::new("accuracy".parse()?, 0.9, 100);
    let performance = spec(vec![SignalSpec::new("accuracy", SignalKind::Performance(rule))])?;
    if let Err(refusal) = plan.monitor(&performance) {
        say(format!("refused: {refusal}"));
    }

    let Some(fake) = azure.in_memory() else {
        monitors.disable("diabetes-monitor").await?;
        monitors.delete("diabetes-monitor").await?;
        say("removed again: what follows needs a webhook that Azure can reach");
        return Ok(());
    };

    // Event Grid asks a webhook whether it wants events before it sends any, and signs nothing: a key in a header says who sends.
    step(2, "Who hears of it");
    let grid = FakeEventGrid::of(fake);
    let key = Secret::new("0d3c6b1a-a-key-that-nobody-guesses");
    let breaches = Arc::new(Mutex::new(Vec::new()));
    grid.webhook(
        HOOK,
        webhook(EventReceiver::new()?.with_key("x-mlops-key", key.clone())?, breaches.clone()),
    );
    let destination = Destination::webhook(&Secret::new(HOOK)).with_key("x-mlops-key", &key);
    let topics = EventTopics::new(arm.clone(), workspace.clone());
    topics.subscribe("breaches", &EventSubscription::of_breaches(destination)).await?;
    say("the webhook answered the handshake; the subscription is there");

    // Delivery is at least once and in no order; here every event comes twice.
    step(3, "A threshold is breached");
    grid.repeating();
    breach(fake, &grid, "diabetes-monitor", "inputs")?;
    say(format!("{} deliveries arrived", grid.deliver()));

    // The trigger knows an event by source and id: the second delivery is suppressed, and training starts once.
    step(4, "Training anew");
    let trigger = EventTrigger::new(RUN_STATUS_CHANGED, DAY)?.with_source(workspace.id())?;
    let mut state = TriggerState::default();
    let arrived: Vec<Breach> = std::mem::take(&mut *breaches.lock().map_err(|_| "the webhook panicked")?);
    for breach in arrived {
        let decision = trigger.evaluate(&state, &breach.signal, fake.now())?;
        match &decision.outcome {
            TriggerOutcome::Fire(why) => {
                let job = CommandJob::new("python train.py", "azureml:train-env:1")
                    .on(workspace.resource_id(&["computes", "cpu"])?)
                    .in_experiment("diabetes");
                let at = azure.place().job("retrain-diabetes")?;
                let submitted =
                    arm.call(at.put("Retraining::submit", &Resource::new(Job::from(job)))?).await?;
                say(format!("{why}: job {} is submitted", submitted.name.unwrap_or_default()));
            }
            TriggerOutcome::Suppressed(why) => say(format!("not again: {why}")),
            _ => say("nothing to do"),
        }
        state = decision.state;
    }
    Ok(())
}

/// What a server does with a request of Event Grid: answers handshakes, keeps breaches, and says 401 to who has not the key.
fn webhook(
    receiver: EventReceiver,
    breaches: Arc<Mutex<Vec<Breach>>>,
) -> impl Fn(&FakeRequest) -> FakeAnswer {
    move |request| {
        let header = |name: &str| request.header(name).map(|value| (name.to_owned(), value.to_owned()));
        let headers: Vec<_> = ["content-type", "webhook-request-origin", "x-mlops-key"]
            .iter()
            .filter_map(|name| header(name))
            .collect();
        match receiver.receive(request.method.as_str(), &headers, &request.body) {
            Ok(Received::Handshake(_)) => {
                FakeAnswer::empty(200).with("webhook-allowed-origin", "eventgrid.azure.net")
            }
            Ok(received) => match breaches.lock() {
                Ok(mut kept) => {
                    kept.extend(EventReceiver::breaches(&received));
                    FakeAnswer::empty(200)
                }
                Err(_) => FakeAnswer::empty(503),
            },
            Err(error) if error.kind() == ErrorKind::Auth => FakeAnswer::empty(401),
            Err(_) => FakeAnswer::empty(400),
        }
    }
}
