//! A refusal, with all that whoever reads it has to know.

use std::collections::BTreeSet;

use super::{Action, Actor, Denial};
use crate::error::{Error, ErrorKind};
use crate::id::ActorId;

/// Somebody was refused: who, in which roles, what, on what, and why. It is the source of the error that a call fails with.
///
/// ```
/// use mlops_core::governance::{Action, Actor, Denial, Denied};
/// use mlops_core::{ActorId, Error, ErrorKind};
/// let (ann, action) = (ActorId::new("ann")?, Action::EndpointDeploy);
/// let why = Denial::NotAllowed { actor: ann.clone(), action };
/// let error = Error::from(Denied::new(Actor::new(ann, ["trainer"]), action, "endpoint/churn/blue", why));
/// assert_eq!(error.kind(), ErrorKind::Auth);
/// assert_eq!((error.context("action"), error.context("roles")), (Some("endpoint.deploy"), Some("trainer")));
/// assert_eq!(error.context("resource"), Some("endpoint/churn/blue"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{denial}")]
pub struct Denied {
    /// Who.
    pub actor: ActorId,
    /// In which roles.
    pub roles: BTreeSet<String>,
    /// What they wanted to do.
    pub action: Action,
    /// On what: `model/churn:4`.
    pub resource: String,
    /// Why they may not.
    pub denial: Denial,
}

impl Denied {
    /// A refusal.
    pub fn new(actor: Actor, action: Action, resource: impl Into<String>, denial: Denial) -> Self {
        Self { actor: actor.id, roles: actor.roles, action, resource: resource.into(), denial }
    }

    /// The kind of the error: [`ErrorKind::Auth`] where roles do not allow it, [`ErrorKind::Rejected`] where duties do not.
    pub fn kind(&self) -> ErrorKind {
        self.denial.kind()
    }
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        let roles: Vec<&str> = denied.roles.iter().map(String::as_str).collect();
        let roles = if roles.is_empty() { "none".to_owned() } else { roles.join(", ") };
        Self::new(denied.kind(), "Authorizer::authorize", denied.to_string())
            .with("actor", &denied.actor)
            .with("roles", roles)
            .with("action", denied.action)
            .with("resource", &denied.resource)
            .with_source(denied)
    }
}
