//! What a table looks like: names, types, nullability and order, with a digest and a diff.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::data::{Column, DataType, Table};
use crate::error::{Error, Result};
use crate::hash::{Digest, Hasher};

const OP: &str = "Schema::new";

/// The values a numeric or time field may take, both ends included; a side without a limit is open.
///
/// Limits of integers and times beyond ±2⁵³ are rounded to the nearest 64-bit float.
///
/// ```
/// use mlops_core::data::Range;
/// let range = Range::new(Some(0.0), Some(120.0))?;
/// assert!(range.contains(120.0) && !range.contains(f64::NAN));
/// assert!(Range::new(Some(1.0), Some(0.0)).is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RangeWire", into = "RangeWire")]
pub struct Range {
    min: Option<f64>,
    max: Option<f64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeWire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
}

impl From<Range> for RangeWire {
    fn from(range: Range) -> Self {
        Self { min: range.min, max: range.max }
    }
}

impl TryFrom<RangeWire> for Range {
    type Error = Error;

    fn try_from(wire: RangeWire) -> Result<Self> {
        Self::new(wire.min, wire.max)
    }
}

impl Range {
    /// The values from `min` to `max`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a limit that is NaN or infinite (leave it out
    /// instead) and for `min` above `max`.
    pub fn new(min: Option<f64>, max: Option<f64>) -> Result<Self> {
        for (field, limit) in [("min", min), ("max", max)] {
            if let Some(limit) = limit.filter(|limit| !limit.is_finite()) {
                return Err(Error::invalid("Range::new", field, format!("must be finite, got {limit}")));
            }
        }
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            let message = format!("must not be above the maximum: {min} > {max}");
            return Err(Error::invalid("Range::new", "min", message));
        }
        Ok(Self { min, max })
    }

    /// The smallest value allowed.
    pub const fn min(&self) -> Option<f64> {
        self.min
    }

    /// The largest value allowed.
    pub const fn max(&self) -> Option<f64> {
        self.max
    }

    /// Whether `value` lies inside; NaN never does.
    pub fn contains(&self, value: f64) -> bool {
        !value.is_nan() && self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (Some(min), Some(max)) => write!(f, "[{min}, {max}]"),
            (Some(min), None) => write!(f, "[{min}, ∞)"),
            (None, Some(max)) => write!(f, "(−∞, {max}]"),
            (None, None) => f.write_str("(−∞, ∞)"),
        }
    }
}

/// One column of a [`Schema`].
///
/// ```
/// use mlops_core::data::{DataType, Field, Range};
/// let age = Field::new("age", DataType::I64).with_range(Range::new(Some(0.0), Some(120.0))?);
/// assert!(!age.nullable);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The column's name.
    pub name: String,
    /// The type of its values.
    pub data_type: DataType,
    /// Whether values may be missing.
    #[serde(default)]
    pub nullable: bool,
    /// The range its values lie in, where that is known; for numbers and times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// The texts it may hold, where they are known; for categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub levels: Option<Vec<String>>,
}

impl Field {
    /// A field without missing values and without limits.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, nullable: false, range: None, levels: None }
    }

    /// Sets whether values may be missing.
    #[must_use]
    pub fn with_nullable(mut self, nullable: bool) -> Self {
        self.nullable = nullable;
        self
    }

    /// Sets the range.
    #[must_use]
    pub fn with_range(mut self, range: Range) -> Self {
        self.range = Some(range);
        self
    }

    /// Sets the texts allowed.
    #[must_use]
    pub fn with_levels<S: Into<String>>(mut self, levels: impl IntoIterator<Item = S>) -> Self {
        self.levels = Some(levels.into_iter().map(Into::into).collect());
        self
    }

    fn infer(column: &Column<'_>) -> Self {
        Self::new(column.name(), column.data_type()).with_nullable(column.missing() > 0)
    }

    fn check(&self) -> Result<()> {
        // A column checks its name; what cannot be a column's name cannot be a field's.
        Column::f64(&self.name, Vec::new())
            .map_err(|e| Error::invalid(OP, "fields", e.message()).with("column", &self.name))?;
        let fail = |message: &str| Err(Error::invalid(OP, "fields", message).with("column", &self.name));
        let ordered = self.data_type.is_numeric() || self.data_type == DataType::Time;
        if self.range.is_some() && !ordered {
            return fail("only numbers and times have a range");
        }
        let Some(levels) = &self.levels else { return Ok(()) };
        if self.data_type != DataType::Category {
            return fail("only categories have levels");
        }
        let mut seen = HashSet::new();
        if levels.is_empty() || !levels.iter().all(|level| seen.insert(level)) {
            return fail("the levels must be distinct, and at least one");
        }
        Ok(())
    }
}

/// Fields of distinct names, in order.
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
    fields: Vec<Field>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemaWire {
    fields: Vec<Field>,
}

impl From<Schema> for SchemaWire {
    fn from(schema: Schema) -> Self {
        Self { fields: schema.fields }
    }
}

