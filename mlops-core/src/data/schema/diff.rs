//! What happens to a schema from one version to the next, for a person to review.
//!
//! Two sides can suffer from a change. A *reader* of the old schema cannot read new data when a field went away, changed its
//! type or may now miss values: [`SchemaDiff::is_breaking`]. A *writer* who keeps sending what the old schema allowed is refused when
//! something became stricter: [`SchemaDiff::may_refuse`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::data::validate::{Expectation, Rule, Threshold};

use super::{ExtraColumns, Field, Range, Schema, type_name};

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
    /// Whether a reader of the old field cannot read the new one: another type, or values or the whole column that may now be missing.
    pub fn is_breaking(&self) -> bool {
        let (from, to) = (&self.from, &self.to);
        from.data_type != to.data_type || (to.nullable && !from.nullable) || (to.optional && !from.optional)
    }

    /// Whether data that the old field allowed may be refused by the new one.
    pub fn may_refuse(&self) -> bool {
        let (from, to) = (&self.from, &self.to);
        let narrower = |old: &Option<Vec<String>>, new: &Option<Vec<String>>| match (old, new) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(old), Some(new)) => old.iter().any(|level| !new.contains(level)),
        };
        let length = match (from.length, to.length) {
            (_, None) => false,
            (None, Some(new)) => new.min() > 0 || new.max().is_some(),
            (Some(old), Some(new)) => {
                new.min() > old.min() || new.max().is_some_and(|max| old.max().is_none_or(|old| old > max))
            }
        };
        from.data_type != to.data_type
            || (from.nullable && !to.nullable)
            || (from.optional && !to.optional)
            || to.range.is_some_and(|new| !from.range.unwrap_or_default().is_inside(&new))
            || narrower(&from.levels, &to.levels)
            || (to.pattern.is_some() && from.pattern != to.pattern)
            || length
            || (to.finite && !from.finite)
            || (to.unique && !from.unique)
            || (&from.only_in, &from.not_in) != (&to.only_in, &to.not_in)
    }
}

/// A rule that both schemas have under one name, but not the same.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleChange {
    /// What it is called.
    pub name: String,
    /// As it was.
    pub from: Expectation,
    /// As it is.
    pub to: Expectation,
}

impl RuleChange {
    /// Whether data that passed the old rule may not pass the new one. A rule that says another thing may; one that says the same
    /// does when it became more severe, tolerates less, or holds elsewhere.
    pub fn may_refuse(&self) -> bool {
        let (from, to) = (&self.from, &self.to);
        let looser = match (&from.rule, &to.rule) {
            (Rule::Within { range: old, .. }, Rule::Within { range: new, .. }) => old.is_inside(new),
            (
                Rule::Aggregate { column: c, statistic: old, range },
                Rule::Aggregate { column, statistic, range: wider },
            ) => c == column && old == statistic && range.is_inside(wider),
            (Rule::OneOf { values: old, .. }, Rule::OneOf { values: new, .. }) => {
                old.iter().all(|value| new.contains(value))
            }
            (Rule::Rows { min, max }, Rule::Rows { min: new_min, max: new_max }) => {
                new_min <= min && new_max.is_none_or(|new| max.is_some_and(|old| old <= new))
            }
            (Rule::Fresh { max_age, .. }, Rule::Fresh { max_age: new, .. }) => new >= max_age,
            (old, new) => old == new,
        };
        !looser
            || stricter(&from.threshold(), &to.threshold())
            || (from.escalations != to.escalations && !to.escalations.is_empty())
            || (from.if_present && !to.if_present)
            || (&from.only_in, &from.not_in) != (&to.only_in, &to.not_in)
    }
}

/// The range a rule is about.
fn range(rule: &Rule) -> Option<&Range> {
    match rule {
        Rule::Within { range, .. } | Rule::RowsRatio { range, .. } | Rule::Aggregate { range, .. } => {
            Some(range)
        }
        _ => None,
    }
}

impl RuleChange {
    /// How the range changed, where it did.
    fn ranges(&self) -> String {
        match (range(&self.from.rule), range(&self.to.rule)) {
            (Some(from), Some(to)) if from != to => format!(": range {from} → {to}"),
            _ => String::new(),
        }
    }
}

/// Whether a level fails where the old one did not. Limits that come or go change what is asked, and count as stricter.
fn stricter(old: &Threshold, new: &Threshold) -> bool {
    let count = match (old.max_failed, new.max_failed) {
        (Some(old), Some(new)) => new < old,
        (old, new) => old != new,
    };
    let share = match (old.max_fraction, new.max_fraction) {
        (Some(old), Some(new)) => new < old,
        (old, new) => old != new,
    };
    // Where nothing was tolerated, anything is looser.
    let strict = old.max_failed.is_none() && old.max_fraction.is_none();
    new.severity > old.severity || (!strict && (count || share))
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
    /// Rules that went away.
    #[serde(default)]
    pub removed_rules: Vec<Expectation>,
    /// Rules that are still there, but changed.
    #[serde(default)]
    pub changed_rules: Vec<RuleChange>,
    /// Rules that are new.
    #[serde(default)]
    pub added_rules: Vec<Expectation>,
    /// What happened to the schema as a whole, in words: what extra columns mean, whether order matters, environments.
    #[serde(default)]
    pub settings: Vec<SchemaChange>,
}

