"""Asks MLflow what it makes of filters and orders, and writes the answers to filters_mlflow_<version>.json beside this file.

    pip install mlflow-skinny==3.17.2 sqlalchemy alembic && python make_filters.py
    pip install mlflow-skinny==2.22.5 'sqlalchemy<2.1' alembic && python make_filters.py

Every filter is parsed by MLflow's own parser and then searched for in MLflow's own store, on SQLite: some comparisons are
refused only there. The runs searched are in the answer, too, so that whoever reads it can make the same ones.
"""

import itertools
import json
import os
import pathlib
import sqlite3
import tempfile
import uuid

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import mlflow
import sqlalchemy
import sqlparse
from mlflow.entities import (
    Dataset, DatasetInput, InputTag, Metric, Param, RunStatus, RunTag, ViewType,
)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.search_utils import SearchUtils


def digest(letter):
    """As long as MLflow takes them; ours are twice that, so that only their beginnings can be compared."""
    return letter * 32


RUNS = [
    dict(name="plain", user="ann", status="FINISHED", start=1_000, end=2_500,
         metrics={"loss": 0.5, "val loss": 1.0}, params={"depth": "6", "kind": "ResNet-50"}, tags={"team": "risk"},
         inputs=[("patients", digest("a"), "training")]),
    dict(name="upper", user="Ann", status="FINISHED", start=2_000, end=2_600,
         metrics={"loss": -0.5}, params={"depth": "06", "kind": "RESNET-50"}, tags={"team": "RISK"},
         inputs=[("Patients", digest("b"), "training")]),
    dict(name="percent 100%", user="bob", status="FAILED", start=3_000, end=3_001,
         metrics={"loss": 0.0}, params={"depth": "100%"}, tags={"team": "100% sure"}, inputs=[]),
    dict(name="under_score", user="bob", status="KILLED", start=4_000, end=9_000,
         metrics={"loss": 1e-300}, params={"depth": "a_b"}, tags={"team": "a_b"},
         inputs=[("patients", digest("a"), "training"), ("holdout", digest("c"), "test")]),
    dict(name="underXscore", user="bob", status="RUNNING", start=5_000, end=None,
         metrics={"loss": 1e300}, params={"depth": "aXb"}, tags={"team": "aXb"},
         inputs=[("holdout", digest("c"), "validation")]),
    dict(name="größe", user="çelik", status="RUNNING", start=6_000, end=None,
         metrics={"größe": 3.0}, params={"größe": "ÄÖÜ", "depth": "é"}, tags={"größe": "äöü", "team": "家族"},
         inputs=[("sizes", digest("d"), "training")]),
    dict(name="not a number", user="ann", status="FINISHED", start=7_000, end=7_000,
         metrics={"loss": "NaN"}, params={"depth": "6"}, tags={"team": "risk"}, inputs=[]),
    dict(name="bare", user="ann", status="RUNNING", start=8_000, end=None,
         metrics={}, params={}, tags={}, inputs=[]),
    dict(name="empty", user="ann", status="FINISHED", start=9_000, end=9_001,
         metrics={"loss": 6.0}, params={"depth": ""}, tags={"team": ""}, inputs=[]),
    dict(name="quotes", user="o'brien", status="FAILED", start=10_000, end=20_000,
         metrics={"loss": 7.0}, params={"depth": "it's"}, tags={"team": 'say "hi"'}, inputs=[]),
    dict(name="back\\slash", user="bob", status="FINISHED", start=11_000, end=12_000,
         metrics={"loss": 8.0}, params={"depth": "C:\\dir"}, tags={"team": "a\\_b"}, inputs=[]),
    dict(name="child", user="bob", status="FINISHED", start=12_000, end=13_000, parent=0,
         metrics={"loss": 9.0, "a/b-c:d e": 1.0}, params={"depth": "6", "a/b-c:d e": "x"},
         tags={"team": "risky", "and": "x"}, inputs=[("patients", digest("e"), "test")]),
]

