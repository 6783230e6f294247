//! A step's key: the digest of everything its outputs depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{ParamValue, PortType};
use crate::error::{Error, Result, quote};
use crate::governance::Secret;
use crate::hash::{Digest, StreamHasher};
use crate::id::{ComponentName, ComponentVersion, PortName};

/// The domain of keys, and the version of what is written under it.
pub const KEY_DOMAIN: &str = "mlops/step/v1";

/// The key of a step: two steps have the same key exactly if their [parts](KeyParts) are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepKey(Digest);

impl StepKey {
    /// The key with this digest.
    pub const fn new(digest: Digest) -> Self {
        Self(digest)
    }

    /// The digest.
    pub const fn digest(&self) -> &Digest {
        &self.0
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for StepKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse().map(Self)
    }
}

/// Data that goes into a step, as its key sees it: by type and content, not by name or place.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyInput {
    /// Its type.
    pub r#type: PortType,
    /// The digest of its content.
    pub digest: Digest,
}

impl KeyInput {
    /// Data of a type with this digest.
    pub const fn new(r#type: PortType, digest: Digest) -> Self {
        Self { r#type, digest }
    }
}

/// Everything that a step's outputs depend on.
///
/// # What is hashed
/// The key is SHA-256 over fields, each written as its length (eight bytes, little endian) and its bytes:
/// the domain [`KEY_DOMAIN`]; name, version and code digest (32 bytes) of the component; the environment's digest, or an empty
/// field; the number of parameters (eight bytes), and for each, by name, its name, its tag (`i`, `n`, `b`, `t`) and its value (eight
/// bytes little endian, the eight bytes of a double with −0.0 as 0.0, one byte, UTF-8); the number of secrets, and for each its name
/// and [fingerprint](secret_fingerprint); the number of inputs, and for each its name, type and digest; the number of outputs, and for
/// each its name and type; the seed as eight bytes, or an empty field.
///
/// So no two different sets of parts are written alike: `{"a": "bc"}` is not `{"ab": "c"}`, and `1` is none of `1.0`, `"1"` and `true`.
/// What a step is called, where it stands in the pipeline and where its inputs come from is not hashed: equal content gives an
/// equal key, so a step behind one that made the same as before need not run.
///
/// ```
/// use mlops_core::hash::Digest;
/// use mlops_core::id::{ComponentName, ComponentVersion, PortName};
/// use mlops_core::pipeline::{KeyParts, ParamValue};
///
/// let mut parts =
///     KeyParts::new(ComponentName::new("train")?, ComponentVersion::new("1")?, Digest::of(b"code"));
/// let before = parts.clone();
/// parts.parameters.insert(PortName::new("depth")?, ParamValue::Integer(6));
/// assert_ne!(before.key()?, parts.key()?);
/// assert_eq!(before.differences(&parts)[0].to_string(), "parameters.depth: nothing -> 6");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyParts {
    /// The component's name.
    pub component: ComponentName,
    /// The component's version.
    pub version: ComponentVersion,
    /// The digest of the component's code.
    pub code: Digest,
    /// The digest of what it runs in.
    pub environment: Option<Digest>,
    /// Its parameters.
    pub parameters: BTreeMap<PortName, ParamValue>,
    /// The fingerprints of its secrets.
    pub secrets: BTreeMap<PortName, Digest>,
    /// What goes in.
    pub inputs: BTreeMap<PortName, KeyInput>,
    /// What comes out.
    pub outputs: BTreeMap<PortName, PortType>,
    /// The seed of its randomness.
    pub seed: Option<u64>,
}

impl KeyParts {
    /// The parts of a component without anything that goes in or out.
    pub fn new(component: ComponentName, version: ComponentVersion, code: Digest) -> Self {
        Self {
            component,
            version,
            code,
            environment: None,
            parameters: BTreeMap::new(),
            secrets: BTreeMap::new(),
            inputs: BTreeMap::new(),
            outputs: BTreeMap::new(),
            seed: None,
        }
    }

