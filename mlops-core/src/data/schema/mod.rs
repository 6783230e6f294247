//! What a table looks like: names, types, nullability and order, with a digest and a diff; and what its values are held to.
//!
//! A schema is one file in TOML, JSON or YAML (feature `yaml`), see [`Schema::from_file`]:
//!
//! ```toml
//! environments = ["training", "serving"]
//! extra_columns = "refuse"
//!
//! [[fields]]
//! name = "age"
//! data_type = "i64"
//! range = { min = 0, max = 120 }
//!
//! [[fields]]
//! name = "readmitted"
//! data_type = "bool"
//! not_in = ["serving"]
//!
//! [[rules]]
//! rule = "rows"
//! min = 100
//! only_in = ["training"]
//! ```

mod diff;
mod field;
mod file;
mod range;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::data::validate::{Expectation, Expectations};
use crate::data::{DataType, Table};
use crate::error::{Error, Result, quote};
use crate::hash::{Digest, Hasher};

pub use crate::config::Format as SchemaFormat;
pub use diff::{FieldChange, RuleChange, SchemaChange, SchemaDiff};
pub use field::Field;
pub use range::{Length, Range};

const OP: &str = "Schema::new";

/// What a column that the schema does not know means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExtraColumns {
    /// Nothing.
    Allow,
    /// A warning. The default.
    #[default]
    Warn,
    /// An error.
    Refuse,
}

/// Fields of distinct names, in order, and rules.
///
/// ```
/// use mlops_core::data::{Column, Schema, Table};
///
/// let table = Table::new(vec![Column::i64("age", vec![59])?, Column::optional_text("sex", [None::<&str>])?])?;
/// let schema = Schema::infer(&table)?;
/// assert!(schema.field("sex").is_some_and(|f| f.nullable));
/// let text = serde_json::to_string(&schema)?;
/// assert_eq!(serde_json::from_str::<Schema>(&text)?.digest(), schema.digest());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SchemaWire", into = "SchemaWire")]
pub struct Schema {
    environments: Vec<String>,
    extra_columns: ExtraColumns,
    ordered: bool,
    fields: Vec<Field>,
    rules: Vec<Expectation>,
}

/// A schema as it is written, of which only the parts were checked; in a file, `R` is a rule of which not even those were.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemaWire<R = Expectation> {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    environments: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    extra_columns: ExtraColumns,
    #[serde(default, skip_serializing_if = "range::is_false")]
    ordered: bool,
    fields: Vec<Field>,
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    rules: Vec<R>,
}

fn is_default(extra: &ExtraColumns) -> bool {
    *extra == ExtraColumns::default()
}

/// What is wrong with a schema: in which list, at which place of it, at which key.
#[derive(Debug)]
struct Fault {
    list: &'static str,
    place: Option<usize>,
    key: &'static str,
    message: String,
}

impl SchemaWire {
    fn fault(&self) -> Option<Fault> {
        let alone = |list, message: &str| Fault { list, place: None, key: list, message: message.to_owned() };
        if self.fields.is_empty() {
            return Some(alone("fields", "must not be empty"));
        }
        let mut names = HashSet::new();
        if !self.environments.iter().all(|name| !name.is_empty() && names.insert(name.as_str())) {
            return Some(alone("environments", "must be distinct and not empty"));
        }
        self.field_fault(&names).or_else(|| self.rule_fault(&names))
    }

    fn field_fault(&self, environments: &HashSet<&str>) -> Option<Fault> {
        let mut seen = HashSet::new();
        self.fields.iter().enumerate().find_map(|(place, field)| {
            let twice = || {
                let first = seen.insert(field.name.as_str());
                (!first).then(|| ("name", "has two fields of one name".to_owned()))
            };
            let (key, message) = field
                .fault()
                .or_else(twice)
                .or_else(|| unknown(environments, "only_in", &field.only_in))
                .or_else(|| unknown(environments, "not_in", &field.not_in))?;
            Some(Fault { list: "fields", place: Some(place), key, message })
        })
    }

    fn rule_fault(&self, environments: &HashSet<&str>) -> Option<Fault> {
        let known: HashSet<&str> = self.fields.iter().map(|f| f.name.as_str()).collect();
        let mut ids = HashSet::new();
        self.rules.iter().enumerate().find_map(|(place, rule)| {
            let strange = rule.rule.columns().iter().find(|name| !known.contains(name.as_str()));
            let twice = rule.id.as_ref().filter(|id| !ids.insert(id.as_str()));
            let (key, message) = rule
                .fault()
                .or_else(|| strange.map(|name| ("column", format!("`{}` is no field", quote(name)))))
                .or_else(|| twice.map(|_| ("id", "two rules have one id".to_owned())))
                .or_else(|| unknown(environments, "only_in", &rule.only_in))
                .or_else(|| unknown(environments, "not_in", &rule.not_in))?;
            Some(Fault { list: "rules", place: Some(place), key, message })
        })
    }

    /// The schema these parts make.
    fn build(self) -> Schema {
        let Self { environments, extra_columns, ordered, fields, rules } = self;
        Schema { environments, extra_columns, ordered, fields, rules }
    }
}

fn unknown(known: &HashSet<&str>, key: &'static str, names: &[String]) -> Option<(&'static str, String)> {
    let strange = names.iter().find(|name| !known.contains(name.as_str()))?;
    Some((key, format!("`{}` is no environment of the schema", quote(strange))))
}