# What the parser makes of texts; whether they match anything does not matter here.
GRAMMAR = r"""
metrics.a > 1
metrics.a>1
metrics.a > -1
metrics.a > - 1
metrics.a > +1
metrics.a > 1e3
metrics.a > 1E-3
metrics.a > -1.5e+3
metrics.a > .5
metrics.a > 5.
metrics.a>=-1e-3
metrics.a >= 1e400
metrics.a > 0x10
metrics.a > 1_000
metrics.a > inf
metrics.a > nan
metrics.a > '1'
metrics.a <> 1
metrics.a == 1
metrics.a = 1 = 2
metrics.a > metrics.b
metrics.a > 1 + 1
metrics.a LIKE 'x'
metrics.a IN (1, 2)
metric.a = 1
metrics.A = 1
metrics.a.b.c = 1
metrics."a b" = 1
metrics.`a b` = 1
metrics.'a b' = 1
metrics.a b = 1
`metrics`.a = 1
"metrics".a = 1
`metrics.a` = 1
metrics.a/b = 1
metrics.a-b = 1
metrics.val:loss = 1
metrics.`a/b` = 1
metrics.größe = 1
metrics. > 1
metrics. a = 1
metrics .a = 1
metrics.123 > 1
metrics.`123` > 1
metrics.@a > 1
metrics
metrics > 1
METRICS.a = 1
Metrics.a = 1
foo.a = 1
.a = 'x'
a.b.c = 'x'
attributes.metrics.a = 'x'
params.a = 'x'
params.a = "x"
params.a = `x`
params.a = x
params.a = 1
params.a = NULL
params.a = TRUE
params.a = params.b
params.a = 'x' 'y'
params.a = ''
params.a = ""
params.a = "it's"
params.a = 'say "hi"'
params.a = 'it''s'
params.a = "a""b"
params.a = 'it\'s'
params.a = 'a\b'
params.a = 'C:\'
params.a = 'C:\' AND params.b = 'x'
params.a = 'ünï'
params.a = '#'
params.a = '--'
params.a = 'a;b'
params.a = '/* x */'
params.a = '('
params.a = ' AND '
params.a = 'unclosed
params.a = "unclosed
params.`unclosed = 'x'
params.a ='x'
params.a= 'x'
params.a='x'
params.a != 'x'
params.a<>'x'
params.a >= 'x'
params.a LIKE '%x'
params.a like '%x'
params.a LIKE'x'
params.a LIKE "x"
params.a ILIKE 'x'
params.a ilike 'x'
params.a RLIKE 'x'
params.a NOT LIKE 'x'
params.a IN ('x')
params.a BETWEEN 'a' AND 'b'
params.a IS NULL
params.a is null
params.a IS  NULL
params.a IS NOT NULL
params.a is not null
params.a IS  NOT   NULL
params.a IS 'x'
params.1a = 'x'
params._a = 'x'
params.-a = 'x'
params.a$b = 'x'
params.select = 'x'
params.order = 'x'
params.and = 'x'
params.not = 'x'
params.null = 'x'
params.in = 'x'
params.`in` = 'x'
params.ключ = 'x'
params.`ключ` = 'x'
params."" = 'x'
params.`` = 'x'
params.`a"b` = 'x'
params.`a`b` = 'x'
params.a.`b c` = 'x'
param.a = 'x'
parameter.a = 'x'
parameters.a = 'x'
tag.a = 'x'
tags.a > 'x'
tags.a IS NULL
tags.a:b = 'x'
tags.a/b/c = 'x'
tags.mlflow.parentRunId = 'x'
tags.mlflow.parentRunId LIKE 'a%'
tags.mlflow.source.name = 'x'
tags.`mlflow.source.name` LIKE 'x%'
metrics.a IS NULL
run_id IS NULL
end_time IS NULL
dataset.name IS NULL
run_id = 'x'
run_id != 'x'
run_id LIKE 'a%'
run_id > 'x'
run_id IN ('x')
run_id IN ('x','y')
run_id IN ('x', "y")
run_id in ('x')
run_id NOT IN ('x','y')
run_id not in ('x')
run_id IN('x')
run_id IN ('x',)
run_id IN ('x' 'y')
run_id IN ()
run_id IN (x)
run_id IN 'x'
attributes.run_id IN ('x')
run_name = 'x'
run_name ILIKE '%X%'
run_name IN ('a')
attributes."Run name" = 'x'
attributes.`Run name` = 'x'
`Run name` = 'x'
"run name" = 'x'
attributes.run_name != "it's"
user_id = 'x'
attr.user_id LIKE 'x%'
status = 'FINISHED'
status != "FAILED"
status LIKE 'F%'
status ILIKE 'fin%'
status = 'finished'
status = 'BOGUS'
status IN ('FINISHED')
attribute.status = 'KILLED'
run.status = 'KILLED'
Status = 'FINISHED'
start_time > 100
start_time > 100.5
start_time > -5
start_time = 1e12
start_time > 1e300
start_time > '100'
start_time LIKE '1'
end_time <= 5
created > 1
Created != 1
attributes.created > 1
artifact_uri = 'x'
experiment_id = '0'
lifecycle_stage = 'active'
name = 'x'
dataset.name = 'x'
datasets.name != 'x'
dataset.digest LIKE 'x%'
dataset.context ILIKE 'x%'
dataset.context IN ('train','test')
dataset.context NOT IN ('train')
dataset.name > 'x'
dataset.profile = 'x'
metrics.a > 1 AND params.b = 'x'
metrics.a > 1 and params.b = 'x'
metrics.a > 1 And params.b = 'x'
params.a = 'x'AND params.b = 'y'
params.a = 'x' AND params.a = 'y' AND tags.c != 'z'
metrics.a > 1AND metrics.b > 1
metrics.a > 1 ANDmetrics.b > 1
metrics.a > 1 AND
AND metrics.a > 1
metrics.a > 1 AND AND metrics.b > 1
metrics.a > 1 metrics.b > 1
metrics.a > 1, metrics.b > 1
metrics.a > 1 OR metrics.b > 1
NOT metrics.a > 1
(metrics.a > 1)
(metrics.a > 1 AND metrics.b > 2)
metrics.a > 1;
metrics.a > 1; metrics.b > 1
metrics.a > 1 -- comment
metrics.a > 1 /* c */ AND metrics.b > 2
1 < metrics.a
a='x' OR 1=1
""".strip("\n").split("\n") + [
    "",
    "  ",
    " metrics.a > 1 ",
    "metrics.a > 1\nAND\nmetrics.b > 2",
    "metrics.a\t>\t1",
    "metrics.a\u00a0>\u00a01",
    "params.a = 'x\ny'",
    "params.a = 'a\0b'",
    "params.a = '\u202e'",
]

