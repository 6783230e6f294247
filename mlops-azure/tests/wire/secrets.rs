//! No secret in the `Debug` of anything that is read, wherever a service or a user puts it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Passed, everything, files, material, official, read, spelt, try_pass};

/// What may not be shown.
const MARK: &str = "hunter2";

/// A body through the type of its kind, of whatever provider.
fn passed(kind: &str, body: &Value) -> Option<Result<Passed, String>> {
    let kind = kind.split('@').next().unwrap_or_default();
    let own = "microsoft.machinelearningservices/workspaces/";
    let lower = kind.to_ascii_lowercase();
    match (kind.get(own.len()..).filter(|_| lower.starts_with(own)), kind.contains('.')) {
        (Some(of_workspace), _) => try_pass(spelt(of_workspace), body),
        (None, true) => official::pass(kind, body),
        (None, false) => try_pass(kind, body),
    }
}

/// Every body that there is: official examples and answers, what the official SDK sent, what this crate builds.
fn bodies() -> Option<Vec<(String, String, Value)>> {
    let material = material()?;
    let mut all = Vec::new();
    for (name, example) in files(&material.join("examples")) {
        if let Some(kind) = example["resourceType"].as_str() {
            all.push((name, kind.to_owned(), example["body"].clone()));
        }
    }
    for (name, pair) in files(&material.join("examples/pairs")) {
        let kind = pair["resourceType"].as_str().unwrap_or_default();
        for (status, answer) in pair["responses"].as_object().unwrap() {
            all.push((format!("{name} {status}"), kind.to_owned(), answer["body"].clone()));
        }
    }
    for file in ["azure-ai-ml-1.35.2-main", "azure-ai-ml-1.35.2-monitors-registries"] {
        for exchange in read(&material.join(format!("recorded/{file}.json"))).as_array().unwrap() {
            let path = exchange["url"].as_str().unwrap().split_once("/workspaces/ws/").map(|(_, path)| path);
            if let Some(path) = path.filter(|_| exchange["method"] == "PUT") {
                let path = path.split('?').next().unwrap_or_default();
                let kind = path.split('/').step_by(2).collect::<Vec<_>>().join("/");
                all.push((path.to_owned(), kind, exchange["body"].clone()));
            }
        }
    }
    for built in everything() {
        if let Some(kind) = built.kind {
            all.push((
                "built".to_owned(),
                kind.to_owned(),
                serde_json::from_slice(built.call.body().unwrap()).unwrap(),
            ));
        }
    }
    all.retain(|(_, _, body)| body.is_object());
    Some(all)
}

/// The paths of all values of a body.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    let name = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, member)| places(member, &format!("{at}/{}", name(key)), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| places(item, &format!("{at}/{i}"), found));
        }
        _ => {}
    }
}

/// The members whose texts are shown whatever is in them: names, ids, kinds, sizes, times. A member that is new here needs a thought:
/// can somebody put a secret into it, it is a [`Text`](mlops_azure::wire::Text).
const SHOWN: &[&str] = &[
    "DimensionName",
    "Operator",
    "Values",
    "_source",
    "accountName",
    "allowedTrainingAlgorithms",
    "applicationInsights",
    "assetId",
    "authMode",
    "blobContainerName",
    "codeId",
    "componentId",
    "compute",
    "computeId",
    "computeType",
    "containerName",
    "containerRegistry",
    "cooldown",
    "createdBy",
    "credentialsType",
    "dataCollectionMode",
    "dataType",
    "datastoreType",
    "default_compute",
    "deploymentName",
    "direction",
    "displayName",
    "distributionType",
    "dockerfilePath",
    "egressPublicNetworkAccess",
    "endTime",
    "endpoint",
    "endpointComputeType",
    "endpointType",
    "environmentId",
    "eventDeliverySchema",
    "experimentName",
    "expression",
    "fileShareName",
    "filesystem",
    "frequency",
    "friendlyName",
    "goal",
    "id",
    "identityType",
    "image",
    "includedEventTypes",
    "initialDelay",
    "instanceType",
    "jobInputType",
    "jobLimitsType",
    "jobName",
    "jobOutputType",
    "jobTier",
    "job_input_type",
    "key",
    "keyVault",
    "lastModifiedBy",
    "location",
    "loggingLevel",
    "maxQueueWait",
    "metricName",
    "metricResourceUri",
    "mode",
    "model",
    "modelMountPath",
    "modelType",
    "name",
    "operator",
    "operatorType",
    "osType",
    "outputAction",
    "outputFileName",
    "period",
    "policyType",
    "primaryMetric",
    "principalId",
    "principalType",
    "protocol",
    "provisioningState",
    "publicNetworkAccess",
    "referenceType",
    "requestTimeout",
    "resourceId",
    "roleDefinitionId",
    "rollingRate",
    "rule",
    "samplingAlgorithmType",
    "scoringScript",
    "serviceDataAccessAuthIdentity",
    "shmSize",
    "source",
    "stage",
    "startTime",
    "statistic",
    "status",
    "storageAccount",
    "subjectBeginsWith",
    "subjectEndsWith",
    "targetColumnName",
    "targetResourceUri",
    "taskType",
    "timeAggregation",
    "timeColumnName",
    "timeGrain",
    "timeSeriesIdColumnNames",
    "timeWindow",
    "timeZone",
    "timeout",
    "topicType",
    "trialTimeout",
    "triggerType",
    "type",
    "weekDays",
    "weightColumnName",
];