impl From<Schema> for SchemaWire {
    fn from(schema: Schema) -> Self {
        let Schema { environments, extra_columns, ordered, fields, rules } = schema;
        Self { environments, extra_columns, ordered, fields, rules }
    }
}

impl TryFrom<SchemaWire> for Schema {
    type Error = Error;

    fn try_from(wire: SchemaWire) -> Result<Self> {
        let Some(fault) = wire.fault() else {
            let schema = wire.build();
            // The limits on how many rules and patterns there may be are those of expectations.
            let all = Expectations::from_schema(&schema).as_slice().to_vec();
            return Expectations::new(all).map(|_| schema).map_err(|e| Error::new(e.kind(), OP, e.message()));
        };
        let error = Error::invalid(OP, fault.list, fault.message);
        let Some(place) = fault.place else { return Err(error) };
        let error = error.with("key", fault.key).with("place", place);
        Err(match wire.fields.get(place).filter(|_| fault.list == "fields") {
            Some(field) => error.with("column", &field.name),
            None => error,
        })
    }
}

impl Schema {
    /// A schema of these fields. Columns that it does not know are a warning, and the order of columns does not matter.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for no fields, two of one name, a name no column can
    /// have, a range on something without order, levels, a pattern or a length on something other than a category, levels that
    /// repeat, a pattern that is none, and for environments: those come with [`Schema::with_environments`].
    pub fn new(fields: Vec<Field>) -> Result<Self> {
        // Environments become known after; until then a field cannot be checked against them.
        let environments: HashSet<String> =
            fields.iter().flat_map(|f| f.only_in.iter().chain(&f.not_in)).cloned().collect();
        let mut environments: Vec<String> = environments.into_iter().collect();
        environments.sort_unstable();
        let wire = SchemaWire {
            environments,
            extra_columns: ExtraColumns::default(),
            ordered: false,
            fields,
            rules: Vec::new(),
        };
        wire.try_into()
    }

    /// Names the environments that data of this schema comes from. Without it they are those that the fields speak of.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for an empty name, a name that comes twice, and when a field or a rule
    /// speaks of another environment.
    pub fn with_environments<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Result<Self> {
        let environments = names.into_iter().map(Into::into).collect();
        SchemaWire { environments, ..self.into() }.try_into()
    }

    /// Sets the rules: what fields cannot say, what is no error, what is tolerated.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a malformed rule, two of one id, a rule about a column that
    /// is no field, and an environment that the schema does not have.
    ///
    /// ```
    /// use mlops_core::data::{DataType, Expectation, Field, Schema};
    ///
    /// let fields = vec![Field::new("x", DataType::F64)];
    /// let mostly = Expectation::finite("x").with_max_fraction(0.01).warning();
    /// let schema = Schema::new(fields)?.with_rules(vec![mostly, Expectation::rows(100, None)])?;
    /// assert!(schema.clone().with_rules(vec![Expectation::finite("y")]).is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn with_rules(self, rules: Vec<Expectation>) -> Result<Self> {
        SchemaWire { rules, ..self.into() }.try_into()
    }

    /// Sets what a column means that is no field.
    #[must_use]
    pub fn with_extra_columns(mut self, extra_columns: ExtraColumns) -> Self {
        self.extra_columns = extra_columns;
        self
    }

    /// Sets whether columns must stand in the order of the fields.
    #[must_use]
    pub fn with_ordered(mut self, ordered: bool) -> Self {
        self.ordered = ordered;
        self
    }

    /// The schema a table has: names, types, order, and nullable where a value is missing. No ranges and no levels: what
    /// was seen is not what is allowed; a person adds those, or [`Profile::propose`](crate::data::Profile::propose) proposes them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a table without columns.
    pub fn infer(table: &Table<'_>) -> Result<Self> {
        Self::new(table.columns().iter().map(Field::infer).collect())
    }

    /// The fields, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field called `name`, if there is one.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// The rules besides those of the fields.
    pub fn rules(&self) -> &[Expectation] {
        &self.rules
    }

    /// The environments that data of this schema comes from.
    pub fn environments(&self) -> &[String] {
        &self.environments
    }

    /// What a column means that is no field.
    pub fn extra_columns(&self) -> ExtraColumns {
        self.extra_columns
    }

    /// Whether columns must stand in the order of the fields.
    pub fn is_ordered(&self) -> bool {
        self.ordered
    }

    /// The identity of the shape: names, types, nullability and order. Constraints are rules, not shape: tightening
    /// one does not change the digest.
    ///
    /// ```
    /// use mlops_core::data::{DataType, Field, Schema};
    /// let a = Schema::new(vec![Field::new("x", DataType::F64), Field::new("y", DataType::F64)])?;
    /// let b = Schema::new(vec![Field::new("y", DataType::F64), Field::new("x", DataType::F64)])?;
    /// assert_ne!(a.digest(), b.digest());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new("mlops.schema/v1");
        for field in &self.fields {
            hasher.push(field.name.as_bytes());
            hasher.push(type_name(field.data_type).as_bytes());
            hasher.push(&[u8::from(field.nullable)]);
        }
        hasher.finish()
    }
}

/// A type's name as it is serialised; part of the digest, so it never changes.
pub(super) const fn type_name(data_type: DataType) -> &'static str {
    match data_type {
        DataType::F64 => "f64",
        DataType::F32 => "f32",
        DataType::I64 => "i64",
        DataType::Bool => "bool",
        DataType::Category => "category",
        DataType::Time => "time",
    }
}
