//! Role assignments.
//!
//! Source: Azure's type definitions of `Microsoft.Authorization`, version [`VERSION`].

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::arm_scope::{ArmAt, ArmScope};
use super::quiet::{Members, Text};
use super::resource::{Properties, Resource};
use crate::config::name::{check, is_guid};

/// The version of the API of role assignments that is spoken.
pub const VERSION: &str = "2022-04-01";

/// `AzureML Data Scientist`: everything in a workspace but to change the workspace and its computes.
pub const DATA_SCIENTIST: &str = "f6c7c914-8db3-469d-8ca1-694a8f32e121";
/// `Storage Blob Data Contributor`: reads, writes and removes blobs.
pub const BLOB_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
/// `Monitoring Reader`: reads metrics and logs of everything.
pub const MONITORING_READER: &str = "43d0d8ad-25c7-4714-9337-8ba259a9fe05";

open_enum! {
    /// What kind of identity a role is given to. With it, Azure does not look a new identity up in the directory, which knows it only
    /// after a while.
    pub enum PrincipalType {
        /// A person.
        User = "User",
        /// A group.
        Group = "Group",
        /// A service principal or a managed identity.
        ServicePrincipal = "ServicePrincipal",
    }
}

/// That an identity has a role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleAssignment {
    /// The role's Resource Manager id.
    pub role_definition_id: String,
    /// The identity's object id in the directory.
    pub principal_id: String,
    /// What kind of identity it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_type: Option<PrincipalType>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// What it is of; read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl RoleAssignment {
    /// A role, by the GUID of its definition, for an identity, in a scope.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a role or an identity that is no GUID.
    pub fn new(scope: &ArmScope, role: &str, principal: &str, kind: PrincipalType) -> Result<Self> {
        const OP: &str = "RoleAssignment::new";
        check(OP, "role", role, is_guid(role), "must be a GUID")?;
        check(OP, "principal", principal, is_guid(principal), "must be a GUID")?;
        Ok(Self {
            role_definition_id: format!(
                "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{role}",
                scope.subscription()
            ),
            principal_id: principal.to_owned(),
            principal_type: Some(kind),
            description: None,
            scope: None,
            other: Members::new(),
        })
    }

    /// The name that this assignment has in a scope: a GUID that follows from scope, role and identity, in whatever case they are
    /// written, so that the same assignment made twice is one.
    ///
    /// ```
    /// use mlops_azure::wire::arm_scope::ArmScope;
    /// use mlops_azure::wire::role::{DATA_SCIENTIST, PrincipalType, RoleAssignment};
    /// let scope = ArmScope::new("/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg")?;
    /// let principal = "00000000-0000-0000-0000-000000000001";
    /// let role = RoleAssignment::new(&scope, DATA_SCIENTIST, principal, PrincipalType::ServicePrincipal)?;
    /// let shouted = ArmScope::new(&scope.as_str().replace("rg", "RG"))?;
    /// assert_eq!(role.name(&scope), role.name(&shouted));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn name(&self, scope: &ArmScope) -> Uuid {
        let digest = mlops_core::hash::Hasher::new("mlops-azure.role-assignment/v1")
            .field(scope.as_str().to_ascii_lowercase())
            .field(self.role_definition_id.to_ascii_lowercase())
            .field(self.principal_id.to_ascii_lowercase())
            .finish();
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// The GUID of the role's definition.
    pub fn role(&self) -> &str {
        self.role_definition_id.rsplit('/').next().unwrap_or_default()
    }
}

impl Properties for RoleAssignment {
    const READ_ONLY: &'static [&'static str] = &["scope", "createdBy", "createdOn", "updatedBy", "updatedOn"];
}

/// An assignment in a scope, by its name, which is a GUID.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a name that is no GUID.
pub fn assignment(scope: &ArmScope, name: &str) -> Result<ArmAt<Resource<RoleAssignment>>> {
    if !is_guid(name) {
        return Err(Error::invalid("role::assignment", "name", "must be a GUID").with("value", name));
    }
    scope.at(&["providers", "Microsoft.Authorization", "roleAssignments", name], VERSION)
}
