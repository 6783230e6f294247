"""Data and engines for `tests/engines.rs`: DuckDB and DataFusion run the statements, NumPy and SciPy say what is right.

    run.py generate DIR                     sample, reference and current rows, seeded
    run.py counts ENGINE SQL OUT            runs a statement of counts; rows as JSON lines
    run.py values ENGINE SQL OUT            runs a statement of values; rows as three binary columns
    run.py numpy DIR GRIDS OUT              counts the current rows with NumPy on given grids
    run.py scipy DIR OUT                    the Kolmogorov-Smirnov statistics of reference and current rows
    run.py sketches FILE                    reads sketches that this crate wrote, and holds their answers against its own

Written against DuckDB 2.0.1, DataFusion 55.0.0, PyArrow 26.0.1, NumPy 2.4.6, SciPy 1.17.1, datasketches 5.2.0.
"""

import json
import math
import pathlib
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SAMPLE, REFERENCE, CURRENT = 100_000, 1_000_000, 5_000_000

# Names that end an identifier, a string or a line somewhere.
NAMES = [
    "normal",
    'quote"d',
    "back`tick",
    "bracket]]",
    "new\nline",
    "'; DROP TABLE t; --",
    "\u65e5\u672c\\",
    "signed zero",
    "bool",
    "text",
]
LABELS = ["a", "A", "a ", "", "null", "it's", 'say "x"', "back\\slash", "line\nbreak", "\u00e9", "e\u0301", "unseen 1", "unseen 2"]