    /// The bytes that are hashed. O(size).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a parameter that is NaN or infinite.
    pub fn preimage(&self) -> Result<Vec<u8>> {
        let mut out = Preimage(Vec::with_capacity(512));
        out.field(KEY_DOMAIN.as_bytes());
        out.field(self.component.as_str().as_bytes());
        out.field(self.version.as_str().as_bytes());
        out.field(self.code.as_bytes());
        out.field(self.environment.as_ref().map_or(&[][..], |digest| digest.as_bytes()));
        out.count(self.parameters.len());
        for (name, value) in &self.parameters {
            out.field(name.as_str().as_bytes());
            out.value(name, value)?;
        }
        out.count(self.secrets.len());
        for (name, fingerprint) in &self.secrets {
            out.field(name.as_str().as_bytes());
            out.field(fingerprint.as_bytes());
        }
        out.count(self.inputs.len());
        for (name, input) in &self.inputs {
            out.field(name.as_str().as_bytes());
            out.field(input.r#type.as_str().as_bytes());
            out.field(input.digest.as_bytes());
        }
        out.count(self.outputs.len());
        for (name, r#type) in &self.outputs {
            out.field(name.as_str().as_bytes());
            out.field(r#type.as_str().as_bytes());
        }
        out.field(self.seed.map(u64::to_le_bytes).as_ref().map_or(&[][..], |seed| seed));
        Ok(out.0)
    }

    /// The key.
    ///
    /// # Errors
    /// As [`KeyParts::preimage`].
    pub fn key(&self) -> Result<StepKey> {
        self.preimage().map(|bytes| StepKey(Digest::of(&bytes)))
    }

    /// What changed from these parts to `other`, field by field, in the order in which they are hashed; nothing where both have
    /// one key.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let mut out = Vec::new();
        let mut single = |field: &str, before: Option<String>, after: Option<String>| {
            if before != after {
                out.push(Difference { field: field.to_owned(), before, after });
            }
        };
        let both = |a: &dyn ToString, b: &dyn ToString| (Some(a.to_string()), Some(b.to_string()));
        let (before, after) = both(&self.component, &other.component);
        single("component", before, after);
        let (before, after) = both(&self.version, &other.version);
        single("version", before, after);
        let (before, after) = both(&self.code, &other.code);
        single("code", before, after);
        let shown = |digest: &Option<Digest>| digest.map(|digest| digest.to_string());
        single("environment", shown(&self.environment), shown(&other.environment));
        compare("parameters", &self.parameters, &other.parameters, canonical, &mut out);
        // A fingerprint is of no use to a reader, and the less of it is shown the better.
        compare(
            "secrets",
            &self.secrets,
            &other.secrets,
            |digest| format!("#{}", &digest.hex()[..6]),
            &mut out,
        );
        let input = |input: &KeyInput| format!("{} {}", input.r#type, input.digest);
        compare("inputs", &self.inputs, &other.inputs, input, &mut out);
        compare("outputs", &self.outputs, &other.outputs, ToString::to_string, &mut out);
        if self.seed != other.seed {
            let shown = |seed: Option<u64>| seed.map(|seed| seed.to_string());
            let (before, after) = (shown(self.seed), shown(other.seed));
            out.push(Difference { field: "seed".to_owned(), before, after });
        }
        out
    }
}

/// A value as it is hashed: −0.0 is 0.0, and texts that differ where they are cut still differ.
fn canonical(value: &ParamValue) -> String {
    match value {
        ParamValue::Number(number) if *number == 0.0 => ParamValue::Number(0.0).to_string(),
        ParamValue::Text(text) if text.chars().count() > 40 => {
            format!("{value} ({} bytes, {})", text.len(), Digest::of(text.as_bytes()).short())
        }
        _ => value.to_string(),
    }
}

fn compare<T>(
    field: &str,
    before: &BTreeMap<PortName, T>,
    after: &BTreeMap<PortName, T>,
    shown: impl Fn(&T) -> String,
    out: &mut Vec<Difference>,
) {
    let names: BTreeSet<&PortName> = before.keys().chain(after.keys()).collect();
    for name in names {
        let (before, after) = (before.get(name).map(&shown), after.get(name).map(&shown));
        if before != after {
            out.push(Difference { field: format!("{field}.{name}"), before, after });
        }
    }
}

struct Preimage(Vec<u8>);

impl Preimage {
    fn field(&mut self, bytes: &[u8]) {
        self.0.extend((bytes.len() as u64).to_le_bytes());
        self.0.extend(bytes);
    }

    fn count(&mut self, count: usize) {
        self.field(&(count as u64).to_le_bytes());
    }

    fn value(&mut self, name: &PortName, value: &ParamValue) -> Result<()> {
        match value {
            ParamValue::Integer(value) => {
                self.field(b"i");
                self.field(&value.to_le_bytes());
            }
            ParamValue::Number(value) if !value.is_finite() => {
                let message = format!("must be finite, got {value}");
                return Err(Error::invalid("KeyParts::key", name.as_str(), message));
            }
            ParamValue::Number(value) => {
                self.field(b"n");
                // −0.0 + 0.0 is 0.0; every other number stays what it is.
                self.field(&(value + 0.0).to_bits().to_le_bytes());
            }
            ParamValue::Boolean(value) => {
                self.field(b"b");
                self.field(&[u8::from(*value)]);
            }
            ParamValue::Text(text) => {
                self.field(b"t");
                self.field(text.as_bytes());
            }
        }
        Ok(())
    }
}

/// One field in which two keys differ.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The field: `code`, `parameters.depth`, `inputs.rows`, …
    pub field: String,
    /// What it was; none where it was not there.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Digests are shown to a length at which people compare them.
        let shown = |side: &Option<String>| match side {
            None => "nothing".to_owned(),
            Some(text) => match text.split_once("sha256:") {
                Some((before, hex)) => format!("{before}sha256:{}…", hex.get(..12).unwrap_or(hex)),
                None => quote(text),
            },
        };
        write!(f, "{}: {} -> {}", self.field, shown(&self.before), shown(&self.after))
    }
}

