//! Azure's type definitions, which judge the bodies that are sent.
//!
//! They are those of Bicep (`types.json` of `Azure/bicep-types-az`): for every resource type and API version the members, with
//! flags that say which are required, read only, or part of the URL. A body is judged as Resource Manager would judge it: what is
//! required must be there, what is unknown, read only or of the wrong type may not, and discriminators are spelt exactly.
//! Enumerations that end in any text are open: an unknown value is a warning.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mlops_core::{Error, ErrorKind, Result};
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A member must be there.
const REQUIRED: u32 = 1;
/// A member is the service's to write.
const READ_ONLY: u32 = 2;

/// Members of the envelope that the URL says.
const ENVELOPE: [&str; 4] = ["id", "name", "type", "apiVersion"];

/// The rule that a body breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Something that must be there is not.
    Required,
    /// Something is there that the type does not have.
    Unknown,
    /// Something is of another JSON type.
    Type,
    /// A value is not one of a closed enumeration.
    Enum,
    /// A value is one of an enumeration but for its case.
    EnumCase,
    /// A value is not one of the known ones of an open enumeration.
    EnumOpen,
    /// The member that says which type it is is missing or unknown.
    Discriminator,
    /// Something is there that the service writes, or the URL says.
    ReadOnly,
    /// A text does not have the form that it must have.
    Pattern,
    /// A text, number or list is too short, small, long or large.
    Range,
    /// The type's pattern is one that this judge cannot read.
    Unread,
}

/// Where a body breaks which rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where, as a JSON pointer.
    pub at: String,
    /// Which rule.
    pub rule: Rule,
    /// How, in words.
    pub message: String,
}

/// What a judge says of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The type by which it was judged: `Microsoft.…@version`.
    pub type_name: String,
    /// What Azure would refuse.
    pub errors: Vec<Finding>,
    /// What it would take, but may not mean what is meant.
    pub warnings: Vec<Finding>,
}

/// The type definitions in a folder.
///
/// ```no_run
/// use mlops_azure::fake::Schemas;
/// let schemas = Schemas::open("types")?;
/// let body = serde_json::json!({ "properties": { "dataType": "uri_file", "dataUri": "azureml://x" } });
/// let report = schemas.judge("Microsoft.MachineLearningServices/workspaces/data/versions@2026-05-01", &body)?;
/// assert!(report.errors.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Schemas {
    folder: PathBuf,
    /// By name in lower case.
    index: BTreeMap<String, (String, Entry)>,
    files: Mutex<HashMap<String, Arc<Vec<Type>>>>,
    patterns: Patterns,
}

/// Patterns that were read; `None` for those that cannot be.
pub(super) type Patterns = Mutex<HashMap<String, Option<Regex>>>;

#[derive(Clone, Debug, Deserialize)]
struct Entry {
    file: String,
    idx: usize,
}

#[derive(Clone, Debug, Deserialize)]
struct Reference {
    #[serde(rename = "$ref")]
    target: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Member {
    #[serde(rename = "type")]
    of: Reference,
    flags: u32,
}

/// A type; which members count depends on its kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Type {
    #[serde(rename = "$type")]
    kind: String,
    #[serde(default)]
    body: Option<Reference>,
    #[serde(default)]
    properties: BTreeMap<String, Member>,
    #[serde(default)]
    base_properties: BTreeMap<String, Member>,
    #[serde(default)]
    additional_properties: Option<Reference>,
    #[serde(default)]
    item_type: Option<Reference>,
    #[serde(default)]
    elements: Option<Elements>,
    #[serde(default)]
    discriminator: Option<String>,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    pattern: Option<String>,
    #[serde(default)]
    min_length: Option<usize>,
    #[serde(default)]
    max_length: Option<usize>,
    #[serde(default)]
    min_value: Option<f64>,
    #[serde(default)]
    max_value: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Elements {
    Any(Vec<Reference>),
    ByName(BTreeMap<String, Reference>),
}

const OP: &str = "Schemas";

fn corrupt(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Corrupt, OP, "a file of type definitions cannot be read")
        .with("file", path.file_name().unwrap_or_default().display())
        .with_source(source)
}

