//! Who may: roles first, then the separation of duties. What is not allowed is denied.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::role::{Action, Roles};
use super::{Approval, ApprovalDecision, AuditRecord};
use crate::error::{Error, ErrorKind};
use crate::hash::Digest;
use crate::id::ActorId;

/// Who asks, and in which roles.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Who.
    pub id: ActorId,
    /// The names of the roles.
    pub roles: BTreeSet<String>,
}

impl Actor {
    /// Somebody with roles.
    pub fn new<S: Into<String>>(id: ActorId, roles: impl IntoIterator<Item = S>) -> Self {
        Self { id, roles: roles.into_iter().map(Into::into).collect() }
    }
}

/// What somebody wants to do.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRequest {
    /// Who.
    pub actor: Actor,
    /// What.
    pub action: Action,
    /// The digest of the model it is about; separation of duties is decided by it.
    pub subject: Option<Digest>,
}

impl AccessRequest {
    /// A request that is about no model.
    pub fn new(actor: Actor, action: Action) -> Self {
        Self { actor, action, subject: None }
    }

    /// Says which model it is about, by the digest of its content.
    #[must_use]
    pub fn about(mut self, subject: Digest) -> Self {
        self.subject = Some(subject);
        self
    }
}

/// A duty that one person alone should not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// Made the model.
    Train,
    /// Said yes to it.
    Approve,
    /// Brought it to users.
    Deploy,
}

impl Duty {
    /// The duty that an action is part of.
    ///
    /// ```
    /// use mlops_core::governance::{Action, Duty};
    /// assert_eq!(Duty::of(Action::EndpointTraffic), Some(Duty::Deploy));
    /// assert_eq!(Duty::of(Action::Read), None);
    /// ```
    pub const fn of(action: Action) -> Option<Self> {
        match action {
            Action::RunStart | Action::ModelRegister => Some(Self::Train),
            Action::ApprovalDecide => Some(Self::Approve),
            Action::ModelAlias | Action::ModelPromote | Action::EndpointDeploy | Action::EndpointTraffic => {
                Some(Self::Deploy)
            }
            _ => None,
        }
    }

    const fn before(self) -> &'static [Self] {
        match self {
            Self::Train => &[],
            Self::Approve => &[Self::Train],
            Self::Deploy => &[Self::Train, Self::Approve],
        }
    }
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Approve => "approve",
            Self::Deploy => "deploy",
        })
    }
}

/// Who had which duty for which model, as the audit log and approvals say.
///
/// ```
/// use mlops_core::ActorId;
/// use mlops_core::governance::{AuditEntry, AuditRecord, Duty, DutyLog};
/// use mlops_core::hash::Digest;
/// let (model, trainer) = (Digest::of(b"model"), ActorId::new("trainer")?);
/// let entry = AuditEntry::new(trainer.clone(), "model.register.end", "model/churn").with_digest(model).with_detail("done");
/// let record = AuditRecord::chain(None, entry, "2026-01-01T00:00:00Z".parse()?)?;
/// let duties = DutyLog::new().with_records([&record]);
/// assert_eq!(duties.who(&model, Duty::Train).collect::<Vec<_>>(), [&trainer]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DutyLog {
    by: BTreeMap<Digest, BTreeMap<Duty, BTreeSet<ActorId>>>,
    aliases: BTreeMap<Digest, Digest>,
}

impl DutyLog {
    /// Nothing known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that whatever is about `of` (a gate's decision, a plan) is about the model `model`.
    #[must_use]
    pub fn with_subject(mut self, of: Digest, model: Digest) -> Self {
        self.aliases.insert(of, model);
        self
    }

