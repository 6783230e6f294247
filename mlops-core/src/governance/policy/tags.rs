//! Tags by Azure's rules: names are compared without regard to case, values with it.

use std::collections::BTreeMap;

/// The most tags a resource may have.
pub(super) const MAX_TAGS: usize = 50;

/// The longest value of a tag, in characters.
pub(super) const MAX_VALUE: usize = 256;

/// Why tags are not as Azure takes them, or not as a rule wants them.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagFault {
    /// More than 50.
    #[error("{got} tags, at most {MAX_TAGS} are allowed")]
    TooMany {
        /// How many there are.
        got: usize,
    },
    /// A name that is empty, too long, or has one of `<>%&\?/` or a control character.
    #[error("the name `{name}` is not allowed")]
    Name {
        /// The name, escaped and cut.
        name: String,
    },
    /// A value that is too long.
    #[error("the value of `{name}` has {got} characters, at most {MAX_VALUE} are allowed")]
    Value {
        /// The name.
        name: String,
        /// The characters of its value.
        got: usize,
    },
    /// Two names that differ by case only: Azure keeps one of them.
    #[error("`{first}` and `{second}` are the same name to Azure")]
    SameName {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// A tag that has to be there is not.
    #[error("`{name}` is missing")]
    Missing {
        /// The name.
        name: String,
    },
    /// A tag that has to be there says nothing.
    #[error("`{name}` is blank")]
    Blank {
        /// The name.
        name: String,
    },
    /// A value that is not one of those allowed; case counts.
    #[error("`{name}` is `{value}`")]
    NotAllowed {
        /// The name.
        name: String,
        /// The value, escaped and cut.
        value: String,
    },
}

/// Whether tags are as Azure takes them; `longest_name` is 512 characters, 128 for storage accounts.
pub(super) fn check_azure(tags: &BTreeMap<String, String>, longest_name: usize) -> Result<(), TagFault> {
    use crate::error::quote;
    if tags.len() > MAX_TAGS {
        return Err(TagFault::TooMany { got: tags.len() });
    }
    let mut seen: BTreeMap<String, &String> = BTreeMap::new();
    for (name, value) in tags {
        let bad = |c: char| "<>%&\\?/".contains(c) || c.is_control();
        if name.trim().is_empty() || name.chars().count() > longest_name || name.chars().any(bad) {
            return Err(TagFault::Name { name: quote(name) });
        }
        let got = value.chars().count();
        if got > MAX_VALUE {
            return Err(TagFault::Value { name: quote(name), got });
        }
        if let Some(first) = seen.insert(name.to_lowercase(), name) {
            return Err(TagFault::SameName { first: quote(first), second: quote(name) });
        }
    }
    Ok(())
}

/// What tags lack of these names, and of `values` what is not one of those allowed: everything at once, in the order given.
pub(super) fn check_required(
    tags: &BTreeMap<String, String>,
    names: &[String],
    values: &BTreeMap<String, Vec<String>>,
) -> Vec<TagFault> {
    use crate::error::quote;
    let find = |wanted: &str| {
        let wanted = wanted.to_lowercase();
        tags.iter().find(|(name, _)| name.to_lowercase() == wanted).map(|(_, value)| value)
    };
    let fault = |name: &String| match find(name) {
        None => Some(TagFault::Missing { name: quote(name) }),
        Some(value) if value.trim().is_empty() => Some(TagFault::Blank { name: quote(name) }),
        Some(value) if values.get(name).is_some_and(|allowed| !allowed.contains(value)) => {
            Some(TagFault::NotAllowed { name: quote(name), value: quote(value) })
        }
        Some(_) => None,
    };
    let open = names.iter().filter(|name| !values.contains_key(*name));
    open.chain(values.keys()).filter_map(fault).collect()
}
