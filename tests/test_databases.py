"""The PostgreSQL of the tests is what it promises: real, fresh each time, reachable by URL."""

import psycopg2
import pytest
import sqlalchemy as sa
from databases import run_postgres


def ask(url, statement):
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        answer = connection.execute(sa.text(statement))
        rows = answer.all() if answer.returns_rows else []
    engine.dispose()
    return rows


@pytest.mark.parametrize("attempt", [1, 2])
def test_each_test_gets_a_database_without_tables_of_the_one_before(postgres, attempt):
    tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
    assert ask(postgres, tables) == [(0,)]
    ask(postgres, "CREATE TABLE left_behind (id int)")
    assert ask(postgres, tables) == [(1,)]


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_both_drivers_reach_it(postgres, driver):
    [(version,)] = ask(postgres.replace("psycopg2", driver), "SELECT version()")
    assert version.startswith("PostgreSQL")


@pytest.mark.parametrize("attempt", [1, 2])
def test_the_store_holds_mlflows_tables_and_no_rows(postgres_store, attempt):
    assert ask(postgres_store, "SELECT count(*) FROM registered_models") == [(0,)]
    ask(postgres_store, "INSERT INTO registered_models (workspace, name) VALUES ('default', 'm')")


def test_a_connection_left_open_does_not_keep_the_database(postgres_server):
    with postgres_server.database() as url:
        forgotten = sa.create_engine(url).connect()
    with pytest.raises(sa.exc.OperationalError):
        forgotten.execute(sa.text("SELECT 1"))


def test_a_server_ends_with_its_session():
    with run_postgres() as server:
        server.execute("SELECT 1")
    with pytest.raises(psycopg2.OperationalError):
        server.execute("SELECT 1")
