//! Paths of Resource Manager: what a request is about.

/// A path taken apart: a resource, a list of them, or something that is done with one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ArmPath {
    /// The path as it was sent, without a slash at its end.
    pub(super) path: String,
    /// The same in lower case: ids have no case.
    pub(super) key: String,
    /// The resource provider, as it was sent.
    pub(super) namespace: String,
    /// Words of the type, as they were sent; for what is no resource with the last word, that of the list or of the action.
    pub(super) words: Vec<String>,
    /// The names, as many as there are words, or one less.
    pub(super) names: Vec<String>,
}

impl ArmPath {
    /// Takes a path apart; `None` for one that Resource Manager has nothing at.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let path = path.trim_end_matches('/');
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        if segments.len() > 40 || segments.iter().any(|segment| segment.is_empty()) {
            return None;
        }
        let is_word = |i: &usize| segments.get(*i).is_some_and(|s| s.eq_ignore_ascii_case("providers"));
        let provider = (0..segments.len()).rev().filter(|i| i % 2 == 0).find(is_word);
        let (namespace, rest) = match provider {
            Some(at) => (*segments.get(at + 1)?, segments.get(at + 2..)?),
            None => ("Microsoft.Resources", resource_groups(&segments)?),
        };
        let every_second =
            |first| rest.iter().skip(first).step_by(2).map(|s| (*s).to_owned()).collect::<Vec<String>>();
        Some(Self {
            path: path.to_owned(),
            key: path.to_ascii_lowercase(),
            namespace: namespace.to_owned(),
            words: every_second(0),
            names: every_second(1),
        })
    }

    /// Whether it is a resource, and not a list or an action.
    pub(super) fn is_resource(&self) -> bool {
        !self.words.is_empty() && self.words.len() == self.names.len()
    }

    /// The type without its provider, in lower case: `workspaces/models/versions`.
    pub(super) fn kind(&self) -> String {
        self.words.join("/").to_ascii_lowercase()
    }

    /// The type: `Microsoft.MachineLearningServices/workspaces/models/versions`.
    pub(super) fn type_name(&self) -> String {
        format!("{}/{}", self.namespace, self.words.join("/"))
    }

    /// The last name of a resource.
    pub(super) fn name(&self) -> &str {
        self.names.last().map_or("", String::as_str)
    }

    /// The path that this one is below: of a list or an action the resource, of a resource the one above it; `None` for one at the
    /// top of its provider.
    pub(super) fn parent(&self) -> Option<Self> {
        let up = if self.is_resource() { 2 } else { 1 };
        let above = self.path.rsplitn(up + 1, '/').last()?;
        (self.words.len() > 1).then(|| Self::parse(above)).flatten()
    }

    /// Whether it is below Azure Machine Learning.
    pub(super) fn is_machine_learning(&self) -> bool {
        self.namespace.eq_ignore_ascii_case("Microsoft.MachineLearningServices")
    }
}

/// The words and names of a path without a provider: the subscription or a resource group.
fn resource_groups<'a>(segments: &'a [&'a str]) -> Option<&'a [&'a str]> {
    let is = |i: usize, word: &str| segments.get(i).is_some_and(|s| s.eq_ignore_ascii_case(word));
    match segments.len() {
        1 | 2 if is(0, "subscriptions") => Some(segments),
        3 | 4 if is(0, "subscriptions") && is(2, "resourceGroups") => segments.get(2..),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_path_is_told_apart() {
        let rg = "/subscriptions/s/resourceGroups/g";
        let ml = format!("{rg}/providers/Microsoft.MachineLearningServices/workspaces/w");
        for (path, kind, name, is_resource) in [
            (ml.clone(), "workspaces", "w", true),
            (format!("{ml}/models/m/versions/1/"), "workspaces/models/versions", "1", true),
            (format!("{ml}/models"), "workspaces/models", "w", false),
            (format!("{ml}/jobs/j/cancel"), "workspaces/jobs/cancel", "j", false),
            (
                format!("{ml}/providers/Microsoft.Authorization/roleAssignments/r"),
                "roleassignments",
                "r",
                true,
            ),
            (rg.to_owned(), "resourcegroups", "g", true),
            ("/subscriptions/s".to_owned(), "subscriptions", "s", true),
            ("/subscriptions/s/providers/Microsoft.Insights".to_owned(), "", "", false),
        ] {
            let parsed = ArmPath::parse(&path).unwrap();
            assert_eq!(
                (parsed.kind().as_str(), parsed.name(), parsed.is_resource()),
                (kind, name, is_resource)
            );
        }
        for path in ["", "/", "x", "/subscriptions/s//g", "/tenants/t", "/subscriptions/s/x/y"] {
            assert_eq!(ArmPath::parse(path), None, "{path}");
        }
    }

    #[test]
    fn what_is_above_is_found() {
        let parent = |path: &str| ArmPath::parse(path).unwrap().parent().map(|p| p.path);
        let ml = "/subscriptions/s/resourceGroups/g/providers/N.S/workspaces/w";
        assert_eq!(parent(ml), None);
        assert_eq!(parent(&format!("{ml}/models/m/versions/1")), Some(format!("{ml}/models/m")));
        assert_eq!(parent(&format!("{ml}/models/m")), Some(ml.to_owned()));
        assert_eq!(parent(&format!("{ml}/models")), Some(ml.to_owned()));
        assert_eq!(parent(&format!("{ml}/jobs/j/cancel")), Some(format!("{ml}/jobs/j")));
    }
}
