"""Reads a text that a server shows at /metrics with the parser of Prometheus' own Python client.

    pip install prometheus-client==0.26.0
    MLOPS_TEST_PROMETHEUS=python3 cargo test -p mlops-core --all-features --test serve_http exposition

The test hands it what a server shows at that moment, and compares what is printed here with what it reads itself. With --write it
also keeps both beside this script, as serve_metrics.txt and serve_metrics.json, for those who have no Python.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

text = sys.stdin.read()
families = {
    family.name: {
        "type": family.type,
        "help": family.documentation,
        "samples": [[sample.name, sample.labels, str(float(sample.value))] for sample in family.samples],
    }
    for family in text_string_to_metric_families(text)
}
parsed = {"parser": f"prometheus_client {version('prometheus_client')}", "families": families}
if sys.argv[1:] == ["--write"]:
    here = Path(__file__)
    here.with_suffix(".txt").write_text(text)
    here.with_suffix(".json").write_text(json.dumps(parsed, indent=1) + "\n")
print(json.dumps(parsed))
