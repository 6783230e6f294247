//! Calls and pages.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use mlops_azure::error::ServiceError;
use mlops_azure::http::{Call, Page, Repeat};
use mlops_core::{ErrorKind, Result};
use serde_json::{Value, json as value};

use crate::memory::*;

const OP: &str = "test";

fn get(path: &str) -> Call<Value> {
    Call::get(OP, path)
}

fn post() -> Call<Value> {
    Call::post(OP, "/act").json(&value!({ "a": 1 })).unwrap()
}

#[tokio::test]
async fn every_request_has_its_headers_and_goes_where_it_belongs() {
    let memory = Memory::steps(vec![json(200, r#"{"a":1}"#)]);
    let service = builder(&memory, &Tokens::new()).user_agent("churn/1.0").build().unwrap();
    let call = Call::<Value>::get(OP, "/a/b").query("$top", "5").query("q", "a b&c=d");
    assert_eq!(service.call(call).await.unwrap(), value!({ "a": 1 }));
    let seen = memory.seen().remove(0);
    assert_eq!(seen.url, "https://management.azure.com/a/b?$top=5&q=a%20b%26c%3Dd");
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {CANARY}-0").as_str()));
    assert!(seen.headers.get("authorization").unwrap().is_sensitive());
    assert_eq!(seen.header("user-agent"), Some("churn/1.0 mlops-azure/0.1.0"));
    assert_eq!(seen.header("x-ms-client-request-id").map(str::len), Some(36));
    // A path cannot leave the host.
    for path in ["//evil.example/x", "https://evil.example/x", "\\\\evil.example"] {
        assert_eq!(service.call(get(path)).await.unwrap_err().kind(), ErrorKind::Protocol, "{path}");
    }
    assert_eq!(memory.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_the_same_call_in_every_try_and_its_token_is_asked_once() {
    let tokens = Tokens::new();
    let memory = Memory::steps(vec![json(503, ""), Step::Lost, Step::Unreachable, json(200, "{}")]);
    builder(&memory, &tokens).build().unwrap().call(get("/x")).await.unwrap();
    let ids: Vec<_> =
        memory.seen().iter().map(|s| s.header("x-ms-client-request-id").unwrap().to_owned()).collect();
    assert_eq!((ids.len(), tokens.count()), (4, 1));
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_is_replaced_once() {
    let tokens = Tokens::new();
    let memory = Memory::steps(vec![json(401, ""), json(200, "1")]);
    // A call that may not be repeated may still be sent again: it was not let in.
    assert_eq!(builder(&memory, &tokens).build().unwrap().call(post()).await.unwrap(), value!(1));
    assert_eq!(*tokens.refused.lock().unwrap(), [format!("{CANARY}-0")]);
    assert_eq!(memory.seen()[1].header("authorization"), Some(format!("Bearer {CANARY}-1").as_str()));
    let memory = Memory::steps(vec![json(401, r#"{"error":{"code":"InvalidAuthenticationToken"}}"#)]);
    let error = builder(&memory, &Tokens::new()).build().unwrap().call(get("/x")).await.unwrap_err();
    assert_eq!((error.kind(), memory.count()), (ErrorKind::Auth, 2));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_repeated_is_said_to_be_unknown_and_a_key_makes_it_repeatable() {
    for step in [Step::Lost, Step::Silence, json(500, ""), json(503, "")] {
        let memory = Memory::steps(vec![step.clone(), json(200, "1")]);
        let error = service(&memory).call(post()).await.unwrap_err();
        assert_eq!((error.kind(), memory.count()), (ErrorKind::UnknownOutcome, 1), "{step:?}");
        let memory = Memory::steps(vec![step, json(200, "1")]);
        let call =
            post().header("repeatability-request-id".parse().unwrap(), "key").unwrap().repeat(Repeat::Safe);
        assert!(service(&memory).call(call).await.is_ok());
        assert_eq!(memory.seen()[0].body, memory.seen()[1].body);
    }
    for step in [Step::Unreachable, json(429, "")] {
        let memory = Memory::steps(vec![step, json(200, "1")]);
        assert!(service(&memory).call(post()).await.is_ok(), "it was not taken");
    }
}

#[tokio::test(start_paused = true)]
async fn waits_are_those_that_the_service_asks_for() {
    let date = [("retry-after", "Fri, 01 Jan 2021 00:00:30 GMT"), ("date", "Fri, 01 Jan 2021 00:00:00 GMT")];
    for (headers, seconds) in
        [(&[("retry-after", "7")][..], 7), (&[("x-ms-retry-after-ms", "3000")], 3), (&date[..], 30)]
    {
        let memory = Memory::steps(vec![with(429, headers, ""), json(200, "1")]);
        let started = tokio::time::Instant::now();
        service(&memory).call(get("/x")).await.unwrap();
        assert_eq!(started.elapsed().as_secs(), seconds, "{headers:?}");
    }
    // Nobody waits for a day.
    let memory = Memory::steps(vec![with(429, &[("retry-after", "86400")], "")]);
    let error = service(&memory).call(get("/x")).await.unwrap_err();
    assert_eq!((error.kind(), memory.count()), (ErrorKind::RateLimited, 1));
    assert_eq!(error.context("retry_after_ms"), Some("86400000"));
}

#[tokio::test(start_paused = true)]
async fn waits_of_a_seed_are_the_same_and_of_others_are_not() {
    let elapsed = async |seed| {
        let memory = Memory::steps(vec![json(503, ""), json(503, ""), json(503, ""), json(200, "1")]);
        let retry = quick().with_seed(seed);
        let service = builder(&memory, &Tokens::new()).retry(retry).build().unwrap();
        let started = tokio::time::Instant::now();
        service.call(get("/x")).await.unwrap();
        started.elapsed()
    };
    let (one, again, other) = (elapsed(Some(1)).await, elapsed(Some(1)).await, elapsed(Some(2)).await);
    assert_eq!(one, again);
    assert_ne!(one, other);
    // The waits sum to at most 200 + 400 + 800 milliseconds, to which the timer adds one each.
    assert!(one <= Duration::from_millis(1403) && elapsed(None).await <= Duration::from_millis(1403));
}

/// A hundred clients that failed at the same moment do not come back at the same moment.
#[tokio::test(start_paused = true)]
async fn clients_that_failed_together_come_back_apart() {
    let started = tokio::time::Instant::now();
    let times = Arc::new(std::sync::Mutex::new(Vec::new()));
    let clients = (0..100).map(|i| {
        let times = times.clone();
        async move {
            let memory = Memory::new(move |n, _| match n {
                0 => json(503, ""),
                _ => {
                    times.lock().unwrap().push(started.elapsed().as_millis());
                    json(200, "1")
                }
            });
            let initial = Duration::from_secs(2);
            let retry = quick().with_initial(initial).with_seed(i);
            let service = builder(&memory, &Tokens::new()).retry(retry).build().unwrap();
            service.call(get("/x")).await.unwrap();
        }
    });
    futures_util::future::join_all(clients).await;
    let mut buckets = [0; 21];
    times.lock().unwrap().iter().for_each(|ms| buckets[usize::try_from(*ms / 100).unwrap()] += 1);
    assert!(
        buckets.iter().all(|count| *count <= 15),
        "no 100 ms see three times their part of 5: {buckets:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn no_call_lasts_beyond_its_deadline() {
    for step in [Step::Silence, json(503, ""), Step::Lost] {
        let memory = Memory::steps(vec![step.clone()]);
        let deadline = Some(Duration::from_secs(10));
        let retry =
            quick().with_attempts(u32::MAX).with_deadline(deadline).with_initial(Duration::from_secs(1));
        let service = builder(&memory, &Tokens::new()).retry(retry).build().unwrap();
        let started = tokio::time::Instant::now();
        assert!(service.call(get("/x")).await.is_err());
        assert!(started.elapsed() <= Duration::from_millis(10_010), "{step:?} {:?}", started.elapsed());
        assert!(memory.seen().iter().all(|seen| seen.timeout <= Duration::from_secs(10)));
    }
}

/// What was not sent is not of unknown outcome.
#[tokio::test(start_paused = true)]
async fn a_call_without_time_is_not_sent() {
    for (deadline, first, sent) in [(0, json(200, "1"), 0), (10, with(429, &[("retry-after", "9")], ""), 2)] {
        let memory = Memory::new(move |n, _| if n == 0 { first.clone() } else { json(200, "1") });
        let retry = quick().with_deadline(Duration::from_secs(deadline));
        let service = builder(&memory, &Tokens::new()).retry(retry).build().unwrap();
        let result = service.call(post()).await;
        assert_eq!(memory.count(), sent);
        if sent == 0 {
            let error = result.unwrap_err();
            assert!(error.kind() == ErrorKind::Timeout && error.is_retryable(), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_resource_on_which_something_else_works_is_waited_for() {
    let busy = with(
        409,
        &[("retry-after", "20")],
        r#"{"error":{"code":"Conflict","message":"m","additionalInfo":[{"type":"InnerError","info":{"value":
            {"code":"RetryableErrorDueToAnotherOperation"}}}]}}"#,
    );
    let memory = Memory::steps(vec![busy.clone(), busy.clone(), json(200, "1")]);
    let started = tokio::time::Instant::now();
    service(&memory).call(post()).await.unwrap();
    assert_eq!((memory.count(), started.elapsed().as_secs()), (3, 40));
    let memory = Memory::steps(vec![busy]);
    let error = service(&memory).call(post()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Busy && error.is_retryable() && started.elapsed().as_secs() <= 340);
    // Whoever is told when to come back is not told that it is in vain, whatever the words.
    let words = with(409, &[("retry-after", "20")], r#"{"error":{"code":"UserError","message":"m"}}"#);
    let memory = Memory::steps(vec![words, json(200, "1")]);
    service(&memory).call(post()).await.unwrap();
    assert_eq!(memory.count(), 2);
    // A conflict that is about nothing in Resource Manager is the caller's matter.
    let memory = Memory::steps(vec![json(409, r#"{"error":{"code":"Conflict","message":"m"}}"#)]);
    assert_eq!(service(&memory).call(post()).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(memory.count(), 1);
}

const WORKSPACE: &str = "/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w";

/// Answers to those that are turned away, as services of Azure write them.
const TURNED_AWAY: [&str; 5] = [
    r#"{"error":{"code":"UserError","message":"Cannot create a deployment in endpoint e because it is in Updating provisioning state."}}"#,
    r#"{"error":{"code":"Conflict","message":"Another operation on this or dependent resource is in progress."}}"#,
    r#"{"error":{"code":"AnotherOperationInProgress","message":"m"}}"#,
    r#"{"error":{"code":"UserError","message":"m","additionalInfo":[{"type":"InnerError","info":{"value":{"code":"Conflict"}}}]}}"#,
    "",
];

/// What the words of a 409 do not say, the resources around say: whether something is under way there.
#[tokio::test(start_paused = true)]
async fn whether_something_is_under_way_is_looked_at_and_not_read_from_words() {
    let endpoint = format!("{SUBSCRIPTION}{WORKSPACE}/onlineEndpoints/e");
    let own = |path: &str, state: &str| {
        (path.to_owned(), format!(r#"{{"properties":{{"provisioningState":"{state}"}}}}"#))
    };
    let list = |state: &str| {
        let body = format!(
            r#"{{"value":[{{"properties":{{"provisioningState":"Succeeded"}}}},{{"properties":{{"provisioningState":"{state}"}}}}]}}"#
        );
        (format!("{endpoint}/deployments"), body)
    };
    let compute = format!("{SUBSCRIPTION}{WORKSPACE}/computes/c");
    let parent = format!("{SUBSCRIPTION}{WORKSPACE}");
    for (method, path, found) in [
        ("PUT", endpoint.clone(), vec![own(&endpoint, "Updating")]),
        ("PUT", format!("{endpoint}/deployments/blue"), vec![own(&endpoint, "updating")]),
        (
            "DELETE",
            format!("{endpoint}/deployments/blue"),
            vec![own(&endpoint, "Succeeded"), list("Creating")],
        ),
        ("PUT", endpoint.clone(), vec![own(&endpoint, "Failed"), list("Deleting")]),
        ("POST", format!("{endpoint}/regenerateKeys"), vec![own(&endpoint, "Updating")]),
        ("PUT", compute.clone(), vec![own(&compute, "Creating")]),
        ("POST", format!("{compute}/start"), vec![own(&compute, "Updating")]),
        ("PUT", compute.clone(), vec![own(&compute, "Succeeded"), own(&parent, "Updating")]),
    ] {
        for words in TURNED_AWAY {
            let (found, before) = (found.clone(), std::sync::atomic::AtomicUsize::new(0));
            let memory = Memory::new(move |_, seen| {
                let path = seen.url.split('?').next().unwrap().replace("https://management.azure.com", "");
                assert!(seen.url.ends_with("?api-version=2026-05-01"), "{}", seen.url);
                if seen.method != "GET" {
                    let calls = before.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    return if calls < 3 { json(409, words) } else { json(200, "1") };
                }
                let answer = found.iter().find(|(at, _)| *at == path);
                answer.map_or_else(|| json(404, ""), |(_, body)| json(200, body))
            });
            let call = |waits: bool| {
                let call = Call::<Value>::new("test", method.parse().unwrap(), path.clone())
                    .query("api-version", "2026-05-01");
                if waits { call } else { call.unless_busy() }
            };
            let error = service(&memory).call(call(false)).await.unwrap_err();
            assert!(
                error.kind() == ErrorKind::Busy && error.is_retryable(),
                "{method} {path} {words}: {error}"
            );
            assert_eq!(error.context("status"), Some("409"));
            service(&memory)
                .call(call(true))
                .await
                .unwrap_or_else(|e| panic!("{method} {path} {words}: {e}"));
        }
    }
}

/// Where nothing is under way, the operation may have ended before the look: one more try, and then it is a conflict.
#[tokio::test(start_paused = true)]
async fn a_conflict_without_an_operation_is_tried_once_more_and_then_told() {
    let path = format!("{SUBSCRIPTION}{WORKSPACE}/onlineEndpoints/e");
    let put = || Call::<Value>::put("test", &path, &1).unwrap().query("api-version", "2026-05-01");
    let words = r#"{"error":{"code":"UserError","message":"There is already an endpoint with this name in the region."}}"#;
    let gone = |seen: &Seen| if seen.method == "GET" { json(404, "") } else { json(409, words) };
    let memory = Memory::new(move |_, seen| gone(seen));
    let error = service(&memory).call(put()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Conflict, false));
    assert_eq!(memory.lines().iter().filter(|line| line.starts_with("PUT")).count(), 2);
    let memory = Memory::new(move |_, seen| gone(seen));
    assert_eq!(service(&memory).call(put().unless_busy()).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(memory.lines().iter().filter(|line| line.starts_with("PUT")).count(), 1);
    let memory = Memory::new(move |n, _| if n == 0 { json(409, words) } else { json(200, "{}") });
    service(&memory).call(put()).await.unwrap();
    // What the code says is not asked again.
    for (code, kind) in [
        ("RoleAssignmentExists", ErrorKind::AlreadyExists),
        ("StorageAccountAlreadyExists", ErrorKind::AlreadyExists),
        ("ScopeLocked", ErrorKind::Conflict),
        ("CannotDeleteResource", ErrorKind::Conflict),
        ("ReadOnlyDisabledSubscription", ErrorKind::Conflict),
        ("FlagMustBeSetForRestore", ErrorKind::Conflict),
    ] {
        let memory =
            Memory::steps(vec![json(409, &format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#))]);
        let error = service(&memory).call(put()).await.unwrap_err();
        assert_eq!((error.kind(), memory.count()), (kind, 1), "{code}");
    }
    // A look that fails says nothing.
    let memory =
        Memory::new(move |_, seen| if seen.method == "GET" { json(403, "") } else { json(409, words) });
    assert_eq!(service(&memory).call(put()).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test(start_paused = true)]
async fn what_was_made_a_moment_ago_is_waited_for_where_the_call_says_so() {
    for status in [403, 404] {
        let memory = Memory::steps(vec![json(status, ""), json(status, ""), json(200, "1")]);
        service(&memory).call(get("/x").settling(Duration::from_secs(60))).await.unwrap();
        assert_eq!(memory.count(), 3);
        let memory = Memory::steps(vec![json(status, "")]);
        assert!(service(&memory).call(get("/x")).await.is_err());
        assert_eq!(memory.count(), 1);
        let started = tokio::time::Instant::now();
        let memory = Memory::steps(vec![json(status, "")]);
        assert!(service(&memory).call(get("/x").settling(Duration::from_secs(60))).await.is_err());
        assert!(memory.count() > 3 && started.elapsed() <= Duration::from_secs(61));
    }
}

fn unregistered() -> Step {
    json(
        409,
        r#"{"error":{"code":"MissingSubscriptionRegistration",
        "message":"The subscription is not registered to use namespace 'Microsoft.MachineLearningServices'"}}"#,
    )
}

#[tokio::test(start_paused = true)]
async fn a_resource_provider_that_is_missing_is_registered() {
    let path =
        format!("{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w");
    let memory = Memory::steps(vec![
        unregistered(),
        json(200, r#"{"registrationState":"Registering"}"#),
        json(200, r#"{"registrationState":"Registering"}"#),
        json(200, r#"{"registrationState":"Registered"}"#),
        json(200, "1"),
    ]);
    service(&memory).call(Call::<Value>::get(OP, &path)).await.unwrap();
    let provider = format!("{SUBSCRIPTION}/providers/Microsoft.MachineLearningServices");
    assert_eq!(
        memory.lines(),
        [
            format!("GET {path}"),
            format!("POST {provider}/register?api-version=2016-02-01"),
            format!("GET {provider}?api-version=2016-02-01"),
            format!("GET {provider}?api-version=2016-02-01"),
            format!("GET {path}"),
        ]
    );
    // The service remembers what it answered to an id.
    let seen = memory.seen();
    assert_ne!(seen[0].header("x-ms-client-request-id"), seen[4].header("x-ms-client-request-id"));
    // Once; and not where nobody wants it.
    let again = Memory::new(move |n, _| match n % 2 {
        0 => unregistered(),
        _ => json(200, r#"{"registrationState":"Registered"}"#),
    });
    let error = service(&again).call(Call::<Value>::get(OP, &path)).await.unwrap_err();
    assert_eq!((error.kind(), again.count()), (ErrorKind::Unsupported, 3));
    let off = Memory::steps(vec![unregistered()]);
    let service = builder(&off, &Tokens::new()).register_providers(false).build().unwrap();
    assert!(service.call(Call::<Value>::get(OP, &path)).await.is_err());
    assert_eq!(off.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_fails_says_why() {
    let path = format!("{SUBSCRIPTION}/providers/Microsoft.Insights/x");
    let denied = json(403, r#"{"error":{"code":"AuthorizationFailed","message":"no register/action"}}"#);
    let memory = Memory::steps(vec![unregistered(), denied]);
    let error = service(&memory).call(Call::<Value>::get(OP, &path)).await.unwrap_err();
    assert_eq!((error.kind(), error.context("namespace")), (ErrorKind::Auth, Some("Microsoft.Insights")));
    assert_eq!(ServiceError::of(&error).unwrap().code.as_deref(), Some("AuthorizationFailed"));
    let memory = Memory::steps(vec![unregistered(), json(200, r#"{"registrationState":"Registering"}"#)]);
    let started = tokio::time::Instant::now();
    let error = service(&memory).call(Call::<Value>::get(OP, &path)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(started.elapsed() < Duration::from_secs(660));
}

#[tokio::test]
async fn the_limits_that_the_service_tells_are_data() {
    let memory = Memory::steps(vec![
        with(200, &[("x-ms-ratelimit-remaining-subscription-reads", "11998")], "1"),
        with(404, &[("x-ms-ratelimit-remaining-subscription-writes", "7")], ""),
    ]);
    let service = service(&memory);
    service.call(get("/x")).await.unwrap();
    assert!(service.clone().call(get("/x")).await.is_err());
    let limits = service.rate_limits();
    assert_eq!(
        (limits.subscription_reads, limits.subscription_writes, limits.lowest()),
        (Some(11998), Some(7), Some(7))
    );
}

#[tokio::test]
async fn errors_keep_everything_that_the_service_said() {
    let body = r#"{"error":{"code":"UserError","message":"$\"The value for '.emails' is missing.\"","additionalInfo":[
        {"type":"Correlation","info":{"value":{"operation":"op-1","request":"rq-1"}}},
        {"type":"Time","info":{"value":"2023-12-18T22:43:23.3580957+00:00"}},
        {"type":"InnerError","info":{"value":{"code":"BadArgument","innerError":{"code":"MissingArgument"}}}}]}}"#;
    let headers = [("x-ms-request-id", "request-7"), ("x-ms-correlation-request-id", "correlation-8")];
    let error = service(&Memory::steps(vec![with(400, &headers, body)])).call(get("/x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    for (name, expected) in [
        ("code", "UserError"),
        ("inner", "BadArgument > MissingArgument"),
        ("request_id", "request-7"),
        ("correlation_id", "correlation-8"),
        ("time", "2023-12-18T22:43:23.358095700+00:00"),
    ] {
        assert_eq!(error.context(name), Some(expected));
    }
}

async fn pages(memory: &Arc<Memory>) -> Result<Vec<u32>> {
    service(memory).items(Call::<Page<u32>>::get(OP, "/list")).try_collect().await
}

#[tokio::test(start_paused = true)]
async fn pages_are_asked_for_one_after_the_other() {
    let memory = Memory::steps(vec![
        json(200, r#"{"value":[1,2],"nextLink":"https://management.azure.com/list?$skip=2"}"#),
        json(503, ""),
        json(200, r#"{"value":[],"nextLink":"/list?$skip=3"}"#),
        json(200, r#"{"value":[3],"nextLink":""}"#),
    ]);
    assert_eq!(pages(&memory).await.unwrap(), [1, 2, 3]);
    assert_eq!(memory.lines(), ["GET /list", "GET /list?$skip=2", "GET /list?$skip=2", "GET /list?$skip=3"]);
    // What nobody wants is not asked for.
    let memory = Memory::steps(vec![json(200, r#"{"value":[1,2],"nextLink":"/list?$skip=2"}"#)]);
    let first =
        service(&memory).items(Call::<Page<u32>>::get(OP, "/list")).take(2).try_collect::<Vec<_>>().await;
    assert_eq!((first.unwrap(), memory.count()), (vec![1, 2], 1));
    for nothing in [r#"{"value":[]}"#, r#"{"value":null,"nextLink":null}"#] {
        assert_eq!(pages(&Memory::steps(vec![json(200, nothing)])).await.unwrap(), [0; 0]);
    }
    // What is no list is not an empty one.
    for other in ["{}", r#"{"error":{"code":"X"}}"#, r#"{"values":[1]}"#, "", "[]", r#"{"value":{}}"#] {
        let error = pages(&Memory::steps(vec![json(200, other)])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{other}");
    }
}

#[tokio::test]
async fn a_list_leads_neither_elsewhere_nor_in_a_circle() {
    for link in [
        "https://evil.example/list",
        "http://management.azure.com/list",
        "https://management.azure.com:8443/",
    ] {
        let memory =
            Memory::steps(vec![json(200, &format!(r#"{{"value":[1],"nextLink":"{link}?sig={CANARY}"}}"#))]);
        let error = pages(&memory).await.unwrap_err();
        assert_eq!((error.kind(), memory.count()), (ErrorKind::Protocol, 1), "{link}");
        assert!(!shown(&error).contains(CANARY));
    }
    let memory = Memory::steps(vec![json(200, r#"{"value":[1],"nextLink":"/list?$skip=1"}"#)]);
    let error = pages(&memory).await.unwrap_err();
    assert_eq!((error.kind(), memory.count()), (ErrorKind::Protocol, 2));
}
