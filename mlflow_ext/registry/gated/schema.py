"""Creating and migrating the suite's own tables.

MLflow's tables come first: see `mlflow_ext.registry.gated.tables`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from mlflow_ext.errors import LedgerError
from mlflow_ext.registry.gated.tables import SCHEMA_VERSION, about_index, metadata, schema

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

Migration = Callable[["Connection"], None]


def _index_what_decides(connection: Connection) -> None:
    about_index.create(connection, checkfirst=True)


MIGRATIONS: Mapping[int, Migration] = {1: _index_what_decides}
"""Schema version -> what makes the next version of it. Version 1 is the first."""
ATTEMPTS = 5
"""Processes that start at one moment find each other's half-created tables, and on MySQL each waits
for the other until one is told to begin again."""


def prepare(
    engine: Engine,
    migrations: Mapping[int, Migration] = MIGRATIONS,
    version: int = SCHEMA_VERSION,
) -> None:
    """Create the tables where they are missing, and bring older ones up to *version*.

    Safe when several processes start at one moment.

    Args:
        engine: A database in which MLflow's own tables exist.
        migrations: Schema version -> what makes the next version of it.
        version: The schema version that this code reads and writes.

    Raises:
        LedgerError: The tables are of a newer version than this code knows.
    """
    for attempt in range(ATTEMPTS):
        try:
            metadata.create_all(engine)
            return _migrate(engine, migrations, version)
        except DBAPIError:
            if attempt == ATTEMPTS - 1:
                raise
    return None


def _migrate(engine: Engine, migrations: Mapping[int, Migration], version: int) -> None:
    with engine.begin() as connection:
        found = _lock_version(connection, version)
        if found > version:
            raise LedgerError(
                f"the ledger's tables are of version {found}",
                f"version {version} or older, which this mlflow_ext knows",
                "pip install --upgrade mlflow-ext",
            )
        for step in range(found, version):
            migrations[step](connection)
        connection.execute(schema.update().values(version=version))


def _lock_version(connection: Connection, version: int) -> int:
    """Read the schema version and keep other processes from migrating at the same time."""
    lock = schema.update().values(version=schema.c.version)
    # The first statement writes: SQLite lets nobody who has read wait for another's lock.
    if connection.execute(lock).rowcount == 0:
        # Tables without a version are those just created, which are new by definition.
        with suppress(IntegrityError), connection.begin_nested():
            connection.execute(schema.insert().values(version=version))
        connection.execute(lock)
    return int(connection.execute(sa.select(sa.func.max(schema.c.version))).scalar_one())
