//! Provenance: how a model version was made, as an in-toto Statement with SLSA's predicate, ready to be signed.
//!
//! The shape is in-toto's Statement v1 (<https://in-toto.io/Statement/v1>) with SLSA's Provenance v1
//! (<https://slsa.dev/provenance/v1>): the subject is the model by its digest; external parameters are the run's parameters and
//! seeds; resolved dependencies are data, code, lock file and parent models by their digests; by-products are files of the run,
//! what the model scored, and whatever else is given, such as a gate's decision. The text is canonical JSON (RFC 8785): the same
//! registry gives the same bytes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Stores;
use crate::error::{Error, ErrorKind, Result};
use crate::experiment::{DataInput, ExperimentTracker as _, Run};
use crate::governance::policy::ModelProvenance;
use crate::hash::{Digest, canonical_json};
use crate::registry::{Direction, LineageGraph, ModelRef, ModelRegistry as _, ModelVersion, Node};
use crate::time::Timestamp;

const OP: &str = "provenance::statement";

/// How deep lineage is followed.
const DEPTH: u32 = 64;

/// Who builds, and by which procedure.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenanceOptions {
    /// The URI of who built: SLSA's `builder.id`.
    pub builder: String,
    /// The URI of the procedure, which says what the parameters mean: SLSA's `buildType`.
    pub build_type: String,
    /// What else came of it, by name: a gate's decision, an evaluation report.
    pub byproducts: BTreeMap<String, Digest>,
}

impl ProvenanceOptions {
    /// Who built, and by which procedure; both URIs.
    pub fn new(builder: impl Into<String>, build_type: impl Into<String>) -> Self {
        Self { builder: builder.into(), build_type: build_type.into(), byproducts: BTreeMap::new() }
    }

    /// Adds something that came of it.
    #[must_use]
    pub fn with_byproduct(mut self, name: impl Into<String>, digest: Digest) -> Self {
        self.byproducts.insert(name.into(), digest);
        self
    }
}

/// A statement of provenance.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenanceStatement {
    /// The statement, in canonical JSON.
    pub json: String,
    /// The digest of that text.
    pub digest: Digest,
    /// The digest of the model it is about.
    pub subject: Digest,
    /// Who built, as it says.
    pub builder: String,
}

impl ProvenanceStatement {
    /// What a plan states of it, for the policy's check `model_provenance`.
    pub fn to_plan(&self) -> ModelProvenance {
        ModelProvenance { statement: self.digest, subject: self.subject, builder: self.builder.clone() }
    }
}

/// The statement about a version that `run` made, from the `lineage` towards its origins, with the model versions among them in
/// `parents`. A pure function.
///
/// # Errors
/// [`ErrorKind::Conflict`] when the version was made by another run, or by none that is known: nothing is stated about how a model
/// was made that the registry does not say. [`ErrorKind::InvalidInput`] for a builder or build type that is no URI, and for a parent
/// that lineage names and `parents` lacks. [`ErrorKind::LimitExceeded`] for a number that JSON cannot hold.
pub fn statement(
    version: &ModelVersion,
    run: &Run,
    lineage: &LineageGraph,
    parents: &[ModelVersion],
    options: &ProvenanceOptions,
) -> Result<ProvenanceStatement> {
    for (field, uri) in [("builder", &options.builder), ("build_type", &options.build_type)] {
        check_uri(field, uri)?;
    }
    if version.spec.run.as_ref() != Some(&run.id) {
        let found = version.spec.run.as_ref().map_or_else(|| "no run".to_owned(), ToString::to_string);
        let message = "the version was not made by this run";
        return Err(Error::conflict(OP, message, &run.id, found).with("model", &version.spec.model));
    }
    let subject = json!([resource(&name_of(version), version.spec.artifact)]);
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": options.build_type,
                "externalParameters": external(run),
                "internalParameters": internal(run),
                "resolvedDependencies": dependencies(version, run, lineage, parents)?,
            },
            "runDetails": {
                "builder": { "id": options.builder },
                "metadata": metadata(run),
                "byproducts": byproducts(version, run, options)?,
            },
        },
    });
    let bytes = canonical_json(&statement)?;
    let json = String::from_utf8(bytes).map_err(|source| {
        Error::new(ErrorKind::Internal, OP, "canonical JSON is not UTF-8").with_source(source)
    })?;
    let digest = Digest::of(json.as_bytes());
    Ok(ProvenanceStatement { json, digest, subject: version.spec.artifact, builder: options.builder.clone() })
}

impl Stores {
    /// The statement about a registered version, read from registry, tracker and lineage.
    ///
    /// # Errors
    /// As [`statement`] and the stores; [`ErrorKind::NotFound`] for a version or run that is not there.
    pub async fn provenance(
        &self,
        reference: &ModelRef,
        options: &ProvenanceOptions,
    ) -> Result<ProvenanceStatement> {
        let version = self.registry.get(reference).await?;
        let Some(run) = &version.spec.run else {
            let message = "the version does not say which run made it";
            return Err(Error::conflict(OP, message, "a run", "none").with("model", &version.spec.model));
        };
        let run = self.tracker.run(run).await?;
        let node = Node::Model { name: version.spec.model.clone(), version: version.version };
        let lineage = match self.registry.capabilities().lineage {
            true => self.registry.lineage(&node, Direction::Upstream, DEPTH).await?,
            false => LineageGraph::default(),
        };
        let mut parents = Vec::new();
        for other in lineage.nodes.iter().filter(|other| **other != node) {
            if let Node::Model { name, version } = other {
                parents.push(self.registry.get(&ModelRef::new(name.clone(), *version)).await?);
            }
        }
        statement(&version, &run, &lineage, &parents, options)
    }
}

