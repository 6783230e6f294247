//! A search space: parameters and how they are distributed, checked.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::assignment::{Assignment, check_name};
use super::check;
use super::distribution::{ChoiceOption, Distribution};
use super::error::SpaceError;
use super::value::{Value, ValueVisitor};
use crate::hash::{Digest, digest_json};

/// Parameters and how they are distributed: checked, and in the order of their names, whatever order they were given in, so
/// that the same file written in another order is the same space.
///
/// # Example: a space in code
///
/// ```
/// use mlops_core::experiment::space::{Assignment, Distribution, SearchSpace};
///
/// let space = SearchSpace::new([
///     ("rate", Distribution::log_float(1e-5, 1e-1)),
///     ("depth", Distribution::int(2, 10)),
///     ("kind", Distribution::choice(["gbdt", "dart"])),
/// ])?;
/// assert!(space.contains(&Assignment::new().with("rate", 0.01)?.with("depth", 3)?.with("kind", "dart")?));
/// assert!(!space.contains(&Assignment::new().with("rate", 0.01)?.with("depth", 11)?.with("kind", "dart")?));
///
/// let error = SearchSpace::new([("rate", Distribution::Uniform { min: 1.0, max: 0.0 })]).unwrap_err();
/// assert_eq!(error.to_string(), "`rate`: `min` is 1.0, which must be below `max`, 0.0");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Example: parameters that exist under a condition
///
/// ```
/// use mlops_core::experiment::space::{Distribution, SearchSpace};
///
/// let svm = SearchSpace::new([("kind", Distribution::fixed("svm")), ("c", Distribution::log_float(1e-3, 1e3))])?;
/// let tree = SearchSpace::new([("kind", Distribution::fixed("tree")), ("depth", Distribution::int(1, 9))])?;
/// let space = SearchSpace::new([("model", Distribution::choice([svm, tree]))])?;
/// assert_eq!(space.paths(), ["model.c", "model.depth", "model.kind"]);
/// # Ok::<(), mlops_core::experiment::space::SpaceError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SearchSpace {
    parameters: Vec<(String, Distribution)>,
}

impl SearchSpace {
    /// A space of parameters.
    ///
    /// # Errors
    /// [`SpaceError`], naming the parameter: no parameters, a name that is none or comes twice, bounds that are not finite or
    /// in the wrong order, `q`, `step` or `sigma` that is not positive, a choice without options or with the same option
    /// twice, choices more than [`MAX_DEPTH`](super::MAX_DEPTH) deep, more than [`MAX_PARAMETERS`](super::MAX_PARAMETERS) or
    /// [`MAX_OPTIONS`](super::MAX_OPTIONS), numbers that would leave the finite ones.
    pub fn new<N: Into<String>>(
        parameters: impl IntoIterator<Item = (N, Distribution)>,
    ) -> Result<Self, SpaceError> {
        let mut parameters: Vec<(String, Distribution)> =
            parameters.into_iter().map(|(name, distribution)| (name.into(), distribution)).collect();
        for (name, _) in &parameters {
            check_name(name)?;
        }
        parameters.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = parameters.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(SpaceError::Duplicate { parameter: pair[0].0.clone() });
        }
        for (name, distribution) in &mut parameters {
            check::normalise(distribution);
            check::distribution(name, distribution)?;
        }
        let space = Self { parameters };
        check::size(&space)?;
        Ok(space)
    }

    /// The parameters and their distributions, in the order of their names.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &Distribution)> + ExactSizeIterator {
        self.parameters.iter().map(|(name, distribution)| (name.as_str(), distribution))
    }

    /// The distribution of a parameter of this level. O(log n).
    pub fn get(&self, name: &str) -> Option<&Distribution> {
        let at = self.parameters.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        self.parameters.get(at).map(|(_, distribution)| distribution)
    }

    /// How many parameters this level has.
    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// Never: a space without parameters is refused.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// The paths of all parameters that a trial can have, sorted, each once.
    pub fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect_paths("", &mut out);
        out.sort();
        out.dedup();
        out
    }

    fn collect_paths(&self, prefix: &str, out: &mut Vec<String>) {
        for (name, distribution) in self.iter() {
            let path = format!("{prefix}{name}");
            match distribution {
                Distribution::Choice { values } => {
                    for option in values {
                        match option {
                            ChoiceOption::Value(_) => out.push(path.clone()),
                            ChoiceOption::Space(space) => space.collect_paths(&format!("{path}."), out),
                        }
                    }
                }
                _ => out.push(path),
            }
        }
    }

    /// Whether a trial can run with these values: one for every active parameter, none for others, each one that its
    /// distribution gives. A whole number stands for the number equal to it.
    pub fn contains(&self, assignment: &Assignment) -> bool {
        self.check(assignment).is_ok()
    }

    /// As [`contains`](Self::contains), with the reason why not.
    ///
    /// # Errors
    /// [`SpaceError::Missing`], [`SpaceError::Unknown`] and [`SpaceError::Outside`], naming the parameter.
    ///
    /// ```
    /// use mlops_core::experiment::space::{Assignment, Distribution, SearchSpace};
    /// let space = SearchSpace::new([("depth", Distribution::int(2, 10))])?;
    /// let error = space.check(&Assignment::new().with("depth", 11)?).unwrap_err();
    /// assert_eq!(error.to_string(), "`depth` cannot be 11");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(&self, assignment: &Assignment) -> Result<(), SpaceError> {
        check::assignment(self, assignment)
    }

    /// The digest of the space's canonical JSON.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for whole numbers beyond 2⁵³, which JSON does not keep.
    pub fn digest(&self) -> crate::Result<Digest> {
        digest_json(self)
    }
}