# Which runs are found. `{plain}` is the id of the run of that name.
SEARCHES = r"""
metrics.loss > 0
metrics.loss >= 0
metrics.loss < 0
metrics.loss <= 0
metrics.loss = 0
metrics.loss != 0
metrics.loss = -0.0
metrics.loss != 0.5
metrics.loss > 1e-301
metrics.loss < 1e299
metrics.loss > -1e400
metrics.`val loss` = 1
metrics."a/b-c:d e" = 1
metrics.größe > 2.5
metrics.nowhere != 1
params.depth = '6'
params.depth != '6'
params.depth = ''
params.depth != ''
params.depth = 'é'
params.depth = "it's"
params.depth = 'C:\dir'
params.depth LIKE '6'
params.depth LIKE '%6'
params.depth LIKE '%'
params.depth LIKE ''
params.depth LIKE '_'
params.depth LIKE '___'
params.depth LIKE '%\%'
params.depth LIKE '100%'
params.depth LIKE 'a_b'
params.depth LIKE 'A_B'
params.depth ILIKE 'A_B'
params.depth ILIKE 'axB'
params.depth LIKE 'C:\_ir'
params.depth ILIKE 'É'
params.depth ILIKE 'é'
params.kind LIKE 'ResNet%'
params.kind ILIKE 'ResNet%'
params.kind LIKE '%net%'
params.größe = 'ÄÖÜ'
params.größe ILIKE 'äöü'
params.`a/b-c:d e` = 'x'
params.depth IS NULL
params.depth IS NOT NULL
params.kind IS NULL
params.nowhere IS NULL
tags.team = 'risk'
tags.team != 'risk'
tags.team LIKE 'risk%'
tags.team ILIKE 'risk'
tags.team LIKE '%\%'
tags.team LIKE 'a\_b'
tags.team LIKE '__'
tags.team = 'say "hi"'
tags.team IS NULL
tags.team IS NOT NULL
tags.größe LIKE 'ä%'
tags.and = 'x'
tags.mlflow.parentRunId = '{plain}'
tags.`mlflow.parentRunId` != '{plain}'
tags.mlflow.parentRunId != '{bare}'
tags.mlflow.parentRunId IS NULL
tags.mlflow.runName LIKE 'under%'
tags.`mlflow.runName` = 'child'
run_name = 'plain'
run_name != 'plain'
run_name LIKE 'under_score'
run_name LIKE 'under%'
run_name ILIKE 'UNDERx%'
run_name LIKE '%\%'
run_name = 'back\slash'
run_name ILIKE 'GRÖßE'
attributes.`Run name` = 'größe'
user_id = 'ann'
user_id ILIKE 'ann'
user_id != 'bob'
user_id = "o'brien"
user_id ILIKE 'ÇELIK'
status = 'FINISHED'
status != 'FINISHED'
status LIKE '%ED'
status ILIKE 'f%'
status LIKE 'f%'
start_time > 9000
start_time >= 9000
start_time < 2000
start_time <= 2000
start_time = 5000
created != 5000
start_time > 9000.5
start_time < 1e4
start_time > 1e300
start_time < 1e300
end_time > 0
end_time < 3000
end_time = 7000
end_time != 7000
run_id = '{child}'
run_id != '{child}'
run_id IN ('{child}', '{bare}', 'nobody')
run_id NOT IN ('{child}', '{bare}')
run_id LIKE '%'
run_id LIKE '{child}%'
dataset.name = 'patients'
dataset.name != 'patients'
dataset.name LIKE 'P%'
dataset.name ILIKE 'p%'
dataset.name IN ('patients', 'holdout')
dataset.name NOT IN ('patients', 'holdout')
dataset.name IN ('Patients')
dataset.context = 'training'
dataset.context != 'training'
dataset.context IN ('test')
dataset.context NOT IN ('test', 'training')
dataset.name = 'patients' AND dataset.context = 'test'
dataset.name = 'holdout' AND dataset.context = 'training'
dataset.name = 'patients' AND dataset.name = 'holdout'
dataset.digest LIKE 'aa%'
dataset.digest LIKE 'C%'
dataset.digest ILIKE 'C%'
dataset.digest != 'x'
dataset.digest NOT IN ('x')
metrics.loss > 0 AND params.depth = '6' AND tags.team LIKE 'risk%'
params.depth = '6' AND params.depth = '06'
params.depth != '6' AND params.depth != '06' AND status != 'FINISHED'
metrics.loss > 0 AND metrics.loss < 1
""".strip("\n").split("\n") + [""]

