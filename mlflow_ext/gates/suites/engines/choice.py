"""Which engine runs a suite: by where the table is, unless one is asked for by name."""

from __future__ import annotations

from pathlib import Path

from mlflow_ext.errors import EngineError, UnknownNameError
from mlflow_ext.gates.suites.engines.interface import Engine, TableSource

AUTO, GX, COMPILED, SQL, SPARK = ENGINES = ("auto", "gx", "compiled", "sql", "spark")
# Where tables of a kind are -> the engines that read them there, the first one by default.
FRAME, FILE, ADDRESS = "a table in memory", "a file", "a table of a database"
READERS = {FRAME: (COMPILED, GX), FILE: (COMPILED, GX, SPARK), ADDRESS: (SQL,)}


def source_of(data: str) -> TableSource:
    """Return what *data* means: an address with ``://``, or else the path of a file.

    >>> source_of("data/flights.csv.zip").name, source_of("sqlite:///x.db#main.flights").name
    ('flights', 'flights')
    """
    if "://" in data:
        return TableSource(name=data.rpartition("#")[2].rpartition(".")[2], location=data)
    return TableSource(name=Path(data).name.partition(".")[0], location=Path(data))


def choose_engine(name: str, source: TableSource) -> Engine:
    """Choose the engine for a table.

    Args:
        name: One of `ENGINES`. ``auto`` takes ``compiled`` for tables in memory and files, and
            ``sql`` for tables of a database; ``spark`` has to be asked for.
        source: Where the table is.

    Raises:
        EngineError: The engine cannot read a table that is there.
        UnknownNameError: There is no such engine.
    """
    if name not in ENGINES:
        raise UnknownNameError("engine", name, ENGINES)
    kind = _kind_of(source)
    chosen = READERS[kind][0] if name == AUTO else name
    if chosen not in READERS[kind]:
        reads = " or ".join(kind for kind, readers in READERS.items() if chosen in readers)
        fix = f"use --engine {READERS[kind][0]}, or leave --engine out"
        raise EngineError(chosen, f"'{source.name}' is {kind}", reads, fix)
    return _load(chosen)


def _kind_of(source: TableSource) -> str:
    if isinstance(source.location, Path):
        return FILE
    return ADDRESS if isinstance(source.location, str) else FRAME


def _load(name: str) -> Engine:
    # Each brings a library of its own, and only one of them is needed.
    if name == SQL:
        from mlflow_ext.gates.suites.engines import sql

        return sql
    if name == SPARK:
        from mlflow_ext.gates.suites.engines import spark

        return spark
    if name == GX:
        from mlflow_ext.gates.suites.engines import pandas

        return pandas
    from mlflow_ext.gates.suites.engines import compiled

    return compiled