impl Schemas {
    /// The definitions in a folder with an `_index.json`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for an index that is not there or none.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        let path = folder.join("_index.json");
        let text = fs::read(&path).map_err(|e| corrupt(&path, e))?;
        let raw: BTreeMap<String, Entry> = serde_json::from_slice(&text).map_err(|e| corrupt(&path, e))?;
        let index = raw.into_iter().map(|(name, entry)| (name.to_ascii_lowercase(), (name, entry))).collect();
        Ok(Self { folder, index, files: Mutex::default(), patterns: Mutex::default() })
    }

    /// Whether there is a definition of this name.
    pub fn has(&self, type_name: &str) -> bool {
        self.index.contains_key(&type_name.to_ascii_lowercase())
    }

    /// Judges the body of a request. The name is `Microsoft.…/type@version`, in any case.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a name that is not defined; [`ErrorKind::Corrupt`] for definitions that are broken.
    pub fn judge(&self, type_name: &str, body: &Value) -> Result<Report> {
        self.judge_as(type_name, body, false)
    }

    /// Judges the body of an answer, where nothing is required and the service may say everything.
    ///
    /// # Errors
    /// As of [`judge`](Self::judge).
    pub fn judge_answer(&self, type_name: &str, body: &Value) -> Result<Report> {
        self.judge_as(type_name, body, true)
    }

    fn judge_as(&self, type_name: &str, body: &Value, answer: bool) -> Result<Report> {
        let (name, entry) = self
            .index
            .get(&type_name.to_ascii_lowercase())
            .ok_or_else(|| Error::not_found(OP, "type", type_name))?;
        let types = self.types(&entry.file)?;
        let broken =
            || Error::new(ErrorKind::Corrupt, OP, "a type definition has no body").with("type", name);
        let resource = types.get(entry.idx).ok_or_else(broken)?;
        let root = resource.body.as_ref().and_then(|body| find(&types, body)).ok_or_else(broken)?;
        let mut judge = Judge::new(&types, &self.patterns, if answer { Way::Answer } else { Way::Resource });
        judge.check(root, body, "");
        Ok(Report { type_name: name.clone(), errors: judge.errors, warnings: judge.warnings })
    }

    fn types(&self, file: &str) -> Result<Arc<Vec<Type>>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(types) = files.get(file) {
            return Ok(types.clone());
        }
        let path = self.folder.join(file);
        let text = fs::read(&path).map_err(|e| corrupt(&path, e))?;
        let types: Vec<Type> = serde_json::from_slice(&text).map_err(|e| corrupt(&path, e))?;
        let types = Arc::new(types);
        files.insert(file.to_owned(), types.clone());
        Ok(types)
    }
}

fn find<'a>(types: &'a [Type], reference: &Reference) -> Option<&'a Type> {
    types.get(reference.target.rsplit('/').next()?.parse::<usize>().ok()?)
}

/// What is judged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A resource that is sent: its envelope is the URL's.
    Resource,
    /// Anything else that is sent.
    Body,
    /// An answer.
    Answer,
}

/// What the type at a place of a list says of a body that is no resource; nothing where there is no such type.
pub(super) fn judge_body(types: &[Type], place: usize, patterns: &Patterns, body: &Value) -> Report {
    let mut judge = Judge::new(types, patterns, Way::Body);
    if let Some(root) = types.get(place) {
        judge.check(root, body, "");
    }
    Report { type_name: String::new(), errors: judge.errors, warnings: judge.warnings }
}

/// Every body that one mistake makes of a good one that is no resource.
pub(super) fn mutants_of_body(types: &[Type], place: usize, body: &Value) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    if let Some(root) = types.get(place) {
        let envelope = &[];
        Mutation { types, envelope, whole: body, out: &mut mutants }.walk(root, body, "");
    }
    mutants
}

struct Judge<'a> {
    types: &'a [Type],
    patterns: &'a Patterns,
    way: Way,
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
}

