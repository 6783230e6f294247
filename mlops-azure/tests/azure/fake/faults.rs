//! Faults between a client and Azure, each with its outcome: what the caller is told, how often was asked, and what is there then.

use std::sync::Arc;
use std::time::Duration;

use mlops_azure::config::cloud::Audience;
use mlops_azure::fake::{FakeAzure, Fault, FaultRule, FaultyTransport};
use mlops_azure::http::{Call, Method, RetryPolicy, Service, ServiceBuilder};
use mlops_core::ErrorKind;
use serde_json::{Value, json};

use super::{OP, call, fresh, put};

const JOB: &str = "/jobs/train-1";
/// What nobody but the service may see.
const CANARY: &str = "canary-77e1-do-not-print";

struct Line {
    azure: FakeAzure,
    faulty: Arc<FaultyTransport>,
}

impl Line {
    fn with(rule: FaultRule) -> Self {
        let azure = fresh();
        let faulty = Arc::new(FaultyTransport::new(azure.transport()));
        faulty.add(rule);
        Self { azure, faulty }
    }

    fn builder(&self) -> ServiceBuilder {
        let base = "https://management.azure.com".parse().unwrap();
        let retry = RetryPolicy::default().with_attempts(3).with_seed(1);
        let builder = self.azure.builder(base, Audience::ResourceManager).transport(self.faulty.clone());
        builder.retry(retry).timeout(Duration::from_secs(10)).max_answer(64 << 10)
    }

    fn arm(&self) -> Service {
        self.builder().build().unwrap()
    }

    fn has_job(&self) -> bool {
        self.azure.resource(&format!("{}{JOB}", self.azure.workspace().id())).is_some()
    }
}

fn job(azure: &FakeAzure, method: &str) -> Call<Value> {
    let body = json!({ "properties": { "jobType": "Command", "description": CANARY } });
    match method {
        "PUT" => put(azure, JOB, &body),
        // A POST with an effect: it registers a provider.
        _ => Call::post(
            OP,
            format!("/subscriptions/{}/providers/Microsoft.Web/register", azure.workspace().subscription()),
        )
        .query("api-version", "2016-02-01"),
    }
}