/// One change, in words.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaChange {
    /// What changed.
    pub text: String,
    /// Whether a reader of the old schema cannot read new data.
    pub breaks_readers: bool,
    /// Whether data that the old schema allowed may be refused.
    pub may_refuse: bool,
}

impl SchemaChange {
    fn new(text: String, breaks_readers: bool, may_refuse: bool) -> Self {
        Self { text, breaks_readers, may_refuse }
    }
}

impl fmt::Display for SchemaChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match (self.breaks_readers, self.may_refuse) {
            (true, true) => f.write_str(" [breaks readers, may refuse data]"),
            (true, false) => f.write_str(" [breaks readers]"),
            (false, true) => f.write_str(" [may refuse data]"),
            (false, false) => Ok(()),
        }
    }
}

impl Schema {
    /// What has to happen to this schema to become `other`. Fields are found by name, rules by what they are called.
    ///
    /// ```
    /// use mlops_core::data::{DataType, Field, Schema};
    /// let old = Schema::new(vec![Field::new("x", DataType::I64)])?;
    /// let new = Schema::new(vec![Field::new("x", DataType::F64), Field::new("y", DataType::Bool)])?;
    /// let diff = old.diff(&new);
    /// assert!(diff.is_breaking());
    /// assert_eq!(diff.to_string(), "changed `x`: type i64 → f64; added `y` (bool)");
    /// let review: Vec<String> = diff.changes().iter().map(|change| change.to_string()).collect();
    /// assert_eq!(review, [
    ///     "changed `x`: type i64 → f64 [breaks readers, may refuse data]",
    ///     "added `y` (bool) [may refuse data]",
    /// ]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn diff(&self, other: &Self) -> SchemaDiff {
        let missing_in = |other: &Self, own: &Self| -> Vec<Field> {
            own.fields().iter().filter(|f| other.field(&f.name).is_none()).cloned().collect()
        };
        let pairs = self.fields().iter().filter_map(|from| other.field(&from.name).map(|to| (from, to)));
        let changed = pairs
            .filter(|(from, to)| from != to)
            .map(|(from, to)| FieldChange { from: from.clone(), to: to.clone() })
            .collect();
        let common = |own: &Self, other: &Self| -> Vec<String> {
            own.fields().iter().filter(|f| other.field(&f.name).is_some()).map(|f| f.name.clone()).collect()
        };
        let (removed_rules, changed_rules, added_rules) = rules(self, other);
        SchemaDiff {
            removed: missing_in(other, self),
            changed,
            added: missing_in(self, other),
            reordered: common(self, other) != common(other, self),
            removed_rules,
            changed_rules,
            added_rules,
            settings: settings(self, other),
        }
    }
}

type Rules = (Vec<Expectation>, Vec<RuleChange>, Vec<Expectation>);

fn rules(old: &Schema, new: &Schema) -> Rules {
    use std::collections::HashMap;
    // Two rules of one kind on one column have one name; they are told apart by their place among themselves.
    let named = |schema: &'_ Schema| -> Vec<(String, Expectation)> {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut out = Vec::new();
        for rule in schema.rules() {
            let name = rule.name();
            let times = seen.entry(name.clone()).or_default();
            *times += 1;
            let name = if *times == 1 { name } else { format!("{name} #{times}") };
            out.push((name, rule.clone()));
        }
        out
    };
    let (old, new) = (named(old), named(new));
    let find: HashMap<&str, &Expectation> = new.iter().map(|(name, rule)| (name.as_str(), rule)).collect();
    let known: HashMap<&str, &Expectation> = old.iter().map(|(name, rule)| (name.as_str(), rule)).collect();
    let removed = old.iter().filter(|(name, _)| !find.contains_key(name.as_str())).map(|(_, r)| r.clone());
    let added = new.iter().filter(|(name, _)| !known.contains_key(name.as_str())).map(|(_, r)| r.clone());
    let changed = old.iter().filter_map(|(name, from)| {
        let to = *find.get(name.as_str())?;
        (from != to).then(|| RuleChange { name: name.clone(), from: from.clone(), to: to.clone() })
    });
    (removed.collect(), changed.collect(), added.collect())
}

