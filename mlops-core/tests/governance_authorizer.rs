//! Who may do what: roles deny by default, and nobody has two duties for one model.

use mlops_core::governance::{
    AccessRequest, Action, Actor, Approval, ApprovalDecision, ApprovalRequest, AuditEntry, AuditRecord,
    Authorizer, Denial, Duty, DutyLog, Role, RoleAuthorizer, Roles, SeparationOfDuties,
};
use mlops_core::hash::Digest;
use mlops_core::time::Timestamp;
use mlops_core::{ActorId, Error, ErrorKind};

fn now() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

fn id(name: &str) -> ActorId {
    ActorId::new(name).unwrap()
}

fn actor(name: &str, roles: &[&str]) -> Actor {
    Actor::new(id(name), roles.iter().copied())
}

#[test]
fn nothing_is_allowed_that_no_role_allows() {
    let authorizer = RoleAuthorizer::new(Roles::new());
    for action in Action::ALL {
        let ask = |roles: &[&str]| authorizer.authorize(&AccessRequest::new(actor("a", roles), action));
        assert_eq!(ask(&[]), Err(Denial::NoRole { actor: id("a") }));
        let unknown = Denial::UnknownRole { actor: id("a"), role: "trainer".to_owned() };
        assert_eq!(ask(&["trainer"]), Err(unknown));
    }
    // A known role that allows does not make up for one that nobody defined.
    let authorizer = RoleAuthorizer::new(Roles::duties());
    let request = AccessRequest::new(actor("a", &["trainer", "trianer"]), Action::ModelRegister);
    assert!(
        matches!(authorizer.authorize(&request), Err(Denial::UnknownRole { role, .. }) if role == "trianer")
    );
}

#[test]
fn azures_built_in_roles_allow_what_they_allow_on_azure() {
    let roles = Roles::azure_ml();
    let allowed = |role: &str| -> Vec<Action> {
        let role = roles.get(role).unwrap();
        Action::ALL.into_iter().filter(|action| role.allows(*action)).collect()
    };
    // Azure Machine Learning knows neither approvals nor journals; content and secrets are of other services.
    let unknown = [
        Action::ApprovalDecide,
        Action::ArtifactPut,
        Action::ArtifactCollect,
        Action::JournalWrite,
        Action::SecretRead,
        Action::SecretWrite,
    ];
    let everything: Vec<Action> = Action::ALL.into_iter().filter(|a| !unknown.contains(a)).collect();
    assert_eq!(allowed("Owner"), everything);
    assert_eq!(allowed("Contributor"), everything);
    assert_eq!(allowed("Reader"), [Action::Read]);
    assert_eq!(allowed("AzureML Compute Operator"), [Action::ComputeCreate]);
    let scientist: Vec<Action> = everything.iter().copied().filter(|a| *a != Action::ComputeCreate).collect();
    assert_eq!(allowed("AzureML Data Scientist"), scientist);
}

#[test]
fn patterns_match_whole_texts_and_a_hostile_one_ends() {
    let allows = |pattern: &str, action| Role::new([pattern]).allows(action);
    assert!(
        allows("*", Action::Read) && allows("MODEL.*", Action::ModelTag) && allows("*.tag", Action::ModelTag)
    );
    assert!(allows("m*l.t*g", Action::ModelTag) && allows("model.tag***", Action::ModelTag));
    for pattern in ["", "model", "model.ta", "model.tagg", "odel.tag", "*.ta", "**x"] {
        assert!(!allows(pattern, Action::ModelTag), "{pattern:?}");
    }
    assert!(!allows(&"*a".repeat(20_000), Action::ModelTag));
}

#[test]
fn the_three_roles_share_no_duty() {
    let roles = Roles::duties();
    for (name, duty) in [("trainer", Duty::Train), ("approver", Duty::Approve), ("deployer", Duty::Deploy)] {
        let role = roles.get(name).unwrap();
        let had: Vec<Duty> =
            Action::ALL.into_iter().filter(|a| role.allows(*a)).filter_map(Duty::of).collect();
        assert!(!had.is_empty() && had.iter().all(|d| *d == duty), "{name}: {had:?}");
    }
}

fn record(who: &str, action: &str, digest: Option<Digest>) -> AuditRecord {
    let entry = AuditEntry::new(id(who), action, "model/churn");
    let entry = match digest {
        Some(digest) => entry.with_digest(digest),
        None => entry,
    };
    AuditRecord::chain(None, entry, now()).unwrap()
}

fn approval(subject: Digest, approver: &str, decision: ApprovalDecision) -> Approval {
    let request =
        ApprovalRequest::new(subject, "Promote?", id("ann"), "2026-03-02T00:00:00Z".parse().unwrap());
    Approval::answer(&request, decision, id(approver), "", now())
}

