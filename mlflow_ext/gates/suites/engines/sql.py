"""The engine ``sql``: the table stays in its database, and GX asks by SQL.

Nothing is written there. The queries run one after another and see what others commit in between:
judge a table that nobody writes to, or a view of rows that are settled. NaN is read as null.
SQLAlchemy comes with MLflow, which keeps its own tables with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_ext.errors import EngineError, SourceError, StoreUnreachableError, nearest, one_of
from mlflow_ext.gates.suites.engines.dialects import SQL, ColumnType, Facts
from mlflow_ext.gates.suites.engines.interface import Document, TableSource, Validation
from mlflow_ext.gates.suites.engines.native import run

if TYPE_CHECKING:
    from great_expectations.data_context.data_context.ephemeral_data_context import (
        EphemeralDataContext,
    )
    from great_expectations.datasource.fluent.interfaces import Batch
    from sqlalchemy import URL, ColumnElement, Connection, Engine, Select, TableClause

FORM = "DIALECT://USER:PASSWORD@HOST:PORT/DATABASE#[SCHEMA.]TABLE"
# The data source that GX has for a dialect; it warns about the general one beside these.
ADD_SOURCE = {"postgresql": "add_postgres", "sqlite": "add_sqlite"}
EXTRAS = {"psycopg2": "'mlflow-ext[postgresql]'", "psycopg": "'psycopg[binary]'"}


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a table of a database is."""

    url: URL
    schema: str | None
    table: str

    @property
    def shown(self) -> str:
        """The address without user, password and options, any of which may be a secret."""
        from sqlalchemy import URL

        url = self.url
        bare = URL.create(url.drivername, host=url.host, port=url.port, database=url.database)
        return bare.render_as_string()


def validate(document: Document, source: TableSource) -> Validation:
    """Judge a table of a database by a suite.

    Args:
        document: The suite.
        source: Its location is ``DIALECT://…/DATABASE#[SCHEMA.]TABLE``.

    Raises:
        EngineError: The driver of the database is not installed.
        SourceError: The address is of another form, or the table does not exist or cannot be read.
        StoreUnreachableError: The database does not answer.
        SuiteError: The suite does not fit the table.
    """
    address = parse_address(source)
    with _connected(address) as connection:
        types = _read_types(connection, address)
        query = _select(connection.engine, address, types)
        facts = _scan(connection, address, query, types)
    return run(document, facts, SQL, partial(_open_batch, address, _written(address, query)))


