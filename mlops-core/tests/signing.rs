//! Signatures of models: what the official package signs is verified here, what is signed here is verified there, and what is no good
//! is refused. `reference/signing.json` says by which versions it was made; its key is for tests only.
//!
//! With `MLOPS_TEST_MODEL_SIGNING`, the program `model_signing` of the package, both directions are tried with the program itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use mlops_core::artifact::{ArtifactStore as _, ArtifactStoreExt as _};
use mlops_core::governance::Secret;
use mlops_core::hash::Digest;
use mlops_core::memory::{MemoryArtifactStore, MemoryModelRegistry};
use mlops_core::model::{ModelFormat, Predictor as _};
use mlops_core::oversight::signing::{
    FileDifference, ModelFiles, ReadOptions, SignatureBundle, SigningKey, VerifyingKey, sign_folder,
    sign_version, verify_folder, verify_version,
};
use mlops_core::problem::Task;
use mlops_core::registry::{ModelRegistry as _, NewModelVersion};
use mlops_core::serve::ConstantPredictor;
use mlops_core::time::SystemClock;
use mlops_core::{ActorId, Error, ErrorKind, ModelName, RelPath};
use serde_json::{Value, json};

fn reference() -> Value {
    serde_json::from_str(include_str!("reference/signing.json")).unwrap()
}

fn texts(value: &Value) -> Vec<(String, String)> {
    let entries = value.as_object().unwrap().iter();
    entries.map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned())).collect()
}

fn pem(form: &str) -> Secret {
    Secret::new(reference()["test_only"][form].as_str().unwrap())
}

fn key() -> SigningKey {
    SigningKey::from_pem(&pem("pkcs8")).unwrap()
}

fn public() -> VerifyingKey {
    VerifyingKey::from_pem(reference()["public"].as_str().unwrap()).unwrap()
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn options() -> ReadOptions {
    ReadOptions::new().with_ignored(path("train.log")).with_ignored(path("model.sig"))
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// The model of the reference, as a folder.
fn model() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("churn");
    let reference = reference();
    for (name, text) in [texts(&reference["files"]), texts(&reference["ignored"])].concat() {
        write(&folder, &name, &text);
    }
    (home, folder)
}

fn bundle(value: &Value) -> SignatureBundle {
    SignatureBundle::parse(&value.to_string()).unwrap()
}

fn refused(result: Result<impl std::fmt::Debug, Error>) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind(), error.message().to_owned())
}

// --------------------------------------------------------------------------------------------------- the package's own

#[test]
fn what_the_package_signed_is_verified() {
    let (_home, folder) = model();
    let reference = reference();
    for (what, value) in reference["package"].as_object().unwrap() {
        let path = if what == "single file" { folder.join("config.json") } else { folder.clone() };
        let signed = verify_folder(&path, &ReadOptions::new(), &bundle(value), &public()).unwrap();
        let count = if what == "single file" { 1 } else { reference["files"].as_object().unwrap().len() };
        assert_eq!(signed.files().count(), count, "{what}");
        assert_eq!(signed.name(), path.file_name().unwrap().to_str().unwrap());
        assert_eq!(*signed.digest(), root(signed.files().map(|(_, digest)| *digest), what));
    }
}

/// The package sorts by the parts of a path and not by its characters, so that the order of `a/b` and `a-b` is another.
fn root(digests: impl Iterator<Item = Digest>, what: &str) -> Digest {
    let mut digests: Vec<Digest> = digests.collect();
    if what != "single file" {
        digests.swap(0, 1);
    }
    Digest::of(&digests.iter().flat_map(|digest| *digest.as_bytes()).collect::<Vec<u8>>())
}

#[test]
fn what_is_signed_is_to_the_byte_what_the_formats_say() {
    let reference = reference();
    let files = texts(&reference["files"]);
    let files = files.iter().map(|(name, text)| (path(name), Digest::of(text.as_bytes())));
    let ours = SignatureBundle::sign(&ModelFiles::new("churn", files).unwrap(), &key()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&ours.to_json()).unwrap(), reference["deterministic"]);
}

#[test]
fn statements_that_are_no_good_are_refused_although_the_signature_is() {
    let reference = reference();
    let cases = reference["refused"].as_array().unwrap();
    assert_eq!(cases.len(), 33);
    for case in cases {
        let bundle = bundle(&case["bundle"]);
        let error = bundle.verify(&public()).unwrap_err();
        let kind = if case["kind"] == "corrupt" { ErrorKind::Corrupt } else { ErrorKind::Unsupported };
        assert_eq!(error.kind(), kind, "{}: {error}", case["what"]);
    }
}

