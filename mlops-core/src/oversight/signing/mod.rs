//! Signatures of models, in the format of OpenSSF Model Signing 1.0: who holds the public key can tell that not one file of a model
//! was changed, added, removed or renamed since whoever holds the private key signed it.
//!
//! A signature is a Sigstore bundle (JSON, beside the model as `model.sig`): a DSSE envelope around an in-toto statement with the
//! predicate `https://model_signing/signature/v1.0`, which lists every file with its SHA-256. Signed is with ECDSA on P-256, the
//! method `key`; the same model and key give the same bytes (RFC 6979). The program `model_signing` of the project verifies what is
//! signed here, and what it signs with a key on P-256 is verified here.
//!
//! | what | how |
//! |---|---|
//! | a key | [`SigningKey::from_pem`] of what `openssl` wrote, [`SigningKey::generate`]; [`VerifyingKey`] for everybody else |
//! | a folder | [`sign_folder`], [`verify_folder`] |
//! | a version in a registry | [`sign_version`], [`verify_version`] |
//! | files known by their digests | [`ModelFiles`], [`SignatureBundle::sign`], [`SignatureBundle::verify`], [`SignedModel::require`] |
//!
//! What is not read: certificates and keyless signatures, which ask for roots of trust and a log of the world's; digests other than
//! SHA-256; files in shards; statements of versions before 1.0. Links are never followed. Each is refused by name.
//!
//! Sources: the specification 1.0 (<https://github.com/ossf/model-signing-spec>), and the package `model-signing` 1.1.1, which is
//! followed where the two differ: a model of one file is called `.`.
//!
//! ```
//! use mlops_core::RelPath;
//! use mlops_core::hash::Digest;
//! use mlops_core::oversight::signing::{ModelFiles, SignatureBundle, SigningKey};
//!
//! let key = SigningKey::generate()?;
//! let file = |path: &str, content: &[u8]| Ok::<_, mlops_core::Error>((RelPath::new(path)?, Digest::of(content)));
//! let model = ModelFiles::new("churn", [file("config.json", b"{}")?, file("weights.bin", b"1 2 3")?])?;
//! let text = SignatureBundle::sign(&model, &key)?.to_json();
//!
//! // Elsewhere, with the public key alone:
//! let signed = SignatureBundle::parse(&text)?.verify(&key.verifying_key())?;
//! signed.require(&model)?;
//! let tampered = ModelFiles::new("churn", [file("config.json", b"{}")?, file("weights.bin", b"1 2 4")?])?;
//! assert_eq!(signed.compare(&tampered).changed, ["weights.bin"]);
//! # Ok::<(), mlops_core::Error>(())
//! ```

mod bundle;
mod files;
mod statement;
mod version;

pub use self::bundle::SignatureBundle;
pub use self::files::{ModelFiles, ReadOptions};
pub use self::statement::{FileDifference, SignedModel};
pub use self::version::{sign_version, verify_version};
pub use crate::governance::signing_key::{SigningKey, VerifyingKey};

use std::path::Path;

use crate::error::Result;

/// Signs a folder, or a single file. Reads every file once, in the thread that calls.
///
/// Where the signature is kept within the folder, name it as ignored; it is not part of what it signs.
///
/// # Errors
/// As [`ModelFiles::read`].
pub fn sign_folder(
    path: impl AsRef<Path>,
    options: &ReadOptions,
    key: &SigningKey,
) -> Result<SignatureBundle> {
    SignatureBundle::sign(&ModelFiles::read(path, options)?, key)
}

/// Verifies a folder, or a single file: that the key signed the bundle, and that the files are those that it signed. What the
/// signature says was ignored is ignored, and what `options` says.
///
/// # Errors
/// As [`SignatureBundle::verify`], [`ModelFiles::read`] and [`SignedModel::require`].
///
/// ```
/// use mlops_core::RelPath;
/// use mlops_core::oversight::signing::{ReadOptions, SigningKey, sign_folder, verify_folder};
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("weights.bin"), b"1 2 3")?;
/// let (key, options) = (SigningKey::generate()?, ReadOptions::new().with_ignored(RelPath::new("model.sig")?));
/// let bundle = sign_folder(folder.path(), &options, &key)?;
/// std::fs::write(folder.path().join("model.sig"), bundle.to_json())?;
///
/// verify_folder(folder.path(), &options, &bundle, &key.verifying_key())?;
/// std::fs::write(folder.path().join("more.bin"), b"4")?;
/// let error = verify_folder(folder.path(), &options, &bundle, &key.verifying_key()).unwrap_err();
/// assert_eq!(error.message(), "the files are not those that were signed: `more.bin` is not signed");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify_folder(
    path: impl AsRef<Path>,
    options: &ReadOptions,
    bundle: &SignatureBundle,
    key: &VerifyingKey,
) -> Result<SignedModel> {
    let signed = bundle.verify(key)?;
    let options = options.clone().with_signed(&signed);
    signed.require(&ModelFiles::read(path, &options)?)?;
    Ok(signed)
}