fn finding(at: &str, rule: Rule, message: impl Into<String>) -> Finding {
    let at = if at.is_empty() { "/" } else { at };
    Finding { at: at.to_owned(), rule, message: message.into() }
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl<'a> Judge<'a> {
    fn new(types: &'a [Type], patterns: &'a Patterns, way: Way) -> Self {
        Self { types, patterns, way, errors: Vec::new(), warnings: Vec::new() }
    }

    fn error(&mut self, at: &str, rule: Rule, message: impl Into<String>) {
        self.errors.push(finding(at, rule, message));
    }

    fn warn(&mut self, at: &str, rule: Rule, message: impl Into<String>) {
        self.warnings.push(finding(at, rule, message));
    }

    fn mistyped(&mut self, at: &str, expected: &str, value: &Value) {
        self.error(at, Rule::Type, format!("{expected} is expected, not {}", json_type(value)));
    }

    fn check(&mut self, of: &'a Type, value: &Value, at: &str) {
        // Resource Manager takes `null` for what may be left out; what may not is found by whoever looks for it.
        if value.is_null() {
            return;
        }
        match of.kind.as_str() {
            "StringType" => self.text(of, value, at),
            "StringLiteralType" if value.as_str() != of.value.as_deref() => {
                self.error(
                    at,
                    Rule::Enum,
                    format!("{value} is not {:?}", of.value.as_deref().unwrap_or_default()),
                );
            }
            "IntegerType" => self.number(of, value, at),
            "BooleanType" if !value.is_boolean() => self.mistyped(at, "a boolean", value),
            "ArrayType" => self.list(of, value, at),
            "UnionType" => self.union(of, value, at),
            "ObjectType" => self.object(&of.properties, of.additional_properties.as_ref(), value, at),
            "DiscriminatedObjectType" => self.discriminated(of, value, at),
            _ => {}
        }
    }

    fn text(&mut self, of: &Type, value: &Value, at: &str) {
        let Some(text) = value.as_str() else { return self.mistyped(at, "a text", value) };
        self.length(of, text.chars().count(), "characters", at);
        let Some(pattern) = &of.pattern else { return };
        match self.matches(pattern, text) {
            Some(true) => {}
            Some(false) => self.error(at, Rule::Pattern, format!("{text:?} does not match {pattern}")),
            None => self.warn(at, Rule::Unread, format!("{pattern} cannot be read")),
        }
    }

    /// Whether a text matches; `None` for a pattern that looks ahead or behind, which this kind of patterns does not.
    fn matches(&self, pattern: &str, text: &str) -> Option<bool> {
        let mut patterns = self.patterns.lock().unwrap_or_else(PoisonError::into_inner);
        let regex = patterns.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).ok());
        regex.as_ref().map(|regex| regex.is_match(text))
    }

    fn length(&mut self, of: &Type, length: usize, what: &str, at: &str) {
        let short = of.min_length.filter(|least| length < *least);
        if let Some(limit) = short.or(of.max_length.filter(|most| length > *most)) {
            self.error(at, Rule::Range, format!("{length} {what}, where the limit is {limit}"));
        }
    }

    fn number(&mut self, of: &Type, value: &Value, at: &str) {
        let Some(number) = value.as_f64() else { return self.mistyped(at, "a number", value) };
        let small = of.min_value.filter(|least| number < *least);
        if let Some(limit) = small.or(of.max_value.filter(|most| number > *most)) {
            self.error(at, Rule::Range, format!("{number}, where the limit is {limit}"));
        }
    }

    fn list(&mut self, of: &'a Type, value: &Value, at: &str) {
        let Some(items) = value.as_array() else { return self.mistyped(at, "a list", value) };
        self.length(of, items.len(), "items", at);
        let Some(item_type) = of.item_type.as_ref().and_then(|r| find(self.types, r)) else { return };
        for (i, item) in items.iter().enumerate() {
            self.check(item_type, item, &format!("{at}/{i}"));
        }
    }

    fn union(&mut self, of: &'a Type, value: &Value, at: &str) {
        let Some(Elements::Any(references)) = &of.elements else { return };
        let types = self.types;
        let elements: Vec<&Type> = references.iter().filter_map(|r| find(types, r)).collect();
        let literals: Vec<&str> = elements.iter().filter_map(|e| e.value.as_deref()).collect();
        if let Some(text) = value.as_str().filter(|_| !literals.is_empty()) {
            let is_open = elements.iter().any(|e| matches!(e.kind.as_str(), "StringType" | "AnyType"));
            return self.literal(text, &literals, is_open, at);
        }
        let mut fewest: Option<Vec<Finding>> = None;
        for element in elements {
            let mut one = Judge::new(types, self.patterns, self.way);
            one.check(element, value, at);
            if one.errors.is_empty() {
                self.warnings.extend(one.warnings);
                return;
            }
            if fewest.as_ref().is_none_or(|errors| one.errors.len() < errors.len()) {
                fewest = Some(one.errors);
            }
        }
        self.errors.extend(fewest.unwrap_or_default());
    }

    fn literal(&mut self, text: &str, literals: &[&str], is_open: bool, at: &str) {
        if literals.contains(&text) {
            return;
        }
        match literals.iter().find(|literal| literal.eq_ignore_ascii_case(text)) {
            Some(literal) => self.warn(at, Rule::EnumCase, format!("{text:?} should be spelt {literal:?}")),
            None if is_open => self.warn(at, Rule::EnumOpen, format!("{text:?} is none of {literals:?}")),
            None => self.error(at, Rule::Enum, format!("{text:?} is none of {literals:?}")),
        }
    }

    fn discriminated(&mut self, of: &'a Type, value: &Value, at: &str) {
        let Some(members) = value.as_object() else { return self.mistyped(at, "an object", value) };
        let (Some(name), Some(Elements::ByName(elements))) = (&of.discriminator, &of.elements) else {
            return;
        };
        let at_name = format!("{at}/{name}");
        let Some(chosen) = members.get(name).filter(|chosen| !chosen.is_null()) else {
            return self.error(
                &at_name,
                Rule::Discriminator,
                format!("is missing; one of {:?}", elements.keys()),
            );
        };
        let Some(reference) = chosen.as_str().and_then(|chosen| elements.get(chosen)) else {
            return self.error(
                &at_name,
                Rule::Discriminator,
                format!("{chosen} is none of {:?}", elements.keys()),
            );
        };
        let Some(branch) = find(self.types, reference) else { return };
        let mut properties = of.base_properties.clone();
        properties.extend(branch.properties.clone());
        self.object(&properties, branch.additional_properties.as_ref(), value, at);
    }

    fn object(
        &mut self,
        properties: &BTreeMap<String, Member>,
        additional: Option<&Reference>,
        value: &Value,
        at: &str,
    ) {
        let Some(members) = value.as_object() else { return self.mistyped(at, "an object", value) };
        let is_sent = self.way != Way::Answer;
        if is_sent {
            self.required(properties, members, at);
        }
        let is_root = at.is_empty() && self.way != Way::Body;
        for (name, member) in members {
            let at_member = format!("{at}/{name}");
            if is_root && ENVELOPE.contains(&name.as_str()) {
                if is_sent {
                    self.error(&at_member, Rule::ReadOnly, "belongs to the URL, not to the body");
                }
                continue;
            }
            match properties.get(name) {
                Some(property) if property.flags & READ_ONLY != 0 && is_sent => {
                    self.error(&at_member, Rule::ReadOnly, "is the service's to write");
                }
                Some(property) => {
                    if let Some(of) = find(self.types, &property.of) {
                        self.check(of, member, &at_member);
                    }
                }
                None => self.extra(properties, additional, name, member, &at_member),
            }
        }
    }

    fn required(&mut self, properties: &BTreeMap<String, Member>, members: &Map<String, Value>, at: &str) {
        for (name, property) in properties {
            let is_url = at.is_empty() && self.way != Way::Body && ENVELOPE.contains(&name.as_str());
            let is_needed = property.flags & REQUIRED != 0 && property.flags & READ_ONLY == 0;
            if !is_url && is_needed && members.get(name).is_none_or(Value::is_null) {
                self.error(&format!("{at}/{name}"), Rule::Required, "is missing");
            }
        }
    }

    fn extra(
        &mut self,
        properties: &BTreeMap<String, Member>,
        additional: Option<&Reference>,
        name: &str,
        member: &Value,
        at: &str,
    ) {
        if let Some(of) = additional {
            if let Some(of) = find(self.types, of) {
                self.check(of, member, at);
            }
            return;
        }
        match properties.keys().find(|known| known.eq_ignore_ascii_case(name)) {
            Some(known) => self.error(at, Rule::Unknown, format!("is spelt {known:?}")),
            None => self.error(at, Rule::Unknown, "is not a member"),
        }
    }
}

