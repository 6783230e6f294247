//! Tokens: the cache, the chain, and the sources behind them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mlops_azure::auth::{
    AccessToken, CachePolicy, JobIdentity, NoToken, Scope, TokenCache, TokenChain, TokenSource,
};
use mlops_core::time::{Clock as _, ManualClock};
use mlops_core::{Error, ErrorKind, Result};

use crate::memory::*;

fn scope() -> Scope {
    Scope::new("https://ml.azure.com/.default").unwrap()
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()))
}

/// Gives a token that holds for an hour, after a while, or fails.
#[derive(Debug)]
struct Slow {
    clock: Arc<ManualClock>,
    takes: Duration,
    life: Duration,
    asked: AtomicUsize,
    fails: Mutex<bool>,
}

impl Slow {
    fn new(clock: &Arc<ManualClock>) -> Arc<Self> {
        Self::with_life(clock, Duration::from_secs(3600))
    }

    fn with_life(clock: &Arc<ManualClock>, life: Duration) -> Arc<Self> {
        let takes = Duration::from_secs(2);
        Arc::new(Self {
            clock: clock.clone(),
            takes,
            life,
            asked: AtomicUsize::new(0),
            fails: Mutex::new(false),
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl TokenSource for Slow {
    async fn token(&self, scope: &Scope) -> Result<AccessToken> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.takes).await;
        if *self.fails.lock().unwrap() {
            return Err(Error::new(ErrorKind::Transport, "Slow::token", "no answer"));
        }
        Ok(AccessToken::new(format!("{number}-{scope}"), self.clock.now() + self.life))
    }

    async fn refuse(&self, _: &Scope, _: &AccessToken) {}
}

async fn token(cache: &TokenCache) -> String {
    cache.token(&scope()).await.unwrap().secret.expose().to_owned()
}

#[tokio::test(start_paused = true)]
async fn however_many_ask_it_is_one_request() {
    let clock = clock();
    let source = Slow::new(&clock);
    let cache = TokenCache::new(source.clone(), clock);
    let all = futures_util::future::join_all((0..100).map(|_| token(&cache))).await;
    assert!(all.iter().all(|one| *one == all[0]));
    assert_eq!(source.asked(), 1);
    // Another scope is another token.
    let other = Scope::new("https://vault.azure.net/.default").unwrap();
    assert!(cache.token(&other).await.unwrap().secret.expose().contains("vault"));
    assert_eq!((token(&cache).await, source.asked()), (all[0].clone(), 2));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_everybodys_and_the_next_one_asks_again() {
    let clock = clock();
    let source = Slow::new(&clock);
    *source.fails.lock().unwrap() = true;
    let cache = TokenCache::new(source.clone(), clock);
    let scope = scope();
    let all = futures_util::future::join_all((0..20).map(|_| cache.token(&scope))).await;
    assert!(
        all.iter()
            .all(|one| one.as_ref().is_err_and(|e| e.kind() == ErrorKind::Transport && e.is_retryable()))
    );
    assert_eq!(source.asked(), 1);
    *source.fails.lock().unwrap() = false;
    assert!(cache.token(&scope).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_leaves_the_request_to_the_others() {
    let clock = clock();
    let source = Slow::new(&clock);
    let cache = TokenCache::new(source.clone(), clock);
    let scope = scope();
    let first = tokio::time::timeout(Duration::from_secs(1), cache.token(&scope));
    let (first, second) = tokio::join!(first, cache.token(&scope));
    assert!(first.is_err() && second.is_ok());
    assert_eq!(source.asked(), 1);
    // If all go away, the next one begins anew, and gets no answer that is older than its question.
    cache.refuse(&scope, &second.unwrap()).await;
    assert!(tokio::time::timeout(Duration::from_secs(1), cache.token(&scope)).await.is_err());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(cache.token(&scope).await.is_ok());
    assert_eq!(source.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_before_it_ends_and_nobody_waits_but_one() {
    let clock = clock();
    let source = Slow::new(&clock);
    let cache = TokenCache::new(source.clone(), clock.clone());
    let old = token(&cache).await;
    clock.advance(Duration::from_secs(3600 - 301));
    assert_eq!((token(&cache).await, source.asked()), (old.clone(), 1));
    clock.advance(Duration::from_secs(2));
    let started = tokio::time::Instant::now();
    let renewing = async {
        let new = token(&cache).await;
        (new, started.elapsed())
    };
    let others = async {
        let one = token(&cache).await;
        (one, started.elapsed())
    };
    let ((new, took), (kept, at_once)) = tokio::join!(renewing, others);
    assert!(new != old && kept == old);
    assert!(took >= Duration::from_secs(2) && at_once < Duration::from_millis(10));
    assert_eq!((token(&cache).await, source.asked()), (new, 2));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_harms_nobody_while_the_token_is_good() {
    let clock = clock();
    let source = Slow::new(&clock);
    let cache = TokenCache::new(source.clone(), clock.clone());
    let old = token(&cache).await;
    *source.fails.lock().unwrap() = true;
    clock.advance(Duration::from_secs(3600 - 200));
    assert_eq!((token(&cache).await, source.asked()), (old.clone(), 2));
    // Nobody tries again at once.
    assert_eq!((token(&cache).await, source.asked()), (old.clone(), 2));
    clock.advance(Duration::from_secs(31));
    assert_eq!((token(&cache).await, source.asked()), (old, 3));
    // In its last seconds it is not given out.
    clock.advance(Duration::from_secs(150));
    assert!(cache.token(&scope()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_a_service_refused_is_forgotten_once() {
    let clock = clock();
    let source = Slow::new(&clock);
    let cache = TokenCache::new(source.clone(), clock);
    let old = cache.token(&scope()).await.unwrap();
    cache.refuse(&scope(), &old).await;
    let new = token(&cache).await;
    assert_ne!(new, old.secret.expose());
    // A late complaint about the old one does not cost the new one.
    cache.refuse(&scope(), &old).await;
    assert_eq!((token(&cache).await, source.asked()), (new, 2));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_costs_a_request_a_minute_and_not_one_a_call() {
    // The wall clock is an hour and more ahead of the issuer: every token has ended when it comes.
    let clock = clock();
    let source = Slow::with_life(&clock, Duration::ZERO);
    let cache = TokenCache::new(source.clone(), clock.clone());
    for _ in 0..50 {
        token(&cache).await;
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(source.asked(), 1);
    clock.advance(Duration::from_secs(11));
    token(&cache).await;
    assert_eq!(source.asked(), 2);
    // One that jumps an hour back does not keep a token beyond its life.
    let clock = self::clock();
    let source = Slow::new(&clock);
    let cache = TokenCache::new(source.clone(), clock.clone());
    let old = token(&cache).await;
    clock.advance(Duration::from_secs(3590));
    clock.set("2026-01-01T00:00:01Z".parse().unwrap());
    assert_ne!(token(&cache).await, old);
    // One that jumps an hour ahead makes it ask for a new one, once.
    clock.advance(Duration::from_secs(60));
    clock.set("2026-01-01T05:00:00Z".parse().unwrap());
    let (first, second) = (token(&cache).await, token(&cache).await);
    assert_eq!((first, source.asked()), (second, 3));
}

#[tokio::test(start_paused = true)]
async fn short_lived_tokens_are_renewed_at_half_of_their_life() {
    let clock = clock();
    let source = Slow::with_life(&clock, Duration::from_secs(240));
    let policy = CachePolicy::default().with_least(Duration::from_secs(10));
    let cache = TokenCache::with_policy(source.clone(), clock.clone(), policy);
    token(&cache).await;
    clock.advance(Duration::from_secs(119));
    token(&cache).await;
    assert_eq!(source.asked(), 1);
    clock.advance(Duration::from_secs(2));
    token(&cache).await;
    assert_eq!(source.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_chain_says_of_each_link_why() {
    let clock = clock();
    let failing = Slow::new(&clock);
    *failing.fails.lock().unwrap() = true;
    let never = Slow { takes: Duration::from_secs(1 << 30), ..Arc::into_inner(Slow::new(&clock)).unwrap() };
    let chain = TokenChain::new()
        .or_unavailable("environment", "AZURE_TENANT_ID is not set")
        .or("failing", failing)
        .or_within("managed identity", Duration::from_secs(5), Arc::new(never));
    let started = tokio::time::Instant::now();
    let error = chain.token(&scope()).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(8) && error.kind() == ErrorKind::Auth);
    assert!(error.is_retryable(), "a source that is there could not be reached");
    let source = std::error::Error::source(&error).unwrap().downcast_ref::<NoToken>().unwrap();
    let expected = [
        ("environment", "AZURE_TENANT_ID is not set"),
        ("failing", "no answer"),
        ("managed identity", "it did not answer in time"),
    ];
    let failures: Vec<_> = source.failures.iter().map(|f| (f.link, f.reason.as_str())).collect();
    assert_eq!(failures, expected);
    assert!(expected.iter().all(|(_, reason)| error.message().contains(reason)));
    assert_eq!(chain.chosen(), None);
}

/// A machine outside Azure has no metadata service, and will have none a minute later.
#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_not_asked_again() {
    let clock = clock();
    let failing = Slow::new(&clock);
    *failing.fails.lock().unwrap() = true;
    let never = Slow { takes: Duration::from_secs(1 << 30), ..Arc::into_inner(Slow::new(&clock)).unwrap() };
    let chain = TokenChain::new()
        .or_unavailable("environment", "AZURE_TENANT_ID is not set")
        .or_if_there("failing", Duration::from_secs(5), failing)
        .or_if_there("managed identity", Duration::from_secs(5), Arc::new(never));
    let error = chain.token(&scope()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Auth, false));
}

/// The time for a token is part of a call's.
#[tokio::test(start_paused = true)]
async fn no_call_waits_for_its_token_beyond_its_deadline() {
    let clock = clock();
    let never = || {
        let slow = Arc::into_inner(Slow::new(&clock)).unwrap();
        Arc::new(Slow { takes: Duration::from_secs(1 << 30), ..slow })
    };
    let memory = Memory::steps(vec![json(200, "1")]);
    let retry = quick().with_deadline(Duration::from_secs(10));
    let endpoints = mlops_azure::config::Endpoints::of(mlops_azure::config::Cloud::Public).unwrap();
    let service = mlops_azure::http::Service::resource_manager(&endpoints, never());
    let service = service.transport(memory.clone()).retry(retry.clone()).build().unwrap();
    let get = || mlops_azure::http::Call::<serde_json::Value>::get("test", "/x");
    let request = || {
        mlops_azure::http::HttpRequest::new(
            mlops_azure::http::Method::GET,
            "https://management.azure.com/x".parse().unwrap(),
        )
    };
    let list = || mlops_azure::http::Call::<mlops_azure::http::Page<serde_json::Value>>::get("test", "/x");
    for which in 0..4 {
        let started = tokio::time::Instant::now();
        let error = match which {
            0 => service.call(get()).await.unwrap_err(),
            1 => service.begin(get()).await.unwrap_err(),
            2 => service.send("test", mlops_azure::http::Repeat::Safe, request()).await.unwrap_err(),
            _ => futures_util::TryStreamExt::try_collect::<Vec<_>>(service.items(list())).await.unwrap_err(),
        };
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Timeout, true), "{which}");
        let took = started.elapsed();
        assert!((Duration::from_secs(10)..Duration::from_millis(10_010)).contains(&took), "{which} {took:?}");
    }
    assert_eq!(memory.count(), 0);
}

/// Never gives a token.
#[derive(Debug)]
struct Never;

#[async_trait]
impl TokenSource for Never {
    async fn token(&self, _: &Scope) -> Result<AccessToken> {
        std::future::pending().await
    }

    async fn refuse(&self, _: &Scope, _: &AccessToken) {}
}

#[async_trait]
impl mlops_azure::mlflow::TokenProvider for Never {
    async fn token(&self) -> Result<mlops_core::governance::Secret> {
        std::future::pending().await
    }
}

/// Where nobody sets a deadline there is one all the same: five minutes.
#[tokio::test(start_paused = true)]
async fn every_client_has_a_deadline_and_the_token_is_part_of_it() {
    use mlops_azure::governance::KeyVault;
    use mlops_azure::http::{Repeat, RetryPolicy};
    use mlops_azure::mlflow::{Dialect, MlflowAuth, MlflowClient};
    use mlops_core::governance::SecretStore as _;

    let within = |started: tokio::time::Instant| started.elapsed() <= Duration::from_millis(300_010);
    let mlflow = |auth: MlflowAuth, step: Step, retry: RetryPolicy| {
        let builder = MlflowClient::builder("https://h").auth(auth).dialect(Dialect::Mlflow2).retry(retry);
        builder.transport(Memory::steps(vec![step])).build().unwrap()
    };
    let started = tokio::time::Instant::now();
    let client = mlflow(MlflowAuth::Provider(Arc::new(Never)), json(200, "{}"), RetryPolicy::default());
    let error = client.get("test", "x", &[]).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Timeout && error.is_retryable() && within(started), "{error}");
    // However often a server says that others write, and however long it is silent.
    let race = r#"{"error_code":"BAD_REQUEST","message":"UNIQUE constraint failed: tags.key"}"#;
    for step in [Step::Silence, json(503, ""), json(400, race), Step::Lost] {
        let retry = RetryPolicy::default().with_attempts(u32::MAX);
        let started = tokio::time::Instant::now();
        let client = mlflow(MlflowAuth::None, step.clone(), retry);
        assert!(client.post("test", "x", &serde_json::json!({}), Repeat::Safe).await.is_err());
        assert!(within(started), "{step:?}: {:?}", started.elapsed());
    }
    let challenge = r#"Bearer authorization="https://login.microsoftonline.com/72f988bf-0000-0000-0000-2d7cd011db47", resource="https://vault.azure.net""#;
    let memory = Memory::steps(vec![with(401, &[("www-authenticate", challenge)], "")]);
    let vault = KeyVault::named("kv-churn", mlops_azure::config::Cloud::Public, Arc::new(Never)).unwrap();
    let vault = vault.transport(memory).build().unwrap();
    let started = tokio::time::Instant::now();
    let error = vault.get(&mlops_core::SecretName::new("a").unwrap()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Timeout && within(started), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_chain_stays_with_the_link_that_had_the_first_token() {
    let clock = clock();
    let (first, second) = (Slow::new(&clock), Slow::new(&clock));
    *first.fails.lock().unwrap() = true;
    let chain = TokenChain::new().or("first", first.clone()).or("second", second.clone());
    assert!(chain.token(&scope()).await.is_ok());
    *first.fails.lock().unwrap() = false;
    assert!(chain.token(&scope()).await.is_ok());
    assert_eq!((chain.chosen(), first.asked(), second.asked()), (Some("second"), 1, 2));
    *second.fails.lock().unwrap() = true;
    let error = chain.token(&scope()).await.unwrap_err();
    assert_eq!((error.context("link"), first.asked()), (Some("second"), 1), "nobody becomes somebody else");
}

const JOB: [(&str, &str); 3] = [
    ("MSI_ENDPOINT", "http://127.0.0.1:46808/MSI/auth"),
    ("MSI_SECRET", CANARY),
    ("DEFAULT_IDENTITY_CLIENT_ID", "01234567-89ab-cdef-0123-456789abcdef"),
];

#[tokio::test(start_paused = true)]
async fn a_job_is_whom_its_compute_says() {
    let answer = format!(
        r#"{{"access_token":"{CANARY}","expires_on":"1798761600","resource":"r","token_type":"Bearer"}}"#
    );
    let memory = Memory::steps(vec![json(500, ""), json(200, &answer)]);
    let identity = JobIdentity::from_variables(&JOB[..], memory.clone()).unwrap();
    let token = identity.token(&scope()).await.unwrap();
    assert_eq!((token.secret.expose(), token.expires_at.timestamp()), (CANARY, 1_798_761_600));
    let seen = memory.seen().remove(1);
    assert_eq!(
        seen.line(),
        "GET /MSI/auth?api-version=2017-09-01&resource=https%3A%2F%2Fml.azure.com&clientid=01234567-89ab-cdef-0123-456789abcdef"
    );
    assert_eq!(seen.header("secret"), Some(CANARY));
    for (step, kind) in [
        (json(400, ""), ErrorKind::Auth),
        (json(200, &format!("{CANARY} is not JSON")), ErrorKind::Protocol),
        (json(200, &format!(r#"{{"access_token":"{CANARY}","expires_on":"soon"}}"#)), ErrorKind::Protocol),
        (json(200, &format!(r#"{{"access_token":["{CANARY}"],"expires_on":1}}"#)), ErrorKind::Protocol),
    ] {
        let identity = JobIdentity::from_variables(&JOB[..], Memory::steps(vec![step.clone()])).unwrap();
        let error = identity.token(&scope()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{step:?}");
        assert!(!shown(&error).contains(CANARY));
    }
}

#[test]
fn what_is_not_a_jobs_environment_says_what_is_missing() {
    let memory = Memory::steps(vec![json(500, "")]);
    let error = JobIdentity::from_variables(&JOB[..1], memory.clone()).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::NotFound, "MSI_SECRET is not set"));
    for (name, bad) in [
        ("MSI_ENDPOINT", "http://10.0.0.1/MSI/auth"),
        ("MSI_ENDPOINT", "http://user:pass@169.254.129.3/MSI/auth"),
        ("MSI_ENDPOINT", "not a URL"),
        ("DEFAULT_IDENTITY_CLIENT_ID", "me"),
    ] {
        let variables: Vec<_> = JOB.iter().map(|(n, v)| (*n, if *n == name { bad } else { *v })).collect();
        let error = JobIdentity::from_variables(&variables[..], memory.clone()).unwrap_err();
        assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some(name)));
    }
}

#[tokio::test]
async fn a_job_s_endpoint_may_be_on_the_link() {
    let variables: Vec<_> = JOB
        .iter()
        .map(|(n, v)| (*n, if *n == "MSI_ENDPOINT" { "http://169.254.129.3:8081/MSI/auth" } else { *v }))
        .collect();
    let memory = Memory::steps(vec![json(200, r#"{"access_token":"t","expires_on":"1798761600"}"#)]);
    let identity = JobIdentity::from_variables(&variables[..], memory.clone()).unwrap();
    assert!(identity.token(&scope()).await.is_ok());
    assert!(memory.seen()[0].header("authorization").is_none());
}

#[cfg(feature = "identity")]
mod identity {
    use mlops_azure::auth::Identity;
    use mlops_azure::config::{Cloud, Endpoints};
    use mlops_core::governance::Secret;

    use super::*;

    const TENANT: &str = "aaaaaaaa-89ab-cdef-0123-456789abcdef";
    const CLIENT: &str = "bbbbbbbb-89ab-cdef-0123-456789abcdef";

    fn endpoints() -> Endpoints {
        Endpoints::of(Cloud::China).unwrap()
    }

    fn principal(memory: &Arc<Memory>) -> Identity {
        Identity::client_secret(&endpoints(), memory.clone(), TENANT, CLIENT, &Secret::new(CANARY)).unwrap()
    }

    #[tokio::test]
    async fn a_service_principal_asks_the_issuer_of_its_cloud_once() {
        let answer = r#"{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"t0"}"#;
        let memory = Memory::steps(vec![json(503, ""), json(200, answer)]);
        let identity = principal(&memory);
        let before = chrono::Utc::now();
        let token = identity.token(&scope()).await.unwrap();
        assert_eq!(token.secret.expose(), "t0");
        let life = (token.expires_at - before).num_seconds();
        assert!((3500..3700).contains(&life), "{life}");
        identity.token(&scope()).await.unwrap();
        let seen = memory.seen();
        assert_eq!(seen.len(), 2, "one that failed, one that did not, and one from the cache");
        assert_eq!(seen[1].url, format!("https://login.chinacloudapi.cn/{TENANT}/oauth2/v2.0/token"));
        let body = String::from_utf8(seen[1].body.clone()).unwrap();
        assert!(
            body.contains(&format!("client_secret={CANARY}"))
                && body.contains("grant_type=client_credentials")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_issuer_says_is_told_without_the_secret() {
        let refused = format!(
            r#"{{"error":"invalid_client","error_codes":[7000215],"error_description":"AADSTS7000215: Invalid client secret {CANARY} provided.\r\nTrace ID: x"}}"#
        );
        for (step, kind) in [
            (json(401, &refused), ErrorKind::Auth),
            (json(200, "<html>"), ErrorKind::Auth),
            (
                json(200, r#"{"token_type":"Bearer","expires_in":9223372036854775807,"access_token":"t"}"#),
                ErrorKind::Auth,
            ),
            (json(200, r#"{"token_type":"Bearer","expires_in":-1,"access_token":"t"}"#), ErrorKind::Auth),
            (json(302, ""), ErrorKind::Auth),
            // That nobody answers is not that nobody may.
            (Step::Lost, ErrorKind::Transport),
            (Step::Unreachable, ErrorKind::Transport),
            (Step::Silence, ErrorKind::Timeout),
            (json(503, &refused), ErrorKind::Transport),
            (json(504, ""), ErrorKind::Timeout),
            (json(429, &refused), ErrorKind::RateLimited),
        ] {
            let error = principal(&Memory::steps(vec![step.clone()])).token(&scope()).await.unwrap_err();
            assert_eq!((error.kind(), error.context("link")), (kind, Some("client secret")), "{step:?}");
            assert_eq!(error.is_retryable(), kind != ErrorKind::Auth, "{step:?}");
            let text = shown(&error);
            assert!(!text.contains(CANARY) && !text.contains('\r') && text.len() < 2000, "{text}");
        }
        let error = principal(&Memory::steps(vec![json(401, &refused)])).token(&scope()).await.unwrap_err();
        assert!(error.message().contains("AADSTS7000215"), "{error}");
    }

    #[tokio::test]
    async fn a_workload_exchanges_the_token_in_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, CANARY).unwrap();
        let memory = Memory::steps(vec![json(
            200,
            r#"{"token_type":"Bearer","expires_in":3599,"access_token":"t1"}"#,
        )]);
        let identity = Identity::workload(&endpoints(), memory.clone(), TENANT, CLIENT, &file).unwrap();
        assert_eq!(identity.token(&scope()).await.unwrap().secret.expose(), "t1");
        let body = String::from_utf8(memory.seen()[0].body.clone()).unwrap();
        assert!(body.contains(&format!("client_assertion={CANARY}")));
        let missing = folder.path().join("missing");
        let error = Identity::workload(&endpoints(), memory, TENANT, CLIENT, missing).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[tokio::test(start_paused = true)]
    async fn the_usual_chain_takes_the_first_that_is_there() {
        let answer = r#"{"token_type":"Bearer","expires_in":3599,"access_token":"t2"}"#;
        let memory = Memory::steps(vec![json(200, answer)]);
        let variables =
            [("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_ID", CLIENT), ("AZURE_CLIENT_SECRET", CANARY)];
        let chain = Identity::chain_from(&variables[..], &endpoints(), memory);
        assert_eq!(chain.token(&scope()).await.unwrap().secret.expose(), "t2");
        assert_eq!(chain.chosen(), Some("environment"));
        assert!(!format!("{chain:?}").contains(CANARY));
        // On Azure Machine Learning's compute the job's own identity comes before that of the machine.
        let answer = r#"{"access_token":"t3","expires_on":"1798761600"}"#;
        let memory = Memory::steps(vec![json(200, answer)]);
        let chain = Identity::chain_from(&JOB[..], &endpoints(), memory);
        assert_eq!(chain.token(&scope()).await.unwrap().secret.expose(), "t3");
        assert_eq!(chain.chosen(), Some("job identity"));
    }

    /// Asks as App Service on Linux has it; the variables are those of a process of its own, started by the test below.
    #[tokio::test]
    #[ignore = "is run by another test, in a process with variables of its own"]
    async fn child_of_app_service() {
        let endpoint = std::env::var("IDENTITY_ENDPOINT").unwrap_or_default();
        let memory = Memory::steps(vec![json(
            200,
            r#"{"access_token":"t4","expires_on":"4102444800","resource":"r","token_type":"Bearer"}"#,
        )]);
        let identity = Identity::managed(memory.clone(), None).unwrap();
        match identity.token(&scope()).await {
            Ok(token) => {
                assert_eq!(token.secret.expose(), "t4");
                let seen = memory.seen().remove(0);
                assert!(seen.url.starts_with(&endpoint) && seen.url.contains("resource="), "{}", seen.url);
                assert_eq!(seen.header("x-identity-header"), Some(CANARY));
                assert!(seen.header("authorization").is_none());
                println!("a token came");
            }
            Err(error) => {
                assert!(memory.seen().is_empty() && !shown(&error).contains(CANARY), "{error:?}");
                println!("nothing was sent");
            }
        }
    }

    #[test]
    fn the_platform_s_endpoint_on_the_link_is_asked_and_no_other_in_clear_text() {
        let ask = |endpoint: &str| {
            let mut child = std::process::Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", "auth::identity::child_of_app_service", "--ignored", "--nocapture"]);
            for name in ["MSI_ENDPOINT", "MSI_SECRET", "IMDS_ENDPOINT", "IDENTITY_SERVER_THUMBPRINT"] {
                child.env_remove(name);
            }
            let output =
                child.env("IDENTITY_ENDPOINT", endpoint).env("IDENTITY_HEADER", CANARY).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{endpoint}: {text}");
            text.contains("a token came")
        };
        for (endpoint, asked) in [
            ("http://169.254.129.3:8081/msi/token", true),
            ("http://169.254.255.2:8081/msi/token", true),
            ("http://127.0.0.1:41741/msi/token", true),
            ("http://localhost:42356/msi/token", true),
            ("http://10.0.0.4:8081/msi/token", false),
            ("http://metadata.example/msi/token", false),
        ] {
            assert_eq!(ask(endpoint), asked, "{endpoint}");
        }
    }

    #[test]
    fn a_certificate_is_said_to_be_none_of_the_ways() {
        let variables = [
            ("AZURE_TENANT_ID", TENANT),
            ("AZURE_CLIENT_ID", CLIENT),
            ("AZURE_CLIENT_CERTIFICATE_PATH", "/etc/sp.pem"),
        ];
        let chain = Identity::chain_from(&variables[..], &endpoints(), Memory::steps(vec![json(400, "")]));
        assert!(format!("{chain:?}").contains("AZURE_CLIENT_CERTIFICATE_PATH is set"), "{chain:?}");
    }

    /// Whether a developer of this machine may be logged in to Azure.
    fn has_developer_tools() -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| ["az", "azd"].iter().any(|tool| folder.join(tool).exists()))
    }

    #[tokio::test]
    async fn a_machine_that_is_nobody_says_so_link_by_link() {
        if has_developer_tools() {
            println!("skipped: az or azd may know who runs this");
            return;
        }
        let nothing: [(&str, &str); 0] = [];
        let memory = Memory::steps(vec![json(400, "")]);
        let chain = Identity::chain_from(&nothing[..], &endpoints(), memory);
        let error = chain.token(&scope()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Auth);
        let source = std::error::Error::source(&error).unwrap().downcast_ref::<NoToken>().unwrap();
        let links: Vec<_> = source.failures.iter().map(|failure| failure.link).collect();
        assert_eq!(
            links,
            ["environment", "workload identity", "job identity", "managed identity", "developer tools"]
        );
        let reason = &source.failures[0].reason;
        assert_eq!(reason, "AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET are not set");
        assert!(source.failures.iter().all(|failure| !failure.reason.is_empty()));
    }
}