impl TryFrom<SchemaWire> for Schema {
    type Error = Error;

    fn try_from(wire: SchemaWire) -> Result<Self> {
        Self::new(wire.fields)
    }
}

impl Schema {
    /// A schema of these fields.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for no fields, two of one name, a name no column can
    /// have, a range on something without order, levels on something other than a category, levels that repeat.
    pub fn new(fields: Vec<Field>) -> Result<Self> {
        if fields.is_empty() {
            return Err(Error::invalid(OP, "fields", "must not be empty"));
        }
        let mut seen = HashSet::new();
        for field in &fields {
            field.check()?;
            if !seen.insert(field.name.as_str()) {
                return Err(
                    Error::invalid(OP, "fields", "has two fields of one name").with("column", &field.name)
                );
            }
        }
        Ok(Self { fields })
    }

    /// The schema a table has: names, types, order, and nullable where a value is missing. No ranges and no levels: what
    /// was seen is not what is allowed; a person adds those.
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

    /// The identity of the shape: names, types, nullability and order. Ranges and levels are rules, not shape: tightening
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

    /// What has to happen to this schema to become `other`.
    ///
    /// ```
    /// use mlops_core::data::{DataType, Field, Schema};
    /// let old = Schema::new(vec![Field::new("x", DataType::I64)])?;
    /// let new = Schema::new(vec![Field::new("x", DataType::F64), Field::new("y", DataType::Bool)])?;
    /// let diff = old.diff(&new);
    /// assert!(diff.is_breaking());
    /// assert_eq!(diff.to_string(), "changed `x`: type i64 → f64; added `y` (bool)");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn diff(&self, other: &Self) -> SchemaDiff {
        let missing_in = |other: &Self, own: &Self| -> Vec<Field> {
            own.fields.iter().filter(|f| other.field(&f.name).is_none()).cloned().collect()
        };
        let pairs = self.fields.iter().filter_map(|from| other.field(&from.name).map(|to| (from, to)));
        let changed = pairs
            .filter(|(from, to)| from != to)
            .map(|(from, to)| FieldChange { from: from.clone(), to: to.clone() })
            .collect();
        let common = |own: &Self, other: &Self| -> Vec<String> {
            own.fields.iter().filter(|f| other.field(&f.name).is_some()).map(|f| f.name.clone()).collect()
        };
        SchemaDiff {
            removed: missing_in(other, self),
            changed,
            added: missing_in(self, other),
            reordered: common(self, other) != common(other, self),
        }
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

/// A field that is in both schemas, but not the same.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// As it was.
    pub from: Field,
    /// As it is; the name is the same.
    pub to: Field,
}

impl FieldChange {
    /// Whether a reader of the old field cannot read the new one: another type, or values that may now be missing.
    pub fn is_breaking(&self) -> bool {
        self.from.data_type != self.to.data_type || (self.to.nullable && !self.from.nullable)
    }
}

/// The difference of two schemas; what [`Schema::diff`] returns.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SchemaDiff {
    /// Fields that went away.
    pub removed: Vec<Field>,
    /// Fields that are still there, but changed.
    pub changed: Vec<FieldChange>,
    /// Fields that are new.
    pub added: Vec<Field>,
    /// Whether the fields that stayed are in another order.
    pub reordered: bool,
}

impl SchemaDiff {
    /// Whether there is no difference.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.changed.is_empty() && self.added.is_empty() && !self.reordered
    }

    /// Whether a reader of the old schema, who finds columns by name, cannot read data of the new one: a field went away,
    /// changed its type, or may now miss values. New fields, another order and other ranges or levels do not break it.
    pub fn is_breaking(&self) -> bool {
        !self.removed.is_empty() || self.changed.iter().any(FieldChange::is_breaking)
    }

    fn lines(&self) -> Vec<String> {
        let removed = self.removed.iter().map(|f| format!("removed `{}`", f.name));
        let changed =
            self.changed.iter().map(|c| format!("changed `{}`: {}", c.from.name, changes(&c.from, &c.to)));
        let added = self.added.iter().map(|f| format!("added `{}` ({})", f.name, type_name(f.data_type)));
        let reordered = self.reordered.then(|| "reordered".to_owned());
        removed.chain(changed).chain(added).chain(reordered).collect()
    }
}

fn changes(from: &Field, to: &Field) -> String {
    let mut out = Vec::new();
    if from.data_type != to.data_type {
        out.push(format!("type {} → {}", type_name(from.data_type), type_name(to.data_type)));
    }
    match (from.nullable, to.nullable) {
        (false, true) => out.push("may now be missing".to_owned()),
        (true, false) => out.push("may no longer be missing".to_owned()),
        _ => {}
    }
    if from.range != to.range {
        let shown = |range: Option<Range>| range.map_or_else(|| "none".to_owned(), |r| r.to_string());
        out.push(format!("range {} → {}", shown(from.range), shown(to.range)));
    }
    if from.levels != to.levels {
        let count = |levels: &Option<Vec<String>>| levels.as_ref().map_or(0, Vec::len);
        out.push(format!("levels ({} → {})", count(&from.levels), count(&to.levels)));
    }
    out.join(", ")
}

