//! Long-running operations: which way, how long, and what ends them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlops_azure::error::ServiceError;
use mlops_azure::http::{Call, Operation, OperationState, PollPolicy};
use mlops_core::time::ManualClock;
use mlops_core::{Error, ErrorKind, Result};
use serde_json::{Value, json as value};

use crate::memory::*;

const OP: &str = "test";
const HOST: &str = "https://management.azure.com";
const PENDING: &str = r#"{"status":"InProgress"}"#;
const SUCCEEDED: &str = r#"{"status":"sUcceeded"}"#;

fn put() -> Call<Value> {
    Call::put(OP, "/thing", &value!({})).unwrap().query("api-version", "1")
}

async fn run(memory: &Arc<Memory>, call: Call<Value>) -> Result<Value> {
    service(memory).begin(call).await?.wait().await
}

fn status_at(path: &str) -> Step {
    with(
        201,
        &[("azure-asyncoperation", &format!("{HOST}{path}"))],
        r#"{"properties":{"provisioningState":"Creating"}}"#,
    )
}

#[tokio::test(start_paused = true)]
async fn a_status_is_asked_until_it_is_final_and_then_the_resource() {
    let memory = Memory::steps(vec![
        status_at("/status/1"),
        json(200, PENDING),
        with(200, &[("azure-asyncoperation", "/status/2")], r#"{"status":"Running","percentComplete":40}"#),
        json(200, SUCCEEDED),
        json(200, r#"{"properties":{"provisioningState":"Succeeded"},"name":"thing"}"#),
    ]);
    assert_eq!(run(&memory, put()).await.unwrap()["name"], "thing");
    assert_eq!(
        memory.lines(),
        [
            "PUT /thing?api-version=1",
            "GET /status/1",
            "GET /status/1",
            "GET /status/2",
            "GET /thing?api-version=1"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_result_is_where_the_last_answer_says() {
    let done = |extra: &str| json(200, &format!(r#"{{"status":"Succeeded"{extra}}}"#));
    let post = || Call::<Value>::post(OP, "/act");
    // `resourceLocation` wins.
    let memory = Memory::steps(vec![
        status_at("/s"),
        done(r#","resourceLocation":"/elsewhere""#),
        json(200, r#""there""#),
    ]);
    assert_eq!(run(&memory, put()).await.unwrap(), "there");
    assert_eq!(memory.lines()[2], "GET /elsewhere");
    // After POST it is at `Location`, if there is one.
    let both = with(202, &[("azure-asyncoperation", "/s"), ("location", "/result")], "");
    let memory = Memory::steps(vec![both, done(""), json(200, r#""there""#)]);
    assert_eq!(run(&memory, post()).await.unwrap(), "there");
    assert_eq!(memory.lines()[2], "GET /result");
    let memory = Memory::steps(vec![
        with(202, &[("azure-asyncoperation", "/s")], ""),
        done(r#","properties":{"a":1}"#),
    ]);
    assert_eq!(run(&memory, post()).await.unwrap(), value!({ "a": 1 }));
    // What is removed has no result.
    let memory = Memory::steps(vec![with(202, &[("azure-asyncoperation", "/s")], ""), done("")]);
    assert_eq!(run(&memory, Call::delete(OP, "/thing")).await.unwrap(), Value::Null);
    assert_eq!(memory.count(), 2);
}

/// The address of an act cannot be read: what is answered to it, or at its `Location`, is its result, whatever state a resource in it
/// is in, unless that is a failure.
#[tokio::test(start_paused = true)]
async fn an_act_is_never_asked_how_it_goes() {
    let state = |state: &str| format!(r#"{{"properties":{{"provisioningState":"{state}"}}}}"#);
    let accepted = || with(202, &[("location", "/l")], "");
    let post = || Call::<Value>::post(OP, "/act");
    let memory = Memory::steps(vec![accepted(), json(202, ""), json(200, &state("Updating"))]);
    assert_eq!(run(&memory, post()).await.unwrap()["properties"]["provisioningState"], "Updating");
    assert_eq!(memory.lines(), ["POST /act", "GET /l", "GET /l"]);
    for step in [json(200, &state("Updating")), json(202, ""), json(202, &state("Creating"))] {
        let memory = Memory::steps(vec![step]);
        assert!(run(&memory, post()).await.is_ok());
        assert_eq!(memory.count(), 1);
    }
    let memory = Memory::steps(vec![accepted(), json(200, &state("Failed"))]);
    assert_eq!(run(&memory, post()).await.unwrap_err().kind(), ErrorKind::Rejected);
}

/// Where a resource was that is removed there is nothing any more, whatever the status says.
#[tokio::test(start_paused = true)]
async fn what_is_removed_is_not_looked_for() {
    let gone = r#"{"status":"Succeeded","resourceLocation":"/thing"}"#;
    let memory = Memory::new(move |n, _| match n {
        0 => with(202, &[("azure-asyncoperation", "/s"), ("location", "/l")], ""),
        1 => json(200, gone),
        _ => json(404, ""),
    });
    assert_eq!(run(&memory, Call::delete(OP, "/thing")).await.unwrap(), Value::Null);
    assert_eq!(memory.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_location_is_asked_until_it_has_the_result() {
    let accepted = |link: &str| with(202, &[("location", link)], "");
    let memory = Memory::steps(vec![accepted("/l"), json(202, ""), accepted("/l2"), json(200, r#"{"a":1}"#)]);
    assert_eq!(run(&memory, Call::post(OP, "/act")).await.unwrap(), value!({ "a": 1 }));
    assert_eq!(memory.lines(), ["POST /act", "GET /l", "GET /l", "GET /l2"]);
    // The end of a PATCH may be an answer without a body.
    let memory = Memory::steps(vec![accepted("/l"), json(204, ""), json(200, r#"{"a":2}"#)]);
    let patch = Call::patch(OP, "/thing", &value!({})).unwrap();
    assert_eq!(run(&memory, patch).await.unwrap(), value!({ "a": 2 }));
    assert_eq!(memory.lines()[2], "GET /thing");
    for status in [200, 204] {
        let memory = Memory::steps(vec![accepted("/l"), json(status, "")]);
        assert_eq!(run(&memory, Call::delete(OP, "/thing")).await.unwrap(), Value::Null);
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_address_the_resource_says_how_it_goes() {
    let state =
        |status, state: &str| json(status, &format!(r#"{{"properties":{{"provisioningState":"{state}"}}}}"#));
    let memory = Memory::steps(vec![state(201, "Creating"), state(200, "Creating"), state(200, "Succeeded")]);
    assert!(run(&memory, put()).await.is_ok());
    assert_eq!(memory.count(), 3);
    // What has no state is over with 200, and not yet with 201.
    let memory = Memory::steps(vec![json(200, r#"{"a":1}"#)]);
    assert_eq!(run(&memory, put()).await.unwrap(), value!({ "a": 1 }));
    assert_eq!(memory.count(), 1);
    let memory = Memory::steps(vec![json(201, r#"{"a":1}"#), json(200, r#"{"a":2}"#)]);
    assert_eq!(run(&memory, put()).await.unwrap(), value!({ "a": 2 }));
    let memory = Memory::steps(vec![state(200, "Creating"), state(200, "Failed")]);
    assert_eq!(run(&memory, put()).await.unwrap_err().kind(), ErrorKind::Rejected);
    // What is being removed is gone when it is not there.
    let memory = Memory::steps(vec![state(202, "Deleting"), json(404, "")]);
    assert_eq!(run(&memory, Call::delete(OP, "/thing")).await.unwrap(), Value::Null);
    // A cancelled job's answer has a `Location` that is no address, and is over.
    let memory = Memory::steps(vec![with(200, &[("location", "http://subscriptions/x/jobs/j")], "")]);
    assert_eq!(run(&memory, Call::post(OP, "/jobs/j/cancel")).await.unwrap(), Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_failure_comes_with_status_200_and_keeps_its_reasons() {
    let failed = r#"{"status":"Failed","startTime":"2026-03-26T01:00:34.148Z",
        "error":{"code":"ModelRegistryError","message":"Could not find asset","details":[{"code":"A","message":"b"}]}}"#;
    let memory = Memory::steps(vec![status_at("/s"), json(200, failed)]);
    let error = run(&memory, put()).await.unwrap_err();
    assert_eq!((error.kind(), error.context("state")), (ErrorKind::Rejected, Some("Failed")));
    let said = ServiceError::of(&error).unwrap();
    assert_eq!(said.code.as_deref(), Some("ModelRegistryError"));
    assert_eq!(said.details, [("A".to_owned(), "b".to_owned())]);
    assert!(!error.is_retryable());
    for state in ["Canceled", "cancelled"] {
        let memory = Memory::steps(vec![status_at("/s"), json(200, &format!(r#"{{"status":"{state}"}}"#))]);
        assert_eq!(run(&memory, put()).await.unwrap_err().kind(), ErrorKind::Cancelled);
    }
    // A status that is none is a breach of the protocol, not an operation without an end.
    for body in ["{}", "", "<html>", r#"{"status":7}"#, "[]"] {
        let memory = Memory::steps(vec![status_at("/s"), json(200, body)]);
        assert_eq!(run(&memory, put()).await.unwrap_err().kind(), ErrorKind::Protocol, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_never_ends_is_left_at_its_deadline() {
    let elapsed = async |first: Step, poll: PollPolicy| {
        let memory = Memory::new(move |n, _| if n == 0 { first.clone() } else { json(200, PENDING) });
        let started = tokio::time::Instant::now();
        let service = builder(&memory, &Tokens::new()).poll(poll).build().unwrap();
        let error = service.begin(put()).await.unwrap().wait().await.unwrap_err();
        assert_eq!((error.kind(), error.context("state")), (ErrorKind::Timeout, Some("InProgress")));
        assert!(!error.is_retryable());
        (started.elapsed(), memory.count())
    };
    let near =
        |time: Duration, seconds| time.abs_diff(Duration::from_secs(seconds)) <= Duration::from_secs(1);
    let (time, questions) = elapsed(status_at("/s"), PollPolicy::default()).await;
    assert!(near(time, 6 * 3600) && questions < 500, "{time:?} {questions}");
    // The service may say how long it gives itself; longer than ours is not believed.
    for (said, seconds) in [("PT90M", 5400), ("PT99H", 6 * 3600), ("forever", 6 * 3600)] {
        let first =
            with(201, &[("azure-asyncoperation", "/s"), ("x-ms-async-operation-timeout", said)], "{}");
        let (time, _) = elapsed(first, PollPolicy::default()).await;
        assert!(near(time, seconds), "{said} {time:?}");
    }
    // One that asks to be asked at once is still asked once a second.
    let eager = with(201, &[("azure-asyncoperation", "/s"), ("retry-after", "0")], "{}");
    let minute = PollPolicy::default().with_deadline(Duration::from_secs(60));
    let (_, questions) = elapsed(eager, minute).await;
    assert!(questions <= 61, "{questions}");
}

#[tokio::test(start_paused = true)]
async fn questions_may_fail_for_a_while() {
    let memory = Memory::steps(vec![
        status_at("/s"),
        json(404, ""),
        json(404, ""),
        json(404, ""),
        json(200, SUCCEEDED),
        json(404, ""),
        json(200, "1"),
    ]);
    assert_eq!(run(&memory, put()).await.unwrap(), value!(1));
    let memory = Memory::new(|n, _| if n == 0 { status_at("/s") } else { json(404, "") });
    assert_eq!(run(&memory, put()).await.unwrap_err().kind(), ErrorKind::NotFound);
    let memory = Memory::new(|n, _| if n == 0 { status_at("/s") } else { Step::Lost });
    let error = run(&memory, put()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Transport && error.is_retryable());
    // What will not pass is not waited for.
    let memory = Memory::new(|n, _| if n == 0 { status_at("/s") } else { json(403, "") });
    assert_eq!(run(&memory, put()).await.unwrap_err().kind(), ErrorKind::Auth);
    assert_eq!(memory.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_address_of_an_operation_is_at_another_host() {
    let evil = format!("https://evil.example/s?t={CANARY}");
    let first = |name| with(202, &[(name, &evil)], "{}");
    for steps in [
        vec![first("azure-asyncoperation")],
        vec![first("location")],
        vec![status_at("/s"), with(200, &[("azure-asyncoperation", &evil)], PENDING)],
        vec![status_at("/s"), with(200, &[("location", &evil)], PENDING)],
        vec![status_at("/s"), json(200, &format!(r#"{{"status":"Succeeded","resourceLocation":"{evil}"}}"#))],
        vec![with(202, &[("location", "/l")], ""), with(202, &[("location", &evil)], "")],
        vec![status_at("/s"), with(302, &[("location", &evil)], "")],
    ] {
        let memory = Memory::steps(steps.clone());
        let error = run(&memory, put()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{steps:?}");
        assert!(!shown(&error).contains(CANARY), "{error:?}");
        assert!(memory.seen().iter().all(|seen| seen.url.starts_with(HOST)));
    }
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_and_a_wait_can_be_cancelled_and_taken_up_again() {
    let memory = Memory::new(|n, _| match n {
        0 => with(201, &[("azure-asyncoperation", &format!("{HOST}/s?sig={CANARY}"))], "{}"),
        1..=5 => json(200, r#"{"status":"InProgress","percentComplete":50}"#),
        6 => json(200, SUCCEEDED),
        _ => json(200, "1"),
    });
    let mut operation = service(&memory).begin(put()).await.unwrap();
    let (heard, cancel) = (Mutex::new(Vec::new()), tokio::time::sleep(Duration::from_secs(6)));
    let error = operation.wait_with(|p| heard.lock().unwrap().push(p.clone()), cancel).await.unwrap_err();
    assert_eq!((error.kind(), error.context("state")), (ErrorKind::Cancelled, Some("InProgress")));
    let heard = heard.into_inner().unwrap();
    assert_eq!(
        (heard[0].status.as_str(), heard[0].percent, heard[0].questions),
        ("InProgress", Some(50.0), 1)
    );
    assert!(heard.len() < 5 && !operation.is_done());
    // Another process goes on.
    let saved = serde_json::to_string(&operation.save()).unwrap();
    assert!(!format!("{operation:?} {:?}", operation.save()).contains(CANARY));
    drop(operation);
    let state: OperationState = serde_json::from_str(&saved).unwrap();
    let again: Operation<Value> = service(&memory).resume(OP, state).unwrap();
    assert_eq!(again.wait().await.unwrap(), value!(1));
    assert_eq!(memory.lines().iter().filter(|line| line.starts_with("PUT")).count(), 1);
    // One that was edited to lead elsewhere is not gone on with.
    let edited: OperationState =
        serde_json::from_str(&saved.replace("management.azure.com/s", "evil.example/s")).unwrap();
    assert_eq!(service(&memory).resume::<Value>(OP, edited).unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_resumed_has_no_more_time_than_it_had() {
    let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let memory = Memory::new(|n, _| if n == 0 { status_at("/s") } else { json(200, PENDING) });
    let poll = PollPolicy::default().with_deadline(Duration::from_secs(3600));
    let service = builder(&memory, &Tokens::new()).poll(poll).clock(clock.clone()).build().unwrap();
    let state = service.begin(put()).await.unwrap().save();
    for (time, left) in
        [("2026-01-01T00:45:00Z", 900), ("2027-01-01T00:00:00Z", 0), ("2025-01-01T00:00:00Z", 3600)]
    {
        clock.set(time.parse().unwrap());
        let started = tokio::time::Instant::now();
        let error: Error = service.resume::<Value>(OP, state.clone()).unwrap().wait().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(started.elapsed().abs_diff(Duration::from_secs(left)) <= Duration::from_secs(1), "{time}");
    }
}

/// Whoever stops waiting leaves the operation to Azure: nothing is sent for it any more, and nothing is undone.
#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_sends_nothing_more() {
    let memory = Memory::new(|n, _| if n == 0 { status_at("/s") } else { json(200, PENDING) });
    let operation = service(&memory).begin(put()).await.unwrap();
    let _ = tokio::time::timeout(Duration::from_secs(10), operation.wait()).await.unwrap_err();
    let before = memory.count();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(memory.count(), before);
}
