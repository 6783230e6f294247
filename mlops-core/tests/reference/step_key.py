"""Keys of steps from their description alone, with the standard library of Python 3 (hashlib, struct)."""
import hashlib, json, struct

def field(b): return struct.pack("<Q", len(b)) + b
def sha(b): return hashlib.sha256(b).digest()
def count(n): return field(struct.pack("<Q", n))

def value(v):
    kind, x = v
    if kind == "i": return field(b"i") + field(struct.pack("<q", x))
    if kind == "n": return field(b"n") + field(struct.pack("<d", x))
    if kind == "b": return field(b"b") + field(bytes([x]))
    return field(b"t") + field(x.encode())

def key(params=(), environment=b"", secrets=(), inputs=(), outputs=(), seed=b""):
    out = field(b"mlops/step/v1") + field(b"train") + field(b"1.0") + field(sha(b"code")) + field(environment)
    out += count(len(params)) + b"".join(field(n.encode()) + value(v) for n, v in sorted(params))
    out += count(len(secrets)) + b"".join(field(n.encode()) + field(d) for n, d in sorted(secrets))
    out += count(len(inputs)) + b"".join(field(n.encode()) + field(t) + field(d) for n, t, d in sorted(inputs))
    out += count(len(outputs)) + b"".join(field(n.encode()) + field(t) for n, t in sorted(outputs))
    return "sha256:" + hashlib.sha256(out + field(seed)).hexdigest()

vectors = {
    "bare": key(),
    "full": key(
        [("x", ("i", 6)), ("rate", ("n", 0.1)), ("fast", ("b", 1)), ("loss", ("t", "größe"))],
        sha(b"lock"), [("token", sha(b"fingerprint"))], [("rows", b"uri_folder", sha(b"rows"))],
        [("model", b"custom_model")], struct.pack("<Q", 42)),
    "integer": key([("x", ("i", 1))]),
    "number": key([("x", ("n", 1.0))]),
    "text": key([("x", ("t", "1"))]),
    "boolean": key([("x", ("b", 1))]),
    "zero": key([("x", ("n", 0.0))]),
}
print(json.dumps(vectors, indent=1))