# What is sent to a server in place of filters that are more than MLflow understands.
SENT = r"""
params.`depth` != '6' AND params.`depth` != '06'
params.`depth` LIKE '%'
tags.`team` LIKE '%'
tags.`team` LIKE 'a%'
tags.`team` LIKE '%is%'
tags.`team` IS NOT NULL
tags.`team` IS NULL
params.`depth` = "it's"
tags.`team` = 'say "hi"'
params.`a/b-c:d e` = 'x'
metrics.`a/b-c:d e` >= 1.0
metrics.`loss` > 1e-301
metrics.`loss` != 0.5
metrics.`loss` <= -0.0
metrics.`loss` < 1e299
attributes.status != 'RUNNING' AND attributes.status != 'FINISHED'
attributes.run_name LIKE 'under%'
attributes.run_name != 'plain'
attributes.user_id = "o'brien"
attributes.run_id IN ('{child}','{bare}')
attributes.run_id NOT IN ('{child}','{bare}')
attributes.start_time >= 9000
attributes.start_time < 2000
attributes.end_time <= 3000
attributes.end_time = 7000
tags.`mlflow.parentRunId` = '{plain}'
tags.`mlflow.parentRunId` LIKE '%'
tags.`mlflow.parentRunId` IS NOT NULL
dataset.name = 'patients' AND dataset.context = 'test'
dataset.name IN ('patients','holdout')
dataset.name NOT IN ('patients','holdout')
dataset.name != 'patients'
params.`depth` ILIKE 'A_B'
params.`depth` LIKE 'a_b'
""".strip("\n").split("\n")