/// One body with one mistake in it, and where.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// The body.
    pub body: Value,
    /// Where the mistake is.
    pub at: String,
    /// What was done.
    pub change: &'static str,
}

impl Schemas {
    /// Every body that one mistake makes of a good one: a required member left out, one of another JSON type, a discriminator
    /// that is none, a member that is unknown or read only. A judge that lets one of them pass is none.
    ///
    /// # Errors
    /// As of [`judge`](Self::judge).
    pub fn mutants(&self, type_name: &str, body: &Value) -> Result<Vec<Mutant>> {
        let missing = || Error::not_found(OP, "type", type_name);
        let (_, entry) = self.index.get(&type_name.to_ascii_lowercase()).ok_or_else(missing)?;
        let types = self.types(&entry.file)?;
        let root = types.get(entry.idx).and_then(|t| t.body.as_ref()).and_then(|r| find(&types, r));
        let mut mutants = Vec::new();
        Mutation { types: &types, envelope: &ENVELOPE, whole: body, out: &mut mutants }.walk(
            root.ok_or_else(missing)?,
            body,
            "",
        );
        Ok(mutants)
    }
}

struct Mutation<'a> {
    types: &'a [Type],
    envelope: &'static [&'static str],
    whole: &'a Value,
    out: &'a mut Vec<Mutant>,
}

