//! The bodies of actions and changes, as Azure's own clients define them.
//!
//! Azure's [type definitions](super::schema) have the bodies of PUT alone. Those of PATCH and POST, and of the services behind other hosts
//! than Resource Manager's, are in `bodies.json`: each operation with its method, its address and its body in the same form, read out of
//! the official clients by `tests/reference/bodies.py`, which names their versions. They are part of this crate: a fake judges by them
//! whether it has Azure's type definitions or not.

use std::sync::OnceLock;

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::exchange::{FakeAnswer, FakeRequest};
use super::kind::{Kind, Patch};
use super::path::ArmPath;
use super::schema::{Finding, Mutant, Patterns, Report, Rule, Type, judge_body, mutants_of_body};
use crate::config::Cloud;

const TEXT: &str = include_str!("bodies.json");

/// What is anything: in front of a host, and at either end of a path.
const ANY: &str = "…";

/// Domains that are Azure's.
const AZURE: [&str; 5] = [".azure.com", ".azure.net", ".azureml.ms", ".windows.net", ".microsoftonline.com"];

/// Bodies without a type: host, method, path, and why they have none.
const WITHOUT_TYPE: [(&str, &str, &str, &str); 4] = [
    ("login.microsoftonline.com", "POST", "…", "a form of OAuth, which the client of Entra ID writes"),
    ("….core.windows.net", "PUT", "…", "content, or a list of blocks, which the emulator of Storage takes"),
    ("….inference.ml.azure.com", "POST", "/score", "rows, in the form that the model takes"),
    ("….api.azureml.ms", "PUT", "…/api/2.0/mlflow-artifacts/artifacts/…", "content"),
];

/// The bodies of PATCH and POST, and of services other than Resource Manager.
///
/// ```
/// use mlops_azure::fake::Bodies;
/// use mlops_azure::http::{Method, Url};
/// use serde_json::json;
///
/// let keys = "https://management.azure.com/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices\
///             /workspaces/w/onlineEndpoints/churn/regenerateKeys";
/// let judge = |body| Bodies::official().judge(&Method::POST, &keys.parse::<Url>().unwrap(), &body);
/// assert!(judge(json!({ "keyType": "Primary" })).is_some_and(|report| report.errors.is_empty()));
/// assert!(judge(json!({ "KeyType": "Primary" })).is_some_and(|report| report.errors.len() == 2));
/// ```
#[derive(Debug, Deserialize)]
pub struct Bodies {
    bodies: Vec<BodyOf>,
    types: Vec<Type>,
    #[serde(skip)]
    patterns: Patterns,
}

/// An operation that has a body.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BodyOf {
    /// The method.
    pub method: String,
    /// The host; `…` in front of it is anything.
    pub host: String,
    /// The path; `{}` is one segment, `…` any number of them.
    pub path: String,
    /// Whether it may be left out.
    pub optional: bool,
    /// Which client of which version says so.
    pub source: String,
    /// The place of its type.
    body: usize,
}

impl BodyOf {
    fn is_of(&self, method: &Method, host: &str, path: &str) -> bool {
        self.method == method.as_str() && is_host(&self.host, host) && is_path(&self.path, path)
    }
}

fn is_host(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix(ANY) {
        Some(end) => host.ends_with(end),
        None => host == pattern,
    }
}

/// Whether a path is one of a pattern: ids have no case, so no segment has.
fn is_path(pattern: &str, path: &str) -> bool {
    let pattern = pattern.trim_matches('/');
    let (open_start, open_end) = (pattern.starts_with(ANY), pattern.ends_with(ANY));
    let wanted: Vec<&str> = pattern.split('/').filter(|word| *word != ANY).collect();
    let found: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let takes = |part: &[&str]| {
        let mut pairs = wanted.iter().zip(part);
        wanted.len() == part.len()
            && pairs.all(|(word, segment)| *word == "{}" || word.eq_ignore_ascii_case(segment))
    };
    let Some(last) = found.len().checked_sub(wanted.len()) else { return false };
    let starts = match (open_start, open_end) {
        (true, true) => 0..=last,
        (true, false) => last..=last,
        (false, true) => 0..=0,
        (false, false) if last == 0 => 0..=0,
        (false, false) => return false,
    };
    starts.into_iter().any(|from| found.get(from..from + wanted.len()).is_some_and(takes))
}

