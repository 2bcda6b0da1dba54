"""Tables of databases: addresses, what may go wrong on the way, and that no secret leaves."""

import json

import pandas as pd
import pytest
from engine_cases import rule, suite
from sqlalchemy import create_engine, make_url, text

from mlflow_ext.errors import EngineError, SourceError, StoreUnreachableError, SuiteError
from mlflow_ext.gates.expectations import judge_source
from mlflow_ext.gates.suites.engines.interface import TableSource
from mlflow_ext.gates.suites.engines.results import raised_text
from mlflow_ext.gates.suites.engines.sql import validate
from mlflow_ext.records import Verdict

SECRET = "pa$$w${ord}#@"
BETWEEN = "column_values_to_be_between"


def at(url, place):
    return TableSource(name=place.rpartition(".")[2], location=f"{url}#{place}")


@pytest.fixture
def trips():
    return pd.DataFrame(
        {
            "distance": [100.0, 200.0, None, 9000.0],
            "origin": ["EWR", "JFK", "LGA", "EWR"],
            "start": pd.date_range("2013-01-01", periods=4, tz="UTC"),
        }
    )


@pytest.fixture
def stored(trips, postgres):
    """The URL of a database with the table ``trips``, in two schemas."""
    engine = create_engine(postgres)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA eu"))
        trips.to_sql("trips", connection, index=False)
        trips.head(2).to_sql("trips", connection, schema="eu", index=False)
    engine.dispose()
    return postgres


@pytest.fixture
def sqlite(trips, tmp_path):
    url = f"sqlite:///{tmp_path}/trips.db"
    engine = create_engine(url)
    trips.to_sql("trips", engine, index=False)
    engine.dispose()
    return url


def test_a_broken_rule_fails_with_its_value_and_the_whole_row(stored):
    strict = suite(rule(BETWEEN, column="distance", max_value=5000))
    result = judge_source(strict, at(stored, "trips"), fingerprints={})
    (check,) = result.report.checks
    assert (result.report.verdict, check.rows) == (Verdict.FAILED, 4)
    assert check.observed == "1 of 3 unexpected (33.3 %): 9000.0"
    assert check.example["origin"] == "EWR"
    assert check.example["start"].startswith("2013-01-04")


def test_the_data_docs_of_a_table_of_a_database_can_be_rendered(stored):
    mixed = suite(
        rule(BETWEEN, column="distance", max_value=5000),
        rule("column_values_to_be_of_type", column="origin", type_="str"),
    )
    page = judge_source(mixed, at(stored, "trips"), fingerprints={}).data_docs
    assert "9000" in page
    assert "TEXT" in page


def test_a_schema_is_part_of_the_address(stored):
    count = suite(rule("table_row_count_to_equal", value=2))
    assert validate(count, at(stored, "eu.trips")).result["success"] is True
    assert validate(count, at(stored, "trips")).result["success"] is False


def test_names_that_need_quotes_are_quoted(trips, postgres):
    engine = create_engine(postgres)
    trips.rename(columns={"distance": "Distance in mi"}).to_sql("All Trips", engine, index=False)
    engine.dispose()
    found = validate(
        suite(rule(BETWEEN, column="Distance in mi", max_value=5000)), at(postgres, "All Trips")
    )
    assert found.columns[0] == "Distance in mi"
    assert found.result["results"][0]["result"]["unexpected_count"] == 1


def test_nan_is_missing_as_it_is_on_pandas(stored):
    engine = create_engine(stored)
    with engine.begin() as connection:
        connection.execute(text("UPDATE trips SET distance = 'NaN' WHERE distance = 200"))
    engine.dispose()
    rules = suite(
        rule(BETWEEN, column="distance", max_value=10_000),
        rule("column_values_to_not_be_null", column="distance"),
    )
    between, present = validate(rules, at(stored, "trips")).result["results"]
    assert (between["success"], between["result"]["missing_count"]) == (True, 2)
    assert present["result"]["unexpected_count"] == 2


@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
def test_either_driver_of_postgresql_will_do(stored, driver):
    url = make_url(stored).set(drivername=driver).render_as_string(hide_password=False)
    count = suite(rule("table_row_count_to_equal", value=4))
    assert validate(count, at(url, "trips")).result["success"] is True