fn check_uri(field: &str, uri: &str) -> Result<()> {
    let scheme = uri.split_once(':').map(|(scheme, rest)| (scheme, !rest.is_empty()));
    let good = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_alphabetic())
            && s.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let plain = uri.is_ascii() && !uri.contains(|c: char| c.is_ascii_control() || c == ' ');
    match scheme {
        Some((scheme, true)) if good(scheme) && plain => Ok(()),
        _ => Err(Error::invalid(OP, field, "is not a URI").with("value", uri)),
    }
}

fn name_of(version: &ModelVersion) -> String {
    format!("{}:{}", version.spec.model, version.version)
}

fn resource(name: &str, digest: Digest) -> Value {
    json!({ "name": name, "digest": { "sha256": digest.hex() } })
}

/// What whoever started the run chose. Seeds are text: not every one of them is a number that JSON can hold.
fn external(run: &Run) -> Value {
    let parameters: BTreeMap<&str, &String> =
        run.params.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let seeds: BTreeMap<&String, String> =
        run.capsule.seeds.iter().map(|(purpose, seed)| (purpose, seed.to_string())).collect();
    json!({ "experiment": run.experiment.as_str(), "parameters": parameters, "seeds": seeds })
}

/// What was found where the run took place.
fn internal(run: &Run) -> Value {
    let capsule = &run.capsule;
    let mut out = Map::new();
    out.insert("versions".to_owned(), json!(capsule.versions));
    out.insert("environment".to_owned(), json!(capsule.environment));
    out.insert("actor".to_owned(), json!(run.actor.as_str()));
    // A work tree that was not looked at is not called clean.
    if let Some(dirty) = capsule.code.dirty {
        out.insert("workTreeDirty".to_owned(), json!(dirty));
    }
    if let Some(diff) = capsule.code.diff {
        out.insert("workTreeDiff".to_owned(), json!(diff.to_string()));
    }
    Value::Object(out)
}

/// Data by version, code by commit, lock file and program by content, parents by content: each once, by name.
fn dependencies(
    version: &ModelVersion,
    run: &Run,
    lineage: &LineageGraph,
    parents: &[ModelVersion],
) -> Result<Vec<Value>> {
    let mut out: BTreeMap<(String, Digest), Value> = BTreeMap::new();
    let mut roles: BTreeMap<(String, Digest), Vec<&str>> = BTreeMap::new();
    let mut add = |name: String, digest: Digest| {
        let value = resource(&name, digest);
        out.entry((name, digest)).or_insert(value);
    };
    let name = |input: &DataInput| format!("data/{}:{}", input.asset, input.version);
    for input in version.spec.data.iter().chain(&run.inputs) {
        add(name(input), input.digest);
        roles.entry((name(input), input.digest)).or_default().push(&input.role);
    }
    let known = |model: &crate::id::ModelName, number: &crate::id::Version| {
        parents.iter().find(|p| p.spec.model == *model && p.version == *number)
    };
    for node in &lineage.nodes {
        match node {
            Node::Data { name, version, digest } => add(format!("data/{name}:{version}"), *digest),
            Node::Model { name, version: number }
                if (name, number) != (&version.spec.model, &version.version) =>
            {
                let parent = known(name, number).ok_or_else(|| {
                    Error::invalid(OP, "parents", "lineage names a parent that is not among them")
                        .with("model", format!("{name}:{number}"))
                })?;
                add(format!("model/{}", name_of(parent)), parent.spec.artifact);
            }
            _ => {}
        }
    }
    for (role, digest) in &run.capsule.inputs {
        add(format!("input/{role}"), *digest);
    }
    for (name, digest) in [("lock file", run.capsule.lock), ("program", run.capsule.program.digest)] {
        if let Some(digest) = digest {
            add(name.to_owned(), digest);
        }
    }
    for (key, mut roles) in roles {
        roles.sort_unstable();
        roles.dedup();
        if let Some(Value::Object(resource)) = out.get_mut(&key) {
            resource.insert("annotations".to_owned(), json!({ "roles": roles }));
        }
    }
    Ok(code(run).into_iter().chain(out.into_values()).collect())
}

fn code(run: &Run) -> Option<Value> {
    let code = &run.capsule.code;
    let commit = code.commit.as_ref()?;
    let mut source = Map::new();
    source.insert("name".to_owned(), json!("source"));
    source.insert("digest".to_owned(), json!({ "gitCommit": commit }));
    if let Some(repository) = &code.repository {
        source.insert("uri".to_owned(), json!(format!("git+{repository}")));
    }
    Some(Value::Object(source))
}

fn metadata(run: &Run) -> Value {
    let text = |at: Timestamp| at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let mut out = Map::new();
    out.insert("invocationId".to_owned(), json!(run.id.as_str()));
    out.insert("startedOn".to_owned(), json!(text(run.started_at)));
    if let Some(ended) = run.ended_at {
        out.insert("finishedOn".to_owned(), json!(text(ended)));
    }
    Value::Object(out)
}

fn byproducts(version: &ModelVersion, run: &Run, options: &ProvenanceOptions) -> Result<Vec<Value>> {
    let mut out = Vec::new();
    let metrics = &version.spec.metrics;
    if !metrics.is_empty() {
        let mut scored = Map::new();
        scored.insert("name".to_owned(), json!("metrics"));
        scored.insert("mediaType".to_owned(), json!("application/json"));
        scored.insert("digest".to_owned(), json!({ "sha256": Digest::of(&canonical_json(metrics)?).hex() }));
        scored.insert("annotations".to_owned(), json!(metrics));
        out.push(Value::Object(scored));
    }
    out.extend(run.artifacts.iter().map(|file| resource(&format!("run/{}", file.path), file.digest)));
    out.extend(options.byproducts.iter().map(|(name, digest)| resource(name, *digest)));
    Ok(out)
}
