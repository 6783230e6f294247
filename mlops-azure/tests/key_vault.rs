//! Key Vault as a store of secrets, held against a vault in memory that answers as the service does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mlops_azure::auth::{AccessToken, FixedToken, Scope, TokenSource};
use mlops_azure::config::Cloud;
use mlops_azure::fake::FakeKeyVault;
use mlops_azure::governance::{KeyVault, KeyVaultBuilder};
use mlops_core::conformance::secret::SecretsUnderTest;
use mlops_core::governance::{Secret, SecretStore as _};
use mlops_core::{ErrorKind, Result, SecretName};

const TOKEN: &str = "token-canary-8c1d";

fn tokens() -> Arc<FixedToken> {
    Arc::new(FixedToken::new(AccessToken::new(TOKEN, "2100-01-01T00:00:00Z".parse().unwrap())))
}

fn builder(fake: &Arc<FakeKeyVault>) -> KeyVaultBuilder {
    let vault = KeyVault::named("kv-churn", Cloud::Public, tokens()).unwrap();
    vault.transport(fake.clone()).interval(Duration::from_millis(1)).patience(Duration::from_secs(5))
}

fn vault(fake: &Arc<FakeKeyVault>) -> KeyVault {
    builder(fake).build().unwrap()
}

fn fresh(fake: FakeKeyVault) -> SecretsUnderTest {
    SecretsUnderTest::new(Arc::new(vault(&Arc::new(fake))))
}

fn fake() -> FakeKeyVault {
    FakeKeyVault::new("kv-churn", TOKEN)
}

fn name(text: &str) -> SecretName {
    SecretName::new(text).unwrap()
}

mlops_core::secret_store_suite!(quick, fresh(fake()));
mlops_core::secret_store_suite!(slow, fresh(fake().slow(3)));

#[tokio::test]
async fn the_challenge_is_asked_for_once_and_without_a_body() {
    let fake = Arc::new(fake());
    let vault = vault(&fake);
    vault.set(&name("a"), &Secret::new("1")).await.unwrap();
    vault.clone().get(&name("a")).await.unwrap();
    vault.names().await.unwrap();
    assert_eq!(fake.requests(), ["GET /secrets", "PUT /secrets/a", "GET /secrets/a", "GET /secrets"]);
}

/// Counts what it is asked for.
#[derive(Debug)]
struct Counting {
    asked: AtomicUsize,
    tokens: Arc<FixedToken>,
}

#[async_trait]
impl TokenSource for Counting {
    async fn token(&self, scope: &Scope) -> Result<AccessToken> {
        assert_eq!(scope.as_str(), "https://vault.azure.net/.default");
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.tokens.token(scope).await
    }

    async fn refuse(&self, _: &Scope, _: &AccessToken) {}
}

#[tokio::test]
async fn a_vault_that_wants_another_services_token_gets_none() {
    for resource in
        ["https://management.azure.com", "https://vault.azure.net.evil.example", "http://vault.azure.net", ""]
    {
        let fake = Arc::new(fake().asking_for(resource));
        let counting = Arc::new(Counting { asked: AtomicUsize::new(0), tokens: tokens() });
        let vault = KeyVault::named("kv-churn", Cloud::Public, counting.clone()).unwrap();
        let vault = vault.transport(fake.clone()).build().unwrap();
        let error = vault.set(&name("a"), &Secret::new("hunter2")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{resource}: {error}");
        assert_eq!(counting.asked.load(Ordering::SeqCst), 0, "{resource}");
        assert_eq!(fake.requests(), ["GET /secrets"], "{resource}");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_told_with_the_vaults_tenant_and_does_not_print() {
    let fake = Arc::new(FakeKeyVault::new("kv-churn", "another token"));
    let error = vault(&fake).get(&name("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert_eq!(error.context("vault_tenant"), Some("00000000-0000-0000-0000-000000000001"));
    assert!(!format!("{error} {error:?}").contains(TOKEN));
    // A new token is asked for once, and no value was sent for nothing but the two refused reads.
    assert_eq!(fake.requests(), ["GET /secrets", "GET /secrets/a", "GET /secrets/a"]);
}

#[tokio::test]
async fn a_name_that_a_deleted_secret_has_is_recovered_and_keeps_its_history() {
    let fake = Arc::new(fake().slow(2));
    let vault = vault(&fake);
    vault.set(&name("a"), &Secret::new("old")).await.unwrap();
    vault.remove(&name("a")).await.unwrap();
    assert_eq!(vault.get(&name("a")).await.unwrap_err().kind(), ErrorKind::NotFound);
    vault.set(&name("a"), &Secret::new("new")).await.unwrap();
    assert_eq!(vault.get(&name("a")).await.unwrap().expose(), "new");
    assert_eq!(fake.versions("a"), 2);
    assert_eq!(fake.requests().iter().filter(|line| line.ends_with("/recover")).count(), 1);
}

#[tokio::test]
async fn what_was_removed_can_be_brought_back() {
    let fake = Arc::new(fake().slow(1));
    let vault = vault(&fake);
    assert_eq!(vault.recover(&name("a")).await.unwrap_err().kind(), ErrorKind::NotFound);
    vault.set(&name("a"), &Secret::new("hunter2")).await.unwrap();
    vault.remove(&name("a")).await.unwrap();
    let mut tries = 0;
    while vault.recover(&name("a")).await.is_err() {
        tries += 1;
        assert!(tries < 1_000, "it is never there again");
    }
    assert_eq!(vault.get(&name("a")).await.unwrap().expose(), "hunter2");
}

#[tokio::test]
async fn a_name_that_stays_taken_ends_in_a_timeout() {
    let fake = Arc::new(fake().slow(u32::MAX));
    let vault = builder(&fake).patience(Duration::from_millis(20)).build().unwrap();
    vault.set(&name("a"), &Secret::new("1")).await.unwrap();
    vault.remove(&name("a")).await.unwrap();
    let error = vault.set(&name("a"), &Secret::new("hunter2")).await.unwrap_err();
    assert_eq!((error.kind(), error.context("secret")), (ErrorKind::Timeout, Some("a")));
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_busy_vault_is_asked_again() {
    let fake = Arc::new(fake().busy(3));
    let vault = vault(&fake);
    vault.set(&name("a"), &Secret::new("1")).await.unwrap();
    assert_eq!((fake.versions("a"), fake.requests().len()), (1, 5));
}

#[tokio::test]
async fn names_are_one_without_case_as_the_service_has_it() {
    let fake = Arc::new(fake());
    let vault = vault(&fake);
    vault.set(&name("Token"), &Secret::new("1")).await.unwrap();
    vault.set(&name("token"), &Secret::new("2")).await.unwrap();
    assert_eq!(vault.get(&name("TOKEN")).await.unwrap().expose(), "2");
    assert_eq!(vault.names().await.unwrap().len(), 1);
}