    /// Adds what records of the audit log say: those of an action with a duty and with a digest. Of actions recorded in two
    /// halves (`.begin`, `.end`) both count, also where the second says that it failed: who tried to is not a stranger.
    #[must_use]
    pub fn with_records<'a>(mut self, records: impl IntoIterator<Item = &'a AuditRecord>) -> Self {
        for AuditRecord { entry, .. } in records {
            let name = entry.action.strip_suffix(".begin").or_else(|| entry.action.strip_suffix(".end"));
            let action = name.unwrap_or(&entry.action).parse::<Action>().ok();
            if let (Some(duty), Some(digest)) = (action.and_then(Duty::of), entry.digest) {
                self.add(digest, duty, &entry.actor);
            }
        }
        self
    }

    /// Adds who approved; a no and an open request are no approval.
    #[must_use]
    pub fn with_approvals<'a>(mut self, approvals: impl IntoIterator<Item = &'a Approval>) -> Self {
        let yes = |a: &&Approval| a.decision == ApprovalDecision::Approved && a.approver != a.requester;
        for approval in approvals.into_iter().filter(yes) {
            self.add(approval.subject, Duty::Approve, &approval.approver);
        }
        self
    }

    /// Adds somebody who is known otherwise.
    #[must_use]
    pub fn with(mut self, subject: Digest, duty: Duty, actor: &ActorId) -> Self {
        self.add(subject, duty, actor);
        self
    }

    fn add(&mut self, subject: Digest, duty: Duty, actor: &ActorId) {
        self.by.entry(subject).or_default().entry(duty).or_default().insert(actor.clone());
    }

    /// Who had a duty for a model, alphabetically.
    pub fn who(&self, model: &Digest, duty: Duty) -> impl Iterator<Item = &ActorId> {
        let others = self.aliases.iter().filter(|(_, of)| *of == model).map(|(digest, _)| digest);
        let subjects: Vec<&Digest> = std::iter::once(model).chain(others).collect();
        let found = subjects.into_iter().filter_map(|subject| self.by.get(subject)?.get(&duty)).flatten();
        found.collect::<BTreeSet<_>>().into_iter()
    }
}

/// Why somebody may not.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// Has no role at all.
    #[error("`{actor}` has no role")]
    NoRole {
        /// Who.
        actor: ActorId,
    },
    /// Has a role that nobody defined.
    #[error("`{actor}` has the role `{role}`, which is not known")]
    UnknownRole {
        /// Who.
        actor: ActorId,
        /// The role.
        role: String,
    },
    /// None of the roles allows it.
    #[error("none of the roles of `{actor}` allows {action}")]
    NotAllowed {
        /// Who.
        actor: ActorId,
        /// What.
        action: Action,
    },
    /// Had another duty for the same model.
    #[error("`{actor}` may not {duty} what they had the duty to {earlier}")]
    SameActor {
        /// Who.
        actor: ActorId,
        /// The duty asked for.
        duty: Duty,
        /// The duty had.
        earlier: Duty,
    },
    /// The request does not say which model it is about, so the duties cannot be told apart.
    #[error("`{actor}` may not {duty} without saying which model")]
    NoSubject {
        /// Who.
        actor: ActorId,
        /// The duty asked for.
        duty: Duty,
    },
    /// Nobody is known to have had a duty that has to come before: that they are different people cannot be shown.
    #[error("`{actor}` may not {duty}: nobody is known to have had the duty to {missing}")]
    Unproven {
        /// Who.
        actor: ActorId,
        /// The duty asked for.
        duty: Duty,
        /// The duty nobody is known to have had.
        missing: Duty,
    },
}

impl Denial {
    /// The kind of error it is: [`ErrorKind::Auth`] where roles do not allow it, [`ErrorKind::Rejected`] where duties do not.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NoRole { .. } | Self::UnknownRole { .. } | Self::NotAllowed { .. } => ErrorKind::Auth,
            _ => ErrorKind::Rejected,
        }
    }
}

impl From<Denial> for Error {
    fn from(denial: Denial) -> Self {
        Self::new(denial.kind(), "Authorizer::authorize", denial.to_string()).with_source(denial)
    }
}

/// Says who may do what.
///
/// # Contract
/// * It is a pure decision: the same request gives the same answer as long as the authorizer is the same.
/// * What is not allowed is denied, with the reason.
pub trait Authorizer: fmt::Debug + Send + Sync + 'static {
    /// Nothing, if the actor may.
    ///
    /// # Errors
    /// The [`Denial`] with the reason.
    fn authorize(&self, request: &AccessRequest) -> Result<(), Denial>;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        impl<T: Authorizer + ?Sized> Authorizer for $pointer<T> {
            fn authorize(&self, request: &AccessRequest) -> Result<(), Denial> {
                (**self).authorize(request)
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn Authorizer) {}

/// Decides by roles: at least one role of the actor has to allow the action. An unknown role denies, also beside one that allows:
/// a misspelt name is to be noticed.
///
/// ```
/// use mlops_core::ActorId;
/// use mlops_core::governance::{AccessRequest, Action, Actor, Authorizer, RoleAuthorizer, Roles};
/// let authorizer = RoleAuthorizer::new(Roles::duties());
/// let trainer = Actor::new(ActorId::new("ann")?, ["trainer"]);
/// assert!(authorizer.authorize(&AccessRequest::new(trainer.clone(), Action::ModelRegister)).is_ok());
/// let denial = authorizer.authorize(&AccessRequest::new(trainer, Action::EndpointDeploy)).unwrap_err();
/// assert_eq!(denial.to_string(), "none of the roles of `ann` allows endpoint.deploy");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleAuthorizer {
    roles: Roles,
}

