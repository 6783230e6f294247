"""Reads provenance.json with in-toto's own messages and fails if anything in it is not theirs.

    pip install in-toto-attestation==0.9.3
    python provenance.py provenance.json

The statement is validated as in-toto's Statement v1; its predicate is parsed as SLSA's Provenance v1 with unknown fields
refused, written again, and compared with what was read: nothing may be lost.
"""

import json
import sys

from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

text = open(sys.argv[1], encoding="utf-8").read()
read = json.loads(text)

message = json_format.Parse(text, statement_pb2.Statement())
statement = Statement.copy_from_pb(message)
statement.validate()
assert message.predicate_type == "https://slsa.dev/provenance/v1", message.predicate_type

provenance = json_format.ParseDict(read["predicate"], provenance_pb2.Provenance())
again = json_format.MessageToDict(provenance)


def same_times(value):
    """Times may be written with fewer digits."""
    metadata = value["runDetails"]["metadata"]
    for key in ("startedOn", "finishedOn"):
        if key in metadata:
            stamp = provenance_pb2.BuildMetadata()
            json_format.ParseDict({key: metadata[key]}, stamp)
            metadata[key] = json_format.MessageToDict(stamp)[key]
    return value


assert again == same_times(json.loads(json.dumps(read["predicate"]))), again
definition = provenance.build_definition
assert definition.build_type and provenance.run_details.builder.id
assert all(d.digest for d in definition.resolved_dependencies)
print(f"ok: {len(definition.resolved_dependencies)} dependencies, {len(provenance.run_details.byproducts)} by-products")
