"""Rows that break a blocking rule are set aside, with the rules they break."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from mlflow_ext.gates.suites.engines.interface import TableSource
from mlflow_ext.gates.suites.quarantine import quarantine

BETWEEN, NOT_NULL = "expect_column_values_to_be_between", "expect_column_values_to_not_be_null"


def rule(kind, *, severity="block", **kwargs):
    return {"type": kind, "kwargs": kwargs, "meta": {"severity": severity}}


def set_aside(location, folder, *rules, **options):
    document = {"name": "trips", "expectations": list(rules)}
    source = TableSource(name="trips", location=location)
    return quarantine(document, source, folder, **options)


@pytest.fixture
def trips():
    return pd.DataFrame(
        {
            "distance": [100.0, None, 9000.0, -5.0],
            "origin": ["EWR", "JFK", None, "LGA"],
            "start": pd.date_range("2013-01-01", periods=4, tz="UTC"),
            "cargo": pd.Series(["a", "b", "c", "d"], dtype="category"),
        },
        index=[7, 7, 7, 7],
    )


@pytest.fixture(params=["frame", "file"])
def location(trips, request, tmp_path):
    if request.param == "frame":
        return trips
    file = tmp_path / "trips.parquet"
    parquet.write_table(pa.Table.from_pandas(trips, preserve_index=False), file, row_group_size=2)
    return file


def test_broken_rows_are_written_whole_with_the_rules_they_break(location, trips, tmp_path):
    found = set_aside(
        location,
        tmp_path / "aside",
        rule(BETWEEN, column="distance", min_value=0, max_value=5000),
        rule(NOT_NULL, column="origin"),
    )
    assert found.file == tmp_path / "aside" / "trips.parquet"
    assert found.rows == 2
    rows = pd.read_parquet(found.file)
    assert rows["_broken"].tolist() == [
        f"{BETWEEN}(distance); {NOT_NULL}(origin)",
        f"{BETWEEN}(distance)",
    ]
    expected = trips.iloc[[2, 3]].reset_index(drop=True)
    kept = rows.drop(columns="_broken").astype({"cargo": "category"})
    assert json.loads(kept.to_json()) == json.loads(expected.to_json())


def test_more_rows_than_the_limit_are_counted_and_not_written(location, tmp_path):
    all_broken = rule(BETWEEN, column="start", min_value="2020-01-01T00:00:00Z")
    found = set_aside(location, tmp_path / "aside", all_broken, limit=3)
    assert (found.rows, len(pd.read_parquet(found.file))) == (4, 3)
    assert found.rules == (f"{BETWEEN}(start)",)


@pytest.mark.parametrize(
    "harmless",
    [
        rule(NOT_NULL, column="origin", mostly=0.5),
        rule(NOT_NULL, column="origin", severity="warn"),
        rule(BETWEEN, column="distance", min_value=-10, max_value=9000),
        rule("expect_column_mean_to_be_between", column="distance", max_value=0),
    ],
    ids=["tolerated", "warned", "kept", "about no row"],
)
def test_nothing_is_written_when_no_blocking_rule_about_rows_fails(location, tmp_path, harmless):
    assert set_aside(location, tmp_path / "aside", harmless) is None
    assert not (tmp_path / "aside").exists()


def test_only_the_rows_of_the_condition_are_set_aside(location, tmp_path):
    condition = {
        "type": "comparison",
        "column": {"name": "origin"},
        "operator": "==",
        "parameter": "LGA",
    }
    narrow = rule(BETWEEN, column="distance", min_value=0, row_condition=condition)
    found = set_aside(location, tmp_path / "aside", narrow)
    assert pd.read_parquet(found.file)["_broken"].tolist() == [
        f"{BETWEEN}(distance) where origin == LGA"
    ]


def test_a_table_of_a_database_stays_where_it_is(tmp_path):
    assert set_aside("sqlite:///x.db#trips", tmp_path, rule(NOT_NULL, column="origin")) is None


def test_what_was_there_is_replaced_whole(location, tmp_path):
    folder = tmp_path / "aside"
    folder.mkdir()
    Path(folder, "trips.parquet").write_text("old")
    found = set_aside(location, folder, rule(NOT_NULL, column="origin"))
    assert pd.read_parquet(found.file)["_broken"].tolist() == [f"{NOT_NULL}(origin)"]
    assert [file.name for file in folder.iterdir()] == ["trips.parquet"]
