"""Writes signing.json: what the official package signs, and statements signed with the same key that must be refused.

    pip install model-signing==1.1.1 pyopenssl==26.4.0 cryptography==50.0.2 rfc8785==0.1.4
    python make_signing.py > signing.json

The key in the output is FOR TESTS ONLY: it is public, and signs nothing of value. `package` holds bundles that
`model_signing.signing` made; `deterministic` what must be written for the same files, signed by `cryptography` with the
nonce of RFC 6979; `refused` statements that are no good, each under a signature that is, with the kind of error due.
"""

import base64
import hashlib
import json
import pathlib
import sys
import tempfile

import cryptography
import model_signing
import rfc8785
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

FILES = {
    "a-b": "next to a folder that sorts before it\n",
    "a/b": "in a folder\n",
    "config.json": "{}\n",
    "empty": "",
    "sub/deep/weights.bin": "1 2 3\n",
    "Äpfel ß.txt": "a name beyond ASCII\n",
}
IGNORED = {".git/config": "not signed\n", ".gitignore": "*\n", "train.log": "not signed either\n"}
TYPE = "application/vnd.in-toto+json"
FORMS = {
    "PKCS#8": serialization.PrivateFormat.PKCS8,
    "SEC1": serialization.PrivateFormat.TraditionalOpenSSL,
}
KIND = "application/vnd.dev.sigstore.bundle.v0.3+json"

key = ec.generate_private_key(ec.SECP256R1())
other = ec.generate_private_key(ec.SECP384R1())


def pem(key, form, password=None):
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, lock).decode()


def public(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def pae(payload):
    return b"DSSEv1 %d %s %d %s" % (len(TYPE), TYPE.encode(), len(payload), payload)


def signed(payload, deterministic=False):
    return key.sign(pae(payload), ec.ECDSA(hashes.SHA256(), deterministic_signing=deterministic))


def bundle(payload, deterministic=False):
    hint = hashlib.sha256(public(key).encode()).hexdigest()
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": TYPE,
        "signatures": [{"sig": base64.b64encode(signed(payload, deterministic)).decode(), "keyid": ""}],
    }
    material = {"publicKey": {"hint": hint}, "tlogEntries": []}
    return {"mediaType": KIND, "verificationMaterial": material, "dsseEnvelope": envelope}


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def statement(names, **changes):
    resources = [{"name": name, "algorithm": "sha256", "digest": sha256(name)} for name in names]
    for resource in resources:
        resource.update(changes.get("resource", {}))
    try:
        joined = b"".join(bytes.fromhex(r["digest"]) for r in resources)
    except ValueError:
        joined = b""
    serialization = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [".git"]}
    serialization.update(changes.get("serialization", {}))
    subject = {"name": "model", "digest": {"sha256": hashlib.sha256(joined).hexdigest()}}
    value = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [subject],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {"serialization": serialization, "resources": resources},
    }
    value.update(changes.get("top", {}))
    return json.dumps(value).encode()


def refused():
    corrupt, unsupported = "corrupt", "unsupported"
    good = json.loads(statement(["a"]))
    yield "another predicate", unsupported, statement(["a"], top={"predicateType": "https://slsa.dev/provenance/v1"})
    yield "the predicate of 0.2", unsupported, statement(["a"], top={"predicateType": "https://model_signing/Digests/v0.1"})
    yield "another statement", corrupt, statement(["a"], top={"_type": "https://in-toto.io/Statement/v0.1"})
    yield "no subject", corrupt, statement(["a"], top={"subject": []})
    yield "two subjects", corrupt, statement(["a"], top={"subject": good["subject"] * 2})
    yield "a subject without a name", corrupt, statement(["a"], top={"subject": [{**good["subject"][0], "name": " "}]})
    yield "a subject without SHA-256", corrupt, statement(["a"], top={"subject": [{"name": "m", "digest": {"md5": "0"}}]})
    yield "another root", corrupt, statement(["a"], top={"subject": [{"name": "m", "digest": {"sha256": "0" * 64}}]})
    yield "no predicate", corrupt, statement(["a"], top={"predicate": None})
    yield "no files", corrupt, statement([])
    yield "a file twice", corrupt, statement(["a", "a"])
    for name in ["", "/etc/passwd", "../up", "a/../../up", "a//b", "a/", "./a", "a/.", "nul\0", "x" * 5000]:
        yield f"the name {name[:20]!r}", corrupt, statement([name, "z"])
    yield "the single file's name among others", corrupt, statement([".", "z"])
    yield "a short digest", corrupt, statement(["a"], resource={"digest": "ab"})
    yield "no digits", corrupt, statement(["a"], resource={"digest": "z" * 64})
    yield "a digest beyond ASCII", corrupt, statement(["a"], resource={"digest": "é" * 32})
    yield "another digest", unsupported, statement(["a"], resource={"algorithm": "blake2b"})
    yield "another hash of all", unsupported, statement(["a"], serialization={"hash_type": "blake3"})
    yield "shards", unsupported, statement(["a"], serialization={"method": "shards", "shard_size": 10})
    yield "no JSON", corrupt, b"hello"
    yield "nothing", corrupt, b""
    yield "no text", corrupt, b"\xff\xfe"
    yield "a list", corrupt, b"[]"
    yield "a deep list", corrupt, b"[" * 1000 + b"]" * 1000


def package():
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder) / "churn"
        for name, text in {**FILES, **IGNORED}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        secret = pathlib.Path(folder) / "key.pem"
        for name, form in FORMS.items():
            secret.write_text(pem(key, form))
            config = model_signing.signing.Config().use_elliptic_key_signer(private_key=secret)
            hashing = model_signing.hashing.Config().set_ignored_paths(paths=["train.log"])
            config.set_hashing_config(hashing).sign(root, root / f"../{name}.sig")
            out[f"folder, key in {name}"] = json.loads((root / f"../{name}.sig").read_text())
        config = model_signing.signing.Config().use_elliptic_key_signer(private_key=secret)
        config.sign(root / "config.json", root / "../one.sig")
        out["single file"] = json.loads((root / "../one.sig").read_text())
    return out


def own():
    """The same files as this library signs them: RFC 8785, names in the order of their characters, RFC 6979."""
    resources = [{"name": n, "algorithm": "sha256", "digest": sha256(FILES[n])} for n in sorted(FILES)]
    joined = b"".join(bytes.fromhex(r["digest"]) for r in resources)
    value = json.loads(statement(["a"]))
    value["subject"] = [{"name": "churn", "digest": {"sha256": hashlib.sha256(joined).hexdigest()}}]
    value["predicate"]["resources"] = resources
    value["predicate"]["serialization"]["ignore_paths"] = [".git", ".gitattributes", ".github", ".gitignore"]
    return bundle(rfc8785.dumps(value), deterministic=True)


json.dump(
    {
        "made_with": f"model-signing {model_signing.__version__}, cryptography {cryptography.__version__}",
        "test_only": {
            "pkcs8": pem(key, serialization.PrivateFormat.PKCS8),
            "sec1": pem(key, serialization.PrivateFormat.TraditionalOpenSSL),
            "encrypted": pem(key, serialization.PrivateFormat.PKCS8, b"test"),
            "p384": pem(other, serialization.PrivateFormat.PKCS8),
        },
        "public": public(key),
        "public_p384": public(other),
        "files": FILES,
        "ignored": IGNORED,
        "package": package(),
        "deterministic": own(),
        "refused": [{"what": what, "kind": kind, "bundle": bundle(text)} for what, kind, text in refused()],
    },
    sys.stdout,
    indent=1,
    ensure_ascii=True,
)
print()