def test_a_password_of_any_letters_works_and_appears_nowhere(stored):
    url = make_url(stored).set(password=SECRET).render_as_string(hide_password=False)
    assert SECRET not in url, "an address holds it encoded"
    failing = suite(
        rule(BETWEEN, column="distance", max_value=5000),
        rule("column_values_to_match_regex", column="distance", regex="x"),
    )
    result = judge_source(failing, at(url, "trips"), fingerprints={})
    written = json.dumps(result.result) + str(result.report) + result.data_docs
    hidden = make_url(url).render_as_string(hide_password=False).split(":")[2].split("@")[0]
    assert all(word not in written for word in (SECRET, hidden, "postgres:"))


def test_a_rule_that_the_database_cannot_evaluate_fails_with_its_words(stored):
    unfit = suite(
        rule("column_values_to_match_regex", column="distance", regex="x"),
        rule("table_row_count_to_equal", value=4),
    )
    regex, count = validate(unfit, at(stored, "trips")).result["results"]
    assert regex["success"] is False
    assert "double precision" in raised_text(regex)
    assert count["success"] is True


def test_no_connection_stays_open(stored):
    validate(suite(rule(BETWEEN, column="distance", max_value=1)), at(stored, "trips"))
    engine = create_engine(stored)
    others = "pid <> pg_backend_pid() AND datname = current_database()"
    with engine.connect() as connection:
        open_ones = connection.execute(
            text(f"SELECT count(*) FROM pg_stat_activity WHERE {others}")
        )
        assert open_ones.scalar() == 0
    engine.dispose()


def test_an_unknown_table_is_answered_with_the_nearest(stored, sqlite):
    with pytest.raises(SourceError, match=r"write 'trips' instead of 'tripz'"):
        validate(suite(rule("table_row_count_to_equal", value=1)), at(stored, "tripz"))
    with pytest.raises(SourceError, match=r"write 'trips' instead of 'trip'"):
        validate(suite(rule("table_row_count_to_equal", value=1)), at(sqlite, "trip"))


def test_an_unknown_column_is_answered_with_the_nearest(sqlite):
    with pytest.raises(SuiteError, match=r"write 'origin' instead of 'orgin'"):
        validate(suite(rule(BETWEEN, column="orgin", max_value=1)), at(sqlite, "trips"))


def test_a_table_that_may_not_be_read_is_refused_in_the_words_of_the_database(stored):
    engine = create_engine(stored)
    with engine.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS guest"))
        connection.execute(text("CREATE ROLE guest LOGIN"))
    engine.dispose()
    url = make_url(stored).set(username="guest").render_as_string()
    with pytest.raises(SourceError, match=r"permission denied for table trips"):
        validate(suite(rule("table_row_count_to_equal", value=4)), at(url, "trips"))


@pytest.mark.parametrize(
    ("location", "error", "words"),
    [
        ("postgresql+psycopg2://me:{}@127.0.0.1:1/db#t", StoreUnreachableError, "127.0.0.1:1/db"),
        ("postgresql://me:{}@127.0.0.1/db", SourceError, "names no table"),
        ("postgresql://me:{}@127.0.0.1:port/db#t", SourceError, "cannot be read"),
        ("nosuch://me:{}@127.0.0.1/db#t", EngineError, "no dialect 'nosuch'"),
        ("mysql+mysqldb://me:{}@127.0.0.1/db#t", EngineError, "pip install MySQLdb"),
        ("postgresql+asyncpg://me:{}@127.0.0.1/db#t", EngineError, "no driver 'asyncpg'"),
    ],
)
def test_a_wrong_address_is_explained_without_its_secrets(location, error, words):
    source = TableSource(name="t", location=location.format("s3cr3t"))
    with pytest.raises(error) as refused:
        validate(suite(rule("table_row_count_to_equal", value=1)), source)
    assert words in str(refused.value)
    assert "s3cr3t" not in str(refused.value)


def test_a_sqlite_file_that_is_not_there_is_not_made(tmp_path):
    file = tmp_path / "none.db"
    with pytest.raises(SourceError, match=r"there is no database .*none\.db"):
        validate(suite(rule("table_row_count_to_equal", value=1)), at(f"sqlite:///{file}", "t"))
    assert not file.exists()
