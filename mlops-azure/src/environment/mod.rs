//! What jobs run in and of: environments, code and components.
//!
//! | module | what it holds |
//! |---|---|
//! | [`code`] | [`Codes`]: folders of code, registered under the digest of their content |
//! | [`component`] | [`Components`]: steps of pipelines |
//! | [`version`] | [`Environments`]: images and packages |
//!
//! # Versions, permissions, and what is eventually consistent
//! Resource Manager, version [`API_VERSION`](crate::config::API_VERSION). To read takes
//! `Microsoft.MachineLearningServices/workspaces/{environments,codes,components}/versions/read`, to register the same with `write`; the
//! role `AzureML Data Scientist` has them. A version is there as soon as it was written; an image is built when a job first wants it.
//!
//! # What differs from the local backend
//! Azure would let a version be written again. [`Environments::register`] and [`Components::register`] look first and refuse to: a
//! version names one content. There is no compare-and-set, so of two who register at the same moment the last one wins.
//!
//! An environment's version has the digest of what was registered in its property `mlops.asked`, because the service may give back the
//! packages of conda in other words than they were written in. By it the same registration is known again; everything else of the
//! version is compared as it is.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use mlops_core::hash::Digest;
use mlops_core::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::http::Service;
use crate::wire::{At, Properties, Resource};

pub mod code;
pub mod component;
pub mod version;

pub use code::{CodeSource, Codes, PendingUpload};
pub use component::Components;
pub use version::Environments;

/// What this process knows to be registered: ids by the digest of the content.
#[derive(Debug, Default)]
struct Known(Mutex<HashMap<Digest, String>>);

impl Known {
    /// More are not remembered: they are found again by a call.
    const MOST: usize = 10_000;

    fn get(&self, digest: &Digest) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    fn insert(&self, digest: Digest, id: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < Self::MOST {
            known.insert(digest, id.to_owned());
        }
    }
}

/// A digest in the form of a GUID, as the service wants names of what has none: its first 128 bits.
fn guid(digest: &Digest) -> String {
    let bytes = digest.as_bytes();
    let first = u128::from_be_bytes(std::array::from_fn(|at| bytes[at]));
    uuid::Uuid::from_u128(first).to_string()
}

/// Writes a version that is not there yet. One that is there with all that this one says is left as it is.
async fn register<P: Properties + DeserializeOwned>(
    arm: &Service,
    operation: &'static str,
    at: &At<Resource<P>>,
    resource: &Resource<P>,
) -> Result<Resource<P>> {
    match arm.call(at.get(operation)).await {
        Ok(there) if is_same(&there.body()?, &resource.body()?) => Ok(there),
        Ok(_) => {
            let message = "the version is there already, with other content";
            Err(Error::new(ErrorKind::AlreadyExists, operation, message).with("id", at.id()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => arm.call(at.put(operation, resource)?).await,
        Err(error) => Err(error),
    }
}

/// The property with the digest of what was registered.
const ASKED: &str = "mlops.asked";

/// Whether `there` is what was registered: it says all of it, but that packages of conda may be in other words where the digest of
/// the registration is the same.
fn is_same(there: &Value, wanted: &Value) -> bool {
    const CONDA: &str = "condaFile";
    let conda = |of: &Value| of.pointer("/properties/condaFile").is_some_and(Value::is_string);
    let asked = |of: &Value| of.pointer("/properties/properties").and_then(|all| all.get(ASKED).cloned());
    let mut wanted = wanted.clone();
    if conda(there) && conda(&wanted) && asked(&wanted).is_some() && asked(there) == asked(&wanted) {
        wanted["properties"].as_object_mut().map(|members| members.remove(CONDA));
    } else if asked(there).is_none() {
        // Registered by another client, or by an earlier release.
        let properties = wanted.pointer_mut("/properties/properties").and_then(Value::as_object_mut);
        properties.map(|members| members.remove(ASKED));
    }
    says(there, &wanted)
}

/// Whether `there` says everything that `wanted` says; the service fills in what was not said.
fn says(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => {
            wanted.iter().all(|(name, value)| there.get(name).is_some_and(|there| says(there, value)))
        }
        (there, wanted) => there == wanted,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_service_fills_in_is_no_other_content() {
        let there = json!({ "image": "x", "osType": "Linux", "tags": { "a": "b", "c": "d" } });
        for (wanted, expected) in [
            (json!({ "image": "x" }), true),
            (json!({ "image": "x", "tags": { "a": "b" } }), true),
            (json!({ "image": "y" }), false),
            (json!({ "image": "x", "condaFile": "z" }), false),
            (json!({ "tags": { "a": "c" } }), false),
            (json!({ "tags": [] }), false),
        ] {
            assert_eq!(says(&there, &wanted), expected, "{wanted}");
        }
    }

    #[test]
    fn packages_in_other_words_are_the_same_where_the_digest_says_so() {
        let version = |image: &str, conda: &str, asked: Option<&str>| {
            let properties = asked.map_or(json!({}), |asked| json!({ ASKED: asked }));
            json!({ "properties": { "image": image, "condaFile": conda, "properties": properties } })
        };
        let wanted = version("i", "a: [b]", Some("1"));
        for (there, expected) in [
            (version("i", "a: [b]", Some("1")), true),
            (version("i", "a:\n- b\n", Some("1")), true),
            (version("i", "a:\n- b\n", Some("2")), false),
            (version("i", "a: [b]", Some("2")), false),
            (version("j", "a:\n- b\n", Some("1")), false),
            (version("i", "a: [b]", None), true),
            (version("i", "a: [c]", None), false),
            (json!({ "properties": { "image": "i", "properties": { ASKED: "1" } } }), false),
        ] {
            assert_eq!(is_same(&there, &wanted), expected, "{there}");
        }
    }

    #[test]
    fn a_digest_is_a_guid_that_azure_takes() {
        let name = guid(&Digest::of(b"code"));
        assert!(crate::config::name::is_guid(&name), "{name}");
        assert_ne!(name, guid(&Digest::of(b"other code")));
    }
}
