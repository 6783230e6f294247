"""Our validation and profile beside what users would take today, in one run, with ratios.

    python3 benches/peers/validate.py            # everything: builds, installs, measures, prints the table
    python3 benches/peers/validate.py --n 1e5    # the same on a hundred thousand rows
    python3 benches/peers/validate.py --n 4e7 --parquet FILE    # writes the table to a file for the bench, and nothing else

Makes a virtual environment in target/peers with the peers from PyPI, runs `cargo bench -p mlops-benches --bench validate`, and then the
peers on the same table of 20 columns, with the same 20 rules. CPU milliseconds (user and system), the fastest of several
repetitions; the peers' libraries are held to one thread. `--n` (default 1 000 000) is the number of rows. A peer that cannot be
installed is reported and left out.
"""

import argparse
import datetime as dt
import os
import sys

from side_by_side import bench, best, environment, lines, print_table, rows, run

PACKAGES = ["polars", "pandas", "pyarrow", "pandera", "dataframely", "great_expectations", "ydata-profiling"]
ROWS = rows(1_000_000)

# Our task, their task, the aim in milliseconds.
TABLE = [
    ("validate, 20 rules", ["pandera on Polars", "Great Expectations on pandas"], ""),
    ("validate, 20 rules, good and bad rows apart", ["dataframely"], ""),
    ("validate, 20 rules, a batch taken apart", ["dataframely"], ""),
    ("profile, minimal", ["ydata-profiling, minimal"], ""),
    ("profile", ["ydata-profiling, minimal"], ""),
]
LEVELS = [("s0", 3), ("s1", 12), ("s2", 200)]


def table(pl, first=0, end=ROWS):
    """The table that benches/validate.rs makes too, from one row to another."""
    i = pl.int_range(first, end, eager=True).alias("id")
    frame = pl.DataFrame([i]).with_columns(
        (pl.col("id") * 13 % 101).alias("n1"),
        (pl.col("id") * 17 % 5003).alias("n2"),
        (pl.col("id") * 13 % 101 + pl.col("id") % 5).alias("n3"),
        *[(pl.col("id") * (7919 + 2 * c) % 10007 / 100).alias(f"x{c}") for c in range(10)],
        *[
            (pl.lit(f"{name}_") + (pl.col("id") * 31 % levels).cast(pl.String)).alias(name)
            for name, levels in LEVELS
        ],
        (
            pl.col("id").mod(3).replace_strict([0, 1, 2], ["A", "B", "C"], return_dtype=pl.String)
            + (pl.col("id") % 1000).cast(pl.String).str.zfill(3)
        ).alias("s3"),
        (pl.col("id") % 2 == 0).alias("flag"),
        (dt.datetime(2024, 1, 1) + pl.duration(seconds=pl.col("id"))).alias("t"),
    )
    return frame.with_columns(
        pl.when(pl.col("id") % 1000 == 0).then(500.0).otherwise(pl.col("x3")).alias("x3"),
        pl.when(pl.col("id") % 97 == 0).then(None).otherwise(pl.col("x8")).alias("x8"),
        pl.when(pl.col("id") % 5000 == 1).then(pl.lit("oops")).otherwise(pl.col("s1")).alias("s1"),
    )


def allowed(name, levels):
    return [f"{name}_{level}" for level in range(levels)]


def by_pandera(pl, frame):
    import pandera
    import pandera.polars as pa

    print(f"# pandera {pandera.__version__}", flush=True)
    hundred = pa.Check.in_range(0, 100.1)
    columns = {
        "id": pa.Column(pl.Int64, unique=True),
        "x0": pa.Column(pl.Float64, hundred),
        **{f"x{c}": pa.Column(pl.Float64, hundred, nullable=True) for c in range(1, 8)},
        "x9": pa.Column(pl.Float64, pa.Check(lambda d: d.lazyframe.select(pl.col(d.key).is_finite())), nullable=True),
        **{
            name: pa.Column(pl.String, pa.Check.isin(allowed(name, levels)), nullable=name != "s0")
            for name, levels in LEVELS
        },
        "s3": pa.Column(pl.String, [pa.Check.str_matches(r"^[ABC]\d{3}$"), pa.Check.str_length(4, 4)], nullable=True),
        "n1": pa.Column(pl.Int64, pa.Check.in_range(0, 100), nullable=True),
    }
    in_order = pa.Check(lambda d: d.lazyframe.select(pl.col("n1") <= pl.col("n3")))
    schema = pa.DataFrameSchema(columns, checks=in_order)

    def validate():
        try:
            schema.validate(frame, lazy=True)
        except pa.errors.SchemaErrors as errors:
            return errors
        raise AssertionError("nothing was found")

    best("pandera on Polars", 3, validate)


