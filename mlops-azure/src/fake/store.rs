//! What is there: resources by their ids.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A resource.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// All of it, with the envelope.
    pub(super) value: Value,
    /// How many resources were made before it.
    pub(super) number: u64,
    /// How many more reads do not find it.
    pub(super) hidden: u32,
}

/// Resources by their ids in lower case.
#[derive(Debug, Default)]
pub(super) struct Store {
    entries: BTreeMap<String, Entry>,
    made: u64,
}

impl Store {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.entries.get_mut(key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Puts a resource there; says whether it is new. One that is hidden, or was made earlier, stays so.
    pub(super) fn put(&mut self, key: &str, value: Value, hidden: u32) -> bool {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.value = value;
            return false;
        }
        self.made += 1;
        self.entries.insert(key.to_owned(), Entry { value, number: self.made, hidden });
        true
    }

    /// Removes a resource and everything below it; says whether it was there.
    pub(super) fn remove(&mut self, key: &str) -> bool {
        let below: Vec<String> = self.below(key).map(|(key, _)| key.to_owned()).collect();
        below.iter().for_each(|key| drop(self.entries.remove(key)));
        self.entries.remove(key).is_some()
    }

    /// Everything below a path, however deep.
    pub(super) fn below(&self, key: &str) -> impl Iterator<Item = (&str, &Entry)> {
        let prefix = format!("{}/", key.trim_end_matches('/'));
        let from = self.entries.range(prefix.clone()..);
        from.take_while(move |(key, _)| key.starts_with(&prefix)).map(|(key, entry)| (key.as_str(), entry))
    }

    /// The items of a list.
    pub(super) fn items(&self, list: &str) -> Vec<&Entry> {
        let depth = list.matches('/').count() + 1;
        self.below(list)
            .filter(|(key, _)| key.matches('/').count() == depth)
            .map(|(_, entry)| entry)
            .collect()
    }

    /// Everything.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), entry))
    }
}

/// Sets what a resource says of the operation on it. Registries say nothing.
pub(super) fn set_provisioning(value: &mut Value, state: &str) {
    const SILENT: &str = "Microsoft.MachineLearningServices/registries";
    if value.get("type").and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case(SILENT)) {
        return;
    }
    if let Some(resource) = value.as_object_mut() {
        let properties = resource.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.insert("provisioningState".to_owned(), json!(state));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_what_is_directly_below_and_a_removal_takes_all() {
        let mut store = Store::default();
        for key in ["/w", "/w/models/a", "/w/models/a/versions/1", "/w/models/b", "/w/modelsx/c"] {
            assert!(store.put(key, json!({ "id": key }), 0));
            assert!(!store.put(key, json!({ "id": key }), 0));
        }
        let ids = |list| store.items(list).iter().map(|e| e.value["id"].clone()).collect::<Vec<_>>();
        assert_eq!(ids("/w/models"), ["/w/models/a", "/w/models/b"]);
        assert_eq!(ids("/w/models/a/versions"), ["/w/models/a/versions/1"]);
        assert!(store.remove("/w/models/a") && !store.remove("/w/models/a"));
        assert!(!store.has("/w/models/a/versions/1") && store.has("/w/modelsx/c"));
    }
}
