"""The bodies of Azure's actions and changes, as the official clients define them.

Writes ../../src/fake/bodies.json: for every operation its method, its address and its body, in the form of Bicep's `types.json`, which has
the bodies of PUT alone. Models are read out of the clients, and addresses where the clients have them. Needs two folders:

    pip install --no-deps --target new azure-ai-ml==1.35.2 azure-core==1.41.0 azure-mgmt-core==1.6.0 azure-mgmt-resource==26.0.0 \
        azure-keyvault-secrets==4.12.0 azure-eventgrid==4.22.1 azure-monitor-opentelemetry-exporter==1.0.0b58 mlflow-skinny==3.17.2 \
        azureml-mlflow==1.62.0.post6 protobuf==7.36.2 opentelemetry-proto==1.45.2 opentelemetry-api==1.45.2 isodate typing_extensions \
        packaging
    pip install --no-deps --target old azure-ai-ml==1.16.1   # the last ones with the model of a call of a batch endpoint
    python bodies.py new old
"""

import ast
import datetime
import enum
import importlib
import json
import re
import sys
import types
import typing
from importlib import metadata
from pathlib import Path

NEW, OLD = (Path(folder).resolve() for folder in sys.argv[1:3])
sys.path.insert(0, str(NEW))
REQUIRED, READ_ONLY = 1, 2


def hollow(name, folder):
    """A package without what its __init__ imports."""
    module = types.ModuleType(name)
    module.__path__ = [str(folder)]
    sys.modules[name] = module


hollow("azure.ai.ml", NEW / "azure/ai/ml")
hollow("azure.ai.ml._restclient", NEW / "azure/ai/ml/_restclient")
hollow("azure.eventgrid", NEW / "azure/eventgrid")
hollow("azure.eventgrid._legacy", NEW / "azure/eventgrid/_legacy")
EXPORTER = "azure.monitor.opentelemetry.exporter"
hollow(EXPORTER, NEW / "azure/monitor/opentelemetry/exporter")
hollow(EXPORTER + "._generated", NEW / "azure/monitor/opentelemetry/exporter/_generated")
hollow("mlflow", NEW / "mlflow")
hollow("msrest", OLD)
sys.modules["msrest.serialization"] = types.ModuleType("msrest.serialization")
sys.modules["msrest"].serialization = sys.modules["msrest.serialization"]
sys.modules["msrest.serialization"].Model = type("Model", (), {"_validation": {}, "_attribute_map": {}})
hollow("batch", OLD / "azure/ai/ml/_restclient/v2020_09_01_dataplanepreview")