impl fmt::Display for SchemaDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() { f.write_str("no difference") } else { f.write_str(&self.lines().join("; ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(fields: &[(&str, DataType, bool)]) -> Schema {
        let field =
            |(name, ty, nullable): &(&str, DataType, bool)| Field::new(*name, *ty).with_nullable(*nullable);
        Schema::new(fields.iter().map(field).collect()).unwrap()
    }

    #[test]
    fn the_digest_covers_name_type_nullability_and_order() {
        use DataType::{Bool, F64, I64};
        let base = schema(&[("a", F64, false), ("bc", I64, false)]);
        for other in [
            schema(&[("ab", F64, false), ("c", I64, false)]),
            schema(&[("a", I64, false), ("bc", I64, false)]),
            schema(&[("a", F64, true), ("bc", I64, false)]),
            schema(&[("bc", I64, false), ("a", F64, false)]),
            schema(&[("a", F64, false)]),
            schema(&[("a", F64, false), ("bc", Bool, false)]),
        ] {
            assert_ne!(base.digest(), other.digest());
            assert!(!base.diff(&other).is_empty());
        }
        // Computed with Python 3 hashlib from the documented layout; a change here breaks every stored digest.
        assert_eq!(base.digest().to_string(), PINNED);
    }

    const PINNED: &str = "sha256:e1d68ab4eea638c202b411b1f236b1af486b9bd43d696cf1869e171242f0fff5";

    #[test]
    fn rules_are_not_part_of_the_digest_but_of_the_diff() {
        let plain = schema(&[("x", DataType::F64, false)]);
        let field = Field::new("x", DataType::F64).with_range(Range::new(Some(0.0), None).unwrap());
        let ruled = Schema::new(vec![field]).unwrap();
        assert_eq!(plain.digest(), ruled.digest());
        let diff = plain.diff(&ruled);
        assert!(!diff.is_empty() && !diff.is_breaking());
        assert_eq!(diff.to_string(), "changed `x`: range none → [0, ∞)");
    }

    #[test]
    fn a_diff_says_what_breaks_a_reader() {
        use DataType::{F64, I64};
        let base = schema(&[("a", F64, false), ("b", I64, true)]);
        for (other, breaking) in [
            (schema(&[("a", F64, false), ("b", I64, true)]), false),
            (schema(&[("b", I64, true), ("a", F64, false)]), false),
            (schema(&[("a", F64, false), ("b", I64, false), ("c", I64, false)]), false),
            (schema(&[("a", F64, true), ("b", I64, true)]), true),
            (schema(&[("a", F64, false)]), true),
            (schema(&[("a", I64, false), ("b", I64, true)]), true),
        ] {
            assert_eq!(base.diff(&other).is_breaking(), breaking, "{}", base.diff(&other));
        }
        assert!(base.diff(&schema(&[("b", I64, true), ("a", F64, false)])).reordered);
        assert_eq!(base.diff(&base).to_string(), "no difference");
    }

    #[test]
    fn schemas_that_contradict_themselves_are_refused_also_when_read() {
        let range = Range::new(Some(0.0), None).unwrap();
        for fields in [
            vec![],
            vec![Field::new("x", DataType::F64), Field::new("x", DataType::I64)],
            vec![Field::new("", DataType::F64)],
            vec![Field::new("x".repeat(1025), DataType::F64)],
            vec![Field::new("x", DataType::Category).with_range(range)],
            vec![Field::new("x", DataType::F64).with_levels(["a"])],
            vec![Field::new("x", DataType::Category).with_levels(["a", "a"])],
            vec![Field::new("x", DataType::Category).with_levels(Vec::<String>::new())],
        ] {
            let text = serde_json::to_string(&SchemaWire { fields: fields.clone() }).unwrap();
            assert!(Schema::new(fields).is_err());
            assert!(serde_json::from_str::<Schema>(&text).is_err(), "{text}");
        }
        for text in [
            r#"{"fields":[{"name":"x","data_type":"f64","range":{"min":2.0,"max":1.0}}]}"#,
            r#"{"fields":[{"name":"x","data_type":"f64","range":{"minn":2.0}}]}"#,
            r#"{"fields":[{"name":"x","data_type":"f65"}]}"#,
        ] {
            assert!(serde_json::from_str::<Schema>(text).is_err(), "{text}");
        }
        for limit in [f64::NAN, f64::INFINITY] {
            assert!(Range::new(Some(limit), None).is_err() && Range::new(None, Some(limit)).is_err());
        }
    }

    #[test]
    fn names_of_types_are_the_serialised_ones() {
        use DataType::{Bool, Category, F32, F64, I64, Time};
        for ty in [F64, F32, I64, Bool, Category, Time] {
            assert_eq!(serde_json::to_value(ty).unwrap(), type_name(ty));
        }
    }
}
