"""Which engine takes which table."""

from pathlib import Path

import pandas as pd
import pytest

from mlflow_ext.errors import EngineError, UnknownNameError
from mlflow_ext.gates.suites.engines import compiled, spark, sql
from mlflow_ext.gates.suites.engines import pandas as gx
from mlflow_ext.gates.suites.engines.choice import ENGINES, choose_engine, source_of
from mlflow_ext.gates.suites.engines.interface import TableSource

FRAME = TableSource(name="trips", location=pd.DataFrame({"a": [1]}))
FILE = source_of("data/trips.parquet")
ADDRESS = source_of("postgresql://me:word@host/db#eu.trips")


def test_data_is_a_file_or_an_address_by_its_form():
    assert (FILE.name, FILE.location) == ("trips", Path("data/trips.parquet"))
    assert (ADDRESS.name, ADDRESS.location) == ("trips", "postgresql://me:word@host/db#eu.trips")


@pytest.mark.parametrize(
    ("name", "source", "engine"),
    [
        ("auto", FRAME, compiled),
        ("auto", FILE, compiled),
        ("auto", ADDRESS, sql),
        ("gx", FRAME, gx),
        ("gx", FILE, gx),
        ("compiled", FILE, compiled),
        ("sql", ADDRESS, sql),
        ("spark", FILE, spark),
    ],
)
def test_the_engine_follows_the_table_unless_one_is_asked_for(name, source, engine):
    assert choose_engine(name, source) is engine


@pytest.mark.parametrize(
    ("name", "source", "words"),
    [
        ("sql", FILE, "'trips' is a file"),
        ("sql", FRAME, "'trips' is a table in memory"),
        ("spark", FRAME, "'trips' is a table in memory"),
        ("spark", ADDRESS, "use --engine sql"),
        ("gx", ADDRESS, "'trips' is a table of a database"),
        ("compiled", ADDRESS, "expected: a table in memory or a file"),
    ],
)
def test_an_engine_that_cannot_read_the_table_is_refused(name, source, words):
    with pytest.raises(EngineError) as refused:
        choose_engine(name, source)
    assert words in str(refused.value)
    assert "word@" not in str(refused.value)


def test_an_unknown_engine_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="write 'spark' instead of 'sparc'"):
        choose_engine("sparc", FILE)
    assert ENGINES[0] == "auto"
