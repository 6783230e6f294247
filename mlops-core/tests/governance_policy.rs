//! Policy as data: for every check a plan that satisfies it and the smallest change that does not, and what the reader refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mlops_core::governance::policy::{
    Check, Encryption, Exemption, IdentityKind, ModelPlan, ModelProvenance, PlannedResource, PolicyFormat,
    PolicyMode, PolicyOutcome, PolicyResult, PolicyRule, PolicySpec, ResourceKind, ResourcePlan,
};
use mlops_core::governance::{Approval, ApprovalDecision, ApprovalRequest};
use mlops_core::hash::Digest;
use mlops_core::time::Timestamp;
use mlops_core::{ActorId, ErrorKind, ModelName, Version};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-03-01T00:00:00Z")
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

fn tags(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn approval(subject: Digest, requester: &str, approver: &str) -> Approval {
    let request = ApprovalRequest::new(
        subject,
        "Deploy?",
        ActorId::new(requester).unwrap(),
        at("2026-03-02T00:00:00Z"),
    );
    let approver = ActorId::new(approver).unwrap();
    Approval::answer(&request, ApprovalDecision::Approved, approver, "", at("2026-02-28T00:00:00Z"))
}

fn model() -> ModelPlan {
    let artifact = Digest::of(b"model");
    let provenance = ModelProvenance::new(Digest::of(b"statement"), artifact, "https://example.com/builder");
    ModelPlan::new(ModelName::new("churn").unwrap(), Version::FIRST, artifact)
        .with_registry("models-prod")
        .with_provenance(provenance)
}

type Change = Box<dyn Fn(&mut PlannedResource)>;

struct Case {
    rule: PolicyRule,
    good: PlannedResource,
    /// Each of them alone violates the rule.
    bad: Vec<Change>,
    /// Each of them alone does not.
    fine: Vec<Change>,
}

fn case(check: Check, kind: ResourceKind, name: &str) -> Case {
    let rule = PolicyRule::new(check.as_str(), check);
    Case { rule, good: PlannedResource::new(name, kind), bad: Vec::new(), fine: Vec::new() }
}

impl Case {
    fn bad(mut self, change: impl Fn(&mut PlannedResource) + 'static) -> Self {
        self.bad.push(Box::new(change));
        self
    }

    fn fine(mut self, change: impl Fn(&mut PlannedResource) + 'static) -> Self {
        self.fine.push(Box::new(change));
        self
    }

    fn with(mut self, change: impl Fn(&mut PolicyRule, &mut PlannedResource)) -> Self {
        change(&mut self.rule, &mut self.good);
        self
    }
}

fn tag(name: &'static str, value: &'static str) -> impl Fn(&mut PlannedResource) {
    move |r| {
        r.tags.insert(name.to_owned(), value.to_owned());
    }
}

fn renamed(name: &'static str) -> impl Fn(&mut PlannedResource) {
    move |r| name.clone_into(&mut r.name)
}

fn cases() -> Vec<Case> {
    use ResourceKind as K;
    vec![
        case(Check::RequiredTags, K::KeyVault, "kv")
            .with(|rule, r| {
                rule.names = words(&["owner", "cost-center"]);
                rule.values.insert("environment".to_owned(), words(&["dev", "prod"]));
                r.tags = tags(&[("owner", "team"), ("cost-center", "42"), ("environment", "prod")]);
            })
            .bad(|r| r.tags.clear())
            .bad(|r| drop(r.tags.remove("owner")))
            .bad(|r| drop(r.tags.remove("environment")))
            .bad(tag("owner", " "))
            .bad(tag("environment", "Prod"))
            .bad(tag("environment", "production"))
            // Names are compared without regard to case.
            .fine(|r| {
                let value = r.tags.remove("owner").unwrap();
                r.tags.insert("OWNER".to_owned(), value);
            })
            .fine(tag("environment", "dev")),
        case(Check::ValidTags, K::StorageAccount, "st")
            .with(|_, r| r.tags = tags(&[("owner", "team")]))
            .bad(tag("Owner", "team"))
            .bad(tag("a/b", ""))
            .bad(tag("", ""))
            .bad(|r| drop(r.tags.insert("x".repeat(129), String::new())))
            .bad(|r| drop(r.tags.insert("x".to_owned(), "v".repeat(257))))
            .bad(|r| r.tags.extend((0..50).map(|i| (format!("t{i}"), String::new()))))
            .fine(|r| r.tags.extend((0..49).map(|i| (format!("t{i}"), String::new()))))
            .fine(|r| drop(r.tags.insert("x".repeat(128), "v".repeat(256)))),
        case(Check::Naming, K::Workspace, "mlw-churn-prod-weu-001")
            .with(|rule, _| {
                rule.environments = words(&["dev", "test", "prod"]);
                rule.regions = words(&["weu", "neu", "euwest2"]);
            })
            .bad(renamed("ws-churn-prod-weu-001"))
            .bad(renamed("mlwchurn-prod-weu-001"))
            .bad(renamed("mlw-prod-weu-001"))
            .bad(renamed("mlw-churn-stage-weu-001"))
            .bad(renamed("mlw-churn-prod-eus-001"))
            .bad(renamed("mlw-churn-prod-weu"))
            .bad(renamed("mlw-churn-prod-weu-1"))
            .bad(renamed("mlw-churn-prod-weu-00001"))
            .bad(renamed("mlw-Churn-prod-weu-001"))
            .bad(renamed("mlw--prod-weu-001"))
            .fine(renamed("mlw-churn-risk-dev-neu-02"))
            .fine(renamed("mlw-churn-dev-euwest2-02")),
        case(Check::ValidName, K::StorageAccount, "stchurnprodweu001")
            .bad(renamed("stChurnprodweu001"))
            .bad(renamed("st-churn"))
            .bad(renamed("st"))
            .bad(renamed("stchurnprodweu0010123456789"))
            .fine(renamed("abc")),
        case(Check::AllowedRegions, K::Workspace, "mlw")
            .with(|rule, r| {
                rule.regions = words(&["westeurope", "North Europe"]);
                r.region = Some("westeurope".to_owned());
            })
            .bad(|r| r.region = None)
            .bad(|r| r.region = Some("eastus".to_owned()))
            .bad(|r| r.region = Some("westeurope2".to_owned()))
            .fine(|r| r.region = Some("West Europe".to_owned()))
            .fine(|r| r.region = Some("northeurope".to_owned())),
        case(Check::AllowedSkus, K::ComputeCluster, "cpu")
            .with(|rule, r| {
                rule.skus = words(&["Standard_DS3_v2", "Standard_NC*"]);
                r.sku = Some("Standard_DS3_v2".to_owned());
            })
            .bad(|r| r.sku = None)
            .bad(|r| r.sku = Some("Standard_DS3_v20".to_owned()))
            .bad(|r| r.sku = Some("Standard_ND96".to_owned()))
            .fine(|r| r.sku = Some("standard_ds3_V2".to_owned()))
            .fine(|r| r.sku = Some("Standard_NC6s_v3".to_owned())),
        case(Check::Encryption, K::Workspace, "mlw")
            .with(|rule, r| {
                rule.at_least = Some(Encryption::CustomerManaged);
                r.encryption = Some(Encryption::CustomerManaged);
            })
            .bad(|r| r.encryption = None)
            .bad(|r| r.encryption = Some(Encryption::Platform)),
        case(Check::NoPublicAccess, K::Workspace, "mlw")
            .with(|_, r| r.public_access = Some(false))
            .bad(|r| r.public_access = Some(true))
            .bad(|r| r.public_access = None),
        case(Check::NoLocalAuth, K::ComputeInstance, "ci")
            .with(|_, r| r.local_auth = Some(false))
            .bad(|r| r.local_auth = Some(true))
            .bad(|r| r.local_auth = None),
        case(Check::PrivateLink, K::Workspace, "mlw")
            .with(|_, r| r.private_link = Some(true))
            .bad(|r| r.private_link = Some(false))
            .bad(|r| r.private_link = None),
        case(Check::VirtualNetwork, K::ComputeCluster, "cpu")
            .with(|_, r| r.virtual_network = Some(true))
            .bad(|r| r.virtual_network = Some(false))
            .bad(|r| r.virtual_network = None),
        case(Check::ScaleToZero, K::ComputeCluster, "cpu")
            .with(|_, r| r.min_nodes = Some(0))
            .bad(|r| r.min_nodes = Some(1))
            .bad(|r| r.min_nodes = None),
        case(Check::IdleShutdown, K::ComputeInstance, "ci")
            .with(|rule, r| {
                rule.max = Some(Duration::from_secs(1800));
                r.idle_shutdown = Some(Duration::from_secs(1800));
            })
            .bad(|r| r.idle_shutdown = None)
            .bad(|r| r.idle_shutdown = Some(Duration::from_secs(1801)))
            .bad(|r| r.idle_shutdown = Some(Duration::ZERO))
            .fine(|r| r.idle_shutdown = Some(Duration::from_secs(60))),
        case(Check::Identity, K::Workspace, "mlw")
            .with(|rule, r| {
                rule.identity = Some(IdentityKind::UserAssigned);
                r.identity = Some(IdentityKind::UserAssigned);
            })
            .bad(|r| r.identity = None)
            .bad(|r| r.identity = Some(IdentityKind::SystemAssigned))
            .bad(|r| r.identity = Some(IdentityKind::None)),
        case(Check::ModelRegistry, K::OnlineDeployment, "blue")
            .with(|rule, r| {
                rule.registries = words(&["models-prod"]);
                r.model = Some(model());
            })
            .bad(|r| r.model = None)
            .bad(|r| r.model.as_mut().unwrap().registry = None)
            .bad(|r| r.model.as_mut().unwrap().registry = Some("models-dev".to_owned())),
        case(Check::ModelProvenance, K::OnlineDeployment, "blue")
            .with(|rule, r| {
                rule.builders = words(&["https://example.com/builder"]);
                r.model = Some(model());
            })
            .bad(|r| r.model = None)
            .bad(|r| r.model.as_mut().unwrap().provenance = None)
            .bad(|r| r.model.as_mut().unwrap().artifact = Digest::of(b"another model"))
            .bad(|r| {
                r.model.as_mut().unwrap().provenance.as_mut().unwrap().builder =
                    "https://example.org".to_owned();
            })
            .fine(|r| r.model.as_mut().unwrap().registry = None),
        case(Check::Approvals, K::OnlineDeployment, "blue")
            .with(|rule, r| {
                rule.count = Some(2);
                r.min_nodes = Some(1);
                let subject = r.digest().unwrap();
                r.approvals = vec![approval(subject, "a", "b"), approval(subject, "a", "c")];
            })
            .bad(|r| r.min_nodes = Some(2))
            .bad(|r| drop(r.approvals.pop()))
            .bad(|r| r.approvals[1].approver = r.approvals[0].approver.clone())
            .bad(|r| r.approvals[1].approver = r.approvals[1].requester.clone())
            .bad(|r| r.approvals[1].decision = ApprovalDecision::Rejected)
            .bad(|r| r.approvals[1].expires_at = now())
            .bad(|r| r.approvals[1].subject = Digest::of(b"something else"))
            // Two who approve what the other asked for are not two other people.
            .bad(|r| r.approvals[1] = approval(r.digest().unwrap(), "b", "a"))
            .fine(|r| r.approvals.push(approval(Digest::of(b"x"), "a", "d"))),
    ]
}

fn outcome(rule: &PolicyRule, resource: PlannedResource) -> (PolicyOutcome, String) {
    let policy = PolicySpec::new("p", vec![rule.clone()], vec![]).unwrap();
    let report = policy.judge(&ResourcePlan::new(vec![resource]).unwrap(), now()).unwrap();
    assert_eq!(report.verdicts.len(), 1, "{}", rule.id);
    let verdict = &report.verdicts[0];
    assert!(!verdict.observed.is_empty() && !verdict.needed.is_empty(), "{verdict}");
    (verdict.outcome, verdict.to_string())
}

#[test]
fn every_check_is_met_by_a_plan_and_broken_by_the_smallest_change_of_it() {
    let cases = cases();
    let covered: BTreeSet<Check> = cases.iter().map(|case| case.rule.check).collect();
    assert_eq!(covered, BTreeSet::from(Check::ALL), "every check has a case");
    let mut mutants = 0;
    for case in &cases {
        let (good, shown) = outcome(&case.rule, case.good.clone());
        assert_eq!(good, PolicyOutcome::Pass, "{shown}");
        for (i, change) in case.bad.iter().enumerate() {
            let mut resource = case.good.clone();
            change(&mut resource);
            let (bad, shown) = outcome(&case.rule, resource);
            assert_eq!(bad, PolicyOutcome::Fail, "change {i}: {shown}");
            mutants += 1;
        }
        for (i, change) in case.fine.iter().enumerate() {
            let mut resource = case.good.clone();
            change(&mut resource);
            let (fine, shown) = outcome(&case.rule, resource);
            assert_eq!(fine, PolicyOutcome::Pass, "harmless change {i}: {shown}");
        }
    }
    assert!(mutants > 50, "{mutants}");
}

#[test]
fn what_a_plan_does_not_state_satisfies_nothing() {
    for case in cases() {
        let kind = case.good.kind;
        // A plan always has a name, and no tags are good tags.
        if matches!(case.rule.check, Check::ValidName | Check::ValidTags) {
            continue;
        }
        let (found, shown) = outcome(&case.rule, PlannedResource::new("x", kind));
        assert_eq!(found, PolicyOutcome::Fail, "{shown}");
    }
}

#[test]
fn all_that_is_wrong_with_tags_is_said_at_once() {
    let mut rule = PolicyRule::new("tags", Check::RequiredTags);
    rule.names = words(&["owner", "project", "cost-center"]);
    rule.values.insert("environment".to_owned(), words(&["dev", "prod"]));
    let mut vault = PlannedResource::new("kv", ResourceKind::KeyVault);
    vault.tags = tags(&[("project", ""), ("environment", "Prod"), ("cost-center", "1")]);
    let policy = PolicySpec::new("p", vec![rule], vec![]).unwrap();
    let report = policy.judge(&ResourcePlan::new(vec![vault]).unwrap(), now()).unwrap();
    let observed = "`owner` is missing; `project` is blank; `environment` is `Prod`";
    assert_eq!(report.verdicts[0].observed, observed);
}

#[test]
fn names_follow_azures_rules_for_every_kind() {
    use ResourceKind as K;
    for (kind, good, bad) in [
        (K::KeyVault, "kv-churn-prod", "kv--churn"),
        (K::KeyVault, "kv1", "1kv"),
        (K::KeyVault, "kv1", "kv1-"),
        (K::ContainerRegistry, "crchurn", "cr-churn"),
        (K::ContainerRegistry, "crchurn", "crch"),
        (K::LogAnalytics, "log-churn", "log"),
        (K::Workspace, "mlw_churn", "mlw.churn"),
        (K::ComputeInstance, "ci-123456789012345678901", "ci-1234567890123456789012"),
        (K::OnlineEndpoint, "churn-prod", "churn_prod"),
        (K::ResourceGroup, "rg-churn_(1)", "rg-churn."),
        (K::PrivateEndpoint, "pep.churn_", "pep-churn-"),
        (K::EventGridTopic, "egst", "eg"),
        (K::FunctionApp, "func-churn", "-func"),
        (K::Workspace, "mlw", "mlw\u{202e}x"),
        (K::StorageAccount, "st1", "sté1"),
    ] {
        assert!(kind.name_rule().check(good).is_ok(), "{kind} {good}");
        assert!(kind.name_rule().check(bad).is_err(), "{kind} {bad}");
        assert!(kind.name_rule().check("").is_err() && kind.name_rule().check(&"x".repeat(10_000)).is_err());
    }
    let abbreviations: BTreeSet<_> = K::ALL.iter().filter_map(|kind| kind.abbreviation()).collect();
    let with = K::ALL.iter().filter(|kind| kind.abbreviation().is_some()).count();
    assert_eq!(abbreviations.len(), with, "no two kinds share an abbreviation");
    for kind in K::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
    for check in Check::ALL {
        assert_eq!(serde_json::to_value(check).unwrap(), check.as_str());
    }
}

#[test]
fn names_without_hyphens_follow_the_convention_too() {
    let mut rule = PolicyRule::new("naming", Check::Naming);
    rule.environments = words(&["dev", "prod"]);
    rule.regions = words(&["weu"]);
    let judge = |kind, name: &str| outcome(&rule, PlannedResource::new(name, kind)).0;
    assert_eq!(judge(ResourceKind::StorageAccount, "stchurnprodweu001"), PolicyOutcome::Pass);
    assert_eq!(judge(ResourceKind::StorageAccount, "stprodweu001"), PolicyOutcome::Fail);
    assert_eq!(judge(ResourceKind::StorageAccount, "stchurnprodweu"), PolicyOutcome::Fail);
    assert_eq!(judge(ResourceKind::OnlineEndpoint, "churn-prod-weu-01"), PolicyOutcome::Pass);
    assert_eq!(judge(ResourceKind::OnlineEndpoint, "churn"), PolicyOutcome::Fail);
}

fn exemption(expires: &str) -> Exemption {
    Exemption::new("private", "kv", "moves in April", ActorId::new("platform-owner").unwrap(), at(expires))
}

fn public(name: &str) -> ResourcePlan {
    let mut vault = PlannedResource::new(name, ResourceKind::KeyVault);
    vault.public_access = Some(true);
    ResourcePlan::new(vec![vault]).unwrap()
}

#[test]
fn an_exemption_counts_for_its_rule_and_resource_until_it_expires() {
    let rule = || vec![PolicyRule::new("private", Check::NoPublicAccess)];
    let policy = |expires| PolicySpec::new("p", rule(), vec![exemption(expires)]).unwrap();
    let judge = |expires, name| policy(expires).judge(&public(name), now()).unwrap();
    let report = judge("2026-03-01T00:00:01Z", "kv");
    assert_eq!(report.result(), PolicyResult::Compliant);
    assert_eq!(report.verdicts[0].outcome, PolicyOutcome::Exempt);
    assert!(report.to_string().contains("moves in April"), "{report}");
    assert!(report.require().is_ok());
    let report = judge("2026-03-01T00:00:00Z", "kv");
    assert_eq!((report.result(), report.expired.len()), (PolicyResult::Denied, 1));
    assert_eq!(report.require().unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(judge("2026-03-01T00:00:01Z", "kv-2").result(), PolicyResult::Denied);
}

#[test]
fn the_mode_says_what_a_violation_leads_to_and_the_worst_counts() {
    let rule = |id: &str, mode| PolicyRule::new(id, Check::NoPublicAccess).with_mode(mode);
    let (audit, warn, deny) =
        (rule("a", PolicyMode::Audit), rule("w", PolicyMode::Warn), rule("d", PolicyMode::Deny));
    for (rules, expected) in [
        (vec![audit.clone()], PolicyResult::Noted),
        (vec![warn.clone(), audit.clone()], PolicyResult::Warned),
        (vec![deny, warn, audit], PolicyResult::Denied),
    ] {
        let report = PolicySpec::new("p", rules, vec![]).unwrap().judge(&public("kv"), now()).unwrap();
        assert_eq!(report.result(), expected);
        assert_eq!(report.require().is_err(), expected == PolicyResult::Denied);
    }
    let idle = PolicyRule::new("zero", Check::ScaleToZero);
    let report = PolicySpec::new("p", vec![idle], vec![]).unwrap().judge(&public("kv"), now()).unwrap();
    assert_eq!((report.result(), report.idle_rules), (PolicyResult::Compliant, words(&["zero"])));
}

const POLICY: &str = r#"name = "p"

[[rules]]
id = "idle"
check = "idle_shutdown"
max = "30m"

[[rules]]
id = "tags"
check = "required_tags"
names = ["owner"]

[[exemptions]]
rule = "tags"
resource = "kv"
reason = "because"
granted_by = "owner"
expires_at = "2026-05-01T00:00:00Z"
"#;

#[test]
fn a_policy_is_the_same_in_toml_json_and_yaml() {
    let toml = PolicySpec::parse(POLICY, PolicyFormat::Toml).unwrap();
    let json = r#"{"name":"p","rules":[{"id":"idle","check":"idle_shutdown","max":"30m"},
        {"id":"tags","check":"required_tags","names":["owner"]}],
        "exemptions":[{"rule":"tags","resource":"kv","reason":"because","granted_by":"owner","expires_at":"2026-05-01T00:00:00Z"}]}"#;
    let json = PolicySpec::parse(json, PolicyFormat::Json).unwrap();
    assert_eq!((toml.rules(), toml.exemptions()), (json.rules(), json.exemptions()));
    assert_ne!(toml.digest(), json.digest(), "the digest is that of the bytes");
    if cfg!(feature = "yaml") {
        let yaml = "name: p\nrules:\n  - {id: idle, check: idle_shutdown, max: 30m}\n  - id: tags\n    check: required_tags\n    names: [owner]\n";
        let yaml = PolicySpec::parse(yaml, PolicyFormat::Yaml).unwrap();
        assert_eq!(toml.rules(), yaml.rules());
    }
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_its_place() {
    for (from, to, line, message) in [
        ("max = \"30m\"", "maximum = \"30m\"", "6", "unknown key `maximum`"),
        ("max = \"30m\"", "", "3", "`idle_shutdown` needs `max`"),
        ("max = \"30m\"", "max = \"0s\"", "6", "must be longer than nothing"),
        ("max = \"30m\"", "max = 30", "6", ""),
        ("max = \"30m\"", "max = \"30m\"\nskus = [\"a\"]", "7", "`idle_shutdown` does not take `skus`"),
        ("max = \"30m\"", "max = \"30m\"\nkinds = [\"key_vault\"]", "7", "says nothing about `key_vault`"),
        ("max = \"30m\"", "max = \"30m\"\nmode = \"forbid\"", "7", "unknown value `forbid`"),
        ("idle_shutdown", "idle_shutdwn", "5", "did you mean `idle_shutdown`?"),
        ("id = \"tags\"", "id = \"idle\"", "9", "another rule has this id"),
        ("id = \"tags\"", "id = \" \"", "9", "must not be empty"),
        ("names = [\"owner\"]", "", "8", "needs `names` or `values`"),
        ("names = [\"owner\"]", "names = [\"\"]", "11", "has a blank word"),
        ("names = [\"owner\"]", "values.env = []", "11", "can never be right"),
        ("rule = \"tags\"", "rule = \"tag\"", "14", "no rule has this id"),
        ("reason = \"because\"", "reason = \"\"", "16", "an exemption needs a reason"),
        ("2026-05-01T00:00:00Z", "soon", "18", ""),
    ] {
        let text = POLICY.replacen(from, to, 1);
        assert_ne!(text, POLICY, "{from}");
        let error = PolicySpec::parse(&text, PolicyFormat::Toml).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.message().contains(message), "{error}");
        assert_eq!(error.context("line"), Some(line), "{to}: {error}");
    }
    assert!(PolicySpec::parse("name = \"p\"", PolicyFormat::Toml).is_err(), "no rules");
    let many: String =
        (0..201).map(|i| format!("[[rules]]\nid = \"{i}\"\ncheck = \"private_link\"\n")).collect();
    let error = PolicySpec::parse(&format!("name = \"p\"\n{many}"), PolicyFormat::Toml).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}

