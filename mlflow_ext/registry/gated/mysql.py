"""What MySQL and MariaDB need before they can hold a gated registry.

As they come, they take ``Champion`` and ``chämpion`` for ``champion``: an alias that no policy
knows would take the place of one that it guards. And a transaction that looks for a row in vain
keeps others from making one beside it, so that two models wait for each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from mlflow_ext.errors import RegistryStateError
from mlflow_ext.registry.gated.tables import PREFIX

if TYPE_CHECKING:
    from sqlalchemy import Engine

EXACT = {True: "utf8mb4_nopad_bin", False: "utf8mb4_0900_bin"}
"""Is it MariaDB? -> the collation in which two texts are the same only if all of each is."""
KEYED = (
    *("registered_models", "registered_model_aliases", "registered_model_tags"),
    *("model_versions", "model_version_tags"),
)
"""MLflow's tables of the registry."""
COLLATIONS = sa.text(f"""
    SELECT @@collation_database UNION SELECT collation_name FROM information_schema.columns
    WHERE table_schema = DATABASE() AND data_type = 'varchar'
    AND (table_name IN :keyed OR table_name LIKE '{PREFIX}%')
""").bindparams(sa.bindparam("keyed", KEYED, expanding=True))


def settle(engine: Engine) -> None:
    """Let transactions of an engine see what others have committed, and names be what they are.

    Args:
        engine: Of a database in which MLflow's own tables exist; unless it is MySQL or MariaDB,
            nothing is done.

    Raises:
        RegistryStateError: The database takes different names for the same.
    """
    if engine.dialect.name != "mysql":
        return
    _check_collations(engine)
    if not sa.event.contains(engine, "connect", _read_committed):
        sa.event.listen(engine, "connect", _read_committed)
        engine.dispose()  # what is open was opened without


def _check_collations(engine: Engine) -> None:
    with engine.connect() as connection:
        found = {str(name) for name in connection.execute(COLLATIONS).scalars()}
    exact = EXACT[bool(getattr(engine.dialect, "is_mariadb", False))]
    if vague := found - {exact}:
        raise RegistryStateError(
            f"the database compares names by {', '.join(sorted(vague))}, to which 'champion', "
            "'Champion' and other spellings are the same",
            f"collation {exact} of the database and of the tables of the registry",
            f"CREATE DATABASE mlflow CHARACTER SET utf8mb4 COLLATE {exact}; into it goes what an "
            "older one holds as a dump in whose lines ') ENGINE=…' the collation was replaced",
        )


def _read_committed(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