def by_dataframely(pl, frame):
    import dataframely as dy

    print(f"# dataframely {dy.__version__}", flush=True)
    fields = {
        "id": dy.Int64(primary_key=True),
        "x0": dy.Float64(nullable=False, min=0, max=100.1),
        **{f"x{c}": dy.Float64(nullable=True, min=0, max=100.1) for c in range(1, 8)},
        "x9": dy.Float64(nullable=True, allow_inf=False, allow_nan=False),
        **{
            name: dy.String(nullable=name != "s0", check=lambda c, v=allowed(name, levels): c.is_in(v))
            for name, levels in LEVELS
        },
        "s3": dy.String(nullable=True, regex=r"^[ABC]\d{3}$", min_length=4, max_length=4),
        "n1": dy.Int64(nullable=True, min=0, max=100),
        "n3": dy.Int64(nullable=True),
        "in_order": dy.rule()(lambda cls: pl.col("n1") <= pl.col("n3")),
    }
    schema = type("Bench", (dy.Schema,), fields)

    def validate():
        good, failure = schema.filter(frame)
        return good, failure.counts(), failure.invalid()

    best("dataframely", 3, validate)


def by_great_expectations(frame):
    import great_expectations as gx

    print(f"# Great Expectations {gx.__version__}", flush=True)
    e = gx.expectations
    rules = [
        e.ExpectColumnValuesToBeUnique(column="id"),
        *[e.ExpectColumnValuesToNotBeNull(column=name) for name in ["id", "x0", "s0"]],
        *[e.ExpectColumnValuesToBeBetween(column=f"x{c}", min_value=0, max_value=100.1) for c in range(8)],
        e.ExpectColumnValuesToBeBetween(column="x9", min_value=-1e308, max_value=1e308),
        *[e.ExpectColumnValuesToBeInSet(column=name, value_set=allowed(name, levels)) for name, levels in LEVELS],
        e.ExpectColumnValuesToMatchRegex(column="s3", regex=r"^[ABC]\d{3}$"),
        e.ExpectColumnValueLengthsToEqual(column="s3", value=4),
        e.ExpectColumnValuesToBeBetween(column="n1", min_value=0, max_value=100),
        e.ExpectColumnPairValuesAToBeGreaterThanB(column_A="n3", column_B="n1", or_equal=True),
    ]
    context = gx.get_context(mode="ephemeral")
    source = context.data_sources.add_pandas("bench").add_dataframe_asset("table")
    batch = source.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame.to_pandas()})
    suite = gx.ExpectationSuite("rules", expectations=rules)
    best("Great Expectations on pandas", 2, lambda: batch.validate(suite))


def by_ydata(frame):
    import ydata_profiling

    print(f"# ydata-profiling {ydata_profiling.__version__}", flush=True)
    pandas = frame.to_pandas()

    def profile():
        report = ydata_profiling.ProfileReport(pandas, minimal=True, progress_bar=False)
        return report.to_html()

    best("ydata-profiling, minimal", 1, profile)


def write(path):
    """The table as a Parquet file of row groups of 131 072 rows, made one by one, and about as large as it is in memory."""
    import polars as pl
    import pyarrow.parquet as pq

    group, writer = 131_072, None
    for first in range(0, ROWS, group):
        rows = table(pl, first, min(first + group, ROWS)).to_arrow()
        writer = writer or pq.ParquetWriter(path, rows.schema, compression="none", use_dictionary=False)
        writer.write_table(rows, row_group_size=group)
    writer.close()
    print(f"# {os.path.getsize(path) / 1e9:.2f} GB, {ROWS} rows")


def measure():
    import polars as pl

    frame = table(pl)
    for peer in [
        lambda: by_pandera(pl, frame),
        lambda: by_dataframely(pl, frame),
        lambda: by_great_expectations(frame),
        lambda: by_ydata(frame),
    ]:
        try:
            peer()
        except ImportError as missing:
            print(f"# left out: {missing}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=lambda n: int(float(n)), default=ROWS, help="rows")
    parser.add_argument("--parquet", metavar="FILE", help="write the table to this file")
    arguments = parser.parse_args()
    # For the bench and for the peers, which run in processes of their own.
    os.environ["MLOPS_BENCH_ROWS"] = str(arguments.n)
    for library in ("OMP", "OPENBLAS", "MKL", "POLARS_MAX_THREADS"):
        os.environ[library if "_" in library else f"{library}_NUM_THREADS"] = "1"
    python = environment("validate", PACKAGES)
    if arguments.parquet:
        print(run([python, __file__, "--write", os.path.abspath(arguments.parquet)]), end="")
        return
    print_table(TABLE, bench("validate"), lines(run([python, __file__, "--measure"])))


if __name__ == "__main__":
    if "--write" in sys.argv:
        write(sys.argv[-1])
    elif "--measure" in sys.argv:
        measure()
    else:
        main()