#[test]
fn hostile_plans_are_refused_and_hostile_names_are_escaped() {
    let parse = |text: &str| ResourcePlan::parse(text, PolicyFormat::Toml);
    let twice = "[[resources]]\nname = \"kv\"\nkind = \"key_vault\"\n[[resources]]\nname = \"KV\"\nkind = \"key_vault\"";
    assert_eq!(parse(twice).unwrap_err().context("line"), Some("5"));
    assert!(parse("[[resources]]\nname = \"\"\nkind = \"key_vault\"").is_err());
    assert!(parse("[[resources]]\nname = \"kv\"\nkind = \"vault\"").is_err());
    assert!(parse("[[resources]]\nname = \"c\"\nkind = \"compute_cluster\"\nmin_nodes = -1").is_err());
    assert!(parse("[[resources]]\nname = \"c\"\nkind = \"compute_cluster\"\nmin_nodes = nan").is_err());
    let many: String = (0..5_001).map(|i| format!("[[resources]]\nname=\"{i}\"\nkind=\"hub\"\n")).collect();
    assert_eq!(parse(&many).unwrap_err().kind(), ErrorKind::LimitExceeded);
    let policy = PolicySpec::new("p", vec![PolicyRule::new("n", Check::ValidName)], vec![]).unwrap();
    let report = policy.judge(&public("kv\nfake \u{202e}line"), now()).unwrap();
    let shown = report.to_string();
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(!shown.contains('\u{202e}'), "{shown}");
}

#[test]
fn a_report_says_which_policy_and_plan_it_is_about_and_survives_json() {
    let policy = PolicySpec::parse(POLICY, PolicyFormat::Toml).unwrap();
    let plan = public("kv");
    let report = policy.judge(&plan, now()).unwrap();
    assert_eq!((report.policy_digest, report.plan_digest), (policy.digest(), plan.digest().unwrap()));
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<mlops_core::governance::policy::PolicyReport>(&text).unwrap(), report);
}