/// The fingerprint of a secret under a key of yours: HMAC-SHA256 over `mlops/secret/v1`, a zero byte and the secret. It changes
/// when the secret is rotated, and tells nothing about it to who does not have the key.
///
/// Source: RFC 2104; agrees with the test cases of RFC 4231.
///
/// ```
/// use mlops_core::governance::Secret;
/// use mlops_core::pipeline::secret_fingerprint;
/// let (key, token) = (Secret::new("a long random text"), Secret::new("hunter2"));
/// assert_eq!(secret_fingerprint(&key, &token), secret_fingerprint(&key, &token));
/// assert_ne!(secret_fingerprint(&key, &token), secret_fingerprint(&Secret::new("another"), &token));
/// ```
pub fn secret_fingerprint(key: &Secret, secret: &Secret) -> Digest {
    hmac_sha256(key.expose().as_bytes(), &[b"mlops/secret/v1\0", secret.expose().as_bytes()])
}

fn hmac_sha256(key: &[u8], message: &[&[u8]]) -> Digest {
    const BLOCK: usize = 64;
    let mut block = [0_u8; BLOCK];
    let hashed;
    let key = if key.len() > BLOCK {
        hashed = *Digest::of(key).as_bytes();
        &hashed[..]
    } else {
        key
    };
    block.iter_mut().zip(key).for_each(|(slot, byte)| *slot = *byte);
    let pass = |pad: u8, parts: &[&[u8]]| {
        let mut hasher = StreamHasher::new();
        hasher.update(&block.map(|byte| byte ^ pad));
        parts.iter().for_each(|part| hasher.update(part));
        hasher.finish()
    };
    let inner = pass(0x36, message);
    pass(0x5c, &[inner.as_bytes()])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn port(name: &str) -> PortName {
        PortName::new(name).unwrap()
    }

    fn parts() -> KeyParts {
        let (name, version) = (ComponentName::new("train").unwrap(), ComponentVersion::new("1.0").unwrap());
        KeyParts::new(name, version, Digest::of(b"code"))
    }

    fn with(value: impl Into<ParamValue>) -> KeyParts {
        let mut parts = parts();
        parts.parameters.insert(port("x"), value.into());
        parts
    }

    fn full() -> KeyParts {
        let mut parts = with(6_i64);
        parts.environment = Some(Digest::of(b"lock"));
        parts.parameters.insert(port("rate"), ParamValue::Number(0.1));
        parts.parameters.insert(port("fast"), ParamValue::Boolean(true));
        parts.parameters.insert(port("loss"), ParamValue::Text("größe".to_owned()));
        parts.secrets.insert(port("token"), Digest::of(b"fingerprint"));
        parts
            .inputs
            .insert(port("rows"), KeyInput { r#type: PortType::UriFolder, digest: Digest::of(b"rows") });
        parts.outputs.insert(port("model"), PortType::CustomModel);
        parts.seed = Some(42);
        parts
    }

    /// Made with Python 3 from the description above: `tests/reference/step_key.py`.
    #[test]
    fn keys_never_change_between_releases() {
        let vectors: BTreeMap<String, String> =
            serde_json::from_str(include_str!("../../tests/reference/step_key.json")).unwrap();
        for (name, parts) in [
            ("bare", parts()),
            ("full", full()),
            ("integer", with(1_i64)),
            ("number", with(1.0)),
            ("text", with("1")),
            ("boolean", with(true)),
            ("zero", with(0.0)),
        ] {
            assert_eq!(parts.key().unwrap().to_string(), vectors[name], "{name}");
        }
    }

    #[test]
    fn values_that_look_alike_have_keys_of_their_own() {
        let alike = [
            with(1_i64),
            with(1.0),
            with("1"),
            with(true),
            with("true"),
            with("1.0"),
            with(0_i64),
            with(false),
        ];
        let keys: BTreeSet<StepKey> = alike.iter().map(|parts| parts.key().unwrap()).collect();
        assert_eq!(keys.len(), alike.len());
        let pair = |a: &str, b: &str| {
            let mut parts = parts();
            parts.parameters.insert(port(a), b.into());
            parts.key().unwrap()
        };
        assert_ne!(pair("a", "bc"), pair("ab", "c"));
    }

    #[test]
    fn negative_zero_is_zero_and_what_is_no_number_is_refused() {
        assert_eq!(with(-0.0).key().unwrap(), with(0.0).key().unwrap());
        assert!(with(-0.0).differences(&with(0.0)).is_empty());
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(with(bad).key().unwrap_err().context("field"), Some("x"));
        }
    }

    #[test]
    fn a_difference_is_said_in_words() {
        let (before, mut after) = (full(), full());
        after.parameters.insert(port("rate"), ParamValue::Number(0.2));
        after.parameters.remove(&port("x"));
        after.code = Digest::of(b"other code");
        after.secrets.insert(port("token"), Digest::of(b"rotated"));
        after.seed = None;
        let said: Vec<String> = before.differences(&after).iter().map(ToString::to_string).collect();
        assert_eq!(said[1], "parameters.rate: 0.1 -> 0.2");
        assert_eq!(said[2], "parameters.x: 6 -> nothing");
        assert!(said[0].starts_with("code: sha256:") && said[3].starts_with("secrets.token: #"), "{said:?}");
        assert_eq!(said[4], "seed: 42 -> nothing");
    }

    /// RFC 4231, test cases 1, 2 and 6 (a key longer than a block).
    #[test]
    fn hmac_meets_the_published_vectors() {
        for (key, message, expected) in [
            (
                &[0x0b; 20][..],
                &b"Hi There"[..],
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hmac_sha256(key, &[message]).hex(), expected);
        }
    }

    /// Reads fields back; that this gives the parts again is what makes the writing injective.
    struct Fields<'a>(&'a [u8]);

    impl<'a> Fields<'a> {
        fn next(&mut self) -> &'a [u8] {
            let (length, rest) = self.0.split_at(8);
            let length = u64::from_le_bytes(length.try_into().unwrap());
            let (field, rest) = rest.split_at(usize::try_from(length).unwrap());
            self.0 = rest;
            field
        }

        fn text(&mut self) -> &'a str {
            std::str::from_utf8(self.next()).unwrap()
        }

        fn digest(&mut self) -> Digest {
            Digest::from_bytes(self.next().try_into().unwrap())
        }

        fn count(&mut self) -> u64 {
            u64::from_le_bytes(self.next().try_into().unwrap())
        }

        fn kind(&mut self) -> PortType {
            let word = self.text();
            PortType::ALL.into_iter().find(|kind| kind.as_str() == word).unwrap()
        }
    }

    fn read(bytes: &[u8]) -> KeyParts {
        let mut fields = Fields(bytes);
        assert_eq!(fields.text(), KEY_DOMAIN);
        let mut parts = KeyParts::new(
            ComponentName::new(fields.text()).unwrap(),
            ComponentVersion::new(fields.text()).unwrap(),
            fields.digest(),
        );
        parts.environment = match fields.next() {
            [] => None,
            bytes => Some(Digest::from_bytes(bytes.try_into().unwrap())),
        };
        for _ in 0..fields.count() {
            let name = port(fields.text());
            let value = match (fields.text(), fields.next()) {
                ("i", bytes) => ParamValue::Integer(i64::from_le_bytes(bytes.try_into().unwrap())),
                ("n", bytes) => {
                    ParamValue::Number(f64::from_bits(u64::from_le_bytes(bytes.try_into().unwrap())))
                }
                ("b", bytes) => ParamValue::Boolean(bytes == [1]),
                ("t", bytes) => ParamValue::Text(String::from_utf8(bytes.to_vec()).unwrap()),
                (other, _) => panic!("a tag {other}"),
            };
            parts.parameters.insert(name, value);
        }
        for _ in 0..fields.count() {
            parts.secrets.insert(port(fields.text()), fields.digest());
        }
        for _ in 0..fields.count() {
            let name = port(fields.text());
            parts.inputs.insert(name, KeyInput { r#type: fields.kind(), digest: fields.digest() });
        }
        for _ in 0..fields.count() {
            parts.outputs.insert(port(fields.text()), fields.kind());
        }
        parts.seed = match fields.next() {
            [] => None,
            bytes => Some(u64::from_le_bytes(bytes.try_into().unwrap())),
        };
        assert!(fields.0.is_empty());
        parts
    }

    fn ports<T: fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = BTreeMap<PortName, T>> {
        let name = "[a-c]{1,2}".prop_map(|name| port(&name));
        proptest::collection::btree_map(name, value, 0..4)
    }

    fn any_parts() -> impl Strategy<Value = KeyParts> {
        let value = prop_oneof![
            any::<i64>().prop_map(ParamValue::Integer),
            (-2_i64..3).prop_map(ParamValue::Integer),
            proptest::num::f64::NORMAL.prop_map(ParamValue::Number),
            prop_oneof![Just(0.0), Just(1.0)].prop_map(ParamValue::Number),
            any::<bool>().prop_map(ParamValue::Boolean),
            "[0-9a-c]{0,3}".prop_map(ParamValue::Text),
        ];
        let digest = prop_oneof![Just(Digest::of(b"a")), Just(Digest::of(b"b"))];
        let kind = proptest::sample::select(PortType::ALL.to_vec());
        let input = (kind.clone(), digest.clone()).prop_map(|(r#type, digest)| KeyInput { r#type, digest });
        (
            ("[a-b]{1,2}", "[a-b]{1,2}", digest.clone(), proptest::option::of(digest.clone())),
            (ports(value), ports(digest), ports(input), ports(kind)),
            proptest::option::of(0_u64..3),
        )
            .prop_map(
                |((name, version, code, environment), (parameters, secrets, inputs, outputs), seed)| {
                    KeyParts {
                        component: ComponentName::new(name).unwrap(),
                        version: ComponentVersion::new(version).unwrap(),
                        code,
                        environment,
                        parameters,
                        secrets,
                        inputs,
                        outputs,
                        seed,
                    }
                },
            )
    }

    proptest! {
        /// What is hashed can be read back, so different parts are never written alike.
        #[test]
        fn what_is_hashed_says_all_of_the_parts(parts in any_parts()) {
            prop_assert_eq!(read(&parts.preimage().unwrap()), parts);
        }

        #[test]
        fn keys_are_equal_exactly_if_nothing_differs(a in any_parts(), b in any_parts()) {
            prop_assert_eq!(a.differences(&b).is_empty(), a.preimage().unwrap() == b.preimage().unwrap());
            prop_assert_eq!(a.differences(&b).is_empty(), a == b);
        }
    }
}