/// For each fault: the outcome of a write that may be repeated, whether it was carried out, how often the fault was met; the
/// outcome of a POST that may not, and how often.
#[tokio::test(start_paused = true)]
async fn every_fault_has_its_outcome() {
    use ErrorKind::{LimitExceeded, Protocol, Timeout, Transport, UnknownOutcome};
    let seconds = Duration::from_secs;
    for (fault, repeated, done, met, once, met_once) in [
        (Fault::Unreachable, Transport, false, 3, Transport, 3),
        (Fault::ConnectTimeout, Timeout, false, 3, Timeout, 3),
        (Fault::Reset, Transport, false, 3, UnknownOutcome, 1),
        (Fault::LostAnswer, Transport, true, 3, UnknownOutcome, 1),
        (Fault::Silence, Timeout, false, 3, UnknownOutcome, 1),
        (Fault::Late(seconds(11)), Timeout, false, 3, UnknownOutcome, 1),
        (Fault::HalfBody, Transport, true, 3, UnknownOutcome, 1),
        (Fault::Trickle(seconds(1)), Timeout, true, 3, UnknownOutcome, 1),
        (Fault::HugeBody(1 << 40), LimitExceeded, true, 1, LimitExceeded, 1),
        (Fault::Html, Protocol, false, 1, Protocol, 1),
        (Fault::Redirect(format!("https://evil.example/?sig={CANARY}")), Protocol, false, 1, Protocol, 1),
        (Fault::Status(503, None), Transport, false, 3, UnknownOutcome, 1),
        (Fault::Status(504, Some(1)), Timeout, false, 3, UnknownOutcome, 1),
        (Fault::Status(429, Some(1)), ErrorKind::RateLimited, false, 3, ErrorKind::RateLimited, 3),
        (Fault::Status(429, Some(3600)), ErrorKind::RateLimited, false, 1, ErrorKind::RateLimited, 1),
    ] {
        for (method, kind, met) in [("PUT", repeated, met), ("POST", once, met_once)] {
            let line = Line::with(FaultRule::new(fault.clone()));
            let started = tokio::time::Instant::now();
            let error = line.arm().call(job(&line.azure, method)).await.unwrap_err();
            let outcome = (error.kind(), line.faulty.made().len());
            assert_eq!(outcome, (kind, met), "{fault:?} {method}: {error}");
            assert_eq!(line.has_job(), done && method == "PUT", "{fault:?}");
            assert!(started.elapsed() < seconds(60), "{fault:?}");
            let shown = format!("{error} {error:?} {:?} {:?}", line.faulty, line.azure.requests());
            assert!(!shown.contains("canary"), "{shown}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_once_is_not_noticed_and_done_once() {
    for fault in [
        Fault::Unreachable,
        Fault::ConnectTimeout,
        Fault::Reset,
        Fault::LostAnswer,
        Fault::Silence,
        Fault::HalfBody,
        Fault::Trickle(Duration::from_secs(1)),
        Fault::Status(500, None),
        Fault::Status(429, Some(2)),
    ] {
        let line = Line::with(FaultRule::new(fault.clone()).times(1));
        let reply = line.arm().reply(job(&line.azure, "PUT")).await.unwrap();
        // A write whose answer was lost finds its own resource: it is an update by then.
        let carried_out = matches!(fault, Fault::LostAnswer | Fault::HalfBody | Fault::Trickle(_));
        assert_eq!(reply.status, if carried_out { 200 } else { 201 }, "{fault:?}");
        assert_eq!(line.azure.count(), if carried_out { 2 } else { 1 }, "{fault:?}");
        assert_eq!(line.faulty.made().len(), 1, "{fault:?}");
    }
    // Late and slow is not lost.
    for fault in
        [Fault::Late(Duration::from_secs(9)), Fault::Trickle(Duration::from_millis(1)), Fault::Skew(90)]
    {
        let line = Line::with(FaultRule::new(fault.clone()));
        assert_eq!(line.arm().reply(job(&line.azure, "PUT")).await.unwrap().status, 201, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_hours_off_changes_no_wait() {
    for hours in [-30, -1, 0, 1, 30_i64] {
        let line = Line::with(FaultRule::new(Fault::Skew(hours * 3600)));
        line.azure.faults().unavailable(1).busy(1);
        let started = tokio::time::Instant::now();
        line.arm().call(job(&line.azure, "PUT")).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(2), "{hours}: {:?}", started.elapsed());
        assert_eq!(line.azure.count(), 3);
    }
}

#[tokio::test]
async fn rules_are_for_what_they_say_and_as_often() {
    let line = Line::with(FaultRule::new(Fault::Reset).method(Method::GET).path("/jobs").after(1).times(2));
    line.faulty.add(FaultRule::new(Fault::Html).host("elsewhere.example"));
    let base = "https://management.azure.com".parse().unwrap();
    let once = line.azure.builder(base, Audience::ResourceManager).transport(line.faulty.clone());
    let once = once.retry(RetryPolicy::NONE).build().unwrap();
    let get = async |below: &str| once.call(call(&line.azure, Method::GET, below)).await.is_ok();
    assert!(once.call(job(&line.azure, "PUT")).await.is_ok());
    let (mut jobs, mut others) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        jobs.push(get(JOB).await);
        others.push(get("/datastores").await);
    }
    assert_eq!((jobs, others), (vec![true, false, false, true], vec![true; 4]));
    assert_eq!(line.faulty.made().len(), 2);
    line.faulty.add(FaultRule::new(Fault::Reset)).heal();
    assert!(get(JOB).await);
}

/// What the service did is not undone because the client went away; nothing is sent again behind its back.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_may_have_been_carried_out_and_is_not_repeated() {
    for (fault, done) in [(Fault::Trickle(Duration::from_secs(1)), true), (Fault::Silence, false)] {
        let line = Line::with(FaultRule::new(fault));
        let arm = line.arm();
        let sent = tokio::time::timeout(Duration::from_secs(2), arm.call(job(&line.azure, "PUT")));
        assert!(sent.await.is_err());
        assert_eq!((line.has_job(), line.faulty.made().len()), (done, 1));
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(line.faulty.made().len(), 1);
    }
}

#[tokio::test]
async fn the_fakes_own_faults_end_by_themselves() {
    let azure = fresh();
    let arm = azure.arm();
    azure.faults().busy(2).unavailable(1).lose_answers(1);
    // The answers that say "busy" are none that could be lost: they are lost like all others.
    let reply = arm.reply(put(&azure, JOB, &json!({ "properties": {} }))).await.unwrap();
    assert_eq!((reply.status, azure.count()), (201, 4));
    azure.faults().lose_answers(1);
    let reply = arm.reply(put(&azure, "/jobs/train-2", &json!({ "properties": {} }))).await.unwrap();
    assert_eq!((reply.status, azure.count()), (200, 6), "the first one was carried out");
    azure.faults().expire_tokens().forbidden(2);
    assert_eq!(arm.call(call(&azure, Method::GET, JOB)).await.unwrap_err().kind(), ErrorKind::Auth);
    arm.call(call(&azure, Method::GET, JOB).settling(Duration::from_secs(10))).await.unwrap();
    assert!(arm.call(call(&azure, Method::GET, JOB)).await.is_ok());
}

#[tokio::test]
async fn a_hundred_clients_come_through_a_storm_of_429() {
    let azure = fresh();
    azure.faults().busy(500);
    let base: mlops_azure::http::Url = "https://management.azure.com".parse().unwrap();
    let retry = RetryPolicy::default().with_attempts(1000).with_initial(Duration::ZERO);
    let clients = (1..=100).map(|n| {
        let arm =
            azure.builder(base.clone(), Audience::ResourceManager).retry(retry.clone()).build().unwrap();
        let below = format!("/models/churn/versions/{n}");
        let body = json!({ "properties": { "modelUri": format!("azureml://datastores/d/paths/{n}") } });
        let call = put(&azure, &below, &body);
        tokio::spawn(async move { arm.reply(call).await.map(|reply| reply.status) })
    });
    for client in clients.collect::<Vec<_>>() {
        assert_eq!(client.await.unwrap().unwrap(), 201);
    }
    assert_eq!(azure.count(), 600, "each was sent again until it was taken, and none once more");
    let container = azure.resource(&format!("{}/models/churn", azure.workspace().id())).unwrap();
    assert_eq!(container["properties"]["nextVersion"], "101");
}
