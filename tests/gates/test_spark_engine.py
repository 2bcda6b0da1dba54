"""The Spark engine, in one session for all tests but the last: starting one takes seconds."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from engine_cases import ODD_RULES, compare, expected, odd_table, rule, suite, table
from pyarrow import parquet
from test_suites import SUITES

from mlflow_ext.errors import EngineError, SourceError
from mlflow_ext.gates.suites.document import read_suite
from mlflow_ext.gates.suites.engines import pandas as reference
from mlflow_ext.gates.suites.engines import spark
from mlflow_ext.gates.suites.engines.interface import TableSource

pytestmark = pytest.mark.slow

# Small tables: what Spark prepares for large ones takes most of the time.
SMALL = {
    "spark.master": "local[2]",
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.session.timeZone": "UTC",
}


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """The session that a user already has."""
    from pyspark.sql import SparkSession

    folder = tmp_path_factory.mktemp("spark")
    places = {"spark.local.dir": str(folder), "spark.sql.warehouse.dir": str(folder / "warehouse")}
    session = SparkSession.builder.config(map={**SMALL, **places}).getOrCreate()
    yield session
    session.stop()


@pytest.fixture
def store(session, tmp_path):
    """Writes a frame as Parquet; returns where it is."""

    def store(frame, name="odd"):
        file = tmp_path / f"{name}.parquet"
        frame.to_parquet(file, index=False)
        return TableSource(name=name, location=file)

    return store


@pytest.mark.parametrize("is_broken", [False, True], ids=["whole", "broken"])
@pytest.mark.parametrize("name", SUITES)
def test_the_shipped_suites_have_the_same_verdicts_on_spark_and_on_pandas(store, name, is_broken):
    source = store(table(name, is_broken), name)
    compare(spark.validate(read_suite(SUITES[name]), source), expected(name, is_broken))


def test_odd_rules_on_odd_values_have_the_same_verdicts_on_spark_and_on_pandas(store):
    frame, document = odd_table(), suite(*ODD_RULES)
    wanted = reference.validate(document, TableSource(name="odd", location=frame))
    compare(spark.validate(document, store(frame)), wanted)


def test_files_that_changed_are_read_anew(store):
    count = suite(rule("column_values_to_be_between", column="x", max_value=1))
    source = store(pd.DataFrame({"x": [1.0, 2.0]}))
    assert spark.validate(count, source).result["success"] is False
    source = store(pd.DataFrame({"x": [1.0, 0.5, 0.0]}))
    validation = spark.validate(count, source)
    assert (validation.result["success"], validation.rows) == (True, 3)


def test_nan_in_a_file_is_missing(session, tmp_path):
    file = tmp_path / "nan.parquet"
    parquet.write_table(pa.table({"x": pa.array([1.0, np.nan, None])}), file)
    rules = suite(
        rule("column_values_to_be_between", column="x", max_value=1),
        rule("column_values_to_not_be_null", column="x"),
    )
    result = spark.validate(rules, TableSource(name="nan", location=file)).result
    between, present = result["results"]
    assert (between["success"], between["result"]["missing_count"]) == (True, 2)
    assert present["result"]["unexpected_count"] == 2


def test_a_folder_of_parquet_files_is_one_table_and_a_csv_another(session, tmp_path):
    folder = tmp_path / "trips"
    folder.mkdir()
    for part in (0, 1):
        pd.DataFrame({"n": [part], "s": ["a"]}).to_parquet(folder / f"{part}.parquet")
    (tmp_path / "trips.csv").write_text("n,s\n0,a\nNA,\n", encoding="utf-8")
    count = suite(rule("table_row_count_to_equal", value=2))
    for place in (folder, tmp_path / "trips.csv"):
        source = TableSource(name="trips", location=place)
        assert spark.validate(count, source).result["success"] is True
    missing = suite(*(rule("column_values_to_not_be_null", column=name) for name in "ns"))
    found = spark.validate(missing, source).result["results"]
    assert [outcome["result"]["unexpected_count"] for outcome in found] == [1, 1]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.parquet", None, "there is no"),
        ("empty.parquet", b"", "cannot read"),
        ("cut.parquet", b"PAR1 and no more", "cannot read"),
        ("table.csv.zip", b"PK", "is a zip archive"),
    ],
)
def test_files_that_cannot_be_read_are_named(session, tmp_path, name, content, words):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SourceError, match=words) as refused:
        spark.validate(suite(), TableSource(name="t", location=file))
    assert name in str(refused.value)


def test_a_session_of_others_is_used_and_left_running(session, store):
    with spark.session() as used:
        assert used.sparkContext is session.sparkContext
    assert session.range(3).count() == 3


ALONE = """
import sys
from mlflow_ext.errors import EngineError
from mlflow_ext.gates.suites.engines import spark

try:
    with spark.session() as session:
        print(session.range(3).count(), session.sparkContext.uiWebUrl)
    print("stopped", session.sparkContext._jsc is None)
except EngineError as error:
    print(error)
"""


def run_alone(**environment):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ALONE],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )


def test_without_a_session_a_quiet_one_is_started_and_stopped():
    process = run_alone()
    assert process.stdout.splitlines() == ["3 None", "stopped True"]
    (line,) = process.stderr.splitlines()
    assert "incubator modules" in line, "Java itself says this, whatever it is told"


def test_without_java_the_error_says_what_to_install(tmp_path):
    assert "install a JDK or JRE" in run_alone(JAVA_HOME=str(tmp_path)).stdout


def test_the_error_of_a_missing_pyspark_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(EngineError, match=r"mlflow-ext\[spark\]"), spark.session():
        pass