#[test]
fn trainer_approver_and_deployer_are_three_people() {
    let (model, gate, other) = (Digest::of(b"model"), Digest::of(b"gate"), Digest::of(b"other"));
    let records = [
        record("ann", "model.register.begin", Some(model)),
        record("ann", "model.register.end", Some(model)),
        record("eve", "model.register", None),
        record("eve", "endpoint.invoke", Some(model)),
        record("eve", "no.such.action", Some(model)),
    ];
    let duties = DutyLog::new().with_subject(gate, model).with_records(&records);
    let all = ["trainer", "approver", "deployer"];
    let ask = |duties: &DutyLog, who: &str, action| {
        let authorizer = SeparationOfDuties::new(Roles::duties(), duties.clone());
        authorizer.authorize(&AccessRequest::new(actor(who, &all), action).about(model))
    };
    let same = |who: &str, duty, earlier| Err(Denial::SameActor { actor: id(who), duty, earlier });
    assert_eq!(ask(&duties, "ann", Action::ApprovalDecide), same("ann", Duty::Approve, Duty::Train));
    assert_eq!(ask(&duties, "ben", Action::ApprovalDecide), Ok(()));
    assert_eq!(
        ask(&duties, "eve", Action::ApprovalDecide),
        Ok(()),
        "what has no duty or no digest counts not"
    );
    // Nobody has approved yet.
    let unproven = Denial::Unproven { actor: id("cleo"), duty: Duty::Deploy, missing: Duty::Approve };
    assert_eq!(ask(&duties, "cleo", Action::EndpointDeploy), Err(unproven));
    // A no, and a yes to oneself, are no approval.
    let no = duties.clone().with_approvals(&[approval(gate, "ben", ApprovalDecision::Rejected)]);
    assert!(matches!(ask(&no, "cleo", Action::EndpointDeploy), Err(Denial::Unproven { .. })));
    let own = duties.clone().with_approvals(&[approval(gate, "ann", ApprovalDecision::Approved)]);
    assert!(matches!(ask(&own, "cleo", Action::EndpointDeploy), Err(Denial::Unproven { .. })));
    let elsewhere = duties.clone().with_approvals(&[approval(other, "ben", ApprovalDecision::Approved)]);
    assert!(matches!(ask(&elsewhere, "cleo", Action::EndpointDeploy), Err(Denial::Unproven { .. })));
    // The gate's decision is about the model.
    let approved = duties.with_approvals(&[approval(gate, "ben", ApprovalDecision::Approved)]);
    assert_eq!(ask(&approved, "cleo", Action::EndpointDeploy), Ok(()));
    assert_eq!(ask(&approved, "ann", Action::EndpointTraffic), same("ann", Duty::Deploy, Duty::Train));
    assert_eq!(ask(&approved, "ben", Action::ModelPromote), same("ben", Duty::Deploy, Duty::Approve));
    // Nor the other way round.
    let deployed = approved.with_records(&[record("cleo", "endpoint.deploy", Some(model))]);
    assert_eq!(ask(&deployed, "cleo", Action::ApprovalDecide), same("cleo", Duty::Approve, Duty::Deploy));
    assert_eq!(ask(&deployed, "cleo", Action::ModelRegister), same("cleo", Duty::Train, Duty::Deploy));
}

#[test]
fn a_request_that_does_not_say_which_model_is_denied_where_duties_matter() {
    let authorizer: Box<dyn Authorizer> = Box::new(SeparationOfDuties::new(Roles::duties(), DutyLog::new()));
    let ask = |role: &str, action| authorizer.authorize(&AccessRequest::new(actor("a", &[role]), action));
    assert_eq!(ask("trainer", Action::RunStart), Ok(()));
    assert_eq!(ask("reader", Action::Read), Ok(()));
    assert_eq!(ask("deployer", Action::EndpointUndeploy), Ok(()), "taking back is nobody's duty alone");
    assert!(matches!(ask("approver", Action::ApprovalDecide), Err(Denial::NoSubject { .. })));
    assert!(matches!(ask("deployer", Action::EndpointDeploy), Err(Denial::NoSubject { .. })));
    assert!(
        matches!(ask("trainer", Action::EndpointDeploy), Err(Denial::NotAllowed { .. })),
        "roles come first"
    );
}

#[test]
fn a_denial_becomes_an_error_that_keeps_the_reason() {
    let auth = Error::from(Denial::NoRole { actor: id("a") });
    assert_eq!((auth.kind(), auth.message()), (ErrorKind::Auth, "`a` has no role"));
    let denial = Denial::SameActor { actor: id("a"), duty: Duty::Approve, earlier: Duty::Train };
    let rejected = Error::from(denial.clone());
    assert_eq!(rejected.kind(), ErrorKind::Rejected);
    let source = std::error::Error::source(&rejected).and_then(|s| s.downcast_ref::<Denial>());
    assert_eq!(source, Some(&denial));
}