class Types:
    """Types as Bicep writes them: a list, whose members name each other by their places."""

    def __init__(self):
        self.all, self.known = [], {}

    def put(self, **members):
        """The place of a type; the same type has one place."""
        key = json.dumps(members, sort_keys=True)
        if key not in self.known:
            self.known[key] = len(self.all)
            self.all.append(members)
        return {"$ref": f"#/{self.known[key]}"}

    def named(self, key, fill):
        """The place of a type that may name itself."""
        if key not in self.known:
            self.known[key] = len(self.all)
            self.all.append(None)
            self.all[self.known[key]] = fill()
        return {"$ref": f"#/{self.known[key]}"}

    def simple(self, kind, **members):
        return self.put(**{"$type": kind + "Type"}, **members)

    def text(self, **limits):
        return self.simple("String", **limits)

    def any_of(self, *elements):
        return self.simple("Union", elements=list(elements))

    def literals(self, values, is_open):
        values = [self.simple("StringLiteral", value=value) for value in values]
        return self.any_of(*values, *([self.text()] if is_open else []))

    def list(self, of):
        return self.simple("Array", itemType=of)

    def map(self, of):
        return self.simple("Object", properties={}, additionalProperties=of)

    # Models of the newer clients, by their annotations.

    def annotated(self, hint, space):
        if isinstance(hint, str):
            return self.annotated(eval(hint, space), space)
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if isinstance(hint, typing.ForwardRef):
            return self.annotated(eval(hint.__forward_arg__, space), space)
        if origin is typing.Union:
            args = [arg for arg in args if arg is not type(None)]
            args = [eval(a.__forward_arg__, space) if isinstance(a, typing.ForwardRef) else a for a in args]
            args = [eval(a, space) if isinstance(a, str) else a for a in args]
            enums = [arg for arg in args if isinstance(arg, type) and issubclass(arg, enum.Enum)]
            if enums and str in args:
                return self.literals([value.value for value in enums[0]], True)
            assert len(args) == 1, hint
            return self.annotated(args[0], space)
        if origin is typing.Literal:
            return self.literals([getattr(arg, "value", arg) for arg in args], False)
        if origin is list:
            return self.list(self.annotated(args[0], space))
        if origin is dict:
            return self.map(self.annotated(args[1], space))
        if hint in (str, datetime.datetime, datetime.timedelta, bytes):
            return self.text()
        if hint in (int, float):
            return self.simple("Integer")
        if hint is bool:
            return self.simple("Boolean")
        if hint is typing.Any:
            return self.simple("Any")
        if issubclass(hint, enum.Enum):
            return self.literals([value.value for value in hint], True)
        return self.model(hint)

    def model(self, cls):
        kinds = vars(cls).get("__mapping__")
        fill = (lambda: self.branches(cls, kinds)) if kinds else (lambda: self.plain(cls))
        return self.named(f"{cls.__module__}.{cls.__qualname__}", fill)

    def members(self, cls, kind=None):
        space = dict(vars(sys.modules[cls.__module__]))
        space["_models"] = sys.modules[cls.__module__.rpartition(".")[0]]
        hints = {}
        cls.__new__(cls)
        for base in reversed(cls.__mro__):
            hints.update(vars(base).get("__annotations__", {}))
        found = {}
        for name, field in cls._attr_to_rest_field.items():
            if kind and field._is_discriminator:
                found[field._rest_name] = {"type": self.literals([kind], False), "flags": REQUIRED}
                continue
            hint = hints[name]
            hint = eval(hint, space) if isinstance(hint, str) else hint
            is_optional = type(None) in typing.get_args(hint)
            of = self.annotated(hint, space)
            flags = READ_ONLY if field._visibility == ["read"] else 0 if is_optional else REQUIRED
            found[field._rest_name] = {"type": of, "flags": flags}
        return found

    def plain(self, cls):
        return {"$type": "ObjectType", "name": cls.__name__, "properties": self.members(cls)}

    def branches(self, cls, kinds):
        cls.__new__(cls)
        names = [field._rest_name for field in cls._attr_to_rest_field.values() if field._is_discriminator]
        elements = {}
        for kind, branch in kinds.items():
            members = {"$type": "ObjectType", "name": branch.__name__, "properties": self.members(branch, kind)}
            elements[kind] = self.put(**members)
        return {"$type": "DiscriminatedObjectType", "discriminator": names[0], "baseProperties": {}, "elements": elements}

    # Models of the older clients, by their maps of attributes.

    def mapped(self, cls):
        return self.named(f"{cls.__module__}.{cls.__qualname__}", lambda: self.fill_mapped(cls))

    def mapped_members(self, cls):
        extra, found = None, {}
        for name, at in cls._attribute_map.items():
            rules = getattr(cls, "_validation", {}).get(name, {})
            if not at["key"]:
                extra = self.simple("Any")
                continue
            limits = {}
            if rules.get("pattern") and at["type"] == "str":
                limits["pattern"] = rules["pattern"]
            of = self.text(**limits) if limits else self.mapped_type(at["type"], sys.modules[cls.__module__])
            flags = READ_ONLY if rules.get("readonly") else REQUIRED if rules.get("required") else 0
            found[at["key"]] = {"type": of, "flags": flags}
        return found, extra

    def fill_mapped(self, cls):
        kinds = getattr(cls, "_subtype_map", None)
        if kinds:
            [(name, kinds)] = kinds.items()
            space = vars(sys.modules[cls.__module__])
            elements = {}
            for kind, branch in kinds.items():
                properties, _ = self.mapped_members(space[branch])
                elements[kind] = self.put(**{"$type": "ObjectType", "name": branch, "properties": properties})
            key = cls._attribute_map[name]["key"]
            return {"$type": "DiscriminatedObjectType", "discriminator": key, "baseProperties": {}, "elements": elements}
        properties, extra = self.mapped_members(cls)
        filled = {"$type": "ObjectType", "name": cls.__name__, "properties": properties}
        if extra:
            filled["additionalProperties"] = extra
        return filled

    def mapped_type(self, name, module):
        if name.startswith("{"):
            return self.map(self.mapped_type(name[1:-1], module))
        if name.startswith("["):
            return self.list(self.mapped_type(name[1:-1], module))
        simple = {"int": "Integer", "long": "Integer", "float": "Integer", "bool": "Boolean", "object": "Any"}
        if name in simple:
            return self.simple(simple[name])
        if name in ("str", "iso-8601", "duration", "bytearray"):
            return self.text()
        return self.mapped(getattr(module, name))

    # Messages of MLflow, by their descriptors.

    def message(self, of):
        return self.named(of.full_name, lambda: self.fill_message(of))

    def fill_message(self, of):
        from mlflow.protos import databricks_pb2

        properties = {}
        for field in of.fields:
            needed = field.GetOptions().Extensions[databricks_pb2.validate_required]
            many = field.is_repeated
            flags = REQUIRED if needed else 0
            properties[field.name] = {"type": self.list(self.field(field)) if many else self.field(field), "flags": flags}
        return {"$type": "ObjectType", "name": of.name, "properties": properties}

    def field(self, field):
        kind = field.cpp_type
        if kind == field.CPPTYPE_MESSAGE:
            return self.message(field.message_type)
        if kind == field.CPPTYPE_STRING:
            return self.text()
        if kind == field.CPPTYPE_BOOL:
            return self.simple("Boolean")
        if kind == field.CPPTYPE_ENUM:
            return self.literals([value.name for value in field.enum_type.values], False)
        # JSON's numbers are too small for some, and have neither infinities nor what is none: these are texts.
        number = "^(-?[0-9]+|-?Infinity|NaN)$"
        return self.any_of(self.simple("Integer"), self.text(pattern=number))