impl<'a> Mutation<'a> {
    fn walk(&mut self, of: &'a Type, value: &Value, at: &str) {
        match (of.kind.as_str(), value) {
            ("ObjectType", Value::Object(members)) => {
                self.members(&of.properties.clone(), of.additional_properties.is_some(), members, at);
            }
            ("DiscriminatedObjectType", Value::Object(members)) => {
                let (Some(name), Some(Elements::ByName(elements))) = (&of.discriminator, &of.elements) else {
                    return;
                };
                self.put(at, name, Some(Value::from("NoSuchThing")), "a discriminator that is none");
                self.put(at, name, None, "no discriminator");
                let chosen =
                    members.get(name).and_then(Value::as_str).and_then(|chosen| elements.get(chosen));
                let Some(branch) = chosen.and_then(|r| find(self.types, r)) else { return };
                let mut properties = of.base_properties.clone();
                properties.extend(branch.properties.clone());
                self.members(&properties, branch.additional_properties.is_some(), members, at);
            }
            ("ArrayType", Value::Array(items)) => {
                let Some(of) = of.item_type.as_ref().and_then(|r| find(self.types, r)) else { return };
                for (i, item) in items.iter().enumerate().take(1) {
                    self.walk(of, item, &format!("{at}/{i}"));
                }
            }
            _ => {}
        }
    }

    fn members(
        &mut self,
        properties: &BTreeMap<String, Member>,
        open: bool,
        members: &Map<String, Value>,
        at: &str,
    ) {
        if !open {
            self.put(at, "noSuchMember", Some(Value::from(1)), "a member that is unknown");
        }
        for (name, member) in properties {
            if at.is_empty() && self.envelope.contains(&name.as_str()) {
                self.put(at, name, Some(Value::from("x")), "a member of the envelope");
                continue;
            }
            let Some(of) = find(self.types, &member.of) else { continue };
            if member.flags & READ_ONLY != 0 {
                self.put(at, name, Some(Value::from("x")), "a member that is read only");
                continue;
            }
            let Some(value) = members.get(name).filter(|value| !value.is_null()) else { continue };
            if member.flags & REQUIRED != 0 {
                self.put(at, name, None, "a required member left out");
            }
            let wrong = match of.kind.as_str() {
                "StringType" => Some(Value::from(7)),
                "IntegerType" | "BooleanType" | "ArrayType" | "ObjectType" | "DiscriminatedObjectType" => {
                    Some(Value::from("x"))
                }
                _ => None,
            };
            if wrong.is_some() {
                self.put(at, name, wrong, "another type");
            }
            self.walk(of, value, &format!("{at}/{name}"));
        }
    }

    /// Adds a mutant with a member set or left out.
    fn put(&mut self, at: &str, name: &str, value: Option<Value>, change: &'static str) {
        let mut body = self.whole.clone();
        // Names with a slash in them are found by no pointer.
        let Some(members) = body.pointer_mut(at).and_then(Value::as_object_mut) else { return };
        match value {
            Some(value) => drop(members.insert(name.to_owned(), value)),
            None => drop(members.remove(name)),
        }
        self.out.push(Mutant { body, at: format!("{at}/{name}"), change });
    }
}