impl Bodies {
    /// Those that come with this crate.
    pub fn official() -> &'static Self {
        static OFFICIAL: OnceLock<Bodies> = OnceLock::new();
        #[allow(clippy::expect_used, reason = "the text is a part of this crate, and a test reads it")]
        OFFICIAL.get_or_init(|| {
            serde_json::from_str(TEXT).expect("the bodies that come with this crate are read")
        })
    }

    /// Every operation that is known.
    pub fn all(&self) -> &[BodyOf] {
        &self.bodies
    }

    /// The operation at an address, if it is known.
    pub fn of(&self, method: &Method, url: &reqwest::Url) -> Option<&BodyOf> {
        self.find(method, url.host_str()?, url.path())
    }

    fn find(&self, method: &Method, host: &str, path: &str) -> Option<&BodyOf> {
        self.bodies.iter().find(|body| body.is_of(method, host, path))
    }

    /// Judges a body by the operation at an address; `None` for one that is not known.
    pub fn judge(&self, method: &Method, url: &reqwest::Url, body: &Value) -> Option<Report> {
        self.of(method, url).map(|of| self.judge_by(of, body))
    }

    fn judge_by(&self, of: &BodyOf, body: &Value) -> Report {
        let report = judge_body(&self.types, of.body, &self.patterns, body);
        Report { type_name: format!("{} {}", of.method, of.path), ..report }
    }

    /// Every body that one mistake makes of a good one, as by [`Schemas::mutants`](super::Schemas::mutants); none for an operation that is
    /// not known.
    pub fn mutants(&self, method: &Method, url: &reqwest::Url, body: &Value) -> Vec<Mutant> {
        self.of(method, url).map_or_else(Vec::new, |of| mutants_of_body(&self.types, of.body, body))
    }

    /// What is wrong with the body of a request; nothing where it is not known.
    pub(super) fn findings(&self, method: &Method, host: &str, path: &str, body: &[u8]) -> Option<Report> {
        let of = self.find(method, host, path)?;
        if body.is_empty() {
            let missing = Finding {
                at: "/".to_owned(),
                rule: Rule::Required,
                message: "the body is missing".to_owned(),
            };
            let errors = if of.optional { Vec::new() } else { vec![missing] };
            return Some(Report {
                type_name: format!("{} {}", of.method, of.path),
                errors,
                warnings: Vec::new(),
            });
        }
        Some(self.judge_by(of, &serde_json::from_slice(body).unwrap_or(Value::String("no JSON".to_owned()))))
    }
}

/// Who judges the body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judge {
    /// There is no body, or nothing takes one.
    Nobody,
    /// Azure's type definitions: a resource is written.
    Schemas,
    /// What the official clients say of it.
    Clients,
    /// It has no type, for this reason.
    WithoutType(&'static str),
    /// It goes to somebody who is not Azure.
    Elsewhere,
    /// Somebody should.
    Missing,
}

/// Who judges the body of a request.
pub(super) fn judge_of(request: &FakeRequest) -> Judge {
    let (method, host, path) = (&request.method, request.host(), request.path());
    if request.body.is_empty() {
        return Judge::Nobody;
    }
    if Bodies::official().find(method, host, path).is_some() {
        return Judge::Clients;
    }
    if host == Cloud::Public.resource_manager()
        && let Some(path) = ArmPath::parse(path)
    {
        match *method {
            Method::PUT => return Judge::Schemas,
            // What cannot be changed so is refused whatever the body is.
            Method::PATCH if Kind::of(&path).patch == Patch::None => return Judge::Nobody,
            _ => {}
        }
    }
    let without = |(h, m, p, _): &&(&str, &str, &str, &str)| {
        is_host(h, host) && *m == method.as_str() && is_path(p, path)
    };
    match WITHOUT_TYPE.iter().find(without) {
        Some((_, _, _, why)) => Judge::WithoutType(why),
        None if !AZURE.iter().any(|domain| host.ends_with(domain)) => Judge::Elsewhere,
        None => Judge::Missing,
    }
}

/// What is answered to a body that nobody judges: that the fake does not know it.
pub(super) fn unknown(request: &FakeRequest) -> FakeAnswer {
    let message = format!(
        "The fake has no type for the body of {}, so that it cannot tell whether Azure takes it.",
        request.line()
    );
    FakeAnswer::error(501, "BodyNotJudged", message)
}