TYPES, BODIES = Types(), []


def add(source, method, host, path, body, optional=False):
    """An operation. `…` in front of a path or a host is anything; names in braces are one segment."""
    path = re.sub(r"\{[^}]*\}", "{}", path)
    BODIES.append({"method": method, "host": host, "path": path, "body": int(body["$ref"][2:]), "optional": optional, "source": source})


def version(package):
    return f"{package} {metadata.version(package)}"


# Azure Resource Manager, run history and Key Vault: address and model of each operation out of the clients' own code.


def operation(text, name):
    """Method, address, name of the body's model and whether it may be left out."""
    build = text[text.index(f"def build_{name}_request(") :]
    path = re.search(r'_url = \(?\s*"([^"]+)"', build)[1]
    method = re.search(r'method="(\w+)"', build)[1]
    before = text[: text.rindex(f"build_{name}_request(\n")] if text.count(f"build_{name}_request(") > 1 else text
    signature = before[before.rindex("    def ") :]
    said = re.search(r"(?:body|parameters): (Optional\[)?(?:Union\[)?_models\.(\w+)", signature)
    optional, model = said[1] is not None, said[2]
    return method, path, model, optional


def read_client(package, module, host, names, prefix="", file="operations/_operations.py"):
    client = importlib.import_module(module)
    text = (Path(client.__path__[0]) / file).read_text()
    models = importlib.import_module(module + ".models")
    for name in names:
        method, path, model, optional = operation(text, name)
        model_type = TYPES.model(getattr(models, model))
        add(f"{version(package)}, {name}", method, host, prefix + path, model_type, optional)