impl RoleAuthorizer {
    /// By these roles.
    pub fn new(roles: Roles) -> Self {
        Self { roles }
    }
}

impl Authorizer for RoleAuthorizer {
    fn authorize(&self, request: &AccessRequest) -> Result<(), Denial> {
        let Actor { id, roles } = &request.actor;
        let actor = || id.clone();
        if roles.is_empty() {
            return Err(Denial::NoRole { actor: actor() });
        }
        if let Some(role) = roles.iter().find(|role| self.roles.get(role).is_none()) {
            return Err(Denial::UnknownRole { actor: actor(), role: role.clone() });
        }
        let allows = |role: &String| self.roles.get(role).is_some_and(|role| role.allows(request.action));
        match roles.iter().any(allows) {
            true => Ok(()),
            false => Err(Denial::NotAllowed { actor: actor(), action: request.action }),
        }
    }
}

/// Decides by roles and then by duties: who trained a model does not approve it, and who trained or approved it does not deploy
/// it; nor the other way round. To approve, somebody has to be known to have trained; to deploy, also to have approved.
///
/// ```
/// use mlops_core::ActorId;
/// use mlops_core::governance::{
///     AccessRequest, Action, Actor, Authorizer, Denial, Duty, DutyLog, Roles, SeparationOfDuties,
/// };
/// use mlops_core::hash::Digest;
/// let (model, ann) = (Digest::of(b"model"), ActorId::new("ann")?);
/// let duties = DutyLog::new().with(model, Duty::Train, &ann);
/// let authorizer = SeparationOfDuties::new(Roles::duties(), duties);
/// let approve = |who: &str| {
///     let actor = Actor::new(ActorId::new(who)?, ["trainer", "approver"]);
///     Ok::<_, mlops_core::Error>(authorizer.authorize(&AccessRequest::new(actor, Action::ApprovalDecide).about(model)))
/// };
/// assert!(approve("ben")?.is_ok());
/// assert_eq!(approve("ann")?, Err(Denial::SameActor { actor: ann, duty: Duty::Approve, earlier: Duty::Train }));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeparationOfDuties {
    roles: RoleAuthorizer,
    duties: DutyLog,
}

impl SeparationOfDuties {
    /// By these roles, and by who had which duty so far.
    pub fn new(roles: Roles, duties: DutyLog) -> Self {
        Self { roles: RoleAuthorizer::new(roles), duties }
    }

    fn separate(&self, actor: &ActorId, duty: Duty, model: &Digest) -> Result<(), Denial> {
        for other in [Duty::Train, Duty::Approve, Duty::Deploy] {
            if other != duty && self.duties.who(model, other).any(|who| who == actor) {
                return Err(Denial::SameActor { actor: actor.clone(), duty, earlier: other });
            }
        }
        match duty.before().iter().find(|before| self.duties.who(model, **before).next().is_none()) {
            Some(missing) => Err(Denial::Unproven { actor: actor.clone(), duty, missing: *missing }),
            None => Ok(()),
        }
    }
}

impl Authorizer for SeparationOfDuties {
    fn authorize(&self, request: &AccessRequest) -> Result<(), Denial> {
        self.roles.authorize(request)?;
        let actor = &request.actor.id;
        match (Duty::of(request.action), &request.subject) {
            (None, _) => Ok(()),
            // What is trained has no digest before it is there.
            (Some(Duty::Train), None) => Ok(()),
            (Some(duty), None) => Err(Denial::NoSubject { actor: actor.clone(), duty }),
            (Some(duty), Some(model)) => self.separate(actor, duty, model),
        }
    }
}
