//! What a signature says: an in-toto statement that lists the files of a model.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::files::{MAX_FILES, ModelFiles, SINGLE, root};
use crate::error::{Error, ErrorKind, Result, quote};
use crate::hash::{Digest, canonical_json};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://model_signing/signature/v1.0";
const OP: &str = "SignatureBundle::verify";

/// The longest name of a file, in bytes.
const MAX_NAME: usize = 4096;

/// How many names of a difference are said.
const SAID: usize = 5;

/// The statement about a model, in canonical JSON.
///
/// # Errors
/// As [`canonical_json`].
pub(super) fn write(model: &ModelFiles) -> Result<Vec<u8>> {
    let resource = |(name, digest): (&str, &Digest)| json!({ "name": name, "algorithm": "sha256", "digest": digest.hex() });
    canonical_json(&json!({
        "_type": STATEMENT,
        "subject": [{ "name": model.name(), "digest": { "sha256": model.root().hex() } }],
        "predicateType": PREDICATE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": false,
                "ignore_paths": model.ignored().collect::<Vec<_>>(),
            },
            "resources": model.files().map(resource).collect::<Vec<_>>(),
        },
    }))
}

#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: serde_json::Value,
}

#[derive(Deserialize)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

/// What else is in a predicate, a verifier leaves alone: so the specification.
#[derive(Deserialize)]
struct Predicate {
    serialization: Serialization,
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Serialization {
    method: String,
    hash_type: String,
    // Links are not followed, whatever it says: a model with one is refused.
    #[serde(rename = "allow_symlinks")]
    _allow_symlinks: bool,
    #[serde(default)]
    ignore_paths: Vec<String>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    algorithm: String,
    digest: String,
}

/// Reads the statement in a payload whose signature was verified.
pub(super) fn read(payload: &[u8]) -> Result<SignedModel> {
    let statement: Statement = serde_json::from_slice(payload)
        .map_err(|e| corrupt("the payload is no statement of in-toto's").with_source(e))?;
    if statement.kind != STATEMENT {
        return Err(corrupt("the payload is no statement of in-toto's").with("type", statement.kind));
    }
    if statement.predicate_type != PREDICATE {
        let error = Error::new(ErrorKind::Unsupported, OP, "the statement is not about the files of a model");
        return Err(error.with("predicate", statement.predicate_type));
    }
    let predicate: Predicate = serde_json::from_value(statement.predicate)
        .map_err(|e| corrupt("the predicate lists no files").with_source(e))?;
    let Serialization { method, hash_type, ignore_paths, .. } = predicate.serialization;
    for (what, found, wanted) in [("method", method, "files"), ("hash_type", hash_type, "sha256")] {
        if found != wanted {
            let error = Error::new(ErrorKind::Unsupported, OP, "files are listed in another way");
            return Err(error.with(what, found));
        }
    }
    let [Subject { name, digest }] = &statement.subject[..] else {
        return Err(corrupt("the statement has not one subject").with("subjects", statement.subject.len()));
    };
    if name.trim().is_empty() {
        return Err(corrupt("the subject has no name"));
    }
    let digest = digest.get("sha256").ok_or_else(|| corrupt("the subject has no SHA-256"))?;
    let digest = read_digest(digest)?;
    let (files, found) = read_files(predicate.resources)?;
    if found != digest {
        let error = corrupt("the subject's digest is not that of the files");
        return Err(error.with("expected", digest).with("found", found));
    }
    // What is no name of a file can leave none out.
    let ignored = ignore_paths.into_iter().filter(|path| is_name(path)).collect();
    Ok(SignedModel { name: name.clone(), digest, files, ignored })
}

/// The files by name, and the digest over theirs in the order of the list, which tells nothing else.
fn read_files(resources: Vec<Resource>) -> Result<(BTreeMap<String, Digest>, Digest)> {
    if resources.is_empty() || resources.len() > MAX_FILES {
        let error = corrupt("the statement lists no files or too many");
        return Err(error.with("limit", MAX_FILES).with("got", resources.len()));
    }
    let alone = resources.len() == 1;
    let (mut files, mut digests) = (BTreeMap::new(), Vec::with_capacity(resources.len()));
    for Resource { name, algorithm, digest } in resources {
        if algorithm != "sha256" {
            let error = Error::new(ErrorKind::Unsupported, OP, "a file has another digest than SHA-256");
            return Err(error.with("file", name).with("algorithm", algorithm));
        }
        if !(is_name(&name) || alone && name == SINGLE) {
            return Err(corrupt("a file has a name that leads elsewhere").with("file", name));
        }
        let digest = read_digest(&digest)?;
        digests.push(digest);
        if files.contains_key(&name) {
            return Err(corrupt("a file is listed twice").with("file", name));
        }
        files.insert(name, digest);
    }
    Ok((files, root(&digests)))
}

fn read_digest(hex: &str) -> Result<Digest> {
    let digest = format!("sha256:{}", hex.to_ascii_lowercase()).parse();
    digest.map_err(|_| corrupt("a digest is not 64 hexadecimal digits").with("value", hex))
}

/// Relative, with `/` between its parts, and within the folder.
fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && !name.contains('\0')
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn corrupt(message: &str) -> Error {
    Error::new(ErrorKind::Corrupt, OP, message)
}

/// What a signature that was verified says about a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedModel {
    name: String,
    digest: Digest,
    files: BTreeMap<String, Digest>,
    ignored: BTreeSet<String>,
}