/// How the service at a host says what is wrong with a body.
pub(super) fn refusal(request: &FakeRequest, report: &Report) -> FakeAnswer {
    let said: Vec<String> =
        report.errors.iter().map(|error| format!("{} {}", error.at, error.message)).collect();
    let message = said.join("; ");
    let lacks = report.errors.iter().any(|error| error.rule == Rule::Required);
    let host = request.host();
    if request.path().contains("/mlflow") {
        let body = serde_json::json!({ "error_code": "INVALID_PARAMETER_VALUE", "message": message });
        return FakeAnswer::json(400, body);
    }
    if host.ends_with(".vault.azure.net") {
        return FakeAnswer::error(400, "BadParameter", message);
    }
    if host.ends_with(".eventgrid.azure.net") {
        return FakeAnswer::error(400, "BadRequest", message);
    }
    let is_machine_learning = ArmPath::parse(request.path()).is_none_or(|path| path.is_machine_learning());
    if host == Cloud::Public.resource_manager() && !is_machine_learning {
        return FakeAnswer::error(400, "InvalidRequestContent", message);
    }
    let inner: &[&str] = if lacks {
        &["BadArgument", "ArgumentInvalid", "MissingArgument"]
    } else {
        &["BadArgument", "ArgumentInvalid"]
    };
    FakeAnswer::user_error(400, "UserError", message, inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_what_it_says_and_nothing_else() {
        for (pattern, path, expected) in [
            ("/jobs", "/jobs", true),
            ("/jobs", "/jobs/j", false),
            ("/a/{}/b", "/A/x/B/", true),
            ("/a/{}/b", "/a/b", false),
            ("…/api/runs", "/x/y/api/runs", true),
            ("…/api/runs", "/api/runs", true),
            ("…/api/runs", "/runs", false),
            ("…/api/mpu/…", "/x/api/mpu/a/b", true),
            ("…/api/mpu/…", "/x/api/mp/a/b", false),
            ("…/api/mpu/…", "/mpu", false),
            ("…", "/a/b", true),
            ("/a/…", "/a/b/c", true),
            ("/a/…", "/b/c", false),
        ] {
            assert_eq!(is_path(pattern, path), expected, "{pattern} {path}");
        }
        assert!(
            is_host("….vault.azure.net", "kv.vault.azure.net")
                && !is_host("….vault.azure.net", "vault.azure.net.x")
        );
        assert!(is_host("management.azure.com", "management.azure.com") && !is_host("a.b", "x.a.b"));
    }

    #[test]
    fn what_comes_with_this_crate_is_read_whole() {
        let bodies = Bodies::official();
        assert!(bodies.all().len() > 60, "{}", bodies.all().len());
        assert!(bodies.all().iter().all(|body| body.body < bodies.types.len()));
    }

    #[test]
    fn a_body_that_nobody_judges_is_found() {
        let judge = |method: Method, url: &str| {
            let mut request = FakeRequest::new(method, url.parse().unwrap());
            request.body = "{}".into();
            judge_of(&request)
        };
        let ml = "https://management.azure.com/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w";
        for (method, url, expected) in [
            (Method::PUT, format!("{ml}/models/m/versions/1"), Judge::Schemas),
            (Method::POST, format!("{ml}/models/m/versions/1/publish"), Judge::Clients),
            (Method::PATCH, format!("{ml}/onlineEndpoints/e"), Judge::Clients),
            (Method::PATCH, format!("{ml}/models/m/versions/1"), Judge::Nobody),
            (Method::POST, format!("{ml}/jobs/j/cancel"), Judge::Missing),
            (Method::PUT, "https://kv.vault.azure.net/secrets/s".to_owned(), Judge::Clients),
            (Method::PATCH, "https://kv.vault.azure.net/secrets/s/1".to_owned(), Judge::Missing),
            (Method::POST, "https://prod-1.eastus.logic.azure.com/workflows/w".to_owned(), Judge::Missing),
            (Method::POST, "https://hooks.example.com/".to_owned(), Judge::Elsewhere),
        ] {
            assert_eq!(judge(method.clone(), &url), expected, "{method} {url}");
        }
        assert_eq!(
            judge_of(&FakeRequest::new(Method::POST, format!("{ml}/x").parse().unwrap())),
            Judge::Nobody
        );
    }
}