def parse_address(source: TableSource) -> Address:
    """Take ``DIALECT://…/DATABASE#[SCHEMA.]TABLE`` apart.

    Raises:
        SourceError: It is of another form; the message does not repeat it, for it may hold secrets.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    location, _, place = str(source.location).rpartition("#")
    schema, _, table = place.rpartition(".")
    try:
        if not location or not table:
            raise ValueError
        return Address(url=make_url(location), schema=schema or None, table=table)
    except (ArgumentError, ValueError):
        found = "it names no table" if not location else "its address cannot be read"
        fix = "append '#TABLE' to the address, and write special characters as %23"
        raise SourceError(source.name, found, FORM, fix) from None


@contextmanager
def _connected(address: Address) -> Iterator[Connection]:
    from sqlalchemy.exc import OperationalError, SQLAlchemyError

    engine = _create_engine(address)
    try:
        with engine.connect() as connection:
            yield connection
    except OperationalError as error:
        cause, fix = _cause(error, address), "start the database, or correct the address"
        raise StoreUnreachableError("database", address.shown, cause, fix) from None
    except SQLAlchemyError as error:
        found = f"{address.shown} refuses: {_cause(error, address)}"
        fix = "correct the address, or ask for the right to read the table"
        raise SourceError(address.table, found, "a table that can be read", fix) from None
    finally:
        engine.dispose()


def _create_engine(address: Address) -> Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError
    from sqlalchemy.pool import NullPool

    url = address.url
    file = url.database if url.get_backend_name() == "sqlite" else None
    if file and not Path(file).is_file():  # SQLite would create it
        fix = "correct the path: sqlite:///RELATIVE or sqlite:////ABSOLUTE"
        raise SourceError(address.table, f"there is no database {file}", "a SQLite file", fix)
    try:
        return create_engine(url, poolclass=NullPool)
    except ImportError as error:
        driver = error.name or url.drivername
        fix = f"pip install {EXTRAS.get(driver, driver)}"
        raise EngineError(SQL, f"no driver '{driver}'", "the driver of the database", fix) from None
    except ArgumentError:  # among them: no such dialect
        found = f"no dialect '{url.drivername}' is installed"
        fix = "install the SQLAlchemy dialect of that database, or correct the address"
        raise EngineError(SQL, found, FORM, fix) from None


def _cause(error: Exception, address: Address) -> str:
    text = str(getattr(error, "orig", None) or error).strip()
    line = text.partition("\n")[0]
    return line.replace(str(address.url.password), "***") if address.url.password else line


def _read_types(connection: Connection, address: Address) -> dict[str, ColumnType]:
    from sqlalchemy import inspect
    from sqlalchemy.exc import NoSuchTableError

    inspector, schema = inspect(connection), address.schema
    try:
        columns = inspector.get_columns(address.table, schema)
    except NoSuchTableError:
        known = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
        where = f"schema '{schema}' of {address.shown}" if schema else address.shown
        guess = nearest(address.table, known)
        fix = f"write '{guess}' instead of '{address.table}'" if guess else "correct the address"
        found = f"{where} has no such table"
        raise SourceError(address.table, found, one_of(known), fix) from None
    return {column["name"]: _type_of(column["type"]) for column in columns}


def _type_of(found: Any) -> ColumnType:
    """Say what `pandas.read_sql` would make of a column."""
    from sqlalchemy import types

    aware = getattr(found, "timezone", False) or found.__visit_name__ == "TIMESTAMP"
    dtypes = {
        types.Boolean: "bool",
        types.Integer: "int64",
        types.Numeric: "float64",
        types.Float: "float64",
        types.DateTime: "Timestamp" if aware else "datetime64",
        types.String: "str",
    }
    dtype = next((dtype for kind, dtype in dtypes.items() if isinstance(found, kind)), "object")
    return ColumnType(dtype=dtype, native=str(found))


def _select(engine: Engine, address: Address, types: dict[str, ColumnType]) -> Select[Any]:
    """Select every column, with NaN as null: PostgreSQL has it, and sorts it above all numbers."""
    from sqlalchemy import column, func, literal_column, select, table

    def read(name: str) -> ColumnElement[Any]:
        if types[name].dtype == "float64" and engine.dialect.name == "postgresql":
            return func.nullif(column(name), literal_column("'NaN'")).label(name)
        return column(name)

    whole: TableClause = table(address.table, *map(column, types), schema=address.schema)
    return select(*map(read, types)).select_from(whole)


def _written(address: Address, query: Select[Any]) -> str:
    text = query.compile(
        dialect=address.url.get_dialect()(), compile_kwargs={"literal_binds": True}
    )
    return str(text)


def _scan(
    connection: Connection, address: Address, query: Select[Any], types: dict[str, ColumnType]
) -> Facts:
    from sqlalchemy import func, select

    rows = query.subquery()
    counts = select(func.count(), *map(func.count, rows.c)).select_from(rows)
    total, *present = connection.execute(counts).one()
    missing = {name for name, count in zip(types, present, strict=True) if count < total}
    return Facts(rows=total, types=types, missing=frozenset(missing))


@contextmanager
def _open_batch(
    address: Address, query: str, context: EphemeralDataContext, name: str
) -> Iterator[Batch]:
    add = getattr(context.data_sources, ADD_SOURCE.get(address.url.get_backend_name(), "add_sql"))
    # GX puts variables where it finds a '$', wherever that comes from.
    url = address.url.render_as_string(hide_password=False).replace("$", "%24")
    source = add(name, connection_string=url)
    asset = source.add_query_asset(address.table, query=query)
    batch: Batch = asset.add_batch_definition_whole_table("all").get_batch()
    try:
        yield batch
    finally:
        batch.data.execution_engine.close()
        source.get_engine().dispose()
