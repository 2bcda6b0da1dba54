"""One suite, one table, one verdict: the compiled engine and SQL against GX on pandas."""

import pandas as pd
import pytest
from engine_cases import GREATER, KEY, ODD_RULES, compare, expected, odd_table, rule, suite, table
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine
from test_suites import SUITES

from mlflow_ext.errors import SuiteError
from mlflow_ext.gates.suites.document import read_suite
from mlflow_ext.gates.suites.engines import compiled, sql
from mlflow_ext.gates.suites.engines import pandas as reference
from mlflow_ext.gates.suites.engines.interface import TableSource


@pytest.fixture(scope="module")
def database(postgres_server):
    """A PostgreSQL database for all tests of this module; yields its URL."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/tables.db"


def store(frame, url, name):
    """Write *frame* as a table; return where it is."""
    engine = create_engine(url)
    frame.to_sql(name, engine, index=False, if_exists="replace")
    engine.dispose()
    return TableSource(name=name, location=f"{url}#{name}")


@pytest.mark.parametrize("is_broken", [False, True], ids=["whole", "broken"])
@pytest.mark.parametrize("name", SUITES)
def test_the_shipped_suites_have_the_same_verdicts_compiled_and_on_pandas(name, is_broken):
    source = TableSource(name=name, location=table(name, is_broken))
    compare(compiled.validate(read_suite(SUITES[name]), source), expected(name, is_broken))


@pytest.mark.parametrize("is_broken", [False, True], ids=["whole", "broken"])
@pytest.mark.parametrize("name", SUITES)
@pytest.mark.parametrize("where", ["database", "sqlite"])
def test_the_shipped_suites_have_the_same_verdicts_in_sql_and_on_pandas(
    request, where, name, is_broken
):
    source = store(table(name, is_broken), request.getfixturevalue(where), name)
    compare(sql.validate(read_suite(SUITES[name]), source), expected(name, is_broken))


def test_the_broken_tables_are_broken_in_more_than_one_way():
    found = expected("flights_raw", True).result["results"]
    assert len([outcome for outcome in found if not outcome["success"]]) > 15


@pytest.mark.parametrize("where", ["database", "sqlite"])
def test_odd_rules_on_odd_values_have_the_same_verdicts_in_sql_and_on_pandas(request, where):
    frame, document = odd_table(), suite(*ODD_RULES)
    wanted = reference.validate(document, TableSource(name="odd", location=frame))
    found = sql.validate(document, store(frame, request.getfixturevalue(where), "odd"))
    compare(found, wanted)


def test_quantiles_are_interpolated_as_on_pandas(sqlite):
    frame = pd.DataFrame({"x": [1.0, 2.0, 4.0, 8.0]})
    ranges = {"quantiles": [0.5], "value_ranges": [[3, 3]]}
    asked = rule(
        "column_quantile_values_to_be_between",
        column="x",
        quantile_ranges=ranges,
        allow_relative_error="linear",
    )
    document = suite(asked)
    (outcome,) = sql.validate(document, store(frame, sqlite, "few")).result["results"]
    assert outcome["success"] is True
    assert outcome["result"]["observed_value"] == {"quantiles": [0.5], "values": [3.0]}
    assert [outcome["expectation_config"]] == document["expectations"]


VALUES = st.lists(st.sampled_from([None, 1.0, 2.0]), min_size=1, max_size=8)
IGNORED = {
    GREATER: ("both_values_are_missing", "either_value_is_missing", "neither"),
    KEY: ("all_values_are_missing", "any_value_is_missing"),
}


@settings(max_examples=12, phases=[Phase.generate])  # an example takes GX half a second
@given(a=VALUES, b=VALUES, data=st.data())
def test_missing_values_in_pairs_and_keys_count_as_on_pandas(sqlite, a, b, data):
    rows = min(len(a), len(b))
    frame = pd.DataFrame({"a": a[:rows], "b": b[:rows], "c": [1.0] * rows}).astype(float)
    mostly = data.draw(st.sampled_from([0.5, 1.0]))
    columns = {GREATER: {"column_A": "a", "column_B": "b"}, KEY: {"column_list": ["a", "b", "c"]}}
    rules = [
        rule(kind, **columns[kind], ignore_row_if=ignored, mostly=mostly)
        for kind, ways in IGNORED.items()
        for ignored in ways
    ]
    wanted = reference.validate(suite(*rules), TableSource(name="odd", location=frame))
    compare(sql.validate(suite(*rules), store(frame, sqlite, "drawn")), wanted)


def test_a_condition_in_words_cannot_be_narrowed_and_is_refused(sqlite):
    asked = rule(GREATER, column_A="x", column_B="y", row_condition='col("n") > 3')
    with pytest.raises(SuiteError, match=r"row condition 'col"):
        sql.validate(suite(asked), store(odd_table(), sqlite, "odd"))


def test_the_result_lists_the_rules_of_the_suite_in_their_order(sqlite):
    document = suite(rule(GREATER, column_A="x", column_B="y"), *ODD_RULES[:3])
    result = sql.validate(document, store(odd_table(), sqlite, "odd")).result
    assert [o["expectation_config"] for o in result["results"]] == document["expectations"]
    assert result["statistics"]["evaluated_expectations"] == len(document["expectations"])
