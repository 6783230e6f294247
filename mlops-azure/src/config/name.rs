//! Azure's naming rules, checked before anything is sent: what breaks them would be refused after a round trip, or would
//! name another resource.

use mlops_core::{Error, Result};

/// A value that a rule refuses, as an error that names the argument.
pub(crate) fn check(operation: &'static str, field: &str, value: &str, ok: bool, reason: &str) -> Result<()> {
    if ok { Ok(()) } else { Err(Error::invalid(operation, field, reason).with("value", value)) }
}

/// Checks what a workspace and a registry are known by: subscription id, resource group and name.
pub(super) fn check_scope(
    operation: &'static str,
    subscription: &str,
    resource_group: &str,
    name: &str,
) -> Result<()> {
    check(operation, "subscription", subscription, is_guid(subscription), "must be a GUID")?;
    let group = "must have 1 to 90 letters, digits, -, _, ., ( or ) and not end in a dot";
    check(operation, "resource_group", resource_group, is_resource_group(resource_group), group)?;
    let rule = "must have 3 to 33 letters, digits, - or _, and begin with a letter or digit";
    check(operation, "name", name, is_workspace(name), rule)
}

/// Whether a text is a GUID: 36 hexadecimal digits and hyphens.
///
/// ```
/// use mlops_azure::config::name::is_guid;
/// assert!(is_guid("01234567-89ab-cdef-0123-456789ABCDEF"));
/// assert!(!is_guid("0123456789abcdef0123456789abcdef"));
/// ```
pub fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// Whether a text can be a resource group's name: 1 to 90 letters, digits, `-`, `_`, `.`, `(` and `)`, no dot at the end.
///
/// ```
/// use mlops_azure::config::name::is_resource_group;
/// assert!(is_resource_group("rg-ml(test)") && !is_resource_group("rg."));
/// ```
pub fn is_resource_group(text: &str) -> bool {
    let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'(' | b')');
    (1..=90).contains(&text.len()) && text.bytes().all(ok) && !text.ends_with('.') && !text.starts_with("..")
}

/// Whether a text can be a workspace's or a registry's name: 3 to 33 letters, digits, `-` and `_`, a letter or digit first.
///
/// ```
/// use mlops_azure::config::name::is_workspace;
/// assert!(is_workspace("mlw-churn") && !is_workspace("-mlw"));
/// ```
pub fn is_workspace(text: &str) -> bool {
    let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (3..=33).contains(&text.len()) && text.bytes().all(ok) && !text.starts_with(['-', '_'])
}

/// Whether a text can be an endpoint's or a deployment's name: 3 to 32 letters, digits and `-`, a letter first and no `-` last.
///
/// ```
/// use mlops_azure::config::name::is_endpoint;
/// assert!(is_endpoint("churn-blue") && !is_endpoint("9blue") && !is_endpoint("blue-"));
/// ```
pub fn is_endpoint(text: &str) -> bool {
    (3..=32).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with('-')
}

/// Whether a text can be a datastore's name: 1 to 255 letters, digits and `_`.
///
/// ```
/// use mlops_azure::config::name::is_datastore;
/// assert!(is_datastore("workspaceblobstore") && !is_datastore("my-store"));
/// ```
pub fn is_datastore(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether a text can be an asset's or a job's name or version: 1 to 255 letters, digits, `-`, `_` and `.`, no dot alone.
///
/// ```
/// use mlops_azure::config::name::is_asset;
/// assert!(is_asset("churn") && is_asset("1.0.3") && !is_asset("..") && !is_asset("a/b"));
/// ```
pub fn is_asset(text: &str) -> bool {
    is_segment(text) && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// Whether a text can be a segment of a URL's path that no URL reads as something else.
pub(crate) fn is_segment(text: &str) -> bool {
    let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= 255 && text.bytes().all(ok) && !matches!(text, "." | "..")
}

/// Whether a text is the version of a Resource Manager API: a date, with or without `-preview`.
pub(crate) fn is_api_version(text: &str) -> bool {
    let date = text.strip_suffix("-preview").unwrap_or(text);
    date.len() == 10
        && date
            .bytes()
            .enumerate()
            .all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() })
}

/// The path of a resource below `root`, with each segment checked, not escaped.
pub(crate) fn path_below(operation: &'static str, root: &str, segments: &[&str]) -> Result<String> {
    let mut path = root.to_owned();
    for segment in segments {
        let reason = "has a character that a URL reads as something else";
        check(operation, "segments", segment, is_segment(segment), reason)?;
        path.push('/');
        path.push_str(segment);
    }
    Ok(path)
}
/// Subscription, resource group and name of an id of a resource of Azure Machine Learning of a kind; the fixed words in any case.
pub(super) fn parts_of_id<'a>(id: &'a str, kind: &str) -> Option<[&'a str; 3]> {
    let words = ["subscriptions", "resourceGroups", "providers", "Microsoft.MachineLearningServices", kind];
    let parts: Vec<&str> = id.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        [a, subscription, b, group, c, d, e, name]
            if [a, b, c, d, e].iter().zip(words).all(|(part, word)| part.eq_ignore_ascii_case(word)) =>
        {
            Some([subscription, group, name])
        }
        _ => None,
    }
}