impl Serialize for SearchSpace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.parameters.len()))?;
        for (name, distribution) in &self.parameters {
            match distribution {
                Distribution::Fixed { value } => map.serialize_entry(name, value)?,
                other => map.serialize_entry(name, other)?,
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for SearchSpace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SpaceVisitor)
    }
}

struct SpaceVisitor;

impl<'de> Visitor<'de> for SpaceVisitor {
    type Value = SearchSpace;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of parameters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SearchSpace, A::Error> {
        let mut parameters: Vec<(String, Distribution)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let Entry(distribution) = map.next_value_seed(EntrySeed(&name))?;
            parameters.push((name, distribution));
        }
        SearchSpace::new(parameters).map_err(A::Error::custom)
    }
}

/// A parameter as it stands in a file: a table that says how it is distributed, or a plain value that does not vary. Checked
/// where it stands, so that an error has its place.
struct Entry(Distribution);

struct EntrySeed<'a>(&'a str);

impl<'de> serde::de::DeserializeSeed<'de> for EntrySeed<'_> {
    type Value = Entry;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Entry, D::Error> {
        deserializer.deserialize_any(EntryVisitor(self.0)).map(Entry)
    }
}

/// Reads a parameter of this name, and checks it while the reader still knows where it stands.
struct EntryVisitor<'a>(&'a str);

impl EntryVisitor<'_> {
    fn fixed<E: serde::de::Error>(&self, value: Result<Value, E>) -> Result<Distribution, E> {
        check::named(self.0, Distribution::fixed(value?)).map_err(E::custom)
    }
}

impl<'de> Visitor<'de> for EntryVisitor<'_> {
    type Value = Distribution;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table with a `type`, or a plain value")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Distribution, E> {
        self.fixed(ValueVisitor.visit_bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Distribution, E> {
        self.fixed(ValueVisitor.visit_i64(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Distribution, E> {
        self.fixed(ValueVisitor.visit_u64(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Distribution, E> {
        self.fixed(ValueVisitor.visit_f64(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Distribution, E> {
        self.fixed(ValueVisitor.visit_str(value))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Distribution, A::Error> {
        let law = Distribution::deserialize(MapAccessDeserializer::new(map))?;
        check::named(self.0, law).map_err(A::Error::custom)
    }
}

impl<'de> Deserialize<'de> for ChoiceOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OptionVisitor)
    }
}

struct OptionVisitor;

impl<'de> Visitor<'de> for OptionVisitor {
    type Value = ChoiceOption;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain value, or a table of parameters")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<ChoiceOption, E> {
        ValueVisitor.visit_bool(value).map(ChoiceOption::Value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<ChoiceOption, E> {
        ValueVisitor.visit_i64(value).map(ChoiceOption::Value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<ChoiceOption, E> {
        ValueVisitor.visit_u64(value).map(ChoiceOption::Value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<ChoiceOption, E> {
        ValueVisitor.visit_f64(value).map(ChoiceOption::Value)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<ChoiceOption, E> {
        ValueVisitor.visit_str(value).map(ChoiceOption::Value)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ChoiceOption, A::Error> {
        SpaceVisitor.visit_map(map).map(ChoiceOption::Space)
    }
}

/// How a value reads in an error.
pub(super) fn shown(value: &Value) -> String {
    value.to_string()
}