fn settings(old: &Schema, new: &Schema) -> Vec<SchemaChange> {
    let mut out = Vec::new();
    if old.extra_columns() != new.extra_columns() {
        let word = |extra: ExtraColumns| match extra {
            ExtraColumns::Allow => "allowed",
            ExtraColumns::Warn => "a warning",
            ExtraColumns::Refuse => "refused",
        };
        let [from, to] = [old, new].map(|schema| word(schema.extra_columns()));
        let stricter = new.extra_columns() == ExtraColumns::Refuse;
        out.push(SchemaChange::new(format!("extra columns: {from} → {to}"), false, stricter));
    }
    if old.is_ordered() != new.is_ordered() {
        let text = if new.is_ordered() {
            "the order of columns now matters"
        } else {
            "the order of columns no longer matters"
        };
        out.push(SchemaChange::new(text.to_owned(), false, new.is_ordered()));
    }
    if old.environments() != new.environments() {
        let [from, to] = [old, new].map(|schema| schema.environments().join(", "));
        out.push(SchemaChange::new(format!("environments: [{from}] → [{to}]"), false, false));
    }
    out
}

impl SchemaDiff {
    /// Whether there is no difference.
    pub fn is_empty(&self) -> bool {
        self.changes().is_empty()
    }

    /// Whether a reader of the old schema, who finds columns by name, cannot read data of the new one: a field went away,
    /// changed its type, or may now miss values. New fields, another order and other constraints do not break it.
    pub fn is_breaking(&self) -> bool {
        !self.removed.is_empty() || self.changed.iter().any(FieldChange::is_breaking)
    }

    /// Whether data that the old schema allowed may be refused by the new one. Errs on the side of yes: two patterns are not
    /// compared by what they match.
    ///
    /// ```
    /// use mlops_core::data::{DataType, Field, Range, Schema};
    /// let field = |max| Ok::<_, mlops_core::Error>(Field::new("x", DataType::F64).with_range(Range::new(None, Some(max))?));
    /// let (old, new) = (Schema::new(vec![field(2.0)?])?, Schema::new(vec![field(1.0)?])?);
    /// assert!(old.diff(&new).may_refuse() && !new.diff(&old).may_refuse());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn may_refuse(&self) -> bool {
        self.changes().iter().any(|change| change.may_refuse)
    }

    /// Every change in words, with whom it may hurt.
    pub fn changes(&self) -> Vec<SchemaChange> {
        let mut out = Vec::new();
        for field in &self.removed {
            out.push(SchemaChange::new(format!("removed `{}`", field.name), true, false));
        }
        for change in &self.changed {
            let text = format!("changed `{}`: {}", change.from.name, changes(&change.from, &change.to));
            out.push(SchemaChange::new(text, change.is_breaking(), change.may_refuse()));
        }
        for field in &self.added {
            let text = format!("added `{}` ({})", field.name, type_name(field.data_type));
            out.push(SchemaChange::new(text, false, !field.optional));
        }
        if self.reordered {
            out.push(SchemaChange::new("reordered".to_owned(), false, false));
        }
        for rule in &self.removed_rules {
            out.push(SchemaChange::new(format!("removed rule {}", rule.name()), false, false));
        }
        for change in &self.changed_rules {
            let text = format!("changed rule {}{}", change.name, change.ranges());
            out.push(SchemaChange::new(text, false, change.may_refuse()));
        }
        for rule in &self.added_rules {
            let errs = rule.severity >= crate::data::Severity::Error || !rule.escalations.is_empty();
            out.push(SchemaChange::new(format!("added rule {}", rule.name()), false, errs));
        }
        out.extend(self.settings.iter().cloned());
        out
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
    match (from.optional, to.optional) {
        (false, true) => out.push("is now optional".to_owned()),
        (true, false) => out.push("is no longer optional".to_owned()),
        _ => {}
    }
    fn shown<T: fmt::Display>(value: Option<T>) -> String {
        value.map_or_else(|| "none".to_owned(), |value| value.to_string())
    }
    if from.range != to.range {
        out.push(format!("range {} → {}", shown(from.range), shown(to.range)));
    }
    if from.levels != to.levels {
        let count = |levels: &Option<Vec<String>>| levels.as_ref().map_or(0, Vec::len);
        out.push(format!("levels ({} → {})", count(&from.levels), count(&to.levels)));
    }
    if from.pattern != to.pattern {
        out.push(format!("pattern {} → {}", shown(from.pattern.as_ref()), shown(to.pattern.as_ref())));
    }
    if from.length != to.length {
        out.push(format!("length {} → {}", shown(from.length), shown(to.length)));
    }
    for (what, from, to) in [("finite", from.finite, to.finite), ("unique", from.unique, to.unique)] {
        if from != to {
            out.push(format!("{} {what}", if to { "now" } else { "no longer" }));
        }
    }
    if (&from.only_in, &from.not_in) != (&to.only_in, &to.not_in) {
        out.push("environments".to_owned());
    }
    out.join(", ")
}

impl fmt::Display for SchemaDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.changes().into_iter().map(|change| change.text).collect();
        if lines.is_empty() { f.write_str("no difference") } else { f.write_str(&lines.join("; ")) }
    }
}