def columns(rng, rows, drift):
    """One batch: ten columns, drifted or not."""
    shift = 0.05 if drift else 0.0
    normal = rng.standard_normal(rows) + shift
    lognormal = rng.lognormal(0.0, 1.0, rows) * (1 + shift)
    cauchy = rng.standard_cauchy(rows) + shift
    single = rng.random(rows, dtype=np.float32) * np.float32(1 - shift)
    poisson = rng.poisson(3.0 + shift, rows)
    rounded = np.round(rng.standard_normal(rows) * (1 + shift), 2)
    holed = np.where(rng.random(rows) < 0.5, 0.0, rng.standard_normal(rows))
    for value in (np.nan, np.inf, -np.inf, -0.0, 5e-324, 1e300):
        holed[rng.integers(0, rows, rows // 1000)] = value
    quarters = np.round(rng.standard_normal(rows) * 8) / 4
    quarters[rng.integers(0, rows, rows // 50)] = -0.0
    booleans = rng.random(rows) < 0.3 + shift
    known = len(LABELS) if drift else len(LABELS) - 2
    labels = rng.integers(0, known, rows)
    absent = lambda: rng.random(rows) < 0.01
    return [
        pa.array(normal),
        pa.array(lognormal, mask=absent()),
        pa.array(cauchy),
        pa.array(single),
        pa.array(poisson, mask=absent()),
        pa.array(rounded),
        pa.array(holed, mask=absent()),
        pa.array(quarters),
        pa.array(booleans, mask=absent()),
        pa.DictionaryArray.from_arrays(pa.array(labels, mask=absent()), pa.array(LABELS)).cast(pa.string()),
    ]


def generate(folder):
    for name, seed, rows, drift in [("reference", 1, REFERENCE, False), ("current", 2, CURRENT, True)]:
        rng, writer = np.random.default_rng(seed), None
        for start in range(0, rows, 1_000_000):
            table = pa.table(columns(rng, min(1_000_000, rows - start), drift), names=NAMES)
            writer = writer or pq.ParquetWriter(folder / f"{name}.parquet", table.schema)
            writer.write_table(table)
            if name == "reference" and start == 0:
                sample(folder, table.slice(0, SAMPLE))
        writer.close()


def sample(folder, table):
    """The rows that the cells are fitted on: as Parquet, and in a form that needs no library to be read."""
    pq.write_table(table, folder / "sample.parquet")
    out = {"names": NAMES, "columns": []}
    for column in table.columns:
        if pa.types.is_string(column.type):
            out["columns"].append(column.to_pylist())
        else:
            out["columns"].append([named(value) for value in column.to_pylist()])
    (folder / "sample.json").write_text(json.dumps(out, allow_nan=False))


def named(value):
    """JSON has no number for what is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def query(engine, sql, folder):
    """The result as an Arrow table. `source` and the like are files in the folder."""
    if engine == "duckdb":
        import duckdb

        connection = duckdb.connect()
        for path in folder.glob("*.parquet"):
            connection.read_parquet(str(path)).create_view(path.stem)
        return connection.sql(sql).to_arrow_table()
    from datafusion import SessionContext

    context = SessionContext()
    for path in folder.glob("*.parquet"):
        context.register_parquet(path.stem, str(path))
    return context.sql(sql).to_arrow_table()


def counts(engine, sql, out):
    table = query(engine, sql.read_text(), sql.parent)
    with out.open("w") as file:
        for row in table.select(["mlops_column", "mlops_cell", "mlops_label", "mlops_count"]).to_pylist():
            file.write(json.dumps(row) + "\n")


def values(engine, sql, out):
    table = query(engine, sql.read_text(), sql.parent)
    rows = np.empty(table.num_rows, dtype=[("column", "<u8"), ("value", "<f8"), ("count", "<u8")])
    for field in rows.dtype.names:
        rows[field] = table[f"mlops_{field}"].to_numpy()
    rows.tofile(out)


def read(folder, name, index):
    """A column as doubles that are there, and how many are not."""
    column = pq.read_table(folder / f"{name}.parquet", columns=[NAMES[index]]).column(0)
    present = column.drop_null()
    if pa.types.is_boolean(present.type):
        present = present.cast(pa.uint8())
    return present.to_numpy().astype(np.float64), column.null_count


def with_numpy(folder, grids, out):
    """The cell of a value by the definition, in NumPy's own arithmetic."""
    with out.open("w") as file:
        for index, grid in enumerate(json.loads(grids.read_text())):
            if grid is None:
                continue
            x, absent = read(folder, "current", index)
            low, high, scale, cells = grid["low"], grid["high"], grid["scale"], grid["cells"]
            inside = (x >= low) & (x < high)
            place = np.floor((x[inside] - low) * scale).astype(np.int64) + 1
            tally = np.bincount(place, minlength=cells + 4)
            tally[0] += np.count_nonzero(x < low)
            tally[cells + 1] += np.count_nonzero(x >= high)
            tally[cells + 2] += np.count_nonzero(np.isnan(x))
            tally[cells + 3] += absent
            file.write(json.dumps({"column": index, "cells": tally.tolist()}) + "\n")


def with_scipy(folder, out):
    from scipy.stats import ks_2samp

    statistics = []
    for index in range(len(NAMES) - 1):
        pair = [read(folder, name, index)[0] for name in ("reference", "current")]
        pair = [x[~np.isnan(x)] for x in pair]
        statistics.append(ks_2samp(*pair, method="asymp").statistic)
    out.write_text(json.dumps(statistics))


def sketches(path):
    """Every sketch is read from its bytes, and answers what the writer's did."""
    import datasketches as ds

    written = json.loads(path.read_text())
    for case in written["quantiles"]:
        sketch = ds.kll_doubles_sketch.deserialize(bytes.fromhex(case["bytes"]))
        assert sketch.n == case["count"], case
        if case["count"]:
            assert abs(sketch.normalized_rank_error(False) - case["rank_error"]) < 1e-15 or case["rank_error"] == 0, case
            for value, rank in case["ranks"]:
                assert abs(sketch.get_rank(value, True) - rank) < 1e-12, (value, rank)
    for case in written["distinct"]:
        sketch = ds.hll_sketch.deserialize(bytes.fromhex(case["bytes"]))
        # The same values, hashed here, change nothing: both libraries hash alike. A union estimates by the registers alone.
        fresh = ds.hll_sketch(sketch.lg_config_k, ds.tgt_hll_type.HLL_8)
        for i in range(case["numbers"]):
            fresh.update(float(i))
        for i in range(case["texts"]):
            fresh.update(f"text {i}")
        union = ds.hll_union(sketch.lg_config_k)
        for part in (sketch, fresh, sketch):
            union.update(part)
            assert abs(part.get_lower_bound(3)) <= case["estimate"] <= part.get_upper_bound(3) + 1e-9, case
        assert abs(union.get_estimate() - case["estimate"]) <= 1e-12 * case["estimate"], (union.get_estimate(), case)
    for case in written["frequent"]:
        sketch = ds.frequent_strings_sketch.deserialize(bytes.fromhex(case["bytes"]))
        assert sketch.total_weight == case["total"], case
        for text, low, high in case["top"]:
            assert (sketch.get_lower_bound(text), sketch.get_upper_bound(text)) == (low, high), (text, low, high)
    print("read", {kind: len(cases) for kind, cases in written.items()})


def main(command, *arguments):
    if command in ("counts", "values"):
        engine, sql, out = arguments[0], pathlib.Path(arguments[1]), pathlib.Path(arguments[2])
        {"counts": counts, "values": values}[command](engine, sql, out)
    else:
        run = {"generate": generate, "numpy": with_numpy, "scipy": with_scipy, "sketches": sketches}[command]
        run(*map(pathlib.Path, arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