ORDERS = r"""
start_time
start_time ASC
start_time DESC
attributes.start_time desc
created DESC
end_time ASC
end_time DESC
run_name
run_name DESC
attributes.status ASC
status DESC
user_id
run_id DESC
metrics.loss
metrics.loss DESC
metrics.`val loss` DESC
metrics."a/b-c:d e" ASC
params.depth
params.depth DESC
params.`größe` ASC
tags.team
tags.team DESC
`run_name` DESC
"run_name"
metrics.a b
metrics.loss DOWN
metrics.loss ASC DESC
metrics.loss; DROP TABLE runs
loss
dataset.name
foo.bar DESC
duration
metrics.
DESC
run name
Created
`Run name`
""".strip("\n").split("\n") + [""]


def make(store, spec, ids):
    tags = dict(spec["tags"])
    if "parent" in spec:
        tags["mlflow.parentRunId"] = ids[RUNS[spec["parent"]]["name"]]
    run = store.create_run("0", spec["user"], spec["start"], [], spec["name"])
    run_id = run.info.run_id
    store.log_batch(
        run_id,
        [Metric(k, float(v), 0, 0) for k, v in spec["metrics"].items()],
        [Param(k, v) for k, v in spec["params"].items()],
        [RunTag(k, v) for k, v in tags.items()],
    )
    inputs = [
        DatasetInput(Dataset(name, d, "local", "x"), [InputTag("mlflow.data.context", role)])
        for name, d, role in spec["inputs"]
    ]
    if inputs:
        store.log_inputs(run_id, inputs)
    store.update_run_info(run_id, RunStatus.from_string(spec["status"]), spec["end"], None)
    return run_id


def search(store, text, order=()):
    return [run.info.run_name for run in store.search_runs(["0"], text, ViewType.ACTIVE_ONLY, order_by=list(order))]


def grammar(store, text):
    try:
        parsed = SearchUtils.parse_search_filter(text)
        search(store, text)
    except Exception:
        return {"text": text, "accepted": False}
    keys = ("type", "key", "comparator", "value")
    return {"text": text, "accepted": True, "parsed": [[clause[k] for k in keys] for clause in parsed]}


def found(store, text):
    try:
        runs = sorted(search(store, text))
    except Exception:
        return {"text": text, "accepted": False}
    return {"text": text, "accepted": True, "runs": runs}


def order(store, text):
    try:
        found = search(store, "", [text])
    except Exception:
        return {"text": text, "accepted": False}
    return {"text": text, "accepted": True, "runs": found}


def main():
    # The ids are the same each time. They have letters: MLflow 2 drops ids without any from lists.
    numbers = itertools.count(1)
    uuid.uuid4 = lambda: uuid.UUID(int=0x0abc_def0_0000_4000_8000_0000_0000_0000 + next(numbers))
    with tempfile.TemporaryDirectory() as folder:
        store = SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", f"{folder}/artifacts")
        ids = {}
        for spec in RUNS:
            ids[spec["name"]] = make(store, spec, ids)
        named = {f"{{{name}}}": run_id for name, run_id in ids.items()}
        searches = []
        for text in SEARCHES + SENT:
            for name, run_id in named.items():
                text = text.replace(name, run_id)
            searches.append(found(store, text))
        answer = {
            "tools": {
                "mlflow": mlflow.__version__,
                "sqlparse": sqlparse.__version__,
                "sqlalchemy": sqlalchemy.__version__,
                "sqlite": sqlite3.sqlite_version,
            },
            "runs": [{**spec, "id": ids[spec["name"]]} for spec in RUNS],
            "grammar": [grammar(store, text) for text in GRAMMAR],
            "searches": searches,
            "orders": [order(store, text) for text in ORDERS],
        }
    path = pathlib.Path(__file__).with_name(f"filters_mlflow_{mlflow.__version__}.json")
    with path.open("w", encoding="utf-8") as file:
        # One record a line: differences between versions can be read.
        lists = {key: answer.pop(key) for key in ("runs", "grammar", "searches", "orders")}
        file.write(json.dumps(answer)[:-1])
        for key, records in lists.items():
            lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records)
            file.write(f',\n"{key}": [\n{lines}\n]')
        file.write("}\n")


if __name__ == "__main__":
    main()