impl SignedModel {
    /// What the signer called it; for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The digest by which other documents can name the model; see [`ModelFiles::root`].
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The files by name.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Digest)> {
        self.files.iter().map(|(name, digest)| (name.as_str(), digest))
    }

    /// What the signer left out, and so does who verifies.
    pub fn ignored(&self) -> impl Iterator<Item = &str> {
        self.ignored.iter().map(String::as_str)
    }

    /// In what files differ from those that were signed; a file that was renamed is missing and added. What a model is called does not
    /// count. O(files · log files).
    pub fn compare(&self, model: &ModelFiles) -> FileDifference {
        let mut found = model.by_name().clone();
        // The specification names a single file by its name, the program by `.`.
        if self.files.contains_key(model.name())
            && self.files.len() == 1
            && let Some(digest) = found.remove(SINGLE)
        {
            found.insert(model.name().to_owned(), digest);
        }
        let mut out = FileDifference::default();
        for (name, digest) in &self.files {
            match found.get(name) {
                None => out.missing.push(name.clone()),
                Some(found) if found != digest => out.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        out.added = found.into_keys().filter(|name| !self.files.contains_key(name)).collect();
        out
    }

    /// Refuses files that are not those that were signed.
    ///
    /// # Errors
    /// [`ErrorKind::Integrity`] that names the first of them, with the [`FileDifference`] as its source.
    pub fn require(&self, model: &ModelFiles) -> Result<()> {
        let difference = self.compare(model);
        if difference.is_none() {
            return Ok(());
        }
        let message = format!("the files are not those that were signed: {difference}");
        let error = Error::new(ErrorKind::Integrity, "SignedModel::require", message);
        Err(error.with("model", &self.name).with_source(difference))
    }
}

/// In what files differ from those that were signed, each list alphabetically.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileDifference {
    /// Files with another content.
    pub changed: Vec<String>,
    /// Files that were signed and are not there.
    pub missing: Vec<String>,
    /// Files that are there and were not signed.
    pub added: Vec<String>,
}

impl FileDifference {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.changed.is_empty() && self.missing.is_empty() && self.added.is_empty()
    }
}

impl fmt::Display for FileDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists =
            [(&self.changed, "was changed"), (&self.missing, "is missing"), (&self.added, "is not signed")];
        let all = lists.into_iter().flat_map(|(names, what)| names.iter().map(move |name| (name, what)));
        let count = all.clone().count();
        for (i, (name, what)) in all.take(SAID).enumerate() {
            write!(f, "{}`{}` {what}", if i == 0 { "" } else { ", " }, quote(name))?;
        }
        match count.checked_sub(SAID) {
            Some(more) if more > 0 => write!(f, ", and {more} more"),
            _ if count == 0 => f.write_str("none"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for FileDifference {}
