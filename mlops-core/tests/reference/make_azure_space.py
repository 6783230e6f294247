"""Writes azure_space.json: search spaces as azure-ai-ml 1.35.2 reads them from YAML and sends them.

    python3 make_azure_space.py > azure_space.json

Needs azure-ai-ml 1.35.2.
"""

import json
from importlib.metadata import version

import yaml
from azure.ai.ml._schema._sweep.sweep_fields_provider import SamplingAlgorithmField, SearchSpaceField
from azure.ai.ml._schema.core.schema import PathAwareSchema
from azure.ai.ml.constants._common import BASE_PATH_CONTEXT_KEY

assert version("azure-ai-ml") == "1.35.2"

TEXTS = [
    """
lr: {type: uniform, min_value: 0.001, max_value: 0.1}
n: {type: choice, values: [16, 32]}
""",
    """
choice: {type: choice, values: [1, 2.5, relu]}
randint: {type: randint, upper: 10}
uniform: {type: uniform, min_value: -1, max_value: 1}
quniform: {type: quniform, min_value: 0.0, max_value: 100.0, q: 5}
loguniform: {type: loguniform, min_value: -6.9, max_value: -2.3}
qloguniform: {type: qloguniform, min_value: 0, max_value: 5, q: 2}
normal: {type: normal, mu: 10, sigma: 3}
qnormal: {type: qnormal, mu: 10.0, sigma: 3.0, q: 1}
lognormal: {type: lognormal, mu: 0, sigma: 0.5}
qlognormal: {type: qlognormal, mu: 2, sigma: 0.5, q: 1}
""",
    """
model:
  type: choice
  values:
    - model_name: yolov5
      learning_rate: {type: uniform, min_value: 0.0001, max_value: 0.01}
      size: {type: choice, values: [small, medium]}
    - model_name: fasterrcnn
      layers: {type: randint, upper: 4}
warmup: {type: choice, values: [0, 1]}
""",
]


class Job(metaclass=type(PathAwareSchema)):
    search_space = SearchSpaceField()


def wire(text):
    job = Job(context={BASE_PATH_CONTEXT_KEY: "."}).load({"search_space": yaml.safe_load(text)})
    space = job["search_space"] if isinstance(job, dict) else job.search_space
    return {name: law._to_rest_object() for name, law in space.items()}


if __name__ == "__main__":
    import sys

    texts = [sys.stdin.read()] if sys.argv[1:] == ["check"] else TEXTS
    cases = [{"yaml": text, "wire": wire(text)} for text in texts]
    print(json.dumps({"tool": "azure-ai-ml 1.35.2", "cases": cases}, indent=1))
