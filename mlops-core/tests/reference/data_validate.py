"""Reference values for tests/data_validate.rs: which rows break which rules.

Made with dataframely 3.1.2 and pandera 0.35.0 on polars 2.1.0 (Python 3.11):
    python data_validate.py > data_validate.json
"""

import datetime as dt
import importlib.metadata
import json
import sys

import dataframely as dy
import pandera.polars as pa
import polars as pl


def table():
    rows = []
    for i in range(300):
        rows.append(
            {
                "id": i if i % 41 else i // 2,
                "site": ["bonn", "köln", "trier", None, "Bonn"][(i * 7) % 5] if i % 13 else "aachen",
                "code": f"{'ABC'[i % 3]}{i % 100:02d}" if i % 17 else f"x{i}",
                "bmi": None if i % 19 == 0 else (i * 37 % 500) / 10,
                "age": (i * 53) % 131 - 3,
                "since": dt.datetime(2024, 1, 1) + dt.timedelta(hours=i),
                "until": dt.datetime(2024, 1, 1) + dt.timedelta(hours=i + (5 if i % 23 else -5)),
            }
        )
    return pl.DataFrame(rows, schema_overrides={"bmi": pl.Float64, "site": pl.String})


class Visits(dy.Schema):
    id = dy.Int64(nullable=True)
    site = dy.String(nullable=False)
    code = dy.String(nullable=True, regex=r"^[ABC]\d\d$")
    bmi = dy.Float64(nullable=True, min=5.0, max_exclusive=45.0)
    age = dy.Int64(nullable=True, min=0, max=120)
    since = dy.Datetime(nullable=True)
    until = dy.Datetime(nullable=True)

    @dy.rule()
    def site_known(cls):
        return pl.col("site").is_in(["bonn", "köln", "trier", "aachen"])

    @dy.rule()
    def site_length(cls):
        return pl.col("site").str.len_chars() <= 5

    @dy.rule()
    def in_order(cls):
        return pl.col("since") <= pl.col("until")


def main():
    frame = table()
    good, failure = Visits.filter(frame, cast=True)
    counts = failure.counts()
    together = [[sorted(rules), rows] for rules, rows in failure.cooccurrence_counts().items()]

    # pandera: uniqueness, and the rows that every check names.
    schema = pa.DataFrameSchema(
        {
            "id": pa.Column(pl.Int64, unique=True),
            "age": pa.Column(pl.Int64, pa.Check.in_range(0, 120)),
            "bmi": pa.Column(pl.Float64, pa.Check.in_range(5, 45, include_max=False), nullable=True),
            "site": pa.Column(pl.String, pa.Check.isin(["bonn", "köln", "trier", "aachen"]), nullable=True),
        }
    )
    cases = {}
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        for row in errors.failure_cases.iter_rows(named=True):
            if row["index"] is not None:
                cases.setdefault(f"{row['column']}: {row['check'].split('(')[0]}", []).append(row["index"])
    first = frame.select(pl.col("id").is_first_distinct()).to_series()
    versions = {name: importlib.metadata.version(name) for name in ["dataframely", "pandera", "polars"]}
    out = {
        "made_with": versions,
        "csv": frame.with_columns(
            pl.col("since", "until").dt.strftime("%Y-%m-%dT%H:%M:%S")
        ).write_csv(),
        "dataframely": {"counts": counts, "together": together, "good": good.height},
        "pandera": {name: sorted(rows) for name, rows in cases.items()},
        "polars": {"repeated_ids": [i for i, is_first in enumerate(first) if not is_first]},
    }
    json.dump(out, sys.stdout, ensure_ascii=False, indent=1)


main()