#[test]
fn no_debug_of_what_is_read_shows_a_secret() {
    let Some(bodies) = bodies() else { return };
    let (mut tried, mut kinds) = (0, BTreeSet::new());
    let mut shown = BTreeSet::new();
    let mut leaks: BTreeMap<String, String> = BTreeMap::new();
    for (name, kind, body) in bodies {
        let Some(Ok(_)) = passed(&kind, &body) else { continue };
        let mut all = Vec::new();
        places(&body, "", &mut all);
        for at in &all {
            let member = at.rsplit('/').find(|part| part.parse::<usize>().is_err()).unwrap_or_default();
            let parent = at.rsplit('/').nth(1).unwrap_or_default();
            let old = body.pointer(at).unwrap();
            let planted: Vec<Value> = match old {
                // A member that nobody knows.
                Value::Object(members) => {
                    let with = |value: Value| {
                        let mut members = members.clone();
                        members.insert("planted".to_owned(), value);
                        Value::Object(members)
                    };
                    vec![with(json!({ "key": MARK, "list": [MARK] })), with(json!(MARK))]
                }
                // What anybody may have set, and what a signed address has.
                Value::String(_)
                    if ["environmentVariables", "tags"].contains(&parent)
                        || at.contains("/properties/properties/") =>
                {
                    vec![json!(MARK)]
                }
                Value::String(text) => vec![
                    json!(format!("https://u:{MARK}@h/p?sv=1&st={MARK} {text}")),
                    json!(format!(
                        "{text} --password={MARK} AccountKey={MARK}; {{\"clientSecret\": \"{MARK}\"}}"
                    )),
                ],
                _ => vec![],
            };
            for value in planted {
                let mut mutant = body.clone();
                *mutant.pointer_mut(at).unwrap() = value;
                // What is no body of this kind any more is an error, of which clients show nothing but where it is.
                if let Ok(passed) = passed(&kind, &mutant).unwrap() {
                    tried += 1;
                    kinds.insert(kind.to_ascii_lowercase());
                    if passed.debug.contains(MARK) && old.is_string() && SHOWN.contains(&member) {
                        shown.insert(member.to_owned());
                    } else if passed.debug.contains(MARK) {
                        let line = passed.debug.lines().find(|line| line.contains(MARK) && line.len() < 400);
                        let line = line.unwrap_or_default().trim();
                        leaks.insert(member.to_owned(), format!("{name} {at}: {line}"));
                    }
                }
            }
        }
    }
    println!("{tried} bodies with a secret in them, of {} kinds", kinds.len());
    let mut list = String::new();
    leaks.iter().for_each(|(what, at)| _ = writeln!(list, "{what}: {at}"));
    assert!(leaks.is_empty(), "shown:\n{list}");
    let unused: Vec<_> = SHOWN.iter().filter(|member| !shown.contains(**member)).collect();
    assert!(unused.is_empty(), "these are not shown any more: {unused:?}");
    assert!(tried > 5_000 && kinds.len() >= 20, "{tried} {kinds:?}");
}

/// A derived `Debug` shows what is in a map or a value of JSON, and a map of texts: the types that hide it stand in their place.
#[test]
fn no_type_of_the_wire_holds_a_map_that_prints() {
    let wire = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wire");
    let mut folders = vec![wire];
    let (mut members, mut found) = (0, Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // The types that hide them are there.
            if path.ends_with("quiet.rs") || path.ends_with("text.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for (number, line) in
                text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("pub "))
            {
                let Some((_, kind)) = line.split_once(": ").filter(|_| !line.contains(" fn ")) else {
                    continue;
                };
                members += 1;
                let words: Vec<&str> = kind.split(|c: char| !c.is_ascii_alphanumeric()).collect();
                if words.contains(&"Value") || kind.contains("Map<String, String>") {
                    found.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
                }
            }
        }
    }
    assert!(members > 500, "{members}");
    assert!(found.is_empty(), "{found:#?}");
}
