"""The engine ``spark``: for Parquet that outgrows one machine, or as large as one can just hold.

It runs in the Spark session that is active, a cluster's for instance; without one a local session
is started, quiet and open to nobody, and stopped again. NaN is read as null. Needs Java 17 or later
with all of its modules and the extra ``mlflow-ext[spark]``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mlflow_ext.errors import EngineError, SourceError
from mlflow_ext.gates.suites.engines.dialects import SPARK, ColumnType, Facts
from mlflow_ext.gates.suites.engines.interface import Document, TableSource, Validation
from mlflow_ext.gates.suites.engines.native import run

if TYPE_CHECKING:
    from great_expectations.data_context.data_context.ephemeral_data_context import (
        EphemeralDataContext,
    )
    from great_expectations.datasource.fluent.interfaces import Batch
    from pyspark.sql import DataFrame, SparkSession

# How Spark calls a type -> how pandas would read such a column of a Parquet file.
DTYPES = {
    "bigint": "int64",
    "int": "int32",
    "smallint": "int16",
    "tinyint": "int8",
    "double": "float64",
    "float": "float32",
    "boolean": "bool",
    "string": "str",
    "timestamp": "Timestamp",
    "timestamp_ntz": "datetime64",
}
SETTINGS = {
    "spark.master": "local[*]",
    "spark.app.name": "mlflow-ext",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "2g",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": str(os.cpu_count()),  # the default is for a cluster: 200
}
LOGGING = """
rootLogger.level = error
logger.python.name = org.apache.spark.api.python.PythonGatewayServer
logger.python.level = error
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = Spark: %m%n
"""


def validate(document: Document, source: TableSource) -> Validation:
    """Judge a table in files by a suite.

    Args:
        document: The suite.
        source: Its location is a Parquet file or folder, or a CSV file.

    Raises:
        EngineError: PySpark or Java is not there.
        SourceError: The files cannot be read.
        SuiteError: The suite does not fit the table.
    """
    with session() as spark:
        frame = _read(spark, source)
        facts = _scan(frame, source)
        return run(document, facts, SPARK, partial(_open_batch, frame, source.name))


@contextmanager
def session() -> Iterator[SparkSession]:
    """Yield the active Spark session, or a local one that ends with the block.

    Raises:
        EngineError: PySpark or Java is not there.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        found, fix = "PySpark is not installed", "pip install 'mlflow-ext[spark]'"
        raise EngineError(SPARK, found, "the extra 'spark'", fix) from None
    active = SparkSession.getActiveSession()
    if active is not None:
        yield active
        return
    _check_java()
    with TemporaryDirectory(prefix="mlflow-ext-spark-") as folder:
        started = _start(SparkSession.builder, Path(folder))
        try:
            yield started
        finally:
            started.stop()


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    if not shutil.which("java", path=Path(home, "bin") if home else None):
        found = f"there is no java in JAVA_HOME, {home}" if home else "there is no java"
        fix = "install a JDK or JRE, e.g. apt-get install openjdk-17-jre-headless"
        raise EngineError(SPARK, found, "Java 17 or later in JAVA_HOME or PATH", fix)


def _start(builder: SparkSession.Builder, folder: Path) -> SparkSession:
    logging = folder / "log4j2.properties"
    logging.write_text(LOGGING, encoding="utf-8")
    settings: dict[str, str | bool | int | float | None] = {
        **SETTINGS,
        "spark.local.dir": str(folder),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={logging.as_uri()}",
    }
    try:
        return builder.config(map=settings).getOrCreate()
    except RuntimeError as error:
        cause = str(error).partition("\n")[0]
        found = f"Spark does not start: {cause}"
        fix = "install a whole JDK or JRE, e.g. apt-get install openjdk-17-jre-headless"
        raise EngineError(SPARK, found, "Java 17 or later with all of its modules", fix) from None


def _read(spark: SparkSession, source: TableSource) -> DataFrame:
    from pyspark.sql import functions

    path = Path(str(source.location)).absolute()
    if not path.exists() or path.suffix == ".zip":
        found = f"{path} is a zip archive" if path.exists() else f"there is no {path}"
        expected, fix = "a Parquet file or folder, or a CSV file", f"unpack or restore {path}"
        raise SourceError(source.name, found, expected, fix)
    with _reading(source):
        spark.catalog.refreshByPath(str(path))  # a session remembers files as they once were
        frame = _open(spark, path)
        floats = [name for name, kind in frame.dtypes if kind in ("double", "float")]
        present = {n: functions.when(~functions.isnan(n), functions.col(n)) for n in floats}
        return frame.withColumns(present)


def _open(spark: SparkSession, path: Path) -> DataFrame:
    if path.suffix == ".csv":
        options = spark.read.options(header=True, inferSchema=True, nullValue="NA", multiLine=True)
        return options.csv(str(path))
    return spark.read.parquet(str(path))


@contextmanager
def _reading(source: TableSource) -> Iterator[None]:
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        cause = str(error).partition("\n")[0]
        found = f"Spark cannot read {source.location}: {cause}"
        fix = f"restore {source.location}, or point the source at another file"
        raise SourceError(source.name, found, "whole, readable files", fix) from None


def _scan(frame: DataFrame, source: TableSource) -> Facts:
    from pyspark.sql import functions

    types = {
        field.name: ColumnType(
            dtype=DTYPES.get(field.dataType.simpleString(), "object"),
            native=type(field.dataType).__name__,
        )
        for field in frame.schema
    }
    counts = [functions.count(name) for name in types]
    with _reading(source):
        total, *present = frame.agg(functions.count(functions.lit(1)), *counts).collect()[0]
    missing = {name for name, count in zip(types, present, strict=True) if count < total}
    return Facts(rows=total, types=types, missing=frozenset(missing))


@contextmanager
def _open_batch(
    frame: DataFrame, table: str, context: EphemeralDataContext, name: str
) -> Iterator[Batch]:
    asset = context.data_sources.add_spark(name).add_dataframe_asset(table)
    whole = asset.add_batch_definition_whole_dataframe("all")
    try:
        yield whole.get_batch(batch_parameters={"dataframe": frame})
    finally:
        frame.unpersist()  # GX keeps it for the next one who reads these files, changed or not