hollow("azure.ai.ml._restclient.arm_ml_service", NEW / "azure/ai/ml/_restclient/arm_ml_service")
hollow("azure.ai.ml._restclient.runhistory", NEW / "azure/ai/ml/_restclient/runhistory")
hollow("azure.mgmt.resource.resources", NEW / "azure/mgmt/resource/resources")
hollow("azure.keyvault.secrets", NEW / "azure/keyvault/secrets")
hollow("azure.keyvault.secrets._generated", NEW / "azure/keyvault/secrets/_generated")

ARM = "management.azure.com"
CHANGES = [
    "workspaces",
    "registries",
    "batch_endpoints",
    "batch_deployments",
    "online_endpoints",
    "online_deployments",
    "serverless_endpoints",
    "compute",
    "workspace_connections",
]
PUBLISHED = ["code", "component", "data", "environment", "model"]
UPLOADS = ["code", "registry_code", "registry_data", "registry_model"]
read_client(
    "azure-ai-ml",
    "azure.ai.ml._restclient.arm_ml_service",
    ARM,
    [f"{name}_update" for name in CHANGES]
    + [f"{name}_versions_publish" for name in PUBLISHED]
    + [f"{name}_versions_create_or_get_start_pending_upload" for name in UPLOADS]
    + ["workspaces_diagnose", "datastores_list_secrets", "online_endpoints_regenerate_keys", "online_deployments_get_logs"],
)
read_client(
    "azure-ai-ml",
    "azure.ai.ml._restclient.runhistory",
    "….api.azureml.ms",
    [
        "runs_add_or_modify_by_experiment_name",
        "runs_modify_or_delete_tags_by_experiment_name",
        "run_artifacts_batch_create_empty_artifacts_by_experiment_name",
    ],
)
read_client("azure-mgmt-resource", "azure.mgmt.resource.resources", ARM, ["tags_update_at_scope"])
BODIES[-1]["path"] = BODIES[-1]["path"].replace("/{}/providers", "…/providers", 1)
read_client(
    "azure-keyvault-secrets",
    "azure.keyvault.secrets._generated",
    "….vault.azure.net",
    ["key_vault_set_secret"],
    file="_operations/_operations.py",
)

# A call of a batch endpoint: newer clients send it without a model of it.
batch = importlib.import_module("batch.models._models_py3")
add(
    "azure-ai-ml 1.16.1, v2020_09_01_dataplanepreview BatchJobResource",
    "POST",
    "….inference.ml.azure.com",
    "/jobs",
    TYPES.mapped(batch.BatchJobResource),
)

# Event Grid: a batch of events in either form.
grid = importlib.import_module("azure.eventgrid._legacy._generated.models._models")
event = TYPES.any_of(TYPES.mapped(grid.CloudEvent), TYPES.mapped(grid.EventGridEvent))
add(f"{version('azure-eventgrid')}, CloudEvent and EventGridEvent", "POST", "….eventgrid.azure.net", "/api/events", TYPES.list(event))

# Application Insights: what the data are is said beside them.
track = importlib.import_module(EXPORTER + "._generated.exporter.models")
# What the client calls otherwise than the service does, as its own exporter writes it.
SPELT = {"MetricsData": "MetricData"}


