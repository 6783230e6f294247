//! Across all phases: a model is signed where it is made, and verified where it is used, file by file; so is what people approve.
//!
//! `cargo run -p mlops-examples --example cross_signing`
//!
//! The signature is in the format of OpenSSF Model Signing: the program `model_signing` of the package of that name verifies it too.

use std::path::Path;
use std::sync::Arc;

use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::governance::{Approval, ApprovalDecision, ApprovalRequest, ApproverKeys, SecretStore as _};
use mlops_core::memory::{MemoryArtifactStore, MemoryModelRegistry, MemorySecretStore};
use mlops_core::model::{ModelFormat, Predictor as _};
use mlops_core::oversight::signing::{
    ReadOptions, SignatureBundle, SigningKey, VerifyingKey, sign_version, verify_folder, verify_version,
};
use mlops_core::problem::Task;
use mlops_core::registry::{ModelRegistry as _, NewModelVersion};
use mlops_core::serve::ConstantPredictor;
use mlops_core::time::{Clock as _, SystemClock};
use mlops_core::{ActorId, ModelName, RelPath, SecretName, TagKey, Tags};
use mlops_examples::narrate::{say, step};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How many bytes of a bundle are read back; one of a few files takes some kilobytes.
const MAX_BUNDLE: usize = 1 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // The private key is made once and kept where secrets are kept: `openssl ecparam -name prime256v1 -genkey` makes one as well.
    step(1, "Make a key");
    let (secrets, name) = (MemorySecretStore::default(), SecretName::new("model-signing-key")?);
    secrets.set(&name, &SigningKey::generate()?.to_pem()?).await?;
    let key = SigningKey::from_pem(&secrets.get(&name).await?)?;
    // The public key is for everybody, and goes wherever models are used.
    let public = VerifyingKey::from_pem(&key.verifying_key().to_pem()?)?;
    say(format!("public key {}", public.hint()?.short()));

    // A model is a few files; the registry knows them by their digests, so that nothing has to be read to sign them.
    step(2, "Register a model, and sign the version");
    let clock = Arc::new(SystemClock::new());
    let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
    let registry = MemoryModelRegistry::new(artifacts.clone(), clock);
    let model = ConstantPredictor::new(Task::BinaryClassification, 0.25)?;
    let files = [
        ("model.json", model.to_bytes()?),
        ("docs/card.md", b"# Churn\n\nSays how likely a customer leaves.\n".to_vec()),
    ];
    let mut stored: Vec<(RelPath, bytes::Bytes)> = Vec::new();
    for (path, bytes) in &files {
        stored.push((RelPath::new(path)?, bytes.clone().into()));
    }
    let (tree, _) = artifacts.put_files(&stored).await?;
    let (churn, trainer) = (ModelName::new("churn")?, ActorId::new("trainer")?);
    let format = ModelFormat::new("mlops.constant/v1")?;
    let new = NewModelVersion::new(churn, tree.digest, format, model.signature().clone(), trainer.clone());
    let version = registry.register(&new).await?;
    let bundle = sign_version(&registry, &*artifacts, &version.reference(), &key).await?;

    // The bundle is content like any other; a tag of the version says which it is.
    let text = bundle.to_json();
    let blob = artifacts.put_bytes(text.clone()).await?;
    let tags: Tags = [(TagKey::new("mlops.signature")?, blob.digest.to_string())].into();
    registry.set_tags(&version.spec.model, version.version, &tags, &trainer).await?;
    say(format!("{} signed; the bundle has {} bytes", version.reference(), text.len()));

    // Whoever promotes or deploys verifies first. All files are read: what is stored must be what was signed.
    step(3, "Verify the version in the registry");
    let found = registry.get(&version.reference()).await?;
    let digest = found.spec.tags.get(&TagKey::new("mlops.signature")?).ok_or("not signed")?.parse()?;
    let text = String::from_utf8(artifacts.get_bytes(&digest, MAX_BUNDLE).await?.to_vec())?;
    let bundle = SignatureBundle::parse(&text)?;
    let signed = verify_version(&registry, &*artifacts, &version.reference(), &bundle, &public).await?;
    say(format!("`{}`, {} files, as they were signed", signed.name(), signed.files().count()));

    // Elsewhere there is only a folder, with the bundle beside the model.
    step(4, "Verify a folder");
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("churn");
    for (path, bytes) in &files {
        write(&root.join(path), bytes)?;
    }
    write(&root.join("model.sig"), text.as_bytes())?;
    let options = ReadOptions::new().with_ignored(RelPath::new("model.sig")?);
    let bundle = SignatureBundle::read(root.join("model.sig"))?;
    verify_folder(&root, &options, &bundle, &public)?;
    say("the folder is as it was signed");

    step(5, "Nothing else passes");
    write(&root.join("docs/card.md"), b"# Churn\n\nIs always right.\n")?;
    write(&root.join("extra.py"), b"import os\n")?;
    let refused = verify_folder(&root, &options, &bundle, &public).err().ok_or("a changed model passed")?;
    say(refused.message());
    let stranger = SigningKey::generate()?.verifying_key();
    let refused = bundle.verify(&stranger).err().ok_or("another key passed")?;
    say(refused.message());

    // A name in an approval is what somebody wrote. Where there are keys of those who may approve, only what they signed counts:
    // in a rollout, in a closed loop, and when a registry promotes.
    step(6, "An approval that its approver signed");
    let (officer, now) = (ActorId::new("risk-officer")?, SystemClock::new().now());
    let keys = ApproverKeys::new().with_key(officer.clone(), public.to_pem()?)?;
    let request = ApprovalRequest::new(
        tree.digest,
        format!("May {} serve?", version.reference()),
        trainer,
        now + std::time::Duration::from_secs(86_400),
    );
    let yes = Approval::answer(&request, ApprovalDecision::Approved, officer, "read the card", now);
    let yes = yes.signed(&key)?;
    keys.verify(&yes)?;
    say(format!("{} approved, and it was them", yes.approver));
    let mut forged = yes;
    forged.comment = "read nothing".to_owned();
    let refused = keys.verify(&forged).err().ok_or("a changed approval passed")?;
    say(refused.message());
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(path, bytes)?)
}
