//! Identity by content: SHA-256 digests, injective hashing of fields, and canonical JSON (RFC 8785).
//!
//! A digest must never be equal for two different things. Concatenating fields does not give that (`"a" + "bc"` is
//! `"ab" + "c"`), so [`Hasher`] writes a domain first and the length before every field.

pub(crate) mod base64;
mod exact;
pub(crate) mod mac;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::error::{Error, Result};

/// A SHA-256 digest; displayed, parsed and serialised as `sha256:` and 64 lower-case hexadecimal digits.
///
/// ```
/// use mlops_core::hash::Digest;
///
/// let digest = Digest::of(b"hello world");
/// assert_eq!(
///     digest.to_string(),
///     "sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
/// );
/// assert_eq!(digest.to_string().parse::<Digest>()?, digest);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The digest with these 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 lower-case hexadecimal digits, without the algorithm's name.
    ///
    /// ```
    /// use mlops_core::hash::Digest;
    /// assert!(Digest::of(b"").hex().starts_with("e3b0c44298fc1c14"));
    /// ```
    pub fn hex(&self) -> String {
        self.0.iter().fold(String::with_capacity(64), |mut out, byte| {
            for nibble in [byte >> 4, byte & 15] {
                out.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
            out
        })
    }

    /// The first 12 hexadecimal digits: for people, never for identity.
    pub fn short(&self) -> String {
        let mut hex = self.hex();
        hex.truncate(12);
        hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::invalid(
                "Digest::from_str",
                "digest",
                "expected sha256: and 64 lower-case hexadecimal digits",
            )
            .with("value", text)
        };
        let hex = text.strip_prefix("sha256:").ok_or_else(bad)?.as_bytes();
        if hex.len() != 64 {
            return Err(bad());
        }
        let nibble = |c: u8| match c {
            b'0'..=b'9' => Ok(c - b'0'),
            b'a'..=b'f' => Ok(c - b'a' + 10),
            _ => Err(bad()),
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Hashes typed fields so that different sequences of fields never share a digest.
///
/// Every field is written as its length (eight bytes, little endian) and its bytes, after the domain, which names what is
/// being hashed and its version.
///
/// ```
/// use mlops_core::hash::Hasher;
///
/// let ab_c = Hasher::new("example/v1").field("ab").field("c").finish();
/// let a_bc = Hasher::new("example/v1").field("a").field("bc").finish();
/// assert_ne!(ab_c, a_bc);
/// ```
#[derive(Clone)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// Starts a digest in `domain`, for instance `mlops.manifest/v1`.
    pub fn new(domain: &str) -> Self {
        Self(sha2::Sha256::new()).field(domain)
    }

    /// Adds one field.
    #[must_use]
    pub fn field(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.push(bytes.as_ref());
        self
    }

    /// Adds one field in place, for loops.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// The digest of everything added.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher { .. }")
    }
}

/// A plain streaming SHA-256 over bytes, without fields: the digest of a file read in pieces.
///
/// ```
/// use mlops_core::hash::{Digest, StreamHasher};
///
/// let mut hasher = StreamHasher::new();
/// hasher.update(b"hello ");
/// hasher.update(b"world");
/// assert_eq!(hasher.finish(), Digest::of(b"hello world"));
/// ```
#[derive(Clone)]
pub struct StreamHasher(sha2::Sha256);

impl StreamHasher {
    /// Starts with no bytes.
    pub fn new() -> Self {
        Self(sha2::Sha256::new())
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes added.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl Default for StreamHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for StreamHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamHasher { .. }")
    }
}

/// Serialises a value as canonical JSON (RFC 8785, JCS): keys sorted by UTF-16, numbers in ECMAScript's shortest form.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for NaN and infinities, for maps with keys that are not strings or come twice, and for integers
/// beyond ±(2⁵³ − 1): JSON numbers are doubles, so such an integer would be changed in silence. Send it as a string.
///
/// ```
/// use mlops_core::hash::canonical_json;
/// let value = serde_json::json!({"b": 1.0, "a": [true, null, 1e21]});
/// assert_eq!(canonical_json(&value)?, br#"{"a":[true,null,1e+21],"b":1}"#);
/// assert!(canonical_json(&f64::NAN).is_err());
/// assert!(canonical_json(&(1_i64 << 60)).is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn canonical_json<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    let wrap = |e: serde_json::Error| {
        Error::invalid("canonical_json", "value", "cannot be written as canonical JSON").with_source(e)
    };
    exact::check(value).map_err(|e| {
        let message = format!("cannot be written as canonical JSON: {e}");
        Error::invalid("canonical_json", "value", message)
    })?;
    serde_json_canonicalizer::to_vec(&value).map_err(wrap)
}

/// The digest of a value's canonical JSON.
///
/// ```
/// use mlops_core::hash::digest_json;
/// let a = serde_json::json!({"x": 1, "y": 2});
/// let b = serde_json::json!({"y": 2.0, "x": 1e0});
/// assert_eq!(digest_json(&a)?, digest_json(&b)?);
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// # Errors
/// As [`canonical_json`].
pub fn digest_json<T: Serialize + ?Sized>(value: &T) -> Result<Digest> {
    canonical_json(value).map(|bytes| Digest::of(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// FIPS 180-4 example values, as published by NIST for SHA-256.
    #[test]
    fn sha256_meets_the_published_vectors() {
        for (input, hex) in [
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ] {
            assert_eq!(Digest::of(input.as_bytes()).hex(), hex);
        }
    }

    /// The example of RFC 8785, section 3.2.3 (sorting) and 3.2.2.3 (numbers).
    #[test]
    fn canonical_json_meets_the_examples_of_rfc_8785() {
        let value: serde_json::Value = serde_json::from_str(
            r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
                "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#,
        )
        .unwrap();
        let expected = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
                        \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(String::from_utf8(canonical_json(&value).unwrap()).unwrap(), expected);

        let keys = json!({"\u{20ac}":"Euro Sign","\r":"Carriage Return","\u{fb33}":"Hebrew Letter Dalet With Dagesh",
            "1":"One","\u{1f600}":"Emoji: Grinning Face","\u{80}":"Control","\u{f6}":"Latin Small Letter O With Diaeresis"});
        let text = String::from_utf8(canonical_json(&keys).unwrap()).unwrap();
        let order: Vec<_> = ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"]
            .iter()
            .map(|w| text.find(w).unwrap())
            .collect();
        assert!(order.is_sorted(), "{text}");
    }

    #[test]
    fn digests_that_are_not_exactly_ours_are_refused() {
        let good = Digest::of(b"x").to_string();
        for bad in [
            String::new(),
            good.to_uppercase(),
            good.replace("sha256:", ""),
            good.replace("sha256", "sha1"),
            format!("{good}0"),
            good[..good.len() - 1].to_owned(),
            good.replace(&good[10..12], "é"),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn nested_unsafe_numbers_are_found() {
        assert!(canonical_json(&json!({"a": [1, {"b": 9007199254740993_u64}]})).is_err());
        assert!(canonical_json(&json!({"a": [1, {"b": -9007199254740991_i64}]})).is_ok());
        // serde_json alone writes these as null, at the top and nested.
        for hidden in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(canonical_json(&hidden).is_err());
            assert!(canonical_json(&std::collections::BTreeMap::from([("x", hidden)])).is_err());
            assert!(canonical_json(&vec![Some((1, hidden))]).is_err());
            assert!(canonical_json(&vec![f32::NAN]).is_err());
        }
    }
}
