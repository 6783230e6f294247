//! Who may do what: role assignments.
//!
//! # Versions, permissions, and what is eventually consistent
//! `Microsoft.Authorization`, version [`VERSION`](crate::wire::role::VERSION). To assign takes
//! `Microsoft.Authorization/roleAssignments/write` (roles `Owner`, `User Access Administrator`, `Role Based Access Control
//! Administrator`). An identity that was just made is not yet known everywhere: it is waited for. A role that was just given is not yet
//! known everywhere either: calls that depend on it may be refused for some minutes; see [`Call::settling`](crate::http::Call::settling).
//!
//! # What Azure has that core has not
//! Roles of identities in scopes, enforced by Azure itself. Core's roles ([`RoleAuthorizer`](mlops_core::governance::RoleAuthorizer)) say what an
//! actor may do with backends that are wrapped in them, and know no scopes; nothing here stands behind a trait of core.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use mlops_core::{Error, ErrorKind, Result};
use tokio::time::Instant;

use crate::config::name::{check, is_guid};
use crate::error::ServiceError;
use crate::http::Service;
use crate::wire::role::{self, PrincipalType, RoleAssignment};
use crate::wire::{ArmScope, Resource};

/// Whether a role was given or had been before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// It is given now, or was by this name already.
    Now,
    /// It was given before, by another name.
    Before,
}

/// Role assignments, over a client of Resource Manager.
#[derive(Clone, Debug)]
pub struct Roles {
    service: Service,
    patience: Duration,
    interval: Duration,
}

impl Roles {
    /// Role assignments over a client.
    pub fn new(service: Service) -> Self {
        Self { service, patience: Duration::from_secs(120), interval: Duration::from_secs(5) }
    }

    /// How long an identity is waited for that is not yet known; two minutes where nothing is set.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long is waited between two tries; five seconds where nothing is set.
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Gives a role, by the GUID of its definition, to an identity, by its object id, in a scope. Given twice it is given once: the name
    /// of the assignment follows from the three.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a role or an identity that is no GUID; that of the service when the identity is still not known
    /// after the patience; [`ErrorKind::Auth`] without the permission.
    pub async fn grant(
        &self,
        scope: &ArmScope,
        role: &str,
        principal: &str,
        kind: PrincipalType,
    ) -> Result<Granted> {
        const OP: &str = "Roles::grant";
        let assignment = RoleAssignment::new(scope, role, principal, kind)?;
        let at = role::assignment(scope, &assignment.name(scope).to_string())?;
        let body = Resource::new(assignment);
        let started = Instant::now();
        loop {
            let error = match self.service.call(at.put(OP, &body)?).await {
                Ok(_) => return Ok(Granted::Now),
                Err(error) => error,
            };
            let said = |code| ServiceError::of(&error).is_some_and(|said| said.has(code));
            if said("RoleAssignmentExists") {
                return Ok(Granted::Before);
            }
            let left = self.patience.saturating_sub(started.elapsed());
            if !said("PrincipalNotFound") || left <= self.interval {
                return Err(error.with("principal", principal));
            }
            tokio::time::sleep(self.interval).await;
        }
    }

    /// The roles of an identity in a scope, and in those above it that reach down.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an identity that is no GUID; those of [`Service::call`].
    pub async fn of_principal(
        &self,
        scope: &ArmScope,
        principal: &str,
    ) -> Result<Vec<Resource<RoleAssignment>>> {
        const OP: &str = "Roles::of_principal";
        check(OP, "principal", principal, is_guid(principal), "must be a GUID")?;
        let any = role::assignment(scope, principal)?;
        let call = any.list(OP).query("$filter", format!("principalId eq '{principal}'"));
        self.service.items(call).try_collect().await
    }

    /// Takes an assignment back, by its role and identity; what is not there is taken back. One that was given by another name is
    /// looked for.
    ///
    /// # Errors
    /// As of [`grant`](Self::grant).
    pub async fn revoke(&self, scope: &ArmScope, role: &str, principal: &str) -> Result<()> {
        const OP: &str = "Roles::revoke";
        check(OP, "role", role, is_guid(role), "must be a GUID")?;
        for found in self.of_principal(scope, principal).await? {
            let here =
                found.properties.scope.as_deref().is_none_or(|of| of.eq_ignore_ascii_case(scope.as_str()));
            if !here || !found.properties.role().eq_ignore_ascii_case(role) {
                continue;
            }
            let missing = || Error::new(ErrorKind::Protocol, OP, "an assignment has no name");
            let name = found.name.as_deref().ok_or_else(missing)?;
            match self.service.call(role::assignment(scope, name)?.delete(OP)).await {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