// -------------------------------------------------------------------------------------------------------------- files

#[test]
fn a_file_that_was_changed_added_removed_or_renamed_is_named() {
    type Tamper = fn(&Path);
    let difference = |changed: &[&str], missing: &[&str], added: &[&str]| {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        (own(changed), own(missing), own(added))
    };
    let cases: [(&str, Tamper, _); 7] = [
        ("change", |f| write(f, "config.json", "[]\n"), difference(&["config.json"], &[], &[])),
        ("change of a bit", |f| write(f, "sub/deep/weights.bin", "1 2 2\n"), {
            difference(&["sub/deep/weights.bin"], &[], &[])
        }),
        ("fill", |f| write(f, "empty", " "), difference(&["empty"], &[], &[])),
        ("add", |f| write(f, "sub/more", ""), difference(&[], &[], &["sub/more"])),
        ("hide", |f| write(f, "sub/.gitignore", ""), difference(&[], &[], &["sub/.gitignore"])),
        ("remove", |f| std::fs::remove_file(f.join("a-b")).unwrap(), difference(&[], &["a-b"], &[])),
        ("rename", |f| std::fs::rename(f.join("a-b"), f.join("a-c")).unwrap(), {
            difference(&[], &["a-b"], &["a-c"])
        }),
    ];
    for (what, tamper, (changed, missing, added)) in cases {
        let (_home, folder) = model();
        let bundle = sign_folder(&folder, &options(), &key()).unwrap();
        write(&folder, "model.sig", &bundle.to_json());
        verify_folder(&folder, &options(), &bundle, &public()).unwrap();
        tamper(&folder);
        let error = verify_folder(&folder, &options(), &bundle, &public()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{what}");
        let found =
            std::error::Error::source(&error).and_then(|e| e.downcast_ref::<FileDifference>()).unwrap();
        assert_eq!((&found.changed, &found.missing, &found.added), (&changed, &missing, &added), "{what}");
    }
}

#[test]
fn what_is_ignored_may_change_and_nothing_else() {
    let (_home, folder) = model();
    let bundle = sign_folder(&folder, &options(), &key()).unwrap();
    write(&folder, "train.log", "another log");
    write(&folder, ".git/objects/more", "x");
    write(&folder, "model.sig", &bundle.to_json());
    // What was ignored is in the signature: whoever verifies need not know it.
    verify_folder(&folder, &ReadOptions::new(), &bundle, &public()).unwrap();
    write(&folder, "train.log.old", "x");
    let (kind, message) = refused(verify_folder(&folder, &ReadOptions::new(), &bundle, &public()));
    assert_eq!(kind, ErrorKind::Integrity);
    assert_eq!(message, "the files are not those that were signed: `train.log.old` is not signed");
}

#[test]
fn a_folder_that_is_none_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let read = |name: &str| ModelFiles::read(home.path().join(name), &ReadOptions::new());
    assert_eq!(refused(read("nowhere")).0, ErrorKind::NotFound);
    std::fs::create_dir_all(home.path().join("empty/.git")).unwrap();
    write(home.path(), "empty/.git/x", "x");
    assert_eq!(refused(read("empty")), (ErrorKind::InvalidInput, "a model has at least one file".to_owned()));
    #[cfg(unix)]
    {
        write(home.path(), "linked/a", "a");
        std::os::unix::fs::symlink("/etc/passwd", home.path().join("linked/b")).unwrap();
        assert_eq!(refused(read("linked")), (ErrorKind::InvalidInput, "is a link".to_owned()));
        std::os::unix::fs::symlink(home.path().join("linked"), home.path().join("link")).unwrap();
        assert_eq!(refused(read("link")), (ErrorKind::InvalidInput, "is a link".to_owned()));
        std::fs::create_dir(home.path().join("odd")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(home.path().join("odd/s")).unwrap();
        let message = "is neither a file nor a folder".to_owned();
        assert_eq!(refused(read("odd")), (ErrorKind::InvalidInput, message));
    }
}

// --------------------------------------------------------------------------------------------------------------- keys

#[test]
fn keys_are_read_in_every_form_and_only_of_this_curve() {
    assert_eq!(key().verifying_key(), public());
    let sec1 = reference()["test_only"]["sec1"].as_str().unwrap().to_owned();
    // What `openssl ecparam -genkey` writes before the key, and what people write around it.
    let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    for text in [
        sec1.clone(),
        format!("{parameters}{sec1}"),
        format!("mine:\n{sec1}\nkeep it"),
        sec1.replace('\n', "\r\n"),
    ] {
        assert_eq!(SigningKey::from_pem(&Secret::new(text)).unwrap().verifying_key(), public());
    }
    assert_eq!(refused(SigningKey::from_pem(&pem("encrypted"))).0, ErrorKind::Unsupported);
    let p384 = refused(SigningKey::from_pem(&pem("p384")));
    assert_eq!(p384, (ErrorKind::InvalidInput, "holds no private key of the curve P-256".to_owned()));
    let p384 = refused(VerifyingKey::from_pem(reference()["public_p384"].as_str().unwrap()));
    assert_eq!(p384, (ErrorKind::InvalidInput, "holds no public key of the curve P-256".to_owned()));
    assert_eq!(refused(SigningKey::from_pem(&Secret::new("x".repeat(70_000)))).0, ErrorKind::LimitExceeded);
}

#[test]
fn no_part_of_a_private_key_is_in_any_text() {
    let reference = reference();
    for form in ["pkcs8", "sec1", "p384"] {
        let text = reference["test_only"][form].as_str().unwrap();
        // Damaged in each of its lines in turn.
        let lines: Vec<&str> = text.lines().collect();
        let canaries: Vec<&str> = lines.iter().filter(|line| !line.starts_with('-')).copied().collect();
        for at in 1..lines.len() - 1 {
            let mut damaged = lines.clone();
            let line = format!("*{}", &lines[at][1..]);
            damaged[at] = &line;
            let error = SigningKey::from_pem(&Secret::new(damaged.join("\n"))).unwrap_err();
            let mut said = format!("{error} {error:?}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                said += &format!("{cause} {cause:?}");
                source = cause.source();
            }
            assert!(canaries.iter().all(|canary| !said.contains(&canary[8..24])), "{said}");
        }
    }
    assert_eq!(format!("{:?}", key()), "SigningKey(..)");
    assert!(format!("{:?}", key().to_pem().unwrap()).ends_with("(..)"));
}

#[test]
fn another_key_verifies_nothing() {
    let (_home, folder) = model();
    let bundle = sign_folder(&folder, &options(), &SigningKey::generate().unwrap()).unwrap();
    assert_eq!(refused(bundle.verify(&public())), (ErrorKind::Integrity, "another key signed it".to_owned()));
    // A hint is not believed: with this key's, or none, it is the signature that does not fit.
    for hint in [json!(public().hint().unwrap().hex()), json!(null), json!("")] {
        let mut value: Value = serde_json::from_str(&bundle.to_json()).unwrap();
        value["verificationMaterial"]["publicKey"]["hint"] = hint;
        let message = "this key did not sign it, or what it signed was changed".to_owned();
        let forged = SignatureBundle::parse(&value.to_string()).unwrap();
        assert_eq!(refused(forged.verify(&public())), (ErrorKind::Integrity, message));
    }
}

// ------------------------------------------------------------------------------------------------------------ bundles

#[test]
fn a_bundle_of_another_shape_is_refused() {
    let good = reference()["deterministic"].clone();
    let text = good.to_string();
    let parse = |text: &str| SignatureBundle::parse(text).map(|_| ());
    assert!(parse(&text).is_ok());
    for bad in ["", "{", "[]", "null", "\"\"", &"[".repeat(100_000), &text[1..], &format!("{text} x")] {
        assert_eq!(parse(bad).unwrap_err().kind(), ErrorKind::Corrupt, "{}", &bad[..bad.len().min(40)]);
    }
    let (corrupt, unsupported) = (ErrorKind::Corrupt, ErrorKind::Unsupported);
    let signatures = good["dsseEnvelope"]["signatures"].clone();
    let cases = [
        ("/mediaType", json!("application/vnd.dev.sigstore.bundle.v0.2+json"), unsupported),
        ("/mediaType", json!(3), corrupt),
        ("/verificationMaterial", json!(null), corrupt),
        ("/verificationMaterial", json!({"tlogEntries": []}), corrupt),
        ("/verificationMaterial", json!({"certificate": {"rawBytes": "AA=="}}), unsupported),
        ("/verificationMaterial", json!({"x509CertificateChain": {"certificates": []}}), unsupported),
        ("/dsseEnvelope", json!(null), corrupt),
        ("/dsseEnvelope/payloadType", json!("text/plain"), unsupported),
        ("/dsseEnvelope/payload", json!("not Base64!"), corrupt),
        ("/dsseEnvelope/payload", json!(1), corrupt),
        ("/dsseEnvelope/signatures", json!([]), corrupt),
        ("/dsseEnvelope/signatures", json!([signatures[0], signatures[0]]), corrupt),
        ("/dsseEnvelope/signatures/0/sig", json!("AA="), corrupt),
    ];
    for (at, value, kind) in cases {
        let mut spoilt = good.clone();
        *spoilt.pointer_mut(at).unwrap() = value;
        assert_eq!(parse(&spoilt.to_string()).unwrap_err().kind(), kind, "{at}: {spoilt}");
    }
    for (key, value) in [("messageSignature", json!({})), ("more", json!(1))] {
        let mut spoilt = good.clone();
        spoilt[key] = value;
        assert_eq!(parse(&spoilt.to_string()).unwrap_err().kind(), corrupt, "{key}");
    }
    let twice = text.replacen("{\"dsseEnvelope\"", "{\"mediaType\":\"a\",\"dsseEnvelope\"", 1);
    assert_eq!(parse(&twice).unwrap_err().kind(), corrupt, "a key twice");
    let long = format!("{text}{}", " ".repeat(64 << 20));
    assert_eq!(parse(&long).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[test]
fn no_bit_of_payload_or_signature_can_be_flipped() {
    let (_home, folder) = model();
    let value: Value =
        serde_json::from_str(&sign_folder(&folder, &options(), &key()).unwrap().to_json()).unwrap();
    for at in ["/dsseEnvelope/payload", "/dsseEnvelope/signatures/0/sig"] {
        let text = value.pointer(at).unwrap().as_str().unwrap().to_owned();
        // Every byte of the signature, and some of the payload.
        for i in (0..text.len()).step_by(if at.ends_with("sig") { 1 } else { 37 }) {
            let mut bytes = text.clone().into_bytes();
            bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
            let mut spoilt = value.clone();
            *spoilt.pointer_mut(at).unwrap() = json!(String::from_utf8(bytes).unwrap());
            let verified =
                SignatureBundle::parse(&spoilt.to_string()).and_then(|bundle| bundle.verify(&public()));
            assert!(verified.is_err(), "{at}, letter {i}");
        }
    }
}

#[test]
fn a_bundle_is_read_from_a_file_and_from_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    std::fs::write(at("model.sig"), reference()["deterministic"].to_string()).unwrap();
    let read = SignatureBundle::read(at("model.sig")).unwrap();
    assert_eq!(read.key_hint(), Some(public().hint().unwrap().hex().as_str()));
    assert_eq!(refused(SignatureBundle::read(at("nowhere"))).0, ErrorKind::NotFound);
    assert_eq!(refused(SignatureBundle::read(home.path())).0, ErrorKind::InvalidInput);
    std::fs::write(at("bytes"), b"\xff\xfe").unwrap();
    assert_eq!(refused(SignatureBundle::read(at("bytes"))).0, ErrorKind::InvalidInput);
    std::fs::write(at("text"), "{}").unwrap();
    let error = SignatureBundle::read(at("text")).unwrap_err();
    assert_eq!((error.kind(), error.context("file").is_some()), (ErrorKind::Corrupt, true));
}

// ----------------------------------------------------------------------------------------------------------- registry

#[tokio::test]
async fn a_version_is_signed_by_its_digests_and_verified_by_its_content() {
    let clock = Arc::new(SystemClock::new());
    let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
    let registry = MemoryModelRegistry::new(artifacts.clone(), clock);
    let model = ConstantPredictor::new(Task::BinaryClassification, 0.25).unwrap();
    let weights = model.to_bytes().unwrap();
    let files = [
        ("model.json", weights.clone()),
        ("data/card.md", b"# Card".to_vec()),
        (".gitignore", b"*".to_vec()),
    ];
    let files = files.map(|(name, bytes)| (path(name), bytes.into()));
    let (tree, manifest) = artifacts.put_files(&files).await.unwrap();
    let single = artifacts.put_bytes(weights).await.unwrap();
    for (artifact, count) in [(tree.digest, 2), (single.digest, 1)] {
        let format = ModelFormat::new("mlops.constant/v1").unwrap();
        let (name, actor) = (ModelName::new("churn").unwrap(), ActorId::new("trainer").unwrap());
        let new = NewModelVersion::new(name, artifact, format, model.signature().clone(), actor);
        let version = registry.register(&new).await.unwrap().reference();
        let bundle = sign_version(&registry, &*artifacts, &version, &key()).await.unwrap();
        let signed = verify_version(&registry, &*artifacts, &version, &bundle, &public()).await.unwrap();
        assert_eq!((signed.name(), signed.files().count()), ("churn", count));
        // Another version's bundle is not this one's.
        let other =
            SignatureBundle::sign(&ModelFiles::single("churn", Digest::of(b"x")).unwrap(), &key()).unwrap();
        let error = verify_version(&registry, &*artifacts, &version, &other, &public()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity);
        if artifact == tree.digest {
            let card = manifest.get(&path("data/card.md")).unwrap().digest;
            let content = artifacts.get_bytes(&card, 100).await.unwrap();
            artifacts.damage(&card);
            let error =
                verify_version(&registry, &*artifacts, &version, &bundle, &public()).await.unwrap_err();
            assert_eq!((error.kind(), error.context("file")), (ErrorKind::Integrity, Some("data/card.md")));
            artifacts.put(content.into(), Some(card)).await.unwrap();
        }
    }
}

// ------------------------------------------------------------------------------------------------- the official program

struct Program {
    path: PathBuf,
    home: tempfile::TempDir,
}

impl Program {
    fn find() -> Option<Self> {
        let path = std::env::var_os("MLOPS_TEST_MODEL_SIGNING").map(PathBuf::from);
        if path.is_none() {
            println!("skipped: MLOPS_TEST_MODEL_SIGNING is not set");
        }
        Some(Self { path: path?, home: tempfile::tempdir().unwrap() })
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Whether it says yes; it runs in the folder that holds the model.
    fn run(&self, verb: &str, model: &Path, options: &[(&str, &Path)]) -> bool {
        let mut command = Command::new(&self.path);
        command.arg(verb).arg("key").arg(model).current_dir(model.parent().unwrap());
        for (option, value) in options {
            command.arg(option).arg(value);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(said.contains("succeeded") || said.contains("failed with error"), "{said}");
        output.status.success()
    }
}

#[test]
fn the_official_program_verifies_what_is_signed_here() {
    let Some(program) = Program::find() else { return };
    let key = SigningKey::generate().unwrap();
    let public = program.file("public.pem", &key.verifying_key().to_pem().unwrap());
    let (_home, folder) = model();
    let bundle = sign_folder(&folder, &options(), &key).unwrap();
    write(&folder, "model.sig", &bundle.to_json());
    let signature = folder.join("model.sig");
    let verify = |model: &Path, signature: &Path| {
        program.run("verify", model, &[("--signature", signature), ("--public_key", &public)])
    };
    assert!(verify(&folder, &signature));
    let config = folder.join("config.json");
    let one = sign_folder(&config, &ReadOptions::new(), &key).unwrap();
    let one = program.file("one.sig", &one.to_json());
    assert!(verify(&config, &one));
    // It does not say yes to everything.
    write(&folder, "sub/deep/weights.bin", "9 9 9\n");
    assert!(!verify(&folder, &signature));
    write(&folder, "sub/deep/weights.bin", "1 2 3\n");
    assert!(verify(&folder, &signature));
    write(&folder, "more", "");
    assert!(!verify(&folder, &signature));
}

#[test]
fn what_the_official_program_signs_is_verified_here() {
    let Some(program) = Program::find() else { return };
    for form in ["pkcs8", "sec1"] {
        let private = program.file("private.pem", pem(form).expose());
        let (_home, folder) = model();
        let (signature, log) = (folder.join("model.sig"), folder.join("train.log"));
        let options = [("--signature", &*signature), ("--private_key", &private), ("--ignore-paths", &log)];
        assert!(program.run("sign", &folder, &options));
        let bundle = SignatureBundle::read(&signature).unwrap();
        verify_folder(&folder, &ReadOptions::new(), &bundle, &public()).unwrap();
        write(&folder, "a/b", "another\n");
        let error = verify_folder(&folder, &ReadOptions::new(), &bundle, &public()).unwrap_err();
        assert_eq!(error.message(), "the files are not those that were signed: `a/b` was changed");
    }
}

/// Who can write to the folder cannot approve in somebody's name: the registry takes only what the approver's key signed.
#[cfg(feature = "local")]
#[tokio::test]
async fn a_promotion_needs_an_approval_that_its_approver_signed() {
    use mlops_core::evaluation::{CriterionResult, GateDecision, Verdict};
    use mlops_core::governance::{Approval, ApprovalDecision, ApprovalRequest, Approver as _, ApproverKeys};
    use mlops_core::local::LocalStore;
    use mlops_core::registry::{Promotion, Protection};

    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path()).unwrap();
    let (officer, champion) = (ActorId::new("officer").unwrap(), mlops_core::Alias::new("champion").unwrap());
    let keys =
        ApproverKeys::new().with_key(officer.clone(), key().verifying_key().to_pem().unwrap()).unwrap();
    let registry = store
        .registry()
        .with_protected(champion.clone(), Protection::GateAndApproval)
        .with_approver_keys(keys);
    let weights = store.artifacts().put_bytes(b"weights".to_vec()).await.unwrap();
    let prior = ConstantPredictor::new(Task::BinaryClassification, 0.25).unwrap();
    let (model, trainer) = (ModelName::new("churn").unwrap(), ActorId::new("trainer").unwrap());
    let format = ModelFormat::new("mlops.constant/v1").unwrap();
    let new = NewModelVersion::new(model, weights.digest, format, prior.signature().clone(), trainer.clone());
    let version = registry.register(&new).await.unwrap();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let criterion = CriterionResult::new("auc", Verdict::Pass, None, "0.8 at least");
    let (rules, report) = (Digest::of(b"gate"), Digest::of(b"report"));
    let gate = GateDecision::new("release", rules, weights.digest, report, None, now, vec![criterion]);
    let request = ApprovalRequest::new(
        gate.digest().unwrap(),
        "Promote churn:1 to champion?",
        trainer.clone(),
        "2100-01-01T00:00:00Z".parse().unwrap(),
    );
    let promote = async |approval: Approval| {
        let promotion = Promotion::new(
            new.model.clone(),
            version.version,
            champion.clone(),
            gate.clone(),
            trainer.clone(),
        )
        .with_approval(approval);
        registry.promote(&promotion).await.map_err(|error| error.kind())
    };

    // The pipeline asks, and the officer answers at the desk, with their key.
    let approver = store.approvals(officer.clone());
    assert_eq!(approver.decide(&request, now).await.unwrap().decision, ApprovalDecision::Pending);
    let (desk, page) = (store.approval_desk(), mlops_core::PageRequest::default());
    let open = desk.pending(&page).await.unwrap().items.remove(0);
    let yes = ApprovalDecision::Approved;
    let signed = desk.decide_signed(&open.digest, &officer, yes, "looks good", &key()).await.unwrap();
    assert_eq!(approver.decide(&request, now).await.unwrap(), signed);

    let changed = |change: fn(&mut Approval)| {
        let mut approval = signed.clone();
        change(&mut approval);
        approval
    };
    let plain = changed(|approval| approval.signature = None);
    let foreign = plain.clone().signed(&SigningKey::generate().unwrap()).unwrap();
    let renamed = changed(|approval| approval.approver = ActorId::new("somebody").unwrap());
    let tampered = changed(|approval| approval.comment = "looks very good".to_owned());
    let cut = changed(|approval| {
        if let Some(signature) = &mut approval.signature {
            signature.value.clear();
        }
    });
    for (bad, expected) in [
        (plain, ErrorKind::Rejected),
        (foreign, ErrorKind::Rejected),
        (renamed, ErrorKind::Rejected),
        (tampered, ErrorKind::Integrity),
        (cut, ErrorKind::Integrity),
    ] {
        assert_eq!(promote(bad).await.unwrap_err(), expected);
        assert!(registry.aliases(&new.model).await.unwrap().is_empty());
    }
    let record = promote(signed.clone()).await.unwrap();
    assert_eq!(record.approval, Some(signed));
    assert!(store.verify().await.unwrap().is_sound());
}