def telemetry():
    elements = {}
    for kind, cls in track.MonitorDomain.__mapping__.items():
        members = {name: member for name, member in TYPES.members(cls, kind).items() if name != "kind"}
        if "severityLevel" in members:
            # The exporter sends its number.
            names = members["severityLevel"]
            members["severityLevel"] = {**names, "type": TYPES.any_of(TYPES.simple("Integer"), names["type"])}
        data = TYPES.put(**{"$type": "ObjectType", "name": cls.__name__, "properties": members})
        kind = SPELT.get(kind, kind)
        branch = {"baseType": {"type": TYPES.literals([kind], False), "flags": REQUIRED}, "baseData": {"type": data, "flags": REQUIRED}}
        elements[kind] = TYPES.put(**{"$type": "ObjectType", "name": kind, "properties": branch})
    data = TYPES.simple("DiscriminatedObject", discriminator="baseType", baseProperties={}, elements=elements)
    members = TYPES.members(track.TelemetryItem)
    for name, of in [("data", data), ("iKey", members["iKey"]["type"])]:
        members[name] = {"type": of, "flags": REQUIRED}
    return TYPES.put(**{"$type": "ObjectType", "name": "TelemetryItem", "properties": members})


add(
    f"{version('azure-monitor-opentelemetry-exporter')}, TelemetryItem",
    "POST",
    "….applicationinsights.azure.com",
    "/v2.1/track",
    TYPES.list(telemetry()),
)

# MLflow, of any server and of Azure.
importlib.import_module("mlflow.protos.databricks_pb2")
from google.protobuf import descriptor_pb2
from mlflow.protos import (
    databricks_pb2,
    mlflow_artifacts_pb2,
    model_registry_pb2,
    service_pb2,
)

WANTED = re.compile(r"/mlflow/(runs|experiments|registered-models|model-versions)/|/mlflow-artifacts/mpu/")
seen = set()
for file in (service_pb2, model_registry_pb2, mlflow_artifacts_pb2):
    for service in file.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            for end in method.GetOptions().Extensions[databricks_pb2.rpc].endpoints:
                path = re.sub(r"<[^>]*>", "…", end.path)
                key = (end.method, path)
                if end.method == "GET" or key in seen or not WANTED.search(end.path) or "preview" in end.path:
                    continue
                seen.add(key)
                add(
                    f"{version('mlflow-skinny')}, {method.input_type.name}",
                    end.method,
                    "…",
                    f"…/api/2.0{path}",
                    TYPES.message(method.input_type),
                )

# What the plugin of Azure adds: its descriptor alone, for its module needs another build of MLflow's.
file = NEW / "azureml/mlflow/_protos/aml_service_pb2.py"
added = descriptor_pb2.FileDescriptorProto.FromString(
    next(node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant) and isinstance(node.value, bytes))
)
[batch_async] = [message for message in added.message_type if message.name == "LogBatchAsync"]
members = {}
for field in batch_async.field:
    known = service_pb2.DESCRIPTOR.message_types_by_name
    of = TYPES.message(known[field.type_name.rpartition(".")[2]]) if field.type_name else TYPES.text()
    members[field.name] = {"type": TYPES.list(of) if field.label == field.LABEL_REPEATED else of, "flags": 0}
[path] = {found.decode() for found in re.findall(rb"/preview/mlflow/runs/log-batch-async", added.SerializeToString())}
add(
    f"{version('azureml-mlflow')}, LogBatchAsync",
    "POST",
    "….api.azureml.ms",
    f"…/api/2.0{path}",
    TYPES.put(**{"$type": "ObjectType", "name": "LogBatchAsync", "properties": members}),
)

BODIES.sort(key=lambda body: (body["host"], body["path"], body["method"]))
target = Path(sys.argv[3]) if len(sys.argv) > 3 else Path(__file__).parent / "../../src/fake/bodies.json"
lines = [json.dumps(body, ensure_ascii=False) for body in BODIES]
kinds = [json.dumps(kind, ensure_ascii=False) for kind in TYPES.all]
text = '{"bodies": [\n' + ",\n".join(lines) + '\n],\n"types": [\n' + ",\n".join(kinds) + "\n]}\n"
target.write_text(text)
