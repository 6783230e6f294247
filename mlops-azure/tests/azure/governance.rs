//! Roles, tags and workspaces.

use std::time::Duration;

use mlops_azure::fake::{FakeAzure, FakeGovernance};
use mlops_azure::governance::{Granted, ResourceTags, Roles, Workspaces};
use mlops_azure::wire::role::{self, BLOB_CONTRIBUTOR, DATA_SCIENTIST, PrincipalType, RoleAssignment};
use mlops_azure::wire::{ArmScope, Resource, TextMap};
use mlops_core::ErrorKind;

use crate::judged;

const PRINCIPAL: &str = "00000000-0000-0000-0000-0000000000aa";
const SERVICE: PrincipalType = PrincipalType::ServicePrincipal;

fn roles(azure: &FakeAzure) -> Roles {
    Roles::new(azure.arm()).with_interval(Duration::from_millis(1))
}

#[tokio::test]
async fn a_role_is_given_once_and_taken_back() {
    let azure = judged();
    FakeGovernance::of(&azure);
    let (roles, scope) = (roles(&azure), ArmScope::of_workspace(&azure.workspace()));
    for _ in 0..2 {
        assert_eq!(roles.grant(&scope, DATA_SCIENTIST, PRINCIPAL, SERVICE).await.unwrap(), Granted::Now);
    }
    assert_eq!(azure.count(), 2, "one request each");
    roles.grant(&scope, BLOB_CONTRIBUTOR, PRINCIPAL, SERVICE).await.unwrap();
    let given = roles.of_principal(&scope, PRINCIPAL).await.unwrap();
    assert_eq!(given.len(), 2);
    assert!(roles.of_principal(&scope, "00000000-0000-0000-0000-0000000000bb").await.unwrap().is_empty());
    for _ in 0..2 {
        roles.revoke(&scope, DATA_SCIENTIST, PRINCIPAL).await.unwrap();
    }
    let left = roles.of_principal(&scope, PRINCIPAL).await.unwrap();
    assert_eq!(left.iter().map(|given| given.properties.role()).collect::<Vec<_>>(), [BLOB_CONTRIBUTOR]);
    assert_eq!(azure.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn a_role_that_somebody_gave_by_another_name_is_there() {
    let azure = judged();
    FakeGovernance::of(&azure);
    let scope = ArmScope::of_group(&azure.workspace());
    let by_hand = RoleAssignment::new(&scope, DATA_SCIENTIST, PRINCIPAL, SERVICE).unwrap();
    let at = role::assignment(&scope, "00000000-0000-0000-0000-00000000beef").unwrap();
    azure.arm().call(at.put("test", &Resource::new(by_hand)).unwrap()).await.unwrap();
    let granted = roles(&azure).grant(&scope, DATA_SCIENTIST, PRINCIPAL, SERVICE).await.unwrap();
    assert_eq!(granted, Granted::Before);
    roles(&azure).revoke(&scope, DATA_SCIENTIST, PRINCIPAL).await.unwrap();
    assert!(roles(&azure).of_principal(&scope, PRINCIPAL).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_identity_that_was_just_made_is_waited_for() {
    let azure = judged();
    let governance = FakeGovernance::of(&azure);
    let scope = ArmScope::of_workspace(&azure.workspace());
    governance.new_principal(PRINCIPAL, 3);
    assert_eq!(roles(&azure).grant(&scope, DATA_SCIENTIST, PRINCIPAL, SERVICE).await.unwrap(), Granted::Now);
    assert_eq!(azure.count(), 4);
    governance.new_principal(PRINCIPAL, u32::MAX);
    let hasty = roles(&azure).with_patience(Duration::from_millis(5));
    let error = hasty.grant(&scope, BLOB_CONTRIBUTOR, PRINCIPAL, SERVICE).await.unwrap_err();
    assert_eq!(
        (error.context("code"), error.context("principal")),
        (Some("PrincipalNotFound"), Some(PRINCIPAL))
    );
    for (role, principal) in [("Owner", PRINCIPAL), (DATA_SCIENTIST, "ann")] {
        let error = hasty.grant(&scope, role, principal, SERVICE).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

fn tags<const N: usize>(pairs: [(&str, &str); N]) -> TextMap {
    TextMap::from_iter(pairs)
}

#[tokio::test]
async fn tags_are_merged_replaced_and_removed() {
    let azure = judged();
    FakeGovernance::of(&azure);
    azure.faults().slow_operations(2);
    let (client, scope) = (ResourceTags::new(azure.arm()), ArmScope::of_workspace(&azure.workspace()));
    client.merge(&scope, tags([("environment", "dev"), ("owner", "ann")])).await.unwrap();
    client.merge(&scope, tags([("Environment", "prod")])).await.unwrap();
    assert_eq!(client.get(&scope).await.unwrap(), tags([("Environment", "prod"), ("owner", "ann")]));
    client.delete(&scope, tags([("owner", "bob"), ("environment", "prod")])).await.unwrap();
    assert_eq!(client.get(&scope).await.unwrap(), tags([("owner", "ann")]), "with another value it stays");
    client.replace(&scope, tags([("project", "churn")])).await.unwrap();
    assert_eq!(client.get(&scope).await.unwrap(), tags([("project", "churn")]));

    azure.forget_requests();
    for bad in [tags([("a/b", "x")]), tags([("", "x")]), tags([("a", &"x".repeat(257))])] {
        assert_eq!(client.merge(&scope, bad).await.unwrap_err().context("field"), Some("tags"));
    }
    let many = (0..51).map(|n| (n.to_string(), "x")).collect();
    assert_eq!(client.merge(&scope, many).await.unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert_eq!(azure.count(), 0);
}

#[tokio::test]
async fn a_workspace_is_read_and_diagnosed() {
    let azure = judged();
    let governance = FakeGovernance::of(&azure);
    let client = Workspaces::new(azure.arm(), azure.place());
    let workspace = client.get().await.unwrap();
    assert_eq!(workspace.location.as_deref(), Some("eastus"));
    assert!(workspace.properties.key_vault.unwrap().ends_with("/vaults/kv-fake"));
    assert!(!client.diagnose().await.unwrap().has_errors());
    governance.finds("keyVault", "AccessDenied", "Error", "The workspace cannot read its vault.");
    azure.faults().slow_operations(2);
    azure.forget_requests();
    let report = client.diagnose().await.unwrap();
    let found: Vec<_> = report.findings().map(|(what, found)| (what, found.code.as_str())).collect();
    assert_eq!((report.has_errors(), found), (true, vec![("keyVault", "AccessDenied")]));
    assert_eq!(azure.requests()[0].split('?').next().unwrap().rsplit('/').next(), Some("diagnose"));
}
